"""The durable unit of work: open, claim, try, finish, park, re-run. Console, commands and metrics read these rows."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import and_, case, func, literal, or_, select, update
from sqlalchemy.orm import Session

from connector import pauses
from connector.clients.http import Call, recorded_calls
from connector.database import insert
from connector.errors import (
    AccessRefused,
    Cause,
    ConnectorError,
    LeaseLost,
    OutOfScope,
    Parked,
    Rejected,
    Retryable,
    Waiting,
)
from connector.models import IS_OPEN, OPEN, Attempt, SeenBill, Sync
from connector.services import Services
from connector.settings import Settings

log = structlog.get_logger(__name__)

MONEY_KINDS = pauses.MONEY_KINDS
STATUSES = (*OPEN, "succeeded", "superseded")
# What a retry may let go on; of what is pending, only what has been put off.
HELD_BACK = ("parked", "waiting", "pending")
RETRY_BASE_SECONDS = 30
RETRY_CAP_SECONDS = 3600
ACCESS_RETRY_SECONDS = 300
TEXT_LIMIT = 2000


@dataclass
class Run:
    """One attempt at a sync, handed to the function that does the work."""

    sync_id: int
    attempt_id: int
    connection: str
    kind: str
    subject: str
    attempts: int
    fence: int
    deadline: datetime
    retried_by: str | None = None
    stopped_by: str | None = None
    wanted: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    did: list[str] = field(default_factory=list)
    holds: set[str] = field(default_factory=set)

    def note(self, sentence: str) -> None:
        """Keep for the person who reads the attempt what was found or done."""
        self.did.append(sentence)

    def lets_pass(self, cause: str) -> bool:
        """Whether a person retried the sync after it had stopped for just this cause: they have looked at it."""
        return self.retried_by is not None and self.stopped_by == cause

    def check(self, services: Services) -> None:
        """Called right before anything is sent: raises LeaseLost when this attempt's time is over, Waiting for no money."""
        if self.kind in MONEY_KINDS:
            pauses.count_send(services, self.connection)
        if services.now() >= self.deadline:
            raise LeaseLost("the time for this attempt is over; it goes on in the next")


Work = Callable[[Services, Run], str]


def times(settings: Settings, kind: str) -> tuple[timedelta, timedelta]:
    """How long one attempt may send, and after how long another worker may take over.

    Money keeps the long times of its protocol; everything else converges, so a dead worker is replaced sooner.
    """
    if kind in MONEY_KINDS:
        return timedelta(seconds=settings.job_deadline_seconds), timedelta(seconds=settings.lease_seconds)
    return timedelta(seconds=2 * settings.http_timeout_seconds), timedelta(seconds=4 * settings.http_timeout_seconds)


def ask(db: Session, *, connection: str, kind: str, subject: str, trigger: str, now: datetime) -> int:
    """The id of the open sync of this subject: a new one, or the one that stands, woken if it waited or was parked."""
    running = Sync.status == "running"
    statement = (
        insert(db, Sync)
        .values(
            connection=connection, kind=kind, subject=subject, trigger=trigger, status="pending",
            attempts=0, crashes=0, runs=0, fence=0, again=False, next_attempt_at=now, created_at=now, updated_at=now,
        )
        .on_conflict_do_update(
            index_elements=["connection", "kind", "subject"],
            index_where=IS_OPEN,
            set_={
                "again": running,
                "status": case((running, "running"), else_="pending"),
                "next_attempt_at": case((Sync.status.in_(("pending", "running")), Sync.next_attempt_at), else_=now),
                "attempts": case((Sync.status.in_(("pending", "running")), Sync.attempts), else_=0),
                "queued_at": case((Sync.status.in_(("pending", "running")), Sync.queued_at), else_=None),
                "wakes_on": None,
                "updated_at": now,
            },
        )
        .returning(Sync.id)
    )  # fmt: skip
    return int(db.scalar(statement))


