"""The rows of the money protocol: snapshots of bills, and one intent per line that is to be sent."""

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from connector.bills.planned import GIVEN, NOTHING, Charge, PushPlan, line_as_json
from connector.bills.routing import OWN_INVOICE, UNBILLED
from connector.clients.chargebee_objects import Invoice
from connector.database import insert
from connector.leases import Held
from connector.models import BillApproval, BillSnapshot, LinePush

PUSHING, PUSHED, STOPPED = "pushing", "pushed", "stopped"
PLANNED, SENDING, DONE, PARKED = "planned", "sending", "done", "parked"


@dataclass(frozen=True)
class Intent:
    """One amount for one invoice, as its row says."""

    id: int
    kind: str
    charge_key: str
    parts: tuple[tuple[str, int], ...]
    subscription_id: str | None
    customer_id: str | None
    invoice_id: str | None
    final_invoice_id: str | None
    item_price_id: str | None
    description: str
    date_from: datetime
    date_to: datetime
    amount_minor: int
    currency: str
    idempotency_key: str
    status: str
    baseline: tuple[str, ...]
    sent_at: datetime | None
    chargebee_line_id: str | None


def live_snapshot(db: Session, connection: str, bill_id: str) -> BillSnapshot | None:
    """The snapshot that is being pushed."""
    return db.scalar(
        select(BillSnapshot).where(
            BillSnapshot.connection == connection, BillSnapshot.bill_id == bill_id, BillSnapshot.status == PUSHING
        )
    )


def last_pushed(db: Session, connection: str, bill_id: str) -> BillSnapshot | None:
    """The newest snapshot that was pushed to the end."""
    return db.scalars(
        select(BillSnapshot)
        .where(BillSnapshot.connection == connection, BillSnapshot.bill_id == bill_id, BillSnapshot.status == PUSHED)
        .order_by(BillSnapshot.generation.desc())
    ).first()


def is_charged(db: Session, connection: str, bill_id: str) -> bool:
    """Whether all charges of the bill's newest push are made; credits may still be waiting for the invoice to close."""
    live = live_snapshot(db, connection, bill_id)
    if live is None:
        return last_pushed(db, connection, bill_id) is not None
    return all(one.status == DONE for one in intents(db, live.id) if one.kind not in GIVEN)


def sent_amounts(db: Session, connection: str, bill_id: str) -> dict[str, int]:
    """What all pushes of this bill have sent, by line key, in minor units; credits that were given are negative."""
    total: Counter[str] = Counter()
    for parts in db.scalars(
        select(LinePush.parts).where(
            LinePush.connection == connection, LinePush.bill_id == bill_id, LinePush.status == DONE
        )
    ):
        for key, minor in parts:
            total[key] += minor
    return dict(total)


def subscriptions_sent_for(db: Session, connection: str, bill_id: str) -> frozenset[str]:
    """The subscriptions on whose invoices pushes of this bill have put something."""
    done = (LinePush.connection == connection, LinePush.bill_id == bill_id, LinePush.status == DONE)
    found = db.scalars(select(LinePush.subscription_id).where(*done, LinePush.kind != NOTHING).distinct())
    return frozenset(subscription_id for subscription_id in found if subscription_id is not None)


def our_lines(db: Session, connection: str, invoice_ids: Collection[str]) -> frozenset[str]:
    """The ids of all lines on these invoices that some push has made."""
    found = db.scalars(
        select(LinePush.chargebee_line_id).where(
            LinePush.connection == connection,
            LinePush.invoice_id.in_(invoice_ids),
            LinePush.chargebee_line_id.is_not(None),
        )
    )
    return frozenset(str(line_id) for line_id in found)


def claimed(db: Session, connection: str, line_ids: Collection[str]) -> frozenset[str]:
    """Those of these lines that some push has made, whatever invoice they are on by now."""
    made = (LinePush.connection == connection, LinePush.chargebee_line_id.in_(line_ids))
    return frozenset(str(line_id) for line_id in db.scalars(select(LinePush.chargebee_line_id).where(*made)))


