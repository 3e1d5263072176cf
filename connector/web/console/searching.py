"""The search box of each page: any id of either system."""

from flask import redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from connector import search
from connector.search import Hit
from connector.web.console import forms
from connector.web.console.here import services


def show() -> ResponseReturnValue:
    """The page of what has this id; a list where there are several, or none."""
    text = forms.wanted("q")
    with services().reading() as db:
        hits = search.find(db, list(services().connections), text) if text else []
    found = [(one, address(one)) for one in hits]
    if len({where for _, where in found}) == 1:
        return redirect(found[0][1], 302)
    return render_template("search.html", text=text, found=found)


def address(hit: Hit) -> str:
    """The page that is about it."""
    endpoint, values = PAGES[hit.kind]
    return url_for(endpoint, **{name: getattr(hit, field) for name, field in values.items()})


# For each kind its page, and what of the hit stands in the page's address.
PAGES = {
    "customer": ("customer", {"name": "connection", "customer_id": "id"}),
    "bill": ("bill", {"name": "connection", "bill_id": "id"}),
    "balance": ("balance", {"name": "connection", "balance_id": "id"}),
    "balance_request": ("balance_request", {"name": "connection", "request_id": "id"}),
    "sync": ("sync", {"sync_id": "id"}),
    "event": ("event", {"inbox_id": "id"}),
}
