"""m3ter's bills: figures worked out by hand, and what jobs, approvals and locks do to them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from connector.sandbox import Sandbox

JAN, FEB = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)


def use(box: Sandbox, *calls: Any, day: int = 10, **fields: Any) -> None:
    for number, count in enumerate(calls):
        box.m3ter.submit_usage(
            "acme", "api_calls", datetime(2026, 1, day, number, tzinfo=UTC), {"calls": count}, **fields
        )


def bill_of(box: Sandbox, metered: dict[str, str], bill_date: str = "2026-02-01") -> dict[str, Any]:
    [bill_id] = box.m3ter.run_bill_job([metered["account"]], bill_date)["billIds"]
    return dict(box.m3ter.bills[bill_id])


def figures(bill: dict[str, Any]) -> list[tuple[str, str]]:
    return [(line["lineItemType"], str(line["subtotal"])) for line in bill["lineItems"]]


def reprice(box: Sandbox, metered: dict[str, str], **changes: Any) -> None:
    """Changes the pricing of the account's plan."""
    pricing = box.m3ter.pricings[metered["pricing"]]
    box.m3ter.update("pricings", pricing["id"], {**pricing, **changes})


@pytest.mark.parametrize(
    ("cumulative", "calls", "subtotal", "band_units"),
    [
        # Tiers: the first 100 at 0.10, the next 900 at 0.05, the rest at 0.02.
        pytest.param(True, 100, "10.00", ["100"], id="tiers: just the first"),
        pytest.param(True, 101, "10.05", ["100", "1"], id="tiers: one into the second"),
        pytest.param(True, 1500, "65.00", ["100", "900", "500"], id="tiers: all three"),
        # Volume: all units at the price of the band that the last one falls into.
        pytest.param(False, 100, "10.00", ["100"], id="volume: the first band"),
        pytest.param(False, 101, "5.05", ["101"], id="volume: the second band"),
        pytest.param(False, 1500, "30.00", ["1500"], id="volume: the third band"),
        pytest.param(True, 0, "0", [], id="nothing used"),
    ],
)
def test_usage_is_priced_in_bands(
    cumulative: bool, calls: int, subtotal: str, band_units: list[str], box: Sandbox, metered: dict[str, str]
):
    bands = [
        {"lowerLimit": limit, "fixedPrice": 0, "unitPrice": Decimal(price)}
        for limit, price in ((0, "0.10"), (100, "0.05"), (1000, "0.02"))
    ]
    reprice(box, metered, pricingBands=bands, cumulative=cumulative)
    use(box, calls)
    bill = bill_of(box, metered)
    [line] = bill["lineItems"]
    assert (str(line["subtotal"]), str(bill["billTotal"])) == (subtotal, subtotal)
    assert [str(band["bandUnits"]) for band in line["usagePerPricingBand"]] == band_units
    assert sum((band["bandSubtotal"] for band in line["usagePerPricingBand"]), Decimal(0)) == Decimal(subtotal)


def test_a_fixed_price_is_due_once_its_band_is_reached(box: Sandbox, metered: dict[str, str]):
    bands = [{"lowerLimit": 0, "fixedPrice": 5, "unitPrice": 0}, {"lowerLimit": 10, "fixedPrice": 3, "unitPrice": 1}]
    reprice(box, metered, pricingBands=bands, cumulative=True)
    use(box, 12)
    assert figures(bill_of(box, metered)) == [("USAGE", "10")]  # 5 + 3 + 2 × 1


@pytest.mark.parametrize(
    ("method", "quantity"),
    [("SUM", "12"), ("MAX", "7"), ("MIN", "2"), ("LATEST", "3"), ("COUNT", "3"), ("MEAN", "4"), ("UNIQUE", "3")],
)
def test_usage_is_aggregated(method: str, quantity: str, box: Sandbox, metered: dict[str, str]):
    aggregation = box.m3ter.aggregations[metered["aggregation"]]
    box.m3ter.update("aggregations", aggregation["id"], {**aggregation, "aggregation": method})
    use(box, 2, 7, 3)
    [line] = bill_of(box, metered)["lineItems"]
    assert line["quantity"] == Decimal(quantity)
    assert line["subtotal"] == Decimal(quantity) * Decimal("0.01")


