"""What m3ter bills in advance, and gives back of it."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from connector.sandbox import Sandbox

JAN = datetime(2026, 1, 1, tzinfo=UTC)


def bill_of(box: Sandbox, metered: dict[str, str], bill_date: str) -> list[tuple[str, Decimal, str]]:
    [bill_id] = box.m3ter.run_bill_job([metered["account"]], bill_date)["billIds"]
    lines: list[dict[str, Any]] = box.m3ter.bills[bill_id]["lineItems"]
    return [
        (line["lineItemType"], line["subtotal"].normalize(), line["servicePeriodStartDate"][:10])
        for line in lines
        if line["subtotal"]
    ]


def terms(box: Sandbox, metered: dict[str, str], **changes: Any) -> None:
    plan = box.m3ter.plans[metered["plan"]]
    box.m3ter.update("plans", plan["id"], {**plan, **changes})


def test_of_a_minimum_spend_in_advance_what_was_not_spent_is_refunded(box: Sandbox, metered: dict[str, str]):
    """As in m3ter.md §7.4: 1000 in advance and 800 used, so 200 is refunded."""
    terms(box, metered, minimumSpend=1000, minimumSpendBillInAdvance=True)
    box.m3ter.submit_usage("acme", "api_calls", datetime(2026, 1, 10, tzinfo=UTC), {"calls": 100_000})
    assert bill_of(box, metered, "2026-02-01") == [
        ("USAGE", Decimal(1000), "2026-01-01"),
        ("MINIMUM_SPEND", Decimal(1000), "2026-02-01"),
    ]
    box.m3ter.submit_usage("acme", "api_calls", datetime(2026, 2, 10, tzinfo=UTC), {"calls": 80_000})
    assert bill_of(box, metered, "2026-03-01") == [
        ("USAGE", Decimal(800), "2026-02-01"),
        ("MINIMUM_SPEND_REFUND", Decimal(-200), "2026-02-01"),
        ("MINIMUM_SPEND", Decimal(1000), "2026-03-01"),
    ]


def test_a_standing_charge_in_advance_is_billed_once_for_each_period(box: Sandbox, metered: dict[str, str]):
    terms(box, metered, standingCharge=20, standingChargeBillInAdvance=True)
    for _ in range(2):  # a second calculation changes nothing
        assert bill_of(box, metered, "2026-02-01") == [
            ("STANDING_CHARGE", Decimal(20), "2026-01-01"),  # nobody billed January in advance
            ("STANDING_CHARGE", Decimal(20), "2026-02-01"),
        ]
    assert bill_of(box, metered, "2026-03-01") == [("STANDING_CHARGE", Decimal(20), "2026-03-01")]
