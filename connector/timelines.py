"""From every state of a subscription that has been seen, which m3ter plan each of its items wants and when."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, tzinfo
from itertools import pairwise

from connector.account_plans import Interval
from connector.clients.chargebee_objects import Subscription, SubscriptionItem
from connector.errors import Parked
from connector.mappings.plans import PlanChoices

RUNNING = ("active", "in_trial", "non_renewing")


@dataclass(frozen=True)
class Metering:
    """How a connection meters its subscriptions; `zone` is the one in which m3ter's billing days begin."""

    meter_trials: bool = True
    every_change: bool = False
    bill_by_term: bool = True
    zone: tzinfo = UTC


@dataclass(frozen=True)
class Stretch:
    """A time in which an item was to be billed; `end` is exclusive, None is open.

    `seen_from` is where it began when its state was the newest; a later one may have left nothing of it.
    """

    item_price_id: str
    customer_id: str
    start: datetime
    end: datetime | None
    seen_from: datetime
    bill_epoch: date | None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left of it."""
        return self.end is not None and self.end <= self.start


@dataclass(frozen=True)
class Wanted:
    """The account plans that a subscription wants, and the stretches of its items that they come from.

    `unmapped` are the item prices that nobody has mapped or marked as not metered, in order of their first use.
    """

    intervals: tuple[Interval, ...]
    stretches: tuple[Stretch, ...]
    unmapped: tuple[str, ...]


def wanted_plans(history: Sequence[Subscription], choices: PlanChoices, metering: Metering) -> Wanted:
    """What these states, oldest version first, come to."""
    found = stretches(history, metering)
    lived = [one for one in found if not one.is_empty]
    intervals = [
        Interval(one.item_price_id, plan_id, one.customer_id, start, end, one.bill_epoch)
        for one in lived
        for plan_id, start, end in choices.pieces(one.item_price_id, one.customer_id, one.start, one.end)
        if plan_id is not None
    ]
    unmapped = [
        one.item_price_id for one in lived if choices.gaps(one.item_price_id, one.customer_id, one.start, one.end)
    ]
    return Wanted(
        tuple(sorted(intervals, key=lambda one: (one.start, one.item_price_id))),
        tuple(found),
        tuple(dict.fromkeys(unmapped)),
    )


def stretches(history: Sequence[Subscription], metering: Metering) -> list[Stretch]:
    """When each plan or addon item price was on the subscription while it ran, those that touch joined into one."""
    own, moments = _own_times(history, metering), effective_times(history, metering)
    found: dict[str, list[Stretch]] = {}
    before: dict[str, SubscriptionItem] = {}
    for state, seen_from, start, end in zip(history, own, moments, [*moments, None][1:], strict=True):
        stop = _earlier(end, ends_at(state))
        stop = None if stop is None else max(stop, start)
        runs = _runs(state, metering)
        items = {item.item_price_id: item for item in state.items if item.item_type != "charge"} if runs else {}
        for name, item in items.items():
            one = Stretch(name, state.customer_id, start, stop, seen_from, _bill_epoch(state, start, metering))
            standing = found.setdefault(name, [])
            goes_on = standing and standing[-1].end == start and standing[-1].customer_id == state.customer_id
            if goes_on and not standing[-1].is_empty and not (metering.every_change and before.get(name) != item):
                standing[-1] = replace(standing[-1], end=stop, bill_epoch=_newer_epoch(standing[-1], one, metering))
            else:
                standing.append(one)
        before = items
    return [one for standing in found.values() for one in standing]


def _runs(state: Subscription, metering: Metering) -> bool:
    return state.status in RUNNING and not state.deleted and (metering.meter_trials or state.status != "in_trial")


def effective_times(history: Sequence[Subscription], metering: Metering) -> list[datetime]:
    """From when each state held: none begins before the one it replaced, unless it was backdated."""
    moments: list[datetime] = []
    for state, moment in zip(history, _own_times(history, metering), strict=True):
        if state.status == "cancelled" or state.effective_at is not None:
            moments = [min(one, moment) for one in moments]
        moments.append(max(moment, moments[-1]) if moments else moment)
    return moments


def _own_times(history: Sequence[Subscription], metering: Metering) -> list[datetime]:
    return [
        _effective(previous, state, metering) for previous, state in pairwise([None, *history]) if state is not None
    ]


def _effective(previous: Subscription | None, state: Subscription, metering: Metering) -> datetime:
    updated = state.updated_at or state.created_at
    if state.status == "cancelled":
        moment = state.cancelled_at or updated
    elif state.status == "paused":
        moment = state.pause_date or updated
    elif state.status == "future":
        moment = updated  # its start may still be moved to an earlier day
    elif state.effective_at is not None:
        moment = state.effective_at
    elif previous is None or previous.status == "future":
        moment = state.started_at or state.start_date or updated
        if not metering.meter_trials and state.status != "in_trial" and state.trial_end is not None:
            moment = max(filter(None, (moment, state.trial_end)))
    elif previous.status == "cancelled":
        # A trial is no activation: `activated_at` is still the one from before the cancellation then.
        moment = (state.trial_start if state.status == "in_trial" else state.activated_at) or updated
    elif previous.current_term_start != state.current_term_start:
        moment = state.current_term_start or updated  # what Chargebee changes at renewal holds from the new term on
    else:
        moment = updated
    if moment is None:
        raise Parked(
            "no_time", f"Chargebee does not say when subscription {state.id} became {state.status}", "Report it."
        )
    return moment


def ends_at(state: Subscription) -> datetime | None:
    """When a state ends by itself: Chargebee fills `cancelled_at` in advance for a scheduled cancellation."""
    return state.cancelled_at if state.status in ("non_renewing", "cancelled") else None


def undated_change(history: Sequence[Subscription]) -> int | None:
    """The index of the first change of items that was backdated without anything that says since when."""
    for index, (previous, state) in enumerate(pairwise([None, *history])):
        if state is not None and previous is not None and state.backdated and state.effective_at is None:
            both_run = previous.status in RUNNING and state.status in RUNNING
            if both_run and {one.item_price_id for one in previous.items} != {one.item_price_id for one in state.items}:
                return index
    return None


def _bill_epoch(state: Subscription, start: datetime, metering: Metering) -> date | None:
    """The day of the plan's first bill: the end of the subscription's term, on which Chargebee invoices it too."""
    end = state.trial_end if state.status == "in_trial" else state.current_term_end
    if not metering.bill_by_term or end is None or end <= start:
        return None
    return end.astimezone(metering.zone).date()


def _newer_epoch(standing: Stretch, one: Stretch, metering: Metering) -> date | None:
    """The first bill's day may move until it has come: a trial is extended, or ends early."""
    if standing.bill_epoch is None or one.start.astimezone(metering.zone).date() >= standing.bill_epoch:
        return standing.bill_epoch
    return one.bill_epoch or standing.bill_epoch


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((moment for moment in (one, other) if moment is not None), default=None)
