"""Every turn in the life of a subscription and its customer, over HTTP, and what stands in m3ter afterwards."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from connector import mirror, syncs
from connector.models import Sync, Transfer
from connector.services import Services
from tests.flows.conftest import PRO, SCALE, SUPPORT, UNMAPPED, World

pytestmark = pytest.mark.alternate_databases

JAN_10, JAN_15, JAN_20 = (datetime(2026, 1, day, 9, 30, tzinfo=UTC) for day in (10, 15, 20))
FEB_1, FEB_3 = (datetime(2026, 2, day, 6, tzinfo=UTC) for day in (1, 3))
START = "2026-01-01T00:00:00Z"


def seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def billed_january(world: World) -> None:
    """m3ter's bill of January is approved, and the connector knows of it."""
    world.box.advance(to=FEB_1)
    world.settle()
    world.bill()
    world.poll()


# Pausing, trials, cancellations


def test_a_pause_ends_the_plan_and_resuming_starts_another(world: World) -> None:
    world.sign_up()
    world.box.advance(to=JAN_10)
    world.chargebee.pause_subscription("sub-1")
    world.settle()
    assert world.periods() == [("pro", START, "2026-01-10T09:30:00Z")]
    world.box.advance(to=JAN_20)
    world.chargebee.resume_subscription("sub-1")
    world.settle()
    assert world.periods()[1:] == [("pro", "2026-01-20T09:30:00Z", None)]


def test_a_pause_that_is_only_scheduled_and_removed_again_changes_nothing(world: World) -> None:
    world.sign_up()
    world.settle()
    world.forget_calls()
    world.chargebee.pause_subscription("sub-1", pause_date=seconds(JAN_20))
    world.settle()
    world.chargebee.remove_scheduled_pause("sub-1")
    world.settle()
    assert world.calls("m3ter") == []


def test_a_removed_cancellation_opens_the_end_again(world: World) -> None:
    world.sign_up()
    world.settle()
    world.chargebee.cancel_subscription("sub-1", end_of_term=True)
    world.settle()
    world.chargebee.remove_scheduled_cancellation("sub-1")
    world.settle()
    assert world.periods() == [("pro", START, None)]


def test_reactivation_starts_a_plan_of_its_own(world: World) -> None:
    world.sign_up()
    world.box.advance(to=JAN_10)
    world.chargebee.cancel_subscription("sub-1")
    world.settle()
    world.box.advance(to=JAN_20)
    world.chargebee.reactivate_subscription("sub-1")
    world.settle()
    assert world.periods() == [("pro", START, "2026-01-10T09:30:00Z"), ("pro", "2026-01-20T09:30:00Z", None)]


def test_a_change_at_the_end_of_the_term_waits_for_it(world: World) -> None:
    world.sign_up()
    world.settle()
    world.forget_calls()
    world.chargebee.update_subscription("sub-1", item_price_ids=[SCALE], end_of_term=True)
    world.settle()
    assert world.calls("m3ter") == []
    world.box.advance(to=FEB_1)
    world.settle()
    assert world.periods() == [("pro", START, "2026-02-01T00:00:00Z"), ("scale", "2026-02-01T00:00:00Z", None)]


def test_a_ramp_changes_the_plan_when_it_takes_effect(world: World) -> None:
    world.sign_up()
    world.settle()
    world.forget_calls()
    world.chargebee.create_ramp("sub-1", seconds(JAN_15), items_to_add=[{"item_price_id": SCALE}])
    world.settle()
    assert world.calls("m3ter") == []
    world.box.advance(to=JAN_15)
    world.settle()
    assert world.periods() == [("pro", START, "2026-01-15T09:30:00Z"), ("scale", "2026-01-15T09:30:00Z", None)]
    assert [call.operation for call in world.calls("chargebee")] == ["retrieve_subscription"]


def test_a_trial_is_metered_unless_the_settings_say_otherwise(
    world: World, make_services: Callable[..., Services]
) -> None:
    world.services = make_services(METER_TRIALS="no")
    world.sign_up(trial_end=seconds(JAN_15))
    world.settle()
    assert world.periods() == []
    world.box.advance(to=JAN_20)
    world.settle()
    assert world.periods() == [("pro", "2026-01-15T09:30:00Z", None)]


