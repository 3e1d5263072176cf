"""What a balance holds, and when it runs out: worked by hand."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.balances import forecast as forecasts
from connector.balances import held
from connector.balances.forecast import Credit, forecast
from connector.clients.m3ter_balance_objects import Balance, BalanceSummary, Transaction

YEAR = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2027, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def balance(**fields: Any) -> Balance:
    """A balance in dollars that holds for 2026."""
    made = Balance.from_json(
        {"id": "b", "version": 1, "accountId": "a", "code": "prepaid", "name": "Prepaid", "currency": "USD",
         "startDate": "2026-01-01T00:00:00Z", "endDate": "2027-01-01T00:00:00Z"}
    )  # fmt: skip
    return replace(made, **fields)


def booked(amount: str, day: datetime, by: str = "USER", **fields: Any) -> Transaction:
    made = Transaction.from_json({"id": f"{amount}@{day}", "amount": Decimal(amount), "entityType": by})
    return replace(made, **({"applied": day, "transaction_date": day} | fields))


def moved(number: int, amount: Decimal, day: datetime, by: str = "USER") -> Transaction:
    """One of many."""
    return replace(booked("1", day, by), amount=amount, id=str(number))


def drawn(amount: str, day: datetime, **fields: Any) -> Transaction:
    return booked(f"-{amount}", day, "BILL", **fields)


def feb(day: int) -> datetime:
    return datetime(2026, 2, day, tzinfo=UTC)


ROLLOVER = {"rollover_end": END + 90 * DAY}
YEARS_MOVES = (booked("100", YEAR), drawn("30", feb(1)), booked("-10", feb(10)), booked("25.5", END + DAY))


@pytest.mark.parametrize(
    ("life", "at", "expected", "expired"),
    [
        pytest.param({}, YEAR - DAY, "0", "0", id="nothing before the first credit"),
        pytest.param({}, YEAR, "100", "0", id="a credit is there from its very moment"),
        pytest.param({}, feb(1), "70", "0", id="a bill draws"),
        pytest.param({}, END - DAY, "60", "0", id="a debit lowers"),
        pytest.param({}, END, "0", "60", id="what is unused expires at the end, which is exclusive"),
        pytest.param(ROLLOVER, END, "60", "0", id="a rollover without an amount carries all over"),
        pytest.param(ROLLOVER | {"rollover_amount": Decimal(20)}, END, "20", "40", id="a rollover carries its amount"),
        pytest.param(ROLLOVER | {"rollover_amount": Decimal(80)}, END, "60", "0", id="and never more than there is"),
        pytest.param(ROLLOVER, END + DAY, "85.5", "0", id="a credit in the rollover counts in full"),
        pytest.param(ROLLOVER, END + 90 * DAY, "0", "85.5", id="the rest expires at the rollover's end"),
    ],
)
def test_what_a_balance_holds(life: dict[str, Any], at: datetime, expected: str, expired: str) -> None:
    stands = held.standing(balance(**life), YEARS_MOVES, at)
    assert (stands.held, stands.expired) == (Decimal(expected), Decimal(expired))


def test_what_counts_from_the_very_end_is_none_of_what_expires_then() -> None:
    life = balance(**ROLLOVER, rollover_amount=Decimal(20))
    stands = held.standing(life, [booked("100", YEAR), booked("5", END)], END)
    assert (stands.held, stands.expired) == (25, 80)


def test_the_longest_amounts_expire_to_the_last_digit() -> None:
    stands = held.standing(balance(), [booked("123456789012345678.123456789012", YEAR)], END)
    assert stands.expired == Decimal("123456789012345678.123456789012")


def test_what_came_in_and_went_out_is_told_apart() -> None:
    stands = held.standing(balance(), YEARS_MOVES, feb(20))
    assert (stands.credited, stands.debited, stands.consumed) == (Decimal(100), Decimal(40), Decimal(30))


def test_a_debt_is_held_as_such_and_not_carried_over() -> None:
    moves = [booked("10", YEAR), drawn("25", feb(1))]
    assert held.standing(balance(**ROLLOVER), moves, feb(2)).held == Decimal(-15)
    assert held.standing(balance(**ROLLOVER), moves, END).held == 0


def test_a_transaction_without_an_applied_date_counts_from_when_it_was_made() -> None:
    one = booked("10", YEAR, applied=None, transaction_date=None, created=feb(3))
    assert [held.standing(balance(), [one], day).held for day in (feb(2), feb(3))] == [0, 10]
    undated = replace(one, created=None)
    assert held.standing(balance(), [undated], YEAR).held == 10


def test_a_summary_that_adds_up_to_something_else_is_said() -> None:
    told = BalanceSummary(Decimal(100), Decimal(41), None, None, None, None)
    moves = YEARS_MOVES[:3]
    assert held.disagreements(balance(), moves, told) == [
        "the debits add up to 40.00 USD, m3ter's summary says 41.00 USD"
    ]
    assert held.disagreements(balance(), moves, replace(told, total_debit=Decimal(-40))) == []
    assert held.disagreements(balance(), moves, replace(told, total_debit=None)) == []


def test_debits_may_or_may_not_hold_what_bills_drew() -> None:
    moves = YEARS_MOVES[:3]
    for debit in (Decimal(40), Decimal(10)):
        told = BalanceSummary(Decimal(100), debit, None, None, None, Decimal(30))
        assert held.disagreements(balance(), moves, told) == []


amounts = st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-(10**17), max_value=10**17)
moments = st.integers(0, 500 * 24).map(lambda hours: YEAR + timedelta(hours=hours))
lists = st.lists(st.tuples(amounts, moments), max_size=12)
lives = st.sampled_from([{}, ROLLOVER, ROLLOVER | {"rollover_amount": Decimal(20)}])


@given(lists, moments, lives, st.randoms(use_true_random=False))
def test_what_is_held_never_depends_on_the_order(
    moves: list[tuple[Decimal, datetime]], at: datetime, life: dict[str, Any], chance: random.Random
) -> None:
    rows = [moved(number, *one) for number, one in enumerate(moves)]
    shuffled = chance.sample(rows, len(rows))
    assert held.standing(balance(**life), rows, at) == held.standing(balance(**life), shuffled, at)


@given(lists, moments, lives)
def test_what_came_in_is_held_or_went_out_or_has_expired(
    moves: list[tuple[Decimal, datetime]], at: datetime, life: dict[str, Any]
) -> None:
    rows = [moved(number, amount.copy_abs(), day) for number, (amount, day) in enumerate(moves)]
    stands = held.standing(balance(**life), rows, at)
    assert stands.credited == held.money.total((stands.held, stands.debited, stands.expired))


# Worked by hand. 1000 are credited on 1 January. Bills draw 310 on 1 February, 280 on 1 March and 217 on 1 April, so
# 193 are left. The first bill only marks where the time that is known begins: 280 are for 28 days, 217 for 31 days.
# That is 497 in 59 days, 8.4237… a day; on 11 April ten more days have gone, 84.237… are used and not yet drawn, and
# 108.762… are left, which lasts 12.911… days: until 23 April. Thirty days take 252.711…, rounded up 252.72.
APRIL = datetime(2026, 4, 11, tzinfo=UTC)
BILLS = (
    drawn("310", feb(1)),
    drawn("280", datetime(2026, 3, 1, tzinfo=UTC)),
    drawn("217", datetime(2026, 4, 1, tzinfo=UTC)),
)
MOVES = (booked("1000", YEAR), *BILLS)
LEFT = Decimal(193)


def test_the_worked_example() -> None:
    told = forecast(balance(), MOVES, LEFT, APRIL)
    assert (told.daily, told.used, told.suggested) == (Decimal("8.4237"), Decimal("84.24"), Decimal("252.72"))
    assert told.runs_out is not None
    assert (told.runs_out.date().isoformat(), told.runs_out.hour) == ("2026-04-23", 21)
    assert told.path == ((APRIL, Decimal("108.76")), (told.runs_out, Decimal("0.00")))


def test_a_credit_that_comes_in_time_is_counted_and_one_that_comes_too_late_is_not() -> None:
    base = forecast(balance(), MOVES, LEFT, APRIL)
    assert base.runs_out is not None
    in_time = forecast(balance(), MOVES, LEFT, APRIL, coming=[Credit(base.runs_out - DAY, Decimal(497))])
    assert in_time.runs_out is not None
    assert in_time.runs_out - base.runs_out == 59 * DAY  # 497 last 59 days
    too_late = forecast(balance(), MOVES, LEFT, APRIL, coming=[Credit(base.runs_out + DAY, Decimal(497))])
    assert too_late.runs_out == base.runs_out


def test_a_balance_that_ends_first_does_not_run_out() -> None:
    ends = APRIL + 10 * DAY
    told = forecast(balance(end=ends), MOVES, LEFT, APRIL)
    assert (told.runs_out, told.looked_until) == (None, ends)
    # 193 - 20 days at 8.4237… is what expires; ten days' credit is all that can still be used.
    assert told.path[-1] == (ends, Decimal("24.53"))
    assert told.suggested == Decimal("84.24")


def test_what_a_rollover_does_not_carry_cannot_be_drawn_any_more() -> None:
    # 108.76 on the 11th, less 42.12 in five days is 66.64; 16.8475 of it live on, which last two days.
    ends = APRIL + 5 * DAY
    carried = {"end": ends, "rollover_end": ends + 90 * DAY}
    told = forecast(balance(**carried, rollover_amount=Decimal("16.8475")), MOVES, LEFT, APRIL)
    assert told.runs_out is not None
    assert (told.runs_out - ends).days in (1, 2)
    assert told.runs_out - ends > timedelta(days=1, hours=23)
    everything = forecast(balance(**carried), MOVES, LEFT, APRIL)
    assert everything.runs_out == forecast(balance(), MOVES, LEFT, APRIL).runs_out


@pytest.mark.parametrize("moves", [MOVES[:1], MOVES[:2]], ids=["no bill", "one bill"])
def test_too_little_history_says_nothing_but_what_is_short(moves: tuple[Transaction, ...]) -> None:
    told = forecast(balance(), moves, Decimal(690), APRIL, shortfall=Decimal("10.001"))
    assert (told.daily, told.runs_out, told.path, told.suggested) == (None, None, (), Decimal("10.01"))
    assert forecast(balance(), moves, Decimal(690), APRIL).suggested is None
    assert forecast(balance(), moves, Decimal(0), APRIL).runs_out == APRIL


def test_the_suggestion_is_never_less_than_what_is_short() -> None:
    assert forecast(balance(), MOVES, LEFT, APRIL, shortfall=Decimal(300)).suggested == Decimal("300.00")


def test_yen_are_rounded_up_to_whole_ones() -> None:
    assert forecast(balance(currency="JPY"), MOVES, LEFT, APRIL).suggested == Decimal(253)


def test_only_the_last_days_count() -> None:
    # Of the 31 days before 1 April the last 20 lie within thirty days of the 11th: 217 in 31 days is 7 a day.
    told = forecast(balance(), MOVES, LEFT, APRIL, history_days=30)
    assert told.daily == Decimal("7.0000")


def test_a_bill_of_several_draws_is_one_point() -> None:
    halves = [*MOVES[:2], drawn("100", feb(1), id="other")]
    assert forecast(balance(), halves, LEFT, APRIL).daily is None


def test_a_draw_that_is_dated_at_the_start_of_its_time_counts_when_it_was_booked() -> None:
    dated = [replace(one, applied=(one.applied or YEAR) - 28 * DAY) for one in BILLS]
    assert forecast(balance(), dated, LEFT, APRIL) == forecast(balance(), BILLS, LEFT, APRIL)


def test_a_balance_that_is_no_longer_drawn_on_is_not_taken_to_be_used_up() -> None:
    # Nothing since 1 April; beyond 31 days the time counts as such in which nothing was drawn: on 1 June these are 30 days.
    june = datetime(2026, 6, 1, tzinfo=UTC)
    told = forecast(balance(), MOVES, LEFT, june, history_days=365)
    assert told.daily == Decimal("5.5843")  # 497 in 59 + 30 days
    assert told.used == Decimal("173.11")  # 31 days of that


def test_a_bill_that_was_taken_back_leaves_nothing_to_forecast() -> None:
    back = [*BILLS, booked("217", datetime(2026, 4, 1, tzinfo=UTC), "BILL", id="back")]
    assert forecast(balance(), back, LEFT, APRIL).daily is not None
    every = [*BILLS[:1], *(booked(str(-one.amount), one.applied or YEAR, "BILL", id=f"-{one.id}") for one in BILLS)]
    assert forecast(balance(), every, LEFT, APRIL).daily is None


def test_bills_of_later_are_not_known_yet() -> None:
    assert forecast(balance(), MOVES, LEFT, datetime(2026, 2, 20, tzinfo=UTC)).daily is None


def test_an_ended_balance_has_no_future() -> None:
    told = forecast(balance(end=APRIL), MOVES, Decimal(0), APRIL, shortfall=Decimal(50))
    assert (told.runs_out, told.suggested, told.path) == (None, None, ())


@given(lists, moments, lives, st.lists(st.tuples(moments, amounts.map(Decimal.copy_abs)), max_size=4))
def test_no_balance_runs_out_after_it_has_ended_or_before_now(
    moves: list[tuple[Decimal, datetime]], at: datetime, life: dict[str, Any], credits: list[tuple[datetime, Decimal]]
) -> None:
    rows = [moved(number, *one, by="BILL") for number, one in enumerate(moves)]
    told = forecast(balance(**life), rows, Decimal(100), at, coming=[Credit(*one) for one in credits])
    assert told.looked_until <= min(at + forecasts.HORIZON, held.last_moment(balance(**life)))
    if told.runs_out is not None:
        assert at <= told.runs_out <= told.looked_until
    assert [day for day, _ in told.path] == sorted(day for day, _ in told.path)
    assert all(value >= 0 for _, value in told.path)
