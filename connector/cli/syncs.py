"""`connector syncs …`"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import click
from sqlalchemy import ColumnElement, select

from connector import actions, audit, explain, inbox, syncs
from connector.cli.common import connection_option, output, table, wire
from connector.errors import ConnectorError
from connector.explain import moment
from connector.handlers import KINDS
from connector.models import Attempt, Sync
from connector.services import Services

# A number that every database takes for one of a row.
ROW = click.IntRange(1, 2**63 - 1)
# What `show` prints of a list before it says how much more there is.
LINES, EARLIER = 8, 5


@click.group("syncs")
def syncs_group() -> None:
    """What the connector does, did and could not do, subject by subject."""


def _filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--kind`, `--subject` and `--cause`."""
    for decorate in (
        click.option("--cause", help="The reason's code, e.g. no_email."),
        click.option("--subject", help="The id of the customer, subscription or bill."),
        click.option("--kind", type=click.Choice(sorted(KINDS)), help="What it makes right."),
    ):
        command = decorate(command)
    return command


def _conditions(connection: str, **values: str | None) -> list[ColumnElement[bool]]:
    return [Sync.connection == connection] + [
        getattr(Sync, name) == value for name, value in values.items() if value is not None
    ]


@syncs_group.command("list")
@connection_option
@click.option("--status", type=click.Choice(syncs.STATUSES), help="Where they stand.")
@_filters
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@output
def list_syncs(
    connection: str, status: str | None, kind: str | None, subject: str | None, cause: str | None, limit: int
) -> Any:
    """List syncs, the newest first."""
    services = wire()
    wanted = _conditions(connection, status=status, kind=kind, subject=subject, cause=cause)
    with services.reading() as db:
        rows = db.scalars(select(Sync).where(*wanted).order_by(Sync.id.desc()).limit(limit)).all()
    found = [syncs.as_json(row) for row in rows]
    return {"syncs": found}, _table("Syncs", found)


def _table(title: str, found: Sequence[dict[str, Any]]) -> Any:
    columns = ["id", "kind", "subject", "status", "cause", "text"]
    return table(title, columns, [[one[name] for name in columns] for one in found])


@syncs_group.command("show")
@click.argument("sync_id", type=ROW)
@click.option("--all", "everything", is_flag=True, help="Every try whole, and nothing cut short.")
@output
def show_sync(sync_id: int, everything: bool) -> Any:
    """Explain one sync: why it stands where it does, what its last try wanted, found and did, and what comes next."""
    services = wire()
    with services.reading() as db:
        row = db.get(Sync, sync_id)
        if row is None:
            raise ConnectorError(f"there is no sync {sync_id}")
        tries = db.scalars(select(Attempt).where(Attempt.sync_id == sync_id).order_by(Attempt.id)).all()
        event = inbox.opener_of(db, row)
    tried = [_attempt(one) for one in tries]
    document = syncs.as_json(row) | {
        "trigger_event": event and {"inbox": event.id, "type": event.event_type, "source": event.source},
        "tries": tried,
    }
    trigger = f"{row.trigger} ({event.event_type}, inbox {event.id})" if event else row.trigger
    text = [
        f"Sync {row.id}: {row.kind} {row.subject}, {row.status} since {moment(row.updated_at)}",
        *facts(
            [
                ("Connection", row.connection),
                ("Trigger", trigger),
                ("Asked", f"{moment(row.created_at)}, tried {row.runs} time(s) so far"),
                ("Runs next", _next(row, services.now())),
                ("Why", f"{row.cause}: {row.text}" if row.cause else row.text),
                ("Next step", row.next_step),
            ]
        ),
    ]
    whole, brief = (tried, []) if everything else (tried[-1:], tried[-2::-1])
    for one in reversed(whole):
        text += ["", *_whole(one, said=row.text, cut=None if everything else LINES)]
    if brief:
        text += ["", "Earlier tries", *_cut([_line(one) for one in brief], EARLIER)]
    return document, text


def _attempt(row: Attempt) -> dict[str, Any]:
    return {
        "number": row.number,
        "started_at": row.started_at.isoformat(),
        "finished_at": row.finished_at.isoformat() if row.finished_at else None,
        "outcome": row.outcome,
        "cause": row.cause,
        "text": row.text,
        "wanted": row.wanted,
        "found": row.found,
        "did": row.did,
        "calls": row.calls,
    }


def _next(row: Sync, now: datetime) -> str:
    """When the sync is tried again, by itself or by hand."""
    by_hand = f", or with `connector syncs retry {row.id}`" if row.status == "parked" else ""
    return explain.next_run(row, now) + by_hand


def _whole(one: dict[str, Any], *, said: str | None, cut: int | None) -> list[str]:
    """One try with all its parts, but for the text that has been `said` above already."""
    ended = f" to {one['finished_at'][11:19]}" if one["finished_at"] else ""
    text = one["text"] if one["text"] != said else None
    lines = [f"Try {one['number']}, {_clock(one['started_at'])}{ended}: {one['outcome']}{f'. {text}' if text else ''}"]
    for name, sentences in (
        ("Wanted", one["wanted"]),
        ("Found", one["found"]),
        ("Did", one["did"]),
        ("Calls", explain.calls(one["calls"])),
    ):
        lines += [f"  {name}", *_cut([f"    · {one}" for one in sentences], cut)] if sentences else [f"  {name}: –"]
    return lines


