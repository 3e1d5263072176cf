"""Change, end and delete what Balance Billing has, in two steps: without `seen` the answer shows what would be different.

What speaks against a change is listed there as `objections`, and named in `despite` where it is meant all the same. Doing the
same twice changes nothing the second time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from connector.balances import changes, requests
from connector.balances.changes import Change
from connector.balances.drafts import BALANCE, CHARGE, CHARGE_SCHEDULE, MAX_INTERVAL, TRANSACTION_SCHEDULE
from connector.balances.in_m3ter import Standing
from connector.balances.objections import OBJECTIONS
from connector.clients.m3ter_balances import BalanceBilling
from connector.errors import BadInput, NotFound, Parked
from connector.web.api import problems
from connector.web.api.ad_hoc import LineType
from connector.web.api.here import Here
from connector.web.api.problems import Refusal
from connector.web.api.schedules import Frequency
from connector.web.api.shapes import Amount, Body, Currency, Day, Moment, OneOf, Reason, Seen, Shape, Text
from connector.web.api.two_steps import amount_of, type_id

Objection = Annotated[str, OneOf(sorted({code for codes in OBJECTIONS.values() for code in codes}))]
Name = Annotated[Text, Field(max_length=200)]
NOT_FIELDS = {"seen", "despite", "clear"}
AMOUNTS = ("amount", "units", "unit_price", "paid", "rollover_amount", "overage_percent")


class ObjectionShape(Shape):
    """Something that has to be known, and named in `despite`, before the change is made."""

    code: str
    text: str


class OneChangeShape(Shape):
    """What would be different of one thing: `fields` by m3ter's names, null for one that goes; `before` is what they are."""

    action: Literal["update", "delete"]
    kind: str
    id: str
    title: str
    fields: dict[str, Any]
    before: dict[str, Any]
    objections: list[ObjectionShape]
    remarks: list[str]


class ChangeShape(OneChangeShape):
    """What would be different, with what is done to the other half of its top-up."""

    other_half: OneChangeShape | None


class ChangePreview(ChangeShape):
    """What would be different, to be looked at."""

    seen: Seen


class Changed(Shape):
    """What is different now; `changed` is false, and `change` may be null, where it was so already."""

    changed: bool
    change: ChangeShape | None


class ActBody(Body):
    """What all of these take."""

    seen: Seen | None = None
    despite: list[Objection] = Field([], max_length=10, description="What is known to speak against it.")


class DeleteBody(ActBody):
    """Why it goes."""

    reason: Reason


class EndBody(ActBody):
    """When it makes nothing more."""

    at: Moment | None = Field(
        None, description="The first moment at which it makes nothing more; now when left out, and needed with `seen`."
    )
    both: bool = Field(False, description="Where it is half of a top-up, end the other half with it.")


class BalanceUpdate(ActBody):
    """What of a balance becomes different; what is left out stays, and what `clear` names goes."""

    name: Name | None = None
    description: Text | None = None
    start: Moment | None = None
    end: Moment | None = None
    rollover_end: Moment | None = None
    rollover_amount: Amount | None = None
    draw_down_description: Text | None = None
    overage_percent: Amount | None = None
    overage_description: Text | None = None
    product_ids: list[UUID] | None = Field(None, max_length=100)
    line_item_types: list[LineType] | None = Field(None, max_length=20)
    consumptions_product_id: UUID | None = None
    fees_product_id: UUID | None = None
    clear: list[
        Literal[
            "description", "rollover_end", "rollover_amount", "draw_down_description", "overage_percent",
            "overage_description", "product_ids", "line_item_types", "consumptions_product_id", "fees_product_id",
        ]
    ] = Field([], max_length=10)  # fmt: skip


class ChargeUpdate(ActBody):
    """What of a charge becomes different; what is left out stays, and what `clear` names goes."""

    name: Name | None = None
    currency: Currency | None = None
    amount: Amount | None = None
    units: Amount | None = None
    unit_price: Amount | None = None
    start: Moment | None = None
    end: Moment | None = None
    bill_date: Day | None = None
    description: Text | None = None
    notes: Text | None = None
    product_id: UUID | None = None
    clear: list[Literal["description", "notes", "product_id"]] = Field([], max_length=10)


class ScheduleUpdate(ActBody):
    """What of both kinds of schedules can become different; what is left out stays."""

    name: Name | None = None
    description: Text | None = None
    amount: Amount | None = None
    start: Moment | None = None
    end: Moment | None = None
    frequency: Frequency | None = None
    every: int | None = Field(None, ge=1, le=MAX_INTERVAL)


class TransactionScheduleUpdate(ScheduleUpdate):
    """What of a schedule of transactions becomes different; what `clear` names goes."""

    type: Text | None = None
    paid: Amount | None = None
    currency_paid: Currency | None = None
    clear: list[Literal["paid", "currency_paid"]] = Field([], max_length=10)


