"""The console's pages for real use: what failed, why, and the buttons that put it right, each of which works once."""

import csv
import io
import json
import re
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from connector import clock, pauses
from connector.models import AuditEntry, InboxEvent, Mapping, Sync
from connector.services import Services
from tests.flows.browser import Browser, address, entries, text_of
from tests.flows.conftest import CALLS_PRICE, UNMAPPED, World

pytestmark = pytest.mark.alternate_databases

CANARY = "<script>alert('canary')</script>"


def deliver(world: World, event_id: str, event_type: str = "coupon_created", **content: Any) -> int:
    """A delivered event; answers its id in the inbox."""
    body = {
        "id": event_id, "event_type": event_type, "api_version": "v2", "occurred_at": 1767225600,
        "content": content or {"coupon": {"id": "c"}},
    }  # fmt: skip
    assert world.post("/webhooks/chargebee", json.dumps(body).encode()) == 204
    return world.inbox()[-1].id


def map_silently(world: World) -> None:
    """What was parked could go on now, but nobody has told it."""
    with world.services.transaction() as db:
        db.add(
            Mapping(
                connection="default", m3ter_entity="Plan", m3ter_id=world.ids["beta"], external_system="Chargebee",
                external_table="ItemPrice", external_id=UNMAPPED, made_by="test", created_at=world.services.now(),
            )
        )  # fmt: skip


# Overview


def test_overview_counts_what_stands_still_and_links_to_it(people: World, as_person: Any) -> None:
    people.sign_up()
    people.sign_up("beta", "sub-2", items=(UNMAPPED,))
    people.settle()
    deliver(people, "ev-odd")
    clock.catch_up_events(people.services)
    people.work()
    answer = as_person("vera").get("/")
    said = text_of(answer)
    assert "1 wait for a person" in said
    ignored = sum(one.status == "ignored" for one in people.inbox())
    assert f" {ignored} events ignored" in said
    assert "3 syncs succeeded" in said
    assert f"connector mappings add Plan <m3ter plan id> ItemPrice {UNMAPPED}" in said
    link = "/console/syncs?connection=default&amp;kind=subscription&amp;status=parked&amp;cause=unmapped_item_price"
    assert f'href="{link}"' in answer.text
    assert "Version 0." in said
    assert "default running 2026-01-01 00:00:00 –" in said


def test_overview_says_since_when_work_is_due_and_which_connection_is_paused(people: World, as_person: Any) -> None:
    people.sign_up()
    people.deliver()
    from connector import jobs

    jobs.dispatch(people.services)
    people.box.advance(timedelta(minutes=7))
    assert "7 min oldest work that is due" in text_of(as_person("vera").get("/"))
    with people.services.transaction() as db:
        pauses.pause_by_hand(db, "default", pauses.ALL, "moving house", people.services.now())
    said = text_of(as_person("vera").get("/"))
    assert "default is paused (all) since" in said
    assert "moving house" in said
    assert "none oldest work that is due" in said


def test_polls_that_failed_do_not_count_as_read(people: World, as_person: Any) -> None:
    clock.poll_bills(people.services)
    people.box.advance(timedelta(minutes=30))
    people.box.faults.order("m3ter", "list_bills", "status", count=20, status=500)
    clock.poll_bills(people.services)
    assert "m3ter's approved bills read 2026-01-01 00:00:00" in text_of(as_person("vera").get("/connections"))


# Syncs


