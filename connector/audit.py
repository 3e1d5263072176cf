"""What people did, and why; rows are only ever added."""

import getpass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from connector.models import AuditEntry


def actor() -> str:
    """Who is at the command line, as the operating system knows them."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):
        return "cli:unknown"


def note(db: Session, *, who: str, action: str, connection: str, subject: str, now: datetime, **detail: Any) -> None:
    """Keep that this person did this."""
    db.add(AuditEntry(at=now, actor=who, action=action, connection=connection, subject=subject, detail=detail))
