"""Chargebee's terms: when one that begins now is over."""

import calendar
from datetime import UTC, datetime, timedelta


def term_end(start: int, count: int, unit: str, billing_day: int) -> int:
    """When a term that begins at `start` ends; months keep their billing day as far as they have it."""
    begin = datetime.fromtimestamp(start, UTC)
    if unit in ("day", "week"):
        return int((begin + timedelta(days=count * (7 if unit == "week" else 1))).timestamp())
    months = begin.year * 12 + begin.month - 1 + count * (12 if unit == "year" else 1)
    year, month = divmod(months, 12)
    day = min(billing_day, calendar.monthrange(year, month + 1)[1])
    return int(begin.replace(year=year, month=month + 1, day=day).timestamp())