def test_syncs_are_found_by_any_id_of_either_system(people: World, as_person: Any) -> None:
    people.sign_up()
    people.sign_up("beta", "sub-2")
    people.settle()
    invoice = people.renew()
    bill = people.bill()
    people.poll()
    [plan] = people.plans()
    event = people.inbox()[0]
    account = people.m3ter.account_by_code("acme")["id"]
    line = people.chargebee.invoices[invoice]["line_items"][-1]["id"]
    browser = as_person("vera")

    def found(text: str) -> set[tuple[str, str]]:
        answer = browser.get("/syncs", query_string={"about": text})
        ids = {int(one) for one in re.findall(r'href="/console/syncs/(\d+)"', answer.text)}
        return {(row.kind, row.subject) for row in people.syncs() if row.id in ids}

    assert found("acme") == {("customer", "acme"), ("bill", bill)}
    assert found("sub-1") == {("subscription", "sub-1"), ("bill", bill)}
    assert found(account) == {("customer", "acme"), ("bill", bill)}
    assert found(plan["id"]) == {("subscription", "sub-1")}
    assert found(invoice) == found(line) == {("bill", bill)}
    assert found(bill) == {("bill", bill), ("receipt", bill)}
    assert ("customer", "acme") in found(event.event_id)
    assert found("nothing") == set()


def test_list_goes_on_where_the_page_before_ended(people: World, as_person: Any) -> None:
    with people.services.transaction() as db:
        now = people.services.now()
        for number in range(120):
            db.add(
                Sync(
                    connection="default", kind="customer", subject=f"c-{number:03}", trigger="test", status="succeeded",
                    next_attempt_at=now, created_at=now, updated_at=now,
                )
            )  # fmt: skip
    browser = as_person("vera")
    seen: list[str] = []
    where = "/syncs?status=succeeded"
    for _ in range(3):
        answer = browser.get(where)
        seen += re.findall(r"<code>(c-\d+)</code>", answer.text)
        older = re.search(r'href="/console(/syncs\?before=[^"]+)" rel="next"', answer.text)
        where = older[1].replace("&amp;", "&") if older else ""
    assert (seen, where) == ([f"c-{number:03}" for number in reversed(range(120))], "")


def test_one_sync_explains_itself_and_links_to_its_event(people: World, as_person: Any) -> None:
    people.sign_up(items=(UNMAPPED,))
    people.settle()
    row = people.sync("subscription", "sub-1")
    answer = as_person("vera").get(f"/syncs/{row.id}")
    said = text_of(answer)
    assert f"no m3ter plan is mapped to {UNMAPPED}" in said
    assert "as soon as there is a mapping of ItemPrice" in said
    assert "(subscription_created)" in said
    assert "Retry" not in said, "a viewer only looks"
    customer = people.sync("customer", "acme")
    tries = text_of(as_person("vera").get(f"/syncs/{customer.id}"))
    assert "Did created account acme" in tries
    assert "m3ter POST /m3ter/organizations/" in tries


def test_operator_retries_what_failed_and_a_double_click_runs_it_once(people: World, as_person: Any) -> None:
    people.sign_up(items=(UNMAPPED,))
    people.settle()
    row = people.sync("subscription", "sub-1")
    map_silently(people)
    browser = as_person("otto")
    page = browser.get(f"/syncs/{row.id}")
    assert "Retry" in text_of(page)
    statuses: list[int] = []

    def press() -> None:
        other = Browser(people.services, browser.client.application)
        other.client, other.token = browser.client.application.test_client(), browser.token
        cookie = browser.client.get_cookie("console", "127.0.0.1", "/console")
        assert cookie is not None
        other.client.set_cookie("console", cookie.value, domain="127.0.0.1", path="/console")
        statuses.append(other.post(f"/syncs/{row.id}/retry").status_code)

    clicks = [threading.Thread(target=press) for _ in range(4)]
    for click in clicks:
        click.start()
    for click in clicks:
        click.join()
    assert statuses == [303] * 4
    people.work()
    assert people.sync("subscription", "sub-1").status == "succeeded"
    assert people.sync("subscription", "sub-1").runs == row.runs + 1
    assert len(people.plans()) == 1
    noted = entries(people.services, "syncs retry")
    assert sorted(one.detail["became"] for one in noted) == ["already queued"] * 3 + ["queued"]
    assert {(one.actor, one.subject) for one in noted} == {("web:otto", "subscription sub-1")}


