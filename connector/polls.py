"""When each provider was last read through, connection by connection."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from connector.database import insert
from connector.models import Cursor

EVENTS, BILLS = "events polled", "bills polled"


def note(db: Session, connection: str, name: str, now: datetime) -> None:
    """Keep that this was read to its end now."""
    made = insert(db, Cursor).values(connection=connection, name=name, at=now)
    db.execute(made.on_conflict_do_update(index_elements=["connection", "name"], set_={"at": now}))


def last(db: Session) -> dict[tuple[str, str], datetime]:
    """When each was last read to its end, by connection and name."""
    found = select(Cursor).where(Cursor.name.in_((EVENTS, BILLS)))
    return {(one.connection, one.name): one.at for one in db.scalars(found)}
