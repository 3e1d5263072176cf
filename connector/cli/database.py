"""`connector db …`"""

from pathlib import Path
from typing import Any

import click
from alembic import command as alembic
from alembic.config import Config
from sqlalchemy import Engine

import connector
from connector import services, settings
from connector.cli.common import output


@click.group()
def db() -> None:
    """The connector's own database."""


@db.command()
@output
def upgrade() -> Any:
    """Bring the database's tables to this version of the connector."""
    wired = services.build(settings.load(needs_connection=False))
    upgrade_tables(wired.engine)
    return {"upgraded": True, "installation": wired.installation}, "The database is ready."


def upgrade_tables(engine: Engine) -> None:
    """Run the migrations that this database has not had."""
    config = Config()
    config.set_main_option("script_location", str(Path(connector.__file__).parent / "migrations"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        alembic.upgrade(config, "head")
