"""A subscription's metered items become m3ter account plans, worked out from every state of it that has been seen."""

from collections.abc import Mapping as Table
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from connector import account_plans, mappings, mirror
from connector.account_plans import Current, Interval
from connector.clients.chargebee import Subscription
from connector.customers import ensure_account, only_worker_at
from connector.errors import NotFound, Parked
from connector.services import Services
from connector.syncs import Run

BILLED_BY_PLAN = ("active", "in_trial", "non_renewing")


@dataclass(frozen=True)
class Create:
    """Start a new account plan."""

    wanted: Interval


@dataclass(frozen=True)
class Replace:
    """End one account plan where a new one starts, in one call."""

    current: Current
    wanted: Interval


@dataclass(frozen=True)
class Move:
    """Give a standing account plan another start or end."""

    current: Current
    start: datetime
    end: datetime | None


Change = Create | Replace | Move


def sync_subscription(services: Services, run: Run) -> str:
    """Make the m3ter account plans of one subscription match all we know of it."""
    history = _history(services, run)
    if not history:
        return "Chargebee has no such subscription, and we never saw one"
    customer_id = history[-1].customer_id
    with services.reading() as db:
        plans = mappings.plans(db, run.connection)
    wanted = desired_plans(history, plans)
    unmapped = unmapped_items(history, plans)
    with only_worker_at(services, run.connection, customer_id):
        current = account_plans.owned_by(services, run.connection, run.subject)
        if wanted or current:
            account_id = ensure_account(services, run, customer_id)
            if any(row.in_doubt for row in current):
                current = account_plans.settle(services, run, account_id, current)
            for change in plan_changes(wanted, current):
                apply_change(services, run, account_id, customer_id, change)
        account_plans.map_all(services, run)
    if unmapped:
        first = unmapped[0]
        raise Parked(
            "unmapped_item_price",
            f"no m3ter plan is mapped to {', '.join(unmapped)}",
            f"`connector mappings add Plan <m3ter plan id> ItemPrice {first}`, "
            f"or `connector mappings add NotMetered '*' ItemPrice {first}`; it goes on by itself then.",
            wakes_on=mappings.plan_wish(first),
        )
    return "; ".join(run.did) or "nothing to change"


def _history(services: Services, run: Run) -> tuple[Subscription, ...]:
    """All states seen; Chargebee is asked where two have one version, or none has been seen."""
    with services.reading() as db:
        settled = mirror.newest(db, run.connection, "subscription", run.subject) is not None
        history = mirror.history(db, run.connection, run.subject)
    if settled and history:
        return history
    try:
        answer = services.connection(run.connection).chargebee.retrieve_subscription(run.subject)
    except NotFound:
        return history
    run.note(f"asked Chargebee for subscription {run.subject}")
    with services.transaction() as db:
        for resource in ("customer", "subscription"):
            if resource in answer:
                mirror.keep(db, run.connection, resource, answer[resource], services.now(), settled=True)
        return mirror.history(db, run.connection, run.subject)


def desired_plans(history: Sequence[Subscription], plans: Table[str, str | None]) -> list[Interval]:
    """The plan intervals of each mapped item, from every state seen, oldest version first."""
    intervals: list[Interval] = []
    for item_price_id, start, end in item_intervals(history):
        plan_id = plans.get(item_price_id)
        if plan_id is not None:
            intervals.append(Interval(item_price_id, plan_id, start, end))
    return sorted(intervals, key=lambda one: (one.start, one.item_price_id))


def unmapped_items(history: Sequence[Subscription], plans: Table[str, str | None]) -> list[str]:
    """The item prices that nobody has mapped or marked as not metered, in order of their first use."""
    return list(dict.fromkeys(item for item, _, _ in item_intervals(history) if item not in plans))


def item_intervals(history: Sequence[Subscription]) -> list[tuple[str, datetime, datetime | None]]:
    """When each plan or addon item price was on the subscription while it was billed; ends are exclusive."""
    moments = effective_times(history)
    pieces: dict[str, list[tuple[datetime, datetime | None]]] = {}
    for state, start, end in zip(history, moments, [*moments, None][1:], strict=True):
        stop = _earlier(end, ends_at(state))
        if state.status not in BILLED_BY_PLAN or state.deleted or (stop is not None and stop <= start):
            continue
        for item in dict.fromkeys(item.item_price_id for item in state.items if item.item_type != "charge"):
            standing = pieces.setdefault(item, [])
            if standing and standing[-1][1] == start:
                standing[-1] = (standing[-1][0], stop)
            else:
                standing.append((start, stop))
    return [(item, start, end) for item, found in pieces.items() for start, end in found]


