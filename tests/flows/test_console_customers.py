"""The console's page about a customer, the search by any id, and what an event or a sync is about."""

import html
import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from connector import mirror, syncs
from connector.cli import customers as customer_commands
from connector.cli import main
from connector.models import Account, AuditEntry, BalanceRequest, InboxEvent, QuarantinedBody
from connector.services import Services
from tests.flows.browser import Browser, text_of
from tests.flows.conftest import PRO, SCALE, START, SUPPORT, UNMAPPED, World

pytestmark = pytest.mark.alternate_databases

CANARY = "<script>alert('canary')</script>"


def cells(answer: Any, caption: str) -> list[list[str]]:
    """What stands in the cells of the table with this caption."""
    found = re.search(
        rf'<caption class="unseen">{re.escape(html.escape(caption))}</caption>.*?</table>', answer.text, re.DOTALL
    )
    if found is None:
        return []
    rows = re.findall(r"<tr>(.*?)</tr>", found[0].split("<tbody>")[1], re.DOTALL)
    plain = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in rows]
    return [[html.unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in row] for row in plain]


def actions(world: World) -> list[tuple[str, str]]:
    with world.services.reading() as db:
        return [(one.action, one.actor) for one in db.scalars(select(AuditEntry).order_by(AuditEntry.id))]


@pytest.fixture
def year(people: World) -> dict[str, str]:
    """Acme cancelled one subscription, took another and changed it from Pro to Scale; its bill is sent. Answers ids."""
    people.sign_up("acme", "sub-2")
    people.settle()
    people.box.advance(timedelta(days=4))
    people.chargebee.cancel_subscription("sub-2")
    people.box.advance(timedelta(days=27))
    people.sign_up(items=(PRO, SUPPORT))
    people.settle()
    people.box.advance(timedelta(days=9))
    people.chargebee.update_subscription("sub-1", item_price_ids=[SCALE])
    people.settle()
    people.box.advance(timedelta(days=19, minutes=10))
    people.settle()
    [invoice] = people.chargebee.pending_invoices("sub-1")
    used = {"servicePeriodStartDate": "2026-02-10T00:00:00Z", "servicePeriodEndDate": "2026-03-01T00:00:00Z"}
    bill = people.bill({"planId": people.ids["scale"], **used})
    people.poll()
    lines = people.chargebee.invoices[invoice["id"]]["line_items"]
    return {
        "bill": bill,
        "invoice": invoice["id"],
        "line": next(one["id"] for one in lines if one["entity_type"] == "charge_item_price"),
        "account": people.m3ter.account_by_code("acme")["id"],
        "plan": people.plans()[0]["id"],
    }