def unbilled(db: Session, connection: str, subscription_ids: Collection[str]) -> list[Intent]:
    """The unbilled charges of these subscriptions that were made and are on no closed invoice as far as we know."""
    rows = select(LinePush).where(
        LinePush.connection == connection, LinePush.kind == UNBILLED, LinePush.status == DONE,
        LinePush.final_invoice_id.is_(None), LinePush.subscription_id.in_(subscription_ids),
    )  # fmt: skip
    return [as_intent(row) for row in db.scalars(rows.order_by(LinePush.id))]


def given_up(db: Session, connection: str, bill_id: str) -> list[Intent]:
    """What pushes of the bill that were stopped had sent and then did not find: it may have come into effect since."""
    rows = (
        select(LinePush)
        .join(BillSnapshot, BillSnapshot.id == LinePush.snapshot_id)
        .where(
            LinePush.connection == connection, LinePush.bill_id == bill_id, LinePush.status == PLANNED,
            LinePush.sends > 0, BillSnapshot.status == STOPPED,
        )
    )  # fmt: skip
    return [as_intent(row) for row in db.scalars(rows.order_by(LinePush.id))]


def closed_lines(db: Session, connection: str, invoice_id: str) -> frozenset[str]:
    """The lines of a closed invoice that are known to be ours."""
    found = db.scalars(select(LinePush.chargebee_line_id).filter_by(connection=connection, final_invoice_id=invoice_id))
    return frozenset(str(line_id) for line_id in found)


def own_invoices(db: Session, connection: str, invoice_ids: Collection[str]) -> frozenset[str]:
    """Those of the invoices that were made for a late bill: they are no place for any other."""
    made = (LinePush.connection == connection, LinePush.kind == OWN_INVOICE, LinePush.invoice_id.in_(invoice_ids))
    found = db.scalars(select(LinePush.invoice_id).where(*made).distinct())
    return frozenset(str(invoice_id) for invoice_id in found)


def basis(db: Session, connection: str, bill_id: str) -> int | None:
    """Which push of the bill is the newest, counted from 1; 0 before the first, and None while one is under way."""
    newest = db.execute(
        select(BillSnapshot.generation, BillSnapshot.status)
        .where(BillSnapshot.connection == connection, BillSnapshot.bill_id == bill_id)
        .order_by(BillSnapshot.generation.desc())
        .limit(1)
    ).first()
    if newest is None:
        return 0
    return None if newest.status == PUSHING else int(newest.generation)


def freeze(
    db: Session, *, installation: str, connection: str, plan: PushPlan, content: str, now: datetime
) -> BillSnapshot | None:
    """Keep the plan as the bill's snapshot with one intent for each charge; nothing has been sent yet.

    None when a push of the bill was under way while the plan was made, or has begun since: the plan knows nothing of what
    that one has sent. IntegrityError where one begins in this very moment.
    """
    if plan.basis is None or basis(db, connection, plan.bill_id) != plan.basis:
        return None
    generation = plan.basis + 1
    snapshot = BillSnapshot(
        connection=connection, bill_id=plan.bill_id, generation=generation, account_id=plan.account_id,
        bill_version=plan.bill_version, last_calculated=plan.last_calculated, sha256=content, currency=plan.currency,
        decimals=plan.decimals, exact_total=plan.exact_total, total_minor=plan.total_minor,
        lines=[line_as_json(line, plan.decimals) for line in plan.lines], status=PUSHING, created_at=now,
    )  # fmt: skip
    db.add(snapshot)
    db.flush()
    keys = _keys_to_use_again(db, connection, plan.bill_id)
    for charge in plan.charges:
        key = "|".join([installation, connection, plan.bill_id, charge.key, content, str(generation)])
        db.add(
            LinePush(
                connection=connection, bill_id=plan.bill_id, snapshot_id=snapshot.id, position=charge.position,
                charge_key=charge.key, kind=charge.kind, parts=[list(part) for part in charge.parts],
                subscription_id=charge.subscription_id, customer_id=charge.customer_id, invoice_id=charge.invoice_id,
                item_price_id=charge.item_price_id, description=charge.description, date_from=charge.date_from,
                date_to=charge.date_to, amount_minor=charge.amount_minor, currency=plan.currency,
                status=DONE if charge.kind == NOTHING else PLANNED, sends=0,
                idempotency_key=keys.get(_as_sent(charge)) or hashlib.sha256(key.encode()).hexdigest(),
            )
        )  # fmt: skip
    db.flush()
    return snapshot


