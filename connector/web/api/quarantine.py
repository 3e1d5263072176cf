"""Deliveries that could not become an event: why, and the two ways out of there. What was delivered is not shown here."""

from datetime import datetime

from pydantic import Field

from connector import actions, explain, inbox
from connector.models import QuarantinedBody
from connector.web.api import problems
from connector.web.api.here import Here
from connector.web.api.shapes import Body, Page, Paged, Reason, Shape, Text, page


class DeliveryShape(Shape):
    """One delivery without its body."""

    id: int
    connection: str
    source: str
    received_at: datetime
    reason: str
    next_step: str
    bytes: int


class QuarantinePage(Page):
    """Deliveries, the newest first."""

    deliveries: list[DeliveryShape]


class QuarantineQuery(Paged):
    """Which deliveries."""

    connection: Text | None = None


class DismissBody(Body):
    """Why nobody need act on it."""

    reason: Reason


class DeliveryDetail(DeliveryShape):
    """One delivery with what was sent, which nobody could read and so nobody can redact."""

    body: str = Field(description="What cannot be shown stands as its escape.")


class Readmitted(Shape):
    """The event that it is after all, by its sender's id."""

    event_id: str


class Dismissed(Shape):
    """Which delivery is out of quarantine."""

    dismissed: int


def index(here: Here, query: QuarantineQuery) -> QuarantinePage:
    """A page of deliveries."""
    connections = [query.connection] if query.connection else list(here.services.connections)
    with here.services.reading() as db:
        found = inbox.every_quarantined(db, connections, before=query.before, limit=query.limit + 1)
    rows, older = page(found, query.limit)
    return QuarantinePage(deliveries=[_shape(one) for one in rows], next=older)


def _shape(row: QuarantinedBody) -> DeliveryShape:
    return DeliveryShape(
        id=row.id, connection=row.connection, source=row.source, received_at=row.received_at, reason=row.reason,
        next_step=explain.quarantined(row.reason), bytes=len(row.body),
    )  # fmt: skip


def show_body(here: Here, delivery_id: int) -> DeliveryDetail:
    """One delivery with its body; that somebody has looked is kept."""
    row = _look_up(here, delivery_id)
    actions.note_shown(here.services, row, here.who)
    return DeliveryDetail(**_shape(row).model_dump(), body=explain.delivered(row.body))


def readmit(here: Here, delivery_id: int) -> Readmitted:
    """Take it in as the event that it is after all."""
    row = _look_up(here, delivery_id)
    return Readmitted(event_id=actions.readmit(here.services, row.connection, row.id, here.who))


def dismiss(here: Here, delivery_id: int, body: DismissBody) -> Dismissed:
    """Take it out of quarantine for good."""
    row = _look_up(here, delivery_id)
    actions.dismiss(here.services, row.connection, row.id, body.reason, here.who)
    return Dismissed(dismissed=delivery_id)


def _look_up(here: Here, delivery_id: int) -> QuarantinedBody:
    with here.services.reading() as db:
        row = db.get(QuarantinedBody, delivery_id)
    if row is None:
        raise problems.not_found(f"delivery {delivery_id} in quarantine")
    return row
