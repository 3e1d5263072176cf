"""What each event means: event type → function, and what each kind of sync does: kind → function."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from connector import inbox, mirror, syncs, transfers
from connector.balances import products, sold
from connector.balances.making import sync_balance_request
from connector.balances.sold import sync_top_up
from connector.balances.watching import sync_balance_watch
from connector.bills import approvals, final
from connector.bills.push import sync_bill
from connector.bills.receipts import sync_receipt
from connector.bills.routing import invoice_wish
from connector.bills.shadow import shadow_wish
from connector.clients.chargebee_objects import Invoice
from connector.customers import sync_customer
from connector.mirror import Backdated
from connector.models import InboxEvent
from connector.subscriptions import sync_subscription
from connector.syncs import Work

KINDS: dict[str, Work] = {
    "customer": sync_customer,
    "subscription": sync_subscription,
    "bill": sync_bill,
    "receipt": sync_receipt,
    "balance_request": sync_balance_request,
    "balance_watch": sync_balance_watch,
    sold.KIND: sync_top_up,
}


@dataclass(frozen=True)
class Delivered:
    """One event as its handler gets it; answers go to `db`, in the dispatcher's transaction."""

    db: Session
    connection: str
    event_id: str
    content: dict[str, Any]
    now: datetime
    remarks: list[str] = field(default_factory=list)

    def keep(self, resource: str, backdated: Backdated | None = None) -> str | None:
        """The id under which this resource of the event lives, its state kept in the mirror; None when it has none."""
        body = self.content.get(resource)
        if not isinstance(body, dict) or not isinstance(body.get("id"), str):
            return None
        mirror.keep(self.db, self.connection, resource, body, self.now, backdated=backdated)
        if resource in transfers.RESOURCES:
            return transfers.live_id(self.db, self.connection, resource, body["id"])
        return str(body["id"])

    def ask(self, kind: str, subject: str) -> list[int]:
        """Open a sync for the subject, or join the one that is open."""
        trigger = inbox.trigger_of(self.event_id)
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


def on_customer_gone(event: Delivered) -> list[int]:
    """End the plans of a deleted customer's subscriptions, which may stand in the event beside it."""
    asked = on_customer(event)
    gone = event.content.get("subscriptions") or event.content.get("subscription") or []
    for body in gone if isinstance(gone, list) else [gone]:
        beside = replace(event, content={"subscription": body})
        subscription_id = beside.keep("subscription")
        asked += beside.ask("subscription", subscription_id) if subscription_id is not None else []
    return asked


def on_subscription(event: Delivered) -> list[int]:
    """Make the subscription's account plans right; the customer and the invoice beside it are kept as seen."""
    return _on_subscription(event, None)


def on_backdated_change(event: Delivered) -> list[int]:
    """As any change, but it holds since the time that the event's charges and credits begin, if they agree on one."""
    return _on_subscription(event, Backdated(changed_since(event.content)))


def _on_subscription(event: Delivered, backdated: Backdated | None) -> list[int]:
    event.keep("customer")
    subscription_id = event.keep("subscription", backdated)
    if subscription_id is None:
        raise Unusable("the event has no subscription")
    return event.ask("subscription", subscription_id) + on_invoice_beside(event)


def changed_since(content: dict[str, Any]) -> datetime | None:
    """The start of all prorated lines that the change put on an invoice or credit note, when it is one and the same."""
    term_start, made_at = (content["subscription"].get(name) for name in ("current_term_start", "updated_at"))
    invoice, credit_notes = content.get("invoice") or {}, content.get("credit_notes") or []
    lines = [line for note in (invoice, *credit_notes) for line in note.get("line_items") or []]
    starts = {
        line.get("date_from") for line in lines if line.get("entity_type") in ("plan_item_price", "addon_item_price")
    }
    if len(starts) != 1 or not all(isinstance(one, int) for one in (term_start, made_at, *starts)):
        return None
    [start] = starts
    return datetime.fromtimestamp(start, UTC) if term_start <= start < made_at else None


def on_ramp_applied(event: Delivered) -> list[int]:
    """Ask Chargebee for the subscription whose ramp took effect: the event does not hold what it has become."""
    ramp = event.content.get("ramp")
    subscription_id = ramp.get("subscription_id") if isinstance(ramp, dict) else None
    if not isinstance(subscription_id, str):
        raise Unusable("the event has no ramp of a subscription")
    live_id = transfers.live_id(event.db, event.connection, "subscription", subscription_id)
    mirror.unsettle(event.db, event.connection, "subscription", live_id)
    return event.ask("subscription", live_id)


