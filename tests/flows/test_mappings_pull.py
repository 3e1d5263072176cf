"""The local mappings rebuilt from what m3ter shows: what is missing, what is there twice, what contradicts."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import delete, select, update

from connector.cli import common, main
from connector.mappings import table
from connector.mappings.pairs import Pair
from connector.models import Account, AccountPlan, AuditEntry, Mapping
from tests.flows.conftest import CALLS_PRICE, PRO, SCALE, SUPPORT, UNMAPPED, World

pytestmark = pytest.mark.alternate_databases

Command = Callable[..., Result]


@pytest.fixture
def connector(world: World, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `connector …` with this world's services."""
    monkeypatch.setattr(common, "wire", lambda: world.services)
    monkeypatch.setattr("connector.cli.mappings.wire", lambda: world.services)
    return lambda *words, **options: CliRunner().invoke(main, list(words), **options)


@pytest.fixture
def pull(connector: Command) -> Callable[..., Any]:
    """Pulls, and answers the document; `exit_status` in it is the command's own."""

    def pulled(*words: str) -> Any:
        result = connector("mappings", "pull", *words, "--json")
        document = json.loads(result.stdout)
        assert document["exit_status"] == result.exit_code
        return document

    return pulled


def show(world: World, entity: str, m3ter_id: str, table: str, external_id: str, system: str = "Chargebee") -> str:
    """Somebody makes a mapping in m3ter's console; answers its id."""
    body = {
        "m3terEntity": entity, "m3terId": m3ter_id, "externalSystem": system, "externalTable": table,
        "externalId": external_id,
    }  # fmt: skip
    return str(world.m3ter.create("external_mappings", body)["id"])


def rows(world: World) -> set[tuple[str, str, str, str, str | None]]:
    """The local table, as much of it as m3ter shows, with the id under which it shows it."""
    with world.services.reading() as db:
        return {
            (row.m3ter_entity, row.m3ter_id, row.external_table, row.external_id, row.m3ter_mapping_id)
            for row in db.scalars(select(Mapping))
        }


def forget(world: World, *conditions: Any) -> None:
    """Local rows are lost."""
    with world.services.transaction() as db:
        db.execute(delete(Mapping).where(*conditions))


def account(world: World, code: str) -> str:
    """An account that m3ter has of somebody else's making."""
    return str(world.m3ter.create_account(code, code, emailAddress="a@example.test")["id"])


def test_lost_rows_come_back_as_they_were_and_work_goes_on(world: World, pull: Callable[..., Any]) -> None:
    world.sign_up()
    world.settle()
    invoice_id = world.renew()
    world.bill()
    world.poll()
    before = {row for row in rows(world) if row[4] is not None}
    assert {row[0] for row in before} == {"Account", "AccountPlan", "Bill", "BillItem"}
    forget(world, Mapping.made_by == "connector")
    assert pull("--dry-run")["inserted"] == pull()["inserted"]
    assert {row for row in rows(world) if row[4] is not None} == before
    again = pull()
    assert (again["there"], again["inserted"], again["corrected"]) == (len(before), [], [])
    world.forget_calls()
    world.chargebee.update_subscription("sub-1", item_price_ids=[SCALE])
    world.settle()
    assert world.calls("m3ter", "create_account") == []
    assert len(world.m3ter.external_mappings) == len(before) + 1
    assert len(world.charges(invoice_id)) == 1


def test_plan_that_a_person_mapped_in_m3ter_lets_the_parked_sync_go_on(world: World, pull: Callable[..., Any]) -> None:
    world.sign_up(items=(UNMAPPED,))
    world.settle()
    assert world.sync("subscription", "sub-1").cause == "unmapped_item_price"
    mapping_id = show(world, "Plan", world.ids["beta"], "ItemPrice", UNMAPPED)
    assert pull("--dry-run")["woken"] == []
    found = pull()
    assert found["woken"] == [world.sync("subscription", "sub-1").id]
    assert ("Plan", world.ids["beta"], "ItemPrice", UNMAPPED, mapping_id) in rows(world)
    assert world.queues()[0].count == 1
    world.work()
    assert [plan["planId"] for plan in world.plans()] == [world.ids["beta"]]


def test_account_that_a_person_mapped_in_m3ter_is_taken(world: World, pull: Callable[..., Any]) -> None:
    theirs = world.m3ter.create_account("acme", "Somebody's", emailAddress="a@example.test")["id"]
    world.sign_up()
    world.settle()
    assert world.sync("customer", "acme").cause == "account_code_taken"
    show(world, "Account", theirs, "Customer", "acme")
    pull()
    world.work()
    assert [plan["accountId"] for plan in world.plans()] == [theirs]


