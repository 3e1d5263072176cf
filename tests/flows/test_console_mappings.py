"""Mapping in the console: from what stands still through the choice and what it would do to what goes on by itself."""

import csv
import html
import io
import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select
from werkzeug.test import TestResponse

from connector.cli import main
from connector.mappings import set_up
from connector.mappings.files import COLUMNS
from connector.models import AuditEntry, Mapping
from connector.remapping import proposals, rows
from tests.flows.browser import Browser, text_of
from tests.flows.conftest import CALLS_PRICE, FEE_PRICE, PRO, SCALE, SUPPORT, UNMAPPED, World

pytestmark = pytest.mark.alternate_databases

PAGE = "/mappings/default"


def keys(page: TestResponse) -> dict[str, str]:
    """What the form carries for each row with choices, by the id that the row is about."""
    found = {}
    for text in re.findall(r'name="row" value="([^"]*)"', page.text):
        key = html.unescape(text)
        cells = json.loads(key)
        found[cells[3] if cells[0] in ("", "Plan", "NotMetered") else cells[1]] = key
    return found


def offered(page: TestResponse, about: str) -> list[str]:
    """The values that can be chosen in the row that is about this."""
    _, _, rest = page.text.partition(html.escape(keys(page)[about], quote=True).replace("&quot;", "&#34;"))
    return re.findall(r'<option value="([^"]+)"', rest.partition("</select>")[0])


def choose(browser: Browser, page: TestResponse, choices: dict[str, str], **fields: str) -> TestResponse:
    """Choose in these rows of the page's table, and look at what that would do."""
    found = keys(page)
    chosen = {"row": [found[about] for about in choices], "to": list(choices.values())}
    return browser.post(f"{PAGE}/edit", {**chosen, **fields})  # type: ignore[dict-item]


def carried(browser: Browser, page: TestResponse, **fields: str) -> dict[str, str]:
    """What the button of a page that shows a change sends."""
    names = [one for one in ("wanted", "seen", "sync") if f'name="{one}"' in page.text]
    return {one: browser.hidden(page, one) for one in names} | fields


def press(browser: Browser, page: TestResponse, **fields: str) -> TestResponse:
    return browser.post(f"{PAGE}/save", carried(browser, page, **fields))


def said(world: World) -> set[tuple[str, str, str]]:
    """What people's mappings say."""
    with world.services.reading() as db:
        rows = db.scalars(select(Mapping).where(Mapping.made_by != "connector"))
        return {(row.m3ter_entity, row.m3ter_id, row.external_id) for row in rows}


def entries(world: World) -> list[tuple[str, str, str]]:
    """Who has changed which mapping, and how."""
    with world.services.reading() as db:
        found = db.scalars(select(AuditEntry).where(AuditEntry.action.startswith("mappings")).order_by(AuditEntry.id))
        return [(one.actor, one.action, one.subject) for one in found]


# From what stands still to what goes on


def test_parked_subscription_leads_to_its_price_and_goes_on_once_that_is_mapped(people: World, as_person: Any) -> None:
    people.sign_up(items=(UNMAPPED, SUPPORT))
    people.sign_up("other", "sub-2", items=(UNMAPPED,))
    people.settle()
    parked = people.sync("subscription", "sub-1")
    link = f'href="/console{PAGE}/unmapped?sync={parked.id}"'
    assert 'class="button primary"' not in as_person("vera").get(f"/syncs/{parked.id}").text
    browser = as_person("otto")
    page = browser.get(f"/syncs/{parked.id}")
    assert "Map this price …" in text_of(page)
    assert link in page.text
    page = browser.get(f"{PAGE}/unmapped?sync={parked.id}")
    assert list(keys(page)) == [UNMAPPED]
    assert set(offered(page, UNMAPPED)) == {
        rows.NOT_METERED_CHOICE,
        *(people.ids[one] for one in ("pro", "scale", "beta")),
    }
    shown = choose(browser, page, {UNMAPPED: people.ids["beta"]}, sync=str(parked.id))
    assert "2 subscription syncs that stand still are tried again by themselves" in text_of(shown)
    assert UNMAPPED not in {external_id for _, _, external_id in said(people)}
    answer = press(browser, shown)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/console/syncs/{parked.id}")
    page = browser.get(f"/syncs/{parked.id}")
    assert "1 mapping saved; 2 syncs are tried again now." in text_of(page)
    assert "Map this price" not in text_of(page)
    people.work()
    assert people.sync("subscription", "sub-1").status == people.sync("subscription", "sub-2").status == "succeeded"
    assert [plan for plan, _, _ in people.periods()] == ["beta"]
    assert entries(people) == [("web:otto", "mappings add", f"Plan {people.ids['beta']} → ItemPrice {UNMAPPED}")]


