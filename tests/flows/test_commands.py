"""The command line, run as a person or a script runs it, against the world that the web edge and the workers see."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import delete, select, update

from connector import mirror, transfers
from connector.cli import common, main
from connector.models import AuditEntry, MirroredResource
from connector.services import Services
from tests.flows.conftest import CALLS_PRICE, FEE_PRICE, PRO, START, SUPPORT, UNMAPPED, World

pytestmark = pytest.mark.alternate_databases

Command = Callable[..., Result]


@pytest.fixture
def connector(world: World, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `connector …` with this world's services."""
    monkeypatch.setattr(common, "wire", lambda: world.services)
    for module in ("syncs", "mappings", "bills", "processes", "scope"):
        monkeypatch.setattr(f"connector.cli.{module}.wire", lambda: world.services)
    return lambda *words, **options: CliRunner().invoke(main, list(words), **options)


def document(result: Result) -> Any:
    """The one JSON document on standard output."""
    return json.loads(result.stdout)


def test_parked_sync_is_listed_shown_with_its_calls_and_retried(world: World, connector: Command) -> None:
    world.chargebee.create_customer(id="shy", company="Shy")
    world.settle()
    [listed] = document(connector("syncs", "list", "--status", "parked", "--json"))["syncs"]
    assert (listed["kind"], listed["subject"], listed["cause"]) == ("customer", "shy", "no_email")
    shown = document(connector("syncs", "show", str(listed["id"]), "--json"))
    assert [(one["number"], one["outcome"]) for one in shown["tries"]] == [(1, "parked")]
    text = connector("syncs", "show", str(listed["id"])).stdout
    assert "no e-mail" in text
    assert "M3TER_FALLBACK_EMAIL" in text
    assert document(connector("syncs", "retry", str(listed["id"]), "--dry-run", "--json"))["status"] == "parked"
    assert [document(connector("syncs", "retry", str(listed["id"]), "--json"))["became"] for _ in range(2)] == [
        "queued",
        "already queued",
    ]
    world.work()
    assert world.sync("customer", "shy").runs == 2


def test_several_syncs_are_retried_by_their_ids_each_once(world: World, connector: Command) -> None:
    for customer_id in ("shy", "coy", "sly"):
        world.chargebee.create_customer(id=customer_id, company=customer_id)
    world.chargebee.create_customer(id="fine", email="f@example.test")
    world.settle()
    shy, coy, _, fine = (str(world.sync("customer", one).id) for one in ("shy", "coy", "sly", "fine"))
    words = ("syncs", "retry", shy, coy, fine, "--json")
    assert [one["id"] for one in document(connector(*words, "--dry-run"))["syncs"]] == [int(shy), int(coy)]
    assert len(world.syncs(status="parked")) == 3
    assert document(connector(*words))["became"] == {shy: "queued", coy: "queued"}
    assert document(connector(*words))["became"] == {}
    assert [queue.count for queue in world.queues()] == [2, 0]
    world.work()
    assert [world.sync("customer", one).runs for one in ("shy", "coy", "sly", "fine")] == [2, 2, 1, 1]
    with world.services.reading() as db:
        assert [entry.subject for entry in db.scalars(select(AuditEntry))] == ["customer shy", "customer coy"]


def test_nothing_is_retried_when_one_of_the_ids_is_wrong(world: World, connector: Command) -> None:
    world.chargebee.create_customer(id="shy", company="Shy")
    world.settle()
    result = connector("syncs", "retry", str(world.sync("customer", "shy").id), "998", "999")
    assert (result.exit_code, result.stderr) == (1, "Error: there is no sync 998, 999\n")
    assert world.sync("customer", "shy").status == "parked"


def test_attempt_tells_what_it_did_and_which_calls_it_made(world: World, connector: Command) -> None:
    world.sign_up()
    world.settle()
    row = world.sync("subscription", "sub-1")
    shown = document(connector("syncs", "show", str(row.id), "--json"))
    [tried] = shown["tries"]
    assert tried["did"] == [f"started account plan sub-1/{PRO}/1767225600 from 2026-01-01 00:00"]
    assert [(call["provider"], call["method"], call["status"]) for call in tried["calls"]][-1] == ("m3ter", "POST", 200)


def test_skipped_sync_is_closed_with_its_reason_and_audited(world: World, connector: Command) -> None:
    world.chargebee.create_customer(id="shy", company="Shy")
    world.settle()
    sync_id = world.sync("customer", "shy").id
    assert connector("syncs", "skip", str(sync_id)).exit_code == 2
    assert document(connector("syncs", "skip", str(sync_id), "--reason", "test customer", "--json"))["skipped"] is True
    row = world.sync("customer", "shy")
    assert row.status == "superseded"
    assert "test customer" in str(row.text)
    assert connector("syncs", "skip", str(sync_id), "--reason", "again").exit_code == 1
    with world.services.reading() as db:
        assert [entry.action for entry in db.scalars(select(AuditEntry))] == ["syncs skip"]


