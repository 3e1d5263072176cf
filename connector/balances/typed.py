"""What people type about balances, as values: amounts, days and moments in the organization's time zone; faults are BadInput."""

import re
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal

from connector import days, money
from connector.errors import BadInput
from connector.moments import read_moment
from connector.settings import Connection

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


def amount(text: str, what: str = "the amount") -> Decimal:
    """The exact amount in major units, such as 1250.50; raises BadInput."""
    if not _NUMBER.fullmatch(text.strip()):
        raise BadInput(f"{what} {text[:40]!r} is not a number: write it like 1250.50, with a dot and nothing else")
    try:
        return money.amount(text.strip())
    except money.BadMoney as bad:
        raise BadInput(f"{what} cannot be: {bad}") from bad


def day(text: str, what: str = "the day") -> date:
    """A calendar day; raises BadInput."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadInput(f"{what} {text[:40]!r} is not a day like 2026-03-01") from None


def moment(text: str, zone: tzinfo, what: str = "the time") -> datetime:
    """A moment in UTC: a day is its midnight in `zone`, and a time needs its offset; raises BadInput."""
    try:
        return read_moment(text, zone)
    except BadInput as fault:
        raise BadInput(f"{what} {fault}") from None


def currency(text: str) -> str:
    """The code as it is written everywhere: `eur` is EUR."""
    return text.strip().upper()


def zone_of(settings: Connection) -> tzinfo:
    """The time zone in which the organization's days begin (M3TER_TIMEZONE)."""
    return days.zone(settings.m3ter_timezone) or UTC


def shown(at: datetime | None, zone: tzinfo) -> str:
    """The moment as a person reads it there: midnight as its day, all else with its offset; empty for None."""
    if at is None:
        return ""
    local = at.astimezone(zone)
    if (local.hour, local.minute, local.second, local.microsecond) == (0, 0, 0, 0):
        return local.date().isoformat()
    return local.isoformat(sep=" ", timespec="minutes")
