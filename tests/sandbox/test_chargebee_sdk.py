"""Chargebee's official SDK, talking to the sandbox over HTTP, cannot tell the difference."""

import json
from datetime import timedelta
from typing import Any

import chargebee
import pytest
from chargebee import Chargebee

from connector.sandbox import Sandbox

FEB_1, MAR_1 = 1_769_904_000, 1_772_323_200


def test_customers_are_created_changed_read_and_listed(chargebee_sdk: Chargebee):
    created = chargebee_sdk.Customer.create(
        {
            "id": "acme",
            "company": "Acme",
            "billing_address": {"line1": "1 High St", "country": "GB"},
            "meta_data": json.dumps({"Key": "Value"}),
            "cf_tier": "gold",
            "auto_close_invoices": False,
        }
    )
    assert created.http_status_code == 200
    assert created.customer.billing_address.line1 == "1 High St"
    assert created.customer.meta_data == {"Key": "Value"}
    assert created.customer.raw_data["cf_tier"] == "gold"
    assert created.customer.auto_close_invoices is False
    changed = chargebee_sdk.Customer.update("acme", {"company": "Acme Ltd", "email": None}).customer
    assert (changed.company, changed.email) == ("Acme Ltd", None)
    assert changed.resource_version > created.customer.resource_version
    assert chargebee_sdk.Customer.retrieve("acme").customer.raw_data == changed.raw_data
    [row] = chargebee_sdk.Customer.list(
        {"company": {"STARTS_WITH": "Acme"}, "updated_at": {"AFTER": FEB_1 - 9_999_999}}
    ).list
    assert row.customer.id == "acme"
    chargebee_sdk.Customer.delete("acme")
    assert chargebee_sdk.Customer.list().list == []
    assert chargebee_sdk.Customer.list({"include_deleted": True}).list[0].customer.deleted is True


def test_a_catalogue_is_created_read_and_listed(chargebee_sdk: Chargebee):
    family = chargebee_sdk.ItemFamily.create({"id": "saas", "name": "SaaS"}).item_family
    chargebee_sdk.Item.create(
        {
            "id": "calls",
            "name": "Calls",
            "type": "charge",
            "item_family_id": family.id,
            "metadata": json.dumps({"A": 1}),
        }
    )
    price = chargebee_sdk.ItemPrice.create(
        {
            "id": "calls-EUR",
            "name": "Calls EUR",
            "item_id": "calls",
            "price": 0,
            "currency_code": "EUR",
            "pricing_model": "flat_fee",
        }
    ).item_price
    assert (price.item_type, price.currency_code, price.period) == ("charge", "EUR", None)
    assert chargebee_sdk.ItemFamily.retrieve("saas").item_family.name == "SaaS"
    assert chargebee_sdk.Item.retrieve("calls").item.metadata == {"A": 1}
    assert chargebee_sdk.ItemPrice.retrieve("calls-EUR").item_price.raw_data == price.raw_data
    assert chargebee_sdk.ItemPrice.update("calls-EUR", {"status": "archived"}).item_price.status == "archived"
    assert [row.item_family.id for row in chargebee_sdk.ItemFamily.list().list] == ["saas"]
    assert [row.item.id for row in chargebee_sdk.Item.list({"type": {"is": "charge"}}).list] == ["calls"]
    assert [
        row.item_price.id
        for row in chargebee_sdk.ItemPrice.list({"item_id": {"is": "calls"}, "sort_by": {"asc": "name"}}).list
    ] == ["calls-EUR"]
    with pytest.raises(chargebee.InvalidRequestError) as caught:
        chargebee_sdk.ItemPrice.create({"id": "calls-EUR", "name": "Other", "item_id": "calls", "price": 0})
    assert (caught.value.http_status_code, caught.value.api_error_code) == (400, "duplicate_entry")