@pytest.mark.parametrize(
    "words", [("syncs", "show", "999"), ("syncs", "retry", "999"), ("bills", "show", "none"), ("bills", "plan", "none")]
)
def test_what_is_not_there_is_said_in_one_sentence(connector: Command, words: tuple[str, ...]) -> None:
    result = connector(*words)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.stderr
    assert set(document(connector(*words, "--json"))) == {"error", "code", "next_step"}


@pytest.mark.parametrize("word", ["--status", "--kind"])
def test_filter_that_names_nothing_there_is_is_refused_with_what_there_is(connector: Command, word: str) -> None:
    result = connector("syncs", "list", word, "bogus")
    assert result.exit_code == 2
    assert "'bogus' is not one of" in result.stderr


def test_mapping_is_checked_against_both_catalogues_before_it_counts(world: World, connector: Command) -> None:
    def refused(*words: str) -> str:
        result = connector("mappings", "add", *words)
        assert result.exit_code == 1
        return result.stderr

    assert "Chargebee has no item price" in refused("Plan", world.ids["beta"], "ItemPrice", "nonsense")
    assert "m3ter has no Plan" in refused("Plan", "0" * 36, "ItemPrice", UNMAPPED)
    assert "m3ter has no Pricing" in refused("Pricing", "0" * 36, "ItemPrice", CALLS_PRICE)
    assert "a plan or addon" in refused("Plan", world.ids["beta"], "ItemPrice", CALLS_PRICE)
    assert "needs a charge item's price" in refused("LineItemType", "USAGE", "ItemPrice", PRO)
    assert "in USD, not EUR" in refused("LineItemType", "USAGE", "ItemPrice", CALLS_PRICE, "--currency", "EUR")
    assert "not one of m3ter's line item types" in refused("LineItemType", "USEAGE", "ItemPrice", CALLS_PRICE)
    assert "is not one of" in refused("Sandwich", "x", "ItemPrice", PRO)
    assert "is mapped to a Chargebee Customer" in refused("Account", "x", "ItemPrice", PRO)
    assert "m3ter has no Account" in refused_account(world, connector)


def refused_account(world: World, connector: Command) -> str:
    world.chargebee.create_customer(id="known", email="k@example.test")
    return connector("mappings", "add", "Account", "0" * 36, "Customer", "known").stderr


def test_mappings_come_back_from_csv_as_they_went_out(world: World, connector: Command, tmp_path: Path) -> None:
    file = tmp_path / "mappings.csv"
    before = document(connector("mappings", "list", "--json"))["mappings"]
    assert connector("mappings", "export", "--file", str(file)).exit_code == 0
    assert document(connector("mappings", "import", str(file), "--dry-run", "--json")) == {
        "mapped": 0,
        "checked": 4,
        "woken": [],
    }
    assert document(connector("mappings", "import", str(file), "--json"))["mapped"] == 4
    after = document(connector("mappings", "list", "--json"))["mappings"]
    assert [one | {"made_by": ""} for one in after] == [one | {"made_by": ""} for one in before]


def test_csv_with_one_fault_changes_nothing_and_names_the_line(
    world: World, connector: Command, tmp_path: Path
) -> None:
    file = tmp_path / "mappings.csv"
    header = "m3ter_entity,m3ter_id,external_table,external_id,currency\n"
    file.write_text(f"{header}NotMetered,*,ItemPrice,{UNMAPPED},\nPlan,,ItemPrice,{PRO},\n")
    assert "line 3" in connector("mappings", "import", str(file)).stderr
    file.write_text(
        f"{header}NotMetered,*,ItemPrice,{UNMAPPED},\nPlan,{'0' * 36},ItemPrice,{PRO},\nPlan,x,ItemPrice,nonsense,\n"
    )
    said = connector("mappings", "import", str(file)).stderr
    assert PRO in said
    assert "nonsense" in said
    listed = document(connector("mappings", "list", "--json"))["mappings"]
    assert UNMAPPED not in {one["external_id"] for one in listed}


def test_item_price_can_change_from_not_metered_to_a_plan(world: World, connector: Command) -> None:
    assert connector("mappings", "add", "NotMetered", "*", "ItemPrice", UNMAPPED).exit_code == 0
    assert connector("mappings", "add", "Plan", world.ids["beta"], "ItemPrice", UNMAPPED).exit_code == 0
    listed = document(connector("mappings", "list", "--json"))["mappings"]
    assert [one["m3ter_entity"] for one in listed if one["external_id"] == UNMAPPED] == ["Plan"]
    assert [one["m3ter_entity"] for one in listed if one["external_id"] == SUPPORT] == ["NotMetered"]


