"""Bills that come after their invoice was closed, and what bills give back once it is: each charge and each credit once."""

import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connector import handlers, syncs
from connector.bills import approvals, ledger
from connector.models import LinePush
from connector.services import Services
from tests.flows.conftest import CALLS_PRICE, World

pytestmark = pytest.mark.alternate_databases

Make = Callable[..., Services]
UNBILLED, OWN = "unbilled_charge", "own_invoice"
OPERATIONS = {UNBILLED: "create_unbilled_charges", OWN: "create_one_time_invoice"}
JANUARY = {"date_from": 1767225600, "date_to": 1769904000}
MINUTES_TO_SETTLE = 3


class Died(BaseException):
    """A worker's sudden end."""


@pytest.fixture(params=[UNBILLED, OWN])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def late(world: World, make_services: Make, way: str) -> World:
    """January is over and its invoice closed before the bill; late bills go the way that is asked for, at once."""
    return closed_early(world, make_services, way)


def closed_early(world: World, make_services: Make, way: str) -> World:
    world.services = make_services(LATE_BILLS=way, WAIT_FOR_INVOICE_DAYS="0")
    world.sign_up()
    world.settle()
    world.chargebee.close_invoice(world.renew())
    world.settle()
    world.forget_calls()
    return world


def ours(world: World) -> list[int]:
    """The amount of every charge of ours, wherever it is, in minor units."""
    lines = [line for invoice in world.chargebee.invoices.values() for line in invoice["line_items"]]
    charges = [*lines, *world.chargebee.unbilled_charges.values()]
    return sorted(line["amount"] for line in charges if line["entity_type"] in ("charge_item_price", "adhoc"))


def own_invoices(world: World) -> list[dict[str, Any]]:
    """The invoices that have nothing but charges of ours."""
    return [
        invoice
        for invoice in world.chargebee.invoices.values()
        if {line["entity_type"] for line in invoice["line_items"]} <= {"charge_item_price", "adhoc"}
    ]


def another(world: World, bill_id: str) -> str:
    """A second approved bill with the same lines; m3ter itself makes one bill for an account and day."""
    other_id = "0" * 8 + "-0000-4000-8000-" + "0" * 12
    world.m3ter.bills[other_id] = copy.deepcopy(world.m3ter.bills[bill_id]) | {"id": other_id}
    world.m3ter._sequence[other_id] = len(world.m3ter._sequence) + 1
    return other_id


def pushes(world: World) -> list[tuple[int, str, str | None]]:
    with world.services.reading() as db:
        rows = db.query(LinePush).order_by(LinePush.id).all()
    return [(row.amount_minor, row.status, row.found_by) for row in rows]


def state(world: World, bill_id: str) -> tuple[str, str | None]:
    row = world.sync("bill", bill_id)
    return row.status, row.cause


def totals(world: World) -> list[tuple[str, str, bool]]:
    return [(one["bill_total"], one["invoice_total_added"], one["equal"]) for one in world.receipts()]


# Where a late bill goes


def test_a_late_bill_becomes_unbilled_charges_that_the_next_invoice_takes(world: World, make_services: Make) -> None:
    closed_early(world, make_services, UNBILLED)
    bill_id = world.bill({"subtotal": 10}, {"subtotal": 20, "description": "more calls"})
    world.poll()
    assert state(world, bill_id) == ("succeeded", None)
    waiting = list(world.chargebee.unbilled_charges.values())
    assert [(one["entity_id"], one["amount"], one["subscription_id"]) for one in waiting] == [
        (CALLS_PRICE, 1000, "sub-1"),
        (CALLS_PRICE, 2000, "sub-1"),
    ]
    assert all({name: one[name] for name in JANUARY} == JANUARY for one in waiting)
    assert totals(world) == [("30.00", "30.00", True)]
    charged = [one["chargebee_line_id"] for line in world.receipts()[0]["lines"] for one in line["charges"]]
    assert charged == [one["id"] for one in waiting]
    assert len(world.calls("chargebee", OPERATIONS[UNBILLED])) == 1

    world.box.advance(to=datetime(2026, 3, 1, 0, 10, tzinfo=UTC))
    world.settle()
    [march] = world.chargebee.pending_invoices("sub-1")
    assert world.charges(march["id"]) == [(CALLS_PRICE, 1000), (CALLS_PRICE, 2000)]
    # February's bill finds them there, and knows that they are ours.
    period = {"servicePeriodStartDate": "2026-02-01T00:00:00Z", "servicePeriodEndDate": "2026-03-01T00:00:00Z"}
    february = world.bill({"subtotal": 5} | period)
    world.poll()
    assert state(world, february) == ("succeeded", None)
    assert ours(world) == [500, 1000, 2000]
    final = world.chargebee.close_invoice(march["id"])
    world.settle()
    assert world.mapped("Bill") == [("Invoice", final["id"])] * 2


