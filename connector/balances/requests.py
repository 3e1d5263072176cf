"""What somebody asked Balance Billing to make: one row each, kept before m3ter hears of it, so that none is made twice."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from connector import leases, money, syncs
from connector.balances.drafts import (
    CHARGE,
    CHARGE_SCHEDULE,
    TRANSACTION,
    TRANSACTION_SCHEDULE,
    Draft,
    as_stored,
)
from connector.database import batches, insert
from connector.errors import BadInput
from connector.leases import Held
from connector.models import BalanceRequest, Sync

KIND = "balance_request"
PLANNED, SENDING, DONE, PARKED, WITHDRAWN = "planned", "sending", "done", "parked", "withdrawn"
# Where the money for a credit comes from.
BY_CHARGE, FREE, BY_CHARGEBEE = "charge", "free", "chargebee"
# The charge that pays for each kind of credit.
PAYS = {TRANSACTION: CHARGE, TRANSACTION_SCHEDULE: CHARGE_SCHEDULE}
TITLES = {
    "balance": "balance", TRANSACTION: "transaction", TRANSACTION_SCHEDULE: "transaction schedule",
    CHARGE: "charge", CHARGE_SCHEDULE: "charge schedule",
}  # fmt: skip
# Somebody who gives no reference and asks for the same again so soon has more likely clicked twice.
AGAIN_AFTER = timedelta(minutes=10)
MADE_UP = "cbm-"
MADE_UP_REFERENCE = re.compile(r"cbm-[0-9a-f]{16}")


@dataclass(frozen=True)
class Asked:
    """A request with the sync that makes it; `is_new` is False where the same was asked for before."""

    request: BalanceRequest
    sync_id: int
    is_new: bool


def made_up_reference(number: int) -> str:
    """A reference for somebody who gives none, from a random number."""
    return f"{MADE_UP}{number:016x}"


def is_made_up(reference: str) -> bool:
    """Whether it is one that was made up here."""
    return MADE_UP_REFERENCE.fullmatch(reference) is not None


def ask(
    db: Session,
    connection: str,
    draft: Draft,
    *,
    made_by: str,
    now: datetime,
    paid_by: str | None = None,
    source: str | None = None,
    again: bool = False,
) -> Asked:
    """Keep the request and open its sync; the same reference with the same content is the same request.

    Raises BadInput for a reference that stands for something else, and, unless `again`, for the same without a reference of
    its own within ten minutes.
    """
    if draft.account_id is None or draft.currency is None:
        raise ValueError("only a draft that is located can be asked for")
    if not again and draft.reference.startswith(MADE_UP):
        _must_not_be_a_double_click(db, connection, draft, now)
    body = as_stored(draft.body)
    key = {"connection": connection, "kind": draft.kind, "reference": draft.reference}
    made = insert(db, BalanceRequest).values(
        **key, account_id=draft.account_id, balance_id=draft.balance_id, amount=draft.amount, currency=draft.currency,
        body=body, paid_by=paid_by, source=source, status=PLANNED, sends=0, made_by=made_by, created_at=now,
    )  # fmt: skip
    new_id = db.scalar(made.on_conflict_do_nothing(index_elements=list(key)).returning(BalanceRequest.id))
    request = db.scalars(select(BalanceRequest).filter_by(**key)).one()
    if new_id is None and (request.body, request.balance_id, request.paid_by) != (body, draft.balance_id, paid_by):
        raise BadInput(
            f"{draft.reference} stands for another {TITLES[draft.kind]} already: {described(request)}, asked for by "
            f"{request.made_by} at {request.created_at:%Y-%m-%d %H:%M} UTC; choose another reference"
        )
    return Asked(request, _open_sync(db, request, made_by, now), new_id is not None)


def _open_sync(db: Session, request: BalanceRequest, made_by: str, now: datetime) -> int:
    """The request's sync; one that is done or withdrawn keeps the sync that it had."""
    subject = str(request.id)
    if request.status in (DONE, WITHDRAWN):
        kept = db.scalars(
            select(Sync.id)
            .where(Sync.connection == request.connection, Sync.kind == KIND, Sync.subject == subject)
            .order_by(Sync.id.desc())
        ).first()
        if kept is not None:
            return kept
    trigger = f"asked for by {made_by}"
    return syncs.ask(db, connection=request.connection, kind=KIND, subject=subject, trigger=trigger, now=now)