def on_transfer(event: Delivered) -> list[int]:
    """Hand what is the old copy's over to the live one, and make that right."""
    transfer = event.content.get("business_entity_transfer")
    names = ("resource_type", "resource_id", "active_resource_id")
    if isinstance(transfer, dict) and all(isinstance(transfer.get(name), str) for name in names):
        resource, old_id, live_id = (transfer[name] for name in names)
        if resource == "subscription":
            _transfer_customer_of(event, old_id)
        if resource in transfers.RESOURCES:
            transfers.note(event.db, event.connection, resource, old_id, live_id, event.now)
    asked = [sync for kind in transfers.RESOURCES if (found := event.keep(kind)) for sync in event.ask(kind, found)]
    if not asked:
        raise Unusable("the event has neither a customer nor a subscription")
    return asked


def _transfer_customer_of(event: Delivered, old_id: str) -> None:
    """A subscription whose live copy has another customer went with its customer, whose own event may come later."""
    before = mirror.seen(event.db, event.connection, "subscription", old_id) or {}
    old_customer, live_customer = (
        body.get("customer_id") for body in (before, event.content.get("subscription") or {})
    )
    if isinstance(old_customer, str) and isinstance(live_customer, str) and old_customer != live_customer:
        transfers.note(event.db, event.connection, "customer", old_customer, live_customer, event.now)


def on_item_price(event: Delivered) -> list[int]:
    """Keep what the catalogue says of the price."""
    if event.keep("item_price") is None:
        raise Unusable("the event has no item price")
    return []


def on_advance_invoices(event: Delivered) -> list[int]:
    """Say on the event that terms are invoiced in advance: then a bill may wait for an invoice that does not come."""
    event.remarks.append(
        "terms are invoiced in advance: renewal invoices may not come each term, and bills may wait for them"
    )
    return []


def on_nothing(event: Delivered) -> list[int]:
    """Nothing that m3ter bills by has changed, or it has not yet: the event that says so comes when it does."""
    return []


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


def on_invoice_closed(event: Delivered) -> list[int]:
    """Follow a pending invoice of ours to the id that it got when it was closed."""
    if event.keep("invoice") is None:
        raise Unusable("the event has no invoice")
    invoice = Invoice.from_json(event.content["invoice"])
    bills = final.adopt(event.db, event.connection, invoice)
    named = {invoice.subscription_id, *(line.subscription_id for line in invoice.lines)}
    wishes = [*map(final.close_wish, bills), *(shadow_wish(one) for one in sorted(filter(None, named)))]
    woken = syncs.wake(event.db, event.connection, wishes, event.now)
    return woken + [sync for bill_id in bills for sync in event.ask("receipt", bill_id)] + _top_ups_of(event)


def on_final_invoice(event: Delivered) -> list[int]:
    """Look at the top-ups on an invoice that was paid, changed, refunded or deleted; one without any opens nothing."""
    if event.keep("invoice") is None:
        raise Unusable("the event has no invoice")
    return _top_ups_of(event)


def on_payment(event: Delivered) -> list[int]:
    """As for the invoice in it, or the credit note; a payment that is on none yet says nothing."""
    if "invoice" in event.content:
        return on_final_invoice(event)
    return on_credit_note(event) if "credit_note" in event.content else []


def on_credit_note(event: Delivered) -> list[int]:
    """Look at the top-ups on the invoice that a credit note refers to, where it was looked at before."""
    note = event.content.get("credit_note")
    if not isinstance(note, dict):
        raise Unusable("the event has no credit note")
    invoice_id = note.get("reference_invoice_id")
    is_known = isinstance(invoice_id, str) and sold.is_known(event.db, event.connection, invoice_id)
    return event.ask(sold.KIND, str(invoice_id)) if is_known else []


def _top_ups_of(event: Delivered) -> list[int]:
    """The sync of the invoice's top-ups, where it has any; a pending one has a temporary id and nobody has paid for it."""
    invoice = event.content["invoice"]
    if invoice.get("status") == "pending":
        return []
    lines = [line for line in invoice.get("line_items") or [] if isinstance(line, dict)]
    prices = {line["entity_id"] for line in lines if isinstance(line.get("entity_id"), str)}
    # Where only the first of many lines came along, a top-up may be among the others.
    may_have = bool(invoice.get("line_items_next_offset")) and products.are_sold(event.db, event.connection)
    if (
        may_have
        or products.any_of(event.db, event.connection, prices)
        or sold.is_known(event.db, event.connection, invoice["id"])
    ):
        return event.ask(sold.KIND, str(invoice["id"]))
    return []


