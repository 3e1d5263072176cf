"""What drawings share: tenths of pixels, worked out without floats, and the days that are named along a time."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

MONTHS = (1, 2, 3, 6, 12)


def px(value: str | int) -> str:
    """Tenths of pixels in pixels; a text stays what it is."""
    return value if isinstance(value, str) else format(Decimal(value).scaleb(-1).normalize(), "f")


def midnight(day: date) -> datetime:
    """The beginning of the day in UTC."""
    return datetime.combine(day, time(), UTC)


def days_to_name(since: datetime, until: datetime) -> list[tuple[datetime, str]]:
    """The days to name below a drawing: firsts of months, or every so many days where there are too few of those."""
    if until - since < timedelta(days=75):
        every = max(1, (until - since) // timedelta(days=1) // 7)
        start = midnight(since.astimezone(UTC).date() + timedelta(days=1))
        days = [start + timedelta(days=every * number) for number in range(8)]
        return [
            (day, f"{day:%-d %b %Y}" if number == 0 else f"{day:%-d %b}")
            for number, day in enumerate(days)
            if day <= until
        ]
    firsts = []
    year, month = since.year, since.month
    while (first := midnight(date(year, month, 1))) <= until:
        firsts.append(first)
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    every = next((one for one in MONTHS if len(firsts) <= 9 * one), 12)
    chosen = [day for day in firsts if day >= since and (day.month - 1) % every == 0]
    return [
        (day, f"{day:%b %Y}" if number == 0 or day.month == 1 else f"{day:%b}") for number, day in enumerate(chosen)
    ]
