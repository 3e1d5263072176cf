"""What has been seen of each Chargebee resource: the newest state of each, and every state of a subscription.

Whatever brings a resource (webhook, event list, list page, single read) is kept only where its `resource_version` says it
is newer (Chargebee API: Events, ordering); an older state arriving late takes its place in the history and undoes nothing.
"""

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from connector.clients.chargebee import Customer, Subscription
from connector.database import insert
from connector.models import MirroredResource, SubscriptionState

# What m3ter billing never depends on stays out of the history.
STATE_FIELDS = (
    "id", "customer_id", "status", "currency_code", "start_date", "started_at", "activated_at", "created_at", "updated_at",
    "current_term_start", "current_term_end", "cancelled_at", "pause_date", "resume_date", "trial_start", "trial_end",
    "deleted", "resource_version",
)  # fmt: skip


# Milliseconds since 1970, in a column of 64 bits.
MAX_VERSION = 2**63


def keep(
    db: Session, connection: str, resource: str, body: dict[str, Any], now: datetime, *, settled: bool = False
) -> None:
    """Keep this state of a resource if it is the newest seen; `settled` says that Chargebee itself has just given it.

    Two states with one version, or a state without any, leave the resource unsettled until Chargebee has been asked.
    """
    version = body.get("resource_version")
    known = isinstance(version, int) and 0 <= version < MAX_VERSION
    values = {
        "resource_version": version if known else 0,
        "customer_id": body.get("customer_id"),
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
    if resource == "subscription" and known:
        _keep_state(db, connection, body, now, overwrite=settled)


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


def _keep_state(db: Session, connection: str, body: dict[str, Any], now: datetime, *, overwrite: bool) -> None:
    state = _storable({name: body[name] for name in STATE_FIELDS if name in body})
    state["subscription_items"] = [
        {name: item[name] for name in ("item_price_id", "item_type", "quantity") if name in item}
        for item in body.get("subscription_items", [])
    ]
    statement = insert(db, SubscriptionState).values(
        connection=connection,
        subscription_id=body["id"],
        resource_version=body["resource_version"],
        body=state,
        seen_at=now,
    )
    key = ["connection", "subscription_id", "resource_version"]
    if overwrite:
        db.execute(statement.on_conflict_do_update(index_elements=key, set_={"body": state}))
    else:
        db.execute(statement.on_conflict_do_nothing(index_elements=key))


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
    """Every state seen of the subscription, oldest version first."""
    rows = db.scalars(
        select(SubscriptionState.body)
        .where(SubscriptionState.connection == connection, SubscriptionState.subscription_id == subscription_id)
        .order_by(SubscriptionState.resource_version)
    )
    return tuple(Subscription.from_json(body) for body in rows)


def subscriptions_of(db: Session, connection: str, customer_ids: Iterable[str]) -> list[Subscription]:
    """The newest state of each subscription of these customers."""
    rows = db.scalars(
        select(MirroredResource.body)
        .where(MirroredResource.connection == connection, MirroredResource.resource == "subscription")
        .where(MirroredResource.customer_id.in_(list(customer_ids)))
        .order_by(MirroredResource.resource_id)
    )
    return [Subscription.from_json(body) for body in rows]
