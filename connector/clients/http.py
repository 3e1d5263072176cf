"""Every call to a provider: one pool of connections, one deadline, and one decision about what a failure means.

Built on the adapter of `requests`, not on its session: a session keeps cookies, reads proxies and `.netrc` from the
environment, and looks into redirects even when it does not follow them.
"""

import ipaddress
import logging
import math
import random as randomness
import time
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC
from decimal import Decimal
from email.utils import parsedate_to_datetime
from functools import cached_property
from http.client import HTTPException
from json import dumps
from ssl import SSLCertVerificationError
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from requests import PreparedRequest, Request, RequestException, Response
from requests.adapters import BaseAdapter
from requests.exceptions import ConnectTimeout, SSLError
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NameResolutionError, NewConnectionError

from connector.clients import wire
from connector.errors import AccessRefused, ConnectorError, Misconfigured, NotFound, Rejected, Retryable, Uncertain
from connector.money import parse_json

ALWAYS_SENT = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
    "User-Agent": "chargebee-m3ter-connector",
}
MAX_MESSAGE = 300
MAX_ERROR_BYTES = 64 * 2**10
CHUNK = 64 * 2**10
MAX_RETRY_AFTER = 3600.0
FIRST_WAIT = 0.2
# A longer wait than this belongs to the sync row, not to a worker that sleeps.
LONGEST_WAIT = 5.0
# What a call that goes wrong on its way raises. An RQ job that ran out of time is none of these and must pass.
BROKEN = (OSError, HTTPError, HTTPException, ValueError)
# Why it went wrong, in words; the errors' own texts hold the whole URL.
REASONS: Sequence[tuple[type[BaseException], str]] = (
    (NameResolutionError, "the host name is not known"),
    (SSLCertVerificationError, "the TLS certificate is not valid"),
    (ConnectionRefusedError, "the connection was refused"),
    (ConnectionResetError, "the connection was cut"),
    (BrokenPipeError, "the connection was cut"),
    (ConnectTimeoutError, "connecting took too long"),
    (ConnectTimeout, "connecting took too long"),
    (TimeoutError, "it took too long"),
)


class Unreadable(ConnectorError):
    """The provider's answer lacks something we need, or has it in a form we do not know; the text names the field."""


@dataclass(frozen=True)
class Call:
    """What one HTTP call was, for the record of an attempt; a call that is repeated is several of these."""

    provider: str
    operation: str
    method: str
    path: str
    status: int | None
    error: str | None
    milliseconds: int


# Hears of each call: the provider, the status (None: no answer), and how many seconds the provider asked us to wait.
Listener = Callable[[str, int | None, int | None], None]

_recorders: ContextVar[tuple[list[Call], ...]] = ContextVar("recorders", default=())


@contextmanager
def recorded_calls() -> Iterator[list[Call]]:
    """A list that grows by every call made inside, also by those that fail."""
    calls: list[Call] = []
    token = _recorders.set((*_recorders.get(), calls))
    try:
        yield calls
    finally:
        _recorders.reset(token)


@dataclass(frozen=True)
class Answer:
    """A 2xx answer, whose body is JSON (or empty, for 204)."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The body with `Decimal` for every number that has a fraction; None for an empty 204."""
        return self._document

    @cached_property
    def _document(self) -> Any:
        return None if self.status == 204 and not self.body else parse_json(self.body)


