"""m3ter's commitments: fees on their days, and what they pay before balances do."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from m3ter import M3ter

from connector.sandbox import Sandbox

JAN, FEB = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
NEW_YEAR, NEXT_YEAR = date(2026, 1, 1), date(2027, 1, 1)


def bills_of(box: Sandbox, metered: dict[str, str], bill_date: str = "2026-02-01") -> list[dict[str, Any]]:
    job = box.m3ter.run_bill_job([metered["account"]], bill_date)
    return [box.m3ter.bills[bill_id] for bill_id in job["billIds"]]


def figures(bill: dict[str, Any]) -> list[tuple[str, Decimal]]:
    return [(line["lineItemType"], line["subtotal"].normalize()) for line in bill["lineItems"]]


def test_a_commitment_is_billed_on_its_fee_dates(box: Sandbox, metered: dict[str, str]):
    fees = [
        {
            "date": f"2026-{month:02}-01",
            "amount": 500,
            "servicePeriodStartDate": "2026-01-01T00:00:00Z",
            "servicePeriodEndDate": "2027-01-01T00:00:00Z",
        }
        for month in (2, 3)
    ]
    commitment = box.m3ter.create_commitment(metered["account"], 1000, NEW_YEAR, NEXT_YEAR, feeDates=fees)
    _, fee = bills_of(box, metered)
    assert (fee["billingFrequency"], figures(fee)) == ("AD_HOC", [("COMMITMENT_FEE", Decimal(500))])
    assert fee["lineItems"][0]["commitmentId"] == commitment["id"]
    assert len(bills_of(box, metered, "2026-04-01")) == 1


@pytest.mark.parametrize(("in_advance", "bill_date"), [(True, "2026-01-01"), (False, "2027-01-01")])
def test_without_fee_dates_all_that_is_not_prepaid_is_billed_at_once(
    in_advance: bool, bill_date: str, box: Sandbox, metered: dict[str, str]
):
    box.m3ter.create_commitment(
        metered["account"], 1000, NEW_YEAR, NEXT_YEAR, amountPrePaid=200, commitmentFeeBillInAdvance=in_advance
    )
    fee = bills_of(box, metered, bill_date)[-1]
    assert figures(fee) == [("COMMITMENT_FEE", Decimal(800))]


def test_a_commitment_pays_before_a_balance(box: Sandbox, metered: dict[str, str]):
    commitment = box.m3ter.create_commitment(metered["account"], 15, NEW_YEAR, NEXT_YEAR)
    balance = box.m3ter.create_balance(metered["account"], "prepaid", JAN, FEB)
    box.m3ter.add_transaction(balance["id"], 100)
    box.m3ter.submit_usage("acme", "api_calls", JAN, {"calls": 2000})
    [bill] = bills_of(box, metered)
    assert figures(bill)[1:] == [("COMMITMENT_CONSUMED", Decimal(-15)), ("BALANCE_CONSUMED", Decimal(-5))]
    assert box.m3ter.commitments[commitment["id"]]["amountSpent"] == 15
    box.m3ter.delete_bill(bill["id"])
    assert box.m3ter.commitments[commitment["id"]]["amountSpent"] == 0


@pytest.mark.parametrize(
    ("order", "paid"),
    [
        (["BALANCE", "PREPAYMENT"], ["BALANCE_CONSUMED"]),
        (["PREPAYMENT"], ["COMMITMENT_CONSUMED"]),
        (["BALANCE"], ["BALANCE_CONSUMED"]),
    ],
)
def test_an_account_may_say_which_credit_pays_first_or_alone(
    order: list[str], paid: list[str], box: Sandbox, metered: dict[str, str]
):
    account = box.m3ter.accounts[metered["account"]]
    box.m3ter.update("accounts", account["id"], {**account, "creditApplicationOrder": order})
    box.m3ter.create_commitment(metered["account"], 15, NEW_YEAR, NEXT_YEAR)
    balance = box.m3ter.create_balance(metered["account"], "prepaid", JAN, FEB)
    box.m3ter.add_transaction(balance["id"], 100)
    box.m3ter.submit_usage("acme", "api_calls", JAN, {"calls": 2000})
    [bill] = bills_of(box, metered)
    assert [line["lineItemType"] for line in bill["lineItems"][1:]] == paid


def test_the_sdk_keeps_commitments(metered: dict[str, str], m3ter_sdk: M3ter):
    made = m3ter_sdk.commitments.create(
        account_id=metered["account"], amount=1000, currency="USD", start_date="2026-01-01", end_date="2027-01-01"
    )
    assert (made.amount_spent, made.version) == (0, 1)
    assert m3ter_sdk.commitments.retrieve(made.id) == made
    assert [found.id for found in m3ter_sdk.commitments.list(account_id=metered["account"])] == [made.id]
    found = m3ter_sdk.commitments.search(search_query=f"accountId:{metered['account']}$startDate<2026-02-01")
    assert [row.id for row in found.data or []] == [made.id]
    m3ter_sdk.commitments.delete(made.id)
    with pytest.raises(Exception, match="not found"):
        m3ter_sdk.commitments.retrieve(made.id)
