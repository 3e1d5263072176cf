"""Shadow mode beside another process: the plan is compared with what that has invoiced, and nothing is ever sent."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result

from connector.bills import approvals
from connector.cli import main
from connector.services import Services
from tests.flows.conftest import CALLS_PRICE, FEE_PRICE, World
from tests.flows.test_failure_modes import JANUARY
from tests.flows.test_late_bills import another, state

pytestmark = pytest.mark.alternate_databases

Make = Callable[..., Services]
EU = {"segment": {"region": "eu"}}


@pytest.fixture
def shadowed(world: World, make_services: Make) -> tuple[World, str]:
    """January is over, its invoice pending; another process invoices what m3ter bills."""
    world.services = make_services(SHADOW="yes")
    world.sign_up()
    world.settle()
    invoice_id = world.renew()
    world.forget_calls()
    return world, invoice_id


@pytest.fixture
def bills(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setattr("connector.cli.bills.wire", lambda: world.services)
    return lambda *words: CliRunner().invoke(main, ["bills", *words])


def they_add(world: World, invoice_id: str, minor: int, price: str = CALLS_PRICE, **period: Any) -> None:
    world.chargebee.add_charge_item(invoice_id, price, minor, **(JANUARY | period))


def said(world: World, bill_id: str) -> list[str]:
    """The differences that the last try found."""
    return list(world.attempts(world.sync("bill", bill_id).id)[-1].did)


def nothing_was_sent(world: World) -> bool:
    return all(call.method == "GET" for call in world.calls("chargebee")) and world.receipts() == []


def compared(bills: Callable[..., Result], bill_id: str) -> dict[str, Any]:
    result = bills("show", bill_id, "--json")
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout)["shadow"])


def test_a_bill_that_another_process_has_invoiced_just_so_is_equal(
    shadowed: tuple[World, str], bills: Callable[..., Result]
) -> None:
    world, invoice_id = shadowed
    they_add(world, invoice_id, 1000)
    they_add(world, invoice_id, 1000, date_from=JANUARY["date_from"] + 3600)
    they_add(world, invoice_id, 550)
    bill_id = world.bill({"subtotal": 10}, {"subtotal": 10} | EU, {"subtotal": "5.504", "description": "more"})
    world.poll()
    assert state(world, bill_id) == ("succeeded", "out_of_scope")
    assert "3 charges of 25.50 USD in all stand on" in str(world.sync("bill", bill_id).text)
    assert (said(world, bill_id), nothing_was_sent(world)) == ([], True)
    tried = world.attempts(world.sync("bill", bill_id).id)[-1]
    assert (len(tried.wanted), len(tried.found)) == (3, 3)
    assert compared(bills, bill_id) | {"compared_at": None} == {
        "bill_id": bill_id, "account_id": world.m3ter.account_by_code("acme")["id"], "verdict": "equal", "is_final": True,
        "currency": "USD", "planned": "25.50", "found": "25.50", "off_by": "0.00", "differences": [], "compared_at": None,
    }  # fmt: skip


def test_what_is_missing_too_much_or_of_another_amount_is_named(
    shadowed: tuple[World, str], bills: Callable[..., Result]
) -> None:
    world, invoice_id = shadowed
    they_add(world, invoice_id, 1000)
    they_add(world, invoice_id, 701)
    they_add(world, invoice_id, 44, FEE_PRICE)
    world.chargebee.add_charge(invoice_id, 5, "Rounding", **JANUARY)
    lines = [{"subtotal": 10}, {"subtotal": 7} | EU, {"subtotal": 3, "servicePeriodEndDate": "2026-01-15T00:00:00Z"}]
    bill_id = world.bill(*lines)
    world.poll()
    assert state(world, bill_id) == ("waiting", "shadow_differs")
    assert said(world, bill_id) == [
        "other amount: m3ter-calls-USD of 2026-01-01 to 2026-02-01, planned 7.00 USD, found 7.01 USD",
        "missing: m3ter-calls-USD of 2026-01-01 to 2026-01-15, planned 3.00 USD",
        "extra: m3ter-fee-USD of 2026-01-01 to 2026-02-01, found 0.44 USD",
        "extra: Rounding of 2026-01-01 to 2026-02-01, found 0.05 USD",
    ]
    assert nothing_was_sent(world)
    kept = compared(bills, bill_id)
    assert (kept["verdict"], kept["is_final"], kept["planned"], kept["found"], kept["off_by"]) == (
        "differs", False, "20.00", "17.50", "-2.50",
    )  # fmt: skip
    shown = bills("show", bill_id)
    assert "other amount: m3ter-calls-USD" in shown.stdout
    assert "differs, planned 20.00 USD, found 17.50 USD" in shown.stdout


def test_another_cut_of_the_same_sums_is_told_from_a_difference(shadowed: tuple[World, str]) -> None:
    world, invoice_id = shadowed
    they_add(world, invoice_id, 1700)
    bill_id = world.bill({"subtotal": 10}, {"subtotal": 7} | EU)
    world.poll()
    assert "has the same sum" in str(world.sync("bill", bill_id).text)
    assert len(said(world, bill_id)) == 2


def test_a_bill_is_compared_again_and_finally_when_its_invoice_is_closed(
    shadowed: tuple[World, str], bills: Callable[..., Result]
) -> None:
    world, invoice_id = shadowed
    bill_id = world.bill({"subtotal": 10})
    world.poll()
    assert state(world, bill_id) == ("waiting", "shadow_differs")
    they_add(world, invoice_id, 999)
    final = world.chargebee.close_invoice(invoice_id)
    world.settle()
    assert state(world, bill_id) == ("succeeded", "out_of_scope")
    assert f"9.99 USD stand on {final['id']}" in str(world.sync("bill", bill_id).text)
    assert (compared(bills, bill_id)["is_final"], nothing_was_sent(world)) == (True, True)


def test_a_bill_whose_lines_come_later_is_equal_at_the_next_look(shadowed: tuple[World, str]) -> None:
    world, invoice_id = shadowed
    bill_id = world.bill({"subtotal": 10})
    world.poll()
    they_add(world, invoice_id, 1000)
    world.wait(hours=7)
    assert state(world, bill_id) == ("succeeded", "out_of_scope")
    assert "just as they would be sent" in str(world.sync("bill", bill_id).text)


def test_the_invoice_may_be_closed_before_the_bill_is_seen(shadowed: tuple[World, str]) -> None:
    world, invoice_id = shadowed
    they_add(world, invoice_id, 1000)
    world.chargebee.close_invoice(invoice_id)
    world.settle()
    world.box.advance(timedelta(days=3))
    bill_id = world.bill({"subtotal": 10})
    world.poll()
    assert state(world, bill_id) == ("succeeded", "out_of_scope")
    assert "just as they would be sent" in str(world.sync("bill", bill_id).text)


def test_a_line_that_two_bills_plan_and_one_finds_is_missing_from_the_other(shadowed: tuple[World, str]) -> None:
    world, invoice_id = shadowed
    they_add(world, invoice_id, 1000)
    first = world.bill({"subtotal": 10})
    second = another(world, first)
    world.poll()
    assert sorted(state(world, one)[0] for one in (first, second)) == ["succeeded", "waiting"]
    they_add(world, invoice_id, 1000)
    world.chargebee.close_invoice(invoice_id)
    world.settle()
    assert {state(world, one)[0] for one in (first, second)} == {"succeeded"}
    assert all("just as they would be sent" in str(world.sync("bill", one).text) for one in (first, second))


def test_a_push_under_way_stands_still_when_shadow_is_switched_on(world: World, make_services: Make) -> None:
    world.sign_up()
    world.settle()
    invoice_id = world.renew()
    bill_id = world.bill({"subtotal": 1}, {"subtotal": 2})
    world.box.faults.order("chargebee", "add_charge_item", "status", skip=1, status=429, retry_after=60)
    world.poll()
    assert world.charges(invoice_id) == [(CALLS_PRICE, 100)]
    world.services = make_services(SHADOW="yes", CLOSE_INVOICES="yes", LOCK_BILLS="yes")
    world.forget_calls()
    world.wait(hours=1)
    assert state(world, bill_id) == ("waiting", "shadow")
    assert nothing_was_sent(world)
    world.services = make_services()
    world.wait(hours=1)
    assert world.charges(invoice_id) == [(CALLS_PRICE, 100), (CALLS_PRICE, 200)]


def test_what_was_pushed_before_is_neither_closed_nor_locked_in_shadow(world: World, make_services: Make) -> None:
    world.sign_up()
    world.settle()
    world.renew()
    bill_id = world.bill({"subtotal": 1})
    world.poll()
    world.services = make_services(SHADOW="yes", CLOSE_INVOICES="yes", LOCK_BILLS="yes")
    world.m3ter.recalculate(bill_id)
    world.m3ter.approve(bill_id)
    world.forget_calls()
    world.poll()
    assert all(call.method == "GET" for call in world.calls("chargebee"))
    assert world.m3ter.bills[bill_id]["locked"] is False


def test_a_person_cannot_push_in_shadow_either(shadowed: tuple[World, str], bills: Callable[..., Result]) -> None:
    world, _ = shadowed
    bill_id = world.bill({"subtotal": 10})
    result = bills("push", bill_id, "--yes")
    assert "SHADOW is on" in result.output
    assert nothing_was_sent(world)


def test_the_summary_counts_and_adds_up_and_names_what_differs(
    shadowed: tuple[World, str], bills: Callable[..., Result]
) -> None:
    world, invoice_id = shadowed
    assert "No bill has been compared" in bills("shadow").stdout
    they_add(world, invoice_id, 1000)
    first = world.bill({"subtotal": 10})
    second = another(world, first)
    approvals.poll(world.services, "default")
    world.work()
    result = bills("shadow", "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document["currencies"] == [
        {"currency": "USD", "bills": 2, "equal": 1, "same sums": 0, "differs": 1, "open": 1, "planned": "20.00",
         "found": "10.00", "off_by": "-10.00"}
    ]  # fmt: skip
    [differing] = document["differing"]
    assert differing["bill_id"] in (first, second)
    assert "missing: m3ter-calls-USD" in bills("shadow").stdout