class Http:
    """The pool of connections that all clients of a process share; safe to use from several threads.

    From the connection on, one try takes at most `total_timeout`, and nothing is sent after that; a host with several
    dead addresses costs `connect_timeout` for each. One `call` is at most `attempts` tries with waits of up to 5 s.
    `adapter` carries the requests somewhere else than into the network, for simulations.
    """

    def __init__(
        self,
        *,
        connect_timeout: float = 5,
        total_timeout: float = 30,
        pool_size: int = 10,
        max_bytes: int = 10 * 2**20,
        attempts: int = 3,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = randomness.random,
        clock: Callable[[], float] = time.time,
        verify: bool | str = True,
        adapter: BaseAdapter | None = None,
    ) -> None:
        self._timeouts = (min(connect_timeout, total_timeout), total_timeout)
        self._max_bytes = max_bytes
        self._random = random
        self._clock = clock
        self._verify = verify
        self._adapter = adapter or wire.Adapter(pool_connections=100, pool_maxsize=pool_size)
        self._listener: Listener | None = None
        self._retrying = Retrying(
            stop=stop_after_attempt(attempts),
            wait=self._wait,
            retry=retry_if_exception(_is_safe_to_repeat),
            sleep=sleep,
            reraise=True,
        )
        silence("urllib3.connectionpool")
        silence("urllib3.util.retry")

    def heard_by(self, listener: Listener) -> "Http":
        """The same pool, whose every call, also each that is repeated, is told to this listener."""
        heard = copy(self)
        heard._listener = listener
        return heard

    def close(self) -> None:
        """Close the pooled connections."""
        self._adapter.close()

    def call(
        self,
        *,
        provider: str,
        operation: str,
        method: str,
        url: str,
        headers: Mapping[str, str],
        params: Mapping[str, Any] | None = None,
        form: Mapping[str, Any] | None = None,
        json: Any = None,
        writes: bool,
    ) -> Answer:
        """The 2xx answer, after repeating what is safe to repeat; raises Rejected, Retryable or one of their kinds.

        `writes` says that the call changes something: then an unknown outcome is Uncertain and never repeated here.
        """
        try:
            content, body = _content(form, json)
            sent = {**headers, **content, **ALWAYS_SENT}
            request = Request(method, url, headers=sent, params=params, data=body).prepare()
        except (RequestException, ValueError):
            # The original quotes the header or the URL that it does not like.
            raise Rejected(f"{provider} {operation}: the request cannot be written down") from None
        return self._retrying(self._try, _Try(provider, operation, request, writes))

    def _wait(self, state: RetryCallState) -> float:
        """Exponential with full jitter, and at least as long as the provider asked for."""
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, Retryable) else None
        return max(asked or 0.0, self._random() * FIRST_WAIT * 2.0 ** (state.attempt_number - 1))

    def _try(self, this: "_Try") -> Answer:
        """One exchange, recorded however it ends."""
        started = time.monotonic()
        error: str | None = None
        wait: int | None = None
        this.status = None
        try:
            with wire.in_progress(self._timeouts[1]) as progress, self._response(this, progress) as response:
                this.status = response.status_code
                return self._answer(this, response)
        except Exception as failure:
            error = type(failure).__name__
            if isinstance(failure, Retryable) and failure.retry_after is not None:
                wait = math.ceil(failure.retry_after)
            raise
        finally:
            _record(this, error, time.monotonic() - started)
            if self._listener is not None:
                self._listener(this.provider, this.status, wait)

    def _response(self, this: "_Try", progress: wire.Progress) -> Response:
        try:
            return self._adapter.send(
                this.request, stream=True, timeout=self._timeouts, verify=self._verify, proxies=None
            )
        except BROKEN as error:
            # Not chained: the original's text holds the whole URL, and the error itself the request's credentials.
            raise this.not_answered(error, progress) from None

    def _answer(self, this: "_Try", response: Response) -> Answer:
        if not 200 <= response.status_code < 300:
            raise this.refused(response, self._clock())
        try:
            body = _body(response, self._max_bytes)
        except BROKEN as error:
            raise this.unsure(f"the answer broke off: {_reason(error)}") from None
        if len(body) > self._max_bytes:
            raise this.unsure(f"the answer is larger than {self._max_bytes} bytes")
        answer = Answer(response.status_code, response.headers, body)
        try:
            answer.json()
        except (ValueError, RecursionError):
            raise this.unsure(f"the answer (HTTP {answer.status}) is not JSON") from None
        return answer


@dataclass
class _Try:
    """One call, and what each way it can fail means: nothing else looks at a status code."""

    provider: str
    operation: str
    request: PreparedRequest = field(repr=False)
    writes: bool
    status: int | None = None

    def unsure(self, text: str, retry_after: float | None = None) -> Retryable:
        """It may have been carried out; that matters for a write only."""
        kind = Uncertain if self.writes else Retryable
        return kind(f"{self.provider} {self.operation}: {text}", retry_after=retry_after)

    def not_answered(self, error: Exception, progress: wire.Progress) -> Retryable:
        """No answer came; where the request never left us, nothing can have changed."""
        never_left = not progress.sent if progress.sent is not None else _never_connected(error)
        if not never_left:
            return self.unsure(f"no answer: {_reason(error)}")
        host = urlsplit(str(self.request.url)).netloc
        return Retryable(f"{self.provider} {self.operation}: cannot reach {host}: {_reason(error)}")

    def refused(self, response: Response, now: float) -> ConnectorError:
        """What any answer but 2xx means."""
        status, wait = response.status_code, _retry_after(response.headers, now)
        message, code = _said(response, _secrets(self.request))
        what = f"{self.operation} (HTTP {status}{code and ', '}{code}){message and ': '}{message}"
        if status == 429:
            return Retryable(f"{self.provider} asks us to slow down: {what}", retry_after=wait)
        if status in (401, 403):
            return AccessRefused(f"{self.provider} does not let us in: {what}")
        if status == 404:
            return NotFound(f"{self.provider} does not have it: {what}", status=status, code=code or None)
        # 408 is a time-out as the other side saw it, as open as one of our own.
        if status >= 500 or status == 408:
            return self.unsure(f"failed on their side: {what}", retry_after=wait)
        if status < 400:
            return Rejected(f"{self.provider} answered with a redirect, which is never followed: {what}", status=status)
        return Rejected(f"{self.provider} refused {what}", status=status, code=code or None)


def _is_safe_to_repeat(error: BaseException) -> bool:
    if not isinstance(error, Retryable) or isinstance(error, Uncertain | AccessRefused):
        return False
    return error.retry_after is None or error.retry_after <= LONGEST_WAIT


