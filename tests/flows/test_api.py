"""The JSON API: what a script sees and does, and what keeps others out."""

import json
import re
import shlex
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask
from sqlalchemy import select, text

from connector import pauses, tokens
from connector.access import ADMIN, OPERATOR, ROLES, VIEWER
from connector.alerts import watching
from connector.cli import main
from connector.models import ApiToken, QuarantinedBody
from connector.services import Services
from connector.throttle import Limit
from connector.web.api.document import openapi
from connector.web.api.operations import GET, OPERATIONS, Operation
from connector.web.app import create_app
from tests.flows import fuzzing
from tests.flows.browser import Browser, add_user, entries, text_of
from tests.flows.conftest import LOGIN, START, UNMAPPED, World
from tests.flows.scripting import HOST, NOBODY, PREFIX, Desk, Script, add_token

pytestmark = pytest.mark.alternate_databases

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def script(world: World) -> Script:
    """An admin's script."""
    return Script(world.services)


def address(operation: Operation) -> str:
    """The address of an operation, about `default` and otherwise about what is not there."""
    path = operation.path.replace("{connection}", "default")
    path = re.sub(r"\{(bill|balance|job|charge|schedule)_id\}", NOBODY, path)
    return re.sub(r"\{[^}]+\}", "999", path)


def without_price(world: World, customer: str = "acme", subscription: str = "sub-1") -> int:
    """A sync that is parked for want of a mapping."""
    world.sign_up(customer, subscription, items=(UNMAPPED,))
    world.settle()
    return world.sync("subscription", subscription).id


def price_of(world: World) -> dict[str, Any]:
    """The mapping that is wanting."""
    return {
        "m3ter_entity": "Plan", "m3ter_id": world.ids["beta"], "external_table": "ItemPrice", "external_id": UNMAPPED
    }  # fmt: skip


# Where it is served


@pytest.mark.parametrize(
    ("hosts", "asked", "headers", "status"),
    [
        pytest.param("", "localhost", {}, 200, id="this machine"),
        pytest.param("", "hooks.example.com", {}, 404, id="the webhooks' public name"),
        pytest.param("", "127.0.0.1", {"X-Forwarded-For": "203.0.113.7"}, 404, id="forwarded by a proxy"),
        pytest.param("admin.example.com", "admin.example.com", {"Via": "1.1 proxy"}, 200, id="the name that is set"),
        pytest.param("admin.example.com", "127.0.0.1", {}, 404, id="this machine, when another is set"),
    ],
)
def test_api_answers_on_the_hosts_of_the_console_only(
    make_services: Callable[..., Services], hosts: str, asked: str, headers: dict[str, str], status: int
) -> None:
    services = make_services(CONSOLE_HOSTS=hosts, CONSOLE_PLAIN_HTTP="", SESSION_SECRET="")
    answer = create_app(services).test_client().get(f"{PREFIX}/openapi.json", headers={"Host": asked, **headers})
    assert answer.status_code == status
    assert status == 200 or answer.data == b"Not Found\n"


def test_api_that_does_not_start_leaves_the_webhooks_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Services) -> Flask:
        raise RuntimeError("no operations")

    monkeypatch.setattr("connector.web.api.app.create", broken)
    client = create_app(world.services).test_client()
    assert client.get(f"{PREFIX}/status").status_code == 404
    assert client.post("/webhooks/chargebee", data=b"{", auth=LOGIN, content_type="application/json").status_code == 400


# Who may call


def test_every_operation_takes_a_token_of_its_role_and_no_other(world: World) -> None:
    app = create_app(world.services)
    scripts = {role: Script(world.services, role, app=app) for role in ROLES}
    stranger = Script(world.services, VIEWER, "stranger", app=app)
    stranger.token = None
    for one in OPERATIONS:
        body = None if one.method == GET else {}
        refused = stranger.call(one.method, address(one), body)
        assert (refused.status_code, refused.headers["WWW-Authenticate"][:6]) == (401, "Bearer"), one.id
        for role, script in scripts.items():
            status = script.call(one.method, address(one), body).status_code
            assert (status == 403) == (ROLES.index(role) < ROLES.index(one.role)), (one.id, role, status)
            assert status != 401
    denied = {(one.actor, one.subject) for one in entries(world.services, "api denied")}
    assert ("api:the-viewer", "push_bill") in denied
    assert ("api:the-operator", "list_audit") in denied


def test_least_role_of_each_operation_is_what_it_does() -> None:
    for one in OPERATIONS:
        assert one.method == GET or one.role in (OPERATOR, ADMIN), one.id
        assert one.method == GET or one.repeat, f"{one.id} does not say what a repeat does"
    assert {one.id for one in OPERATIONS if one.role == ADMIN} == {
        "get_event_payload",
        "get_delivery_body",
        "list_audit",
    }


