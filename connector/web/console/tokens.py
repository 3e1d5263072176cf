"""Tokens of the JSON API: who has one, when it was last used, and its end."""

import secrets

from flask import current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from connector import tokens
from connector.access import ROLES
from connector.errors import BadInput
from connector.web.console import forms
from connector.web.console.here import me, services


def index() -> ResponseReturnValue:
    """All tokens, and the form for a new one."""
    return _page()


def _page(made: str | None = None, name: str | None = None, fault: str | None = None) -> ResponseReturnValue:
    now = services().now()
    with services().reading() as db:
        rows = tokens.listed(db)
    page = render_template(
        "tokens.html", rows=[(one, tokens.state(one, now)) for one in rows], roles=ROLES, days=tokens.DAYS,
        max_days=tokens.MAX_DAYS, drawn=secrets.token_urlsafe(16), made=made, name=name, fault=fault,
    )  # fmt: skip
    return page, 422 if fault else 200


def create() -> ResponseReturnValue:
    """Make a token and show it, this once. The form sent twice makes one and shows it twice: a double click loses nothing."""
    name, role = forms.text("name", most=80).lower(), forms.choice("role", ROLES)
    days, form = request.form.get("days", ""), forms.text("drawn", most=80)
    key = str(current_app.secret_key).encode()
    token = tokens.drawn_for(key, f"{me().id} {form} {name} {role}")
    try:
        wanted = int(days) if days.isascii() and days.isdigit() and len(days) < 5 else 0
        row = tokens.create(services(), name, role, token=token, who=me().actor, days=wanted)
    except BadInput as fault:
        return _page(fault=str(fault))
    return _page(made=token, name=row.name)


def revoke(token_name: str) -> ResponseReturnValue:
    """End a token at once."""
    try:
        row = tokens.revoke(services(), token_name, me().actor)
    except BadInput as fault:
        return _page(fault=str(fault))
    flash(f"{row.name} is revoked: no call with it is answered any more.", "good")
    return redirect(url_for("tokens"), 303)