def _must_not_be_a_double_click(db: Session, connection: str, draft: Draft, now: datetime) -> None:
    # Both clicks may come at once, and neither would see the other's row.
    leases.queue_up(db, f"{connection}/asking/{draft.balance_id or draft.account_id}", now)
    twin = db.scalars(
        select(BalanceRequest)
        .where(
            BalanceRequest.connection == connection,
            BalanceRequest.kind == draft.kind,
            BalanceRequest.balance_id == draft.balance_id,
            BalanceRequest.account_id == draft.account_id,
            BalanceRequest.amount == draft.amount,
            BalanceRequest.created_at > now - AGAIN_AFTER,
            BalanceRequest.status != WITHDRAWN,
            # The very same request again is no other: it is answered as it is.
            BalanceRequest.reference != draft.reference,
        )
        .order_by(BalanceRequest.id.desc())
    ).first()
    if twin is not None:
        raise BadInput(
            f"the same was asked for at {twin.created_at:%H:%M} UTC: {described(twin)}; if it is meant a second time, "
            "give it a reference of its own"
        )


def get(db: Session, connection: str, request_id: int) -> BalanceRequest:
    """The request; raises BadInput where the connection has none with this id."""
    request = db.scalar(select(BalanceRequest).filter_by(connection=connection, id=request_id))
    if request is None:
        raise BadInput(f"there is no request {request_id}; `connector balances requests` lists them")
    return request


