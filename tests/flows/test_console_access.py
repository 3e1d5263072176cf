"""Who gets into the console, what keeps others out, and how a session ends."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal

import pytest
from argon2 import PasswordHasher
from flask import Flask
from redis import Redis
from sqlalchemy import select, update

from connector import access, throttle
from connector.access import ADMIN, OPERATOR, ROLES, VIEWER
from connector.models import Base, User
from connector.services import Services
from connector.web.app import create_app
from connector.web.console.routes import ROUTES
from tests.flows.browser import PASSWORD, Browser, add_user, address, entries, text_of
from tests.flows.conftest import LOGIN, World

pytestmark = pytest.mark.alternate_databases

CLOSED_PORT = "redis://127.0.0.1:1/0"


@pytest.fixture
def people(world: World) -> World:
    """A world with one user of each role, named after it."""
    for role in ROLES:
        add_user(world.services, f"the-{role}", role)
    return world


def console_of(app: Flask) -> Flask:
    found: Flask = app.extensions["console"]
    return found


# No user, no secret: no console


def test_without_users_the_console_says_how_to_make_one_and_lets_nobody_in(world: World) -> None:
    browser = Browser(world.services)
    for path in ("/", "/login", "/syncs"):
        answer = browser.get(path)
        assert answer.status_code == 503
        assert "connector users add NAME --role admin" in text_of(answer)
    # The page has no form, but anybody can write one.
    assert browser.post("/login", {"name": "admin", "password": "admin"}).status_code == 400


def test_only_disabled_users_are_as_good_as_none(world: World) -> None:
    add_user(world.services, "ada", ADMIN)
    access.enable(world.services, "ada", False, "test")
    assert Browser(world.services).get("/login").status_code == 503


def test_without_a_secret_there_is_no_console_and_webhooks_are_taken(make_services: Callable[..., Services]) -> None:
    app = create_app(make_services(SESSION_SECRET=""))
    assert "console" not in app.extensions
    client = app.test_client()
    assert client.get("/console/login").status_code == 404
    assert client.post("/webhooks/chargebee", data=b"{", auth=LOGIN, content_type="application/json").status_code == 400


def test_console_that_does_not_start_leaves_the_webhooks_alone(
    make_services: Callable[..., Services], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Services) -> Flask:
        raise RuntimeError("no templates")

    monkeypatch.setattr("connector.web.console.app.create", broken)
    client = create_app(make_services()).test_client()
    assert client.get("/console/").status_code == 404
    assert client.get("/health/live").status_code == 200


# Where it is served


@pytest.mark.parametrize(
    ("hosts", "asked", "status"),
    [
        pytest.param("", "127.0.0.1:8080", 200, id="this machine"),
        pytest.param("", "localhost", 200, id="this machine by its name"),
        pytest.param("", "[::1]:8080", 200, id="this machine by IPv6"),
        pytest.param("", "hooks.example.com", 404, id="the webhooks' public name"),
        pytest.param("", "127.0.0.1.example.com", 404, id="a name that begins like this machine's"),
        pytest.param("admin.example.com", "admin.example.com", 200, id="the name that is set"),
        pytest.param("admin.example.com", "ADMIN.example.com:443", 200, id="in other letters and with a port"),
        pytest.param("admin.example.com", "hooks.example.com", 404, id="another than is set"),
        pytest.param("admin.example.com", "127.0.0.1", 404, id="this machine, when another is set"),
        pytest.param(
            "a.example.com, hooks.example.com", "hooks.example.com", 200, id="the public name, when it is set"
        ),
        pytest.param("", "[::1", 404, id="no host at all"),
    ],
)
def test_console_answers_on_its_own_hosts_only(
    people: World, make_services: Callable[..., Services], hosts: str, asked: str, status: int
) -> None:
    services = make_services(CONSOLE_HOSTS=hosts, CONSOLE_PLAIN_HTTP="")
    browser = Browser(services)
    answer = browser.client.get("/console/login", headers={"Host": asked})
    assert answer.status_code == status
    if status == 404:
        assert "Set-Cookie" not in answer.headers
        assert answer.data == b"Not Found\n"


def test_request_that_a_proxy_forwarded_does_not_count_as_from_this_machine(people: World) -> None:
    browser = Browser(people.services)
    assert browser.get("/login", headers={"X-Forwarded-For": "203.0.113.7"}).status_code == 404
    assert browser.get("/login").status_code == 200


def test_hosts_of_the_console_are_not_the_webhooks(people: World, make_services: Callable[..., Services]) -> None:
    services = make_services(
        CONSOLE_HOSTS="admin.example.com", WEB_TRUSTED_HOSTS="hooks.example.com", CONSOLE_PLAIN_HTTP=""
    )
    client = create_app(services).test_client()

    def status(path: str, host: str) -> int:
        return client.get(path, headers={"Host": host}).status_code

    assert status("/console/login", "admin.example.com") == 200
    assert status("/console/login", "hooks.example.com") == 404
    assert status("/health/live", "hooks.example.com") == 200
    assert status("/health/live", "admin.example.com") == 400


def test_health_and_webhooks_set_no_cookie_and_tell_nothing_more(people: World) -> None:
    client = create_app(people.services).test_client()
    for answer in (
        client.get("/health/live"),
        client.get("/health/ready"),
        client.post("/webhooks/chargebee", auth=LOGIN),
    ):
        assert "Set-Cookie" not in answer.headers
        assert "Content-Security-Policy" not in answer.headers
    assert client.get("/health/ready").data == b"up\n"
    assert client.application.secret_key is None


# Logging in and out


def test_person_logs_in_is_taken_where_they_wanted_to_go_and_logs_out(people: World) -> None:
    browser = Browser(people.services)
    first = browser.get("/events?status=new")
    assert (first.status_code, first.headers["Location"]) == (303, "/console/login")
    answer = browser.log_in("The-Viewer ")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/console/events?status=new")
    assert "the-viewer" in text_of(browser.get("/"))
    assert browser.post("/logout").status_code == 303
    assert "logged out" in text_of(browser.get("/login"))
    assert browser.get("/").status_code == 303
    said = [(one.actor, one.detail.get("address")) for one in entries(people.services, "console log-in")]
    assert said == [("web:the-viewer", "127.0.0.1")]
    assert [one.actor for one in entries(people.services, "console log-out")] == ["web:the-viewer"]


@pytest.mark.parametrize(
    ("name", "password"),
    [
        pytest.param("the-admin", "wrong horse battery", id="wrong password"),
        pytest.param("nobody", PASSWORD, id="unknown name"),
        pytest.param("off", PASSWORD, id="disabled"),
        pytest.param("the-admin", "", id="no password"),
        pytest.param("", "", id="nothing"),
        pytest.param("the-admin\x00", PASSWORD, id="a name that no database takes"),
    ],
)
def test_refused_log_ins_all_say_the_same(people: World, name: str, password: str) -> None:
    add_user(people.services, "off", ADMIN)
    access.enable(people.services, "off", False, "test")
    browser = Browser(people.services)
    answer = browser.log_in(name, password)
    assert answer.status_code == 401
    assert "The name or the password is wrong." in text_of(answer)
    assert browser.get("/").status_code == 303
    [entry] = entries(people.services, "console log-in refused")
    assert entry.subject in ("the-admin", "off", "an unknown name")
    assert PASSWORD not in str(entry.detail)


def test_unknown_name_costs_one_check_of_a_password_like_a_known_one(
    people: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []

    class Watching(PasswordHasher):
        def verify(self, password_hash: str | bytes, password: str | bytes) -> Literal[True]:
            checked.append(str(password_hash))
            return super().verify(password_hash, password)

    monkeypatch.setattr(access, "HASHER", Watching(time_cost=2, memory_cost=19_456, parallelism=1))
    for name in ("nobody", "the-admin"):
        with pytest.raises(access.LoginRefused):
            access.log_in(people.services, name, "wrong", "127.0.0.1")
    parameters = [re.match(r"\$argon2id\$v=19\$m=\d+,t=\d+,p=\d+", one)[0] for one in checked]  # type: ignore[index]
    assert len(parameters) == 2
    assert len(set(parameters)) == 1


def test_what_somebody_typed_as_a_name_is_not_kept(people: World) -> None:
    Browser(people.services).log_in("hunter2-hunter2", "x")
    [entry] = entries(people.services, "console log-in refused")
    assert "hunter2" not in f"{entry.subject} {entry.detail}"


def test_session_begins_anew_at_log_in(people: World) -> None:
    """Who has planted a cookie in somebody's browser gains nothing by it."""
    browser = Browser(people.services)
    browser.get("/login")
    planted = browser.token
    browser.log_in("the-viewer")
    assert browser.token != planted
    assert browser.post("/logout", {"csrf": planted}, csrf=False).status_code == 400


