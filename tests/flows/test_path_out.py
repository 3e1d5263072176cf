"""m3ter → Chargebee: each line of an approved bill is on the right pending invoice once, to the cent, or it is parked.

The numbered failure modes are in test_failure_modes.py.
"""

import hashlib
import hmac
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from connector import handlers, jobs, syncs
from connector.bills import approvals, ledger
from connector.models import LinePush
from connector.services import Services
from tests.flows.conftest import CALLS_PRICE, FEE_PRICE, World

MINUTES_TO_SETTLE = 3


@pytest.fixture
def renewed(world: World) -> tuple[World, str]:
    """A customer whose January is over: a pending invoice is open, nothing is billed yet."""
    world.sign_up()
    world.settle()
    invoice_id = world.renew()
    world.forget_calls()
    return world, invoice_id


def pushes(world: World) -> list[tuple[int, str, str | None]]:
    """Amount, status and how the line was found, of each intent."""
    with world.services.reading() as db:
        rows = db.query(LinePush).order_by(LinePush.id).all()
    return [(row.amount_minor, row.status, row.found_by) for row in rows]


def test_approved_bill_is_on_the_invoice_with_a_receipt(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    bill_id = world.bill(
        {"subtotal": Decimal("154.3125")}, {"subtotal": Decimal("396.00"), "description": "more calls"}
    )
    world.poll()
    assert world.charges(invoice_id) == [(CALLS_PRICE, 15431), (CALLS_PRICE, 39600)]
    lines = world.chargebee.invoices[invoice_id]["line_items"]
    assert {(line["date_from"], line["date_to"]) for line in lines if line["entity_id"] == CALLS_PRICE} == {
        (int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()), int(datetime(2026, 2, 1, tzinfo=UTC).timestamp()))
    }
    [receipt] = world.receipts()
    assert (receipt["bill_total_exact"], receipt["bill_total"], receipt["invoice_total_added"]) == (
        "550.3125",
        "550.31",
        "550.31",
    )
    assert receipt["equal"] is True
    claimed = [charge["chargebee_line_id"] for line in receipt["lines"] for charge in line["charges"]]
    assert claimed == [line["id"] for line in lines if line["entity_id"] == CALLS_PRICE]
    m3ter_rows = [(one["m3terEntity"], one["externalTable"]) for one in world.m3ter.external_mappings.values()]
    assert m3ter_rows.count(("Bill", "Invoice")) == 1
    assert m3ter_rows.count(("BillItem", "Invoice")) == 2
    assert world.sync("bill", bill_id).status == "succeeded"


def test_every_send_carries_a_key_and_a_comment(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({}, {"subtotal": 20})
    world.poll()
    keys = [call.idempotency_key for call in world.calls("chargebee", "add_charge_item")]
    assert len(keys) == len(set(keys)) == 2
    assert all(len(key) == 64 for key in keys)
    notes = [comment["notes"] for comment in world.chargebee.comments.values() if comment["entity_id"] == invoice_id]
    assert all(bill_id in note for note in notes)
    assert len(notes) == 2


def test_rated_usage_of_two_plans_reaches_the_invoice(world: World) -> None:
    world.m3ter.create_pricing(
        world.ids["pro"], world.ids["calls"], [{"lowerLimit": 0, "fixedPrice": 0, "unitPrice": Decimal("0.0125")}]
    )
    world.sign_up()
    world.settle()
    world.use(12_346, day=5)
    invoice_id = world.renew()
    world.bill({"subtotal": 0})
    world.poll()
    assert world.charges(invoice_id) == [(CALLS_PRICE, 15432)]  # 154.325, half to even


def test_forged_approval_changes_nothing(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    [bill_id] = world.m3ter.run_bill_job(
        account_ids=[world.m3ter.account_by_code("acme")["id"]], bill_date="2026-02-01"
    )["billIds"]
    world.m3ter.add_line(bill_id, **world.usage_line())
    body = json.dumps({"id": "forged", "newDto": {"id": bill_id, "accountId": "x", "status": "APPROVED"}}).encode()
    signature = hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    assert world.post("/webhooks/default/m3ter", body, headers={"x-m3ter-signature": signature}, auth=None) == 204
    world.work()
    assert world.charges(invoice_id) == []
    assert world.sync("bill", bill_id).text.startswith("the bill is not approved now")


@pytest.mark.parametrize("kind", ["cut", "truncated", "html", "refuse"])
def test_timeout_around_add_charge_item_leaves_one_line_of_each(renewed: tuple[World, str], kind: str) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 1}, {"subtotal": 2}, {"subtotal": 3})
    world.box.faults.order("chargebee", "add_charge_item", kind, skip=1)
    world.poll()
    assert world.sync("bill", bill_id).cause == "settling"
    assert world.receipts() == []
    world.wait(seconds=60)
    assert len(world.charges(invoice_id)) == (1 if kind in ("html", "refuse") else 2), (
        "nobody looks before it has settled"
    )
    world.wait(minutes=MINUTES_TO_SETTLE)
    assert sorted(world.charges(invoice_id)) == [(CALLS_PRICE, 100), (CALLS_PRICE, 200), (CALLS_PRICE, 300)]
    assert world.receipts()[0]["equal"] is True