@pytest.fixture
def approved(world: World) -> tuple[str, str]:
    """An approved bill of two lines and the invoice that waits for it."""
    world.sign_up()
    world.settle()
    invoice_id = world.renew()
    return world.bill({"subtotal": 7}, {"subtotal": 8, "segment": {"region": "eu"}}), invoice_id


def test_plan_prints_what_a_push_does_and_push_does_just_that(
    world: World, connector: Command, approved: tuple[str, str]
) -> None:
    bill_id, invoice_id = approved
    plan = document(connector("bills", "plan", bill_id, "--json"))
    assert [(one["amount"], one["item_price_id"], one["invoice_id"]) for one in plan["charges"]] == [
        ("7.00", CALLS_PRICE, invoice_id),
        ("8.00", CALLS_PRICE, invoice_id),
    ]
    assert (plan["total"], plan["problems"], world.charges(invoice_id)) == ("15.00", [], [])
    assert document(connector("bills", "push", bill_id, "--dry-run", "--json"))["plan"] == plan["plan"]
    assert connector("bills", "push", bill_id, "--plan", "another", "--yes").exit_code == 1
    assert world.charges(invoice_id) == []
    pushed = document(connector("bills", "push", bill_id, "--plan", plan["plan"], "--yes", "--json"))
    assert pushed["status"] == "succeeded"
    assert world.charges(invoice_id) == [(CALLS_PRICE, 700), (CALLS_PRICE, 800)]
    world.poll()
    assert len(world.charges(invoice_id)) == 2


def test_push_asks_before_money_moves(world: World, connector: Command, approved: tuple[str, str]) -> None:
    bill_id, invoice_id = approved
    refused = connector("bills", "push", bill_id, input="n\n")
    assert refused.exit_code == 1
    assert "15.00" in refused.stderr
    assert world.charges(invoice_id) == []
    agreed = connector("bills", "push", bill_id, "--json", input="y\n")
    assert document(agreed)["status"] == "succeeded"


