"""What the connector and the demo's story call, and the contract test with the provider's own SDK that shows each of it."""

import ast
import contextlib
import functools
import inspect
import re
import ssl
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import Any

import chargebee
import m3ter
import pytest
from chargebee import Chargebee
from m3ter import M3ter
from werkzeug.exceptions import HTTPException
from werkzeug.test import EnvironBuilder

import connector
from connector.mappings import kinds
from connector.sandbox import Sandbox, serve
from connector.sandbox.gate import PROVIDERS, UNKNOWN

TESTS = Path(__file__).parent
PACKAGE = Path(connector.__file__).parent
CLIENTS = PACKAGE / "clients"
TABLE = PACKAGE.parent / "var/operations.md"
# How the clients name their calls, which is how the provider's SDK names its methods.
NAMES = {"chargebee": r"[A-Z][A-Za-z]+\.[a-z_]+", "m3ter": r"[a-z_]+(\.[a-z_]+)?\.[a-z0-9_]+"}
# What the SDK names otherwise than m3ter's paths.
SDK_NAMES = {"compoundaggregations.retrieve": "compound_aggregations.retrieve"}
# What has no method in the SDK: the sandbox's name for it, the test that shows it all the same, and why there is none.
WITHOUT_METHOD = {
    "account_plans.replace": (
        "replace_account_plan",
        "test_account_plans_are_attached_ended_listed_and_replaced",
        "not in the SDK: called by its path",
    ),
    "oauth.token": (
        "token",
        "test_the_sdk_fetches_a_token_by_itself",
        "the SDK calls it on its own before the first call",
    ),
}
# What reads no answer of the provider.
LOCAL = {"Event.deserialize"}
ERRORS: dict[str, dict[int, type[Exception]]] = {
    "chargebee": {
        400: chargebee.InvalidRequestError,
        401: chargebee.APIError,
        403: chargebee.OperationFailedError,
        404: chargebee.InvalidRequestError,
        409: chargebee.InvalidRequestError,
        422: chargebee.InvalidRequestError,
        429: chargebee.OperationFailedError,
        500: chargebee.OperationFailedError,
        503: chargebee.OperationFailedError,
    },
    "m3ter": {
        400: m3ter.BadRequestError,
        401: m3ter.AuthenticationError,
        403: m3ter.PermissionDeniedError,
        404: m3ter.NotFoundError,
        409: m3ter.ConflictError,
        422: m3ter.UnprocessableEntityError,
        429: m3ter.RateLimitError,
        500: m3ter.InternalServerError,
        503: m3ter.InternalServerError,
    },
}

# What each list needs to find the two rows that `doubled` makes for it; a balance is named by its code.
PAGED: dict[tuple[str, str], dict[str, Any]] = {
    ("chargebee", "CreditNote.list"): {},
    ("chargebee", "Customer.list"): {},
    ("chargebee", "Event.list"): {},
    ("chargebee", "Invoice.list"): {},
    ("chargebee", "Item.list"): {},
    ("chargebee", "ItemPrice.list"): {},
    ("chargebee", "PromotionalCredit.list"): {},
    ("chargebee", "UnbilledCharge.list"): {},
    ("m3ter", "account_plans.list"): {"includeall": True},
    ("m3ter", "accounts.list"): {},
    ("m3ter", "aggregations.list"): {},
    ("m3ter", "balances.charge_schedules.list"): {"balance_id": "prepaid"},
    ("m3ter", "balances.list"): {},
    ("m3ter", "balances.transaction_schedules.list"): {"balance_id": "prepaid"},
    ("m3ter", "balances.transactions.list"): {"balance_id": "prepaid"},
    ("m3ter", "bill_jobs.list"): {},
    ("m3ter", "bills.list"): {},
    ("m3ter", "charges.list"): {},
    ("m3ter", "compound_aggregations.list"): {},
    ("m3ter", "currencies.list"): {},
    ("m3ter", "external_mappings.list"): {},
    ("m3ter", "external_mappings.list_by_external_entity"): {
        "external_id": "e",
        "system": "Chargebee",
        "external_table": "Subscription",
    },
    ("m3ter", "external_mappings.list_by_m3ter_entity"): {"m3ter_id": "m", "entity": "AccountPlan"},
    ("m3ter", "plan_templates.list"): {},
    ("m3ter", "plans.list"): {},
    ("m3ter", "transaction_types.list"): {},
}

