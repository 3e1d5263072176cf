"""Is everything in step? The whole installation in numbers, small enough to be asked every few seconds."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version

from sqlalchemy import and_, func, literal, not_, or_, select
from sqlalchemy.orm import Session

from connector import catch_up, pauses, polls
from connector.models import IS_OPEN, OPEN, InboxEvent, Pause, Sync
from connector.services import Services

# More rows than this are not counted one by one: "10000+" says enough.
MOST = 10_000
CLOSED = ("succeeded", "superseded")
NOT_DONE = ("new", "failed", "ignored")


@dataclass(frozen=True)
class Count:
    """A number that is exact up to `MOST`."""

    number: int

    def __str__(self) -> str:
        return f"{self.number:,}" if self.number < MOST else f"{MOST:,}+"

    def __bool__(self) -> bool:
        return self.number > 0


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

    @property
    def kinds(self) -> list[str]:
        """The kinds of which there are open syncs."""
        return sorted({kind for kind, _ in self.open})

    @property
    def parked(self) -> int:
        """How many syncs wait for a person."""
        return sum(number for (_, status), number in self.open.items() if status == "parked")


def of_installation(services: Services) -> Overview:
    """The numbers of all connections, as they stand now."""
    now = services.now()
    with services.reading() as db:
        last = polls.last(db)
        return Overview(
            version=version("chargebee-m3ter-connector"),
            open=_open(db),
            closed={status: _count(db, Sync, status) for status in CLOSED},
            due_since=db.scalar(
                select(func.min(Sync.next_attempt_at)).where(
                    IS_OPEN, Sync.status == "pending", Sync.next_attempt_at <= now, pauses.holds_none()
                )
            ),
            troubles=_troubles(db, now),
            events={status: _count(db, InboxEvent, status) for status in NOT_DONE},
            states=[
                State(
                    connection=name,
                    pauses=pauses.of_connection(db, name),
                    events_polled=last.get((name, polls.EVENTS)),
                    bills_polled=last.get((name, polls.BILLS)),
                    lost_since=catch_up.lost_since(db, name),
                )
                for name in services.connections
            ],
        )


def _open(db: Session) -> dict[tuple[str, str], int]:
    rows = db.execute(select(Sync.kind, Sync.status, func.count()).where(IS_OPEN).group_by(Sync.kind, Sync.status))
    return {(kind, status): number for kind, status, number in rows}


def _count(db: Session, table: type[Sync] | type[InboxEvent], status: str) -> Count:
    # Written out: an index of some rows only is not found by a parameter.
    is_so = table.status == literal(status, literal_execute=True)
    some = select(table.id).where(is_so).limit(MOST).subquery()
    return Count(db.scalar(select(func.count()).select_from(some)) or 0)


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
