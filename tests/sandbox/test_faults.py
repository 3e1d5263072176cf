"""Ordered faults: how each looks to a caller, and whether the work was done all the same."""

import json
import time
from datetime import timedelta
from typing import Any

import pytest
import requests
from m3ter import M3ter

from connector.sandbox import Sandbox, Server


@pytest.fixture
def create(box: Sandbox, server: Server) -> Any:
    """Creates the customer `acme` over HTTP, through a pool of connections as a real client keeps them."""
    session = requests.Session()
    session.trust_env = False

    def post(**options: Any) -> requests.Response:
        url = f"{server.url}/chargebee/api/v2/customers"
        return session.post(url, {"id": "acme"}, auth=(box.chargebee.api_key, ""), timeout=5, **options)

    yield post
    session.close()


@pytest.mark.parametrize(("kind", "done"), [("refuse", False), ("cut", True)])
def test_a_connection_ends_without_an_answer(kind: str, done: bool, box: Sandbox, create: Any):
    box.faults.order("chargebee", "create_customer", kind)
    with pytest.raises(requests.ConnectionError):
        create()
    assert ("acme" in box.chargebee.customers) is done
    [call] = box.calls
    assert (call.operation, call.status, call.fault) == ("create_customer", None, kind)
    assert create().status_code == (400 if done else 200)


@pytest.mark.parametrize("kind", ["refuse", "cut"])
def test_in_process_a_cut_connection_is_an_error_too(kind: str, box: Sandbox, chargebee_http: Any):
    box.faults.order("chargebee", "create_customer", kind)
    with pytest.raises(ConnectionError):
        chargebee_http.post("customers", {"id": "acme"})


@pytest.mark.parametrize(
    ("fault", "status", "done"),
    [
        pytest.param({"kind": "status", "status": 503}, 503, False, id="an error status"),
        pytest.param({"kind": "status_after", "status": 500}, 500, True, id="an error status after the work"),
        pytest.param({"kind": "html"}, 503, False, id="a page instead of JSON"),
        pytest.param({"kind": "truncated"}, 200, True, id="half an answer"),
        pytest.param({"kind": "redirect", "location": "http://elsewhere.test/"}, 302, False, id="a redirect"),
        pytest.param({"kind": "late", "seconds": 60}, 504, False, id="too late an answer"),
    ],
)
def test_an_answer_goes_wrong(fault: dict[str, Any], status: int, done: bool, box: Sandbox, create: Any):
    box.faults.order("chargebee", "create_customer", **fault)
    answer = create(allow_redirects=False)
    assert (answer.status_code, "acme" in box.chargebee.customers) == (status, done)
    if fault["kind"] in ("html", "late"):
        assert answer.headers["Content-Type"] == "text/html"
    if fault["kind"] == "truncated":
        with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
            json.loads(answer.text)
    if fault["kind"] == "redirect":
        assert answer.headers["Location"] == "http://elsewhere.test/"
    assert box.calls[0].fault == fault["kind"]


def test_a_late_request_takes_effect_when_its_time_comes(box: Sandbox, create: Any):
    box.faults.order("chargebee", "create_customer", "late", seconds=60)
    assert create().status_code == 504
    box.advance(timedelta(seconds=59))
    assert box.chargebee.customers == {}
    box.advance(timedelta(seconds=10))
    assert box.chargebee.customers["acme"]["created_at"] == 1_767_225_660
    assert len(box.calls) == 1


def test_a_late_request_keeps_its_idempotency_key(draft_id: str, shop: Sandbox, chargebee_http: Any):
    charge = {"item_price[item_price_id]": "calls-USD", "item_price[unit_price]": "2900"}
    shop.faults.order("chargebee", "add_charge_item", "late", seconds=60)
    assert chargebee_http.post(f"invoices/{draft_id}/add_charge_item", charge, key="k").status_code == 504
    assert chargebee_http.post(f"invoices/{draft_id}/add_charge_item", charge, key="k").status_code == 200
    shop.advance(timedelta(seconds=60))
    assert shop.chargebee.invoices[draft_id]["total"] == 12_900


def test_a_delayed_answer_comes_after_its_time(box: Sandbox, create: Any):
    box.faults.order("chargebee", "create_customer", "delay", seconds=0.1)
    start = time.monotonic()
    assert create().status_code == 200
    assert time.monotonic() - start >= 0.1


def test_a_dripping_answer_arrives_whole_but_slowly(box: Sandbox, create: Any):
    box.faults.order("chargebee", "create_customer", "drip", seconds=0.2)
    start = time.monotonic()
    answer = create(stream=True)
    assert next(answer.iter_content(1)) == b"{"
    assert json.loads(b"{" + answer.raw.read())["customer"]["id"] == "acme"
    assert time.monotonic() - start >= 0.2


