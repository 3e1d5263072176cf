"""Chargebee's credits, charges of their own, payments and hierarchies."""

from datetime import timedelta
from typing import Any

import chargebee
import pytest
from chargebee import Chargebee

from connector.sandbox import Sandbox

DAY = 86_400
JAN_1, FEB_1 = 1_767_225_600, 1_769_904_000


def event_types(box: Sandbox, since: int = 0) -> list[str]:
    return [event["event_type"] for event in box.chargebee.events.values()][since:]


@pytest.fixture
def paid(shop: Sandbox) -> Sandbox:
    """The shop, with its first invoice paid."""
    shop.chargebee.pay_invoice("1")
    return shop


def test_promotional_credits_are_added_deducted_set_and_listed(shop: Sandbox, chargebee_sdk: Chargebee):
    form = {"customer_id": "acme", "amount": 500, "currency_code": "USD", "description": "m3ter credit"}
    added = chargebee_sdk.PromotionalCredit.add({**form, "reference": "bill-1"})
    credit = added.promotional_credit
    assert (credit.type, credit.amount, credit.closing_balance, credit.reference) == ("increment", 500, 500, "bill-1")
    assert (added.customer.promotional_credits, added.customer.balances[0].promotional_credits) == (500, 500)
    deducted = chargebee_sdk.PromotionalCredit.deduct({**form, "amount": 200}).promotional_credit
    assert (deducted.type, deducted.closing_balance) == ("decrement", 300)
    assert chargebee_sdk.PromotionalCredit.set({**form, "amount": 50}).promotional_credit.amount == 250
    rows = chargebee_sdk.PromotionalCredit.list({"customer_id": {"is": "acme"}, "type": {"is": "decrement"}}).list
    assert sorted(row.promotional_credit.amount for row in rows) == [200, 250]
    assert chargebee_sdk.PromotionalCredit.retrieve(credit.id).promotional_credit.raw_data == credit.raw_data
    assert event_types(shop)[-3:] == ["promotional_credits_added", *["promotional_credits_deducted"] * 2]
    with pytest.raises(chargebee.InvalidRequestError) as caught:
        chargebee_sdk.PromotionalCredit.deduct({**form, "amount": 51})
    assert (caught.value.http_status_code, caught.value.param) == (400, "amount")


@pytest.mark.parametrize(("on_close", "due"), [(False, 10_000), (True, 9_500)])
def test_promotional_credits_reach_a_pending_invoice_only_where_the_site_is_set_so(
    on_close: bool, due: int, draft_id: str, shop: Sandbox
):
    shop.chargebee.settings.promotional_credits_on_close = on_close
    shop.chargebee.add_promotional_credits("acme", 500, "late", "USD")
    assert shop.chargebee.close_invoice(draft_id)["amount_due"] == due


def test_voiding_gives_applied_promotional_credits_back(shop: Sandbox, chargebee_sdk: Chargebee):
    shop.chargebee.settings.void_with_credit_note = True
    shop.chargebee.add_promotional_credits("acme", 500, "gift", "USD")
    shop.chargebee.create_subscription("acme", ["pro-USD"], id="other")
    voided = chargebee_sdk.Invoice.void_invoice("2", {"void_reason_code": "Mistake"})
    assert (voided.invoice.status, voided.invoice.amount_due) == ("voided", 0)
    assert (voided.credit_note.type, voided.credit_note.total, voided.credit_note.create_reason_code) == (
        "adjustment",
        9_500,
        "Invoice Void",
    )
    assert shop.chargebee.customers["acme"]["promotional_credits"] == 500
    assert event_types(shop)[-3:] == ["credit_note_created", "promotional_credits_added", "invoice_updated"]


