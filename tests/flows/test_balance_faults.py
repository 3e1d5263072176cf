"""Whatever fails on the way, each thing that is asked of Balance Billing is made once, and both halves of a top-up are there."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from threading import Barrier, Thread
from typing import Any

import pytest
from sqlalchemy import select

from connector import handlers, pauses, syncs
from connector.balances import asking, drafts, drift, requests, top_ups
from connector.balances.drafts import Draft
from connector.balances.top_ups import Price, TopUp
from connector.clients.m3ter_balance_objects import Balance
from connector.errors import BadInput
from connector.models import BalanceRequest
from tests.flows.conftest import START, World
from tests.flows.dying import PLACES, Died, drain, dying_at, put_back, rows

pytestmark = pytest.mark.alternate_databases

YEAR_END = datetime(2027, 1, 1, tzinfo=UTC)
TABLES = ("balances", "transactions", "charges", "transaction_schedules", "charge_schedules")
# Within the settle wait of 120 seconds, and after it.
IN_TIME, TOO_LATE = 60, 150
FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("refuse", {}), ("cut", {}), ("truncated", {}), ("html", {}), ("html", {"status": 200}), ("late", {"seconds": IN_TIME}),
    ("status", {"status": 503}), ("status", {"status": 429, "retry_after": 1}), ("status_after", {"status": 500}),
    ("expire_token", {}),
)  # fmt: skip
OF_READING = tuple(one for one in FAULTS if one[0] not in ("late", "status_after"))


@dataclass(frozen=True)
class Case:
    """What is asked for, the calls that make it and that look for it, and how many of what stand in m3ter afterwards."""

    ask: Callable[[World, Balance], None]
    made_by: tuple[str, ...]
    found_by: tuple[str, ...]
    stands: dict[str, int]


@pytest.fixture
def balance(world: World) -> Balance:
    world.sign_up()
    world.settle()
    world.m3ter.create_transaction_type("top_up")
    made = world.m3ter.create_balance(world.m3ter.account_by_code("acme")["id"], "prepaid", START, YEAR_END)
    world.forget_calls()
    return world.services.connection("default").m3ter.balance_billing.get_balance(made["id"])


def type_id(world: World) -> str:
    return next(iter(world.m3ter.transaction_types))


def ask(world: World, draft: Draft) -> None:
    asking.ask(world.services, "default", draft, who="ada")


def ask_top_up(world: World, top_up: TopUp) -> None:
    asking.ask_top_up(world.services, "default", top_up, who="ada")


def a_balance(world: World, balance: Balance) -> None:
    made = drafts.balance(
        account_id=balance.account_id, code="second", name="Second", currency="EUR", start=START, end=YEAR_END,
        rollover_end=YEAR_END + timedelta(days=30), rollover_amount=Decimal("12.50"), overage_percent=Decimal(10),
    )  # fmt: skip
    ask(world, made)


def a_charge(world: World, balance: Balance) -> None:
    made = drafts.charge(
        account_id=balance.account_id, balance_id=None, code="setup", name="Setup", currency="USD", start=START,
        end=YEAR_END, bill_date=date(2026, 2, 1), units=Decimal(3), unit_price=Decimal("12.345"),
    )  # fmt: skip
    ask(world, made)


def pair(world: World, balance: Balance, reference: str = "PO-77") -> TopUp:
    return top_ups.ad_hoc(
        balance, reference=reference, credit=Decimal(200), price=Price(Decimal(160), "EUR"), type_id=type_id(world),
        applied=START, bill_date=date(2026, 2, 1),
    )  # fmt: skip


def a_top_up(world: World, balance: Balance) -> None:
    ask_top_up(world, pair(world, balance))


def a_scheduled_top_up(world: World, balance: Balance) -> None:
    made = top_ups.scheduled(
        balance, reference="monthly", credit=Decimal(100), price=Price(Decimal(80), "EUR"), type_id=type_id(world),
        start=datetime(2026, 2, 1, tzinfo=UTC), end=datetime(2026, 6, 1, tzinfo=UTC), first_day=date(2026, 2, 1),
        frequency="MONTHLY",
    )  # fmt: skip
    ask_top_up(world, made)


CASES = {
    "a balance": Case(a_balance, ("create_balance",), ("list_balances",), {"balances": 2}),
    "a charge on the account": Case(
        a_charge, ("create_charge",), ("list_charges",), {"balances": 1, "charges": 1}
    ),
    "a top-up": Case(
        a_top_up, ("create_charge", "create_balance_transaction"), ("list_charges", "list_balance_transactions"),
        {"balances": 1, "transactions": 1, "charges": 1},
    ),
    "a scheduled top-up": Case(
        a_scheduled_top_up, ("create_charge_schedule", "create_transaction_schedule"),
        ("list_charge_schedules", "list_transaction_schedules"),
        {"balances": 1, "transaction_schedules": 1, "charge_schedules": 1},
    ),
}  # fmt: skip


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[str(request.param)]


def counted(world: World) -> dict[str, int]:
    return {name: number for name in TABLES if (number := len(getattr(world.m3ter, name)))}


def outcome(world: World) -> set[tuple[str, str]]:
    with world.services.reading() as db:
        made = {row.status for row in db.scalars(select(BalanceRequest))}
    return {(sync.status, status) for sync in world.syncs(kind="balance_request") for status in made}


def go_on(world: World, minutes: int = 15) -> None:
    """Let time pass and do what is due, without the queue between."""
    drain(world)
    for _ in range(minutes // 3):
        world.box.advance(timedelta(minutes=3))
        drain(world)


def restarts(world: World) -> Iterator[Callable[[], None]]:
    """Gives the way back to how everything was, for as long as it is asked for."""
    start, kept = world.box.snapshot(), rows(world)

    def restart() -> None:
        world.box.restore(start)
        put_back(world, kept)
        world.services.redis.flushall()  # which knows how often money was sent, and would switch it off

    while True:
        yield restart


# A call that fails


def test_a_failed_call_leaves_each_once(world: World, balance: Balance, case: Case) -> None:
    orders = [(operation, *fault) for operation in case.made_by for fault in FAULTS]
    orders += [(operation, *fault) for operation in case.found_by for fault in OF_READING]
    case.ask(world, balance)
    for (operation, kind, detail), restart in zip(orders, restarts(world), strict=False):
        restart()
        world.box.faults.order("m3ter", operation, kind, **detail)
        go_on(world)
        told = f"{operation}: {kind} {detail}"
        assert not world.box.faults.orders, told
        assert outcome(world) == {("succeeded", "done")}, told
        assert counted(world) == case.stands, told
        assert drift.check(world.services, "default", balance) == [], told


def test_a_call_that_fails_twice_in_both_ways_leaves_each_once(world: World, balance: Balance, case: Case) -> None:
    """The answer is lost, and the look-up that follows fails too: nobody may take that for "not there"."""
    case.ask(world, balance)
    made, found = case.made_by[-1], case.found_by[-1]
    for (kind, detail), restart in zip(OF_READING, restarts(world), strict=False):
        restart()
        world.box.faults.order("m3ter", made, "cut")
        world.box.faults.order("m3ter", found, kind, skip=1, **detail)
        go_on(world)
        assert outcome(world) == {("succeeded", "done")}, kind
        assert counted(world) == case.stands, kind


def test_a_call_that_takes_effect_after_all_is_not_taken_twice_or_parks(
    world: World, balance: Balance, case: Case
) -> None:
    case.ask(world, balance)
    for operation, restart in zip(case.made_by, restarts(world), strict=False):
        restart()
        world.box.faults.order("m3ter", operation, "late", seconds=TOO_LATE)
        drain(world)
        world.box.advance(timedelta(seconds=121))
        go_on(world)
        if operation != "create_balance_transaction":
            assert outcome(world) == {("succeeded", "done")}, operation
            assert counted(world) == case.stands, operation
            continue
        parked = [sync for sync in world.syncs(kind="balance_request") if sync.status == "parked"]
        assert [(sync.cause, "m3ter has 2 of transaction PO-77" in sync.text) for sync in parked] == [
            ("made_twice", True)
        ]
        assert counted(world) == case.stands | {"transactions": 2}


def test_a_refusal_parks_and_makes_no_half(world: World, balance: Balance, case: Case) -> None:
    case.ask(world, balance)
    world.box.faults.order("m3ter", case.made_by[0], "status", status=400, message="no such thing")
    go_on(world)
    first, *rest = world.syncs(kind="balance_request")
    assert (first.status, first.cause) == ("parked", "rejected")
    assert "no such thing" in first.text
    assert {sync.cause for sync in rest} <= {"waiting_for_charge"}
    assert counted(world) == {"balances": 1}
    with world.services.transaction() as db:
        syncs.retry(db, first.id, "ada", world.services.now())
    go_on(world)
    assert counted(world) == case.stands


# A worker that dies


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("name", ["a top-up", "a scheduled top-up"])
def test_a_worker_may_die_at_any_step(
    world: World, balance: Balance, name: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    case.ask(world, balance)
    for step, restart in zip(count(1), restarts(world), strict=False):
        restart()
        with dying_at(step, where, monkeypatch) as taken, suppress(Died):
            drain(world)
        go_on(world, minutes=24)
        assert counted(world) == case.stands, f"died {where} {step}"
        assert outcome(world) == {("succeeded", "done")}, f"died {where} {step}"
        assert drift.check(world.services, "default", balance) == []
        if taken[0] < step:
            assert step > 4
            return


# Several at once


def at_once(work: Callable[[int], Any], times: int) -> list[Any]:
    """What the work came to in so many threads that start together; a fault is an answer too."""
    start, answers = Barrier(times), []

    def run(number: int) -> None:
        start.wait()
        try:
            answers.append(work(number))
        except BadInput as refused:
            answers.append(refused)

    threads = [Thread(target=run, args=(number,)) for number in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_several_workers_make_each_once(world: World, balance: Balance) -> None:
    a_top_up(world, balance)
    ids = [sync.id for sync in world.syncs(kind="balance_request")] * 3
    at_once(lambda number: syncs.attempt(world.services, ids[number], handlers.KINDS), len(ids))
    go_on(world)
    assert counted(world) == CASES["a top-up"].stands
    assert len(world.calls("m3ter", "create_balance_transaction")) == 1
    assert len(world.calls("m3ter", "create_charge")) == 1


def test_a_double_click_with_a_reference_is_one_top_up(world: World, balance: Balance) -> None:
    asked = at_once(lambda _: asking.ask_top_up(world.services, "default", pair(world, balance), who="ada"), 4)
    assert sorted(one.is_new for halves in asked for one in halves) == [False] * 6 + [True] * 2
    go_on(world)
    assert counted(world) == CASES["a top-up"].stands


def test_a_double_click_without_a_reference_is_one_top_up_and_a_refusal(world: World, balance: Balance) -> None:
    clicks = [pair(world, balance, requests.made_up_reference(number)) for number in range(4)]
    asked = at_once(lambda number: asking.ask_top_up(world.services, "default", clicks[number], who="ada"), 4)
    assert sum(isinstance(one, BadInput) for one in asked) == 3
    go_on(world)
    assert counted(world) == CASES["a top-up"].stands


# What is lost


def test_nothing_is_lost_with_the_queue(world: World, balance: Balance) -> None:
    a_top_up(world, balance)
    world.services.redis.flushall()
    world.wait(seconds=1)
    world.services.redis.flushall()
    world.wait(minutes=5)
    assert counted(world) == CASES["a top-up"].stands
    assert outcome(world) == {("succeeded", "done")}


def test_a_database_from_before_sends_no_credit_again(world: World, balance: Balance) -> None:
    kept = rows(world)
    a_top_up(world, balance)
    go_on(world)
    put_back(world, kept)
    a_top_up(world, balance)
    go_on(world)
    assert {sync.cause for sync in world.syncs(kind="balance_request")} == {"money_off"}
    assert counted(world) == CASES["a top-up"].stands
    pauses.accept_database(world.services, "default")
    with world.services.transaction() as db:
        pauses.lift(db, "default", "money", world.services.now())
    go_on(world, minutes=60)
    assert outcome(world) == {("succeeded", "done")}
    assert counted(world) == CASES["a top-up"].stands
    with world.services.reading() as db:
        assert {row.found_by for row in db.scalars(select(BalanceRequest))} == {"look-up"}
