"""The traps of Chargebee (chargebee.md §16) that a server can show and that no other file here shows by name."""

import json
from datetime import timedelta
from typing import Any

import pytest
from chargebee import Chargebee
from chargebee.retry_config import RetryConfig

from connector.sandbox import Sandbox

JAN_1, FEB_1, MAR_1 = 1_767_225_600, 1_769_904_000, 1_772_323_200
CALLS = {"item_price": {"item_price_id": "calls-USD", "unit_price": 2900, "date_from": JAN_1, "date_to": FEB_1}}


def test_no_event_links_a_draft_with_its_final_invoice(draft_id: str, shop: Sandbox):
    before = len(shop.chargebee.events)
    final = shop.chargebee.close_invoice(draft_id)
    told = list(shop.chargebee.events.values())[before:]
    assert [event["event_type"] for event in told] == ["invoice_generated"]
    assert draft_id not in json.dumps([final, told])


def test_the_first_invoice_of_a_subscription_is_not_pending(shop: Sandbox):
    assert [row["status"] for row in shop.chargebee.invoices.values()] == ["payment_due"]


def test_usage_lines_sit_on_an_invoice_whose_plan_line_is_for_the_next_term(
    draft_id: str, shop: Sandbox, chargebee_sdk: Chargebee
):
    lines = chargebee_sdk.Invoice.add_charge_item(draft_id, CALLS).invoice.line_items
    assert [(line.date_from, line.date_to) for line in lines] == [(FEB_1, MAR_1), (JAN_1, FEB_1)]


def test_all_lines_of_one_item_price_look_identical(draft_id: str, shop: Sandbox, chargebee_sdk: Chargebee):
    for _ in range(2):
        invoice = chargebee_sdk.Invoice.add_charge_item(draft_id, {**CALLS, "comment": "one of them"}).invoice
    first, second = ({**line.raw_data, "id": ""} for line in invoice.line_items[1:])
    assert (first, first["description"]) == (second, "calls-USD")


def test_a_retry_after_thirty_minutes_duplicates_a_charge(draft_id: str, shop: Sandbox, chargebee_sdk: Chargebee):
    for minutes, lines in ((0, 2), (29, 2), (30, 3)):
        shop.advance(to=shop.clock.now().replace(minute=minutes % 60))
        answer = chargebee_sdk.Invoice.add_charge_item(draft_id, CALLS, {"chargebee-idempotency-key": "k"})
        assert len(answer.invoice.line_items) == lines
        assert answer.is_idempotency_replayed is (minutes == 29)


def test_reusing_a_headers_dict_with_sdk_retries_on_sends_an_old_idempotency_key_again(
    draft_id: str, shop: Sandbox, chargebee_sdk: Chargebee
):
    chargebee_sdk.update_retry_config(RetryConfig(enabled=True, max_retries=1, delay_ms=1, retry_on=[500]))
    headers = {"x-used": "twice"}
    chargebee_sdk.Invoice.add_charge_item(draft_id, CALLS, headers)
    again = chargebee_sdk.Invoice.add_charge_item(draft_id, CALLS, headers)
    assert (again.is_idempotency_replayed, len(again.invoice.line_items)) == (True, 2)


def test_sdk_429_handling_ignores_its_most_retries(box: Sandbox, chargebee_sdk: Chargebee):
    chargebee_sdk.update_retry_config(RetryConfig(enabled=True, max_retries=1, delay_ms=1, retry_on=[500]))
    box.faults.order("chargebee", "list_customers", "status", count=5, status=429, retry_after=60)
    chargebee_sdk.Customer.list()
    assert [call.status for call in box.calls] == [429] * 5 + [200]


def test_cancelled_at_is_already_filled_while_the_subscription_is_non_renewing(shop: Sandbox, chargebee_sdk: Chargebee):
    leaving = chargebee_sdk.Subscription.cancel_for_items("sub", {"end_of_term": True}).subscription
    assert (leaving.status, leaving.cancelled_at) == ("non_renewing", FEB_1)
    shop.advance(timedelta(days=30))
    assert shop.chargebee.subscriptions["sub"]["status"] == "non_renewing"


def test_the_backdated_cancellation_is_spelled_with_one_l(shop: Sandbox):
    shop.advance(timedelta(days=10))
    shop.chargebee.cancel_subscription("sub", cancel_at=JAN_1)
    shop.chargebee.create_subscription("acme", ["pro-USD"], id="s2")
    shop.chargebee.cancel_subscription("s2")
    told = [event["event_type"] for event in shop.chargebee.events.values()]
    assert [name for name in told if name.startswith("subscription_cancel")] == [
        "subscription_canceled_with_backdating",
        "subscription_cancelled",
    ]


def test_a_tax_inclusive_site_says_so_on_its_invoices(shop: Sandbox):
    shop.chargebee.settings.price_type = "tax_inclusive"
    shop.advance(timedelta(days=31))
    [draft] = shop.chargebee.pending_invoices("sub")
    assert draft["price_type"] == "tax_inclusive"


