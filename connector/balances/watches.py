"""Balances that somebody watches: what is low, what is done about it, and what they held when somebody looked."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from connector import money
from connector.balances import top_ups
from connector.balances.drafts import TRANSACTION
from connector.balances.held import Standing, last_moment
from connector.balances.requests import DONE, WITHDRAWN
from connector.balances.requests import KIND as REQUEST
from connector.balances.top_ups import Price, TopUp
from connector.clients.m3ter_balance_objects import Balance
from connector.database import insert
from connector.errors import BadInput
from connector.models import BalanceReading, BalanceRequest, BalanceWatch, Sync

KIND = "balance_watch"
# What a watch has come to. `ended` and `gone` are of balances that nothing can be drawn from any more.
OK, LOW, TOPPING_UP, CAP_REACHED, REFUSED, ENDED, GONE = (
    "ok", "low", "topping_up", "cap_reached", "refused", "ended", "gone",
)  # fmt: skip
TROUBLE = (LOW, TOPPING_UP, CAP_REACHED, REFUSED, GONE)
READ_AT_LEAST_EVERY = timedelta(days=1)


@dataclass(frozen=True)
class Terms:
    """What somebody wants of a watch, in the balance's currency; see `BalanceWatch`."""

    threshold: Decimal
    credit: Decimal | None = None
    price: Decimal | None = None
    price_currency: str | None = None
    free: bool = False
    transaction_type_id: str | None = None
    cap_credit: Decimal | None = None
    cap_number: int | None = None
    enabled: bool = True


@dataclass(frozen=True)
class Own:
    """The credit of a top-up that a watch asked for: how far it is, and why it does not go on, where it does not."""

    reference: str
    amount: Decimal
    status: str
    m3ter_id: str | None
    stopped: str | None


@dataclass(frozen=True)
class Decision:
    """What a watch comes to; `top_up` is that one is to be asked for now, and `why` says more of some states."""

    state: str
    top_up: bool = False
    why: str = ""


def checked(balance: Balance, terms: Terms, now: datetime) -> None:
    """Raise BadInput with all that is wrong with the terms; nothing is asked of m3ter."""
    faults = []
    if terms.threshold < 0:
        faults.append(f"the threshold is {terms.threshold}: it cannot be below zero")
    if last_moment(balance) <= now:
        faults.append(
            f"balance {balance.code} ended at {last_moment(balance):%Y-%m-%d %H:%M} UTC: there is nothing to watch"
        )
    faults += _faults_of_caps(terms)
    if terms.credit is None and not faults:
        faults += _without_top_up(terms)
    if faults:
        raise BadInput("; ".join(faults))
    if terms.credit is not None:
        # All that the first top-up would be refused for is said here.
        top_up(
            balance, terms, reference=reference(balance.id, now.date(), 1), now=max(now, balance.start), day=now.date()
        )


def _faults_of_caps(terms: Terms) -> list[str]:
    faults = []
    if terms.credit is not None and terms.cap_credit is None and terms.cap_number is None:
        faults.append("an automatic top-up needs a cap: say how much credit, or how many top-ups, a month may bring")
    if terms.credit is not None and terms.cap_credit is not None and terms.cap_credit < terms.credit:
        faults.append(
            f"a cap of {terms.cap_credit} a month never lets a top-up of {terms.credit} through: raise it, or credit less"
        )
    if terms.cap_number is not None and terms.cap_number < 1:
        faults.append(f"a cap of {terms.cap_number} top-ups a month lets none through: leave the top-up out instead")
    if terms.credit is not None and terms.transaction_type_id is None:
        faults.append("an automatic top-up needs the type of its transactions")
    if terms.free and (terms.price is not None or terms.price_currency is not None):
        faults.append("a free top-up has no price: leave one of the two out")
    return faults


def _without_top_up(terms: Terms) -> list[str]:
    of_top_ups = (terms.price, terms.price_currency, terms.cap_credit, terms.cap_number)
    if terms.free or any(value is not None for value in of_top_ups):
        return ["a price or a cap is of use only with an automatic top-up: say what it credits, or leave them out"]
    return []


def top_up(
    balance: Balance, terms: Terms | BalanceWatch, *, reference: str, now: datetime, day: date
) -> TopUp:  # fmt: skip
    """The pair that a watch asks for: credit from now on, billed on this day; raises BadInput."""
    if terms.credit is None or terms.transaction_type_id is None:
        raise ValueError("this watch tops nothing up")
    price = None if terms.free else Price(terms.price, terms.price_currency)
    return top_ups.ad_hoc(
        balance, reference=reference, credit=terms.credit, price=price, type_id=terms.transaction_type_id, applied=now,
        bill_date=day, description=f"Automatic top-up of {balance.name}",
    )  # fmt: skip


