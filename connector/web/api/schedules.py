"""Schedules of Balance Billing: those that a balance has, and asking for others, alone or as the pair of a top-up.

In the two steps of `balances`: the first shows also what the schedules would make.
"""

from datetime import date, datetime, tzinfo
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from connector.balances import asking, drafts, overview, previews, top_ups, typed
from connector.balances.drafts import CHARGE_SCHEDULE, FREQUENCIES, MAX_INTERVAL, TRANSACTION_SCHEDULE, Draft
from connector.clients.m3ter_balance_objects import Balance, ChargeSchedule, TransactionSchedule
from connector.web.api.here import Created, Here
from connector.web.api.shapes import Amount, Currency, Day, Moment, OneOf, Shape, Text
from connector.web.api.two_steps import (
    AskBody,
    AskedFor,
    AskPreview,
    Times,
    amount_of,
    ask_one,
    ask_pair,
    must_fit,
    own_reference,
    price_of,
    type_id,
)

Frequency = Annotated[str, OneOf(FREQUENCIES)]
Kind = Literal["transaction_schedule", "charge_schedule"]


class ScheduleShape(Shape):
    """What makes transactions, or charges, again and again; what only the other kind has is null."""

    id: str
    kind: Kind
    balance_id: str
    code: str
    name: str
    description: str | None
    amount: str | None
    start: datetime
    end: datetime
    frequency: str
    every: int
    next_run: datetime | None
    previous_run: datetime | None
    transaction_type_id: str | None = None
    paid: str | None = None
    currency_paid: str | None = None
    price: str | None = Field(None, description="What is charged at a time, in `currency`.")
    units: str | None = None
    unit_price: str | None = None
    currency: str | None = None
    in_advance: bool | None = None
    bill_epoch: str | None = None


class Schedules(Shape):
    """A balance's schedules of both kinds, the newest first, also those that have ended."""

    currency: str = Field(description="The balance's, in which transactions are.")
    schedules: list[ScheduleShape]


class PlannedShape(Shape):
    """One transaction, or charge, that would be made."""

    amount: str
    currency: str
    applied: datetime | None
    bill_date: str | None
    service_period_start: datetime | None
    service_period_end: datetime | None


class WouldMake(Shape):
    """The first of what a schedule would make, as m3ter works it out; `more` is null where it does not say."""

    kind: Kind
    currency: str
    rows: list[PlannedShape]
    more: bool | None
    total_shown: str


class SchedulePreview(AskPreview):
    """What m3ter would be sent, and what the schedule would make then."""

    would_make: WouldMake


class PairWouldMake(Shape):
    """What both schedules of a top-up would make; a free one charges nothing."""

    credits: WouldMake
    charges: WouldMake | None
    uneven: bool = Field(description="Credits and charges do not come out even.")


class PairPreview(AskPreview):
    """What m3ter would be sent for both schedules, and what they would make then."""

    would_make: PairWouldMake


class ScheduleBody(AskBody):
    """What both kinds need; the reference is the code."""

    description: Text = Field(description="Of what it makes.")
    name: Text | None = Field(None, max_length=200, description="The description when left out.")
    start: Moment | None = Field(None, description="When it begins; today's beginning when left out.")
    end: Moment = Field(description="The first moment after its last period.")
    frequency: Frequency = "MONTHLY"
    every: int = Field(1, ge=1, le=MAX_INTERVAL, description="Each so many days, weeks, months or years.")


class TransactionScheduleBody(ScheduleBody):
    """Credits that recur, without charges."""

    amount: Amount = Field(description="Credit at a time, in the balance's currency.")
    type: Text | None = Field(None, description="Transaction type by id, code or name; not needed where there is one.")
    paid: Amount | None = Field(None, description="What is really paid at a time; for the record only.")
    currency_paid: Currency | None = None


class ChargeScheduleBody(ScheduleBody):
    """Charges that recur, which credit nothing."""

    currency: Currency
    amount: Amount | None = Field(None, description="The price at a time; or else `units` at `unit_price`.")
    units: Amount | None = None
    unit_price: Amount | None = None
    in_arrears: bool = Field(False, description="Bill each period at its end, not at its start.")
    bill_epoch: Day | None = Field(None, description="From which day periods are counted; the start's when left out.")


class TopUpScheduleBody(AskBody):
    """Credit that recurs, each time with the charge that pays for it."""

    credit: Amount = Field(description="At a time, in the balance's currency.")
    type: Text | None = Field(None, description="Transaction type by id, code or name; not needed where there is one.")
    price: Amount | None = Field(None, description="What is charged at a time; as much as the credit when left out.")
    currency: Currency | None = Field(None, description="Of the price; the balance's when left out.")
    free: bool = Field(False, description="Credit without charges.")
    start: Moment | None = Field(
        None,
        description="When it begins; when left out today's beginning, or the balance's where that is still to come.",
    )
    end: Moment | None = Field(
        None, description="The first moment after its last period; the balance's end when left out."
    )
    frequency: Frequency = "MONTHLY"
    every: int = Field(1, ge=1, le=MAX_INTERVAL, description="Each so many days, weeks, months or years.")
    in_arrears: bool = Field(False, description="Bill each period at its end, not at its start.")


