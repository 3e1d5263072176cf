"""Which m3ter entity stands for which Chargebee record. The local table is trusted; m3ter's External Mappings show it."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from connector import syncs
from connector.clients.chargebee import ItemPrice
from connector.clients.http import Unreadable
from connector.database import insert
from connector.errors import ConnectorError, NotFound, Rejected
from connector.models import Mapping
from connector.services import Connected, Services

SYSTEM = "Chargebee"
ITEM_PRICE = "ItemPrice"
PLAN = "Plan"
NOT_METERED = "NotMetered"
ANY = "*"
# What may stand for a bill line, the most telling first (DESIGN §3).
CHARGE_ENTITIES = ("Pricing", "Aggregation", "CompoundAggregation", "Product", "LineItemType", "Default")
# The rows that people make; all others are the connector's own.
SET_UP_ENTITIES = (PLAN, NOT_METERED, *CHARGE_ENTITIES)
# Where m3ter keeps what a mapping names.
COLLECTIONS = {
    "Account": "accounts",
    "Plan": "plans",
    "Pricing": "pricings",
    "Aggregation": "aggregations",
    "CompoundAggregation": "compoundaggregations",
    "Product": "products",
}
LINE_ITEM_TYPES = (
    "STANDING_CHARGE", "USAGE", "USAGE_CREDIT", "COUNTER_RUNNING_TOTAL_CHARGE", "COUNTER_ADJUSTMENT_DEBIT",
    "COUNTER_ADJUSTMENT_CREDIT", "MINIMUM_SPEND", "MINIMUM_SPEND_REFUND", "CREDIT_DEDUCTION", "MANUAL_ADJUSTMENT",
    "CREDIT_MEMO", "DEBIT_MEMO", "COMMITMENT_CONSUMED", "COMMITMENT_FEE", "OVERAGE_SURCHARGE", "OVERAGE_USAGE",
    "BALANCE_CONSUMED", "BALANCE_FEE", "AD_HOC",
)  # fmt: skip
CSV_COLUMNS = ("m3ter_entity", "m3ter_id", "external_table", "external_id", "currency")


class BadMapping(ConnectorError):
    """A mapping that cannot be right; the text says what to change."""


@dataclass(frozen=True)
class Pair:
    """One mapping as a person writes it; `m3ter_id` is `*` where the entity needs none."""

    m3ter_entity: str
    m3ter_id: str
    external_table: str
    external_id: str
    currency: str | None = None


def plan_wish(item_price_id: str) -> str:
    """What a sync waits for when nobody has said which m3ter plan an item price means."""
    return f"mapping:{ITEM_PRICE}:{item_price_id}"


CHARGE_WISH = "mapping:charges"


def plans(db: Session, connection: str) -> dict[str, str | None]:
    """For each mapped plan or addon item price its m3ter plan's id, or None where it is not metered."""
    rows = db.execute(
        select(Mapping.external_id, Mapping.m3ter_entity, Mapping.m3ter_id).where(
            Mapping.connection == connection,
            Mapping.external_table == ITEM_PRICE,
            Mapping.m3ter_entity.in_((PLAN, NOT_METERED)),
        )
    )
    return {row.external_id: row.m3ter_id if row.m3ter_entity == PLAN else None for row in rows}


def charge_prices(db: Session, connection: str) -> dict[tuple[str, str, str], str]:
    """The charge item price for each (m3ter entity, m3ter id, currency)."""
    rows = db.execute(
        select(Mapping.m3ter_entity, Mapping.m3ter_id, Mapping.currency, Mapping.external_id).where(
            Mapping.connection == connection,
            Mapping.external_table == ITEM_PRICE,
            Mapping.m3ter_entity.in_(CHARGE_ENTITIES),
        )
    )
    return {(row.m3ter_entity, row.m3ter_id, row.currency): row.external_id for row in rows}


def external_id(db: Session, connection: str, m3ter_entity: str, m3ter_id: str, table: str) -> str | None:
    """The Chargebee id that this m3ter entity stands for."""
    return db.scalar(
        select(Mapping.external_id)
        .where(
            Mapping.connection == connection,
            Mapping.m3ter_entity == m3ter_entity,
            Mapping.m3ter_id == m3ter_id,
            Mapping.external_table == table,
        )
        .order_by(Mapping.id)
        .limit(1)
    )


def listed(db: Session, connection: str) -> Sequence[Mapping]:
    """Every mapping of the connection, people's rows first."""
    rows = db.scalars(select(Mapping).where(Mapping.connection == connection).order_by(Mapping.id)).all()
    return sorted(rows, key=lambda row: row.m3ter_entity not in SET_UP_ENTITIES)


