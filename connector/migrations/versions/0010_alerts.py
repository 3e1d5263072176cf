"""What people should hear of, whom it was told, and when something last came."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "alerts",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("condition", sa.Text(), nullable=False),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("since", moment, nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("next_step", sa.Text(), nullable=False),
        sa.Column("page", sa.Text(), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("opened_at", moment, nullable=False),
        sa.Column("last_seen_at", moment, nullable=False),
        sa.Column("resolved_at", moment, nullable=True),
        sa.Column("returns", sa.Integer(), nullable=False),
        sa.Column("id", number, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
    )
    is_open = sa.text("resolved_at IS NULL")
    op.create_index(
        "uq_alerts_open_key", "alerts", ["key"], unique=True, sqlite_where=is_open, postgresql_where=is_open
    )
    op.create_index("ix_alerts_key", "alerts", ["key", "id"])
    op.create_index("ix_alerts_resolved_at", "alerts", ["resolved_at"])
    op.create_table(
        "alert_tellings",
        sa.Column("alert_id", number, nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("resolved", sa.Boolean(), nullable=False),
        sa.Column("id", number, nullable=False),
        sa.ForeignKeyConstraint(["alert_id"], ["alerts.id"], name=op.f("fk_alert_tellings_alert_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_tellings")),
        sa.UniqueConstraint("alert_id", "destination", name=op.f("uq_alert_tellings_alert_id_destination")),
    )
    op.create_table(
        "alert_destinations",
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try_at", moment, nullable=False),
        sa.Column("failing_since", moment, nullable=True),
        sa.Column("sent_at", moment, nullable=True),
        sa.Column("id", number, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_destinations")),
        sa.UniqueConstraint("destination", name=op.f("uq_alert_destinations_destination")),
    )
    op.create_table(
        "alert_mutes",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("until", moment, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("made_at", moment, nullable=False),
        sa.Column("id", number, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_mutes")),
        sa.UniqueConstraint("key", name=op.f("uq_alert_mutes_key")),
    )
    op.create_index("ix_inbox_newest", "inbox", ["connection", "source", "id"])
