"""Chargebee's reminders: events some days before a trial's end, a cancellation, a renewal or a due date."""

from connector.sandbox.chargebee.advances import Advances
from connector.sandbox.component import Resource

DAY = 86_400
# By the status of a subscription: the moment that each reminder is about.
REMINDERS: dict[str, dict[str, str]] = {
    "in_trial": {"subscription_trial_end_reminder": "trial_end"},
    "active": {"subscription_renewal_reminder": "current_term_end"},
    "non_renewing": {"subscription_cancellation_reminder": "cancelled_at"},
}


class Reminders(Advances):
    """What is said beforehand."""

    def _next_reminder(self, subscription: Resource) -> tuple[int, str] | None:
        """When the next reminder of the subscription is due, and its event."""
        days = self.settings.reminder_days
        if days is None:
            return None
        for event_type, field in REMINDERS.get(subscription["status"], {}).items():
            if field in subscription and self.reminded.get(_key(subscription, event_type)) != subscription[field]:
                return subscription[field] - days * DAY, event_type
        return None

    def _remind(self, subscription: Resource, event_type: str) -> None:
        field = REMINDERS[subscription["status"]][event_type]
        self.reminded[_key(subscription, event_type)] = subscription[field]
        self._written["subscription", subscription["id"]] = None
        self._subscription_event(event_type, subscription)


def _key(subscription: Resource, event_type: str) -> str:
    return f"{event_type} {subscription['id']}"
