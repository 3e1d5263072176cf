"""Balance Billing through m3ter's official SDK, checking every answer against m3ter's published types."""

import m3ter
import pytest
from m3ter import M3ter

from connector.sandbox import Sandbox

JAN, FEB, APR, YEAR_END = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", "2026-04-01T00:00:00Z", "2027-01-01T00:00:00Z"


def test_transaction_types_are_kept_on_a_picklist(m3ter_sdk: M3ter):
    created = m3ter_sdk.transaction_types.create(name="Top-up", code="TOP_UP")
    assert m3ter_sdk.transaction_types.retrieve(created.id) == created
    assert [found.id for found in m3ter_sdk.transaction_types.list(codes=["TOP_UP"])] == [created.id]
    changed = m3ter_sdk.transaction_types.update(created.id, name="Top-up", code="TOP_UP", archived=True, version=1)
    assert (changed.version, changed.archived) == (2, True)
    assert [found.id for found in m3ter_sdk.transaction_types.list(archived=True)] == [created.id]
    m3ter_sdk.transaction_types.delete(created.id)
    assert m3ter_sdk.transaction_types.list().data == []


def test_a_balance_is_created_filled_read_and_changed(metered: dict[str, str], m3ter_sdk: M3ter):
    """With the top-up of m3ter.md §12.3: 200 USD of credit, for which 160 GBP were paid."""
    balance = m3ter_sdk.balances.create(
        account_id=metered["account"],
        code="prepaid",
        name="Prepaid",
        currency="USD",
        start_date=JAN,
        end_date=YEAR_END,
        rollover_amount=30,
        rollover_end_date="2027-02-01T00:00:00Z",
        overage_surcharge_percent=10,
        product_ids=[metered["product"]],
        line_item_types=["USAGE"],
        custom_fields={"tier": "gold"},
    )
    assert (balance.version, balance.amount) == (1, 0)
    kind = m3ter_sdk.transaction_types.create(name="Top-up", code="TOP_UP")
    paid = m3ter_sdk.balances.transactions.create(
        balance.id,
        amount=200,
        transaction_type_id=kind.id,
        description="Top-up PO-77 ref:cbtx_901",
        paid=160,
        currency_paid="GBP",
        applied_date=JAN,
        transaction_date=JAN,
    )
    assert (paid.amount, paid.paid, paid.currency_paid, paid.entity_type) == (200, 160, "GBP", "SERVICE_USER")
    spent = m3ter_sdk.balances.transactions.create(balance.id, amount=-20)
    assert [row.id for row in m3ter_sdk.balances.transactions.list(balance.id, page_size=1)] == [spent.id, paid.id]
    typed = m3ter_sdk.balances.transactions.list(balance.id, transaction_type_id=kind.id, entity_type="SERVICE_USER")
    assert [row.id for row in typed] == [paid.id]
    summary = m3ter_sdk.balances.transactions.summary(balance.id)
    assert (summary.total_credit_amount, summary.total_debit_amount, summary.initial_credit_amount) == (200, 20, 200)
    assert m3ter_sdk.balances.retrieve(balance.id).amount == 180
    assert [found.id for found in m3ter_sdk.balances.list(account_id=metered["account"])] == [balance.id]
    changed = m3ter_sdk.balances.update(
        balance.id,
        account_id=metered["account"],
        code="prepaid",
        name="Prepaid 2",
        currency="USD",
        start_date=JAN,
        end_date=YEAR_END,
        version=1,
    )
    assert (changed.name, changed.amount, changed.custom_fields) == ("Prepaid 2", 180, None)


def test_an_empty_balance_is_deleted(box: Sandbox, metered: dict[str, str], m3ter_sdk: M3ter):
    balance = m3ter_sdk.balances.create(
        account_id=metered["account"], code="x", name="X", currency="USD", start_date=JAN, end_date=YEAR_END
    )
    m3ter_sdk.balances.delete(balance.id)
    with pytest.raises(m3ter.NotFoundError):
        m3ter_sdk.balances.transactions.summary(balance.id)


