"""What Chargebee sends and takes, as frozen objects that are read strictly from its JSON."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from connector.clients.fields import Fields

# What Chargebee calls a discount that is no discount: promotional credits that paid.
PROMOTIONAL = "promotional_credits"


@dataclass(frozen=True)
class Customer:
    """A customer, as far as an m3ter account needs it; `parent_id` is the customer above it that gets its invoices."""

    id: str
    first_name: str | None
    last_name: str | None
    company: str | None
    email: str | None
    billing_address: dict[str, str]
    preferred_currency_code: str | None
    deleted: bool
    resource_version: int | None
    updated_at: datetime | None
    parent_id: str | None
    invoice_owner_id: str | None
    pii_cleared: bool

    @classmethod
    def from_json(cls, raw: object) -> "Customer":
        """The customer, from an answer's or an event's `customer`; raises Unreadable."""
        fields = Fields("Chargebee customer", raw)
        relationship = fields.texts("relationship")
        pays_itself = relationship.get("invoice_owner_id") == fields.id("id")
        return cls(
            id=fields.id("id"),
            first_name=fields.text_or_none("first_name"),
            last_name=fields.text_or_none("last_name"),
            company=fields.text_or_none("company"),
            email=fields.text_or_none("email"),
            billing_address=fields.texts("billing_address"),
            preferred_currency_code=fields.text_or_none("preferred_currency_code"),
            deleted=fields.flag("deleted"),
            resource_version=fields.whole_or_none("resource_version"),
            updated_at=fields.unix_time_or_none("updated_at"),
            parent_id=None if pays_itself else relationship.get("parent_id"),
            invoice_owner_id=relationship.get("invoice_owner_id"),
            pii_cleared=fields.text_or_none("pii_cleared") == "cleared",
        )


@dataclass(frozen=True)
class SubscriptionItem:
    """What is sold by a subscription."""

    item_price_id: str
    item_type: str
    quantity: int | None
    unit_price: int | None

    @classmethod
    def from_json(cls, raw: object) -> "SubscriptionItem":
        """The item; raises Unreadable."""
        fields = Fields("Chargebee subscription item", raw)
        return cls(
            fields.id("item_price_id"),
            fields.text("item_type"),
            fields.whole_or_none("quantity"),
            fields.whole_or_none("unit_price"),
        )


@dataclass(frozen=True)
class Subscription:
    """A subscription, with every time that can decide which plan holds when.

    `backdated` and `effective_at` are not Chargebee's: the mirror notes there that a change was backdated, and since when
    it holds, as far as its event says that.
    """

    id: str
    customer_id: str
    status: str
    currency_code: str
    items: tuple[SubscriptionItem, ...]
    started_at: datetime | None
    start_date: datetime | None
    activated_at: datetime | None
    current_term_start: datetime | None
    current_term_end: datetime | None
    cancelled_at: datetime | None
    pause_date: datetime | None
    trial_start: datetime | None
    trial_end: datetime | None
    created_at: datetime | None
    updated_at: datetime | None
    deleted: bool
    resource_version: int | None
    backdated: bool = False
    effective_at: datetime | None = None

    @classmethod
    def from_json(cls, raw: object) -> "Subscription":
        """The subscription, from an answer's or an event's `subscription`; raises Unreadable."""
        fields = Fields("Chargebee subscription", raw)
        return cls(
            id=fields.id("id"),
            customer_id=fields.id("customer_id"),
            status=fields.id("status"),
            currency_code=fields.id("currency_code"),
            items=fields.each_or_none("subscription_items", SubscriptionItem.from_json),
            started_at=fields.unix_time_or_none("started_at"),
            start_date=fields.unix_time_or_none("start_date"),
            activated_at=fields.unix_time_or_none("activated_at"),
            current_term_start=fields.unix_time_or_none("current_term_start"),
            current_term_end=fields.unix_time_or_none("current_term_end"),
            cancelled_at=fields.unix_time_or_none("cancelled_at"),
            pause_date=fields.unix_time_or_none("pause_date"),
            trial_start=fields.unix_time_or_none("trial_start"),
            trial_end=fields.unix_time_or_none("trial_end"),
            created_at=fields.unix_time_or_none("created_at"),
            updated_at=fields.unix_time_or_none("updated_at"),
            deleted=fields.flag("deleted"),
            resource_version=fields.whole_or_none("resource_version"),
            backdated=fields.flag("backdated"),
            effective_at=fields.unix_time_or_none("effective_at"),
        )


@dataclass(frozen=True)
class InvoiceLine:
    """A line of an invoice; amounts are minor units of the invoice's currency."""

    id: str
    subscription_id: str | None
    entity_type: str
    entity_id: str | None
    description: str
    unit_amount: int
    quantity: int
    amount: int
    date_from: datetime
    date_to: datetime
    discount_amount: int = 0

    @classmethod
    def from_json(cls, raw: object) -> "InvoiceLine":
        """The line; raises Unreadable."""
        fields = Fields("Chargebee invoice line", raw)
        quantity = fields.whole_or_none("quantity")
        return cls(
            id=fields.id("id"),
            subscription_id=fields.text_or_none("subscription_id"),
            entity_type=fields.id("entity_type"),
            entity_id=fields.text_or_none("entity_id"),
            description=fields.text("description"),
            unit_amount=fields.whole("unit_amount"),
            quantity=1 if quantity is None else quantity,
            amount=fields.whole("amount"),
            date_from=fields.unix_time("date_from"),
            date_to=fields.unix_time("date_to"),
            discount_amount=fields.whole_or_none("discount_amount") or 0,
        )


