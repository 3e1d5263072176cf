"""Top-ups sold in Chargebee: which item prices they are, and what has been credited for which invoice line."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "top_up_products",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("item_price_id", sa.Text(), nullable=False),
        sa.Column("price_currency", sa.Text(), nullable=False),
        sa.Column("balance_code", sa.Text(), nullable=False),
        sa.Column("balance_name", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("decimals", sa.Integer(), nullable=False),
        sa.Column("rate", sa.Text(), nullable=False),
        sa.Column("expires_after_months", sa.Integer(), nullable=True),
        sa.Column("basis", sa.Text(), nullable=True),
        sa.Column("transaction_type", sa.Text(), nullable=False),
        sa.Column("transaction_type_id", sa.Text(), nullable=False),
        sa.Column("sold_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_top_up_products")),
    )
    with op.batch_alter_table("top_up_products", schema=None) as batch_op:
        batch_op.create_index("ix_top_up_products_price", ["connection", "item_price_id"], unique=False)
        batch_op.create_index(
            "uq_top_up_products_live",
            ["connection", "item_price_id"],
            unique=True,
            sqlite_where=sa.text("removed_at IS NULL"),
            postgresql_where=sa.text("removed_at IS NULL"),
        )
    op.create_table(
        "sold_top_ups",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("invoice_id", sa.Text(), nullable=False),
        sa.Column("line_id", sa.Text(), nullable=False),
        sa.Column("product_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("balance_id", sa.Text(), nullable=False),
        sa.Column("paid_minor", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["product_id"], ["top_up_products.id"], name=op.f("fk_sold_top_ups_product_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sold_top_ups")),
        sa.UniqueConstraint(
            "connection", "invoice_id", "line_id", name=op.f("uq_sold_top_ups_connection_invoice_id_line_id")
        ),
    )
