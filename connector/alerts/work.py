"""Syncs that need a person, or that nobody works on.

All of it is read from the open syncs by one grouped query over their index; what is done, however much, is never looked at.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, case, func, literal, select
from sqlalchemy.orm import Session

from connector import money, pauses
from connector.alerts.findings import EVERYWHERE, Finding, number, page, since
from connector.alerts.rules import URGENT, WARNING
from connector.balances import watches
from connector.bills.ledger import DONE, PUSHING
from connector.bills.planned import GIVEN, NOTHING
from connector.models import IS_OPEN, BillSnapshot, InboxEvent, LinePush, Sync
from connector.services import Services

# Failed tries after which it is no longer a passing trouble: by then some minutes have gone by.
MANY_TRIES = 4
# Worker deaths after which it is the sync's fault.
MANY_CRASHES = 2
# Causes for which money may be wrong or twice where it is: somebody is woken up.
WRONG_MONEY = frozenset(
    {
        "line_doubled", "lines_differ", "line_removed", "foreign_lines", "several_equal_lines", "amount_differs",
        "verification_failed", "less_than_sent", "made_twice", "credited_twice", "in_doubt", "line_gone", "invoice_gone",
        "charge_without_credit", "credit_without_charge", "crashed",
    }
)  # fmt: skip
# Waits that end by themselves: a bill parks when its invoice does not come, and a comparison waits for the invoice's closing.
PATIENT = frozenset({"no_pending_invoice", "shadow_differs", pauses.MONEY_OFF})


@dataclass(frozen=True)
class Group:
    """Open syncs of one connection, kind, state and cause."""

    connection: str
    kind: str
    status: str
    cause: str | None
    syncs: int
    since: datetime
    next_step: str | None
    waiting_long: int
    open_since: datetime
    tried_often: int
    crashed: int


def groups(db: Session, services: Services) -> list[Group]:
    """The open syncs of the connections that there are."""
    long_ago = services.now() - timedelta(hours=services.settings.alert_waiting_hours)
    said = (Sync.connection, Sync.kind, Sync.status, Sync.cause)
    rows = db.execute(
        select(
            *said,
            func.count(),
            func.min(Sync.updated_at),
            func.min(Sync.next_step),
            _number(Sync.created_at <= long_ago),
            func.min(Sync.created_at),
            _number(Sync.attempts >= MANY_TRIES),
            _number(Sync.crashes >= MANY_CRASHES),
        )
        .where(IS_OPEN)
        .group_by(*said)
    )
    return [Group(*row) for row in rows if row[0] in services.connections]


def _number(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


def find(services: Services) -> Iterator[Finding]:
    """Parked by cause, failing again and again, killing its workers, waiting too long."""
    with services.reading() as db:
        found = groups(db, services)
        waiting_money = _money(db)
    for one in found:
        # A low balance is said by its watch.
        if one.status == "parked" and one.kind != watches.KIND:
            yield _parked(one, waiting_money)
        if one.status == "pending" and one.tried_often and one.cause not in (None, "access_refused"):
            yield _of(
                one, "failing", WARNING, one.tried_often, one.since,
                f"{number(one.tried_often, f'{one.kind} sync')} of {one.connection} failed {MANY_TRIES} times or more and "
                f"{'is' if one.tried_often == 1 else 'are'} tried again: {one.cause}",
                "Look at the calls of a try; when the tries are used up it parks.",
            )  # fmt: skip
        if one.crashed:
            yield _of(
                one, "crashing", URGENT, one.crashed, one.since,
                f"workers die at {number(one.crashed, f'{one.kind} sync')} of {one.connection}",
                "Look into the worker's log and its memory.",
            )  # fmt: skip
        if one.status == "waiting" and one.waiting_long and one.cause not in PATIENT:
            yield _of(
                one, "waiting_long", WARNING, one.waiting_long, one.open_since,
                f"{number(one.waiting_long, f'{one.kind} sync')} of {one.connection} still wait after "
                f"{services.settings.alert_waiting_hours} hours: {one.cause}{since(one.open_since)}",
                one.next_step or "See what it waits for, and skip it if that will never come.",
            )  # fmt: skip


def _of(
    one: Group, condition: str, severity: str, count: int, oldest: datetime | None, text: str, next_step: str
) -> Finding:  # fmt: skip
    filters = {"connection": one.connection, "kind": one.kind, "status": one.status}
    if one.cause is not None:
        filters["cause"] = one.cause
    options = " ".join(f"--{name} {value}" for name, value in filters.items())
    return Finding(
        condition, one.connection, severity, text, next_step, page("/syncs", **filters), f"connector syncs list {options}",
        about=(one.kind, one.cause or "no_cause"), count=count, since=oldest,
    )  # fmt: skip


def _parked(one: Group, waiting_money: Mapping[tuple[str, str | None], str]) -> Finding:
    is_wrong = one.cause in WRONG_MONEY and one.kind in pauses.MONEY_KINDS
    amount = waiting_money.get((one.connection, one.cause)) if one.kind == "bill" else None
    return _of(
        one, "parked", URGENT if is_wrong else WARNING, one.syncs, one.since,
        f"{number(one.syncs, f'{one.kind} sync')} of {one.connection} "
        f"{'is' if one.syncs == 1 else 'are'} parked: {one.cause or 'no cause'}{since(one.since)}"
        + (f"; {amount} of their bills is not sent yet" if amount else ""),
        one.next_step or "See what each says, then retry.",
    )  # fmt: skip


def _money(db: Session) -> dict[tuple[str, str | None], str]:
    """What parked bills have left to send, by connection and cause; of bills that are not planned yet nobody here knows it."""
    rows = db.execute(
        select(
            Sync.connection, Sync.cause, BillSnapshot.currency, BillSnapshot.decimals,
            func.sum(case((LinePush.kind.in_(GIVEN), -LinePush.amount_minor), else_=LinePush.amount_minor)),
        )
        .join(
            BillSnapshot,
            (BillSnapshot.connection == Sync.connection)
            & (BillSnapshot.bill_id == Sync.subject)
            & (BillSnapshot.status == PUSHING),
        )
        .join(LinePush, LinePush.snapshot_id == BillSnapshot.id)
        .where(Sync.status == "parked", Sync.kind == "bill", LinePush.status != DONE, LinePush.kind != NOTHING)
        .group_by(Sync.connection, Sync.cause, BillSnapshot.currency, BillSnapshot.decimals)
        .order_by(BillSnapshot.currency)
    )  # fmt: skip
    found: dict[tuple[str, str | None], list[str]] = defaultdict(list)
    for connection, cause, currency, decimals, minor in rows:
        found[(connection, cause)].append(f"{money.grouped(money.to_major(int(minor), decimals))} {currency}")
    return {key: " and ".join(amounts) for key, amounts in found.items()}


def find_untaken(services: Services) -> Iterator[Finding]:
    """Work that is due and that nobody takes, and events that nobody dispatches: queue, clock or workers do not work."""
    now = services.now()
    late = now - timedelta(minutes=services.settings.alert_pending_minutes)
    with services.reading() as db:
        due = select(func.min(Sync.next_attempt_at)).where(
            IS_OPEN, Sync.status.in_(("pending", "waiting", "running")), Sync.next_attempt_at <= late, pauses.holds_none()
        )  # fmt: skip
        syncs_since = db.scalar(due)
        # Written out: an index of some rows only is not found by a parameter.
        is_new = InboxEvent.status == literal("new", literal_execute=True)
        events_since = db.scalar(select(InboxEvent.received_at).where(is_new).order_by(InboxEvent.id).limit(1))
    next_step = "See that the workers of both queues and Redis run, and look into their logs."
    if syncs_since is not None:
        yield Finding(
            "work_untaken", EVERYWHERE, URGENT, f"work is due{since(syncs_since)}, and nobody has taken it", next_step,
            page("/syncs", status="pending"), "connector syncs list --status pending", since=syncs_since,
        )  # fmt: skip
    if events_since is not None and events_since <= late:
        yield Finding(
            "events_untaken", EVERYWHERE, URGENT, f"events are not dispatched{since(events_since)}", next_step,
            page("/events", status="new"), "connector events list --status new", since=events_since,
        )  # fmt: skip
