"""The pairs of a Chargebee site and a m3ter organisation, and what holds the work of one back."""

from flask import abort, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from connector import actions, catch_up, pauses, polls
from connector.services import Connected
from connector.web.console import forms
from connector.web.console.here import me, services

HOW_MUCH = {"all": pauses.ALL, "money": pauses.MONEY}


def index() -> ResponseReturnValue:
    """All connections, with their pauses and how far their lists have been read."""
    with services().reading() as db:
        last = polls.last(db)
        found = [
            {
                "name": one.name,
                "site": one.settings.chargebee_site,
                "organisation": one.settings.m3ter_org_id,
                "pauses": [
                    (pause, pauses.held_back(db, one.name, pause.what)) for pause in pauses.of_connection(db, one.name)
                ],
                "events_polled": last.get((one.name, polls.EVENTS)),
                "bills_polled": last.get((one.name, polls.BILLS)),
                "read_until": catch_up.read_until(db, one.name),
                "lost_since": catch_up.lost_since(db, one.name),
            }
            for one in services().connections.values()
        ]
    return render_template("connections.html", connections=found)


def _named(name: str) -> Connected:
    connected = services().connections.get(name)
    if connected is None:
        abort(404)
    return connected


def pause(name: str) -> ResponseReturnValue:
    """Hold back all work of a connection, or its bills only."""
    what = HOW_MUCH[forms.choice("what", HOW_MUCH)]
    actions.pause(services(), _named(name).name, what, forms.text("reason"), me().actor)
    flash(f"{name} is paused.", "good")
    return redirect(url_for("connections"), 303)


def resume(name: str) -> ResponseReturnValue:
    """Lift every pause but that of money."""
    actions.resume(services(), _named(name).name, money=False, reason=forms.optional("reason"), who=me().actor)
    flash(f"{name} goes on.", "good")
    return redirect(url_for("connections"), 303)


def confirm_resume_money(name: str) -> ResponseReturnValue:
    """What a person has to have compared before bills go on."""
    with services().reading() as db:
        found = pauses.to_lift(db, _named(name).name, money=True)
        waiting = pauses.held_back(db, name, pauses.MONEY)
    if not found:
        abort(404)
    return render_template("confirm_resume_money.html", name=name, pause=found[0], waiting=waiting)


def resume_money(name: str) -> ResponseReturnValue:
    """Let bills go on."""
    actions.resume(services(), _named(name).name, money=True, reason=forms.text("reason"), who=me().actor)
    flash(f"Bills of {name} go on.", "good")
    return redirect(url_for("connections"), 303)
