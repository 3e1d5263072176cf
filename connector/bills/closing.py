"""How long invoices still take what bills have for them, and whether that is enough (reliability.md §5.2).

Chargebee closes a pending invoice by itself some days after it was made, if the site is set so, and no call tells that setting:
AUTO_CLOSE_DAYS repeats it. From which moment Chargebee counts is not documented; we take the invoice's date, which is the
earliest it can be. A subscription or customer with `auto_close_invoices` false is exempt, the subscription's word first.

All of this is worked out from what has been seen, without a call: pending invoices from their events. One that was closed or
deleted without an event that reached us stays in the list until its time is over. There may be as many as there are
subscriptions: pages show what the clock saw when it last looked.
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

from connector import invoice_terms, looks
from connector.bills import guards
from connector.bills.ledger import DONE, PUSHED
from connector.bills.planned import GIVEN, NOTHING
from connector.bills.routing import SAME_BOUNDARY
from connector.database import batches
from connector.invoice_terms import Term
from connector.models import (
    IS_BILL,
    IS_OPEN,
    IS_PUSHING,
    AccountPlan,
    BillSnapshot,
    LinePush,
    Mapping,
    MirroredResource,
    SeenBill,
    Sync,
)
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
# Of all work that is left so much is kept, those first that close first, and how much there was.
MOST = 300
LOOK_ALL = "closing"
# What tells a subscription or customer apart whose invoices do not close by themselves.
WORD = "auto_close_invoices"
# So many bills that were pushed last say how many charges one has.
USUAL = 500
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
    wanted = subscription.get(WORD)
    closes = customer.get(WORD) if wanted is None else wanted
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
    return _left(services, connection, bills_only=False)


def of_bills(services: Services, connection: str) -> list[Work]:
    """The same without what no bill is approved for yet, which takes no time from the others: with few bills open it is quick,
    however many invoices are pending."""
    return _left(services, connection, bills_only=True)


def _left(services: Services, connection: str, *, bills_only: bool) -> list[Work]:
    settings = services.connection(connection).settings
    if settings.shadow:
        return []
    now = services.now()
    since, first = now - LONGEST, settings.push_bills_from or services.installed_at.date()
    with services.reading() as db:
        found = _of_bills(db, connection, settings, since)
        if not bills_only:
            waiting = _unapproved(db, connection, settings, since, first)
            found += [one for one in waiting if one.closes_at is None or one.closes_at + AFTERWARDS > now]
        usual = _usual_charges(db, connection)
    return schedule(
        found,
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
        risky = [one for one in found if one.at_risk]
        soon = [one for one in found if one.at_risk or (one.closes_at is not None and one.closes_at <= now + SOON)]
        with services.transaction() as db:
            looks.keep(db, name, LOOK, [_as_json(one) for one in soon[:KEPT]], now)
            totals = {"work": len(found), "at_risk": len(risky)}
            looks.keep(db, name, LOOK_ALL, [totals, *(_as_json(one) for one in found[:MOST])], now)
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
    found = [one for look in looks.last(db, LOOK) for one in _still_left(db, look.connection, look.at, look.found, now)]
    return sorted(found, key=lambda one: (one.work.closes_at or now, one.connection, str(one.work.bill_id)))


@dataclass(frozen=True)
class Looked:
    """What was left to do for a connection's pending invoices when the clock last looked, the earliest deadline first.

    `left` is without what is done since; of very much only the first are kept: `work` says how much it was in all, and
    `at_risk` how much of that might come too late.
    """

    connection: str
    at: datetime
    left: Sequence[Countdown]
    work: int
    at_risk: int

    @property
    def more(self) -> int:
        """How much of it is not kept."""
        return max(0, self.work - MOST)


def looked(db: Session, connections: Collection[str], now: datetime) -> list[Looked]:
    """What the clock saw last of each of these connections; those are left out that it has not looked at yet."""
    found = []
    for look in looks.last(db, LOOK_ALL):
        if look.connection in connections:
            totals, *kept = look.found
            left = _still_left(db, look.connection, look.at, kept, now)
            found.append(Looked(look.connection, look.at, left, totals["work"], totals["at_risk"]))
    return found


def _still_left(
    db: Session, connection: str, at: datetime, kept: Sequence[dict[str, Any]], now: datetime
) -> list[Countdown]:
    works = [_from_json(one) for one in kept]
    by_bill = {
        sync.subject: sync.id
        for some in batches({one.bill_id for one in works if one.bill_id is not None})
        for sync in db.execute(
            select(Sync.id, Sync.subject).where(
                Sync.connection == connection, Sync.kind == "bill", Sync.subject.in_(some), IS_OPEN
            )
        )
    }
    return [
        Countdown(connection, at, one, by_bill.get(str(one.bill_id)))
        for one in works
        if (one.bill_id is None or one.bill_id in by_bill) and (one.closes_at or now) + AFTERWARDS > now
    ]


def _as_json(work: Work) -> dict[str, Any]:
    return asdict(work) | {name: at.isoformat() for name in MOMENTS if (at := getattr(work, name)) is not None}


def _from_json(found: dict[str, Any]) -> Work:
    return Work(**found | {name: datetime.fromisoformat(found[name]) for name in MOMENTS if found[name] is not None})


def _of_bills(db: Session, connection: str, settings: Connection, since: datetime) -> list[Work]:
    """What is left of the bills that are approved and not pushed."""
    open_syncs = {
        subject: (status, cause)
        for subject, status, cause in db.execute(
            select(Sync.subject, Sync.status, Sync.cause).where(Sync.connection == connection, IS_BILL, IS_OPEN)
        )
    }
    seen = _seen(db, connection, open_syncs)
    live = set(db.scalars(select(BillSnapshot.bill_id).where(BillSnapshot.connection == connection, IS_PUSHING)))
    left = _charges_left(db, connection)
    by_account: dict[str, set[str]] = defaultdict(set)
    for plan in _plans(db, connection, AccountPlan.account_id, {account_id for account_id, _ in seen.values()}):
        by_account[plan.account_id].add(plan.subscription_id)
    pending = invoice_terms.pending_of(
        db, connection, since,
        subscription_ids={one for some in by_account.values() for one in some},
        invoice_ids={invoice_id for by_invoice in left.values() for invoice_id in by_invoice if invoice_id is not None},
    )  # fmt: skip
    by_subscription: dict[str, list[Term]] = defaultdict(list)
    by_invoice: dict[str, Term] = {}
    for term in pending:
        by_subscription[term.subscription_id].append(term)
        by_invoice.setdefault(term.invoice_id, term)
    work: list[tuple[Work, datetime | None]] = []
    for bill_id, (status, cause) in open_syncs.items():
        if bill_id in live and bill_id not in left:
            continue  # all is sent, and verified soon
        account_id, until = seen.get(bill_id, (None, None))
        subscriptions = by_account.get(account_id or "", set())
        mine = {
            one.invoice_id: one
            for subscription_id in subscriptions
            for one in by_subscription.get(subscription_id, ())
            if until is not None and abs(one.starts_at - until) < SAME_BOUNDARY
        }
        needs = PERSON if status == "parked" else TURN
        base = Work(needs, bill_id, account_id, None, None, None, None, cause)
        to_send: dict[str | None, int | None] = left.get(bill_id) or {**dict.fromkeys(sorted(mine))} or {None: None}
        for invoice_id, charges in to_send.items():
            found = mine.get(str(invoice_id)) or by_invoice.get(str(invoice_id))
            work.append(_opened(replace(base, invoice_id=invoice_id, charges=charges), found, until, subscriptions))
    return _with_deadlines(db, connection, settings, work)


def _opened(
    work: Work, found: Term | None, until: datetime | None, subscriptions: Collection[str]
) -> tuple[Work, datetime | None]:
    """With the moment that its deadline is counted from: the invoice's own date where it was seen; else as if it had been
    made when the bill's period ended."""
    if found is not None:
        return replace(work, subscription_id=found.subscription_id), found.opened_at
    if until is None or not subscriptions or work.cause == "no_pending_invoice" or until.year >= date.max.year:
        return work, None
    return replace(work, subscription_id=min(subscriptions)), until


