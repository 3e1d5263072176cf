"""The calls that read and fill the two catalogues, as the providers' documentation writes them."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import responses

from connector.clients.chargebee import ChargebeeClient
from connector.clients.chargebee_objects import Item
from connector.clients.http import Unreadable
from connector.clients.m3ter import M3terClient
from connector.clients.m3ter_objects import Aggregation
from connector.errors import NotFound, Rejected, Uncertain

SITE = "https://acme-test.chargebee.com/api/v2"
M3TER = "https://api.m3ter.com"
PRICE = {
    "id": "m3ter-calls-USD", "name": "m3ter-calls-USD", "item_id": "m3ter-calls", "item_type": "charge",
    "currency_code": "USD", "pricing_model": "flat_fee", "status": "active",
}  # fmt: skip


@pytest.fixture
def chargebee(http) -> ChargebeeClient:
    return ChargebeeClient(http, site="acme-test", api_key="key")


@pytest.fixture
def m3ter(http, network) -> M3terClient:
    token = {"access_token": "t", "token_type": "Bearer", "expires_in": 18000}
    network.add(responses.POST, f"{M3TER}/oauth/token", json=token)
    return M3terClient(http, org_id="org-1", api_key="a", api_secret="s", now=lambda: datetime(2026, 1, 1, tzinfo=UTC))


def sent(network: responses.RequestsMock, number: int = -1) -> tuple[str, str, dict[str, str]]:
    """Method, path and parameters of a call."""
    request = network.calls[number].request
    url = urlsplit(request.url)
    fields = request.body if request.method == "POST" else url.query
    return str(request.method), url.path, dict(parse_qsl(fields.decode() if isinstance(fields, bytes) else fields))


def test_items_are_found_by_how_their_ids_begin_page_by_page(chargebee, network):
    for item_id, following in (("m3ter-a", '["1"]'), ("m3ter-b", None)):
        row = {"item": {"id": item_id, "type": "charge", "status": "active"}}
        network.add(responses.GET, f"{SITE}/items", json={"list": [row], "next_offset": following})
    assert chargebee.items("m3ter-") == [
        Item("m3ter-a", "charge", "active"),
        Item("m3ter-b", "charge", "active"),
    ]
    assert sent(network, 0)[2] == {"id[starts_with]": "m3ter-", "limit": "100"}
    assert sent(network, 1)[2] == {"id[starts_with]": "m3ter-", "limit": "100", "offset": '["1"]'}


def test_active_item_prices_are_read_as_far_as_they_are_wanted(chargebee, network):
    for following in ('["1"]', None):
        network.add(
            responses.GET, f"{SITE}/item_prices", json={"list": [{"item_price": PRICE}], "next_offset": following}
        )
    assert next(chargebee.active_item_prices()).id == "m3ter-calls-USD"
    assert [sent(network, 0)[2]] == [{"status[is]": "active", "limit": "100"}]
    assert len(network.calls) == 1


def test_plans_and_all_that_has_a_name_are_read_as_lists(m3ter, network):
    plan = {"id": "p", "planTemplateId": "t", "name": "Pro", "code": "pro", "productId": "x"}
    for path, row in (
        ("plans", plan),
        ("plantemplates", {"id": "t", "currency": "USD"}),
        ("pricings", {"id": "r", "description": "Calls above 100"}),
        ("products", {"id": "x", "name": "API", "code": "api"}),
    ):
        network.add(responses.GET, f"{M3TER}/organizations/org-1/{path}", json={"data": [row]})
    [found] = m3ter.plans()
    assert (found.label, found.code, found.product_id, found.account_id) == ("Pro", "pro", "x", None)
    assert [one.currency for one in m3ter.plan_templates()] == ["USD"]
    assert [one.label for name in ("pricings", "products") for one in m3ter.named(name)] == ["Calls above 100", "API"]


def test_item_prices_are_found_by_how_their_ids_begin(chargebee, network):
    network.add(responses.GET, f"{SITE}/item_prices", json={"list": [{"item_price": PRICE}]})
    [found] = chargebee.item_prices("m3ter-")
    assert (found.id, found.item_id) == ("m3ter-calls-USD", "m3ter-calls")
    assert sent(network)[2] == {"id[starts_with]": "m3ter-", "limit": "100"}


def test_an_item_is_read(chargebee, network):
    raw = {"id": "m3ter-calls", "type": "plan", "status": "archived", "name": "x"}
    network.add(responses.GET, f"{SITE}/items/m3ter-calls", json={"item": raw})
    assert chargebee.retrieve_item("m3ter-calls") == Item("m3ter-calls", "plan", "archived")


@pytest.mark.parametrize("missing", ["id", "type", "status"])
def test_an_item_that_lacks_what_it_is_judged_by_is_unreadable(missing: str):
    raw = {"id": "m3ter-calls", "type": "charge", "status": "active", missing: None}
    with pytest.raises(Unreadable, match=missing):
        Item.from_json(raw)


def test_a_family_is_there_or_not_found(chargebee, network):
    network.add(responses.GET, f"{SITE}/item_families/saas", json={"item_family": {"id": "saas"}})
    network.add(responses.GET, f"{SITE}/item_families/none", status=404, json={"api_error_code": "resource_not_found"})
    chargebee.item_family_must_exist("saas")
    with pytest.raises(NotFound):
        chargebee.item_family_must_exist("none")


def test_a_charge_item_is_made_under_our_id_and_out_of_the_shop_windows(chargebee, network):
    network.add(responses.POST, f"{SITE}/items", json={"item": {"id": "m3ter-calls"}})
    chargebee.create_charge_item("m3ter-calls", name="API calls", item_family_id="saas")
    assert sent(network) == (
        "POST",
        "/api/v2/items",
        {
            "id": "m3ter-calls", "name": "m3ter-calls", "external_name": "API calls", "type": "charge",
            "item_family_id": "saas", "enabled_for_checkout": "false", "enabled_in_portal": "false",
        },
    )  # fmt: skip


def test_a_flat_price_of_nothing_is_made_under_our_id(chargebee, network):
    network.add(responses.POST, f"{SITE}/item_prices", json={"item_price": PRICE})
    chargebee.create_flat_price("m3ter-calls-USD", item_id="m3ter-calls", name="API calls", currency="USD")
    assert sent(network) == (
        "POST",
        "/api/v2/item_prices",
        {
            "id": "m3ter-calls-USD", "name": "m3ter-calls-USD", "external_name": "API calls", "item_id": "m3ter-calls",
            "currency_code": "USD", "pricing_model": "flat_fee", "price": "0",
        },
    )  # fmt: skip


@pytest.mark.parametrize("path", ["items", "item_prices"])
def test_an_id_that_is_taken_is_told_from_what_may_have_happened(chargebee, network, path: str):
    def create() -> None:
        if path == "items":
            chargebee.create_charge_item("x", name="X", item_family_id="saas")
        else:
            chargebee.create_flat_price("x-USD", item_id="x", name="X", currency="USD")

    network.add(
        responses.POST, f"{SITE}/{path}", status=400, json={"api_error_code": "duplicate_entry", "message": "m"}
    )
    with pytest.raises(Rejected) as caught:
        create()
    assert caught.value.code == "duplicate_entry"
    network.replace(responses.POST, f"{SITE}/{path}", status=500, json={})
    with pytest.raises(Uncertain):
        create()


@pytest.mark.parametrize(
    ("method", "path"), [("aggregations", "aggregations"), ("compound_aggregations", "compoundaggregations")]
)
def test_aggregations_are_listed_page_by_page(m3ter, network, method: str, path: str):
    pages: list[dict[str, Any]] = [
        {"data": [{"id": "a-1", "code": "calls", "name": "Calls"}], "nextToken": "t2"},
        {"data": [{"id": "a-2", "name": "Seats"}, {"id": "a-3"}]},
    ]
    for page in pages:
        network.add(responses.GET, f"{M3TER}/organizations/org-1/{path}", body=json.dumps(page))
    assert getattr(m3ter, method)() == [
        Aggregation("a-1", "calls", "Calls"),
        Aggregation("a-2", None, "Seats"),
        Aggregation("a-3", None, ""),
    ]
    assert sent(network)[2] == {"pageSize": "100", "nextToken": "t2"}
