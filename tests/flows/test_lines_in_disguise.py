"""Lines that could be taken for others: applied too late, added by people at the wrong moment, or under another id."""

import copy
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from connector.bills import approvals
from connector.clients.http import Http
from connector.sandbox.chargebee import charges as sandbox_charges
from connector.sandbox.chargebee import subscriptions as sandbox_subscriptions
from connector.services import Services
from tests.flows.conftest import CALLS_PRICE, World
from tests.flows.test_failure_modes import JANUARY, MARCH_1, before_call
from tests.flows.test_late_bills import OPERATIONS, OWN, UNBILLED, another, closed_early, ours, pushes, state, totals

pytestmark = pytest.mark.alternate_databases

Make = Callable[..., Services]
EU = {"segment": {"region": "eu"}}
FEBRUARY = {"servicePeriodStartDate": "2026-02-01T00:00:00Z", "servicePeriodEndDate": "2026-03-01T00:00:00Z"}
# The bill, the invoice for the line in doubt, the pending invoices, each line, the bill again.
BEFORE_THE_FIRST_LINE = 3


@pytest.fixture
def renewed(world: World) -> tuple[World, str]:
    world.sign_up()
    world.settle()
    return world, world.renew()


def amounts(world: World, invoice_id: str) -> list[int]:
    return sorted(amount for _, amount in world.charges(invoice_id))


def calculated_again(world: World, bill_id: str, *lines: dict[str, Any], drop: bool = False) -> None:
    if drop:
        world.m3ter.extra_lines[bill_id].clear()
    world.m3ter.recalculate(bill_id)
    for line in lines:
        world.m3ter.add_line(bill_id, **(world.usage_line() | line))
    world.m3ter.approve(bill_id)
    approvals.poll(world.services, "default")


# A line that comes into effect after it was looked for


def test_a_line_that_comes_late_into_a_bill_that_grew_is_held_back_by_its_old_key(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 1})
    world.box.faults.order("chargebee", "add_charge_item", "late", seconds=400)
    world.poll()
    calculated_again(world, bill_id, {"subtotal": 3} | EU)
    world.wait(seconds=130)
    assert state(world, bill_id) == ("succeeded", None)
    world.wait(minutes=10)
    assert amounts(world, invoice_id) == [100, 300]
    assert totals(world) == [("4.00", "4.00", True)]
    assert len({call.idempotency_key for call in world.calls("chargebee", "add_charge_item")}) == 2


def test_a_key_whose_line_is_there_is_not_used_again_for_the_same_difference(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 1})
    world.box.faults.order("chargebee", "add_charge_item", "refuse")
    world.poll()
    calculated_again(world, bill_id, {"subtotal": 3} | EU)
    world.wait(seconds=130)
    # Once more as much of the first line: the same charge by all that a call says of it.
    calculated_again(world, bill_id, {"subtotal": 2}, {"subtotal": 3} | EU, drop=True)
    world.work()
    assert state(world, bill_id) == ("succeeded", None)
    assert amounts(world, invoice_id) == [100, 100, 300]


@pytest.mark.parametrize("foreign", ["park", "ignore"])
def test_a_line_that_comes_late_beside_what_the_bill_has_become_is_found_before_the_receipt(
    renewed: tuple[World, str], make_services: Make, monkeypatch: pytest.MonkeyPatch, foreign: str
) -> None:
    world, invoice_id = renewed
    world.services = make_services(FOREIGN_LINES=foreign)
    bill_id = world.bill({"subtotal": 1})
    world.box.faults.order("chargebee", "add_charge_item", "late", seconds=400)
    world.poll()
    calculated_again(world, bill_id, {"subtotal": 2}, drop=True)
    world.box.advance(timedelta(seconds=130))
    with before_call(BEFORE_THE_FIRST_LINE, lambda: world.box.advance(timedelta(seconds=280)), monkeypatch):
        world.work()
    assert amounts(world, invoice_id) == [100, 200]
    assert state(world, bill_id) == ("parked", "line_doubled")
    assert "100 on invoice" in str(world.sync("bill", bill_id).text)
    assert world.receipts() == []
    [extra] = [one for one in world.chargebee.invoices[invoice_id]["line_items"] if one["amount"] == 100]
    world.chargebee.delete_line_items(invoice_id, [extra["id"]])
    world.retry(world.sync("bill", bill_id).id)
    assert (amounts(world, invoice_id), totals(world)) == ([200], [("2.00", "2.00", True)])


