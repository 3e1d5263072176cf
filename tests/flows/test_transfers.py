"""Transfers to another business entity, told in whatever order and way: one account, one plan, under the live copy's ids."""

import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from connector import transfers
from tests.flows.conftest import PRO, World

pytestmark = pytest.mark.alternate_databases

JAN_15 = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
START = "2026-01-01T00:00:00Z"


def transferred(world: World) -> tuple[str, str]:
    """Acme and its subscription go to another entity, which nobody has told the connector; answers the live ids."""
    world.sign_up()
    world.settle()
    world.box.advance(to=JAN_15)
    live = world.chargebee.transfer_customer("acme", "entity-2")["active_resource_id"]
    [subscription] = [one for one in world.chargebee.subscriptions.values() if one["customer_id"] == live]
    world.hold_back()
    return live, subscription["id"]


def tell(world: World, event_type: str, **content: Any) -> None:
    event = {
        "id": f"ev_{event_type}_{len(world.inbox())}", "event_type": event_type, "api_version": "v2",
        "occurred_at": int(JAN_15.timestamp()), "content": content,
    }  # fmt: skip
    assert world.post("/webhooks/chargebee", json.dumps(event).encode()) == 204
    world.work()


def one_plan(world: World, subscription_id: str) -> None:
    assert world.periods() == [("pro", START, None)]
    assert len(world.m3ter.accounts) == 1
    assert world.mapped("AccountPlan") == [("Subscription", f"{subscription_id} - {PRO}")]


def test_the_old_copy_says_by_itself_where_it_lives(world: World) -> None:
    live, subscription_id = transferred(world)
    tell(world, "customer_changed", customer=world.chargebee.customers["acme"])
    tell(world, "subscription_changed", subscription=world.chargebee.subscriptions["sub-1"])
    tell(world, "subscription_changed", subscription=world.chargebee.subscriptions[subscription_id])
    one_plan(world, subscription_id)
    assert ("Customer", live) in world.mapped("Account")


@pytest.mark.parametrize("says_where", [False, True])
def test_what_ended_with_the_old_copy_goes_on_once_the_transfer_is_known(world: World, *, says_where: bool) -> None:
    live, subscription_id = transferred(world)
    gone = copy.deepcopy(world.chargebee.subscriptions["sub-1"])
    if not says_where:
        del gone["active_id"]
    tell(world, "subscription_changed", subscription=gone)
    transfer = {"resource_type": "subscription", "resource_id": "sub-1", "active_resource_id": subscription_id}
    tell(
        world, "subscription_business_entity_changed", business_entity_transfer=transfer,
        subscription=world.chargebee.subscriptions[subscription_id],
    )  # fmt: skip
    one_plan(world, subscription_id)
    assert ("Customer", live) in world.mapped("Account")


def test_a_late_event_of_the_old_copy_is_one_of_the_live_copys(world: World) -> None:
    world.sign_up()
    first = copy.deepcopy(world.chargebee.subscriptions["sub-1"])
    world.hold_back()
    world.box.advance(to=JAN_15)
    live = world.chargebee.transfer_customer("acme", "entity-2")["active_resource_id"]
    world.settle()
    tell(world, "subscription_created", subscription=first)
    [subscription] = [one for one in world.chargebee.subscriptions.values() if one["customer_id"] == live]
    assert world.periods(live) == [("pro", START, None)]
    assert world.mapped("AccountPlan") == [("Subscription", f"{subscription['id']} - {PRO}")]
    assert {sync.status for sync in world.syncs()} == {"succeeded"}


def test_a_live_copy_that_has_an_account_already_keeps_it(world: World) -> None:
    live, subscription_id = transferred(world)
    tell(world, "customer_created", customer=world.chargebee.customers[live])
    transfer = {"resource_type": "customer", "resource_id": "acme", "active_resource_id": live}
    tell(
        world, "customer_business_entity_changed", business_entity_transfer=transfer,
        customer=world.chargebee.customers[live],
    )  # fmt: skip
    tell(world, "subscription_changed", subscription=world.chargebee.subscriptions["sub-1"])
    tell(world, "subscription_changed", subscription=world.chargebee.subscriptions[subscription_id])
    assert world.periods() == [("pro", START, None)]
    assert {row.status for row in world.inbox()} <= {"done", "ignored"}


def test_transfers_are_followed_to_their_end_and_never_in_circles(world: World) -> None:
    now = world.services.now()
    with world.services.transaction() as db:
        for old_id, live_id in (("a", "b"), ("b", "c"), ("c", "a")):
            transfers.note(db, "default", "customer", old_id, live_id, now)
        assert transfers.live_ids(db, "default", "customer", ["a", "b", "c", "x"]) == {
            "a": "c", "b": "c", "c": "c", "x": "x",
        }  # fmt: skip
        assert transfers.live_id(db, "other", "customer", "a") == "a"
