"""Connections that hold their work back: while a provider is away, for a person's reason, and money after a restore.

A pause is a row, so that every worker sees it. What it holds back is not tried and uses up no tries. Events are taken and
approved bills are read all the same, and wait.
"""

from collections import defaultdict
from collections.abc import Callable, Collection
from datetime import datetime, timedelta

import structlog
from redis.exceptions import RedisError
from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session

from connector.clients.http import Call
from connector.database import insert
from connector.errors import ConnectorError, Waiting
from connector.models import Failure, Pause, SendCount, Sync
from connector.services import Connected, Services

log = structlog.get_logger(__name__)

# The kinds of syncs that send money.
MONEY_KINDS = frozenset({"bill", "balance_request", "top_up"})
# The kinds that can do nothing without Chargebee.
CHARGEBEE_KINDS = frozenset({"bill", "top_up"})
ALL, CHARGEBEE, M3TER, MONEY = "all", "chargebee", "m3ter", "money"
# The kinds of syncs that a pause holds back, None for all. Sign-ups go on without Chargebee: its events have told all that
# they nearly always need, and m3ter takes no usage for an account that is not there.
HOLDS: dict[str, frozenset[str] | None] = {ALL: None, M3TER: None, CHARGEBEE: CHARGEBEE_KINDS, MONEY: MONEY_KINDS}
# Why an attempt may have failed with nothing wrong but the provider.
PROVIDER_CAUSES = frozenset({"access_refused", "not_now"})
BY_HAND, MONEY_OFF = "by_hand", "money_off"
# No customer has this id, so that looking for it brings nothing back.
NOBODY = "connector-probe"

PROBES: dict[str, Callable[[Connected, datetime], object]] = {
    CHARGEBEE: lambda connected, now: connected.chargebee.list_events(occurred_after=now, limit=1),
    M3TER: lambda connected, _: connected.m3ter.account_by_code(NOBODY),
}


def holds_none() -> ColumnElement[bool]:
    """The condition that no pause holds a sync back; one of money does not, since a bill has to say why it waits."""
    kinds = [
        and_(Pause.what == what, Sync.kind.in_(held)) if held else Pause.what == what
        for what, held in HOLDS.items()
        if what != MONEY
    ]
    return ~exists().where(Pause.connection == Sync.connection, or_(*kinds)).correlate(Sync)


def held_back(db: Session, connection: str, what: str) -> int:
    """How many syncs wait that such a pause holds back."""
    kinds = HOLDS[what]
    waiting = select(func.count(Sync.id)).where(
        Sync.connection == connection, Sync.status.in_(("pending", "running", "waiting"))
    )
    return db.scalar(waiting if kinds is None else waiting.where(Sync.kind.in_(kinds))) or 0


def of_connection(db: Session, connection: str) -> list[Pause]:
    """The connection's pauses, oldest first."""
    return list(db.scalars(select(Pause).where(Pause.connection == connection).order_by(Pause.id)))


def by_connection(db: Session) -> dict[str, list[Pause]]:
    """The pauses of all connections, of each the oldest first."""
    found: dict[str, list[Pause]] = defaultdict(list)
    for one in db.scalars(select(Pause).order_by(Pause.id)):
        found[one.connection].append(one)
    return dict(found)


def holding(db: Session, sync: Sync) -> list[Pause]:
    """The pauses that hold just this sync back."""
    found = of_connection(db, sync.connection)
    return [one for one in found if (kinds := HOLDS[one.what]) is None or sync.kind in kinds]


def to_lift(db: Session, connection: str, *, money: bool) -> list[Pause]:
    """What a person's word lifts: the pause of money and nothing else, or all but that."""
    return [one for one in of_connection(db, connection) if (one.what == MONEY) is money]


# While a provider is away


def is_paused_for(services: Services, connection: str, calls: list[Call]) -> bool:
    """Whether an attempt with these calls has failed at a provider that is known to be away: no try is used up by that."""
    with services.reading() as db:
        return _failing(calls) in {pause.what for pause in of_connection(db, connection)}


def _failing(calls: list[Call]) -> str | None:
    """The provider at whose call an attempt ended that failed for now; None when it was no call."""
    return calls[-1].provider.lower() if calls and calls[-1].error is not None else None


def learn(services: Services, connection: str, sync_id: int, cause: str | None, text: str, calls: list[Call]) -> None:
    """Take from an attempt which provider works and which does not; too many different syncs in a row pause it."""
    failing = _failing(calls) if cause in PROVIDER_CAUSES else None
    working = {call.provider.lower() for call in calls if call.error is None} - {failing}
    with services.reading() as db:
        known = set(db.scalars(select(Failure.provider).where(Failure.connection == connection).distinct()))
    if working & known:
        with services.transaction() as db:
            _forget(db, connection, working)
    if failing is not None and cause is not None:
        _count(services, connection, failing, sync_id, cause, text)


def _forget(db: Session, connection: str, providers: Collection[str]) -> None:
    db.execute(delete(Failure).where(Failure.connection == connection, Failure.provider.in_(providers)))


def _count(services: Services, connection: str, provider: str, sync_id: int, cause: str, text: str) -> None:
    now = services.now()
    mine = (Failure.connection == connection, Failure.provider == provider)
    with services.transaction() as db:
        db.execute(delete(Failure).where(*mine, Failure.cause != cause))
        made = insert(db, Failure).values(connection=connection, provider=provider, sync_id=sync_id, cause=cause)
        db.execute(made.on_conflict_do_nothing(index_elements=["connection", "provider", "sync_id"]))
        failed = db.scalar(select(func.count(Failure.id)).where(*mine)) or 0
        if failed < services.settings.pause_after_failures:
            return
        next_probe_at = now + timedelta(seconds=services.settings.probe_seconds)
        if not _pause(db, connection, provider, cause, text, now, next_probe_at):
            return
        waiting = held_back(db, connection, provider)
    log.error(
        "connection paused: the provider is probed, and work goes on when it answers",
        connection=connection, provider=provider, cause=cause, text=text[:300], waiting=waiting,
    )  # fmt: skip


