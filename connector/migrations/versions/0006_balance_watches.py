"""Balances that are watched, and what they held when somebody looked."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "balance_watches",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("balance_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("threshold", sa.Text(), nullable=False),
        sa.Column("credit", sa.Text(), nullable=True),
        sa.Column("price", sa.Text(), nullable=True),
        sa.Column("price_currency", sa.Text(), nullable=True),
        sa.Column("free", sa.Boolean(), nullable=False),
        sa.Column("transaction_type_id", sa.Text(), nullable=True),
        sa.Column("cap_credit", sa.Text(), nullable=True),
        sa.Column("cap_number", sa.Integer(), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("state_since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_held", sa.Text(), nullable=True),
        sa.Column("next_check_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_balance_watches")),
        sa.UniqueConstraint("connection", "balance_id", name=op.f("uq_balance_watches_connection_balance_id")),
    )
    with op.batch_alter_table("balance_watches", schema=None) as batch_op:
        batch_op.create_index("ix_balance_watches_due", ["connection", "next_check_at"], unique=False)
    op.create_table(
        "balance_readings",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("balance_id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("held", sa.Text(), nullable=False),
        sa.Column("total_credit", sa.Text(), nullable=False),
        sa.Column("total_debit", sa.Text(), nullable=False),
        sa.Column("consumed", sa.Text(), nullable=False),
        sa.Column("expired", sa.Text(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_balance_readings")),
        sa.UniqueConstraint(
            "connection", "balance_id", "at", name=op.f("uq_balance_readings_connection_balance_id_at")
        ),
    )
