"""The overview: what happened over time, budgets in use, what closes soon, what runs low; bounded, and without a live call."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from importlib import import_module
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from connector import budgets, clock, overview, tallies
from connector.access import VIEWER
from connector.balances import watches, watching
from connector.bills import closing
from connector.cli import main
from connector.histogram import bound_of
from connector.models import Sync, Tally
from connector.services import Services
from connector.tallies import Slot
from tests.flows.browser import Browser, add_user, text_of
from tests.flows.conftest import START, UNMAPPED, World

pytestmark = pytest.mark.alternate_databases

CLOSED_PORT = "redis://127.0.0.1:1/0"


def count(world: World) -> None:
    """Let the clock count until nothing is left, some time later."""
    for _ in range(3):
        world.box.advance(tallies.SETTLES)
        tallies.count(world.services)


def flow(world: World, period: str = tallies.HOUR) -> list[Slot]:
    with world.services.reading() as db:
        return tallies.flow(db, period, world.services.now())


def numbers(world: World) -> dict[tuple[str, str], int]:
    """What was counted in all, by day, by what and kind."""
    with world.services.reading() as db:
        rows = db.scalars(select(Tally).where(Tally.period == tallies.DAY)).all()
    found: dict[tuple[str, str], int] = {}
    for row in rows:
        found[row.what, row.kind] = found.get((row.what, row.kind), 0) + row.number
    return found


def add_syncs(world: World, number: int, at: datetime, status: str = "succeeded") -> None:
    with world.services.transaction() as db:
        db.add_all(
            Sync(
                connection="default", kind="customer", subject=f"c-{at:%d%H%M%S}-{n}", trigger="test", status=status,
                next_attempt_at=at, created_at=at - timedelta(seconds=20), updated_at=at,
            )
            for n in range(number)
        )  # fmt: skip


def page(world: World, services: Services | None = None, path: str = "/") -> Any:
    browser = Browser(services or world.services)
    assert browser.log_in("vera").status_code == 303
    return browser.get(path)


@pytest.fixture
def people(world: World) -> World:
    add_user(world.services, "vera", VIEWER)
    return world


# Over time


def test_charts_show_what_happened_hour_by_hour_and_day_by_day(people: World) -> None:
    people.sign_up()
    people.deliver()
    people.box.advance(timedelta(seconds=100))
    people.work()
    people.box.advance(timedelta(hours=3))
    people.sign_up("beta", "sub-2", items=(UNMAPPED,))
    people.settle()
    count(people)
    received = len(people.inbox())
    hours = flow(people)
    assert len(hours) == 24
    assert hours[-1].start == START + timedelta(hours=3)
    first, last = hours[-4], hours[-1]
    assert (first.succeeded, first.parked) == (2, 0)
    assert bound_of(first.p50 or 0) == bound_of(first.p95 or 0) == 120, "counted from when the webhook came in"
    assert (last.succeeded, last.parked, last.p95) == (1, 1, 0)
    assert sum(one.received for one in hours) == received
    assert not any(one.received or one.succeeded or one.parked for one in hours if one not in (first, last))
    today = flow(people, tallies.DAY)[-1]
    assert (today.start, today.received, today.succeeded, today.parked) == (START, received, 3, 1)
    answer = page(people)
    said = text_of(answer)
    assert f"In the last 24 hours {received} events came in; syncs: 3 succeeded, 0 superseded, 1 parked." in said
    assert "In the hour from 2026-01-01 03:00, half took 1 s or less" in said
    assert f"2026-01-01 00:00:00 {first.received} 2 0 0 2 min 2 min" in said
    # As drawn: the bar of two stands on its line, and the one that is parked on top of the one that succeeded.
    bars = re.findall(r'<rect class="bar (\w+)"[^>]* height="([\d.]+)"', answer.text)
    drawn = [(kind, Decimal(height)) for kind, height in bars if Decimal(height) != 10]
    assert [kind for kind, _ in drawn] == ["succeeded", "succeeded", "parked"]
    assert abs(drawn[0][1] - 2 * drawn[1][1]) < 1
    assert " style=" not in answer.text
    days = text_of(page(people, path="/?span=day"))
    assert f"In the last 30 days {received} events came in" in days
    assert page(people, path="/?span=year").status_code == 400


class Crash(BaseException):
    """The clock's process is gone."""


