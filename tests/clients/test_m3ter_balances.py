"""Balance Billing's requests as m3ter's documentation writes them, and its answers as dataclasses."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import responses

from connector.clients.http import Unreadable, recorded_calls
from connector.clients.m3ter import M3terClient
from connector.clients.m3ter_balance_objects import (
    Balance,
    BalanceSummary,
    BillJob,
    Charge,
    ChargeSchedule,
    Conversion,
    Currency,
    OrganizationConfig,
    Preview,
    ScheduledRow,
    Transaction,
    TransactionSchedule,
    TransactionType,
)
from connector.clients.m3ter_balances import BalanceBilling
from connector.errors import AccessRefused, NotFound, Rejected, Retryable, Uncertain

BASE = "https://api.m3ter.com"
API = f"{BASE}/organizations/org-1"
JAN, FEB, MAR = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3))
JAN_1, FEB_1 = date(2026, 1, 1), date(2026, 2, 1)
HINT = "m3ter may have to switch it on"
# 28 digits, which no float holds, and the sum that floats are known for.
EXACT = "12345678901234.56789012345678"
TENTHS = Decimal("0.1") + Decimal("0.2")

BALANCE = {
    "id": "bal-1",
    "version": 3,
    "accountId": "acc-1",
    "code": "prepaid",
    "name": "Prepaid",
    "description": "For the year",
    "currency": "USD",
    "startDate": "2026-01-01T00:00:00Z",
    "endDate": "2026-02-01T00:00:00Z",
    "rolloverEndDate": "2026-03-01T00:00:00Z",
    "rolloverAmount": Decimal("30.10"),
    "amount": 180,
    "balanceDrawDownDescription": "Prepaid credit used",
    "overageDescription": "Beyond the credit",
    "overageSurchargePercent": 10,
    "allowOverdraft": True,
    "productIds": ["product-1", "product-2"],
    "lineItemTypes": ["USAGE"],
    "contractId": "con-1",
    "feesAccountingProductId": "product-3",
    "consumptionsAccountingProductId": "product-4",
    "customFields": {"tier": "gold", "weight": Decimal("0.1")},
    "dtCreated": "2026-01-01T00:00:00Z",
    "createdBy": "USER_1",
}
TRANSACTION_TYPE = {"id": "type-1", "version": 1, "code": "TOP_UP", "name": "Top-up", "archived": True}
TRANSACTION = {
    "id": "tx-1",
    "version": 1,
    "amount": 200,
    "transactionTypeId": "type-1",
    "description": "Top-up ref:1",
    "entityType": "SERVICE_USER",
    "entityId": "user-1",
    "appliedDate": "2026-01-01T00:00:00Z",
    "transactionDate": "2026-02-01T00:00:00Z",
    "paid": Decimal("160.5"),
    "currencyPaid": "GBP",
    "dtCreated": "2026-03-01T00:00:00Z",
}
SUMMARY = {
    "totalCreditAmount": Decimal("200.01"),
    "totalDebitAmount": 20,
    "initialCreditAmount": 200,
    "expiredBalanceAmount": 0,
    "rolloverConsumed": Decimal("1.5"),
    "balanceConsumed": 18,
}
TRANSACTION_SCHEDULE = {
    "id": "ts-1",
    "version": 2,
    "balanceId": "bal-1",
    "code": "monthly",
    "name": "Monthly",
    "amount": Decimal("200.50"),
    "transactionDescription": "Top-up",
    "transactionTypeId": "type-1",
    "startDate": "2026-01-01T00:00:00Z",
    "endDate": "2026-03-01T00:00:00Z",
    "frequency": "MONTHLY",
    "frequencyInterval": 1,
    "paid": 160,
    "currencyPaid": "GBP",
    "nextRun": "2026-02-01T00:00:00Z",
    "previousRun": "2026-01-01T00:00:00Z",
    "customFields": {"kept": "yes"},
}
CHARGE_SCHEDULE = {
    "id": "cs-1",
    "version": 2,
    "balanceId": "bal-1",
    "code": "monthly",
    "name": "Monthly",
    "currency": "GBP",
    "units": 4,
    "unitPrice": Decimal("12.55"),
    "chargeDescription": "Top-up",
    "servicePeriodStartDate": "2026-01-01T00:00:00Z",
    "servicePeriodEndDate": "2026-03-01T00:00:00Z",
    "billFrequency": "MONTHLY",
    "billFrequencyInterval": 1,
    "billInAdvance": True,
    "billEpoch": "2026-01-01",
    "nextRun": "2026-02-01T00:00:00Z",
    "previousRun": "2026-01-01T00:00:00Z",
    "customFields": {"kept": "yes"},
}
CHARGE = {
    "id": "ch-1",
    "version": 2,
    "code": "topup-1",
    "name": "Top-up fee",
    "accountId": "acc-1",
    "entityType": "BALANCE",
    "entityId": "bal-1",
    "lineItemType": "BALANCE_FEE",
    "currency": "GBP",
    "amount": Decimal("-160.05"),
    "servicePeriodStartDate": "2026-01-01T00:00:00Z",
    "servicePeriodEndDate": "2026-02-01T00:00:00Z",
    "billDate": "2026-02-01",
    "description": "January",
    "notes": "ref:1",
    "accountingProductId": "product-3",
    "contractId": "con-1",
    "billId": "bill-1",
    "scheduleId": "cs-1",
    "dtCreated": "2026-01-01T00:00:00Z",
}
BILL_JOB = {
    "id": "job-1",
    "version": 1,
    "status": "RUNNING",
    "type": "CREATE",
    "billDate": "2026-02-01",
    "accountIds": ["acc-1"],
    "billIds": ["bill-1"],
    "targetCurrency": "USD",
    "total": 2,
    "pending": 1,
    "dtCreated": "2026-02-01T00:00:00Z",
}
CURRENCY = {
    "id": "cur-1",
    "code": "USD",
    "name": "US dollar",
    "maxDecimalPlaces": 2,
    "roundingMode": "HALF_EVEN",
    "archived": False,
}
CONFIG = {
    "id": "config-1",
    "currency": "USD",
    "timezone": "Europe/Berlin",
    "currencyConversions": [{"from": "GBP", "to": "USD", "multiplier": Decimal("1.2500000001")}],
    "dayEpoch": "2022-01-01",
    "weekEpoch": "2022-01-04",
    "monthEpoch": "2022-01-02",
    "yearEpoch": "2022-01-03",
}
TRANSACTIONS = "/balances/bal-1/transactions"
TRANSACTION_SCHEDULES = "/balances/bal-1/balancetransactionschedules"
CHARGE_SCHEDULES = "/balances/bal-1/balancechargeschedules"
PREVIEWED_TRANSACTION = {"amount": 200, "description": "Top-up", "appliedDate": "2026-01-01T00:00:00Z"}
PREVIEWED_CHARGE = {
    "name": "Monthly",
    "currency": "GBP",
    "units": 4,
    "unitPrice": Decimal("12.55"),
    "description": "Top-up",
    "billDate": "2026-02-01",
    "servicePeriodStartDate": "2026-01-01T00:00:00Z",
    "servicePeriodEndDate": "2026-02-01T00:00:00Z",
}

Call = Callable[[BalanceBilling], Any]

# What each list is called with, its path, and a row of it.
LISTS: dict[str, tuple[Call, str, dict[str, Any]]] = {
    "balances": (lambda billing: billing.list_balances("acc-1"), "/balances", BALANCE),
    "transaction types": (
        lambda billing: billing.list_transaction_types(),
        "/picklists/transactiontypes",
        TRANSACTION_TYPE,
    ),
    "transactions": (lambda billing: billing.list_transactions("bal-1"), TRANSACTIONS, TRANSACTION),
    "transaction schedules": (
        lambda billing: billing.list_transaction_schedules("bal-1"),
        TRANSACTION_SCHEDULES,
        TRANSACTION_SCHEDULE,
    ),
    "charge schedules": (lambda billing: billing.list_charge_schedules("bal-1"), CHARGE_SCHEDULES, CHARGE_SCHEDULE),
    "charges": (lambda billing: billing.list_charges(account_id="acc-1"), "/charges", CHARGE),
    "bill jobs": (lambda billing: billing.list_bill_jobs(), "/billjobs", BILL_JOB),
    "currencies": (lambda billing: billing.list_currencies(), "/picklists/currency", CURRENCY),
}
# The most that m3ter takes for each, as m3ter.md §1.7 has it; for those it does not name, the least of all.
LARGEST_PAGES = {"transactions": "200", "charges": "200"}
# What each creation is called with, its path, and the answer.
CREATES: dict[str, tuple[Callable[[BalanceBilling, dict[str, Any]], Any], str, dict[str, Any]]] = {
    "balance": (lambda billing, fields: billing.create_balance(fields), "/balances", BALANCE),
    "transaction type": (
        lambda billing, fields: billing.create_transaction_type(fields),
        "/picklists/transactiontypes",
        TRANSACTION_TYPE,
    ),
    "transaction": (lambda billing, fields: billing.create_transaction("bal-1", fields), TRANSACTIONS, TRANSACTION),
    "transaction schedule": (
        lambda billing, fields: billing.create_transaction_schedule("bal-1", fields),
        TRANSACTION_SCHEDULES,
        TRANSACTION_SCHEDULE,
    ),
    "charge schedule": (
        lambda billing, fields: billing.create_charge_schedule("bal-1", fields),
        CHARGE_SCHEDULES,
        CHARGE_SCHEDULE,
    ),
    "charge": (lambda billing, fields: billing.create_charge(fields), "/charges", CHARGE),
    "bill job": (lambda billing, fields: billing.create_bill_job(fields), "/billjobs", BILL_JOB),
}
GETS: dict[str, tuple[Call, str, dict[str, Any]]] = {
    "balance": (lambda billing: billing.get_balance("bal-1"), "/balances/bal-1", BALANCE),
    "summary": (lambda billing: billing.transaction_summary("bal-1"), f"{TRANSACTIONS}/summary", SUMMARY),
    "transaction schedule": (
        lambda billing: billing.get_transaction_schedule("bal-1", "ts-1"),
        f"{TRANSACTION_SCHEDULES}/ts-1",
        TRANSACTION_SCHEDULE,
    ),
    "charge schedule": (
        lambda billing: billing.get_charge_schedule("bal-1", "cs-1"),
        f"{CHARGE_SCHEDULES}/cs-1",
        CHARGE_SCHEDULE,
    ),
    "charge": (lambda billing: billing.get_charge("ch-1"), "/charges/ch-1", CHARGE),
    "bill job": (lambda billing: billing.get_bill_job("job-1"), "/billjobs/job-1", BILL_JOB),
    "configuration": (lambda billing: billing.organization_config(), "/organizationconfig", CONFIG),
}
# What each update is called with, its path, the object, and what of it m3ter works out by itself.
UPDATES: dict[str, tuple[Callable[[BalanceBilling, dict[str, Any]], Any], str, dict[str, Any], set[str]]] = {
    "balance": (
        lambda billing, fields: billing.update_balance("bal-1", fields),
        "/balances/bal-1",
        BALANCE,
        {"id", "amount", "dtCreated", "createdBy"},
    ),
    "transaction schedule": (
        lambda billing, fields: billing.update_transaction_schedule("bal-1", "ts-1", fields),
        f"{TRANSACTION_SCHEDULES}/ts-1",
        TRANSACTION_SCHEDULE,
        {"id", "balanceId", "nextRun", "previousRun"},
    ),
    "charge schedule": (
        lambda billing, fields: billing.update_charge_schedule("bal-1", "cs-1", fields),
        f"{CHARGE_SCHEDULES}/cs-1",
        CHARGE_SCHEDULE,
        {"id", "balanceId", "nextRun", "previousRun"},
    ),
    "charge": (
        lambda billing, fields: billing.update_charge("ch-1", fields),
        "/charges/ch-1",
        CHARGE,
        {"id", "billId", "scheduleId", "dtCreated"},
    ),
}
DELETES: dict[str, tuple[Call, str]] = {
    "balance": (lambda billing: billing.delete_balance("bal-1"), "/balances/bal-1"),
    "transaction schedule": (
        lambda billing: billing.delete_transaction_schedule("bal-1", "ts-1"),
        f"{TRANSACTION_SCHEDULES}/ts-1",
    ),
    "charge schedule": (lambda billing: billing.delete_charge_schedule("bal-1", "cs-1"), f"{CHARGE_SCHEDULES}/cs-1"),
    "charge": (lambda billing: billing.delete_charge("ch-1"), "/charges/ch-1"),
}
PREVIEWS: dict[str, tuple[Callable[[BalanceBilling, int], Preview], str, dict[str, Any]]] = {
    "transactions": (
        lambda billing, limit: billing.preview_transaction_schedule("bal-1", {"code": "c", "paid": None}, limit=limit),
        f"{TRANSACTION_SCHEDULES}/preview",
        PREVIEWED_TRANSACTION,
    ),
    "charges": (
        lambda billing, limit: billing.preview_charge_schedule("bal-1", {"code": "c", "paid": None}, limit=limit),
        f"{CHARGE_SCHEDULES}/preview",
        PREVIEWED_CHARGE,
    ),
}


@pytest.fixture
def client(http, network) -> M3terClient:
    token = {"access_token": "bearer-1", "token_type": "Bearer", "expires_in": 18000}
    network.add(responses.POST, f"{BASE}/oauth/token", json=token)
    return M3terClient(http, org_id="org-1", api_key="a", api_secret="s", now=lambda: JAN)


@pytest.fixture
def billing(client) -> BalanceBilling:
    return client.balance_billing


def exact_json(value: Any) -> str:
    """JSON with the digits of each Decimal, since Python's own would refuse it or round it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)}: {exact_json(member)}" for name, member in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(exact_json, value)) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value)


