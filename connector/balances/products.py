"""Which Chargebee item prices are top-ups: set up by people, checked against both live catalogues, never changed.

They stand in a table of their own and not among the mappings: m3ter's External Mappings, whose shape those have, could show
neither rate nor expiry nor since when they hold. Other terms are a new product after the old one is removed; what was paid
before that keeps its terms.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from connector import audit, money
from connector.balances import drafts, lookup
from connector.balances.due import GROSS, NET
from connector.clients.chargebee_objects import ItemPrice
from connector.clients.m3ter_balance_objects import Currency
from connector.errors import BadInput, NotFound
from connector.mappings.kinds import CHARGE_ENTITIES, ITEM_PRICE, PLAN
from connector.models import Mapping, TopUpProduct
from connector.services import Services

# The longest that credit may last; more is better said as no end at all.
MAX_MONTHS = 1200


@dataclass(frozen=True)
class Product:
    """A top-up as a person asks for it; `rate`, `currency` and `sold_from` None are the usual ones (see `add`)."""

    item_price_id: str
    balance_code: str
    balance_name: str | None = None
    currency: str | None = None
    rate: Decimal | None = None
    expires_after_months: int | None = None
    basis: str | None = None
    transaction_type: str | None = None
    sold_from: datetime | None = None


def add(services: Services, connection: str, product: Product, *, who: str, dry_run: bool = False) -> TopUpProduct:
    """The product, kept unless `dry_run`; raises BadInput with every fault.

    The balance's currency is the price's own where none is named, and the rate then 1. What is paid from now on is credited,
    or from `sold_from` on.
    """
    now = services.now().replace(microsecond=0)  # as exact as Chargebee's times
    row = _checked(services, connection, product, who, now)
    with services.reading() as db:
        _must_be_free(db, connection, row)
    if dry_run:
        return row
    try:
        with services.transaction() as db:
            _must_be_free(db, connection, row)
            db.add(row)
            audit.note(
                db, who=who, action="top-ups products add", connection=connection, subject=row.item_price_id, now=now,
                **as_json(row),
            )  # fmt: skip
    except IntegrityError as taken:
        raise BadInput(f"{row.item_price_id} has just been set up by somebody else; nothing was changed") from taken
    return row


def remove(
    services: Services, connection: str, item_price_id: str, *, who: str, reason: str, dry_run: bool = False
) -> TopUpProduct:
    """Credit nothing more that is paid from now on; refunds of what was credited are still taken back. Raises BadInput."""
    if not reason.strip():
        raise BadInput("say why: the reason is kept with your name")
    now = services.now().replace(microsecond=0)
    with services.reading() as db:
        row = next((one for one in listed(db, connection) if one.item_price_id == item_price_id), None)
    if row is None:
        raise BadInput(f"{item_price_id} is no top-up; `connector top-ups products list` shows which are")
    if not dry_run:
        with services.transaction() as db:
            db.execute(update(TopUpProduct).where(TopUpProduct.id == row.id).values(removed_at=now))
            audit.note(
                db, who=who, action="top-ups products remove", connection=connection, subject=item_price_id, now=now,
                reason=reason,
            )  # fmt: skip
    return row


def listed(db: Session, connection: str, *, removed: bool = False) -> list[TopUpProduct]:
    """The connection's top-ups, also those that were removed where they are asked for."""
    rows = select(TopUpProduct).where(TopUpProduct.connection == connection)
    if not removed:
        rows = rows.where(TopUpProduct.removed_at.is_(None))
    return list(db.scalars(rows.order_by(TopUpProduct.item_price_id, TopUpProduct.sold_from)))


def any_of(db: Session, connection: str, item_price_ids: Collection[str]) -> bool:
    """Whether one of these item prices is, or was, a top-up."""
    rows = select(TopUpProduct.id).where(
        TopUpProduct.connection == connection, TopUpProduct.item_price_id.in_(list(item_price_ids))
    )
    return db.scalar(rows.limit(1)) is not None


def are_sold(db: Session, connection: str) -> bool:
    """Whether the connection sells, or sold, any top-up."""
    return db.scalar(select(TopUpProduct.id).where(TopUpProduct.connection == connection).limit(1)) is not None


def sold_at(every: Sequence[TopUpProduct], item_price_id: str | None, paid_at: datetime) -> TopUpProduct | None:
    """The product under whose terms this item price was paid for at that moment."""
    return next(
        (
            one
            for one in every
            if one.item_price_id == item_price_id
            and one.sold_from <= paid_at
            and (one.removed_at is None or paid_at < one.removed_at)
        ),
        None,
    )


def as_json(row: TopUpProduct) -> dict[str, Any]:
    """The product as the command line and scripts see it; the keys are stable, the rate is a text."""
    names = (
        "item_price_id", "price_currency", "balance_code", "balance_name", "currency", "decimals", "expires_after_months",
        "basis", "transaction_type", "made_by",
    )  # fmt: skip
    return {name: getattr(row, name) for name in names} | {
        "rate": format(row.rate, "f"),
        "sold_from": row.sold_from.isoformat(),
        "removed_at": row.removed_at.isoformat() if row.removed_at else None,
    }


