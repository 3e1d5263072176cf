"""Setting up what item prices mean: for one customer, for a time, again and otherwise; through the command line."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from connector import transfers
from connector.cli import common, main
from connector.mappings import files, plans, set_up, table
from connector.mappings.kinds import TABLES
from connector.mappings.pairs import Pair
from connector.models import AuditEntry, SubscriptionState
from connector.remapping import listing
from tests.flows.conftest import CALLS_PRICE, PRO, SCALE, SUPPORT, UNMAPPED, World

pytestmark = pytest.mark.alternate_databases

Command = Callable[..., Result]
FEB_1 = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.fixture
def connector(world: World, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `connector …` with this world's services."""
    monkeypatch.setattr(common, "wire", lambda: world.services)
    for module in ("syncs", "mappings"):
        monkeypatch.setattr(f"connector.cli.{module}.wire", lambda: world.services)
    return lambda *words, **options: CliRunner().invoke(main, list(words), **options)


def document(result: Result) -> Any:
    """The one JSON document on standard output of a command that went well."""
    assert result.exit_code == 0, result.stdout + result.stderr
    return json.loads(result.stdout)


def refused(result: Result) -> str:
    """What a command said that changed nothing."""
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Traceback" not in result.stderr
    return result.stderr.replace("\n", " ")


def periods(world: World, customer_id: str = "acme") -> list[tuple[str, str, str | None]]:
    """Plan, start and end of each of the customer's account plans in m3ter."""
    names = {plan_id: name for name, plan_id in world.ids.items()}
    return [
        (names[one["planId"]], one["startDate"][:10], (one.get("endDate") or "")[:10])
        for one in world.plans(customer_id)
    ]


def people_said(connector: Command) -> set[tuple[str, str, str | None, str | None]]:
    """What is said of PRO: entity, customer, first day and end."""
    listed = document(connector("mappings", "list", "--json"))["mappings"]
    return {
        (one["m3ter_entity"], one["customer_id"], one["valid_from"], one["valid_until"])
        for one in listed
        if one["external_id"] == PRO
    }


# For one customer, and for a time


def test_a_customers_own_mapping_gives_its_subscriptions_another_plan(world: World, connector: Command) -> None:
    added = connector(
        "mappings", "add", "Plan", world.ids["beta"], "ItemPrice", PRO, "--customer", "acme", "--unchecked"
    )
    assert document(connector("mappings", "list", "--json"))
    assert added.exit_code == 0
    for customer_id in ("acme", "other"):
        world.sign_up(customer_id, f"sub-{customer_id}")
    world.settle()
    assert periods(world) == [("beta", "2026-01-01", "")]
    assert periods(world, "other") == [("pro", "2026-01-01", "")]


def test_a_customer_can_be_left_unmetered(world: World, connector: Command) -> None:
    document(
        connector("mappings", "add", "NotMetered", "*", "ItemPrice", PRO, "--customer", "acme", "--unchecked", "--json")
    )
    world.sign_up()
    world.sign_up("other", "sub-other")
    world.settle()
    assert periods(world) == []
    assert periods(world, "other") == [("pro", "2026-01-01", "")]
    assert {row.status for row in world.syncs()} == {"succeeded"}


def test_a_mapping_from_a_day_on_splits_the_plan_there_and_keeps_the_time_before(
    world: World, connector: Command
) -> None:
    world.sign_up()
    world.settle()
    words = ("mappings", "add", "Plan", world.ids["scale"], "ItemPrice", PRO, "--from", "2026-02-01")
    [woken] = document(connector(*words, "--json"))["woken"]
    world.work()
    assert periods(world) == [("pro", "2026-01-01", "2026-02-01"), ("scale", "2026-02-01", "")]
    assert world.sync("subscription", "sub-1").id == woken
    assert people_said(connector) == {
        ("Plan", "*", None, None),
        ("Plan", "*", "2026-02-01T00:00:00+00:00", None),
    }
    assert document(connector(*words, "--json"))["woken"] == []


