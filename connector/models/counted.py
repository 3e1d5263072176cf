"""What the clock counts and finds, so that no page has to."""

from datetime import datetime
from typing import Any

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from connector.database import Id
from connector.models.base import Base


class Tally(Base):
    """How many events came in, or syncs came to an end, within one hour or day (UTC).

    `what` is received (`kind`: the source), succeeded, superseded or parked (`kind`: the sync's); `bucket` says how long a
    sync that succeeded took (`connector.histogram`), and is 0 for everything else.
    """

    __tablename__ = "tallies"
    __table_args__ = (UniqueConstraint("period", "start", "connection", "what", "kind", "bucket"),)

    period: Mapped[str]
    start: Mapped[datetime]
    connection: Mapped[str]
    what: Mapped[str]
    kind: Mapped[str]
    bucket: Mapped[int]
    number: Mapped[int] = mapped_column(Id)


class TallyCursor(Base):
    """How far a table has been counted: up to `row_id`, of syncs among those that ended at `at`.

    Events are counted up to `ceiling`, the newest row at the time `at`: a row with a lower number may be committed later,
    but not so much later.
    """

    __tablename__ = "tally_cursors"
    __table_args__ = (UniqueConstraint("name"),)

    name: Mapped[str]
    at: Mapped[datetime]
    row_id: Mapped[int] = mapped_column(Id)
    ceiling: Mapped[int] = mapped_column(Id)


class LastLook(Base):
    """What the clock found when it last looked at something that takes too long to look at for each page."""

    __tablename__ = "last_looks"
    __table_args__ = (UniqueConstraint("connection", "name"),)

    connection: Mapped[str]
    name: Mapped[str]
    at: Mapped[datetime]
    found: Mapped[list[Any]]
