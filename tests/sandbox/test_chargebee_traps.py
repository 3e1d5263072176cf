"""The traps of Chargebee (chargebee.md §16), by their numbers: the tests that show them, or why a server cannot.

1: test_trap_1_no_event_links_a_draft_with_its_final_invoice
2: test_trap_2_the_first_invoice_of_a_subscription_is_not_pending
2: test_trap_2_a_site_that_does_not_notify_keeps_quiet_about_pending_invoices
3: test_trap_3_usage_lines_sit_on_an_invoice_whose_plan_line_is_for_the_next_term
4: test_trap_4_all_lines_of_one_item_price_look_identical
5: test_trap_5_each_added_charge_tells_everybody_unless_it_is_asked_not_to
6: test_trap_6_a_retry_after_thirty_minutes_duplicates_a_charge
7: test_trap_7_reusing_a_headers_dict_with_sdk_retries_on_sends_an_old_idempotency_key_again
8: test_trap_8_sdk_429_handling_ignores_its_most_retries
8: our client: test_a_short_wait_is_honoured_here
9: our client: test_a_local_address_may_be_plain_http_and_have_a_prefix
10: test_trap_10_a_meta_data_dict_is_refused_and_a_json_string_keeps_its_letters
11: test_trap_11_a_non_json_error_page_is_a_bare_exception
12: test_trap_12_invoice_customer_id_is_the_invoice_owner_in_hierarchies
12: test_trap_12_invoice_subscription_id_is_absent_on_consolidated_invoices
13: test_trap_13_cancelled_at_is_already_filled_while_the_subscription_is_non_renewing
14: test_trap_14_activated_at_moves_on_reactivation_and_started_at_does_not
15: test_trap_15_a_change_for_the_end_of_the_term_has_no_time_of_its_own
16: test_trap_16_the_backdated_cancellation_is_spelled_with_one_l
17: test_trap_17_updated_at_on_invoices_ignores_dunning_changes
17: test_trap_17_mrr_lags
18: test_trap_18_webhooks_are_absent_on_the_first_delivery
19: test_trap_19_ordering_by_occurred_at_is_wrong_and_by_resource_version_is_right
20: test_trap_20_three_decimal_currencies_have_two_decimals
21: test_trap_21_a_tax_inclusive_site_says_so_on_its_invoices
22: test_trap_22_deleting_an_invoice_erases_the_usage_on_it
22: test_trap_22_regenerated_invoices_are_not_pending
23: test_trap_23_auto_close_can_win_the_race_against_bill_approval
24: test_trap_24_promotional_credits_are_customer_wide_and_another_subscription_may_eat_them
25: test_trap_25_empty_enabled_events_subscribe_to_everything
25: test_trap_25_more_than_five_webhook_endpoints_are_refused
25: test_trap_25_only_few_ports_are_sent_to
26: test_trap_26_the_default_page_size_is_ten
27: test_trap_27_list_filters_with_python_lists_are_refused
28: test_trap_28_the_subscription_id_changes_on_a_business_entity_transfer_and_the_old_copy_stays
29: test_trap_29_one_invoice_can_hold_several_lines_of_one_item_price
30: test_trap_30_the_first_retry_comes_after_two_minutes_and_a_raw_key_is_refused
31: our client: test_the_sdk_builds_no_certificate_store_for_a_call
32: our client: test_proxies_and_netrc_of_the_environment_are_not_used
33: test_trap_33_an_event_the_sdk_can_deserialize_says_v2
34: test_trap_34_none_is_sent_as_an_empty_string_and_clears_the_field
35: test_trap_35_coupons_cannot_be_put_on_an_already_pending_invoice
36: test_trap_36_a_zero_due_invoice_becomes_paid_with_no_payment_event
37: test_trap_37_no_list_tells_that_a_closed_draft_is_gone
38: test_trap_38_what_an_app_store_sold_must_not_be_written_to
38: test_trap_38_no_operation_on_customers_and_subscriptions_is_forgotten
39: test_trap_39_setting_one_flag_with_update_for_items_deletes_scheduled_changes
39: test_trap_39_items_sent_to_a_cancelled_subscription_bring_it_back
40: test_trap_40_an_invoice_cannot_be_voided_when_it_is
40: test_trap_40_the_comment_of_a_deletion_lands_on_the_subscription
41: test_trap_41_the_subscription_id_filter_is_forbidden_with_consolidated_invoicing
42: test_trap_42_an_enterprise_scale_site_gives_lines_page_by_page
43: test_trap_43_unit_price_is_refused_for_tiered_prices
44: test_trap_44_an_open_invoice_blocks_moving_its_subscription_to_another_customer
45: test_trap_45_the_time_machine_starts_by_deleting_all_customer_data_and_ends_at_the_present
"""

import ast
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import chargebee
import pytest
from chargebee import Chargebee
from chargebee.retry_config import RetryConfig

from connector.money import exponent, to_major
from connector.sandbox import Sandbox
from connector.sandbox.chargebee.routes import ROUTES