def test_a_late_bill_gets_an_invoice_of_its_own_which_is_closed(world: World, make_services: Make) -> None:
    closed_early(world, make_services, OWN)
    bill_id = world.bill({"subtotal": 10}, {"subtotal": 20, "description": "more calls"})
    world.poll()
    assert state(world, bill_id) == ("succeeded", None)
    [invoice] = own_invoices(world)
    assert [(line["entity_id"], line["amount"]) for line in invoice["line_items"]] == [
        (CALLS_PRICE, 1000),
        (CALLS_PRICE, 2000),
    ]
    assert all({name: line[name] for name in JANUARY} == JANUARY for line in invoice["line_items"])
    assert (invoice["status"], invoice["subscription_id"]) != ("pending", "sub-1")
    assert totals(world) == [("30.00", "30.00", True)]
    assert world.mapped("Bill") == [("Invoice", invoice["id"])]
    assert len(world.calls("chargebee", OPERATIONS[OWN])) == 1


def test_a_bill_waits_for_its_invoice_before_it_is_late(world: World, make_services: Make, way: str) -> None:
    closed_early(world, make_services, way)
    world.services = make_services(LATE_BILLS=way)
    bill_id = world.bill()
    world.poll()
    assert state(world, bill_id) == ("waiting", "no_pending_invoice")
    assert "until 2026-02-08" in str(world.sync("bill", bill_id).next_step)
    assert ours(world) == []
    world.wait(days=8)
    assert state(world, bill_id) == ("succeeded", None)
    assert ours(world) == [1000]


def test_a_late_line_without_an_item_is_charged_under_its_description(late: World) -> None:
    late.map("LineItemType", "AD_HOC", "*", table="AdHoc", currency="USD")
    ids = {"aggregationId": None, "productId": None, "planId": None}
    bill_id = late.bill({"subtotal": 10}, {"subtotal": 99, "lineItemType": "AD_HOC", "description": "Onboarding"} | ids)
    late.poll()
    assert state(late, bill_id) == ("succeeded", None)
    assert ours(late) == [1000, 9900]
    lines = [line for invoice in late.chargebee.invoices.values() for line in invoice["line_items"]]
    charges = [*lines, *late.chargebee.unbilled_charges.values()]
    assert [one["description"] for one in charges if one["entity_type"] == "adhoc"] == ["Onboarding"]


def test_credits_are_netted_into_late_charges_too(late: World) -> None:
    late.bill({"subtotal": 10}, {"lineItemType": "BALANCE_CONSUMED", "description": "Prepaid", "subtotal": -4})
    late.poll()
    assert ours(late) == [600]
    assert totals(late) == [("6.00", "6.00", True)]


def test_the_invoice_of_a_late_bill_is_no_place_for_another_bill(world: World, make_services: Make) -> None:
    closed_early(world, make_services, OWN)
    bill_id = world.bill({"subtotal": 10})
    world.box.faults.order("chargebee", "close_invoice", "status", count=9, status=400)
    world.poll()
    [pending] = own_invoices(world)
    assert pending["status"] == "pending"
    other = another(world, bill_id)
    world.poll()
    assert state(world, other) == ("succeeded", None)
    assert [len(invoice["line_items"]) for invoice in own_invoices(world)] == [1, 1]


# Once, whatever happens


