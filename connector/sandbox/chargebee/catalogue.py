"""Chargebee's product catalogue: item families, items and item prices."""

import copy
from typing import Any

from connector.sandbox.chargebee.errors import Refused, wrong_value
from connector.sandbox.chargebee.site import Site, set_fields
from connector.sandbox.component import Resource

OVERRIDABLE = ("flat_fee", "per_unit")


class Catalogue(Site):
    """What can be sold."""

    def create_item_family(self, id: str, name: str | None = None, **fields: Any) -> Resource:
        """A new item family."""
        self._must_be_new("item_family", self.item_families, id)
        family: Resource = {"id": id, "name": name or id, "status": "active", "object": "item_family", **fields}
        self._stamp(family)
        self.item_families[id] = family
        self._event("item_family_created", item_family=family)
        return copy.deepcopy(family)

    def create_item(
        self,
        id: str,
        type: str = "plan",
        item_family_id: str | None = None,
        name: str | None = None,
        *,
        metered: bool = False,
        **fields: Any,
    ) -> Resource:
        """A new plan, addon or charge; without a family it joins the first one, which is made if need be."""
        self._must_be_new("item", self.items, id)
        if item_family_id is None:
            item_family_id = next(iter(self.item_families), None) or self.create_item_family("default")["id"]
        self.find("item_family", item_family_id)
        item: Resource = {
            "id": id,
            "name": name or id,
            "type": type,
            "item_family_id": item_family_id,
            "status": "active",
            "is_shippable": False,
            "is_giftable": False,
            "enabled_for_checkout": True,
            "enabled_in_portal": True,
            "item_applicability": "all",
            "metered": metered,
            "object": "item",
            **fields,
        }
        self._stamp(item)
        self.items[id] = item
        self._event("item_created", item=item)
        return copy.deepcopy(item)

    def create_item_price(
        self,
        id: str,
        item_id: str,
        price: int | None = 0,
        currency_code: str | None = None,
        pricing_model: str = "flat_fee",
        name: str | None = None,
        **fields: Any,
    ) -> Resource:
        """A new price of the item; plans and addons bill monthly unless told otherwise."""
        self._must_be_new("item_price", self.item_prices, id)
        item = self.find("item", item_id)
        name = name or id
        if any(other["name"] == name for other in self.item_prices.values()):
            raise Refused(400, f"name : {name} is taken", param="name", code="duplicate_entry")
        currency = currency_code or self.settings.currencies[0]
        if currency not in self.settings.currencies:
            raise wrong_value("currency_code", f"{currency} is not configured on this site")
        if pricing_model in OVERRIDABLE and price is None:
            raise wrong_value("price", "cannot be blank")
        period = {} if item["type"] == "charge" else {"period": 1, "period_unit": "month"}
        item_price: Resource = {
            "id": id,
            "name": name,
            "item_id": item_id,
            "item_family_id": item["item_family_id"],
            "item_type": item["type"],
            "status": "active",
            "pricing_model": pricing_model,
            "currency_code": currency,
            "free_quantity": 0,
            "is_taxable": True,
            "created_at": self._clock.seconds(),
            "object": "item_price",
            **period,
        }
        set_fields(item_price, {"price": price if pricing_model in OVERRIDABLE else None, **fields})
        self._stamp(item_price)
        self.item_prices[id] = item_price
        self._event("item_price_created", item_price=item_price)
        return copy.deepcopy(item_price)

    def update_item_price(self, id: str, **fields: Any) -> Resource:
        """The item price with these fields changed."""
        item_price = self.find("item_price", id)
        set_fields(item_price, fields)
        self._stamp(item_price)
        self._event("item_price_updated", item_price=item_price)
        return copy.deepcopy(item_price)

    def delete_item_price(self, id: str) -> Resource:
        """The item price, deleted: nothing new can be sold for it."""
        item_price = self.find("item_price", id)
        item_price |= {"status": "deleted", "deleted": True}
        self._stamp(item_price)
        self._event("item_price_deleted", item_price=item_price)
        return copy.deepcopy(item_price)

    def is_metered(self, item_price_id: str) -> bool:
        """Whether Chargebee itself would rate the usage of this price's item."""
        return bool(self.items[self.item_prices[item_price_id]["item_id"]]["metered"])

    def _must_be_new(self, kind: str, table: dict[str, Resource], resource_id: str) -> None:
        if resource_id in table:
            message = f"id : The value {resource_id} is already present"
            raise Refused(400, message, param="id", code="duplicate_entry")


def charge(item_price: Resource, quantity: int, unit_price: int | None, tiers: list[Resource] | None) -> Resource:
    """Unit amount, quantity and amount of a line, by the price's pricing model."""
    model = item_price["pricing_model"]
    if model == "flat_fee":
        unit_amount = item_price["price"] if unit_price is None else unit_price
        return {"pricing_model": model, "unit_amount": unit_amount, "quantity": 1, "amount": unit_amount}
    if model == "per_unit":
        unit_amount = item_price["price"] if unit_price is None else unit_price
        return {
            "pricing_model": model,
            "unit_amount": unit_amount,
            "quantity": quantity,
            "amount": unit_amount * quantity,
        }
    amount = _tiered(model, quantity, tiers or item_price.get("tiers", []))
    return {"pricing_model": model, "unit_amount": amount // quantity, "quantity": quantity, "amount": amount}


def shown_name(item_price: Resource) -> str:
    """The name that customers see on their invoices."""
    return str(item_price.get("external_name") or item_price["name"])


def _tiered(model: str, quantity: int, tiers: list[Resource]) -> int:
    """Tiered adds up what each tier holds; volume and stairstep take the one tier that the quantity ends in."""
    amount = 0
    for tier in sorted(tiers, key=lambda tier: int(tier["starting_unit"])):
        if quantity < tier["starting_unit"]:
            break
        if model == "stairstep":
            amount = tier["price"]
        elif model == "volume":
            amount = tier["price"] * quantity
        else:
            held = min(quantity, tier.get("ending_unit") or quantity) - tier["starting_unit"] + 1
            amount += tier["price"] * held
    return int(amount)
