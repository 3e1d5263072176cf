"""Logging in through an OpenID provider: who gets in, with which role, and what of a provider is not believed."""

import hmac
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from authlib.common.encoding import urlsafe_b64encode
from flask import Flask
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from connector import access, single_sign_on
from connector.access import ADMIN, OPERATOR, VIEWER
from connector.models import AuditEntry, User
from connector.sandbox import Sandbox
from connector.services import Services
from connector.web.app import create_app
from connector.web.console.app import HEADERS
from tests.flows import openid_provider
from tests.flows.browser import PASSWORD, Browser, add_user, entries, text_of
from tests.flows.openid_provider import CLIENT, KEYS, SECRET, Provider

pytestmark = pytest.mark.alternate_databases

CONSOLE = "http://127.0.0.1:8080/console"
ELSEWHERE = {"Sec-Fetch-Site": "cross-site"}
CLOSED_PORT = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def server() -> Iterator[Provider]:
    with openid_provider.running() as provider:
        yield provider


@dataclass
class House:
    """The provider, and a console that lets people in through it."""

    provider: Provider
    services: Services
    make: Callable[..., Services]
    box: Sandbox
    apps: dict[int, Flask] = field(default_factory=dict)

    def browser(self, services: Services | None = None) -> Browser:
        """A browser that nobody has used, at a console that is made once."""
        services = services or self.services
        if id(services) not in self.apps:
            self.apps[id(services)] = create_app(services)
        return Browser(services, self.apps[id(services)])

    def visit(self, browser: Browser | None = None, change: Callable[[str], str] = lambda url: url) -> "Visit":
        """Somebody follows the button, is let in by the provider, and comes back to an address that `change` may change."""
        browser = browser or self.browser()
        there = browser.get("/login/provider")
        assert there.status_code == 303, text_of(there)
        back = requests.get(there.headers["Location"], allow_redirects=False, timeout=5).headers["Location"]
        return Visit(browser, there, change(back))

    def log_in(self, browser: Browser | None = None) -> "Visit":
        visit = self.visit(browser)
        visit.come_back()
        return visit

    def listed(self) -> list[User]:
        with self.services.reading() as db:
            return access.listed(db)

    def users(self) -> list[tuple[str, str, bool, str | None]]:
        return [(one.name, one.role, one.enabled, one.subject) for one in self.listed()]

    def entries(self, action: str) -> list[AuditEntry]:
        return entries(self.services, action)


@dataclass
class Visit:
    """A log-in on its way back from the provider."""

    browser: Browser
    there: TestResponse
    back: str
    answer: Any = None

    def come_back(self) -> TestResponse:
        # Browsers keep a strict cookie back on the way from another site; the client of the tests does not.
        kept = self.browser.client.get_cookie("console", "127.0.0.1", "/console")
        self.browser.client.delete_cookie("console", domain="127.0.0.1", path="/console")
        self.answer = self.browser.get(self.back.removeprefix(CONSOLE), headers=ELSEWHERE)
        if kept is not None and self.browser.client.get_cookie("console", "127.0.0.1", "/console") is None:
            self.browser.client.set_cookie("console", kept.value, domain="127.0.0.1", path="/console")
        return self.answer  # type: ignore[no-any-return]

    @property
    def is_in(self) -> bool:
        return self.browser.get("/").status_code == 200

    @property
    def said(self) -> str:
        return text_of(self.answer)


def environment(provider: Provider, **others: str) -> dict[str, str]:
    return {
        "CONSOLE_URL": CONSOLE, "OIDC_ISSUER": provider.url, "OIDC_CLIENT_ID": CLIENT, "OIDC_CLIENT_SECRET": SECRET,
        "OIDC_NAME": "Example Login", "OIDC_ADMINS": "admins", "OIDC_OPERATORS": "ops,billing", "OIDC_VIEWERS": "staff",
        **others,
    }  # fmt: skip


@pytest.fixture
def house(server: Provider, box: Sandbox, make_services: Callable[..., Services]) -> House:
    server.reset()
    server.now, server.redirect_uri = box.clock.now, f"{CONSOLE}/login/callback"
    services = make_services(**environment(server))
    services.redis.flushall()
    return House(server, services, lambda **others: make_services(**environment(server, **others)), box)