def test_line_that_is_applied_late_after_a_504_is_there_once(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    world.bill({"subtotal": 7})
    world.box.faults.order("chargebee", "add_charge_item", "late", seconds=90)
    world.poll()
    world.wait(minutes=MINUTES_TO_SETTLE)
    assert world.charges(invoice_id) == [(CALLS_PRICE, 700)]
    assert pushes(world) == [(700, "done", "look-up")]


def test_line_applied_even_later_than_the_look_is_held_back_by_its_key(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    world.bill({"subtotal": 7})
    world.box.faults.order("chargebee", "add_charge_item", "late", seconds=150)
    world.poll()
    world.wait(seconds=121)
    world.wait(minutes=10)
    assert world.charges(invoice_id) == [(CALLS_PRICE, 700)]
    assert world.receipts()[0]["equal"] is True


def test_refusals_for_a_while_delay_the_line_and_do_not_double_it(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    world.bill({"subtotal": 7})
    world.box.faults.order("chargebee", "add_charge_item", "status", count=4, status=429, retry_after=1)
    world.poll()
    world.wait(minutes=5)
    assert world.charges(invoice_id) == [(CALLS_PRICE, 700)]
    assert len({call.idempotency_key for call in world.calls("chargebee", "add_charge_item")}) == 1


class Died(BaseException):
    """A worker's sudden end."""


def test_worker_killed_between_chargebees_answer_and_our_commit_adds_nothing_twice(
    renewed: tuple[World, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 1}, {"subtotal": 2})
    approvals.poll(world.services, "default")

    def die(*_: Any) -> bool:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(ledger, "finish", die)
        with pytest.raises(Died):
            syncs.attempt(world.services, world.sync("bill", bill_id).id, handlers.KINDS)
    assert world.charges(invoice_id) == [(CALLS_PRICE, 100)]
    assert [status for _, status, _ in pushes(world)] == ["sending", "planned"]
    world.wait(minutes=2)
    assert len(world.charges(invoice_id)) == 1, "the dead worker's lease still holds"
    for _ in range(3):
        world.wait(minutes=9)
    assert sorted(world.charges(invoice_id)) == [(CALLS_PRICE, 100), (CALLS_PRICE, 200)]
    assert [found for _, _, found in pushes(world)] == ["look-up", "answer"]
    assert world.receipts()[0]["equal"] is True


KILLED_WORKER = """
import os, sys
from connector import jobs, services, settings
from connector.bills import ledger
ledger.finish = lambda *_, **__: os._exit(9)
wired = services.build(settings.load())
os.environ.clear()
import datetime
now = datetime.datetime.fromisoformat(sys.argv[1])
import dataclasses
wired = dataclasses.replace(wired, now=lambda: now)
jobs.worker(wired, "bills").work(burst=True, logging_level="CRITICAL")
"""


def test_worker_process_that_is_really_killed_after_the_answer_adds_nothing_twice(
    renewed: tuple[World, str], make_services: Callable[..., Services]
) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 1}, {"subtotal": 2})
    approvals.poll(world.services, "default")
    with world.services.transaction() as db:
        due = syncs.take_due(db, world.services.now(), requeue_seconds=60)
    jobs.enqueue(world.services.redis, due)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_WORKER, world.services.now().isoformat()],
        env={"PATH": os.environ["PATH"], **environment_of(world.services)},
        check=False,
    )
    assert killed.returncode == 9
    assert world.charges(invoice_id) == [(CALLS_PRICE, 100)]
    for _ in range(4):
        world.wait(minutes=9)
    assert sorted(world.charges(invoice_id)) == [(CALLS_PRICE, 100), (CALLS_PRICE, 200)]
    assert world.sync("bill", bill_id).status == "succeeded"


def environment_of(wired: Services) -> dict[str, str]:
    """The environment in which another process has the same settings."""
    found: dict[str, str] = {}
    for name in ("database_url", "redis_url"):
        found[name.upper()] = str(getattr(wired.settings, name))
    for name, value in wired.connections["default"].settings:
        plain = value.get_secret_value() if hasattr(value, "get_secret_value") else value
        if isinstance(plain, str):
            found[name.upper()] = plain
    return found


def test_worker_that_wakes_after_its_time_sends_nothing(
    renewed: tuple[World, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 1})
    approvals.poll(world.services, "default")
    start_sending = ledger.start_sending

    def sleep_first(*arguments: Any) -> bool:
        done = start_sending(*arguments)
        world.box.advance(timedelta(minutes=11))
        return done

    with monkeypatch.context() as patched:
        patched.setattr(ledger, "start_sending", sleep_first)
        syncs.attempt(world.services, world.sync("bill", bill_id).id, handlers.KINDS)
    assert world.calls("chargebee", "add_charge_item") == []
    world.wait(minutes=MINUTES_TO_SETTLE)
    assert world.charges(invoice_id) == [(CALLS_PRICE, 100)]