def test_every_change_replaces_the_plan_where_the_settings_say_so(
    world: World, make_services: Callable[..., Services]
) -> None:
    world.services = make_services(SUBSCRIPTION_CHANGES="always")
    world.sign_up()
    world.settle()
    world.box.advance(to=JAN_15)
    world.chargebee.update_subscription("sub-1", subscription_items=[{"item_price_id": PRO, "quantity": 7}])
    world.settle()
    assert world.periods() == [("pro", START, "2026-01-15T09:30:00Z"), ("pro", "2026-01-15T09:30:00Z", None)]


def test_plans_are_billed_on_the_days_of_the_term(world: World, make_services: Callable[..., Services]) -> None:
    world.box.advance(to=JAN_10)
    world.sign_up()
    world.settle()
    world.box.advance(to=JAN_15)
    world.chargebee.update_subscription("sub-1", item_price_ids=[SCALE])
    world.settle()
    assert [plan["billEpoch"] for plan in world.plans()] == ["2026-02-10", "2026-02-10"]
    world.services = make_services(PLAN_BILL_EPOCH="organization")
    world.sign_up("other", "sub-2")
    world.settle()
    assert ["billEpoch" in plan for plan in world.plans("other")] == [False]


def test_what_is_deleted_in_chargebee_ends_and_leaves_its_traces(world: World) -> None:
    world.sign_up()
    world.settle()
    world.box.advance(to=JAN_15)
    world.chargebee.delete_subscription("sub-1")
    world.settle()
    assert world.periods() == [("pro", START, "2026-01-15T09:30:00Z")]
    assert world.mapped("AccountPlan") == [("Subscription", f"sub-1 - {PRO}")]


# Two states of one moment


def test_a_plan_that_was_replaced_in_the_second_it_began_is_removed(world: World) -> None:
    world.sign_up()
    world.settle()
    world.chargebee.update_subscription("sub-1", item_price_ids=[SCALE])
    world.settle()
    assert world.periods() == [("scale", START, None)]
    assert world.mapped("AccountPlan") == [("Subscription", f"sub-1 - {SCALE}")]
    assert world.sync("subscription", "sub-1").status == "succeeded"


def test_a_plan_that_was_cancelled_in_the_second_it_began_is_removed(world: World) -> None:
    world.sign_up()
    world.settle()
    world.chargebee.cancel_subscription("sub-1")
    world.settle()
    assert (world.periods(), world.mapped("AccountPlan")) == ([], [])


@pytest.mark.parametrize("kind", ["cut", "refuse", "html"])
@pytest.mark.parametrize("operation", ["delete_external_mapping", "delete_account_plan"])
def test_a_removal_that_is_not_answered_is_finished_later(world: World, operation: str, kind: str) -> None:
    world.sign_up()
    world.settle()
    world.box.faults.order("m3ter", operation, kind)
    world.chargebee.update_subscription("sub-1", item_price_ids=[SCALE])
    world.settle()
    for _ in range(3):
        world.wait(minutes=10)
    assert world.periods() == [("scale", START, None)]
    assert world.mapped("AccountPlan") == [("Subscription", f"sub-1 - {SCALE}")]


# Billed time


def test_a_cancellation_backdated_into_billed_time_parks_and_a_person_lets_it_go_on(world: World) -> None:
    world.box.advance(to=JAN_10)
    world.sign_up()
    world.settle()
    billed_january(world)
    world.chargebee.cancel_subscription("sub-1", cancel_at=seconds(JAN_20))
    world.settle()
    parked = world.sync("subscription", "sub-1")
    assert (parked.status, parked.cause) == ("parked", "billed_period")
    assert "2026-02-01 00:00" in str(parked.text)
    assert f"connector syncs retry {parked.id}" in str(parked.next_step)
    assert world.periods() == [("pro", "2026-01-10T09:30:00Z", None)]
    world.retry(parked.id)
    assert world.periods() == [("pro", "2026-01-10T09:30:00Z", "2026-01-20T09:30:00Z")]


def test_a_cancellation_after_the_billed_time_is_made_at_once(world: World) -> None:
    world.sign_up()
    world.settle()
    billed_january(world)
    world.chargebee.cancel_subscription("sub-1")
    world.settle()
    assert world.periods() == [("pro", START, "2026-02-01T06:00:00Z")]


def test_a_change_after_the_billed_time_is_made_at_once(world: World) -> None:
    world.sign_up()
    world.settle()
    billed_january(world)
    world.chargebee.update_subscription("sub-1", item_price_ids=[SCALE])
    world.settle()
    assert world.periods() == [("pro", START, "2026-02-01T06:00:00Z"), ("scale", "2026-02-01T06:00:00Z", None)]


