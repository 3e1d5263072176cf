"""What accounts hold in Balance Billing, as m3ter has it."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from connector.balances import drift, held, lookup
from connector.clients.m3ter_balance_objects import Balance
from connector.mappings.table import customers_of
from connector.web.api.here import Here
from connector.web.api.shapes import Query, Shape, Text, exact

MANY = 200


class BalanceShape(Shape):
    """A balance as m3ter has it; `amount` is m3ter's word, which may be what was put in or what is left."""

    id: str
    code: str
    name: str
    account_id: str
    customer_id: str | None = Field(description="The Chargebee customer that the account stands for.")
    currency: str
    amount: str | None
    start: datetime
    end: datetime
    rollover_end: datetime | None


class Balances(Shape):
    """An account's balances."""

    account_id: str
    balances: list[BalanceShape]
    more: int = Field(description="How many there are beyond those shown.")


class BalancesQuery(Query):
    """Whose."""

    account: Text = Field(description="A Chargebee customer's id or a m3ter account's.")


class StandingShape(Shape):
    """What a balance holds, worked out from its transactions, in its currency."""

    at: datetime
    held: str
    credited: str
    debited: str
    consumed: str
    expired: str


class BalanceDetail(BalanceShape):
    """One balance with what it holds."""

    stands: StandingShape


def index(here: Here, connection: str, query: BalancesQuery) -> Balances:
    """An account's balances as m3ter has them."""
    m3ter = here.balance_billing(connection)
    account_id = lookup.account_id(here.services, connection, query.account)
    found = m3ter.list_balances(account_id)
    return Balances(
        account_id=account_id, balances=[_shape(here, connection, one) for one in found[:MANY]],
        more=max(0, len(found) - MANY),
    )  # fmt: skip


def _shape(here: Here, connection: str, one: Balance) -> BalanceShape:
    with here.services.reading() as db:
        customers = customers_of(db, connection, [one.account_id])
    names = ("id", "code", "name", "account_id", "currency", "start", "end", "rollover_end")
    return BalanceShape.model_validate(
        {name: getattr(one, name) for name in names}
        | {"customer_id": customers.get(one.account_id), "amount": exact(one.amount)}
    )


def show(here: Here, connection: str, balance_id: UUID) -> BalanceDetail:
    """One balance with what it holds."""
    balance = here.balance(connection, balance_id)
    there = drift.read(here.services, connection, balance)
    stands = held.standing(balance, there.transactions, here.services.now())
    sums = {name: exact(getattr(stands, name)) for name in StandingShape.model_fields if name != "at"}
    return BalanceDetail(
        **_shape(here, connection, balance).model_dump(),
        stands=StandingShape.model_validate(sums | {"at": stands.at}),
    )
