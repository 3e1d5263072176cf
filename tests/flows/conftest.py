"""The connector between two sandboxes, driven from its web edge; `World` is what a test sees and does."""

import hashlib
import hmac
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, select

from connector import clock, jobs, services, settings, syncs
from connector.access import ADMIN, OPERATOR, VIEWER
from connector.bills import approvals
from connector.mappings import set_up
from connector.mappings.pairs import Pair
from connector.models import Attempt, InboxEvent, Receipt, Sync
from connector.sandbox import Sandbox, serve
from connector.services import Services
from tests.flows.browser import Browser, add_user, app_of

START = datetime(2026, 1, 1, tzinfo=UTC)
PRO, SCALE, UNMAPPED, SUPPORT = "pro-USD-monthly", "scale-USD-monthly", "beta-USD-monthly", "support-USD-monthly"
CALLS_PRICE, FEE_PRICE = "m3ter-calls-USD", "m3ter-fee-USD"
LOGIN = ("hook", "päss")


@dataclass
class World:
    """Both sandboxes, the connector, and the people in between."""

    box: Sandbox
    services: Services
    client: FlaskClient
    ids: dict[str, str]

    @property
    def chargebee(self) -> Any:
        return self.box.chargebee

    @property
    def m3ter(self) -> Any:
        return self.box.m3ter

    def post(self, path: str, body: bytes, headers: dict[str, str] | None = None, **options: Any) -> int:
        """The status with which the web edge answers this delivery."""
        options.setdefault("auth", LOGIN)
        return self.client.post(
            path, data=body, headers=headers, content_type="application/json", **options
        ).status_code

    def deliver(self) -> None:
        """Let the sandboxes send all webhooks that are due to the web edge."""
        self.box.deliver(self.send)

    def hold_back(self) -> list[tuple[str, dict[str, str], bytes]]:
        """The deliveries that are due, kept for the test to send as it likes; their senders think that they arrived."""
        held: list[tuple[str, dict[str, str], bytes]] = []

        def keep(url: str, headers: dict[str, str], body: bytes) -> int:
            held.append((url, headers, body))
            return 204

        self.box.deliver(keep)
        return held

    def send(self, url: str, headers: dict[str, str], body: bytes) -> int:
        return self.client.post("/" + url.split("/", 3)[3], data=body, headers=headers).status_code

    def work(self) -> None:
        """Let clock and workers do all that is due now, through Redis."""
        for _ in range(10):
            clock.sweep(self.services)
            if not any(queue.count for queue in self.queues()):
                return
            for queue in self.queues():
                if queue.count:
                    self.burst(queue.name)
        raise AssertionError("the queues never ran dry")

    def burst(self, queue: str) -> None:
        """Let a worker do what is in the queue, and end."""
        worker = jobs.worker(self.services, queue)
        # Nobody sends it RQ's commands; at its end a worker that listens for them waits for that thread.
        worker.subscribe = lambda: None
        # It is gone before anybody could ask whether it lives: its signs of life are a seventh of all that Redis is told.
        worker.heartbeat = lambda *_, **__: None
        worker.work(burst=True, logging_level="WARNING")

    def queues(self) -> list[Any]:
        from rq import Queue

        return [Queue(name, connection=self.services.redis) for name in jobs.QUEUES]

    def settle(self) -> None:
        """Webhooks delivered and all work done."""
        self.deliver()
        self.work()

    def poll(self) -> None:
        """Let the clock ask m3ter for approved bills, then do the work."""
        approvals.poll(self.services, "default")
        self.work()

    def retry(self, sync_id: int) -> None:
        """An admin lets the sync go on."""
        with self.services.transaction() as db:
            assert syncs.retry(db, sync_id, "ada", self.services.now()) == "queued"
        self.work()

    def wait(self, **span: float) -> None:
        """Let time pass without anything else happening in between, then do what is due."""
        self.box.advance(timedelta(**span))
        self.work()

    def sign_up(
        self, customer_id: str = "acme", subscription_id: str = "sub-1", items: tuple[str, ...] = (PRO,), **fields: Any
    ) -> None:
        """A customer with one subscription, in Chargebee."""
        if customer_id not in self.chargebee.customers:
            self.chargebee.create_customer(
                id=customer_id,
                company=f"{customer_id} Ltd",
                email=f"{customer_id}@example.test",
                preferred_currency_code="USD",
            )
        self.chargebee.create_subscription(customer_id, item_price_ids=list(items), id=subscription_id, **fields)

    def plans(self, customer_id: str = "acme") -> list[dict[str, Any]]:
        """m3ter's account plans of the customer, oldest first."""
        accounts = {account["id"] for account in self.m3ter.accounts.values() if account["code"] == customer_id}
        mine = [plan for plan in self.m3ter.account_plans.values() if plan["accountId"] in accounts]
        return sorted(mine, key=lambda plan: (plan["startDate"], plan["id"]))

    def periods(self, customer_id: str = "acme") -> list[tuple[str, str, str | None]]:
        """Plan, start and end of each of the customer's account plans."""
        names = {plan_id: name for name, plan_id in self.ids.items()}
        return [(names[plan["planId"]], plan["startDate"], plan.get("endDate")) for plan in self.plans(customer_id)]

    def mapped(self, entity: str) -> list[tuple[str, str]]:
        """Table and id of each Chargebee record that m3ter shows for this kind of entity."""
        return sorted(
            (one["externalTable"], one["externalId"])
            for one in self.m3ter.external_mappings.values()
            if one["m3terEntity"] == entity and one["externalSystem"] == "Chargebee"
        )

    def bill(self, *lines: dict[str, Any], customer_id: str = "acme") -> str:
        """An approved bill for the last month with these lines, or one of ten dollars; answers its id."""
        account = self.m3ter.account_by_code(customer_id)
        day = self.box.clock.now().date().replace(day=1)
        [bill_id] = self.m3ter.run_bill_job(account_ids=[account["id"]], bill_date=day)["billIds"]
        self.m3ter.add_lines(bill_id, [self.usage_line() | line for line in lines or ({},)])
        self.m3ter.approve(bill_id)
        return str(bill_id)

    def usage_line(self) -> dict[str, Any]:
        """A bill line of usage as Pro in January."""
        return {
            "lineItemType": "USAGE", "description": "API calls", "subtotal": 10, "currency": "USD",
            "planId": self.ids["pro"], "aggregationId": self.ids["calls"], "productId": self.ids["product"],
            "servicePeriodStartDate": "2026-01-01T00:00:00Z", "servicePeriodEndDate": "2026-02-01T00:00:00Z",
        }  # fmt: skip

    def use(self, calls: int, day: int, customer_id: str = "acme", month: int = 1) -> None:
        """Usage on a day, sent to m3ter."""
        self.m3ter.submit_usage(
            customer_id, "api_calls", datetime(2026, month, day, 12, tzinfo=UTC), measure={"calls": calls}
        )

    def renew(self) -> str:
        """The first of February comes, and with it the pending invoice; answers the invoice's id."""
        self.box.advance(to=datetime(2026, 2, 1, 0, 10, tzinfo=UTC))
        self.settle()
        [invoice] = self.chargebee.pending_invoices("sub-1")
        return str(invoice["id"])

    def charges(self, invoice_id: str) -> list[tuple[str, int]]:
        """What we put on the invoice: item price and amount in minor units."""
        lines = self.chargebee.invoices[invoice_id]["line_items"]
        return [(line["entity_id"], line["amount"]) for line in lines if line["entity_type"] == "charge_item_price"]

    def syncs(self, **wanted: Any) -> list[Sync]:
        with self.services.reading() as db:
            return list(db.scalars(select(Sync).filter_by(**wanted).order_by(Sync.id)))

    def sync(self, kind: str, subject: str) -> Sync:
        """The newest sync of the subject."""
        return self.syncs(kind=kind, subject=subject)[-1]

    def attempts(self, sync_id: int) -> list[Attempt]:
        """Every try at the sync, oldest first."""
        with self.services.reading() as db:
            return list(db.scalars(select(Attempt).filter_by(sync_id=sync_id).order_by(Attempt.id)))

    def inbox(self) -> list[InboxEvent]:
        with self.services.reading() as db:
            return list(db.scalars(select(InboxEvent).order_by(InboxEvent.id)))

    def receipts(self) -> list[dict[str, Any]]:
        with self.services.reading() as db:
            return [row.body for row in db.scalars(select(Receipt).order_by(Receipt.id))]

    def map(
        self, entity: str, m3ter_id: str, external_id: str, table: str = "ItemPrice", currency: str | None = None
    ) -> list[int]:
        pair = Pair(entity, m3ter_id, table, external_id, currency)
        return set_up.add(self.services, "default", [pair], made_by="test")

    def calls(self, provider: str, operation: str | None = None) -> list[Any]:
        """The calls that the provider has received since the last `forget_calls`, tokens left out."""
        return [
            call
            for call in self.box.calls
            if call.provider == provider and call.operation != "token" and operation in (None, call.operation)
        ]

    def forget_calls(self) -> None:
        self.box.calls.clear()


