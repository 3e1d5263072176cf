"""Is everything in step? The whole in numbers; and each connection with what holds its work back."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from connector import actions, catch_up, counts, overview, pauses, polls
from connector.services import Connected
from connector.web.api.here import Here
from connector.web.api.shapes import Body, Reason, Shape, Text
from connector.web.api.syncs import PauseShape

HOW_MUCH = {"all": pauses.ALL, "money": pauses.MONEY}


class Count(Shape):
    """A number that is exact unless `or_more`."""

    number: int
    or_more: bool


class OpenCount(Shape):
    """How many syncs of a kind are in a state that is not the last."""

    kind: str
    status: str
    syncs: int


class TroubleShape(Shape):
    """Syncs that stand still, or are tried again, for one reason."""

    connection: str
    kind: str
    status: str
    cause: str
    syncs: int
    since: datetime
    next_step: str | None


class StateShape(Shape):
    """One connection: what holds it back, how far its lists have been read, and since when events may be lost."""

    connection: str
    pauses: list[PauseShape]
    events_polled: datetime | None
    bills_polled: datetime | None
    lost_since: datetime | None


class Overview(Shape):
    """The numbers of the whole installation, as they stand now."""

    version: str
    parked: int = Field(description="How many syncs wait for a person.")
    due_since: datetime | None = Field(description="Since when the oldest work is due that nobody has taken yet.")
    open: list[OpenCount]
    closed: dict[str, Count]
    events: dict[str, Count]
    troubles: list[TroubleShape]
    connections: list[StateShape]


class HeldPause(PauseShape):
    """A pause, with how many syncs wait because of it."""

    held_back: int


class ConnectionShape(Shape):
    """A Chargebee site with a m3ter organisation."""

    name: str
    chargebee_site: str
    m3ter_org_id: str
    pauses: list[HeldPause]
    events_polled: datetime | None
    bills_polled: datetime | None
    read_until: datetime | None
    lost_since: datetime | None


class Connections(Shape):
    """All connections."""

    connections: list[ConnectionShape]


class PauseBody(Body):
    """What is held back, and why."""

    what: Literal["all", "money"]
    reason: Reason


class ResumeBody(Body):
    """Why it goes on."""

    reason: Text | None = None


class ResumeMoneyBody(Body):
    """That somebody has compared what was pushed, in their words."""

    reason: Reason


def status(here: Here) -> Overview:
    """The numbers of the whole installation, and what stands still for which cause."""
    found = overview.of_installation(here.services)
    return Overview(
        version=found.version, parked=found.parked, due_since=found.due_since,
        open=[OpenCount(kind=kind, status=status, syncs=number) for (kind, status), number in sorted(found.open.items())],
        closed={name: _counted(one) for name, one in found.closed.items()},
        events={name: _counted(one) for name, one in found.events.items()},
        troubles=[TroubleShape.model_validate(one) for one in found.troubles],
        connections=[StateShape.model_validate(one) for one in found.states],
    )  # fmt: skip


def _counted(count: counts.Count) -> Count:
    return Count(number=count.number, or_more=count.number >= counts.MOST)


def index(here: Here) -> Connections:
    """All connections, with their pauses and how far their lists have been read."""
    return Connections(connections=[_shape(here, one) for one in here.services.connections.values()])


def _shape(here: Here, one: Connected) -> ConnectionShape:
    with here.services.reading() as db:
        last = polls.last(db)
        return ConnectionShape(
            name=one.name,
            chargebee_site=one.settings.chargebee_site,
            m3ter_org_id=one.settings.m3ter_org_id,
            pauses=[
                HeldPause(
                    **PauseShape.model_validate(pause).model_dump(),
                    held_back=pauses.held_back(db, one.name, pause.what),
                )
                for pause in pauses.of_connection(db, one.name)
            ],
            events_polled=last.get((one.name, polls.EVENTS)),
            bills_polled=last.get((one.name, polls.BILLS)),
            read_until=catch_up.read_until(db, one.name),
            lost_since=catch_up.lost_since(db, one.name),
        )


def _whats(here: Here, name: str) -> set[str]:
    with here.services.reading() as db:
        return {one.what for one in pauses.of_connection(db, name)}


def pause(here: Here, connection: str, body: PauseBody) -> ConnectionShape:
    """Hold back all work of the connection, or its bills only; what is paused already stays so, for its first reason."""
    found, what = here.connection(connection), HOW_MUCH[body.what]
    if what not in _whats(here, connection):
        actions.pause(here.services, connection, what, body.reason, here.who)
    return _shape(here, found)


def resume(here: Here, connection: str, body: ResumeBody) -> ConnectionShape:
    """Lift every pause but that of money; what is not paused stays so."""
    found = here.connection(connection)
    if _whats(here, connection) - {pauses.MONEY}:
        actions.resume(here.services, connection, money=False, reason=body.reason, who=here.who)
    return _shape(here, found)


def resume_money(here: Here, connection: str, body: ResumeMoneyBody) -> ConnectionShape:
    """Let bills go on; where they do already nothing changes."""
    found = here.connection(connection)
    if pauses.MONEY in _whats(here, connection):
        actions.resume(here.services, connection, money=True, reason=body.reason, who=here.who)
    return _shape(here, found)
