"""The countdown to auto-close: what is left of each bill, what will be done first, and the alarm before work is lost."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from alembic import command as alembic
from alembic.config import Config
from click.testing import CliRunner, Result
from sqlalchemy import delete

import connector
from connector import clock, invoice_terms, mirror, syncs
from connector.bills import approvals, closing
from connector.bills.closing import APPROVAL, PERSON, TURN, Work
from connector.cli import main
from connector.database import insert
from connector.models import InvoiceTerm, MirroredResource
from connector.services import Services
from tests.flows.conftest import World

pytestmark = pytest.mark.alternate_databases

Make = Callable[..., Services]
RENEWED = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.fixture
def renewed(world: World, make_services: Make) -> tuple[World, str]:
    """A pending invoice of the first of February, on a site that closes it after three days; alarms a day before."""
    world.chargebee.settings.auto_close_days = 3
    world.services = make_services(AUTO_CLOSE_DAYS="3", CHARGEBEE_CALLS_PER_MINUTE="10")
    world.sign_up()
    world.settle()
    return world, world.renew()


@pytest.fixture
def three(world: World, make_services: Make) -> World:
    """Pending invoices of three customers, on a site that closes them after three days; a call takes a second."""
    world.services = make_services(AUTO_CLOSE_DAYS="3", CHARGEBEE_CALLS_PER_MINUTE="60")
    for number, customer_id in enumerate(("acme", "second", "third"), 1):
        world.sign_up(customer_id, f"sub-{number}")
    world.settle()
    world.renew()
    return world


@pytest.fixture
def bills(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setattr("connector.cli.bills.wire", lambda: world.services)
    return lambda *words: CliRunner().invoke(main, ["bills", *words])


@pytest.fixture
def alarms(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the alarm has said in the log."""
    said: list[dict[str, Any]] = []
    monkeypatch.setattr(
        closing.log, "error", lambda event, **fields: said.append({"event": event, **fields}), raising=False
    )
    return said


def work(world: World) -> list[Work]:
    return closing.of_connection(world.services, "default")


def refused_after(world: World, added: int) -> None:
    world.box.faults.order("chargebee", "add_charge_item", "status", 9, skip=added, status=429, retry_after=60)


def test_an_invoice_whose_bill_nobody_has_approved_is_work_left(renewed: tuple[World, str]) -> None:
    world, invoice_id = renewed
    [one] = work(world)
    assert (one.needs, one.bill_id, one.invoice_id, one.subscription_id) == (APPROVAL, None, invoice_id, "sub-1")
    assert timedelta(0) <= one.closes_at - (RENEWED + timedelta(days=3)) < timedelta(minutes=10)
    assert (one.finishes_at, one.at_risk) == (None, False)
    bill_id = world.bill()
    approvals.poll(world.services, "default")
    assert [(left.needs, left.bill_id) for left in work(world)] == [(TURN, bill_id)]
    world.work()
    assert work(world) == []


def test_a_bill_half_pushed_says_how_much_is_left_and_when_it_will_be_done(
    renewed: tuple[World, str], bills: Callable[..., Result]
) -> None:
    world, invoice_id = renewed
    bill_id = world.bill(*({"subtotal": 1, "segment": {"n": str(number)}} for number in range(20)))
    refused_after(world, 3)
    world.poll()
    [one] = work(world)
    # Seventeen lines and three calls beside them, at ten a minute.
    assert (one.bill_id, one.invoice_id, one.charges, one.needs) == (bill_id, invoice_id, 17, TURN)
    assert one.finishes_at == world.services.now() + timedelta(minutes=2)
    shown = bills("show", bill_id)
    assert f"To do: 17 left, will finish at {one.finishes_at:%Y-%m-%d %H:%M}; {invoice_id} closes at 2026-02-04" in (
        " ".join(shown.stdout.split())
    )
    [listed] = json.loads(bills("list", "--json").stdout)["bills"]
    assert [left["charges"] for left in listed["work"]] == [17]
    document = json.loads(bills("closing", "--json").stdout)
    assert (document["auto_close_days"], document["at_risk"], len(document["work"])) == ("3", 0, 1)


