"""Throughput and latency over time, from counts by hour and by day that the clock keeps up to date.

Nobody counts millions of rows for a page, and nobody who does the work waits for a counter: the clock takes what is new in
batches, and commits each batch's counts together with how far it has come. So every row counts once, whenever it dies.

A sync counts at the time when it succeeded, was superseded or parked. One that is parked and goes on before it has been
counted counts as what it comes to, and a worker whose clock is slower than the others' by more than `SETTLES` is missed.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, or_, select
from sqlalchemy.orm import Session

from connector import inbox
from connector.database import batches, insert
from connector.histogram import bucket_of, percentile
from connector.models import ALWAYS, IS_AT_REST, InboxEvent, Sync, Tally, TallyCursor
from connector.services import Services

SECONDS = 60
# After this long whatever was written has been committed, and is counted.
SETTLES = timedelta(minutes=1)
EVENT_BATCH, SYNC_BATCH = 10_000, 1_000
# So that the clock gets to its other work: an installation that has been there for long is counted bit by bit.
BATCHES = 20
RECEIVED, SUCCEEDED, SUPERSEDED, PARKED = "received", "succeeded", "superseded", "parked"
ENDS = (SUCCEEDED, SUPERSEDED, PARKED)
HOUR, DAY = "hour", "day"
# How many of each a chart shows, and how long they are kept.
SHOWN = {HOUR: 24, DAY: 30}
STEP = {HOUR: timedelta(hours=1), DAY: timedelta(days=1)}
KEPT = {HOUR: timedelta(days=8), DAY: timedelta(days=800)}

Key = tuple[datetime, str, str, str, int]


@dataclass(frozen=True)
class Slot:
    """One hour or day: events received, syncs by how they ended, and the buckets of two percentiles of their latency.

    The latency of a sync that succeeded is counted from when the event that opened it was received, or else from when it
    was opened, and thus holds the time for which it waited or was parked.
    """

    start: datetime
    received: int
    succeeded: int
    superseded: int
    parked: int
    p50: int | None
    p95: int | None


def count(services: Services) -> None:
    """Bring the counts up to what has settled by now; each batch is one transaction."""
    for step in (_count_events, _count_syncs):
        _ = any(not step(services) for _ in range(BATCHES))
    now = services.now()
    with services.transaction() as db:
        for period, kept in KEPT.items():
            db.execute(delete(Tally).where(Tally.period == period, Tally.start < now - kept))


def flow(db: Session, period: str, now: datetime, connection: str | None = None) -> list[Slot]:
    """The last hours or days in order, the current one last, of one connection or of all together."""
    first = start_of(period, now) - (SHOWN[period] - 1) * STEP[period]
    wanted = [Tally.period == period, Tally.start >= first]
    wanted += [] if connection is None else [Tally.connection == connection]
    rows = db.execute(
        select(Tally.start, Tally.what, Tally.bucket, func.sum(Tally.number))
        .where(*wanted)
        .group_by(Tally.start, Tally.what, Tally.bucket)
    )
    found: dict[datetime, dict[str, dict[int, int]]] = defaultdict(lambda: defaultdict(dict))
    for start, what, bucket, number in rows:
        found[start][what][bucket] = int(number)
    starts = [first + number * STEP[period] for number in range(SHOWN[period])]
    return [_slot(start, found.get(start, {})) for start in starts]


def _slot(start: datetime, counts: Mapping[str, Mapping[int, int]]) -> Slot:
    numbers = {what: sum(counts.get(what, {}).values()) for what in (RECEIVED, *ENDS)}
    took = counts.get(SUCCEEDED, {})
    return Slot(start, p50=percentile(took, 50), p95=percentile(took, 95), **numbers)


def start_of(period: str, at: datetime) -> datetime:
    """When the hour or day began in which this time is."""
    hour = at.replace(minute=0, second=0, microsecond=0)
    return hour if period == HOUR else hour.replace(hour=0)


def _count_events(services: Services) -> bool:
    """Count one batch of events; False when there is nothing more to count by now.

    Numbers are given before rows are committed, so that a lower number may appear after a higher one: only what was there
    some time ago is counted.
    """
    now = services.now()
    with services.transaction() as db:
        done = _cursor(db, "inbox")
        if done.at > now - SETTLES:
            return False
        if done.row_id >= done.ceiling:
            done.ceiling, done.at = db.scalar(select(func.max(InboxEvent.id))) or 0, now
            return False
        until = min(done.ceiling, done.row_id + EVENT_BATCH)
        rows = db.execute(
            select(InboxEvent.connection, InboxEvent.source, InboxEvent.received_at).where(
                InboxEvent.id > done.row_id, InboxEvent.id <= until
            )
        )
        _add(db, ((at, connection, RECEIVED, source, 0) for connection, source, at in rows))
        done.row_id = until
    return True


def _count_syncs(services: Services) -> bool:
    """Count one batch of syncs that came to an end; False when there is nothing more to count by now."""
    now = services.now()
    with services.transaction() as db:
        done = _cursor(db, "syncs")
        rows = db.scalars(
            select(Sync)
            .where(
                IS_AT_REST,
                Sync.updated_at >= done.at,
                or_(Sync.updated_at > done.at, Sync.id > done.row_id),
                Sync.updated_at <= now - SETTLES,
            )
            .order_by(Sync.updated_at, Sync.id)
            .limit(SYNC_BATCH)
        ).all()
        if not rows:
            return False
        began = _began(db, [row for row in rows if row.status == SUCCEEDED])
        _add(db, ((row.updated_at, row.connection, row.status, row.kind, _bucket(row, began)) for row in rows))
        done.at, done.row_id = rows[-1].updated_at, rows[-1].id
    return len(rows) == SYNC_BATCH


def _bucket(row: Sync, began: Mapping[int, datetime]) -> int:
    return bucket_of((row.updated_at - began[row.id]) // timedelta(seconds=1)) if row.id in began else 0


def _began(db: Session, rows: Iterable[Sync]) -> dict[int, datetime]:
    """When each sync's work came in, by its id."""
    found = {row.id: row.created_at for row in rows}
    by_connection: dict[str, dict[int, str]] = defaultdict(dict)
    for row in rows:
        event_id = inbox.event_of(row.trigger)
        if event_id is not None:
            by_connection[row.connection][row.id] = event_id
    for connection, opened in by_connection.items():
        received = inbox.received(db, connection, set(opened.values()))
        found |= {sync_id: received[event_id] for sync_id, event_id in opened.items() if event_id in received}
    return found


def _cursor(db: Session, name: str) -> TallyCursor:
    """How far this has been counted; whoever else counts waits here until we are done."""
    made = insert(db, TallyCursor).values(name=name, at=ALWAYS, row_id=0, ceiling=0)
    db.execute(made.on_conflict_do_nothing(index_elements=["name"]))
    return db.scalars(select(TallyCursor).where(TallyCursor.name == name).with_for_update()).one()


def _add(db: Session, seen: Iterable[Key]) -> None:
    """Add one for each of these to its hour and its day."""
    counts = Counter(
        (period, start_of(period, at), *rest) for at, *rest in seen for period in (HOUR, DAY)
    )  # fmt: skip
    names = ("period", "start", "connection", "what", "kind", "bucket")
    for some in batches(counts.items()):
        made = insert(db, Tally).values([{**dict(zip(names, key, strict=True)), "number": one} for key, one in some])
        db.execute(
            made.on_conflict_do_update(index_elements=names, set_={"number": Tally.number + made.excluded.number})
        )
