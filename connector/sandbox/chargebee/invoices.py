"""Chargebee's invoices: pending ones that take charges, and what closing, voiding and deleting do."""

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

from connector.sandbox.chargebee.balances import add_up
from connector.sandbox.chargebee.catalogue import OVERRIDABLE, charge, shown_name
from connector.sandbox.chargebee.credit_notes import UNPAID, of_invoice, on_invoice
from connector.sandbox.chargebee.dunning import Dunning
from connector.sandbox.chargebee.errors import not_found, wrong_state, wrong_value
from connector.sandbox.chargebee.site import set_fields
from connector.sandbox.component import Resource

DAY = 86_400
# What each subscription adds to an invoice.
PARTS = ("line_items", "discounts", "line_item_discounts")


class Invoices(Dunning):
    """What is owed."""

    def pending_invoices(self, subscription_id: str) -> list[Resource]:
        """The subscription's pending invoices, oldest first."""
        rows = self.invoices.values()
        return copy.deepcopy([row for row in rows if _is_open(row) and subscription_id in _subscriptions_of(row)])

    def add_charge_item(
        self,
        id: str,
        item_price_id: str,
        unit_price: int | None = None,
        quantity: int = 1,
        date_from: int | None = None,
        date_to: int | None = None,
        item_tiers: list[Resource] | None = None,
        comment: str | None = None,
        subscription_id: str | None = None,
    ) -> Resource:
        """The pending invoice with one more line, for a price of a charge item."""
        invoice = self._open_invoice(id)
        price, figures = self._priced(
            item_price_id, invoice["currency_code"], unit_price, quantity, item_tiers, "item_price"
        )
        line = self._line(
            "charge_item_price", shown_name(price), figures, invoice, (date_from, date_to), subscription_id
        )
        line["entity_id"] = item_price_id
        return self._add_line(invoice, line, comment)

    def add_charge(
        self,
        id: str,
        amount: int,
        description: str,
        date_from: int | None = None,
        date_to: int | None = None,
        comment: str | None = None,
        subscription_id: str | None = None,
    ) -> Resource:
        """The pending invoice with one more line, for no item in particular."""
        invoice = self._open_invoice(id)
        price = {"pricing_model": "flat_fee", "unit_amount": amount, "quantity": 1, "amount": amount}
        line = self._line("adhoc", description, price, invoice, (date_from, date_to), subscription_id)
        return self._add_line(invoice, line, comment)

    def delete_line_items(self, id: str, line_item_ids: list[str]) -> Resource:
        """The pending invoice without these lines."""
        invoice = self._open_invoice(id)
        for line_id in line_item_ids:
            if line_id not in [line["id"] for line in invoice["line_items"]]:
                raise not_found("line_item", line_id)
        invoice["line_items"] = [line for line in invoice["line_items"] if line["id"] not in line_item_ids]
        discounts = invoice["line_item_discounts"]
        invoice["line_item_discounts"] = [row for row in discounts if row["line_item_id"] not in line_item_ids]
        self._changed(invoice, "pending_invoice_updated")
        return copy.deepcopy(invoice)

    def close_invoice(
        self,
        id: str,
        comment: str | None = None,
        invoice_note: str | None = None,
        invoice_date: int | None = None,
        **custom_fields: Any,
    ) -> Resource:
        """The final invoice, under a number of its own: the draft's id leads nowhere from now on."""
        draft = self._open_invoice(id)
        if not draft["line_items"]:
            raise wrong_state("An invoice without lines cannot be closed", "invoice_id")
        now = self._clock.seconds()
        if invoice_date is not None and not draft["date"] <= invoice_date <= now:
            raise wrong_value("invoice_date", "should lie between the invoice's generation and now")
        del self.invoices[id]
        self._written["invoice", id] = None
        invoice = {**draft, "id": self.next_invoice_number(), "date": invoice_date or now, **custom_fields}
        if invoice_note:
            invoice["notes"] = [{"note": invoice_note}]
        if self.settings.line_ids_change_on_close:
            for line in invoice["line_items"]:
                before, line["id"] = line["id"], self._ids.short("li_")
                for row in invoice["line_item_discounts"]:
                    row["line_item_id"] = line["id"] if row["line_item_id"] == before else row["line_item_id"]
        for row in self.comments.values():
            if (row["entity_type"], row["entity_id"]) == ("invoice", id):
                row["entity_id"] = invoice["id"]
        self._comment("invoice", invoice["id"], comment)
        self.invoices[invoice["id"]] = invoice
        self._finalise(invoice)
        return copy.deepcopy(invoice)

    def void_invoice(self, id: str, comment: str | None = None, void_reason_code: str | None = None) -> Resource:
        """The invoice, void; a pending or paid one cannot be."""
        invoice = self.find("invoice", id)
        if invoice["status"] not in UNPAID:
            raise wrong_state(f"A {invoice['status']} invoice cannot be voided", "invoice_id")
        self._must_be_untouched(invoice)
        if self.settings.void_with_credit_note:
            owner = {**of_invoice(invoice), "create_reason_code": "Invoice Void"}
            lines = [self._credit_line({"amount": invoice["amount_due"], "description": "Invoice Void"})]
            note = self._new_credit_note("adjustment", owner, invoice["amount_due"], lines, self._clock.seconds())
            self._event("credit_note_created", credit_note=note)
            invoice["adjustment_credit_notes"].append(on_invoice(note))
        self._return_promotional_credits(invoice)
        self._leave_dunning(invoice, "stopped")
        invoice["status"] = "voided"
        invoice["voided_at"] = self._clock.seconds()
        invoice["amount_due"] = invoice["amount_to_collect"] = 0
        if void_reason_code:
            invoice["void_reason_code"] = void_reason_code
        self._comment("invoice", id, comment)
        self._changed(invoice, "invoice_updated")
        return copy.deepcopy(invoice)

    def delete_invoice(self, id: str, comment: str | None = None) -> Resource:
        """The invoice, deleted: from now on only a list with `include_deleted` shows it."""
        invoice = self.find("invoice", id)
        self._must_be_untouched(invoice)
        invoice["deleted"] = True
        self._leave_dunning(invoice, "stopped")
        subscription_id = invoice.get("subscription_id")
        owner = ("subscription", subscription_id) if subscription_id else ("customer", invoice["customer_id"])
        self._comment(owner[0], owner[1], comment)
        self._changed(invoice, "invoice_deleted")
        return copy.deepcopy(invoice)

    def _must_be_untouched(self, invoice: Resource) -> None:
        """Neither paid nor credited, not even in part."""
        if invoice["amount_paid"]:
            raise wrong_state("The invoice has payments", "invoice_id")
        if invoice["amount_adjusted"] or invoice["credits_applied"] or invoice["issued_credit_notes"]:
            raise wrong_state("The invoice has credit notes", "invoice_id")

    def _new_invoice(
        self, subscription: Resource, lines: list[Resource], *, pending: bool, first: bool, shared: bool = False
    ) -> Resource:
        """An invoice of the subscription; the caller records the subscription's own event and then announces it.

        One that may be shared is possibly still being gathered, and then announced with all that is on it.
        """
        part: Resource = {"line_items": lines, "discounts": [], "line_item_discounts": []}
        part["currency_code"] = subscription["currency_code"]
        add_up(part)
        # Only now: a coupon that comes later does not reach an invoice already made, pending or not.
        left = self._use_coupons(part, subscription.get("coupons", []))
        set_fields(subscription, {"coupons": left or None})
        shared = shared and self._gathers(subscription)
        if shared and (gathered := self._gathered(subscription, pending=pending)) is not None:
            for name in PARTS:
                gathered[name] += part[name]
            if gathered.get("subscription_id") != subscription["id"]:
                gathered.pop("subscription_id", None)
            add_up(gathered)
            return gathered
        invoice = self._draft(subscription, lines, pending=pending, first=first)
        invoice |= {name: part[name] for name in PARTS}
        if shared:
            self._gathering[invoice["id"]] = pending
        elif not pending:
            self._set_final_status(invoice, generated=True)
        return invoice

    @contextlib.contextmanager
    def _gathering_invoices(self) -> Iterator[None]:
        """Within it, subscriptions whose customer wants it share one invoice, which is announced at the end."""
        self._gathering.clear()
        self._together = self.settings.consolidated_invoicing
        try:
            yield
        finally:
            self._together = False
        for invoice_id, pending in self._gathering.items():
            invoice = self.invoices[invoice_id]
            if not pending:
                self._set_final_status(invoice, generated=True)
            self._stamp(invoice)
            self._announce(invoice)
        self._gathering.clear()

    def _gathers(self, subscription: Resource) -> bool:
        customer = self.customers[subscription["customer_id"]]
        return self._together and bool(customer.get("consolidated_invoicing", True))

    def _gathered(self, subscription: Resource, *, pending: bool) -> Resource | None:
        """The invoice that this subscription's lines join, if one was begun."""
        wanted = self._owner(subscription, "invoice_owner_id"), subscription["currency_code"], pending
        for invoice_id, is_pending in self._gathering.items():
            invoice = self.invoices[invoice_id]
            if (invoice["customer_id"], invoice["currency_code"], is_pending) == wanted:
                return invoice
        return None

    def _draft(
        self, owner: Resource, lines: list[Resource], *, pending: bool, first: bool = False, date: int | None = None
    ) -> Resource:
        """An invoice of a subscription or of a customer alone, on which nothing is paid or credited yet."""
        customer_id, payer = self._owner(owner, "invoice_owner_id"), self._owner(owner, "payment_owner_id")
        invoice: Resource = {
            "id": self._ids.short("draft_inv_") if pending else self.next_invoice_number(),
            "customer_id": customer_id,
            "payment_owner": payer,
            **({"subscription_id": owner["id"]} if "id" in owner else {}),
            "recurring": any(line["entity_type"] in ("plan_item_price", "addon_item_price") for line in lines),
            "status": "pending",
            "price_type": self.settings.price_type,
            "date": self._clock.seconds() if date is None else date,
            "net_term_days": owner.get("net_term_days", self.customers[customer_id]["net_term_days"]),
            "exchange_rate": 1.0,
            "currency_code": owner["currency_code"],
            "base_currency_code": self.settings.currencies[0],
            "tax": 0,
            "amount_paid": 0,
            "amount_adjusted": 0,
            "write_off_amount": 0,
            "credits_applied": 0,
            "round_off_amount": 0,
            "first_invoice": first,
            "has_advance_charges": False,
            "term_finalized": True,
            "is_gifted": False,
            "channel": "web",
            "deleted": False,
            "object": "invoice",
            "line_items": lines,
            "discounts": [],
            "taxes": [],
            "line_item_taxes": [],
            "line_item_discounts": [],
            "linked_payments": [],
            "applied_credits": [],
            "adjustment_credit_notes": [],
            "issued_credit_notes": [],
            "linked_orders": [],
            "dunning_attempts": [],
            "notes": [],
        }
        add_up(invoice)
        self._stamp(invoice)
        self.invoices[invoice["id"]] = invoice
        return invoice

    def _announce(self, invoice: Resource, *, backdated: bool = False) -> None:
        """The events of a new invoice."""
        if invoice["status"] != "pending":
            self._event("invoice_generated_with_backdating" if backdated else "invoice_generated", invoice=invoice)
            if invoice["linked_payments"]:
                event_type = "payment_succeeded" if invoice["amount_paid"] else "payment_failed"
                self._payment_event(event_type, invoice, self._last_payment(invoice))
        elif self.settings.notify_pending_invoices:
            self._event("pending_invoice_created", invoice=invoice)

    def _priced(
        self,
        item_price_id: str,
        currency: str,
        unit_price: int | None,
        quantity: int,
        tiers: list[Resource] | None,
        group: str,
    ) -> tuple[Resource, Resource]:
        """The price of a charge item and what it comes to; raises Refused where it cannot be charged like this."""
        price = self.find("item_price", item_price_id)
        param = f"{group}[item_price_id]"
        if price["item_type"] != "charge":
            raise wrong_value(param, f"{item_price_id} is not a price of a charge")
        if price["status"] != "active":
            raise wrong_value(param, f"{item_price_id} is {price['status']}")
        if price["currency_code"] != currency:
            raise wrong_value(param, f"{item_price_id} is not in the invoice's {currency}")
        if unit_price is not None and price["pricing_model"] not in OVERRIDABLE:
            raise wrong_value(f"{group}[unit_price]", f"cannot override a {price['pricing_model']} price")
        return price, charge(price, quantity, unit_price if self.settings.price_override else None, tiers)

    def _line(
        self,
        entity_type: str,
        description: str,
        price: Resource,
        invoice: Resource,
        period: tuple[int | None, int | None],
        subscription_id: str | None = None,
    ) -> Resource:
        """A line of the invoice; without a period of its own it covers the moment of the invoice."""
        date_from = invoice["date"] if period[0] is None else period[0]
        date_to = date_from if period[1] is None else period[1]
        if date_from > date_to:
            raise wrong_value("date_from", "should not lie after date_to")
        owner = subscription_id or invoice.get("subscription_id")
        line = {
            "id": self._ids.short("li_"),
            "date_from": date_from,
            "date_to": date_to,
            **price,
            "is_taxed": False,
            "tax_amount": 0,
            "discount_amount": 0,
            "item_level_discount_amount": 0,
            "metered": False,
            # Whoever uses the service, even where another customer gets the invoice.
            "customer_id": self.subscriptions.get(owner or "", invoice)["customer_id"],
            "description": description,
            "entity_type": entity_type,
            "tax_exempt_reason": "tax_not_configured",
            "object": "line_item",
        }
        return {**line, "subscription_id": owner} if owner else line

    def _open_invoice(self, invoice_id: str) -> Resource:
        invoice = self.find("invoice", invoice_id)
        if invoice["status"] != "pending":
            raise wrong_state("Invoice is not in pending state", "invoice_id")
        return invoice

    def _add_line(self, invoice: Resource, line: Resource, comment: str | None) -> Resource:
        invoice["line_items"].append(line)
        self._comment("invoice", invoice["id"], comment)
        self._changed(invoice, "pending_invoice_updated")
        return copy.deepcopy(invoice)

    def _finalise(self, invoice: Resource) -> None:
        self._set_final_status(invoice, generated=self.settings.promotional_credits_on_close)
        self._stamp(invoice)
        self._announce(invoice)

    def _set_final_status(self, invoice: Resource, *, generated: bool, auto_collection: str | None = None) -> None:
        """Takes what credits there are, promotional ones only where it is being generated, and then the card."""
        invoice["generated_at"] = self._clock.seconds()
        invoice["due_date"] = invoice["date"] + invoice["net_term_days"] * DAY
        if generated:
            self._use_promotional_credits(invoice)
        invoice["status"] = "posted" if invoice["net_term_days"] else "payment_due"
        subscription = self.subscriptions.get(invoice.get("subscription_id", ""), {})
        most = subscription.get("billing_override", {}).get("max_refundable_credits_usage", -1)
        self._use_refundable_credits(invoice, None if most < 0 else most)
        # An invoice with nothing due is paid without any payment.
        self._owe_less(invoice, 0)
        payer = self.customers[invoice["payment_owner"]]
        collects = auto_collection or subscription.get("auto_collection", payer["auto_collection"])
        if invoice["status"] != "paid" and collects == "on" and payer["card_status"] == "valid":
            self._collect(invoice)

    def _auto_close_due(self) -> dict[str, int]:
        """When each pending invoice would be closed by the site itself."""
        if self.settings.auto_close_days is None:
            return {}
        dues = {invoice["id"]: self._closes_at(invoice) for invoice in self.invoices.values()}
        return {invoice_id: due for invoice_id, due in dues.items() if due is not None}

    def _closes_at(self, invoice: Resource) -> int | None:
        """When the site closes this invoice by itself, if it does."""
        days = self.settings.auto_close_days
        if days is None or not _is_open(invoice) or not invoice["line_items"] or not self._closes_itself(invoice):
            return None
        return int(invoice["date"]) + days * DAY

    def _closes_itself(self, invoice: Resource) -> bool:
        """The subscription's say counts before the customer's."""
        subscription = self.subscriptions.get(invoice.get("subscription_id", ""), {})
        customer = self.customers[invoice["customer_id"]]
        return bool(subscription.get("auto_close_invoices", customer.get("auto_close_invoices", True)))


def line_page(invoice: Resource, limit: int, offset: str | None) -> Resource:
    """The invoice as an enterprise-scale site gives it: only so many lines, and where the next ones begin."""
    if offset is not None and not offset.isdecimal():
        raise wrong_value("line_items_offset", "is not an offset that a retrieve gave")
    start = int(offset or 0)
    shown: Any = {**invoice, "line_items": invoice["line_items"][start : start + limit]}
    if start + limit < len(invoice["line_items"]):
        shown["line_items_next_offset"] = str(start + limit)
    return dict(shown)


def _subscriptions_of(invoice: Resource) -> set[str]:
    """The subscriptions that the invoice is of: a consolidated one names them on its lines only."""
    if "subscription_id" in invoice:
        return {invoice["subscription_id"]}
    return {line["subscription_id"] for line in invoice["line_items"] if "subscription_id" in line}


def _is_open(invoice: Resource) -> bool:
    return invoice["status"] == "pending" and not invoice["deleted"]
