"""`connector bills …`"""

from typing import Any

import click
from sqlalchemy import select

from connector import audit, handlers, jobs, syncs
from connector.bills import ledger, receipts
from connector.bills import plan as plans
from connector.bills.guards import PEOPLE
from connector.bills.lines import content_hash
from connector.bills.plan import PushPlan
from connector.bills.push import approval_wish, check_guards, freeze, plan_for
from connector.cli.common import connection_option, output, show, table, wire
from connector.errors import ConnectorError, Parked
from connector.models import Sync
from connector.services import Services


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
    return plans.as_json(plan) | {"status": bill.status, "exit_status": 1 if plan.problems else 0}, _plan_text(plan)


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
    bill = services.connection(connection).m3ter.get_bill(bill_id)
    if bill.status != "APPROVED":
        raise Parked("not_approved", f"bill {bill_id} is {bill.status}", "Approve it in m3ter first.")
    with services.reading() as db:
        live = ledger.live_snapshot(db, connection, bill_id)
    if live is None:
        plan = plan_for(services, connection, bill)
        if wanted and plan.sha256 != wanted:
            raise Parked(
                "plan_changed",
                f"the plan is now {plan.sha256 or 'not possible'}",
                "Look at `connector bills plan` again.",
            )
        if dry_run or plan.problems:
            document = plans.as_json(plan) | {"dry_run": dry_run, "exit_status": 1 if plan.problems else 0}
            return document, _plan_text(plan)
        if not yes:
            show(_plan_text(plan), on_standard_error=True)
            click.confirm("Add these lines?", abort=True, err=True)
        check_guards(services, connection, plan, content_hash(bill), by_a_person=True)
        if plan.charges:
            freeze(services, connection, bill, plan)
    elif dry_run or wanted:
        raise ConnectorError(f"a push of bill {bill_id} is under way already: `connector bills show {bill_id}`")
    return _push_now(services, connection, bill_id)


@bills_group.command("approve")
@click.argument("bill_id")
@connection_option
@output
def approve_bill(bill_id: str, connection: str) -> Any:
    """Approve the push of BILL_ID as m3ter has calculated it now; above TWO_PEOPLE_ABOVE two people have to."""
    services = wire()
    bill = services.connection(connection).m3ter.get_bill(bill_id)
    now, who = services.now(), audit.actor()
    with services.transaction() as db:
        people = ledger.approve(db, connection, bill_id, content_hash(bill), who, now)
        audit.note(db, who=who, action="bills approve", connection=connection, subject=bill_id, now=now)
        woken = syncs.wake(db, connection, [approval_wish(bill_id)], now) if len(people) >= PEOPLE else []
        due = syncs.mark_queued(db, woken, now)
    jobs.enqueue(services.redis, due)
    return {
        "bill_id": bill_id,
        "approved_by": people,
        "woken": woken,
    }, f"Bill {bill_id} is approved by {', '.join(people)}."


def _push_now(services: Services, connection: str, bill_id: str) -> Any:
    """Run the bill's sync here instead of in a worker; its lease keeps the two apart."""
    now, who = services.now(), audit.actor()
    with services.transaction() as db:
        sync_id = syncs.ask(
            db, connection=connection, kind="bill", subject=bill_id, trigger=f"pushed by {who}", now=now
        )
        syncs.retry(db, sync_id, who, now)
        audit.note(db, who=who, action="bills push", connection=connection, subject=bill_id, now=now, sync=sync_id)
    status = syncs.attempt(services, sync_id, handlers.KINDS)
    with services.reading() as db:
        row = db.get_one(Sync, sync_id)
    document = syncs.as_json(row) | {"exit_status": 0 if status == "succeeded" else 1}
    return document, f"{status}: {row.text or ''}" + (f"\nNext: {row.next_step}" if row.next_step else "")


@bills_group.command("show")
@click.argument("bill_id")
@connection_option
@output
def show_bill(bill_id: str, connection: str) -> Any:
    """Show what has been done about BILL_ID: its receipt, or how far its push has come."""
    services = wire()
    with services.reading() as db:
        receipt = receipts.latest(db, connection, bill_id)
        live = ledger.live_snapshot(db, connection, bill_id)
        intents = ledger.intents(db, live.id) if live else []
        invoices = receipts.invoice_ids(ledger.done_lines(db, connection, bill_id))
        latest = select(Sync).where(Sync.connection == connection, Sync.kind == "bill", Sync.subject == bill_id)
        sync = db.scalars(latest.order_by(Sync.id.desc())).first()
    if sync is None and receipt is None:
        raise ConnectorError(f"nothing is known of bill {bill_id}; `connector bills plan {bill_id}` asks m3ter")
    document = {
        "bill_id": bill_id,
        "sync": syncs.as_json(sync) if sync else None,
        "invoices": invoices,
        "receipt": receipt.body | {"sha256": receipt.sha256} if receipt else None,
        "under_way": [
            {
                "item_price_id": one.item_price_id,
                "invoice_id": one.invoice_id,
                "amount_minor": one.amount_minor,
                "currency": one.currency,
                "status": one.status,
                "chargebee_line_id": one.chargebee_line_id,
            }
            for one in intents
        ],
    }
    return document, _bill_text(document)


def _bill_text(document: dict[str, Any]) -> list[Any]:
    text: list[Any] = []
    if sync := document["sync"]:
        text.append(f"Sync {sync['id']}: {sync['status']}. {sync['text'] or ''}")
        text += [f"Next: {sync['next_step']}"] if sync["next_step"] else []
    if document["under_way"]:
        columns = ["item_price_id", "invoice_id", "amount_minor", "currency", "status", "chargebee_line_id"]
        text.append(table("Under way", columns, [[one[name] for name in columns] for one in document["under_way"]]))
    if receipt := document["receipt"]:
        rows = [
            [line["description"], line["exact"], line["amount"], charge.get("item_price_id"), charge.get("amount"),
             charge.get("invoice_id"), charge.get("chargebee_line_id")]
            for line in receipt["lines"]
            for charge in line["charges"] or [{}]
        ]  # fmt: skip
        title = f"Receipt of bill {document['bill_id']}, {receipt['pushed_at']}"
        text.append(table(title, ["m3ter line", "exact", "amount", "item price", "added", "invoice", "line"], rows))
        text.append(
            f"Bill {receipt['bill_total']} {receipt['currency']} (exactly {receipt['bill_total_exact']}), "
            f"added {receipt['invoice_total_added']} {receipt['currency']}: {'equal' if receipt['equal'] else 'NOT EQUAL'}"
        )
    return text


def _plan_text(plan: PushPlan) -> list[Any]:
    document = plans.as_json(plan)
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
