"""Chargebee's requests as its documentation writes them, and its answers as dataclasses."""

import dataclasses
import json
import logging
import threading
from base64 import b64encode
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import chargebee
import pytest
import responses

from connector.clients.chargebee import ChargebeeClient
from connector.clients.chargebee_api import KEY_HEADER
from connector.clients.chargebee_objects import (
    CreditLine,
    Customer,
    Invoice,
    InvoiceCredit,
    ItemPrice,
    NewCharge,
    Subscription,
)
from connector.clients.http import Unreadable, recorded_calls
from connector.errors import ConnectorError, Misconfigured, NotFound, Rejected, Retryable, Uncertain

API = "https://acme-test.chargebee.com/api/v2"
KEY = "test_topsecret"
JAN = datetime(2026, 1, 1, tzinfo=UTC)
FEB = datetime(2026, 2, 1, tzinfo=UTC)
JAN_SECONDS, FEB_SECONDS = 1767225600, 1769904000


@pytest.fixture
def client(http) -> ChargebeeClient:
    return ChargebeeClient(http, site="acme-test", api_key=KEY)


def line(**changes: Any) -> dict[str, Any]:
    usual = {
        "id": "li_a",
        "object": "line_item",
        "subscription_id": "sub_1",
        "entity_type": "charge_item_price",
        "entity_id": "api-calls-USD",
        "description": "API calls",
        "quantity": 1,
        "unit_amount": 2900,
        "amount": 2900,
        "date_from": JAN_SECONDS,
        "date_to": FEB_SECONDS,
        "is_taxed": False,
    }
    return {**usual, **changes}


def invoice(**changes: Any) -> dict[str, Any]:
    usual = {
        "id": "draft_inv_1",
        "object": "invoice",
        "status": "pending",
        "customer_id": "cust_1",
        "subscription_id": "sub_1",
        "currency_code": "USD",
        "date": FEB_SECONDS,
        "total": 2900,
        "line_items": [line()],
        "resource_version": 1767225610123,
    }
    return {**usual, **changes}


def query(call: responses.Call) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(call.request.url).query, keep_blank_values=True))


def form(call: responses.Call) -> dict[str, str]:
    return dict(parse_qsl(call.request.body.decode(), keep_blank_values=True))


def add(client: ChargebeeClient, **changes: Any):
    usual = {
        "item_price_id": "api-calls-USD",
        "unit_price": 2900,
        "date_from": JAN,
        "date_to": FEB,
        "comment": "m3ter:bill/line",
        "idempotency_key": "key-1",
    }
    return client.add_charge_item("draft_inv_1", **{**usual, **changes})


def test_a_charge_is_sent_as_chargebee_documents_it(client, network):
    network.add(responses.POST, f"{API}/invoices/draft_inv_1/add_charge_item", json={"invoice": invoice()})
    add(client)
    (call,) = network.calls
    assert form(call) == {
        "item_price[item_price_id]": "api-calls-USD",
        "item_price[unit_price]": "2900",
        "item_price[date_from]": str(JAN_SECONDS),
        "item_price[date_to]": str(FEB_SECONDS),
        "comment": "m3ter:bill/line",
    }
    headers = call.request.headers
    assert headers["Authorization"] == "Basic " + b64encode(f"{KEY}:".encode()).decode()
    assert headers["chargebee-idempotency-key"] == "key-1"
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert headers["Accept"] == "application/json"


def test_a_charge_on_a_consolidated_invoice_names_its_subscription(client, network):
    network.add(responses.POST, f"{API}/invoices/draft_inv_1/add_charge_item", json={"invoice": invoice()})
    add(client, subscription_id="sub_1")
    assert form(network.calls[0])["subscription_id"] == "sub_1"


USAGE = NewCharge("api-calls-USD", 2900, "API calls", JAN, FEB)
ONBOARDING = NewCharge(None, 500, "Onboarding", JAN, FEB)
SEVERAL = {
    "subscription_id": "sub_1",
    "currency_code": "USD",
    "item_prices[item_price_id][0]": "api-calls-USD",
    "item_prices[unit_price][0]": "2900",
    "item_prices[date_from][0]": str(JAN_SECONDS),
    "item_prices[date_to][0]": str(FEB_SECONDS),
    "charges[amount][0]": "500",
    "charges[description][0]": "Onboarding",
    "charges[date_from][0]": str(JAN_SECONDS),
    "charges[date_to][0]": str(FEB_SECONDS),
}


