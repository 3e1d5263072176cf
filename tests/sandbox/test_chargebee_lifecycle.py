"""Chargebee's subscriptions on their less trodden paths, and the event of each step (chargebee.md §7.3)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import chargebee
import pytest
from chargebee import Chargebee

from connector.sandbox import Sandbox

DAY = 86_400
JAN_1, FEB_1, MAR_1, APR_1 = 1_767_225_600, 1_769_904_000, 1_772_323_200, 1_775_001_600
MAX = {"subscription_items[item_price_id][0]": "max-USD", "replace_items_list": "true"}


def events(box: Sandbox, since: int = 0) -> list[str]:
    found = [event["event_type"] for event in box.chargebee.events.values()][since:]
    return [event for event in found if event.startswith("subscription_")]


def prices(box: Sandbox, subscription_id: str = "sub") -> list[str]:
    items = box.chargebee.subscriptions[subscription_id]["subscription_items"]
    return [item["item_price_id"] for item in items]


def settle_first_invoice(box: Sandbox) -> None:
    for invoice in list(box.chargebee.invoices):
        box.chargebee.pay_invoice(invoice)


def test_a_scheduled_pause_can_be_taken_back(shop: Sandbox, chargebee_sdk: Chargebee):
    scheduled = chargebee_sdk.Subscription.pause("sub", {"pause_option": "end_of_term"}).subscription
    assert (scheduled.status, scheduled.pause_date) == ("active", FEB_1)
    going_on = chargebee_sdk.Subscription.remove_scheduled_pause("sub").subscription
    assert (going_on.status, going_on.pause_date) == ("active", None)
    shop.advance(timedelta(days=31))
    assert events(shop)[-3:] == [
        "subscription_pause_scheduled",
        "subscription_scheduled_pause_removed",
        "subscription_renewed",
    ]
    with pytest.raises(chargebee.InvalidRequestError) as caught:
        chargebee_sdk.Subscription.remove_scheduled_pause("sub")
    assert (caught.value.http_status_code, caught.value.api_error_code) == (409, "invalid_state_for_request")


def test_a_scheduled_resumption_can_be_taken_back(shop: Sandbox, chargebee_sdk: Chargebee):
    chargebee_sdk.Subscription.pause("sub", {"pause_option": "immediately"})
    waiting = chargebee_sdk.Subscription.resume(
        "sub", {"resume_option": "specific_date", "resume_date": FEB_1}
    ).subscription
    assert (waiting.status, waiting.resume_date) == ("paused", FEB_1)
    staying = chargebee_sdk.Subscription.remove_scheduled_resumption("sub").subscription
    assert (staying.status, staying.resume_date) == ("paused", None)
    shop.advance(timedelta(days=60))
    assert shop.chargebee.subscriptions["sub"]["status"] == "paused"
    assert events(shop)[-3:] == [
        "subscription_paused",
        "subscription_resumption_scheduled",
        "subscription_scheduled_resumption_removed",
    ]


def test_a_pause_of_some_billing_cycles_ends_by_itself(shop: Sandbox, chargebee_sdk: Chargebee):
    paused = chargebee_sdk.Subscription.pause("sub", {"pause_option": "billing_cycles", "skip_billing_cycles": 2})
    assert (paused.subscription.pause_date, paused.subscription.resume_date) == (FEB_1, APR_1)
    shop.advance(to=datetime(2026, 4, 1, tzinfo=UTC))
    resumed = shop.chargebee.subscriptions["sub"]
    assert (resumed["status"], resumed["current_term_start"]) == ("active", APR_1)
    assert [row["date"] for row in shop.chargebee.invoices.values()] == [JAN_1, APR_1]
    assert events(shop)[-2:] == ["subscription_paused", "subscription_resumed"]


@pytest.mark.parametrize(
    ("operation", "form", "param"),
    [
        pytest.param("pause", {"pause_option": "specific_date"}, "pause_date", id="a pause without its date"),
        pytest.param("pause", {"pause_option": "billing_cycles"}, "skip_billing_cycles", id="a pause of no length"),
        pytest.param("pause", {"resume_date": str(JAN_1)}, "resume_date", id="a pause that ends before it begins"),
        pytest.param("update_for_items", {"change_option": "specific_date"}, "changes_scheduled_at", id="no date"),
        pytest.param(
            "update_for_items",
            {"change_option": "specific_date", "changes_scheduled_at": str(JAN_1 - 1)},
            "changes_scheduled_at",
            id="a change before the term",
        ),
        pytest.param("move", {}, "to_customer_id", id="a move to nobody"),
        pytest.param("move", {"to_customer_id": "acme"}, "to_customer_id", id="a move to the same customer"),
        pytest.param("create_ramp", {}, "effective_from", id="a ramp without its date"),
        pytest.param("create_ramp", {"effective_from": str(JAN_1)}, "effective_from", id="a ramp of the past"),
    ],
)
def test_a_step_is_refused(operation: str, form: dict[str, str], param: str, shop: Sandbox, chargebee_http: Any):
    answer = chargebee_http.post(f"subscriptions/sub/{operation}", form)
    assert (answer.status_code, answer.json["param"]) == (400, param)
    assert events(shop) == ["subscription_created"]


def test_a_change_on_a_day_to_come_waits_for_it(shop: Sandbox, chargebee_sdk: Chargebee):
    day = JAN_1 + 10 * DAY
    change = {
        "subscription_items": [{"item_price_id": "max-USD"}],
        "change_option": "specific_date",
        "changes_scheduled_at": day,
    }
    scheduled = chargebee_sdk.Subscription.update_for_items("sub", change).subscription
    assert (scheduled.has_scheduled_changes, scheduled.changes_scheduled_at) == (True, day)
    assert prices(shop) == ["pro-USD"]
    shop.advance(timedelta(days=10))
    assert prices(shop) == ["max-USD"]
    changed = list(shop.chargebee.events.values())[-1]
    assert (changed["event_type"], changed["occurred_at"]) == ("subscription_changed", day)
    assert chargebee_sdk.Subscription.retrieve("sub").subscription.has_scheduled_changes is False


def test_a_change_can_have_happened_before(shop: Sandbox, chargebee_http: Any):
    shop.advance(timedelta(days=10))
    form = {**MAX, "change_option": "specific_date", "changes_scheduled_at": str(JAN_1 + DAY)}
    changed = chargebee_http.post("subscriptions/sub/update_for_items", form).json["subscription"]
    assert (changed["has_scheduled_changes"], prices(shop)) == (False, ["max-USD"])
    assert events(shop)[-1] == "subscription_changed_with_backdating"


def test_a_trial_can_be_ended_at_once_or_in_the_past(shop: Sandbox, chargebee_http: Any):
    for subscription_id in ("s1", "s2"):
        shop.chargebee.create_subscription("acme", ["pro-USD"], id=subscription_id, trial_end=FEB_1)
    shop.advance(timedelta(days=10))
    now = JAN_1 + 10 * DAY
    ended = chargebee_http.post("subscriptions/s1/update_for_items", {"trial_end": "0"}).json["subscription"]
    assert (ended["status"], ended["activated_at"], ended["current_term_start"]) == ("active", now, now)
    assert events(shop)[-1] == "subscription_activated"
    form = {"trial_end": str(JAN_1 + DAY)}
    ended = chargebee_http.post("subscriptions/s2/update_for_items", form).json["subscription"]
    assert (ended["activated_at"], ended["current_term_start"]) == (JAN_1 + DAY, JAN_1 + DAY)
    assert events(shop)[-1] == "subscription_activated_with_backdating"


def test_a_trial_can_end_in_a_cancellation(shop: Sandbox, chargebee_sdk: Chargebee):
    made = chargebee_sdk.Subscription.create_with_items(
        "acme",
        {
            "id": "s2",
            "subscription_items": [{"item_price_id": "pro-USD"}],
            "trial_end": FEB_1,
            "trial_end_action": "cancel_subscription",
        },
    ).subscription
    assert (made.status, made.trial_end_action) == ("in_trial", "cancel_subscription")
    shop.advance(timedelta(days=31))
    assert shop.chargebee.subscriptions["s2"]["status"] == "cancelled"
    assert events(shop)[-1] == "subscription_cancelled"


@pytest.mark.parametrize(
    ("form", "status", "activated_at", "event"),
    [
        pytest.param({}, "active", JAN_1 + 20 * DAY, "subscription_reactivated", id="now"),
        pytest.param(
            {"reactivate_from": JAN_1 + 12 * DAY},
            "active",
            JAN_1 + 12 * DAY,
            "subscription_reactivated_with_backdating",
            id="since a day past",
        ),
        pytest.param({"trial_end": FEB_1}, "in_trial", JAN_1, "subscription_reactivated", id="on trial"),
    ],
)
def test_a_reactivation(
    form: dict[str, int], status: str, activated_at: int, event: str, shop: Sandbox, chargebee_sdk: Chargebee
):
    shop.advance(timedelta(days=10))
    shop.chargebee.cancel_subscription("sub")
    shop.advance(timedelta(days=10))
    back = chargebee_sdk.Subscription.reactivate("sub", form).subscription
    assert (back.status, back.activated_at, events(shop)[-1]) == (status, activated_at, event)


@pytest.mark.parametrize("reactivate_from", [JAN_1 + 9 * DAY, FEB_1])
def test_a_reactivation_lies_between_the_cancellation_and_now(reactivate_from: int, shop: Sandbox, chargebee_http: Any):
    shop.advance(timedelta(days=10))
    shop.chargebee.cancel_subscription("sub")
    answer = chargebee_http.post("subscriptions/sub/reactivate", {"reactivate_from": str(reactivate_from)})
    assert (answer.status_code, answer.json["param"]) == (400, "reactivate_from")


def test_a_move_keeps_the_subscriptions_id(shop: Sandbox, chargebee_sdk: Chargebee):
    shop.chargebee.create_customer("other")
    settle_first_invoice(shop)
    before = len(shop.chargebee.events)
    moved = chargebee_sdk.Subscription.move("sub", {"to_customer_id": "other"}).subscription
    assert (moved.id, moved.customer_id) == ("sub", "other")
    assert events(shop, before) == ["subscription_moved_out", "subscription_moved_in", "subscription_changed"]
    out, arrived, _ = list(shop.chargebee.events.values())[before:]
    assert [event["content"]["subscription"]["customer_id"] for event in (out, arrived)] == ["acme", "other"]
    shop.advance(timedelta(days=31))
    assert shop.chargebee.pending_invoices("sub")[0]["customer_id"] == "other"


def test_a_move_can_take_its_time_and_fail_on_the_way(shop: Sandbox, chargebee_http: Any):
    shop.chargebee.create_customer("other")
    settle_first_invoice(shop)
    shop.chargebee.settings.move_seconds = 300
    for invoice_comes, event in ((False, "subscription_changed"), (True, "subscription_movement_failed")):
        target = "acme" if invoice_comes else "other"
        answer = chargebee_http.post("subscriptions/sub/move", {"to_customer_id": target})
        assert (answer.status_code, answer.json["subscription"]["customer_id"] == target) == (200, False)
        assert chargebee_http.post("subscriptions/sub/move", {"to_customer_id": target}).status_code == 409
        if invoice_comes:
            [invoice] = shop.chargebee.invoices.values()
            invoice["status"] = "payment_due"
        shop.advance(timedelta(seconds=300))
        assert events(shop)[-1] == event
    assert shop.chargebee.subscriptions["sub"]["customer_id"] == "other"


def test_a_ramp_is_planned_listed_and_dropped(shop: Sandbox, chargebee_sdk: Chargebee):
    form = {"effective_from": FEB_1 + DAY, "description": "grow", "items_to_add": [{"item_price_id": "max-USD"}]}
    ramp = chargebee_sdk.Ramp.create_for_subscription("sub", form).ramp
    assert (ramp.status, ramp.subscription_id, ramp.items_to_add[0].item_price_id) == ("scheduled", "sub", "max-USD")
    assert chargebee_sdk.Ramp.retrieve(ramp.id).ramp.raw_data == ramp.raw_data
    assert [row.ramp.id for row in chargebee_sdk.Ramp.list({"subscription_id": {"is": "sub"}}).list] == [ramp.id]
    ahead = chargebee_sdk.Subscription.retrieve_with_scheduled_changes("sub").subscription
    assert [item.item_price_id for item in ahead.subscription_items] == ["max-USD"]
    assert (ahead.has_scheduled_changes, ahead.changes_scheduled_at) == (True, FEB_1 + DAY)
    assert chargebee_sdk.Ramp.delete(ramp.id).ramp.deleted is True
    assert chargebee_sdk.Subscription.retrieve("sub").subscription.has_scheduled_changes is False
    assert events(shop)[-2:] == ["subscription_ramp_created", "subscription_ramp_deleted"]
    with pytest.raises(chargebee.InvalidRequestError) as caught:
        chargebee_sdk.Ramp.retrieve(ramp.id)
    assert caught.value.http_status_code == 404


def test_ramps_are_applied_at_their_time_and_only_their_own_event_tells(shop: Sandbox):
    shop.chargebee.create_ramp("sub", JAN_1 + DAY, items_to_add=[{"item_price_id": "seats-USD", "quantity": 2}])
    shop.chargebee.create_ramp("sub", JAN_1 + 2 * DAY, items_to_update=[{"item_price_id": "seats-USD", "quantity": 5}])
    shop.chargebee.create_ramp(
        "sub", JAN_1 + 3 * DAY, items_to_add=[{"item_price_id": "max-USD"}], items_to_remove=["seats-USD"]
    )
    before = len(shop.chargebee.events)
    shop.advance(timedelta(days=2))
    assert [item["quantity"] for item in shop.chargebee.subscriptions["sub"]["subscription_items"]] == [1, 5]
    shop.advance(timedelta(days=1))
    assert (prices(shop), events(shop, before)) == (["max-USD"], ["subscription_ramp_applied"] * 3)
    told = list(shop.chargebee.events.values())[-1]
    assert (list(told["content"]), told["content"]["ramp"]["status"]) == (["ramp"], "succeeded")
    assert shop.chargebee.subscriptions["sub"]["has_scheduled_changes"] is False


def test_no_ramp_outlives_the_cancellation(shop: Sandbox):
    for day in (JAN_1 + DAY, FEB_1):
        shop.chargebee.create_ramp("sub", day, items_to_add=[{"item_price_id": "max-USD"}])
    shop.chargebee.cancel_subscription("sub", end_of_term=True)
    assert events(shop)[-2:] == ["subscription_ramp_deleted", "subscription_cancellation_scheduled"]
    shop.chargebee.cancel_subscription("sub")
    assert [ramp["deleted"] for ramp in shop.chargebee.ramps.values()] == [True, True]
    assert shop.chargebee.subscriptions["sub"]["has_scheduled_changes"] is False


@pytest.mark.parametrize(
    ("form", "status"),
    [
        pytest.param({"items_to_remove[0]": "pro-USD"}, 400, id="without a plan"),
        pytest.param({"items_to_remove[0]": "max-USD"}, 404, id="of what is not there"),
        pytest.param({"items_to_add[item_price_id][0]": "nothing"}, 404, id="with no such price"),
        pytest.param({"items_to_add[item_price_id][0]": "calls-EUR"}, 400, id="in another currency"),
    ],
)
def test_a_ramp_is_refused(form: dict[str, str], status: int, shop: Sandbox, chargebee_http: Any):
    answer = chargebee_http.post("subscriptions/sub/create_ramp", {"effective_from": str(FEB_1), **form})
    assert answer.status_code == status
    assert shop.chargebee.ramps == {}


def test_a_deleted_subscription_shows_only_in_a_list_with_deleted_ones(shop: Sandbox, chargebee_http: Any):
    chargebee_http.post("subscriptions/sub/delete")
    assert chargebee_http.get("subscriptions/sub").status_code == 404
    [row] = chargebee_http.get("subscriptions", query_string={"include_deleted": "true"}).json["list"]
    assert (row["subscription"]["id"], row["subscription"]["deleted"]) == ("sub", True)
    assert events(shop)[-1] == "subscription_deleted"


def test_a_ramp_can_be_planned_anew(shop: Sandbox, chargebee_sdk: Chargebee):
    ramp = shop.chargebee.create_ramp("sub", FEB_1, items_to_add=[{"item_price_id": "max-USD"}])
    form = {"effective_from": MAR_1, "items_to_add": [{"item_price_id": "seats-USD"}]}
    changed = chargebee_sdk.Ramp.update(ramp["id"], form).ramp
    assert (changed.id, changed.effective_from, changed.created_at) == (ramp["id"], MAR_1, ramp["created_at"])
    assert shop.chargebee.subscriptions["sub"]["changes_scheduled_at"] == MAR_1
    with pytest.raises(chargebee.InvalidRequestError):
        chargebee_sdk.Ramp.update(ramp["id"], {"effective_from": MAR_1, "items_to_remove": ["pro-USD"]})
    assert shop.chargebee.ramps[ramp["id"]]["status"] == "scheduled"
    assert events(shop)[-2:] == ["subscription_ramp_created", "subscription_ramp_updated"]


def test_one_subscription_can_be_transferred_without_its_customer(shop: Sandbox, chargebee_http: Any):
    form = {
        "active_resource_ids[0]": "sub",
        "destination_business_entity_ids[0]": "eu",
        "resource_types[0]": "subscription",
        "reason_codes[0]": "moved",
    }
    answer = chargebee_http.post("business_entities/transfers", form)
    live = shop.chargebee.subscriptions[answer.json["business_entity_transfer"]["active_resource_id"]]
    assert (live["status"], live["customer_id"]) == ("active", "acme")
    assert chargebee_http.post("business_entities/transfers", form).status_code == 409
    two = {**form, "active_resource_ids[1]": "other"}
    assert chargebee_http.post("business_entities/transfers", two).status_code == 400
