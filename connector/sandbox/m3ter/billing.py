"""What every line of a m3ter bill is made of: whose it is, its period, its money in two currencies."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from connector.sandbox.component import Resource
from connector.sandbox.m3ter.checks import iso
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


class Billable(Usage):
    """Lines as such, wherever they come from."""

    def _money_line(
        self,
        billing: Billing,
        line_type: str,
        description: str,
        subtotal: Decimal,
        currency: str,
        part: Period,
        **fields: Any,
    ) -> Resource:
        """A line of so much; further fields in m3ter's own names, of which None is left out."""
        rate = rate_of(billing, currency)
        line = {
            "id": self._ids.uuid(),
            "lineItemType": line_type,
            "description": description,
            "quantity": Decimal(1),
            "units": Decimal(1),
            "unit": "",
            "averageUnitPrice": subtotal,
            "subtotal": subtotal,
            "currency": currency,
            "conversionRate": rate,
            "convertedSubtotal": self._rounded(subtotal * rate, billing.currency),
            "servicePeriodStartDate": iso(part[0]),
            "servicePeriodEndDate": iso(part[1]),
        }
        return line | {name: value for name, value in fields.items() if value is not None}

    def _product_fields(self, product_id: str | None, *prefixes: str) -> Resource:
        """The product's id, name and code on a line, under each of these prefixes; nothing where there is none."""
        product = self.products.get(product_id or "")
        if product is None:
            return {}
        values = {"Id": product["id"], "Name": product["name"], "Code": product["code"]}
        return {f"{prefix}{name}": value for prefix in prefixes for name, value in values.items()}

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