def test_there_is_nothing_by_which_a_token_approves_or_makes_tokens_and_users() -> None:
    assert [one.id for one in OPERATIONS if re.search("approv|token|user", f"{one.id} {one.path}")] == []


def test_token_lives_until_it_ends_or_is_revoked_and_only_its_hash_is_kept(world: World) -> None:
    script = Script(world.services, VIEWER, "nightly")
    assert script.token is not None
    script.get("/status")

    def row() -> ApiToken:
        with world.services.reading() as db:
            return db.scalars(select(ApiToken)).one()

    with world.services.reading() as db:
        kept = db.execute(text("SELECT * FROM api_tokens")).one()
    assert script.token.startswith("cmc_")
    assert script.token not in repr(tuple(kept))
    assert row().last_used_at == START
    world.box.advance(timedelta(seconds=59))
    script.get("/status")
    assert row().last_used_at == START
    world.box.advance(timedelta(seconds=1))
    script.get("/status")
    assert row().last_used_at == START + timedelta(seconds=60)
    assert row().expires_at == START + timedelta(days=90)
    world.box.advance(to=row().expires_at)
    assert script.call("GET", "/status").status_code == 401
    short = Script(world.services, VIEWER, "short")
    short.get("/status")
    tokens.revoke(world.services, "short", "test")
    assert short.call("GET", "/status").status_code == 401
    with pytest.raises(tokens.BadInput, match="not used again"):
        add_token(world.services, "short", VIEWER)


def test_wrong_tokens_are_throttled_by_address_and_a_right_one_goes_on(world: World, script: Script) -> None:
    guess, app = tokens.drawn(), script.client.application

    def tried(token: str) -> int:
        wrong = app.test_client().get(
            f"{PREFIX}/status", base_url=HOST, headers={"Authorization": f"Bearer {token}"}
        )  # fmt: skip
        assert wrong.status_code != 429 or int(wrong.headers["Retry-After"]) > 0
        return wrong.status_code

    assert [tried(one) for one in ("", "cmc_", "cmc_" + "x" * 43, guess)] == [401] * 4
    assert {tried(guess) for _ in range(tokens.WRONG.tries - 3)} == {401}
    assert tried(guess) == 429
    script.get("/status")


def test_calls_of_a_token_are_bounded_by_the_minute(
    world: World, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "CALLS", Limit("token", 2, 60))
    other = Script(world.services, VIEWER, "other", app=script.client.application)
    assert [script.call("GET", "/status").status_code for _ in range(3)] == [200, 200, 429]
    assert script.call("GET", "/status").headers["Retry-After"] == "60"
    assert other.call("GET", "/status").status_code == 200


