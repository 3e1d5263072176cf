"""What one m3ter organization holds, and the rules common to all its entities: versions, codes, ids and pages."""

import copy
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from connector.sandbox.clock import Clock
from connector.sandbox.component import Component, Resource
from connector.sandbox.ids import Ids
from connector.sandbox.m3ter import balance_shapes, credit_shapes, shapes
from connector.sandbox.m3ter.checks import Shape, iso, read
from connector.sandbox.m3ter.errors import Refused, bad_request, not_found
from connector.sandbox.webhooks import Webhooks

ORG_ID = "5a3dbc5e-0000-4000-8000-00000000ac3e"
API_KEY = "sandbox-key"
API_SECRET = "sandbox-secret"  # noqa: S105 - the sandbox's own, printed in its manual
TOKEN_SECONDS = 18_000
SERVICE_USER = "SERVICE_USER_5a3dbc5e-0000-4000-8000-0000000000a1"

Table = dict[str, Resource]


@dataclass(frozen=True)
class Entity:
    """One kind of entity: its name in messages, its fields, whether its code is unique, and its largest page."""

    name: str
    shape: Shape
    unique_code: bool = True
    page_limit: int = 100


ENTITIES: dict[str, Entity] = {
    "accounts": Entity("Account", shapes.ACCOUNT),
    "account_plans": Entity("AccountPlan", shapes.ACCOUNT_PLAN),
    "products": Entity("Product", shapes.PRODUCT, page_limit=200),
    "meters": Entity("Meter", shapes.METER),
    "aggregations": Entity("Aggregation", shapes.AGGREGATION),
    "compound_aggregations": Entity("CompoundAggregation", shapes.COMPOUND_AGGREGATION),
    "plan_templates": Entity("PlanTemplate", shapes.PLAN_TEMPLATE),
    "plans": Entity("Plan", shapes.PLAN),
    "pricings": Entity("Pricing", shapes.PRICING),
    "external_mappings": Entity("ExternalMapping", shapes.EXTERNAL_MAPPING, unique_code=False, page_limit=200),
    "currencies": Entity("Currency", shapes.CURRENCY),
    "notifications": Entity("NotificationConfiguration", shapes.NOTIFICATION),
    "webhooks": Entity("WebhookDestination", shapes.WEBHOOK),
    "integrations": Entity("IntegrationConfiguration", shapes.INTEGRATION, unique_code=False, page_limit=200),
    "balances": Entity("Balance", balance_shapes.BALANCE),
    "transaction_types": Entity("TransactionType", balance_shapes.TRANSACTION_TYPE),
    "transactions": Entity("Transaction", balance_shapes.TRANSACTION, unique_code=False, page_limit=200),
    "transaction_schedules": Entity("TransactionSchedule", balance_shapes.TRANSACTION_SCHEDULE),
    "charge_schedules": Entity("ChargeSchedule", balance_shapes.CHARGE_SCHEDULE),
    "charges": Entity("Charge", balance_shapes.CHARGE, page_limit=200),
    "credit_reasons": Entity("CreditReason", credit_shapes.REASON),
    "debit_reasons": Entity("DebitReason", credit_shapes.REASON),
    "credit_line_items": Entity("CreditLineItem", credit_shapes.CREDIT_LINE_ITEM, unique_code=False),
    "debit_line_items": Entity("DebitLineItem", credit_shapes.DEBIT_LINE_ITEM, unique_code=False),
    "counters": Entity("Counter", credit_shapes.COUNTER),
    "counter_pricings": Entity("CounterPricing", credit_shapes.COUNTER_PRICING),
    "counter_adjustments": Entity("CounterAdjustment", credit_shapes.COUNTER_ADJUSTMENT, unique_code=False),
    "commitments": Entity("Commitment", credit_shapes.COMMITMENT, unique_code=False),
}


@dataclass
class Settings:
    """What the reference leaves open or off, and a test may want otherwise."""

    requests_per_second: int | None = None
    allow_zero_length_plans: bool = False
    bill_job_seconds: int = 0
    single_object_previews: bool = False
    signature_header: str = "x-m3ter-signature"
    failures_before_disabling: int | None = None