# The way there and back


def test_person_logs_in_through_the_provider_and_is_taken_where_they_wanted_to_go(house: House) -> None:
    browser = house.browser()
    assert browser.get("/syncs?status=parked").status_code == 303
    page = browser.get("/login")
    assert 'href="/console/login/provider"' in page.text
    assert "Log in with Example Login" in text_of(page)
    visit = house.visit(browser)
    asked = parse_qs(urlsplit(visit.there.headers["Location"]).query)
    assert asked["redirect_uri"] == [f"{CONSOLE}/login/callback"]
    assert (asked["scope"], asked["code_challenge_method"]) == (["openid profile email"], ["S256"])
    assert all(len(asked[name][0]) >= 32 for name in ("state", "nonce", "code_challenge"))
    answer = visit.come_back()
    assert '<meta http-equiv="refresh" content="0; url=/console/syncs?status=parked">' in answer.text
    assert visit.is_in
    assert "ada (admin)" in text_of(browser.get("/"))
    assert house.users() == [("ada", ADMIN, True, "u-1")]
    [entry] = house.entries("console log-in")
    assert (entry.actor, entry.detail) == ("web:ada", {"address": "127.0.0.1", "through": house.provider.url})
    browser.post("/logout")
    assert "At Example Login you still are logged in." in text_of(browser.get("/login"))
    assert browser.get("/").status_code == 303


def test_cookie_of_the_way_back_is_short_lived_lax_and_for_that_alone(house: House) -> None:
    for plain, name, secure in (("true", "console-sign-on", set()), ("", "__Secure-console-sign-on", {"Secure"})):
        visit = house.visit(house.browser(house.make(CONSOLE_PLAIN_HTTP=plain)))
        [cookie] = [one for one in visit.there.headers.getlist("Set-Cookie") if one.startswith(f"{name}=")]
        parts = {part for part in cookie.split("; ")[1:] if not part.startswith("Expires")}
        assert parts == {"HttpOnly", "Max-Age=600", "Path=/console/login/callback", "SameSite=Lax", *secure}
    # It is gone however the log-in ends.
    for change in (lambda url: url, lambda url: url.replace("state=", "state=x")):
        visit = house.visit(change=change)
        gone = [one for one in visit.come_back().headers.getlist("Set-Cookie") if one.startswith("console-sign-on=;")]
        assert "Max-Age=0" in gone[0]
        assert "Path=/console/login/callback" in gone[0]


def test_session_begins_with_nothing_of_what_was_before(house: House) -> None:
    visit = house.visit()
    visit.browser.get("/login")
    planted = visit.browser.token
    # From a provider below our own domain the browser brings the strict cookie along.
    visit.browser.get(visit.back.removeprefix(CONSOLE))
    assert visit.is_in
    assert visit.browser.token != planted
    assert visit.browser.post("/logout", {"csrf": planted}, csrf=False).status_code == 400


def test_log_in_that_was_begun_in_another_browser_goes_nowhere(house: House) -> None:
    """Nobody is logged in as somebody else by a link."""
    attackers = house.visit()
    victim = Visit(house.browser(), attackers.there, attackers.back)
    assert victim.come_back().status_code == 400
    assert "was not begun in this browser" in victim.said
    assert not victim.is_in
    # Nor does a log-in that the victim has begun make the attacker's code theirs.
    begun = house.visit(change=lambda url: attackers.back)
    assert begun.come_back().status_code == 400
    assert not begun.is_in
    assert "/token" not in house.provider.calls


def test_log_in_that_takes_longer_than_ten_minutes_begins_again(house: House) -> None:
    visit = house.visit()
    house.box.advance(timedelta(minutes=11))
    assert visit.come_back().status_code == 400
    assert not visit.is_in


