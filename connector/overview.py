"""Is everything in step? The whole installation in numbers, small enough to be asked every few seconds."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Any

import structlog
from redis.exceptions import RedisError
from sqlalchemy import ScalarSelect, and_, func, literal, not_, or_, select
from sqlalchemy.orm import Session

from connector import budgets, catch_up, database, jobs, leases, pauses, polls, tallies
from connector.balances import watches
from connector.bills import closing
from connector.budgets import Budget
from connector.counts import MOST, Count
from connector.histogram import bound_of
from connector.models import IS_OPEN, OPEN, BalanceWatch, InboxEvent, Pause, Sync
from connector.services import Services
from connector.tallies import Slot

log = structlog.get_logger(__name__)

CLOSED = ("succeeded", "superseded")
NOT_DONE = ("new", "failed", "ignored")
# How many balances are named.
BALANCES = 20
# A clock that has not run for so long, or for three of its rounds, does not run.
CLOCK_SECONDS = 120


@dataclass(frozen=True)
class Trouble:
    """Syncs that stand still, or are tried again, for one reason."""

    connection: str
    kind: str
    status: str
    cause: str
    syncs: int
    since: datetime
    next_step: str | None


@dataclass(frozen=True)
class State:
    """One connection: what holds it back, how far its lists have been read, and since when events may be lost."""

    connection: str
    pauses: list[Pause]
    events_polled: datetime | None
    bills_polled: datetime | None
    lost_since: datetime | None


@dataclass(frozen=True)
class Queues:
    """What Redis alone knows: how the queues stand, and what of the providers' budgets is in use."""

    queues: list[jobs.State]
    budgets: list[Budget]


@dataclass(frozen=True)
class Overview:
    """What the first page of the console shows."""

    version: str
    open: Mapping[tuple[str, str], int]
    closed: Mapping[str, Count]
    # Since when the oldest work is due that nobody has taken yet.
    due_since: datetime | None
    troubles: list[Trouble]
    events: Mapping[str, Count]
    states: list[State]
    # Throughput and latency by hour or by day, the current one last.
    period: str
    flow: list[Slot]
    # Invoices that close soon with work left, and balances that run low, as they were seen last.
    closings: list[closing.Countdown]
    balances: list[BalanceWatch]
    # None while Redis is away.
    queues: Queues | None
    # When a clock last worked, and whether that is too long ago.
    clock_ran: datetime | None
    clock_stands: bool
    database: str
    database_bytes: int

    @property
    def kinds(self) -> list[str]:
        """The kinds of which there are open syncs."""
        return sorted({kind for kind, _ in self.open})

    @property
    def parked(self) -> int:
        """How many syncs wait for a person."""
        return sum(number for (_, status), number in self.open.items() if status == "parked")


def of_installation(services: Services, period: str = tallies.HOUR) -> Overview:
    """The numbers of all connections, as they stand now; no provider is asked."""
    now = services.now()
    queues = _queues(services, now)
    with services.reading() as db:
        last = polls.last(db)
        paused, lost = pauses.by_connection(db), catch_up.lost_by_connection(db)
        counts = _counts(db)
        ran = leases.last_held(db, leases.CLOCK, now)
        return Overview(
            version=version("chargebee-m3ter-connector"),
            open=_open(db),
            closed={status: counts[Sync, status] for status in CLOSED},
            due_since=db.scalar(
                select(func.min(Sync.next_attempt_at)).where(
                    IS_OPEN, Sync.status == "pending", Sync.next_attempt_at <= now, pauses.holds_none()
                )
            ),
            troubles=_troubles(db, now),
            events={status: counts[InboxEvent, status] for status in NOT_DONE},
            states=[
                State(
                    connection=name,
                    pauses=paused.get(name, []),
                    events_polled=last.get((name, polls.EVENTS)),
                    bills_polled=last.get((name, polls.BILLS)),
                    lost_since=lost.get(name),
                )
                for name in services.connections
            ],
            period=period,
            flow=tallies.flow(db, period, now),
            closings=closing.last_seen(db, now),
            balances=watches.troubled(db, limit=BALANCES),
            queues=queues,
            clock_ran=ran,
            clock_stands=ran is None or ran < now - _rounds(services),
            database=services.engine.dialect.name,
            database_bytes=database.size(db),
        )


def _queues(services: Services, now: datetime) -> Queues | None:
    """None where Redis cannot be reached: it is only the doorbell, and the rest is known all the same."""
    allowed = [
        (name, provider, calls)
        for name, one in services.connections.items()
        for provider, calls in (
            (budgets.CHARGEBEE, one.settings.chargebee_calls_per_minute),
            (budgets.M3TER, budgets.M3TER_CALLS_PER_MINUTE),
        )
    ]
    try:
        return Queues(jobs.states(services.redis), budgets.in_use(services.redis, allowed, now))
    except RedisError as error:
        log.warning("Redis cannot be reached", error=type(error).__name__)
        return None