def crash(monkeypatch: pytest.MonkeyPatch, step: str, services: Services, *, commits: bool) -> None:
    """The clock dies when it has written a batch's counts, right before its transaction is committed or right after."""
    original = getattr(tallies, step)

    @contextmanager
    def dying() -> Iterator[Any]:
        with services.transaction() as db:
            yield db
            if not commits:
                raise Crash
        raise Crash

    class Dying:
        now, transaction = staticmethod(services.now), staticmethod(dying)

    with monkeypatch.context() as patched:
        patched.setattr(tallies, step, lambda _: original(Dying))
        with pytest.raises(Crash):
            tallies.count(services)


@pytest.mark.parametrize("commits", [False, True], ids=["before the commit", "after it"])
@pytest.mark.parametrize("step", ["_count_events", "_count_syncs"])
def test_every_row_counts_once_whenever_the_clock_dies(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str, commits: bool
) -> None:
    monkeypatch.setattr(tallies, "EVENT_BATCH", 2)
    monkeypatch.setattr(tallies, "SYNC_BATCH", 3)
    world.sign_up()
    world.sign_up("beta", "sub-2")
    world.settle()
    # More of one moment than a batch takes, and one before them that was there from the start.
    add_syncs(world, 8, world.services.now())
    tallies.count(world.services)
    world.box.advance(2 * tallies.SETTLES)
    for _ in range(3):
        crash(monkeypatch, step, world.services, commits=commits)
    count(world)
    events = [one.source for one in world.inbox()]
    ends = [(one.status, one.kind) for one in world.syncs() if one.status in tallies.ENDS]
    assert numbers(world) == {
        **{("received", source): events.count(source) for source in set(events)},
        **{end: ends.count(end) for end in ends},
    }
    before = numbers(world)
    count(world)
    assert numbers(world) == before


def test_row_that_is_committed_late_is_counted_all_the_same(world: World) -> None:
    """Numbers are given before rows are committed: what is very new may still get neighbours below it."""
    world.sign_up()
    world.deliver()
    tallies.count(world.services)
    with world.services.transaction() as db:
        rows = world.inbox()
        late = rows[-1]
        db.delete(db.merge(late))
    world.box.advance(timedelta(seconds=30))
    tallies.count(world.services)
    assert numbers(world) == {}
    from sqlalchemy.orm import make_transient

    make_transient(late)
    with world.services.transaction() as db:
        db.add(late)
    count(world)
    assert numbers(world)["received", "chargebee"] == len(rows)


def test_old_hours_go_and_days_stay(world: World) -> None:
    add_syncs(world, 2, world.services.now())
    count(world)
    world.box.advance(timedelta(days=9))
    tallies.count(world.services)
    with world.services.reading() as db:
        assert set(db.scalars(select(Tally.period))) == {tallies.DAY}
    assert [one.succeeded for one in flow(world, tallies.DAY)][-10:] == [2, *[0] * 9]


# Budgets


def used(world: World) -> dict[str, budgets.Budget]:
    found = overview.of_installation(world.services).queues
    assert found is not None
    return {one.provider: one for one in found.budgets}


def test_calls_are_counted_by_the_minute_with_those_that_were_refused(people: World) -> None:
    people.services.redis.flushall()
    before = len(people.box.calls)
    people.sign_up()
    people.settle()
    made = [call.provider for call in people.box.calls[before:]]
    assert made.count("m3ter") > 2
    assert used(people)["m3ter"].this_minute == made.count("m3ter")
    assert used(people)["chargebee"].this_minute == made.count("chargebee")
    people.box.advance(timedelta(minutes=1))
    people.box.faults.order("m3ter", "create_account", "status", status=429, retry_after=40)
    people.sign_up("beta", "sub-2")
    people.settle()
    now = used(people)["m3ter"]
    assert (now.last_minute, now.refused, now.allowed) == (made.count("m3ter"), 1, 3000)
    assert now.wait_until == people.services.now() + timedelta(seconds=40)
    assert now.is_tight
    said = text_of(page(people))
    assert f"m3ter waiting 3000 {now.this_minute} {now.last_minute} {now.most} 1 2026-01-01 00:01:40" in said
    people.box.advance(timedelta(seconds=41))
    assert used(people)["m3ter"].wait_until is None
    people.box.advance(timedelta(hours=1))
    later = used(people)["m3ter"]
    assert (later.most, later.refused, later.is_tight) == (0, 0, False)


