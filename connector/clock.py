"""All periodic work, readable in one place. Any number of clocks may run: a lease lets one of them work at a time."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from connector import catch_up, inbox, jobs, leases, pauses, polls, syncs, tallies
from connector.alerts import watching as alerts
from connector.balances import watching
from connector.bills import approvals, closing
from connector.clients import heartbeat
from connector.errors import ConnectorError
from connector.services import Services

log = structlog.get_logger(__name__)

LEASE_SECONDS = 60
PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class Periodic:
    """One task and how often it runs."""

    name: str
    seconds: Callable[[Services], int]
    run: Callable[[Services], None]


def sweep(services: Services) -> None:
    """Ring again for all that is due: events not dispatched, syncs whose time has come, queued work that Redis lost."""
    now = services.now()
    with services.reading() as db:
        waiting = inbox.has_new(db)
    if waiting:
        jobs.ring(services.redis)
    with services.transaction() as db:
        due = syncs.take_due(db, now, requeue_seconds=services.settings.requeue_seconds)
    jobs.enqueue(services.redis, due)


def poll_bills(services: Services) -> None:
    """Learn of approved bills from m3ter, connection by connection."""
    for name in services.connections:
        try:
            opened = approvals.poll(services, name)
        except ConnectorError as error:
            log.warning("approved bills could not be read", connection=name, error=str(error)[:300])
        else:
            _read_through(services, name, polls.BILLS)
            log.info("approved bills read", connection=name, opened=opened)


def catch_up_events(services: Services) -> None:
    """Take from Chargebee's event list what no webhook has brought, connection by connection."""
    for name in services.connections:
        try:
            found = catch_up.take_missed_events(services, name)
        except ConnectorError as error:
            log.warning("events could not be read", connection=name, error=str(error)[:300])
        else:
            _read_through(services, name, polls.EVENTS)
            log.info("events read", connection=name, missed=found)
            if found:
                jobs.ring(services.redis)


def beat(services: Services) -> None:
    """Tell whoever watches from outside that this clock has come through all its work once more."""
    url = services.settings.heartbeat_url
    if url is None:
        return
    why = heartbeat.beat(url.get_secret_value())
    if why is not None:
        log.warning("the heartbeat was not taken", why=why)


def _read_through(services: Services, connection: str, what: str) -> None:
    with services.transaction() as db:
        polls.note(db, connection, what, services.now())


PERIODIC = (
    Periodic("catch up events", lambda services: services.settings.event_poll_seconds, catch_up_events),
    Periodic("poll bills", lambda services: services.settings.bill_poll_seconds, poll_bills),
    # When each provider is asked stands in its pause.
    Periodic("probe", lambda services: services.settings.sweep_seconds, pauses.probe),
    # When each balance is looked at stands in its watch.
    Periodic("watch balances", lambda services: services.settings.sweep_seconds, watching.check),
    Periodic("watch closings", lambda services: services.settings.recheck_seconds, closing.watch),
    Periodic("count", lambda _: tallies.SECONDS, tallies.count),
    Periodic("sweep", lambda services: services.settings.sweep_seconds, sweep),
    # Last, so that they see what the others have just done.
    Periodic("look closely for alerts", lambda services: services.settings.recheck_seconds, alerts.look_closely),
    Periodic("alerts", lambda services: services.settings.alert_seconds, alerts.watch),
    Periodic("heartbeat", lambda services: services.settings.alert_seconds, beat),
)


class Clock:
    """Runs each periodic task when its time has come."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._next: dict[str, datetime] = {}

    def tick(self) -> None:
        """Run what is due, if no other clock is at it; a task that fails is logged and comes again."""
        now = self._services.now()
        due = [task for task in PERIODIC if self._next.get(task.name, now) <= now]
        if not due:
            return
        lease = leases.take(self._services, leases.CLOCK, LEASE_SECONDS)
        if lease is None:
            return
        try:
            for task in due:
                self._next[task.name] = now + timedelta(seconds=task.seconds(self._services))
                self._run(task)
        finally:
            leases.release(self._services, lease)

    def _run(self, task: Periodic) -> None:
        try:
            task.run(self._services)
        except (ConnectorError, RedisError, SQLAlchemyError) as error:
            log.warning("periodic task failed; it comes again", task=task.name, error=type(error).__name__)

    def run_forever(self) -> None:
        """Tick until the process is stopped; a database that is away is waited for."""
        while True:
            try:
                self.tick()
            except SQLAlchemyError as error:
                log.warning("the database cannot be reached", error=type(error).__name__)
            time.sleep(PAUSE_SECONDS)