def probe(services: Services) -> None:
    """Ask each provider that paused a connection whether it is back, when its time has come; where it is, work goes on."""
    with services.reading() as db:
        due = db.scalars(select(Pause).where(Pause.next_probe_at <= services.now()).order_by(Pause.id)).all()
    for pause in due:
        if pause.connection in services.connections:
            _probe(services, pause)


def _probe(services: Services, pause: Pause) -> None:
    try:
        PROBES[pause.what](services.connection(pause.connection), services.now())
    except ConnectorError as error:
        next_probe_at = services.now() + timedelta(seconds=services.settings.probe_seconds)
        with services.transaction() as db:
            db.execute(update(Pause).where(Pause.id == pause.id).values(next_probe_at=next_probe_at))
        log.warning("connection stays paused", connection=pause.connection, provider=pause.what, error=str(error)[:300])
    else:
        with services.transaction() as db:
            lift(db, pause.connection, pause.what, services.now())
        log.warning("connection goes on", connection=pause.connection, provider=pause.what)


# By a person, and the end of every pause


def pause_by_hand(db: Session, connection: str, what: str, reason: str, now: datetime) -> bool:
    """Pause for a person's reason until a person lifts it; False when it is paused for that already."""
    return _pause(db, connection, what, BY_HAND, reason, now, None)


def _pause(
    db: Session, connection: str, what: str, cause: str, text: str, now: datetime, next_probe_at: datetime | None
) -> bool:
    made = insert(db, Pause).values(
        connection=connection, what=what, cause=cause, text=text, since=now, next_probe_at=next_probe_at
    )
    made = made.on_conflict_do_nothing(index_elements=["connection", "what"])
    return db.scalar(made.returning(Pause.id)) is not None


def lift(db: Session, connection: str, what: str, now: datetime) -> bool:
    """End the pause and let what stopped for its cause go on at once; False when there is none."""
    cause = db.scalar(delete(Pause).where(Pause.connection == connection, Pause.what == what).returning(Pause.cause))
    if cause is None:
        return False
    _forget(db, connection, [what])
    held = (Sync.connection == connection, Sync.status.in_(("pending", "waiting")))
    db.execute(update(Sync).where(*held).values(queued_at=None))  # their jobs found the pause and are gone
    stopped = Sync.cause == (MONEY_OFF if what == MONEY else cause)
    db.execute(update(Sync).where(*held, stopped).values(status="pending", next_attempt_at=now, updated_at=now))
    return True


# Money after a restore


def check_money(services: Services, connection: str) -> None:
    """Raise Waiting while money is switched off, which a database that knows of too few sends does by itself.

    Redis remembers how many sends there have been. It may forget: then the next send tells it again.
    """
    mark = _mark(services, connection)  # before the database is asked: another worker may send in between
    with services.reading() as db:
        counted = _counted(db, connection)
        why = db.scalar(select(Pause.text).where(Pause.connection == connection, Pause.what == MONEY))
    if why is None and mark is not None and mark > counted:
        why = _switch_off(services, connection, counted, mark)
    if why is not None:
        raise Waiting(
            MONEY_OFF,
            f"money is switched off: {why}",
            "After a restore, compare what was pushed since the backup with its invoices; then "
            "`connector connections resume --money`.",
            seconds=services.settings.recheck_seconds,
        )


def _switch_off(services: Services, connection: str, counted: int, mark: int) -> str:
    why = f"the database is older than what was sent, as after a restore: it counts {counted} of {mark} steps"
    with services.transaction() as db:
        made = _pause(db, connection, MONEY, "restored", why, services.now(), None)
        waiting = held_back(db, connection, MONEY)
    if made:
        log.error("money is switched off", connection=connection, counted=counted, sent=mark, waiting=waiting)
    return why


def count_send(services: Services, connection: str) -> None:
    """Note, in the database and then in Redis, that something is about to be sent; Waiting once money is switched off."""
    with services.transaction() as db:
        made = insert(db, SendCount).values(connection=connection, number=1)
        number = db.scalar(
            made.on_conflict_do_update(index_elements=["connection"], set_={"number": SendCount.number + 1}).returning(
                SendCount.number
            )
        )
    try:
        # Never down: of two workers, the one with the lower number may come last.
        services.redis.zadd(_key(services), {connection: int(number)}, gt=True)
    except RedisError as error:
        log.warning("Redis does not learn of a send", connection=connection, error=type(error).__name__)
    check_money(services, connection)


def accept_database(services: Services, connection: str) -> None:
    """Make what the database knows the truth again, after a person has compared it with what was sent."""
    with services.reading() as db:
        counted = _counted(db, connection)
    services.redis.zadd(_key(services), {connection: counted})


def _counted(db: Session, connection: str) -> int:
    return db.scalar(select(SendCount.number).where(SendCount.connection == connection)) or 0


def _mark(services: Services, connection: str) -> int | None:
    try:
        mark = services.redis.zscore(_key(services), connection)
    except RedisError:
        return None  # a worker that reaches no Redis has no mark, as after a flush
    return None if mark is None else int(mark)


def _key(services: Services) -> str:
    return f"connector:sent:{services.installation}"
