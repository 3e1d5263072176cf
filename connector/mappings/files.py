"""People's mappings as CSV: out to a spreadsheet, and back the same."""

import csv
import io
from collections.abc import Iterable

from connector.mappings.kinds import ANY, SET_UP_ENTITIES
from connector.mappings.pairs import BadMapping, Pair, day_or_time, read_moment
from connector.models import ALWAYS, Mapping

NEEDED = ("m3ter_entity", "m3ter_id", "external_table", "external_id")
COLUMNS = (*NEEDED, "currency", "customer_id", "valid_from", "valid_until")


def to_csv(rows: Iterable[Mapping]) -> str:
    """People's rows as CSV with the columns of `config/mappings.example.csv`; a cell never starts a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        if row.m3ter_entity in SET_UP_ENTITIES or row.made_by != "connector":
            cells = cells_of(Pair.of(row)).values()
            writer.writerow([f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "'") else cell for cell in cells])
    return out.getvalue()


def cells_of(pair: Pair) -> dict[str, str]:
    """The pair as a person reads and writes it, by column; what is not limited is left empty."""
    return {name: getattr(pair, name) for name in NEEDED} | {
        "currency": pair.currency or "",
        "customer_id": "" if pair.customer_id == ANY else pair.customer_id,
        "valid_from": "" if pair.valid_from == ALWAYS else day_or_time(pair.valid_from),
        "valid_until": "" if pair.valid_until is None else day_or_time(pair.valid_until),
    }


def from_csv(text: str) -> list[Pair]:
    """The pairs in a CSV with a header line; raises BadMapping naming the line that is wrong."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    try:
        return _pairs(reader)
    except csv.Error as error:
        raise BadMapping(f"line {reader.line_num}: {error}") from error


def _pairs(reader: "csv.DictReader[str]") -> list[Pair]:
    missing = set(NEEDED) - set(reader.fieldnames or ())
    if missing:
        raise BadMapping(
            f"the first line must name the columns {', '.join(COLUMNS)}; missing: {', '.join(sorted(missing))}"
        )
    pairs = []
    for row in reader:
        if None in row:
            raise BadMapping(f"line {reader.line_num}: more cells than the first line has")
        cells = {name: (row.get(name) or "").strip().removeprefix("'") for name in COLUMNS}
        if not all(cells[name] for name in NEEDED):
            raise BadMapping(f"line {reader.line_num}: a cell is empty; {', '.join(NEEDED)} are needed")
        try:
            pairs.append(_pair(cells))
        except BadMapping as fault:
            raise BadMapping(f"line {reader.line_num}: {fault}") from fault
    return pairs


def _pair(cells: dict[str, str]) -> Pair:
    entity, m3ter_id, table, external_id = (cells[name] for name in NEEDED)
    return Pair(
        entity, m3ter_id, table, external_id,
        currency=cells["currency"] or None,
        customer_id=cells["customer_id"] or ANY,
        valid_from=read_moment(cells["valid_from"]) if cells["valid_from"] else ALWAYS,
        valid_until=read_moment(cells["valid_until"]) if cells["valid_until"] else None,
    )  # fmt: skip
