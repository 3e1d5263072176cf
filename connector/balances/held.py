"""What a balance holds at a moment, worked out from its transactions.

m3ter does not document whether the `amount` of a balance is what was put in or what is left (m3ter.md §12.1). The
transactions say both, and `disagreements` says where m3ter's own summary adds up to something else.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from connector import money
from connector.clients.m3ter_balance_objects import Balance, BalanceSummary, Transaction

BILL = "BILL"
NOTHING = Decimal(0)


@dataclass(frozen=True)
class Point:
    """A moment at which the balance changed by `change`, what it held from then on, and why: None is its own end."""

    at: datetime
    change: Decimal
    held: Decimal
    transaction: Transaction | None


@dataclass(frozen=True)
class Standing:
    """A balance at a moment, in its currency: what it holds, what came in and went out, and what has expired.

    `debited` and `consumed` are without a sign; `consumed` is the part of `debited` that bills drew.
    """

    at: datetime
    held: Decimal
    credited: Decimal
    debited: Decimal
    consumed: Decimal
    expired: Decimal


def applied_at(balance: Balance, transaction: Transaction) -> datetime:
    """When the transaction changes the balance; one without any date counts from the start."""
    return transaction.applied or transaction.transaction_date or transaction.created or balance.start


def last_moment(balance: Balance) -> datetime:
    """The end, exclusive, of the time in which anything can be drawn: the rollover's, where there is one."""
    return balance.rollover_end or balance.end


def course(balance: Balance, transactions: Iterable[Transaction]) -> list[Point]:
    """Every change of the balance from the first to the last, whatever order the transactions come in.

    At its end no more than the rollover lives on, without one nothing; at the rollover's end the rest expires. What is owed
    then is not carried over either: m3ter does not say that it would be.
    """
    moves: list[tuple[datetime, int, str, Transaction | None]] = [
        (applied_at(balance, one), 1, one.id, one) for one in transactions
    ]
    # An end is exclusive: what counts from that very moment comes after it.
    moves += [(end, 0, "", None) for end in {balance.end, last_moment(balance)}]
    points, held = [], NOTHING
    for at, _, _, transaction in sorted(moves, key=lambda move: move[:3]):
        after = money.total((held, transaction.amount)) if transaction else _carried(balance, held, at)
        points.append(Point(at, money.total((after, held.copy_negate())), after, transaction))
        held = after
    return points


def _carried(balance: Balance, held: Decimal, at: datetime) -> Decimal:
    if at == last_moment(balance):
        return NOTHING
    unused = max(NOTHING, held)
    return unused if balance.rollover_amount is None else min(unused, balance.rollover_amount)


def standing(balance: Balance, transactions: Iterable[Transaction], at: datetime) -> Standing:
    """The balance at this moment: only what has been applied by then counts."""
    so_far = [point for point in course(balance, transactions) if point.at <= at]
    booked = [point.transaction for point in so_far if point.transaction is not None]
    return Standing(
        at=at,
        held=so_far[-1].held if so_far else NOTHING,
        credited=money.total(one.amount for one in booked if one.amount > 0),
        debited=money.total(one.amount.copy_negate() for one in booked if one.amount < 0),
        consumed=money.total(one.amount.copy_negate() for one in booked if one.entity_type == BILL),
        expired=money.total(
            point.change.copy_negate() for point in so_far if point.transaction is None and point.change < 0
        ),
    )


def disagreements(balance: Balance, transactions: Sequence[Transaction], summary: BalanceSummary) -> list[str]:
    """Where m3ter's summary says something else than its transactions add up to, a sentence each.

    Whether the summary's debits bear a sign, and whether they hold what bills drew, is not documented: either is right.
    """
    credited = money.total(one.amount for one in transactions if one.amount > 0)
    debits = [one for one in transactions if one.amount < 0]
    debited = money.total(one.amount.copy_negate() for one in debits)
    by_hand = money.total(one.amount.copy_negate() for one in debits if one.entity_type != BILL)
    sums = (("credits", (credited,), summary.total_credit), ("debits", (debited, by_hand), summary.total_debit))
    return [
        f"the {what} add up to {money.shown(added[0], balance.currency)}, "
        f"m3ter's summary says {money.shown(said, balance.currency)}"
        for what, added, said in sums
        if said is not None and abs(said) not in added
    ]
