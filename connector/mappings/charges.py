"""Which charge item price a bill line becomes, and on the invoices of which subscription it goes."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from connector.mappings.kinds import AD_HOC, CHARGE_ENTITIES, ITEM_PRICE, SUBSCRIPTION
from connector.models import Mapping

CHARGE_WISH = "mapping:charges"


def charge_prices(db: Session, connection: str) -> dict[tuple[str, str, str], str]:
    """The charge item price for each (m3ter entity, m3ter id, currency), or AD_HOC."""
    rows = db.scalars(
        select(Mapping).where(
            Mapping.connection == connection,
            Mapping.external_table.in_((ITEM_PRICE, AD_HOC)),
            Mapping.m3ter_entity.in_(CHARGE_ENTITIES),
        )
    )
    return {
        (row.m3ter_entity, row.m3ter_id, str(row.currency)): AD_HOC if row.external_table == AD_HOC else row.external_id
        for row in rows
    }


def named_subscriptions(db: Session, connection: str) -> dict[tuple[str, str], str]:
    """The subscription on whose invoices the lines of an account or a contract go, where a person has said so."""
    rows = db.scalars(
        select(Mapping).where(
            Mapping.connection == connection,
            Mapping.external_table == SUBSCRIPTION,
            Mapping.m3ter_entity.in_(("Account", "Contract")),
        )
    )
    return {(row.m3ter_entity, row.m3ter_id): row.external_id for row in rows}
