"""Logging in and out, and a person's own password."""

from collections.abc import Mapping

from flask import abort, flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue

from connector import access, people
from connector.access import Person
from connector.errors import BadInput, ConnectorError
from connector.web.console import signed
from connector.web.console.here import me, services, visitor

INVITATION = "invitation"


def show() -> ResponseReturnValue:
    """The form that asks who somebody is."""
    if visitor() is not None:
        return redirect(url_for("overview"), 303)
    return form()


def form(error: str | None = None, status: int = 200, headers: Mapping[str, str] | None = None) -> ResponseReturnValue:
    """The log-in page with the ways in that there are, and with what went wrong."""
    wired = services()
    provider = wired.openid.name if wired.openid else None
    page = render_template("login.html", error=error, provider=provider, passwords=not wired.settings.oidc_only)
    return page, status, dict(headers or {})


def log_in() -> ResponseReturnValue:
    """Begin a session, with a token of its own, and go where the person wanted to go."""
    if services().settings.oidc_only:
        return form("Passwords are off here.", 403)
    name, password = request.form.get("name", ""), request.form.get("password", "")
    try:
        somebody = access.log_in(services(), name, password, request.remote_addr or "unknown")
    except access.LoginRefused as refused:
        return form(str(refused), 401)
    except access.TooManyTries as too_many:
        return form(str(too_many), 429, {"Retry-After": str(access.BY_NAME.seconds)})
    where = session.get("next") or url_for("overview")
    _begin(somebody)
    return redirect(where, 303)


def _begin(somebody: Person) -> None:
    """A session with nothing in it of what was before."""
    session.clear()
    with services().reading() as db:
        session.update(access.begin(db, somebody, services().now()))


def log_out() -> ResponseReturnValue:
    """End all sessions of the person."""
    there = services().openid if me().issuer else None
    access.log_out(services(), me())
    session.clear()
    flash(
        "You are logged out, in all browsers." + (f" At {there.name} you still are logged in." if there else ""), "good"
    )
    return redirect(url_for("login"), 303)


# Passwords


def own_password() -> ResponseReturnValue:
    """The form for another password of one's own."""
    return render_template("password.html", error=None)


def set_own_password() -> ResponseReturnValue:
    """Another password for oneself; every session but this one ends."""
    mine = me()
    try:
        old, address = request.form.get("old", ""), request.remote_addr or "unknown"
        people.set_own_password(services(), mine, old, _new_password(), address)
    except ConnectorError as error:
        return render_template("password.html", error=str(error)), 422
    _begin(mine)
    flash("You have another password; you are logged out everywhere else.", "good")
    return redirect(url_for("overview"), 303)


def invitation(token: str) -> ResponseReturnValue:
    """The form with which somebody who was invited sets a password."""
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        # A link in a mail: on that way the browser keeps the session's cookie back, and a new one would end that session.
        return render_template("from_elsewhere.html")
    return render_template("invitation.html", name=people.invited(services(), _said(token)).name, error=None)


def accept(token: str) -> ResponseReturnValue:
    """Set the password of whoever was invited; the link is used up by it."""
    said = _said(token)
    name = people.invited(services(), said).name
    try:
        people.accept(services(), said, _new_password())
    except ConnectorError as error:
        return render_template("invitation.html", name=name, error=str(error)), 422
    flash("Your password is set. Log in with it.", "good")
    return redirect(url_for("login"), 303)


def _said(token: str) -> dict[str, int]:
    if services().settings.oidc_only:
        abort(404)
    said = signed.unpack(INVITATION, token, services().now())
    if said is None:
        raise BadInput(people.NOT_VALID)
    return said


def _new_password() -> str:
    """The password that was typed twice; raises BadInput when it was not typed the same."""
    new = request.form.get("new", "")
    if new != request.form.get("again", ""):
        raise BadInput("The new password was not typed the same twice.")
    return new