def test_a_retry_after_another_cause_does_not_let_billed_time_be_changed(world: World) -> None:
    world.box.advance(to=JAN_10)
    world.sign_up()
    world.settle()
    billed_january(world)
    world.chargebee.cancel_subscription("sub-1", cancel_at=seconds(JAN_20))
    world.settle()
    parked = world.sync("subscription", "sub-1")
    with world.services.transaction() as db:
        db.execute(update(Sync).where(Sync.id == parked.id).values(cause="rejected"))
    world.retry(parked.id)
    assert world.sync("subscription", "sub-1").cause == "billed_period"
    assert world.periods() == [("pro", "2026-01-10T09:30:00Z", None)]


def test_time_that_was_billed_to_the_parent_is_billed_time_of_the_child(world: World) -> None:
    world.box.advance(to=JAN_10)
    world.sign_up()
    world.chargebee.create_customer(id="holding", email="holding@example.test")
    world.chargebee.relate_customer("acme", parent_id="holding", invoice_owner_id="holding")
    world.settle()
    world.box.advance(to=FEB_1)
    world.settle()
    world.bill(customer_id="holding")
    world.poll()
    world.chargebee.cancel_subscription("sub-1", cancel_at=seconds(JAN_20))
    world.settle()
    assert world.sync("subscription", "sub-1").cause == "billed_period"


def test_a_bill_that_no_poll_has_seen_is_asked_for_before_the_past_is_changed(world: World) -> None:
    world.sign_up()
    world.settle()
    world.box.advance(to=FEB_3)
    world.settle()
    world.bill()
    world.chargebee.update_subscription(
        "sub-1", item_price_ids=[SCALE], changes_scheduled_at=seconds(datetime(2026, 2, 1, tzinfo=UTC))
    )
    world.forget_calls()
    world.settle()
    assert world.sync("subscription", "sub-1").cause == "backdated_change"
    world.sign_up(subscription_id="sub-2", items=(UNMAPPED,), start_date=seconds(JAN_15))
    world.map("Plan", world.ids["beta"], UNMAPPED)
    world.settle()
    assert world.sync("subscription", "sub-2").cause == "billed_period"
    assert [call.operation for call in world.calls("m3ter")].count("list_bills") == 1


def test_beside_a_change_of_billed_time_the_end_of_another_plan_is_not_held_up(world: World) -> None:
    world.sign_up(items=(PRO, SUPPORT))
    world.settle()
    billed_january(world)
    world.map("Plan", world.ids["beta"], SUPPORT)
    world.chargebee.cancel_subscription("sub-1")
    world.settle()
    assert world.sync("subscription", "sub-1").cause == "billed_period"
    assert world.periods() == [("pro", START, "2026-02-01T06:00:00Z")]


# Backdated changes


def test_a_backdated_change_without_its_time_parks_and_holds_since_it_was_made_for_a_person(world: World) -> None:
    world.sign_up()
    world.settle()
    world.box.advance(to=JAN_20)
    world.chargebee.update_subscription("sub-1", item_price_ids=[SCALE], changes_scheduled_at=seconds(JAN_10))
    world.settle()
    parked = world.sync("subscription", "sub-1")
    assert (parked.status, parked.cause) == ("parked", "backdated_change")
    assert world.periods() == [("pro", START, None)]
    world.retry(parked.id)
    assert world.periods() == [("pro", START, "2026-01-20T09:30:00Z"), ("scale", "2026-01-20T09:30:00Z", None)]
    world.forget_calls()
    world.box.advance(to=FEB_1)
    world.settle()
    assert world.sync("subscription", "sub-1").status == "succeeded"
    assert world.calls("m3ter") == []


def test_a_backdated_change_holds_since_the_time_that_its_charges_begin(world: World) -> None:
    world.sign_up()
    world.settle()
    world.box.advance(to=JAN_20)
    world.chargebee.update_subscription("sub-1", item_price_ids=[SCALE], changes_scheduled_at=seconds(JAN_10))
    lines = [{"date_from": seconds(JAN_10), "date_to": seconds(FEB_1), "entity_type": "plan_item_price"}]
    for url, headers, body in world.hold_back():
        event = json.loads(body)
        if event["event_type"] == "subscription_changed_with_backdating":
            event["content"]["invoice"] = {"id": "7", "status": "paid", "line_items": lines}
        world.send(url, headers, json.dumps(event).encode())
    world.work()
    assert world.periods() == [("pro", START, "2026-01-10T09:30:00Z"), ("scale", "2026-01-10T09:30:00Z", None)]