Operations = dict[tuple[str, str], list[str]]


def called() -> Iterator[tuple[str, str]]:
    """The provider and the name of every operation that the connector's clients call."""
    for provider, name in NAMES.items():
        for path in sorted(CLIENTS.glob(f"{provider}*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(name, node.value):
                    yield provider, node.value
    # One method looks up whatever a mapping may name.
    for collection in kinds.COLLECTIONS.values():
        yield "m3ter", SDK_NAMES.get(f"{collection}.retrieve", f"{collection}.retrieve")


def told(source: str) -> Iterator[tuple[str, str]]:
    """The provider and the sandbox's operation of every call in this part of the story, by its method and path."""
    for node in ast.walk(ast.parse(source)):
        name = node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""
        if name == "chargebee":
            posts = len(node.args) > 1 or "form" in [keyword.arg for keyword in node.keywords]
            yield name, operation_at("POST" if posts else "GET", f"/chargebee/api/v2/{path_of(node.args[0])}")
        if name == "m3ter":
            method, path = path_of(node.args[0]), path_of(node.args[1])
            yield name, operation_at(method, f"/m3ter/organizations/x/{path}")
            # The stage fetches one for each of its calls.
            yield name, "token"


def path_of(node: ast.expr) -> str:
    """The text, with an id in each place that is only filled in when the story is told."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    texts = ["x" if isinstance(part, ast.FormattedValue) else ast.literal_eval(part) for part in parts]
    return "".join(texts)


def operation_at(method: str, path: str) -> str:
    """The sandbox's name for the operation."""
    try:
        return PROVIDERS[path.split("/")[1]].match(EnvironBuilder(path, method=method).get_environ())[0]
    except HTTPException:
        return UNKNOWN


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
TOLD = sorted({call for path in (PACKAGE / "demo").glob("*.py") for call in told(path.read_text(encoding="utf-8"))})
TESTED = sdk_calls()


def evidence(provider: str, name: str) -> list[str]:
    """The tests that show this operation."""
    if name in WITHOUT_METHOD:
        wanted = WITHOUT_METHOD[name][1]
        return [
            f"{path.stem}::{wanted}"
            for path in sorted(TESTS.glob("test_*.py"))
            if f"def {wanted}(" in path.read_text(encoding="utf-8")
        ]
    return sorted(TESTED[provider, name]) if (provider, name) in TESTED else []


def attempt(sdk: Any, name: str) -> None:
    """Calls the method with as little as it takes."""
    method = attrgetter(name)(sdk)
    needed = [row.name for row in inspect.signature(method).parameters.values() if row.default is row.empty]
    method(**{name: {} if name == "params" else "x" for name in needed})


@pytest.fixture(scope="module")
def operations() -> Operations:
    """The methods of the SDKs that the tests call, by the provider and the sandbox's operation that each leads to."""
    found: Operations = defaultdict(list)
    box = Sandbox()
    with serve(box) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Chargebee, "verify_ca_certs", False)
        patch.setattr(ssl, "create_default_context", functools.cache(ssl.create_default_context))
        patch.setenv("NO_PROXY", "127.0.0.1")
        of_chargebee = Chargebee(api_key=box.chargebee.api_key, site=box.chargebee.site, protocol="http")
        of_chargebee.env.api_endpoint = f"{server.url}/chargebee/api/v2"
        keys = {"api_key": box.m3ter.api_key, "api_secret": box.m3ter.api_secret, "org_id": box.m3ter.org_id}
        of_m3ter = M3ter(**keys, base_url=f"{server.url}/m3ter", max_retries=0)
        sdks = {"chargebee": of_chargebee, "m3ter": of_m3ter}
        for provider, name in sorted({*TESTED, *CALLED}):
            if name in LOCAL | set(WITHOUT_METHOD):
                continue
            # It does not matter here what the sandbox has against it.
            with contextlib.suppress(chargebee.APIError, m3ter.APIError):
                attempt(sdks[provider], name)
            found[provider, box.calls[-1].operation].append(name)
        of_m3ter.close()
    for name, (operation, _, _) in WITHOUT_METHOD.items():
        found["m3ter", operation].append(name)
    return found


def needed(provider: str, operations: Operations) -> dict[str, str]:
    """What the connector or the story calls of the provider: the method by the sandbox's operation."""
    return {
        operation: names[0]
        for (owner, operation), names in operations.items()
        if owner == provider
        and names[0] not in WITHOUT_METHOD
        and ((owner, operation) in TOLD or any((owner, name) in CALLED for name in names))
    }


def test_the_clients_are_read():
    assert {("chargebee", "Invoice.add_charge_item"), ("m3ter", "bills.list"), ("m3ter", "plans.retrieve")} <= {*CALLED}


def test_the_story_is_read():
    assert {("chargebee", "create_item_price"), ("m3ter", "submit_measurements"), ("m3ter", "token")} <= {*TOLD}
    source = (
        'stage.chargebee(f"x/{id}")\nstage.chargebee("customers", form={})\nstage.m3ter("PUT", f"bills/{id}/status", b)'
    )
    assert list(told(source)) == [
        ("chargebee", UNKNOWN),
        ("chargebee", "create_customer"),
        ("m3ter", "set_bill_status"),
        ("m3ter", "token"),
    ]


@pytest.mark.parametrize(("provider", "name"), CALLED, ids=lambda value: value)
def test_what_the_connector_calls_has_a_contract_test(provider: str, name: str):
    assert evidence(provider, name)


@pytest.mark.parametrize(("provider", "operation"), TOLD, ids=lambda value: value)
def test_what_the_story_calls_has_a_contract_test(provider: str, operation: str, operations: Operations):
    assert operation != UNKNOWN
    assert [test for name in operations.get((provider, operation), []) for test in evidence(provider, name)]


@pytest.mark.parametrize("name", [name for name in WITHOUT_METHOD if name != "oauth.token"])
def test_what_is_called_without_a_method_has_none(name: str, m3ter_sdk: M3ter):
    resource, _, method = name.partition(".")
    assert not hasattr(getattr(m3ter_sdk, resource), method)


@pytest.mark.parametrize(("provider", "name"), sorted(TESTED), ids=lambda value: value)
def test_what_is_tested_exists_in_the_sdk(provider: str, name: str, chargebee_sdk: Chargebee, m3ter_sdk: M3ter):
    assert callable(attrgetter(name)(chargebee_sdk if provider == "chargebee" else m3ter_sdk))


@pytest.mark.parametrize(
    ("provider", "status"), [(provider, status) for provider, errors in ERRORS.items() for status in errors]
)
def test_each_error_of_what_is_called_is_of_the_sdks_right_class(
    provider: str, status: int, operations: Operations, box: Sandbox, chargebee_sdk: Chargebee, m3ter_sdk: M3ter
):
    sdk = chargebee_sdk if provider == "chargebee" else m3ter_sdk
    for operation, name in needed(provider, operations).items():
        box.faults.order(provider, operation, "status", status=status)
        with pytest.raises(ERRORS[provider][status]) as caught:
            attempt(sdk, name)
        assert type(caught.value) is ERRORS[provider][status], name


@pytest.fixture
def doubled(shop: Sandbox, metered: dict[str, str]) -> Sandbox:
    """Two of everything that is listed."""
    shop.chargebee.create_subscription("acme", ["pro-USD"])
    shop.chargebee.create_customer(id="other")
    other = shop.m3ter.create_account("other")["id"]
    shop.m3ter.create_account_plan(other, metered["plan"], shop.clock.now())
    shop.m3ter.run_bill_job([metered["account"], other], "2026-02-01")
    shop.m3ter.create_aggregation(metered["meter"], code="other")
    shop.m3ter.create_plan_template(metered["product"])
    for code in ("ratio", "share"):
        shop.m3ter.create_compound_aggregation("calls / 2", code)
    for _ in range(2):
        shop.chargebee.add_promotional_credits("acme", 100, "goodwill", "USD")
        shop.chargebee.create_credit_note("refundable", customer_id="acme", total=100, currency_code="USD")
        charge, subscription_id = {"amount": 100, "description": "late"}, next(iter(shop.chargebee.subscriptions))
        shop.chargebee.create_unbilled_charges(subscription_id, charges=[charge], currency_code="USD")
    mapping = {"m3terEntity": "AccountPlan", "m3terId": "m", "externalSystem": "Chargebee", "externalId": "e"}
    for _ in range(2):
        shop.m3ter.create("external_mappings", {**mapping, "externalTable": "Subscription"})
    _double_balance_billing(shop.m3ter, metered["account"])
    return shop


def _double_balance_billing(organization: Any, account_id: str) -> None:
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
    balance = organization.create_balance(account_id, "prepaid", start, end)["id"]
    organization.create_balance(account_id, "other", start, end)
    for code in ("GIFT", "TOP_UP"):
        kind = organization.create_transaction_type(code)["id"]
        organization.add_transaction(balance, 100, transactionTypeId=kind)
        organization.create_transaction_schedule(balance, code, 10, kind, start, end)
        organization.create_charge_schedule(balance, code, 10, start, end)
        organization.create_charge(account_id, code, 10, "2026-02-01")
    organization.run_bill_job([account_id], "2026-02-01")


@pytest.mark.parametrize(("provider", "name"), PAGED, ids=lambda value: value)
def test_each_list_that_is_called_pages(
    provider: str, name: str, doubled: Sandbox, chargebee_sdk: Chargebee, m3ter_sdk: M3ter
):
    query = dict(PAGED[provider, name])
    if "balance_id" in query:
        rows = doubled.m3ter.balances.values()
        [query["balance_id"]] = [row["id"] for row in rows if row["code"] == query["balance_id"]]
    if provider == "m3ter":
        listed = attrgetter(name)(m3ter_sdk)
        whole, paged = listed(**query).data, list(listed(**query, page_size=1))
    else:
        whole = attrgetter(name)(chargebee_sdk)({**query, "limit": 100}).list
        paged = list(one_by_one(attrgetter(name)(chargebee_sdk), query))
    assert len(paged) >= 2
    assert paged == whole
    assert len([call for call in doubled.calls if call.operation != "token"]) == 1 + len(paged)


def one_by_one(listed: Any, query: dict[str, Any]) -> Iterator[Any]:
    """Chargebee's rows, each on a page of its own."""
    offset: dict[str, str] = {}
    while True:
        page = listed({**query, "limit": 1, **offset})
        yield from page.list
        if page.next_offset is None:
            return
        offset = {"offset": page.next_offset}


def test_no_list_that_is_called_is_forgotten(operations: Operations):
    lists = {
        (provider, name)
        for provider in NAMES
        for name in needed(provider, operations).values()
        if name.rpartition(".")[2].startswith("list")
    }
    assert lists == set(PAGED)


def test_the_sdk_fetches_a_token_by_itself(m3ter_sdk: M3ter, box: Sandbox):
    assert list(m3ter_sdk.accounts.list()) == []
    assert [call.operation for call in box.calls] == ["token", "list_accounts"]


def test_what_a_mapping_may_name_is_looked_up(m3ter_sdk: M3ter, metered: dict[str, str]):
    assert m3ter_sdk.plans.retrieve(metered["plan"]).code == "pro"
    assert m3ter_sdk.plan_templates.retrieve(metered["template"]).bill_frequency == "MONTHLY"
    assert m3ter_sdk.aggregations.retrieve(metered["aggregation"]).code == "calls"
    assert m3ter_sdk.products.retrieve(metered["product"]).code == "api"
    assert m3ter_sdk.pricings.retrieve(metered["pricing"]).plan_id == metered["plan"]
    with pytest.raises(m3ter.NotFoundError):
        m3ter_sdk.compound_aggregations.retrieve("5a3dbc5e-0000-4000-8000-000000000000")


def test_the_table_of_operations_is_written(operations: Operations):
    told_names = {
        (provider, name) for provider, operation in TOLD for name in operations.get((provider, operation), [])
    }
    rows = [
        f"| {provider} | `{name}` | {_yes((provider, name) in CALLED)} | {_yes((provider, name) in told_names)} "
        f"| {_shown(provider, name)} |"
        for provider, name in sorted({*CALLED, *TESTED, *told_names})
    ]
    head = "| provider | operation | the connector calls it | the story calls it | shown by |"
    table = "\n".join([head, "| --- | --- | --- | --- | --- |", *rows])
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(table + "\n", encoding="utf-8")
    print(table)  # noqa: T201 - seen with `pytest -rP`
    assert "| m3ter | `oauth.token` | yes | yes | test_operations::" in table
    assert "| chargebee | `ItemFamily.create` |  | yes | test_chargebee_sdk::" in table


def _yes(so: bool) -> str:
    return "yes" if so else ""


def _shown(provider: str, name: str) -> str:
    reason = f" ({WITHOUT_METHOD[name][2]})" if name in WITHOUT_METHOD else ""
    return ", ".join(evidence(provider, name)) + reason