def test_tokens_are_made_listed_and_revoked_by_command(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.cli.tokens.wire", lambda **_: world.services)

    def run(*words: str) -> Any:
        done = CliRunner().invoke(main, ["tokens", *words, "--json"])
        return json.loads(done.stdout) | {"exit": done.exit_code}

    made = run("create", "Night.ly", "--role", "operator", "--days", "7")
    script = Script(world.services, VIEWER, "another")
    script.token = made["token"]
    script.get("/status")
    [_, listed] = run("list")["tokens"]
    assert (listed["name"], listed["role"], listed["state"]) == ("night.ly", "operator", "live")
    assert listed["created_by"].startswith("cli:")
    assert made["token"] not in json.dumps(listed)
    assert run("revoke", "night.ly")["exit"] == 0
    assert script.call("GET", "/status").status_code == 401
    assert "no token nobody" in run("revoke", "nobody")["error"]
    assert "not used again" in run("create", "night.ly", "--role", "viewer")["error"]
    assert "letters, digits" in run("create", "two words", "--role", "viewer")["error"]
    assert [one.subject for one in entries(world.services, "tokens revoke")] == ["night.ly"]


def test_admin_makes_a_token_in_the_console_sees_it_once_and_revokes_it(world: World) -> None:
    add_user(world.services, "ada", ADMIN)
    browser = Browser(world.services)
    browser.log_in("ada")
    drawn = browser.hidden(browser.get("/tokens"), "drawn")
    form = {"name": "nightly", "role": "viewer", "days": "30", "drawn": drawn}
    made = browser.post("/tokens", form)
    [token] = re.findall(r"cmc_[A-Za-z0-9_-]{43}", made.text)
    assert re.findall(r"cmc_[A-Za-z0-9_-]{43}", browser.post("/tokens", form).text) == [token], "a double click"
    assert token not in browser.get("/tokens").text
    script = Script(world.services, VIEWER, "another", app=browser.client.application)
    script.token = token
    script.get("/status")
    for wrong in ({"name": "nightly"}, {"name": "two words"}, {"name": "other", "days": "0"}):
        again = browser.post("/tokens", form | {"drawn": "another form"} | wrong)
        assert again.status_code == 422, text_of(again)
        assert "cmc_" not in again.text
    [entry] = entries(world.services, "tokens create")[:1]
    assert (entry.actor, entry.subject) == ("web:ada", "nightly")
    assert browser.post("/tokens/nightly/revoke").status_code == 303
    assert script.call("GET", "/status").status_code == 401
    assert "revoked" in text_of(browser.get("/tokens"))


# How calls are read


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        pytest.param(b"{", "application/json", 400, id="no JSON"),
        pytest.param(b"[]", "application/json", 400, id="no object"),
        pytest.param(b'{"reason": "a", "reason": "b"}', "application/json", 400, id="a key twice"),
        pytest.param(b'{"reason": NaN}', "application/json", 400, id="NaN"),
        pytest.param(b'{"reason": ' + b"[" * 500, "application/json", 400, id="deep"),
        pytest.param(b'{"reason": "\xff"}', "application/json", 400, id="not UTF-8"),
        pytest.param(b'{"reason": "a"}', "text/plain", 415, id="another type"),
        pytest.param(b'{"reason": "' + b"a" * 2**18 + b'"}', "application/json", 413, id="large"),
        pytest.param(b'{"reason": "\\u0000"}', "application/json", 422, id="a control character"),
        pytest.param(b'{"reason": "\\ud800"}', "application/json", 422, id="half a character"),
        pytest.param(b'{"reason": " "}', "application/json", 422, id="blank"),
        pytest.param(b'{"reason": "a", "what": "all", "more": 1}', "application/json", 422, id="unknown name"),
    ],
)
def test_what_could_mislead_a_reader_is_refused(script: Script, body: bytes, kind: str, status: int) -> None:
    answer = script.call("POST", "/connections/default/pause", data=body, content_type=kind)
    assert answer.status_code == status
    assert answer.json["title"]
    with script.services.reading() as db:
        assert pauses.of_connection(db, "default") == []


def test_all_faults_are_said_at_once_with_their_places(script: Script) -> None:
    pair = {
        "m3ter_entity": "Planet",
        "m3ter_id": "",
        "external_table": "ItemPrice",
        "external_id": "x",
        "currency": "usd",
    }
    said = script.post("/connections/default/mappings", 422, mappings=[pair], surprise=1)
    places = {one["where"] for one in said["faults"]}
    assert {one.removeprefix("body.mappings.0.") for one in places} == {
        "m3ter_entity", "m3ter_id", "currency", "body.surprise",
    }  # fmt: skip
    answer = script.call("GET", "/syncs?limit=0&before=1.0&kind=nonsense&odd=1")
    places = {one["where"] for one in answer.json["faults"]}
    assert places == {"query.limit", "query.before", "query.kind", "query.odd"}
    assert script.call("GET", "/syncs?limit=1&limit=2").status_code == 422
    assert script.call("GET", "/status?limit=1").status_code == 422
    assert script.call("GET", "/status", headers={"Accept": "text/html"}).status_code == 406
    assert script.call("DELETE", "/status").headers["Allow"] == "GET, HEAD"
    for nothing in ("/nothing", "/syncs/0", f"/syncs/{2**63}", "/syncs/1" + "0" * 5000, "/events/-1"):
        assert script.call("GET", nothing).status_code == 404
    assert script.call("POST", "/syncs/0/retry", {}).status_code == 404


def test_what_nobody_foresaw_is_a_problem_without_a_trace(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Services) -> Any:
        raise RuntimeError("a secret of the code")

    monkeypatch.setattr("connector.overview.of_installation", broken)
    answer = script.client.get(
        f"{PREFIX}/status", base_url=HOST, headers={"Authorization": f"Bearer {script.token}"}
    )  # fmt: skip
    assert (answer.status_code, answer.content_type) == (500, "application/problem+json")
    assert "secret" not in answer.text


def test_what_is_away_is_said_to_be_away_for_now(
    world: World, make_services: Callable[..., Services], tmp_path: Path
) -> None:
    sync_id = without_price(world)
    without_redis = make_services(REDIS_URL="redis://127.0.0.1:1/0")
    script = Script(without_redis, OPERATOR)
    script.get("/status")
    answer = script.call("POST", f"/syncs/{sync_id}/retry", {})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
    assert world.sync("subscription", "sub-1").status == "pending"
    world.box.faults.order("m3ter", "get_bill", "status", count=20, status=503)
    assert script.call("GET", f"/connections/default/bills/{NOBODY}/plan").status_code == 503
    script.services = make_services(DATABASE_URL=f"sqlite:///{tmp_path}/empty.db")
    script.client = create_app(script.services).test_client()
    answer = script.call("GET", "/status")
    assert (answer.status_code, answer.json["detail"]) == (503, "The database cannot be used.")


