"""`connector setup catalogue`: looks first, makes what is missing once, and takes what is there as it is."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from connector import setup_catalogue
from connector.cli import main
from connector.mappings import charges
from connector.models import AuditEntry
from connector.setup_catalogue import CannotSetUp, Missing, NewItem
from tests.flows.conftest import FEE_PRICE, World

pytestmark = pytest.mark.alternate_databases

Command = Callable[..., Result]
WRITES = ("create_item", "create_item_price")


@pytest.fixture
def setup(world: World, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `connector setup catalogue` for dollars, with further words."""
    monkeypatch.setattr("connector.cli.setup.wire", lambda: world.services)
    words = ("setup", "catalogue", "--family", "saas", "--currency", "USD")
    return lambda *more: CliRunner().invoke(main, [*words, *more])


@pytest.fixture
def metrics(world: World) -> dict[str, str]:
    """Two more aggregations, one of them compound, that nobody has mapped."""
    meter = world.m3ter.create_meter("storage", ["bytes"])["id"]
    return {
        "Aggregation": world.m3ter.create_aggregation(meter, "bytes", code="storage", name="Storage used")["id"],
        "CompoundAggregation": world.m3ter.create_compound_aggregation("calls / 2", "ratio")["id"],
    }


def document(result: Result) -> Any:
    return json.loads(result.stdout)


def writes(world: World) -> list[str]:
    return [call.operation for call in world.calls("chargebee") if call.operation in WRITES]


def mapped(world: World) -> dict[tuple[str, str, str], str]:
    with world.services.reading() as db:
        return charges.charge_prices(db, "default")


@pytest.mark.parametrize("words", [(), ("--dry-run",)])
def test_without_apply_nothing_is_sent(
    world: World, setup: Command, metrics: dict[str, str], words: tuple[str, ...]
) -> None:
    found = document(setup("--json", *words))
    assert [one["id"] for one in found["items"]] == ["m3ter-storage", "m3ter-compound-ratio"]
    assert [one["id"] for one in found["prices"]] == ["m3ter-storage-USD", "m3ter-compound-ratio-USD"]
    assert [(one["m3ter_entity"], one["m3ter_id"]) for one in found["mappings"]] == list(metrics.items())
    assert (found["applied"], found["faults"]) == (False, [])
    text = setup(*words).stdout
    assert "To be made: 2 item(s), 2 price(s), 2 mapping(s). Nothing was sent" in text
    assert "m3ter-compound-ratio-USD" in text
    assert "POST" not in {call.method for call in world.calls("chargebee") + world.calls("m3ter")}
    assert len(mapped(world)) == 1


def test_apply_makes_flat_fee_prices_of_nothing_and_maps_them(
    world: World, setup: Command, metrics: dict[str, str]
) -> None:
    world.chargebee.settings.currencies = ["USD", "EUR"]
    made = document(setup("--currency", "USD,EUR", "--apply", "--json"))
    assert made["applied"] is True
    item = world.chargebee.items["m3ter-storage"]
    assert (item["type"], item["external_name"], item["item_family_id"]) == ("charge", "Storage used", "saas")
    assert (item["enabled_for_checkout"], item["enabled_in_portal"], item["metered"]) == (False, False, False)
    for code in ("USD", "EUR"):
        price = world.chargebee.item_prices[f"m3ter-storage-{code}"]
        assert (price["currency_code"], price["price"], price["pricing_model"]) == (code, 0, "flat_fee")
        assert price["external_name"] == "Storage used"
        for entity, item_id in (("Aggregation", "m3ter-storage"), ("CompoundAggregation", "m3ter-compound-ratio")):
            assert mapped(world)[entity, metrics[entity], code] == f"{item_id}-{code}"
    with world.services.reading() as db:
        noted = list(db.scalars(select(AuditEntry).where(AuditEntry.action == "setup catalogue")))
    # The aggregation that was mapped in dollars has got its price in euros.
    assert len(noted) == 3 + 5 + 5
    assert {"item m3ter-storage", "item price m3ter-storage-EUR"} <= {one.subject for one in noted}


def test_a_second_run_has_nothing_to_do(world: World, setup: Command, metrics: dict[str, str]) -> None:
    assert setup("--apply").stdout == "Made 2 item(s), 2 price(s) and 2 mapping(s).\n"
    world.forget_calls()
    assert setup("--apply").stdout == "Nothing is missing.\n"
    assert setup().stdout == "Nothing is missing.\n"
    assert (len(metrics), writes(world)) == (2, [])


@pytest.mark.parametrize("broken", WRITES)
@pytest.mark.parametrize("kind", ["cut", "refuse"])
def test_a_run_that_died_is_finished_by_the_next(
    world: World, setup: Command, metrics: dict[str, str], broken: str, kind: str
) -> None:
    world.box.faults.order("chargebee", broken, kind, count=1000)
    assert setup("--apply").exit_code == 1
    assert len(mapped(world)) == 1
    world.box.faults.clear()
    assert setup("--apply").exit_code == 0
    assert len([one for one in world.chargebee.items if one.startswith("m3ter-")]) == len(metrics)
    assert len(mapped(world)) == 3