@pytest.mark.parametrize(("rounding", "units"), [("UP", "3"), ("DOWN", "2"), ("NEAREST", "3"), ("NONE", "2.5")])
def test_quantities_are_rounded_to_units(rounding: str, units: str, box: Sandbox, metered: dict[str, str]):
    aggregation = box.m3ter.aggregations[metered["aggregation"]]
    box.m3ter.update("aggregations", aggregation["id"], {**aggregation, "rounding": rounding, "quantityPerUnit": 100})
    use(box, 250)
    [line] = bill_of(box, metered)["lineItems"]
    assert (line["quantity"], line["units"]) == (250, Decimal(units))


def test_a_bill_holds_standing_charge_usage_and_the_rest_of_the_minimum_spend(box: Sandbox, metered: dict[str, str]):
    plan = box.m3ter.plans[metered["plan"]]
    box.m3ter.update("plans", plan["id"], {**plan, "standingCharge": 20, "minimumSpend": Decimal("50.5")})
    use(box, 1000)
    bill = bill_of(box, metered)
    assert figures(bill) == [("STANDING_CHARGE", "20"), ("USAGE", "10.00"), ("MINIMUM_SPEND", "20.50")]
    assert bill["billTotal"] == Decimal("50.5")
    assert [line["sequenceNumber"] for line in bill["lineItems"]] == [1, 2, 3]


def test_a_plan_change_in_the_middle_of_the_month_makes_lines_for_each_plan(box: Sandbox, metered: dict[str, str]):
    plan = box.m3ter.plans[metered["other_plan"]]
    box.m3ter.update("plans", plan["id"], {**plan, "standingCharge": 31})
    body = {"accountId": metered["account"], "planId": metered["other_plan"], "startDate": "2026-01-11T00:00:00Z"}
    box.m3ter.replace_account_plan(metered["account_plan"], body)
    use(box, 100, day=10)
    use(box, 500, day=11)
    lines = bill_of(box, metered)["lineItems"]
    assert [(line["lineItemType"], line["planId"], str(line["subtotal"])) for line in lines] == [
        ("USAGE", metered["plan"], "1.00"),  # 100 × 0.01
        ("STANDING_CHARGE", metered["other_plan"], "21"),  # 31 × 21 of 31 days
        ("USAGE", metered["other_plan"], "1.000"),  # 500 × 0.002
    ]
    change = "2026-01-11T00:00:00Z"
    assert [(line["servicePeriodStartDate"], line["servicePeriodEndDate"]) for line in lines] == [
        ("2026-01-01T00:00:00Z", change),
        (change, "2026-02-01T00:00:00Z"),
        (change, "2026-02-01T00:00:00Z"),
    ]


def test_a_new_price_in_the_middle_of_the_month_makes_a_line_of_its_own(box: Sandbox, metered: dict[str, str]):
    reprice(box, metered, endDate="2026-01-16T00:00:00Z")
    new = box.m3ter.create_pricing(
        metered["plan"], metered["aggregation"], [(0, "0.03")], start_date=datetime(2026, 1, 16, tzinfo=UTC)
    )
    use(box, 100, day=15)
    use(box, 100, day=16)
    lines = bill_of(box, metered)["lineItems"]
    assert [(line["pricingId"], str(line["subtotal"])) for line in lines] == [
        (metered["pricing"], "1.00"),
        (new["id"], "3.00"),
    ]


def test_segments_are_priced_apart(box: Sandbox, metered: dict[str, str]):
    reprice(box, metered, segment={"region": "eu"})
    box.m3ter.create_pricing(metered["plan"], metered["aggregation"], [(0, "0.05")], segment={"region": "us"})
    use(box, 100, where={"region": "eu"})
    use(box, 10, where={"region": "us"})
    lines = bill_of(box, metered)["lineItems"]
    assert [(line["segment"], str(line["subtotal"])) for line in lines] == [
        ({"region": "eu"}, "1.00"),
        ({"region": "us"}, "0.50"),
    ]


