"""What bill lines need of Chargebee's catalogue and lack: charge items with their prices, and the mappings to those.

`missing` works it out, `apply` makes it so. Every id is derived from what it is for, so whatever a run that died has
made is recognised by the next, and what exists is never changed.
"""

import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from connector import audit
from connector.clients.chargebee_objects import Item, ItemPrice
from connector.clients.m3ter_objects import Aggregation
from connector.errors import ConnectorError, NotFound, Rejected
from connector.mappings import kinds, set_up, table
from connector.mappings.charges import charge_prices
from connector.mappings.kinds import ITEM_PRICE
from connector.mappings.pairs import Pair
from connector.services import Connected, Services

T = TypeVar("T")
PREFIX = "m3ter-"
MAX_ITEM_ID = 50
MAX_NAME = 100
# What says whose an id is, beside the code; an aggregation's own code stands alone.
KINDS = {"Aggregation": "", "CompoundAggregation": "compound-", "LineItemType": "line-"}
# Lines of these name the aggregation that they are for.
OF_AGGREGATIONS = ("USAGE", "USAGE_CREDIT", "OVERAGE_USAGE")
LINE_ITEM_TYPES = tuple(one for one in kinds.LINE_ITEM_TYPES if one not in OF_AGGREGATIONS)
# What counts for a line only where its aggregation is not mapped (DESIGN §3).
WIDER = ("Product", "LineItemType", "Default")
ACTIVE = "active"
# Without a hyphen, which is what sets a hash apart, and without letters that differ only in their case.
_PLAIN = re.compile(r"[a-z0-9_]+")
_NOT_PLAIN = re.compile(r"[^a-z0-9_]+")


class CannotSetUp(ConnectorError):
    """The catalogues cannot be brought together as they are; the text says what to change."""


@dataclass(frozen=True)
class Metric:
    """What bill lines are told apart by: an aggregation, simple or compound, or a line item type."""

    entity: str
    id: str
    code: str | None
    name: str

    @property
    def item_id(self) -> str:
        """The id of its charge item: its code, or where Chargebee might not tell that from another's, with a hash."""
        kind = KINDS[self.entity]
        code = self.code or self.name
        plain = f"{PREFIX}{kind}{code}"
        if self.code and _PLAIN.fullmatch(code) and len(plain) <= MAX_ITEM_ID:
            return plain
        digest = hashlib.sha256(json.dumps([self.entity, self.code or self.id]).encode()).hexdigest()[:12]
        room = MAX_ITEM_ID - len(f"{PREFIX}{kind}-{digest}")
        readable = _NOT_PLAIN.sub("_", code.lower()).strip("_")[:room] or "code"
        return f"{PREFIX}{kind}{readable}-{digest}"


@dataclass(frozen=True)
class NewItem:
    """A charge item that is to be made."""

    id: str
    name: str


@dataclass(frozen=True)
class NewPrice:
    """A flat-fee price of nothing that is to be made."""

    id: str
    item_id: str
    name: str
    currency: str


