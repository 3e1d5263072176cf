"""What the clock does about alerts: look, and tell each destination what it does not know yet.

What a destination knows is written down after the message has gone, so that a crash in between repeats that one message. The
try itself is written down before: whatever keeps crashing, or only seems to fail, is repeated at growing intervals.
"""

from datetime import datetime, timedelta

import structlog
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from connector import leases
from connector.alerts import book, destinations, messages
from connector.alerts.conditions import CONDITIONS
from connector.alerts.destinations import Destination
from connector.alerts.findings import Finding
from connector.alerts.messages import Message
from connector.database import insert
from connector.models import AlertDestination
from connector.services import Services

log = structlog.get_logger(__name__)

# Longer than all destinations together may take.
LEASE_SECONDS = 60
LONGEST_PAUSE = timedelta(hours=1)


def watch(services: Services) -> None:
    """Look for what is quickly seen, and tell it."""
    look(services)
    tell(services)


def look_closely(services: Services) -> None:
    """Look for what takes longer to see; it is told with the next that is told."""
    look(services, slow=True)


def look(services: Services, *, slow: bool = False) -> None:
    """Bring the book up to what stands now. A condition that cannot be looked at leaves its alerts as they are."""
    found: list[Finding] = []
    looked_for: set[str] = set()
    for condition in CONDITIONS:
        if condition.slow is not slow:
            continue
        try:
            found += condition.find(services)
        except Exception:  # a bug in one must not silence all others
            log.exception("a condition could not be looked at", conditions=condition.names)
        else:
            looked_for.update(condition.names)
    with services.transaction() as db:
        book.write_down(db, found, looked_for, services.now())


def tell(services: Services) -> None:
    """Send each destination one message of all that it is to be told, if nobody else is at it."""
    # Half a second for Apprise only where there is somebody to be told.
    if not services.settings.alert_urls:
        return
    lease = leases.take(services, "alerts", LEASE_SECONDS)
    if lease is None:
        return
    try:
        _tell(services)
    finally:
        leases.release(services, lease)


def _tell(services: Services) -> None:
    now = services.now()
    to_tell = []
    wanted = destinations.of(services.settings)
    with services.transaction() as db:
        db.execute(delete(AlertDestination).where(AlertDestination.destination.not_in([one.name for one in wanted])))
    for where in wanted:
        with services.transaction() as db:
            said = (
                book.due(db, where.name, where.least, services.settings, now) if _may_try(db, where.name, now) else []
            )
            if said:
                _note_try(db, where.name, now, services.settings.alert_seconds)
                to_tell.append((where, said, message_for(db, services, where, said)))
    failed = destinations.send_all([(where, message) for where, _, message in to_tell])
    for where, said, _ in to_tell:
        why = failed[where.name]
        if why is not None:
            log.error("alerts could not be sent; it is tried again", destination=where.name, alerts=len(said), why=why)
            continue
        with services.transaction() as db:
            book.note_told(db, where.name, said, now)
            _note_sent(db, where.name, now)
        log.info("alerts sent", destination=where.name, alerts=len(said))


def message_for(db: Session, services: Services, where: Destination, said: list[book.Due]) -> Message:
    """What the destination would be sent."""
    return messages.compose(
        said, console_url=services.settings.console_url, all_over=not book.anything_open(db, where.least),
        longest=where.longest,
    )  # fmt: skip


def _may_try(db: Session, destination: str, now: datetime) -> bool:
    held_off = select(AlertDestination.id).where(
        AlertDestination.destination == destination, AlertDestination.tries > 0, AlertDestination.next_try_at > now
    )
    return db.scalar(held_off) is None


def _note_try(db: Session, destination: str, now: datetime, seconds: int) -> None:
    """That it is tried now, and when it is again unless this goes through."""
    tries = db.scalar(select(AlertDestination.tries).where(AlertDestination.destination == destination)) or 0
    again = now + min(timedelta(seconds=seconds) * 2 ** min(tries, 10), LONGEST_PAUSE)
    made = insert(db, AlertDestination).values(
        destination=destination, tries=1, next_try_at=again, failing_since=now, sent_at=None
    )
    db.execute(
        made.on_conflict_do_update(
            index_elements=["destination"],
            set_={
                "tries": AlertDestination.tries + 1,
                "next_try_at": again,
                "failing_since": func.coalesce(AlertDestination.failing_since, now),
            },
        )
    )


def _note_sent(db: Session, destination: str, now: datetime) -> None:
    known = {"tries": 0, "next_try_at": now, "failing_since": None, "sent_at": now}
    made = insert(db, AlertDestination).values(destination=destination, **known)
    db.execute(made.on_conflict_do_update(index_elements=["destination"], set_=known))


def test(services: Services) -> dict[str, str | None]:
    """Send every destination a message that says no more than that it is a test; why it failed, by name."""
    url = services.settings.console_url
    message = Message(
        "Chargebee-m3ter connector: test",
        f"This is a test: alerts of the connector arrive here.{f' Its console: {url}/alerts' if url else ''}",
        messages.INFO,
    )
    return destinations.send_all([(where, message) for where in destinations.of(services.settings)])
