"""What people did, and why; rows are only ever added."""

import csv
import io
import json
import os
import pwd
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from connector import spreadsheet
from connector.models import AuditEntry

COLUMNS = ("id", "at", "actor", "action", "connection", "subject", "detail")


def actor() -> str:
    """Who is at the command line, as the operating system knows them: by its user, which no variable of theirs changes."""
    user = os.getuid()
    try:
        return f"cli:{pwd.getpwuid(user).pw_name}"
    except KeyError:
        return f"cli:uid-{user}"


def people(actors: Iterable[str]) -> list[str]:
    """The different people behind these actors, in the order of their first word.

    An actor is a channel and a name, such as `web:ada`. Whoever speaks through two channels is one person, however each of
    them writes the name.
    """
    return list(dict.fromkeys(actor.rpartition(":")[2].strip().casefold() for actor in actors))


def note(db: Session, *, who: str, action: str, connection: str, subject: str, now: datetime, **detail: Any) -> None:
    """Keep that this person did this."""
    db.add(AuditEntry(at=now, actor=who, action=action, connection=connection, subject=subject, detail=detail))


def listed(
    db: Session, *, actor: str | None = None, action: str | None = None, before: int | None = None, limit: int
) -> list[AuditEntry]:
    """The newest entries like this; older than entry `before`."""
    wanted = [] if before is None else [AuditEntry.id < before]
    wanted += [
        column == value
        for column, value in ((AuditEntry.actor, actor), (AuditEntry.action, action))
        if value is not None
    ]
    return list(db.scalars(select(AuditEntry).where(*wanted).order_by(AuditEntry.id.desc()).limit(limit)))


def to_csv(entries: Iterable[AuditEntry]) -> str:
    """The entries as CSV, times in UTC and ISO 8601; a cell never starts a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in entries:
        cells = (one.id, one.at.isoformat(), one.actor, one.action, one.connection, one.subject)
        detail = json.dumps(one.detail, ensure_ascii=False)
        writer.writerow([spreadsheet.harmless(str(cell)) for cell in (*cells, detail)])
    return out.getvalue()
