"""Deliveries that could not become an event: why, and the two ways out of there."""

from flask import abort, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from connector import actions, explain, inbox
from connector.models import QuarantinedBody
from connector.web.console import forms
from connector.web.console.here import me, services


def index() -> ResponseReturnValue:
    """What is in quarantine, the newest first, a page at a time."""
    connection = forms.wanted("connection", services().connections)
    of = [connection] if connection else list(services().connections)
    with services().reading() as db:
        found = inbox.every_quarantined(db, of, before=forms.before(), limit=forms.PAGE_ROWS + 1)
    rows, older = forms.page(found)
    return render_template(
        "quarantine.html",
        rows=rows,
        older=older,
        chosen={"connection": connection} if connection else {},
        connections=list(services().connections),
    )


def show(quarantine_id: int) -> ResponseReturnValue:
    """One delivery: why it was not taken, what to do about it, and the buttons for that."""
    return _page(_look_up(quarantine_id), body=None)


def _look_up(quarantine_id: int) -> QuarantinedBody:
    with services().reading() as db:
        row = db.get(QuarantinedBody, quarantine_id)
    if row is None:
        abort(404)
    return row


def _page(row: QuarantinedBody, body: str | None) -> ResponseReturnValue:
    return render_template("quarantined.html", row=row, next_step=explain.quarantined(row.reason), body=body)


def show_body(quarantine_id: int) -> ResponseReturnValue:
    """What was delivered, which nobody could read and so nobody can redact; that somebody has looked is kept."""
    row = _look_up(quarantine_id)
    actions.note_shown(services(), row, me().actor)
    return _page(row, explain.delivered(row.body))


def readmit(quarantine_id: int) -> ResponseReturnValue:
    """Take it in as the event that it is after all."""
    row = _look_up(quarantine_id)
    event_id = actions.readmit(services(), row.connection, row.id, me().actor)
    flash(f"Event {event_id} is taken in, and is dispatched.", "good")
    return redirect(url_for("events", about=event_id), 303)


def dismiss(quarantine_id: int) -> ResponseReturnValue:
    """Take it out of quarantine for good."""
    row = _look_up(quarantine_id)
    actions.dismiss(services(), row.connection, row.id, forms.text("reason"), me().actor)
    flash(f"Delivery {quarantine_id} is out of quarantine.", "good")
    return redirect(url_for("quarantine"), 303)
