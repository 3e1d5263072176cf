"""When something is said of an alert, and when it is over: pure functions, without clock or database.

Each destination is told by itself, so that one which cannot be reached misses nothing and holds nobody up. What comes and
goes is not said each time: an alert is over only after it has been quiet for a while, and for longer each time that it returns.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

WARNING, URGENT = "warning", "urgent"
# From the least to the most.
SEVERITIES = (WARNING, URGENT)
# Why a destination is told of an alert.
NEW, WORSE, MORE, STILL, OVER = "new", "worse", "more", "still", "over"

QUIET_BEFORE_OVER = timedelta(minutes=10)
# Longest wait before something that keeps coming back is said to be over.
LONGEST_QUIET = timedelta(days=1)
# What comes back within this has returned; later it is something new.
RETURNS_WITHIN = timedelta(days=1)
# Growth alone is said no more often than this.
BETWEEN_MORE = timedelta(minutes=15)
# Less than this is never much more.
MUCH = 5


@dataclass(frozen=True)
class Standing:
    """An alert as far as these rules need it."""

    severity: str
    count: int
    opened_at: datetime
    resolved_at: datetime | None = None


@dataclass(frozen=True)
class Told:
    """What a destination was last told of the alert, and when."""

    at: datetime
    severity: str
    count: int
    resolved: bool = False


@dataclass(frozen=True)
class Terms:
    """How an alert is to be told: how long it has to stand first, when again, whether its end is said, whether it is muted."""

    patience: timedelta
    remind: timedelta
    resolved: bool
    muted: bool = False


def rank(severity: str) -> int:
    """The higher, the more severe."""
    return SEVERITIES.index(severity)


def reason(alert: Standing, told: Told | None, terms: Terms, now: datetime) -> str | None:
    """Why a destination is to be told of this alert now; None for not at all."""
    if terms.muted:
        return None
    if alert.resolved_at is not None:
        # The end of what nobody was told of is no news.
        return OVER if terms.resolved and told is not None and not told.resolved else None
    if told is None:
        return NEW if now - alert.opened_at >= terms.patience else None
    if rank(alert.severity) > rank(told.severity):
        return WORSE
    if is_much_more(alert.count, told.count) and now - told.at >= BETWEEN_MORE:
        return MORE
    return STILL if now - told.at >= terms.remind else None


def is_much_more(count: int, told: int) -> bool:
    """Whether it has at least doubled, and that by more than a few."""
    return count >= max(2 * told, told + MUCH)


def quiet_needed(returns: int) -> timedelta:
    """For how long an alert that has come back so often must not be seen before it is over."""
    # Bounded before it is multiplied: after many returns the factor would be beyond all days.
    doubled: int = 2 ** min(returns, 10)
    return min(QUIET_BEFORE_OVER * doubled, LONGEST_QUIET)


def is_over(last_seen_at: datetime, returns: int, now: datetime) -> bool:
    """Whether an alert that was not seen now is over."""
    return now - last_seen_at >= quiet_needed(returns)


def returns_of(resolved_at: datetime | None, returns: int, now: datetime) -> int:
    """How often something that is seen now has come back, by when it was last over and what was counted then."""
    return returns + 1 if resolved_at is not None and now - resolved_at < RETURNS_WITHIN else 0