# What there is to see


def test_everything_is_in_step_or_says_what_is_not(world: World, script: Script) -> None:
    sync_id = without_price(world)
    found = script.get("/status")
    assert (found["parked"], found["troubles"][0]["cause"]) == (1, "unmapped_item_price")
    shown = script.get(f"/syncs/{sync_id}")
    assert shown["next_step"].startswith("`connector mappings add Plan")
    assert shown["tries"][0]["outcome"] == "parked"
    event = script.get(f"/events/{shown['event_id']}")
    assert event["syncs"][0]["id"] == sync_id
    customer = script.get("/syncs", about="acme", kind="customer")["syncs"][0]
    calls = script.get(f"/syncs/{customer['id']}")["tries"][0]["calls"]
    assert any(one["provider"] == "m3ter" and one["method"] == "POST" for one in calls)
    [connection] = script.get("/connections")["connections"]
    assert connection["chargebee_site"] == world.chargebee.site


def test_lists_go_on_where_the_page_before_ended(world: World, script: Script) -> None:
    without_price(world)
    for path, name, own in (
        ("/syncs", "syncs", "id"), ("/events", "events", "id"), ("/audit", "entries", "id"),
        ("/connections/default/mappings", "mappings", "id"),
    ):  # fmt: skip
        whole = [one[own] for one in script.get(path, limit=200)[name]]
        seen, before = [], {}
        while True:
            page = script.get(path, limit=1, **before)
            seen += [one[own] for one in page[name]]
            if page["next"] is None:
                break
            before = {"before": page["next"]}
        assert seen == whole, path


def test_personal_data_is_for_admins_and_their_look_is_kept(world: World, script: Script) -> None:
    world.sign_up()
    world.settle()
    event = world.inbox()[0].id
    for role in (VIEWER, OPERATOR, ADMIN):
        one = script if role == ADMIN else Script(world.services, role)
        shown = one.get(f"/events/{event}")
        assert not shown["whole"]
        assert "acme@example.test" not in json.dumps(shown)
    whole = script.post(f"/events/{event}/payload")
    assert whole["payload"]["content"]["customer"]["email"] == "acme@example.test"
    [entry] = entries(world.services, "events payload shown")
    assert entry.actor == "api:the-admin"


# What is done


def test_script_maps_the_price_and_what_waited_goes_on(world: World) -> None:
    sync_id = without_price(world)
    script = Script(world.services, OPERATOR, "onboarding")
    path = "/connections/default/mappings"
    tried = script.post(path, mappings=[price_of(world)], dry_run=True)
    assert tried == {"mappings": [f"Plan {world.ids['beta']} → ItemPrice {UNMAPPED}"], "dry_run": True, "woken": []}
    unknown = price_of(world) | {"m3ter_id": NOBODY}
    assert UNMAPPED in script.post(path, 422, mappings=[unknown])["detail"]
    assert world.sync("subscription", "sub-1").status == "parked"
    assert script.post(path, mappings=[price_of(world)])["woken"] == [sync_id]
    assert script.post(path, mappings=[price_of(world)])["woken"] == []
    world.work()
    assert len(world.plans()) == 1
    assert [one.actor for one in entries(world.services, "mappings add")] == ["api:onboarding"] * 2
    script.post(f"{path}/remove", mapping=price_of(world), reason="wrong", dry_run=True)
    script.post(f"{path}/remove", mapping=price_of(world), reason="wrong")
    assert (
        "there is no mapping" in script.post(f"{path}/remove", 422, mapping=price_of(world), reason="wrong")["detail"]
    )
    [entry] = entries(world.services, "mappings remove")
    assert entry.detail["reason"] == "wrong"
    assert UNMAPPED not in [one["external_id"] for one in script.get(path, limit=200)["mappings"]]


