"""What usage costs once a balance or commitment is consumed: m3ter's overage prices, worked out on paper."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from connector.sandbox import Sandbox

JAN, MID_JAN, YEAR_END = (datetime(*day, tzinfo=UTC) for day in ((2026, 1, 1), (2026, 1, 16), (2027, 1, 1)))
FLAT: dict[str, Any] = {"lowerLimit": 0, "fixedPrice": 0, "unitPrice": 1}


@pytest.fixture
def priced(box: Sandbox, metered: dict[str, str]) -> str:
    """The account's pricing: calls at 0.01, and at 0.02 once all credit is consumed."""
    pricing = box.m3ter.pricings[metered["pricing"]]
    usual, over = ([{**FLAT, "unitPrice": Decimal(price)}] for price in ("0.01", "0.02"))
    terms = {"pricingBands": usual, "overagePricingBands": over, "cumulative": True}
    return str(box.m3ter.update("pricings", pricing["id"], {**pricing, **terms})["id"])


def use(box: Sandbox, calls: int, at: datetime = MID_JAN) -> None:
    box.m3ter.submit_usage("acme", "api_calls", at, {"calls": calls})


def credit(box: Sandbox, metered: dict[str, str], value: Any, code: str = "prepaid", **fields: Any) -> str:
    """A balance of so much, usually for the year."""
    start, end = fields.pop("start", JAN), fields.pop("end", YEAR_END)
    balance = box.m3ter.create_balance(metered["account"], code, start, end, **fields)
    box.m3ter.add_transaction(balance["id"], value, appliedDate=balance["startDate"])
    return str(balance["id"])


def bill_of(box: Sandbox, metered: dict[str, str], **fields: Any) -> dict[str, Any]:
    [bill_id] = box.m3ter.run_bill_job([metered["account"]], "2026-02-01", **fields)["billIds"]
    return dict(box.m3ter.bills[bill_id])


def figures(bill: dict[str, Any]) -> list[tuple[str, int, Decimal]]:
    return [(line["lineItemType"], line["units"], line["subtotal"]) for line in bill["lineItems"]]


def test_usage_beyond_a_balance_is_a_line_at_the_overage_price(box: Sandbox, metered: dict[str, str], priced: str):
    """2,000 calls: the 15.00 held buy 1,500 of them at 0.01, the other 500 are at 0.02."""
    balance_id = credit(box, metered, 15, overageDescription="Beyond the prepaid")
    use(box, 2000)
    bill = bill_of(box, metered)
    assert figures(bill) == [("USAGE", 1500, 15), ("BALANCE_CONSUMED", 0, -15), ("OVERAGE_USAGE", 500, 10)]
    usage, _, overage = bill["lineItems"]
    assert (usage["quantity"], overage["quantity"], overage["averageUnitPrice"]) == (1500, 500, Decimal("0.02"))
    assert (overage["pricingId"], overage["description"], overage["id"] != usage["id"]) == (
        priced,
        "Beyond the prepaid",
        True,
    )
    assert [band["unitPrice"] for band in overage["usagePerPricingBand"]] == [Decimal("0.02")]
    assert (bill["billTotal"], box.m3ter.balances[balance_id]["amount"]) == (10, 0)
    assert figures(box.m3ter.recalculate(bill["id"])) == figures(bill)


@pytest.mark.usefixtures("priced")
def test_without_credit_or_with_enough_of_it_the_usual_price_is_due(box: Sandbox, metered: dict[str, str]):
    use(box, 2000)
    assert figures(bill_of(box, metered)) == [("USAGE", 2000, 20)]
    credit(box, metered, 20)
    assert figures(bill_of(box, metered)) == [("USAGE", 2000, 20), ("BALANCE_CONSUMED", 0, -20)]


@pytest.mark.usefixtures("priced")
def test_what_another_balance_pays_is_no_overage(box: Sandbox, metered: dict[str, str]):
    credit(box, metered, 15, "first")
    credit(box, metered, 4, "second")
    use(box, 2000)
    assert figures(bill_of(box, metered)) == [
        ("USAGE", 1900, 19),
        ("BALANCE_CONSUMED", 0, -15),
        ("BALANCE_CONSUMED", 0, -4),
        ("OVERAGE_USAGE", 100, 2),
    ]


