"""Subscriptions that live through whatever Chargebee lets happen to one, with the truth of what was billed when.

The states are what Chargebee would show; the truth is kept beside them as it happens, by no rule of the connector's.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from hypothesis import strategies as st

from connector.clients.chargebee_objects import Subscription
from tests.builders import ADDON, BASIC, JAN, PRO, item, subscription

TERM = timedelta(days=30)
ITEMS = ((BASIC,), (PRO,), (BASIC, ADDON), (PRO, ADDON))
Periods = list[tuple[str, datetime, datetime | None]]


@dataclass
class Life:
    """One subscription: its states so far, oldest first, and which items were billed from when."""

    states: list[Subscription] = field(default_factory=list)
    billed: list[tuple[datetime, frozenset[str]]] = field(default_factory=list)

    @property
    def newest(self) -> Subscription:
        return self.states[-1]

    @property
    def now(self) -> datetime:
        return self.newest.updated_at or JAN

    def periods(self) -> Periods:
        """Each item with the time it was billed; periods that touch are one, and those of no length are none."""
        found: Periods = []
        open_since: dict[str, datetime] = {}
        turns = dict(self.billed)
        if self.newest.status == "non_renewing" and self.newest.cancelled_at is not None:
            turns[self.newest.cancelled_at] = frozenset()
        for moment, items in sorted(turns.items()):
            found += [(one, open_since.pop(one), moment) for one in sorted(open_since.keys() - items)]
            open_since |= dict.fromkeys(items - open_since.keys(), moment)
        return sorted([*found, *((one, start, None) for one, start in open_since.items())], key=lambda one: one[:2])

    def become(self, at: datetime, *, since: datetime | None = None, **difference: object) -> None:
        """Another state, written at `at`; what is billed changes then, or at `since`."""
        state = replace(self.newest, updated_at=at, resource_version=len(self.states) + 1, **difference)
        self.states.append(state)
        runs = state.status in ("active", "in_trial", "non_renewing")
        items = (
            frozenset(one.item_price_id for one in state.items if one.item_type != "charge") if runs else frozenset()
        )
        self.billed.append((since or at, items))

    def begin(self, items: tuple[str, ...], status: str) -> None:
        first = subscription(*items, status=status, updated_at=JAN, resource_version=1)
        if status == "future":
            first = replace(
                first, start_date=JAN + TERM, started_at=None, activated_at=None,
                current_term_start=None, current_term_end=None,
            )  # fmt: skip
        elif status == "in_trial":
            first = replace(
                first, trial_start=JAN, trial_end=JAN + TERM, activated_at=None,
                current_term_start=None, current_term_end=None,
            )  # fmt: skip
        else:
            first = replace(first, current_term_end=JAN + TERM)
        self.states.append(first)
        self.billed.append((JAN, frozenset() if status == "future" else frozenset(items)))

    def wait(self, pause: timedelta) -> datetime:
        """The moment after this pause; what Chargebee does by itself until then is done."""
        until = self.now + pause
        while (due := self._due()) is not None and due <= until:
            late = due + timedelta(minutes=3)  # renewals run in batches
            match self.newest.status:
                case "future":
                    self.become(late, since=due, status="active", started_at=due, activated_at=due, **_term(due))
                case "in_trial":
                    self.become(late, since=due, status="active", activated_at=due, **_term(due))
                case "non_renewing":
                    self.become(late, since=due, status="cancelled", cancelled_at=due)
                case _:
                    self.become(late, since=due, **_term(due))
        return max(until, self.now)

    def _due(self) -> datetime | None:
        state = self.newest
        return {
            "future": state.start_date,
            "in_trial": state.trial_end,
            "non_renewing": state.cancelled_at,
            "active": state.current_term_end,
        }.get(state.status)

    def change(self, pause: timedelta, items: tuple[str, ...]) -> None:
        at = self.wait(pause)
        if self.newest.status not in ("cancelled", "paused"):
            self.become(at, items=tuple(item(one) for one in items))

    def change_at_renewal(self, pause: timedelta, items: tuple[str, ...]) -> None:
        """A change that was scheduled for the end of the term: it is seen for the first time in the renewal's state."""
        self.wait(pause)
        due = self.newest.current_term_end
        if self.newest.status == "active" and due is not None:
            self.become(
                due + timedelta(minutes=3), since=due, items=tuple(item(one) for one in items), **_term(due)
            )  # fmt: skip

    def reprice(self, pause: timedelta, quantity: int) -> None:
        at = self.wait(pause)
        if self.newest.status not in ("cancelled", "paused"):
            self.become(at, items=tuple(replace(one, quantity=quantity) for one in self.newest.items))

    def cancel(self, pause: timedelta) -> None:
        at = self.wait(pause)
        if self.newest.status != "cancelled":
            self.become(at, status="cancelled", cancelled_at=at)

    def schedule_cancellation(self, pause: timedelta) -> None:
        at = self.wait(pause)
        if self.newest.status == "active":
            self.become(at, status="non_renewing", cancelled_at=self.newest.current_term_end)

    def remove_scheduled_cancellation(self, pause: timedelta) -> None:
        at = self.wait(pause)
        if self.newest.status == "non_renewing":
            self.become(at, status="active", cancelled_at=None)

    def reactivate(self, pause: timedelta) -> None:
        at = self.wait(pause)
        if self.newest.status == "cancelled":
            ends = self.newest.current_term_end
            renewed = {} if ends is not None and at < ends else _term(at)
            started = self.newest.started_at or at
            self.become(at, status="active", activated_at=at, cancelled_at=None, started_at=started, **renewed)

    def pause(self, pause: timedelta) -> None:
        at = self.wait(pause)
        if self.newest.status == "active":
            self.become(at, status="paused", pause_date=at)

    def resume(self, pause: timedelta) -> None:
        at = self.wait(pause)
        if self.newest.status == "paused":
            ends = self.newest.current_term_end
            renewed = {} if ends is not None and at < ends else _term(at)
            self.become(at, status="active", pause_date=None, activated_at=at, **renewed)


def _term(start: datetime) -> dict[str, datetime]:
    return {"current_term_start": start, "current_term_end": start + TERM}


@st.composite
def lives(
    draw: st.DrawFn,
    items: tuple[tuple[str, ...], ...] = ITEMS,
    shortest_pause: timedelta = timedelta(0),
    most: int = 7,
) -> Life:
    """A subscription's life of up to `most` happenings, each followed by what Chargebee does by itself."""
    life = Life()
    life.begin(draw(st.sampled_from(items)), draw(st.sampled_from(["active", "active", "in_trial", "future"])))
    pauses = st.sampled_from([timedelta(0), timedelta(minutes=5), timedelta(days=7), timedelta(days=40)])
    for _ in range(draw(st.integers(0, most))):
        pause = max(draw(pauses), shortest_pause)
        happening = draw(
            st.sampled_from([
                "change", "change", "change_at_renewal", "reprice", "cancel", "schedule_cancellation",
                "remove_scheduled_cancellation", "reactivate", "pause", "resume",
            ])
        )  # fmt: skip
        match happening:
            case "change" | "change_at_renewal":
                getattr(life, happening)(pause, draw(st.sampled_from(items)))
            case "reprice":
                life.reprice(pause, draw(st.integers(1, 9)))
            case _:
                getattr(life, happening)(pause)
    return life
