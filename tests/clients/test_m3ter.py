"""m3ter's requests as its documentation writes them, its tokens, and its answers as dataclasses."""

import dataclasses
import json
import threading
from base64 import b64encode
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import responses

from connector.clients.http import Unreadable, recorded_calls
from connector.clients.m3ter import M3terClient
from connector.clients.m3ter_objects import Account, AccountPlan, Bill, ExternalMapping, Plan, PlanTemplate
from connector.errors import AccessRefused, ConnectorError, Misconfigured, NotFound, Rejected, Retryable, Uncertain

BASE = "https://api.m3ter.com"
API = f"{BASE}/organizations/org-1"
SECRET = "topsecret"
JAN = datetime(2026, 1, 1, tzinfo=UTC)
FEB = datetime(2026, 2, 1, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = JAN

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **span: float) -> None:
        self.now += timedelta(**span)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(http, clock) -> M3terClient:
    return M3terClient(http, org_id="org-1", api_key="access", api_secret=SECRET, now=clock)


@pytest.fixture
def m3ter(network) -> responses.RequestsMock:
    """The mocked network with a token endpoint whose tokens are numbered."""
    issued = iter(range(1, 100))

    def issue(_: object) -> tuple[int, dict[str, str], str]:
        token = {"access_token": f"token-{next(issued)}", "token_type": "Bearer", "expires_in": 18000}
        return 200, {}, json.dumps(token)

    network.add_callback(responses.POST, f"{BASE}/oauth/token", callback=issue)
    return network


def sent(network: responses.RequestsMock) -> list[responses.Call]:
    """The calls without those for tokens."""
    return [call for call in network.calls if not call.request.url.endswith("/oauth/token")]


def tokens(network: responses.RequestsMock) -> list[str]:
    return [call.request.headers["Authorization"] for call in sent(network)]


def query(call: responses.Call) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(call.request.url).query))


def body(call: responses.Call) -> dict[str, Any]:
    return json.loads(call.request.body, parse_float=Decimal)


def account(**changes: Any) -> dict[str, Any]:
    usual = {
        "id": "acc-1",
        "version": 3,
        "code": "cust_1",
        "name": "Acme",
        "emailAddress": "ap@acme.test",
        "customFields": {"region": "EU"},
        "purchaseOrderNumber": "PO-1",
        "dtCreated": "2026-01-01T00:00:00Z",
        "createdBy": "USER_1",
    }
    return {**usual, **changes}


def account_plan(**changes: Any) -> dict[str, Any]:
    usual = {
        "id": "ap-1",
        "version": 1,
        "accountId": "acc-1",
        "planId": "plan-1",
        "productId": "product-1",
        "code": "cb-1",
        "startDate": "2026-01-01T00:00:00Z",
        "billEpoch": "2026-01-01",
        "customFields": {"kept": 1.10},
        "dtLastModified": "2026-01-01T00:00:00Z",
    }
    return {**usual, **changes}


MAPPING = {
    "id": "map-1",
    "version": 1,
    "m3terEntity": "AccountPlan",
    "m3terId": "ap-1",
    "externalSystem": "Chargebee",
    "externalTable": "Subscription",
    "externalId": "sub_1 - pro/USD",
}
EXACT = "12.345678901234567891"


def bill(lines: str = "", **changes: Any) -> str:
    """A bill as text, since Python's own JSON would round its numbers."""
    usual = {
        "id": "bill-1",
        "version": 4,
        "accountId": "acc-1",
        "accountCode": "cust_1",
        "status": "APPROVED",
        "locked": False,
        "currency": "USD",
        "startDate": "2026-01-01",
        "endDate": "2026-02-01",
        "billDate": "2026-02-01",
        "timezone": "UTC",
        "lastCalculatedDate": "2026-02-01T02:00:00.123Z",
        "dtApproved": "2026-02-01T09:12:00Z",
    }
    text = json.dumps({**usual, **changes}).removesuffix("}")
    return text + ', "lineItems": [' + lines + '], "billTotal": ' + EXACT + "}"


def bill_line(**changes: str) -> str:
    usual = {
        "id": '"line-1"',
        "lineItemType": '"USAGE"',
        "description": '"API calls"',
        "quantity": "40000",
        "units": "400.5",
        "unit": '"100 calls"',
        "subtotal": EXACT,
        "currency": '"GBP"',
        "convertedSubtotal": "15.10",
        "productId": '"product-1"',
        "planId": '"plan-1"',
        "pricingId": '"pricing-1"',
        "aggregationId": '"aggregation-1"',
        "segment": '{"region": "EU"}',
        "servicePeriodStartDate": '"2026-01-01T00:00:00Z"',
        "servicePeriodEndDate": '"2026-02-01T00:00:00Z"',
        "sequenceNumber": "2",
        "newField": '{"deep": [1]}',
    }
    return "{" + ", ".join(f'"{name}": {value}' for name, value in {**usual, **changes}.items()) + "}"


