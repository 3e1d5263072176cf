"""Numbers that are worked out by counting no further than anybody reads."""

from dataclasses import dataclass

# More rows than this are not counted one by one: "10000+" says enough.
MOST = 10_000


@dataclass(frozen=True)
class Count:
    """A number that is exact up to `MOST`."""

    number: int

    def __str__(self) -> str:
        return f"{self.number:,}" if self.number < MOST else f"{MOST:,}+"

    def __bool__(self) -> bool:
        return self.number > 0