def test_a_customers_mapping_that_ends_gives_way_to_everybodys(world: World, connector: Command) -> None:
    world.sign_up()
    world.settle()
    words = ("mappings", "add", "Plan", world.ids["scale"], "ItemPrice", PRO, "--customer", "acme")
    document(connector(*words, "--from", "2026-02-01", "--until", "2026-03-01", "--json"))
    world.work()
    assert periods(world) == [
        ("pro", "2026-01-01", "2026-02-01"),
        ("scale", "2026-02-01", "2026-03-01"),
        ("pro", "2026-03-01", ""),
    ]


def test_time_of_which_nothing_is_said_parks_until_something_is(world: World, connector: Command) -> None:
    document(
        connector("mappings", "add", "Plan", world.ids["pro"], "ItemPrice", PRO, "--until", "2026-02-01", "--json")
    )
    world.sign_up()
    world.settle()
    parked = world.sync("subscription", "sub-1")
    assert parked.cause == "unmapped_item_price"
    words = ("mappings", "add", "Plan", world.ids["scale"], "ItemPrice", PRO, "--from", "2026-02-01", "--json")
    assert document(connector(*words))["woken"] == [parked.id]
    world.work()
    assert world.sync("subscription", "sub-1").status == "succeeded"
    assert periods(world) == [("pro", "2026-01-01", "2026-02-01"), ("scale", "2026-02-01", "")]


def test_the_row_of_the_same_price_customer_and_day_is_corrected_not_doubled(world: World, connector: Command) -> None:
    words = ("ItemPrice", PRO, "--customer", "acme", "--from", "2026-02-01", "--unchecked", "--json")
    document(connector("mappings", "add", "Plan", world.ids["scale"], *words))
    document(connector("mappings", "add", "NotMetered", "*", *words, "--until", "2026-02-02T12:00:00+02:00"))
    assert people_said(connector) == {
        ("Plan", "*", None, None),
        ("NotMetered", "acme", "2026-02-01T00:00:00+00:00", "2026-02-02T10:00:00+00:00"),
    }


def test_an_item_that_was_not_metered_gets_its_plan_without_anybody_asking_for_it(
    world: World, connector: Command
) -> None:
    world.sign_up(items=(PRO, SUPPORT))
    world.settle()
    assert periods(world) == [("pro", "2026-01-01", "")]
    product = world.m3ter.create_product("support")["id"]
    plan = world.m3ter.create_plan(world.m3ter.create_plan_template(product)["id"], "support")
    world.ids["support"] = plan["id"]
    document(connector("mappings", "add", "Plan", plan["id"], "ItemPrice", SUPPORT, "--json"))
    world.work()
    assert sorted(periods(world)) == [("pro", "2026-01-01", ""), ("support", "2026-01-01", "")]


def test_only_subscriptions_with_the_item_and_of_the_customer_are_looked_at_again(
    world: World, connector: Command
) -> None:
    world.sign_up("acme", "sub-1")
    world.sign_up("acme", "sub-2", (SCALE,))
    world.sign_up("other", "sub-3")
    world.settle()
    words = ("mappings", "add", "Plan", world.ids["beta"], "ItemPrice", PRO, "--from", "2026-02-01", "--json")
    woken = document(connector(*words, "--customer", "acme"))["woken"]
    assert [row.subject for row in world.syncs(status="pending")] == ["sub-1"]
    assert [row.id for row in world.syncs(status="pending")] == woken
    world.work()
    document(connector(*words))
    assert {row.subject for row in world.syncs(status="pending")} == {"sub-1", "sub-3"}


# What has been metered is not rewritten by accident