def _with_deadlines(
    db: Session, connection: str, settings: Connection, opened: Sequence[tuple[Work, datetime | None]]
) -> list[Work]:
    """Each piece of work with the time at which its invoice closes, counted from the moment that it came with."""
    subscriptions = {str(one.subscription_id) for one, at in opened if at is not None}
    of_subscription = _auto_closed(db, connection, "subscription", subscriptions)
    of_customer = _auto_closed(db, connection, "customer", {str(one) for one, _ in of_subscription.values()})
    work = []
    for one, at in opened:
        customer_id, subscriptions_word = of_subscription.get(str(one.subscription_id), (None, None))
        _, customers_word = of_customer.get(str(customer_id), (None, None))
        closes = closes_at(
            at, settings.auto_close_days, {WORD: subscriptions_word}, {WORD: customers_word}
        )  # fmt: skip
        work.append(replace(one, closes_at=closes))
    return work


def _auto_closed(
    db: Session, connection: str, resource: str, ids: Collection[str]
) -> dict[str, tuple[str | None, bool | None]]:
    """Of each subscription or customer its customer's id, and what it says itself of closing invoices, as it was seen last."""
    found: dict[str, tuple[str | None, bool | None]] = {}
    for some in batches(ids):
        rows = select(MirroredResource.resource_id, MirroredResource.customer_id, MirroredResource.body[WORD]).where(
            MirroredResource.connection == connection, MirroredResource.resource == resource,
            MirroredResource.resource_id.in_(some),
        )  # fmt: skip
        # SQLite gives a 0 for JSON's false.
        found |= {
            row_id: (customer_id, None if word is None else word != 0) for row_id, customer_id, word in db.execute(rows)
        }
    return found