@pytest.mark.usefixtures("priced")
def test_usage_before_the_balance_began_is_no_overage(box: Sandbox, metered: dict[str, str]):
    credit(box, metered, 5, start=MID_JAN)
    use(box, 300, JAN)
    use(box, 700, MID_JAN)
    assert figures(bill_of(box, metered)) == [("USAGE", 800, 8), ("BALANCE_CONSUMED", 0, -5), ("OVERAGE_USAGE", 200, 4)]


@pytest.mark.usefixtures("priced")
def test_a_surcharge_takes_the_place_of_overage_prices(box: Sandbox, metered: dict[str, str]):
    credit(box, metered, 15, overageSurchargePercent=10)
    use(box, 2000)
    assert [row[::2] for row in figures(bill_of(box, metered))] == [
        ("USAGE", 20),
        ("BALANCE_CONSUMED", -15),
        ("OVERAGE_SURCHARGE", Decimal("0.5")),
    ]


@pytest.mark.usefixtures("priced")
def test_a_surcharge_of_credit_that_was_enough_does_not_count(box: Sandbox, metered: dict[str, str]):
    """The first balance pays its half of January, the second 5.00 of the 7.00 of the other half."""
    credit(box, metered, 100, "first", end=MID_JAN, overageSurchargePercent=10)
    credit(box, metered, 5, "second")
    use(box, 300, JAN)
    use(box, 700, MID_JAN)
    bill = bill_of(box, metered)
    assert figures(bill)[::3] == [("USAGE", 800, 8), ("OVERAGE_USAGE", 200, 4)]
    assert bill["billTotal"] == 4


def test_credit_buys_tiers_from_the_first_and_overage_has_tiers_of_its_own(box: Sandbox, metered: dict[str, str]):
    """Of 1,500 calls 10.00 buy 100 for 1 + 5 and 150 for 1 + 3; the other 1,250 cost 1 + 30 and 10."""
    tiers = [(0, 1, "0.05"), (100, 1, "0.02")], [(0, 1, "0.03"), (1000, 0, "0.04")]
    usual, over = (
        [{"lowerLimit": limit, "fixedPrice": fixed, "unitPrice": Decimal(price)} for limit, fixed, price in bands]
        for bands in tiers
    )
    pricing = box.m3ter.pricings[metered["pricing"]]
    terms = {"pricingBands": usual, "overagePricingBands": over, "cumulative": True}
    box.m3ter.update("pricings", pricing["id"], {**pricing, **terms})
    credit(box, metered, 10)
    use(box, 1500)
    bill = bill_of(box, metered)
    assert figures(bill) == [("USAGE", 250, 10), ("BALANCE_CONSUMED", 0, -10), ("OVERAGE_USAGE", 1250, 41)]
    usage, _, overage = bill["lineItems"]
    assert [band["bandUnits"] for band in usage["usagePerPricingBand"]] == [100, 150]
    assert [band["bandUnits"] for band in overage["usagePerPricingBand"]] == [1000, 250]


@pytest.mark.parametrize(
    ("usual", "held", "bought"),
    [
        pytest.param([(0, 0, "0.05")], 0, [], id="nothing was left"),
        pytest.param([(0, 10, "0.05")], 4, [0], id="less than the fixed price"),
        pytest.param([(0, 0, "0"), (50, 0, "0.05")], 2, [50, 40], id="a free tier first"),
        pytest.param([(0, 0, "0.05"), (50, 0, "0")], 2, [40], id="a free tier last, which is not reached"),
    ],
)
def test_what_no_credit_buys_of_a_hundred_units_is_overage(
    usual: list[tuple[int, int, str]], held: int, bought: list[int], box: Sandbox, metered: dict[str, str]
):
    bands = [{"lowerLimit": limit, "fixedPrice": fixed, "unitPrice": Decimal(price)} for limit, fixed, price in usual]
    pricing = box.m3ter.pricings[metered["pricing"]]
    terms = {"pricingBands": bands, "overagePricingBands": [FLAT], "cumulative": True}
    box.m3ter.update("pricings", pricing["id"], {**pricing, **terms})
    credit(box, metered, held)
    use(box, 100)
    bill = bill_of(box, metered)
    beyond = 100 - sum(bought)
    assert (figures(bill)[0], figures(bill)[-1]) == (
        ("USAGE", sum(bought), held),
        ("OVERAGE_USAGE", beyond, beyond),
    )
    assert [band["bandUnits"] for band in bill["lineItems"][0]["usagePerPricingBand"]] == bought


