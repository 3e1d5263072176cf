"""Chargebee's contract terms, invoices in advance and terms of single items."""

from datetime import timedelta
from typing import Any

import chargebee
import pytest
from chargebee import Chargebee

from connector.sandbox import Sandbox

DAY = 86_400
JAN_1, FEB_1, MAR_1, APR_1 = 1_767_225_600, 1_769_904_000, 1_772_323_200, 1_775_001_600


def events(box: Sandbox, since: int = 0) -> list[str]:
    return [event["event_type"] for event in list(box.chargebee.events.values())[since:]]


def bind(sdk: Chargebee, action: str, cycles: int = 2) -> Any:
    """A subscription `bound` for so many months."""
    form = {
        "id": "bound",
        "subscription_items": [{"item_price_id": "pro-USD"}],
        "billing_cycles": cycles,
        "contract_term": {"action_at_term_end": action},
        "contract_term_billing_cycle_on_renewal": 1,
    }
    return sdk.Subscription.create_with_items("acme", form).subscription


def terms(sdk: Chargebee) -> list[tuple[str, int]]:
    rows = sdk.Subscription.contract_terms_for_subscription("bound").list
    return [(row.contract_term.status, row.contract_term.contract_end) for row in rows]


def test_a_contract_term_binds_for_its_billing_cycles(shop: Sandbox, chargebee_sdk: Chargebee):
    term = bind(chargebee_sdk, "renew").contract_term
    assert (term.contract_start, term.contract_end, term.remaining_billing_cycles) == (JAN_1, MAR_1, 1)
    assert (term.total_contract_value, events(shop)[-1]) == (20_000, "contract_term_created")
    shop.advance(timedelta(days=31))
    assert chargebee_sdk.Subscription.retrieve("bound").subscription.contract_term.remaining_billing_cycles == 0


@pytest.mark.parametrize(
    ("action", "status", "after", "told"),
    [
        pytest.param("renew", "active", ["completed", "active"], ["completed", "renewed"], id="renews"),
        pytest.param("evergreen", "active", ["completed"], ["completed"], id="goes on without one"),
        pytest.param("cancel", "cancelled", ["completed"], ["completed"], id="ends the subscription"),
        pytest.param("renew_once", "active", ["completed", "active"], ["completed", "renewed"], id="renews once"),
    ],
)
def test_at_its_end_a_contract_term(
    action: str, status: str, after: list[str], told: list[str], shop: Sandbox, chargebee_sdk: Chargebee
):
    bind(chargebee_sdk, action)
    before = len(shop.chargebee.events)
    shop.advance(timedelta(days=31 + 28))
    assert shop.chargebee.subscriptions["bound"]["status"] == status
    assert [status for status, _ in terms(chargebee_sdk)] == after
    found = [name for name in events(shop, before) if name.startswith("contract_term_")]
    assert found == [f"contract_term_{name}" for name in told]


def test_a_contract_renewed_once_is_the_last(shop: Sandbox, chargebee_sdk: Chargebee):
    bind(chargebee_sdk, "renew_once")
    shop.advance(timedelta(days=31 + 28 + 31))
    assert terms(chargebee_sdk) == [("completed", MAR_1), ("completed", APR_1)]
    assert shop.chargebee.subscriptions["bound"]["status"] == "cancelled"


@pytest.mark.parametrize(
    ("option", "cancelled_at", "status"),
    [
        pytest.param("terminate_immediately", JAN_1, "terminated", id="now"),
        pytest.param("end_of_subscription_billing_term", FEB_1, "terminated", id="with the current term"),
        pytest.param("end_of_contract_term", MAR_1, "completed", id="with the contract"),
    ],
)
def test_a_contract_is_ended(option: str, cancelled_at: int, status: str, shop: Sandbox, chargebee_sdk: Chargebee):
    bind(chargebee_sdk, "renew")
    left = chargebee_sdk.Subscription.cancel_for_items("bound", {"contract_term_cancel_option": option}).subscription
    assert left.cancelled_at == cancelled_at
    shop.advance(timedelta(days=31 + 28))
    assert [found for found, _ in terms(chargebee_sdk)] == [status]
    assert "contract_term_renewed" not in events(shop)


def test_only_a_contract_has_an_end_to_wait_for(shop: Sandbox, chargebee_http: Any):
    form = {"contract_term_cancel_option": "end_of_contract_term"}
    assert chargebee_http.post("subscriptions/sub/cancel_for_items", form).status_code == 409


