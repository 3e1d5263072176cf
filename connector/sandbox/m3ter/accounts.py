"""m3ter's accounts, and the plans attached to them: never two of one product at the same instant."""

import copy
from collections.abc import Callable
from datetime import datetime
from typing import Any

from connector.sandbox.component import Resource
from connector.sandbox.m3ter.checks import instant, iso, parse
from connector.sandbox.m3ter.errors import Refused, bad_request
from connector.sandbox.m3ter.organization import Organization, exact

Rule = Callable[[Resource, Resource | None], Resource]


class Accounts(Organization):
    """Who is metered, and by which plans."""

    def create_account(
        self, code: str, name: str | None = None, email_address: str = "ap@acme.test", **fields: Any
    ) -> Resource:
        """A new account; further fields in m3ter's own names."""
        return self.create(
            "accounts", exact({"code": code, "name": name or code, "emailAddress": email_address, **fields})
        )

    def account_by_code(self, code: str) -> Resource:
        """The account with this code; raises KeyError where there is none."""
        for account in self.accounts.values():
            if account["code"] == code:
                return copy.deepcopy(account)
        raise KeyError(f"m3ter has no account with code {code!r}")

    def create_account_plan(
        self, account_id: str, plan_id: str, start_date: datetime, end_date: datetime | None = None, **fields: Any
    ) -> Resource:
        """The plan attached to the account; further fields in m3ter's own names."""
        end = None if end_date is None else iso(end_date)
        body = {"accountId": account_id, "planId": plan_id, "startDate": iso(start_date), "endDate": end}
        return self.create("account_plans", exact({**body, **fields}))

    def replace_account_plan(self, account_plan_id: str, body: Any) -> Resource:
        """A new account plan in place of the old one, which ends when it starts."""
        original = self.find("account_plans", account_plan_id)
        before = copy.deepcopy(original)
        start = instant("startDate", body.get("startDate") if isinstance(body, dict) else None)
        end = interval(original)[1]
        if end is None or end > parse(start):
            self.update("account_plans", account_plan_id, {**original, "endDate": start})
        try:
            new = self.create("account_plans", body)
        except Refused:
            original.clear()
            original.update(before)
            raise
        return {"originalAccountPlan": copy.deepcopy(original), "newAccountPlan": new}

    def _rules(self) -> dict[str, Rule]:
        return {**super()._rules(), "accounts": self._account, "account_plans": self._account_plan}

    def _account(self, row: Resource, _: Resource | None) -> Resource:
        if "currency" in row:
            self._must_know_currency(row["currency"])
        return row

    def _account_plan(self, row: Resource, current: Resource | None) -> Resource:
        if ("planId" in row) == ("planGroupId" in row):
            raise bad_request("Exactly one of planId and planGroupId must be given")
        if "planGroupId" in row:
            raise bad_request("planGroupId does not exist")
        plan = self.plans[row["planId"]]
        if plan.get("accountId", row["accountId"]) != row["accountId"]:
            raise bad_request("The plan is bespoke to another account")
        if current is not None and current["accountId"] != row["accountId"]:
            raise bad_request("accountId cannot change")
        start, end = interval(row)
        if end is not None and (end < start or (end == start and not self.settings.allow_zero_length_plans)):
            raise bad_request("endDate must be after startDate")
        row["productId"] = plan["productId"]
        if not self.config.get("allowOverlappingPlans"):
            self._must_not_overlap(row, current)
        return row

    def _must_not_overlap(self, row: Resource, current: Resource | None) -> None:
        """Ends are exclusive: a plan may start at the very instant at which another ends."""
        start, end = interval(row)
        for other in self.account_plans.values():
            if other is current or any(other[name] != row[name] for name in ("accountId", "productId")):
                continue
            other_start, other_end = interval(other)
            if (other_end is None or start < other_end) and (end is None or other_start < end):
                raise bad_request(f"The account plan overlaps {other['id']} of the same product")


def interval(account_plan: Resource) -> tuple[datetime, datetime | None]:
    """From when, and until before when, the account plan is active."""
    end = account_plan.get("endDate")
    return parse(account_plan["startDate"]), None if end is None else parse(end)


def is_active(account_plan: Resource, moment: datetime) -> bool:
    """Whether the account plan is active at this moment."""
    start, end = interval(account_plan)
    return start <= moment and (end is None or moment < end)