def test_the_alarm_sounds_while_there_is_still_time_and_until_the_work_is_done(
    renewed: tuple[World, str], bills: Callable[..., Result], alarms: list[dict[str, Any]]
) -> None:
    world, invoice_id = renewed
    clock.Clock(world.services).tick()
    assert alarms == []
    world.box.advance(timedelta(days=2))
    clock.Clock(world.services).tick()
    [alarm] = alarms
    assert (alarm["connection"], alarm["invoice"], alarm["needs"], alarm["invoices"]) == (
        "default", invoice_id, APPROVAL, 1,
    )  # fmt: skip
    result = bills("closing")
    assert (result.exit_code, "TOO LATE" in result.stdout) == (1, True)
    world.bill()
    world.poll()
    clock.Clock(world.services).tick()
    assert len(alarms) == 1
    assert bills("closing").exit_code == 0


def test_a_parked_bill_is_the_alarms_business_and_not_the_estimates(renewed: tuple[World, str]) -> None:
    world, _ = renewed
    world.bill({"aggregationId": "nobody-knows-it"})
    world.poll()
    [one] = work(world)
    assert (one.needs, one.cause, one.finishes_at, one.at_risk) == (PERSON, "unmapped_line", None, False)
    world.box.advance(timedelta(days=2))
    assert [left.at_risk for left in work(world)] == [True]


def test_nothing_is_said_of_deadlines_that_nobody_knows(
    renewed: tuple[World, str], make_services: Make, bills: Callable[..., Result], alarms: list[dict[str, Any]]
) -> None:
    world, _ = renewed
    world.services = make_services()
    world.box.advance(timedelta(days=2, hours=20))
    clock.Clock(world.services).tick()
    assert alarms == []
    assert [one.closes_at for one in work(world)] == [None]
    assert "AUTO_CLOSE_DAYS is not set" in bills("closing").stdout


@pytest.mark.parametrize(
    ("subscription", "customer", "closes"),
    [
        pytest.param({}, {}, True, id="as the site says"),
        pytest.param({"auto_close_invoices": False}, {}, False, id="an exempt subscription"),
        pytest.param({}, {"auto_close_invoices": False}, False, id="an exempt customer"),
        pytest.param(
            {"auto_close_invoices": True}, {"auto_close_invoices": False}, True, id="the subscription counts first"
        ),
    ],
)
def test_an_exempt_invoice_has_no_deadline(
    subscription: dict[str, Any], customer: dict[str, Any], closes: bool
) -> None:
    found = closing.closes_at(RENEWED, Decimal("0.5"), subscription, customer)
    assert found == (RENEWED + timedelta(hours=12) if closes else None)


def test_an_exempt_subscription_is_read_from_what_was_seen_of_it(world: World, make_services: Make) -> None:
    world.services = make_services(AUTO_CLOSE_DAYS="3")
    world.chargebee.settings.auto_close_days = 3
    world.sign_up(auto_close_invoices=False)
    world.settle()
    world.renew()
    world.box.advance(timedelta(days=2, hours=20))
    assert [(one.closes_at, one.at_risk) for one in work(world)] == [(None, False)]


@pytest.mark.parametrize("way", ["closed", "deleted"])
def test_an_invoice_that_was_closed_or_deleted_is_no_work(world: World, make_services: Make, way: str) -> None:
    world.services = make_services(AUTO_CLOSE_DAYS="3")
    world.sign_up()
    world.settle()
    invoice_id = world.renew()
    assert len(work(world)) == 1
    if way == "closed":
        world.chargebee.close_invoice(invoice_id)
    else:
        world.chargebee.delete_invoice(invoice_id)
    world.settle()
    assert work(world) == []


def test_an_invoice_that_closed_without_a_word_leaves_the_list_after_its_time(renewed: tuple[World, str]) -> None:
    world, _ = renewed
    world.box.advance(timedelta(days=3, hours=12))
    assert [one.at_risk for one in work(world)] == [True]
    world.box.advance(timedelta(days=1))
    assert work(world) == []


def test_what_closed_an_invoice_is_remembered_when_it_comes_before_the_invoice_itself(
    renewed: tuple[World, str],
) -> None:
    world, invoice_id = renewed
    pending = dict(world.chargebee.invoices[invoice_id])
    world.chargebee.close_invoice(invoice_id)
    world.settle()
    with world.services.transaction() as db:
        db.execute(delete(MirroredResource).filter_by(resource="invoice", resource_id=invoice_id))
        db.execute(delete(InvoiceTerm).filter_by(invoice_id=invoice_id))
        mirror.keep(db, "default", "invoice", pending, world.services.now())
    assert work(world) == []


