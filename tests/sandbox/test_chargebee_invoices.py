"""Chargebee's pending invoices: what may be added, what closing does, and what is refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connector.sandbox import Sandbox

FEB_1, MAR_1 = 1_769_904_000, 1_772_323_200
CALLS = {"item_price[item_price_id]": "calls-USD", "item_price[unit_price]": "2900"}


def event_types(box: Sandbox) -> list[str]:
    return [event["event_type"] for event in box.chargebee.events.values()]


def test_a_renewal_opens_a_pending_invoice_for_the_next_term(draft_id: str, shop: Sandbox):
    invoice = shop.chargebee.invoices[draft_id]
    assert draft_id.startswith("draft_inv_")
    assert invoice["status"] == "pending"
    assert "generated_at" not in invoice
    [line] = invoice["line_items"]
    assert (line["entity_type"], line["entity_id"], line["amount"]) == ("plan_item_price", "pro-USD", 10_000)
    assert (line["date_from"], line["date_to"]) == (FEB_1, MAR_1)
    assert event_types(shop)[-2:] == ["subscription_renewed", "pending_invoice_created"]
    assert {event["source"] for event in list(shop.chargebee.events.values())[-2:]} == {"scheduled_job"}


@pytest.mark.parametrize(
    ("price", "sent", "unit_amount", "quantity", "amount"),
    [
        pytest.param("calls-USD", {"unit_price": "2900"}, 2900, 1, 2900, id="flat fee overridden"),
        pytest.param(
            "calls-USD", {"unit_price": "2900", "quantity": "7"}, 2900, 1, 2900, id="a flat fee has no quantity"
        ),
        pytest.param("calls-USD", {}, 0, 1, 0, id="flat fee from the catalogue"),
        pytest.param("seats-USD", {"quantity": "3"}, 500, 3, 1500, id="per unit from the catalogue"),
        pytest.param("seats-USD", {"unit_price": "7", "quantity": "3"}, 7, 3, 21, id="per unit overridden"),
        # Ten units at 1.00, then two at 0.50.
        pytest.param("tiered-USD", {"quantity": "12"}, 91, 12, 1100, id="tiered"),
        pytest.param("volume-USD", {"quantity": "12"}, 50, 12, 600, id="volume"),
        pytest.param("stairstep-USD", {"quantity": "12"}, 4, 12, 50, id="stairstep"),
    ],
)
def test_an_added_line_costs(
    price: str,
    sent: dict[str, str],
    unit_amount: int,
    quantity: int,
    amount: int,
    draft_id: str,
    shop: Sandbox,
    chargebee_http: Any,
):
    form = {"item_price[item_price_id]": price, **{f"item_price[{name}]": value for name, value in sent.items()}}
    invoice = chargebee_http.post(f"invoices/{draft_id}/add_charge_item", form).json["invoice"]
    line = invoice["line_items"][-1]
    assert (line["unit_amount"], line["quantity"], line["amount"]) == (unit_amount, quantity, amount)
    assert invoice["total"] == invoice["sub_total"] == invoice["amount_due"] == 10_000 + amount
    assert event_types(shop)[-1] == "pending_invoice_updated"


@pytest.mark.parametrize(
    ("form", "status", "param"),
    [
        pytest.param({"item_price[item_price_id]": "nothing"}, 404, "item_price_id", id="no such price"),
        pytest.param({"item_price[item_price_id]": "calls-EUR"}, 400, "item_price[item_price_id]", id="other currency"),
        pytest.param({"item_price[item_price_id]": "pro-USD"}, 400, "item_price[item_price_id]", id="a plan"),
        pytest.param({"item_price[unit_price]": "1"}, 400, "item_price[item_price_id]", id="no price named"),
        pytest.param({}, 400, "item_price", id="nothing sent"),
        pytest.param({**CALLS, "item_price[unit_price]": "-1"}, 400, "item_price[unit_price]", id="negative"),
        pytest.param({**CALLS, "item_price[unit_price]": "29.00"}, 400, "item_price[unit_price]", id="a fraction"),
        pytest.param({**CALLS, "item_price[quantity]": "0"}, 400, "item_price[quantity]", id="no quantity"),
        pytest.param(
            {"item_price[item_price_id]": "tiered-USD", "item_price[unit_price]": "1"},
            400,
            "item_price[unit_price]",
            id="override of tiers",
        ),
        pytest.param({**CALLS, "comment": "x" * 301}, 400, "comment", id="comment too long"),
        pytest.param({**CALLS, "description": "API calls"}, 400, "description", id="there is no description"),
        pytest.param(
            {**CALLS, "item_price[description]": "x"}, 400, "item_price[description]", id="nor one of the price"
        ),
        pytest.param(
            {**CALLS, "item_price[date_from]": "2", "item_price[date_to]": "1"},
            400,
            "date_from",
            id="ends before it starts",
        ),
    ],
)
def test_a_charge_is_refused(
    form: dict[str, str], status: int, param: str, draft_id: str, shop: Sandbox, chargebee_http: Any
):
    before = shop.chargebee.invoices[draft_id]["resource_version"]
    answer = chargebee_http.post(f"invoices/{draft_id}/add_charge_item", form)
    assert (answer.status_code, answer.json["param"]) == (status, param)
    assert answer.json["type"] == "invalid_request"
    assert answer.json["api_error_code"] == ("resource_not_found" if status == 404 else "param_wrong_value")
    assert shop.chargebee.invoices[draft_id]["resource_version"] == before


@pytest.mark.parametrize(
    ("operation", "form"),
    [
        ("add_charge_item", CALLS),
        ("add_charge", {"amount": "1", "description": "x"}),
        ("delete_line_items", {"line_items[id][0]": "li_1"}),
        ("close", {}),
    ],
)
def test_a_final_invoice_takes_no_changes(
    operation: str, form: dict[str, str], draft_id: str, shop: Sandbox, chargebee_http: Any
):
    final = shop.chargebee.close_invoice(draft_id)["id"]
    answer = chargebee_http.post(f"invoices/{final}/{operation}", form)
    assert (answer.status_code, answer.json["api_error_code"]) == (409, "invalid_state_for_request")
    assert chargebee_http.post(f"invoices/{draft_id}/{operation}", form).status_code == 404


def test_closing_gives_the_next_number_and_the_draft_id_leads_nowhere(
    draft_id: str, shop: Sandbox, chargebee_http: Any
):
    shop.chargebee.add_charge_item(draft_id, "calls-USD", 2900, comment="m3ter: line 1")
    lines = [line["id"] for line in shop.chargebee.invoices[draft_id]["line_items"]]
    closed = chargebee_http.post(f"invoices/{draft_id}/close").json["invoice"]
    assert closed["id"] == "2"
    assert closed["status"] == "payment_due"
    assert [line["id"] for line in closed["line_items"]] == lines
    assert chargebee_http.get(f"invoices/{draft_id}").status_code == 404
    assert event_types(shop)[-1] == "invoice_generated"
    comments = chargebee_http.get("comments", query_string={"entity_type": "invoice", "entity_id": "2"}).json["list"]
    assert [row["comment"]["notes"] for row in comments] == ["m3ter: line 1"]


def test_line_ids_change_on_closing_where_the_site_is_set_so(draft_id: str, shop: Sandbox):
    shop.chargebee.settings.line_ids_change_on_close = True
    before = [line["id"] for line in shop.chargebee.invoices[draft_id]["line_items"]]
    after = [line["id"] for line in shop.chargebee.close_invoice(draft_id)["line_items"]]
    assert set(before).isdisjoint(after)


def test_an_invoice_without_lines_cannot_be_closed_only_deleted(draft_id: str, shop: Sandbox, chargebee_http: Any):
    [line] = shop.chargebee.invoices[draft_id]["line_items"]
    chargebee_http.post(f"invoices/{draft_id}/delete_line_items", {"line_items[id][0]": line["id"]})
    assert chargebee_http.post(f"invoices/{draft_id}/close").status_code == 409
    assert chargebee_http.post(f"invoices/{draft_id}/delete", {"comment": "empty"}).json["invoice"]["deleted"] is True
    assert chargebee_http.get(f"invoices/{draft_id}").status_code == 404
    query = {"status[is]": "pending", "include_deleted": "true"}
    assert [row["invoice"]["id"] for row in chargebee_http.get("invoices", query_string=query).json["list"]] == [
        draft_id
    ]


def test_a_line_that_is_not_there_cannot_be_deleted(draft_id: str, chargebee_http: Any):
    assert (
        chargebee_http.post(f"invoices/{draft_id}/delete_line_items", {"line_items[id][0]": "li_no"}).status_code == 404
    )


@pytest.mark.parametrize(
    ("customer", "price", "status", "events"),
    [
        pytest.param({}, 1, "payment_due", ["invoice_generated"], id="nobody pays by itself"),
        pytest.param({"net_term_days": 30}, 1, "posted", ["invoice_generated"], id="net terms"),
        pytest.param({"card_status": "valid"}, 1, "paid", ["invoice_generated", "payment_succeeded"], id="a card"),
        pytest.param(
            {"card_status": "valid", "auto_collection": "off"},
            1,
            "payment_due",
            ["invoice_generated"],
            id="card not used",
        ),
        pytest.param({}, 0, "paid", ["invoice_generated"], id="nothing to pay"),
    ],
)
def test_a_closed_invoice_is(
    customer: dict[str, Any], price: int, status: str, events: list[str], draft_id: str, shop: Sandbox
):
    chargebee = shop.chargebee
    chargebee.update_customer("acme", **customer)
    chargebee.invoices[draft_id]["net_term_days"] = chargebee.customers["acme"]["net_term_days"]
    [line] = chargebee.invoices[draft_id]["line_items"]
    chargebee.add_charge_item(draft_id, "calls-USD", price)
    chargebee.delete_line_items(draft_id, [line["id"]])
    before = len(chargebee.events)
    closed = chargebee.close_invoice(draft_id)
    assert (closed["status"], closed["amount_due"]) == (status, 0 if status == "paid" else price)
    assert event_types(shop)[before:] == events


@pytest.mark.parametrize(
    ("subscription", "customer", "closes"),
    [
        pytest.param({}, {}, True, id="by the site's setting"),
        pytest.param({"auto_close_invoices": False}, {}, False, id="not where the subscription says no"),
        pytest.param({}, {"auto_close_invoices": False}, False, id="nor where the customer says no"),
        pytest.param(
            {"auto_close_invoices": True}, {"auto_close_invoices": False}, True, id="the subscription is heard first"
        ),
    ],
)
def test_the_site_closes_invoices_by_itself(
    subscription: dict[str, Any], customer: dict[str, Any], closes: bool, shop: Sandbox
):
    shop.chargebee.settings.auto_close_days = 3
    shop.chargebee.update_subscription("sub", **subscription)
    shop.chargebee.update_customer("acme", **customer)
    shop.advance(to=datetime(2026, 2, 3, 23, 59, tzinfo=UTC))
    assert len(shop.chargebee.pending_invoices("sub")) == 1
    shop.advance(timedelta(minutes=1))
    assert (shop.chargebee.pending_invoices("sub") == []) is closes


def test_a_site_without_price_override_charges_the_catalogues_price(draft_id: str, shop: Sandbox):
    shop.chargebee.settings.price_override = False
    assert shop.chargebee.add_charge_item(draft_id, "seats-USD", 7, 3)["line_items"][-1]["amount"] == 1500


def test_a_payment_is_an_event_of_its_own(draft_id: str, shop: Sandbox):
    final = shop.chargebee.close_invoice(draft_id)["id"]
    shop.chargebee.pay_invoice(final)
    assert event_types(shop)[-2:] == ["invoice_updated", "payment_succeeded"]
    assert shop.chargebee.invoices[final]["status"] == "paid"
