"""Whether what stands in m3ter is what was asked for: nothing where all is well, and every single thing that is not."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.balances import drafts, top_ups
from connector.balances.drafts import (
    CHARGE,
    CHARGE_SCHEDULE,
    NUMBERS,
    TRANSACTION,
    TRANSACTION_SCHEDULE,
    Draft,
    as_sent,
    as_stored,
    located,
)  # fmt: skip
from connector.balances.drift import Finding, There, findings
from connector.balances.making import MARK, differences, reference_in
from connector.balances.top_ups import Price
from connector.clients.m3ter_balance_objects import Balance, Charge, ChargeSchedule, Transaction, TransactionSchedule
from connector.errors import BadInput
from connector.models import BalanceRequest

JAN, FEB, DEC = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 12))
YEAR_END = datetime(2027, 1, 1, tzinfo=UTC)
ACCOUNT, BALANCE, TYPE = (str(UUID(int=number)) for number in (1, 2, 3))
PREPAID = Balance.from_json(
    {"id": BALANCE, "version": 1, "accountId": ACCOUNT, "code": "prepaid", "name": "Prepaid", "currency": "EUR",
     "startDate": "2026-01-01T00:00:00Z", "endDate": "2027-01-01T00:00:00Z", "amount": 0}
)  # fmt: skip
# Where There keeps each kind, and how m3ter's answer becomes one.
PLACES: dict[str, tuple[str, Any]] = {
    TRANSACTION: ("transactions", Transaction),
    CHARGE: ("charges", Charge),
    TRANSACTION_SCHEDULE: ("transaction_schedules", TransactionSchedule),
    CHARGE_SCHEDULE: ("charge_schedules", ChargeSchedule),
}
World = tuple[list[BalanceRequest], There]

any_number = st.builds(
    lambda digits, places: Decimal(digits).scaleb(places), st.integers(-(10**20), 10**20), st.integers(-12, 12)
)
amounts = st.integers(1, 10**9).map(lambda minor: Decimal(minor).scaleb(-2))
prices = st.builds(Price, amounts, st.sampled_from(["EUR", "USD"]))
asks = st.one_of(
    st.tuples(st.just("ad hoc"), amounts, st.none() | prices),
    st.tuples(st.just("scheduled"), amounts, st.none() | prices),
    st.tuples(st.just("refund"), amounts, st.none()),
)


def drafted(number: int, kind: str, amount: Decimal, price: Price | None) -> list[tuple[Draft, str | None]]:
    """What one thing that a person asks for comes to, each with what pays for it."""
    reference = f"PO-{number}"
    if kind == "refund":
        made = drafts.transaction(balance_id=BALANCE, reference=reference, amount=-amount, type_id=TYPE)
        return [(located(made, PREPAID), None)]
    if kind == "ad hoc":
        pair = top_ups.ad_hoc(
            PREPAID, reference=reference, credit=amount, price=price, type_id=TYPE, applied=JAN, bill_date=date(2026, 2, 1)
        )  # fmt: skip
    else:
        pair = top_ups.scheduled(
            PREPAID, reference=reference, credit=amount, price=price, type_id=TYPE, start=FEB, end=DEC,
            first_day=date(2026, 2, 1), frequency="MONTHLY",
        )  # fmt: skip
    if pair.charge is None:
        return [(pair.credit, "free")]
    return [(pair.charge, None), (pair.credit, "charge")]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """All that was asked for on one balance, done, and just that in m3ter, with what its bills and schedules made."""
    rows: list[BalanceRequest] = []
    for number, (kind, amount, price) in enumerate(draw(st.lists(asks, min_size=1, max_size=4))):
        for draft, paid_by in drafted(number, kind, amount, price):
            rows.append(
                BalanceRequest(
                    id=len(rows), connection="default", kind=draft.kind, reference=draft.reference, account_id=ACCOUNT,
                    balance_id=BALANCE, amount=draft.amount, currency=draft.currency, body=as_stored(draft.body),
                    paid_by=paid_by, status="done", m3ter_id=str(UUID(int=100 + len(rows))),
                )
            )  # fmt: skip
    there = There([bill_drew(1)], [], [], [])
    for row in rows:
        there = with_one_more(there, row.kind, standing(row))
    for schedule in there.charge_schedules:
        there = with_one_more(there, CHARGE, run_of(schedule))
    return rows, there


def standing(row: BalanceRequest, **difference: Any) -> Any:
    """What m3ter has of it."""
    body = as_sent(row.body)
    if row.kind == TRANSACTION:
        body |= {"entityType": "SERVICE_USER", "description": f"{body.get('description', '')} {MARK}{row.reference}"}
    return PLACES[row.kind][1].from_json({**body, "id": row.m3ter_id, "version": 1, "balanceId": BALANCE, **difference})


def bill_drew(amount: int) -> Transaction:
    drawn = {"id": str(UUID(int=50)), "amount": -amount, "entityType": "BILL", "description": "Balance consumed"}
    return Transaction.from_json(drawn)


def run_of(schedule: ChargeSchedule) -> Charge:
    made = {
        **schedule.raw, "id": str(UUID(int=1000 + int(UUID(schedule.id)))), "code": f"{schedule.code}-2026-02-01",
        "accountId": ACCOUNT, "entityType": "BALANCE", "entityId": BALANCE, "lineItemType": "BALANCE_FEE",
        "scheduleId": schedule.id,
    }  # fmt: skip
    return Charge.from_json(made)


def with_one_more(there: There, kind: str, one: Any) -> There:
    name = PLACES[kind][0]
    return replace(there, **{name: [*getattr(there, name), one]})


def without(there: There, row: BalanceRequest) -> There:
    name = PLACES[row.kind][0]
    return replace(there, **{name: [one for one in getattr(there, name) if one.id != row.m3ter_id]})


def codes(found: Sequence[Finding]) -> list[str]:
    return sorted(one.code for one in found)


def is_pair_of(row: BalanceRequest, rows: Sequence[BalanceRequest]) -> bool:
    return any(one.paid_by == "charge" and one.reference == row.reference for one in rows)


@given(worlds())
def test_nothing_is_found_where_all_is_as_it_was_asked_for(world: World) -> None:
    rows, there = world
    assert findings(PREPAID, rows, there) == []


@settings(max_examples=40)
@given(worlds(), st.data())
def test_what_is_gone_is_found_and_the_half_that_is_left_of_a_pair(world: World, data: st.DataObject) -> None:
    rows, there = world
    row = data.draw(st.sampled_from(rows))
    found = findings(PREPAID, rows, without(there, row))
    assert {one.code for one in found if row.reference in one.text} >= {"missing"}
    if is_pair_of(row, rows):
        half = "charge_without_credit" if row.paid_by else "credit_without_charge"
        assert half in codes(found)
    assert set(codes(found)) <= {"missing", "charge_without_credit", "credit_without_charge", "unknown_charge"}


@settings(max_examples=40)
@given(worlds(), st.data())
def test_another_amount_is_found(world: World, data: st.DataObject) -> None:
    rows, there = world
    row = data.draw(st.sampled_from(rows))
    other = as_sent(row.body)["amount"] + data.draw(amounts)
    changed = with_one_more(without(there, row), row.kind, standing(row, amount=other))
    [finding] = findings(PREPAID, rows, changed)
    assert (finding.code, row.reference in finding.text, "amount" in finding.text) == ("changed", True, True)


@settings(max_examples=40)
@given(worlds(), st.data())
def test_a_reference_that_stands_twice_is_found(world: World, data: st.DataObject) -> None:
    rows, there = world
    credits = [row for row in rows if row.kind == TRANSACTION]
    if not credits:
        return
    row = data.draw(st.sampled_from(credits))
    doubled = with_one_more(there, TRANSACTION, standing(row, id=str(UUID(int=99))))
    [finding] = findings(PREPAID, rows, doubled)
    assert (finding.code, finding.text.endswith(f" {row.reference}")) == ("credited_twice", True)


@settings(max_examples=40)
@given(worlds(), st.data())
def test_what_nobody_asked_for_is_found(world: World, data: st.DataObject) -> None:
    rows, there = world
    row = data.draw(st.sampled_from(rows))
    others = [one for one in rows if one is not row]
    found = codes(findings(PREPAID, others, there))
    expected = {TRANSACTION: ["unknown_transaction"], CHARGE: ["unknown_charge"]}.get(row.kind, [])
    lost = ["credit_without_charge"] if is_pair_of(row, others) else []
    assert found == sorted([*expected, *lost])


@settings(max_examples=40)
@given(worlds(), st.data())
def test_a_half_that_was_withdrawn_after_the_other_was_made_is_found(world: World, data: st.DataObject) -> None:
    rows, there = world
    halves = [row for row in rows if is_pair_of(row, rows)]
    if not halves:
        return
    row = data.draw(st.sampled_from(halves))
    row.status, row.m3ter_id, gone = "withdrawn", None, without(there, row)
    half = "charge_without_credit" if row.paid_by else "credit_without_charge"
    assert half in codes(findings(PREPAID, rows, gone))


# What is kept, sent and compared


@given(st.dictionaries(st.sampled_from(sorted(NUMBERS)), any_number))
def test_a_number_is_kept_and_sent_digit_for_digit(body: dict[str, Decimal]) -> None:
    sent = as_sent(as_stored(body))
    assert sent == body
    assert all(format(sent[name], "f") == format(body[name], "f") for name in body)
    assert differences(as_stored(body), body) == []


@given(any_number, any_number)
def test_numbers_are_equal_by_their_value_and_by_nothing_else(one: Decimal, other: Decimal) -> None:
    assert differences(as_stored({"amount": one}), {"amount": other}) == ([] if one == other else ["amount"])


@pytest.mark.parametrize(
    ("wanted", "there", "same"),
    [
        pytest.param(JAN, "2026-01-01T01:00:00+01:00", True, id="one moment, written in two ways"),
        pytest.param(JAN, "2026-01-01T00:00:00.000Z", True, id="with fractions of a second"),
        pytest.param(JAN, "2026-01-01T00:00:01Z", False, id="a second later"),
        pytest.param(JAN, "soon", False, id="no moment at all"),
        pytest.param(JAN, None, False, id="nothing"),
        pytest.param(["b", "a"], ["a", "b"], True, id="a list in another order"),
        pytest.param(["a"], ["a", "b"], False, id="a longer list"),
        pytest.param(False, None, True, id="what is not set may be left out"),
        pytest.param(True, None, False, id="what is set may not"),
        pytest.param(1, Decimal("1.0"), True, id="a whole number"),
        pytest.param("prepaid", "Prepaid", False, id="another text"),
    ],
)
def test_what_is_there_is_compared_with_what_was_asked_for(wanted: Any, there: Any, same: bool) -> None:
    assert differences(as_stored({"field": wanted}), {} if there is None else {"field": there}) == (
        [] if same else ["field"]
    )


@pytest.mark.parametrize(
    ("description", "reference"),
    [
        pytest.param("Top-up ref:PO-77", "PO-77", id="after what a person says"),
        pytest.param("customer's ref:4711 ref:PO-77", "PO-77", id="the last, for a person may say one too"),
        pytest.param("ref:PO-77", "PO-77", id="alone"),
        pytest.param("prefer:PO-77", "", id="no word of its own"),
        pytest.param(None, "", id="no description"),
    ],
)
def test_the_reference_in_a_description(description: str | None, reference: str) -> None:
    assert reference_in(description) == reference


@pytest.mark.parametrize("value", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_refused(value: str) -> None:
    with pytest.raises(BadInput, match=r"is not a finite number: give an amount"):
        drafts.transaction(balance_id=BALANCE, reference="PO-77", amount=Decimal(value), type_id=TYPE)
    with pytest.raises(BadInput, match=r"is not a finite number: give an amount"):
        drafts.charge(
            account_id=ACCOUNT, balance_id=None, code="PO-77", name="Setup", currency="EUR", start=JAN, end=YEAR_END,
            bill_date=date(2026, 2, 1), units=Decimal(1), unit_price=Decimal(value),
        )  # fmt: skip
