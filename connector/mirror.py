"""What has been seen of each Chargebee resource: the newest state of each, and every state of a subscription.

Whatever brings a resource (webhook, event list, list page, single read) is kept only where its `resource_version` says it
is newer (Chargebee API: Events, ordering); an older state arriving late takes its place in the history and undoes nothing.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from connector import inbox, invoice_terms, transfers
from connector.clients.chargebee_objects import Customer, Subscription
from connector.database import insert
from connector.models import MirroredResource, SubscriptionState

# What m3ter billing never depends on stays out of the history.
STATE_FIELDS = (
    "id", "customer_id", "status", "currency_code", "start_date", "started_at", "activated_at", "created_at", "updated_at",
    "current_term_start", "current_term_end", "cancelled_at", "pause_date", "resume_date", "trial_start", "trial_end",
    "deleted", "resource_version",
)  # fmt: skip


ITEM_FIELDS = ("item_price_id", "item_type", "quantity", "unit_price")
# What we know of a state beside what Chargebee shows of it.
OUR_FIELDS = ("backdated", "effective_at")

# Milliseconds since 1970, in a column of 64 bits.
MAX_VERSION = 2**63


@dataclass(frozen=True)
class Backdated:
    """What its event says of a change that holds since a time before it was made; None: not since when."""

    effective_at: datetime | None = None


def keep(
    db: Session,
    connection: str,
    resource: str,
    body: dict[str, Any],
    now: datetime,
    *,
    settled: bool = False,
    backdated: Backdated | None = None,
) -> None:
    """Keep this state of a resource if it is the newest seen; `settled` says that Chargebee itself has just given it.

    Two states with one version, or a state without any, leave the resource unsettled until Chargebee has been asked.
    """
    live_id = body.get("active_id")
    if resource in transfers.RESOURCES and isinstance(live_id, str):
        transfers.note(db, connection, resource, body["id"], live_id, now)
    version = body.get("resource_version")
    known = isinstance(version, int) and 0 <= version < MAX_VERSION
    values = {
        "resource_version": version if known else 0,
        "customer_id": body.get("customer_id"),
        "parent_id": parent_of(body) if resource == "customer" else None,
        "body": _storable(body),
        "sha256": _digest(body),
        "unsettled": not known and not settled,
        "seen_at": now,
    }
    statement = insert(db, MirroredResource).values(
        connection=connection, resource=resource, resource_id=body["id"], **values
    )
    newer = MirroredResource.resource_version < values["resource_version"]
    stored = db.scalar(
        statement.on_conflict_do_update(
            index_elements=["connection", "resource", "resource_id"],
            set_=values,
            where=(MirroredResource.resource_version <= values["resource_version"]) if settled else newer,
        ).returning(MirroredResource.id)
    )
    if stored is None and not settled:
        _note_tie(db, connection, resource, body["id"], values)
    if resource == "invoice" and stored is not None:
        invoice_terms.note(db, connection, values["body"], now)
    if resource == "subscription" and known:
        _keep_state(db, connection, body, now, settled=settled, backdated=backdated)


def parent_of(body: dict[str, Any]) -> str | None:
    """The customer above this one (Chargebee API: Customers, relationship), whoever gets its invoices."""
    relationship = body.get("relationship")
    parent_id = relationship.get("parent_id") if isinstance(relationship, dict) else None
    return parent_id if inbox.is_name(parent_id) else None


def _note_tie(db: Session, connection: str, resource: str, resource_id: str, values: dict[str, Any]) -> None:
    tie = MirroredResource.resource_version == values["resource_version"]
    db.execute(
        update(MirroredResource)
        .where(
            MirroredResource.connection == connection,
            MirroredResource.resource == resource,
            MirroredResource.resource_id == resource_id,
            tie if values["resource_version"] else MirroredResource.id.is_not(None),
            MirroredResource.sha256 != values["sha256"],
        )
        .values(unsettled=True)
    )


def _keep_state(
    db: Session, connection: str, body: dict[str, Any], now: datetime, *, settled: bool, backdated: Backdated | None
) -> None:
    if body.get("status") == "transferred" and "active_id" in body:
        return  # it says nothing of the live copy, which goes on
    state = _storable({name: body[name] for name in STATE_FIELDS if name in body})
    state["subscription_items"] = [
        {name: item[name] for name in ITEM_FIELDS if name in item} for item in body.get("subscription_items", [])
    ]
    key = {
        "connection": connection,
        "subscription_id": transfers.live_id(db, connection, "subscription", body["id"]),
        "resource_version": body["resource_version"],
    }
    row = db.scalar(select(SubscriptionState).filter_by(**key).with_for_update())
    known = {name: row.body[name] for name in OUR_FIELDS if name in row.body} if row is not None else {}
    if backdated is not None:
        known["backdated"] = True
        if backdated.effective_at is not None:
            known["effective_at"] = int(backdated.effective_at.timestamp())
    if row is None:
        made = insert(db, SubscriptionState).values(**key, body=state | known, seen_at=now)
        db.execute(made.on_conflict_do_nothing(index_elements=list(key)))
    elif settled:
        row.body = state | known
    elif backdated is not None:
        row.body = row.body | known


def date_change(db: Session, connection: str, subscription_id: str, version: int, moment: datetime) -> None:
    """Note since when a backdated change holds, which a person had to say."""
    row = db.scalars(
        select(SubscriptionState).filter_by(
            connection=connection, subscription_id=subscription_id, resource_version=version
        )
    ).one()
    row.body = row.body | {"effective_at": int(moment.timestamp())}


def unsettle(db: Session, connection: str, resource: str, resource_id: str) -> None:
    """Have Chargebee asked for this resource the next time that it is needed."""
    db.execute(
        update(MirroredResource)
        .filter_by(connection=connection, resource=resource, resource_id=resource_id)
        .values(unsettled=True)
    )


def _storable(value: Any) -> Any:
    """The same JSON without what PostgreSQL cannot store in it: NUL characters and halves of surrogate pairs."""
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
    return str(value) if isinstance(value, Decimal) else value


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, default=str).encode()).hexdigest()


def seen(db: Session, connection: str, resource: str, resource_id: str) -> dict[str, Any] | None:
    """The newest state seen, also where only Chargebee can say whether it is the newest."""
    return db.scalar(
        select(MirroredResource.body).filter_by(connection=connection, resource=resource, resource_id=resource_id)
    )


def newest(db: Session, connection: str, resource: str, resource_id: str) -> dict[str, Any] | None:
    """The newest state seen, or None when there is none or only Chargebee can say which is the newest."""
    row = db.scalar(
        select(MirroredResource).where(
            MirroredResource.connection == connection,
            MirroredResource.resource == resource,
            MirroredResource.resource_id == resource_id,
        )
    )
    return None if row is None or row.unsettled else row.body


def customer(db: Session, connection: str, customer_id: str) -> Customer | None:
    """The newest settled state of the customer."""
    body = newest(db, connection, "customer", customer_id)
    return None if body is None else Customer.from_json(body)


def history(db: Session, connection: str, subscription_id: str) -> tuple[Subscription, ...]:
    """Every state seen of the subscription, oldest version first, each with its customer's id of today.

    States from before a transfer to another business entity are among them; that it was transferred is no end of it.
    """
    rows = db.scalars(
        select(SubscriptionState.body)
        .where(SubscriptionState.connection == connection, SubscriptionState.subscription_id == subscription_id)
        .order_by(SubscriptionState.resource_version)
    )
    states = [Subscription.from_json(body) for body in rows]
    states = [state for state in states if state.id == subscription_id or state.status != "transferred"]
    live = transfers.live_ids(db, connection, "customer", {state.customer_id for state in states})
    return tuple(replace(state, id=subscription_id, customer_id=live[state.customer_id]) for state in states)


def children_of(db: Session, connection: str, customer_id: str, limit: int) -> list[str]:
    """The customers right below this one that have been seen, by id."""
    below = select(MirroredResource.resource_id).where(
        MirroredResource.connection == connection, MirroredResource.parent_id == customer_id
    )
    return list(db.scalars(below.order_by(MirroredResource.resource_id).limit(limit)))


def subscriptions_of(db: Session, connection: str, customer_ids: Iterable[str]) -> list[Subscription]:
    """The newest state of each subscription of these customers."""
    rows = db.scalars(
        select(MirroredResource.body)
        .where(MirroredResource.connection == connection, MirroredResource.resource == "subscription")
        .where(MirroredResource.customer_id.in_(list(customer_ids)))
        .order_by(MirroredResource.resource_id)
    )
    return [Subscription.from_json(body) for body in rows]
