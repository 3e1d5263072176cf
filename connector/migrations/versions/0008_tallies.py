"""Counts by hour and day, what the clock last found, and indexes for lists that have grown long."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

AT_REST = sa.text("status IN ('succeeded', 'superseded', 'parked')")
HAS_CAUSE = sa.text("cause IS NOT NULL")
UNDER_WAY = sa.text("status NOT IN ('done', 'withdrawn')")


def upgrade() -> None:
    op.create_table(
        "tallies",
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("bucket", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tallies")),
        sa.UniqueConstraint(
            "period", "start", "connection", "what", "kind", "bucket",
            name=op.f("uq_tallies_period_start_connection_what_kind_bucket"),
        ),
    )  # fmt: skip
    op.create_table(
        "tally_cursors",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("row_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("ceiling", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tally_cursors")),
        sa.UniqueConstraint("name", name=op.f("uq_tally_cursors_name")),
    )
    op.create_table(
        "last_looks",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("found", sa.JSON(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_last_looks")),
        sa.UniqueConstraint("connection", "name", name=op.f("uq_last_looks_connection_name")),
    )
    op.create_index("ix_inbox_type", "inbox", ["event_type", "id"], unique=False)
    op.create_index("ix_syncs_kind", "syncs", ["kind", "id"], unique=False)
    op.create_index("ix_syncs_connection", "syncs", ["connection", "id"], unique=False)
    op.create_index(
        "ix_syncs_cause", "syncs", ["cause", "id"], unique=False,
        sqlite_where=HAS_CAUSE, postgresql_where=HAS_CAUSE,
    )  # fmt: skip
    op.create_index("ix_audit_actor", "audit", ["actor", "id"], unique=False)
    op.create_index("ix_audit_action", "audit", ["action", "id"], unique=False)
    op.create_index(
        "ix_balance_requests_under_way", "balance_requests", ["connection", "balance_id"], unique=False,
        sqlite_where=UNDER_WAY, postgresql_where=UNDER_WAY,
    )  # fmt: skip
    op.create_index(
        "ix_syncs_at_rest", "syncs", ["updated_at", "id"], unique=False,
        sqlite_where=AT_REST, postgresql_where=AT_REST,
    )  # fmt: skip