def test_an_invoice_is_known_by_its_newest_state_and_another_connections_is_no_work(
    renewed: tuple[World, str],
) -> None:
    world, invoice_id = renewed
    older = dict(world.chargebee.invoices[invoice_id])
    newer = older | {"resource_version": older["resource_version"] + 1, "date": older["date"] - 86_400}
    with world.services.transaction() as db:
        for body in (newer, older, {"id": "unreadable", "resource_version": 1}):
            mirror.keep(db, "default", "invoice", body, world.services.now())
        closed = newer | {"id": "another's", "status": "paid"}
        mirror.keep(db, "other", "invoice", closed, world.services.now())
    [one] = work(world)
    assert one.invoice_id == invoice_id
    assert timedelta(0) <= one.closes_at - (RENEWED + timedelta(days=2)) < timedelta(minutes=10)


def test_invoices_that_were_seen_before_an_upgrade_are_taken_over_by_it(renewed: tuple[World, str]) -> None:
    world, _ = renewed
    known = work(world)
    config = Config()
    config.set_main_option("script_location", str(Path(connector.__file__).parent / "migrations"))
    for step, revision in ((alembic.downgrade, "0012"), (alembic.upgrade, "head")):
        with world.services.engine.connect() as connection:
            config.attributes["connection"] = connection
            step(config, revision)
    assert len(known) == 1
    assert work(world) == known


def test_a_bills_own_countdown_is_the_one_among_all_work(three: World) -> None:
    for customer_id in ("acme", "second"):
        three.bill(customer_id=customer_id)
    approvals.poll(three.services, "default")
    everything = work(three)
    assert sorted(one.needs for one in everything) == [APPROVAL, TURN, TURN]
    bills = closing.of_bills(three.services, "default")
    assert bills == [one for one in everything if one.bill_id is not None]
    assert len({one.finishes_at for one in bills}) == 2


def test_of_very_much_work_the_clock_keeps_the_first_and_says_how_much_there_is(
    three: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "MOST", 2)
    bill_id = three.bill()
    approvals.poll(three.services, "default")
    closing.watch(three.services)
    with three.services.reading() as db:
        [early] = closing.looked(db, ["default"], three.services.now())
    assert (early.work, early.more, early.at_risk) == (3, 1, 0)
    three.box.advance(timedelta(days=2))
    first, second, third = work(three)
    assert bill_id in (first.bill_id, second.bill_id, third.bill_id)
    closing.watch(three.services)
    with three.services.reading() as db:
        [seen] = closing.looked(db, ["default"], three.services.now())
        assert closing.looked(db, ["other"], three.services.now()) == []
    assert [one.work for one in seen.left] == [first, second]
    assert (seen.work, seen.more, seen.at_risk, seen.at) == (3, 1, 3, three.services.now())
    three.work()
    three.box.advance(timedelta(hours=1))
    with three.services.reading() as db:
        [later] = closing.looked(db, ["default"], three.services.now())
    assert (later.at, [one.work for one in later.left]) == (
        seen.at, [one for one in (first, second) if one.bill_id != bill_id],
    )  # fmt: skip


