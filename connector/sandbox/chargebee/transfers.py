"""Chargebee's transfers to another business entity: the live copy of what is transferred has a new id."""

import copy
from typing import Any

from connector.sandbox.chargebee.errors import wrong_state
from connector.sandbox.chargebee.moves import Moves
from connector.sandbox.component import Resource


class Transfers(Moves):
    """Customers and subscriptions that go over to another business entity."""

    def transfer_customer(self, id: str, business_entity_id: str, reason_code: str = "") -> Resource:
        """The transfer of a customer, with all of its subscriptions that still run."""
        customer = self.to_change("customer", id)
        if "active_id" in customer:
            raise wrong_state("The customer was transferred before", "active_resource_id")
        live = {**copy.deepcopy(customer), "id": self._ids.short(), "business_entity_id": business_entity_id}
        self.customers[live["id"]] = live
        customer["active_id"] = live["id"]
        transfer = self._transfer("customer", customer, live, reason_code)
        self._event("customer_business_entity_changed", business_entity_transfer=transfer, customer=live)
        for subscription in list(self.subscriptions.values()):
            gone = subscription["deleted"] or subscription["status"] in ("cancelled", "transferred")
            if subscription["customer_id"] == id and not gone:
                self._transfer_subscription(subscription, live["id"], business_entity_id, reason_code)
        return copy.deepcopy(transfer)

    def transfer_subscription(self, id: str, business_entity_id: str, reason_code: str = "") -> Resource:
        """The transfer of one subscription, whose customer stays."""
        subscription = self.to_change("subscription", id)
        if subscription["status"] in ("cancelled", "transferred"):
            raise wrong_state(f"The subscription is {subscription['status']}", "active_resource_id")
        customer_id = subscription["customer_id"]
        return copy.deepcopy(self._transfer_subscription(subscription, customer_id, business_entity_id, reason_code))

    def _transfer_subscription(
        self, subscription: Resource, customer_id: str, business_entity_id: str, reason_code: str
    ) -> Resource:
        live = {
            **copy.deepcopy(subscription),
            "id": self._ids.short(),
            "customer_id": customer_id,
            "business_entity_id": business_entity_id,
        }
        self.subscriptions[live["id"]] = live
        tables: list[dict[str, Any]] = [self.billing_days, self.scheduled_changes, self.moves, self.schedules]
        for table in tables:
            if subscription["id"] in table:
                table[live["id"]] = table.pop(subscription["id"])
        for row in (*self.ramps.values(), *self.unbilled_charges.values(), *self.contract_terms.values()):
            if row["subscription_id"] == subscription["id"]:
                row["subscription_id"] = live["id"]
        if "contract_term" in live:
            live["contract_term"] = subscription.pop("contract_term")
        subscription["status"] = "transferred"
        subscription["active_id"] = live["id"]
        subscription.pop("next_billing_at", None)
        transfer = self._transfer("subscription", subscription, live, reason_code)
        self._event("subscription_business_entity_changed", business_entity_transfer=transfer, subscription=live)
        return transfer

    def _transfer(self, kind: str, before: Resource, live: Resource, reason_code: str) -> Resource:
        self._stamp(before)
        self._stamp(live)
        transfer = {
            "id": self._ids.short("bet_"),
            "resource_type": kind,
            "resource_id": before["id"],
            "active_resource_id": live["id"],
            "destination_business_entity_id": live["business_entity_id"],
            "source_business_entity_id": before.get("business_entity_id"),
            "reason_code": reason_code,
            "created_at": self._clock.seconds(),
            "object": "business_entity_transfer",
        }
        return {name: value for name, value in transfer.items() if value}
