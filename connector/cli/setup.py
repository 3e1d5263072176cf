"""`connector setup …`"""

from typing import Any

import click

from connector import audit, jobs, setup_catalogue, syncs
from connector.cli.common import connection_option, output, table, wire
from connector.mappings.pairs import Pair
from connector.services import Services
from connector.setup_catalogue import Missing

# How many syncs a command queues itself; the clock queues the rest.
QUEUED_AT_ONCE = 500


@click.group("setup")
def setup_group() -> None:
    """What the two catalogues need to work together."""


@setup_group.command("catalogue")
@click.option("--family", required=True, metavar="ID", help="The Chargebee item family that new items join.")
@click.option("--currency", required=True, metavar="CODES", help="In which currencies bills come, e.g. USD or USD,EUR.")
@click.option(
    "--line-types", default="", metavar="TYPES", help="Also these line item types, e.g. STANDING_CHARGE,AD_HOC."
)
@click.option("--apply", is_flag=True, help="Make what is missing; without it nothing is sent.")
@click.option("--dry-run", is_flag=True, help="Print what is missing, send nothing; as without --apply.")
@connection_option
@output
def setup_catalogue_command(
    family: str, currency: str, line_types: str, apply: bool, dry_run: bool, connection: str
) -> Any:
    """Make the charge items, prices and mappings that m3ter's aggregations lack; what exists is never changed.

    Every aggregation without a mapping of its own gets one charge item, with a flat-fee price of nothing in each currency,
    and is mapped to that. A run that was cut short is finished by the next.
    """
    if apply and dry_run:
        raise click.UsageError("--apply and --dry-run contradict each other.")
    services = wire()
    found, wider = setup_catalogue.look(
        services,
        connection,
        in_currencies=setup_catalogue.currencies(currency),
        types=setup_catalogue.line_types(line_types),
    )
    if found.items:
        setup_catalogue.check_family(services, connection, family)
    document = found.as_json() | {"so_far": [str(pair) for pair in wider], "applied": False, "woken": []}
    if found.faults or not apply:
        return document | {"exit_status": 1 if found.faults else 0}, _text(found, wider)
    woken = setup_catalogue.apply(services, connection, found, item_family_id=family, who=audit.actor())
    _ring(services, woken)
    text = _made(found) + (f" {len(woken)} sync(s) go on." if woken else "")
    return document | {"applied": True, "woken": woken}, text


def _ring(services: Services, woken: list[int]) -> None:
    with services.transaction() as db:
        due = syncs.mark_queued(db, woken[:QUEUED_AT_ONCE], services.now())
    jobs.enqueue(services.redis, due)


def _text(found: Missing, wider: list[Pair]) -> list[Any]:
    if not found.pairs and not found.faults:
        return ["Nothing is missing."]
    text: list[Any] = []
    if found.pairs:
        new = {*(one.id for one in found.items), *(one.id for one in found.prices)}
        rows = [
            [pair.m3ter_entity, pair.m3ter_id, pair.currency, pair.external_id, _state(pair, new)]
            for pair in found.pairs
        ]
        text.append(table("Missing", ["m3ter entity", "m3ter id", "currency", "item price", ""], rows))
    if wider:
        text.append("These count for such lines so far, and no longer once their aggregations are mapped:")
        text += [f"  {pair}" for pair in wider]
    text += [f"Cannot be: {fault}" for fault in found.faults]
    if found.faults:
        text.append("Nothing was sent, and nothing will be while something cannot be.")
    else:
        text.append(
            f"To be made: {len(found.items)} item(s), {len(found.prices)} price(s), {len(found.pairs)} mapping(s). "
            "Nothing was sent; --apply makes them."
        )
    return text


def _state(pair: Pair, new: set[str]) -> str:
    item_id = pair.external_id.removesuffix(f"-{pair.currency}")
    made = [what for what, one in (("item", item_id), ("price", pair.external_id)) if one in new]
    return f"new: {', '.join([*made, 'mapping'])}"


def _made(found: Missing) -> str:
    if not found.pairs:
        return "Nothing is missing."
    return f"Made {len(found.items)} item(s), {len(found.prices)} price(s) and {len(found.pairs)} mapping(s)."
