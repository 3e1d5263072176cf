"""Events: what was delivered, or read from Chargebee's event list, and what became of it."""

import json
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from connector import actions, inbox
from connector.models import InboxEvent
from connector.redaction import redacted
from connector.web.api import problems
from connector.web.api.here import Here
from connector.web.api.shapes import SAID, Body, OneOf, Page, Paged, Shape, Text, page
from connector.web.api.syncs import SyncShape

Source = Annotated[str, OneOf(inbox.SOURCES)]
Status = Literal["new", "done", "ignored", "failed"]


class EventShape(Shape):
    """One event without its payload; `id` is its number in the inbox, `event_id` its sender's."""

    id: int
    connection: str
    source: str
    event_id: str
    event_type: str
    status: Status
    reason: str | None
    occurred_at: datetime | None
    received_at: datetime
    handled_at: datetime | None


class EventPage(Page):
    """Events, the newest first."""

    events: list[EventShape]


class EventDetail(EventShape):
    """One event with its payload and the syncs that it opened."""

    whole: bool = Field(description="False where personal data is hidden in the payload.")
    payload: dict[str, Any] = Field(description="What was sent; numbers with a fraction are texts, digit for digit.")
    syncs: list[SyncShape]


class Replayed(Shape):
    """Whether it is dispatched once more because of this call; false where it was to be dispatched anyhow."""

    replayed: bool
    event: EventShape


class CloseBody(Body):
    """Why nobody need act on it."""

    reason: str = Field(
        min_length=1, max_length=300, pattern=SAID, description="Kept on the event and in the audit log."
    )


class EventsQuery(Paged):
    """Which events: those to which all applies that is given."""

    connection: Text | None = None
    status: Status | None = None
    source: Source | None = None
    event_type: Text | None = None
    event_id: Text | None = None


def index(here: Here, query: EventsQuery) -> EventPage:
    """A page of events by filter, of the connections that are set up."""
    connections = [query.connection] if query.connection else list(here.services.connections)
    with here.services.reading() as db:
        found = inbox.listed(
            db, connections, status=query.status, source=query.source, event_type=query.event_type,
            event_id=query.event_id, before=query.before, limit=query.limit + 1,
        )  # fmt: skip
    rows, older = page(found, query.limit)
    return EventPage(events=[EventShape.model_validate(one) for one in rows], next=older)


def show(here: Here, event_id: int) -> EventDetail:
    """One event, its payload without personal data."""
    return _detail(here, _look_up(here, event_id), whole=False)


def show_payload(here: Here, event_id: int) -> EventDetail:
    """One event with all that it says, personal data too; that somebody has looked is kept."""
    row = _look_up(here, event_id)
    actions.note_shown(here.services, row, here.who)
    return _detail(here, row, whole=True)


def _look_up(here: Here, event_id: int) -> InboxEvent:
    with here.services.reading() as db:
        row = db.get(InboxEvent, event_id)
    if row is None:
        raise problems.not_found(f"event {event_id}")
    return row


def _detail(here: Here, row: InboxEvent, *, whole: bool) -> EventDetail:
    said = inbox.read_json(row.body)
    with here.services.reading() as db:
        opened = inbox.opened_by(db, row)
    return EventDetail(
        **EventShape.model_validate(row).model_dump(),
        whole=whole,
        # Decimals become texts, so that they keep their digits.
        payload=json.loads(json.dumps(said if whole else redacted(said), default=str), parse_float=str),
        syncs=[SyncShape.model_validate(one) for one in opened],
    )


def replay(here: Here, event_id: int) -> Replayed:
    """Dispatch the event once more."""
    row = _look_up(here, event_id)
    replayed = actions.replay(here.services, row.connection, [row.id], here.who)
    return Replayed(replayed=bool(replayed), event=EventShape.model_validate(_look_up(here, event_id)))


def close(here: Here, event_id: int, body: CloseBody) -> EventShape:
    """Note on a failed event why nobody need act on it: it counts as ignored from then on."""
    row = _look_up(here, event_id)
    actions.close_event(here.services, row.connection, row.id, body.reason, here.who)
    return EventShape.model_validate(_look_up(here, event_id))