def test_a_subscription_lives_from_its_creation_to_its_cancellation(shop: Sandbox, chargebee_sdk: Chargebee):
    items = [{"item_price_id": "pro-USD"}]
    created = chargebee_sdk.Subscription.create_with_items(
        "acme", {"id": "s2", "subscription_items": items, "create_pending_invoices": True}
    )
    assert created.subscription.status == "active"
    assert created.subscription.current_term_end == FEB_1
    assert created.customer.id == "acme"
    assert (created.invoice.status, created.invoice.first_invoice, created.invoice.total) == (
        "payment_due",
        True,
        10_000,
    )
    assert chargebee_sdk.Subscription.retrieve("s2").subscription.subscription_items[0].item_price_id == "pro-USD"
    changed = chargebee_sdk.Subscription.update_for_items(
        "s2", {"subscription_items": [{"item_price_id": "max-USD"}]}
    ).subscription
    assert [item.item_price_id for item in changed.subscription_items] == ["max-USD"]
    rows = chargebee_sdk.Subscription.list({"customer_id": {"is": "acme"}, "item_price_id": {"is": "max-USD"}}).list
    assert [(row.subscription.id, row.customer.id) for row in rows] == [("s2", "acme")]
    leaving = chargebee_sdk.Subscription.cancel_for_items("s2", {"end_of_term": True}).subscription
    assert (leaving.status, leaving.cancelled_at) == ("non_renewing", FEB_1)
    assert chargebee_sdk.Subscription.remove_scheduled_cancellation("s2").subscription.status == "active"
    assert (
        chargebee_sdk.Subscription.cancel_for_items("s2", {"cancel_option": "immediately"}).subscription.status
        == "cancelled"
    )
    assert chargebee_sdk.Subscription.reactivate("s2").subscription.status == "active"
    assert chargebee_sdk.Subscription.pause("s2", {"pause_option": "immediately"}).subscription.status == "paused"
    assert chargebee_sdk.Subscription.resume("s2", {"resume_option": "immediately"}).subscription.status == "active"
    scheduled = {"subscription_items": [{"item_price_id": "pro-USD"}], "end_of_term": True}
    assert chargebee_sdk.Subscription.update_for_items("s2", scheduled).subscription.has_scheduled_changes is True
    ahead = chargebee_sdk.Subscription.retrieve_with_scheduled_changes("s2").subscription
    assert [item.item_price_id for item in ahead.subscription_items] == ["pro-USD"]
    assert chargebee_sdk.Subscription.remove_scheduled_changes("s2").subscription.has_scheduled_changes is False
    assert chargebee_sdk.Subscription.delete("s2").subscription.deleted is True


