"""The failure modes of bills and invoices (numbers 83 to 113 of the list this connector is built against), by their numbers.

Most drive both edges and look at the invoice, the receipts and the syncs afterwards. Some have more tests elsewhere:
rounding and currencies in rules/test_money.py, periods and routing in rules/test_plan_push.py, credits in
rules/test_netting.py and test_bills.py, all of them mixed in test_bill_interleavings.py.

112 shows what can be shown: the connector prices in minor units everywhere and never in decimals, so a site with
multi-decimal pricing only adds fields to its answers, which the comparison of amounts leaves alone.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connector import days, money, syncs
from connector.bills import approvals, ledger
from connector.clients.http import Http
from connector.models import BillSnapshot
from connector.services import Services
from tests.builders import bill as bill_of
from tests.flows.conftest import CALLS_PRICE, World
from tests.flows.test_bills import drawn, states
from tests.flows.test_path_out import MINUTES_TO_SETTLE, pushes

pytestmark = pytest.mark.alternate_databases

Make = Callable[..., Services]
JANUARY = {"date_from": 1767225600, "date_to": 1769904000}
MARCH_1 = datetime(2026, 3, 1, 0, 10, tzinfo=UTC)
# A push of two lines is five calls: the bill, its invoices, each line, the bill again.
CALLS_OF_A_PUSH = range(5)


@pytest.fixture
def renewed(world: World) -> tuple[World, str]:
    """A customer whose January is over: a pending invoice is open, nothing is billed yet."""
    world.sign_up()
    world.settle()
    invoice_id = world.renew()
    world.forget_calls()
    return world, invoice_id


@contextmanager
def before_call(number: int, act: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Something happens just before the connector's nth call, counted from 0."""
    call, made = Http.call, [0]

    def call_after(self: Http, **request: Any) -> Any:
        made[0] += 1
        if made[0] == number + 1:
            act()
        return call(self, **request)

    with monkeypatch.context() as patched:
        patched.setattr(Http, "call", call_after)
        yield


def bill_in(world: World, currency: str, *lines: dict[str, Any]) -> str:
    """An approved bill for January in a currency of its own; answers its id."""
    account = world.m3ter.account_by_code("acme")
    job = world.m3ter.run_bill_job(account_ids=[account["id"]], bill_date="2026-02-01", targetCurrency=currency)
    [bill_id] = job["billIds"]
    for line in lines:
        world.m3ter.add_line(bill_id, **(world.usage_line() | {"currency": currency} | line))
    world.m3ter.approve(bill_id)
    return str(bill_id)


def price_in(world: World, currency: str) -> str:
    """A charge item price in this currency, mapped to the usage."""
    price = f"m3ter-calls-{currency}"
    world.chargebee.settings.currencies.append(currency)
    world.chargebee.create_item_price(id=price, name=price, item_id="usage", currency_code=currency, price=0)
    world.map("Aggregation", world.ids["calls"], price, currency=currency)
    return price


def shown_otherwise(monkeypatch: pytest.MonkeyPatch, world: World, **fields: Any) -> None:
    """Chargebee gives every line that is added these fields besides."""
    add = type(world.chargebee)._add_line

    def add_with(self: Any, invoice: Any, line: Any, comment: Any) -> Any:
        return add(self, invoice, {**line, **fields}, comment)

    monkeypatch.setattr(type(world.chargebee), "_add_line", add_with)


