"""What people fill in about balances, as values: every field that cannot be what it is for says why, and keeps what was typed."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any

from werkzeug.datastructures import MultiDict

from connector.balances import typed
from connector.errors import BadInput
from connector.moments import written_moment

MAX_TEXT = 500
MAX_LIST = 20_000
_LISTED = re.compile(r"[\s,;]+")


@dataclass(frozen=True)
class Field:
    """One thing to fill in: `name` is what the values are known by, `kind` is how it is read (see READ).

    `group` stands above the first field of several that belong together, and `blank` is what a choice says when it is left
    open. `{currency}` in the label stands for the balance's.
    """

    name: str
    label: str
    kind: str = "text"
    hint: str = ""
    required: bool = False
    group: str = ""
    blank: str = "–"


@dataclass
class Filled:
    """A form as somebody filled it in: the texts as they were typed, the values that they stand for, and what is wrong."""

    texts: dict[str, str]
    values: dict[str, Any] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)

    def given(self) -> set[str]:
        """The names of the fields that were filled in."""
        return {name for name, value in self.values.items() if value not in (None, False, ())}


def read(
    fields: Sequence[Field], form: MultiDict[str, str], zone: tzinfo, options: Mapping[str, Sequence[tuple[str, str]]]
) -> Filled:
    """The form's values; a day begins at midnight in `zone`, and a choice is one of its `options`."""
    filled = Filled({one.name: form.get(one.name, "").strip() for one in fields})
    for one in fields:
        text = filled.texts[one.name]
        filled.values[one.name] = None
        try:
            filled.values[one.name] = _value(one, text, zone, options)
        except BadInput as fault:
            filled.faults[one.name] = str(fault)
    return filled


def _value(one: Field, text: str, zone: tzinfo, options: Mapping[str, Sequence[tuple[str, str]]]) -> Any:
    if len(text) > (MAX_LIST if one.kind == "list" else MAX_TEXT):
        raise BadInput(f"{one.label} has {len(text)} characters: that is more than can be taken")
    if not re.sub(r"[\r\n\t]", "", text).isprintable():
        raise BadInput(f"{one.label} holds signs that cannot be printed: type it anew")
    if not text and one.kind not in ("flag", "list"):
        if one.required:
            raise BadInput(f"{one.label} is missing: fill it in")
        return None
    if one.kind == "choice" and text not in {value for value, _ in options.get(one.name, ())}:
        raise BadInput(f"{one.label} {text[:40]!r} is none of those that there are: choose one")
    if one.kind == "list" and one.required and not text:
        raise BadInput(f"{one.label} is missing: fill it in")
    return READ[one.kind](text, one.label, zone)


def _whole(text: str, label: str, zone: tzinfo) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6):
        raise BadInput(f"{label} {text[:40]!r} is not a whole number: write it like 3")
    return int(text)


# How each kind is read from what was typed.
READ: dict[str, Callable[[str, str, tzinfo], Any]] = {
    "text": lambda text, label, zone: text,
    "area": lambda text, label, zone: text,
    "choice": lambda text, label, zone: text,
    "amount": lambda text, label, zone: typed.amount(text, label),
    "day": lambda text, label, zone: typed.day(text, label),
    "moment": lambda text, label, zone: typed.moment(text, zone, label),
    "currency": lambda text, label, zone: typed.currency(text),
    "whole": _whole,
    "flag": lambda text, label, zone: text == "yes",
    "list": lambda text, label, zone: tuple(dict.fromkeys(one for one in _LISTED.split(text) if one)),
}


def shown(value: Any, zone: tzinfo) -> str:
    """A value as it stands in its field, so that reading it again gives the same."""
    if value is None or value is False:
        return ""
    if value is True:
        return "yes"
    if isinstance(value, datetime):
        return written_moment(value, zone)
    if isinstance(value, tuple | list):
        return " ".join(value)
    return str(value) if not hasattr(value, "as_tuple") else format(value, "f")