def test_charges_go_onto_a_pending_invoice_which_is_then_closed(shop: Sandbox, draft_id: str, chargebee_sdk: Chargebee):
    query = {"subscription_id": {"is": "sub"}, "status": {"is": "pending"}, "sort_by": {"asc": "date"}, "limit": 100}
    assert [row.invoice.id for row in chargebee_sdk.Invoice.list(query).list] == [draft_id]
    assert [row.invoice.id for row in chargebee_sdk.Invoice.invoices_for_subscription("sub", {"limit": 2}).list][
        -1
    ] == draft_id
    charge = {
        "item_price": {"item_price_id": "calls-USD", "unit_price": 2900, "date_from": FEB_1, "date_to": MAR_1},
        "comment": "m3ter bill b line 1",
    }
    added = chargebee_sdk.Invoice.add_charge_item(draft_id, charge, {"chargebee-idempotency-key": "k"})
    again = chargebee_sdk.Invoice.add_charge_item(draft_id, charge, {"chargebee-idempotency-key": "k"})
    assert (added.is_idempotency_replayed, again.is_idempotency_replayed) == (False, True)
    assert again.invoice.raw_data == added.invoice.raw_data
    line = added.invoice.line_items[-1]
    assert (line.entity_type, line.entity_id, line.amount) == ("charge_item_price", "calls-USD", 2900)
    assert (line.date_from, line.date_to, line.quantity) == (FEB_1, MAR_1, 1)
    adhoc = chargebee_sdk.Invoice.add_charge(
        draft_id, {"amount": 150, "description": "Calls", "line_item": {"date_from": FEB_1}}
    ).invoice
    assert (adhoc.line_items[-1].entity_type, adhoc.line_items[-1].description) == ("adhoc", "Calls")
    less = chargebee_sdk.Invoice.delete_line_items(draft_id, {"line_items": [{"id": adhoc.line_items[-1].id}]}).invoice
    assert (less.sub_total, less.total, less.amount_due) == (12_900, 12_900, 12_900)
    [comment] = chargebee_sdk.Comment.list({"entity_type": "invoice", "entity_id": draft_id}).list
    assert comment.comment.notes == "m3ter bill b line 1"
    closed = chargebee_sdk.Invoice.close(draft_id, {"comment": "done", "invoice_note": "Thanks"}).invoice
    assert (closed.status, closed.total) == ("payment_due", 12_900)
    assert closed.generated_at == FEB_1
    with pytest.raises(chargebee.InvalidRequestError) as caught:
        chargebee_sdk.Invoice.retrieve(draft_id)
    assert (caught.value.http_status_code, caught.value.api_error_code) == (404, "resource_not_found")
    assert chargebee_sdk.Invoice.void_invoice(closed.id, {"comment": "wrong"}).invoice.status == "voided"
    assert chargebee_sdk.Invoice.delete(closed.id).invoice.deleted is True


def test_comments_are_written_and_read(shop: Sandbox, chargebee_sdk: Chargebee):
    written = chargebee_sdk.Comment.create(
        {"entity_type": "customer", "entity_id": "acme", "notes": "m3ter: x"}
    ).comment
    [row] = chargebee_sdk.Comment.list(
        {"entity_type": "customer", "entity_id": "acme", "sort_by": {"asc": "created_at"}}
    ).list
    assert row.comment.raw_data == written.raw_data


def test_events_are_listed_and_retrieved(shop: Sandbox, chargebee_sdk: Chargebee):
    rows = chargebee_sdk.Event.list(
        {"event_type": {"IN": json.dumps(["subscription_created"])}, "sort_by": {"asc": "occurred_at"}}
    ).list
    [event] = [row.event for row in rows]
    assert (event.source, event.api_version) == ("admin_console", "v2")
    assert chargebee_sdk.Event.retrieve(event.id).event.raw_data == event.raw_data
    assert chargebee_sdk.Event.deserialize(json.dumps(event.raw_data)).content["subscription"]["id"] == "sub"


def test_webhook_endpoints_are_kept_without_showing_their_password(chargebee_sdk: Chargebee):
    created = chargebee_sdk.WebhookEndpoint.create(
        {
            "name": "Connector",
            "url": "http://127.0.0.1:8080/hook",
            "api_version": "v2",
            "basic_auth_username": "hook",
            "basic_auth_password": "secret",
            "enabled_events": [chargebee.EventType.CUSTOMER_CREATED],
        }
    ).webhook_endpoint
    assert created.primary_url is True
    assert created.enabled_events == ["customer_created"]
    assert "secret" not in json.dumps(created.raw_data)
    changed = chargebee_sdk.WebhookEndpoint.update(created.id, {"disabled": True}).webhook_endpoint
    assert (changed.disabled, changed.enabled_events) == (True, None)
    assert chargebee_sdk.WebhookEndpoint.retrieve(created.id).webhook_endpoint.raw_data == changed.raw_data
    assert [row.webhook_endpoint.id for row in chargebee_sdk.WebhookEndpoint.list().list] == [created.id]
    chargebee_sdk.WebhookEndpoint.delete(created.id)
    assert chargebee_sdk.WebhookEndpoint.list().list == []


