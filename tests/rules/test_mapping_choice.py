"""Which m3ter plan an item price means, for whom and when."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.mappings.kinds import ANY
from connector.mappings.plans import PlanChoice, PlanChoices
from connector.models import ALWAYS
from tests.builders import APR, FEB, JAN, JUN, MAR, MAY

PRICE = "pro-USD-monthly"
NONE = "nobody has said"


def choice(plan_id="pro", customer_id=ANY, valid_from=ALWAYS, valid_until=None):
    return PlanChoice(plan_id, customer_id, valid_from, valid_until)


def choices(*found):
    return PlanChoices({PRICE: found})


@pytest.mark.parametrize(
    ("found", "pieces"),
    [
        pytest.param([], [], id="nothing is said"),
        pytest.param([choice()], [("pro", JAN, MAY)], id="one for everybody"),
        pytest.param([choice(None)], [(None, JAN, MAY)], id="not metered"),
        pytest.param([choice("own", "acme")], [("own", JAN, MAY)], id="one for this customer"),
        pytest.param([choice("own", "other")], [], id="one for another customer"),
        pytest.param([choice(), choice("own", "acme")], [("own", JAN, MAY)], id="this customer's goes first"),
        pytest.param([choice("own", "acme"), choice(valid_from=FEB)], [("own", JAN, MAY)],
                     id="also where the one for everybody is newer"),
        pytest.param([choice(), choice(None, "acme")], [(None, JAN, MAY)], id="not metered for this customer"),
        pytest.param([choice(), choice("new", valid_from=MAR)], [("pro", JAN, MAR), ("new", MAR, MAY)],
                     id="the newer one counts from its day on"),
        pytest.param([choice("new", valid_from=MAR), choice()], [("pro", JAN, MAR), ("new", MAR, MAY)],
                     id="in whatever order they stand"),
        pytest.param([choice(), choice("own", "acme", FEB, MAR)],
                     [("pro", JAN, FEB), ("own", FEB, MAR), ("pro", MAR, MAY)], id="this customer's for a month"),
        pytest.param([choice(valid_until=FEB), choice("new", valid_from=MAR)], [("pro", JAN, FEB), ("new", MAR, MAY)],
                     id="nothing in between"),
        pytest.param([choice(valid_until=MAR), choice(valid_from=MAR)], [("pro", JAN, MAY)],
                     id="one plan that goes on is one piece"),
        pytest.param([choice(valid_until=MAR), choice("pro", "acme", FEB)], [("pro", JAN, MAY)],
                     id="also from everybody's to this customer's"),
        pytest.param([choice(valid_until=FEB), choice(valid_from=MAR)], [("pro", JAN, FEB), ("pro", MAR, MAY)],
                     id="one plan with nothing in between is two"),
        pytest.param([choice(valid_from=MAY)], [], id="one that begins at the end"),
        pytest.param([choice(valid_until=JAN)], [], id="one that ends at the start"),
    ],
)  # fmt: skip
def test_time_from_january_to_may_is_cut_into_these_pieces(found, pieces):
    assert choices(*found).pieces(PRICE, "acme", JAN, MAY) == pieces


def test_an_open_time_ends_in_an_open_piece():
    found = choices(choice(), choice("new", valid_from=MAR))
    assert found.pieces(PRICE, "acme", JAN, None) == [("pro", JAN, MAR), ("new", MAR, None)]
    assert choices(choice(valid_until=MAR)).pieces(PRICE, "acme", JAN, None) == [("pro", JAN, MAR)]


@pytest.mark.parametrize(
    ("found", "end", "gaps"),
    [
        pytest.param([], FEB, True, id="nothing is said"),
        pytest.param([choice()], None, False, id="one at all times"),
        pytest.param([choice(None)], None, False, id="not metered is said too"),
        pytest.param([choice(valid_until=MAR)], MAR, False, id="as long as it is needed"),
        pytest.param([choice(valid_until=MAR)], None, True, id="open end"),
        pytest.param([choice(valid_from=FEB)], MAR, True, id="too late"),
        pytest.param([choice(valid_until=FEB), choice(valid_from=MAR)], APR, True, id="in between"),
        pytest.param([choice("own", "other")], FEB, True, id="only of another customer"),
    ],
)
def test_a_moment_of_which_nothing_is_said_is_noticed(found, end, gaps):
    assert choices(*found).gaps(PRICE, "acme", JAN, end) is gaps


def test_a_time_of_no_length_has_neither_pieces_nor_gaps():
    for found in (choices(), choices(choice())):
        assert found.pieces(PRICE, "acme", JAN, JAN) == []
        assert not found.gaps(PRICE, "acme", JAN, JAN)


def test_what_is_always_so_needs_no_dates():
    found = PlanChoices.always({PRICE: "pro", "support": None})
    assert found.pieces(PRICE, "acme", JAN, None) == [("pro", JAN, None)]
    assert found.pieces("support", "acme", JAN, None) == [(None, JAN, None)]
    assert found.gaps("unheard of", "acme", JAN, None)


DAYS = [JAN + timedelta(days=day) for day in range(10)]
many = st.lists(
    st.builds(
        PlanChoice,
        plan_id=st.sampled_from(["pro", "scale", None]),
        customer_id=st.sampled_from([ANY, "acme", "other"]),
        valid_from=st.sampled_from([ALWAYS, *DAYS]),
        valid_until=st.none() | st.sampled_from(DAYS),
    ),
    max_size=6,
    unique_by=lambda one: (one.customer_id, one.valid_from),
)


def said(found, moment):
    """The plan at one moment, told step by step."""
    told = NONE
    for customer_id in (ANY, "acme"):
        for one in sorted(found, key=lambda one: one.valid_from):
            begun = one.valid_from <= moment
            over = one.valid_until is not None and one.valid_until <= moment
            if one.customer_id == customer_id and begun and not over:
                told = one.plan_id
    return told


@given(many, st.sampled_from(DAYS), st.none() | st.sampled_from(DAYS))
def test_pieces_say_of_every_moment_what_the_choices_say(found, start, end):
    pieces = choices(*found).pieces(PRICE, "acme", start, end)
    within = [day for day in [*DAYS, JUN] if start <= day and (end is None or day < end)]
    for day in within:
        holding = [plan for plan, since, until in pieces if since <= day and (until is None or day < until)]
        assert holding == [plan for plan in [said(found, day)] if plan != NONE]
    assert choices(*found).gaps(PRICE, "acme", start, end) == any(said(found, day) == NONE for day in within)


@given(many, st.sampled_from(DAYS), st.none() | st.sampled_from(DAYS))
def test_pieces_stand_in_order_within_their_time_and_none_could_be_one_with_the_next(found, start, end):
    pieces = choices(*found).pieces(PRICE, "acme", start, end)
    edges = [moment for _, since, until in pieces for moment in (since, until)]
    assert None not in edges[:-1]
    assert all(since < until for _, since, until in pieces if until is not None)
    closed = [moment for moment in edges if moment is not None]
    assert closed == sorted(closed)
    assert all(start <= moment and (end is None or moment <= end) for moment in closed)
    assert end is None or None not in edges
    for (plan, _, until), (following, since, _) in pairwise(pieces):
        assert until != since or plan != following