DAY = 86_400
JAN_1, FEB_1, MAR_1 = 1_767_225_600, 1_769_904_000, 1_772_323_200
CALLS = {"item_price": {"item_price_id": "calls-USD", "unit_price": 2900, "date_from": JAN_1, "date_to": FEB_1}}


def event_types(box: Sandbox) -> list[str]:
    return [event["event_type"] for event in box.chargebee.events.values()]


def test_trap_1_no_event_links_a_draft_with_its_final_invoice(draft_id: str, shop: Sandbox):
    before = len(shop.chargebee.events)
    final = shop.chargebee.close_invoice(draft_id)
    told = list(shop.chargebee.events.values())[before:]
    assert [event["event_type"] for event in told] == ["invoice_generated"]
    assert draft_id not in json.dumps([final, told])


def test_trap_2_the_first_invoice_of_a_subscription_is_not_pending(shop: Sandbox):
    assert [row["status"] for row in shop.chargebee.invoices.values()] == ["payment_due"]


def test_trap_2_a_site_that_does_not_notify_keeps_quiet_about_pending_invoices(shop: Sandbox):
    shop.chargebee.settings.notify_pending_invoices = False
    shop.advance(timedelta(days=31))
    assert len(shop.chargebee.pending_invoices("sub")) == 1
    assert event_types(shop)[-1] == "subscription_renewed"


def test_trap_3_usage_lines_sit_on_an_invoice_whose_plan_line_is_for_the_next_term(
    draft_id: str, shop: Sandbox, chargebee_sdk: Chargebee
):
    lines = chargebee_sdk.Invoice.add_charge_item(draft_id, CALLS).invoice.line_items
    assert [(line.date_from, line.date_to) for line in lines] == [(FEB_1, MAR_1), (JAN_1, FEB_1)]


def test_trap_4_all_lines_of_one_item_price_look_identical(draft_id: str, shop: Sandbox, chargebee_sdk: Chargebee):
    for _ in range(2):
        invoice = chargebee_sdk.Invoice.add_charge_item(draft_id, {**CALLS, "comment": "one of them"}).invoice
    first, second = ({**line.raw_data, "id": ""} for line in invoice.line_items[1:])
    assert (first, first["description"]) == (second, "calls-USD")


def test_trap_5_each_added_charge_tells_everybody_unless_it_is_asked_not_to(
    draft_id: str, shop: Sandbox, chargebee_sdk: Chargebee
):
    shop.chargebee.add_webhook_endpoint("http://x.test/hook")
    charge = {"item_price": {"item_price_id": "calls-USD", "unit_price": 1}}
    chargebee_sdk.Invoice.add_charge_item(draft_id, charge)
    chargebee_sdk.Invoice.add_charge_item(draft_id, charge, {"chargebee-event-webhook": "all-disabled"})
    told: list[Any] = []

    def receive(url: str, headers: dict[str, str], body: bytes) -> int:
        told.append(json.loads(body))
        return 200

    shop.deliver(receive)
    [event] = told
    assert (event["event_type"], event["source"], event["user"]) == (
        "pending_invoice_updated",
        "api",
        "sandbox full access key",
    )
    assert len(shop.chargebee.invoices[draft_id]["line_items"]) == 3


def test_trap_6_a_retry_after_thirty_minutes_duplicates_a_charge(
    draft_id: str, shop: Sandbox, chargebee_sdk: Chargebee
):
    for minutes, lines in ((0, 2), (29, 2), (30, 3)):
        shop.advance(to=shop.clock.now().replace(minute=minutes % 60))
        answer = chargebee_sdk.Invoice.add_charge_item(draft_id, CALLS, {"chargebee-idempotency-key": "k"})
        assert len(answer.invoice.line_items) == lines
        assert answer.is_idempotency_replayed is (minutes == 29)


def test_trap_7_reusing_a_headers_dict_with_sdk_retries_on_sends_an_old_idempotency_key_again(
    draft_id: str, shop: Sandbox, chargebee_sdk: Chargebee
):
    chargebee_sdk.update_retry_config(RetryConfig(enabled=True, max_retries=1, delay_ms=1, retry_on=[500]))
    headers = {"x-used": "twice"}
    chargebee_sdk.Invoice.add_charge_item(draft_id, CALLS, headers)
    again = chargebee_sdk.Invoice.add_charge_item(draft_id, CALLS, headers)
    assert (again.is_idempotency_replayed, len(again.invoice.line_items)) == (True, 2)


def test_trap_8_sdk_429_handling_ignores_its_most_retries(box: Sandbox, chargebee_sdk: Chargebee):
    chargebee_sdk.update_retry_config(RetryConfig(enabled=True, max_retries=1, delay_ms=1, retry_on=[500]))
    box.faults.order("chargebee", "list_customers", "status", count=5, status=429, retry_after=60)
    chargebee_sdk.Customer.list()
    assert [call.status for call in box.calls] == [429] * 5 + [200]


