"""What Chargebee's webhooks and limits do to those who trust their order or their number."""

import json
from datetime import timedelta
from typing import Any

import chargebee
import pytest
from chargebee import Chargebee

from connector.sandbox import Sandbox


class Receiver:
    """Takes webhooks and notes their events."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def __call__(self, url: str, headers: dict[str, str], body: bytes) -> int:
        self.events.append(json.loads(body))
        return 200


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


def set_chargebee(box: Sandbox, **settings: int) -> None:
    answer = box.app.test_client().post("/_control/settings", json={"chargebee": settings})
    assert answer.status_code == 200


def test_every_webhook_can_come_twice(box: Sandbox, receiver: Receiver):
    box.chargebee.add_webhook_endpoint("http://x.test/hook")
    set_chargebee(box, webhook_copies=2)
    box.chargebee.create_customer("acme")
    deliveries = box.deliver(receiver)
    assert [delivery.attempt for delivery in deliveries] == [1, 1]
    assert receiver.events[0]["id"] == receiver.events[1]["id"]
    assert box.webhooks.waiting == []


def test_webhooks_overtake_each_other(box: Sandbox, receiver: Receiver):
    box.chargebee.add_webhook_endpoint("http://x.test/hook")
    set_chargebee(box, webhook_latency_seconds=60)
    for number in range(20):
        box.chargebee.create_customer(f"c{number}")
    box.advance(timedelta(seconds=60), send=receiver)
    came = [event["id"] for event in receiver.events]
    assert came != list(box.chargebee.events)
    assert sorted(came) == sorted(box.chargebee.events)


def test_disorder_comes_out_the_same_for_the_same_seed():
    orders = []
    for _ in range(2):
        box, receiver = Sandbox(seed=7), Receiver()
        box.chargebee.add_webhook_endpoint("http://x.test/hook")
        box.chargebee.settings.webhook_latency_seconds = 60
        for number in range(5):
            box.chargebee.create_customer(f"c{number}")
        box.advance(timedelta(seconds=60), send=receiver)
        orders.append([event["id"] for event in receiver.events])
    assert orders[0] == orders[1]


def test_ordering_by_occurred_at_is_wrong_and_by_resource_version_is_right(box: Sandbox):
    box.chargebee.create_customer("acme")
    for number in range(3):
        box.chargebee.update_customer("acme", company=str(number))
    events = list(box.chargebee.events.values())
    assert len({event["occurred_at"] for event in events}) == 1
    versions = [event["content"]["customer"]["resource_version"] for event in events]
    assert versions == sorted(set(versions))


def test_webhooks_are_absent_on_the_first_delivery(box: Sandbox, receiver: Receiver):
    box.chargebee.add_webhook_endpoint("http://x.test/hook")
    box.chargebee.create_customer("acme")
    refusing = iter([503, 200])

    def receive(url: str, headers: dict[str, str], body: bytes) -> int:
        receiver(url, headers, body)
        return next(refusing)

    box.deliver(receive)
    box.advance(timedelta(minutes=2), send=receive)
    first, second = receiver.events
    assert "webhooks" not in first
    assert [row["webhook_status"] for row in second["webhooks"]] == ["re_scheduled"]


def test_a_lock_timeout_can_be_ordered_through_the_control_routes(box: Sandbox, chargebee_sdk: Chargebee):
    order = {
        "provider": "chargebee",
        "operation": "create_customer",
        "kind": "status",
        "status": 429,
        "api_error_code": "lock_timeout",
    }
    assert box.app.test_client().post("/_control/faults", json=order).status_code == 200
    with pytest.raises(chargebee.OperationFailedError) as caught:
        chargebee_sdk.Customer.create({"id": "acme"})
    assert (caught.value.http_status_code, caught.value.api_error_code) == (429, "lock_timeout")
    assert chargebee_sdk.Customer.create({"id": "acme"}).customer.id == "acme"


def test_a_non_json_error_page_is_a_bare_exception(box: Sandbox, chargebee_sdk: Chargebee):
    box.faults.order("chargebee", "list_customers", "html", status=503)
    with pytest.raises(Exception, match="503") as caught:
        chargebee_sdk.Customer.list()
    assert not isinstance(caught.value, chargebee.APIError)


def test_each_added_charge_tells_everybody_unless_it_is_asked_not_to(
    draft_id: str, shop: Sandbox, receiver: Receiver, chargebee_sdk: Chargebee
):
    shop.chargebee.add_webhook_endpoint("http://x.test/hook")
    charge = {"item_price": {"item_price_id": "calls-USD", "unit_price": 1}}
    chargebee_sdk.Invoice.add_charge_item(draft_id, charge)
    chargebee_sdk.Invoice.add_charge_item(draft_id, charge, {"chargebee-event-webhook": "all-disabled"})
    shop.deliver(receiver)
    [event] = receiver.events
    assert (event["event_type"], event["source"], event["user"]) == (
        "pending_invoice_updated",
        "api",
        "sandbox full access key",
    )
    assert len(shop.chargebee.invoices[draft_id]["line_items"]) == 3