def test_retry_is_kept_while_the_queue_is_away(
    people: World, as_person: Any, make_services: Callable[..., Services]
) -> None:
    people.sign_up(items=(UNMAPPED,))
    people.settle()
    map_silently(people)
    row = people.sync("subscription", "sub-1")
    browser = as_person("otto", make_services(REDIS_URL="redis://127.0.0.1:1/0"))
    answer = browser.post(f"/syncs/{row.id}/retry")
    assert answer.status_code == 503
    assert "What you did is kept" in text_of(answer)
    people.box.advance(timedelta(minutes=2))
    people.work()
    assert people.sync("subscription", "sub-1").status == "succeeded"


def test_sync_is_skipped_only_with_a_reason_and_only_while_it_stands_still(people: World, as_person: Any) -> None:
    people.sign_up(items=(UNMAPPED,))
    people.settle()
    row = people.sync("subscription", "sub-1")
    browser = as_person("otto")
    assert browser.post(f"/syncs/{row.id}/skip", {"reason": "  "}).status_code == 400
    assert people.sync("subscription", "sub-1").status == "parked"
    assert browser.post(f"/syncs/{row.id}/skip", {"reason": "a test of ours"}).status_code == 303
    said = people.sync("subscription", "sub-1")
    assert (said.status, said.text) == ("superseded", "skipped by web:otto: a test of ours")
    again = browser.post(f"/syncs/{row.id}/skip", {"reason": "once more"})
    assert again.status_code == 409
    assert "there is nothing to skip" in text_of(again)
    assert [one.detail["reason"] for one in entries(people.services, "syncs skip")] == ["a test of ours"]


# Money


@pytest.fixture
def bounded(people: World, make_services: Callable[..., Services]) -> World:
    """A bill of 30 dollars is parked, because no bill of more than 20 goes on without a person."""
    people.services = make_services(MAX_BILL_AMOUNT="20")
    people.sign_up()
    people.settle()
    people.renew()
    people.bill({"subtotal": 10}, {"subtotal": 20, "description": "More"})
    people.poll()
    [row] = people.syncs(kind="bill")
    assert (row.status, row.cause) == ("parked", "amount_bound")
    return people


def charged(world: World) -> list[tuple[str, int]]:
    [invoice] = world.chargebee.pending_invoices("sub-1")
    return world.charges(invoice["id"])


def test_retry_of_a_bill_shows_amounts_and_invoice_before_money_moves(bounded: World, as_person: Any) -> None:
    [row] = bounded.syncs(kind="bill")
    [invoice] = bounded.chargebee.pending_invoices("sub-1")
    browser = as_person("otto", bounded.services)
    assert f'href="/console/syncs/{row.id}/retry"' in browser.get(f"/syncs/{row.id}").text
    page = browser.get(f"/syncs/{row.id}/retry")
    said = text_of(page)
    assert "To be sent now 30.00 USD" in said
    assert "Charges 2" in said
    assert "Retry and send 30.00 USD" in said
    assert invoice["id"] in said
    bounded.work()
    assert charged(bounded) == []
    assert browser.post(f"/syncs/{row.id}/retry", {"seen": browser.hidden(page, "seen")}).status_code == 303
    bounded.work()
    assert sorted(charged(bounded)) == [(CALLS_PRICE, 1000), (CALLS_PRICE, 2000)]


def test_retry_of_a_bill_without_its_confirmation_only_shows_it(bounded: World, as_person: Any) -> None:
    [row] = bounded.syncs(kind="bill")
    browser = as_person("otto", bounded.services)
    for fields in ({}, {"seen": ""}, {"seen": "x"}):
        answer = browser.post(f"/syncs/{row.id}/retry", fields)
        assert answer.status_code == 200
        assert "Retry and send 30.00 USD" in text_of(answer)
    bounded.work()
    assert charged(bounded) == []
    assert entries(bounded.services, "syncs retry") == []


