"""What one Chargebee site holds, and how every write leaves its mark: a version, an event, a webhook."""

import base64
import contextlib
import copy
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from connector.sandbox.chargebee.errors import Refused, must_be_ours_to_change, not_found, wrong_value
from connector.sandbox.chargebee.site_time import SiteTime
from connector.sandbox.clock import Clock
from connector.sandbox.component import Component, Resource
from connector.sandbox.ids import Ids
from connector.sandbox.webhooks import Delivery, Message, Webhooks, outcome

SITE = "acme-test"
API_KEY = "test_sandbox_key"
API_KEY_NAME = "sandbox full access key"
ADMIN = "admin@acme.test"
MAX_ENDPOINTS = 5
PORTS = frozenset({80, 443, 8080, 8443})
IDEMPOTENCY_SECONDS = 30 * 60


@dataclass
class Settings:
    """What a person sets on the site, and what its plan allows."""

    # The first is the base currency.
    currencies: list[str] = field(default_factory=lambda: ["USD", "EUR", "GBP", "JPY"])
    notify_pending_invoices: bool = True
    auto_close_days: int | None = None
    pending_invoice_on_cancel: bool = False
    line_ids_change_on_close: bool = False
    enterprise_scale: bool = False
    # Without it, the catalogue's price stands whatever the call says.
    price_override: bool = True
    requests_per_minute: int | None = None
    # How long moving a subscription to another customer takes; Chargebee says up to five minutes.
    move_seconds: int = 0
    # Chargebee names promotional credits only where an invoice is generated, not where a pending one is closed.
    promotional_credits_on_close: bool = False
    # More than one makes duplicates, as Chargebee sends them now and then.
    webhook_copies: int = 1
    # Up to so long each webhook takes, by chance: they come in any order.
    webhook_latency_seconds: int = 0
    # Whether the prices sent already hold the tax: tax_exclusive or tax_inclusive.
    price_type: str = "tax_exclusive"
    # With it, invoices cannot be listed by subscription.
    consolidated_invoicing: bool = False
    credit_note_reason_required: bool = False
    void_with_credit_note: bool = False
    # Whether filters on texts take capital letters for small ones.
    filters_ignore_case: bool = False
    # Chargebee sends to few ports only; a receiver in a test has whichever is free.
    any_webhook_port: bool = True
    # Whether every card on file is refused when it is charged.
    cards_decline: bool = False
    # After how many days each, counted from the try before, a refused card is tried again.
    dunning_days: list[int] = field(default_factory=list)
    # How long a subscription's `mrr` lags behind its items; without it nobody counts.
    mrr_seconds: int | None = None
    # How long before a trial's end, a cancellation, a renewal or a due date an event reminds of it.
    reminder_days: int | None = None
    # Addons may have terms of their own, other than the plan's.
    multi_frequency: bool = False
    # What changing a subscription does to its ramps: keep, delete or draft.
    ramps_on_update: str = "keep"
    # How long the time machine takes.
    time_travel_seconds: int = 0


@dataclass(frozen=True)
class StoredAnswer:
    """What a POST with an idempotency key was answered."""

    fingerprint: str
    body: str
    at: int


