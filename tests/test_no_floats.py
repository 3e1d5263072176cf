"""No float comes near money: read from the source, so that not even a path nobody tests can hold one."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

import connector
from connector.models import Base

ROOT = Path(connector.__file__).parent
# The command line and the demo only show amounts that others worked out, and the sandbox is no part of the connector.
SHOWN_ONLY = ("cli", "demo", "sandbox")

# The only places where a float may stand, by file and innermost function, class or constant, and what it measures there.
SECONDS = {
    ("clients/http.py", "MAX_RETRY_AFTER"): "the longest wait that a provider is granted",
    ("clients/http.py", "FIRST_WAIT"): "the pause before a repeat",
    ("clients/http.py", "LONGEST_WAIT"): "the longest pause before a repeat",
    ("clients/http.py", "__init__"): "timeouts, pauses and the wall clock",
    ("clients/http.py", "_wait"): "the pause before a repeat",
    ("clients/http.py", "unsure"): "how long the provider asked us to wait",
    ("clients/http.py", "refused"): "the wall clock",
    ("clients/http.py", "_record"): "how long a call took",
    ("clients/http.py", "_retry_after"): "how long the provider asked us to wait",
    ("clients/m3ter_api.py", "_new_token"): "half the life of a token",
    ("clients/wire.py", "Progress"): "when a call must be over",
    ("clients/wire.py", "remaining"): "the time a call still has",
    ("clients/wire.py", "in_progress"): "the time a call has",
    ("clock.py", "PAUSE_SECONDS"): "the pause between two ticks",
    ("embedded.py", "START_SECONDS"): "how long a start may take",
    ("embedded.py", "_wait_until_up"): "the pause between two looks",
    ("errors.py", "__init__"): "how long to wait",
    ("leases.py", "take"): "how long a lease lasts",
    ("leases.py", "held"): "how long a lease lasts",
    ("services.py", "build"): "the pause before a repeat",
    ("syncs.py", "_Outcome"): "how long to wait",
    ("syncs.py", "_later"): "how long to wait",
}

SOURCES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(ROOT.rglob("*.py"))
    if path.relative_to(ROOT).parts[0] not in SHOWN_ONLY
}


def floats(tree: ast.AST, around: str = "") -> Iterator[tuple[str, ast.expr | ast.stmt]]:
    """Every place where a float is named, written or made by division, with the innermost name around it."""
    for node in ast.iter_child_nodes(tree):
        if _is_float(node):
            yield around, node
        yield from floats(node, _name_of(node) or around)


def _name_of(node: ast.AST) -> str | None:
    """The name of a function or class, or of the constant that is assigned to."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return node.name
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id.isupper():
        return node.targets[0].id
    return None


def _is_float(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
        # A path is joined with the same sign; there one side is always a text or a path by its name.
        return not any(isinstance(side, ast.Constant | ast.JoinedStr) and _is_text(side) for side in _sides(node))
    return (isinstance(node, ast.Name) and node.id == "float") or (
        isinstance(node, ast.Constant) and isinstance(node.value, float)
    )


def _sides(node: ast.BinOp | ast.AugAssign) -> tuple[ast.expr, ast.expr]:
    return (node.left, node.right) if isinstance(node, ast.BinOp) else (node.target, node.value)


def _is_text(node: ast.Constant | ast.JoinedStr) -> bool:
    return isinstance(node, ast.JoinedStr) or isinstance(node.value, str)


@pytest.mark.parametrize("source", SOURCES)
def test_no_float_is_written_called_annotated_or_divided_into_being(source: str):
    found = [
        f"line {node.lineno}: {ast.unparse(node)}"
        for around, node in floats(SOURCES[source])
        if (source, around) not in SECONDS
    ]
    assert found == []


def test_every_place_that_may_hold_seconds_still_does():
    held = {(source, around) for source, tree in SOURCES.items() for around, _ in floats(tree)}
    assert set(SECONDS) - held == set()


@pytest.mark.parametrize(
    "source",
    [
        "money.py",
        "mappings/pairs.py",
        "mappings/charges.py",
        "models/bills.py",
        "models/balances.py",
        "bills/plan.py",
        "bills/planned.py",
        "bills/ledger.py",
    ],
)
def test_what_decides_about_money_is_looked_at(source: str):
    assert source in SOURCES
    assert not any(place == source for place, _ in SECONDS)


@pytest.mark.parametrize(
    "text",
    [
        "x = 1.5",
        "x: float = 0",
        "x = float(y)",
        "x = a / b",
        "def f(x: float | None): ...",
        "x /= 2",
        "x = map(float, y)",
    ],
)
def test_a_float_would_be_found(text: str):
    assert list(floats(ast.parse(text)))


@pytest.mark.parametrize("source", SOURCES)
def test_json_is_read_with_exact_numbers(source: str):
    for node in ast.walk(SOURCES[source]):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("json.loads", "json.load", "loads", "load"):
            assert "parse_float" in {keyword.arg for keyword in node.keywords}, f"line {node.lineno}"


def test_no_column_keeps_floats():
    columns = [column for table in Base.metadata.tables.values() for column in table.columns]
    assert [str(column) for column in columns if isinstance(column.type, sa.Numeric | sa.Float)] == []
    assert {str(column) for column in columns if "amount" in column.name or "total" in column.name} == {
        "balance_readings.total_credit",
        "balance_readings.total_debit",
        "balance_requests.amount",
        "bill_snapshots.exact_total",
        "bill_snapshots.total_minor",
        "bills.total",
        "line_pushes.amount_minor",
    }
