"""m3ter's bills: made and remade by bill jobs, approved, locked."""

import calendar
import copy
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, localcontext
from typing import Any
from zoneinfo import ZoneInfo

from connector.sandbox.component import Resource
from connector.sandbox.m3ter.accounts import interval
from connector.sandbox.m3ter.checks import iso, read
from connector.sandbox.m3ter.errors import Refused, bad_request
from connector.sandbox.m3ter.lines import Billing, Lines, MissingRate, overlap
from connector.sandbox.m3ter.notifications import Notifications
from connector.sandbox.m3ter.organization import SERVICE_USER, amount, exact
from connector.sandbox.m3ter.rating import EXACT
from connector.sandbox.m3ter.shapes import BILL_JOB

MAX_RUNNING_JOBS = 10

# What makes two runs of a bill job the same bill: account, bill date, frequency, interval.
BillKey = tuple[str, str, str, int]


class Bills(Lines, Notifications):
    """What was billed."""

    def run_bill_job(
        self, account_ids: list[str] | None = None, bill_date: date | str | None = None, **fields: Any
    ) -> Resource:
        """The finished bill job, with the ids of its bills; further fields in m3ter's own names."""
        day = bill_date.isoformat() if isinstance(bill_date, date) else bill_date
        job = self.create_bill_job(exact({"accountIds": account_ids, "billDate": day, **fields}))
        if self.bill_jobs[job["id"]]["status"] != "COMPLETE":
            self._run(self.bill_jobs[job["id"]])
        return copy.deepcopy(self.bill_jobs[job["id"]])

    def create_bill_job(self, body: Any) -> Resource:
        """A new bill job, as it is before it runs; how long that takes is a setting."""
        job = {"billDate": self._clock.now().date().isoformat(), **read(BILL_JOB, body), "type": "CREATE"}
        for account_id in job.get("accountIds", []):
            self.find("accounts", account_id)
        return self._queue(job)

    def recalculate_bills(self, bill_ids: list[str]) -> Resource:
        """A new bill job over existing bills, as it is before it runs."""
        if not isinstance(bill_ids, list) or not 1 <= len(bill_ids) <= 100:
            raise bad_request("billIds must be a list of 1 to 100 entries")
        for bill_id in bill_ids:
            if self.find("bills", bill_id)["locked"]:
                raise bad_request(f"Bill {bill_id} is locked")
        return self._queue({"type": "RECALCULATE", "billIds": list(bill_ids)})

    def recalculate(self, bill_id: str) -> Resource:
        """The bill, calculated anew: pending again, with new line ids."""
        job = self.recalculate_bills([bill_id])
        if self.bill_jobs[job["id"]]["status"] != "COMPLETE":
            self._run(self.bill_jobs[job["id"]])
        return copy.deepcopy(self.bills[bill_id])

    def cancel_bill_job(self, job_id: str) -> Resource:
        """The bill job, cancelled if it was still to run."""
        job = self.find("bill_jobs", job_id)
        if job["status"] != "COMPLETE":
            job["status"] = "CANCELLED"
            self._modified(job)
        return copy.deepcopy(job)

    def approve(self, bill_id: str) -> Resource:
        """The bill, approved."""
        return self.set_bill_status(bill_id, "APPROVED")

    def set_bill_status(self, bill_id: str, status: str) -> Resource:
        """The bill with this status; an approval is notified."""
        bill = self._unlocked(bill_id)
        if status not in ("PENDING", "APPROVED"):
            raise bad_request("status must be PENDING or APPROVED")
        if status == bill["status"]:
            return copy.deepcopy(bill)
        before = copy.deepcopy(bill)
        bill["status"] = status
        if status == "APPROVED":
            bill["dtApproved"], bill["approvedBy"] = iso(self._clock.now()), SERVICE_USER
        else:
            _unapprove(bill)
        self._bill_updated(bill, before)
        return copy.deepcopy(bill)

    def lock(self, bill_id: str) -> Resource:
        """The approved bill, locked for good."""
        bill = self._unlocked(bill_id)
        if bill["status"] != "APPROVED":
            raise bad_request("Only an approved bill can be locked")
        before = copy.deepcopy(bill)
        bill["locked"] = True
        bill["dtLocked"], bill["lockedBy"] = iso(self._clock.now()), SERVICE_USER
        self._bill_updated(bill, before)
        return copy.deepcopy(bill)

    def delete_bill(self, bill_id: str) -> Resource:
        """The bill that is no more."""
        bill = self._unlocked(bill_id)
        del self.bills[bill_id]
        self.extra_lines.pop(bill_id, None)
        return bill

    def add_line(self, bill_id: str, **line: Any) -> Resource:
        """The bill with one more line, in m3ter's own names; what is left out is filled in, None leaves a field out.

        The line stays through recalculations, as a memo or a charge does.
        """
        bill = self._unlocked(bill_id)
        before = copy.deepcopy(bill)
        subtotal = amount(line.pop("subtotal", 0))
        rate = amount(line.get("conversionRate", 1))
        with localcontext(EXACT):
            converted = subtotal * rate
        usual = {
            "lineItemType": "AD_HOC",
            "description": "Ad-hoc",
            "quantity": Decimal(1),
            "units": Decimal(1),
            "unit": "",
            "averageUnitPrice": subtotal,
            "subtotal": subtotal,
            "currency": bill["currency"],
            "conversionRate": rate,
            "convertedSubtotal": converted,
            "servicePeriodStartDate": bill["startDateTimeUTC"],
            "servicePeriodEndDate": bill["endDateTimeUTC"],
        }
        whole = {name: value for name, value in {**usual, **exact(line)}.items() if value is not None}
        self.extra_lines.setdefault(bill_id, []).append(whole)
        bill["lineItems"].append({"id": self._ids.uuid(), **whole})
        _add_up(bill)
        self._bill_updated(bill, before)
        return copy.deepcopy(bill)

    def next_due(self) -> datetime | None:
        """When the next bill job ends."""
        ends = [self._ends(job) for job in self.bill_jobs.values() if job["status"] == "PENDING"]
        return min(ends, default=None)

    def run_due(self) -> None:
        """Ends the bill jobs whose time has come."""
        for job in self.bill_jobs.values():
            if job["status"] == "PENDING" and self._ends(job) <= self._clock.now():
                self._run(job)

    def _queue(self, job: Resource) -> Resource:
        running = [row for row in self.bill_jobs.values() if row["status"] == "PENDING"]
        if len(running) >= MAX_RUNNING_JOBS:
            raise Refused(429, "Too many running bill jobs")
        queued = self._audited({**job, "status": "PENDING", "total": 0, "pending": 0})
        self.bill_jobs[queued["id"]] = queued
        answer = copy.deepcopy(queued)
        if not self.settings.bill_job_seconds:
            self._run(queued)
        return answer

    def _ends(self, job: Resource) -> datetime:
        created = datetime.fromisoformat(job["dtCreated"])
        return created + timedelta(seconds=self.settings.bill_job_seconds)

    def _run(self, job: Resource) -> None:
        with localcontext(EXACT):
            self._run_exactly(job)

    def _run_exactly(self, job: Resource) -> None:
        if job["type"] == "RECALCULATE":
            bills = [self.bills[bill_id] for bill_id in job["billIds"] if bill_id in self.bills]
            keys = [_key(bill) for bill in bills if not bill["locked"]]
        else:
            keys = self._keys(job)
        job["billIds"] = [bill["id"] for key in keys if (bill := self._calculate(key, job)) is not None]
        job["status"], job["total"] = "COMPLETE", len(keys)
        self._modified(job)

    def _keys(self, job: Resource) -> list[BillKey]:
        """The bills that the job is about: one for each account, frequency and interval of its plans in the period."""
        account_ids = job.get("accountIds", list(self.accounts))
        keys: dict[BillKey, None] = {}
        for plan in self.account_plans.values():
            template = self.plan_templates[self.plans[plan["planId"]]["planTemplateId"]]
            frequency, every = template["billFrequency"], template.get("billFrequencyInterval", 1)
            key = (plan["accountId"], job["billDate"], frequency, every)
            if plan["accountId"] not in account_ids or frequency not in PERIODS:
                continue
            if job.get("billingFrequency", frequency) != frequency:
                continue
            if overlap(interval(plan), self._period(key)) is not None:
                keys[key] = None
        return list(keys)

    def _calculate(self, key: BillKey, job: Resource) -> Resource | None:
        """The bill, made or made anew; None where a conversion rate is missing, and a locked one as it is."""
        account = self.accounts[key[0]]
        bill = next((row for row in self.bills.values() if _key(row) == key), None)
        if bill is not None and bill["locked"]:
            return bill
        currency = job.get("targetCurrency") or account.get("currency") or self.config["currency"]
        conversions = [*self.config.get("currencyConversions", []), *job.get("currencyConversions", [])]
        rates = {(row["from"], row["to"]): row["multiplier"] for row in conversions}
        try:
            lines = self._lines(Billing(account, self._period(key), currency, rates), self._plans_of(key))
        except MissingRate:
            return None
        if bill is None:
            bill = self._audited(self._new_bill(key, account))
            self.bills[bill["id"]] = bill
            before = None
        else:
            before = copy.deepcopy(bill)
        extra = [{"id": self._ids.uuid(), **line} for line in self.extra_lines.get(bill["id"], [])]
        bill |= {"lineItems": [*lines, *extra], "currency": currency, "currencyConversions": conversions}
        bill |= {"lastCalculatedDate": iso(self._clock.now()), "billJobId": job["id"], "status": "PENDING"}
        _unapprove(bill)
        _add_up(bill)
        self._bill_updated(bill, before)
        return bill

    def _plans_of(self, key: BillKey) -> list[Resource]:
        plans = []
        for account_plan in self.account_plans.values():
            template = self.plan_templates[self.plans[account_plan["planId"]]["planTemplateId"]]
            terms = (account_plan["accountId"], template["billFrequency"], template.get("billFrequencyInterval", 1))
            if terms == (key[0], key[2], key[3]):
                plans.append(account_plan)
        return plans

    def _new_bill(self, key: BillKey, account: Resource) -> Resource:
        start, end = self._period(key)
        zone = ZoneInfo(self.config["timezone"])
        days = account["daysBeforeBillDue"] if "daysBeforeBillDue" in account else self.config["daysBeforeBillDue"]
        bill = {
            "accountId": key[0],
            "accountCode": account["code"],
            "status": "PENDING",
            "locked": False,
            "billDate": key[1],
            "dueDate": (date.fromisoformat(key[1]) + timedelta(days=days)).isoformat(),
            "startDate": start.astimezone(zone).date().isoformat(),
            "endDate": end.astimezone(zone).date().isoformat(),
            "startDateTimeUTC": iso(start),
            "endDateTimeUTC": iso(end),
            "timezone": self.config["timezone"],
            "billingFrequency": key[2],
            "billFrequencyInterval": key[3],
            "externalInvoiceDate": key[1],
            "createdDate": iso(self._clock.now()),
            "purchaseOrderNumber": account.get("purchaseOrderNumber"),
        }
        return {name: value for name, value in bill.items() if value is not None}

    def _period(self, key: BillKey) -> tuple[datetime, datetime]:
        """The period that ends with the bill date, from midnight to midnight in the organization's time zone."""
        end = date.fromisoformat(key[1])
        zone = ZoneInfo(self.config["timezone"])
        midnights = [datetime.combine(day, time(), zone).astimezone(UTC) for day in (PERIODS[key[2]](end, key[3]), end)]
        return midnights[0], midnights[1]

    def _unlocked(self, bill_id: str) -> Resource:
        bill = self.find("bills", bill_id)
        if bill["locked"]:
            raise bad_request("The bill is locked")
        return bill

    def _bill_updated(self, bill: Resource, before: Resource | None) -> None:
        if before is not None:
            self._modified(bill)
        self._bill_event(bill, before)


def _months_before(end: date, months: int) -> date:
    year, month = divmod(end.year * 12 + end.month - 1 - months, 12)
    return date(year, month + 1, min(end.day, calendar.monthrange(year, month + 1)[1]))


# Where the period that ends on a day begins.
PERIODS: dict[str, Callable[[date, int], date]] = {
    "DAILY": lambda end, every: end - timedelta(days=every),
    "WEEKLY": lambda end, every: end - timedelta(days=7 * every),
    "MONTHLY": _months_before,
    "ANNUALLY": lambda end, every: _months_before(end, 12 * every),
}


def _key(bill: Resource) -> BillKey:
    return (bill["accountId"], bill["billDate"], bill["billingFrequency"], bill["billFrequencyInterval"])


def _unapprove(bill: Resource) -> None:
    bill.pop("dtApproved", None)
    bill.pop("approvedBy", None)


def _add_up(bill: Resource) -> None:
    with localcontext(EXACT):
        bill["billTotal"] = sum((line["convertedSubtotal"] for line in bill["lineItems"]), Decimal(0))
    for number, line in enumerate(bill["lineItems"], start=1):
        line["sequenceNumber"] = number
