"""Money: `Decimal` as read, integer minor units with a currency once it is to be invoiced, never a float.

Chargebee's minor units are its own (chargebee.md §13): four currencies are sent in major units, every other one times
a hundred, also those to which ISO 4217 gives three decimals.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

ZERO_DECIMAL_CURRENCIES = frozenset({"JPY", "KRW", "XAF", "XOF"})
# Chargebee's own list of these is longer than the four its API names (chargebee.md §13): a wrong guess would be a
# hundredfold error, so a bill in one of them parks until the exponent has been set by hand.
UNSETTLED_CURRENCIES = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "ISK", "KMF", "MGA", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XPF"}
)
MAX_DIGITS = 30
# Enough for the exact sum of any number of amounts.
PRECISION = 4 * MAX_DIGITS


class BadMoney(ValueError):
    """A number that cannot be an amount of money; the text says why."""


def parse_json(raw: str | bytes) -> Any:
    """The JSON document with every number that has a fraction as `Decimal`; raises ValueError for what is not JSON."""
    return json.loads(raw, parse_float=_decimal, parse_constant=_refuse_constant)


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except ArithmeticError as error:
        raise BadMoney("a number has an exponent beyond all use") from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def amount(value: object) -> Decimal:
    """`value` as an exact Decimal; raises BadMoney for floats, booleans, texts that are no number and absurd lengths."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise BadMoney(f"{type(value).__name__} is not an exact amount")
    try:
        number = Decimal(value)
    except ArithmeticError as error:
        raise BadMoney(f"{str(value)[:40]!r} is not a number") from error
    if not number.is_finite():
        raise BadMoney(f"{number} is not a finite number")
    if len(number.as_tuple().digits) > MAX_DIGITS or abs(number.adjusted()) > MAX_DIGITS:
        raise BadMoney(f"{number:.5e} has more digits than any amount of money")
    return number


def exponent(currency: str, overrides: dict[str, int] | None = None) -> int:
    """How many decimals Chargebee's minor unit of `currency` has; raises BadMoney where that is not settled."""
    if overrides and currency in overrides:
        return overrides[currency]
    if currency in UNSETTLED_CURRENCIES:
        raise BadMoney(f"whether Chargebee takes {currency} in major or minor units is not known")
    if len(currency) != 3 or not currency.isascii() or not currency.isalpha() or not currency.isupper():
        raise BadMoney(f"{currency!r} is not an ISO 4217 currency code, so Chargebee cannot invoice it")
    return 0 if currency in ZERO_DECIMAL_CURRENCIES else 2


def to_minor(value: Decimal, decimals: int) -> int:
    """`value` in minor units, rounded half to even."""
    with localcontext() as context:
        context.prec = PRECISION
        return int(value.scaleb(decimals).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def to_major(minor: int, decimals: int) -> Decimal:
    """Minor units as the amount a person reads, with the currency's decimals."""
    return Decimal(f"{minor}E-{decimals}")


def shown(value: Decimal, currency: str) -> str:
    """The amount as a person reads it: exact, in groups of thousands, with at least its currency's usual decimals."""
    decimals = usual_decimals(currency)
    whole, _, fraction = grouped(value).partition(".")
    fraction = fraction.rstrip("0").ljust(decimals, "0")
    return f"{whole}.{fraction} {currency}" if fraction else f"{whole} {currency}"


def grouped(value: Decimal) -> str:
    """The exact number in groups of thousands, with the decimals that it came with."""
    return format(value, ",f")


def usual_decimals(currency: str) -> int:
    """How many decimals people write amounts of the currency with; nothing is invoiced by it."""
    return 0 if currency in ZERO_DECIMAL_CURRENCIES | UNSETTLED_CURRENCIES else 2


def total(values: Iterable[Decimal]) -> Decimal:
    """The exact sum, in whatever order the values come."""
    with localcontext() as context:
        context.prec = PRECISION
        return sum(values, Decimal(0))


def product(units: Decimal, unit_price: Decimal) -> Decimal:
    """What so many cost at that price, exactly."""
    with localcontext() as context:
        context.prec = PRECISION
        return units * unit_price


def round_together(
    values: Sequence[Decimal],
    keys: Sequence[str],
    decimals: int,
    total: int | None = None,
    before: Mapping[str, int] | None = None,
) -> list[int]:
    """Each value in minor units, so that they add up to `total`, or to their exact total rounded once (half to even).

    Every value is at most one unit from its exact amount. The units left over go to the values that were rounded up
    `before`, then to the largest remainders; equal remainders are ordered by `keys`, so the order in which the values come
    does not matter. Raises BadMoney when `total` is further from the exact total than rounding explains.
    """
    with localcontext() as context:
        context.prec = PRECISION
        exact = [value.scaleb(decimals) for value in values]
        floors = [int(value.to_integral_value(rounding="ROUND_FLOOR")) for value in exact]
        total = to_minor(sum(values, Decimal(0)), decimals) if total is None else total
        remainders = [value - floor for value, floor in zip(exact, floors, strict=True)]
    left_over = total - sum(floors)
    if not 0 <= left_over <= sum(1 for remainder in remainders if remainder):
        raise BadMoney(
            f"the lines add up to {to_major(sum(floors), decimals)}, the total is {to_major(total, decimals)}"
        )
    rounded_up = [
        bool(remainder) and (before or {}).get(key) == floor + 1
        for key, floor, remainder in zip(keys, floors, remainders, strict=True)
    ]
    in_turn = sorted(range(len(floors)), key=lambda i: (not rounded_up[i], -remainders[i], keys[i]))
    for i in in_turn[:left_over]:
        floors[i] += 1
    return floors
