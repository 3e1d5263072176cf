"""The official SDK, whose requests are carried by us: loaded by the first call to Chargebee, and once in a process."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import chargebee

from connector.clients.http import Answer, silence


def of(site: str, api_key: str, api_url: str) -> Any:
    """The SDK for this site; its methods are called through `answer`."""
    sdk = chargebee.Chargebee(api_key=api_key, site=site)
    sdk.env.api_endpoint = api_url
    return sdk


def answer(
    carry: Callable[[dict[str, Any], str], Answer], api_url: str, method: Callable[..., object], *args: object
) -> Answer:
    """What `carry` brings back for the request that this method of the SDK writes, and its address; raises what it does."""
    token = _route.set(_Route(carry, api_url))
    try:
        method(*args)
    except _Answered as answered:
        return answered.answer
    finally:
        _route.reset(token)
    raise AssertionError("the SDK has made its call by another way than ours")


@dataclass(frozen=True)
class _Route:
    """The way that the SDK's next request is to take: several clients of one process must not meet."""

    carry: Callable[[dict[str, Any], str], Answer]
    api_url: str

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
    raise _Answered(route.carry(request_args, route.url(request_args["url"])))


chargebee.http_request._make_request = _make_request
# While it is set, the SDK builds a store of certificates for every call (18 ms), which is no use to our transport. The
# SDK's own transport verifies certificates without it too, by those that httpx brings.
chargebee.Chargebee.verify_ca_certs = False
# At DEBUG it writes payloads and whole answers.
silence("chargebee.http_request")
