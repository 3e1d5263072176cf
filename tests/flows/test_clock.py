"""Periodic work: what is due happens, once, by whichever clock has the lease, and trouble does not stop the clock."""

from collections.abc import Callable
from datetime import timedelta

from connector import clock, leases
from connector.clock import Clock
from connector.services import Services
from tests.flows.conftest import CALLS_PRICE, World


def test_clock_finds_an_approved_bill_and_rings_for_it(world: World) -> None:
    world.sign_up()
    world.settle()
    invoice_id = world.renew()
    world.bill()
    Clock(world.services).tick()
    world.work()
    assert world.charges(invoice_id) == [(CALLS_PRICE, 1000)]


def test_each_task_runs_at_its_own_interval(world: World) -> None:
    ticking = Clock(world.services)
    for _ in range(12):
        ticking.tick()
        world.box.advance(timedelta(seconds=30))
    assert len(world.calls("m3ter", "list_bills")) == 2  # at 0 and 300 seconds


def test_two_clocks_do_not_work_at_once(world: World) -> None:
    with leases.held(world.services, "clock", 60):
        Clock(world.services).tick()
    assert world.calls("m3ter") == []
    Clock(world.services).tick()
    assert len(world.calls("m3ter", "list_bills")) == 1


def test_clock_of_a_host_that_died_is_replaced(world: World) -> None:
    assert leases.take(world.services, "clock", clock.LEASE_SECONDS) is not None
    world.box.advance(timedelta(seconds=clock.LEASE_SECONDS))
    Clock(world.services).tick()
    assert len(world.calls("m3ter", "list_bills")) == 1


def test_clock_goes_on_while_redis_and_m3ter_are_away(world: World, make_services: Callable[..., Services]) -> None:
    world.sign_up()
    world.deliver()
    world.box.faults.order("m3ter", "*", "status", count=50, status=503)
    Clock(make_services(REDIS_URL="redis://127.0.0.1:1/0")).tick()
    world.box.faults.orders.clear()
    world.box.advance(timedelta(seconds=61))
    Clock(world.services).tick()
    world.work()
    assert len(world.plans()) == 1


def test_sweep_does_not_queue_what_is_queued_already(world: World) -> None:
    world.sign_up()
    world.deliver()
    for _ in range(5):
        clock.sweep(world.services)
    assert [queue.count for queue in world.queues()] == [1, 0]
