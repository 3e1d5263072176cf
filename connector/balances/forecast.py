"""When a balance runs out, worked out from what bills have drawn of it so far.

A bill draws for time that lies behind it. So a draw-down is spread over the time since the one before, and the first one,
which has none before it, only marks where that time begins. Calculations are exact (fractions); amounts are rounded once,
where they are given out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction
from itertools import pairwise

from connector import money
from connector.balances.held import BILL, applied_at, last_moment
from connector.clients.m3ter_balance_objects import Balance, Transaction

DAY = timedelta(days=1)
HISTORY_DAYS, SUGGEST_DAYS, HORIZON = 90, 30, timedelta(days=365)
# The daily rate is shown with more decimals than the currency has: a small one would else read as nothing.
MORE_DECIMALS = 2


@dataclass(frozen=True)
class Credit:
    """What a schedule is going to put in."""

    at: datetime
    amount: Decimal


@dataclass(frozen=True)
class Rate:
    """What is drawn on a day, exactly, and until when that has been booked."""

    daily: Fraction
    booked_until: datetime


@dataclass(frozen=True)
class Forecast:
    """When the balance runs out, in its currency; `daily` None is that too little has been drawn to say.

    `runs_out` is None where it lasts until `looked_until`: the horizon, or the end of the balance if that comes first.
    `used` is what is expected to have been used already and not yet been drawn. `path` is what is expected to be held from
    now on, a point for each turn. `suggested` is None where no top-up is called for.
    """

    daily: Decimal | None
    used: Decimal
    runs_out: datetime | None
    looked_until: datetime
    path: tuple[tuple[datetime, Decimal], ...]
    suggested: Decimal | None


def forecast(
    balance: Balance,
    transactions: Sequence[Transaction],
    held: Decimal,
    now: datetime,
    *,
    horizon: timedelta = HORIZON,
    coming: Sequence[Credit] = (),
    shortfall: Decimal = Decimal(0),
    history_days: int = HISTORY_DAYS,
    suggest_days: int = SUGGEST_DAYS,
) -> Forecast:
    """The day on which the balance runs out, the credits to come counted, and what to top it up with.

    The suggestion lasts `suggest_days`, or until the balance ends, and is at least the `shortfall`; rounded up.
    """
    decimals = money.usual_decimals(balance.currency)
    until = min(now + horizon, last_moment(balance))
    if until <= now:
        return Forecast(None, Decimal(0), None, until, (), None)
    rate = daily_rate(balance, transactions, now, history_days)
    if rate is None:
        suggested = _suggested(Fraction(0), shortfall, decimals)
        return Forecast(None, Decimal(0), now if held <= 0 else None, until, (), suggested)
    used = rate.daily * _days(now - rate.booked_until)
    turns, runs_out = _run(balance, Fraction(held) - used, rate.daily, now, until, coming)
    days = min(Fraction(suggest_days), _days(last_moment(balance) - now))
    return Forecast(
        daily=_rounded(rate.daily, decimals + MORE_DECIMALS),
        used=_rounded(used, decimals),
        runs_out=runs_out,
        looked_until=until,
        path=tuple((at, _rounded(value, decimals)) for at, value in turns),
        suggested=_suggested(rate.daily * days, shortfall, decimals),
    )


def daily_rate(balance: Balance, transactions: Iterable[Transaction], now: datetime, days: int) -> Rate | None:
    """What bills drew on a day of the last `days`; None with fewer than two draw-downs, or where nothing was drawn then.

    Bills that draw nothing leave no trace. So the time since the last draw-down counts as not billed yet for as long as the
    longest time between two, and what lies beyond that as time in which nothing was drawn.
    """
    drawn = _drawn(balance, transactions, now)
    if len(drawn) < 2:
        return None
    spans = [(before, at, Fraction(drawn[at])) for before, at in pairwise(drawn)]
    last = spans[-1][1]
    booked_until = max(last, now - max(at - before for before, at, _ in spans))
    if booked_until > last:
        spans.append((last, booked_until, Fraction(0)))
    since = now - days * DAY
    inside = [(max(before, since), before, at, amount) for before, at, amount in spans if at > since]
    covered = sum((_days(at - start) for start, _, at, _ in inside), Fraction(0))
    whole = sum(
        (amount * Fraction(_days(at - start), _days(at - before)) for start, before, at, amount in inside), Fraction(0)
    )
    return Rate(Fraction(whole, covered), booked_until) if whole > 0 else None


def _drawn(balance: Balance, transactions: Iterable[Transaction], now: datetime) -> dict[datetime, Decimal]:
    """What bills drew by each moment, oldest first.

    Of a draw-down's two dates the later counts: m3ter does not say whether one is dated at the start or at the end of what
    it was drawn for, and nothing of that lies after the day on which it was booked.
    """
    drawn: dict[datetime, Decimal] = {}
    for one in transactions:
        if one.entity_type != BILL:
            continue
        at = max(applied_at(balance, one), one.transaction_date or applied_at(balance, one))
        if at <= now:
            drawn[at] = money.total((drawn.get(at, Decimal(0)), one.amount.copy_negate()))
    return dict(sorted((at, amount) for at, amount in drawn.items() if amount))


def _run(
    balance: Balance, held: Fraction, daily: Fraction, now: datetime, until: datetime, coming: Sequence[Credit]
) -> tuple[list[tuple[datetime, Fraction]], datetime | None]:
    """What is held at each turn from now on, and when that is nothing for the first time."""
    stops: list[tuple[datetime, int, Decimal]] = [(one.at, 1, one.amount) for one in coming if now < one.at < until]
    if now < balance.end < until:
        stops.append((balance.end, 0, Decimal(0)))
    turns, at = [(now, max(held, Fraction(0)))], now
    for stop, is_credit, amount in [*sorted(stops), (until, 1, Decimal(0))]:
        if held <= daily * _days(stop - at):
            runs_out = at if held <= 0 else at + _span(Fraction(held, daily))
            return [*turns, (runs_out, Fraction(0))], runs_out
        held -= daily * _days(stop - at)
        turns.append((stop, held))
        if not is_credit and balance.rollover_amount is not None:
            held = min(held, Fraction(balance.rollover_amount))
        held, at = held + Fraction(amount), stop
        turns.append((stop, held))
    return turns, None


def _suggested(needed: Fraction, shortfall: Decimal, decimals: int) -> Decimal | None:
    value = max(needed, Fraction(shortfall))
    return _rounded(value, decimals, ROUND_CEILING) if value > 0 else None


def _rounded(value: Fraction, decimals: int, rounding: str = ROUND_HALF_EVEN) -> Decimal:
    with localcontext() as context:
        context.prec = money.PRECISION
        shifted = value * 10**decimals
        # A fraction has no end as a decimal: one digit more than is kept, and whether anything follows it, decide alike.
        tenths, rest = divmod(shifted.numerator * 10, shifted.denominator)
        return (Decimal(tenths * 10 + bool(rest)).scaleb(-2)).quantize(Decimal(1), rounding=rounding).scaleb(-decimals)


def _days(span: timedelta) -> Fraction:
    return Fraction(span // timedelta(microseconds=1), DAY // timedelta(microseconds=1))


def _span(days: Fraction) -> timedelta:
    """So many days, whole seconds of them."""
    return timedelta(seconds=days * 86400 // 1)
