"""What shadow mode has found of each bill."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "bill_comparisons",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("bill_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("billed_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("decimals", sa.Integer(), nullable=False),
        sa.Column("wanted_minor", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("found_minor", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("is_final", sa.Boolean(), nullable=False),
        sa.Column("differences", sa.JSON(), nullable=False),
        sa.Column("alike", sa.JSON(), nullable=False),
        sa.Column("compared_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bill_comparisons")),
        sa.UniqueConstraint("connection", "bill_id", name=op.f("uq_bill_comparisons_connection_bill_id")),
    )
    with op.batch_alter_table("bill_comparisons", schema=None) as batch_op:
        batch_op.create_index("ix_bill_comparisons_billed_until", ["connection", "billed_until"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("bill_comparisons", schema=None) as batch_op:
        batch_op.drop_index("ix_bill_comparisons_billed_until")

    op.drop_table("bill_comparisons")