@pytest.mark.usefixtures("priced")
def test_usage_after_the_balance_ended_is_no_overage(box: Sandbox, metered: dict[str, str]):
    """The first 10.00 are within the balance's time; of the 10.00 after it the 5.00 left over pay half."""
    credit(box, metered, 15, end=MID_JAN, rolloverEndDate="2026-03-01T00:00:00Z")
    use(box, 1000, JAN)
    use(box, 1000, MID_JAN)
    bill = bill_of(box, metered)
    assert [row[::2] for row in figures(bill)] == [("USAGE", 20), ("BALANCE_CONSUMED", -10), ("BALANCE_CONSUMED", -5)]


@pytest.mark.usefixtures("priced")
def test_overage_is_converted_into_the_currency_of_the_bill(box: Sandbox, metered: dict[str, str]):
    account = box.m3ter.accounts[metered["account"]]
    box.m3ter.update("accounts", account["id"], {**account, "currency": "EUR"})
    credit(box, metered, 12, currency="EUR")
    use(box, 2000)
    bill = bill_of(box, metered, currencyConversions=[{"from": "USD", "to": "EUR", "multiplier": Decimal("0.8")}])
    usage, _, overage = bill["lineItems"]
    assert (usage["subtotal"], usage["convertedSubtotal"]) == (15, 12)
    assert (overage["subtotal"], overage["convertedSubtotal"], bill["billTotal"]) == (10, 8, 8)


@pytest.mark.usefixtures("priced")
def test_the_overage_of_a_commitment_stands_apart_only_if_it_says_so(box: Sandbox, metered: dict[str, str]):
    commitment = box.m3ter.create_commitment(metered["account"], 15, date(2026, 1, 1), date(2027, 1, 1))
    use(box, 2000)
    assert figures(bill_of(box, metered)) == [("USAGE", 2000, 25), ("COMMITMENT_CONSUMED", 0, -15)]
    apart = {**box.m3ter.commitments[commitment["id"]], "separateOverageUsage": True}
    box.m3ter.update("commitments", commitment["id"], apart)
    assert figures(bill_of(box, metered)) == [
        ("USAGE", 1500, 15),
        ("COMMITMENT_CONSUMED", 0, -15),
        ("OVERAGE_USAGE", 500, 10),
    ]


def test_a_commitment_may_show_overage_apart_at_the_usual_price(box: Sandbox, metered: dict[str, str]):
    box.m3ter.create_commitment(metered["account"], 15, date(2026, 1, 1), date(2027, 1, 1), separateOverageUsage=True)
    use(box, 2000)
    assert figures(bill_of(box, metered)) == [
        ("USAGE", 1500, 15),
        ("COMMITMENT_CONSUMED", 0, -15),
        ("OVERAGE_USAGE", 500, 5),
    ]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param({"cumulative": False}, "cumulative", id="no tiers"),
        pytest.param({"tiersSpanPlan": True}, "tiersSpanPlan", id="tiers over the whole contract"),
        pytest.param({"overagePricingBands": [FLAT, FLAT]}, "overagePricingBands", id="two bands from the same"),
    ],
)
def test_overage_prices_are_refused(change: dict[str, Any], complaint: str, metered: dict[str, str], m3ter_http: Any):
    body = {
        "planId": metered["plan"], "aggregationId": metered["aggregation"], "startDate": "2026-01-01T00:00:00Z",
        "pricingBands": [FLAT], "overagePricingBands": [FLAT], "cumulative": True,
    }  # fmt: skip
    answer = m3ter_http.call("POST", "pricings", {**body, **change})
    assert (answer.status_code, complaint in answer.json["message"]) == (400, True)
    assert m3ter_http.call("POST", "pricings", body).status_code == 200


def test_a_commitment_has_no_surcharge_and_separate_overage_together(metered: dict[str, str], m3ter_http: Any):
    body = {"accountId": metered["account"], "amount": 15, "currency": "USD", "separateOverageUsage": True}
    body |= {"startDate": "2026-01-01", "endDate": "2027-01-01"}
    for percent, status in ((10, 400), (0, 200)):
        assert (
            m3ter_http.call("POST", "commitments", {**body, "overageSurchargePercent": percent}).status_code == status
        )