def test_another_plan_for_all_time_is_refused_where_account_plans_stand(world: World, connector: Command) -> None:
    world.sign_up()
    world.sign_up("other", "sub-2")
    world.settle()
    for entity, m3ter_id in (("Plan", world.ids["scale"]), ("NotMetered", "*")):
        said = refused(connector("mappings", "add", entity, m3ter_id, "ItemPrice", PRO))
        assert f"{PRO}: 2 account plans" in said
        assert "--from <day>" in said
        assert "--rewrite" in said
        assert refused(connector("mappings", "add", entity, m3ter_id, "ItemPrice", PRO, "--dry-run")) == said
    assert people_said(connector) == {("Plan", "*", None, None)}
    assert world.syncs(status="pending") == []


def test_only_the_account_plans_in_its_scope_count(world: World, connector: Command) -> None:
    for customer_id in ("acme", "other"):
        world.sign_up(customer_id, f"sub-{customer_id}")
    world.settle()
    words = ("mappings", "add", "Plan", world.ids["scale"], "ItemPrice", PRO)
    assert f"{PRO}: 1 account plan (" in refused(connector(*words, "--customer", "acme"))
    document(connector("mappings", "add", "Plan", world.ids["pro"], "ItemPrice", PRO, "--customer", "acme", "--json"))
    document(connector("mappings", "add", "Plan", world.ids["pro"], "ItemPrice", PRO, "--customer", "other", "--json"))
    document(connector(*words, "--json"))
    world.work()
    assert periods(world) == periods(world, "other") == [("pro", "2026-01-01", "")]


def test_with_rewrite_the_plan_is_another_from_the_beginning(world: World, connector: Command) -> None:
    world.sign_up()
    world.settle()
    words = ("mappings", "add", "Plan", world.ids["scale"], "ItemPrice", PRO)
    document(connector(*words, "--rewrite", "--json"))
    world.work()
    assert [(plan, start) for plan, start, end in periods(world) if end != start] == [("scale", "2026-01-01")]
    assert people_said(connector) == {("Plan", "*", None, None)}


def test_the_same_mapping_again_asks_for_nothing(world: World, connector: Command) -> None:
    world.sign_up()
    world.settle()
    assert document(connector("mappings", "add", "Plan", world.ids["pro"], "ItemPrice", PRO, "--json"))["woken"] == []
    assert world.syncs(status="pending") == []


def test_a_mapping_that_only_ends_is_no_rewriting(world: World, connector: Command) -> None:
    world.sign_up()
    world.settle()
    document(
        connector("mappings", "add", "Plan", world.ids["pro"], "ItemPrice", PRO, "--until", "2026-03-01", "--json")
    )
    world.work()
    assert world.sync("subscription", "sub-1").cause == "unmapped_item_price"


def test_a_customers_mapping_that_gets_an_end_is_no_rewriting_either(world: World, connector: Command) -> None:
    words = (
        "mappings",
        "add",
        "Plan",
        world.ids["scale"],
        "ItemPrice",
        PRO,
        "--customer",
        "acme",
        "--unchecked",
        "--json",
    )
    document(connector(*words))
    world.sign_up()
    world.settle()
    document(connector(*words, "--until", "2026-03-01"))
    world.work()
    assert periods(world) == [("scale", "2026-01-01", "2026-03-01"), ("pro", "2026-03-01", "")]


def test_a_mapping_taken_away_and_added_otherwise_is_still_a_rewriting(world: World, connector: Command) -> None:
    world.sign_up()
    world.settle()
    row = ("ItemPrice", PRO)
    document(connector("mappings", "remove", "Plan", world.ids["pro"], *row, "--reason", "test", "--rewrite", "--json"))
    assert "1 account plan" in refused(connector("mappings", "add", "Plan", world.ids["scale"], *row))
    document(connector("mappings", "add", "Plan", world.ids["pro"], *row, "--json"))


# Taking a mapping away


