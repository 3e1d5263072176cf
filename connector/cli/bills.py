"""`connector bills …`"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from connector import actions, audit, money
from connector.bills import beside, closing, ledger, listing, planned, preview, receipts, shadow, standing
from connector.bills.closing import Work
from connector.bills.comparing import DIFFERS, EQUAL, SAME_SUMS
from connector.bills.lines import content_hash
from connector.bills.listing import Listed
from connector.bills.planned import PushPlan
from connector.bills.push import plan_for
from connector.bills.versions import Difference, Version
from connector.cli.common import attempt_now, connection_option, output, show, table, wire
from connector.errors import ConnectorError, Parked
from connector.models import BillApproval
from connector.moments import written_moment
from connector.services import Services

# How many lines `show` prints before it says how many more there are.
LINES = 20
VERDICTS = (EQUAL, SAME_SUMS, DIFFERS)
# How many differences of one bill `shadow` prints; `show` has more.
DIFFERENCES = 3


@click.group("bills")
def bills_group() -> None:
    """Approved m3ter bills on their way to Chargebee invoices."""


@bills_group.command("plan")
@click.argument("bill_id")
@connection_option
@output
def plan_bill(bill_id: str, connection: str) -> Any:
    """Print exactly what pushing BILL_ID would do now; nothing is sent."""
    services = wire()
    bill = services.connection(connection).m3ter.get_bill(bill_id)
    plan = plan_for(services, connection, bill)
    return planned.as_json(plan) | {"status": bill.status, "exit_status": 1 if plan.problems else 0}, _plan_text(plan)


@bills_group.command("push")
@click.argument("bill_id")
@click.option("--plan", "wanted", help="The plan's hash as `bills plan` printed it; refused if it would now differ.")
@click.option("--dry-run", is_flag=True, help="Print the plan, send nothing.")
@click.option("--yes", is_flag=True, help="Do not ask before money moves.")
@connection_option
@output
def push_bill(bill_id: str, wanted: str | None, dry_run: bool, yes: bool, connection: str) -> Any:
    """Put the lines of approved bill BILL_ID on their invoices, each once; what was sent before is not sent again."""
    services = wire()
    looked = preview.look(services, connection, bill_id)
    plan = looked.plan
    if plan is None:
        if dry_run or wanted:
            raise ConnectorError(f"a push of bill {bill_id} is under way already: `connector bills show {bill_id}`")
    elif not looked.is_approved:
        raise Parked("not_approved", f"bill {bill_id} is not approved in m3ter", "Approve it in m3ter first.")
    else:
        if wanted and plan.sha256 != wanted:
            raise Parked(
                "plan_changed",
                f"the plan is now {plan.sha256 or 'not possible'}",
                "Look at `connector bills plan` again.",
            )
        if dry_run or plan.problems:
            document = planned.as_json(plan) | {"dry_run": dry_run, "exit_status": 1 if plan.problems else 0}
            return document, _plan_text(plan)
        if not yes:
            show(_plan_text(plan), on_standard_error=True)
            click.confirm("Add these lines?", abort=True, err=True)
    # Here instead of in a worker; the sync's lease keeps the two apart.
    return attempt_now(services, actions.begin_push(services, connection, looked, audit.actor()))


@bills_group.command("approve")
@click.argument("bill_id")
@connection_option
@output
def approve_bill(bill_id: str, connection: str) -> Any:
    """Approve the push of BILL_ID as m3ter has calculated it now; above TWO_PEOPLE_ABOVE two people have to."""
    services = wire()
    bill = services.connection(connection).m3ter.get_bill(bill_id)
    people, woken = actions.approve(services, connection, bill_id, content_hash(bill), audit.actor())
    document = {"bill_id": bill_id, "approved_by": people, "woken": woken}
    return document, f"Bill {bill_id} is approved by {', '.join(people)}."


@bills_group.command("list")
@click.option("--status", help="pending, running, waiting, parked, succeeded or superseded.")
@click.option(
    "--section", type=click.Choice(list(listing.SECTIONS)), help="Waiting for an invoice, late, parked or pushed."
)
@click.option("--about", help="The id of a bill, account, customer, subscription or invoice.")
@click.option("--currency", help="Only bills in this currency.")
@click.option("--before", type=click.IntRange(1), help="Only bills older than that of this sync, for the next page.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@connection_option
@output
def list_bills(
    status: str | None,
    section: str | None,
    about: str | None,
    currency: str | None,
    before: int | None,
    limit: int,
    connection: str,
) -> Any:
    """List bills, the newest first: what was added of each, on which invoices, and how long one still waits for its own."""
    services = wire()
    services.connection(connection)
    wanted = listing.Filter(connection, section, status, about, currency)
    with services.reading() as db:
        found = listing.listed(services, db, wanted, before=before, limit=limit)
        sums = listing.sums(db, [connection])
    work = _work_by_bill(services, connection)
    document = {
        "bills": [
            listing.as_json(one) | {"work": [_work_json(left) for left in work.get(one.bill_id, ())]} for one in found
        ],
        "sections": {
            name: {"bills": one.bills, "amounts": {of: str(sum_) for of, sum_ in one.amounts.items()}, "unknown": one.unknown}
            for name, one in sums.items()
        },
    }  # fmt: skip
    rows = [_list_row(one, work.get(one.bill_id, ()), services.now()) for one in found]
    columns = ["bill", "status", "cause", "total", "added", "invoices", "waits until", "to do", "last changed"]
    text: list[Any] = [table("Bills", columns, rows)]
    if len(found) == limit:
        text.append(f"More: `connector bills list --before {found[-1].id}`")
    return document, [*text, *(_sum_text(name, one) for name, one in sums.items() if one.bills)]


def _list_row(one: Listed, work: Sequence[Work], now: datetime) -> list[Any]:
    return [
        one.bill_id, one.sync.status, one.sync.cause, _amount(one.total, one.currency), _amount(one.added, one.currency),
        ", ".join(one.invoices), _left(one.deadline, now), "\n".join(_countdown(left, now) for left in work),
        f"{one.sync.updated_at:%Y-%m-%d %H:%M}",
    ]  # fmt: skip


def _sum_text(name: str, one: listing.Sum) -> str:
    amounts = ", ".join(money.shown(amount, currency) for currency, amount in sorted(one.amounts.items()))
    unknown = f"{one.unknown} of unknown total" if one.unknown else ""
    return f"{name}: {one.bills} bill(s), {', '.join(filter(None, (amounts, unknown)))}"


def _work_by_bill(services: Services, connection: str) -> dict[str, list[Work]]:
    found: dict[str, list[Work]] = {}
    for one in closing.of_bills(services, connection):
        if one.bill_id is not None:
            found.setdefault(one.bill_id, []).append(one)
    return found


def _work_json(one: Work) -> dict[str, Any]:
    return _in_json(asdict(one))


def _countdown(one: Work, now: datetime) -> str:
    """What is left of a bill, until when it will be done and until when it has to be."""
    left = "not planned yet" if one.charges is None else f"{one.charges} left"
    done = f"will finish at {one.finishes_at:%Y-%m-%d %H:%M}" if one.finishes_at else f"needs {one.needs}"
    closes = (
        f"closes at {_left(one.closes_at, now)}" if one.closes_at else "does not close by itself as far as is known"
    )
    return f"{left}, {done}; {one.invoice_id or 'the invoice'} {closes}{': TOO LATE' if one.at_risk else ''}"


@bills_group.command("closing")
@click.option("--risky", is_flag=True, help="Only what may come too late.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@connection_option
@output
def list_closing(risky: bool, limit: int, connection: str) -> Any:
    """List what is left to do for pending invoices, the earliest to close first; exits with 1 where it may come too late."""
    services = wire()
    work = closing.of_connection(services, connection)
    late = [one for one in work if one.at_risk]
    shown = late if risky else work
    rows = [
        [_left(one.closes_at, services.now()), one.finishes_at and f"{one.finishes_at:%Y-%m-%d %H:%M}",
         "TOO LATE" if one.at_risk else "in time" if one.closes_at else "", one.needs, one.cause, one.charges,
         one.bill_id, one.account_id, one.invoice_id]
        for one in shown[:limit]
    ]  # fmt: skip
    columns = ["closes at", "will finish at", "", "needs", "cause", "left", "bill", "account", "invoice"]
    days = services.connection(connection).settings.auto_close_days
    document = {
        "auto_close_days": None if days is None else str(days),
        "work": [_work_json(one) for one in shown[:limit]],
        "at_risk": len(late),
        "exit_status": 1 if late else 0,
    }
    text: list[Any] = [table("To do before invoices close", columns, rows)]
    text += [f"… and {len(shown) - limit} more; `--limit` shows them"] if len(shown) > limit else []
    text += [] if days else ["AUTO_CLOSE_DAYS is not set: nobody knows when the site closes invoices by itself."]
    return document, [*text, f"{len(late)} of {len(work)} may come too late."]


def _amount(amount: Decimal | None, currency: str | None) -> str | None:
    return None if amount is None or currency is None else money.shown(amount, currency)


def _in_json(one: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in one.items()}


def _left(deadline: datetime | None, now: datetime) -> str | None:
    """The moment, and how far off it is."""
    if deadline is None:
        return None
    hours = int((deadline - now).total_seconds() // 3600)
    off = f"{hours // 24} d {hours % 24} h left" if hours >= 0 else "passed"
    return f"{deadline:%Y-%m-%d %H:%M}, {off}"


@bills_group.command("receipt")
@click.argument("bill_id")
@click.option("--csv", "as_csv", is_flag=True, help="As CSV, a row for each line and charge.")
@click.option("--page", "as_page", is_flag=True, help="As a page in HTML that needs nothing else.")
@click.option(
    "--file", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="Instead of standard output."
)
@connection_option
@output
def show_receipt(bill_id: str, as_csv: bool, as_page: bool, file: Path | None, connection: str) -> Any:
    """Give out the newest receipt of pushed bill BILL_ID: every line beside its charges and their final invoices."""
    if as_csv and as_page:
        raise click.UsageError("--csv and --page contradict each other.")
    if file and not (as_csv or as_page):
        raise click.UsageError("--file takes --csv or --page.")
    services = wire()
    with services.reading() as db:
        document = receipts.document(db, connection, bill_id)
    if document is None:
        raise ConnectorError(
            f"there is no receipt of bill {bill_id}; `connector bills show {bill_id}` says how far it is"
        )
    receipt = document["now"]
    if not (as_csv or as_page):
        return document, [*_heading(receipt), *_lines(receipt, limit=None)]
    name, text = ("csv", receipts.to_csv(receipt)) if as_csv else ("page", receipts.to_page(receipt))
    if file is not None:
        file.write_text(text, encoding="utf-8", newline="")
        return {"file": str(file)}, f"Written to {file}."
    if not click.get_current_context().params["as_json"]:
        # `show` would break long lines, which a spreadsheet takes for rows.
        click.echo(text, nl=False)
    return {name: text}, []


@bills_group.command("shadow")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="Bills that differ to show.")
@connection_option
@output
def shadow_summary(limit: int, connection: str) -> Any:
    """Sum up what shadow mode has found: bills that another process invoices just as we would, and those that differ."""
    services = wire()
    with services.reading() as db:
        compared = shadow.all_compared(db, connection)
    currencies = sorted({one["currency"] for one in compared})
    sums = [_sum_of([one for one in compared if one["currency"] == currency], currency) for currency in currencies]
    differing = [one for one in compared if one["verdict"] != EQUAL]
    document = {"currencies": sums, "differing": differing[:limit], "exit_status": 1 if differing else 0}
    if not compared:
        return document, "No bill has been compared; with SHADOW on each approved one is."
    names = ("currency", "bills", *VERDICTS, "open", "planned", "found", "off_by")
    overview = table("Compared in shadow mode", list(names), [[one[name] for name in names] for one in sums])
    rows = [
        [one["bill_id"], one["verdict"], "final" if one["is_final"] else "open", f"{one['planned']} {one['currency']}",
         f"{one['found']} {one['currency']}", one["off_by"], "\n".join(one["differences"][:DIFFERENCES])]
        for one in differing[:limit]
    ]  # fmt: skip
    columns = ["bill", "verdict", "state", "planned", "found", "off by", "what differs"]
    left = len(differing) - limit
    more = [f"… and {left} more; `--limit` shows them"] if left > 0 else []
    return document, [overview, *([table("Bills that differ", columns, rows)] if rows else []), *more]


def _sum_of(compared: list[dict[str, Any]], currency: str) -> dict[str, Any]:
    verdicts = Counter(one["verdict"] for one in compared)
    sums = {name: str(sum(Decimal(one[name]) for one in compared)) for name in ("planned", "found", "off_by")}
    return {
        "currency": currency,
        "bills": len(compared),
        **{verdict: verdicts[verdict] for verdict in VERDICTS},
        "open": sum(not one["is_final"] for one in compared),
        **sums,
    }


@bills_group.command("show")
@click.argument("bill_id")
@connection_option
@output
def show_bill(bill_id: str, connection: str) -> Any:
    """Show on one screen how BILL_ID stands: both totals, where each line went, what is to come, and the next step."""
    services = wire()
    found = standing.of_bill(services, connection, bill_id)
    if not found.is_known:
        raise ConnectorError(f"nothing is known of bill {bill_id}; `connector bills plan {bill_id}` asks m3ter")
    work = standing.work_of(services, found)
    document = standing.as_json(found) | {"work": [_work_json(one) for one in work]}
    countdowns = [_countdown(one, services.now()) for one in work]
    later = [text for one in found.versions if one.number > 1 for text in _version(one)]
    approved = [_approval(one) for one in found.approvals]
    return document, [*_bill_text(document, _left(found.deadline, services.now()), countdowns), *later, *approved]


def _version(one: Version) -> list[Any]:
    """What a later version of the bill changed."""
    when = f"Version {one.number}, frozen {one.frozen_at:%Y-%m-%d %H:%M}"
    name = f"{when}: {one.total} {one.currency}, sent before {one.sent_before}"
    return [name, _differences(one.differences)] if one.differences else [f"{name}; nothing differs"]


def _differences(found: Sequence[Difference]) -> Any:
    rows = [[one.what, one.sent, one.now, f"{one.differs:+}"] for one in found[:LINES]]
    return table(f"What differs in {len(found)} line(s)", ["line", "sent", "now", "differs"], rows)


def _approval(one: BillApproval) -> str:
    return f"Approved by {one.actor} at {one.at:%Y-%m-%d %H:%M}, as calculated to {one.sha256[:12]}"


@bills_group.command("check")
@click.argument("bill_id")
@connection_option
@output
def check_bill(bill_id: str, connection: str) -> Any:
    """Ask both systems now how BILL_ID stands beside its invoices; changes nothing, exits with 1 where they are not equal."""
    found = beside.of_bill(wire(), connection, bill_id)
    added = "nothing was sent" if found.added is None else f"on invoices {found.added} {found.currency}"
    verdict = "equal" if found.is_equal else "NOT EQUAL"
    text: list[Any] = [f"Bill {bill_id} is {found.status}: {found.total} {found.currency}, {added}: {verdict}"]
    rows = [
        [one.id, one.status, line.what, line.sent, line.found, line.verdict]
        for one in found.invoices
        for line in one.lines
    ]
    rows += [
        [one.id, one.status, what, None, amount, "not ours"] for one in found.invoices for what, amount in one.others
    ]
    text += [table("On invoices", ["invoice", "state", "charge", "sent", "found", ""], rows)] if rows else []
    text += [_differences(found.differences)] if found.differences else []
    text += [*found.problems, *(f"{one.code}: {one.text}" for one in found.preview.problems)]
    text += [f"May not be pushed: {found.held_back.text}"] if found.held_back else []
    text += [f"{found.left_out} more invoices were not read"] if found.left_out else []
    return {**beside.as_json(found), "exit_status": 0 if found.is_equal else 1}, text


def _bill_text(document: dict[str, Any], left: str | None, countdowns: list[str]) -> list[Any]:
    now, sync = document["now"], document["sync"]
    text: list[Any] = _heading(now) if now else [f"Bill {document['bill_id']}: nothing of it has been sent."]
    if document["account_id"]:
        text.append(f"Account {document['account_id']}, customer {document['customer_id'] or 'unknown'}")
    if sync:
        # What a sync that succeeded says stands above already.
        said = f" {sync['text']}" if sync["text"] and not (now and sync["status"] == "succeeded") else ""
        text.append(f"Sync {sync['id']}: {sync['status']} since {sync['updated_at'][:16].replace('T', ' ')}.{said}")
        text += [f"Next: {sync['next_step']}"] if sync["next_step"] else []
        if now and sync["status"] != "succeeded" and not document["under_way"]:
            text.append("The totals and lines are those of the last push.")
    text += [f"Waits until {left}"] if left else []
    text += [f"To do: {one}" for one in countdowns]
    if compared := document["shadow"]:
        text.append(
            f"Compared in shadow mode at {compared['compared_at'][:16].replace('T', ' ')}: {compared['verdict']}, planned "
            f"{compared['planned']} {compared['currency']}, found {compared['found']} {compared['currency']}"
        )
        text += [f"  {one}" for one in compared["differences"][:LINES]]
    return text + (_lines(now, limit=LINES) if now else [])


def _heading(now: dict[str, Any]) -> list[str]:
    """Both totals side by side, the period and the invoices."""
    currency = now["currency"]
    equal = "equal" if now["equal"] else f"NOT EQUAL, {now['to_come']} still to come"
    start, end = (
        written_moment(datetime.fromisoformat(now[name])) if now[name] else "?" for name in ("period_from", "period_to")
    )
    return [
        f"Bill {now['bill_id']} of {start} to {end}, on invoice {', '.join(now['invoices']) or 'none'}",
        f"Bill {now['bill_total']} {currency} (exactly {now['bill_total_exact']}), "
        f"added {now['invoice_total_added']} {currency}: {equal}",
    ]


def _lines(now: dict[str, Any], *, limit: int | None) -> list[Any]:
    """Where each line went, and what is still to come."""
    parts = [(line, charge) for line in now["lines"] for charge in line["charges"] or [None]]
    done = [(line, charge) for line, charge in parts if charge is None or charge["status"] == ledger.DONE]
    to_come = [(line, charge) for line, charge in parts if charge is not None and charge["status"] != ledger.DONE]
    text: list[Any] = []
    for title, found in (("Where each line went", done), ("Still to come", to_come)):
        if found:
            rows = [_row(line, charge) for line, charge in found[:limit]]
            columns = ["line", "exact", "amount", "how", "part", "charge", "charged", "invoice"]
            text.append(table(title, columns, rows))
        if limit is not None and len(found) > limit:
            text.append(
                f"… and {len(found) - limit} more: `connector bills receipt {now['bill_id']}` has all that is sent"
            )
    return text


def _row(line: dict[str, Any], charge: dict[str, Any] | None) -> list[Any]:
    what = [line["description"] or line["line_type"], line["exact"], line["amount"]]
    if charge is None:
        return [*what, "nothing to charge", None, None, None, None]
    how = receipts.how(charge) if charge["status"] == ledger.DONE else charge["status"]
    return [*what, how, charge["amount"], receipts.charge_name(charge), charge["of"], receipts.invoice_of(charge)]


def _plan_text(plan: PushPlan) -> list[Any]:
    document = planned.as_json(plan)
    rows = [
        [line["line_type"], line["description"], line["exact"], line["amount"], line["to_add"]]
        for line in document["lines"]
    ]
    text: list[Any] = [table(f"Bill {plan.bill_id}", ["type", "line", "exact", "amount", "open"], rows)]
    if plan.charges:
        names = {line.key: line.description for line in plan.lines}
        sends = [
            [one["kind"], one["item_price_id"] or one["description"], one["amount"], one["subscription_id"],
             one["invoice_id"] or one["customer_id"],
             ", ".join(f"{part['amount']} {names.get(part['line'], 'a line that is gone')}" for part in one["parts"])]
            for one in document["charges"]
        ]  # fmt: skip
        text.append(
            table("What would be sent", ["kind", "charge", "amount", "subscription", "where to", "made of"], sends)
        )
    text.append(
        f"Total {document['total']} {plan.currency} (exactly {document['exact_total']}), to add {document['to_add']}; "
        f"plan {plan.sha256 or '-'}"
    )
    text += [f"{one['code']}: {one['text']}\n  Next: {one['next_step']}" for one in document["problems"]]
    return text
