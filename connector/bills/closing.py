"""How long invoices still take what bills have for them, and whether that is enough (reliability.md §5.2).

Chargebee closes a pending invoice by itself some days after it was made, if the site is set so, and no call tells that setting:
AUTO_CLOSE_DAYS repeats it. From which moment Chargebee counts is not documented; we take the invoice's date, which is the
earliest it can be. A subscription or customer with `auto_close_invoices` false is exempt, the subscription's word first.

All of this is worked out from what has been seen, without a call: pending invoices from their events. One that was closed or
deleted without an event that reached us stays in the list until its time is over.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from connector import looks, mirror
from connector.bills import guards
from connector.bills.final import PENDING
from connector.bills.ledger import DONE, PUSHED, PUSHING
from connector.bills.planned import GIVEN, NOTHING
from connector.bills.routing import SAME_BOUNDARY, plan_starts
from connector.clients.chargebee_objects import Invoice
from connector.clients.http import Unreadable
from connector.database import batches
from connector.models import IS_OPEN, AccountPlan, BillSnapshot, LinePush, Mapping, MirroredResource, SeenBill, Sync
from connector.services import Services
from connector.settings import Connection

log = structlog.get_logger(__name__)

# Beside one call for each charge: the bill twice and its invoices once.
CALLS_OF_A_BILL = 3
# What a bill is waited for with: m3ter's approval, a person here, or nothing but its turn.
APPROVAL, PERSON, TURN = "approval in m3ter", "a person", "its turn"
# Longer than any invoice stays pending.
LONGEST = timedelta(days=51)
# So long after its time an invoice that nobody has told us of is taken for closed.
AFTERWARDS = timedelta(days=1)
# What closes no later than this is kept for those who look, of each connection no more than so many.
SOON = timedelta(days=2)
KEPT = 50
LOOK = "closing soon"
MOMENTS = ("closes_at", "finishes_at")


@dataclass(frozen=True)
class Work:
    """What is still to be done for one invoice; without `bill_id`, no bill of its period is approved yet.

    `charges` are those left to send, None where the bill has not been planned yet. `finishes_at` is when they are sent if
    nothing comes between; None where somebody has to act first. `closes_at` is None where the invoice does not close by
    itself, or nobody knows when. `at_risk` says that the one comes too near to the other.
    """

    needs: str
    bill_id: str | None
    account_id: str | None
    invoice_id: str | None
    subscription_id: str | None
    charges: int | None
    closes_at: datetime | None
    cause: str | None = None
    finishes_at: datetime | None = None
    at_risk: bool = False


def closes_at(
    opened: datetime | None, days: Decimal | None, subscription: dict[str, Any], customer: dict[str, Any]
) -> datetime | None:
    """When the site closes an invoice of this date by itself; None where it does not, or nobody has said after how long."""
    wanted = subscription.get("auto_close_invoices")
    closes = customer.get("auto_close_invoices") if wanted is None else wanted
    if opened is None or days is None or closes is False:
        return None
    return opened + timedelta(seconds=int(days * 86_400))


def schedule(
    work: Iterable[Work], *, now: datetime, calls_per_minute: int, allowance: timedelta, usual_charges: int
) -> list[Work]:
    """The work in the order of its deadlines, with the time at which each piece will be done and whether that is too late.

    What can go on goes on in this order, one call after the other at the allowed rate; a bill that has not been planned
    counts as a usual one.
    """
    done: list[Work] = []
    calls = 0
    for one in sorted(work, key=lambda one: (one.closes_at is None, one.closes_at or now, one.bill_id or "")):
        finishes = None
        if one.needs == TURN:
            calls += CALLS_OF_A_BILL + (usual_charges if one.charges is None else one.charges)
            finishes = now + timedelta(seconds=-(-60 * calls // calls_per_minute))
        risk = one.closes_at is not None and (finishes or now) + allowance >= one.closes_at
        done.append(replace(one, finishes_at=finishes, at_risk=risk))
    return done


def of_connection(services: Services, connection: str) -> list[Work]:
    """All work left for the connection's invoices, the earliest deadline first; none in shadow mode."""
    settings = services.connection(connection).settings
    if settings.shadow:
        return []
    now = services.now()
    first = settings.push_bills_from or services.installed_at.date()
    with services.reading() as db:
        pending = _pending_invoices(db, connection, now)
        found = [*_of_bills(db, connection, settings, pending), *_unapproved(db, connection, settings, pending, first)]
        usual = _usual_charges(db, connection)
    known = [one for one in found if one.bill_id or one.closes_at is None or one.closes_at + AFTERWARDS > now]
    return schedule(
        known,
        now=now,
        calls_per_minute=settings.chargebee_calls_per_minute,
        allowance=timedelta(hours=settings.close_alarm_hours),
        usual_charges=usual,
    )


