"""Watches: balances that the clock looks at, to tell or to top up when they run low."""

from datetime import datetime
from hashlib import sha256
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from connector.balances import asking, lookup, watches
from connector.balances.drafts import must_be_known
from connector.balances.watches import Terms
from connector.errors import BadInput
from connector.web.api.here import Here
from connector.web.api.problems import changed, not_found
from connector.web.api.shapes import Amount, Body, Currency, Query, Reason, Seen, Shape, Text
from connector.web.api.two_steps import amount_of

State = Literal["ok", "low", "topping_up", "cap_reached", "refused", "ended", "gone"]


class TermsShape(Shape):
    """What somebody wants of a watch, in the balance's currency."""

    threshold: str
    credit: str | None = Field(description="What it is topped up with by itself; null: a person is told only.")
    price: str | None = Field(description="Null: as much as is credited.")
    price_currency: str | None
    free: bool
    transaction_type_id: str | None
    cap_credit: str | None
    cap_number: int | None
    enabled: bool


class WatchShape(TermsShape):
    """A watched balance as the clock last saw it."""

    balance_id: str
    account_id: str
    currency: str
    state: State
    state_since: datetime
    next_check_at: datetime
    held: str | None
    held_at: datetime | None
    made_by: str
    made_at: datetime


class Watches(Shape):
    """What is watched, the longest low first."""

    watches: list[WatchShape]


class WatchesQuery(Query):
    """Which."""

    state: State | None = None


class WatchBody(Body):
    """What is wanted from now on; what is left out is not kept from the watch before."""

    threshold: Amount = Field(description="It is low when it holds less than this, or nothing at all.")
    credit: Amount | None = Field(None, description="Top it up by itself with this much.")
    price: Amount | None = Field(None, description="What a top-up costs; as much as is credited when left out.")
    price_currency: Currency | None = Field(None, description="The balance's when left out.")
    free: bool = Field(False, description="Charge nothing for a top-up.")
    type: Text | None = Field(None, description="Transaction type by id, code or name; not needed where there is one.")
    cap_credit: Amount | None = Field(None, description="No more credit than this in a calendar month.")
    cap_number: int | None = Field(None, ge=1, le=1000, description="No more top-ups than this in a calendar month.")
    off: bool = Field(False, description="Keep what is set, and do not look until it is set without this.")
    seen: Seen | None = None


class WatchSet(Shape):
    """On which terms it is watched."""

    balance_id: str
    currency: str
    terms: TermsShape


class WatchPreview(WatchSet):
    """On which terms it would be watched, and on which it is now."""

    before: TermsShape | None
    seen: Seen


class UnwatchBody(Body):
    """Why nobody need look any more."""

    reason: Reason


class Unwatched(Shape):
    """Which balance is watched no more."""

    balance_id: str


def index(here: Here, connection: str, query: WatchesQuery) -> Watches:
    """The connection's watches; no provider is asked."""
    here.connection(connection)
    with here.services.reading() as db:
        rows = watches.listed(db, connection, state=query.state)
        readings = {row.balance_id: watches.last_reading(db, connection, row.balance_id) for row in rows}
    held = {
        name: {"held": format(one.held, "f"), "held_at": one.at} if one else dict.fromkeys(("held", "held_at"))
        for name, one in readings.items()
    }
    return Watches(watches=[WatchShape.model_validate(watches.as_json(row) | held[row.balance_id]) for row in rows])


def put(here: Here, connection: str, balance_id: UUID, body: WatchBody) -> WatchSet:
    """Watch the balance, or watch it on other terms, as these were shown: what is topped up by itself is money."""
    on = here.balance(connection, balance_id)
    if body.type is not None and body.credit is None:
        raise BadInput("a type is of use only with an automatic top-up: say what it credits, or leave the type out")
    threshold, credit = amount_of(body.threshold, "`threshold`"), amount_of(body.credit, "`credit`")
    assert threshold is not None  # noqa: S101 - the body has one
    terms = Terms(
        threshold, credit, amount_of(body.price, "`price`"), body.price_currency, body.free,
        None if credit is None else lookup.transaction_type(here.services, connection, body.type).id,
        amount_of(body.cap_credit, "`cap_credit`"), body.cap_number, not body.off,
    )  # fmt: skip
    watches.checked(on, terms, here.services.now())
    if terms.price_currency is not None:
        must_be_known(asking.known_currencies(here.services, connection), terms.price_currency)
    said: dict[str, Any] = {"balance_id": on.id, "currency": on.currency, "terms": _terms(terms)}
    with here.services.reading() as db:
        before = watches.find(db, connection, on.id)
    preview = WatchPreview(
        **said, before=TermsShape.model_validate(watches.as_json(before)) if before else None,
        seen=sha256(repr((on.id, terms)).encode()).hexdigest(),
    )  # fmt: skip
    if body.seen != preview.seen:
        raise changed(preview, body.seen)
    asking.watch(here.services, connection, on, terms, who=here.who)
    return WatchSet(**said)


def _terms(terms: Terms) -> TermsShape:
    amounts = ("threshold", "credit", "price", "cap_credit")
    texts = {name: None if (value := getattr(terms, name)) is None else format(value, "f") for name in amounts}
    return TermsShape.model_validate(vars(terms) | texts)


def remove(here: Here, connection: str, balance_id: UUID, body: UnwatchBody) -> Unwatched:
    """Watch it no more; what was asked for and its readings stay."""
    here.connection(connection)
    with here.services.reading() as db:
        found = watches.find(db, connection, str(balance_id))
    if found is None:
        raise not_found("such watch")
    asking.unwatch(here.services, connection, found.balance_id, who=here.who, reason=body.reason)
    return Unwatched(balance_id=found.balance_id)
