"""Usage that no credit paid though it might have: at the overage prices of its pricing, or on a line of its own."""

from dataclasses import dataclass
from decimal import Decimal

from connector.sandbox.component import Resource
from connector.sandbox.m3ter.balances import NOTHING
from connector.sandbox.m3ter.billing import Billing, Period
from connector.sandbox.m3ter.checks import parse
from connector.sandbox.m3ter.lines import Lines, shown_band
from connector.sandbox.m3ter.rating import BandUse, divide, price

SUMS = ("quantity", "units", "subtotal", "convertedSubtotal")


@dataclass(frozen=True)
class Cover:
    """What a balance can pay in one of its windows: how much of which lines, in the bill's currency; less once it has."""

    balance: Resource
    window: Period
    parts: dict[str, Decimal]

    @property
    def is_own_time(self) -> bool:
        """Whether the window is before the balance's end, not that of its rollover."""
        return self.window[0] < parse(self.balance["endDate"])


class Overage(Lines):
    """What usage costs once the whole of a balance or commitment is consumed, as m3ter's published types tell.

    A surcharge of the credit takes the place of overage prices. A commitment may ask for a line of its own at the usual
    price too, and without that wish its overage stays on the line of usage.
    """

    def _overages(
        self, billing: Billing, covers: list[Cover], lines: list[Resource], unpaid: dict[str, Decimal]
    ) -> list[Resource]:
        """The lines of overage; the lines of usage keep what is none."""
        made = []
        for line in lines:
            short = [cover for cover in covers if cover.is_own_time and cover.parts.get(line["id"], NOTHING) > 0]
            if "usagePerPricingBand" not in line or not short or not unpaid[line["id"]]:
                continue
            bands = self.pricings.get(line.get("pricingId", ""), {}).get("overagePricingBands")
            separate = any(cover.balance.get("separateOverageUsage") for cover in short)
            if any(cover.balance.get("overageSurchargePercent") for cover in short) or not (bands or separate):
                continue
            beyond = min(unpaid[line["id"]], max(cover.parts[line["id"]] for cover in short))
            usual, over = self._parted(billing, line, beyond, bands)
            if separate or not all(cover.balance.get("commitment") for cover in short):
                text = short[0].balance.get("overageDescription") or line["description"]
                made.append({**over, "id": self._ids.uuid(), "lineItemType": "OVERAGE_USAGE", "description": text})
                line.update(usual)
            else:
                line.update(_together(usual, over))
        return made

    def _parted(
        self, billing: Billing, line: Resource, beyond: Decimal, bands: list[Resource] | None
    ) -> tuple[Resource, Resource]:
        """The line without the overage, which is worth so much at the usual price, and the overage."""
        rate: Decimal = line["conversionRate"]
        kept: Decimal = line["subtotal"] - divide(beyond, rate)
        bought, rest = _split(line["usagePerPricingBand"], kept)
        value, converted = line["subtotal"] - kept, beyond
        if bands:
            rest = price(_units(rest), bands, cumulative=True)
            value = self._rounded(sum((use.subtotal for use in rest), NOTHING), line["currency"])
            converted = self._rounded(value * rate, billing.currency)
        over = self._rated(line, rest, value, converted)
        usual = self._rated(line, bought, kept, line["convertedSubtotal"] - beyond)
        return {**usual, "quantity": line["quantity"] - over["quantity"]}, over

    def _rated(self, line: Resource, uses: list[BandUse], value: Decimal, converted: Decimal) -> Resource:
        """The line for these uses of bands alone."""
        aggregation, units = self.aggregations[line["aggregationId"]], _units(uses)
        return {
            **line,
            "quantity": units * aggregation["quantityPerUnit"],
            "units": units,
            "averageUnitPrice": _average(value, units),
            "subtotal": value,
            "convertedSubtotal": converted,
            "usagePerPricingBand": [shown_band(use, aggregation, line["conversionRate"]) for use in uses],
        }


def _together(usual: Resource, over: Resource) -> Resource:
    sums = {name: usual[name] + over[name] for name in SUMS}
    bands = [*usual["usagePerPricingBand"], *over["usagePerPricingBand"]]
    average = _average(sums["subtotal"], sums["units"])
    return {**usual, **sums, "averageUnitPrice": average, "usagePerPricingBand": bands}


def _split(rows: list[Resource], money: Decimal) -> tuple[list[BandUse], list[BandUse]]:
    """What so much money buys of the bands, from the first on, and what is left of them."""
    bought: list[BandUse] = []
    rest: list[BandUse] = []
    for row in rows:
        band, units, subtotal = {**row, "id": row["pricingBandId"]}, row["bandUnits"], row["bandSubtotal"]
        part = min(subtotal, money)
        money -= part
        if part == subtotal and not rest:
            bought.append(BandUse(band, units, subtotal))
            continue
        over_fixed = max(NOTHING, part - row["fixedPrice"])
        paid = divide(over_fixed, row["unitPrice"]) if row["unitPrice"] else NOTHING
        if part:
            bought.append(BandUse(band, paid, part))
        rest.append(BandUse(band, units - paid, subtotal - part))
    return bought, rest


def _units(uses: list[BandUse]) -> Decimal:
    return sum((use.units for use in uses), NOTHING)


def _average(value: Decimal, units: Decimal) -> Decimal:
    return divide(value, units) if units else NOTHING