def _record(this: _Try, error: str | None, seconds: float) -> None:
    path_only = urlsplit(str(this.request.url)).path
    milliseconds = round(seconds * 1000)
    call = Call(this.provider, this.operation, str(this.request.method), path_only, this.status, error, milliseconds)
    for calls in _recorders.get():
        calls.append(call)


def _content(form: Mapping[str, Any] | None, json: Any) -> tuple[dict[str, str], bytes | None]:
    """The body and the header that says what it is."""
    if json is not None:
        return {"Content-Type": "application/json"}, to_json(json).encode()
    if form is not None:
        return {"Content-Type": "application/x-www-form-urlencoded"}, urlencode(form).encode()
    return {}, None


def _body(response: Response, limit: int) -> bytes:
    """The body, read no further than just beyond the limit."""
    body = bytearray()
    for chunk in response.iter_content(CHUNK):
        body += chunk
        if len(body) > limit:
            break
    return bytes(body)


def _never_connected(error: Exception) -> bool:
    return any(isinstance(cause, ConnectTimeout | SSLError | NewConnectionError) for cause in _causes(error))


def _reason(error: Exception) -> str:
    causes = list(_causes(error))
    known = (words for kind, words in REASONS if any(isinstance(cause, kind) for cause in causes))
    return next(known, type(causes[-1]).__name__)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was made from, which requests and urllib3 keep in three different places."""
    following: BaseException | None = error
    while following is not None:
        yield following
        inside = (following.__cause__, getattr(following, "reason", None), *following.args)
        following = next((cause for cause in inside if isinstance(cause, BaseException)), None)


def _said(response: Response, secrets: Sequence[str]) -> tuple[str, str]:
    """The provider's own message and code, where the body has them in the usual place."""
    try:
        document = parse_json(_body(response, MAX_ERROR_BYTES))
    except (*BROKEN, RecursionError):
        return "", ""
    if not isinstance(document, dict):
        return "", ""
    return _line(document.get("message"), secrets), _line(document.get("api_error_code"), secrets)


def _line(text: object, secrets: Sequence[str]) -> str:
    if not isinstance(text, str):
        return ""
    for secret in secrets:
        text = text.replace(secret, "…")
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:MAX_MESSAGE]


def _secrets(request: PreparedRequest) -> Sequence[str]:
    """What a provider might echo of our credentials."""
    scheme, _, credentials = str(request.headers.get("Authorization", "")).partition(" ")
    parts = b64decode(credentials).decode("latin-1").split(":") if scheme == "Basic" else []
    return [secret for secret in (credentials, *parts) if secret]


def _retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait, said as a number or as a date; None where nothing usable was said."""
    value = headers.get("Retry-After", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            until = parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = (until if until.tzinfo else until.replace(tzinfo=UTC)).timestamp() - now
    return None if math.isnan(seconds) else min(max(seconds, 0.0), MAX_RETRY_AFTER)


def to_json(value: object) -> str:
    """`value` as JSON, with every Decimal written out exactly; raises TypeError for a float, which is not exact."""
    if isinstance(value, Decimal) and value.is_finite():
        return format(value, "f")
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{dumps(key)}:{to_json(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(to_json, value)) + "]"
    if value is None or isinstance(value, bool | int | str):
        return dumps(value)
    raise TypeError(f"a {type(value).__name__} cannot be sent as JSON")


def url_path(*segments: str) -> str:
    """The segments as the path of a URL, each encoded whole; raises Rejected for one that cannot stand in a path."""
    return "".join(f"/{segment(value)}" for value in segments)


def segment(value: str) -> str:
    """One id as one segment of a path; raises Rejected if it is empty, only dots or has control characters."""
    if not value.strip(" .") or not value.isprintable():
        raise Rejected(f"{value[:50]!r} cannot be the id of anything")
    return quote(value, safe="")


def base_url(url: str, name: str) -> str:
    """`url` without its last slash; raises Misconfigured by `name` unless it is https (or http to this machine)."""
    problem = _url_problem(url)
    if problem:
        # The value is not shown: what is wrong with it may be that it holds a password.
        raise Misconfigured(f"{name} {problem}; it should look like https://host/path")
    return url.rstrip("/")


def _url_problem(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "is not a URL"
    if "@" in parts.netloc:
        return "must not hold a user name or password"
    if not host or parts.query or parts.fragment or not url.isprintable() or " " in url or "\\" in url:
        return "is not a plain URL"
    if parts.scheme == "https" or (parts.scheme == "http" and _is_this_machine(host)):
        return ""
    return "must be https (http only to this machine)"


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


@contextmanager
def after_a_write() -> Iterator[None]:
    """For reading the answer to a write: one that cannot be read leaves open what happened, so it becomes Uncertain."""
    try:
        yield
    except Unreadable as error:
        raise Uncertain(str(error)) from error


def silence(logger_name: str) -> None:
    """Keep a library's logger from writing URLs and payloads, even where it is set to DEBUG."""
    logger = logging.getLogger(logger_name)
    logger.setLevel(logging.WARNING)
    if _is_loud not in logger.filters:
        logger.addFilter(_is_loud)


def _is_loud(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING
