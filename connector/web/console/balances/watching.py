"""Watch a balance: when it is low, and what is then done by itself. m3ter is only read."""

from typing import Any
from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from connector.balances import asking, watches
from connector.balances.watches import Terms
from connector.errors import BadInput
from connector.models import BalanceWatch
from connector.web.console.balances import desk as desks
from connector.web.console.balances import new
from connector.web.console.balances.desk import Desk
from connector.web.console.balances.fields import Field, Filled, read, shown
from connector.web.console.here import me, services

FIELDS = (
    Field("threshold", "Low below", "amount", "In the balance's currency: tell when it holds less, or nothing at all.",
          required=True),
    Field("credit", "Top it up with", "amount", "In the balance's currency. Left out: only tell.",
          group="Automatic top-up"),
    Field("type", "Type of transaction", "choice", blank="the only one there is"),
    Field("price", "Price", "amount", "As much as the credit when left out."),
    Field("currency", "Currency of the price", "choice", blank="the balance's"),
    Field("free", "Free: credit without a charge", "flag"),
    Field("cap_credit", "At most so much credit a month", "amount", "In the balance's currency. A cap is needed."),
    Field("cap_number", "At most so many top-ups a month", "whole"),
    Field("off", "Keep this, and do not look for now", "flag", group="More"),
)  # fmt: skip


def form(name: str, balance_id: UUID) -> ResponseReturnValue:
    """The terms as they are, to be changed."""
    desk = desks.at(name, balance_id)
    with services().reading() as db:
        watch = watches.find(db, name, desk.on.id)
    texts = dict.fromkeys((one.name for one in FIELDS), "")
    if watch is not None:
        texts |= {one: shown(value, desk.zone) for one, value in _values(watch).items()}
    return _form(desk, Filled(texts))


def _values(watch: BalanceWatch) -> dict[str, Any]:
    same = ("threshold", "credit", "price", "free", "cap_credit", "cap_number")
    return {one: getattr(watch, one) for one in same} | {
        "type": watch.transaction_type_id, "currency": watch.price_currency, "off": not watch.enabled,
    }  # fmt: skip


def set_watch(name: str, balance_id: UUID) -> ResponseReturnValue:
    """What would be watched for and, once that has been seen, the watch."""
    desk = desks.at(name, balance_id)
    filled = read(FIELDS, request.form, desk.zone, new.options(desk))
    if "change" in request.form or filled.faults:
        return _form(desk, filled)
    try:
        terms = _terms(desk, filled.values)
        watches.checked(desk.on, terms, services().now())
        if request.form.get("seen") != desks.fingerprint(terms):
            return _confirm(desk, filled, terms)
        asking.watch(services(), name, desk.on, terms, who=me().actor)
    except BadInput as fault:
        return _form(desk, filled, str(fault))
    flash(f"Balance {desk.on.code} is watched.", "good")
    return redirect(url_for("balance", name=name, balance_id=desk.on.id), 303)


def _terms(desk: Desk, values: dict[str, Any]) -> Terms:
    type_id = values["type"]
    if values["credit"] is None and type_id is not None:
        raise BadInput("a type is of use only with an automatic top-up: say what it credits, or leave the type out")
    if values["credit"] is not None and type_id is None and len(desk.types) == 1:
        type_id = desk.types[0][0]
    return Terms(
        values["threshold"], values["credit"], values["price"], values["currency"], values["free"], type_id,
        values["cap_credit"], values["cap_number"], not values["off"],
    )  # fmt: skip


def _form(desk: Desk, filled: Filled, fault: str | None = None) -> ResponseReturnValue:
    page = render_template(
        "balances/form.html", title=f"Watch {desk.on.name}", desk=desk, fields=FIELDS, filled=filled,
        about=f"Be told when it runs low, or have it topped up. All amounts but the price are in {desk.on.currency}.",
        options=new.options(desk), fault=fault, action=_address(desk), hidden={"drawn_at": desk.at.isoformat()},
        back=url_for("balance", name=desk.connection, balance_id=desk.on.id), press="Look at it …",
    )  # fmt: skip
    return page, 422 if fault or filled.faults else 200


def _confirm(desk: Desk, filled: Filled, terms: Terms) -> ResponseReturnValue:
    return render_template(
        "balances/confirm_watch.html", desk=desk, terms=terms, action=_address(desk), types=dict(desk.types),
        changed="seen" in request.form,
        hidden=filled.texts | {"drawn_at": desk.at.isoformat(), "seen": desks.fingerprint(terms)},
    )  # fmt: skip


def _address(desk: Desk) -> str:
    return url_for("set_watch", name=desk.connection, balance_id=desk.on.id)


def remove(name: str, balance_id: UUID) -> ResponseReturnValue:
    """Watch the balance no more."""
    desk = desks.at(name, balance_id)
    try:
        asking.unwatch(services(), name, desk.on.id, who=me().actor, reason=request.form.get("reason", "")[:500])
    except BadInput as fault:
        flash(f"{fault}.", "warning")
    else:
        flash(f"Balance {desk.on.code} is watched no more; its readings stay.", "good")
    return redirect(url_for("balance", name=name, balance_id=desk.on.id), 303)