@dataclass(frozen=True)
class Missing:
    """All that is to be made, in this order; nothing of it may be while there are `faults`."""

    items: tuple[NewItem, ...] = ()
    prices: tuple[NewPrice, ...] = ()
    pairs: tuple[Pair, ...] = ()
    faults: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The same for scripts."""
        return {
            "items": [asdict(one) for one in self.items],
            "prices": [asdict(one) for one in self.prices],
            "mappings": [
                {
                    "m3ter_entity": one.m3ter_entity, "m3ter_id": one.m3ter_id, "external_table": one.external_table,
                    "external_id": one.external_id, "currency": one.currency,
                }
                for one in self.pairs
            ],
            "faults": list(self.faults),
        }  # fmt: skip


def currencies(text: str) -> tuple[str, ...]:
    """The currencies in a list with commas, each once; raises CannotSetUp."""
    found = _words(text.upper())
    if not found or not all(re.fullmatch("[A-Z]{3}", one) for one in found):
        raise CannotSetUp(f"{text!r} should be codes of currencies like USD or USD,EUR")
    return found


def line_types(text: str) -> tuple[str, ...]:
    """The line item types in a list with commas, each once; raises CannotSetUp."""
    found = _words(text.upper())
    wrong = [one for one in found if one not in LINE_ITEM_TYPES]
    if wrong:
        raise CannotSetUp(
            f"{', '.join(wrong)}: not a line item type that has no aggregation; those are {', '.join(LINE_ITEM_TYPES)}"
        )
    return found


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for part in text.split(",") if (word := part.strip())))


def missing(
    metrics: Sequence[Metric],
    in_currencies: Sequence[str],
    mapped: Collection[tuple[str, str, str]],
    items: Mapping[str, Item],
    prices: Mapping[str, ItemPrice],
) -> Missing:
    """What each metric lacks in each of the currencies: a charge item, its price, and the mapping to that.

    `mapped` are the (entity, id, currency) that have a mapping; `items` and `prices` what Chargebee has, by id.
    """
    new_items: dict[str, NewItem] = {}
    new_prices: dict[str, NewPrice] = {}
    pairs: list[Pair] = []
    faults: list[str] = []
    for metric in metrics:
        open_in = [one for one in in_currencies if (metric.entity, metric.id, one) not in mapped]
        item_id, name = metric.item_id, (metric.name or metric.item_id)[:MAX_NAME]
        if open_in and item_id in items and (fault := unfit_item(items[item_id])):
            faults.append(fault)
            continue
        if open_in and item_id not in items:
            new_items[item_id] = NewItem(item_id, name)
        for currency in open_in:
            price = NewPrice(f"{item_id}-{currency}", item_id, name, currency)
            if price.id not in prices:
                new_prices[price.id] = price
            elif fault := unfit_price(prices[price.id], price):
                faults.append(fault)
                continue
            pairs.append(Pair(metric.entity, metric.id, ITEM_PRICE, price.id, currency))
    return Missing(tuple(new_items.values()), tuple(new_prices.values()), tuple(pairs), tuple(faults))


def unfit_item(found: Item) -> str | None:
    """Why an item of our id cannot be taken as it is."""
    if found.type != "charge":
        return f"Chargebee's item {found.id} is of type {found.type}, and a bill line needs a charge; {_BY_HAND}"
    if found.status != ACTIVE:
        return f"Chargebee's item {found.id} is {found.status}; make it active again, or {_BY_HAND}"
    return None


def unfit_price(found: ItemPrice, wanted: NewPrice) -> str | None:
    """Why an item price of our id cannot be taken as it is."""
    for what, is_, should_be in (
        ("a price of item", found.item_id, wanted.item_id),
        ("in", found.currency_code, wanted.currency),
        ("for a", found.item_type, "charge"),
        ("priced as", found.pricing_model, "flat_fee"),
    ):
        if is_ != should_be:
            return f"Chargebee's item price {found.id} is {what} {is_}, not {should_be}; {_BY_HAND}"
    if found.status != ACTIVE:
        return f"Chargebee's item price {found.id} is {found.status}; make it active again, or {_BY_HAND}"
    return None


_BY_HAND = "map what that id was to be for by hand with `connector mappings add`"


def look(
    services: Services, connection: str, *, in_currencies: Sequence[str], types: Sequence[str] = ()
) -> tuple[Missing, list[Pair]]:
    """What is missing now, and the wider mappings that counted so far for what is to get one of its own."""
    connected = services.connection(connection)
    metrics = [
        *_metrics("Aggregation", connected.m3ter.aggregations()),
        *_metrics("CompoundAggregation", connected.m3ter.compound_aggregations()),
        *(Metric("LineItemType", one, one.lower(), one.replace("_", " ").capitalize()) for one in types),
    ]
    items = {one.id: one for one in connected.chargebee.items(PREFIX)}
    prices = {one.id: one for one in connected.chargebee.item_prices(PREFIX)}
    with services.reading() as db:
        mapped = charge_prices(db, connection)
        people = [Pair.of(row) for row in table.peoples(db, connection) if row.m3ter_entity in WIDER]
    found = missing(metrics, in_currencies, mapped.keys(), items, prices)
    concerned = {pair.currency for pair in found.pairs}
    return found, [pair for pair in people if pair.currency in concerned]


def _metrics(entity: str, aggregations: Sequence[Aggregation]) -> list[Metric]:
    found = [Metric(entity, one.id, one.code, one.name) for one in aggregations]
    return sorted(found, key=lambda one: (one.code or one.name, one.id))


def check_family(services: Services, connection: str, item_family_id: str) -> None:
    """Raise CannotSetUp unless Chargebee has the item family that new items are to join."""
    try:
        services.connection(connection).chargebee.item_family_must_exist(item_family_id)
    except NotFound as error:
        raise CannotSetUp(f"Chargebee has no item family {item_family_id}") from error


def apply(services: Services, connection: str, found: Missing, *, item_family_id: str, who: str) -> list[int]:
    """Make what is missing; answers the syncs that waited for the mappings.

    Raises CannotSetUp, before anything is sent, for a plan with faults. A run that died is finished by the next.
    """
    if found.faults:
        raise CannotSetUp("\n".join(found.faults))
    connected = services.connection(connection)
    for item in found.items:
        _make_item(connected, item, item_family_id)
        _note(services, connection, who, f"item {item.id}")
    for price in found.prices:
        _make_price(connected, price)
        _note(services, connection, who, f"item price {price.id}")
    woken = set_up.add(services, connection, found.pairs, made_by=who) if found.pairs else []
    for pair in found.pairs:
        _note(services, connection, who, str(pair))
    return woken


def _make_item(connected: Connected, item: NewItem, item_family_id: str) -> None:
    try:
        connected.chargebee.create_charge_item(item.id, name=item.name, item_family_id=item_family_id)
    except Rejected as refused:
        _must_fit(unfit_item(_taken(refused, connected.chargebee.retrieve_item, item.id)))


def _make_price(connected: Connected, price: NewPrice) -> None:
    try:
        connected.chargebee.create_flat_price(price.id, item_id=price.item_id, name=price.name, currency=price.currency)
    except Rejected as refused:
        _must_fit(unfit_price(_taken(refused, connected.chargebee.retrieve_item_price, price.id), price))


def _taken(refused: Rejected, retrieve: Callable[[str], T], resource_id: str) -> T:
    """What has the id already; raises the refusal where nothing has, since it was for another reason then."""
    try:
        return retrieve(resource_id)
    except NotFound:
        raise refused from None


def _must_fit(fault: str | None) -> None:
    if fault:
        raise CannotSetUp(fault)


def _note(services: Services, connection: str, who: str, subject: str) -> None:
    now = services.now()
    with services.transaction() as db:
        audit.note(db, who=who, action="setup catalogue", connection=connection, subject=subject, now=now)