def test_a_person_may_let_a_line_stand_that_is_like_one_that_was_given_up(
    renewed: tuple[World, str], make_services: Make
) -> None:
    world, invoice_id = renewed
    world.services = make_services(FOREIGN_LINES="ignore")
    bill_id = world.bill({"subtotal": 1})
    world.box.faults.order("chargebee", "add_charge_item", "refuse")
    world.poll()
    calculated_again(world, bill_id, {"subtotal": 2}, drop=True)
    world.box.advance(timedelta(seconds=130))
    world.box.faults.order("chargebee", "list_invoices", "status", status=429, retry_after=60)
    world.work()
    world.chargebee.add_charge_item(invoice_id, CALLS_PRICE, 100, **JANUARY)
    world.wait(minutes=10)
    assert state(world, bill_id) == ("parked", "line_doubled")
    world.retry(world.sync("bill", bill_id).id)
    assert state(world, bill_id) == ("succeeded", None)
    assert (amounts(world, invoice_id), totals(world)) == ([100, 200], [("2.00", "2.00", True)])


@pytest.mark.parametrize("way", [UNBILLED, OWN])
def test_late_charges_that_come_late_beside_what_the_bill_has_become_are_found_before_the_receipt(
    world: World, make_services: Make, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    closed_early(world, make_services, way)
    bill_id = world.bill({"subtotal": 1})
    world.box.faults.order("chargebee", OPERATIONS[way], "late", seconds=400)
    world.poll()
    calculated_again(world, bill_id, {"subtotal": 2}, drop=True)
    world.box.advance(timedelta(seconds=130))
    create = getattr(world.chargebee, OPERATIONS[way])

    def after_the_late_one(*arguments: Any, **named: Any) -> Any:
        monkeypatch.setattr(world.chargebee, OPERATIONS[way], create)
        world.box.advance(timedelta(seconds=280))
        return create(*arguments, **named)

    monkeypatch.setattr(world.chargebee, OPERATIONS[way], after_the_late_one)
    world.work()
    assert ours(world) == [100, 200]
    assert state(world, bill_id) == ("parked", "line_doubled")
    assert world.receipts() == []


CREDIT = {"lineItemType": "CREDIT_MEMO", "description": "Goodwill", "subtotal": -4}


def test_a_credit_that_comes_late_and_is_another_by_then_is_found_before_the_receipt(
    renewed: tuple[World, str], make_services: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, _ = renewed
    world.services = make_services(NEGATIVE_LINES="promotional_credit")
    bill_id = world.bill({"subtotal": 10}, CREDIT)
    world.box.faults.order("chargebee", "add_promotional_credits", "late", seconds=400)
    world.poll()
    calculated_again(world, bill_id, {"subtotal": 10}, CREDIT | {"subtotal": -5}, drop=True)
    world.box.advance(timedelta(seconds=130))
    call = Http.call

    def after_the_late_one(self: Http, **request: Any) -> Any:
        if request["operation"].startswith("PromotionalCredit.add"):
            world.box.advance(timedelta(seconds=280))
        return call(self, **request)

    monkeypatch.setattr(Http, "call", after_the_late_one)
    world.work()
    assert sorted(one["amount"] for one in world.chargebee.promotional_credits.values()) == [400, 500]
    assert state(world, bill_id) == ("parked", "line_doubled")
    assert world.receipts() == []


def test_a_credit_that_comes_late_into_a_bill_that_grew_is_held_back_by_its_old_key(
    renewed: tuple[World, str], make_services: Make
) -> None:
    world, _ = renewed
    world.services = make_services(NEGATIVE_LINES="promotional_credit")
    bill_id = world.bill({"subtotal": 10}, CREDIT)
    world.box.faults.order("chargebee", "add_promotional_credits", "late", seconds=400)
    world.poll()
    calculated_again(world, bill_id, {"subtotal": 3} | EU)
    world.wait(seconds=130)
    world.wait(minutes=10)
    assert state(world, bill_id) == ("succeeded", None)
    assert [one["amount"] for one in world.chargebee.promotional_credits.values()] == [400]


# A person's line at the wrong moment


def test_a_foreign_line_added_while_we_sent_is_found_before_the_receipt(
    renewed: tuple[World, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 1}, {"subtotal": 2})
    approvals.poll(world.services, "default")
    foreign = {"subtotal": 9}

    def add() -> None:
        world.chargebee.add_charge_item(invoice_id, CALLS_PRICE, 100 * foreign["subtotal"], **JANUARY)

    with before_call(3, add, monkeypatch):
        world.work()
    assert state(world, bill_id) == ("parked", "foreign_lines")
    assert "all lines of the bill are sent" in str(world.sync("bill", bill_id).text)
    assert world.receipts() == []


def test_a_persons_equal_line_in_place_of_ours_that_never_came_is_taken_for_ours_and_the_total_is_right(
    renewed: tuple[World, str],
) -> None:
    """Nobody can tell the two apart: the invoice has the bill's line once, and the receipt says how it was found."""
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 7})
    world.box.faults.order("chargebee", "add_charge_item", "refuse")
    world.poll()
    world.chargebee.add_charge_item(invoice_id, CALLS_PRICE, 700, **JANUARY)
    world.wait(minutes=3)
    assert state(world, bill_id) == ("succeeded", None)
    assert amounts(world, invoice_id) == [700]
    assert totals(world) == [("7.00", "7.00", True)]
    assert pushes(world) == [(700, "done", "look-up")]
    said = [sentence for tried in world.attempts(world.sync("bill", bill_id).id) for sentence in tried.did]
    assert any("was on the invoice already after a missing answer" in sentence for sentence in said)