def test_link_from_another_site_does_not_ask_somebody_who_is_logged_in_to_log_in(people: World) -> None:
    """A browser keeps a strict cookie back there, and sends it when a page of ours asks for the same."""
    browser = Browser(people.services)
    answer = browser.get("/syncs?status=parked", headers={"Sec-Fetch-Site": "cross-site"})
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (200, False)
    assert '<meta http-equiv="refresh" content="0">' in answer.text
    assert 'href="/console/syncs?status=parked"' in answer.text
    assert browser.get("/syncs?status=parked", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 303


# Throttling


def test_fifth_wrong_password_is_the_last_that_is_looked_at(people: World) -> None:
    browser = Browser(people.services)
    assert [browser.log_in("the-admin", "wrong").status_code for _ in range(6)] == [401] * 5 + [429]
    late = browser.log_in("the-admin")
    assert (late.status_code, late.headers["Retry-After"]) == (429, "900")
    assert browser.log_in("the-operator").status_code == 303
    assert len(entries(people.services, "console log-in refused")) == 5
    keys = list(people.services.redis.scan_iter("connector:tries:*"))
    assert keys
    assert all(0 < people.services.redis.ttl(key) <= 900 for key in keys)
    assert not any(b"admin" in key for key in keys)


def test_right_password_forgives_the_wrong_ones_before(people: World) -> None:
    for _ in range(3):
        browser = Browser(people.services)
        assert [browser.log_in("the-admin", "wrong").status_code for _ in range(4)] == [401] * 4
        assert browser.log_in("the-admin").status_code == 303


def test_one_address_cannot_try_one_name_after_the_other(people: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "BY_ADDRESS", throttle.Limit("address", 3, 900))
    browser = Browser(people.services)
    assert [browser.log_in(f"user-{n}", "wrong").status_code for n in range(4)] == [401, 401, 401, 429]
    elsewhere = browser.log_in("the-admin", environ_overrides={"REMOTE_ADDR": "203.0.113.9"})
    assert elsewhere.status_code == 303


@pytest.mark.parametrize(
    ("proxies", "statuses"), [pytest.param("0", [401, 429], id="not"), pytest.param("1", [401, 401], id="one")]
)
def test_forwarded_address_counts_only_when_proxies_are_trusted(
    people: World,
    make_services: Callable[..., Services],
    monkeypatch: pytest.MonkeyPatch,
    proxies: str,
    statuses: list[int],
) -> None:
    monkeypatch.setattr(access, "BY_ADDRESS", throttle.Limit("address", 1, 900))
    services = make_services(CONSOLE_HOSTS="127.0.0.1", CONSOLE_PROXIES=proxies)
    browser = Browser(services)
    origin = {"Origin": "http://127.0.0.1:8080"}
    found = [
        browser.log_in(f"user-{n}", "wrong", headers=origin | {"X-Forwarded-For": f"203.0.113.{n}"}).status_code
        for n in range(2)
    ]
    assert found == statuses


def test_without_redis_people_can_log_in_and_tries_are_counted_all_the_same(
    people: World, make_services: Callable[..., Services], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "_LOCAL", throttle._Local())
    browser = Browser(make_services(REDIS_URL=CLOSED_PORT))
    assert browser.log_in("the-viewer").status_code == 303
    browser.post("/logout")
    assert [browser.log_in("the-admin", "wrong").status_code for _ in range(6)] == [401] * 5 + [429]
    people.box.advance(timedelta(minutes=16))
    assert browser.log_in("the-admin").status_code == 303


def test_memory_for_tries_stays_bounded_without_redis(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = throttle._Local()
    monkeypatch.setattr(throttle, "_LOCAL", kept)
    away = Redis.from_url(CLOSED_PORT)
    monkeypatch.setattr(throttle, "LOCAL_KEYS", 20)
    limit = throttle.Limit("name", 2, 900)
    for n in range(100):
        throttle.count(away, limit, f"user-{n}", world.services.now())
        throttle.count(away, limit, "always the same", world.services.now())
    assert len(kept._tries) == 20
    assert not throttle.count(away, limit, "always the same", world.services.now())


# How a session ends


ENDINGS: dict[str, Callable[[Services], None]] = {
    "disabled": lambda services: access.enable(services, "the-operator", False, "test"),
    "another password": lambda services: access.set_password(services, "the-operator", "another horse battery", "test"),
    "another role": lambda services: access.set_role(services, "the-operator", VIEWER, "test"),
}


@pytest.mark.parametrize("how", ENDINGS)
def test_session_ends_at_once_when_the_user_is_changed(people: World, how: str) -> None:
    browser = Browser(people.services)
    browser.log_in("the-operator")
    assert browser.get("/").status_code == 200
    ENDINGS[how](people.services)
    assert browser.get("/").status_code == 303
    assert "Your session is over" in text_of(browser.get("/login"))


def test_cookie_that_was_copied_is_worth_nothing_after_log_out(people: World) -> None:
    browser, thief = Browser(people.services), Browser(people.services)
    browser.log_in("the-viewer")
    cookie = browser.client.get_cookie("console", "127.0.0.1", "/console")
    assert cookie is not None
    thief.client.set_cookie("console", cookie.value, domain="127.0.0.1", path="/console")
    assert thief.get("/").status_code == 200
    browser.post("/logout")
    assert thief.get("/").status_code == 303


def test_session_that_is_not_used_is_over_after_half_an_hour(people: World) -> None:
    browser = Browser(people.services)
    browser.log_in("the-viewer")
    for _ in range(4):
        people.box.advance(timedelta(minutes=29))
        assert browser.get("/").status_code == 200
    people.box.advance(timedelta(minutes=31))
    assert browser.get("/").status_code == 303


def test_session_is_over_after_twelve_hours_however_busy(people: World) -> None:
    browser = Browser(people.services)
    browser.log_in("the-viewer")
    for _ in range(24):
        people.box.advance(timedelta(minutes=29))
        assert browser.get("/").status_code == 200
    people.box.advance(timedelta(minutes=29))
    assert browser.get("/").status_code == 303


def test_cookie_signed_with_another_secret_is_nobodys(people: World, make_services: Callable[..., Services]) -> None:
    browser = Browser(people.services)
    browser.log_in("the-viewer")
    cookie = browser.client.get_cookie("console", "127.0.0.1", "/console")
    assert cookie is not None
    secret = people.services.settings.session_secret
    assert secret is not None
    rotated = {"SESSION_SECRET": "n" * 32, "SESSION_PREVIOUS_SECRET": secret.get_secret_value()}
    for environment, status in (({"SESSION_SECRET": "n" * 32}, 303), (rotated, 200)):
        other = Browser(make_services(**environment))
        other.client.set_cookie("console", cookie.value, domain="127.0.0.1", path="/console")
        assert other.get("/").status_code == status


# What every answer carries


def test_cookie_goes_to_the_console_alone_and_only_over_https(
    people: World, make_services: Callable[..., Services]
) -> None:
    cookie = Browser(make_services(CONSOLE_PLAIN_HTTP="")).get("/login").headers["Set-Cookie"]
    assert cookie.startswith("__Secure-console=")
    assert set(cookie.split("; ")[1:]) == {"Secure", "HttpOnly", "Path=/console", "SameSite=Strict"}
    plain = Browser(people.services).get("/login").headers["Set-Cookie"]
    assert plain.startswith("console=")
    assert set(plain.split("; ")[1:]) == {"HttpOnly", "Path=/console", "SameSite=Strict"}


@pytest.mark.parametrize("path", ["/", "/login", "/nowhere", "/syncs/0", "/static/console.css", "/syncs?status=lost"])
def test_every_answer_forbids_frames_scripts_of_others_and_guessing_of_types(people: World, path: str) -> None:
    browser = Browser(people.services)
    browser.log_in("the-admin")
    headers = browser.get(path).headers
    assert headers["Content-Security-Policy"].split("; ") == [
        "default-src 'self'", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'", "object-src 'none'",
    ]  # fmt: skip
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in headers
    assert "Server" not in headers
    if not path.startswith("/static"):
        assert headers["Cache-Control"] == "no-store"


# Roles and forged forms, over every route there is


def test_every_address_of_the_application_stands_in_the_table_of_routes(people: World) -> None:
    console = console_of(create_app(people.services))
    served = {
        (rule.endpoint, method)
        for rule in console.url_map.iter_rules()
        for method in rule.methods or ()
        if method not in ("HEAD", "OPTIONS")
    }
    assert served == {(route.endpoint, route.method) for route in ROUTES} | {("static", "GET")}
    assert {route.endpoint for route in ROUTES if route.role is None} == {
        "login", "log_in", "sign_on", "sign_on_back", "invitation", "accept_invitation",
    }  # fmt: skip
    assert all(route.role in (None, *ROLES) for route in ROUTES)


def test_beside_the_console_there_are_webhooks_and_health_alone(people: World) -> None:
    """No dashboard of the queue, nor anything else that somebody forgot."""
    served = {rule.rule.split("/")[1] for rule in create_app(people.services).url_map.iter_rules()}
    assert served == {"webhooks", "health"}


def test_address_that_is_not_in_the_table_is_not_there(people: World) -> None:
    app = create_app(people.services)
    console_of(app).add_url_rule("/forgotten", "forgotten", lambda: "secrets")
    browser = Browser(people.services, app)
    assert browser.get("/forgotten").status_code == 404
    browser.log_in("the-admin")
    answer = browser.get("/forgotten")
    assert (answer.status_code, "secrets" in answer.text) == (404, False)


@pytest.mark.parametrize("role", [None, *ROLES])
def test_each_role_may_do_what_the_table_says_and_nothing_else(people: World, role: str | None) -> None:
    people.sign_up()
    people.settle()
    browser = Browser(people.services)
    if role:
        browser.log_in(f"the-{role}")
    else:
        browser.get("/login")
    denied = []
    for route in ROUTES:
        if route.endpoint == "log_out" or route.role is None:
            continue
        answer = browser.get(address(route.path)) if route.method == "GET" else browser.post(address(route.path))
        if role is None:
            assert (answer.status_code, answer.headers.get("Location")) == (303, "/console/login"), route
        elif ROLES.index(role) >= ROLES.index(str(route.role)):
            assert answer.status_code in (200, 303, 400, 404, 409, 422), route
            assert answer.headers.get("Location") != "/console/login", route
        else:
            assert answer.status_code == 403, route
            denied.append(route.endpoint)
    assert [one.subject for one in entries(people.services, "console denied")] == denied
    if role == VIEWER:
        acting = {route.endpoint for route in ROUTES if route.method == "POST" and route.role is not None}
        assert acting - set(denied) == {"log_out", "set_own_password"}, "a viewer only looks"
    assert {"audit", "users", "add_user"} <= set(denied) or role not in (VIEWER, OPERATOR)


FORGED: dict[str, dict[str, Any]] = {
    "no token": {"csrf": False},
    "another token": {"csrf": False, "fields": {"csrf": "x" * 43}},
    "a token of other letters": {"csrf": False, "fields": {"csrf": "ä" * 43}},
    "from another site": {"headers": {"Origin": "https://evil.example"}},
    "from nowhere": {"headers": {"Origin": "null"}},
    "from another port": {"headers": {"Origin": "http://127.0.0.1:9000"}},
    "as the browser says, from another site": {"headers": {"Sec-Fetch-Site": "cross-site"}},
    "as the browser says, from a neighbour": {"headers": {"Sec-Fetch-Site": "same-site"}},
}


@pytest.mark.parametrize("logged_in", [True, False], ids=["logged in", "logged out"])
def test_no_form_is_taken_that_our_pages_did_not_make(people: World, logged_in: bool) -> None:
    browser = Browser(people.services)
    browser.get("/login")
    if logged_in:
        browser.log_in("the-admin")
    before = whole(people.services)
    forms = [route for route in ROUTES if route.method != "GET"]
    assert len(forms) >= 9
    for how, sent in FORGED.items():
        for route in forms:
            assert browser.post(address(route.path), **sent).status_code == 400, (how, route)
    assert whole(people.services) == before


def test_form_without_origin_is_taken_by_its_token_and_behind_a_proxy_with_https(people: World) -> None:
    for headers in ({}, {"Origin": "https://127.0.0.1:8080"}):
        browser = Browser(people.services)
        browser.log_in("the-viewer")
        assert browser.post("/logout", headers=headers).status_code == 303


def test_looking_changes_nothing(people: World) -> None:
    """Not a row of any table differs after every page has been looked at."""
    people.sign_up()
    people.settle()
    browser = Browser(people.services)
    browser.log_in("the-admin")
    before = whole(people.services)
    for route in ROUTES:
        if route.method == "GET":
            browser.get(address(route.path))
            assert whole(people.services) == before, route


def whole(services: Services) -> dict[str, list[Any]]:
    with services.reading() as db:
        return {
            table.name: [tuple(row) for row in db.execute(select(table).order_by(*table.primary_key))]
            for table in Base.metadata.sorted_tables
        }


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param("/syncs/0", 404, id="row zero"),
        pytest.param("/syncs/9223372036854775808", 404, id="more than any row"),
        pytest.param("/syncs/-1", 404, id="below zero"),
        pytest.param("/syncs/1%20OR%201=1", 404, id="no number"),
        pytest.param("/users/0", 404, id="user zero"),
        pytest.param("/users/1'--", 404, id="no number of a user"),
        pytest.param("/invitation/x.y.z", 409, id="a link that nobody signed"),
        pytest.param("/invitation/%00%F0%9F%92%A5", 409, id="a link that is no text of ours"),
        pytest.param("/syncs?before=0", 400, id="a page before row zero"),
        pytest.param("/syncs?before=9223372036854775808", 400, id="a page before more than any row"),
        pytest.param("/syncs?before=" + "9" * 5000, 400, id="a page before a very long number"),
        pytest.param("/syncs?before=²", 400, id="a page before a digit of no use"),
        pytest.param("/syncs?status=lost", 400, id="no state"),
        pytest.param("/syncs?kind=' OR 1=1 --", 400, id="no kind"),
        pytest.param("/syncs?connection=other", 400, id="no connection"),
        pytest.param("/syncs?about=%00", 400, id="a text that no database takes"),
        pytest.param("/syncs?about=" + "x" * 501, 400, id="a text too long"),
        pytest.param("/syncs?about=' OR 1=1 --", 200, id="a text that is an id of nothing"),
        pytest.param("/syncs?cause=%F0%9F%92%A5", 200, id="a sign beyond the first plane"),
        pytest.param("/syncs/retry", 400, id="retry without a cause"),
        pytest.param("/syncs/retry?cause=x&status=succeeded", 400, id="retry what is done"),
        pytest.param("/events?event_id=%ED%A0%80", 200, id="half a sign"),
        pytest.param("/connections/other/money", 404, id="money of no connection"),
        pytest.param("/connections/default/money", 404, id="money that is not off"),
        pytest.param("/audit?before=1;DROP TABLE users", 400, id="more than a number"),
        pytest.param("//evil.example/", 404, id="two slashes"),
    ],
)
def test_what_stands_in_an_address_cannot_break_a_page(people: World, path: str, status: int) -> None:
    browser = Browser(people.services)
    browser.log_in("the-admin")
    answer = browser.get(path)
    assert answer.status_code == status
    assert "Location" not in answer.headers


