"""Asking Balance Billing for something, in two steps.

Without `seen` the answer is a problem that shows exactly what m3ter would be sent; with the `seen` of that preview it becomes a
request, which a worker makes once. The reference, or the Idempotency-Key in its place, is what makes a repeat the same request.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from decimal import Decimal
from hashlib import sha256
from typing import Any, Protocol
from uuid import UUID

from pydantic import BaseModel, Field

from connector import actions
from connector.balances import asking, lookup, top_ups, typed
from connector.balances.drafts import Draft
from connector.balances.requests import Asked
from connector.balances.top_ups import Price, TopUp
from connector.moments import midnight
from connector.web.api import balance_requests, problems
from connector.web.api.here import Created, Here
from connector.web.api.problems import Refusal
from connector.web.api.shapes import Body, Fault, Reference, Seen, Shape, Text, exact


class WouldSend(Shape):
    """One call that would be made to m3ter; numbers of the body are texts, digit for digit."""

    kind: str
    reference: str
    method: str
    path: str
    body: dict[str, Any]
    asked_before: str | None = Field(description="The state of the request with this reference, where there is one.")


class AskPreview(Shape):
    """What m3ter would be sent, in this order."""

    would_send: list[WouldSend]
    seen: Seen


class AskedFor(Shape):
    """The requests that this makes, a top-up's charge first; `is_new` is false where the same was asked for before."""

    is_new: bool
    requests: list[balance_requests.RequestShape]


class AskBody(Body):
    """What all of these need."""

    reference: Reference | None = Field(
        None, description="May be left out where an Idempotency-Key stands in its place."
    )
    seen: Seen | None = None
    description: Text | None = None


@dataclass(frozen=True)
class Plan:
    """What would be asked for, in the order in which it is made, and how it is asked for."""

    drafts: Sequence[Draft]
    ask: Callable[[], Sequence[Asked]]


@dataclass(frozen=True)
class Times:
    """What "today" means for one reference: a repeat says the same as the first time, whatever day it is by then."""

    here: Here
    connection: str
    reference: str

    @property
    def zone(self) -> tzinfo:
        return typed.zone_of(self.here.connection(self.connection).settings)

    def begins(self) -> datetime:
        """The moment at which today began, in the organization's time zone."""
        return midnight(self.today(), self.zone)

    def today(self) -> date:
        return self.here.services.now().astimezone(self.zone).date()

    def moment(self, given: datetime | None, kind: str, field: str, otherwise: datetime) -> datetime:
        """What was given; else what was first asked for under the reference; else the default."""
        before = None if given else self._before(kind, field)
        return given or (datetime.fromisoformat(before) if before else otherwise)

    def day(self, given: date | None, kind: str, field: str) -> date:
        """What was given; else what was first asked for under the reference; else today."""
        before = None if given else self._before(kind, field)
        return given or (date.fromisoformat(before) if before else self.today())

    def _before(self, kind: str, field: str) -> str | None:
        return asking.as_before(self.here.services, self.connection, kind, self.reference, field)


def must_fit(body: Body, *, recurs: bool) -> None:
    """BadInput for a top-up that contradicts itself."""
    given = {name for name, value in body.model_dump(exclude_unset=True).items() if value}
    top_ups.must_fit(
        given, recurs=recurs, called=lambda name: f"`{name}`", once="a single top-up", again="one that recurs"
    )


class Priced(Protocol):
    """What says what a top-up costs."""

    free: bool
    price: str | None
    currency: str | None


def price_of(body: Priced) -> Price | None:
    """What the top-up costs; None where it is free."""
    if body.free:
        return None
    return Price(None if body.price is None else typed.amount(body.price, "`price`"), body.currency)


def amount_of(text: str | None, what: str) -> Decimal | None:
    """The amount, where one is given; BadInput for what is none."""
    return None if text is None else typed.amount(text, what)


def id_of(given: UUID | None) -> str | None:
    """The id as m3ter is sent it, where one is given."""
    return None if given is None else str(given)


def type_id(here: Here, connection: str, named: str | None) -> str:
    """The id of the transaction type that is named, or of the only one."""
    return lookup.transaction_type(here.services, connection, named).id


def own_reference(here: Here, body: AskBody) -> str:
    """The reference: given, or the Idempotency-Key."""
    if body.reference and here.key and body.reference != here.key:
        fault = Fault(where="header.Idempotency-Key", text="It is another than the `reference`: leave one of them out.")
        raise Refusal(422, "The reference contradicts the Idempotency-Key.", faults=[fault])
    own = body.reference or here.key
    if own is None:
        fault = Fault(where="body.reference", text="Give one, or an Idempotency-Key: by it a repeat is recognised.")
        raise Refusal(422, "Without a reference the same could be made twice.", faults=[fault])
    return own


def ask_one(
    here: Here,
    connection: str,
    complete: Draft,
    seen: str | None,
    shown: Callable[[AskPreview], BaseModel] | None = None,
) -> Created | AskedFor:
    """The request that a placed draft becomes, once it has been seen; `shown` says what else there is to see before."""
    ask = lambda: [asking.ask(here.services, connection, complete, who=here.who)]  # noqa: E731 - one line says it
    return _asked(here, connection, Plan([complete], ask), seen, shown)


def ask_pair(
    here: Here,
    connection: str,
    complete: TopUp,
    seen: str | None,
    shown: Callable[[AskPreview], BaseModel] | None = None,
) -> Created | AskedFor:
    """The two requests that a placed top-up becomes, once it has been seen."""
    ask = lambda: asking.ask_top_up(here.services, connection, complete, who=here.who)  # noqa: E731 - one line says it
    return _asked(here, connection, Plan(complete.halves, ask), seen, shown)


def _asked(
    here: Here, connection: str, plan: Plan, seen: str | None, shown: Callable[[AskPreview], BaseModel] | None = None
) -> Created | AskedFor:
    """The request, once that has been seen which it makes; a problem that shows it before."""
    sends = asking.would_send(here.services, connection, plan.drafts)
    preview = AskPreview(
        would_send=[
            WouldSend(
                kind=one.draft.kind, reference=one.draft.reference, method="POST", path=one.path,
                body={name: exact(value) if isinstance(value, Decimal) else value for name, value in one.body.items()},
                asked_before=one.before.status if one.before else None,
            )
            for one in sends
        ],
        seen=sha256(repr([(one.path, sorted(one.body.items())) for one in sends]).encode()).hexdigest(),
    )  # fmt: skip
    if seen != preview.seen:
        raise problems.changed(shown(preview) if shown else preview, seen)
    asked = plan.ask()
    actions.queue(here.services, [one.sync_id for one in asked])
    answer = AskedFor(
        is_new=any(one.is_new for one in asked), requests=[balance_requests.shape_of(one.request) for one in asked]
    )
    location = f"/connections/{connection}/balance-requests/{asked[-1].request.id}"
    return Created(answer, location) if answer.is_new else answer
