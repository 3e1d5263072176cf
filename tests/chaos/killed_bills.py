"""A large bill whose workers are killed again and again: `make chaos`. Too slow for every day, so `make test` leaves it out.

It has 1,000 lines, none of them grouped. By default no invoice is let grow past 700 (Chargebee is said to fail at some 800),
so this is the bill of a site with Enterprise-scale Invoicing, which reads invoices page by page.
"""

# ruff: noqa: T201 - a report is what this is for

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from connector import database, syncs
from connector.bills import approvals
from connector.clients.http import Http
from connector.services import Services
from tests.flows.conftest import CALLS_PRICE, World
from tests.flows.dying import Died, drain
from tests.flows.test_path_out import environment_of

Make = Callable[..., Services]
SEED = 5
KILLS, LINES = 200, 1000
# Of a kill: so many calls and commits after the worker began, at most. Beginning takes about ten of them, a line three.
MOST_STEPS = 18
REAL_KILLS, REAL_LINES = 8, 60
# The first one warms up.
SIZES = (10, LINES // 4, LINES)
# A push holds one invoice with its lines: so much more than four times the memory for four times the lines is no growth.
LEEWAY = 1.1
FEBRUARY = datetime(2026, 2, 1, 0, 10, tzinfo=UTC)
EACH_FOR_ITSELF = {"GROUP_LINES": "never", "MAX_BILL_LINES": str(LINES), "MAX_INVOICE_LINES": str(LINES + 1)}


class Killer:
    """Ends the worker at a call or a commit, before or after it; a dead worker does nothing more, not even tidy up."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.steps_left: int | None = None
        self.is_dead = False

    def arm(self) -> None:
        self.steps_left = self.chance.randint(1, MOST_STEPS)

    def revive(self) -> bool:
        """A new worker comes; answers whether the last one had died."""
        had_died, self.is_dead, self.steps_left = self.is_dead, False, None
        return had_died

    def step(self) -> None:
        if not self.is_dead and self.steps_left is not None:
            self.steps_left -= 1
            self.is_dead = self.steps_left <= 0
        self.check()

    def check(self) -> None:
        if self.is_dead:
            raise Died


@contextmanager
def deadly(killer: Killer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    call, transaction, reading = Http.call, database.transaction, database.reading

    def deadly_call(self: Http, **request: Any) -> Any:
        killer.step()
        answer = call(self, **request)
        killer.step()
        return answer

    @contextmanager
    def deadly_transaction(engine: Any) -> Iterator[Any]:
        killer.check()
        with transaction(engine) as db:
            yield db
            killer.step()
        killer.step()

    @contextmanager
    def deadly_reading(engine: Any) -> Iterator[Any]:
        killer.check()
        with reading(engine) as db:
            yield db

    with monkeypatch.context() as patched:
        patched.setattr(Http, "call", deadly_call)
        patched.setattr(database, "transaction", deadly_transaction)
        patched.setattr(database, "reading", deadly_reading)
        yield


@pytest.fixture(autouse=True)
def _quiet(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """No event tells of an added line: nobody listens to it, and each would keep a copy of the whole invoice."""
    site = type(world.chargebee)
    event = site._event

    def quiet(self: Any, event_type: str, **content: Any) -> None:
        if event_type != "pending_invoice_updated":
            event(self, event_type, **content)

    monkeypatch.setattr(site, "_event", quiet)


def renewed(world: World, lines: int) -> tuple[str, str, list[int]]:
    """A pending invoice, an approved bill for it with a different amount on each line, and these amounts."""
    world.sign_up()
    world.settle()
    invoice_id = world.renew()
    world.forget_calls()
    return invoice_id, billed(world, lines), [100 + number for number in range(lines)]


def billed(world: World, lines: int) -> str:
    bill_id = world.bill(*(amounts(range(lines))))
    approvals.poll(world.services, "default")
    return bill_id


def amounts(numbers: range) -> list[dict[str, Any]]:
    return [{"subtotal": Decimal(100 + number) / 100, "segment": {"n": str(number)}} for number in numbers]


def is_whole(world: World, invoice_id: str, bill_id: str, wanted: list[int]) -> None:
    """Each line is on the invoice once, and the receipt says so."""
    assert world.sync("bill", bill_id).status == "succeeded"
    assert Counter(world.charges(invoice_id)) == Counter((CALLS_PRICE, minor) for minor in wanted)
    [receipt] = world.receipts()
    assert receipt["equal"] is True
    assert Decimal(receipt["bill_total"]) == Decimal(receipt["invoice_total_added"]) == Decimal(sum(wanted)) / 100
    claimed = [charge["chargebee_line_id"] for line in receipt["lines"] for charge in line["charges"]]
    assert len(set(claimed)) == len(wanted)


def test_a_bill_killed_two_hundred_times_is_whole_at_the_end(
    world: World, make_services: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.services = make_services(**EACH_FOR_ITSELF)
    invoice_id, bill_id, wanted = renewed(world, LINES)
    started, began = time.monotonic(), world.services.now()
    killer = Killer(random.Random(SEED))
    kills = retries = 0
    with deadly(killer, monkeypatch):
        while kills < KILLS or world.sync("bill", bill_id).status != "succeeded":
            assert not (kills < KILLS and world.sync("bill", bill_id).status == "succeeded"), (
                "whole before the last kill"
            )
            if kills < KILLS:
                killer.arm()
            with suppress(Died):
                drain(world)
            kills += killer.revive()
            row = world.sync("bill", bill_id)
            if row.status == "parked":
                assert row.cause == "crashed", row.text
                with world.services.transaction() as db:
                    syncs.retry(db, row.id, "ada", world.services.now())
                retries += 1
            world.box.advance(timedelta(minutes=11))
    is_whole(world, invoice_id, bill_id, wanted)
    sends = world.calls("chargebee", "add_charge_item")
    print(
        f"\n{LINES} lines, seed {SEED}: {kills} kills, {retries} retries by a person after {world.services.settings.max_crashes} "
        f"in a row; {len(sends)} sends, {len(world.calls('chargebee'))} calls of Chargebee, "
        f"{(world.services.now() - began).total_seconds() / 3600:.0f} h of its time, {time.monotonic() - started:.0f} s of ours"
    )


# Works at one bill, and says how much memory that took at most.
WORKER = """
import datetime, sys, tracemalloc
from dataclasses import replace
from connector import handlers, services, settings, syncs
wired = services.build(settings.load())
now = datetime.datetime.fromisoformat(sys.argv[1])
wired = replace(wired, now=lambda: now)
for sync_id in sys.argv[2:]:
    tracemalloc.start()
    print("ended", syncs.attempt(wired, int(sync_id), handlers.KINDS), end=" ")
    print(tracemalloc.get_traced_memory()[1], flush=True)
    tracemalloc.stop()
"""


def worker(world: World, *sync_ids: int) -> subprocess.Popen[str]:
    """A worker process of its own at these syncs."""
    environment = {"PATH": os.environ["PATH"], **environment_of(world.services), **EACH_FOR_ITSELF}
    command = [sys.executable, "-c", WORKER, world.services.now().isoformat(), *map(str, sync_ids)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_a_worker_process_killed_for_real_leaves_a_bill_that_the_next_makes_whole(
    world: World, make_services: Make
) -> None:
    world.services = make_services(**EACH_FOR_ITSELF)
    invoice_id, bill_id, wanted = renewed(world, REAL_LINES)
    chance, signals = random.Random(SEED), []
    for _ in range(REAL_KILLS):
        enough = len(world.calls("chargebee")) + chance.randint(1, 2 * REAL_LINES // REAL_KILLS)
        process = worker(world, world.sync("bill", bill_id).id)
        while len(world.calls("chargebee")) < enough and process.poll() is None:
            pass
        process.kill()
        process.communicate()
        signals.append(process.returncode)
        row = world.sync("bill", bill_id)
        if row.status == "parked":
            assert row.cause == "crashed", row.text
            world.retry(row.id)
        world.box.advance(timedelta(minutes=11))
    for _ in range(3):
        world.wait(minutes=11)
    is_whole(world, invoice_id, bill_id, wanted)
    print(f"\n{REAL_LINES} lines, seed {SEED}: kill -9 after each of {signals.count(-9)} of {REAL_KILLS} starts")


def test_the_memory_of_a_push_grows_no_faster_than_the_lines_of_its_bill(world: World, make_services: Make) -> None:
    world.services = make_services(**EACH_FOR_ITSELF)
    for lines in SIZES:
        world.sign_up(f"customer-{lines}", f"sub-{lines}")
    world.settle()
    world.box.advance(to=FEBRUARY)
    world.settle()
    bills = [world.bill(*amounts(range(lines)), customer_id=f"customer-{lines}") for lines in SIZES]
    approvals.poll(world.services, "default")
    process = worker(world, *(world.sync("bill", bill_id).id for bill_id in bills))
    said, _ = process.communicate()
    peaks = {}
    answers = [line.split()[1:] for line in said.splitlines() if line.startswith("ended")]
    for lines, (status, traced) in zip(SIZES, answers, strict=True):
        assert status == "succeeded"
        peaks[lines] = int(traced)
        print(f"\n{lines} lines: {int(traced) / 2**20:.1f} MiB at most", end="")
    _, quarter, whole = SIZES
    print(f"\n{whole} lines take {peaks[whole] / peaks[quarter]:.1f} times the memory of {quarter}")
    assert peaks[whole] * quarter <= peaks[quarter] * whole * LEEWAY