def effective_times(history: Sequence[Subscription]) -> list[datetime]:
    """From when each state held: none begins before the one it replaced, but a cancellation may be backdated."""
    moments: list[datetime] = []
    for previous, state in pairwise([None, *history]):
        assert state is not None  # noqa: S101 - only the first of the pairs is None
        moment = _effective(previous, state)
        if state.status == "cancelled":
            moments = [min(one, moment) for one in moments]
        moments.append(max(moment, moments[-1]) if moments else moment)
    return moments


def _effective(previous: Subscription | None, state: Subscription) -> datetime:
    updated = state.updated_at or state.created_at
    if state.status == "cancelled":
        moment = state.cancelled_at or updated
    elif state.status == "paused":
        moment = state.pause_date or updated
    elif state.status == "future":
        moment = updated  # its start may still be moved to an earlier day
    elif previous is None or previous.status == "future":
        moment = state.started_at or state.start_date or updated
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


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((moment for moment in (one, other) if moment is not None), default=None)


def plan_changes(wanted: Sequence[Interval], current: Sequence[Current]) -> list[Change]:
    """What makes the standing account plans of one subscription equal the wanted ones, in a safe order.

    Nothing overlaps on the way: plans first give way to what of them is still wanted, then new ones start, then others grow.
    """
    pairs, new, left_over = _match(wanted, current)
    if left_over:
        raise Parked(
            "plan_not_wanted",
            "account plan "
            + ", ".join(one.code for one in left_over)
            + " stands in m3ter, but the subscription's history has no "
            "such period",
            "Compare the subscription's history in Chargebee with the plan in m3ter, end or delete the plan there if it is "
            "wrong, then `connector syncs retry`.",
        )
    moves = [Move(one, want.start, want.end) for one, want in pairs if (one.start, one.end) != (want.start, want.end)]
    replaces: list[Change] = []
    for want in list(new):
        ending = next((move for move in moves if move.end == want.start and _only_ends(move)), None)
        if ending is not None:
            replaces.append(Replace(ending.current, want))
            moves.remove(ending)
            new.remove(want)
    kept = [Move(move.current, *_common(move)) for move in moves]
    gives_way = [move for move in kept if (move.start, move.end) != (move.current.start, move.current.end)]
    grows = [move for move in moves if move not in kept]
    return [*gives_way, *replaces, *(Create(want) for want in new), *grows]


def _match(
    wanted: Sequence[Interval], current: Sequence[Current]
) -> tuple[list[tuple[Current, Interval]], list[Interval], list[Current]]:
    """Each standing plan with the interval it is for: the same start first, then one that it overlaps, of the same item."""
    new, left_over = list(wanted), list(current)
    pairs: list[tuple[Current, Interval]] = []
    for same in (_same_start, _overlapping):
        for one in list(left_over):
            want = next((want for want in new if same(one, want)), None)
            if want is not None:
                pairs.append((one, want))
                left_over.remove(one)
                new.remove(want)
    return pairs, new, left_over


def _same_start(one: Current, want: Interval) -> bool:
    return one.item_price_id == want.item_price_id and one.start == want.start


def _overlapping(one: Current, want: Interval) -> bool:
    return (
        one.item_price_id == want.item_price_id
        and (want.end is None or one.start < want.end)
        and (one.end is None or want.start < one.end)
    )


def _only_ends(move: Move) -> bool:
    return move.start == move.current.start and _not_later(move.end, move.current.end)


def _common(move: Move) -> tuple[datetime, datetime | None]:
    """The time that a plan has before and after a move."""
    return max(move.start, move.current.start), _earlier(move.end, move.current.end)


def _not_later(one: datetime | None, other: datetime | None) -> bool:
    return other is None or (one is not None and one <= other)


def apply_change(services: Services, run: Run, account_id: str, customer_id: str, change: Change) -> None:
    """Make one change in m3ter and note it in our rows."""
    run.check(services)
    match change:
        case Move():
            account_plans.move(services, run, change.current, start=change.start, end=change.end)
        case Replace():
            new = account_plans.plan(services, run, account_id, customer_id, change.wanted)
            account_plans.replace(services, run, change.current, new)
        case Create():
            new = account_plans.plan(services, run, account_id, customer_id, change.wanted)
            account_plans.create(services, run, new)
