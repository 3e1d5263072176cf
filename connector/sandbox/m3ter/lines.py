"""The lines of a m3ter bill, worked out from plans, prices and usage."""

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from connector.sandbox.component import Resource
from connector.sandbox.m3ter.accounts import interval
from connector.sandbox.m3ter.checks import iso, parse
from connector.sandbox.m3ter.rating import PLACES, BandUse, aggregate, divide, price, share, to_units
from connector.sandbox.m3ter.usage import Usage

Period = tuple[datetime, datetime]


class MissingRate(Exception):
    """A currency conversion without a rate: m3ter then makes no bill for the account, and says nothing."""


@dataclass(frozen=True)
class Billing:
    """One account and period to be billed."""

    account: Resource
    period: Period
    currency: str
    rates: dict[tuple[str, str], Decimal]


class Lines(Usage):
    """What an account owes for a period: for each account plan, only while it was active."""

    def _lines(self, billing: Billing, account_plans: list[Resource]) -> list[Resource]:
        """Standing charge, usage and the rest of a minimum spend; all in arrears, whatever the plan says."""
        lines = []
        for account_plan in sorted(account_plans, key=lambda row: (row["startDate"], row["id"])):
            part = overlap(interval(account_plan), billing.period)
            if part is not None:
                lines.extend(self._plan_lines(billing, self.plans[account_plan["planId"]], part))
        return lines

    def _plan_lines(self, billing: Billing, plan: Resource, part: Period) -> list[Resource]:
        template = self.plan_templates[plan["planTemplateId"]]
        terms = {**template, **plan}
        lines = []
        if terms.get("standingCharge"):
            due = self._rounded(share(terms["standingCharge"], part, billing.period), template["currency"])
            text = terms.get("standingChargeDescription", f"{plan['name']} standing charge")
            lines.append(self._line(billing, plan, part, "STANDING_CHARGE", text, due))
        for pricing in self.pricings.values():
            if plan["id"] == pricing.get("planId") or template["id"] == pricing.get("planTemplateId"):
                end = pricing.get("endDate")
                priced = overlap((parse(pricing["startDate"]), None if end is None else parse(end)), part)
                if priced is not None:
                    lines.append(self._usage_line(billing, plan, pricing, priced))
        if terms.get("minimumSpend"):
            least = self._rounded(share(terms["minimumSpend"], part, billing.period), template["currency"])
            rest = least - sum((line["subtotal"] for line in lines), Decimal(0))
            if rest > 0:
                text = terms.get("minimumSpendDescription", f"{plan['name']} minimum spend")
                lines.append(self._line(billing, plan, part, "MINIMUM_SPEND", text, rest))
        return lines

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
            "usagePerPricingBand": [_band(use, aggregation, line["conversionRate"]) for use in uses],
        }

    def _line(
        self, billing: Billing, plan: Resource, part: Period, line_type: str, description: str, subtotal: Decimal
    ) -> Resource:
        template = self.plan_templates[plan["planTemplateId"]]
        product = self.products[plan["productId"]]
        rate = rate_of(billing, template["currency"])
        return {
            "id": self._ids.uuid(),
            "lineItemType": line_type,
            "description": description,
            "quantity": Decimal(1),
            "units": Decimal(1),
            "unit": "",
            "averageUnitPrice": subtotal,
            "subtotal": subtotal,
            "currency": template["currency"],
            "conversionRate": rate,
            "convertedSubtotal": self._rounded(subtotal * rate, billing.currency),
            "productId": product["id"],
            "productName": product["name"],
            "productCode": product["code"],
            "planId": plan["id"],
            "servicePeriodStartDate": iso(part[0]),
            "servicePeriodEndDate": iso(part[1]),
        }

    def _rounded(self, value: Decimal, currency_code: str) -> Decimal:
        """The amount, rounded only if the currency says to how many places."""
        for currency in self.currencies.values():
            if currency["code"] == currency_code and "maxDecimalPlaces" in currency:
                mode = f"ROUND_{currency.get('roundingMode', 'HALF_UP')}"
                return value.quantize(Decimal(1).scaleb(-currency["maxDecimalPlaces"]), rounding=mode)
        return value


def rate_of(billing: Billing, currency: str) -> Decimal:
    """By what an amount in the currency is multiplied for the bill; raises MissingRate where nobody set it."""
    if currency == billing.currency:
        return Decimal(1)
    try:
        return billing.rates[(currency, billing.currency)]
    except KeyError as error:
        raise MissingRate(f"{currency} to {billing.currency}") from error


def overlap(active: tuple[datetime, datetime | None], period: Period) -> Period | None:
    """The part of the period in which something is active."""
    start = max(active[0], period[0])
    end = period[1] if active[1] is None else min(active[1], period[1])
    return (start, end) if start < end else None


def _band(use: BandUse, aggregation: Resource, rate: Decimal) -> Resource:
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
