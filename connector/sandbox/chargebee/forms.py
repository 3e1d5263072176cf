"""Chargebee's form encoding: bracketed names, columns for lists, and what each field may hold."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from connector.sandbox.chargebee.errors import wrong_value
from connector.sandbox.component import Resource

Kind = Callable[[str, Any], Any]
Fields = Mapping[str, Kind]


def parse(pairs: Iterable[tuple[str, str]]) -> Resource:
    """The form as nested dicts: `item_price[unit_price]=1` becomes `{"item_price": {"unit_price": "1"}}`."""
    form: Resource = {}
    for name, value in pairs:
        *path, last = re.findall(r"[^\[\]]+", name) or [name]
        place = form
        for part in path:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise wrong_value(name, "is both a value and a group of values")
        place[last] = value
    return form


def read(
    form: Resource,
    fields: Fields,
    required: Iterable[str] = (),
    *,
    strict: bool = False,
    custom: bool = False,
    clearing: bool = False,
) -> Resource:
    """The fields present in the form, in their types.

    Custom fields come through as they are where there are any. Other unknown names are passed over, or refused when
    `strict`. An empty value is None where it clears the field, and elsewhere as good as none.
    """
    for name in required:
        if form.get(name, "") == "":
            raise wrong_value(name, "cannot be blank")
    values: Resource = {}
    for name, raw in form.items():
        kind = fields.get(name) or (CUSTOM_FIELD if custom and name.startswith("cf_") else None)
        if kind is None and strict:
            raise wrong_value(name, "is no parameter of this operation")
        if kind is not None and raw != "":
            values[name] = kind(name, raw)
        elif kind is not None and clearing:
            values[name] = None
    return values


def text(longest: int) -> Kind:
    """A text of at most so many characters."""

    def read_text(name: str, raw: Any) -> str:
        if not isinstance(raw, str):
            raise wrong_value(name, "is not a text")
        if len(raw) > longest:
            raise wrong_value(name, f"should not exceed {longest} characters")
        return raw

    return read_text


CUSTOM_FIELD = text(65_535)


def whole(least: int = 0, most: int | None = None) -> Kind:
    """A whole number of at least so much, and at most so much."""

    def read_whole(name: str, raw: Any) -> int:
        if not isinstance(raw, str) or not re.fullmatch(r"-?\d{1,18}", raw):
            raise wrong_value(name, "is not a whole number")
        if int(raw) < least:
            raise wrong_value(name, f"should be at least {least}")
        if most is not None and int(raw) > most:
            raise wrong_value(name, f"should be at most {most}")
        return int(raw)

    return read_whole


def boolean(name: str, raw: Any) -> bool:
    """`true` or `false`."""
    if raw not in ("true", "false"):
        raise wrong_value(name, "should be true or false")
    return bool(raw == "true")


def choice(*allowed: str) -> Kind:
    """One of these words."""

    def read_choice(name: str, raw: Any) -> str:
        if raw not in allowed:
            raise wrong_value(name, f"should be one of {', '.join(allowed)}")
        return str(raw)

    return read_choice


def moment(name: str, raw: Any) -> int:
    """Epoch seconds."""
    if not isinstance(raw, str) or not re.fullmatch(r"\d{1,10}", raw):
        raise wrong_value(name, "is not a time in epoch seconds")
    return int(raw)


def json_object(longest: int = 65_535) -> Kind:
    """A JSON object in one form field."""

    def read_object(name: str, raw: Any) -> Resource:
        try:
            value = json.loads(text(longest)(name, raw))
        except ValueError as error:
            raise wrong_value(name, "is not valid JSON") from error
        if not isinstance(value, dict):
            raise wrong_value(name, "should be a JSON object")
        return value

    return read_object


def group(fields: Fields, required: Iterable[str] = ()) -> Kind:
    """An object of fields."""
    required = tuple(required)

    def read_group(name: str, raw: Any) -> Resource:
        if not isinstance(raw, dict):
            raise wrong_value(name, "should be a group of values")
        qualified = {key: _under(name, kind) for key, kind in fields.items()}
        for key in required:
            if raw.get(key, "") == "":
                raise wrong_value(f"{name}[{key}]", "cannot be blank")
        unknown = [key for key in raw if key not in fields]
        if unknown:
            raise wrong_value(f"{name}[{unknown[0]}]", "is no parameter of this operation")
        return read(raw, qualified)

    return read_group


def columns(fields: Fields, required: Iterable[str] = ()) -> Kind:
    """A list of objects, written column by column with the row's number last."""
    read_row = group(fields, required)

    def read_columns(name: str, raw: Any) -> list[Resource]:
        if not isinstance(raw, dict) or not all(isinstance(column, dict) for column in raw.values()):
            raise wrong_value(name, "should be a list of groups of values")
        numbers = sorted({number for column in raw.values() for number in column}, key=_row_number(name))
        return [
            read_row(name, {key: column[number] for key, column in raw.items() if number in column})
            for number in numbers
        ]

    return read_columns


def listing(kind: Kind) -> Kind:
    """A plain list, `name[0]=…&name[1]=…`."""

    def read_listing(name: str, raw: Any) -> list[Any]:
        if not isinstance(raw, dict):
            raise wrong_value(name, "should be a list")
        return [kind(f"{name}[{number}]", raw[number]) for number in sorted(raw, key=_row_number(name))]

    return read_listing


def _under(group_name: str, kind: Kind) -> Kind:
    return lambda name, raw: kind(f"{group_name}[{name}]", raw)


def _row_number(name: str) -> Callable[[str], int]:
    def number(key: str) -> int:
        if not key.isascii() or not key.isdigit():
            raise wrong_value(name, f"{key!r} is not the number of a row")
        return int(key)

    return number