def listed(
    db: Session,
    connection: str,
    *,
    balance_id: str | None = None,
    account_id: str | None = None,
    status: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[BalanceRequest]:
    """The connection's requests, the newest first; older than request `before`."""
    wanted = {"balance_id": balance_id, "account_id": account_id, "status": status}
    named = {name: value for name, value in wanted.items() if value is not None}
    rows = select(BalanceRequest).filter_by(connection=connection, **named).order_by(BalanceRequest.id.desc())
    older = rows if before is None else rows.where(BalanceRequest.id < before)
    return list(db.scalars(older.limit(limit)))


def of_source(db: Session, connection: str, source: str) -> list[BalanceRequest]:
    """Everything that was asked for because of this, the oldest first; what was withdrawn is left out."""
    rows = select(BalanceRequest).filter_by(connection=connection, source=source)
    return list(db.scalars(rows.where(BalanceRequest.status != WITHDRAWN).order_by(BalanceRequest.id)))


def by_reference(db: Session, connection: str, kind: str, reference: str) -> BalanceRequest | None:
    """The request of this kind that bears the reference, whatever became of it."""
    return db.scalar(select(BalanceRequest).filter_by(connection=connection, kind=kind, reference=reference))


def partner(db: Session, request: BalanceRequest) -> BalanceRequest | None:
    """The other half of a top-up: the charge of a credit, the credit of a charge."""
    halves = {**PAYS, **{charge: credit for credit, charge in PAYS.items()}}
    other = halves.get(request.kind)
    if other is None:
        return None
    row = db.scalar(
        select(BalanceRequest).filter_by(connection=request.connection, kind=other, reference=request.reference)
    )
    credit = request if request.kind in PAYS else row
    return row if credit is not None and credit.paid_by == BY_CHARGE else None


def made_as(db: Session, connection: str, kind: str, m3ter_id: str) -> BalanceRequest | None:
    """The request that made this; None for what was made by others."""
    return db.scalar(select(BalanceRequest).filter_by(connection=connection, kind=kind, m3ter_id=m3ter_id, status=DONE))


def other_half(db: Session, connection: str, kind: str, m3ter_id: str) -> BalanceRequest | None:
    """What was asked for with this as one top-up, whatever became of it; None where this is half of none."""
    request = made_as(db, connection, kind, m3ter_id)
    return partner(db, request) if request is not None else None


def asked_before(db: Session, connection: str, kind: str, reference: str) -> BalanceRequest | None:
    """The request with this reference."""
    return db.scalar(select(BalanceRequest).filter_by(connection=connection, kind=kind, reference=reference))


def changed(db: Session, request: BalanceRequest, body: dict[str, Any], amount: Decimal | None, currency: str) -> None:
    """Note that a person has changed in m3ter what was made: that is what is asked for now."""
    _move(db, request, (DONE,), body=body, amount=amount, currency=currency)


def deleted(db: Session, request: BalanceRequest, now: datetime) -> None:
    """Note that a person has deleted in m3ter what was made: nobody asks for it any more."""
    _move(db, request, (DONE,), status=WITHDRAWN, finished_at=now)


def start_sending(db: Session, request: BalanceRequest, lease: Held, now: datetime) -> bool:
    """Commit that it is about to be sent; False when it is no longer planned. Raises LeaseLost."""
    lease.confirm(db)
    return _move(db, request, (PLANNED,), status=SENDING, sent_at=now, sends=BalanceRequest.sends + 1)


def answered(db: Session, request: BalanceRequest, m3ter_id: str) -> bool:
    """Commit the id that m3ter gave it, though what became of an earlier send is still to be seen."""
    return _move(db, request, (SENDING,), m3ter_id=m3ter_id)


def finish(db: Session, request: BalanceRequest, m3ter_id: str, found_by: str, now: datetime) -> bool:
    """Commit that m3ter has it under this id."""
    values: dict[str, Any] = {"status": DONE, "m3ter_id": m3ter_id, "found_by": found_by, "finished_at": now}
    return _move(db, request, (PLANNED, SENDING, PARKED), **values)


def send_again(db: Session, request: BalanceRequest) -> bool:
    """Commit that m3ter does not have it: it may be sent."""
    return _move(db, request, (SENDING, PARKED), status=PLANNED)


def not_taken(db: Session, request: BalanceRequest) -> bool:
    """Commit that m3ter has refused it: this send does not count among those that may have taken effect."""
    return _move(db, request, (SENDING,), status=PLANNED, sends=BalanceRequest.sends - 1)


def park(db: Session, request: BalanceRequest) -> bool:
    """Commit that only a person can say what became of it."""
    return _move(db, request, (PLANNED, SENDING), status=PARKED)


def withdraw(db: Session, request: BalanceRequest, reason: str, now: datetime) -> None:
    """Take back what has not been sent, and close its sync; raises BadInput for what may have been made already."""
    if not _move(db, request, (PLANNED,), status=WITHDRAWN, finished_at=now):
        raise BadInput(
            f"{described(request)} is {request.status}: only what has never reached m3ter can be withdrawn. What is made "
            "is undone in m3ter's own way: a transaction by its opposite, all else by `delete`"
        )
    db.execute(
        update(Sync)
        .where(
            Sync.connection == request.connection, Sync.kind == KIND, Sync.subject == str(request.id),
            Sync.status.in_(("pending", "waiting", "parked")),
        )
        .values(status="superseded", cause="withdrawn", text=reason, next_step=None, wakes_on=None, updated_at=now)
    )  # fmt: skip


def accept(db: Session, request: BalanceRequest, m3ter_id: str, who: str, now: datetime) -> None:
    """Note a person's word that this is what m3ter has of it, and let its sync end; raises BadInput for what is settled."""
    if not _move(
        db, request, (PLANNED, SENDING, PARKED), status=DONE, m3ter_id=m3ter_id, found_by="by hand", finished_at=now
    ):
        raise BadInput(f"{described(request)} is {request.status} already: there is nothing to settle")
    trigger = f"accepted by {who}"
    syncs.ask(db, connection=request.connection, kind=KIND, subject=str(request.id), trigger=trigger, now=now)
    syncs.wake(db, request.connection, [made_wish(request)], now)


def _move(db: Session, request: BalanceRequest, before: Sequence[str], **values: Any) -> bool:
    """Change the row, but only if its status still is what we think it is."""
    statement = update(BalanceRequest).where(BalanceRequest.id == request.id, BalanceRequest.status.in_(before))
    return db.scalar(statement.values(**values).returning(BalanceRequest.id)) is not None


def sync_of(db: Session, request: BalanceRequest) -> Sync | None:
    """The sync that makes it, the newest where there were several."""
    wanted = select(Sync).filter_by(connection=request.connection, kind=KIND, subject=str(request.id))
    return db.scalars(wanted.order_by(Sync.id.desc())).first()


def syncs_of(db: Session, asked: Sequence[BalanceRequest]) -> dict[int, Sync]:
    """`sync_of` of these requests of one connection, by the request's id."""
    found: dict[int, Sync] = {}
    for some in batches(asked):
        subjects = {str(one.id) for one in some}
        wanted = select(Sync).where(
            Sync.connection == some[0].connection, Sync.kind == KIND, Sync.subject.in_(subjects)
        )
        found |= {int(sync.subject): sync for sync in db.scalars(wanted.order_by(Sync.id))}
    return found


def made_wish(request: BalanceRequest) -> str:
    """What a request waits for that needs this one to be made first."""
    return f"made:{request.id}"


def described(request: BalanceRequest) -> str:
    """The request as a person reads it."""
    amount = "" if request.amount is None else f" of {money.shown(request.amount, request.currency)}"
    return f"{TITLES[request.kind]} {request.reference}{amount}"


def as_json(request: BalanceRequest) -> dict[str, Any]:
    """The request as the command line and scripts see it; the keys are stable, amounts are texts in major units."""
    names = (
        "id", "connection", "kind", "reference", "account_id", "balance_id", "currency", "body", "paid_by", "source",
        "status", "sends", "m3ter_id", "found_by", "made_by",
    )  # fmt: skip
    moments = ("sent_at", "created_at", "finished_at")
    amount = None if request.amount is None else format(request.amount, "f")
    return (
        {name: getattr(request, name) for name in names}
        | {"amount": amount}
        | {name: moment.isoformat() if (moment := getattr(request, name)) else None for name in moments}
    )
