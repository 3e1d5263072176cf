"""Chargebee → m3ter: customers become accounts, subscriptions become account plans, in any order and through faults."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connector import jobs, leases
from connector.models import Account
from tests.flows.conftest import PRO, SCALE, SUPPORT, UNMAPPED, World

pytestmark = pytest.mark.alternate_databases

JAN_15 = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)


def test_sign_up_becomes_account_plan_and_mappings_in_four_calls(world: World) -> None:
    world.sign_up()
    world.settle()
    account = world.m3ter.account_by_code("acme")
    assert (account["name"], account["emailAddress"], account["currency"]) == ("acme Ltd", "acme@example.test", "USD")
    assert world.periods() == [("pro", "2026-01-01T00:00:00Z", None)]
    assert world.mapped("Account") == [("Customer", "acme")]
    assert world.mapped("AccountPlan") == [("Subscription", f"sub-1 - {PRO}")]
    assert len(world.calls("m3ter")) == 4
    assert world.calls("chargebee") == []
    assert {row.status for row in world.syncs()} == {"succeeded"}
    assert {row.status for row in world.inbox() if row.event_type.startswith(("customer", "subscription"))} == {"done"}


def test_duplicate_and_repeated_work_changes_nothing(world: World) -> None:
    world.sign_up()
    deliveries: list[tuple[str, dict[str, str], bytes]] = []

    def send(url: str, headers: dict[str, str], body: bytes) -> int:
        deliveries.append((url, headers, body))
        return world.send(url, headers, body)

    world.box.deliver(send)
    world.work()
    world.forget_calls()
    for url, headers, body in deliveries * 2:
        assert world.send(url, headers, body) == 204
    world.work()
    assert world.calls("m3ter") == []
    assert len(world.plans()) == 1


def test_change_replaces_the_plan_at_chargebees_moment_in_two_calls(world: World) -> None:
    world.sign_up()
    world.settle()
    world.forget_calls()
    world.box.advance(to=JAN_15)
    world.chargebee.update_subscription("sub-1", item_price_ids=[SCALE])
    world.settle()
    assert world.periods() == [
        ("pro", "2026-01-01T00:00:00Z", "2026-01-15T09:30:00Z"),
        ("scale", "2026-01-15T09:30:00Z", None),
    ]
    assert [call.operation for call in world.calls("m3ter")] == ["replace_account_plan", "create_external_mapping"]
    assert world.mapped("AccountPlan") == [("Subscription", f"sub-1 - {PRO}"), ("Subscription", f"sub-1 - {SCALE}")]


def test_plan_is_ended_and_started_in_two_calls_where_m3ter_does_not_replace(world: World) -> None:
    world.sign_up()
    world.settle()
    world.box.advance(to=JAN_15)
    world.box.faults.order("m3ter", "replace_account_plan", "status", status=404)
    world.chargebee.update_subscription("sub-1", item_price_ids=[SCALE])
    world.settle()
    assert world.periods() == [
        ("pro", "2026-01-01T00:00:00Z", "2026-01-15T09:30:00Z"),
        ("scale", "2026-01-15T09:30:00Z", None),
    ]


def test_two_changes_recovered_together_are_two_plans(world: World) -> None:
    world.sign_up()
    for day, price in ((10, SCALE), (20, PRO)):
        world.box.advance(to=datetime(2026, 1, day, tzinfo=UTC))
        world.chargebee.update_subscription("sub-1", item_price_ids=[price])
    world.settle()
    assert world.periods() == [
        ("pro", "2026-01-01T00:00:00Z", "2026-01-10T00:00:00Z"),
        ("scale", "2026-01-10T00:00:00Z", "2026-01-20T00:00:00Z"),
        ("pro", "2026-01-20T00:00:00Z", None),
    ]


@pytest.mark.parametrize("seed", range(8))
def test_events_in_any_order_with_repeats_end_in_the_same_plans(world: World, seed: int) -> None:
    chance = random.Random(seed)
    sent: list[tuple[str, dict[str, str], bytes]] = []

    def keep(url: str, headers: dict[str, str], body: bytes) -> int:
        sent.append((url, headers, body))
        return 204

    world.sign_up()
    for day, price in ((10, SCALE), (20, PRO)):
        world.box.advance(to=datetime(2026, 1, day, tzinfo=UTC))
        world.chargebee.update_subscription("sub-1", item_price_ids=[price])
    world.box.advance(to=datetime(2026, 1, 25, tzinfo=UTC))
    world.chargebee.cancel_subscription("sub-1")
    world.box.deliver(keep)
    shuffled = chance.sample(sent * 2, len(sent) * 2)
    for delivery in shuffled:
        assert world.send(*delivery) == 204
        if chance.random() < 0.5:
            world.work()
    world.work()
    assert world.periods() == [
        ("pro", "2026-01-01T00:00:00Z", "2026-01-10T00:00:00Z"),
        ("scale", "2026-01-10T00:00:00Z", "2026-01-20T00:00:00Z"),
        ("pro", "2026-01-20T00:00:00Z", "2026-01-25T00:00:00Z"),
    ]
    assert {row.status for row in world.syncs()} <= {"succeeded"}


def test_late_change_cannot_undo_a_cancellation(world: World) -> None:
    held_back: list[tuple[str, dict[str, str], bytes]] = []

    def hold_back(url: str, headers: dict[str, str], body: bytes) -> int:
        if b"subscription_changed" in body:
            held_back.append((url, headers, body))
            return 204
        return world.send(url, headers, body)

    world.sign_up()
    world.box.advance(to=JAN_15)
    world.chargebee.update_subscription("sub-1", subscription_items=[{"item_price_id": PRO, "quantity": 2}])
    world.box.advance(to=datetime(2026, 1, 20, tzinfo=UTC))
    world.chargebee.cancel_subscription("sub-1")
    world.box.deliver(hold_back)
    world.work()
    [late] = held_back
    world.send(*late)
    world.work()
    assert world.periods() == [("pro", "2026-01-01T00:00:00Z", "2026-01-20T00:00:00Z")]


def test_cancellation_now_ends_the_plan_at_chargebees_moment(world: World) -> None:
    world.sign_up()
    world.settle()
    world.box.advance(to=JAN_15)
    world.chargebee.cancel_subscription("sub-1")
    world.settle()
    assert world.periods() == [("pro", "2026-01-01T00:00:00Z", "2026-01-15T09:30:00Z")]


def test_cancellation_at_term_end_sets_the_future_end_once(world: World) -> None:
    world.sign_up()
    world.settle()
    world.box.advance(to=JAN_15)
    world.chargebee.cancel_subscription("sub-1", end_of_term=True)
    world.settle()
    assert world.periods() == [("pro", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z")]
    world.forget_calls()
    world.box.advance(to=datetime(2026, 2, 2, tzinfo=UTC))
    world.settle()
    assert world.periods() == [("pro", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z")]
    assert world.calls("m3ter") == []


def test_renewal_that_changes_nothing_costs_no_call(world: World) -> None:
    world.sign_up()
    world.settle()
    world.forget_calls()
    world.renew()
    assert world.calls("m3ter") == []
    assert world.calls("chargebee") == []


def test_quantity_change_costs_no_call(world: World) -> None:
    world.sign_up()
    world.settle()
    world.forget_calls()
    world.box.advance(to=JAN_15)
    world.chargebee.update_subscription("sub-1", subscription_items=[{"item_price_id": PRO, "quantity": 7}])
    world.settle()
    assert world.calls("m3ter") == []


def test_item_marked_as_not_metered_is_left_alone(world: World) -> None:
    world.sign_up(items=(PRO, SUPPORT))
    world.settle()
    assert [plan for plan, _, _ in world.periods()] == ["pro"]
    assert world.sync("subscription", "sub-1").status == "succeeded"


def test_unmapped_item_price_parks_by_name_and_goes_on_once_it_is_mapped(world: World) -> None:
    world.sign_up(items=(UNMAPPED,))
    world.settle()
    parked = world.sync("subscription", "sub-1")
    assert (parked.status, parked.cause) == ("parked", "unmapped_item_price")
    assert UNMAPPED in str(parked.text)
    assert "connector mappings add Plan" in str(parked.next_step)
    assert world.periods() == []
    assert world.map("Plan", world.ids["beta"], UNMAPPED) == [parked.id]
    world.work()
    assert world.periods() == [("beta", "2026-01-01T00:00:00Z", None)]
    assert world.sync("subscription", "sub-1").status == "succeeded"


def test_upgrade_to_an_unmapped_price_still_ends_the_old_plan(world: World) -> None:
    world.sign_up()
    world.settle()
    world.box.advance(to=JAN_15)
    world.chargebee.update_subscription("sub-1", item_price_ids=[UNMAPPED])
    world.settle()
    assert world.periods() == [("pro", "2026-01-01T00:00:00Z", "2026-01-15T09:30:00Z")]
    assert world.sync("subscription", "sub-1").status == "parked"
    world.map("Plan", world.ids["beta"], UNMAPPED)
    world.work()
    assert world.periods()[1] == ("beta", "2026-01-15T09:30:00Z", None)


def test_two_subscriptions_of_one_customer_share_the_account_and_keep_their_own_plans(world: World) -> None:
    other = world.m3ter.create_product("storage")
    template = world.m3ter.create_plan_template(other["id"], name="Storage")
    world.ids["storage"] = world.m3ter.create_plan(template["id"], "storage")["id"]
    world.map("Plan", world.ids["storage"], UNMAPPED)
    world.sign_up()
    world.sign_up(subscription_id="sub-2", items=(UNMAPPED,))
    world.settle()
    world.box.advance(to=JAN_15)
    world.chargebee.cancel_subscription("sub-2")
    world.settle()
    assert sorted(world.periods()) == [
        ("pro", "2026-01-01T00:00:00Z", None),
        ("storage", "2026-01-01T00:00:00Z", "2026-01-15T09:30:00Z"),
    ]
    assert len(world.m3ter.accounts) == 1


def test_customer_change_reaches_the_account_and_keeps_its_custom_fields(world: World) -> None:
    world.sign_up()
    world.settle()
    account_id = world.m3ter.account_by_code("acme")["id"]
    world.m3ter.accounts[account_id]["customFields"] = {"tier": "gold"}
    world.chargebee.update_customer("acme", company="Acme Holding")
    world.settle()
    account = world.m3ter.accounts[account_id]
    assert (account["name"], account["customFields"]) == ("Acme Holding", {"tier": "gold"})


def test_customer_without_an_email_parks_until_one_is_there(world: World) -> None:
    world.chargebee.create_customer(id="shy", company="Shy")
    world.settle()
    assert world.sync("customer", "shy").cause == "no_email"
    world.chargebee.update_customer("shy", email="shy@example.test")
    world.settle()
    assert world.m3ter.account_by_code("shy")["emailAddress"] == "shy@example.test"


def test_account_code_of_somebody_else_parks_and_is_taken_over_by_hand(world: World) -> None:
    foreign = world.m3ter.create_account(name="Another firm", code="acme", emailAddress="other@example.test")
    world.sign_up()
    world.settle()
    parked = world.sync("subscription", "sub-1")
    assert (parked.status, parked.cause) == ("parked", "account_code_taken")
    assert foreign["id"] in str(parked.next_step)
    assert world.plans() == []
    world.map("Account", foreign["id"], "acme", table="Customer")
    world.work()
    assert [row.status for row in world.syncs(kind="subscription")] == ["succeeded"]
    assert world.plans()[0]["accountId"] == foreign["id"]
    assert len(world.m3ter.accounts) == 1


def test_account_mapped_to_another_customer_is_never_adopted(world: World) -> None:
    foreign = world.m3ter.create_account(name="acme", code="acme", emailAddress="other@example.test")
    theirs = {"m3terEntity": "Account", "m3terId": foreign["id"], "externalTable": "Customer", "externalId": "someone"}
    world.m3ter.create("external_mappings", theirs | {"externalSystem": "Chargebee"})
    world.sign_up()
    world.settle()
    assert world.sync("subscription", "sub-1").cause == "account_code_taken"


def test_account_that_m3ter_made_from_early_usage_is_adopted(world: World) -> None:
    world.use(5, day=1)
    early = world.m3ter.account_by_code("acme")
    world.sign_up()
    world.settle()
    account = world.m3ter.account_by_code("acme")
    assert (account["id"], account["name"]) == (early["id"], "acme Ltd")
    assert len(world.m3ter.accounts) == 1
    assert world.sync("subscription", "sub-1").status == "succeeded"


@pytest.mark.parametrize("kind", ["cut", "refuse", "html", "truncated"])
@pytest.mark.parametrize("operation", ["create_account", "create_account_plan", "create_external_mapping"])
def test_create_that_is_not_answered_leaves_one_of_each(world: World, operation: str, kind: str) -> None:
    world.box.faults.order("m3ter", operation, kind)
    world.sign_up()
    world.settle()
    for _ in range(3):
        world.wait(minutes=10)
    assert len(world.m3ter.accounts) == 1
    assert world.periods() == [("pro", "2026-01-01T00:00:00Z", None)]
    assert world.mapped("Account") == [("Customer", "acme")]
    assert world.mapped("AccountPlan") == [("Subscription", f"sub-1 - {PRO}")]
    assert {row.status for row in world.syncs()} == {"succeeded"}


@pytest.mark.parametrize("kind", ["cut", "refuse", "truncated", "html"])
def test_replace_that_is_not_answered_leaves_one_new_plan(world: World, kind: str) -> None:
    world.sign_up()
    world.settle()
    world.box.advance(to=JAN_15)
    world.box.faults.order("m3ter", "replace_account_plan", kind)
    world.chargebee.update_subscription("sub-1", item_price_ids=[SCALE])
    world.settle()
    for _ in range(3):
        world.wait(minutes=10)
    assert world.periods() == [
        ("pro", "2026-01-01T00:00:00Z", "2026-01-15T09:30:00Z"),
        ("scale", "2026-01-15T09:30:00Z", None),
    ]
    assert {row.status for row in world.syncs()} == {"succeeded"}


def test_expired_token_is_renewed_within_the_same_attempt(world: World) -> None:
    world.sign_up()
    world.settle()
    world.box.faults.order("m3ter", "create_account", "expire_token")
    world.sign_up(customer_id="beta", subscription_id="sub-2")
    world.settle()
    assert [row.runs for row in world.syncs(subject="sub-2")] == [1]
    assert len(world.plans("beta")) == 1


def test_refused_credentials_wait_without_burning_tries(world: World) -> None:
    world.box.faults.order("m3ter", "*", "status", count=40, status=403)
    world.sign_up()
    world.settle()
    for _ in range(4):
        world.wait(minutes=6)
    row = world.sync("subscription", "sub-1")
    assert (row.status, row.cause, row.attempts) == ("pending", "access_refused", 0)
    world.box.faults.orders.clear()
    world.wait(minutes=6)
    assert world.sync("subscription", "sub-1").status == "succeeded"


def test_outage_that_never_ends_parks_after_the_allowed_tries(world: World) -> None:
    world.box.faults.order("m3ter", "*", "status", count=10_000, status=503)
    world.sign_up()
    world.settle()
    for _ in range(14):
        world.wait(hours=2)
    row = world.sync("subscription", "sub-1")
    assert (row.status, row.cause) == ("parked", "not_now")
    assert "after 12 tries" in str(row.text)


def test_queue_lost_between_event_and_work_loses_nothing(world: World) -> None:
    world.sign_up()
    world.deliver()
    world.services.redis.flushall()
    world.work()
    assert len(world.plans()) == 1


def test_queue_lost_after_dispatch_is_filled_again_from_the_rows(world: World) -> None:
    world.sign_up()
    world.deliver()
    jobs.dispatch(world.services)
    world.services.redis.flushall()
    world.work()
    assert world.plans() == []
    world.wait(seconds=61)
    assert len(world.plans()) == 1


def test_worker_that_died_is_replaced_when_its_lease_is_over(world: World) -> None:
    world.sign_up()
    world.deliver()
    jobs.dispatch(world.services)
    [row] = world.syncs(kind="subscription")
    _die_at_first_call(world, row.id)
    assert world.sync("subscription", "sub-1").status == "running"
    world.wait(seconds=30)
    assert world.plans() == []
    world.wait(minutes=3)
    assert len(world.plans()) == 1
    assert len(world.m3ter.accounts) == 1


def test_sync_that_kills_its_workers_is_parked_and_others_go_on(world: World) -> None:
    world.sign_up()
    world.deliver()
    jobs.dispatch(world.services)
    [row] = world.syncs(kind="subscription")
    for _ in range(world.services.settings.max_crashes):
        _die_at_first_call(world, row.id)
        world.box.advance(timedelta(minutes=5))
    world.services.redis.flushall()
    world.sign_up(customer_id="beta", subscription_id="sub-2")
    world.settle()
    assert (world.sync("subscription", "sub-1").status, world.sync("subscription", "sub-1").cause) == (
        "parked",
        "crashed",
    )
    assert len(world.plans("beta")) == 1


class Died(BaseException):
    """A worker's sudden end."""


