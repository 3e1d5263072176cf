"""Credit for usage: never more than there is to credit."""

from decimal import Decimal

from connector.sandbox.component import Resource
from connector.sandbox.m3ter.rating import divide

NOTHING = Decimal(0)


def cap_credits(lines: list[Resource], types: dict[str, str]) -> None:
    """Lowers credits so that the lines of their product, or of the whole bill, do not come to less than nothing.

    `types` are those of pricings by their ids. Credit of products counts before credit of the bill, and a minimum spend
    stays a minimum.
    """
    counted = [line for line in lines if line["lineItemType"] not in ("USAGE_CREDIT", "MINIMUM_SPEND")]
    for credit_type in ("PRODUCT_CREDIT", "GLOBAL_CREDIT"):
        for line in lines:
            if line["lineItemType"] == "USAGE_CREDIT" and types.get(line.get("pricingId", "")) == credit_type:
                _cap(line, [other for other in counted if credit_type == "GLOBAL_CREDIT" or _is_same(other, line)])
                counted.append(line)


def _cap(credit: Resource, others: list[Resource]) -> None:
    room = max(NOTHING, sum((line["convertedSubtotal"] for line in others), NOTHING))
    if -credit["convertedSubtotal"] > room:
        credit["convertedSubtotal"] = -room
        credit["subtotal"] = -divide(room, credit["conversionRate"])
        credit["averageUnitPrice"] = divide(credit["subtotal"], credit["units"])


def _is_same(line: Resource, other: Resource) -> bool:
    return line.get("productId") == other.get("productId")
