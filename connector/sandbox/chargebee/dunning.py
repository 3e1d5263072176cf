"""Chargebee's dunning: a card that was refused is tried again, until the invoice is paid or given up."""

import copy

from connector.sandbox.chargebee.credit_notes import UNPAID
from connector.sandbox.chargebee.errors import wrong_state
from connector.sandbox.chargebee.payments import Payments
from connector.sandbox.component import Resource

DAY = 86_400


class Dunning(Payments):
    """What is not paid at once."""

    def stop_dunning(self, id: str) -> Resource:
        """The invoice, whose card is not tried again."""
        invoice = self.find("invoice", id)
        if id not in self.retries:
            raise wrong_state("The invoice is not in dunning", "invoice_id")
        self._leave_dunning(invoice, "stopped")
        self._tell_dunning(invoice)
        return copy.deepcopy(invoice)

    def _collect(self, invoice: Resource) -> None:
        """Charges the card for what is due on a new invoice; the caller announces it."""
        if not self.settings.cards_decline:
            self._pay(invoice)
            return
        self._link_payment(invoice, self._card_payment(invoice, "failure"))
        self._plan_retry(invoice)

    def _retry(self, invoice_id: str) -> None:
        """Tries the card again."""
        invoice = self.invoices[invoice_id]
        if invoice["deleted"] or invoice["status"] not in UNPAID:
            self._leave_dunning(invoice, "stopped")
            return
        status = "failure" if self.settings.cards_decline else "success"
        transaction = self._card_payment(invoice, status)
        invoice["dunning_attempts"].append(_attempt(invoice, transaction))
        if status == "success":
            self._link_payment(invoice, transaction)
            self._changed(invoice, "invoice_updated")
            self._payment_event("payment_succeeded", invoice, transaction)
            return
        self._plan_retry(invoice)
        if invoice_id in self.retries:
            self._tell_dunning(invoice)
        else:
            invoice["status"] = "not_paid"
            self._changed(invoice, "invoice_updated")
        self._payment_event("payment_failed", invoice, transaction)

    def _plan_retry(self, invoice: Resource) -> None:
        days, tried = self.settings.dunning_days, len(invoice["dunning_attempts"])
        if tried < len(days):
            self.retries[invoice["id"]] = self._clock.seconds() + days[tried] * DAY
            invoice["dunning_status"], invoice["next_retry_at"] = "in_progress", self.retries[invoice["id"]]
        elif days:
            self._leave_dunning(invoice, "exhausted")

    def _tell_dunning(self, invoice: Resource) -> None:
        # `updated_at` stays: Chargebee moves it neither for the dunning status nor for the time of the next try.
        self._new_version(invoice)
        self._event("dunning_updated", invoice=invoice)

    def _card_payment(self, invoice: Resource, status: str) -> Resource:
        return self._transaction(invoice, "payment", invoice["amount_due"], "card", status)


def _attempt(invoice: Resource, transaction: Resource) -> Resource:
    return {
        "attempt": len(invoice["dunning_attempts"]) + 1,
        "transaction_id": transaction["id"],
        "dunning_type": "auto_collect",
        "created_at": transaction["date"],
        "txn_status": transaction["status"],
        "txn_amount": transaction["amount"],
        "object": "dunning_attempt",
    }
