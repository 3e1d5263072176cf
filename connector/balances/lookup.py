"""What people call an account, a balance or a type of transaction, as m3ter knows it."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from connector.balances.drafts import UUID
from connector.clients.m3ter_balance_objects import (
    Balance,
    Charge,
    ChargeSchedule,
    TransactionSchedule,
    TransactionType,
)
from connector.errors import BadInput, NotFound
from connector.mappings import table
from connector.services import Services


class Named(Protocol):
    """Something with an id and a code."""

    @property
    def id(self) -> str: ...

    @property
    def code(self) -> str | None: ...


T = TypeVar("T", bound=Named)


def account_id(services: Services, connection: str, named: str) -> str:
    """The m3ter account that is meant: by its own id, or by the Chargebee customer's; raises BadInput."""
    with services.reading() as db:
        mapped = table.account_of(db, connection, named)
    if mapped is not None:
        return mapped
    if UUID.fullmatch(named):
        return named
    raise BadInput(
        f"{named} is neither a Chargebee customer with an account in m3ter nor an m3ter account id: "
        "`connector mappings list` shows the accounts that are known"
    )


def balance(services: Services, connection: str, named: str, account: str | None = None) -> Balance:
    """The balance that is meant: by its id, or by its code where an account is given too; raises BadInput."""
    m3ter = services.connection(connection).m3ter.balance_billing
    if UUID.fullmatch(named):
        try:
            return m3ter.get_balance(named)
        except NotFound as absent:
            raise BadInput(f"m3ter has no balance {named}") from absent
    if account is None:
        raise BadInput(f"{named!r} is not the id of a balance; to name it by its code, give its account too")
    found = m3ter.list_balances(account_id(services, connection, account))
    return _one(found, named, "balance", f"of {account}")


def transaction_type(services: Services, connection: str, named: str | None) -> TransactionType:
    """The type that is meant: by id, code or name, or the only one there is where none is named; raises BadInput."""
    every = services.connection(connection).m3ter.balance_billing.list_transaction_types()
    live = [one for one in every if not one.archived]
    if named is None:
        if len(live) == 1:
            return live[0]
        raise BadInput(f"say what type the transaction is of: {_codes(live)}")
    by_name = [one for one in live if one.name == named]
    return by_name[0] if len(by_name) == 1 else _one(live, named, "transaction type", "that is not archived")


def charge(services: Services, connection: str, named: str, on: Balance | None, account: str | None) -> Charge:
    """The charge that is meant: by its id, or by its code on a balance or of an account; raises BadInput or NotFound."""
    m3ter = services.connection(connection).m3ter.balance_billing
    if UUID.fullmatch(named):
        return m3ter.get_charge(named)
    if on is not None:
        found = list(m3ter.list_charges(account_id=on.account_id, entity_id=on.id))
        return _one(found, named, "charge", f"on balance {on.code}")
    if account is None:
        raise BadInput(f"{named!r} is not the id of a charge; to name it by its code, give its balance or account too")
    found = list(m3ter.list_charges(account_id=account_id(services, connection, account)))
    return _one(found, named, "charge", f"of {account}")


def transaction_schedule(services: Services, connection: str, named: str, on: Balance) -> TransactionSchedule:
    """The schedule on the balance that is meant, by id or code; raises BadInput, and NotFound for an id."""
    m3ter = services.connection(connection).m3ter.balance_billing
    if UUID.fullmatch(named):
        return m3ter.get_transaction_schedule(on.id, named)
    return _one(m3ter.list_transaction_schedules(on.id), named, "transaction schedule", f"on balance {on.code}")


def charge_schedule(services: Services, connection: str, named: str, on: Balance) -> ChargeSchedule:
    """The schedule on the balance that is meant, by id or code; raises BadInput, and NotFound for an id."""
    m3ter = services.connection(connection).m3ter.balance_billing
    if UUID.fullmatch(named):
        return m3ter.get_charge_schedule(on.id, named)
    return _one(m3ter.list_charge_schedules(on.id), named, "charge schedule", f"on balance {on.code}")


def _one(found: Sequence[T], named: str, what: str, where: str) -> T:
    """The one with this id or code."""
    meant = [one for one in found if named in (one.id, one.code)]
    if len(meant) != 1:
        raise BadInput(f"there is no {what} {named!r} {where}: there are {_codes(found)}")
    return meant[0]


def _codes(found: Sequence[Named]) -> str:
    return ", ".join(sorted(one.code or one.id for one in found)) or "none"
