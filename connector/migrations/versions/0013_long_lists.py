"""Long lists: the terms that invoices bill, so that pending ones are found at once, and indexes for mappings and bills."""

from datetime import timedelta

import sqlalchemy as sa
from alembic import op

from connector import invoice_terms
from connector.database import Moment

revision = "0013"
down_revision = "0012"

IS_PENDING = sa.text("is_pending")
IS_PEOPLES = sa.text(
    "(m3ter_entity IN ('Plan', 'NotMetered', 'Pricing', 'Aggregation', 'CompoundAggregation', 'Product', 'LineItemType', "
    "'Default', 'Contract') OR made_by != 'connector')"
)
MOMENT = sa.DateTime(timezone=True)
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# No invoice stays pending for longer.
LONGEST = timedelta(days=51)
ROWS = 1000

MIRROR = sa.table(
    "mirror", sa.column("id", ID), sa.column("connection", sa.Text()), sa.column("resource", sa.Text()),
    sa.column("body", sa.JSON()), sa.column("seen_at", Moment()),
)  # fmt: skip
TERMS = sa.table(
    "invoice_terms", *(sa.column(name, Moment()) for name in ("starts_at", "ends_at", "dated", "seen_at")),
    *(sa.column(name, sa.Text()) for name in ("connection", "invoice_id", "subscription_id")),
    sa.column("is_pending", sa.Boolean()),
)  # fmt: skip


def upgrade() -> None:
    op.create_table(
        "invoice_terms",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("invoice_id", sa.Text(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("starts_at", MOMENT, nullable=False),
        sa.Column("ends_at", MOMENT, nullable=False),
        sa.Column("dated", MOMENT, nullable=True),
        sa.Column("is_pending", sa.Boolean(), nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.Column("id", ID, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoice_terms")),
        sa.UniqueConstraint(
            "connection",
            "invoice_id",
            "subscription_id",
            "starts_at",
            name=op.f("uq_invoice_terms_connection_invoice_id_subscription_id_starts_at"),
        ),
    )
    _take_over()
    with op.batch_alter_table("invoice_terms", schema=None) as batch_op:
        batch_op.create_index(
            "ix_invoice_terms_pending",
            ["connection", "seen_at"],
            unique=False,
            sqlite_where=IS_PENDING,
            postgresql_where=IS_PENDING,
        )
        batch_op.create_index("ix_invoice_terms_term", ["connection", "subscription_id", "starts_at"], unique=False)
    with op.batch_alter_table("external_mappings", schema=None) as batch_op:
        batch_op.create_index("ix_external_mappings_kind", ["connection", "m3ter_entity", "id"], unique=False)
        batch_op.create_index(
            "ix_external_mappings_peoples",
            ["connection", "id"],
            unique=False,
            sqlite_where=IS_PEOPLES,
            postgresql_where=IS_PEOPLES,
        )
    with op.batch_alter_table("bills", schema=None) as batch_op:
        batch_op.create_index("ix_bills_currency", ["currency", "connection"], unique=False)
    with op.batch_alter_table("bill_snapshots", schema=None) as batch_op:
        batch_op.create_index("ix_bill_snapshots_status", ["connection", "status", "id"], unique=False)
        batch_op.create_index("ix_bill_snapshots_currency", ["currency", "connection"], unique=False)
    with op.batch_alter_table("receipts", schema=None) as batch_op:
        batch_op.create_index(op.f("ix_receipts_connection"), ["connection"], unique=False)


def _take_over() -> None:
    """The terms of the invoices that were seen before, as far back as one can be pending: some rows at a time."""
    db, after = op.get_bind(), 0
    is_invoice = MIRROR.c.resource == "invoice"
    newest = db.scalar(sa.select(sa.func.max(MIRROR.c.seen_at)).where(is_invoice))
    while newest is not None:
        some = sa.select(MIRROR).where(is_invoice, MIRROR.c.seen_at > newest - LONGEST, MIRROR.c.id > after)
        rows = db.execute(some.order_by(MIRROR.c.id).limit(ROWS)).all()
        if not rows:
            break
        after = rows[-1].id
        terms = [term for row in rows for term in invoice_terms.as_rows(row.connection, row.body, row.seen_at)]
        if terms:
            db.execute(sa.insert(TERMS), terms)


def downgrade() -> None:
    with op.batch_alter_table("receipts", schema=None) as batch_op:
        batch_op.drop_index(op.f("ix_receipts_connection"))
    with op.batch_alter_table("bill_snapshots", schema=None) as batch_op:
        batch_op.drop_index("ix_bill_snapshots_currency")
        batch_op.drop_index("ix_bill_snapshots_status")
    with op.batch_alter_table("bills", schema=None) as batch_op:
        batch_op.drop_index("ix_bills_currency")
    with op.batch_alter_table("external_mappings", schema=None) as batch_op:
        batch_op.drop_index("ix_external_mappings_peoples")
        batch_op.drop_index("ix_external_mappings_kind")
    op.drop_table("invoice_terms")
