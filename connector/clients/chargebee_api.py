"""The way to one Chargebee site: the official SDK writes the requests, our own `Http` carries them, lists come whole.

The SDK's transport opens a connection for every call, and its models take 26 ms of processor time for a page of 100
invoices and raise TypeError for a missing one, so neither is used. Its retries stay off: they repeat a 429 without end.
"""

import re
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import chargebee

from connector.clients.fields import Fields
from connector.clients.http import Answer, Http, Unreadable, base_url, silence
from connector.errors import Misconfigured

PROVIDER = "Chargebee"
KEY_HEADER = chargebee.Chargebee.idempotency_header
SITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")


class ChargebeeApi:
    """One site; any number of them share one `Http`. `sdk` has the methods that `call`, `page` and `all` take."""

    def __init__(self, http: Http, *, site: str, api_key: str, api_url: str | None = None) -> None:
        if not SITE.fullmatch(site):
            raise Misconfigured("the Chargebee site should be its name alone, such as acme or acme-test")
        if not (api_key and api_key.isascii() and api_key.isprintable()):
            raise Misconfigured("the Chargebee API key is empty or has characters that no key has")
        self._http = http
        self._api_url = base_url(api_url or f"https://{site}.chargebee.com/api/v2", "the Chargebee API URL")
        self.sdk = chargebee.Chargebee(api_key=api_key, site=site)
        self.sdk.env.api_endpoint = self._api_url

    def all(
        self, operation: str, method: Callable[..., object], named: str, filters: dict[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """What each row of a list holds under this name, page by page; raises Unreadable."""
        rows, offset = self.page(operation, method, named, filters, None)
        yield from rows
        while offset is not None:
            rows, offset = self.page(operation, method, named, filters, offset)
            yield from rows

    def page(
        self, operation: str, method: Callable[..., object], named: str, filters: dict[str, Any], offset: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """One page of a list, and the offset of the next (None: no more); raises Unreadable."""
        params = filters if offset is None else {**filters, "offset": offset}
        page = Fields(f"Chargebee answer to {operation}", self.call(operation, method, params).json())
        following = page.text_or_none("next_offset") or None
        check_progress(operation, offset, following)
        return list(page.each("list", lambda row: member(row, named))), following

    def call(self, operation: str, method: Callable[..., object], *args: object, writes: bool = False) -> Answer:
        """The answer to what this method of the SDK asks with `args`; raises what `Http.call` does."""
        token = _route.set(_Route(self._http, self._api_url, operation, writes))
        try:
            method(*args)
        except _Answered as answered:
            return answered.answer
        finally:
            _route.reset(token)
        raise AssertionError("the SDK has made its call by another way than ours")


def member(document: object, name: str) -> dict[str, Any]:
    """The object of this name in an answer; raises Unreadable."""
    return Fields("Chargebee answer", document).object(name)


def check_progress(operation: str, offset: str | None, following: object) -> None:
    """Raise Unreadable where the next page is the one that was just read: such a list has no end."""
    if offset is not None and offset == following:
        raise Unreadable(f"Chargebee answer to {operation}: the next page is the same page")


@dataclass(frozen=True)
class _Route:
    """The way that the SDK's next request is to take: several clients of one process must not meet."""

    http: Http
    api_url: str
    operation: str
    writes: bool

    def url(self, sdk_url: str) -> str:
        """The SDK's address with our own scheme, and with one layer of quoting taken off its path.

        The SDK quotes an id but leaves its slashes, and picks the scheme by a setting of the whole process. So it is
        given ids that are quoted already.
        """
        path = urlsplit(sdk_url).path.removeprefix(urlsplit(self.api_url).path)
        return self.api_url + unquote(path)


class _Answered(Exception):
    """Carries a good answer past the SDK's own reading of it."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


_route: ContextVar[_Route | None] = ContextVar("chargebee_route", default=None)
_sdk_make_request = chargebee.http_request._make_request


def _make_request(request_args: dict[str, Any]) -> object:
    """Stands in for the SDK's transport; a use of the SDK that is none of ours keeps the original."""
    route = _route.get()
    if route is None:
        return _sdk_make_request(request_args)
    answer = route.http.call(
        provider=PROVIDER,
        operation=route.operation,
        method=request_args["method"],
        url=route.url(request_args["url"]),
        headers=request_args["headers"],
        params=request_args.get("params"),
        form=request_args.get("data"),
        writes=route.writes,
    )
    raise _Answered(answer)


chargebee.http_request._make_request = _make_request
# While it is set, the SDK builds a store of certificates for every call (18 ms), which is no use to our transport. The
# SDK's own transport verifies certificates without it too, by those that httpx brings.
chargebee.Chargebee.verify_ca_certs = False
# At DEBUG it writes payloads and whole answers.
silence("chargebee.http_request")