@dataclass(frozen=True)
class LineDiscount:
    """What one discount takes off one line, in minor units; promotional credits are shown like one."""

    line_id: str
    kind: str | None
    amount: int

    @classmethod
    def from_json(cls, raw: object) -> "LineDiscount":
        """The discount; raises Unreadable."""
        fields = Fields("Chargebee line item discount", raw)
        return cls(fields.id("line_item_id"), fields.text_or_none("discount_type"), fields.whole("discount_amount"))

    @property
    def is_payment(self) -> bool:
        """Whether it is no discount but paid with promotional credits (chargebee.md §8.2)."""
        return self.kind == PROMOTIONAL


@dataclass(frozen=True)
class Invoice:
    """An invoice; `lines_complete` is false where Chargebee sent only the first of its lines.

    `adjusted` is how much less of it is owed than it says, by adjustments and write-offs, in minor units like all amounts.
    `promotional` says that promotional credits paid for a part of it.
    """

    id: str
    status: str
    customer_id: str
    subscription_id: str | None
    currency_code: str
    date: datetime | None
    total: int
    lines: tuple[InvoiceLine, ...]
    lines_complete: bool
    resource_version: int | None
    amount_due: int = 0
    paid_at: datetime | None = None
    generated_at: datetime | None = None
    adjusted: int = 0
    line_discounts: tuple[LineDiscount, ...] = ()
    promotional: bool = False
    deleted: bool = False

    @classmethod
    def from_json(cls, raw: object) -> "Invoice":
        """The invoice, from an answer's or an event's `invoice`; raises Unreadable."""
        fields = Fields("Chargebee invoice", raw)
        return cls(
            id=fields.id("id"),
            status=fields.id("status"),
            customer_id=fields.id("customer_id"),
            subscription_id=fields.text_or_none("subscription_id"),
            currency_code=fields.id("currency_code"),
            date=fields.unix_time_or_none("date"),
            total=fields.whole("total"),
            lines=fields.each_or_none("line_items", InvoiceLine.from_json),
            lines_complete=not fields.text_or_none("line_items_next_offset"),
            resource_version=fields.whole_or_none("resource_version"),
            amount_due=fields.whole_or_none("amount_due") or 0,
            paid_at=fields.unix_time_or_none("paid_at"),
            generated_at=fields.unix_time_or_none("generated_at"),
            # Whether a write-off counts among the adjustments is not documented: the larger one holds the other.
            adjusted=max(fields.whole_or_none(name) or 0 for name in ("amount_adjusted", "write_off_amount")),
            line_discounts=fields.each_or_none("line_item_discounts", LineDiscount.from_json),
            promotional=PROMOTIONAL in fields.each_or_none("discounts", _kind_of_discount),
            deleted=fields.flag("deleted"),
        )


def own_discounts(invoice: Invoice) -> tuple[LineDiscount, ...]:
    """The discounts on lines that came along: whether a page has the others' too is not documented."""
    line_ids = {line.id for line in invoice.lines}
    return tuple(one for one in invoice.line_discounts if one.line_id in line_ids)


def _kind_of_discount(raw: object) -> str | None:
    """What a discount of a whole invoice comes from."""
    return Fields("Chargebee discount", raw).text_or_none("entity_type")


