"""Who and what a connection takes care of: by custom field, business entity, currency and item family."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector import scope
from connector.settings import Connection

REQUIRED = {"chargebee_site": "acme", "chargebee_api_key": "key", "m3ter_org_id": "0" * 36, "m3ter_api_key": "id"}


def settings(**scopes: Any) -> Connection:
    return Connection.model_validate(REQUIRED | {"m3ter_api_secret": "secret"} | scopes)


METERED = settings(scope_custom_field="cf_metered=true")
EUROPE = settings(scope_business_entities="eu,uk")
DOLLARS = settings(scope_currencies="USD,CAD")


@pytest.mark.parametrize(
    ("wanted", "value", "inside"),
    [
        pytest.param("true", True, True, id="a switch that is on"),
        pytest.param("TRUE", True, True, id="whatever its case"),
        pytest.param("true", False, False, id="a switch that is off"),
        pytest.param("false", False, True, id="off is wanted"),
        pytest.param("true", "True", True, id="a switch as text"),
        pytest.param("Gold", "gold", True, id="text in another case"),
        pytest.param("STRASSE", "Straße", True, id="letters that only fold together"),
        pytest.param("gold", " gold ", True, id="blanks around it"),
        pytest.param("gold", "gold plus", False, id="longer text"),
        pytest.param("5", 5, True, id="a number"),
        pytest.param("2.50", Decimal("2.50"), True, id="a fraction"),
        pytest.param("1", True, False, id="a switch is no number"),
        pytest.param("a=b", "a=b", True, id="an equals sign in the value"),
        pytest.param("None", None, False, id="null is no text"),
    ],
)
def test_value_of_the_custom_field_decides(wanted: str, value: Any, inside: bool) -> None:
    chosen = settings(scope_custom_field=f"cf_x={wanted}")
    assert (scope.why_not_customer(chosen, {"id": "acme", "cf_x": value}) is None) is inside
    assert (scope.why_not_subscription(chosen, {"id": "sub-1", "cf_x": value}, None) is None) is inside


@pytest.mark.parametrize(
    ("chosen", "field", "good", "bad"),
    [
        pytest.param(METERED, "cf_metered", True, False, id="custom field"),
        pytest.param(EUROPE, "business_entity_id", "eu", "us", id="business entity"),
    ],
)
def test_subscription_speaks_before_its_customer(chosen: Connection, field: str, good: Any, bad: Any) -> None:
    def inside(own: Any, of_customer: Any) -> bool:
        return scope.why_not_subscription(chosen, {field: own}, {field: of_customer}) is None

    assert [inside(good, bad), inside(None, good), inside("", good)] == [True, True, True]
    assert [inside(bad, good), inside(None, bad), inside(None, None)] == [False, False, False]
    assert scope.why_not_subscription(chosen, {}, {field: good}) is None
    assert scope.why_not_subscription(chosen, {}, None) is not None


@pytest.mark.parametrize(
    ("chosen", "body", "sentence"),
    [
        pytest.param(
            METERED, {"cf_metered": False},
            "cf_metered of the customer is false; SCOPE_CUSTOM_FIELD asks for cf_metered=true", id="another value",
        ),
        pytest.param(
            METERED, {}, "the customer has no cf_metered; SCOPE_CUSTOM_FIELD asks for cf_metered=true", id="no field",
        ),
        pytest.param(
            EUROPE, {"business_entity_id": "us"},
            "business entity of the customer is us; SCOPE_BUSINESS_ENTITIES asks for eu or uk", id="another entity",
        ),
        pytest.param(
            EUROPE, {}, "the customer has no business entity; SCOPE_BUSINESS_ENTITIES asks for eu or uk", id="no entity",
        ),
        pytest.param(DOLLARS, {"preferred_currency_code": "EUR"}, None, id="a customer may pay in any currency"),
    ],
)  # fmt: skip
def test_sentence_about_a_customer_names_setting_and_value(
    chosen: Connection, body: dict[str, Any], sentence: str | None
) -> None:
    assert scope.why_not_customer(chosen, body) == sentence


@pytest.mark.parametrize(
    ("chosen", "body", "customer", "sentence"),
    [
        pytest.param(DOLLARS, {"currency_code": "CAD"}, None, None, id="a currency of the list"),
        pytest.param(settings(scope_currencies="usd"), {"currency_code": "USD"}, None, None, id="in small letters"),
        pytest.param(
            DOLLARS, {"currency_code": "EUR"}, {"currency_code": "USD"},
            "currency of the subscription is EUR; SCOPE_CURRENCIES asks for USD or CAD", id="another currency",
        ),
        pytest.param(
            DOLLARS, {}, None, "the subscription has no currency; SCOPE_CURRENCIES asks for USD or CAD", id="no currency",
        ),
        pytest.param(
            METERED, {}, {"cf_metered": "no"},
            "cf_metered of the customer is no; SCOPE_CUSTOM_FIELD asks for cf_metered=true", id="its customer's value",
        ),
        pytest.param(
            EUROPE, {}, {},
            "neither the subscription nor its customer has a business entity; SCOPE_BUSINESS_ENTITIES asks for eu or uk",
            id="nobody says anything",
        ),
    ],
)  # fmt: skip
def test_sentence_about_a_subscription_names_setting_and_value(
    chosen: Connection, body: dict[str, Any], customer: dict[str, Any] | None, sentence: str | None
) -> None:
    assert scope.why_not_subscription(chosen, body, customer) == sentence


def test_long_value_is_cut() -> None:
    assert len(scope.why_not_customer(METERED, {"cf_metered": "x" * 5000}) or "") < 200


@pytest.mark.parametrize(
    ("named", "inside", "outside"),
    [
        pytest.param("", ["router", "pro", "odd", "new"], [], id="no families named"),
        pytest.param("saas", ["pro"], ["router", "odd", "new"], id="one family"),
        pytest.param("hardware, saas", ["router", "pro"], ["odd", "new"], id="two families"),
        pytest.param("none", [], ["router", "pro", "odd", "new"], id="a family that nothing has"),
    ],
)
def test_items_are_in_scope_by_their_family(named: str, inside: list[str], outside: list[str]) -> None:
    families = {"pro": "saas", "router": "hardware", "odd": None}
    chosen = settings(scope_item_families=named) if named else settings()
    assert scope.items_in_scope(chosen, families, ["router", "pro", "odd", "new"]) == (inside, outside)


values = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "eu", "us", "USD", "EUR", "true"])
bodies = st.fixed_dictionaries(
    {}, optional={"cf_metered": values, "business_entity_id": values, "currency_code": values, "id": values}
)
conditions = {
    "scope_custom_field": "cf_metered=true",
    "scope_business_entities": ("eu",),
    "scope_currencies": ("USD",),
}


@given(bodies, st.none() | bodies)
def test_without_conditions_everything_is_in_scope(body: dict[str, Any], customer: dict[str, Any] | None) -> None:
    assert scope.why_not_customer(settings(), body) is None
    assert scope.why_not_subscription(settings(), body, customer) is None


@given(bodies, st.none() | bodies, st.sets(st.sampled_from(sorted(conditions))))
def test_every_condition_must_hold_and_each_is_judged_for_itself(
    body: dict[str, Any], customer: dict[str, Any] | None, chosen: set[str]
) -> None:
    def inside(*names: str) -> bool:
        asked = settings(**{name: conditions[name] for name in names})
        return scope.why_not_subscription(asked, body, customer) is None

    assert inside(*chosen) is all(inside(name) for name in chosen)


@given(st.lists(st.sampled_from("abcde")), st.dictionaries(st.sampled_from("abcde"), st.none() | st.sampled_from("fg")))
def test_every_item_is_on_one_side(prices: list[str], families: dict[str, str | None]) -> None:
    inside, outside = scope.items_in_scope(settings(scope_item_families="f"), families, prices)
    assert sorted(inside + outside) == sorted(prices)
    assert {families.get(price) for price in inside} <= {"f"}
    assert "f" not in {families.get(price) for price in outside}