def test_trap_10_a_meta_data_dict_is_refused_and_a_json_string_keeps_its_letters(
    box: Sandbox, chargebee_sdk: Chargebee
):
    with pytest.raises(Exception, match="meta_data"):
        chargebee_sdk.Customer.create({"id": "acme", "meta_data": {"Foo": "Bar"}})
    made = chargebee_sdk.Customer.create({"id": "acme", "meta_data": json.dumps({"Foo": "Bar"})}).customer
    assert made.raw_data["meta_data"] == {"Foo": "Bar"}


def test_trap_11_a_non_json_error_page_is_a_bare_exception(box: Sandbox, chargebee_sdk: Chargebee):
    box.faults.order("chargebee", "list_customers", "html", status=503)
    with pytest.raises(Exception, match="503") as caught:
        chargebee_sdk.Customer.list()
    assert not isinstance(caught.value, chargebee.APIError)


@pytest.mark.parametrize(("override", "owner"), [(False, "parent"), (True, "acme")])
def test_trap_12_invoice_customer_id_is_the_invoice_owner_in_hierarchies(
    override: bool, owner: str, shop: Sandbox, chargebee_http: Any
):
    shop.chargebee.create_customer("parent", card_status="valid")
    shop.chargebee.relate_customer("acme", "parent", "parent", "parent")
    shop.chargebee.update_subscription("sub", override_relationship=override)
    shop.advance(timedelta(days=31))
    [draft] = shop.chargebee.pending_invoices("sub")
    assert (draft["customer_id"], draft["payment_owner"], draft["subscription_id"]) == (owner, owner, "sub")
    assert [line["customer_id"] for line in draft["line_items"]] == ["acme"]
    closed = chargebee_http.post(f"invoices/{draft['id']}/close").json["invoice"]
    assert closed["status"] == ("paid" if owner == "parent" else "payment_due")


def test_trap_12_invoice_subscription_id_is_absent_on_consolidated_invoices(shop: Sandbox, chargebee_sdk: Chargebee):
    shop.chargebee.settings.consolidated_invoicing = True
    shop.chargebee.create_subscription("acme", ["max-USD"], id="s2")
    before = len(shop.chargebee.events)
    shop.advance(timedelta(days=31))
    assert event_types(shop)[before:] == [*["subscription_renewed"] * 2, "pending_invoice_created"]
    [row] = chargebee_sdk.Invoice.list({"customer_id": {"IS": "acme"}, "status": {"IS": "pending"}}).list
    assert ("subscription_id" in row.invoice.raw_data, row.invoice.total) == (False, 40_000)
    added = chargebee_sdk.Invoice.add_charge_item(row.invoice.id, {**CALLS, "subscription_id": "s2"}).invoice
    assert [line.subscription_id for line in added.line_items] == ["sub", "s2", "s2"]


def test_trap_13_cancelled_at_is_already_filled_while_the_subscription_is_non_renewing(
    shop: Sandbox, chargebee_sdk: Chargebee
):
    leaving = chargebee_sdk.Subscription.cancel_for_items("sub", {"end_of_term": True}).subscription
    assert (leaving.status, leaving.cancelled_at) == ("non_renewing", FEB_1)
    shop.advance(timedelta(days=30))
    assert shop.chargebee.subscriptions["sub"]["status"] == "non_renewing"


def test_trap_14_activated_at_moves_on_reactivation_and_started_at_does_not(shop: Sandbox):
    shop.advance(timedelta(days=10))
    shop.chargebee.cancel_subscription("sub")
    back = shop.chargebee.reactivate_subscription("sub")
    assert (back["started_at"], back["activated_at"]) == (JAN_1, JAN_1 + 864_000)


def test_trap_15_a_change_for_the_end_of_the_term_has_no_time_of_its_own(shop: Sandbox, chargebee_http: Any):
    form = {
        "subscription_items[item_price_id][0]": "max-USD",
        "replace_items_list": "true",
        "change_option": "end_of_term",
    }
    scheduled = chargebee_http.post("subscriptions/sub/update_for_items", form).json["subscription"]
    assert (scheduled["has_scheduled_changes"], "changes_scheduled_at" in scheduled) == (True, False)


def test_trap_16_the_backdated_cancellation_is_spelled_with_one_l(shop: Sandbox):
    shop.advance(timedelta(days=10))
    shop.chargebee.cancel_subscription("sub", cancel_at=JAN_1)
    shop.chargebee.create_subscription("acme", ["pro-USD"], id="s2")
    shop.chargebee.cancel_subscription("s2")
    told = [event["event_type"] for event in shop.chargebee.events.values()]
    assert [name for name in told if name.startswith("subscription_cancel")] == [
        "subscription_canceled_with_backdating",
        "subscription_cancelled",
    ]