class Site(Component):
    """The site's data and its bookkeeping; the rules are in the classes built on it."""

    kept = (
        "customers",
        "subscriptions",
        "invoices",
        "item_families",
        "items",
        "item_prices",
        "comments",
        "events",
        "webhook_endpoints",
        "endpoint_logins",
        "answers",
        "request_times",
        "billing_days",
        "scheduled_changes",
        "ramps",
        "moves",
        "coupons",
        "contract_terms",
        "schedules",
        "retries",
        "mrr_due",
        "reminded",
        "time_machine",
        "promotional_credits",
        "credit_notes",
        "transactions",
        "unbilled_charges",
        "settings",
        "_last_version",
        "_last_invoice",
        "_last_credit_note",
    )

    def __init__(
        self,
        lock: threading.RLock,
        clock: Clock,
        ids: Ids,
        webhooks: Webhooks,
        site: str = SITE,
        api_key: str = API_KEY,
    ) -> None:
        super().__init__(lock)
        # The sandbox's own time, which the site's machine cannot turn back.
        self._present = clock
        self.time_machine: Resource = {}
        self._clock = SiteTime(clock, self.time_machine)
        self._ids = ids
        self._webhooks = webhooks
        self.site = site
        self.api_key = api_key
        self.settings = Settings()
        self.customers: dict[str, Resource] = {}
        self.subscriptions: dict[str, Resource] = {}
        self.invoices: dict[str, Resource] = {}
        self.item_families: dict[str, Resource] = {}
        self.items: dict[str, Resource] = {}
        self.item_prices: dict[str, Resource] = {}
        self.comments: dict[str, Resource] = {}
        self.events: dict[str, Resource] = {}
        self.webhook_endpoints: dict[str, Resource] = {}
        self.endpoint_logins: dict[str, tuple[str, str] | None] = {}
        self.answers: dict[str, StoredAnswer] = {}
        self.request_times: list[float] = []
        # Day of the month on which a subscription bills, so that one begun on the 31st comes back to it after February.
        self.billing_days: dict[str, int] = {}
        self.scheduled_changes: dict[str, Resource] = {}
        self.ramps: dict[str, Resource] = {}
        self.promotional_credits: dict[str, Resource] = {}
        self.credit_notes: dict[str, Resource] = {}
        self.transactions: dict[str, Resource] = {}
        self.unbilled_charges: dict[str, Resource] = {}
        # By subscription: when it arrives at another customer, and at which.
        self.moves: dict[str, tuple[int, str]] = {}
        self.coupons: dict[str, Resource] = {}
        self.contract_terms: dict[str, Resource] = {}
        # By subscription: the advance invoices planned.
        self.schedules: dict[str, list[Resource]] = {}
        # By invoice: when its card is tried again.
        self.retries: dict[str, int] = {}
        # By subscription: when its `mrr` catches up.
        self.mrr_due: dict[str, int] = {}
        # What was reminded of, and of which of its moments.
        self.reminded: dict[str, int] = {}
        self._last_version = 0
        self._last_invoice = 0
        self._last_credit_note = 0
        # What was written since somebody last asked when something happens next.
        # While subscriptions renew: the invoices they share so far, and whether each will be pending.
        self._gathering: dict[str, bool] = {}
        self._together = False
        self._written: dict[tuple[str, str], None] = {}
        self._actor = ("admin_console", ADMIN)
        self._webhooks_wanted = True

    @contextlib.contextmanager
    def acting(self, source: str, user: str | None, *, webhooks: bool = True) -> Iterator[None]:
        """Within it, events name this source and user."""
        before = self._actor, self._webhooks_wanted
        self._actor, self._webhooks_wanted = (source, user or ""), webhooks
        try:
            yield
        finally:
            self._actor, self._webhooks_wanted = before

    def admit(self) -> None:
        """Counts one request; raises Refused when the last minute already had as many as the plan allows."""
        if self.settings.requests_per_minute is None:
            return
        now = self._present.now().timestamp()
        self.request_times[:] = [at for at in self.request_times if at > now - 60]
        if len(self.request_times) >= self.settings.requests_per_minute:
            wait = int(self.request_times[0] + 60 - now) + 1
            raise Refused(429, "Too many requests in the last minute", retry_after=wait)
        self.request_times.append(now)

    def stored_answer(self, key: str, fingerprint: str) -> str | None:
        """The answer to replay for this idempotency key, if one is held; raises Refused for a key used otherwise."""
        if len(key) > 100:
            raise Refused(400, "The idempotency key should not exceed 100 characters", code="param_wrong_value")
        stored = self.answers.get(key)
        if stored is None or self._present.seconds() - stored.at >= IDEMPOTENCY_SECONDS:
            return None
        if stored.fingerprint != fingerprint:
            raise Refused(422, "The idempotency key was used before with other parameters")
        return stored.body

    def store_answer(self, key: str, fingerprint: str, body: str) -> None:
        """Keeps the answer for replays."""
        self.answers[key] = StoredAnswer(fingerprint, body, self._present.seconds())

    def find(self, kind: str, resource_id: str) -> Resource:
        """The resource itself, not a copy; raises Refused where there is none or it was deleted."""
        table: dict[str, Resource] = getattr(self, TABLES[kind])
        resource = table.get(resource_id)
        if resource is None or resource.get("deleted"):
            raise not_found(kind, resource_id)
        return resource

    def to_change(self, kind: str, resource_id: str) -> Resource:
        """The resource itself, for an operation that changes it; raises Refused where only an app store may."""
        resource = self.find(kind, resource_id)
        must_be_ours_to_change(resource)
        return resource

    def _stamp(self, resource: Resource) -> None:
        """Marks a change: the version counts milliseconds and never stands still, whatever the clock does."""
        resource["updated_at"] = self._clock.seconds()
        self._new_version(resource)

    def _new_version(self, resource: Resource) -> None:
        self._last_version = max(self._last_version + 1, int(self._clock.now().timestamp() * 1000))
        resource["resource_version"] = self._last_version
        self._written[resource["object"], resource["id"]] = None

    def _event(self, event_type: str, **content: Any) -> None:
        """Records what happened, with the resources as they are now, and makes its webhooks due."""
        source, user = self._actor
        event: Resource = {
            "id": self._ids.short("ev_"),
            "occurred_at": self._clock.seconds(),
            "source": source,
            **({"user": user} if user else {}),
            "object": "event",
            "api_version": "v2",
            "event_type": event_type,
            "webhook_status": "not_configured",
            "content": copy.deepcopy({name: resource for name, resource in content.items() if resource}),
        }
        self.events[event["id"]] = event
        endpoints = [endpoint for endpoint in self.webhook_endpoints.values() if _wants(endpoint, event_type)]
        if endpoints and not self._webhooks_wanted:
            event["webhook_status"] = "disabled"
        elif endpoints:
            event["webhook_status"] = "scheduled"
            for endpoint in endpoints:
                for _ in range(self.settings.webhook_copies):
                    self._webhooks.post("chargebee", event["id"], event_type, endpoint["id"], self._latency())

    def announce(self, event_type: str, **ids: str) -> None:
        """An event about something that the sandbox has no rules for, with the resources of these kinds and ids."""
        self._event(event_type, **{kind: self.find(kind, resource_id) for kind, resource_id in ids.items()})

    def _latency(self) -> timedelta:
        """How long a webhook takes, by chance, so that they overtake each other."""
        longest = min(self.settings.webhook_latency_seconds, 3600)
        return timedelta(seconds=self._ids.shuffled(list(range(longest + 1)))[0] if longest > 0 else 0)

    def resend_event(self, event_id: str) -> None:
        """Sends the event's webhooks again, as a person can from the console."""
        event = self.find("event", event_id)
        for endpoint in self.webhook_endpoints.values():
            if _wants(endpoint, event["event_type"]):
                self._webhooks.post("chargebee", event_id, event["event_type"], endpoint["id"])

    def add_webhook_endpoint(
        self, url: str, username: str | None = None, password: str | None = None, **fields: Any
    ) -> Resource:
        """A new endpoint that is sent every event from now on, or only its `enabled_events`."""
        if len(self.webhook_endpoints) >= MAX_ENDPOINTS:
            raise Refused(400, f"A site has at most {MAX_ENDPOINTS} endpoints", code="resource_limit_exceeded")
        self._check_port(url)
        endpoint: Resource = {
            "id": self._ids.short("whv2_"),
            "name": url[:50],
            "url": url,
            "send_card_resource": False,
            "disabled": False,
            "primary_url": not self.webhook_endpoints,
            "object": "webhook_endpoint",
            "api_version": "v2",
            **fields,
        }
        self.webhook_endpoints[endpoint["id"]] = endpoint
        self.endpoint_logins[endpoint["id"]] = None if username is None else (username, password or "")
        return copy.deepcopy(endpoint)

    def update_webhook_endpoint(
        self, endpoint_id: str, username: str | None = None, password: str | None = None, **fields: Any
    ) -> Resource:
        """The endpoint with these fields changed; without `enabled_events` it gets all events again."""
        endpoint = self.find("webhook_endpoint", endpoint_id)
        self._check_port(str(fields.get("url", endpoint["url"])))
        endpoint.pop("enabled_events", None)
        set_fields(endpoint, fields)
        if username is not None:
            self.endpoint_logins[endpoint_id] = (username, password or "")
        return copy.deepcopy(endpoint)

    def _check_port(self, url: str) -> None:
        if self.settings.any_webhook_port:
            return
        try:
            target = urlsplit(url)
            port = target.port or {"http": 80, "https": 443}.get(target.scheme)
        except ValueError:
            port = None
        if port not in PORTS:
            raise wrong_value("url", "should use one of the ports 80, 443, 8080 and 8443")

    def delete_webhook_endpoint(self, endpoint_id: str) -> Resource:
        """The endpoint that is no more; what was on its way to it is dropped."""
        endpoint = self.find("webhook_endpoint", endpoint_id)
        del self.webhook_endpoints[endpoint_id]
        return endpoint

    def webhook_message(self, event_id: str, endpoint_id: str, failures: int) -> Message | None:
        """The webhook as it is sent now, or None when the endpoint or the event is gone."""
        endpoint, event = self.webhook_endpoints.get(endpoint_id), self.events.get(event_id)
        if endpoint is None or event is None or endpoint["disabled"]:
            return None
        # The first delivery carries no list of webhooks; retries show how the try before ended.
        body = event if failures else {name: value for name, value in event.items() if name != "webhooks"}
        headers = {"Content-Type": "application/json;charset=UTF-8", "User-Agent": "ChargeBee"}
        if (login := self.endpoint_logins[endpoint_id]) is not None:
            headers["Authorization"] = basic(*login)
        return Message(endpoint["url"], headers, json.dumps(body).encode())

    def note_delivery(self, endpoint_id: str, delivery: Delivery) -> None:
        """Writes on the event how the try at its webhook ended."""
        event = self.events.get(delivery.event_id)
        if event is None:
            return
        status = outcome(delivery)
        webhooks = [webhook for webhook in event.get("webhooks", []) if webhook["id"] != endpoint_id]
        event["webhooks"] = [*webhooks, {"id": endpoint_id, "webhook_status": status, "object": "webhook"}]
        event["webhook_status"] = status

    def add_comment(self, entity_type: str, entity_id: str, notes: str, added_by: str | None = None) -> Resource:
        """A new internal comment on a resource."""
        comment: Resource = {
            "id": self._ids.short("cmt_"),
            "entity_type": entity_type,
            "entity_id": entity_id,
            "notes": notes,
            "added_by": added_by or self._actor[1],
            "created_at": self._clock.seconds(),
            "type": "user",
            "object": "comment",
        }
        self.comments[comment["id"]] = comment
        return comment

    def _comment(self, entity_type: str, entity_id: str, notes: str | None) -> None:
        if notes:
            self.add_comment(entity_type, entity_id, notes)

    def next_invoice_number(self) -> str:
        """The next of the site's invoice numbers."""
        self._last_invoice += 1
        return str(self._last_invoice)