@pytest.mark.parametrize("kind", ["cut", "truncated", "html", "refuse"])
def test_a_missing_answer_leaves_each_late_charge_once(late: World, way: str, kind: str) -> None:
    bill_id = late.bill({"subtotal": 1}, {"subtotal": 2}, {"subtotal": 2, "description": "the same again"})
    late.box.faults.order("chargebee", OPERATIONS[way], kind)
    late.poll()
    assert state(late, bill_id) == ("waiting", "settling")
    assert late.receipts() == []
    late.wait(seconds=60)
    assert len(late.calls("chargebee", OPERATIONS[way])) == 1, "nobody looks before it has settled"
    late.wait(minutes=MINUTES_TO_SETTLE)
    assert state(late, bill_id) == ("succeeded", None)
    assert ours(late) == [100, 200, 200]
    assert totals(late) == [("5.00", "5.00", True)]
    found_by = "look-up" if kind in ("cut", "truncated") else "answer"
    assert {found for _, _, found in pushes(late)} == {found_by}


def test_late_charges_that_take_effect_after_the_look_are_held_back_by_their_key(late: World, way: str) -> None:
    late.bill({"subtotal": 7})
    late.box.faults.order("chargebee", OPERATIONS[way], "late", seconds=150)
    late.poll()
    late.wait(seconds=121)
    late.wait(minutes=10)
    assert ours(late) == [700]
    assert totals(late) == [("7.00", "7.00", True)]


def test_refusals_for_a_while_delay_late_charges(late: World, way: str) -> None:
    late.bill({"subtotal": 7})
    late.box.faults.order("chargebee", OPERATIONS[way], "status", count=4, status=429, retry_after=1)
    late.poll()
    assert pushes(late) == [(700, "planned", None)], "a refusal leaves nothing to be looked up"
    late.wait(minutes=5)
    assert ours(late) == [700]
    assert len({call.idempotency_key for call in late.calls("chargebee", OPERATIONS[way])}) == 1