def test_form_about_what_can_be_no_row_is_not_found_rather_than_not_allowed(people: World) -> None:
    """`/syncs/0/retry` is an address that can be looked at and sent to: neither is said to be the wrong way."""
    browser = Browser(people.services)
    browser.log_in("the-admin")
    for row in ("0", "9223372036854775808", "9" * 20):
        for route in ROUTES:
            if "<row:" in route.path:
                path = address(re.sub("<row:[^>]+>", row, route.path))
                answer = browser.get(path) if route.method == "GET" else browser.post(path)
                assert answer.status_code == 404, (row, route)


def test_form_larger_than_any_of_ours_is_refused(people: World) -> None:
    browser = Browser(people.services)
    browser.get("/login")
    assert browser.post("/login", {"name": "x" * 300_000, "password": "y"}).status_code == 413


def test_database_that_is_away_is_said_and_nothing_of_it(people: World, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Browser(people.services)
    browser.log_in("the-viewer")
    with people.services.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE syncs RENAME TO gone")
    try:
        answer = browser.get("/syncs")
    finally:
        with people.services.engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE gone RENAME TO syncs")
    assert answer.status_code == 503
    assert "The database cannot be used" in text_of(answer)
    assert "SELECT" not in answer.text


# Users


def test_password_is_kept_as_argon2id_and_hashed_anew_when_the_parameters_rise(people: World) -> None:
    with people.services.transaction() as db:
        weak = access.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
        db.execute(update(User).where(User.name == "the-viewer").values(password_hash=weak))
    assert Browser(people.services).log_in("the-viewer").status_code == 303
    with people.services.reading() as db:
        kept = db.scalars(select(User).where(User.name == "the-viewer")).one()
    assert kept.password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert kept.logged_in_at == people.services.now()


def test_password_may_be_typed_in_either_spelling_of_a_letter(people: World) -> None:
    access.set_password(people.services, "the-viewer", "cafe\u0301 crème brûlée", "test")
    assert Browser(people.services).log_in("the-viewer", "caf\u00e9 crème brûlée").status_code == 303
