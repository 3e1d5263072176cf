"""The book of alerts: opened when something is found, kept while it stands, over when it has been quiet for a while."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from connector import audit
from connector.alerts import rules
from connector.alerts.conditions import PATIENCE
from connector.alerts.findings import EVERYWHERE, Finding
from connector.alerts.rules import Standing, Terms, Told
from connector.database import insert
from connector.errors import BadInput
from connector.models import Alert, AlertMute, AlertTelling
from connector.services import Services
from connector.settings import Settings

log = structlog.get_logger(__name__)

# More are not told of at once; there is one for each cause, not for each sync.
MOST = 1000


@dataclass(frozen=True)
class Due:
    """An alert that a destination is to be told of, and why."""

    alert: Alert
    reason: str


def write_down(db: Session, findings: Iterable[Finding], looked_for: Collection[str], now: datetime) -> None:
    """Bring the book up to what was found now; alerts of conditions that were not looked for stay as they are."""
    standing = select(Alert).where(Alert.resolved_at.is_(None), Alert.condition.in_(looked_for))
    standing_by_key = {one.key: one for one in db.scalars(standing)}
    for key, one in {one.key: one for one in findings}.items():
        seen = {
            "severity": one.severity, "count": one.count, "since": one.since, "text": one.text, "page": one.page,
            "next_step": one.next_step, "command": one.command, "last_seen_at": now,
        }  # fmt: skip
        if standing_by_key.pop(key, None) is not None:
            db.execute(update(Alert).where(Alert.key == key, Alert.resolved_at.is_(None)).values(**seen))
            continue
        before = db.scalars(select(Alert).where(Alert.key == key).order_by(Alert.id.desc()).limit(1)).first()
        returns = rules.returns_of(before.resolved_at, before.returns, now) if before else 0
        made = insert(db, Alert).values(
            key=key, condition=one.condition, connection=one.connection, opened_at=now, returns=returns, **seen
        )
        db.execute(made.on_conflict_do_nothing(index_elements=["key"], index_where=Alert.resolved_at.is_(None)))
        log.warning("alert", key=key, severity=one.severity, count=one.count, returns=returns)
    for gone in standing_by_key.values():
        if rules.is_over(gone.last_seen_at, gone.returns, now):
            db.execute(update(Alert).where(Alert.id == gone.id, Alert.resolved_at.is_(None)).values(resolved_at=now))
            log.warning("alert is over", key=gone.key)


def due(db: Session, destination: str, least: str, settings: Settings, now: datetime) -> list[Due]:
    """What this destination is to be told now, that is at least so severe: the most severe first, then what stood first."""
    recently = or_(Alert.resolved_at.is_(None), Alert.resolved_at > now - rules.RETURNS_WITHIN)
    alerts = db.scalars(select(Alert).where(recently).order_by(Alert.id).limit(MOST)).all()
    told = _told(db, destination, [one.id for one in alerts])
    muted = {one.key for one in mutes(db, now)}
    found = []
    for one in alerts:
        # Nobody is told by a destination that it cannot be reached.
        of_itself = one.key == f"alerts_undelivered:{EVERYWHERE}:{destination}"
        if of_itself or one.condition not in PATIENCE or rules.rank(one.severity) < rules.rank(least):
            continue
        terms = Terms(
            patience=PATIENCE[one.condition],
            remind=timedelta(hours=settings.alert_remind_hours),
            resolved=settings.alert_resolved,
            muted=one.key in muted,
        )
        standing = Standing(one.severity, one.count, one.opened_at, one.resolved_at)
        if (why := rules.reason(standing, told.get(one.id), terms, now)) is not None:
            found.append(Due(one, why))
    return sorted(
        found, key=lambda one: (one.reason == rules.OVER, -rules.rank(one.alert.severity), one.alert.opened_at)
    )


def _told(db: Session, destination: str, alert_ids: Sequence[int]) -> dict[int, Told]:
    rows = select(AlertTelling).where(AlertTelling.destination == destination, AlertTelling.alert_id.in_(alert_ids))
    return {one.alert_id: Told(one.at, one.severity, one.count, one.resolved) for one in db.scalars(rows)}


def anything_open(db: Session, least: str) -> bool:
    """Whether any alert that is at least so severe is not over."""
    severe = rules.SEVERITIES[rules.rank(least) :]
    wanted = select(Alert.id).where(Alert.resolved_at.is_(None), Alert.severity.in_(severe)).limit(1)
    return db.scalar(wanted) is not None


def note_told(db: Session, destination: str, said: Iterable[Due], now: datetime) -> None:
    """Keep that this destination knows."""
    for one in said:
        alert = one.alert
        known = {
            "at": now, "severity": alert.severity, "count": alert.count, "resolved": alert.resolved_at is not None,
        }  # fmt: skip
        made = insert(db, AlertTelling).values(alert_id=alert.id, destination=destination, **known)
        db.execute(made.on_conflict_do_update(index_elements=["alert_id", "destination"], set_=known))


# What nobody wants to hear of for a while


def mutes(db: Session, now: datetime) -> list[AlertMute]:
    """Those that still hold."""
    return list(db.scalars(select(AlertMute).where(AlertMute.until > now).order_by(AlertMute.key)))


def mute(services: Services, key: str, until: datetime, reason: str, who: str) -> None:
    """Say nothing of this alert until then, also if it is over and comes back; BadInput for what can be no alert's key."""
    now = services.now()
    connection = _connection_of(key)
    if not now < until:
        raise BadInput("it would be muted until a time that is over")
    values = {"until": until, "reason": reason, "made_by": who, "made_at": now}
    with services.transaction() as db:
        made = insert(db, AlertMute).values(key=key, **values)
        db.execute(made.on_conflict_do_update(index_elements=["key"], set_=values))
        audit.note(
            db, who=who, action="alerts mute", connection=connection, subject=key, now=now, reason=reason,
            until=until.isoformat(),
        )  # fmt: skip


def _connection_of(key: str) -> str:
    condition, _, rest = key.partition(":")
    if condition not in PATIENCE or not rest:
        raise BadInput(f"{key!r} is no alert's key: `connector alerts list` has them, such as redis_away:*")
    return rest.split(":")[0]


def unmute(services: Services, key: str, who: str) -> None:
    """Say again what is to be said of this alert; BadInput when it is not muted."""
    now = services.now()
    with services.transaction() as db:
        gone = delete(AlertMute).where(AlertMute.key == key, AlertMute.until > now).returning(AlertMute.id)
        if db.scalar(gone) is None:
            raise BadInput(f"{key!r} is not muted")
        audit.note(db, who=who, action="alerts unmute", connection=_connection_of(key), subject=key, now=now)
