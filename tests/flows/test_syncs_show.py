"""One sync explained on one screen, and many let go on at once."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import insert, select

from connector import audit, syncs
from connector.cli import main
from connector.models import Attempt, AuditEntry
from connector.services import Services
from tests.flows.conftest import PRO, SCALE, UNMAPPED, World

pytestmark = pytest.mark.alternate_databases

Command = Callable[..., Result]


@pytest.fixture
def connector(world: World, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `connector …` with this world's services."""
    monkeypatch.setattr("connector.cli.syncs.wire", lambda: world.services)
    return lambda *words: CliRunner().invoke(main, list(map(str, words)))


def document(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def lines(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [line.rstrip() for line in result.stdout.splitlines()]


def keep_tries(world: World, sync_id: int, *tries: dict[str, Any]) -> None:
    """Further tries of a sync, each with what it names."""
    parts = {"wanted": [], "found": [], "did": [], "calls": [], "outcome": "pending"}
    with world.services.transaction() as db:
        for number, one in enumerate(tries, 2):
            db.execute(
                insert(Attempt).values(
                    {"sync_id": sync_id, "number": number, "started_at": world.services.now()} | parts | one
                )
            )


def call(path: str = "/accounts", status: int | None = 200, error: str | None = None) -> dict[str, Any]:
    return {
        "provider": "m3ter", "operation": "x", "method": "GET", "path": path, "status": status, "error": error,
        "milliseconds": 10,
    }  # fmt: skip


# Show


def test_one_screen_says_what_a_sync_wanted_found_did_and_why(world: World, connector: Command) -> None:
    world.sign_up()
    world.settle()
    world.box.advance(timedelta(days=9))
    world.chargebee.update_subscription("sub-1", item_price_ids=[SCALE])
    world.settle()
    row = world.sync("subscription", "sub-1")
    text = lines(connector("syncs", "show", row.id))
    assert text[0] == f"Sync {row.id}: subscription sub-1, succeeded since 2026-01-10 00:00:00 UTC"
    [event] = [one for one in world.inbox() if one.event_type == "subscription_changed"]
    assert f"Trigger     event {event.event_id} (subscription_changed, inbox {event.id})" in text
    assert "Runs next   not any more: a new event about the subject opens a new sync" in text
    [did] = [line for line in text if line.startswith("    · replaced account plan")]
    assert f"Why         {did[6:]}" in text
    wanted, found, done, calls = (text.index(f"  {name}") for name in ("Wanted", "Found", "Did", "Calls"))
    assert [PRO in line or SCALE in line for line in text[wanted + 1 : found]] == [True, True, False]
    assert text[found + 1] == f"    · account plan sub-1/{PRO}/1767225600 from 2026-01-01 00:00 to open end"
    assert "told all of that" in text[done - 1]
    assert text[done + 1 : calls] == [did]
    assert all("m3ter POST" in line and " ms" in line for line in text[calls + 1 :])
    assert len(text) <= 24


def test_script_gets_stable_keys(world: World, connector: Command) -> None:
    world.sign_up()
    world.settle()
    row = world.sync("subscription", "sub-1")
    shown = document(connector("syncs", "show", row.id, "--json"))
    assert set(syncs.as_json(row)) | {"trigger_event", "tries"} == set(shown)
    assert (shown["trigger_event"]["type"], shown["trigger_event"]["source"]) == ("subscription_created", "chargebee")
    [tried] = shown["tries"]
    assert set(tried) == {
        "number", "started_at", "finished_at", "outcome", "cause", "text", "wanted", "found", "did", "calls",
    }  # fmt: skip
    assert [len(tried[name]) for name in ("wanted", "found", "did")] == [2, 1, 1]


def test_sync_that_no_event_opened_has_none(world: World, connector: Command) -> None:
    world.sign_up(items=(UNMAPPED,))
    world.settle()
    with world.services.transaction() as db:
        now = world.services.now()
        made = syncs.ask(db, connection="default", kind="bill", subject="b", trigger="approved bill polled", now=now)
    assert document(connector("syncs", "show", made, "--json"))["trigger_event"] is None
    assert "Trigger     approved bill polled" in lines(connector("syncs", "show", made))


def test_parked_sync_says_what_would_wake_it(world: World, connector: Command) -> None:
    world.sign_up(items=(UNMAPPED,))
    world.settle()
    row = world.sync("subscription", "sub-1")
    text = lines(connector("syncs", "show", row.id))
    assert (
        f"Runs next   as soon as there is a mapping of ItemPrice {UNMAPPED}, or with `connector syncs retry {row.id}`"
        in text
    )
    assert f"Why         unmapped_item_price: no m3ter plan is mapped to {UNMAPPED}" in text
    assert any(line.startswith("Next step   `connector mappings add Plan") for line in text)
    assert [f"  {name}: –" in text for name in ("Did", "Calls")] == [True, True]


def test_parked_sync_that_nothing_wakes_says_so(world: World, connector: Command) -> None:
    world.chargebee.create_customer(id="shy", company="Shy")
    world.settle()
    row = world.sync("customer", "shy")
    assert f"Runs next   not by itself, or with `connector syncs retry {row.id}`" in lines(
        connector("syncs", "show", row.id)
    )


def test_waiting_bill_says_when_it_looks_again_and_what_it_waits_for(world: World, connector: Command) -> None:
    world.sign_up()
    world.settle()
    world.box.advance(to=datetime(2026, 1, 31, 12, tzinfo=UTC))
    account = world.m3ter.account_by_code("acme")
    [bill_id] = world.m3ter.run_bill_job(account_ids=[account["id"]], bill_date="2026-02-01")["billIds"]
    world.m3ter.add_line(bill_id, **world.usage_line())
    world.m3ter.approve(bill_id)
    world.poll()
    [row] = world.syncs(kind="bill")
    assert row.status == "waiting"
    [runs_next] = [line for line in lines(connector("syncs", "show", row.id)) if line.startswith("Runs next")]
    assert (
        runs_next
        == "Runs next   at 2026-01-31 12:10:00 UTC, or as soon as there is a pending invoice of subscription sub-1"
    )
    world.box.advance(timedelta(hours=1))
    [runs_next] = [line for line in lines(connector("syncs", "show", row.id)) if line.startswith("Runs next")]
    assert runs_next.startswith("Runs next   as soon as a worker is free, or as soon as there is a pending invoice")


def test_running_sync_says_when_another_worker_takes_over(world: World, connector: Command) -> None:
    seen: list[list[str]] = []

    def look(services: Services, run: syncs.Run) -> str:
        with services.transaction() as db:
            syncs.ask(db, connection="default", kind="customer", subject="a", trigger="again", now=services.now())
        seen.append(lines(connector("syncs", "show", run.sync_id)))
        return ""

    with world.services.transaction() as db:
        now = world.services.now()
        made = syncs.ask(db, connection="default", kind="customer", subject="a", trigger="test", now=now)
    syncs.attempt(world.services, made, {"customer": look})
    assert (
        "Runs next   it is running; should its worker die, another takes over at 2026-01-01 00:02:00 UTC, "
        "and once more after that, since something arrived meanwhile" in seen[0]
    )


def test_older_tries_take_one_line_each_the_newest_first(world: World, connector: Command) -> None:
    world.chargebee.create_customer(id="shy", company="Shy")
    world.settle()
    sync_id = world.sync("customer", "shy").id
    keep_tries(
        world, sync_id, *({"cause": "not_now", "text": f"answer {number}", "did": ["x"]} for number in range(2, 10))
    )
    text = lines(connector("syncs", "show", sync_id))
    earlier = text[text.index("Earlier tries") + 1 :]
    assert [line.split()[0] for line in earlier] == ["8.", "7.", "6.", "5.", "4.", "…"]
    assert earlier[0] == "  8. 2026-01-01 00:00:00 UTC  pending  not_now: answer 8"
    assert earlier[-1] == "  … and 3 more, with --all"
    assert len(text) <= 40
    everything = lines(connector("syncs", "show", sync_id, "--all"))
    assert [line.split(",")[0] for line in everything if line.startswith("Try ")] == [
        f"Try {n}" for n in range(9, 0, -1)
    ]
    assert "Earlier tries" not in everything
    assert "Try 3, 2026-01-01 00:00:00 UTC: pending. answer 3" in everything


def test_reason_stands_there_once(world: World, connector: Command) -> None:
    world.chargebee.create_customer(id="shy", company="Shy")
    world.settle()
    row = world.sync("customer", "shy")
    text = lines(connector("syncs", "show", row.id))
    assert [line for line in text if str(row.text) in line] == [f"Why         no_email: {row.text}"]
    assert "Try 1, 2026-01-01 00:00:00 UTC to 00:00:00: parked" in text


def test_repeated_calls_are_counted_and_long_lists_cut(world: World, connector: Command) -> None:
    world.chargebee.create_customer(id="shy", company="Shy")
    world.settle()
    sync_id = world.sync("customer", "shy").id
    calls = [call(), call(status=503), call(), call(status=None, error="no answer"), call("/plans"), call("/plans")]
    keep_tries(world, sync_id, {"did": [f"step {number}" for number in range(12)], "calls": calls})
    text = lines(connector("syncs", "show", sync_id))
    assert text[text.index("  Calls") + 1 : text.index("  Calls") + 5] == [
        "    · m3ter GET /accounts → 200 × 2, 20 ms",
        "    · m3ter GET /accounts → 503, 10 ms",
        "    · m3ter GET /accounts → no answer, 10 ms",
        "    · m3ter GET /plans → 200 × 2, 20 ms",
    ]
    assert [line for line in text if "· step" in line] == [f"    · step {number}" for number in range(8)]
    assert "    … and 4 more, with --all" in text
    assert sum("· step" in line for line in lines(connector("syncs", "show", sync_id, "--all"))) == 12


# Many at once


@pytest.fixture
def parked(world: World) -> dict[str, int]:
    """Three syncs that need a person, for two reasons, by their subjects."""
    for customer_id in ("shy", "coy"):
        world.chargebee.create_customer(id=customer_id, company=customer_id)
    world.sign_up(items=(UNMAPPED,))
    world.settle()
    return {row.subject: row.id for row in world.syncs(status="parked")}


def audited(world: World) -> list[str]:
    with world.services.reading() as db:
        return list(db.scalars(select(AuditEntry.subject).where(AuditEntry.action == "syncs retry")))


def test_list_narrows_down_by_cause(connector: Command, parked: dict[str, int]) -> None:
    found = document(connector("syncs", "list", "--cause", "no_email", "--json"))["syncs"]
    assert [one["subject"] for one in found] == ["coy", "shy"]
    assert document(connector("syncs", "list", "--cause", "nothing", "--json"))["syncs"] == []


def test_dry_run_counts_by_cause_lists_and_changes_nothing(
    world: World, connector: Command, parked: dict[str, int]
) -> None:
    shown = document(connector("syncs", "retry", "--all", "--dry-run", "--json"))
    assert (shown["matched"], shown["dry_run"]) == (3, True)
    assert shown["by_cause"] == [
        {"kind": "customer", "cause": "no_email", "syncs": 2},
        {"kind": "subscription", "cause": "unmapped_item_price", "syncs": 1},
    ]
    text = connector("syncs", "retry", "--all", "--dry-run").stdout
    assert "3 sync(s) would be retried." in text
    assert all(subject in text for subject in parked)
    assert {row.id for row in world.syncs(status="parked")} == set(parked.values())
    assert audited(world) == []


def test_all_of_one_cause_go_on_once_with_a_note_each(world: World, connector: Command, parked: dict[str, int]) -> None:
    first = document(connector("syncs", "retry", "--all", "--cause", "no_email", "--json"))
    assert first["became"] == {str(parked["shy"]): "queued", str(parked["coy"]): "queued"}
    assert document(connector("syncs", "retry", "--all", "--cause", "no_email", "--json"))["became"] == {}
    assert audited(world) == ["customer shy", "customer coy"]
    assert [queue.count for queue in world.queues()] == [2, 0]
    world.work()
    assert [world.sync("customer", subject).runs for subject in ("shy", "coy")] == [2, 2]
    assert world.sync("subscription", "sub-1").runs == 1


def test_two_who_click_at_once_run_each_once(
    world: World, connector: Command, parked: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("syncs", "retry", "--all", "--cause", "no_email", "--json")
    became: list[set[str]] = []

    def ada() -> str:
        monkeypatch.setattr(audit, "actor", lambda: "bob")  # bob comes between ada's look and her click
        became.append(set(document(connector(*words))["became"].values()))
        return "ada"

    monkeypatch.setattr(audit, "actor", ada)
    became.append(set(document(connector(*words))["became"].values()))
    assert became == [{"queued"}, {"already queued"}]
    world.work()
    assert [world.sync("customer", subject).runs for subject in ("shy", "coy")] == [2, 2]
    with world.services.reading() as db:
        notes = db.scalars(select(AuditEntry).where(AuditEntry.action == "syncs retry"))
        assert [(note.actor, note.detail["became"]) for note in notes] == [
            *[("bob", "queued")] * 2, *[("ada", "already queued")] * 2,
        ]  # fmt: skip


def test_kind_and_subject_and_connection_narrow_down_what_goes_on(
    world: World, connector: Command, parked: dict[str, int]
) -> None:
    def matched(*words: str) -> list[str]:
        shown = document(connector("syncs", "retry", "--all", *words, "--dry-run", "--json"))
        return [one["subject"] for one in shown["syncs"]]

    assert matched("--kind", "subscription") == ["sub-1"]
    assert matched("--subject", "shy") == ["shy"]
    assert matched("--status", "waiting") == []
    assert matched("--connection", "other") == []


def test_limit_says_what_it_leaves_and_the_oldest_go_first(
    world: World, connector: Command, parked: dict[str, int]
) -> None:
    words = ("syncs", "retry", "--all", "--cause", "no_email", "--limit", "1")
    assert "1 more than --limit 1: run it again for those." in connector(*words, "--dry-run").stdout
    assert "1 sync(s) queued. 1 more than --limit 1" in connector(*words).stdout
    assert [row.subject for row in world.syncs(status="parked", cause="no_email")] == ["coy"]
    assert connector(*words).stdout.rstrip() == "1 sync(s) queued."


def test_what_is_put_off_can_be_brought_forward_and_what_is_due_is_left(world: World, connector: Command) -> None:
    world.box.faults.order("m3ter", "create_account", "status", count=9, status=503)
    world.chargebee.create_customer(id="acme", email="a@example.test")
    world.settle()
    words = ("syncs", "retry", "--all", "--status", "pending", "--cause", "not_now", "--json")
    [became] = document(connector(*words))["became"].values()
    assert became == "queued"
    assert document(connector(*words))["became"] == {}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param((), "Name the syncs, or say --all.", id="neither one nor all"),
        pytest.param(("1", "--all", "--cause", "x"), "Name the syncs, or say --all.", id="one and all"),
        pytest.param(("--all",), "--all needs --cause", id="all without a cause"),
    ],
)
def test_retry_wants_one_sync_or_all_of_a_cause(connector: Command, words: tuple[str, ...], said: str) -> None:
    result = connector("syncs", "retry", *words)
    assert result.exit_code == 2
    assert said in result.stderr


def test_number_that_no_row_can_have_is_refused(connector: Command) -> None:
    for word in ("show", "retry"):
        assert connector("syncs", word, 2**63).exit_code == 2
