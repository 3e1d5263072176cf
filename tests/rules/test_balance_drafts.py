"""What is wrong with what Balance Billing is asked for, as a person is told: every fault at once, and how to mend it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connector.balances import bill_jobs, drafts, previews, top_ups, transaction_types, typed
from connector.balances.drafts import Draft
from connector.balances.top_ups import Price
from connector.clients.m3ter_balance_objects import (
    Balance,
    Charge,
    Conversion,
    OrganizationConfig,
    Preview,
    ScheduledRow,
)
from connector.errors import BadInput

ID, TYPE = "0" * 8 + "-0000-0000-0000-" + "0" * 12, "1" * 8 + "-0000-0000-0000-" + "0" * 12
JAN, FEB, MARCH = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3))


def balance(**fields: Any) -> Draft:
    good = {"account_id": ID, "code": "prepaid", "name": "Prepaid", "currency": "USD", "start": JAN, "end": MARCH}
    return drafts.balance(**{**good, **fields})


def transaction(**fields: Any) -> Draft:
    return drafts.transaction(
        **{"balance_id": ID, "reference": "PO-77", "amount": Decimal(200), "type_id": TYPE, **fields}
    )


def transaction_schedule(**fields: Any) -> Draft:
    good = {
        "balance_id": ID, "code": "monthly", "name": "Monthly", "amount": Decimal(100), "type_id": TYPE,
        "description": "Top-up", "start": JAN, "end": MARCH, "frequency": "MONTHLY",
    }  # fmt: skip
    return drafts.transaction_schedule(**{**good, **fields})


def charge(**fields: Any) -> Draft:
    good = {
        "account_id": None, "balance_id": ID, "code": "PO-77", "name": "Top-up", "currency": "EUR", "start": JAN,
        "end": MARCH, "bill_date": date(2026, 1, 1), "amount": Decimal(160),
    }  # fmt: skip
    return drafts.charge(**{**good, **fields})


def charge_schedule(**fields: Any) -> Draft:
    good = {
        "balance_id": ID, "code": "monthly", "name": "Monthly", "currency": "EUR", "start": JAN, "end": MARCH,
        "frequency": "MONTHLY", "description": "Top-up", "in_advance": True, "amount": Decimal(80),
    }  # fmt: skip
    return drafts.charge_schedule(**{**good, **fields})


UNITS = {"units": Decimal(2), "unit_price": Decimal(80)}


@pytest.mark.parametrize(
    ("build", "fields", "sentence"),
    [
        pytest.param(balance, {"end": None}, "give its end", id="balance without its end"),
        pytest.param(balance, {"end": JAN}, "is not after its start", id="balance that ends as it starts"),
        pytest.param(balance, {"end": JAN - timedelta(days=1)}, "move one of them", id="balance that ends before it starts"),
        pytest.param(
            balance, {"rollover_amount": Decimal(5)}, "a rollover amount needs the end of the rollover",
            id="rollover amount without its end",
        ),
        pytest.param(balance, {"rollover_end": FEB}, "has to end after the balance itself", id="rollover that ends early"),
        pytest.param(
            balance, {"rollover_end": MARCH + timedelta(days=1), "rollover_amount": Decimal(-1)}, "cannot be below zero",
            id="negative rollover",
        ),
        pytest.param(balance, {"currency": "eur"}, "'eur' is not a currency that can be invoiced", id="odd currency"),
        pytest.param(balance, {"code": "two words"}, "cannot be a code", id="code of two words"),
        pytest.param(balance, {"account_id": "acme"}, "is not an id of m3ter's", id="id that is none"),
        pytest.param(
            balance, {"line_item_types": ["BALANCE_FEE"]}, "BALANCE_FEE cannot be paid out of a balance",
            id="line that cannot draw",
        ),
        pytest.param(balance, {"draw_down_description": "x" * 201}, "has 201 characters", id="text too long"),
        pytest.param(transaction, {"amount": Decimal(0)}, "changes nothing", id="transaction of nothing"),
        pytest.param(transaction, {"reference": "PO 77"}, "'PO 77' cannot be a reference", id="reference of two words"),
        pytest.param(transaction, {"reference": ""}, "cannot be a reference", id="empty reference"),
        pytest.param(transaction, {"reference": "x" * 81}, "up to 80 letters", id="reference too long"),
        pytest.param(transaction, {"paid": Decimal(5)}, "give both or neither", id="paid without its currency"),
        pytest.param(transaction_schedule, {"amount": Decimal(-1)}, "cannot book debits", id="negative transaction schedule"),
        pytest.param(transaction_schedule, {"amount": Decimal(0)}, "changes nothing", id="transaction schedule of nothing"),
        pytest.param(transaction_schedule, {"end": None}, "a schedule needs its end", id="transaction schedule without end"),
        pytest.param(transaction_schedule, {"end": JAN}, "is not after its start", id="transaction schedule ends early"),
        pytest.param(transaction_schedule, {"frequency": "HOURLY"}, "choose from DAILY", id="unknown frequency"),
        pytest.param(transaction_schedule, {"every": 0}, "not every 0", id="interval of none"),
        pytest.param(transaction_schedule, {"every": 366}, "not every 366", id="interval too long"),
        pytest.param(charge, UNITS, "exclude each other", id="both amount and units"),
        pytest.param(charge, {"amount": None}, "give an amount, or both the units", id="neither amount nor units"),
        pytest.param(charge, {"amount": None, "units": Decimal(2)}, "and the price of one", id="units without price"),
        pytest.param(charge, {"end": None}, "a charge needs the end of its service period", id="charge without end"),
        pytest.param(charge, {"end": JAN}, "is not after its start", id="service period that ends early"),
        pytest.param(charge, {"bill_date": None}, "never reaches a bill", id="charge without bill date"),
        pytest.param(charge, {"amount": Decimal("1.005")}, "EUR has 2 decimals", id="a part of a cent"),
        pytest.param(charge, {"currency": "JPY", "amount": Decimal("1.5")}, "JPY has 0 decimals", id="a part of a yen"),
        pytest.param(charge, {"account_id": ID}, "give one of the two", id="charge on balance and account"),
        pytest.param(charge, {"balance_id": None}, "give one of the two", id="charge on nothing"),
        pytest.param(charge_schedule, {"amount": Decimal(-80)}, "cannot make credits", id="negative charge schedule"),
        pytest.param(
            charge_schedule, {"amount": None, "units": Decimal(-2), "unit_price": Decimal(1)}, "cannot make credits",
            id="charge schedule of negative units",
        ),
        pytest.param(charge_schedule, UNITS, "exclude each other", id="charge schedule of amount and units"),
        pytest.param(charge_schedule, {"end": None}, "a schedule needs its end", id="charge schedule without end"),
        pytest.param(charge_schedule, {"end": JAN}, "is not after its start", id="charge schedule ends early"),
        pytest.param(charge_schedule, {"description": " "}, "stands on the bill line", id="charge without text"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_a_sentence(build: Callable[..., Draft], fields: dict[str, Any], sentence: str):
    build()
    with pytest.raises(BadInput) as refused:
        build(**fields)
    assert sentence in str(refused.value)


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(BadInput) as refused:
        charge(currency="euro", end=JAN, bill_date=None, **UNITS)
    assert str(refused.value).count("; ") == 3


PREPAID = Balance.from_json(
    {
        "id": ID, "version": 1, "accountId": ID, "code": "prepaid", "name": "Prepaid", "currency": "USD",
        "startDate": "2026-01-01T00:00:00Z", "endDate": "2026-03-01T00:00:00Z",
    }
)  # fmt: skip


def ad_hoc(**fields: Any) -> top_ups.TopUp:
    good: dict[str, Any] = {
        "reference": "PO-77", "credit": Decimal(200), "price": Price(), "type_id": TYPE, "applied": FEB,
        "bill_date": date(2026, 2, 1),
    }  # fmt: skip
    return top_ups.ad_hoc(PREPAID, **{**good, **fields})


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        pytest.param(
            {"price": Price(currency="EUR")}, "give the price, nothing is converted", id="other currency, no price"
        ),
        pytest.param({"credit": Decimal(0)}, "a top-up adds credit", id="no credit"),
        pytest.param({"credit": Decimal(-5)}, "a top-up adds credit", id="negative credit"),
        pytest.param({"price": Price(Decimal(0))}, "is a free one: say so", id="price of nothing"),
        pytest.param({"applied": MARCH}, "is outside of that", id="credit after the balance's end"),
    ],
)
def test_a_top_up_that_cannot_be_is_refused(fields: dict[str, Any], sentence: str):
    with pytest.raises(BadInput) as refused:
        ad_hoc(**fields)
    assert sentence in str(refused.value)


def test_both_halves_of_a_top_up_say_what_was_paid():
    pair = ad_hoc(price=Price(Decimal(160), "EUR"))
    assert pair.charge is not None
    assert (pair.credit.amount, pair.credit.currency, pair.credit.body["paid"]) == (Decimal(200), "USD", Decimal(160))
    assert (pair.charge.amount, pair.charge.currency, pair.charge.account_id) == (Decimal(160), "EUR", ID)
    assert (pair.charge.body["servicePeriodStartDate"], pair.charge.body["servicePeriodEndDate"]) == (FEB, MARCH)


def test_a_currency_that_m3ter_does_not_have_is_refused():
    drafts.must_be_known(["EUR", "USD"], "EUR", None)
    with pytest.raises(
        BadInput, match="does not have the currency CHF: add it to the organization, or use one of EUR, USD"
    ):
        drafts.must_be_known(["USD", "EUR"], "CHF", "USD")


@pytest.mark.parametrize("text", ["1.000,50", "1,5", "1_000", "1e3", "٣", "", "NaN", "0x1", "1.", ".5", "1 000"])
def test_an_amount_is_never_guessed(text: str):
    with pytest.raises(BadInput, match=r"is not a number: write it like 1250\.50"):
        typed.amount(text)


@pytest.mark.parametrize(("text", "amount"), [("1250.50", "1250.50"), ("-5", "-5"), (" 0.001 ", "0.001"), ("+7", "7")])
def test_an_amount_is_read_digit_for_digit(text: str, amount: str):
    assert str(typed.amount(text)) == amount


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        pytest.param("2026-03-29", "2026-03-28T23:00:00+00:00", id="the day before summer time"),
        pytest.param("2026-03-30", "2026-03-29T22:00:00+00:00", id="the first whole day of it"),
        pytest.param("2026-03-01T09:30:00+01:00", "2026-03-01T08:30:00+00:00", id="a time with its offset"),
        pytest.param("2026-03-01T09:30:00Z", "2026-03-01T09:30:00+00:00", id="a time in UTC"),
    ],
)
def test_a_day_begins_in_the_organizations_zone(text: str, moment: str):
    assert typed.moment(text, BERLIN).isoformat() == moment


@pytest.mark.parametrize("text", ["2026-03-01T09:30:00", "tomorrow", "2026-13-01", "01.03.2026", ""])
def test_a_time_without_its_offset_is_refused(text: str):
    with pytest.raises(BadInput, match="is neither a day like 2026-03-01 nor a time with its offset"):
        typed.moment(text, BERLIN)


def test_a_moment_is_shown_as_the_day_that_it_begins():
    assert typed.shown(datetime(2026, 3, 28, 23, tzinfo=UTC), BERLIN) == "2026-03-29"
    assert typed.shown(datetime(2026, 3, 29, tzinfo=UTC), BERLIN) == "2026-03-29 01:00+01:00"
    assert typed.shown(None, BERLIN) == ""


@pytest.mark.parametrize("code", ["top-up", "top up", "1st", "", "x" * 81])
def test_a_transaction_type_has_a_code_that_m3ter_takes(code: str):
    with pytest.raises(BadInput, match="use up to 80 letters, digits and underscores"):
        transaction_types.wanted(code)


def row(**fields: Any) -> ScheduledRow:
    nothing = dict.fromkeys(ScheduledRow.__dataclass_fields__)
    return ScheduledRow(**{**nothing, **fields})


def located(draft: Draft) -> Draft:
    return drafts.located(draft, PREPAID)


def test_a_preview_is_added_up_in_the_currency_of_its_rows():
    rows = (
        row(units=Decimal(3), unit_price=Decimal("26.665"), currency="EUR"),
        row(amount=Decimal("0.01"), currency="EUR"),
    )
    found = previews.read(located(charge_schedule()), Preview(rows, more=True))
    assert (str(found.total), found.currency, found.more) == ("80.005", "EUR", True)
    credits = previews.read(located(transaction_schedule()), Preview((row(amount=Decimal(100)),), more=None))
    assert (credits.rows[0].currency, credits.more) == ("USD", None)


def test_a_schedule_that_would_make_nothing_is_refused():
    with pytest.raises(BadInput, match="would make nothing"):
        previews.read(located(charge_schedule()), Preview((), more=False))
    assert previews.read(located(charge_schedule()), Preview((), more=None)).rows == ()


def test_a_credit_without_its_charge_stands_alone_in_the_preview_of_a_pair():
    one = previews.read(located(transaction_schedule()), Preview((row(amount=Decimal(1)),) * 2, more=False)).rows
    assert [(a is None, b is None) for a, b in previews.side_by_side(one, one[:1])] == [(False, False), (False, True)]


CONFIG = OrganizationConfig(
    "USD", "UTC", (Conversion("GBP", "USD", Decimal("1.25")),), *(date(2026, 1, 1) for _ in range(4))
)
CHARGE = Charge.from_json(
    {
        "id": ID, "version": 1, "code": "PO-77", "name": "x", "accountId": ID, "entityType": "AD_HOC",
        "lineItemType": "AD_HOC", "currency": "EUR", "amount": 1, "servicePeriodStartDate": "2026-01-01T00:00:00Z",
        "servicePeriodEndDate": "2026-02-01T00:00:00Z", "billDate": "2026-01-01",
    }
)  # fmt: skip


@pytest.mark.parametrize(
    ("currency", "causes"),
    [
        ("EUR", ["no conversion rate from EUR"]),
        ("GBP", ["the rates from GBP may lack the one"]),
        ("USD", ["run it once more", "run it with --with-plans"]),
    ],
)
def test_a_charge_that_is_on_no_bill_has_a_likely_cause(currency: str, causes: list[str]):
    said = bill_jobs.likely_causes([], [replace(CHARGE, currency=currency)], CONFIG)
    assert [cause in sentence for cause, sentence in zip(causes, said, strict=True)] == [True] * len(causes)


def test_an_account_without_a_charge_has_no_bill_for_another_reason():
    assert "no charge has this bill date" in bill_jobs.likely_causes([], [], CONFIG)[0]
