"""What there is to choose from in a row of a table of mappings."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import groupby

from flask import abort, current_app

from connector.clients.chargebee_objects import ItemPrice
from connector.clients.m3ter_objects import Plan
from connector.mappings import candidates
from connector.mappings.candidates import Candidates
from connector.mappings.kinds import CHARGE_ENTITIES, ITEM_PRICE, PLAN, PLAN_ENTITIES
from connector.mappings.pairs import Pair
from connector.remapping.rows import AD_HOC_CHOICE, NOT_METERED_CHOICE
from connector.services import Connected
from connector.web.console.here import services

# A longer list becomes a field to type in with suggestions, which a browser searches and a page holds once.
MOST_IN_A_ROW = 40
# For so long pages show a catalogue as it was read. What is saved is checked against the live ones all the same.
KEPT = timedelta(seconds=30)
Option = tuple[str, str]


@dataclass(frozen=True)
class Options:
    """The choices of a row, in groups with their names; `is_long` ones are suggestions below a field to type in."""

    id: str
    words: tuple[Option, ...]
    groups: tuple[tuple[str, tuple[Option, ...]], ...]

    @property
    def is_long(self) -> bool:
        number = sum(len(found) for _, found in self.groups)
        return not number or number > MOST_IN_A_ROW

    @property
    def values(self) -> set[str]:
        return {value for value, _ in (*self.words, *(one for _, found in self.groups for one in found))}


def connection(name: str) -> Connected:
    """The connection that a page is about; 404 where there is none."""
    found = services().connections.get(name)
    if found is None:
        abort(404)
    return found


def catalogues(name: str) -> Candidates:
    """Both catalogues, as they were read a moment ago or now."""
    kept: dict[str, tuple[datetime, Candidates]] = current_app.extensions.setdefault("catalogues", {})
    now = services().now()
    if name in kept and now - kept[name][0] < KEPT:
        return kept[name][1]
    found = candidates.read(connection(name))
    if not found.away:
        kept[name] = (now, found)
    return found


class Chooser:
    """The options of each row, made once for all rows that have the same."""

    def __init__(self, found: Candidates) -> None:
        self._found = found
        self.plans = cache(self._plans)
        self.charges = cache(self._charges)
        self.used: dict[str, Options] = {}

    def of_price(self, price: ItemPrice | None, customer_id: str = "") -> Options:
        """What an item price can mean."""
        return self._noted(self.plans(price.currency_code if price else None, bool(customer_id)))

    def of_lines(self, currency: str | None) -> Options:
        """What a bill line in this currency can become."""
        return self._noted(self.charges(currency))

    def of_pair(self, pair: Pair) -> Options | None:
        """What a row of the table can say instead; None where it can only go."""
        if pair.m3ter_entity in PLAN_ENTITIES:
            customer_id = pair.customer_id.removeprefix("*")
            return self.of_price(self._found.item_prices.get(pair.external_id), customer_id)
        return self.of_lines(pair.currency) if pair.m3ter_entity in CHARGE_ENTITIES else None

    def _noted(self, options: Options) -> Options:
        self.used[options.id] = options
        return options

    def _plans(self, currency: str | None, for_one: bool) -> Options:
        price = next((one for one in self._found.item_prices.values() if one.currency_code == currency), None)
        fitting = self._found.plans_for(price, "one" if for_one else None)
        groups = groupby(fitting, key=lambda plan: self._found.product_name(plan.product_id))
        words = ((NOT_METERED_CHOICE, "not metered"),)
        name = f"plans-{currency or 'any'}{'-for-one' if for_one else ''}"
        return Options(name, words, tuple((name, tuple(map(_plan, plans))) for name, plans in groups))

    def _charges(self, currency: str | None) -> Options:
        groups = groupby(self._found.charges_in(currency), key=lambda price: price.item_family_id or "")
        words = ((AD_HOC_CHOICE, "a charge without an item"),)
        name = f"charges-{currency or 'any'}"
        return Options(name, words, tuple((name, tuple(map(_price, prices))) for name, prices in groups))


def _plan(plan: Plan) -> Option:
    code = f", {plan.code}" if plan.code and plan.code != plan.label else ""
    return plan.id, f"{plan.label}{code} · {plan.id}" if plan.label else plan.id


def _price(price: ItemPrice) -> Option:
    return price.id, f"{price.name} · {price.id}" if price.name != price.id else price.id


def names(found: Candidates, pairs: Sequence[Pair]) -> dict[str, str]:
    """What both systems call the things in these mappings, by id, as far as it is known."""
    said = {}
    for pair in pairs:
        if name := found.name_of(pair.m3ter_entity, pair.m3ter_id):
            said[pair.m3ter_id] = name
        if pair.external_table == ITEM_PRICE and (name := found.price_name(pair.external_id)):
            said[pair.external_id] = name
    return said


def plan_names(found: Candidates) -> dict[str, str]:
    """What m3ter calls each plan, by id."""
    return {one: name for one in found.plans if (name := found.name_of(PLAN, one))}
