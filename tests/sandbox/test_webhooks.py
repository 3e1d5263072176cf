"""Webhooks as the sandbox sends them: Chargebee's login and ladder of retries, m3ter's signature."""

import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from connector.sandbox import Sandbox, serve

LADDER = [
    timedelta(minutes=2),
    timedelta(minutes=6),
    timedelta(minutes=30),
    timedelta(hours=1),
    timedelta(hours=5),
    timedelta(days=1),
    timedelta(days=2),
]


class Receiver:
    """Takes webhooks, or answers with the status it was told to."""

    def __init__(self) -> None:
        self.status = 200
        self.received: list[tuple[str, dict[str, str], bytes]] = []

    def __call__(self, url: str, headers: dict[str, str], body: bytes) -> int:
        self.received.append((url, headers, body))
        return self.status

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, body in self.received]


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


def test_an_event_is_sent_once_with_the_endpoints_login(box: Sandbox, receiver: Receiver):
    box.chargebee.add_webhook_endpoint("http://x.test/hook", "höök", "secret")
    box.chargebee.create_customer("acme")
    [delivery] = box.deliver(receiver)
    assert (delivery.provider, delivery.event_type, delivery.attempt, delivery.status) == (
        "chargebee",
        "customer_created",
        1,
        200,
    )
    [(url, headers, _)] = receiver.received
    assert url == "http://x.test/hook"
    assert headers["Authorization"] == "Basic aMO2w7ZrOnNlY3JldA=="
    assert headers["Content-Type"].startswith("application/json")
    [event] = receiver.events
    assert (event["id"], "webhooks" in event, event["content"]["customer"]["id"]) == (delivery.event_id, False, "acme")
    assert box.deliver(receiver) == []
    assert box.chargebee.events[delivery.event_id]["webhook_status"] == "succeeded"


@pytest.mark.parametrize("status", [500, 404, 301, 199])
def test_a_failed_webhook_comes_again_on_the_ladder_and_then_no_more(status: int, box: Sandbox, receiver: Receiver):
    box.chargebee.add_webhook_endpoint("http://x.test/hook")
    box.chargebee.create_customer("acme")
    receiver.status = status
    waits, last = [], box.clock.now()
    deliveries = box.deliver(receiver)
    deliveries += box.advance(timedelta(days=30), send=receiver)
    for delivery in deliveries[1:]:
        waits.append(delivery.at - last)
        last = delivery.at
    assert (waits, [delivery.attempt for delivery in deliveries]) == (LADDER, [1, 2, 3, 4, 5, 6, 7, 8])
    first, second = receiver.events[:2]
    assert "webhooks" not in first
    assert [webhook["webhook_status"] for webhook in second["webhooks"]] == ["re_scheduled"]
    [event] = box.chargebee.events.values()
    assert event["webhook_status"] == "failed"


def test_a_receiver_that_cannot_be_reached_counts_as_failed(box: Sandbox, receiver: Receiver):
    def nobody_there(url: str, headers: dict[str, str], body: bytes) -> int:
        raise ConnectionRefusedError(url)

    box.chargebee.add_webhook_endpoint("http://x.test/hook")
    box.chargebee.create_customer("acme")
    [delivery] = box.deliver(nobody_there)
    assert (delivery.status, delivery.succeeded) == (None, False)
    box.advance(timedelta(minutes=2))
    assert [delivery.attempt for delivery in box.deliver(receiver)] == [2]


def test_a_receiver_that_breaks_down_loses_no_webhook(box: Sandbox, receiver: Receiver):
    def broken(url: str, headers: dict[str, str], body: bytes) -> int:
        raise AssertionError("a mistake in the test's receiver")

    box.chargebee.add_webhook_endpoint("http://x.test/hook")
    box.chargebee.create_customer("acme")
    with pytest.raises(AssertionError):
        box.deliver(broken)
    assert len(box.deliver(receiver)) == 1


def test_each_endpoint_gets_only_the_events_it_wants(box: Sandbox, receiver: Receiver):
    chargebee = box.chargebee
    chargebee.add_webhook_endpoint("http://x.test/all")
    chargebee.add_webhook_endpoint("http://x.test/changes", enabled_events=["customer_changed"])
    chargebee.add_webhook_endpoint("http://x.test/none", disabled=True)
    chargebee.create_customer("acme")
    chargebee.update_customer("acme", company="Acme")
    sent = [(delivery.url.rsplit("/", 1)[1], delivery.event_type) for delivery in box.deliver(receiver)]
    assert sent == [("all", "customer_created"), ("all", "customer_changed"), ("changes", "customer_changed")]


def test_a_call_can_ask_for_no_webhooks(box: Sandbox, receiver: Receiver, chargebee_http: Any):
    box.chargebee.add_webhook_endpoint("http://x.test/hook")
    chargebee_http.post("customers", {"id": "acme"}, headers={"chargebee-event-webhook": "all-disabled"})
    assert box.deliver(receiver) == []
    [event] = box.chargebee.events.values()
    assert event["webhook_status"] == "disabled"


