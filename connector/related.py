"""What a sync or an event is about, in both systems: the ids that a person follows from there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from connector.balances import requests, sold
from connector.bills import approvals
from connector.mappings.table import account_of, customers_of
from connector.models import (
    AccountPlan,
    BalanceRequest,
    BalanceWatch,
    BillSnapshot,
    LinePush,
    MirroredResource,
    SeenBill,
    SoldTopUp,
    Sync,
)

# Of each kind at most.
MOST = 10


@dataclass(frozen=True)
class Thing:
    """Something with an id. `kind` is customer, subscription or invoice in Chargebee; account, accountplan, bill or balance in
    m3ter; or balance_request, whose id is its row's. `customer_id` is whose it is, where that is known."""

    kind: str
    id: str
    customer_id: str | None = None

    @property
    def is_chargebees(self) -> bool:
        """Whether it is one of Chargebee's records."""
        return self.kind in ("customer", "subscription", "invoice")


def of_sync(db: Session, row: Sync) -> list[Thing]:
    """What the sync's subject is, and what belongs to it, as far as our rows know."""
    find = OF_KIND.get(row.kind)
    return [] if find is None else _once(find(db, row.connection, row.subject))


def of_event(db: Session, connection: str, source: str, payload: dict[str, Any]) -> list[Thing]:
    """What the event names: of Chargebee's records in its content, or m3ter's bills, with what our rows know of them."""
    if source == "m3ter":
        return _once(
            [one for bill_id in approvals.bills_named(payload)[:MOST] for one in _bill(db, connection, bill_id)]
        )
    content = payload.get("content")
    found: list[Thing] = []
    for name, body in (content if isinstance(content, dict) else {}).items():
        if name not in NAMED or not isinstance(body, dict):
            continue
        for kind, field in NAMED[name]:
            if isinstance(body.get(field), str):
                found += OF_KIND[kind](db, connection, body[field]) if kind in OF_KIND else [Thing(kind, body[field])]
    return _once(found)


# In which fields of an event's content the ids are that are followed.
NAMED = {
    "customer": (("customer", "id"),),
    "subscription": (("subscription", "id"), ("customer", "customer_id")),
    "invoice": (("invoice", "id"), ("customer", "customer_id")),
    "credit_note": (("invoice", "reference_invoice_id"), ("customer", "customer_id")),
    "ramp": (("subscription", "subscription_id"),),
}


def _once(found: Sequence[Thing]) -> list[Thing]:
    """Each thing once; where it stands twice, the one that says whose it is."""
    best: dict[tuple[str, str], Thing] = {}
    for one in found:
        if (one.kind, one.id) not in best or one.customer_id is not None:
            best[one.kind, one.id] = one
    return list(best.values())


def _customer(db: Session, connection: str, customer_id: str) -> list[Thing]:
    account_id = account_of(db, connection, customer_id)
    found = [Thing("customer", customer_id, customer_id)]
    return found + ([Thing("account", account_id, customer_id)] if account_id else [])


def _subscription(db: Session, connection: str, subscription_id: str) -> list[Thing]:
    plans = db.scalars(
        select(AccountPlan)
        .filter_by(connection=connection, subscription_id=subscription_id)
        .order_by(AccountPlan.start.desc())
        .limit(MOST)
    ).all()
    customer_id = db.scalar(
        select(MirroredResource.customer_id).filter_by(
            connection=connection, resource="subscription", resource_id=subscription_id
        )
    ) or next((one.customer_id for one in plans), None)
    found = [Thing("subscription", subscription_id, customer_id)]
    found += _customer(db, connection, customer_id) if customer_id else []
    return found + [Thing("accountplan", one.m3ter_id, customer_id) for one in plans if one.m3ter_id]


def _bill(db: Session, connection: str, bill_id: str) -> list[Thing]:
    account_id = db.scalar(select(SeenBill.account_id).filter_by(connection=connection, bill_id=bill_id)) or db.scalar(
        select(BillSnapshot.account_id).filter_by(connection=connection, bill_id=bill_id).limit(1)
    )
    found = [Thing("bill", bill_id)]
    if account_id is not None:
        found += _account(db, connection, account_id)
    lines = [LinePush.connection == connection, LinePush.bill_id == bill_id]
    now = func.coalesce(LinePush.final_invoice_id, LinePush.invoice_id)
    invoices = db.execute(select(now, LinePush.customer_id).where(*lines, now.is_not(None)).distinct().limit(MOST))
    found += [Thing("invoice", invoice_id, customer_id) for invoice_id, customer_id in invoices]
    named = select(LinePush.subscription_id, LinePush.customer_id).where(*lines, LinePush.subscription_id.is_not(None))
    subscriptions = db.execute(named.distinct().limit(MOST))
    return found + [Thing("subscription", str(one), customer_id) for one, customer_id in subscriptions]


def _account(db: Session, connection: str, account_id: str) -> list[Thing]:
    customer_id = customers_of(db, connection, [account_id]).get(account_id)
    found = [Thing("account", account_id, customer_id)]
    return [Thing("customer", customer_id, customer_id), *found] if customer_id else found


def _top_up(db: Session, connection: str, invoice_id: str) -> list[Thing]:
    rows = select(SoldTopUp).filter_by(connection=connection, invoice_id=invoice_id).limit(MOST)
    found = [Thing("invoice", invoice_id)]
    for row in db.scalars(rows):
        found += [
            Thing("invoice", invoice_id, row.customer_id),
            Thing("customer", row.customer_id, row.customer_id),
            Thing("account", row.account_id, row.customer_id),
            Thing("balance", row.balance_id, row.customer_id),
        ]
    return found


def _balance_request(db: Session, connection: str, subject: str) -> list[Thing]:
    row = db.get(BalanceRequest, int(subject)) if subject.isdigit() else None
    if row is None or row.connection != connection:
        return []
    found = [Thing("balance_request", subject), *_account(db, connection, row.account_id)]
    return found + ([Thing("balance", row.balance_id)] if row.balance_id else [])


def _balance(db: Session, connection: str, balance_id: str) -> list[Thing]:
    account_id = db.scalar(select(BalanceWatch.account_id).filter_by(connection=connection, balance_id=balance_id))
    return [Thing("balance", balance_id), *(_account(db, connection, account_id) if account_id else [])]


OF_KIND: dict[str, Callable[[Session, str, str], list[Thing]]] = {
    "customer": _customer,
    "subscription": _subscription,
    "bill": _bill,
    "receipt": _bill,
    requests.KIND: _balance_request,
    "balance_watch": _balance,
    sold.KIND: _top_up,
}
