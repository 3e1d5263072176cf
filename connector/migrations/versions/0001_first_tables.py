"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "account_plans",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("item_price_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("end", sa.DateTime(timezone=True), nullable=True),
        sa.Column("bill_epoch", sa.Date(), nullable=True),
        sa.Column("m3ter_id", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account_plans")),
        sa.UniqueConstraint("connection", "code", name=op.f("uq_account_plans_connection_code")),
    )
    with op.batch_alter_table("account_plans", schema=None) as batch_op:
        batch_op.create_index("ix_account_plans_subscription", ["connection", "subscription_id"], unique=False)

    op.create_table(
        "accounts",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("m3ter_id", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("fields_sha256", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("connection", "customer_id", name=op.f("uq_accounts_connection_customer_id")),
    )
    op.create_table(
        "audit",
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_table(
        "bill_approvals",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("bill_id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bill_approvals")),
        sa.UniqueConstraint(
            "connection", "bill_id", "sha256", "actor", name=op.f("uq_bill_approvals_connection_bill_id_sha256_actor")
        ),
    )
    op.create_table(
        "bill_snapshots",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("bill_id", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("bill_version", sa.Integer(), nullable=False),
        sa.Column("last_calculated", sa.Text(), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("decimals", sa.Integer(), nullable=False),
        sa.Column("exact_total", sa.Text(), nullable=False),
        sa.Column("total_minor", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("lines", sa.JSON(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bill_snapshots")),
        sa.UniqueConstraint(
            "connection", "bill_id", "generation", name=op.f("uq_bill_snapshots_connection_bill_id_generation")
        ),
    )
    with op.batch_alter_table("bill_snapshots", schema=None) as batch_op:
        batch_op.create_index(
            "uq_bill_snapshots_live",
            ["connection", "bill_id"],
            unique=True,
            sqlite_where=sa.text("status = 'pushing'"),
            postgresql_where=sa.text("status = 'pushing'"),
        )

    op.create_table(
        "bills",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("bill_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("last_calculated", sa.Text(), nullable=True),
        sa.Column("approved_at", sa.Text(), nullable=True),
        sa.Column("billed_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bills")),
        sa.UniqueConstraint("connection", "bill_id", name=op.f("uq_bills_connection_bill_id")),
    )
    op.create_table(
        "cursors",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cursors")),
        sa.UniqueConstraint("connection", "name", name=op.f("uq_cursors_connection_name")),
    )
    op.create_table(
        "external_mappings",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("m3ter_entity", sa.Text(), nullable=False),
        sa.Column("m3ter_id", sa.Text(), nullable=False),
        sa.Column("external_system", sa.Text(), nullable=False),
        sa.Column("external_table", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("m3ter_mapping_id", sa.Text(), nullable=True),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_external_mappings")),
        sa.UniqueConstraint(
            "connection",
            "m3ter_entity",
            "m3ter_id",
            "external_table",
            "external_id",
            "customer_id",
            "valid_from",
            name=op.f(
                "uq_external_mappings_connection_m3ter_entity_m3ter_id_external_table_external_id_customer_id_valid_from"
            ),
        ),
    )
    with op.batch_alter_table("external_mappings", schema=None) as batch_op:
        batch_op.create_index(
            "ix_external_mappings_external", ["connection", "external_table", "external_id"], unique=False
        )

    op.create_table(
        "failures",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("sync_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_failures")),
        sa.UniqueConstraint("connection", "provider", "sync_id", name=op.f("uq_failures_connection_provider_sync_id")),
    )
    op.create_table(
        "inbox",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("handled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbox")),
        sa.UniqueConstraint("connection", "source", "event_id", name=op.f("uq_inbox_connection_source_event_id")),
    )
    with op.batch_alter_table("inbox", schema=None) as batch_op:
        batch_op.create_index(
            "ix_inbox_new",
            ["id"],
            unique=False,
            sqlite_where=sa.text("status = 'new'"),
            postgresql_where=sa.text("status = 'new'"),
        )

    op.create_table(
        "installation",
        sa.Column("uuid", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_installation")),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leases")),
        sa.UniqueConstraint("name", name=op.f("uq_leases_name")),
    )
    op.create_table(
        "mirror",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("resource_id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=True),
        sa.Column("resource_version", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("unsettled", sa.Boolean(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mirror")),
        sa.UniqueConstraint(
            "connection", "resource", "resource_id", name=op.f("uq_mirror_connection_resource_resource_id")
        ),
    )
    with op.batch_alter_table("mirror", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_mirror_customer_id"), ["customer_id"], unique=False)

    op.create_table(
        "pauses",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_probe_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pauses")),
        sa.UniqueConstraint("connection", "what", name=op.f("uq_pauses_connection_what")),
    )
    op.create_table(
        "quarantine",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
    )
    op.create_table(
        "send_counts",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_send_counts")),
        sa.UniqueConstraint("connection", name=op.f("uq_send_counts_connection")),
    )
    op.create_table(
        "subscription_states",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("resource_version", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscription_states")),
        sa.UniqueConstraint(
            "connection",
            "subscription_id",
            "resource_version",
            name=op.f("uq_subscription_states_connection_subscription_id_resource_version"),
        ),
    )
    op.create_table(
        "syncs",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("runs", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("again", sa.Boolean(), nullable=False),
        sa.Column("wakes_on", sa.Text(), nullable=True),
        sa.Column("retried_by", sa.Text(), nullable=True),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("next_step", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_syncs")),
    )
    with op.batch_alter_table("syncs", schema=None) as batch_op:
        batch_op.create_index(
            "ix_syncs_due",
            ["next_attempt_at"],
            unique=False,
            sqlite_where=sa.text("status IN ('pending', 'running', 'waiting', 'parked')"),
            postgresql_where=sa.text("status IN ('pending', 'running', 'waiting', 'parked')"),
        )
        batch_op.create_index(
            "ix_syncs_wakes_on",
            ["connection", "wakes_on"],
            unique=False,
            sqlite_where=sa.text("status IN ('pending', 'running', 'waiting', 'parked')"),
            postgresql_where=sa.text("status IN ('pending', 'running', 'waiting', 'parked')"),
        )
        batch_op.create_index(
            "uq_syncs_open_subject",
            ["connection", "kind", "subject"],
            unique=True,
            sqlite_where=sa.text("status IN ('pending', 'running', 'waiting', 'parked')"),
            postgresql_where=sa.text("status IN ('pending', 'running', 'waiting', 'parked')"),
        )

    op.create_table(
        "transfers",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("old_id", sa.Text(), nullable=False),
        sa.Column("live_id", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfers")),
        sa.UniqueConstraint("connection", "resource", "old_id", name=op.f("uq_transfers_connection_resource_old_id")),
    )
    op.create_table(
        "attempts",
        sa.Column("sync_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("wanted", sa.JSON(), nullable=False),
        sa.Column("found", sa.JSON(), nullable=False),
        sa.Column("did", sa.JSON(), nullable=False),
        sa.Column("calls", sa.JSON(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["sync_id"], ["syncs.id"], name=op.f("fk_attempts_sync_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
    )
    with op.batch_alter_table("attempts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_attempts_sync_id"), ["sync_id"], unique=False)

    op.create_table(
        "line_pushes",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("bill_id", sa.Text(), nullable=False),
        sa.Column("snapshot_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("charge_key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("parts", sa.JSON(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=True),
        sa.Column("customer_id", sa.Text(), nullable=True),
        sa.Column("invoice_id", sa.Text(), nullable=True),
        sa.Column("final_invoice_id", sa.Text(), nullable=True),
        sa.Column("item_price_id", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("date_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("date_to", sa.DateTime(timezone=True), nullable=False),
        sa.Column("amount_minor", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("baseline", sa.JSON(), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sends", sa.Integer(), nullable=False),
        sa.Column("chargebee_line_id", sa.Text(), nullable=True),
        sa.Column("found_by", sa.Text(), nullable=True),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["snapshot_id"], ["bill_snapshots.id"], name=op.f("fk_line_pushes_snapshot_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_line_pushes")),
        sa.UniqueConstraint(
            "connection",
            "invoice_id",
            "chargebee_line_id",
            name=op.f("uq_line_pushes_connection_invoice_id_chargebee_line_id"),
        ),
        sa.UniqueConstraint("snapshot_id", "charge_key", name=op.f("uq_line_pushes_snapshot_id_charge_key")),
    )
    with op.batch_alter_table("line_pushes", schema=None) as batch_op:
        batch_op.create_index("ix_line_pushes_bill", ["connection", "bill_id"], unique=False)

    op.create_table(
        "receipts",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("bill_id", sa.Text(), nullable=False),
        sa.Column("snapshot_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["snapshot_id"], ["bill_snapshots.id"], name=op.f("fk_receipts_snapshot_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_receipts")),
        sa.UniqueConstraint("snapshot_id", name=op.f("uq_receipts_snapshot_id")),
    )
    with op.batch_alter_table("receipts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_receipts_bill_id"), ["bill_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("receipts", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_receipts_bill_id"))

    op.drop_table("receipts")
    with op.batch_alter_table("line_pushes", schema=None) as batch_op:
        batch_op.drop_index("ix_line_pushes_bill")

    op.drop_table("line_pushes")
    with op.batch_alter_table("attempts", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_attempts_sync_id"))

    op.drop_table("attempts")
    op.drop_table("transfers")
    with op.batch_alter_table("syncs", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_syncs_open_subject",
            sqlite_where=sa.text("status IN ('pending', 'running', 'waiting', 'parked')"),
            postgresql_where=sa.text("status IN ('pending', 'running', 'waiting', 'parked')"),
        )
        batch_op.drop_index(
            "ix_syncs_wakes_on",
            sqlite_where=sa.text("status IN ('pending', 'running', 'waiting', 'parked')"),
            postgresql_where=sa.text("status IN ('pending', 'running', 'waiting', 'parked')"),
        )
        batch_op.drop_index(
            "ix_syncs_due",
            sqlite_where=sa.text("status IN ('pending', 'running', 'waiting', 'parked')"),
            postgresql_where=sa.text("status IN ('pending', 'running', 'waiting', 'parked')"),
        )

    op.drop_table("syncs")
    op.drop_table("subscription_states")
    op.drop_table("send_counts")
    op.drop_table("quarantine")
    op.drop_table("pauses")
    with op.batch_alter_table("mirror", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_mirror_customer_id"))

    op.drop_table("mirror")
    op.drop_table("leases")
    op.drop_table("installation")
    with op.batch_alter_table("inbox", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_inbox_new", sqlite_where=sa.text("status = 'new'"), postgresql_where=sa.text("status = 'new'")
        )

    op.drop_table("inbox")
    op.drop_table("failures")
    with op.batch_alter_table("external_mappings", schema=None) as batch_op:
        batch_op.drop_index("ix_external_mappings_external")

    op.drop_table("external_mappings")
    op.drop_table("cursors")
    op.drop_table("bills")
    with op.batch_alter_table("bill_snapshots", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_bill_snapshots_live",
            sqlite_where=sa.text("status = 'pushing'"),
            postgresql_where=sa.text("status = 'pushing'"),
        )

    op.drop_table("bill_snapshots")
    op.drop_table("bill_approvals")
    op.drop_table("audit")
    op.drop_table("accounts")
    with op.batch_alter_table("account_plans", schema=None) as batch_op:
        batch_op.drop_index("ix_account_plans_subscription")

    op.drop_table("account_plans")
