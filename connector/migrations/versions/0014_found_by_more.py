"""What events tell of, which customers are below which, and two more ids that find their row by an index."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

HAS_PARENT = sa.text("parent_id IS NOT NULL")
# The customers that have been seen so far.
PARENTS = {
    "sqlite": "json_extract(body, '$.relationship.parent_id')",
    "postgresql": "body::json #>> '{relationship,parent_id}'",
}


def upgrade() -> None:
    op.create_table(
        "event_records",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("record_id", sa.Text(), nullable=False),
        sa.Column("inbox_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event_records")),
        sa.UniqueConstraint(
            "connection", "record_id", "inbox_id", name=op.f("uq_event_records_connection_record_id_inbox_id")
        ),
    )
    with op.batch_alter_table("mirror", schema=None) as batch_op:
        batch_op.add_column(sa.Column("parent_id", sa.Text(), nullable=True))
    parent = PARENTS[op.get_bind().dialect.name]
    op.execute(  # a row of somebody with nobody above stays as it is: there may be a million of them
        f"UPDATE mirror SET parent_id = {parent} WHERE resource = 'customer' AND {parent} IS NOT NULL"  # noqa: S608
    )
    with op.batch_alter_table("mirror", schema=None) as batch_op:
        batch_op.create_index(
            "ix_mirror_parent_id", ["connection", "parent_id"], unique=False,
            sqlite_where=HAS_PARENT, postgresql_where=HAS_PARENT,
        )  # fmt: skip
    with op.batch_alter_table("external_mappings", schema=None) as batch_op:
        batch_op.create_index(op.f("ix_external_mappings_m3ter_mapping_id"), ["m3ter_mapping_id"], unique=False)
    with op.batch_alter_table("sold_top_ups", schema=None) as batch_op:
        batch_op.create_index(op.f("ix_sold_top_ups_line_id"), ["line_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("sold_top_ups", schema=None) as batch_op:
        batch_op.drop_index(op.f("ix_sold_top_ups_line_id"))
    with op.batch_alter_table("external_mappings", schema=None) as batch_op:
        batch_op.drop_index(op.f("ix_external_mappings_m3ter_mapping_id"))
    with op.batch_alter_table("mirror", schema=None) as batch_op:
        batch_op.drop_index("ix_mirror_parent_id", sqlite_where=HAS_PARENT, postgresql_where=HAS_PARENT)
        batch_op.drop_column("parent_id")
    op.drop_table("event_records")
