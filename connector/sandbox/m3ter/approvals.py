"""What becomes of m3ter's bills without anyone's doing: approval after a grace period, the lock of all up to a date."""

import copy
from datetime import datetime, timedelta
from typing import Any

from connector.sandbox.component import Resource
from connector.sandbox.m3ter.billing import MissingRate
from connector.sandbox.m3ter.bills import Bills, add_up
from connector.sandbox.m3ter.checks import iso, parse, read
from connector.sandbox.m3ter.errors import bad_request
from connector.sandbox.m3ter.organization import SERVICE_USER
from connector.sandbox.m3ter.shapes import BILL_CONFIG, BILL_JOB, END_DATES

UNITS = {"MINUTES": "minutes", "HOURS": "hours", "DAYS": "days"}

# What can be ended on a day, by its name in the request; contracts and pricings are not kept by account here.
ENDED = {"ACCOUNTPLAN": "account_plans", "PREPAYMENT": "commitments"}


class Approvals(Bills):
    """The whole of m3ter: bills, and the rules of the organization over all of them."""

    def next_due(self) -> datetime | None:
        """When something happens by itself next."""
        approving = self.bills.values() if self.config.get("autoApproveBillsGracePeriod") else ()
        moments = [super().next_due(), *(self._approval_of(bill) for bill in approving)]
        return min((moment for moment in moments if moment is not None), default=None)

    def run_due(self) -> None:
        """Lets happen what is due, then approves the bills whose grace period is over."""
        super().run_due()
        for bill in list(self.bills.values()):
            at = self._approval_of(bill)
            if at is not None and at <= self._clock.now():
                self.approve(bill["id"])

    def preview_bill(self, body: Any) -> Resource:
        """The bill that a job like this would make for its one account; nothing of it is kept."""
        job = {"billDate": self._clock.now().date().isoformat(), **read(BILL_JOB, body)}
        if len(job.get("accountIds", [])) != 1:
            raise bad_request("accountIds must hold exactly one id")
        for name in ("billingFrequency", "billFrequencyInterval"):
            if name not in job:
                raise bad_request(f"{name} must not be null")
        account = self.find("accounts", job["accountIds"][0])
        key = (account["id"], job["billDate"], job["billingFrequency"], job["billFrequencyInterval"])
        try:
            return self._preview(key, account, job)
        except MissingRate as missing:
            raise bad_request(f"No conversion rate from {missing}") from missing

    def bill_config(self) -> Resource:
        """The date up to which all bills are locked."""
        return copy.deepcopy(self.bill_lock)

    def update_bill_config(self, body: Any) -> Resource:
        """Locks every bill whose period ends by the date, and unlocks those that an earlier, later date had locked."""
        if not isinstance(body, dict) or body.get("version") != self.bill_lock["version"]:
            raise bad_request(f"version must be the current {self.bill_lock['version']}")
        day = read(BILL_CONFIG, body).get("billLockDate", "")
        reached = [bill for bill in self.bills.values() if bill["endDate"] <= day]
        if any(bill["status"] == "PENDING" for bill in reached):
            raise bad_request("A bill up to this date is still pending")
        for bill in self.bills.values():
            if bill["id"] in self.globally_locked and bill["endDate"] > day:
                bill["locked"] = False
        kept = {bill["id"] for bill in reached if bill["id"] in self.globally_locked or not bill["locked"]}
        for bill in reached:
            bill["locked"] = True
        self.globally_locked.clear()
        self.globally_locked.update(dict.fromkeys(kept, True))
        self.bill_lock["billLockDate"] = day
        self._modified(self.bill_lock)
        return copy.deepcopy(self.bill_lock)

    def end_billing_entities(self, account_id: str, body: Any) -> Resource:
        """Every account plan and commitment that is active then ends then: all of them, not those of one subscription."""
        self.find("accounts", account_id)
        wish = read(END_DATES, body)
        accounts = {account_id}
        if wish.get("applyToChildren"):
            accounts |= {row["id"] for row in self.accounts.values() if row.get("parentAccountId") == account_id}
        end, updated = wish["endDate"], dict[str, list[str]]()
        for name in wish["billingEntities"]:
            rows = self._table(ENDED[name]).values() if name in ENDED else ()
            value = end[:10] if name == "PREPAYMENT" else end
            active = [
                row
                for row in rows
                if row["accountId"] in accounts and row["startDate"] < value < row.get("endDate", "9")
            ]
            for row in active:
                row["endDate"] = value
                self._modified(row)
            updated[name] = [row["id"] for row in active]
        return {"statusMessage": "SUCCESS", "updatedEntities": updated, "failedEntities": {}}

    def _approval_of(self, bill: Resource) -> datetime | None:
        """When the bill will be approved by itself."""
        period, unit = (self.config.get(f"autoApproveBillsGracePeriod{name}") for name in ("", "Unit"))
        if not period or bill["status"] != "PENDING" or bill["locked"]:
            return None
        return parse(bill["lastCalculatedDate"]) + timedelta(**{UNITS[unit or "DAYS"]: period})

    def _preview(self, key: tuple[str, str, str, int], account: Resource, job: Resource) -> Resource:
        currency, conversions, rates = self._money_of(job, account)
        content = self._content(key, account, currency, rates, None)
        bill = {"id": self._ids.uuid(), "version": 1, **self._new_bill(key, account, content.period)}
        bill |= {"lineItems": content.lines, "currency": currency, "currencyConversions": conversions}
        bill |= {"lastCalculatedDate": iso(self._clock.now()), "createdBy": SERVICE_USER}
        add_up(bill)
        return bill
