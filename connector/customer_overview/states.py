"""How a customer stands: in step, or what of theirs is open; and the customers of a connection, a page at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, Subquery, and_, bindparam, select, union_all
from sqlalchemy.orm import Session

from connector.mappings.table import account_of
from connector.models import OPEN, Account, MirroredResource, SeenBill, Sync

IN_STEP, ON_ITS_WAY, NO_ACCOUNT = "in step", "on its way", "no account"
# What of a customer's open work is said, the worst first.
SAID = {"parked": "parked", "waiting": "waiting", "running": ON_ITS_WAY, "pending": ON_ITS_WAY}
FILTERS = ("parked", "waiting", ON_ITS_WAY)


@dataclass(frozen=True)
class CustomerLine:
    """A customer with an account in m3ter, or with one that is being made; `id` is the row's."""

    id: int
    connection: str
    customer_id: str
    account_id: str | None
    account_code: str
    state: str


def listed(
    db: Session, connection: str, *, state: str | None = None, before: int | None = None, limit: int
) -> list[CustomerLine]:
    """The connection's customers in this state, the newest first; older than row `before`."""
    wanted = [Account.connection == connection, *([] if before is None else [Account.id < before])]
    if state is not None:
        work = _open_work(connection)
        statuses = [status for status, said in SAID.items() if said == state]
        wanted.append(Account.customer_id.in_(select(work.c.customer_id).where(work.c.status.in_(statuses))))
    return _lines(db, connection, select(Account).where(*wanted).order_by(Account.id.desc()).limit(limit))


def named(db: Session, connection: str, customer_ids: Sequence[str]) -> list[CustomerLine]:
    """These customers, in this order, also those that have no account yet: their row has no number then."""
    wanted = select(Account).where(Account.connection == connection, Account.customer_id.in_(customer_ids))
    rows = {one.customer_id: one for one in _lines(db, connection, wanted)}
    found = of_customers(db, connection, customer_ids)
    lines = []
    for one in customer_ids:
        account_id = account_of(db, connection, one)
        state = found.get(one, IN_STEP if account_id else NO_ACCOUNT)
        lines.append(rows.get(one) or CustomerLine(0, connection, one, account_id, "", state))
    return lines


def _lines(db: Session, connection: str, wanted: Select[Account]) -> list[CustomerLine]:
    rows = list(db.scalars(wanted))
    found = of_customers(db, connection, [row.customer_id for row in rows])
    return [
        CustomerLine(
            row.id, row.connection, row.customer_id, row.m3ter_id, row.code,
            found.get(row.customer_id, IN_STEP if row.m3ter_id else NO_ACCOUNT),
        )
        for row in rows
    ]  # fmt: skip


def of_customers(db: Session, connection: str, customer_ids: Sequence[str]) -> dict[str, str]:
    """The worst of what is open of each of these customers: their own sync, their subscriptions' and their bills'."""
    work = _open_work(connection)
    rows = db.execute(select(work.c.customer_id, work.c.status).where(work.c.customer_id.in_(customer_ids)).distinct())
    open_of: dict[str, set[str]] = {}
    for customer_id, status in rows:
        open_of.setdefault(customer_id, set()).add(status)
    return {one: next(said for status, said in SAID.items() if status in found) for one, found in open_of.items()}


def _open_work(connection: str) -> Subquery:
    """Customer and status of every open sync that is about one."""
    # Written out: an index of some rows only is not found by a parameter.
    is_open = Sync.status.in_(bindparam("open", OPEN, expanding=True, literal_execute=True))
    ours: list[Any] = [Sync.connection == connection, is_open]
    of_subscription = and_(
        MirroredResource.connection == connection,
        MirroredResource.resource == "subscription",
        MirroredResource.resource_id == Sync.subject,
    )
    of_bill = and_(SeenBill.connection == connection, SeenBill.bill_id == Sync.subject)
    of_account = and_(Account.connection == connection, Account.m3ter_id == SeenBill.account_id)
    return union_all(
        select(Sync.subject.label("customer_id"), Sync.status).where(*ours, Sync.kind == "customer"),
        select(MirroredResource.customer_id, Sync.status)
        .join(MirroredResource, of_subscription)
        .where(*ours, Sync.kind == "subscription"),
        select(Account.customer_id, Sync.status)
        .select_from(Sync)
        .join(SeenBill, of_bill)
        .join(Account, of_account)
        .where(*ours, Sync.kind == "bill"),
    ).subquery()