def test_csv_says_what_it_comes_to_and_its_faults_by_line_and_sets_up_what_waited(world: World) -> None:
    sync_id = without_price(world)
    script, path = Script(world.services, OPERATOR), "/connections/default/mappings"
    [price] = [one for one in script.get(f"{path}/unmapped")["item_prices"] if one["syncs"]]
    assert (price["item_price_id"], price["syncs"], price["subscriptions"]) == (UNMAPPED, [sync_id], ["sub-1"])
    assert script.get(f"{path}/unmapped", sync=sync_id)["subscriptions_waiting"] == 1
    before = script.get(f"{path}/export")["csv"]
    row = f"Plan,{world.ids['beta']},ItemPrice,{UNMAPPED},,,,\n"
    for wrong, where in (
        (f"Plan,,ItemPrice,{UNMAPPED},,,,\n", "body.csv.{}.m3ter_id"),
        (f"Plan,{NOBODY},ItemPrice,{UNMAPPED},,,,\n", "body.csv.{}"),
    ):
        refused = script.post(f"{path}/import", 422, csv=before + wrong)
        [fault] = refused["faults"]
        assert fault["where"].startswith(where.format(before.count("\n") + 1)), fault
    shown = script.post(f"{path}/import", csv=before + row, dry_run=True)
    assert [(one["what"], one["line"]) for one in shown["changes"]] == [("add", before.count("\n") + 1)]
    assert (shown["goes_on"], shown["woken"], shown["money_freed"]) == ({"subscription": 1}, [], {})
    assert script.get(f"{path}/export")["csv"] == before
    assert script.post(f"{path}/import", csv=before + row)["woken"] == [sync_id]
    again = script.post(f"{path}/import", csv=before + row)
    assert (again["changes"], again["woken"]) == ([], [])
    world.work()
    assert len(world.plans()) == 1
    assert script.post(f"{path}/import", 422, csv=before, remove_rest=True)["faults"][0]["where"] == "body.reason"
    other = row.replace(world.ids["beta"], world.ids["pro"])
    assert len(script.post(f"{path}/import", csv=before + other, dry_run=True)["against"]) == 1
    assert "--rewrite" in script.post(f"{path}/import", 422, csv=before + other)["detail"]
    shown = script.post(f"{path}/import", csv=before, remove_rest=True, dry_run=True)
    assert [one["what"] for one in shown["changes"]] == ["remove"]
    script.post(f"{path}/import", csv=before, remove_rest=True, reason="not ours")
    assert script.get(f"{path}/export")["csv"] == before
    [entry] = entries(world.services, "mappings remove")
    assert (entry.actor, entry.detail["reason"]) == ("api:the-operator", "not ours")


def test_retry_of_one_and_of_all_of_a_cause_runs_each_once(world: World, script: Script) -> None:
    first = without_price(world)
    world.sign_up("beta", "sub-2", items=(UNMAPPED,))
    world.settle()
    second = world.sync("subscription", "sub-2").id
    assert script.post(f"/syncs/{first}/retry")["became"] == "queued"
    assert script.post(f"/syncs/{first}/retry")["became"] == "already queued"
    world.work()
    assert world.sync("subscription", "sub-1").runs == 2
    preview = script.get("/retries", cause="unmapped_item_price")
    assert (preview["count"], preview["sync_ids"], preview["money"]) == (2, [first, second], [])
    asked = {"cause": "unmapped_item_price", "sync_ids": [second]}
    assert script.post("/retries", 409, **asked)["preview"]["count"] == 1
    assert script.post("/retries", **asked, seen=preview["seen"])["sync_ids"] == [second]
    world.work()
    assert [world.sync("subscription", one).runs for one in ("sub-1", "sub-2")] == [2, 2]
    assert len(entries(world.services, "syncs retry")) == 3


def test_skip_closes_a_sync_once_for_a_reason(world: World, script: Script) -> None:
    sync_id = without_price(world)
    for _ in range(2):
        assert script.post(f"/syncs/{sync_id}/skip", reason="a test customer")["status"] == "superseded"
    assert len(entries(world.services, "syncs skip")) == 1
    customer = world.sync("customer", "acme").id
    assert "nothing to skip" in script.post(f"/syncs/{customer}/skip", 409, reason="no")["detail"]


def test_event_is_dispatched_once_more(world: World, script: Script) -> None:
    world.sign_up()
    world.settle()
    event = world.inbox()[0].id
    assert [script.post(f"/events/{event}/replay")["replayed"] for _ in range(2)] == [True, False]
    world.work()
    assert world.inbox()[0].status == "done"


def test_connection_is_paused_and_goes_on_as_often_as_it_is_said(world: World, script: Script) -> None:
    one = "/connections/default"
    for _ in range(2):
        paused = script.post(f"{one}/pause", what="money", reason="month end")
        assert [pause["text"] for pause in paused["pauses"]] == ["month end (api:the-admin)"]
    script.post(f"{one}/pause", what="all", reason="moving house")
    assert [pause["what"] for pause in script.post(f"{one}/resume")["pauses"]] == ["money"]
    for _ in range(2):
        assert script.post(f"{one}/resume-money", reason="compared")["pauses"] == []
    assert len(entries(world.services, "connections resume")) == 2
    assert script.post("/connections/nowhere/pause", 404, what="all", reason="x")["status"] == 404


