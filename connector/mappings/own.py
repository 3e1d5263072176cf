"""The mappings that the connector makes itself: kept here, and shown by m3ter's External Mappings."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from connector import syncs
from connector.mappings import table
from connector.mappings.kinds import SYSTEM
from connector.mappings.pairs import Pair
from connector.models import Mapping
from connector.services import Services


def record(services: Services, connection: str, pair: Pair) -> None:
    """Keep a mapping of the connector's own here and in m3ter, once in each however often it is called.

    What waited for it goes on.
    """
    now = services.now()
    with services.transaction() as db:
        made = table.insert_of(db, connection, pair, made_by="connector", now=now).on_conflict_do_nothing()
        if db.scalar(made.returning(Mapping.id)) is not None:
            syncs.wake(db, connection, [f"mapping:{pair.external_table}:{pair.external_id}"], now)
        row = db.scalars(table.select_of(connection, pair)).one()
        tried_before, written = row.sent_at is not None, row.m3ter_mapping_id is not None
        row.sent_at = row.sent_at or now
    if written:
        return
    m3ter = services.connection(connection).m3ter
    # m3ter has no uniqueness of its own (m3ter.md §6): after a try without an answer, look before repeating. Of doubles the
    # oldest counts, which it lists last.
    found = (
        [one for one in m3ter.external_mappings_of(pair.m3ter_entity, pair.m3ter_id) if _same(one, pair)]
        if tried_before
        else []
    )
    made = found[-1] if found else m3ter.create_external_mapping(
        m3ter_entity=pair.m3ter_entity, m3ter_id=pair.m3ter_id,
        external_system=SYSTEM, external_table=pair.external_table, external_id=pair.external_id,
    )  # fmt: skip
    with services.transaction() as db:
        db.execute(update(Mapping).where(Mapping.id == row.id).values(m3ter_mapping_id=made.id))


def _same(found: Any, pair: Pair) -> bool:
    return (found.external_system, found.external_table, found.external_id) == (
        SYSTEM,
        pair.external_table,
        pair.external_id,
    )


def forget(
    services: Services, connection: str, m3ter_entity: str, m3ter_id: str, external_table: str, keep: Sequence[str] = ()
) -> None:
    """Take the connector's own mappings of this entity to anything but `keep` out of both systems."""
    with services.reading() as db:
        rows = db.scalars(
            select(Mapping).where(
                Mapping.connection == connection, Mapping.m3ter_entity == m3ter_entity, Mapping.m3ter_id == m3ter_id,
                Mapping.external_table == external_table, Mapping.external_id.not_in(keep), Mapping.made_by == "connector",
            )
        ).all()  # fmt: skip
    for row in rows:
        if row.m3ter_mapping_id is not None:
            services.connection(connection).m3ter.delete_external_mapping(row.m3ter_mapping_id)
        with services.transaction() as db:
            db.execute(delete(Mapping).where(Mapping.id == row.id))


def note_shown(db: Session, connection: str, pair: Pair, mapping_id: str, *, made_by: str, now: datetime) -> None:
    """Keep this row, made where it is missing, with the id under which m3ter shows it."""
    db.execute(table.insert_of(db, connection, pair, made_by=made_by, now=now).on_conflict_do_nothing())
    row = db.scalars(table.select_of(connection, pair)).one()
    row.m3ter_mapping_id, row.sent_at = mapping_id, row.sent_at or now
