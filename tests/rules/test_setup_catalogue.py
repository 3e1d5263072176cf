"""What the catalogues lack, worked out: ids, what is taken as it is, what cannot be, and that nothing is made twice."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.clients.chargebee_objects import Item, ItemPrice
from connector.mappings.pairs import Pair
from connector.setup_catalogue import (
    LINE_ITEM_TYPES,
    MAX_ITEM_ID,
    CannotSetUp,
    Metric,
    Missing,
    currencies,
    line_types,
    missing,
)

CALLS = Metric("Aggregation", "a-1", "calls", "API calls")


def item(**changes: Any) -> Item:
    return Item(**{"id": "m3ter-calls", "type": "charge", "status": "active"} | changes)


def price(**changes: Any) -> ItemPrice:
    raw = {
        "id": "m3ter-calls-USD", "name": "m3ter-calls-USD", "item_id": "m3ter-calls", "item_type": "charge",
        "currency_code": "USD", "pricing_model": "flat_fee", "status": "active",
    }  # fmt: skip
    return ItemPrice.from_json(raw | changes)


def ids(found: Missing) -> tuple[list[str], list[str], list[tuple[str, str | None]]]:
    return (
        [one.id for one in found.items],
        [one.id for one in found.prices],
        [(pair.external_id, pair.currency) for pair in found.pairs],
    )


ALL_OF_USD = (["m3ter-calls"], ["m3ter-calls-USD"], [("m3ter-calls-USD", "USD")])
JUST_MAPPED = ([], [], [("m3ter-calls-USD", "USD")])


@pytest.mark.parametrize(
    ("wanted_in", "mapped", "items", "prices", "expected"),
    [
        pytest.param(["USD"], [], [], [], ALL_OF_USD, id="all of it"),
        pytest.param(
            ["USD", "EUR"], [], [], [],
            (["m3ter-calls"], ["m3ter-calls-USD", "m3ter-calls-EUR"],
             [("m3ter-calls-USD", "USD"), ("m3ter-calls-EUR", "EUR")]), id="one item, a price for each currency",
        ),
        pytest.param(["USD"], [("Aggregation", "a-1", "USD")], [], [], ([], [], []), id="mapped already"),
        pytest.param(["USD"], [("Aggregation", "a-1", "EUR")], [], [], ALL_OF_USD, id="mapped in another currency"),
        pytest.param(["USD"], [("CompoundAggregation", "a-1", "USD")], [], [], ALL_OF_USD, id="mapped as another kind"),
        pytest.param(["USD"], [("Default", "*", "USD")], [], [], ALL_OF_USD, id="a wider mapping does not count"),
        pytest.param(["USD"], [], [item()], [], ([], *ALL_OF_USD[1:]), id="the item is there"),
        pytest.param(["USD"], [], [item()], [price()], JUST_MAPPED, id="item and price are there"),
    ],
)  # fmt: skip
def test_only_what_is_missing_is_made(
    wanted_in: list[str], mapped: list[Any], items: list[Item], prices: list[ItemPrice], expected: Any
) -> None:
    found = missing([CALLS], wanted_in, mapped, {one.id: one for one in items}, {one.id: one for one in prices})
    assert (ids(found), found.faults) == (expected, ())


@pytest.mark.parametrize(
    ("items", "prices", "words"),
    [
        pytest.param([item(type="plan")], [], "m3ter-calls is of type plan", id="not a charge"),
        pytest.param([item(status="archived")], [], "m3ter-calls is archived", id="item archived"),
        pytest.param([item()], [price(status="archived")], "m3ter-calls-USD is archived", id="price archived"),
        pytest.param([item()], [price(currency_code="EUR")], "in EUR, not USD", id="another currency"),
        pytest.param([item()], [price(pricing_model="per_unit")], "per_unit, not flat_fee", id="another model"),
        pytest.param([item()], [price(item_type="addon")], "addon, not charge", id="price of an addon"),
        pytest.param([item()], [price(item_id="other")], "item other, not m3ter-calls", id="price of another item"),
    ],
)
def test_what_has_our_id_and_does_not_fit_is_a_fault_and_is_not_mapped(
    items: list[Item], prices: list[ItemPrice], words: str
) -> None:
    found = missing([CALLS], ["USD"], [], {one.id: one for one in items}, {one.id: one for one in prices})
    [fault] = found.faults
    assert words in fault
    assert "connector mappings add" in fault
    assert (found.items, found.prices, found.pairs) == ((), (), ())


def test_what_does_not_fit_is_no_matter_to_what_is_mapped_already() -> None:
    found = missing([CALLS], ["USD"], [("Aggregation", "a-1", "USD")], {"m3ter-calls": item(type="plan")}, {})
    assert found == Missing()


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (CALLS, "m3ter-calls"),
        (Metric("CompoundAggregation", "c-1", "calls", ""), "m3ter-compound-calls"),
        (Metric("LineItemType", "STANDING_CHARGE", "standing_charge", ""), "m3ter-line-standing_charge"),
        (Metric("Aggregation", "a-1", "c" * 44, ""), "m3ter-" + "c" * 44),
        (Metric("Aggregation", "a-1", "c" * 45, ""), "m3ter-" + "c" * 31 + "-2924dc3aef4c"),
        (Metric("Aggregation", "a-1", "API_Calls", ""), "m3ter-api_calls-"),
        (Metric("Aggregation", "a-1", "größe", ""), "m3ter-gr_e-"),
        (Metric("Aggregation", "a-1", "$", ""), "m3ter-code-"),
        (Metric("Aggregation", "a-1", None, "Seats used"), "m3ter-seats_used-"),
    ],
)
def test_ids_are_read_from_codes_and_are_the_same_in_every_run(metric: Metric, expected: str) -> None:
    assert metric.item_id.startswith(expected)
    assert (len(metric.item_id) == len(expected)) == (not expected.endswith("-"))


def test_codes_that_differ_only_in_case_have_ids_that_differ_in_more() -> None:
    pair = [Metric("Aggregation", one, code, "").item_id for one, code in (("a", "Calls"), ("b", "CALLS"))]
    assert len({one.lower() for one in (*pair, CALLS.item_id)}) == 3


codes = st.text("aB_$é9", min_size=1, max_size=60)
metrics = st.lists(
    st.builds(
        Metric, st.sampled_from(["Aggregation", "CompoundAggregation", "LineItemType"]), st.uuids().map(str),
        st.none() | codes, codes,
    ),
    max_size=6, unique_by=lambda one: (one.entity, one.code or one.id),
)  # fmt: skip
some_currencies = st.lists(st.sampled_from(["USD", "EUR", "JPY"]), min_size=1, unique=True)


def made(found: Missing) -> tuple[list[Item], list[ItemPrice], list[tuple[str, str, str]]]:
    """What there is once all of it has been made."""
    return (
        [item(id=one.id) for one in found.items],
        [price(id=one.id, item_id=one.item_id, currency_code=one.currency) for one in found.prices],
        [(pair.m3ter_entity, pair.m3ter_id, str(pair.currency)) for pair in found.pairs],
    )


@given(metrics, some_currencies)
def test_what_has_been_made_is_not_made_again(wanted: list[Metric], in_currencies: list[str]) -> None:
    found = missing(wanted, in_currencies, [], {}, {})
    items, prices, mapped = made(found)
    known = {one.id: one for one in items}, {one.id: one for one in prices}
    assert missing(wanted, in_currencies, mapped, *known) == Missing()
    assert len(found.pairs) == len(wanted) * len(in_currencies)
    assert len({one.external_id.lower() for one in found.pairs}) == len(found.pairs)
    assert all(0 < len(one.id) <= MAX_ITEM_ID and one.id.isascii() for one in found.items)
    assert all(isinstance(one, Pair) for one in found.pairs)


@given(metrics, some_currencies, st.data())
def test_a_run_that_died_is_finished_by_the_next(wanted: list[Metric], in_currencies: list[str], data: Any) -> None:
    whole = missing(wanted, in_currencies, [], {}, {})
    items, prices, _ = made(whole)
    done = data.draw(st.integers(0, len(items) + len(prices)))
    known = {one.id: one for one in items[:done]}, {one.id: one for one in prices[: max(0, done - len(items))]}
    rest = missing(wanted, in_currencies, [], *known)
    assert [*known[0], *known[1], *(one.id for one in rest.items), *(one.id for one in rest.prices)] == [
        *(one.id for one in items[:done]),
        *(one.id for one in prices[: max(0, done - len(items))]),
        *(one.id for one in items[done:]),
        *(one.id for one in prices[max(0, done - len(items)) :]),
    ]
    assert (rest.pairs, rest.faults) == (whole.pairs, ())


def test_currencies_and_line_types_are_lists_with_commas() -> None:
    assert currencies(" usd,EUR,USD,") == ("USD", "EUR")
    assert line_types("standing_charge, AD_HOC") == ("STANDING_CHARGE", "AD_HOC")
    assert line_types("") == ()
    assert "MINIMUM_SPEND" in LINE_ITEM_TYPES


@pytest.mark.parametrize("text", ["", ",", "DOLLARS", "US1", "USD;EUR"])
def test_what_is_no_currency_is_refused(text: str) -> None:
    with pytest.raises(CannotSetUp, match="codes of currencies"):
        currencies(text)


@pytest.mark.parametrize("text", ["USAGE", "AD_HOC,SANDWICH"])
def test_a_line_type_that_has_aggregations_or_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(CannotSetUp, match="not a line item type that has no aggregation"):
        line_types(text)