def test_mode_83_a_bill_seen_by_webhook_and_by_poll_is_pushed_once(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    world.m3ter.add_webhook_destination("http://connector.test/webhooks/default/m3ter", "s3cret")
    bill_id = world.bill()
    world.deliver()
    world.work()
    assert world.charges(invoice_id) == [(CALLS_PRICE, 1000)]
    assert world.sync("bill", bill_id).trigger.startswith("event ")
    world.poll()
    assert world.charges(invoice_id) == [(CALLS_PRICE, 1000)]


def test_mode_83_a_replayed_approval_pushes_once(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    world.m3ter.add_webhook_destination("http://connector.test/webhooks/default/m3ter", "s3cret")
    bill_id = world.bill()
    deliveries = world.hold_back()
    for _ in range(3):
        for delivery in deliveries:
            assert world.send(*delivery) < 300
        world.work()
    assert world.charges(invoice_id) == [(CALLS_PRICE, 1000)]
    with world.services.reading() as db:
        assert [row.generation for row in db.query(BillSnapshot).filter_by(bill_id=bill_id)] == [1]


def test_mode_83_an_approval_told_while_the_bill_is_pushed_makes_one_more_look_and_no_line(
    renewed: tuple[World, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, invoice_id = renewed
    bill_id = world.bill()
    approvals.poll(world.services, "default")

    def tell() -> None:
        with world.services.transaction() as db:
            syncs.ask(
                db, connection="default", kind="bill", subject=bill_id, trigger="told again", now=world.services.now()
            )

    with before_call(2, tell, monkeypatch):
        world.work()
    assert [tried.outcome for tried in world.attempts(world.sync("bill", bill_id).id)] == ["succeeded", "succeeded"]
    assert world.charges(invoice_id) == [(CALLS_PRICE, 1000)]


def test_mode_84_two_approvals_of_one_bill_add_its_lines_once(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 12})
    world.poll()
    world.m3ter.recalculate(bill_id)
    world.m3ter.approve(bill_id)
    world.forget_calls()
    world.poll()
    assert world.charges(invoice_id) == [(CALLS_PRICE, 1200)]
    assert world.calls("chargebee") == []
    assert len(world.syncs(kind="bill", status="succeeded")) == 2
    assert len(world.receipts()) == 1


def test_mode_84_a_bill_that_shrank_parks_with_the_difference(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 10}, {"subtotal": 5, "segment": {"region": "eu"}})
    world.poll()
    world.m3ter.extra_lines[bill_id].pop()
    world.m3ter.recalculate(bill_id)
    world.m3ter.approve(bill_id)
    world.poll()
    row = world.sync("bill", bill_id)
    assert (row.status, row.cause) == ("parked", "less_than_sent")
    assert "5.00" in str(row.text)
    assert len(world.charges(invoice_id)) == 2


def test_mode_85_a_bill_recalculated_while_its_lines_are_sent_stops_and_goes_on_when_approved_again(
    renewed: tuple[World, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 1}, {"subtotal": 2})
    finish = ledger.finish

    def recalculate_after_the_last(db: Any, intent: Any, *rest: Any) -> bool:
        if intent.amount_minor == 200:
            world.m3ter.recalculate(bill_id)
        return finish(db, intent, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(ledger, "finish", recalculate_after_the_last)
        world.poll()
    row = world.sync("bill", bill_id)
    assert (row.status, row.cause) == ("parked", "unapproved_midway")
    assert world.receipts() == []
    world.m3ter.add_line(bill_id, **(world.usage_line() | {"subtotal": 3, "segment": {"region": "eu"}}))
    world.m3ter.approve(bill_id)
    world.poll()
    assert world.charges(invoice_id) == [(CALLS_PRICE, 100), (CALLS_PRICE, 200), (CALLS_PRICE, 300)]
    assert [receipt["bill_total"] for receipt in world.receipts()] == ["6.00"]


@pytest.mark.parametrize("call", CALLS_OF_A_PUSH)
def test_mode_85_a_bill_recalculated_at_any_call_is_pushed_as_it_was_approved_last(
    renewed: tuple[World, str], call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 1}, {"subtotal": 2})
    approvals.poll(world.services, "default")
    with before_call(call, lambda: world.m3ter.recalculate(bill_id), monkeypatch):
        world.work()
    assert world.receipts() == []
    world.m3ter.add_line(bill_id, **(world.usage_line() | {"subtotal": 3, "segment": {"region": "eu"}}))
    world.m3ter.approve(bill_id)
    world.poll()
    assert sorted(amount for _, amount in world.charges(invoice_id)) == [100, 200, 300]
    assert [receipt["bill_total"] for receipt in world.receipts()] == ["6.00"]


@pytest.mark.parametrize("call", CALLS_OF_A_PUSH)
def test_mode_85_a_bill_changed_and_approved_again_at_any_call_has_no_receipt_for_what_it_was(
    renewed: tuple[World, str], call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 1}, {"subtotal": 2})

    def change() -> None:
        world.m3ter.recalculate(bill_id)
        world.m3ter.add_line(bill_id, **(world.usage_line() | {"subtotal": 3, "segment": {"region": "eu"}}))
        world.m3ter.approve(bill_id)

    approvals.poll(world.services, "default")
    with before_call(call, change, monkeypatch):
        world.work()
    world.wait(minutes=1)
    assert sorted(amount for _, amount in world.charges(invoice_id)) == [100, 200, 300]
    assert [receipt["bill_total"] for receipt in world.receipts()] == ["6.00"]


@pytest.mark.parametrize("kind", ["cut", "refuse"])
def test_mode_85_a_bill_that_changes_while_a_line_is_in_doubt_has_that_line_once(
    renewed: tuple[World, str], kind: str
) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 1})
    world.box.faults.order("chargebee", "add_charge_item", kind)
    world.poll()
    world.m3ter.recalculate(bill_id)
    world.m3ter.add_line(bill_id, **(world.usage_line() | {"subtotal": 3, "segment": {"region": "eu"}}))
    world.m3ter.approve(bill_id)
    world.poll()
    world.wait(minutes=MINUTES_TO_SETTLE)
    assert states(world, bill_id) == ("succeeded", None)
    assert sorted(amount for _, amount in world.charges(invoice_id)) == [100, 300]