def test_any_id_leads_to_the_customer_and_to_what_belongs_to_it(world: World, script: Script) -> None:
    sync_id = without_price(world)
    account = world.m3ter.account_by_code("acme")["id"]
    found = script.get("/search", id="sub-1")["hits"]
    assert {"kind": "customer", "connection": "default", "id": "acme", "says": "subscription"} in found
    assert script.get("/search", id="nothing")["hits"] == []
    one = "/connections/default"
    assert script.get(f"{one}/customer", id=account) == (shown := script.get(f"{one}/customer", id="acme"))
    assert (shown["account_id"], shown["state"]) == (account, "parked")
    assert [line["sync"] for line in shown["subscriptions"]] == [sync_id]
    assert "example.test" not in json.dumps(shown)
    assert script.call("GET", f"{one}/customer?id=nobody").status_code == 404
    [listed] = script.get(f"{one}/customers", state="parked")["customers"]
    assert (listed["customer_id"], listed["account_code"]) == ("acme", "acme")
    assert script.get(f"{one}/customers", state="waiting")["customers"] == []


def test_customer_is_synced_now_by_any_id_and_what_is_open_is_joined(world: World, script: Script) -> None:
    world.sign_up()
    world.settle()
    account = world.m3ter.account_by_code("acme")
    # Chargebee tells nobody of it.
    world.chargebee.customers["acme"]["company"] = "Acme Renamed"
    world.chargebee.customers["acme"]["resource_version"] += 1
    path = "/connections/default/customer/sync"
    for became in ("queued", "already queued"):
        asked = script.post(path, id=account["id"])
        assert [(one["sync"]["kind"], one["sync"]["subject"], one["became"]) for one in asked["syncs"]] == [
            ("customer", "acme", became), ("subscription", "sub-1", became),
        ]  # fmt: skip
    one = script.post(path, id="acme", subscription="sub-1")["syncs"]
    assert [each["sync"]["subject"] for each in one] == ["sub-1"]
    script.post(path, 409, id="acme", subscription="sub-9")
    script.post(path, 404, id="nobody")
    world.work()
    assert world.m3ter.account_by_code("acme")["name"] == "Acme Renamed"
    assert world.sync("customer", "acme").status == "succeeded"
    assert {one.actor for one in entries(world.services, "customers sync")} == {"api:the-admin"}


def test_mappings_that_only_m3ter_shows_are_taken_back(world: World, script: Script) -> None:
    sync_id, path = without_price(world), "/connections/default/mappings/pull"
    shown = {"externalSystem": "Chargebee", "externalTable": "ItemPrice", "externalId": UNMAPPED}
    world.m3ter.create("external_mappings", {"m3terEntity": "Plan", "m3terId": world.ids["beta"], **shown})
    wanted = [f"Plan {world.ids['beta']} → ItemPrice {UNMAPPED}"]
    tried = script.post(path, dry_run=True)
    assert (tried["inserted"], tried["woken"], tried["dry_run"]) == (wanted, [], True)
    taken = script.post(path)
    assert (taken["inserted"], taken["woken"]) == (wanted, [sync_id])
    again = script.post(path)
    assert (again["inserted"], again["woken"], again["there"]) == ([], [], taken["there"] + 1)
    world.work()
    assert len(world.plans()) == 1
    assert {one.actor for one in entries(world.services, "mappings pull")} == {"api:the-admin"}


def test_alert_is_listed_muted_for_a_reason_and_heard_of_again(world: World) -> None:
    without_price(world)
    watching.look(world.services)
    script, key = Script(world.services, OPERATOR), "parked:default:subscription:unmapped_item_price"
    [alert] = [one for one in script.get("/alerts")["alerts"] if one["key"] == key]
    assert (alert["count"], alert["muted_until"], alert["resolved_at"]) == (1, None, None)
    until = script.post("/alerts/mute", key=key, hours=2, reason="moving house")["muted_until"]
    assert datetime.fromisoformat(until) == world.services.now() + timedelta(hours=2)
    [alert] = [one for one in script.get("/alerts")["alerts"] if one["key"] == key]
    assert (alert["muted_until"], alert["muted_for"]) == (until, "moving house")
    assert "no alert's key" in script.post("/alerts/mute", 422, key="parked", hours=2, reason="x")["detail"]
    assert script.post("/alerts/unmute", key=key)["muted_until"] is None
    assert "not muted" in script.post("/alerts/unmute", 422, key=key)["detail"]
    assert [one.actor for one in entries(world.services, "alerts mute")] == ["api:the-operator"]


