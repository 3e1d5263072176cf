"""What was asked for: how far each request is, and the two things that a person may do about one."""

from uuid import UUID

from flask import abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from connector import actions
from connector.balances import asking, making, requests
from connector.errors import BadInput
from connector.models import BalanceRequest
from connector.syncs import HELD_BACK
from connector.web.console import forms
from connector.web.console.balances import desk as desks
from connector.web.console.here import me, services

STATUSES = (requests.PLANNED, requests.SENDING, requests.DONE, requests.PARKED, requests.WITHDRAWN)
MANY = 200


def index(name: str) -> ResponseReturnValue:
    """The connection's requests, the newest first."""
    desk = desks.at(name)
    balance_id, status = forms.wanted("balance"), forms.wanted("status", STATUSES)
    with services().reading() as db:
        found = requests.listed(db, name, balance_id=balance_id, status=status, limit=MANY + 1)
    chosen = {key: value for key, value in (("balance", balance_id), ("status", status)) if value}
    return render_template(
        "balances/requests.html", desk=desk, rows=found[:MANY], more=len(found) > MANY, chosen=chosen,
        statuses=STATUSES, titles=requests.TITLES, customers=desk.customers([one.account_id for one in found]),
    )  # fmt: skip


def show(name: str, request_id: int) -> ResponseReturnValue:
    """One request with its other half and its sync."""
    return _page(name, request_id)


def _page(name: str, request_id: int, fault: str | None = None) -> ResponseReturnValue:
    desk, row = desks.at(name), _look_up(name, request_id)
    with services().reading() as db:
        other, sync = requests.partner(db, row), requests.sync_of(db, row)
        other_sync = requests.sync_of(db, other) if other else None
    page = render_template(
        "balances/request.html", desk=desk, row=row, sync=sync, other=other, other_sync=other_sync, fault=fault,
        described=requests.described, titles=requests.TITLES, customer=desk.customers([row.account_id]).get(row.account_id),
        held_back=sync is not None and sync.status in HELD_BACK,
        body=sorted(making.sent_body(row.kind, row.reference, row.body).items()),
    )  # fmt: skip
    return page, 422 if fault else 200


def _look_up(name: str, request_id: int) -> BalanceRequest:
    if name not in services().connections:
        abort(404)
    with services().reading() as db:
        row = db.get(BalanceRequest, request_id)
    if row is None or row.connection != name:
        abort(404)
    return row


def withdraw(name: str, request_id: int) -> ResponseReturnValue:
    """Take back what has never reached m3ter."""
    row = _look_up(name, request_id)
    try:
        asking.withdraw(
            services(), name, row.id, who=me().actor, reason=request.form.get("reason", "")[: forms.MAX_TEXT]
        )
    except BadInput as fault:
        return _page(name, request_id, str(fault))
    flash(f"{requests.described(row)} is withdrawn: nothing of it is sent.", "good")
    return redirect(url_for("balance_request", name=name, request_id=request_id), 303)


def accept(name: str, request_id: int) -> ResponseReturnValue:
    """Note a person's word on what m3ter has of a request in doubt, and let its sync go on."""
    row = _look_up(name, request_id)
    try:
        m3ter_id = str(UUID(request.form.get("m3ter_id", "").strip()))
    except ValueError:
        return _page(name, request_id, "say which of m3ter's it is, by its id: 01234567-89ab-cdef-0123-456789abcdef")
    try:
        reason = request.form.get("reason", "")[: forms.MAX_TEXT]
        asking.accept(services(), name, row.id, m3ter_id, who=me().actor, reason=reason)
    except BadInput as fault:
        return _page(name, request_id, str(fault))
    with services().reading() as db:
        sync = requests.sync_of(db, row)
    if sync is not None:
        actions.retry(services(), [sync], me().actor)
    flash(f"{requests.described(row)} is {m3ter_id}: nothing is sent for it any more.", "good")
    return redirect(url_for("balance_request", name=name, request_id=request_id), 303)
