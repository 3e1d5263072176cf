"""What m3ter accepts in each field: texts, codes, ids, dates and numbers."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from connector.sandbox.component import Resource
from connector.sandbox.m3ter.errors import bad_request

Check = Callable[[str, Any], Any]

GENERAL_CODE = re.compile(r"[^\x00-\x1f\x7f-\x9f\s]([^\x00-\x1f\x7f-\x9f]*[^\x00-\x1f\x7f-\x9f\s])?")
IDENTIFIER = re.compile(r"(?:[^\W\d]|\$)(?:\w|\$)*")
UUID = re.compile(r"[0-9a-fA-F-]{36}")
MAX_DIGITS = 20
EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


@dataclass(frozen=True)
class Shape:
    """The fields of one kind of entity; `derived` ones come back in answers and are passed over in requests."""

    required: Mapping[str, Check]
    optional: Mapping[str, Check] = field(default_factory=dict)
    derived: frozenset[str] = frozenset()


AUDIT = frozenset({"id", "version", "dtCreated", "dtLastModified", "createdBy", "lastModifiedBy"})


def read(shape: Shape, body: Any, name: str = "") -> Resource:
    """The body's fields, checked; nulls count as absent."""
    if not isinstance(body, dict):
        raise bad_request(f"{name or 'The body'} must be a JSON object")
    at = f"{name}." if name else ""
    values: Resource = {}
    for key, raw in body.items():
        if raw is None or key in AUDIT or key in shape.derived:
            continue
        check = shape.required.get(key) or shape.optional.get(key)
        if check is None:
            raise bad_request(f"Unrecognized field {at}{key}")
        values[key] = check(f"{at}{key}", raw)
    for key in shape.required:
        if key not in values:
            raise bad_request(f"{at}{key} must not be null")
    return values


def text(longest: int | None = None, shortest: int = 1, pattern: re.Pattern[str] | None = None) -> Check:
    """A text of this length, and of this form if one is given."""

    def check(name: str, raw: Any) -> str:
        if not isinstance(raw, str):
            raise bad_request(f"{name} must be a string")
        if len(raw) < shortest or (longest is not None and len(raw) > longest):
            raise bad_request(f"{name} size must be between {shortest} and {longest or 'any'}")
        if pattern is not None and not pattern.fullmatch(raw):
            raise bad_request(f"{name} has a character where it may not")
        return raw

    return check


code = text(80, pattern=GENERAL_CODE)
identifier = text(80, pattern=IDENTIFIER)
external = text(pattern=GENERAL_CODE)
uuid = text(36, 36, UUID)
email = text(pattern=EMAIL)


def choice(*allowed: str) -> Check:
    """One of these words."""

    def check(name: str, raw: Any) -> str:
        if raw not in allowed:
            raise bad_request(f"{name} must be one of {', '.join(allowed)}")
        return str(raw)

    return check


def number(least: int | None = None, *, exclusive: bool = False) -> Check:
    """An exact number."""

    def check(name: str, raw: Any) -> Decimal:
        if isinstance(raw, bool) or not isinstance(raw, int | Decimal):
            raise bad_request(f"{name} must be a number")
        if abs(Decimal(raw).adjusted()) > MAX_DIGITS or len(Decimal(raw).as_tuple().digits) > MAX_DIGITS:
            raise bad_request(f"{name} has too many digits")
        if least is not None and (raw <= least if exclusive else raw < least):
            raise bad_request(f"{name} must be greater than {'' if exclusive else 'or equal to '}{least}")
        return Decimal(raw)

    return check


def integer(least: int | None = None, most: int | None = None) -> Check:
    """A whole number within bounds."""

    def check(name: str, raw: Any) -> int:
        if isinstance(raw, bool) or not isinstance(raw, int):
            raise bad_request(f"{name} must be an integer")
        if (least is not None and raw < least) or (most is not None and raw > most):
            raise bad_request(f"{name} must be between {least} and {most}")
        return raw

    return check


def boolean(name: str, raw: Any) -> bool:
    """True or false."""
    if not isinstance(raw, bool):
        raise bad_request(f"{name} must be true or false")
    return raw


def instant(name: str, raw: Any) -> str:
    """A moment with its offset, in UTC."""
    try:
        moment = datetime.fromisoformat(raw)
    except (TypeError, ValueError) as error:
        raise bad_request(f"{name} is not an ISO-8601 date-time") from error
    if moment.tzinfo is None:
        raise bad_request(f"{name} lacks its offset")
    day(name, moment.date().isoformat())
    return iso(moment)


def day(name: str, raw: Any) -> str:
    """A calendar day."""
    try:
        found = date.fromisoformat(raw)
    except (TypeError, ValueError) as error:
        raise bad_request(f"{name} is not a date like 2026-01-31") from error
    if not 1970 <= found.year <= 2999:
        raise bad_request(f"{name} lies too far away")
    return found.isoformat()


def zone(name: str, raw: Any) -> str:
    """A time zone by its name."""
    try:
        return ZoneInfo(raw).key
    except (TypeError, ValueError, OSError, ZoneInfoNotFoundError) as error:
        raise bad_request(f"{name} is not a time zone") from error


def listing(check_one: Check, least: int = 0, most: int | None = None) -> Check:
    """A list of so many."""

    def check(name: str, raw: Any) -> list[Any]:
        if not isinstance(raw, list) or len(raw) < least or (most is not None and len(raw) > most):
            raise bad_request(f"{name} must be a list of {least} to {most or 'any number of'} entries")
        return [check_one(f"{name}[{number}]", entry) for number, entry in enumerate(raw)]

    return check


def shaped(shape: Shape) -> Check:
    """An object of its own shape."""
    return lambda name, raw: read(shape, raw, name)


def words(name: str, raw: Any) -> dict[str, str]:
    """A map of texts to texts."""
    if not isinstance(raw, dict) or not all(isinstance(value, str) for value in raw.values()):
        raise bad_request(f"{name} must be a map of strings")
    return raw


def custom_fields(name: str, raw: Any) -> Resource:
    """At most a hundred texts or numbers."""
    if not isinstance(raw, dict) or len(raw) > 100:
        raise bad_request(f"{name} must be a map of at most 100 entries")
    if not all(isinstance(value, str | int | Decimal) and not isinstance(value, bool) for value in raw.values()):
        raise bad_request(f"{name} takes only strings and numbers")
    return raw


def anything(_: str, raw: Any) -> Any:
    """Whatever it is."""
    return raw


def iso(moment: datetime) -> str:
    """The moment as m3ter writes it."""
    utc = moment.astimezone(UTC)
    return utc.isoformat(timespec="milliseconds" if utc.microsecond else "seconds").replace("+00:00", "Z")


def parse(moment: str) -> datetime:
    """The moment that `iso` wrote."""
    return datetime.fromisoformat(moment)
