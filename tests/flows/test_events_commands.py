"""Events at the command line: every one is kept, can be looked at, and can be dispatched once more without harm."""

import json
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select, update

from connector import catch_up, handlers, inbox
from connector.cli import events as events_commands
from connector.cli import main
from connector.models import AuditEntry, InboxEvent
from tests.flows.conftest import SCALE, START, World

pytestmark = pytest.mark.alternate_databases


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `connector events …` with this world's services."""
    monkeypatch.setattr(events_commands, "wire", lambda: world.services)
    return lambda *words: CliRunner().invoke(main, ["events", *map(str, words)])


def document(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def deliver(world: World, event_id: str, event_type: str = "coupon_created", **content: Any) -> int:
    """A delivered and dispatched event; answers its id in the inbox."""
    body = {
        "id": event_id, "event_type": event_type, "api_version": "v2", "occurred_at": 1767225600,
        "content": content or {"coupon": {"id": "c", "name": "Jürgen"}},
    }  # fmt: skip
    assert world.post("/webhooks/chargebee", json.dumps(body).encode()) == 204
    world.work()
    return world.inbox()[-1].id


def statuses(world: World) -> dict[str, str]:
    return {row.event_id: row.status for row in world.inbox()}


def notes(world: World) -> list[AuditEntry]:
    with world.services.reading() as db:
        return list(db.scalars(select(AuditEntry).where(AuditEntry.action == "events replay")))


def test_unknown_event_is_kept_ignored_and_done_once_somebody_handles_it(
    world: World, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox_id = deliver(world, "ev-1", "customer_praised", customer={"id": "acme", "email": "a@example.test"})
    [listed] = document(run("list", "--status", "ignored", "--json"))["events"]
    assert (listed["id"], listed["reason"]) == (inbox_id, "nobody handles this type of event")
    monkeypatch.setitem(handlers.HANDLERS, ("chargebee", "customer_praised"), handlers.on_customer)
    assert document(run("replay", inbox_id, "--json"))["replayed"] == 1
    world.work()
    assert statuses(world) == {"ev-1": "done"}
    assert world.sync("customer", "acme").trigger == "event ev-1"
    [note] = notes(world)
    assert note.actor.startswith("cli:")
    assert note.detail == {"inbox_ids": [inbox_id]}


def test_replayed_event_waits_for_no_clock(world: World, run: Any) -> None:
    inbox_id = deliver(world, "ev-1")
    run("replay", inbox_id)
    [row] = world.inbox()
    assert (row.status, row.reason, row.handled_at) == ("new", None, None)
    assert [queue.count for queue in world.queues()] == [1, 0]


def test_old_event_replayed_undoes_nothing(world: World, run: Any) -> None:
    world.sign_up()
    world.settle()
    world.box.advance(timedelta(days=9))
    world.chargebee.update_subscription("sub-1", item_price_ids=[SCALE])
    world.settle()
    before = world.plans()
    [first] = [row.id for row in world.inbox() if row.event_type == "subscription_created"]
    world.forget_calls()
    assert document(run("replay", first, "--json"))["replayed"] == 1
    world.work()
    assert world.plans() == before
    assert [call.operation for call in world.calls("m3ter")] == []
    assert world.sync("subscription", "sub-1").status == "succeeded"


def test_failed_event_is_replayed_and_says_again_what_is_wrong(world: World, run: Any) -> None:
    deliver(world, "ev-1", "customer_created", nothing={"id": "x"})
    deliver(world, "ev-2")
    assert statuses(world) == {"ev-1": "failed", "ev-2": "ignored"}
    assert [one["event_id"] for one in document(run("replay", "--status", "failed", "--json"))["events"]] == ["ev-1"]
    world.work()
    [row] = [row for row in world.inbox() if row.event_id == "ev-1"]
    assert (row.status, "no customer" in str(row.reason)) == ("failed", True)


def test_dry_run_lists_and_changes_nothing(world: World, run: Any) -> None:
    deliver(world, "ev-1")
    deliver(world, "ev-2", "coupon_deleted")
    result = run("replay", "--type", "coupon_created", "--dry-run")
    assert "coupon_created" in result.stdout
    assert "coupon_deleted" not in result.stdout
    assert "1 would be replayed." in result.stdout
    assert (statuses(world), notes(world)) == ({"ev-1": "ignored", "ev-2": "ignored"}, [])


def test_what_the_limit_leaves_over_is_said_and_taken_the_next_time(world: World, run: Any) -> None:
    for number in range(5):
        deliver(world, f"ev-{number}")
        world.box.advance(timedelta(seconds=1))
    took = []
    for _ in range(3):
        result = document(run("replay", "--status", "ignored", "--limit", 2, "--json"))
        took.append([one["event_id"] for one in result["events"]])
        assert (result["matched"], result["replayed"]) == (5, 2)
        world.work()  # nobody handles them now either
    assert took == [["ev-0", "ev-1"], ["ev-2", "ev-3"], ["ev-4", "ev-0"]]
    assert "3 more match" in run("replay", "--status", "ignored", "--limit", 2, "--dry-run").stdout


def test_done_events_are_replayed_only_by_name(world: World, run: Any) -> None:
    world.chargebee.create_customer(id="acme", email="a@example.test")
    world.settle()
    [row] = world.inbox()
    assert document(run("replay", "--type", row.event_type, "--json"))["matched"] == 0
    assert notes(world) == []
    assert document(run("replay", row.id, "--json"))["replayed"] == 1
    assert document(run("replay", row.id, "--json"))["replayed"] == 0  # it waits already
    assert len(notes(world)) == 1


def test_event_is_set_back_once_and_only_in_its_own_connection(world: World) -> None:
    inbox_id = deliver(world, "ev-1")
    with world.services.transaction() as db:
        assert [inbox.replay(db, name, [inbox_id]) for name in ("other", "default", "default")] == [[], [inbox_id], []]


@pytest.mark.parametrize("words", [(), ("1", "--status", "failed"), ("1", "--type", "coupon_created")])
def test_replay_wants_either_ids_or_a_choice(run: Any, words: tuple[str, ...]) -> None:
    result = run("replay", *words)
    assert result.exit_code == 2
    assert "ids, or choose them" in result.stderr


def test_connections_do_not_see_each_others_events(world: World, run: Any) -> None:
    inbox_id = deliver(world, "ev-1")
    with world.services.transaction() as db:
        db.execute(update(InboxEvent).values(connection="other"))
    for words in (("show", inbox_id), ("replay", inbox_id)):
        result = run(*words)
        assert (result.exit_code, result.stderr) == (1, f"Error: connection default has no event {inbox_id}\n")
    assert document(run("list", "--json"))["events"] == []
    assert document(run("replay", "--status", "ignored", "--json"))["matched"] == 0
    assert document(run("replay", inbox_id, "--connection", "other", "--json"))["replayed"] == 1


def test_list_narrows_down_and_begins_with_the_newest(world: World, run: Any) -> None:
    deliver(world, "ev-1")
    deliver(world, "ev-2", "customer_created", customer={"id": "acme", "email": "a@example.test"})
    deliver(world, "ev-3")

    def listed(*words: str) -> list[str]:
        return [one["event_id"] for one in document(run("list", *words, "--json"))["events"]]

    assert listed() == ["ev-3", "ev-2", "ev-1"]
    assert listed("--limit", "1") == ["ev-3"]
    assert listed("--status", "done") == ["ev-2"]
    assert listed("--type", "coupon_created") == ["ev-3", "ev-1"]
    assert listed("--source", "m3ter") == []
    assert listed("--id", "ev-2") == ["ev-2"]
    assert run("list", "--status", "lost").exit_code == 2


def test_show_names_what_the_event_opened_and_keeps_personal_data_back(world: World, run: Any) -> None:
    customer = {"id": "acme", "email": "a@example.test", "first_name": "Jürgen", "resource_version": 1}
    inbox_id = deliver(world, "ev-1", "customer_created", customer=customer)
    text = run("show", inbox_id).stdout
    assert "customer_created" in text
    assert "customer acme  succeeded" in text
    assert "Jürgen" not in text + run("show", inbox_id, "--json").stdout
    assert "body" not in document(run("show", inbox_id, "--json"))
    assert '"first_name": "Jürgen"' in run("show", inbox_id, "--body").stdout
    assert document(run("show", inbox_id, "--body", "--json"))["body"]["content"]["customer"]["first_name"] == "Jürgen"


def test_body_cannot_steer_the_terminal_nor_stop_the_printing(world: World, run: Any) -> None:
    inbox_id = deliver(world, "ev-1", coupon={"id": "c", "name": "\x9b2J \ud800"})
    assert r'"name": "\x9b2J \ud800"' in run("show", inbox_id, "--body").stdout


def test_quarantined_bodies_are_listed_with_their_reasons(world: World, run: Any) -> None:
    assert world.post("/webhooks/chargebee", b'{"id": "ev-1", "email": "a@example.test"') == 400
    [found] = document(run("quarantine", "--json"))["quarantine"]
    assert (found["source"], found["bytes"], "body" in found) == ("chargebee", 40, False)
    assert "not JSON" in found["reason"]
    text = run("quarantine").stdout
    assert "not JSON" in text
    assert "example.test" not in text
    assert "example.test" in run("quarantine", "--body").stdout
    assert document(run("quarantine", "--connection", "other", "--json"))["quarantine"] == []


@pytest.mark.parametrize("command", ["show", "replay"])
def test_number_that_no_event_can_have_is_refused(run: Any, command: str) -> None:
    assert run(command, 2**63).exit_code == 2


def test_what_may_be_lost_stays_in_sight_until_somebody_has_backfilled(world: World, run: Any) -> None:
    assert document(run("missed", "--json"))["read_until"] is None
    catch_up.take_missed_events(world.services, "default")
    assert document(run("missed", "--json"))["lost_since"] is None
    for _ in range(2):
        world.box.advance(2 * catch_up.LISTED_FOR)
        catch_up.take_missed_events(world.services, "default")
    lost = run("missed")
    assert (lost.exit_code, "may be lost: a backfill is needed" in lost.stdout) == (1, True)
    assert f"Events since {START:%Y-%m-%d}" in lost.stdout
    with world.services.transaction() as db:
        assert not catch_up.backfilled(db, "other")
    assert document(run("missed", "--backfilled", "--json"))["lost_since"] is None
    assert document(run("missed", "--backfilled", "--json"))["exit_status"] == 0
    catch_up.take_missed_events(world.services, "default")
    assert "No event is known to be lost." in run("missed").stdout
    with world.services.reading() as db:
        assert list(db.scalars(select(AuditEntry.action))) == ["events missed --backfilled"]