def test_mode_86_a_bill_whose_approval_nobody_told_us_is_found_by_the_poll(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    bill_id = world.bill()
    world.settle()
    assert world.syncs(kind="bill") == []
    world.poll()
    assert states(world, bill_id) == ("succeeded", None)
    assert world.charges(invoice_id) == [(CALLS_PRICE, 1000)]


def test_mode_87_a_bill_that_is_not_approved_any_more_sends_nothing(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    bill_id = world.bill()
    approvals.poll(world.services, "default")
    world.m3ter.set_bill_status(bill_id, "PENDING")
    world.work()
    assert world.charges(invoice_id) == []
    assert world.sync("bill", bill_id).status == "succeeded"
    world.m3ter.approve(bill_id)
    world.poll()
    assert world.charges(invoice_id) == [(CALLS_PRICE, 1000)]


def test_mode_88_a_bill_waits_for_its_invoice_and_goes_when_it_opens(world: World) -> None:
    world.sign_up()
    world.settle()
    world.box.advance(to=datetime(2026, 1, 31, 12, tzinfo=UTC))
    account = world.m3ter.account_by_code("acme")
    [bill_id] = world.m3ter.run_bill_job(account_ids=[account["id"]], bill_date="2026-02-01")["billIds"]
    world.m3ter.add_line(bill_id, **world.usage_line())
    world.m3ter.approve(bill_id)
    world.poll()
    row = world.sync("bill", bill_id)
    assert (row.status, row.cause, row.wakes_on) == ("waiting", "no_pending_invoice", "invoice:sub-1")
    invoice_id = world.renew()
    assert world.charges(invoice_id) == [(CALLS_PRICE, 1000)]


def test_mode_89_an_invoice_that_was_closed_since_it_was_found_gets_nothing(
    renewed: tuple[World, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 7})
    freeze = ledger.freeze

    def close_after_freezing(*arguments: Any, **named: Any) -> Any:
        world.chargebee.invoices[invoice_id]["status"] = "payment_due"
        return freeze(*arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(ledger, "freeze", close_after_freezing)
        world.poll()
    assert world.sync("bill", bill_id).cause == "invoice_closed"
    assert "0 of 1 lines were added, 7.00 USD were not" in str(world.sync("bill", bill_id).text)
    assert world.charges(invoice_id) == []
    assert [call.status for call in world.calls("chargebee", "add_charge_item")] == [409]


def test_mode_89_a_bill_that_comes_after_its_invoice_was_closed_is_not_sent_anywhere(
    renewed: tuple[World, str],
) -> None:
    world, invoice_id = renewed
    final = world.chargebee.close_invoice(invoice_id)
    bill_id = world.bill()
    world.forget_calls()
    world.poll()
    world.wait(days=8)
    assert states(world, bill_id) == ("parked", "late_bill")
    assert [call for call in world.calls("chargebee") if call.method != "GET"] == []
    assert world.charges(final["id"]) == []


@pytest.mark.parametrize("call", CALLS_OF_A_PUSH)
def test_mode_89_an_invoice_closed_at_any_call_gets_no_line_afterwards_and_the_text_says_what_is_missing(
    renewed: tuple[World, str], call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 1}, {"subtotal": 2})
    approvals.poll(world.services, "default")
    final: list[str] = []
    with before_call(call, lambda: final.append(world.chargebee.close_invoice(invoice_id)["id"]), monkeypatch):
        world.work()
    world.wait(hours=3)
    added = [100, 200][: max(0, call - 2)]
    assert [amount for _, amount in world.charges(final[0])] == added
    row = world.sync("bill", bill_id)
    if call < 2:
        assert (row.status, row.cause) == ("waiting", "no_pending_invoice")
    elif call < 4:
        assert (row.status, row.cause) == ("parked", "invoice_closed")
        assert f"{len(added)} of 2 lines were added, {3 - len(added)}.00 USD were not" in str(row.text)
    else:
        assert row.status == "succeeded"
    assert len([one for one in world.calls("chargebee", "add_charge_item") if one.status != 200]) == (call in (2, 3))


def test_mode_90_an_invoice_that_closes_between_two_lines_parks_with_the_remainder(
    renewed: tuple[World, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 1}, {"subtotal": 2})
    finish = ledger.finish

    def close_after_the_first(*arguments: Any) -> bool:
        done = finish(*arguments)
        world.chargebee.close_invoice(invoice_id)
        return done

    with monkeypatch.context() as patched:
        patched.setattr(ledger, "finish", close_after_the_first)
        world.poll()
    row = world.sync("bill", bill_id)
    assert (row.status, row.cause) == ("parked", "invoice_closed")
    assert "1 of 2 lines were added, 2.00 USD were not" in str(row.text)
    world.wait(hours=3)
    assert len(world.calls("chargebee", "add_charge_item")) <= 2


def test_mode_90_a_line_in_doubt_when_its_invoice_closes_is_not_called_missing(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 1}, {"subtotal": 2})
    world.box.faults.order("chargebee", "add_charge_item", "cut", skip=1)
    world.poll()
    final = world.chargebee.close_invoice(invoice_id)
    world.settle()
    world.wait(minutes=MINUTES_TO_SETTLE)
    row = world.sync("bill", bill_id)
    assert len(world.charges(final["id"])) == 2
    assert (row.status, row.cause) == ("parked", "invoice_closed")
    assert "0.00 USD were not" in str(row.text)
    assert "no answer came" in str(row.text)
    assert "Look on the closed invoice" in str(row.next_step)


def test_mode_91_a_bill_that_grows_after_its_invoice_got_its_final_id_is_not_begun_anew(
    renewed: tuple[World, str],
) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 10})
    world.poll()
    final = world.chargebee.close_invoice(invoice_id)
    world.settle()
    assert invoice_id not in world.chargebee.invoices
    assert world.mapped("Bill") == [("Invoice", final["id"])]
    world.m3ter.recalculate(bill_id)
    world.m3ter.add_line(bill_id, **(world.usage_line() | {"subtotal": 4, "segment": {"region": "eu"}}))
    world.m3ter.approve(bill_id)
    world.poll()
    assert states(world, bill_id) == ("parked", "invoice_closed")
    world.box.advance(to=MARCH_1)
    world.settle()
    [march] = world.chargebee.pending_invoices("sub-1")
    assert (world.charges(final["id"]), world.charges(march["id"])) == ([(CALLS_PRICE, 1000)], [])