def test_bill_that_changed_after_somebody_looked_is_shown_once_more(bounded: World, as_person: Any) -> None:
    [row] = bounded.syncs(kind="bill")
    browser = as_person("otto", bounded.services)
    seen = browser.hidden(browser.get(f"/syncs/{row.id}/retry"), "seen")
    bounded.m3ter.add_line(row.subject, **(bounded.usage_line() | {"subtotal": 500}))
    bounded.m3ter.approve(row.subject)
    answer = browser.post(f"/syncs/{row.id}/retry", {"seen": seen})
    assert "This has changed since you looked" in text_of(answer)
    assert "530.00 USD" in text_of(answer)
    bounded.work()
    assert charged(bounded) == []


def test_what_cannot_be_previewed_says_why_and_can_be_retried_all_the_same(bounded: World, as_person: Any) -> None:
    [row] = bounded.syncs(kind="bill")
    bounded.box.faults.order("m3ter", "get_bill", "status", count=20, status=500)
    browser = as_person("otto", bounded.services)
    page = browser.get(f"/syncs/{row.id}/retry")
    assert "What would be sent cannot be said now" in text_of(page)
    assert browser.post(f"/syncs/{row.id}/retry", {"seen": browser.hidden(page, "seen")}).status_code == 303
    assert bounded.sync("bill", row.subject).status == "pending"


def test_push_under_way_shows_what_is_left_of_it(people: World, as_person: Any) -> None:
    people.sign_up()
    people.settle()
    people.renew()
    bill = people.bill({"subtotal": 10}, {"subtotal": 20, "description": "More"})
    people.box.faults.order("chargebee", "add_charge_item", "status", count=20, skip=1, status=400)
    people.poll()
    row = people.sync("bill", bill)
    assert row.status == "parked"
    people.forget_calls()
    said = text_of(as_person("otto").get(f"/syncs/{row.id}/retry"))
    assert "Total of the bill 30.00 USD To be sent now" in said
    assert "Charges 1" in said
    assert people.calls("m3ter") == people.calls("chargebee") == []


def test_all_of_one_cause_are_retried_together_after_they_were_counted(people: World, as_person: Any) -> None:
    for number in range(3):
        people.sign_up(f"c-{number}", f"s-{number}", items=(UNMAPPED,))
    people.settle()
    map_silently(people)
    browser = as_person("otto")
    query = "cause=unmapped_item_price&status=parked"
    assert f'href="/console/syncs/retry?{query.replace("&", "&amp;")}' not in browser.get("/syncs?status=parked").text
    page = browser.get(f"/syncs/retry?{query}")
    assert "Retry 3 syncs?" in text_of(page)
    people.sign_up("late", "s-late", items=(UNMAPPED,))
    fields = {name: browser.hidden(page, name) for name in ("ids", "seen")}
    first = fields["ids"].split(",")[0]
    assert browser.post(f"/syncs/retry?{query}", fields | {"ids": first}).status_code == 303
    assert [row.status for row in people.syncs(cause="unmapped_item_price")] == ["pending", "parked", "parked"]
    assert browser.post(f"/syncs/retry?{query}", fields).status_code == 303
    people.work()
    assert len(people.m3ter.account_plans) == 3
    assert len(entries(people.services, "syncs retry")) == 3


def test_bills_among_them_are_shown_with_their_amounts_and_sent_only_as_shown(bounded: World, as_person: Any) -> None:
    browser = as_person("otto", bounded.services)
    page = browser.get("/syncs/retry?cause=amount_bound")
    assert "To be sent now 30.00 USD" in text_of(page)
    fields = {name: browser.hidden(page, name) for name in ("ids", "seen")}
    [row] = bounded.syncs(kind="bill")
    bounded.m3ter.add_line(row.subject, **(bounded.usage_line() | {"subtotal": 500}))
    bounded.m3ter.approve(row.subject)
    again = browser.post("/syncs/retry?cause=amount_bound", fields)
    assert "This has changed since you looked" in text_of(again)
    assert browser.post("/syncs/retry?cause=amount_bound", {"ids": fields["ids"]}).status_code == 200
    bounded.work()
    assert charged(bounded) == []
    fields = {name: browser.hidden(again, name) for name in ("ids", "seen")}
    assert browser.post("/syncs/retry?cause=amount_bound", fields).status_code == 303
    bounded.work()
    assert sum(amount for _, amount in charged(bounded)) == 53000