def _die_at_first_call(world: World, sync_id: int) -> None:
    from connector import syncs

    def die(*_: Any) -> str:
        raise Died

    with pytest.raises(Died):
        syncs.attempt(world.services, sync_id, {"subscription": die})


def test_two_workers_are_never_at_one_customer_at_once(world: World) -> None:
    world.sign_up()
    world.deliver()
    with leases.held(world.services, "default/customer/acme", 60):
        world.work()
        assert world.calls("m3ter") == []
        assert {row.cause for row in world.syncs()} == {"busy"}
    world.wait(seconds=6)
    assert len(world.plans()) == 1


def test_what_arrives_while_a_sync_runs_makes_it_run_once_more(world: World) -> None:
    from connector import handlers, syncs

    world.sign_up()
    world.settle()
    world.box.advance(to=JAN_15)
    world.chargebee.update_subscription("sub-1", subscription_items=[{"item_price_id": PRO, "quantity": 3}])
    world.deliver()
    jobs.dispatch(world.services)
    row = world.sync("subscription", "sub-1")

    def work_while_more_arrives(services: Any, run: Any) -> str:
        done = handlers.KINDS["subscription"](services, run)
        world.box.advance(timedelta(days=1))
        world.chargebee.update_subscription("sub-1", item_price_ids=[SCALE])
        world.deliver()
        jobs.dispatch(services)
        return done

    assert syncs.attempt(world.services, row.id, {"subscription": work_while_more_arrives}) == "pending"
    world.work()
    assert [plan for plan, _, _ in world.periods()] == ["pro", "scale"]
    assert len(world.syncs(subject="sub-1", status="succeeded")) == 2


