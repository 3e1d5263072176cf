"""`connector mappings …`"""

from pathlib import Path
from typing import Any

import click

from connector import audit, jobs, mappings, syncs
from connector.cli.common import connection_option, output, table, wire
from connector.mappings import Pair
from connector.services import Services


@click.group("mappings")
def mappings_group() -> None:
    """Which m3ter entity stands for which Chargebee record."""


@mappings_group.command("list")
@connection_option
@output
def list_mappings(connection: str) -> Any:
    """List all mappings, those that people set up first."""
    services = wire()
    with services.reading() as db:
        rows = mappings.listed(db, connection)
    found = [
        {name: getattr(row, name) for name in (*mappings.CSV_COLUMNS, "made_by", "m3ter_mapping_id")} for row in rows
    ]
    columns = ["m3ter_entity", "m3ter_id", "external_table", "external_id", "currency", "made_by"]
    return {"mappings": found}, table("Mappings", columns, [[one[name] for name in columns] for one in found])


@mappings_group.command("add")
@click.argument("m3ter_entity")
@click.argument("m3ter_id")
@click.argument("external_table")
@click.argument("external_id")
@click.option("--currency", help="For a charge item price; asked of Chargebee when left out.")
@click.option("--unchecked", is_flag=True, help="Do not compare with the two live catalogues.")
@click.option("--dry-run", is_flag=True, help="Check only, change nothing.")
@connection_option
@output
def add_mapping(
    m3ter_entity: str,
    m3ter_id: str,
    external_table: str,
    external_id: str,
    currency: str | None,
    unchecked: bool,
    dry_run: bool,
    connection: str,
) -> Any:
    """Map M3TER_ENTITY M3TER_ID to EXTERNAL_TABLE EXTERNAL_ID; what waited for it goes on.

    \b
    Plan <plan id> ItemPrice <plan or addon item price>        what a subscription item is metered by
    NotMetered '*' ItemPrice <plan or addon item price>        an item that m3ter has nothing to do with
    Pricing|Aggregation|CompoundAggregation|Product <id> ItemPrice <charge item price>
    LineItemType <type> ItemPrice <charge item price>          e.g. STANDING_CHARGE
    Default '*' ItemPrice <charge item price>                  any other bill line
    Account <account id> Customer <customer id>                take over an account that m3ter has already
    """
    pair = Pair(m3ter_entity, m3ter_id, external_table, external_id, currency)
    return _apply(connection, [pair], check=not unchecked, dry_run=dry_run, action="mappings add")


@mappings_group.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--unchecked", is_flag=True, help="Do not compare with the two live catalogues.")
@click.option("--dry-run", is_flag=True, help="Check only, change nothing.")
@connection_option
@output
def import_mappings(file: Path, unchecked: bool, dry_run: bool, connection: str) -> Any:
    """Set up the mappings of a CSV file, all or none; `config/mappings.example.csv` shows the columns."""
    pairs = mappings.from_csv(file.read_text(encoding="utf-8"))
    return _apply(connection, pairs, check=not unchecked, dry_run=dry_run, action="mappings import")


@mappings_group.command("export")
@click.option(
    "--file", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="Instead of standard output."
)
@connection_option
@output
def export_mappings(file: Path | None, connection: str) -> Any:
    """Write the mappings that people set up as CSV, as `import` reads it."""
    services = wire()
    with services.reading() as db:
        text = mappings.to_csv(mappings.listed(db, connection))
    if file is None:
        return {"csv": text}, text.rstrip("\n")
    file.write_text(text, encoding="utf-8")
    return {"file": str(file)}, f"Written to {file}."


def _apply(connection: str, pairs: list[Pair], *, check: bool, dry_run: bool, action: str) -> Any:
    services = wire()
    who = audit.actor()
    if dry_run:
        checked = mappings.checked(services, connection, pairs, check=check)
        return {
            "mapped": 0,
            "checked": len(checked),
            "woken": [],
        }, f"{len(checked)} mapping(s) are right; nothing was changed."
    woken = mappings.add(services, connection, pairs, made_by=who, check=check)
    _note_and_ring(services, connection, pairs, who, action, woken)
    text = f"{len(pairs)} mapping(s) set up" + (f"; {len(woken)} sync(s) that waited go on." if woken else ".")
    return {"mapped": len(pairs), "checked": len(pairs), "woken": woken}, text


def _note_and_ring(
    services: Services, connection: str, pairs: list[Pair], who: str, action: str, woken: list[int]
) -> None:
    now = services.now()
    with services.transaction() as db:
        for pair in pairs:
            subject = f"{pair.m3ter_entity} {pair.m3ter_id} → {pair.external_table} {pair.external_id}"
            audit.note(db, who=who, action=action, connection=connection, subject=subject, now=now)
        due = syncs.mark_queued(db, woken, now)
    jobs.enqueue(services.redis, due)