def signed(body: bytes, secret: bytes = b"s3cret") -> dict[str, str]:
    """The header that carries the signature of a m3ter notification."""
    return {"x-m3ter-signature": hmac.new(secret, body, hashlib.sha256).hexdigest()}


@pytest.fixture
def box() -> Iterator[Sandbox]:
    sandbox = Sandbox(seed=1, now=START)
    server = serve(sandbox)
    sandbox.url = server.url
    yield sandbox
    server.stop()


@pytest.fixture
def make_services(box: Sandbox, engine: Engine, redis_url: str) -> Iterator[Callable[..., Services]]:
    made: list[Services] = []

    def make(**environment: str) -> Services:
        loaded = settings.load(
            {
                "DATABASE_URL": engine.url.render_as_string(hide_password=False),
                "REDIS_URL": redis_url,
                "CHARGEBEE_SITE": box.chargebee.site,
                "CHARGEBEE_API_KEY": box.chargebee.api_key,
                "CHARGEBEE_API_URL": f"{box.url}/chargebee/api/v2",
                "CHARGEBEE_WEBHOOK_USERNAME": LOGIN[0],
                "CHARGEBEE_WEBHOOK_PASSWORD": LOGIN[1],
                "M3TER_ORG_ID": box.m3ter.org_id,
                "M3TER_API_KEY": box.m3ter.api_key,
                "M3TER_API_SECRET": box.m3ter.api_secret,
                "M3TER_API_URL": f"{box.url}/m3ter",
                "M3TER_WEBHOOK_SECRET": "s3cret",
                "M3TER_WEBHOOK_SIGNATURE_HEADER": "x-m3ter-signature",
                "M3TER_WEBHOOK_SIGNATURE_SCHEME": "hmac-sha256-hex",
                "SESSION_SECRET": "a secret of the tests, 32 characters",
                "CONSOLE_PLAIN_HTTP": "true",
                **environment,
            }
        )
        built = services.build(loaded, now=box.clock.now, chance=random.Random(1), sleep=lambda _: None)
        # SQLAlchemy keeps the SQL that it has compiled with its engine: all tests of a process share that.
        made.append(built if "DATABASE_URL" in environment else replace(built, engine=engine))
        return made[-1]

    yield make
    for one in made:
        if one.engine is not engine:
            one.engine.dispose()
        one.redis.close()


