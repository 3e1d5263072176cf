"""Customers and subscriptions that went to another business entity: what was theirs belongs to their live copy.

A transfer gives the live copy a new id; the old record keeps its own, and `active_id` there names the live one
(Chargebee API: Business entity transfers).
"""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from connector.database import insert
from connector.models import Account, AccountPlan, MirroredResource, SubscriptionState, Transfer

RESOURCES = ("customer", "subscription")


def live_ids(db: Session, connection: str, resource: str, ids: Iterable[str]) -> dict[str, str]:
    """For each of these ids the one under which its resource lives today, which most often is the same."""
    found = {one: one for one in ids}
    ahead = set(found.values())
    while ahead:
        rows = db.execute(
            select(Transfer.old_id, Transfer.live_id).where(
                Transfer.connection == connection, Transfer.resource == resource, Transfer.old_id.in_(ahead)
            )
        )
        step = {row.old_id: row.live_id for row in rows}
        found = {first: step.get(now, now) for first, now in found.items()}
        ahead = set(step.values())
    return found


def live_id(db: Session, connection: str, resource: str, old_id: str) -> str:
    """The id under which this resource lives today."""
    return live_ids(db, connection, resource, [old_id])[old_id]


def came_by_transfer(db: Session, connection: str, resource: str, live_id: str) -> bool:
    """Whether this is the live copy of something that had another id before."""
    row = select(Transfer.id).filter_by(connection=connection, resource=resource, live_id=live_id)
    return db.scalar(row) is not None


def note(db: Session, connection: str, resource: str, old_id: str, live_id: str, now: datetime) -> None:
    """From now on everything that we keep of the old record is the live one's; doing it twice changes nothing."""
    if old_id == live_ids(db, connection, resource, [live_id])[live_id]:
        return
    made = insert(db, Transfer).values(
        connection=connection, resource=resource, old_id=old_id, live_id=live_id, seen_at=now
    )
    db.execute(made.on_conflict_do_nothing(index_elements=["connection", "resource", "old_id"]))
    if resource == "subscription":
        _hand_over_subscription(db, connection, old_id, live_id)
    else:
        _hand_over_customer(db, connection, old_id, live_id)


def _hand_over_subscription(db: Session, connection: str, old_id: str, live_id: str) -> None:
    states = [SubscriptionState.connection == connection, SubscriptionState.subscription_id == old_id]
    known = select(SubscriptionState.resource_version).where(
        SubscriptionState.connection == connection, SubscriptionState.subscription_id == live_id
    )
    db.execute(
        delete(SubscriptionState).where(*states, SubscriptionState.resource_version.in_(known.scalar_subquery()))
    )
    db.execute(update(SubscriptionState).where(*states).values(subscription_id=live_id))
    plans = [AccountPlan.connection == connection, AccountPlan.subscription_id == old_id]
    db.execute(update(AccountPlan).where(*plans).values(subscription_id=live_id))


def _hand_over_customer(db: Session, connection: str, old_id: str, live_id: str) -> None:
    taken = select(Account.id).where(Account.connection == connection, Account.customer_id == live_id)
    if db.scalar(taken) is None:
        mine = [Account.connection == connection, Account.customer_id == old_id]
        db.execute(update(Account).where(*mine).values(customer_id=live_id))
    for table in (AccountPlan, MirroredResource):
        theirs = [table.connection == connection, table.customer_id == old_id]
        db.execute(update(table).where(*theirs).values(customer_id=live_id))