def answer(network: responses.RequestsMock, method: str, path: str, value: Any, status: int = 200) -> None:
    network.add(method, f"{API}{path}", body=exact_json(value), status=status)


def sent(network: responses.RequestsMock) -> list[responses.Call]:
    """The calls without those for tokens."""
    return [call for call in network.calls if not call.request.url.endswith("/oauth/token")]


def line(call: responses.Call) -> tuple[str, str]:
    return call.request.method, urlsplit(call.request.url).path.removeprefix("/organizations/org-1")


def query(call: responses.Call) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(call.request.url).query, keep_blank_values=True))


def body(call: responses.Call) -> dict[str, Any]:
    return json.loads(call.request.body, parse_float=Decimal)


def fields_of(what: str) -> dict[str, Any]:
    """The least that lets a creation be sent."""
    return {"accountIds": ["acc-1"]} if what == "bill job" else {"code": "c"}


# Reading


@pytest.mark.parametrize("what", GETS)
def test_each_object_is_read_from_its_own_path(billing, network, what):
    call, path, raw = GETS[what]
    answer(network, "GET", path, raw)
    call(billing)
    assert [line(one) for one in sent(network)] == [("GET", path)]


@pytest.mark.parametrize("what", LISTS)
def test_each_list_is_read_over_all_its_pages_of_the_largest_size(billing, network, what):
    call, path, row = LISTS[what]
    answer(network, "GET", path, {"data": [row, {**row, "id": "two"}], "nextToken": "next+/="})
    answer(network, "GET", path, {"data": [{**row, "id": "three"}], "nextToken": ""})
    assert [one.id for one in call(billing)] == [row["id"], "two", "three"]
    assert [line(one) for one in sent(network)] == [("GET", path)] * 2
    first, second = map(query, sent(network))
    assert first["pageSize"] == LARGEST_PAGES.get(what, "100")
    assert second == {**first, "nextToken": "next+/="}


