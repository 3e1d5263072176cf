"""Balance Billing against the sandbox over HTTP: what each call leaves behind in m3ter."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from connector.clients.http import Http, recorded_calls
from connector.clients.m3ter import M3terClient
from connector.clients.m3ter_balances import BalanceBilling
from connector.errors import AccessRefused, NotFound, Rejected, Retryable, Uncertain
from connector.sandbox import Sandbox, serve

JAN, FEB, MAR, APR = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3, 4))
YEAR_END = datetime(2027, 1, 1, tzinfo=UTC)
FEB_1 = date(2026, 2, 1)
TRANSACTION_SCHEDULE = {
    "name": "Monthly",
    "code": "monthly",
    "amount": Decimal("200.10"),
    "transactionDescription": "Top-up",
    "startDate": "2026-01-01T00:00:00Z",
    "endDate": "2026-04-01T00:00:00Z",
    "frequency": "MONTHLY",
    "frequencyInterval": 1,
}
CHARGE_SCHEDULE = {
    "name": "Monthly",
    "code": "monthly",
    "currency": "GBP",
    "units": 4,
    "unitPrice": Decimal("12.55"),
    "chargeDescription": "Top-up",
    "servicePeriodStartDate": "2026-01-01T00:00:00Z",
    "servicePeriodEndDate": "2026-04-01T00:00:00Z",
    "billFrequency": "MONTHLY",
    "billFrequencyInterval": 1,
    "billInAdvance": False,
}


@pytest.fixture
def box() -> Sandbox:
    return Sandbox(seed=1, now=JAN)


@pytest.fixture
def client(box: Sandbox, http: Http) -> Iterator[M3terClient]:
    organization = box.m3ter
    with serve(box) as server:
        yield M3terClient(
            http,
            org_id=organization.org_id,
            api_key=organization.api_key,
            api_secret=organization.api_secret,
            api_url=f"{server.url}/m3ter",
            now=box.clock.now,
        )


@pytest.fixture
def billing(client: M3terClient) -> BalanceBilling:
    return client.balance_billing


@pytest.fixture
def account_id(box: Sandbox) -> str:
    return str(box.m3ter.create_account("acme")["id"])


@pytest.fixture
def balance_id(box: Sandbox, account_id: str) -> str:
    return str(box.m3ter.create_balance(account_id, "prepaid", JAN, YEAR_END)["id"])


@pytest.fixture
def type_id(box: Sandbox) -> str:
    return str(box.m3ter.create_transaction_type("TOP_UP")["id"])


def charge(account_id: str, **changes: Any) -> dict[str, Any]:
    usual = {
        "name": "Setup",
        "code": "setup",
        "accountId": account_id,
        "currency": "USD",
        "entityType": "AD_HOC",
        "lineItemType": "AD_HOC",
        "amount": Decimal("40.05"),
        "billDate": "2026-02-01",
        "servicePeriodStartDate": "2026-01-01T00:00:00Z",
        "servicePeriodEndDate": "2026-02-01T00:00:00Z",
    }
    return {**usual, **changes}


def test_a_balance_is_created_found_changed_and_deleted(box, billing, account_id):
    fields = {
        "accountId": account_id,
        "code": "prepaid",
        "name": "Prepaid",
        "currency": "EUR",
        "startDate": "2026-01-01T00:00:00Z",
        "endDate": "2026-04-01T00:00:00Z",
        "rolloverEndDate": "2026-05-01T00:00:00Z",
        "rolloverAmount": Decimal("30.10"),
        "customFields": {"tier": "gold"},
        "description": None,
    }
    created = billing.create_balance(fields)
    assert (created.version, created.currency, created.rollover_amount) == (1, "EUR", Decimal("30.10"))
    with pytest.raises(Rejected, match="prepaid"):
        billing.create_balance(fields)
    assert billing.get_balance(created.id) == created
    assert billing.list_balances(account_id) == billing.list_balances() == [created]
    assert billing.list_balances(account_id, contract_id="") == [created]
    # It is the rollover's end that counts.
    assert billing.list_balances(account_id, end_date_start=date(2026, 5, 1), end_date_end=date(2026, 5, 2)) == [
        created
    ]
    assert billing.list_balances(account_id, end_date_end=date(2026, 5, 1)) == []
    changed = billing.update_balance(created.id, {"name": "New", "rolloverAmount": None})
    assert (changed.version, changed.name, changed.rollover_amount) == (2, "New", None)
    assert box.m3ter.balances[created.id]["customFields"] == {"tier": "gold"}
    billing.delete_balance(created.id)
    billing.delete_balance(created.id)
    assert box.m3ter.balances == {}
    with pytest.raises(NotFound):
        billing.get_balance(created.id)


def test_credit_is_given_taken_listed_and_summed_up(billing, balance_id):
    kind = billing.create_transaction_type({"name": "Top-up", "code": "TOP_UP"})
    assert billing.list_transaction_types() == [kind]
    paid = billing.create_transaction(
        balance_id,
        {
            "amount": Decimal("200.123456789"),
            "transactionTypeId": kind.id,
            "description": "Top-up ref:1",
            "paid": Decimal("160.50"),
            "currencyPaid": "GBP",
            "appliedDate": "2026-01-01T00:00:00Z",
            "transactionDate": "2026-01-01T00:00:00Z",
        },
    )
    spent = billing.create_transaction(balance_id, {"amount": Decimal("-20.1")})
    assert (paid.amount, paid.paid, paid.currency_paid) == (Decimal("200.123456789"), Decimal("160.50"), "GBP")
    assert list(billing.list_transactions(balance_id)) == [spent, paid]
    assert list(billing.list_transactions(balance_id, transaction_type_id=kind.id)) == [paid]
    assert list(billing.list_transactions(balance_id, entity_type="BILL", entity_id="none")) == []
    summary = billing.transaction_summary(balance_id)
    assert (summary.total_credit, summary.total_debit) == (Decimal("200.123456789"), Decimal("20.1"))
    assert billing.get_balance(balance_id).amount == Decimal("180.023456789")


def test_more_transactions_than_a_page_holds_are_all_found(box, billing, balance_id):
    made = [box.m3ter.add_transaction(balance_id, 1)["id"] for _ in range(201)]
    with recorded_calls() as calls:
        assert [row.id for row in billing.list_transactions(balance_id)] == made[::-1]
    assert [call.operation for call in calls].count("balances.transactions.list") == 2


def test_a_transaction_schedule_is_previewed_created_found_changed_and_deleted(box, billing, balance_id, type_id):
    fields = {**TRANSACTION_SCHEDULE, "transactionTypeId": type_id}
    preview = billing.preview_transaction_schedule(balance_id, fields, limit=10)
    assert [(row.amount, row.applied) for row in preview.rows] == [(Decimal("200.10"), at) for at in (JAN, FEB, MAR)]
    assert preview.more is False
    assert box.m3ter.transaction_schedules == {}
    created = billing.create_transaction_schedule(balance_id, fields)
    assert (created.balance_id, created.next_run, created.previous_run) == (balance_id, JAN, None)
    run = billing.get_transaction_schedule(balance_id, created.id)
    assert (run.next_run, run.previous_run) == (FEB, JAN)
    assert [row.amount for row in billing.list_transactions(balance_id, entity_type="SCHEDULER")] == [Decimal("200.10")]
    changed = billing.update_transaction_schedule(balance_id, created.id, {"amount": 50})
    assert (changed.amount, changed.code, changed.next_run) == (Decimal(50), "monthly", FEB)
    assert billing.list_transaction_schedules(balance_id) == [changed]
    billing.delete_transaction_schedule(balance_id, created.id)
    assert billing.list_transaction_schedules(balance_id) == []
    assert len(list(billing.list_transactions(balance_id))) == 1


def test_a_charge_schedule_is_previewed_created_found_changed_and_deleted(box, billing, balance_id):
    preview = billing.preview_charge_schedule(balance_id, CHARGE_SCHEDULE, limit=10)
    assert [(row.currency, row.units, row.unit_price, row.bill_date) for row in preview.rows] == [
        ("GBP", Decimal(4), Decimal("12.55"), date(2026, month, 1)) for month in (2, 3, 4)
    ]
    assert [(row.start, row.end) for row in preview.rows] == [(JAN, FEB), (FEB, MAR), (MAR, APR)]
    assert preview.more is False
    assert box.m3ter.charge_schedules == {}
    created = billing.create_charge_schedule(balance_id, CHARGE_SCHEDULE)
    assert (created.balance_id, created.next_run, created.in_advance) == (balance_id, FEB, False)
    assert billing.get_charge_schedule(balance_id, created.id) == created
    box.advance(to=FEB)
    [made] = billing.list_charges(schedule_id=created.id)
    assert (made.schedule_id, made.entity_id, made.units, made.bill_date) == (created.id, balance_id, 4, FEB_1)
    changed = billing.update_charge_schedule(
        balance_id, created.id, {"amount": 60, "units": None, "unitPrice": None, "billEpoch": "2026-01-01"}
    )
    assert (changed.amount, changed.units, changed.bill_epoch) == (Decimal(60), None, date(2026, 1, 1))
    assert (changed.previous_run, changed.next_run) == (FEB, MAR)
    assert billing.list_charge_schedules(balance_id) == [changed]
    billing.delete_charge_schedule(balance_id, created.id)
    assert billing.list_charge_schedules(balance_id) == []
    assert list(billing.list_charges(schedule_id=created.id)) == [made]


def test_a_long_preview_is_read_to_its_bound(billing, balance_id, type_id):
    daily = {"transactionTypeId": type_id, "frequency": "DAILY", "endDate": "2027-01-01T00:00:00Z"}
    fields = {**TRANSACTION_SCHEDULE, **daily}
    year = billing.preview_transaction_schedule(balance_id, fields, limit=365)
    assert ([row.applied for row in year.rows[-1:]], len(year.rows), year.more) == (
        [datetime(2026, 12, 31, tzinfo=UTC)],
        365,
        False,
    )
    most = billing.preview_transaction_schedule(balance_id, fields, limit=250)
    assert (most.rows, most.more) == (year.rows[:250], True)
    assert billing.preview_transaction_schedule(balance_id, fields, limit=12).rows == year.rows[:12]


def test_a_preview_of_one_object_says_so(box, billing, balance_id, type_id):
    box.m3ter.settings.single_object_previews = True
    transactions = billing.preview_transaction_schedule(
        balance_id, {**TRANSACTION_SCHEDULE, "transactionTypeId": type_id}, limit=5
    )
    charges = billing.preview_charge_schedule(balance_id, CHARGE_SCHEDULE, limit=5)
    assert [row.applied for row in transactions.rows] == [JAN]
    assert [row.bill_date for row in charges.rows] == [FEB_1]
    assert (transactions.more, charges.more) == (None, None)


def test_a_charge_is_created_found_changed_billed_and_deleted(box, client, billing, account_id, balance_id):
    created = billing.create_charge(charge(account_id, notes="ref:1"))
    with pytest.raises(Rejected, match="setup"):
        billing.create_charge(charge(account_id))
    fee = billing.create_charge(
        charge(account_id, code="fee", entityType="BALANCE", entityId=balance_id, lineItemType="BALANCE_FEE")
    )
    assert billing.get_charge(created.id) == created
    assert list(billing.list_charges(account_id=account_id)) == [fee, created]
    assert list(billing.list_charges(entity_type="BALANCE", entity_id=balance_id)) == [fee]
    assert list(billing.list_charges(bill_date=FEB_1)) == [fee, created]
    assert list(billing.list_charges(bill_date=date(2026, 3, 1))) == []
    changed = billing.update_charge(created.id, {"amount": None, "units": 4, "unitPrice": Decimal("12.505")})
    assert (changed.version, changed.amount, changed.unit_price, changed.notes) == (2, None, Decimal("12.505"), "ref:1")
    box.advance(to=FEB)
    job = billing.create_bill_job({"accountIds": [account_id], "billDate": "2026-02-01"})
    done = billing.get_bill_job(job.id)
    assert (job.ended, done.ended, done.status, done.type) == (False, True, "COMPLETE", "CREATE")
    [bill] = client.bills_on(account_id, FEB_1)
    assert done.bill_ids == (bill.id,)
    assert (bill.status, bill.total) == ("PENDING", Decimal("90.07"))
    assert {(line.type, line.charge_id, line.subtotal) for line in bill.lines} == {
        ("AD_HOC", created.id, Decimal("50.02")),
        ("BALANCE_FEE", fee.id, Decimal("40.05")),
    }
    assert billing.get_charge(fee.id).bill_id == bill.id
    # What m3ter worked out is not sent back, and not lost either.
    assert billing.update_charge(fee.id, {"notes": "seen"}).bill_id == bill.id
    box.m3ter.approve(bill.id)
    assert [one.status for one in client.bills_on(account_id, FEB_1)] == ["APPROVED"]
    assert client.bills_on(account_id, date(2026, 3, 1)) == []
    billing.delete_charge(created.id)
    billing.delete_charge(created.id)
    assert list(billing.list_charges(account_id=account_id)) == [billing.get_charge(fee.id)]


def test_a_running_bill_job_is_listed_and_cancelled(box, billing, account_id):
    box.m3ter.settings.bill_job_seconds = 60
    fields = {
        "accountIds": [account_id],
        "billDate": "2026-01-01",
        "dueDate": "2026-01-15",
        "targetCurrency": "EUR",
        "currencyConversions": [{"from": "USD", "to": "EUR", "multiplier": Decimal("0.9123456789")}],
    }
    job = billing.create_bill_job(fields)
    assert (job.target_currency, job.bill_date, job.account_ids) == ("EUR", date(2026, 1, 1), (account_id,))
    assert box.m3ter.bill_jobs[job.id]["currencyConversions"] == fields["currencyConversions"]
    assert [one.id for one in billing.list_bill_jobs(active=True)] == [job.id]
    assert billing.cancel_bill_job(job.id).status == "CANCELLED"
    assert list(billing.list_bill_jobs(active=True)) == []
    assert [one.id for one in billing.list_bill_jobs(status="CANCELLED")] == [job.id]
    for _ in range(10):
        billing.create_bill_job(fields)
    with pytest.raises(Retryable):
        billing.create_bill_job(fields)
    assert len(list(billing.list_bill_jobs())) == 11


def test_currencies_and_rates_are_those_of_the_organization(box, billing):
    box.m3ter.create("currencies", {"name": "Credits", "code": "CREDITS", "maxDecimalPlaces": 0, "roundingMode": "UP"})
    rates = [{"from": "GBP", "to": "USD", "multiplier": Decimal("1.25")}]
    box.m3ter.update_config({**box.m3ter.config, "currencyConversions": rates, "timezone": "Europe/Berlin"})
    [credits] = [one for one in billing.list_currencies() if one.code == "CREDITS"]
    assert (credits.max_decimal_places, credits.rounding_mode, credits.archived) == (0, "UP", False)
    assert {one.code for one in billing.list_currencies()} == {"USD", "EUR", "GBP", "JPY", "CREDITS"}
    config = billing.organization_config()
    assert (config.currency, config.timezone, config.week_epoch) == ("USD", "Europe/Berlin", date(2022, 1, 4))
    assert [(rate.source, rate.target, rate.multiplier) for rate in config.conversions] == [
        ("GBP", "USD", Decimal("1.25"))
    ]


def test_a_change_that_another_overtook_is_merged_with_it(box, billing, balance_id, monkeypatch):
    read = billing._api.get

    def read_then_be_overtaken(*where: str) -> Any:
        raw = read(*where)
        if box.m3ter.balances[balance_id]["version"] == 1:
            box.m3ter.update("balances", balance_id, {**box.m3ter.balances[balance_id], "description": "theirs"})
        return raw

    monkeypatch.setattr(billing._api, "get", read_then_be_overtaken)
    changed = billing.update_balance(balance_id, {"name": "ours"})
    assert (changed.version, changed.name, changed.description) == (3, "ours", "theirs")


def test_a_transaction_whose_answer_was_cut_off_is_made_once(box, billing, balance_id):
    box.faults.order("m3ter", "create_balance_transaction", "cut")
    with pytest.raises(Uncertain):
        billing.create_transaction(balance_id, {"amount": 200, "description": "ref:1"})
    assert [row.description for row in billing.list_transactions(balance_id)] == ["ref:1"]


@pytest.mark.parametrize(("status", "kind"), [(403, AccessRefused), (404, NotFound)])
def test_an_organization_without_balance_billing_is_told_whom_to_ask(box, billing, account_id, status, kind):
    for operation in ("list_balances", "create_charge"):
        box.faults.order("m3ter", operation, "status", count=2, status=status)
    for call in (lambda: billing.list_balances(account_id), lambda: billing.create_charge(charge(account_id))):
        with pytest.raises(kind, match="m3ter may have to switch it on"):
            call()
    assert box.m3ter.charges == {}
