"""Lines of m3ter's bills beside usage: memos and counters, worked out on paper."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from m3ter import M3ter

from connector.sandbox import Sandbox
from connector.sandbox.m3ter.credit_shapes import LINE_ITEM_TYPES

JAN, FEB = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)


def bill_of(box: Sandbox, metered: dict[str, str], bill_date: str = "2026-02-01") -> dict[str, Any]:
    [bill_id] = box.m3ter.run_bill_job([metered["account"]], bill_date)["billIds"]
    return dict(box.m3ter.bills[bill_id])


def figures(bill: dict[str, Any]) -> list[tuple[str, Decimal]]:
    return [(line["lineItemType"], line["subtotal"].normalize()) for line in bill["lineItems"]]


def test_memos_are_lines_that_stay_through_recalculations(box: Sandbox, metered: dict[str, str]):
    box.m3ter.submit_usage("acme", "api_calls", JAN, {"calls": 2000})
    bill = bill_of(box, metered)
    credit = box.m3ter.add_credit_line(bill["id"], "2.5")
    box.m3ter.add_debit_line(bill["id"], 1)
    after = [("USAGE", Decimal(20)), ("CREDIT_MEMO", Decimal("-2.5")), ("DEBIT_MEMO", Decimal(1))]
    shown = box.m3ter.bills[bill["id"]]
    assert (figures(shown), shown["billTotal"]) == (after, Decimal("18.5"))
    assert figures(box.m3ter.recalculate(bill["id"])) == after
    box.m3ter.delete("credit_line_items", credit["id"])
    assert box.m3ter.bills[bill["id"]]["billTotal"] == 21


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param({"amount": 0}, "amount", id="nothing"),
        pytest.param({"amount": -1}, "amount", id="less than nothing: the kind of memo gives the sign"),
        pytest.param({"servicePeriodEndDate": None}, "servicePeriodEndDate", id="no service period"),
        pytest.param({"referencedBillId": "5a3dbc5e-0000-4000-8000-000000000000"}, "referencedBillId", id="no bill"),
        pytest.param({"lineItemType": "GIFT"}, "lineItemType", id="an unknown type"),
        pytest.param({"creditReasonId": "5a3dbc5e-0000-4000-8000-000000000000"}, "creditReasonId", id="no reason"),
    ],
)
def test_a_memo_is_refused(
    change: dict[str, Any], complaint: str, box: Sandbox, metered: dict[str, str], m3ter_http: Any
):
    bill = bill_of(box, metered)
    body = {
        "amount": 1, "description": "Credit", "productId": metered["product"], "accountingProductId": metered["product"],
        "referencedBillId": bill["id"], "referencedLineItemId": bill["lineItems"][0]["id"],
        "servicePeriodStartDate": "2026-01-01T00:00:00Z", "servicePeriodEndDate": "2026-02-01T00:00:00Z",
    }  # fmt: skip
    answer = m3ter_http.call("POST", f"bills/{bill['id']}/creditlineitems", {**body, **change})
    assert (answer.status_code, complaint in answer.json["message"]) == (400, True)


def test_a_locked_bill_takes_no_memos(box: Sandbox, metered: dict[str, str], m3ter_http: Any):
    bill = bill_of(box, metered)
    memo = box.m3ter.add_credit_line(bill["id"], 1)
    box.m3ter.approve(bill["id"])
    box.m3ter.lock(bill["id"])
    path = f"bills/{bill['id']}/creditlineitems"
    again = {**memo, "amount": 1}
    assert m3ter_http.call("POST", path, {**again, "version": None}).status_code == 400
    assert m3ter_http.call("PUT", f"{path}/{memo['id']}", again).status_code == 400
    assert m3ter_http.call("DELETE", f"{path}/{memo['id']}").status_code == 400


@pytest.mark.parametrize("kind", ["credit", "debit"])
def test_the_sdk_keeps_memos(kind: str, box: Sandbox, metered: dict[str, str], m3ter_sdk: M3ter):
    reasons = m3ter_sdk.credit_reasons if kind == "credit" else m3ter_sdk.debit_reasons
    items = m3ter_sdk.bills.credit_line_items if kind == "credit" else m3ter_sdk.bills.debit_line_items
    reason = reasons.create(name="Goodwill", code="GOODWILL")
    assert [found.id for found in reasons.list(codes=["GOODWILL"])] == [reason.id]
    bill = bill_of(box, metered)
    terms = {
        "description": "Goodwill", "product_id": metered["product"], "accounting_product_id": metered["product"],
        "referenced_bill_id": bill["id"], "referenced_line_item_id": bill["lineItems"][0]["id"],
        "service_period_start_date": "2026-01-01T00:00:00Z", "service_period_end_date": "2026-02-01T00:00:00Z",
        f"{kind}_reason_id": reason.id,
    }  # fmt: skip
    made = items.create(bill["id"], amount=3, **terms)
    changed = items.update(made.id, bill_id=bill["id"], amount=4, version=1, **terms)
    assert (changed.amount, items.retrieve(made.id, bill_id=bill["id"]).version) == (4, 2)
    assert [found.id for found in items.list(bill["id"])] == [made.id]
    lines = m3ter_sdk.bills.retrieve(bill["id"]).line_items
    assert lines is not None
    assert (lines[-1].subtotal, lines[-1].reason_id) == (-4 if kind == "credit" else 4, reason.id)
    items.delete(made.id, bill_id=bill["id"])
    assert items.list(bill["id"]).data == []


def test_all_nineteen_types_of_lines_can_stand_on_a_bill(box: Sandbox, metered: dict[str, str], m3ter_sdk: M3ter):
    bill = bill_of(box, metered)
    for line_type in LINE_ITEM_TYPES:
        box.m3ter.add_line(bill["id"], lineItemType=line_type, subtotal=1)
    lines = m3ter_sdk.bills.retrieve(bill["id"]).line_items
    assert lines is not None
    assert [line.line_item_type for line in lines[1:]] == list(LINE_ITEM_TYPES)
    assert len(set(LINE_ITEM_TYPES)) == 19


def test_a_memo_may_be_a_line_of_an_older_type(box: Sandbox, metered: dict[str, str]):
    bill = bill_of(box, metered)
    box.m3ter.add_credit_line(bill["id"], 2, lineItemType="CREDIT_DEDUCTION")
    box.m3ter.add_debit_line(bill["id"], 3, lineItemType="MANUAL_ADJUSTMENT")
    assert figures(box.m3ter.bills[bill["id"]])[1:] == [
        ("CREDIT_DEDUCTION", Decimal(-2)),
        ("MANUAL_ADJUSTMENT", Decimal(3)),
    ]


def test_a_counter_is_charged_on_its_total_and_on_what_changes_it(box: Sandbox, metered: dict[str, str]):
    counter = box.m3ter.create_counter("seats")
    band = [{"lowerLimit": 0, "fixedPrice": 0, "unitPrice": 31}]
    box.m3ter.create_counter_pricing(metered["plan"], counter["id"], band, JAN)
    box.m3ter.adjust_counter(metered["account"], counter["id"], date(2025, 12, 1), 10)
    box.m3ter.adjust_counter(metered["account"], counter["id"], date(2026, 1, 11), 12)
    box.m3ter.adjust_counter(metered["account"], counter["id"], date(2026, 1, 31), 7)
    lines = bill_of(box, metered)["lineItems"][1:]
    assert [(line["lineItemType"], line["units"], line["subtotal"]) for line in lines] == [
        ("COUNTER_RUNNING_TOTAL_CHARGE", 10, 310),
        ("COUNTER_ADJUSTMENT_DEBIT", 2, 42),  # 2 × 31 for 21 of 31 days
        ("COUNTER_ADJUSTMENT_CREDIT", -5, -5),  # 5 × 31 for one day
    ]
    assert {line["counterId"] for line in lines} == {counter["id"]}
    february = bill_of(box, metered, "2026-03-01")["lineItems"][1:]
    assert [(line["lineItemType"], line["subtotal"]) for line in february] == [("COUNTER_RUNNING_TOTAL_CHARGE", 217)]


def test_the_sdk_keeps_counters(box: Sandbox, metered: dict[str, str], m3ter_sdk: M3ter):
    counter = m3ter_sdk.counters.create(name="Seats", code="seats", unit="seats", product_id=metered["product"])
    pricing = m3ter_sdk.counter_pricings.create(
        counter_id=counter.id, plan_id=metered["plan"], start_date="2026-01-01T00:00:00Z",
        pricing_bands=[{"lower_limit": 0, "fixed_price": 0, "unit_price": 5}],
    )  # fmt: skip
    adjustment = m3ter_sdk.counter_adjustments.create(
        account_id=metered["account"], counter_id=counter.id, date="2026-01-01", value=10
    )
    assert [found.id for found in m3ter_sdk.counters.list(codes=["seats"])] == [counter.id]
    assert [found.id for found in m3ter_sdk.counter_pricings.list(plan_id=metered["plan"])] == [pricing.id]
    assert [found.id for found in m3ter_sdk.counter_adjustments.list(account_id=metered["account"])] == [adjustment.id]
    lines = m3ter_sdk.bills.retrieve(bill_of(box, metered)["id"]).line_items
    assert lines is not None
    assert (lines[-1].line_item_type, lines[-1].subtotal) == ("COUNTER_RUNNING_TOTAL_CHARGE", 50)
