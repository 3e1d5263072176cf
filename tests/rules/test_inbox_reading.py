"""A delivery becomes an event or is refused with a reason; nothing that anyone sends can crash the reader."""

import json
import time
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector import inbox
from connector.inbox import BadBody, Event

OCCURRED = 1767225600
READERS = [inbox.read_json, inbox.chargebee_event, inbox.m3ter_event]


def chargebee_body(**difference: object) -> bytes:
    event = {
        "id": "ev_1", "api_version": "v2", "event_type": "subscription_changed", "occurred_at": OCCURRED,
        "content": {"subscription": {"id": "sub_1"}},
    }  # fmt: skip
    return json.dumps({name: value for name, value in (event | difference).items() if value is not ...}).encode()


def nested(depth: int) -> bytes:
    """A JSON object of exactly this depth."""
    return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b"{}", {}, id="an empty object"),
        pytest.param(b' {"a": [1, -2, true, null, "x"]} \n', {"a": [1, -2, True, None, "x"]}, id="every kind of value"),
        pytest.param(b'{"a": 19.99}', {"a": Decimal("19.99")}, id="a fraction is exact"),
        pytest.param('{"ü": "€ 😀"}'.encode(), {"ü": "€ 😀"}, id="UTF-8"),
        pytest.param(rb'{"a": "\u0000"}', {"a": "\0"}, id="row 20: an escaped NUL"),
        pytest.param(rb'{"a": "\ud800"}', {"a": "\ud800"}, id="row 21: half of a surrogate pair"),
        pytest.param(rb'{"a": "\"[{\\"}', {"a": '"[{\\'}, id="brackets inside a text do not nest"),
        pytest.param(b'{"a": "' + b"[" * 2000 + b'"}', {"a": "[" * 2000}, id="many brackets inside a text do not nest"),
        pytest.param(b'{"a":' + b"9" * 4300 + b"}", {"a": 10**4300 - 1}, id="row 23: 4,300 digits"),
        pytest.param(b'{"A": 1, "a": 2}', {"A": 1, "a": 2}, id="row 24: keys that differ"),
        pytest.param(b'[{"a": 1}, {"a": 1}]'.join([b'{"x":', b"}"]), {"x": [{"a": 1}] * 2}, id="a key in two objects"),
    ],
)
def test_an_object_is_read_as_it_was_sent(body, expected):
    assert inbox.read_json(body) == expected


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="row 18: nothing"),
        pytest.param(b'{"a": 1', id="row 18: cut off"),
        pytest.param(b'{"a": 1} {"b": 2}', id="row 18: two documents"),
        pytest.param(b'{"a": "x', id="row 18: a text without end"),
        pytest.param(b'{"a": "\\', id="row 18: an escape without end"),
        pytest.param(b'{"a": "\n"}', id="row 18: a bare line end in a text"),
        pytest.param(b"id=1&event_type=x", id="row 18: a form"),
        pytest.param(b'{"a": "\xff"}', id="row 19: not UTF-8"),
        pytest.param(b'{"a": "\xed\xa0\x80"}', id="row 19: a surrogate in UTF-8"),
        pytest.param(b'\xef\xbb\xbf{"a": 1}', id="row 19: a byte order mark"),
        pytest.param('{"a": 1}'.encode("utf-16"), id="row 19: UTF-16"),
        pytest.param('{"a": 1}'.encode("utf-16-le"), id="row 19: UTF-16 without a mark"),
        pytest.param(b'{"a": "\x00"}', id="row 20: a bare NUL"),
        *(pytest.param(nested(depth), id=f"row 22: {depth:,} deep") for depth in (65, 900, 1100, 100_000)),
        pytest.param(b"[" * 100_000, id="row 22: 100,000 lists that do not end"),
        pytest.param(b'{"a":' * 100_000, id="row 22: 100,000 objects that do not end"),
        pytest.param(b"]" * 2000 + b"[" * 2000, id="row 22: closed before it is opened"),
        pytest.param(b'{"a":' + b"9" * 4301 + b"}", id="row 23: 4,301 digits"),
        pytest.param(b'{"a":' + b"9" * 100_000 + b"}", id="row 23: 100,000 digits"),
        pytest.param(b'{"a": NaN}', id="row 23: not a number"),
        pytest.param(b'{"a": Infinity}', id="row 23: infinity"),
        pytest.param(b'{"a": -Infinity}', id="row 23: minus infinity"),
        pytest.param(b'{"a": 1e400}', id="row 23: larger than any float"),
        pytest.param(b'{"a": 1e99999999999999999999}', id="row 23: larger than any Decimal"),
        pytest.param(b'{"a": 1.' + b"1" * 100_000 + b"}", id="row 23: a fraction without end"),
        pytest.param(b'{"a": 1, "a": 1}', id="row 24: a key twice"),
        pytest.param(b'{"x": {"a": 1, "\\u0061": 2}}', id="row 24: a key twice, once escaped, further in"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'"x"', id="a text"),
        pytest.param(b"7", id="a number"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"a":[' + b"0," * 100_000 + b"0]}", id="more values than any event has"),
        pytest.param(b'{"a":[' + b"{}," * 60_000 + b"{}]}", id="more objects than any event has"),
    ],
)
def test_what_could_crash_or_mislead_a_reader_is_refused_with_a_short_reason(body):
    for read in READERS:
        with pytest.raises(BadBody) as refused:
            read(body)
        assert 0 < len(str(refused.value)) <= 400


