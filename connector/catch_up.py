"""Events that no webhook brought: Chargebee's event list is read into the same inbox, so a lost webhook costs only time."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from connector import inbox
from connector.clients.http import to_json
from connector.database import insert
from connector.inbox import Event
from connector.models import Cursor
from connector.services import Services

# Chargebee may list an event late, and whether its filter includes the moment itself is not documented (chargebee.md §7.6).
OVERLAP = timedelta(minutes=10)
EVENTS = "chargebee events"


def take_missed_events(services: Services, connection: str) -> int:
    """How many events of the list were new; the next call goes on where this one ended, with an overlap."""
    chargebee = services.connection(connection).chargebee
    with services.reading() as db:
        reached = db.scalar(select(Cursor.at).where(Cursor.connection == connection, Cursor.name == EVENTS))
    reached = reached or services.installed_at
    since, offset, missed = reached - OVERLAP, None, 0
    while True:
        page, offset = chargebee.list_events(occurred_after=since, offset=offset)
        with services.transaction() as db:
            for raw in page:
                event, is_new = _keep(db, connection, raw, services.now())
                missed += is_new
                reached = max(reached, (event and event.occurred_at) or reached)
            _remember(db, connection, reached)
        if offset is None:
            return missed


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


def _remember(db: Session, connection: str, at: datetime) -> None:
    statement = insert(db, Cursor).values(connection=connection, name=EVENTS, at=at)
    db.execute(statement.on_conflict_do_update(index_elements=["connection", "name"], set_={"at": at}))