def test_parked_bill_shows_its_money_and_is_pushed_once_its_lines_are_mapped(people: World, as_person: Any) -> None:
    people.sign_up()
    people.settle()
    invoice = people.renew()
    fee = {"lineItemType": "STANDING_CHARGE", "description": "Platform fee", "aggregationId": None, "subtotal": "20.1"}
    people.bill({}, fee, fee | {"description": "Seats", "subtotal": 5})
    people.poll()
    [parked] = people.syncs(kind="bill")
    assert parked.cause == "unmapped_line"
    browser = as_person("otto")
    assert "Map these lines …" in text_of(browser.get(f"/syncs/{parked.id}"))
    page = browser.get(f"{PAGE}/unmapped")
    read = text_of(page)
    assert "1 bill waits for a mapping 35.10 USD wait on it" in read
    assert "Platform fee, Seats LineItemType STANDING_CHARGE 25.10 USD 35.10 USD" in read
    assert set(offered(page, "STANDING_CHARGE")) == {rows.AD_HOC_CHOICE, CALLS_PRICE, FEE_PRICE}
    people.forget_calls()
    shown = choose(browser, page, {"STANDING_CHARGE": FEE_PRICE})
    assert "1 bill sync that stands still is tried again by itself" in text_of(shown)
    assert "Of 1 bill that waits for a mapping, 1 would have every line mapped: 35.10 USD ." in text_of(shown)
    assert len(people.calls("m3ter")) + len(people.calls("chargebee")) < 10
    assert press(browser, shown).status_code == 303
    people.work()
    assert people.sync("bill", parked.subject).status == "succeeded"
    assert sorted(people.charges(invoice)) == sorted([(CALLS_PRICE, 1000), (FEE_PRICE, 2010), (FEE_PRICE, 500)])


def test_bill_of_nobodys_account_leads_to_the_form_that_names_its_customer(people: World, as_person: Any) -> None:
    people.sign_up()
    people.settle()
    people.renew()
    account = people.m3ter.create_account("theirs", "Theirs", emailAddress="t@example.test")
    people.bill({"childAccountId": account["id"]})
    people.poll()
    [parked] = people.syncs(kind="bill")
    assert parked.cause == "unknown_account"
    browser = as_person("otto")
    page = browser.get(f"{PAGE}/unmapped?sync={parked.id}")
    [link] = re.findall(r'href="/console(/mappings/default/new[^"]+)"', page.text)
    form = browser.get(html.unescape(link))
    assert f'value="{account["id"]}"' in form.text
    typed = {"m3ter_entity": "Account", "m3ter_id": account["id"], "external_table": "Customer"}
    wrong = browser.post(f"{PAGE}/new", typed | {"external_id": "nobody"})
    assert (wrong.status_code, "Chargebee has no customer of this id" in text_of(wrong)) == (422, True)
    assert 'id="fault-external_id"' in wrong.text
    people.chargebee.create_customer(id="their-id", company="Theirs", email="t@example.test")
    shown = browser.post(f"{PAGE}/new", typed | {"external_id": "their-id"})
    assert "1 bill sync that stands still is tried again by itself" in text_of(shown)
    assert press(browser, shown).status_code == 303
    assert ("Account", account["id"], "their-id") in said(people)


# Many at once, whole or not at all