def _unapproved(db: Session, connection: str, settings: Connection, since: datetime, first: date) -> list[Work]:
    """Pending invoices of metered subscriptions for whose period no approved bill has been seen."""
    pending = [one for one in invoice_terms.pending(db, connection, since) if one.starts_at.date() >= first]
    plans: dict[str, list[Any]] = defaultdict(list)
    for plan in _plans(db, connection, AccountPlan.subscription_id, {one.subscription_id for one in pending}):
        plans[plan.subscription_id].append(plan)
    metered: list[tuple[Term, list[Any]]] = []
    for one in pending:
        begins = one.starts_at - (one.ends_at - one.starts_at)
        active = [
            plan
            for plan in plans[one.subscription_id]
            if plan.start < one.starts_at and (plan.end is None or plan.end > begins)
        ]
        if active and not guards.left_alone(settings, active[0].customer_id):
            metered.append((one, active))
    owners = _owners(db, connection, {plan.customer_id for _, active in metered for plan in active})
    accounts = {plan.account_id for _, active in metered for plan in active}
    billed = _billed_until(db, connection, accounts.union(*owners.values()))
    work: list[tuple[Work, datetime | None]] = []
    for one, active in metered:
        whose = {plan.account_id for plan in active}.union(*(owners.get(plan.customer_id, ()) for plan in active))
        if not any(abs(until - one.starts_at) < SAME_BOUNDARY for account_id in whose for until in billed[account_id]):
            left = Work(APPROVAL, None, active[0].account_id, one.invoice_id, one.subscription_id, None, None)
            work.append((left, one.opened_at))
    return _with_deadlines(db, connection, settings, work)