# Unbilled charges that get other ids on the invoice that takes them


@pytest.fixture
def renamed(world: World, make_services: Make, monkeypatch: pytest.MonkeyPatch) -> World:
    """Late bills become unbilled charges, and Chargebee gives these other ids on the invoice."""
    lines_of = sandbox_charges.lines_of

    def renamed_lines(charges: list[Any]) -> list[Any]:
        return [copy.deepcopy(line) | {"id": f"li_new_{line['id'][-12:]}"} for line in lines_of(charges)]

    monkeypatch.setattr(sandbox_charges, "lines_of", renamed_lines)
    monkeypatch.setattr(sandbox_subscriptions, "lines_of", renamed_lines)
    closed_early(world, make_services, UNBILLED)
    return world


def march(world: World) -> str:
    """The first of March comes, and with it an invoice that takes what waits."""
    world.box.advance(to=MARCH_1)
    world.settle()
    [invoice] = world.chargebee.pending_invoices("sub-1")
    return str(invoice["id"])


def test_the_next_bill_knows_unbilled_charges_under_their_new_ids(renamed: World) -> None:
    renamed.bill({"subtotal": 10}, {"subtotal": 10} | EU, {"subtotal": 20, "description": "more"})
    renamed.poll()
    invoice_id = march(renamed)
    february = renamed.bill({"subtotal": 5} | FEBRUARY)
    renamed.poll()
    assert state(renamed, february) == ("succeeded", None)
    assert amounts(renamed, invoice_id) == [500, 1000, 1000, 2000]


def test_a_line_like_an_unbilled_charge_but_one_too_many_is_foreign(renamed: World) -> None:
    renamed.bill({"subtotal": 10})
    renamed.poll()
    invoice_id = march(renamed)
    renamed.chargebee.add_charge_item(invoice_id, CALLS_PRICE, 1000, **JANUARY)
    february = renamed.bill({"subtotal": 5} | FEBRUARY)
    renamed.poll()
    assert state(renamed, february) == ("parked", "foreign_lines")


def test_an_invoice_from_before_the_charge_cannot_have_taken_it(renamed: World) -> None:
    invoice_id = march(renamed)
    renamed.bill({"subtotal": 10})
    late_id = another(renamed, next(iter(renamed.m3ter.bills)))
    renamed.m3ter.bills[late_id] |= {"startDate": "2026-01-01", "endDate": "2026-02-01", "billDate": "2026-02-01"}
    renamed.poll()
    assert ours(renamed)[:1] == [1000]
    renamed.chargebee.add_charge_item(invoice_id, CALLS_PRICE, 1000, **JANUARY)
    february = another_of_february(renamed)
    renamed.poll()
    assert state(renamed, february) == ("parked", "foreign_lines")


