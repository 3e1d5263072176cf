"""`connector sandbox …`"""

import signal
import threading
from datetime import UTC, datetime
from typing import Any

import click

from connector.cli.common import output
from connector.errors import ConnectorError


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

    try:
        now = datetime.fromisoformat(start) if start else datetime.now(UTC)
    except ValueError as error:
        raise ConnectorError(f"--start {start!r} is not a time like 2026-01-01T00:00:00+00:00") from error
    box = Sandbox(seed=seed, now=now if now.tzinfo else now.replace(tzinfo=UTC), ticking=not frozen)
    if connector_url:
        base = connector_url.rstrip("/")
        box.chargebee.add_webhook_endpoint(f"{base}/webhooks/chargebee", webhook_username, webhook_password)
        box.m3ter.add_webhook_destination(f"{base}/webhooks/default/m3ter", m3ter_secret)
    server = serve_sandbox(box, host=host, port=port, deliver_webhooks=True)
    for name, value in connection_settings(server.url, box).items():
        click.echo(f"{name}={value}", err=True)
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