# Other customers, other entities


def test_a_move_to_another_customer_ends_the_plan_there_and_starts_one_here(world: World) -> None:
    world.sign_up(create_pending_invoices=True)
    for invoice in world.chargebee.invoices.values():
        world.chargebee.record_payment(invoice["id"])
    world.chargebee.create_customer(id="other", email="other@example.test")
    world.settle()
    world.box.advance(to=JAN_15)
    world.chargebee.move_subscription("sub-1", "other")
    world.box.advance(timedelta(minutes=10))
    world.settle()
    [(plan, start, end)], [moved] = world.periods(), world.periods("other")
    assert (plan, start) == ("pro", START)
    assert moved == ("pro", end, None)
    assert world.sync("subscription", "sub-1").status == "succeeded"


@pytest.mark.parametrize("seed", range(4))
def test_a_transfer_to_another_business_entity_keeps_account_and_plan(world: World, seed: int) -> None:
    world.sign_up()
    world.settle()
    world.box.advance(to=JAN_15)
    transfer = world.chargebee.transfer_customer("acme", "entity-2")
    sent = world.hold_back()
    for delivery in random.Random(seed).sample(sent, len(sent)):
        world.send(*delivery)
        world.work()
    live_id = transfer["active_resource_id"]
    [subscription_id] = [one["id"] for one in world.chargebee.subscriptions.values() if one["customer_id"] == live_id]
    assert world.periods() == [("pro", START, None)]
    assert len(world.m3ter.accounts) == 1
    assert ("Customer", live_id) in world.mapped("Account")
    assert world.mapped("AccountPlan") == [("Subscription", f"{subscription_id} - {PRO}")]
    world.box.advance(to=JAN_20)
    world.chargebee.update_subscription(subscription_id, item_price_ids=[SCALE])
    world.settle()
    assert world.periods() == [("pro", START, "2026-01-20T09:30:00Z"), ("scale", "2026-01-20T09:30:00Z", None)]
    with world.services.reading() as db:
        assert db.query(Transfer).count() == 2


# Customers


def test_a_customer_whose_invoices_go_to_its_parent_becomes_a_child_account(world: World) -> None:
    world.sign_up()
    world.chargebee.create_customer(id="holding", email="holding@example.test")
    world.chargebee.relate_customer("acme", parent_id="holding", invoice_owner_id="holding")
    world.settle()
    holding, acme = world.m3ter.account_by_code("holding"), world.m3ter.account_by_code("acme")
    assert acme["parentAccountId"] == holding["id"]
    world.chargebee.unrelate_customer("acme")
    world.settle()
    assert "parentAccountId" not in world.m3ter.account_by_code("acme")


def test_a_sync_says_what_account_it_wanted_and_found(world: World) -> None:
    world.sign_up()
    world.settle()
    [tried] = world.attempts(world.sync("customer", "acme").id)
    assert (tried.wanted, tried.found) == (
        ["an account in USD for customer acme"],
        ["none that we have made or mapped"],
    )
    [tried] = world.attempts(world.sync("subscription", "sub-1").id)
    assert tried.wanted[0].startswith(f"{PRO} as plan ")
    assert "told all of that" in tried.found[0]


def test_a_customer_that_pays_its_own_invoices_stays_an_account_of_its_own(world: World) -> None:
    world.sign_up()
    world.chargebee.create_customer(id="holding", email="holding@example.test")
    world.chargebee.relate_customer("acme", parent_id="holding", invoice_owner_id="acme", payment_owner_id="acme")
    world.settle()
    assert "parentAccountId" not in world.m3ter.account_by_code("acme")


def test_hierarchies_are_left_alone_where_the_settings_say_so(
    world: World, make_services: Callable[..., Services]
) -> None:
    world.services = make_services(ACCOUNT_HIERARCHY="flat")
    world.sign_up()
    world.chargebee.create_customer(id="holding", email="holding@example.test")
    world.chargebee.relate_customer("acme", parent_id="holding", invoice_owner_id="holding")
    world.settle()
    assert "parentAccountId" not in world.m3ter.account_by_code("acme")