class ChargeScheduleUpdate(ScheduleUpdate):
    """What of a schedule of charges becomes different; what `clear` names goes."""

    currency: Currency | None = None
    units: Amount | None = None
    unit_price: Amount | None = None
    in_advance: bool | None = None
    bill_epoch: Day | None = None
    clear: list[Literal["bill_epoch"]] = Field([], max_length=10)


@dataclass(frozen=True)
class Thing:
    """One kind of what can be changed, and how one is read; the first id is its balance's, where it has one."""

    kind: str
    read: Callable[[BalanceBilling, str, str], Standing]


BALANCES = Thing(BALANCE, lambda m3ter, _, own: m3ter.get_balance(own))
CHARGES = Thing(CHARGE, lambda m3ter, _, own: m3ter.get_charge(own))
CREDITS = Thing(TRANSACTION_SCHEDULE, lambda m3ter, on, own: m3ter.get_transaction_schedule(on, own))
FEES = Thing(CHARGE_SCHEDULE, lambda m3ter, on, own: m3ter.get_charge_schedule(on, own))


def updating(thing: Thing) -> Callable[..., Changed]:
    """The operation that changes fields of such a thing."""

    def run(here: Here, connection: str, body: Any, **address: UUID) -> Changed:
        wanted = _wanted(here, connection, body)
        standing = _standing(here, connection, thing, address)
        return _made(here, connection, changes.update(here.services, connection, thing.kind, standing, wanted), body)

    return run


def ending(thing: Thing) -> Callable[..., Changed]:
    """The operation that ends such a thing."""

    def run(here: Here, connection: str, body: EndBody, **address: UUID) -> Changed:
        if body.seen and body.at is None:
            raise BadInput("say when it ends, as that was shown: give `at`")
        at: datetime = body.at or here.services.now().replace(microsecond=0)
        standing = _standing(here, connection, thing, address)
        return _made(
            here, connection, changes.end(here.services, connection, thing.kind, standing, at, both=body.both), body
        )

    return run


def deleting(thing: Thing) -> Callable[..., Changed]:
    """The operation that deletes such a thing; what was made here and was deleted in m3ter by others is noted as gone."""

    def run(here: Here, connection: str, body: DeleteBody, **address: UUID) -> Changed:
        try:
            standing = _read(here, connection, thing, address)
        except NotFound:
            own = str(list(address.values())[-1])
            if not changes.note_gone(here.services, connection, thing.kind, own, who=here.who):
                raise problems.not_found(f"such {requests.TITLES[thing.kind]} in m3ter") from None
            return Changed(changed=False, change=None)
        planned = changes.deletion(here.services, connection, thing.kind, standing)
        return _made(here, connection, planned, body, body.reason)

    return run


def _wanted(here: Here, connection: str, body: Any) -> dict[str, Any]:
    """The fields that become different, by the arguments of their draft."""
    given = {name: value for name, value in body.model_dump(exclude=NOT_FIELDS).items() if value is not None}
    if both := sorted(given.keys() & set(body.clear)):
        raise BadInput(f"{', '.join(both)} cannot be given and taken away at once")
    wanted: dict[str, Any] = {name: _value(name, value) for name, value in given.items() if name != "type"}
    if "type" in given:
        wanted["type_id"] = type_id(here, connection, given["type"])
    wanted |= dict.fromkeys(body.clear)
    if not wanted:
        raise BadInput("say what is to become different: give at least one field")
    return wanted


def _value(name: str, value: Any) -> Any:
    if name in AMOUNTS:
        exact: Decimal | None = amount_of(value, f"`{name}`")
        return exact
    if isinstance(value, list):
        return tuple(str(one) for one in value)
    return str(value) if isinstance(value, UUID) else value


def _read(here: Here, connection: str, thing: Thing, address: dict[str, UUID]) -> Standing:
    ids = [str(one) for one in address.values()]
    return thing.read(here.balance_billing(connection), ids[0], ids[-1])


def _standing(here: Here, connection: str, thing: Thing, address: dict[str, UUID]) -> Standing:
    try:
        return _read(here, connection, thing, address)
    except NotFound:
        raise problems.not_found(f"such {requests.TITLES[thing.kind]} in m3ter") from None


def _made(here: Here, connection: str, planned: Change, body: ActBody, reason: str | None = None) -> Changed:
    """The change, once it has been seen; a problem that shows it before, and nothing where it is so already."""
    told = changes.as_json(planned)
    if not planned.is_needed:
        return Changed(changed=False, change=ChangeShape.model_validate(told))
    preview = ChangePreview.model_validate(told | {"seen": sha256(repr(told).encode()).hexdigest()})
    if body.seen != preview.seen:
        raise problems.changed(preview, body.seen)
    try:
        changes.must_be_meant(planned, body.despite)
    except Parked as untold:
        named = ", ".join(one.code for one in planned.objections)
        raise Refusal(
            409, str(untold), code=untold.cause.code, preview=preview,
            next_step=f"If it is meant all the same, name in `despite` what speaks against it: {named}.",
        ) from None  # fmt: skip
    changes.apply(here.services, connection, planned, who=here.who, despite=body.despite, reason=reason)
    return Changed(changed=True, change=ChangeShape.model_validate(told))