def test_a_bill_that_was_not_planned_takes_as_long_as_those_that_were_pushed_last(
    three: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for customer_id, charges in {"acme": 1, "second": 6, "third": 1}.items():
        lines = ({"subtotal": 1, "segment": {"n": str(number)}} for number in range(charges))
        bill_id = three.bill(*lines, customer_id=customer_id)
        approvals.poll(three.services, "default")
        if customer_id != "third":
            three.work()
    for last, usual in ((1, 6), (2, 4)):
        monkeypatch.setattr(closing, "USUAL", last)
        [one] = closing.of_bills(three.services, "default")
        assert (one.bill_id, one.charges) == (bill_id, None)
        assert one.finishes_at == three.services.now() + timedelta(seconds=3 + usual)


def test_a_subscription_that_meters_nothing_is_no_work(world: World, make_services: Make) -> None:
    world.services = make_services(AUTO_CLOSE_DAYS="3")
    world.sign_up(items=("beta-USD-monthly",))
    world.map("NotMetered", "*", "beta-USD-monthly")
    world.settle()
    world.renew()
    assert work(world) == []


def test_a_bill_that_waits_for_an_invoice_has_no_deadline_before_that_is_opened(
    world: World, make_services: Make
) -> None:
    world.services = make_services(AUTO_CLOSE_DAYS="3")
    world.sign_up()
    world.settle()
    world.chargebee.close_invoice(world.renew())
    world.settle()
    bill_id = world.bill()
    world.poll()
    assert [(one.bill_id, one.cause, one.closes_at) for one in work(world)] == [(bill_id, "no_pending_invoice", None)]


def test_an_invoice_that_no_event_told_of_is_counted_from_the_end_of_its_period(
    world: World, make_services: Make
) -> None:
    world.services = make_services(AUTO_CLOSE_DAYS="3")
    world.sign_up()
    world.settle()
    world.box.advance(to=RENEWED + timedelta(minutes=10))
    world.hold_back()
    bill_id = world.bill({"subtotal": 1}, {"subtotal": 2})
    refused_after(world, 1)
    world.poll()
    assert [(one.bill_id, one.charges, one.closes_at) for one in work(world)] == [
        (bill_id, 1, RENEWED + timedelta(days=3))
    ]


def test_in_shadow_mode_the_invoices_are_another_process_business(
    renewed: tuple[World, str], make_services: Make
) -> None:
    world, _ = renewed
    world.services = make_services(AUTO_CLOSE_DAYS="3", SHADOW="yes")
    world.box.advance(timedelta(days=2, hours=20))
    assert work(world) == []


def test_work_is_done_in_the_order_of_its_deadlines_and_each_piece_waits_for_those_before_it() -> None:
    def left(bill_id: str, charges: int | None, hours: int | None, needs: str = TURN) -> Work:
        closes = None if hours is None else RENEWED + timedelta(hours=hours)
        return Work(needs, bill_id, "account", "invoice", "sub", charges, closes)

    found = closing.schedule(
        [left("no deadline", 7, None), left("late", None, 50), left("early", 57, 20), left("parked", 5, 30, PERSON)],
        now=RENEWED, calls_per_minute=1, allowance=timedelta(hours=19), usual_charges=117,
    )  # fmt: skip
    assert [(one.bill_id, one.finishes_at and one.finishes_at - RENEWED, one.at_risk) for one in found] == [
        ("early", timedelta(hours=1), True),
        ("parked", None, False),
        ("late", timedelta(hours=3), False),
        ("no deadline", timedelta(hours=3, minutes=10), False),
    ]


def test_bills_whose_period_ended_first_are_queued_first_and_nothing_crowds_them_out(world: World) -> None:
    now = world.services.now()
    for customer in ("late", "early"):
        world.sign_up(customer, f"sub-{customer}")
    world.settle()
    world.box.advance(to=datetime(2026, 2, 1, 0, 10, tzinfo=UTC))
    world.settle()
    early, late = (world.bill(customer_id=customer) for customer in ("early", "late"))
    world.m3ter.bills[late] |= {"endDate": "2026-02-02", "billDate": "2026-02-02"}
    approvals.poll(world.services, "default")
    with world.services.transaction() as db:
        others = [
            syncs.ask(db, connection="default", kind="customer", subject=f"c{number}", trigger="test", now=now)
            for number in range(3)
        ]
        due = syncs.take_due(db, world.services.now(), requeue_seconds=60, limit=2)
    assert due == [
        (world.sync("bill", early).id, "bill"),
        (world.sync("bill", late).id, "bill"),
        *((one, "customer") for one in others[:2]),
    ]


def test_pending_terms_are_of_one_connection_and_of_each_subscription_of_a_consolidated_invoice(world: World) -> None:
    def plan(number: int) -> dict[str, object]:
        return {
            "id": f"li_{number}", "entity_type": "plan_item_price", "entity_id": "pro", "subscription_id": f"sub-{number}",
            "unit_amount": 100, "amount": 100, "description": "Pro", "date_from": int(RENEWED.timestamp()),
            "date_to": int((RENEWED + timedelta(days=31)).timestamp()),
        }  # fmt: skip

    body = {
        "id": "inv-1", "customer_id": "acme", "status": "pending", "currency_code": "USD", "total": 200,
        "date": int(RENEWED.timestamp()), "line_items": [plan(1), plan(2)],
    }  # fmt: skip
    since = RENEWED - timedelta(days=1)
    with world.services.transaction() as db:
        invoice_terms.note(db, "default", body, RENEWED)
        # Another connection's invoice, with ids that nothing forbids it to share.
        db.execute(insert(db, InvoiceTerm).values(invoice_terms.as_rows("elsewhere", body | {"id": "inv-2"}, RENEWED)))
        found = invoice_terms.pending(db, "default", since)
        assert [(one.invoice_id, one.subscription_id) for one in found] == [("inv-1", "sub-1"), ("inv-1", "sub-2")]
        some = invoice_terms.pending_of(db, "default", since, subscription_ids=["sub-2"], invoice_ids=["inv-2"])
        assert [(one.invoice_id, one.subscription_id) for one in some] == [("inv-1", "sub-2")]
