"""What the connector calls, and the contract test with the provider's own SDK that shows each of it; as a table too."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import m3ter
import pytest
from chargebee import Chargebee
from m3ter import M3ter

import connector
from connector import mappings
from connector.sandbox import Sandbox

TESTS = Path(__file__).parent
CLIENTS = Path(connector.__file__).parent / "clients"
TABLE = Path(connector.__file__).parents[1] / "var/operations.md"
# How the clients name their calls, which is how the provider's SDK names its methods.
NAMES = {"chargebee": r"[A-Z][A-Za-z]+\.[a-z_]+", "m3ter": r"[a-z_]+\.[a-z0-9_]+"}
# What the SDK names otherwise than m3ter's paths.
SDK_NAMES = {"compoundaggregations.retrieve": "compound_aggregations.retrieve"}
# What has no method in the SDK: the test that shows it all the same, and why there is none.
WITHOUT_METHOD = {
    "account_plans.replace": (
        "test_account_plans_are_attached_ended_listed_and_replaced",
        "not in the SDK: called by its path",
    ),
    "oauth.token": ("test_the_sdk_fetches_a_token_by_itself", "the SDK calls it on its own before the first call"),
}


def called() -> Iterator[tuple[str, str]]:
    """The provider and the name of every operation that the connector's clients call."""
    for provider, name in NAMES.items():
        for node in ast.walk(ast.parse((CLIENTS / f"{provider}.py").read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(name, node.value):
                yield provider, node.value
    # One method looks up whatever a mapping may name.
    for collection in mappings.COLLECTIONS.values():
        yield "m3ter", SDK_NAMES.get(f"{collection}.retrieve", f"{collection}.retrieve")


def sdk_calls() -> dict[tuple[str, str], set[str]]:
    """The tests that call each method of the SDKs, by the provider and the method."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for path in sorted(TESTS.glob("test_*.py")):
        for function in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(function, ast.FunctionDef) or not function.name.startswith("test_"):
                continue
            for node in ast.walk(function):
                sdk, _, method = ast.unparse(node.func).partition(".") if isinstance(node, ast.Call) else ("", "", "")
                if sdk in ("chargebee_sdk", "m3ter_sdk") and re.fullmatch(r"\w+(\.\w+)+", method):
                    found[sdk.removesuffix("_sdk"), method].add(f"{path.stem}::{function.name}")
    return found


CALLED = sorted(set(called()))
TESTED = sdk_calls()


def evidence(provider: str, name: str) -> list[str]:
    """The tests that show this operation."""
    if name in WITHOUT_METHOD:
        wanted = WITHOUT_METHOD[name][0]
        return [
            f"{path.stem}::{wanted}"
            for path in sorted(TESTS.glob("test_*.py"))
            if f"def {wanted}(" in path.read_text(encoding="utf-8")
        ]
    return sorted(TESTED[provider, name]) if (provider, name) in TESTED else []


def test_the_clients_are_read():
    assert {("chargebee", "Invoice.add_charge_item"), ("m3ter", "bills.list"), ("m3ter", "plans.retrieve")} <= {*CALLED}


@pytest.mark.parametrize(("provider", "name"), CALLED, ids=lambda value: value)
def test_what_the_connector_calls_has_a_contract_test(provider: str, name: str):
    assert evidence(provider, name)


@pytest.mark.parametrize("name", [name for name in WITHOUT_METHOD if name != "oauth.token"])
def test_what_is_called_without_a_method_has_none(name: str, m3ter_sdk: M3ter):
    resource, _, method = name.partition(".")
    assert not hasattr(getattr(m3ter_sdk, resource), method)


@pytest.mark.parametrize(("provider", "name"), sorted(TESTED), ids=lambda value: value)
def test_what_is_tested_exists_in_the_sdk(provider: str, name: str, chargebee_sdk: Chargebee, m3ter_sdk: M3ter):
    found: Any = chargebee_sdk if provider == "chargebee" else m3ter_sdk
    for part in name.split("."):
        found = getattr(found, part)
    assert callable(found)


def test_the_sdk_fetches_a_token_by_itself(m3ter_sdk: M3ter, box: Sandbox):
    assert list(m3ter_sdk.accounts.list()) == []
    assert [call.operation for call in box.calls] == ["token", "list_accounts"]


def test_what_a_mapping_may_name_is_looked_up(m3ter_sdk: M3ter, metered: dict[str, str]):
    assert m3ter_sdk.plans.retrieve(metered["plan"]).code == "pro"
    assert m3ter_sdk.aggregations.retrieve(metered["aggregation"]).code == "calls"
    assert m3ter_sdk.products.retrieve(metered["product"]).code == "api"
    assert m3ter_sdk.pricings.retrieve(metered["pricing"]).plan_id == metered["plan"]
    with pytest.raises(m3ter.NotFoundError):
        m3ter_sdk.compound_aggregations.retrieve("5a3dbc5e-0000-4000-8000-000000000000")


def test_the_table_of_operations_is_written():
    names = {*CALLED, *TESTED}
    rows = [
        f"| {provider} | `{name}` | {'yes' if (provider, name) in CALLED else ''} | {_shown(provider, name)} |"
        for provider, name in sorted(names)
    ]
    table = "\n".join(
        ["| provider | operation | the connector calls it | shown by |", "| --- | --- | --- | --- |", *rows]
    )
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(table + "\n", encoding="utf-8")
    print(table)  # noqa: T201 - seen with `pytest -rP`
    assert "| m3ter | `oauth.token` | yes | test_operations::" in table


def _shown(provider: str, name: str) -> str:
    reason = f" ({WITHOUT_METHOD[name][1]})" if name in WITHOUT_METHOD else ""
    return ", ".join(evidence(provider, name)) + reason