def test_refundable_credits_are_applied_when_an_invoice_is_closed(
    draft_id: str, shop: Sandbox, chargebee_sdk: Chargebee
):
    form = {"type": "refundable", "customer_id": "acme", "total": 4_000, "currency_code": "USD", "comment": "m3ter"}
    note = chargebee_sdk.CreditNote.create(form).credit_note
    assert (note.status, note.amount_available, note.line_items[0].amount) == ("refund_due", 4_000, 4_000)
    assert chargebee_sdk.Customer.retrieve("acme").customer.refundable_credits == 4_000
    before = len(shop.chargebee.events)
    closed = chargebee_sdk.Invoice.close(draft_id).invoice
    assert (closed.total, closed.credits_applied, closed.amount_due) == (10_000, 4_000, 6_000)
    assert [(row.cn_id, row.applied_amount) for row in closed.applied_credits] == [(note.id, 4_000)]
    used = chargebee_sdk.CreditNote.retrieve(note.id).credit_note
    assert (used.status, used.amount_available, used.allocations[0].invoice_id) == ("refunded", 0, closed.id)
    assert event_types(shop, before) == ["credit_note_updated", "invoice_generated"]
    assert chargebee_sdk.Customer.retrieve("acme").customer.refundable_credits == 0


@pytest.mark.parametrize(("cap", "applied"), [(0, 0), (1_000, 1_000), (-1, 4_000)])
def test_a_subscription_can_cap_the_refundable_credits_its_invoices_take(
    cap: int, applied: int, draft_id: str, shop: Sandbox, chargebee_http: Any
):
    form = {"billing_override[max_refundable_credits_usage]": str(cap)}
    assert chargebee_http.post("subscriptions/sub/update_for_items", form).status_code == 200
    shop.chargebee.create_credit_note("refundable", customer_id="acme", total=4_000, currency_code="USD")
    assert shop.chargebee.close_invoice(draft_id)["credits_applied"] == applied


def test_a_credit_note_of_a_day_past_says_so(shop: Sandbox):
    shop.advance(timedelta(days=10))
    for date in (JAN_1 + DAY, JAN_1 + 10 * DAY):
        shop.chargebee.create_credit_note("refundable", customer_id="acme", total=1, currency_code="USD", date=date)
    assert event_types(shop)[-2:] == ["credit_note_created_with_backdating", "credit_note_created"]


def test_an_adjustment_lowers_what_is_due(shop: Sandbox, chargebee_sdk: Chargebee):
    [line] = shop.chargebee.invoices["1"]["line_items"]
    lines = [{"reference_line_item_id": line["id"], "amount": 3_000, "description": "Too much"}]
    form = {"type": "adjustment", "reference_invoice_id": "1", "line_items": lines, "create_reason_code": "Waiver"}
    made = chargebee_sdk.CreditNote.create(form)
    assert (made.credit_note.status, made.credit_note.total) == ("adjusted", 3_000)
    assert made.credit_note.line_items[0].reference_line_item_id == line["id"]
    assert (made.invoice.amount_due, made.invoice.amount_adjusted) == (7_000, 3_000)
    assert [row.cn_id for row in made.invoice.adjustment_credit_notes] == [made.credit_note.id]
    assert event_types(shop)[-2:] == ["credit_note_created", "invoice_updated"]
    assert [row.credit_note.id for row in chargebee_sdk.CreditNote.list({"type": {"is": "adjustment"}}).list] == [
        made.credit_note.id
    ]
    with pytest.raises(chargebee.InvalidRequestError) as caught:
        chargebee_sdk.Invoice.void_invoice("1")
    assert caught.value.http_status_code == 409


@pytest.mark.parametrize(
    ("form", "status", "param"),
    [
        pytest.param({"type": "adjustment"}, 400, "reference_invoice_id", id="an adjustment of nothing"),
        pytest.param(
            {"type": "adjustment", "reference_invoice_id": "1", "total": "10001"}, 400, "total", id="too much"
        ),
        pytest.param(
            {"type": "refundable", "reference_invoice_id": "1", "total": "1"}, 400, "total", id="nothing paid"
        ),
        pytest.param({"type": "refundable", "reference_invoice_id": "9"}, 404, "invoice_id", id="no such invoice"),
        pytest.param({"type": "refundable"}, 400, "customer_id", id="for nobody"),
        pytest.param({"type": "refundable", "customer_id": "acme"}, 400, "currency_code", id="in no currency"),
        pytest.param({"type": "refundable", "total": "0"}, 400, "total", id="of nothing"),
        pytest.param({"type": "refundable", "date": "9999999999"}, 400, "date", id="of the future"),
        pytest.param({"type": "gift"}, 400, "type", id="of no type"),
    ],
)
def test_a_credit_note_is_refused(form: dict[str, str], status: int, param: str, shop: Sandbox, chargebee_http: Any):
    answer = chargebee_http.post("credit_notes", {"total": "5", **form})
    assert (answer.status_code, answer.json["param"]) == (status, param)
    assert shop.chargebee.credit_notes == {}


