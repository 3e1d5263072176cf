"""Taking back what m3ter shows of the mappings, after a loss or after somebody has mapped in m3ter's own console."""

from hashlib import sha256

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from connector import actions, audit
from connector.errors import BadInput
from connector.mappings import pull
from connector.mappings.pull import Pulled
from connector.web.console.here import me, services
from connector.web.console.mappings import options

# What a page compares at most; more is for the command line, which takes its time.
MOST_SHOWN = 2000
MOST_NEW = 100


def show(name: str) -> ResponseReturnValue:
    """What m3ter shows that is not here, and what contradicts."""
    options.connection(name)
    return _page(name)


def _page(name: str, *, changed: bool = False) -> ResponseReturnValue:
    try:
        found, fault = _compared(name), None
    except BadInput as error:
        found, fault = None, str(error)
    seen = _fingerprint(found) if found else ""
    return render_template("mappings/pull.html", name=name, found=found, fault=fault, seen=seen, changed=changed)


def _compared(name: str) -> Pulled:
    return pull.pull(services(), name, made_by=me().actor, dry_run=True, most=MOST_SHOWN, most_new=MOST_NEW)


def _fingerprint(found: Pulled) -> str:
    shown = (found.inserted, found.corrected, found.contradictions, found.refused)
    return sha256(repr(shown).encode()).hexdigest()


def take(name: str) -> ResponseReturnValue:
    """Insert what was shown as missing, and note under which id m3ter shows the rest."""
    options.connection(name)
    if request.form.get("seen") != _fingerprint(_compared(name)):
        return _page(name, changed="seen" in request.form)
    found = pull.pull(services(), name, made_by=me().actor, most=MOST_SHOWN, most_new=MOST_NEW)
    with services().transaction() as db:
        audit.note(
            db, who=me().actor, action="mappings pull", connection=name, subject="m3ter's External Mappings",
            now=services().now(), inserted=len(found.inserted), corrected=len(found.corrected), there=found.there,
            contradictions=len(found.contradictions), refused=len(found.refused),
        )  # fmt: skip
    flash(f"{len(found.inserted)} mappings were inserted; {len(found.woken)} syncs go on.", "good")
    actions.queue(services(), list(found.woken))
    return redirect(url_for("mappings", connection=name), 303)
