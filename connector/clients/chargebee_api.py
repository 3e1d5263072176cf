"""The way to one Chargebee site: the official SDK writes the requests, our own `Http` carries them, lists come whole.

The SDK's transport opens a connection for every call, and its models take 26 ms of processor time for a page of 100
invoices and raise TypeError for a missing one, so neither is used. Its retries stay off: they repeat a 429 without end.
It takes half a second to load, so only who calls Chargebee loads it.
"""

import re
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

from connector.clients.fields import Fields
from connector.clients.http import Answer, Http, Unreadable, base_url
from connector.errors import Misconfigured

PROVIDER = "Chargebee"
# As the SDK names it.
KEY_HEADER = "chargebee-idempotency-key"
SITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")


class ChargebeeApi:
    """One site; any number of them share one `Http`. `sdk` has the methods that `call`, `page` and `all` take."""

    def __init__(self, http: Http, *, site: str, api_key: str, api_url: str | None = None) -> None:
        if not SITE.fullmatch(site):
            raise Misconfigured("the Chargebee site should be its name alone, such as acme or acme-test")
        if not (api_key and api_key.isascii() and api_key.isprintable()):
            raise Misconfigured("the Chargebee API key is empty or has characters that no key has")
        self._http, self._site, self._api_key = http, site, api_key
        self._api_url = base_url(api_url or f"https://{site}.chargebee.com/api/v2", "the Chargebee API URL")

    @cached_property
    def sdk(self) -> Any:
        """The SDK for this site, to be used through `call`, `page` and `all` only."""
        from connector.clients import chargebee_sdk

        return chargebee_sdk.of(self._site, self._api_key, self._api_url)

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
        from connector.clients import chargebee_sdk

        def carry(request: dict[str, Any], url: str) -> Answer:
            return self._http.call(
                provider=PROVIDER,
                operation=operation,
                method=request["method"],
                url=url,
                headers=request["headers"],
                params=request.get("params"),
                form=request.get("data"),
                writes=writes,
            )

        return chargebee_sdk.answer(carry, self._api_url, method, *args)


def member(document: object, name: str) -> dict[str, Any]:
    """The object of this name in an answer; raises Unreadable."""
    return Fields("Chargebee answer", document).object(name)


def check_progress(operation: str, offset: str | None, following: object) -> None:
    """Raise Unreadable where the next page is the one that was just read: such a list has no end."""
    if offset is not None and offset == following:
        raise Unreadable(f"Chargebee answer to {operation}: the next page is the same page")
