"""The mappings that people make: added, corrected and taken away, with what that sets going."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from connector import syncs
from connector.mappings import guards, table, wakes
from connector.mappings.catalogues import checked
from connector.mappings.pairs import BadMapping, Pair, refuse
from connector.mappings.plans import plan_choices
from connector.models import Mapping
from connector.services import Services


def add(
    services: Services,
    connection: str,
    pairs: Iterable[Pair],
    *,
    made_by: str,
    check: bool = True,
    rewrite: bool = False,
    dry_run: bool = False,
) -> list[int]:
    """Set up these mappings, all or none; answers the syncs that waited for them or now have something to change.

    Each is checked first against both live catalogues unless `check` is False. What is mapped already gets the new mapping
    instead. Raises BadMapping, also where a mapping without a first day would change the plan of what has been metered,
    unless `rewrite` says that this is meant. With `dry_run` it only checks.
    """
    right = checked(services, connection, pairs, check=check)
    with services.reading() as db:
        refuse([*guards.refusals(db, connection, right), *([] if rewrite else guards.rewritten(db, connection, right))])
        outdated = [] if dry_run else shown_otherwise(db, connection, right)
    if dry_run:
        return []
    take_back(services, connection, outdated)
    with services.transaction() as db:
        return put(db, connection, right, made_by=made_by, now=services.now())


def shown_otherwise(db: Session, connection: str, pairs: Iterable[Pair]) -> list[str]:
    """The ids of what m3ter shows of rows that are about to say something else."""
    return [
        row.m3ter_mapping_id
        for pair in pairs
        for row in db.scalars(select(Mapping).where(*table.on_topic(connection, pair)))
        if row.m3ter_mapping_id is not None and _shown(row) != _shown(pair)
    ]


def _shown(one: Mapping | Pair) -> tuple[str, str, str, str]:
    """As much of a mapping as m3ter shows."""
    return (one.m3ter_entity, one.m3ter_id, one.external_table, one.external_id)


def take_back(services: Services, connection: str, mapping_ids: Iterable[str]) -> None:
    """Take these mappings, by their ids there, out of m3ter before our rows say something else.

    A crash in between leaves nothing wrong there.
    """
    for mapping_id in mapping_ids:
        services.connection(connection).m3ter.delete_external_mapping(mapping_id)


def put(db: Session, connection: str, pairs: Sequence[Pair], *, made_by: str, now: datetime) -> list[int]:
    """Make these rows, or correct those that say something else about the same, for a caller that has checked them.

    Answers the syncs that waited for them or now have something to change.
    """
    before = plan_choices(db, connection)
    for pair in pairs:
        _put(db, connection, pair, made_by, now)
    woken = syncs.wake(db, connection, wakes.wishes(pairs), now)
    return woken + wakes.ask_concerned(db, connection, before, now, known=woken)


def _put(db: Session, connection: str, pair: Pair, made_by: str, now: datetime) -> None:
    row = table.about(db, connection, pair)
    if row is None:
        made = table.insert_of(db, connection, pair, made_by=made_by, now=now)
        db.execute(made.on_conflict_do_update(index_elements=table.UNIQUE, set_={"currency": pair.currency}))
        return
    if _shown(row) != _shown(pair):
        row.sent_at = row.m3ter_mapping_id = None
    if Pair.of(row) != pair:
        row.made_by = made_by
    row.m3ter_entity, row.m3ter_id = pair.m3ter_entity, pair.m3ter_id
    row.external_table, row.external_id = pair.external_table, pair.external_id
    row.currency, row.valid_until = pair.currency, pair.valid_until


def remove(
    services: Services, connection: str, pair: Pair, *, rewrite: bool = False, dry_run: bool = False
) -> list[int]:
    """Take away this mapping, which a person made, here and in m3ter; answers the syncs that now have something to change.

    Raises BadMapping where there is none, where it is the connector's own, and, unless `rewrite` says that this is meant,
    where it would change what has been metered.
    """
    with services.reading() as db:
        row = _removable(db, connection, pair)
        if not rewrite:
            refuse(guards.left_without(db, connection, row, services.now()))
    if dry_run:
        return []
    take_back(services, connection, [row.m3ter_mapping_id] if row.m3ter_mapping_id else [])
    with services.transaction() as db:
        before = plan_choices(db, connection)
        db.execute(delete(Mapping).where(Mapping.id == row.id))
        return wakes.ask_concerned(db, connection, before, services.now())


def _removable(db: Session, connection: str, pair: Pair) -> Mapping:
    row: Mapping | None = db.scalars(table.select_of(connection, pair)).first()
    if row is None:
        raise BadMapping(f"there is no mapping {pair}; `connector mappings list` shows them all")
    if fault := guards.not_removable(db, connection, row):
        raise BadMapping(f"{pair}: {fault}")
    return row
