"""`connector events …`"""

import json
from typing import Any

import click

from connector import actions, audit, catch_up, inbox, syncs
from connector.cli.common import connection_option, output, table, wire
from connector.cli.syncs import ROW
from connector.explain import delivered, moment, printable
from connector.models import InboxEvent, QuarantinedBody

COLUMNS = ["id", "received_at", "source", "event_type", "status", "reason"]
NAMED_AT_MOST = 20


@click.group("events")
def events_group() -> None:
    """What was delivered or read from Chargebee's event list, and what became of it."""


@events_group.command("list")
@click.option("--status", type=click.Choice(["new", "done", "ignored", "failed"]), help="What became of them.")
@click.option("--type", "event_type", metavar="TYPE", help="Only this type, such as subscription_changed.")
@click.option("--source", type=click.Choice(["chargebee", "m3ter"]), help="Who sent them.")
@click.option("--id", "event_id", metavar="ID", help="The event's id at its sender.")
@click.option("--limit", metavar="NUMBER", default=50, show_default=True, type=click.IntRange(1, 1000))
@connection_option
@output
def list_events(
    status: str | None, event_type: str | None, source: str | None, event_id: str | None, limit: int, connection: str
) -> Any:
    """List events, the newest first."""
    services = wire()
    with services.reading() as db:
        rows = inbox.listed(
            db, [connection], status=status, event_type=event_type, source=source, event_id=event_id, limit=limit
        )
    found = [_as_json(row) for row in rows]
    return {"events": found}, _table("Events", found)


def _table(title: str, found: list[dict[str, Any]]) -> Any:
    return table(title, COLUMNS, [[one[name] for name in COLUMNS] for one in found])


def _as_json(row: InboxEvent) -> dict[str, Any]:
    names = ("id", "connection", "source", "event_id", "event_type", "status", "reason")
    moments = {name: getattr(row, name) for name in ("occurred_at", "received_at", "handled_at")}
    return {name: getattr(row, name) for name in names} | {
        name: moment.isoformat() if moment else None for name, moment in moments.items()
    }


@events_group.command("show")
@click.argument("inbox_id", type=ROW)
@click.option("--body", "with_body", is_flag=True, help="Also what was delivered; it holds personal data.")
@connection_option
@output
def show_event(inbox_id: int, with_body: bool, connection: str) -> Any:
    """Show one event: what it is, what became of it, and the syncs that it opened."""
    services = wire()
    with services.reading() as db:
        row = inbox.look_up(db, connection, inbox_id)
        opened = [syncs.as_json(one) for one in inbox.opened_by(db, row)]
    document = _as_json(row) | {"syncs": opened}
    text: list[Any] = [f"{name}: {value}" for name, value in document.items() if name != "syncs" and value is not None]
    text.append("Syncs that it opened:" if opened else "It opened no sync; it may have joined one that was open.")
    text += [f"  {one['id']}  {one['kind']} {one['subject']}  {one['status']}  {one['text'] or ''}" for one in opened]
    if with_body:
        # Decimals become texts, so that they keep their digits.
        document["body"] = inbox.read_json(row.body)
        written = json.dumps(document["body"], indent=2, ensure_ascii=False, default=str)
        text.append(printable(written))
    return document, text


