"""Chargebee's time machine: a test site that starts again in the past and travels forward, at most to the present."""

import calendar
import copy
from datetime import UTC, datetime

from connector.sandbox.chargebee.errors import not_found, wrong_state, wrong_value
from connector.sandbox.chargebee.lifecycle import Lifecycle
from connector.sandbox.component import Resource

NAME = "delorean"
MONTHS_BACK = 6
# What starting afresh leaves nothing of; the catalogue, the settings and the events stay.
WIPED = (
    "customers",
    "subscriptions",
    "invoices",
    "transactions",
    "credit_notes",
    "unbilled_charges",
    "promotional_credits",
    "contract_terms",
    "billing_days",
    "scheduled_changes",
    "schedules",
    "ramps",
    "moves",
    "retries",
    "mrr_due",
    "reminded",
)


class TimeMachine(Lifecycle):
    """The whole of Chargebee: the site, and the machine that moves its time."""

    def travel(self, name: str) -> Resource:
        """Where the machine stands, and whether it still is on its way."""
        if name != NAME:
            raise not_found("time_machine", name)
        machine = self.time_machine
        arrived = self._present.seconds() >= machine.get("arrives_at", 0)
        status = "not_enabled" if not machine else "succeeded" if arrived else "in_progress"
        now = self._clock.seconds()
        return {
            "name": NAME,
            "time_travel_status": status,
            "genesis_time": machine.get("genesis_time", now),
            "destination_time": machine.get("destination_time", now),
            "object": "time_machine",
        }

    def start_afresh(self, name: str, genesis_time: int | None = None) -> Resource:
        """Wipes the site of customers and all that is theirs, and puts its time back."""
        self._must_have_arrived(name)
        now = self._present.seconds()
        genesis = _months_before(now) if genesis_time is None else genesis_time
        if genesis >= now:
            raise wrong_value("genesis_time", "should lie in the past")
        for table in WIPED:
            getattr(self, table).clear()
        self._plans.clear()
        self.time_machine["genesis_time"] = genesis
        return self._arrive_at(genesis)

    def travel_forward(self, name: str, destination_time: int | None = None) -> Resource:
        """Lets happen what is due up to then, each thing at its own moment; the future cannot be reached."""
        self._must_have_arrived(name)
        machine = self.time_machine
        if "stands_at" not in machine:
            raise wrong_state("The site's time is the present: start afresh first", "time_machine")
        destination = self._present.seconds() if destination_time is None else destination_time
        if not machine["stands_at"] <= destination <= self._present.seconds():
            raise wrong_value("destination_time", "should lie between the machine's time and the present")
        while (due := self._soonest()) is not None and due <= destination:
            machine["stands_at"] = max(due, machine["stands_at"])
            self.run_due()
        return self._arrive_at(destination)

    def _arrive_at(self, moment: int) -> Resource:
        machine, now = self.time_machine, self._present.seconds()
        machine |= {
            "stands_at": moment,
            "destination_time": moment,
            "arrives_at": now + self.settings.time_travel_seconds,
        }
        if moment == now:
            # From here on the site's time runs again.
            del machine["stands_at"]
        return copy.deepcopy(self.travel(NAME))

    def _must_have_arrived(self, name: str) -> None:
        if self.travel(name)["time_travel_status"] == "in_progress":
            raise wrong_state("The time machine is on its way", "time_machine")


def _months_before(now: int) -> int:
    then = datetime.fromtimestamp(now, UTC)
    year, month = divmod(then.year * 12 + then.month - 1 - MONTHS_BACK, 12)
    day = min(then.day, calendar.monthrange(year, month + 1)[1])
    return int(then.replace(year=year, month=month + 1, day=day).timestamp())
