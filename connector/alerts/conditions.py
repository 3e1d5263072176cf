"""Everything that people are told of: a new condition is a line here and a function that finds it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from connector.alerts import around, billing, feeds, work
from connector.alerts.findings import Finding
from connector.services import Services

AT_ONCE = timedelta(0)


@dataclass(frozen=True)
class Condition:
    """One or several that are found together: how, in plain words when, and for how long it has to stand before it is said.

    What takes longer to work out is `slow`, and looked at every RECHECK_SECONDS.
    """

    names: tuple[str, ...]
    when: str
    find: Callable[[Services], Iterable[Finding]]
    patience: timedelta = AT_ONCE
    slow: bool = False


CONDITIONS = (
    Condition(
        ("parked", "failing", "crashing", "waiting_long"),
        "syncs that need a person, fail again and again, kill their workers or wait too long",
        work.find,
    ),
    Condition(
        ("work_untaken", "events_untaken"), "due work, or events, that nobody takes", work.find_untaken,
        # After a stop of the whole connector all is late for a moment.
        patience=timedelta(minutes=2),
    ),
    Condition(("no_events",), "no event of Chargebee's has come for hours", feeds.find_silence),
    Condition(
        ("no_webhooks",), "events come, but only with the event list", feeds.find_missing_webhooks,
        patience=timedelta(minutes=30),
    ),
    Condition(("poll_late",), "a list of a provider's could not be read for a while", feeds.find_late_polls),
    Condition(("events_lost",), "events gone from Chargebee's list before they were read", feeds.find_lost),
    Condition(("events_failed", "quarantined"), "events and deliveries that cannot be used", feeds.find_unusable),
    Condition(("paused",), "a connection that has paused itself", around.find_pauses),
    Condition(
        ("paused_by_hand",), "a connection that a person has paused some hours ago", around.find_pauses_by_hand,
        patience=timedelta(hours=8),
    ),
    Condition(("access_refused",), "credentials that a provider refuses", around.find_refusals),
    Condition(("redis_away",), "Redis does not answer", around.find_redis, patience=timedelta(minutes=2)),
    Condition(("alerts_undelivered",), "a destination of alerts that cannot be reached", around.find_destinations),
    Condition(("balance_low",), "watched balances that run low", billing.find_low_balances),
    Condition(("shadow_differs",), "bills that shadow mode would have sent otherwise", billing.find_shadow_differences),
    Condition(("closing",), "invoices that close before their bills are on them", billing.find_closings, slow=True),
)  # fmt: skip
PATIENCE = {name: one.patience for one in CONDITIONS for name in one.names}
