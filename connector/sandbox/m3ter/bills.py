"""m3ter's bills: made and remade by bill jobs, approved, locked."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, localcontext
from typing import Any
from zoneinfo import ZoneInfo

from connector.sandbox.component import Resource
from connector.sandbox.m3ter.accounts import interval
from connector.sandbox.m3ter.billing import Billing, MissingRate, Period, overlap
from connector.sandbox.m3ter.calendar_steps import STEPS
from connector.sandbox.m3ter.checks import iso, parse, read
from connector.sandbox.m3ter.drawdown import Draw
from connector.sandbox.m3ter.errors import Refused, bad_request
from connector.sandbox.m3ter.hierarchy import Hierarchy
from connector.sandbox.m3ter.memos import MEMOS
from connector.sandbox.m3ter.notifications import Notifications
from connector.sandbox.m3ter.organization import SERVICE_USER, amount, exact
from connector.sandbox.m3ter.rating import EXACT
from connector.sandbox.m3ter.shapes import BILL_JOB
from connector.sandbox.m3ter.usage_credits import cap_credits

MAX_RUNNING_JOBS = 10

# What makes two runs of a bill job the same bill: account, bill date, frequency, interval.
BillKey = tuple[str, str, str, int]

Rates = dict[tuple[str, str], Decimal]

# The frequencies of bills that are not those of one kind of plan.
CHARGES_ONLY, MIXED = "AD_HOC", "MIXED"


@dataclass(frozen=True)
class Content:
    """What a calculation came to."""

    period: Period
    lines: list[Resource]
    charges: list[Resource]
    draws: list[Draw]


class Bills(Hierarchy, Notifications):
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
        """The bill that is no more; what it drew from balances is theirs again, and its charges are due again."""
        bill = self._unlocked(bill_id)
        del self.bills[bill_id]
        self.extra_lines.pop(bill_id, None)
        for kind in MEMOS:
            table = self._table(kind)
            for memo_id in [memo["id"] for memo in table.values() if memo["billId"] == bill_id]:
                del table[memo_id]
        self._book_draws(bill_id, [])
        self._note_billed(bill_id, [])
        return bill

    def add_line(self, bill_id: str, **line: Any) -> Resource:
        """The bill with one more line, in m3ter's own names; what is left out is filled in, None leaves a field out.

        The line stays through recalculations, as a memo or a charge does.
        """
        return self.add_lines(bill_id, [line])

    def add_lines(self, bill_id: str, lines: Iterable[Resource]) -> Resource:
        """The bill with these lines more, each as in `add_line`; it is added up and told of once."""
        bill = self._unlocked(bill_id)
        before = copy.deepcopy(bill)
        for line in lines:
            whole = _filled_in(bill, dict(line))
            self.extra_lines.setdefault(bill_id, []).append(whole)
            bill["lineItems"].append({"id": self._ids.uuid(), **whole})
        add_up(bill)
        self._bill_updated(bill, before)
        return copy.deepcopy(bill)

    def next_due(self) -> datetime | None:
        """When the next schedule runs or bill job ends."""
        moments = [
            self._next_run(),
            *(self._ends(job) for job in self.bill_jobs.values() if job["status"] == "PENDING"),
        ]
        return min((moment for moment in moments if moment is not None), default=None)

    def run_due(self) -> None:
        """Runs the schedules and ends the bill jobs whose time has come."""
        self._run_schedules()
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
        """The bills that the job is about: one for each account, frequency and interval of its plans in the period.

        Charges are on a bill of their own. An organization that consolidates bills has one for all of these, but where
        the job is for one frequency alone.
        """
        wanted, bill_date = job.get("billingFrequency"), job["billDate"]
        plans = self._plans_by_payer()
        found: list[tuple[str, str, int]] = []
        for account_id in job.get("accountIds", list(self.accounts)):
            found += [(account_id, *terms) for terms in self._terms_of(plans.get(account_id, []), bill_date)]
            due = self._charges_due(account_id, bill_date, None)
            if due or self._fees_due(account_id, bill_date):
                found.append((account_id, CHARGES_ONLY, 1))
        accounts = set(job.get("accountIds", self.accounts))
        found += [
            (bill["accountId"], CHARGES_ONLY, 1)
            for bill in self.bills.values()
            if bill["accountId"] in accounts
            and (bill["billDate"], bill["billingFrequency"]) == (bill_date, CHARGES_ONLY)
        ]
        mixed = self.config.get("consolidateBills") and wanted is None
        keys: dict[BillKey, None] = {}
        for account_id, frequency, every in found:
            if wanted in (None, frequency):
                keys[(account_id, bill_date, *((MIXED, 1) if mixed else (frequency, every)))] = None
        return list(keys)

    def _plans_by_payer(self) -> dict[str, list[Resource]]:
        """Account plans by the account that is billed: of a child its parent, unless the plan says otherwise."""
        plans: dict[str, list[Resource]] = {}
        for plan in self.account_plans.values():
            parent = self.accounts[plan["accountId"]].get("parentAccountId")
            payer: str = plan["accountId"] if plan.get("childBillingMode") == "CHILD" else parent or plan["accountId"]
            plans.setdefault(payer, []).append(plan)
        return plans

    def _terms_of(self, plans: list[Resource], bill_date: str) -> list[tuple[str, int]]:
        """The frequencies and intervals of those of the plans that were active in the period that ends with the date."""
        terms: dict[tuple[str, int], None] = {}
        for plan in plans:
            frequency, every = self._frequency(plan)
            if frequency in STEPS and overlap(interval(plan), self._period(bill_date, frequency, every)) is not None:
                terms[(frequency, every)] = None
        return list(terms)

    def _frequency(self, account_plan: Resource) -> tuple[str, int]:
        template = self.plan_templates[self.plans[account_plan["planId"]]["planTemplateId"]]
        return template["billFrequency"], template.get("billFrequencyInterval", 1)

    def _calculate(self, key: BillKey, job: Resource) -> Resource | None:
        """The bill, made or made anew; None where a conversion rate is missing, and a locked one as it is."""
        account = self.accounts[key[0]]
        bill = next((row for row in self.bills.values() if _key(row) == key), None)
        if bill is not None and bill["locked"]:
            return bill
        currency, conversions, rates = self._money_of(job, account)
        try:
            content = self._content(key, account, currency, rates, None if bill is None else bill["id"])
        except MissingRate:
            return None
        if (
            bill is None
            and self.config.get("suppressedEmptyBills")
            and not any(line["subtotal"] for line in content.lines)
        ):
            return None
        if bill is None:
            bill = self._audited(self._new_bill(key, account, content.period))
            self.bills[bill["id"]] = bill
            before = None
        else:
            before = copy.deepcopy(bill)
        self._note_billed(bill["id"], content.charges)
        self._book_draws(bill["id"], content.draws)
        bill |= {"lineItems": content.lines, "currency": currency, "currencyConversions": conversions}
        bill |= {"lastCalculatedDate": iso(self._clock.now()), "billJobId": job["id"], "status": "PENDING"}
        _unapprove(bill)
        add_up(bill)
        self._bill_updated(bill, before)
        return bill

    def _money_of(self, job: Resource, account: Resource) -> tuple[str, list[Resource], Rates]:
        """The bill's currency, and the conversions to it: the organization's, then the job's own."""
        currency = job.get("targetCurrency") or account.get("currency") or self.config["currency"]
        conversions = [*self.config.get("currencyConversions", []), *job.get("currencyConversions", [])]
        return currency, conversions, {(row["from"], row["to"]): row["multiplier"] for row in conversions}

    def _content(
        self,
        key: BillKey,
        account: Resource,
        currency: str,
        rates: Rates,
        bill_id: str | None,
    ) -> Content:
        """All that is on the bill: plans, then charges, then what was put on it by hand, then what balances pay."""
        owned = self._plans_by_payer().get(account["id"], [])
        terms = self._terms_of(owned, key[1]) if key[2] == MIXED else [(key[2], key[3])]
        lines: list[Resource] = []
        spans: list[Period] = []
        for frequency, every in terms:
            if frequency in STEPS:
                spans.append(self._period(key[1], frequency, every))
                plans = [plan for plan in owned if self._frequency(plan) == (frequency, every)]
                lines += self._family_lines(Billing(account, spans[-1], currency, rates), plans)
        charges = self._charges_due(account["id"], key[1], bill_id) if key[2] in (CHARGES_ONLY, MIXED) else []
        spans += [(parse(row["servicePeriodStartDate"]), parse(row["servicePeriodEndDate"])) for row in charges]
        fees = self._fees_due(account["id"], key[1]) if key[2] in (CHARGES_ONLY, MIXED) else []
        spans += [(parse(fee["servicePeriodStartDate"]), parse(fee["servicePeriodEndDate"])) for _, fee in fees]
        spans = spans or [self._period(key[1], "DAILY", 1)]
        whole = Billing(account, (min(span[0] for span in spans), max(span[1] for span in spans)), currency, rates)
        lines += [self._fee_line(whole, commitment, fee) for commitment, fee in fees]
        lines += [self._charge_line(whole, charge) for charge in charges]
        lines += [{"id": self._ids.uuid(), **line} for line in self.extra_lines.get(bill_id or "", [])]
        lines += self._memo_lines(bill_id or "", currency)
        cap_credits(lines, {row["id"]: row["type"] for row in self.pricings.values()})
        paying, draws = self._draw_down(whole, lines, bill_id)
        return Content(whole.period, [*lines, *paying], charges, draws)

    def _new_bill(self, key: BillKey, account: Resource, period: Period) -> Resource:
        start, end = period
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

    def _period(self, bill_date: str, frequency: str, every: int) -> Period:
        """The period that ends with the bill date, from midnight to midnight in the organization's time zone."""
        end = date.fromisoformat(bill_date)
        zone = ZoneInfo(self.config["timezone"])
        midnights = [
            datetime.combine(day, time(), zone).astimezone(UTC) for day in (STEPS[frequency](end, -every), end)
        ]
        return midnights[0], midnights[1]

    def _unlocked(self, bill_id: str) -> Resource:
        bill = self.find("bills", bill_id)
        if bill["locked"]:
            raise bad_request("The bill is locked")
        return bill

    def _lines_changed(self, bill: Resource, before: Resource) -> None:
        add_up(bill)
        self._bill_updated(bill, before)

    def _bill_updated(self, bill: Resource, before: Resource | None) -> None:
        if before is not None:
            self._modified(bill)
        self._bill_event(bill, before)


def _key(bill: Resource) -> BillKey:
    return (bill["accountId"], bill["billDate"], bill["billingFrequency"], bill["billFrequencyInterval"])


def _unapprove(bill: Resource) -> None:
    bill.pop("dtApproved", None)
    bill.pop("approvedBy", None)


def _filled_in(bill: Resource, line: Resource) -> Resource:
    """The line with what usually stands on one where nothing else is said; None leaves a field out."""
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
    return {name: value for name, value in {**usual, **exact(line)}.items() if value is not None}


def add_up(bill: Resource) -> None:
    """Gives the bill its total, and its lines their numbers."""
    with localcontext(EXACT):
        bill["billTotal"] = sum((line["convertedSubtotal"] for line in bill["lineItems"]), Decimal(0))
    for number, line in enumerate(bill["lineItems"], start=1):
        line["sequenceNumber"] = number
