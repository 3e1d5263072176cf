"""`connector demo`"""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from connector.cli.common import output
from connector.demo import story
from connector.demo.stage import Failed, Stage, set_up
from connector.demo.story import Step, Story

FOLDER = Path("var/demo")


@click.command()
@click.option("--keep", is_flag=True, help="Leave everything running at the end, until Ctrl-C.")
@output
def demo(keep: bool) -> Any:
    """Tell one customer's story on this machine, over real HTTP, with real Redis and a real database.

    Starts the sandbox, Redis, the database and the connector's own processes, and checks all that it shows: the exit
    status is not 0 when anything differs.
    """
    # A plain kill stops what was started too, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    started = time.monotonic()
    told: list[Step] = []
    failure = None
    with _view(told) as shown:
        try:
            with set_up(FOLDER, story.first_month(datetime.now(UTC))) as stage:
                for step in story.tell(Story(stage, story.first_month(datetime.now(UTC)))):
                    told.append(step)
                    shown()
                if keep:
                    _stay(stage)
        except Failed as failed:
            failure = str(failed)
    seconds = round(time.monotonic() - started, 1)
    document = {
        "ok": failure is None,
        "failure": failure,
        "failed_step": story.STEPS[len(told)][0] if failure and len(told) < len(story.STEPS) else None,
        "seconds": seconds,
        "steps": [{"title": step.title, "says": step.says} for step in told],
        "exit_status": 0 if failure is None else 1,
    }
    if failure is None:
        return document, f"All {len(told)} steps are as they should be ({seconds} s)."
    return document, f"FAILED at “{document['failed_step'] or 'the start'}”: {failure}\nLogs are in {FOLDER}."


@contextmanager
def _view(told: list[Step]) -> Iterator[Any]:
    """The steps told so far and the one being acted, redrawn as the story goes on; on standard error, beside any report."""
    console = Console(stderr=True, highlight=False)
    with Live(_drawn(told), console=console, refresh_per_second=8) as live:
        yield lambda: live.update(_drawn(told))
        live.update(_drawn(told, done=True))
    console.print()


def _drawn(told: list[Step], *, done: bool = False) -> Group:
    parts: list[Any] = []
    for step in told:
        parts.append(Text.assemble(("✓ ", "bold green"), (step.title, "bold")))
        parts += [Text(f"    {sentence}", style="dim") for sentence in step.says]
    if not done:
        title = story.STEPS[len(told)][0] if len(told) < len(story.STEPS) else "Everything is stopped"
        parts.append(Spinner("dots", text=Text(title if told else f"The stage is set up, then: {title}")))
    return Group(*parts)


def _stay(stage: Stage) -> None:
    click.echo(f"Sandbox at {stage.sandbox_url}, connector at {stage.web_url}; stop with Ctrl-C.", err=True)
    click.echo(f"Console at {stage.web_url}/console/, after `connector users add NAME --role admin`.", err=True)
    for name in (
        "DATABASE_URL",
        "REDIS_URL",
        *(name for name in stage.environment if name.startswith(("CHARGEBEE", "M3TER"))),
    ):
        click.echo(f"export {name}={stage.environment[name]}", err=True)
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        pass