@pytest.mark.parametrize("kind", ["adjustment", "refundable"])
def test_a_pending_invoice_takes_no_credit_note(kind: str, draft_id: str, chargebee_http: Any):
    form = {"type": kind, "reference_invoice_id": draft_id, "total": "5"}
    assert chargebee_http.post("credit_notes", form).status_code == 409


def test_a_site_can_want_a_reason_for_every_credit_note(shop: Sandbox, chargebee_http: Any):
    shop.chargebee.settings.credit_note_reason_required = True
    form = {"type": "adjustment", "reference_invoice_id": "1", "total": "5"}
    assert chargebee_http.post("credit_notes", form).json["param"] == "create_reason_code"
    assert chargebee_http.post("credit_notes", {**form, "create_reason_code": "Waiver"}).status_code == 200


def test_payments_come_in_parts_and_go_back(shop: Sandbox, chargebee_sdk: Chargebee):
    part = {"transaction": {"amount": 4_000, "payment_method": "bank_transfer", "reference_number": "r1"}}
    first = chargebee_sdk.Invoice.record_payment("1", part)
    assert (first.invoice.status, first.invoice.amount_due, first.transaction.amount) == ("payment_due", 6_000, 4_000)
    second = chargebee_sdk.Invoice.record_payment("1", {"transaction": {"payment_method": "cash"}})
    assert (second.invoice.status, second.transaction.amount) == ("paid", 6_000)
    assert event_types(shop)[-2:] == ["invoice_updated", "payment_succeeded"]
    ids = {row.transaction.id for row in chargebee_sdk.Transaction.payments_for_invoice("1").list}
    assert ids == {first.transaction.id, second.transaction.id}
    back = chargebee_sdk.Invoice.refund("1", {"refund_amount": 1_000})
    assert (back.transaction.type, back.transaction.amount) == ("refund", 1_000)
    assert (back.credit_note.status, back.credit_note.amount_refunded) == ("refunded", 1_000)
    assert [row.cn_id for row in back.invoice.issued_credit_notes] == [back.credit_note.id]
    assert event_types(shop)[-3:] == ["credit_note_created", "invoice_updated", "payment_refunded"]
    rest = {"transaction": {"payment_method": "cash", "date": JAN_1}}
    assert chargebee_sdk.Invoice.record_refund("1", rest).transaction.amount == 9_000
    with pytest.raises(chargebee.InvalidRequestError) as caught:
        chargebee_sdk.Invoice.refund("1")
    assert caught.value.http_status_code == 409


def test_a_failed_payment_leaves_the_invoice_due(shop: Sandbox, chargebee_http: Any):
    form = {"transaction[payment_method]": "card", "transaction[status]": "failure"}
    answer = chargebee_http.post("invoices/1/record_payment", form).json
    assert (answer["transaction"]["status"], answer["invoice"]["amount_due"]) == ("failure", 10_000)
    assert event_types(shop)[-1] == "payment_failed"
    form = {"transaction[payment_method]": "card", "transaction[amount]": "10001"}
    assert chargebee_http.post("invoices/1/record_payment", form).status_code == 400