def test_unbilled_charges_are_sent_together(client, network):
    headers = {"Chargebee-Idempotency-Replayed": "true"}
    network.add(responses.POST, f"{API}/unbilled_charges", json={"unbilled_charges": [line()]}, headers=headers)
    made = client.create_unbilled_charges("sub_1", [USAGE, ONBOARDING], currency="USD", idempotency_key="key-1")
    (call,) = network.calls
    assert form(call) == SEVERAL
    assert call.request.headers["chargebee-idempotency-key"] == "key-1"
    assert ([one.id for one in made.lines], made.invoice, made.replayed) == (["li_a"], None, True)


def test_an_invoice_of_its_own_is_pending_until_it_is_closed(client, network):
    url = f"{API}/invoices/create_for_charge_items_and_charges"
    network.add(responses.POST, url, json={"invoice": invoice()})
    made = client.create_pending_invoice("sub_1", [USAGE, ONBOARDING], currency="USD", idempotency_key="key-1")
    (call,) = network.calls
    assert form(call) == {**SEVERAL, "create_pending_invoice": "true"}
    assert call.request.headers["chargebee-idempotency-key"] == "key-1"
    assert ([one.id for one in made.lines], made.invoice.id, made.replayed) == (["li_a"], "draft_inv_1", False)


@pytest.mark.parametrize("answer", [{}, {"invoice": {"id": "x"}}, {"unbilled_charges": [{"id": "x"}]}])
def test_an_unreadable_answer_to_several_charges_leaves_open_whether_they_were_made(client, network, answer):
    network.add(responses.POST, f"{API}/unbilled_charges", json=answer)
    network.add(responses.POST, f"{API}/invoices/create_for_charge_items_and_charges", json=answer)
    for make in (client.create_unbilled_charges, client.create_pending_invoice):
        with pytest.raises(Uncertain):
            make("sub_1", [USAGE], currency="USD", idempotency_key="key-1")


def test_one_impossible_charge_keeps_all_from_being_sent(client, network):
    wrong = dataclasses.replace(USAGE, amount=-1)
    with pytest.raises(Rejected):
        client.create_unbilled_charges("sub_1", [USAGE, wrong], currency="USD", idempotency_key="key-1")
    assert len(network.calls) == 0


def test_what_waits_for_an_invoice_is_read_page_by_page(client, network):
    network.add(
        responses.GET, f"{API}/unbilled_charges", json={"list": [{"unbilled_charge": line()}], "next_offset": "2"}
    )
    network.add(responses.GET, f"{API}/unbilled_charges", json={"list": [{"unbilled_charge": line(id="li_b")}]})
    assert [one.id for one in client.unbilled_charges("sub_1")] == ["li_a", "li_b"]
    assert query(network.calls[0]) == {"subscription_id[is]": "sub_1", "limit": "100"}


def test_the_invoices_since_a_day_come_with_all_their_lines(client, network):
    cut = invoice(line_items_next_offset="2")
    network.add(responses.GET, f"{API}/invoices", json={"list": [{"invoice": cut}]})
    network.add(responses.GET, f"{API}/invoices/draft_inv_1", json={"invoice": invoice(line_items=[line(), line()])})
    (found,) = client.invoices_since(JAN, subscription_id="sub_1")
    assert (len(found.lines), found.lines_complete) == (2, True)
    usual = {"date[after]": str(JAN_SECONDS), "sort_by[asc]": "date", "limit": "100"}
    assert query(network.calls[0]) == {"subscription_id[is]": "sub_1", **usual}
    client.invoices_since(JAN, customer_id="cust_1")
    assert query(network.calls[2]) == {"customer_id[is]": "cust_1", **usual}


@pytest.mark.parametrize(("amount_due", "kind"), [(300, "adjustment"), (299, "refundable"), (None, "refundable")])
def test_a_credit_note_takes_off_what_is_due_or_is_to_be_paid_back(client, network, amount_due, kind):
    closed = Invoice.from_json(invoice(id="17", status="payment_due", amount_due=amount_due))
    network.add(responses.POST, f"{API}/credit_notes", json={"credit_note": {"id": "CN-1"}})
    assert client.adjust_invoice(closed, total=300, notes="m3ter bill", idempotency_key="key-1") == "CN-1"
    (call,) = network.calls
    assert form(call) == {
        "type": kind, "reference_invoice_id": "17", "total": "300", "customer_notes": "m3ter bill",
    }  # fmt: skip
    assert call.request.headers["chargebee-idempotency-key"] == "key-1"