def _keys_to_use_again(db: Session, connection: str, bill_id: str) -> dict[tuple[Any, ...], str]:
    """The keys of what was sent and not found before the bill changed, by what it was.

    Sent again under its old key it cannot be there twice, should the first call come into effect after all. Late charges
    are sent many by one call, whose key stands for all of them.
    """
    used = set(
        db.scalars(select(LinePush.idempotency_key).filter_by(connection=connection, bill_id=bill_id, status=DONE))
    )
    return {
        _as_sent(one): one.idempotency_key
        for one in given_up(db, connection, bill_id)
        if one.kind not in (UNBILLED, OWN_INVOICE) and one.idempotency_key not in used
    }


def _as_sent(one: Charge | Intent) -> tuple[Any, ...]:
    """All that a call says of the charge."""
    key = one.charge_key if isinstance(one, Intent) else one.key
    where = (one.kind, one.subscription_id, one.customer_id, one.invoice_id, one.item_price_id)
    return key, *where, one.description, one.date_from, one.date_to, one.amount_minor


def intents(db: Session, snapshot_id: int) -> list[Intent]:
    """The snapshot's intents in the bill's order."""
    rows = db.scalars(
        select(LinePush).where(LinePush.snapshot_id == snapshot_id).order_by(LinePush.position, LinePush.id)
    )
    return [as_intent(row) for row in rows]


def as_intent(row: LinePush) -> Intent:
    """The row's values as they are now."""
    return Intent(
        id=row.id, kind=row.kind, charge_key=row.charge_key, parts=tuple((key, minor) for key, minor in row.parts),
        subscription_id=row.subscription_id, customer_id=row.customer_id, invoice_id=row.invoice_id,
        final_invoice_id=row.final_invoice_id, item_price_id=row.item_price_id, description=row.description,
        date_from=row.date_from, date_to=row.date_to, amount_minor=row.amount_minor, currency=row.currency,
        idempotency_key=row.idempotency_key, status=row.status, baseline=tuple(row.baseline or ()),
        sent_at=row.sent_at, chargebee_line_id=row.chargebee_line_id,
    )  # fmt: skip


def in_doubt(db: Session, connection: str, invoice_ids: Collection[str], but: str) -> frozenset[str]:
    """Those of the invoices on which a push of another bill than `but` has a line whose answer is missing."""
    found = db.scalars(
        select(LinePush.invoice_id).where(
            LinePush.connection == connection, LinePush.invoice_id.in_(invoice_ids), LinePush.bill_id != but,
            LinePush.status.in_((SENDING, PARKED)),
        )
    )  # fmt: skip
    return frozenset(str(one) for one in found)


def earlier_lines(db: Session, connection: str, snapshot: BillSnapshot, invoice_ids: Collection[str]) -> list[Intent]:
    """What earlier pushes of the bill have put on these invoices."""
    rows = db.scalars(
        select(LinePush).where(
            LinePush.connection == connection, LinePush.bill_id == snapshot.bill_id, LinePush.status == DONE,
            LinePush.snapshot_id != snapshot.id, LinePush.invoice_id.in_(invoice_ids),
            LinePush.chargebee_line_id.is_not(None),
        )
    )  # fmt: skip
    return [as_intent(row) for row in rows]


def done_lines(db: Session, connection: str, bill_id: str) -> list[LinePush]:
    """Every charge that any push of this bill has put on an invoice."""
    return list(
        db.scalars(
            select(LinePush)
            .where(LinePush.connection == connection, LinePush.bill_id == bill_id, LinePush.status == DONE)
            .order_by(LinePush.position, LinePush.id)
        )
    )


