"""Users, as an admin manages them at the console, and one's own password."""

import re
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select

from connector import access, people, tokens
from connector.access import ADMIN, OPERATOR, VIEWER
from connector.models import AuditEntry, User
from connector.sandbox import Sandbox
from connector.services import Services
from connector.web.app import create_app
from tests.flows.browser import PASSWORD, Browser, add_user, text_of

pytestmark = pytest.mark.alternate_databases

OWN = {"own": PASSWORD}
NEW = "a brand new pass phrase"


class Office:
    """A console with the admin `ada` at it, and the operator `bob`."""

    def __init__(self, services: Services, box: Sandbox) -> None:
        self.services, self.box = services, box
        self.app = create_app(services)
        services.redis.flushall()
        add_user(services, "ada", ADMIN)
        add_user(services, "bob", OPERATOR)
        self.ada = self.logged_in("ada")

    def browser(self) -> Browser:
        return Browser(self.services, self.app)

    def logged_in(self, name: str, password: str = PASSWORD) -> Browser:
        browser = self.browser()
        assert browser.log_in(name, password).status_code == 303
        return browser

    def user(self, name: str) -> User:
        with self.services.reading() as db:
            return db.scalars(select(User).where(User.name == name)).one()

    def does(self, what: str, name: str, browser: Browser | None = None, **fields: str) -> str:
        """What the page says after an admin has sent one of its forms."""
        browser = browser or self.ada
        answer = browser.post(f"/users/{self.user(name).id}/{what}", OWN | fields)
        assert answer.status_code == 303
        return text_of(browser.get(f"/users/{self.user(name).id}"))

    def link(self, name: str) -> str:
        """The link of an invitation, below the console's address."""
        return link_in(self.does("invitation", name))

    def did(self) -> list[tuple[str, str, str]]:
        """Who has changed whom, in the audit log."""
        with self.services.reading() as db:
            kept = db.scalars(select(AuditEntry).where(AuditEntry.action.startswith("users ")).order_by(AuditEntry.id))
            return [(one.actor, one.action, one.subject) for one in kept]


def link_in(page: str) -> str:
    [link] = re.findall(r"http://\S+/console/invitation/\S+", page)
    return urlsplit(link).path.removeprefix("/console")


@pytest.fixture
def office(box: Sandbox, make_services: Callable[..., Services]) -> Office:
    return Office(make_services(), box)


def test_user_is_added_and_sets_a_password_that_nobody_else_knows(office: Office) -> None:
    office.ada.get("/users/new")
    answer = office.ada.post("/users/new", OWN | {"name": "Eve", "role": VIEWER})
    page = office.ada.get(answer.headers["Location"].removeprefix("/console"))
    assert "eve" in text_of(page)
    link = link_in(text_of(page))
    assert "no password yet" in text_of(office.ada.get("/users"))
    assert office.browser().log_in("eve", "").status_code == 401
    eve = office.browser()
    # A link in a mail: the browser is to come back by itself, with the cookies it has.
    bounce = eve.get(link, headers={"Sec-Fetch-Site": "cross-site"})
    assert ("refresh" in bounce.text, "Set-Cookie" in bounce.headers) == (True, False)
    assert "Your name here is eve ." in text_of(eve.get(link))
    for new, again, said in (
        (NEW, "another", "not typed the same"),
        ("short", "short", "12 to 256"),
        ("eve " * 5,) * 2 + ("easily",),
    ):
        refused = eve.post(link, {"new": new, "again": again})
        assert (refused.status_code, said in text_of(refused)) == (422, True)
    assert eve.post(link, {"new": NEW, "again": NEW}).headers["Location"] == "/console/login"
    assert office.logged_in("eve", NEW).get("/").status_code == 200
    # Once.
    assert "used up" in text_of(eve.get(link))
    assert eve.post(link, {"new": "yet another phrase", "again": "yet another phrase"}).status_code == 409
    assert office.did()[-3:] == [
        ("web:ada", "users add", "eve"), ("web:ada", "users invite", "eve"), ("web:eve", "users set-password", "eve"),
    ]  # fmt: skip


