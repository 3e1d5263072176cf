"""Chargebee's charges outside the terms: unbilled ones that wait for an invoice, and one-time invoices."""

import copy
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from connector.sandbox.chargebee.balances import discount_lines
from connector.sandbox.chargebee.catalogue import shown_name
from connector.sandbox.chargebee.errors import wrong_state, wrong_value
from connector.sandbox.chargebee.invoices import Invoices
from connector.sandbox.component import Resource

# What an unbilled charge has and an invoice's line has not.
ONLY_UNBILLED = ("currency_code", "is_voided", "created_at", "updated_at", "resource_version", "deleted", "object")
MONTH = 31 * 86_400


class Charges(Invoices):
    """What is charged once."""

    def create_unbilled_charges(
        self,
        subscription_id: str,
        item_prices: list[Resource] | None = None,
        charges: list[Resource] | None = None,
        currency_code: str | None = None,
        item_tiers: list[Resource] | None = None,
    ) -> list[Resource]:
        """Charges that the subscription's next invoice will take."""
        subscription = self.to_change("subscription", subscription_id)
        if self._currency(currency_code) != subscription["currency_code"]:
            raise wrong_value("currency_code", f"should be the subscription's {subscription['currency_code']}")
        now = self._clock.seconds()
        lines = self._lines(subscription, now, item_prices, charges, item_tiers)
        made = []
        for line in lines:
            charge: Resource = {
                **line,
                "currency_code": subscription["currency_code"],
                "is_voided": False,
                "created_at": now,
                "deleted": False,
                "object": "unbilled_charge",
            }
            self._stamp(charge)
            self.unbilled_charges[charge["id"]] = charge
            made.append(charge)
        self._note_unbilled(subscription, sum(charge["amount"] for charge in made))
        self._event("unbilled_charges_created", unbilled_charges=made)
        return copy.deepcopy(made)

    def delete_unbilled_charge(self, id: str) -> Resource:
        """The charge that no invoice will take."""
        charge = self.find("unbilled_charge", id)
        self._delete_unbilled([charge])
        return copy.deepcopy(charge)

    def invoice_unbilled_charges(
        self, subscription_id: str | None = None, customer_id: str | None = None
    ) -> list[Resource]:
        """The invoice made of all charges that wait."""
        if subscription_id is None:
            if customer_id is None:
                raise wrong_value("subscription_id", "cannot be blank")
            if not self.find("customer", customer_id).get("consolidated_invoicing"):
                raise wrong_value("customer_id", "is only for customers whose invoices are consolidated")
            ids = [row["id"] for row in self.subscriptions.values() if row["customer_id"] == customer_id]
        else:
            ids = [self.find("subscription", subscription_id)["id"]]
        waiting = [one for one in ids if self._waiting(one)]
        if not waiting:
            raise wrong_state("There are no unbilled charges", "subscription_id")
        made = []
        for one in waiting:
            invoice = self._bill_waiting(self.subscriptions[one], pending=False)
            self._announce(invoice)
            made.append(copy.deepcopy(invoice))
        return made

    def create_one_time_invoice(
        self,
        customer_id: str | None = None,
        subscription_id: str | None = None,
        item_prices: list[Resource] | None = None,
        charges: list[Resource] | None = None,
        currency_code: str | None = None,
        item_tiers: list[Resource] | None = None,
        discounts: list[Resource] | None = None,
        create_pending_invoice: bool = False,
        invoice_date: int | None = None,
        invoice_note: str | None = None,
        coupon_ids: list[str] | None = None,
        **fields: Any,
    ) -> Resource:
        """An invoice of its own, final at once or pending until it is closed."""
        if subscription_id is not None:
            owner = dict(self.find("subscription", subscription_id))
            if currency_code not in (None, owner["currency_code"]):
                raise wrong_value("currency_code", f"should be the subscription's {owner['currency_code']}")
        elif create_pending_invoice:
            raise wrong_value("subscription_id", "cannot be blank for a pending invoice")
        elif customer_id is None:
            raise wrong_value("customer_id", "or subscription_id cannot be blank")
        else:
            found = self.find("customer", customer_id)["id"]
            owner = {"customer_id": found, "currency_code": self._currency(currency_code)}
        if create_pending_invoice and "auto_collection" in fields:
            raise wrong_value("auto_collection", "cannot be sent for a pending invoice")
        now = self._clock.seconds()
        if invoice_date is not None and not now - MONTH <= invoice_date <= now:
            raise wrong_value("invoice_date", "should lie within the last month")
        lines = self._lines(owner, invoice_date or now, item_prices, charges, item_tiers)
        self._check_discounts(discounts or [], lines)
        coupons = self._with_coupons([], coupon_ids or [])
        invoice = self._draft({**owner, **fields}, lines, pending=create_pending_invoice, date=invoice_date)
        for discount in discounts or []:
            _discount(invoice, discount)
        self._use_coupons(invoice, coupons)
        if invoice_note:
            invoice["notes"] = [{"note": invoice_note}]
        if not create_pending_invoice:
            self._set_final_status(invoice, generated=True, auto_collection=fields.get("auto_collection"))
        self._announce(invoice, backdated=invoice["date"] < now)
        return copy.deepcopy(invoice)

    def _lines(
        self,
        owner: Resource,
        date: int,
        item_prices: list[Resource] | None,
        charges: list[Resource] | None,
        item_tiers: list[Resource] | None,
    ) -> list[Resource]:
        lines = []
        draft = {"date": date, "customer_id": owner["customer_id"]}
        for row in item_prices or []:
            tiers = [tier for tier in item_tiers or [] if tier.get("item_price_id") == row["item_price_id"]]
            price, figures = self._priced(
                row["item_price_id"],
                owner["currency_code"],
                row.get("unit_price"),
                row.get("quantity", 1),
                tiers or None,
                "item_prices",
            )
            period = (row.get("date_from"), row.get("date_to"))
            text = row.get("description") or shown_name(price)
            line = self._line("charge_item_price", text, figures, draft, period, owner.get("id"))
            lines.append({**line, "entity_id": price["id"], **_entity_description(row)})
        for row in charges or []:
            amount = row["amount"]
            figures = {"pricing_model": "flat_fee", "unit_amount": amount, "quantity": 1, "amount": amount}
            period = (row.get("date_from"), row.get("date_to"))
            line = self._line("adhoc", row["description"], figures, draft, period, owner.get("id"))
            lines.append({**line, **_entity_description(row)})
        if not lines:
            raise wrong_value("item_prices", "or charges cannot be blank")
        return lines

    def _check_discounts(self, discounts: list[Resource], lines: list[Resource]) -> None:
        for discount in discounts:
            if ("amount" in discount) is ("percentage" in discount):
                raise wrong_value("discounts[amount]", "or percentage should be there, and not both")
            if discount["apply_on"] == "specific_item_price" and discount.get("item_price_id") not in [
                line.get("entity_id") for line in lines
            ]:
                raise wrong_value("discounts[item_price_id]", "is not on the invoice")

    def _waiting(self, subscription_id: str) -> list[Resource]:
        """The charges that the subscription's next invoice takes."""
        return [
            charge
            for charge in self.unbilled_charges.values()
            if charge.get("subscription_id") == subscription_id and not charge["deleted"]
        ]

    def _bill_waiting(self, subscription: Resource, *, pending: bool) -> Resource:
        """An invoice of nothing but the charges that wait; the caller announces it."""
        waiting = self._waiting(subscription["id"])
        invoice = self._new_invoice(subscription, lines_of(waiting), pending=pending, first=False)
        self._taken(waiting, invoice)
        return invoice

    def _taken(self, charges: list[Resource], invoice: Resource) -> None:
        """These charges wait no more."""
        if not charges:
            return
        for charge in charges:
            del self.unbilled_charges[charge["id"]]
        subscription = self.subscriptions[charges[0]["subscription_id"]]
        self._note_unbilled(subscription, -sum(charge["amount"] for charge in charges))
        self._event("unbilled_charges_invoiced", unbilled_charges=charges, invoice=invoice)

    def _delete_unbilled(self, charges: list[Resource]) -> None:
        for charge in charges:
            charge["deleted"] = True
            self._stamp(charge)
            self._note_unbilled(self.subscriptions[charge["subscription_id"]], -charge["amount"])
        if charges:
            self._event("unbilled_charges_deleted", unbilled_charges=charges)

    def _note_unbilled(self, subscription: Resource, change: int) -> None:
        customer = self.customers[subscription["customer_id"]]
        self._move_balance(customer, "unbilled_charges", subscription["currency_code"], change)