def test_unbilled_charges_wait_for_the_subscriptions_next_invoice(shop: Sandbox, chargebee_sdk: Chargebee):
    form = {
        "subscription_id": "sub",
        "currency_code": "USD",
        "item_prices": [
            {"item_price_id": "calls-USD", "unit_price": 2_900, "date_from": JAN_1, "date_to": FEB_1},
            {"item_price_id": "tiered-USD", "quantity": 12},
        ],
        "charges": [{"amount": 7, "description": "Setup"}],
    }
    made = chargebee_sdk.UnbilledCharge.create(form).unbilled_charges
    assert [charge.amount for charge in made] == [2_900, 1_100, 7]
    rows = chargebee_sdk.UnbilledCharge.list({"subscription_id": {"is": "sub"}}).list
    assert {row.unbilled_charge.id for row in rows} == {charge.id for charge in made}
    assert chargebee_sdk.UnbilledCharge.delete(made[2].id).unbilled_charge.deleted is True
    assert chargebee_sdk.Customer.retrieve("acme").customer.unbilled_charges == 4_000
    shop.advance(timedelta(days=31))
    [draft] = shop.chargebee.pending_invoices("sub")
    assert [line["amount"] for line in draft["line_items"]] == [10_000, 2_900, 1_100]
    assert (draft["line_items"][1]["date_from"], draft["line_items"][1]["object"]) == (JAN_1, "line_item")
    assert chargebee_sdk.UnbilledCharge.list().list == []
    assert [event for event in event_types(shop) if event.startswith("unbilled_charges_")] == [
        "unbilled_charges_created",
        "unbilled_charges_deleted",
        "unbilled_charges_invoiced",
    ]


def test_unbilled_charges_can_be_invoiced_at_once(shop: Sandbox, chargebee_sdk: Chargebee):
    shop.chargebee.create_unbilled_charges("sub", [{"item_price_id": "calls-USD", "unit_price": 5}], None, "USD")
    [invoice] = chargebee_sdk.UnbilledCharge.invoice_unbilled_charges({"subscription_id": "sub"}).invoices
    assert (invoice.status, invoice.total, invoice.recurring, invoice.subscription_id) == (
        "payment_due",
        5,
        False,
        "sub",
    )
    assert event_types(shop)[-2:] == ["unbilled_charges_invoiced", "invoice_generated"]
    with pytest.raises(chargebee.InvalidRequestError) as caught:
        chargebee_sdk.UnbilledCharge.invoice_unbilled_charges({"subscription_id": "sub"})
    assert caught.value.http_status_code == 409


@pytest.mark.parametrize(("option", "totals"), [("invoice", [5]), ("delete", [])])
def test_a_cancellation_says_what_becomes_of_unbilled_charges(
    option: str, totals: list[int], shop: Sandbox, chargebee_http: Any
):
    shop.chargebee.create_unbilled_charges("sub", None, [{"amount": 5, "description": "x"}], "USD")
    form = {"cancel_option": "immediately", "unbilled_charges_option": option}
    assert chargebee_http.post("subscriptions/sub/cancel_for_items", form).status_code == 200
    assert [row["total"] for row in shop.chargebee.pending_invoices("sub")] == totals
    assert chargebee_http.get("unbilled_charges").json["list"] == []


@pytest.mark.parametrize(
    ("form", "param"),
    [
        pytest.param({}, "item_prices", id="nothing to charge"),
        pytest.param({"subscription_id": ""}, "subscription_id", id="for no subscription"),
        pytest.param({"currency_code": ""}, "currency_code", id="in no currency"),
        pytest.param({"currency_code": "EUR"}, "currency_code", id="in another currency"),
        pytest.param({"charges[amount][0]": "5"}, "charges[description]", id="without a text"),
        pytest.param(
            {"charges[amount][0]": "0", "charges[description][0]": "x"}, "charges[amount]", id="an amount of nothing"
        ),
        pytest.param({"item_prices[item_price_id][0]": "pro-USD"}, "item_prices[item_price_id]", id="a plan"),
    ],
)
def test_an_unbilled_charge_is_refused(form: dict[str, str], param: str, shop: Sandbox, chargebee_http: Any):
    answer = chargebee_http.post("unbilled_charges", {"subscription_id": "sub", "currency_code": "USD", **form})
    assert (answer.status_code, answer.json["param"]) == (400, param)


