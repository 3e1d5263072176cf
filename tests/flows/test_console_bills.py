"""Bills in the console: what waits, one bill beside its invoices, pushed once, approved by two people, and its receipt."""

import csv
import io
import json
import re
import threading
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from click.testing import CliRunner

from connector import audit
from connector.access import ADMIN, OPERATOR, VIEWER
from connector.bills import closing, listing
from connector.cli import main
from connector.services import Services
from tests.flows.browser import Browser, add_user, entries, text_of
from tests.flows.conftest import CALLS_PRICE, World

pytestmark = pytest.mark.alternate_databases

CANARY = "<script>alert('canary')</script>"


@pytest.fixture
def people(world: World) -> World:
    """Three customers whose renewal invoices are pending, and somebody of each role."""
    for name, role in (("vera", VIEWER), ("otto", OPERATOR), ("ada", ADMIN)):
        add_user(world.services, name, role)
    for customer_id, subscription_id in (("acme", "sub-1"), ("slow", "sub-2"), ("large", "sub-3")):
        world.sign_up(customer_id, subscription_id)
    world.settle()
    world.renew()
    return world


def draft(world: World) -> str:
    [invoice] = world.chargebee.pending_invoices("sub-1")
    return str(invoice["id"])


def command(world: World, monkeypatch: pytest.MonkeyPatch, *words: str) -> Any:
    """What `connector bills … --json` answers in this world."""
    monkeypatch.setattr("connector.cli.bills.wire", lambda: world.services)
    result = CliRunner().invoke(main, ["bills", *words, "--json"])
    assert result.exit_code in (0, 1), result.output
    return json.loads(result.stdout)


def another(browser: Browser) -> Browser:
    """A second window of the same person, with the form as it is in the first."""
    app = browser.client.application
    other = Browser(browser.services, app)
    cookie = browser.client.get_cookie("console", "127.0.0.1", "/console")
    assert cookie is not None
    other.client.set_cookie("console", cookie.value, domain="127.0.0.1", path="/console")
    other.token = browser.token
    return other


# Push


def test_push_lands_each_charge_once_however_often_it_is_pressed(people: World, as_person: Any) -> None:
    invoice_id, bill = draft(people), people.bill({"subtotal": 10}, {"subtotal": 20, "description": "More"})
    browser = as_person("otto")
    assert "Nothing is known of this bill here" in text_of(browser.get(f"/bills/default/{bill}"))
    page = browser.get(f"/bills/default/{bill}/push")
    assert "Push and send 30.00 USD" in text_of(page)
    assert invoice_id in text_of(page)
    seen = {"seen": browser.hidden(page, "seen")}
    assert browser.post(f"/bills/default/{bill}/push").status_code == 200, "without a look it is only shown"
    statuses: list[int] = []
    windows = [another(browser) for _ in range(3)]
    presses = [
        threading.Thread(
            target=lambda one=one: statuses.append(one.post(f"/bills/default/{bill}/push", seen).status_code)
        )
        for one in windows
    ]
    for press in presses:
        press.start()
    for press in presses:
        press.join()
    assert set(statuses) == {303}
    people.work()
    assert people.charges(invoice_id) == [(CALLS_PRICE, 1000), (CALLS_PRICE, 2000)]
    late = browser.post(f"/bills/default/{bill}/push", seen)
    assert "Nothing would be sent" in text_of(late)
    people.work()
    assert len(people.charges(invoice_id)) == 2
    [noted] = entries(people.services, "bills push")
    assert (noted.actor, noted.subject, noted.detail["to_send"]) == ("web:otto", bill, "30.00 USD")
    pushed = browser.get(f"/bills/default/{bill}")
    said = text_of(pushed)
    assert "Bill beside invoices equal 30.00 USD bill in m3ter" in said
    assert f"Its work is sync {people.sync('bill', bill).id}" in said
    assert f'class="button" href="/console/bills/default/{bill}/push"' in pushed.text, "it is not what comes next"
    assert f'href="/console/bills/default/{bill}"' in browser.get(f"/syncs/{people.sync('bill', bill).id}").text


