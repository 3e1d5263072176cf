"""The sandbox as a whole: its clock, its seed, its snapshots, and many callers at once."""

import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import requests

from connector.sandbox import Sandbox, Server, serve, wire

JAN = datetime(2026, 1, 1, tzinfo=UTC)


def story(box: Sandbox) -> str:
    """A little of everything, as one text."""
    box.chargebee.create_item("pro")
    box.chargebee.create_item_price("pro-USD", "pro", 100)
    box.chargebee.create_customer()
    [customer_id] = box.chargebee.customers
    box.chargebee.create_subscription(customer_id, ["pro-USD"])
    box.m3ter.create_account("acme")
    box.advance(timedelta(days=90))
    return wire.dump([box.chargebee.events, box.chargebee.invoices, box.m3ter.accounts])


def test_the_same_seed_tells_the_same_story():
    assert story(Sandbox(seed=7, now=JAN)) == story(Sandbox(seed=7, now=JAN)) != story(Sandbox(seed=8, now=JAN))


def test_everything_due_happens_in_order_at_its_own_moment(shop: Sandbox):
    shop.chargebee.settings.auto_close_days = 2
    shop.chargebee.create_subscription(
        "acme", ["pro-USD"], id="s2", start_date=int(datetime(2026, 1, 20, tzinfo=UTC).timestamp())
    )
    before = len(shop.chargebee.events)
    shop.advance(to=datetime(2026, 2, 21, tzinfo=UTC))
    happened = [
        (event["event_type"], datetime.fromtimestamp(event["occurred_at"], UTC).strftime("%m-%d"))
        for event in list(shop.chargebee.events.values())[before:]
    ]
    assert happened == [
        ("subscription_started", "01-20"),
        ("invoice_generated", "01-20"),
        ("subscription_renewed", "02-01"),
        ("pending_invoice_created", "02-01"),
        ("invoice_generated", "02-03"),
        ("subscription_renewed", "02-20"),
        ("pending_invoice_created", "02-20"),
    ]
    assert shop.clock.now() == datetime(2026, 2, 21, tzinfo=UTC)


def test_time_only_moves_forward(box: Sandbox):
    with pytest.raises(ValueError, match="forward"):
        box.advance(to=datetime(2025, 12, 31, tzinfo=UTC))
    with pytest.raises(ValueError, match="forward"):
        box.advance(timedelta(seconds=-1))
    with pytest.raises(ValueError, match="zone"):
        Sandbox(now=datetime(2026, 1, 1))  # noqa: DTZ001 - the lack of a zone is the point


def test_a_ticking_clock_runs_and_what_comes_due_happens_before_the_next_answer():
    box = Sandbox(now=JAN, ticking=True)
    box.chargebee.create_item("day")
    box.chargebee.create_item_price("day-USD", "day", 100, period_unit="day")
    box.chargebee.create_customer("acme")
    box.chargebee.create_subscription("acme", ["day-USD"], id="sub")
    box.advance(timedelta(days=1) - timedelta(milliseconds=100))
    assert box.chargebee.pending_invoices("sub") == []
    threading.Event().wait(0.15)
    assert box.clock.now() > JAN + timedelta(days=1)
    query = {"status[is]": "pending"}
    answer = box.app.test_client().get(
        "/chargebee/api/v2/invoices", query_string=query, auth=(box.chargebee.api_key, "")
    )
    assert len(answer.json["list"]) == 1


def test_a_snapshot_brings_everything_back_as_often_as_wanted(
    shop: Sandbox, metered: dict[str, str], chargebee_http: Any
):
    shop.faults.order("chargebee", "close_invoice", "cut")
    chargebee_http.post("customers/acme", {"company": "Before"}, key="k")
    customers, now = shop.chargebee.customers, shop.clock.now()
    snapshot = shop.snapshot()
    for _ in range(2):
        chargebee_http.post("customers/acme", {"company": "After"})
        shop.m3ter.create_account("late")
        shop.m3ter.settings.bill_job_seconds = 9
        shop.faults.clear()
        shop.advance(timedelta(days=40))
        after = [shop.chargebee.create_customer()["id"], shop.m3ter.create_product("p")["id"]]
        shop.restore(snapshot)
        assert shop.chargebee.customers is customers
        assert (customers["acme"]["company"], shop.clock.now()) == ("Before", now)
        assert (list(shop.m3ter.accounts), shop.m3ter.settings.bill_job_seconds) == ([metered["account"]], 0)
        assert (len(shop.faults.orders), len(shop.calls)) == (1, 1)
        shop.advance(timedelta(days=40))
        assert shop.chargebee.create_customer()["id"] != after[0]
        shop.restore(snapshot)
    replay = chargebee_http.post("customers/acme", {"company": "Before"}, key="k")
    assert replay.headers["chargebee-idempotency-replayed"] == "true"


def test_a_snapshot_of_a_ticking_clock_holds_its_time():
    box = Sandbox(now=JAN, ticking=True)
    snapshot = box.snapshot()
    threading.Event().wait(0.1)
    box.restore(snapshot)
    assert box.clock.now() - JAN < timedelta(seconds=0.09)


def test_many_callers_at_once_lose_nothing(draft_id: str, shop: Sandbox, server: Server):
    url = f"{server.url}/chargebee/api/v2/invoices/{draft_id}/add_charge_item"

    def add(price: int) -> None:
        form = {"item_price[item_price_id]": "calls-USD", "item_price[unit_price]": price}
        with requests.post(url, form, auth=(shop.chargebee.api_key, ""), timeout=5) as answer:
            assert answer.status_code == 200

    threads = [threading.Thread(target=add, args=(2**number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shop.chargebee.invoices[draft_id]["total"] == 10_000 + 2**10 - 1
    versions = [event["content"]["invoice"]["resource_version"] for event in list(shop.chargebee.events.values())[-10:]]
    assert len(set(versions)) == 10


def test_a_server_can_be_started_where_another_was_stopped(box: Sandbox):
    first = serve(box)
    first.stop()
    with serve(box, port=first.port) as second:
        assert requests.get(f"{second.url}/_control/state", timeout=5).json()["now"] == "2026-01-01T00:00:00+00:00"


def test_the_credentials_can_be_ones_own():
    box = Sandbox(
        site="other-test",
        chargebee_api_key="key",
        org_id="5a3dbc5e-1111-4000-8000-00000000ac3e",
        m3ter_api_key="a",
        m3ter_api_secret="b",
    )
    client = box.app.test_client()
    facts = client.get("/chargebee/api/v2/configurations", auth=("key", "")).json["configurations"][0]
    token = client.post("/m3ter/oauth/token", json={"grant_type": "client_credentials"}, auth=("a", "b")).json[
        "access_token"
    ]
    url = f"/m3ter/organizations/{box.m3ter.org_id}/accounts"
    assert (facts["domain"], client.get(url, headers={"Authorization": f"Bearer {token}"}).json) == (
        "other-test",
        {"data": []},
    )


@pytest.mark.parametrize("text", ["0.1", "12345678901234567890.123456789012345678901", "-0.005", "100", "0.0000001"])
def test_numbers_survive_json_unchanged(text: str):
    assert wire.dump(wire.load(text)) == text
    assert wire.dump({"a": [Decimal(text), None, True, "é"]}) == f'{{"a":[{text},null,true,"\\u00e9"]}}'


@pytest.mark.parametrize("text", ["NaN", "Infinity", "{", ""])
def test_what_is_no_json_is_refused(text: str):
    with pytest.raises(ValueError, match=r"."):
        wire.load(text)
