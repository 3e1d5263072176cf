"""Links into the two systems' own pages."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from connector import links
from connector.services import Connected


def connected(**settings: Any) -> Connected:
    """A connection to the site acme-test with these settings."""
    standing = {
        "chargebee_site": "acme-test",
        "chargebee_api_url": None,
        "chargebee_app_url": None,
        "m3ter_console_url": None,
    }
    return cast("Connected", SimpleNamespace(settings=SimpleNamespace(**standing | settings)))


@pytest.mark.parametrize(
    ("settings", "kind", "id", "link"),
    [
        pytest.param({}, "customer", "acme", "https://acme-test.chargebee.com/d/customers/acme", id="customer"),
        pytest.param({}, "subscription", "s1", "https://acme-test.chargebee.com/d/subscriptions/s1", id="subscription"),
        pytest.param({}, "invoice", "1042", "https://acme-test.chargebee.com/d/invoices/1042", id="invoice"),
        pytest.param({}, "customer", "a/../b?c", "https://acme-test.chargebee.com/d/customers/a%2F..%2Fb%3Fc", id="quoted"),
        pytest.param({}, "item_price", "x", None, id="a kind whose page is not known"),
        pytest.param({}, "customer", "", None, id="no id"),
        pytest.param({"chargebee_api_url": "http://127.0.0.1:8099/x"}, "customer", "a", None, id="an emulated site"),
        pytest.param(
            {"chargebee_api_url": "https://a.example/x", "chargebee_app_url": "https://b.example/"},
            "customer", "a", "https://b.example/d/customers/a", id="pages elsewhere",
        ),
    ],
)  # fmt: skip
def test_chargebee_has_pages_of_some_kinds(settings: dict[str, str], kind: str, id: str, link: str | None) -> None:
    assert links.to_chargebee(connected(**settings), kind, id) == link


@pytest.mark.parametrize(
    ("where", "link"),
    [
        pytest.param(None, None, id="not said"),
        pytest.param("https://m.example/{kind}s/{id}", "https://m.example/bills/a%2F%7Bid%7D", id="by kind and id"),
        pytest.param("https://m.example/find?{id}", "https://m.example/find?a%2F%7Bid%7D", id="by id alone"),
    ],
)
def test_pages_of_m3ter_are_where_the_setting_says(where: str | None, link: str | None) -> None:
    assert links.to_m3ter(connected(m3ter_console_url=where), "bill", "a/{id}") == link
