"""`connector customers …`"""

from collections.abc import Sequence
from typing import Any

import click

from connector import actions, audit, money, search
from connector.cli.common import connection_option, output, table, wire
from connector.cli.syncs import facts
from connector.customer_overview import by_name, overview, states
from connector.customer_overview.overview import CustomerOverview
from connector.customer_overview.timeline import rows
from connector.explain import moment
from connector.models import Sync
from connector.services import Services


@click.group("customers")
def customers_group() -> None:
    """Customers with their account, subscriptions, plans over time, bills and balances, from our own rows."""


@customers_group.command("list")
@click.option("--state", type=click.Choice(states.FILTERS), help="Only those of which something stands like this.")
@click.option("--limit", metavar="NUMBER", default=50, show_default=True, type=click.IntRange(1, 1000))
@connection_option
@output
def list_customers(state: str | None, limit: int, connection: str) -> Any:
    """List the customers that have an account in m3ter, or one that is being made, the newest first."""
    services = wire()
    services.connection(connection)
    with services.reading() as db:
        found = states.listed(db, connection, state=state, limit=limit)
    columns = ["customer_id", "state", "account_id", "account_code"]
    document = [{name: getattr(one, name) for name in ("connection", *columns)} for one in found]
    return {"customers": document}, table("Customers", columns, [[one[name] for name in columns] for one in document])


@customers_group.command("find")
@click.argument("id")
@output
def find(id: str) -> Any:
    """Say what has this id, of either system: customers, bills, balances, requests, events and syncs of all connections."""
    services = wire()
    with services.reading() as db:
        hits = [search.as_json(one) for one in search.find(db, list(services.connections), id)]
    columns = ["kind", "connection", "id", "says"]
    return {"hits": hits}, table("Found", columns, [[one[name] for name in columns] for one in hits])


@customers_group.command("named")
@click.argument("words", required=False)
@click.option("--names", "with_names", is_flag=True, help="Also show names, companies and e-mail addresses.")
@connection_option
@output
def find_by_name(words: str | None, with_names: bool, connection: str) -> Any:
    """Ask Chargebee now for customers by name, company or whole e-mail address; that you looked is kept, the words are not.

    Without WORDS they are asked for, so that they stay out of the shell's history.
    """
    if words is None:
        words = click.prompt("Name, company or e-mail address", err=True)
    found = by_name.find(wire(), connection, words, who=audit.actor(), with_names=with_names)
    document = by_name.as_json(found)
    columns = ["customer_id", *(["name", "company", "email"] if with_names else []), "says", "state", "account_id"]
    unknown = {"state": "not known to the connector yet"}
    lines = [one if one["known"] else one | unknown for one in document["matches"]]
    text: list[Any] = [table("Customers", columns, [[one[name] for name in columns] for one in lines]), *found.faults]
    if found.more:
        text.append("Chargebee has more customers like this than one page holds: say more of the name.")
    if found.left_out:
        text.append(f"Chargebee also named {found.left_out} that are not called like this: they are left out.")
    return document, [*text, f"Calls to Chargebee: {found.calls}"]


@customers_group.command("show")
@click.argument("id")
@connection_option
@output
def show_customer(id: str, connection: str) -> Any:
    """Show a customer whole, by any id of either system; nobody is asked, and names and addresses are left out."""
    services = wire()
    one = overview.of_customer(services, connection, _meant(services, connection, id))
    return overview.as_json(one), _text(one)


def _meant(services: Services, connection: str, id: str) -> str:
    """The customer that the id leads to; raises ConnectorError when it is not just one."""
    services.connection(connection)
    with services.reading() as db:
        return search.customer(db, connection, id)


def _text(one: CustomerOverview) -> list[Any]:
    text: list[Any] = [
        f"Customer {one.customer_id}: {one.state}",
        *facts(
            [
                ("Connection", one.connection),
                ("m3ter account", one.account_id or "none yet"),
                ("Code", one.account_code),
                ("Currency", one.currency),
                ("Below", one.parent_id),
                ("Invoices go to", one.invoice_owner_id),
                ("Billed until", moment(one.timeline.billed_until)),
                ("Last heard of", moment(one.seen_at)),
            ]
        ),
        *one.faults,
    ]
    lines = [
        [line.id, line.state and line.state.status,
         ", ".join(item.item_price_id for item in line.state.items) if line.state else None,
         f"{line.sync.id} {line.sync.status}" if line.sync else None]
        for line in one.subscriptions
    ]  # fmt: skip
    plans = [
        [row.subscription_id, row.item_price_id, row.what, row.plan, moment(row.start), moment(row.end) or "open"]
        for row in rows(one.timeline)
    ]
    bills = [
        [bill.bill_id, money.shown(bill.total, bill.currency) if bill.total is not None and bill.currency else None,
         bill.pushed, bill.sync and bill.sync.status, ", ".join(bill.invoices)]
        for bill in one.bills
    ]  # fmt: skip
    balances = [
        [balance.balance_id, money.shown(balance.held, balance.currency) if balance.held is not None else None,
         balance.watch, balance.open_requests]
        for balance in one.balances
    ]  # fmt: skip
    for title, columns, found in (
        ("Customers below", ["customer", "state"], [[child.customer_id, child.state] for child in one.children]),
        ("Subscriptions", ["subscription", "status", "item prices", "sync"], lines),
        ("Plans over time", ["subscription", "item price", "what", "plan", "from", "until (exclusive)"], plans),
        ("Bills", ["bill", "total", "sent", "sync", "invoices"], bills),
        ("Balances", ["balance", "held", "watch", "open requests"], balances),
        ("Open syncs", ["sync", "kind", "subject", "status", "text"], _syncs(one.open_syncs)),
    ):
        text += ["", table(title, columns, found)] if found else []
    return text


def _syncs(found: Sequence[Sync]) -> list[list[Any]]:
    return [[row.id, row.kind, row.subject, row.status, row.text] for row in found]


@customers_group.command("sync")
@click.argument("id")
@click.option("--subscription", metavar="ID", help="Only this subscription of the customer.")
@click.option("--dry-run", is_flag=True, help="Say what would be synced, change nothing.")
@connection_option
@output
def sync_customer(id: str, subscription: str | None, dry_run: bool, connection: str) -> Any:
    """Make a customer and its subscriptions right now, by what Chargebee says of them now; what is open is joined."""
    services = wire()
    customer_id = _meant(services, connection, id)
    with services.reading() as db:
        wanted = overview.to_sync(db, connection, customer_id, subscription)
    names = ", ".join(f"{kind} {subject}" for kind, subject in wanted)
    if dry_run:
        return {"customer_id": customer_id, "dry_run": True, "syncs": []}, f"Would be synced: {names}."
    made = []
    for kind, subject in wanted:
        sync_id, became = actions.sync_now(services, connection, kind, subject, audit.actor())
        made.append({"id": sync_id, "kind": kind, "subject": subject, "became": became})
    said = [f"Sync {each['id']} of {each['kind']} {each['subject']}: {each['became']}." for each in made]
    return {"customer_id": customer_id, "dry_run": False, "syncs": made}, said