@events_group.command("replay")
@click.argument("inbox_id", type=ROW, nargs=-1)
@click.option("--status", type=click.Choice(inbox.REPLAYABLE), help="All that were ignored, or all that failed.")
@click.option("--type", "event_type", metavar="TYPE", help="All of this type that were ignored or failed.")
@click.option("--limit", metavar="NUMBER", default=1000, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--dry-run", is_flag=True, help="Say what would be replayed, change nothing.")
@connection_option
@output
def replay_events(
    inbox_id: tuple[int, ...], status: str | None, event_type: str | None, limit: int, dry_run: bool, connection: str
) -> Any:
    """Dispatch events once more as if they had just come; an older state undoes nothing that is known since."""
    if bool(inbox_id) == bool(status or event_type):
        raise click.UsageError("Name the events by their ids, or choose them by --status or --type.")
    services = wire()
    with services.reading() as db:
        rows, matched = inbox.to_replay(
            db, connection, inbox_ids=inbox_id, status=status, event_type=event_type, limit=limit
        )
    found = [_as_json(row) for row in rows]
    replayed: list[int] = []
    if found and not dry_run:
        replayed = actions.replay(services, connection, [row.id for row in rows], audit.actor())
    document = {"matched": matched, "replayed": len(replayed), "dry_run": dry_run, "events": found}
    return document, _replay_text(document)


def _replay_text(document: dict[str, Any]) -> list[Any]:
    found, left = document["events"], document["matched"] - len(document["events"])
    said = f"{len(found)} would be replayed." if document["dry_run"] else f"{document['replayed']} are replayed."
    text: list[Any] = [_table("Events", found[:NAMED_AT_MOST])] if document["dry_run"] and found else []
    if document["dry_run"] and len(found) > NAMED_AT_MOST:
        text.append(f"… and {len(found) - NAMED_AT_MOST} more; --json lists all")
    text.append(said + (f" {left} more match: raise --limit, or run it again." if left else ""))
    return text


@events_group.command("quarantine")
@click.option("--body", "with_body", is_flag=True, help="Also what was delivered; it may hold personal data.")
@click.option("--limit", metavar="NUMBER", default=50, show_default=True, type=click.IntRange(1, 1000))
@connection_option
@output
def list_quarantine(with_body: bool, limit: int, connection: str) -> Any:
    """List deliveries that could not become an event, the newest first, with the reason for each."""
    services = wire()
    with services.reading() as db:
        rows = inbox.quarantined(db, connection, limit)
    found = [_quarantined(row, with_body=with_body) for row in rows]
    columns = ["id", "received_at", "source", "bytes", "reason", *(["body"] if with_body else [])]
    return {"quarantine": found}, table("Quarantine", columns, [[one[name] for name in columns] for one in found])


def _quarantined(row: QuarantinedBody, *, with_body: bool) -> dict[str, Any]:
    shown = {"body": delivered(row.body)} if with_body else {}
    return {
        "id": row.id,
        "source": row.source,
        "received_at": row.received_at.isoformat(),
        "reason": row.reason,
        "bytes": len(row.body),
    } | shown


@events_group.command("readmit")
@click.argument("quarantine_id", type=ROW)
@connection_option
@output
def readmit_delivery(quarantine_id: int, connection: str) -> Any:
    """Take a delivery from quarantine in as the event that it is after all, which is so after an upgrade."""
    event_id = actions.readmit(wire(), connection, quarantine_id, audit.actor())
    return {"event_id": event_id}, f"Event {event_id} is taken in, and is dispatched."


@events_group.command("dismiss")
@click.argument("quarantine_id", type=ROW)
@click.option("--reason", required=True, help="Why nobody need act on it; kept in the audit log.")
@connection_option
@output
def dismiss_delivery(quarantine_id: int, reason: str, connection: str) -> Any:
    """Take a delivery out of quarantine for good."""
    actions.dismiss(wire(), connection, quarantine_id, reason, audit.actor())
    return {"dismissed": quarantine_id}, f"Delivery {quarantine_id} is out of quarantine."


@events_group.command("close")
@click.argument("inbox_id", type=ROW)
@click.option("--reason", required=True, help="Why nobody need act on it; kept on the event and in the audit log.")
@connection_option
@output
def close_event(inbox_id: int, reason: str, connection: str) -> Any:
    """Note on a failed event why nobody need act on it: it counts as ignored from then on."""
    actions.close_event(wire(), connection, inbox_id, reason, audit.actor())
    return {"closed": inbox_id}, f"Event {inbox_id} is closed."


@events_group.command("missed")
@click.option("--backfilled", is_flag=True, help="Note that a backfill has brought what was lost.")
@connection_option
@output
def show_missed(backfilled: bool, connection: str) -> Any:
    """Say how far Chargebee's event list has been read, and since when events may be lost; exits with 1 if any may.

    Chargebee lists events for a limited time: after a longer stop only a backfill brings what they told.
    """
    services = wire()
    services.connection(connection)
    if backfilled:
        with services.transaction() as db:
            if catch_up.backfilled(db, connection):
                audit.note(
                    db,
                    who=audit.actor(),
                    action="events missed --backfilled",
                    connection=connection,
                    subject="events",
                    now=services.now(),
                )
    with services.reading() as db:
        until, lost = catch_up.read_until(db, connection), catch_up.lost_since(db, connection)
    document = {
        "read_until": until.isoformat() if until else None,
        "lost_since": lost.isoformat() if lost else None,
        "exit_status": 1 if lost else 0,
    }
    text = [f"Chargebee's event list has been read until {moment(until)}." if until else "It has not been read yet."]
    text.append(
        f"Events since {moment(lost)} may be lost: a backfill is needed." if lost else "No event is known to be lost."
    )
    return document, text
