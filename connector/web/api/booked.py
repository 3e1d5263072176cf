"""What stands in m3ter's Balance Billing: transactions, charges, their types, and what of it is not as it was asked for."""

from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from typing import Annotated, TypeVar
from uuid import UUID

from pydantic import Field

from connector.balances import drift, lookup, overview, transaction_types
from connector.errors import BadInput
from connector.web.api.here import Here
from connector.web.api.shapes import Body, Query, QueryDay, Shape, Text

T = TypeVar("T")
MANY = 500


class TransactionShape(Shape):
    """What raised, or below zero lowered, a balance, in its currency; `reference` is that of a request of ours."""

    id: str
    amount: str
    transaction_type_id: str | None
    description: str | None
    reference: str | None
    applied: datetime | None
    transaction_date: datetime | None
    paid: str | None
    currency_paid: str | None
    entity_type: str | None = Field(description="Who made it: BILL, COMMITMENT, USER, SERVICE_USER or SCHEDULER.")
    entity_id: str | None


class Transactions(Shape):
    """A balance's transactions, the newest first."""

    currency: str
    transactions: list[TransactionShape]
    more: bool


class ChargeShape(Shape):
    """Money to be billed on its bill date, or billed already where `bill_id` says so; a credit below zero."""

    id: str
    code: str
    name: str
    account_id: str
    balance_id: str | None
    line_item_type: str
    price: str
    amount: str | None
    units: str | None
    unit_price: str | None
    currency: str
    bill_date: str | None
    service_period_start: datetime
    service_period_end: datetime
    description: str | None
    notes: str | None
    bill_id: str | None
    schedule_id: str | None = Field(description="The schedule that made it.")


class Charges(Shape):
    """Charges, the newest first."""

    charges: list[ChargeShape]
    more: bool


class ChargesQuery(Query):
    """Whose: an account's, those of its balances among them, or one balance's."""

    account: Text | None = Field(None, description="A Chargebee customer's id or a m3ter account's.")
    balance: UUID | None = Field(None, description="In place of `account`.")
    bill_date: QueryDay | None = None


class FindingShape(Shape):
    """What is not as it was asked for, or what others have booked; `next_step` says what to do."""

    code: str
    text: str
    next_step: str
    needs_a_person: bool


class Findings(Shape):
    """All findings on a balance."""

    balance_id: str
    need_a_person: int
    findings: list[FindingShape]


class TypeShape(Shape):
    """What a transaction may be for."""

    id: str
    code: str | None
    name: str
    archived: bool


class Types(Shape):
    """The organization's own list."""

    transaction_types: list[TypeShape]


class TypeBody(Body):
    """A type that there shall be."""

    code: str = Field(pattern=r"^[A-Za-z_$][A-Za-z0-9_$]{0,79}$", examples=["top_up"])
    name: Annotated[Text, Field(max_length=transaction_types.MAX_NAME)] | None = Field(
        None, description="The code when left out."
    )


class TypeMade(TypeShape):
    """The type; `is_new` is false where there was one with this code before, which stays as it is."""

    is_new: bool


def transactions(here: Here, connection: str, balance_id: UUID) -> Transactions:
    """A balance's transactions as m3ter has them."""
    on = here.balance(connection, balance_id)
    found, more = _some(here.balance_billing(connection).list_transactions(on.id))
    shapes = [TransactionShape.model_validate(overview.transaction_as_json(one)) for one in found]
    return Transactions(currency=on.currency, transactions=shapes, more=more)


def _some(rows: Iterable[T]) -> tuple[list[T], bool]:
    """The first rows, and whether there are more; pages beyond are not asked for."""
    found = list(islice(rows, MANY + 1))
    return found[:MANY], len(found) > MANY


def charges(here: Here, connection: str, query: ChargesQuery) -> Charges:
    """An account's or a balance's charges as m3ter has them."""
    m3ter = here.balance_billing(connection)
    if (query.account is None) == (query.balance is None):
        raise BadInput("say whose charges: give either `account` or `balance`")
    if query.balance is not None:
        on = here.balance(connection, query.balance)
        rows = m3ter.list_charges(account_id=on.account_id, entity_id=on.id, bill_date=query.bill_date)
    else:
        account_id = lookup.account_id(here.services, connection, str(query.account))
        rows = m3ter.list_charges(account_id=account_id, bill_date=query.bill_date)
    found, more = _some(rows)
    return Charges(charges=[ChargeShape.model_validate(overview.charge_as_json(one)) for one in found], more=more)


def check(here: Here, connection: str, balance_id: UUID) -> Findings:
    """What on the balance does not fit what was asked for; reads m3ter, changes nothing."""
    found = drift.check(here.services, connection, here.balance(connection, balance_id))
    return Findings(
        balance_id=str(balance_id), need_a_person=sum(one.needs_a_person for one in found),
        findings=[FindingShape.model_validate(overview.finding_as_json(one)) for one in found],
    )  # fmt: skip


def types(here: Here, connection: str) -> Types:
    """The organization's transaction types, the newest first."""
    found = here.balance_billing(connection).list_transaction_types()
    return Types(transaction_types=[TypeShape.model_validate(one) for one in found])


def create_type(here: Here, connection: str, body: TypeBody) -> TypeMade:
    """Make a transaction type, unless there is one with this code."""
    here.connection(connection)
    wanted = transaction_types.wanted(body.code, body.name)
    made, is_new = transaction_types.create(here.services, connection, wanted, who=here.who)
    return TypeMade(**TypeShape.model_validate(made).model_dump(), is_new=is_new)
