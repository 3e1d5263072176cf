"""Customers found by name, company or e-mail: at the console, by command and by the API, and what is told of it to nobody."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
import structlog.testing
from click.testing import CliRunner
from sqlalchemy import select

from connector.cli import customers as customer_commands
from connector.cli import main
from connector.customer_overview import by_name
from connector.customer_overview.by_name import Matches
from connector.errors import BadInput, Retryable
from connector.models import AuditEntry, Base
from connector.sandbox.chargebee import lists
from connector.services import Services
from tests.flows.browser import Browser, text_of
from tests.flows.conftest import World
from tests.flows.scripting import Script
from tests.flows.test_console_customers import cells

pytestmark = pytest.mark.alternate_databases

UNKNOWN = "not known to the connector yet"
# What may stand nowhere but on an admin's page.
PERSONAL = ("Jane", "Doe", "Acme Ltd", "Ärzte", "jane@acme.test", "Xanthippe")


@pytest.fixture
def shops(people: World) -> World:
    """Acme is known here; of the others Chargebee has told nobody yet."""
    people.chargebee.create_customer(
        id="acme", company="Acme Ltd", first_name="Jane", last_name="Doe", email="jane@acme.test",
        preferred_currency_code="USD",
    )  # fmt: skip
    people.sign_up("acme")
    people.settle()
    people.chargebee.create_customer(id="c-2", company="Acme Ärzte GmbH", email="office@aerzte.test")
    people.chargebee.create_customer(id="c-3", first_name="Juan", last_name="de la Cruz", company="Doe & Sons")
    people.chargebee.create_customer(id="c-4", first_name="Anna Maria", last_name="Lopez", email="anna@lopez.test")
    people.chargebee.create_customer(id="c-5", company="Acme gone")
    people.chargebee.delete_customer("c-5")
    people.forget_calls()
    return people


@pytest.fixture
def said() -> Iterator[list[Any]]:
    """All that the connector logs, at its finest level."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG))
    with structlog.testing.capture_logs() as found:
        yield found
    structlog.configure(**before)


def search(services: Services, words: str) -> Matches:
    return by_name.find(services, "default", words, who="test", with_names=True)


def found(services: Services, words: str) -> dict[str, str]:
    """The customers that the words lead to, and by what each was found."""
    return {one.customer_id: one.says for one in search(services, words).matches}


def looks(services: Services) -> list[AuditEntry]:
    with services.reading() as db:
        wanted = select(AuditEntry).where(AuditEntry.action == "customers found by name").order_by(AuditEntry.id)
        return list(db.scalars(wanted))


def test_customers_are_found_by_what_they_are_called_each_once_with_a_handful_of_calls(shops: World) -> None:
    services = shops.services
    for words, who in {
        "Acme": {"acme": "company", "c-2": "company"},
        "jane@acme.test": {"acme": "e-mail"},
        # As mail programs write it, and in other letters than Chargebee has it.
        "JANE@ACME.TEST": {"acme": "e-mail"},
        "acme  ltd": {"acme": "company"},
        "Jane Doe": {"acme": "name"},
        "Doe, Jane": {"acme": "name"},
        "Doe": {"acme": "last name", "c-3": "company"},
        "Juan de la Cruz": {"c-3": "name"},
        "Anna Maria Lopez": {"c-4": "name"},
        "Acme gone": {},
        "jane@acme": {},
    }.items():
        shops.forget_calls()
        assert found(services, words) == who, words
        assert 1 <= len(shops.calls("chargebee")) <= 6, words
    assert shops.calls("m3ter") == []
    assert {one.customer_id: one.is_known for one in search(services, "Acme").matches} == {"acme": True, "c-2": False}
    shops.forget_calls()
    assert search(services, "nobody at all").calls == len(shops.calls("chargebee", "list_customers")) == 6


