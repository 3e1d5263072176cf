"""Chargebee's subscriptions: their terms, their changes, and the renewals that time brings."""

import copy
from datetime import UTC, datetime
from typing import Any

from connector.sandbox.chargebee.catalogue import charge, shown_name
from connector.sandbox.chargebee.charges import lines_of
from connector.sandbox.chargebee.errors import Refused, wrong_state, wrong_value
from connector.sandbox.chargebee.mrr import Mrr
from connector.sandbox.chargebee.site import set_fields
from connector.sandbox.chargebee.terms import term_end
from connector.sandbox.component import Resource

RUNNING = ("active", "non_renewing")
# What changes at once, whenever the rest of a change does.
AT_ONCE = ("auto_collection", "po_number", "shipping_address")


class Subscriptions(Mrr):
    """What is sold again each term."""

    def create_subscription(
        self,
        customer_id: str,
        item_price_ids: list[str] | None = None,
        id: str | None = None,
        create_pending_invoices: bool = True,
        *,
        subscription_items: list[Resource] | None = None,
        start_date: int | None = None,
        trial_end: int | None = None,
        first_invoice_pending: bool = False,
        coupon_ids: list[str] | None = None,
        contract_term: Resource | None = None,
        **fields: Any,
    ) -> Resource:
        """A new subscription: future, in trial, or active with its first invoice, which usually is not pending."""
        self.find("customer", customer_id)
        subscription_id = id or self._ids.short()
        self._must_be_new("subscription", self.subscriptions, subscription_id)
        if first_invoice_pending and not create_pending_invoices:
            raise wrong_value("first_invoice_pending", "needs create_pending_invoices")
        rows = subscription_items or [{"item_price_id": price_id} for price_id in item_price_ids or []]
        items = [self._subscription_item(row) for row in rows]
        price = self.item_prices[only_plan(items)["item_price_id"]]
        now = self._clock.seconds()
        subscription: Resource = {
            "id": subscription_id,
            "customer_id": customer_id,
            "currency_code": price["currency_code"],
            "billing_period": price["period"],
            "billing_period_unit": price["period_unit"],
            "status": "future",
            "created_at": now,
            "has_scheduled_changes": False,
            "has_scheduled_advance_invoices": False,
            "override_relationship": False,
            "decommissioned": False,
            "channel": "web",
            "create_pending_invoices": create_pending_invoices or any(self._metered(item) for item in items),
            "deleted": False,
            "object": "subscription",
            "subscription_items": items,
        }
        set_fields(subscription, fields)
        self._same_currency(subscription)
        if coupon_ids:
            subscription["coupons"] = self._with_coupons([], coupon_ids)
        self.subscriptions[subscription_id] = subscription
        invoice = None
        if start_date is not None and start_date > now:
            subscription["start_date"] = subscription["next_billing_at"] = start_date
        else:
            subscription["started_at"] = now if start_date is None else start_date
            invoice = self._begin(subscription, trial_end, pending=first_invoice_pending)
        if contract_term is not None:
            self._begin_contract(subscription, contract_term)
        self._stamp(subscription)
        event_type = backdated("subscription_created", subscription.get("started_at"), now)
        self._subscription_event(event_type, subscription, invoice)
        if contract_term is not None:
            self._event("contract_term_created", contract_term=subscription["contract_term"])
        return copy.deepcopy(subscription)

    def update_subscription(
        self,
        id: str,
        item_price_ids: list[str] | None = None,
        *,
        subscription_items: list[Resource] | None = None,
        replace_items_list: bool = True,
        end_of_term: bool = False,
        changes_scheduled_at: int | None = None,
        reactivate: bool = True,
        reactivate_from: int | None = None,
        coupon_ids: list[str] | None = None,
        replace_coupon_list: bool = False,
        contract_term: Resource | None = None,
        **fields: Any,
    ) -> Resource:
        """The subscription, changed at once without proration, at the end of its term, or at the time given.

        Items replace the list unless told to join it. A change that was scheduled before is dropped in any case.
        """
        subscription = self.to_change("subscription", id)
        rows = subscription_items or [{"item_price_id": price_id} for price_id in item_price_ids or []]
        sent = [self._subscription_item(row) for row in rows]
        items = merged([] if replace_items_list else subscription["subscription_items"], sent)
        if sent:
            only_plan(items)
            self._same_currency({**subscription, "subscription_items": items})
        status = subscription["status"]
        if status == "transferred" or (status == "cancelled" and not ((sent or coupon_ids) and reactivate)):
            raise wrong_state(f"The subscription is {status}", "subscription_id")
        now = self._clock.seconds()
        if changes_scheduled_at is not None and changes_scheduled_at < subscription.get("current_term_start", now):
            raise wrong_value("changes_scheduled_at", "should not lie before the current term")
        if coupon_ids is not None:
            held = [] if replace_coupon_list else subscription.get("coupons", [])
            fields["coupons"] = self._with_coupons(held, coupon_ids) or None
        self.scheduled_changes.pop(id, None)
        self._set_ramps_aside(id)
        self._note_schedule(subscription)
        at_once = {name: fields.pop(name) for name in list(fields) if name in AT_ONCE or name.startswith("cf_")}
        readdressed = "shipping_address" in at_once
        set_fields(subscription, at_once)
        if contract_term is not None:
            self._end_contract(subscription, "cancelled")
            self._begin_contract(subscription, contract_term)
        if end_of_term or (changes_scheduled_at or 0) > now:
            self.scheduled_changes[id] = {
                "at": changes_scheduled_at,
                "subscription_items": items if sent else None,
                "fields": fields,
            }
            self._note_schedule(subscription)
            self._stamp(subscription)
            self._subscription_event("subscription_changes_scheduled", subscription)
        elif subscription["status"] == "cancelled":
            self._change(subscription, items if sent else None, fields)
            self.reactivate_subscription(id, reactivate_from)
        elif sent or fields or not readdressed:
            self._change(subscription, items if sent else None, fields)
            self._stamp(subscription)
            self._subscription_event(backdated("subscription_changed", changes_scheduled_at, now), subscription)
        if readdressed:
            self._stamp(subscription)
            self._subscription_event("subscription_shipping_address_updated", subscription)
        if contract_term is not None:
            self._event("contract_term_created", contract_term=subscription["contract_term"])
        return copy.deepcopy(subscription)

    def remove_coupons(self, id: str, coupon_ids: list[str] | None = None) -> Resource:
        """The subscription without these coupons, or without any."""
        subscription = self.to_change("subscription", id)
        held = subscription.get("coupons", [])
        left = [] if coupon_ids is None else self._without_coupons(held, coupon_ids)
        set_fields(subscription, {"coupons": left or None})
        self._stamp(subscription)
        self._subscription_event("subscription_changed", subscription)
        return copy.deepcopy(subscription)

    def cancel_subscription(
        self,
        id: str,
        end_of_term: bool = False,
        *,
        cancel_at: int | None = None,
        reason_code: str | None = None,
        unbilled_charges_option: str | None = None,
    ) -> Resource:
        """The subscription, cancelled now, at the end of its term, or at the time given (which may be past)."""
        subscription = self.to_change("subscription", id)
        if subscription["status"] in ("cancelled", "transferred"):
            raise wrong_state(f"The subscription is {subscription['status']}", "subscription_id")
        now = self._clock.seconds()
        moment = subscription.get("current_term_end", now) if end_of_term else now if cancel_at is None else cancel_at
        if moment < subscription.get("current_term_start", 0):
            raise wrong_value("cancel_at", "should not lie before the current term")
        if reason_code:
            subscription["cancel_reason_code"] = reason_code
        subscription["cancelled_at"] = moment
        if moment > now:
            subscription["cancel_schedule_created_at"] = now
            self._drop_ramps(id, moment)
            if subscription["status"] == "active":
                subscription["status"] = "non_renewing"
            self._stamp(subscription)
            self._subscription_event("subscription_cancellation_scheduled", subscription)
        else:
            self._cancel(subscription, backdated=moment < now, unbilled=unbilled_charges_option)
        return copy.deepcopy(subscription)

    def reactivate_subscription(
        self, id: str, reactivate_from: int | None = None, trial_end: int | None = None
    ) -> Resource:
        """The cancelled subscription, active again: in its old term if that still runs, else in a new one."""
        subscription = self.to_change("subscription", id)
        if subscription["status"] != "cancelled":
            raise wrong_state("Only a cancelled subscription can be reactivated", "subscription_id")
        now = self._clock.seconds()
        start = now if reactivate_from is None else reactivate_from
        if not subscription["cancelled_at"] <= start <= now:
            raise wrong_value("reactivate_from", "should lie between the cancellation and now")
        set_fields(subscription, dict.fromkeys(("cancelled_at", "cancel_schedule_created_at", "cancel_reason_code")))
        invoice = None
        if trial_end is not None and trial_end > now:
            self._begin_trial(subscription, start, trial_end)
        elif start <= subscription.get("current_term_end", 0):
            subscription["activated_at"] = start
            subscription["status"] = "active"
            subscription["next_billing_at"] = subscription["current_term_end"]
        else:
            subscription["activated_at"] = start
            pending = subscription["create_pending_invoices"]
            invoice = self._begin_term(subscription, start, pending=pending, first=False)
        self._stamp(subscription)
        self._subscription_event(backdated("subscription_reactivated", start, now), subscription, invoice)
        return copy.deepcopy(subscription)

    def _begin(self, subscription: Resource, trial_end: int | None, *, pending: bool = False) -> Resource | None:
        """Starts the service, on trial if there is one."""
        started = subscription["started_at"]
        if trial_end is not None and trial_end > self._clock.seconds():
            self._begin_trial(subscription, started, trial_end)
            return None
        subscription["activated_at"] = started
        return self._begin_term(subscription, started, pending=pending, first=True)

    def _begin_trial(self, subscription: Resource, start: int, end: int) -> None:
        set_fields(subscription, {"status": "in_trial", "trial_start": start, "trial_end": end})
        subscription["next_billing_at"] = end

    def _begin_term(self, subscription: Resource, start: int, *, pending: bool, first: bool) -> Resource | None:
        """Opens a first term at `start`, which sets the day of the month, and bills it."""
        self.billing_days[subscription["id"]] = datetime.fromtimestamp(start, UTC).day
        subscription["status"] = "active"
        return self._bill_term(subscription, start, pending=pending, first=first)

    def _bill_term(self, subscription: Resource, start: int, *, pending: bool, first: bool) -> Resource | None:
        end = term_end(
            start,
            subscription["billing_period"],
            subscription["billing_period_unit"],
            self.billing_days[subscription["id"]],
        )
        # Terms that were billed in advance are not billed again.
        ahead = not first and subscription.get("next_billing_at", 0) > start
        subscription["current_term_start"] = start
        subscription["current_term_end"] = end
        if not ahead:
            subscription["next_billing_at"] = end
        items = [item for item in subscription["subscription_items"] if first or item["item_type"] != "charge"]
        return self._bill_items(subscription, [] if ahead else items, (start, end), pending=pending, first=first)

    def _bill_items(
        self, subscription: Resource, items: list[Resource], term: tuple[int, int], *, pending: bool, first: bool
    ) -> Resource | None:
        """An invoice of the items' new terms and of all that waits; None where there is nothing to bill yet."""
        lines = self._term_lines(subscription, items, term)
        waiting = self._waiting(subscription["id"])
        lines += lines_of(waiting)
        if not lines and not pending:
            return None
        invoice = self._new_invoice(subscription, lines, pending=pending, first=first, shared=True)
        self._taken(waiting, invoice)
        # Other subscriptions may still add to it.
        return None if invoice["id"] in self._gathering else invoice

    def _term_lines(self, subscription: Resource, items: list[Resource], term: tuple[int, int]) -> list[Resource]:
        draft = {"date": self._clock.seconds(), "customer_id": subscription["customer_id"]}
        billed = [item for item in items if not self._metered(item)]
        if self.settings.multi_frequency:
            billed = [item for item in billed if item.get("current_term_end", term[0]) <= term[0]]
        return [
            self._item_line(subscription, item, draft, self._item_term(subscription, item, term)) for item in billed
        ]

    def _item_term(self, subscription: Resource, item: Resource, term: tuple[int, int]) -> tuple[int, int]:
        """The subscription's term, or where items have their own the one that this item begins now."""
        price = self.item_prices[item["item_price_id"]]
        if not self.settings.multi_frequency or "period" not in price:
            return term
        end = term_end(term[0], price["period"], price["period_unit"], self.billing_days[subscription["id"]])
        item |= {"billing_period": price["period"], "billing_period_unit": price["period_unit"]}
        item |= {"current_term_start": term[0], "current_term_end": end, "next_billing_at": end}
        return term[0], end

    def _item_line(self, subscription: Resource, item: Resource, draft: Resource, term: tuple[int, int]) -> Resource:
        price = self.item_prices[item["item_price_id"]]
        figures = charge(price, item["quantity"], item.get("unit_price"), None)
        description = shown_name(price)
        line = self._line(f"{item['item_type']}_item_price", description, figures, draft, term, subscription["id"])
        return {**line, "entity_id": price["id"]}

    def _change(self, subscription: Resource, items: list[Resource] | None, fields: Resource) -> None:
        set_fields(subscription, fields)
        if items is None:
            return
        subscription["subscription_items"] = items
        before = subscription["billing_period"], subscription["billing_period_unit"]
        price = self.item_prices[only_plan(items)["item_price_id"]]
        subscription["billing_period"] = price["period"]
        subscription["billing_period_unit"] = price["period_unit"]
        if before != (price["period"], price["period_unit"]):
            self._end_contract(subscription, "cancelled")
        if any(self._metered(item) for item in items):
            subscription["create_pending_invoices"] = True

    def _take_effect(self, subscription: Resource) -> None:
        """What was scheduled becomes so."""
        change = self.scheduled_changes.pop(subscription["id"])
        self._note_schedule(subscription)
        self._change(subscription, change["subscription_items"], change["fields"])

    def _note_schedule(self, subscription: Resource) -> None:
        """Says on the subscription whether a change is coming; one at the end of the term has no time of its own."""
        change = self.scheduled_changes.get(subscription["id"])
        ramps = self._scheduled_ramps(subscription["id"])
        times = [ramp["effective_from"] for ramp in ramps]
        if change is not None and change["at"] is not None:
            times.append(change["at"])
        subscription["has_scheduled_changes"] = change is not None or bool(ramps)
        set_fields(subscription, {"changes_scheduled_at": min(times, default=None)})

    def _scheduled_ramps(self, subscription_id: str) -> list[Resource]:
        return [
            ramp
            for ramp in self.ramps.values()
            if ramp["subscription_id"] == subscription_id and ramp["status"] == "scheduled" and not ramp["deleted"]
        ]

    def _drop_ramps(self, subscription_id: str, since: int) -> None:
        """No ramp outlives the subscription."""
        for ramp in self._scheduled_ramps(subscription_id):
            if ramp["effective_from"] >= since:
                self._drop_ramp(ramp)

    def _set_ramps_aside(self, subscription_id: str) -> None:
        """What a change does to the ramps planned, as the site is set."""
        if self.settings.ramps_on_update == "delete":
            self._drop_ramps(subscription_id, 0)
        if self.settings.ramps_on_update == "draft":
            for ramp in self._scheduled_ramps(subscription_id):
                ramp["status"] = "draft"
                self._stamp(ramp)
                self._event("subscription_ramp_drafted", ramp=ramp)

    def _needs_one_frequency(self) -> None:
        if self.settings.multi_frequency:
            raise Refused(400, "Not where items have terms of their own", code="configuration_incompatible")

    def _drop_ramp(self, ramp: Resource) -> None:
        ramp["deleted"] = True
        self._stamp(ramp)
        self._note_schedule(self.subscriptions[ramp["subscription_id"]])
        self._event("subscription_ramp_deleted", ramp=ramp)

    def _renew(self, subscription: Resource) -> None:
        """A new term: what was scheduled for it takes effect, and it is billed."""
        change = self.scheduled_changes.get(subscription["id"])
        changes = change is not None and change["at"] is None
        if changes:
            self._take_effect(subscription)
        start = subscription["current_term_end"]
        invoice = self._bill_term(subscription, start, pending=subscription["create_pending_invoices"], first=False)
        self._stamp(subscription)
        if changes:
            self._subscription_event("subscription_changed", subscription)
        self._subscription_event("subscription_renewed", subscription, invoice)

    def _cancel(self, subscription: Resource, *, backdated: bool = False, unbilled: str | None = None) -> None:
        self.scheduled_changes.pop(subscription["id"], None)
        self._drop_ramps(subscription["id"], 0)
        self._note_schedule(subscription)
        subscription["status"] = "cancelled"
        subscription.pop("next_billing_at", None)
        pending = subscription["create_pending_invoices"]
        invoice = None
        if unbilled == "delete":
            self._delete_unbilled(self._waiting(subscription["id"]))
        if unbilled == "invoice" and self._waiting(subscription["id"]):
            invoice = self._bill_waiting(subscription, pending=pending)
        elif self.settings.pending_invoice_on_cancel and pending:
            invoice = self._new_invoice(subscription, [], pending=True, first=False)
        self._stamp(subscription)
        event_type = "subscription_canceled_with_backdating" if backdated else "subscription_cancelled"
        self._subscription_event(event_type, subscription, invoice)
        self._end_contract(subscription, "terminated")

    def _subscription_event(self, event_type: str, subscription: Resource, invoice: Resource | None = None) -> None:
        customer = self.customers[subscription["customer_id"]]
        self._note_mrr(subscription)
        self._event(event_type, subscription=subscription, customer=customer, invoice=invoice)
        if invoice is not None:
            self._announce(invoice)

    def _subscription_item(self, row: Resource) -> Resource:
        price = self.find("item_price", row["item_price_id"])
        item = {"item_price_id": price["id"], "item_type": price["item_type"], "quantity": 1, **row}
        if self._metered(item):
            del item["quantity"]
        else:
            figures = charge(price, item["quantity"], item.get("unit_price"), None)
            item |= {"unit_price": figures["unit_amount"], "amount": figures["amount"], "free_quantity": 0}
        return {**item, "object": "subscription_item"}

    def _metered(self, item: Resource) -> bool:
        return self.is_metered(item["item_price_id"])

    def _same_currency(self, subscription: Resource) -> None:
        for item in subscription["subscription_items"]:
            if self.item_prices[item["item_price_id"]]["currency_code"] != subscription["currency_code"]:
                raise wrong_value("subscription_items[item_price_id]", f"{item['item_price_id']} has another currency")


def only_plan(items: list[Resource]) -> Resource:
    """The plan among the items; raises Refused where there is none or more than one."""
    plans = [item for item in items if item["item_type"] == "plan"]
    if len(plans) != 1:
        raise wrong_value("subscription_items[item_price_id]", "should hold exactly one plan")
    return plans[0]


def merged(kept: list[Resource], sent: list[Resource]) -> list[Resource]:
    """The sent items join the kept ones: each replaces its own price, and a plan replaces the plan."""
    prices = {item["item_price_id"] for item in sent}
    has_plan = any(item["item_type"] == "plan" for item in sent)
    rest = [
        item for item in kept if item["item_price_id"] not in prices and not (has_plan and item["item_type"] == "plan")
    ]
    return [*rest, *sent]


def backdated(event_type: str, moment: int | None, now: int) -> str:
    """The event's name, which says so where something took effect in the past."""
    return event_type if moment is None or moment >= now else f"{event_type}_with_backdating"
