"""Chargebee's coupons: discounts that a subscription's invoices take when they are made, and never later."""

import copy
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from connector.sandbox.chargebee.balances import Balances, discount_lines
from connector.sandbox.chargebee.errors import not_found, wrong_value
from connector.sandbox.component import Resource


class Coupons(Balances):
    """What makes it cheaper."""

    def create_coupon(
        self,
        id: str,
        name: str | None = None,
        discount_percentage: int | None = None,
        discount_amount: int | None = None,
        duration_type: str = "forever",
        currency_code: str | None = None,
        **fields: Any,
    ) -> Resource:
        """A new coupon over whole invoices: so many percent, or so much in one currency."""
        self._must_be_new("coupon", self.coupons, id)
        if (discount_percentage is None) is (discount_amount is None):
            raise wrong_value("discount_amount", "or discount_percentage should be there, and not both")
        coupon: Resource = {
            "id": id,
            "name": name or id,
            "discount_type": "percentage" if discount_amount is None else "fixed_amount",
            "apply_on": "invoice_amount",
            "duration_type": duration_type,
            "status": "active",
            "redemptions": 0,
            "created_at": self._clock.seconds(),
            "object": "coupon",
            **fields,
        }
        if discount_amount is None:
            coupon["discount_percentage"] = discount_percentage
        else:
            coupon |= {"discount_amount": discount_amount, "currency_code": self._currency(currency_code)}
        self._stamp(coupon)
        self.coupons[id] = coupon
        self._event("coupon_created", coupon=coupon)
        return copy.deepcopy(coupon)

    def _with_coupons(self, held: list[Resource], coupon_ids: list[str]) -> list[Resource]:
        """The coupons held by a subscription, and these as well."""
        rows = list(held)
        for coupon_id in coupon_ids:
            coupon = self.find("coupon", coupon_id)
            if coupon_id not in [row["coupon_id"] for row in rows]:
                coupon["redemptions"] += 1
                rows.append({"coupon_id": coupon_id, "applied_count": 0, "object": "coupon"})
        return rows

    def _without_coupons(self, held: list[Resource], coupon_ids: list[str]) -> list[Resource]:
        known = [row["coupon_id"] for row in held]
        for coupon_id in coupon_ids:
            if coupon_id not in known:
                raise not_found("coupon", coupon_id)
        return [row for row in held if row["coupon_id"] not in coupon_ids]

    def _use_coupons(self, invoice: Resource, rows: list[Resource]) -> list[Resource]:
        """Takes each coupon off the new invoice; returns those that the next one takes too."""
        left = []
        for row in rows:
            coupon = self.coupons[row["coupon_id"]]
            amount = _worth(coupon, invoice)
            if not amount:
                left.append(row)
                continue
            discount = {"entity_type": "document_level_coupon", "entity_id": coupon["id"], "amount": amount}
            invoice["discounts"].append({**discount, "description": coupon["name"], "object": "discount"})
            discount_lines(invoice, amount, "document_level_coupon")
            if coupon["duration_type"] != "one_time":
                left.append({**row, "applied_count": row["applied_count"] + 1})
        return left


def _worth(coupon: Resource, invoice: Resource) -> int:
    total = int(invoice["total"])
    if coupon["discount_type"] == "fixed_amount":
        return min(int(coupon["discount_amount"]), total) if coupon["currency_code"] == invoice["currency_code"] else 0
    share = Decimal(total * int(coupon["discount_percentage"])) / 100
    return int(share.quantize(Decimal(1), ROUND_HALF_UP))
