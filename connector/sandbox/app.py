"""The sandbox as one WSGI application: `/chargebee`, `/m3ter` and `/_control`."""

from typing import TYPE_CHECKING

from flask import Flask, Response, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from connector.sandbox import control
from connector.sandbox.chargebee import routes as chargebee
from connector.sandbox.gate import UNKNOWN, Gate
from connector.sandbox.m3ter import routes as m3ter

if TYPE_CHECKING:
    from connector.sandbox.sandbox import Sandbox


def create_app(box: "Sandbox") -> tuple[Flask, Gate]:
    """The application, and the gate through which every request enters it."""
    app = Flask("connector.sandbox", static_folder=None)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = False
    app.register_blueprint(chargebee.routes(box.chargebee), url_prefix="/chargebee/api/v2")
    app.register_blueprint(m3ter.routes(box.m3ter), url_prefix="/m3ter")
    app.register_blueprint(control.routes(box), url_prefix="/_control")
    app.register_error_handler(HTTPException, _unrouted)
    box.faults.operations = {provider: _operations(app, provider) for provider in ("chargebee", "m3ter")}
    gate = Gate(box, app.wsgi_app, app.url_map)
    app.wsgi_app = gate  # type: ignore[method-assign]
    return app, gate


def _operations(app: Flask, provider: str) -> frozenset[str]:
    names = {rule.endpoint.partition(".") for rule in app.url_map.iter_rules()}
    return frozenset({name for blueprint, _, name in names if blueprint == provider} | {UNKNOWN})


def _unrouted(error: HTTPException) -> ResponseReturnValue:
    """What no route took, in the shape of the provider whose path it is."""
    status = error.code or 500
    message = f"{request.method} {request.path}: {error.name}"
    answer: Response
    if request.path.startswith("/chargebee/"):
        answer = chargebee.refusal(status, message)
    elif request.path.startswith("/m3ter/"):
        answer = m3ter.refusal(status, message)
    else:
        answer = control.refusal(status, message)
    return answer