def test_a_persons_mapping_can_be_taken_away_with_its_reason(world: World, connector: Command) -> None:
    words = ("mappings", "remove", "Plan", world.ids["pro"], "ItemPrice", PRO)
    assert connector(*words).exit_code == 2
    assert document(connector(*words, "--reason", "withdrawn", "--dry-run", "--json"))["removed"] is False
    assert people_said(connector) == {("Plan", "*", None, None)}
    assert document(connector(*words, "--reason", "withdrawn", "--json"))["removed"] is True
    assert people_said(connector) == set()
    with world.services.reading() as db:
        [entry] = db.scalars(select(AuditEntry))
    assert (entry.action, entry.detail) == ("mappings remove", {"reason": "withdrawn"})
    assert entry.subject == f"Plan {world.ids['pro']} → ItemPrice {PRO}"
    assert "there is no mapping" in refused(connector(*words, "--reason", "again"))


def test_only_the_row_that_is_named_goes(world: World, connector: Command) -> None:
    for limits in (("--customer", "acme"), ("--from", "2026-02-01"), ("--customer", "acme", "--from", "2026-02-01")):
        words = ("Plan", world.ids["pro"], "ItemPrice", PRO, *limits)
        document(connector("mappings", "add", *words, "--unchecked", "--json"))
    assert len(people_said(connector)) == 4
    words = ("Plan", world.ids["pro"], "ItemPrice", PRO, "--customer", "acme", "--from", "2026-02-01")
    document(connector("mappings", "remove", *words, "--reason", "test", "--json"))
    assert people_said(connector) == {
        ("Plan", "*", None, None),
        ("Plan", "acme", None, None),
        ("Plan", "*", "2026-02-01T00:00:00+00:00", None),
    }


def test_what_has_been_metered_keeps_its_mapping_unless_that_is_meant(world: World, connector: Command) -> None:
    world.sign_up()
    world.settle()
    world.wait(days=1)
    words = ("mappings", "remove", "Plan", world.ids["pro"], "ItemPrice", PRO, "--reason", "test")
    said = refused(connector(*words))
    assert "1 account plan" in said
    assert "--until <day>" in said
    assert refused(connector(*words, "--dry-run")) == said
    document(connector(*words, "--rewrite", "--json"))
    world.work()
    assert world.sync("subscription", "sub-1").cause == "unmapped_item_price"


def test_a_change_that_was_planned_can_be_taken_back(world: World, connector: Command) -> None:
    world.sign_up()
    world.settle()
    row = ("Plan", world.ids["scale"], "ItemPrice", PRO, "--from", "2026-02-01")
    document(connector("mappings", "add", *row, "--json"))
    world.work()
    assert len(document(connector("mappings", "remove", *row, "--reason", "not yet", "--json"))["woken"]) == 1
    world.work()
    assert periods(world)[0] == ("pro", "2026-01-01", "")


def test_the_connectors_own_rows_are_not_taken_away(world: World, connector: Command) -> None:
    world.sign_up()
    world.settle()
    [account] = world.m3ter.accounts
    words = ("mappings", "remove", "Account", account, "Customer", "acme", "--reason", "test")
    assert "the connector made this mapping" in refused(connector(*words))


def test_an_account_that_was_taken_over_stays(world: World, connector: Command) -> None:
    account = world.m3ter.create_account("their code", "Acme", emailAddress="a@example.test")
    row = ("Account", account["id"], "Customer", "acme")
    world.chargebee.create_customer(id="acme", company="Acme", email="a@example.test")
    document(connector("mappings", "add", *row, "--json"))
    document(connector("mappings", "remove", *row, "--reason", "a slip", "--json"))
    document(connector("mappings", "add", *row, "--json"))
    world.settle()
    assert "metered under this account already" in refused(connector("mappings", "remove", *row, "--reason", "late"))