def record(services: Services, connection: str, pair: Pair) -> None:
    """Keep a mapping of the connector's own here and in m3ter, once in each however often it is called."""
    now = services.now()
    with services.transaction() as db:
        db.execute(_insert(db, connection, pair, made_by="connector", now=now).on_conflict_do_nothing())
        row = db.scalars(_find(connection, pair)).one()
        tried_before, written = row.sent_at is not None, row.m3ter_mapping_id is not None
        row.sent_at = row.sent_at or now
    if written:
        return
    m3ter = services.connection(connection).m3ter
    # m3ter has no uniqueness of its own (m3ter.md §6): after a try without an answer, look before repeating.
    found = (
        [one for one in m3ter.external_mappings_of(pair.m3ter_entity, pair.m3ter_id) if _same(one, pair)]
        if tried_before
        else []
    )
    made = found[0] if found else m3ter.create_external_mapping(
        m3ter_entity=pair.m3ter_entity, m3ter_id=pair.m3ter_id,
        external_system=SYSTEM, external_table=pair.external_table, external_id=pair.external_id,
    )  # fmt: skip
    with services.transaction() as db:
        db.execute(update(Mapping).where(Mapping.id == row.id).values(m3ter_mapping_id=made.id))


def _same(found: Any, pair: Pair) -> bool:
    return (found.external_system, found.external_table, found.external_id) == (
        SYSTEM,
        pair.external_table,
        pair.external_id,
    )


def checked(services: Services, connection: str, pairs: Iterable[Pair], *, check: bool = True) -> list[Pair]:
    """The pairs with what the live catalogues add to them; raises BadMapping with every fault at once."""
    connected = services.connection(connection)
    right: list[Pair] = []
    faults: list[str] = []
    for pair in pairs:
        try:
            right.append(_compared(connected, pair) if check else _well_formed(pair))
        except BadMapping as fault:
            faults.append(f"{pair.m3ter_entity} {pair.m3ter_id} → {pair.external_id}: {fault}")
    if faults:
        raise BadMapping("\n".join(faults))
    return right


def add(services: Services, connection: str, pairs: Iterable[Pair], *, made_by: str, check: bool = True) -> list[int]:
    """Set up these mappings, all or none, and let what waited for them go on; answers the syncs that were woken.

    Each is checked first against both live catalogues unless `check` is False. An item price that is mapped already gets
    the new mapping instead; raises BadMapping.
    """
    right = checked(services, connection, pairs, check=check)
    now = services.now()
    with services.transaction() as db:
        for pair in right:
            _put(db, connection, pair, made_by, now)
        keys = {f"mapping:{pair.external_table}:{pair.external_id}" for pair in right} | {CHARGE_WISH}
        return syncs.wake(db, connection, keys, now)


def _put(db: Session, connection: str, pair: Pair, made_by: str, now: datetime) -> None:
    """Insert the row, or correct the one that says something else about the same thing."""
    same_thing = [Mapping.connection == connection, Mapping.external_table == pair.external_table]
    if pair.m3ter_entity in (PLAN, NOT_METERED):
        same_thing += [Mapping.external_id == pair.external_id, Mapping.m3ter_entity.in_((PLAN, NOT_METERED))]
    elif pair.m3ter_entity in CHARGE_ENTITIES:
        same_thing += [
            Mapping.m3ter_entity == pair.m3ter_entity, Mapping.m3ter_id == pair.m3ter_id, Mapping.currency == pair.currency,
        ]  # fmt: skip
    else:
        same_thing += [Mapping.m3ter_entity == pair.m3ter_entity, Mapping.external_id == pair.external_id]
    row = db.scalars(select(Mapping).where(*same_thing)).first()
    if row is None:
        db.execute(_insert(db, connection, pair, made_by=made_by, now=now))
    else:
        row.m3ter_entity, row.m3ter_id, row.external_id = pair.m3ter_entity, pair.m3ter_id, pair.external_id
        row.currency, row.made_by = pair.currency, made_by


def _insert(db: Session, connection: str, pair: Pair, *, made_by: str, now: datetime) -> Any:
    return insert(db, Mapping).values(
        connection=connection, m3ter_entity=pair.m3ter_entity, m3ter_id=pair.m3ter_id, external_system=SYSTEM,
        external_table=pair.external_table, external_id=pair.external_id, currency=pair.currency,
        made_by=made_by, created_at=now,
    )  # fmt: skip


def _find(connection: str, pair: Pair) -> Any:
    return select(Mapping).where(
        Mapping.connection == connection,
        Mapping.m3ter_entity == pair.m3ter_entity,
        Mapping.m3ter_id == pair.m3ter_id,
        Mapping.external_table == pair.external_table,
        Mapping.external_id == pair.external_id,
    )


