"""Chargebee's subscriptions through time: terms, changes, cancellations, and the events of each."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connector.sandbox import Sandbox
from connector.sandbox.chargebee.subscriptions import term_end

DAY = 86_400
JAN_1, FEB_1, MAR_1 = 1_767_225_600, 1_769_904_000, 1_772_323_200


def at(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp())


def events(box: Sandbox, since: int = 0) -> list[str]:
    found = [event["event_type"] for event in box.chargebee.events.values()][since:]
    return [event for event in found if event.startswith("subscription_")]


def test_the_first_invoice_is_final_and_the_later_ones_are_pending(shop: Sandbox):
    shop.advance(to=datetime(2026, 3, 1, tzinfo=UTC))
    rows = [(row["status"], row["first_invoice"], row["date"]) for row in shop.chargebee.invoices.values()]
    assert rows == [("payment_due", True, JAN_1), ("pending", False, FEB_1), ("pending", False, MAR_1)]


def test_without_create_pending_invoices_every_invoice_is_final(shop: Sandbox):
    shop.chargebee.create_subscription("acme", ["pro-USD"], id="s2", create_pending_invoices=False)
    shop.advance(timedelta(days=31))
    assert [row["status"] for row in shop.chargebee.invoices.values() if row["subscription_id"] == "s2"] == [
        "payment_due",
        "payment_due",
    ]


def test_the_first_invoice_can_be_asked_to_be_pending(shop: Sandbox, chargebee_http: Any):
    form = {
        "subscription_items[item_price_id][0]": "pro-USD",
        "create_pending_invoices": "true",
        "first_invoice_pending": "true",
    }
    answer = chargebee_http.post("customers/acme/subscription_for_items", form)
    assert answer.json["invoice"]["status"] == "pending"
    del form["create_pending_invoices"]
    assert chargebee_http.post("customers/acme/subscription_for_items", form).status_code == 400


def test_a_metered_item_has_no_line_and_makes_invoices_pending(shop: Sandbox):
    chargebee = shop.chargebee
    chargebee.create_item("usage", "addon", metered=True)
    chargebee.create_item_price("usage-USD", "usage", 1, pricing_model="per_unit")
    made = chargebee.create_subscription("acme", ["pro-USD", "usage-USD"], id="s2", create_pending_invoices=False)
    assert made["create_pending_invoices"] is True
    shop.advance(timedelta(days=31))
    [draft] = chargebee.pending_invoices("s2")
    assert [line["entity_id"] for line in draft["line_items"]] == ["pro-USD"]


def test_a_cancelled_subscription_can_leave_a_last_pending_invoice(shop: Sandbox):
    shop.chargebee.settings.pending_invoice_on_cancel = True
    shop.chargebee.cancel_subscription("sub")
    assert [draft["line_items"] for draft in shop.chargebee.pending_invoices("sub")] == [[]]


@pytest.mark.parametrize(
    ("start", "count", "unit", "billing_day", "end"),
    [
        pytest.param(at(2026, 1, 31), 1, "month", 31, at(2026, 2, 28), id="a short month"),
        pytest.param(at(2026, 2, 28), 1, "month", 31, at(2026, 3, 31), id="back to the billing day"),
        pytest.param(at(2026, 11, 15), 3, "month", 15, at(2027, 2, 15), id="over the new year"),
        pytest.param(at(2024, 2, 29), 1, "year", 29, at(2025, 2, 28), id="a leap day"),
        pytest.param(at(2026, 1, 1), 2, "week", 1, at(2026, 1, 15), id="weeks"),
        pytest.param(at(2026, 1, 1), 10, "day", 1, at(2026, 1, 11), id="days"),
    ],
)
def test_a_term_ends(start: int, count: int, unit: str, billing_day: int, end: int):
    assert term_end(start, count, unit, billing_day) == end


def test_a_change_now_keeps_the_term_and_bills_nothing(shop: Sandbox):
    shop.advance(timedelta(days=10))
    before = len(shop.chargebee.events)
    changed = shop.chargebee.update_subscription("sub", ["max-USD"])
    assert [item["item_price_id"] for item in changed["subscription_items"]] == ["max-USD"]
    assert changed["current_term_end"] == FEB_1
    assert (events(shop, before), len(shop.chargebee.invoices)) == (["subscription_changed"], 1)


def test_a_change_for_later_waits_for_the_end_of_the_term(shop: Sandbox):
    before = len(shop.chargebee.events)
    shop.chargebee.update_subscription("sub", ["max-USD"], end_of_term=True)
    assert shop.chargebee.subscriptions["sub"]["subscription_items"][0]["item_price_id"] == "pro-USD"
    shop.advance(timedelta(days=31))
    assert shop.chargebee.subscriptions["sub"]["subscription_items"][0]["item_price_id"] == "max-USD"
    assert events(shop, before) == ["subscription_changes_scheduled", "subscription_changed", "subscription_renewed"]
    assert shop.chargebee.pending_invoices("sub")[0]["total"] == 30_000


def test_any_update_deletes_what_was_scheduled(shop: Sandbox, chargebee_http: Any):
    shop.chargebee.update_subscription("sub", ["max-USD"], end_of_term=True)
    answer = chargebee_http.post("subscriptions/sub/update_for_items", {"auto_close_invoices": "false"})
    assert answer.json["subscription"]["has_scheduled_changes"] is False
    shop.advance(timedelta(days=31))
    assert shop.chargebee.subscriptions["sub"]["subscription_items"][0]["item_price_id"] == "pro-USD"


@pytest.mark.parametrize(("replace", "items"), [("false", ["seats-USD", "max-USD"]), ("true", ["max-USD"])])
def test_sent_items_join_the_list_unless_they_replace_it(
    replace: str, items: list[str], shop: Sandbox, chargebee_http: Any
):
    shop.chargebee.update_subscription("sub", ["pro-USD", "seats-USD"])
    form = {"subscription_items[item_price_id][0]": "max-USD", "replace_items_list": replace}
    answer = chargebee_http.post("subscriptions/sub/update_for_items", form)
    assert [item["item_price_id"] for item in answer.json["subscription"]["subscription_items"]] == items


@pytest.mark.parametrize(
    ("cancellation", "status", "cancelled_at", "event"),
    [
        pytest.param({}, "cancelled", JAN_1 + 10 * DAY, "subscription_cancelled", id="now"),
        pytest.param(
            {"end_of_term": True},
            "non_renewing",
            FEB_1,
            "subscription_cancellation_scheduled",
            id="at the end of the term",
        ),
        pytest.param(
            {"cancel_at": FEB_1 + DAY},
            "non_renewing",
            FEB_1 + DAY,
            "subscription_cancellation_scheduled",
            id="on a day to come",
        ),
        pytest.param(
            {"cancel_at": JAN_1 + DAY},
            "cancelled",
            JAN_1 + DAY,
            "subscription_canceled_with_backdating",
            id="on a day past",
        ),
    ],
)
def test_a_cancellation(cancellation: dict[str, Any], status: str, cancelled_at: int, event: str, shop: Sandbox):
    shop.advance(timedelta(days=10))
    cancelled = shop.chargebee.cancel_subscription("sub", **cancellation)
    assert (cancelled["status"], cancelled["cancelled_at"], events(shop)[-1]) == (status, cancelled_at, event)
    shop.advance(timedelta(days=40))
    assert shop.chargebee.subscriptions["sub"]["status"] == "cancelled"
    assert shop.chargebee.subscriptions["sub"]["cancelled_at"] == cancelled_at
    assert shop.chargebee.subscriptions["sub"].get("next_billing_at") is None


def test_a_cancelled_subscription_is_not_renewed(shop: Sandbox):
    shop.chargebee.cancel_subscription("sub", end_of_term=True)
    shop.advance(timedelta(days=90))
    assert shop.chargebee.pending_invoices("sub") == []
    assert events(shop)[-1] == "subscription_cancelled"
    cancelled = [event for event in shop.chargebee.events.values() if event["event_type"] == "subscription_cancelled"]
    assert [event["occurred_at"] for event in cancelled] == [FEB_1]


def test_a_future_subscription_starts_by_itself(shop: Sandbox):
    made = shop.chargebee.create_subscription("acme", ["pro-USD"], id="s2", start_date=JAN_1 + 5 * DAY)
    assert (made["status"], "started_at" in made) == ("future", False)
    shop.advance(timedelta(days=6))
    started = shop.chargebee.subscriptions["s2"]
    assert (started["status"], started["started_at"], "start_date" in started) == ("active", JAN_1 + 5 * DAY, False)
    assert events(shop)[-1] == "subscription_started"


def test_a_subscription_that_began_in_the_past_is_backdated(shop: Sandbox):
    made = shop.chargebee.create_subscription("acme", ["pro-USD"], id="s2", start_date=JAN_1 - DAY)
    assert (made["status"], made["started_at"], events(shop)[-1]) == (
        "active",
        JAN_1 - DAY,
        "subscription_created_with_backdating",
    )


def test_a_trial_ends_in_an_active_subscription_with_its_first_invoice(shop: Sandbox, chargebee_http: Any):
    made = shop.chargebee.create_subscription("acme", ["pro-USD"], id="s2", trial_end=JAN_1 + 7 * DAY)
    assert (made["status"], len(shop.chargebee.invoices)) == ("in_trial", 1)
    form = {"trial_end": str(JAN_1 + 14 * DAY)}
    assert (
        chargebee_http.post("subscriptions/s2/update_for_items", form).json["subscription"]["trial_end"]
        == JAN_1 + 14 * DAY
    )
    shop.advance(timedelta(days=14))
    active = shop.chargebee.subscriptions["s2"]
    assert (active["status"], active["activated_at"], active["current_term_start"]) == (
        "active",
        JAN_1 + 14 * DAY,
        JAN_1 + 14 * DAY,
    )
    assert events(shop)[-2:] == ["subscription_trial_extended", "subscription_activated"]


def test_a_paused_subscription_does_not_renew_until_it_is_resumed(shop: Sandbox):
    shop.chargebee.pause_subscription("sub", pause_date=JAN_1 + 5 * DAY, resume_date=FEB_1 + 9 * DAY)
    shop.advance(to=datetime(2026, 2, 5, tzinfo=UTC))
    assert shop.chargebee.subscriptions["sub"]["status"] == "paused"
    shop.advance(to=datetime(2026, 2, 10, tzinfo=UTC))
    resumed = shop.chargebee.subscriptions["sub"]
    assert (resumed["status"], resumed["current_term_start"]) == ("active", FEB_1 + 9 * DAY)
    assert events(shop)[-3:] == ["subscription_pause_scheduled", "subscription_paused", "subscription_resumed"]


def test_a_reactivation_within_the_term_keeps_it(shop: Sandbox):
    shop.advance(timedelta(days=5))
    shop.chargebee.cancel_subscription("sub")
    shop.advance(timedelta(days=5))
    back = shop.chargebee.reactivate_subscription("sub")
    assert (back["status"], back["current_term_start"], back["activated_at"]) == ("active", JAN_1, JAN_1 + 10 * DAY)
    assert "cancelled_at" not in back


@pytest.mark.parametrize(
    "items",
    [
        pytest.param([], id="no plan"),
        pytest.param(["pro-USD", "max-USD"], id="two plans"),
        pytest.param(["pro-USD", "calls-EUR"], id="two currencies"),
    ],
)
def test_a_subscription_has_one_plan_and_one_currency(items: list[str], shop: Sandbox, chargebee_http: Any):
    form = {f"subscription_items[item_price_id][{number}]": price for number, price in enumerate(items)}
    answer = chargebee_http.post("customers/acme/subscription_for_items", form)
    assert (answer.status_code, answer.json["api_error_code"]) == (400, "param_wrong_value")


def test_what_a_method_returns_is_a_copy(shop: Sandbox):
    before = shop.chargebee.update_subscription("sub", ["pro-USD"])
    after = shop.chargebee.update_subscription("sub", ["max-USD"])
    assert after["resource_version"] > before["resource_version"]
    assert before["subscription_items"][0]["item_price_id"] == "pro-USD"
