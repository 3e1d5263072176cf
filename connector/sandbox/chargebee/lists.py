"""Chargebee's lists: filters by operator, sorting, and pages that stay sound while rows change."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connector.sandbox.chargebee.errors import wrong_value
from connector.sandbox.chargebee.forms import boolean, whole
from connector.sandbox.component import Resource

TEXT = frozenset({"is", "is_not", "starts_with", "is_present", "in", "not_in"})
CHOICE = frozenset({"is", "is_not", "in", "not_in"})
NUMBER = frozenset({"is", "is_not", "lt", "lte", "gt", "gte", "between"})
FLAG = frozenset({"is"})
TIME = frozenset({"after", "before", "on", "between"})
DAY = 86_400


@dataclass(frozen=True)
class Listing:
    """What one list operation offers."""

    filters: Mapping[str, frozenset[str]]
    sort: tuple[str, ...]
    other: frozenset[str] = frozenset()


def page(
    rows: Iterable[Resource], query: Resource, listing: Listing, *, ignore_case: bool = False
) -> tuple[list[Resource], str | None]:
    """One page of the rows that pass the query's filters, and the offset of the next page if there is one.

    `ignore_case` is about filters on texts: whether Chargebee's do is said nowhere, so that a site may do either.
    """
    limit = whole(1)("limit", query.get("limit", "10"))
    if limit > 100:
        raise wrong_value("limit", "should be at most 100")
    descending, key = _order(query.get("sort_by"), listing)
    tests = list(_tests(query, listing, ignore_case))
    hidden = not boolean("include_deleted", query.get("include_deleted", "false"))
    found = [row for row in rows if not (hidden and row.get("deleted")) and all(test(row) for test in tests)]
    found.sort(key=lambda row: _place(row, key), reverse=descending)
    if "offset" in query and found:
        mark = _mark(query["offset"], _place(found[0], key)[0])
        found = [row for row in found if (_place(row, key) < mark if descending else _place(row, key) > mark)]
    if len(found) <= limit:
        return found, None
    return found[:limit], json.dumps(_place(found[limit - 1], key))


def _order(sort_by: Any, listing: Listing) -> tuple[bool, str]:
    if sort_by is None:
        return False, listing.sort[0]
    if not isinstance(sort_by, dict) or len(sort_by) != 1:
        raise wrong_value("sort_by", "should be sort_by[asc] or sort_by[desc]")
    direction, field = next(iter(sort_by.items()))
    if direction not in ("asc", "desc") or field not in listing.sort:
        raise wrong_value("sort_by", f"should be [asc] or [desc] of {', '.join(listing.sort)}")
    return direction == "desc", field


def _place(row: Resource, key: str) -> tuple[Any, str]:
    # Ids break ties: rows of one second come in an order of chance, as with Chargebee, but always in the same one.
    return (row.get(key, 0), row["id"])


def _mark(offset: Any, sample: Any) -> tuple[Any, str]:
    try:
        value, row_id = json.loads(offset)
    except (TypeError, ValueError) as error:
        raise wrong_value("offset", "is not an offset that a list gave") from error
    if type(value) is not type(sample) or not isinstance(row_id, str):
        raise wrong_value("offset", "is not an offset that this list gave")
    return value, row_id


Test = Callable[[Resource], bool]


def _tests(query: Resource, listing: Listing, ignore_case: bool) -> Iterable[Test]:
    for name, value in query.items():
        if name in ("limit", "offset", "sort_by", "include_deleted") or name in listing.other:
            continue
        if not isinstance(value, dict):
            raise wrong_value(name, "is no filter of this list, or lacks its operator")
        yield from _field_tests(name, (), value, listing, ignore_case)


def _field_tests(
    name: str, path: tuple[str, ...], value: Resource, listing: Listing, ignore_case: bool
) -> Iterable[Test]:
    path = (*path, name)
    if (known := listing.filters.get(".".join(path))) is None:
        nested = [key for key, member in value.items() if isinstance(member, dict)]
        if not nested:
            raise wrong_value(".".join(path), "is no filter of this list")
        for key in nested:
            yield from _field_tests(key, path, value[key], listing, ignore_case)
        return
    for operator, wanted in value.items():
        if operator not in known or not isinstance(wanted, str):
            raise wrong_value(f"{name}[{operator}]", f"should use one of {', '.join(sorted(known))}")
        yield _test(path, operator, wanted, known, ignore_case)


def _test(path: Sequence[str], operator: str, wanted: str, known: frozenset[str], ignore_case: bool) -> Test:
    fold = str.casefold if ignore_case and known is TEXT else str
    name = f"{'.'.join(path)}[{operator}]"
    if operator in ("is", "is_not") and known is not NUMBER:
        return lambda row: (fold(_word(_value(row, path))) == fold(wanted)) is (operator == "is")
    if operator == "starts_with":
        return lambda row: fold(_word(_value(row, path))).startswith(fold(wanted))
    if operator == "is_present":
        return lambda row: (_value(row, path) is not None) is boolean(name, wanted)
    if operator in ("in", "not_in"):
        words = _words(name, wanted)
        return lambda row: (_word(_value(row, path)) in words) is (operator == "in")
    low, high = _bounds(name, operator, wanted, 10 if known is TIME else 1)
    inside = operator != "is_not"
    return lambda row: (_value(row, path) is not None and low <= _value(row, path) <= high) is inside


def _bounds(name: str, operator: str, wanted: str, digits: int) -> tuple[float, float]:
    pattern = r"\[(\d{%d,}),(\d{%d,})\]" if operator == "between" else r"(\d{%d,})"
    found = re.fullmatch(pattern.replace("%d", str(digits)), wanted)
    if not found:
        raise wrong_value(name, f"{wanted!r} is not in the form this filter takes")
    first, last = int(found[1]), int(found[found.lastindex or 1])
    return {
        "is": (first, first),
        "is_not": (first, first),
        "between": (first, last),
        "on": (first - first % DAY, first - first % DAY + DAY - 1),
        "after": (first + 1, float("inf")),
        "gt": (first + 1, float("inf")),
        "gte": (first, float("inf")),
        "before": (float("-inf"), first - 1),
        "lt": (float("-inf"), first - 1),
        "lte": (float("-inf"), first),
    }[operator]


def _words(name: str, wanted: str) -> frozenset[str]:
    """The words of a list in either official form, `[a,b]` or `["a","b"]`; a Python list's `['a']` is neither."""
    if not (wanted.startswith("[") and wanted.endswith("]")) or "'" in wanted:
        raise wrong_value(name, "should be a list like [a,b]")
    if '"' not in wanted:
        return frozenset(wanted[1:-1].split(","))
    try:
        return frozenset(str(word) for word in json.loads(wanted))
    except ValueError as error:
        raise wrong_value(name, "is not a JSON list") from error


def _value(row: Resource, path: Sequence[str]) -> Any:
    value: Any = row
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)