def test_a_late_bill_goes_onto_a_pending_invoice_of_its_own(shop: Sandbox, chargebee_sdk: Chargebee):
    form = {
        "subscription_id": "sub",
        "create_pending_invoice": True,
        "item_prices": [
            {
                "item_price_id": "calls-USD",
                "unit_price": 2_000,
                "description": "Calls in December",
                "entity_description": "12 calls",
            }
        ],
        "charges": [{"amount": 1_000, "description": "Minimum"}],
        "discounts": [
            {"apply_on": "specific_item_price", "item_price_id": "calls-USD", "percentage": 25.0},
            {"apply_on": "invoice_amount", "amount": 100},
        ],
        "invoice_note": "late",
    }
    draft = chargebee_sdk.Invoice.create_for_charge_items_and_charges(form).invoice
    assert (draft.status, draft.total, draft.notes[0].note) == ("pending", 2_400, "late")
    assert draft.id.startswith("draft_inv_")
    assert [line.description for line in draft.line_items] == ["Calls in December", "Minimum"]
    assert [line.discount_amount for line in draft.line_items] == [600, 0]
    assert draft.line_items[0].entity_description == "12 calls"
    more = chargebee_sdk.Invoice.add_charge_item(
        draft.id, {"item_price": {"item_price_id": "calls-USD", "unit_price": 1}}
    ).invoice
    assert more.total == 2_401
    assert chargebee_sdk.Invoice.close(draft.id).invoice.total == 2_401
    assert event_types(shop)[-3:] == ["pending_invoice_created", "pending_invoice_updated", "invoice_generated"]


def test_a_one_time_invoice_without_the_flag_is_final_and_charged_at_once(shop: Sandbox, chargebee_sdk: Chargebee):
    shop.chargebee.update_customer("acme", card_status="valid")
    form = {"customer_id": "acme", "currency_code": "USD", "charges": [{"amount": 5, "description": "Top-up"}]}
    invoice = chargebee_sdk.Invoice.create_for_charge_items_and_charges(form).invoice
    assert (invoice.status, invoice.subscription_id, invoice.customer_id) == ("paid", None, "acme")
    assert event_types(shop)[-2:] == ["invoice_generated", "payment_succeeded"]


@pytest.mark.parametrize(
    ("form", "param"),
    [
        pytest.param(
            {"subscription_id": "", "customer_id": "acme"}, "subscription_id", id="pending for no subscription"
        ),
        pytest.param({"auto_collection": "on"}, "auto_collection", id="pending and paid"),
        pytest.param({"payment_source_id": "pm"}, "payment_source_id", id="pending with a payment source"),
        pytest.param({"invoice_date": str(JAN_1 - 60 * DAY)}, "invoice_date", id="long ago"),
        pytest.param({"invoice_date": str(FEB_1)}, "invoice_date", id="in the future"),
        pytest.param({"discounts[apply_on][0]": "invoice_amount"}, "discounts[amount]", id="a discount of nothing"),
        pytest.param(
            {"discounts[apply_on][0]": "invoice_amount", "discounts[percentage][0]": "NaN"},
            "discounts[percentage]",
            id="a percentage that is none",
        ),
    ],
)
def test_a_one_time_invoice_is_refused(form: dict[str, str], param: str, shop: Sandbox, chargebee_http: Any):
    charge = {"charges[amount][0]": "5", "charges[description][0]": "x"}
    form = {"subscription_id": "sub", "create_pending_invoice": "true", **charge, **form}
    answer = chargebee_http.post("invoices/create_for_charge_items_and_charges", form)
    assert (answer.status_code, answer.json["param"]) == (400, param)
    assert len(shop.chargebee.invoices) == 1


