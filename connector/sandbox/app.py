"""The sandbox as one WSGI application: `/chargebee`, `/m3ter` and `/_control`; both providers also have a page."""

from typing import TYPE_CHECKING

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from connector.sandbox import control
from connector.sandbox.chargebee import routes as chargebee
from connector.sandbox.gate import Gate
from connector.sandbox.m3ter import routes as m3ter
from connector.sandbox.pages import routes as pages
from connector.sandbox.routing import METHODS

if TYPE_CHECKING:
    from connector.sandbox.sandbox import Sandbox


def create_app(box: "Sandbox") -> tuple[Flask, Gate]:
    """The application, and the gate through which every request enters it."""
    app = Flask("connector.sandbox", static_folder=None)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    app.url_map.merge_slashes = False
    app.add_url_rule(
        "/chargebee/<path:rest>", "chargebee", lambda rest: chargebee.answer(box.chargebee), methods=METHODS
    )
    app.add_url_rule("/m3ter/<path:rest>", "m3ter", lambda rest: m3ter.answer(box.m3ter), methods=METHODS)
    app.add_url_rule("/_control/<path:rest>", "control", lambda rest: control.answer(box, rest), methods=METHODS)
    pages.add_to(app, box)
    app.register_error_handler(HTTPException, _unrouted)
    gate = Gate(box, app.wsgi_app)
    app.wsgi_app = gate  # type: ignore[method-assign]
    return app, gate


def _unrouted(error: HTTPException) -> Response:
    return control.refusal(error.code or 500, f"{error.name}: the sandbox is at /chargebee, /m3ter and /_control")
