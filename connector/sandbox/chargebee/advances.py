"""Chargebee's invoices out of turn: terms billed before they begin, and an invoice made again for the current term."""

import copy

from connector.sandbox.chargebee.errors import wrong_state, wrong_value
from connector.sandbox.chargebee.subscriptions import RUNNING
from connector.sandbox.chargebee.terms import term_end
from connector.sandbox.chargebee.transfers import Transfers
from connector.sandbox.component import Resource


class Advances(Transfers):
    """What is billed earlier, or again."""

    def charge_future_renewals(
        self, id: str, terms_to_charge: int = 1, specific_dates_schedule: list[Resource] | None = None
    ) -> Resource | None:
        """The invoice of the terms to come; None where it is planned for days to come."""
        subscription = self._running(id)
        if specific_dates_schedule is not None:
            self._plan_advances(subscription, [*self.schedules.get(id, []), *self._planned(specific_dates_schedule)])
            return None
        return copy.deepcopy(self._charge_ahead(subscription, terms_to_charge))

    def edit_advance_schedule(self, id: str, specific_dates_schedule: list[Resource]) -> list[Resource]:
        """The advance invoices, planned anew."""
        subscription = self._running(id)
        self._planned_before(id)
        self._plan_advances(subscription, self._planned(specific_dates_schedule))
        return copy.deepcopy(self.schedules[id])

    def remove_advance_schedule(self, id: str) -> Resource:
        """The subscription, with no advance invoices planned."""
        subscription = self.to_change("subscription", id)
        self._planned_before(id)
        self._plan_advances(subscription, [])
        return copy.deepcopy(subscription)

    def regenerate_invoice(self, id: str) -> Resource:
        """The invoice of the current term, made again after it was voided or deleted; it is not pending."""
        subscription = self._running(id)
        term = subscription["current_term_start"], subscription["current_term_end"]
        if any(_bills(invoice, id, term[0]) for invoice in self.invoices.values()):
            raise wrong_state("The current term has its invoice", "subscription_id")
        recurring = [item for item in subscription["subscription_items"] if item["item_type"] != "charge"]
        lines = self._term_lines(subscription, recurring, term)
        if not lines:
            raise wrong_state("The subscription holds nothing but metered items", "subscription_id")
        invoice = self._new_invoice(subscription, lines, pending=False, first=False)
        self._announce(invoice)
        return copy.deepcopy(invoice)

    def _running(self, subscription_id: str) -> Resource:
        subscription = self.to_change("subscription", subscription_id)
        self._needs_one_frequency()
        if subscription["status"] not in RUNNING:
            raise wrong_state(f"The subscription is {subscription['status']}", "subscription_id")
        return subscription

    def _planned_before(self, subscription_id: str) -> None:
        if subscription_id not in self.schedules:
            raise wrong_state("No advance invoices are planned", "subscription_id")

    def _planned(self, rows: list[Resource]) -> list[Resource]:
        now = self._clock.seconds()
        if any(row["date"] <= now for row in rows):
            raise wrong_value("specific_dates_schedule[date]", "should lie in the future")
        return [
            {
                "id": self._ids.short("ais_"),
                "schedule_type": "specific_dates",
                "specific_dates_schedule": {"terms_to_charge": 1, **row, "created_at": now},
                "object": "advance_invoice_schedule",
            }
            for row in rows
        ]

    def _plan_advances(self, subscription: Resource, rows: list[Resource]) -> None:
        before = self.schedules.pop(subscription["id"], [])
        if rows:
            self.schedules[subscription["id"]] = sorted(rows, key=_date)
        subscription["has_scheduled_advance_invoices"] = bool(rows)
        self._stamp(subscription)
        what = "removed" if not rows else "updated" if before else "added"
        self._event(
            f"subscription_advance_invoice_schedule_{what}",
            subscription=subscription,
            customer=self.customers[subscription["customer_id"]],
            advance_invoice_schedules=rows or before,
        )

    def _next_advance(self, subscription: Resource) -> int | None:
        """When the next of the planned advance invoices is made."""
        rows = self.schedules.get(subscription["id"])
        return _date(rows[0]) if rows else None

    def _make_advance(self, subscription: Resource) -> None:
        first, *rest = self.schedules.pop(subscription["id"])
        if rest:
            self.schedules[subscription["id"]] = rest
        subscription["has_scheduled_advance_invoices"] = bool(rest)
        self._charge_ahead(subscription, first["specific_dates_schedule"]["terms_to_charge"])

    def _charge_ahead(self, subscription: Resource, terms: int) -> Resource:
        """One invoice of so many terms that nothing bills yet."""
        recurring = [item for item in subscription["subscription_items"] if item["item_type"] != "charge"]
        lines = []
        for _ in range(terms):
            start = subscription["next_billing_at"]
            unit, day = subscription["billing_period_unit"], self.billing_days[subscription["id"]]
            subscription["next_billing_at"] = term_end(start, subscription["billing_period"], unit, day)
            lines += self._term_lines(subscription, recurring, (start, subscription["next_billing_at"]))
        invoice = self._new_invoice(subscription, lines, pending=False, first=False)
        invoice["has_advance_charges"] = True
        self._stamp(subscription)
        self._announce(invoice)
        return invoice


def _date(row: Resource) -> int:
    return int(row["specific_dates_schedule"]["date"])


def _bills(invoice: Resource, subscription_id: str, start: int) -> bool:
    """Whether the invoice stands, and holds a recurring line of the subscription for the term that begins then."""
    return (
        not invoice["deleted"]
        and invoice["status"] != "voided"
        and any(
            (line.get("subscription_id"), line["date_from"]) == (subscription_id, start)
            and line["entity_type"] in ("plan_item_price", "addon_item_price")
            for line in invoice["line_items"]
        )
    )