# Events


def test_payload_is_shown_whole_to_an_admin_only_and_that_is_kept(people: World, as_person: Any) -> None:
    customer = {
        "id": "acme", "email": "jane@example.test", "first_name": "Jürgen", "phone": 4912345678, "cf_passport": 12345,
        "billing_address": {"line1": "Main St 1", "zip": "N1"}, "card": {"last4": "4242"}, "resource_version": 7,
        "preferred_currency_code": "USD", "deleted": False, "net_term_days": 30, "parent_id": "jane@example.test",
    }  # fmt: skip
    inbox_id = deliver(people, "ev-1", "customer_changed", customer=customer)
    for name in ("vera", "otto", "ada"):
        said = text_of(as_person(name).get(f"/events/{inbox_id}"))
        for secret in ("jane@", "Jürgen", "4912345678", "12345", "Main St", "4242"):
            assert secret not in said, (name, secret)
        for plain in ('"id": "acme"', '"preferred_currency_code": "USD"', '"net_term_days": 30', "customer_changed"):
            assert plain in said
    assert as_person("otto").post(f"/events/{inbox_id}/payload").status_code == 403
    whole = text_of(as_person("ada").post(f"/events/{inbox_id}/payload"))
    assert "Jürgen" in whole
    assert "4912345678" in whole
    assert [(one.actor, one.subject) for one in entries(people.services, "events payload shown")] == [
        ("web:ada", "event ev-1")
    ]


def test_event_that_was_ignored_is_dispatched_once_more(people: World, as_person: Any) -> None:
    inbox_id = deliver(people, "ev-1")
    people.work()
    browser = as_person("otto")
    assert browser.post(f"/events/{inbox_id}/replay").status_code == 303
    assert [row.status for row in people.inbox()] == ["new"]
    assert browser.post(f"/events/{inbox_id}/replay").status_code == 303
    assert "already: that happens once" in text_of(browser.get(f"/events/{inbox_id}"))
    people.work()
    assert [row.status for row in people.inbox()] == ["ignored"]
    assert [one.detail["inbox_ids"] for one in entries(people.services, "events replay")] == [[inbox_id], []]


def test_events_are_found_by_state_type_sender_and_id(people: World, as_person: Any) -> None:
    deliver(people, "ev-1")
    deliver(people, "ev-2", "customer_created", customer={"id": "acme", "email": "a@example.test"})
    people.work()
    browser = as_person("vera")

    def found(query: str) -> list[str]:
        return [
            one.event_id
            for one in people.inbox()
            if f"<code>{one.event_id}</code>" in browser.get(f"/events?{query}").text
        ]

    assert found("") == ["ev-1", "ev-2"]
    assert found("status=ignored") == found("event_type=coupon_created") == ["ev-1"]
    assert found("about=ev-2") == ["ev-2"]
    assert found("source=m3ter") == []


# Connections


def test_connection_is_paused_with_a_reason_and_resumed(people: World, as_person: Any) -> None:
    browser = as_person("otto")
    browser.get("/connections")
    assert browser.post("/connections/default/pause", {"what": "all"}).status_code == 400
    assert browser.post("/connections/default/pause", {"what": "some", "reason": "x"}).status_code == 400
    assert browser.post("/connections/other/pause", {"what": "all", "reason": "x"}).status_code == 404
    assert browser.post("/connections/default/pause", {"what": "all", "reason": "maintenance"}).status_code == 303
    assert browser.post("/connections/default/pause", {"what": "all", "reason": "twice"}).status_code == 409
    people.sign_up()
    people.settle()
    assert people.m3ter.accounts == {}
    assert "maintenance (web:otto)" in text_of(browser.get("/connections"))
    row = people.sync("customer", "acme")
    assert "default is paused since" in text_of(browser.get(f"/syncs/{row.id}"))
    assert browser.post("/connections/default/resume").status_code == 303
    people.work()
    assert people.m3ter.account_by_code("acme")
    assert browser.post("/connections/default/resume").status_code == 409
    assert (
        len(entries(people.services, "connections pause")) == len(entries(people.services, "connections resume")) == 1
    )


