"""What a person may have done, at the console and the command line alike: each leaves its note in the audit log.

`who` is how that log names the person. Asking twice does a thing once.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from connector import audit, inbox, jobs, mirror, pauses, syncs
from connector.balances import sold
from connector.bills import ledger
from connector.bills.guards import PEOPLE
from connector.bills.preview import Look
from connector.bills.push import approval_wish, check_guards, freeze
from connector.errors import ConnectorError, Parked
from connector.mappings import set_up
from connector.mappings.pairs import Pair
from connector.models import InboxEvent, Pause, QuarantinedBody, Sync
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


def push(services: Services, connection: str, looked: Look, who: str) -> int:
    """Let a worker send just what was looked at; answers the sync's id. Raises as `begin_push` does."""
    sync_id = begin_push(services, connection, looked, who)
    queue(services, [sync_id])
    return sync_id


def begin_push(services: Services, connection: str, looked: Look, who: str) -> int:
    """Freeze just what was looked at of a bill, and let its sync run; answers the sync's id.

    Raises Parked or Waiting for a bill that is not approved, has problems or may not be pushed yet, OutOfScope for one that
    is left to others, and Waiting (`push_begun`) when another push has begun since: nothing of what was looked at is sent.
    Of a push that is under way only the rest is sent.
    """
    bill_id, now = looked.preview.bill_id, services.now()
    if not looked.is_approved:
        raise Parked("not_approved", f"bill {bill_id} is not approved in m3ter", "Approve it in m3ter first.")
    if looked.bill is not None and looked.plan is not None:
        check_guards(services, connection, looked.plan, looked.preview.content, by_a_person=True)
        if looked.plan.problems or looked.plan.charges:
            freeze(services, connection, looked.bill, looked.plan)
    with services.transaction() as db:
        sync_id = syncs.ask(
            db, connection=connection, kind="bill", subject=bill_id, trigger=f"pushed by {who}", now=now
        )
        syncs.retry(db, sync_id, who, now)
        audit.note(
            db, who=who, action="bills push", connection=connection, subject=bill_id, now=now, sync=sync_id,
            to_send=f"{looked.preview.to_send} {looked.preview.currency}",
        )  # fmt: skip
    return sync_id


def approve(services: Services, connection: str, bill_id: str, content: str, who: str) -> tuple[list[str], list[int]]:
    """Note that this person approves just this result of the bill, and let it go on once enough people have.

    Answers the people who have approved it so far, and the ids of the syncs that go on.
    """
    now = services.now()
    with services.transaction() as db:
        if ledger.approve(db, connection, bill_id, content, who, now):
            audit.note(
                db, who=who, action="bills approve", connection=connection, subject=bill_id, now=now, content=content
            )
        people = audit.people(ledger.approved_by(db, connection, bill_id, content))
        woken = syncs.wake(db, connection, [approval_wish(bill_id)], now) if len(people) >= PEOPLE else []
        due = syncs.mark_queued(db, woken, now)
    jobs.enqueue(services.redis, due)
    return people, woken


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


def sync_now(services: Services, connection: str, kind: str, subject: str, who: str) -> tuple[int, str]:
    """Make a customer or a subscription right now, by what Chargebee says of it now; the sync, and what became of it.

    A sync that is open is joined: asked for twice, it runs once. It is no decision about what was parked: for that there is a
    retry.
    """
    now = services.now()
    with services.transaction() as db:
        mirror.unsettle(db, connection, kind, subject)
        sync_id = syncs.ask(
            db, connection=connection, kind=kind, subject=subject, trigger=f"asked for by {who}", now=now
        )
        row = db.get_one(Sync, sync_id, populate_existing=True)
        if row.status == "pending" and row.next_attempt_at > now:
            syncs.retry(db, sync_id, who, now)
        audit.note(db, who=who, action="customers sync", connection=connection, subject=f"{kind} {subject}", now=now)
        due = syncs.still_due(db, sync_id, now)
    jobs.enqueue(services.redis, due)
    return sync_id, "queued" if due else "already queued"


def credit_top_ups(services: Services, connection: str, invoice_id: str, who: str) -> int:
    """Let a worker bring the credit for an invoice's top-ups to what is due; the sync's id. One that is open is joined."""
    now = services.now()
    with services.transaction() as db:
        sync_id = syncs.ask(
            db, connection=connection, kind=sold.KIND, subject=invoice_id, trigger=f"asked for by {who}", now=now
        )
        audit.note(db, who=who, action="top-ups credit", connection=connection, subject=invoice_id, now=now)
        due = syncs.mark_queued(db, [sync_id], now)
    jobs.enqueue(services.redis, due)
    return sync_id


def close_event(services: Services, connection: str, inbox_id: int, reason: str, who: str) -> None:
    """Note that nobody need act on a failed event; raises ConnectorError when it is not failed."""
    with services.transaction() as db:
        if not inbox.close(db, connection, inbox_id, f"closed by {who}: {reason}"):
            raise ConnectorError(f"event {inbox_id} is not failed, so there is nothing to close")
        audit.note(
            db, who=who, action="events close", connection=connection, subject=f"inbox {inbox_id}",
            now=services.now(), reason=reason,
        )  # fmt: skip


def note_shown(services: Services, row: InboxEvent | QuarantinedBody, who: str) -> None:
    """Keep that this person has been shown all that was delivered, personal data too."""
    subject, detail = f"quarantined {row.id}", {}
    if isinstance(row, InboxEvent):
        subject, detail = f"event {row.event_id}", {"inbox_id": row.id}
    with services.transaction() as db:
        audit.note(
            db, who=who, action="events payload shown", connection=row.connection, subject=subject, now=services.now(),
            **detail,
        )  # fmt: skip


def readmit(services: Services, connection: str, quarantine_id: int, who: str) -> str:
    """Take a delivery from quarantine in as the event that it is after all, and say its id.

    Raises ConnectorError with the reason while it is still none, and then leaves it where it is.
    """
    with services.transaction() as db:
        row = inbox.in_quarantine(db, connection, quarantine_id)
        event_id = inbox.readmit(db, row, services.now())
        audit.note(
            db, who=who, action="events readmit", connection=connection, subject=f"event {event_id}",
            now=services.now(), quarantined=row.id,
        )  # fmt: skip
    jobs.ring(services.redis)
    return event_id


def dismiss(services: Services, connection: str, quarantine_id: int, reason: str, who: str) -> None:
    """Take a delivery out of quarantine for good; the audit log keeps what it was, by its hash, and why."""
    with services.transaction() as db:
        row = inbox.in_quarantine(db, connection, quarantine_id)
        audit.note(
            db, who=who, action="events dismiss", connection=connection, subject=f"quarantined {row.id}",
            now=services.now(), reason=reason, stopped_by=row.reason, sha256=sha256(row.body).hexdigest(),
        )  # fmt: skip
        db.delete(row)


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
