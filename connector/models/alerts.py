"""What people are told, and what each destination knows of it."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from connector.models.base import Base


class Alert(Base):
    """Something that people should hear of, from when it was first seen until it was over; one for each cause.

    `page` is where in the console it is seen, `command` what shows the same; `returns` is how often it has come back lately.
    """

    __tablename__ = "alerts"
    __table_args__ = (
        Index(
            "uq_alerts_open_key", "key", unique=True,
            sqlite_where=text("resolved_at IS NULL"), postgresql_where=text("resolved_at IS NULL"),
        ),
        Index("ix_alerts_key", "key", "id"),
        Index("ix_alerts_resolved_at", "resolved_at"),
    )  # fmt: skip

    key: Mapped[str]
    condition: Mapped[str]
    connection: Mapped[str]
    # warning or urgent.
    severity: Mapped[str]
    # How many syncs, events or the like it is about, and since when the oldest of them.
    count: Mapped[int]
    since: Mapped[datetime | None]
    text: Mapped[str]
    next_step: Mapped[str]
    page: Mapped[str]
    command: Mapped[str]
    opened_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
    returns: Mapped[int] = mapped_column(default=0)


class AlertTelling(Base):
    """What one destination was last told of an alert."""

    __tablename__ = "alert_tellings"
    __table_args__ = (UniqueConstraint("alert_id", "destination"),)

    alert_id: Mapped[int] = mapped_column(ForeignKey("alerts.id"))
    destination: Mapped[str]
    at: Mapped[datetime]
    severity: Mapped[str]
    count: Mapped[int]
    resolved: Mapped[bool]


class AlertDestination(Base):
    """How sending to one destination goes; `tries` are those since the last that went through."""

    __tablename__ = "alert_destinations"
    __table_args__ = (UniqueConstraint("destination"),)

    destination: Mapped[str]
    tries: Mapped[int]
    next_try_at: Mapped[datetime]
    failing_since: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]


class AlertMute(Base):
    """An alert that nobody wants to hear of for a while, and why."""

    __tablename__ = "alert_mutes"
    __table_args__ = (UniqueConstraint("key"),)

    key: Mapped[str]
    until: Mapped[datetime]
    reason: Mapped[str]
    made_by: Mapped[str]
    made_at: Mapped[datetime]
