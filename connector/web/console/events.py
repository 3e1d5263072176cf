"""What was delivered, or read from Chargebee's event list, and what became of it."""

import json

from flask import abort, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from connector import actions, audit, inbox
from connector.explain import printable
from connector.models import InboxEvent
from connector.redaction import redacted
from connector.web.console import forms
from connector.web.console.here import me, services

STATUSES = ("new", "done", "ignored", "failed")


def index() -> ResponseReturnValue:
    """Events by filter, the newest first, a page at a time."""
    chosen = {
        "connection": forms.wanted("connection", services().connections),
        "status": forms.wanted("status", STATUSES),
        "source": forms.wanted("source", inbox.SOURCES),
        "event_type": forms.wanted("event_type"),
        "event_id": forms.wanted("event_id"),
    }
    with services().reading() as db:
        of = [chosen["connection"]] if chosen["connection"] else list(services().connections)
        found = inbox.listed(
            db, of, status=chosen["status"], source=chosen["source"], event_type=chosen["event_type"],
            event_id=chosen["event_id"], before=forms.before(), limit=forms.PAGE_ROWS + 1,
        )  # fmt: skip
    rows, older = forms.page(found)
    return render_template(
        "events.html",
        rows=rows,
        older=older,
        chosen={name: value for name, value in chosen.items() if value is not None},
        statuses=STATUSES,
        sources=inbox.SOURCES,
        connections=list(services().connections),
    )


def show(inbox_id: int) -> ResponseReturnValue:
    """One event, the syncs that it opened, and its payload without personal data."""
    with services().reading() as db:
        return _page(db, _look_up(db, inbox_id), whole=False)


def _look_up(db: Session, inbox_id: int) -> InboxEvent:
    row = db.get(InboxEvent, inbox_id)
    if row is None:
        abort(404)
    return row


def _page(db: Session, row: InboxEvent, *, whole: bool) -> ResponseReturnValue:
    payload = inbox.read_json(row.body)
    # Decimals become texts, so that they keep their digits.
    written = json.dumps(payload if whole else redacted(payload), indent=2, ensure_ascii=False, default=str)
    return render_template(
        "event.html", row=row, syncs=inbox.opened_by(db, row), payload=printable(written), whole=whole
    )


def show_payload(inbox_id: int) -> ResponseReturnValue:
    """The event with all that it says, personal data too; that somebody has looked is kept."""
    with services().transaction() as db:
        row = _look_up(db, inbox_id)
        audit.note(
            db, who=me().actor, action="events payload shown", connection=row.connection, subject=f"event {row.event_id}",
            now=services().now(), inbox_id=row.id,
        )  # fmt: skip
    with services().reading() as db:
        return _page(db, row, whole=True)


def replay(inbox_id: int) -> ResponseReturnValue:
    """Dispatch the event once more."""
    with services().reading() as db:
        row = _look_up(db, inbox_id)
    replayed = actions.replay(services(), row.connection, [row.id], me().actor)
    said = "is dispatched once more" if replayed else "was waiting to be dispatched already: that happens once"
    flash(f"Event {inbox_id} {said}.", "good")
    return redirect(url_for("event", inbox_id=inbox_id), 303)