def test_trap_17_updated_at_on_invoices_ignores_dunning_changes(draft_id: str, shop: Sandbox, chargebee_sdk: Chargebee):
    shop.chargebee.update_customer("acme", card_status="valid")
    shop.chargebee.settings.cards_decline = True
    shop.chargebee.settings.dunning_days[:] = [1, 3]
    closed = chargebee_sdk.Invoice.close(draft_id).invoice
    assert (closed.status, closed.dunning_status) == ("payment_due", "in_progress")
    assert event_types(shop)[-2:] == ["invoice_generated", "payment_failed"]
    shop.advance(timedelta(days=1))
    retried = chargebee_sdk.Invoice.retrieve(closed.id).invoice
    assert (retried.next_retry_at, len(retried.dunning_attempts)) == (FEB_1 + 4 * DAY, 1)
    assert (retried.updated_at, retried.resource_version > closed.resource_version) == (closed.updated_at, True)
    shop.advance(timedelta(days=3))
    given_up = chargebee_sdk.Invoice.retrieve(closed.id).invoice
    assert (given_up.status, given_up.dunning_status, given_up.next_retry_at) == ("not_paid", "exhausted", None)
    assert given_up.updated_at == FEB_1 + 4 * DAY


def test_trap_17_mrr_lags(shop: Sandbox):
    shop.chargebee.settings.mrr_seconds = 60
    assert "mrr" not in shop.chargebee.update_subscription("sub", ["max-USD"])
    shop.advance(timedelta(seconds=60))
    assert (shop.chargebee.subscriptions["sub"]["mrr"], event_types(shop)[-1]) == (30_000, "mrr_updated")


def test_trap_18_webhooks_are_absent_on_the_first_delivery(box: Sandbox):
    box.chargebee.add_webhook_endpoint("http://x.test/hook")
    box.chargebee.create_customer("acme")
    refusing = iter([503, 200])
    told: list[Any] = []

    def receive(url: str, headers: dict[str, str], body: bytes) -> int:
        told.append(json.loads(body))
        return next(refusing)

    box.deliver(receive)
    box.advance(timedelta(minutes=2), send=receive)
    first, second = told
    assert "webhooks" not in first
    assert [row["webhook_status"] for row in second["webhooks"]] == ["re_scheduled"]


def test_trap_19_ordering_by_occurred_at_is_wrong_and_by_resource_version_is_right(box: Sandbox):
    box.chargebee.create_customer("acme")
    for number in range(3):
        box.chargebee.update_customer("acme", company=str(number))
    events = list(box.chargebee.events.values())
    assert len({event["occurred_at"] for event in events}) == 1
    versions = [event["content"]["customer"]["resource_version"] for event in events]
    assert versions == sorted(set(versions))


@pytest.mark.parametrize(("currency", "shown"), [("KWD", "10.50"), ("BHD", "10.50"), ("JPY", "1050"), ("USD", "10.50")])
def test_trap_20_three_decimal_currencies_have_two_decimals(currency: str, shown: str, shop: Sandbox):
    shop.chargebee.settings.currencies.append(currency)
    shop.chargebee.create_item_price("pro-other", "pro", 1050, currency_code=currency)
    shop.chargebee.create_subscription("acme", ["pro-other"])
    invoice = list(shop.chargebee.invoices.values())[-1]
    assert (invoice["currency_code"], invoice["total"]) == (currency, 1050)
    assert str(to_major(invoice["total"], exponent(currency))) == shown


def test_trap_21_a_tax_inclusive_site_says_so_on_its_invoices(shop: Sandbox):
    shop.chargebee.settings.price_type = "tax_inclusive"
    shop.advance(timedelta(days=31))
    [draft] = shop.chargebee.pending_invoices("sub")
    assert draft["price_type"] == "tax_inclusive"


def test_trap_22_deleting_an_invoice_erases_the_usage_on_it(shop: Sandbox, chargebee_sdk: Chargebee):
    shop.chargebee.create_unbilled_charges("sub", [{"item_price_id": "calls-USD", "unit_price": 5}], None, "USD")
    shop.advance(timedelta(days=31))
    [draft] = shop.chargebee.pending_invoices("sub")
    assert [line["entity_id"] for line in draft["line_items"]] == ["pro-USD", "calls-USD"]
    chargebee_sdk.Invoice.delete(draft["id"])
    shop.advance(timedelta(days=28))
    [following] = shop.chargebee.pending_invoices("sub")
    assert [line["entity_id"] for line in following["line_items"]] == ["pro-USD"]
    assert chargebee_sdk.UnbilledCharge.list().list == []


def test_trap_22_regenerated_invoices_are_not_pending(draft_id: str, shop: Sandbox, chargebee_sdk: Chargebee):
    with pytest.raises(chargebee.InvalidRequestError) as caught:
        chargebee_sdk.Subscription.regenerate_invoice("sub")
    assert caught.value.http_status_code == 409
    chargebee_sdk.Invoice.add_charge_item(draft_id, CALLS)
    chargebee_sdk.Invoice.delete(draft_id)
    made = chargebee_sdk.Subscription.regenerate_invoice("sub").invoice
    assert (made.status, made.total, made.line_items[0].date_from) == ("payment_due", 10_000, FEB_1)
    assert event_types(shop)[-2:] == ["invoice_deleted", "invoice_generated"]