def test_mode_92_a_pending_invoice_that_is_deleted_parks_the_bill(
    renewed: tuple[World, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 1}, {"subtotal": 2})
    approvals.poll(world.services, "default")
    with before_call(2, lambda: world.chargebee.delete_invoice(invoice_id), monkeypatch):
        world.work()
    row = world.sync("bill", bill_id)
    assert (row.status, row.cause) == ("parked", "invoice_closed")
    assert "0 of 2 lines were added, 3.00 USD were not" in str(row.text)
    world.wait(hours=3)
    assert (states(world, bill_id), world.receipts()) == (("parked", "invoice_closed"), [])


def test_mode_93_of_several_pending_invoices_the_one_of_the_period_is_taken(renewed: tuple[World, str]) -> None:
    world, january = renewed
    bill_id = world.bill()
    world.box.advance(to=MARCH_1)
    world.settle()
    february = next(one["id"] for one in world.chargebee.pending_invoices("sub-1") if one["id"] != january)
    world.poll()
    assert states(world, bill_id) == ("succeeded", None)
    assert (world.charges(january), world.charges(february)) == ([(CALLS_PRICE, 1000)], [])


def test_mode_93_two_pending_invoices_of_one_period_are_left_to_a_person(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    twin = copy.deepcopy(world.chargebee.invoices[invoice_id]) | {"id": "draft_twin"}
    world.chargebee.invoices["draft_twin"] = twin
    bill_id = world.bill()
    world.poll()
    assert states(world, bill_id) == ("parked", "several_invoices")
    assert world.calls("chargebee", "add_charge_item") == []


def test_mode_94_on_an_invoice_of_many_subscriptions_only_our_lines_are_looked_at(
    world: World, make_services: Make
) -> None:
    world.services = make_services(CONSOLIDATED_INVOICING="yes")
    world.chargebee.settings.consolidated_invoicing = True
    world.chargebee.create_customer(
        id="acme", email="acme@example.test", preferred_currency_code="USD", consolidated_invoicing=True
    )
    world.sign_up()
    world.chargebee.create_item_price(
        id="seat-USD-monthly",
        name="seat",
        item_id="beta",
        currency_code="USD",
        price=500,
        period=1,
        period_unit="month",
    )
    world.map("NotMetered", "*", "seat-USD-monthly")
    world.sign_up(subscription_id="sub-2", items=("seat-USD-monthly",))
    world.settle()
    world.box.advance(to=datetime(2026, 2, 1, 0, 10, tzinfo=UTC))
    world.settle()
    world.bill({"subtotal": 10})
    world.poll()
    [pending] = [one for one in world.chargebee.invoices.values() if one["status"] == "pending"]
    assert {line["subscription_id"] for line in pending["line_items"]} == {"sub-1", "sub-2"}
    [ours] = [line for line in pending["line_items"] if line["entity_id"] == CALLS_PRICE]
    assert (ours["subscription_id"], ours["amount"]) == ("sub-1", 1000)
    assert world.receipts()[0]["invoice_total_added"] == "10.00"


def test_mode_95_an_equal_line_of_a_person_is_never_taken_for_ours(
    renewed: tuple[World, str], make_services: Callable[..., Services]
) -> None:
    world, invoice_id = renewed
    world.services = make_services(FOREIGN_LINES="ignore")
    period = {"date_from": 1767225600, "date_to": 1769904000}
    world.chargebee.add_charge_item(invoice_id, CALLS_PRICE, 700, **period)
    world.bill({"subtotal": 7})
    world.box.faults.order("chargebee", "add_charge_item", "refuse")
    world.poll()
    world.wait(minutes=MINUTES_TO_SETTLE)
    assert world.charges(invoice_id) == [(CALLS_PRICE, 700), (CALLS_PRICE, 700)]
    assert pushes(world)[0][1] == "done"


def test_mode_95_two_equal_new_lines_after_a_missing_answer_are_left_to_a_person(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 7})
    world.box.faults.order("chargebee", "add_charge_item", "cut")
    world.poll()
    period = {"date_from": 1767225600, "date_to": 1769904000}
    invoice = world.chargebee.add_charge_item(invoice_id, CALLS_PRICE, 700, **period)
    world.wait(minutes=MINUTES_TO_SETTLE)
    row = world.sync("bill", bill_id)
    assert (row.status, row.cause) == ("parked", "several_equal_lines")
    assert len(world.calls("chargebee", "add_charge_item")) == 1
    # Nothing but a person moves it on: neither another approval nor time.
    world.m3ter.recalculate(bill_id)
    world.m3ter.approve(bill_id)
    world.poll()
    world.wait(hours=3)
    assert world.sync("bill", bill_id).cause == "line_in_doubt"
    world.chargebee.delete_line_items(invoice_id, [invoice["line_items"][-1]["id"]])
    with world.services.transaction() as db:
        syncs.retry(db, world.sync("bill", bill_id).id, "test", world.services.now())
    world.work()
    assert world.charges(invoice_id) == [(CALLS_PRICE, 700)]
    assert world.sync("bill", bill_id).status == "succeeded"


