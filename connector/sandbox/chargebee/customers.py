"""Chargebee's customers."""

import copy
from typing import Any

from connector.sandbox.chargebee.catalogue import Catalogue
from connector.sandbox.chargebee.site import set_fields
from connector.sandbox.component import Resource

PERSONAL = ("first_name", "last_name", "company", "email", "phone", "billing_address", "vat_number")


class Customers(Catalogue):
    """Who buys."""

    def create_customer(self, id: str | None = None, **fields: Any) -> Resource:
        """A new customer."""
        customer_id = id or self._ids.short()
        self._must_be_new("customer", self.customers, customer_id)
        now = self._clock.seconds()
        customer: Resource = {
            "id": customer_id,
            "auto_collection": "on",
            "net_term_days": 0,
            "allow_direct_debit": False,
            "created_at": now,
            "taxability": "taxable",
            "pii_cleared": "active",
            "channel": "web",
            "card_status": "no_card",
            "promotional_credits": 0,
            "refundable_credits": 0,
            "excess_payments": 0,
            "unbilled_charges": 0,
            "preferred_currency_code": self.settings.currencies[0],
            "deleted": False,
            "object": "customer",
        }
        set_fields(customer, fields)
        self._stamp(customer)
        self.customers[customer_id] = customer
        self._event("customer_created", customer=customer)
        return copy.deepcopy(customer)

    def update_customer(self, id: str, **fields: Any) -> Resource:
        """The customer with these fields changed; None takes a field away."""
        customer = self.to_change("customer", id)
        set_fields(customer, fields)
        self._stamp(customer)
        self._event("customer_changed", customer=customer)
        return copy.deepcopy(customer)

    def clear_personal_data(self, id: str) -> Resource:
        """The customer, of whom nothing is left that says who it is."""
        customer = self.to_change("customer", id)
        for name in PERSONAL:
            customer.pop(name, None)
        customer["pii_cleared"] = "cleared"
        self._stamp(customer)
        self._event("customer_changed", customer=customer)
        return copy.deepcopy(customer)