def test_auto_close_can_win_the_race_against_bill_approval(draft_id: str, shop: Sandbox, chargebee_http: Any):
    shop.chargebee.settings.auto_close_days = 1
    shop.advance(timedelta(days=1))
    form = {"item_price[item_price_id]": "calls-USD"}
    assert chargebee_http.post(f"invoices/{draft_id}/add_charge_item", form).status_code == 404
    final = list(shop.chargebee.invoices)[-1]
    assert chargebee_http.post(f"invoices/{final}/add_charge_item", form).status_code == 409


def test_empty_enabled_events_subscribe_to_everything(box: Sandbox, chargebee_sdk: Chargebee):
    form = {"name": "all", "url": "http://x.test/hook", "api_version": "v2", "enabled_events": ["invoice_updated"]}
    endpoint = chargebee_sdk.WebhookEndpoint.create(form).webhook_endpoint
    chargebee_sdk.Customer.create({"id": "quiet"})
    chargebee_sdk.WebhookEndpoint.update(endpoint.id, {"name": "renamed"})
    chargebee_sdk.Customer.create({"id": "loud"})
    assert [posting.event_type for posting in box.webhooks.waiting] == ["customer_created"]
    assert list(box.chargebee.events)[-1] == box.webhooks.waiting[0].event_id


def test_the_default_page_size_is_ten(box: Sandbox, chargebee_sdk: Chargebee):
    for number in range(11):
        box.chargebee.create_customer(f"c{number}")
    assert [len(chargebee_sdk.Customer.list(query).list) for query in ({}, {"limit": 100})] == [10, 11]


def test_list_filters_with_python_lists_are_refused(draft_id: str, chargebee_sdk: Chargebee):
    with pytest.raises(Exception, match="status"):
        chargebee_sdk.Invoice.list({"status": {"IN": ["pending", "paid"]}})
    for sent in ("[pending,paid]", json.dumps(["pending", "paid"])):
        [row] = chargebee_sdk.Invoice.list({"status": {"IN": sent}}).list
        assert row.invoice.id == draft_id


def test_a_meta_data_dict_is_refused_and_a_json_string_keeps_its_letters(box: Sandbox, chargebee_sdk: Chargebee):
    with pytest.raises(Exception, match="meta_data"):
        chargebee_sdk.Customer.create({"id": "acme", "meta_data": {"Foo": "Bar"}})
    made = chargebee_sdk.Customer.create({"id": "acme", "meta_data": json.dumps({"Foo": "Bar"})}).customer
    assert made.raw_data["meta_data"] == {"Foo": "Bar"}


def test_none_is_sent_as_an_empty_string_and_clears_the_field(box: Sandbox, chargebee_sdk: Chargebee):
    box.chargebee.create_customer("acme", company="Acme", email="ap@acme.test")
    changed = chargebee_sdk.Customer.update("acme", {"company": "Acme Ltd", "email": None}).customer
    assert "email" not in changed.raw_data


def test_the_comment_of_a_deletion_lands_on_the_subscription(draft_id: str, chargebee_sdk: Chargebee):
    chargebee_sdk.Invoice.delete(draft_id, {"comment": "made in error"})
    for entity_type, entity_id, notes in (("subscription", "sub", ["made in error"]), ("invoice", draft_id, [])):
        query = {"entity_type": entity_type, "entity_id": entity_id}
        assert [row.comment.notes for row in chargebee_sdk.Comment.list(query).list] == notes


def test_the_subscription_id_filter_is_forbidden_with_consolidated_invoicing(
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


def test_unit_price_is_refused_for_tiered_prices(draft_id: str, chargebee_http: Any):
    for price in ("tiered-USD", "volume-USD", "stairstep-USD"):
        form = {"item_price[item_price_id]": price, "item_price[unit_price]": "1"}
        assert chargebee_http.post(f"invoices/{draft_id}/add_charge_item", form).status_code == 400


def test_setting_one_flag_with_update_for_items_deletes_scheduled_changes(shop: Sandbox, chargebee_sdk: Chargebee):
    shop.chargebee.update_subscription("sub", ["max-USD"], end_of_term=True)
    changed = chargebee_sdk.Subscription.update_for_items("sub", {"auto_close_invoices": False}).subscription
    assert (changed.has_scheduled_changes, shop.chargebee.scheduled_changes) == (False, {})


def test_an_event_the_sdk_can_deserialize_says_v2(shop: Sandbox, chargebee_sdk: Chargebee):
    event = list(shop.chargebee.events.values())[-1]
    parsed = chargebee_sdk.Event.deserialize(json.dumps(event))
    assert parsed.content["invoice"]["id"] == "1"
    with pytest.raises(Exception, match="V1"):
        chargebee_sdk.Event.deserialize(json.dumps({**event, "api_version": "v1"}))
