"""Each type of event that Chargebee sends, alone: what stands in m3ter when of all that is told only it arrives."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connector import handlers, inbox
from connector.handlers import CHARGEBEE
from connector.services import Services
from tests.flows.conftest import CALLS_PRICE, PRO, SCALE, SUPPORT, World
from tests.flows.test_sold_top_ups import OF_TOP_UPS

pytestmark = pytest.mark.alternate_databases

JAN_2, JAN_3, JAN_12, JAN_16, FEB_1, FEB_2 = (
    int(datetime(2026, month, day, tzinfo=UTC).timestamp())
    for month, day in ((1, 2), (1, 3), (1, 12), (1, 16), (2, 1), (2, 2))
)
CONTRACT = {"billing_cycle": 1, "action_at_term_end": "renew"}

# What stands in m3ter: each account in a line, with its plans.
Standing = tuple[str, ...]
AS_BEFORE = ("acme Ltd: pro since 01-01", "other Ltd")
SCALED = ("acme Ltd: pro 01-01 to 01-11, scale since 01-11", "other Ltd")
ENDED = ("acme Ltd: pro 01-01 to 01-11", "other Ltd")
ENDING = ("acme Ltd: pro 01-01 to 02-01", "other Ltd")
BACK_AFTER_A_DAY = ("acme Ltd: pro 01-01 to 01-11, pro since 01-12", "other Ltd")

# What that takes: m3ter replaces what it is sent as a whole, so each is read before it is changed.
MAPPED, BILLS_ASKED_FOR = "create_external_mapping", "list_bills"
ACCOUNT_MADE = ("create_account", MAPPED)
ACCOUNT_CHANGED = ("get_account", "update_account")
PLAN_MADE = ("create_account_plan", MAPPED)
PLAN_MOVED = ("get_account_plan", "update_account_plan")
PLAN_REPLACED = ("replace_account_plan", MAPPED)

Site = Any
# Something that is done on the site, or time that passes.
Step = Callable[[Site], Any] | timedelta
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Case:
    """What happens in Chargebee, the last step making the event; what stands in m3ter then, and what calls it took."""

    steps: tuple[Step, ...]
    stands: Standing
    calls: tuple[str, ...]
    parked: str | None


def case(*steps: Step, stands: Standing = AS_BEFORE, calls: tuple[str, ...] = (), parked: str | None = None) -> Case:
    """An event that changes nothing and costs no call, but for what is said."""
    return Case(steps, stands, calls, parked)


def with_other_since(day: str) -> Standing:
    return ("acme Ltd: pro since 01-01", f"other Ltd: pro since {day}")


def change(**fields: Any) -> Step:
    return lambda site: site.update_subscription("sub-1", **fields)


def cancel(**fields: Any) -> Step:
    return lambda site: site.cancel_subscription("sub-1", **fields)


def reactivate(**fields: Any) -> Step:
    return lambda site: site.reactivate_subscription("sub-1", **fields)


def pause(**fields: Any) -> Step:
    return lambda site: site.pause_subscription("sub-1", **fields)


def resume(**fields: Any) -> Step:
    return lambda site: site.resume_subscription("sub-1", **fields)


def ramp(effective_from: int) -> Step:
    return lambda site: site.create_ramp("sub-1", effective_from, items_to_add=[{"item_price_id": SCALE}])


def subscribe_other(items: Sequence[str] = (PRO,), **fields: Any) -> Step:
    return lambda site: site.create_subscription("other", item_price_ids=list(items), id="sub-2", **fields)


def new_customer(site: Site) -> Any:
    return site.create_customer(id="new", company="New Ltd", email="new@example.test")


def put_below_other(site: Site) -> None:
    site.relate_customer("acme", "other", invoice_owner_id="other")


def move_to_other(site: Site) -> None:
    site.move_subscription("sub-1", "other")


def first_ramp(site: Site) -> str:
    return str(next(iter(site.ramps)))


def remind(site: Site) -> None:
    site.settings.reminder_days = 3


def plan_advance_invoice(site: Site) -> None:
    site.charge_future_renewals("sub-1", specific_dates_schedule=[{"date": JAN_12}])


def sell_support_by_the_week(site: Site) -> None:
    site.settings.multi_frequency = True
    site.update_item_price(SUPPORT, period_unit="week")


def sell_by_the_year(site: Site) -> None:
    site.create_item_price(
        id="pro-USD-yearly", name="Pro", item_id="pro", currency_code="USD", price=99_000, period=1, period_unit="year"
    )


# `acme` has `sub-1`, active on Pro since the 1st of January and paid for; `other` has nothing. It is the 11th.
CASES: dict[str, Case] = {
    "customer_created": case(new_customer, stands=("New Ltd", *AS_BEFORE), calls=ACCOUNT_MADE),
    "customer_changed": case(
        lambda site: site.update_customer("acme", company="Acme plc"),
        stands=("Acme plc: pro since 01-01", "other Ltd"),
        calls=ACCOUNT_CHANGED,
    ),
    "hierarchy_created": case(
        put_below_other,
        stands=("acme Ltd below other Ltd: pro since 01-01", "other Ltd"),
        calls=ACCOUNT_CHANGED,
    ),
    "hierarchy_deleted": case(
        put_below_other, lambda site: site.unrelate_customer("acme"), stands=AS_BEFORE, calls=ACCOUNT_CHANGED
    ),
    "customer_moved_in": case(
        lambda site: new_customer(site) and site.announce("customer_moved_in", customer="new"),
        stands=("New Ltd", *AS_BEFORE),
        calls=ACCOUNT_MADE,
    ),
    "customer_deleted": case(lambda site: site.delete_customer("acme"), stands=ENDED, calls=PLAN_MOVED),
    "customer_moved_out": case(lambda site: site.announce("customer_moved_out", customer="acme")),
    "customer_business_entity_changed": case(
        lambda site: site.transfer_customer("acme", "eu"), stands=AS_BEFORE, calls=(MAPPED,)
    ),
    "subscription_business_entity_changed": case(
        lambda site: site.transfer_subscription("sub-1", "eu"),
        stands=AS_BEFORE,
        calls=("delete_external_mapping", MAPPED),
    ),
    "subscription_created": case(subscribe_other(), stands=with_other_since("01-11"), calls=PLAN_MADE),
    "subscription_created_with_backdating": case(
        subscribe_other(start_date=JAN_2), stands=with_other_since("01-02"), calls=(BILLS_ASKED_FOR, *PLAN_MADE)
    ),
    "subscription_started": case(
        subscribe_other(start_date=JAN_12), DAY, stands=with_other_since("01-12"), calls=PLAN_MADE
    ),
    "subscription_activated": case(subscribe_other(trial_end=JAN_12), DAY, stands=with_other_since("01-11")),
    "subscription_activated_with_backdating": case(
        subscribe_other(start_date=JAN_2, trial_end=FEB_1),
        lambda site: site.extend_trial("sub-2", JAN_3),
        stands=with_other_since("01-02"),
        calls=PLAN_MOVED,
    ),
    "subscription_trial_extended": case(
        subscribe_other(trial_end=FEB_1),
        lambda site: site.extend_trial("sub-2", FEB_2),
        stands=with_other_since("01-11"),
        calls=PLAN_MOVED,
    ),
    "subscription_changed": case(change(item_price_ids=[SCALE]), stands=SCALED, calls=PLAN_REPLACED),
    "subscription_changes_scheduled": case(change(item_price_ids=[SCALE], end_of_term=True)),
    "subscription_scheduled_changes_removed": case(
        change(item_price_ids=[SCALE], end_of_term=True), lambda site: site.remove_scheduled_changes("sub-1")
    ),
    "subscription_cancellation_scheduled": case(cancel(end_of_term=True), stands=ENDING, calls=PLAN_MOVED),
    "subscription_scheduled_cancellation_removed": case(
        cancel(end_of_term=True),
        lambda site: site.remove_scheduled_cancellation("sub-1"),
        stands=AS_BEFORE,
        calls=PLAN_MOVED,
    ),
    "subscription_cancelled": case(cancel(), stands=ENDED, calls=PLAN_MOVED),
    "subscription_canceled_with_backdating": case(
        cancel(cancel_at=JAN_2),
        stands=("acme Ltd: pro 01-01 to 01-02", "other Ltd"),
        calls=(BILLS_ASKED_FOR, *PLAN_MOVED),
    ),
    "subscription_reactivated": case(cancel(), DAY, reactivate(), stands=BACK_AFTER_A_DAY, calls=PLAN_MADE),
    "subscription_reactivated_with_backdating": case(
        cancel(cancel_at=JAN_2),
        reactivate(reactivate_from=JAN_3),
        stands=("acme Ltd: pro 01-01 to 01-02, pro since 01-03", "other Ltd"),
        calls=(BILLS_ASKED_FOR, *PLAN_MADE),
    ),
    "subscription_renewed": case(21 * DAY),
    "subscription_items_renewed": case(
        sell_support_by_the_week,
        subscribe_other(items=[PRO, SUPPORT]),
        7 * DAY,
        stands=with_other_since("01-11"),
    ),
    "subscription_paused": case(pause(), stands=ENDED, calls=PLAN_MOVED),
    "subscription_pause_scheduled": case(pause(pause_date=FEB_1)),
    "subscription_scheduled_pause_removed": case(
        pause(pause_date=FEB_1), lambda site: site.remove_scheduled_pause("sub-1")
    ),
    "subscription_resumed": case(pause(), DAY, resume(), stands=BACK_AFTER_A_DAY, calls=PLAN_MADE),
    "subscription_resumption_scheduled": case(pause(), resume(resume_date=FEB_1), stands=ENDED),
    "subscription_scheduled_resumption_removed": case(
        pause(), resume(resume_date=FEB_1), lambda site: site.remove_scheduled_resumption("sub-1"), stands=ENDED
    ),
    "subscription_deleted": case(lambda site: site.delete_subscription("sub-1"), stands=ENDED, calls=PLAN_MOVED),
    "subscription_moved_out": case(move_to_other),
    "subscription_moved_in": case(
        move_to_other,
        stands=("acme Ltd: pro 01-01 to 01-11", "other Ltd: pro since 01-11"),
        calls=(*PLAN_MOVED, *PLAN_MADE),
    ),
    "subscription_movement_failed": case(
        lambda site: setattr(site.settings, "move_seconds", 86_400),
        move_to_other,
        lambda site: site.create_one_time_invoice(
            subscription_id="sub-1", charges=[{"amount": 1, "description": "Late"}]
        ),
        DAY,
    ),
    "subscription_changed_with_backdating": case(
        change(item_price_ids=[SCALE], changes_scheduled_at=JAN_2), parked="backdated_change"
    ),
    "subscription_ramp_applied": case(
        ramp(JAN_12),
        DAY,
        stands=("acme Ltd: pro 01-01 to 01-12, scale since 01-12", "other Ltd"),
        calls=PLAN_REPLACED,
    ),
    "subscription_ramp_created": case(ramp(FEB_1)),
    "subscription_ramp_updated": case(
        ramp(FEB_1),
        lambda site: site.update_ramp(first_ramp(site), FEB_2, items_to_add=[{"item_price_id": SUPPORT}]),
    ),
    "subscription_ramp_drafted": case(
        lambda site: setattr(site.settings, "ramps_on_update", "draft"), ramp(FEB_1), change(auto_close_invoices=False)
    ),
    "subscription_ramp_deleted": case(ramp(FEB_1), lambda site: site.delete_ramp(first_ramp(site))),
    "subscription_trial_end_reminder": case(
        remind, subscribe_other(trial_end=JAN_16), 2 * DAY, stands=with_other_since("01-11")
    ),
    "subscription_cancellation_reminder": case(remind, cancel(end_of_term=True), 18 * DAY, stands=ENDING),
    "subscription_renewal_reminder": case(remind, 18 * DAY),
    "subscription_advance_invoice_schedule_added": case(plan_advance_invoice),
    "subscription_advance_invoice_schedule_updated": case(
        plan_advance_invoice, lambda site: site.edit_advance_schedule("sub-1", [{"date": FEB_1}])
    ),
    "subscription_advance_invoice_schedule_removed": case(
        plan_advance_invoice, lambda site: site.remove_advance_schedule("sub-1")
    ),
    "subscription_shipping_address_updated": case(change(shipping_address={"city": "Leeds"})),
    "subscription_entitlements_created": case(
        lambda site: site.announce("subscription_entitlements_created", subscription="sub-1")
    ),
    "subscription_entitlements_updated": case(
        lambda site: site.announce("subscription_entitlements_updated", subscription="sub-1")
    ),
    "mrr_updated": case(
        lambda site: setattr(site.settings, "mrr_seconds", 60), change(item_price_ids=[SCALE]), DAY, stands=SCALED
    ),
    "contract_term_created": case(change(contract_term=CONTRACT)),
    "contract_term_renewed": case(change(contract_term=CONTRACT), 21 * DAY),
    "contract_term_completed": case(change(contract_term={**CONTRACT, "action_at_term_end": "cancel"}), 21 * DAY),
    "contract_term_terminated": case(change(contract_term=CONTRACT), cancel()),
    "contract_term_cancelled": case(change(contract_term=CONTRACT), lambda site: site.delete_subscription("sub-1")),
    "item_price_created": case(sell_by_the_year),
    "item_price_updated": case(lambda site: site.update_item_price(PRO, price=10_900)),
    "item_price_deleted": case(sell_by_the_year, lambda site: site.delete_item_price("pro-USD-yearly")),
    "pending_invoice_created": case(21 * DAY),
    "invoice_generated": case(21 * DAY, lambda site: site.close_invoice(site.pending_invoices("sub-1")[0]["id"])),
}

TWO_AT_ONCE: dict[str, Case] = {
    "changed and changed back": case(change(item_price_ids=[SCALE]), change(item_price_ids=[PRO])),
    "changed and cancelled": case(change(item_price_ids=[SCALE]), cancel(), stands=ENDED),
    "paused and resumed": case(pause(), resume()),
    "cancelled and reactivated": case(cancel(), reactivate()),
    "cancelled at the end of the term, then now": case(cancel(end_of_term=True), cancel(), stands=ENDED),
    "subscribed and cancelled": case(subscribe_other(), lambda site: site.cancel_subscription("sub-2")),
    "renamed twice": case(
        lambda site: site.update_customer("acme", company="Acme plc"),
        lambda site: site.update_customer("acme", company="Acme AG"),
        stands=("Acme AG: pro since 01-01", "other Ltd"),
    ),
}


def begin(world: World) -> None:
    """How things are before any case."""
    world.sign_up()
    for invoice_id in list(world.chargebee.invoices):
        world.chargebee.pay_invoice(invoice_id)
    world.chargebee.create_customer(id="other", company="other Ltd", email="o@example.test")
    world.box.advance(timedelta(days=10))
    world.settle()


def take(world: World, step: Step) -> None:
    if isinstance(step, timedelta):
        world.box.advance(step)
    else:
        step(world.chargebee)


def tell_only(world: World, event_type: str) -> None:
    """Of all deliveries that are due those of this type arrive, and the others are lost."""
    told = [one for one in world.hold_back() if json.loads(one[2])["event_type"] == event_type]
    assert [world.send(*one) for one in told] == [204]
    world.work()


def standing(world: World) -> Standing:
    """What stands in m3ter: each account in a line, with the one above it and its plans."""
    lines = []
    for account in world.m3ter.accounts.values():
        above = world.m3ter.accounts.get(account.get("parentAccountId"))
        plans = ", ".join(_period(*one) for one in world.periods(account["code"]))
        lines.append(account["name"] + (f" below {above['name']}" if above else "") + (f": {plans}" if plans else ""))
    return tuple(sorted(lines))


def _period(plan: str, start: str, end: str | None) -> str:
    return f"{plan} {_day(start)} to {_day(end)}" if end else f"{plan} since {_day(start)}"


def _day(moment: str) -> str:
    return moment.removeprefix("2026-").removesuffix("T00:00:00Z")


@pytest.mark.parametrize("event_type", CASES)
def test_event_alone_makes_m3ter_right(world: World, event_type: str) -> None:
    case = CASES[event_type]
    begin(world)
    *before, last = case.steps
    for step in before:
        take(world, step)
        world.settle()
    world.forget_calls()
    take(world, last)
    tell_only(world, event_type)
    row = world.inbox()[-1]
    assert (row.event_type, row.status) == (event_type, "done")
    assert standing(world) == case.stands
    assert tuple(call.operation for call in world.calls("m3ter")) == case.calls
    assert {sync.cause for sync in world.syncs() if sync.status != "succeeded"} == {case.parked} - {None}


def test_every_type_of_event_has_its_case() -> None:
    assert set(CASES) | set(OF_TOP_UPS) == set(CHARGEBEE)


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 1, 0, 1), (1, 0, 1)], ids=str)
@pytest.mark.parametrize("name", TWO_AT_ONCE)
def test_of_two_changes_in_one_second_the_later_one_stands(world: World, name: str, order: tuple[int, ...]) -> None:
    case = TWO_AT_ONCE[name]
    begin(world)
    told = []
    for step in case.steps:
        take(world, step)
        told.append(world.hold_back())
    assert len({json.loads(body)["occurred_at"] for sent in told for _, _, body in sent}) == 1
    for index in order:
        for delivery in told[index]:
            assert world.send(*delivery) == 204
        world.work()
    assert standing(world) == case.stands
    assert {sync.status for sync in world.syncs()} == {"succeeded"}


def test_event_delivered_twice_is_kept_and_acted_on_once(world: World) -> None:
    begin(world)
    world.chargebee.settings.webhook_copies = 2
    world.chargebee.update_subscription("sub-1", item_price_ids=[SCALE])
    before = len(world.inbox())
    world.settle()
    row = world.inbox()[-1]
    assert (len(world.inbox()), row.event_type, row.status) == (before + 1, "subscription_changed", "done")
    world.forget_calls()
    world.chargebee.resend_event(row.event_id)
    world.settle()
    assert (len(world.inbox()), world.calls("m3ter"), standing(world)) == (before + 1, [], SCALED)


def test_event_of_a_type_that_nobody_handles_is_kept_until_somebody_does(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(world)
    world.forget_calls()
    world.chargebee.update_subscription("sub-1", item_price_ids=[SCALE])
    world.hold_back()
    world.chargebee.announce("subscription_praised", subscription="sub-1", customer="acme")
    world.settle()
    row = world.inbox()[-1]
    assert (row.event_type, row.status) == ("subscription_praised", "ignored")
    assert row.reason == "nobody handles this type of event"
    replay(world, row.id)
    assert (world.inbox()[-1].status, world.calls("m3ter"), standing(world)) == ("ignored", [], AS_BEFORE)
    monkeypatch.setitem(handlers.HANDLERS, ("chargebee", "subscription_praised"), handlers.on_subscription)
    replay(world, row.id)
    assert (world.inbox()[-1].status, standing(world)) == ("done", SCALED)


def replay(world: World, inbox_id: int) -> None:
    with world.services.transaction() as db:
        assert inbox.replay(db, "default", [inbox_id]) == [inbox_id]
    world.work()


@pytest.mark.parametrize("event_type", ["pending_invoice_created", "subscription_renewed"])
def test_event_with_a_pending_invoice_lets_the_bill_go_on_that_waited_for_it(world: World, event_type: str) -> None:
    begin(world)
    world.box.advance(to=datetime(2026, 1, 31, 23, 59, tzinfo=UTC))
    account = world.m3ter.account_by_code("acme")
    [bill_id] = world.m3ter.run_bill_job(account_ids=[account["id"]], bill_date="2026-02-01")["billIds"]
    world.m3ter.add_line(bill_id, **world.usage_line())
    world.m3ter.approve(bill_id)
    world.poll()
    world.box.advance(to=datetime(2026, 2, 1, tzinfo=UTC))
    [invoice] = world.chargebee.pending_invoices("sub-1")
    world.work()
    assert world.charges(invoice["id"]) == []
    tell_only(world, event_type)
    assert world.charges(invoice["id"]) == [(CALLS_PRICE, 1000)]


@pytest.mark.parametrize("event_type", ["item_price_created", "item_price_updated"])
def test_family_of_an_item_price_is_not_asked_for_where_an_event_told_it(
    world: World, make_services: Callable[..., Services], event_type: str
) -> None:
    world.services = make_services(SCOPE_ITEM_FAMILIES="saas")
    sell_by_the_year(world.chargebee)
    if event_type == "item_price_updated":
        world.hold_back()
        world.chargebee.update_item_price("pro-USD-yearly", price=89_000)
    tell_only(world, event_type)
    world.map("Plan", world.ids["pro"], "pro-USD-yearly")
    world.forget_calls()
    world.sign_up(items=("pro-USD-yearly",))
    world.settle()
    assert world.periods() == [("pro", "2026-01-01T00:00:00Z", None)]
    assert world.calls("chargebee", "retrieve_item_price") == []