def test_code_serves_once(house: House) -> None:
    visit = house.visit()
    browser = visit.browser
    cookie = browser.client.get_cookie("console-sign-on", "127.0.0.1", "/console/login/callback")
    assert cookie is not None
    assert visit.come_back().status_code == 200
    browser.post("/logout")
    browser.client.set_cookie("console-sign-on", cookie.value, domain="127.0.0.1", path="/console/login/callback")
    assert visit.come_back().status_code == 403
    assert "did not take its own code a second time" in visit.said
    assert not visit.is_in
    assert len(house.entries("console log-in refused")) == 1


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example", "/login/provider?next=https://evil.example"])
def test_nobody_is_sent_anywhere_else(house: House, path: str) -> None:
    browser = house.browser()
    browser.get(path)
    answer = house.visit(browser).come_back()
    assert "evil" not in answer.text
    assert re.search(r'content="0; url=/console/', answer.text)


def test_log_in_is_begun_from_our_own_page_by_a_link_not_a_form(house: House) -> None:
    """The policy that pages carry lets forms go nowhere else, and browsers hold redirects to it too."""
    assert "form-action 'self'" in HEADERS["Content-Security-Policy"]
    answer = house.browser().get("/login/provider", headers=ELSEWHERE)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/console/login")
    assert house.provider.calls == []


# What is not believed

WRONG: dict[str, Callable[[Provider], object]] = {
    "nonce of another log-in": lambda there: there.wrong.update(nonce="x" * 32),
    "no nonce": lambda there: setattr(there, "left_out", ("nonce",)),
    "for another client": lambda there: there.wrong.update(aud="another"),
    "for another client, in our name": lambda there: there.wrong.update(aud="another", azp=CLIENT),
    "for others too, given to another": lambda there: there.wrong.update(aud=[CLIENT, "another"], azp="another"),
    "for others too, given to nobody": lambda there: there.wrong.update(aud=[CLIENT, "another"]),
    "for no one": lambda there: setattr(there, "left_out", ("aud",)),
    "of another issuer": lambda there: there.wrong.update(iss="https://evil.example"),
    "of no issuer": lambda there: setattr(there, "left_out", ("iss",)),
    "about nobody": lambda there: there.wrong.update(sub=""),
    "about no text": lambda there: there.wrong.update(sub=7),
    "over": lambda there: there.wrong.update(exp=int(there.now().timestamp()) - 61),
    "without an end": lambda there: setattr(there, "left_out", ("exp",)),
    "made tomorrow": lambda there: there.wrong.update(iat=int(there.now().timestamp()) + 86400),
    "made an hour ago": lambda there: there.wrong.update(iat=int(there.now().timestamp()) - 3600),
    "unsigned": lambda there: setattr(there, "sign", unsigned),
    "signed with the public key as a secret": lambda there: setattr(there, "sign", with_public_key),
    "signed by somebody else": lambda there: setattr(there, "sign", lambda claims: there.signed(claims, "second")),
    "signed by somebody else in its name": lambda there: setattr(
        there, "sign", lambda claims: there.signed(claims, "second", kid="first")
    ),
    "changed after it was signed": lambda there: setattr(there, "sign", lambda claims: changed(there.signed(claims))),
    "no token at all": lambda there: setattr(there, "sign", lambda claims: "nonsense"),
}  # fmt: skip


def unsigned(claims: dict[str, Any]) -> str:
    return f"{by_hand({'alg': 'none'}, claims)}."


def with_public_key(claims: dict[str, Any]) -> str:
    signed = by_hand({"alg": "HS256", "kid": "first"}, claims)
    mac = hmac.digest(KEYS["first"].as_pem(private=False), signed.encode(), "sha256")
    return f"{signed}.{urlsafe_b64encode(mac).decode()}"


