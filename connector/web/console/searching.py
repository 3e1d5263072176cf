"""The search box of each page: any id of either system, and for those who may, a name, a company or an e-mail address.

Names and addresses are typed into a form that is posted: an address with one in it would be kept by browsers and by every proxy
on the way. Such a form is answered with its page, as the one that shows a whole payload is: it changes nothing but the audit
log, and there is nowhere to send the browser that would not hold the words.
"""

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from connector import search
from connector.access import ADMIN
from connector.customer_overview import by_name
from connector.customer_overview.by_name import Matches
from connector.errors import BadInput, ConnectorError
from connector.search import Hit
from connector.web.console import forms
from connector.web.console.here import me, services


def show() -> ResponseReturnValue:
    """The page of what has this id; a list where there are several, or none."""
    text = forms.wanted("q")
    found = [(one, address(one)) for one in (_by_id(text) if text else [])]
    if len({where for _, where in found}) == 1:
        return redirect(found[0][1], 302)
    return _page(text, found)


def _by_id(text: str) -> list[Hit]:
    with services().reading() as db:
        return search.find(db, list(services().connections), text)


def _page(
    text: str | None,
    found: list[tuple[Hit, str]] | None = None,
    *,
    name: str | None = None,
    people: Matches | None = None,
    fault: str | None = None,
    status: int = 200,
) -> ResponseReturnValue:
    """`found` is what has the id, None where nothing can; `people` what Chargebee has found in connection `name`."""
    page = render_template(
        "search.html",
        text=text,
        found=found,
        name=name,
        people=people,
        fault=fault,
        with_names=me().may(ADMIN),
        connections=list(services().connections),
    )
    return page, status


def find() -> ResponseReturnValue:
    """What has this id; where nothing has, the customers that Chargebee knows by this name, company or e-mail address.

    Several connections are several sites of Chargebee: one of them is asked, which the form names.
    """
    text, connections = request.form.get("q", "").strip(), list(services().connections)
    named = forms.one_of("connection", ["", *connections])
    if not named and 0 < len(text) <= forms.MAX_TEXT and text.isprintable() and _by_id(text):
        return redirect(url_for("search", q=text), 303)
    name = named or connections[0]
    try:
        if not named and len(connections) > 1:
            return _page(by_name.checked(text), [])
        people = by_name.find(services(), name, text, who=me().actor, with_names=me().may(ADMIN))
    except BadInput as error:
        said = "Nobody can be found by this" if named else "Nothing has this id, and nobody can be found by it"
        return _page(text[: by_name.LONGEST], name=name, fault=f"{said}: {error}.", status=422)
    except ConnectorError as error:
        return _page(text, name=name, fault=f"Chargebee does not say now: {error}.", status=409)
    return _page(text, name=name, people=people)


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
    "mapping": ("mappings", {"connection": "connection", "about": "id"}),
    "sync": ("sync", {"sync_id": "id"}),
    "event": ("event", {"inbox_id": "id"}),
}
