"""What there is to choose from in both live catalogues, in a bounded number of calls."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from connector.clients.chargebee_objects import ItemPrice
from connector.clients.http import Unreadable
from connector.clients.m3ter_objects import Named, Plan, PlanTemplate
from connector.errors import Rejected, Retryable
from connector.mappings.kinds import COLLECTIONS, PLAN
from connector.services import Connected

# Of each list so many rows are read and no more: twenty pages.
MOST = 2000
CHARGE = "charge"
# Why a side is not there: it is away, or refuses, or is not understood.
Failed = (Retryable, Rejected, Unreadable)


@dataclass(frozen=True)
class Candidates:
    """Both catalogues as far as they were read, by id; `named` has m3ter's other lists by their collection.

    `cut` names the lists that are longer than what was read, and `away` says why a provider's lists are missing.
    """

    item_prices: Mapping[str, ItemPrice] = field(default_factory=dict)
    plans: Mapping[str, Plan] = field(default_factory=dict)
    templates: Mapping[str, PlanTemplate] = field(default_factory=dict)
    named: Mapping[str, Mapping[str, Named]] = field(default_factory=dict)
    cut: tuple[str, ...] = ()
    away: Mapping[str, str] = field(default_factory=dict)

    def has(self, collection: str, entity_id: str) -> bool:
        """Whether one of m3ter's lists has this id; False may also mean that it was not read."""
        return entity_id in self.named.get(collection, {})

    def currency_of(self, plan: Plan) -> str | None:
        """What the plan's amounts are in; None where its template was not read."""
        template = self.templates.get(plan.plan_template_id)
        return template.currency if template else None

    def plans_for(self, price: ItemPrice | None, customer_id: str | None = None) -> list[Plan]:
        """The plans that the price of a plan or addon can mean: in its currency, and made for nobody else."""
        return sorted(
            (
                plan
                for plan in self.plans.values()
                if price is None or self.currency_of(plan) == price.currency_code
                if plan.account_id is None or customer_id is not None
            ),
            key=lambda plan: (plan.product_id or "", plan.label, plan.id),
        )

    def charges_in(self, currency: str | None) -> list[ItemPrice]:
        """The prices that a bill line in this currency can become: flat fees of charge items."""
        return sorted(
            (
                price
                for price in self.item_prices.values()
                if price.item_type == CHARGE and price.pricing_model == "flat_fee"
                if currency is None or price.currency_code == currency
            ),
            key=lambda price: (price.item_family_id or "", price.name, price.id),
        )

    def name_of(self, entity: str, entity_id: str) -> str | None:
        """What m3ter calls what a mapping names; None where it is not known."""
        if entity == PLAN:
            plan = self.plans.get(entity_id)
            return plan.label if plan else None
        one = self.named.get(COLLECTIONS.get(entity, ""), {}).get(entity_id)
        return one.label if one else None

    def price_name(self, item_price_id: str) -> str | None:
        """What Chargebee calls an item price; None where it is not known, or nothing but its id."""
        price = self.item_prices.get(item_price_id)
        return price.name if price and price.name != item_price_id else None

    def product_name(self, product_id: str | None) -> str:
        """The product's name, else its id."""
        return (self.name_of("Product", product_id) or product_id) if product_id else ""


def read(connected: Connected, *, pricings: bool = False) -> Candidates:
    """Both catalogues now, archived prices left out; a provider that cannot be asked is said in `away`.

    At most twenty calls for each list: one of Chargebee's, five of m3ter's (six with its pricings).
    """
    cut: list[str] = []
    away: dict[str, str] = {}
    found: dict[str, Any] = {}
    try:
        prices = _first(connected.chargebee.active_item_prices(), "Chargebee's item prices", cut)
        found["item_prices"] = {one.id: one for one in prices}
    except Failed as error:
        away["Chargebee"] = str(error)
    m3ter = connected.m3ter
    try:
        found["plans"] = {one.id: one for one in _first(m3ter.plans(), "m3ter's plans", cut)}
        found["templates"] = {one.id: one for one in _first(m3ter.plan_templates(), "m3ter's plan templates", cut)}
        collections = ["products", "aggregations", "compoundaggregations", *(["pricings"] if pricings else [])]
        found["named"] = {
            name: {one.id: one for one in _first(m3ter.named(name), f"m3ter's {name}", cut)} for name in collections
        }
    except Failed as error:
        away["m3ter"] = str(error)
    return Candidates(**found, cut=tuple(cut), away=away)


def _first(rows: Iterable[Any], what: str, cut: list[str]) -> list[Any]:
    found = list(islice(rows, MOST + 1))
    if len(found) > MOST:
        cut.append(what)
    return found[:MOST]
