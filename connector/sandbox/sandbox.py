"""The sandbox: Chargebee and m3ter in one process, with a clock to move and faults to order."""

import copy
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

from connector.sandbox import chargebee, m3ter
from connector.sandbox.app import create_app
from connector.sandbox.clock import Clock
from connector.sandbox.component import Component, Resource, put_back, take
from connector.sandbox.faults import Faults
from connector.sandbox.gate import Call
from connector.sandbox.ids import Ids
from connector.sandbox.webhooks import Delivery, Posting, Send, Webhooks, attempt, over_http

DEFAULT_NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Sandbox:
    """Both providers, their clock, the faults ordered and the calls received."""

    def __init__(
        self,
        seed: int = 1,
        now: datetime = DEFAULT_NOW,
        ticking: bool = False,
        *,
        site: str = chargebee.SITE,
        chargebee_api_key: str = chargebee.API_KEY,
        org_id: str = m3ter.ORG_ID,
        m3ter_api_key: str = m3ter.API_KEY,
        m3ter_api_secret: str = m3ter.API_SECRET,
    ) -> None:
        self.lock = threading.RLock()
        self.clock = Clock(self.lock, now, ticking)
        self.ids = Ids(self.lock, seed)
        self.faults = Faults(self.lock)
        self.webhooks = Webhooks(self.lock, self.clock)
        self.chargebee = chargebee.Chargebee(self.lock, self.clock, self.ids, self.webhooks, site, chargebee_api_key)
        self.m3ter = m3ter.M3ter(
            self.lock, self.clock, self.ids, self.webhooks, org_id, m3ter_api_key, m3ter_api_secret
        )
        self.calls: list[Call] = []
        self.snapshots: dict[str, Any] = {}
        self.app, self._gate = create_app(self)

    def advance(
        self, by: timedelta = timedelta(0), *, to: datetime | None = None, send: Send | None = None
    ) -> list[Delivery]:
        """Moves the time; everything due on the way happens in order, each thing at its own moment.

        Webhooks are sent on the way only if `send` is given, and then returned; otherwise they wait for `deliver`.
        """
        if to is not None and to < self.clock.now():
            raise ValueError(f"{to} has passed: the sandbox's time only moves forward")
        if by < timedelta(0):
            raise ValueError("the sandbox's time only moves forward")
        with self.lock:
            return self._run_until(self.clock.now() + by if to is None else to, send)

    def settle(self) -> None:
        """Lets everything happen that has become due while the clock ran."""
        with self.lock:
            now = self.clock.now()
            due = _first(self.chargebee.expected_due(), self.m3ter.next_due(), self.faults.next_due())
            if due is not None and due <= now:
                self._run_until(now, None)

    def deliver(self, send: Send | None = None, *, shuffled: bool = False) -> list[Delivery]:
        """Sends every webhook that is due now, in order or shuffled, and says how each try ended."""
        self.settle()
        postings = self.webhooks.claim_due()
        if shuffled:
            postings = self.ids.shuffled(postings)
        deliveries = []
        try:
            for posting in postings:
                delivery = self._deliver_one(posting, send or over_http)
                if delivery is not None:
                    deliveries.append(delivery)
        finally:
            for posting in postings:
                self.webhooks.release(posting)
        return deliveries

    def snapshot(self) -> Any:
        """All that the sandbox holds, to be restored later."""
        with self.lock:
            return take(self._components()), copy.deepcopy(self.calls)

    def restore(self, snapshot: Any) -> None:
        """Makes everything as it was when the snapshot was taken."""
        components, calls = snapshot
        with self.lock:
            put_back(self._components(), components)
            self.calls[:] = copy.deepcopy(calls)

    def summary(self) -> Resource:
        """What there is, in numbers, and what time it is."""
        with self.lock:
            return {
                "now": self.clock.now().isoformat(),
                "chargebee": {
                    name: len(getattr(self.chargebee, name))
                    for name in ("customers", "subscriptions", "invoices", "item_prices", "events", "webhook_endpoints")
                },
                "m3ter": {
                    name: len(getattr(self.m3ter, name))
                    for name in (
                        "accounts",
                        "account_plans",
                        "external_mappings",
                        "plans",
                        "bills",
                        "usage",
                        "webhooks",
                    )
                },
                "calls": len(self.calls),
                "faults": len(self.faults.orders),
                "webhooks_waiting": len(self.webhooks.waiting),
            }

    def _run_until(self, target: datetime, send: Send | None) -> list[Delivery]:
        deliveries: list[Delivery] = []
        while (due := self._next_due(sending=send is not None)) is not None and due <= target:
            self.clock.set(max(due, self.clock.now()))
            self.chargebee.run_due()
            self.m3ter.run_due()
            for late in self.faults.take_due(self.clock.now()):
                self._gate.replay(late)
            if send is not None:
                deliveries += self.deliver(send)
        self.clock.set(target)
        return deliveries

    def _next_due(self, *, sending: bool) -> datetime | None:
        moments = [self.chargebee.next_due(), self.m3ter.next_due(), self.faults.next_due()]
        if sending:
            moments.append(self.webhooks.next_due())
        return _first(*moments)

    def _deliver_one(self, posting: Posting, send: Send) -> Delivery | None:
        source = self.chargebee if posting.provider == "chargebee" else self.m3ter
        message = source.webhook_message(posting.event_id, posting.endpoint_id, posting.failures)
        if message is None:
            self.webhooks.drop(posting)
            return None
        delivery = self.webhooks.settle(posting, message.url, attempt(send, message))
        source.note_delivery(posting.endpoint_id, delivery)
        return delivery

    def _components(self) -> dict[str, Component]:
        return {
            "clock": self.clock,
            "ids": self.ids,
            "faults": self.faults,
            "webhooks": self.webhooks,
            "chargebee": self.chargebee,
            "m3ter": self.m3ter,
        }


def _first(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)