def test_without_redis_work_goes_on_uncounted_and_the_page_says_so(
    people: World, make_services: Callable[..., Services]
) -> None:
    services = make_services(REDIS_URL=CLOSED_PORT)
    answer = page(people, services)
    assert answer.status_code == 200
    assert "Redis cannot be reached" in text_of(answer)
    assert "Throughput and latency" in text_of(answer)
    assert services.connection("default").m3ter.list_bills is not None
    clock.poll_bills(services)
    assert overview.as_json(overview.of_installation(services))["redis"] == "away"


# What comes soon


def test_invoices_that_close_soon_are_shown_with_the_sync_that_does_their_work(
    people: World, make_services: Callable[..., Services]
) -> None:
    people.services = make_services(AUTO_CLOSE_DAYS="2", MAX_BILL_AMOUNT="5")
    people.sign_up()
    people.settle()
    people.renew()
    bill = people.bill()
    people.poll()
    row = people.sync("bill", bill)
    assert (row.status, row.cause) == ("parked", "amount_bound")
    closing.watch(people.services)
    answer = page(people, people.services)
    said = text_of(answer)
    assert "in 1 d 23 h" in said
    assert f"{bill}" in said
    assert "a person amount_bound" in said
    assert f'href="/console/syncs/{row.id}">Sync {row.id}</a>' in answer.text
    people.box.advance(timedelta(hours=30))
    closing.watch(people.services)
    assert "too near" in text_of(page(people, people.services))
    people.services = make_services(AUTO_CLOSE_DAYS="2")
    people.retry(row.id)
    assert people.sync("bill", bill).status != "parked"
    # What is done since the clock looked is not shown any more.
    assert "None closes within two days" in text_of(page(people, people.services))


def test_balances_that_run_low_are_shown_as_they_were_seen_last(people: World) -> None:
    account = people.m3ter.create_account("acme")["id"]
    start = START - timedelta(days=30)
    made = people.m3ter.create_balance(account, "credit", start, START + timedelta(days=300))
    balance = people.services.connection("default").m3ter.balance_billing.get_balance(made["id"])
    with people.services.transaction() as db:
        watches.put(
            db, "default", balance, watches.Terms(Decimal("50")), made_by="test", now=people.services.now()
        )  # fmt: skip
    watching.check(people.services)
    people.work()
    people.forget_calls()
    answer = page(people)
    assert f'href="/console/balances/default/{made["id"]}"' in answer.text
    assert "low" in text_of(answer)
    assert "low 0.00 USD 50.00 USD" in text_of(answer)
    assert people.box.calls == [], "the overview asks no provider"


# Processes


def test_clock_that_stands_still_and_queues_without_workers_are_said(people: World) -> None:
    assert "The clock does not run" in text_of(page(people))
    clock.Clock(people.services).tick()
    people.work()
    said = text_of(page(people))
    assert "The clock does not run" not in said
    assert "sync 0 0 none bills 0 0 none" in said
    people.box.advance(timedelta(minutes=5))
    assert "The clock does not run : it last worked 5 min ago" in text_of(page(people))


def test_status_says_the_same_at_the_command_line(people: World, monkeypatch: pytest.MonkeyPatch) -> None:
    people.sign_up(items=(UNMAPPED,))
    people.settle()
    count(people)
    # Not by its path: the package has the command itself under the module's name.
    monkeypatch.setattr(import_module("connector.cli.status"), "wire", lambda: people.services)
    document = json.loads(CliRunner().invoke(main, ["status", "--json"]).stdout)
    assert document["parked"] == 1
    assert document["troubles"][0]["cause"] == "unmapped_item_price"
    assert datetime.fromisoformat(document["troubles"][0]["since"]).isoformat() == document["troubles"][0]["since"]
    assert document["flow"]["slots"][-1]["parked"] == 1
    assert {one["provider"] for one in document["budgets"]} == {"chargebee", "m3ter"}
    said = CliRunner().invoke(main, ["status", "--days"]).stdout
    assert "1 sync(s) wait for a person" in said
    assert "In the last 30 days" in said
    assert "Balances that run low: none." in said
    assert re.search(r"unmapped_item_price.*\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", said)
