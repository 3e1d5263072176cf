"""Chargebee's monthly recurring revenue, which says some time later what a subscription is worth."""

from decimal import ROUND_HALF_UP, Decimal

from connector.sandbox.chargebee.contracts import Contracts
from connector.sandbox.component import Resource

MONTHS = {"year": Decimal(12), "month": Decimal(1), "week": Decimal(12) / 52, "day": Decimal(12) / 365}
COUNTED = ("active", "non_renewing")


class Mrr(Contracts):
    """What comes in each month."""

    def _note_mrr(self, subscription: Resource) -> None:
        """Remembers to count again where something changed."""
        wait = self.settings.mrr_seconds
        if wait is not None and _mrr(subscription) != subscription.get("mrr", 0):
            self.mrr_due.setdefault(subscription["id"], self._clock.seconds() + wait)

    def _count_mrr(self, subscription_id: str) -> None:
        del self.mrr_due[subscription_id]
        subscription = self.subscriptions[subscription_id]
        if subscription["deleted"] or _mrr(subscription) == subscription.get("mrr", 0):
            return
        subscription["mrr"] = _mrr(subscription)
        self._stamp(subscription)
        self._event("mrr_updated", subscription=subscription)


def _mrr(subscription: Resource) -> int:
    if subscription["status"] not in COUNTED:
        return 0
    amount = sum(item.get("amount", 0) for item in subscription["subscription_items"] if item["item_type"] != "charge")
    months = MONTHS[subscription["billing_period_unit"]] * subscription["billing_period"]
    return int((amount / months).quantize(Decimal(1), ROUND_HALF_UP))
