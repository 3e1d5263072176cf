"""What makes the standing account plans equal the wanted ones, with no overlap at any moment on the way."""

import random
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import combinations, count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.account_plans import Current, Interval
from connector.clients.chargebee_objects import Subscription
from connector.errors import Parked
from connector.mappings.plans import PlanChoice, PlanChoices
from connector.models import ALWAYS
from connector.plan_changes import (
    Change,
    Create,
    Move,
    Rebill,
    Remove,
    Replace,
    gives_way,
    plan_changes,
    reaches_back_to,
)
from connector.timelines import Metering, Stretch, Wanted, wanted_plans
from tests.builders import ADDON, APR, BASIC, FEB, JAN, MAR, MAY, PLANS, PRO, current_plan, interval, subscription
from tests.rules.lifecycles import Life, lives

DAY = timedelta(days=1)
END_OF_TIME = datetime.max.replace(tzinfo=JAN.tzinfo)
JAN_20 = JAN + 19 * DAY

BASIC_NOW = current_plan(BASIC, JAN)
PRO_NOW = current_plan(PRO, JAN)
BASIC_THEN = current_plan(BASIC, JAN, FEB)
PRO_SINCE = current_plan(PRO, FEB)
ADDON_NOW = current_plan(ADDON, JAN)


@pytest.mark.parametrize(
    ("wanted", "current", "changes"),
    [
        pytest.param([], [], [], id="nothing wanted, nothing there"),
        pytest.param([interval(BASIC, JAN)], [BASIC_NOW], [], id="all is as wanted"),
        pytest.param([interval(BASIC, JAN, FEB)], [BASIC_THEN], [], id="a plan that has ended stays ended"),
        pytest.param([interval(BASIC, JAN)], [], [Create(interval(BASIC, JAN))], id="new subscription starts the plan"),
        pytest.param(
            [interval(BASIC, JAN, FEB), interval(PRO, FEB)],
            [],
            [Create(interval(BASIC, JAN, FEB)), Create(interval(PRO, FEB))],
            id="a history recovered whole starts its plans, the ended ones too",
        ),
        pytest.param(
            [interval(BASIC, JAN, FEB)], [BASIC_NOW], [Move(BASIC_NOW, JAN, FEB)], id="cancellation ends the plan"
        ),
        pytest.param(
            [interval(BASIC, JAN)], [BASIC_THEN], [Move(BASIC_THEN, JAN, None)], id="cancellation removed opens the end"
        ),
        pytest.param(
            [interval(BASIC, JAN, MAR)], [BASIC_THEN], [Move(BASIC_THEN, JAN, MAR)], id="cancellation put off"
        ),
        pytest.param(
            [interval(BASIC, JAN, FEB), interval(PRO, FEB)],
            [BASIC_NOW],
            [Replace(BASIC_NOW, interval(PRO, FEB))],
            id="change of plan replaces it in one call",
        ),
        pytest.param(
            [interval(BASIC, JAN, FEB), interval(PRO, FEB, MAR), interval(BASIC, MAR)],
            [BASIC_NOW],
            [Replace(BASIC_NOW, interval(PRO, FEB, MAR)), Create(interval(BASIC, MAR))],
            id="two changes recovered together",
        ),
        pytest.param(
            [interval(BASIC, JAN, FEB), interval(BASIC, MAR)],
            [BASIC_NOW],
            [Move(BASIC_NOW, JAN, FEB), Create(interval(BASIC, MAR))],
            id="cancellation and reactivation recovered together",
        ),
        pytest.param(
            [interval(BASIC, JAN, FEB), interval(BASIC, MAR)],
            [BASIC_THEN],
            [Create(interval(BASIC, MAR))],
            id="reactivation starts a plan of its own, the ended one stays",
        ),
        pytest.param(
            [interval(BASIC, JAN, FEB), interval(PRO, FEB)],
            [PRO_NOW],
            [Move(PRO_NOW, FEB, None), Create(interval(BASIC, JAN, FEB))],
            id="changed was seen before created: its start moves, the first plan is added before it",
        ),
        pytest.param(
            [interval(BASIC, JAN, JAN_20), interval(PRO, JAN_20)],
            [BASIC_THEN, PRO_SINCE],
            [Move(BASIC_THEN, JAN, JAN_20), Move(PRO_SINCE, JAN_20, None)],
            id="boundary moves earlier: the old plan gives way before the new one grows",
        ),
        pytest.param(
            [interval(BASIC, JAN, MAR), interval(PRO, MAR)],
            [BASIC_THEN, PRO_SINCE],
            [Move(PRO_SINCE, MAR, None), Move(BASIC_THEN, JAN, MAR)],
            id="boundary moves later: the new plan gives way before the old one grows",
        ),
        pytest.param(
            [interval(BASIC, JAN, FEB), interval(PRO, FEB, MAR), interval("x-USD", MAR)],
            [BASIC_NOW, current_plan("x-USD", FEB)],
            [
                Move(current_plan("x-USD", FEB), MAR, None),
                Replace(BASIC_NOW, interval(PRO, FEB, MAR)),
            ],
            id="late older state takes its place in the middle",
        ),
        pytest.param(
            [interval(BASIC, JAN, FEB), interval(ADDON, JAN), interval(PRO, FEB)],
            [BASIC_NOW, ADDON_NOW],
            [Replace(BASIC_NOW, interval(PRO, FEB))],
            id="other items of the subscription are left alone",
        ),
        pytest.param(
            [interval(BASIC, JAN), interval(ADDON, FEB)],
            [BASIC_NOW],
            [Create(interval(ADDON, FEB))],
            id="an addon bought later ends nothing",
        ),
        pytest.param(
            [interval(BASIC, JAN), interval(ADDON, JAN, FEB)],
            [BASIC_NOW, ADDON_NOW],
            [Move(ADDON_NOW, JAN, FEB)],
            id="an addon removed",
        ),
        pytest.param(
            [interval(BASIC, JAN, APR), interval(BASIC, MAY)],
            [current_plan(BASIC, MAR), BASIC_THEN],
            [Move(BASIC_THEN, JAN, APR), Move(current_plan(BASIC, MAR), MAY, None)][::-1],
            id="one item's two plans are told apart by their time",
        ),
    ],
)
def test_the_changes_are_these(wanted, current, changes):
    assert plan_changes(wanting(*wanted), current) == changes


