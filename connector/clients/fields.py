"""Reading what a provider answered: strict about the fields we need, blind to all others."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeVar

from connector import money
from connector.clients.http import Unreadable

T = TypeVar("T")


class Fields:
    """One object of an answer; each reader raises Unreadable, naming the field, when it is not what we need.

    The plain readers need the field; those that end in `_or_none` also take its absence and `null`.
    """

    def __init__(self, what: str, raw: object) -> None:
        if not isinstance(raw, Mapping):
            raise Unreadable(f"{what} should be an object, not {_kind(raw)}")
        self._what = what
        self._raw = raw

    def all(self) -> dict[str, Any]:
        """The object as it was sent."""
        return dict(self._raw)

    def has(self, name: str) -> bool:
        """Whether there is a value; `null` is none."""
        return self._raw.get(name) is not None

    def lacks(self, needed: str) -> Unreadable:
        """The error for what is needed and not there, in the caller's words."""
        return Unreadable(f"{self._what} lacks {needed}")

    def object(self, name: str) -> dict[str, Any]:
        return dict(self._typed(name, Mapping, "an object"))

    def each(self, name: str, read: Callable[[Any], T]) -> tuple[T, ...]:
        """Every member of a list, read by `read`."""
        return tuple(map(read, self._typed(name, list, "a list")))

    def each_or_none(self, name: str, read: Callable[[Any], T]) -> tuple[T, ...]:
        """As `each`, but empty where there is no list."""
        return self.each(name, read) if self.has(name) else ()

    def id(self, name: str) -> str:
        """A text that is not empty."""
        text = self.text(name)
        if not text:
            raise self._wrong(name, "an id")
        return text

    def text(self, name: str) -> str:
        return str(self._typed(name, str, "a text"))

    def text_or_none(self, name: str) -> str | None:
        return self.text(name) if self.has(name) else None

    def texts(self, name: str) -> dict[str, str]:
        """The texts of an object; empty where there is none."""
        members = self.object(name) if self.has(name) else {}
        return {key: value for key, value in members.items() if isinstance(value, str)}

    def list_of_texts(self, name: str) -> tuple[str, ...]:
        """The members of a list, which are texts; empty where there is none."""
        members = self.each_or_none(name, lambda member: member)
        if not all(isinstance(member, str) for member in members):
            raise self._wrong(name, "a list of texts")
        return members

    def whole(self, name: str) -> int:
        if isinstance(self._raw.get(name), bool):
            raise self._wrong(name, "an integer")
        return int(self._typed(name, int, "an integer"))

    def whole_or_none(self, name: str) -> int | None:
        return self.whole(name) if self.has(name) else None

    def flag(self, name: str) -> bool:
        """True or false; false where it is absent."""
        return bool(self._typed(name, bool, "true or false")) if self.has(name) else False

    def amount(self, name: str) -> Decimal:
        try:
            return money.amount(self._needed(name))
        except money.BadMoney:
            raise self._wrong(name, "an exact amount of at most 30 digits") from None

    def amount_or_none(self, name: str) -> Decimal | None:
        return self.amount(name) if self.has(name) else None

    def unix_time(self, name: str) -> datetime:
        """A time that is sent as seconds since 1970."""
        try:
            return datetime.fromtimestamp(self.whole(name), UTC)
        except (OverflowError, ValueError, OSError):
            raise self._wrong(name, "a time") from None

    def unix_time_or_none(self, name: str) -> datetime | None:
        return self.unix_time(name) if self.has(name) else None

    def iso_time(self, name: str) -> datetime:
        """A time that is sent as text; one without its offset from UTC is refused, since it could mean any."""
        try:
            time = datetime.fromisoformat(self.text(name))
            if time.tzinfo is not None:
                return time.astimezone(UTC)
        except (OverflowError, ValueError):
            pass
        raise self._wrong(name, "a time with its offset from UTC")

    def iso_time_or_none(self, name: str) -> datetime | None:
        return self.iso_time(name) if self.has(name) else None

    def day(self, name: str) -> date:
        try:
            return date.fromisoformat(self.text(name))
        except ValueError:
            raise self._wrong(name, "a date") from None

    def day_or_none(self, name: str) -> date | None:
        return self.day(name) if self.has(name) else None

    def _needed(self, name: str) -> Any:
        value = self._raw.get(name)
        if value is None:
            raise self.lacks(name)
        return value

    def _typed(self, name: str, kind: type, expected: str) -> Any:
        value = self._needed(name)
        if not isinstance(value, kind):
            raise self._wrong(name, expected)
        return value

    def _wrong(self, name: str, expected: str) -> Unreadable:
        return Unreadable(f"{self._what}: {name} should be {expected}, not {_kind(self._raw.get(name))}")


def _kind(value: object) -> str:
    """What it is, never what it says: answers hold personal data."""
    return "nothing" if value is None else f"this {type(value).__name__}"
