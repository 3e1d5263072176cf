"""Events that no webhook brought are found in Chargebee's event list, so that a lost webhook costs only time."""

from datetime import timedelta

import pytest

from connector import catch_up
from connector.clock import Clock
from connector.errors import ConnectorError
from connector.models import QuarantinedBody
from tests.flows.conftest import PRO, SCALE, World


def lose(url: str, headers: dict[str, str], body: bytes) -> int:
    """A delivery that the sender believes in and nobody has received."""
    return 204


def test_lost_webhooks_change_only_the_delay(world: World) -> None:
    world.sign_up()
    world.box.advance(timedelta(days=9))
    world.chargebee.update_subscription("sub-1", item_price_ids=[SCALE])
    world.box.deliver(lose)
    Clock(world.services).tick()
    world.work()
    assert [(plan["startDate"], plan.get("endDate")) for plan in world.plans()] == [
        ("2026-01-01T00:00:00Z", "2026-01-10T00:00:00Z"),
        ("2026-01-10T00:00:00Z", None),
    ]


def test_event_that_came_both_ways_is_one_event_and_no_conflict(world: World) -> None:
    world.sign_up()
    world.settle()
    before = len(world.inbox())
    catch_up.take_missed_events(world.services, "default")
    world.work()
    world.sign_up(customer_id="beta", subscription_id="sub-2")
    catch_up.take_missed_events(world.services, "default")
    taken = len(world.inbox())
    world.settle()
    assert len(world.inbox()) == taken > before
    with world.services.reading() as db:
        assert db.query(QuarantinedBody).count() == 0


def test_all_pages_are_read_and_the_next_look_goes_on_where_this_one_ended(world: World) -> None:
    for number in range(130):
        world.chargebee.create_customer(f"c{number}", email="c@example.test")
    assert catch_up.take_missed_events(world.services, "default") >= 130
    world.forget_calls()
    world.box.advance(timedelta(hours=1))
    world.chargebee.create_customer("late", email="c@example.test")
    assert catch_up.take_missed_events(world.services, "default") == 1
    world.box.advance(timedelta(hours=1))
    world.forget_calls()
    assert catch_up.take_missed_events(world.services, "default") == 0
    assert len(world.calls("chargebee", "list_events")) == 1


def test_list_that_fails_midway_is_read_again_from_where_it_was_safe(world: World) -> None:
    for number in range(130):
        world.chargebee.create_customer(f"c{number}", email="c@example.test")
    world.box.faults.order("chargebee", "list_events", "html", count=9, skip=1)
    with pytest.raises(ConnectorError):
        catch_up.take_missed_events(world.services, "default")
    world.box.faults.clear()
    catch_up.take_missed_events(world.services, "default")
    customers = {row.event_id for row in world.inbox() if row.event_type == "customer_created"}
    assert len(customers) == 130


def test_outage_longer_than_the_retry_ladder_loses_nothing(world: World) -> None:
    def down(url: str, headers: dict[str, str], body: bytes) -> int:
        return 503

    world.sign_up(items=(PRO,))
    for _ in range(9):
        world.box.deliver(down)
        world.box.advance(timedelta(days=1))
    assert world.inbox() == []
    Clock(world.services).tick()
    world.work()
    assert len(world.plans()) == 1