@pytest.mark.parametrize(
    ("wanted", "current"),
    [
        pytest.param([], [BASIC_NOW], id="no plan is wanted any more"),
        pytest.param([interval(PRO, JAN)], [BASIC_NOW], id="another plan is wanted from the same moment"),
        pytest.param([interval(BASIC, JAN)], [BASIC_THEN, current_plan(BASIC, MAR)], id="one period less is wanted"),
        pytest.param(
            [interval(BASIC, JAN)], [BASIC_NOW, replace(BASIC_NOW, id=2, code="twice")], id="one stands twice"
        ),
    ],
)
def test_a_plan_for_which_the_history_has_no_period_parks_by_its_code(wanted, current):
    with pytest.raises(Parked, match=current[-1].code) as parked:
        plan_changes(wanting(*wanted), current)
    assert parked.value.cause.code == "plan_not_wanted"


@dataclass
class M3ter:
    """As much of m3ter as account plans need: ends are exclusive, and one product has one plan at a time."""

    product_of: dict[str, str] | None = None  # None: all plans are of one
    plans: dict[str, Current] = field(default_factory=dict)
    _ids: "count[int]" = field(default_factory=lambda: count(1))

    def carry_out(self, change: Change) -> None:
        match change:
            case Move(current, start, end):
                self._put(replace(self._mine(current), start=start, end=end))
            case Replace(current, wanted):
                self._put(replace(self._mine(current), end=wanted.start), check=False)
                self._add(wanted)
            case Create(wanted):
                self._add(wanted)
            case Remove(current):
                del self.plans[str(current.m3ter_id)]

    def periods(self) -> set[tuple[str, str, datetime, datetime | None]]:
        return {(one.item_price_id, one.plan_id, one.start, one.end) for one in self.plans.values()}

    def _mine(self, current: Current) -> Current:
        return self.plans[str(current.m3ter_id)]

    def _add(self, wanted: Interval) -> None:
        row = next(self._ids)
        self._put(
            current_plan(
                wanted.item_price_id, wanted.start, wanted.end, plan_id=wanted.plan_id, id=row, m3ter_id=f"m{row}"
            )
        )

    def _put(self, plan: Current, *, check: bool = True) -> None:
        self.plans[str(plan.m3ter_id)] = plan
        assert plan.end is None or plan.start < plan.end, "m3ter refuses a plan that ends before it starts"
        if check:
            for one, other in combinations(self.plans.values(), 2):
                assert not (self._product(one) == self._product(other) and overlap(one, other)), (
                    "m3ter refuses an overlap"
                )

    def _product(self, plan: Current) -> str:
        return "the product" if self.product_of is None else self.product_of[plan.item_price_id]


def overlap(one: Current, other: Current) -> bool:
    return one.start < (other.end or END_OF_TIME) and other.start < (one.end or END_OF_TIME)


