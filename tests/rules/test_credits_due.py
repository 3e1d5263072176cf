"""How much credit is due for a sold top-up: gross or net, after any refunds, rounded once."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.balances.due import GROSS, NET, Due, Terms, credits_due, what_is_left
from connector.clients.chargebee_objects import CreditLine, Invoice, InvoiceCredit, InvoiceLine, LineDiscount
from tests.builders import invoice, invoice_line

TOP_UP, OTHER = "li_top_up", "li_other"
ONE_TO_ONE = Terms(Decimal(1), NET, 2)


def line(line_id: str = TOP_UP, amount: int = 10_000, discount: int = 0) -> InvoiceLine:
    return invoice_line(id=line_id, amount=amount, discount_amount=discount, entity_type="charge_item_price")


def paid(*lines: InvoiceLine, **difference: Any) -> Invoice:
    return invoice(lines=lines, **{"id": "7", "status": "paid"} | difference)


def note(*lines: tuple[str | None, int], **difference: Any) -> InvoiceCredit:
    total = sum(amount for _, amount in lines)
    return InvoiceCredit(
        **{
            "id": "CN-1", "type": "refundable", "status": "refunded", "total": total, "sub_total": total,
            "lines": tuple(CreditLine(*one) for one in lines), "lines_complete": True,
        }
        | difference
    )  # fmt: skip


def due(one: Invoice, notes: Sequence[InvoiceCredit] = (), terms: Terms = ONE_TO_ONE, unit: int = 2) -> Due:
    [found] = credits_due(one, notes, {TOP_UP: terms}, unit)
    return found


def credit(one: Invoice, notes: Sequence[InvoiceCredit] = (), terms: Terms = ONE_TO_ONE, unit: int = 2) -> str:
    return str(due(one, notes, terms, unit).credit)


PROMOTIONAL = (LineDiscount(TOP_UP, "promotional_credits", 3_000),)
COUPON = (LineDiscount(TOP_UP, "document_level_coupon", 1_000),)


@pytest.mark.parametrize(
    ("one", "gross", "net"),
    [
        pytest.param(paid(line()), "100.00", "100.00", id="no discount"),
        pytest.param(paid(line(discount=1_000)), "100.00", "90.00", id="a discount"),
        pytest.param(paid(line(discount=1_000), line_discounts=COUPON), "100.00", "90.00", id="a discount by line"),
        pytest.param(
            paid(line(discount=3_000), line_discounts=PROMOTIONAL, promotional=True),
            "100.00", "100.00", id="promotional credits pay",
        ),
        pytest.param(
            paid(line(), line_discounts=PROMOTIONAL, promotional=True),
            "100.00", "100.00", id="promotional credits that the line's own sum leaves out",
        ),
        pytest.param(
            paid(line(discount=4_000), line_discounts=PROMOTIONAL + COUPON, promotional=True),
            "100.00", "90.00", id="both",
        ),
        pytest.param(
            paid(line(discount=1_000), line_discounts=PROMOTIONAL + COUPON, promotional=True),
            "100.00", "90.00", id="both, where the line's own sum has the discount only",
        ),
        pytest.param(paid(line(discount=10_000)), "100.00", "0.00", id="nothing to pay"),
        *(
            pytest.param(paid(line(), status=status), "0.00", "0.00", id=status)
            for status in ("payment_due", "posted", "not_paid", "voided", "pending")
        ),
        pytest.param(paid(line(), deleted=True), "0.00", "0.00", id="deleted"),
        pytest.param(paid(line(OTHER)), "0.00", "0.00", id="not on the invoice"),
        pytest.param(paid(line(amount=-500)), "0.00", "0.00", id="below zero"),
    ],
)  # fmt: skip
def test_gross_is_the_price_and_net_what_was_paid(one: Invoice, gross: str, net: str) -> None:
    assert credit(one, terms=Terms(Decimal(1), GROSS, 2)) == gross
    assert credit(one) == net


def test_what_may_be_a_discount_or_a_payment_is_said_to_be_unclear() -> None:
    found = due(paid(line(discount=3_000), promotional=True))
    assert "3000 taken off" in (found.unclear or "")
    assert due(paid(line(discount=2_999), line_discounts=PROMOTIONAL, promotional=True)).unclear


@pytest.mark.parametrize(
    ("notes", "left"),
    [
        pytest.param([note((TOP_UP, 4_000))], "60.00", id="names the line"),
        pytest.param([note((OTHER, 4_000))], "100.00", id="names another"),
        pytest.param([note((None, 5_000))], "74.87", id="names none: in proportion"),
        pytest.param([note(total=5_000, sub_total=5_000)], "74.87", id="a total alone"),
        pytest.param([note(total=6_000, sub_total=5_000)], "74.87", id="a total with tax"),
        pytest.param([note(("li_of_another_invoice", 5_000))], "74.87", id="names a line that is not there"),
        pytest.param([note((TOP_UP, 4_000), status="voided")], "100.00", id="void"),
        pytest.param([note((TOP_UP, 4_000), status="refund_due")], "60.00", id="to be paid back"),
        pytest.param([note((TOP_UP, 4_000), type="adjustment", status="adjusted")], "60.00", id="an adjustment"),
        pytest.param([note((TOP_UP, 4_000)), note((TOP_UP, 6_000))], "0.00", id="all, in two"),
        pytest.param([note((TOP_UP, 14_000))], "0.00", id="more than all"),
        pytest.param([note((None, 99_000))], "0.00", id="more than the invoice"),
    ],
)
def test_credit_notes_take_away(notes: list[InvoiceCredit], left: str) -> None:
    one = paid(line(), line(OTHER, 9_900))
    assert credit(one, notes) == left
    assert credit(one, list(reversed(notes))) == left


def test_an_adjustment_that_no_credit_note_shows_counts_all_the_same() -> None:
    adjustment = note((TOP_UP, 4_000), type="adjustment", status="adjusted", total=4_760)
    assert credit(paid(line(), adjusted=4_760), [adjustment]) == "60.00"
    assert credit(paid(line(), adjusted=5_000)) == "50.00"


def test_of_a_gross_credit_as_large_a_part_is_left_as_of_what_was_paid() -> None:
    half_price = paid(line(discount=5_000))
    gross = Terms(Decimal(1), GROSS, 2)
    assert credit(half_price, [note((TOP_UP, 1_000))], gross) == "80.00"
    assert credit(half_price, [note((TOP_UP, 5_000))], gross) == "0.00"


@pytest.mark.parametrize(
    ("terms", "unit", "expected"),
    [
        pytest.param(Terms(Decimal("1.25"), NET, 2), 2, "125.00", id="bonus"),
        pytest.param(Terms(Decimal("0.00333"), NET, 2), 2, "0.33", id="rounded"),
        pytest.param(Terms(Decimal("0.00025"), NET, 2), 2, "0.02", id="half goes to the even"),
        pytest.param(Terms(Decimal("0.00035"), NET, 2), 2, "0.04", id="half goes to the even, upwards"),
        pytest.param(Terms(Decimal("160.4"), NET, 0), 2, "16040", id="to a currency without decimals"),
        pytest.param(Terms(Decimal("0.0062"), NET, 2), 0, "62.00", id="of a currency without decimals"),
        pytest.param(Terms(Decimal("0.333333"), NET, 5), 2, "33.33330", id="five decimals"),
    ],
)
def test_credit_is_the_money_times_the_rate_rounded_once(terms: Terms, unit: int, expected: str) -> None:
    assert credit(paid(line()), terms=terms, unit=unit) == expected


def test_the_money_behind_it_is_what_was_paid_also_for_gross_credit() -> None:
    assert due(paid(line(discount=2_500)), terms=Terms(Decimal(2), GROSS, 2)).paid_minor == 7_500


amounts = st.integers(0, 10**9)
line_ids = st.sampled_from([TOP_UP, OTHER, "li_third"])
credit_lines = st.lists(st.tuples(st.none() | line_ids | st.just("li_strange"), amounts), max_size=4)
credit_notes = st.lists(
    st.builds(
        lambda lines, total, kind, status: note(*lines, type=kind, status=status, sub_total=total),
        credit_lines, amounts, st.sampled_from(["refundable", "adjustment", "store"]),
        st.sampled_from(["refunded", "refund_due", "adjusted", "voided"]),
    ),
    max_size=6,
)  # fmt: skip
worths = st.dictionaries(line_ids, amounts, min_size=1)


@given(worths, credit_notes, amounts)
def test_what_is_left_is_never_below_zero_nor_above_what_it_was(
    worth: dict[str, int], notes: list[InvoiceCredit], adjusted: int
) -> None:
    left = what_is_left(worth, notes, adjusted)
    assert left.keys() == worth.keys()
    assert all(0 <= left[one] <= worth[one] for one in worth)


@given(worths, credit_notes, st.randoms(use_true_random=False))
def test_the_order_of_credit_notes_does_not_matter(
    worth: dict[str, int], notes: list[InvoiceCredit], chance: Any
) -> None:
    shuffled = list(notes)
    chance.shuffle(shuffled)
    assert what_is_left(worth, shuffled) == what_is_left(dict(reversed(worth.items())), notes)


@given(worths, st.lists(amounts, max_size=5))
def test_totals_alone_take_just_as_much_as_they_say(worth: dict[str, int], totals: list[int]) -> None:
    left = what_is_left(worth, [note(total=one, sub_total=one) for one in totals])
    assert sum(worth.values()) - sum(left.values()) == min(sum(totals), sum(worth.values()))


@given(
    amounts, amounts, st.lists(st.tuples(st.none() | st.just(TOP_UP), amounts), max_size=6),
    st.decimals(Decimal("0.0001"), Decimal(1000), places=4), st.sampled_from([GROSS, NET]), st.integers(0, 5),
)  # fmt: skip
def test_the_transactions_of_any_refunds_add_up_to_what_is_due_and_never_above_it(
    price: int, discount: int, refunds: list[tuple[str | None, int]], rate: Decimal, basis: str, decimals: int
) -> None:
    one = paid(line(amount=price, discount=min(discount, price)), line(OTHER, 5_000))
    terms = Terms(rate, basis, decimals)
    notes: list[InvoiceCredit] = []
    whole = due(one, (), terms).credit
    credited = Decimal(0)
    transactions = [whole]
    credited += whole
    for refund in refunds:
        notes.append(note(refund))
        change = due(one, notes, terms).credit - credited
        assert change <= 0
        credited += change
        transactions.append(change)
    assert sum(transactions) == due(one, notes, terms).credit
    assert 0 <= credited <= whole
    money = Fraction(price if basis == GROSS else price - min(discount, price), 100)
    assert abs(Fraction(whole) - money * Fraction(rate)) * 2 <= Fraction(1, 10**decimals)
