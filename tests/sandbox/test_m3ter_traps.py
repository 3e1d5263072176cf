"""The worked figures of m3ter.md and the traps of its §16 that no other test shows; each is named after its trap."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import m3ter
import pytest
from m3ter import M3ter

from connector.sandbox import Sandbox

JAN, FEB, MAR, APR = (datetime(2026, month, 1, tzinfo=UTC) for month in range(1, 5))
YEAR_END = datetime(2027, 1, 1, tzinfo=UTC)
ACCOUNT = {"name": "Acme", "email_address": "ap@acme.test"}


def bill_of(box: Sandbox, metered: dict[str, str], bill_date: str = "2026-02-01", **fields: Any) -> dict[str, Any]:
    [bill_id] = box.m3ter.run_bill_job([metered["account"]], bill_date, **fields)["billIds"]
    return dict(box.m3ter.bills[bill_id])


def test_the_sample_bill_of_section_7_comes_to_95_50(box: Sandbox):
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
    used, paid = bill["lineItems"]
    assert (used["quantity"], used["units"], used["subtotal"], used["currency"]) == (40_000, 400, 80, "GBP")
    assert (used["conversionRate"], used["convertedSubtotal"], used["averageUnitPrice"]) == (
        Decimal("1.25"),
        100,
        Decimal("0.2"),
    )
    assert (paid["subtotal"], paid["convertedSubtotal"], paid["conversionRate"]) == (
        Decimal("-4.5"),
        Decimal("-4.5"),
        1,
    )
    assert (bill["billTotal"], bill["startDate"], bill["endDate"]) == (Decimal("95.5"), "2026-03-01", "2026-04-01")


@pytest.mark.parametrize("retries", [0, 2])
def test_trap_2_the_sdk_repeats_a_post_and_doubles_a_transaction_but_not_a_charge(
    retries: int, box: Sandbox, metered: dict[str, str], m3ter_sdk: M3ter, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("m3ter._base_client.INITIAL_RETRY_DELAY", 0)
    sdk = m3ter_sdk.with_options(max_retries=retries)
    balance = box.m3ter.create_balance(metered["account"], "prepaid", JAN, YEAR_END)
    box.faults.order("m3ter", "create_balance_transaction", "status_after", status=500)
    box.faults.order("m3ter", "create_charge", "status_after", status=500)
    charge = {
        "name": "Fee", "code": "fee", "account_id": metered["account"], "currency": "USD", "entity_type": "AD_HOC",
        "line_item_type": "AD_HOC", "amount": 5, "bill_date": "2026-02-01",
        "service_period_start_date": "2026-01-01T00:00:00Z", "service_period_end_date": "2026-02-01T00:00:00Z",
    }  # fmt: skip
    if retries:
        sdk.balances.transactions.create(balance["id"], amount=200)
        with pytest.raises(m3ter.BadRequestError, match="already exists"):  # the code is what protects a charge
            sdk.charges.create(**charge)
    else:
        for call in (
            lambda: sdk.balances.transactions.create(balance["id"], amount=200),
            lambda: sdk.charges.create(**charge),
        ):
            with pytest.raises(m3ter.InternalServerError):
                call()
    assert box.m3ter.balances[balance["id"]]["amount"] == (400 if retries else 200)
    assert len(box.m3ter.charges) == 1


def test_trap_3_a_repeated_put_that_had_succeeded_fails_on_its_version(box: Sandbox, m3ter_sdk: M3ter):
    account = box.m3ter.create_account("acme")
    box.faults.order("m3ter", "update_account", "status_after", status=500)
    for error in (m3ter.InternalServerError, m3ter.BadRequestError):
        with pytest.raises(error):
            m3ter_sdk.accounts.update(account["id"], **{**ACCOUNT, "name": "New"}, code="acme", version=1)
    assert m3ter_sdk.accounts.retrieve(account["id"]).name == "New"


def test_trap_19_the_average_price_times_the_units_is_not_the_subtotal(box: Sandbox, metered: dict[str, str]):
    pricing = box.m3ter.pricings[metered["pricing"]]
    bands = [{"lowerLimit": 0, "fixedPrice": 1, "unitPrice": 0}]
    box.m3ter.update("pricings", pricing["id"], {**pricing, "pricingBands": bands})
    box.m3ter.submit_usage("acme", "api_calls", JAN, {"calls": 3})
    [line] = bill_of(box, metered)["lineItems"]
    assert (line["subtotal"], line["averageUnitPrice"]) == (1, Decimal("0.3333333333"))
    assert line["averageUnitPrice"] * line["units"] != line["subtotal"]


def test_trap_22_a_fee_bills_the_top_up_and_what_it_pays_nets_to_zero_later(box: Sandbox, metered: dict[str, str]):
    balance = box.m3ter.create_balance(metered["account"], "prepaid", JAN, YEAR_END)
    box.m3ter.add_transaction(balance["id"], 20)
    box.m3ter.create_charge(metered["account"], "fee", 20, "2026-01-01", (JAN, FEB), balance["id"])
    fee = bill_of(box, metered, "2026-01-01")
    box.m3ter.submit_usage("acme", "api_calls", JAN, {"calls": 2000})
    usage = bill_of(box, metered)
    assert (fee["billTotal"], usage["billTotal"]) == (20, 0)
    positive = sum(line["subtotal"] for line in (*fee["lineItems"], *usage["lineItems"]) if line["subtotal"] > 0)
    assert positive == 40  # without the negative line the customer would pay twice


def test_trap_24_empty_bills_occur_unless_they_are_suppressed(box: Sandbox, metered: dict[str, str], m3ter_http: Any):
    bill = bill_of(box, metered)
    assert (bill["billTotal"], [line["subtotal"] for line in bill["lineItems"]]) == (0, [0])
    m3ter_http.call("PUT", "organizationconfig", {**box.m3ter.config, "suppressedEmptyBills": True})
    assert box.m3ter.run_bill_job([metered["account"]], "2026-03-01")["billIds"] == []


def test_trap_29_the_external_invoice_reference_cannot_be_set(box: Sandbox, metered: dict[str, str], m3ter_http: Any):
    bill = bill_of(box, metered)
    assert m3ter_http.call("PUT", f"bills/{bill['id']}", {"externalInvoiceReference": "inv_1"}).status_code == 405


def test_trap_31_an_external_id_that_is_not_quoted_reaches_another_path(box: Sandbox, m3ter_sdk: M3ter):
    mapping = {"m3terEntity": "Account", "m3terId": "a", "externalSystem": "Chargebee", "externalTable": "Customer"}
    box.m3ter.create("external_mappings", {**mapping, "externalId": "cus?1"})
    found = m3ter_sdk.external_mappings.list_by_external_entity("cus?1", system="Chargebee", external_table="Customer")
    assert found.data == []
    assert box.calls[-1].path.endswith("/Customer/cus")


def test_trap_36_a_charge_schedules_currency_is_its_own(box: Sandbox, metered: dict[str, str]):
    balance = box.m3ter.create_balance(metered["account"], "prepaid", JAN, YEAR_END, currency="USD")
    schedule = box.m3ter.create_charge_schedule(balance["id"], "monthly", 160, JAN, FEB, currency="GBP")
    box.advance()
    [charge] = box.m3ter.charges.values()
    assert (box.m3ter.balances[balance["id"]]["currency"], schedule["currency"], charge["currency"]) == (
        "USD",
        "GBP",
        "GBP",
    )


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


def test_trap_41_a_job_takes_up_to_a_hundred_accounts(box: Sandbox, m3ter_http: Any):
    accounts = [box.m3ter.create_account(f"a{number}")["id"] for number in range(101)]
    body = {"billDate": "2026-02-01", "accountIds": accounts}
    assert m3ter_http.call("POST", "billjobs", body).status_code == 400
    assert m3ter_http.call("POST", "billjobs", {**body, "accountIds": accounts[:100]}).status_code == 200


def test_trap_50_a_naive_time_is_sent_without_offset_and_refused(
    box: Sandbox, metered: dict[str, str], m3ter_sdk: M3ter
):
    with pytest.raises(m3ter.BadRequestError, match="offset"):
        m3ter_sdk.account_plans.create(
            account_id=metered["account"],
            plan_id=metered["plan"],
            start_date=datetime(2026, 3, 1),  # noqa: DTZ001 - the trap itself
        )
