"""The local table of mappings, which is the one that is trusted."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from connector.database import insert
from connector.mappings.kinds import CHARGE_ENTITIES, PLAN_ENTITIES, SET_UP_ENTITIES, SUBSCRIPTION, SYSTEM
from connector.mappings.pairs import Pair
from connector.models import IS_PEOPLES, Mapping

# A row with all of these the same is the same row.
UNIQUE = ("connection", "m3ter_entity", "m3ter_id", "external_table", "external_id", "customer_id", "valid_from")


def listed(db: Session, connection: str, *, limit: int) -> tuple[list[Mapping], int]:
    """The first mappings of the connection, those that people set up before the others, and how many there are beyond them."""
    rows: list[Mapping] = []
    of_connection, is_set_up = Mapping.connection == connection, Mapping.m3ter_entity.in_(SET_UP_ENTITIES)
    for wanted in (is_set_up, ~is_set_up):
        some = select(Mapping).where(of_connection, wanted).order_by(Mapping.id).limit(limit - len(rows))
        rows += db.scalars(some).all()
    return rows, (db.scalar(select(func.count()).select_from(Mapping).where(of_connection)) or 0) - len(rows)


def peoples(db: Session, connection: str) -> Sequence[Mapping]:
    """Every mapping of the connection that people made, those that they set up first."""
    rows = db.scalars(select(Mapping).where(Mapping.connection == connection, IS_PEOPLES).order_by(Mapping.id)).all()
    return sorted(rows, key=lambda row: row.m3ter_entity not in SET_UP_ENTITIES)


def newest(db: Session, connection: str, *, before: int | None = None, limit: int) -> Sequence[Mapping]:
    """The connection's newest mappings; older than row `before`."""
    older = [] if before is None else [Mapping.id < before]
    rows = select(Mapping).where(Mapping.connection == connection, *older).order_by(Mapping.id.desc()).limit(limit)
    return db.scalars(rows).all()


def external_id(db: Session, connection: str, m3ter_entity: str, m3ter_id: str, external_table: str) -> str | None:
    """The Chargebee id that this m3ter entity stands for."""
    return db.scalar(
        select(Mapping.external_id)
        .where(
            Mapping.connection == connection,
            Mapping.m3ter_entity == m3ter_entity,
            Mapping.m3ter_id == m3ter_id,
            Mapping.external_table == external_table,
        )
        .order_by(Mapping.id)
        .limit(1)
    )


def customers_of(db: Session, connection: str, account_ids: Sequence[str]) -> dict[str, str]:
    """The Chargebee customer that each of these m3ter accounts stands for."""
    rows = db.scalars(
        select(Mapping)
        .where(
            Mapping.connection == connection,
            Mapping.m3ter_entity == "Account",
            Mapping.external_table == "Customer",
            Mapping.m3ter_id.in_(account_ids),
        )
        .order_by(Mapping.id.desc())
    )
    return {row.m3ter_id: row.external_id for row in rows}


def account_of(db: Session, connection: str, customer_id: str) -> str | None:
    """The m3ter account that stands for this Chargebee customer."""
    return db.scalar(
        select(Mapping.m3ter_id)
        .filter_by(connection=connection, m3ter_entity="Account", external_table="Customer", external_id=customer_id)
        .order_by(Mapping.id)
        .limit(1)
    )


def on_topic(connection: str, pair: Pair) -> list[Any]:
    """The conditions under which a row is about the same as the pair."""
    conditions = [Mapping.connection == connection, Mapping.external_table == pair.external_table]
    if pair.m3ter_entity in PLAN_ENTITIES:
        return [
            *conditions, Mapping.m3ter_entity.in_(PLAN_ENTITIES), Mapping.external_id == pair.external_id,
            Mapping.customer_id == pair.customer_id, Mapping.valid_from == pair.valid_from,
        ]  # fmt: skip
    conditions.append(Mapping.m3ter_entity == pair.m3ter_entity)
    if pair.m3ter_entity in CHARGE_ENTITIES:
        return [
            Mapping.connection == connection, Mapping.m3ter_entity == pair.m3ter_entity,
            Mapping.m3ter_id == pair.m3ter_id, Mapping.currency == pair.currency,
        ]  # fmt: skip
    if pair.external_table == SUBSCRIPTION:
        return [*conditions, Mapping.m3ter_id == pair.m3ter_id]
    return [*conditions, Mapping.external_id == pair.external_id]


def about(db: Session, connection: str, pair: Pair) -> Mapping | None:
    """The row that says something about the same as the pair, which saying the pair would correct."""
    rows = db.scalars(select(Mapping).where(*on_topic(connection, pair)).order_by(Mapping.id.desc()))
    found: Mapping | None = rows.first()
    return found


def select_of(connection: str, pair: Pair) -> Any:
    """The SELECT of the row that is this pair's, whatever its currency and its end."""
    return select(Mapping).where(
        Mapping.connection == connection,
        Mapping.m3ter_entity == pair.m3ter_entity,
        Mapping.m3ter_id == pair.m3ter_id,
        Mapping.external_table == pair.external_table,
        Mapping.external_id == pair.external_id,
        Mapping.customer_id == pair.customer_id,
        Mapping.valid_from == pair.valid_from,
    )


def insert_of(db: Session, connection: str, pair: Pair, *, made_by: str, now: datetime) -> Any:
    """The INSERT of the pair's row; the caller says what to do where it is there already."""
    return insert(db, Mapping).values(
        connection=connection, m3ter_entity=pair.m3ter_entity, m3ter_id=pair.m3ter_id, external_system=SYSTEM,
        external_table=pair.external_table, external_id=pair.external_id, currency=pair.currency,
        customer_id=pair.customer_id, valid_from=pair.valid_from, valid_until=pair.valid_until,
        made_by=made_by, created_at=now,
    )  # fmt: skip
