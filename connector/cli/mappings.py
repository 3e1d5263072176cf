"""`connector mappings …`"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from connector import actions, audit
from connector.cli.common import connection_option, output, table, wire
from connector.errors import BadInput
from connector.mappings import files, pull
from connector.mappings.kinds import ANY
from connector.mappings.pairs import Pair, refuse
from connector.mappings.table import listed, peoples
from connector.models import ALWAYS
from connector.moments import read_moment
from connector.remapping import proposals, rows, saving, unmapped, waiting
from connector.remapping.proposals import Proposal
from connector.remapping.rows import Wish
from connector.services import Services


@click.group("mappings")
def mappings_group() -> None:
    """Which m3ter entity stands for which Chargebee record."""


@mappings_group.command("list")
@click.option("--limit", default=200, show_default=True, type=click.IntRange(1), help="No more than so many.")
@connection_option
@output
def list_mappings(limit: int, connection: str) -> Any:
    """List mappings, those that people set up first, and say how many more there are."""
    services = wire()
    with services.reading() as db:
        rows, more = listed(db, connection, limit=limit)
    found = [
        _as_json(Pair.of(row)) | {"made_by": row.made_by, "m3ter_mapping_id": row.m3ter_mapping_id} for row in rows
    ]
    columns = [*files.COLUMNS, "made_by"]
    cells = [files.cells_of(Pair.of(row)) | {"made_by": row.made_by} for row in rows]
    text: list[Any] = [table("Mappings", columns, [[one[name] for name in columns] for one in cells])]
    if more:
        text.append(f"{more} more than --limit {limit}.")
    return {"mappings": found, "more": more}, text


def _as_json(pair: Pair) -> dict[str, Any]:
    times = {
        "valid_from": None if pair.valid_from == ALWAYS else pair.valid_from.isoformat(),
        "valid_until": pair.valid_until.isoformat() if pair.valid_until else None,
    }
    return asdict(pair) | times


@mappings_group.command("unmapped")
@click.option("--sync", "sync_id", type=int, metavar="ID", help="Only what this sync waits for.")
@connection_option
@output
def list_unmapped(sync_id: int | None, connection: str) -> Any:
    """List what is not mapped yet, with the subscriptions and the money that wait for it."""
    found = unmapped.look(wire(), connection, sync_id=sync_id)
    prices = [
        [one.item_price_id, one.price.currency_code if one.price else None, len(one.waiting.syncs)]
        for one in found.prices
    ]
    lines = [
        [one.source.entity, one.source.m3ter_id, ", ".join(one.descriptions[:3]), f"{one.amount} {one.source.currency}",
         f"{one.whole} {one.source.currency}", len(one.bills)]
        for one in found.lines
    ]  # fmt: skip
    metrics = [
        [one.entity, one.m3ter_id, found.catalogues.name_of(one.entity, one.m3ter_id), one.currency]
        for one in found.metrics
    ]
    text: list[Any] = []
    if lines:
        columns = ["m3ter", "id", "lines", "theirs", "their bills", "bills"]
        text.append(table("Bill lines", columns, lines))
    if prices:
        text.append(table("Item prices", ["item price", "currency", "subscriptions waiting"], prices))
    if metrics:
        text.append(table("Metrics that no bill line has had yet", ["m3ter", "id", "name", "currency"], metrics))
    text += _about_bills(found)
    return unmapped.as_json(found), text or "Everything is mapped."


def _about_bills(found: unmapped.Unmapped) -> list[str]:
    """What waits in all, and what could not be asked."""
    said = []
    if found.bills.held:
        sums = [f"{amount} {currency}" for currency, amount in waiting.totals(found.bills.bills).items()]
        said.append(
            f"{found.bills.held} bill(s) wait for a mapping; {' and '.join(sums) or 'nothing known'} wait on them."
        )
    if found.bills.not_read:
        said.append(f"Of {found.bills.not_read} of them the amounts are not known: only so many are read at once.")
    said += [f"{bill}: {why}" for bill, why in found.bills.unread]
    said += [f"{provider} cannot be asked now: {why}" for provider, why in found.catalogues.away.items()]
    if found.bills.away:
        said.append(f"m3ter cannot be asked for bills now: {found.bills.away}")
    return said + [f"Longer than what was read: {one}." for one in found.catalogues.cut]


impact_option = click.option(
    "--impact", is_flag=True, help="Change nothing; say what it would change and set going, and what speaks against it."
)


def _named(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the four words and two options that say which mapping is meant."""
    for decorate in (
        click.option("--from", "valid_from", metavar="DAY", help="The first day, or a time with its offset from UTC."),
        click.option("--customer", default=ANY, metavar="ID", help="Only for this Chargebee customer's subscriptions."),
        click.argument("external_id"),
        click.argument("external_table"),
        click.argument("m3ter_id"),
        click.argument("m3ter_entity"),
    ):
        command = decorate(command)
    return command


