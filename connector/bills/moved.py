"""Which lines of an invoice are ours: by the ids that were recorded or, where those may have changed, by what the lines are.

Whether an unbilled charge keeps its id on the invoice that takes it is not documented (chargebee.md §8, way C). So a charge
that is not there by its id is also known by its item, amount and days, each charge by one line and no line for two. Only an
invoice that was made after the charge can have taken it.
"""

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy.orm import Session

from connector.bills import ledger
from connector.bills.invoices import is_ours
from connector.bills.ledger import Intent
from connector.clients.chargebee_objects import Invoice, InvoiceLine

CHARGE_TYPES = ("charge_item_price", "adhoc")


def taken_by(
    invoice: Invoice, charges: Iterable[Intent], claimed: Collection[str] = ()
) -> list[tuple[Intent, InvoiceLine]]:
    """Those of these unbilled charges that the invoice has, each with its line; `claimed` are lines of other charges."""
    by_id = {line.id: line for line in invoice.lines}
    found = [(one, by_id[str(one.chargebee_line_id)]) for one in charges if one.chargebee_line_id in by_id]
    known = {*claimed, *(line.id for _, line in found)}
    left = [line for line in invoice.lines if line.id not in known]
    for one in charges:
        if one.chargebee_line_id in by_id or not _may_have_taken(invoice, one):
            continue
        line = next((line for line in left if is_ours(line, one)), None)
        if line is not None:
            left.remove(line)
            found.append((one, line))
    return found


def _may_have_taken(invoice: Invoice, charge: Intent) -> bool:
    """Whether the invoice was made after the charge; closing may give it a later date than its plan's lines have."""
    starts = [line.date_from for line in invoice.lines if line.entity_type == "plan_item_price"]
    made = min([*starts, *([invoice.date] if invoice.date else [])], default=None)
    return made is not None and charge.sent_at is not None and made >= charge.sent_at.replace(microsecond=0)


def our_lines(db: Session, connection: str, invoices: Sequence[Invoice]) -> frozenset[str]:
    """The ids of all lines on these invoices that some push has made."""
    ours = set(ledger.our_lines(db, connection, {invoice.id for invoice in invoices}))
    charges = [line for invoice in invoices for line in invoice.lines if line.entity_type in CHARGE_TYPES]
    ours |= ledger.claimed(db, connection, {line.id for line in charges} - ours)
    named = {invoice.subscription_id for invoice in invoices} | {line.subscription_id for line in charges}
    waiting = ledger.unbilled(db, connection, [one for one in named if one is not None])
    for invoice in invoices:
        found = taken_by(invoice, waiting, ours)
        ours |= {line.id for _, line in found}
        taken = {one.id for one, _ in found}
        waiting = [one for one in waiting if one.id not in taken]
    return frozenset(ours)
