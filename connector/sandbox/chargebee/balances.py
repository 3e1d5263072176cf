"""What Chargebee owes its customers: promotional credits, and how each balance is kept per currency."""

import copy
from typing import Any

from connector.sandbox.chargebee.errors import wrong_value
from connector.sandbox.chargebee.hierarchy import Hierarchy
from connector.sandbox.component import Resource

BALANCES = ("promotional_credits", "refundable_credits", "excess_payments", "unbilled_charges")


class Balances(Hierarchy):
    """Customers' balances."""

    def add_promotional_credits(
        self, customer_id: str, amount: int, description: str, currency_code: str | None = None, **fields: Any
    ) -> Resource:
        """Credits that the customer's next invoice takes before tax, whichever subscription it is of."""
        self.to_change("customer", customer_id)
        return self._promotional_credit(customer_id, amount, description, currency_code, fields)

    def deduct_promotional_credits(
        self, customer_id: str, amount: int, description: str, currency_code: str | None = None, **fields: Any
    ) -> Resource:
        """Credits taken away again."""
        self.to_change("customer", customer_id)
        return self._promotional_credit(customer_id, -amount, description, currency_code, fields)

    def set_promotional_credits(
        self, customer_id: str, amount: int, description: str, currency_code: str | None = None, **fields: Any
    ) -> Resource:
        """Credits changed to be this much."""
        customer = self.to_change("customer", customer_id)
        held = self._balance(customer, self._currency(currency_code))["promotional_credits"]
        return self._promotional_credit(customer_id, amount - held, description, currency_code, fields)

    def _promotional_credit(
        self, customer_id: str, change: int, description: str, currency_code: str | None, fields: Resource
    ) -> Resource:
        customer = self.find("customer", customer_id)
        currency = self._currency(currency_code)
        if self._balance(customer, currency)["promotional_credits"] + change < 0:
            raise wrong_value("amount", "is more than the customer's promotional credits")
        balance = self._move_balance(customer, "promotional_credits", currency, change)
        credit: Resource = {
            "id": self._ids.short("pc_"),
            "customer_id": customer_id,
            "type": "increment" if change >= 0 else "decrement",
            "amount": abs(change),
            "currency_code": currency,
            "description": description,
            "credit_type": "general",
            "closing_balance": balance,
            "done_by": self._actor[1] or "system",
            "created_at": self._clock.seconds(),
            "object": "promotional_credit",
            **fields,
        }
        self.promotional_credits[credit["id"]] = credit
        event_type = "promotional_credits_added" if change >= 0 else "promotional_credits_deducted"
        self._event(event_type, customer=customer, promotional_credit=credit)
        return copy.deepcopy(credit)

    def _currency(self, currency_code: str | None) -> str:
        """The currency named, which a site with several wants to be named."""
        known = self.settings.currencies
        if currency_code is None and len(known) > 1:
            raise wrong_value("currency_code", "cannot be blank on a site with several currencies")
        if currency_code is not None and currency_code not in known:
            raise wrong_value("currency_code", f"{currency_code} is not configured on this site")
        return currency_code or known[0]

    def _balance(self, customer: Resource, currency: str) -> Resource:
        nothing: Resource = {
            "currency_code": currency,
            "balance_currency_code": currency,
            **dict.fromkeys(BALANCES, 0),
            "object": "customer_balance",
        }
        return next((row for row in customer.get("balances", []) if row["currency_code"] == currency), nothing)

    def _move_balance(self, customer: Resource, name: str, currency: str, change: int) -> int:
        """Changes the customer's balance, and says what it is now."""
        balance = self._balance(customer, currency)
        rows = customer.setdefault("balances", [])
        if not any(row is balance for row in rows):
            rows.append(balance)
        balance[name] += change
        # All rates of exchange are 1 here.
        customer[name] = customer.get(name, 0) + change
        self._stamp(customer)
        return int(balance[name])

    def _use_promotional_credits(self, invoice: Resource) -> None:
        """Whoever's invoice comes first takes them."""
        customer = self.customers[invoice["customer_id"]]
        held = self._balance(customer, invoice["currency_code"])["promotional_credits"]
        used = min(held, invoice["total"])
        if used:
            invoice["discounts"].append(
                {
                    "entity_type": "promotional_credits",
                    "discount_type": "fixed_amount",
                    "amount": used,
                    "description": "Promotional Credits",
                    "object": "discount",
                }
            )
            discount_lines(invoice, used, "promotional_credits")
            text = f"Applied to invoice {invoice['id']}"
            self._promotional_credit(customer["id"], -used, text, invoice["currency_code"], {})

    def _return_promotional_credits(self, invoice: Resource) -> None:
        used = sum(row["amount"] for row in invoice["discounts"] if row["entity_type"] == "promotional_credits")
        if used:
            text = f"Invoice {invoice['id']} voided"
            self._promotional_credit(invoice["customer_id"], used, text, invoice["currency_code"], {})


def add_up(invoice: Resource) -> None:
    """The totals of an invoice that nothing was paid or credited on yet."""
    total = sum(line["amount"] - line["discount_amount"] for line in invoice["line_items"])
    for name in ("sub_total", "total", "amount_due", "amount_to_collect", "new_sales_amount"):
        invoice[name] = total


def discount_lines(invoice: Resource, amount: int, kind: str, price_id: str | None = None) -> None:
    """Spreads a discount over the lines, of one price or all, from the first on as far as each goes."""
    for line in invoice["line_items"]:
        if price_id is not None and line.get("entity_id") != price_id:
            continue
        part = min(amount, line["amount"] - line["discount_amount"])
        if part <= 0:
            continue
        amount -= part
        line["discount_amount"] += part
        discount = {"line_item_id": line["id"], "discount_type": kind, "discount_amount": part}
        invoice["line_item_discounts"].append({**discount, "object": "line_item_discount"})
    add_up(invoice)