def index(here: Here, connection: str, balance_id: UUID) -> Schedules:
    """A balance's schedules as m3ter has them."""
    on = here.balance(connection, balance_id)
    m3ter = here.balance_billing(connection)
    found: list[TransactionSchedule | ChargeSchedule] = [
        *m3ter.list_transaction_schedules(on.id),
        *m3ter.list_charge_schedules(on.id),
    ]
    shapes = [ScheduleShape.model_validate(overview.schedule_as_json(one)) for one in found]
    return Schedules(currency=on.currency, schedules=shapes)


def of_transactions(here: Here, connection: str, balance_id: UUID, body: TransactionScheduleBody) -> Created | AskedFor:
    """Ask for credits that recur."""
    own, on = own_reference(here, body), here.balance(connection, balance_id)
    draft = drafts.transaction_schedule(
        balance_id=on.id, code=own, amount=typed.amount(body.amount, "`amount`"),
        type_id=type_id(here, connection, body.type), paid=amount_of(body.paid, "`paid`"),
        currency_paid=body.currency_paid,
        **_shared(Times(here, connection, own), body, TRANSACTION_SCHEDULE, "startDate"),
    )  # fmt: skip
    return _asked(here, connection, draft, on, body)


def of_charges(here: Here, connection: str, balance_id: UUID, body: ChargeScheduleBody) -> Created | AskedFor:
    """Ask for charges that recur."""
    own, on = own_reference(here, body), here.balance(connection, balance_id)
    times = Times(here, connection, own)
    shared = _shared(times, body, CHARGE_SCHEDULE, "servicePeriodStartDate")
    draft = drafts.charge_schedule(
        balance_id=on.id, code=own, currency=body.currency, amount=amount_of(body.amount, "`amount`"),
        units=amount_of(body.units, "`units`"), unit_price=amount_of(body.unit_price, "`unit_price`"),
        in_advance=not body.in_arrears, bill_epoch=body.bill_epoch or _day(shared["start"], times.zone), **shared,
    )  # fmt: skip
    return _asked(here, connection, draft, on, body)


def of_top_ups(here: Here, connection: str, balance_id: UUID, body: TopUpScheduleBody) -> Created | AskedFor:
    """Ask for credit that recurs and the charges that pay for it, as a pair in one rhythm."""
    own = own_reference(here, body)
    times = Times(here, connection, own)
    must_fit(body, recurs=True)
    credit, price = typed.amount(body.credit, "`credit`"), price_of(body)
    top_ups.must_be_worth(credit, price)
    on = here.balance(connection, balance_id)
    start = times.moment(body.start, TRANSACTION_SCHEDULE, "startDate", max(times.begins(), on.start))
    pair = top_ups.scheduled(
        on, reference=own, credit=credit, price=price, type_id=type_id(here, connection, body.type), start=start,
        end=body.end or on.end, first_day=_day(start, times.zone), frequency=body.frequency, every=body.every,
        in_advance=not body.in_arrears, description=body.description,
    )  # fmt: skip
    pair = asking.placed_top_up(here.services, connection, pair)

    def would_make(preview: AskPreview) -> PairPreview:
        credits, charges = previews.of_top_up(here.services, connection, pair)
        made = {
            "credits": previews.as_json(credits), "charges": previews.as_json(charges) if charges else None,
            "uneven": previews.is_uneven(credits, charges),
        }  # fmt: skip
        return PairPreview(**preview.model_dump(), would_make=PairWouldMake.model_validate(made))

    return ask_pair(here, connection, pair, body.seen, would_make)


def _shared(times: Times, body: ScheduleBody, kind: str, start: str) -> dict[str, Any]:
    """What the drafts of both kinds take."""
    return {
        "name": body.name or body.description[:drafts.MAX_NAME], "description": body.description,
        "start": times.moment(body.start, kind, start, times.begins()), "end": body.end,
        "frequency": body.frequency, "every": body.every,
    }  # fmt: skip


def _day(start: datetime, zone: tzinfo) -> date:
    return start.astimezone(zone).date()


def _asked(here: Here, connection: str, draft: Draft, on: Balance, body: ScheduleBody) -> Created | AskedFor:
    complete = asking.placed(here.services, connection, draft, on)

    def would_make(preview: AskPreview) -> SchedulePreview:
        made = previews.as_json(previews.of(here.services, connection, complete))
        return SchedulePreview(**preview.model_dump(), would_make=WouldMake.model_validate(made))

    return ask_one(here, connection, complete, body.seen, would_make)
