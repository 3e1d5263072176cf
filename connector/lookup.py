"""Finding syncs and events by whatever id a person has at hand, of either system, and a page at a time."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, or_, select
from sqlalchemy.orm import Session, defer

from connector import inbox
from connector.models import Account, AccountPlan, BillSnapshot, EventRecord, InboxEvent, LinePush, SeenBill, Sync

MOST = 200


@dataclass(frozen=True)
class Filter:
    """Which syncs: those to which all apply that are given. `about` is any id of either system."""

    connection: str | None = None
    status: str | None = None
    kind: str | None = None
    cause: str | None = None
    about: str | None = None

    def conditions(self, db: Session) -> list[ColumnElement[bool]]:
        """What the database is asked for."""
        columns = (
            (Sync.connection, self.connection),
            (Sync.status, self.status),
            (Sync.kind, self.kind),
            (Sync.cause, self.cause),
        )
        plain = [column == value for column, value in columns if value is not None]
        return plain if self.about is None else [*plain, _about(db, self.about)]


def syncs(db: Session, wanted: Filter, *, before: int | None = None, limit: int) -> list[Sync]:
    """The newest syncs like this; older than sync `before`."""
    older = [] if before is None else [Sync.id < before]
    found = select(Sync).where(*wanted.conditions(db), *older).order_by(Sync.id.desc()).limit(limit)
    return list(db.scalars(found))


def held_back(db: Session, wanted: Filter, *, now: datetime, limit: int) -> list[Sync]:
    """The oldest syncs like this that a retry would let go on."""
    still = or_(Sync.status.in_(("parked", "waiting")), and_(Sync.status == "pending", Sync.next_attempt_at > now))
    return list(db.scalars(select(Sync).where(*wanted.conditions(db), still).order_by(Sync.id).limit(limit)))


def _about(db: Session, text: str) -> ColumnElement[bool]:
    """The syncs whose subject this is, or is told of by it: an account by its customer, an invoice by its bills."""
    told = [
        (kind, connection, subject)
        for kind, asked in _known_by(text)
        for connection, subject in db.execute(asked.limit(MOST))
        if subject
    ]
    named = [
        # The same id on another site is something else.
        and_(Sync.connection == connection, Sync.kind == kind, Sync.subject == subject)
        for kind, connection, subject in dict.fromkeys(told)
    ]
    return or_(Sync.subject == text, Sync.trigger == inbox.trigger_of(text), *named)


def _known_by(text: str) -> Sequence[tuple[str, Select[str, str]]]:
    """Kind, connections and subjects of the syncs that this id tells of."""
    return (
        (
            "customer",
            select(Account.connection, Account.customer_id).where(or_(Account.m3ter_id == text, Account.code == text)),
        ),
        (
            "subscription",
            select(AccountPlan.connection, AccountPlan.subscription_id).where(
                or_(AccountPlan.m3ter_id == text, AccountPlan.code == text)
            ),
        ),
        ("bill", select(SeenBill.connection, SeenBill.bill_id).where(SeenBill.account_id == text)),
        ("bill", select(BillSnapshot.connection, BillSnapshot.bill_id).where(BillSnapshot.account_id == text)),
        (
            "bill",
            select(LinePush.connection, LinePush.bill_id)
            .where(
                or_(
                    LinePush.invoice_id == text,
                    LinePush.final_invoice_id == text,
                    LinePush.chargebee_line_id == text,
                    LinePush.subscription_id == text,
                    LinePush.customer_id == text,
                )
            )
            .distinct(),
        ),
    )


def events(
    db: Session,
    connections: Collection[str],
    about: str,
    *,
    status: str | None = None,
    source: str | None = None,
    event_type: str | None = None,
    before: int | None = None,
    limit: int,
) -> list[InboxEvent]:
    """The newest events, without their bodies, that have this id themselves, tell of it, or opened a sync about it.

    What an event tells of is kept when it is dispatched; of one from before that was kept, it stands in its body alone.
    """
    start = inbox.trigger_of("")
    triggers = (
        select(Sync.trigger)
        .where(Sync.connection.in_(connections), _about(db, about), Sync.trigger.startswith(start, autoescape=True))
        .order_by(Sync.id.desc())
        .limit(MOST)
    )
    ids = {about, *(one.removeprefix(start) for one in db.scalars(triggers))}
    telling = (
        select(EventRecord.inbox_id)
        .where(EventRecord.connection.in_(connections), EventRecord.record_id == about)
        .where(*([] if before is None else [EventRecord.inbox_id < before]))
        .order_by(EventRecord.inbox_id.desc())
        .limit(MOST)
    )
    wanted = [
        InboxEvent.connection.in_(connections),
        # The index of ids begins with connection and source.
        InboxEvent.source.in_(inbox.SOURCES if source is None else (source,)),
        *([] if status is None else [InboxEvent.status == status]),
        *([] if event_type is None else [InboxEvent.event_type == event_type]),
        *([] if before is None else [InboxEvent.id < before]),
    ]
    found: dict[int, InboxEvent] = {}
    # Two statements, each with an index of its own: no database likes to be asked for one or the other.
    for named in (InboxEvent.event_id.in_(ids), InboxEvent.id.in_(list(db.scalars(telling)))):
        rows = select(InboxEvent).where(named, *wanted).order_by(InboxEvent.id.desc()).limit(limit)
        found |= {row.id: row for row in db.scalars(rows.options(defer(InboxEvent.body)))}
    return sorted(found.values(), key=lambda row: -row.id)[:limit]