def test_another_billing_period_cancels_the_contract(shop: Sandbox, chargebee_sdk: Chargebee):
    shop.chargebee.create_item_price("pro-USD-yearly", "pro", 100_000, period_unit="year")
    bind(chargebee_sdk, "renew")
    chargebee_sdk.Subscription.update_for_items("bound", {"subscription_items": [{"item_price_id": "pro-USD-yearly"}]})
    assert terms(chargebee_sdk) == [("cancelled", MAR_1)]
    assert events(shop)[-2:] == ["contract_term_cancelled", "subscription_changed"]


def test_a_contract_goes_over_to_the_other_business_entity(shop: Sandbox, chargebee_sdk: Chargebee):
    bind(chargebee_sdk, "renew")
    live = shop.chargebee.transfer_subscription("bound", "eu")["active_resource_id"]
    assert terms(chargebee_sdk) == []
    shop.advance(timedelta(days=31))
    assert shop.chargebee.contract_terms_of(live)[0]["remaining_billing_cycles"] == 0


def test_terms_billed_in_advance_are_not_billed_again(shop: Sandbox, chargebee_sdk: Chargebee):
    ahead = chargebee_sdk.Subscription.charge_future_renewals("sub", {"terms_to_charge": 2})
    assert [(line.date_from, line.amount) for line in ahead.invoice.line_items] == [(FEB_1, 10_000), (MAR_1, 10_000)]
    assert (ahead.subscription.next_billing_at, ahead.subscription.current_term_end) == (APR_1, FEB_1)
    shop.advance(timedelta(days=31 + 28))
    assert [row["total"] for row in shop.chargebee.pending_invoices("sub")] == [0, 0]
    shop.advance(timedelta(days=31))
    assert [row["total"] for row in shop.chargebee.pending_invoices("sub")] == [0, 0, 10_000]


def test_advance_invoices_are_planned_changed_and_made(shop: Sandbox, chargebee_sdk: Chargebee):
    def dates(*moments: int) -> dict[str, Any]:
        rows = [{"date": moment, "terms_to_charge": 1} for moment in moments]
        return {"schedule_type": "specific_dates", "specific_dates_schedule": rows}

    planned = chargebee_sdk.Subscription.charge_future_renewals("sub", dates(JAN_1 + DAY))
    assert (planned.subscription.has_scheduled_advance_invoices, planned.invoice) == (True, None)
    changed = chargebee_sdk.Subscription.edit_advance_invoice_schedule("sub", dates(JAN_1 + 3 * DAY, JAN_1 + 2 * DAY))
    rows = chargebee_sdk.Subscription.retrieve_advance_invoice_schedule("sub").advance_invoice_schedules
    assert [row.specific_dates_schedule.date for row in rows] == [JAN_1 + 2 * DAY, JAN_1 + 3 * DAY]
    assert [row.id for row in rows] == [row.id for row in changed.advance_invoice_schedules]
    shop.advance(timedelta(days=2))
    assert [row["line_items"][0]["date_from"] for row in shop.chargebee.invoices.values()] == [JAN_1, FEB_1]
    left = chargebee_sdk.Subscription.remove_advance_invoice_schedule("sub").subscription
    assert left.has_scheduled_advance_invoices is False
    shop.advance(timedelta(days=2))
    assert len(shop.chargebee.invoices) == 2
    with pytest.raises(chargebee.InvalidRequestError) as caught:
        chargebee_sdk.Subscription.remove_advance_invoice_schedule("sub")
    assert caught.value.http_status_code == 409


def test_items_with_terms_of_their_own_renew_alone(shop: Sandbox, chargebee_http: Any):
    shop.chargebee.settings.multi_frequency = True
    shop.chargebee.create_item("extra", "addon")
    shop.chargebee.create_item_price("extra-USD", "extra", 500, period=1, period_unit="week")
    shop.chargebee.create_subscription("acme", ["pro-USD", "extra-USD"], id="mixed")
    before = len(shop.chargebee.events)
    shop.advance(timedelta(days=7))
    assert events(shop, before) == ["subscription_items_renewed", "pending_invoice_created"]
    [draft] = shop.chargebee.pending_invoices("mixed")
    assert [(line["entity_id"], line["date_from"]) for line in draft["line_items"]] == [("extra-USD", JAN_1 + 7 * DAY)]
    mixed = shop.chargebee.subscriptions["mixed"]
    ends = [item["current_term_end"] for item in mixed["subscription_items"]]
    assert (mixed["current_term_end"], ends) == (FEB_1, [FEB_1, JAN_1 + 14 * DAY])
    shop.advance(timedelta(days=24))
    ofs = [[line["entity_id"] for line in draft["line_items"]] for draft in shop.chargebee.pending_invoices("mixed")]
    assert ofs == [["extra-USD"]] * 4 + [["pro-USD"]]
    for operation in ("resume", "remove_scheduled_pause", "remove_scheduled_resumption", "move"):
        answer = chargebee_http.post(f"subscriptions/mixed/{operation}", {"to_customer_id": "other"})
        assert (answer.status_code, answer.json["api_error_code"]) == (400, "configuration_incompatible")


