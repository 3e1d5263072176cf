"""Which records of either system each event tells of, so that an event is found by them though it opened no sync."""

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy.orm import Session

from connector import inbox
from connector.bills import approvals
from connector.database import batches, insert
from connector.models import EventRecord, InboxEvent

# Of one event at most.
MOST = 50
# Where a record of Chargebee's names itself, and others that a person may look for.
FIELDS = ("id", "customer_id", "subscription_id", "invoice_id", "reference_invoice_id")


def keep(db: Session, rows: Iterable[InboxEvent]) -> None:
    """Keep what these events tell of, each record once."""
    found = [
        {"connection": row.connection, "record_id": one, "inbox_id": row.id} for row in rows for one in told_of(row)
    ]
    for some in batches(found):
        db.execute(insert(db, EventRecord).values(some).on_conflict_do_nothing())


def told_of(row: InboxEvent) -> list[str]:
    """The ids of the records in an event: Chargebee's in its content, or the bills that m3ter names."""
    try:
        body = inbox.read_json(row.body)
    except inbox.BadBody:
        return []
    ids = approvals.bills_named(body) if row.source == "m3ter" else _ids(body.get("content"))
    return list(dict.fromkeys(ids))[:MOST]


def _ids(content: Any) -> Iterator[str]:
    for value in content.values() if isinstance(content, dict) else ():
        for record in value if isinstance(value, list) else [value]:
            named = (record.get(field) for field in FIELDS) if isinstance(record, dict) else ()
            yield from (one for one in named if inbox.is_name(one))
