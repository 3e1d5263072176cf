"""Several workers at once, workers that die at any step, and histories that arrive in any order: one and the same end."""

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from threading import Barrier, Thread
from typing import Any

import pytest

from connector import catch_up, handlers, jobs, mirror, syncs
from connector.clients.m3ter import M3terClient
from connector.customers import only_worker_at
from connector.errors import Waiting
from connector.mappings.plans import PlanChoices
from connector.sandbox.chargebee.errors import Refused
from connector.syncs import Run
from connector.timelines import Metering, wanted_plans
from tests.flows.conftest import PRO, SCALE, UNMAPPED, World
from tests.flows.dying import PLACES, Died, drain, dying_at, put_back, rows

JAN_15 = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)


def standing(world: World) -> tuple[Any, ...]:
    """All that the connector has made in m3ter, without m3ter's own ids."""
    return (
        sorted(account["code"] for account in world.m3ter.accounts.values()),
        world.periods("acme"), world.periods("other"), world.mapped("Account"), world.mapped("AccountPlan"),
    )  # fmt: skip


# Two at once


def test_a_worker_that_finds_another_one_at_its_customer_leaves_and_comes_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sign_up()
    world.deliver()
    jobs.dispatch(world.services)
    customer, subscription = world.sync("customer", "acme").id, world.sync("subscription", "sub-1").id
    create, met = M3terClient.create_account, []

    def create_while_another_comes(self: M3terClient, fields: Any) -> Any:
        met.append(syncs.attempt(world.services, subscription, handlers.KINDS))
        return create(self, fields)

    monkeypatch.setattr(M3terClient, "create_account", create_while_another_comes)
    assert syncs.attempt(world.services, customer, handlers.KINDS) == "succeeded"
    assert met == ["waiting"]
    world.wait(minutes=1)
    assert standing(world)[:2] == (["acme"], [("pro", "2026-01-01T00:00:00Z", None)])
    assert len(world.calls("m3ter", "create_account")) == 1


def test_a_worker_may_come_to_its_own_customer_twice(world: World) -> None:
    """As where a subscription moved from a customer to one below it: both are its customers, and one has the other above."""
    run = Run(
        sync_id=1, attempt_id=1, connection="default", kind="subscription", subject="sub-1", attempts=1, fence=1,
        deadline=world.services.now() + timedelta(hours=1),
    )  # fmt: skip
    with only_worker_at(world.services, run, "acme"), only_worker_at(world.services, run, "acme"):
        pass
    other = replace(run, sync_id=2, holds=set())
    with only_worker_at(world.services, run, "acme"), pytest.raises(Waiting):
        only_worker_at(world.services, other, "acme").__enter__()


def test_many_workers_at_one_customer_make_everything_once(world: World) -> None:
    world.map("Plan", world.ids["beta"], UNMAPPED)
    world.sign_up()
    world.box.advance(to=JAN_15)
    world.chargebee.update_subscription("sub-1", item_price_ids=[SCALE])
    world.chargebee.update_customer("acme", company="Acme Holding")
    world.deliver()
    jobs.dispatch(world.services)
    ids = [sync.id for sync in world.syncs()] * 3
    start = Barrier(len(ids))

    def work(sync_id: int) -> None:
        start.wait()
        syncs.attempt(world.services, sync_id, handlers.KINDS)

    threads = [Thread(target=work, args=(sync_id,)) for sync_id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(3):
        world.wait(minutes=3)
    assert standing(world) == (
        ["acme"],
        [("pro", "2026-01-01T00:00:00Z", "2026-01-15T09:30:00Z"), ("scale", "2026-01-15T09:30:00Z", None)],
        [],
        [("Customer", "acme")],
        [("Subscription", f"sub-1 - {PRO}"), ("Subscription", f"sub-1 - {SCALE}")],
    )
    assert len(world.m3ter.account_plans) == 2
    assert {sync.status for sync in world.syncs()} == {"succeeded"}


# Death at each step


def history_of_a_customer(world: World) -> None:
    """Signed up and changed; then, not yet acted on, changed back in the same second and moved to a new customer."""
    world.sign_up()
    for invoice in world.chargebee.invoices.values():
        world.chargebee.record_payment(invoice["id"])
    world.box.advance(to=JAN_15)
    world.chargebee.update_subscription("sub-1", item_price_ids=[SCALE])
    world.deliver()
    drain(world)
    world.chargebee.update_subscription("sub-1", item_price_ids=[PRO])
    world.chargebee.create_customer(id="other", email="other@example.test")
    world.box.advance(timedelta(hours=1))
    world.chargebee.move_subscription("sub-1", "other")
    world.box.advance(timedelta(minutes=10))
    world.deliver()


@pytest.mark.parametrize("where", PLACES)
def test_a_worker_may_die_at_any_step(world: World, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    history_of_a_customer(world)
    start, kept = world.box.snapshot(), rows(world)
    drain(world)
    expected = standing(world)
    assert [len(part) for part in expected] == [2, 1, 1, 2, 2]
    for step in count(1):
        world.box.restore(start)
        put_back(world, kept)
        with dying_at(step, where, monkeypatch) as taken, suppress(Died):
            drain(world)
        for _ in range(3):
            world.box.advance(timedelta(minutes=10))
            drain(world)
        assert standing(world) == expected, f"died {where} {step}"
        assert {sync.status for sync in world.syncs()} == {"succeeded"}
        if taken[0] < step:
            assert step > 5
            return


# Any order


@pytest.mark.parametrize("seed", range(6))
def test_a_random_history_in_any_order_with_losses_ends_in_the_same_plans(world: World, seed: int) -> None:
    chance = random.Random(seed)
    world.sign_up(items=(chance.choice([PRO, SCALE]),))
    turns: list[Callable[[], Any]] = [
        lambda: world.chargebee.update_subscription("sub-1", item_price_ids=[chance.choice([PRO, SCALE])]),
        lambda: world.chargebee.cancel_subscription("sub-1", end_of_term=chance.random() < 0.5),
        lambda: world.chargebee.remove_scheduled_cancellation("sub-1"),
        lambda: world.chargebee.reactivate_subscription("sub-1"),
        lambda: world.chargebee.pause_subscription("sub-1"),
        lambda: world.chargebee.resume_subscription("sub-1"),
    ]
    late: list[tuple[str, dict[str, str], bytes]] = []
    for _ in range(12):
        with suppress(Refused):
            chance.choice(turns)()
        world.box.advance(timedelta(hours=chance.choice([0, 1, 30, 400])))
        late += [one for one in world.hold_back() if chance.random() < 0.7]
        now = chance.sample(late, chance.randint(0, len(late)))
        late = [one for one in late if one not in now] + now[:1]
        for delivery in now:
            world.send(*delivery)
        if chance.random() < 0.5:
            world.work()
    catch_up.take_missed_events(world.services, "default")
    world.work()
    with world.services.reading() as db:
        history = mirror.history(db, "default", "sub-1")
    told = [event["content"] for event in world.chargebee.events.values() if "subscription" in event["content"]]
    assert {state.resource_version for state in history} == {one["subscription"]["resource_version"] for one in told}
    plans = {PRO: "pro", SCALE: "scale"}
    wanted = wanted_plans(history, PlanChoices.always(plans), Metering()).intervals
    assert world.periods() == [
        (one.plan_id, f"{one.start:%Y-%m-%dT%H:%M:%SZ}", f"{one.end:%Y-%m-%dT%H:%M:%SZ}" if one.end else None)
        for one in wanted
    ]
    assert {sync.status for sync in world.syncs()} == {"succeeded"}
