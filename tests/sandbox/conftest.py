"""One sandbox for each test, on a port of its own, and the providers' own SDKs pointed at it."""

import functools
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from chargebee import Chargebee
from flask.testing import FlaskClient
from m3ter import M3ter
from werkzeug.test import TestResponse

from connector.sandbox import Sandbox, Server, serve

JAN = datetime(2026, 1, 1, tzinfo=UTC)
# Chargebee's SDK reads all certificates of the machine anew for every call, also where it speaks plain HTTP.
one_tls_context = functools.cache(ssl.create_default_context)


@pytest.fixture
def box() -> Sandbox:
    return Sandbox(seed=1, now=JAN)


@pytest.fixture
def server(box: Sandbox) -> Iterator[Server]:
    with serve(box) as server:
        yield server


@pytest.fixture
def chargebee_sdk(box: Sandbox, server: Server, monkeypatch: pytest.MonkeyPatch) -> Chargebee:
    """Chargebee's official SDK, as chargebee.md §2.1 points it at a local server."""
    monkeypatch.setattr(Chargebee, "verify_ca_certs", False)
    monkeypatch.setattr(ssl, "create_default_context", one_tls_context)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    sdk = Chargebee(api_key=box.chargebee.api_key, site=box.chargebee.site, protocol="http")
    sdk.env.api_endpoint = f"{server.url}/chargebee/api/v2"
    return sdk


@pytest.fixture
def m3ter_sdk(box: Sandbox, server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[M3ter]:
    """m3ter's official SDK, which here refuses every answer that does not fit m3ter's published types."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with M3ter(
        api_key=box.m3ter.api_key,
        api_secret=box.m3ter.api_secret,
        org_id=box.m3ter.org_id,
        base_url=f"{server.url}/m3ter",
        max_retries=0,
        _strict_response_validation=True,
    ) as sdk:
        yield sdk


class ChargebeeHttp:
    """Chargebee's API without an SDK in between."""

    def __init__(self, box: Sandbox) -> None:
        self.client: FlaskClient = box.app.test_client()
        self.login = (box.chargebee.api_key, "")

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.client.get(f"/chargebee/api/v2/{path}", **{"auth": self.login, **options})

    def post(
        self, path: str, form: dict[str, Any] | None = None, key: str | None = None, **options: Any
    ) -> TestResponse:
        headers = {"chargebee-idempotency-key": key} if key else {}
        options = {"auth": self.login, "headers": headers, **options}
        return self.client.post(f"/chargebee/api/v2/{path}", data=form or {}, **options)


class M3terHttp:
    """m3ter's API without an SDK in between."""

    def __init__(self, box: Sandbox) -> None:
        self.box = box
        self.client: FlaskClient = box.app.test_client()
        self.token = box.m3ter.issue_token()

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> TestResponse:
        url = f"/m3ter/organizations/{self.box.m3ter.org_id}/{path}"
        headers = {"Authorization": f"Bearer {self.token}"}
        return self.client.open(url, method=method, json=body, headers=headers, **options)


@pytest.fixture
def chargebee_http(box: Sandbox) -> ChargebeeHttp:
    return ChargebeeHttp(box)


@pytest.fixture
def m3ter_http(box: Sandbox) -> M3terHttp:
    return M3terHttp(box)


@pytest.fixture
def shop(box: Sandbox) -> Sandbox:
    """Chargebee with a catalogue, and one subscription since January that pays 100.00 a month."""
    chargebee = box.chargebee
    chargebee.create_item("pro", "plan")
    chargebee.create_item("max", "plan")
    chargebee.create_item("calls", "charge")
    chargebee.create_item_price("pro-USD", "pro", 10_000)
    chargebee.create_item_price("max-USD", "max", 30_000)
    chargebee.create_item_price("calls-USD", "calls")
    chargebee.create_item_price("calls-EUR", "calls", currency_code="EUR")
    chargebee.create_item_price("seats-USD", "calls", 500, pricing_model="per_unit")
    tiers = [
        {"starting_unit": 1, "ending_unit": 10, "price": 100},
        {"starting_unit": 11, "price": 50},
    ]
    for model in ("tiered", "volume", "stairstep"):
        chargebee.create_item_price(f"{model}-USD", "calls", None, pricing_model=model, tiers=tiers)
    chargebee.create_customer("acme", company="Acme", email="ap@acme.test")
    chargebee.create_subscription("acme", ["pro-USD"], id="sub")
    return box


@pytest.fixture
def draft_id(shop: Sandbox) -> str:
    """The pending invoice that February brings."""
    shop.advance(to=datetime(2026, 2, 1, tzinfo=UTC))
    [invoice] = shop.chargebee.pending_invoices("sub")
    return str(invoice["id"])


@pytest.fixture
def metered(box: Sandbox) -> dict[str, str]:
    """m3ter with an account on a plan since January: the ids by what they are."""
    m3ter = box.m3ter
    ids = {"product": m3ter.create_product("api")["id"]}
    ids["meter"] = m3ter.create_meter("api_calls", ["calls"])["id"]
    ids["aggregation"] = m3ter.create_aggregation(ids["meter"], "calls", code="calls")["id"]
    ids["template"] = m3ter.create_plan_template(ids["product"])["id"]
    ids["plan"] = m3ter.create_plan(ids["template"], "pro")["id"]
    ids["other_plan"] = m3ter.create_plan(ids["template"], "max")["id"]
    ids["pricing"] = m3ter.create_pricing(ids["plan"], ids["aggregation"], [(0, "0.01")])["id"]
    ids["other_pricing"] = m3ter.create_pricing(ids["other_plan"], ids["aggregation"], [(0, "0.002")])["id"]
    ids["account"] = m3ter.create_account("acme")["id"]
    ids["account_plan"] = m3ter.create_account_plan(ids["account"], ids["plan"], JAN)["id"]
    return ids