@pytest.mark.parametrize("what", LISTS)
def test_a_list_that_fails_midway_is_no_list(billing, network, what):
    call, path, row = LISTS[what]
    answer(network, "GET", path, {"data": [row], "nextToken": "two"})
    answer(network, "GET", path, {"message": "later"}, status=500)
    with pytest.raises(Retryable):
        list(call(billing))


@pytest.mark.parametrize("what", ["transactions", "charges", "bill jobs"])
def test_what_can_be_long_is_fetched_as_it_is_read(billing, network, what):
    call, path, row = LISTS[what]
    answer(network, "GET", path, {"data": [row], "nextToken": "two"})
    assert next(iter(call(billing))).id == row["id"]
    assert len(sent(network)) == 1


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        pytest.param(lambda billing: billing.list_balances(), {}, id="all balances"),
        pytest.param(
            lambda billing: billing.list_balances("acc-1", contract_id="", end_date_start=JAN_1, end_date_end=FEB_1),
            {"accountId": "acc-1", "contractId": "", "endDateStart": "2026-01-01", "endDateEnd": "2026-02-01"},
            id="balances without a contract that end in January",
        ),
        pytest.param(
            lambda billing: list(
                billing.list_transactions("bal-1", transaction_type_id="t", entity_type="BILL", entity_id="b")
            ),
            {"transactionTypeId": "t", "entityType": "BILL", "entityId": "b"},
            id="transactions of a bill",
        ),
        pytest.param(lambda billing: list(billing.list_transactions("bal-1")), {}, id="all transactions"),
        pytest.param(
            lambda billing: list(
                billing.list_charges(
                    account_id="a", entity_type="BALANCE", entity_id="b", bill_date=FEB_1, schedule_id="s"
                )
            ),
            {
                "accountId": "a",
                "entityType": "BALANCE",
                "entityId": "b",
                "billDate": "2026-02-01",
                "scheduleId": "s",
            },
            id="charges of a schedule",
        ),
        pytest.param(lambda billing: list(billing.list_bill_jobs()), {}, id="all bill jobs"),
        pytest.param(
            lambda billing: list(billing.list_bill_jobs(status="RUNNING", active=True)),
            {"status": "RUNNING", "active": "TRUE"},
            id="running bill jobs",
        ),
    ],
)
def test_a_list_asks_for_exactly_what_is_wanted(billing, network, call, expected):
    for path in ("/balances", TRANSACTIONS, "/charges", "/billjobs"):
        answer(network, "GET", path, {"data": []})
    assert call(billing) == []
    asked = query(sent(network)[0])
    del asked["pageSize"]
    assert asked == expected


