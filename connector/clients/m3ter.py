"""m3ter's Config API, by a client of our own.

The official SDK fetches a token for every call, repeats POSTs silently, types money as float and lacks the call that
replaces an account plan (m3ter.md §2).
"""

import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from connector.clients.fields import Fields
from connector.clients.http import Answer, Http, Unreadable, after_a_write, base_url, url_path
from connector.clients.m3ter_objects import (
    Account,
    AccountPlan,
    Aggregation,
    Bill,
    ExternalMapping,
    Plan,
    PlanTemplate,
    Raw,
)
from connector.errors import AccessRefused, Misconfigured, NotFound, Rejected

PROVIDER = "m3ter"
API_URL = "https://api.m3ter.com"
PAGE_SIZE = 100
MAPPINGS_PAGE_SIZE = 200
RENEW_BEFORE_END = timedelta(minutes=5)
# m3ter does not document which of these a stale version gives (m3ter.md §1.2).
VERSION_CONFLICTS = frozenset({400, 409, 412, 422})
# What m3ter adds to an object and does not take back.
READ_ONLY = frozenset({"id", "version", "productId", "dtCreated", "dtLastModified", "createdBy", "lastModifiedBy"})


@dataclass(frozen=True)
class _Token:
    value: str = field(repr=False)
    good_until: datetime