def watch(services: Services) -> None:
    """Keep what closes soon for those who look, connection by connection, and raise the alarm in the log for each that has
    an invoice that closes before its bill is surely on it."""
    for name, connected in services.connections.items():
        found = of_connection(services, name)
        now = services.now()
        soon = [one for one in found if one.at_risk or (one.closes_at is not None and one.closes_at <= now + SOON)]
        with services.transaction() as db:
            looks.keep(db, name, LOOK, [_as_json(one) for one in soon[:KEPT]], now)
        risky = [one for one in found if one.at_risk]
        if not risky:
            continue
        first = risky[0]
        log.error(
            "invoices close before their bills are on them: `connector bills closing` lists them",
            connection=name, invoices=len(risky), closes_at=str(first.closes_at), bill=first.bill_id,
            invoice=first.invoice_id, needs=first.needs, cause=first.cause, finishes_at=str(first.finishes_at),
            allowance_hours=connected.settings.close_alarm_hours,
        )  # fmt: skip


@dataclass(frozen=True)
class Countdown:
    """Work for an invoice that closes soon, as the clock saw it last, and the sync that does it, if there is one yet."""

    connection: str
    looked_at: datetime
    work: Work
    sync_id: int | None


def last_seen(db: Session, now: datetime) -> list[Countdown]:
    """What closed soon, and was not done, when the clock last looked: the earliest deadline first. What is done since, or
    closed, is left out; no bill is looked into and no provider asked."""
    found = []
    for look in looks.last(db, LOOK):
        works = [_from_json(one) for one in look.found]
        by_bill = {
            sync.subject: sync.id
            for some in batches({one.bill_id for one in works if one.bill_id is not None})
            for sync in db.execute(
                select(Sync.id, Sync.subject).where(
                    Sync.connection == look.connection, Sync.kind == "bill", Sync.subject.in_(some), IS_OPEN
                )
            )
        }
        found += [
            Countdown(look.connection, look.at, one, by_bill.get(str(one.bill_id)))
            for one in works
            if (one.bill_id is None or one.bill_id in by_bill) and (one.closes_at or now) + AFTERWARDS > now
        ]
    return sorted(found, key=lambda one: (one.work.closes_at or now, one.connection, str(one.work.bill_id)))


def _as_json(work: Work) -> dict[str, Any]:
    return asdict(work) | {name: at.isoformat() for name in MOMENTS if (at := getattr(work, name)) is not None}


def _from_json(found: dict[str, Any]) -> Work:
    return Work(**found | {name: datetime.fromisoformat(found[name]) for name in MOMENTS if found[name] is not None})


@dataclass(frozen=True)
class _Pending:
    """A pending invoice as its event told of it, and where its subscription's new term begins on it."""

    invoice: Invoice
    subscription_id: str
    boundary: datetime
    term: timedelta


