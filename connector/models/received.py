"""What the providers said: events and bodies as they came, and the newest state of what they speak of."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, LargeBinary, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from connector.database import Id
from connector.models.base import Base

# Written out and not as parameters: PostgreSQL finds a partial index only by a condition that it can read.
IS_LEFT = text("status IN ('ignored', 'failed')")
IS_PENDING = text("is_pending")
HAS_PARENT = text("parent_id IS NOT NULL")


class InboxEvent(Base):
    """One delivered event, its raw body, and what became of it: new, done, ignored or failed."""

    __tablename__ = "inbox"
    __table_args__ = (
        UniqueConstraint("connection", "source", "event_id"),
        Index("ix_inbox_new", "id", sqlite_where=text("status = 'new'"), postgresql_where=text("status = 'new'")),
        # For those who look for what nobody acted on, among millions of rows that are done.
        Index("ix_inbox_left", "status", "id", sqlite_where=IS_LEFT, postgresql_where=IS_LEFT),
        # The newest of a source: of one silent connection among millions of others' rows too.
        Index("ix_inbox_newest", "connection", "source", "id"),
        Index("ix_inbox_type", "event_type", "id"),
    )

    connection: Mapped[str]
    source: Mapped[str]
    event_id: Mapped[str]
    event_type: Mapped[str]
    occurred_at: Mapped[datetime | None]
    received_at: Mapped[datetime]
    body: Mapped[bytes] = mapped_column(LargeBinary)
    sha256: Mapped[str] = mapped_column(String(64))
    status: Mapped[str]
    reason: Mapped[str | None]
    handled_at: Mapped[datetime | None]


class Cursor(Base):
    """How far a list of the provider's has been read."""

    __tablename__ = "cursors"
    __table_args__ = (UniqueConstraint("connection", "name"),)

    connection: Mapped[str]
    name: Mapped[str]
    at: Mapped[datetime]


class EventRecord(Base):
    """That an event tells of this record of either system: what an event is about stands in its body alone otherwise."""

    __tablename__ = "event_records"
    __table_args__ = (UniqueConstraint("connection", "record_id", "inbox_id"),)

    connection: Mapped[str]
    record_id: Mapped[str]
    inbox_id: Mapped[int] = mapped_column(Id)


class QuarantinedBody(Base):
    """An authenticated delivery that could not become an event, and why."""

    __tablename__ = "quarantine"

    connection: Mapped[str]
    source: Mapped[str]
    received_at: Mapped[datetime]
    reason: Mapped[str]
    body: Mapped[bytes] = mapped_column(LargeBinary)


class MirroredResource(Base):
    """The newest state seen of one Chargebee resource, as Chargebee wrote it."""

    __tablename__ = "mirror"
    __table_args__ = (
        UniqueConstraint("connection", "resource", "resource_id"),
        Index("ix_mirror_parent_id", "connection", "parent_id", sqlite_where=HAS_PARENT, postgresql_where=HAS_PARENT),
    )

    connection: Mapped[str]
    resource: Mapped[str]
    resource_id: Mapped[str]
    customer_id: Mapped[str | None] = mapped_column(index=True)
    # Of a customer: the one above it.
    parent_id: Mapped[str | None]
    resource_version: Mapped[int] = mapped_column(Id)
    body: Mapped[dict[str, Any]]
    sha256: Mapped[str] = mapped_column(String(64))
    # True while two different states with one version, or one without a version, wait for Chargebee's word.
    unsettled: Mapped[bool]
    seen_at: Mapped[datetime]


class InvoiceTerm(Base):
    """A term of a subscription that a mirrored invoice bills in advance, and whether the invoice was pending when last seen."""

    __tablename__ = "invoice_terms"
    __table_args__ = (
        UniqueConstraint("connection", "invoice_id", "subscription_id", "starts_at"),
        Index("ix_invoice_terms_pending", "connection", "seen_at", sqlite_where=IS_PENDING, postgresql_where=IS_PENDING),
        Index("ix_invoice_terms_term", "connection", "subscription_id", "starts_at"),
    )  # fmt: skip

    connection: Mapped[str]
    invoice_id: Mapped[str]
    subscription_id: Mapped[str]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    # The invoice's own date.
    dated: Mapped[datetime | None]
    is_pending: Mapped[bool]
    seen_at: Mapped[datetime]


class SubscriptionState(Base):
    """One state of a subscription as far as m3ter bills by it; the history that plans are worked out from."""

    __tablename__ = "subscription_states"
    __table_args__ = (UniqueConstraint("connection", "subscription_id", "resource_version"),)

    connection: Mapped[str]
    subscription_id: Mapped[str]
    resource_version: Mapped[int] = mapped_column(Id)
    body: Mapped[dict[str, Any]]
    seen_at: Mapped[datetime]
