"""`connector syncs …`"""

from typing import Any

import click
from sqlalchemy import select

from connector import audit, jobs, syncs
from connector.cli.common import connection_option, output, table, wire
from connector.errors import ConnectorError
from connector.models import Attempt, Sync


@click.group("syncs")
def syncs_group() -> None:
    """What the connector does, did and could not do, subject by subject."""


@syncs_group.command("list")
@connection_option
@click.option("--status", help="pending, running, waiting, parked, succeeded or superseded.")
@click.option("--kind", help="customer, subscription or bill.")
@click.option("--subject", help="The id of the customer, subscription or bill.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@output
def list_syncs(connection: str, status: str | None, kind: str | None, subject: str | None, limit: int) -> Any:
    """List syncs, the newest first."""
    services = wire()
    wanted = [Sync.connection == connection]
    wanted += [
        column == value
        for column, value in ((Sync.status, status), (Sync.kind, kind), (Sync.subject, subject))
        if value
    ]
    with services.reading() as db:
        rows = db.scalars(select(Sync).where(*wanted).order_by(Sync.id.desc()).limit(limit)).all()
    found = [syncs.as_json(row) for row in rows]
    cells = [[one["id"], one["kind"], one["subject"], one["status"], one["cause"], one["text"]] for one in found]
    return {"syncs": found}, table("Syncs", ["id", "kind", "subject", "status", "cause", "text"], cells)


@syncs_group.command("show")
@click.argument("sync_id", type=int)
@output
def show_sync(sync_id: int) -> Any:
    """Show one sync: its state, its reason and next step, and each attempt with what it did and the calls it made."""
    services = wire()
    with services.reading() as db:
        row = db.get(Sync, sync_id)
        tries = db.scalars(select(Attempt).where(Attempt.sync_id == sync_id).order_by(Attempt.id)).all()
    if row is None:
        raise ConnectorError(f"there is no sync {sync_id}")
    document = syncs.as_json(row) | {"tries": [_attempt(one) for one in tries]}
    names = ("id", "kind", "subject", "trigger", "status", "cause", "text", "next_step")
    text = [f"{name}: {document[name]}" for name in names if document[name] is not None]
    for one in document["tries"]:
        text.append(f"\n{one['number']}. {one['started_at']}  {one['outcome']}  {one['text'] or ''}")
        text += [f"   · {sentence}" for sentence in one["did"]]
        text += [
            f"   {call['provider']} {call['method']} {call['path']} → {call['status'] or call['error']}"
            f" in {call['milliseconds']:.0f} ms"
            for call in one["calls"]
        ]
    return document, text


def _attempt(row: Attempt) -> dict[str, Any]:
    return {
        "number": row.number,
        "started_at": row.started_at.isoformat(),
        "finished_at": row.finished_at.isoformat() if row.finished_at else None,
        "outcome": row.outcome,
        "cause": row.cause,
        "text": row.text,
        "did": row.did,
        "calls": row.calls,
    }


@syncs_group.command("retry")
@click.argument("sync_id", type=int)
@click.option("--dry-run", is_flag=True, help="Say what would be queued, change nothing.")
@output
def retry_sync(sync_id: int, dry_run: bool) -> Any:
    """Let a parked, waiting or put-off sync run now; what is in doubt is looked up before anything is sent."""
    services = wire()
    now, who = services.now(), audit.actor()
    if dry_run:
        with services.reading() as db:
            row = db.get(Sync, sync_id)
        if row is None:
            raise ConnectorError(f"there is no sync {sync_id}")
        return {"id": sync_id, "status": row.status, "dry_run": True}, f"{row.kind} {row.subject} is {row.status}."
    with services.transaction() as db:
        row = db.get(Sync, sync_id)
        if row is None:
            raise ConnectorError(f"there is no sync {sync_id}")
        became = syncs.retry(db, sync_id, who, now)
        audit.note(
            db,
            who=who,
            action="syncs retry",
            connection=row.connection,
            subject=f"{row.kind} {row.subject}",
            now=now,
            became=became,
        )
        due = syncs.still_due(db, sync_id, now)
    jobs.enqueue(services.redis, due)
    said = {
        "queued": "queued",
        "already queued": "queued already",
        "running": "running",
        "closed": "closed: nothing to retry",
    }
    return {"id": sync_id, "became": became}, f"Sync {sync_id} is {said[became]}."


@syncs_group.command("skip")
@click.argument("sync_id", type=int)
@click.option("--reason", required=True, help="Why it need not be done; kept in the audit log.")
@output
def skip_sync(sync_id: int, reason: str) -> Any:
    """Close a parked or waiting sync without doing it."""
    services = wire()
    now, who = services.now(), audit.actor()
    with services.transaction() as db:
        row = db.get(Sync, sync_id)
        if row is None or not syncs.skip(db, sync_id, f"skipped by {who}: {reason}", now):
            raise ConnectorError(f"sync {sync_id} is not parked or waiting, so there is nothing to skip")
        audit.note(
            db,
            who=who,
            action="syncs skip",
            connection=row.connection,
            subject=f"{row.kind} {row.subject}",
            now=now,
            reason=reason,
        )
    return {"id": sync_id, "skipped": True}, f"Sync {sync_id} is closed."
