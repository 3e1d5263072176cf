"""The gate before both providers: it notes every call and carries out the faults that were ordered."""

import html
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from werkzeug.exceptions import HTTPException
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request, Response

from connector.sandbox.chargebee import routes as chargebee
from connector.sandbox.faults import LateRequest
from connector.sandbox.m3ter import routes as m3ter
from connector.sandbox.pages.routes import is_page

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from connector.sandbox.sandbox import Sandbox

# The name under which requests on no route are noted, and faults for them are ordered.
UNKNOWN = "unknown"
PROVIDERS = {"chargebee": chargebee.PATHS, "m3ter": m3ter.PATHS}


class Cut(ConnectionResetError):
    """The connection ends without an answer: the server closes it, an in-process caller sees this error itself."""


@dataclass
class Call:
    """One HTTP request; the status is None for as long as, and if, no answer was sent."""

    provider: str
    operation: str
    method: str
    path: str
    status: int | None = None
    fault: str | None = None
    idempotency_key: str | None = None
    query: str = ""


class Gate:
    """A WSGI application around the providers' own."""

    def __init__(self, box: "Sandbox", inner: "WSGIApplication") -> None:
        self._box = box
        self._inner = inner
        box.faults.operations = {provider: paths.names | {UNKNOWN} for provider, paths in PROVIDERS.items()}

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        provider = environ.get("PATH_INFO", "").lstrip("/").partition("/")[0]
        if provider not in PROVIDERS or is_page(environ["PATH_INFO"]):
            return self._inner(environ, start_response)
        request = Request(environ)
        call = Call(provider, _operation(provider, environ), request.method, request.path)
        call.query = request.query_string.decode("latin1")
        call.idempotency_key = request.headers.get("chargebee-idempotency-key")
        with self._box.lock:
            self._box.calls.append(call)
            fault = self._box.faults.next(provider, call.operation)
        visit = Visit(self, request, provider, fault.detail if fault else {})
        if fault is None:
            response = visit.apply()
        else:
            call.fault = fault.kind
            response = FAULTS[fault.kind](visit)
        call.status = response.status_code
        return response(environ, start_response)

    def replay(self, late: LateRequest) -> None:
        """Carries out a request that was answered long ago."""
        builder = EnvironBuilder(
            late.path, method=late.method, query_string=late.query, headers=list(late.headers), data=late.body
        )
        self.run(Request(builder.get_environ()))

    def run(self, request: Request) -> Response:
        """The providers' own answer, once all that is due by now has happened."""
        with self._box.lock:
            self._box.settle()
            return Response.from_app(self._inner, request.environ, buffered=True)

    def postpone(self, request: Request, seconds: float) -> None:
        """Keeps the request until so many seconds have passed."""
        due = self._box.clock.now() + timedelta(seconds=seconds)
        headers = tuple((name, value) for name, value in request.headers.items() if name != "Content-Length")
        query = request.query_string.decode("latin1")
        late = LateRequest(due, request.method, request.path, query, headers, request.get_data())
        with self._box.lock:
            self._box.faults.late.append(late)

    def expire_tokens(self) -> None:
        """Makes m3ter's tokens worthless."""
        self._box.m3ter.expire_tokens()


def _operation(provider: str, environ: "WSGIEnvironment") -> str:
    try:
        return PROVIDERS[provider].match(environ)[0]
    except HTTPException:
        return UNKNOWN


@dataclass
class Visit:
    """One request that meets a fault."""

    gate: Gate
    request: Request
    provider: str
    detail: dict[str, Any]

    def apply(self) -> Response:
        """The answer without the fault."""
        return self.gate.run(self.request)

    def error(self) -> Response:
        """An error answer in the provider's own shape."""
        status = int(self.detail["status"])
        message = self.detail.get("message", f"Ordered {status}")
        if self.provider == "chargebee":
            response: Response = chargebee.refusal(status, message, self.detail.get("api_error_code"))
        else:
            response = m3ter.refusal(status, message)
        if "retry_after" in self.detail:
            response.headers["Retry-After"] = str(self.detail["retry_after"])
        return response


def _refuse(_: Visit) -> Response:
    raise Cut("refused")


def _cut(visit: Visit) -> Response:
    visit.apply()
    raise Cut("cut after the work was done")


def _late(visit: Visit) -> Response:
    visit.gate.postpone(visit.request, float(visit.detail["seconds"]))
    return _page(504, "Gateway Time-out")


def _delay(visit: Visit) -> Response:
    time.sleep(float(visit.detail["seconds"]))
    return visit.apply()


def _status_after(visit: Visit) -> Response:
    visit.apply()
    return visit.error()


def _html(visit: Visit) -> Response:
    return _page(int(visit.detail.get("status", 503)), "Service Temporarily Unavailable")


def _truncated(visit: Visit) -> Response:
    response = visit.apply()
    body = response.get_data()
    response.set_data(body[: len(body) // 2])
    return response


def _drip(visit: Visit) -> Response:
    response = visit.apply()
    response.response = _drops(response.get_data(), float(visit.detail["seconds"]))
    return response


def _drops(body: bytes, seconds: float) -> Iterator[bytes]:
    """The body, byte by byte, over so many seconds."""
    for number in range(len(body)):
        time.sleep(seconds / len(body))
        yield body[number : number + 1]


def _redirect(visit: Visit) -> Response:
    return Response(status=302, headers={"Location": str(visit.detail["location"])})


def _expire_token(visit: Visit) -> Response:
    visit.gate.expire_tokens()
    return visit.apply()


FAULTS: dict[str, Callable[[Visit], Response]] = {
    "refuse": _refuse,
    "cut": _cut,
    "late": _late,
    "delay": _delay,
    "status": Visit.error,
    "status_after": _status_after,
    "html": _html,
    "truncated": _truncated,
    "drip": _drip,
    "redirect": _redirect,
    "expire_token": _expire_token,
}


def _page(status: int, title: str) -> Response:
    text = (
        f"<html><head><title>{status} {html.escape(title)}</title></head><body><h1>{status} {title}</h1></body></html>"
    )
    return Response(text, status, content_type="text/html")
