"""What is needed of an answer is read strictly, and the error names the field but not what it says."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from connector.clients.fields import Fields
from connector.clients.http import Unreadable


def read(reader: str, value: object) -> object:
    return getattr(Fields("m3ter bill", {"field": value}), reader)("field")


@pytest.mark.parametrize(
    ("reader", "value", "expected"),
    [
        ("id", "x", "x"),
        ("text", "", ""),
        ("whole", 0, 0),
        ("whole", 1767225600123, 1767225600123),
        ("flag", True, True),
        ("flag", None, False),
        ("amount", Decimal("12.345678901234567891"), Decimal("12.345678901234567891")),
        ("amount", 7, Decimal(7)),
        ("amount", "7.10", Decimal("7.10")),
        ("amount", Decimal("-4.5"), Decimal("-4.5")),
        ("unix_time", 1767225600, datetime(2026, 1, 1, tzinfo=UTC)),
        ("iso_time", "2026-01-01T00:00:00Z", datetime(2026, 1, 1, tzinfo=UTC)),
        ("iso_time", "2026-01-01T01:00:00+01:00", datetime(2026, 1, 1, tzinfo=UTC)),
        ("iso_time", "2026-01-01T00:00:00.123456789Z", datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)),
        ("day_or_none", "2026-01-31", date(2026, 1, 31)),
        ("texts", {"a": "x", "b": 1, "c": None}, {"a": "x"}),
        ("texts", None, {}),
        ("list_of_texts", ["a", "b"], ("a", "b")),
        ("list_of_texts", None, ()),
        ("day", "2026-01-31", date(2026, 1, 31)),
        ("text_or_none", None, None),
        ("whole_or_none", None, None),
        ("amount_or_none", None, None),
        ("unix_time_or_none", None, None),
        ("iso_time_or_none", None, None),
        ("day_or_none", None, None),
    ],
)
def test_good_values_are_read(reader, value, expected):
    result = read(reader, value)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("reader", "value"),
    [
        ("id", ""),
        ("id", 5),
        ("text", ["secret"]),
        ("text", None),
        ("whole", "5"),
        ("whole", True),
        ("whole", Decimal("5.0")),
        ("flag", "false"),
        ("flag", 0),
        ("amount", 12.5),
        ("amount", True),
        ("amount", "secret"),
        ("amount", "NaN"),
        ("amount", Decimal("Infinity")),
        ("amount", "1" * 31),
        ("amount", None),
        ("unix_time", "1767225600"),
        ("unix_time", 10**20),
        ("unix_time", True),
        ("iso_time", "2026-01-01T00:00:00"),
        ("iso_time", "2026-01-01"),
        ("iso_time", "secret"),
        ("iso_time", "0001-01-01T00:00:00+10:00"),
        ("iso_time", 1767225600),
        ("day_or_none", "2026-13-01"),
        ("day_or_none", 5),
        ("object", []),
        ("texts", "secret"),
        ("day", None),
        ("day", "2026-02-30"),
        ("list_of_texts", "secret"),
        ("list_of_texts", ["secret", 1]),
        ("list_of_texts", {"secret": "x"}),
    ],
)
def test_bad_values_are_refused_by_name_and_not_shown(reader, value):
    with pytest.raises(Unreadable, match=r"m3ter bill.*field") as caught:
        read(reader, value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("raw", [None, [], "text", 5])
def test_what_is_no_object_is_refused(raw):
    with pytest.raises(Unreadable, match="m3ter bill should be an object"):
        Fields("m3ter bill", raw)


def test_lists_are_read_member_by_member():
    fields = Fields("m3ter bill", {"list": [1, 2], "none": None, "text": "ab"})
    assert fields.each("list", str) == ("1", "2")
    assert fields.each_or_none("none", str) == ()
    for name in ("none", "text", "absent"):
        with pytest.raises(Unreadable):
            fields.each(name, str)