def test_trap_23_auto_close_can_win_the_race_against_bill_approval(draft_id: str, shop: Sandbox, chargebee_http: Any):
    shop.chargebee.settings.auto_close_days = 1
    shop.advance(timedelta(days=1))
    form = {"item_price[item_price_id]": "calls-USD"}
    assert chargebee_http.post(f"invoices/{draft_id}/add_charge_item", form).status_code == 404
    final = list(shop.chargebee.invoices)[-1]
    assert chargebee_http.post(f"invoices/{final}/add_charge_item", form).status_code == 409


def test_trap_24_promotional_credits_are_customer_wide_and_another_subscription_may_eat_them(shop: Sandbox):
    shop.chargebee.add_promotional_credits("acme", 2_500, "for sub", "USD")
    shop.chargebee.create_subscription("acme", ["pro-USD"], id="other")
    invoice = shop.chargebee.invoices["2"]
    assert (invoice["subscription_id"], invoice["sub_total"], invoice["amount_due"]) == ("other", 7_500, 7_500)
    assert [row["discount_type"] for row in invoice["line_item_discounts"]] == ["promotional_credits"]
    assert shop.chargebee.customers["acme"]["promotional_credits"] == 0


def test_trap_25_empty_enabled_events_subscribe_to_everything(box: Sandbox, chargebee_sdk: Chargebee):
    form = {"name": "all", "url": "http://x.test/hook", "api_version": "v2", "enabled_events": ["invoice_updated"]}
    endpoint = chargebee_sdk.WebhookEndpoint.create(form).webhook_endpoint
    chargebee_sdk.Customer.create({"id": "quiet"})
    chargebee_sdk.WebhookEndpoint.update(endpoint.id, {"name": "renamed"})
    chargebee_sdk.Customer.create({"id": "loud"})
    assert [posting.event_type for posting in box.webhooks.waiting] == ["customer_created"]
    assert list(box.chargebee.events)[-1] == box.webhooks.waiting[0].event_id


def test_trap_25_more_than_five_webhook_endpoints_are_refused(box: Sandbox, chargebee_http: Any):
    for number in range(5):
        box.chargebee.add_webhook_endpoint(f"http://x.test/{number}")
    answer = chargebee_http.post("webhook_endpoints", {"name": "six", "url": "http://x.test/6"})
    assert (answer.status_code, answer.json["api_error_code"]) == (400, "resource_limit_exceeded")


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("http://x.test/hook", 200),
        ("https://x.test:8443/hook", 200),
        ("http://x.test:8000/hook", 400),
        ("ftp://x.test/hook", 400),
        ("http://x.test:99999/hook", 400),
    ],
)
def test_trap_25_only_few_ports_are_sent_to(url: str, status: int, box: Sandbox, chargebee_http: Any):
    assert chargebee_http.post("webhook_endpoints", {"name": "test", "url": "http://x.test:8000/"}).status_code == 200
    box.chargebee.settings.any_webhook_port = False
    [endpoint_id] = box.chargebee.webhook_endpoints
    for path in ("webhook_endpoints", f"webhook_endpoints/{endpoint_id}"):
        assert chargebee_http.post(path, {"name": "real", "url": url}).status_code == status


def test_trap_26_the_default_page_size_is_ten(box: Sandbox, chargebee_sdk: Chargebee):
    for number in range(11):
        box.chargebee.create_customer(f"c{number}")
    assert [len(chargebee_sdk.Customer.list(query).list) for query in ({}, {"limit": 100})] == [10, 11]


def test_trap_27_list_filters_with_python_lists_are_refused(draft_id: str, chargebee_sdk: Chargebee):
    with pytest.raises(Exception, match="status"):
        chargebee_sdk.Invoice.list({"status": {"IN": ["pending", "paid"]}})
    for sent in ("[pending,paid]", json.dumps(["pending", "paid"])):
        [row] = chargebee_sdk.Invoice.list({"status": {"IN": sent}}).list
        assert row.invoice.id == draft_id


def test_trap_28_the_subscription_id_changes_on_a_business_entity_transfer_and_the_old_copy_stays(
    shop: Sandbox, chargebee_sdk: Chargebee
):
    form = {
        "active_resource_ids": ["acme"],
        "destination_business_entity_ids": ["eu"],
        "resource_types": ["customer"],
        "reason_codes": ["moved"],
    }
    transfer = chargebee_sdk.BusinessEntity.create_transfers(form).business_entity_transfer
    assert (transfer.resource_id, transfer.destination_business_entity_id) == ("acme", "eu")
    old = chargebee_sdk.Subscription.retrieve("sub").subscription
    live = chargebee_sdk.Subscription.retrieve(old.active_id).subscription
    assert (old.status, live.status, live.business_entity_id) == ("transferred", "active", "eu")
    assert live.customer_id == chargebee_sdk.Customer.retrieve("acme").customer.active_id == transfer.active_resource_id
    assert [event["event_type"] for event in list(shop.chargebee.events.values())[-2:]] == [
        "customer_business_entity_changed",
        "subscription_business_entity_changed",
    ]
    shop.advance(timedelta(days=31))
    assert shop.chargebee.pending_invoices("sub") == []
    assert len(shop.chargebee.pending_invoices(live.id)) == 1
    with pytest.raises(chargebee.InvalidRequestError) as caught:
        chargebee_sdk.Subscription.update_for_items("sub", {"auto_close_invoices": False})
    assert caught.value.http_status_code == 409


