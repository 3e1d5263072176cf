"""What people do at the console, in Chromium: they look for what failed, and put it right."""

import json
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import FilePayload, expect
from sqlalchemy import select

from connector.mappings.files import COLUMNS
from connector.models import AuditEntry, Mapping, Sync
from connector.services import Services
from tests.browser import axe
from tests.browser.conftest import Open
from tests.flows.conftest import CALLS_PRICE, PRO, UNMAPPED, World

pytestmark = pytest.mark.alternate_databases


@pytest.fixture
def failed(people: World) -> World:
    """Three customers whose account plans m3ter has refused once, each for the same cause."""
    people.box.faults.order("m3ter", "create_account_plan", "status", count=3, status=400)
    for number in range(3):
        people.sign_up(f"c-{number}", f"s-{number}")
    people.settle()
    assert statuses(people) == ["parked"] * 3
    return people


def statuses(world: World) -> list[str]:
    return [row.status for row in world.syncs(kind="subscription")]


def first(world: World) -> Sync:
    return world.sync("subscription", "s-0")


def retries(world: World) -> list[str]:
    """What became of each press of a retry button."""
    with world.services.reading() as db:
        found = db.scalars(select(AuditEntry).where(AuditEntry.action == "syncs retry").order_by(AuditEntry.id))
        return [one.detail["became"] for one in found]


def test_failed_sync_is_found_through_the_overview_retried_and_seen_to_succeed(failed: World, visitor: Open) -> None:
    otto = visitor("otto")
    expect(otto.page.get_by_role("heading", level=1)).to_be_visible()
    otto.page.get_by_role("region", name="Causes").get_by_role("link", name="3", exact=True).click()
    otto.follow(str(first(failed).id))
    expect(otto.page.locator("h1")).to_contain_text("parked")
    expect(otto.page.locator(".why")).to_contain_text("Next step:")
    otto.press("Retry")
    expect(otto.page.get_by_role("status")).to_have_text(f"Sync {first(failed).id} is queued.")
    failed.work()
    otto.page.reload()
    expect(otto.page.locator("h1")).to_contain_text("succeeded")
    expect(otto.page.locator(".try[open]")).to_contain_text("POST")
    assert len(failed.plans("c-0")) == 1
    assert statuses(failed) == ["succeeded", "parked", "parked"]


def test_all_of_one_cause_are_retried_after_a_page_that_counts_them(failed: World, visitor: Open) -> None:
    otto = visitor("otto")
    otto.page.get_by_role("region", name="Causes").get_by_role("link", name="3", exact=True).click()
    otto.follow("Retry all of these …")
    expect(otto.page.get_by_role("heading", level=1)).to_have_text("Retry 3 syncs?")
    assert statuses(failed) == ["parked"] * 3, "looking changes nothing"
    otto.press("Retry 3")
    expect(otto.page.get_by_role("status")).to_have_text("3 syncs are queued.")
    failed.work()
    assert statuses(failed) == ["succeeded"] * 3
    assert len(failed.m3ter.account_plans) == 3


def test_double_click_runs_it_once(failed: World, visitor: Open) -> None:
    otto = visitor("otto")
    row = first(failed)
    other_tab = otto.page.context.new_page()
    other_tab.goto(f"{otto.home}/syncs/{row.id}")
    otto.go(f"/syncs/{row.id}")
    expect(otto.page.get_by_role("status")).to_have_count(0)
    # The second click calls off the first, or the answer to it, or comes after it: either may be what is shown.
    otto.page.get_by_role("button", name="Retry", exact=True).dblclick()
    expect(otto.page.get_by_role("status").first).to_be_visible()
    # A page that was opened before surely sends a second one.
    other_tab.get_by_role("button", name="Retry", exact=True).click()
    expect(other_tab.get_by_role("status").first).to_contain_text("already")
    failed.work()
    assert first(failed).runs == row.runs + 1
    assert retries(failed).count("queued") == 1
    assert len(failed.plans("c-0")) == 1


