"""What happens to Chargebee's subscriptions and invoices as time goes by, and the pauses and returns between."""

import copy
from datetime import UTC, datetime

from connector.sandbox.chargebee.errors import wrong_state, wrong_value
from connector.sandbox.chargebee.site import set_fields
from connector.sandbox.chargebee.subscriptions import RUNNING, backdated, term_end
from connector.sandbox.chargebee.transfers import Transfers
from connector.sandbox.component import Resource


class Lifecycle(Transfers):
    """The site as time moves it."""

    def next_due(self) -> datetime | None:
        """When something happens by itself next."""
        moments = [due for row in self.subscriptions.values() if (due := self._next_moment(row)) is not None]
        moments.extend(self._auto_close_due().values())
        moments.extend(due for due, _ in self._due_ramps())
        moments.extend(due for due, _ in self.moves.values())
        return datetime.fromtimestamp(min(moments), UTC) if moments else None

    def run_due(self) -> None:
        """Does what has become due: each subscription takes one step, and old pending invoices are closed."""
        now = self._clock.seconds()
        with self.acting("scheduled_job", None):
            self._arrive(now)
            for effective_from, ramp in self._due_ramps():
                if effective_from <= now:
                    self._apply_ramp(ramp)
            for subscription in list(self.subscriptions.values()):
                due = self._next_moment(subscription)
                if due is not None and due <= now:
                    self._step(subscription, due)
            for invoice_id, due in self._auto_close_due().items():
                if due <= now:
                    self.close_invoice(invoice_id)

    def pause_subscription(
        self,
        id: str,
        pause_date: int | None = None,
        resume_date: int | None = None,
        *,
        skip_billing_cycles: int | None = None,
    ) -> Resource:
        """The subscription, paused now, from a date on, or for so many terms; paused, it does not renew."""
        subscription = self.find("subscription", id)
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
        subscription = self.find("subscription", id)
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
        subscription = self.find("subscription", id)
        if subscription["status"] != "active" or "pause_date" not in subscription:
            raise wrong_state("No pause is scheduled", "subscription_id")
        set_fields(subscription, dict.fromkeys(("pause_date", "resume_date")))
        self._stamp(subscription)
        self._subscription_event("subscription_scheduled_pause_removed", subscription)
        return copy.deepcopy(subscription)

    def remove_scheduled_resumption(self, id: str) -> Resource:
        """The paused subscription, staying so until somebody resumes it."""
        subscription = self.find("subscription", id)
        if subscription["status"] != "paused" or "resume_date" not in subscription:
            raise wrong_state("No resumption is scheduled", "subscription_id")
        del subscription["resume_date"]
        self._stamp(subscription)
        self._subscription_event("subscription_scheduled_resumption_removed", subscription)
        return copy.deepcopy(subscription)

    def remove_scheduled_cancellation(self, id: str) -> Resource:
        """The subscription, renewing again."""
        subscription = self.find("subscription", id)
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
        subscription = self.find("subscription", id)
        if self.scheduled_changes.pop(id, None) is None:
            raise wrong_state("No changes are scheduled", "subscription_id")
        self._note_schedule(subscription)
        self._stamp(subscription)
        self._subscription_event("subscription_scheduled_changes_removed", subscription)
        return copy.deepcopy(subscription)

    def extend_trial(self, id: str, trial_end: int) -> Resource:
        """The subscription on trial, with another end of the trial; one that has passed activates it since then."""
        subscription = self.find("subscription", id)
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
        subscription = self.find("subscription", id)
        subscription["deleted"] = True
        self.scheduled_changes.pop(id, None)
        self._drop_ramps(id, 0)
        self._stamp(subscription)
        self._subscription_event("subscription_deleted", subscription)
        return copy.deepcopy(subscription)

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
        return subscription

    def _step(self, subscription: Resource, due: int) -> None:
        status = subscription["status"]
        if subscription.get("cancelled_at") == due:
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
        else:
            self._renew(subscription)

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
            ]
        return min((moment for moment in moments if moment is not None), default=None)