# Tokens


def test_a_token_is_asked_for_with_the_key_and_the_secret(client, m3ter):
    m3ter.add(responses.GET, f"{API}/accounts/acc-1", json=account())
    client.must_exist("accounts", "acc-1")
    first, second = m3ter.calls
    assert first.request.headers["Authorization"] == "Basic " + b64encode(f"access:{SECRET}".encode()).decode()
    assert body(first) == {"grant_type": "client_credentials"}
    assert second.request.headers["Authorization"] == "Bearer token-1"


def test_a_token_is_used_until_five_minutes_before_its_end(client, m3ter, clock):
    m3ter.add(responses.GET, f"{API}/accounts/acc-1", json=account())
    client.must_exist("accounts", "acc-1")
    clock.forward(seconds=18000 - 301)
    client.must_exist("accounts", "acc-1")
    clock.forward(seconds=1)
    client.must_exist("accounts", "acc-1")
    assert tokens(m3ter) == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]


def test_a_short_lived_token_is_still_used_more_than_once(client, network, clock):
    network.add(responses.POST, f"{BASE}/oauth/token", json={"access_token": "short", "expires_in": 60})
    network.add(responses.GET, f"{API}/accounts/acc-1", json=account())
    client.must_exist("accounts", "acc-1")
    clock.forward(seconds=20)
    client.must_exist("accounts", "acc-1")
    assert len(network.calls) == 3


