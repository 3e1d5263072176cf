"""How much a balance holds: worked out from its transactions, and compared with what m3ter's summary says."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext

from connector import money
from connector.clients.m3ter_balance_objects import BalanceSummary, Transaction

NOTHING = Decimal(0)


@dataclass(frozen=True)
class Held:
    """What a balance holds, in its currency.

    `amount` is the sum of all transactions that count by now, less what m3ter says has expired; `to_come` is the sum of
    those that count later. `agrees` is False where m3ter's summary does not add up to its own transactions, and None where
    it says too little to tell.
    """

    amount: Decimal
    to_come: Decimal
    agrees: bool | None


def now(summary: BalanceSummary, transactions: Iterable[Transaction], at: datetime) -> Held:
    """What is held at that moment."""
    rows = list(transactions)
    with localcontext() as context:
        context.prec = money.PRECISION
        counted = sum((one.amount for one in rows if one.applied is None or one.applied <= at), NOTHING)
        whole = sum((one.amount for one in rows), NOTHING)
        return Held(counted - (summary.expired or NOTHING), whole - counted, _agrees(summary, whole))


def _agrees(summary: BalanceSummary, whole: Decimal) -> bool | None:
    """Whether credits less debits are the sum; m3ter does not say whether its debits hold what bills drew (m3ter.md §12.3)."""
    if summary.total_credit is None or summary.total_debit is None:
        return None
    without_draws = summary.total_credit - abs(summary.total_debit)
    drawn = (summary.consumed or NOTHING) + (summary.rollover_consumed or NOTHING)
    return whole in (without_draws, without_draws - drawn)
