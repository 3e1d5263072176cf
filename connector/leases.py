"""Work that only one may do at a time, across all workers and hosts: a row with an end and a rising fence."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from connector.database import insert
from connector.errors import LeaseLost, Waiting
from connector.models import Lease
from connector.services import Services

BUSY_SECONDS = 5
# The lease of whichever clock is at its periodic work.
CLOCK = "clock"


@dataclass(frozen=True)
class Held:
    """A lease that was ours when it was taken."""

    name: str
    fence: int

    def confirm(self, db: Session) -> None:
        """Raise LeaseLost unless the lease is still ours."""
        if db.scalar(select(Lease.fence).where(Lease.name == self.name)) != self.fence:
            raise LeaseLost(f"another worker has taken over {self.name}")


def take(services: Services, name: str, seconds: float) -> Held | None:
    """The lease for `seconds`, or None while somebody else has it."""
    now = services.now()
    until = now + timedelta(seconds=seconds)
    with services.transaction() as db:
        fence = db.scalar(
            insert(db, Lease)
            .values(name=name, fence=1, until=until)
            .on_conflict_do_update(
                index_elements=["name"], set_={"fence": Lease.fence + 1, "until": until}, where=Lease.until <= now
            )
            .returning(Lease.fence)
        )
    return None if fence is None else Held(name, fence)


def release(services: Services, lease: Held) -> None:
    """Give the lease back; one that has been taken over is left alone."""
    with services.transaction() as db:
        db.execute(
            update(Lease).where(Lease.name == lease.name, Lease.fence == lease.fence).values(until=services.now())
        )


def last_held(db: Session, name: str, now: datetime) -> datetime | None:
    """Until when somebody has had the lease; None where nobody ever had it."""
    until = db.scalar(select(Lease.until).where(Lease.name == name))
    return None if until is None else min(until, now)


def queue_up(db: Session, name: str, now: datetime) -> None:
    """Wait until no other transaction that has queued up under this name is open; the next waits until ours has ended."""
    row = insert(db, Lease).values(name=name, fence=1, until=now)
    db.execute(row.on_conflict_do_update(index_elements=["name"], set_={"fence": Lease.fence + 1}))


@contextmanager
def held(services: Services, name: str, seconds: float) -> Iterator[Held]:
    """The lease during the block; raises Waiting while somebody else has it."""
    lease = take(services, name, seconds)
    if lease is None:
        raise Waiting("busy", f"another worker is at {name}", "Nothing: it goes on by itself.", seconds=BUSY_SECONDS)
    try:
        yield lease
    finally:
        release(services, lease)
