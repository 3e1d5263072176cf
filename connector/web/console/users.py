"""Who may log in, for admins."""

from collections.abc import Callable

from flask import abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from connector import access, people, tokens
from connector.access import ROLES
from connector.errors import ConnectorError
from connector.models import User
from connector.web import mount
from connector.web.console import forms, login, signed
from connector.web.console.here import me, services


def index() -> ResponseReturnValue:
    """All users, with how they log in."""
    with services().reading() as db:
        found = access.listed(db)
    return render_template("users.html", rows=found, way_in=people.way_in, passwords=_passwords())


def show(user_id: int) -> ResponseReturnValue:
    """One user, and what an admin may do about them."""
    user = _user(user_id)
    with services().reading() as db:
        alive = tokens.made_by(db, user.name, services().now())
    return render_template(
        "user.html", row=user, way_in=people.way_in(user), roles=ROLES, passwords=_passwords(), alive=alive
    )


def new() -> ResponseReturnValue:
    """The form for a user who is not there yet."""
    return render_template("new_user.html", roles=ROLES, typed={}, error=None)


def add() -> ResponseReturnValue:
    """A new user, and the link with which they set a password."""
    name, role = forms.text("name", most=80), forms.choice("role", ROLES)
    try:
        _confirm()
        user_id = people.add(services(), me(), name, role)
    except ConnectorError as error:
        return render_template("new_user.html", roles=ROLES, typed={"name": name, "role": role}, error=str(error)), 422
    _hand_out_link(_user(user_id))
    return redirect(url_for("user", user_id=user_id), 303)


def set_role(user_id: int) -> ResponseReturnValue:
    """Another role; all sessions of the user end."""
    role = forms.choice("role", ROLES)
    return _change(user_id, lambda user: people.set_role(services(), me(), user, role), f"{{}} is {role} now.")


def enable(user_id: int) -> ResponseReturnValue:
    """Let the user log in again."""
    return _change(user_id, lambda user: people.enable(services(), me(), user, True), "{} may log in.")


def disable(user_id: int) -> ResponseReturnValue:
    """Let the user log in no longer."""
    return _change(
        user_id,
        lambda user: people.enable(services(), me(), user, False),
        "{} may log in no longer, and is logged out.",
    )


def end_sessions(user_id: int) -> ResponseReturnValue:
    """Log the user out, in every browser."""
    return _change(
        user_id,
        lambda user: access.end_sessions(services(), user.name, me().actor),
        "{} is logged out, in all browsers.",
    )


def invite(user_id: int) -> ResponseReturnValue:
    """A new link with which the user sets a password."""
    return _change(user_id, _hand_out_link, None)


def _change(user_id: int, act: Callable[[User], None], done: str | None) -> ResponseReturnValue:
    user = _user(user_id)
    try:
        _confirm()
        act(user)
    except ConnectorError as error:
        flash(str(error), "bad")
    else:
        if done:
            flash(done.format(user.name), "good")
    return redirect(url_for("user", user_id=user_id), 303)


def _confirm() -> None:
    people.confirm(services(), me(), request.form.get("own", ""), request.remote_addr or "unknown")


def _hand_out_link(user: User) -> None:
    if not _passwords():
        raise ConnectorError("Passwords are off here.")
    said = people.invite(services(), me(), user)
    settings = services().settings
    scheme = "http" if settings.console_plain_http else "https"
    base = settings.console_url or f"{scheme}://{request.host}{mount.PATH}"
    link = f"{base.rstrip('/')}/{login.INVITATION}/{signed.pack(login.INVITATION, said)}"
    flash(f"Give {user.name} this link to set a password. It works once, within 24 hours: {link}", "link")


def _passwords() -> bool:
    return not services().settings.oidc_only


def _user(user_id: int) -> User:
    with services().reading() as db:
        return people.found(db, user_id) or abort(404)