def by_hand(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """The two parts of a token that are signed; libraries refuse to sign badly."""
    return ".".join(urlsafe_b64encode(json.dumps(part).encode()).decode() for part in (header, claims))


def changed(token: str) -> str:
    head, body, tail = token.split(".")
    return ".".join((head, body[:-4] + ("AAAA" if body[-4:] != "AAAA" else "BBBB"), tail))


def test_token_that_does_not_hold_lets_nobody_in(house: House) -> None:
    browser = house.browser()
    for number, (how, spoil) in enumerate(WRONG.items(), 1):
        house.provider.reset()
        spoil(house.provider)
        visit = house.log_in(browser)
        assert (how, visit.answer.status_code) == (how, 403)
        assert "could not be believed" in visit.said
        assert not visit.is_in
        assert len(house.entries("console log-in refused")) == number
    assert house.users() == []
    house.provider.reset()
    assert house.log_in(browser).is_in


def test_key_that_the_provider_has_changed_is_asked_for_once_a_minute_at_most(house: House) -> None:
    assert house.log_in().is_in
    there = house.provider
    there.published, there.sign = ["second"], lambda claims: there.signed(claims, "second")
    assert not house.log_in().is_in
    assert there.calls.count("/keys") == 1
    house.box.advance(timedelta(minutes=1))
    assert house.log_in().is_in
    assert house.log_in().is_in
    assert (there.calls.count("/keys"), there.calls.count("/.well-known/openid-configuration")) == (2, 1)


def test_provider_that_is_away_or_wrong_is_said_and_passwords_go_on(house: House) -> None:
    add_user(house.services, "the-viewer", VIEWER)
    visit = house.visit()
    house.provider.is_away = True
    assert visit.come_back().status_code == 503
    assert "Example Login cannot be reached" in visit.said
    fresh = house.make()
    for services in (fresh, house.make(OIDC_ISSUER=CLOSED_PORT)):
        browser = house.browser(services)
        answer = browser.get("/login/provider")
        assert (answer.status_code, "Example Login cannot be reached" in text_of(answer)) == (503, True)
        assert browser.log_in("the-viewer").status_code == 303
    house.provider.is_away = False
    assert house.visit(house.browser(fresh)).come_back().status_code == 200
    for wrong in (
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://evil.example/token"},
        {"jwks_uri": None},
    ):
        house.provider.document = wrong
        answer = house.browser(house.make()).get("/login/provider")
        assert (answer.status_code, "not set up rightly" in text_of(answer)) == (503, True)
    house.provider.document = {}
    visit = house.visit(house.browser(house.make(OIDC_CLIENT_SECRET="old")))
    assert visit.come_back().status_code == 503
    assert "does not know this console" in visit.said


def test_provider_that_lets_somebody_not_in_is_said_without_its_words(house: House) -> None:
    refused = house.visit(change=lambda url: re.sub(r"code=[^&]+", "error=access_denied&error_description=<b>hi", url))
    assert refused.come_back().status_code == 403
    assert "Example Login did not let you in." in refused.said
    assert "hi" not in refused.said.split()


def test_log_ins_from_one_address_are_counted(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_sign_on, "BY_ADDRESS", single_sign_on.Limit("sign-on", 2, 900))
    assert house.log_in().is_in
    answer = house.browser().get("/login/provider")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "900")


# Who somebody is here


def test_role_is_what_the_provider_says_at_each_log_in_and_a_change_ends_old_sessions(house: House) -> None:
    old = house.log_in()
    house.provider.person["groups"] = ["billing", "staff"]
    new = house.log_in()
    assert house.users() == [("ada", OPERATOR, True, "u-1")]
    assert "ada (operator)" in text_of(new.browser.get("/"))
    assert not old.is_in
    same = house.log_in()
    assert (new.is_in, same.is_in) == (True, True)
    [entry] = house.entries("users set-role")
    assert (entry.actor, entry.detail) == ("provider", {"role": OPERATOR, "before": ADMIN})
    house.provider.person["groups"] = ["others"]
    none = house.log_in()
    assert (none.answer.status_code, "nothing gives you a role here" in none.said) == (403, True)
    assert (new.is_in, same.is_in, none.is_in) == (False, False, False)
    assert house.entries("console log-in refused")[-1].detail["reason"] == "no role"


def test_whoever_is_disabled_here_stays_out_though_the_provider_lets_them_in(house: House) -> None:
    visit = house.log_in()
    access.enable(house.services, "ada", False, "test")
    assert not visit.is_in
    again = house.log_in()
    assert (again.answer.status_code, "disabled here" in again.said) == (403, True)
    assert not again.is_in
    assert house.entries("console log-in refused")[-1].subject == "ada"