def test_money_moves_only_after_a_page_with_its_amount(people: World, visitor: Open) -> None:
    people.box.faults.order("chargebee", "add_charge_item", "status", count=20, status=400)
    people.sign_up()
    people.settle()
    invoice = people.renew()
    bill = people.bill({"subtotal": 10}, {"subtotal": 20, "description": "More"})
    people.poll()
    people.box.faults.clear()
    otto = visitor("otto")
    otto.go(f"/syncs?about={bill}")
    otto.follow(str(people.sync("bill", bill).id))
    otto.follow("Retry …")
    expect(otto.page.locator("main")).to_contain_text("30.00\xa0USD")
    assert people.charges(invoice) == []
    otto.press("Retry and send 30.00\xa0USD")
    people.work()
    assert sorted(people.charges(invoice)) == [(CALLS_PRICE, 1000), (CALLS_PRICE, 2000)]


def plan_of(world: World, item_price_id: str) -> list[str]:
    """The m3ter plans to which the item price is mapped."""
    with world.services.reading() as db:
        return list(db.scalars(select(Mapping.m3ter_id).filter_by(m3ter_entity="Plan", external_id=item_price_id)))


def test_price_that_a_failed_sync_names_is_mapped_and_the_sync_is_seen_to_succeed(people: World, visitor: Open) -> None:
    people.sign_up(items=(UNMAPPED,))
    people.settle()
    parked = people.sync("subscription", "sub-1")
    otto = visitor("otto")
    otto.page.get_by_role("region", name="Causes").get_by_role("link", name="1", exact=True).click()
    otto.follow(str(parked.id))
    expect(otto.page.locator(".why")).to_contain_text(UNMAPPED)
    otto.follow("Map this price …")
    otto.page.get_by_label(f"m3ter plan of {UNMAPPED}").select_option(people.ids["beta"])
    otto.press("Look at what that does …")
    expect(otto.page.locator("h1")).to_have_text("Save 1 mapping?")
    expect(otto.page.locator("main")).to_contain_text("1 subscription sync that stands still is tried again by itself.")
    assert plan_of(people, UNMAPPED) == [], "looking saves nothing"
    otto.press("Save 1")
    expect(otto.page.get_by_role("status")).to_have_text("1 mapping saved; 1 sync is tried again now.")
    expect(otto.page).to_have_url(f"{otto.home}/syncs/{parked.id}")
    people.work()
    otto.page.reload()
    expect(otto.page.locator("h1")).to_contain_text("succeeded")
    assert plan_of(people, UNMAPPED) == [people.ids["beta"]]
    assert people.periods() == [("beta", "2026-01-01T00:00:00Z", None)]


def test_bill_is_pushed_from_its_page_and_its_receipt_says_the_same_as_the_invoice(
    people: World, visitor: Open, make_services: Callable[..., Services]
) -> None:
    people.services = make_services(MAX_BILL_AMOUNT="1000")
    people.sign_up()
    people.settle()
    invoice = people.renew()
    bill = people.bill({"subtotal": "1234.56"}, {"subtotal": "20.1", "description": "More"})
    people.poll()
    otto = visitor("otto")
    otto.follow("Bills")
    otto.follow(bill)
    expect(otto.page.locator("h1")).to_contain_text("parked")
    expect(otto.page.locator("main")).to_contain_text("Nothing of it has been sent.")
    otto.follow("Push …")
    expect(otto.page.locator("main")).to_contain_text("1,254.66\xa0USD")
    assert people.charges(invoice) == [], "looking sends nothing"
    otto.press("Push and send 1,254.66\xa0USD")
    expect(otto.page.get_by_role("status")).to_contain_text("on its way")
    people.work()
    otto.page.reload()
    expect(otto.page.locator("h1")).to_contain_text("succeeded")
    expect(otto.page.get_by_role("heading", name="Bill beside invoices")).to_contain_text("equal")
    expect(otto.page.locator("ul.cards strong")).to_have_text(["1,254.66\xa0USD"] * 2)
    assert people.charges(invoice) == [(CALLS_PRICE, 123456), (CALLS_PRICE, 2010)]
    with otto.page.expect_download() as taken:
        otto.follow("JSON")
    receipt = json.loads(taken.value.path().read_text())["now"]
    assert (receipt["bill_total"], receipt["invoice_total_added"]) == ("1254.66", "1254.66")
    # What has been sent is not sent once more.
    otto.follow("Push …")
    expect(otto.page.locator("main")).to_contain_text("Nothing would be sent.")