def test_two_states_with_one_version_are_settled_by_asking_chargebee(world: World) -> None:
    import json

    sent: list[bytes] = []

    def keep(url: str, headers: dict[str, str], body: bytes) -> int:
        sent.append(body)
        return 204

    world.sign_up()
    world.box.deliver(keep)
    [created] = [json.loads(body) for body in sent if b'"subscription_created"' in body]
    twin = json.loads(json.dumps(created))
    twin["id"] = "ev_twin"
    twin["content"]["subscription"]["subscription_items"][0]["item_price_id"] = SCALE
    for body in (created, twin):
        assert world.post("/webhooks/chargebee", json.dumps(body).encode()) == 204
    world.work()
    assert [call.operation for call in world.calls("chargebee")] == ["retrieve_subscription"]
    assert [plan for plan, _, _ in world.periods()] == ["pro"]


def test_subscription_of_an_unseen_customer_asks_chargebee_for_it(world: World) -> None:
    def without_customer(url: str, headers: dict[str, str], body: bytes) -> int:
        import json

        event = json.loads(body)
        if event["event_type"] == "customer_created":
            return 204
        event["content"].pop("customer", None)
        return world.post("/webhooks/chargebee", json.dumps(event).encode())

    world.sign_up()
    world.box.deliver(without_customer)
    world.work()
    assert [call.operation for call in world.calls("chargebee")] == ["retrieve_customer"]
    assert len(world.plans()) == 1


