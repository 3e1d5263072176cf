"""Chargebee's credit notes: adjustments of invoices, and credits that later invoices use up or that are paid back."""

import copy
from typing import Any

from connector.sandbox.chargebee.balances import add_up
from connector.sandbox.chargebee.coupons import Coupons
from connector.sandbox.chargebee.errors import wrong_state, wrong_value
from connector.sandbox.component import Resource

UNPAID = ("payment_due", "posted", "not_paid")


class CreditNotes(Coupons):
    """What is given back."""

    def create_credit_note(
        self,
        type: str,
        reference_invoice_id: str | None = None,
        customer_id: str | None = None,
        total: int | None = None,
        line_items: list[Resource] | None = None,
        currency_code: str | None = None,
        date: int | None = None,
        comment: str | None = None,
        **fields: Any,
    ) -> Resource:
        """A new credit note: on an invoice, or a refundable one of its own."""
        if self.settings.credit_note_reason_required and "create_reason_code" not in fields:
            raise wrong_value("create_reason_code", "cannot be blank")
        now = self._clock.seconds()
        if date is not None and date > now:
            raise wrong_value("date", "should not lie in the future")
        if line_items:
            total = sum(_line_amount(line) for line in line_items)
        if not total:
            raise wrong_value("total", "or line_items should be more than nothing")
        if reference_invoice_id is None:
            if type != "refundable":
                raise wrong_value("reference_invoice_id", "cannot be blank")
            if customer_id is None:
                raise wrong_value("customer_id", "cannot be blank without reference_invoice_id")
            customer = self.to_change("customer", customer_id)
            invoice = None
            owner = {"customer_id": customer["id"], "currency_code": self._currency(currency_code)}
        else:
            invoice = self.find("invoice", reference_invoice_id)
            self._creditable(invoice, type, total, date)
            known = {line["id"] for line in invoice["line_items"]}
            for line in line_items or []:
                if line.get("reference_line_item_id", next(iter(known), None)) not in known:
                    raise wrong_value("line_items[reference_line_item_id]", "is no line of the invoice")
            owner = of_invoice(invoice)
        lines = [self._credit_line(line) for line in line_items or [{"amount": total, "description": "Credit"}]]
        note = self._new_credit_note(type, {**owner, **fields}, total, lines, now if date is None else date)
        self._comment("credit_note", note["id"], comment)
        if invoice is None or type != "adjustment":
            self._move_balance(self.customers[note["customer_id"]], "refundable_credits", note["currency_code"], total)
        past = note["date"] < now
        self._event("credit_note_created_with_backdating" if past else "credit_note_created", credit_note=note)
        if invoice is not None:
            self._note_on_invoice(invoice, note)
        return copy.deepcopy(note)

    def void_credit_note(self, id: str) -> Resource:
        """The credit note, void: what nobody has used or been paid of it."""
        note = self._untouched(id)
        note["status"] = "voided"
        note["voided_at"] = self._clock.seconds()
        note["amount_available"] = 0
        self._stamp(note)
        self._event("credit_note_updated", credit_note=note)
        self._take_from_invoice(note)
        return copy.deepcopy(note)

    def delete_credit_note(self, id: str) -> Resource:
        """The credit note, deleted: only a list with `include_deleted` shows it."""
        note = self._untouched(id)
        note["deleted"] = True
        self._stamp(note)
        self._event("credit_note_deleted", credit_note=note)
        self._take_from_invoice(note)
        return copy.deepcopy(note)

    def _untouched(self, note_id: str) -> Resource:
        note = self.find("credit_note", note_id)
        if note["status"] != "refund_due" or note["amount_available"] != note["total"]:
            raise wrong_state(f"A credit note that is {note['status']} cannot be taken back", "credit_note_id")
        self._move_balance(
            self.customers[note["customer_id"]], "refundable_credits", note["currency_code"], -note["total"]
        )
        return note

    def _take_from_invoice(self, note: Resource) -> None:
        invoice = self.invoices.get(note.get("reference_invoice_id", ""))
        if invoice is not None:
            rows = invoice["issued_credit_notes"]
            invoice["issued_credit_notes"] = [row for row in rows if row["cn_id"] != note["id"]]
            self._changed(invoice, "invoice_updated")

    def _creditable(self, invoice: Resource, kind: str, total: int, date: int | None) -> None:
        if date is not None and date < invoice["date"]:
            raise wrong_value("date", "should not lie before the invoice's")
        if kind == "adjustment":
            if invoice["status"] not in UNPAID:
                raise wrong_state(f"A {invoice['status']} invoice cannot be adjusted", "reference_invoice_id")
            if total > invoice["amount_due"]:
                raise wrong_value("total", "is more than the invoice's amount due")
            return
        if invoice["status"] in ("pending", "voided"):
            raise wrong_state(f"A {invoice['status']} invoice cannot be credited", "reference_invoice_id")
        issued = sum(row["cn_total"] for row in invoice["issued_credit_notes"])
        if total > invoice["amount_paid"] + invoice["credits_applied"] - issued:
            raise wrong_value("total", "is more than can be given back of the invoice")

    def _new_credit_note(self, kind: str, fields: Resource, total: int, lines: list[Resource], date: int) -> Resource:
        self._last_credit_note += 1
        note: Resource = {
            "id": f"TEST-CN-{self._last_credit_note}",
            "type": kind,
            "status": "adjusted" if kind == "adjustment" else "refund_due",
            "date": date,
            "generated_at": self._clock.seconds(),
            "price_type": self.settings.price_type,
            "total": total,
            "sub_total": total,
            "amount_allocated": total if kind == "adjustment" else 0,
            "amount_refunded": 0,
            "amount_available": 0 if kind == "adjustment" else total,
            "round_off_amount": 0,
            "channel": "web",
            "deleted": False,
            "line_items": lines,
            "linked_refunds": [],
            "allocations": [],
            "object": "credit_note",
            **fields,
        }
        self.credit_notes[note["id"]] = note
        self._stamp(note)
        return note

    def _credit_line(self, line: Resource) -> Resource:
        amount = _line_amount(line)
        date = self._clock.seconds()
        return {
            "id": self._ids.short("li_"),
            "date_from": date,
            "date_to": date,
            "unit_amount": amount,
            "quantity": 1,
            "is_taxed": False,
            "tax_amount": 0,
            "discount_amount": 0,
            "description": "Credit",
            "entity_type": "adhoc",
            "object": "line_item",
            **line,
            "amount": amount,
        }

    def _note_on_invoice(self, invoice: Resource, note: Resource) -> None:
        row = on_invoice(note)
        if note["type"] == "adjustment":
            invoice["adjustment_credit_notes"].append(row)
            invoice["amount_adjusted"] += note["total"]
            self._owe_less(invoice, note["total"])
            note["allocations"].append(_allocation(invoice, note["total"], self._clock.seconds()))
        else:
            invoice["issued_credit_notes"].append(row)
        self._changed(invoice, "invoice_updated")

    def _use_refundable_credits(self, invoice: Resource, most: int | None) -> None:
        """The oldest credit first; a cap on the subscription leaves the rest for others."""
        now = self._clock.seconds()
        left = invoice["amount_due"] if most is None else min(most, invoice["amount_due"])
        for note in self.credit_notes.values():
            wanted = (invoice["customer_id"], invoice["currency_code"], "refund_due")
            if not left or (note["customer_id"], note["currency_code"], note["status"]) != wanted:
                continue
            used = min(left, note["amount_available"])
            left -= used
            note["amount_available"] -= used
            note["amount_allocated"] += used
            note["status"] = "refund_due" if note["amount_available"] else "refunded"
            self._owe_less(invoice, used)
            invoice["credits_applied"] += used
            note["allocations"].append(_allocation(invoice, used, now))
            applied = {"cn_id": note["id"], "applied_amount": used, "applied_at": now, "cn_status": note["status"]}
            invoice["applied_credits"].append({**applied, "cn_date": note["date"], "object": "applied_credit"})
            self._stamp(note)
            customer = self.customers[note["customer_id"]]
            self._move_balance(customer, "refundable_credits", note["currency_code"], -used)
            self._event("credit_note_updated", credit_note=note)

    def _owe_less(self, invoice: Resource, amount: int) -> None:
        """What is owed no more; an invoice on which nothing is left is paid."""
        invoice["amount_due"] -= amount
        invoice["amount_to_collect"] = invoice["amount_due"]
        if not invoice["amount_due"]:
            invoice["status"] = "paid"
            invoice["paid_at"] = self._clock.seconds()
            self._leave_dunning(invoice, "success")

    def _leave_dunning(self, invoice: Resource, status: str) -> None:
        """The card is not tried again, if it was to be."""
        if self.retries.pop(invoice["id"], None) is not None:
            invoice["dunning_status"] = status
            del invoice["next_retry_at"]

    def _changed(self, invoice: Resource, event_type: str) -> None:
        if invoice["status"] == "pending":
            add_up(invoice)
        self._stamp(invoice)
        self._event(event_type, invoice=invoice)


def of_invoice(invoice: Resource) -> Resource:
    """The fields of a credit note that come from the invoice it refers to."""
    names = ("customer_id", "subscription_id", "currency_code")
    return {"reference_invoice_id": invoice["id"], **{name: invoice[name] for name in names if name in invoice}}


def on_invoice(note: Resource) -> Resource:
    """How the credit note is listed on its invoice."""
    names = {"cn_id": "id", "cn_date": "date", "cn_total": "total", "cn_status": "status"}
    row = {name: note[source] for name, source in names.items()}
    return {**row, **({"cn_create_reason_code": note["create_reason_code"]} if "create_reason_code" in note else {})}


def _line_amount(line: Resource) -> int:
    return int(line["amount"] if "amount" in line else line.get("unit_amount", 0) * line.get("quantity", 1))


def _allocation(invoice: Resource, amount: int, now: int) -> Resource:
    return {
        "invoice_id": invoice["id"],
        "allocated_amount": amount,
        "allocated_at": now,
        "invoice_date": invoice["date"],
        "invoice_status": invoice["status"],
        "object": "credit_note_allocation",
    }