def test_trap_29_one_invoice_can_hold_several_lines_of_one_item_price(shop: Sandbox, chargebee_sdk: Chargebee):
    for amount in (3, 4):
        shop.chargebee.create_unbilled_charges(
            "sub", [{"item_price_id": "calls-USD", "unit_price": amount}], None, "USD"
        )
        shop.advance(timedelta(days=10))
    shop.advance(timedelta(days=11))
    [draft] = shop.chargebee.pending_invoices("sub")
    lines = chargebee_sdk.Invoice.add_charge_item(draft["id"], CALLS).invoice.line_items[1:]
    assert [(line.entity_id, line.amount) for line in lines] == [("calls-USD", each) for each in (3, 4, 2900)]
    assert len({line.id for line in lines}) == 3


def test_trap_30_the_first_retry_comes_after_two_minutes_and_a_raw_key_is_refused(box: Sandbox, chargebee_http: Any):
    box.chargebee.add_webhook_endpoint("http://x.test/hook")
    box.chargebee.create_customer("acme")
    told: list[bytes] = []

    def refuse(url: str, headers: dict[str, str], body: bytes) -> int:
        told.append(body)
        return 503

    box.deliver(refuse)
    for wait, deliveries in ((119, 1), (1, 2)):
        box.advance(timedelta(seconds=wait), send=refuse)
        assert len(told) == deliveries
    headers = {"Authorization": f"Basic {box.chargebee.api_key}"}
    assert chargebee_http.get("customers", auth=None, headers=headers).status_code == 401


def test_trap_33_an_event_the_sdk_can_deserialize_says_v2(shop: Sandbox, chargebee_sdk: Chargebee):
    event = list(shop.chargebee.events.values())[-1]
    parsed = chargebee_sdk.Event.deserialize(json.dumps(event))
    assert parsed.content["invoice"]["id"] == "1"
    with pytest.raises(Exception, match="V1"):
        chargebee_sdk.Event.deserialize(json.dumps({**event, "api_version": "v1"}))


def test_trap_34_none_is_sent_as_an_empty_string_and_clears_the_field(box: Sandbox, chargebee_sdk: Chargebee):
    box.chargebee.create_customer("acme", company="Acme", email="ap@acme.test")
    changed = chargebee_sdk.Customer.update("acme", {"company": "Acme Ltd", "email": None}).customer
    assert "email" not in changed.raw_data


def test_trap_35_coupons_cannot_be_put_on_an_already_pending_invoice(
    draft_id: str, shop: Sandbox, chargebee_sdk: Chargebee
):
    form = {"id": "ten", "name": "Ten", "discount_type": "percentage", "discount_percentage": 10}
    chargebee_sdk.Coupon.create_for_items({**form, "apply_on": "invoice_amount", "duration_type": "one_time"})
    held = chargebee_sdk.Subscription.update_for_items("sub", {"coupon_ids": ["ten"]}).subscription
    assert [row.coupon_id for row in held.coupons] == ["ten"]
    assert chargebee_sdk.Invoice.close(draft_id).invoice.total == 10_000
    for total in (9_000, 10_000):
        shop.advance(timedelta(days=31))
        assert shop.chargebee.pending_invoices("sub")[-1]["total"] == total


def test_trap_36_a_zero_due_invoice_becomes_paid_with_no_payment_event(draft_id: str, shop: Sandbox):
    shop.chargebee.update_customer("acme", card_status="valid")
    shop.chargebee.create_credit_note("refundable", customer_id="acme", total=99_999, currency_code="USD")
    closed = shop.chargebee.close_invoice(draft_id)
    assert (closed["status"], closed["amount_paid"], closed["linked_payments"]) == ("paid", 0, [])
    assert "payment_succeeded" not in event_types(shop)


def test_trap_37_no_list_tells_that_a_closed_draft_is_gone(draft_id: str, shop: Sandbox, chargebee_http: Any):
    final = shop.chargebee.close_invoice(draft_id)["id"]
    rows = chargebee_http.get("invoices", query_string={"include_deleted": "true"}).json["list"]
    assert {row["invoice"]["id"] for row in rows} == {"1", final}


