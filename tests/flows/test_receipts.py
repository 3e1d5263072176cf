"""Bills as a finance person reads them: the receipt as a document, as CSV and as a page, one bill on one screen, and the list."""

import csv
import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import delete, update

from connector.bills import receipts
from connector.cli import main
from connector.models import SeenBill
from connector.services import Services
from tests.flows.conftest import CALLS_PRICE, World

pytestmark = pytest.mark.alternate_databases

Command = Callable[..., Result]
Make = Callable[..., Services]


@pytest.fixture
def bills(world: World, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `connector bills …` with this world's services."""
    monkeypatch.setattr("connector.cli.bills.wire", lambda: world.services)
    return lambda *words: CliRunner().invoke(main, ["bills", *words])


def document(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def text(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def renewed(world: World) -> World:
    """A subscription with its pending renewal invoice."""
    world.sign_up()
    world.settle()
    world.renew()
    return world


def draft(world: World) -> str:
    [invoice] = world.chargebee.pending_invoices("sub-1")
    return str(invoice["id"])


def drawn(subtotal: Any, **difference: Any) -> dict[str, Any]:
    return {"lineItemType": "BALANCE_CONSUMED", "description": "Prepaid credit used", "subtotal": subtotal} | difference


@pytest.fixture
def netted(renewed: World) -> str:
    """A pushed bill of two lines, one taken off the other, whose invoice has got its final id."""
    bill_id = renewed.bill({"subtotal": Decimal("10.004")}, drawn(Decimal("-4.504")), {"subtotal": 0})
    renewed.poll()
    renewed.chargebee.close_invoice(draft(renewed))
    renewed.settle()
    return bill_id


def final_id(world: World) -> str:
    [invoice] = [one for one in world.chargebee.invoices.values() if one.get("total") == 9900 + 550]
    assert not str(invoice["id"]).startswith("draft")
    return str(invoice["id"])


def rows(result: Result) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text(result), newline="")))


# The receipt


def test_the_receipt_is_the_stored_one_with_its_hash_and_with_the_final_invoice(
    world: World, bills: Command, netted: str
) -> None:
    found = document(bills("receipt", netted, "--json"))
    [stored] = world.receipts()
    assert found["receipt"] == stored
    assert found["sha256"] == hashlib.sha256(json.dumps(found["receipt"], sort_keys=True).encode()).hexdigest()
    assert found["now"]["invoices"] == [final_id(world)]
    assert {one["final_invoice_id"] for line in found["now"]["lines"] for one in line["charges"]} == {final_id(world)}


def test_the_csv_has_a_row_for_each_line_and_charge_and_adds_up(world: World, bills: Command, netted: str) -> None:
    found = rows(bills("receipt", netted, "--csv"))
    line_id = next(one["id"] for one in world.chargebee.invoices[final_id(world)]["line_items"] if one["amount"] == 550)
    charge = {
        "bill": netted, "currency": "USD", "charge": "API calls", "charge_amount": "5.50", "item_price": CALLS_PRICE,
        "invoice": final_id(world), "chargebee_line": line_id, "date_from": "2026-01-01T00:00:00+00:00",
        "date_to": "2026-02-01T00:00:00+00:00", "found_by": "answer",
    }  # fmt: skip
    usage = {"line_type": "USAGE", "description": "API calls"}
    credit = {"line_type": "BALANCE_CONSUMED", "description": "Prepaid credit used"}
    assert found == [
        charge | usage | {"exact": "10.004", "amount": "10.00", "how": "charged", "part": "10.00"},
        charge | credit | {"exact": "-4.504", "amount": "-4.50", "how": "netted into", "part": "-4.50"},
        dict.fromkeys(receipts.COLUMNS, "") | usage | {
            "bill": netted, "currency": "USD", "exact": "0", "amount": "0.00", "how": "nothing to charge",
        },
    ]  # fmt: skip
    assert list(found[0]) == list(receipts.COLUMNS)
    assert sum(Decimal(one["part"] or 0) for one in found) == Decimal("5.50")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "'", "\t", "\r"])
