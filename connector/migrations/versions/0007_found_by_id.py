"""Whatever id a person has at hand finds its row by an index."""

from alembic import op

revision = "0007"
down_revision = "0006"

INDEXES = (
    ("accounts", "m3ter_id"),
    ("accounts", "code"),
    ("account_plans", "m3ter_id"),
    ("account_plans", "code"),
    ("account_plans", "customer_id"),
    ("account_plans", "account_id"),
    ("bills", "account_id"),
    ("bill_snapshots", "account_id"),
    ("line_pushes", "invoice_id"),
    ("line_pushes", "final_invoice_id"),
    ("line_pushes", "chargebee_line_id"),
    ("line_pushes", "subscription_id"),
    ("line_pushes", "customer_id"),
    ("balance_requests", "m3ter_id"),
    ("balance_requests", "account_id"),
)


def upgrade() -> None:
    for table, column in INDEXES:
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.create_index(op.f(f"ix_{table}_{column}"), [column], unique=False)