def test_what_m3ter_shows_of_a_mapping_goes_with_it_and_changes_with_it(world: World, connector: Command) -> None:
    def shown() -> list[str]:
        rows = world.m3ter.external_mappings.values()
        return [one["m3terId"] for one in rows if one["externalId"] == UNMAPPED]

    in_m3ter = {
        "m3terEntity": "Plan",
        "externalSystem": "Chargebee",
        "externalTable": "ItemPrice",
        "externalId": UNMAPPED,
    }
    world.m3ter.create("external_mappings", in_m3ter | {"m3terId": world.ids["beta"]})
    document(connector("mappings", "pull", "--json"))
    document(connector("mappings", "add", "Plan", world.ids["beta"], "ItemPrice", UNMAPPED, "--json"))
    assert shown() == [world.ids["beta"]]
    document(connector("mappings", "add", "Plan", world.ids["pro"], "ItemPrice", UNMAPPED, "--json"))
    assert shown() == []
    [kept] = [
        one for one in document(connector("mappings", "list", "--json"))["mappings"] if one["external_id"] == UNMAPPED
    ]
    assert kept["m3ter_mapping_id"] is None
    world.m3ter.create("external_mappings", in_m3ter | {"m3terId": world.ids["pro"]})
    document(connector("mappings", "pull", "--json"))
    document(
        connector("mappings", "remove", "Plan", world.ids["pro"], "ItemPrice", UNMAPPED, "--reason", "test", "--json")
    )
    assert shown() == []


def test_a_dry_run_of_what_is_right_changes_nothing(world: World, connector: Command) -> None:
    in_m3ter = {
        "m3terEntity": "Plan",
        "externalSystem": "Chargebee",
        "externalTable": "ItemPrice",
        "externalId": UNMAPPED,
    }
    world.m3ter.create("external_mappings", in_m3ter | {"m3terId": world.ids["beta"]})
    document(connector("mappings", "pull", "--json"))
    before = document(connector("mappings", "list", "--json"))
    words = ("mappings", "add", "Plan", world.ids["pro"], "ItemPrice", UNMAPPED, "--dry-run")
    assert document(connector(*words, "--json")) == {"mapped": 0, "checked": 1, "woken": []}
    assert "nothing was changed" in connector(*words).stdout
    assert document(connector("mappings", "list", "--json")) == before
    assert len(world.m3ter.external_mappings) == 1
    with world.services.reading() as db:
        assert [entry.action for entry in db.scalars(select(AuditEntry))] == ["mappings pull"]


# What cannot be right


def test_each_mistake_has_its_sentence(world: World, connector: Command) -> None:
    def said(*words: str) -> str:
        return refused(connector("mappings", "add", *words))

    plan = ("Plan", world.ids["beta"], "ItemPrice", UNMAPPED)
    charge = ("Aggregation", world.ids["calls"], "ItemPrice", CALLS_PRICE)
    assert "Chargebee has no customer nobody" in said(*plan, "--customer", "nobody")
    assert "the customer's id is empty" in said(*plan, "--customer", " ")
    assert "must end after it begins" in said(*plan, "--from", "2026-02-01", "--until", "2026-02-01")
    assert "'soon' is neither a day like" in said(*plan, "--from", "soon")
    assert "its offset from UTC" in said(*plan, "--until", "2026-02-01T00:00:00")
    assert "cannot be before 1970-01-01" in said(*plan, "--from", "1969-12-31")
    for limit in (("--customer", "acme"), ("--from", "2026-02-01"), ("--until", "2026-02-01")):
        assert "only Plan and NotMetered can be limited" in said(*charge, *limit, "--currency", "USD", "--unchecked")
    assert UNMAPPED not in {one["external_id"] for one in document(connector("mappings", "list", "--json"))["mappings"]}


def test_a_plan_in_another_currency_is_refused(world: World, connector: Command) -> None:
    template = world.m3ter.create_plan_template(world.ids["product"], name="Euro", currency="EUR")
    plan = world.m3ter.create_plan(template["id"], "euro")
    said = refused(connector("mappings", "add", "Plan", plan["id"], "ItemPrice", UNMAPPED))
    assert "the m3ter plan is in EUR, the item price in USD" in said


