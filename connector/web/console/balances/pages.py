"""What accounts hold: the list, and one balance whole with its chart."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import islice
from uuid import UUID

from flask import render_template, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup
from sqlalchemy import func, select

from connector.balances import drawing, drift, held, lookup, overview, requests, showing, top_ups, watches
from connector.balances.drift import Finding
from connector.balances.in_m3ter import price_of
from connector.balances.picture import Picture
from connector.clients.m3ter_balance_objects import Balance, Charge
from connector.errors import BadInput, ConnectorError
from connector.models import IS_UNDER_WAY, BalanceReading, BalanceRequest, BalanceWatch
from connector.web.console import forms
from connector.web.console.balances import desk as desks
from connector.web.console.balances.desk import Desk
from connector.web.console.here import services

MANY = 200
# Of an account's balances only so many are looked into, each with some calls.
LOOKED_INTO = 20
UNITS = {"DAILY": "day", "WEEKLY": "week", "MONTHLY": "month", "ANNUALLY": "year"}


@dataclass(frozen=True)
class Line:
    """A balance in the list; `stands` and `findings` are None where it was not looked into."""

    balance: Balance
    customer: str | None
    stands: held.Standing | None
    findings: list[Finding] | None
    watch: BalanceWatch | None
    reading: BalanceReading | None
    open_requests: int


def index() -> ResponseReturnValue:
    """The balances of an account, each looked into; or all of them as the lists know them."""
    connections = list(services().connections)
    name = forms.wanted("connection", connections) or connections[0]
    account, desk = forms.wanted("account"), desks.at(name)
    found: list[Balance] = []
    charges: list[Charge] = []
    account_id = fault = None
    try:
        account_id = lookup.account_id(services(), name, account) if account else None
    except BadInput as unknown:
        fault = str(unknown)
    if fault is None:
        found = desk.m3ter.list_balances(account_id)
        if account_id is not None:
            charges = _of_account(desk, account_id)
    return render_template(
        "balances/index.html",
        desk=desk,
        lines=_lines(desk, found, look=account_id is not None),
        charges=charges,
        account_id=account_id,
        customer=desk.customers([account_id]).get(account_id) if account_id else None,
        chosen={key: value for key, value in (("account", account), ("connection", name)) if value},
        connections=connections,
        fault=fault,
        more=max(0, len(found) - MANY),
        price_of=price_of,
    )  # fmt: skip


def _of_account(desk: Desk, account_id: str) -> list[Charge]:
    """The charges of the account itself, the newest first."""
    listed = desk.m3ter.list_charges(account_id=account_id)
    return list(islice((one for one in listed if one.entity_type != "BALANCE"), MANY))


def _lines(desk: Desk, found: list[Balance], *, look: bool) -> list[Line]:
    shown = found[:MANY]
    customers = desk.customers([one.account_id for one in shown])
    with services().reading() as db:
        watched = {row.balance_id: row for row in watches.listed(db, desk.connection)}
        readings = {one.id: watches.last_reading(db, desk.connection, one.id) for one in shown if one.id in watched}
        counted = (
            select(BalanceRequest.balance_id, func.count().label("number"))
            .where(BalanceRequest.connection == desk.connection, IS_UNDER_WAY)
            .group_by(BalanceRequest.balance_id)
        )
        pending = {row.balance_id: row.number for row in db.execute(counted)}
    lines = []
    for number, one in enumerate(shown):
        stands = findings = None
        if look and number < LOOKED_INTO:
            there = drift.read(services(), desk.connection, one)
            stands = held.standing(one, there.transactions, services().now())
            with services().reading() as db:
                asked = requests.listed(db, desk.connection, balance_id=one.id, limit=drift.MANY)
            findings = drift.findings(one, asked, there)
        lines.append(
            Line(
                one, customers.get(one.account_id), stands, findings, watched.get(one.id), readings.get(one.id),
                pending.get(one.id, 0),
            )
        )  # fmt: skip
    return lines


def show(name: str, balance_id: UUID) -> ResponseReturnValue:
    """One balance: what it holds, its chart, history, charges, schedules, requests, top-ups, findings and watch."""
    desk = desks.at(name, balance_id)
    seen = overview.of(services(), name, desk.on)
    picture, no_chart = _picture(desk)
    with services().reading() as db:
        pairs = top_ups.listed(db, name, balance_id=desk.on.id)
        watch = watches.find(db, name, desk.on.id)
        syncs = requests.syncs_of(db, seen.open_requests)
    return render_template(
        "balances/show.html",
        desk=desk,
        seen=seen,
        # The drawing escapes all that it is given.
        chart=Markup(drawing.svg(picture)) if picture else None,  # noqa: S704
        picture=picture,
        no_chart=no_chart,
        pairs=pairs,
        watch=watch,
        syncs=syncs,
        customer=desk.customers([desk.on.account_id]).get(desk.on.account_id),
        titles=requests.TITLES,
        price_of=price_of,
        rhythm=rhythm,
        coming=_coming(picture, desk) if picture else [],
        history=url_for("balance_requests", name=name, balance=desk.on.id),
    )


def _picture(desk: Desk) -> tuple[Picture | None, str | None]:
    """The balance over time, or why that cannot be said now: the rest of the page is worth having without it."""
    try:
        return showing.taken(services(), desk.connection, desk.on.id), None
    except ConnectorError as error:
        return None, str(error)


def _coming(picture: Picture, desk: Desk) -> list[tuple[date, Decimal, str, str]]:
    """Day, amount, currency and what it is of all that schedules are going to make, the next first."""
    credits = [(desk.day_of(one.at), one.amount, desk.on.currency, "credit") for one in picture.coming_credits]
    charges = [(one.day, one.amount, one.currency, f"charge: {one.description}") for one in picture.coming_charges]
    return sorted([*credits, *charges], key=lambda one: (one[0], one[3]))


def rhythm(frequency: str, every: int) -> str:
    """How often a schedule recurs, for a person."""
    unit = UNITS.get(frequency, frequency)
    return f"each {unit}" if every == 1 else f"each {every} {unit}s"


def chart_style() -> ResponseReturnValue:
    """What the chart looks like: a style sheet of its own, since nothing stands in the page itself."""
    return drawing.STYLE, 200, {"Content-Type": "text/css; charset=utf-8"}