def test_mode_96_a_line_that_somebody_removed_while_we_sent_is_missed_and_not_added_again(
    renewed: tuple[World, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 1}, {"subtotal": 2})
    start = ledger.start_sending

    def remove_the_first(db: Any, intent: Any, *more: Any) -> bool:
        if intent.amount_minor == 200:
            [first] = [line for line in world.chargebee.invoices[invoice_id]["line_items"] if line["amount"] == 100]
            world.chargebee.delete_line_items(invoice_id, [first["id"]])
        return start(db, intent, *more)

    with monkeypatch.context() as patched:
        patched.setattr(ledger, "start_sending", remove_the_first)
        world.poll()
    row = world.sync("bill", bill_id)
    assert (row.status, row.cause) == ("parked", "verification_failed")
    world.wait(hours=3)
    assert world.charges(invoice_id) == [(CALLS_PRICE, 200)]
    assert world.receipts() == []


def test_mode_96_a_line_that_was_removed_is_missed_when_the_bill_grows(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 1}, {"subtotal": 2})
    world.poll()
    [first] = [one for one in world.chargebee.invoices[invoice_id]["line_items"] if one["amount"] == 100]
    world.chargebee.delete_line_items(invoice_id, [first["id"]])
    world.m3ter.recalculate(bill_id)
    world.m3ter.add_line(bill_id, **(world.usage_line() | {"subtotal": 3, "segment": {"region": "eu"}}))
    world.m3ter.approve(bill_id)
    world.poll()
    row = world.sync("bill", bill_id)
    assert (row.status, row.cause) == ("parked", "verification_failed")


def test_mode_97_another_bills_line_in_doubt_is_waited_for_and_not_called_foreign(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 7})
    other_id = "0" * 8 + "-0000-4000-8000-" + "0" * 12
    world.m3ter.bills[other_id] = copy.deepcopy(world.m3ter.bills[bill_id]) | {"id": other_id}
    world.m3ter._sequence[other_id] = len(world.m3ter._sequence) + 1
    world.box.faults.order("chargebee", "add_charge_item", "cut")
    world.poll()
    assert {world.sync("bill", one).cause for one in (bill_id, other_id)} == {"settling", "invoice_in_doubt"}
    world.wait(minutes=MINUTES_TO_SETTLE)
    world.wait(minutes=11)
    assert world.charges(invoice_id) == [(CALLS_PRICE, 700)] * 2
    assert {world.sync("bill", one).status for one in (bill_id, other_id)} == {"succeeded"}


@pytest.mark.parametrize("kind", ["cut", "refuse", "html"])
def test_mode_97_equal_lines_of_one_bill_are_all_there(renewed: tuple[World, str], kind: str) -> None:
    world, invoice_id = renewed
    bill_id = world.bill(*({"subtotal": 7} for _ in range(4)))
    world.box.faults.order("chargebee", "add_charge_item", kind, skip=1)
    world.poll()
    world.wait(minutes=MINUTES_TO_SETTLE)
    assert world.charges(invoice_id) == [(CALLS_PRICE, 700)] * 4
    assert states(world, bill_id) == ("succeeded", None)
    claimed = [charge["chargebee_line_id"] for line in world.receipts()[0]["lines"] for charge in line["charges"]]
    assert len(set(claimed)) == 4