def test_file_with_an_error_changes_nothing_and_is_applied_once_it_is_mended(people: World, visitor: Open) -> None:
    otto = visitor("otto")
    otto.follow("Mappings")
    otto.follow("Import CSV …")
    good = f"Plan,{people.ids['beta']},ItemPrice,{UNMAPPED},,,,"
    wrong = f"Plan,{people.ids['scale']},ItemPrice,{PRO},,,tomorrow,"
    text = "\n".join((",".join(COLUMNS), good, wrong, ""))
    file: FilePayload = {"name": "mappings.csv", "mimeType": "text/csv", "buffer": text.encode()}
    otto.page.get_by_label("A CSV file").set_input_files(file)
    otto.press("Look at what that does …")
    expect(otto.page.get_by_role("alert")).to_contain_text("One cell is wrong. Nothing was changed")
    [cells] = [row.locator("td").all_inner_texts() for row in otto.page.locator("tbody tr").all()]
    assert cells[:2] == ["3", "valid_from"]
    assert "tomorrow" in cells[3]
    expect(otto.page.get_by_role("button", name=re.compile("Save"))).to_have_count(0)
    assert (plan_of(people, UNMAPPED), plan_of(people, PRO)) == ([], [people.ids["pro"]])
    # The page still has the text; it is mended there.
    pasted = otto.page.get_by_label("Or its text")
    expect(pasted).to_have_value(text)
    pasted.fill(text.replace("tomorrow", "2026-03-01"))
    otto.press("Look at what that does …")
    expect(otto.page.locator("h1")).to_have_text("Save 2 mappings?")
    otto.press("Save 2")
    expect(otto.page.get_by_role("status")).to_have_text("2 mappings saved; no sync had waited.")
    assert plan_of(people, UNMAPPED) == [people.ids["beta"]]
    assert set(plan_of(people, PRO)) == {people.ids["pro"], people.ids["scale"]}


def test_customer_is_found_by_company_from_the_search_box_and_no_address_holds_it(people: World, visitor: Open) -> None:
    people.sign_up()
    people.settle()
    people.chargebee.create_customer(id="c-2", company="acme Labs")
    otto = visitor("otto")
    axe.bring(otto.page.context)
    asked: list[str] = []
    otto.page.on("request", lambda request: asked.append(request.url))
    otto.page.get_by_placeholder("Any id or name").fill("acme L")
    otto.page.keyboard.press("Enter")
    expect(otto.page.get_by_text("not known to the connector yet")).to_be_visible()
    assert axe.serious(otto.page) == []
    otto.follow("acme")
    expect(otto.page.get_by_role("heading", name="Customer acme")).to_be_visible()
    assert not any("acme%20L" in one or "acme+L" in one for one in asked)
    # An id goes straight to its page.
    otto.go("/")
    otto.page.get_by_placeholder("Any id or name").fill("sub-1")
    otto.page.keyboard.press("Enter")
    expect(otto.page.get_by_role("heading", name="Customer acme")).to_be_visible()


