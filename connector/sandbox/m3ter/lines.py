"""The lines of a m3ter bill, worked out from plans, prices and usage."""

from datetime import UTC, datetime, time
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

from connector.sandbox.component import Resource
from connector.sandbox.m3ter.accounts import interval
from connector.sandbox.m3ter.billing import Billing, Period, overlap
from connector.sandbox.m3ter.calendar_steps import STEPS
from connector.sandbox.m3ter.checks import iso, parse
from connector.sandbox.m3ter.commitments import Commitments
from connector.sandbox.m3ter.rating import PLACES, BandUse, aggregate, divide, price, share, to_units


class Lines(Commitments):
    """What an account owes for a period: for each account plan, only while it was active."""

    def _lines(self, billing: Billing, account_plans: list[Resource]) -> list[Resource]:
        """Standing charge, usage, counters and minimum spend."""
        lines = []
        for account_plan in sorted(account_plans, key=lambda row: (row["startDate"], row["id"])):
            part = overlap(interval(account_plan), billing.period)
            if part is not None:
                lines.extend(self._plan_lines(billing, account_plan, part))
        return lines

    def _plan_lines(self, billing: Billing, account_plan: Resource, part: Period) -> list[Resource]:
        plan = self.plans[account_plan["planId"]]
        template = self.plan_templates[plan["planTemplateId"]]
        terms = {**self._in_advance(), **template, **plan}
        standing = self._recurring(billing, account_plan, terms, part, "STANDING_CHARGE", "standingCharge")
        lines = list(standing)
        for pricing in self.pricings.values():
            if plan["id"] == pricing.get("planId") or template["id"] == pricing.get("planTemplateId"):
                end = pricing.get("endDate")
                priced = overlap((parse(pricing["startDate"]), None if end is None else parse(end)), part)
                if priced is not None:
                    lines.append(self._usage_line(billing, plan, pricing, priced))
        lines += self._counter_lines(billing, plan, part)
        own = [line for line in lines if parse(line["servicePeriodStartDate"]) < part[1]]
        spent = max(Decimal(0), sum((line["subtotal"] for line in own), Decimal(0)))
        return lines + self._recurring(billing, account_plan, terms, part, "MINIMUM_SPEND", "minimumSpend", spent)

    def _recurring(
        self,
        billing: Billing,
        account_plan: Resource,
        terms: Resource,
        part: Period,
        line_type: str,
        name: str,
        spent: Decimal = Decimal(0),
    ) -> list[Resource]:
        """A standing charge, or of a minimum what was not spent; in advance the whole of it, for the period to come.

        What was billed in advance and not spent is given back. Nothing is billed for the same time twice.
        """
        plan, whole = self.plans[account_plan["planId"]], terms.get(name)
        if not whole:
            return []
        usual = f"{plan['name']} {'standing charge' if name == 'standingCharge' else 'minimum spend'}"
        text = terms.get(f"{name}Description", usual)
        due = self._rounded(share(whole, part, billing.period), terms["currency"])
        lines = []
        advanced = self._billed_in_advance(billing, plan, part, line_type)
        if not advanced and due > spent:
            lines.append(self._line(billing, plan, part, line_type, text, due - spent))
        if advanced and line_type == "MINIMUM_SPEND" and due > spent:
            lines.append(self._line(billing, plan, part, "MINIMUM_SPEND_REFUND", f"{text} refund", spent - due))
        following = self._period_after(billing.period[1], terms)
        coming = overlap(interval(account_plan), following) if terms.get(f"{name}BillInAdvance") else None
        if coming is not None:
            ahead = self._rounded(share(whole, coming, following), terms["currency"])
            lines.append(self._line(billing, plan, coming, line_type, text, ahead))
        return lines

    def _in_advance(self) -> Resource:
        """What the organization bills in advance where plans do not say."""
        names = ("standingChargeBillInAdvance", "minimumSpendBillInAdvance")
        return {name: self.config[name] for name in names if name in self.config}

    def _billed_in_advance(self, billing: Billing, plan: Resource, part: Period, line_type: str) -> bool:
        """Whether a bill of an earlier period has the charge for this one."""
        start = iso(part[0])
        return any(
            line["lineItemType"] == line_type
            and line.get("planId") == plan["id"]
            and line.get("servicePeriodStartDate") == start
            for bill in self.bills.values()
            if bill["accountId"] == billing.account["id"] and bill["endDateTimeUTC"] <= start
            for line in bill["lineItems"]
        )

    def _period_after(self, end: datetime, terms: Resource) -> Period:
        zone = ZoneInfo(self.config["timezone"])
        day = STEPS[terms["billFrequency"]](end.astimezone(zone).date(), terms.get("billFrequencyInterval", 1))
        return end, datetime.combine(day, time(), zone).astimezone(UTC)

    def _usage_line(self, billing: Billing, plan: Resource, pricing: Resource, part: Period) -> Resource:
        aggregation = self.aggregations[pricing["aggregationId"]]
        segment = pricing.get("segment", {})
        readings = self._readings(billing.account["code"], aggregation, segment, part)
        quantity = aggregate(aggregation["aggregation"], readings)
        units = to_units(quantity, aggregation["quantityPerUnit"], aggregation["rounding"])
        uses = price(units, pricing["pricingBands"], cumulative=pricing["cumulative"])
        sign = 1 if pricing["type"] == "DEBIT" else -1
        currency = self.plan_templates[plan["planTemplateId"]]["currency"]
        subtotal = self._rounded(sign * sum((use.subtotal for use in uses), Decimal(0)), currency)
        text = pricing.get("description") or aggregation["name"]
        line = self._line(billing, plan, part, "USAGE" if sign > 0 else "USAGE_CREDIT", text, subtotal)
        return {
            **line,
            "quantity": quantity,
            "units": units,
            "unit": aggregation["unit"],
            "averageUnitPrice": divide(subtotal, units) if units else Decimal(0),
            "pricingId": pricing["id"],
            "aggregationId": aggregation["id"],
            "meterId": aggregation["meterId"],
            **({"segment": segment} if segment else {}),
            "usagePerPricingBand": [shown_band(use, aggregation, line["conversionRate"]) for use in uses],
        }

    def _line(
        self, billing: Billing, plan: Resource, part: Period, line_type: str, description: str, subtotal: Decimal
    ) -> Resource:
        currency = self.plan_templates[plan["planTemplateId"]]["currency"]
        line = self._money_line(billing, line_type, description, subtotal, currency, part, planId=plan["id"])
        return line | self._product_fields(plan["productId"], "product")


def shown_band(use: BandUse, aggregation: Resource, rate: Decimal) -> Resource:
    """What a band contributes, as a line shows it."""
    return {
        "pricingBandId": use.band["id"],
        "lowerLimit": use.band["lowerLimit"],
        "fixedPrice": use.band["fixedPrice"],
        "unitPrice": use.band["unitPrice"],
        "unitSubtotal": use.units * use.band["unitPrice"],
        "bandUnits": use.units,
        "bandQuantity": use.units * aggregation["quantityPerUnit"],
        "bandSubtotal": use.subtotal,
        "convertedBandSubtotal": (use.subtotal * rate).quantize(PLACES, rounding=ROUND_HALF_UP).normalize(),
    }
