"""What both live catalogues say of a mapping before it is set up."""

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import Any

from connector.clients.chargebee_objects import ItemPrice
from connector.clients.http import Unreadable
from connector.errors import NotFound, Rejected
from connector.mappings.kinds import ANY, CHARGE_ENTITIES, COLLECTIONS, ITEM_PRICE, PLAN, SUBSCRIPTION
from connector.mappings.pairs import BadMapping, Pair, refuse, said_twice, well_formed
from connector.services import Connected, Services


def checked(services: Services, connection: str, pairs: Iterable[Pair], *, check: bool = True) -> list[Pair]:
    """The pairs with what the live catalogues add to them; raises BadMapping with every fault at once."""
    catalogues = _Catalogues(services.connection(connection)) if check else None
    right: list[Pair] = []
    faults: list[str] = []
    for pair in pairs:
        try:
            right.append(_compared(catalogues, pair) if catalogues else well_formed(pair))
        except BadMapping as fault:
            faults.append(f"{pair}: {fault}")
    refuse(faults + said_twice(right))
    return right


class _Catalogues:
    """Both live catalogues, each thing asked for once."""

    def __init__(self, connected: Connected) -> None:
        self.item_price = cache(connected.chargebee.retrieve_item_price)
        self.customer = cache(connected.chargebee.retrieve_customer)
        self.subscription = cache(connected.chargebee.retrieve_subscription)
        self.plan = cache(connected.m3ter.get_plan)
        self.plan_template = cache(connected.m3ter.get_plan_template)
        self.must_exist = cache(connected.m3ter.must_exist)


def _compared(catalogues: _Catalogues, pair: Pair) -> Pair:
    """The pair with what the catalogues say of it; raises BadMapping when they contradict it."""
    if pair.external_table != ITEM_PRICE:
        well_formed(pair)
        if pair.external_table == "Customer":
            _look_up(lambda: catalogues.customer(pair.external_id), "Chargebee has no customer of this id")
        elif pair.external_table == SUBSCRIPTION:
            _look_up(lambda: catalogues.subscription(pair.external_id), "Chargebee has no subscription of this id")
    else:
        price = _look_up(lambda: catalogues.item_price(pair.external_id), "Chargebee has no item price of this id")
        pair = well_formed(_fitting(pair, price))
        if pair.m3ter_entity == PLAN:
            _must_fit_plan(catalogues, pair, price)
    if pair.customer_id != ANY:
        _look_up(lambda: catalogues.customer(pair.customer_id), f"Chargebee has no customer {pair.customer_id}")
    if collection := COLLECTIONS.get(pair.m3ter_entity):
        _look_up(
            lambda: catalogues.must_exist(collection, pair.m3ter_id), f"m3ter has no {pair.m3ter_entity} of this id"
        )
    return pair


def _must_fit_plan(catalogues: _Catalogues, pair: Pair, price: ItemPrice) -> None:
    plan = _look_up(lambda: catalogues.plan(pair.m3ter_id), "m3ter has no Plan of this id")
    template = _look_up(
        lambda: catalogues.plan_template(plan.plan_template_id), "m3ter does not have the template of this Plan"
    )
    if template.currency != price.currency_code:
        raise BadMapping(f"the m3ter plan is in {template.currency}, the item price in {price.currency_code}")
    if plan.account_id is not None and pair.customer_id == ANY:
        raise BadMapping("m3ter made this plan for one account only; say whose it is with --customer")


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
        raise BadMapping(absent) from error
    except (Rejected, Unreadable) as error:
        raise BadMapping(str(error)) from error