# What changes a customer or a subscription, by its path.
WRITES: dict[str, dict[str, Any]] = {
    "customers/phone": {"company": "Acme"},
    "customers/phone/delete": {},
    "customers/phone/clear_personal_data": {},
    "customers/phone/relationships": {"parent_id": "acme"},
    "customers/phone/delete_relationship": {},
    "subscriptions/app/update_for_items": {"auto_close_invoices": "false"},
    "subscriptions/app/remove_coupons": {},
    "subscriptions/app/charge_future_renewals": {},
    "subscriptions/app/edit_advance_invoice_schedule": {"specific_dates_schedule[date][0]": FEB_1},
    "subscriptions/app/remove_advance_invoice_schedule": {},
    "subscriptions/app/regenerate_invoice": {},
    "subscriptions/app/cancel_for_items": {},
    "subscriptions/app/reactivate": {},
    "subscriptions/app/pause": {},
    "subscriptions/app/resume": {},
    "subscriptions/app/remove_scheduled_pause": {},
    "subscriptions/app/remove_scheduled_resumption": {},
    "subscriptions/app/remove_scheduled_cancellation": {},
    "subscriptions/app/remove_scheduled_changes": {},
    "subscriptions/app/move": {"to_customer_id": "acme"},
    "subscriptions/app/create_ramp": {"effective_from": FEB_1},
    "subscriptions/app/delete": {},
    "business_entities/transfers": {
        "active_resource_ids[0]": "app",
        "destination_business_entity_ids[0]": "eu",
        "resource_types[0]": "subscription",
        "reason_codes[0]": "moved",
    },
    "unbilled_charges": {
        "subscription_id": "app",
        "currency_code": "USD",
        "charges[amount][0]": 1,
        "charges[description][0]": "x",
    },
    "promotional_credits/add": {"customer_id": "phone", "amount": 1, "currency_code": "USD", "description": "x"},
    "promotional_credits/deduct": {"customer_id": "phone", "amount": 1, "currency_code": "USD", "description": "x"},
    "promotional_credits/set": {"customer_id": "phone", "amount": 1, "currency_code": "USD", "description": "x"},
}


@pytest.mark.parametrize("channel", ["app_store", "play_store"])
@pytest.mark.parametrize("path", WRITES)
def test_trap_38_what_an_app_store_sold_must_not_be_written_to(
    path: str, channel: str, shop: Sandbox, chargebee_http: Any
):
    shop.chargebee.create_customer("phone", channel=channel)
    shop.chargebee.create_subscription("phone", ["pro-USD"], id="app", channel=channel)
    before = len(shop.chargebee.events)
    answer = chargebee_http.post(path, WRITES[path])
    assert (answer.status_code, answer.json["api_error_code"]) == (400, "configuration_incompatible")
    assert len(shop.chargebee.events) == before


def test_trap_38_no_operation_on_customers_and_subscriptions_is_forgotten():
    paths = [path for method, path, _ in ROUTES.values() if method == "POST"]
    changes = {
        path.replace("/<id>", f"/{resource_id}").lstrip("/")
        for kind, resource_id in (("customers", "phone"), ("subscriptions", "app"))
        for path in paths
        if path.startswith(f"/{kind}/<id>")
    }
    # The store itself sells.
    assert changes - {"customers/phone/subscription_for_items"} <= set(WRITES)


def test_trap_39_setting_one_flag_with_update_for_items_deletes_scheduled_changes(
    shop: Sandbox, chargebee_sdk: Chargebee
):
    shop.chargebee.update_subscription("sub", ["max-USD"], end_of_term=True)
    changed = chargebee_sdk.Subscription.update_for_items("sub", {"auto_close_invoices": False}).subscription
    assert (changed.has_scheduled_changes, shop.chargebee.scheduled_changes) == (False, {})


def test_trap_39_items_sent_to_a_cancelled_subscription_bring_it_back(shop: Sandbox, chargebee_http: Any):
    shop.chargebee.cancel_subscription("sub")
    form = {"subscription_items[item_price_id][0]": "max-USD"}
    assert (
        chargebee_http.post("subscriptions/sub/update_for_items", {"auto_close_invoices": "false"}).status_code == 409
    )
    assert chargebee_http.post("subscriptions/sub/update_for_items", {**form, "reactivate": "false"}).status_code == 409
    assert chargebee_http.post("subscriptions/sub/update_for_items", form).json["subscription"]["status"] == "active"
    assert "subscription_reactivated" in event_types(shop)


@pytest.mark.parametrize("status", ["pending", "paid", "voided"])
def test_trap_40_an_invoice_cannot_be_voided_when_it_is(status: str, draft_id: str, shop: Sandbox, chargebee_http: Any):
    chargebee = shop.chargebee
    invoice_id = draft_id if status == "pending" else chargebee.close_invoice(draft_id)["id"]
    if status == "paid":
        chargebee.pay_invoice(invoice_id)
    if status == "voided":
        chargebee.void_invoice(invoice_id)
    assert chargebee_http.post(f"invoices/{invoice_id}/void").status_code == 409


def test_trap_40_the_comment_of_a_deletion_lands_on_the_subscription(draft_id: str, chargebee_sdk: Chargebee):
    chargebee_sdk.Invoice.delete(draft_id, {"comment": "made in error"})
    for entity_type, entity_id, notes in (("subscription", "sub", ["made in error"]), ("invoice", draft_id, [])):
        query = {"entity_type": entity_type, "entity_id": entity_id}
        assert [row.comment.notes for row in chargebee_sdk.Comment.list(query).list] == notes