def test_a_credit_note_of_a_customer_is_on_no_invoice(client, network):
    network.add(responses.POST, f"{API}/credit_notes", json={"credit_note": {"id": "CN-1"}})
    wanted = {"total": 300, "currency": "USD", "notes": "m3ter bill", "idempotency_key": "key-1"}
    assert client.credit_customer("cust_1", **wanted) == "CN-1"
    assert form(network.calls[0]) == {
        "type": "refundable", "customer_id": "cust_1", "total": "300", "currency_code": "USD",
        "customer_notes": "m3ter bill",
    }  # fmt: skip
    with pytest.raises(ValueError, match="nothing"):
        client.credit_customer("cust_1", **{**wanted, "total": 0})


def test_an_unreadable_answer_leaves_open_whether_a_credit_note_was_made(client, network):
    network.add(responses.POST, f"{API}/credit_notes", json={"credit_note": {}})
    with pytest.raises(Uncertain):
        client.credit_customer("cust_1", total=3, currency="USD", notes="m3ter bill", idempotency_key="key-1")


@pytest.mark.parametrize(
    ("whose", "asked"),
    [
        ({"invoice_id": "17"}, {"reference_invoice_id[is]": "17"}),
        ({"customer_id": "cust_1"}, {"customer_id[is]": "cust_1"}),
    ],
)
def test_credit_notes_are_listed_with_their_notes(client, network, whose, asked):
    rows = [{"credit_note": {"id": "CN-1", "customer_notes": "m3ter bill"}}, {"credit_note": {"id": "CN-2"}}]
    network.add(responses.GET, f"{API}/credit_notes", json={"list": rows})
    assert [(one.id, one.notes) for one in client.credit_notes(**whose)] == [("CN-1", "m3ter bill"), ("CN-2", None)]
    assert query(network.calls[0]) == {**asked, "limit": "100"}


def test_each_charge_has_its_own_key(client, network):
    network.add(responses.POST, f"{API}/invoices/draft_inv_1/add_charge_item", json={"invoice": invoice()})
    add(client, idempotency_key="first")
    add(client, idempotency_key="second")
    keys = [call.request.headers["chargebee-idempotency-key"] for call in network.calls]
    assert keys == ["first", "second"]


@pytest.mark.parametrize(("header", "replayed"), [("true", True), ("false", False), (None, False)])
def test_a_replayed_answer_is_told_from_a_new_one(client, network, header, replayed):
    headers = {} if header is None else {"Chargebee-Idempotency-Replayed": header}
    url = f"{API}/invoices/draft_inv_1/add_charge_item"
    network.add(responses.POST, url, json={"invoice": invoice()}, headers=headers)
    added = add(client)
    assert added.replayed is replayed
    assert added.invoice.lines[0].amount == 2900


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"unit_price": -1}, id="negative price"),
        pytest.param({"unit_price": True}, id="price that is no number"),
        pytest.param({"unit_price": 29.0}, id="price that is not whole"),
        pytest.param({"idempotency_key": "k" * 101}, id="long key"),
        pytest.param({"idempotency_key": ""}, id="empty key"),
        pytest.param({"idempotency_key": "a\nb"}, id="key that would break the header"),
        pytest.param({"idempotency_key": "ключ"}, id="key that no header can hold"),
        pytest.param({"date_from": FEB, "date_to": JAN}, id="end before the start"),
    ],
)
def test_a_charge_that_cannot_be_right_is_never_sent(client, network, changes):
    with pytest.raises(Rejected):
        add(client, **changes)
    assert len(network.calls) == 0


def test_a_charge_of_nothing_for_an_instant_is_allowed(client, network):
    network.add(responses.POST, f"{API}/invoices/draft_inv_1/add_charge_item", json={"invoice": invoice()})
    add(client, unit_price=0, date_to=JAN)
    assert form(network.calls[0])["item_price[unit_price]"] == "0"


def test_a_long_comment_is_cut_to_what_chargebee_takes(client, network):
    network.add(responses.POST, f"{API}/invoices/draft_inv_1/add_charge_item", json={"invoice": invoice()})
    add(client, comment="é" * 400)
    assert form(network.calls[0])["comment"] == "é" * 300