def _pending_invoices(db: Session, connection: str, now: datetime) -> list[_Pending]:
    rows = db.scalars(
        select(MirroredResource.body).where(
            MirroredResource.connection == connection, MirroredResource.resource == "invoice",
            MirroredResource.seen_at > now - LONGEST,
        )
    )  # fmt: skip
    pending: list[_Pending] = []
    closed: set[tuple[str, datetime]] = set()
    for body in rows:
        try:
            invoice = Invoice.from_json(body)
        except Unreadable:
            continue  # an event keeps what it brings; what cannot be read is no invoice of ours
        for subscription_id in {invoice.subscription_id, *(line.subscription_id for line in invoice.lines)} - {None}:
            for boundary in set(plan_starts(invoice, str(subscription_id))):
                if invoice.status != PENDING or body.get("deleted"):
                    closed.add((str(subscription_id), boundary))
                    continue
                ends = [line.date_to for line in invoice.lines if line.date_from == boundary]
                pending.append(_Pending(invoice, str(subscription_id), boundary, max(ends) - boundary))
    # Closing gives an invoice another id: what was pending is known to be closed by its term.
    return [one for one in pending if (one.subscription_id, one.boundary) not in closed]


def _of_bills(db: Session, connection: str, settings: Connection, pending: Sequence[_Pending]) -> list[Work]:
    """What is left of the bills that are approved and not pushed."""
    open_syncs = {
        one.subject: one
        for one in db.scalars(select(Sync).where(Sync.connection == connection, Sync.kind == "bill", IS_OPEN))
    }
    seen = _seen(db, connection, open_syncs)
    live = set(db.scalars(select(BillSnapshot.bill_id).filter_by(connection=connection, status=PUSHING)))
    left = _charges_left(db, connection)
    plans = _plans(db, connection, account_ids={one.account_id for one in seen.values()})
    by_account: dict[str, set[str]] = defaultdict(set)
    for plan in plans:
        by_account[plan.account_id].add(plan.subscription_id)
    work: list[Work] = []
    for bill_id, sync in open_syncs.items():
        bill = seen.get(bill_id)
        subscriptions = by_account[bill.account_id] if bill else set()
        mine = {
            one.invoice.id: one
            for one in pending
            if bill and one.subscription_id in subscriptions and abs(one.boundary - bill.billed_until) < SAME_BOUNDARY
        }
        if bill_id in live and bill_id not in left:
            continue  # all is sent, and verified soon
        needs = PERSON if sync.status == "parked" else TURN
        base = Work(needs, bill_id, bill.account_id if bill else None, None, None, None, None, sync.cause)
        to_send: dict[str | None, int | None] = left.get(bill_id) or {**dict.fromkeys(mine)} or {None: None}
        for invoice_id, charges in to_send.items():
            found = mine.get(str(invoice_id)) or next((one for one in pending if one.invoice.id == invoice_id), None)
            work.append(_with_deadline(db, connection, settings, replace(base, invoice_id=invoice_id, charges=charges),
                                       found, bill, sorted(subscriptions)))  # fmt: skip
    return work


def _with_deadline(
    db: Session, connection: str, settings: Connection, work: Work, found: _Pending | None, bill: SeenBill | None,
    subscriptions: Sequence[str],
) -> Work:  # fmt: skip
    """With the invoice's own date where it was seen; else as if it had been made when the bill's period ended."""
    if found is not None:
        subscription_id, opened = found.subscription_id, _opened(found)
    elif (
        bill is not None
        and subscriptions
        and work.cause != "no_pending_invoice"
        and bill.billed_until.year < date.max.year
    ):
        subscription_id, opened = subscriptions[0], bill.billed_until
    else:
        return work
    return replace(
        work, subscription_id=subscription_id, closes_at=_closes(db, connection, settings, subscription_id, opened)
    )


def _opened(one: _Pending) -> datetime:
    return min(one.boundary, one.invoice.date or one.boundary)


def _closes(
    db: Session, connection: str, settings: Connection, subscription_id: str, opened: datetime
) -> datetime | None:
    subscription = mirror.seen(db, connection, "subscription", subscription_id) or {}
    customer = mirror.seen(db, connection, "customer", str(subscription.get("customer_id"))) or {}
    return closes_at(opened, settings.auto_close_days, subscription, customer)