def test_no_text_of_the_csv_starts_a_formula_and_amounts_stay_numbers(start: str) -> None:
    charge = {
        "kind": "charge_item", "amount": "-1.00", "of": "2.00", "item_price_id": "a", "description": f"{start}cmd",
        "final_invoice_id": None, "invoice_id": "b", "chargebee_line_id": "c", "date_from": "d", "date_to": "e",
        "found_by": "f",
    }  # fmt: skip
    line = {
        "line_type": "USAGE", "description": f"{start}2+3", "exact": "-1", "amount": "-1.00", "charges": [charge],
    }  # fmt: skip
    made = receipts.to_csv({"bill_id": "x", "currency": "USD", "lines": [line]})
    [row] = csv.DictReader(io.StringIO(made, newline=""))
    assert (row["description"], row["charge"]) == (f"'{start}2+3", f"'{start}cmd")
    assert (row["exact"], row["amount"], row["part"], row["charge_amount"]) == ("-1", "-1.00", "-1.00", "2.00")


def test_a_long_line_is_not_broken_on_standard_output(renewed: World, bills: Command, tmp_path: Path) -> None:
    bill_id = renewed.bill({"description": "x" * 240})
    renewed.poll()
    printed = text(bills("receipt", bill_id, "--csv"))
    assert len(printed.splitlines()) == 2
    file = tmp_path / "receipt.csv"
    assert text(bills("receipt", bill_id, "--csv", "--file", str(file))).replace("\n", "") == f"Written to {file}."
    assert file.read_bytes().decode() == printed.replace("\n", "\r\n")
    assert document(bills("receipt", bill_id, "--csv", "--json")) == {"csv": file.read_bytes().decode()}


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts += [data.strip()] if data.strip() else []


def test_the_page_begins_with_both_totals_and_says_what_was_netted_into_what(
    world: World, bills: Command, netted: str
) -> None:
    page = Page(text(bills("receipt", netted, "--page")))
    body = page.texts[page.texts.index("Bill in m3ter") :]
    assert body[:6] == ["Bill in m3ter", "5.50 USD", "exactly 5.500", "Added in Chargebee", "5.50 USD", "equal"]
    assert body[6:8] == ["Invoices", final_id(world)]
    at = body.index("Prepaid credit used")
    assert body[at : at + 8] == [
        "Prepaid credit used", "-4.504", "-4.50", "netted into", "-4.50", "API calls", "5.50", CALLS_PRICE,
    ]  # fmt: skip
    with world.services.reading() as db:
        stored = receipts.latest(db, "default", netted)
    assert stored is not None
    assert stored.sha256 in body


def test_the_page_needs_nothing_else_and_takes_every_value_for_text(
    renewed: World, bills: Command, tmp_path: Path
) -> None:
    evil = """<script src="http://evil.test">alert('&')</script>"""
    bill_id = renewed.bill({"description": evil})
    renewed.poll()
    file = tmp_path / "receipt.html"
    assert bills("receipt", bill_id, "--page", "--file", str(file)).exit_code == 0
    page = Page(file.read_text(encoding="utf-8"))
    assert page.texts.count(evil) == 2
    assert {"script", "link", "img", "iframe", "a"}.isdisjoint(tag for tag, _ in page.tags)
    assert {"src", "href", "onclick"}.isdisjoint(name for _, attributes in page.tags for name in attributes)
    policy = next(one for tag, one in page.tags if tag == "meta" and "http-equiv" in one)
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"


def test_a_receipt_that_does_not_come_to_the_bill_says_so(renewed: World, bills: Command) -> None:
    bill_id = renewed.bill()
    renewed.poll()
    with renewed.services.transaction() as db:
        stored = receipts.latest(db, "default", bill_id)
        assert stored is not None
        stored.body = stored.body | {"equal": False}
    assert "NOT EQUAL" in text(bills("receipt", bill_id, "--page"))
    assert "NOT EQUAL" in text(bills("receipt", bill_id))