def test_a_read_timeout_leaves_the_work_done(box: Sandbox, server: Server):
    box.faults.order("m3ter", "token", "delay", seconds=0.3)
    login = (box.m3ter.api_key, box.m3ter.api_secret)
    with pytest.raises(requests.ReadTimeout):
        requests.post(
            f"{server.url}/m3ter/oauth/token", json={"grant_type": "client_credentials"}, auth=login, timeout=0.05
        )
    for _ in range(100):
        if box.m3ter.tokens:
            break
        time.sleep(0.02)
    assert len(box.m3ter.tokens) == 1


def test_an_expired_token_is_forbidden(box: Sandbox, m3ter_http: Any):
    box.faults.order("m3ter", "list_accounts", "expire_token")
    assert m3ter_http.call("GET", "accounts").status_code == 403
    assert m3ter_http.call("GET", "accounts").status_code == 403
    m3ter_http.token = box.m3ter.issue_token()
    assert m3ter_http.call("GET", "accounts").status_code == 200


def test_a_fault_strikes_as_often_as_ordered_and_only_its_operation(box: Sandbox, chargebee_http: Any):
    box.faults.order("chargebee", "list_customers", "status", count=2, skip=1, status=500)
    assert chargebee_http.get("invoices").status_code == 200
    assert [chargebee_http.get("customers").status_code for _ in range(4)] == [200, 500, 500, 200]


def test_a_star_strikes_whatever_comes_at_this_provider(box: Sandbox, chargebee_http: Any, m3ter_http: Any):
    box.faults.order("chargebee", "*", "status", count=3, status=500)
    assert m3ter_http.call("GET", "accounts").status_code == 200
    assert [chargebee_http.get(path).status_code for path in ("customers", "events", "nothing", "events")] == [
        500,
        500,
        500,
        200,
    ]


@pytest.mark.parametrize("provider", ["chargebee", "m3ter"])
def test_an_error_status_has_the_providers_shape(provider: str, box: Sandbox, chargebee_http: Any, m3ter_http: Any):
    box.faults.order(provider, "*", "status", status=429, retry_after=7, message="Slow down")
    answer = chargebee_http.get("customers") if provider == "chargebee" else m3ter_http.call("GET", "accounts")
    assert (answer.status_code, answer.json["message"], answer.headers["Retry-After"]) == (429, "Slow down", "7")
    assert answer.json.get("api_error_code") == ("api_request_limit_exceeded" if provider == "chargebee" else None)


def test_a_chargebee_error_can_have_a_code_of_its_own(box: Sandbox, chargebee_http: Any):
    box.faults.order("chargebee", "list_customers", "status", status=429, api_error_code="lock_timeout")
    assert chargebee_http.get("customers").json["api_error_code"] == "lock_timeout"


@pytest.mark.parametrize(
    ("detail", "complaint"),
    [
        ({"kind": "late", "seconds": 10**20}, "a year at most"),
        ({"kind": "delay", "seconds": 1e300}, "a year at most"),
        ({"kind": "redirect", "location": "/\r\nX-Evil: 1"}, "one line"),
    ],
)
def test_a_detail_that_could_never_be_carried_out_is_refused(detail: dict[str, Any], complaint: str, box: Sandbox):
    with pytest.raises(ValueError, match=complaint):
        box.faults.order("chargebee", "*", **detail)


@pytest.mark.parametrize(
    ("order", "complaint"),
    [
        (("stripe", "create_customer", "cut"), "provider"),
        (("chargebee", "create_account", "cut"), "no operation"),
        (("chargebee", "create_customer", "burn"), "no kind"),
        (("chargebee", "create_customer", "status"), "needs status"),
        (("chargebee", "create_customer", "cut", 0), "at least once"),
    ],
)
def test_an_order_that_could_never_be_carried_out_is_refused(order: tuple[Any, ...], complaint: str, box: Sandbox):
    with pytest.raises(ValueError, match=complaint):
        box.faults.order(*order)


def test_cleared_faults_strike_no_more(box: Sandbox, chargebee_http: Any):
    box.faults.order("chargebee", "*", "status", status=500, count=9)
    box.faults.clear()
    assert chargebee_http.get("customers").status_code == 200


def test_the_calls_are_on_record_in_order(box: Sandbox, m3ter_sdk: M3ter, chargebee_http: Any):
    m3ter_sdk.accounts.create(name="Acme", code="acme", email_address="ap@acme.test")
    chargebee_http.post("customers", {"id": "acme"}, key="k")
    chargebee_http.get("customers", query_string={"limit": "5"})
    chargebee_http.get("nothing")
    assert [(call.provider, call.operation, call.method, call.status) for call in box.calls] == [
        ("m3ter", "token", "POST", 200),
        ("m3ter", "create_account", "POST", 200),
        ("chargebee", "create_customer", "POST", 200),
        ("chargebee", "list_customers", "GET", 200),
        ("chargebee", "unknown", "GET", 404),
    ]
    assert box.calls[2].idempotency_key == "k"
    assert (box.calls[3].path, box.calls[3].query) == ("/chargebee/api/v2/customers", "limit=5")