def start_sending(db: Session, intent: Intent, lease: Held, baseline: Sequence[str], now: datetime) -> bool:
    """Commit that this line is about to be sent; False when it is no longer planned. Raises LeaseLost."""
    lease.confirm(db)
    return _move(db, intent, PLANNED, status=SENDING, baseline=list(baseline), sent_at=now, sends=LinePush.sends + 1)


def finish(db: Session, intent: Intent, line_id: str, found_by: str, invoice: Invoice | None = None) -> bool:
    """Commit that this charge was made, under this id of Chargebee's and on this invoice if it had none before."""
    # The baseline has done its work; kept, those of a long bill would hold the ids of all its lines once for each of them.
    values: dict[str, Any] = {"chargebee_line_id": line_id, "found_by": found_by, "baseline": None}
    if invoice is not None:
        values |= {"invoice_id": invoice.id, "final_invoice_id": None if invoice.status == "pending" else invoice.id}
    return _move(db, intent, SENDING, status=DONE, **values)


def follow(db: Session, charge: Intent, line_id: str, invoice: Invoice) -> None:
    """Note as which line of which invoice a charge that waited for one is known now; its final id once it is closed."""
    values: dict[str, Any] = {"chargebee_line_id": line_id}
    if invoice.status != "pending":
        values |= {"invoice_id": invoice.id, "final_invoice_id": invoice.id}
    db.execute(update(LinePush).where(LinePush.id == charge.id, LinePush.final_invoice_id.is_(None)).values(**values))


def send_again(db: Session, intent: Intent) -> bool:
    """Commit that Chargebee does not have this line: it may be sent once more, with the same key."""
    return _move(db, intent, SENDING, status=PLANNED)


def park(db: Session, intent: Intent) -> bool:
    """Commit that only a person can say what became of this line."""
    return _move(db, intent, SENDING, status=PARKED)


def reopen(db: Session, intent: Intent) -> bool:
    """Commit that a person has asked for another look at this line."""
    return _move(db, intent, PARKED, status=SENDING)


def _move(db: Session, intent: Intent, before: str, **values: Any) -> bool:
    """Change the row, but only if its status still is what we think it is."""
    statement = update(LinePush).where(LinePush.id == intent.id, LinePush.status == before)
    return db.scalar(statement.values(**values).returning(LinePush.id)) is not None


def close(db: Session, snapshot_id: int, status: str, now: datetime) -> None:
    """The snapshot is pushed to its end, or stopped for good."""
    db.execute(update(BillSnapshot).where(BillSnapshot.id == snapshot_id).values(status=status, finished_at=now))


def last_total(db: Session, connection: str, account_id: str, currency: str, but: str) -> int | None:
    """The total of the account's newest bill that was pushed in this currency, `but` for one; in minor units."""
    return db.scalars(
        select(BillSnapshot.total_minor)
        .where(
            BillSnapshot.connection == connection, BillSnapshot.account_id == account_id,
            BillSnapshot.currency == currency, BillSnapshot.bill_id != but, BillSnapshot.status == PUSHED,
        )
        .order_by(BillSnapshot.finished_at.desc())
    ).first()  # fmt: skip


def approve(db: Session, connection: str, bill_id: str, content: str, actor: str, now: datetime) -> bool:
    """Note that a person approves this result of the bill; False when they have done so before."""
    made = insert(db, BillApproval).values(connection=connection, bill_id=bill_id, sha256=content, actor=actor, at=now)
    made = made.on_conflict_do_nothing(index_elements=["connection", "bill_id", "sha256", "actor"])
    return db.scalar(made.returning(BillApproval.id)) is not None


def approved_by(db: Session, connection: str, bill_id: str, content: str) -> list[str]:
    """The actors that have approved this result of the bill; who they are as people says `audit.people`."""
    rows = select(BillApproval.actor).filter_by(connection=connection, bill_id=bill_id, sha256=content)
    return list(db.scalars(rows.order_by(BillApproval.id)))
