"""The mappings that there are: those that people made, and the connector's own, a page at a time."""

from collections.abc import Mapping as Table
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from connector.counts import MOST, Count
from connector.mappings.kinds import CHARGE_ENTITIES, PLAN_ENTITIES, SUBSCRIPTION
from connector.models import IS_PEOPLES, AccountPlan, Mapping

# What people map, by what a person calls it.
PEOPLES: Table[str, tuple[str, ...]] = {
    "item prices": PLAN_ENTITIES,
    "bill lines": CHARGE_ENTITIES,
    "accounts and contracts": ("Account", "Contract"),
}
# What the connector maps by itself: the m3ter entity and the Chargebee table.
OWN: Table[str, tuple[str, str]] = {
    "customers": ("Account", "Customer"),
    "subscriptions": ("AccountPlan", SUBSCRIPTION),
    "invoices": ("Bill", "Invoice"),
    "invoice lines": ("BillItem", "Invoice"),
}
OWN_ROW = "connector"


def peoples(
    db: Session,
    connection: str,
    *,
    kind: str | None = None,
    about: str | None = None,
    before: int | None = None,
    limit: int,
) -> list[Mapping]:
    """The newest mappings that people made; `about` is a part of any id in them."""
    wanted = [_is_peoples(connection)]
    if kind is not None:
        wanted.append(Mapping.m3ter_entity.in_(PEOPLES[kind]))
    if about is not None:
        columns = (Mapping.m3ter_id, Mapping.external_id, Mapping.customer_id, Mapping.m3ter_entity)
        wanted.append(or_(*(column.icontains(about, autoescape=True) for column in columns)))
    return _page(db, wanted, before, limit)


def own(
    db: Session, connection: str, kind: str, *, about: str | None = None, before: int | None = None, limit: int
) -> list[Mapping]:
    """The newest of the connector's own mappings of a kind; `about` is a whole id of either side, or a subscription's."""
    wanted = [_is_own(connection, kind)]
    if about is not None:
        ids = [Mapping.m3ter_id == about, Mapping.external_id == about]
        if kind == "subscriptions":
            plans = select(AccountPlan.m3ter_id).where(
                AccountPlan.connection == connection, AccountPlan.subscription_id == about
            )
            # Written out, so that the index finds them: a subscription has few.
            ids.append(Mapping.m3ter_id.in_(db.scalars(plans).all()))
        wanted.append(or_(*ids))
    return _page(db, wanted, before, limit)


def _page(db: Session, wanted: list[ColumnElement[bool]], before: int | None, limit: int) -> list[Mapping]:
    older = [] if before is None else [Mapping.id < before]
    return list(db.scalars(select(Mapping).where(*wanted, *older).order_by(Mapping.id.desc()).limit(limit)))


def counts(db: Session, connection: str) -> dict[str, Count]:
    """How many there are of each kind, people's first."""
    of_people = db.execute(
        select(Mapping.m3ter_entity, func.count()).where(_is_peoples(connection)).group_by(Mapping.m3ter_entity)
    )
    by_entity = {row[0]: int(row[1]) for row in of_people}
    found = {kind: Count(sum(by_entity.get(one, 0) for one in entities)) for kind, entities in PEOPLES.items()}
    return found | {kind: _number(db, _is_own(connection, kind)) for kind in OWN}


def _number(db: Session, wanted: Any) -> Count:
    some = select(Mapping.id).where(wanted).limit(MOST).subquery()
    return Count(db.scalar(select(func.count()).select_from(some)) or 0)


def _is_peoples(connection: str) -> ColumnElement[bool]:
    """As `files.is_peoples`, in the words of the index that leaves out the many rows that only the connector makes."""
    return and_(Mapping.connection == connection, IS_PEOPLES)


def _is_own(connection: str, kind: str) -> ColumnElement[bool]:
    entity, table = OWN[kind]
    return and_(
        Mapping.connection == connection, Mapping.m3ter_entity == entity, Mapping.external_table == table,
        Mapping.made_by == OWN_ROW,
    )  # fmt: skip
