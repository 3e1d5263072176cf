"""`connector sandbox …`"""

import re
import signal
import threading
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import click

from connector.cli.common import Command, output, table
from connector.errors import ConnectorError

DAY = 24 * 60 * 60


@click.group("sandbox")
def sandbox_group() -> None:
    """Chargebee and m3ter on this machine, emulated over HTTP."""


@sandbox_group.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8099, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--start", help="Its time at the start, ISO 8601; now when left out.")
@click.option("--frozen", is_flag=True, help="Its time moves only when it is told to.")
@click.option("--seed", default=1, show_default=True, help="Makes ids repeatable.")
@click.option("--connector-url", help="Send webhooks there, e.g. http://127.0.0.1:8080.")
@click.option("--webhook-username", default="sandbox", show_default=True)
@click.option("--webhook-password", default="sandbox", show_default=True)
@click.option("--m3ter-secret", default="sandbox", show_default=True, help="Signs the webhooks of m3ter.")
@output
def serve(
    host: str,
    port: int,
    start: str | None,
    frozen: bool,
    seed: int,
    connector_url: str | None,
    webhook_username: str,
    webhook_password: str,
    m3ter_secret: str,
) -> Any:
    """Serve both until stopped; what a client needs to know is printed on standard error first."""
    from connector.sandbox import Sandbox
    from connector.sandbox import serve as serve_sandbox

    now = _moment("--start", start) if start else datetime.now(UTC)
    box = Sandbox(seed=seed, now=now, ticking=not frozen)
    if connector_url:
        base = connector_url.rstrip("/")
        box.chargebee.add_webhook_endpoint(f"{base}/webhooks/chargebee", webhook_username, webhook_password)
        box.m3ter.add_webhook_destination(f"{base}/webhooks/default/m3ter", m3ter_secret)
    server = serve_sandbox(box, host=host, port=port, deliver_webhooks=True)
    for name, value in connection_settings(server.url, box).items():
        click.echo(f"{name}={value}", err=True)
    click.echo(f"To see and do things by hand: {server.url}/chargebee/ and {server.url}/m3ter/", err=True)
    click.echo(f"Sandbox at {server.url}; stop it with Ctrl-C.", err=True)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()
    server.stop()
    return {"stopped": True}, "Stopped."


def connection_settings(url: str, box: Any) -> dict[str, str]:
    """The connector's settings for the sandbox at this address."""
    return {
        "CHARGEBEE_SITE": box.chargebee.site,
        "CHARGEBEE_API_KEY": box.chargebee.api_key,
        "CHARGEBEE_API_URL": f"{url}/chargebee/api/v2",
        "M3TER_ORG_ID": box.m3ter.org_id,
        "M3TER_API_KEY": box.m3ter.api_key,
        "M3TER_API_SECRET": box.m3ter.api_secret,
        "M3TER_API_URL": f"{url}/m3ter",
    }


def url_option(command: Command) -> Command:
    """Adds `--url`, the running sandbox to drive."""
    return click.option("--url", default="http://127.0.0.1:8099", show_default=True, help="The running sandbox.")(
        command
    )


@sandbox_group.command("time")
@click.option("--days", type=click.IntRange(0), help="Move on by so many days.")
@click.option("--to", metavar="TIME", help="Move on to this moment, ISO 8601; UTC unless it says otherwise.")
@url_option
@output
def move_time(days: int | None, to: str | None, url: str) -> Any:
    """Move the sandbox's time, or just say what time it is there; everything due on the way happens in order."""
    if days is not None and to is not None:
        raise ConnectorError("say either --days or --to")
    if days is not None:
        state = _ask(url, "POST", "time", advance_seconds=days * DAY)
    elif to is not None:
        state = _ask(url, "POST", "time", to=_moment("--to", to).isoformat())
    else:
        state = _ask(url, "GET", "state")
    return {"now": state["now"]}, f"It is {state['now']}."


@sandbox_group.command("state")
@url_option
@output
def show_state(url: str) -> Any:
    """Show what the sandbox holds, in numbers, and what time it is there."""
    state = _ask(url, "GET", "state")
    rows = [
        [name, *row] for name, kinds in state.items() if isinstance(kinds, dict) for row in sorted(kinds.items())
    ] + [["sandbox", name, state[name]] for name in ("calls", "faults", "webhooks_waiting")]
    return state, [f"It is {state['now']}.", table("State", ["of", "what", "number"], rows)]


