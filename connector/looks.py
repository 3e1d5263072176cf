"""What the clock found when it last looked at something that takes too long to look at for each page."""

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from connector.database import insert
from connector.models import LastLook


def keep(db: Session, connection: str, name: str, found: list[Any], now: datetime) -> None:
    """Keep this in the place of what was found before."""
    made = insert(db, LastLook).values(connection=connection, name=name, found=found, at=now)
    db.execute(made.on_conflict_do_update(index_elements=["connection", "name"], set_={"found": found, "at": now}))


def last(db: Session, name: str) -> list[LastLook]:
    """The last look of each connection."""
    return list(db.scalars(select(LastLook).where(LastLook.name == name).order_by(LastLook.connection)))
