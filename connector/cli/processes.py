"""`connector web`, `worker`, `clock`, and `run`, which starts them all."""

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from connector import clock as clocks
from connector import embedded, jobs, logs, settings
from connector.alerts import destinations
from connector.cli.common import output, wire
from connector.cli.database import upgrade_tables
from connector.database import make_engine
from connector.demo.stage import SANDBOX_CREDENTIALS, console_settings

STATE_FOLDER = Path("var")
# A sender that never ends its request holds up a stop no longer than this; what was not answered is sent again.
STOP_SECONDS = 5
# Requests at once in each web process; the others wait outside of Python. Twice the database's connections, since a page may
# wait for a provider.
THREADS = 32
SANDBOX_COMMAND = "connector sandbox serve --port 8099 --connector-url http://127.0.0.1:{}"
SANDBOX_SETTINGS = SANDBOX_CREDENTIALS | {
    "CHARGEBEE_API_URL": "http://127.0.0.1:8099/chargebee/api/v2",
    "M3TER_API_URL": "http://127.0.0.1:8099/m3ter",
}


@click.command()
@output
def web() -> Any:
    """Take webhooks and answer health checks until stopped."""
    from granian import Granian
    from granian.constants import Interfaces

    loaded = settings.load()
    logs.configure(loaded)
    Granian(
        "connector.web.app:for_server",
        factory=True,
        interface=Interfaces.WSGI,
        address=loaded.web_host,
        port=loaded.web_port,
        workers=loaded.web_processes,
        log_access=False,
        blocking_threads=THREADS,
        websockets=False,
        workers_kill_timeout=STOP_SECONDS,
    ).serve()
    return {"stopped": True}, "Stopped."


@click.command()
@click.option(
    "--queue", type=click.Choice(jobs.QUEUES), required=True, help="The one queue that this process works on."
)
@click.option("--burst", is_flag=True, help="Stop when the queue is empty.")
@output
def worker(queue: str, burst: bool) -> Any:
    """Work on one queue until stopped; start more processes for more throughput."""
    done = jobs.worker(wire(), queue).work(burst=burst, logging_level="WARNING")
    return {"stopped": True, "worked": bool(done)}, "Stopped."


@click.command()
@click.option("--once", is_flag=True, help="Run everything that is due and stop.")
@output
def clock(once: bool) -> Any:
    """Do all periodic work until stopped: sweep for due work, poll approved bills."""
    services = wire()
    destinations.of(services.settings)  # an address of alerts that cannot work is said now, and not when it is needed
    ticking = clocks.Clock(services)
    if once:
        ticking.tick()
        return {"ticked": True}, "Done."
    ticking.run_forever()
    return {"stopped": True}, "Stopped."


@click.command()
@output
def run() -> Any:
    """Start everything of the Procfile until stopped; without settings, against the sandbox and on embedded servers."""
    from honcho.environ import parse_procfile
    from honcho.manager import Manager
    from honcho.printer import Printer

    environment = dict(os.environ) | {
        "PYTHONUNBUFFERED": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    with ExitStack() as until_stopped:
        found = settings.load(environment, needs_connection=False)
        if found.redis_url is None:
            environment["REDIS_URL"] = until_stopped.enter_context(embedded.redis_server(STATE_FOLDER / "redis"))
        manager = Manager(Printer(sys.stderr))
        if found.session_secret is None and not found.console_hosts:
            environment |= console_settings()
            said = (
                f"Console at http://127.0.0.1:{found.web_port}/console/, after `connector users add NAME --role admin`."
            )
            click.echo(said, err=True)
        if not found.connections:
            environment |= SANDBOX_SETTINGS
            manager.add_process("sandbox", SANDBOX_COMMAND.format(found.web_port), env=environment)
            click.echo("Other commands, such as `connector syncs list`, need to know where the sandbox is:", err=True)
            for name in ("REDIS_URL", *SANDBOX_SETTINGS):
                if name in environment:
                    click.echo(f"export {name}={environment[name]}", err=True)
        upgrade_tables(make_engine(found.database_url))
        for name, command in parse_procfile(Path("Procfile").read_text(encoding="utf-8")).processes.items():
            if name != "release":
                manager.add_process(name, command, env=environment)
        manager.loop()
    return {"stopped": True, "exit_status": manager.returncode or 0}, "Stopped."