def test_a_bill_shows_what_a_balance_paid(box: Sandbox, metered: dict[str, str], m3ter_sdk: M3ter):
    balance = m3ter_sdk.balances.create(
        account_id=metered["account"], code="x", name="X", currency="USD", start_date=JAN, end_date=YEAR_END,
        overage_surcharge_percent=10,
    )  # fmt: skip
    m3ter_sdk.balances.transactions.create(balance.id, amount=15, applied_date=JAN)
    usage = {
        "uid": "u",
        "meter": "api_calls",
        "account": "acme",
        "ts": "2026-01-10T12:00:00Z",
        "measure": {"calls": 2000},
    }
    m3ter_sdk.usage.submit(measurements=[usage])
    m3ter_sdk.bill_jobs.create(account_ids=[metered["account"]], bill_date="2026-02-01")
    [bill] = m3ter_sdk.bills.list(include_bill_total=True)
    assert bill.line_items is not None
    assert [(line.line_item_type, line.subtotal) for line in bill.line_items] == [
        ("USAGE", 20),
        ("BALANCE_CONSUMED", -15),
        ("OVERAGE_SURCHARGE", 0.5),
    ]
    assert bill.bill_total == 5.5
    drawn = m3ter_sdk.balances.transactions.list(balance.id, entity_type="BILL", entity_id=bill.id)
    assert [row.amount for row in drawn] == [-15]


def test_transaction_schedules_are_kept(box: Sandbox, metered: dict[str, str], m3ter_sdk: M3ter):
    kind = box.m3ter.create_transaction_type("TOP_UP")
    balance = m3ter_sdk.balances.create(
        account_id=metered["account"], code="x", name="X", currency="USD", start_date=JAN, end_date=YEAR_END
    )
    terms = {
        "name": "Monthly", "code": "monthly", "amount": 200, "frequency": "MONTHLY", "frequency_interval": 1,
        "start_date": JAN, "end_date": APR, "transaction_description": "Top-up", "transaction_type_id": kind["id"],
    }  # fmt: skip
    created = m3ter_sdk.balances.transaction_schedules.create(balance.id, **terms)
    assert (str(created.next_run), created.previous_run) == ("2026-01-01 00:00:00+00:00", None)
    run = m3ter_sdk.balances.transaction_schedules.retrieve(created.id, balance_id=balance.id)
    assert (str(run.previous_run), str(run.next_run)) == ("2026-01-01 00:00:00+00:00", "2026-02-01 00:00:00+00:00")
    assert [row.entity_type for row in m3ter_sdk.balances.transactions.list(balance.id)] == ["SCHEDULER"]
    changed = m3ter_sdk.balances.transaction_schedules.update(
        created.id, balance_id=balance.id, **{**terms, "amount": 50}, version=run.version
    )
    assert changed.amount == 50
    assert [found.id for found in m3ter_sdk.balances.transaction_schedules.list(balance.id, ids=[created.id])] == [
        created.id
    ]
    m3ter_sdk.balances.transaction_schedules.delete(created.id, balance_id=balance.id)
    assert m3ter_sdk.balances.transaction_schedules.list(balance.id).data == []


def test_charge_schedules_are_kept(box: Sandbox, metered: dict[str, str], m3ter_sdk: M3ter):
    balance = m3ter_sdk.balances.create(
        account_id=metered["account"], code="x", name="X", currency="USD", start_date=JAN, end_date=YEAR_END
    )
    terms = {
        "name": "Monthly", "code": "monthly", "currency": "GBP", "amount": 160, "bill_frequency": "MONTHLY",
        "bill_frequency_interval": 1, "bill_in_advance": True, "charge_description": "Top-up",
        "service_period_start_date": JAN, "service_period_end_date": APR, "bill_epoch": "2026-01-01",
    }  # fmt: skip
    created = m3ter_sdk.balances.charge_schedules.create(balance.id, **terms)
    assert (str(created.next_run), created.balance_id) == ("2026-01-01 00:00:00+00:00", balance.id)
    [charge] = m3ter_sdk.charges.list(schedule_id=created.id)
    assert (charge.amount, charge.currency, str(charge.bill_date)) == (160, "GBP", "2026-01-01")
    changed = m3ter_sdk.balances.charge_schedules.update(
        created.id, balance_id=balance.id, **{**terms, "amount": 50}, version=1
    )
    assert (changed.amount, str(changed.previous_run)) == (50, "2026-01-01 00:00:00+00:00")
    assert m3ter_sdk.balances.charge_schedules.retrieve(created.id, balance_id=balance.id).amount == 50
    assert [found.id for found in m3ter_sdk.balances.charge_schedules.list(balance.id)] == [created.id]
    m3ter_sdk.balances.charge_schedules.delete(created.id, balance_id=balance.id)
    assert [found.id for found in m3ter_sdk.charges.list()] == [charge.id]