def test_64_levels_are_not_too_deep():
    assert inbox.read_json(nested(64))


def test_a_refusal_does_not_repeat_what_was_sent():
    with pytest.raises(BadBody) as refused:
        inbox.read_json(b'{"email": "ada@example.test", "email": "ada@example.test", }')
    assert "ada" not in str(refused.value)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(body):
    _read_or_refuse(body)


TOKENS = [
    *'{}[],:"\\ \n\0', '{"a":', '"a"', '"a":', "\\u", "\\ud800", "0", "-", "1e", "1.5", ".", "E+9", "NaN", "Infinity",
    "true", "null", "\ufeff", "é", "\x7f", "9" * 50, "[[[[[[[[", "]]]]]]]]",
]  # fmt: skip


@given(st.lists(st.sampled_from(TOKENS), max_size=40).map("".join))
def test_any_text_that_looks_like_json_is_read_or_refused(text):
    _read_or_refuse(text.encode("utf-8", "surrogatepass"))


def _read_or_refuse(body: bytes) -> None:
    for read in READERS:
        try:
            found = read(body)
        except BadBody:
            continue
        assert isinstance(found, dict | Event)


scalars = st.just("\ud800") | st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(max_size=10)
documents = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_size=4,
)


@given(documents, st.booleans())
def test_every_ordinary_document_is_read_as_it_is(document, ascii_only):
    written = json.dumps(document, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    try:
        assert inbox.read_json(written) == document
    except BadBody:
        assert not ascii_only  # a half of a surrogate pair that is not escaped is no UTF-8


MEBIBYTE = 2**20


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" * MEBIBYTE, id="opening brackets"),
        pytest.param(b"]" * MEBIBYTE, id="closing brackets"),
        pytest.param(b'"' * MEBIBYTE, id="quotes"),
        pytest.param(b'{"a":"' + b"\\" * MEBIBYTE, id="backslashes"),
        pytest.param(b'{"a":"' + b'\\"' * (MEBIBYTE // 2) + b'"}', id="escaped quotes"),
        pytest.param(b'{"a":"' + b'\\"' * 50_000, id="a tenth of that, without end"),
        pytest.param(b'{"a":' + b" " * MEBIBYTE + b"1}", id="blanks"),
        pytest.param(b'{"a":1.' + b"1" * MEBIBYTE + b"}", id="one long number"),
        pytest.param(b'{"a":[' + b",".join([b"9" * 4300] * 240) + b"]}", id="long numbers"),
        pytest.param(b'{"a":[' + b",".join([b"1.123456"] * 99_000) + b"]}", id="many numbers"),
        pytest.param(b"{" + b",".join(b'"%d":1' % key for key in range(90_000)) + b"}", id="many keys"),
    ],
)
def test_a_mebibyte_takes_no_time_worth_speaking_of(body):
    started = time.process_time()
    _read_or_refuse(body)
    assert time.process_time() - started < 2  # three readings; 0.1 s each where nothing else runs


def test_a_chargebee_event_is_named_and_timed():
    assert inbox.chargebee_event(chargebee_body()) == Event(
        "ev_1", "subscription_changed", datetime(2026, 1, 1, tzinfo=UTC)
    )


@pytest.mark.parametrize(
    ("difference", "reason"),
    [
        pytest.param({"id": ...}, "no id", id="no id"),
        pytest.param({"id": 1}, "no id", id="an id that is a number"),
        pytest.param({"id": ""}, "no id", id="an empty id"),
        pytest.param({"id": "x" * 201}, "no id", id="an id that is too long"),
        pytest.param({"id": "ev\n1"}, "no id", id="an id with a line end"),
        pytest.param({"id": "ev\0"}, "no id", id="an id with a NUL"),
        pytest.param({"id": "\ud800"}, "no id", id="an id with half of a surrogate pair"),
        pytest.param({"event_type": None}, "no event_type", id="no type"),
        pytest.param({"event_type": ["x"]}, "no event_type", id="a type that is a list"),
        pytest.param({"api_version": "v1"}, "api_version", id="another API version"),
        pytest.param({"api_version": ...}, "api_version", id="no API version"),
        pytest.param({"content": []}, "no content", id="a content that is a list"),
        pytest.param({"content": None}, "no content", id="no content"),
        pytest.param({"occurred_at": ...}, "occurred_at", id="no time"),
        pytest.param({"occurred_at": "1767225600"}, "occurred_at", id="a time that is a text"),
        pytest.param({"occurred_at": True}, "occurred_at", id="a time that is a boolean"),
        pytest.param({"occurred_at": 1767225600.5}, "occurred_at", id="a time with a fraction"),
        pytest.param({"occurred_at": -1}, "occurred_at", id="a time before 1970"),
        pytest.param({"occurred_at": OCCURRED * 1000}, "occurred_at", id="a time in milliseconds"),
        pytest.param({"occurred_at": 10**30}, "occurred_at", id="a time no clock will show"),
    ],
)
def test_what_is_no_chargebee_event_is_refused(difference, reason):
    with pytest.raises(BadBody, match=reason):
        inbox.chargebee_event(chargebee_body(**difference))


@pytest.mark.parametrize(
    "difference",
    [
        pytest.param({"event_type": "brand_new_event"}, id="row 7: a type nobody knows"),
        pytest.param({"id": "x" * 200}, id="the longest id"),
        pytest.param({"occurred_at": 0}, id="the beginning of time"),
        pytest.param({"more": {"fields": 1}}, id="fields nobody knows"),
        pytest.param({"content": {}}, id="an empty content"),
    ],
)
def test_unusual_events_are_taken(difference):
    assert inbox.chargebee_event(chargebee_body(**difference))


@pytest.mark.parametrize(
    ("body", "event_id", "event_type"),
    [
        pytest.param(b'{"id": "e1", "eventName": "billing.bill.updated"}', "e1", "billing.bill.updated", id="named"),
        pytest.param(b'{"eventName": 5, "id": "e1"}', "e1", "notification", id="a name that is none"),
        pytest.param(b"{}", sha256(b"{}").hexdigest(), "notification", id="nothing but an object"),
        pytest.param(b'{"id":7}', sha256(b'{"id":7}').hexdigest(), "notification", id="an id that is none"),
    ],
)
def test_any_object_is_a_m3ter_event(body, event_id, event_type):
    assert inbox.m3ter_event(body) == Event(event_id, event_type, None)