def test_deliveries_and_events_that_nobody_can_use_are_put_away_for_a_reason(world: World) -> None:
    script = Script(world.services, OPERATOR)
    world.post("/webhooks/chargebee", b'{"id": "ev-1", "email": "a@example.test"')
    [found] = script.get("/quarantine")["deliveries"]
    assert (found["source"], found["bytes"], "not JSON" in found["reason"]) == ("chargebee", 40, True)
    assert "example.test" not in json.dumps(found)
    path = f"/quarantine/{found['id']}"
    assert script.call("POST", f"{path}/body").status_code == 403
    whole = Script(world.services, ADMIN).post(f"{path}/body")
    assert (whole["bytes"], whole["body"][:12]) == (40, '{"id": "ev-1')
    assert [one.actor for one in entries(world.services, "events payload shown")] == ["api:the-admin"]
    assert "still cannot" in script.post(f"{path}/readmit", 409)["detail"]
    assert script.post(f"{path}/dismiss", reason="a probe")["dismissed"] == found["id"]
    script.post(f"{path}/dismiss", 404, reason="a probe")
    assert script.get("/quarantine")["deliveries"] == []
    [entry] = entries(world.services, "events dismiss")
    assert (entry.actor, entry.detail["reason"]) == ("api:the-operator", "a probe")
    event = {
        "id": "ev-2", "event_type": "customer_created", "api_version": "v2", "occurred_at": 1767225600,
        "content": {"nothing": {"id": "x"}},
    }  # fmt: skip
    with world.services.transaction() as db:
        lost = {"connection": "default", "source": "chargebee", "received_at": START, "reason": "an older version"}
        db.add(QuarantinedBody(**lost, body=json.dumps(event).encode()))
    [found] = script.get("/quarantine")["deliveries"]
    assert script.post(f"/quarantine/{found['id']}/readmit")["event_id"] == "ev-2"
    script.post(f"/quarantine/{found['id']}/readmit", 404)
    world.work()
    [event] = script.get("/events", status="failed")["events"]
    closed = script.post(f"/events/{event['id']}/close", reason="a test")
    assert (closed["status"], closed["reason"]) == ("ignored", "closed by api:the-operator: a test")
    assert "not failed" in script.post(f"/events/{event['id']}/close", 409, reason="a test")["detail"]


# Money


@pytest.fixture
def billed(world: World) -> tuple[World, str, str]:
    """A bill of ten dollars that no poll has seen yet, and the pending invoice for it."""
    world.sign_up()
    world.settle()
    invoice = world.renew()
    return world, world.bill(), invoice


def test_bill_is_pushed_only_as_it_was_shown_and_once(billed: tuple[World, str, str]) -> None:
    world, bill, invoice = billed
    script = Script(world.services, OPERATOR)
    path = f"/connections/default/bills/{bill}"
    plan = script.get(f"{path}/plan")
    assert (plan["bill"]["to_send"], plan["bill"]["currency"], plan["held_back"]) == ("10.00", "USD", None)
    for wrong in ({}, {"seen": "0" * 64}):
        refused = script.post(f"{path}/push", 409, **wrong)
        assert refused["preview"] == plan
    world.work()
    assert world.charges(invoice) == []
    assert script.call("GET", f"{path}/receipt").status_code == 404
    first = script.post(f"{path}/push", seen=plan["seen"])
    script.post(f"{path}/push", seen=script.get(f"{path}/plan")["seen"])
    world.work()
    assert world.charges(invoice) == [("m3ter-calls-USD", 1000)]
    again = script.post(f"{path}/push", 409, seen=plan["seen"])
    assert again["preview"]["bill"]["to_send"] == "0.00"
    assert world.charges(invoice) == [("m3ter-calls-USD", 1000)]
    receipt = script.get(f"{path}/receipt")
    assert (receipt["equal"], receipt["bill_total"], receipt["invoices"]) == (True, "10.00", [invoice])
    [shown] = script.get("/connections/default/bills")["bills"]
    assert (shown["bill_id"], shown["sync"], shown["status"]) == (bill, first["id"], "succeeded")
    assert {one.actor for one in entries(world.services, "bills push")} == {"api:the-operator"}
    stands, beside = script.get(path), script.get(f"{path}/check")
    assert (stands["now"], stands["sync"]["id"], [one["sent_before"] for one in stands["versions"]]) == (
        receipt, first["id"], ["0.00"],
    )  # fmt: skip
    assert (beside["equal"], beside["added"], beside["to_send"]) == (True, "10.00", "0.00")
    assert [one["verdict"] for one in beside["invoices"][0]["lines"]] == ["equal"]
    assert script.get("/connections/default/shadow") == {"bills": [], "more": 0}
    assert script.call("GET", path.replace(bill, NOBODY)).status_code == 404
    assert script.get("/connections/default/closing")["at_risk"] == 0