@mappings_group.command("add")
@_named
@click.option("--until", metavar="DAY", help="From when on it does not hold any more.")
@click.option("--currency", help="For a charge item price; asked of Chargebee when left out.")
@click.option("--rewrite", is_flag=True, help="Also change, from the beginning, the plan of what has been metered.")
@click.option("--unchecked", is_flag=True, help="Do not compare with the two live catalogues.")
@click.option("--dry-run", is_flag=True, help="Check only, change nothing.")
@impact_option
@connection_option
@output
def add_mapping(
    m3ter_entity: str,
    m3ter_id: str,
    external_table: str,
    external_id: str,
    customer: str,
    valid_from: str | None,
    until: str | None,
    currency: str | None,
    rewrite: bool,
    unchecked: bool,
    dry_run: bool,
    impact: bool,
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

    A Plan or NotMetered can be limited to one customer and to a time; a customer's goes before everybody's, and what holds
    since later before what holds since earlier.
    """
    pair = Pair(
        m3ter_entity, m3ter_id, external_table, external_id, currency, customer,
        read_moment(valid_from) if valid_from else ALWAYS,
        read_moment(until) if until else None,
    )  # fmt: skip
    return _apply(
        connection, [pair], "mappings add", check=not unchecked, rewrite=rewrite, dry_run=dry_run, impact=impact
    )


@mappings_group.command("remove")
@_named
@click.option("--reason", required=True, help="Why it goes; kept in the audit log.")
@click.option("--rewrite", is_flag=True, help="Also where plans of what has been metered stand under it.")
@click.option("--dry-run", is_flag=True, help="Check only, change nothing.")
@impact_option
@connection_option
@output
def remove_mapping(
    m3ter_entity: str,
    m3ter_id: str,
    external_table: str,
    external_id: str,
    customer: str,
    valid_from: str | None,
    reason: str,
    rewrite: bool,
    dry_run: bool,
    impact: bool,
    connection: str,
) -> Any:
    """Take away a mapping that a person made, here and in m3ter."""
    services = wire()
    first = read_moment(valid_from) if valid_from else ALWAYS
    pair = Pair(m3ter_entity, m3ter_id, external_table, external_id, customer_id=customer, valid_from=first)
    if impact:
        return _shown(services, connection, [Wish(pair, gone=True)])
    woken = actions.unmap(services, connection, pair, reason, audit.actor(), rewrite=rewrite, dry_run=dry_run)
    document = {"mapping": str(pair), "removed": not dry_run, "woken": woken}
    if dry_run:
        return document, f"{pair} can be removed; nothing was changed."
    return document, f"{pair} is removed{_go_on(woken)}"


@mappings_group.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--rewrite", is_flag=True, help="Also change, from the beginning, the plan of what has been metered.")
@click.option("--unchecked", is_flag=True, help="Do not compare with the two live catalogues.")
@click.option("--remove-rest", is_flag=True, help="Also take away what people mapped and the file does not have.")
@click.option("--reason", help="Why that goes; kept in the audit log. Needed with --remove-rest.")
@click.option("--dry-run", is_flag=True, help="Check only, change nothing.")
@impact_option
@connection_option
@output
def import_mappings(
    file: Path,
    rewrite: bool,
    unchecked: bool,
    remove_rest: bool,
    reason: str | None,
    dry_run: bool,
    impact: bool,
    connection: str,
) -> Any:
    """Set up the mappings of a CSV file, all or none; `config/mappings.example.csv` shows the columns."""
    lines = files.read_lines(file.read_text(encoding="utf-8"))
    pairs = files.taken(lines)
    if remove_rest:
        if unchecked or not (reason or dry_run or impact):
            raise BadInput("--remove-rest needs a --reason, and goes with no --unchecked")
        return _replace(connection, rows.of_file(lines), reason, rewrite=rewrite, dry_run=dry_run, impact=impact)
    return _apply(
        connection, pairs, "mappings import", check=not unchecked, rewrite=rewrite, dry_run=dry_run, impact=impact
    )


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
        text = files.to_csv(peoples(db, connection))
    if file is None:
        return {"csv": text}, text.rstrip("\n")
    file.write_text(text, encoding="utf-8")
    return {"file": str(file)}, f"Written to {file}."


@mappings_group.command("pull")
@click.option(
    "--remove-doubles", is_flag=True, help="Of mappings that m3ter has twice, delete there all but the oldest."
)
@click.option("--dry-run", is_flag=True, help="Compare only, change nothing.")
@connection_option
@output
def pull_mappings(remove_doubles: bool, dry_run: bool, connection: str) -> Any:
    """Rebuild the local mappings from m3ter's External Mappings; what contradicts is shown and not taken."""
    services = wire()
    who = audit.actor()
    found = pull.pull(services, connection, made_by=who, remove_doubles=remove_doubles, dry_run=dry_run)
    removed = len(found.doubles) if remove_doubles and not dry_run else 0
    counts = {
        "inserted": len(found.inserted), "corrected": len(found.corrected), "there": found.there,
        "doubles": len(found.doubles), "doubles_removed": removed, "contradictions": len(found.contradictions),
        "refused": len(found.refused), "left_alone": found.left_alone,
    }  # fmt: skip
    if not dry_run:
        actions.note_mapped(
            services, connection, ["m3ter's External Mappings"], "mappings pull", found.woken, who, **counts
        )
    document = counts | {
        "inserted": [str(pair) for pair in found.inserted],
        "corrected": [str(pair) for pair in found.corrected],
        "doubles": [one.id for one in found.doubles],
        "contradictions": [list(sides) for sides in found.contradictions],
        "refused": list(found.refused),
        "woken": list(found.woken),
        "dry_run": dry_run,
        "exit_status": 1 if found.contradictions or found.refused else 0,
    }
    return document, _pull_text(found, removed=removed, dry_run=dry_run)


def _pull_text(found: pull.Pulled, *, removed: int, dry_run: bool) -> str:
    missing, known = ("would be inserted", "would be noted") if dry_run else ("inserted", "noted")
    lines = [
        f"{len(found.inserted)} {missing}, {len(found.corrected)} {known} with m3ter's id, {found.there} the same already, "
        f"{found.left_alone} of other kinds left alone{_go_on(list(found.woken))}",
        *(f"  {pair}" for pair in found.inserted),
    ]
    if found.doubles:
        fate = "removed from m3ter" if removed else "the older ones count; --remove-doubles deletes these in m3ter"
        lines += [f"{len(found.doubles)} doubled, {fate}:", *(f"  {_in_m3ter(one)}" for one in found.doubles)]
    for sides in found.contradictions:
        lines += ["Contradiction, not taken; delete what is wrong in m3ter, or correct the mapping here:"]
        lines += [f"  {side}" for side in sides]
    lines += [f"Not taken: {sentence}" for sentence in found.refused]
    return "\n".join(lines)


def _in_m3ter(one: Any) -> str:
    return f"{one.id}: {one.m3ter_entity} {one.m3ter_id} → {one.external_table} {one.external_id}"


def _apply(
    connection: str, pairs: list[Pair], action: str, *, check: bool, rewrite: bool, dry_run: bool, impact: bool
) -> Any:
    services = wire()
    if impact:
        return _shown(services, connection, [Wish(pair) for pair in pairs])
    woken = actions.map_pairs(
        services, connection, pairs, audit.actor(), action=action, check=check, rewrite=rewrite, dry_run=dry_run
    )
    document = {"mapped": 0 if dry_run else len(pairs), "checked": len(pairs), "woken": woken}
    if dry_run:
        return document, f"{len(pairs)} mapping(s) are right; nothing was changed."
    return document, f"{len(pairs)} mapping(s) set up{_go_on(woken)}"


def _replace(
    connection: str, wishes: list[Wish], reason: str | None, *, rewrite: bool, dry_run: bool, impact: bool
) -> Any:
    """Make people's mappings what the file says, and nothing else."""
    services = wire()
    with services.reading() as db:
        wishes = wishes + rows.rest(db, connection, wishes)
    if impact:
        return _shown(services, connection, wishes)
    found = proposals.propose(services, connection, wishes)
    refuse([_fault(one, fault) for one in found.faulty for fault in one.faults])
    refuse([] if rewrite else found.against)
    counts = ", ".join(f"{found.counts[what]} to {what}" for what in ("add", "change", "remove"))
    document = {"changed": 0, "counts": dict(found.counts), "woken": list[int]()}
    if dry_run:
        return document, f"{counts}; nothing was changed."
    woken = saving.save(services, found, who=audit.actor(), reason=reason)
    actions.queue(services, woken[: actions.QUEUED_AT_ONCE])
    return document | {"changed": len(found.changes), "woken": woken}, f"{counts}: done{_go_on(woken)}"


def _fault(change: proposals.Change, fault: proposals.Fault) -> str:
    column, text = fault
    return (
        f"{change.pair}: {text}" if change.line is None else files.said(change.line, column, f"{change.pair}: {text}")
    )


def _shown(services: Services, connection: str, wishes: list[Wish]) -> Any:
    """What these rows would do; exits with 1 where one cannot be."""
    found = proposals.propose(services, connection, wishes)
    faults = [f"Wrong: {_fault(one, fault)}" for one in found.faulty for fault in one.faults]
    against = [f"Against it, unless --rewrite says that it is meant: {one}" for one in found.against]
    said = [*_impact(found), *against, *faults] or ["Nothing would change."]
    return proposals.as_json(found) | {"exit_status": 1 if faults else 0}, "\n".join(said)


def _impact(found: Proposal) -> list[str]:
    """What a change would do, sentence by sentence."""
    said = [f"  {one.what}: {one.before or 'nothing'} → {one.after or 'nothing'}" for one in found.changes]
    said += [f"{number} {kind} sync(s) that stand still would be tried again." for kind, number in found.goes_on]
    if found.held.held:
        sums = "".join(f", {amount} {currency}" for currency, amount in found.freed.totals)
        said.append(
            f"Of {found.held.held} waiting bill(s), {len(found.freed.bills)} would have every line mapped{sums}."
        )
    if found.looked_at:
        said.append(f"{len(found.looked_at)} subscription(s) would be compared again with what m3ter has.")
    said += [f"  account plan {one.code}: {one.before} → {', '.join(one.after) or 'none'}" for one in found.moves]
    return said + found.kept


def _go_on(woken: list[int]) -> str:
    return f"; {len(woken)} sync(s) go on." if woken else "."
