"""What the connector does, did and could not do, and the buttons that let it go on."""

from collections import Counter
from dataclasses import asdict
from typing import Any

from flask import abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.orm import Session

from connector import actions, explain, inbox, lookup, pauses, related, retries
from connector.handlers import KINDS
from connector.lookup import Filter
from connector.models import OPEN, Attempt, Sync
from connector.syncs import HELD_BACK, MONEY_KINDS, STATUSES
from connector.web.console import forms, next_steps
from connector.web.console.here import me, services

BECAME = {
    "queued": ("Sync {} is queued.", "good"),
    "already queued": ("Sync {} was queued already: it runs once.", "good"),
    "running": ("Sync {} is running.", "good"),
    "closed": ("Sync {} is closed: there is nothing to retry.", "warning"),
}


def index() -> ResponseReturnValue:
    """Syncs by filter, the newest first, a page at a time."""
    chosen = _filter()
    with services().reading() as db:
        found = lookup.syncs(db, chosen, before=forms.before(), limit=forms.PAGE_ROWS + 1)
    rows, older = forms.page(found)
    return render_template(
        "syncs.html",
        rows=rows,
        older=older,
        chosen=_given(chosen),
        statuses=STATUSES,
        kinds=sorted(KINDS),
        connections=list(services().connections),
        can_retry=bool(chosen.cause) and chosen.status in (None, *HELD_BACK),
    )


def _filter() -> Filter:
    return Filter(
        connection=forms.wanted("connection", services().connections),
        status=forms.wanted("status", STATUSES),
        kind=forms.wanted("kind", KINDS),
        cause=forms.wanted("cause"),
        about=forms.wanted("about"),
    )


def _given(chosen: Filter) -> dict[str, str]:
    """The filter as the address has it."""
    return {name: value for name, value in asdict(chosen).items() if value is not None}


def show(sync_id: int) -> ResponseReturnValue:
    """One sync: why it stands where it does, what comes next, and each try with its calls."""
    with services().reading() as db:
        row = _look_up(db, sync_id)
        tries = db.scalars(
            select(Attempt).where(Attempt.sync_id == sync_id).order_by(Attempt.id.desc()).limit(20)
        ).all()
        opener = inbox.opener_of(db, row)
        held_by = pauses.holding(db, row) if row.status in OPEN else []
        things = related.of_sync(db, row)
    return render_template(
        "sync.html",
        row=row,
        tries=tries,
        opener=opener,
        held_by=held_by,
        things=things,
        next_run=explain.next_run(row, services().now()),
        can_retry=retries.is_held_back(services(), row),
        can_skip=row.status in ("parked", "waiting"),
        is_money=row.kind in MONEY_KINDS,
        asked=retries.asked(services(), row),
        step=next_steps.of(row),
    )


def _look_up(db: Session, sync_id: int) -> Sync:
    row = db.get(Sync, sync_id)
    if row is None:
        abort(404)
    return row


def confirm_retry(sync_id: int) -> ResponseReturnValue:
    """What a retry of this sync would send, before it does."""
    with services().reading() as db:
        row = _look_up(db, sync_id)
    return _confirm(row)


def _confirm(row: Sync, *, changed: bool = False) -> ResponseReturnValue:
    found = retries.shown(services(), row)
    return render_template(
        "confirm_retry.html",
        row=row,
        bill=found.bill,
        why=found.why,
        changed=changed,
        asked=retries.asked(services(), row),
    )


def retry(sync_id: int) -> ResponseReturnValue:
    """Let the sync go on. Money moves only as it was shown: where that has changed meanwhile, it is shown once more."""
    with services().reading() as db:
        row = _look_up(db, sync_id)
    if row.kind in MONEY_KINDS and retries.is_held_back(services(), row):
        bill = retries.shown(services(), row).bill
        if request.form.get("seen", "-") != (bill.fingerprint if bill else ""):
            return _confirm(row, changed="seen" in request.form)
    [became] = actions.retry(services(), [row], me().actor).values()
    said, tone = BECAME[became]
    flash(said.format(sync_id), tone)
    return redirect(url_for("sync", sync_id=sync_id), 303)


def skip(sync_id: int) -> ResponseReturnValue:
    """Close the sync without doing it."""
    actions.skip(services(), sync_id, forms.text("reason"), me().actor)
    flash(f"Sync {sync_id} is closed without being done.", "good")
    return redirect(url_for("sync", sync_id=sync_id), 303)


def confirm_retry_all() -> ResponseReturnValue:
    """How many syncs of one cause a retry would let go on, and the money that bills among them would send."""
    chosen = _filter()
    return _confirm_all(chosen, _batch(chosen))


def _batch(chosen: Filter) -> list[Sync]:
    if not retries.can_be_retried_together(chosen):
        abort(400)
    return retries.batch(services(), chosen)


def _confirm_all(chosen: Filter, rows: list[Sync], *, changed: bool = False) -> ResponseReturnValue:
    money = retries.money_of(services(), rows)
    return render_template(
        "confirm_retry_all.html",
        rows=rows,
        counts=Counter((row.connection, row.kind, row.status, row.cause, row.next_step) for row in rows).most_common(),
        bills=[(one.sync, one.bill, one.why) for one in money],
        seen=retries.fingerprint(money),
        chosen=_given(chosen),
        changed=changed,
        asked={one.sync.id: retries.asked(services(), one.sync) for one in money},
        batch=retries.BATCH,
        most_bills=retries.BILLS,
    )


def retry_all() -> ResponseReturnValue:
    """Let those go on that were shown, and still stand where they stood; money only as it was shown."""
    chosen = _filter()
    ids = set(request.form.get("ids", "").split(","))
    rows = [row for row in _batch(chosen) if str(row.id) in ids]
    if request.form.get("seen") != retries.fingerprint(retries.money_of(services(), rows)):
        return _confirm_all(chosen, rows, changed=True)
    became: Counter[str] = Counter(actions.retry(services(), rows, me().actor).values())
    flash(f"{became['queued']} syncs are queued.", "good" if became["queued"] else "warning")
    where: dict[str, Any] = _given(chosen)
    return redirect(url_for("syncs", **where), 303)
