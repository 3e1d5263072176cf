"""How much waits on a mapping: by what would be mapped, within each currency and never across."""

from dataclasses import replace
from decimal import Decimal

from connector.clients.m3ter_objects import BillLine
from connector.remapping import waiting
from connector.remapping.waiting import HeldBill, Source

LINE = BillLine.from_json(
    {"lineItemType": "USAGE", "description": "Calls", "subtotal": 1, "currency": "USD", "aggregationId": "calls"}
)
STANDING = replace(LINE, type="STANDING_CHARGE", description="Fee", aggregation_id=None)


def bill(name: str, currency: str, total: str, *lines: tuple[BillLine, str]) -> HeldBill:
    return HeldBill(
        name, 1, "unmapped_line", currency, Decimal(total), tuple((one, Decimal(x)) for one, x in lines), ()
    )


BILLS = [
    bill("a", "USD", "30.10", (LINE, "10"), (LINE, "0.10"), (STANDING, "20")),
    bill("b", "EUR", "5.05", (LINE, "5.05")),
    bill("c", "USD", "4", (STANDING, "5")),
]


def test_lines_are_summed_by_what_a_person_would_map_and_each_bill_counts_once():
    found = {one.source: (one.amount, one.whole, len(one.bills)) for one in waiting.by_source(BILLS, {})}
    assert found == {
        Source("LineItemType", "STANDING_CHARGE", "USD"): (Decimal("25"), Decimal("34.10"), 2),
        Source("Aggregation", "calls", "USD"): (Decimal("10.10"), Decimal("30.10"), 1),
        Source("Aggregation", "calls", "EUR"): (Decimal("5.05"), Decimal("5.05"), 1),
    }


def test_currencies_are_never_added_up():
    assert waiting.totals(BILLS) == {"EUR": Decimal("5.05"), "USD": Decimal("34.10")}
    assert waiting.totals([]) == {}


def test_bill_is_free_only_when_its_last_line_is_mapped_in_its_currency():
    standing = {("LineItemType", "STANDING_CHARGE", "USD"): "fee"}
    assert [one.bill_id for one in waiting.freed(BILLS, {}, standing)] == ["c"]
    both = standing | {("Aggregation", "calls", "USD"): "calls"}
    assert [one.bill_id for one in waiting.freed(BILLS, {}, both)] == ["a", "c"]
    assert [one.bill_id for one in waiting.freed(BILLS, standing, both)] == ["a"]
    assert [one.source.m3ter_id for one in waiting.by_source(BILLS, standing)] == ["calls", "calls"]
