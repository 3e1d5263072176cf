"""m3ter's catalogue: products, meters, aggregations, plan templates, plans and pricings."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from connector.sandbox.component import Resource
from connector.sandbox.m3ter.accounts import Accounts, Rule
from connector.sandbox.m3ter.checks import iso
from connector.sandbox.m3ter.errors import bad_request
from connector.sandbox.m3ter.organization import amount, exact

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)

# A band as a test writes it: from how many units on, at what price each.
Band = tuple[Any, Any] | Resource


class Catalogue(Accounts):
    """What is metered, and at what price. Every method takes further fields in m3ter's own names."""

    def create_product(self, code: str, name: str | None = None, **fields: Any) -> Resource:
        """A new product."""
        return self.create("products", exact({"code": code, "name": name or code, **fields}))

    def create_meter(
        self, code: str, measures: Iterable[str] = ("calls",), name: str | None = None, **fields: Any
    ) -> Resource:
        """A new meter that takes these measures."""
        data = [{"category": "MEASURE", "code": measure, "name": measure} for measure in measures]
        return self.create("meters", exact({"code": code, "name": name or code, "dataFields": data, **fields}))

    def create_aggregation(
        self,
        meter_id: str,
        target_field: str = "calls",
        aggregation: str = "SUM",
        code: str | None = None,
        unit: str = "calls",
        quantity_per_unit: Any = 1,
        rounding: str = "NONE",
        **fields: Any,
    ) -> Resource:
        """A new aggregation over one of the meter's fields."""
        body = {
            "name": code or f"{aggregation.title()} of {target_field}",
            "code": code,
            "meterId": meter_id,
            "targetField": target_field,
            "aggregation": aggregation,
            "unit": unit,
            "quantityPerUnit": amount(quantity_per_unit),
            "rounding": rounding,
        }
        return self.create("aggregations", exact({**body, **fields}))

    def create_compound_aggregation(
        self,
        calculation: str,
        code: str | None = None,
        unit: str = "calls",
        quantity_per_unit: Any = 1,
        rounding: str = "NONE",
        **fields: Any,
    ) -> Resource:
        """A new compound aggregation; bills here do not work out its calculation."""
        body = {
            "name": code or calculation,
            "code": code,
            "calculation": calculation,
            "unit": unit,
            "quantityPerUnit": amount(quantity_per_unit),
            "rounding": rounding,
        }
        return self.create("compound_aggregations", exact({**body, **fields}))

    def create_plan_template(
        self,
        product_id: str,
        name: str = "Standard",
        currency: str = "USD",
        bill_frequency: str = "MONTHLY",
        standing_charge: Any = 0,
        minimum_spend: Any = None,
        **fields: Any,
    ) -> Resource:
        """A new plan template."""
        body = {
            "productId": product_id,
            "name": name,
            "currency": currency,
            "billFrequency": bill_frequency,
            "standingCharge": amount(standing_charge),
            "minimumSpend": None if minimum_spend is None else amount(minimum_spend),
        }
        return self.create("plan_templates", exact({**body, **fields}))

    def create_plan(self, plan_template_id: str, code: str, name: str | None = None, **fields: Any) -> Resource:
        """A new plan of the template."""
        return self.create(
            "plans", exact({"planTemplateId": plan_template_id, "code": code, "name": name or code, **fields})
        )

    def create_pricing(
        self,
        plan_id: str | None,
        aggregation_id: str,
        bands: Iterable[Band],
        cumulative: bool = True,
        start_date: datetime = LONG_AGO,
        **fields: Any,
    ) -> Resource:
        """A new pricing of the aggregation under the plan, its bands as (from units, unit price) or in full."""
        body = {
            "planId": plan_id,
            "aggregationId": aggregation_id,
            "startDate": iso(start_date),
            "cumulative": cumulative,
            "pricingBands": [_band(band) for band in bands],
        }
        return self.create("pricings", exact({**body, **fields}))

    def _rules(self) -> dict[str, Rule]:
        return {
            **super()._rules(),
            "aggregations": self._aggregation,
            "plan_templates": self._plan_template,
            "plans": self._plan,
            "pricings": self._pricing,
        }

    def _aggregation(self, row: Resource, _: Resource | None) -> Resource:
        meter = self.meters[row["meterId"]]
        fields = {field["code"] for field in (*meter["dataFields"], *meter.get("derivedFields", []))}
        if row["targetField"] not in fields:
            raise bad_request(f"The meter has no field {row['targetField']}")
        return row

    def _plan_template(self, row: Resource, _: Resource | None) -> Resource:
        self._must_know_currency(row["currency"])
        return row

    def _plan(self, row: Resource, _: Resource | None) -> Resource:
        return {**row, "productId": self.plan_templates[row["planTemplateId"]]["productId"]}

    def _pricing(self, row: Resource, current: Resource | None) -> Resource:
        if ("planId" in row) == ("planTemplateId" in row):
            raise bad_request("Exactly one of planId and planTemplateId must be given")
        if ("aggregationId" in row) == ("compoundAggregationId" in row):
            raise bad_request("Exactly one of aggregationId and compoundAggregationId must be given")
        if "compoundAggregationId" in row:
            raise bad_request("The sandbox has no pricings of a compoundAggregationId")
        if row.get("overagePricingBands") and (not row.get("cumulative") or row.get("tiersSpanPlan")):
            raise bad_request("overagePricingBands need cumulative to be true and tiersSpanPlan to be false")
        for name in ("pricingBands", "overagePricingBands"):
            bands = row.get(name, [])
            limits = [band["lowerLimit"] for band in bands]
            if limits != sorted(set(limits)) or (bands and limits[0] != 0):
                raise bad_request(f"{name} must begin at 0 and rise")
            for band in bands:
                band["id"] = self._ids.uuid()
        return {"cumulative": False, "type": "DEBIT", **row, "aggregationType": "SIMPLE"}


def _band(band: Band) -> Resource:
    if isinstance(band, dict):
        return {"fixedPrice": Decimal(0), "unitPrice": Decimal(0), **band}
    lower_limit, unit_price = band
    return {"lowerLimit": amount(lower_limit), "fixedPrice": Decimal(0), "unitPrice": amount(unit_price)}
