"""Chargebee's moves: a subscription that goes over to another customer and keeps its id."""

import copy

from connector.sandbox.chargebee.errors import wrong_state, wrong_value
from connector.sandbox.chargebee.ramps import Ramps
from connector.sandbox.component import Resource

UNSETTLED = ("pending", "posted", "payment_due")


class Moves(Ramps):
    """Subscriptions that change hands."""

    def move_subscription(self, id: str, to_customer_id: str) -> Resource:
        """The subscription, moved now, or on its way where the site takes time for it."""
        subscription = self.to_change("subscription", id)
        self._needs_one_frequency()
        self.find("customer", to_customer_id)
        if to_customer_id == subscription["customer_id"]:
            raise wrong_value("to_customer_id", "is the customer who has the subscription")
        if id in self.moves:
            raise wrong_state("The subscription is already being moved", "subscription_id")
        complaint = self._why_not(subscription, to_customer_id)
        if complaint:
            raise wrong_state(complaint, "subscription_id")
        if self.settings.move_seconds:
            self.moves[id] = self._clock.seconds() + self.settings.move_seconds, to_customer_id
        else:
            self._move(subscription, to_customer_id)
        return copy.deepcopy(subscription)

    def _why_not(self, subscription: Resource, to_customer_id: str) -> str | None:
        """What stands in the way of the move."""
        for invoice in self.invoices.values():
            if invoice["deleted"] or invoice.get("subscription_id") != subscription["id"]:
                continue
            if invoice["status"] in UNSETTLED:
                return f"The subscription has an invoice that is {invoice['status']}"
        customers = [self.customers[customer_id] for customer_id in (subscription["customer_id"], to_customer_id)]
        if any(customer.get("consolidated_invoicing") for customer in customers):
            return "A customer's invoices are consolidated"
        if any(self._has_relatives(customer) for customer in customers):
            return "A customer belongs to a hierarchy"
        return None

    def _has_relatives(self, customer: Resource) -> bool:
        return "relationship" in customer or any(
            row.get("relationship", {}).get("parent_id") == customer["id"] for row in self.customers.values()
        )

    def _arrive(self, now: int) -> None:
        """The moves whose time has come; one that is no longer possible fails."""
        for subscription_id, (due, to_customer_id) in list(self.moves.items()):
            if due > now:
                continue
            del self.moves[subscription_id]
            subscription = self.subscriptions[subscription_id]
            if subscription["deleted"]:
                continue
            if self._why_not(subscription, to_customer_id):
                self._event("subscription_movement_failed", subscription=subscription)
            else:
                self._move(subscription, to_customer_id)

    def _move(self, subscription: Resource, to_customer_id: str) -> None:
        self._event("subscription_moved_out", subscription=subscription)
        subscription["customer_id"] = to_customer_id
        self._stamp(subscription)
        self._event("subscription_moved_in", subscription=subscription)
        self._subscription_event("subscription_changed", subscription)
