"""The API's own application: who may call, how calls are read, and what every answer is."""

import json
import re
from typing import Any, TypeVar
from urllib.parse import quote

import structlog
from flask import Flask, Response, current_app, request
from pydantic import BaseModel, ValidationError
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import IntegerConverter

from connector import access, audit, inbox, tokens
from connector.errors import ConnectorError
from connector.services import Services
from connector.tokens import Caller, TokenRefused, TooManyCalls
from connector.web.api import document, problems
from connector.web.api.here import Created, Here
from connector.web.api.operations import OPERATIONS, Operation
from connector.web.api.problems import Refusal
from connector.web.api.shapes import MAX_ROW, REFERENCE, Fault

log = structlog.get_logger(__name__)
T = TypeVar("T", bound=BaseModel)

MAX_BYTES = 2**17
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
KEY = "Idempotency-Key"
DETAILS = {
    400: "The call could not be read.",
    404: "There is nothing at this address; /api/v1/openapi.json says what there is.",
    405: "This address does not have this method.",
    413: f"A body has at most {MAX_BYTES} bytes.",
    500: "What went wrong is in the log of the web process.",
}


class Row(IntegerConverter):
    """A number; that it is one of a row is looked at afterwards: what a converter refuses is answered with 405, not 404."""

    regex = "[0-9]{1,19}"


def create(wired: Services) -> Flask:
    """The application with these services."""
    app = Flask("connector.web.api", static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=MAX_BYTES, PROVIDE_AUTOMATIC_OPTIONS=False)
    app.extensions["services"] = wired
    app.url_map.converters["row"] = Row
    app.url_map.merge_slashes = False
    for one in OPERATIONS:
        app.add_url_rule(one.rule, one.id, _view(one), methods=[one.method])
    app.add_url_rule("/openapi.json", "document", lambda: _json(document.openapi()), methods=["GET"])
    app.after_request(_with_headers)
    app.register_error_handler(Refusal, _refused)
    app.register_error_handler(ConnectorError, lambda error: _refused(problems.of_error(error)))
    app.register_error_handler(HTTPException, _not_read)
    app.register_error_handler(RedisError, _without_redis)
    app.register_error_handler(SQLAlchemyError, _without_database)
    if wired.settings.console_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=wired.settings.console_proxies, x_proto=0)  # type: ignore[method-assign]
    return app


def _view(operation: Operation) -> Any:
    def view(**address: Any) -> Response:
        wired: Services = current_app.extensions["services"]
        caller = _admitted(wired, operation)
        if any(isinstance(one, int) and not 0 < one <= MAX_ROW for one in address.values()):
            raise Refusal(404, DETAILS[404])
        here = Here(wired, caller, _key() if operation.takes_key else None)
        said: dict[str, Any] = {}
        if operation.query:
            said["query"] = _query(operation.query)
        elif request.args:
            fault = [Fault(where=f"query.{name[:80]}", text="There is no such parameter.") for name in request.args]
            raise Refusal(422, "This takes no parameters.", faults=fault)
        if operation.body:
            said["body"] = _body(operation.body)
        elif operation.method != "GET" and request.get_data().strip() not in (b"", b"{}"):
            raise Refusal(422, "This takes no body.")
        made = operation.run(here, **address, **said)
        if isinstance(made, Created):
            answer = _json(made.answer.model_dump(mode="json"), 201)
            answer.headers["Location"] = f"{request.script_root}{quote(made.location)}"
            return answer
        return _json(made.model_dump(mode="json"))

    return view


# Who may call


def _admitted(wired: Services, operation: Operation) -> Caller:
    """The caller, whose role is enough; a problem for every other."""
    caller = _recognised(wired)
    if not caller.may(operation.role):
        with wired.transaction() as db:
            audit.note(
                db, who=caller.actor, action="api denied", connection=access.INSTALLATION, subject=operation.id,
                now=wired.now(), needs=operation.role,
            )  # fmt: skip
        raise Refusal(403, f"This needs the role {operation.role}; that of the token is {caller.role}.")
    if request.accept_mimetypes and not request.accept_mimetypes["application/json"]:
        raise Refusal(406, "Answers are application/json.")
    return caller


def _recognised(wired: Services) -> Caller:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    step = "Send `Authorization: Bearer` with a token; `connector tokens create` makes one."
    if kind.lower() != "bearer" or not token.strip():
        raise Refusal(401, "No token came with the call.", next_step=step, headers=_challenge(""))
    try:
        return tokens.recognised(wired, token.strip(), request.remote_addr or "?")
    except TooManyCalls as error:
        raise Refusal(429, str(error), headers={"Retry-After": str(error.seconds)}) from None
    except TokenRefused as error:
        raise Refusal(401, str(error), next_step=step, headers=_challenge(', error="invalid_token"')) from None


def _challenge(why: str) -> dict[str, str]:
    return {"WWW-Authenticate": f'Bearer realm="connector"{why}'}


# How calls are read


def _query(model: type[T]) -> T:
    """What stands in the address: each name once."""
    given = {name: request.args.getlist(name) for name in request.args}
    if twice := [name for name, values in given.items() if len(values) > 1]:
        faults = [Fault(where=f"query.{name[:80]}", text="This is given more than once.") for name in twice]
        raise Refusal(422, "A parameter is given more than once.", faults=faults)
    try:
        return model.model_validate({name: value for name, [value] in given.items()})
    except ValidationError as error:
        raise problems.of_faults("query", error) from None


def _body(model: type[T]) -> T:
    """The JSON object that was sent; none is as good as an empty one. A key that stands twice, NaN and depth are refused."""
    body = request.get_data()
    if request.mimetype != "application/json" and (body or request.mimetype):
        raise Refusal(415, "Bodies are application/json.")
    try:
        inbox.read_json(body or b"{}")
    except inbox.BadBody as error:
        raise Refusal(400, f"{error}.") from None
    try:
        return model.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise problems.of_faults("body", error) from None


def _key() -> str | None:
    found = request.headers.get(KEY)
    if found is not None and not re.fullmatch(REFERENCE, found):
        text = "Up to 80 letters, digits, dots, slashes, underscores and hyphens; the first is a letter or a digit."
        raise Refusal(422, "The key cannot be used.", faults=[Fault(where=f"header.{KEY}", text=text)])
    return found


# What every answer is


def _json(value: Any, status: int = 200) -> Response:
    return Response(json.dumps(value, ensure_ascii=False), status, content_type="application/json")


def _refused(refusal: Refusal) -> Response:
    answer = Response(json.dumps(refusal.document(), ensure_ascii=False), refusal.status, content_type=problems.TYPE)
    answer.headers.update(refusal.headers)
    return answer


def _not_read(error: HTTPException) -> Response:
    """What Flask refuses, and what nobody foresaw, in our words and without what was sent."""
    status = error.code or 500
    headers = {}
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return _refused(Refusal(status, DETAILS.get(status, f"{error.name}."), headers=headers))


def _away(what: str) -> Response:
    step = "Try again in a minute. What was done is kept."
    return _refused(Refusal(503, what, next_step=step, headers={"Retry-After": str(problems.RETRY_SECONDS)}))


def _without_redis(error: RedisError) -> Response:
    log.warning("Redis cannot be reached", error=type(error).__name__)
    return _away("The queue cannot be reached. What was asked for is kept, and goes on when the queue is back.")


def _without_database(error: SQLAlchemyError) -> Response:
    log.error("the database cannot be used", error=type(error).__name__)
    return _away("The database cannot be used.")


def _with_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers[name] = value
    return response
