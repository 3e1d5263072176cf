"""Asking for a balance, a top-up, a transaction or a charge, once."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from connector.balances import asking, drafts, lookup, top_ups, typed
from connector.balances.drafts import BALANCE, CHARGE, TRANSACTION, Draft
from connector.clients.m3ter_balance_objects import Balance
from connector.clients.m3ter_objects import DRAWABLE
from connector.web.api.here import Created, Here
from connector.web.api.shapes import Amount, Currency, Day, Moment, OneOf, Text
from connector.web.api.two_steps import (
    AskBody,
    AskedFor,
    Times,
    amount_of,
    ask_one,
    ask_pair,
    id_of,
    must_fit,
    own_reference,
    price_of,
    type_id,
)

LineType = Annotated[str, OneOf(DRAWABLE)]


class TopUpBody(AskBody):
    """Credit, and the charge that pays for it."""

    credit: Amount = Field(description="In the balance's currency.")
    type: Text | None = Field(None, description="Transaction type by id, code or name; not needed where there is one.")
    price: Amount | None = Field(None, description="What is charged; as much as the credit when left out.")
    currency: Currency | None = Field(None, description="Of the price; the balance's when left out.")
    free: bool = Field(False, description="Credit without a charge.")
    applied: Moment | None = Field(None, description="From when on it counts; today's beginning when left out.")
    bill_date: Day | None = Field(None, description="The day whose bill job bills it; today when left out.")
    product_id: UUID | None = Field(None, description="Accounting product of the charge.")


class TransactionBody(AskBody):
    """A credit, or below zero a debit, that is never billed."""

    amount: Amount = Field(description="In the balance's currency.")
    type: Text | None = Field(None, description="Transaction type by id, code or name; not needed where there is one.")
    applied: Moment | None = Field(None, description="From when on it counts; when it is booked, when left out.")
    occurred: Moment | None = Field(None, description="For the record only.")
    paid: Amount | None = Field(None, description="For the record only.")
    currency_paid: Currency | None = None


class ChargeBody(AskBody):
    """Money to be billed, which credits nothing."""

    name: Text = Field(max_length=200, description="Begins the text of the bill line.")
    currency: Currency
    amount: Amount | None = Field(None, description="The price; or else `units` at `unit_price`.")
    units: Amount | None = None
    unit_price: Amount | None = None
    start: Moment | None = Field(None, description="Of the service period; today's beginning when left out.")
    end: Moment | None = Field(None, description="The first moment after it; the balance's end when left out.")
    bill_date: Day | None = Field(None, description="The day whose bill job bills it; today when left out.")
    notes: Text | None = None
    product_id: UUID | None = None
    contract_id: UUID | None = None


class AccountChargeBody(ChargeBody):
    """A charge on an account itself."""

    account: Text = Field(description="A Chargebee customer's id or a m3ter account's.")


class NewBalanceBody(AskBody):
    """An empty balance for an account: a top-up or a transaction fills it. The reference is its code."""

    account: Text = Field(description="A Chargebee customer's id or a m3ter account's.")
    name: Text | None = Field(None, max_length=200, description="The reference when left out.")
    currency: Currency = Field(description="Of the credit; cannot change later.")
    start: Moment | None = Field(
        None, description="From when on it can be drawn down; today's beginning when left out."
    )
    end: Moment = Field(description="The first moment at which it can no longer be drawn down.")
    rollover_end: Moment | None = Field(None, description="Until when what is unused at the end lives on.")
    rollover_amount: Amount | None = Field(None, description="At most so much of it; all of it when left out.")
    draw_down_description: Text | None = None
    overage_percent: Amount | None = None
    overage_description: Text | None = None
    product_ids: list[UUID] = Field([], max_length=100, description="Which draw it down; all when left out.")
    line_item_types: list[LineType] = Field([], max_length=20, description="Which draw it down; all when left out.")
    contract_id: UUID | None = None
    consumptions_product_id: UUID | None = None
    fees_product_id: UUID | None = None
    allow_overdraft: bool = False


def create(here: Here, connection: str, body: NewBalanceBody) -> Created | AskedFor:
    """Ask for an empty balance."""
    own = own_reference(here, body)
    times = Times(here, connection, own)
    account_id = lookup.account_id(here.services, connection, body.account)
    draft = drafts.balance(
        account_id=account_id, code=own, name=body.name or own, currency=body.currency,
        start=times.moment(body.start, BALANCE, "startDate", times.begins()), end=body.end,
        description=body.description, rollover_end=body.rollover_end,
        rollover_amount=amount_of(body.rollover_amount, "`rollover_amount`"),
        draw_down_description=body.draw_down_description,
        overage_percent=amount_of(body.overage_percent, "`overage_percent`"),
        overage_description=body.overage_description, product_ids=tuple(map(str, body.product_ids)),
        line_item_types=tuple(body.line_item_types), contract_id=id_of(body.contract_id),
        consumptions_product_id=id_of(body.consumptions_product_id), fees_product_id=id_of(body.fees_product_id),
        allow_overdraft=body.allow_overdraft or None,
    )  # fmt: skip
    return _one(here, connection, draft, None, body.seen)


def top_up(here: Here, connection: str, balance_id: UUID, body: TopUpBody) -> Created | AskedFor:
    """Ask for credit and the charge that pays for it, as a pair."""
    own = own_reference(here, body)
    must_fit(body, recurs=False)
    credit, price = typed.amount(body.credit, "`credit`"), price_of(body)
    top_ups.must_be_worth(credit, price)
    on, times = here.balance(connection, balance_id), Times(here, connection, own)
    pair = top_ups.ad_hoc(
        on, reference=own, credit=credit, price=price, type_id=type_id(here, connection, body.type),
        applied=times.moment(body.applied, TRANSACTION, "appliedDate", max(times.begins(), on.start)),
        bill_date=times.day(body.bill_date, CHARGE, "billDate"), description=body.description,
        product_id=id_of(body.product_id),
    )  # fmt: skip
    return ask_pair(here, connection, asking.placed_top_up(here.services, connection, pair), body.seen)


def transaction(here: Here, connection: str, balance_id: UUID, body: TransactionBody) -> Created | AskedFor:
    """Ask for a credit or debit."""
    own = own_reference(here, body)
    on = here.balance(connection, balance_id)
    draft = drafts.transaction(
        balance_id=on.id, reference=own, amount=typed.amount(body.amount, "`amount`"),
        type_id=type_id(here, connection, body.type), description=body.description, applied=body.applied,
        occurred=body.occurred, paid=amount_of(body.paid, "`paid`"), currency_paid=body.currency_paid,
    )  # fmt: skip
    return _one(here, connection, draft, on, body.seen)


def charge(here: Here, connection: str, balance_id: UUID, body: ChargeBody) -> Created | AskedFor:
    """Ask for a charge on a balance."""
    return _charge(here, connection, here.balance(connection, balance_id), None, body)


def account_charge(here: Here, connection: str, body: AccountChargeBody) -> Created | AskedFor:
    """Ask for a charge on an account itself."""
    here.connection(connection)
    return _charge(here, connection, None, lookup.account_id(here.services, connection, body.account), body)


def _charge(
    here: Here, connection: str, on: Balance | None, account_id: str | None, body: ChargeBody
) -> Created | AskedFor:
    own = own_reference(here, body)
    times = Times(here, connection, own)
    draft = drafts.charge(
        account_id=account_id, balance_id=on.id if on else None, code=own, name=body.name, currency=body.currency,
        amount=amount_of(body.amount, "`amount`"), units=amount_of(body.units, "`units`"),
        unit_price=amount_of(body.unit_price, "`unit_price`"),
        start=times.moment(body.start, CHARGE, "servicePeriodStartDate", times.begins()),
        end=body.end or (on.end if on else None), bill_date=times.day(body.bill_date, CHARGE, "billDate"),
        description=body.description, notes=body.notes, product_id=id_of(body.product_id),
        contract_id=id_of(body.contract_id),
    )  # fmt: skip
    return _one(here, connection, draft, on, body.seen)


def _one(here: Here, connection: str, draft: Draft, on: Balance | None, seen: str | None) -> Created | AskedFor:
    return ask_one(here, connection, asking.placed(here.services, connection, draft, on), seen)
