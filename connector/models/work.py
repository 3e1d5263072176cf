"""Work, its tries, and what holds it back."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from connector.database import Id
from connector.models.base import Base

OPEN = ("pending", "running", "waiting", "parked")
# Written out and not as parameters: PostgreSQL finds a partial index only by a condition that it can read.
IS_OPEN = text("status IN ('pending', 'running', 'waiting', 'parked')")
# What stands where it stands until somebody does something about it: the ends that are counted.
IS_AT_REST = text("status IN ('succeeded', 'superseded', 'parked')")
# Whether a sync is a bill's.
IS_BILL = text("kind = 'bill'")
HAS_CAUSE = text("cause IS NOT NULL")


class Sync(Base):
    """One durable unit of work: make this subject right. At most one is open for a subject."""

    __tablename__ = "syncs"
    __table_args__ = (
        Index(
            "uq_syncs_open_subject", "connection", "kind", "subject",
            unique=True, sqlite_where=IS_OPEN, postgresql_where=IS_OPEN,
        ),
        Index("ix_syncs_due", "next_attempt_at", sqlite_where=IS_OPEN, postgresql_where=IS_OPEN),
        Index("ix_syncs_wakes_on", "connection", "wakes_on", sqlite_where=IS_OPEN, postgresql_where=IS_OPEN),
        Index("ix_syncs_status", "status", "id"),
        Index("ix_syncs_subject", "subject"),
        Index("ix_syncs_trigger", "trigger"),
        # The newest of a kind, of a connection or with a cause that there are few of.
        Index("ix_syncs_kind", "kind", "id"),
        Index("ix_syncs_connection", "connection", "id"),
        Index("ix_syncs_cause", "cause", "id", sqlite_where=HAS_CAUSE, postgresql_where=HAS_CAUSE),
        # In the order in which they came to an end, for those who count them.
        Index("ix_syncs_at_rest", "updated_at", "id", sqlite_where=IS_AT_REST, postgresql_where=IS_AT_REST),
    )  # fmt: skip

    connection: Mapped[str]
    kind: Mapped[str]
    subject: Mapped[str]
    trigger: Mapped[str]
    status: Mapped[str]
    attempts: Mapped[int] = mapped_column(default=0)
    crashes: Mapped[int] = mapped_column(default=0)
    runs: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime]
    queued_at: Mapped[datetime | None]
    lease_until: Mapped[datetime | None]
    fence: Mapped[int] = mapped_column(default=0)
    # Something arrived while it ran: it runs once more.
    again: Mapped[bool] = mapped_column(default=False)
    wakes_on: Mapped[str | None]
    # Who asked for the next look, until it has come to an end: what is parked in doubt is only touched for a person.
    retried_by: Mapped[str | None]
    cause: Mapped[str | None]
    text: Mapped[str | None]
    next_step: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Attempt(Base):
    """One try at a sync: when, how it ended, what it did and the calls it made."""

    __tablename__ = "attempts"

    sync_id: Mapped[int] = mapped_column(ForeignKey("syncs.id"), index=True)
    number: Mapped[int]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    outcome: Mapped[str]
    cause: Mapped[str | None]
    text: Mapped[str | None]
    # What it was to come to, what stood before, and what was done about the difference; sentences for a person.
    wanted: Mapped[list[Any]]
    found: Mapped[list[Any]]
    did: Mapped[list[Any]]
    calls: Mapped[list[Any]]


class Pause(Base):
    """A connection whose work is held back: because of a provider, by a person's hand, or for money after a restore."""

    __tablename__ = "pauses"
    __table_args__ = (UniqueConstraint("connection", "what"),)

    connection: Mapped[str]
    # all, chargebee, m3ter or money.
    what: Mapped[str]
    cause: Mapped[str]
    text: Mapped[str]
    since: Mapped[datetime]
    # When the provider is asked whether it is back; a person's pause and one of money end only by a person.
    next_probe_at: Mapped[datetime | None]


class Failure(Base):
    """A sync that has failed because of a provider since that provider last answered well."""

    __tablename__ = "failures"
    __table_args__ = (UniqueConstraint("connection", "provider", "sync_id"),)

    connection: Mapped[str]
    provider: Mapped[str]
    sync_id: Mapped[int] = mapped_column(Id)
    cause: Mapped[str]


class SendCount(Base):
    """How many steps towards a send of money have been taken; Redis remembers the same outside of this database."""

    __tablename__ = "send_counts"
    __table_args__ = (UniqueConstraint("connection"),)

    connection: Mapped[str]
    number: Mapped[int] = mapped_column(Id)


class Lease(Base):
    """Who may work on something that only one may work on; the fence rises with every holder."""

    __tablename__ = "leases"
    __table_args__ = (UniqueConstraint("name"),)

    name: Mapped[str]
    fence: Mapped[int]
    until: Mapped[datetime]