def test_account_row_says_what_m3ter_was_last_told(world: World) -> None:
    world.sign_up()
    world.settle()
    with world.services.reading() as db:
        [row] = db.query(Account).all()
    assert (row.customer_id, row.code, row.status, row.m3ter_id) == (
        "acme",
        "acme",
        "live",
        world.m3ter.account_by_code("acme")["id"],
    )


def test_plans_that_come_newest_first_are_all_there_in_the_end(world: World) -> None:
    sent: list[tuple[str, dict[str, str], bytes]] = []

    def keep(url: str, headers: dict[str, str], body: bytes) -> int:
        sent.append((url, headers, body))
        return 204

    world.sign_up()
    for day, price in ((10, SCALE), (20, PRO)):
        world.box.advance(to=datetime(2026, 1, day, tzinfo=UTC))
        world.chargebee.update_subscription("sub-1", item_price_ids=[price])
    world.box.deliver(keep)
    for delivery in reversed(sent):
        assert world.send(*delivery) == 204
        world.work()
    assert world.periods() == [
        ("pro", "2026-01-01T00:00:00Z", "2026-01-10T00:00:00Z"),
        ("scale", "2026-01-10T00:00:00Z", "2026-01-20T00:00:00Z"),
        ("pro", "2026-01-20T00:00:00Z", None),
    ]
    assert len({plan["code"] for plan in world.plans()}) == 3


