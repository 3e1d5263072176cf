"""The way to one m3ter organization: its token, its pages, its versions, and what its refusals mean.

All calls to m3ter go through here, so that the clients of one organization share one token and one pool of connections.
"""

import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from connector.clients.fields import Fields
from connector.clients.http import Answer, Http, Unreadable, after_a_write, base_url, url_path
from connector.clients.m3ter_objects import Raw
from connector.errors import AccessRefused, Misconfigured, NotFound, Rejected

T = TypeVar("T")

PROVIDER = "m3ter"
API_URL = "https://api.m3ter.com"
RENEW_BEFORE_END = timedelta(minutes=5)
# The most rows that m3ter puts on a page; more is an error (m3ter.md §1.7). The least of its maxima goes everywhere.
PAGE_SIZE = 100
PAGE_SIZES = {
    "balances.charge_schedules.preview": 200,
    "balances.transaction_schedules.preview": 200,
    "balances.transactions.list": 200,
    "charges.list": 200,
    "external_mappings.list": 200,
    "external_mappings.list_by_external_entity": 200,
    "external_mappings.list_by_m3ter_entity": 200,
}
# m3ter does not document which of these a stale version gives (m3ter.md §1.2).
VERSION_CONFLICTS = frozenset({400, 409, 412, 422})
# What m3ter adds to every object and does not take back, and what it works out by itself in those of one collection.
AUDIT = frozenset({"id", "version", "dtCreated", "dtLastModified", "createdBy", "lastModifiedBy"})
DERIVED = {
    "accountplans": frozenset({"productId"}),
    "balances": frozenset({"amount"}),
    "balancetransactionschedules": frozenset({"balanceId", "nextRun", "previousRun"}),
    "balancechargeschedules": frozenset({"balanceId", "nextRun", "previousRun"}),
    "charges": frozenset({"billId", "scheduleId"}),
}
# What not every organization has (m3ter.md §12), by how the names of its operations begin.
ON_REQUEST = frozenset({"balances", "charges", "transaction_types"})
HINT = "if all of Balance Billing is refused like this, m3ter may have to switch it on for this organization"


@dataclass(frozen=True)
class _Token:
    value: str = field(repr=False)
    good_until: datetime


