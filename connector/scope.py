"""Which customers, subscriptions and items a connection takes care of, by its SCOPE_ settings; all of it pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from connector.settings import Connection

Body = Mapping[str, Any]


def why_not_customer(settings: Connection, body: Body) -> str | None:
    """The sentence that says why this customer (Chargebee's JSON) is out of scope; None where it is in."""
    return _wrong_entity(settings, body, None) or _wrong_field(settings, body, None)


def why_not_subscription(settings: Connection, body: Body, customer: Body | None) -> str | None:
    """The sentence that says why this subscription (Chargebee's JSON) is out of scope; None where it is in.

    What the subscription does not say itself is taken from its customer.
    """
    currency = body.get("currency_code")
    if settings.scope_currencies and currency not in settings.scope_currencies:
        return f"its currency {currency} is not in SCOPE_CURRENCIES ({', '.join(settings.scope_currencies)})"
    return _wrong_entity(settings, body, customer) or _wrong_field(settings, body, customer)


def items_in_scope(
    settings: Connection, families: Mapping[str, str | None], item_price_ids: Iterable[str]
) -> tuple[list[str], list[str]]:
    """The item prices that are in scope and those that are out, by the item family of each."""
    inside: list[str] = []
    outside: list[str] = []
    for name in item_price_ids:
        is_in = not settings.scope_item_families or families.get(name) in settings.scope_item_families
        (inside if is_in else outside).append(name)
    return inside, outside


def _wrong_entity(settings: Connection, body: Body, customer: Body | None) -> str | None:
    found = _said("business_entity_id", body, customer)
    if not settings.scope_business_entities or found in settings.scope_business_entities:
        return None
    allowed = ", ".join(settings.scope_business_entities)
    return f"its business entity {found or '(none)'} is not in SCOPE_BUSINESS_ENTITIES ({allowed})"


def _wrong_field(settings: Connection, body: Body, customer: Body | None) -> str | None:
    if settings.scope_custom_field is None:
        return None
    name, _, wanted = settings.scope_custom_field.partition("=")
    found = _said(name, body, customer)
    if found is not None and str(found).casefold() == wanted.casefold():
        return None
    return f"its {name} is {'not set' if found is None else found}, and SCOPE_CUSTOM_FIELD asks for {wanted}"


def _said(name: str, body: Body, customer: Body | None) -> Any:
    """The value that the record has, or else its customer."""
    found = body.get(name)
    return found if found is not None or customer is None else customer.get(name)
