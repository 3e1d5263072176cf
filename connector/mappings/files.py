"""People's mappings as CSV: out to a spreadsheet, and back the same."""

import csv
import io
from collections.abc import Iterable, Sequence
from collections.abc import Mapping as Table
from dataclasses import dataclass

from connector import spreadsheet
from connector.errors import BadInput
from connector.mappings.kinds import ANY, SET_UP_ENTITIES
from connector.mappings.pairs import BadMapping, Pair, refuse
from connector.models import ALWAYS, Mapping
from connector.moments import read_moment, written_moment

NEEDED = ("m3ter_entity", "m3ter_id", "external_table", "external_id")
COLUMNS = (*NEEDED, "currency", "customer_id", "valid_from", "valid_until")


def to_csv(rows: Iterable[Mapping]) -> str:
    """People's rows as CSV with the columns of `config/mappings.example.csv`; a cell never starts a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        if is_peoples(row):
            writer.writerow([spreadsheet.harmless(cell) for cell in cells_of(Pair.of(row)).values()])
    return out.getvalue()


def is_peoples(row: Mapping) -> bool:
    """Whether a person says what this row says, not the connector itself."""
    return row.m3ter_entity in SET_UP_ENTITIES or row.made_by != "connector"


def cells_of(pair: Pair) -> dict[str, str]:
    """The pair as a person reads and writes it, by column; what is not limited is left empty."""
    return {name: getattr(pair, name) for name in NEEDED} | {
        "currency": pair.currency or "",
        "customer_id": "" if pair.customer_id == ANY else pair.customer_id,
        "valid_from": "" if pair.valid_from == ALWAYS else written_moment(pair.valid_from),
        "valid_until": "" if pair.valid_until is None else written_moment(pair.valid_until),
    }


@dataclass(frozen=True)
class Line:
    """One row of a file: its pair, or what is wrong with it, each with its column (None: the line as a whole)."""

    number: int
    pair: Pair | None = None
    faults: tuple[tuple[str | None, str], ...] = ()


def from_csv(text: str) -> list[Pair]:
    """The pairs in a CSV with a header line; raises BadMapping naming each line and column that is wrong."""
    return taken(read_lines(text))


def taken(lines: Sequence[Line]) -> list[Pair]:
    """The pairs of these lines; raises BadMapping naming each line and column that is wrong."""
    refuse([said(one.number, column, fault) for one in lines for column, fault in one.faults])
    return [one.pair for one in lines if one.pair is not None]


def said(number: int, column: str | None, fault: str) -> str:
    """A fault of a file, with where it is."""
    return f"line {number}: {fault}" + (f" (column {column})" if column else "")


def read_lines(text: str) -> list[Line]:
    """Every row of a CSV with a header line; raises BadMapping where that does not name the columns."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    found: list[Line] = []
    try:
        missing = set(NEEDED) - set(reader.fieldnames or ())
        if missing:
            raise BadMapping(
                f"the first line must name the columns {', '.join(COLUMNS)}; missing: {', '.join(sorted(missing))}"
            )
        for row in reader:
            found.append(_line(reader.line_num, row))
    except csv.Error as error:
        found.append(Line(reader.line_num, faults=((None, str(error)),)))
    return found


def _line(number: int, row: "dict[str | None, str | None]") -> Line:
    if None in row:
        return Line(number, faults=((None, "more cells than the first line has"),))
    cells = {name: (row.get(name) or "").strip().removeprefix("'") for name in COLUMNS}
    empty = tuple((name, f"the cell is empty; {', '.join(NEEDED)} are needed") for name in NEEDED if not cells[name])
    if empty:
        return Line(number, faults=empty)
    pair, faults = of_cells(cells)
    return Line(number, pair, faults)


def of_cells(cells: Table[str, str]) -> tuple[Pair | None, tuple[tuple[str | None, str], ...]]:
    """The pair that the cells of a row say, or each fault with its column."""
    moments = {}
    faults = []
    for name, unset in (("valid_from", ALWAYS), ("valid_until", None)):
        try:
            moments[name] = read_moment(cells[name]) if cells[name] else unset
        except BadInput as fault:
            faults.append((name, str(fault)))
    if faults:
        return None, tuple(faults)
    entity, m3ter_id, table, external_id = (cells[name] for name in NEEDED)
    return Pair(
        entity, m3ter_id, table, external_id,
        currency=cells["currency"] or None,
        customer_id=cells["customer_id"] or ANY,
        valid_from=moments["valid_from"] or ALWAYS,
        valid_until=moments["valid_until"],
    ), ()  # fmt: skip
