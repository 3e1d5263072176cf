"""What happens to Chargebee's subscriptions and invoices as time goes by, and the pauses and returns between."""

import copy
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from connector.sandbox.chargebee.agenda import Agenda
from connector.sandbox.chargebee.errors import wrong_state, wrong_value
from connector.sandbox.chargebee.ramps import ramp_due
from connector.sandbox.chargebee.reminders import Reminders
from connector.sandbox.chargebee.site import set_fields
from connector.sandbox.chargebee.subscriptions import RUNNING, backdated
from connector.sandbox.chargebee.terms import term_end
from connector.sandbox.component import Resource

# Whose `auto_close_invoices` counts.
CLOSERS = ("customer", "subscription")


class Lifecycle(Reminders):
    """The site as time moves it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._plans = Agenda()
        self._planned_for: tuple[int | None, int | None, bool] | None = None

    def _put_back(self, taken: Resource) -> None:
        super()._put_back(taken)
        self._planned_for = None

    def next_due(self) -> datetime | None:
        """When something happens by itself next; where the time machine stands nothing does."""
        return None if "stands_at" in self.time_machine else _moment(self._soonest())

    def expected_due(self) -> datetime | None:
        """The same, for whoever asks at every call: only what was written since is looked at again.

        Everything is, where settings changed that times depend on. On a site that closes invoices by itself also any
        customer or subscription may have had its say on that.
        """
        settings = self.settings
        terms = settings.auto_close_days, settings.reminder_days, settings.multi_frequency
        said = settings.auto_close_days is not None and any(kind in CLOSERS for kind, _ in self._written)
        if terms != self._planned_for or said:
            self._plans.clear()
            self._written = {key: None for key, _ in self._rows()}
            self._planned_for = terms
        for key in self._written:
            self._plans.put(key, self._due(*key))
        self._written.clear()
        soonest = min(filter(None, (self._plans.soonest(), *self._waits())), default=None)
        return None if "stands_at" in self.time_machine else _moment(soonest)

    def run_due(self) -> None:
        """Does what has become due: each subscription takes one step, and old pending invoices are closed."""
        now = self._clock.seconds()
        with self.acting("scheduled_job", None):
            self._arrive(now)
            for effective_from, ramp in self._due_ramps():
                if effective_from <= now:
                    self._apply_ramp(ramp)
            with self._gathering_invoices():
                for subscription in list(self.subscriptions.values()):
                    due = self._next_moment(subscription)
                    if due is not None and due <= now:
                        self._step(subscription, due)
            for invoice_id, due in self._auto_close_due().items():
                if due <= now:
                    self.close_invoice(invoice_id)
            for table, act in ((self.retries, self._retry), (self.mrr_due, self._count_mrr)):
                for resource_id, due in list(table.items()):
                    if due <= now:
                        act(resource_id)

    def pause_subscription(
        self,
        id: str,
        pause_date: int | None = None,
        resume_date: int | None = None,
        *,
        skip_billing_cycles: int | None = None,
    ) -> Resource:
        """The subscription, paused now, from a date on, or for so many terms; paused, it does not renew."""
        subscription = self.to_change("subscription", id)
        if subscription["status"] != "active":
            raise wrong_state("Only an active subscription can be paused", "subscription_id")
        now = self._clock.seconds()
        if skip_billing_cycles is not None:
            pause_date = subscription["current_term_end"]
            resume_date = self._after_terms(subscription, skip_billing_cycles)
        if resume_date is not None and resume_date <= max(now, pause_date or now):
            raise wrong_value("resume_date", "should lie after the pause begins")
        set_fields(subscription, {"resume_date": resume_date})
        if pause_date is not None and pause_date > now:
            subscription["pause_date"] = pause_date
            self._stamp(subscription)
            self._subscription_event("subscription_pause_scheduled", subscription)
        else:
            self._pause(subscription)
        return copy.deepcopy(subscription)

    def resume_subscription(self, id: str, resume_date: int | None = None) -> Resource:
        """The paused subscription, active again now or from a date on."""
        subscription = self.to_change("subscription", id)
        self._needs_one_frequency()
        if subscription["status"] != "paused":
            raise wrong_state("Only a paused subscription can be resumed", "subscription_id")
        if resume_date is not None and resume_date > self._clock.seconds():
            subscription["resume_date"] = resume_date
            self._stamp(subscription)
            self._subscription_event("subscription_resumption_scheduled", subscription)
        else:
            self._resume(subscription)
        return copy.deepcopy(subscription)

    def remove_scheduled_pause(self, id: str) -> Resource:
        """The subscription, going on without the pause that was to come."""
        subscription = self.to_change("subscription", id)
        self._needs_one_frequency()
        if subscription["status"] != "active" or "pause_date" not in subscription:
            raise wrong_state("No pause is scheduled", "subscription_id")
        set_fields(subscription, dict.fromkeys(("pause_date", "resume_date")))
        self._stamp(subscription)
        self._subscription_event("subscription_scheduled_pause_removed", subscription)
        return copy.deepcopy(subscription)

    def remove_scheduled_resumption(self, id: str) -> Resource:
        """The paused subscription, staying so until somebody resumes it."""
        subscription = self.to_change("subscription", id)
        self._needs_one_frequency()
        if subscription["status"] != "paused" or "resume_date" not in subscription:
            raise wrong_state("No resumption is scheduled", "subscription_id")
        del subscription["resume_date"]
        self._stamp(subscription)
        self._subscription_event("subscription_scheduled_resumption_removed", subscription)
        return copy.deepcopy(subscription)

    def remove_scheduled_cancellation(self, id: str) -> Resource:
        """The subscription, renewing again."""
        subscription = self.to_change("subscription", id)
        if subscription["status"] == "cancelled" or "cancelled_at" not in subscription:
            raise wrong_state("No cancellation is scheduled", "subscription_id")
        set_fields(subscription, dict.fromkeys(("cancelled_at", "cancel_schedule_created_at", "cancel_reason_code")))
        if subscription["status"] == "non_renewing":
            subscription["status"] = "active"
        self._stamp(subscription)
        self._subscription_event("subscription_scheduled_cancellation_removed", subscription)
        return copy.deepcopy(subscription)

    def remove_scheduled_changes(self, id: str) -> Resource:
        """The subscription, without the change that was to come at the end of its term."""
        subscription = self.to_change("subscription", id)
        if self.scheduled_changes.pop(id, None) is None:
            raise wrong_state("No changes are scheduled", "subscription_id")
        self._note_schedule(subscription)
        self._stamp(subscription)
        self._subscription_event("subscription_scheduled_changes_removed", subscription)
        return copy.deepcopy(subscription)

    def extend_trial(self, id: str, trial_end: int) -> Resource:
        """The subscription on trial, with another end of the trial; one that has passed activates it since then."""
        subscription = self.to_change("subscription", id)
        if subscription["status"] != "in_trial":
            raise wrong_state("The subscription is not in trial", "subscription_id")
        now = self._clock.seconds()
        if trial_end > now:
            subscription["trial_end"] = subscription["next_billing_at"] = trial_end
            self._stamp(subscription)
            self._subscription_event("subscription_trial_extended", subscription)
            return copy.deepcopy(subscription)
        # Zero ends the trial now.
        moment = trial_end or now
        if moment < subscription["trial_start"]:
            raise wrong_value("trial_end", "should not lie before the trial's start")
        subscription["trial_end"] = moment
        self._activate(subscription, moment)
        return copy.deepcopy(subscription)

    def delete_subscription(self, id: str) -> Resource:
        """The subscription, deleted: from now on only a list with `include_deleted` shows it."""
        subscription = self.to_change("subscription", id)
        self._erase(subscription)
        self._subscription_event("subscription_deleted", subscription)
        return copy.deepcopy(subscription)

    def delete_customer(self, id: str) -> Resource:
        """The customer, deleted with all subscriptions, of which only the customer's own event tells."""
        customer = self.to_change("customer", id)
        erased = [row for row in self.subscriptions.values() if row["customer_id"] == id and not row["deleted"]]
        for subscription in erased:
            self._erase(subscription)
        customer["deleted"] = True
        self._stamp(customer)
        self._event("customer_deleted", customer=customer, subscriptions=erased)
        return copy.deepcopy(customer)

    def _erase(self, subscription: Resource) -> None:
        subscription["deleted"] = True
        self.scheduled_changes.pop(subscription["id"], None)
        self._drop_ramps(subscription["id"], 0)
        self._end_contract(subscription, "cancelled")
        self._stamp(subscription)

    def with_scheduled_changes(self, id: str) -> Resource:
        """The subscription with the items it will have after its scheduled change; all else is as it is now."""
        subscription = copy.deepcopy(self.find("subscription", id))
        change = self.scheduled_changes.get(id)
        ramps = sorted(self._scheduled_ramps(id), key=lambda ramp: int(ramp["effective_from"]))
        if change is None and not ramps:
            raise wrong_state("No changes are scheduled", "subscription_id")
        # Of several ramps only the next one is shown.
        if change is None:
            subscription["subscription_items"] = copy.deepcopy(self._ramped(subscription, ramps[0]))
        elif change["subscription_items"] is not None:
            subscription["subscription_items"] = copy.deepcopy(change["subscription_items"])
        if change is not None and "coupons" in change["fields"]:
            set_fields(subscription, {"coupons": copy.deepcopy(change["fields"]["coupons"])})
        return subscription

    def _soonest(self) -> int | None:
        """When something happens by itself next, found by looking at everything."""
        moments = [due for key, _ in self._rows() if (due := self._due(*key)) is not None]
        return min((*moments, *self._waits()), default=None)

    def _rows(self) -> Iterator[tuple[tuple[str, str], Resource]]:
        """What may change by itself, by its kind and id."""
        tables = {"subscription": self.subscriptions, "ramp": self.ramps}
        if self.settings.auto_close_days is not None:
            tables["invoice"] = self.invoices
        for kind, table in tables.items():
            for resource_id, resource in table.items():
                yield (kind, resource_id), resource

    def _due(self, kind: str, resource_id: str) -> int | None:
        """When this resource changes by itself next."""
        if kind == "subscription" and resource_id in self.subscriptions:
            return self._next_moment(self.subscriptions[resource_id])
        if kind == "ramp" and resource_id in self.ramps:
            return ramp_due(self.ramps[resource_id])
        if kind == "invoice" and resource_id in self.invoices:
            return self._closes_at(self.invoices[resource_id])
        return None

    def _waits(self) -> list[int]:
        """The moments kept in tables of their own, each of which usually holds little."""
        return [*(due for due, _ in self.moves.values()), *self.retries.values(), *self.mrr_due.values()]

    def _step(self, subscription: Resource, due: int) -> None:
        status = subscription["status"]
        reminder = self._next_reminder(subscription)
        if reminder is not None and reminder[0] == due:
            self._remind(subscription, reminder[1])
        elif self._next_advance(subscription) == due and status in RUNNING:
            self._make_advance(subscription)
        elif subscription.get("cancelled_at") == due:
            self._cancel(subscription)
        elif status == "future":
            subscription["started_at"] = due
            subscription.pop("start_date")
            invoice = self._begin(subscription, None)
            self._stamp(subscription)
            self._subscription_event("subscription_started", subscription, invoice)
        elif status == "in_trial" and subscription.get("trial_end_action") == "cancel_subscription":
            subscription["cancelled_at"] = due
            self._cancel(subscription)
        elif status == "in_trial":
            self._activate(subscription, due)
        elif status == "paused":
            self._resume(subscription)
        elif self._change_due(subscription) == due:
            self._take_effect(subscription)
            self._stamp(subscription)
            self._subscription_event("subscription_changed", subscription)
        elif subscription.get("pause_date") == due:
            self._pause(subscription)
        elif due < subscription["current_term_end"]:
            self._renew_items(subscription, due)
        elif self._outlive_contract(subscription):
            self._renew(subscription)
        else:
            subscription["cancelled_at"] = due
            self._cancel(subscription)

    def _renew_items(self, subscription: Resource, start: int) -> None:
        """The items whose own term is over begin the next one; the subscription's own goes on."""
        due = [item for item in subscription["subscription_items"] if item.get("current_term_end") == start]
        pending = subscription["create_pending_invoices"]
        invoice = self._bill_items(subscription, due, (start, start), pending=pending, first=False)
        self._stamp(subscription)
        self._subscription_event("subscription_items_renewed", subscription, invoice)

    def _activate(self, subscription: Resource, moment: int) -> None:
        """The trial is over: the first term begins."""
        now = self._clock.seconds()
        subscription["activated_at"] = moment
        invoice = self._begin_term(subscription, moment, pending=False, first=True)
        self._stamp(subscription)
        self._subscription_event(backdated("subscription_activated", moment, now), subscription, invoice)

    def _change_due(self, subscription: Resource) -> int | None:
        change = self.scheduled_changes.get(subscription["id"])
        return None if change is None else change["at"]

    def _after_terms(self, subscription: Resource, count: int) -> int:
        """When so many terms after the current one are over."""
        moment = int(subscription["current_term_end"])
        for _ in range(count):
            moment = term_end(
                moment,
                subscription["billing_period"],
                subscription["billing_period_unit"],
                self.billing_days[subscription["id"]],
            )
        return moment

    def _pause(self, subscription: Resource) -> None:
        subscription["status"] = "paused"
        subscription["pause_date"] = self._clock.seconds()
        self._stamp(subscription)
        self._subscription_event("subscription_paused", subscription)

    def _resume(self, subscription: Resource) -> None:
        """Within the paid term it goes on; after that a new term begins."""
        now = self._clock.seconds()
        set_fields(subscription, dict.fromkeys(("pause_date", "resume_date")))
        subscription["status"] = "active"
        invoice = None
        if now >= subscription["current_term_end"]:
            invoice = self._begin_term(subscription, now, pending=subscription["create_pending_invoices"], first=False)
        self._stamp(subscription)
        self._subscription_event("subscription_resumed", subscription, invoice)

    def _next_moment(self, subscription: Resource) -> int | None:
        """When this subscription changes by itself next."""
        status = subscription["status"]
        if subscription["deleted"] or status in ("cancelled", "transferred"):
            return None
        moments = [subscription.get("cancelled_at")]
        if status == "future":
            moments.append(subscription["start_date"])
        elif status == "in_trial":
            moments.append(subscription["trial_end"])
        elif status == "paused":
            moments.append(subscription.get("resume_date"))
        elif status in RUNNING:
            moments += [
                subscription["current_term_end"],
                subscription.get("pause_date"),
                self._change_due(subscription),
                self._next_advance(subscription),
            ]
            if self.settings.multi_frequency:
                moments += [item.get("current_term_end") for item in subscription["subscription_items"]]
        if (reminder := self._next_reminder(subscription)) is not None:
            moments.append(reminder[0])
        return min((moment for moment in moments if moment is not None), default=None)


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
