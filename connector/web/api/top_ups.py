"""Top-ups that customers buy in Chargebee: which item prices are some, what was credited, and what is due for an invoice."""

from datetime import datetime
from hashlib import sha256
from typing import Annotated, Literal

from pydantic import Field

from connector import actions
from connector.balances import products, sold
from connector.balances.products import MAX_MONTHS, Product
from connector.models import Sync
from connector.web.api import problems
from connector.web.api.here import Here
from connector.web.api.shapes import Amount, Body, Currency, Moment, Page, Paged, Query, Reason, Seen, Shape, Text, page
from connector.web.api.syncs import SyncShape
from connector.web.api.two_steps import amount_of

ItemPrice = Annotated[Text, Field(max_length=200, description="A Chargebee item price's id.")]


class ProductShape(Shape):
    """An item price that is a top-up, and the terms on which it is; these never change."""

    item_price_id: str
    price_currency: str
    balance_code: str
    balance_name: str
    currency: str
    decimals: int
    rate: str = Field(description="Credit for one unit of money.")
    expires_after_months: int | None
    basis: str | None = Field(description="Null: what TOP_UP_AMOUNT says.")
    transaction_type: str
    sold_from: datetime
    removed_at: datetime | None
    made_by: str


class Products(Shape):
    """The item prices that are top-ups."""

    products: list[ProductShape]


class ProductsQuery(Query):
    """Which."""

    removed: Literal["true", "false"] = Field("false", description="Also those that are no longer sold.")


class ProductBody(Body):
    """A top-up to sell."""

    item_price_id: ItemPrice
    balance_code: Annotated[Text, Field(max_length=80)]
    balance_name: Annotated[Text, Field(max_length=200)] | None = Field(None, description="The code when left out.")
    currency: Currency | None = Field(None, description="The balance's; the price's own when left out.")
    rate: Amount | None = Field(None, description="Credit for one unit of money; 1 in the same currency.")
    expires_after_months: int | None = Field(
        None, ge=1, le=MAX_MONTHS, description="Each purchase gets a balance of its own that ends after so many months."
    )
    basis: Literal["gross", "net"] | None = Field(None, description="Instead of TOP_UP_AMOUNT.")
    type: Text | None = Field(None, description="m3ter's transaction type by its code; not needed where there is one.")
    sold_from: Moment | None = Field(None, description="Credit what was paid since then; from now on when left out.")
    dry_run: bool = Field(False, description="Check only.")


class ProductSet(Shape):
    """The product, or with `dry_run` what it would be."""

    product: ProductShape
    dry_run: bool


class ProductRemoveBody(Body):
    """What is no longer a top-up."""

    item_price_id: ItemPrice
    reason: Reason
    dry_run: bool = Field(False, description="Check only.")


class SoldShape(Shape):
    """A line of an invoice that was credited, with what stands of it in `currency`."""

    invoice_id: str
    line_id: str
    customer_id: str
    item_price_id: str
    balance_id: str | None
    currency: str
    credited: str
    transactions: int
    at: datetime


class SoldPage(Page):
    """Top-ups that were credited, the newest first."""

    top_ups: list[SoldShape]


class SoldQuery(Paged):
    """Which: those to which all applies that is given."""

    customer: Text | None = None
    invoice: Text | None = None


class DueShape(Shape):
    """What is due for a line beside what is credited; `unclear` says why that cannot be said."""

    line_id: str
    item_price_id: str
    due: str | None
    credited: str
    currency: str
    unclear: str | None


class CreditPreview(Shape):
    """What is due for an invoice as Chargebee has it now; the difference is credited, or taken back."""

    invoice_id: str
    lines: list[DueShape]
    skipped: list[str]
    seen: Seen


class InvoiceQuery(Query):
    """For which invoice."""

    invoice: Text


class CreditBody(Body):
    """The invoice, and what its preview showed."""

    invoice: Text
    seen: Seen | None = None


class CreditAsked(Shape):
    """The sync that sees to it; null where nothing of the invoice is a top-up."""

    sync: SyncShape | None


def index(here: Here, connection: str, query: ProductsQuery) -> Products:
    """The item prices that are top-ups; no provider is asked."""
    here.connection(connection)
    with here.services.reading() as db:
        rows = products.listed(db, connection, removed=query.removed == "true")
    return Products(products=[ProductShape.model_validate(products.as_json(row)) for row in rows])


def add(here: Here, connection: str, body: ProductBody) -> ProductSet:
    """Make an item price a top-up, checked against both live catalogues."""
    here.connection(connection)
    product = Product(
        body.item_price_id, body.balance_code, body.balance_name, body.currency, amount_of(body.rate, "`rate`"),
        body.expires_after_months, body.basis, body.type, body.sold_from,
    )  # fmt: skip
    row = products.add(here.services, connection, product, who=here.who, dry_run=body.dry_run)
    return ProductSet(product=ProductShape.model_validate(products.as_json(row)), dry_run=body.dry_run)


def remove(here: Here, connection: str, body: ProductRemoveBody) -> ProductSet:
    """Credit nothing that is paid for it from now on."""
    here.connection(connection)
    row = products.remove(
        here.services, connection, body.item_price_id, who=here.who, reason=body.reason, dry_run=body.dry_run
    )
    return ProductSet(product=ProductShape.model_validate(products.as_json(row)), dry_run=body.dry_run)


def sold_index(here: Here, connection: str, query: SoldQuery) -> SoldPage:
    """A page of what was credited."""
    here.connection(connection)
    with here.services.reading() as db:
        found = sold.listed(
            db, connection, customer_id=query.customer, invoice_id=query.invoice, before=query.before,
            limit=query.limit + 1,
        )  # fmt: skip
        _, older = page([row for row, _ in found], query.limit)
        shapes = [SoldShape.model_validate(sold.as_json(db, *one)) for one in found[: query.limit]]
    return SoldPage(top_ups=shapes, next=older)


def preview_credit(here: Here, connection: str, query: InvoiceQuery) -> CreditPreview:
    """What is due for an invoice, and what is credited; Chargebee is asked."""
    return _shown(here, connection, query.invoice)


def _shown(here: Here, connection: str, invoice_id: str) -> CreditPreview:
    standing = sold.look_up(here.services, here.connection(connection), invoice_id)
    if standing is None:
        raise problems.not_found("such invoice in Chargebee, and nothing was credited for one")
    with here.services.reading() as db:
        said = sold.standing_as_json(db, connection, standing, invoice_id)
    return CreditPreview.model_validate(said | {"seen": sha256(repr(said).encode()).hexdigest()})


def credit(here: Here, connection: str, body: CreditBody) -> CreditAsked:
    """Let a worker bring the credit for an invoice to what is due, as that was shown."""
    shown = _shown(here, connection, body.invoice)
    if body.seen != shown.seen:
        raise problems.changed(shown, body.seen)
    if not shown.lines:
        return CreditAsked(sync=None)
    sync_id = actions.credit_top_ups(here.services, connection, body.invoice, here.who)
    with here.services.reading() as db:
        return CreditAsked(sync=SyncShape.model_validate(db.get_one(Sync, sync_id)))