def test_pull_makes_no_account_plans(world: World, pull: Callable[..., Any]) -> None:
    show(world, "AccountPlan", "a" * 36, "Subscription", f"sub-9 - {PRO}")
    assert pull()["inserted"] == [f"AccountPlan {'a' * 36} → Subscription sub-9 - {PRO}"]
    with world.services.reading() as db:
        assert db.scalars(select(AccountPlan)).all() == []


def test_dry_run_changes_nothing(world: World, pull: Callable[..., Any]) -> None:
    for _ in range(2):
        show(world, "Plan", world.ids["beta"], "ItemPrice", UNMAPPED)
    before = rows(world)
    found = pull("--dry-run", "--remove-doubles")
    assert (found["dry_run"], len(found["inserted"]), found["doubles_removed"]) == (True, 1, 0)
    assert rows(world) == before
    assert len(world.m3ter.external_mappings) == 2
    with world.services.reading() as db:
        assert db.scalars(select(AuditEntry)).all() == []


def test_id_that_is_missing_or_another_is_corrected(world: World, pull: Callable[..., Any]) -> None:
    world.sign_up()
    world.settle()
    before = rows(world)
    with world.services.transaction() as db:
        db.execute(update(Mapping).where(Mapping.m3ter_entity == "Account").values(m3ter_mapping_id="gone"))
        db.execute(update(Mapping).where(Mapping.m3ter_entity == "AccountPlan").values(m3ter_mapping_id=None))
    assert len(pull("--dry-run")["corrected"]) == 2
    assert len(pull()["corrected"]) == 2
    assert rows(world) == before
    assert pull()["corrected"] == []


def test_of_doubles_the_oldest_is_kept_and_the_younger_are_deleted_on_request(
    world: World, pull: Callable[..., Any]
) -> None:
    made = []
    for _ in range(3):
        made.append(show(world, "Account", "a" * 36, "Customer", "acme"))
        world.wait(hours=1)
    found = pull()
    assert (found["inserted"], sorted(found["doubles"])) == (
        [f"Account {'a' * 36} → Customer acme"],
        sorted(made[1:]),
    )
    assert found["doubles_removed"] == 0
    with world.services.transaction() as db:
        db.execute(update(Mapping).where(Mapping.m3ter_entity == "Account").values(m3ter_mapping_id=made[2]))
    assert pull("--remove-doubles")["doubles_removed"] == 2
    assert list(world.m3ter.external_mappings) == made[:1]
    assert ("Account", "a" * 36, "Customer", "acme", made[0]) in rows(world)
    assert pull("--remove-doubles")["doubles"] == []


