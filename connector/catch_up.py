"""Events that no webhook brought: Chargebee's event list is read into the same inbox, so a lost webhook costs only time."""

from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from connector import inbox
from connector.clients.http import to_json
from connector.database import insert
from connector.inbox import Event
from connector.models import Cursor
from connector.services import Services

log = structlog.get_logger(__name__)

# Chargebee may list an event late, and whether its filter includes the moment itself is not documented (chargebee.md §7.6).
OVERLAP = timedelta(minutes=10)
# How long Chargebee lists an event is not documented (chargebee.md §7.6); it may be no longer than this.
LISTED_FOR = timedelta(days=28)
# Without events the cursor still follows the time, at a distance that no difference between two clocks comes near.
QUIET = timedelta(days=1)
EVENTS, LOST = "chargebee events", "chargebee events lost since"


def take_missed_events(services: Services, connection: str) -> int:
    """How many events of the list were new; the next call goes on where this one ended, with an overlap.

    Raises ConnectorError when the list cannot be read; the pages before that are kept.
    """
    chargebee = services.connection(connection).chargebee
    now = services.now()
    with services.reading() as db:
        reached, lost = read_until(db, connection) or services.installed_at, lost_since(db, connection)
    if lost is None and reached < now - LISTED_FOR:
        lost = reached
        with services.transaction() as db:
            _remember(db, connection, LOST, lost)
    if lost is not None:
        log.warning(
            "events may be gone from Chargebee's list before they were read: a backfill is needed",
            connection=connection, lost_since=lost.isoformat(),
        )  # fmt: skip
    since, offset, missed = reached - OVERLAP, None, 0
    while True:
        page, offset = chargebee.list_events(occurred_after=since, offset=offset)
        with services.reading() as db:
            # In a silence what came before it is listed each time: it costs no more than a look.
            known = inbox.known(db, connection, "chargebee", [str(raw.get("id")) for raw in page])
        with services.transaction() as db:
            for raw in page:
                at = known.get(tuple(str(raw.get(name)) for name in ("id", "event_type", "occurred_at")))
                if at is None:
                    event, is_new = _keep(db, connection, raw, now)
                    missed += is_new
                    at = event.occurred_at if event else None
                # An event from the future must not take the cursor past all that is still to come.
                reached = max(reached, min(at or reached, now))
            _remember(db, connection, EVENTS, reached if offset else max(reached, now - QUIET))
        if offset is None:
            return missed


def read_until(db: Session, connection: str) -> datetime | None:
    """Up to when Chargebee's event list has been read."""
    return _cursor(db, connection, EVENTS)


def lost_since(db: Session, connection: str) -> datetime | None:
    """Since when events may have gone unread, until somebody says that a backfill has brought what they told."""
    return _cursor(db, connection, LOST)


def lost_by_connection(db: Session) -> dict[str, datetime]:
    """`lost_since` of all connections of which events may have gone unread."""
    return {one.connection: one.at for one in db.scalars(select(Cursor).where(Cursor.name == LOST))}


def backfilled(db: Session, connection: str) -> bool:
    """Note that a backfill has brought what was lost; False when nothing was."""
    gone = delete(Cursor).where(Cursor.connection == connection, Cursor.name == LOST)
    return db.scalar(gone.returning(Cursor.id)) is not None


def _cursor(db: Session, connection: str, name: str) -> datetime | None:
    return db.scalar(select(Cursor.at).where(Cursor.connection == connection, Cursor.name == name))


def _keep(db: Session, connection: str, raw: dict[str, Any], now: datetime) -> tuple[Event | None, bool]:
    """The event, and whether nobody had brought it before; what is no event goes to quarantine."""
    body = to_json(raw).encode()
    try:
        event = inbox.chargebee_event(body)
    except inbox.BadBody as bad:
        reason = f"in the event list: {bad}"
        inbox.quarantine(db, connection=connection, source="chargebee", body=body, reason=reason, now=now)
        return None, False
    return event, inbox.record(db, connection=connection, source="chargebee", event=event, body=body, now=now)


def _remember(db: Session, connection: str, name: str, at: datetime) -> None:
    """Move the cursor on; another clock that has come further meanwhile is right."""
    statement = insert(db, Cursor).values(connection=connection, name=name, at=at)
    db.execute(
        statement.on_conflict_do_update(index_elements=["connection", "name"], set_={"at": at}, where=Cursor.at < at)
    )
