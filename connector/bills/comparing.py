"""A bill's plan beside what somebody else has put on the invoice, charge by charge: values in, values out."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

# As for lines of our own: a service date may stand at another time of the same day.
SAME_DAY = timedelta(days=1)
EQUAL, SAME_SUMS, DIFFERS = "equal", "same sums", "differs"
MISSING, EXTRA, OTHER_AMOUNT = "missing", "extra", "other amount"


@dataclass(frozen=True)
class Item:
    """A charge of a subscription by what two of them are compared by; `name` is its item price, else its description."""

    subscription_id: str | None
    name: str
    minor: int
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Difference:
    """What is not alike: a planned charge that is missing, one too many, or one with another amount; minor units."""

    what: str
    name: str
    start: datetime
    end: datetime
    wanted: int | None
    found: int | None
    subscription_id: str | None = None


@dataclass(frozen=True)
class Comparison:
    """How the plan and the invoices compare. `alike` are the planned charges that were found just so."""

    wanted_minor: int
    found_minor: int
    differences: tuple[Difference, ...]
    alike: tuple[Item, ...]

    @property
    def verdict(self) -> str:
        """`equal`, or `same sums` where each charge item has the same sum for the same days, cut into other lines."""
        if not self.differences:
            return EQUAL
        sums: dict[Item, int] = defaultdict(int)
        for one in self.differences:
            this = Item(one.subscription_id, one.name, 0, one.start, one.end)
            like = next((known for known in sums if _is_like(this, known) or _is_like(known, this)), this)
            sums[like] += (one.wanted or 0) - (one.found or 0)
        return DIFFERS if any(sums.values()) else SAME_SUMS


def compare(planned: Sequence[Item], found: Sequence[Item], others: Iterable[Item] = ()) -> Comparison:
    """Compare as multisets; `others` are charges of other bills that the same invoices were found to have."""
    left = list(found)
    for one in others:
        _take(left, one)
    found_minor = sum(one.minor for one in left)
    alike = [one for one in planned if _take(left, one)]
    missing = list(planned)
    for one in alike:
        missing.remove(one)
    differences: list[Difference] = []
    for one in missing:
        twin = next((line for line in left if _is_like(line, replace(one, minor=line.minor))), None)
        if twin is not None:
            left.remove(twin)
        what = MISSING if twin is None else OTHER_AMOUNT
        minor = twin.minor if twin else None
        differences.append(Difference(what, one.name, one.start, one.end, one.minor, minor, one.subscription_id))
    differences += [
        Difference(EXTRA, line.name, line.start, line.end, None, line.minor, line.subscription_id) for line in left
    ]
    return Comparison(sum(one.minor for one in planned), found_minor, tuple(differences), tuple(alike))


def _take(left: list[Item], wanted: Item) -> bool:
    """Take one line like this away from what is left."""
    line = next((line for line in left if _is_like(line, wanted)), None)
    if line is not None:
        left.remove(line)
    return line is not None


def _is_like(line: Item, wanted: Item) -> bool:
    return (
        (line.name, line.minor) == (wanted.name, wanted.minor)
        and line.subscription_id in (None, wanted.subscription_id)
        and _near((line.start, line.end), (wanted.start, wanted.end))
    )


def _near(one: tuple[datetime, ...], other: tuple[datetime, ...]) -> bool:
    return all(abs(mine - theirs) < SAME_DAY for mine, theirs in zip(one, other, strict=True))
