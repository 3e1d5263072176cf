"""m3ter's balances: what they take in, what they pay, worked out on paper."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from connector.sandbox import Sandbox

JAN, FEB, MAR, APR = (datetime(2026, month, 1, tzinfo=UTC) for month in range(1, 5))
MID_JAN = datetime(2026, 1, 16, 12, tzinfo=UTC)
YEAR_END = datetime(2027, 1, 1, tzinfo=UTC)


def use(box: Sandbox, calls: Any, at: datetime = datetime(2026, 1, 10, tzinfo=UTC)) -> None:
    box.m3ter.submit_usage("acme", "api_calls", at, {"calls": calls})


def bill_of(box: Sandbox, metered: dict[str, str], bill_date: str = "2026-02-01") -> dict[str, Any]:
    [bill_id] = box.m3ter.run_bill_job([metered["account"]], bill_date)["billIds"]
    return dict(box.m3ter.bills[bill_id])


def figures(bill: dict[str, Any]) -> list[tuple[str, Decimal]]:
    return [(line["lineItemType"], line["subtotal"].normalize()) for line in bill["lineItems"]]


def credit(
    box: Sandbox,
    metered: dict[str, str],
    value: Any,
    code: str = "prepaid",
    start: datetime = JAN,
    end: datetime = YEAR_END,
    **fields: Any,
) -> str:
    """A balance of so much."""
    balance = box.m3ter.create_balance(metered["account"], code, start, end, **fields)
    box.m3ter.add_transaction(balance["id"], value, appliedDate=balance["startDate"])
    return str(balance["id"])


def held(box: Sandbox, balance_id: str) -> Decimal:
    return Decimal(box.m3ter.balances[balance_id]["amount"])


BALANCE = {
    "code": "prepaid",
    "name": "Prepaid",
    "currency": "USD",
    "startDate": "2026-01-01T00:00:00Z",
    "endDate": "2027-01-01T00:00:00Z",
}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param({"endDate": None}, "endDate", id="no end"),
        pytest.param({"endDate": "2026-01-01T00:00:00Z"}, "endDate", id="no length"),
        pytest.param({"rolloverAmount": 5}, "rolloverEndDate", id="an amount to roll over, but no time"),
        pytest.param({"rolloverAmount": -5, "rolloverEndDate": "2027-02-01T00:00:00Z"}, "rolloverAmount", id="below 0"),
        pytest.param({"rolloverEndDate": "2026-12-31T00:00:00Z"}, "rolloverEndDate", id="rolls over before it ends"),
        pytest.param({"currency": "XYZ"}, "XYZ", id="a currency nobody set up"),
        pytest.param({"productIds": ["5a3dbc5e-0000-4000-8000-000000000000"]}, "Product", id="an unknown product"),
        pytest.param({"lineItemTypes": ["BALANCE_FEE"]}, "lineItemTypes[0]", id="a type that cannot be drawn"),
        pytest.param({"overageDescription": "x" * 201}, "overageDescription", id="a text too long"),
        pytest.param({"accountId": "5a3dbc5e-0000-4000-8000-000000000000"}, "accountId", id="an unknown account"),
        pytest.param({"version": 1}, "version", id="a version on create"),
    ],
)
def test_a_balance_is_refused(
    change: dict[str, Any], complaint: str, box: Sandbox, metered: dict[str, str], m3ter_http: Any
):
    answer = m3ter_http.call("POST", "balances", {"accountId": metered["account"], **BALANCE, **change})
    assert answer.status_code == 400
    assert complaint in answer.json["message"]
    assert box.m3ter.balances == {}


def test_a_balance_pays_a_bill_and_is_less_by_as_much(box: Sandbox, metered: dict[str, str]):
    balance_id = credit(box, metered, 30)
    use(box, 2000)
    bill = bill_of(box, metered)
    assert figures(bill) == [("USAGE", Decimal(20)), ("BALANCE_CONSUMED", Decimal(-20))]
    assert (bill["billTotal"], held(box, balance_id)) == (0, 10)
    assert bill["lineItems"][1]["balanceId"] == balance_id
    drawn = box.m3ter.transactions_of(balance_id)[-1]
    assert (drawn["amount"], drawn["entityType"], drawn["entityId"]) == (-20, "BILL", bill["id"])


def test_a_balance_gives_no_more_than_it_has(box: Sandbox, metered: dict[str, str]):
    balance_id = credit(box, metered, "12.5")
    use(box, 2000)
    bill = bill_of(box, metered)
    assert figures(bill) == [("USAGE", Decimal(20)), ("BALANCE_CONSUMED", Decimal("-12.5"))]
    assert (bill["billTotal"], held(box, balance_id)) == (Decimal("7.5"), 0)


def test_an_empty_balance_makes_no_line(box: Sandbox, metered: dict[str, str]):
    box.m3ter.create_balance(metered["account"], "empty", JAN, YEAR_END)
    use(box, 100)
    assert figures(bill_of(box, metered)) == [("USAGE", Decimal(1))]


def test_an_overdraft_pays_all_and_goes_below_zero(box: Sandbox, metered: dict[str, str]):
    balance_id = credit(box, metered, 5, allowOverdraft=True)
    use(box, 2000)
    assert bill_of(box, metered)["billTotal"] == 0
    assert held(box, balance_id) == -15


def test_the_balance_that_ends_first_pays_first(box: Sandbox, metered: dict[str, str]):
    late = credit(box, metered, 100, "late", end=APR)
    early = credit(box, metered, 15, "early", end=MAR)
    use(box, 2000)
    bill = bill_of(box, metered)
    assert [(line.get("balanceId"), line["subtotal"]) for line in bill["lineItems"][1:]] == [(early, -15), (late, -5)]
    assert (held(box, early), held(box, late)) == (0, 95)


def test_a_balance_pays_only_the_products_it_names(box: Sandbox, metered: dict[str, str]):
    other = box.m3ter.create_product("storage")
    credit(box, metered, 100, productIds=[other["id"]])
    use(box, 2000)
    assert figures(bill_of(box, metered)) == [("USAGE", Decimal(20))]


def test_a_balance_pays_only_the_kinds_of_lines_it_names(box: Sandbox, metered: dict[str, str]):
    plan = box.m3ter.plans[metered["plan"]]
    box.m3ter.update("plans", plan["id"], {**plan, "standingCharge": 50})
    balance_id = credit(box, metered, 100, lineItemTypes=["USAGE"])
    use(box, 2000)
    assert bill_of(box, metered)["billTotal"] == 50
    assert held(box, balance_id) == 80


def test_a_balance_active_for_half_the_period_pays_only_that_half(box: Sandbox, metered: dict[str, str]):
    """As in m3ter.md §12.1."""
    plan = box.m3ter.plans[metered["plan"]]
    box.m3ter.update("plans", plan["id"], {**plan, "standingCharge": 62})
    balance_id = credit(box, metered, 1000, start=MID_JAN)  # 15.5 of January's 31 days
    use(box, 2000, datetime(2026, 1, 10, tzinfo=UTC))  # 20.00 before it begins
    use(box, 300, datetime(2026, 1, 20, tzinfo=UTC))  # 3.00 after
    bill = bill_of(box, metered)
    assert figures(bill) == [
        ("STANDING_CHARGE", Decimal(62)),
        ("USAGE", Decimal(23)),
        ("BALANCE_CONSUMED", Decimal(-34)),  # half of 62, and 3
    ]
    assert bill["lineItems"][2]["servicePeriodStartDate"] == "2026-01-16T12:00:00Z"
    assert held(box, balance_id) == 966


def test_credit_applied_after_the_period_does_not_pay_for_it(box: Sandbox, metered: dict[str, str]):
    balance = box.m3ter.create_balance(metered["account"], "prepaid", JAN, YEAR_END)
    box.m3ter.add_transaction(balance["id"], 50, appliedDate="2026-02-01T00:00:00Z")
    use(box, 2000)
    assert bill_of(box, metered)["billTotal"] == 20


def test_a_surcharge_is_due_on_usage_beyond_the_balance(box: Sandbox, metered: dict[str, str]):
    """As in m3ter.md §12.1: 10 is 10 %."""
    credit(box, metered, 15, overageSurchargePercent=10, overageDescription="Beyond the prepaid")
    use(box, 2000)
    bill = bill_of(box, metered)
    # 20 used, 15 paid by the balance; 10 % of the 5 beyond it.
    assert figures(bill)[1:] == [("BALANCE_CONSUMED", Decimal(-15)), ("OVERAGE_SURCHARGE", Decimal("0.5"))]
    assert (bill["billTotal"], bill["lineItems"][2]["description"]) == (Decimal("5.5"), "Beyond the prepaid")


def test_no_surcharge_is_due_on_what_another_balance_pays(box: Sandbox, metered: dict[str, str]):
    credit(box, metered, 15, "first", end=MAR, overageSurchargePercent=10)
    credit(box, metered, 4, "second")
    use(box, 2000)
    assert figures(bill_of(box, metered))[-1] == ("OVERAGE_SURCHARGE", Decimal("0.1"))  # 10 % of 20 − 15 − 4


def test_what_is_unused_rolls_over_up_to_its_cap(box: Sandbox, metered: dict[str, str]):
    balance_id = credit(box, metered, 100, end=FEB, rolloverEndDate="2026-03-01T00:00:00Z", rolloverAmount=30)
    use(box, 2000)  # January: 20
    use(box, 5000, datetime(2026, 2, 10, tzinfo=UTC))  # February: 50
    assert bill_of(box, metered)["billTotal"] == 0
    february = bill_of(box, metered, "2026-03-01")
    assert figures(february) == [("USAGE", Decimal(50)), ("BALANCE_CONSUMED", Decimal(-30))]
    box.advance(to=MAR)
    assert box.m3ter.transaction_summary(balance_id) == {
        "totalCreditAmount": 100,
        "totalDebitAmount": 50,
        "initialCreditAmount": 100,
        "expiredBalanceAmount": 50,  # of the 80 unused at the end, 30 lived on
        "rolloverConsumed": 30,
        "balanceConsumed": 20,
    }


def test_without_a_cap_all_that_is_unused_rolls_over_until_the_window_closes(box: Sandbox, metered: dict[str, str]):
    balance_id = credit(box, metered, 100, end=FEB, rolloverEndDate="2026-02-15T00:00:00Z")
    use(box, 5000, datetime(2026, 2, 10, tzinfo=UTC))
    use(box, 1000, datetime(2026, 2, 20, tzinfo=UTC))  # too late
    february = bill_of(box, metered, "2026-03-01")
    assert figures(february) == [("USAGE", Decimal(60)), ("BALANCE_CONSUMED", Decimal(-50))]
    assert held(box, balance_id) == 50


def test_an_ended_balance_pays_nothing(box: Sandbox, metered: dict[str, str]):
    credit(box, metered, 100, end=FEB)
    use(box, 5000, datetime(2026, 2, 10, tzinfo=UTC))
    assert figures(bill_of(box, metered, "2026-03-01")) == [("USAGE", Decimal(50))]


def test_recalculating_gives_back_what_was_drawn_and_draws_anew(box: Sandbox, metered: dict[str, str]):
    balance_id = credit(box, metered, 30)
    use(box, 2000)
    bill = bill_of(box, metered)
    use(box, 500)
    again = box.m3ter.recalculate(bill["id"])
    assert figures(again) == [("USAGE", Decimal(25)), ("BALANCE_CONSUMED", Decimal(-25))]
    assert (held(box, balance_id), len(box.m3ter.transactions_of(balance_id))) == (5, 2)


def test_deleting_a_bill_gives_back_what_it_drew(box: Sandbox, metered: dict[str, str]):
    balance_id = credit(box, metered, 30)
    use(box, 2000)
    box.m3ter.delete_bill(bill_of(box, metered)["id"])
    assert (held(box, balance_id), len(box.m3ter.transactions_of(balance_id))) == (30, 1)


def test_a_bill_calculated_anew_cannot_take_what_a_later_one_took(box: Sandbox, metered: dict[str, str]):
    balance_id = credit(box, metered, 30)
    use(box, 1000)
    january = bill_of(box, metered)
    use(box, 1500, datetime(2026, 2, 10, tzinfo=UTC))
    bill_of(box, metered, "2026-03-01")
    use(box, 1000)
    again = box.m3ter.recalculate(january["id"])
    assert figures(again) == [("USAGE", Decimal(20)), ("BALANCE_CONSUMED", Decimal(-15))]  # 30 less February's 15
    assert held(box, balance_id) == 0


def test_a_balance_in_another_currency_pays_at_the_rate(box: Sandbox, metered: dict[str, str]):
    balance_id = credit(box, metered, 10, currency="GBP")
    use(box, 500)  # 5.00 USD
    rate = [{"from": "GBP", "to": "USD", "multiplier": Decimal("1.25")}]
    assert box.m3ter.run_bill_job([metered["account"]], "2026-02-01")["billIds"] == []  # no rate: no bill
    assert held(box, balance_id) == 10
    [bill_id] = box.m3ter.run_bill_job([metered["account"]], "2026-02-01", currencyConversions=rate)["billIds"]
    line = box.m3ter.bills[bill_id]["lineItems"][1]
    assert (line["subtotal"], line["currency"], line["convertedSubtotal"]) == (-4, "GBP", -5)
    assert (box.m3ter.bills[bill_id]["billTotal"], held(box, balance_id)) == (0, 6)


def test_lines_paid_by_a_balance_show_its_accounting_product_and_text(box: Sandbox, metered: dict[str, str]):
    product = box.m3ter.create_product("credit")
    credit(
        box,
        metered,
        30,
        consumptionsAccountingProductId=product["id"],
        balanceDrawDownDescription="Prepaid credit used",
    )
    use(box, 2000)
    line = bill_of(box, metered)["lineItems"][1]
    assert (line["description"], line["productId"], line["accountingProductCode"]) == (
        "Prepaid credit used",
        product["id"],
        "credit",
    )


def test_the_top_up_of_section_12_gives_200_dollars_and_bills_160_pounds(
    box: Sandbox, metered: dict[str, str], m3ter_http: Any
):
    """The requests of m3ter.md §12.3 and §12.7, together as the recipe of §12.8 has them."""
    balance = box.m3ter.create_balance(metered["account"], "prepaid", JAN, YEAR_END)["id"]
    kind, march = box.m3ter.create_transaction_type("TOP_UP")["id"], "2026-03-01T00:00:00Z"
    credit = {
        "amount": 200, "transactionTypeId": kind, "description": "Top-up PO-77 ref:cbtx_901", "paid": 160,
        "currencyPaid": "GBP", "appliedDate": march, "transactionDate": march,
    }  # fmt: skip
    charge = {
        "name": "Top-up fee", "code": "topup-ba1-2026-03", "accountId": metered["account"], "entityType": "BALANCE",
        "lineItemType": "BALANCE_FEE", "entityId": balance, "currency": "GBP", "amount": 160, "billDate": "2026-04-01",
        "servicePeriodStartDate": march, "servicePeriodEndDate": "2026-04-01T00:00:00Z", "notes": "for tx ref:cbtx_901",
    }  # fmt: skip
    for path, body in ((f"balances/{balance}/transactions", credit), ("charges", charge)):
        answer = m3ter_http.call("POST", path, body)
        assert (answer.status_code, answer.json["version"]) == (200, 1)
        assert body.items() <= answer.json.items()
    rate = [{"from": "GBP", "to": "USD", "multiplier": Decimal("1.25")}]
    job = {"currencyConversions": rate, "billingFrequency": "AD_HOC"}
    [bill_id] = box.m3ter.run_bill_job([metered["account"]], "2026-04-01", **job)["billIds"]
    [line] = box.m3ter.bills[bill_id]["lineItems"]
    assert (line["lineItemType"], line["subtotal"], line["currency"]) == ("BALANCE_FEE", 160, "GBP")
    assert (line["convertedSubtotal"], held(box, balance)) == (200, 200)


def test_a_debit_lowers_the_balance(box: Sandbox, metered: dict[str, str]):
    balance_id = credit(box, metered, 30)
    debit = box.m3ter.add_transaction(balance_id, "-12.34", description="Write-off")
    assert (debit["entityType"], held(box, balance_id)) == ("SERVICE_USER", Decimal("17.66"))


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        pytest.param({}, "amount", id="no amount"),
        pytest.param({"amount": "5"}, "amount", id="an amount in words"),
        pytest.param({"amount": 5, "transactionTypeId": "tt_1"}, "transactionTypeId", id="an id with a sign"),
        pytest.param({"amount": 5, "transactionTypeId": "unknown"}, "does not exist", id="an unknown type"),
        pytest.param({"amount": 5, "currencyPaid": "XYZ"}, "XYZ", id="paid in a currency nobody set up"),
        pytest.param({"amount": 5, "paidCurrency": "USD"}, "paidCurrency", id="the prose's name of currencyPaid"),
        pytest.param({"amount": 5, "code": "once"}, "code", id="a code: transactions have none"),
        pytest.param([], "JSON object", id="a list"),
    ],
)
def test_a_transaction_is_refused(body: Any, complaint: str, box: Sandbox, metered: dict[str, str], m3ter_http: Any):
    balance = box.m3ter.create_balance(metered["account"], "prepaid", JAN, YEAR_END)
    answer = m3ter_http.call("POST", f"balances/{balance['id']}/transactions", body)
    assert answer.status_code == 400
    assert complaint in answer.json["message"]


def test_transactions_are_filtered(box: Sandbox, metered: dict[str, str], m3ter_http: Any):
    kind = box.m3ter.create_transaction_type("TOP_UP")
    balance_id = credit(box, metered, 30)
    typed = box.m3ter.add_transaction(balance_id, 5, transactionTypeId=kind["id"])
    use(box, 100)
    bill = bill_of(box, metered)
    path = f"balances/{balance_id}/transactions"
    for query, count in (
        ({}, 3),
        ({"transactionTypeId": kind["id"]}, 1),
        ({"entityType": "BILL"}, 1),
        ({"entityId": bill["id"]}, 1),
        ({"entityType": "SCHEDULER"}, 0),
    ):
        assert len(m3ter_http.call("GET", path, query_string=query).json["data"]) == count, query
    assert typed["transactionTypeId"] == kind["id"]
    assert m3ter_http.call("GET", path, query_string={"pageSize": 200}).status_code == 200
    assert m3ter_http.call("GET", path, query_string={"pageSize": 201}).status_code == 400


def test_balances_are_filtered(box: Sandbox, metered: dict[str, str], m3ter_http: Any):
    credit(box, metered, 1, "plain", end=MAR)
    credit(box, metered, 1, "rolling", end=FEB, rolloverEndDate="2026-04-01T00:00:00Z")
    for query, codes in (
        ({}, ["rolling", "plain"]),
        ({"accountId": metered["account"], "contractId": ""}, ["rolling", "plain"]),
        ({"accountId": metered["product"]}, []),
        ({"endDateStart": "2026-03-15"}, ["rolling"]),
        ({"endDateEnd": "2026-04-01T00:00:00Z"}, ["plain"]),
        ({"contract": metered["product"]}, []),
    ):
        rows = m3ter_http.call("GET", "balances", query_string=query).json["data"]
        assert [row["code"] for row in rows] == codes, query
    assert m3ter_http.call("GET", "balances", query_string={"endDateEnd": "soon"}).status_code == 400
