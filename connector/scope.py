"""Which customers, subscriptions and items a connection takes care of, as its SCOPE_ settings say; the rest is left to others.

Bodies are Chargebee's own JSON. A sentence says why something is out of scope and holds no id, so that it can be counted.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from connector.settings import Connection

Body = Mapping[str, Any]
VALUE_LIMIT = 60


def why_not_customer(settings: Connection, body: Body) -> str | None:
    """Why the customer is out of scope, or None; the currency is asked of subscriptions only."""
    bodies = {"customer": body}
    return _other_custom_field(settings, bodies) or _other_business_entity(settings, bodies)


def why_not_subscription(settings: Connection, body: Body, customer: Body | None) -> str | None:
    """Why the subscription is out of scope, or None; what it does not say itself, its customer says for it."""
    bodies = {"subscription": body, "customer": customer or {}}
    return (
        _other_custom_field(settings, bodies)
        or _other_business_entity(settings, bodies)
        or _other_currency(settings, body)
    )


def items_in_scope(
    settings: Connection, families: Mapping[str, str | None], item_price_ids: Iterable[str]
) -> tuple[list[str], list[str]]:
    """The item prices that are in scope by the family of each, and those that are not, in their order.

    An item price without a family is out of scope where the settings name families.
    """
    named = settings.scope_item_families
    prices = list(item_price_ids)
    inside = [price for price in prices if not named or families.get(price) in named]
    return inside, [price for price in prices if price not in inside]


def _other_custom_field(settings: Connection, bodies: Mapping[str, Body]) -> str | None:
    if settings.scope_custom_field is None:
        return None
    field, _, wanted = settings.scope_custom_field.partition("=")
    asked = f"SCOPE_CUSTOM_FIELD asks for {settings.scope_custom_field}"
    owner, value = _said(bodies, field)
    if value is None:
        return f"{_lacking(bodies)} {field}; {asked}"
    # True and False are written as in the setting once their case does not count.
    if str(value).strip().casefold() == wanted.strip().casefold():
        return None
    return f"{field} of the {owner} is {_shown(value)}; {asked}"


def _other_business_entity(settings: Connection, bodies: Mapping[str, Body]) -> str | None:
    named = settings.scope_business_entities
    if not named:
        return None
    asked = f"SCOPE_BUSINESS_ENTITIES asks for {' or '.join(named)}"
    owner, value = _said(bodies, "business_entity_id")
    if value is None:
        return f"{_lacking(bodies)} business entity; {asked}"
    return None if value in named else f"business entity of the {owner} is {_shown(value)}; {asked}"


def _other_currency(settings: Connection, body: Body) -> str | None:
    named = settings.scope_currencies
    if not named:
        return None
    asked = f"SCOPE_CURRENCIES asks for {' or '.join(named)}"
    value = body.get("currency_code")
    if value is None:
        return f"the subscription has no currency; {asked}"
    if str(value).casefold() in {name.casefold() for name in named}:
        return None
    return f"currency of the subscription is {_shown(value)}; {asked}"


def _said(bodies: Mapping[str, Body], field: str) -> tuple[str, Any]:
    """Who says something of the field first, and what; an empty text says nothing."""
    for owner, body in bodies.items():
        if body.get(field) not in (None, ""):
            return owner, body[field]
    return "", None


def _lacking(bodies: Mapping[str, Body]) -> str:
    return "the customer has no" if len(bodies) == 1 else "neither the subscription nor its customer has a"


def _shown(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= VALUE_LIMIT else f"{text[:VALUE_LIMIT]}…"