def _rounds(services: Services) -> timedelta:
    return timedelta(seconds=max(CLOCK_SECONDS, 3 * services.settings.sweep_seconds))


def _open(db: Session) -> dict[tuple[str, str], int]:
    rows = db.execute(select(Sync.kind, Sync.status, func.count()).where(IS_OPEN).group_by(Sync.kind, Sync.status))
    return {(kind, status): number for kind, status, number in rows}


def _counts(db: Session) -> dict[tuple[type[Sync] | type[InboxEvent], str], Count]:
    wanted: list[tuple[type[Sync] | type[InboxEvent], str]] = [(Sync, status) for status in CLOSED]
    wanted += [(InboxEvent, status) for status in NOT_DONE]
    numbers = db.execute(select(*(_number(table, status) for table, status in wanted))).one()
    return {key: Count(number) for key, number in zip(wanted, numbers, strict=True)}


def _number(table: type[Sync] | type[InboxEvent], status: str) -> ScalarSelect[int]:
    # Written out: an index of some rows only is not found by a parameter.
    is_so = table.status == literal(status, literal_execute=True)
    some = select(table.id).where(is_so).limit(MOST).subquery()
    return select(func.count()).select_from(some).scalar_subquery()


def _troubles(db: Session, now: datetime) -> list[Trouble]:
    """What people have to do comes first, then the most; what is about to run does not stand still."""
    about_to_run = or_(Sync.status == "running", and_(Sync.status == "pending", Sync.next_attempt_at <= now))
    said = (Sync.connection, Sync.kind, Sync.status, Sync.cause)
    rows = db.execute(
        select(*said, func.count(), func.min(Sync.updated_at), func.min(Sync.next_step))
        .where(IS_OPEN, not_(about_to_run), Sync.cause.is_not(None))
        .group_by(*said)
    )
    found = [
        Trouble(connection, kind, status, str(cause), number, since, next_step)
        for connection, kind, status, cause, number, since, next_step in rows
    ]
    return sorted(found, key=lambda one: (OPEN[::-1].index(one.status), -one.syncs, one.cause))


def as_json(found: Overview) -> dict[str, Any]:
    """The overview as the command line and scripts see it; the keys are stable, latencies are whole seconds."""
    return {
        "version": found.version,
        "parked": found.parked,
        "due_since": found.due_since,
        "open": [{"kind": kind, "status": status, "syncs": number} for (kind, status), number in found.open.items()],
        "closed": {status: count.number for status, count in found.closed.items()},
        "events": {status: count.number for status, count in found.events.items()},
        "counted_up_to": MOST,
        "troubles": [asdict(one) for one in found.troubles],
        "connections": [
            {
                "connection": one.connection,
                "pauses": [{"what": pause.what, "since": pause.since, "text": pause.text} for pause in one.pauses],
                "events_polled": one.events_polled, "bills_polled": one.bills_polled, "lost_since": one.lost_since,
            }
            for one in found.states
        ],
        "flow": {"period": found.period, "slots": [_slot(one) for one in found.flow]},
        "closings": [
            {"connection": one.connection, "looked_at": one.looked_at, "sync_id": one.sync_id, **asdict(one.work)}
            for one in found.closings
        ],
        "balances": [
            {
                "connection": one.connection, "balance_id": one.balance_id, "account_id": one.account_id,
                "state": one.state, "since": one.state_since, "currency": one.currency, "threshold": str(one.threshold),
                "last_held": None if one.last_held is None else str(one.last_held),
            }
            for one in found.balances
        ],
        "redis": "away" if found.queues is None else "up",
        "queues": [] if found.queues is None else [asdict(one) for one in found.queues.queues],
        "budgets": [] if found.queues is None else [asdict(one) for one in found.queues.budgets],
        "clock_ran": found.clock_ran,
        "clock_stands": found.clock_stands,
        "database": {"kind": found.database, "bytes": found.database_bytes},
    }  # fmt: skip


def _slot(one: Slot) -> dict[str, Any]:
    seconds = {f"{name}_seconds": None if (bucket := getattr(one, name)) is None else bound_of(bucket)
               for name in ("p50", "p95")}  # fmt: skip
    numbers = {name: getattr(one, name) for name in (tallies.RECEIVED, *tallies.ENDS)}
    return {"start": one.start, **numbers, **seconds}
