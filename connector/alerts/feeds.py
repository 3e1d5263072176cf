"""What comes from the two providers: whether it comes, whether it is read, and what of it cannot be used."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, literal, select

from connector import catch_up, polls
from connector.alerts.findings import Finding, number, page, since
from connector.alerts.rules import URGENT, WARNING
from connector.models import InboxEvent, QuarantinedBody
from connector.services import Services

# A webhook comes within seconds; the event list is read every EVENT_POLL_SECONDS and so brings few events this soon.
BY_WEBHOOK_WITHIN = timedelta(minutes=2)
# So many of the newest events are looked at; of fewer nothing is said.
NEWEST, FEWEST = 10, 5
# Failed events are counted up to here.
MOST = 1000
REFUSED_WITHIN = timedelta(days=1)
URGENT_AFTER = timedelta(hours=6)


def find_silence(services: Services) -> Iterator[Finding]:
    """Nothing has come from Chargebee for ALERT_SILENCE_HOURS, neither by webhook nor with the event list."""
    hours, now = services.settings.alert_silence_hours, services.now()
    for name in services.connections if hours else ():
        last = max([services.installed_at, *(received for received, _ in _newest(services, name, 1))])
        if last <= now - timedelta(hours=hours):
            yield Finding(
                "no_events", name, WARNING,
                f"nothing has come from Chargebee for {name} since {last:%Y-%m-%d %H:%M} UTC, which is more than "
                f"{hours} hours",
                "See that Chargebee's webhook is enabled and reaches this address, and that its event list can be read.",
                page("/events", connection=name, source="chargebee"),
                f"connector events list --source chargebee --connection {name}", since=last,
            )  # fmt: skip


def find_missing_webhooks(services: Services) -> Iterator[Finding]:
    """Events come, but most of the newest only with the event list."""
    for name in services.connections:
        newest = _newest(services, name, NEWEST)
        in_time = sum(occurred is None or received - occurred <= BY_WEBHOOK_WITHIN for received, occurred in newest)
        if len(newest) >= FEWEST and 2 * in_time < len(newest):
            yield Finding(
                "no_webhooks", name, WARNING,
                f"webhooks of Chargebee's seem not to come for {name}: most of the last {len(newest)} events came late, or "
                "with the event list",
                "See in Chargebee that the webhook is enabled and what its deliveries are answered.",
                page("/events", connection=name, source="chargebee"),
                f"connector events list --source chargebee --connection {name}",
            )  # fmt: skip


def _newest(services: Services, connection: str, limit: int) -> list[tuple[datetime, datetime | None]]:
    """When the newest events of Chargebee's were received, and when they occurred."""
    rows = (
        select(InboxEvent.received_at, InboxEvent.occurred_at)
        .where(InboxEvent.connection == connection, InboxEvent.source == "chargebee")
        .order_by(InboxEvent.id.desc())
        .limit(limit)
    )
    with services.reading() as db:
        return [(received, occurred) for received, occurred in db.execute(rows)]


@dataclass(frozen=True)
class Poll:
    """A list of a provider's that is read again and again."""

    name: str
    what: str
    seconds: str
    lost: str


POLLS = (
    Poll(polls.EVENTS, "Chargebee's event list", "event_poll_seconds", "lost webhooks go unnoticed"),
    Poll(polls.BILLS, "m3ter's list of approved bills", "bill_poll_seconds", "no approved bill is found"),
)


def find_late_polls(services: Services) -> Iterator[Finding]:
    """Lists that could not be read for a while; after some hours that is urgent."""
    now = services.now()
    with services.reading() as db:
        last = polls.last(db)
    for name in services.connections:
        for poll in POLLS:
            read = last.get((name, poll.name), services.installed_at)
            allowed = max(timedelta(seconds=3 * getattr(services.settings, poll.seconds)), timedelta(minutes=30))
            if now - read > allowed:
                yield Finding(
                    "poll_late", name, URGENT if now - read > URGENT_AFTER else WARNING,
                    f"{poll.what} was last read to its end for {name} at {read:%Y-%m-%d %H:%M} UTC: {poll.lost}",
                    "See in the clock's log what the provider answers; check the credentials and their rights.",
                    "/connections", "connector connections list", about=(poll.name.split()[0],), since=read,
                )  # fmt: skip


def find_lost(services: Services) -> Iterator[Finding]:
    """Events that Chargebee may have dropped from its list before they were read."""
    for name in services.connections:
        with services.reading() as db:
            lost = catch_up.lost_since(db, name)
        if lost is not None:
            yield Finding(
                "events_lost", name, URGENT,
                f"events of {name} since {lost:%Y-%m-%d %H:%M} UTC may be lost: Chargebee no longer lists them",
                "Read all subscriptions anew, then say `connector events missed --backfilled`.",
                "/connections", f"connector events missed --connection {name}", since=lost,
            )  # fmt: skip


def find_unusable(services: Services) -> Iterator[Finding]:
    """Events that could not be handled, and deliveries of the last day that were no events."""
    now = services.now()
    # Written out: an index of some rows only is not found by a parameter.
    failed = InboxEvent.status == literal("failed", literal_execute=True)
    some = select(InboxEvent.connection, InboxEvent.received_at).where(failed).limit(MOST).subquery()
    refused = QuarantinedBody.received_at > now - REFUSED_WITHIN
    with services.reading() as db:
        events = db.execute(
            select(some.c.connection, func.count(), func.min(some.c.received_at)).group_by(some.c.connection)
        ).all()
        bodies = db.execute(
            select(QuarantinedBody.connection, func.count(), func.min(QuarantinedBody.received_at))
            .where(refused)
            .group_by(QuarantinedBody.connection)
        ).all()
    for name, count, oldest in events:
        if name in services.connections:
            yield Finding(
                "events_failed", name, WARNING,
                f"{number(count, 'event')}{' or more' if count >= MOST else ''} of {name} could not be handled{since(oldest)}",
                "See what each says, then `connector events replay --status failed`.",
                page("/events", connection=name, status="failed"),
                f"connector events list --status failed --connection {name}", count=count, since=oldest,
            )  # fmt: skip
    for name, count, oldest in bodies:
        if name in services.connections:
            yield Finding(
                "quarantined", name, WARNING,
                f"{number(count, 'delivery', 'deliveries')} to {name} in the last day could not become an event",
                "See their reasons by `connector events quarantine`; what Chargebee sent stays in its event list.",
                page("/events", connection=name), f"connector events quarantine --connection {name}",
                count=count, since=oldest,
            )  # fmt: skip
