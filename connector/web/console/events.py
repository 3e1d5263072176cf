"""What was delivered, or read from Chargebee's event list, and what became of it."""

import json
from collections.abc import Sequence

from flask import abort, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.orm import Session

from connector import actions, explain, inbox, lookup, related
from connector.explain import printable
from connector.models import Attempt, InboxEvent, Sync
from connector.redaction import redacted
from connector.web.console import forms
from connector.web.console.here import me, services

STATUSES = ("new", "done", "ignored", "failed")
# Of the syncs that an event opened, and of the tries at them, so many are shown with their calls.
SHOWN = 5


def index() -> ResponseReturnValue:
    """Events by filter, the newest first, a page at a time."""
    chosen = {
        "connection": forms.wanted("connection", services().connections),
        "status": forms.wanted("status", STATUSES),
        "source": forms.wanted("source", inbox.SOURCES),
        "event_type": forms.wanted("event_type"),
        "about": forms.wanted("about"),
    }
    of = [chosen["connection"]] if chosen["connection"] else list(services().connections)
    about, before, limit = chosen["about"], forms.before(), forms.PAGE_ROWS + 1
    plain = {name: chosen[name] for name in ("status", "source", "event_type")}
    with services().reading() as db:
        if about is None:
            found = inbox.listed(db, of, **plain, before=before, limit=limit)
        else:
            found = lookup.events(db, of, about, **plain, before=before, limit=limit)
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
    opened = inbox.opened_by(db, row)
    became, next_step = explain.event(row)
    return render_template(
        "event.html",
        row=row,
        became=became,
        next_step=next_step,
        syncs=opened,
        tries=_tries(db, opened),
        things=related.of_event(db, row.connection, row.source, payload),
        payload=printable(written),
        whole=whole,
    )


def _tries(db: Session, opened: Sequence[Sync]) -> list[tuple[Sync, Attempt]]:
    """The newest tries at the syncs, in the order in which they were made."""
    by_id = {one.id: one for one in opened[-SHOWN:]}
    rows = select(Attempt).where(Attempt.sync_id.in_(by_id)).order_by(Attempt.id.desc()).limit(SHOWN)
    return [(by_id[one.sync_id], one) for one in reversed(db.scalars(rows).all())]


def show_payload(inbox_id: int) -> ResponseReturnValue:
    """The event with all that it says, personal data too; that somebody has looked is kept."""
    with services().reading() as db:
        row = _look_up(db, inbox_id)
    actions.note_shown(services(), row, me().actor)
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


def close(inbox_id: int) -> ResponseReturnValue:
    """Note on a failed event why nobody need act on it."""
    with services().reading() as db:
        row = _look_up(db, inbox_id)
    actions.close_event(services(), row.connection, row.id, forms.text("reason", most=300), me().actor)
    flash(f"Event {inbox_id} is closed.", "good")
    return redirect(url_for("event", inbox_id=inbox_id), 303)