def test_a_plan_that_m3ter_made_for_one_account_is_not_for_everybody(world: World, connector: Command) -> None:
    account = world.m3ter.create_account("acme", "Acme", emailAddress="a@example.test")
    template = world.m3ter.create_plan_template(world.ids["product"])
    plan = world.m3ter.create_plan(template["id"], "own", accountId=account["id"])
    world.chargebee.create_customer(id="acme", company="Acme", email="a@example.test")
    words = ("mappings", "add", "Plan", plan["id"], "ItemPrice", UNMAPPED)
    assert "for one account only" in refused(connector(*words))
    document(connector(*words, "--customer", "acme", "--json"))


def test_an_account_has_one_customer_and_a_customer_one_account(world: World, connector: Command) -> None:
    world.sign_up()
    world.settle()
    [account] = world.m3ter.accounts
    other = world.m3ter.create_account("other", "Other", emailAddress="o@example.test")["id"]
    world.chargebee.create_customer(id="other", company="Other", email="o@example.test")
    for words in (("Account", account, "Customer", "other"), ("Account", other, "Customer", "acme")):
        assert f"customer acme has the account {account} already" in refused(connector("mappings", "add", *words))


def test_an_account_that_is_taken_over_lets_go_on_what_was_parked(world: World, connector: Command) -> None:
    account = world.m3ter.create_account("acme", "Somebody's", emailAddress="a@example.test")["id"]
    world.sign_up()
    world.settle()
    parked = {row.id for row in world.syncs(status="parked", cause="account_code_taken")}
    woken = document(connector("mappings", "add", "Account", account, "Customer", "acme", "--json"))["woken"]
    assert parked == set(woken) != set()
    world.work()
    assert periods(world) == [("pro", "2026-01-01", "")]


def test_a_file_that_says_two_things_about_the_same_is_refused(
    world: World, connector: Command, tmp_path: Path
) -> None:
    file = tmp_path / "mappings.csv"
    header = "m3ter_entity,m3ter_id,external_table,external_id,currency,customer_id,valid_from,valid_until\n"

    def imported(*lines: str) -> Result:
        file.write_text(header + "\n".join(lines))
        return connector("mappings", "import", str(file), "--unchecked", "--json")

    plan, beta = f"Plan,{world.ids['pro']},ItemPrice,{UNMAPPED},", f"Plan,{world.ids['beta']},ItemPrice,{UNMAPPED},"
    for other in (f"{beta},,,", f"{plan},,,2026-02-01", f"NotMetered,*,ItemPrice,{UNMAPPED},,,,"):
        result = imported(f"{plan},,,", other)
        assert result.exit_code == 1
        assert "another row says" in json.loads(result.stdout)["error"]
    charge = f"Pricing,p,ItemPrice,{CALLS_PRICE},USD,,,"
    assert "another row says" in json.loads(imported(charge, charge.replace(CALLS_PRICE, "x")).stdout)["error"]
    fine = [f"{plan},,,", f"{plan},,,", f"{beta},,2026-02-01,", f"{beta},acme,,", charge, charge.replace("USD", "EUR")]
    assert document(imported(*fine))["mapped"] == 6
    listed = document(connector("mappings", "list", "--json"))["mappings"]
    assert [one["currency"] for one in listed if one["m3ter_entity"] == "Pricing"] == ["USD", "EUR"]


def test_the_currency_of_an_item_price_can_be_corrected(world: World, connector: Command) -> None:
    for currency in ("EUR", "USD"):
        words = ("mappings", "add", "Pricing", "p", "ItemPrice", CALLS_PRICE, "--currency", currency, "--unchecked")
        document(connector(*words, "--json"))
    listed = document(connector("mappings", "list", "--json"))["mappings"]
    assert [one["currency"] for one in listed if one["m3ter_entity"] == "Pricing"] == ["USD"]