def test_a_worker_that_dies_after_the_answer_makes_no_late_charge_twice(
    late: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bill_id = late.bill({"subtotal": 1}, {"subtotal": 2})
    approvals.poll(late.services, "default")

    def die(*_: Any) -> bool:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(ledger, "finish", die)
        with pytest.raises(Died):
            syncs.attempt(late.services, late.sync("bill", bill_id).id, handlers.KINDS)
    assert [status for _, status, _ in pushes(late)] == ["sending", "sending"]
    for _ in range(3):
        late.wait(minutes=9)
    assert ours(late) == [100, 200]
    assert [found for _, _, found in pushes(late)] == ["look-up", "look-up"]
    assert totals(late) == [("3.00", "3.00", True)]


def test_a_worker_that_wakes_after_its_time_makes_no_late_charge(
    late: World, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bill_id = late.bill({"subtotal": 1})
    approvals.poll(late.services, "default")
    start_sending = ledger.start_sending

    def sleep_first(*arguments: Any) -> bool:
        done = start_sending(*arguments)
        late.box.advance(timedelta(minutes=11))
        return done

    with monkeypatch.context() as patched:
        patched.setattr(ledger, "start_sending", sleep_first)
        syncs.attempt(late.services, late.sync("bill", bill_id).id, handlers.KINDS)
    assert late.calls("chargebee", OPERATIONS[way]) == []
    late.wait(minutes=MINUTES_TO_SETTLE)
    assert ours(late) == [100]


def test_late_charges_that_were_invoiced_before_anybody_looked_are_found_on_the_invoice(late: World, way: str) -> None:
    bill_id = late.bill({"subtotal": 7}, {"subtotal": 8})
    late.box.faults.order("chargebee", OPERATIONS[way], "cut")
    late.poll()
    if way == UNBILLED:
        late.chargebee.invoice_unbilled_charges("sub-1")
    else:
        [draft] = own_invoices(late)
        late.chargebee.close_invoice(draft["id"])
    late.wait(minutes=MINUTES_TO_SETTLE)
    assert state(late, bill_id) == ("succeeded", None)
    assert ours(late) == [700, 800]
    assert len(late.calls("chargebee", OPERATIONS[way])) == 1
    assert totals(late) == [("15.00", "15.00", True)]


def test_an_equal_charge_that_was_there_before_is_never_taken_for_ours(late: World, way: str) -> None:
    charge = [{"item_price_id": CALLS_PRICE, "unit_price": 700, **JANUARY}]
    if way == UNBILLED:
        late.chargebee.create_unbilled_charges("sub-1", charge, currency_code="USD")
    else:
        late.chargebee.create_one_time_invoice(subscription_id="sub-1", item_prices=charge)
    late.bill({"subtotal": 7})
    late.box.faults.order("chargebee", OPERATIONS[way], "refuse")
    late.poll()
    late.wait(minutes=MINUTES_TO_SETTLE)
    assert ours(late) == [700, 700]
    assert pushes(late) == [(700, "done", "answer")]


def test_more_new_charges_like_ours_than_we_sent_are_left_to_a_person(late: World, way: str) -> None:
    bill_id = late.bill({"subtotal": 7})
    late.box.faults.order("chargebee", OPERATIONS[way], "cut")
    late.poll()
    charge = [{"item_price_id": CALLS_PRICE, "unit_price": 700, **JANUARY}]
    if way == UNBILLED:
        [theirs] = late.chargebee.create_unbilled_charges("sub-1", charge, currency_code="USD")
    else:
        theirs = late.chargebee.create_one_time_invoice(
            subscription_id="sub-1", item_prices=charge, create_pending_invoice=True
        )
    late.wait(minutes=MINUTES_TO_SETTLE)
    assert state(late, bill_id) == ("parked", "lines_differ")
    # Nothing but a person moves it on: neither another approval nor time.
    late.m3ter.recalculate(bill_id)
    late.m3ter.approve(bill_id)
    late.poll()
    late.wait(hours=3)
    assert late.sync("bill", bill_id).cause == "line_in_doubt"
    assert len(late.calls("chargebee", OPERATIONS[way])) == 1
    if way == UNBILLED:
        del late.chargebee.unbilled_charges[theirs["id"]]
    else:
        del late.chargebee.invoices[theirs["id"]]
    late.retry(late.sync("bill", bill_id).id)
    assert state(late, bill_id) == ("succeeded", None)
    assert ours(late) == [700]


def test_a_price_that_ignores_our_amount_parks_the_late_bill(late: World, way: str) -> None:
    late.chargebee.settings.price_override = False
    bill_id = late.bill({"subtotal": 7})
    late.poll()
    assert state(late, bill_id) == ("parked", "lines_differ")
    late.wait(hours=3)
    assert len(late.calls("chargebee", OPERATIONS[way])) == 1


def test_an_unbilled_charge_that_somebody_removed_is_missed_and_not_made_again(
    world: World, make_services: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed_early(world, make_services, UNBILLED)
    bill_id = world.bill({"subtotal": 1})
    finish = ledger.finish

    def remove(*arguments: Any) -> bool:
        world.chargebee.unbilled_charges.clear()
        return finish(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(ledger, "finish", remove)
        world.poll()
    assert state(world, bill_id) == ("parked", "verification_failed")
    world.wait(hours=3)
    assert (ours(world), world.receipts()) == ([], [])
    assert len(world.calls("chargebee", OPERATIONS[UNBILLED])) == 1


def test_an_old_answer_to_what_was_removed_since_is_not_believed(late: World, way: str) -> None:
    bill_id = late.bill({"subtotal": 7})
    late.box.faults.order("chargebee", OPERATIONS[way], "cut")
    late.poll()
    if way == UNBILLED:
        late.chargebee.unbilled_charges.clear()
    else:
        late.chargebee.delete_invoice(own_invoices(late)[0]["id"])
    late.wait(minutes=MINUTES_TO_SETTLE)
    assert state(late, bill_id) == ("parked", "line_removed")
    assert late.receipts() == []


def test_a_look_before_the_answer_has_settled_is_put_off_even_for_a_person(late: World, way: str) -> None:
    bill_id = late.bill({"subtotal": 7})
    late.box.faults.order("chargebee", OPERATIONS[way], "late", seconds=90)
    late.poll()
    late.retry(late.sync("bill", bill_id).id)
    assert state(late, bill_id) == ("waiting", "settling")
    assert len(late.calls("chargebee", OPERATIONS[way])) == 1
    late.wait(minutes=MINUTES_TO_SETTLE)
    assert ours(late) == [700]
    assert pushes(late) == [(700, "done", "look-up")]


def test_a_late_bill_that_changed_while_its_answer_was_missing_sends_only_the_difference(late: World, way: str) -> None:
    bill_id = late.bill({"subtotal": 10})
    late.box.faults.order("chargebee", OPERATIONS[way], "cut")
    late.poll()
    late.m3ter.recalculate(bill_id)
    late.m3ter.add_line(bill_id, **(late.usage_line() | {"subtotal": 4, "segment": {"region": "eu"}}))
    late.m3ter.approve(bill_id)
    late.poll()
    assert state(late, bill_id) == ("waiting", "settling")
    late.wait(minutes=MINUTES_TO_SETTLE)
    assert state(late, bill_id) == ("succeeded", None)
    assert ours(late) == [400, 1000]
    assert totals(late) == [("14.00", "14.00", True)]


def test_a_late_bill_that_grew_sends_only_the_difference(late: World, way: str) -> None:
    bill_id = late.bill({"subtotal": 10})
    late.poll()
    late.settle()
    late.m3ter.recalculate(bill_id)
    late.m3ter.add_line(bill_id, **(late.usage_line() | {"subtotal": 4, "segment": {"region": "eu"}}))
    late.m3ter.approve(bill_id)
    late.poll()
    assert state(late, bill_id) == ("succeeded", None)
    assert ours(late) == [400, 1000]
    assert totals(late) == [("10.00", "10.00", True), ("14.00", "14.00", True)]
    assert len(own_invoices(late)) == (2 if way == OWN else 0)


def test_what_a_bill_gained_after_its_invoice_was_closed_goes_the_late_way(
    world: World, make_services: Make, way: str
) -> None:
    world.services = make_services(LATE_BILLS=way)
    world.sign_up()
    world.settle()
    invoice_id = world.renew()
    bill_id = world.bill({"subtotal": 10})
    world.poll()
    world.chargebee.close_invoice(invoice_id)
    world.settle()
    world.m3ter.recalculate(bill_id)
    world.m3ter.add_line(bill_id, **(world.usage_line() | {"subtotal": 4, "segment": {"region": "eu"}}))
    world.m3ter.approve(bill_id)
    world.poll()
    assert state(world, bill_id) == ("succeeded", None)
    assert ours(world) == [400, 1000]
    assert totals(world)[-1] == ("14.00", "14.00", True)


def test_an_equal_late_charge_of_another_bill_is_not_taken_for_ours(late: World, way: str) -> None:
    first = late.bill({"subtotal": 7})
    late.box.faults.order("chargebee", OPERATIONS[way], "refuse")
    late.poll()
    assert state(late, first) == ("waiting", "settling")
    second = another(late, first)
    late.poll()
    assert state(late, second) == ("succeeded", None)
    late.wait(minutes=MINUTES_TO_SETTLE)
    assert state(late, first) == ("succeeded", None)
    assert ours(late) == [700, 700]
    assert [found for _, _, found in pushes(late)] == ["answer", "answer"]


# Credit notes

CREDIT_NOTE = "create_credit_note"
MEMO = {"lineItemType": "CREDIT_MEMO", "description": "Goodwill"}
NOTES = {"NEGATIVE_LINES": "credit_note", "NEGATIVE_TOTAL": "credit_note"}
MINUTES_TO_RECHECK = 11


@pytest.fixture
def renewed(world: World, make_services: Make) -> tuple[World, str]:
    """January is over, its invoice is pending, and what bills give back becomes credit notes."""
    world.services = make_services(**NOTES)
    world.sign_up()
    world.settle()
    return world, world.renew()


def notes(world: World) -> list[tuple[str, int, str | None]]:
    """Type, total and invoice of each credit note."""
    rows = world.chargebee.credit_notes.values()
    return [(row["type"], row["total"], row.get("reference_invoice_id")) for row in rows]


def close(world: World, invoice_id: str) -> str:
    """Somebody closes the invoice; answers its final id once the waiting bill has had another look."""
    final = world.chargebee.close_invoice(invoice_id)
    world.settle()
    return str(final["id"])


def test_a_credit_note_waits_for_the_close_of_the_invoice_that_it_is_on(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 10}, {"subtotal": -3} | MEMO)
    world.poll()
    assert world.charges(invoice_id) == [(CALLS_PRICE, 1000)]
    row = world.sync("bill", bill_id)
    assert (row.status, row.cause, row.wakes_on) == ("waiting", "waiting_for_close", f"closed:{bill_id}")
    assert (notes(world), world.receipts()) == ([], [])
    final_id = close(world, invoice_id)
    assert state(world, bill_id) == ("succeeded", None)
    assert notes(world) == [("adjustment", 300, final_id)]
    [note] = world.chargebee.credit_notes.values()
    assert note["customer_notes"].startswith("Goodwill")
    assert bill_id in note["customer_notes"]
    assert totals(world) == [("7.00", "7.00", True)]
    assert world.chargebee.invoices[final_id]["amount_adjusted"] == 300


def test_of_an_invoice_that_is_paid_already_the_credit_is_refundable(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 10}, {"subtotal": -3} | MEMO)
    world.poll()
    final = world.chargebee.close_invoice(invoice_id)
    if final["amount_due"]:
        world.chargebee.record_payment(final["id"], payment_method="cash")
    world.settle()
    assert state(world, bill_id) == ("succeeded", None)
    assert notes(world) == [("refundable", 300, final["id"])]


def test_a_bill_without_charges_gives_the_customer_a_credit_note_of_its_own(renewed: tuple[World, str]) -> None:
    world, _ = renewed
    bill_id = world.bill({"subtotal": -3} | MEMO)
    world.poll()
    assert state(world, bill_id) == ("succeeded", None)
    assert notes(world) == [("refundable", 300, None)]
    assert [row["customer_id"] for row in world.chargebee.credit_notes.values()] == ["acme"]
    assert totals(world) == [("-3.00", "-3.00", True)]


@pytest.mark.parametrize("kind", ["cut", "truncated", "html", "refuse"])
@pytest.mark.parametrize("charged", [True, False], ids=["on the invoice", "of its own"])
def test_a_missing_answer_leaves_one_credit_note(renewed: tuple[World, str], kind: str, *, charged: bool) -> None:
    world, invoice_id = renewed
    bill_id = world.bill(*([{"subtotal": 10}] if charged else []), {"subtotal": -3} | MEMO)
    world.box.faults.order("chargebee", CREDIT_NOTE, kind)
    world.poll()
    if charged:
        close(world, invoice_id)
    assert state(world, bill_id) == ("waiting", "settling")
    assert len(world.calls("chargebee", CREDIT_NOTE)) == 1
    world.wait(minutes=MINUTES_TO_SETTLE)
    assert state(world, bill_id) == ("succeeded", None)
    assert [total for _, total, _ in notes(world)] == [300]
    assert all(equal for _, _, equal in totals(world))
    assert pushes(world)[-1] == (300, "done", "look-up" if kind in ("cut", "truncated") else "answer")


def test_a_worker_that_dies_after_the_answer_gives_no_credit_twice(
    renewed: tuple[World, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, _ = renewed
    bill_id = world.bill({"subtotal": -3} | MEMO)
    approvals.poll(world.services, "default")

    def die(*_: Any) -> bool:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(ledger, "finish", die)
        with pytest.raises(Died):
            syncs.attempt(world.services, world.sync("bill", bill_id).id, handlers.KINDS)
    for _ in range(3):
        world.wait(minutes=9)
    assert [total for _, total, _ in notes(world)] == [300]
    assert pushes(world) == [(300, "done", "look-up")]


def test_a_credit_note_of_another_bill_is_not_taken_for_ours(renewed: tuple[World, str]) -> None:
    world, _ = renewed
    bill_id = world.bill({"subtotal": -3} | MEMO)
    world.poll()
    world.box.faults.order("chargebee", CREDIT_NOTE, "refuse")
    other = another(world, bill_id)
    world.poll()
    world.wait(minutes=MINUTES_TO_SETTLE)
    assert [state(world, one) for one in (bill_id, other)] == [("succeeded", None)] * 2
    assert [total for _, total, _ in notes(world)] == [300, 300]


def test_a_bill_that_shrank_gives_back_the_difference_when_its_invoice_is_closed(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 10}, {"subtotal": 5, "segment": {"region": "eu"}})
    world.poll()
    world.m3ter.extra_lines[bill_id].pop()
    world.m3ter.recalculate(bill_id)
    world.m3ter.approve(bill_id)
    world.poll()
    assert state(world, bill_id) == ("waiting", "waiting_for_close")
    final_id = close(world, invoice_id)
    assert state(world, bill_id) == ("succeeded", None)
    assert notes(world) == [("adjustment", 500, final_id)]
    assert totals(world) == [("15.00", "15.00", True), ("10.00", "10.00", True)]
    # A credit that was given counts: growing again sends the difference to that.
    world.m3ter.recalculate(bill_id)
    world.m3ter.approve(bill_id)
    world.poll()
    assert len(notes(world)) == 1


def test_a_bill_whose_invoice_we_close_gives_its_credit_at_once(world: World, make_services: Make) -> None:
    world.services = make_services(CLOSE_INVOICES="yes", **NOTES)
    world.sign_up()
    world.settle()
    world.renew()
    bill_id = world.bill({"subtotal": 10}, {"subtotal": -3} | MEMO)
    bills = [bill_id, another(world, bill_id)]
    world.poll()
    world.settle()
    world.wait(minutes=MINUTES_TO_RECHECK)
    assert [state(world, one) for one in bills] == [("succeeded", None)] * 2
    assert [(kind, total) for kind, total, _ in notes(world)] == [("adjustment", 300)] * 2


def test_a_late_bill_with_an_invoice_of_its_own_has_its_credit_note_on_it(world: World, make_services: Make) -> None:
    closed_early(world, make_services, OWN)
    world.services = make_services(LATE_BILLS=OWN, WAIT_FOR_INVOICE_DAYS="0", **NOTES)
    bill_id = world.bill({"subtotal": 10}, {"subtotal": -3} | MEMO)
    world.poll()
    assert state(world, bill_id) == ("succeeded", None)
    [invoice] = own_invoices(world)
    assert notes(world) == [("adjustment", 300, invoice["id"])]
    assert totals(world) == [("7.00", "7.00", True)]


def test_the_credit_note_of_unbilled_charges_waits_for_the_invoice_that_takes_them(
    world: World, make_services: Make
) -> None:
    closed_early(world, make_services, UNBILLED)
    world.services = make_services(LATE_BILLS=UNBILLED, WAIT_FOR_INVOICE_DAYS="0", **NOTES)
    bill_id = world.bill({"subtotal": 10}, {"subtotal": -3} | MEMO)
    world.poll()
    assert state(world, bill_id) == ("waiting", "waiting_for_close")
    [invoice] = world.chargebee.invoice_unbilled_charges("sub-1")
    world.settle()
    world.wait(minutes=MINUTES_TO_RECHECK)
    assert state(world, bill_id) == ("succeeded", None)
    assert notes(world) == [("adjustment", 300, invoice["id"])]


def test_a_credit_note_that_waits_is_planned_anew_when_the_bill_changes(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 10}, {"subtotal": -3} | MEMO)
    world.poll()
    world.m3ter.extra_lines[bill_id].pop()
    world.m3ter.recalculate(bill_id)
    world.m3ter.approve(bill_id)
    world.poll()
    assert state(world, bill_id) == ("succeeded", None)
    close(world, invoice_id)
    assert (notes(world), ours(world)) == ([], [1000])
    assert totals(world) == [("10.00", "10.00", True)]


def test_a_credit_whose_answer_is_missing_is_not_looked_for_before_it_has_settled(renewed: tuple[World, str]) -> None:
    world, _ = renewed
    bill_id = world.bill({"subtotal": -3} | MEMO)
    world.box.faults.order("chargebee", CREDIT_NOTE, "late", seconds=90)
    world.poll()
    world.retry(world.sync("bill", bill_id).id)
    assert state(world, bill_id) == ("waiting", "settling")
    assert len(world.calls("chargebee", CREDIT_NOTE)) == 1
    world.wait(minutes=MINUTES_TO_SETTLE)
    assert pushes(world) == [(300, "done", "look-up")]


def test_a_credit_whose_answer_is_missing_counts_when_the_bill_changes(renewed: tuple[World, str]) -> None:
    world, _ = renewed
    bill_id = world.bill({"subtotal": -3} | MEMO)
    world.box.faults.order("chargebee", CREDIT_NOTE, "cut")
    world.poll()
    world.m3ter.recalculate(bill_id)
    more = {"subtotal": -2, "segment": {"region": "eu"}} | MEMO
    world.m3ter.add_line(bill_id, **(world.usage_line() | more))
    world.m3ter.approve(bill_id)
    world.poll()
    world.wait(minutes=MINUTES_TO_SETTLE)
    assert state(world, bill_id) == ("succeeded", None)
    assert sorted(total for _, total, _ in notes(world)) == [200, 300]
    assert totals(world) == [("-5.00", "-5.00", True)]