def test_filters_that_ignore_case_count_for_nothing_or_are_refused_mislead_nobody(
    shops: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = shops.services
    shops.chargebee.settings.filters_ignore_case = True
    assert found(services, "aCME lTD") == {"acme": "company"}
    assert found(services, "jANE@acme.test") == {"acme": "e-mail"}
    shops.box.faults.order(
        "chargebee", "list_customers", "status", count=1, status=400, api_error_code="param_wrong_value"
    )
    refused = search(services, "Doe")
    assert [one.customer_id for one in refused.matches] == ["acme"]
    assert [one.partition(":")[0] for one in refused.faults] == ["Chargebee cannot be asked by company"]
    for number in range(by_name.PAGE):
        shops.chargebee.create_customer(id=f"many-{number}", company=f"Many {number}")
    assert (len(found(services, "Many")), search(services, "Many").more) == (by_name.PAGE, False)
    shops.chargebee.create_customer(id="many-more", company="Many more")
    assert search(services, "Many").more
    monkeypatch.setattr(lists, "_tests", lambda *_: [])
    ignored = search(services, "jane@acme.test")
    # The newest page of all customers came, on which Acme is not.
    assert (ignored.matches, ignored.more, ignored.left_out > 0) == ((), False, True)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        pytest.param("", "at least 2", id="nothing"),
        pytest.param(" a ", "at least 2", id="too short"),
        pytest.param("...", "at least 2", id="no letter"),
        pytest.param("Acm*", "stand for nothing", id="a wildcard"),
        pytest.param("%me", "stand for nothing", id="a wildcard of SQL"),
        pytest.param("x" * 300, "at most 100", id="300 characters"),
        pytest.param("Ac\0me", "cannot be seen", id="NUL"),
        pytest.param("Ac\ud800me", "cannot be seen", id="half a character"),
    ],
)
def test_what_nobody_can_be_found_by_is_refused_before_anything_is_sent(words: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        by_name.checked(words)


def test_search_box_and_list_lead_whoever_may_look_to_customers_by_name(shops: World, as_person: Any) -> None:
    vera, otto, ada = as_person("vera"), as_person("otto"), as_person("ada")
    viewers_see_no_way_to_it(vera)
    operators_see_ids_and_admins_names(otto, ada)
    ids_come_first_and_bad_input_sends_nothing(shops, otto)
    provider_that_is_away_makes_a_page(shops, otto)


def viewers_see_no_way_to_it(vera: Browser) -> None:
    for path in ("/customers", "/search?q=gone"):
        page = vera.get(path)
        assert ('method="get" action="/console/search"' in page.text, "e-mail" in text_of(page)) == (True, False)
    assert vera.post("/search", {"q": "Acme"}).status_code == 403


def operators_see_ids_and_admins_names(otto: Browser, ada: Browser) -> None:
    assert "Name, company or e-mail address" in text_of(otto.get("/customers"))
    page = otto.post("/search", {"q": "Acme"})
    assert page.status_code == 200
    assert "Location" not in page.headers
    assert page.headers["Cache-Control"] == "no-store"
    assert [[row[0], row[1], row[2]] for row in cells(page, "Customers called Acme")] == [
        ["c-2", "company", UNKNOWN],
        ["acme", "company", "in step"],
    ]
    assert 'href="/console/customers/default/acme"' in page.text
    assert 'href="/console/customers/default/c-2"' not in page.text, "there is no page of it yet"
    assert not any(one in page.text for one in PERSONAL), "an operator sees no names, as in payloads"
    shown = cells(ada.post("/search", {"q": "jane@acme.test"}), "Customers called jane@acme.test")
    assert [row[:6] for row in shown] == [["acme", "Jane Doe", "Acme Ltd", "jane@acme.test", "e-mail", "in step"]]


def ids_come_first_and_bad_input_sends_nothing(shops: World, otto: Browser) -> None:
    shops.forget_calls()
    entries = len(looks(shops.services))
    there = otto.post("/search", {"q": "sub-1"})
    assert (there.status_code, there.headers["Location"]) == (303, "/console/search?q=sub-1")
    for words in ("", "x", "Acm*", "x" * 300, "x" * 5000, "Ac\0me"):
        page = otto.post("/search", {"q": words})
        assert (page.status_code, "nobody can be found by it" in text_of(page)) == (422, True), words
    assert (shops.calls("chargebee"), len(looks(shops.services))) == ([], entries)


def provider_that_is_away_makes_a_page(shops: World, otto: Browser) -> None:
    shops.box.faults.order("chargebee", "list_customers", "status", count=20, status=500)
    page = otto.post("/search", {"q": "Acme"})
    assert (page.status_code, "Chargebee does not say now" in text_of(page)) == (409, True)
    with pytest.raises(Retryable):
        search(shops.services, "Acme")


def test_command_and_api_find_the_same_and_names_stay_out_of_logs_and_of_what_is_kept(
    shops: World,
    as_person: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    said: list[Any],
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(customer_commands, "wire", lambda: shops.services)
    shops.chargebee.create_customer(id="c-6", company="Xanthippe Ltd")

    def run(*words: str, **options: Any) -> Any:
        result = CliRunner().invoke(main, ["customers", "named", *words, "--json"], **options)
        return json.loads(result.stdout[result.stdout.index("{") :])

    [row] = run("jane@acme.test")["matches"]
    assert (row["customer_id"], row["known"], row["email"]) == ("acme", True, None)
    [row] = run("--names", input="Xanthippe\n")["matches"]
    assert (row["customer_id"], row["known"], row["company"]) == ("c-6", False, "Xanthippe Ltd")
    assert "at least 2" in run("x")["error"]
    path = "/connections/default/customers/find"
    operator, admin = Script(shops.services, "operator"), Script(shops.services, "admin")
    [row] = operator.post(path, words="Jane Doe")["matches"]
    assert (row["customer_id"], row["says"], row["name"]) == ("acme", "name", None)
    [row] = admin.post(path, words="Jane Doe")["matches"]
    assert (row["name"], row["email"]) == ("Jane Doe", "jane@acme.test")
    assert operator.call("POST", path, {"words": "Acm*"}).status_code == 422
    shops.box.faults.order("chargebee", "list_customers", "status", count=3, status=429)
    assert operator.call("POST", path, {"words": "Xanthippe"}).status_code == 503
    as_person("otto").post("/search", {"q": "Xanthippe"})
    entries = looks(shops.services)
    assert [(one.actor.partition(":")[0], one.subject, one.detail["with_names"]) for one in entries] == [
        ("cli", "customers by e-mail", False),
        ("cli", "customers by company or last name or first name", True),
        ("api", "customers by company or name", False),
        ("api", "customers by company or name", True),
        ("web", "customers by company or last name or first name", False),
    ]
    # The sandbox's log is Chargebee's.
    logged = [one.getMessage() for one in caplog.records if not one.name.startswith("connector.sandbox")]
    kept = everything_kept(shops.services) + str(logged) + str(said)
    # Those that Chargebee has told of itself stand in its events; nobody has told of this one.
    assert "c-6" not in kept
    assert "Xanthippe" not in kept
    assert "Jane" not in json.dumps([one.detail | {"subject": one.subject} for one in entries])


def everything_kept(services: Services) -> str:
    """All rows of the database and all of Redis, as one text."""
    with services.reading() as db:
        rows = [str(db.execute(select(table)).all()) for table in Base.metadata.sorted_tables]
    redis = services.redis
    held = [redis.dump(key) for key in redis.scan_iter()]
    return "".join([*rows, *(bytes(one).decode("latin-1") for one in held if one), str(list(redis.scan_iter()))])