@sandbox_group.command("fault")
@click.argument("provider")
@click.argument("operation")
@click.argument("kind")
@click.option("--count", default=1, show_default=True, help="How many calls it strikes.")
@click.option("--skip", default=0, show_default=True, help="How many calls it lets through first.")
@click.option("--detail", "details", multiple=True, metavar="NAME=VALUE", help="E.g. status=503; may be repeated.")
@url_option
@output
def order_fault(
    provider: str, operation: str, kind: str, count: int, skip: int, details: tuple[str, ...], url: str
) -> Any:
    """Make the next calls of an operation fail.

    PROVIDER is chargebee or m3ter. OPERATION is a name that `connector sandbox calls` shows, or * for all. KIND is
    refuse, cut, late, delay, status, status_after, html, truncated, drip, redirect or expire_token. Late, delay and drip
    need --detail seconds=NUMBER, status and status_after need --detail status=NUMBER (retry_after, message and
    api_error_code may come with it), redirect needs --detail location=URL.
    """
    detail = dict(_detail(one) for one in details)
    taken = sorted({"provider", "operation", "kind", "count", "skip"} & set(detail))
    if taken:
        raise ConnectorError(f"{taken[0]} is no detail: it has a place of its own")
    order = {"provider": provider, "operation": operation, "kind": kind, "count": count, "skip": skip, **detail}
    return _faults(_ask(url, "POST", "faults", **order))


@sandbox_group.command("faults")
@click.option("--clear", is_flag=True, help="Take every order back.")
@url_option
@output
def show_faults(clear: bool, url: str) -> Any:
    """Show the faults still to happen."""
    return _faults(_ask(url, "DELETE", "faults") if clear else _ask(url, "GET", "faults"))


@sandbox_group.command("calls")
@click.option("--clear", is_flag=True, help="Forget them.")
@url_option
@output
def show_calls(clear: bool, url: str) -> Any:
    """Show the calls that the sandbox received, the oldest first."""
    document = _ask(url, "DELETE", "calls") if clear else _ask(url, "GET", "calls")
    rows = [
        [call["provider"], call["operation"], call["method"], _address(call), call["status"], call["fault"]]
        for call in document["calls"]
    ]
    return document, table("Calls", ["provider", "operation", "method", "path", "status", "fault"], rows)


@sandbox_group.command("snapshot")
@click.argument("name")
@url_option
@output
def take_snapshot(name: str, url: str) -> Any:
    """Keep all that the sandbox holds under a name, for as long as it runs."""
    return _ask(url, "POST", "snapshot", snapshot=name), f"Kept as {name}."


@sandbox_group.command("snapshots")
@url_option
@output
def show_snapshots(url: str) -> Any:
    """List the snapshots, the last one at the end."""
    document = _ask(url, "GET", "snapshots")
    return document, table("Snapshots", ["name"], [[name] for name in document["snapshots"]])


@sandbox_group.command("restore")
@click.argument("name")
@url_option
@output
def restore_snapshot(name: str, url: str) -> Any:
    """Make everything as it was at a snapshot, the time too."""
    state = _ask(url, "POST", "restore", snapshot=name)
    return state, f"As it was at {name}: it is {state['now']}."


@sandbox_group.command("deliver")
@url_option
@output
def deliver_webhooks(url: str) -> Any:
    """Send the webhooks that are due now; a sandbox that serves does so by itself every moment."""
    document = _ask(url, "POST", "deliver")
    names = ["provider", "event_type", "url", "attempt", "status"]
    return document, table("Deliveries", names, [[one[name] for name in names] for one in document["deliveries"]])


def _ask(url: str, method: str, path: str, **order: Any) -> dict[str, Any]:
    from connector.sandbox.remote import Refused, ask

    try:
        return ask(url, method, path, **order)
    except Refused as refused:
        raise ConnectorError(str(refused)) from refused


def _moment(option: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConnectorError(f"{option} {text!r} is not a time like 2026-01-01T00:00:00+00:00") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _detail(text: str) -> tuple[str, int | Decimal | str]:
    """A detail's name, and its value as a number if it looks like one."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ConnectorError(f"--detail {text!r} is not like status=503")
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value, re.ASCII):
        return name, value
    return name, Decimal(value) if "." in value else int(value)


def _faults(document: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    names = ["provider", "operation", "kind", "count", "skip"]
    rows = [
        [*(fault[name] for name in names), ", ".join(f"{name}={value}" for name, value in fault["detail"].items())]
        for fault in document["faults"]
    ]
    return document, table("Faults still to happen", [*names, "detail"], rows)


def _address(call: dict[str, Any]) -> str:
    return f"{call['path']}?{call['query']}" if call["query"] else str(call["path"])
