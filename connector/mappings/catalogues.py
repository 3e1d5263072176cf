"""What both live catalogues say of a mapping before it is set up."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from typing import Any, TypeVar

from connector.clients.chargebee_objects import ItemPrice
from connector.clients.http import Unreadable
from connector.clients.m3ter_objects import Plan, PlanTemplate
from connector.errors import NotFound, Rejected
from connector.mappings.candidates import Candidates
from connector.mappings.kinds import ANY, CHARGE_ENTITIES, COLLECTIONS, ITEM_PRICE, PLAN, SUBSCRIPTION
from connector.mappings.pairs import BadMapping, Pair, refuse, said_twice, well_formed
from connector.services import Connected, Services

T = TypeVar("T")


def checked(services: Services, connection: str, pairs: Iterable[Pair], *, check: bool = True) -> list[Pair]:
    """The pairs with what the live catalogues add to them; raises BadMapping with every fault at once."""
    wanted = list(pairs)
    found = compared(services, connection, wanted) if check else [_or_fault(well_formed, pair) for pair in wanted]
    right = [one for one in found if isinstance(one, Pair)]
    faults = [f"{pair}: {one}" for pair, one in zip(wanted, found, strict=True) if isinstance(one, BadMapping)]
    refuse(faults + said_twice(right))
    return right


def compared(
    services: Services,
    connection: str,
    pairs: Iterable[Pair],
    *,
    known: Candidates | None = None,
    most: int | None = None,
) -> list[Pair | BadMapping]:
    """Each pair with what the live catalogues add to it, or what is wrong with it.

    What `known` lists is not asked for once more. With `most`, no more things than that are asked for one by one; a pair that
    would need another is a fault.
    """
    catalogues = _Catalogues(services.connection(connection), known, most)
    return [_or_fault(lambda one: _compared(catalogues, one), pair) for pair in pairs]


def _or_fault(check: Callable[[Pair], Pair], pair: Pair) -> Pair | BadMapping:
    try:
        return check(pair)
    except BadMapping as fault:
        return fault


class _Catalogues:
    """Both live catalogues, each thing asked for once, and those not at all that were listed before."""

    def __init__(self, connected: Connected, known: Candidates | None, most: int | None) -> None:
        self._known, self._left = known or Candidates(), most
        chargebee, m3ter = connected.chargebee, connected.m3ter
        self._item_price = cache(self._counted(chargebee.retrieve_item_price))
        self.customer = cache(self._counted(chargebee.retrieve_customer))
        self.subscription = cache(self._counted(chargebee.retrieve_subscription))
        self._plan = cache(self._counted(m3ter.get_plan))
        self._plan_template = cache(self._counted(m3ter.get_plan_template))
        self._must_exist = cache(self._counted(m3ter.must_exist))

    def _counted(self, call: Callable[..., T]) -> Callable[..., T]:
        def counting(*words: str) -> T:
            if self._left is not None:
                if self._left <= 0:
                    raise BadMapping("too much would have to be looked up at once; do it in smaller parts")
                self._left -= 1
            return call(*words)

        return counting

    def item_price(self, item_price_id: str) -> ItemPrice:
        return self._known.item_prices.get(item_price_id) or self._item_price(item_price_id)

    def plan(self, plan_id: str) -> Plan:
        return self._known.plans.get(plan_id) or self._plan(plan_id)

    def plan_template(self, template_id: str) -> PlanTemplate:
        return self._known.templates.get(template_id) or self._plan_template(template_id)

    def must_exist(self, collection: str, entity_id: str) -> None:
        if not self._known.has(collection, entity_id):
            self._must_exist(collection, entity_id)


def _compared(catalogues: _Catalogues, pair: Pair) -> Pair:
    """The pair with what the catalogues say of it; raises BadMapping when they contradict it."""
    if pair.external_table != ITEM_PRICE:
        well_formed(pair)
        if pair.external_table == "Customer":
            _look_up(
                lambda: catalogues.customer(pair.external_id), "Chargebee has no customer of this id", "external_id"
            )
        elif pair.external_table == SUBSCRIPTION:
            absent = "Chargebee has no subscription of this id"
            _look_up(lambda: catalogues.subscription(pair.external_id), absent, "external_id")
    else:
        absent = "Chargebee has no item price of this id"
        price = _look_up(lambda: catalogues.item_price(pair.external_id), absent, "external_id")
        pair = well_formed(_fitting(pair, price))
        if pair.m3ter_entity == PLAN:
            _must_fit_plan(catalogues, pair, price)
    if pair.customer_id != ANY:
        absent = f"Chargebee has no customer {pair.customer_id}"
        _look_up(lambda: catalogues.customer(pair.customer_id), absent, "customer_id")
    if collection := COLLECTIONS.get(pair.m3ter_entity):
        absent = f"m3ter has no {pair.m3ter_entity} of this id"
        _look_up(lambda: catalogues.must_exist(collection, pair.m3ter_id), absent, "m3ter_id")
    return pair


def _must_fit_plan(catalogues: _Catalogues, pair: Pair, price: ItemPrice) -> None:
    plan = _look_up(lambda: catalogues.plan(pair.m3ter_id), "m3ter has no Plan of this id", "m3ter_id")
    absent = "m3ter does not have the template of this Plan"
    template = _look_up(lambda: catalogues.plan_template(plan.plan_template_id), absent, "m3ter_id")
    if template.currency != price.currency_code:
        text = f"the m3ter plan is in {template.currency}, the item price in {price.currency_code}"
        raise BadMapping(text, "m3ter_id")
    if plan.account_id is not None and pair.customer_id == ANY:
        raise BadMapping("m3ter made this plan for one account only; say whose it is with --customer", "customer_id")


def _fitting(pair: Pair, price: ItemPrice) -> Pair:
    """The pair with the item price's currency; raises BadMapping when the price cannot be what it is mapped to."""
    if pair.m3ter_entity not in CHARGE_ENTITIES:
        if price.item_type == "charge":
            raise BadMapping("the item price is of a charge; a plan or addon is metered by a m3ter plan", "external_id")
        return pair
    if pair.currency and price.currency_code and pair.currency != price.currency_code:
        raise BadMapping(f"the item price is in {price.currency_code}, not {pair.currency}", "currency")
    if price.item_type != "charge":
        text = f"the item price is of a {price.item_type}; a bill line needs a charge item's price"
        raise BadMapping(text, "external_id")
    if price.pricing_model != "flat_fee":
        text = f"the item price is {price.pricing_model}; amounts of bill lines need a flat_fee price"
        raise BadMapping(text, "external_id")
    return replace(pair, currency=pair.currency or price.currency_code)


def _look_up(call: Any, absent: str, column: str) -> Any:
    try:
        return call()
    except NotFound as error:
        raise BadMapping(absent, column) from error
    except (Rejected, Unreadable) as error:
        raise BadMapping(str(error), column) from error