def test_worker_whose_invoice_was_taken_over_sends_nothing(
    renewed: tuple[World, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, _ = renewed
    bill_id = world.bill({"subtotal": 1})
    approvals.poll(world.services, "default")
    start_sending = ledger.start_sending

    def lose_the_lease(db: Any, intent: Any, lease: Any, *rest: Any) -> bool:
        from dataclasses import replace

        return start_sending(db, intent, replace(lease, fence=lease.fence - 1), *rest)

    with monkeypatch.context() as patched:
        patched.setattr(ledger, "start_sending", lose_the_lease)
        syncs.attempt(world.services, world.sync("bill", bill_id).id, handlers.KINDS)
    assert world.calls("chargebee", "add_charge_item") == []
    assert world.sync("bill", bill_id).cause == "out_of_time"


def test_bill_that_grew_sends_only_the_difference(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 10})
    world.poll()
    world.m3ter.recalculate(bill_id)
    world.m3ter.add_line(bill_id, **(world.usage_line() | {"subtotal": 4, "segment": {"region": "eu"}}))
    world.m3ter.approve(bill_id)
    world.poll()
    assert world.charges(invoice_id) == [(CALLS_PRICE, 1000), (CALLS_PRICE, 400)]
    assert [receipt["bill_total"] for receipt in world.receipts()] == ["10.00", "14.00"]
    assert all(receipt["equal"] for receipt in world.receipts())


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        pytest.param({"aggregationId": None, "lineItemType": "MINIMUM_SPEND"}, "unmapped_line", id="unmapped"),
        pytest.param({"childAccountId": "c" * 36}, "unknown_account", id="unknown child account"),
    ],
)
def test_line_that_cannot_be_invoiced_parks_the_whole_bill_before_anything_is_sent(
    renewed: tuple[World, str], line: dict[str, Any], cause: str
) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 9}, line)
    world.poll()
    row = world.sync("bill", bill_id)
    assert (row.status, row.cause) == ("parked", cause)
    assert row.next_step
    assert world.charges(invoice_id) == []


def test_unmapped_line_goes_on_once_it_is_mapped(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 9}, {"aggregationId": None, "lineItemType": "STANDING_CHARGE", "subtotal": 30})
    world.poll()
    parked = world.sync("bill", bill_id)
    assert "LineItemType STANDING_CHARGE" in str(parked.next_step)
    assert world.map("LineItemType", "STANDING_CHARGE", FEE_PRICE) == [parked.id]
    world.work()
    assert world.charges(invoice_id) == [(CALLS_PRICE, 900), (FEE_PRICE, 3000)]


def test_bill_of_an_account_that_is_nobodys_customer_parks(world: World) -> None:
    account = world.m3ter.create_account(
        name="Stranger", code="stranger", emailAddress="s@example.test", currency="USD"
    )
    world.box.advance(to=datetime(2026, 2, 1, 1, tzinfo=UTC))
    plan = {
        "accountId": account["id"],
        "planId": world.ids["pro"],
        "startDate": "2026-01-01T00:00:00Z",
        "code": "stranger-1",
    }
    world.m3ter.create("account_plans", plan)
    bill_id = world.bill(customer_id="stranger")
    world.poll()
    assert world.sync("bill", bill_id).cause == "unknown_account"


@pytest.mark.alternate_databases
def test_invoice_with_many_lines_is_read_page_by_page(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    world.chargebee.settings.enterprise_scale = True
    world.bill(*[{"subtotal": n + 1, "segment": {"n": str(n)}} for n in range(110)])
    world.poll()
    assert len(world.charges(invoice_id)) == 110
    assert world.receipts()[0]["equal"] is True


def test_page_that_fails_midway_keeps_the_poll_honest(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    world.bill()
    world.box.faults.order("m3ter", "list_bills", "html", count=5)
    with pytest.raises(Exception, match="m3ter"):
        approvals.poll(world.services, "default")
    world.box.faults.orders.clear()
    world.poll()
    assert len(world.charges(invoice_id)) == 1


def test_look_before_the_answer_has_settled_is_put_off_even_for_a_person(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    bill_id = world.bill({"subtotal": 7})
    world.box.faults.order("chargebee", "add_charge_item", "late", seconds=90)
    world.poll()
    with world.services.transaction() as db:
        syncs.retry(db, world.sync("bill", bill_id).id, "test", world.services.now())
    world.work()
    assert world.sync("bill", bill_id).cause == "settling"
    assert len(world.calls("chargebee", "add_charge_item")) == 1
    world.wait(minutes=MINUTES_TO_SETTLE)
    assert world.charges(invoice_id) == [(CALLS_PRICE, 700)]