def test_a_balance_is_read_whole():
    assert Balance.from_json(BALANCE) == Balance(
        id="bal-1",
        version=3,
        account_id="acc-1",
        code="prepaid",
        name="Prepaid",
        description="For the year",
        currency="USD",
        start=JAN,
        end=FEB,
        rollover_end=MAR,
        rollover_amount=Decimal("30.10"),
        amount=Decimal(180),
        draw_down_description="Prepaid credit used",
        overage_description="Beyond the credit",
        overage_surcharge_percent=Decimal(10),
        allow_overdraft=True,
        product_ids=("product-1", "product-2"),
        line_item_types=("USAGE",),
        contract_id="con-1",
        fees_accounting_product_id="product-3",
        consumptions_accounting_product_id="product-4",
        raw=BALANCE,
    )


def test_a_transaction_and_its_type_are_read_whole():
    assert Transaction.from_json(TRANSACTION) == Transaction(
        id="tx-1",
        amount=Decimal(200),
        transaction_type_id="type-1",
        description="Top-up ref:1",
        entity_type="SERVICE_USER",
        entity_id="user-1",
        applied=JAN,
        transaction_date=FEB,
        paid=Decimal("160.5"),
        currency_paid="GBP",
        created=MAR,
    )
    assert TransactionType.from_json(TRANSACTION_TYPE) == TransactionType("type-1", "TOP_UP", "Top-up", archived=True)


def test_a_summary_tells_all_six_amounts():
    assert BalanceSummary.from_json(SUMMARY) == BalanceSummary(
        total_credit=Decimal("200.01"),
        total_debit=Decimal(20),
        initial_credit=Decimal(200),
        expired=Decimal(0),
        rollover_consumed=Decimal("1.5"),
        consumed=Decimal(18),
    )


def test_an_amount_that_a_summary_leaves_out_is_not_taken_for_zero():
    assert BalanceSummary.from_json({}) == BalanceSummary(None, None, None, None, None, None)


def test_a_transaction_schedule_is_read_whole():
    assert TransactionSchedule.from_json(TRANSACTION_SCHEDULE) == TransactionSchedule(
        id="ts-1",
        version=2,
        balance_id="bal-1",
        code="monthly",
        name="Monthly",
        amount=Decimal("200.50"),
        description="Top-up",
        transaction_type_id="type-1",
        start=JAN,
        end=MAR,
        frequency="MONTHLY",
        frequency_interval=1,
        paid=Decimal(160),
        currency_paid="GBP",
        next_run=FEB,
        previous_run=JAN,
        raw=TRANSACTION_SCHEDULE,
    )


def test_a_charge_schedule_is_read_whole():
    assert ChargeSchedule.from_json(CHARGE_SCHEDULE) == ChargeSchedule(
        id="cs-1",
        version=2,
        balance_id="bal-1",
        code="monthly",
        name="Monthly",
        currency="GBP",
        amount=None,
        units=Decimal(4),
        unit_price=Decimal("12.55"),
        description="Top-up",
        start=JAN,
        end=MAR,
        frequency="MONTHLY",
        frequency_interval=1,
        in_advance=True,
        bill_epoch=JAN_1,
        next_run=FEB,
        previous_run=JAN,
        raw=CHARGE_SCHEDULE,
    )


def test_a_charge_is_read_whole():
    assert Charge.from_json(CHARGE) == Charge(
        id="ch-1",
        version=2,
        code="topup-1",
        name="Top-up fee",
        account_id="acc-1",
        entity_type="BALANCE",
        entity_id="bal-1",
        line_item_type="BALANCE_FEE",
        currency="GBP",
        amount=Decimal("-160.05"),
        units=None,
        unit_price=None,
        start=JAN,
        end=FEB,
        bill_date=FEB_1,
        description="January",
        notes="ref:1",
        accounting_product_id="product-3",
        contract_id="con-1",
        bill_id="bill-1",
        schedule_id="cs-1",
        created=JAN,
        raw=CHARGE,
    )


def test_a_bill_job_tells_how_far_it_is():
    job = BillJob.from_json(BILL_JOB)
    assert job == BillJob(
        id="job-1",
        status="RUNNING",
        type="CREATE",
        bill_date=FEB_1,
        account_ids=("acc-1",),
        bill_ids=("bill-1",),
        target_currency="USD",
        total=2,
        pending=1,
        created=FEB,
    )


@pytest.mark.parametrize(
    ("status", "ended"),
    [("PENDING", False), ("INITIALIZING", False), ("RUNNING", False), ("COMPLETE", True), ("CANCELLED", True)],
)
def test_a_bill_job_ends_in_two_ways(status, ended):
    assert BillJob.from_json({"id": "job-1", "status": status}).ended is ended


def test_currencies_rates_and_epochs_are_read():
    assert Currency.from_json(CURRENCY) == Currency("cur-1", "USD", "US dollar", 2, "HALF_EVEN", archived=False)
    assert OrganizationConfig.from_json(CONFIG) == OrganizationConfig(
        currency="USD",
        timezone="Europe/Berlin",
        conversions=(Conversion("GBP", "USD", Decimal("1.2500000001")),),
        day_epoch=date(2022, 1, 1),
        week_epoch=date(2022, 1, 4),
        month_epoch=date(2022, 1, 2),
        year_epoch=date(2022, 1, 3),
    )