def _line(one: dict[str, Any]) -> str:
    said = ": ".join(filter(None, (one["cause"], one["text"])))
    return f"  {one['number']}. {_clock(one['started_at'])}  {one['outcome']}  {said}".rstrip()


def _cut(lines: list[str], most: int | None) -> list[str]:
    if most is None or len(lines) <= most:
        return lines
    indent = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
    return [*lines[:most], f"{indent}… and {len(lines) - most} more, with --all"]


def facts(pairs: Sequence[tuple[str, str | None]]) -> list[str]:
    """Names and values under each other, without those that there are not."""
    there = [(name, value) for name, value in pairs if value]
    return [f"{name:{max(len(one) for one, _ in there)}}  {value}" for name, value in there]


def _clock(text: str) -> str:
    return str(moment(datetime.fromisoformat(text)))


@syncs_group.command("retry")
@click.argument("sync_id", type=ROW, nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that the filters name, instead of some by their ids.")
@click.option("--status", type=click.Choice(syncs.HELD_BACK), default="parked", show_default=True, help="With --all.")
@_filters
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(1, 10_000), help="With --all.")
@connection_option
@click.option("--dry-run", is_flag=True, help="Say what would be queued, change nothing.")
@output
def retry_sync(
    sync_id: tuple[int, ...],
    everything: bool,
    status: str,
    kind: str | None,
    subject: str | None,
    cause: str | None,
    limit: int,
    connection: str,
    dry_run: bool,
) -> Any:
    """Let a parked, waiting or put-off sync run now; what is in doubt is looked up before anything is sent.

    With --all, every one that the filters name; a retry can be a decision, so that --cause must say for what.
    """
    if everything is bool(sync_id):
        raise click.UsageError("Name the syncs, or say --all.")
    services = wire()
    if len(sync_id) == 1:
        return _retry_one(services, sync_id[0], dry_run=dry_run)
    if sync_id:
        return _retry_many(services, _named(services, sync_id), len(sync_id), dry_run=dry_run)
    if not (cause or dry_run):
        raise click.UsageError("--all needs --cause: look with --dry-run first at what is there, and at its next step.")
    wanted = _conditions(connection, status=status, kind=kind, subject=subject, cause=cause)
    with services.reading() as db:
        rows = db.scalars(select(Sync).where(*wanted).order_by(Sync.id)).all()
    return _retry_many(services, rows, limit, dry_run=dry_run)


def _retry_one(services: Services, sync_id: int, *, dry_run: bool) -> Any:
    with services.reading() as db:
        row = db.get(Sync, sync_id)
    if row is None:
        raise ConnectorError(f"there is no sync {sync_id}")
    if dry_run:
        return {"id": sync_id, "status": row.status, "dry_run": True}, f"{row.kind} {row.subject} is {row.status}."
    [became] = actions.retry(services, [row], audit.actor()).values()
    said = {
        "queued": "queued",
        "already queued": "queued already",
        "running": "running",
        "closed": "closed: nothing to retry",
    }
    return {"id": sync_id, "became": became}, f"Sync {sync_id} is {said[became]}."


def _named(services: Services, ids: Sequence[int]) -> Sequence[Sync]:
    with services.reading() as db:
        rows = db.scalars(select(Sync).where(Sync.id.in_(ids)).order_by(Sync.id)).all()
    if missing := sorted(set(ids) - {row.id for row in rows}):
        raise ConnectorError(f"there is no sync {', '.join(map(str, missing))}")
    return rows


def _retry_many(services: Services, rows: Sequence[Sync], limit: int, *, dry_run: bool) -> Any:
    """The oldest of these that are held back, each queued once however often it is asked for."""
    now = services.now()
    held_back = [
        row for row in rows if row.status in syncs.HELD_BACK and (row.status != "pending" or row.next_attempt_at > now)
    ]
    chosen = held_back[:limit]
    counts = Counter((row.kind, row.cause) for row in held_back)
    document: dict[str, Any] = {
        "matched": len(held_back),
        "by_cause": [{"kind": kind, "cause": why, "syncs": count} for (kind, why), count in counts.most_common()],
        "syncs": [syncs.as_json(row) for row in chosen],
        "dry_run": dry_run,
    }
    left = (
        f" {len(held_back) - limit} more than --limit {limit}: run it again for those."
        if len(held_back) > limit
        else ""
    )
    if dry_run:
        by_cause = [[one["kind"], one["cause"], one["syncs"]] for one in document["by_cause"]]
        text = [table("By cause", ["kind", "cause", "syncs"], by_cause), _table("Would be retried", document["syncs"])]
        return document, [*text, f"{len(chosen)} sync(s) would be retried.{left}"]
    document["became"] = actions.retry(services, chosen, audit.actor())
    queued = sum(became == "queued" for became in document["became"].values())
    return document, f"{queued} sync(s) queued.{left}"


@syncs_group.command("skip")
@click.argument("sync_id", type=ROW)
@click.option("--reason", required=True, help="Why it need not be done; kept in the audit log.")
@output
def skip_sync(sync_id: int, reason: str) -> Any:
    """Close a parked or waiting sync without doing it."""
    actions.skip(wire(), sync_id, reason, audit.actor())
    return {"id": sync_id, "skipped": True}, f"Sync {sync_id} is closed."
