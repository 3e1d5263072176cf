"""Bills as they were seen, and what became of each of their lines."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from connector.database import Id
from connector.models.base import Base

IS_PUSHING = text("status = 'pushing'")


class SeenBill(Base):
    """What the last poll said of an approved bill; a new version opens a sync."""

    __tablename__ = "bills"
    __table_args__ = (UniqueConstraint("connection", "bill_id"), Index("ix_bills_currency", "currency", "connection"))

    connection: Mapped[str]
    bill_id: Mapped[str]
    account_id: Mapped[str] = mapped_column(index=True)
    version: Mapped[int]
    last_calculated: Mapped[str | None]
    approved_at: Mapped[str | None]
    # Until when, exclusive, the account's usage is billed by it.
    billed_until: Mapped[datetime]
    # Its exact total in its own currency; None where m3ter's list has not said.
    currency: Mapped[str | None]
    total: Mapped[Decimal | None]
    seen_at: Mapped[datetime]


class BillSnapshot(Base):
    """A bill as it was frozen before the first line was sent: pushing, pushed or stopped."""

    __tablename__ = "bill_snapshots"
    __table_args__ = (
        UniqueConstraint("connection", "bill_id", "generation"),
        Index(
            "uq_bill_snapshots_live", "connection", "bill_id", unique=True,
            sqlite_where=IS_PUSHING, postgresql_where=IS_PUSHING,
        ),
        Index("ix_bill_snapshots_status", "connection", "status", "id"),
        Index("ix_bill_snapshots_currency", "currency", "connection"),
    )  # fmt: skip

    connection: Mapped[str]
    bill_id: Mapped[str]
    generation: Mapped[int]
    account_id: Mapped[str] = mapped_column(index=True)
    bill_version: Mapped[int]
    last_calculated: Mapped[str | None]
    sha256: Mapped[str] = mapped_column(String(64))
    currency: Mapped[str]
    decimals: Mapped[int]
    exact_total: Mapped[Decimal]
    total_minor: Mapped[int] = mapped_column(Id)
    lines: Mapped[list[Any]]
    status: Mapped[str]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class BillApproval(Base):
    """One person's word that a bill, calculated to just this result, may be pushed."""

    __tablename__ = "bill_approvals"
    __table_args__ = (UniqueConstraint("connection", "bill_id", "sha256", "actor"),)

    connection: Mapped[str]
    bill_id: Mapped[str]
    sha256: Mapped[str] = mapped_column(String(64))
    actor: Mapped[str]
    at: Mapped[datetime]


class LinePush(Base):
    """The intent to send one charge: planned → sending → done, or parked.

    `parts` are the bill lines that it is made of, each with its minor units; what was netted to nothing is done at once.
    """

    __tablename__ = "line_pushes"
    __table_args__ = (
        UniqueConstraint("snapshot_id", "charge_key"),
        UniqueConstraint("connection", "invoice_id", "chargebee_line_id"),
        Index("ix_line_pushes_bill", "connection", "bill_id"),
    )

    connection: Mapped[str]
    bill_id: Mapped[str]
    snapshot_id: Mapped[int] = mapped_column(ForeignKey("bill_snapshots.id"))
    position: Mapped[int]
    charge_key: Mapped[str]
    kind: Mapped[str]
    parts: Mapped[list[Any]]
    subscription_id: Mapped[str | None] = mapped_column(index=True)
    customer_id: Mapped[str | None] = mapped_column(index=True)
    # The invoice as it was pending; when it is closed, `final_invoice_id` is the number that it got.
    invoice_id: Mapped[str | None] = mapped_column(index=True)
    final_invoice_id: Mapped[str | None] = mapped_column(index=True)
    item_price_id: Mapped[str | None]
    description: Mapped[str]
    date_from: Mapped[datetime]
    date_to: Mapped[datetime]
    amount_minor: Mapped[int] = mapped_column(Id)
    currency: Mapped[str]
    idempotency_key: Mapped[str]
    status: Mapped[str]
    baseline: Mapped[list[Any] | None]
    sent_at: Mapped[datetime | None]
    sends: Mapped[int] = mapped_column(default=0)
    chargebee_line_id: Mapped[str | None] = mapped_column(index=True)
    found_by: Mapped[str | None]


class Receipt(Base):
    """The proof of a pushed bill: every m3ter line beside its Chargebee line, both totals, hashes, when."""

    __tablename__ = "receipts"
    __table_args__ = (UniqueConstraint("snapshot_id"),)

    connection: Mapped[str] = mapped_column(index=True)
    bill_id: Mapped[str] = mapped_column(index=True)
    snapshot_id: Mapped[int] = mapped_column(ForeignKey("bill_snapshots.id"))
    body: Mapped[dict[str, Any]]
    sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]


class BillComparison(Base):
    """What shadow mode has found of a bill: its plan beside what another process has put on the invoice."""

    __tablename__ = "bill_comparisons"
    __table_args__ = (
        UniqueConstraint("connection", "bill_id"),
        Index("ix_bill_comparisons_billed_until", "connection", "billed_until"),
    )

    connection: Mapped[str]
    bill_id: Mapped[str]
    account_id: Mapped[str]
    billed_until: Mapped[datetime]
    currency: Mapped[str]
    decimals: Mapped[int]
    wanted_minor: Mapped[int] = mapped_column(Id)
    found_minor: Mapped[int] = mapped_column(Id)
    # equal, same sums or differs; not final while the invoice is pending and differs.
    verdict: Mapped[str]
    is_final: Mapped[bool]
    differences: Mapped[list[Any]]
    # The planned charges that were found just so: they are no other bill's.
    alike: Mapped[list[Any]]
    compared_at: Mapped[datetime]