@pytest.mark.parametrize(("billed", "invoiced"), [("EUR", "USD"), ("USD", "EUR"), ("USD", "JPY"), ("JPY", "USD")])
def test_mode_98_a_bill_in_another_currency_than_its_invoice_is_refused_before_the_first_line(
    renewed: tuple[World, str], billed: str, invoiced: str
) -> None:
    world, invoice_id = renewed
    if billed != "USD":
        price_in(world, billed)
    world.chargebee.invoices[invoice_id]["currency_code"] = invoiced
    bill_id = bill_in(world, billed, {"subtotal": 10})
    world.poll()
    assert states(world, bill_id) == ("parked", "currency_mismatch")
    assert world.calls("chargebee", "add_charge_item") == []


def test_mode_99_a_converted_amount_is_invoiced_in_the_bills_currency(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    world.bill({"subtotal": 80, "currency": "GBP", "conversionRate": Decimal("1.25"), "convertedSubtotal": 100})
    world.poll()
    assert world.charges(invoice_id) == [(CALLS_PRICE, 10_000)]


def test_mode_100_lines_rounded_together_equal_the_bill_where_rounding_each_would_not(
    renewed: tuple[World, str],
) -> None:
    world, invoice_id = renewed
    world.bill(*[{"subtotal": Decimal("0.335"), "description": f"line {n}"} for n in range(3)])
    world.poll()
    assert sum(amount for _, amount in world.charges(invoice_id)) == 100  # 1.005 rounds to 1.00, not 3 × 0.34


def test_mode_101_amounts_that_no_float_holds_are_added_up_exactly(renewed: tuple[World, str]) -> None:
    world, _ = renewed
    bill_id = world.bill({"subtotal": Decimal("0.1")}, {"subtotal": Decimal("0.2"), "segment": {"a": "b"}})
    world.poll()
    with world.services.reading() as db:
        [row] = db.query(BillSnapshot).all()
    assert (row.bill_id, row.status, row.currency, row.exact_total, row.total_minor) == (
        bill_id,
        "pushed",
        "USD",
        Decimal("0.3"),
        30,
    )


@pytest.mark.parametrize(
    ("currency", "subtotal", "added"),
    [
        pytest.param("JPY", "1540.5", 1540, id="no decimals"),
        pytest.param("KRW", "99.5", 100, id="no decimals, to even"),
        pytest.param("KWD", "1.005", 100, id="three decimals in ISO, two in Chargebee"),
    ],
)
def test_mode_102_minor_units_are_chargebees(
    renewed: tuple[World, str], currency: str, subtotal: str, added: int
) -> None:
    world, invoice_id = renewed
    price = price_in(world, currency)
    world.chargebee.invoices[invoice_id]["currency_code"] = currency
    bill_id = bill_in(world, currency, {"subtotal": Decimal(subtotal)})
    world.poll()
    assert states(world, bill_id) == ("succeeded", None)
    assert world.charges(invoice_id) == [(price, added)]
    [receipt] = world.receipts()
    assert receipt["bill_total"] == str(money.to_major(added, money.exponent(currency)))


def test_mode_102_a_currency_whose_minor_unit_nobody_knows_parks(renewed: tuple[World, str]) -> None:
    world, _ = renewed
    bill_id = bill_in(world, "CLP", {"subtotal": 10})
    world.poll()
    assert states(world, bill_id) == ("parked", "currency")
    assert world.calls("chargebee", "add_charge_item") == []


@pytest.mark.parametrize(
    ("settings", "credit", "state", "added", "given"),
    [
        pytest.param({}, -4, ("succeeded", None), [600], [], id="netted"),
        pytest.param({"NEGATIVE_LINES": "park"}, -4, ("parked", "negative_line"), [], [], id="parked"),
        pytest.param(
            {"NEGATIVE_LINES": "promotional_credit"}, -4, ("succeeded", None), [1000], [400], id="given beside it"
        ),
        pytest.param({}, -12, ("parked", "negative_total"), [], [], id="negative total"),
        pytest.param(
            {"NEGATIVE_TOTAL": "promotional_credit"}, -12, ("succeeded", None), [], [200], id="negative total given"
        ),
    ],
)
def test_mode_103_a_negative_line_goes_the_way_of_the_settings_and_is_never_left_out(
    renewed: tuple[World, str],
    make_services: Make,
    settings: dict[str, str],
    credit: int,
    state: tuple[str, str | None],
    added: list[int],
    given: list[int],
) -> None:
    world, invoice_id = renewed
    world.services = make_services(**settings)
    bill_id = world.bill({"subtotal": 10}, drawn(credit))
    world.poll()
    assert states(world, bill_id) == state
    assert [amount for _, amount in world.charges(invoice_id)] == added
    assert [one["amount"] for one in world.chargebee.promotional_credits.values()] == given


@pytest.mark.parametrize("kind", ["cut", "refuse"])
def test_mode_103_a_credit_whose_answer_is_missing_is_known_by_its_reference_alone(
    renewed: tuple[World, str], make_services: Make, kind: str
) -> None:
    world, _ = renewed
    world.services = make_services(NEGATIVE_TOTAL="promotional_credit")
    world.chargebee.add_promotional_credits("acme", 200, "a person's own", currency_code="USD")
    bill_id = world.bill({"subtotal": 10}, drawn(-12))
    world.box.faults.order("chargebee", "add_promotional_credits", kind)
    world.poll()
    world.box.advance(timedelta(minutes=40))  # Chargebee has forgotten the key by then
    world.work()
    assert states(world, bill_id) == ("succeeded", None)
    assert [one["amount"] for one in world.chargebee.promotional_credits.values()] == [200, 200]


def test_mode_104_zero_lines_are_on_the_receipt_and_not_on_the_invoice(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    world.bill({"subtotal": 0}, {"subtotal": 3})
    world.poll()
    assert world.charges(invoice_id) == [(CALLS_PRICE, 300)]
    [receipt] = world.receipts()
    assert [(line["amount"], len(line["charges"])) for line in receipt["lines"]] == [("0.00", 0), ("3.00", 1)]


@pytest.mark.parametrize("lines", [(), ({"subtotal": 0},), ({"subtotal": 10}, {"subtotal": -10})])
def test_mode_104_a_bill_of_nothing_is_pushed_with_nothing_to_add(
    renewed: tuple[World, str], lines: tuple[dict[str, Any], ...]
) -> None:
    world, invoice_id = renewed
    bill_id = bill_in(world, "USD", *lines)
    world.poll()
    assert states(world, bill_id) == ("succeeded", None)
    assert world.charges(invoice_id) == []
    [receipt] = world.receipts()
    assert (receipt["bill_total"], receipt["invoice_total_added"], receipt["equal"]) == ("0.00", "0.00", True)


@pytest.mark.parametrize("kind", ["USAGE", "DEBIT_MEMO"])
def test_mode_105_a_line_without_service_dates_holds_the_whole_bill_back(renewed: tuple[World, str], kind: str) -> None:
    world, invoice_id = renewed
    undated = {"servicePeriodStartDate": None, "servicePeriodEndDate": None, "lineItemType": kind}
    bill_id = world.bill({"subtotal": 9}, undated)
    world.poll()
    assert states(world, bill_id) == ("parked", "no_service_period")
    assert world.charges(invoice_id) == []


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        pytest.param({"MAX_BILL_LINES": "2", "GROUP_LINES": "never"}, "too_many_lines", id="lines"),
        pytest.param({"MAX_BILL_AMOUNT": "29.99"}, "amount_bound", id="amount"),
    ],
)
def test_mode_106_a_bill_beyond_a_bound_parks_before_the_first_line(
    renewed: tuple[World, str], make_services: Make, settings: dict[str, str], cause: str
) -> None:
    world, _ = renewed
    world.services = make_services(**settings)
    bill_id = world.bill({}, {}, {})
    world.poll()
    assert states(world, bill_id) == ("parked", cause)
    assert world.calls("chargebee", "add_charge_item") == []