def test_what_is_on_its_way_to_an_endpoint_ends_with_it(box: Sandbox, receiver: Receiver):
    endpoint = box.chargebee.add_webhook_endpoint("http://x.test/hook")
    box.chargebee.create_customer("acme")
    box.chargebee.delete_webhook_endpoint(endpoint["id"])
    assert (box.deliver(receiver), box.webhooks.waiting) == ([], [])


def test_an_event_can_be_sent_again_by_hand(box: Sandbox, receiver: Receiver):
    box.chargebee.add_webhook_endpoint("http://x.test/hook")
    box.chargebee.create_customer("acme")
    [first] = box.deliver(receiver)
    box.chargebee.resend_event(first.event_id)
    [second] = box.deliver(receiver)
    assert (second.event_id, second.attempt) == (first.event_id, 1)


def test_webhooks_can_come_in_any_order(box: Sandbox, receiver: Receiver):
    box.chargebee.add_webhook_endpoint("http://x.test/hook")
    for number in range(20):
        box.chargebee.create_customer(f"c{number}")
    came = [delivery.event_id for delivery in box.deliver(receiver, shuffled=True)]
    assert came != list(box.chargebee.events)
    assert sorted(came) == sorted(box.chargebee.events)


def test_an_approval_is_told_with_a_signature(box: Sandbox, receiver: Receiver, metered: dict[str, str]):
    box.m3ter.add_webhook_destination("http://x.test/m3ter", secret="s3cret")
    [bill_id] = box.m3ter.run_bill_job([metered["account"]], "2026-02-01")["billIds"]
    assert box.deliver(receiver) == []
    box.m3ter.approve(bill_id)
    [delivery] = box.deliver(receiver)
    assert (delivery.provider, delivery.event_type) == ("m3ter", "billing.bill.updated")
    [(url, headers, body)] = receiver.received
    assert url == "http://x.test/m3ter"
    assert headers["x-m3ter-signature"] == hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    [event] = receiver.events
    data = event["m3terEvent"]["eventData"]
    assert (event["eventName"], data["newDto"]["id"], data["newDto"]["status"]) == (
        "billing.bill.updated",
        bill_id,
        "APPROVED",
    )
    assert data["oldDto"]["status"] == "PENDING"
    box.m3ter.set_bill_status(bill_id, "PENDING")
    box.m3ter.approve(bill_id)
    assert len(box.deliver(receiver)) == 1


def test_a_change_to_an_approved_bill_is_no_other_approval(box: Sandbox, receiver: Receiver, metered: dict[str, str]):
    box.m3ter.add_webhook_destination("http://x.test/m3ter")
    [bill_id] = box.m3ter.run_bill_job([metered["account"]], "2026-02-01")["billIds"]
    box.m3ter.approve(bill_id)
    box.deliver(receiver)
    box.m3ter.approve(bill_id)
    box.m3ter.add_line(bill_id, subtotal=1)
    box.m3ter.lock(bill_id)
    assert box.deliver(receiver) == []


def test_the_signatures_header_can_be_named(box: Sandbox, receiver: Receiver, metered: dict[str, str]):
    box.m3ter.settings.signature_header = "x-other"
    box.m3ter.add_webhook_destination("http://x.test/m3ter")
    [bill_id] = box.m3ter.run_bill_job([metered["account"]], "2026-02-01")["billIds"]
    box.m3ter.approve(bill_id)
    box.deliver(receiver)
    assert "x-other" in receiver.received[0][1]


@pytest.fixture
def listen() -> Iterator[Callable[[int], tuple[str, list[bytes]]]]:
    """Real receivers on ports of their own: their address, and what they get."""
    servers = []

    def listen_answering(status: int) -> tuple[str, list[bytes]]:
        received: list[bytes] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                received.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Stays quiet."""

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/hook", received

    yield listen_answering
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def test_webhooks_really_go_over_http_and_follow_no_redirect(box: Sandbox, listen: Any):
    taking, taken = listen(204)
    moved, _ = listen(302)
    for url in (taking, moved):
        box.chargebee.add_webhook_endpoint(url)
    box.chargebee.create_customer("acme")
    assert [(delivery.status, delivery.succeeded) for delivery in box.deliver()] == [(204, True), (302, False)]
    assert json.loads(taken[0])["event_type"] == "customer_created"


def test_a_served_sandbox_can_send_them_by_itself(box: Sandbox, listen: Any):
    url, received = listen(204)
    box.chargebee.add_webhook_endpoint(url)
    with serve(box, deliver_webhooks=True):
        box.chargebee.create_customer("acme")
        for _ in range(100):
            if received:
                break
            threading.Event().wait(0.05)
    assert len(received) == 1


def test_the_ladder_is_counted_from_each_try(box: Sandbox, receiver: Receiver):
    box.chargebee.add_webhook_endpoint("http://x.test/hook")
    box.chargebee.create_customer("acme")
    receiver.status = 500
    box.deliver(receiver)
    box.advance(to=datetime(2026, 1, 1, 1, tzinfo=UTC))  # an hour late
    box.deliver(receiver)
    assert box.webhooks.next_due() == datetime(2026, 1, 1, 1, 6, tzinfo=UTC)
