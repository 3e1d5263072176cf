"""Which m3ter plan an item price means, for whom and when."""

from collections.abc import Iterable, Sequence
from collections.abc import Mapping as Table
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import pairwise

from sqlalchemy import select
from sqlalchemy.orm import Session

from connector import transfers
from connector.mappings.kinds import ANY, ITEM_PRICE, PLAN, PLAN_ENTITIES
from connector.mappings.pairs import Pair
from connector.models import ALWAYS, Mapping


@dataclass(frozen=True)
class PlanChoice:
    """What an item price means, for whom and when; `plan_id` is None where it is not metered, `valid_until` is exclusive."""

    plan_id: str | None
    customer_id: str
    valid_from: datetime
    valid_until: datetime | None

    def holds_at(self, customer_id: str, moment: datetime) -> bool:
        """Whether this is said of the customer's items at that moment."""
        return (
            self.customer_id in (customer_id, ANY)
            and self.valid_from <= moment
            and (self.valid_until is None or moment < self.valid_until)
        )


Piece = tuple[str | None, datetime, datetime | None]


@dataclass(frozen=True)
class PlanChoices:
    """What is said of each plan and addon item price.

    At each moment what is said of one customer goes before what is said of everybody, and then what holds since later.
    """

    of_price: Table[str, Sequence[PlanChoice]]

    @classmethod
    def always(cls, plans: Table[str, str | None]) -> "PlanChoices":
        """One plan for each item price, or None where it is not metered, for everybody and at all times."""
        return cls({price: (PlanChoice(plan_id, ANY, ALWAYS, None),) for price, plan_id in plans.items()})

    def pieces(self, item_price_id: str, customer_id: str, start: datetime, end: datetime | None) -> list[Piece]:
        """The time from start to end as plan (None: not metered), start and end; what nothing is said of is left out.

        Ends are exclusive, None is open; pieces of one plan that touch are one.
        """
        found: list[Piece] = []
        for choice, since, until in self.spans(item_price_id, customer_id, start, end):
            if choice is None:
                continue
            goes_on = found and found[-1][0] == choice.plan_id and found[-1][2] == since
            begun = found.pop()[1] if goes_on else since
            found.append((choice.plan_id, begun, until))
        return found

    def gaps(self, item_price_id: str, customer_id: str, start: datetime, end: datetime | None) -> bool:
        """Whether nothing is said of the item price at some moment from start to end, which is exclusive."""
        return any(choice is None for choice, _, _ in self.spans(item_price_id, customer_id, start, end))

    def spans(
        self, item_price_id: str, customer_id: str, start: datetime, end: datetime | None
    ) -> list[tuple[PlanChoice | None, datetime, datetime | None]]:
        """The time from start to end, cut wherever some choice begins or ends, each part with the choice that counts."""
        choices = self.of_price.get(item_price_id, ())
        moments = {moment for one in choices for moment in (one.valid_from, one.valid_until) if moment is not None}
        cuts = sorted(moment for moment in moments if start < moment and (end is None or moment < end))
        edges = [start, *cuts, end] if end is None or start < end else []
        return [
            (_counting([one for one in choices if one.holds_at(customer_id, since)]), since, until)
            for since, until in pairwise(edges)
            if since is not None
        ]


def _counting(holding: Sequence[PlanChoice]) -> PlanChoice | None:
    return max(holding, key=lambda one: (one.customer_id != ANY, one.valid_from), default=None)


def plan_choices(db: Session, connection: str) -> PlanChoices:
    """What is said of each plan and addon item price of the connection."""
    return choices_of(db, connection, plan_pairs(db, connection))


def plan_pairs(db: Session, connection: str) -> list[Pair]:
    rows = db.execute(
        select(*(getattr(Mapping, field.name) for field in fields(Pair)))
        .where(
            Mapping.connection == connection,
            Mapping.external_table == ITEM_PRICE,
            Mapping.m3ter_entity.in_(PLAN_ENTITIES),
        )
        .order_by(Mapping.id)
    )
    return [Pair(*row) for row in rows]


def choices_of(db: Session, connection: str, pairs: Iterable[Pair]) -> PlanChoices:
    """What these say together; of two about the same price, customer and first day the last one counts."""
    said = [pair for pair in pairs if pair.m3ter_entity in PLAN_ENTITIES]
    live = transfers.live_ids(db, connection, "customer", {pair.customer_id for pair in said} - {ANY}) | {ANY: ANY}
    of_price: dict[str, dict[tuple[str, datetime], PlanChoice]] = {}
    for pair in said:
        customer_id = live[pair.customer_id]
        plan_id = pair.m3ter_id if pair.m3ter_entity == PLAN else None
        of_price.setdefault(pair.external_id, {})[customer_id, pair.valid_from] = PlanChoice(
            plan_id, customer_id, pair.valid_from, pair.valid_until
        )
    return PlanChoices({price: tuple(found.values()) for price, found in of_price.items()})


def plan_wish(item_price_id: str) -> str:
    """What a sync waits for when nobody has said which m3ter plan an item price means."""
    return f"mapping:{ITEM_PRICE}:{item_price_id}"