def test_push_that_a_worker_made_while_the_question_stood_is_not_made_again(
    world: World, connector: Command, approved: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bill_id, invoice_id = approved
    monkeypatch.setattr("click.confirm", lambda *_, **__: world.poll())
    late = connector("bills", "push", bill_id)
    assert (late.exit_code, "another push of bill" in late.stderr) == (1, True)
    assert world.charges(invoice_id) == [(CALLS_PRICE, 700), (CALLS_PRICE, 800)]
    assert world.sync("bill", bill_id).status == "succeeded"


def test_receipt_is_shown_line_by_line(world: World, connector: Command, approved: tuple[str, str]) -> None:
    bill_id, invoice_id = approved
    world.poll()
    text = connector("bills", "show", bill_id).stdout
    assert "Bill 15.00 USD (exactly 15), added 15.00 USD: equal" in text
    assert text.count(invoice_id) == 3
    shown = document(connector("bills", "show", bill_id, "--json"))
    assert shown["receipt"]["equal"] is True
    assert shown["under_way"] == []


def test_bill_with_a_problem_says_what_to_do_and_exits_with_one(world: World, connector: Command) -> None:
    world.sign_up()
    world.settle()
    world.renew()
    bill_id = world.bill({"aggregationId": None, "lineItemType": "STANDING_CHARGE"})
    result = connector("bills", "plan", bill_id)
    assert result.exit_code == 1
    assert "connector mappings add LineItemType STANDING_CHARGE" in result.stdout
    assert connector("bills", "push", bill_id, "--yes").exit_code == 1
    connector("mappings", "add", "LineItemType", "STANDING_CHARGE", "ItemPrice", FEE_PRICE)
    assert connector("bills", "push", bill_id, "--yes").exit_code == 0


def test_bill_from_before_the_installation_is_left_alone_until_a_person_pushes_it(
    world: World, connector: Command
) -> None:
    assert world.services.installed_at == datetime(2026, 1, 1, tzinfo=UTC)
    world.sign_up()
    world.settle()
    invoice_id = world.renew()
    bill_id = world.bill({"subtotal": 7})
    world.m3ter.bills[bill_id] |= {"startDate": "2025-11-01", "endDate": "2025-12-01"}
    world.poll()
    assert "left alone" in str(world.sync("bill", bill_id).text)
    assert world.charges(invoice_id) == []


def test_clock_and_worker_run_once_from_the_command_line(
    world: World, connector: Command, approved: tuple[str, str]
) -> None:
    _, invoice_id = approved
    assert document(connector("clock", "--once", "--json")) == {"ticked": True}
    assert document(connector("worker", "--queue", "bills", "--burst", "--json"))["worked"] is True
    assert len(world.charges(invoice_id)) == 2


def test_scope_is_checked_by_reason_without_asking_anybody(
    world: World, connector: Command, make_services: Callable[..., Services]
) -> None:
    world.sign_up("acme", "sub-1", business_entity_id="eu")
    world.sign_up("beta", "sub-2", items=(PRO, SUPPORT))
    world.settle()
    everything = document(connector("scope", "check", "--json"))
    assert everything["subscriptions"] == {"in": 2, "out": 0, "reasons": []}
    assert everything["customers"] == {"in": 2, "out": 0, "reasons": []}
    assert everything["item_prices"] == {"in": 2, "out": 0, "reasons": []}
    world.services = make_services(SCOPE_CURRENCIES="EUR", SCOPE_BUSINESS_ENTITIES="eu")
    world.forget_calls()
    checked = document(connector("scope", "check", "--json"))
    assert checked["subscriptions"]["out"] == 2
    no_entity = "business entity; SCOPE_BUSINESS_ENTITIES asks for eu"
    other_currency = "currency of the subscription is USD; SCOPE_CURRENCIES asks for EUR"
    assert [(one["reason"].endswith(no_entity), one["number"]) for one in checked["customers"]["reasons"]] == [
        (True, 2)
    ]
    reasons = {one["reason"]: one["number"] for one in checked["subscriptions"]["reasons"]}
    assert reasons.pop(other_currency) == 1
    assert list(reasons.values()) == [1]
    assert world.calls("chargebee") + world.calls("m3ter") == []


def test_scope_names_what_is_left_out_only_when_asked(
    world: World, connector: Command, make_services: Callable[..., Services]
) -> None:
    world.sign_up("acme", "sub-1")
    world.settle()
    world.services = make_services(SCOPE_CURRENCIES="EUR")
    reason = "currency of the subscription is USD; SCOPE_CURRENCIES asks for EUR"
    assert document(connector("scope", "check", "--json"))["subscriptions"]["reasons"] == [
        {"reason": reason, "number": 1}
    ]
    assert document(connector("scope", "check", "--list", "--json"))["subscriptions"]["reasons"] == [
        {"reason": reason, "number": 1, "ids": ["sub-1"]}
    ]
    assert "sub-1" not in connector("scope", "check").stdout
    text = connector("scope", "check", "--list").stdout
    assert reason in text
    assert "sub-1" in text
    assert "acme" not in text  # it is in scope


def test_subscription_is_judged_with_what_its_customer_says(
    world: World, connector: Command, make_services: Callable[..., Services]
) -> None:
    world.chargebee.create_customer(id="acme", email="a@example.test", cf_metered="yes")
    world.sign_up("acme", "sub-1")
    world.sign_up("beta", "sub-2")
    world.settle()
    world.services = make_services(SCOPE_CUSTOM_FIELD="cf_metered=yes")
    checked = document(connector("scope", "check", "--list", "--json"))
    assert [one["ids"] for one in checked["subscriptions"]["reasons"]] == [["sub-2"]]
    assert [one["ids"] for one in checked["customers"]["reasons"]] == [["beta"]]


def test_item_prices_are_judged_by_the_family_seen_of_each(
    world: World, connector: Command, make_services: Callable[..., Services]
) -> None:
    world.sign_up("acme", "sub-1", items=(PRO, SUPPORT))
    world.settle()
    with world.services.transaction() as db:
        mirror.keep(db, "default", "item_price", {"id": SUPPORT, "item_family_id": "people"}, START)
        db.execute(delete(MirroredResource).filter_by(resource="item_price", resource_id=PRO))
    world.services = make_services(SCOPE_ITEM_FAMILIES="saas")
    checked = document(connector("scope", "check", "--list", "--json"))["item_prices"]
    assert (checked["in"], checked["out"]) == (0, 2)
    assert {one["ids"][0]: one["reason"].split(",")[0].split(";")[0] for one in checked["reasons"]} == {
        PRO: "its family is not known yet",
        SUPPORT: "its family is people",
    }


def test_scope_leaves_out_other_connections_and_what_was_transferred(world: World, connector: Command) -> None:
    world.sign_up("acme", "sub-1")
    world.sign_up("beta", "sub-2")
    world.settle()
    with world.services.transaction() as db:
        transfers.note(db, "default", "subscription", "sub-1", "sub-2", START)
        db.execute(update(MirroredResource).filter_by(resource_id="beta").values(connection="other"))
    checked = document(connector("scope", "check", "--json"))
    assert (checked["customers"]["in"], checked["subscriptions"]["in"]) == (1, 1)
