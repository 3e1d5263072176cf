"""What a person may do to a bill: push it now, and approve it. Each is shown first, and done only as it was shown."""

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from connector import actions, audit
from connector.bills import ledger, preview
from connector.bills.guards import PEOPLE
from connector.bills.preview import Look
from connector.errors import Waiting
from connector.web.console.bills import pages
from connector.web.console.here import me, services

UNDER_WAY = "A push of this bill is under way already: nothing is sent twice."


def confirm_push(name: str, bill_id: str) -> ResponseReturnValue:
    """What a push would send, before it does."""
    pages.look_up(name, bill_id)
    return _confirm_push(name, preview.look(services(), name, bill_id))


def _confirm_push(name: str, looked: Look, *, changed: bool = False) -> ResponseReturnValue:
    held = None
    if not looked.preview.problems:
        held = preview.held_back(services(), name, looked, by_a_person=True)
    can_push = looked.plan is not None and looked.is_approved and not (looked.preview.problems or held)
    return render_template(
        "bills/confirm_push.html", name=name, looked=looked, bill=looked.preview, held=held, can_push=can_push,
        changed=changed, needs_people=held is not None and held.code == "needs_approval",
    )  # fmt: skip


def push(name: str, bill_id: str) -> ResponseReturnValue:
    """Let a worker send just what was shown; where that has changed meanwhile, it is shown once more."""
    pages.look_up(name, bill_id)
    looked = preview.look(services(), name, bill_id)
    if looked.plan is None and "seen" in request.form:
        flash(UNDER_WAY, "warning")
        return _to_bill(name, bill_id)
    if request.form.get("seen", "-") != looked.preview.fingerprint:
        return _confirm_push(name, looked, changed="seen" in request.form)
    try:
        actions.push(services(), name, looked, me().actor)
    except Waiting as waiting:
        if waiting.cause.code != "push_begun":
            raise
        flash(UNDER_WAY, "warning")
    else:
        flash(f"{looked.preview.to_send} {looked.preview.currency} of this bill is on its way to its invoices.", "good")
    return _to_bill(name, bill_id)


def confirm_approve(name: str, bill_id: str) -> ResponseReturnValue:
    """What an approval is for: the bill as m3ter has calculated it now, and who has approved just that."""
    pages.look_up(name, bill_id)
    return _confirm_approve(name, preview.look(services(), name, bill_id))


def _confirm_approve(name: str, looked: Look, *, changed: bool = False) -> ResponseReturnValue:
    with services().reading() as db:
        actors = ledger.approved_by(db, name, looked.preview.bill_id, looked.preview.content)
    people = audit.people(actors)
    return render_template(
        "bills/confirm_approve.html", name=name, looked=looked, bill=looked.preview, changed=changed, actors=actors,
        people=people, enough=PEOPLE, is_mine=audit.people([me().actor])[0] in people,
        two_people=pages.two_people_above(name),
    )  # fmt: skip


def approve(name: str, bill_id: str) -> ResponseReturnValue:
    """Note the approval of just what was shown; where that has changed meanwhile, it is shown once more."""
    pages.look_up(name, bill_id)
    looked = preview.look(services(), name, bill_id)
    if request.form.get("seen", "-") != looked.preview.fingerprint:
        return _confirm_approve(name, looked, changed="seen" in request.form)
    people, woken = actions.approve(services(), name, bill_id, looked.preview.content, me().actor)
    went_on = " It goes on now." if woken else ""
    flash(f"Approved by {', '.join(people)}: {len(people)} of {PEOPLE} people.{went_on}", "good")
    return _to_bill(name, bill_id)


def _to_bill(name: str, bill_id: str) -> ResponseReturnValue:
    return redirect(url_for("bill", name=name, bill_id=bill_id), 303)
