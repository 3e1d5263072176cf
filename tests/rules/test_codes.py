"""A code is valid in m3ter whatever Chargebee's ids are, and says which ids it was made from."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector import codes

# m3ter.md §1.5, with `\s` and `\p{Cntrl}` as Java and as Unicode understand them; a comma separates codes in m3ter's lists.
CONTROL = "\x00-\x1f\x7f-\x9f"
VALID = re.compile(rf"(?=.{{1,80}}\Z)[^\s{CONTROL},](?:[^\s{CONTROL},]| )*(?<! )", re.DOTALL)
HASHED = re.compile(r"cb-[0-9a-f]{48}")

ids = (
    st.text("a-/:,\0", max_size=3)
    | st.from_regex(r"[A-Za-z0-9_\-]{1,40}", fullmatch=True)
    | st.sampled_from(["a", "a-b", "b", "b-c", "c", "-", "--", "a:b", ":", "1767225600", "", " ", "a "])
    | st.text(max_size=100)
)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        pytest.param(["cust_8aZ1"], "cust_8aZ1", id="an ordinary id is its own code"),
        pytest.param(["acme-test"], "acme-test", id="an id with a hyphen"),
        pytest.param(["Acme & Söhne"], "Acme & Söhne", id="blanks inside and other letters"),
        pytest.param(["x" * 80], "x" * 80, id="80 characters"),
    ],
)
def test_ids_that_m3ter_takes_stay_readable(parts, expected):
    assert codes.code(*parts) == expected


def test_the_parts_of_a_code_stay_readable():
    made = codes.code("sub_1", "pro-USD-monthly", "1767225600")
    assert not HASHED.fullmatch(made)
    assert all(part in made for part in ("sub_1", "pro-USD-monthly", "1767225600"))


@pytest.mark.parametrize(
    "part",
    [
        pytest.param("x" * 81, id="too long"),
        pytest.param("", id="empty"),
        pytest.param(" x", id="a blank in front"),
        pytest.param("x ", id="a blank behind"),
        pytest.param("x\ty", id="a tab"),
        pytest.param("x\n", id="a line end"),
        pytest.param("x\x00y", id="a NUL"),
        pytest.param("x\x7fy", id="delete"),
        pytest.param("x\xa0y", id="a blank that does not break"),
        pytest.param("a,b", id="a comma, which m3ter's list takes for two codes"),
        pytest.param("\ud800", id="half a surrogate pair"),
        pytest.param("\ud800" * 90, id="many halves of surrogate pairs"),
    ],
)
def test_what_m3ter_would_refuse_is_hashed(part):
    assert HASHED.fullmatch(codes.code(part))


@given(st.lists(ids, min_size=1, max_size=4))
def test_any_parts_give_a_valid_code_and_always_the_same(parts):
    made = codes.code(*parts)
    assert VALID.fullmatch(made)
    made.encode()  # it can be sent
    assert codes.code(*parts) == made


@given(st.integers(1, 3).flatmap(lambda size: st.tuples(*[st.lists(ids, min_size=size, max_size=size)] * 2)))
def test_different_parts_give_different_codes(two):
    one, other = two
    assert (codes.code(*one) == codes.code(*other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(("acme", "pro-USD", "1767225600"), ("acme-pro", "USD", "1767225600"), id="a hyphen"),
        pytest.param(("acme", "pro/USD", "1767225600"), ("acme/pro", "USD", "1767225600"), id="a slash"),
        pytest.param(("acme", "x" * 80), ("acm", "e" + "x" * 80), id="too long to be readable"),
    ],
)
def test_two_subscriptions_do_not_share_a_code_because_of(one, other):
    assert codes.code(*one) != codes.code(*other)
