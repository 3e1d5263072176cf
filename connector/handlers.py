"""What each event means: event type → function, and what each kind of sync does: kind → function."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from connector import inbox, mirror, syncs
from connector.bills import approvals
from connector.bills.plan import invoice_wish
from connector.bills.push import sync_bill
from connector.customers import sync_customer
from connector.models import InboxEvent
from connector.subscriptions import sync_subscription
from connector.syncs import Work

KINDS: dict[str, Work] = {
    "customer": sync_customer,
    "subscription": sync_subscription,
    "bill": sync_bill,
}


@dataclass(frozen=True)
class Delivered:
    """One event as its handler gets it; answers go to `db`, in the dispatcher's transaction."""

    db: Session
    connection: str
    event_id: str
    content: dict[str, Any]
    now: datetime

    def keep(self, resource: str) -> str | None:
        """The id of this resource in the event, its state kept in the mirror; None when the event has none."""
        body = self.content.get(resource)
        if not isinstance(body, dict) or not isinstance(body.get("id"), str):
            return None
        mirror.keep(self.db, self.connection, resource, body, self.now)
        return str(body["id"])

    def ask(self, kind: str, subject: str) -> list[int]:
        """Open a sync for the subject, or join the one that is open."""
        trigger = f"event {self.event_id}"
        return [
            syncs.ask(self.db, connection=self.connection, kind=kind, subject=subject, trigger=trigger, now=self.now)
        ]


class Unusable(ValueError):
    """An event that lacks what its type promises; the text says what."""


Handler = Callable[[Delivered], list[int]]


def on_customer(event: Delivered) -> list[int]:
    """Make the customer's account right."""
    customer_id = event.keep("customer")
    if customer_id is None:
        raise Unusable("the event has no customer")
    return event.ask("customer", customer_id)


def on_subscription(event: Delivered) -> list[int]:
    """Make the subscription's account plans right; the customer and the invoice beside it are kept as seen."""
    event.keep("customer")
    subscription_id = event.keep("subscription")
    if subscription_id is None:
        raise Unusable("the event has no subscription")
    return event.ask("subscription", subscription_id) + on_invoice_beside(event)


def on_pending_invoice(event: Delivered) -> list[int]:
    """Let the bills go on that waited for an invoice of this subscription."""
    if event.keep("invoice") is None:
        raise Unusable("the event has no invoice")
    return on_invoice_beside(event)


def on_invoice_beside(event: Delivered) -> list[int]:
    """The bills that waited for the pending invoice in the event, if there is one."""
    invoice = event.content.get("invoice")
    if not isinstance(invoice, dict) or invoice.get("status") != "pending":
        return []
    lines = invoice.get("line_items") or []
    named = {invoice.get("subscription_id"), *(line.get("subscription_id") for line in lines if isinstance(line, dict))}
    return syncs.wake(event.db, event.connection, [invoice_wish(one) for one in sorted(filter(None, named))], event.now)


def on_bill(event: Delivered) -> list[int]:
    """Look at the bills that the notification names; one that names none leaves it to the poll."""
    return [sync for bill_id in approvals.bills_named(event.content) for sync in event.ask("bill", bill_id)]


HANDLERS: dict[tuple[str, str], Handler] = {
    ("chargebee", "customer_created"): on_customer,
    ("chargebee", "customer_changed"): on_customer,
    ("chargebee", "subscription_created"): on_subscription,
    ("chargebee", "subscription_started"): on_subscription,
    ("chargebee", "subscription_activated"): on_subscription,
    ("chargebee", "subscription_changed"): on_subscription,
    ("chargebee", "subscription_renewed"): on_subscription,
    ("chargebee", "subscription_cancellation_scheduled"): on_subscription,
    ("chargebee", "subscription_scheduled_cancellation_removed"): on_subscription,
    ("chargebee", "subscription_cancelled"): on_subscription,
    ("chargebee", "subscription_reactivated"): on_subscription,
    ("chargebee", "subscription_trial_extended"): on_subscription,
    ("chargebee", "subscription_changes_scheduled"): on_subscription,
    ("chargebee", "subscription_scheduled_changes_removed"): on_subscription,
    ("chargebee", "subscription_items_renewed"): on_subscription,
    ("chargebee", "subscription_pause_scheduled"): on_subscription,
    ("chargebee", "subscription_scheduled_pause_removed"): on_subscription,
    ("chargebee", "subscription_paused"): on_subscription,
    ("chargebee", "subscription_resumption_scheduled"): on_subscription,
    ("chargebee", "subscription_scheduled_resumption_removed"): on_subscription,
    ("chargebee", "subscription_resumed"): on_subscription,
    ("chargebee", "subscription_deleted"): on_subscription,
    ("chargebee", "pending_invoice_created"): on_pending_invoice,
    ("m3ter", "billing.bill.updated"): on_bill,
    ("m3ter", "notification"): on_bill,
}


def dispatch(db: Session, row: InboxEvent, now: datetime) -> list[int]:
    """Act on one inbox row and say what became of it; answers the syncs that it opened or woke."""
    handler = HANDLERS.get((row.source, row.event_type))
    row.handled_at = now
    if handler is None:
        row.status, row.reason = "ignored", "nobody handles this type of event"
        return []
    found = inbox.read_json(row.body)
    content = found["content"] if row.source == "chargebee" else found
    asked = handler(Delivered(db, row.connection, row.event_id, content, now))
    row.status = "done"
    return asked