def decide(
    watch: Terms | BalanceWatch, held: Decimal, month: str, own: Sequence[Own], visible: Collection[str]
) -> Decision:
    """What to do about a balance that holds this much; `visible` are the transactions that m3ter shows, by id.

    `month` is what the references of this month's top-ups begin with. No other top-up is asked for while one is on its way,
    nor before it is seen in m3ter: what is held says nothing of it until then.
    """
    if not is_low(held, watch.threshold):
        return Decision(OK)
    if watch.credit is None:
        return Decision(LOW)
    on_their_way = [one for one in own if one.status not in (DONE, WITHDRAWN)]
    stopped = [one for one in on_their_way if one.stopped is not None]
    if stopped:
        return Decision(REFUSED, why=f"{stopped[0].reference}: {stopped[0].stopped}")
    if on_their_way:
        return Decision(TOPPING_UP, why=f"{on_their_way[0].reference} is on its way")
    unseen = [one for one in own if one.status == DONE and one.m3ter_id not in visible]
    if unseen:
        return Decision(TOPPING_UP, why=f"m3ter does not show {unseen[0].reference} yet")
    this_month = [one for one in own if one.status != WITHDRAWN and one.reference.startswith(month)]
    credited = money.total([*(one.amount for one in this_month), watch.credit])
    if watch.cap_number is not None and len(this_month) >= watch.cap_number:
        return Decision(CAP_REACHED, why=f"{len(this_month)} of {watch.cap_number} top-ups of this month are made")
    if watch.cap_credit is not None and credited > watch.cap_credit:
        return Decision(
            CAP_REACHED, why=f"another {watch.credit} would make {credited} of {watch.cap_credit} of this month"
        )
    return Decision(TOPPING_UP, top_up=True)


def is_low(held: Decimal, threshold: Decimal) -> bool:
    """Whether a person should hear of it: less than the threshold, or nothing at all."""
    return held < threshold or held <= 0


def month_of(balance_id: str, day: date) -> str:
    """What the references of a balance's automatic top-ups in this day's month begin with."""
    return f"auto-{balance_id}-{day:%Y-%m}-"


def reference(balance_id: str, day: date, number: int) -> str:
    """The reference of the month's so-manieth automatic top-up: derived, so that asking twice is asking once."""
    return f"{month_of(balance_id, day)}{number}"


def source(balance_id: str) -> str:
    """What a balance's automatic top-ups were made for."""
    return f"watch:{balance_id}"


def own_top_ups(db: Session, connection: str, balance_id: str) -> list[Own]:
    """All credits that the balance's watch has ever asked for, the oldest first, withdrawn ones too."""
    mine = select(BalanceRequest).filter_by(connection=connection, source=source(balance_id))
    rows = db.scalars(mine.order_by(BalanceRequest.id)).all()
    stopped: dict[str, str] = {}
    for row in rows:
        if row.status not in (DONE, WITHDRAWN) and (why := _stopped(db, row)):
            stopped[row.reference] = why
    return [
        Own(row.reference, row.amount or Decimal(0), row.status, row.m3ter_id, stopped.get(row.reference))
        for row in rows
        if row.kind == TRANSACTION
    ]


def _stopped(db: Session, request: BalanceRequest) -> str | None:
    """Why a request does not go on by itself: its sync is parked, or a person has closed it."""
    of_it = select(Sync).filter_by(connection=request.connection, kind=REQUEST, subject=str(request.id))
    sync = db.scalars(of_it.order_by(Sync.id.desc())).first()
    if sync is None or sync.status not in ("parked", "superseded"):
        return None
    return f"sync {sync.id} is {sync.status} ({sync.cause}): {sync.text}"


# The table


def put(db: Session, connection: str, balance: Balance, terms: Terms, *, made_by: str, now: datetime) -> BalanceWatch:
    """Watch the balance on these terms from now on, in place of those it was watched on before."""
    values = {
        "account_id": balance.account_id, "currency": balance.currency, **vars(terms), "next_check_at": now,
        "made_by": made_by, "made_at": now,
    }  # fmt: skip
    made = insert(db, BalanceWatch).values(
        connection=connection, balance_id=balance.id, state=OK, state_since=now, **values
    )
    db.execute(made.on_conflict_do_update(index_elements=["connection", "balance_id"], set_=values))
    row = select(BalanceWatch).filter_by(connection=connection, balance_id=balance.id)
    # The session may hold the row as it was before.
    return db.scalars(row.execution_options(populate_existing=True)).one()


