"""Chargebee's API v2: the official SDK writes the requests, our own `Http` carries them, and we read the answers.

The SDK's transport opens a connection for every call, and its models take 26 ms of processor time for a page of 100
invoices and raise TypeError for a missing one, so neither is used. Its retries stay off: they repeat a 429 without end.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from urllib.parse import unquote, urlsplit

import chargebee

from connector.clients.fields import Fields
from connector.clients.http import Answer, Http, Unreadable, after_a_write, base_url, segment, silence
from connector.errors import Misconfigured, Rejected, Retryable

PROVIDER = "Chargebee"
PAGE_SIZE = 100
LINES_PAGE_SIZE = 300
MAX_KEY = 100
MAX_COMMENT = 300
KEY_HEADER = chargebee.Chargebee.idempotency_header
# What Chargebee calls a discount that is no discount: promotional credits that paid.
PROMOTIONAL = "promotional_credits"
REPLAYED_HEADER = "chargebee-idempotency-replayed"
SITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")


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


def _own_discounts(invoice: Invoice) -> tuple[LineDiscount, ...]:
    """Those on lines that came along: whether a page has the others' too is not documented."""
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


class ChargebeeClient:
    """One Chargebee site; any number of them share one `Http`."""

    def __init__(self, http: Http, *, site: str, api_key: str, api_url: str | None = None) -> None:
        if not SITE.fullmatch(site):
            raise Misconfigured("the Chargebee site should be its name alone, such as acme or acme-test")
        if not (api_key and api_key.isascii() and api_key.isprintable()):
            raise Misconfigured("the Chargebee API key is empty or has characters that no key has")
        self._http = http
        self._api_url = base_url(api_url or f"https://{site}.chargebee.com/api/v2", "the Chargebee API URL")
        self._sdk = chargebee.Chargebee(api_key=api_key, site=site)
        self._sdk.env.api_endpoint = self._api_url

    def retrieve_customer(self, customer_id: str) -> dict[str, Any]:
        """The customer as Chargebee sends it, for `Customer.from_json` and the mirror.

        Chargebee API: Customers > Retrieve a customer
        """
        answer = self._call("Customer.retrieve", self._sdk.Customer.retrieve, segment(customer_id))
        return _member(answer.json(), "customer")

    def retrieve_subscription(self, subscription_id: str) -> dict[str, Any]:
        """The whole answer: the `subscription` and, beside it, its `customer`.

        Chargebee API: Subscriptions > Retrieve a subscription
        """
        answer = self._call("Subscription.retrieve", self._sdk.Subscription.retrieve, segment(subscription_id))
        _member(answer.json(), "subscription")
        return dict(answer.json())

    def list_events(
        self, *, occurred_after: datetime, offset: str | None = None, limit: int = PAGE_SIZE
    ) -> tuple[list[dict[str, Any]], str | None]:
        """One page of events as Chargebee sends them, oldest first, and the offset of the next page (None: no more).

        Chargebee API: Events > List events
        """
        filters = {"occurred_at": {"after": _seconds(occurred_after)}, "sort_by": {"asc": "occurred_at"}}
        return self._page("Event.list", self._sdk.Event.list, "event", {**filters, "limit": limit}, offset)

    def pending_invoices(self, subscription_id: str) -> list[Invoice]:
        """The subscription's pending invoices, oldest first; `lines_complete` says whether all lines of one came along.

        Chargebee API: Invoices > List invoices
        """
        return self._pending_invoices({"subscription_id": {"is": subscription_id}})

    def pending_invoices_of_customer(self, customer_id: str) -> list[Invoice]:
        """As `pending_invoices`, of all subscriptions whose invoices this customer gets; for consolidated invoicing.

        Chargebee API: Invoices > List invoices
        """
        return self._pending_invoices({"customer_id": {"is": customer_id}})

    def _pending_invoices(self, whose: dict[str, Any]) -> list[Invoice]:
        filters = {
            **whose,
            "status": {"is": "pending"},
            "sort_by": {"asc": "date"},
            "limit": PAGE_SIZE,
        }
        return [Invoice.from_json(raw) for raw in self._all("Invoice.list", self._sdk.Invoice.list, "invoice", filters)]

    def invoices_since(
        self, since: datetime, *, subscription_id: str | None = None, customer_id: str | None = None
    ) -> list[Invoice]:
        """The invoices, with all their lines, of a subscription or a customer that have a later date than `since`.

        Chargebee API: Invoices > List invoices
        """
        whose = {"subscription_id": subscription_id, "customer_id": customer_id}
        filters: dict[str, Any] = {name: {"is": one} for name, one in whose.items() if one is not None}
        filters |= {"date": {"after": _seconds(since)}, "sort_by": {"asc": "date"}, "limit": PAGE_SIZE}
        rows = self._all("Invoice.list", self._sdk.Invoice.list, "invoice", filters)
        found = [Invoice.from_json(raw) for raw in rows]
        return [one if one.lines_complete else self.retrieve_invoice(one.id) for one in found]

    def retrieve_invoice(self, invoice_id: str) -> Invoice:
        """The invoice with all its lines; raises Retryable when it changed while they were read.

        Chargebee API: Invoices > Retrieve an invoice
        """
        raw = self._invoice_page(invoice_id, None)
        invoice = Invoice.from_json(raw)
        while not invoice.lines_complete:
            raw = self._invoice_page(invoice_id, raw["line_items_next_offset"])
            page = Invoice.from_json(raw)
            if page.resource_version != invoice.resource_version:
                raise Retryable(f"Chargebee invoice {invoice_id} changed while its lines were read")
            invoice = replace(
                invoice,
                lines=invoice.lines + page.lines,
                line_discounts=_own_discounts(invoice) + _own_discounts(page),
                lines_complete=page.lines_complete,
            )
        return invoice

    def deleted_invoice(self, invoice_id: str) -> Invoice | None:
        """The invoice where it was deleted, which only a list still shows; None where there is none of this id.

        Chargebee API: Invoices > List invoices
        """
        filters = {"id": {"is": invoice_id}, "include_deleted": True, "limit": 1}
        rows = self._all("Invoice.list", self._sdk.Invoice.list, "invoice", filters)
        return next((found for raw in rows if (found := Invoice.from_json(raw)).deleted), None)

    def credits_on_invoice(self, invoice_id: str) -> list[InvoiceCredit]:
        """Every credit note that refers to the invoice, with all its lines; deleted ones are left out.

        Chargebee API: Credit notes > List credit notes
        """
        filters = {"reference_invoice_id": {"is": invoice_id}, "limit": PAGE_SIZE}
        rows = self._all("CreditNote.list", self._sdk.CreditNote.list, "credit_note", filters)
        found = [InvoiceCredit.from_json(raw) for raw in rows]
        return [one if one.lines_complete else self._whole_credit(one.id) for one in found]

    def _whole_credit(self, credit_note_id: str) -> InvoiceCredit:
        """One credit note of a site with enterprise-scale invoicing, whose lines come page by page."""
        pages: list[InvoiceCredit] = []
        offset: str | None = None
        while not pages or offset is not None:
            params: dict[str, Any] = {"line_items_limit": LINES_PAGE_SIZE}
            if offset is not None:
                params["line_items_offset"] = offset
            method = self._sdk.CreditNote.retrieve
            answer = self._call("CreditNote.retrieve", method, segment(credit_note_id), params)
            raw = _member(answer.json(), "credit_note")
            _check_progress("CreditNote.retrieve", offset, raw.get("line_items_next_offset"))
            offset = raw.get("line_items_next_offset")
            pages.append(InvoiceCredit.from_json(raw))
        return replace(pages[-1], lines=tuple(line for page in pages for line in page.lines))

    def retrieve_item_price(self, item_price_id: str) -> ItemPrice:
        """The item price.

        Chargebee API: Item prices > Retrieve an item price
        """
        answer = self._call("ItemPrice.retrieve", self._sdk.ItemPrice.retrieve, segment(item_price_id))
        return ItemPrice.from_json(_member(answer.json(), "item_price"))

    def item_family_must_exist(self, item_family_id: str) -> None:
        """Raise NotFound unless there is this item family.

        Chargebee API: Item families > Retrieve an item family
        """
        self._call("ItemFamily.retrieve", self._sdk.ItemFamily.retrieve, segment(item_family_id))

    def items(self, id_prefix: str) -> list[Item]:
        """Every item whose id begins so, but deleted ones.

        Chargebee API: Items > List items
        """
        filters = {"id": {"starts_with": id_prefix}, "limit": PAGE_SIZE}
        return [Item.from_json(raw) for raw in self._all("Item.list", self._sdk.Item.list, "item", filters)]

    def item_prices(self, id_prefix: str) -> list[ItemPrice]:
        """Every item price whose id begins so, but deleted ones.

        Chargebee API: Item prices > List item prices
        """
        filters = {"id": {"starts_with": id_prefix}, "limit": PAGE_SIZE}
        rows = self._all("ItemPrice.list", self._sdk.ItemPrice.list, "item_price", filters)
        return [ItemPrice.from_json(raw) for raw in rows]

    def active_item_prices(self) -> Iterator[ItemPrice]:
        """Every item price that is neither archived nor deleted; pages are asked for as they are read.

        Chargebee API: Item prices > List item prices
        """
        filters = {"status": {"is": "active"}, "limit": PAGE_SIZE}
        rows = self._all("ItemPrice.list", self._sdk.ItemPrice.list, "item_price", filters)
        return map(ItemPrice.from_json, rows)

    def retrieve_item(self, item_id: str) -> Item:
        """The item.

        Chargebee API: Items > Retrieve an item
        """
        answer = self._call("Item.retrieve", self._sdk.Item.retrieve, segment(item_id))
        return Item.from_json(_member(answer.json(), "item"))

    def create_charge_item(self, item_id: str, *, name: str, item_family_id: str) -> None:
        """A new charge item that is in no shop window; Rejected with `duplicate_entry` where the id is taken.

        Chargebee API: Items > Create an item
        """
        params = {
            "id": item_id, "name": item_id, "external_name": name, "type": "charge", "item_family_id": item_family_id,
            "enabled_for_checkout": False, "enabled_in_portal": False,
        }  # fmt: skip
        self._call("Item.create", self._sdk.Item.create, params, writes=True)

    def create_flat_price(self, item_price_id: str, *, item_id: str, name: str, currency: str) -> None:
        """A new flat-fee price of nothing, as bill lines need it; Rejected with `duplicate_entry` where the id is taken.

        Chargebee API: Item prices > Create an item price
        """
        params = {
            "id": item_price_id, "name": item_price_id, "external_name": name, "item_id": item_id,
            "currency_code": currency, "pricing_model": "flat_fee", "price": 0,
        }  # fmt: skip
        self._call("ItemPrice.create", self._sdk.ItemPrice.create, params, writes=True)

    def add_charge_item(
        self,
        invoice_id: str,
        *,
        item_price_id: str,
        unit_price: int,
        date_from: datetime,
        date_to: datetime,
        comment: str,
        idempotency_key: str,
        subscription_id: str | None = None,
    ) -> AddedCharge:
        """The pending invoice with one charge more, of `unit_price` minor units; Uncertain when it may have been added.

        Chargebee API: Invoices > Add a charge item
        """
        _check_charge(unit_price, date_from, date_to, idempotency_key)
        item_price = {
            "item_price_id": item_price_id, "unit_price": unit_price, "date_from": _seconds(date_from),
            "date_to": _seconds(date_to),
        }  # fmt: skip
        params = {"item_price": item_price, "comment": comment[:MAX_COMMENT], "subscription_id": subscription_id}
        method = self._sdk.Invoice.add_charge_item
        return self._add("Invoice.add_charge_item", method, invoice_id, params, idempotency_key)

    def add_charge(
        self,
        invoice_id: str,
        *,
        amount: int,
        description: str,
        date_from: datetime,
        date_to: datetime,
        comment: str,
        idempotency_key: str,
        subscription_id: str | None = None,
    ) -> AddedCharge:
        """As `add_charge_item`, without an item of the catalogue and with a description of its own, of 250 characters.

        Chargebee API: Invoices > Add one-time charge to a pending invoice
        """
        _check_charge(amount, date_from, date_to, idempotency_key)
        params = {
            "amount": amount, "description": description, "comment": comment[:MAX_COMMENT],
            "line_item": {"date_from": _seconds(date_from), "date_to": _seconds(date_to)},
            "subscription_id": subscription_id,
        }  # fmt: skip
        return self._add("Invoice.add_charge", self._sdk.Invoice.add_charge, invoice_id, params, idempotency_key)

    def _add(
        self, operation: str, method: Callable[..., object], invoice_id: str, params: dict[str, Any], key: str
    ) -> AddedCharge:
        params = {name: value for name, value in params.items() if value is not None}
        # The SDK writes its own headers into the dictionary it is given, so each call gets a new one.
        answer = self._call(operation, method, segment(invoice_id), params, {KEY_HEADER: key}, writes=True)
        with after_a_write():
            invoice = Invoice.from_json(_member(answer.json(), "invoice"))
        return AddedCharge(invoice, _is_replayed(answer))

    def create_pending_invoice(
        self, subscription_id: str, charges: Sequence[NewCharge], *, currency: str, idempotency_key: str
    ) -> MadeCharges:
        """A new pending invoice of the subscription with all these charges; Uncertain when it may have been made.

        Chargebee API: Invoices > Create an invoice for charge-items and one-time charges
        """
        params = _charges_form(subscription_id, charges, currency, idempotency_key) | {"create_pending_invoice": True}
        method, headers = self._sdk.Invoice.create_for_charge_items_and_charges, {KEY_HEADER: idempotency_key}
        answer = self._call("Invoice.create_for_charge_items_and_charges", method, params, headers, writes=True)
        with after_a_write():
            invoice = Invoice.from_json(_member(answer.json(), "invoice"))
        return MadeCharges(invoice.lines, invoice, _is_replayed(answer))

    def create_unbilled_charges(
        self, subscription_id: str, charges: Sequence[NewCharge], *, currency: str, idempotency_key: str
    ) -> MadeCharges:
        """Charges that the subscription's next invoice will take; Uncertain when they may have been made.

        Chargebee API: Unbilled charges > Create unbilled charges
        """
        params = _charges_form(subscription_id, charges, currency, idempotency_key)
        method, headers = self._sdk.UnbilledCharge.create, {KEY_HEADER: idempotency_key}
        answer = self._call("UnbilledCharge.create", method, params, headers, writes=True)
        with after_a_write():
            made = Fields("Chargebee answer", answer.json()).each("unbilled_charges", InvoiceLine.from_json)
        return MadeCharges(made, None, _is_replayed(answer))

    def unbilled_charges(self, subscription_id: str) -> list[InvoiceLine]:
        """The charges that the subscription's next invoice will take.

        Chargebee API: Unbilled charges > List unbilled charges
        """
        filters = {"subscription_id": {"is": subscription_id}, "limit": PAGE_SIZE}
        rows = self._all("UnbilledCharge.list", self._sdk.UnbilledCharge.list, "unbilled_charge", filters)
        return [InvoiceLine.from_json(raw) for raw in rows]

    def add_promotional_credit(
        self, customer_id: str, *, amount: int, currency: str, description: str, reference: str, idempotency_key: str
    ) -> str:
        """The id of a new promotional credit of `amount` minor units; Uncertain when it may have been given.

        Chargebee API: Promotional credits > Add promotional credits
        """
        if amount < 1:
            raise ValueError("a credit of nothing cannot be given")
        params = {
            "customer_id": customer_id, "amount": amount, "currency_code": currency, "description": description,
            "reference": reference,
        }  # fmt: skip
        method, headers = self._sdk.PromotionalCredit.add, {KEY_HEADER: idempotency_key}
        answer = self._call("PromotionalCredit.add", method, params, headers, writes=True)
        with after_a_write():
            return PromotionalCredit.from_json(_member(answer.json(), "promotional_credit")).id

    def promotional_credits(self, customer_id: str) -> list[PromotionalCredit]:
        """Every promotional credit that the customer was ever given or that was taken from it.

        Chargebee API: Promotional credits > List promotional credits
        """
        filters = {"customer_id": {"is": customer_id}, "limit": PAGE_SIZE}
        method = self._sdk.PromotionalCredit.list
        rows = self._all("PromotionalCredit.list", method, "promotional_credit", filters)
        return [PromotionalCredit.from_json(raw) for raw in rows]

    def adjust_invoice(self, invoice: Invoice, *, total: int, notes: str, idempotency_key: str) -> str:
        """The id of a new credit note on the closed invoice: off what is due of it, or to be paid back where it is paid.

        Chargebee API: Credit notes > Create a credit note
        """
        kind = "adjustment" if total <= invoice.amount_due else "refundable"
        params = {"type": kind, "reference_invoice_id": invoice.id, "total": total, "customer_notes": notes}
        return self._create_credit_note(params, idempotency_key)

    def credit_customer(self, customer_id: str, *, total: int, currency: str, notes: str, idempotency_key: str) -> str:
        """The id of a new refundable credit note of the customer, on no invoice.

        Chargebee API: Credit notes > Create a credit note
        """
        params = {
            "type": "refundable", "customer_id": customer_id, "total": total, "currency_code": currency,
            "customer_notes": notes,
        }  # fmt: skip
        return self._create_credit_note(params, idempotency_key)

    def _create_credit_note(self, params: dict[str, Any], idempotency_key: str) -> str:
        if params["total"] < 1:
            raise ValueError("a credit of nothing cannot be given")
        method, headers = self._sdk.CreditNote.create, {KEY_HEADER: idempotency_key}
        answer = self._call("CreditNote.create", method, params, headers, writes=True)
        with after_a_write():
            return CreditNote.from_json(_member(answer.json(), "credit_note")).id

    def credit_notes(self, *, invoice_id: str | None = None, customer_id: str | None = None) -> list[CreditNote]:
        """Every credit note on this invoice, or of this customer.

        Chargebee API: Credit notes > List credit notes
        """
        whose = {"reference_invoice_id": invoice_id, "customer_id": customer_id}
        filters: dict[str, Any] = {name: {"is": one} for name, one in whose.items() if one is not None}
        filters["limit"] = PAGE_SIZE
        rows = self._all("CreditNote.list", self._sdk.CreditNote.list, "credit_note", filters)
        return [CreditNote.from_json(raw) for raw in rows]

    def close_invoice(self, invoice_id: str, *, idempotency_key: str) -> Invoice:
        """The pending invoice, closed under its final id; Uncertain when it may have been closed.

        Chargebee API: Invoices > Close a pending invoice
        """
        headers = {KEY_HEADER: idempotency_key}
        answer = self._call("Invoice.close", self._sdk.Invoice.close, segment(invoice_id), {}, headers, writes=True)
        with after_a_write():
            return Invoice.from_json(_member(answer.json(), "invoice"))

    def _invoice_page(self, invoice_id: str, offset: str | None) -> dict[str, Any]:
        # Both parameters count only on sites with enterprise-scale invoicing; all others send every line at once.
        params: dict[str, Any] = {"line_items_limit": LINES_PAGE_SIZE}
        if offset is not None:
            params["line_items_offset"] = offset
        answer = self._call("Invoice.retrieve", self._sdk.Invoice.retrieve, segment(invoice_id), params)
        raw = _member(answer.json(), "invoice")
        _check_progress("Invoice.retrieve", offset, raw.get("line_items_next_offset"))
        return raw

    def _all(
        self, operation: str, method: Callable[..., object], member: str, filters: dict[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """Every row of a list, page by page."""
        rows, offset = self._page(operation, method, member, filters, None)
        yield from rows
        while offset is not None:
            rows, offset = self._page(operation, method, member, filters, offset)
            yield from rows

    def _page(
        self, operation: str, method: Callable[..., object], member: str, filters: dict[str, Any], offset: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        params = filters if offset is None else {**filters, "offset": offset}
        page = Fields(f"Chargebee answer to {operation}", self._call(operation, method, params).json())
        following = page.text_or_none("next_offset") or None
        _check_progress(operation, offset, following)
        return list(page.each("list", lambda row: _member(row, member))), following

    def _call(self, operation: str, method: Callable[..., object], *args: object, writes: bool = False) -> Answer:
        token = _route.set(_Route(self._http, self._api_url, operation, writes))
        try:
            method(*args)
        except _Answered as answered:
            return answered.answer
        finally:
            _route.reset(token)
        raise AssertionError("the SDK has made its call by another way than ours")


@dataclass(frozen=True)
class _Route:
    """The way that the SDK's next request is to take: several clients of one process must not meet."""

    http: Http
    api_url: str
    operation: str
    writes: bool

    def url(self, sdk_url: str) -> str:
        """The SDK's address with our own scheme, and with one layer of quoting taken off its path.

        The SDK quotes an id but leaves its slashes, and picks the scheme by a setting of the whole process. So it is
        given ids that are quoted already.
        """
        path = urlsplit(sdk_url).path.removeprefix(urlsplit(self.api_url).path)
        return self.api_url + unquote(path)


class _Answered(Exception):
    """Carries a good answer past the SDK's own reading of it."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


_route: ContextVar[_Route | None] = ContextVar("chargebee_route", default=None)
_sdk_make_request = chargebee.http_request._make_request


def _make_request(request_args: dict[str, Any]) -> object:
    """Stands in for the SDK's transport; a use of the SDK that is none of ours keeps the original."""
    route = _route.get()
    if route is None:
        return _sdk_make_request(request_args)
    answer = route.http.call(
        provider=PROVIDER,
        operation=route.operation,
        method=request_args["method"],
        url=route.url(request_args["url"]),
        headers=request_args["headers"],
        params=request_args.get("params"),
        form=request_args.get("data"),
        writes=route.writes,
    )
    raise _Answered(answer)


chargebee.http_request._make_request = _make_request
# While it is set, the SDK builds a store of certificates for every call (18 ms), which is no use to our transport. The
# SDK's own transport verifies certificates without it too, by those that httpx brings.
chargebee.Chargebee.verify_ca_certs = False
# At DEBUG it writes payloads and whole answers.
silence("chargebee.http_request")


def _check_charge(unit_price: int, date_from: datetime, date_to: datetime, idempotency_key: str) -> None:
    """Refuse here what Chargebee would refuse, or would take in another sense."""
    if isinstance(unit_price, bool) or not isinstance(unit_price, int) or unit_price < 0:
        raise Rejected("a Chargebee charge needs a price in whole minor units that is not negative")
    if date_from > date_to:
        raise Rejected("a Chargebee charge cannot end before it begins")
    if not (0 < len(idempotency_key) <= MAX_KEY and idempotency_key.isascii() and idempotency_key.isprintable()):
        raise Rejected(f"a Chargebee idempotency key has 1 to {MAX_KEY} plain characters")


def _charges_form(
    subscription_id: str, charges: Sequence[NewCharge], currency: str, idempotency_key: str
) -> dict[str, Any]:
    """The parameters that name several new charges of a subscription."""
    form: dict[str, Any] = {"subscription_id": subscription_id, "currency_code": currency}
    for one in charges:
        _check_charge(one.amount, one.date_from, one.date_to, idempotency_key)
        period = {"date_from": _seconds(one.date_from), "date_to": _seconds(one.date_to)}
        if one.item_price_id is None:
            row = {"amount": one.amount, "description": one.description, **period}
            form.setdefault("charges", []).append(row)
        else:
            row = {"item_price_id": one.item_price_id, "unit_price": one.amount, **period}
            form.setdefault("item_prices", []).append(row)
    return form


def _is_replayed(answer: Answer) -> bool:
    return answer.headers.get(REPLAYED_HEADER, "").lower() == "true"


def _seconds(time: datetime) -> int:
    if time.tzinfo is None:
        raise ValueError("a time without its offset from UTC could mean any")
    return int(time.timestamp())


def _member(document: object, name: str) -> dict[str, Any]:
    return Fields("Chargebee answer", document).object(name)


def _check_progress(operation: str, offset: str | None, following: object) -> None:
    if offset is not None and offset == following:
        raise Unreadable(f"Chargebee answer to {operation}: the next page is the same page")
