"""Balances that run low are noticed once, topped up once, and left alone when they hold enough again."""

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import select
from structlog.testing import capture_logs

from connector import clock, handlers, leases, pauses, syncs
from connector.balances import requests, top_ups, watches, watching
from connector.balances.watches import Terms
from connector.clients.m3ter_balance_objects import Balance
from connector.clock import Clock
from connector.models import BalanceReading, BalanceRequest, BalanceWatch, Sync
from connector.sandbox import Sandbox, serve
from connector.services import Services
from tests.flows.conftest import START, World

pytestmark = pytest.mark.alternate_databases

YEAR_END = datetime(2027, 1, 1, tzinfo=UTC)
TOP_UP = {"credit": Decimal(100), "cap_number": 2}


@pytest.fixture
def alerts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What the log says about watched balances."""
    monkeypatch.setattr(
        watching, "log", structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    )
    with capture_logs() as logged:
        yield logged


@pytest.fixture
def balance(world: World) -> Balance:
    """A balance of a customer with 80 dollars, for the year."""
    world.sign_up()
    world.settle()
    account = world.m3ter.account_by_code("acme")
    world.m3ter.create_transaction_type("top_up")
    made = world.m3ter.create_balance(account["id"], "prepaid", START, YEAR_END)
    world.m3ter.add_transaction(made["id"], 80)
    return world.services.connection("default").m3ter.balance_billing.get_balance(made["id"])


def watch(world: World, balance: Balance, threshold: str = "50", **terms: Any) -> None:
    if "credit" in terms:
        terms = {"transaction_type_id": next(iter(world.m3ter.transaction_types))} | terms
    with world.services.transaction() as db:
        watches.put(db, "default", balance, Terms(Decimal(threshold), **terms), made_by="ada", now=world.services.now())


def hour(world: World, hours: int = 1) -> None:
    """Hours pass, and each time the clock looks and the work is done."""
    for _ in range(hours):
        world.box.advance(timedelta(hours=1))
        watching.check(world.services)
        world.work()


def spend(world: World, balance: Balance, amount: int) -> None:
    world.m3ter.add_transaction(balance.id, -amount)


def state(world: World, balance: Balance) -> str:
    with world.services.reading() as db:
        found = watches.find(db, "default", balance.id)
    assert found is not None
    return found.state


def sync(world: World, balance: Balance) -> Sync:
    return world.sync("balance_watch", balance.id)


def held(world: World, balance: Balance) -> Decimal:
    return sum((row["amount"] for row in world.m3ter.transactions_of(balance.id)), Decimal(0))


def credits(world: World) -> list[BalanceRequest]:
    """The credits that were asked for, oldest first."""
    with world.services.reading() as db:
        return list(db.scalars(select(BalanceRequest).filter_by(kind="transaction").order_by(BalanceRequest.id)))


def said(alerts: list[Any]) -> list[str]:
    return [one["event"] for one in alerts]


def test_a_balance_that_holds_enough_costs_two_calls_an_hour_and_no_sync(world: World, balance: Balance) -> None:
    watch(world, balance)
    world.forget_calls()
    hour(world)
    assert [call.operation for call in world.calls("m3ter")] == ["get_balance", "list_balance_transactions"]
    assert world.syncs(kind="balance_watch") == []


def test_a_balance_that_falls_below_its_threshold_parks_with_what_is_known_and_is_said_once(
    world: World, balance: Balance, alerts: list[Any]
) -> None:
    watch(world, balance)
    hour(world)
    spend(world, balance, 31)
    hour(world, 5)
    parked = sync(world, balance)
    assert (parked.status, parked.cause, state(world, balance)) == ("parked", "balance_low", "low")
    assert "holds 49.00 USD, below its threshold of 50.00 USD" in str(parked.text)
    assert "a top-up of 1.00 USD is suggested" in str(parked.text)
    assert said(alerts) == ["a balance runs low"]
    assert (alerts[0]["held"], alerts[0]["threshold"], alerts[0]["log_level"]) == ("49.00 USD", "50.00 USD", "warning")
    assert parked.runs == 1


def test_what_is_said_of_a_low_balance_follows_what_it_holds(world: World, balance: Balance, alerts: list[Any]) -> None:
    watch(world, balance)
    spend(world, balance, 31)
    hour(world)
    spend(world, balance, 9)
    hour(world, 3)
    assert "holds 40.00 USD" in str(sync(world, balance).text)
    assert (sync(world, balance).runs, len(world.syncs(kind="balance_watch")), len(alerts)) == (2, 1, 1)


def test_it_goes_on_by_itself_once_the_balance_holds_enough_again(
    world: World, balance: Balance, alerts: list[Any]
) -> None:
    watch(world, balance)
    spend(world, balance, 31)
    hour(world)
    world.m3ter.add_transaction(balance.id, 100)
    hour(world, 3)
    assert (sync(world, balance).status, state(world, balance)) == ("succeeded", "ok")
    assert said(alerts) == ["a balance runs low", "a balance holds enough again"]
    spend(world, balance, 120)
    hour(world, 2)
    assert said(alerts)[2:] == ["a balance runs low"]


def test_exactly_the_threshold_is_enough_and_an_empty_balance_is_low_whatever_the_threshold(
    world: World, balance: Balance
) -> None:
    watch(world, balance, "80")
    hour(world)
    assert world.syncs(kind="balance_watch") == []
    watch(world, balance, "0")
    spend(world, balance, 80)
    hour(world)
    assert sync(world, balance).cause == "balance_low"


def test_the_forecast_counts_bills_and_what_schedules_are_going_to_put_in(world: World, balance: Balance) -> None:
    for day, amount in ((1, 10), (11, 20)):
        row = world.m3ter.add_transaction(balance.id, -amount, appliedDate=f"2026-01-{day:02}T00:00:00Z")
        world.m3ter.transactions[row["id"]] |= {
            "entityType": "BILL", "entityId": "bill", "transactionDate": row["appliedDate"],
        }  # fmt: skip
    type_id = next(iter(world.m3ter.transaction_types))
    world.box.advance(to=datetime(2026, 1, 10, 23, tzinfo=UTC))
    watch(world, balance, "60")
    hour(world)
    # 20 in ten days; 50 are left: until 5 February.
    assert "2.00 USD a day are drawn, so that it runs out on 2026-02-05" in str(sync(world, balance).text)
    assert "a top-up of 60.00 USD is suggested" in str(sync(world, balance).text)
    world.m3ter.create_transaction_schedule(
        balance.id, "monthly", 20, type_id, datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
    )
    world.retry(sync(world, balance).id)
    # 20 more last ten days longer; those of March come too late.
    assert "runs out on 2026-02-15" in str(sync(world, balance).text)


def test_an_automatic_top_up_is_asked_for_once_made_and_said(world: World, balance: Balance, alerts: list[Any]) -> None:
    watch(world, balance, price=Decimal(90), price_currency="EUR", **TOP_UP)
    spend(world, balance, 40)
    hour(world, 4)
    assert held(world, balance) == 140
    [credit] = credits(world)
    assert (credit.reference, credit.source, credit.paid_by, credit.made_by) == (
        f"auto-{balance.id}-2026-01-1", f"watch:{balance.id}", "charge", "connector",
    )  # fmt: skip
    [charge] = world.m3ter.charges.values()
    assert (charge["amount"], charge["currency"], charge["billDate"]) == (90, "EUR", "2026-01-01")
    assert (sync(world, balance).status, state(world, balance)) == ("succeeded", "ok")
    assert said(alerts) == ["a balance ran low and is topped up", "a balance holds enough again"]


def test_a_top_up_that_is_not_enough_is_followed_by_another_until_the_cap(
    world: World, balance: Balance, alerts: list[Any]
) -> None:
    watch(world, balance, free=True, **TOP_UP)
    spend(world, balance, 400)
    hour(world, 4)
    assert held(world, balance) == -120
    assert [one.reference[-9:] for one in credits(world)] == ["2026-01-1", "2026-01-2"]
    parked = sync(world, balance)
    assert (parked.status, parked.cause) == ("parked", "top_up_cap_reached")
    assert "2 of 2 top-ups of this month are made" in str(parked.text)
    assert said(alerts) == [
        "a balance ran low and is topped up",
        "a balance ran low and is topped up",
        "a balance runs low and its automatic top-ups have reached their cap",
    ]


def test_a_cap_of_credit_is_never_passed_and_the_next_month_begins_anew(world: World, balance: Balance) -> None:
    watch(world, balance, free=True, credit=Decimal(100), cap_credit=Decimal(250))
    spend(world, balance, 500)
    hour(world, 4)
    assert held(world, balance) == -220
    assert "another 100 would make 300 of 250 of this month" in str(sync(world, balance).text)
    world.box.advance(to=datetime(2026, 2, 1, tzinfo=UTC))
    hour(world, 4)
    assert held(world, balance) == -20
    assert credits(world)[-1].reference == f"auto-{balance.id}-2026-02-2"


def test_no_other_top_up_is_asked_for_while_one_is_on_its_way(world: World, balance: Balance) -> None:
    world.box.faults.order("m3ter", "create_balance_transaction", "status", status=503)
    watch(world, balance, free=True, **TOP_UP)
    spend(world, balance, 40)
    watching.check(world.services)
    world.work()
    assert (sync(world, balance).cause, credits(world)[0].status) == ("topping_up", "sending")
    for _ in range(2):
        world.box.advance(timedelta(seconds=40))
        world.retry(sync(world, balance).id)
        assert len(credits(world)) == 1
    hour(world, 2)
    assert (held(world, balance), len(credits(world))) == (140, 1)


def test_no_other_top_up_is_asked_for_before_the_last_one_is_seen_in_m3ter(
    world: World, balance: Balance, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(world, balance, free=True, **TOP_UP)
    spend(world, balance, 40)
    hour(world)
    [last] = credits(world)
    # m3ter goes on to show the balance as it was before.
    hidden = world.m3ter.transactions.pop(last.m3ter_id)
    hour(world, 3)
    assert (len(credits(world)), sync(world, balance).cause) == (1, "topping_up")
    assert "does not show" in str(sync(world, balance).text)
    world.m3ter.transactions[last.m3ter_id] = hidden
    hour(world)
    assert (len(credits(world)), sync(world, balance).status) == (1, "succeeded")


def test_two_clocks_and_a_killed_worker_make_one_top_up(
    world: World, balance: Balance, make_services: Callable[..., Services], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(world, balance, free=True, **TOP_UP)
    spend(world, balance, 40)
    others = make_services()
    watching.check(world.services)
    watching.check(others)
    [asked] = world.syncs(kind="balance_watch")

    class Died(BaseException):
        pass

    def die(*_: Any) -> None:
        raise Died

    with monkeypatch.context() as patched, pytest.raises(Died):
        patched.setattr(watching, "_said", die)
        syncs.attempt(world.services, asked.id, handlers.KINDS)
    assert len(credits(world)) == 1
    world.wait(seconds=5 * world.services.settings.http_timeout_seconds)
    hour(world)
    assert (held(world, balance), len(credits(world)), world.attempts(asked.id)[0].outcome) == (140, 1, "died")


def test_a_worker_that_dies_before_it_commits_leaves_neither_half(
    world: World, balance: Balance, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(world, balance, **TOP_UP)
    spend(world, balance, 40)
    watching.check(world.services)

    class Died(BaseException):
        pass

    def die(*_: Any) -> None:
        raise Died

    with monkeypatch.context() as patched, pytest.raises(Died):
        patched.setattr(watching, "_enter", die)
        syncs.attempt(world.services, sync(world, balance).id, handlers.KINDS)
    assert credits(world) == []
    world.wait(seconds=5 * world.services.settings.http_timeout_seconds)
    hour(world)
    assert (held(world, balance), len(world.m3ter.charges)) == (140, 1)


def test_two_workers_that_both_saw_the_balance_low_ask_once(
    world: World, balance: Balance, make_services: Callable[..., Services], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(world, balance, free=True, **TOP_UP)
    spend(world, balance, 40)
    watching.check(world.services)
    sync_id = sync(world, balance).id
    late = make_services()
    real, entered = watching._settle, []

    def overtaken(services: Services, *rest: Any) -> Any:
        if not entered:
            entered.append(True)
            # The lease is over while this worker sleeps: another one does the work, whole.
            world.box.advance(timedelta(seconds=5 * services.settings.http_timeout_seconds))
            monkeypatch.setattr(type(rest[0]), "check", lambda *_: None)
            syncs.attempt(late, sync_id, handlers.KINDS)
        return real(services, *rest)

    monkeypatch.setattr(watching, "_settle", overtaken)
    syncs.attempt(world.services, sync_id, handlers.KINDS)
    monkeypatch.undo()
    world.work()
    assert len(credits(world)) == 1


def test_a_top_up_that_m3ter_refuses_is_said_once_and_goes_on_when_it_is_mended(
    world: World, balance: Balance, alerts: list[Any]
) -> None:
    world.box.faults.order("m3ter", "create_charge", "status", status=400)
    watch(world, balance, **TOP_UP)
    spend(world, balance, 40)
    hour(world, 4)
    parked = sync(world, balance)
    assert (parked.status, parked.cause, len(credits(world))) == ("parked", "top_up_refused", 1)
    [refused] = [one for one in world.syncs(kind="balance_request") if one.status == "parked"]
    assert f"sync {refused.id} is parked (rejected)" in str(parked.text)
    assert said(alerts) == [
        "a balance ran low and is topped up", "a balance runs low and its automatic top-up does not go through",
    ]  # fmt: skip
    world.retry(refused.id)
    hour(world, 2)
    assert (held(world, balance), sync(world, balance).status, len(credits(world))) == (140, "succeeded", 1)


def test_a_refused_top_up_that_is_withdrawn_makes_room_for_another(world: World, balance: Balance) -> None:
    world.box.faults.order("m3ter", "create_balance_transaction", "status", status=400)
    watch(world, balance, free=True, credit=Decimal(100), cap_number=1)
    spend(world, balance, 40)
    hour(world, 2)
    with world.services.transaction() as db:
        requests.withdraw(db, requests.get(db, "default", credits(world)[0].id), "typed wrong", world.services.now())
    hour(world, 2)
    assert [(one.status, one.reference[-1]) for one in credits(world)] == [("withdrawn", "1"), ("done", "2")]
    assert held(world, balance) == 140


def test_a_top_up_that_cannot_be_asked_for_leaves_neither_half(
    world: World, balance: Balance, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(world, balance, **TOP_UP)
    spend(world, balance, 40)
    # Somebody else's charge bears the same reference.
    taken = top_ups.ad_hoc(
        balance, reference=watches.reference(balance.id, START, 1), credit=Decimal(5), price=None,
        type_id=next(iter(world.m3ter.transaction_types)), applied=START, bill_date=START.date(),
    )  # fmt: skip
    with world.services.transaction() as db:
        top_ups.ask(db, "default", taken, made_by="ada", now=START)
    hour(world)
    assert (sync(world, balance).cause, held(world, balance)) == ("top_up_refused", 45)
    assert "stands for another transaction already" in str(sync(world, balance).text)
    assert world.m3ter.charges == {}


def test_money_that_is_switched_off_tops_nothing_up(world: World, balance: Balance) -> None:
    with world.services.transaction() as db:
        pauses.pause_by_hand(db, "default", "money", "restored", world.services.now())
    watch(world, balance, **TOP_UP)
    spend(world, balance, 40)
    hour(world, 2)
    assert (held(world, balance), sync(world, balance).cause) == (40, "topping_up")


def test_a_paused_connection_is_not_looked_at(world: World, balance: Balance) -> None:
    watch(world, balance)
    with world.services.transaction() as db:
        pauses.pause_by_hand(db, "default", "all", "moving", world.services.now())
    world.forget_calls()
    hour(world, 2)
    assert world.calls("m3ter") == []


def test_a_provider_that_is_away_puts_all_looks_off_for_a_while(world: World, balance: Balance) -> None:
    watch(world, balance)
    spend(world, balance, 40)
    world.box.faults.order("m3ter", "get_balance", "status", count=20, status=503)
    watching.check(world.services)
    assert world.syncs(kind="balance_watch") == []
    world.box.faults.orders.clear()
    world.box.advance(timedelta(seconds=world.services.settings.recheck_seconds))
    watching.check(world.services)
    assert len(world.syncs(kind="balance_watch")) == 1


def test_readings_are_kept_when_something_changed_and_once_a_day(world: World, balance: Balance) -> None:
    watch(world, balance)
    hour(world, 3)
    spend(world, balance, 5)
    hour(world, 30)
    with world.services.reading() as db:
        rows = list(db.scalars(select(BalanceReading).order_by(BalanceReading.at)))
    assert [(row.at, row.held, row.total_debit) for row in rows] == [
        (START + timedelta(hours=1), 80, 0),
        (START + timedelta(hours=4), 75, 5),
        (START + timedelta(hours=28), 75, 5),
    ]


def test_the_clock_looks_at_each_balance_when_its_time_has_come(world: World, balance: Balance) -> None:
    watch(world, balance)
    world.forget_calls()
    ticking = Clock(world.services)
    for _ in range(13):
        ticking.tick()
        world.box.advance(timedelta(minutes=10))
    assert len(world.calls("m3ter", "get_balance")) == 3  # at 0, 60 and 120 minutes
    world.box.advance(timedelta(hours=1))
    with leases.held(world.services, "clock", 60):
        Clock(world.services).tick()
    assert len(world.calls("m3ter", "get_balance")) == 3
    names = [task.name for task in clock.PERIODIC]
    assert names.index("watch balances") < names.index("sweep")  # what it opens is queued in the same tick


def test_more_balances_than_one_tick_takes_are_looked_at_in_the_next(
    world: World, balance: Balance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "AT_A_TIME", 1)
    second = world.m3ter.create_balance(balance.account_id, "second", START, YEAR_END)
    other = world.services.connection("default").m3ter.balance_billing.get_balance(second["id"])
    watch(world, balance)
    watch(world, other)
    for expected in (1, 2, 2):
        watching.check(world.services)
        with world.services.reading() as db:
            assert len(db.scalars(select(BalanceReading)).all()) == expected


def test_a_balance_that_is_gone_or_has_ended_is_not_low(world: World, balance: Balance, alerts: list[Any]) -> None:
    watch(world, balance)
    hour(world)
    world.box.advance(to=YEAR_END)
    hour(world, 2)
    assert (sync(world, balance).status, state(world, balance)) == ("succeeded", "ended")
    del world.m3ter.balances[balance.id]
    hour(world, 3)
    assert (sync(world, balance).status, sync(world, balance).cause) == ("parked", "balance_gone")
    assert said(alerts) == ["a watched balance has ended", "a watched balance is gone"]


def test_what_is_no_longer_watched_is_left_alone_and_its_sync_closed(world: World, balance: Balance) -> None:
    watch(world, balance)
    spend(world, balance, 40)
    hour(world)
    with world.services.transaction() as db:
        assert watches.remove(db, "default", balance.id, reason="sold", now=world.services.now())
    assert (sync(world, balance).status, sync(world, balance).cause) == ("superseded", "not_watched")
    world.forget_calls()
    hour(world, 2)
    assert world.calls("m3ter") == []
    watch(world, balance, enabled=False)
    hour(world, 2)
    assert world.calls("m3ter") == []


def test_a_summary_that_disagrees_is_noted_in_the_attempt(
    world: World, balance: Balance, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(world, balance)
    spend(world, balance, 40)
    real = world.m3ter.transaction_summary
    monkeypatch.setattr(world.m3ter, "transaction_summary", lambda one: real(one) | {"totalDebitAmount": 41})
    hour(world)
    [attempt] = world.attempts(sync(world, balance).id)
    assert attempt.did == ["the debits add up to 40.00 USD, m3ter's summary says 41.00 USD; the transactions count"]


@pytest.fixture
def other() -> Iterator[Sandbox]:
    """A second m3ter organisation, of another connection."""
    box = Sandbox(
        seed=2, now=START, site="other-test", chargebee_api_key="other", org_id="0" * 36, m3ter_api_key="o",
        m3ter_api_secret="o",
    )  # fmt: skip
    with serve(box) as server:
        box.url = server.url
        yield box


def test_another_connections_watch_of_the_same_balance_is_its_own(
    world: World, balance: Balance, other: Sandbox, make_services: Callable[..., Services], tmp_path: Path
) -> None:
    file = tmp_path / "connector.toml"
    file.write_text(
        f"""
        [connections.other]
        chargebee_site = "other-test"
        chargebee_api_key = "other"
        chargebee_api_url = "{other.url}/chargebee/api/v2"
        m3ter_org_id = "{other.m3ter.org_id}"
        m3ter_api_key = "o"
        m3ter_api_secret = "o"
        m3ter_api_url = "{other.url}/m3ter"
        """
    )
    both = make_services(CONNECTOR_CONFIG=str(file))
    account = other.m3ter.create_account("twin")
    copied = other.m3ter.create_balance(account["id"], "prepaid", START, YEAR_END)
    # The two organisations gave their balances one and the same id.
    other.m3ter.balances[balance.id] = other.m3ter.balances.pop(copied["id"]) | {"id": balance.id}
    other.m3ter.add_transaction(balance.id, 1000)
    watch(world, balance, "50", **TOP_UP)
    with both.transaction() as db:
        twin = both.connection("other").m3ter.balance_billing.get_balance(balance.id)
        watches.put(db, "other", twin, Terms(Decimal(5000)), made_by="bob", now=both.now())
    spend(world, balance, 40)
    watching.check(both)
    assert {one.connection for one in world.syncs(kind="balance_watch")} == {"default", "other"}
    for one in world.syncs():
        syncs.attempt(both, one.id, handlers.KINDS)
    for one in world.syncs(kind="balance_request"):
        syncs.attempt(both, one.id, handlers.KINDS)
    world.box.advance(timedelta(hours=1))
    watching.check(both)
    for one in world.syncs(kind="balance_watch"):
        syncs.attempt(both, one.id, handlers.KINDS)
    assert (held(world, balance), len(other.m3ter.transactions), len(other.m3ter.charges)) == (140, 1, 0)
    [theirs] = world.syncs(kind="balance_watch", connection="other")
    assert (theirs.status, theirs.cause) == ("parked", "balance_low")
    with world.services.reading() as db:
        states = {row.connection: row.state for row in db.scalars(select(BalanceWatch))}
        assert states == {"default": "ok", "other": "low"}
        assert watches.own_top_ups(db, "other", balance.id) == []
        readings = {(row.connection, row.held) for row in db.scalars(select(BalanceReading))}
        assert ("other", Decimal(1000)) in readings
        assert ("other", Decimal(40)) not in readings