@pytest.mark.parametrize(
    ("read", "raw", "needed"),
    [
        (Balance.from_json, BALANCE, "id version accountId code name currency startDate endDate"),
        (TransactionType.from_json, TRANSACTION_TYPE, "id name"),
        (Transaction.from_json, TRANSACTION, "id amount"),
        (
            TransactionSchedule.from_json,
            TRANSACTION_SCHEDULE,
            "id version balanceId code name amount transactionDescription transactionTypeId startDate endDate frequency "
            "frequencyInterval",
        ),
        (
            ChargeSchedule.from_json,
            CHARGE_SCHEDULE,
            "id version balanceId code name currency units unitPrice chargeDescription servicePeriodStartDate "
            "servicePeriodEndDate billFrequency billFrequencyInterval",
        ),
        (
            Charge.from_json,
            CHARGE,
            "id version code name accountId entityType lineItemType currency amount servicePeriodStartDate "
            "servicePeriodEndDate",
        ),
        (BillJob.from_json, BILL_JOB, "id status"),
        (Currency.from_json, CURRENCY, "id code name"),
        (OrganizationConfig.from_json, CONFIG, "currency timezone dayEpoch weekEpoch monthEpoch yearEpoch"),
        (ScheduledRow.from_json, PREVIEWED_TRANSACTION, "amount"),
        (ScheduledRow.from_json, PREVIEWED_CHARGE, "units unitPrice"),
    ],
)
def test_only_what_is_needed_must_be_there(read, raw, needed):
    for name in raw:
        rest = {key: value for key, value in raw.items() if key != name}
        if name in needed.split():
            with pytest.raises(Unreadable):
                read(rest)
        else:
            read(rest)
    with pytest.raises(Unreadable):
        read([raw])


@pytest.mark.parametrize("value", ["USD", [1], {"a": "b"}])
def test_a_list_of_anything_but_texts_is_unreadable(value):
    with pytest.raises(Unreadable, match="productIds"):
        Balance.from_json({**BALANCE, "productIds": value})


# Money


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        (Decimal(EXACT), EXACT),
        (TENTHS, "0.3"),
        (Decimal("1234567890123456789012345678"), "1234567890123456789012345678"),
        (Decimal("-0.0000000000000000000000000001"), "-0.0000000000000000000000000001"),
        (Decimal("1E+3"), "1000"),
        (Decimal("200.00"), "200.00"),
        (200, "200"),
    ],
)
@pytest.mark.parametrize("what", ["transaction", "transaction schedule", "charge schedule", "charge"])
def test_an_amount_is_sent_digit_by_digit(billing, network, what, amount, written):
    call, path, raw = CREATES[what]
    answer(network, "POST", path, raw)
    call(billing, {"amount": amount})
    assert sent(network)[0].request.body == f'{{"amount":{written}}}'.encode()


@pytest.mark.parametrize("what", CREATES)
def test_a_float_is_never_sent(billing, network, what):
    call, path, raw = CREATES[what]
    answer(network, "POST", path, raw)
    with pytest.raises(TypeError, match="float"):
        call(billing, {**fields_of(what), "amount": 0.1})
    assert sent(network) == []


@pytest.mark.parametrize("digits", [EXACT, "1234567890123456789012345678", "0.0000000000000000000000000001", "-0.3"])
def test_an_amount_is_read_digit_by_digit(billing, network, digits):
    network.add(responses.GET, f"{API}/charges/ch-1", body=exact_json({**CHARGE, "amount": Decimal(digits)}))
    network.add(responses.GET, f"{API}{TRANSACTIONS}/summary", body=f'{{"totalCreditAmount": {digits}}}')
    assert billing.get_charge("ch-1").amount == Decimal(digits)
    assert billing.transaction_summary("bal-1").total_credit == Decimal(digits)


@pytest.mark.parametrize("value", [True, "a lot", "1" * 31, [], {}])
def test_an_amount_that_is_not_exact_is_unreadable_by_name(value):
    with pytest.raises(Unreadable, match="amount"):
        Transaction.from_json({**TRANSACTION, "amount": value})


# Creating


@pytest.mark.parametrize("what", CREATES)
def test_each_creation_sends_what_it_is_given_without_empty_fields(billing, network, what):
    call, path, raw = CREATES[what]
    answer(network, "POST", path, raw)
    created = call(billing, {**fields_of(what), "description": None, "name": "Größe"})
    assert created.id == raw["id"]
    assert [line(one) for one in sent(network)] == [("POST", path)]
    assert body(sent(network)[0]) == {**fields_of(what), "name": "Größe"}


@pytest.mark.parametrize("what", CREATES)
@pytest.mark.parametrize("status", [408, 500, 502, 504])
def test_a_creation_with_an_unknown_outcome_is_sent_once(billing, network, what, status):
    call, path, _ = CREATES[what]
    answer(network, "POST", path, {"message": "?"}, status=status)
    with pytest.raises(Uncertain):
        call(billing, fields_of(what))
    assert len(sent(network)) == 1


@pytest.mark.parametrize("what", CREATES)
def test_a_creation_whose_answer_cannot_be_read_leaves_its_outcome_open(billing, network, what):
    call, path, _ = CREATES[what]
    answer(network, "POST", path, {"message": "ok"})
    with pytest.raises(Uncertain):
        call(billing, fields_of(what))
    assert len(sent(network)) == 1


@pytest.mark.parametrize("what", CREATES)
def test_a_creation_that_is_refused_is_not_sent_again(billing, network, what):
    call, path, _ = CREATES[what]
    answer(network, "POST", path, {"message": "code already exists"}, status=400)
    with pytest.raises(Rejected, match="code already exists") as caught:
        call(billing, fields_of(what))
    assert HINT not in str(caught.value)
    assert len(sent(network)) == 1


# Changing


@pytest.mark.parametrize("what", UPDATES)
def test_an_update_keeps_all_that_it_does_not_name_and_sends_back_nothing_derived(billing, network, what):
    call, path, raw, derived = UPDATES[what]
    answer(network, "GET", path, raw)
    answer(network, "PUT", path, {**raw, "version": raw["version"] + 1, "name": "New"})
    updated = call(billing, {"name": "New"})
    assert (updated.name, updated.version) == ("New", raw["version"] + 1)
    kept = {name: value for name, value in raw.items() if name not in derived}
    assert [line(one) for one in sent(network)] == [("GET", path), ("PUT", path)]
    assert body(sent(network)[1]) == {**kept, "name": "New"}