def test_a_bill_pushed_twice_shows_the_charges_of_both_pushes(renewed: World, bills: Command) -> None:
    bill_id = renewed.bill({"subtotal": 10})
    renewed.poll()
    renewed.m3ter.recalculate(bill_id)
    renewed.m3ter.add_line(bill_id, **(renewed.usage_line() | {"subtotal": 7, "description": "late usage"}))
    renewed.m3ter.approve(bill_id)
    renewed.poll()
    found = rows(bills("receipt", bill_id, "--csv"))
    assert sum(Decimal(one["part"] or 0) for one in found) == sum(
        Decimal(amount).scaleb(-2) for _, amount in renewed.charges(draft(renewed))
    )
    shown = document(bills("receipt", bill_id, "--json"))["now"]
    assert Decimal(shown["bill_total"]) == sum(Decimal(one["part"] or 0) for one in found)


def test_a_line_that_the_bill_no_longer_has_is_still_accounted_for(renewed: World, bills: Command) -> None:
    bill_id = renewed.bill({"subtotal": 10, "segment": {"region": "us"}}, {"subtotal": 3})
    renewed.poll()
    gone = next(line for line in renewed.m3ter.bills[bill_id]["lineItems"] if line.get("segment"))
    renewed.m3ter.recalculate(bill_id)
    renewed.m3ter.bills[bill_id]["lineItems"] = [
        line for line in renewed.m3ter.bills[bill_id]["lineItems"] if line.get("segment") != gone["segment"]
    ]
    renewed.m3ter.add_line(bill_id, **(renewed.usage_line() | {"subtotal": 12, "description": "counted anew"}))
    renewed.m3ter.approve(bill_id)
    renewed.poll()
    found = rows(bills("receipt", bill_id, "--csv"))
    over = [one for one in found if one["description"] == "a line that the bill no longer has"]
    assert [(one["amount"], one["part"]) for one in over] == [("0.00", "10.00"), ("0.00", "-10.00")]
    assert sum(Decimal(one["part"] or 0) for one in found) == Decimal("15.00")


def test_the_receipt_as_text_has_all_lines(renewed: World, bills: Command) -> None:
    bill_id = renewed.bill(*({"subtotal": 1, "description": f"line {n:02}"} for n in range(25)))
    renewed.poll()
    assert [f"line {n:02}" in text(bills("receipt", bill_id)) for n in range(25)] == [True] * 25
    shown = text(bills("show", bill_id))
    assert sum(f"line {n:02}" in shown for n in range(25)) == 20
    assert f"… and 5 more: `connector bills receipt {bill_id}` has all that is sent" in shown


@pytest.mark.parametrize(
    ("words", "said"), [(("--csv", "--page"), "--csv and --page"), (("--file", "x"), "--file takes --csv or --page")]
)
def test_contradicting_options_are_refused(bills: Command, words: tuple[str, ...], said: str) -> None:
    result = bills("receipt", "some-bill", *words)
    assert result.exit_code == 2
    assert said in result.stderr


def test_without_a_receipt_it_is_said_where_to_look(renewed: World, bills: Command) -> None:
    result = bills("receipt", "none")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "there is no receipt of bill none; `connector bills show none`" in result.stderr


# One bill on one screen