def converge(m3ter: M3ter, wanted: Wanted) -> None:
    """What a sync does; afterwards a second one has nothing to do."""
    for change in plan_changes(wanted, list(m3ter.plans.values())):
        m3ter.carry_out(change)
    assert m3ter.periods() == {(one.item_price_id, one.plan_id, one.start, one.end) for one in wanted.intervals}
    assert plan_changes(wanted, list(m3ter.plans.values())) == []


def arrive(m3ter: M3ter, life: Life, batches: list[int], order: random.Random, *left_by_more: type[Exception]) -> None:
    """The states come in any order, several at a time, with a sync after each batch."""
    coming = order.sample(life.states, len(life.states))
    for size in batches:
        with suppress(*left_by_more):
            converge(m3ter, seen_of(life, coming[:size]))
    converge(m3ter, wanted_by(life.states))


def seen_of(life: Life, states: list[Subscription]) -> Wanted:
    return wanted_by([state for state in life.states if state in states])


def wanted_by(states: list[Subscription]) -> Wanted:
    return wanted_plans(states, PlanChoices.always(PLANS), Metering())


def wanting(*intervals: Interval) -> Wanted:
    """What a subscription wants that has sold these items in these times and never anything else."""
    sold = (Stretch(one.item_price_id, one.customer_id, one.start, one.end, one.start, None) for one in intervals)
    return Wanted(intervals, tuple(sold), ())


def assert_is_true_to(m3ter: M3ter, life: Life) -> None:
    assert {(item, start, end) for item, _, start, end in m3ter.periods()} == set(life.periods())


SEVERAL_PRODUCTS = {BASIC: "product", PRO: "product", ADDON: "seats"}
one_product = lives(items=((BASIC,), (PRO,), (ADDON,)), shortest_pause=5 * DAY)
orders = st.randoms(use_true_random=False)
batches = st.lists(st.integers(1, 12), max_size=6).map(sorted)


@given(one_product, batches, orders)
def test_states_in_any_order_end_in_the_right_plans_of_one_product(life, batches, order):
    m3ter = M3ter()
    arrive(m3ter, life, batches, order)
    assert_is_true_to(m3ter, life)


@given(lives(shortest_pause=5 * DAY), batches, orders)
def test_states_in_any_order_end_in_the_right_plans_of_several_products(life, batches, order):
    m3ter = M3ter(SEVERAL_PRODUCTS)
    arrive(m3ter, life, batches, order)
    assert_is_true_to(m3ter, life)


@given(lives(), batches, orders)
def test_changes_within_one_moment_end_in_the_right_plans(life, batches, order):
    """What was thought to be a period may turn out to have had no length: then its plan is removed."""
    m3ter = M3ter(SEVERAL_PRODUCTS)
    arrive(m3ter, life, batches, order, Parked)
    assert_is_true_to(m3ter, life)


@given(lives(shortest_pause=5 * DAY))
def test_states_in_their_own_order_one_by_one_never_park(life):
    m3ter = M3ter(SEVERAL_PRODUCTS)
    for last in range(1, len(life.states) + 1):
        converge(m3ter, wanted_by(life.states[:last]))
    assert_is_true_to(m3ter, life)


@st.composite
def timelines(draw: st.DrawFn) -> list[Interval]:
    """Plans of one product one after another, with or without gaps."""
    days = sorted(draw(st.sets(st.integers(0, 60), min_size=1, max_size=8)))
    chain = []
    for start, end in pairwise([*days, None]):
        name = draw(st.sampled_from([BASIC, PRO, ADDON, None]))
        if name is not None and start is not None:
            last = end if end is not None or draw(st.booleans()) else start + 1
            chain.append(interval(name, JAN + start * DAY, None if last is None else JAN + last * DAY))
    return chain


@given(timelines(), timelines())
def test_any_plans_of_one_product_become_any_others_or_all_are_left_as_they_are(standing, wanted):
    m3ter = M3ter()
    for one in standing:
        m3ter.carry_out(Create(one))
    before = m3ter.periods()
    try:
        converge(m3ter, wanting(*wanted))
    except Parked:
        assert m3ter.periods() == before


@pytest.mark.parametrize(
    ("stands", "wanted", "changes"),
    [
        (FEB.date(), MAR.date(), [MAR.date()]),
        (FEB.date(), FEB.date(), []),
        (None, MAR.date(), []),
        (FEB.date(), None, []),
    ],
)
def test_a_plans_first_bill_follows_its_subscription_where_it_did_before(stands, wanted, changes):
    current = replace(BASIC_NOW, bill_epoch=stands)
    found = plan_changes(wanting(interval(BASIC, JAN, bill_epoch=wanted)), [current])
    assert found == [Rebill(current, day) for day in changes]


