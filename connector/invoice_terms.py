"""Which terms of subscriptions the invoices seen bill in advance, so that those still pending are found without reading them all.

Closing gives a pending invoice another id and no event tells which (chargebee.md §5.5): what was pending is known to be closed
by another invoice that bills the same term.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session, aliased

from connector.clients.chargebee_objects import Invoice
from connector.clients.http import Unreadable
from connector.database import batches, insert
from connector.models import IS_PENDING, InvoiceTerm

PENDING = "pending"


@dataclass(frozen=True)
class Term:
    """A term of a subscription that an invoice bills in advance; times are UTC, the end is exclusive.

    `dated` is the invoice's own date, None where it has none yet.
    """

    invoice_id: str
    subscription_id: str
    starts_at: datetime
    ends_at: datetime
    dated: datetime | None

    @property
    def opened_at(self) -> datetime:
        """The earliest that the invoice can have been made."""
        return min(self.starts_at, self.dated or self.starts_at)


def plan_starts(invoice: Invoice, subscription_id: str) -> list[datetime]:
    """When the terms begin that the invoice bills in advance for a subscription's plan."""
    return [
        line.date_from
        for line in invoice.lines
        if line.entity_type == "plan_item_price" and line.subscription_id in (None, subscription_id)
    ]


def terms(invoice: Invoice) -> list[Term]:
    """All terms that the invoice bills in advance, of each of its subscriptions; the same one once."""
    subscriptions = {invoice.subscription_id, *(line.subscription_id for line in invoice.lines)} - {None}
    return [
        Term(invoice.id, str(one), start, max(line.date_to for line in invoice.lines if line.date_from == start), invoice.date)
        for one in sorted(map(str, subscriptions))
        for start in sorted(set(plan_starts(invoice, one)))
    ]  # fmt: skip


def note(db: Session, connection: str, body: dict[str, Any], now: datetime) -> None:
    """Keep the terms of an invoice, as its newest state has them, in the place of those that it had before."""
    db.execute(delete(InvoiceTerm).filter_by(connection=connection, invoice_id=body["id"]))
    if rows := as_rows(connection, body, now):
        db.execute(insert(db, InvoiceTerm).values(rows))


def as_rows(connection: str, body: dict[str, Any], seen_at: datetime) -> list[dict[str, Any]]:
    """The rows of an invoice as it was seen; none where it cannot be read, for an event keeps whatever it brings."""
    try:
        invoice = Invoice.from_json(body)
    except Unreadable:
        return []
    is_pending = invoice.status == PENDING and not body.get("deleted")
    return [
        {"connection": connection, **vars(one), "is_pending": is_pending, "seen_at": seen_at} for one in terms(invoice)
    ]


def pending(db: Session, connection: str, since: datetime) -> list[Term]:
    """The terms of all invoices that were pending when last seen, since then, and are not known to be closed."""
    return _pending(db, connection, since, IS_PENDING)


def pending_of(
    db: Session, connection: str, since: datetime, *, subscription_ids: Collection[str], invoice_ids: Collection[str]
) -> list[Term]:
    """As `pending`, of these subscriptions and on these invoices only."""
    found: set[Term] = set()
    for column, ids in ((InvoiceTerm.subscription_id, subscription_ids), (InvoiceTerm.invoice_id, invoice_ids)):
        for some in batches(ids):
            found.update(_pending(db, connection, since, InvoiceTerm.is_pending, column.in_(some)))
    return sorted(found, key=_order)


def _pending(db: Session, connection: str, since: datetime, *wanted: Any) -> list[Term]:
    closed = aliased(InvoiceTerm)
    is_closed = (
        select(closed.id)
        .where(
            closed.connection == InvoiceTerm.connection, closed.subscription_id == InvoiceTerm.subscription_id,
            closed.starts_at == InvoiceTerm.starts_at, closed.seen_at > since, ~closed.is_pending,
        )
        .exists()
    )  # fmt: skip
    columns = (
        InvoiceTerm.invoice_id,
        InvoiceTerm.subscription_id,
        InvoiceTerm.starts_at,
        InvoiceTerm.ends_at,
        InvoiceTerm.dated,
    )
    rows = db.execute(
        select(*columns).where(
            InvoiceTerm.connection == connection, InvoiceTerm.seen_at > since, *wanted, ~is_closed
        )
    )  # fmt: skip
    return sorted((Term(*row) for row in rows), key=_order)


def _order(one: Term) -> tuple[datetime, str, str]:
    return one.starts_at, one.subscription_id, one.invoice_id
