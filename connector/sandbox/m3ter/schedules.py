"""m3ter's schedules: transactions and charges that make themselves as time goes by."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from connector.sandbox.component import Resource
from connector.sandbox.m3ter.accounts import Rule
from connector.sandbox.m3ter.calendar_steps import EPOCHS, STEPS, first_step_after
from connector.sandbox.m3ter.charges import LINE_TYPES, Charges, must_have_one_price
from connector.sandbox.m3ter.checks import iso, parse
from connector.sandbox.m3ter.errors import bad_request
from connector.sandbox.m3ter.organization import amount, exact

KINDS = ("transaction_schedules", "charge_schedules")


@dataclass(frozen=True)
class Run:
    """One time at which a schedule makes something, and the period that is for."""

    at: datetime
    start: datetime
    end: datetime
    bill_date: date


class Schedules(Charges):
    """What recurs. Every method takes further fields in m3ter's own names."""

    def create_transaction_schedule(
        self,
        balance_id: str,
        code: str,
        value: Any,
        transaction_type_id: str,
        start_date: datetime,
        end_date: datetime,
        frequency: str = "MONTHLY",
        every: int = 1,
        **fields: Any,
    ) -> Resource:
        """A new schedule of credits: one at its start, then one each time the frequency comes round before its end."""
        body = {
            "balanceId": balance_id,
            "code": code,
            "name": code,
            "amount": amount(value),
            "transactionTypeId": transaction_type_id,
            "transactionDescription": code,
            "startDate": iso(start_date),
            "endDate": iso(end_date),
            "frequency": frequency,
            "frequencyInterval": every,
        }
        return self.create("transaction_schedules", exact({**body, **fields}))

    def create_charge_schedule(
        self,
        balance_id: str,
        code: str,
        value: Any,
        start_date: datetime,
        end_date: datetime,
        frequency: str = "MONTHLY",
        every: int = 1,
        bill_in_advance: bool = True,
        currency: str = "USD",
        **fields: Any,
    ) -> Resource:
        """A new schedule of charges, one for each period."""
        body = {
            "balanceId": balance_id,
            "code": code,
            "name": code,
            "currency": currency,
            "amount": None if value is None else amount(value),
            "chargeDescription": code,
            "servicePeriodStartDate": iso(start_date),
            "servicePeriodEndDate": iso(end_date),
            "billFrequency": frequency,
            "billFrequencyInterval": every,
            "billInAdvance": bill_in_advance,
        }
        return self.create("charge_schedules", exact({**body, **fields}))

    def preview(self, kind: str, balance_id: str, body: Any, start: int, size: int) -> tuple[list[Resource], bool]:
        """So many of what the schedule would make, none of it kept, and whether there is more."""
        self.find("balances", balance_id)
        if not isinstance(body, dict):
            raise bad_request("The body must be a JSON object")
        schedule = self._checked(kind, {**body, "balanceId": balance_id}, None)
        runs = list(islice(self._runs(kind, schedule), start, start + size + 1))
        make = self._scheduled_transaction if kind == "transaction_schedules" else self._scheduled_charge
        return [make(schedule, run) for run in runs[:size]], len(runs) > size

    def _next_run(self) -> datetime | None:
        """When the next schedule is due."""
        runs = [parse(row["nextRun"]) for kind in KINDS for row in self._table(kind).values() if "nextRun" in row]
        return min(runs, default=None)

    def _run_schedules(self) -> None:
        """Makes all that has become due, in its order."""
        while (due := self._next_run()) is not None and due <= self._clock.now():
            for kind in KINDS:
                for schedule in list(self._table(kind).values()):
                    if schedule.get("nextRun") == iso(due):
                        self._run_schedule(kind, schedule)

    def _run_schedule(self, kind: str, schedule: Resource) -> None:
        run = next(run for run in self._runs(kind, schedule) if iso(run.at) == schedule["nextRun"])
        if kind == "transaction_schedules":
            row = {"balanceId": schedule["balanceId"], **self._scheduled_transaction(schedule, run)}
            self._book(row, "SCHEDULER", schedule["id"])
        else:
            charge = self._audited({**self._scheduled_charge(schedule, run), "scheduleId": schedule["id"]})
            self.charges[charge["id"]] = charge
        schedule["previousRun"] = schedule["nextRun"]
        self._set_next_run(kind, schedule)

    def _set_next_run(self, kind: str, schedule: Resource) -> None:
        """The first run after the last one; a schedule that has ended has none."""
        schedule.pop("nextRun", None)
        last = schedule.get("previousRun")
        for run in self._runs(kind, schedule):
            if last is None or run.at > parse(last):
                schedule["nextRun"] = iso(run.at)
                return

    def _runs(self, kind: str, schedule: Resource) -> Iterator[Run]:
        return _transaction_runs(schedule) if kind == "transaction_schedules" else self._charge_runs(schedule)

    def _charge_runs(self, schedule: Resource) -> Iterator[Run]:
        """Periods from boundary to boundary of the epoch; the first and last may be short, and cost the same."""
        zone = ZoneInfo(self.config["timezone"])
        frequency, every = schedule["billFrequency"], schedule["billFrequencyInterval"]
        anchor = date.fromisoformat(schedule.get("billEpoch") or self.config[EPOCHS[frequency]])
        start, last = parse(schedule["servicePeriodStartDate"]), parse(schedule["servicePeriodEndDate"])
        count = first_step_after(anchor, start.astimezone(zone).date(), frequency, every)
        while start < last:
            boundary = datetime.combine(STEPS[frequency](anchor, count * every), time(), zone).astimezone(UTC)
            end = min(boundary, last)
            at = start if schedule["billInAdvance"] else end
            yield Run(at, start, end, at.astimezone(zone).date())
            start, count = end, count + 1

    def _scheduled_transaction(self, schedule: Resource, run: Run) -> Resource:
        names = ("transactionTypeId", "paid", "currencyPaid")
        copied: Resource = {name: schedule[name] for name in names if name in schedule}
        return {
            "amount": schedule["amount"],
            "description": schedule["transactionDescription"],
            "appliedDate": iso(run.at),
            "transactionDate": iso(run.at),
            **copied,
        }

    def _scheduled_charge(self, schedule: Resource, run: Run) -> Resource:
        code = f"{schedule['code'][:69].rstrip()}-{run.bill_date}"
        if any(charge["code"] == code for charge in self.charges.values()):
            code = self._ids.uuid()
        return {
            "name": schedule["name"],
            "code": code,
            "accountId": self.balances[schedule["balanceId"]]["accountId"],
            "entityType": "BALANCE",
            "entityId": schedule["balanceId"],
            "lineItemType": LINE_TYPES["BALANCE"],
            "currency": schedule["currency"],
            **{name: schedule[name] for name in ("amount", "units", "unitPrice") if name in schedule},
            "description": schedule["chargeDescription"],
            "billDate": run.bill_date.isoformat(),
            "servicePeriodStartDate": iso(run.start),
            "servicePeriodEndDate": iso(run.end),
        }

    def _rules(self) -> dict[str, Rule]:
        return {
            **super()._rules(),
            "transaction_schedules": self._transaction_schedule,
            "charge_schedules": self._charge_schedule,
        }

    def _transaction_schedule(self, row: Resource, current: Resource | None) -> Resource:
        if parse(row["endDate"]) <= parse(row["startDate"]):
            raise bad_request("endDate must be after startDate")
        if "currencyPaid" in row:
            self._must_know_currency(row["currencyPaid"])
        return self._scheduled(row, current, "transaction_schedules")

    def _charge_schedule(self, row: Resource, current: Resource | None) -> Resource:
        self._must_know_currency(row["currency"])
        must_have_one_price(row)
        if parse(row["servicePeriodEndDate"]) <= parse(row["servicePeriodStartDate"]):
            raise bad_request("servicePeriodEndDate must be after servicePeriodStartDate")
        return self._scheduled(row, current, "charge_schedules")

    def _scheduled(self, row: Resource, current: Resource | None, kind: str) -> Resource:
        """The schedule with its next run; what it made before a change stays as it is."""
        if current is not None and "previousRun" in current:
            row["previousRun"] = current["previousRun"]
        self._set_next_run(kind, row)
        return row


def _transaction_runs(schedule: Resource) -> Iterator[Run]:
    first, last = parse(schedule["startDate"]), parse(schedule["endDate"])
    frequency, every = schedule["frequency"], schedule["frequencyInterval"]
    count, at = 0, first
    while at < last:
        yield Run(at, at, at, at.date())
        count += 1
        at = datetime.combine(STEPS[frequency](first.date(), count * every), first.timetz())