def test_limited_mappings_come_back_from_csv_as_they_went_out(world: World, connector: Command, tmp_path: Path) -> None:
    words = ("mappings", "add", "Plan", world.ids["scale"], "ItemPrice", PRO, "--unchecked")
    connector(*words, "--customer", "acme", "--from", "2026-02-01T01:00:00+01:00", "--until", "2026-03-01T10:30:00Z")
    file = tmp_path / "mappings.csv"
    document(connector("mappings", "export", "--file", str(file), "--json"))
    assert f"{PRO},,acme,2026-02-01,2026-03-01T10:30:00+00:00\n" in file.read_text()
    before = document(connector("mappings", "list", "--json"))["mappings"]
    document(connector("mappings", "import", str(file), "--unchecked", "--json"))
    assert document(connector("mappings", "list", "--json"))["mappings"] == before
    cut = document(connector("mappings", "list", "--limit", "1", "--json"))
    assert (cut["mappings"], cut["more"]) == (before[:1], len(before) - 1)
    assert f"{len(before) - 1} more than --limit 1." in connector("mappings", "list", "--limit", "1").stdout
    shown = connector("mappings", "list").stdout
    assert "acme" in shown
    assert "2026-02-01" in shown


# Many, and at once


def test_what_is_asked_twice_of_a_catalogue_is_asked_once(world: World, connector: Command, tmp_path: Path) -> None:
    for customer_id in ("acme", "other"):
        world.chargebee.create_customer(id=customer_id, email=f"{customer_id}@example.test")
    file = tmp_path / "mappings.csv"
    rows = [
        f"Plan,{world.ids['beta']},ItemPrice,{UNMAPPED},{one},{day}"
        for one in ("acme", "other")
        for day in ("", "2026-02-01")
    ]
    file.write_text("m3ter_entity,m3ter_id,external_table,external_id,customer_id,valid_from\n" + "\n".join(rows))
    world.forget_calls()
    document(connector("mappings", "import", str(file), "--json"))
    assert len(world.calls("m3ter")) == 2
    assert len(world.calls("chargebee")) == 3


def test_a_customers_mapping_follows_it_to_another_business_entity(world: World) -> None:
    pair = Pair("Plan", world.ids["beta"], "ItemPrice", PRO, customer_id="acme", valid_from=FEB_1)
    set_up.add(world.services, "default", [pair], made_by="test", check=False)
    with world.services.transaction() as db:
        transfers.note(db, "default", "customer", "acme", "acme-2", world.services.now())
    with world.services.reading() as db:
        choices = plans.plan_choices(db, "default")
    assert choices.pieces(PRO, "acme-2", FEB_1, None) == [(world.ids["beta"], FEB_1, None)]


@pytest.mark.parametrize("price", ["a%", "a_c", 'say "ä"', "back\\slash", "a/b"])
def test_subscriptions_are_found_by_item_prices_of_any_name(world: World, price: str) -> None:
    with world.services.transaction() as db:
        for name in (price, "abc", "axc", "ab/b", "backslash"):
            body = {"customer_id": "acme", "subscription_items": [{"item_price_id": name}]}
            now = world.services.now()
            db.add(
                SubscriptionState(
                    connection="default", subscription_id=name, resource_version=1, body=body, seen_at=now
                )
            )
    set_up.add(world.services, "default", [Pair("NotMetered", "*", "ItemPrice", price)], made_by="test", check=False)
    assert [row.subject for row in world.syncs()] == [price]


def test_what_people_mapped_is_told_apart_in_the_table_as_in_a_file(world: World) -> None:
    with world.services.transaction() as db:
        for number, entity in enumerate((*TABLES, "SomethingNew")):
            for made_by in ("connector", "cli:ada"):
                pair = Pair(entity, f"{entity}-{made_by}", "ItemPrice", f"external-{number}")
                db.execute(table.insert_of(db, "default", pair, made_by=made_by, now=world.services.now()))
        everything, _ = table.listed(db, "default", limit=1000)
        people = [row for row in everything if files.is_peoples(row)]
        assert 0 < len(people) < len(everything)
        assert table.peoples(db, "default") == people
        newest = sorted(people, key=lambda row: -row.id)
        assert listing.peoples(db, "default", limit=1000) == newest
        assert table.peoples(db, "other") == []
