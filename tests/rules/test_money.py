"""Amounts are exact from the raw JSON to the minor units on an invoice, and what cannot be one is refused."""

import json
import random
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector import money
from connector.money import BadMoney


def is_amount(value: Decimal) -> bool:
    return len(value.as_tuple().digits) <= 30 and abs(value.adjusted()) <= 30


# Everything that `money.amount` lets through: at most 30 digits, nothing above 10**31 or below 10**-30.
amounts = (
    st.builds(
        lambda digits, power: Decimal(f"{digits}E{power}"), st.integers(-(10**30), 10**30), st.integers(-59, 5)
    ).filter(is_amount)
    | st.decimals(-(10**9), 10**9, places=4)
    | st.sampled_from([Decimal(text) for text in ("0", "-0", "0.005", "0.015", "-0.005", "0.5", "1e30", "1e-30")])
)
decimals = st.sampled_from([0, 2])


def keys_for(values: list[Decimal]) -> list[str]:
    return [f"line-{position:03}" for position in range(len(values))]


def exact_minor(values: list[Decimal], places: int) -> Fraction:
    return sum((Fraction(value) for value in values), Fraction(0)) * 10**places


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("19.99", Decimal("19.99"), id="a fraction that floats cannot hold"),
        pytest.param("0.1", Decimal("0.1"), id="a tenth"),
        pytest.param("1.10", Decimal("1.10"), id="the digits as sent, also a zero at the end"),
        pytest.param("12345678901234567890.123456789", Decimal("12345678901234567890.123456789"), id="many digits"),
        pytest.param("1E+2", Decimal("1E+2"), id="an exponent"),
        pytest.param("90071992547409930", 90071992547409930, id="a whole number stays an int"),
        pytest.param("-0.0", Decimal("-0.0"), id="minus nothing"),
    ],
)
def test_a_number_is_read_to_its_last_digit(text, expected):
    found = money.parse_json('{"amount": ' + text + "}")["amount"]
    assert (type(found), str(found)) == (type(expected), str(expected))


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e", "", "{", "1e99999999999999999999", "9" * 5000])
def test_what_is_no_json_number_is_a_value_error(text):
    with pytest.raises(ValueError):
        money.parse_json(text)


@given(amounts)
def test_any_amount_survives_the_way_through_json(value):
    text = f'{{"amount": {value}}}'
    assert money.amount(money.parse_json(text)["amount"]) == value


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(0.1, id="a float"),
        pytest.param(0.5, id="a float, though an exact one"),
        pytest.param(True, id="a boolean"),
        pytest.param(None, id="nothing"),
        pytest.param([1], id="a list"),
        pytest.param("", id="an empty text"),
        pytest.param("ten", id="a word"),
        pytest.param("NaN", id="not a number"),
        pytest.param("sNaN", id="a signalling not-a-number"),
        pytest.param(Decimal("-Infinity"), id="infinity"),
        pytest.param("1" * 31, id="31 digits"),
        pytest.param("1e31", id="too large"),
        pytest.param("1e-31", id="too small"),
        pytest.param("1e99999999999999999999", id="an exponent no Decimal has"),
        pytest.param(10**5000, id="an int too long to be printed"),
        pytest.param(Decimal(f"0.{'1' * 50_000}"), id="a fraction without end"),
    ],
)
def test_what_is_no_exact_amount_is_refused_with_a_short_reason(value):
    with pytest.raises(BadMoney) as refused:
        money.amount(value)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(7, Decimal(7), id="int"),
        pytest.param("7.10", Decimal("7.10"), id="text"),
        pytest.param("-4.5", Decimal("-4.5"), id="negative"),
        pytest.param("1" * 30, Decimal("1" * 30), id="30 digits"),
        pytest.param("1e30", Decimal("1e30"), id="the largest power of ten"),
        pytest.param("1e-30", Decimal("1e-30"), id="the smallest power of ten"),
        pytest.param("0.000", Decimal("0.000"), id="nothing"),
    ],
)
def test_an_exact_amount_is_taken_as_it_is(value, expected):
    assert money.amount(value) == expected


@given(st.text(max_size=40) | st.floats() | st.integers() | st.decimals() | st.booleans() | st.none())
def test_anything_is_an_amount_or_refused(value):
    try:
        found = money.amount(value)
    except BadMoney:
        return
    assert not isinstance(value, bool | float)
    assert found == (Decimal(value) if isinstance(value, str) else value)


