"""Chargebee's agenda: what is due next is known without looking at everything, and never wrong."""

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.sandbox import Sandbox
from connector.sandbox.chargebee import Refused

FEB = datetime(2026, 2, 1, tzinfo=UTC)
MAR = datetime(2026, 3, 1, tzinfo=UTC)
DAY = 86_400

# What can happen: to a subscription and a customer, at a time; `some` is a small number.
ACTS: list[Callable[[Sandbox, Any, str, str, int, int], Any]] = [
    lambda box, site, sub, customer, now, some: site.create_customer(card_status="valid"),
    lambda box, site, sub, customer, now, some: site.create_subscription(
        customer, ["pro-USD"], start_date=now + (some - 5) * DAY, trial_end=now + 8 * DAY if some % 2 else None
    ),
    lambda box, site, sub, customer, now, some: site.cancel_subscription(sub, end_of_term=some > 5),
    lambda box, site, sub, customer, now, some: site.reactivate_subscription(sub),
    lambda box, site, sub, customer, now, some: site.pause_subscription(sub, now + some * DAY, now + 2 * some * DAY),
    lambda box, site, sub, customer, now, some: site.update_subscription(sub, ["max-USD"], end_of_term=some > 5),
    lambda box, site, sub, customer, now, some: site.create_ramp(
        sub, now + some * DAY, items_to_add=[{"item_price_id": "seats-USD"}]
    ),
    lambda box, site, sub, customer, now, some: site.transfer_customer(customer, "eu"),
    lambda box, site, sub, customer, now, some: site.move_subscription(sub, customer),
    lambda box, site, sub, customer, now, some: site.delete_customer(customer),
    lambda box, site, sub, customer, now, some: site.charge_future_renewals(
        sub, specific_dates_schedule=[{"date": now + some * DAY}]
    ),
    lambda box, site, sub, customer, now, some: site.update_customer(customer, auto_close_invoices=some > 5),
    lambda box, site, sub, customer, now, some: site.close_invoice(next(reversed(site.invoices), "-")),
    lambda box, site, sub, customer, now, some: setattr(site.settings, "auto_close_days", some or None),
    lambda box, site, sub, customer, now, some: setattr(site.settings, "reminder_days", some or None),
    lambda box, site, sub, customer, now, some: setattr(site.settings, "cards_decline", some > 5),
    lambda box, site, sub, customer, now, some: setattr(site.settings, "move_seconds", some),
    lambda box, site, sub, customer, now, some: site.settings.dunning_days.append(some),
    lambda box, site, sub, customer, now, some: box.snapshots.setdefault("one", box.snapshot()),
    lambda box, site, sub, customer, now, some: box.restore(box.snapshots.get("one", box.snapshot())),
    lambda box, site, sub, customer, now, some: site.start_afresh("delorean") if some > 8 else None,
    lambda box, site, sub, customer, now, some: site.travel_forward("delorean", now + some * DAY),
    lambda box, site, sub, customer, now, some: box.advance(timedelta(days=some)),
    lambda box, site, sub, customer, now, some: box.advance(timedelta(days=4 * some)),
]


def test_the_next_moment_follows_what_is_written(shop: Sandbox):
    site = shop.chargebee
    assert site.expected_due() == FEB
    soon = int((FEB - timedelta(days=9)).timestamp())
    site.create_subscription("acme", ["pro-USD"], id="s2", start_date=soon)
    assert site.expected_due() == FEB - timedelta(days=9)
    site.cancel_subscription("s2")
    assert site.expected_due() == FEB
    site.delete_subscription("sub")
    assert site.expected_due() is None


def test_a_snapshot_brings_the_next_moment_back(shop: Sandbox):
    site, snapshot = shop.chargebee, shop.snapshot()
    shop.advance(to=FEB)
    assert site.expected_due() == MAR
    shop.restore(snapshot)
    assert site.expected_due() == FEB
    site.delete_subscription("sub")
    shop.restore(snapshot)
    assert site.expected_due() == FEB


@pytest.mark.parametrize("who", ["site", "customer", "subscription"])
def test_whether_an_invoice_closes_itself_is_looked_up_again(who: str, draft_id: str, shop: Sandbox):
    site = shop.chargebee
    assert site.expected_due() == MAR
    site.settings.auto_close_days = 3
    assert site.expected_due() == FEB + timedelta(days=3)
    if who == "site":
        site.settings.auto_close_days = None
    if who == "customer":
        site.update_customer("acme", auto_close_invoices=False)
    if who == "subscription":
        site.update_subscription("sub", auto_close_invoices=False)
    assert site.expected_due() == MAR


def test_a_closed_draft_is_waited_for_no_more(draft_id: str, shop: Sandbox):
    shop.chargebee.settings.auto_close_days = 3
    assert shop.chargebee.expected_due() == FEB + timedelta(days=3)
    shop.chargebee.close_invoice(draft_id)
    assert shop.chargebee.expected_due() == MAR


def test_what_is_due_happens_before_the_next_answer(shop: Sandbox, chargebee_http: Any):
    assert chargebee_http.get("subscriptions/sub").json["subscription"]["status"] == "active"
    shop.chargebee.cancel_subscription("sub", end_of_term=True)
    shop.clock.set(FEB)
    assert chargebee_http.get("subscriptions/sub").json["subscription"]["status"] == "cancelled"


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 9)), min_size=5, max_size=40))
def test_the_next_moment_is_right_whatever_happens(acts: list[tuple[Any, int]]):
    box = Sandbox()
    site = box.chargebee
    site.create_item("pro")
    for price_id in ("pro-USD", "max-USD"):
        site.create_item_price(price_id, "pro", 100)
    site.create_item("seats", "addon")
    site.create_item_price("seats-USD", "seats", 5)
    site.create_customer("acme", card_status="valid")
    site.create_subscription("acme", ["pro-USD"], id="sub")
    for act, some in acts:
        sub, customer = (
            list(table)[some % len(table)] for table in (site.subscriptions or ["-"], site.customers or ["-"])
        )
        with contextlib.suppress(Refused):
            act(box, site, sub, customer, int(box.clock.now().timestamp()), some)
        assert site.expected_due() == site.next_due()
