"""The durable inbox: what a delivery must look like, and one committed row for each event."""

import hashlib
import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeGuard

from sqlalchemy import ColumnElement, delete, func, literal, select, update
from sqlalchemy.orm import Session, defer

from connector.database import batches, insert
from connector.errors import ConnectorError
from connector.models import InboxEvent, QuarantinedBody, Sync

SOURCES = ("chargebee", "m3ter")
MAX_DEPTH = 64
MAX_NODES = 100_000
MAX_ID = 200
MAX_DIGITS = 300
QUARANTINE_ROWS = 1000
QUARANTINE_BYTES = 65_536
# Strings are stepped over whole, also one that never ends, so that the search takes linear time.
_STRUCTURE = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{},]', re.DOTALL)


class BadBody(ValueError):
    """A delivery that cannot become an event; the text says why."""


@dataclass(frozen=True)
class Event:
    """What the receiver reads of a delivery; everything else stays in the body."""

    event_id: str
    event_type: str
    occurred_at: datetime | None


def read_json(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`; raises BadBody for what could crash or mislead a reader."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadBody("the body is not UTF-8") from error
    _refuse_deep(text)
    try:
        found = json.loads(text, parse_float=_fraction, parse_constant=_no_constant, object_pairs_hook=_no_repeats)
    except RecursionError as error:
        raise BadBody("the JSON is nested too deep") from error
    except ValueError as error:
        raise BadBody(f"the body is not JSON that can be trusted: {error}"[:300]) from error
    if not isinstance(found, dict):
        raise BadBody("the body is not a JSON object")
    return found


def _refuse_deep(text: str) -> None:
    """Raise BadBody for nesting or sheer number of values that no event has, before anything is built."""
    depth = nodes = 0
    for mark in _STRUCTURE.findall(text):
        depth += (mark in "[{") - (mark in "]}")
        nodes += mark in ",[{"
        if depth > MAX_DEPTH or nodes > MAX_NODES:
            raise BadBody("the JSON is nested too deep or holds too many values")


def _fraction(text: str) -> Decimal:
    """A number of the payload, exactly; whether it can be an amount is asked where it is used as one."""
    try:
        number = Decimal(text)
    except ArithmeticError as error:
        raise ValueError("a number is too large") from error
    if len(text) > MAX_DIGITS or abs(number.adjusted()) > MAX_DIGITS:
        raise ValueError("a number is too large")
    return number


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def is_name(value: object) -> TypeGuard[str]:
    """Whether it is a text that can be an id or the name of a type."""
    return isinstance(value, str) and 0 < len(value) <= MAX_ID and value.isprintable()


def chargebee_event(body: bytes) -> Event:
    """The event in a Chargebee delivery (Chargebee API: Events); raises BadBody when it is none."""
    found = read_json(body)
    event_id, event_type, occurred_at = found.get("id"), found.get("event_type"), found.get("occurred_at")
    if not is_name(event_id):
        raise BadBody("the event has no id")
    if not is_name(event_type):
        raise BadBody("the event has no event_type")
    if found.get("api_version") != "v2":
        raise BadBody("the event's api_version is not v2: set the webhook to API version 2")
    if not isinstance(found.get("content"), dict):
        raise BadBody("the event has no content")
    if isinstance(occurred_at, bool) or not isinstance(occurred_at, int) or not 0 <= occurred_at < 2**33:
        raise BadBody("the event's occurred_at is not a time in seconds")
    return Event(str(event_id), str(event_type), datetime.fromtimestamp(occurred_at, UTC))


def m3ter_event(body: bytes) -> Event:
    """The event in a m3ter delivery; its shape is not documented, so any JSON object will do (m3ter.md §10.7)."""
    found = read_json(body)
    event_id, name = found.get("id"), found.get("eventName")
    return Event(
        event_id=str(event_id) if is_name(event_id) else hashlib.sha256(body).hexdigest(),
        event_type=str(name) if is_name(name) else "notification",
        occurred_at=None,
    )


def known(db: Session, connection: str, source: str, event_ids: Collection[str]) -> dict[tuple[str, ...], datetime]:
    """When those of these events occurred that are in the inbox, by id, type and that time in seconds since 1970."""
    rows = db.execute(
        select(InboxEvent.event_id, InboxEvent.event_type, InboxEvent.occurred_at).where(
            InboxEvent.connection == connection,
            InboxEvent.source == source,
            InboxEvent.event_id.in_(event_ids),
        )
    )
    return {(event_id, of_type, str(int(at.timestamp()))): at for event_id, of_type, at in rows if at is not None}


def record(db: Session, *, connection: str, source: str, event: Event, body: bytes, now: datetime) -> bool:
    """Keep the event; True when it is new. The same id with another body is kept as a conflict beside the first."""
    digest = hashlib.sha256(body).hexdigest()
    made = db.scalar(
        insert(db, InboxEvent)
        .values(
            connection=connection, source=source, event_id=event.event_id, event_type=event.event_type,
            occurred_at=event.occurred_at, received_at=now, body=body, sha256=digest, status="new",
        )
        .on_conflict_do_nothing(index_elements=["connection", "source", "event_id"])
        .returning(InboxEvent.id)
    )  # fmt: skip
    if made is not None:
        return True
    known = db.scalar(
        select(InboxEvent.sha256).where(
            InboxEvent.connection == connection, InboxEvent.source == source, InboxEvent.event_id == event.event_id
        )
    )
    if known != digest:
        _keep_conflict(db, connection, source, event, body, now)
    return False


def _keep_conflict(db: Session, connection: str, source: str, event: Event, body: bytes, now: datetime) -> None:
    """A retried event differs from its first delivery in its own delivery state; only other differences are a conflict."""
    first = db.scalar(
        select(InboxEvent.body).where(
            InboxEvent.connection == connection, InboxEvent.source == source, InboxEvent.event_id == event.event_id
        )
    )
    if first is None or _without_delivery_state(first) != _without_delivery_state(body):
        quarantine(
            db, connection=connection, source=source, body=body, now=now,
            reason=f"event {event.event_id} came again with another content; the first one counts",
        )  # fmt: skip


def _without_delivery_state(body: bytes) -> dict[str, Any]:
    found = read_json(body)
    return {
        key: value
        for key, value in found.items()
        if key not in ("webhook_status", "webhooks", "webhook_failure_reason")
    }


def quarantine(db: Session, *, connection: str, source: str, body: bytes, reason: str, now: datetime) -> None:
    """Keep a delivery that cannot become an event, for a person to look at; only the newest of them are kept."""
    db.add(
        QuarantinedBody(
            connection=connection, source=source, received_at=now, reason=reason, body=body[:QUARANTINE_BYTES]
        )
    )
    db.flush()
    newest = db.scalar(select(func.max(QuarantinedBody.id))) or 0
    db.execute(delete(QuarantinedBody).where(QuarantinedBody.id <= newest - QUARANTINE_ROWS))


def take_new(db: Session, limit: int) -> list[InboxEvent]:
    """The oldest new events, held so that no other dispatcher takes them meanwhile."""
    return list(
        db.scalars(
            select(InboxEvent)
            .where(InboxEvent.status == "new")
            .order_by(InboxEvent.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
    )


def has_new(db: Session) -> bool:
    """Whether anything waits to be dispatched."""
    return db.scalar(select(InboxEvent.id).where(InboxEvent.status == "new").limit(1)) is not None


def listed(
    db: Session,
    connections: Collection[str],
    *,
    status: str | None = None,
    event_type: str | None = None,
    source: str | None = None,
    event_id: str | None = None,
    before: int | None = None,
    limit: int,
) -> list[InboxEvent]:
    """The newest events of these connections like this, without their bodies; older than row `before`."""
    wanted = [] if before is None else [InboxEvent.id < before]
    wanted += [
        column == value
        for column, value in (
            # Written out: an index of some rows only is not found by a parameter.
            (InboxEvent.status, status and literal(status, literal_execute=True)),
            (InboxEvent.event_type, event_type),
            (InboxEvent.event_id, event_id),
        )
        if value is not None
    ]
    found: list[InboxEvent] = []
    for origin in _origins(connections, source, event_id):
        rows = select(InboxEvent).where(*origin, *wanted).order_by(InboxEvent.id.desc()).limit(limit)
        found += db.scalars(rows.options(defer(InboxEvent.body)))
    return sorted(found, key=lambda row: -row.id)[:limit]


def _origins(connections: Collection[str], source: str | None, event_id: str | None) -> list[list[ColumnElement[bool]]]:
    """Where the events come from, in the conditions of one statement each.

    The newest of one connection, or of one source, may be far back among millions of others' rows: those of each pair are
    found by an index that begins with both. So is an event by its id; and all together are found in their order.
    """
    sources = SOURCES if source is None else (source,)
    if event_id is not None:
        return [[InboxEvent.connection.in_(connections), InboxEvent.source.in_(sources)]]
    if source is None and len(connections) > 1:
        return [[InboxEvent.connection.in_(connections)]]
    return [[InboxEvent.connection == name, InboxEvent.source == one] for name in connections for one in sources]


def look_up(db: Session, connection: str, inbox_id: int) -> InboxEvent:
    """The event with its body; raises ConnectorError when the connection has none with this id."""
    row = db.scalar(select(InboxEvent).where(InboxEvent.connection == connection, InboxEvent.id == inbox_id))
    if row is None:
        raise ConnectorError(f"connection {connection} has no event {inbox_id}")
    return row


def trigger_of(event_id: str) -> str:
    """How a sync that an event opened names the event."""
    return f"event {event_id}"


def event_of(trigger: str) -> str | None:
    """The event that a sync's trigger names; None when something else opened the sync."""
    start = trigger_of("")
    return trigger.removeprefix(start) if trigger.startswith(start) else None


def received(db: Session, connection: str, event_ids: Collection[str]) -> dict[str, datetime]:
    """When each of these events came in, by its id."""
    found: dict[str, datetime] = {}
    for some in batches(event_ids):
        wanted = select(InboxEvent.event_id, InboxEvent.received_at).where(
            InboxEvent.connection == connection, InboxEvent.source.in_(SOURCES), InboxEvent.event_id.in_(some)
        )
        found |= {row.event_id: row.received_at for row in db.execute(wanted)}
    return found


def opened_by(db: Session, event: InboxEvent) -> list[Sync]:
    """The syncs whose trigger names the event; one that it only joined names what opened it."""
    wanted = select(Sync).where(Sync.connection == event.connection, Sync.trigger == trigger_of(event.event_id))
    return list(db.scalars(wanted.order_by(Sync.id)))


def opener_of(db: Session, sync: Sync) -> InboxEvent | None:
    """The event that the sync's trigger names, without its body; None when something else opened the sync."""
    event_id = event_of(sync.trigger)
    if event_id is None:
        return None
    wanted = select(InboxEvent).where(
        InboxEvent.connection == sync.connection, InboxEvent.source.in_(SOURCES), InboxEvent.event_id == event_id
    )
    return db.scalars(wanted.options(defer(InboxEvent.body)).limit(1)).first()


# What became of the events that may be replayed without naming each.
REPLAYABLE = ("ignored", "failed")


def to_replay(
    db: Session,
    connection: str,
    *,
    inbox_ids: Sequence[int] = (),
    status: str | None = None,
    event_type: str | None = None,
    limit: int,
) -> tuple[list[InboxEvent], int]:
    """The events to set back, without their bodies, and how many match in all; those named by id whatever became of them.

    Without ids, ignored and failed ones, those first that were dispatched longest ago: what is ignored once more comes
    last the next time. Raises ConnectorError when the connection has no event with one of the ids.
    """
    if inbox_ids:
        rows = [row for row in _named(db, connection, inbox_ids) if row.status != "new"]
        return rows[:limit], len(rows)
    wanted: list[ColumnElement[bool]] = [
        InboxEvent.connection == connection,
        InboxEvent.status.in_(REPLAYABLE if status is None else (status,)),
    ]
    if event_type is not None:
        wanted.append(InboxEvent.event_type == event_type)
    total = db.scalar(select(func.count()).select_from(InboxEvent).where(*wanted)) or 0
    found = select(InboxEvent).where(*wanted).order_by(InboxEvent.handled_at, InboxEvent.id).limit(limit)
    return list(db.scalars(found.options(defer(InboxEvent.body)))), total


def _named(db: Session, connection: str, inbox_ids: Sequence[int]) -> list[InboxEvent]:
    wanted = select(InboxEvent).where(InboxEvent.connection == connection, InboxEvent.id.in_(inbox_ids))
    rows = list(db.scalars(wanted.order_by(InboxEvent.id).options(defer(InboxEvent.body))))
    if missing := sorted(set(inbox_ids) - {row.id for row in rows}):
        raise ConnectorError(f"connection {connection} has no event {', '.join(map(str, missing))}")
    return rows


def replay(db: Session, connection: str, inbox_ids: Sequence[int]) -> list[int]:
    """Set these events back to new, to be dispatched as if they had just come; answers the ids of those that were not new."""
    found = db.scalars(
        update(InboxEvent)
        .where(InboxEvent.connection == connection, InboxEvent.id.in_(inbox_ids), InboxEvent.status != "new")
        .values(status="new", reason=None, handled_at=None)
        .returning(InboxEvent.id)
    )
    return sorted(found)


def quarantined(db: Session, connection: str, limit: int) -> list[QuarantinedBody]:
    """The newest deliveries that could not become an event."""
    wanted = select(QuarantinedBody).where(QuarantinedBody.connection == connection)
    return list(db.scalars(wanted.order_by(QuarantinedBody.id.desc()).limit(limit)))


def every_quarantined(
    db: Session, connections: Collection[str], *, before: int | None = None, limit: int
) -> list[QuarantinedBody]:
    """The newest deliveries to these connections that could not become an event; older than row `before`."""
    older = [] if before is None else [QuarantinedBody.id < before]
    wanted = select(QuarantinedBody).where(QuarantinedBody.connection.in_(connections), *older)
    return list(db.scalars(wanted.order_by(QuarantinedBody.id.desc()).limit(limit)))


def in_quarantine(db: Session, connection: str, quarantine_id: int) -> QuarantinedBody:
    """The delivery with its body; raises ConnectorError when the connection has none with this id in quarantine."""
    row = db.scalar(select(QuarantinedBody).filter_by(connection=connection, id=quarantine_id).with_for_update())
    if row is None:
        raise ConnectorError(f"connection {connection} has no delivery {quarantine_id} in quarantine")
    return row


def readmit(db: Session, row: QuarantinedBody, now: datetime) -> str:
    """Keep a quarantined delivery as the event that it is after all, and say its id; ConnectorError while it is none.

    The same event with another content stays where it is: the first one counts.
    """
    if len(row.body) >= QUARANTINE_BYTES:
        raise ConnectorError(
            "only its beginning was kept, so that it cannot be taken in: have its sender deliver it anew"
        )
    try:
        event = READERS[row.source](row.body)
    except BadBody as bad:
        raise ConnectorError(f"it still cannot be taken in: {bad}") from bad
    known = select(InboxEvent.id).filter_by(connection=row.connection, source=row.source, event_id=event.event_id)
    if (inbox_id := db.scalar(known)) is not None:
        raise ConnectorError(
            f"event {event.event_id} is in the inbox already, as number {inbox_id}; the first one counts"
        )
    record(db, connection=row.connection, source=row.source, event=event, body=row.body, now=now)
    db.delete(row)
    return event.event_id


READERS = {"chargebee": chargebee_event, "m3ter": m3ter_event}


def close(db: Session, connection: str, inbox_id: int, text: str) -> bool:
    """Note on a failed event why nobody need act on it; False when it is not failed."""
    found = db.scalar(
        update(InboxEvent)
        .where(InboxEvent.connection == connection, InboxEvent.id == inbox_id, InboxEvent.status == "failed")
        .values(status="ignored", reason=text[:500])
        .returning(InboxEvent.id)
    )
    return found is not None