def wake(db: Session, connection: str, keys: Iterable[str], now: datetime) -> list[int]:
    """Let everything go on that waited, or was parked, for one of these; answers their ids."""
    return list(
        db.scalars(
            update(Sync)
            .where(Sync.connection == connection, Sync.wakes_on.in_(list(keys)), Sync.status.in_(("waiting", "parked")))
            .values(status="pending", next_attempt_at=now, queued_at=None, attempts=0, wakes_on=None, updated_at=now)
            .returning(Sync.id)
        )
    )


def take_due(db: Session, now: datetime, *, requeue_seconds: int, limit: int = 500) -> list[tuple[int, str]]:
    """Ids and kinds of what is due, not paused and not queued, or queued so long ago that the queue must have lost it.

    Up to `limit` bills, and as much else. Of the bills those come first whose period ended first: their invoices are
    closed first. Nothing else may crowd them out.
    """
    ended = (
        select(SeenBill.billed_until)
        .where(SeenBill.connection == Sync.connection, SeenBill.bill_id == Sync.subject)
        .correlate(Sync)
        .scalar_subquery()
    )
    due = (
        select(Sync.id)
        .where(
            Sync.status.in_(("pending", "waiting", "running")),
            Sync.next_attempt_at <= now,
            or_(Sync.queued_at.is_(None), Sync.queued_at <= now - timedelta(seconds=requeue_seconds)),
            pauses.holds_none(),
        )
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    is_money = Sync.kind.in_(MONEY_KINDS)
    bills = due.where(is_money).order_by(func.coalesce(ended, Sync.next_attempt_at), Sync.next_attempt_at, Sync.id)
    others = due.where(~is_money).order_by(Sync.next_attempt_at, Sync.id)
    return mark_queued(db, [*db.scalars(bills), *db.scalars(others)], now)


def still_due(db: Session, sync_id: int, now: datetime) -> list[tuple[int, str]]:
    """The sync itself, marked as queued, if it is to run again at once."""
    is_due = select(Sync.id).where(
        Sync.id == sync_id, Sync.status == "pending", Sync.next_attempt_at <= now, Sync.queued_at.is_(None)
    )
    return mark_queued(db, list(db.scalars(is_due)), now)


def mark_queued(db: Session, ids: Sequence[int], now: datetime) -> list[tuple[int, str]]:
    """Note that these are in the queue now; answers their ids and kinds in order."""
    if not ids:
        return []
    rows = db.execute(update(Sync).where(Sync.id.in_(ids)).values(queued_at=now).returning(Sync.id, Sync.kind))
    kinds = {row.id: row.kind for row in rows}
    return [(sync_id, kinds[sync_id]) for sync_id in dict.fromkeys(ids) if sync_id in kinds]


def attempt(services: Services, sync_id: int, kinds: dict[str, Work]) -> str:
    """Try this sync once, if it is due, not paused and nobody else is at it; answers the status it has afterwards."""
    run = _claim(services, sync_id)
    if run is None:
        return "not due"
    with recorded_calls() as calls:
        outcome = _outcome(services, run, kinds, calls)
    status = _finish(services, run, outcome, calls)
    cause = outcome.cause.code if outcome.cause else None
    log.info(
        "sync attempted", sync=run.sync_id, kind=run.kind, subject=run.subject, connection=run.connection,
        status=status, cause=cause, calls=len(calls),
    )  # fmt: skip
    pauses.learn(services, run.connection, run.sync_id, cause, outcome.text, calls)
    return status


@dataclass(frozen=True)
class _Outcome:
    status: str
    text: str = ""
    cause: Cause | None = None
    seconds: float = 0
    wakes_on: str | None = None
    counts: bool = True


def _claim(services: Services, sync_id: int) -> Run | None:
    now = services.now()
    with services.transaction() as db:
        kind = db.scalar(select(Sync.kind).where(Sync.id == sync_id))
        if kind is None:
            return None
        deadline, lease = times(services.settings, kind)
        row = db.execute(
            update(Sync)
            .where(
                Sync.id == sync_id,
                Sync.next_attempt_at <= now,
                or_(
                    Sync.status.in_(("pending", "waiting")),
                    and_(Sync.status == "running", Sync.lease_until <= now),
                ),
                pauses.holds_none(),
            )
            .values(
                status="running",
                fence=Sync.fence + 1,
                attempts=Sync.attempts + 1,
                runs=Sync.runs + 1,
                crashes=case((Sync.status == "running", Sync.crashes + 1), else_=0),
                lease_until=now + lease,
                next_attempt_at=now + lease,
                again=False,
                queued_at=None,
                updated_at=now,
            )
            .returning(Sync)
        ).scalar_one_or_none()
        if row is None:
            return None
        db.execute(
            update(Attempt)
            .where(Attempt.sync_id == sync_id, Attempt.outcome == "running")
            .values(outcome="died", finished_at=now)
        )
        tried = Attempt(
            sync_id=sync_id, number=row.runs, started_at=now, outcome="running", wanted=[], found=[], did=[], calls=[]
        )
        db.add(tried)
        db.flush()
        return Run(
            sync_id=row.id, attempt_id=tried.id, connection=row.connection, kind=row.kind, subject=row.subject,
            attempts=row.attempts, fence=row.fence, deadline=now + deadline,
            retried_by=row.retried_by, stopped_by=row.cause,
        )  # fmt: skip


def _outcome(services: Services, run: Run, kinds: dict[str, Work], calls: list[Call]) -> _Outcome:
    """What the work came to, every failure turned into a status with a reason and a next step."""
    if _crashes(services, run) >= services.settings.max_crashes:
        cause = Cause(
            "crashed",
            f"the worker died {services.settings.max_crashes} times in a row at this sync",
            "Look into the worker's log, then `connector syncs retry`.",
        )
        return _Outcome("parked", cause.text, cause)
    try:
        if run.kind in MONEY_KINDS:
            pauses.check_money(services, run.connection)
        return _Outcome("succeeded", kinds[run.kind](services, run))
    except Waiting as waiting:
        return _Outcome("waiting", str(waiting), waiting.cause, waiting.seconds, waiting.wakes_on, counts=False)
    except OutOfScope as out:
        return _Outcome("succeeded", str(out), out.cause)
    except Parked as parked:
        return _Outcome("parked", str(parked), parked.cause, wakes_on=parked.wakes_on)
    except LeaseLost as lost:
        cause = Cause("out_of_time", str(lost), "Nothing: it goes on by itself.")
        return _Outcome("pending", str(lost), cause)
    except AccessRefused as refused:
        cause = Cause("access_refused", str(refused), "Check the connection's credentials and their rights.")
        return _Outcome("pending", str(refused), cause, ACCESS_RETRY_SECONDS, counts=False)
    except Retryable as failed:
        cause = Cause("not_now", str(failed), "Nothing: it is tried again.")
        if pauses.is_paused_for(services, run.connection, calls):
            return _Outcome("pending", str(failed), cause, services.settings.probe_seconds, counts=False)
        return _later(services, run, cause, failed.retry_after)
    except Rejected as rejected:
        cause = Cause("rejected", str(rejected), "Mend what the provider names, then `connector syncs retry`.")
        return _Outcome("parked", str(rejected), cause)
    except ConnectorError as error:
        cause = Cause("not_understood", str(error), "Check the named data, then `connector syncs retry`.")
        return _Outcome("parked", str(error), cause)
    except Exception as bug:  # a bug at one subject must not stop the worker for all others
        log.exception("sync failed unexpectedly", sync=run.sync_id)
        text = f"{type(bug).__name__} in the connector itself"
        return _later(services, run, Cause("internal_error", text, "Report it with the worker's log."), None)


def _later(services: Services, run: Run, cause: Cause, retry_after: float | None) -> _Outcome:
    if run.attempts >= services.settings.max_attempts:
        tired = Cause(
            cause.code, f"{cause.text} (after {run.attempts} tries)", "Mend the cause, then `connector syncs retry`."
        )
        return _Outcome("parked", tired.text, tired)
    ceiling = min(RETRY_CAP_SECONDS, RETRY_BASE_SECONDS * 2 ** (run.attempts - 1))
    wait = max(retry_after or 0, ceiling / 2 + services.chance.random() * ceiling / 2)
    return _Outcome("pending", cause.text, cause, wait)


def _crashes(services: Services, run: Run) -> int:
    with services.reading() as db:
        return db.scalar(select(Sync.crashes).where(Sync.id == run.sync_id)) or 0


def _finish(services: Services, run: Run, outcome: _Outcome, calls: list[Call]) -> str:
    """Write the outcome down, unless another worker has taken over; what arrived meanwhile makes it run once more."""
    now = services.now()
    again = and_(Sync.again, literal(outcome.status in ("succeeded", "waiting", "parked")))
    with services.transaction() as db:
        status = db.scalar(
            update(Sync)
            .where(Sync.id == run.sync_id, Sync.fence == run.fence, Sync.status == "running")
            .values(
                status=case((again, "pending"), else_=outcome.status),
                next_attempt_at=case((again, now), else_=now + timedelta(seconds=outcome.seconds)),
                wakes_on=case((again, None), else_=outcome.wakes_on),
                retried_by=None if outcome.status in ("succeeded", "parked") else Sync.retried_by,
                queued_at=case((again, None), else_=Sync.queued_at),
                attempts=case((again, 0), else_=Sync.attempts if outcome.counts else Sync.attempts - 1),
                crashes=0,
                again=False,
                lease_until=None,
                cause=outcome.cause.code if outcome.cause else None,
                text=outcome.text[:TEXT_LIMIT],
                next_step=outcome.cause.next_step if outcome.cause else None,
                updated_at=now,
            )
            .returning(Sync.status)
        )
        db.execute(
            update(Attempt)
            .where(Attempt.id == run.attempt_id)
            .values(
                finished_at=now,
                outcome=outcome.status if status else "taken over",
                cause=outcome.cause.code if outcome.cause else None,
                text=outcome.text[:TEXT_LIMIT],
                wanted=run.wanted,
                found=run.found,
                did=run.did,
                calls=[asdict(call) for call in calls],
            )
        )
    return status or "taken over"


def retry(db: Session, sync_id: int, actor: str, now: datetime) -> str:
    """Let a parked, waiting or put-off sync run now; answers `queued`, `already queued`, `running` or `closed`."""
    held_back = or_(Sync.status.in_(("parked", "waiting")), and_(Sync.status == "pending", Sync.next_attempt_at > now))
    found = db.scalar(
        update(Sync)
        .where(Sync.id == sync_id, held_back)
        .values(
            status="pending",
            next_attempt_at=now,
            queued_at=None,
            attempts=0,
            crashes=0,
            wakes_on=None,
            retried_by=actor,
            updated_at=now,
        )
        .returning(Sync.id)
    )
    if found is not None:
        return "queued"
    status = db.scalar(select(Sync.status).where(Sync.id == sync_id))
    return {"pending": "already queued", "running": "running"}.get(status or "", "closed")


def skip(db: Session, sync_id: int, reason: str, now: datetime) -> bool:
    """Close a parked or waiting sync without doing it, for a person's reason; False when it is neither."""
    found = db.scalar(
        update(Sync)
        .where(Sync.id == sync_id, Sync.status.in_(("parked", "waiting")))
        .values(status="superseded", cause="skipped", text=reason, next_step=None, wakes_on=None, updated_at=now)
        .returning(Sync.id)
    )
    return found is not None


def as_json(sync: Sync) -> dict[str, Any]:
    """The sync as the command line and scripts see it; the keys are stable."""
    names = (
        "id",
        "connection",
        "kind",
        "subject",
        "trigger",
        "status",
        "attempts",
        "runs",
        "cause",
        "text",
        "next_step",
        "wakes_on",
    )
    moments = ("next_attempt_at", "created_at", "updated_at")
    return {name: getattr(sync, name) for name in names} | {name: getattr(sync, name).isoformat() for name in moments}