@pytest.mark.parametrize("status", [401, 403])
def test_an_expired_token_is_replaced_once(client, m3ter, status):
    m3ter.add(responses.POST, f"{API}/accounts", status=status, json={"message": "Forbidden"})
    m3ter.add(responses.POST, f"{API}/accounts", json=account())
    client.create_account({"name": "Acme"})
    assert tokens(m3ter) == ["Bearer token-1", "Bearer token-2"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_second_refusal_waits_for_a_person(client, m3ter, status):
    m3ter.add(responses.GET, f"{API}/accounts/acc-1", status=status, json={"message": "Forbidden"})
    with pytest.raises(AccessRefused):
        client.must_exist("accounts", "acc-1")
    assert tokens(m3ter) == ["Bearer token-1", "Bearer token-2"]


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_key_that_is_refused_waits_for_a_person(client, network, status):
    network.add(responses.POST, f"{BASE}/oauth/token", status=status, json={"message": f"no such key {SECRET}"})
    with pytest.raises(AccessRefused) as caught:
        client.must_exist("accounts", "acc-1")
    assert SECRET not in str(caught.value)
    assert len(network.calls) == 1


def test_a_token_endpoint_that_is_down_is_tried_again(client, network):
    network.add(responses.POST, f"{BASE}/oauth/token", status=503)
    network.add(responses.POST, f"{BASE}/oauth/token", json={"access_token": "late", "expires_in": 18000})
    network.add(responses.POST, f"{API}/accounts", json=account())
    client.create_account({"name": "Acme"})
    assert tokens(network) == ["Bearer late"]


@pytest.mark.parametrize("answer", [{}, {"access_token": "x"}, {"access_token": "", "expires_in": 5}, []])
def test_a_token_answer_that_cannot_be_read_is_an_error_that_does_not_show_it(client, network, answer):
    network.add(responses.POST, f"{BASE}/oauth/token", json=answer)
    with pytest.raises(Unreadable, match=r"oauth.token"):
        client.must_exist("accounts", "acc-1")


def test_many_threads_share_one_token(make_http, clock, server):
    def behave(handler: Any) -> None:
        token = b'{"access_token": "t", "expires_in": 18000}'
        handler.answer(token if handler.path == "/m3ter/oauth/token" else json.dumps(account()).encode())

    server.behave = behave
    url = f"{server.url}/m3ter"
    client = M3terClient(make_http(), org_id="org-1", api_key="a", api_secret="b", api_url=url, now=clock)
    threads = [threading.Thread(target=client.must_exist, args=("accounts", "acc-1")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    paths = [path for _, path, _, _ in server.requests]
    assert paths.count("/m3ter/oauth/token") == 1
    assert paths.count("/m3ter/organizations/org-1/accounts/acc-1") == 8


def test_several_organisations_side_by_side_keep_their_own_tokens(http, network, clock):
    clients = []
    for name in ("a", "b"):
        network.add(responses.POST, f"https://{name}.example/oauth/token", json={"access_token": name, "expires_in": 9})
        url = f"https://{name}.example/organizations/{name}/accounts/acc-1"
        network.add(responses.GET, url, json=account(name=name))
        clients.append(
            M3terClient(http, org_id=name, api_key=name, api_secret=name, api_url=f"https://{name}.example", now=clock)
        )
    for client in clients * 2:
        client.must_exist("accounts", "acc-1")
    assert tokens(network) == ["Bearer a", "Bearer b", "Bearer a", "Bearer b"]


@pytest.mark.parametrize("status", [302, 400, 403, 404, 429, 500])
def test_neither_secret_nor_token_ever_shows(client, m3ter, status):
    def echo(request: Any) -> tuple[int, dict[str, str], str]:
        return status, {}, json.dumps({"message": f"not with {request.headers['Authorization']}"})

    m3ter.add_callback(responses.GET, f"{API}/accounts/x", callback=echo)
    with recorded_calls() as calls, pytest.raises(ConnectorError) as caught:
        client.must_exist("accounts", "x")
    shown = f"{caught.value} {caught.value!r} {calls} {client!r} {client._api!r} {client._api._token!r} {vars(caught.value)}"
    assert "token-" not in shown
    assert SECRET not in shown


# Accounts


def test_an_account_is_found_by_its_exact_code(client, m3ter):
    rows = [account(id="other", code="cust_10"), account()]
    m3ter.add(responses.GET, f"{API}/accounts", json={"data": rows})
    assert client.account_by_code("cust_1").id == "acc-1"
    assert query(sent(m3ter)[0]) == {"codes": "cust_1", "pageSize": "100"}


def test_an_account_that_is_not_there_is_none(client, m3ter):
    m3ter.add(responses.GET, f"{API}/accounts", json={"data": [account(code="CUST_1")], "nextToken": None})
    assert client.account_by_code("cust_1") is None


def test_a_code_that_m3ter_would_split_is_not_looked_up(client, m3ter):
    with pytest.raises(Rejected, match="comma"):
        client.account_by_code("a,b")
    assert len(m3ter.calls) == 0


def test_an_account_is_created_without_a_version_or_empty_fields(client, m3ter):
    m3ter.add(responses.POST, f"{API}/accounts", json=account(version=1))
    created = client.create_account({"name": "Acme", "code": "cust_1", "currency": None})
    assert body(sent(m3ter)[0]) == {"name": "Acme", "code": "cust_1"}
    assert (created.id, created.code, created.name, created.version) == ("acc-1", "cust_1", "Acme", 1)


def test_an_account_with_an_unknown_outcome_is_sent_once(client, m3ter):
    m3ter.add(responses.POST, f"{API}/accounts", status=502)
    with pytest.raises(Uncertain):
        client.create_account({"name": "Acme"})
    assert len(sent(m3ter)) == 1


def test_an_unreadable_answer_to_a_write_leaves_its_outcome_open(client, m3ter):
    m3ter.add(responses.POST, f"{API}/accounts", json={"message": "ok"})
    with pytest.raises(Uncertain):
        client.create_account({"name": "Acme"})


def test_an_update_keeps_all_that_it_does_not_name(client, m3ter):
    m3ter.add(responses.GET, f"{API}/accounts/acc-1", json=account())
    m3ter.add(responses.PUT, f"{API}/accounts/acc-1", json=account(version=4, name="Acme Ltd"))
    updated = client.update_account("acc-1", {"name": "Acme Ltd", "customFields": {"tier": "gold"}})
    assert updated.version == 4
    assert body(sent(m3ter)[1]) == {
        "version": 3,
        "code": "cust_1",
        "name": "Acme Ltd",
        "emailAddress": "ap@acme.test",
        "customFields": {"region": "EU", "tier": "gold"},
        "purchaseOrderNumber": "PO-1",
    }


def test_an_update_removes_what_is_none(client, m3ter):
    m3ter.add(responses.GET, f"{API}/accounts/acc-1", json=account())
    m3ter.add(responses.PUT, f"{API}/accounts/acc-1", json=account(version=4))
    client.update_account("acc-1", {"purchaseOrderNumber": None})
    assert "purchaseOrderNumber" not in body(sent(m3ter)[1])


def test_an_update_that_changes_nothing_is_not_sent(client, m3ter):
    m3ter.add(responses.GET, f"{API}/accounts/acc-1", json=account())
    assert client.update_account("acc-1", {"name": "Acme", "customFields": {"region": "EU"}}).version == 3
    assert len(sent(m3ter)) == 1


def test_exact_numbers_in_custom_fields_survive_an_update(client, m3ter):
    raw = json.dumps(account()).replace('"EU"', EXACT)
    m3ter.add(responses.GET, f"{API}/accounts/acc-1", body=raw)
    m3ter.add(responses.PUT, f"{API}/accounts/acc-1", json=account(version=4))
    client.update_account("acc-1", {"name": "New"})
    assert f'"region":{EXACT}' in sent(m3ter)[1].request.body.decode()


@pytest.mark.parametrize("status", [400, 409, 412, 422])
def test_an_update_of_a_stale_version_is_merged_once_more(client, m3ter, status):
    url = f"{API}/accounts/acc-1"
    m3ter.add(responses.GET, url, json=account())
    m3ter.add(responses.PUT, url, status=status, json={"message": "wrong version"})
    m3ter.add(responses.GET, url, json=account(version=4, purchaseOrderNumber="PO-2"))
    m3ter.add(responses.PUT, url, json=account(version=5, name="New"))
    assert client.update_account("acc-1", {"name": "New"}).version == 5
    last = body(sent(m3ter)[3])
    assert (last["version"], last["purchaseOrderNumber"], last["name"]) == (4, "PO-2", "New")


def test_an_update_that_had_arrived_after_all_is_not_sent_again(client, m3ter):
    url = f"{API}/accounts/acc-1"
    m3ter.add(responses.GET, url, json=account())
    m3ter.add(responses.PUT, url, status=409, json={"message": "wrong version"})
    m3ter.add(responses.GET, url, json=account(version=4, name="New"))
    assert client.update_account("acc-1", {"name": "New"}).version == 4
    assert [call.request.method for call in sent(m3ter)] == ["GET", "PUT", "GET"]


def test_an_update_that_is_refused_for_what_it_says_is_not_sent_again(client, m3ter):
    url = f"{API}/accounts/acc-1"
    m3ter.add(responses.GET, url, json=account())
    m3ter.add(responses.PUT, url, status=400, json={"message": "bad email"})
    with pytest.raises(Rejected, match="bad email"):
        client.update_account("acc-1", {"emailAddress": "x"})
    assert [call.request.method for call in sent(m3ter)] == ["GET", "PUT", "GET"]


def test_an_update_gives_up_after_the_second_conflict(client, m3ter):
    url = f"{API}/accounts/acc-1"
    for version in (3, 4):
        m3ter.add(responses.GET, url, json=account(version=version))
    m3ter.add(responses.PUT, url, status=409, json={"message": "wrong version"})
    with pytest.raises(Rejected):
        client.update_account("acc-1", {"name": "New"})
    assert [call.request.method for call in sent(m3ter)] == ["GET", "PUT", "GET", "PUT"]


# Account plans


def test_account_plans_are_listed_over_all_pages_with_those_that_ended(client, m3ter):
    m3ter.add(responses.GET, f"{API}/accountplans", json={"data": [account_plan()], "nextToken": "next+/="})
    m3ter.add(responses.GET, f"{API}/accountplans", json={"data": [account_plan(id="ap-2")], "nextToken": ""})
    assert [plan.id for plan in client.account_plans("acc-1")] == ["ap-1", "ap-2"]
    first, second = map(query, sent(m3ter))
    assert first == {"account": "acc-1", "includeall": "true", "pageSize": "100"}
    assert second == {**first, "nextToken": "next+/="}


def test_a_list_that_fails_midway_is_no_list(client, m3ter):
    m3ter.add(responses.GET, f"{API}/accountplans", json={"data": [account_plan()], "nextToken": "two"})
    m3ter.add(responses.GET, f"{API}/accountplans", status=500)
    with pytest.raises(Retryable):
        client.account_plans("acc-1")


@pytest.mark.parametrize("page", [{"nextToken": "x"}, {"data": None}, {"data": {}}, [], {"data": ["text"]}])
def test_a_page_that_cannot_be_read_is_no_empty_page(client, m3ter, page):
    m3ter.add(responses.GET, f"{API}/accountplans", json=page)
    with pytest.raises(Unreadable):
        client.account_plans("acc-1")


def test_a_list_that_never_ends_is_given_up(client, m3ter):
    m3ter.add(responses.GET, f"{API}/accountplans", json={"data": [], "nextToken": "same"})
    with pytest.raises(Unreadable, match="same page"):
        client.account_plans("acc-1")


def test_an_account_plan_is_created_with_times_in_utc(client, m3ter):
    m3ter.add(responses.POST, f"{API}/accountplans", json=account_plan(endDate="2026-02-01T00:00:00Z"))
    created = client.create_account_plan(
        account_id="acc-1",
        plan_id="plan-1",
        start=datetime(2026, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=1))),
        end=FEB + timedelta(milliseconds=5),
        code="cb-1",
        bill_epoch=date(2026, 1, 1),
    )
    assert body(sent(m3ter)[0]) == {
        "accountId": "acc-1",
        "planId": "plan-1",
        "startDate": "2026-01-01T00:30:00Z",
        "endDate": "2026-02-01T00:00:00.005Z",
        "code": "cb-1",
        "billEpoch": "2026-01-01",
    }
    assert (created.start, created.end) == (JAN, FEB)


def test_an_open_account_plan_is_created_without_an_end(client, m3ter):
    m3ter.add(responses.POST, f"{API}/accountplans", json=account_plan())
    created = client.create_account_plan(account_id="acc-1", plan_id="plan-1", start=JAN, code="cb-1")
    assert "endDate" not in body(sent(m3ter)[0])
    assert created.end is None


def test_an_account_plan_is_replaced_in_one_call(client, m3ter):
    both = {
        "originalAccountPlan": account_plan(endDate="2026-02-01T00:00:00Z", version=2),
        "newAccountPlan": account_plan(id="ap-2", startDate="2026-02-01T00:00:00Z"),
    }
    m3ter.add(responses.POST, f"{API}/accountplans/ap-1/replace", json=both)
    old, new = client.replace_account_plan("ap-1", account_id="acc-1", plan_id="plan-2", start=FEB, code="cb-2")
    assert (old.end, new.id, new.start) == (FEB, "ap-2", FEB)
    expected = {"accountId": "acc-1", "planId": "plan-2", "startDate": "2026-02-01T00:00:00Z", "code": "cb-2"}
    assert body(sent(m3ter)[0]) == expected


def test_a_replacement_that_cannot_be_read_leaves_its_outcome_open(client, m3ter):
    m3ter.add(responses.POST, f"{API}/accountplans/ap-1/replace", json={"newAccountPlan": account_plan()})
    with pytest.raises(Uncertain):
        client.replace_account_plan("ap-1", account_id="acc-1", plan_id="plan-2", start=FEB, code="cb-2")


def test_ending_an_account_plan_sends_everything_else_back(client, m3ter):
    url = f"{API}/accountplans/ap-1"
    m3ter.add(responses.GET, url, json=account_plan(contractId="con-1"))
    m3ter.add(responses.PUT, url, json=account_plan(version=2, endDate="2026-02-01T00:00:00Z"))
    assert client.change_account_plan("ap-1", start=JAN, end=FEB).end == FEB
    assert body(sent(m3ter)[1]) == {
        "version": 1,
        "accountId": "acc-1",
        "planId": "plan-1",
        "code": "cb-1",
        "startDate": "2026-01-01T00:00:00Z",
        "endDate": "2026-02-01T00:00:00Z",
        "billEpoch": "2026-01-01",
        "contractId": "con-1",
        "customFields": {"kept": Decimal("1.1")},
    }


@pytest.mark.parametrize("written", ["2026-02-01T00:00:00Z", "2026-02-01T00:00:00.000Z", "2026-02-01T01:00:00+01:00"])
def test_an_account_plan_that_ends_there_already_is_left_alone(client, m3ter, written):
    m3ter.add(responses.GET, f"{API}/accountplans/ap-1", json=account_plan(endDate=written))
    assert client.change_account_plan("ap-1", start=JAN, end=FEB).end == FEB
    assert len(sent(m3ter)) == 1


def test_an_open_account_plan_is_left_open(client, m3ter):
    m3ter.add(responses.GET, f"{API}/accountplans/ap-1", json=account_plan(endDate=None))
    assert client.change_account_plan("ap-1", start=JAN, end=None).end is None
    assert len(sent(m3ter)) == 1


def test_an_end_can_be_taken_back(client, m3ter):
    url = f"{API}/accountplans/ap-1"
    m3ter.add(responses.GET, url, json=account_plan(endDate="2026-02-01T00:00:00Z"))
    m3ter.add(responses.PUT, url, json=account_plan(version=2))
    assert client.change_account_plan("ap-1", start=JAN, end=None).end is None
    assert "endDate" not in body(sent(m3ter)[1])


def test_both_ends_of_an_account_plan_can_be_moved_at_once(client, m3ter):
    url = f"{API}/accountplans/ap-1"
    m3ter.add(responses.GET, url, json=account_plan())
    m3ter.add(responses.PUT, url, json=account_plan(version=2, startDate="2026-02-01T00:00:00Z"))
    client.change_account_plan("ap-1", start=FEB, end=FEB + timedelta(days=1))
    moved = body(sent(m3ter)[1])
    assert (moved["startDate"], moved["endDate"]) == ("2026-02-01T00:00:00Z", "2026-02-02T00:00:00Z")
    assert (moved["planId"], moved["billEpoch"]) == ("plan-1", "2026-01-01")


def test_an_account_plan_that_runs_so_already_is_left_alone(client, m3ter):
    m3ter.add(responses.GET, f"{API}/accountplans/ap-1", json=account_plan(startDate="2026-01-01T00:00:00.000+00:00"))
    assert client.change_account_plan("ap-1", start=JAN, end=None).start == JAN
    assert len(sent(m3ter)) == 1


def test_an_attached_plan_group_has_no_plan():
    raw = account_plan(planGroupId="group-1")
    del raw["planId"], raw["productId"]
    read = AccountPlan.from_json(raw)
    assert (read.plan_id, read.product_id) == (None, None)


# External mappings


def test_a_mapping_is_created(client, m3ter):
    m3ter.add(responses.POST, f"{API}/externalmappings", json=MAPPING)
    mapping = client.create_external_mapping(
        m3ter_entity="AccountPlan",
        m3ter_id="ap-1",
        external_system="Chargebee",
        external_table="Subscription",
        external_id="sub_1 - pro/USD",
    )
    assert body(sent(m3ter)[0]) == {name: value for name, value in MAPPING.items() if name not in ("id", "version")}
    assert mapping == ExternalMapping("map-1", "AccountPlan", "ap-1", "Chargebee", "Subscription", "sub_1 - pro/USD")


def test_mappings_are_looked_up_from_both_sides(client, m3ter):
    outside = f"{API}/externalmappings/externalid/Chargebee/Subscription/sub_1%20-%20pro%2FUSD"
    m3ter.add(responses.GET, f"{API}/externalmappings/external/AccountPlan/ap-1", json={"data": [MAPPING]})
    m3ter.add(responses.GET, outside, json={"data": [MAPPING, {**MAPPING, "id": "map-2"}], "nextToken": None})
    assert [one.id for one in client.external_mappings_of("AccountPlan", "ap-1")] == ["map-1"]
    found = client.external_mappings_by_external("Chargebee", "Subscription", "sub_1 - pro/USD")
    assert [one.id for one in found] == ["map-1", "map-2"]
    assert urlsplit(sent(m3ter)[1].request.url).path == urlsplit(outside).path
    assert {query(call)["pageSize"] for call in sent(m3ter)} == {"200"}


def test_all_mappings_of_a_system_are_listed_page_by_page(client, m3ter):
    newest = {**MAPPING, "id": "map-3", "dtCreated": "2026-02-01T01:00:00+01:00"}
    page = [newest, {**MAPPING, "id": "map-2", "externalSystem": "chargebee"}]
    m3ter.add(responses.GET, f"{API}/externalmappings", json={"data": page, "nextToken": "two"})
    m3ter.add(responses.GET, f"{API}/externalmappings", json={"data": [MAPPING]})
    found = client.external_mappings("Chargebee")
    assert len(sent(m3ter)) == 0
    assert [(one.id, one.created_at) for one in found] == [("map-3", FEB), ("map-1", None)]
    assert [query(call) for call in sent(m3ter)] == [
        {"externalSystemId": "Chargebee", "pageSize": "200"},
        {"externalSystemId": "Chargebee", "pageSize": "200", "nextToken": "two"},
    ]


@pytest.mark.parametrize("answer", [{"status": 204}, {"json": MAPPING}, {"status": 404, "json": {"message": "gone"}}])
def test_a_deleted_mapping_is_gone_whoever_deleted_it(client, m3ter, answer):
    m3ter.add(responses.DELETE, f"{API}/externalmappings/map-1", **answer)
    client.delete_external_mapping("map-1")
    assert len(sent(m3ter)) == 1


@pytest.mark.parametrize("identifier", ["", "..", "a\n"])
def test_an_id_that_leads_elsewhere_is_never_sent(client, m3ter, identifier):
    with pytest.raises(Rejected):
        client.must_exist("accounts", identifier)
    assert len(m3ter.calls) == 0


# Plans and bills


def test_an_entity_of_the_catalogue_is_there(client, m3ter):
    m3ter.add(responses.GET, f"{API}/pricings/pricing-1", json={"id": "pricing-1", "pricingBands": []})
    client.must_exist("pricings", "pricing-1")


def test_an_entity_that_is_not_there_is_not_found(client, m3ter):
    m3ter.add(responses.GET, f"{API}/plans/plan-1", status=404, json={"message": "Not Found"})
    with pytest.raises(NotFound):
        client.must_exist("plans", "plan-1")


def test_a_plan_names_its_template_and_that_its_currency(client, m3ter):
    m3ter.add(responses.GET, f"{API}/plans/plan-1", json={"id": "plan-1", "planTemplateId": "template-1"})
    m3ter.add(responses.GET, f"{API}/plantemplates/template-1", json={"id": "template-1", "currency": "EUR"})
    plan = client.get_plan("plan-1")
    assert plan == Plan("plan-1", "template-1", None)
    assert client.get_plan_template(plan.plan_template_id) == PlanTemplate("template-1", "EUR")


def test_a_plan_may_have_been_made_for_one_account(client, m3ter):
    raw = {"id": "plan-1", "planTemplateId": "template-1", "accountId": "acc-1"}
    m3ter.add(responses.GET, f"{API}/plans/plan-1", json=raw)
    assert client.get_plan("plan-1").account_id == "acc-1"


def test_a_plan_without_its_template_is_unreadable(client, m3ter):
    m3ter.add(responses.GET, f"{API}/plans/plan-1", json={"id": "plan-1"})
    with pytest.raises(Unreadable, match="planTemplateId"):
        client.get_plan("plan-1")


def test_bills_are_listed_without_their_lines_over_all_pages(client, m3ter):
    for identifier, following in (("bill-1", "two"), ("bill-2", None)):
        page = f'{{"data": [{bill(bill_line(), id=identifier)}], "nextToken": {json.dumps(following)}}}'
        m3ter.add(responses.GET, f"{API}/bills", body=page)
    bills = list(client.list_bills(status="APPROVED", bill_date_start=date(2026, 1, 1)))
    assert [(one.id, one.lines) for one in bills] == [("bill-1", ()), ("bill-2", ())]
    expected = {
        "status": "APPROVED",
        "billDateStart": "2026-01-01",
        "excludeLineItems": "true",
        "includeBillTotal": "true",
        "pageSize": "100",
    }
    assert query(sent(m3ter)[0]) == expected


def test_bills_are_fetched_page_by_page_as_they_are_read(client, m3ter):
    m3ter.add(responses.GET, f"{API}/bills", body=f'{{"data": [{bill()}], "nextToken": "two"}}')
    m3ter.add(responses.GET, f"{API}/bills", status=500)
    bills = client.list_bills(status="APPROVED", bill_date_start=date(2026, 1, 1))
    assert next(bills).id == "bill-1"
    with pytest.raises(Retryable):
        next(bills)


def test_a_bill_is_read_to_the_last_digit(client, m3ter):
    m3ter.add(responses.GET, f"{API}/bills/bill-1", body=bill(bill_line()))
    read = client.get_bill("bill-1")
    (line,) = read.lines
    assert str(line.subtotal) == EXACT
    assert str(read.total) == EXACT
    assert (line.converted_subtotal, line.quantity, line.units) == (Decimal("15.10"), Decimal(40000), Decimal("400.5"))
    assert (line.type, line.currency, line.segment, line.sequence_number) == ("USAGE", "GBP", {"region": "EU"}, 2)
    assert (line.start, line.end, line.plan_group_id) == (JAN, FEB, None)
    assert (read.start_date, read.end_date, read.bill_date) == (date(2026, 1, 1), date(2026, 2, 1), date(2026, 2, 1))
    assert (read.version, read.status, read.locked, read.currency) == (4, "APPROVED", False, "USD")
    assert (read.last_calculated, read.approved_at) == ("2026-02-01T02:00:00.123Z", "2026-02-01T09:12:00Z")
    assert no_floats(read)


def no_floats(value: Any) -> bool:
    if dataclasses.is_dataclass(value):
        return all(no_floats(getattr(value, field.name)) for field in dataclasses.fields(value))
    if isinstance(value, dict):
        return no_floats(list(value.values()))
    return all(map(no_floats, value)) if isinstance(value, list | tuple) else not isinstance(value, float)


def test_what_is_kept_of_an_account_has_no_floats_either(client, m3ter):
    m3ter.add(responses.GET, f"{API}/accounts/acc-1", json=account(customFields={"ratio": 0.1, "deep": [{"x": 1.5}]}))
    assert no_floats(client.must_exist("accounts", "acc-1"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("subtotal", "true"),
        ("subtotal", '"a lot"'),
        ("subtotal", "null"),
        ("subtotal", "1" * 31),
        ("subtotal", "1e99"),
        ("convertedSubtotal", '"a lot"'),
        ("quantity", "[]"),
        ("lineItemType", "null"),
        ("currency", '""'),
        ("servicePeriodStartDate", '"2026-01-01T00:00:00"'),
    ],
)
def test_a_line_that_is_not_exact_makes_the_bill_unreadable_by_name(client, m3ter, field, value):
    m3ter.add(responses.GET, f"{API}/bills/bill-1", body=bill(bill_line(**{field: value})))
    with pytest.raises(Unreadable, match=field):
        client.get_bill("bill-1")


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_a_constant_that_is_not_json_is_refused(client, m3ter, constant):
    m3ter.add(responses.GET, f"{API}/bills/bill-1", body=bill(bill_line(subtotal=constant)))
    with pytest.raises(Retryable, match="not JSON"):
        client.get_bill("bill-1")


def test_a_line_may_lack_all_that_only_usage_has(client, m3ter):
    raw = '{"lineItemType": "BALANCE_CONSUMED", "subtotal": -4.5, "convertedSubtotal": -4.5, "currency": "USD"}'
    m3ter.add(responses.GET, f"{API}/bills/bill-1", body=bill(raw))
    (line,) = client.get_bill("bill-1").lines
    assert (line.subtotal, line.quantity, line.start, line.segment, line.id) == (Decimal("-4.5"), None, None, {}, None)


def test_a_bill_without_its_lines_is_not_taken_for_an_empty_one(client, m3ter):
    raw = json.loads(bill())
    del raw["lineItems"]
    m3ter.add(responses.GET, f"{API}/bills/bill-1", json=raw)
    with pytest.raises(Unreadable, match="without its lines"):
        client.get_bill("bill-1")


def test_an_empty_bill_is_read(client, m3ter):
    m3ter.add(responses.GET, f"{API}/bills/bill-1", body=bill())
    assert client.get_bill("bill-1").lines == ()


@pytest.mark.parametrize("missing", ["id", "version", "accountId", "status", "currency"])
def test_a_bill_that_lacks_what_is_needed_is_unreadable(missing):
    raw = json.loads(bill(), parse_float=Decimal)
    del raw[missing]
    with pytest.raises(Unreadable, match=missing):
        Bill.from_json(raw)


def test_calls_and_tokens_are_recorded(client, m3ter):
    m3ter.add(responses.GET, f"{API}/accounts/acc-1", json=account())
    with recorded_calls() as calls:
        client.must_exist("accounts", "acc-1")
    assert [(call.provider, call.operation, call.path) for call in calls] == [
        ("m3ter", "oauth.token", "/oauth/token"),
        ("m3ter", "accounts.retrieve", "/organizations/org-1/accounts/acc-1"),
    ]


def test_what_is_read_keeps_personal_data_out_of_its_repr(client, m3ter):
    m3ter.add(responses.GET, f"{API}/accounts/acc-1", json=account())
    assert "ap@acme.test" not in repr(client.must_exist("accounts", "acc-1"))


@pytest.mark.parametrize("field", ["id", "code", "version"])
def test_an_account_that_lacks_what_is_needed_is_unreadable(field):
    with pytest.raises(Unreadable, match=field):
        Account.from_json(account(**{field: None}))


@pytest.mark.parametrize(
    "settings",
    [
        {"org_id": ""},
        {"api_key": ""},
        {"api_secret": ""},
        {"api_url": "http://api.m3ter.com"},
        {"api_url": "https://user:topsecret@api.m3ter.com"},
    ],
)
def test_settings_that_cannot_work_are_refused(http, clock, settings):
    usual = {"org_id": "org-1", "api_key": "a", "api_secret": SECRET, "now": clock}
    with pytest.raises(Misconfigured) as caught:
        M3terClient(http, **{**usual, **settings})
    assert SECRET not in str(caught.value)
