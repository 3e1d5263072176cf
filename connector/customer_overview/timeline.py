"""A customer's subscriptions over time: which m3ter plan bills which item and when, and what Chargebee says of the same time.

Values in, values out. Every end is exclusive; None is open.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from connector.account_plans import Current
from connector.clients.chargebee_objects import Subscription
from connector.timelines import Metering, Wanted, effective_times, ends_at

# No more is drawn of what is past, and of what is to come.
PAST, FUTURE = timedelta(days=730), timedelta(days=366)
# What is drawn beside the known times, so that nothing begins or ends at the very edge.
MARGIN = timedelta(days=14)


@dataclass(frozen=True)
class Bar:
    """A time with its words. `kind` is plan (stands in m3ter), planned (m3ter has not confirmed it), or a status."""

    kind: str
    words: str
    start: datetime
    end: datetime | None
    # The account plan's code and id in m3ter, where it is one.
    code: str | None = None
    m3ter_id: str | None = None


@dataclass(frozen=True)
class Lane:
    """One item of a subscription: its account plans, when Chargebee has it on the subscription, and what is said of that."""

    item_price_id: str
    bars: tuple[Bar, ...]
    on_subscription: tuple[tuple[datetime, datetime | None], ...]
    remark: str | None


@dataclass(frozen=True)
class Group:
    """One subscription: its lanes, and the times in which nothing of it was to be billed (paused, cancelled …)."""

    subscription_id: str
    status: str
    lanes: tuple[Lane, ...]
    stops: tuple[Bar, ...]


@dataclass(frozen=True)
class Timeline:
    """All of it, and the time that is drawn; `billed_until` is how far approved bills reach, exclusive."""

    groups: tuple[Group, ...]
    now: datetime
    since: datetime
    until: datetime
    billed_until: datetime | None


def group(
    subscription_id: str,
    status: str,
    history: Sequence[Subscription],
    wanted: Wanted,
    plans: Iterable[Current],
    metering: Metering,
    *,
    not_metered: Iterable[str] = (),
    names: dict[str, str] | None = None,
) -> Group:
    """What stands and what is wanted, brought together by item price, those first that began first."""
    standing = sorted(plans, key=lambda one: (one.start, one.id))
    lived = sorted((one for one in wanted.stretches if not one.is_empty), key=lambda one: one.start)
    began: dict[str, datetime] = {}
    for name, start in [
        *((one.item_price_id, one.start) for one in standing),
        *((one.item_price_id, one.start) for one in lived),
    ]:
        began[name] = min(start, began.get(name, start))
    remarks = dict.fromkeys(not_metered, "not metered") | dict.fromkeys(wanted.unmapped, "no m3ter plan is mapped")
    lanes = [
        Lane(
            item_price_id=name,
            bars=tuple(_bar(one, names or {}) for one in standing if one.item_price_id == name),
            on_subscription=tuple((one.start, one.end) for one in lived if one.item_price_id == name),
            remark=remarks.get(name),
        )
        for name in sorted(began, key=lambda one: (began[one], one))
    ]
    return Group(subscription_id, status, tuple(lanes), tuple(stops(history, metering)))


def _bar(plan: Current, names: dict[str, str]) -> Bar:
    kind = "planned" if plan.in_doubt else "plan"
    return Bar(kind, names.get(plan.plan_id, plan.plan_id), plan.start, plan.end, plan.code, plan.m3ter_id)


def stops(history: Sequence[Subscription], metering: Metering) -> list[Bar]:
    """The times in which the subscription was paused, cancelled, or still to begin, each run of one status once."""
    moments: list[datetime | None] = [*effective_times(history, metering)]
    found: list[Bar] = []
    for state, start, end in zip(history, moments, [*moments, None][1:], strict=True):
        ended = ends_at(state)
        status = "cancelled" if ended is not None else state.status
        begins = max(start, ended) if start is not None and ended is not None else start
        if status in ("active", "in_trial", "non_renewing") or begins is None or (end is not None and end <= begins):
            continue
        if found and found[-1].kind == status and found[-1].end == begins:
            found[-1] = Bar(status, status, found[-1].start, end)
        else:
            found.append(Bar(status, status, begins, end))
    return found


def timeline(groups: Sequence[Group], now: datetime, billed_until: datetime | None) -> Timeline:
    """The groups with the time that is drawn: all that is known, as far as it is not too long ago or too far ahead."""
    bars = [bar for one in groups for lane in one.lanes for bar in lane.bars]
    times = [(bar.start, bar.end) for bar in bars]
    times += [time for one in groups for lane in one.lanes for time in lane.on_subscription]
    known = [moment for pair in times for moment in pair if moment is not None]
    known += [now, *([billed_until] if billed_until is not None else [])]
    since = max(min(known), now - PAST) - MARGIN
    until = min(max(known), now + FUTURE) + MARGIN
    return Timeline(tuple(groups), now, since, until, billed_until)


@dataclass(frozen=True)
class Row:
    """One interval as a line of a table."""

    subscription_id: str
    item_price_id: str | None
    what: str
    plan: str | None
    start: datetime
    end: datetime | None
    code: str | None
    m3ter_id: str | None


def rows(of: Timeline) -> list[Row]:
    """All that is drawn, as lines of a table: account plans, when each item was on its subscription, and the stops."""
    found: list[Row] = []
    for one in of.groups:
        for lane in one.lanes:
            for bar in lane.bars:
                what = "account plan" if bar.kind == "plan" else "account plan, not confirmed by m3ter"
                found.append(
                    Row(one.subscription_id, lane.item_price_id, what, bar.words, bar.start, bar.end, bar.code, bar.m3ter_id)
                )  # fmt: skip
            said = f"on the subscription{f', {lane.remark}' if lane.remark else ''}"
            found += [
                Row(one.subscription_id, lane.item_price_id, said, None, start, end, None, None)
                for start, end in lane.on_subscription
            ]
        found += [Row(one.subscription_id, None, bar.words, None, bar.start, bar.end, None, None) for bar in one.stops]
    return found
