"""A bill's days as moments: m3ter counts in days of the organization's time zone (m3ter.md §1.6)."""

import re
from calendar import monthrange
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from connector.clients.m3ter_objects import Bill

# Where a day begins last.
WESTERNMOST = timezone(timedelta(hours=-12))
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])([01]?[0-9])(?::?([0-5][0-9]))?")


def bill_moment(bill: Bill, day: date | None) -> datetime:
    """Midnight of a day in the bill's time zone."""
    assert day is not None  # noqa: S101 - a bill without its dates has been turned away before
    return datetime(day.year, day.month, day.day, tzinfo=zone(bill.timezone)).astimezone(UTC)


def billed_until(bill: Bill) -> datetime:
    """The end, exclusive, of what the bill covers; where its days or their zone are not known, as late as it may be."""
    day = bill.end_date or bill.bill_date
    if day is None:
        return datetime.max.replace(tzinfo=UTC)
    if zone(bill.timezone) is None:
        return datetime(day.year, day.month, day.day, tzinfo=WESTERNMOST).astimezone(UTC)
    return bill_moment(bill, day)


def months_later(moment: datetime, months: int, zone_name: str) -> datetime:
    """The moment so many calendar months later, at the same time of day there; a day that a month lacks is its last."""
    local = moment.astimezone(zone(zone_name))
    year, month = divmod(local.year * 12 + local.month - 1 + months, 12)
    day = min(local.day, monthrange(year, month + 1)[1])
    return local.replace(year=year, month=month + 1, day=day).astimezone(UTC)


def zone(name: str | None) -> tzinfo | None:
    """The time zone of this name or offset from UTC, None for one that there is not."""
    offset = _OFFSET.fullmatch(name or "")
    if offset:
        sign, hours, minutes = offset.groups(default="0")
        return timezone((-1 if sign == "-" else 1) * timedelta(hours=int(hours), minutes=int(minutes)))
    try:
        return ZoneInfo(name or "UTC")
    except (KeyError, ValueError, OSError):
        return None
