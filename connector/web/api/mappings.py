"""Mappings: which m3ter entity stands for which Chargebee record."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from connector import actions
from connector.mappings import files, kinds, pull, table
from connector.mappings.pairs import Pair, refuse
from connector.models import ALWAYS, Mapping
from connector.remapping import proposals, rows, saving, unmapped
from connector.remapping.proposals import Change
from connector.web.api.here import Here
from connector.web.api.problems import Refusal
from connector.web.api.shapes import (
    PLAIN,
    Body,
    Currency,
    Fault,
    Moment,
    OneOf,
    Page,
    Paged,
    Query,
    Reason,
    RowId,
    Shape,
    digits,
    page,
)

MOST = 100
# What one call compares at most, as a page does; `connector mappings pull` takes its time.
MOST_PULLED, MOST_NEW = 2000, 100
Entity = Annotated[str, OneOf(kinds.TABLES)]
Table = Annotated[str, OneOf(sorted({one for tables in kinds.TABLES.values() for one in tables}))]
# A text of several lines.
TABLE = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]+$"
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


class PullBody(Body):
    """How far to go."""

    dry_run: bool = Field(False, description="Compare only.")


class PulledShape(Shape):
    """What m3ter's External Mappings show, and what was taken of it, or with `dry_run` would be."""

    inserted: list[str] = Field(description="Not here before.")
    corrected: list[str] = Field(description="Here before, now noted with m3ter's id.")
    there: int = Field(description="How many are the same already.")
    doubles: list[str] = Field(
        description="m3ter's ids of what it shows twice; `connector mappings pull` can delete them."
    )
    contradictions: list[list[str]] = Field(description="Each with its sides, of which none was taken.")
    refused: list[str]
    left_alone: int = Field(description="How many are of kinds that are not ours.")
    woken: list[int] = Field(description="The syncs that go on.")
    dry_run: bool


class UnmappedQuery(Query):
    """Of what."""

    sync: Annotated[RowId, BeforeValidator(digits)] | None = Field(None, description="Only what this sync waits for.")


class OpenPriceShape(Shape):
    """A plan or addon item price of which nothing is said, and what waits for it."""

    item_price_id: str
    name: str | None
    currency: str | None
    syncs: list[int]
    subscriptions: list[str]


class OpenLines(Shape):
    """Bill lines that one mapping would let go on: `amount` is theirs, `bills_total` that of the bills they are on."""

    m3ter_entity: str
    m3ter_id: str
    currency: str
    descriptions: list[str]
    bills: list[str]
    syncs: list[int]
    amount: str
    bills_total: str


class OpenMetric(Shape):
    """A metric of m3ter's that no bill line has had yet, and of which nothing is said in this currency."""

    m3ter_entity: str
    m3ter_id: str
    currency: str
    name: str | None


class HeldBillsShape(Shape):
    """The bills that wait for a mapping; `not_read` of them are in no total."""

    waiting: int
    not_read: int
    totals: dict[str, str] = Field(description="What they come to, by currency.")
    unread: dict[str, str] = Field(description="Why m3ter gave no sense of a bill, by its id.")


class UnmappedShape(Shape):
    """What nobody has said anything of yet, where something waits first."""

    item_prices: list[OpenPriceShape]
    lines: list[OpenLines]
    metrics: list[OpenMetric]
    subscriptions_waiting: int
    bills: HeldBillsShape
    away: dict[str, str] = Field(description="Why a provider could not be asked: what it has is missing here.")
    cut: list[str] = Field(description="The lists that are longer than what was read.")


class CsvShape(Shape):
    """The mappings that people set up, as CSV with a header line."""

    csv: str


class ImportBody(Body):
    """The mappings of a CSV, all or none."""

    csv: str = Field(min_length=1, max_length=100_000, pattern=TABLE, examples=[",".join(files.COLUMNS) + "\n"])
    rewrite: bool = Field(False, description="Also change, from the beginning, the plan of what has been metered.")
    remove_rest: bool = Field(False, description="Also take away what people mapped and the CSV does not have.")
    reason: Reason | None = Field(None, description="Kept in the audit log; needed to take the rest away.")
    dry_run: bool = Field(False, description="Only say what it would come to.")


class ChangeShape(Shape):
    """One mapping that says something else: `before` is null where it is new, `after` where it goes."""

    what: Literal["add", "change", "remove"]
    line: int | None = Field(description="Where it stands in the CSV.")
    before: str | None
    after: str | None
    notes: list[str]