@pytest.mark.parametrize("what", UPDATES)
def test_an_update_that_changes_nothing_is_not_sent(billing, network, what):
    call, path, raw, _ = UPDATES[what]
    answer(network, "GET", path, raw)
    times = {name: value.replace("Z", ".000+00:00") for name, value in raw.items() if name in ("startDate", "endDate")}
    assert call(billing, {"name": raw["name"], "code": raw["code"], "unknown": None, **times}).version == raw["version"]
    assert [line(one) for one in sent(network)] == [("GET", path)]


def test_the_same_amount_and_the_same_instant_written_otherwise_are_no_change(billing, network):
    answer(network, "GET", "/charges/ch-1", CHARGE)
    start = "2026-01-01T01:00:00+01:00"
    billing.update_charge("ch-1", {"amount": Decimal("-160.0500"), "servicePeriodStartDate": start})
    assert len(sent(network)) == 1


def test_another_instant_is_a_change(billing, network):
    answer(network, "GET", "/charges/ch-1", CHARGE)
    answer(network, "PUT", "/charges/ch-1", CHARGE)
    billing.update_charge("ch-1", {"servicePeriodStartDate": "2026-01-01T00:00:00+01:00"})
    assert body(sent(network)[1])["servicePeriodStartDate"] == "2026-01-01T00:00:00+01:00"


def test_a_name_that_looks_like_a_time_is_still_a_name(billing, network):
    answer(network, "GET", "/charges/ch-1", {**CHARGE, "name": "2026-01-01T00:00:00Z"})
    answer(network, "PUT", "/charges/ch-1", CHARGE)
    billing.update_charge("ch-1", {"name": "2026-01-01T01:00:00+01:00"})
    assert body(sent(network)[1])["name"] == "2026-01-01T01:00:00+01:00"


def test_a_day_is_never_taken_for_an_instant(billing, network):
    answer(network, "GET", "/charges/ch-1", CHARGE)
    answer(network, "PUT", "/charges/ch-1", CHARGE)
    billing.update_charge("ch-1", {"billDate": "2026-02-01T00:00:00Z"})
    assert body(sent(network)[1])["billDate"] == "2026-02-01T00:00:00Z"


def test_custom_fields_are_changed_one_by_one_and_to_the_last_digit(billing, network):
    raw = {**BALANCE, "customFields": {"tier": "gold", "weight": Decimal(EXACT), "old": "x"}}
    answer(network, "GET", "/balances/bal-1", raw)
    answer(network, "PUT", "/balances/bal-1", raw)
    billing.update_balance("bal-1", {"customFields": {"tier": "silver", "old": None}})
    assert body(sent(network)[1])["customFields"] == {"tier": "silver", "weight": Decimal(EXACT)}
    assert f'"weight":{EXACT}' in sent(network)[1].request.body.decode()


def test_an_amount_gives_way_to_units_with_their_price(billing, network):
    answer(network, "GET", "/charges/ch-1", CHARGE)
    answer(network, "PUT", "/charges/ch-1", CHARGE)
    billing.update_charge("ch-1", {"amount": None, "units": 2, "unitPrice": Decimal("0.1")})
    changed = body(sent(network)[1])
    assert "amount" not in changed
    assert (changed["units"], changed["unitPrice"]) == (2, Decimal("0.1"))


@pytest.mark.parametrize("what", UPDATES)
@pytest.mark.parametrize("status", [400, 409, 412, 422])
def test_an_update_of_a_stale_version_is_merged_once_more(billing, network, what, status):
    call, path, raw, _ = UPDATES[what]
    newer = {**raw, "version": 9, "name": "Theirs"}
    answer(network, "GET", path, raw)
    answer(network, "PUT", path, {"message": "wrong version"}, status=status)
    answer(network, "GET", path, newer)
    answer(network, "PUT", path, {**newer, "version": 10})
    assert call(billing, {"code": "new"}).version == 10
    assert [one.request.method for one in sent(network)] == ["GET", "PUT", "GET", "PUT"]
    last = body(sent(network)[3])
    assert (last["version"], last["name"], last["code"]) == (9, "Theirs", "new")


@pytest.mark.parametrize("what", UPDATES)
def test_an_update_with_an_unknown_outcome_is_sent_once(billing, network, what):
    call, path, raw, _ = UPDATES[what]
    answer(network, "GET", path, raw)
    answer(network, "PUT", path, {"message": "?"}, status=502)
    with pytest.raises(Uncertain):
        call(billing, {"name": "New"})
    assert [one.request.method for one in sent(network)] == ["GET", "PUT"]


@pytest.mark.parametrize("what", DELETES)
@pytest.mark.parametrize("status", [200, 404])
def test_what_is_deleted_is_gone_whoever_deleted_it(billing, network, what, status):
    call, path = DELETES[what]
    answer(network, "DELETE", path, {"message": "gone"}, status=status)
    call(billing)
    assert [line(one) for one in sent(network)] == [("DELETE", path)]


@pytest.mark.parametrize("what", DELETES)
def test_what_m3ter_will_not_delete_is_refused(billing, network, what):
    call, path = DELETES[what]
    answer(network, "DELETE", path, {"message": "on a locked bill"}, status=400)
    with pytest.raises(Rejected, match="on a locked bill"):
        call(billing)


# Previews


@pytest.mark.parametrize("what", PREVIEWS)
def test_a_preview_that_fits_says_that_there_is_no_more(billing, network, what):
    call, path, row = PREVIEWS[what]
    answer(network, "POST", path, {"data": [row, row], "nextToken": None})
    preview = call(billing, 12)
    assert (len(preview.rows), preview.more) == (2, False)
    assert [line(one) for one in sent(network)] == [("POST", path)]
    assert query(sent(network)[0]) == {"pageSize": "12"}
    assert body(sent(network)[0]) == {"code": "c"}


