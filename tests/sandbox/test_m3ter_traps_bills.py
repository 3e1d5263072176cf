"""The traps of m3ter's bills, balances and events; their table is in test_m3ter_traps.py."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import m3ter
import pytest
from m3ter import M3ter

from connector.sandbox import Sandbox

JAN, FEB, MAR, APR = (datetime(2026, month, 1, tzinfo=UTC) for month in range(1, 5))
YEAR_END = datetime(2027, 1, 1, tzinfo=UTC)


def bill_of(box: Sandbox, metered: dict[str, str], bill_date: str = "2026-02-01", **fields: Any) -> dict[str, Any]:
    [bill_id] = box.m3ter.run_bill_job([metered["account"]], bill_date, **fields)["billIds"]
    return dict(box.m3ter.bills[bill_id])


def use(box: Sandbox, calls: int, at: datetime = JAN) -> None:
    box.m3ter.submit_usage("acme", "api_calls", at, {"calls": calls})


@pytest.fixture
def prepaid(box: Sandbox, metered: dict[str, str]) -> str:
    """An empty balance for the year."""
    return str(box.m3ter.create_balance(metered["account"], "prepaid", JAN, YEAR_END)["id"])


@pytest.fixture
def child(box: Sandbox, metered: dict[str, str]) -> dict[str, Any]:
    """A child of the metered account, which used 3.00 worth where its parent used 1.00."""
    child = box.m3ter.create_account("acme-eu", parentAccountId=metered["account"])
    box.m3ter.create_account_plan(child["id"], metered["plan"], JAN)
    box.m3ter.submit_usage("acme", "api_calls", JAN, {"calls": 100})
    box.m3ter.submit_usage("acme-eu", "api_calls", JAN, {"calls": 300})
    return child


def test_trap_14_approval_is_no_event_of_its_own_but_an_update_with_both_states(
    box: Sandbox, metered: dict[str, str], m3ter_http: Any
):
    bill = bill_of(box, metered)
    box.m3ter.approve(bill["id"])
    assert "billing.bill.approved" not in m3ter_http.call("GET", "events/types").json["events"]
    [event] = m3ter_http.call("GET", "events", query_string={"eventName": "billing.bill.updated"}).json["data"]
    data = event["m3terEvent"]["eventData"]
    assert (data["oldDto"]["status"], data["newDto"]["status"]) == ("PENDING", "APPROVED")
    for query, count in (
        ({}, 2),
        ({"accountId": metered["account"]}, 2),
        ({"resourceId": bill["id"]}, 2),
        ({"resourceId": "nothing"}, 0),
        ({"eventType": "Notification"}, 2),
        ({"eventType": "IntegrationEvent"}, 0),
        ({"ids": event["id"]}, 1),
    ):
        assert len(m3ter_http.call("GET", "events", query_string=query).json["data"]) == count, query
    assert m3ter_http.call("GET", f"events/{event['id']}").json == event


def test_trap_15_a_bill_is_approved_a_second_time_after_it_was_calculated_anew(box: Sandbox, metered: dict[str, str]):
    bill = bill_of(box, metered)
    first = box.m3ter.approve(bill["id"])
    use(box, 100)
    box.advance(timedelta(hours=1))
    again = box.m3ter.recalculate(bill["id"])
    assert (again["id"], again["status"], "dtApproved" in again) == (bill["id"], "PENDING", False)
    assert again["version"] > first["version"]
    assert again["lastCalculatedDate"] > first["lastCalculatedDate"]
    second = box.m3ter.approve(bill["id"])
    assert (first["billTotal"], second["billTotal"]) == (0, 1)
    changes = [event["m3terEvent"]["eventData"] for event in box.m3ter.events.values()][1:]
    assert [(told["oldDto"]["status"], told["newDto"]["status"]) for told in changes] == [
        ("PENDING", "APPROVED"),
        ("APPROVED", "PENDING"),
        ("PENDING", "APPROVED"),
    ]
    assert "dtApproved" not in box.m3ter.set_bill_status(bill["id"], "PENDING")


def test_trap_16_recalculating_changes_the_ids_of_lines_but_not_what_makes_them_the_same(
    box: Sandbox, metered: dict[str, str]
):
    use(box, 100)
    bill = bill_of(box, metered)
    [before], [after] = bill["lineItems"], box.m3ter.recalculate(bill["id"])["lineItems"]
    assert before["id"] != after["id"]
    assert {**before, "id": ""} == {**after, "id": ""}


def test_trap_17_a_bill_may_be_pending_again_when_its_approval_is_heard_of(
    box: Sandbox, metered: dict[str, str], m3ter_http: Any
):
    box.m3ter.add_webhook_destination("http://x.test/m3ter")
    bill = bill_of(box, metered)
    box.m3ter.approve(bill["id"])
    box.m3ter.recalculate(bill["id"])
    heard: list[str] = []

    def receive(url: str, headers: dict[str, str], body: bytes) -> int:
        heard.append(json.loads(body)["m3terEvent"]["eventData"]["newDto"]["status"])
        return 200

    box.deliver(receive)
    assert (heard, m3ter_http.call("GET", f"bills/{bill['id']}").json["status"]) == (["APPROVED"], "PENDING")


def test_trap_18_the_sample_bill_of_section_7_comes_to_95_50_though_its_usage_is_80_pounds(box: Sandbox):
    """40,000 calls in hundreds at 0.20 GBP are 80 GBP, at 1.25 100 USD; a balance pays 4.50 USD."""
    org = box.m3ter
    product, meter = org.create_product("api"), org.create_meter("api_calls", ["calls"])
    aggregation = org.create_aggregation(meter["id"], "calls", unit="100 calls", quantity_per_unit=100)
    template = org.create_plan_template(product["id"], currency="GBP")
    plan = org.create_plan(template["id"], "pro")
    org.create_pricing(plan["id"], aggregation["id"], [(0, "0.2")], description="API calls")
    account = org.create_account("cb_cust_8aZ1", currency="USD")
    org.create_account_plan(account["id"], plan["id"], JAN)
    balance = org.create_balance(
        account["id"], "credit", MAR, YEAR_END, balanceDrawDownDescription="Prepaid credit used"
    )
    org.add_transaction(balance["id"], "4.5", appliedDate="2026-03-01T00:00:00Z")
    usage = datetime(2026, 3, 10, 12, tzinfo=UTC)
    org.submit_usage("cb_cust_8aZ1", "api_calls", usage, {"calls": 40_000}, uid="u-1")
    rate = [{"from": "GBP", "to": "USD", "multiplier": Decimal("1.25")}]
    [bill_id] = org.run_bill_job([account["id"]], "2026-04-01", currencyConversions=rate)["billIds"]
    bill = org.bills[bill_id]
    money = ("subtotal", "currency", "conversionRate", "convertedSubtotal", "averageUnitPrice")
    assert [tuple(line[name] for name in money) for line in bill["lineItems"]] == [
        (80, "GBP", Decimal("1.25"), 100, Decimal("0.2")),
        (Decimal("-4.5"), "USD", 1, Decimal("-4.5"), 0),
    ]
    amount = ("lineItemType", "description", "quantity", "units", "unit")
    assert [tuple(line[name] for name in amount) for line in bill["lineItems"]] == [
        ("USAGE", "API calls", 40_000, 400, "100 calls"),
        ("BALANCE_CONSUMED", "Prepaid credit used", 0, 0, ""),
    ]
    assert (bill["billTotal"], bill["startDate"], bill["endDate"]) == (Decimal("95.5"), "2026-03-01", "2026-04-01")


def test_trap_19_the_average_price_times_the_units_is_not_the_subtotal(box: Sandbox, metered: dict[str, str]):
    pricing = box.m3ter.pricings[metered["pricing"]]
    bands = [{"lowerLimit": 0, "fixedPrice": 1, "unitPrice": 0}]
    box.m3ter.update("pricings", pricing["id"], {**pricing, "pricingBands": bands})
    box.m3ter.submit_usage("acme", "api_calls", JAN, {"calls": 3})
    [line] = bill_of(box, metered)["lineItems"]
    assert (line["subtotal"], line["averageUnitPrice"]) == (1, Decimal("0.3333333333"))
    assert line["averageUnitPrice"] * line["units"] != line["subtotal"]


def test_trap_20_the_sdk_makes_a_float_of_money_that_the_wire_writes_digit_by_digit(
    box: Sandbox, metered: dict[str, str], m3ter_sdk: M3ter
):
    """The number of m3ter.md §2.5."""
    bill = bill_of(box, metered)
    box.m3ter.add_line(bill["id"], subtotal="12.345678901234567891")
    answer = m3ter_sdk.bills.with_raw_response.retrieve(bill["id"])
    lines = answer.parse().line_items
    assert lines is not None
    assert repr(lines[-1].subtotal) == "12.345678901234567"
    raw = json.loads(answer.text(), parse_float=Decimal)
    assert raw["lineItems"][-1]["subtotal"] == raw["billTotal"] == Decimal("12.345678901234567891")


def test_trap_21_a_charge_may_be_a_credit(box: Sandbox, metered: dict[str, str]):
    box.m3ter.create_charge(metered["account"], "refund", "-3.5", "2026-02-01", (JAN, FEB))
    assert bill_of(box, metered, billingFrequency="AD_HOC")["billTotal"] == Decimal("-3.5")


def test_trap_21_a_pricing_may_give_credit(box: Sandbox, metered: dict[str, str]):
    credit = {"type": "PRODUCT_CREDIT", "segment": {"tier": "free"}}
    box.m3ter.create_pricing(metered["plan"], metered["aggregation"], [(0, "0.01")], **credit)
    use(box, 400)
    box.m3ter.submit_usage("acme", "api_calls", JAN, {"calls": 100}, where={"tier": "free"})
    assert [(line["lineItemType"], line["subtotal"]) for line in bill_of(box, metered)["lineItems"]] == [
        ("USAGE", 5),
        ("USAGE_CREDIT", -1),
    ]


def test_trap_22_a_fee_bills_the_top_up_and_what_it_pays_nets_to_zero_later(
    box: Sandbox, metered: dict[str, str], prepaid: str
):
    box.m3ter.add_transaction(prepaid, 20)
    box.m3ter.create_charge(metered["account"], "fee", 20, "2026-01-01", (JAN, FEB), prepaid)
    fee = bill_of(box, metered, "2026-01-01")
    use(box, 2000)
    usage = bill_of(box, metered)
    assert (fee["billTotal"], usage["billTotal"]) == (20, 0)
    positive = sum(line["subtotal"] for line in (*fee["lineItems"], *usage["lineItems"]) if line["subtotal"] > 0)
    assert positive == 40  # without the negative line the customer would pay twice


def test_trap_23_lines_beside_usage_have_no_pricing(box: Sandbox, metered: dict[str, str], prepaid: str):
    """What each kind of line has instead, as in m3ter.md §5."""
    org, plan = box.m3ter, box.m3ter.plans[metered["plan"]]
    org.update("plans", plan["id"], {**plan, "standingCharge": 20, "minimumSpend": 50})
    org.update_config({**org.config, "consolidateBills": True})
    org.add_transaction(prepaid, 5)
    org.create_charge(metered["account"], "fee", 160, "2026-02-01", (JAN, FEB), prepaid)
    org.create_charge(metered["account"], "setup", 40, "2026-02-01", (JAN, FEB))
    org.create_commitment(metered["account"], 1, JAN.date(), FEB.date(), commitmentFeeBillInAdvance=False)
    bill = bill_of(box, metered)
    reason = org.create("credit_reasons", {"name": "Goodwill", "code": "GOODWILL"})
    org.add_credit_line(bill["id"], 1, creditReasonId=reason["id"])
    origins = {"planId", "pricingId", "aggregationId", "balanceId", "chargeId", "commitmentId", "reasonId"}
    assert {line["lineItemType"]: origins & line.keys() for line in org.bills[bill["id"]]["lineItems"]} == {
        "STANDING_CHARGE": {"planId"},
        "USAGE": {"planId", "pricingId", "aggregationId"},
        "MINIMUM_SPEND": {"planId"},
        "COMMITMENT_FEE": {"commitmentId"},
        "BALANCE_FEE": {"balanceId", "chargeId"},
        "AD_HOC": {"chargeId"},
        "COMMITMENT_CONSUMED": {"commitmentId"},
        "BALANCE_CONSUMED": {"balanceId"},
        "CREDIT_MEMO": {"reasonId"},
    }


def test_trap_24_empty_bills_occur_unless_they_are_suppressed(box: Sandbox, metered: dict[str, str], m3ter_http: Any):
    bill = bill_of(box, metered)
    assert (bill["billTotal"], [line["subtotal"] for line in bill["lineItems"]]) == (0, [0])
    m3ter_http.call("PUT", "organizationconfig", {**box.m3ter.config, "suppressedEmptyBills": True})
    assert box.m3ter.run_bill_job([metered["account"]], "2026-03-01")["billIds"] == []


def test_trap_25_a_memo_made_in_the_console_may_lack_its_service_period(
    box: Sandbox, metered: dict[str, str], m3ter_http: Any
):
    bill = bill_of(box, metered)
    period = {"servicePeriodStartDate": None, "servicePeriodEndDate": None}
    memo = box.m3ter.add_credit_line(bill["id"], 2, **period)
    path = f"bills/{bill['id']}/creditlineitems"
    assert m3ter_http.call("POST", path, {**memo, "version": None}).status_code == 400  # the API demands it
    shown = m3ter_http.call("GET", f"{path}/{memo['id']}").json
    line = box.m3ter.recalculate(bill["id"])["lineItems"][-1]
    assert (line["lineItemType"], line["subtotal"]) == ("CREDIT_MEMO", -2)
    assert period.keys().isdisjoint(shown.keys() | line.keys())


def test_trap_26_a_line_ends_at_the_instant_at_which_the_next_one_starts(box: Sandbox, metered: dict[str, str]):
    use(box, 100, FEB - timedelta(seconds=1))
    use(box, 300, FEB)
    months = ("2026-02-01", "2026-03-01")
    assert [
        (line["servicePeriodStartDate"], line["servicePeriodEndDate"], line["subtotal"])
        for month in months
        for line in bill_of(box, metered, month)["lineItems"]
    ] == [("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", 1), ("2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z", 3)]


def test_trap_27_a_list_shows_the_total_of_bills_only_when_asked_for(
    box: Sandbox, metered: dict[str, str], m3ter_http: Any
):
    use(box, 2000)
    bill = bill_of(box, metered)
    box.m3ter.add_line(bill["id"], subtotal=-5)
    for query in ({}, {"includeBillTotal": "false"}):
        [row] = m3ter_http.call("GET", "bills", query_string=query).json["data"]
        assert "billTotal" not in row
        assert sum(line["convertedSubtotal"] for line in row["lineItems"]) == 15
    [row] = m3ter_http.call("GET", "bills", query_string={"includeBillTotal": "true"}).json["data"]
    assert row["billTotal"] == 15


def test_trap_28_the_endpoint_of_lines_names_bands_otherwise_and_hides_the_child(
    box: Sandbox, metered: dict[str, str], child: dict[str, Any], m3ter_http: Any
):
    path = f"bills/{bill_of(box, metered)['id']}"
    for embedded, listed in zip(
        m3ter_http.call("GET", path).json["lineItems"],
        m3ter_http.call("GET", f"{path}/lineitems").json["data"],
        strict=True,
    ):
        assert listed["bandUsage"] == embedded["usagePerPricingBand"]
        assert embedded.keys() - listed.keys() == {"usagePerPricingBand"} | (
            {"childAccountId", "childAccountCode"} & embedded.keys()
        )
    assert embedded["childAccountCode"] == "acme-eu"


def test_trap_29_the_external_invoice_reference_cannot_be_set(box: Sandbox, metered: dict[str, str], m3ter_http: Any):
    bill = bill_of(box, metered)
    assert m3ter_http.call("PUT", f"bills/{bill['id']}", {"externalInvoiceReference": "inv_1"}).status_code == 405


def test_trap_33_transactions_are_immutable_and_a_blind_retry_doubles_them(box: Sandbox, prepaid: str, m3ter_http: Any):
    path, body = f"balances/{prepaid}/transactions", {"amount": 200, "description": "ref:cbtx_901"}
    made = [m3ter_http.call("POST", path, body).json for _ in range(2)]
    assert box.m3ter.balances[prepaid]["amount"] == 400
    for method in ("PUT", "DELETE", "GET"):
        assert m3ter_http.call(method, f"{path}/{made[0]['id']}", body).status_code in (404, 405)
    listed = m3ter_http.call("GET", path).json["data"]
    assert [row["id"] for row in listed] == [made[1]["id"], made[0]["id"]]
    assert "balanceId" not in listed[0]


def test_trap_34_a_transaction_alone_is_never_billed(box: Sandbox, metered: dict[str, str], prepaid: str):
    box.m3ter.delete("account_plans", metered["account_plan"])
    box.m3ter.add_transaction(prepaid, 30)
    assert box.m3ter.run_bill_job([metered["account"]], "2026-02-01")["billIds"] == []


def test_trap_34_a_charge_alone_never_changes_the_balance(box: Sandbox, metered: dict[str, str], prepaid: str):
    box.m3ter.add_transaction(prepaid, 30)
    box.m3ter.create_charge(metered["account"], "fee", 160, "2026-02-01", (JAN, FEB), prepaid)
    assert bill_of(box, metered, billingFrequency="AD_HOC")["billTotal"] == 160
    assert box.m3ter.balances[prepaid]["amount"] == 30


@pytest.mark.parametrize("bill_date", [None, "2026-02-02"])
def test_trap_35_a_charge_without_a_date_or_a_job_for_it_never_reaches_a_bill(
    bill_date: str | None, box: Sandbox, metered: dict[str, str]
):
    charge = box.m3ter.create_charge(metered["account"], "fee", 160, bill_date, (JAN, FEB))
    bill_of(box, metered)
    bill_of(box, metered, "2026-03-01")
    assert "billId" not in box.m3ter.charges[charge["id"]]


def test_trap_36_a_charge_schedules_currency_is_its_own(box: Sandbox, prepaid: str):
    schedule = box.m3ter.create_charge_schedule(prepaid, "monthly", 160, JAN, FEB, currency="GBP")
    box.advance()
    [charge] = box.m3ter.charges.values()
    assert (box.m3ter.balances[prepaid]["currency"], schedule["currency"], charge["currency"]) == ("USD", "GBP", "GBP")


@pytest.mark.parametrize("kind", ["transaction_schedules", "charge_schedules"])
def test_trap_37_a_preview_is_a_page_though_typed_as_a_single_object(
    kind: str, box: Sandbox, prepaid: str, m3ter_sdk: M3ter
):
    top_up = box.m3ter.create_transaction_type("TOP_UP")["id"]
    terms = {
        "transaction_schedules": {
            "name": "Monthly", "code": "monthly", "amount": 200, "frequency": "MONTHLY", "frequency_interval": 1,
            "start_date": JAN, "end_date": APR, "transaction_description": "Top-up", "transaction_type_id": top_up,
        },
        "charge_schedules": {
            "name": "Monthly", "code": "monthly", "amount": 200, "bill_frequency": "MONTHLY",
            "bill_frequency_interval": 1, "service_period_start_date": JAN, "service_period_end_date": APR,
            "currency": "USD", "bill_in_advance": True, "charge_description": "Top-up",
        },
    }[kind]  # fmt: skip
    lenient = getattr(m3ter_sdk.with_options().balances, kind).preview(prepaid, **terms)
    assert lenient.name is None
    assert [row["amount"] for row in lenient.model_extra["data"]] == [200, 200, 200]
    if kind == "transaction_schedules":  # nothing in the type of the other must be there
        with pytest.raises(m3ter.APIResponseValidationError):
            getattr(m3ter_sdk.balances, kind).preview(prepaid, **terms)


def test_trap_38_a_complete_job_may_have_made_no_bill(box: Sandbox, metered: dict[str, str]):
    account = box.m3ter.accounts[metered["account"]]
    box.m3ter.update("accounts", account["id"], {**account, "currency": "JPY"})
    job = box.m3ter.run_bill_job([account["id"]], "2026-02-01")
    assert (job["status"], job["billIds"]) == ("COMPLETE", [])


def test_trap_39_a_job_over_a_date_reopens_the_approved_bills_of_its_accounts_alone(
    box: Sandbox, metered: dict[str, str]
):
    other = box.m3ter.create_account("other")
    box.m3ter.create_account_plan(other["id"], metered["plan"], JAN)
    bills = box.m3ter.run_bill_job(None, "2026-02-01")["billIds"]
    for bill_id in bills:
        box.m3ter.approve(bill_id)
    box.m3ter.run_bill_job([other["id"]], "2026-02-01")
    assert {row["accountCode"]: row["status"] for row in box.m3ter.bills.values()} == {
        "acme": "APPROVED",
        "other": "PENDING",
    }


def test_trap_40_a_locked_bill_is_left_alone_for_good(box: Sandbox, metered: dict[str, str], m3ter_http: Any):
    use(box, 100)
    bill = bill_of(box, metered)
    assert m3ter_http.call("PUT", f"bills/{bill['id']}/lock").status_code == 400
    box.m3ter.approve(bill["id"])
    locked = box.m3ter.lock(bill["id"])
    use(box, 50)
    assert bill_of(box, metered)["billTotal"] == 1
    assert box.m3ter.bills[bill["id"]]["version"] == locked["version"]
    for method, path, body in (
        ("PUT", f"bills/{bill['id']}/status", {"status": "PENDING"}),
        ("PUT", f"bills/{bill['id']}/lock", None),
        ("POST", "billjobs/recalculate", {"billIds": [bill["id"]]}),
        ("DELETE", f"bills/{bill['id']}", None),
    ):
        assert m3ter_http.call(method, path, body).status_code == 400, path


def test_trap_41_a_job_takes_up_to_a_hundred_accounts(box: Sandbox, m3ter_http: Any):
    accounts = [box.m3ter.create_account(f"a{number}")["id"] for number in range(101)]
    body = {"billDate": "2026-02-01", "accountIds": accounts}
    assert m3ter_http.call("POST", "billjobs", body).status_code == 400
    assert m3ter_http.call("POST", "billjobs", {**body, "accountIds": accounts[:100]}).status_code == 200


def test_trap_44_bills_may_approve_themselves_after_a_grace_period(
    box: Sandbox, metered: dict[str, str], m3ter_http: Any
):
    config = {**box.m3ter.config, "autoApproveBillsGracePeriod": 2, "autoApproveBillsGracePeriodUnit": "HOURS"}
    m3ter_http.call("PUT", "organizationconfig", config)
    bill = bill_of(box, metered)
    box.advance(timedelta(minutes=119))
    assert box.m3ter.bills[bill["id"]]["status"] == "PENDING"
    box.m3ter.recalculate(bill["id"])
    box.advance(timedelta(minutes=119))
    assert box.m3ter.bills[bill["id"]]["status"] == "PENDING"
    box.advance(timedelta(minutes=1))
    approved = box.m3ter.bills[bill["id"]]
    assert (approved["status"], approved["dtApproved"]) == ("APPROVED", "2026-01-01T03:59:00Z")


def test_trap_45_events_expire_after_28_days(box: Sandbox, metered: dict[str, str], m3ter_http: Any):
    bill_of(box, metered)
    [event] = m3ter_http.call("GET", "events").json["data"]
    box.advance(timedelta(days=28))
    m3ter_http.token = box.m3ter.issue_token()
    assert m3ter_http.call("GET", "events").json["data"] == []
    assert m3ter_http.call("GET", f"events/{event['id']}").status_code == 404


@pytest.mark.parametrize("linked", [True, False])
def test_trap_46_a_notification_that_fails_too_often_is_silent_while_bills_are_approved(
    linked: bool, box: Sandbox, metered: dict[str, str], m3ter_http: Any
):
    box.m3ter.settings.failures_before_disabling = 2
    webhook = box.m3ter.add_webhook_destination("http://x.test/m3ter")
    link = {"entityType": "Notification", "destination": "Webhook", "destinationId": webhook["id"]}
    integration = m3ter_http.call("POST", "integrationconfigs", link).json if linked else webhook
    bills = [bill_of(box, metered, day)["id"] for day in ("2026-02-01", "2026-03-01", "2026-04-01")]
    tries: list[str] = []

    def refuse(url: str, headers: dict[str, str], body: bytes) -> int:
        tries.append(url)
        return 503

    for bill_id in bills[:2]:
        box.m3ter.approve(bill_id)
        box.advance(timedelta(hours=1), send=refuse)
    assert len(tries) == 2
    [row, _] = m3ter_http.call("GET", "bills", query_string={"status": "APPROVED"}).json["data"]
    assert row["id"] == bills[1]  # only who asks knows of it
    [event] = m3ter_http.call("GET", "events", query_string={"eventType": "IntegrationEvent"}).json["data"]
    told = event["m3terEvent"]["eventData"]["newDto"]
    assert (event["eventName"], told["id"]) == ("integration.disabled.error", integration["id"])
    assert "secret" not in json.dumps(told)
    if linked:
        path = f"integrationconfigs/{integration['id']}"
        current = m3ter_http.call("GET", path).json
        assert m3ter_http.call("PUT", path, current).json["enabled"] is False
        assert m3ter_http.call("POST", f"{path}/enable").json["enabled"] is True
    else:
        m3ter_http.call("PUT", f"integrationdestinations/webhooks/{webhook['id']}/active?active=true")
    box.m3ter.approve(bills[2])
    box.deliver(refuse)
    assert len(tries) == 3


def test_trap_47_a_bill_may_be_in_a_currency_of_the_merchants_own(
    box: Sandbox, metered: dict[str, str], m3ter_http: Any
):
    account = box.m3ter.accounts[metered["account"]]
    path = f"accounts/{account['id']}"
    assert m3ter_http.call("PUT", path, {**account, "currency": "CREDITS"}).status_code == 400
    m3ter_http.call("POST", "picklists/currency", {"name": "Credits", "code": "CREDITS"})
    assert m3ter_http.call("PUT", path, {**account, "currency": "CREDITS"}).status_code == 200
    use(box, 1000)
    bill = bill_of(box, metered, currencyConversions=[{"from": "USD", "to": "CREDITS", "multiplier": 8}])
    assert (bill["currency"], bill["lineItems"][0]["subtotal"], bill["billTotal"]) == ("CREDITS", 10, 80)


def test_trap_48_the_bill_is_the_parents_while_lines_are_the_childs(
    box: Sandbox, metered: dict[str, str], child: dict[str, Any], m3ter_sdk: M3ter
):
    bill = m3ter_sdk.bills.retrieve(bill_of(box, metered)["id"])
    assert bill.line_items is not None
    assert [(bill.account_id, line.child_account_id) for line in bill.line_items] == [
        (metered["account"], None),
        (metered["account"], child["id"]),
    ]
    assert [found.id for found in m3ter_sdk.accounts.list_children(metered["account"])] == [child["id"]]
