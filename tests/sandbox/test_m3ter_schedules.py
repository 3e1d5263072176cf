"""m3ter's schedules and charges: made as time goes by, billed on their day."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from connector.sandbox import Sandbox

JAN, FEB, MAR, APR = (datetime(2026, month, 1, tzinfo=UTC) for month in range(1, 5))
YEAR_END = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.fixture
def prepaid(box: Sandbox, metered: dict[str, str]) -> str:
    return str(box.m3ter.create_balance(metered["account"], "prepaid", JAN, YEAR_END)["id"])


@pytest.fixture
def top_up(box: Sandbox) -> str:
    return str(box.m3ter.create_transaction_type("TOP_UP")["id"])


def bills_of(box: Sandbox, metered: dict[str, str], bill_date: str, **fields: Any) -> list[dict[str, Any]]:
    job = box.m3ter.run_bill_job([metered["account"]], bill_date, **fields)
    return [box.m3ter.bills[bill_id] for bill_id in job["billIds"]]


def runs(schedule: dict[str, Any]) -> tuple[str | None, str | None]:
    return schedule.get("previousRun"), schedule.get("nextRun")


def test_scheduled_credit_comes_month_by_month_until_before_the_end(box: Sandbox, prepaid: str, top_up: str):
    schedule = box.m3ter.create_transaction_schedule(prepaid, "monthly", 200, top_up, JAN, APR)
    assert runs(schedule) == (None, "2026-01-01T00:00:00Z")
    box.advance(to=datetime(2026, 2, 15, tzinfo=UTC))
    schedule = box.m3ter.transaction_schedules[schedule["id"]]
    assert runs(schedule) == ("2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z")
    assert box.m3ter.balances[prepaid]["amount"] == 400
    box.advance(to=YEAR_END)
    made = box.m3ter.transactions_of(prepaid)
    assert [(row["amount"], row["appliedDate"][:10], row["entityType"]) for row in made] == [
        (200, "2026-01-01", "SCHEDULER"),
        (200, "2026-02-01", "SCHEDULER"),
        (200, "2026-03-01", "SCHEDULER"),
    ]
    assert runs(box.m3ter.transaction_schedules[schedule["id"]]) == ("2026-03-01T00:00:00Z", None)


@pytest.mark.parametrize(
    ("frequency", "every", "days"),
    [
        ("DAILY", 10, ["2026-01-31", "2026-02-10", "2026-02-20"]),
        ("WEEKLY", 2, ["2026-01-31", "2026-02-14", "2026-02-28"]),
        ("MONTHLY", 1, ["2026-01-31", "2026-02-28", "2026-03-31"]),
        ("ANNUALLY", 1, ["2026-01-31", "2027-01-31", "2028-01-31"]),
    ],
)
def test_credit_recurs_from_its_start_in_steps_of_the_frequency(
    frequency: str, every: int, days: list[str], prepaid: str, top_up: str, m3ter_http: Any
):
    body = {
        "name": "Monthly", "code": "monthly", "amount": 200, "transactionDescription": "Top-up",
        "transactionTypeId": top_up, "startDate": "2026-01-31T00:00:00Z", "endDate": "2028-12-31T00:00:00Z",
        "frequency": frequency, "frequencyInterval": every,
    }  # fmt: skip
    path = f"balances/{prepaid}/balancetransactionschedules/preview"
    page = m3ter_http.call("POST", path, body, query_string={"pageSize": 3}).json
    assert [row["appliedDate"][:10] for row in page["data"]] == days


def test_charges_in_advance_are_made_at_the_start_of_each_period(box: Sandbox, prepaid: str, metered: dict[str, str]):
    schedule = box.m3ter.create_charge_schedule(prepaid, "monthly", 160, JAN, MAR)
    box.advance(timedelta(0))
    assert runs(box.m3ter.charge_schedules[schedule["id"]]) == ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z")
    box.advance(to=YEAR_END)
    assert [
        (row["billDate"], row["servicePeriodStartDate"][:10], row["servicePeriodEndDate"][:10], row["amount"])
        for row in box.m3ter.charges.values()
    ] == [("2026-01-01", "2026-01-01", "2026-02-01", 160), ("2026-02-01", "2026-02-01", "2026-03-01", 160)]
    charge = next(iter(box.m3ter.charges.values()))
    assert (charge["scheduleId"], charge["entityId"], charge["lineItemType"]) == (
        schedule["id"],
        prepaid,
        "BALANCE_FEE",
    )


def test_charges_in_arrears_are_made_at_the_end_of_each_period(box: Sandbox, prepaid: str):
    schedule = box.m3ter.create_charge_schedule(prepaid, "monthly", 160, JAN, MAR, bill_in_advance=False)
    assert runs(schedule) == (None, "2026-02-01T00:00:00Z")
    box.advance(to=YEAR_END)
    assert [row["billDate"] for row in box.m3ter.charges.values()] == ["2026-02-01", "2026-03-01"]


def test_periods_go_from_boundary_to_boundary_of_the_bill_epoch(box: Sandbox, prepaid: str):
    start, end = datetime(2026, 1, 10, tzinfo=UTC), datetime(2026, 3, 20, tzinfo=UTC)
    box.m3ter.create_charge_schedule(prepaid, "monthly", 160, start, end, billEpoch="2025-06-15")
    box.advance(to=YEAR_END)
    periods = [
        (row["servicePeriodStartDate"][5:10], row["servicePeriodEndDate"][5:10]) for row in box.m3ter.charges.values()
    ]
    assert periods == [("01-10", "01-15"), ("01-15", "02-15"), ("02-15", "03-15"), ("03-15", "03-20")]


def test_what_is_due_at_different_times_happens_in_order(box: Sandbox, prepaid: str, top_up: str):
    box.m3ter.create_transaction_schedule(prepaid, "slow", 100, top_up, JAN, APR)
    box.m3ter.create_transaction_schedule(prepaid, "quick", 1, top_up, JAN, FEB, "WEEKLY")
    box.advance(to=APR)
    days = [row["dtCreated"][5:10] for row in box.m3ter.transactions_of(prepaid)]
    assert days == ["01-01", "01-01", "01-08", "01-15", "01-22", "01-29", "02-01", "03-01"]


def test_changing_a_schedule_changes_only_what_is_to_come(box: Sandbox, prepaid: str, top_up: str, m3ter_http: Any):
    schedule = box.m3ter.create_transaction_schedule(prepaid, "monthly", 200, top_up, JAN, APR)
    box.advance(to=datetime(2026, 1, 15, tzinfo=UTC))
    m3ter_http.token = box.m3ter.issue_token()
    path = f"balances/{prepaid}/balancetransactionschedules/{schedule['id']}"
    current = m3ter_http.call("GET", path).json
    changed = m3ter_http.call("PUT", path, {**current, "amount": 50}).json
    assert runs(changed) == ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z")
    box.advance(to=MAR)
    m3ter_http.token = box.m3ter.issue_token()
    assert [row["amount"] for row in box.m3ter.transactions_of(prepaid)] == [200, 50, 50]
    m3ter_http.call("DELETE", path)
    box.advance(to=YEAR_END)
    assert len(box.m3ter.transactions_of(prepaid)) == 3


def test_a_schedule_is_found_only_under_its_balance(
    box: Sandbox, metered: dict[str, str], prepaid: str, top_up: str, m3ter_http: Any
):
    other = box.m3ter.create_balance(metered["account"], "other", JAN, YEAR_END)
    schedule = box.m3ter.create_transaction_schedule(prepaid, "monthly", 200, top_up, JAN, APR)
    path = f"balances/{other['id']}/balancetransactionschedules"
    for method in ("GET", "PUT", "DELETE"):
        assert m3ter_http.call(method, f"{path}/{schedule['id']}", schedule).status_code == 404
    assert m3ter_http.call("GET", path).json["data"] == []
    assert m3ter_http.call("GET", "balances/nothing/balancetransactionschedules").status_code == 404


def charge_schedule(**changes: Any) -> dict[str, Any]:
    return {
        "name": "Monthly", "code": "monthly", "currency": "USD", "amount": 160, "chargeDescription": "Top-up",
        "servicePeriodStartDate": "2026-01-01T00:00:00Z", "servicePeriodEndDate": "2027-01-01T00:00:00Z",
        "billFrequency": "MONTHLY", "billFrequencyInterval": 1, "billInAdvance": True, **changes,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param({"currency": None}, "currency", id="no currency: it is not the balance's"),
        pytest.param({"currency": "XYZ"}, "XYZ", id="a currency nobody set up"),
        pytest.param({"amount": None}, "amount", id="no price"),
        pytest.param({"units": 2, "unitPrice": 5}, "amount", id="two prices"),
        pytest.param({"amount": None, "units": 2}, "unitPrice", id="units without their price"),
        pytest.param({"amount": -1}, "amount", id="a credit"),
        pytest.param({"billFrequencyInterval": 366}, "billFrequencyInterval", id="an interval too long"),
        pytest.param({"billFrequency": "AD_HOC"}, "billFrequency", id="no real frequency"),
        pytest.param({"servicePeriodEndDate": "2026-01-01T00:00:00Z"}, "servicePeriodEndDate", id="no length"),
        pytest.param({"chargeDescription": None}, "chargeDescription", id="no description"),
        pytest.param({"name": "x" * 201}, "name", id="a name too long"),
    ],
)
def test_a_charge_schedule_is_refused(change: dict[str, Any], complaint: str, prepaid: str, m3ter_http: Any):
    for path in ("", "/preview"):
        answer = m3ter_http.call("POST", f"balances/{prepaid}/balancechargeschedules{path}", charge_schedule(**change))
        assert answer.status_code == 400
        assert complaint in answer.json["message"]


def test_a_scheduled_transaction_cannot_be_a_debit(prepaid: str, top_up: str, box: Sandbox, m3ter_http: Any):
    schedule = box.m3ter.create_transaction_schedule(prepaid, "monthly", 200, top_up, JAN, APR)
    body = {**schedule, "code": "debit", "version": None, "amount": -1}
    assert m3ter_http.call("POST", f"balances/{prepaid}/balancetransactionschedules", body).status_code == 400


def test_a_preview_is_a_page_of_what_would_be_made_and_keeps_nothing(box: Sandbox, prepaid: str, m3ter_http: Any):
    path, query, seen = f"balances/{prepaid}/balancechargeschedules/preview", {"pageSize": "5"}, []
    while True:
        page = m3ter_http.call("POST", path, charge_schedule(), query_string=query).json
        seen += [(row["billDate"], row["amount"]) for row in page["data"]]
        if "nextToken" not in page:
            break
        query["nextToken"] = page["nextToken"]
    assert seen == [(f"2026-{month:02}-01", 160) for month in range(1, 13)]
    for size in ("0", "201", "many"):
        assert m3ter_http.call("POST", path, charge_schedule(), query_string={"pageSize": size}).status_code == 400
    box.advance(to=YEAR_END)
    assert box.m3ter.charges == box.m3ter.charge_schedules == {}


def test_a_preview_may_be_a_single_object_as_m3ters_schema_says(box: Sandbox, prepaid: str, m3ter_http: Any):
    box.m3ter.settings.single_object_previews = True
    shown = m3ter_http.call("POST", f"balances/{prepaid}/balancechargeschedules/preview", charge_schedule()).json
    assert (shown["billDate"], "data" in shown) == ("2026-01-01", False)


def test_a_charge_is_on_a_bill_of_its_own_on_its_day(box: Sandbox, metered: dict[str, str], prepaid: str):
    charge = box.m3ter.create_charge(
        metered["account"], "fee", 160, "2026-02-01", (JAN, FEB), prepaid, notes="internal"
    )
    usage, fee = bills_of(box, metered, "2026-02-01")
    [line] = fee["lineItems"]
    assert (usage["billingFrequency"], fee["billingFrequency"]) == ("MONTHLY", "AD_HOC")
    assert (line["lineItemType"], line["subtotal"], line["chargeId"], line["balanceId"]) == (
        "BALANCE_FEE", 160, charge["id"], prepaid,
    )  # fmt: skip
    assert "internal" not in str(line)
    assert (fee["startDate"], fee["endDate"], fee["billTotal"]) == ("2026-01-01", "2026-02-01", 160)
    assert box.m3ter.charges[charge["id"]]["billId"] == fee["id"]


def test_bills_may_be_consolidated_into_one(box: Sandbox, metered: dict[str, str], prepaid: str, m3ter_http: Any):
    m3ter_http.call("PUT", "organizationconfig", {**box.m3ter.config, "consolidateBills": True})
    box.m3ter.create_charge(metered["account"], "fee", 160, "2026-02-01", (JAN, FEB), prepaid)
    [bill] = bills_of(box, metered, "2026-02-01")
    assert bill["billingFrequency"] == "MIXED"
    assert [line["lineItemType"] for line in bill["lineItems"]] == ["USAGE", "BALANCE_FEE"]


def test_a_charge_needs_no_account_plan(box: Sandbox):
    account = box.m3ter.create_account("newcomer")
    box.m3ter.create_charge(account["id"], "fee", "19.99", "2026-02-01", (JAN, FEB))
    job = box.m3ter.run_bill_job([account["id"]], "2026-02-01")
    [bill] = [box.m3ter.bills[bill_id] for bill_id in job["billIds"]]
    assert [(line["lineItemType"], line["subtotal"]) for line in bill["lineItems"]] == [("AD_HOC", Decimal("19.99"))]


def test_a_charge_is_billed_once_and_changed_on_recalculation(box: Sandbox, metered: dict[str, str], m3ter_http: Any):
    charge = box.m3ter.create_charge(metered["account"], "fee", 160, "2026-02-01", (JAN, FEB))
    for _ in range(2):
        [bill] = bills_of(box, metered, "2026-02-01", billingFrequency="AD_HOC")
        assert bill["billTotal"] == 160
    current = m3ter_http.call("GET", f"charges/{charge['id']}").json
    m3ter_http.call("PUT", f"charges/{charge['id']}", {**current, "amount": 100})
    assert bill["billTotal"] == 160
    assert box.m3ter.recalculate(bill["id"])["billTotal"] == 100
    m3ter_http.call("DELETE", f"charges/{charge['id']}")
    assert box.m3ter.recalculate(bill["id"])["billTotal"] == 0


def test_the_charges_of_a_deleted_bill_are_due_again(box: Sandbox, metered: dict[str, str]):
    charge = box.m3ter.create_charge(metered["account"], "fee", 160, "2026-02-01", (JAN, FEB))
    [bill] = bills_of(box, metered, "2026-02-01", billingFrequency="AD_HOC")
    box.m3ter.delete_bill(bill["id"])
    assert "billId" not in box.m3ter.charges[charge["id"]]
    [again] = bills_of(box, metered, "2026-02-01", billingFrequency="AD_HOC")
    assert again["billTotal"] == 160


def test_a_charge_on_a_locked_bill_stays_as_it_is(box: Sandbox, metered: dict[str, str], m3ter_http: Any):
    charge = box.m3ter.create_charge(metered["account"], "fee", 160, "2026-02-01", (JAN, FEB))
    [bill] = bills_of(box, metered, "2026-02-01", billingFrequency="AD_HOC")
    box.m3ter.approve(bill["id"])
    box.m3ter.lock(bill["id"])
    for method in ("PUT", "DELETE"):
        answer = m3ter_http.call(method, f"charges/{charge['id']}", {**box.m3ter.charges[charge["id"]], "amount": 1})
        assert (answer.status_code, "locked" in answer.json["message"]) == (400, True)


def test_a_charge_in_another_currency_is_converted_or_else_there_is_no_bill(box: Sandbox, metered: dict[str, str]):
    box.m3ter.create_charge(
        metered["account"], "fee", None, "2026-02-01", (JAN, FEB), currency="GBP", units=8, unitPrice=Decimal("2.50")
    )
    rate = [{"from": "GBP", "to": "USD", "multiplier": Decimal("1.25")}]
    assert [bill["billingFrequency"] for bill in bills_of(box, metered, "2026-02-01")] == ["MONTHLY"]
    [bill] = bills_of(box, metered, "2026-02-01", billingFrequency="AD_HOC", currencyConversions=rate)
    [line] = bill["lineItems"]
    assert (line["subtotal"], line["currency"], line["units"], line["averageUnitPrice"]) == (
        20,
        "GBP",
        8,
        Decimal("2.50"),
    )
    assert (line["conversionRate"], line["convertedSubtotal"], bill["billTotal"]) == (Decimal("1.25"), 25, 25)


def test_a_balance_pays_an_ad_hoc_charge_but_not_its_own_fee(box: Sandbox, metered: dict[str, str], prepaid: str):
    box.m3ter.add_transaction(prepaid, 500)
    box.m3ter.create_charge(metered["account"], "fee", 160, "2026-02-01", (JAN, FEB), prepaid)
    box.m3ter.create_charge(metered["account"], "setup", 40, "2026-02-01", (JAN, FEB))
    [bill] = bills_of(box, metered, "2026-02-01", billingFrequency="AD_HOC")
    assert [(line["lineItemType"], line["subtotal"]) for line in bill["lineItems"]] == [
        ("BALANCE_FEE", 160), ("AD_HOC", 40), ("BALANCE_CONSUMED", -40),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param({"amount": None}, "amount", id="no price"),
        pytest.param({"units": 1, "unitPrice": 1}, "amount", id="two prices"),
        pytest.param({"lineItemType": "BALANCE_FEE"}, "lineItemType", id="a line of the other kind"),
        pytest.param({"entityType": "BALANCE", "lineItemType": "BALANCE_FEE"}, "entityId", id="no balance"),
        pytest.param({"code": None}, "code", id="no code"),
        pytest.param({"code": "taken"}, "taken", id="a code used before"),
        pytest.param({"billDate": "2026-02-01T00:00:00Z"}, "billDate", id="a time for a day"),
        pytest.param({"servicePeriodEndDate": None}, "servicePeriodEndDate", id="no service period"),
        pytest.param({"currency": "XYZ"}, "XYZ", id="a currency nobody set up"),
    ],
)
def test_a_charge_is_refused(
    change: dict[str, Any], complaint: str, box: Sandbox, metered: dict[str, str], m3ter_http: Any
):
    taken = box.m3ter.create_charge(metered["account"], "taken", 160, "2026-02-01", (JAN, FEB))
    answer = m3ter_http.call("POST", "charges", {**taken, "version": None, "code": "fee", "amount": 160, **change})
    assert answer.status_code == 400
    assert complaint in answer.json["message"]


def test_charges_are_filtered(box: Sandbox, metered: dict[str, str], prepaid: str, m3ter_http: Any):
    box.m3ter.create_charge(metered["account"], "fee", 160, "2026-02-01", (JAN, FEB), prepaid)
    box.m3ter.create_charge(metered["account"], "setup", 40, "2026-03-01", (JAN, FEB))
    schedule = box.m3ter.create_charge_schedule(prepaid, "monthly", 160, JAN, FEB)
    box.advance(timedelta(0))
    for query, codes in (
        ({}, ["monthly-2026-01-01", "setup", "fee"]),
        ({"entityType": "AD_HOC"}, ["setup"]),
        ({"entityId": prepaid, "billDate": "2026-02-01"}, ["fee"]),
        ({"scheduleId": schedule["id"]}, ["monthly-2026-01-01"]),
        ({"accountId": prepaid}, []),
    ):
        rows = m3ter_http.call("GET", "charges", query_string=query).json["data"]
        assert [row["code"] for row in rows] == codes, query
    assert m3ter_http.call("GET", "charges", query_string={"pageSize": 201}).status_code == 400