class M3terClient:
    """One m3ter organisation; any number of them share one `Http`, and any number of threads one client."""

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

    def account_by_code(self, code: str) -> Account | None:
        """The account with exactly this code, or None; raises Rejected for a code with a comma, which would be split.

        m3ter API: Account > List Accounts
        """
        if "," in code:
            raise Rejected(f"m3ter cannot look up the account code {code!r}: it takes the comma for two codes")
        for raw in self._all("accounts.list", "accounts", params={"codes": code}):
            if raw.get("code") == code:
                return Account.from_json(raw)
        return None

    def create_account(self, fields: Mapping[str, Any]) -> Account:
        """The new account; its code is unique, so a repeat is refused (Rejected).

        m3ter API: Account > Create Account
        """
        answer = self._write("accounts.create", "POST", "accounts", json=_without_none(fields))
        with after_a_write():
            return Account.from_json(answer.json())

    def update_account(self, account_id: str, fields: Mapping[str, Any]) -> Account:
        """The account with `fields` changed and all else kept, also custom fields; None removes a field.

        m3ter API: Account > Update Account
        """
        raw = self._change("accounts.update", "accounts", account_id, lambda current: _merged(current, fields))
        with after_a_write():
            return Account.from_json(raw)

    def account_plans(self, account_id: str) -> list[AccountPlan]:
        """Every account plan of the account: past, present and to come.

        m3ter API: AccountPlan > List AccountPlans
        """
        params = {"account": account_id, "includeall": "true"}
        return [AccountPlan.from_json(raw) for raw in self._all("account_plans.list", "accountplans", params=params)]

    def create_account_plan(
        self,
        *,
        account_id: str,
        plan_id: str,
        start: datetime,
        end: datetime | None = None,
        code: str,
        bill_epoch: date | None = None,
    ) -> AccountPlan:
        """The new account plan; its code is unique, so a repeat is refused (Rejected).

        m3ter API: AccountPlan > Create AccountPlan
        """
        body = _account_plan_body(account_id, plan_id, start, end, code, bill_epoch)
        answer = self._write("account_plans.create", "POST", "accountplans", json=body)
        with after_a_write():
            return AccountPlan.from_json(answer.json())

    def replace_account_plan(
        self,
        old_id: str,
        *,
        account_id: str,
        plan_id: str,
        start: datetime,
        end: datetime | None = None,
        code: str,
        bill_epoch: date | None = None,
    ) -> tuple[AccountPlan, AccountPlan]:
        """The old account plan, ended at `start`, and the new one that takes over there.

        m3ter API: AccountPlan > Replace AccountPlan
        """
        body = _account_plan_body(account_id, plan_id, start, end, code, bill_epoch)
        answer = self._write("account_plans.replace", "POST", "accountplans", old_id, "replace", json=body)
        with after_a_write():
            both = Fields("m3ter answer to account_plans.replace", answer.json())
            old, new = both.object("originalAccountPlan"), both.object("newAccountPlan")
            return AccountPlan.from_json(old), AccountPlan.from_json(new)

    def change_account_plan(
        self, account_plan_id: str, *, start: datetime, end: datetime | None, bill_epoch: date | None = None
    ) -> AccountPlan:
        """The account plan from `start` to `end` (None: open), first billed on `bill_epoch` (None: as it is).

        Nothing is sent where it is so already.

        m3ter API: AccountPlan > Update AccountPlan
        """
        times = {"startDate": start, "endDate": end}
        raw = self._change(
            "account_plans.update", "accountplans", account_plan_id, lambda kept: _timed(kept, times, bill_epoch)
        )
        with after_a_write():
            return AccountPlan.from_json(raw)

    def delete_account_plan(self, account_plan_id: str) -> None:
        """The account plan is gone afterwards, also if it was before.

        m3ter API: AccountPlan > Delete AccountPlan
        """
        try:
            self._write("account_plans.delete", "DELETE", "accountplans", account_plan_id)
        except NotFound:
            return

    def create_external_mapping(
        self, *, m3ter_entity: str, m3ter_id: str, external_system: str, external_table: str, external_id: str
    ) -> ExternalMapping:
        """The new mapping; m3ter lets the same one be created twice, so look before.

        m3ter API: ExternalMapping > Create External Mapping
        """
        body = {
            "m3terEntity": m3ter_entity,
            "m3terId": m3ter_id,
            "externalSystem": external_system,
            "externalTable": external_table,
            "externalId": external_id,
        }
        answer = self._write("external_mappings.create", "POST", "externalmappings", json=body)
        with after_a_write():
            return ExternalMapping.from_json(answer.json())

    def external_mappings_of(self, m3ter_entity: str, m3ter_id: str) -> list[ExternalMapping]:
        """Every mapping of one m3ter object.

        m3ter API: ExternalMapping > List External Mappings for m3ter entity
        """
        return self._mappings("external_mappings.list_by_m3ter_entity", "external", m3ter_entity, m3ter_id)

    def external_mappings(self, system: str) -> Iterator[ExternalMapping]:
        """Every mapping to this other system, newest first; pages are asked for as they are read.

        m3ter API: ExternalMapping > List External Mappings
        """
        params = {"externalSystemId": system}
        rows = self._all("external_mappings.list", "externalmappings", params=params, page_size=MAPPINGS_PAGE_SIZE)
        return (one for one in map(ExternalMapping.from_json, rows) if one.external_system == system)

    def external_mappings_by_external(self, system: str, table: str, external_id: str) -> list[ExternalMapping]:
        """Every mapping of one object of another system; there may be several.

        m3ter API: ExternalMapping > List External Mappings for external entity
        """
        return self._mappings("external_mappings.list_by_external_entity", "externalid", system, table, external_id)

    def delete_external_mapping(self, mapping_id: str) -> None:
        """The mapping is gone afterwards, also if it was before.

        m3ter API: ExternalMapping > Delete External Mapping
        """
        try:
            self._write("external_mappings.delete", "DELETE", "externalmappings", mapping_id)
        except NotFound:
            return

    def get_plan(self, plan_id: str) -> Plan:
        """The plan; raises NotFound.

        m3ter API: Plan > Retrieve Plan
        """
        return Plan.from_json(self._get("plans.retrieve", "plans", plan_id))

    def get_plan_template(self, plan_template_id: str) -> PlanTemplate:
        """The plan template; raises NotFound.

        m3ter API: PlanTemplate > Retrieve PlanTemplate
        """
        return PlanTemplate.from_json(self._get("plan_templates.retrieve", "plantemplates", plan_template_id))

    def aggregations(self) -> list[Aggregation]:
        """Every simple aggregation, newest first.

        m3ter API: Aggregation > List Aggregations
        """
        return [Aggregation.from_json(raw) for raw in self._all("aggregations.list", "aggregations")]

    def compound_aggregations(self) -> list[Aggregation]:
        """Every compound aggregation, newest first.

        m3ter API: CompoundAggregation > List CompoundAggregations
        """
        rows = self._all("compound_aggregations.list", "compoundaggregations")
        return [Aggregation.from_json(raw) for raw in rows]

    def must_exist(self, collection: str, entity_id: str) -> None:
        """Raise NotFound unless the catalogue has this entity; the collection is as in m3ter's paths, e.g. `pricings`.

        m3ter API: Retrieve Pricing, Aggregation, CompoundAggregation, Product
        """
        self._get(f"{collection}.retrieve", collection, entity_id)

    def list_bills(self, *, status: str, bill_date_start: date, account_id: str | None = None) -> Iterator[Bill]:
        """Every bill (of that account) of that status with a bill date from that day on, without its lines, newest first.

        m3ter API: Bill > List Bills
        """
        params = {"status": status, "billDateStart": bill_date_start.isoformat(), "excludeLineItems": "true"}
        if account_id is not None:
            params["accountId"] = account_id
        for raw in self._all("bills.list", "bills", params=params):
            yield replace(Bill.from_json(raw), lines=())

    def get_bill(self, bill_id: str) -> Bill:
        """The bill with its lines.

        m3ter API: Bill > Retrieve Bill
        """
        raw = self._get("bills.retrieve", "bills", bill_id)
        if raw.get("lineItems") is None:
            raise Unreadable(f"m3ter bill {bill_id} came without its lines")
        return Bill.from_json(raw)

    def lock_bill(self, bill_id: str) -> None:
        """The approved bill cannot be changed or calculated again afterwards.

        m3ter API: Bill > Lock Bill
        """
        self._write("bills.lock", "PUT", "bills", bill_id, "lock")

    def _mappings(self, operation: str, *segments: str) -> list[ExternalMapping]:
        rows = self._all(operation, "externalmappings", *segments, page_size=MAPPINGS_PAGE_SIZE)
        return [ExternalMapping.from_json(raw) for raw in rows]

    def _get(self, operation: str, *segments: str) -> Raw:
        answer = self._call(operation, "GET", *segments)
        return Fields(f"m3ter answer to {operation}", answer.json()).all()

    def _all(
        self, operation: str, *segments: str, params: Mapping[str, str] | None = None, page_size: int = PAGE_SIZE
    ) -> Iterator[Raw]:
        """Every row of a list, page by page; a page that fails raises, so that nothing is taken for absent."""
        query: dict[str, Any] = {**(params or {}), "pageSize": page_size}
        while True:
            answer = self._call(operation, "GET", *segments, params=query)
            page = Fields(f"m3ter answer to {operation}", answer.json())
            yield from page.each("data", lambda row: Fields(f"m3ter row of {operation}", row).all())
            following = page.text_or_none("nextToken")
            if not following:
                return
            if following == query.get("nextToken"):
                raise Unreadable(f"m3ter answer to {operation}: the next page is the same page")
            query["nextToken"] = following

    def _change(self, operation: str, collection: str, object_id: str, change: Callable[[Raw], Raw]) -> Raw:
        """The object after `change`, which gets what m3ter would take back of it; nothing is sent where that is equal.

        m3ter refuses a version that is not the newest, and says so like any other refusal. So after a refusal the
        object is read again: another version means that somebody else, or our own lost write, came first.
        """
        current = self._get(operation, collection, object_id)
        try:
            return self._put(operation, collection, object_id, current, change)
        except Rejected as refused:
            if refused.status not in VERSION_CONFLICTS:
                raise
            newer = self._get(operation, collection, object_id)
            if newer.get("version") == current.get("version"):
                raise
        return self._put(operation, collection, object_id, newer, change)

    def _put(self, operation: str, collection: str, object_id: str, current: Raw, change: Callable[[Raw], Raw]) -> Raw:
        kept = {name: value for name, value in current.items() if name not in READ_ONLY and value is not None}
        body = change(kept)
        if body == kept:
            return current
        body["version"] = Fields(f"m3ter answer to {operation}", current).whole("version")
        answer = self._write(operation, "PUT", collection, object_id, json=body)
        with after_a_write():
            return Fields(f"m3ter answer to {operation}", answer.json()).all()

    def _write(self, operation: str, method: str, *segments: str, json: Raw | None = None) -> Answer:
        return self._call(operation, method, *segments, json=json, writes=True)

    def _call(
        self,
        operation: str,
        method: str,
        *segments: str,
        params: Mapping[str, Any] | None = None,
        json: Raw | None = None,
        writes: bool = False,
    ) -> Answer:
        """The answer; where we are not let in, one new token is tried, since m3ter says 403 for an expired one too."""
        url = self._api_url + self._organization + url_path(*segments)

        def send(token: str) -> Answer:
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