@pytest.mark.parametrize("what", PREVIEWS)
def test_a_preview_goes_on_to_its_bound_and_says_that_there_is_more(billing, network, what):
    call, path, row = PREVIEWS[what]
    for following in ("two", "three"):
        answer(network, "POST", path, {"data": [row] * 200, "nextToken": following})
    preview = call(billing, 400)
    assert (len(preview.rows), preview.more) == (400, True)
    assert [query(one) for one in sent(network)] == [{"pageSize": "200"}, {"pageSize": "200", "nextToken": "two"}]
    assert [body(one) for one in sent(network)] == [{"code": "c"}] * 2


@pytest.mark.parametrize(("rows", "following", "more"), [(50, None, False), (51, None, True), (50, "x", True)])
def test_a_preview_ends_at_its_bound_on_the_last_page(billing, network, rows, following, more):
    call, path, row = PREVIEWS["charges"]
    answer(network, "POST", path, {"data": [row] * 200, "nextToken": "two"})
    answer(network, "POST", path, {"data": [row] * rows, "nextToken": following})
    preview = call(billing, 250)
    assert (len(preview.rows), preview.more) == (250, more)
    assert len(sent(network)) == 2


@pytest.mark.parametrize("what", PREVIEWS)
def test_a_preview_of_a_schedule_that_makes_nothing_is_empty(billing, network, what):
    call, path, _ = PREVIEWS[what]
    answer(network, "POST", path, {"data": []})
    assert call(billing, 5) == Preview(rows=(), more=False)


def test_the_rows_of_a_preview_are_read_whole(billing, network):
    row = {**PREVIEWED_TRANSACTION, "transactionTypeId": "t", "paid": 160, "currencyPaid": "GBP"}
    answer(network, "POST", f"{TRANSACTION_SCHEDULES}/preview", {"data": [row]})
    answer(network, "POST", f"{CHARGE_SCHEDULES}/preview", {"data": [PREVIEWED_CHARGE]})
    usual = dict.fromkeys(field.name for field in dataclasses.fields(ScheduledRow))
    transaction = {"amount": Decimal(200), "description": "Top-up", "applied": JAN, "transaction_type_id": "t"}
    paid = {"paid": Decimal(160), "currency_paid": "GBP"}
    assert billing.preview_transaction_schedule("bal-1", {}, limit=9).rows == (
        ScheduledRow(**{**usual, **transaction, **paid}),
    )
    priced = {"units": Decimal(4), "unit_price": Decimal("12.55"), "currency": "GBP", "description": "Top-up"}
    period = {"bill_date": FEB_1, "start": JAN, "end": FEB}
    assert billing.preview_charge_schedule("bal-1", {}, limit=9).rows == (
        ScheduledRow(**{**usual, **priced, **period}),
    )


@pytest.mark.parametrize("what", PREVIEWS)
def test_a_preview_of_one_object_is_one_row_of_who_knows_how_many(billing, network, what):
    call, path, row = PREVIEWS[what]
    answer(network, "POST", path, {"id": "not to be relied on", **row})
    assert call(billing, 5) == Preview(rows=(ScheduledRow.from_json(row),), more=None)


@pytest.mark.parametrize("raw", [TRANSACTION_SCHEDULE, CHARGE_SCHEDULE, {}], ids=["credit", "charge", "nothing"])
def test_a_preview_that_gives_the_schedule_back_tells_no_row(billing, network, raw):
    answer(network, "POST", f"{CHARGE_SCHEDULES}/preview", raw)
    assert billing.preview_charge_schedule("bal-1", {}, limit=5) == Preview(rows=(), more=None)


@pytest.mark.parametrize("raw", [[], {"message": "ok"}, {"data": {}}, {"data": ["text"]}, {"data": [{"id": "x"}]}])
def test_a_preview_that_cannot_be_read_is_no_empty_preview(billing, network, raw):
    answer(network, "POST", f"{CHARGE_SCHEDULES}/preview", raw)
    with pytest.raises(Unreadable):
        billing.preview_charge_schedule("bal-1", {}, limit=5)


def test_a_preview_that_never_ends_is_given_up(billing, network):
    answer(network, "POST", f"{CHARGE_SCHEDULES}/preview", {"data": [], "nextToken": "same"})
    with pytest.raises(Unreadable, match="same page"):
        billing.preview_charge_schedule("bal-1", {}, limit=5)


def test_a_preview_changes_nothing_so_it_is_tried_again(billing, network):
    path = f"{CHARGE_SCHEDULES}/preview"
    answer(network, "POST", path, {"message": "?"}, status=502)
    answer(network, "POST", path, {"data": [PREVIEWED_CHARGE]})
    assert len(billing.preview_charge_schedule("bal-1", {}, limit=5).rows) == 1
    assert len(sent(network)) == 2


# Bill jobs and bills


def test_a_bill_job_is_created_with_all_that_m3ter_takes(billing, network):
    fields = {
        "accountIds": ["acc-1", "acc-2"],
        "billDate": "2026-02-01",
        "dueDate": "2026-02-15",
        "targetCurrency": "USD",
        "currencyConversions": [{"from": "GBP", "to": "USD", "multiplier": Decimal("1.2500000000000000000001")}],
    }
    answer(network, "POST", "/billjobs", {**BILL_JOB, "status": "PENDING"})
    assert not billing.create_bill_job(fields).ended
    assert body(sent(network)[0]) == fields


@pytest.mark.parametrize("accounts", [None, [], ["a"] * 101])
def test_a_bill_job_over_everyone_or_too_many_is_never_sent(billing, network, accounts):
    with pytest.raises(Rejected, match="1 to 100 accounts"):
        billing.create_bill_job({"accountIds": accounts, "billDate": "2026-02-01"})
    assert sent(network) == []


def test_a_bill_job_beyond_the_tenth_comes_again_later(billing, network):
    answer(network, "POST", "/billjobs", {"message": "Too Many Requests"}, status=429)
    with pytest.raises(Retryable) as caught:
        billing.create_bill_job({"accountIds": ["a"] * 100, "billDate": "2026-02-01"})
    assert not isinstance(caught.value, Uncertain)


