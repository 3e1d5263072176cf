"""What a person may have done, at the console and the command line alike: each leaves its note in the audit log.

`who` is how that log names the person. Asking twice does a thing once.
"""

from collections.abc import Sequence
from typing import Any

from connector import audit, inbox, jobs, pauses, syncs
from connector.bills import asking
from connector.bills.asking import Looked
from connector.errors import ConnectorError
from connector.mappings import set_up
from connector.mappings.pairs import Pair
from connector.models import Pause, Sync
from connector.services import Services

# How many syncs a new mapping lets go on at once; the clock queues the rest.
QUEUED_AT_ONCE = 500


def retry(services: Services, rows: Sequence[Sync], who: str) -> dict[int, str]:
    """What became of each sync (see `syncs.retry`), by its id; those that are due now are queued."""
    now = services.now()
    became = {}
    with services.transaction() as db:
        for row in rows:
            became[row.id] = syncs.retry(db, row.id, who, now)
            audit.note(
                db, who=who, action="syncs retry", connection=row.connection, subject=f"{row.kind} {row.subject}",
                now=now, became=became[row.id],
            )  # fmt: skip
        due = syncs.mark_queued(db, [sync_id for sync_id, what in became.items() if what == "queued"], now)
    jobs.enqueue(services.redis, due)
    return became


def queue(services: Services, sync_ids: Sequence[int]) -> None:
    """Queue those of these syncs that are due now; the clock finds them where the queue cannot be reached."""
    now = services.now()
    with services.transaction() as db:
        due = [one for sync_id in sync_ids for one in syncs.still_due(db, sync_id, now)]
    jobs.enqueue(services.redis, due)


def skip(services: Services, sync_id: int, reason: str, who: str) -> None:
    """Close a parked or waiting sync without doing it; raises ConnectorError when it is neither."""
    now = services.now()
    with services.transaction() as db:
        row = db.get(Sync, sync_id)
        if row is None or not syncs.skip(db, sync_id, f"skipped by {who}: {reason}", now):
            raise ConnectorError(f"sync {sync_id} is not parked or waiting, so there is nothing to skip")
        audit.note(
            db, who=who, action="syncs skip", connection=row.connection, subject=f"{row.kind} {row.subject}",
            now=now, reason=reason,
        )  # fmt: skip


def replay(services: Services, connection: str, inbox_ids: Sequence[int], who: str) -> list[int]:
    """Dispatch these events once more; answers the ids of those that were not to be dispatched anyhow."""
    with services.transaction() as db:
        replayed = inbox.replay(db, connection, inbox_ids)
        audit.note(
            db, who=who, action="events replay", connection=connection, subject=f"{len(replayed)} events",
            now=services.now(), inbox_ids=replayed,
        )  # fmt: skip
    jobs.ring(services.redis)
    return replayed


def pause(services: Services, connection: str, what: str, reason: str, who: str) -> None:
    """Hold back a connection's work (`pauses.ALL`) or its bills (`pauses.MONEY`); ConnectorError when that is so already."""
    now = services.now()
    with services.transaction() as db:
        if not pauses.pause_by_hand(db, connection, what, f"{reason} ({who})", now):
            raise ConnectorError(f"{connection} is paused already: `connector connections list` says why")
        audit.note(db, who=who, action="connections pause", connection=connection, subject=what, now=now, reason=reason)


def resume(services: Services, connection: str, *, money: bool, reason: str | None, who: str) -> list[Pause]:
    """Lift every pause of a connection but that of money, or just that one; ConnectorError when there is none."""
    with services.reading() as db:
        found = pauses.to_lift(db, connection, money=money)
    if not found:
        raise ConnectorError(f"{'money of ' if money else ''}{connection} is not paused")
    if money:
        pauses.accept_database(services, connection)  # first: the next bill would switch money off again
    now = services.now()
    with services.transaction() as db:
        for one in found:
            pauses.lift(db, connection, one.what, now)
            audit.note(
                db, who=who, action="connections resume", connection=connection, subject=one.what, now=now,
                reason=reason, paused_for=one.text,
            )  # fmt: skip
    return found


def push(services: Services, connection: str, looked: Looked, who: str) -> int:
    """Let the bill be pushed as it was looked at; answers its sync. Raises Parked or OutOfScope for what may not be."""
    sync_id = asking.begin(services, connection, looked.bill, looked.plan, who=who)
    queue(services, [sync_id])
    return sync_id


def map_pairs(
    services: Services, connection: str, pairs: Sequence[Pair], who: str, *, action: str, check: bool = True,
    rewrite: bool = False, dry_run: bool = False,
) -> list[int]:  # fmt: skip
    """Set up these mappings as `set_up.add` does; answers the syncs that go on."""
    woken = set_up.add(services, connection, pairs, made_by=who, check=check, rewrite=rewrite, dry_run=dry_run)
    if not dry_run:
        note_mapped(services, connection, [str(pair) for pair in pairs], action, woken, who)
    return woken


def unmap(
    services: Services, connection: str, pair: Pair, reason: str, who: str, *, rewrite: bool = False,
    dry_run: bool = False,
) -> list[int]:  # fmt: skip
    """Take away this mapping as `set_up.remove` does; answers the syncs that go on."""
    woken = set_up.remove(services, connection, pair, rewrite=rewrite, dry_run=dry_run)
    if not dry_run:
        note_mapped(services, connection, [str(pair)], "mappings remove", woken, who, reason=reason)
    return woken


def note_mapped(
    services: Services, connection: str, subjects: Sequence[str], action: str, woken: Sequence[int], who: str,
    **detail: Any,
) -> None:  # fmt: skip
    """Keep who changed these mappings, and queue what goes on."""
    now = services.now()
    with services.transaction() as db:
        for subject in subjects:
            audit.note(db, who=who, action=action, connection=connection, subject=subject, now=now, **detail)
        due = syncs.mark_queued(db, woken[:QUEUED_AT_ONCE], now)
    jobs.enqueue(services.redis, due)