def test_a_pushed_bill_is_shown_with_both_totals_its_final_invoice_and_where_each_line_went(
    world: World, bills: Command, netted: str
) -> None:
    world.forget_calls()
    shown = text(bills("show", netted))
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert lines[:2] == [
        f"Bill {netted} of 2026-01-01 to 2026-02-01, on invoice {final_id(world)}",
        "Bill 5.50 USD (exactly 5.500), added 5.50 USD: equal",
    ]
    assert lines[2].endswith("customer acme")
    assert ": succeeded since 2026-02-01 00:10." in lines[3]
    charge = f"{CALLS_PRICE} │ 5.50 │ {final_id(world)}"
    assert f"API calls │ 10.004 │ 10.00 │ charged │ 10.00 │ {charge}" in lines
    assert f"Prepaid credit used │ -4.504 │ -4.50 │ netted into │ -4.50 │ {charge}" in lines
    assert "draft" not in shown
    assert len(lines) < 24
    assert world.calls("chargebee") + world.calls("m3ter") == []


def test_a_bill_that_was_sent_in_part_says_what_is_still_to_come(renewed: World, bills: Command) -> None:
    bill_id = renewed.bill({"subtotal": 7, "description": "first"}, {"subtotal": "0.01", "description": "second"})
    renewed.box.faults.order("chargebee", "add_charge_item", "status", count=9, skip=1, status=429, retry_after=60)
    renewed.poll()
    shown = text(bills("show", bill_id))
    before, after = shown.split("Still to come")
    assert "Bill 7.01 USD (exactly 7.01), added 7.00 USD: NOT EQUAL, 0.01 still to come" in before
    assert ("first" in before, "second" in before, "second" in after, "first" in after) == (True, False, True, False)
    found = document(bills("show", bill_id, "--json"))
    assert (found["receipt"], found["now"]["equal"], found["now"]["to_come"]) == (None, False, "0.01")
    assert [one["status"] for one in found["under_way"]] == ["done", "planned"]


def test_a_parked_bill_says_why_and_what_is_next(renewed: World, bills: Command) -> None:
    bill_id = renewed.bill({"aggregationId": None, "lineItemType": "STANDING_CHARGE"})
    renewed.poll()
    shown = " ".join(text(bills("show", bill_id)).split())
    assert f"Bill {bill_id}: nothing of it has been sent." in shown
    assert "customer acme" in shown
    assert ": parked since 2026-02-01 00:10. no charge item price in USD is mapped" in shown
    assert "Next: `connector mappings add LineItemType STANDING_CHARGE" in shown
    assert "Waits until" not in shown


def test_a_bill_that_stopped_after_it_was_pushed_says_of_when_its_totals_are(renewed: World, bills: Command) -> None:
    bill_id = renewed.bill({"subtotal": 7})
    renewed.poll()
    renewed.m3ter.recalculate(bill_id)
    renewed.m3ter.add_line(bill_id, **(renewed.usage_line() | {"aggregationId": None, "lineItemType": "AD_HOC"}))
    renewed.m3ter.approve(bill_id)
    renewed.poll()
    shown = text(bills("show", bill_id))
    assert ": parked since" in shown
    assert "The totals and lines are those of the last push." in shown


# The countdown and the list


WAITS = "Waits until 2026-02-08 00:00, 7 d 12 h left"


@pytest.fixture
def waiting(world: World) -> str:
    """A bill that was approved half a day before its invoice opens."""
    world.sign_up()
    world.settle()
    world.box.advance(to=datetime(2026, 1, 31, 12, tzinfo=UTC))
    account = world.m3ter.account_by_code("acme")
    [bill_id] = world.m3ter.run_bill_job(account_ids=[account["id"]], bill_date="2026-02-01")["billIds"]
    world.m3ter.add_line(bill_id, **world.usage_line())
    world.m3ter.approve(bill_id)
    world.poll()
    return str(bill_id)


def test_a_bill_that_waits_for_its_invoice_counts_down(world: World, bills: Command, waiting: str) -> None:
    assert WAITS in text(bills("show", waiting))
    assert document(bills("show", waiting, "--json"))["deadline"] == "2026-02-08T00:00:00+00:00"
    [one] = document(bills("list", "--status", "waiting", "--json"))["bills"]
    assert (one["cause"], one["deadline"]) == ("no_pending_invoice", "2026-02-08T00:00:00+00:00")
    assert WAITS.removeprefix("Waits until ") in " ".join(text(bills("list")).split())
    for now, left in (
        (datetime(2026, 2, 7, 23, 59, tzinfo=UTC), "0 d 0 h left"),
        (datetime(2026, 2, 8, 0, 1, tzinfo=UTC), "passed"),
    ):
        world.services = replace(world.services, now=lambda now=now: now)
        assert f"Waits until 2026-02-08 00:00, {left}" in text(bills("show", waiting))


