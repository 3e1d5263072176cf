"""Steps of m3ter's frequencies through the calendar."""

import calendar
from collections.abc import Callable
from datetime import date, timedelta


def months_after(day: date, months: int) -> date:
    """The same day so many months later, or the last of a month that is too short."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


# The day so many intervals after another.
STEPS: dict[str, Callable[[date, int], date]] = {
    "DAILY": lambda day, count: day + timedelta(days=count),
    "WEEKLY": lambda day, count: day + timedelta(days=7 * count),
    "MONTHLY": months_after,
    "ANNUALLY": lambda day, count: months_after(day, 12 * count),
}

# The organization's epoch of each frequency, by its name in the configuration.
EPOCHS = {"DAILY": "dayEpoch", "WEEKLY": "weekEpoch", "MONTHLY": "monthEpoch", "ANNUALLY": "yearEpoch"}

# About how long each is, to find the first of many steps without taking all of them.
DAYS = {"DAILY": 1, "WEEKLY": 7, "MONTHLY": 30, "ANNUALLY": 365}


def first_step_after(anchor: date, day: date, frequency: str, every: int) -> int:
    """How many intervals of so many steps after the anchor the first boundary after the day lies."""
    step, count = STEPS[frequency], (day - anchor).days // (DAYS[frequency] * every)
    while step(anchor, count * every) > day:
        count -= 1
    while step(anchor, count * every) <= day:
        count += 1
    return count