def _unapproved(
    db: Session, connection: str, settings: Connection, pending: Sequence[_Pending], first: date
) -> list[Work]:
    """Pending invoices of metered subscriptions for whose period no approved bill has been seen."""
    plans: dict[str, list[AccountPlan]] = defaultdict(list)
    for plan in _plans(db, connection, subscription_ids={one.subscription_id for one in pending}):
        plans[plan.subscription_id].append(plan)
    work: list[Work] = []
    for one in pending:
        active = [
            plan
            for plan in plans[one.subscription_id]
            if plan.start < one.boundary and (plan.end is None or plan.end > one.boundary - one.term)
        ]
        if not active or one.boundary.date() < first or guards.left_alone(settings, active[0].customer_id):
            continue
        accounts = {plan.account_id for plan in active} | _owners(db, connection, {plan.customer_id for plan in active})
        billed = select(SeenBill.id).where(
            SeenBill.connection == connection, SeenBill.account_id.in_(accounts),
            SeenBill.billed_until > one.boundary - SAME_BOUNDARY, SeenBill.billed_until < one.boundary + SAME_BOUNDARY,
        )  # fmt: skip
        if db.scalars(billed.limit(1)).first() is None:
            closes = _closes(db, connection, settings, one.subscription_id, _opened(one))
            work.append(
                Work(APPROVAL, None, active[0].account_id, one.invoice.id, one.subscription_id, None, closes)
            )  # fmt: skip
    return work


def _owners(db: Session, connection: str, customer_ids: Iterable[str]) -> set[str]:
    """The accounts of the customers that get these customers' invoices: m3ter may bill a child with its parent."""
    customers = [mirror.customer(db, connection, one) for one in customer_ids]
    owners = {one.invoice_owner_id for one in customers if one is not None and one.invoice_owner_id is not None}
    found = select(Mapping.m3ter_id).filter_by(connection=connection, m3ter_entity="Account", external_table="Customer")
    return set(db.scalars(found.where(Mapping.external_id.in_(owners))))


def _seen(db: Session, connection: str, bill_ids: Collection[str]) -> dict[str, SeenBill]:
    found: dict[str, SeenBill] = {}
    for some in batches(list(bill_ids)):
        rows = select(SeenBill).filter_by(connection=connection).where(SeenBill.bill_id.in_(some))
        found |= {one.bill_id: one for one in db.scalars(rows)}
    return found


def _plans(
    db: Session, connection: str, *, account_ids: Collection[str] = (), subscription_ids: Collection[str] = ()
) -> list[AccountPlan]:
    found: list[AccountPlan] = []
    for column, ids in ((AccountPlan.account_id, account_ids), (AccountPlan.subscription_id, subscription_ids)):
        for some in batches(list(ids)):
            rows = select(AccountPlan).where(
                AccountPlan.connection == connection, AccountPlan.m3ter_id.is_not(None), column.in_(some)
            )
            found += db.scalars(rows)
    return found


def _charges_left(db: Session, connection: str) -> dict[str, dict[str | None, int | None]]:
    """How many charges of each bill that is being pushed are still to be sent, by invoice."""
    rows = db.execute(
        select(LinePush.bill_id, LinePush.invoice_id, func.count(LinePush.id))
        .join(BillSnapshot, BillSnapshot.id == LinePush.snapshot_id)
        .where(
            LinePush.connection == connection, BillSnapshot.status == PUSHING, LinePush.status != DONE,
            LinePush.kind.not_in((NOTHING, *GIVEN)),
        )
        .group_by(LinePush.bill_id, LinePush.invoice_id)
    )  # fmt: skip
    left: dict[str, dict[str | None, int | None]] = defaultdict(dict)
    for bill_id, invoice_id, number in rows:
        left[bill_id][invoice_id] = number
    return left


def _usual_charges(db: Session, connection: str) -> int:
    """How many charges a pushed bill has had so far, on average and rounded up; 1 where there is none."""
    pushed = BillSnapshot.status == PUSHED
    bills = db.scalar(select(func.count(BillSnapshot.id)).where(BillSnapshot.connection == connection, pushed)) or 0
    charges = db.scalar(
        select(func.count(LinePush.id))
        .join(BillSnapshot, BillSnapshot.id == LinePush.snapshot_id)
        .where(LinePush.connection == connection, pushed, LinePush.kind != NOTHING)
    )
    return max(1, -(-(charges or 0) // bills)) if bills else 1
