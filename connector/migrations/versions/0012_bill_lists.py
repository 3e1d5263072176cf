"""What lists of bills are made from: a bill's total as the poll saw it, and indexes for what people look for."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

IS_BILL = sa.text("kind = 'bill'")


def upgrade() -> None:
    with op.batch_alter_table("bills", schema=None) as batch_op:
        batch_op.add_column(sa.Column("currency", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("total", sa.Text(), nullable=True))
        batch_op.create_index("ix_bills_account", ["connection", "account_id"], unique=False)
    with op.batch_alter_table("bill_snapshots", schema=None) as batch_op:
        batch_op.create_index("ix_bill_snapshots_account", ["connection", "account_id"], unique=False)
    with op.batch_alter_table("line_pushes", schema=None) as batch_op:
        batch_op.create_index("ix_line_pushes_final_invoice", ["connection", "final_invoice_id"], unique=False)
    with op.batch_alter_table("syncs", schema=None) as batch_op:
        batch_op.create_index("ix_syncs_bills", ["id"], unique=False, sqlite_where=IS_BILL, postgresql_where=IS_BILL)


def downgrade() -> None:
    with op.batch_alter_table("syncs", schema=None) as batch_op:
        batch_op.drop_index("ix_syncs_bills", sqlite_where=IS_BILL, postgresql_where=IS_BILL)
    with op.batch_alter_table("line_pushes", schema=None) as batch_op:
        batch_op.drop_index("ix_line_pushes_final_invoice")
    with op.batch_alter_table("bill_snapshots", schema=None) as batch_op:
        batch_op.drop_index("ix_bill_snapshots_account")
    with op.batch_alter_table("bills", schema=None) as batch_op:
        batch_op.drop_index("ix_bills_account")
        batch_op.drop_column("total")
        batch_op.drop_column("currency")
