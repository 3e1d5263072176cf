"""What of one provider belongs to what of the other."""

from datetime import UTC, date, datetime

from sqlalchemy import Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from connector.models.base import Base

# The start of what has no start.
ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
# What people map, among the many rows that only the connector makes.
IS_PEOPLES = text(
    "(m3ter_entity IN ('Plan', 'NotMetered', 'Pricing', 'Aggregation', 'CompoundAggregation', 'Product', 'LineItemType', "
    "'Default', 'Contract') OR made_by != 'connector')"
)


class Mapping(Base):
    """A pair of an m3ter entity and a Chargebee record, in the shape of m3ter's External Mappings."""

    __tablename__ = "external_mappings"
    __table_args__ = (
        UniqueConstraint(
            "connection", "m3ter_entity", "m3ter_id", "external_table", "external_id", "customer_id", "valid_from"
        ),
        Index("ix_external_mappings_external", "connection", "external_table", "external_id"),
        # The newest of each kind.
        Index("ix_external_mappings_kind", "connection", "m3ter_entity", "id"),
        Index("ix_external_mappings_peoples", "connection", "id", sqlite_where=IS_PEOPLES, postgresql_where=IS_PEOPLES),
    )

    connection: Mapped[str]
    m3ter_entity: Mapped[str]
    m3ter_id: Mapped[str]
    external_system: Mapped[str]
    external_table: Mapped[str]
    external_id: Mapped[str]
    # For a charge item price: the only currency it can be used in.
    currency: Mapped[str | None]
    # For a plan or addon item price: whose subscriptions it holds for (`*`: everybody's), and in which time.
    customer_id: Mapped[str] = mapped_column(default="*")
    valid_from: Mapped[datetime] = mapped_column(default=ALWAYS)
    valid_until: Mapped[datetime | None]
    made_by: Mapped[str]
    created_at: Mapped[datetime]
    # Rows that we also write to m3ter: when we first tried, and the id it got there.
    sent_at: Mapped[datetime | None]
    m3ter_mapping_id: Mapped[str | None] = mapped_column(index=True)


class Account(Base):
    """The m3ter account of one Chargebee customer: planned before it is sent, live once m3ter has answered."""

    __tablename__ = "accounts"
    __table_args__ = (UniqueConstraint("connection", "customer_id"),)

    connection: Mapped[str]
    customer_id: Mapped[str]
    code: Mapped[str] = mapped_column(index=True)
    m3ter_id: Mapped[str | None] = mapped_column(index=True)
    status: Mapped[str]
    # What m3ter was last told, so that an unchanged customer costs no call.
    fields_sha256: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime]


class AccountPlan(Base):
    """One m3ter account plan of one subscription item: planned before it is sent, live once m3ter has answered."""

    __tablename__ = "account_plans"
    __table_args__ = (
        UniqueConstraint("connection", "code"),
        Index("ix_account_plans_subscription", "connection", "subscription_id"),
    )

    connection: Mapped[str]
    subscription_id: Mapped[str]
    customer_id: Mapped[str] = mapped_column(index=True)
    item_price_id: Mapped[str]
    account_id: Mapped[str] = mapped_column(index=True)
    plan_id: Mapped[str]
    code: Mapped[str] = mapped_column(index=True)
    start: Mapped[datetime]
    end: Mapped[datetime | None]
    bill_epoch: Mapped[date | None]
    m3ter_id: Mapped[str | None] = mapped_column(index=True)
    status: Mapped[str]
    created_at: Mapped[datetime]


class Transfer(Base):
    """A customer or subscription that went to another business entity: its live copy has another id."""

    __tablename__ = "transfers"
    __table_args__ = (UniqueConstraint("connection", "resource", "old_id"),)

    connection: Mapped[str]
    resource: Mapped[str]
    old_id: Mapped[str]
    live_id: Mapped[str]
    seen_at: Mapped[datetime]