@pytest.mark.parametrize(
    "sides",
    [
        pytest.param([("Account", "a" * 36, "Customer", "acme"), ("Account", "b" * 36, "Customer", "acme")],
                     id="two accounts of a customer"),
        pytest.param([("Account", "a" * 36, "Customer", "acme"), ("Account", "a" * 36, "Customer", "other")],
                     id="two customers of an account"),
        pytest.param([("Plan", "a" * 36, "ItemPrice", UNMAPPED), ("Plan", "b" * 36, "ItemPrice", UNMAPPED)],
                     id="two plans of an item price"),
        pytest.param([("AccountPlan", "a" * 36, "Subscription", "x - y"), ("AccountPlan", "a" * 36, "Subscription", "x - z")],
                     id="two items of an account plan"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_listed_and_not_taken(
    world: World, pull: Callable[..., Any], sides: list[tuple[str, str, str, str]]
) -> None:
    before = rows(world)
    ids = [show(world, *side) for side in sides]
    found = pull("--remove-doubles")
    [both] = found["contradictions"]
    assert sorted(both) == sorted(
        f"in m3ter: {entity} {m3ter_id} → {table} {external_id} ({mapping_id})"
        for (entity, m3ter_id, table, external_id), mapping_id in zip(sides, ids, strict=True)
    )
    assert (found["exit_status"], found["inserted"]) == (1, [])
    assert rows(world) == before
    assert len(world.m3ter.external_mappings) == 2


def test_what_contradicts_the_local_table_is_listed_and_not_taken(world: World, pull: Callable[..., Any]) -> None:
    world.sign_up()
    world.settle()
    before = rows(world)
    [ours] = [row for row in before if row[0] == "Account"]
    other = account(world, "other")
    for words in (
        ("Account", other, "Customer", "acme"),
        ("Plan", world.ids["beta"], "ItemPrice", PRO),
        ("Plan", world.ids["beta"], "ItemPrice", SUPPORT),
    ):
        show(world, *words)
    found = pull()
    assert (len(found["contradictions"]), found["there"]) == (3, 2)
    [accounts] = [sides for sides in found["contradictions"] if "Account" in sides[0]]
    assert accounts[0] == f"here: Account {ours[1]} → Customer acme, in m3ter as {ours[4]}"
    assert accounts[1].startswith(f"in m3ter: Account {other} → Customer acme (")
    assert any("here: NotMetered * → ItemPrice" in side for sides in found["contradictions"] for side in sides)
    assert rows(world) == before


def test_what_stands_here_of_another_connection_contradicts_nothing(world: World, pull: Callable[..., Any]) -> None:
    theirs = Pair("Account", "b" * 36, "Customer", "acme")
    with world.services.transaction() as db:
        db.execute(table.insert_of(db, "other", theirs, made_by="test", now=world.services.now()))
    ours = account(world, "acme")
    show(world, "Account", ours, "Customer", "acme")
    found = pull()
    assert (found["inserted"], found["contradictions"]) == ([f"Account {ours} → Customer acme"], [])


def test_text_shows_both_sides_and_what_to_do(world: World, connector: Command) -> None:
    for identifier in ("a" * 36, "b" * 36):
        show(world, "Account", identifier, "Customer", "acme")
    show(world, "AccountPlan", "c" * 36, "Subscription", "x - y")
    show(world, "AccountPlan", "c" * 36, "Subscription", "x - y")
    show(world, "Plan", "d" * 36, "ItemPrice", UNMAPPED)
    result = connector("mappings", "pull")
    assert result.exit_code == 1
    said = " ".join(result.stdout.split())
    for words in (
        "1 inserted",
        "Contradiction, not taken",
        "a" * 36,
        "b" * 36,
        "--remove-doubles",
        "m3ter has no Plan",
    ):
        assert words in said


def test_what_is_said_of_one_customer_here_is_not_what_m3ter_shows_for_everybody(
    world: World, connector: Command, pull: Callable[..., Any]
) -> None:
    words = ("mappings", "add", "Plan", world.ids["beta"], "ItemPrice", UNMAPPED, "--customer", "acme", "--unchecked")
    assert connector(*words).exit_code == 0
    show(world, "Plan", world.ids["beta"], "ItemPrice", UNMAPPED)
    assert pull()["inserted"] == [f"Plan {world.ids['beta']} → ItemPrice {UNMAPPED}"]
    with world.services.reading() as db:
        kept = db.scalars(select(Mapping).where(Mapping.external_id == UNMAPPED).order_by(Mapping.id))
        assert [(row.customer_id, row.m3ter_mapping_id is None) for row in kept] == [("acme", True), ("*", False)]


@pytest.mark.parametrize(
    ("entity", "m3ter_id", "into", "external_id"),
    [
        pytest.param("Account", "a" * 36, "Customer", "acme", id="one customer, two accounts"),
        pytest.param("Account", None, "Customer", "another", id="one account, two customers"),
        pytest.param("AccountPlan", None, "Subscription", "sub-9 - x", id="one account plan, two subscriptions"),
    ],
)
def test_a_local_row_that_m3ter_does_not_show_contradicts_by_the_id_that_it_shares(
    world: World, pull: Callable[..., Any], entity: str, m3ter_id: str | None, into: str, external_id: str
) -> None:
    world.sign_up()
    world.settle()
    [known] = [row for row in rows(world) if row[0] == entity]
    world.m3ter.external_mappings.clear()
    show(world, entity, m3ter_id or known[1], into, external_id)
    before = rows(world)
    found = pull()
    [[here, there]] = found["contradictions"]
    assert here.startswith("here: ")
    assert there.startswith("in m3ter: ")
    assert (found["inserted"], found["corrected"], rows(world)) == ([], [], before)


def test_of_a_mapping_for_several_times_the_first_is_the_one_that_m3ter_shows(
    world: World, pull: Callable[..., Any]
) -> None:
    pair = Pair("Plan", world.ids["beta"], "ItemPrice", UNMAPPED)
    mapping_id = show(world, pair.m3ter_entity, pair.m3ter_id, pair.external_table, pair.external_id)
    with world.services.transaction() as db:
        for one in (replace(pair, valid_from=world.services.now()), pair):
            db.execute(table.insert_of(db, "default", one, made_by="test", now=world.services.now()))
        first = update(Mapping).where(Mapping.external_id == UNMAPPED, Mapping.valid_from == pair.valid_from)
        db.execute(first.values(m3ter_mapping_id=mapping_id))
    found = pull()
    assert (found["there"], found["corrected"], found["inserted"], found["contradictions"]) == (1, [], [], [])


def test_lost_account_rows_contradict_as_well(world: World, pull: Callable[..., Any]) -> None:
    world.sign_up()
    world.settle()
    other = account(world, "other")
    forget(world, Mapping.m3ter_entity == "Account")
    for mapping_id, one in list(world.m3ter.external_mappings.items()):
        if one["m3terEntity"] == "Account":
            world.m3ter.delete("external_mappings", mapping_id)
    show(world, "Account", other, "Customer", "acme")
    [said] = pull()["refused"]
    assert "customer acme has the account" in said
    assert not [row for row in rows(world) if row[0] == "Account"]


def test_people_rows_are_checked_like_any_that_they_add(world: World, pull: Callable[..., Any]) -> None:
    world.chargebee.create_item_price(id="calls-EUR", name="calls-EUR", item_id="usage", currency_code="EUR", price=0)
    plans = world.ids
    show(world, "Plan", plans["beta"], "ItemPrice", CALLS_PRICE)
    show(world, "Plan", plans["beta"], "ItemPrice", "nonsense")
    show(world, "Plan", "0" * 36, "ItemPrice", UNMAPPED)
    show(world, "Product", plans["product"], "ItemPrice", CALLS_PRICE)
    show(world, "Aggregation", plans["calls"], "ItemPrice", "calls-EUR")
    world.chargebee.create_item_price(id="calls-2", name="calls-2", item_id="usage", currency_code="USD", price=0)
    show(world, "Aggregation", plans["calls"], "ItemPrice", "calls-2")
    found = pull()
    assert set(found["inserted"]) == {
        f"Product {plans['product']} → ItemPrice {CALLS_PRICE}",
        f"Aggregation {plans['calls']} → ItemPrice calls-EUR",
    }
    text = "\n".join(found["refused"])
    assert len(found["refused"]) == 4
    for words in (
        "a plan or addon",
        "Chargebee has no item price",
        "m3ter has no Plan",
        f"there is Aggregation {plans['calls']}",
    ):
        assert words in text
    with world.services.reading() as db:
        kept = db.scalars(select(Mapping).where(Mapping.external_id == "calls-EUR")).one()
    assert (kept.currency, kept.made_by.startswith("cli:")) == ("EUR", True)


def test_lost_plan_mapping_is_not_replaced_by_another_plan_for_what_has_been_metered(
    world: World, pull: Callable[..., Any]
) -> None:
    world.sign_up()
    world.settle()
    forget(world, Mapping.external_id == PRO)
    mapping_id = show(world, "Plan", world.ids["scale"], "ItemPrice", PRO)
    [said] = pull()["refused"]
    assert f"{PRO}: 1 account plan" in said
    world.m3ter.delete("external_mappings", mapping_id)
    show(world, "Plan", world.ids["pro"], "ItemPrice", PRO)
    assert pull()["refused"] == []
    assert len(pull()["inserted"]) == 0


def test_other_systems_and_kinds_are_left_alone(world: World, pull: Callable[..., Any]) -> None:
    before = rows(world)
    show(world, "Account", "a" * 36, "Customer", "acme", system="Stripe")
    show(world, "Account", "a" * 36, "Subscription", "sub-1")
    show(world, "Meter", "a" * 36, "Item", "x")
    found = pull("--remove-doubles")
    assert (found["left_alone"], found["inserted"], found["contradictions"]) == (2, [], [])
    assert rows(world) == before
    assert len(world.m3ter.external_mappings) == 3


def test_every_page_is_read_and_every_row_kept(world: World, pull: Callable[..., Any]) -> None:
    for number in range(450):
        show(world, "BillItem", f"{number:036}", "Invoice", f"li_{number}")
    world.forget_calls()
    assert len(pull()["inserted"]) == 450
    assert len(world.calls("m3ter", "list_external_mappings")) == 3
    assert pull()["there"] == 450


def test_of_doubles_a_lost_answer_finds_the_one_that_a_pull_would_keep(world: World, pull: Callable[..., Any]) -> None:
    world.box.faults.order("m3ter", "create_external_mapping", "cut")
    world.chargebee.create_customer(id="acme", company="Acme", email="a@example.test")
    world.settle()
    [oldest] = world.m3ter.external_mappings.values()
    world.wait(seconds=1)
    show(world, oldest["m3terEntity"], oldest["m3terId"], oldest["externalTable"], oldest["externalId"])
    world.wait(hours=1)
    assert oldest["id"] in {row[4] for row in rows(world)}
    assert (pull()["corrected"], len(pull()["doubles"])) == ([], 1)


def test_pull_is_audited_with_its_counts(world: World, pull: Callable[..., Any]) -> None:
    show(world, "Plan", world.ids["beta"], "ItemPrice", UNMAPPED)
    pull()
    with world.services.reading() as db:
        [entry] = db.scalars(select(AuditEntry))
        assert db.scalars(select(Account)).all() == []
    assert (entry.action, entry.detail["inserted"], entry.detail["contradictions"]) == ("mappings pull", 1, 0)