def test_many_rows_are_saved_together_and_one_that_cannot_be_saves_none(people: World, as_person: Any) -> None:
    template = people.m3ter.create_plan_template(people.ids["product"], currency="EUR")
    euro = people.m3ter.create_plan(template["id"], "euro")["id"]
    chargebee = people.chargebee
    chargebee.settings.currencies = [*chargebee.settings.currencies, "EUR"]
    names = [f"extra-{number}" for number in range(12)]
    for name in names:
        chargebee.create_item_price(id=name, item_id="pro", currency_code="USD", price=100)
    browser = as_person("otto")
    page = browser.get(f"{PAGE}/unmapped")
    assert {*names, UNMAPPED} <= keys(page).keys()
    assert euro not in offered(page, names[0])
    before = said(people)
    choices = dict.fromkeys(names, people.ids["beta"])
    refused = choose(browser, page, choices | {names[3]: euro, UNMAPPED: rows.NOT_METERED_CHOICE})
    assert refused.status_code == 422
    assert "1 of 13 rows cannot be. Nothing is saved" in text_of(refused)
    assert "The m3ter plan is in EUR, the item price in USD." in text_of(refused)
    assert "Save" not in re.findall(r"<button[^>]*>([^<]*)", refused.text)
    wishes = _wishes(choices | {names[3]: euro})
    seen = proposals.propose(people.services, "default", wishes).fingerprint
    assert browser.post(f"{PAGE}/save", {"wanted": rows.to_text(wishes), "seen": seen}).status_code == 422
    assert said(people) == before
    shown = choose(browser, page, choices | {UNMAPPED: rows.NOT_METERED_CHOICE})
    assert press(browser, shown).status_code == 303
    expected = {("Plan", people.ids["beta"], name) for name in names} | {("NotMetered", "*", UNMAPPED)}
    assert said(people) - before == expected
    assert len(entries(people)) == 13


def _wishes(choices: dict[str, str]) -> list[rows.Wish]:
    wishes = [rows.chosen(rows.open_price(about), to) for about, to in choices.items()]
    return [one for one in wishes if one is not None]


