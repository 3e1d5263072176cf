"""Chargebee's ramps: changes to a subscription's items that are planned for a day to come."""

import copy
from typing import Any

from connector.sandbox.chargebee.errors import not_found, wrong_state, wrong_value
from connector.sandbox.chargebee.subscriptions import Subscriptions, merged, only_plan
from connector.sandbox.component import Resource

GROUPS = ("items_to_add", "items_to_update")


class Ramps(Subscriptions):
    """What subscriptions will become, step by step."""

    def create_ramp(self, subscription_id: str, effective_from: int, **changes: Any) -> Resource:
        """A new ramp, which takes effect by itself when its time comes."""
        subscription = self.to_change("subscription", subscription_id)
        if subscription["status"] in ("cancelled", "transferred"):
            raise wrong_state(f"The subscription is {subscription['status']}", "subscription_id")
        ramp = self._planned_ramp(subscription, effective_from, **changes)
        self._keep_ramp(ramp, "subscription_ramp_created")
        return copy.deepcopy(ramp)

    def update_ramp(self, id: str, effective_from: int, **changes: Any) -> Resource:
        """The ramp, planned anew: what is not sent is part of it no more."""
        before = self._unapplied_ramp(id)
        status, before["status"] = before["status"], "draft"
        try:
            subscription = self.subscriptions[before["subscription_id"]]
            planned = self._planned_ramp(subscription, effective_from, **changes)
        finally:
            before["status"] = status
        ramp = {**planned, "id": id, "created_at": before["created_at"]}
        self._keep_ramp(ramp, "subscription_ramp_updated")
        return copy.deepcopy(ramp)

    def delete_ramp(self, id: str) -> Resource:
        """The ramp, deleted before its time came."""
        ramp = self._unapplied_ramp(id)
        self._drop_ramp(ramp)
        return copy.deepcopy(ramp)

    def _unapplied_ramp(self, ramp_id: str) -> Resource:
        ramp = self.find("ramp", ramp_id)
        self.to_change("subscription", ramp["subscription_id"])
        if ramp["status"] not in ("scheduled", "draft"):
            raise wrong_state(f"The ramp is {ramp['status']}", "ramp_id")
        return ramp

    def _planned_ramp(
        self,
        subscription: Resource,
        effective_from: int,
        items_to_add: list[Resource] | None = None,
        items_to_update: list[Resource] | None = None,
        items_to_remove: list[str] | None = None,
        description: str | None = None,
    ) -> Resource:
        if effective_from <= self._clock.seconds():
            raise wrong_value("effective_from", "should lie in the future")
        if any(row["effective_from"] == effective_from for row in self._scheduled_ramps(subscription["id"])):
            raise wrong_value("effective_from", "is the time of another ramp")
        ramp: Resource = {
            "id": self._ids.short("ramp_"),
            "subscription_id": subscription["id"],
            "effective_from": effective_from,
            "status": "scheduled",
            "items_to_add": [self._subscription_item(row) for row in items_to_add or []],
            "items_to_update": [self._subscription_item(row) for row in items_to_update or []],
            "items_to_remove": items_to_remove or [],
            "created_at": self._clock.seconds(),
            "deleted": False,
            "object": "ramp",
            **({"description": description} if description else {}),
        }
        before = {**subscription, "subscription_items": self._items_before(subscription, effective_from)}
        self._same_currency({**subscription, "subscription_items": self._ramped(before, ramp)})
        return ramp

    def _keep_ramp(self, ramp: Resource, event_type: str) -> None:
        self.ramps[ramp["id"]] = ramp
        self._stamp(ramp)
        self._note_schedule(self.subscriptions[ramp["subscription_id"]])
        self._event(event_type, ramp=ramp)

    def _items_before(self, subscription: Resource, moment: int) -> list[Resource]:
        """The items as earlier ramps will have left them."""
        items = subscription["subscription_items"]
        for effective_from, ramp in self._due_ramps():
            if ramp["subscription_id"] == subscription["id"] and effective_from < moment:
                items = self._ramped_as_far_as_possible({**subscription, "subscription_items": items}, ramp)
        return list(items)

    def _ramped(self, subscription: Resource, ramp: Resource) -> list[Resource]:
        """The subscription's items after the ramp; raises Refused where it names items that are not there."""
        held = [item["item_price_id"] for item in subscription["subscription_items"]]
        changed = [item["item_price_id"] for item in ramp["items_to_update"]] + ramp["items_to_remove"]
        for price_id in changed:
            if price_id not in held:
                raise not_found("item_price", price_id)
        kept = [
            item for item in subscription["subscription_items"] if item["item_price_id"] not in ramp["items_to_remove"]
        ]
        items = merged(kept, [item for group in GROUPS for item in ramp[group]])
        only_plan(items)
        return items

    def _apply_ramp(self, ramp: Resource) -> None:
        """Only the ramp's own event tells of it: whoever wants the subscription's new items reads them again."""
        subscription = self.subscriptions[ramp["subscription_id"]]
        ramp["status"] = "succeeded"
        self._change(subscription, self._ramped_as_far_as_possible(subscription, ramp), {})
        self._note_schedule(subscription)
        self._stamp(subscription)
        self._stamp(ramp)
        self._event("subscription_ramp_applied", ramp=ramp)

    def _ramped_as_far_as_possible(self, subscription: Resource, ramp: Resource) -> list[Resource]:
        # A change since then may have taken away what the ramp wanted to change.
        held = {item["item_price_id"] for item in subscription["subscription_items"]}
        left = {
            **ramp,
            "items_to_update": [item for item in ramp["items_to_update"] if item["item_price_id"] in held],
            "items_to_remove": [price_id for price_id in ramp["items_to_remove"] if price_id in held],
        }
        return self._ramped(subscription, left)

    def _due_ramps(self) -> list[tuple[int, Resource]]:
        """The ramps still to come, with their times, the next one first."""
        rows = [(due, row) for row in self.ramps.values() if (due := ramp_due(row)) is not None]
        return sorted(rows, key=lambda pair: pair[0])


def ramp_due(ramp: Resource) -> int | None:
    """When the ramp takes effect, if it still will."""
    return int(ramp["effective_from"]) if ramp["status"] == "scheduled" and not ramp["deleted"] else None
