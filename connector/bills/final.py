"""What follows a push: the invoice closed, the bill locked, and the final id that a closed invoice gets (chargebee.md §5.5)."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from connector import days, syncs
from connector.bills import ledger, moved
from connector.bills.ledger import DONE
from connector.bills.planned import AD_HOC, CHARGE_ITEM
from connector.bills.routing import OWN_INVOICE, UNBILLED
from connector.clients.chargebee_objects import Invoice, InvoiceLine
from connector.clients.m3ter_objects import Bill
from connector.errors import NotFound, Rejected
from connector.invoice_terms import PENDING
from connector.models import LinePush
from connector.services import Services
from connector.syncs import Run

CHARGES = (CHARGE_ITEM, AD_HOC, UNBILLED, OWN_INVOICE)


def after_push(services: Services, run: Run, bill: Bill) -> None:
    """Close the invoices of a pushed bill and lock it, where the settings say so; done before, it costs no more than a look."""
    close_invoices(services, run, bill)
    settings = services.connection(run.connection).settings
    if settings.lock_bills and not bill.locked:
        services.connection(run.connection).m3ter.lock_bill(bill.id)
        run.note("locked the bill in m3ter")


def close_invoices(services: Services, run: Run, bill: Bill) -> None:
    """Close the invoices that were made for the bill, for no renewal would; others where the settings say so."""
    all_of_them = services.connection(run.connection).settings.close_invoices
    with services.reading() as db:
        rows = _open_rows(db, run.connection, bill_id=bill.id)
    own = {row.invoice_id for row in rows if row.invoice_id is not None and row.kind == OWN_INVOICE}
    shared = {row.invoice_id for row in rows if row.invoice_id is not None} - own if all_of_them else set()
    if shared and (missing := _bills_to_come(services, run, bill)):
        run.note(f"left the invoice open: {', '.join(missing)} for the same period is not on it yet")
        shared = set()
    for invoice_id in sorted(own | shared):
        _close(services, run, invoice_id)


def _close(services: Services, run: Run, invoice_id: str) -> None:
    chargebee = services.connection(run.connection).chargebee
    try:
        closed = chargebee.close_invoice(
            invoice_id, idempotency_key=f"close|{services.installation}|{run.connection}|{invoice_id}"[:100]
        )
    except (NotFound, Rejected) as refused:
        run.note(f"invoice {invoice_id} was not closed by us: {refused}")
        return
    run.note(f"closed invoice {invoice_id}, which is {closed.id} now")
    with services.transaction() as db:
        for bill_id in adopt(db, run.connection, closed):
            syncs.ask(
                db, connection=run.connection, kind="receipt", subject=bill_id,
                trigger=f"closing by sync {run.sync_id}", now=services.now(),
            )  # fmt: skip


def _bills_to_come(services: Services, run: Run, bill: Bill) -> list[str]:
    """The account's other bills that belong on the invoice of the same day and are not pushed yet."""
    day = days.invoiced_on(bill)
    if day is None:
        return [bill.id]
    m3ter = services.connection(run.connection).m3ter
    others = [
        one
        for status in ("PENDING", "APPROVED")
        for one in m3ter.list_bills(status=status, bill_date_start=day, account_id=bill.account_id)
        if one.id != bill.id and days.may_be_invoiced_on(one, day)
    ]
    with services.reading() as db:
        return [
            one.id for one in others if one.status != "APPROVED" or not ledger.is_charged(db, run.connection, one.id)
        ]


def close_wish(bill_id: str) -> str:
    """What a bill waits for that has to give something back on an invoice that is not closed yet."""
    return f"closed:{bill_id}"


def adopt(db: Session, connection: str, invoice: Invoice) -> list[str]:
    """Note the final id of a closed invoice with every charge that was put on it while it was pending.

    Answers the ids of the bills that these charges are of. The lines are recognised by their ids, or, should those have
    changed, by what they are: all charges of one pending invoice, or none; and each unbilled charge for itself. No line is
    taken for two charges.
    """
    if invoice.status == PENDING:
        return []
    subscriptions = {invoice.subscription_id, *(line.subscription_id for line in invoice.lines)} - {None}
    rows = _open_rows(db, connection, subscription_ids=[one for one in subscriptions if one is not None])
    bills: dict[str, None] = {}
    taken = set(ledger.closed_lines(db, connection, invoice.id))
    drafts = [row.invoice_id for row in rows if row.kind != UNBILLED and row.invoice_id != invoice.id]
    for draft_id in dict.fromkeys(drafts):
        mine = [row for row in rows if row.invoice_id == draft_id]
        line_ids = _recognised(mine, [line for line in invoice.lines if line.id not in taken])
        if line_ids is None:
            continue
        taken.update(line_ids)
        for row, line_id in zip(mine, line_ids, strict=True):
            row.final_invoice_id, row.chargebee_line_id = invoice.id, line_id
            bills[row.bill_id] = None
    db.flush()
    unbilled = [ledger.as_intent(row) for row in rows if row.kind == UNBILLED]
    for charge, line in moved.taken_by(invoice, unbilled, taken):
        ledger.follow(db, charge, line.id, invoice)
        bills[next(row.bill_id for row in rows if row.id == charge.id)] = None
    return list(bills)


def _open_rows(
    db: Session, connection: str, *, bill_id: str | None = None, subscription_ids: Sequence[str] = ()
) -> list[LinePush]:
    """Charges that were made on invoices of which we do not know yet that they are closed."""
    wanted = [LinePush.bill_id == bill_id] if bill_id else [LinePush.subscription_id.in_(subscription_ids)]
    rows = select(LinePush).where(
        LinePush.connection == connection, LinePush.status == DONE, LinePush.kind.in_(CHARGES),
        LinePush.final_invoice_id.is_(None), *wanted,
    )  # fmt: skip
    return list(db.scalars(rows.order_by(LinePush.id)))


def _recognised(rows: Sequence[LinePush], lines: Sequence[InvoiceLine]) -> list[str] | None:
    """The line's id for each row, or None where one of them is not among the lines."""
    by_id = {line.id for line in lines}
    if all(row.chargebee_line_id in by_id for row in rows):
        return [str(row.chargebee_line_id) for row in rows]
    left = list(lines)
    found: list[str] = []
    for row in rows:
        line = next((line for line in left if _is_of(line, row)), None)
        if line is None:
            return None
        left.remove(line)
        found.append(line.id)
    return found


def _is_of(line: InvoiceLine, row: LinePush) -> bool:
    is_ad_hoc = row.item_price_id is None
    what = line.description == row.description if is_ad_hoc else line.entity_id == row.item_price_id
    return what and line.amount == row.amount_minor and (line.date_from, line.date_to) == (row.date_from, row.date_to)
