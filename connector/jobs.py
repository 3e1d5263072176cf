"""Both ends of the queue. Redis only rings the bell: a job carries a row's id, and SQL is the record of what is to do."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker_registration import get_keys
from sqlalchemy.exc import OperationalError

from connector import event_records, handlers, inbox, syncs
from connector.models import InboxEvent
from connector.services import Services

log = structlog.get_logger(__name__)

SYNC_QUEUE, BILLS_QUEUE = "sync", "bills"
QUEUES = (SYNC_QUEUE, BILLS_QUEUE)
BELL = "connector:bell"
BELL_SECONDS = 10
BATCH = 200
# Finished and failed jobs say nothing that the rows do not say better.
RESULT_SECONDS = 0
FAILURE_SECONDS = 86_400


def ring(redis: Redis) -> None:
    """Have the new inbox rows dispatched: one job for a whole burst. A bell that cannot be heard is rung by the clock."""
    try:
        if redis.set(BELL, 1, nx=True, ex=BELL_SECONDS):
            _queue(redis, SYNC_QUEUE).enqueue_many([_job("dispatch")])
    except RedisError as error:
        log.warning("the queue cannot be reached; the clock will ring again", error=type(error).__name__)


def enqueue(redis: Redis, due: Iterable[tuple[int, str]]) -> None:
    """Queue these syncs, given as ids and kinds; raises RedisError when Redis cannot be reached."""
    by_queue: dict[str, list[int]] = {}
    for sync_id, kind in due:
        by_queue.setdefault(queue_of(kind), []).append(sync_id)
    for name, ids in by_queue.items():
        _queue(redis, name).enqueue_many([_job("run_sync", sync_id) for sync_id in ids])


def queue_of(kind: str) -> str:
    """Money has a queue of its own, so that a flood of events never delays it."""
    return BILLS_QUEUE if kind in syncs.MONEY_KINDS else SYNC_QUEUE


@dataclass(frozen=True)
class State:
    """One queue: how many jobs wait in it, and how many workers have given a sign of life lately."""

    queue: str
    waiting: int
    workers: int


def states(redis: Redis) -> list[State]:
    """How each queue stands; raises RedisError."""
    found = []
    for name in QUEUES:
        queue = _queue(redis, name)
        # A worker that died without a word stands in the list until another one starts, but its own key runs out.
        keys = list(get_keys(queue))
        found.append(State(name, queue.count, int(redis.exists(*keys)) if keys else 0))
    return found


def dispatch(services: Services) -> None:
    """Take all new inbox rows in batches: keep what they say, open their syncs, queue those."""
    services.redis.delete(BELL)  # first, so that whatever is committed from here on rings anew
    while True:
        now = services.now()
        with services.transaction() as db:
            rows = inbox.take_new(db, BATCH)
            asked = [sync_id for row in rows for sync_id in _dispatch_one(db, row, now)]
            event_records.keep(db, rows)
            due = syncs.mark_queued(db, list(dict.fromkeys(asked)), now)
        enqueue(services.redis, due)
        if len(rows) < BATCH:
            return


def _dispatch_one(db: Any, row: InboxEvent, now: datetime) -> list[int]:
    """One row's syncs; a row that cannot be used is marked with its reason and does not hold up the others."""
    try:
        with db.begin_nested():
            return handlers.dispatch(db, row, now)
    except OperationalError:
        raise  # the database, not the event
    except Exception as error:
        log.exception("event cannot be used", inbox=row.id)
        row.status, row.reason, row.handled_at = "failed", f"{type(error).__name__}: {error}"[:500], now
        return []


def run_sync(services: Services, sync_id: int) -> None:
    """Try one sync; what it leaves due at once is queued again."""
    syncs.attempt(services, sync_id, handlers.KINDS)
    now = services.now()
    with services.transaction() as db:
        due = syncs.still_due(db, sync_id, now)
    enqueue(services.redis, due)


# All that a worker will ever run, whatever somebody puts into Redis.
JOBS: dict[str, Callable[..., None]] = {"dispatch": dispatch, "run_sync": run_sync}


def _queue(redis: Redis, name: str) -> Queue:
    return Queue(name, connection=redis, serializer=JSONSerializer)


def _job(name: str, *ids: int) -> Any:
    return Queue.prepare_data(
        name, args=ids, timeout=-1, result_ttl=RESULT_SECONDS, failure_ttl=FAILURE_SECONDS, description=f"{name} {ids}"
    )


def worker(services: Services, queue: str) -> SimpleWorker:
    """A worker for one queue: with two, RQ can lose a job between queue and registry (environment: RQ 2.12)."""

    class ServicesJob(Job):  # type: ignore[misc]  # RQ has no types
        """A job by its name in JOBS, run with this worker's services."""

        def _execute(self) -> None:
            function = JOBS.get(str(self.func_name))
            if function is None or not all(isinstance(one, int) for one in self.args) or self.kwargs:
                raise ValueError(f"{self.func_name!r} is not a job of the connector")
            function(services, *self.args)

    return SimpleWorker(
        [Queue(queue, connection=services.redis, serializer=JSONSerializer, job_class=ServicesJob)],
        connection=services.redis,
        serializer=JSONSerializer,
        job_class=ServicesJob,
    )