def remove(db: Session, connection: str, balance_id: str, *, reason: str, now: datetime) -> bool:
    """Watch the balance no more and close its sync; False where it is not watched. Readings stay."""
    found = db.scalar(
        delete(BalanceWatch).filter_by(connection=connection, balance_id=balance_id).returning(BalanceWatch.id)
    )
    db.execute(
        update(Sync)
        .where(
            Sync.connection == connection, Sync.kind == KIND, Sync.subject == balance_id,
            Sync.status.in_(("pending", "waiting", "parked")),
        )
        .values(status="superseded", cause="not_watched", text=reason, next_step=None, wakes_on=None, updated_at=now)
    )  # fmt: skip
    return found is not None


def find(db: Session, connection: str, balance_id: str, *, to_change: bool = False) -> BalanceWatch | None:
    """The balance's watch; `to_change` keeps others from changing it until the transaction ends."""
    wanted = select(BalanceWatch).filter_by(connection=connection, balance_id=balance_id)
    return db.scalar(wanted.with_for_update() if to_change else wanted)


def listed(db: Session, connection: str, *, state: str | None = None) -> list[BalanceWatch]:
    """The connection's watches, the one that has been low for longest first."""
    rows = db.scalars(select(BalanceWatch).filter_by(connection=connection).order_by(BalanceWatch.id)).all()
    wanted = [row for row in rows if state is None or row.state == state]
    return sorted(wanted, key=lambda row: (row.state in (OK, ENDED), row.state_since, row.id))


def troubled(db: Session, *, limit: int) -> list[BalanceWatch]:
    """Watched balances of all connections that somebody should look at, as they were seen last; the longest so first."""
    wanted = select(BalanceWatch).where(BalanceWatch.enabled, BalanceWatch.state.in_(TROUBLE))
    return list(db.scalars(wanted.order_by(BalanceWatch.state_since, BalanceWatch.id).limit(limit)))


def take_due(db: Session, connection: str, now: datetime, *, seconds: int, limit: int) -> list[str]:
    """Balances whose time to be looked at has come, which no other clock then takes."""
    due = (
        select(BalanceWatch.id)
        .where(BalanceWatch.connection == connection, BalanceWatch.enabled, BalanceWatch.next_check_at <= now)
        .order_by(BalanceWatch.next_check_at, BalanceWatch.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = list(db.scalars(due))
    taken = (
        update(BalanceWatch)
        .where(BalanceWatch.id.in_(ids))
        .values(next_check_at=now + timedelta(seconds=seconds))
        .returning(BalanceWatch.balance_id)
    )
    return sorted(db.scalars(taken)) if ids else []


def put_off(db: Session, connection: str, balance_ids: Collection[str], until: datetime) -> None:
    """Look at these again at this moment, or before."""
    db.execute(
        update(BalanceWatch)
        .where(
            BalanceWatch.connection == connection,
            BalanceWatch.balance_id.in_(balance_ids),
            BalanceWatch.next_check_at > until,
        )
        .values(next_check_at=until)
    )


def keep_reading(db: Session, connection: str, balance_id: str, stands: Standing) -> bool:
    """Keep what the balance held, if that is new or the last reading a day old."""
    last = last_reading(db, connection, balance_id)
    amounts = {
        "held": stands.held, "total_credit": stands.credited, "total_debit": stands.debited,
        "consumed": stands.consumed, "expired": stands.expired,
    }  # fmt: skip
    if (
        last is not None
        and stands.at < last.at + READ_AT_LEAST_EVERY
        and all(getattr(last, name) == amount for name, amount in amounts.items())
    ):
        return False
    made = insert(db, BalanceReading).values(connection=connection, balance_id=balance_id, at=stands.at, **amounts)
    db.execute(made.on_conflict_do_nothing(index_elements=["connection", "balance_id", "at"]))
    return True


def last_reading(db: Session, connection: str, balance_id: str) -> BalanceReading | None:
    """What the balance held when somebody last looked."""
    rows = select(BalanceReading).filter_by(connection=connection, balance_id=balance_id)
    return db.scalars(rows.order_by(BalanceReading.at.desc()).limit(1)).first()


def as_json(watch: BalanceWatch) -> dict[str, Any]:
    """The watch as the command line and scripts see it; the keys are stable, amounts are texts in major units."""
    names = (
        "connection", "balance_id", "account_id", "currency", "price_currency", "free", "transaction_type_id",
        "cap_number", "enabled", "state", "made_by",
    )  # fmt: skip
    amounts = ("threshold", "credit", "price", "cap_credit", "last_held")
    return (
        {name: getattr(watch, name) for name in names}
        | {name: None if (value := getattr(watch, name)) is None else format(value, "f") for name in amounts}
        | {name: getattr(watch, name).isoformat() for name in ("state_since", "next_check_at", "made_at")}
    )