@dataclass(frozen=True)
class ItemPrice:
    """A price of the catalogue, of a plan, an addon or a charge; `raw` is all that Chargebee sent of it."""

    id: str
    name: str
    item_type: str
    currency_code: str
    pricing_model: str
    status: str
    item_family_id: str | None
    raw: dict[str, Any] = field(compare=False, repr=False)

    @classmethod
    def from_json(cls, raw: object) -> "ItemPrice":
        """The item price; raises Unreadable."""
        fields = Fields("Chargebee item price", raw)
        return cls(
            id=fields.id("id"),
            name=fields.text("name"),
            item_type=fields.id("item_type"),
            currency_code=fields.id("currency_code"),
            pricing_model=fields.id("pricing_model"),
            status=fields.id("status"),
            item_family_id=fields.text_or_none("item_family_id"),
            raw=fields.all(),
        )

    @property
    def item_id(self) -> str | None:
        """The item that it is a price of."""
        return Fields("Chargebee item price", self.raw).text_or_none("item_id")


@dataclass(frozen=True)
class Item:
    """What is sold: a plan, an addon or a charge."""

    id: str
    type: str
    status: str

    @classmethod
    def from_json(cls, raw: object) -> "Item":
        """The item; raises Unreadable."""
        fields = Fields("Chargebee item", raw)
        return cls(fields.id("id"), fields.id("type"), fields.id("status"))


@dataclass(frozen=True)
class PromotionalCredit:
    """A promotional credit of a customer; `reference` is what its giver noted on it."""

    id: str
    reference: str | None

    @classmethod
    def from_json(cls, raw: object) -> "PromotionalCredit":
        """The credit; raises Unreadable."""
        fields = Fields("Chargebee promotional credit", raw)
        return cls(fields.id("id"), fields.text_or_none("reference"))


@dataclass(frozen=True)
class CreditNote:
    """A credit note; `notes` is what its maker wrote on it for the customer."""

    id: str
    notes: str | None

    @classmethod
    def from_json(cls, raw: object) -> "CreditNote":
        """The credit note; raises Unreadable."""
        fields = Fields("Chargebee credit note", raw)
        return cls(fields.id("id"), fields.text_or_none("customer_notes"))


@dataclass(frozen=True)
class CreditLine:
    """A line of a credit note, in minor units; `invoice_line_id` is the line that it lowers, where it names one."""

    invoice_line_id: str | None
    amount: int

    @classmethod
    def from_json(cls, raw: object) -> "CreditLine":
        """The line, less its own discount; raises Unreadable."""
        fields = Fields("Chargebee credit note line", raw)
        discount = fields.whole_or_none("discount_amount") or 0
        return cls(fields.text_or_none("reference_line_item_id"), fields.whole("amount") - discount)


@dataclass(frozen=True)
class InvoiceCredit:
    """A credit note on an invoice, as far as it lowers what the invoice's lines are worth, in minor units.

    `sub_total` is what it comes to before tax where prices are, `total` with it.
    """

    id: str
    type: str
    status: str
    total: int
    sub_total: int
    lines: tuple[CreditLine, ...]
    lines_complete: bool

    @classmethod
    def from_json(cls, raw: object) -> "InvoiceCredit":
        """The credit note, from an answer's `credit_note`; raises Unreadable."""
        fields = Fields("Chargebee credit note", raw)
        return cls(
            id=fields.id("id"),
            type=fields.id("type"),
            status=fields.id("status"),
            total=fields.whole("total"),
            sub_total=fields.whole("sub_total" if fields.has("sub_total") else "total"),
            lines=fields.each_or_none("line_items", CreditLine.from_json),
            lines_complete=not fields.text_or_none("line_items_next_offset"),
        )


@dataclass(frozen=True)
class NewCharge:
    """A charge that is to be made, of `amount` minor units: of an item of the catalogue, or under its own description."""

    item_price_id: str | None
    amount: int
    description: str
    date_from: datetime
    date_to: datetime


@dataclass(frozen=True)
class MadeCharges:
    """The charges that a call has made, and the invoice that they are on, if any; `replayed` as in `AddedCharge`."""

    lines: tuple[InvoiceLine, ...]
    invoice: Invoice | None
    replayed: bool


@dataclass(frozen=True)
class AddedCharge:
    """The invoice after a charge was added; `replayed` says that the answer is the stored one of an earlier call."""

    invoice: Invoice
    replayed: bool
