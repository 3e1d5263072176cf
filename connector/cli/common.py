"""What every command shares: the services, `--json`, `--connection`, and how failures are said."""

import functools
import json
import sys
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import click
from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import OperationalError, ProgrammingError, SQLAlchemyError

from connector import handlers, logs, services, settings, syncs
from connector.errors import ConnectorError, Parked, Waiting
from connector.explain import moment
from connector.models import OPEN, Sync
from connector.services import Services
from connector.settings import DEFAULT_CONNECTION

Command = Callable[..., Any]


def output(command: Command) -> Command:
    """Adds `--json`: the command returns a document and its text; failures become one sentence and exit status 1."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document with stable keys.")
    @functools.wraps(command)
    def wrapped(*args: Any, as_json: bool, **options: Any) -> None:
        try:
            answer = command(*args, **options)
        except (Parked, Waiting) as stopped:
            _fail(as_json, str(stopped), code=stopped.cause.code, next_step=stopped.cause.next_step)
        except ConnectorError as error:
            _fail(as_json, str(error))
        except (OperationalError, ProgrammingError):
            _fail(
                as_json,
                "the database cannot be used",
                next_step="Check DATABASE_URL; on a new database run `connector db upgrade` first.",
            )
        except SQLAlchemyError as error:
            _fail(as_json, f"the database refused: {type(error).__name__}")
        except RedisError:
            _fail(
                as_json, "Redis cannot be reached", next_step="Check REDIS_URL; nothing is lost, the clock rings again."
            )
        else:
            document, text = answer
            if as_json:
                click.echo(json.dumps(document, indent=2, default=_written))
            else:
                show(text)
            status = document.get("exit_status", 0) if isinstance(document, dict) else 0
            if status:
                sys.exit(status)

    return wrapped


def _fail(as_json: bool, text: str, *, code: str | None = None, next_step: str | None = None) -> None:
    if as_json:
        click.echo(json.dumps({"error": text, "code": code, "next_step": next_step}, indent=2))
    else:
        click.echo(f"Error: {text}", err=True)
        if next_step:
            click.echo(f"Next: {next_step}", err=True)
    sys.exit(1)


def show(text: Any, *, on_standard_error: bool = False) -> None:
    """Print text or tables; wide ones are not cut when they go into a file."""
    console = Console(
        stderr=on_standard_error, width=None if sys.stdout.isatty() else 200, markup=False, highlight=False
    )
    for part in text if isinstance(text, list) else [text]:
        console.print(part)


def _written(value: object) -> str:
    """What JSON has no type for: times in ISO 8601, amounts as texts."""
    return value.isoformat() if isinstance(value, date) else str(value)


def table(title: str, columns: list[str], rows: list[list[Any]]) -> Table | str:
    """A table of texts, times to the second; a sentence where there is nothing to show."""
    if not rows:
        return f"{title or 'Found'}: none."
    made = Table(title=title or None, title_justify="left", show_edge=False, pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*[_cell(value) for value in row])
    return made


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return str(moment(value))
    return "" if value is None else str(value)


def connection_option(command: Command) -> Command:
    """Adds `--connection`, the Chargebee site and m3ter organisation to work on."""
    return click.option(
        "--connection",
        default=DEFAULT_CONNECTION,
        show_default=True,
        help="Which connection of the settings to work on.",
    )(command)


def attempt_now(services: Services, sync_id: int) -> tuple[dict[str, Any], str]:
    """Try a sync here instead of in a worker; its lease keeps the two apart.

    Answers its document, whose `exit_status` is 1 unless it succeeded, and what a person is told.
    """
    status = syncs.attempt(services, sync_id, handlers.KINDS)
    with services.reading() as db:
        row = db.get_one(Sync, sync_id)
    if status == "not due" and row.status not in OPEN:
        status = row.status  # a worker has been faster
    document = syncs.as_json(row) | {"exit_status": 0 if status == "succeeded" else 1}
    return document, f"{status}: {row.text or ''}" + (f"\nNext: {row.next_step}" if row.next_step else "")


def wire(*, needs_connection: bool = True) -> Services:
    """Services for this process from its settings; raises Misconfigured."""
    loaded = settings.load(needs_connection=needs_connection)
    logs.configure(loaded)
    return services.build(loaded)
