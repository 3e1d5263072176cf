"""How usage becomes money, simple enough to check on paper: aggregate, round to units, price by bands."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal
from typing import Any

from connector.sandbox.component import Resource

# Twice as many digits as any two factors have together: no product is ever rounded by the way.
EXACT = Context(prec=100)

# Digits kept where a division does not come out even.
PLACES = Decimal("0.0000000001")
ROUNDINGS = {"UP": ROUND_CEILING, "DOWN": ROUND_FLOOR, "NEAREST": ROUND_HALF_UP}


@dataclass(frozen=True)
class Reading:
    """One value of the aggregated field, and when it was measured."""

    at: datetime
    value: Any


@dataclass(frozen=True)
class BandUse:
    """What one band contributes."""

    band: Resource
    units: Decimal
    subtotal: Decimal


def aggregate(method: str, readings: Sequence[Reading]) -> Decimal:
    """The quantity that the readings come to; nothing measured is nothing used."""
    return METHODS[method](readings) if readings else Decimal(0)


METHODS: dict[str, Callable[[Sequence[Reading]], Decimal]] = {
    "SUM": lambda readings: sum((Decimal(reading.value) for reading in readings), Decimal(0)),
    "MAX": lambda readings: max(Decimal(reading.value) for reading in readings),
    "MIN": lambda readings: min(Decimal(reading.value) for reading in readings),
    "LATEST": lambda readings: Decimal(max(readings, key=lambda reading: reading.at).value),
    "COUNT": lambda readings: Decimal(len(readings)),
    "UNIQUE": lambda readings: Decimal(len({reading.value for reading in readings})),
    "MEAN": lambda readings: divide(METHODS["SUM"](readings), Decimal(len(readings))),
}


def to_units(quantity: Decimal, per_unit: Decimal, rounding: str) -> Decimal:
    """The quantity in priced units."""
    units = divide(quantity, per_unit)
    return units if rounding == "NONE" else units.quantize(Decimal(1), rounding=ROUNDINGS[rounding])


def price(units: Decimal, bands: Sequence[Resource], *, cumulative: bool) -> list[BandUse]:
    """What each band reached contributes: its own units when cumulative (tiers), else all units in the last (volume).

    A band is reached by more units than its lower limit, and its fixed price is due once it is.
    """
    reached = [band for band in bands if units > band["lowerLimit"]]
    if not cumulative:
        return [_use(reached[-1], units)] if reached else []
    tops = [*(band["lowerLimit"] for band in reached[1:]), units]
    return [_use(band, top - band["lowerLimit"]) for band, top in zip(reached, tops, strict=False)]


def share(amount: Decimal, part: tuple[datetime, datetime], whole: tuple[datetime, datetime]) -> Decimal:
    """The part's share of the amount by time."""
    if part == whole:
        return amount
    seconds = [Decimal(int((end - start).total_seconds())) for start, end in (part, whole)]
    return divide(amount * seconds[0], seconds[1])


def divide(dividend: Decimal, divisor: Decimal) -> Decimal:
    """The quotient, exact where it has few digits, else rounded to ten."""
    quotient = dividend / divisor
    rounded = quotient.quantize(PLACES, rounding=ROUND_HALF_UP).normalize()
    return quotient if quotient == rounded else rounded


def _use(band: Resource, units: Decimal) -> BandUse:
    return BandUse(band, units, units * band["unitPrice"] + band["fixedPrice"])