TABLES = {
    "customer": "customers",
    "subscription": "subscriptions",
    "invoice": "invoices",
    "item_family": "item_families",
    "item": "items",
    "item_price": "item_prices",
    "comment": "comments",
    "event": "events",
    "ramp": "ramps",
    "coupon": "coupons",
    "contract_term": "contract_terms",
    "promotional_credit": "promotional_credits",
    "credit_note": "credit_notes",
    "transaction": "transactions",
    "unbilled_charge": "unbilled_charges",
    "webhook_endpoint": "webhook_endpoints",
}


# Fields without which their resource would not work; clearing one changes nothing.
NEVER_CLEARED = frozenset(
    {
        "auto_collection",
        "create_pending_invoices",
        "currency_code",
        "id",
        "item_id",
        "name",
        "net_term_days",
        "period",
        "period_unit",
        "price",
        "pricing_model",
        "status",
        "tiers",
    }
)


def set_fields(resource: Resource, fields: Resource) -> None:
    """Writes the fields; None takes one away."""
    for name, value in fields.items():
        if value is not None:
            resource[name] = value
        elif name not in NEVER_CLEARED:
            resource.pop(name, None)


def basic(username: str, password: str) -> str:
    """The value of a basic authentication header."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def _wants(endpoint: Resource, event_type: str) -> bool:
    enabled = endpoint.get("enabled_events")
    return not endpoint["disabled"] and (not enabled or event_type in enabled)