def test_name_of_another_user_is_not_taken_over_and_an_admin_ties_the_two(house: House) -> None:
    add_user(house.services, "ada", VIEWER)
    taken = house.log_in()
    assert taken.answer.status_code == 403
    assert "connector users link ada --subject u-1" in taken.said
    assert house.users() == [("ada", VIEWER, True, None)]
    by_password = house.browser()
    by_password.log_in("ada")
    access.link(house.services, "ada", house.provider.url, "u-1", "test")
    assert by_password.get("/").status_code == 303
    assert house.log_in().is_in
    assert house.users() == [("ada", ADMIN, True, "u-1")]
    # One way in for each: the password is gone, and an admin cannot give another without ending the tie.
    assert house.browser().log_in("ada", PASSWORD).status_code == 401
    with pytest.raises(access.ConnectorError, match="logs in through a provider"):
        access.set_password(house.services, "ada", "another horse battery", "test")
    access.unlink(house.services, "ada", "another horse battery", "test")
    assert house.browser().log_in("ada", "another horse battery").status_code == 303
    assert house.log_in().answer.status_code == 403


def test_what_the_provider_says_is_only_ever_text(house: House) -> None:
    canary = "<script>alert('canary')</script>`<b>"
    house.provider.person |= {"sub": canary, "preferred_username": canary, "email": "ada@x.example"}
    add_user(house.services, "ada@x.example", VIEWER)
    refused = house.log_in()
    with house.services.transaction() as db:
        db.execute(update(User).values(name="another"))
    browser = house.log_in().browser
    [row] = [one for one in house.listed() if one.subject == canary]
    pages = [browser.get(path) for path in ("/users", f"/users/{row.id}", "/audit")]
    assert [page.status_code for page in pages] == [200, 200, 200]
    for page in (refused.answer, *pages):
        assert "<script" not in page.text
        assert "<b>" not in page.text
    assert "alert('canary')" in text_of(pages[1])


def test_somebody_else_with_the_same_name_is_somebody_else(house: House) -> None:
    assert house.log_in().is_in
    house.provider.person["sub"] = "u-2"
    other = house.log_in()
    assert (other.answer.status_code, other.is_in) == (403, False)
    # Who they are is their id; another name is nobody new.
    house.provider.person |= {"sub": "u-1", "preferred_username": "ada.king"}
    assert house.log_in().is_in
    assert house.users() == [("ada", ADMIN, True, "u-1")]


def test_without_passwords_everybody_comes_through_the_provider(house: House) -> None:
    add_user(house.services, "the-admin", ADMIN)
    inside, early, only = house.browser(), house.browser(), house.make(OIDC_ONLY="true")
    inside.log_in("the-admin")
    early.get("/login")
    page = house.browser(only).get("/login")
    assert ('name="password"' in page.text, "Log in with Example Login" in text_of(page)) == (False, True)
    # A session, and a form, from before passwords were off.
    assert moved(inside, house.browser(only)).get("/").status_code == 303
    refused = moved(early, house.browser(only)).post("/login", {"name": "the-admin", "password": PASSWORD})
    assert (refused.status_code, "Passwords are off" in text_of(refused)) == (403, True)
    assert house.log_in(house.browser(only)).is_in
    # A provider that is no longer set up lets nobody stay in.
    ada = house.log_in().browser
    assert moved(ada, house.browser(house.make())).get("/").status_code == 200
    assert moved(ada, house.browser(house.make(OIDC_ISSUER=CLOSED_PORT))).get("/").status_code == 303


def moved(one: Browser, other: Browser) -> Browser:
    """The other browser, with the session of the one."""
    cookie = one.client.get_cookie("console", "127.0.0.1", "/console")
    assert cookie is not None
    other.client.set_cookie("console", cookie.value, domain="127.0.0.1", path="/console")
    other.token = one.token
    return other


def test_without_a_provider_there_is_no_way_to_one(make_services: Callable[..., Services]) -> None:
    services = make_services()
    add_user(services, "ada", ADMIN)
    browser = Browser(services)
    assert "/login/provider" not in browser.get("/login").text
    assert [browser.get(path).status_code for path in ("/login/provider", "/login/callback?code=x")] == [404, 404]


def test_user_of_the_provider_has_no_password_to_be_guessed(house: House) -> None:
    house.log_in()
    with house.services.reading() as db:
        assert db.scalars(select(User.password_hash)).all() == [None]
    assert house.browser().log_in("ada", "").status_code == 401
