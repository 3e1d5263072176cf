"""`connector scope …`"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import click
from sqlalchemy import and_, exists, select
from sqlalchemy.orm import Session, aliased

from connector import scope
from connector.cli.common import connection_option, output, table, wire
from connector.models import MirroredResource, Transfer
from connector.settings import Connection

Body = dict[str, Any]
# Rows that are held in memory at once.
BATCH = 500


@click.group("scope")
def scope_group() -> None:
    """What the SCOPE_ settings leave to others."""


@scope_group.command("check")
@click.option("--list", "with_ids", is_flag=True, help="Also name what is out of scope.")
@connection_option
@output
def check_scope(with_ids: bool, connection: str) -> Any:
    """Count what is in and out of scope, by reason, among all that has been seen so far; asks nobody."""
    services = wire()
    settings = services.connection(connection).settings
    with services.reading() as db:
        found = {
            "customers": _judged(
                (one, scope.why_not_customer(settings, body)) for one, body in _customers(db, connection)
            ),
            "subscriptions": _judged(
                (one, scope.why_not_subscription(settings, body, customer))
                for one, body, customer in _subscriptions(db, connection)
            ),
            "item_prices": _judged(_item_prices(db, connection, settings)),
        }
    rows = [
        [kind, "in" if reason is None else "out", len(ids), reason, *([_named(reason, ids)] if with_ids else [])]
        for kind, by_reason in found.items()
        for reason, ids in by_reason.items()
    ]
    columns = ["what", "scope", "number", "reason", *(["ids"] if with_ids else [])]
    document = {kind: _as_json(by_reason, with_ids=with_ids) for kind, by_reason in found.items()}
    return document, table("Scope of what has been seen", columns, rows)


def _named(reason: str | None, ids: list[str]) -> str | None:
    return None if reason is None else ", ".join(ids)


def _judged(verdicts: Iterable[tuple[str, str | None]]) -> dict[str | None, list[str]]:
    """The ids by the reason for which they are out of scope; those that are in scope come first, under None."""
    found: dict[str | None, list[str]] = defaultdict(list, {None: []})
    for one, reason in verdicts:
        found[reason].append(one)
    return dict(found)


def _as_json(by_reason: dict[str | None, list[str]], *, with_ids: bool) -> dict[str, Any]:
    outside = {reason: ids for reason, ids in by_reason.items() if reason is not None}
    return {
        "in": len(by_reason[None]),
        "out": sum(map(len, outside.values())),
        "reasons": [
            {"reason": reason, "number": len(ids)} | ({"ids": ids} if with_ids else {})
            for reason, ids in outside.items()
        ],
    }


def _customers(db: Session, connection: str) -> Iterator[tuple[str, Body]]:
    for row in _seen(db, connection, "customer"):
        yield row.resource_id, row.body


def _subscriptions(db: Session, connection: str) -> Iterator[tuple[str, Body, Body | None]]:
    """Each subscription with its customer, where that has been seen."""
    customer = aliased(MirroredResource)
    beside = and_(
        customer.connection == connection,
        customer.resource == "customer",
        customer.resource_id == MirroredResource.customer_id,
    )
    rows = db.execute(_wanted(connection, "subscription").outerjoin(customer, beside).add_columns(customer.body))
    for row, body in rows.yield_per(BATCH):
        yield row.resource_id, row.body, body


def _item_prices(db: Session, connection: str, settings: Connection) -> Iterator[tuple[str, str | None]]:
    """Each price that m3ter may bill a subscription item by; its family is known once the price has been seen."""
    used = {
        str(item["item_price_id"])
        for row in _seen(db, connection, "subscription")
        for item in row.body.get("subscription_items", [])
        if item.get("item_type") != "charge" and "item_price_id" in item
    }
    families = {row.resource_id: row.body.get("item_family_id") for row in _seen(db, connection, "item_price")}
    inside, _ = scope.items_in_scope(settings, families, sorted(used))
    for price in sorted(used):
        yield price, None if price in inside else _why_not_item(settings, families, price)


def _why_not_item(settings: Connection, families: dict[str, Any], price: str) -> str:
    asked = f"SCOPE_ITEM_FAMILIES asks for {' or '.join(settings.scope_item_families)}"
    if price not in families:
        return f"its family is not known yet, Chargebee is asked when it is needed; {asked}"
    return f"its family is {families[price]}; {asked}"


def _seen(db: Session, connection: str, resource: str) -> Iterator[MirroredResource]:
    for (row,) in db.execute(_wanted(connection, resource)).yield_per(BATCH):
        yield row


def _wanted(connection: str, resource: str) -> Any:
    """What has been seen of this resource, without the old copies of what went to another business entity."""
    gone = exists().where(
        Transfer.connection == connection,
        Transfer.resource == resource,
        Transfer.old_id == MirroredResource.resource_id,
    )
    return (
        select(MirroredResource)
        .where(MirroredResource.connection == connection, MirroredResource.resource == resource, ~gone)
        .order_by(MirroredResource.resource_id)
    )