def test_two_presses_save_once(people: World, as_person: Any) -> None:
    browsers = [as_person("otto"), as_person("ada")]
    sent = []
    for browser in browsers:
        page = browser.get(f"{PAGE}/unmapped")
        sent.append(carried(browser, choose(browser, page, {UNMAPPED: people.ids["beta"]})))
    start = threading.Barrier(2)
    answers: list[TestResponse] = []

    def go(browser: Browser, fields: dict[str, str]) -> None:
        start.wait()
        answers.append(browser.post(f"{PAGE}/save", fields))

    threads = [threading.Thread(target=go, args=pair) for pair in zip(browsers, sent, strict=True)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert {answer.status_code for answer in answers} <= {200, 303}
    again = browsers[0].post(f"{PAGE}/save", sent[0])
    assert again.status_code == 303
    assert "It is saved already" in text_of(browsers[0].get("/mappings"))
    assert len(entries(people)) == 1
    with people.services.reading() as db:
        assert len(db.scalars(select(Mapping).where(Mapping.external_id == UNMAPPED)).all()) == 1


def test_change_of_somebody_else_is_shown_and_never_overwritten_unseen(people: World, as_person: Any) -> None:
    browser = as_person("otto")
    table = browser.get(f"{PAGE}/edit")
    people.map("Plan", people.ids["beta"], SCALE)
    shown = choose(browser, table, {SCALE: people.ids["pro"]})
    assert "Somebody has changed this since you opened the table" in text_of(shown)
    people.map("NotMetered", "*", SCALE)
    again = press(browser, shown)
    assert again.status_code == 200
    assert "This has changed since you looked" in text_of(again)
    assert ("NotMetered", "*", SCALE) in said(people)
    assert press(browser, again).status_code == 303
    assert ("Plan", people.ids["pro"], SCALE) in said(people)
    assert entries(people) == [("web:otto", "mappings change", f"Plan {people.ids['pro']} → ItemPrice {SCALE}")]


def test_change_of_somebody_else_between_the_check_and_the_saving_is_not_overwritten(
    people: World, as_person: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, take_back = as_person("otto"), set_up.take_back

    def while_m3ter_is_asked(*arguments: Any) -> None:
        monkeypatch.setattr(set_up, "take_back", take_back)
        people.map("NotMetered", "*", SCALE)
        take_back(*arguments)

    shown = choose(browser, browser.get(f"{PAGE}/edit"), {SCALE: people.ids["pro"]})
    monkeypatch.setattr(set_up, "take_back", while_m3ter_is_asked)
    again = press(browser, shown)
    assert (again.status_code, "This has changed since you looked" in text_of(again)) == (200, True)
    assert ("NotMetered", "*", SCALE) in said(people)
    assert entries(people) == []


# What has been metered


def test_another_plan_for_what_is_metered_names_the_account_plans_and_has_to_be_meant(
    people: World, as_person: Any
) -> None:
    people.sign_up()
    people.settle()
    browser = as_person("otto")
    table = browser.get(f"{PAGE}/edit")
    shown = choose(browser, table, {PRO: people.ids["scale"], SCALE: rows.REMOVE_CHOICE})
    read = text_of(shown)
    assert "1 standing account plan gets another plan, or none" in read
    assert f"sub-1 {PRO} 2026-01-01 00:00:00 open pro {people.ids['pro']} scale {people.ids['scale']}" in read
    assert "1 subscription that ever had such an item is compared again" in read
    assert "This speaks against it" in read
    unmeant = press(browser, shown, reason="not sold")
    assert (unmeant.status_code, "Say that you mean it" in text_of(unmeant)) == (422, True)
    unsaid = press(browser, shown, meant="yes")
    assert (unsaid.status_code, "Say why a mapping goes" in text_of(unsaid)) == (422, True)
    assert {("Plan", people.ids["pro"], PRO), ("Plan", people.ids["scale"], SCALE)} <= said(people)
    dated = browser.post(
        f"{PAGE}/new",
        {"m3ter_entity": "Plan", "m3ter_id": people.ids["scale"], "external_table": "ItemPrice", "external_id": PRO,
         "valid_from": "2026-02-01"},
    )  # fmt: skip
    assert "This speaks against it" not in text_of(dated)
    assert press(browser, dated).status_code == 303
    people.work()
    assert [(plan, start[:10]) for plan, start, _ in people.periods()] == [
        ("pro", "2026-01-01"),
        ("scale", "2026-02-01"),
    ]
    gone = choose(browser, browser.get(f"{PAGE}/edit"), {SCALE: rows.REMOVE_CHOICE})
    assert press(browser, gone, reason="not sold").status_code == 303
    assert SCALE not in {external_id for _, _, external_id in said(people)}
    # What had the item is looked at again at once, and stands still for want of it.
    gone = choose(browser, browser.get(f"{PAGE}/edit"), {PRO: rows.REMOVE_CHOICE})
    assert press(browser, gone, reason="not sold", meant="yes").status_code == 303
    people.work()
    row = people.sync("subscription", "sub-1")
    assert (row.status, row.cause) == ("parked", "unmapped_item_price")
    with people.services.reading() as db:
        notes = db.scalars(select(AuditEntry).where(AuditEntry.action == "mappings remove")).all()
    assert [note.detail for note in notes] == [{"reason": "not sold"}] * 2


# Files


def test_file_with_an_error_says_its_line_and_column_and_changes_nothing(people: World, as_person: Any) -> None:
    browser = as_person("otto")
    before = said(people)
    head = ",".join(COLUMNS)
    good = f"Plan,{people.ids['beta']},ItemPrice,{UNMAPPED},,,,"
    browser.get(f"{PAGE}/import")
    for line, column, why in (
        (f"Plan,{people.ids['pro']},ItemPrice,{PRO},,,tomorrow,", "valid_from", "'tomorrow' is neither a day"),
        (
            f"Plan,{people.ids['pro']},ItemPrice,no-such-price,,,,",
            "external_id",
            "Chargebee has no item price of this id",
        ),
        (f"Plan,,ItemPrice,{PRO},,,,", "m3ter_id", "The cell is empty"),
    ):
        text = f"{head}\n{good}\n{line}\n"
        answer = browser.post(f"{PAGE}/import", {"file": (io.BytesIO(text.encode()), "m.csv")})  # type: ignore[dict-item]
        assert answer.status_code == 422
        assert re.search(rf"One cell is wrong.* 3 {column} .*{why}", text_of(answer)), text_of(answer)
    for text in ("a,b\n1,2\n", "", "\x00", "m3ter_entity"):
        assert browser.post(f"{PAGE}/import", {"text": text}).status_code == 422
    latin = browser.post(f"{PAGE}/import", {"file": (io.BytesIO("Ä".encode("latin-1")), "m.csv")})  # type: ignore[dict-item]
    assert "the file is not UTF-8" in latin.text.replace("The", "the")
    assert said(people) == before
    assert entries(people) == []


def test_file_is_shown_applied_and_exported_again_the_same(people: World, as_person: Any) -> None:
    browser = as_person("otto")
    with people.services.transaction() as db:
        db.add(
            Mapping(
                connection="default", m3ter_entity="Plan", m3ter_id=people.ids["beta"], external_system="Chargebee",
                external_table="ItemPrice", external_id="=cmd|' /C calc'!A0", made_by="test", created_at=people.services.now(),
            )
        )  # fmt: skip
    first = browser.get(f"{PAGE}/mappings.csv")
    assert first.headers["Content-Disposition"] == "attachment; filename=mappings-default.csv"
    lines = list(csv.DictReader(io.StringIO(first.text)))
    assert [one["external_id"] for one in lines][-1] == "'=cmd|' /C calc'!A0"
    lines = [one for one in lines[:-1] if one["external_id"] != SUPPORT]
    lines[1]["m3ter_id"] = people.ids["beta"]
    lines.append(dict.fromkeys(COLUMNS, "") | {
        "m3ter_entity": "LineItemType", "m3ter_id": "STANDING_CHARGE", "external_table": "ItemPrice",
        "external_id": FEE_PRICE, "currency": "USD",
    })  # fmt: skip
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(lines)
    browser.get(f"{PAGE}/import")
    shown = browser.post(f"{PAGE}/import", {"text": out.getvalue(), "rest": "remove"})
    read = text_of(shown)
    assert "Save 4 mappings?" in read
    assert re.findall(r"<td>(add|change|remove)", shown.text) == ["change", "add", "remove", "remove"]
    assert "change line 3" in read
    assert press(browser, shown, reason="the new catalogue").status_code == 303
    again = browser.get(f"{PAGE}/mappings.csv").text
    assert list(csv.DictReader(io.StringIO(again))) == lines
    browser.get(f"{PAGE}/import")
    nothing = browser.post(f"{PAGE}/import", {"text": again, "rest": "remove"})
    assert "All 4 rows say what is mapped already" in text_of(nothing)


# The same at the command line


def test_commands_say_what_waits_and_what_a_change_would_do(
    people: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("connector.cli.mappings.wire", lambda: people.services)

    def run(*words: str) -> Any:
        result = CliRunner().invoke(main, ["mappings", *words, "--json"])
        return json.loads(result.stdout) | {"exit_status": result.exit_code}

    people.sign_up(items=(PRO,))
    people.sign_up("other", "sub-2", items=(UNMAPPED,))
    people.settle()
    people.renew()
    people.bill({"lineItemType": "STANDING_CHARGE", "aggregationId": None, "subtotal": "20.1"})
    people.poll()
    found = run("unmapped")
    assert [(one["item_price_id"], one["subscriptions"]) for one in found["item_prices"]] == [(UNMAPPED, ["sub-2"])]
    [lines] = found["lines"]
    assert (lines["m3ter_id"], lines["amount"], lines["bills_total"], lines["currency"]) == (
        "STANDING_CHARGE", "20.10", "20.10", "USD",
    )  # fmt: skip
    assert found["bills"]["totals"] == {"USD": "20.10"}
    text = CliRunner().invoke(main, ["mappings", "unmapped"]).stdout
    assert "1 bill(s) wait for a mapping; 20.10 USD wait on them." in text
    before = said(people)
    fee = ("LineItemType", "STANDING_CHARGE", "ItemPrice", FEE_PRICE)
    impact = run("add", *fee, "--impact")
    assert (impact["money_freed"], impact["goes_on"], impact["exit_status"]) == ({"USD": "20.10"}, {"bill": 1}, 0)
    assert run("add", "LineItemType", "STANDING_CHARGE", "ItemPrice", PRO, "--impact")["exit_status"] == 1
    moved = run("remove", "Plan", people.ids["pro"], "ItemPrice", PRO, "--reason", "x", "--impact")
    assert [(one["subscription"], one["after"]) for one in moved["account_plans"]] == [("sub-1", [])]
    assert len(moved["against"]) == 1
    file = tmp_path / "mappings.csv"
    file.write_text(f"m3ter_entity,m3ter_id,external_table,external_id\n{','.join(fee)}\n")
    refused = run("import", str(file), "--remove-rest", "--reason", "anew")
    assert (refused["exit_status"], "--rewrite" in refused["error"]) == (1, True)
    assert run("import", str(file), "--remove-rest")["exit_status"] == 1
    assert said(people) == before
    assert run("import", str(file), "--remove-rest", "--reason", "anew", "--rewrite")["changed"] == 5
    assert {(one, two, three) for one, two, _, three in [fee]} == said(people)


# Looking


def test_viewer_sees_all_of_it_and_has_no_forms(people: World, as_person: Any) -> None:
    people.sign_up()
    people.sign_up("other", "sub-2", items=(UNMAPPED,))
    people.settle()
    viewer = as_person("vera")
    parked = people.sync("subscription", "sub-2")
    for page in ("/mappings", f"{PAGE}/unmapped", f"{PAGE}/unmapped?sync={parked.id}"):
        answer = viewer.get(page)
        assert answer.status_code == 200
        assert re.findall(r'<form method="post" action="([^"]+)"', answer.text) == ["/console/logout"]
        assert 'name="to"' not in answer.text
    assert UNMAPPED in viewer.get(f"{PAGE}/unmapped").text
    assert viewer.get(f"{PAGE}/edit").status_code == viewer.post(f"{PAGE}/save").status_code == 403
    # The connector's own rows, by either side's id.
    [plan] = people.plans()
    for about in ("sub-1", plan["id"], f"sub-1 - {PRO}"):
        assert f"sub-1 - {PRO}" in text_of(viewer.get(f"/mappings?kind=subscriptions&about={about}"))
    assert "There is none like this" in text_of(viewer.get("/mappings?kind=subscriptions&about=sub-9"))
    assert SUPPORT in text_of(viewer.get("/mappings?about=support&kind=item prices"))
    assert CALLS_PRICE not in text_of(viewer.get("/mappings?about=support"))
    assert (
        viewer.get("/mappings/other/unmapped").status_code
        == viewer.get("/mappings/other/mappings.csv").status_code
        == 404
    )


def test_provider_that_is_away_leaves_a_page_on_which_ids_can_be_typed(people: World, as_person: Any) -> None:
    people.sign_up(items=(UNMAPPED,))
    people.settle()
    browser = as_person("otto")
    for provider, operation in (("m3ter", "list_plans"), ("chargebee", "list_item_prices")):
        people.box.faults.order(provider, operation, "status", count=50, status=503)
    page = browser.get(f"{PAGE}/unmapped")
    assert page.status_code == 200
    assert "m3ter cannot be asked now" in text_of(page)
    assert "Chargebee cannot be asked now" in text_of(page)
    assert browser.get(f"{PAGE}/edit").status_code == 200
    shown = choose(browser, page, {UNMAPPED: people.ids["beta"]})
    people.box.faults.order("chargebee", "retrieve_item_price", "status", count=50, status=503)
    assert press(browser, shown).status_code == 409
    assert UNMAPPED not in {external_id for _, _, external_id in said(people)}
    # What could not be read is asked for again at the next look.
    people.box.faults.clear()
    assert people.ids["beta"] in offered(browser.get(f"{PAGE}/unmapped"), UNMAPPED)
    parked = people.sync("subscription", "sub-1")
    assert "Map this price" in text_of(browser.get(f"/syncs/{parked.id}"))
    browser.post(f"/syncs/{parked.id}/skip", {"reason": "not a customer any more"})
    page = text_of(browser.get(f"/syncs/{parked.id}"))
    assert ("superseded" in page, "Map this price" in page) == (True, False)


def test_what_m3ter_shows_and_is_not_here_is_compared_and_taken_back(people: World, as_person: Any) -> None:
    people.sign_up(items=(UNMAPPED,))
    people.settle()
    shown = {"externalSystem": "Chargebee", "externalTable": "ItemPrice", "externalId": UNMAPPED}
    people.m3ter.create("external_mappings", {"m3terEntity": "Plan", "m3terId": people.ids["beta"], **shown})
    browser = as_person("otto")
    page = browser.get(f"{PAGE}/pull")
    assert f"Plan {people.ids['beta']} → ItemPrice {UNMAPPED}" in text_of(page)
    seen = browser.hidden(page, "seen")
    assert browser.post(f"{PAGE}/pull", {"seen": "x"}).status_code == 200
    assert browser.post(f"{PAGE}/pull", {"seen": seen}).status_code == 303
    assert ("Plan", people.ids["beta"], UNMAPPED) in said(people)
    people.work()
    assert people.sync("subscription", "sub-1").status == "succeeded"
    assert "There is nothing to take" in text_of(browser.get(f"{PAGE}/pull"))
