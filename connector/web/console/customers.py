"""Customers: the list of those that are mapped, and one whole, with its plans over time."""

from flask import abort, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from connector import actions, search
from connector.customer_overview import drawing, live, overview, states
from connector.customer_overview.live import Live
from connector.customer_overview.timeline import rows
from connector.errors import ConnectorError
from connector.web.console import forms
from connector.web.console.here import me, services

KINDS = ("customer", "subscription")


def index() -> ResponseReturnValue:
    """The customers of one connection that have an account in m3ter, or those that an id leads to."""
    connections = list(services().connections)
    name = forms.wanted("connection", connections) or connections[0]
    about, state = forms.wanted("about"), forms.wanted("state", states.FILTERS)
    with services().reading() as db:
        if about is None:
            found = states.listed(db, name, state=state, before=forms.before(), limit=forms.PAGE_ROWS + 1)
            page, older = forms.page(found)
        else:
            ids = [one.id for one in search.find(db, [name], about) if one.kind == "customer"]
            page, older = states.named(db, name, ids), None
    return render_template(
        "customers.html",
        rows=page,
        older=older,
        name=name,
        chosen={
            key: value for key, value in (("about", about), ("state", state), ("connection", name)) if value is not None
        },
        states=states.FILTERS,
        connections=connections,
    )


def show(name: str, customer_id: str) -> ResponseReturnValue:
    """One customer whole, from our own rows; m3ter is asked only where a person wants that."""
    _must_be_there(name)
    with services().reading() as db:
        lives_as = overview.lives_as(db, name, customer_id)
        known = overview.is_known(db, name, lives_as)
    if lives_as != customer_id:
        flash(f"Customer {customer_id} went to another business entity, where it is {lives_as}.", "good")
        return redirect(url_for("customer", name=name, customer_id=lives_as), 302)
    if not known:
        abort(404)
    one = overview.of_customer(services(), name, customer_id)
    asked, fault = _asked(name, one.account_id) if forms.wanted("live", ("m3ter",)) else (None, None)
    if asked is not None and asked.plan_names:
        one = overview.of_customer(services(), name, customer_id, asked.plan_names)
    return render_template(
        "customer.html",
        one=one,
        pictures=_pictures(one),
        cut=len(one.timeline.groups) - len(drawing.drawn(one.timeline)),
        intervals=rows(one.timeline),
        live=asked,
        fault=fault,
    )


def _pictures(one: overview.CustomerOverview) -> Markup:
    """The customer's plans over time for a desk and for a phone; the style sheet shows one of them."""
    title = f"Plans of customer {one.customer_id} over time"
    # The drawing escapes all that it is given.
    return Markup("").join(Markup(drawing.svg(one.timeline, title, frame)) for frame in (drawing.DESK, drawing.PHONE))  # noqa: S704


def _must_be_there(name: str) -> None:
    if name not in services().connections:
        abort(404)


def _asked(name: str, account_id: str | None) -> tuple[Live | None, str | None]:
    """m3ter's own word, or why there is none: the rest of the page is worth having without it."""
    if account_id is None:
        return None, "the customer has no account in m3ter"
    try:
        return live.of_account_in_m3ter(services(), name, account_id), None
    except ConnectorError as error:
        return None, str(error)


def sync_now(name: str) -> ResponseReturnValue:
    """Make the customer, or one of its subscriptions, right now."""
    _must_be_there(name)
    kind, subject, customer_id = forms.choice("kind", KINDS), forms.text("subject"), forms.text("customer")
    with services().reading() as db:
        known = overview.is_known(db, name, customer_id)
        mine = subject == customer_id if kind == "customer" else overview.owns(db, name, customer_id, subject)
    if not (known and mine):
        abort(404)
    sync_id, became = actions.sync_now(services(), name, kind, subject, me().actor)
    said = "is queued" if became == "queued" else "was queued already: it runs once"
    flash(f"Sync {sync_id} of {kind} {subject} {said}.", "good")
    return redirect(url_for("customer", name=name, customer_id=customer_id), 303)
