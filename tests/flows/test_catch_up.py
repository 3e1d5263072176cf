"""Events that no webhook brought are found in Chargebee's event list, so that a lost webhook costs only time."""

import logging
import random
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pytest
import structlog
from sqlalchemy import select
from structlog.testing import capture_logs

from connector import catch_up
from connector.clock import Clock
from connector.errors import ConnectorError
from connector.models import Cursor, QuarantinedBody
from connector.sandbox.chargebee.errors import Refused
from tests.flows.conftest import PRO, SCALE, START, World
from tests.flows.dying import put_back, rows
from tests.flows.test_workers import standing

pytestmark = pytest.mark.alternate_databases


def lose(url: str, headers: dict[str, str], body: bytes) -> int:
    """A delivery that the sender believes in and nobody has received."""
    return 204


def cursor(world: World) -> datetime | None:
    """Up to when the list has been read."""
    with world.services.reading() as db:
        return db.scalar(select(Cursor.at).where(Cursor.name == catch_up.EVENTS))


def looks(world: World) -> int:
    return len(world.calls("chargebee", "list_events"))


def warnings(world: World, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What one look at the list warns of."""
    loud = structlog.make_filtering_bound_logger(logging.WARNING)
    monkeypatch.setattr(catch_up, "log", structlog.wrap_logger(None, wrapper_class=loud))
    with capture_logs() as logged:
        catch_up.take_missed_events(world.services, "default")
    return list(logged)


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
    assert len(world.inbox()) == 100
    assert cursor(world) == START
    world.box.faults.clear()
    assert catch_up.take_missed_events(world.services, "default") == len(world.inbox()) - 100 > 0
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


def test_pages_read_before_a_failure_move_the_cursor_no_further_than_they_go(world: World) -> None:
    world.chargebee.events.clear()
    for number in range(130):
        world.box.advance(timedelta(minutes=1))
        world.chargebee.create_customer(f"c{number}", email="c@example.test")
    world.box.advance(timedelta(days=9))
    world.box.faults.order("chargebee", "list_events", "html", count=9, skip=1)
    with pytest.raises(ConnectorError):
        catch_up.take_missed_events(world.services, "default")
    assert (len(world.inbox()), cursor(world)) == (100, START + timedelta(minutes=100))
    world.box.faults.clear()
    catch_up.take_missed_events(world.services, "default")
    assert len(world.inbox()) == 130


def test_event_that_is_listed_late_is_taken_within_the_overlap(world: World) -> None:
    world.chargebee.events.clear()
    world.chargebee.create_customer("late", email="c@example.test")
    listed_late = dict(world.chargebee.events)
    world.chargebee.events.clear()
    world.box.advance(catch_up.OVERLAP - timedelta(seconds=1))
    world.chargebee.create_customer("in-time", email="c@example.test")
    assert catch_up.take_missed_events(world.services, "default") == 1
    world.chargebee.events.update(listed_late)
    assert catch_up.take_missed_events(world.services, "default") == len(listed_late) == 1


def test_event_that_is_listed_hours_late_is_taken_where_nothing_happens_else(world: World) -> None:
    world.chargebee.events.clear()
    world.chargebee.create_customer("late", email="c@example.test")
    listed_late = dict(world.chargebee.events)
    world.chargebee.events.clear()
    world.box.advance(timedelta(hours=20))
    assert catch_up.take_missed_events(world.services, "default") == 0
    world.chargebee.events.update(listed_late)
    assert catch_up.take_missed_events(world.services, "default") == 1


def test_cursor_does_not_go_back_when_only_old_events_are_listed(world: World) -> None:
    world.chargebee.events.clear()
    world.box.advance(timedelta(hours=1))
    world.chargebee.create_customer("first", email="c@example.test")
    catch_up.take_missed_events(world.services, "default")
    [event] = world.chargebee.events.values()
    world.chargebee.events["ev_late"] = event | {"id": "ev_late", "occurred_at": event["occurred_at"] - 60}
    del world.chargebee.events[event["id"]]
    assert catch_up.take_missed_events(world.services, "default") == 1
    assert cursor(world) == START + timedelta(hours=1)


def test_slow_clock_does_not_take_the_cursor_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.chargebee.create_customer("first", email="c@example.test")
    chargebee = world.services.connection("default").chargebee
    ask = chargebee.list_events

    def overtaken(**wanted: Any) -> Any:
        monkeypatch.setattr(chargebee, "list_events", ask)
        page = ask(**wanted)
        world.box.advance(timedelta(hours=1))
        world.chargebee.create_customer("second", email="c@example.test")
        catch_up.take_missed_events(world.services, "default")
        return page

    monkeypatch.setattr(chargebee, "list_events", overtaken)
    catch_up.take_missed_events(world.services, "default")
    assert cursor(world) == START + timedelta(hours=1)


def test_event_from_the_future_does_not_hide_those_that_come(world: World) -> None:
    world.chargebee.events.clear()
    world.chargebee.create_customer("early", email="c@example.test")
    [event] = world.chargebee.events.values()
    event["occurred_at"] += 10**7
    assert catch_up.take_missed_events(world.services, "default") == 1
    world.box.advance(timedelta(hours=1))
    world.chargebee.create_customer("late", email="c@example.test")
    assert catch_up.take_missed_events(world.services, "default") == 1


def test_clock_that_stood_longer_than_chargebee_lists_events_warns_that_a_backfill_is_needed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.chargebee.create_customer("early", email="c@example.test")
    assert warnings(world, monkeypatch) == []
    world.box.advance(catch_up.LISTED_FOR)
    world.chargebee.create_customer("middle", email="c@example.test")
    assert warnings(world, monkeypatch) == []
    world.box.advance(catch_up.LISTED_FOR + timedelta(seconds=1))
    world.chargebee.create_customer("late", email="c@example.test")
    [warning] = warnings(world, monkeypatch)
    assert "a backfill is needed" in warning["event"]
    assert warning["lost_since"] == (START + catch_up.LISTED_FOR).isoformat()
    assert warnings(world, monkeypatch) == [warning]  # until somebody has seen to it


def test_site_on_which_nothing_happens_needs_no_backfill(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        assert warnings(world, monkeypatch) == []
        world.box.advance(timedelta(days=20))


def test_list_is_read_at_the_start_after_a_gap_and_every_ten_minutes(world: World) -> None:
    ticking = Clock(world.services)
    ticking.tick()
    assert looks(world) == 1
    for _ in range(59):
        world.box.advance(timedelta(seconds=30))
        ticking.tick()
    assert looks(world) == 3  # at 0, 10 and 20 minutes; the next is due at 30
    world.box.advance(timedelta(hours=5))
    ticking.tick()
    assert looks(world) == 4
    Clock(world.services).tick()
    assert looks(world) == 5


def test_events_before_the_installation_are_left_to_a_backfill(world: World) -> None:
    catch_up.take_missed_events(world.services, "default")
    [call] = world.calls("chargebee", "list_events")
    assert f"occurred_at[after]={int((START - catch_up.OVERLAP).timestamp())}" in unquote(call.query)
    assert "limit=100" in call.query


@pytest.mark.parametrize("seed", range(4))
def test_random_history_with_lost_webhooks_ends_as_it_would_have_with_all_of_them(world: World, seed: int) -> None:
    start, kept = world.box.snapshot(), rows(world)
    live(world, random.Random(seed), lost=0)
    expected = standing(world)
    assert expected[0]
    world.box.restore(start)
    put_back(world, kept)
    live(world, random.Random(seed), lost=0.7)
    assert standing(world) == expected


def live(world: World, chance: random.Random, *, lost: float) -> None:
    """Twenty turns of two customers and their webhooks, of which this share never arrives; the clock ticks on."""
    turns: list[Callable[[str], Any]] = [
        lambda name: world.sign_up(name, f"sub-{name}", items=(chance.choice([PRO, SCALE]),)),
        lambda name: world.chargebee.update_subscription(f"sub-{name}", item_price_ids=[chance.choice([PRO, SCALE])]),
        lambda name: world.chargebee.cancel_subscription(f"sub-{name}", end_of_term=chance.random() < 0.5),
        lambda name: world.chargebee.reactivate_subscription(f"sub-{name}"),
        lambda name: world.chargebee.update_customer(name, company=f"{name} {chance.random()}"),
    ]
    loss, ticking = random.Random(chance.random()), Clock(world.services)
    for _ in range(20):
        with suppress(Refused):
            chance.choice(turns)(chance.choice(["acme", "other"]))
        world.box.advance(timedelta(hours=chance.choice([0, 1, 30, 400])))
        for delivery in world.hold_back():
            if loss.random() >= lost:
                world.send(*delivery)
        world.work()
    world.box.advance(timedelta(hours=1))
    ticking.tick()
    world.work()


def test_events_that_webhooks_have_brought_move_the_cursor_and_are_not_taken_in_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    catch_up.take_missed_events(world.services, "default")
    world.box.advance(timedelta(hours=2))
    world.sign_up()
    world.deliver()
    taken: list[Any] = []
    monkeypatch.setattr(catch_up.inbox, "record", lambda *_, **event: taken.append(event))
    assert catch_up.take_missed_events(world.services, "default") == 0
    assert (cursor(world), taken) == (world.services.now(), [])