def test_the_site_tells_its_facts_and_currencies(chargebee_sdk: Chargebee):
    [facts] = chargebee_sdk.Configuration.list().configurations
    assert (facts.domain, facts.product_catalog_version) == ("acme-test", "v2")
    base = [row.currency.currency_code for row in chargebee_sdk.Currency.list().list if row.currency.is_base_currency]
    assert base == ["USD"]


def test_a_list_is_read_page_by_page(box: Sandbox, chargebee_sdk: Chargebee):
    for number in range(12):
        box.chargebee.create_customer(f"c{number:02}")
        box.advance(timedelta(seconds=1))
    first = chargebee_sdk.Customer.list()
    second = chargebee_sdk.Customer.list({"offset": first.next_offset})
    found = [row.customer.id for row in (*first.list, *second.list)]
    assert (len(first.list), found, second.next_offset) == (10, [f"c{number:02}" for number in range(12)], None)


def test_customers_are_listed_by_what_they_are_called(box: Sandbox, chargebee_sdk: Chargebee):
    site = box.chargebee
    site.create_customer("c1", company="Acme Ltd", first_name="Jane", last_name="Doe", email="jane@acme.test")
    site.create_customer("c2", company="Acme Labs", first_name="Jane", last_name="Roe")
    site.create_customer("c3", company="Acme gone")
    site.delete_customer("c3")

    def listed(**filters: Any) -> list[str]:
        form = {name: {operator: value} for name, (operator, value) in filters.items()}
        return [
            row.customer.id for row in chargebee_sdk.Customer.list({**form, "sort_by": {"desc": "created_at"}}).list
        ]

    assert listed(company=("starts_with", "Acme")) == ["c2", "c1"], "the deleted one is left out"
    assert listed(company=("is", "Acme")) == []
    assert listed(email=("is", "jane@acme.test")) == ["c1"]
    assert listed(first_name=("starts_with", "Ja"), last_name=("is", "Doe")) == ["c1"], "all filters apply"
    assert listed(email=("is_present", "false")) == ["c2"]
    # Whether capital letters count is said nowhere: a site may do either.
    assert listed(company=("starts_with", "acme l")) == []
    site.settings.filters_ignore_case = True
    assert listed(company=("starts_with", "acme l")) == ["c2", "c1"]
    assert listed(email=("is", "JANE@ACME.TEST")) == ["c1"]
    for unknown in ({"company": {"contains": "Acme"}}, {"company": {"after": "1"}}, {"company": "Acme"}):
        with pytest.raises(chargebee.InvalidRequestError) as caught:
            chargebee_sdk.Customer.list(unknown)
        assert (caught.value.http_status_code, caught.value.api_error_code) == (400, "param_wrong_value")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param(
            {"kind": "status", "status": 429, "retry_after": 3}, chargebee.OperationFailedError, id="rate limit"
        ),
        pytest.param({"kind": "status", "status": 500}, chargebee.OperationFailedError, id="internal error"),
        pytest.param({"kind": "status", "status": 503}, chargebee.OperationFailedError, id="unavailable"),
        pytest.param({"kind": "status", "status": 409}, chargebee.InvalidRequestError, id="wrong state"),
    ],
)
def test_an_ordered_status_is_an_error_of_its_class(
    box: Sandbox, chargebee_sdk: Chargebee, fault: dict[str, Any], error: type[chargebee.APIError]
):
    box.faults.order("chargebee", "list_customers", **fault)
    with pytest.raises(error) as caught:
        chargebee_sdk.Customer.list()
    assert caught.value.http_status_code == fault["status"]
    assert caught.value.http_headers.get("Retry-After") == ("3" if "retry_after" in fault else None)


def test_a_wrong_key_is_refused(chargebee_sdk: Chargebee):
    chargebee_sdk.env.api_key = "wrong"
    with pytest.raises(chargebee.APIError) as caught:
        chargebee_sdk.Customer.list()
    assert (caught.value.http_status_code, caught.value.api_error_code) == (401, "api_authentication_failed")