def test_bills_go_on_only_after_a_page_that_says_what_to_compare(people: World, as_person: Any) -> None:
    people.sign_up()
    people.settle()
    people.renew()
    with people.services.transaction() as db:
        pauses._pause(db, "default", pauses.MONEY, "restored", "the database is older", people.services.now(), None)
    people.bill()
    people.poll()
    browser = as_person("otto")
    assert browser.post("/connections/default/resume").status_code == 409, "all but money"
    said = text_of(browser.get("/connections/default/money"))
    assert "1 bill would go on at once" in said
    assert "Compare what was pushed since then" in said
    assert browser.post("/connections/default/money").status_code == 400
    people.work()
    assert charged(people) == []
    assert browser.post("/connections/default/money", {"reason": "compared 12 invoices"}).status_code == 303
    people.work()
    assert charged(people) == [(CALLS_PRICE, 1000)]
    [note] = entries(people.services, "connections resume")
    assert (note.actor, note.detail["reason"]) == ("web:otto", "compared 12 invoices")


# Audit log


def test_audit_log_is_exported_without_formulas_and_the_export_is_an_entry(people: World, as_person: Any) -> None:
    people.sign_up(items=(UNMAPPED,))
    people.settle()
    row = people.sync("subscription", "sub-1")
    with people.services.transaction() as db:
        for subject in ("=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\t=1", "'=1"):
            db.add(
                AuditEntry(
                    at=people.services.now(), actor="=who()", action="test", connection="default", subject=subject,
                    detail={},
                )
            )  # fmt: skip
    browser = as_person("ada")
    browser.post(f"/syncs/{row.id}/skip", {"reason": '=HYPERLINK("http://evil.example")'})
    assert "=HYPERLINK" in text_of(browser.get("/audit"))
    answer = browser.post("/audit/export")
    assert answer.headers["Content-Disposition"] == "attachment; filename=audit.csv"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == len({row["id"] for row in rows}) >= 8
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t"))]
    assert {row["actor"] for row in rows} == {"'=who()", "web:ada"}
    assert [one.actor for one in entries(people.services, "audit export")] == ["web:ada"]
    only = list(csv.DictReader(io.StringIO(browser.post("/audit/export?action=syncs skip").text)))
    assert [row["action"] for row in only] == ["syncs skip"]


def test_nothing_of_the_console_changes_or_removes_what_was_audited(people: World, as_person: Any) -> None:
    """Whatever form is sent, the entries before it stay as they were."""
    from connector.web.console.routes import ROUTES

    people.sign_up(items=(UNMAPPED,))
    people.settle()
    browser = as_person("ada")
    with people.services.reading() as db:
        before = [(one.id, one.at, one.actor, one.action, one.subject, one.detail) for one in db.query(AuditEntry)]
    for route in ROUTES:
        if route.method == "POST" and route.endpoint != "log_out":
            browser.post(address(route.path), {"reason": "x", "what": "all"})
    with people.services.reading() as db:
        after = [(one.id, one.at, one.actor, one.action, one.subject, one.detail) for one in db.query(AuditEntry)]
    assert after[: len(before)] == before
    assert len(after) > len(before)


# Text of strangers