def test_a_bill_job_is_cancelled_once(billing, network):
    answer(network, "POST", "/billjobs/job-1/cancel", {**BILL_JOB, "status": "CANCELLED"})
    assert billing.cancel_bill_job("job-1").ended
    assert [line(one) for one in sent(network)] == [("POST", "/billjobs/job-1/cancel")]
    assert sent(network)[0].request.body is None


def test_a_cancellation_with_an_unknown_outcome_is_sent_once(billing, network):
    answer(network, "POST", "/billjobs/job-1/cancel", {"message": "?"}, status=502)
    with pytest.raises(Uncertain):
        billing.cancel_bill_job("job-1")
    assert len(sent(network)) == 1


def test_the_bills_of_a_date_are_found_in_any_status_and_read_with_their_lines(client, network):
    usual = {"version": 1, "accountId": "acc-1", "currency": "USD"}
    bills = [{**usual, "id": "bill-2", "status": "PENDING"}, {**usual, "id": "bill-1", "status": "APPROVED"}]
    answer(network, "GET", "/bills", {"data": bills})
    row = {"lineItemType": "BALANCE_FEE", "subtotal": Decimal(EXACT), "currency": "USD", "chargeId": "ch-1"}
    for bill in bills:
        answer(network, "GET", f"/bills/{bill['id']}", {**bill, "lineItems": [row]})
    found = client.bills_on("acc-1", FEB_1)
    assert [(bill.id, bill.status, bill.lines[0].subtotal) for bill in found] == [
        ("bill-2", "PENDING", Decimal(EXACT)),
        ("bill-1", "APPROVED", Decimal(EXACT)),
    ]
    asked = {"accountId": "acc-1", "billDate": "2026-02-01", "excludeLineItems": "true", "pageSize": "100"}
    assert query(sent(network)[0]) == asked


# An organization without the feature


def feature_calls() -> Iterator[Any]:
    """Every read, creation and preview of what m3ter has to switch on."""
    calls = [
        *((f"get {what}", "GET", path, call) for what, (call, path, _) in GETS.items()),
        *((f"list {what}", "GET", path, partial(listed, call)) for what, (call, path, _) in LISTS.items()),
        *((f"create {what}", "POST", path, partial(given, call, {})) for what, (call, path, _) in CREATES.items()),
        *((f"preview {what}", "POST", path, partial(given, call, 5)) for what, (call, path, _) in PREVIEWS.items()),
    ]
    for name, method, path, call in calls:
        if path.startswith(("/balances", "/charges", "/picklists/transactiontypes")):
            yield pytest.param(method, path, call, id=name)


def listed(call: Call, billing: BalanceBilling) -> list[Any]:
    return list(call(billing))


def given(call: Callable[..., Any], what: Any, billing: BalanceBilling) -> Any:
    return call(billing, what)


@pytest.mark.parametrize(("method", "path", "call"), [*feature_calls()])
@pytest.mark.parametrize(("status", "kind"), [(403, AccessRefused), (404, NotFound)])
def test_a_refusal_tells_that_m3ter_may_have_to_switch_the_feature_on(
    billing, network, method, path, call, status, kind
):
    answer(network, method, path, {"message": "Forbidden"}, status=status)
    with pytest.raises(kind, match=HINT) as caught:
        call(billing)
    assert "Forbidden" in str(caught.value)
    assert str(caught.value).count(HINT) == 1


@pytest.mark.parametrize("what", ["bill job", "configuration"])
@pytest.mark.parametrize(("status", "kind"), [(403, AccessRefused), (404, NotFound)])
def test_what_every_organization_has_is_not_said_to_be_switched_off(billing, network, what, status, kind):
    call, path, _ = GETS[what]
    answer(network, "GET", path, {"message": "Forbidden"}, status=status)
    with pytest.raises(kind) as caught:
        call(billing)
    assert HINT not in str(caught.value)


def test_an_object_that_is_not_there_keeps_its_status(billing, network):
    answer(network, "GET", "/charges/ch-1", {"message": "Not Found"}, status=404)
    with pytest.raises(NotFound) as caught:
        billing.get_charge("ch-1")
    assert caught.value.status == 404


def test_a_key_that_is_refused_is_not_a_feature_that_is_off(http, network):
    network.add(responses.POST, f"{BASE}/oauth/token", status=403, json={"message": "no such key"})
    client = M3terClient(http, org_id="org-1", api_key="a", api_secret="s", now=lambda: JAN)
    with pytest.raises(AccessRefused) as caught:
        client.balance_billing.list_balances()
    assert HINT not in str(caught.value)


# One organization, one token


def test_both_clients_share_one_token(client, network):
    answer(network, "GET", "/plans/plan-1", {"id": "plan-1", "planTemplateId": "t"})
    answer(network, "GET", "/balances/bal-1", BALANCE)
    with recorded_calls() as calls:
        client.get_plan("plan-1")
        client.balance_billing.get_balance("bal-1")
    assert [call.operation for call in calls] == ["oauth.token", "plans.retrieve", "balances.retrieve"]


@pytest.mark.parametrize("identifier", ["", "..", "a\n"])
def test_an_id_that_leads_elsewhere_is_never_sent(billing, network, identifier):
    for call in (billing.get_balance, billing.delete_balance, billing.delete_charge, billing.cancel_bill_job):
        with pytest.raises(Rejected):
            call(identifier)
    with pytest.raises(Rejected):
        billing.delete_charge_schedule("bal-1", identifier)
    assert sent(network) == []


def test_an_id_is_one_segment_of_the_path_whatever_it_holds(billing, network):
    answer(network, "GET", "/balances/a%2Fb/balancechargeschedules/c%3Fd", CHARGE_SCHEDULE)
    billing.get_charge_schedule("a/b", "c?d")
    assert line(sent(network)[0]) == ("GET", "/balances/a%2Fb/balancechargeschedules/c%3Fd")