def _well_formed(pair: Pair) -> Pair:
    """The pair if it could be right; raises BadMapping."""
    allowed = {**dict.fromkeys(SET_UP_ENTITIES, ITEM_PRICE), "Account": "Customer"}
    if pair.m3ter_entity not in allowed:
        raise BadMapping(f"{pair.m3ter_entity!r} is not one of {', '.join(allowed)}")
    if pair.external_table != allowed[pair.m3ter_entity]:
        raise BadMapping(f"{pair.m3ter_entity} is mapped to a Chargebee {allowed[pair.m3ter_entity]}")
    if not pair.external_id.strip() or not pair.m3ter_id.strip():
        raise BadMapping("both ids are needed (m3ter id `*` for NotMetered and Default)")
    if pair.m3ter_entity in (NOT_METERED, "Default") and pair.m3ter_id != ANY:
        raise BadMapping(f"{pair.m3ter_entity} takes `*` as its m3ter id")
    if pair.m3ter_entity == "LineItemType" and pair.m3ter_id not in LINE_ITEM_TYPES:
        raise BadMapping(f"{pair.m3ter_id!r} is not one of m3ter's line item types: {', '.join(LINE_ITEM_TYPES)}")
    if pair.m3ter_entity in CHARGE_ENTITIES and not pair.currency:
        raise BadMapping("the currency of the charge item price is needed")
    return pair


def _compared(connected: Connected, pair: Pair) -> Pair:
    """The pair with what the catalogues say of it; raises BadMapping when they contradict it."""
    if pair.m3ter_entity == "Account":
        _well_formed(pair)
        _look_up(lambda: connected.chargebee.retrieve_customer(pair.external_id), "Chargebee has no customer")
    else:
        price = _look_up(
            lambda: connected.chargebee.retrieve_item_price(pair.external_id), "Chargebee has no item price"
        )
        pair = _well_formed(_fitting(pair, price))
    if collection := COLLECTIONS.get(pair.m3ter_entity):
        _look_up(lambda: connected.m3ter.must_exist(collection, pair.m3ter_id), f"m3ter has no {pair.m3ter_entity}")
    return pair


def _fitting(pair: Pair, price: ItemPrice) -> Pair:
    """The pair with the item price's currency; raises BadMapping when the price cannot be what it is mapped to."""
    if pair.m3ter_entity not in CHARGE_ENTITIES:
        if price.item_type == "charge":
            raise BadMapping("the item price is of a charge; a plan or addon is metered by a m3ter plan")
        return pair
    if pair.currency and price.currency_code and pair.currency != price.currency_code:
        raise BadMapping(f"the item price is in {price.currency_code}, not {pair.currency}")
    if price.item_type != "charge":
        raise BadMapping(f"the item price is of a {price.item_type}; a bill line needs a charge item's price")
    if price.pricing_model != "flat_fee":
        raise BadMapping(f"the item price is {price.pricing_model}; amounts of bill lines need a flat_fee price")
    return replace(pair, currency=pair.currency or price.currency_code)


def _look_up(call: Any, absent: str) -> Any:
    try:
        return call()
    except NotFound as error:
        raise BadMapping(f"{absent} of this id") from error
    except (Rejected, Unreadable) as error:
        raise BadMapping(str(error)) from error


def to_csv(rows: Iterable[Mapping]) -> str:
    """People's rows as CSV with the columns of `config/mappings.example.csv`; a cell never starts a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for row in rows:
        if row.m3ter_entity in SET_UP_ENTITIES or row.made_by != "connector":
            cells = [getattr(row, column) or "" for column in CSV_COLUMNS]
            writer.writerow([f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "'") else cell for cell in cells])
    return out.getvalue()


def from_csv(text: str) -> list[Pair]:
    """The pairs in a CSV with a header line; raises BadMapping naming the line that is wrong."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    try:
        return _pairs(reader)
    except csv.Error as error:
        raise BadMapping(f"line {reader.line_num}: {error}") from error


def _pairs(reader: "csv.DictReader[str]") -> list[Pair]:
    missing = set(CSV_COLUMNS[:4]) - set(reader.fieldnames or ())
    if missing:
        raise BadMapping(
            f"the first line must name the columns {', '.join(CSV_COLUMNS)}; missing: {', '.join(sorted(missing))}"
        )
    pairs = []
    for row in reader:
        if None in row:
            raise BadMapping(f"line {reader.line_num}: more cells than the first line has")
        cells = {name: (row.get(name) or "").strip().removeprefix("'") for name in CSV_COLUMNS}
        if not all(cells[name] for name in CSV_COLUMNS[:4]):
            raise BadMapping(f"line {reader.line_num}: a cell is empty; all but currency are needed")
        entity, m3ter_id, table, external_id, currency = cells.values()
        pairs.append(Pair(entity, m3ter_id, table, external_id, currency or None))
    return pairs
