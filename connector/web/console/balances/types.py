"""Types of transactions: the organization's own list, of which each transaction names one."""

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from connector.balances import transaction_types
from connector.errors import BadInput, Uncertain
from connector.web.console.balances import desk as desks
from connector.web.console.balances.fields import Field, Filled, read
from connector.web.console.here import me, services

FIELDS = (
    Field("code", "Code", hint="Letters, digits and underscores.", required=True),
    Field("name", "Name", hint="The code when left out."),
)


def index(name: str) -> ResponseReturnValue:
    """The types, the newest first, and the form for another."""
    return _page(desks.at(name), Filled({"code": "", "name": ""}))


def _page(desk: desks.Desk, filled: Filled, fault: str | None = None) -> ResponseReturnValue:
    page = render_template(
        "balances/types.html",
        desk=desk,
        rows=desk.m3ter.list_transaction_types(),
        fields=FIELDS,
        filled=filled,
        fault=fault,
    )
    return page, 422 if fault or filled.faults else 200


def create(name: str) -> ResponseReturnValue:
    """Make a type; one that is there already stays as it is, so that this may be repeated."""
    desk = desks.at(name)
    filled = read(FIELDS, request.form, desk.zone, {})
    if filled.faults:
        return _page(desk, filled)
    try:
        wanted = transaction_types.wanted(filled.values["code"], filled.values["name"])
        made, is_new = transaction_types.create(services(), name, wanted, who=me().actor)
    except BadInput as fault:
        return _page(desk, filled, str(fault))
    except Uncertain as unknown:
        return _page(desk, filled, f"{unknown}; do the same again: it is made once")
    flash(f"Transaction type {made.code} {'is made' if is_new else 'was there already'}.", "good")
    return redirect(url_for("transaction_types", name=name), 303)