def test_link_is_worth_nothing_when_it_is_old_replaced_changed_or_for_somebody_disabled(office: Office) -> None:
    def works(link: str) -> bool:
        return office.browser().get(link).status_code == 200

    first = office.link("bob")
    assert works(first)
    second = office.link("bob")
    assert (works(first), works(second)) == (False, True)
    head, _, tail = second.rpartition(".")
    assert not works(f"{head}.{tail[::-1]}")
    assert not works("/invitation/nonsense")
    # What is signed for something else is no link, nor is a link a session.
    cookie = office.ada.client.get_cookie("console", "127.0.0.1", "/console")
    assert cookie is not None
    assert not works(f"/invitation/{cookie.value}")
    assert office.logged_in("bob").get("/").status_code == 200  # the old password stays until the link is used
    office.box.advance(timedelta(hours=25))
    office.ada = office.logged_in("ada")
    assert not works(second)
    third = office.link("bob")
    office.does("disable", "bob")
    assert not works(third)
    assert not works(office.link("bob"))


def test_link_that_is_replaced_while_its_form_is_on_the_way_sets_no_password(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, bob, hashed = office.link("bob"), office.browser(), access._hashed

    def after_a_newer_link(name: str, password: str) -> str:
        access.end_sessions(office.services, "bob", "test")
        return hashed(name, password)

    bob.get(link)
    monkeypatch.setattr(access, "_hashed", after_a_newer_link)
    assert "used up" in text_of(bob.post(link, {"new": NEW, "again": NEW}))
    assert office.browser().log_in("bob", NEW).status_code == 401


def test_another_role_and_disabling_end_the_sessions_of_the_user(office: Office) -> None:
    bob = office.logged_in("bob")
    assert "bob is viewer now." in office.does("role", "bob", role=VIEWER)
    assert (office.user("bob").role, bob.get("/").status_code) == (VIEWER, 303)
    bob = office.logged_in("bob")
    # The same role again ends nothing.
    office.does("role", "bob", role=VIEWER)
    assert bob.get("/").status_code == 200
    assert "logged out, in all browsers" in office.does("sessions", "bob")
    assert bob.get("/").status_code == 303
    tokens.create(office.services, "bobs", VIEWER, token=tokens.drawn(), who="web:bob")
    assert "may log in no longer" in (disabled := office.does("disable", "bob"))
    assert "Tokens that bob made still work, also when bob is disabled: bobs . End them at Tokens" in disabled.replace(
        "bobs.", "bobs ."
    )
    assert "still work" not in text_of(office.ada.get(f"/users/{office.user('ada').id}"))
    assert office.browser().log_in("bob").status_code == 401
    assert "bob may log in." in office.does("enable", "bob")
    done = office.did()
    # The second click of a double click finds it done.
    office.does("enable", "bob")
    office.does("role", "bob", role=VIEWER)
    assert office.did() == done
    assert done == [
        ("web:ada", f"users {what}", "bob") for what in ("set-role", "end-sessions", "disable", "enable")
    ]  # fmt: skip


def test_nobody_takes_away_the_last_admin_or_their_own_rights_from_here(office: Office) -> None:
    add_user(office.services, "vera", VIEWER)
    for what, fields in (("role", {"role": VIEWER}), ("disable", {})):
        assert "You cannot take your own rights away" in office.does(what, "ada", **fields)
    assert office.did() == []
    # Two admins disable each other at once: ada was let in before bob's click took effect.
    office.does("role", "bob", role=ADMIN)
    assert "ada may log in no longer" in office.does("disable", "ada", office.logged_in("bob"))
    ada = access.Person(office.user("ada").id, "ada", ADMIN)
    with pytest.raises(access.ConnectorError, match="bob is the last admin who can log in"):
        people.enable(office.services, ada, office.user("bob"), False)
    assert office.user("bob").enabled


def test_users_are_changed_only_with_ones_own_password(office: Office) -> None:
    forms: list[tuple[str, dict[str, str]]] = [
        ("role", {"role": VIEWER}), ("disable", {}), ("enable", {}), ("sessions", {}), ("invitation", {}),
    ]  # fmt: skip
    before = office.user("bob")
    said = [office.does(what, "bob", **fields, own="wrong") for what, fields in forms[:4]]
    assert all("Your own password is wrong; nothing was changed." in one for one in said)
    answer = office.ada.post("/users/new", {"name": "eve", "role": VIEWER})
    assert (answer.status_code, 'value="eve"' in answer.text) == (422, True)
    # Guesses count like those at the log-in.
    assert "Too many tries" in office.does("invitation", "bob")
    after = office.user("bob")
    assert (after.role, after.enabled, after.generation) == (before.role, before.enabled, before.generation)
    assert office.did() == []
    with office.services.reading() as db:
        refused = db.scalars(select(AuditEntry).where(AuditEntry.action == "console password refused")).all()
    assert [one.subject for one in refused] == ["ada"] * 5


def test_person_changes_their_own_password_and_is_logged_out_elsewhere(office: Office) -> None:
    here, elsewhere = office.logged_in("bob"), office.logged_in("bob")
    page = here.get("/")
    assert 'href="/console/password"' in page.text
    here.get("/password")
    for fields, said in (
        ({"old": "wrong", "new": NEW, "again": NEW}, "Your own password is wrong"),
        ({"old": PASSWORD, "new": NEW, "again": "x"}, "not typed the same"),
        ({"old": PASSWORD, "new": "short", "again": "short"}, "12 to 256"),
    ):
        answer = here.post("/password", fields)
        assert (answer.status_code, said in text_of(answer)) == (422, True)
    assert elsewhere.get("/").status_code == 200
    token = here.token
    assert here.post("/password", {"old": PASSWORD, "new": NEW, "again": NEW}).status_code == 303
    assert (here.get("/").status_code, elsewhere.get("/").status_code) == (200, 303)
    assert here.token != token
    assert office.browser().log_in("bob").status_code == 401
    assert office.logged_in("bob", NEW).get("/").status_code == 200
    assert office.did() == [("web:bob", "users set-password", "bob")]


def test_name_that_is_taken_or_cannot_be_comes_back_as_it_was_typed(office: Office) -> None:
    office.ada.get("/users/new")
    for name, said in (("BOB", "there is a user bob already"), ("<b>eve", "a user's name is of")):
        answer = office.ada.post("/users/new", OWN | {"name": name, "role": VIEWER})
        assert (answer.status_code, said in text_of(answer), "<b>eve" in answer.text) == (422, True, False)
    assert office.did() == []


def test_user_of_a_provider_has_their_role_and_no_password_from_there(office: Office) -> None:
    access.link(office.services, "bob", "https://id.example", "u-1", "test")
    page = text_of(office.ada.get(f"/users/{office.user('bob').id}"))
    assert ("single sign-on" in page, "Change role" in page, "Link to set" in page) == (True, False, False)
    assert "decides on the role" in office.does("role", "bob", role=ADMIN)
    assert "has no password here" in office.does("invitation", "bob")
    assert "may log in no longer" in office.does("disable", "bob")
    assert office.user("bob").role == OPERATOR


def test_link_names_the_public_address_and_there_is_none_where_passwords_are_off(
    office: Office, make_services: Callable[..., Services]
) -> None:
    public = make_services(CONSOLE_URL="https://console.example.com/console/")
    browser = Browser(public)
    browser.log_in("ada")
    number = office.user("bob").id
    browser.post(f"/users/{number}/invitation", OWN)
    page = text_of(browser.get(f"/users/{number}"))
    assert "https://console.example.com/console/invitation/" in page
    link = office.link("bob")
    only = Browser(
        make_services(
            CONSOLE_URL="http://127.0.0.1:8080/console", OIDC_ISSUER="https://id.example", OIDC_CLIENT_ID="x",
            OIDC_CLIENT_SECRET="x", OIDC_ADMINS="x", OIDC_ONLY="true",
        )
    )  # fmt: skip
    assert only.get(link).status_code == 404