def test_times_are_sent_as_the_instant_they_are(client, network):
    network.add(responses.POST, f"{API}/invoices/draft_inv_1/add_charge_item", json={"invoice": invoice()})
    add(client, date_from=datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))))
    assert form(network.calls[0])["item_price[date_from]"] == str(JAN_SECONDS)


def test_a_time_without_a_zone_is_a_mistake_of_ours(client):
    with pytest.raises(ValueError, match="offset"):
        client.list_events(occurred_after=datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize("answer", [{}, {"invoice": None}, {"invoice": {"id": "x"}}, [], {"invoice": "text"}])
def test_an_unreadable_answer_to_a_charge_leaves_open_whether_it_was_added(client, network, answer):
    network.add(responses.POST, f"{API}/invoices/draft_inv_1/add_charge_item", json=answer)
    with pytest.raises(Uncertain):
        add(client)


def test_a_charge_with_an_unknown_outcome_is_sent_once(client, network):
    network.add(responses.POST, f"{API}/invoices/draft_inv_1/add_charge_item", status=503, body="<html>")
    with pytest.raises(Uncertain):
        add(client)
    assert len(network.calls) == 1


def test_chargebees_code_tells_why_it_refused(client, network):
    problem = {"message": "not pending", "type": "invalid_request", "api_error_code": "invalid_state_for_request"}
    network.add(responses.POST, f"{API}/invoices/draft_inv_1/add_charge_item", status=409, json=problem)
    with pytest.raises(Rejected) as caught:
        add(client)
    assert (caught.value.status, caught.value.code) == (409, "invalid_state_for_request")
    assert KEY not in str(caught.value)


def test_a_resource_that_is_not_there_is_not_found(client, network):
    problem = {"message": "gone", "api_error_code": "resource_not_found"}
    network.add(responses.GET, f"{API}/customers/cust_1", status=404, json=problem)
    with pytest.raises(NotFound) as caught:
        client.retrieve_customer("cust_1")
    assert caught.value.code == "resource_not_found"


def test_a_lock_at_chargebee_is_waited_for(client, network):
    problem = {"message": "locked", "type": "operation_failed", "api_error_code": "lock_timeout"}
    url = f"{API}/invoices/draft_inv_1/add_charge_item"
    network.add(responses.POST, url, status=429, json=problem, headers={"Retry-After": "1"})
    network.add(responses.POST, url, json={"invoice": invoice()})
    add(client)
    keys = {call.request.headers["chargebee-idempotency-key"] for call in network.calls}
    assert (len(network.calls), keys) == (2, {"key-1"})


@pytest.mark.parametrize(
    ("identifier", "path"),
    [
        ("a/b", "a%2Fb"),
        ("../secret", "..%2Fsecret"),
        ("a b", "a%20b"),
        ("50%", "50%25"),
        ("a?b#c", "a%3Fb%23c"),
        (" padded ", "%20padded%20"),
        ("é", "%C3%A9"),
    ],
)
def test_an_id_is_quoted_exactly_once(client, network, identifier, path):
    network.add(responses.GET, f"{API}/customers/{path}", json={"customer": {"id": identifier}})
    assert client.retrieve_customer(identifier)["id"] == identifier
    assert urlsplit(network.calls[0].request.url).path == f"/api/v2/customers/{path}"


@pytest.mark.parametrize("identifier", ["", ".", "..", "a\n"])
def test_an_id_that_leads_elsewhere_is_never_sent(client, network, identifier):
    with pytest.raises(Rejected):
        client.retrieve_subscription(identifier)
    assert len(network.calls) == 0


def test_a_subscription_comes_with_its_siblings(client, network):
    raw = {"subscription": {"id": "sub_1", "cf_new": "kept"}, "customer": {"id": "cust_1"}}
    network.add(responses.GET, f"{API}/subscriptions/sub_1", json=raw)
    assert client.retrieve_subscription("sub_1") == raw


@pytest.mark.parametrize("method", ["retrieve_customer", "retrieve_subscription", "retrieve_invoice"])
def test_an_answer_without_what_was_asked_for_is_unreadable(client, network, method):
    network.add(responses.GET, url=f"{API}/{method.removeprefix('retrieve_')}s/x", json={"something": {}})
    with pytest.raises(Unreadable):
        getattr(client, method)("x")


def test_events_are_asked_for_oldest_first_and_page_by_page(client, network):
    rows = [{"event": {"id": f"ev_{i}", "content": {"invoice": {}}}} for i in range(2)]
    network.add(responses.GET, f"{API}/events", json={"list": rows, "next_offset": '["1","2"]'})
    network.add(responses.GET, f"{API}/events", json={"list": []})
    events, offset = client.list_events(occurred_after=JAN)
    assert [event["id"] for event in events] == ["ev_0", "ev_1"]
    assert client.list_events(occurred_after=JAN, offset=offset, limit=7) == ([], None)
    first, second = map(query, network.calls)
    assert first == {"occurred_at[after]": str(JAN_SECONDS), "sort_by[asc]": "occurred_at", "limit": "100"}
    assert second == {**first, "limit": "7", "offset": '["1","2"]'}


def test_pending_invoices_are_asked_for_with_chargebees_filters_over_all_pages(client, network):
    pages = [
        {"list": [{"invoice": invoice(id="draft_1")}], "next_offset": "two"},
        {"list": [{"invoice": invoice(id="draft_2", line_items_next_offset="more")}], "next_offset": "three"},
        {"list": [{"invoice": invoice(id="draft_3")}]},
    ]
    for page in pages:
        network.add(responses.GET, f"{API}/invoices", json=page)
    found = client.pending_invoices("sub_1")
    assert [(one.id, one.lines_complete) for one in found] == [
        ("draft_1", True),
        ("draft_2", False),
        ("draft_3", True),
    ]
    expected = {
        "subscription_id[is]": "sub_1",
        "status[is]": "pending",
        "sort_by[asc]": "date",
        "limit": "100",
    }
    assert query(network.calls[0]) == expected
    assert [query(call).get("offset") for call in network.calls] == [None, "two", "three"]


def test_customers_are_asked_for_by_what_they_are_called_one_page_and_no_more(client, network):
    row = {"customer": {"id": "cust_1", "company": "Acme & Söhne", "resource_version": 1}, "card": {"status": "valid"}}
    network.add(responses.GET, f"{API}/customers", json={"list": [row], "next_offset": '["1","2"]'})
    found, more = client.customers_like((("company", "starts_with", "Acme & S"), ("last_name", "is", "Doe")), 20)
    assert ([one.company for one in found], more) == (["Acme & Söhne"], True)
    (call,) = network.calls
    assert query(call) == {
        "company[starts_with]": "Acme & S",
        "last_name[is]": "Doe",
        "sort_by[desc]": "created_at",
        "limit": "20",
    }


def test_a_list_that_fails_midway_is_no_list(client, network):
    network.add(responses.GET, f"{API}/invoices", json={"list": [{"invoice": invoice()}], "next_offset": "two"})
    network.add(responses.GET, f"{API}/invoices", status=500)
    with pytest.raises(Retryable):
        client.pending_invoices("sub_1")


def test_a_list_that_never_ends_is_given_up(client, network):
    network.add(responses.GET, f"{API}/invoices", json={"list": [], "next_offset": "same"})
    with pytest.raises(Unreadable, match="same page"):
        client.pending_invoices("sub_1")


def test_an_invoice_is_read_with_all_its_lines(client, network):
    ids = iter(["li_1", "li_2", "li_3"])
    for following in ("two", "three", None):
        page = invoice(line_items=[line(id=next(ids))], **({"line_items_next_offset": following} if following else {}))
        network.add(responses.GET, f"{API}/invoices/draft_inv_1", json={"invoice": page})
    whole = client.retrieve_invoice("draft_inv_1")
    assert [one.id for one in whole.lines] == ["li_1", "li_2", "li_3"]
    assert whole.lines_complete
    assert [query(call) for call in network.calls] == [
        {"line_items_limit": "300"},
        {"line_items_limit": "300", "line_items_offset": "two"},
        {"line_items_limit": "300", "line_items_offset": "three"},
    ]


def test_an_invoice_that_changes_while_it_is_read_is_read_again_later(client, network):
    url = f"{API}/invoices/draft_inv_1"
    network.add(responses.GET, url, json={"invoice": invoice(line_items_next_offset="two", resource_version=1)})
    network.add(responses.GET, url, json={"invoice": invoice(resource_version=2)})
    with pytest.raises(Retryable, match="changed"):
        client.retrieve_invoice("draft_inv_1")


def test_lines_that_never_end_are_given_up(client, network):
    page = {"invoice": invoice(line_items_next_offset="same")}
    network.add(responses.GET, f"{API}/invoices/draft_inv_1", json=page)
    with pytest.raises(Unreadable):
        client.retrieve_invoice("draft_inv_1")


def test_an_item_price_is_read(client, network):
    raw = {
        "id": "api-calls-USD",
        "name": "API calls",
        "item_type": "charge",
        "currency_code": "USD",
        "pricing_model": "flat_fee",
        "status": "active",
        "price": 0,
        "item_family_id": "saas",
    }
    network.add(responses.GET, f"{API}/item_prices/api-calls-USD", json={"item_price": raw})
    expected = ItemPrice("api-calls-USD", "API calls", "charge", "USD", "flat_fee", "active", "saas", raw)
    assert client.retrieve_item_price("api-calls-USD") == expected
    assert client.retrieve_item_price("api-calls-USD").raw == raw


def test_a_customer_may_lack_all_but_its_id():
    customer = Customer.from_json({"id": "cust_1"})
    assert customer.billing_address == {}
    assert not customer.deleted
    assert {getattr(customer, name) for name in ("email", "company", "parent_id", "resource_version")} == {None}


def test_a_customer_is_read_as_far_as_it_is_needed():
    raw = {
        "id": "cust_1",
        "first_name": "Ann",
        "email": "ann@example.com",
        "billing_address": {"line1": "1 High St", "country": "GB", "validation_status": None},
        "relationship": {"parent_id": "cust_0", "invoice_owner_id": "cust_0"},
        "deleted": True,
        "updated_at": JAN_SECONDS,
        "resource_version": 1767225610123,
        "balances": [{"currency_code": "USD"}],
    }
    customer = Customer.from_json(raw)
    assert customer.billing_address == {"line1": "1 High St", "country": "GB"}
    assert (customer.parent_id, customer.updated_at, customer.deleted) == ("cust_0", JAN, True)


def subscription(**changes: Any) -> dict[str, Any]:
    usual = {
        "id": "sub_1",
        "customer_id": "cust_1",
        "status": "active",
        "currency_code": "USD",
        "subscription_items": [
            {"item_price_id": "pro-USD", "item_type": "plan", "quantity": 2},
            {"item_price_id": "api-USD", "item_type": "addon"},
        ],
        "started_at": JAN_SECONDS,
        "deleted": False,
    }
    return {**usual, **changes}


def test_a_subscription_is_read_with_its_items_and_times():
    read = Subscription.from_json(subscription(cancelled_at=FEB_SECONDS))
    assert [(item.item_price_id, item.quantity) for item in read.items] == [("pro-USD", 2), ("api-USD", None)]
    assert (read.started_at, read.cancelled_at, read.pause_date) == (JAN, FEB, None)


@pytest.mark.parametrize("missing", ["id", "customer_id", "status", "currency_code"])
def test_a_subscription_that_lacks_what_is_needed_is_unreadable(missing):
    raw = {name: value for name, value in subscription().items() if name != missing}
    with pytest.raises(Unreadable, match=missing):
        Subscription.from_json(raw)


@pytest.mark.parametrize(
    ("field", "value"),
    [("amount", "2900"), ("amount", None), ("unit_amount", True), ("date_from", None), ("date_to", "x"), ("id", "")],
)
def test_an_invoice_line_is_read_strictly(field, value):
    with pytest.raises(Unreadable, match=field):
        Invoice.from_json(invoice(line_items=[line(**{field: value})]))


def test_an_amount_with_a_fraction_is_no_minor_unit():
    with pytest.raises(Unreadable, match="total"):
        Invoice.from_json(invoice(total=29.0))


def test_an_invoice_may_lack_lines_and_a_subscription():
    raw = invoice(line_items=None)
    del raw["subscription_id"]
    read = Invoice.from_json(raw)
    assert (read.lines, read.subscription_id, read.lines_complete) == ((), None, True)


def test_a_line_without_a_quantity_is_one():
    raw = line()
    del raw["quantity"]
    assert Invoice.from_json(invoice(line_items=[raw])).lines[0].quantity == 1


def test_nothing_read_is_a_float():
    for value in (Invoice.from_json(invoice()), Subscription.from_json(subscription())):
        assert "float" not in str([type(item) for item in dataclasses.astuple(value)])


def test_calls_are_named_for_the_record(client, network):
    network.add(responses.GET, f"{API}/customers/cust_1", json={"customer": {"id": "cust_1"}})
    with recorded_calls() as calls:
        client.retrieve_customer("cust_1")
    (call,) = calls
    assert (call.provider, call.operation, call.path) == ("Chargebee", "Customer.retrieve", "/api/v2/customers/cust_1")


def test_a_local_address_may_be_plain_http_and_have_a_prefix(http, server):
    server.behave = lambda handler: handler.answer(json.dumps({"invoice": invoice()}).encode())
    client = ChargebeeClient(http, site="acme-test", api_key=KEY, api_url=f"{server.url}/chargebee/api/v2/")
    assert client.retrieve_invoice("a/b").id == "draft_inv_1"
    add(client)
    assert [path for _, path, _, _ in server.requests] == [
        "/chargebee/api/v2/invoices/a%2Fb?line_items_limit=300",
        "/chargebee/api/v2/invoices/draft_inv_1/add_charge_item",
    ]
    assert server.connections == 1


def test_several_sites_side_by_side_do_not_meet(make_http, server):
    server.behave = lambda handler: handler.answer(json.dumps({"customer": {"id": handler.path}}).encode())
    clients = {
        name: ChargebeeClient(make_http(), site=name, api_key=f"key_{name}", api_url=f"{server.url}/{name}/api/v2")
        for name in ("a", "b", "c")
    }
    wrong: list[str] = []

    def work(name: str) -> None:
        for number in range(10):
            path = clients[name].retrieve_customer(f"{name}{number}")["id"]
            if path != f"/{name}/api/v2/customers/{name}{number}":
                wrong.append(path)

    threads = [threading.Thread(target=work, args=(name,)) for name in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    for _, path, headers, _ in server.requests:
        assert headers["Authorization"] == "Basic " + b64encode(f"key_{path[1]}:".encode()).decode()


def test_the_sdk_used_by_others_keeps_its_own_transport(client, monkeypatch):
    calls: list[str] = []
    monkeypatch.setattr(
        "connector.clients.chargebee_sdk._sdk_make_request",
        lambda request: calls.append(request["url"]) or ({"customer": {"id": "x"}}, {}, 200),
    )
    chargebee.Chargebee(api_key="k", site="other").Customer.retrieve("x")
    assert calls == ["https://other.chargebee.com/api/v2/customers/x"]


def test_the_sdk_names_the_header_of_keys_as_we_do():
    assert chargebee.Chargebee.idempotency_header == KEY_HEADER


def test_the_sdk_builds_no_certificate_store_for_a_call(client, network, monkeypatch):
    monkeypatch.setattr("ssl.create_default_context", None)
    network.add(responses.GET, f"{API}/customers/cust_1", json={"customer": {"id": "cust_1"}})
    assert client.retrieve_customer("cust_1") == {"id": "cust_1"}


def test_the_sdk_never_logs_payloads(client, network, caplog):
    logging.getLogger("chargebee.http_request").setLevel(logging.DEBUG)
    network.add(responses.GET, f"{API}/customers/cust_1", json={"customer": {"id": "c", "email": "ann@example.com"}})
    with caplog.at_level(logging.DEBUG):
        client.retrieve_customer("cust_1")
    assert caplog.text == ""


@pytest.mark.parametrize("site", ["", "acme.evil", "acme/x", "acme@evil", "-acme", "acme#", "acme\n"])
def test_a_site_is_a_name_and_nothing_else(http, site):
    with pytest.raises(Misconfigured):
        ChargebeeClient(http, site=site, api_key=KEY)


@pytest.mark.parametrize("api_key", ["", "kéy", "a\nb"])
def test_a_key_that_cannot_be_one_is_a_misconfiguration(http, api_key):
    with pytest.raises(Misconfigured) as caught:
        ChargebeeClient(http, site="acme", api_key=api_key)
    assert not api_key or api_key not in str(caught.value)


@pytest.mark.parametrize("api_url", ["http://acme.chargebee.com/api/v2", "https://u:p@acme.chargebee.com/api/v2"])
def test_an_address_must_be_safe(http, api_url):
    with pytest.raises(Misconfigured, match="Chargebee"):
        ChargebeeClient(http, site="acme", api_key=KEY, api_url=api_url)


@pytest.mark.parametrize("status", [302, 400, 401, 404, 429, 500])
def test_the_key_never_shows(client, network, status):
    network.add(responses.GET, f"{API}/customers/x", status=status, json={"message": f"bad key {KEY}"})
    with recorded_calls() as calls, pytest.raises(ConnectorError) as caught:
        client.retrieve_customer("x")
    assert KEY not in f"{caught.value} {caught.value!r} {calls} {client!r} {vars(caught.value)}"


def credit_note(**changes: Any) -> dict[str, Any]:
    row = {"reference_line_item_id": "li_1", "amount": 2000, "discount_amount": 500}
    return {
        "id": "CN-1", "type": "refundable", "status": "refunded", "total": 1800, "sub_total": 1500, "line_items": [row],
    } | changes  # fmt: skip


def test_what_credit_notes_take_off_an_invoice_is_read_with_all_their_lines(client, network):
    listed = [credit_note(), credit_note(id="CN-2", line_items_next_offset="two")]
    network.add(responses.GET, f"{API}/credit_notes", json={"list": [{"credit_note": row} for row in listed]})
    pages = [
        credit_note(id="CN-2", line_items_next_offset="two"),
        credit_note(id="CN-2", line_items=[{"amount": 300}], sub_total=1800),
    ]
    for page in pages:
        network.add(responses.GET, f"{API}/credit_notes/CN-2", json={"credit_note": page})
    first, second = client.credits_on_invoice("7")
    assert (first.type, first.status, first.total, first.sub_total) == ("refundable", "refunded", 1800, 1500)
    assert first.lines == (CreditLine("li_1", 1500),)
    assert second.lines == (CreditLine("li_1", 1500), CreditLine(None, 300))
    asked = [query(call) for call in network.calls]
    assert asked[0] == {"reference_invoice_id[is]": "7", "limit": "100"}
    assert asked[1:] == [{"line_items_limit": "300"}, {"line_items_limit": "300", "line_items_offset": "two"}]


@pytest.mark.parametrize("missing", ["id", "type", "status", "total"])
def test_a_credit_note_that_lacks_what_is_needed_is_unreadable(missing):
    raw = {name: value for name, value in credit_note().items() if name != missing}
    with pytest.raises(Unreadable, match=missing):
        InvoiceCredit.from_json(raw)


def test_a_credit_note_without_its_sum_before_tax_counts_with_its_total():
    raw = {name: value for name, value in credit_note().items() if name != "sub_total"}
    assert InvoiceCredit.from_json(raw).sub_total == 1800


def test_discounts_are_told_from_promotional_credits_on_every_page(client, network):
    rows = [
        {"line_item_id": f"li_{number}", "discount_type": kind, "discount_amount": 100}
        for number, kind in ((1, "promotional_credits"), (1, "document_level_coupon"), (2, "document_level_coupon"))
    ]
    whole = {"line_item_discounts": rows, "discounts": [{"entity_type": "promotional_credits", "amount": 100}]}
    pages = [
        invoice(line_items=[line(id="li_1", discount_amount=200)], line_items_next_offset="two", **whole),
        invoice(line_items=[line(id="li_2")], **whole),
    ]
    for page in pages:
        network.add(responses.GET, f"{API}/invoices/inv_1", json={"invoice": page})
    found = client.retrieve_invoice("inv_1")
    assert [(one.line_id, one.is_payment) for one in found.line_discounts] == [
        ("li_1", True), ("li_1", False), ("li_2", False),
    ]  # fmt: skip
    assert (found.promotional, found.lines[0].discount_amount) == (True, 200)


@pytest.mark.parametrize(("sums", "adjusted"), [
    ({}, 0), ({"amount_adjusted": 300}, 300), ({"write_off_amount": 400, "amount_adjusted": 300}, 400),
])  # fmt: skip
def test_write_offs_and_adjustments_are_one_sum(sums, adjusted):
    assert Invoice.from_json(invoice(**sums)).adjusted == adjusted


def test_a_deleted_invoice_is_only_found_where_it_was_deleted(client, network):
    for row in (invoice(deleted=True), invoice()):
        network.add(responses.GET, f"{API}/invoices", json={"list": [{"invoice": row}]})
    assert client.deleted_invoice("inv_1").deleted is True
    assert client.deleted_invoice("inv_1") is None
    assert query(network.calls[0]) == {"id[is]": "inv_1", "include_deleted": "true", "limit": "1"}