@pytest.fixture
def world(box: Sandbox, make_services: Callable[..., Services]) -> Iterator[World]:
    made = make_services()
    made.redis.flushall()
    assert made.installed_at == START
    world = World(box, made, edge(made), catalogue(box))
    box.chargebee.add_webhook_endpoint("http://connector.test/webhooks/chargebee", *LOGIN)
    pairs = [
        Pair("Plan", world.ids["pro"], "ItemPrice", PRO),
        Pair("Plan", world.ids["scale"], "ItemPrice", SCALE),
        Pair("Aggregation", world.ids["calls"], "ItemPrice", CALLS_PRICE, "USD"),
        Pair("NotMetered", "*", "ItemPrice", SUPPORT),
    ]
    # Both catalogues have them: asking would be a tenth of most tests.
    set_up.add(made, "default", pairs, made_by="test", check=False)
    world.forget_calls()
    yield world


def edge(services: Services) -> FlaskClient:
    """The web edge without the console; for that there is `Browser`."""
    return app_of(
        replace(services, settings=services.settings.model_copy(update={"session_secret": None}))
    ).test_client()


@pytest.fixture
def people(world: World) -> World:
    """The world with somebody of each role who may log in to the console."""
    for name, role in (("vera", VIEWER), ("otto", OPERATOR), ("ada", ADMIN)):
        add_user(world.services, name, role)
    return world


@pytest.fixture
def as_person(people: World) -> Callable[..., Browser]:
    """A browser in which this person is logged in."""

    def open_browser(name: str, services: Services | None = None) -> Browser:
        browser = Browser(services or people.services)
        assert browser.log_in(name).status_code == 303
        return browser

    return open_browser


def catalogue(box: Sandbox) -> dict[str, str]:
    """Both providers with the same small catalogue; answers m3ter's ids by name."""
    chargebee, m3ter = box.chargebee, box.m3ter
    chargebee.create_item_family(id="saas", name="SaaS")
    for price in (PRO, SCALE, UNMAPPED, SUPPORT):
        kind = "addon" if price == SUPPORT else "plan"
        item = price.split("-")[0]
        chargebee.create_item(id=item, name=item, type=kind, item_family_id="saas")
        chargebee.create_item_price(
            id=price, name=price, item_id=item, currency_code="USD", price=9900, period=1, period_unit="month"
        )
    chargebee.create_item(id="usage", name="Usage", type="charge", item_family_id="saas")
    for price in (CALLS_PRICE, FEE_PRICE):
        chargebee.create_item_price(id=price, name=price, item_id="usage", currency_code="USD", price=0)
    ids = {"product": m3ter.create_product("api")["id"]}
    meter = m3ter.create_meter("api_calls", productId=ids["product"])
    ids["calls"] = m3ter.create_aggregation(meter["id"], code="calls")["id"]
    template = m3ter.create_plan_template(ids["product"])
    for code in ("pro", "scale", "beta"):
        ids[code] = m3ter.create_plan(template["id"], code)["id"]
    return ids
