"""`connector connections …`"""

from typing import Any

import click
from sqlalchemy.orm import Session

from connector import actions, audit, pauses
from connector.cli.common import connection_option, output, table, wire
from connector.models import Pause
from connector.services import Connected


@click.group("connections")
def connections_group() -> None:
    """The pairs of a Chargebee site and a m3ter organisation, and what holds the work of one back."""


@connections_group.command("list")
@output
def list_connections() -> Any:
    """List all connections with their pauses, and how many syncs each pause holds back."""
    services = wire()
    with services.reading() as db:
        found = [_as_json(db, connected) for connected in services.connections.values()]
    rows = [
        [one["connection"], one["chargebee_site"], one["m3ter_org_id"],
         *(pause.get(name) for name in ("what", "cause", "since", "next_probe_at", "syncs", "text"))]
        for one in found
        for pause in one["pauses"] or [{}]
    ]  # fmt: skip
    columns = ["connection", "site", "organisation", "paused", "cause", "since", "next probe", "syncs", "text"]
    return {"connections": found}, table("Connections", columns, rows)


def _as_json(db: Session, connected: Connected) -> dict[str, Any]:
    return {
        "connection": connected.name,
        "chargebee_site": connected.settings.chargebee_site,
        "m3ter_org_id": connected.settings.m3ter_org_id,
        "pauses": [_pause(db, pause) for pause in pauses.of_connection(db, connected.name)],
    }


def _pause(db: Session, pause: Pause) -> dict[str, Any]:
    return {
        "what": pause.what,
        "cause": pause.cause,
        "text": pause.text,
        "since": pause.since.isoformat(),
        "next_probe_at": pause.next_probe_at.isoformat() if pause.next_probe_at else None,
        "syncs": pauses.held_back(db, pause.connection, pause.what),
    }


@connections_group.command("pause")
@click.option("--money", is_flag=True, help="Hold back bills only.")
@click.option("--reason", required=True, help="Why; kept in the audit log, and shown with all that it stops.")
@click.option("--dry-run", is_flag=True, help="Say what would be held back, change nothing.")
@connection_option
@output
def pause_connection(money: bool, reason: str, dry_run: bool, connection: str) -> Any:
    """Hold back a connection's work until `connector connections resume`; events and approved bills are read and wait."""
    services = wire()
    services.connection(connection)  # raises for a name that is not there
    what = pauses.MONEY if money else pauses.ALL
    with services.reading() as db:
        syncs = pauses.held_back(db, connection, what)
    document = {"connection": connection, "what": what, "syncs": syncs, "dry_run": dry_run}
    if dry_run:
        return document, f"{syncs} sync(s) of {connection} would wait."
    actions.pause(services, connection, what, reason, audit.actor())
    return document, f"{connection} is paused; {syncs} sync(s) wait."


@connections_group.command("resume")
@click.option(
    "--money", is_flag=True, help="Let bills go on: you have compared what was sent with what the database knows."
)
@click.option("--reason", help="What you have found and done, kept in the audit log; needed with --money.")
@click.option("--dry-run", is_flag=True, help="Say what would be lifted, change nothing.")
@connection_option
@output
def resume_connection(money: bool, reason: str | None, dry_run: bool, connection: str) -> Any:
    """Lift every pause of a connection but that of money, or with --money just that one; its work goes on at once."""
    if money and not reason:
        raise click.UsageError("--money needs --reason: say what you have compared.")
    services = wire()
    services.connection(connection)
    with services.reading() as db:
        found = pauses.to_lift(db, connection, money=money)
        lifted = [_pause(db, one) for one in found]
    names = ", ".join(one.what for one in found)
    document = {"connection": connection, "lifted": lifted, "dry_run": dry_run}
    if found and dry_run:
        return document, f"The pause of {connection} ({names}) would be lifted."
    actions.resume(services, connection, money=money, reason=reason, who=audit.actor())
    return document, f"{connection} goes on ({names})."