def test_bill_that_changed_between_look_and_press_is_shown_again_and_nothing_is_sent(
    people: World, as_person: Any
) -> None:
    invoice_id, bill = draft(people), people.bill()
    browser = as_person("otto")
    seen = browser.hidden(browser.get(f"/bills/default/{bill}/push"), "seen")
    people.m3ter.add_line(bill, **(people.usage_line() | {"subtotal": 500}))
    people.m3ter.approve(bill)
    again = browser.post(f"/bills/default/{bill}/push", {"seen": seen})
    assert again.status_code == 200
    assert "This has changed since you looked" in text_of(again)
    assert "Push and send 510.00 USD" in text_of(again)
    people.work()
    assert (people.charges(invoice_id), entries(people.services, "bills push")) == ([], [])
    people.box.faults.order("m3ter", "get_bill", "status", count=20, status=500)
    away = browser.get(f"/bills/default/{bill}/push")
    assert (away.status_code, "Not possible now" in text_of(away)) == (409, True)
    assert "This cannot be said now" in text_of(browser.get(f"/bills/default/{bill}/now"))


# Two people


def test_one_person_through_two_channels_is_one_and_a_second_person_lets_the_bill_go_on(
    people: World, as_person: Any, make_services: Callable[..., Services], monkeypatch: pytest.MonkeyPatch
) -> None:
    people.services = make_services(TWO_PEOPLE_ABOVE="5")
    invoice_id, bill = draft(people), people.bill()
    people.poll()
    assert people.sync("bill", bill).cause == "needs_approval"
    otto, ada = as_person("otto"), as_person("ada")
    assert "needs_approval" in text_of(otto.get(f"/bills/default/{bill}/push"))
    monkeypatch.setattr(audit, "actor", lambda: "cli:OTTO")
    assert command(people, monkeypatch, "approve", bill)["approved_by"] == ["otto"]
    page = otto.get(f"/bills/default/{bill}/approve")
    assert "You have approved this already" in text_of(page)
    seen = {"seen": otto.hidden(page, "seen")}
    assert otto.post(f"/bills/default/{bill}/approve", seen).status_code == 303
    assert "1 of 2 people" in text_of(otto.get(f"/bills/default/{bill}"))
    people.work()
    assert people.charges(invoice_id) == []
    # What ada looked at is no longer what there is: her press only shows it.
    old = {"seen": ada.hidden(ada.get(f"/bills/default/{bill}/approve"), "seen")}
    people.m3ter.add_line(bill, **(people.usage_line() | {"subtotal": 500}))
    people.m3ter.approve(bill)
    changed = ada.post(f"/bills/default/{bill}/approve", old)
    assert "This has changed since you looked" in text_of(changed)
    assert "Nobody has approved this result yet" in text_of(changed)
    for browser in (otto, otto, ada):
        shown = browser.get(f"/bills/default/{bill}/approve")
        browser.post(f"/bills/default/{bill}/approve", {"seen": browser.hidden(shown, "seen")})
    people.work()
    assert people.charges(invoice_id) == [(CALLS_PRICE, 1000), (CALLS_PRICE, 50000)]
    said = text_of(ada.get(f"/bills/default/{bill}"))
    for approval in ("web:ada", "web:otto", "cli:OTTO"):
        assert approval in said
    assert [one.actor for one in entries(people.services, "bills approve")] == [
        "cli:OTTO", "web:otto", "web:otto", "web:ada",
    ]  # fmt: skip


def test_people_are_told_apart_by_name_and_not_by_channel() -> None:
    assert audit.people(["cli:Ada", "web:ada", "web: ADA", "web:grace", "api:grace"]) == ["ada", "grace"]
    assert audit.people(["ada", "cli:ada"]) == ["ada"]
    assert audit.people([]) == []


# One bill