def on_bill(event: Delivered) -> list[int]:
    """Look at the bills that the notification names; one that names none leaves it to the poll."""
    return [sync for bill_id in approvals.bills_named(event.content) for sync in event.ask("bill", bill_id)]


CHARGEBEE: dict[str, Handler] = {
    "customer_created": on_customer,
    "customer_changed": on_customer,
    "hierarchy_created": on_customer,
    "hierarchy_deleted": on_customer,
    "customer_moved_in": on_customer,
    "customer_deleted": on_customer_gone,
    "customer_moved_out": on_customer,
    "customer_business_entity_changed": on_transfer,
    "subscription_business_entity_changed": on_transfer,
    "subscription_created": on_subscription,
    "subscription_created_with_backdating": on_subscription,
    "subscription_started": on_subscription,
    "subscription_activated": on_subscription,
    "subscription_activated_with_backdating": on_subscription,
    "subscription_trial_extended": on_subscription,
    "subscription_changed": on_subscription,
    "subscription_changes_scheduled": on_subscription,
    "subscription_scheduled_changes_removed": on_subscription,
    "subscription_cancellation_scheduled": on_subscription,
    "subscription_scheduled_cancellation_removed": on_subscription,
    "subscription_cancelled": on_subscription,
    "subscription_canceled_with_backdating": on_subscription,
    "subscription_reactivated": on_subscription,
    "subscription_reactivated_with_backdating": on_subscription,
    "subscription_renewed": on_subscription,
    "subscription_items_renewed": on_subscription,
    "subscription_paused": on_subscription,
    "subscription_pause_scheduled": on_subscription,
    "subscription_scheduled_pause_removed": on_subscription,
    "subscription_resumed": on_subscription,
    "subscription_resumption_scheduled": on_subscription,
    "subscription_scheduled_resumption_removed": on_subscription,
    "subscription_deleted": on_subscription,
    "subscription_moved_out": on_subscription,
    "subscription_moved_in": on_subscription,
    "subscription_movement_failed": on_subscription,
    "subscription_changed_with_backdating": on_backdated_change,
    "subscription_ramp_applied": on_ramp_applied,
    "subscription_ramp_created": on_nothing,
    "subscription_ramp_updated": on_nothing,
    "subscription_ramp_drafted": on_nothing,
    "subscription_ramp_deleted": on_nothing,
    "subscription_trial_end_reminder": on_nothing,
    "subscription_cancellation_reminder": on_nothing,
    "subscription_renewal_reminder": on_nothing,
    "subscription_advance_invoice_schedule_added": on_advance_invoices,
    "subscription_advance_invoice_schedule_updated": on_advance_invoices,
    "subscription_advance_invoice_schedule_removed": on_advance_invoices,
    "subscription_shipping_address_updated": on_nothing,
    "subscription_entitlements_created": on_nothing,
    "subscription_entitlements_updated": on_nothing,
    "mrr_updated": on_nothing,
    "contract_term_created": on_nothing,
    "contract_term_renewed": on_nothing,
    "contract_term_terminated": on_nothing,
    "contract_term_completed": on_nothing,
    "contract_term_cancelled": on_nothing,
    "item_price_created": on_item_price,
    "item_price_updated": on_item_price,
    "item_price_deleted": on_item_price,
    "pending_invoice_created": on_pending_invoice,
    "invoice_generated": on_invoice_closed,
    "invoice_generated_with_backdating": on_final_invoice,
    "invoice_updated": on_final_invoice,
    "invoice_deleted": on_final_invoice,
    "payment_succeeded": on_payment,
    "payment_refunded": on_payment,
    "credit_note_created": on_credit_note,
    "credit_note_created_with_backdating": on_credit_note,
    "credit_note_updated": on_credit_note,
    "credit_note_deleted": on_credit_note,
}
HANDLERS: dict[tuple[str, str], Handler] = {
    **{("chargebee", event_type): handler for event_type, handler in CHARGEBEE.items()},
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
    event = Delivered(db, row.connection, row.event_id, content, now)
    asked = handler(event)
    row.status, row.reason = "done", "; ".join(event.remarks) or None
    return asked
