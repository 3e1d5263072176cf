"""Two connections in one installation: nothing of one is seen or touched by the other."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connector.bills import approvals
from connector.mappings import set_up
from connector.mappings.pairs import Pair
from connector.models import Account, AccountPlan, InboxEvent, Mapping, Sync
from connector.sandbox import Sandbox, serve
from connector.services import Services
from tests.flows.conftest import CALLS_PRICE, LOGIN, PRO, START, World, catalogue, edge


@pytest.fixture
def other() -> Iterator[Sandbox]:
    """A second Chargebee site with a second m3ter organisation."""
    box = Sandbox(
        seed=2,
        now=START,
        site="other-test",
        chargebee_api_key="other",
        org_id="0" * 36,
        m3ter_api_key="o",
        m3ter_api_secret="o",
    )
    with serve(box) as server:
        box.url = server.url
        yield box


@pytest.fixture
def two(world: World, other: Sandbox, make_services: Callable[..., Services], tmp_path: Path) -> World:
    """The world of the tests with the second connection beside the first."""
    file = tmp_path / "connector.toml"
    file.write_text(
        f"""
        [connections.other]
        chargebee_site = "other-test"
        chargebee_api_key = "other"
        chargebee_api_url = "{other.url}/chargebee/api/v2"
        chargebee_webhook_username = "other"
        chargebee_webhook_password = "other"
        m3ter_org_id = "{other.m3ter.org_id}"
        m3ter_api_key = "o"
        m3ter_api_secret = "o"
        m3ter_api_url = "{other.url}/m3ter"
        """
    )
    services = make_services(CONNECTOR_CONFIG=str(file))
    ids = catalogue(other)
    for entity, key, price in (("Plan", "pro", PRO), ("Aggregation", "calls", CALLS_PRICE)):
        set_up.add(services, "other", [Pair(entity, ids[key], "ItemPrice", price)], made_by="test")
    other.chargebee.add_webhook_endpoint("http://connector.test/webhooks/other/chargebee", "other", "other")
    return World(world.box, services, edge(services), world.ids)


def test_one_login_does_not_open_the_other_connection(two: World) -> None:
    body = (Path(__file__).parent.parent / "payloads" / "chargebee" / "customer_created.json").read_bytes()
    assert two.post("/webhooks/other/chargebee", body, auth=LOGIN) == 401
    assert two.post("/webhooks/chargebee", body, auth=("other", "other")) == 401
    assert two.post("/webhooks/other/chargebee", body, auth=("other", "other")) == 204


def test_same_ids_on_two_sites_are_two_customers_and_two_bills(two: World, other: Sandbox) -> None:
    two.sign_up()
    other.chargebee.create_customer("acme", company="Other Ltd", email="o@example.test", preferred_currency_code="USD")
    other.chargebee.create_subscription("acme", [PRO], id="sub-1")
    two.deliver()
    other.deliver(two.send)
    two.work()
    assert two.m3ter.account_by_code("acme")["name"] == "acme Ltd"
    assert other.m3ter.account_by_code("acme")["name"] == "Other Ltd"
    assert len(two.m3ter.account_plans) == len(other.m3ter.account_plans) == 1
    first = two.renew()
    other.advance(to=datetime(2026, 2, 1, 0, 10, tzinfo=UTC))
    other.deliver(two.send)
    two.work()
    two.bill({"subtotal": 5})
    two.poll()
    [invoice] = other.chargebee.pending_invoices("sub-1")
    assert two.charges(first) == [(CALLS_PRICE, 500)]
    assert [line["entity_id"] for line in invoice["line_items"]] == [PRO]
    assert approvals.poll(two.services, "other") == 0
    with two.services.reading() as db:
        for table in (InboxEvent, Sync, Mapping, Account, AccountPlan):
            assert {row.connection for row in db.query(table)} == {"default", "other"}, table.__name__


def test_mapping_of_one_connection_does_not_wake_the_other(two: World, other: Sandbox) -> None:
    two.sign_up(items=("beta-USD-monthly",))
    two.settle()
    assert two.sync("subscription", "sub-1").status == "parked"
    pair = Pair("NotMetered", "*", "ItemPrice", "beta-USD-monthly")
    assert set_up.add(two.services, "other", [pair], made_by="test") == []
    assert two.sync("subscription", "sub-1").status == "parked"