def test_a_charge_is_created_changed_billed_and_deleted(box: Sandbox, metered: dict[str, str], m3ter_sdk: M3ter):
    terms = {
        "name": "Setup", "code": "setup", "account_id": metered["account"], "currency": "USD", "entity_type": "AD_HOC",
        "line_item_type": "AD_HOC", "bill_date": "2026-02-01", "service_period_start_date": JAN,
        "service_period_end_date": FEB, "notes": "internal",
    }  # fmt: skip
    created = m3ter_sdk.charges.create(**terms, amount=40)
    assert (created.version, created.amount, created.bill_id) == (1, 40, None)
    with pytest.raises(m3ter.BadRequestError, match="setup"):
        m3ter_sdk.charges.create(**terms, amount=40)
    changed = m3ter_sdk.charges.update(created.id, **terms, units=4, unit_price=12.5, version=1)
    assert (changed.amount, changed.units, changed.unit_price) == (None, 4, 12.5)
    m3ter_sdk.bill_jobs.create(account_ids=[metered["account"]], bill_date="2026-02-01", billing_frequency="AD_HOC")
    [bill] = m3ter_sdk.bills.list(billing_frequency="AD_HOC")
    assert bill.line_items is not None
    [line] = bill.line_items
    assert (line.line_item_type, line.subtotal, line.charge_id) == ("AD_HOC", 50, created.id)
    assert m3ter_sdk.charges.retrieve(created.id).bill_id == bill.id
    assert [found.id for found in m3ter_sdk.charges.list(bill_date="2026-02-01", entity_type="AD_HOC")] == [created.id]
    m3ter_sdk.charges.delete(created.id)
    assert m3ter_sdk.charges.list(account_id=metered["account"]).data == []


def test_a_preview_is_a_page_which_the_sdk_takes_for_one_schedule(metered: dict[str, str], m3ter_sdk: M3ter):
    """The contradiction of m3ter.md §12.6: the rows are all there, and in the way of none of the SDK's types."""
    kind = m3ter_sdk.transaction_types.create(name="Top-up", code="TOP_UP")
    balance = m3ter_sdk.balances.create(
        account_id=metered["account"], code="x", name="X", currency="USD", start_date=JAN, end_date=YEAR_END
    )
    with pytest.raises(m3ter.APIResponseValidationError) as transactions:
        m3ter_sdk.balances.transaction_schedules.preview(
            balance.id, name="Monthly", code="monthly", amount=200, frequency="MONTHLY", frequency_interval=1,
            start_date=JAN, end_date=APR, transaction_description="Top-up", transaction_type_id=kind.id,
        )  # fmt: skip
    rows = transactions.value.response.json()["data"]
    assert [(row["amount"], row["appliedDate"][:10]) for row in rows] == [
        (200, "2026-01-01"),
        (200, "2026-02-01"),
        (200, "2026-03-01"),
    ]
    with pytest.raises(m3ter.APIResponseValidationError) as charges:
        m3ter_sdk.balances.charge_schedules.preview(
            balance.id, name="Monthly", code="monthly", currency="GBP", amount=160, bill_frequency="MONTHLY",
            bill_frequency_interval=1, bill_in_advance=False, charge_description="Top-up",
            service_period_start_date=JAN, service_period_end_date=APR, page_size=2,
        )  # fmt: skip
    page = charges.value.response.json()
    assert [(row["currency"], row["billDate"]) for row in page["data"]] == [
        ("GBP", "2026-02-01"),
        ("GBP", "2026-03-01"),
    ]
    assert page["nextToken"]
    assert m3ter_sdk.balances.transaction_schedules.list(balance.id).data == []
    assert m3ter_sdk.balances.charge_schedules.list(balance.id).data == []