def test_a_fixed_coupon_goes_no_lower_than_nothing_and_can_be_removed(shop: Sandbox, chargebee_sdk: Chargebee):
    form = {"id": "gift", "name": "Gift", "discount_amount": 99_999, "currency_code": "USD"}
    chargebee_sdk.Coupon.create_for_items({**form, "discount_type": "fixed_amount", "apply_on": "invoice_amount"})
    chargebee_sdk.Subscription.update_for_items("sub", {"coupon_ids": ["gift"]})
    shop.advance(timedelta(days=31))
    [draft] = shop.chargebee.pending_invoices("sub")
    [discount] = draft["discounts"]
    assert (draft["total"], discount["entity_id"], discount["amount"]) == (0, "gift", 10_000)
    assert chargebee_sdk.Subscription.remove_coupons("sub", {"coupon_ids": ["gift"]}).subscription.coupons is None
    shop.advance(timedelta(days=28))
    assert shop.chargebee.pending_invoices("sub")[-1]["total"] == 10_000
    assert [row.coupon.redemptions for row in chargebee_sdk.Coupon.list().list] == [1]
    assert chargebee_sdk.Coupon.retrieve("gift").coupon.discount_type == "fixed_amount"
    with pytest.raises(chargebee.InvalidRequestError) as caught:
        chargebee_sdk.Subscription.remove_coupons("sub", {"coupon_ids": ["gift"]})
    assert caught.value.http_status_code == 404


def test_a_coupon_can_wait_for_the_next_term(shop: Sandbox, chargebee_sdk: Chargebee):
    shop.chargebee.create_coupon("ten", discount_percentage=10)
    form = {"coupon_ids": ["ten"], "change_option": "end_of_term"}
    assert chargebee_sdk.Subscription.update_for_items("sub", form).subscription.coupons is None
    ahead = chargebee_sdk.Subscription.retrieve_with_scheduled_changes("sub").subscription
    assert [row.coupon_id for row in ahead.coupons] == ["ten"]
    shop.advance(timedelta(days=31))
    assert shop.chargebee.pending_invoices("sub")[0]["total"] == 9_000


def test_dunning_ends_with_the_payment_or_when_it_is_stopped(shop: Sandbox, chargebee_sdk: Chargebee):
    shop.chargebee.update_customer("acme", card_status="valid")
    shop.chargebee.settings.cards_decline = True
    shop.chargebee.settings.dunning_days[:] = [1, 1]
    for number in (2, 3):
        shop.chargebee.create_subscription("acme", ["pro-USD"], id=f"s{number}")
    stopped = chargebee_sdk.Invoice.stop_dunning("2").invoice
    assert (stopped.dunning_status, stopped.next_retry_at) == ("stopped", None)
    shop.chargebee.settings.cards_decline = False
    shop.advance(timedelta(days=2))
    statuses = [(row["status"], row["dunning_status"]) for row in list(shop.chargebee.invoices.values())[1:]]
    assert statuses == [("payment_due", "stopped"), ("paid", "success")]
    assert events(shop)[-2:] == ["invoice_updated", "payment_succeeded"]