def lines_of(charges: list[Resource]) -> list[Resource]:
    """Invoice lines for these unbilled charges."""
    return [
        {**{name: value for name, value in charge.items() if name not in ONLY_UNBILLED}, "object": "line_item"}
        for charge in charges
    ]


def _entity_description(row: Resource) -> Resource:
    return {"entity_description": row["entity_description"]} if "entity_description" in row else {}


def _discount(invoice: Resource, discount: Resource) -> None:
    """Takes a discount off the invoice, or off the lines of one price, but never more than there is."""
    price_id = discount.get("item_price_id") if discount["apply_on"] == "specific_item_price" else None
    lines = [line for line in invoice["line_items"] if price_id in (None, line.get("entity_id"))]
    base = sum(line["amount"] - line["discount_amount"] for line in lines)
    amount = discount.get("amount")
    if amount is None:
        amount = int((base * discount["percentage"] / Decimal(100)).quantize(Decimal(1), ROUND_HALF_UP))
    amount = min(amount, base)
    level = "document_level_discount" if price_id is None else "item_level_discount"
    row = {"amount": amount, "description": "Discount", "entity_type": level, "object": "discount"}
    invoice["discounts"].append({**row, **({"entity_id": price_id} if price_id else {})})
    discount_lines(invoice, amount, level, price_id)