def test_a_hierarchy_is_built_read_and_taken_apart(box: Sandbox, chargebee_sdk: Chargebee):
    for customer_id in ("root", "child", "grandchild"):
        box.chargebee.create_customer(customer_id)
    form = {"parent_id": "root", "invoice_owner_id": "root", "payment_owner_id": "root"}
    linked = chargebee_sdk.Customer.relationships("child", form).customer
    assert (linked.relationship.parent_id, linked.relationship.invoice_owner_id) == ("root", "root")
    chargebee_sdk.Customer.relationships("grandchild", {"parent_id": "child"})
    found = {}
    for kind in ("complete_hierarchy", "subordinates", "path_to_root"):
        rows = chargebee_sdk.Customer.hierarchy("child", {"hierarchy_operation_type": kind}).hierarchies
        found[kind] = [row.customer_id for row in rows]
    assert found == {
        "complete_hierarchy": ["root", "child", "grandchild"],
        "subordinates": ["child", "grandchild"],
        "path_to_root": ["child", "root"],
    }
    query = {"hierarchy_operation_type": "complete_hierarchy", "limit": 2}
    page = chargebee_sdk.Customer.list_hierarchy_detail("root", query)
    assert (len(page.list), page.next_offset is None) == (2, False)
    assert [
        row.customer.id for row in chargebee_sdk.Customer.list({"relationship": {"parent_id": {"is": "root"}}}).list
    ] == ["child"]
    assert chargebee_sdk.Customer.delete_relationship("child").customer.relationship is None
    assert event_types(box)[-3:] == ["hierarchy_created", "hierarchy_created", "hierarchy_deleted"]


@pytest.mark.parametrize(
    ("form", "param"),
    [
        pytest.param({"parent_id": ""}, "parent_id", id="without a parent"),
        pytest.param({"parent_id": "root"}, "parent_id", id="under itself"),
        pytest.param({"parent_id": "child"}, "parent_id", id="under its own child"),
        pytest.param({"parent_id": "other", "invoice_owner_id": "child"}, "invoice_owner_id", id="invoiced to a child"),
    ],
)
def test_a_relationship_is_refused(form: dict[str, str], param: str, box: Sandbox, chargebee_http: Any):
    for customer_id in ("root", "child", "other"):
        box.chargebee.create_customer(customer_id)
    box.chargebee.relate_customer("child", "root")
    answer = chargebee_http.post("customers/root/relationships", form)
    assert (answer.status_code, answer.json["param"]) == (400, param)


def test_a_hierarchy_has_at_most_five_levels(box: Sandbox, chargebee_http: Any):
    for number in range(6):
        box.chargebee.create_customer(f"c{number}")
    statuses = [
        chargebee_http.post(f"customers/c{number + 1}/relationships", {"parent_id": f"c{number}"}).status_code
        for number in range(5)
    ]
    assert statuses == [200, 200, 200, 200, 400]


def test_a_subscription_inside_a_hierarchy_cannot_be_moved(paid: Sandbox, chargebee_http: Any):
    for customer_id in ("other", "parent"):
        paid.chargebee.create_customer(customer_id)
    paid.chargebee.relate_customer("other", "parent")
    assert chargebee_http.post("subscriptions/sub/move", {"to_customer_id": "other"}).status_code == 409


def test_a_snapshot_holds_credits_and_ramps_too(shop: Sandbox):
    taken = shop.snapshot()
    shop.chargebee.add_promotional_credits("acme", 1, "x", "USD")
    shop.chargebee.create_credit_note("refundable", customer_id="acme", total=1, currency_code="USD")
    shop.chargebee.create_ramp("sub", FEB_1, items_to_add=[{"item_price_id": "max-USD"}])
    shop.restore(taken)
    chargebee_site = shop.chargebee
    assert [chargebee_site.promotional_credits, chargebee_site.credit_notes, chargebee_site.ramps] == [{}, {}, {}]
    note = chargebee_site.create_credit_note("refundable", customer_id="acme", total=1, currency_code="USD")
    assert note["id"] == "TEST-CN-1"


@pytest.mark.parametrize(("how", "event"), [("void", "credit_note_updated"), ("delete", "credit_note_deleted")])
def test_a_credit_note_that_nobody_has_used_can_be_taken_back(shop: Sandbox, chargebee_http: Any, how: str, event: str):
    note = shop.chargebee.create_credit_note("refundable", customer_id="acme", total=500, currency_code="USD")
    answer = chargebee_http.post(f"credit_notes/{note['id']}/{how}", {}).json["credit_note"]
    assert (answer["status"] == "voided", answer["deleted"]) == (how == "void", how == "delete")
    assert shop.chargebee.customers["acme"]["refundable_credits"] == 0
    assert [row["event_type"] for row in shop.chargebee.events.values()][-1] == event
    assert chargebee_http.post(f"credit_notes/{note['id']}/{how}", {}).status_code == (409 if how == "void" else 404)
