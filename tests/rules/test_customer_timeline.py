"""A customer's timeline as values: what stands in m3ter, what is wanted, and when nothing was to be billed."""

from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest

from connector.clients.chargebee_objects import Subscription
from connector.customer_overview import drawing
from connector.customer_overview.timeline import FUTURE, MARGIN, PAST, Bar, Group, group, rows, stops, timeline
from connector.mappings.plans import PlanChoices
from connector.timelines import Metering, wanted_plans
from tests.builders import APR, BASIC, FEB, JAN, MAR, MAY, PLANS, PRO, current_plan, subscription

METERING = Metering()
CHOICES = PlanChoices.always(PLANS)


def states(*differences: dict[str, Any]) -> list[Subscription]:
    """A subscription to Basic, and what it became, state by state."""
    told = [{"updated_at": JAN}, *differences]
    return [subscription(*one.pop("items", (BASIC,)), resource_version=n, **one) for n, one in enumerate(told, start=1)]


def changed(items: str, at: datetime) -> dict[str, Any]:
    return {"items": (items,), "updated_at": at}


def of(history: list[Subscription], *plans: Any, **options: Any) -> Group:
    return group(
        "sub-1", history[-1].status, history, wanted_plans(history, CHOICES, METERING), plans, METERING, **options
    )


def test_plan_change_and_cancellation_are_two_lanes_whose_intervals_meet() -> None:
    history = states(
        changed(PRO, FEB), {"items": (PRO,), "status": "cancelled", "cancelled_at": MAR, "updated_at": MAR}
    )
    plans = [current_plan(BASIC, JAN, FEB), current_plan(PRO, FEB, MAR)]
    found = of(history, *reversed(plans), names={plans[0].plan_id: "Basic plan"})
    assert [(lane.item_price_id, [(bar.start, bar.end) for bar in lane.bars]) for lane in found.lanes] == [
        (BASIC, [(JAN, FEB)]),
        (PRO, [(FEB, MAR)]),
    ]
    assert [lane.on_subscription for lane in found.lanes] == [((JAN, FEB),), ((FEB, MAR),)]
    assert found.lanes[0].bars[0].words == "Basic plan"
    assert found.lanes[1].bars[0].words == plans[1].plan_id
    assert found.stops == (Bar("cancelled", "cancelled", MAR, None),)


PAUSED = {"status": "paused", "pause_date": FEB, "updated_at": FEB}


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        pytest.param([], [], id="it runs"),
        pytest.param([PAUSED, {"updated_at": MAR}], [("paused", FEB, MAR)], id="paused and resumed"),
        pytest.param([PAUSED, PAUSED | {"updated_at": MAR}], [("paused", FEB, None)], id="one pause told twice"),
        pytest.param(
            [{"status": "non_renewing", "cancelled_at": APR, "updated_at": FEB}],
            [("cancelled", APR, None)],
            id="a cancellation to come",
        ),
        pytest.param(
            [
                {"status": "non_renewing", "cancelled_at": APR, "updated_at": FEB},
                {"status": "cancelled", "cancelled_at": APR, "updated_at": APR},
                {"activated_at": MAY, "updated_at": MAY},
            ],
            [("cancelled", APR, MAY)],
            id="cancelled as scheduled, and reactivated",
        ),
        pytest.param([PAUSED | {"pause_date": MAR}, {"updated_at": MAR}], [], id="a pause of no length"),
    ],
)
def test_time_in_which_nothing_is_billed_is_said_once(
    later: list[dict[str, Any]], expected: list[tuple[str, datetime, datetime | None]]
) -> None:
    found = stops(states(*(dict(one) for one in later)), METERING)
    assert [(one.kind, one.start, one.end) for one in found] == expected


def test_item_without_a_plan_has_its_lane_and_says_why() -> None:
    history = [subscription("beta-USD", "free-USD", updated_at=JAN, resource_version=1)]
    found = of(history, not_metered=["free-USD"])
    assert [(lane.item_price_id, lane.bars, lane.remark) for lane in found.lanes] == [
        ("beta-USD", (), "no m3ter plan is mapped"),
        ("free-USD", (), "no m3ter plan is mapped"),
    ]
    wanted = wanted_plans(history, PlanChoices.always({"free-USD": None}), METERING)
    metered = group("sub-1", "active", history, wanted, [], METERING, not_metered=["free-USD"])
    assert [lane.remark for lane in metered.lanes] == ["no m3ter plan is mapped", "not metered"]


