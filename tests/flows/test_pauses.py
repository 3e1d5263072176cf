"""Connections that pause: an outage, refused credentials, a person's hand, and money after a restored database."""

import json
import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import structlog
from click.testing import CliRunner, Result
from sqlalchemy import select
from structlog.testing import capture_logs

from connector import handlers, pauses, syncs
from connector.cli import main
from connector.clock import Clock
from connector.models import AuditEntry, Pause
from connector.sandbox import Sandbox
from connector.services import Services
from tests.flows.conftest import CALLS_PRICE, PRO, World, edge
from tests.flows.dying import put_back, rows
from tests.flows.test_connections import other, two  # noqa: F401 - fixtures

pytestmark = pytest.mark.alternate_databases

MANY = 100_000
Command = Callable[..., Result]


@pytest.fixture
def connector(world: World, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `connector …` with this world's services."""
    for module in ("connections", "bills"):
        monkeypatch.setattr(f"connector.cli.{module}.wire", lambda: world.services)
    return lambda *words: CliRunner().invoke(main, list(words))


@pytest.fixture
def alerts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What the connector's pauses say at ERROR."""
    loud = structlog.make_filtering_bound_logger(logging.ERROR)
    monkeypatch.setattr(pauses, "log", structlog.wrap_logger(None, wrapper_class=loud))
    with capture_logs() as logged:
        yield logged


def many_sign_ups(world: World, number: int = 15) -> None:
    for one in range(number):
        world.sign_up(f"customer-{one}", f"sub-{one}")
    world.deliver()


def found(world: World) -> list[tuple[str, str, str]]:
    """Every pause: connection, what and cause."""
    with world.services.reading() as db:
        return [(one.connection, one.what, one.cause) for one in db.scalars(select(Pause).order_by(Pause.id))]


def minutes(world: World, number: int, *, at_once: int = 1) -> None:
    """The clock and the workers go on, minute by minute or in steps of several minutes `at_once`."""
    clock = Clock(world.services)
    for _ in range(0, number, at_once):
        world.box.advance(timedelta(minutes=at_once))
        clock.tick()
        world.work()


def statuses(world: World) -> set[str]:
    return {row.status for row in world.syncs()}


# Of itself, while a provider is away


def test_outage_of_m3ter_pauses_once_and_parks_nothing(world: World, alerts: list[Any]) -> None:
    world.box.faults.order("m3ter", "*", "status", count=MANY, status=503)
    many_sign_ups(world)
    world.work()
    minutes(world, 24 * 60, at_once=30)
    assert found(world) == [("default", "m3ter", "not_now")]
    [alert] = alerts
    assert (alert["connection"], alert["cause"], alert["waiting"]) == ("default", "not_now", 30)
    assert statuses(world) == {"pending"}
    assert sorted({row.attempts for row in world.syncs()}) == [0, 1]
    world.box.faults.orders.clear()
    minutes(world, 3)
    assert found(world) == []
    assert statuses(world) == {"succeeded"}
    assert len(world.m3ter.account_plans) == 15


def test_paused_connection_asks_with_one_call_a_minute(world: World) -> None:
    # With a token from before the outage, as it would be.
    world.services.connection("default").m3ter.get_plan(world.ids["pro"])
    world.box.faults.order("m3ter", "*", "status", count=MANY, status=503)
    many_sign_ups(world)
    world.work()
    world.forget_calls()
    for _ in range(13):
        pauses.probe(world.services)
        world.box.advance(timedelta(seconds=5))
    asked = [call.operation for call in world.calls("m3ter")]
    assert asked.count("list_accounts") == 3  # one call, made three times since it fails


def test_fewer_failures_than_the_limit_pause_nothing(world: World) -> None:
    world.box.faults.order("m3ter", "*", "status", count=MANY, status=503)
    many_sign_ups(world, 2)
    world.work()
    minutes(world, 5)
    assert len(world.syncs()) == 4
    assert found(world) == []


def test_success_begins_the_count_anew(world: World) -> None:
    many_sign_ups(world, 1)
    world.work()
    for name in ("a", "b", "c"):
        world.box.faults.order("m3ter", "*", "status", count=6, status=503)
        world.sign_up(name, f"sub-{name}")
        world.settle()
        assert {row.status for row in world.syncs() if row.subject in (name, f"sub-{name}")} == {"pending"}
        world.sign_up(f"{name}-fine", f"sub-{name}-fine")
        world.settle()
        assert world.sync("subscription", f"sub-{name}-fine").status == "succeeded"
    assert found(world) == []


def test_failures_for_another_cause_are_not_in_a_row(world: World) -> None:
    for number, status in enumerate((503, 403, 503, 403)):
        world.box.faults.orders.clear()
        world.box.faults.order("m3ter", "*", "status", count=MANY, status=status)
        world.sign_up(f"customer-{number}", f"sub-{number}")
        world.settle()
    assert len([row for row in world.syncs() if row.cause in ("not_now", "access_refused")]) == 8
    assert found(world) == []


def test_other_connection_goes_on(two: World, other: Sandbox) -> None:  # noqa: F811
    two.box.faults.order("m3ter", "*", "status", count=MANY, status=503)
    many_sign_ups(two)
    other.chargebee.create_customer("acme", company="Other", email="o@example.test", preferred_currency_code="USD")
    other.chargebee.create_subscription("acme", [PRO], id="sub-1")
    two.work()
    assert found(two) == [("default", "m3ter", "not_now")]
    other.deliver(two.send)
    two.work()
    assert len(other.m3ter.account_plans) == 1
    assert {row.status for row in two.syncs(connection="other")} == {"succeeded"}


def test_wrong_key_pauses_and_the_right_one_resumes(world: World, alerts: list[Any]) -> None:
    right, world.m3ter.api_secret = world.m3ter.api_secret, "rotated"
    world.m3ter.expire_tokens()
    many_sign_ups(world)
    world.work()
    minutes(world, 60)
    assert found(world) == [("default", "m3ter", "access_refused")]
    assert len(alerts) == 1
    world.m3ter.api_secret = right
    minutes(world, 2)
    assert found(world) == []
    assert statuses(world) == {"succeeded"}


def test_sign_ups_go_on_while_chargebee_is_away_and_bills_wait(make_world: Callable[..., World]) -> None:
    world = make_world(PAUSE_AFTER_FAILURES="1", MAX_ATTEMPTS="1")
    bill_id = with_a_bill(world)
    world.box.faults.order("chargebee", "*", "status", count=MANY, status=503)
    world.poll()
    assert world.sync("bill", bill_id).status == "parked"  # its one try
    assert found(world) == [("default", "chargebee", "not_now")]
    world.retry(world.sync("bill", bill_id).id)
    assert world.sync("bill", bill_id).runs == 1
    world.sign_up("beta", "sub-2")
    world.settle()
    assert len(world.plans("beta")) == 1


def test_sync_that_meets_a_provider_known_to_be_away_uses_up_no_try(make_world: Callable[..., World]) -> None:
    world = make_world(PAUSE_AFTER_FAILURES="1", MAX_ATTEMPTS="2")
    bill_id = with_a_bill(world)
    world.box.faults.order("chargebee", "*", "status", count=MANY, status=503)
    world.poll()
    assert world.sync("bill", bill_id).status == "pending"
    assert found(world) == [("default", "chargebee", "not_now")]
    with world.services.transaction() as db:
        # Only the id is known, so that Chargebee has to be asked.
        syncs.ask(
            db, connection="default", kind="subscription", subject="unseen", trigger="test", now=world.services.now()
        )
    minutes(world, 10)
    row = world.sync("subscription", "unseen")
    assert (row.status, row.cause, row.attempts) == ("pending", "not_now", 0)
    assert row.runs > 2


# By hand


def test_pause_by_hand_ends_only_by_hand(world: World, connector: Command) -> None:
    words = ("connections", "pause", "--reason", "moving to another site", "--json")
    assert json.loads(connector(*words, "--dry-run").stdout)["syncs"] == 0
    assert found(world) == []
    assert connector(*words).exit_code == 0
    assert "is paused already" in connector(*words).stdout
    many_sign_ups(world, 3)
    minutes(world, 60)
    assert world.m3ter.accounts == {}
    assert {(row.status, row.runs) for row in world.syncs()} == {("pending", 0)}
    [listed] = json.loads(connector("connections", "list", "--json").stdout)["connections"]
    [pause] = listed["pauses"]
    assert (pause["what"], pause["cause"], pause["syncs"], pause["next_probe_at"]) == ("all", "by_hand", 6, None)
    assert "moving to another site" in connector("connections", "list").stdout
    assert "would be lifted" in connector("connections", "resume", "--dry-run").stdout
    assert len(found(world)) == 1
    assert connector("connections", "resume").exit_code == 0
    world.work()
    assert statuses(world) == {"succeeded"}
    assert connector("connections", "resume").exit_code == 1
    with world.services.reading() as db:
        noted = [(entry.action, entry.subject) for entry in db.scalars(select(AuditEntry).order_by(AuditEntry.id))]
    assert noted == [("connections pause", "all"), ("connections resume", "all")]


def test_person_may_end_what_a_provider_paused(world: World, connector: Command) -> None:
    world.box.faults.order("m3ter", "*", "status", count=MANY, status=503)
    many_sign_ups(world, 3)
    world.work()
    assert found(world) == [("default", "m3ter", "not_now")]
    world.box.faults.orders.clear()
    connector("connections", "resume")
    world.work()
    assert statuses(world) == {"succeeded"}


def test_connection_that_the_settings_do_not_have_cannot_be_paused(world: World, connector: Command) -> None:
    result = connector("connections", "pause", "--reason", "x", "--connection", "acme")
    assert (result.exit_code, "there is no connection 'acme'" in result.stderr) == (1, True)


def test_money_is_switched_off_and_on_by_hand(world: World, connector: Command) -> None:
    bill_id = with_a_bill(world)
    connector("connections", "pause", "--money", "--reason", "month-end freeze")
    world.poll()
    row = world.sync("bill", bill_id)
    assert (row.status, row.cause) == ("waiting", "money_off")
    assert "month-end freeze" in str(row.text)
    assert "connections resume --money" in str(row.next_step)
    world.sign_up("beta", "sub-2")
    world.settle()
    assert len(world.plans("beta")) == 1
    assert connector("connections", "resume").exit_code == 1
    assert connector("connections", "resume", "--money").exit_code == 2
    minutes(world, 30)
    assert ours(world) == []
    connector("connections", "resume", "--money", "--reason", "freeze is over")
    world.work()
    assert ours(world) == [(CALLS_PRICE, 1000)]


def test_money_that_is_switched_off_in_the_middle_of_a_bill_stops_before_the_next_line(
    world: World, connector: Command
) -> None:
    bill_id = with_a_bill(world, {"subtotal": 5}, {"subtotal": 7})
    add = world.services.connection("default").chargebee.add_charge_item

    def add_and_switch_off(*args: Any, **fields: Any) -> Any:
        connector("connections", "pause", "--money", "--reason", "stop")
        return add(*args, **fields)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(world.services.connection("default").chargebee, "add_charge_item", add_and_switch_off)
        world.poll()
    assert len(ours(world)) == 1
    assert world.sync("bill", bill_id).cause == "money_off"
    connector("connections", "resume", "--money", "--reason", "go")
    world.work()
    minutes(world, 5)
    assert sorted(minor for _, minor in ours(world)) == [500, 700]
    assert world.sync("bill", bill_id).status == "succeeded"


# Money after a restore


def with_a_bill(world: World, *lines: dict[str, Any]) -> str:
    """One customer with a pending invoice and an approved bill for it."""
    world.sign_up()
    world.settle()
    world.renew()
    return world.bill(*lines)


def ours(world: World) -> list[tuple[str, int]]:
    [invoice] = world.chargebee.pending_invoices("sub-1")
    return world.charges(invoice["id"])


@pytest.fixture
def make_world(
    world: World, make_services: Callable[..., Services], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., World]:
    """The world with other settings."""

    def make(**environment: str) -> World:
        services = make_services(**environment)
        monkeypatch.setattr("connector.cli.connections.wire", lambda: services)
        return World(world.box, services, edge(services), world.ids)

    return make


def test_restored_database_sends_nothing_until_a_person_has_looked(
    make_world: Callable[..., World], connector: Command, alerts: list[Any]
) -> None:
    world = make_world(FOREIGN_LINES="ignore")
    bill_id = with_a_bill(world)
    kept = rows(world)
    world.poll()
    assert ours(world) == [(CALLS_PRICE, 1000)]
    put_back(world, kept)
    world.poll()
    minutes(world, 60)
    row = world.sync("bill", bill_id)
    assert (row.status, row.cause) == ("waiting", "money_off")
    assert "restore" in str(row.text)
    assert ours(world) == [(CALLS_PRICE, 1000)]
    assert found(world) == [("default", "money", "restored")]
    assert [alert["event"] for alert in alerts] == ["money is switched off"]
    world.sign_up("beta", "sub-2")
    world.settle()
    assert len(world.plans("beta")) == 1
    # The person finds the line that the database has forgotten, and takes it from the invoice.
    [invoice] = world.chargebee.pending_invoices("sub-1")
    [line] = [line for line in invoice["line_items"] if line["entity_id"] == CALLS_PRICE]
    world.chargebee.invoices[invoice["id"]]["line_items"].remove(line)
    assert connector("connections", "resume", "--money", "--reason", "one line taken back").exit_code == 0
    minutes(world, 60)
    assert ours(world) == [(CALLS_PRICE, 1000)]
    assert world.sync("bill", bill_id).status == "succeeded"
    assert found(world) == []


def test_redis_that_has_forgotten_everything_holds_no_money_back(world: World) -> None:
    with_a_bill(world)
    world.poll()
    world.services.redis.flushall()
    later = world.bill({"subtotal": 3})
    world.poll()
    assert world.sync("bill", later).status == "succeeded"
    assert found(world) == []
    [mark] = [score for _, score in world.services.redis.zrange(sent_key(world), 0, -1, withscores=True)]
    assert mark == 4  # two steps for each line, counted on from where the database stands


def test_money_goes_on_without_redis(make_world: Callable[..., World], world: World) -> None:
    bill_id = with_a_bill(world)
    cut_off = make_world(REDIS_URL="redis://127.0.0.1:1/0")
    with cut_off.services.transaction() as db:
        sync_id = syncs.ask(
            db, connection="default", kind="bill", subject=bill_id, trigger="test", now=world.services.now()
        )
    assert syncs.attempt(cut_off.services, sync_id, handlers.KINDS) == "succeeded"
    assert ours(world) == [(CALLS_PRICE, 1000)]


def sent_key(world: World) -> str:
    return f"connector:sent:{world.services.installation}"
