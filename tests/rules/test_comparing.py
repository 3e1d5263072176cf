"""A plan beside what somebody else has put on the invoice: whatever there is, every charge of both sides is accounted for."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from connector.bills.comparing import DIFFERS, EQUAL, SAME_SUMS, Item, compare
from tests.builders import FEB, JAN, SUBSCRIPTION

ITEMS = st.builds(
    Item,
    subscription_id=st.just(SUBSCRIPTION),
    name=st.sampled_from(["calls", "fee"]),
    minor=st.integers(1, 3),
    start=st.just(JAN),
    end=st.sampled_from([FEB, FEB - timedelta(days=9)]),
)


@given(planned=st.lists(ITEMS, max_size=6), order=st.randoms(use_true_random=False))
def test_the_same_charges_in_any_order_are_equal(planned, order):
    found = list(planned)
    order.shuffle(found)
    result = compare(planned, found)
    assert (result.verdict, result.differences, len(result.alike)) == (EQUAL, (), len(planned))


@given(planned=st.lists(ITEMS, max_size=6), found=st.lists(ITEMS, max_size=6), others=st.lists(ITEMS, max_size=3))
def test_every_charge_of_both_sides_is_alike_or_in_one_difference(planned, found, others):
    result = compare(planned, found, others)
    wanted = sum(one.wanted or 0 for one in result.differences)
    stands = sum(one.found or 0 for one in result.differences)
    alike = sum(one.minor for one in result.alike)
    assert (result.wanted_minor, result.found_minor) == (alike + wanted, alike + stands)
    assert len(result.alike) + sum(one.wanted is not None for one in result.differences) == len(planned)
    if result.verdict != DIFFERS:
        assert result.wanted_minor == result.found_minor
    assert (result.verdict == EQUAL) == (not result.differences)


def test_a_day_is_the_same_at_any_hour_and_another_day_is_not():
    planned = [Item(SUBSCRIPTION, "calls", 100, JAN, FEB)]
    hours, day = timedelta(hours=14), timedelta(days=1)
    assert compare(planned, [Item(None, "calls", 100, JAN + hours, FEB - hours)]).verdict == EQUAL
    assert compare(planned, [Item(SUBSCRIPTION, "calls", 100, JAN + day, FEB)]).verdict == DIFFERS
    assert compare(planned, [Item("sub_2", "calls", 100, JAN, FEB)]).verdict == DIFFERS


def test_other_lines_with_the_same_sum_for_the_same_days_are_not_called_a_difference():
    planned = [Item(SUBSCRIPTION, "calls", 100, JAN, FEB), Item(SUBSCRIPTION, "calls", 50, JAN, FEB)]
    hours = timedelta(hours=2)
    assert compare(planned, [Item(SUBSCRIPTION, "calls", 150, JAN + hours, FEB)]).verdict == SAME_SUMS
    assert compare(planned, [Item(SUBSCRIPTION, "calls", 149, JAN, FEB)]).verdict == DIFFERS
    assert compare(planned, [Item(SUBSCRIPTION, "fee", 150, JAN, FEB)]).verdict == DIFFERS
