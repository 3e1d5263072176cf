"""One mapping as a person writes it: what it says, what it is about, and whether it could be right at all."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from operator import attrgetter
from typing import Any

from sqlalchemy import Row

from connector.errors import ConnectorError
from connector.mappings.kinds import (
    AD_HOC,
    ANY,
    CHARGE_ENTITIES,
    LINE_ITEM_TYPES,
    NOT_METERED,
    PLAN,
    PLAN_ENTITIES,
    SUBSCRIPTION,
    TABLES,
)
from connector.models import ALWAYS, Mapping
from connector.moments import written_moment


class BadMapping(ConnectorError):
    """A mapping that cannot be right; the text says what to change, and `column` in which cell of a file it stands."""

    def __init__(self, text: str, column: str | None = None) -> None:
        super().__init__(text)
        self.column = column


@dataclass(frozen=True)
class Pair:
    """One mapping as a person writes it; `m3ter_id` is `*` where the entity needs none.

    What a plan or addon item price means can be said of one customer's subscriptions (`*`: everybody's), and of the time from
    `valid_from` to `valid_until`, which is exclusive and None where it is open.
    """

    m3ter_entity: str
    m3ter_id: str
    external_table: str
    external_id: str
    currency: str | None = None
    customer_id: str = ANY
    valid_from: datetime = ALWAYS
    valid_until: datetime | None = None

    @classmethod
    def of(cls, row: Mapping | Row[Any]) -> "Pair":
        """What a row of the table says, or as much of one as has the columns of these names."""
        return cls(*_SAID(row))

    def __str__(self) -> str:
        return (
            f"{self.m3ter_entity} {self.m3ter_id} → {self.external_table} {self.external_id}"
            + (f" for {self.customer_id}" if self.customer_id != ANY else "")
            + (f" from {written_moment(self.valid_from)}" if self.valid_from != ALWAYS else "")
            + (f" until {written_moment(self.valid_until)}" if self.valid_until else "")
        )


# What a row says, its columns named as the fields are.
SAID = tuple(field.name for field in fields(Pair))
_SAID = attrgetter(*SAID)


def topic(pair: Pair) -> tuple[Any, ...]:
    """What a mapping says something about: another that says the same of it is a repeat, any other a correction.

    `table.on_topic` is the same in SQL.
    """
    if pair.m3ter_entity in PLAN_ENTITIES:
        return (PLAN, pair.external_table, pair.external_id, pair.customer_id, pair.valid_from)
    if pair.m3ter_entity in CHARGE_ENTITIES:
        return (pair.m3ter_entity, pair.m3ter_id, pair.currency)
    if pair.external_table == SUBSCRIPTION:
        return (pair.m3ter_entity, pair.external_table, pair.m3ter_id)
    return (pair.m3ter_entity, pair.external_table, pair.external_id)


def well_formed(pair: Pair) -> Pair:
    """The pair if it could be right; raises BadMapping."""
    if pair.m3ter_entity not in TABLES:
        raise BadMapping(f"{pair.m3ter_entity!r} is not one of {', '.join(TABLES)}", "m3ter_entity")
    if pair.external_table not in TABLES[pair.m3ter_entity]:
        tables = " or ".join(TABLES[pair.m3ter_entity])
        raise BadMapping(f"{pair.m3ter_entity} is mapped to a Chargebee {tables}", "external_table")
    if (pair.external_table == AD_HOC) != (pair.external_id == ANY):
        raise BadMapping(f"{AD_HOC} takes `*` as its Chargebee id, and nothing else does", "external_id")
    if not pair.external_id.strip() or not pair.m3ter_id.strip():
        raise BadMapping("both ids are needed (m3ter id `*` for NotMetered and Default)")
    if pair.m3ter_entity in (NOT_METERED, "Default") and pair.m3ter_id != ANY:
        raise BadMapping(f"{pair.m3ter_entity} takes `*` as its m3ter id", "m3ter_id")
    if pair.m3ter_entity == "LineItemType" and pair.m3ter_id not in LINE_ITEM_TYPES:
        types = ", ".join(LINE_ITEM_TYPES)
        raise BadMapping(f"{pair.m3ter_id!r} is not one of m3ter's line item types: {types}", "m3ter_id")
    if pair.m3ter_entity in CHARGE_ENTITIES and not pair.currency:
        raise BadMapping("the currency of the charge item price is needed", "currency")
    return _well_dated(pair)


def _well_dated(pair: Pair) -> Pair:
    limited = (pair.customer_id, pair.valid_from, pair.valid_until) != (ANY, ALWAYS, None)
    if limited and pair.m3ter_entity not in PLAN_ENTITIES:
        raise BadMapping(
            f"only {' and '.join(PLAN_ENTITIES)} can be limited to a customer or to a time", "m3ter_entity"
        )
    if not pair.customer_id.strip():
        raise BadMapping("the customer's id is empty; `*` stands for everybody", "customer_id")
    if pair.valid_from < ALWAYS:
        raise BadMapping(f"the first day cannot be before {written_moment(ALWAYS)}", "valid_from")
    if pair.valid_until is not None and pair.valid_until <= pair.valid_from:
        raise BadMapping("it must end after it begins", "valid_until")
    return pair


def said_twice(pairs: Iterable[Pair]) -> list[str]:
    """A sentence for each two that say different things about the same."""
    said: dict[tuple[Any, ...], Pair] = {}
    return [
        f"{pair}: another row says {first}" for pair in pairs if (first := said.setdefault(topic(pair), pair)) != pair
    ]


def refuse(faults: Sequence[str]) -> None:
    """Raises BadMapping with every one of these faults, where there are any."""
    if faults:
        raise BadMapping("\n".join(faults))