def test_trap_41_the_subscription_id_filter_is_forbidden_with_consolidated_invoicing(
    draft_id: str, shop: Sandbox, chargebee_http: Any
):
    query = {"subscription_id[is]": "sub"}
    for path in ("invoices", "credit_notes"):
        assert chargebee_http.get(path, query_string=query).status_code == 200
    shop.chargebee.settings.consolidated_invoicing = True
    for path in ("invoices", "credit_notes"):
        answer = chargebee_http.get(path, query_string=query)
        assert (answer.status_code, answer.json["param"]) == (400, "subscription_id")
    rows = chargebee_http.get("invoices", query_string={"customer_id[is]": "acme", "status[is]": "pending"}).json[
        "list"
    ]
    assert [row["invoice"]["id"] for row in rows] == [draft_id]


def test_trap_42_an_enterprise_scale_site_gives_lines_page_by_page(draft_id: str, shop: Sandbox, chargebee_http: Any):
    for price in range(1, 5):
        shop.chargebee.add_charge_item(draft_id, "calls-USD", price)
    whole = chargebee_http.get(f"invoices/{draft_id}", query_string={"line_items_limit": "2"}).json["invoice"]
    assert len(whole["line_items"]) == 5
    assert "line_items_next_offset" not in whole
    shop.chargebee.settings.enterprise_scale = True
    query, amounts = {"line_items_limit": "2"}, []
    while True:
        page = chargebee_http.get(f"invoices/{draft_id}", query_string=query).json["invoice"]
        amounts += [line["amount"] for line in page["line_items"]]
        if "line_items_next_offset" not in page:
            break
        query["line_items_offset"] = page["line_items_next_offset"]
    assert amounts == [10_000, 1, 2, 3, 4]
    assert chargebee_http.get(f"invoices/{draft_id}", query_string={"line_items_limit": "301"}).status_code == 400


def test_trap_43_unit_price_is_refused_for_tiered_prices(draft_id: str, chargebee_http: Any):
    for price in ("tiered-USD", "volume-USD", "stairstep-USD"):
        form = {"item_price[item_price_id]": price, "item_price[unit_price]": "1"}
        assert chargebee_http.post(f"invoices/{draft_id}/add_charge_item", form).status_code == 400


@pytest.mark.parametrize("status", ["pending", "posted", "payment_due"])
def test_trap_44_an_open_invoice_blocks_moving_its_subscription_to_another_customer(
    status: str, shop: Sandbox, chargebee_http: Any
):
    shop.chargebee.create_customer("other")
    [invoice] = shop.chargebee.invoices.values()
    invoice["status"] = status
    answer = chargebee_http.post("subscriptions/sub/move", {"to_customer_id": "other"})
    assert (answer.status_code, answer.json["api_error_code"]) == (409, "invalid_state_for_request")


def test_trap_45_the_time_machine_starts_by_deleting_all_customer_data_and_ends_at_the_present(
    draft_id: str, shop: Sandbox, chargebee_sdk: Chargebee
):
    machine = chargebee_sdk.TimeMachine.start_afresh("delorean", {"genesis_time": JAN_1}).time_machine
    assert (machine.time_travel_status, machine.genesis_time) == ("succeeded", JAN_1)
    assert chargebee_sdk.Customer.list({"include_deleted": True}).list == []
    assert [row.item_price.id for row in chargebee_sdk.ItemPrice.list({"id": {"is": "pro-USD"}}).list] == ["pro-USD"]
    shop.chargebee.create_customer("acme")
    made = shop.chargebee.create_subscription("acme", ["pro-USD"], id="sub")
    assert made["started_at"] == JAN_1
    shop.advance(timedelta(days=1))
    assert shop.chargebee.pending_invoices("sub") == []
    with pytest.raises(chargebee.InvalidRequestError) as caught:
        chargebee_sdk.TimeMachine.travel_forward("delorean", {"destination_time": FEB_1 + 2 * DAY})
    assert caught.value.param == "destination_time"
    chargebee_sdk.TimeMachine.travel_forward("delorean", {"destination_time": FEB_1 + DAY})
    [draft] = shop.chargebee.pending_invoices("sub")
    assert draft["date"] == FEB_1
    shop.advance(timedelta(days=28))
    assert len(shop.chargebee.pending_invoices("sub")) == 2


def test_every_trap_has_its_row_and_every_test_named_there_exists():
    rows = [(int(number), told) for number, told in re.findall(r"^(\d+): (.+)$", __doc__ or "", re.MULTILINE)]
    assert sorted({number for number, _ in rows}) == list(range(1, 46))
    exist = {
        node.name
        for path in Path(__file__).parents[1].rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    assert {name for _, told in rows for name in re.findall(r"test_\w+", told)} <= exist
    here = [(int(name.split("_")[2]), name) for name in globals() if name.startswith("test_trap_")]
    assert sorted(here) == sorted(row for row in rows if row[1].startswith("test_trap_"))
