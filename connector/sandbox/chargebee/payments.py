"""Chargebee's payments: money that arrives, fails to, or goes back."""

import copy

from connector.sandbox.chargebee.credit_notes import UNPAID, CreditNotes, of_invoice
from connector.sandbox.chargebee.errors import wrong_state, wrong_value
from connector.sandbox.component import Resource


class Payments(CreditNotes):
    """What was paid."""

    def pay_invoice(self, id: str) -> Resource:
        """The invoice, paid in full, as when the customer's money arrives."""
        self.record_payment(id)
        return copy.deepcopy(self.invoices[id])

    def record_payment(
        self,
        id: str,
        amount: int | None = None,
        payment_method: str = "bank_transfer",
        status: str = "success",
        date: int | None = None,
        reference_number: str | None = None,
        comment: str | None = None,
    ) -> Resource:
        """The transaction: what is due on the invoice was paid, or a part of it, or an attempt failed."""
        invoice = self.find("invoice", id)
        if invoice["status"] not in UNPAID:
            raise wrong_state(f"A {invoice['status']} invoice cannot be paid", "invoice_id")
        amount = invoice["amount_due"] if amount is None else amount
        if not 0 < amount <= invoice["amount_due"]:
            raise wrong_value("transaction[amount]", "should be more than nothing and at most the amount due")
        transaction = self._transaction(invoice, "payment", amount, payment_method, status)
        if reference_number:
            transaction["reference_number"] = reference_number
        if date is not None:
            transaction["date"] = date
        self._comment("invoice", id, comment)
        self._link_payment(invoice, transaction)
        self._changed(invoice, "invoice_updated")
        event_type = "payment_succeeded" if status == "success" else "payment_failed"
        self._payment_event(event_type, invoice, transaction)
        return copy.deepcopy(transaction)

    def refund_invoice(
        self,
        id: str,
        amount: int | None = None,
        create_reason_code: str | None = None,
        payment_method: str = "bank_transfer",
        comment: str | None = None,
    ) -> tuple[Resource, Resource]:
        """What was paid on the invoice goes back: the transaction, and the credit note that says so."""
        invoice = self.find("invoice", id)
        issued = sum(row["cn_total"] for row in invoice["issued_credit_notes"])
        refundable = invoice["amount_paid"] - issued
        if invoice["status"] in ("pending", "voided") or refundable <= 0:
            raise wrong_state("Nothing was paid on the invoice that could go back", "invoice_id")
        amount = refundable if amount is None else amount
        if not 0 < amount <= refundable:
            raise wrong_value("refund_amount", "should be more than nothing and at most what was paid")
        transaction = self._transaction(invoice, "refund", amount, payment_method, "success")
        owner = of_invoice(invoice)
        if create_reason_code:
            owner["create_reason_code"] = create_reason_code
        lines = [self._credit_line({"amount": amount, "description": "Refund"})]
        note = self._new_credit_note("refundable", owner, amount, lines, self._clock.seconds())
        note |= {"status": "refunded", "amount_refunded": amount, "amount_available": 0}
        note["refunded_at"] = self._clock.seconds()
        note["linked_refunds"].append(_link(transaction, amount))
        self._comment("invoice", id, comment)
        self._event("credit_note_created", credit_note=note)
        self._note_on_invoice(invoice, note)
        self._payment_event("payment_refunded", invoice, transaction, note)
        return copy.deepcopy(transaction), copy.deepcopy(note)

    def _pay(self, invoice: Resource) -> None:
        """All that is due, by the card on file; the caller announces it."""
        self._link_payment(invoice, self._transaction(invoice, "payment", invoice["amount_due"], "card", "success"))

    def _link_payment(self, invoice: Resource, transaction: Resource) -> None:
        invoice["linked_payments"].append(_link(transaction, transaction["amount"]))
        if transaction["status"] == "success":
            invoice["amount_paid"] += transaction["amount"]
            self._owe_less(invoice, transaction["amount"])

    def _transaction(self, invoice: Resource, kind: str, amount: int, method: str, status: str) -> Resource:
        transaction: Resource = {
            "id": self._ids.short("txn_"),
            "customer_id": invoice.get("payment_owner", invoice["customer_id"]),
            "type": kind,
            "payment_method": method,
            "status": status,
            "date": self._clock.seconds(),
            "amount": amount,
            "currency_code": invoice["currency_code"],
            "exchange_rate": 1.0,
            "deleted": False,
            "linked_invoices": [{"invoice_id": invoice["id"], "applied_amount": amount}],
            "object": "transaction",
        }
        self._stamp(transaction)
        self.transactions[transaction["id"]] = transaction
        return transaction

    def _last_payment(self, invoice: Resource) -> Resource:
        return self.transactions[invoice["linked_payments"][-1]["txn_id"]]

    def _payment_event(
        self, event_type: str, invoice: Resource, transaction: Resource, credit_note: Resource | None = None
    ) -> None:
        self._event(
            event_type,
            transaction=transaction,
            invoice=invoice,
            credit_note=credit_note,
            customer=self.customers[invoice["customer_id"]],
            subscription=self.subscriptions.get(invoice.get("subscription_id", "")),
        )


def _link(transaction: Resource, amount: int) -> Resource:
    return {
        "txn_id": transaction["id"],
        "applied_amount": amount,
        "applied_at": transaction["date"],
        "txn_status": transaction["status"],
        "txn_date": transaction["date"],
        "txn_amount": transaction["amount"],
        "object": "linked_payment",
    }