def test_the_countdown_goes_by_the_settings(world: World, bills: Command, make_services: Make, waiting: str) -> None:
    world.services = make_services(WAIT_FOR_INVOICE_DAYS="2")
    assert "Waits until 2026-02-03 00:00, 2 d 12 h left" in text(bills("show", waiting))
    world.services = make_services(LATE_BILLS="next_invoice")
    assert "Waits until" not in text(bills("show", waiting))


def test_a_bill_that_no_poll_has_seen_has_no_countdown(world: World, bills: Command, waiting: str) -> None:
    with world.services.transaction() as db:
        db.execute(delete(SeenBill))
    [one] = document(bills("list", "--json"))["bills"]
    assert (one["bill_id"], one["cause"], one["deadline"], one["account_id"]) == (
        waiting, "no_pending_invoice", None, None,
    )  # fmt: skip
    assert "Waits until" not in text(bills("show", waiting))


def test_a_period_without_an_end_has_no_countdown(world: World, bills: Command, waiting: str) -> None:
    with world.services.transaction() as db:
        db.execute(update(SeenBill).values(billed_until=datetime.max.replace(tzinfo=UTC)))
    assert "Waits until" not in text(bills("show", waiting))


def test_the_list_shows_the_newest_bills_first_without_asking_anybody(world: World, bills: Command) -> None:
    world.sign_up()
    world.sign_up("beta", "sub-2")
    world.settle()
    invoice_id = world.renew()
    pushed = world.bill({"subtotal": 7})
    world.poll()
    parked = world.bill({"aggregationId": None, "lineItemType": "STANDING_CHARGE"}, customer_id="beta")
    world.poll()
    world.forget_calls()
    found = document(bills("list", "--json"))["bills"]
    names = ("bill_id", "status", "cause", "bill_total", "invoice_total_added", "equal", "invoices", "deadline")
    assert [[one[name] for name in names] for one in found] == [
        [parked, "parked", "unmapped_line", "10", None, None, [], None],
        [pushed, "succeeded", None, "7.00", "7.00", True, [invoice_id], None],
    ]
    accounts = [world.m3ter.account_by_code(code)["id"] for code in ("beta", "acme")]
    assert [one["account_id"] for one in found] == accounts
    assert [one["bill_id"] for one in document(bills("list", "--status", "parked", "--json"))["bills"]] == [parked]
    assert [one["bill_id"] for one in document(bills("list", "--limit", "1", "--json"))["bills"]] == [parked]
    shown = " ".join(text(bills("list")).split())
    assert "succeeded │ │ 7.00 USD │ 7.00 USD" in shown
    assert world.calls("chargebee") + world.calls("m3ter") == []


def test_a_bill_is_listed_once_as_it_stands_now(renewed: World, bills: Command) -> None:
    bill_id = renewed.bill({"subtotal": 7})
    renewed.poll()
    renewed.m3ter.recalculate(bill_id)
    renewed.m3ter.add_line(bill_id, **(renewed.usage_line() | {"subtotal": 1, "segment": {"region": "eu"}}))
    renewed.m3ter.approve(bill_id)
    renewed.poll()
    assert len(renewed.syncs(kind="bill", subject=bill_id)) == 2
    [one] = document(bills("list", "--json"))["bills"]
    assert one["equal"] is True
    assert one["bill_total"] == one["invoice_total_added"]
    assert document(bills("list", "--connection", "default", "--status", "waiting", "--json"))["bills"] == []