def test_lines_are_converted_into_the_accounts_currency(box: Sandbox, metered: dict[str, str]):
    account = box.m3ter.accounts[metered["account"]]
    box.m3ter.update("accounts", account["id"], {**account, "currency": "EUR"})
    use(box, 1000)
    assert box.m3ter.run_bill_job([account["id"]], "2026-02-01")["billIds"] == []  # no rate: no bill, and no complaint
    rate = [{"from": "USD", "to": "EUR", "multiplier": Decimal("0.85")}]
    [bill_id] = box.m3ter.run_bill_job([account["id"]], "2026-02-01", currencyConversions=rate)["billIds"]
    bill = box.m3ter.bills[bill_id]
    [line] = bill["lineItems"]
    assert (bill["currency"], line["currency"], str(line["conversionRate"])) == ("EUR", "USD", "0.85")
    assert (line["subtotal"], line["convertedSubtotal"], bill["billTotal"]) == (10, Decimal("8.5"), Decimal("8.5"))


@pytest.mark.parametrize(
    ("credits", "given"),
    [
        pytest.param([("PRODUCT_CREDIT", 300)], [-3], id="less than was charged"),
        pytest.param([("PRODUCT_CREDIT", 1500)], [-5], id="of a product no more than all of its usage"),
        pytest.param([("GLOBAL_CREDIT", 700)], [-7], id="of a bill beyond the product"),
        pytest.param([("GLOBAL_CREDIT", 1500)], [-10], id="of a bill no more than all of it"),
        pytest.param([("GLOBAL_CREDIT", 700), ("GLOBAL_CREDIT", 700)], [-7, -3], id="what an earlier one left"),
        pytest.param([("GLOBAL_CREDIT", 800), ("PRODUCT_CREDIT", 500)], [-5, -5], id="that of products first"),
    ],
)
def test_credit_for_usage_is_no_more_than_there_is_to_credit(
    credits: list[tuple[str, int]], given: list[int], box: Sandbox, metered: dict[str, str]
):
    """Usage of 5.00 and a standing charge of 5.00 for another product, as m3ter.md §7.4 caps the credit."""
    other = box.m3ter.create_plan_template(box.m3ter.create_product("storage")["id"], standing_charge=5)
    box.m3ter.create_account_plan(metered["account"], box.m3ter.create_plan(other["id"], "storage")["id"], JAN)
    reprice(box, metered, segment={"tier": "paid"})
    use(box, 500, where={"tier": "paid"})
    for number, (kind, calls) in enumerate(credits):
        free = {"type": kind, "segment": {"tier": f"free {number}"}}
        box.m3ter.create_pricing(metered["plan"], metered["aggregation"], [(0, "0.01")], **free)
        use(box, calls, where=free["segment"])
    bill = bill_of(box, metered)
    assert [line["subtotal"] for line in bill["lineItems"] if line["lineItemType"] == "USAGE_CREDIT"] == given
    assert bill["billTotal"] == 10 + sum(given)


def test_credit_is_capped_in_the_currency_of_the_bill(box: Sandbox, metered: dict[str, str]):
    account = box.m3ter.accounts[metered["account"]]
    box.m3ter.update("accounts", account["id"], {**account, "currency": "EUR"})
    reprice(box, metered, type="GLOBAL_CREDIT")
    box.m3ter.create_charge(account["id"], "setup", 4, "2026-02-01", (JAN, FEB), currency="EUR")
    use(box, 1000)
    box.m3ter.update_config({**box.m3ter.config, "consolidateBills": True})
    rate = [{"from": "USD", "to": "EUR", "multiplier": Decimal("0.8")}]
    [bill_id] = box.m3ter.run_bill_job([account["id"]], "2026-02-01", currencyConversions=rate)["billIds"]
    credit, charge = box.m3ter.bills[bill_id]["lineItems"]
    assert (credit["subtotal"], credit["convertedSubtotal"], charge["convertedSubtotal"]) == (-5, -4, 4)


@pytest.mark.parametrize(("paid", "given", "rest"), [(5, -3, 48), (2, -2, 50), (0, 0, 50)])
def test_a_minimum_spend_stays_one_whatever_credit_there_is(
    paid: int, given: int, rest: int, box: Sandbox, metered: dict[str, str]
):
    plan = box.m3ter.plans[metered["plan"]]
    box.m3ter.update("plans", plan["id"], {**plan, "minimumSpend": 50})
    free = {"type": "PRODUCT_CREDIT", "segment": {"tier": "free"}}
    reprice(box, metered, segment={"tier": "paid"})
    box.m3ter.create_pricing(metered["plan"], metered["aggregation"], [(0, "0.01")], **free)
    use(box, paid * 100, where={"tier": "paid"})
    use(box, 300, where={"tier": "free"})
    bill = bill_of(box, metered)
    assert [line["subtotal"] for line in bill["lineItems"]] == [paid, given, rest]
    assert bill["billTotal"] == 50


