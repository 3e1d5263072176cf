"""Chargebee's customers at their end: without a name, and deleted."""

from typing import Any

from chargebee import Chargebee

from connector.sandbox import Sandbox


def test_a_customer_is_made_anonymous(shop: Sandbox, chargebee_sdk: Chargebee):
    chargebee_sdk.Customer.update("acme", {"first_name": "Ada", "billing_address": {"city": "Leeds"}})
    cleared = chargebee_sdk.Customer.clear_personal_data("acme").customer
    assert cleared.pii_cleared == "cleared"
    assert {"first_name", "company", "email", "billing_address"}.isdisjoint(cleared.raw_data)
    told = list(shop.chargebee.events.values())[-1]
    assert (told["event_type"], told["content"]["customer"]) == ("customer_changed", cleared.raw_data)
    assert chargebee_sdk.Subscription.retrieve("sub").subscription.status == "active"


def test_a_deleted_customer_takes_the_subscriptions_along(shop: Sandbox, chargebee_sdk: Chargebee, chargebee_http: Any):
    before = len(shop.chargebee.events)
    assert chargebee_sdk.Customer.delete("acme").customer.deleted is True
    [told] = list(shop.chargebee.events.values())[before:]
    assert told["event_type"] == "customer_deleted"
    assert [(row["id"], row["deleted"]) for row in told["content"]["subscriptions"]] == [("sub", True)]
    for path in ("customers/acme", "subscriptions/sub"):
        assert chargebee_http.get(path).status_code == 404
    rows = chargebee_sdk.Subscription.list({"include_deleted": True}).list
    assert [(row.subscription.id, row.customer.deleted) for row in rows] == [("sub", True)]


def test_a_deleted_item_price_sells_nothing_new(shop: Sandbox, chargebee_sdk: Chargebee, chargebee_http: Any):
    deleted = chargebee_sdk.ItemPrice.delete("max-USD").item_price
    assert (deleted.status, list(shop.chargebee.events.values())[-1]["event_type"]) == ("deleted", "item_price_deleted")
    form = {"subscription_items[item_price_id][0]": "max-USD"}
    assert chargebee_http.post("subscriptions/sub/update_for_items", form).status_code == 404
