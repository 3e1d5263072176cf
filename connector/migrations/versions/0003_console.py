"""The console: who may log in, and indexes for what people look for."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

IS_LEFT = sa.text("status IN ('ignored', 'failed')")


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("logged_in_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("name", name=op.f("uq_users_name")),
    )
    with op.batch_alter_table("inbox", schema=None) as batch_op:
        batch_op.create_index(
            "ix_inbox_left", ["status", "id"], unique=False, sqlite_where=IS_LEFT, postgresql_where=IS_LEFT
        )
    with op.batch_alter_table("syncs", schema=None) as batch_op:
        batch_op.create_index("ix_syncs_status", ["status", "id"], unique=False)
        batch_op.create_index("ix_syncs_subject", ["subject"], unique=False)
        batch_op.create_index("ix_syncs_trigger", ["trigger"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("syncs", schema=None) as batch_op:
        batch_op.drop_index("ix_syncs_trigger")
        batch_op.drop_index("ix_syncs_subject")
        batch_op.drop_index("ix_syncs_status")
    with op.batch_alter_table("inbox", schema=None) as batch_op:
        batch_op.drop_index("ix_inbox_left", sqlite_where=IS_LEFT, postgresql_where=IS_LEFT)
    op.drop_table("users")
