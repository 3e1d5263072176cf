"""Alerts: what people are told of, and what they do not want to hear of for a while."""

from datetime import datetime
from typing import Annotated

from pydantic import BeforeValidator, Field

from connector.alerts import book, shown
from connector.web.api.here import Here
from connector.web.api.shapes import Body, Query, Reason, Shape, Text, digits

MOST_HOURS, MOST_OVER = 720, 1000


class AlertShape(Shape):
    """Something that people should hear of; `resolved_at` is null while it stands."""

    key: str
    condition: str
    connection: str
    severity: str
    count: int
    text: str
    next_step: str
    page: str
    command: str
    returns: int = Field(description="How often it has come back soon after it was over.")
    since: datetime | None
    opened_at: datetime
    last_seen_at: datetime
    resolved_at: datetime | None
    muted_until: datetime | None
    muted_for: str | None = Field(description="Why it is muted.")


class DestinationShape(Shape):
    """How sending to one address goes."""

    destination: str
    tries: int
    failing_since: datetime | None
    sent_at: datetime | None


class Alerts(Shape):
    """What stands, the most severe first, and the newest of what is over."""

    alerts: list[AlertShape]
    over: list[AlertShape]
    destinations: list[DestinationShape]


class AlertsQuery(Query):
    """How much."""

    over: Annotated[int, Field(ge=0, le=MOST_OVER), BeforeValidator(digits)] = Field(
        10, description="So many of those that are over, too."
    )


class MuteBody(Body):
    """What is muted, for how long, and why."""

    key: Text = Field(description="The alert's.")
    hours: int = Field(ge=1, le=MOST_HOURS)
    reason: Reason


class UnmuteBody(Body):
    """What is to be heard of again."""

    key: Text = Field(description="The alert's.")


class Muted(Shape):
    """Until when nothing is said of it; null: it is said."""

    key: str
    muted_until: datetime | None


def index(here: Here, query: AlertsQuery) -> Alerts:
    """What stands and what is over."""
    found = shown.of_installation(here.services, over=query.over)
    rows = [
        [AlertShape.model_validate(shown.as_json(one, found.mutes.get(one.key))) for one in some]
        for some in (found.open, found.over)
    ]
    return Alerts(
        alerts=rows[0], over=rows[1], destinations=[DestinationShape.model_validate(one) for one in found.destinations]
    )


def mute(here: Here, body: MuteBody) -> Muted:
    """Say nothing of an alert for so many hours, also if it is over and comes back."""
    until = shown.mute_for(here.services, body.key, body.hours, body.reason, here.who)
    return Muted(key=body.key, muted_until=until)


def unmute(here: Here, body: UnmuteBody) -> Muted:
    """Say again what is to be said of an alert."""
    book.unmute(here.services, body.key, here.who)
    return Muted(key=body.key, muted_until=None)