def _account_plan_body(
    account_id: str, plan_id: str, start: datetime, end: datetime | None, code: str, bill_epoch: date | None
) -> Raw:
    body = {"accountId": account_id, "planId": plan_id, "startDate": _iso(start), "code": code}
    if end is not None:
        body["endDate"] = _iso(end)
    if bill_epoch is not None:
        body["billEpoch"] = bill_epoch.isoformat()
    return body


def _merged(kept: Raw, fields: Mapping[str, Any]) -> Raw:
    custom_fields = {**kept.get("customFields", {}), **(fields.get("customFields") or {})}
    merged = {**kept, **fields}
    if custom_fields:
        merged["customFields"] = _without_none(custom_fields)
    return {name: value for name, value in _without_none(merged).items() if name not in READ_ONLY}


def _timed(kept: Raw, times: Mapping[str, datetime | None], bill_epoch: date | None) -> Raw:
    """The account plan with these times; one that is the same instant stays as m3ter writes it."""
    if bill_epoch is not None:
        kept = {**kept, "billEpoch": bill_epoch.isoformat()}
    fields = Fields("m3ter account plan", kept)
    moved = {name: time for name, time in times.items() if fields.iso_time_or_none(name) != time}
    return _without_none({**kept, **{name: None if time is None else _iso(time) for name, time in moved.items()}})


def _without_none(fields: Mapping[str, Any]) -> Raw:
    return {name: value for name, value in fields.items() if value is not None}


def _iso(time: datetime) -> str:
    if time.tzinfo is None:
        raise ValueError("a time without its offset from UTC could mean any")
    return time.astimezone(UTC).isoformat(timespec="milliseconds" if time.microsecond else "seconds")[:-6] + "Z"
