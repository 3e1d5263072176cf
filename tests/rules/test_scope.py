"""Which customers, subscriptions and items are in scope, and the sentence that says why one is not."""

from typing import Any

import pytest

from connector.scope import items_in_scope, why_not_customer, why_not_subscription
from connector.settings import Connection, load

NEEDED = {
    "CHARGEBEE_SITE": "acme-test", "CHARGEBEE_API_KEY": "key", "M3TER_ORG_ID": "0" * 36, "M3TER_API_KEY": "key",
    "M3TER_API_SECRET": "secret",
}  # fmt: skip


def settings(**scope: str) -> Connection:
    return load(NEEDED | {f"SCOPE_{name.upper()}": value for name, value in scope.items()}).connections["default"]


@pytest.mark.parametrize(
    ("scope", "subscription", "customer", "said"),
    [
        pytest.param({}, {}, None, None, id="without any setting everything is in scope"),
        pytest.param({"currencies": "EUR, USD"}, {"currency_code": "USD"}, {}, None, id="one of the currencies"),
        pytest.param({"currencies": "EUR"}, {"currency_code": "USD"}, {}, "USD", id="another currency"),
        pytest.param({"business_entities": "a,b"}, {"business_entity_id": "b"}, {}, None, id="one of the entities"),
        pytest.param({"business_entities": "a"}, {}, {"business_entity_id": "a"}, None, id="its customer's entity"),
        pytest.param({"business_entities": "a"}, {"business_entity_id": "b"}, {"business_entity_id": "a"}, "b",
                     id="its own entity goes before its customer's"),
        pytest.param({"business_entities": "a"}, {}, {}, "(none)", id="no entity at all"),
        pytest.param({"custom_field": "cf_m=true"}, {"cf_m": True}, {}, None, id="a flag that is set"),
        pytest.param({"custom_field": "cf_m=true"}, {"cf_m": False}, {"cf_m": True}, "False", id="a flag that is not"),
        pytest.param({"custom_field": "cf_m=true"}, {}, {"cf_m": True}, None, id="its customer's flag"),
        pytest.param({"custom_field": "cf_m=Yes"}, {"cf_m": "yes"}, None, None, id="capitals make no difference"),
        pytest.param({"custom_field": "cf_m=3"}, {"cf_m": 3}, None, None, id="a number"),
        pytest.param({"custom_field": "cf_m=a=b"}, {"cf_m": "a=b"}, None, None, id="a value with an equals sign"),
        pytest.param({"custom_field": "cf_m=true"}, {}, {}, "not set", id="a field that nobody has"),
    ],
)  # fmt: skip
def test_a_subscription_is_in_scope_or_it_is_said_why_not(
    scope: dict[str, str], subscription: dict[str, Any], customer: dict[str, Any] | None, said: str | None
) -> None:
    found = why_not_subscription(settings(**scope), subscription, customer)
    assert (found is None) if said is None else (found is not None and said in found and "SCOPE_" in found)


@pytest.mark.parametrize(
    ("scope", "customer", "is_in"),
    [
        ({"currencies": "EUR"}, {"preferred_currency_code": "USD"}, True),
        ({"business_entities": "a"}, {"business_entity_id": "a"}, True),
        ({"business_entities": "a"}, {}, False),
        ({"custom_field": "cf_m=1"}, {"cf_m": "1"}, True),
        ({"custom_field": "cf_m=1"}, {}, False),
    ],
)
def test_a_customer_is_in_scope_by_entity_and_field(
    scope: dict[str, str], customer: dict[str, Any], *, is_in: bool
) -> None:
    assert (why_not_customer(settings(**scope), customer) is None) == is_in


def test_items_are_in_scope_by_their_family() -> None:
    families = {"a": "saas", "b": "hardware", "c": None}
    assert items_in_scope(settings(), families, "abc") == (["a", "b", "c"], [])
    assert items_in_scope(settings(item_families="saas"), families, "abc") == (["a"], ["b", "c"])