def test_the_time_machine_takes_its_time(shop: Sandbox, chargebee_sdk: Chargebee):
    with pytest.raises(chargebee.InvalidRequestError):
        chargebee_sdk.TimeMachine.travel_forward("delorean", {"destination_time": JAN_1})
    assert chargebee_sdk.TimeMachine.retrieve("delorean").time_machine.time_travel_status == "not_enabled"
    shop.chargebee.settings.time_travel_seconds = 3
    started = chargebee_sdk.TimeMachine.start_afresh("delorean").time_machine
    assert (started.time_travel_status, started.genesis_time) == ("in_progress", 1_751_328_000)
    with pytest.raises(chargebee.InvalidRequestError):
        chargebee_sdk.TimeMachine.travel_forward("delorean")
    shop.advance(timedelta(seconds=3))
    assert chargebee_sdk.TimeMachine.retrieve("delorean").time_machine.time_travel_status == "succeeded"
    snapshot = shop.snapshot()
    chargebee_sdk.TimeMachine.travel_forward("delorean")
    assert shop.chargebee.create_customer("acme")["created_at"] == JAN_1 + 3
    shop.restore(snapshot)
    assert shop.chargebee.create_customer("acme")["created_at"] == 1_751_328_000


def test_reminders_come_once_and_as_many_days_before_as_the_site_wants(shop: Sandbox):
    shop.chargebee.settings.reminder_days = 3
    shop.advance(timedelta(days=58))
    told = [event for event in shop.chargebee.events.values() if event["event_type"].endswith("_reminder")]
    assert [(event["event_type"], event["occurred_at"]) for event in told] == [
        ("subscription_renewal_reminder", FEB_1 - 3 * DAY),
        ("subscription_renewal_reminder", MAR_1 - 3 * DAY),
    ]


def test_only_renewals_share_an_invoice(shop: Sandbox):
    shop.chargebee.settings.consolidated_invoicing = True
    shop.chargebee.settings.pending_invoice_on_cancel = True
    for subscription_id in ("s2", "s3"):
        shop.chargebee.create_subscription("acme", ["pro-USD"], id=subscription_id)
    shop.chargebee.create_customer("alone", consolidated_invoicing=False)
    shop.chargebee.create_subscription("alone", ["pro-USD"], id="s4")
    shop.chargebee.cancel_subscription("s2", end_of_term=True)
    shop.chargebee.charge_future_renewals("s3", specific_dates_schedule=[{"date": FEB_1 - DAY}])
    before = len(shop.chargebee.events)
    shop.advance(timedelta(days=31))
    told = [event for event in list(shop.chargebee.events.values())[before:] if "invoice_" in event["event_type"]]
    found = [(event["event_type"], event["content"]["invoice"].get("subscription_id")) for event in told]
    assert found == [
        ("invoice_generated", "s3"),
        ("pending_invoice_created", "s2"),
        ("pending_invoice_created", "s4"),
        ("pending_invoice_created", None),
    ]


@pytest.mark.parametrize("setting", ["keep", "delete", "draft"])
def test_what_an_update_does_to_ramps_is_the_sites_setting(setting: str, shop: Sandbox, chargebee_sdk: Chargebee):
    shop.chargebee.settings.ramps_on_update = setting
    ramp = shop.chargebee.create_ramp("sub", FEB_1 + DAY, items_to_add=[{"item_price_id": "max-USD"}])
    changed = chargebee_sdk.Subscription.update_for_items("sub", {"auto_close_invoices": False}).subscription
    assert changed.has_scheduled_changes is (setting == "keep")
    if setting == "draft":
        form = {"effective_from": FEB_1 + DAY, "items_to_add": [{"item_price_id": "max-USD"}]}
        assert chargebee_sdk.Ramp.update(ramp["id"], form).ramp.status == "scheduled"
    shop.advance(timedelta(days=32))
    [item] = shop.chargebee.subscriptions["sub"]["subscription_items"]
    assert item["item_price_id"] == ("pro-USD" if setting == "delete" else "max-USD")


def test_some_things_change_at_once_whenever_the_rest_does(shop: Sandbox, chargebee_http: Any):
    form = {
        "change_option": "end_of_term",
        "subscription_items[item_price_id][0]": "max-USD",
        "auto_collection": "off",
        "po_number": "7",
        "shipping_address[city]": "Leeds",
        "cf_team": "blue",
        "net_term_days": "30",
    }
    changed = chargebee_http.post("subscriptions/sub/update_for_items", form).json["subscription"]
    assert (changed["auto_collection"], changed["po_number"], changed["cf_team"]) == ("off", "7", "blue")
    assert (changed["shipping_address"], "net_term_days" in changed) == ({"city": "Leeds"}, False)
    assert events(shop)[-2:] == ["subscription_changes_scheduled", "subscription_shipping_address_updated"]
    shop.advance(timedelta(days=31))
    assert shop.chargebee.subscriptions["sub"]["net_term_days"] == 30
