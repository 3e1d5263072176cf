"""What nobody has said anything of yet: in Chargebee's catalogue, in m3ter's, and on bills that stand still for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from connector.clients.chargebee_objects import ItemPrice
from connector.mappings import candidates
from connector.mappings.candidates import CHARGE, Candidates
from connector.mappings.kinds import ANY
from connector.mappings.plans import plan_choices
from connector.remapping import waiting
from connector.remapping.waiting import HeldBills, Prices, Source, WaitingLines, WaitingPrice
from connector.services import Services


@dataclass(frozen=True)
class OpenPrice:
    """A plan or addon item price without a mapping; `price` is None where the catalogue does not list it."""

    item_price_id: str
    price: ItemPrice | None
    waiting: WaitingPrice


@dataclass(frozen=True)
class Unmapped:
    """What is not mapped: item prices, bill lines by what they come from, and metrics of m3ter's that no line has had yet.

    `subscriptions` is how many are parked in all, of which the oldest `waiting.MOST_SYNCS` stand with their item prices.
    """

    prices: tuple[OpenPrice, ...]
    lines: tuple[WaitingLines, ...]
    metrics: tuple[Source, ...]
    bills: HeldBills
    subscriptions: int
    catalogues: Candidates


def look(
    services: Services, connection: str, *, sync_id: int | None = None, catalogues: Candidates | None = None
) -> Unmapped:
    """All that is unmapped, or only what one sync waits for; where something waits comes first.

    Both catalogues are read unless they are given, and the bills that wait, in a bounded number of calls.
    """
    connected = services.connection(connection)
    catalogues = catalogues or candidates.read(connected)
    with services.reading() as db:
        choices = plan_choices(db, connection)
        held = waiting.prices(db, connection, choices, sync_id=sync_id)
        parked = waiting.number_of_subscriptions(db, connection)
    said = waiting.charge_prices(services, connection)
    bills = waiting.bills(services, connection, sync_id=sync_id)
    families = connected.settings.scope_item_families
    listed = {
        price.id
        for price in catalogues.item_prices.values()
        if price.item_type != CHARGE and price.id not in choices.of_price
        if not families or price.item_family_id in families
    }
    names = held.keys() | (listed if sync_id is None else set())
    prices = [OpenPrice(one, catalogues.item_prices.get(one), held.get(one, WaitingPrice())) for one in names]
    lines = waiting.by_source(bills.bills, said)
    return Unmapped(
        prices=tuple(sorted(prices, key=lambda one: (-len(one.waiting.syncs), one.item_price_id))),
        lines=tuple(lines),
        metrics=tuple(_metrics(catalogues, said, lines)) if sync_id is None else (),
        bills=bills,
        subscriptions=parked,
        catalogues=catalogues,
    )


def _metrics(catalogues: Candidates, said: Prices, lines: Sequence[WaitingLines]) -> list[Source]:
    """Aggregations that nothing is said of in a currency that m3ter bills in, where nothing wider would take their lines."""
    waiting_already = {one.source for one in lines}
    wider = (("LineItemType", "USAGE"), ("Default", ANY))
    currencies = sorted({template.currency for template in catalogues.templates.values()})
    found = [
        Source(entity, one.id, currency)
        for currency in currencies
        if not any((*key, currency) in said for key in wider)
        for entity, collection in (("Aggregation", "aggregations"), ("CompoundAggregation", "compoundaggregations"))
        for one in catalogues.named.get(collection, {}).values()
        if (entity, one.id, currency) not in said
    ]
    return [one for one in found if one not in waiting_already]


def as_json(found: Unmapped) -> dict[str, Any]:
    """The same for scripts; amounts are texts in major units of their currency."""
    return {
        "item_prices": [
            {
                "item_price_id": one.item_price_id, "name": one.price.name if one.price else None,
                "currency": one.price.currency_code if one.price else None, "syncs": one.waiting.syncs,
                "subscriptions": one.waiting.subscriptions,
            }
            for one in found.prices
        ],
        "lines": [
            {
                "m3ter_entity": one.source.entity, "m3ter_id": one.source.m3ter_id, "currency": one.source.currency,
                "descriptions": list(one.descriptions), "bills": [bill.bill_id for bill in one.bills],
                "syncs": [bill.sync_id for bill in one.bills], "amount": str(one.amount), "bills_total": str(one.whole),
            }
            for one in found.lines
        ],
        "metrics": [
            {
                "m3ter_entity": one.entity, "m3ter_id": one.m3ter_id, "currency": one.currency,
                "name": found.catalogues.name_of(one.entity, one.m3ter_id),
            }
            for one in found.metrics
        ],
        "subscriptions_waiting": found.subscriptions,
        "bills": {
            "waiting": found.bills.held, "not_read": found.bills.not_read,
            "totals": {currency: str(amount) for currency, amount in waiting.totals(found.bills.bills).items()},
            "unread": dict(found.bills.unread),
        },
        "away": dict(found.catalogues.away) | ({"bills": found.bills.away} if found.bills.away else {}),
        "cut": list(found.catalogues.cut),
    }  # fmt: skip