def test_a_line_without_a_service_period_does_not_stop_later_bills(box: Sandbox, metered: dict[str, str]):
    plan = box.m3ter.plans[metered["plan"]]
    box.m3ter.update("plans", plan["id"], {**plan, "standingCharge": 20})
    line = {"lineItemType": "STANDING_CHARGE", "planId": metered["plan"], "servicePeriodStartDate": None}
    box.m3ter.add_line(bill_of(box, metered)["id"], **line)
    assert bill_of(box, metered, "2026-03-01")["billTotal"] == 20


def test_amounts_are_rounded_only_where_the_currency_says_so(box: Sandbox, metered: dict[str, str]):
    reprice(box, metered, pricingBands=[{"lowerLimit": 0, "fixedPrice": 0, "unitPrice": Decimal("0.00125")}])
    use(box, 1)
    assert figures(bill_of(box, metered)) == [("USAGE", "0.00125")]
    [dollar] = [currency for currency in box.m3ter.currencies.values() if currency["code"] == "USD"]
    box.m3ter.update("currencies", dollar["id"], {**dollar, "maxDecimalPlaces": 4, "roundingMode": "HALF_EVEN"})
    assert figures(bill_of(box, metered)) == [("USAGE", "0.0012")]


@pytest.mark.parametrize(
    ("frequency", "every", "start"),
    [
        ("MONTHLY", 1, "2026-01-01"),
        ("MONTHLY", 3, "2025-11-01"),
        ("WEEKLY", 1, "2026-01-25"),
        ("DAILY", 1, "2026-01-31"),
        ("ANNUALLY", 1, "2025-02-01"),
    ],
)
def test_a_bill_covers_the_interval_that_ends_at_its_date(
    frequency: str, every: int, start: str, box: Sandbox, metered: dict[str, str]
):
    template = box.m3ter.plan_templates[metered["template"]]
    box.m3ter.update(
        "plan_templates", template["id"], {**template, "billFrequency": frequency, "billFrequencyInterval": every}
    )
    bill = bill_of(box, metered)
    assert (bill["startDate"], bill["endDate"], bill["billDate"]) == (start, "2026-02-01", "2026-02-01")


def test_days_begin_at_midnight_of_the_organization(box: Sandbox, metered: dict[str, str], m3ter_http: Any):
    m3ter_http.call("PUT", "organizationconfig", {**box.m3ter.config, "timezone": "America/New_York"})
    box.m3ter.submit_usage("acme", "api_calls", datetime(2026, 2, 1, 4, 59, tzinfo=UTC), {"calls": 100})
    box.m3ter.submit_usage("acme", "api_calls", datetime(2026, 2, 1, 5, 0, tzinfo=UTC), {"calls": 900})
    bill = bill_of(box, metered)
    assert (bill["startDateTimeUTC"], bill["endDateTimeUTC"]) == ("2026-01-01T05:00:00Z", "2026-02-01T05:00:00Z")
    assert bill["billTotal"] == 1


def test_another_job_for_the_same_date_makes_the_same_bill_anew(box: Sandbox, metered: dict[str, str]):
    use(box, 100)
    first = bill_of(box, metered)
    box.m3ter.approve(first["id"])
    use(box, 50, day=20)
    second = bill_of(box, metered)
    assert (second["id"], second["status"], second["billTotal"]) == (first["id"], "PENDING", Decimal("1.5"))


def test_a_line_put_on_a_bill_stays_there_through_recalculations(box: Sandbox, metered: dict[str, str]):
    use(box, 100)
    bill = bill_of(box, metered)
    changed = box.m3ter.add_line(
        bill["id"], lineItemType="BALANCE_CONSUMED", subtotal="-0.4", description="Credit", servicePeriodEndDate=None
    )
    assert (changed["billTotal"], changed["version"]) == (Decimal("0.60"), bill["version"] + 1)
    line = box.m3ter.recalculate(bill["id"])["lineItems"][-1]
    assert (line["lineItemType"], line["subtotal"], line["convertedSubtotal"]) == (
        "BALANCE_CONSUMED",
        Decimal("-0.4"),
        Decimal("-0.4"),
    )
    assert "servicePeriodEndDate" not in line


