"""Logging in and out."""

from flask import flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue

from connector import access
from connector.web.console.here import me, services, visitor


def show() -> ResponseReturnValue:
    """The form that asks who somebody is."""
    if visitor() is not None:
        return redirect(url_for("overview"), 303)
    return render_template("login.html")


def log_in() -> ResponseReturnValue:
    """Begin a session, with a token of its own, and go where the person wanted to go."""
    name, password = request.form.get("name", ""), request.form.get("password", "")
    try:
        somebody = access.log_in(services(), name, password, request.remote_addr or "unknown")
    except access.LoginRefused as refused:
        return render_template("login.html", error=str(refused)), 401
    except access.TooManyTries as too_many:
        return render_template("login.html", error=str(too_many)), 429, {"Retry-After": str(access.BY_NAME.seconds)}
    where = session.get("next") or url_for("overview")
    session.clear()
    with services().reading() as db:
        session.update(access.begin(db, somebody, services().now()))
    return redirect(where, 303)


def log_out() -> ResponseReturnValue:
    """End all sessions of the person."""
    access.log_out(services(), me())
    session.clear()
    flash("You are logged out, in all browsers.", "good")
    return redirect(url_for("login"), 303)
