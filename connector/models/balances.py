"""What is asked of Balance Billing, sold in Chargebee, watched and read."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from connector.database import Id
from connector.models.base import Base

# Written out and not as parameters: PostgreSQL finds a partial index only by a condition that it can read.
IS_UNDER_WAY = text("status NOT IN ('done', 'withdrawn')")


class BalanceRequest(Base):
    """What somebody asked Balance Billing to make: planned → sending → done, parked in doubt, or withdrawn.

    `reference` tells one request from every other of its kind, here and in m3ter: it is the code of what has one, and a word
    in the description of a transaction. A top-up is two requests with one reference: the credit, whose `paid_by` says where
    the money comes from, and the charge.
    """

    __tablename__ = "balance_requests"
    __table_args__ = (
        UniqueConstraint("connection", "kind", "reference"),
        Index("ix_balance_requests_balance", "connection", "balance_id"),
        Index("ix_balance_requests_source", "connection", "source"),
        Index(
            "ix_balance_requests_under_way",
            "connection",
            "balance_id",
            sqlite_where=IS_UNDER_WAY,
            postgresql_where=IS_UNDER_WAY,
        ),
    )

    connection: Mapped[str]
    kind: Mapped[str]
    reference: Mapped[str]
    account_id: Mapped[str] = mapped_column(index=True)
    balance_id: Mapped[str | None]
    amount: Mapped[Decimal | None]
    currency: Mapped[str]
    body: Mapped[dict[str, Any]]
    # charge, free or chargebee; None for what is no top-up.
    paid_by: Mapped[str | None]
    # What it was made for, where that was no person: a line of a Chargebee invoice, a balance that ran low.
    source: Mapped[str | None]
    status: Mapped[str]
    sends: Mapped[int] = mapped_column(default=0)
    sent_at: Mapped[datetime | None]
    m3ter_id: Mapped[str | None] = mapped_column(index=True)
    found_by: Mapped[str | None]
    made_by: Mapped[str]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class TopUpProduct(Base):
    """What one item price sells: so much credit on a balance for each unit of money.

    A row is never changed. Other terms are another row that begins where this one was removed, so that whatever was paid in
    a row's time keeps its terms, however late it is heard of.
    """

    __tablename__ = "top_up_products"
    __table_args__ = (
        Index(
            "uq_top_up_products_live", "connection", "item_price_id", unique=True,
            sqlite_where=text("removed_at IS NULL"), postgresql_where=text("removed_at IS NULL"),
        ),
        Index("ix_top_up_products_price", "connection", "item_price_id"),
    )  # fmt: skip

    connection: Mapped[str]
    item_price_id: Mapped[str]
    price_currency: Mapped[str]
    balance_code: Mapped[str]
    balance_name: Mapped[str]
    # The balance's currency, and to how many decimals of it credit is rounded.
    currency: Mapped[str]
    decimals: Mapped[int]
    rate: Mapped[Decimal]
    # None: one balance of the account takes all; else each purchase gets its own, which ends after so many months.
    expires_after_months: Mapped[int | None]
    # gross or net; None is what the connection's setting says.
    basis: Mapped[str | None]
    transaction_type: Mapped[str]
    transaction_type_id: Mapped[str]
    # What is paid from then on, and before `removed_at`, is credited.
    sold_from: Mapped[datetime]
    removed_at: Mapped[datetime | None]
    made_by: Mapped[str]
    created_at: Mapped[datetime]


class SoldTopUp(Base):
    """A line of a Chargebee invoice that has been credited: to which balance, under which terms, for how much money."""

    __tablename__ = "sold_top_ups"
    __table_args__ = (UniqueConstraint("connection", "invoice_id", "line_id"),)

    connection: Mapped[str]
    invoice_id: Mapped[str]
    line_id: Mapped[str] = mapped_column(index=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("top_up_products.id"))
    basis: Mapped[str]
    customer_id: Mapped[str]
    account_id: Mapped[str]
    balance_id: Mapped[str]
    # The money, in minor units of the invoice's currency, that all requests so far stand for, and how many they are.
    paid_minor: Mapped[int] = mapped_column(Id)
    requests: Mapped[int]
    created_at: Mapped[datetime]


class BalanceWatch(Base):
    """A balance that somebody wants to hear of when it holds less than `threshold`, in `currency`, which is its own.

    `credit` is what it is then topped up with by itself, None for not at all; `price` in `price_currency` is what is charged
    for that (None: as much as is credited, in its own currency), and the caps hold for a calendar month.
    """

    __tablename__ = "balance_watches"
    __table_args__ = (
        UniqueConstraint("connection", "balance_id"),
        Index("ix_balance_watches_due", "connection", "next_check_at"),
    )

    connection: Mapped[str]
    balance_id: Mapped[str]
    account_id: Mapped[str]
    currency: Mapped[str]
    threshold: Mapped[Decimal]
    credit: Mapped[Decimal | None]
    price: Mapped[Decimal | None]
    price_currency: Mapped[str | None]
    free: Mapped[bool]
    transaction_type_id: Mapped[str | None]
    cap_credit: Mapped[Decimal | None]
    cap_number: Mapped[int | None]
    enabled: Mapped[bool]
    # What it last came to, and with how much in the balance: a change of either is worth another look.
    state: Mapped[str]
    state_since: Mapped[datetime]
    last_held: Mapped[Decimal | None]
    next_check_at: Mapped[datetime]
    made_by: Mapped[str]
    made_at: Mapped[datetime]


class BalanceReading(Base):
    """What a watched balance held at a moment: kept when it has changed, else once a day."""

    __tablename__ = "balance_readings"
    __table_args__ = (UniqueConstraint("connection", "balance_id", "at"),)

    connection: Mapped[str]
    balance_id: Mapped[str]
    at: Mapped[datetime]
    held: Mapped[Decimal]
    total_credit: Mapped[Decimal]
    total_debit: Mapped[Decimal]
    consumed: Mapped[Decimal]
    expired: Mapped[Decimal]