def test_a_new_job_is_answered_as_in_section_8(box: Sandbox, metered: dict[str, str], m3ter_http: Any):
    body = {"accountIds": [metered["account"]], "billDate": "2026-04-01"}
    answer = m3ter_http.call("POST", "billjobs", body).json
    assert {
        **body,
        "version": 1,
        "status": "PENDING",
        "type": "CREATE",
        "total": 0,
        "pending": 0,
    }.items() <= answer.items()


def test_at_most_ten_bill_jobs_run_at_once(box: Sandbox, metered: dict[str, str], m3ter_http: Any):
    box.m3ter.settings.bill_job_seconds = 60
    statuses = [m3ter_http.call("POST", "billjobs", {"billDate": "2026-02-01"}).status_code for _ in range(11)]
    assert statuses == [200] * 10 + [429]
    assert len(m3ter_http.call("GET", "billjobs", query_string={"active": "TRUE"}).json["data"]) == 10
    assert box.m3ter.bills == {}
    box.advance(timedelta(seconds=60))
    assert m3ter_http.call("GET", "billjobs", query_string={"active": "TRUE"}).json["data"] == []
    assert len(box.m3ter.bills) == 1


def test_a_cancelled_job_makes_no_bill(box: Sandbox, metered: dict[str, str], m3ter_http: Any):
    box.m3ter.settings.bill_job_seconds = 60
    job = m3ter_http.call("POST", "billjobs", {"billDate": "2026-02-01"}).json
    assert m3ter_http.call("POST", f"billjobs/{job['id']}/cancel").json["status"] == "CANCELLED"
    box.advance(timedelta(seconds=60))
    assert box.m3ter.bills == {}


def test_an_account_without_plans_in_the_period_gets_no_bill(box: Sandbox, metered: dict[str, str]):
    assert box.m3ter.run_bill_job([metered["account"]], "2026-01-01")["billIds"] == []


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({}, 2),
        ({"status": "APPROVED"}, 1),
        ({"billDate": "2026-02-01"}, 1),
        ({"billDateStart": "2026-02-01", "billDateEnd": "2026-03-01"}, 1),
        ({"billDateStart": "2026-02-02"}, 1),
        ({"externalInvoiceDateStart": "2026-02-01"}, 2),
        ({"locked": "true"}, 0),
        ({"billingFrequency": "WEEKLY"}, 0),
        ({"accountId": "account"}, 2),
        ({"ids": "nothing"}, 0),
    ],
)
def test_bills_are_filtered(query: dict[str, str], count: int, box: Sandbox, metered: dict[str, str], m3ter_http: Any):
    box.m3ter.approve(bill_of(box, metered)["id"])
    bill_of(box, metered, "2026-03-01")
    named = {name: metered.get(value, value) for name, value in query.items()}
    rows = m3ter_http.call("GET", "bills", query_string=named).json["data"]
    assert len(rows) == count
    assert [row["billDate"] for row in rows] == sorted((row["billDate"] for row in rows), reverse=True)


@pytest.mark.parametrize("body", [{}, {"billIds": []}, {"billIds": "all"}, {"billIds": [1]}])
def test_approving_needs_the_bills_ids(body: dict[str, Any], m3ter_http: Any):
    assert m3ter_http.call("POST", "bills/approve", body).status_code == 400


def test_approving_an_unknown_bill_approves_none(box: Sandbox, metered: dict[str, str], m3ter_http: Any):
    bill = bill_of(box, metered)
    assert m3ter_http.call("POST", "bills/approve", {"billIds": [bill["id"], box.ids.uuid()]}).status_code == 404
    assert box.m3ter.bills[bill["id"]]["status"] == "PENDING"


def test_the_lines_of_a_bill_are_read_page_by_page(box: Sandbox, metered: dict[str, str], m3ter_http: Any):
    bill = bill_of(box, metered)
    for number in range(4):
        box.m3ter.add_line(bill["id"], subtotal=number)
    path, query, seen = f"bills/{bill['id']}/lineitems", {"pageSize": "2"}, []
    while True:
        page = m3ter_http.call("GET", path, query_string=query).json
        seen += [row["sequenceNumber"] for row in page["data"]]
        if "nextToken" not in page:
            break
        query["nextToken"] = page["nextToken"]
    assert seen == [1, 2, 3, 4, 5]