def test_a_plan_that_ends_and_is_billed_on_another_day_keeps_its_new_end():
    current = replace(BASIC_NOW, bill_epoch=FEB.date())
    ended = interval(BASIC, JAN, FEB, bill_epoch=MAR.date())
    found = plan_changes(wanting(ended, interval(PRO, FEB)), [current])
    assert found == [Replace(current, interval(PRO, FEB)), Rebill(replace(current, end=FEB), MAR.date())]


JAN_2 = JAN + DAY


@pytest.mark.parametrize(
    ("states", "current", "changes"),
    [
        pytest.param(
            [subscription(), subscription(PRO)],
            [BASIC_NOW],
            [Remove(BASIC_NOW), Create(interval(PRO, JAN))],
            id="changed in the second it began",
        ),
        pytest.param(
            [subscription(), subscription(status="cancelled", cancelled_at=JAN, updated_at=JAN_2)],
            [BASIC_NOW],
            [Remove(BASIC_NOW)],
            id="cancelled from the start",
        ),
        pytest.param(
            [
                subscription(),
                subscription(PRO, updated_at=FEB),
                subscription(PRO, status="cancelled", cancelled_at=JAN_20, updated_at=MAR),
            ],
            [BASIC_THEN, PRO_SINCE],
            [Remove(PRO_SINCE), Move(BASIC_THEN, JAN, JAN_20)],
            id="cancelled with backdating to before the last change",
        ),
        pytest.param(
            [subscription(), subscription(customer_id="cust_2", updated_at=FEB)],
            [BASIC_NOW],
            [Move(BASIC_NOW, JAN, FEB), Create(interval(BASIC, FEB, customer_id="cust_2"))],
            id="moved to another customer: two accounts, so no replacement",
        ),
    ],
)
def test_what_a_later_state_undid_is_taken_back(states, current, changes):
    assert plan_changes(wanted_by(states), current) == changes


@pytest.mark.parametrize(
    ("choices", "changes"),
    [
        pytest.param(
            PlanChoices.always({BASIC: "plan-new"}),
            [Remove(BASIC_NOW), Create(interval(BASIC, JAN, plan_id="plan-new"))],
            id="to another plan from the beginning",
        ),
        pytest.param(PlanChoices.always({BASIC: None}), [Remove(BASIC_NOW)], id="to not metered"),
        pytest.param(
            PlanChoices({BASIC: (PlanChoice("plan-basic", "*", ALWAYS, None), PlanChoice("plan-new", "*", FEB, None))}),
            [Replace(BASIC_NOW, interval(BASIC, FEB, plan_id="plan-new"))],
            id="to another plan from a day on",
        ),
        pytest.param(PlanChoices({}), [], id="to nothing: the plan stays until somebody says what the item means"),
    ],
)
def test_an_item_that_is_mapped_anew_gets_the_plan_that_it_means_now(choices, changes):
    assert plan_changes(wanted_plans([subscription()], choices, Metering()), [BASIC_NOW]) == changes


@pytest.mark.parametrize(
    ("change", "since", "takes_only"),
    [
        pytest.param(Create(interval(BASIC, FEB)), FEB, False, id="a new plan: its start"),
        pytest.param(Replace(BASIC_NOW, interval(PRO, FEB)), FEB, False, id="a replacement: where it takes over"),
        pytest.param(Remove(BASIC_THEN), JAN, True, id="a removal: all of the plan"),
        pytest.param(Move(BASIC_NOW, JAN, FEB), FEB, True, id="an end: that end"),
        pytest.param(Move(BASIC_THEN, JAN, JAN_20), JAN_20, True, id="an earlier end: the earlier one"),
        pytest.param(Move(BASIC_THEN, JAN, MAR), FEB, False, id="a later end: the one it had"),
        pytest.param(Move(BASIC_THEN, JAN, None), FEB, False, id="no end any more: the one it had"),
        pytest.param(Move(PRO_SINCE, MAR, None), FEB, True, id="a later start: the one it had"),
        pytest.param(Move(PRO_SINCE, JAN_20, None), JAN_20, False, id="an earlier start: the new one"),
        pytest.param(
            Rebill(replace(BASIC_NOW, bill_epoch=MAR.date()), FEB.date()), MAR, False, id="a first bill's day"
        ),
    ],
)
def test_how_far_a_change_reaches_back(change, since, takes_only):
    assert (reaches_back_to(change), gives_way(change)) == (since, takes_only)