def another_of_february(world: World) -> str:
    """A bill that goes on the pending invoice of the first of March."""
    bill_id = "1" * 8 + "-0000-4000-8000-" + "1" * 12
    like = copy.deepcopy(next(iter(world.m3ter.bills.values())))
    world.m3ter.bills[bill_id] = like | {"id": bill_id, "startDate": "2026-02-01", "endDate": "2026-03-01"}
    world.m3ter._sequence[bill_id] = len(world.m3ter._sequence) + 1
    return bill_id


def test_mappings_and_receipt_follow_an_unbilled_charge_to_its_new_id_when_the_invoice_is_closed(
    renamed: World,
) -> None:
    bill_id = renamed.bill({"subtotal": 10}, {"subtotal": 10} | EU)
    renamed.poll()
    final = renamed.chargebee.close_invoice(march(renamed))
    renamed.settle()
    lines = {line["id"] for line in final["line_items"] if line["entity_id"] == CALLS_PRICE}
    assert len(lines) == 2
    assert renamed.mapped("Bill") == [("Invoice", final["id"])]
    assert {external_id for _, external_id in renamed.mapped("BillItem")} == lines
    assert state(renamed, bill_id) == ("succeeded", None)


def test_a_renamed_charge_of_one_bill_is_not_taken_for_the_lost_one_of_another(renamed: World) -> None:
    first = renamed.bill({"subtotal": 7})
    renamed.poll()
    second = another(renamed, first)
    renamed.box.faults.order("chargebee", OPERATIONS[UNBILLED], "refuse")
    renamed.poll()
    assert state(renamed, second) == ("waiting", "settling")
    renamed.chargebee.invoice_unbilled_charges("sub-1")
    renamed.wait(minutes=3)
    assert state(renamed, second) == ("succeeded", None)
    assert ours(renamed) == [700, 700]


def test_a_renamed_charge_of_a_person_is_not_taken_for_our_lost_one(renamed: World) -> None:
    charge = [{"item_price_id": CALLS_PRICE, "unit_price": 700, **JANUARY}]
    renamed.chargebee.create_unbilled_charges("sub-1", charge, currency_code="USD")
    bill_id = renamed.bill({"subtotal": 7})
    renamed.box.faults.order("chargebee", OPERATIONS[UNBILLED], "refuse")
    renamed.poll()
    renamed.chargebee.invoice_unbilled_charges("sub-1")
    renamed.wait(minutes=3)
    assert state(renamed, bill_id) == ("succeeded", None)
    assert ours(renamed) == [700, 700]


def test_our_lost_charge_that_was_made_and_invoiced_is_found_under_its_new_id(renamed: World) -> None:
    charge = [{"item_price_id": CALLS_PRICE, "unit_price": 700, **JANUARY}]
    renamed.chargebee.create_unbilled_charges("sub-1", charge, currency_code="USD")
    bill_id = renamed.bill({"subtotal": 7})
    renamed.box.faults.order("chargebee", OPERATIONS[UNBILLED], "cut")
    renamed.poll()
    renamed.chargebee.invoice_unbilled_charges("sub-1")
    renamed.wait(minutes=3)
    assert state(renamed, bill_id) == ("succeeded", None)
    assert ours(renamed) == [700, 700]
    assert len(renamed.calls("chargebee", OPERATIONS[UNBILLED])) == 1


def test_unbilled_charges_that_are_invoiced_before_they_are_verified_are_followed(
    renamed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bill_id = renamed.bill({"subtotal": 7}, {"subtotal": 8})
    create = renamed.chargebee.create_unbilled_charges

    def invoiced_at_once(*arguments: Any, **named: Any) -> Any:
        made = create(*arguments, **named)
        renamed.chargebee.invoice_unbilled_charges("sub-1")
        return made

    monkeypatch.setattr(renamed.chargebee, "create_unbilled_charges", invoiced_at_once)
    renamed.poll()
    assert state(renamed, bill_id) == ("succeeded", None)
    assert totals(renamed) == [("15.00", "15.00", True)]
