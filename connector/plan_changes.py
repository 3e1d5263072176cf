"""What makes the standing account plans of one subscription equal the wanted ones, in an order that never overlaps."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from connector.account_plans import Current, Interval, span
from connector.errors import Parked
from connector.timelines import Stretch, Wanted


@dataclass(frozen=True)
class Create:
    """Start a new account plan."""

    wanted: Interval

    def __str__(self) -> str:
        return f"start {self.wanted}"


@dataclass(frozen=True)
class Replace:
    """End one account plan where a new one starts, in one call."""

    current: Current
    wanted: Interval

    def __str__(self) -> str:
        return f"replace {self.current} by {self.wanted}"


@dataclass(frozen=True)
class Move:
    """Give a standing account plan another start or end."""

    current: Current
    start: datetime
    end: datetime | None

    def __str__(self) -> str:
        return f"let {self.current} run {span(self.start, self.end)}"


@dataclass(frozen=True)
class Rebill:
    """Give an account plan, as it stands after all other changes, another day for its first bill."""

    current: Current
    bill_epoch: date

    def __str__(self) -> str:
        return f"bill {self.current} on {self.bill_epoch} first"


@dataclass(frozen=True)
class Remove:
    """Take away an account plan of whose time nothing is left."""

    current: Current

    def __str__(self) -> str:
        return f"remove {self.current}"


Change = Create | Replace | Move | Rebill | Remove


def plan_changes(wanted: Wanted, current: Sequence[Current]) -> list[Change]:
    """The changes in a safe order; raises Parked for a standing plan that the history does not explain.

    Plans first give way to what of them is still wanted, then new ones start, then others grow.
    """
    pairs, new, left_over = _match(wanted.intervals, current)
    left_over = [one for one in left_over if one.item_price_id not in wanted.unmapped]
    unexplained = [one for one in left_over if not _is_undone(one, wanted) and not _is_mapped_anew(one, wanted)]
    if unexplained:
        raise Parked(
            "plan_not_wanted",
            "account plan "
            + ", ".join(one.code for one in unexplained)
            + " stands in m3ter, but the subscription's history has no such period",
            "Compare the subscription's history in Chargebee with the plan in m3ter, end or delete the plan there if it is "
            "wrong, then `connector syncs retry`.",
        )
    moves = [Move(one, want.start, want.end) for one, want in pairs if (one.start, one.end) != (want.start, want.end)]
    rebills = [
        Rebill(replace(one, start=want.start, end=want.end), want.bill_epoch)
        for one, want in pairs
        if one.bill_epoch is not None and want.bill_epoch is not None and one.bill_epoch != want.bill_epoch
    ]
    replaces: list[Change] = []
    for want in list(new):
        ending = next((move for move in moves if _hands_over(move, want)), None)
        if ending is not None:
            replaces.append(Replace(ending.current, want))
            moves.remove(ending)
            new.remove(want)
    kept = [Move(move.current, *_common(move)) for move in moves]
    gives_way = [move for move in kept if (move.start, move.end) != (move.current.start, move.current.end)]
    grows = [move for move in moves if move not in kept]
    return [*map(Remove, left_over), *gives_way, *replaces, *(Create(want) for want in new), *grows, *rebills]


def gives_way(change: Change) -> bool:
    """Whether the change takes time from a plan and gives none to any."""
    if isinstance(change, Remove):
        return True
    if not isinstance(change, Move):
        return False
    current = change.current
    return change.start >= current.start and _not_later(change.end, current.end)


def reaches_back_to(change: Change) -> datetime:
    """From when on, after the change, another plan is billed than before it."""
    match change:
        case Create(wanted) | Replace(_, wanted):
            return wanted.start
        case Remove(current):
            return current.start
        case Rebill(current, bill_epoch):
            later = max(filter(None, (current.bill_epoch, bill_epoch)))
            return datetime(later.year, later.month, later.day, tzinfo=UTC)
        case Move(current, start, end):
            moved = [
                moment for pair in ((current.start, start), (current.end, end)) if pair[0] != pair[1] for moment in pair
            ]
            return min(moment for moment in moved if moment is not None)


def _match(
    wanted: Sequence[Interval], current: Sequence[Current]
) -> tuple[list[tuple[Current, Interval]], list[Interval], list[Current]]:
    """Each standing plan with the interval it is for: the same start first, then one that it overlaps, of the same item."""
    new, left_over = list(wanted), list(current)
    pairs: list[tuple[Current, Interval]] = []
    for same in (_same_start, _overlap):
        for one in list(left_over):
            want = next((want for want in new if _of_one_plan(one, want) and same(one, want)), None)
            if want is not None:
                pairs.append((one, want))
                left_over.remove(one)
                new.remove(want)
    return pairs, new, left_over


def _of_one_plan(one: Current, want: Interval) -> bool:
    return (one.item_price_id, one.customer_id, one.plan_id) == (want.item_price_id, want.customer_id, want.plan_id)


def _same_start(one: Current, want: Interval) -> bool:
    return one.start == want.start


def _overlap(one: Current, other: Interval | Stretch) -> bool:
    return (other.end is None or one.start < other.end) and (one.end is None or other.start < one.end)


def _is_undone(one: Current, wanted: Wanted) -> bool:
    """Whether a later state has left nothing of the time that the plan was made for."""
    began = (one.item_price_id, one.customer_id, one.start)
    return any(
        gone.is_empty and (gone.item_price_id, gone.customer_id, gone.seen_from) == began for gone in wanted.stretches
    )


def _is_mapped_anew(one: Current, wanted: Wanted) -> bool:
    """Whether the item was sold in the plan's time, but means another plan or none today."""
    return any(
        (sold.item_price_id, sold.customer_id) == (one.item_price_id, one.customer_id)
        and not sold.is_empty
        and _overlap(one, sold)
        for sold in wanted.stretches
    ) and not any(_of_one_plan(one, want) for want in wanted.intervals)


def _hands_over(move: Move, want: Interval) -> bool:
    return move.end == want.start and move.current.customer_id == want.customer_id and _only_ends(move)


def _only_ends(move: Move) -> bool:
    return move.start == move.current.start and _not_later(move.end, move.current.end)


def _common(move: Move) -> tuple[datetime, datetime | None]:
    """The time that a plan has before and after a move."""
    return max(move.start, move.current.start), _earlier(move.end, move.current.end)


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((moment for moment in (one, other) if moment is not None), default=None)


def _not_later(one: datetime | None, other: datetime | None) -> bool:
    return other is None or (one is not None and one <= other)