def test_pause_ends_the_plan_and_resumption_starts_another(world: World) -> None:
    world.sign_up()
    world.settle()
    world.box.advance(to=datetime(2026, 1, 10, tzinfo=UTC))
    world.chargebee.pause_subscription("sub-1")
    world.settle()
    assert world.periods() == [("pro", "2026-01-01T00:00:00Z", "2026-01-10T00:00:00Z")]
    world.box.advance(to=datetime(2026, 1, 20, tzinfo=UTC))
    world.chargebee.resume_subscription("sub-1")
    world.settle()
    assert world.periods() == [
        ("pro", "2026-01-01T00:00:00Z", "2026-01-10T00:00:00Z"),
        ("pro", "2026-01-20T00:00:00Z", None),
    ]


def test_pause_that_is_only_planned_and_a_change_at_term_end_change_nothing_now(world: World) -> None:
    world.sign_up()
    world.settle()
    world.forget_calls()
    world.chargebee.pause_subscription("sub-1", int(datetime(2026, 1, 20, tzinfo=UTC).timestamp()))
    world.chargebee.remove_scheduled_pause("sub-1")
    world.chargebee.update_subscription("sub-1", item_price_ids=[SCALE], end_of_term=True)
    world.settle()
    assert world.calls("m3ter") == []
    world.box.advance(to=datetime(2026, 2, 1, 0, 10, tzinfo=UTC))
    world.settle()
    assert world.periods() == [
        ("pro", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"),
        ("scale", "2026-02-01T00:00:00Z", None),
    ]


def test_reactivation_starts_a_new_plan_and_never_reopens_the_ended_one(world: World) -> None:
    world.sign_up()
    world.settle()
    world.box.advance(to=datetime(2026, 1, 10, tzinfo=UTC))
    world.chargebee.cancel_subscription("sub-1")
    world.box.advance(to=datetime(2026, 1, 20, tzinfo=UTC))
    world.chargebee.reactivate_subscription("sub-1")
    world.settle()
    assert world.periods() == [
        ("pro", "2026-01-01T00:00:00Z", "2026-01-10T00:00:00Z"),
        ("pro", "2026-01-20T00:00:00Z", None),
    ]


def test_deleted_subscription_has_no_plan_any_more(world: World) -> None:
    world.sign_up()
    world.settle()
    world.box.advance(to=datetime(2026, 1, 10, tzinfo=UTC))
    world.chargebee.delete_subscription("sub-1")
    world.settle()
    assert world.periods() == [("pro", "2026-01-01T00:00:00Z", "2026-01-10T00:00:00Z")]