def test_script_in_any_field_of_a_payload_is_only_ever_text(people: World, as_person: Any) -> None:
    """Stored by a webhook, shown on every page there is, never as markup."""
    customer = {
        "id": CANARY, "email": f'"{CANARY}"@example.test', "company": CANARY, "first_name": CANARY, "last_name": CANARY,
        "preferred_currency_code": "USD", "resource_version": 1767225600123, "deleted": False, CANARY: CANARY,
        "billing_address": {"line1": CANARY, "country": CANARY},
    }  # fmt: skip
    subscription = {
        "id": f"sub {CANARY}", "customer_id": CANARY, "status": "active", "currency_code": "USD", "object": "subscription",
        "started_at": 1767225600, "created_at": 1767225600, "updated_at": 1767225600, "resource_version": 1767225600124,
        "deleted": False, "current_term_start": 1767225600, "current_term_end": 1769904000, "note": CANARY,
        "subscription_items": [
            {"item_price_id": f"{CANARY}`{CANARY}`", "item_type": "plan", "quantity": 1, "amount": 1, "unit_price": 1}
        ],
    }  # fmt: skip
    deliver(people, f"ev {CANARY}", f"odd_{CANARY}", **{CANARY: [CANARY]})
    deliver(people, "ev-2", "customer_created", customer=customer)
    deliver(people, "ev-3", "subscription_created", subscription=subscription, customer=customer)
    people.work()
    browser = as_person("ada")
    rows = people.syncs()
    assert any(CANARY in str(row.subject) for row in rows)
    assert any(CANARY in str(row.text) for row in rows), [row.text for row in rows]
    with people.services.transaction() as db:
        for row in rows:
            db.execute(
                update(Sync)
                .where(Sync.id == row.id)
                .values(status="parked", cause=CANARY, next_step=f"{CANARY} `{CANARY}` `{CANARY}")
            )
        db.add(
            AuditEntry(
                at=people.services.now(), actor=CANARY, action=CANARY, connection=CANARY, subject=CANARY,
                detail={CANARY: CANARY},
            )
        )  # fmt: skip
        pauses.pause_by_hand(db, "default", pauses.ALL, CANARY, people.services.now())
        db.execute(update(InboxEvent).where(InboxEvent.id == 1).values(reason=CANARY))
    pages = ["/", "/syncs", "/events", "/connections", "/audit", "/events?event_type=" + CANARY, "/syncs?about=" + CANARY,
             "/syncs/retry?cause=" + CANARY, "/audit?actor=" + CANARY, "/" + CANARY]  # fmt: skip
    pages += [f"/syncs/{row.id}" for row in rows] + [f"/syncs/{row.id}/retry" for row in rows]
    pages += [f"/events/{row.id}" for row in people.inbox()]
    answers = [browser.get(page) for page in pages]
    answers += [browser.post(f"/events/{row.id}/payload") for row in people.inbox()]
    assert {answer.status_code for answer in answers} <= {200, 404}
    shown = [answer for answer in answers if "canary" in answer.text]
    assert len(shown) >= len(answers) - 2
    for answer in answers:
        assert "<script" not in answer.text
        assert "alert('canary')" not in answer.text
        assert "javascript:" not in answer.text


def test_text_that_cannot_be_written_does_not_stop_the_page(people: World, as_person: Any) -> None:
    deliver(people, "ev-1", coupon={"id": "\ud800", "name": "\x9b2J", "worth": "WORTH"})
    with people.services.transaction() as db:
        row = db.get_one(InboxEvent, 1)
        row.body = row.body.replace(b'"WORTH"', b"1.50")
    answer = as_person("ada").post("/events/1/payload")
    assert answer.status_code == 200
    said = text_of(answer)
    for shown in (r'"id": "\ud800"', r'"name": "\x9b2J"', '"worth": "1.50"'):
        assert shown in said


def test_page_loads_nothing_but_its_own_style_and_icon(people: World, as_person: Any) -> None:
    people.sign_up()
    people.settle()
    browser = as_person("ada")
    for page in ("/", "/syncs", "/syncs/1", "/events/1", "/connections", "/audit"):
        text = browser.get(page).text
        assert "style=" not in text
        assert "<style" not in text
        assert " on" not in {f" {name[:2]}" for name in re.findall(r"<\w+[^>]*\s(on\w+)=", text)}
        loaded = set(re.findall(r'(?:src|<link rel="\w+" href)="([^"]+)"', text))
        assert loaded == {"/console/static/console.css", "/console/static/icon.svg"}
    assert browser.get("/static/console.css").status_code == browser.get("/static/icon.svg").status_code == 200