class PlanMoveShape(Shape):
    """A standing account plan that gets other plans; none where `after` is empty."""

    code: str
    subscription: str
    before: str
    after: list[str]


class Impact(Shape):
    """What a change of mappings comes to."""

    changes: list[ChangeShape]
    unchanged: int
    against: list[str] = Field(description="What speaks against it, which `rewrite` overrules.")
    goes_on: dict[str, int] = Field(description="How many syncs that stand still are tried again, by kind.")
    looked_at: list[str] = Field(description="Subscriptions that are compared again with what m3ter has.")
    account_plans: list[PlanMoveShape]
    bills_freed: list[str] = Field(description="Waiting bills of which every line is mapped then.")
    money_freed: dict[str, str] = Field(description="What those come to, by currency.")
    bills_not_read: int = Field(description="Waiting bills beyond those whose lines were looked at.")


class Imported(Impact):
    """What was done, or with `dry_run` would be."""

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


def open_ones(here: Here, connection: str, query: UnmappedQuery) -> UnmappedShape:
    """What is not mapped yet, and the money that waits for it."""
    here.connection(connection)
    found = unmapped.look(here.services, connection, sync_id=query.sync)
    return UnmappedShape.model_validate(unmapped.as_json(found))


def export(here: Here, connection: str) -> CsvShape:
    """People's mappings as `take_in` reads them."""
    here.connection(connection)
    with here.services.reading() as db:
        return CsvShape(csv=files.to_csv(table.peoples(db, connection)))


def take_in(here: Here, connection: str, body: ImportBody) -> Imported:
    """Make people's mappings what the CSV says, or say what that would come to; a refusal names every line at fault."""
    here.connection(connection)
    if body.remove_rest and not (body.reason or body.dry_run):
        fault = Fault(where="body.reason", text="Say why the rest goes: it is kept in the audit log.")
        raise Refusal(422, "Taking the rest away needs a reason.", faults=[fault])
    lines = files.read_lines(body.csv)
    if len(lines) > rows.MOST_ROWS:
        raise Refusal(422, f"More than {rows.MOST_ROWS} rows at once are for `connector mappings import`.")
    _refuse([_fault(one.number, column, text) for one in lines for column, text in one.faults])
    wishes = rows.of_file(lines)
    if body.remove_rest:
        with here.services.reading() as db:
            wishes += rows.rest(db, connection, wishes)
    found = proposals.propose(here.services, connection, wishes)
    _refuse([_fault(one.line, column, _said(one, text)) for one in found.faulty for column, text in one.faults])
    woken: list[int] = []
    if not body.dry_run:
        refuse([] if body.rewrite else found.against)
        woken = saving.save(here.services, found, who=here.who, reason=body.reason)
        actions.queue(here.services, woken[: actions.QUEUED_AT_ONCE])
    return Imported.model_validate(proposals.as_json(found) | {"dry_run": body.dry_run, "woken": woken})


def _said(change: Change, text: str) -> str:
    return f"{change.pair}: {text}"


def _fault(line: int | None, column: str | None, text: str) -> Fault:
    return Fault(where=".".join(["body.csv", *(str(one) for one in (line, column) if one is not None)]), text=text)


def _refuse(faults: list[Fault]) -> None:
    if faults:
        raise Refusal(422, f"{len(faults)} thing(s) are wrong with the CSV; nothing was changed.", faults=faults[:200])


def take_back(here: Here, connection: str, body: PullBody) -> PulledShape:
    """Insert what m3ter shows and is not here, and note under which id it shows the rest; what contradicts is not taken."""
    here.connection(connection)
    found = pull.pull(
        here.services, connection, made_by=here.who, dry_run=body.dry_run, most=MOST_PULLED, most_new=MOST_NEW
    )
    if not body.dry_run:
        actions.note_mapped(
            here.services, connection, ["m3ter's External Mappings"], "mappings pull", found.woken, here.who,
            inserted=len(found.inserted), corrected=len(found.corrected), there=found.there,
            contradictions=len(found.contradictions), refused=len(found.refused),
        )  # fmt: skip
    return PulledShape(
        inserted=[str(one) for one in found.inserted], corrected=[str(one) for one in found.corrected],
        there=found.there, doubles=[one.id for one in found.doubles],
        contradictions=[list(sides) for sides in found.contradictions], refused=list(found.refused),
        left_alone=found.left_alone, woken=list(found.woken), dry_run=body.dry_run,
    )  # fmt: skip
