"""What Balance Billing has in m3ter, as a person reads it."""

from decimal import Decimal

from connector import money
from connector.balances.requests import TITLES
from connector.clients.m3ter_balance_objects import Balance, Charge, ChargeSchedule, TransactionSchedule

Standing = Balance | Charge | ChargeSchedule | TransactionSchedule


def title(kind: str, standing: Standing) -> str:
    """The thing as a person reads it."""
    return f"{TITLES[kind]} {standing.code}{_worth(standing)}"


def _worth(standing: Standing) -> str:
    if isinstance(standing, Balance):
        return ""
    if isinstance(standing, TransactionSchedule):
        return f" of {standing.amount} at a time"
    each = " at a time" if isinstance(standing, ChargeSchedule) else ""
    return f" of {money.shown(price_of(standing), standing.currency)}{each}"


def price_of(charge: Charge | ChargeSchedule) -> Decimal:
    """What it charges at a time, in major units of its own currency."""
    if charge.amount is not None:
        return charge.amount
    return money.product(charge.units or Decimal(0), charge.unit_price or Decimal(0))