def test_viewer_sees_mappings_bills_customers_and_alerts_without_a_button(people: World, visitor: Open) -> None:
    people.sign_up()
    people.sign_up("other", "sub-2", items=(UNMAPPED,))
    people.settle()
    people.renew()
    bill = people.bill()
    people.poll()
    parked = people.sync("subscription", "sub-2")
    vera = visitor("vera")
    for path in (
        f"/syncs/{parked.id}", f"/mappings/default/unmapped?sync={parked.id}", "/mappings", "/bills",
        f"/bills/default/{bill}", "/customers/default/acme", "/balances", "/alerts",
    ):  # fmt: skip
        assert vera.go(path) == 200
        assert vera.page.locator("form[method=post] button").all_inner_texts() == ["Log out"], path
        assert [one for one in vera.page.locator("main a").all_inner_texts() if one.endswith("…")] == [], path
    for path in (
        f"/bills/default/{bill}/push",
        "/mappings/default/edit",
        "/mappings/default/import",
        "/users",
        "/tokens",
    ):
        assert vera.go(path) == 403, path


def test_viewer_has_no_buttons_and_a_forged_form_of_theirs_is_refused(failed: World, visitor: Open) -> None:
    vera = visitor("vera")
    for path in (f"/syncs/{first(failed).id}", "/syncs?status=parked", "/events/1", "/connections"):
        assert vera.go(path) == 200
        assert vera.page.locator("form[method=post] button").all_inner_texts() == ["Log out"]
    token = vera.page.locator("input[name=csrf]").first.input_value()
    for path in (f"/syncs/{first(failed).id}/retry", f"/syncs/{first(failed).id}/skip", "/connections/default/pause"):
        answer = vera.page.request.post(
            vera.home + path, form={"csrf": token, "reason": "x", "what": "all"}, max_redirects=0
        )
        assert answer.status == 403, path
    failed.work()
    assert statuses(failed) == ["parked"] * 3
    assert retries(failed) == []


def test_form_on_another_site_does_nothing_in_the_name_of_who_is_logged_in(failed: World, visitor: Open) -> None:
    otto = visitor("otto")
    form = f'<form method="post" action="{otto.home}/syncs/{first(failed).id}/retry"><button>Win</button></form>'
    otto.page.route("http://evil.example/", lambda route: route.fulfill(body=form, content_type="text/html"))
    otto.page.goto("http://evil.example/")
    with otto.page.expect_response(re.compile("/retry$")) as sent:
        otto.press("Win")
    assert sent.value.status == 400
    assert retries(failed) == []


def test_keyboard_alone_is_enough(failed: World, visitor: Open) -> None:
    otto = visitor()
    otto.go("/login")
    keys = otto.page.keyboard
    otto.page.get_by_label("Name").focus()
    keys.type("otto")
    keys.press("Tab")
    keys.type("correct horse battery")
    keys.press("Tab")
    expect(otto.page.get_by_role("button", name="Log in")).to_be_focused()
    keys.press("Enter")
    expect(otto.page).to_have_url(f"{otto.home}/")

    otto.go(f"/syncs/{first(failed).id}")
    keys.press("Tab")
    skip = otto.page.get_by_role("link", name="Skip to content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    keys.press("Enter")
    expect(otto.page.locator("main")).to_be_focused()
    reached = []
    for _ in range(12):
        keys.press("Tab")
        focused = otto.page.locator(":focus")
        assert focused.evaluate("one => getComputedStyle(one).outlineStyle") == "solid", "it is seen where one is"
        reached.append(focused.inner_text().strip())
        if reached[-1] == "Retry":
            break
    assert reached[0] == "Syncs"
    assert reached[-1] == "Retry"
    keys.press("Enter")
    expect(otto.page.get_by_role("status")).to_have_text(f"Sync {first(failed).id} is queued.")


def test_console_works_without_scripts(failed: World, visitor: Open) -> None:
    otto = visitor("otto", java_script_enabled=False)
    assert otto.page.locator("script").count() == 0
    otto.follow("Syncs")
    otto.page.get_by_label("State").select_option("parked")
    otto.press("Filter")
    expect(otto.page.locator("tbody tr")).to_have_count(3)
    otto.follow(str(first(failed).id))
    otto.page.get_by_text("Skip", exact=True).click()
    otto.page.get_by_label("Why it need not be done").fill("not a customer any more")
    otto.press("Close without doing it")
    expect(otto.page.locator("h1")).to_contain_text("superseded")
    assert statuses(failed) == ["superseded", "parked", "parked"]
