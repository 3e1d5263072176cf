"""The imports, read from the source: they point one way, the sandbox stands apart, and few modules touch the outside."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import connector

ROOT = Path(connector.__file__).parent

# From the bottom to the top: a module imports only from layers below its own. A package stands for all its modules, which
# may import each other.
LAYERS = (
    (
        "errors",
        "money",
        "codes",
        "database",
        "spreadsheet",
        "throttle",
        "redaction",
        "histogram",
        "budgets",
        "counts",
    ),
    ("settings", "models", "embedded", "moments"),
    ("clients", "logs", "audit", "inbox", "polls", "looks", "canvas"),
    ("services", "days", "transfers", "invoice_terms"),
    ("mirror", "pauses", "access", "explain", "links", "tallies", "migrations"),
    ("syncs", "leases", "catch_up", "people", "single_sign_on", "tokens"),
    ("mappings", "scope", "lookup", "charts"),
    ("catalogue", "setup_catalogue", "account_plans", "customers"),
    ("timelines",),
    ("plan_changes",),
    ("subscriptions", "bills", "balances"),
    ("handlers", "event_records", "alerts", "remapping", "customer_overview", "related", "search", "retries"),
    ("jobs",),
    ("actions", "overview"),
    ("clock", "web"),
    ("demo",),
    ("cli",),
    ("__main__",),
)
LAYER_OF = {part: number for number, layer in enumerate(LAYERS) for part in layer}


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_name(path): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(ROOT.rglob("*.py"))}


def imported(module: str, *, for_types: bool = True) -> Iterator[str]:
    """The full name of everything that a module imports, also inside its functions, and unless told what types need."""
    for node in ast.walk(MODULES[module]) if for_types else _running(MODULES[module]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively, which this test does not follow"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else str(node.module)


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """The node and all below it but what is written for the type checker only."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from _running(child)


def ours(module: str, *, for_types: bool = True) -> set[str]:
    """The connector's own modules that a module imports; the bare package holds nothing and does not count."""
    return {name for name in imported(module, for_types=for_types) if name in MODULES and name != "connector"}


def part(module: str) -> str:
    """The module or package right below `connector` that a module belongs to."""
    return module.split(".")[1]


def importers(*libraries: str) -> set[str]:
    """The parts of the connector that import one of these libraries."""
    return {
        part(module)
        for module in MODULES
        if module != "connector" and any(name.split(".")[0] in libraries for name in imported(module))
    }


def test_every_part_has_its_layer_and_every_layer_its_parts():
    assert {part(module) for module in MODULES if module != "connector"} == {*LAYER_OF, "sandbox"}


@pytest.mark.parametrize("module", [name for name in MODULES if name != "connector" and part(name) != "sandbox"])
def test_a_module_imports_only_from_layers_below(module: str):
    upward = {
        name
        for name in ours(module)
        if part(name) not in (part(module), "sandbox") and LAYER_OF[part(name)] >= LAYER_OF[part(module)]
    }
    assert upward == set()


def test_no_modules_import_each_other_in_a_circle():
    try:
        TopologicalSorter({module: ours(module, for_types=False) for module in MODULES}).prepare()
    except CycleError as circle:
        pytest.fail(f"a circle: {' → '.join(circle.args[1])}")


def test_the_sandbox_imports_nothing_of_the_connector():
    shared = {name for module in MODULES if module.startswith("connector.sandbox") for name in ours(module)}
    assert {name for name in shared if part(name) != "sandbox"} == set()


def test_only_the_command_line_imports_the_sandbox():
    outside = [module for module in MODULES if module != "connector" and part(module) != "sandbox"]
    users = {module for module in outside if any(part(name) == "sandbox" for name in ours(module))}
    assert users == {"connector.cli.sandbox"}


def test_the_receiver_loads_nothing_of_the_console_and_the_api():
    loaded = (
        "import sys, connector.web.app\n"
        "heavy = ('console', 'argon2', 'web.api')\n"
        "print(*[name for name in sys.modules if name == 'chargebee' or any(one in name for one in heavy)])"
    )
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert [name for name in done.stdout.split() if not name.startswith("rich")] == []


def test_only_services_builds_clients():
    assert _callers("ChargebeeClient", "M3terClient", "OpenIdClient", "Http") == {"connector.services"}


def test_only_the_chargebee_client_opens_the_way_to_chargebee():
    assert _callers("ChargebeeApi") == {"connector.clients.chargebee"}


def test_only_the_m3ter_client_opens_the_way_to_m3ter():
    assert _callers("M3terApi", "BalanceBilling") == {"connector.clients.m3ter"}


def _callers(*names: str) -> set[str]:
    """The modules that call one of these by its name."""
    return {
        module
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _called(node) in names
    }


def _called(call: ast.Call) -> str:
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def test_entries_of_the_audit_log_are_only_ever_added():
    users = {
        module
        for module, tree in MODULES.items()
        if not module.startswith("connector.models")
        and any(isinstance(node, ast.Name) and node.id == "AuditEntry" for node in ast.walk(tree))
    }
    assert users == {"connector.audit"}
    called = {_called(node) for node in ast.walk(MODULES["connector.audit"]) if isinstance(node, ast.Call)}
    assert called & {"update", "delete", "merge", "execute", "text"} == set()


def test_only_the_clients_speak_http():
    # The demo plays the people at the two consoles, from outside.
    assert importers("requests", "urllib3", "http", "httpx", "chargebee") - {"sandbox"} == {"clients", "demo"}


def test_only_the_client_of_openid_reads_tokens():
    assert importers("authlib", "joserfc") == {"clients"}


def test_nobody_uses_the_official_m3ter_sdk():
    assert importers("m3ter") == set()


def test_only_settings_and_what_starts_processes_read_the_environment():
    readers = {
        module
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.environb", "os.getenv"))
        or (isinstance(node, ast.alias) and node.name in ("environ", "environb", "getenv"))
    }
    assert readers == {"connector.settings.reading", "connector.cli.processes", "connector.demo.stage"}
