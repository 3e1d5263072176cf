"""`connector connections …`"""

from typing import Any

import click
from sqlalchemy.orm import Session

from connector import audit, pauses
from connector.cli.common import connection_option, output, table, wire
from connector.errors import ConnectorError
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
    what, now, who = pauses.MONEY if money else pauses.ALL, services.now(), audit.actor()
    with services.reading() as db:
        syncs = pauses.held_back(db, connection, what)
    document = {"connection": connection, "what": what, "syncs": syncs, "dry_run": dry_run}
    if dry_run:
        return document, f"{syncs} sync(s) of {connection} would wait."
    with services.transaction() as db:
        if not pauses.pause_by_hand(db, connection, what, f"{reason} ({who})", now):
            raise ConnectorError(f"{connection} is paused already: `connector connections list` says why")
        audit.note(db, who=who, action="connections pause", connection=connection, subject=what, now=now, reason=reason)
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
    now, who = services.now(), audit.actor()
    with services.reading() as db:
        found = [one for one in pauses.of_connection(db, connection) if (one.what == pauses.MONEY) is money]
        lifted = [_pause(db, one) for one in found]
    if not found:
        raise ConnectorError(f"{'money of ' if money else ''}{connection} is not paused")
    document = {"connection": connection, "lifted": lifted, "dry_run": dry_run}
    names = ", ".join(one.what for one in found)
    if dry_run:
        return document, f"The pause of {connection} ({names}) would be lifted."
    if money:
        pauses.accept_database(services, connection)  # first: the next bill would switch money off again
    with services.transaction() as db:
        for one in found:
            pauses.lift(db, connection, one.what, now)
            audit.note(
                db, who=who, action="connections resume", connection=connection, subject=one.what, now=now,
                reason=reason, paused_for=one.text,
            )  # fmt: skip
    return document, f"{connection} goes on ({names})."
