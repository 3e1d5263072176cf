"""Every event of a customer, hierarchy, subscription, contract term or invoice (chargebee.md §7.2 and §7.3): who makes it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import chargebee
import pytest

from connector.sandbox import Sandbox

DAY = 86_400
JAN_1, JAN_2, JAN_11, FEB_1 = 1_767_225_600, 1_767_312_000, 1_768_089_600, 1_769_904_000
PREFIXES = (
    "customer_",
    "hierarchy_",
    "subscription_",
    "contract_term_",
    "pending_invoice_",
    "invoice_",
    "mrr_",
    "dunning_",
)
ADDON = [{"item_price_id": "extra-USD"}]
CONTRACT = {"billing_cycle": 1, "action_at_term_end": "renew"}

Site = Any
Act = Callable[[Site, Callable[[int], Any]], Any]

# The shop has `acme` with `sub`, an active monthly subscription since the 1st; it is the 11th now. The last step makes
# the event. `wait` lets days pass.
MADE_BY: dict[str, tuple[Act, ...]] = {
    "customer_created": (lambda site, wait: site.create_customer("new"),),
    "customer_changed": (lambda site, wait: site.update_customer("acme", company="Acme Ltd"),),
    "customer_deleted": (lambda site, wait: site.delete_customer("acme"),),
    "customer_business_entity_changed": (lambda site, wait: site.transfer_customer("acme", "eu"),),
    "customer_moved_out": (lambda site, wait: site.announce("customer_moved_out", customer="acme"),),
    "customer_moved_in": (lambda site, wait: site.announce("customer_moved_in", customer="acme"),),
    "customer_entitlements_updated": (
        lambda site, wait: site.announce("customer_entitlements_updated", customer="acme"),
    ),
    "hierarchy_created": (lambda site, wait: site.relate_customer("other", "acme"),),
    "hierarchy_deleted": (
        lambda site, wait: site.relate_customer("other", "acme"),
        lambda site, wait: site.unrelate_customer("other"),
    ),
    "subscription_created": (lambda site, wait: site.create_subscription("acme", ["pro-USD"]),),
    "subscription_created_with_backdating": (
        lambda site, wait: site.create_subscription("acme", ["pro-USD"], start_date=JAN_2),
    ),
    "subscription_started": (
        lambda site, wait: site.create_subscription("acme", ["pro-USD"], start_date=JAN_11 + DAY),
        lambda site, wait: wait(1),
    ),
    "subscription_trial_extended": (
        lambda site, wait: site.create_subscription("acme", ["pro-USD"], id="s2", trial_end=FEB_1),
        lambda site, wait: site.extend_trial("s2", FEB_1 + DAY),
    ),
    "subscription_trial_end_reminder": (
        lambda site, wait: setattr(site.settings, "reminder_days", 3),
        lambda site, wait: site.create_subscription("acme", ["pro-USD"], trial_end=JAN_11 + 5 * DAY),
        lambda site, wait: wait(2),
    ),
    "subscription_activated": (
        lambda site, wait: site.create_subscription("acme", ["pro-USD"], trial_end=JAN_11 + DAY),
        lambda site, wait: wait(1),
    ),
    "subscription_activated_with_backdating": (
        lambda site, wait: site.create_subscription("acme", ["pro-USD"], id="s2", start_date=JAN_2, trial_end=FEB_1),
        lambda site, wait: site.extend_trial("s2", JAN_2 + DAY),
    ),
    "subscription_changed": (lambda site, wait: site.update_subscription("sub", ["max-USD"]),),
    "subscription_changed_with_backdating": (
        lambda site, wait: site.update_subscription("sub", ["max-USD"], changes_scheduled_at=JAN_2),
    ),
    "subscription_changes_scheduled": (
        lambda site, wait: site.update_subscription("sub", ["max-USD"], end_of_term=True),
    ),
    "subscription_scheduled_changes_removed": (
        lambda site, wait: site.update_subscription("sub", ["max-USD"], end_of_term=True),
        lambda site, wait: site.remove_scheduled_changes("sub"),
    ),
    "subscription_shipping_address_updated": (
        lambda site, wait: site.update_subscription("sub", shipping_address={"city": "Leeds"}),
    ),
    "subscription_ramp_created": (lambda site, wait: site.create_ramp("sub", FEB_1, items_to_add=ADDON),),
    "subscription_ramp_updated": (
        lambda site, wait: site.create_ramp("sub", FEB_1, items_to_add=ADDON),
        lambda site, wait: site.update_ramp(next(iter(site.ramps)), FEB_1 + DAY, items_to_add=ADDON),
    ),
    "subscription_ramp_applied": (
        lambda site, wait: site.create_ramp("sub", JAN_11 + DAY, items_to_add=ADDON),
        lambda site, wait: wait(1),
    ),
    "subscription_ramp_drafted": (
        lambda site, wait: setattr(site.settings, "ramps_on_update", "draft"),
        lambda site, wait: site.create_ramp("sub", FEB_1, items_to_add=ADDON),
        lambda site, wait: site.update_subscription("sub", auto_close_invoices=False),
    ),
    "subscription_ramp_deleted": (
        lambda site, wait: site.create_ramp("sub", FEB_1, items_to_add=ADDON),
        lambda site, wait: site.delete_ramp(next(iter(site.ramps))),
    ),
    "subscription_cancellation_scheduled": (lambda site, wait: site.cancel_subscription("sub", end_of_term=True),),
    "subscription_scheduled_cancellation_removed": (
        lambda site, wait: site.cancel_subscription("sub", end_of_term=True),
        lambda site, wait: site.remove_scheduled_cancellation("sub"),
    ),
    "subscription_cancellation_reminder": (
        lambda site, wait: setattr(site.settings, "reminder_days", 3),
        lambda site, wait: site.cancel_subscription("sub", end_of_term=True),
        lambda site, wait: wait(18),
    ),
    "subscription_cancelled": (lambda site, wait: site.cancel_subscription("sub"),),
    "subscription_canceled_with_backdating": (lambda site, wait: site.cancel_subscription("sub", cancel_at=JAN_2),),
    "subscription_reactivated": (
        lambda site, wait: site.cancel_subscription("sub"),
        lambda site, wait: site.reactivate_subscription("sub"),
    ),
    "subscription_reactivated_with_backdating": (
        lambda site, wait: site.cancel_subscription("sub", cancel_at=JAN_2),
        lambda site, wait: site.reactivate_subscription("sub", JAN_2 + DAY),
    ),
    "subscription_renewal_reminder": (
        lambda site, wait: setattr(site.settings, "reminder_days", 3),
        lambda site, wait: wait(18),
    ),
    "subscription_renewed": (lambda site, wait: wait(21),),
    "subscription_items_renewed": (
        lambda site, wait: setattr(site.settings, "multi_frequency", True),
        lambda site, wait: site.create_subscription("acme", ["pro-USD", "extra-USD"]),
        lambda site, wait: wait(7),
    ),
    "subscription_paused": (lambda site, wait: site.pause_subscription("sub"),),
    "subscription_pause_scheduled": (lambda site, wait: site.pause_subscription("sub", FEB_1),),
    "subscription_scheduled_pause_removed": (
        lambda site, wait: site.pause_subscription("sub", FEB_1),
        lambda site, wait: site.remove_scheduled_pause("sub"),
    ),
    "subscription_resumed": (
        lambda site, wait: site.pause_subscription("sub"),
        lambda site, wait: site.resume_subscription("sub"),
    ),
    "subscription_resumption_scheduled": (
        lambda site, wait: site.pause_subscription("sub"),
        lambda site, wait: site.resume_subscription("sub", FEB_1),
    ),
    "subscription_scheduled_resumption_removed": (
        lambda site, wait: site.pause_subscription("sub"),
        lambda site, wait: site.resume_subscription("sub", FEB_1),
        lambda site, wait: site.remove_scheduled_resumption("sub"),
    ),
    "subscription_deleted": (lambda site, wait: site.delete_subscription("sub"),),
    "subscription_moved_out": (lambda site, wait: site.move_subscription("sub", "other"),),
    "subscription_moved_in": (lambda site, wait: site.move_subscription("sub", "other"),),
    "subscription_movement_failed": (
        lambda site, wait: setattr(site.settings, "move_seconds", DAY),
        lambda site, wait: site.move_subscription("sub", "other"),
        lambda site, wait: site.create_one_time_invoice(
            subscription_id="sub", charges=[{"amount": 1, "description": "Late"}]
        ),
        lambda site, wait: wait(1),
    ),
    "subscription_business_entity_changed": (lambda site, wait: site.transfer_subscription("sub", "eu"),),
    "subscription_advance_invoice_schedule_added": (
        lambda site, wait: site.charge_future_renewals("sub", specific_dates_schedule=[{"date": JAN_11 + DAY}]),
    ),
    "subscription_advance_invoice_schedule_updated": (
        lambda site, wait: site.charge_future_renewals("sub", specific_dates_schedule=[{"date": JAN_11 + DAY}]),
        lambda site, wait: site.edit_advance_schedule("sub", [{"date": FEB_1}]),
    ),
    "subscription_advance_invoice_schedule_removed": (
        lambda site, wait: site.charge_future_renewals("sub", specific_dates_schedule=[{"date": JAN_11 + DAY}]),
        lambda site, wait: site.remove_advance_schedule("sub"),
    ),
    "subscription_entitlements_created": (
        lambda site, wait: site.announce("subscription_entitlements_created", subscription="sub"),
    ),
    "subscription_entitlements_updated": (
        lambda site, wait: site.announce("subscription_entitlements_updated", subscription="sub"),
    ),
    "contract_term_created": (lambda site, wait: site.update_subscription("sub", contract_term=CONTRACT),),
    "contract_term_renewed": (
        lambda site, wait: site.update_subscription("sub", contract_term=CONTRACT),
        lambda site, wait: wait(21),
    ),
    "contract_term_completed": (
        lambda site, wait: site.update_subscription("sub", contract_term={**CONTRACT, "action_at_term_end": "cancel"}),
        lambda site, wait: wait(21),
    ),
    "contract_term_terminated": (
        lambda site, wait: site.update_subscription("sub", contract_term=CONTRACT),
        lambda site, wait: site.cancel_subscription("sub"),
    ),
    "contract_term_cancelled": (
        lambda site, wait: site.update_subscription("sub", contract_term=CONTRACT),
        lambda site, wait: site.delete_subscription("sub"),
    ),
    "pending_invoice_created": (lambda site, wait: wait(21),),
    "pending_invoice_updated": (
        lambda site, wait: wait(21),
        lambda site, wait: site.add_charge_item(draft_of(site), "calls-USD", 5),
    ),
    "invoice_generated": (
        lambda site, wait: wait(21),
        lambda site, wait: site.close_invoice(draft_of(site)),
    ),
    "invoice_generated_with_backdating": (
        lambda site, wait: site.create_one_time_invoice(
            subscription_id="sub", charges=[{"amount": 1, "description": "Late"}], invoice_date=JAN_2
        ),
    ),
    "invoice_updated": (
        lambda site, wait: site.create_subscription("acme", ["pro-USD"]),
        lambda site, wait: site.void_invoice("2"),
    ),
    "invoice_deleted": (
        lambda site, wait: wait(21),
        lambda site, wait: site.delete_invoice(draft_of(site)),
    ),
    "mrr_updated": (
        lambda site, wait: setattr(site.settings, "mrr_seconds", 60),
        lambda site, wait: site.update_subscription("sub", ["max-USD"]),
        lambda site, wait: wait(1),
    ),
    "dunning_updated": (
        lambda site, wait: site.update_customer("acme", card_status="valid"),
        lambda site, wait: site.settings.dunning_days.extend([1, 1]),
        lambda site, wait: setattr(site.settings, "cards_decline", True),
        lambda site, wait: site.create_subscription("acme", ["pro-USD"]),
        lambda site, wait: wait(1),
    ),
}


def draft_of(site: Site) -> str:
    [draft] = site.pending_invoices("sub")
    return str(draft["id"])


@pytest.mark.parametrize("event_type", MADE_BY)
def test_every_event_can_be_made(event_type: str, shop: Sandbox):
    site = shop.chargebee
    site.create_item("extra", "addon")
    site.create_item_price("extra-USD", "extra", 500, period=1, period_unit="week")
    site.create_customer("other")
    site.pay_invoice("1")
    site.settings.auto_close_days = 40
    shop.advance(timedelta(days=10))
    for act in MADE_BY[event_type]:
        known = len(site.events)
        act(site, lambda days: shop.advance(timedelta(days=days)))
        # Whoever asks at every call is told the same as if everything were looked at.
        assert site.expected_due() == site.next_due()
    assert event_type in [event["event_type"] for event in list(site.events.values())[known:]]


def test_no_event_is_forgotten():
    assert set(MADE_BY) == {str(name) for name in chargebee.EventType if str(name).startswith(PREFIXES)}


def test_an_event_about_what_the_sandbox_has_no_rules_for_can_be_announced(shop: Sandbox):
    shop.chargebee.announce("unbilled_charges_voided", subscription="sub", customer="acme")
    told = list(shop.chargebee.events.values())[-1]
    assert (told["event_type"], told["content"]["customer"]["id"]) == ("unbilled_charges_voided", "acme")


def test_changes_within_one_second_are_told_apart_by_their_versions_only(shop: Sandbox):
    for prices in (["max-USD"], ["pro-USD"]):
        shop.chargebee.update_subscription("sub", prices)
    first, second = list(shop.chargebee.events.values())[-2:]
    assert (first["event_type"], first["occurred_at"]) == (second["event_type"], second["occurred_at"])
    versions = [event["content"]["subscription"]["resource_version"] for event in (first, second)]
    assert versions[0] < versions[1] == shop.chargebee.subscriptions["sub"]["resource_version"]
