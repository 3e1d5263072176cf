"""What the work needs: providers that let us in and answer, Redis, destinations that can be reached."""

from collections.abc import Iterator

from redis.exceptions import RedisError
from sqlalchemy import func, select

from connector import pauses
from connector.alerts.findings import EVERYWHERE, Finding, number
from connector.alerts.rules import URGENT, WARNING
from connector.models import AlertDestination, Failure, Pause
from connector.services import Services

REFUSED = "access_refused"
# Tries after which a destination is said to be out of reach.
MANY_TRIES = 3
OF_CONNECTIONS = ("/connections", "connector connections list")
# What is held back, by what a pause is called.
HELD = {pauses.MONEY: "its bills and top-ups", pauses.ALL: "all its work"}


def find_pauses(services: Services) -> Iterator[Finding]:
    """Connections that have paused themselves; the provider's words are shown where it is lifted."""
    return (one for one in _pauses(services) if one.condition == "paused")


def find_pauses_by_hand(services: Services) -> Iterator[Finding]:
    """Connections that a person has paused, and perhaps forgotten."""
    return (one for one in _pauses(services) if one.condition == "paused_by_hand")


def _pauses(services: Services) -> Iterator[Finding]:
    with services.reading() as db:
        found = db.scalars(select(Pause).order_by(Pause.id)).all()
    for one in found:
        if one.connection not in services.connections or one.cause == REFUSED:
            continue
        by_hand = one.cause == pauses.BY_HAND
        next_step = {
            pauses.BY_HAND: "Resume it when the reason is over.",
            "restored": "Compare what was pushed since the backup with its invoices, then resume with --money.",
        }.get(one.cause, "Nothing, if the provider comes back: it is asked again and again. Else ask the provider.")
        yield Finding(
            "paused_by_hand" if by_hand else "paused", one.connection, WARNING if by_hand else URGENT,
            f"{one.connection} is paused{' by a person' if by_hand else ''} since {one.since:%Y-%m-%d %H:%M} UTC "
            f"({one.what}, {one.cause}): {HELD.get(one.what, f'what needs {one.what}')} is held back",
            next_step, *OF_CONNECTIONS, about=(one.what,), since=one.since,
        )  # fmt: skip


def find_refusals(services: Services) -> Iterator[Finding]:
    """Providers that refuse a connection's credentials."""
    with services.reading() as db:
        said = (Failure.connection, Failure.provider)
        failed = db.execute(select(*said, func.count()).where(Failure.cause == REFUSED).group_by(*said)).all()
        paused = db.execute(select(Pause.connection, Pause.what).where(Pause.cause == REFUSED)).all()
    refused = dict.fromkeys(((one.connection, one.what) for one in paused), 0)
    refused |= {(connection, provider): count for connection, provider, count in failed}
    for (connection, provider), count in sorted(refused.items()):
        if connection in services.connections:
            is_paused = (connection, provider) in {(one.connection, one.what) for one in paused}
            yield Finding(
                REFUSED, connection, URGENT,
                f"{provider} refuses the credentials of {connection}"
                + (", whose work is paused" if is_paused else f": {number(count, 'sync')} failed for that"),
                "Check the key, its rights and whether it was revoked; work goes on by itself when it is accepted again.",
                *OF_CONNECTIONS, about=(provider,), count=max(count, 1),
            )  # fmt: skip


def find_redis(services: Services) -> Iterator[Finding]:
    """Redis does not answer; nothing is lost, but nothing is rung for either."""
    try:
        services.redis.ping()
    except RedisError:
        yield Finding(
            "redis_away", EVERYWHERE, URGENT, "Redis cannot be reached: webhooks are kept, and nobody works on them",
            "Start Redis or mend REDIS_URL; work goes on by itself, nothing has to be repeated.", "/", "connector syncs list",
        )  # fmt: skip


def find_destinations(services: Services) -> Iterator[Finding]:
    """Destinations of alerts that cannot be reached, told to the others."""
    if not services.settings.alert_urls:
        return
    with services.reading() as db:
        failing = db.scalars(select(AlertDestination).where(AlertDestination.tries >= MANY_TRIES)).all()
    for one in failing:
        yield Finding(
            "alerts_undelivered", EVERYWHERE, WARNING,
            f"alerts to {one.destination} have not gone through {number(one.tries, 'time')}",
            "Try `connector alerts test`, and mend ALERT_URLS or the destination.", "/alerts", "connector alerts test",
            about=(one.destination,), since=one.failing_since,
        )  # fmt: skip
