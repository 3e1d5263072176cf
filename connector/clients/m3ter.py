"""m3ter's Config API, by a client of our own.

The official SDK fetches a token for every call, repeats POSTs silently, types money as float and lacks the call that
replaces an account plan (m3ter.md §2).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from connector.clients.fields import Fields
from connector.clients.http import Http, Unreadable, after_a_write
from connector.clients.m3ter_api import M3terApi, iso, merged, without_none
from connector.clients.m3ter_balances import BalanceBilling
from connector.clients.m3ter_objects import (
    Account,
    AccountPlan,
    Aggregation,
    Bill,
    ExternalMapping,
    Named,
    Plan,
    PlanTemplate,
    Raw,
)
from connector.errors import Rejected


class M3terClient:
    """One m3ter organisation; any number of them share one `Http`, and any number of threads one client.

    `balance_billing` has the calls of Balance Billing, with the same token.
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
        self._api = M3terApi(http, org_id=org_id, api_key=api_key, api_secret=api_secret, api_url=api_url, now=now)
        self.balance_billing = BalanceBilling(self._api)

    def account_by_code(self, code: str) -> Account | None:
        """The account with exactly this code, or None; raises Rejected for a code with a comma, which would be split.

        m3ter API: Account > List Accounts
        """
        if "," in code:
            raise Rejected(f"m3ter cannot look up the account code {code!r}: it takes the comma for two codes")
        for raw in self._api.all("accounts.list", "accounts", params={"codes": code}):
            if raw.get("code") == code:
                return Account.from_json(raw)
        return None

    def create_account(self, fields: Mapping[str, Any]) -> Account:
        """The new account; its code is unique, so a repeat is refused (Rejected).

        m3ter API: Account > Create Account
        """
        return self._api.create("accounts.create", "accounts", json=fields, read=Account.from_json)

    def update_account(self, account_id: str, fields: Mapping[str, Any]) -> Account:
        """The account with `fields` changed and all else kept, also custom fields; None removes a field.

        m3ter API: Account > Update Account
        """
        return self._api.update(
            "accounts.update",
            "accounts",
            account_id,
            change=lambda kept: merged(kept, fields),
            read=Account.from_json,
        )

    def account_plans(self, account_id: str) -> list[AccountPlan]:
        """Every account plan of the account: past, present and to come.

        m3ter API: AccountPlan > List AccountPlans
        """
        params = {"account": account_id, "includeall": "true"}
        return [
            AccountPlan.from_json(raw) for raw in self._api.all("account_plans.list", "accountplans", params=params)
        ]

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
        return self._api.create("account_plans.create", "accountplans", json=body, read=AccountPlan.from_json)

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
        answer = self._api.write("account_plans.replace", "POST", "accountplans", old_id, "replace", json=body)
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
        return self._api.update(
            "account_plans.update",
            "accountplans",
            account_plan_id,
            change=lambda kept: _timed(kept, times, bill_epoch),
            read=AccountPlan.from_json,
        )

    def delete_account_plan(self, account_plan_id: str) -> None:
        """The account plan is gone afterwards, also if it was before.

        m3ter API: AccountPlan > Delete AccountPlan
        """
        self._api.delete("account_plans.delete", "accountplans", account_plan_id)

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
        return self._api.create(
            "external_mappings.create", "externalmappings", json=body, read=ExternalMapping.from_json
        )

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
        rows = self._api.all("external_mappings.list", "externalmappings", params=params)
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
        self._api.delete("external_mappings.delete", "externalmappings", mapping_id)

    def get_plan(self, plan_id: str) -> Plan:
        """The plan; raises NotFound.

        m3ter API: Plan > Retrieve Plan
        """
        return Plan.from_json(self._api.get("plans.retrieve", "plans", plan_id))

    def get_plan_template(self, plan_template_id: str) -> PlanTemplate:
        """The plan template; raises NotFound.

        m3ter API: PlanTemplate > Retrieve PlanTemplate
        """
        return PlanTemplate.from_json(self._api.get("plan_templates.retrieve", "plantemplates", plan_template_id))

    def plans(self) -> Iterator[Plan]:
        """Every plan, newest first; pages are asked for as they are read.

        m3ter API: Plan > List Plans
        """
        return map(Plan.from_json, self._api.all("plans.list", "plans"))

    def plan_templates(self) -> Iterator[PlanTemplate]:
        """Every plan template, newest first; pages are asked for as they are read.

        m3ter API: PlanTemplate > List PlanTemplates
        """
        return map(PlanTemplate.from_json, self._api.all("plan_templates.list", "plantemplates"))

    def named(self, collection: str) -> Iterator[Named]:
        """Everything of a collection as in m3ter's paths, e.g. `products`, newest first; pages are asked for as they are read.

        m3ter API: List Products, Aggregations, CompoundAggregations, Pricings
        """
        return map(Named.from_json, self._api.all(f"{collection}.list", collection))

    def aggregations(self) -> list[Aggregation]:
        """Every simple aggregation, newest first.

        m3ter API: Aggregation > List Aggregations
        """
        return [Aggregation.from_json(raw) for raw in self._api.all("aggregations.list", "aggregations")]

    def compound_aggregations(self) -> list[Aggregation]:
        """Every compound aggregation, newest first.

        m3ter API: CompoundAggregation > List CompoundAggregations
        """
        rows = self._api.all("compound_aggregations.list", "compoundaggregations")
        return [Aggregation.from_json(raw) for raw in rows]

    def must_exist(self, collection: str, entity_id: str) -> None:
        """Raise NotFound unless the catalogue has this entity; the collection is as in m3ter's paths, e.g. `pricings`.

        m3ter API: Retrieve Pricing, Aggregation, CompoundAggregation, Product
        """
        self._api.get(f"{collection}.retrieve", collection, entity_id)

    def list_bills(self, *, status: str, bill_date_start: date, account_id: str | None = None) -> Iterator[Bill]:
        """Every bill (of that account) of that status with a bill date from that day on, with its total, without its lines, the
        newest first.

        m3ter API: Bill > List Bills
        """
        wanted = {"status": status, "billDateStart": bill_date_start.isoformat(), "accountId": account_id}
        return self._bills(wanted | {"includeBillTotal": "true"})

    def bills_on(self, account_id: str, bill_date: date) -> list[Bill]:
        """Every bill of the account for that bill date, whatever its status, each read anew with its lines.

        m3ter API: Bill > List Bills, Retrieve Bill
        """
        found = self._bills({"accountId": account_id, "billDate": bill_date.isoformat()})
        return [self.get_bill(bill.id) for bill in found]

    def get_bill(self, bill_id: str) -> Bill:
        """The bill with its lines.

        m3ter API: Bill > Retrieve Bill
        """
        raw = self._api.get("bills.retrieve", "bills", bill_id)
        if raw.get("lineItems") is None:
            raise Unreadable(f"m3ter bill {bill_id} came without its lines")
        return Bill.from_json(raw)

    def lock_bill(self, bill_id: str) -> None:
        """The approved bill cannot be changed or calculated again afterwards.

        m3ter API: Bill > Lock Bill
        """
        self._api.write("bills.lock", "PUT", "bills", bill_id, "lock")

    def _bills(self, params: Mapping[str, str | None]) -> Iterator[Bill]:
        for raw in self._api.all("bills.list", "bills", params={**params, "excludeLineItems": "true"}):
            yield replace(Bill.from_json(raw), lines=())

    def _mappings(self, operation: str, *segments: str) -> list[ExternalMapping]:
        return [ExternalMapping.from_json(raw) for raw in self._api.all(operation, "externalmappings", *segments)]


def _account_plan_body(
    account_id: str, plan_id: str, start: datetime, end: datetime | None, code: str, bill_epoch: date | None
) -> Raw:
    body = {"accountId": account_id, "planId": plan_id, "startDate": iso(start), "code": code}
    if end is not None:
        body["endDate"] = iso(end)
    if bill_epoch is not None:
        body["billEpoch"] = bill_epoch.isoformat()
    return body


def _timed(kept: Raw, times: Mapping[str, datetime | None], bill_epoch: date | None) -> Raw:
    """The account plan with these times; one that is the same instant stays as m3ter writes it."""
    if bill_epoch is not None:
        kept = {**kept, "billEpoch": bill_epoch.isoformat()}
    fields = Fields("m3ter account plan", kept)
    moved = {name: time for name, time in times.items() if fields.iso_time_or_none(name) != time}
    return without_none({**kept, **{name: None if time is None else iso(time) for name, time in moved.items()}})
