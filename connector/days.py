"""A bill's days as moments: m3ter counts in days of the organization's time zone (m3ter.md §1.6)."""

import re
from calendar import monthrange
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from connector.clients.m3ter_objects import Bill

# Lines that a bill has for itself and not for a plan (m3ter.md §7.4).
OF_CHARGES = ("BALANCE_FEE", "AD_HOC", "COMMITMENT_FEE")
# Where a day begins last.
WESTERNMOST = timezone(timedelta(hours=-12))
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])([01]?[0-9])(?::?([0-5][0-9]))?")


def bill_moment(bill: Bill, day: date | None) -> datetime:
    """Midnight of a day in the bill's time zone."""
    assert day is not None  # noqa: S101 - a bill without its dates has been turned away before
    return datetime(day.year, day.month, day.day, tzinfo=zone(bill.timezone)).astimezone(UTC)


def is_of_charges(bill: Bill) -> bool:
    """Whether the bill has charges and nothing of any plan; such a bill may be of any day (m3ter.md §12.7)."""
    of_plans = any(line.plan_id or line.plan_group_id or line.pricing_id or line.counter_id for line in bill.lines)
    return not of_plans and any(line.type in OF_CHARGES for line in bill.lines)


def invoiced_on(bill: Bill) -> date | None:
    """The day of the invoice that takes the bill: that on which its period ends, but of charges alone their bill date.

    A charge in advance stretches its bill's period into the time to come; nothing is invoiced after the day it is billed.
    """
    if bill.bill_date is not None and is_of_charges(bill):
        return bill.bill_date
    return _first(bill)


def may_be_invoiced_on(bill: Bill, day: date) -> bool:
    """Whether `invoiced_on` may be this day, as far as a bill without its lines says."""
    return day in (bill.bill_date, _first(bill))


def billed_until(bill: Bill) -> datetime:
    """The end, exclusive, of the time whose usage the bill has; as late as it may be where days or zone are not known.

    That is not after its bill date: what is billed in advance is the price of the time to come, not its usage.
    """
    day = _first(bill)
    if day is None:
        return datetime.max.replace(tzinfo=UTC)
    if zone(bill.timezone) is None:
        return datetime(day.year, day.month, day.day, tzinfo=WESTERNMOST).astimezone(UTC)
    return bill_moment(bill, day)


def _first(bill: Bill) -> date | None:
    return min((day for day in (bill.end_date, bill.bill_date) if day is not None), default=None)


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
