"""Mappings: which m3ter entity stands for which Chargebee record."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

from connector import actions
from connector.mappings import kinds, table
from connector.mappings.pairs import Pair
from connector.models import ALWAYS, Mapping
from connector.web.api.here import Here
from connector.web.api.shapes import PLAIN, Body, Currency, Moment, OneOf, Page, Paged, Reason, Shape, page

MOST = 100
Entity = Annotated[str, OneOf(kinds.TABLES)]
Table = Annotated[str, OneOf(sorted({one for tables in kinds.TABLES.values() for one in tables}))]
MappedId = Annotated[str, Field(min_length=1, max_length=200, pattern=PLAIN)]


class MappingShape(Shape):
    """One mapping; those that `connector` has made are its own."""

    id: int
    m3ter_entity: str
    m3ter_id: str
    external_table: str
    external_id: str
    currency: str | None
    customer_id: str = Field(description="`*`: of everybody.")
    valid_from: datetime | None = Field(description="Null: always.")
    valid_until: datetime | None
    made_by: str
    created_at: datetime


class MappingPage(Page):
    """Mappings, the newest first."""

    mappings: list[MappingShape]


class MappingsQuery(Paged):
    """Which page."""


class PairBody(Body):
    """One mapping as a person writes it; `m3ter_id` is `*` for NotMetered and Default."""

    m3ter_entity: Entity
    m3ter_id: MappedId
    external_table: Table
    external_id: MappedId
    currency: Currency | None = None
    customer_id: MappedId = kinds.ANY
    valid_from: Moment | None = None
    valid_until: Moment | None = None

    def pair(self) -> Pair:
        """The same for those who check and keep it."""
        said = self.model_dump()
        return Pair(**said | {"valid_from": self.valid_from or ALWAYS})


class SetBody(Body):
    """The mappings to set up, all or none."""

    mappings: list[PairBody] = Field(min_length=1, max_length=MOST)
    rewrite: bool = Field(False, description="Also change, from the beginning, the plan of what has been metered.")
    dry_run: bool = Field(False, description="Check only.")


class RemoveBody(Body):
    """The mapping to take away."""

    mapping: PairBody
    reason: Reason
    rewrite: bool = Field(False, description="Also where plans of what has been metered stand under it.")
    dry_run: bool = Field(False, description="Check only.")


class Applied(Shape):
    """What was done, or with `dry_run` would be."""

    mappings: list[str]
    dry_run: bool
    woken: list[int] = Field(description="The syncs that go on.")


def index(here: Here, connection: str, query: MappingsQuery) -> MappingPage:
    """A page of mappings."""
    here.connection(connection)
    with here.services.reading() as db:
        found = table.newest(db, connection, before=query.before, limit=query.limit + 1)
    rows, older = page(list(found), query.limit)
    return MappingPage(mappings=[_shape(one) for one in rows], next=older)


def _shape(row: Mapping) -> MappingShape:
    names = [name for name in MappingShape.model_fields if name != "valid_from"]
    first = None if row.valid_from == ALWAYS else row.valid_from.astimezone(UTC)
    return MappingShape.model_validate({name: getattr(row, name) for name in names} | {"valid_from": first})


def put(here: Here, connection: str, body: SetBody) -> Applied:
    """Set up these mappings, checked against both live catalogues; what waited for them goes on."""
    here.connection(connection)
    pairs = [one.pair() for one in body.mappings]
    woken = actions.map_pairs(
        here.services, connection, pairs, here.who, action="mappings add", rewrite=body.rewrite, dry_run=body.dry_run
    )
    return Applied(mappings=[str(pair) for pair in pairs], dry_run=body.dry_run, woken=woken)


def remove(here: Here, connection: str, body: RemoveBody) -> Applied:
    """Take away a mapping that a person or a token made."""
    here.connection(connection)
    pair = body.mapping.pair()
    woken = actions.unmap(
        here.services, connection, pair, body.reason, here.who, rewrite=body.rewrite, dry_run=body.dry_run
    )
    return Applied(mappings=[str(pair)], dry_run=body.dry_run, woken=woken)
