"""m3ter's counters: recurring charges on a running total, such as seats, and on what changes it."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from connector.sandbox.component import Resource
from connector.sandbox.m3ter.accounts import Rule
from connector.sandbox.m3ter.billing import Billing, Period, overlap
from connector.sandbox.m3ter.checks import iso, parse
from connector.sandbox.m3ter.errors import bad_request
from connector.sandbox.m3ter.organization import exact
from connector.sandbox.m3ter.rating import price, share
from connector.sandbox.m3ter.schedules import Schedules

LINE_TYPE = {True: "COUNTER_ADJUSTMENT_DEBIT", False: "COUNTER_ADJUSTMENT_CREDIT"}
PRO_RATE = {True: "proRateAdjustmentDebit", False: "proRateAdjustmentCredit"}


class Counters(Schedules):
    """What is counted rather than metered. Every method takes further fields in m3ter's own names."""

    def create_counter(self, code: str, unit: str = "seats", **fields: Any) -> Resource:
        """A new counter."""
        return self.create("counters", exact({"code": code, "name": code, "unit": unit, **fields}))

    def create_counter_pricing(
        self, plan_id: str | None, counter_id: str, bands: list[Resource], start_date: datetime, **fields: Any
    ) -> Resource:
        """A new price of the counter under the plan."""
        body = {"planId": plan_id, "counterId": counter_id, "pricingBands": bands, "startDate": iso(start_date)}
        return self.create("counter_pricings", exact({**body, **fields}))

    def adjust_counter(self, account_id: str, counter_id: str, day: date, value: int, **fields: Any) -> Resource:
        """The counter of the account stands at this value from the day on."""
        body = {"accountId": account_id, "counterId": counter_id, "date": day.isoformat(), "value": value}
        return self.create("counter_adjustments", {**body, **fields})

    def _counter_lines(self, billing: Billing, plan: Resource, part: Period) -> list[Resource]:
        """For each price of the plan: the total with which the part began, then every change within it."""
        lines = []
        for pricing in self.counter_pricings.values():
            if pricing.get("planId") == plan["id"] or pricing.get("planTemplateId") == plan["planTemplateId"]:
                end = pricing.get("endDate")
                priced = overlap((parse(pricing["startDate"]), None if end is None else parse(end)), part)
                if priced is not None:
                    lines += self._one_counter(billing, plan, pricing, priced)
        return lines

    def _one_counter(self, billing: Billing, plan: Resource, pricing: Resource, part: Period) -> list[Resource]:
        counter = self.counters[pricing["counterId"]]
        changes = sorted(
            (self._midnight(row["date"]), self._sequence[row["id"]], Decimal(row["value"]))
            for row in self.counter_adjustments.values()
            if row["accountId"] == billing.account["id"] and row["counterId"] == counter["id"]
        )
        total = Decimal(0)
        for at, _, value in changes:
            total = value if at <= part[0] else total
        text = pricing.get("description") or counter["name"]
        lines = []
        if total:
            due = self._counted(total, pricing)
            due = share(due, part, billing.period) if pricing.get("proRateRunningTotal", True) else due
            lines.append(
                self._counter_line(billing, plan, pricing, part, "COUNTER_RUNNING_TOTAL_CHARGE", text, due, total)
            )
        for at, _, value in changes:
            if part[0] < at < part[1] and value != total:
                more, rest = value > total, (at, part[1])
                due = self._counted(value, pricing) - self._counted(total, pricing)
                due = share(due, rest, billing.period) if pricing.get(PRO_RATE[more], True) else due
                lines.append(
                    self._counter_line(billing, plan, pricing, rest, LINE_TYPE[more], text, due, value - total)
                )
                total = value
        return lines

    def _counted(self, total: Decimal, pricing: Resource) -> Decimal:
        uses = price(total, pricing["pricingBands"], cumulative=pricing["cumulative"])
        return sum((use.subtotal for use in uses), Decimal(0))

    def _counter_line(
        self,
        billing: Billing,
        plan: Resource,
        pricing: Resource,
        part: Period,
        line_type: str,
        text: str,
        due: Decimal,
        units: Decimal,
    ) -> Resource:
        counter = self.counters[pricing["counterId"]]
        currency = self.plan_templates[plan["planTemplateId"]]["currency"]
        line = self._money_line(billing, line_type, text, self._rounded(due, currency), currency, part)
        line |= {"quantity": units, "units": units, "unit": counter["unit"], "counterId": counter["id"]}
        return line | {"planId": plan["id"], **self._product_fields(plan["productId"], "product")}

    def _midnight(self, day: str) -> datetime:
        return datetime.combine(date.fromisoformat(day), time(), ZoneInfo(self.config["timezone"])).astimezone(UTC)

    def _rules(self) -> dict[str, Rule]:
        return {**super()._rules(), "counters": _coded, "counter_pricings": self._counter_pricing}

    def _counter_pricing(self, row: Resource, _: Resource | None) -> Resource:
        if ("planId" in row) == ("planTemplateId" in row):
            raise bad_request("Exactly one of planId and planTemplateId must be given")
        limits = [band["lowerLimit"] for band in row["pricingBands"]]
        if limits != sorted(set(limits)) or limits[0] != 0:
            raise bad_request("pricingBands must begin at 0 and rise")
        for band in row["pricingBands"]:
            band["id"] = self._ids.uuid()
        return {"cumulative": False, **row}


def _coded(row: Resource, _: Resource | None) -> Resource:
    return {"code": row["name"], **row}