def test_receipt_page_and_files_equal_the_receipt(
    people: World, as_person: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = {"lineItemType": "BALANCE_CONSUMED", "description": f"Credit {CANARY}", "subtotal": Decimal("-4.504")}
    bill = people.bill({"subtotal": Decimal("10.004"), "description": CANARY}, drawn, {"subtotal": 0})
    people.poll()
    browser = as_person("vera")
    answer = browser.get(f"/bills/default/{bill}")
    said = text_of(answer)
    [stored] = people.receipts()
    assert "5.50 USD bill in m3ter, exactly 5.500" in said
    assert f"{CANARY} USAGE 10.004 10.00 charged 10.00" in said
    assert f"Credit {CANARY} BALANCE_CONSUMED -4.504 -4.50 netted into -4.50" in said
    assert "API calls USAGE 0 0.00 nothing to charge" in said
    files = {form: browser.get(f"/bills/default/{bill}/receipt.{form}") for form in ("json", "csv", "html", "pdf")}
    assert files["pdf"].status_code == 404
    document = json.loads(files["json"].text)
    assert document == command(people, monkeypatch, "receipt", bill)
    assert document["receipt"] == stored
    assert document["sha256"] in said
    [*rows] = csv.DictReader(io.StringIO(files["csv"].text, newline=""))
    assert sum(Decimal(row["part"] or 0) for row in rows) == Decimal(stored["invoice_total_added"])
    assert files["csv"].headers["Content-Disposition"] == f"attachment; filename=receipt-{bill}.csv"
    assert "Receipt of bill" in files["html"].text
    # A viewer sees all of it and has no button; what a provider wrote is only ever text.
    for page in (f"/bills/default/{bill}", f"/bills/default/{bill}/now", "/bills", f"/bills/default/{bill}?lines=all"):
        shown = browser.get(page)
        assert shown.status_code == 200
        assert "<script" not in shown.text
        assert not re.search(r"(push|approve|retry)\"", shown.text)
    assert "<script" not in as_person("otto").get(f"/bills/default/{bill}/push").text
    assert "<script" not in files["html"].text


def test_what_a_second_approval_changed_and_what_somebody_changed_on_the_invoice_is_shown(
    people: World, as_person: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoice_id, bill = draft(people), people.bill({"subtotal": 7}, {"subtotal": 5, "segment": {"region": "us"}})
    people.poll()
    people.m3ter.recalculate(bill)
    line = next(one for one in people.m3ter.bills[bill]["lineItems"] if one["subtotal"] == 7)
    line |= {"subtotal": Decimal(8), "convertedSubtotal": Decimal(8)}
    people.m3ter.add_line(bill, **(people.usage_line() | {"subtotal": 3, "segment": {"region": "eu"}}))
    browser = as_person("otto")
    now = text_of(browser.get(f"/bills/default/{bill}/now"))
    assert "The bill is pending in m3ter" in now
    assert "m3ter has calculated another result since" in now
    assert "API calls 7.00 USD 8.00 USD 1.00 USD API calls 0.00 USD 3.00 USD 3.00 USD" in now
    people.m3ter.approve(bill)
    people.poll()
    said = text_of(browser.get(f"/bills/default/{bill}"))
    assert "Version 2 pushed" in said
    assert "16.00 USD , 12.00 USD sent before" in said
    assert "API calls 7.00 USD 8.00 USD 1.00 USD API calls 0.00 USD 3.00 USD 3.00 USD" in said
    newest, first = command(people, monkeypatch, "show", bill)["versions"]
    assert ([one["differs"] for one in newest["differences"]], newest["sent_before"]) == (["1.00", "3.00"], "12.00")
    assert len(first["differences"]) == 2
    assert command(people, monkeypatch, "check", bill)["equal"] is True
    people.forget_calls()
    lines_there = people.chargebee.invoices[invoice_id]["line_items"]
    ours = next(line for line in lines_there if line["amount"] == 300)
    lines_there.remove(ours)
    lines_there.append(ours | {"id": "li_by_hand", "amount": 900})
    now = text_of(browser.get(f"/bills/default/{bill}/now"))
    assert "3.00 USD nothing" in now
    assert "missing" in now
    assert f"did not add: {CALLS_PRICE} 9.00 USD" in now
    assert "13.00 USD our charges on invoices not equal" in now
    assert len(people.calls("m3ter")) + len(people.calls("chargebee")) <= 4
    checked = command(people, monkeypatch, "check", bill)
    assert (checked["equal"], checked["added"], checked["exit_status"]) == (False, "13.00", 1)


# Lists


def test_bills_are_found_in_their_section_and_by_any_id(
    people: World, as_person: Any, make_services: Callable[..., Services], monkeypatch: pytest.MonkeyPatch
) -> None:
    people.services = make_services(AUTO_CLOSE_DAYS="3", MAX_BILL_AMOUNT="100")
    invoice_id = draft(people)
    [closed] = people.chargebee.pending_invoices("sub-2")
    people.chargebee.close_invoice(closed["id"])
    pushed, waiting = people.bill({"subtotal": 7}), people.bill({"subtotal": 11}, customer_id="slow")
    people.poll()
    parked = people.bill({"subtotal": 900}, customer_id="large")
    people.poll()
    people.forget_calls()
    browser = as_person("vera")

    def found(query: str) -> set[str]:
        answer = browser.get(f"/bills?{query}")
        assert answer.status_code == 200
        return set(re.findall(r'href="/console/bills/default/([0-9a-f-]+)"', answer.text))

    assert {people.sync("bill", one).cause for one in (pushed, waiting, parked)} == {
        None, "no_pending_invoice", "amount_bound",
    }  # fmt: skip
    assert found("") == {pushed, waiting, parked}
    assert found("section=pushed") == {pushed}
    assert found("section=waiting") == found("about=slow") == found("about=sub-2") == {waiting}
    assert found("section=parked") == found("status=parked") == {parked}
    assert found("about=acme") == {pushed}
    assert found(f"about={invoice_id}") == {pushed}
    assert found(f"about={parked}") == {parked}
    assert found("about=large&section=parked&currency=usd") == {parked}
    assert found("currency=EUR") == found("section=late") == found("about=nothing") == set()
    with monkeypatch.context() as many:
        many.setattr(listing, "FEW", 0)
        assert (found("section=pushed"), found("currency=USD")) == ({pushed}, {pushed, waiting, parked})
        assert found("currency=EUR") == set()
    assert browser.get("/bills?section=lost").status_code == browser.get("/bills?currency=x").status_code == 400
    assert "1 bill: 11.00 USD" in text_of(browser.get("/bills?section=waiting")).replace(" ", " ")
    assert "The clock has not looked yet: what is left to do is not known." in text_of(
        browser.get("/bills?section=closing")
    )
    closing.watch(people.services)
    people.box.advance(timedelta(minutes=3))
    answer = browser.get("/bills?section=closing")
    soon = text_of(answer)
    assert answer.text.count("<tr") == 1 + len(closing.of_connection(people.services, "default"))
    assert "As the clock saw it at 2026-02-01 00:10:00 3 min ago" in soon
    assert "2026-02-04 00:00:00 in 2 d 23 h" in soon
    assert f"a person amount_bound not planned yet {parked}" in soon
    assert people.calls("chargebee") == people.calls("m3ter") == []
    listed = command(people, monkeypatch, "list", "--section", "waiting")
    assert [(one["bill_id"], one["bill_total"], one["currency"]) for one in listed["bills"]] == [(waiting, "11", "USD")]
    assert listed["sections"]["parked"] == {"bills": 1, "amounts": {"USD": "900"}, "unknown": 0}
    first = command(people, monkeypatch, "list", "--limit", "2")["bills"]
    rest = command(people, monkeypatch, "list", "--limit", "2", "--before", str(first[-1]["id"]))["bills"]
    newest = sorted([parked, waiting, pushed], key=lambda one: -people.sync("bill", one).id)
    assert [one["bill_id"] for one in first + rest] == newest
    people.box.advance(timedelta(days=8))
    people.work()
    assert people.sync("bill", waiting).cause in ("late_bill", "period_mismatch")
    browser.log_in("vera")
    assert found("section=late") == {waiting}
    assert found("section=waiting") == set()


def test_bills_of_a_connection_that_is_not_there_or_that_nobody_knows_are_not_found(
    people: World, as_person: Any
) -> None:
    browser = as_person("otto")
    known = "01234567-89ab-cdef-0123-456789abcdef"
    for path in (f"/bills/other/{known}", "/bills/default/nonsense", f"/bills/default/{known}/receipt.csv"):
        assert browser.get(path).status_code == 404
    assert browser.get(f"/bills/default/{known}/push").status_code == 409
