"""How Alembic reaches the database: through the connection that the command hands over."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext

from connector.database import Exact, Moment
from connector.models import Base


def plain_types(kind: str, item: Any, _: AutogenContext) -> str | Literal[False]:
    """Migrations name the database's own types, so that they stay true when ours change."""
    if kind == "type" and isinstance(item, Moment):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, Exact):
        return "sa.Text()"
    return False


connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True, render_item=plain_types)
with context.begin_transaction():
    context.run_migrations()
if connection.in_transaction():
    connection.commit()