def test_two_customers_that_each_seem_to_be_above_the_other_become_accounts_all_the_same(world: World) -> None:
    world.chargebee.create_customer(id="holding", email="holding@example.test")
    world.sign_up()
    with world.services.transaction() as db:
        for customer_id, parent_id in (("acme", "holding"), ("holding", "acme")):
            body = world.chargebee.customers[customer_id] | {"relationship": {"parent_id": parent_id}}
            mirror.keep(db, "default", "customer", body, world.services.now())
        syncs.ask(db, connection="default", kind="customer", subject="acme", trigger="test", now=world.services.now())
    world.work()
    assert "parentAccountId" not in world.m3ter.account_by_code("holding")
    assert world.m3ter.account_by_code("acme")["parentAccountId"] == world.m3ter.account_by_code("holding")["id"]


def test_the_account_of_a_deleted_customer_stays_for_its_bills_and_its_plans_end(world: World) -> None:
    world.sign_up()
    world.settle()
    world.box.advance(to=JAN_15)
    world.chargebee.customers["acme"]["company"] = "Nobody"
    world.chargebee.delete_customer("acme")
    world.settle()
    assert world.periods() == [("pro", START, "2026-01-15T09:30:00Z")]
    assert world.m3ter.account_by_code("acme")["name"] == "acme Ltd"
    assert "stays for its bills" in str(world.sync("customer", "acme").text)
    assert {row.status for row in world.syncs()} == {"succeeded"}


def test_personal_data_that_was_erased_in_chargebee_is_erased_in_m3ter(
    world: World, make_services: Callable[..., Services]
) -> None:
    world.sign_up()
    world.chargebee.update_customer("acme", billing_address={"line1": "1 High St", "city": "London", "country": "GB"})
    world.settle()
    assert world.m3ter.account_by_code("acme")["address"]["locality"] == "London"
    world.chargebee.clear_personal_data("acme")
    world.settle()
    parked = world.sync("customer", "acme")
    assert (parked.cause, "the account still holds it" in str(parked.text)) == ("no_email", True)
    world.services = make_services(M3TER_FALLBACK_EMAIL="nobody@example.test")
    world.retry(parked.id)
    account = world.m3ter.account_by_code("acme")
    assert (account["name"], account["emailAddress"], "address" in account) == ("acme", "nobody@example.test", False)


# Scope


def test_what_is_out_of_scope_gets_nothing_and_says_so(world: World, make_services: Callable[..., Services]) -> None:
    world.services = make_services(SCOPE_CURRENCIES="EUR,GBP")
    world.sign_up()
    world.settle()
    out = world.sync("subscription", "sub-1")
    assert (out.status, out.cause) == ("succeeded", "out_of_scope")
    assert "USD" in str(out.text)
    assert world.periods() == []


def test_a_subscription_with_plans_that_leaves_the_scope_parks(
    world: World, make_services: Callable[..., Services]
) -> None:
    world.sign_up()
    world.settle()
    world.services = make_services(SCOPE_CURRENCIES="EUR")
    world.chargebee.cancel_subscription("sub-1")
    world.settle()
    assert world.sync("subscription", "sub-1").cause == "left_scope"
    assert world.periods() == [("pro", START, None)]


def test_a_subscription_whose_plans_have_ended_may_leave_the_scope(
    world: World, make_services: Callable[..., Services]
) -> None:
    world.sign_up()
    world.box.advance(to=JAN_15)
    world.chargebee.cancel_subscription("sub-1")
    world.settle()
    world.services = make_services(SCOPE_CURRENCIES="EUR")
    world.chargebee.delete_subscription("sub-1")
    world.settle()
    out = world.sync("subscription", "sub-1")
    assert (out.status, out.cause) == ("succeeded", "out_of_scope")


def test_items_of_other_families_are_left_out(world: World, make_services: Callable[..., Services]) -> None:
    world.chargebee.create_item_family(id="hardware", name="Hardware")
    world.chargebee.create_item(id="router", name="Router", type="addon", item_family_id="hardware")
    world.chargebee.create_item_price(
        id="router-USD-monthly", name="Router", item_id="router", currency_code="USD", price=500, period=1,
        period_unit="month",
    )  # fmt: skip
    world.services = make_services(SCOPE_ITEM_FAMILIES="saas")
    world.sign_up(items=(PRO, "router-USD-monthly"))
    world.settle()
    assert world.periods() == [("pro", START, None)]
    assert world.sync("subscription", "sub-1").status == "succeeded"
    world.forget_calls()
    world.chargebee.update_customer("acme", company="Acme Holding")
    world.chargebee.cancel_subscription("sub-1", end_of_term=True)
    world.settle()
    assert world.calls("chargebee", "retrieve_item_price") == []
