"""The pages over HTTP: read one, post one of its forms, and come back to it."""

import functools
from importlib.resources import files
from typing import TYPE_CHECKING

from flask import Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from connector.sandbox.chargebee.errors import Refused as ChargebeeRefused
from connector.sandbox.m3ter.errors import Refused as M3terRefused
from connector.sandbox.pages import actions, views

if TYPE_CHECKING:
    from flask import Flask

    from connector.sandbox.sandbox import Sandbox

STYLE = files("connector.sandbox.pages").joinpath("style.css").read_text(encoding="utf-8")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def add_to(app: "Flask", box: "Sandbox") -> None:
    """Puts the pages of this sandbox into the application."""
    app.add_url_rule("/console.css", "style", lambda: Response(STYLE, content_type="text/css", headers=HEADERS))
    for provider in views.PAGES:
        show = functools.partial(_page, box, provider)
        act = functools.partial(_act, box, provider)
        app.add_url_rule(f"/{provider}/", f"{provider} page", show, methods=["GET"])
        app.add_url_rule(f"/{provider}/console/<operation>", f"{provider} form", act, methods=["POST"])


def is_page(path: str) -> bool:
    """Whether a path under a provider leads to a page and not to its API."""
    provider, _, rest = path.lstrip("/").partition("/")
    return provider in views.PAGES and (rest == "" or rest.startswith("console/"))


def _page(box: "Sandbox", provider: str, error: str | None = None, status: int = 200) -> Response:
    return Response(
        views.render(box, provider, error), status, content_type="text/html; charset=utf-8", headers=HEADERS
    )


def _act(box: "Sandbox", provider: str, operation: str) -> AnyResponse:
    """Does what the form says, as the API would; what the provider says against it is shown on the page."""
    # A page elsewhere that makes a browser post here is not a person at this page.
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return _page(box, provider, "This form was posted from another site", 403)
    fields = request.form.to_dict()
    back = fields.pop(":back", "")
    try:
        actions.perform(box, provider, operation, fields.pop(":id", ""), fields)
    except (ChargebeeRefused, M3terRefused, ValueError, ArithmeticError) as error:
        return _page(box, provider, str(error), 400)
    return redirect(f"/{provider}/#{back}" if back.isalpha() else f"/{provider}/", 303)
