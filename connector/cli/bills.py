"""`connector bills …`"""

from collections import Counter
from dataclasses import asdict
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
from sqlalchemy import select

from connector import audit, jobs, syncs
from connector.bills import asking, closing, ledger, receipts, shadow
from connector.bills import plan as plans
from connector.bills.closing import Work
from connector.bills.comparing import DIFFERS, EQUAL, SAME_SUMS
from connector.bills.guards import PEOPLE
from connector.bills.lines import content_hash
from connector.bills.plan import PushPlan
from connector.bills.push import approval_wish, plan_for
from connector.cli.common import attempt_now, connection_option, output, show, table, wire
from connector.errors import ConnectorError, Parked
from connector.mappings.pairs import day_or_time
from connector.mappings.table import customers_of
from connector.models import SeenBill, Sync
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
    asking.must_be_approved(bill)
    with services.reading() as db:
        live = ledger.live_snapshot(db, connection, bill_id)
    plan = None
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
    elif dry_run or wanted:
        raise ConnectorError(f"a push of bill {bill_id} is under way already: `connector bills show {bill_id}`")
    # Here instead of in a worker; its lease keeps the two apart.
    return attempt_now(services, asking.begin(services, connection, bill, plan, who=audit.actor()))


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


@bills_group.command("list")
@click.option("--status", help="pending, running, waiting, parked, succeeded or superseded.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@connection_option
@output
def list_bills(status: str | None, limit: int, connection: str) -> Any:
    """List bills, the newest first: what was added of each, on which invoices, and how long one still waits for its own."""
    services = wire()
    with services.reading() as db:
        found = receipts.listed(db, connection, status=status, limit=limit)
    work = _work_by_bill(services, connection)
    for one in found:
        one["deadline"] = _deadline(services, connection, one["cause"], one["billed_until"])
        one["work"] = [_work_json(left) for left in work.get(one["bill_id"], ())]
    rows = [
        [one["bill_id"], one["status"], one["cause"], _amount(one, "bill_total"), _amount(one, "invoice_total_added"),
         ", ".join(one["invoices"]), _left(one["deadline"], services.now()),
         "\n".join(_countdown(left, services.now()) for left in work.get(one["bill_id"], ())),
         f"{one['updated_at']:%Y-%m-%d %H:%M}"]
        for one in found
    ]  # fmt: skip
    columns = ["bill", "status", "cause", "total", "added", "invoices", "waits until", "to do", "last changed"]
    return {"bills": [_in_json(one) for one in found]}, table("Bills", columns, rows)


def _work_by_bill(services: Services, connection: str) -> dict[str, list[Work]]:
    found: dict[str, list[Work]] = {}
    for one in closing.of_connection(services, connection):
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


def _amount(one: dict[str, Any], name: str) -> str | None:
    return None if one[name] is None else f"{one[name]} {one['currency']}"


def _in_json(one: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in one.items()}


def _deadline(services: Services, connection: str, cause: str | None, billed_until: datetime | None) -> datetime | None:
    """Until when a bill waits for its invoice; None where it does not, or where no poll has seen its period."""
    settings = services.connection(connection).settings
    if cause != "no_pending_invoice" or settings.late_bills == "next_invoice":
        return None
    if billed_until is None or billed_until.year not in plans.YEARS:
        return None
    return billed_until + timedelta(days=settings.wait_for_invoice_days)


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
        receipt = receipts.current(db, connection, bill_id)
        stored = receipts.latest(db, connection, bill_id)
    if receipt is None or stored is None:
        raise ConnectorError(
            f"there is no receipt of bill {bill_id}; `connector bills show {bill_id}` says how far it is"
        )
    if not (as_csv or as_page):
        document = {"bill_id": bill_id, "receipt": stored.body, "sha256": stored.sha256, "now": receipt}
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
    with services.reading() as db:
        stored = receipts.latest(db, connection, bill_id)
        live = ledger.live_snapshot(db, connection, bill_id)
        intents = ledger.intents(db, live.id) if live else []
        now = receipts.report(db, live) if live else receipts.current(db, connection, bill_id)
        invoices = receipts.invoice_ids(ledger.done_lines(db, connection, bill_id))
        latest = select(Sync).where(Sync.connection == connection, Sync.kind == "bill", Sync.subject == bill_id)
        sync = db.scalars(latest.order_by(Sync.id.desc())).first()
        seen = db.scalars(select(SeenBill).filter_by(connection=connection, bill_id=bill_id)).first()
        account_id = now["account_id"] if now else seen.account_id if seen else None
        customer = customers_of(db, connection, [account_id] if account_id else [])
        compared = shadow.of_bill(db, connection, bill_id)
    if sync is None and stored is None:
        raise ConnectorError(f"nothing is known of bill {bill_id}; `connector bills plan {bill_id}` asks m3ter")
    deadline = _deadline(services, connection, sync.cause if sync else None, seen.billed_until if seen else None)
    work = _work_by_bill(services, connection).get(bill_id, [])
    document = {
        "bill_id": bill_id,
        "account_id": account_id,
        "customer_id": customer.get(account_id or ""),
        "sync": syncs.as_json(sync) if sync else None,
        "deadline": deadline.isoformat() if deadline else None,
        "work": [_work_json(one) for one in work],
        "invoices": invoices,
        "receipt": stored.body | {"sha256": stored.sha256} if stored else None,
        "now": now,
        "shadow": compared,
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
    countdowns = [_countdown(one, services.now()) for one in work]
    return document, _bill_text(document, _left(deadline, services.now()), countdowns)


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
        day_or_time(datetime.fromisoformat(now[name])) if now[name] else "?" for name in ("period_from", "period_to")
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
