"""Alerts as the console, the command line and scripts show them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from connector.alerts import book, destinations, messages, rules, watching
from connector.alerts.destinations import Destination
from connector.alerts.messages import Message
from connector.models import Alert, AlertDestination, AlertMute
from connector.services import Services

RECENT = 50
# Where nobody is told, a preview shows what anybody would be.
NOBODY = "nobody"


@dataclass(frozen=True)
class Shown:
    """What stands and what is over, what is muted by its key, and how sending goes."""

    open: Sequence[Alert]
    over: Sequence[Alert]
    mutes: dict[str, AlertMute]
    destinations: Sequence[AlertDestination]


def of_installation(services: Services, *, over: int = RECENT) -> Shown:
    """The open alerts, the most severe first, and the newest of those that are over."""
    with services.reading() as db:
        standing = db.scalars(
            select(Alert).where(Alert.resolved_at.is_(None)).order_by(Alert.id).limit(book.MOST)
        ).all()
        gone = db.scalars(
            select(Alert)
            .where(Alert.resolved_at.is_not(None))
            .order_by(Alert.resolved_at.desc(), Alert.id.desc())
            .limit(over)
        ).all()
        muted = {one.key: one for one in book.mutes(db, services.now())}
        sent = db.scalars(select(AlertDestination).order_by(AlertDestination.destination)).all()
    return Shown(sorted(standing, key=lambda one: -rules.rank(one.severity)), gone, muted, sent)


def preview(services: Services) -> list[tuple[str, Message | None]]:
    """What each destination would be sent if the clock looked now; None for nothing. Nothing is sent."""
    watching.look(services)
    wanted = destinations.of(services.settings) or [
        Destination(NOBODY, rules.WARNING, destinations.NOWHERE, messages.LONGEST)
    ]
    found: list[tuple[str, Message | None]] = []
    for where in wanted:
        with services.reading() as db:
            said = book.due(db, where.name, where.least, services.settings, services.now())
            found.append((where.name, watching.message_for(db, services, where, said) if said else None))
    return found


def mute_for(services: Services, key: str, hours: int, reason: str, who: str) -> datetime:
    """Mute the alert for so many hours; until when that is."""
    until = services.now() + timedelta(hours=hours)
    book.mute(services, key, until, reason, who)
    return until


def as_json(alert: Alert, muted: AlertMute | None) -> dict[str, Any]:
    """The alert as scripts see it; the keys are stable."""
    names = ("key", "condition", "connection", "severity", "count", "text", "next_step", "page", "command", "returns")
    moments = ("since", "opened_at", "last_seen_at", "resolved_at")
    return (
        {name: getattr(alert, name) for name in names}
        | {name: at.isoformat() if (at := getattr(alert, name)) else None for name in moments}
        | {"muted_until": muted.until.isoformat() if muted else None, "muted_for": muted.reason if muted else None}
    )
