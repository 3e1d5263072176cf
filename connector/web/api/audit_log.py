"""What people and tokens did, and why."""

from datetime import datetime
from typing import Any

from connector import audit
from connector.web.api.here import Here
from connector.web.api.shapes import Page, Paged, Shape, Text, page


class EntryShape(Shape):
    """One entry; `actor` is `cli:`, `web:` or `api:` with a name."""

    id: int
    at: datetime
    actor: str
    action: str
    connection: str
    subject: str
    detail: dict[str, Any]


class EntryPage(Page):
    """Entries, the newest first."""

    entries: list[EntryShape]


class AuditQuery(Paged):
    """Which entries: those to which all applies that is given."""

    actor: Text | None = None
    action: Text | None = None


def index(here: Here, query: AuditQuery) -> EntryPage:
    """A page of the audit log."""
    with here.services.reading() as db:
        found = audit.listed(db, actor=query.actor, action=query.action, before=query.before, limit=query.limit + 1)
    rows, older = page(found, query.limit)
    return EntryPage(entries=[EntryShape.model_validate(one) for one in rows], next=older)