def test_account_plans_of_a_subscription_that_was_never_seen_have_their_lane() -> None:
    found = group("sub-1", "not seen", (), wanted_plans((), CHOICES, METERING), [current_plan(BASIC, JAN)], METERING)
    assert [(lane.item_price_id, len(lane.bars), lane.on_subscription) for lane in found.lanes] == [(BASIC, 1, ())]
    assert found.stops == ()


def test_what_is_drawn_reaches_as_far_as_what_is_known_within_bounds() -> None:
    old = of(states(), current_plan(BASIC, JAN - timedelta(days=3000), JAN + timedelta(days=3000)))
    drawn = timeline([old], FEB, MAR)
    assert (drawn.since, drawn.until) == (FEB - PAST - MARGIN, FEB + FUTURE + MARGIN)
    near = timeline([of(states(), current_plan(BASIC, JAN))], FEB, MAR)
    assert (near.since, near.until) == (JAN - MARGIN, MAR + MARGIN)
    assert timeline([], FEB, None).until == FEB + MARGIN


def test_picture_has_a_bar_for_each_interval_in_its_place_and_escapes_what_it_is_given() -> None:
    history = states(changed(PRO, FEB))
    plans = [current_plan(BASIC, JAN, FEB), current_plan(PRO, FEB, None, m3ter_id=None)]
    names = {plans[0].plan_id: "<script>&", plans[1].plan_id: "Pro"}
    shown = timeline([of(history, *plans, names=names)], MAR, FEB)
    svg = drawing.svg(shown, 'Plans of "<b>"')
    assert "<script>" not in svg
    assert "&lt;script&gt;&amp;" in svg
    assert svg.count('class="plan"') == svg.count('class="planned"') == 1
    assert svg.count('class="open"') == 1, "only what is open ends in an arrow"
    assert svg.count('class="now"') == svg.count('class="billed"') == 1
    assert "style" not in svg
    # January ends where February begins.
    bars = [part.split("/>")[0] for part in svg.split("<rect ")[1:] if 'class="plan' in part.split("/>")[0]]
    first, second = ({key: part.split(f'{key}="')[1].split('"')[0] for key in ("x", "width")} for part in bars)
    assert abs(Decimal(first["x"]) + Decimal(first["width"]) - Decimal(second["x"])) <= Decimal("0.1")
    table = [(row.item_price_id, row.what, row.start, row.end) for row in rows(shown)]
    assert (BASIC, "account plan", JAN, FEB) in table
    assert (PRO, "account plan, not confirmed by m3ter", FEB, None) in table


def test_picture_leaves_whole_subscriptions_out_when_there_are_too_many_lanes() -> None:
    many = [of(states(), current_plan(BASIC, JAN)) for _ in range(drawing.MOST_LANES + 1)]
    assert len(drawing.drawn(timeline(many, FEB, None))) == drawing.MOST_LANES


@pytest.mark.parametrize("known_for", [timedelta(days=10), timedelta(days=500)], ids=["weeks", "years"])
@pytest.mark.parametrize("frame", [drawing.DESK, drawing.PHONE], ids=lambda frame: frame.name)
def test_no_word_of_a_picture_lies_outside_of_it_or_on_another(frame: drawing.Frame, known_for: timedelta) -> None:
    plans = [current_plan(BASIC, JAN, FEB), current_plan(PRO, FEB, None, m3ter_id=None)]
    shown = timeline([of(states(changed(PRO, FEB)), *plans)], FEB, JAN - known_for)
    root = ElementTree.fromstring(drawing.svg(shown, "Plans", frame))  # noqa: S314 - our own
    assert root.get("class") == f"timeline {frame.name}"
    width, days = Decimal(str(root.get("viewBox")).split(" ")[2]), []
    for label in (one for one in root.iter() if one.tag.endswith("text")):
        x, long = Decimal(label.attrib["x"]), Decimal(drawing.LETTER * len(label.text or ""))
        left = x - long / 2 if label.attrib["text-anchor"] == "middle" else x
        assert left >= 0, label.text
        assert left + long <= width, label.text
        if label.attrib["class"] == "quiet":
            days.append((left, left + long))
    assert len(days) >= 3
    assert all(one[1] < other[0] for one, other in pairwise(days))
    bars = {one.attrib["class"]: one.attrib for one in root.iter() if one.tag.endswith("rect")}
    for kind, item in (("plan", BASIC), ("planned", PRO)):
        [name] = [one for one in root.iter() if one.tag.endswith("text") and one.text == item]
        is_beside = Decimal(bars[kind]["x"]) > drawing.LETTER * len(item)
        assert is_beside or Decimal(bars[kind]["y"]) > Decimal(name.attrib["y"]) + 3, "its name stands clear of its bar"