def test_no_token_stands_in_for_the_second_person(
    billed: tuple[World, str, str], make_services: Callable[..., Services]
) -> None:
    world, bill, invoice = billed
    script = Script(make_services(TWO_PEOPLE_ABOVE="9.99"), ADMIN)
    path = f"/connections/default/bills/{bill}"
    plan = script.get(f"{path}/plan")
    assert plan["held_back"]["code"] == "needs_approval"
    refused = script.post(f"{path}/push", 409, seen=plan["seen"])
    assert (refused["code"], refused["next_step"][:12]) == ("needs_approval", "Each of them")
    world.work()
    assert world.charges(invoice) == []


def test_retry_of_a_bill_needs_what_was_seen(billed: tuple[World, str, str], make_services: Any) -> None:
    world, bill, invoice = billed
    world.services = make_services(MAX_BILL_AMOUNT="9.99")
    world.poll()
    row = world.sync("bill", bill)
    assert row.cause == "amount_bound"
    script = Script(world.services, OPERATOR)
    preview = script.post(f"/syncs/{row.id}/retry", 409)["preview"]
    assert preview == script.get(f"/syncs/{row.id}/retry")
    assert preview["totals"] == [{"amount": "10.00", "currency": "USD"}]
    everything = {"cause": "amount_bound", "sync_ids": [row.id]}
    assert script.post("/retries", 409, **everything)["preview"]["totals"] == preview["totals"]
    assert world.charges(invoice) == []
    script.post("/retries", **everything, seen=preview["seen"])
    world.work()
    assert world.charges(invoice) == [("m3ter-calls-USD", 1000)]


@pytest.fixture
def desk(world: World) -> Desk:
    return Desk(world)


# The document


def test_document_is_open_and_says_nothing_of_the_installation(world: World) -> None:
    said = world.client.get(f"{PREFIX}/openapi.json", base_url=HOST)
    assert said.json == json.loads(json.dumps(openapi()))
    assert said.json["openapi"] == "3.1.0"
    assert world.chargebee.site not in said.text
    assert world.m3ter.org_id not in said.text
    # Two shapes of one name would take names that nobody refers to.
    assert set(re.findall(r'"#/components/schemas/([^"]+)"', said.text)) <= said.json["components"]["schemas"].keys()
    described = {(path, method.upper()) for path, of in openapi()["paths"].items() for method in of}
    assert described == {(one.path, one.method) for one in OPERATIONS} | {("/openapi.json", "GET")}


def test_calls_in_the_readme_can_be_made(billed: tuple[World, str, str]) -> None:
    world, bill, _ = billed
    script = Script(world.services, OPERATOR)
    section = README.partition("## The JSON API")[2].partition("\n## ")[0]
    fence, runbook = [one for one in re.findall(r"```sh\n(.*?)```", section, re.DOTALL) if "curl" in one]
    lines = [one for one in fence.replace("\\\n", " ").splitlines() if one.strip() and not one.startswith("#")]
    seen = ""
    for line in lines:
        words = shlex.split(re.sub(r"<[a-z ]+>", bill, line.replace("$SEEN", seen)))
        if words[0] != "curl":
            continue
        url = next(word for word in words if "$API" in word).replace("$API", "")
        body = json.loads(words[words.index("--json") + 1]) if "--json" in words else None
        answer = script.call("GET" if body is None else "POST", url, body)
        assert answer.status_code == 200, (line, answer.text)
        seen = answer.json.get("seen", seen) or seen
    assert len([one for one in lines if one.startswith("curl")]) >= 4
    assert seen
    sync_id = without_price(world, "beta", "sub-2")
    failed, shown, again = (
        one.replace("$CAUSE", "unmapped_item_price") for one in re.findall(r'"\$API(\S+)"', runbook)
    )
    assert [one["id"] for one in script.call("GET", failed).json["syncs"]] == [sync_id]
    preview = script.call("GET", shown).json
    named = re.findall(r"\w+", runbook.partition('jq "{')[2].partition("}")[0].replace("$CAUSE", ""))
    body = preview | {"cause": "unmapped_item_price"}
    assert script.post(again, **{name: body[name] for name in named})["sync_ids"] == [sync_id]


def test_no_call_breaks_the_api_and_every_answer_is_as_the_document_says(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "CALLS", Limit("token", 10**6, 60))
    monkeypatch.setattr(tokens, "WRONG", Limit("token address", 10**6, 60))
    # One of each shape that can be sent: what takes nothing, or the same as another, reads nothing more.
    shapes = {(one.query, one.body): one.id for one in reversed(OPERATIONS)}
    found, calls = fuzzing.faults(
        create_app(desk.world.services), add_token(desk.world.services, "fuzz", ADMIN), examples=1,
        operations=shapes.values(),
        address={"path.connection": "default", "path.balance_id": desk.balance, "path.sync_id": 1, "path.event_id": 1},
    )  # fmt: skip
    assert found == []
    assert calls > len(shapes)
