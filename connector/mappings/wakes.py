"""Which syncs have something to do once mappings have changed."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Text, and_, cast, or_, select
from sqlalchemy.orm import Session

from connector import syncs
from connector.database import batches
from connector.mappings.charges import CHARGE_WISH
from connector.mappings.kinds import ANY
from connector.mappings.pairs import Pair
from connector.mappings.plans import PlanChoices, plan_choices
from connector.models import SubscriptionState


def wishes(pairs: Iterable[Pair]) -> set[str]:
    """What syncs may wait for that these fulfil."""
    return {f"mapping:{pair.external_table}:{pair.external_id}" for pair in pairs} | {CHARGE_WISH}


def ask_concerned(
    db: Session, connection: str, before: PlanChoices, now: datetime, *, known: Sequence[int] = ()
) -> list[int]:
    """The syncs, opened or joined, of every subscription that ever had an item of which something else is said now."""
    asked = [
        syncs.ask(
            db, connection=connection, kind="subscription", subject=subscription_id, trigger="mapping changed", now=now
        )
        for subscription_id in concerned(db, connection, before, plan_choices(db, connection))
    ]
    return [sync_id for sync_id in asked if sync_id not in known]


def concerned(db: Session, connection: str, before: PlanChoices, after: PlanChoices) -> list[str]:
    """The subscriptions that ever had an item of which the second says something else than the first."""
    changed = {
        (price, choice.customer_id)
        for price in {*before.of_price, *after.of_price}
        for choice in {*before.of_price.get(price, ())} ^ {*after.of_price.get(price, ())}
    }
    return _subscriptions_with(db, connection, changed)


def _subscriptions_with(db: Session, connection: str, changed: Iterable[tuple[str, str]]) -> list[str]:
    """The subscriptions of that customer (`*`: anybody) of whose states one names that item price.

    The text of the state is searched, which may find some too many; their syncs change nothing.
    """
    body = cast(SubscriptionState.body, Text)
    conditions = [
        and_(*(body.contains(json.dumps(word), autoescape=True) for word in (price, customer_id) if word != ANY))
        for price, customer_id in sorted(changed)
    ]
    found: set[str] = set()
    for some in batches(conditions):
        found.update(
            db.scalars(
                select(SubscriptionState.subscription_id)
                .where(SubscriptionState.connection == connection, or_(*some))
                .distinct()
            )
        )
    return sorted(found)
