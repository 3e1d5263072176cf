"""Bills on their way to invoices: credits netted, lines grouped, who gets what, who has to agree, and what follows a push."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from connector.bills import ledger
from connector.bills.lines import content_hash
from connector.services import Services
from tests.flows.conftest import CALLS_PRICE, PRO, UNMAPPED, World

pytestmark = pytest.mark.alternate_databases

Make = Callable[..., Services]
MINUTES_TO_SETTLE = 3


@pytest.fixture
def renewed(world: World) -> tuple[World, str]:
    """A subscription with its pending renewal invoice."""
    world.sign_up()
    world.settle()
    return world, world.renew()


def drawn(subtotal: Any, **difference: Any) -> dict[str, Any]:
    return {"lineItemType": "BALANCE_CONSUMED", "description": "Prepaid credit used", "subtotal": subtotal} | difference


def states(world: World, bill_id: str) -> tuple[str, str | None]:
    row = world.sync("bill", bill_id)
    return row.status, row.cause


# Credits


def test_a_drawn_balance_is_netted_and_the_receipt_shows_into_what(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    world.bill({"subtotal": 10}, drawn(Decimal("-4.50")))
    world.poll()
    assert world.charges(invoice_id) == [(CALLS_PRICE, 550)]
    [receipt] = world.receipts()
    assert (receipt["bill_total"], receipt["invoice_total_added"], receipt["equal"]) == ("5.50", "5.50", True)
    assert [[(one["amount"], one["of"]) for one in line["charges"]] for line in receipt["lines"]] == [
        [("10.00", "5.50")],
        [("-4.50", "5.50")],
    ]


def test_a_bill_that_comes_to_nothing_is_recorded_and_sends_nothing(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 10}, drawn(-10))
    world.poll()
    assert (states(world, bill_id), world.charges(invoice_id)) == (("succeeded", None), [])
    assert [receipt["equal"] for receipt in world.receipts()] == [True]


@pytest.mark.parametrize("kind", [None, "cut", "refuse", "html", "truncated"])
def test_more_credit_than_charges_is_given_once_as_a_promotional_credit(
    renewed: tuple[World, str], make_services: Make, kind: str | None
) -> None:
    world, invoice_id = renewed
    world.services = make_services(NEGATIVE_TOTAL="promotional_credit")
    bill_id = world.bill({"subtotal": 10}, drawn(-12))
    if kind:
        world.box.faults.order("chargebee", "add_promotional_credits", kind)
    world.poll()
    for _ in range(3):
        world.wait(minutes=10)
    assert states(world, bill_id) == ("succeeded", None)
    given = list(world.chargebee.promotional_credits.values())
    assert [(one["customer_id"], one["amount"], one["type"]) for one in given] == [("acme", 200, "increment")]
    assert bill_id in given[0]["reference"]
    assert world.charges(invoice_id) == []
    [receipt] = world.receipts()
    assert (receipt["bill_total"], receipt["invoice_total_added"]) == ("-2.00", "-2.00")


def test_a_bill_whose_credits_changed_sends_only_the_difference(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 10}, drawn(-4))
    world.poll()
    world.m3ter.recalculate(bill_id)
    world.m3ter.add_line(bill_id, **(world.usage_line() | {"subtotal": 7, "description": "late usage"}))
    world.m3ter.approve(bill_id)
    world.poll()
    assert sum(amount for _, amount in world.charges(invoice_id)) == 1300
    assert [receipt["invoice_total_added"] for receipt in world.receipts()][-1] == "13.00"


# Grouping and charges without an item


def test_lines_of_one_charge_item_become_one_charge_and_the_receipt_keeps_each(
    renewed: tuple[World, str], make_services: Make
) -> None:
    world, invoice_id = renewed
    world.services = make_services(GROUP_LINES="always")
    world.bill(*({"subtotal": Decimal("0.335"), "description": f"line {n}"} for n in range(3)))
    world.poll()
    assert world.charges(invoice_id) == [(CALLS_PRICE, 100)]
    [receipt] = world.receipts()
    assert sorted(line["charges"][0]["amount"] for line in receipt["lines"]) == ["0.33", "0.33", "0.34"]


def test_a_thousand_lines_are_a_few_charges(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    bill_id = world.bill(*({"subtotal": Decimal("1.01"), "description": f"line {n}"} for n in range(1000)))
    world.poll()
    assert states(world, bill_id) == ("succeeded", None)
    assert world.charges(invoice_id) == [(CALLS_PRICE, 101000)]


@pytest.mark.parametrize("kind", [None, "cut", "refuse"])
def test_a_line_that_is_mapped_to_no_item_is_charged_once_under_its_description(
    renewed: tuple[World, str], kind: str | None
) -> None:
    world, invoice_id = renewed
    world.map("LineItemType", "AD_HOC", "*", table="AdHoc", currency="USD")
    if kind:
        world.box.faults.order("chargebee", "add_charge", kind)
    line = {
        "lineItemType": "AD_HOC",
        "description": "Onboarding",
        "aggregationId": None,
        "productId": None,
        "planId": None,
    }
    world.bill({"subtotal": 99} | line)
    world.poll()
    world.wait(minutes=MINUTES_TO_SETTLE)
    lines = [one for one in world.chargebee.invoices[invoice_id]["line_items"] if one["entity_type"] == "adhoc"]
    assert [(one["description"], one["amount"]) for one in lines] == [("Onboarding", 9900)]
    assert len(world.receipts()) == 1


# Whose line it is


def test_a_line_of_a_child_account_goes_on_the_invoice_of_the_childs_subscription(world: World) -> None:
    world.sign_up()
    world.sign_up("daughter", "sub-2")
    world.settle()
    invoice_id = world.renew()
    [childs] = world.chargebee.pending_invoices("sub-2")
    child = world.m3ter.account_by_code("daughter")["id"]
    world.bill({"subtotal": 10}, {"subtotal": 20, "childAccountId": child})
    world.poll()
    assert world.charges(invoice_id) == [(CALLS_PRICE, 1000)]
    assert world.charges(childs["id"]) == [(CALLS_PRICE, 2000)]


def test_a_line_that_may_be_anybodys_goes_where_a_person_said(world: World) -> None:
    other = world.m3ter.create_product("storage")
    template = world.m3ter.create_plan_template(other["id"], name="Storage")
    world.ids["storage"] = world.m3ter.create_plan(template["id"], "storage")["id"]
    world.map("Plan", world.ids["storage"], UNMAPPED)
    world.sign_up()
    world.sign_up(subscription_id="sub-2", items=(UNMAPPED,))
    world.settle()
    invoice_id = world.renew()
    bill_id = world.bill({"subtotal": 10, "planId": None})
    world.poll()
    assert states(world, bill_id) == ("parked", "ambiguous_subscription")
    world.map("Account", world.m3ter.account_by_code("acme")["id"], "sub-1", table="Subscription")
    world.work()
    assert states(world, bill_id) == ("succeeded", None)
    assert world.charges(invoice_id) == [(CALLS_PRICE, 1000)]


# Late bills


def test_a_bill_without_its_invoice_waits_until_its_deadline_and_then_parks(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    world.chargebee.close_invoice(invoice_id)
    bill_id = world.bill()
    world.poll()
    assert states(world, bill_id) == ("waiting", "no_pending_invoice")
    assert "2026-02-08" in str(world.sync("bill", bill_id).next_step)
    world.wait(days=8)
    assert states(world, bill_id) == ("parked", "late_bill")


def test_a_late_bill_goes_on_the_next_invoice_where_the_settings_say_so(
    renewed: tuple[World, str], make_services: Make
) -> None:
    world, invoice_id = renewed
    world.services = make_services(LATE_BILLS="next_invoice")
    world.chargebee.close_invoice(invoice_id)
    bill_id = world.bill()
    world.poll()
    assert states(world, bill_id) == ("waiting", "no_pending_invoice")
    world.box.advance(to=datetime(2026, 3, 1, 0, 10, tzinfo=UTC))
    world.settle()
    [march] = world.chargebee.pending_invoices("sub-1")
    assert states(world, bill_id) == ("succeeded", None)
    assert world.charges(march["id"]) == [(CALLS_PRICE, 1000)]


# Guards


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"MAX_BILL_AMOUNT": "9.99"}, "amount_bound"),
        ({"MAX_BILL_AMOUNT": "10.00"}, None),
        ({"TWO_PEOPLE_ABOVE": "9.99"}, "needs_approval"),
    ],
)
def test_a_large_bill_parks_until_somebody_has_looked_at_it(
    renewed: tuple[World, str], make_services: Make, settings: dict[str, str], cause: str | None
) -> None:
    world, _ = renewed
    world.services = make_services(**settings)
    bill_id = world.bill()
    world.poll()
    assert states(world, bill_id) == (("parked", cause) if cause else ("succeeded", None))


def test_a_person_lets_a_large_bill_go_on(renewed: tuple[World, str], make_services: Make) -> None:
    world, invoice_id = renewed
    world.services = make_services(MAX_BILL_AMOUNT="1")
    bill_id = world.bill()
    world.poll()
    world.retry(world.sync("bill", bill_id).id)
    assert world.charges(invoice_id) == [(CALLS_PRICE, 1000)]


def test_a_bill_that_differs_much_from_the_last_one_parks(renewed: tuple[World, str], make_services: Make) -> None:
    world, _ = renewed
    world.services = make_services(MAX_BILL_CHANGE_PERCENT="50")
    world.bill({"subtotal": 10})
    world.poll()
    world.box.advance(to=datetime(2026, 3, 1, 0, 10, tzinfo=UTC))
    world.settle()
    period = {"servicePeriodStartDate": "2026-02-01T00:00:00Z", "servicePeriodEndDate": "2026-03-01T00:00:00Z"}
    bill_id = world.bill({"subtotal": Decimal("15.01")} | period)
    world.poll()
    assert states(world, bill_id) == ("parked", "change_bound")


def test_two_people_have_to_approve_and_neither_one_twice_nor_a_retry_is_enough(
    renewed: tuple[World, str], make_services: Make
) -> None:
    world, invoice_id = renewed
    world.services = make_services(TWO_PEOPLE_ABOVE="5")
    bill_id = world.bill()
    world.poll()
    bill = world.services.connection("default").m3ter.get_bill(bill_id)
    for who in ("ada", "ada"):
        with world.services.transaction() as db:
            ledger.approve(db, "default", bill_id, content_hash(bill), who, world.services.now())
    world.retry(world.sync("bill", bill_id).id)
    assert states(world, bill_id) == ("parked", "needs_approval")
    assert "ada" in str(world.sync("bill", bill_id).text)
    with world.services.transaction() as db:
        ledger.approve(db, "default", bill_id, content_hash(bill), "grace", world.services.now())
    world.retry(world.sync("bill", bill_id).id)
    assert world.charges(invoice_id) == [(CALLS_PRICE, 1000)]


@pytest.mark.parametrize("settings", [{"PUSH_CUSTOMERS": "somebody"}, {"PUSH_NOT_CUSTOMERS": "acme"}])
def test_bills_that_are_left_to_others_are_not_sent_and_say_so(
    renewed: tuple[World, str], make_services: Make, settings: dict[str, str]
) -> None:
    world, invoice_id = renewed
    world.services = make_services(**settings)
    bill_id = world.bill()
    world.poll()
    assert states(world, bill_id) == ("succeeded", "out_of_scope")
    assert next(iter(settings)) in str(world.sync("bill", bill_id).text)
    assert (world.charges(invoice_id), world.calls("chargebee", "add_charge_item")) == ([], [])


# What follows a push


def test_the_invoice_is_closed_and_the_bill_locked_where_the_settings_say_so(
    renewed: tuple[World, str], make_services: Make
) -> None:
    world, invoice_id = renewed
    world.services = make_services(CLOSE_INVOICES="yes", LOCK_BILLS="yes")
    bill_id = world.bill()
    world.poll()
    assert invoice_id not in world.chargebee.invoices
    [final] = [one for one in world.chargebee.invoices.values() if any(
        line["entity_id"] == CALLS_PRICE for line in one["line_items"] if "entity_id" in line)]  # fmt: skip
    assert final["status"] != "pending"
    assert world.m3ter.bills[bill_id]["locked"] is True
    assert world.mapped("Bill") == [("Invoice", final["id"])]
    assert final["id"] in str(world.sync("bill", bill_id).text)


def test_the_invoice_stays_open_while_another_bill_of_the_period_is_to_come(
    renewed: tuple[World, str], make_services: Make
) -> None:
    world, invoice_id = renewed
    world.services = make_services(CLOSE_INVOICES="yes")
    bill_id = world.bill()
    other_id = "0" * 8 + "-0000-4000-8000-" + "0" * 12
    world.m3ter.bills[other_id] = {**world.m3ter.bills[bill_id], "id": other_id, "status": "PENDING"}
    world.m3ter._sequence[other_id] = len(world.m3ter._sequence) + 1
    world.poll()
    assert states(world, bill_id) == ("succeeded", None)
    assert world.chargebee.invoices[invoice_id]["status"] == "pending"
    [tried] = world.attempts(world.sync("bill", bill_id).id)
    assert any(other_id in sentence for sentence in tried.did)


@pytest.mark.parametrize("line_ids_change", [False, True])
def test_mappings_follow_an_invoice_that_somebody_closed(renewed: tuple[World, str], *, line_ids_change: bool) -> None:
    world, invoice_id = renewed
    world.chargebee.settings.line_ids_change_on_close = line_ids_change
    world.bill({"subtotal": 10}, {"subtotal": 20})
    world.poll()
    assert world.mapped("Bill") == [("Invoice", invoice_id)]
    final = world.chargebee.close_invoice(invoice_id)
    world.settle()
    assert world.mapped("Bill") == [("Invoice", final["id"])]
    ours = sorted(line["id"] for line in final["line_items"] if line.get("entity_id") == CALLS_PRICE)
    assert world.mapped("BillItem") == [("Invoice", line_id) for line_id in ours]


# What it costs


@pytest.mark.parametrize("lines", [1, 5])
def test_a_bill_of_n_lines_costs_n_and_three_calls(renewed: tuple[World, str], lines: int) -> None:
    world, _ = renewed
    bill_id = world.bill(*({"subtotal": n + 1} for n in range(lines)))
    world.poll()
    [tried] = world.attempts(world.sync("bill", bill_id).id)
    assert len(tried.calls) == lines + 3


def test_a_bill_approved_twice_unchanged_costs_one_call(renewed: tuple[World, str]) -> None:
    world, _ = renewed
    bill_id = world.bill()
    world.poll()
    world.m3ter.recalculate(bill_id)
    world.m3ter.approve(bill_id)
    world.poll()
    assert len(world.attempts(world.sync("bill", bill_id).id)[-1].calls) == 1


def test_consolidated_invoices_take_each_line_for_its_own_subscription(world: World, make_services: Make) -> None:
    world.services = make_services(CONSOLIDATED_INVOICING="yes")
    world.chargebee.settings.consolidated_invoicing = True
    world.chargebee.create_customer(
        id="acme", email="acme@example.test", preferred_currency_code="USD", consolidated_invoicing=True
    )
    world.sign_up()
    world.settle()
    world.box.advance(to=datetime(2026, 2, 1, 0, 10, tzinfo=UTC))
    world.settle()
    world.bill({"subtotal": 10})
    world.poll()
    [pending] = [one for one in world.chargebee.invoices.values() if one["status"] == "pending"]
    assert world.charges(pending["id"]) == [(CALLS_PRICE, 1000)]
    assert {line["subscription_id"] for line in pending["line_items"]} == {"sub-1"}
    assert [plan for plan, _, _ in world.periods()] == ["pro"]
    assert PRO in {line["entity_id"] for line in pending["line_items"]}
