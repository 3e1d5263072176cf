"""From all states seen of a subscription, which m3ter plan each of its items wants and when."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.account_plans import Interval
from connector.clients.chargebee_objects import Subscription
from connector.errors import Parked
from connector.mappings.plans import PlanChoice, PlanChoices
from connector.models import ALWAYS
from connector.timelines import Metering, stretches, undated_change, wanted_plans
from tests.builders import ADDON, APR, BASIC, FEB, JAN, MAR, MAY, PLANS, PRO, interval, item, subscription
from tests.rules.lifecycles import Life, lives

DAY = timedelta(days=1)
MIDDLE = JAN + 14 * DAY
FUTURE = {
    "status": "future", "start_date": FEB, "started_at": None, "activated_at": None,
    "current_term_start": None, "current_term_end": None,
}  # fmt: skip
TRIAL = {
    "status": "in_trial", "trial_start": JAN, "trial_end": FEB, "activated_at": None,
    "current_term_start": None, "current_term_end": None,
}  # fmt: skip
FEBRUARY = {"current_term_start": FEB, "current_term_end": MAR}
MARCH = {"current_term_start": MAR, "current_term_end": APR}


CHOICES = PlanChoices.always({**PLANS, "free-USD": None})


def plans_of(history: Sequence[Subscription], **metering: Any) -> list[Interval]:
    """The intervals that these states want, with every item of the builders mapped."""
    return list(wanted_plans(history, CHOICES, Metering(**metering)).intervals)


def cancelled(at: datetime, **difference: object) -> dict[str, object]:
    return {"status": "cancelled", "cancelled_at": at, "updated_at": at} | difference


@pytest.mark.parametrize(
    ("history", "wanted"),
    [
        pytest.param([], [], id="nothing seen"),
        pytest.param([subscription()], [interval(BASIC, JAN)], id="created"),
        pytest.param(
            [subscription(created_at=MAR, updated_at=MAR)], [interval(BASIC, JAN)], id="created with backdating"
        ),
        pytest.param([subscription(**FUTURE)], [], id="future: nothing yet"),
        pytest.param(
            [subscription(**FUTURE), subscription(updated_at=FEB + DAY, started_at=FEB, activated_at=FEB, **FEBRUARY)],
            [interval(BASIC, FEB)],
            id="future, then started: from its start, not from when that was written",
        ),
        pytest.param(
            [
                subscription(**FUTURE),
                subscription(updated_at=FEB + DAY, **TRIAL | {"started_at": FEB, "trial_end": MAR}),
            ],
            [interval(BASIC, FEB)],
            id="future, then in trial: from its start",
        ),
        pytest.param(
            [subscription(**FUTURE | {"start_date": MAR}), subscription(updated_at=FEB, started_at=FEB, **FEBRUARY)],
            [interval(BASIC, FEB)],
            id="future, then started earlier than was planned",
        ),
        pytest.param(
            [
                subscription(**FUTURE | {"start_date": MAR}),
                subscription(updated_at=MIDDLE, **FUTURE),
                subscription(updated_at=FEB, started_at=FEB, **FEBRUARY),
            ],
            [interval(BASIC, FEB)],
            id="future, its start moved to an earlier day, then started",
        ),
        pytest.param(
            [subscription(**FUTURE), subscription(**cancelled(MIDDLE))], [], id="future, cancelled before it started"
        ),
        pytest.param([subscription(**TRIAL)], [interval(BASIC, JAN)], id="in trial"),
        pytest.param(
            [subscription(**TRIAL), subscription(updated_at=FEB, activated_at=FEB, **FEBRUARY)],
            [interval(BASIC, JAN)],
            id="trial, then active: one plan",
        ),
        pytest.param(
            [subscription(**TRIAL), subscription(PRO, updated_at=FEB, activated_at=FEB, **FEBRUARY)],
            [interval(BASIC, JAN, FEB), interval(PRO, FEB)],
            id="trial of one plan, active with another",
        ),
        pytest.param(
            [subscription(**TRIAL), subscription(**cancelled(MIDDLE))],
            [interval(BASIC, JAN, MIDDLE)],
            id="trial, cancelled in it",
        ),
        pytest.param(
            [subscription(), subscription(PRO, updated_at=MIDDLE)],
            [interval(BASIC, JAN, MIDDLE), interval(PRO, MIDDLE)],
            id="changed within the term: at the time of the change",
        ),
        pytest.param(
            [subscription(), subscription(PRO, updated_at=FEB + DAY, **FEBRUARY)],
            [interval(BASIC, JAN, FEB), interval(PRO, FEB)],
            id="changed at renewal: at the new term's start",
        ),
        pytest.param(
            [subscription(), subscription(PRO, updated_at=MIDDLE, current_term_start=MIDDLE, current_term_end=MAR)],
            [interval(BASIC, JAN, MIDDLE), interval(PRO, MIDDLE)],
            id="changed with a new term that begins at once",
        ),
        pytest.param(
            [subscription(), subscription(updated_at=FEB + DAY, **FEBRUARY), subscription(updated_at=MAR, **MARCH)],
            [interval(BASIC, JAN)],
            id="renewed twice: still one plan",
        ),
        pytest.param(
            [subscription(), subscription(PRO, updated_at=MIDDLE), subscription(updated_at=FEB + DAY, **FEBRUARY)],
            [interval(BASIC, JAN, MIDDLE), interval(PRO, MIDDLE, FEB), interval(BASIC, FEB)],
            id="two changes recovered together give both their intervals",
        ),
        pytest.param(
            [subscription(), subscription(item(BASIC, quantity=5), updated_at=MIDDLE)],
            [interval(BASIC, JAN)],
            id="another quantity changes nothing",
        ),
        pytest.param(
            [subscription(), subscription(updated_at=MIDDLE)],
            [interval(BASIC, JAN)],
            id="another price changes nothing",
        ),
        pytest.param(
            [subscription(), subscription(**cancelled(MIDDLE))], [interval(BASIC, JAN, MIDDLE)], id="cancelled now"
        ),
        pytest.param(
            [subscription(), subscription(**cancelled(MIDDLE, updated_at=FEB))],
            [interval(BASIC, JAN, MIDDLE)],
            id="cancelled with backdating",
        ),
        pytest.param(
            [
                subscription(),
                subscription(item(BASIC, quantity=5), updated_at=FEB),
                subscription(**cancelled(MIDDLE, updated_at=MAR)),
            ],
            [interval(BASIC, JAN, MIDDLE)],
            id="cancelled with backdating to before the last change",
        ),
        pytest.param(
            [subscription(), subscription(PRO, updated_at=FEB), subscription(PRO, **cancelled(MIDDLE, updated_at=MAR))],
            [interval(BASIC, JAN, MIDDLE)],
            id="cancelled with backdating to before a change of plan",
        ),
        pytest.param([subscription(), subscription(**cancelled(JAN))], [], id="cancelled from the start"),
        pytest.param(
            [subscription(), subscription(status="non_renewing", cancelled_at=FEB, updated_at=MIDDLE)],
            [interval(BASIC, JAN, FEB)],
            id="cancellation scheduled: the end is known before it comes",
        ),
        pytest.param(
            [
                subscription(),
                subscription(status="non_renewing", cancelled_at=FEB, updated_at=MIDDLE),
                subscription(**cancelled(FEB, updated_at=FEB + DAY)),
            ],
            [interval(BASIC, JAN, FEB)],
            id="cancelled at the term's end",
        ),
        pytest.param(
            [
                subscription(),
                subscription(status="non_renewing", cancelled_at=FEB, updated_at=MIDDLE),
                subscription(updated_at=MIDDLE + DAY),
            ],
            [interval(BASIC, JAN)],
            id="scheduled cancellation removed: no end",
        ),
        pytest.param(
            [
                subscription(),
                subscription(status="non_renewing", cancelled_at=FEB, updated_at=MIDDLE),
                subscription(status="non_renewing", cancelled_at=MAR, updated_at=MIDDLE + DAY),
            ],
            [interval(BASIC, JAN, MAR)],
            id="scheduled cancellation moved",
        ),
        pytest.param(
            [
                subscription(),
                subscription(status="non_renewing", cancelled_at=FEB, updated_at=MIDDLE),
                subscription(PRO, status="non_renewing", cancelled_at=FEB, updated_at=MIDDLE + DAY),
            ],
            [interval(BASIC, JAN, MIDDLE + DAY), interval(PRO, MIDDLE + DAY, FEB)],
            id="changed after the cancellation was scheduled",
        ),
        pytest.param(
            [subscription(), subscription(**cancelled(MIDDLE)), subscription(updated_at=FEB + DAY, activated_at=FEB)],
            [interval(BASIC, JAN, MIDDLE), interval(BASIC, FEB)],
            id="reactivated: a plan of its own, from the reactivation and not from the term's start",
        ),
        pytest.param(
            [
                subscription(),
                subscription(**cancelled(MIDDLE)),
                subscription(PRO, updated_at=MAR + DAY, activated_at=MAR, **MARCH),
            ],
            [interval(BASIC, JAN, MIDDLE), interval(PRO, MAR)],
            id="reactivated with backdating and another plan",
        ),
        pytest.param(
            [
                subscription(),
                subscription(**cancelled(FEB)),
                subscription(
                    updated_at=MAR + DAY, **TRIAL | {"trial_start": MAR, "trial_end": APR, "activated_at": JAN}
                ),
            ],
            [interval(BASIC, JAN, FEB), interval(BASIC, MAR)],
            id="reactivated into a trial: not from the activation before the cancellation",
        ),
        pytest.param(
            [subscription(), subscription(status="paused", pause_date=MIDDLE, updated_at=MIDDLE + DAY)],
            [interval(BASIC, JAN, MIDDLE)],
            id="paused: ends when it was paused",
        ),
        pytest.param(
            [
                subscription(),
                subscription(status="paused", pause_date=MIDDLE, updated_at=MIDDLE),
                subscription(updated_at=MIDDLE + DAY),
            ],
            [interval(BASIC, JAN, MIDDLE), interval(BASIC, MIDDLE + DAY)],
            id="paused and resumed within the term",
        ),
        pytest.param(
            [
                subscription(),
                subscription(status="paused", pause_date=MIDDLE, updated_at=MIDDLE),
                subscription(updated_at=MAR + DAY, **MARCH),
            ],
            [interval(BASIC, JAN, MIDDLE), interval(BASIC, MAR)],
            id="resumed after the term: from the new term's start",
        ),
        pytest.param(
            [subscription(pause_date=FEB)], [interval(BASIC, JAN)], id="a pause that is only scheduled ends nothing"
        ),
        pytest.param(
            [subscription(), subscription(updated_at=MIDDLE, deleted=True)],
            [interval(BASIC, JAN, MIDDLE)],
            id="deleted",
        ),
        pytest.param(
            [subscription(), subscription(updated_at=MIDDLE, status="transferred")],
            [interval(BASIC, JAN, MIDDLE)],
            id="transferred to another business entity",
        ),
        pytest.param(
            [subscription(BASIC, item(ADDON, "addon")), subscription(PRO, item(ADDON, "addon"), updated_at=MIDDLE)],
            [interval(BASIC, JAN, MIDDLE), interval(ADDON, JAN), interval(PRO, MIDDLE)],
            id="several items: only the one that changed ends",
        ),
        pytest.param(
            [subscription(BASIC, item(ADDON, "addon")), subscription(updated_at=MIDDLE)],
            [interval(BASIC, JAN), interval(ADDON, JAN, MIDDLE)],
            id="an addon removed",
        ),
        pytest.param(
            [
                subscription(BASIC, item(ADDON, "addon")),
                subscription(updated_at=MIDDLE),
                subscription(BASIC, item(ADDON, "addon"), updated_at=FEB),
            ],
            [interval(BASIC, JAN), interval(ADDON, JAN, MIDDLE), interval(ADDON, FEB)],
            id="an addon removed and bought again",
        ),
        pytest.param(
            [subscription(BASIC, item(BASIC, "addon"))], [interval(BASIC, JAN)], id="an item that stands there twice"
        ),
        pytest.param(
            [subscription(BASIC, item(PRO, "charge"))], [interval(BASIC, JAN)], id="charge items are not metered"
        ),
        pytest.param([subscription("new-USD")], [], id="an item that nobody has mapped"),
        pytest.param([subscription("free-USD")], [], id="an item marked as not metered"),
        pytest.param(
            [subscription(), subscription("free-USD", updated_at=MIDDLE), subscription(updated_at=FEB)],
            [interval(BASIC, JAN, MIDDLE), interval(BASIC, FEB)],
            id="changed to an item that is not metered, and back",
        ),
        pytest.param(
            [subscription(), subscription(PRO, updated_at=MIDDLE), subscription(ADDON, updated_at=MIDDLE)],
            [interval(BASIC, JAN, MIDDLE), interval(ADDON, MIDDLE)],
            id="two changes within one second: the second counts",
        ),
        pytest.param(
            [subscription(), subscription(PRO, updated_at=MIDDLE), subscription(updated_at=MIDDLE)],
            [interval(BASIC, JAN)],
            id="changed and changed back within one second",
        ),
        pytest.param(
            [subscription(), subscription(PRO, updated_at=FEB), subscription(updated_at=MIDDLE)],
            [interval(BASIC, JAN)],
            id="a newer state that says it is older does not reach back",
        ),
        pytest.param([subscription(), subscription(PRO)], [interval(PRO, JAN)], id="changed in the second it began"),
        pytest.param(
            [subscription(), subscription(**cancelled(MIDDLE)), subscription(updated_at=MIDDLE, activated_at=MIDDLE)],
            [interval(BASIC, JAN)],
            id="cancelled and reactivated within one second",
        ),
        pytest.param(
            [subscription(PRO, updated_at=MIDDLE)],
            [interval(PRO, JAN)],
            id="only the changed state seen: from the subscription's start",
        ),
        pytest.param(
            [
                subscription(),
                subscription(PRO, updated_at=FEB + DAY, **FEBRUARY),
                subscription(updated_at=FEB + DAY, **FEBRUARY),
            ],
            [interval(BASIC, JAN, FEB), interval(PRO, FEB, FEB + DAY), interval(BASIC, FEB + DAY)],
            id="changed at renewal and again soon after",
        ),
    ],
)
def test_each_lifecycle_wants_these_plans(history, wanted):
    assert plans_of(history) == sorted(wanted, key=lambda one: (one.start, one.item_price_id))


@pytest.mark.parametrize(
    ("history", "named"),
    [
        pytest.param([subscription()], [], id="all are mapped"),
        pytest.param([subscription("free-USD")], [], id="not metered is said as well"),
        pytest.param([subscription(BASIC, item("new-USD", "charge"))], [], id="charge items need no plan"),
        pytest.param([subscription("new-USD", **FUTURE)], [], id="not before the subscription starts"),
        pytest.param(
            [subscription("z-USD", item("a-USD", "addon")), subscription("a-USD", "b-USD", updated_at=MIDDLE)],
            ["z-USD", "a-USD", "b-USD"],
            id="each once, in the order of first use",
        ),
    ],
)
def test_items_that_nobody_has_mapped_are_named(history, named):
    assert list(wanted_plans(history, CHOICES, Metering()).unmapped) == named


@pytest.mark.parametrize("status", ["active", "cancelled", "paused", "future", "non_renewing", "brand_new_status"])
def test_a_state_without_any_time_parks_with_the_subscriptions_id(status):
    nowhen = subscription(
        status=status, started_at=None, activated_at=None, current_term_start=None, created_at=None, updated_at=None
    )
    with pytest.raises(Parked, match=nowhen.id):
        plans_of([nowhen])


@given(lives())
def test_the_plans_are_what_was_billed_in_the_life_of_the_subscription(life: Life):
    found = [(one.item_price_id, one.start, one.end) for one in plans_of(life.states)]
    assert sorted(found, key=lambda one: one[:2]) == life.periods()


@given(lives(), st.randoms(use_true_random=False))
def test_the_order_in_which_the_states_arrive_makes_no_difference(life: Life, order: random.Random):
    arrived = order.sample(life.states, len(life.states))
    by_version = sorted(arrived, key=lambda state: state.resource_version or 0)
    assert plans_of(by_version) == plans_of(life.states)


moments = st.sampled_from([JAN, MIDDLE, FEB, FEB + DAY, MAR, APR, MAY]) | st.none()
states = st.builds(
    lambda items, updated_at, **times: subscription(*items, updated_at=updated_at or JAN, **times),
    st.lists(st.sampled_from([BASIC, PRO, ADDON]), min_size=1, max_size=2),
    moments,
    status=st.sampled_from(["active", "in_trial", "non_renewing", "future", "paused", "cancelled", "transferred"]),
    started_at=moments, start_date=moments, activated_at=moments, current_term_start=moments, cancelled_at=moments,
    pause_date=moments, trial_start=moments, deleted=st.booleans(),
)  # fmt: skip


@given(st.lists(states, max_size=6))
def test_whatever_chargebee_says_no_item_has_two_plans_at_once_and_every_end_comes_after_its_start(history):
    by_item: dict[str, list[tuple[datetime, datetime | None]]] = {}
    for one in stretches(history, Metering()):
        assert one.end is None or one.start <= one.end
        if not one.is_empty:
            by_item.setdefault(one.item_price_id, []).append((one.start, one.end))
    for found in by_item.values():
        for (_, end), (start, _) in pairwise(found):
            assert end is not None
            assert end < start  # those that touch are one


@given(lives())
def test_a_state_that_repeats_the_newest_one_changes_nothing(life: Life):
    again = replace(life.newest, updated_at=life.now + DAY, resource_version=99)
    assert plans_of([*life.states, again]) == plans_of(life.states)


@pytest.mark.parametrize(
    ("history", "wanted"),
    [
        pytest.param([subscription(**TRIAL)], [], id="in trial: nothing yet"),
        pytest.param(
            [subscription(**TRIAL), subscription(updated_at=FEB, activated_at=FEB, **FEBRUARY)],
            [interval(BASIC, FEB)],
            id="then active: from the end of the trial",
        ),
        pytest.param(
            [subscription(updated_at=MAR, trial_start=JAN, trial_end=FEB, activated_at=FEB, **FEBRUARY)],
            [interval(BASIC, FEB)],
            id="only seen after its trial: from the trial's end all the same",
        ),
        pytest.param(
            [subscription(), subscription(**cancelled(MIDDLE)), subscription(updated_at=FEB, **TRIAL)],
            [interval(BASIC, JAN, MIDDLE)],
            id="reactivated into a trial: nothing yet",
        ),
    ],
)
def test_where_trials_are_not_metered_a_plan_begins_after_them(history, wanted):
    assert plans_of(history, meter_trials=False) == wanted


@pytest.mark.parametrize("change", [{"quantity": 5}, {"unit_price": 5000}])
def test_where_every_change_counts_another_quantity_or_price_starts_a_new_plan(change):
    states = [
        subscription(),
        subscription(item(BASIC, **change), updated_at=MIDDLE),
        subscription(item(BASIC, **change), updated_at=FEB + DAY, **FEBRUARY),
    ]
    assert plans_of(states, every_change=True) == [interval(BASIC, JAN, MIDDLE), interval(BASIC, MIDDLE)]
    assert plans_of(states) == [interval(BASIC, JAN)]


def test_a_move_to_another_customer_ends_the_plan_there_and_starts_one_here():
    moved = subscription(customer_id="cust_2", updated_at=MIDDLE)
    renewed = subscription(customer_id="cust_2", updated_at=FEB + DAY, **FEBRUARY)
    assert plans_of([subscription(), moved, renewed]) == [
        interval(BASIC, JAN, MIDDLE),
        interval(BASIC, MIDDLE, customer_id="cust_2"),
    ]


def test_a_backdated_change_holds_since_the_time_that_was_found_for_it():
    changed = subscription(PRO, updated_at=FEB, backdated=True, effective_at=MIDDLE)
    repriced = subscription(item(BASIC, quantity=5), updated_at=MIDDLE + DAY)
    assert plans_of([subscription(), repriced, changed]) == [interval(BASIC, JAN, MIDDLE), interval(PRO, MIDDLE)]
    assert undated_change([subscription(), repriced, changed]) is None


@pytest.mark.parametrize(
    ("history", "index"),
    [
        pytest.param([subscription(), subscription(PRO, updated_at=FEB, backdated=True)], 1, id="other items"),
        pytest.param(
            [subscription(), subscription(item(BASIC, quantity=5), updated_at=FEB, backdated=True)],
            None,
            id="the same items: it makes no difference since when",
        ),
        pytest.param([subscription(PRO, updated_at=FEB, backdated=True)], None, id="nothing is known from before"),
        pytest.param(
            [subscription(), subscription(PRO, updated_at=FEB, backdated=True, status="cancelled", cancelled_at=JAN)],
            None,
            id="cancelled: Chargebee says since when",
        ),
    ],
)
def test_a_backdated_change_that_does_not_say_since_when_is_found(history, index):
    assert undated_change(history) == index


@pytest.mark.parametrize(
    ("state", "metering", "epoch"),
    [
        pytest.param(subscription(), {}, date(2026, 2, 1), id="the term's end"),
        pytest.param(subscription(**TRIAL), {}, date(2026, 2, 1), id="the trial's end"),
        pytest.param(subscription(current_term_end=None), {}, None, id="no term: m3ter's own"),
        pytest.param(subscription(), {"bill_by_term": False}, None, id="by the organization's epoch"),
        pytest.param(
            subscription(), {"zone": timezone(timedelta(hours=-5))}, date(2026, 1, 31), id="west of Greenwich"
        ),
    ],
)
def test_the_first_bill_of_a_plan_is_due_when_the_subscription_is_invoiced(state, metering, epoch):
    assert [one.bill_epoch for one in plans_of([state], **metering)] == [epoch]


@pytest.mark.parametrize(
    ("later", "epoch"),
    [
        pytest.param(subscription(updated_at=MIDDLE, **TRIAL | {"trial_end": MAR}), date(2026, 3, 1), id="extended"),
        pytest.param(
            subscription(updated_at=MIDDLE, activated_at=MIDDLE, current_term_start=MIDDLE, current_term_end=MAR),
            date(2026, 3, 1), id="ended early: the end of the first term",
        ),
        pytest.param(
            subscription(updated_at=FEB, activated_at=FEB, **FEBRUARY), date(2026, 2, 1), id="over: its first bill has come"
        ),
    ],
)  # fmt: skip
def test_the_first_bill_follows_a_trial_that_moves(later, epoch):
    assert [one.bill_epoch for one in plans_of([subscription(**TRIAL), later])] == [epoch]


def test_a_plan_that_starts_within_a_term_is_billed_with_that_term():
    states = [subscription(), subscription(PRO, updated_at=MIDDLE)]
    assert [one.bill_epoch for one in plans_of(states)] == [date(2026, 2, 1)] * 2


def test_a_mapping_that_changes_at_a_day_cuts_the_plan_there():
    choices = PlanChoices(
        {BASIC: (PlanChoice("plan-basic", "*", ALWAYS, None), PlanChoice("plan-2027", "*", MIDDLE, None))}
    )
    found = wanted_plans([subscription()], choices, Metering())
    assert found.intervals == (
        interval(BASIC, JAN, MIDDLE),
        interval(BASIC, MIDDLE, plan_id="plan-2027"),
    )
    assert found.unmapped == ()


def test_an_item_that_is_mapped_only_from_a_later_day_is_named():
    choices = PlanChoices({BASIC: (PlanChoice("plan-basic", "*", MIDDLE, None),)})
    found = wanted_plans([subscription()], choices, Metering())
    assert (found.intervals, found.unmapped) == ((interval(BASIC, MIDDLE),), (BASIC,))