def _owners(db: Session, connection: str, customer_ids: Collection[str]) -> dict[str, set[str]]:
    """The accounts of the customer that gets a customer's invoices: m3ter may bill a child with its parent."""
    owner_of: dict[str, str] = {}
    for some in batches(customer_ids):
        rows = select(MirroredResource.resource_id, MirroredResource.body["relationship"]["invoice_owner_id"]).where(
            MirroredResource.connection == connection, MirroredResource.resource == "customer", ~MirroredResource.unsettled,
            MirroredResource.resource_id.in_(some),
        )  # fmt: skip
        owner_of |= {customer_id: owner for customer_id, owner in db.execute(rows) if isinstance(owner, str)}
    accounts: dict[str, set[str]] = defaultdict(set)
    for some in batches(set(owner_of.values())):
        rows = select(Mapping.external_id, Mapping.m3ter_id).where(
            Mapping.connection == connection, Mapping.external_table == "Customer", Mapping.external_id.in_(some),
            Mapping.m3ter_entity == "Account",
        )  # fmt: skip
        for owner, account_id in db.execute(rows):
            accounts[owner].add(account_id)
    return {customer_id: accounts[owner] for customer_id, owner in owner_of.items()}


def _billed_until(db: Session, connection: str, account_ids: Collection[str]) -> dict[str, list[datetime]]:
    """When the periods ended that approved bills of these accounts are for."""
    found: dict[str, list[datetime]] = defaultdict(list)
    for some in batches(account_ids):
        rows = select(SeenBill.account_id, SeenBill.billed_until).where(
            SeenBill.connection == connection, SeenBill.account_id.in_(some)
        )
        for account_id, until in db.execute(rows):
            found[account_id].append(until)
    return found


def _seen(db: Session, connection: str, bill_ids: Collection[str]) -> dict[str, tuple[str, datetime]]:
    """The account of each of these bills, and until when it is billed by it, as far as a poll has said."""
    found: dict[str, tuple[str, datetime]] = {}
    for some in batches(bill_ids):
        rows = select(SeenBill.bill_id, SeenBill.account_id, SeenBill.billed_until).where(
            SeenBill.connection == connection, SeenBill.bill_id.in_(some)
        )
        found |= {bill_id: (account_id, until) for bill_id, account_id, until in db.execute(rows)}
    return found


def _plans(db: Session, connection: str, column: Any, ids: Collection[str]) -> list[Any]:
    """What is to be known of the account plans in m3ter of these subscriptions or accounts."""
    found: list[Any] = []
    for some in batches(ids):
        wanted = (
            AccountPlan.subscription_id,
            AccountPlan.account_id,
            AccountPlan.customer_id,
            AccountPlan.start,
            AccountPlan.end,
        )
        rows = select(*wanted).where(
            AccountPlan.connection == connection, AccountPlan.m3ter_id.is_not(None), column.in_(some)
        )
        found += db.execute(rows.order_by(AccountPlan.id)).all()
    return found


def _charges_left(db: Session, connection: str) -> dict[str, dict[str | None, int | None]]:
    """How many charges of each bill that is being pushed are still to be sent, by invoice."""
    live = select(BillSnapshot.id).where(BillSnapshot.connection == connection, IS_PUSHING)
    left: dict[str, dict[str | None, int | None]] = defaultdict(dict)
    for some in batches(db.scalars(live)):
        rows = db.execute(
            select(LinePush.bill_id, LinePush.invoice_id, func.count(LinePush.id))
            .where(
                LinePush.connection == connection, LinePush.snapshot_id.in_(some), LinePush.status != DONE,
                LinePush.kind.not_in((NOTHING, *GIVEN)),
            )
            .group_by(LinePush.bill_id, LinePush.invoice_id)
            .order_by(LinePush.bill_id, LinePush.invoice_id)
        )  # fmt: skip
        for bill_id, invoice_id, number in rows:
            left[bill_id][invoice_id] = number
    return left


def _usual_charges(db: Session, connection: str) -> int:
    """How many charges the bills that were pushed last had, on average and rounded up; 1 where there is none."""
    pushed = select(BillSnapshot.id).where(BillSnapshot.connection == connection, BillSnapshot.status == PUSHED)
    bills = db.scalars(pushed.order_by(BillSnapshot.id.desc()).limit(USUAL)).all()
    counted = select(func.count(LinePush.id)).where(LinePush.connection == connection, LinePush.kind != NOTHING)
    charges = sum(db.scalar(counted.where(LinePush.snapshot_id.in_(some))) or 0 for some in batches(bills))
    return max(1, -(-charges // len(bills))) if bills else 1
