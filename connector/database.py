"""The database: one engine, short transactions, and column types that keep time zones and exact amounts."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import BigInteger, Dialect, Engine, Integer, Text, create_engine, event, text, types
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.orm import Session

T = TypeVar("T")
Id = BigInteger().with_variant(Integer, "sqlite")
READ_ONLY = "connector_read_only"
# How many ids or conditions one statement takes.
BATCH = 100


class Moment(types.TypeDecorator[datetime]):
    """An aware UTC datetime, on databases with and without time zones."""

    impl = types.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a time zone cannot be stored")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Exact(types.TypeDecorator[Decimal]):
    """A Decimal kept digit for digit, as text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | None:
        return None if value is None else format(value, "f")

    def process_result_value(self, value: str | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)


def make_engine(url: str) -> Engine:
    """The engine for `url`; on SQLite every commit reaches the disk before it returns."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite_engine(url, parsed.database)
    return create_engine(
        url, pool_pre_ping=True, pool_timeout=2, connect_args={"connect_timeout": 2, "application_name": "connector"}
    )


def _sqlite_engine(url: str, path: str | None) -> Engine:
    if path and path != ":memory:":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url)

    @event.listens_for(engine, "connect")
    def _durable(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we begin transactions ourselves, see below
        for pragma in ("busy_timeout = 5000", "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A writer that starts as a reader may fail at its first write; it waits for its turn here instead.
        reads = connection.get_execution_options().get(READ_ONLY)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def insert(db: Session, table: type[Any]) -> Any:
    """An INSERT that can say what to do on a conflict, in the words of this session's database."""
    on_sqlite = db.get_bind().dialect.name == "sqlite"
    return sqlite.insert(table) if on_sqlite else postgresql.insert(table)


def size(db: Session) -> int:
    """How many bytes the database takes on its disk; of SQLite, what has not been written into the file yet is not in it."""
    if db.get_bind().dialect.name == "sqlite":
        return int(db.scalar(text("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")) or 0)
    return int(db.scalar(text("SELECT pg_database_size(current_database())")) or 0)


def batches(whole: Iterable[T]) -> Iterator[list[T]]:
    """The whole in numbers that fit into one statement."""
    rest = list(whole)
    yield from (rest[i : i + BATCH] for i in range(0, len(rest), BATCH))


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """One short transaction: committed at the end of the block, rolled back when it raises."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session for looking only; it does not wait for writers."""
    with Session(engine.execution_options(**{READ_ONLY: True}), expire_on_commit=False) as session:
        yield session