def described(row: TopUpProduct) -> str:
    """The product as a person reads it."""
    rate = f"{row.rate.normalize():f} {row.currency} for 1 {row.price_currency}"
    lasts = "without end" if row.expires_after_months is None else f"for {row.expires_after_months} month(s)"
    return f"{row.item_price_id}: {rate} on balance {row.balance_code}, {lasts}, paid from {row.sold_from:%Y-%m-%d %H:%M} UTC"


def _checked(services: Services, connection: str, product: Product, who: str, now: datetime) -> TopUpProduct:
    """The row, with what both catalogues say; raises BadInput with every fault."""
    price = _price(services, connection, product.item_price_id)
    currency = product.currency or price.currency_code
    known = _currency(services, connection, currency)
    kind = lookup.transaction_type(services, connection, product.transaction_type)
    faults = _faults(services, connection, product, price, currency)
    if faults:
        raise BadInput("; ".join(faults))
    return TopUpProduct(
        connection=connection, item_price_id=price.id, price_currency=price.currency_code,
        balance_code=product.balance_code, balance_name=product.balance_name or product.balance_code, currency=currency,
        decimals=2 if known.max_decimal_places is None else known.max_decimal_places,
        rate=Decimal(1) if product.rate is None else product.rate, expires_after_months=product.expires_after_months,
        basis=product.basis, transaction_type=kind.code or kind.name, transaction_type_id=kind.id,
        sold_from=product.sold_from or now, removed_at=None, made_by=who, created_at=now,
    )  # fmt: skip


def _faults(services: Services, connection: str, product: Product, price: ItemPrice, currency: str) -> list[str]:
    settings = services.connection(connection).settings
    faults = []
    if price.status != "active":
        faults.append(f"the item price {price.id} is {price.status} in Chargebee")
    try:
        money.exponent(price.currency_code, dict(settings.currency_exponents))
    except money.BadMoney as unclear:
        faults.append(f"{unclear}: set CURRENCY_EXPONENTS first")
    if product.rate is None and currency != price.currency_code:
        faults.append(
            f"the price is in {price.currency_code} and the balance in {currency}: say with the rate how much {currency} is "
            f"credited for 1 {price.currency_code}"
        )
    if product.rate is not None and not (product.rate > 0 and len(product.rate.as_tuple().digits) <= money.MAX_DIGITS):
        faults.append(f"the rate is {product.rate}: it has to be above zero")
    if product.expires_after_months is not None and not 1 <= product.expires_after_months <= MAX_MONTHS:
        faults.append(f"credit lasts 1 to {MAX_MONTHS} months, or without end where nothing is said")
    if product.basis not in (None, GROSS, NET):
        faults.append(f"{product.basis!r} is neither {GROSS} nor {NET}")
    if not drafts.REFERENCE.fullmatch(product.balance_code):
        faults.append(f"{product.balance_code!r} cannot be the code of a balance: use letters, digits and . _ / -")
    if not 1 <= len((product.balance_name or product.balance_code).strip()) <= drafts.MAX_NAME:
        faults.append(f"the balance's name has to have 1 to {drafts.MAX_NAME} characters")
    return faults


def _price(services: Services, connection: str, item_price_id: str) -> ItemPrice:
    try:
        return services.connection(connection).chargebee.retrieve_item_price(item_price_id)
    except NotFound as absent:
        raise BadInput(f"Chargebee has no item price {item_price_id}") from absent


def _currency(services: Services, connection: str, code: str) -> Currency:
    every = services.connection(connection).m3ter.balance_billing.list_currencies()
    live = {one.code: one for one in every if not one.archived}
    drafts.must_be_known(live, code)
    return live[code]


def _must_be_free(db: Session, connection: str, row: TopUpProduct) -> None:
    """Raise BadInput where the item price means something else, or other terms hold for a part of the time."""
    mapped = db.scalars(
        select(Mapping.m3ter_entity).where(
            Mapping.connection == connection, Mapping.external_table == ITEM_PRICE,
            Mapping.external_id == row.item_price_id, Mapping.m3ter_entity.in_((PLAN, *CHARGE_ENTITIES)),
        )
    ).first()  # fmt: skip
    if mapped is not None:
        raise BadInput(
            f"{row.item_price_id} is mapped to a {mapped}: what it sells would be billed by m3ter as well. Take another item "
            "price, or `connector mappings remove` that mapping first"
        )
    every = listed(db, connection, removed=True)
    beside = [one for one in every if one.balance_code == row.balance_code and one.removed_at is None]
    if other := next((one for one in beside if _kept(one) != _kept(row)), None):
        raise BadInput(
            f"balance code {row.balance_code} is used otherwise: {described(other)}. Top-ups of one code share its currency, and "
            "all have balances of their own or none has"
        )
    others = [one for one in every if one.item_price_id == row.item_price_id]
    if live := next((one for one in others if one.removed_at is None), None):
        raise BadInput(
            f"it is a top-up already: {described(live)}. Remove that first; what was paid until then keeps its terms"
        )
    ended = max((one.removed_at for one in others if one.removed_at is not None), default=None)
    if ended is not None and row.sold_from < ended:
        raise BadInput(f"other terms held until {ended:%Y-%m-%d %H:%M} UTC: give a later first day")


def _kept(row: TopUpProduct) -> tuple[str, bool]:
    """What decides which balances a code stands for."""
    return row.currency, row.expires_after_months is None