def test_mode_107_a_line_that_is_refused_for_good_leaves_the_rest_to_a_person_who_goes_on_from_there(
    renewed: tuple[World, str],
) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 1}, {"subtotal": 2}, {"subtotal": 3})
    refusal = {"status": 400, "message": "no more of these", "api_error_code": "param_wrong_value"}
    world.box.faults.order("chargebee", "add_charge_item", "status", skip=1, **refusal)
    world.poll()
    assert states(world, bill_id) == ("parked", "rejected")
    assert "no more of these" in str(world.sync("bill", bill_id).text)
    assert pushes(world) == [(100, "done", "answer"), (200, "planned", None), (300, "planned", None)]
    world.wait(hours=3)
    world.poll()
    assert world.charges(invoice_id) == [(CALLS_PRICE, 100)]
    world.retry(world.sync("bill", bill_id).id)
    assert world.charges(invoice_id) == [(CALLS_PRICE, 100), (CALLS_PRICE, 200), (CALLS_PRICE, 300)]
    assert world.receipts()[0]["equal"] is True


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12", "Europe/Berlin", "Asia/Kathmandu"])
def test_mode_108_the_days_on_the_invoice_are_the_days_billed_in_every_time_zone(
    world: World, make_services: Make, zone: str
) -> None:
    world.m3ter.config["timezone"] = zone
    world.services = make_services(M3TER_TIMEZONE=zone)
    world.sign_up()
    world.settle()
    invoice_id = world.renew()
    midnights = [datetime(2026, month, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC) for month in (1, 2)]
    start, end = (f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in midnights)
    bill_id = world.bill({"servicePeriodStartDate": start, "servicePeriodEndDate": end})
    world.poll()
    assert states(world, bill_id) == ("succeeded", None)
    [line] = [one for one in world.chargebee.invoices[invoice_id]["line_items"] if one["entity_id"] == CALLS_PRICE]
    shown = [datetime.fromtimestamp(line[name], ZoneInfo(zone)) for name in ("date_from", "date_to")]
    assert [(moment.date(), moment.hour) for moment in shown] == [(date(2026, 1, 1), 0), (date(2026, 2, 1), 0)]