def test_what_somebody_makes_meanwhile_is_taken_if_it_fits(
    world: World, setup: Command, metrics: dict[str, str]
) -> None:
    hide(world)
    world.chargebee.create_item(id="m3ter-storage", type="charge", item_family_id="saas", name="By hand")
    world.chargebee.create_item_price(id="m3ter-storage-USD", item_id="m3ter-storage", currency_code="USD", price=7)
    assert setup("--apply").exit_code == 0
    assert mapped(world)["Aggregation", metrics["Aggregation"], "USD"] == "m3ter-storage-USD"
    assert world.chargebee.items["m3ter-storage"]["name"] == "By hand"
    assert world.chargebee.item_prices["m3ter-storage-USD"]["price"] == 7


@pytest.mark.parametrize(
    ("item", "price", "words"),
    [
        ({"type": "addon"}, {}, "item m3ter-storage is of type addon"),
        ({}, {"pricing_model": "per_unit"}, "priced as per_unit, not flat_fee"),
        ({}, {"status": "archived"}, "m3ter-storage-USD is archived"),
    ],
)
@pytest.mark.parametrize("is_hidden", [False, True])
def test_what_has_our_id_and_does_not_fit_is_named_and_not_mapped(
    world: World, setup: Command, metrics: dict[str, str], item: Any, price: Any, words: str, is_hidden: bool
) -> None:
    if is_hidden:
        hide(world)
    world.chargebee.create_item(**{"id": "m3ter-storage", "type": "charge", "item_family_id": "saas"} | item)
    world.chargebee.create_item_price(**{"id": "m3ter-storage-USD", "item_id": "m3ter-storage"} | price)
    result = setup("--apply")
    assert result.exit_code == 1
    assert words in result.stdout + result.stderr
    assert ("Aggregation", metrics["Aggregation"], "USD") not in mapped(world)
    if not is_hidden:
        assert setup("--json").exit_code == 1
        assert writes(world) == []


def hide(world: World) -> None:
    """The next lists of the catalogue are empty, as if what is made now came after them."""
    real = world.services.connection("default").chargebee
    real.items = real.item_prices = lambda _: []  # type: ignore[method-assign]


def test_another_refusal_is_told_as_it_is(world: World, setup: Command, metrics: dict[str, str]) -> None:
    world.chargebee.settings.currencies = ["USD"]
    result = setup("--currency", "GBP", "--apply")
    assert result.exit_code == 1
    assert "GBP" in result.stderr
    assert (len(metrics), len(mapped(world))) == (2, 1)


def test_a_name_that_another_price_has_is_told_as_it_is(world: World, setup: Command, metrics: dict[str, str]) -> None:
    world.chargebee.create_item_price(id="x", name="m3ter-storage-USD", item_id="usage", currency_code="USD")
    result = setup("--apply")
    assert result.exit_code == 1
    assert "name" in result.stderr
    assert ("Aggregation", metrics["Aggregation"], "USD") not in mapped(world)


def test_a_family_that_there_is_not_is_said_before_anything_is_made(
    world: World, setup: Command, metrics: dict[str, str]
) -> None:
    result = setup("--family", "nonsense")
    assert (result.exit_code, result.stderr) == (1, "Error: Chargebee has no item family nonsense\n")
    assert len(metrics) == 2
    assert setup("--family", "nonsense", "--apply").exit_code == 1
    assert writes(world) == []


def test_line_types_are_set_up_only_when_they_are_named(world: World, setup: Command) -> None:
    assert setup("--apply").stdout == "Nothing is missing.\n"
    assert setup("--line-types", "STANDING_CHARGE,AD_HOC", "--apply").exit_code == 0
    assert mapped(world)["LineItemType", "STANDING_CHARGE", "USD"] == "m3ter-line-standing_charge-USD"
    assert world.chargebee.items["m3ter-line-ad_hoc"]["external_name"] == "Ad hoc"
    refused = setup("--line-types", "USAGE", "--apply")
    assert (refused.exit_code, "USAGE: not a line item type that has no aggregation" in refused.stderr) == (1, True)


def test_bills_that_waited_for_a_mapping_go_on(world: World, setup: Command, metrics: dict[str, str]) -> None:
    world.sign_up()
    world.settle()
    invoice_id = world.renew()
    bill_id = world.bill({"subtotal": 5, "aggregationId": metrics["Aggregation"]})
    world.poll()
    assert world.sync("bill", bill_id).cause == "unmapped_line"
    assert "1 sync(s) go on" in setup("--apply").stdout
    assert sum(queue.count for queue in world.queues()) == 1
    world.work()
    assert world.charges(invoice_id) == [("m3ter-storage-USD", 500)]


def test_mappings_that_counted_so_far_are_named(world: World, setup: Command, metrics: dict[str, str]) -> None:
    world.map("Default", "*", FEE_PRICE, currency="USD")
    found = document(setup("--json"))
    assert found["so_far"] == [f"Default * → ItemPrice {FEE_PRICE}"]
    assert f"Default * → ItemPrice {FEE_PRICE}" in setup().stdout
    assert document(setup("--currency", "EUR", "--json"))["so_far"] == []
    assert len(metrics) == 2


def test_a_plan_with_faults_is_never_applied(world: World) -> None:
    found = Missing(items=(NewItem("m3ter-x", "X"),), faults=("something is wrong",))
    with pytest.raises(CannotSetUp, match="something is wrong"):
        setup_catalogue.apply(world.services, "default", found, item_family_id="saas", who="ada")
    assert writes(world) == []


def test_apply_and_dry_run_contradict_each_other(setup: Command) -> None:
    assert setup("--apply", "--dry-run").exit_code == 2