def test_customer_is_shown_whole_and_found_by_any_id_at_the_console_and_by_command(
    people: World, as_person: Any, year: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One world for all that only looks; what changes it comes last."""
    browser = as_person("vera")
    page_shows_account_plans_over_time_bills_and_what_happened(people, browser, year)
    anything_is_found_by_any_id(people, browser, year)
    m3ter_is_asked_only_where_a_person_wants_that(people, browser, year)
    monkeypatch.setattr(customer_commands, "wire", lambda: people.services)
    commands_say_and_do_the_same(people, year)


def page_shows_account_plans_over_time_bills_and_what_happened(
    people: World, browser: Browser, year: dict[str, str]
) -> None:
    changed = "2026-02-10 00:00:00"
    people.forget_calls()
    answer = browser.get("/customers/default/acme")
    said = text_of(answer)
    assert people.calls("m3ter") == people.calls("chargebee") == []
    assert year["account"] in said
    assert "Customer acme in step" in said
    lines = [row[:4] for row in cells(answer, "Subscriptions")]
    assert [(row[0], row[1], row[3]) for row in lines] == [
        ("sub-1", "active", SCALE),
        ("sub-2", "cancelled", PRO),
    ]
    intervals = {(row[0], row[1], row[2], row[4], row[5]) for row in cells(answer, "Plans over time")}
    first, cancelled, second = "2026-01-01 00:00:00", "2026-01-05 00:00:00", "2026-02-01 00:00:00"
    assert intervals == {
        ("sub-1", PRO, "account plan", second, changed),
        ("sub-1", PRO, "on the subscription", second, changed),
        ("sub-1", SCALE, "account plan", changed, "open"),
        ("sub-1", SCALE, "on the subscription", changed, "open"),
        ("sub-1", SUPPORT, "on the subscription, not metered", second, changed),
        ("sub-2", PRO, "account plan", first, cancelled),
        ("sub-2", PRO, "on the subscription", first, cancelled),
        ("sub-2", "", "cancelled", cancelled, "open"),
    }
    svg = re.search(r"<svg.*?</svg>", answer.text, re.DOTALL)
    assert svg is not None
    assert (svg[0].count('class="plan"'), svg[0].count('class="stop"')) == (3, 1)
    assert "billed until here" in svg[0]
    [bill] = cells(answer, "Bills")
    assert (bill[0], bill[1], bill[3]) == (year["bill"], "10.00\xa0USD", "pushed")
    assert year["invoice"] in bill[5]
    assert f'href="/console/bills/default/{year["bill"]}"' in answer.text
    assert {row[1] for row in cells(answer, "Latest syncs")} == {"customer", "subscription", "bill"}
    assert "subscription_changed" in {row[1] for row in cells(answer, "Events")}
    assert "Sync now" not in said, "a viewer only looks"


def m3ter_is_asked_only_where_a_person_wants_that(people: World, browser: Browser, year: dict[str, str]) -> None:
    people.m3ter.account_plans[year["plan"]]["endDate"] = "2026-01-20T00:00:00Z"
    live = browser.get("/customers/default/acme?live=m3ter")
    assert "is there as plan" in text_of(live)
    assert {row[3] for row in cells(live, "Plans over time")} >= {"pro", "scale"}, "m3ter's names of the plans"
    assert len(people.calls("m3ter")) <= 6
    people.box.faults.order("m3ter", "list_account_plans", "status", count=20, status=500)
    away = browser.get("/customers/default/acme?live=m3ter")
    assert (away.status_code, "m3ter does not say more now" in text_of(away)) == (200, True)


def anything_is_found_by_any_id(people: World, browser: Browser, year: dict[str, str]) -> None:
    with people.services.transaction() as db:
        request = BalanceRequest(
            connection="default", kind="transaction", reference="ref-1", account_id=year["account"],
            balance_id="00000000-0000-0000-0000-00000000beef", currency="USD", body={}, status="planned", made_by="test",
            created_at=people.services.now(),
        )  # fmt: skip
        db.add(request)
        db.flush()
        number = request.id
        db.add(
            InboxEvent(
                connection="default", source="chargebee", event_id="7", event_type="x", received_at=START, body=b"{}",
                sha256="", status="new",
            )
        )  # fmt: skip
    event = next(row for row in people.inbox() if row.event_type == "subscription_created")
    customer = "/console/customers/default/acme"
    bill = f"/console/bills/default/{year['bill']}"
    for text, where in {
        "acme": customer,
        " sub-1 ": customer,
        year["account"]: customer,
        year["plan"]: customer,
        year["bill"]: bill,
        year["invoice"]: bill,
        year["line"]: bill,
        "ref-1": f"/console/balances/default/requests/{number}",
        "00000000-0000-0000-0000-00000000beef": "/console/balances/default/00000000-0000-0000-0000-00000000beef",
        event.event_id: f"/console/events/{event.id}",
    }.items():
        answer = browser.get("/search", query_string={"q": text})
        assert (answer.status_code, answer.headers.get("Location")) == (302, where), text
    # A sync, an event by its number and another by its id.
    several = browser.get("/search?q=7")
    assert {row[0] for row in cells(several, "Found for 7")} == {"sync", "event"}
    assert len(cells(several, "Found for 7")) == 3
    assert "Nothing has this id: gone" in text_of(browser.get("/search?q=gone"))
    assert "Type a whole id" in text_of(browser.get("/search"))
    assert browser.get("/search", query_string={"q": "9" * 30}).status_code == 200
    found = cells(browser.get("/events", query_string={"about": "sub-1"}), "Events")
    assert "subscription_created" in {row[1] for row in found}
    assert {row[1] for row in cells(browser.get("/events?about=sub-1&status=failed"), "Events")} == set()
    # What a sync and an event are about leads on to the rest.
    about = cells(browser.get(f"/syncs/{people.sync('bill', year['bill']).id}"), "What it is about")
    assert [(row[0], row[1], row[2]) for row in about] == [
        ("bill", year["bill"], "Bill"),
        ("customer", "acme", "Customer acme"),
        ("account", year["account"], "Customer acme"),
        ("invoice", year["invoice"], "Customer acme"),
        ("subscription", "sub-1", "Customer acme"),
    ]
    page = browser.get(f"/events/{event.id}")
    assert [(row[0], row[1]) for row in cells(page, "What it is about")][:3] == [
        ("subscription", "sub-2"),
        ("customer", "acme"),
        ("account", year["account"]),
    ]
    assert "started account plan" in text_of(page)
    assert f'href="{customer}"' in page.text


def commands_say_and_do_the_same(people: World, year: dict[str, str]) -> None:
    def run(*words: str) -> Any:
        result = CliRunner().invoke(main, list(words))
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout) if "--json" in words else result.stdout

    document = run("customers", "show", "sub-1", "--json")
    assert (document["customer_id"], document["account_id"], document["state"]) == ("acme", year["account"], "in step")
    assert [bill["total"] for bill in document["bills"]] == ["10"]
    assert [one["end"] for one in document["timeline"] if one["m3ter_id"] == year["plan"]] == [
        "2026-01-05T00:00:00+00:00"
    ]
    said = run("customers", "show", "acme")
    for text in (year["account"], "sub-2", "2026-02-10", year["bill"], "10.00 USD"):
        assert text in said
    assert [one["customer_id"] for one in run("customers", "list", "--json")["customers"]] == ["acme"]
    assert run("customers", "list", "--state", "parked", "--json")["customers"] == []
    before = len(people.syncs())
    assert run("customers", "sync", "acme", "--dry-run", "--json")["syncs"] == []
    assert len(people.syncs()) == before
    made = run("customers", "sync", "acme", "--json")["syncs"]
    assert [(one["kind"], one["subject"]) for one in made] == [
        ("customer", "acme"), ("subscription", "sub-1"), ("subscription", "sub-2"),
    ]  # fmt: skip
    assert [one["says"] for one in run("customers", "find", year["plan"], "--json")["hits"]] == ["account plan"]
    assert CliRunner().invoke(main, ["customers", "show", "nobody"]).exit_code == 1


def test_list_shows_how_customers_stand_and_is_filtered_by_it(people: World, as_person: Any) -> None:
    people.sign_up()
    people.sign_up("beta", "sub-2", items=(UNMAPPED,))
    people.sign_up("gamma", "sub-3")
    people.settle()
    people.chargebee.update_customer("gamma", company="Γ")
    people.deliver()
    people.burst("sync")
    with people.services.transaction() as db:
        syncs.ask(db, connection="default", kind="customer", subject="gamma", trigger="test", now=people.services.now())
    browser = as_person("vera")
    by_state = {row[0]: row[1] for row in cells(browser.get("/customers"), "Customers")}
    assert by_state == {"acme": "in step", "beta": "parked", "gamma": "on its way"}
    for state, names in {"parked": {"beta"}, "on its way": {"gamma"}, "waiting": set()}.items():
        rows = cells(browser.get("/customers", query_string={"state": state}), "Customers")
        assert {row[0] for row in rows} == names
    assert [row[0] for row in cells(browser.get("/customers?about=sub-2"), "Customers")] == ["beta"]


def test_customer_and_subscription_are_synced_once_however_often_the_button_is_pressed(
    people: World, as_person: Any
) -> None:
    people.sign_up()
    people.settle()
    # Nobody tells the connector.
    people.chargebee.update_customer("acme", company="Renamed Ltd")
    people.chargebee.update_subscription("sub-1", item_price_ids=[SCALE])
    people.hold_back()
    browser = as_person("otto")
    page = browser.get("/customers/default/acme")
    assert "Sync the customer now" in text_of(page)
    before = len(people.syncs())
    for kind, subject in (("customer", "acme"), ("subscription", "sub-1")):
        for said in ("is queued", "was queued already: it runs once"):
            fields = {"kind": kind, "subject": subject, "customer": "acme"}
            answer = browser.post("/customers/default", fields)
            assert (answer.status_code, answer.headers["Location"]) == (303, "/console/customers/default/acme")
            assert said in text_of(browser.get("/customers/default/acme"))
    people.work()
    assert people.m3ter.account_by_code("acme")["name"] == "Renamed Ltd"
    assert [plan for plan, _, _ in people.periods()] in (["pro", "scale"], ["scale"])
    made = people.syncs()[before:]
    assert [(row.kind, row.runs, row.trigger) for row in made] == [
        ("customer", 1, "asked for by web:otto"),
        ("subscription", 1, "asked for by web:otto"),
    ]
    assert actions(people).count(("customers sync", "web:otto")) == 4
    for fields in (
        {"kind": "subscription", "subject": "sub-9", "customer": "acme"},
        {"kind": "customer", "subject": "beta", "customer": "acme"},
        {"kind": "customer", "subject": "nobody", "customer": "nobody"},
    ):
        assert browser.post("/customers/default", fields).status_code == 404
    assert browser.post("/customers/default", {"kind": "bill", "subject": "x", "customer": "acme"}).status_code == 400
    assert len(people.syncs()) == before + 2


def test_sync_now_decides_nothing_about_what_is_parked(people: World, as_person: Any) -> None:
    """A retry of a change into billed time makes it; looking once more must not."""
    people.box.advance(timedelta(days=9))
    people.sign_up()
    people.settle()
    people.box.advance(timedelta(days=23))
    people.settle()
    people.bill({"servicePeriodStartDate": "2026-01-10T00:00:00Z"})
    people.poll()
    people.chargebee.cancel_subscription("sub-1", cancel_at=int((START + timedelta(days=19)).timestamp()))
    people.settle()
    row = people.sync("subscription", "sub-1")
    assert (row.status, row.cause) == ("parked", "billed_period")
    before = people.plans()
    browser = as_person("otto")
    browser.post("/customers/default", {"kind": "subscription", "subject": "sub-1", "customer": "acme"})
    people.work()
    assert people.plans() == before
    assert people.sync("subscription", "sub-1").cause == "billed_period"


def test_strange_names_are_escaped_and_nothing_of_other_connections_is_shown(
    people: World, as_person: Any, make_services: Callable[..., Services], tmp_path: Path
) -> None:
    file = tmp_path / "connector.toml"
    file.write_text(
        f"""
        [connections.other]
        chargebee_site = "other-test"
        chargebee_api_key = "other"
        chargebee_api_url = "{people.box.url}/chargebee/api/v2"
        m3ter_org_id = "{"0" * 36}"
        m3ter_api_key = "o"
        m3ter_api_secret = "o"
        m3ter_api_url = "{people.box.url}/m3ter"
        """
    )
    services = make_services(CONNECTOR_CONFIG=str(file))
    people.sign_up()
    people.sign_up("strange", f"sub/{CANARY}?#")
    people.settle()
    now = people.services.now()
    theirs = {"id": "acme", "customer_id": "acme", "status": "active", "currency_code": "EUR", "subscription_items": []}
    with people.services.transaction() as db:
        mirror.keep(db, "other", "customer", {"id": "acme", "preferred_currency_code": "EUR"}, now)
        mirror.keep(
            db, "other", "subscription", theirs | {"id": "their-sub", "resource_version": 1, "updated_at": 1}, now
        )
        # The same code in both, and an id that only the other has.
        db.add(
            Account(
                connection="other", customer_id="acme", code="acme", m3ter_id="their-account", status="live",
                created_at=now,
            )
        )  # fmt: skip
        syncs.ask(db, connection="other", kind="subscription", subject="their-sub", trigger="test", now=now)
        syncs.ask(db, connection="other", kind="customer", subject="acme", trigger="test", now=now)
    browser = as_person("otto", services)
    ours, other = (browser.get(f"/customers/{name}/acme") for name in ("default", "other"))
    assert [row[0] for row in cells(ours, "Subscriptions")] == ["sub-1"]
    assert [row[0] for row in cells(other, "Subscriptions")] == ["their-sub"]
    assert "their" not in text_of(ours)
    # Each connection is a site of its own, and only the one that is chosen is asked for a name.
    people.forget_calls()
    choose = browser.post("/search", {"q": "acme Ltd"})
    assert (choose.status_code, "Ask Chargebee" in text_of(choose), people.calls("chargebee")) == (200, True, [])
    found = browser.post("/search", {"q": "acme Ltd", "connection": "default"})
    assert [row[0] for row in cells(found, "Customers called acme Ltd")] == ["acme"]
    refused = browser.post("/search", {"q": "acme Ltd", "connection": "other"})
    assert (refused.status_code, "Chargebee does not say now" in text_of(refused)) == (409, True)
    assert cells(browser.post("/search", {"q": CANARY, "connection": "default"}), f"Customers called {CANARY}") == []
    assert "in step" in text_of(ours)
    assert "on its way" in text_of(other)
    assert "sub-1" not in text_of(other)
    fields = {"kind": "subscription", "subject": "sub-1", "customer": "acme"}
    assert browser.post("/customers/other", fields).status_code == 404
    assert {row[1] for row in cells(browser.get("/search?q=acme"), "Found for acme")} == {"acme"}
    assert len(cells(browser.get("/search?q=acme"), "Found for acme")) == 2
    assert browser.get("/search?q=their-account").headers["Location"] == "/console/customers/other/acme"
    listed = cells(browser.get("/syncs?about=their-account"), "Syncs")
    assert [(row[1].split()[-1], row[2]) for row in listed] == [("other", "acme")]
    page = browser.get("/customers/default/strange")
    assert CANARY not in page.text
    assert CANARY in html.unescape(page.text)
    assert browser.get("/search", query_string={"q": CANARY}).text.count(CANARY) == 0
    # The list of each, and what an id leads to in it, are its own.
    for name, ids in {"default": {"acme", "strange"}, "other": {"acme"}}.items():
        assert {row[0] for row in cells(browser.get(f"/customers?connection={name}"), "Customers")} == ids
        [found] = cells(browser.get(f"/customers?connection={name}&about=acme"), "Customers")
        assert ("their-account" in found, found[1]) == (name == "other", "on its way" if name == "other" else "in step")
    assert (
        "their" not in text_of(browser.get("/customers?connection=default&about=their-sub")).partition("Customers")[2]
    )
    assert "No customer is like this" in text_of(browser.get("/customers?connection=default&about=their-account"))
    for path in ("/customers/nowhere/acme", "/customers/default/nobody", "/customers/default/%3Cb%3E"):
        assert browser.get(path).status_code == 404


def test_what_is_in_quarantine_is_taken_in_or_dismissed_and_its_body_is_an_admins(
    people: World, as_person: Any
) -> None:
    event = {
        "id": "ev-1", "event_type": "customer_created", "api_version": "v2", "occurred_at": 1767225600,
        "content": {"customer": {"id": "acme", "email": "jane@example.test", "resource_version": 1}},
    }  # fmt: skip
    assert people.post("/webhooks/chargebee", json.dumps(event | {"api_version": "v1"}).encode()) == 400
    assert people.post("/webhooks/chargebee", b'{"email": "jane@example.test"') == 400
    with people.services.transaction() as db:
        # As it would be after an upgrade that understands what this version does not.
        db.add(
            QuarantinedBody(
                connection="default", source="chargebee", received_at=START, reason="the JSON is nested too deep",
                body=json.dumps(event).encode(),
            )
        )  # fmt: skip
    browser = as_person("otto")
    listed = cells(browser.get("/events/quarantine"), "Quarantine")
    assert ["not v2" in row[2] for row in reversed(listed)] == [True, False, False]
    page = browser.get("/events/quarantine/1")
    assert "Set the webhook in Chargebee to API version 2" in text_of(page)
    assert "jane@" not in page.text
    assert browser.post("/events/quarantine/1/body").status_code == 403
    assert "jane@example.test" in text_of(as_person("ada").post("/events/quarantine/2/body"))
    refused = browser.post("/events/quarantine/1/readmit")
    assert (refused.status_code, "still cannot be taken in" in text_of(refused)) == (409, True)
    assert people.inbox() == []
    assert [browser.post("/events/quarantine/3/readmit").status_code for _ in range(2)] == [303, 404]
    people.work()
    assert [(row.event_id, row.status) for row in people.inbox()] == [("ev-1", "done")]
    assert people.m3ter.account_by_code("acme")
    assert browser.post("/events/quarantine/2/dismiss", {"reason": " "}).status_code == 400
    assert browser.post("/events/quarantine/2/dismiss", {"reason": "a probe"}).status_code == 303
    assert [row[0] for row in cells(browser.get("/events/quarantine"), "Quarantine")] == ["1"]
    noted = [one for one in actions(people) if one[0].startswith("events")]
    assert noted == [
        ("events payload shown", "web:ada"), ("events readmit", "web:otto"), ("events dismiss", "web:otto"),
    ]  # fmt: skip


def test_failed_event_says_what_to_do_and_is_closed_with_a_reason(people: World, as_person: Any) -> None:
    event = {"id": "ev-1", "event_type": "customer_created", "api_version": "v2", "occurred_at": 1, "content": {}}
    assert people.post("/webhooks/chargebee", json.dumps(event).encode()) == 204
    people.work()
    browser = as_person("otto")
    said = text_of(browser.get("/events/1"))
    assert "could not be used" in said
    assert "Next step: Compare it with what its sender shows." in said
    assert browser.post("/events/1/close", {"reason": "made by hand"}).status_code == 303
    assert browser.post("/events/1/close", {"reason": "made by hand"}).status_code == 409
    [row] = people.inbox()
    assert (row.status, row.reason) == ("ignored", "closed by web:otto: made by hand")
    assert actions(people).count(("events close", "web:otto")) == 1