@pytest.mark.parametrize(("day", "hours"), [((2026, 3, 29), 23), ((2026, 10, 25), 25), ((2026, 6, 1), 24)])
def test_mode_108_a_bills_day_has_as_many_hours_as_its_time_zone_gives_it(
    day: tuple[int, int, int], hours: int
) -> None:
    billed = bill_of(timezone="Europe/Berlin")
    first = date(*day)
    begins, ends = days.bill_moment(billed, first), days.bill_moment(billed, first + timedelta(days=1))
    assert ends - begins == timedelta(hours=hours)


def test_mode_109_a_bill_for_another_period_than_the_only_pending_invoice_parks(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    bill_id = world.bill()
    world.chargebee.close_invoice(invoice_id)
    world.box.advance(to=MARCH_1)
    world.settle()
    [march] = world.chargebee.pending_invoices("sub-1")
    world.poll()
    assert states(world, bill_id) == ("parked", "period_mismatch")
    assert world.charges(march["id"]) == []


def test_mode_110_lines_that_somebody_else_bills_with_our_charge_items_park_the_bill(
    renewed: tuple[World, str],
) -> None:
    world, invoice_id = renewed
    world.chargebee.add_charge_item(invoice_id, CALLS_PRICE, 700, date_from=1767225600, date_to=1769904000)
    bill_id = world.bill({"subtotal": 7})
    world.poll()
    row = world.sync("bill", bill_id)
    assert (row.status, row.cause) == ("parked", "foreign_lines")
    assert world.charges(invoice_id) == [(CALLS_PRICE, 700)]


def test_mode_111_tax_and_discounts_on_our_lines_do_not_disturb_the_comparison(
    renewed: tuple[World, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, invoice_id = renewed
    shown_otherwise(
        monkeypatch,
        world,
        tax_amount=190,
        tax_rate=19,
        is_taxed=True,
        discount_amount=250,
        item_level_discount_amount=250,
    )
    bill_id = world.bill({"subtotal": 10}, {"subtotal": 5})
    world.box.faults.order("chargebee", "add_charge_item", "cut")
    world.poll()
    world.wait(minutes=MINUTES_TO_SETTLE)
    assert states(world, bill_id) == ("succeeded", None)
    assert world.charges(invoice_id) == [(CALLS_PRICE, 1000), (CALLS_PRICE, 500)]
    assert world.receipts()[0]["invoice_total_added"] == "15.00"


def test_mode_112_a_site_that_prices_in_many_decimals_gets_and_shows_our_minor_units(
    renewed: tuple[World, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, invoice_id = renewed
    shown_otherwise(monkeypatch, world, unit_amount_in_decimal="0.0125", amount_in_decimal="154.3125")
    forms: list[Any] = []
    call = Http.call

    def noted(self: Http, **request: Any) -> Any:
        forms.append(request.get("form"))
        return call(self, **request)

    monkeypatch.setattr(Http, "call", noted)
    bill_id = world.bill({"subtotal": Decimal("154.3125")})
    world.box.faults.order("chargebee", "add_charge_item", "cut")
    world.poll()
    world.wait(minutes=MINUTES_TO_SETTLE)
    assert states(world, bill_id) == ("succeeded", None)
    assert world.charges(invoice_id) == [(CALLS_PRICE, 15431)]
    sent = [form for form in forms if form and any("unit_price" in str(name) for name in form)]
    assert len(sent) == 1
    assert not any("in_decimal" in str(name) for name in sent[0])


def test_mode_113_a_price_that_ignores_our_amount_stops_at_the_first_line(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    world.chargebee.settings.price_override = False
    bill_id = world.bill({"subtotal": 7}, {"subtotal": 8})
    world.poll()
    row = world.sync("bill", bill_id)
    assert row.status == "parked"
    assert row.cause == "amount_differs"
    assert len(world.charges(invoice_id)) == 1
    world.wait(hours=3)
    assert len(world.charges(invoice_id)) == 1


def test_every_failure_mode_from_83_to_113_has_its_test_here_in_order() -> None:
    numbers = [int(name.split("_")[2]) for name in globals() if name.startswith("test_mode_")]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(83, 114))