class Organization(Component):
    """The organization's data; the rules of each kind of entity are in the classes built on it."""

    accounts: Table
    account_plans: Table
    products: Table
    meters: Table
    aggregations: Table
    compound_aggregations: Table
    plan_templates: Table
    plans: Table
    pricings: Table
    external_mappings: Table
    currencies: Table
    notifications: Table
    webhooks: Table
    integrations: Table
    balances: Table
    transaction_types: Table
    transactions: Table
    transaction_schedules: Table
    charge_schedules: Table
    charges: Table
    credit_reasons: Table
    debit_reasons: Table
    credit_line_items: Table
    debit_line_items: Table
    counters: Table
    counter_pricings: Table
    counter_adjustments: Table
    commitments: Table

    kept = (
        *ENTITIES,
        "bills",
        "bill_jobs",
        "usage",
        "usage_uids",
        "ingest_failures",
        "events",
        "config",
        "tokens",
        "extra_lines",
        "commitment_spends",
        "bill_lock",
        "globally_locked",
        "request_times",
        "settings",
        "_sequence",
        "_last_sequence",
    )

    def __init__(
        self,
        lock: threading.RLock,
        clock: Clock,
        ids: Ids,
        webhooks: Webhooks,
        org_id: str = ORG_ID,
        api_key: str = API_KEY,
        api_secret: str = API_SECRET,
    ) -> None:
        super().__init__(lock)
        self._clock = clock
        self._ids = ids
        self._webhook_queue = webhooks
        self.org_id = org_id
        self.api_key = api_key
        self.api_secret = api_secret
        self.settings = Settings()
        self.commitment_spends: dict[str, dict[str, Decimal]] = {}
        for kind in ENTITIES:
            setattr(self, kind, {})
        self.bills: Table = {}
        self.bill_jobs: Table = {}
        self.usage: list[Resource] = []
        self.usage_uids: set[str] = set()
        self.ingest_failures: list[Resource] = []
        self.events: Table = {}
        self.tokens: dict[str, float] = {}
        self.extra_lines: dict[str, list[Resource]] = {}
        self.request_times: list[float] = []
        self._sequence: dict[str, int] = {}
        self._last_sequence = 0
        self.globally_locked: dict[str, bool] = {}
        self.bill_lock: Resource = self._audited({})
        self.config: Resource = self._audited(
            {
                "currency": "USD",
                "timezone": "UTC",
                "dayEpoch": "2022-01-01",
                "weekEpoch": "2022-01-04",
                "monthEpoch": "2022-01-01",
                "yearEpoch": "2022-01-01",
                "daysBeforeBillDue": 14,
                "allowOverlappingPlans": False,
                "consolidateBills": False,
                "currencyConversions": [],
            }
        )
        for currency in ("USD", "EUR", "GBP", "JPY"):
            self.create("currencies", {"name": currency, "code": currency})

    def now(self) -> datetime:
        """The sandbox's time."""
        return self._clock.now()

    def issue_token(self) -> str:
        """A new bearer token."""
        token = self._ids.short("sandbox.", 40)
        self.tokens[token] = self._clock.now().timestamp() + TOKEN_SECONDS
        return token

    def expire_tokens(self) -> None:
        """Makes every token given so far worthless."""
        self.tokens.clear()

    def admit(self, org_id: str, token: str) -> None:
        """Raises Refused unless the token is good, the organization is this one and the second's requests are not used up."""
        now = self._clock.now().timestamp()
        if org_id != self.org_id or self.tokens.get(token, 0) <= now:
            raise Refused(403, "Forbidden")
        if self.settings.requests_per_second is None:
            return
        self.request_times[:] = [at for at in self.request_times if int(at) == int(now)]
        if len(self.request_times) >= self.settings.requests_per_second:
            raise Refused(429, "Too Many Requests")
        self.request_times.append(now)

    def create(self, kind: str, body: Any) -> Resource:
        """A new entity."""
        if isinstance(body, dict) and body.get("version") is not None:
            raise bad_request("version must be null on create")
        row = self._checked(kind, body, None)
        entity = self._audited(row)
        self._table(kind)[entity["id"]] = entity
        return copy.deepcopy(entity)

    def update(self, kind: str, entity_id: str, body: Any) -> Resource:
        """The entity, replaced: what the body leaves out is gone."""
        current = self.find(kind, entity_id)
        if not isinstance(body, dict) or body.get("version") is None:
            raise bad_request("version must not be null on update")
        if body["version"] != current["version"]:
            raise bad_request(f"version {body['version']} is not the current {current['version']}")
        row = self._checked(kind, body, current)
        replaced = {
            **{name: current[name] for name in ("id", "version", "dtCreated", "createdBy")},
            **row,
        }
        current.clear()
        current.update(replaced)
        self._modified(current)
        return copy.deepcopy(current)

    def delete(self, kind: str, entity_id: str) -> Resource:
        """The entity that is no more; one that others refer to stays."""
        entity = self.find(kind, entity_id)
        references = [name for name, referenced in REFERENCES.items() if referenced == kind]
        for user, description in ENTITIES.items():
            if any(row.get(name) == entity_id for row in self._table(user).values() for name in references):
                raise bad_request(f"{ENTITIES[kind].name} {entity_id} is used by a {description.name}")
        del self._table(kind)[entity_id]
        return entity

    def find(self, kind: str, entity_id: str) -> Resource:
        """The entity itself, not a copy; raises Refused where there is none."""
        entity = self._table(kind).get(entity_id)
        if entity is None:
            name = ENTITIES[kind].name if kind in ENTITIES else kind.rstrip("s")
            raise not_found(name, entity_id)
        return entity

    def page(self, rows: Iterable[Resource], query: Resource, page_limit: int) -> Resource:
        """One page of the rows, the newest first."""
        size = query.get("pageSize", str(min(page_limit, 20)))
        if not size.isdecimal() or not 1 <= int(size) <= page_limit:
            raise bad_request(f"pageSize must be between 1 and {page_limit}")
        ordered = sorted(rows, key=lambda row: self._sequence[row["id"]], reverse=True)
        token = query.get("nextToken")
        if token:
            if not token.isdecimal():
                raise bad_request("nextToken is not one that a list gave")
            ordered = [row for row in ordered if self._sequence[row["id"]] < int(token)]
        found = ordered[: int(size)]
        if len(found) == len(ordered):
            return {"data": found}
        return {"data": found, "nextToken": str(self._sequence[found[-1]["id"]])}

    def update_config(self, body: Any) -> Resource:
        """The organization's configuration, replaced."""
        if not isinstance(body, dict) or body.get("version") != self.config["version"]:
            raise bad_request(f"version must be the current {self.config['version']}")
        kept = {name: self.config[name] for name in ("id", "version", "dtCreated", "createdBy")}
        values = {**kept, **read(shapes.ORGANIZATION_CONFIG, body)}
        self.config.clear()
        self.config.update(values)
        self._modified(self.config)
        return copy.deepcopy(self.config)

    def _checked(self, kind: str, body: Any, current: Resource | None) -> Resource:
        """The body's fields after every rule of their kind; `current` is what they would replace."""
        entity = ENTITIES[kind]
        row = read(entity.shape, body)
        if entity.unique_code and "code" in row:
            for other in self._table(kind).values():
                if other is not current and other.get("code") == row["code"]:
                    raise bad_request(f"{entity.name} with code {row['code']} already exists")
        for name, referenced in REFERENCES.items():
            if name in row and kind != referenced and row[name] not in self._table(referenced):
                raise bad_request(f"{name} {row[name]} does not exist")
        rule = self._rules().get(kind)
        return row if rule is None else rule(row, current)

    def _rules(self) -> dict[str, Callable[[Resource, Resource | None], Resource]]:
        """What is checked or added beyond the fields, by kind."""
        return {"currencies": _with_code}

    def _table(self, kind: str) -> Table:
        table: Table = getattr(self, kind)
        return table

    def _audited(self, row: Resource) -> Resource:
        entity_id = self._ids.uuid()
        self._last_sequence += 1
        self._sequence[entity_id] = self._last_sequence
        now = iso(self._clock.now())
        return {
            "id": entity_id,
            "version": 1,
            **row,
            "dtCreated": now,
            "dtLastModified": now,
            "createdBy": SERVICE_USER,
            "lastModifiedBy": SERVICE_USER,
        }

    def _modified(self, entity: Resource) -> None:
        entity["version"] += 1
        entity["dtLastModified"] = iso(self._clock.now())
        entity["lastModifiedBy"] = SERVICE_USER

    def _must_know_currency(self, code: str) -> None:
        if all(currency["code"] != code for currency in self.currencies.values()):
            raise bad_request(f"Currency {code} is not configured")


REFERENCES = {
    "accountId": "accounts",
    "parentAccountId": "accounts",
    "planId": "plans",
    "planTemplateId": "plan_templates",
    "productId": "products",
    "meterId": "meters",
    "aggregationId": "aggregations",
    "balanceId": "balances",
    "billId": "bills",
    "referencedBillId": "bills",
    "creditReasonId": "credit_reasons",
    "debitReasonId": "debit_reasons",
    "counterId": "counters",
    "drawdownsAccountingProductId": "products",
    "transactionTypeId": "transaction_types",
    "consumptionsAccountingProductId": "products",
    "feesAccountingProductId": "products",
}


def exact(value: Any) -> Any:
    """The value with every number exact, as if it had come over the wire; raises TypeError for a float."""
    if isinstance(value, float):
        raise TypeError(f"{value!r} is a float: pass an int, a Decimal or a text")
    if isinstance(value, dict):
        return {name: exact(member) for name, member in value.items()}
    return [exact(member) for member in value] if isinstance(value, list | tuple) else value


def amount(value: Any) -> Decimal:
    """An amount from an int, a Decimal or a text."""
    return Decimal(exact(value))


def _with_code(row: Resource, _: Resource | None) -> Resource:
    return {"code": row["name"], **row}
