"""m3ter's events, and the signed webhooks that tell of an approval."""

import copy
import hashlib
import hmac
from typing import Any

from connector.sandbox import wire
from connector.sandbox.component import Resource
from connector.sandbox.m3ter.accounts import Rule
from connector.sandbox.m3ter.checks import iso
from connector.sandbox.m3ter.organization import Organization
from connector.sandbox.webhooks import Delivery, Message


class Notifications(Organization):
    """Who is told what."""

    def add_webhook_destination(self, url: str, secret: str = "webhook-secret", **fields: Any) -> Resource:  # noqa: S107
        """A new destination that hears of every approved bill."""
        credentials = {"type": "M3TER_SIGNED_REQUEST", "apiKey": "webhook-key", "secret": secret}
        body = {"name": "Connector", "description": "Approved bills", "url": url, "credentials": credentials}
        return self.create("webhooks", {**body, **fields})

    def webhook_message(self, event_id: str, destination_id: str, _: int) -> Message | None:
        """The webhook as it is sent now, or None when the event is gone or its destination no longer told."""
        destination, event = self.webhooks.get(destination_id), self.events.get(event_id)
        if destination is None or event is None or not self._is_told(destination):
            return None
        body = wire.dump(event).encode()
        signature = hmac.new(destination["credentials"]["secret"].encode(), body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", self.settings.signature_header: signature}
        return Message(destination["url"], headers, body)

    def note_delivery(self, destination_id: str, delivery: Delivery) -> None:
        """Marks the event as actioned once it was taken; disables what fails too often."""
        event = self.events.get(delivery.event_id)
        if event is not None and delivery.succeeded:
            event["dtActioned"] = iso(delivery.at)
        most = self.settings.failures_before_disabling
        if not delivery.succeeded and most is not None and delivery.attempt >= most:
            self._disable(destination_id)

    def enable_integration(self, integration_id: str) -> Resource:
        """The integration configuration, at work again after it was disabled."""
        integration = self.find("integrations", integration_id)
        integration["enabled"] = True
        self._modified(integration)
        return copy.deepcopy(integration)

    def _disable(self, destination_id: str) -> None:
        """Disables the configurations that lead to the destination, or the destination itself where there are none."""
        destination = self.webhooks.get(destination_id)
        if destination is None or not self._is_told(destination):
            return
        integrations = self._integrations_to(destination)
        for integration in integrations:
            integration["enabled"] = False
            self._modified(integration)
        if not integrations:
            destination["active"] = False
            self._modified(destination)
        for entity in integrations or [destination]:
            shown = {name: value for name, value in entity.items() if name != "credentials"}
            self._event("integration.disabled.error", {"newDto": shown})

    def _is_told(self, destination: Resource) -> bool:
        integrations = self._integrations_to(destination)
        enabled = not integrations or any(integration["enabled"] for integration in integrations)
        return bool(destination["active"]) and enabled

    def _integrations_to(self, destination: Resource) -> list[Resource]:
        return [row for row in self.integrations.values() if row.get("destinationId") == destination["id"]]

    def _bill_event(self, bill: Resource, before: Resource | None) -> None:
        name = "billing.bill.created" if before is None else "billing.bill.updated"
        event = self._event(name, {"newDto": bill} if before is None else {"newDto": bill, "oldDto": before})
        if before is None or before["status"] == "APPROVED" or bill["status"] != "APPROVED":
            return
        for destination in self.webhooks.values():
            if self._is_told(destination):
                self._webhook_queue.post("m3ter", event["id"], name, destination["id"])

    def _event(self, name: str, data: Resource) -> Resource:
        event_id = self._ids.uuid()
        self._last_sequence += 1
        self._sequence[event_id] = self._last_sequence
        event: Resource = {
            "id": event_id,
            "eventName": name,
            "eventTime": iso(self._clock.now()),
            "m3terEvent": {"eventData": copy.deepcopy(data)},
        }
        self.events[event_id] = event
        return event

    def _rules(self) -> dict[str, Rule]:
        return {**super()._rules(), "webhooks": self._destination, "notifications": _active, "integrations": _enabled}

    def _destination(self, row: Resource, current: Resource | None) -> Resource:
        known = current["credentials"] if current else {"id": self._ids.uuid()}
        credentials = {"id": known["id"], "version": 1, "destination": "WEBHOOK", **row["credentials"]}
        return {"active": True, **row, "credentials": credentials}


def _active(row: Resource, _: Resource | None) -> Resource:
    return {"active": True, **row}


def _enabled(row: Resource, current: Resource | None) -> Resource:
    return {**row, "enabled": current is None or current["enabled"], "triggerType": "EVENT"}