class M3terApi:
    """One organization; any number of them share one `Http`, and any number of threads one of these.

    Every call is named by its operation, as m3ter's SDK names it, and goes to the path that its segments make.
    """

    def __init__(
        self,
        http: Http,
        *,
        org_id: str,
        api_key: str,
        api_secret: str,
        api_url: str | None = None,
        now: Callable[[], datetime],
    ) -> None:
        if not (org_id and api_key and api_secret):
            raise Misconfigured("m3ter needs an organisation id, an API key and an API secret")
        self._http = http
        self._api_url = base_url(api_url or API_URL, "the m3ter API URL")
        self._organization = url_path("organizations", org_id)
        self._credentials = b64encode(f"{api_key}:{api_secret}".encode()).decode()
        self._now = now
        self._lock = threading.Lock()
        self._token: _Token | None = None

    def get(self, operation: str, *segments: str) -> Raw:
        """One object; raises NotFound."""
        answer = self.call(operation, "GET", *segments)
        return Fields(f"m3ter answer to {operation}", answer.json()).all()

    def all(self, operation: str, *segments: str, params: Mapping[str, str | None] | None = None) -> Iterator[Raw]:
        """Every row of a list, page by page; a page that fails raises, so that nothing is taken for absent.

        A parameter that is None is not sent.
        """
        query: Raw = {**without_none(params or {}), "pageSize": page_size(operation)}
        while True:
            answer = self.call(operation, "GET", *segments, params=query)
            page = Fields(f"m3ter answer to {operation}", answer.json())
            yield from page.each("data", lambda row: Fields(f"m3ter row of {operation}", row).all())
            following = next_page(operation, page, query)
            if following is None:
                return
            query["nextToken"] = following

    def create(self, operation: str, *segments: str, json: Mapping[str, Any], read: Callable[[object], T]) -> T:
        """The new object as `read` reads it, made of the fields that are not None.

        Raises Uncertain where it is not known whether it was made.
        """
        answer = self.write(operation, "POST", *segments, json=without_none(json))
        with after_a_write():
            return read(answer.json())

    def update(self, operation: str, *segments: str, change: Callable[[Raw], Raw], read: Callable[[object], T]) -> T:
        """The object after `change`, which gets what m3ter would take back of it; nothing is sent where that is equal.

        m3ter refuses a version that is not the newest, and says so like any other refusal. So after a refusal the
        object is read again: another version means that somebody else, or our own lost write, came first.
        """
        raw = self._changed(operation, segments, change)
        with after_a_write():
            return read(raw)

    def delete(self, operation: str, *segments: str) -> None:
        """The object is gone afterwards, also if it was before."""
        try:
            self.write(operation, "DELETE", *segments)
        except NotFound:
            return

    def write(self, operation: str, method: str, *segments: str, json: Raw | None = None) -> Answer:
        """The answer to what changes something: sent once, and Uncertain where its outcome is not known."""
        return self.call(operation, method, *segments, json=json, writes=True)

    def call(
        self,
        operation: str,
        method: str,
        *segments: str,
        params: Mapping[str, Any] | None = None,
        json: Mapping[str, Any] | None = None,
        writes: bool = False,
    ) -> Answer:
        """The answer; where we are not let in, one new token is tried, since m3ter says 403 for an expired one too."""
        url = self._api_url + self._organization + url_path(*segments)

        def send(token: str) -> Answer:
            with _explained(operation):
                return self._http.call(
                    provider=PROVIDER,
                    operation=operation,
                    method=method,
                    url=url,
                    headers={"Authorization": f"Bearer {token}"},
                    params=params,
                    json=json,
                    writes=writes,
                )

        token = self._access_token()
        try:
            return send(token)
        except AccessRefused:
            return send(self._access_token(refused=token))

    def _changed(self, operation: str, segments: tuple[str, ...], change: Callable[[Raw], Raw]) -> Raw:
        current = self.get(operation, *segments)
        try:
            return self._put(operation, segments, current, change)
        except Rejected as refused:
            if refused.status not in VERSION_CONFLICTS:
                raise
            newer = self.get(operation, *segments)
            if newer.get("version") == current.get("version"):
                raise
        return self._put(operation, segments, newer, change)

    def _put(self, operation: str, segments: tuple[str, ...], current: Raw, change: Callable[[Raw], Raw]) -> Raw:
        *_, collection, _ = segments
        theirs = AUDIT | DERIVED.get(collection, frozenset())
        kept = {name: value for name, value in current.items() if name not in theirs and value is not None}
        body = {name: value for name, value in change(kept).items() if name not in theirs}
        if body == kept:
            return current
        body["version"] = Fields(f"m3ter answer to {operation}", current).whole("version")
        answer = self.write(operation, "PUT", *segments, json=body)
        with after_a_write():
            return Fields(f"m3ter answer to {operation}", answer.json()).all()

    def _access_token(self, refused: str | None = None) -> str:
        """A token that is good for a while yet, and is not the one that was refused."""
        with self._lock:
            if self._token is None or self._token.value == refused or self._token.good_until <= self._now():
                self._token = self._new_token()
            return self._token.value

    def _new_token(self) -> _Token:
        asked_at = self._now()
        try:
            answer = self._http.call(
                provider=PROVIDER,
                operation="oauth.token",
                method="POST",
                url=f"{self._api_url}/oauth/token",
                headers={"Authorization": f"Basic {self._credentials}"},
                json={"grant_type": "client_credentials"},
                writes=False,
            )
        except Rejected as error:
            # OAuth servers answer 400 for a bad key as well; whatever it was, no row is to blame for it.
            raise AccessRefused(str(error)) from error
        fields = Fields("m3ter answer to oauth.token", answer.json())
        lifetime = timedelta(seconds=fields.whole("expires_in"))
        return _Token(fields.id("access_token"), asked_at + lifetime - min(RENEW_BEFORE_END, lifetime / 2))


def page_size(operation: str) -> int:
    """How many rows to ask for at once."""
    return PAGE_SIZES.get(operation, PAGE_SIZE)


def next_page(operation: str, page: Fields, query: Mapping[str, Any]) -> str | None:
    """The token of the page after this one; None after the last. Raises Unreadable for one that leads nowhere."""
    following = page.text_or_none("nextToken")
    if following and following == query.get("nextToken"):
        raise Unreadable(f"m3ter answer to {operation}: the next page is the same page")
    return following or None


def merged(kept: Raw, fields: Mapping[str, Any]) -> Raw:
    """What m3ter has with `fields` changed: None removes one, and custom fields are changed one by one.

    A time that is the same instant stays as m3ter writes it.
    """
    custom_fields = {**kept.get("customFields", {}), **(fields.get("customFields") or {})}
    moved = {name: value for name, value in fields.items() if not _is_same_time(kept, name, value)}
    changed = {**kept, **moved}
    if custom_fields:
        changed["customFields"] = without_none(custom_fields)
    return without_none(changed)


def without_none(fields: Mapping[str, Any]) -> Raw:
    """The fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}


def iso(time: datetime) -> str:
    """The time as m3ter writes it, in UTC; raises ValueError for one without its offset."""
    if time.tzinfo is None:
        raise ValueError("a time without its offset from UTC could mean any")
    return time.astimezone(UTC).isoformat(timespec="milliseconds" if time.microsecond else "seconds")[:-6] + "Z"


@contextmanager
def _explained(operation: str) -> Iterator[None]:
    """A refusal that may mean that m3ter has not switched the feature on says so."""
    try:
        yield
    except (AccessRefused, NotFound) as refused:
        if operation.partition(".")[0] in ON_REQUEST:
            refused.args = (f"{refused}; {HINT}",)
        raise


def _is_same_time(kept: Raw, name: str, value: object) -> bool:
    """Whether this time is the same instant, though it may be written otherwise."""
    instant = _instant(value) if name.endswith("Date") else None
    return instant is not None and instant == _instant(kept.get(name))


def _instant(value: object) -> datetime | None:
    """A text that is a time with its offset."""
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return None if time is None or time.tzinfo is None else time