@pytest.mark.parametrize(
    ("currency", "expected"),
    [
        *((code, 0) for code in ("JPY", "KRW", "XAF", "XOF")),
        *((code, 2) for code in ("USD", "EUR", "GBP", "INR")),
        # ISO 4217 gives these three decimals, Chargebee two (chargebee.md §13).
        *((code, 2) for code in ("KWD", "BHD", "OMR", "JOD", "TND")),
    ],
)
def test_the_minor_unit_is_chargebees_and_not_isos(currency, expected):
    assert money.exponent(currency) == expected


# Without decimals in ISO 4217 (MGA: with fifths), but not in the list of Chargebee's API.
UNSETTLED = ["BIF", "CLP", "DJF", "GNF", "ISK", "KMF", "MGA", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XPF"]


@pytest.mark.parametrize("currency", UNSETTLED)
def test_an_unsettled_currency_is_refused_until_it_is_set_by_hand(currency):
    with pytest.raises(BadMoney, match=currency):
        money.exponent(currency)
    assert money.exponent(currency, {currency: 0}) == 0
    assert money.exponent(currency, {currency: 2}) == 2


@pytest.mark.parametrize(
    "currency", ["", "US", "usd", "USDT", "Us1", "U1D", "US-", "U D", "\u0410\u0411\u0412", "\ud800"]
)
def test_what_is_no_iso_currency_is_refused(currency):
    with pytest.raises(BadMoney):
        money.exponent(currency)


@pytest.mark.parametrize(
    ("value", "places", "expected"),
    [
        pytest.param("19.99", 2, 1999, id="cents that a float would lose"),
        pytest.param("1.15", 2, 115, id="cents that a float would lose, again"),
        pytest.param("0.005", 2, 0, id="half a cent goes to the even side, down"),
        pytest.param("0.015", 2, 2, id="half a cent goes to the even side, up"),
        pytest.param("-0.015", 2, -2, id="a negative half likewise"),
        pytest.param("0.0050000000000000000001", 2, 1, id="more than half goes up"),
        pytest.param("15.5", 0, 16, id="a currency without decimals"),
        pytest.param("-0", 2, 0, id="minus nothing is nothing"),
        pytest.param("1e30", 2, 10**32, id="the largest amount"),
    ],
)
def test_an_amount_in_minor_units_is_rounded_half_to_even(value, places, expected):
    assert money.to_minor(Decimal(value), places) == expected


@given(st.integers(-(10**32), 10**32), decimals)
def test_minor_units_survive_the_way_to_major_and_back(minor, places):
    major = money.to_major(minor, places)
    assert money.to_minor(major, places) == minor
    assert Fraction(major) == Fraction(minor, 10**places)


@pytest.mark.parametrize(
    ("minor", "places", "expected"),
    [(1999, 2, "19.99"), (5, 2, "0.05"), (0, 2, "0.00"), (-150, 2, "-1.50"), (15, 0, "15"), (0, 0, "0")],
)
def test_a_person_reads_major_units_with_the_currencys_decimals(minor, places, expected):
    assert str(money.to_major(minor, places)) == expected


@pytest.mark.parametrize(
    ("values", "places", "total", "expected"),
    [
        pytest.param([], 2, None, [], id="no lines"),
        pytest.param(["10", "20.5"], 2, None, [1000, 2050], id="nothing to round"),
        pytest.param(["0.333", "0.333", "0.334"], 2, None, [33, 33, 34], id="the largest remainder gets the cent"),
        pytest.param(["0.005", "0.005"], 2, None, [1, 0], id="equal remainders go by key"),
        pytest.param(["0.004"] * 3, 2, None, [1, 0, 0], id="three times almost nothing is one cent together"),
        pytest.param(["0.001"], 2, None, [0], id="almost nothing alone is nothing"),
        pytest.param(["-0.004"] * 3, 2, None, [0, 0, -1], id="negative lines add up as well"),
        pytest.param(["10.006", "-10.006"], 2, None, [1001, -1001], id="what cancels out cancels out"),
        pytest.param(["0.5", "0.5"], 0, None, [1, 0], id="a currency without decimals"),
        pytest.param(["1e30", "0.005", "1e-30"], 2, None, [10**32, 1, 0], id="all digits count"),
        pytest.param(["0.335"], 2, 33, [33], id="a stated total that was rounded down"),
        pytest.param(["0.335"], 2, 34, [34], id="a stated total that was rounded up"),
    ],
)
def test_lines_are_rounded_so_that_they_add_up(values, places, total, expected):
    exact = [Decimal(value) for value in values]
    assert money.round_together(exact, keys_for(exact), places, total) == expected


@pytest.mark.parametrize(
    ("values", "before", "expected"),
    [
        pytest.param(["0.336", "0.337"], {}, [33, 34], id="nothing before: the largest remainder"),
        pytest.param(["0.336", "0.337"], {"line-000": 34}, [34, 33], id="rounded up before: it keeps its cent"),
        pytest.param(["0.336", "0.337"], {"line-000": 33}, [33, 34], id="rounded down before"),
        pytest.param(["0.33", "0.337"], {"line-000": 34}, [33, 34], id="whole cents are never rounded up"),
        pytest.param(["0.336", "0.337"], {"line-000": 50}, [33, 34], id="more before than rounding gives"),
        pytest.param(["0.336", "0.334"], {"line-000": 34, "line-001": 34}, [34, 33], id="both before, one cent now"),
    ],
)
def test_a_value_that_was_rounded_up_before_is_rounded_up_again(values, before, expected):
    exact = [Decimal(value) for value in values]
    assert money.round_together(exact, keys_for(exact), 2, None, before) == expected


@given(st.lists(amounts, max_size=12), decimals)
def test_rounded_lines_add_up_to_the_rounded_total_and_none_is_a_unit_off(values, places):
    rounded = money.round_together(values, keys_for(values), places)
    assert sum(rounded) == round(exact_minor(values, places))
    assert all(abs(one - Fraction(value) * 10**places) < 1 for one, value in zip(rounded, values, strict=True))


@given(st.lists(st.tuples(amounts, st.integers(0, 5)), max_size=8), decimals, st.randoms(use_true_random=False))
def test_the_order_of_the_lines_makes_no_difference(pairs, places, order: random.Random):
    lines = [(value, f"{key}-{position}") for position, (value, key) in enumerate(pairs)]
    shuffled = order.sample(lines, len(lines))

    def by_key(lines):
        rounded = money.round_together([value for value, _ in lines], [key for _, key in lines], places)
        return dict(zip((key for _, key in lines), rounded, strict=True))

    assert by_key(lines) == by_key(shuffled)


@given(st.lists(amounts, min_size=1, max_size=8), decimals, st.integers(-3, 3))
def test_a_stated_total_is_met_exactly_or_refused(values, places, off):
    exact = [Fraction(value) * 10**places for value in values]
    stated = round(sum(exact)) + off
    if sum(map(floor, exact)) <= stated <= sum(map(ceil, exact)):
        rounded = money.round_together(values, keys_for(values), places, stated)
        assert sum(rounded) == stated
        assert all(abs(one - value) < 1 for one, value in zip(rounded, exact, strict=True))
    else:
        with pytest.raises(BadMoney):
            money.round_together(values, keys_for(values), places, stated)


@pytest.mark.parametrize(
    ("values", "total"),
    [
        pytest.param(["10.00"], 1001, id="a cent more than whole cents can explain"),
        pytest.param(["10.00"], 999, id="a cent less"),
        pytest.param(["0.004", "0.004"], 3, id="more than every line rounded up"),
        pytest.param([], 1, id="a total of nothing"),
    ],
)
def test_a_total_that_rounding_does_not_explain_is_refused_with_both_figures(values, total):
    exact = [Decimal(value) for value in values]
    with pytest.raises(BadMoney, match=str(money.to_major(total, 2))):
        money.round_together(exact, keys_for(exact), 2, total)


def test_the_document_is_plain_json_otherwise():
    document = {"a": [1, "x", None, True], "b": {}}
    assert money.parse_json(json.dumps(document)) == document
    assert money.parse_json(json.dumps(document).encode()) == document


@pytest.mark.parametrize(
    ("value", "currency", "text"),
    [
        ("1254.56", "EUR", "1,254.56 EUR"), ("-1234567.5", "USD", "-1,234,567.50 USD"), ("0.0001200", "USD", "0.00012 USD"),
        ("12500", "JPY", "12,500 JPY"), ("999.00", "EUR", "999.00 EUR"),
    ],
)  # fmt: skip
def test_amount_for_a_person_is_exact_and_in_groups_of_thousands(value: str, currency: str, text: str) -> None:
    assert money.shown(Decimal(value), currency) == text
