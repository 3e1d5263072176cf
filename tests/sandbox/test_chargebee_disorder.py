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
