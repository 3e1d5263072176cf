"""The migrations make just the tables that the models describe, on either database."""

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

import connector
from connector.models import Base


def test_the_migrations_make_what_the_models_describe(engine: Engine) -> None:
    with engine.connect() as connection:
        made = MigrationContext.configure(connection)
        assert compare_metadata(made, Base.metadata) == []


def test_the_migrations_are_one_chain() -> None:
    scripts = ScriptDirectory(str(Path(connector.__file__).parent / "migrations"))
    revisions = [script.revision for script in scripts.walk_revisions()]
    assert revisions == sorted(revisions, reverse=True)
    assert len(scripts.get_heads()) == 1
