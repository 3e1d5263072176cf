"""What the connector asks of Chargebee's API v2, one method for each call."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from connector.clients.chargebee_api import KEY_HEADER, ChargebeeApi, check_progress, member
from connector.clients.chargebee_objects import (
    AddedCharge,
    CreditNote,
    Customer,
    Invoice,
    InvoiceCredit,
    InvoiceLine,
    Item,
    ItemPrice,
    MadeCharges,
    NewCharge,
    PromotionalCredit,
    own_discounts,
)
from connector.clients.fields import Fields
from connector.clients.http import Answer, Http, after_a_write, segment
from connector.errors import Rejected, Retryable

PAGE_SIZE = 100
LINES_PAGE_SIZE = 300
MAX_KEY = 100
MAX_COMMENT = 300
REPLAYED_HEADER = "chargebee-idempotency-replayed"


class ChargebeeClient:
    """One Chargebee site; any number of them share one `Http`."""

    def __init__(self, http: Http, *, site: str, api_key: str, api_url: str | None = None) -> None:
        self._api = ChargebeeApi(http, site=site, api_key=api_key, api_url=api_url)

    def retrieve_customer(self, customer_id: str) -> dict[str, Any]:
        """The customer as Chargebee sends it, for `Customer.from_json` and the mirror.

        Chargebee API: Customers > Retrieve a customer
        """
        answer = self._api.call("Customer.retrieve", self._api.sdk.Customer.retrieve, segment(customer_id))
        return member(answer.json(), "customer")

    def customers_like(self, filters: Sequence[tuple[str, str, str]], limit: int) -> tuple[list[Customer], bool]:
        """The newest customers to whom all these filters apply (field, operator, value), and whether there are more.

        One page; deleted customers are left out. Chargebee API: Customers > List customers
        """
        asked: dict[str, Any] = {field: {operator: value} for field, operator, value in filters}
        asked |= {"sort_by": {"desc": "created_at"}, "limit": limit}
        rows, following = self._api.page("Customer.list", self._api.sdk.Customer.list, "customer", asked, None)
        return [Customer.from_json(raw) for raw in rows], following is not None

    def retrieve_subscription(self, subscription_id: str) -> dict[str, Any]:
        """The whole answer: the `subscription` and, beside it, its `customer`.

        Chargebee API: Subscriptions > Retrieve a subscription
        """
        answer = self._api.call("Subscription.retrieve", self._api.sdk.Subscription.retrieve, segment(subscription_id))
        member(answer.json(), "subscription")
        return dict(answer.json())

    def list_events(
        self, *, occurred_after: datetime, offset: str | None = None, limit: int = PAGE_SIZE
    ) -> tuple[list[dict[str, Any]], str | None]:
        """One page of events as Chargebee sends them, oldest first, and the offset of the next page (None: no more).

        Chargebee API: Events > List events
        """
        filters = {"occurred_at": {"after": _seconds(occurred_after)}, "sort_by": {"asc": "occurred_at"}}
        return self._api.page("Event.list", self._api.sdk.Event.list, "event", {**filters, "limit": limit}, offset)

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
        return [
            Invoice.from_json(raw)
            for raw in self._api.all("Invoice.list", self._api.sdk.Invoice.list, "invoice", filters)
        ]

    def invoices_since(
        self, since: datetime, *, subscription_id: str | None = None, customer_id: str | None = None
    ) -> list[Invoice]:
        """The invoices, with all their lines, of a subscription or a customer that have a later date than `since`.

        Chargebee API: Invoices > List invoices
        """
        whose = {"subscription_id": subscription_id, "customer_id": customer_id}
        filters: dict[str, Any] = {name: {"is": one} for name, one in whose.items() if one is not None}
        filters |= {"date": {"after": _seconds(since)}, "sort_by": {"asc": "date"}, "limit": PAGE_SIZE}
        rows = self._api.all("Invoice.list", self._api.sdk.Invoice.list, "invoice", filters)
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
                line_discounts=own_discounts(invoice) + own_discounts(page),
                lines_complete=page.lines_complete,
            )
        return invoice

    def deleted_invoice(self, invoice_id: str) -> Invoice | None:
        """The invoice where it was deleted, which only a list still shows; None where there is none of this id.

        Chargebee API: Invoices > List invoices
        """
        filters = {"id": {"is": invoice_id}, "include_deleted": True, "limit": 1}
        rows = self._api.all("Invoice.list", self._api.sdk.Invoice.list, "invoice", filters)
        return next((found for raw in rows if (found := Invoice.from_json(raw)).deleted), None)

    def credits_on_invoice(self, invoice_id: str) -> list[InvoiceCredit]:
        """Every credit note that refers to the invoice, with all its lines; deleted ones are left out.

        Chargebee API: Credit notes > List credit notes
        """
        filters = {"reference_invoice_id": {"is": invoice_id}, "limit": PAGE_SIZE}
        rows = self._api.all("CreditNote.list", self._api.sdk.CreditNote.list, "credit_note", filters)
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
            method = self._api.sdk.CreditNote.retrieve
            answer = self._api.call("CreditNote.retrieve", method, segment(credit_note_id), params)
            raw = member(answer.json(), "credit_note")
            check_progress("CreditNote.retrieve", offset, raw.get("line_items_next_offset"))
            offset = raw.get("line_items_next_offset")
            pages.append(InvoiceCredit.from_json(raw))
        return replace(pages[-1], lines=tuple(line for page in pages for line in page.lines))

    def retrieve_item_price(self, item_price_id: str) -> ItemPrice:
        """The item price.

        Chargebee API: Item prices > Retrieve an item price
        """
        answer = self._api.call("ItemPrice.retrieve", self._api.sdk.ItemPrice.retrieve, segment(item_price_id))
        return ItemPrice.from_json(member(answer.json(), "item_price"))

    def item_family_must_exist(self, item_family_id: str) -> None:
        """Raise NotFound unless there is this item family.

        Chargebee API: Item families > Retrieve an item family
        """
        self._api.call("ItemFamily.retrieve", self._api.sdk.ItemFamily.retrieve, segment(item_family_id))

    def items(self, id_prefix: str) -> list[Item]:
        """Every item whose id begins so, but deleted ones.

        Chargebee API: Items > List items
        """
        filters = {"id": {"starts_with": id_prefix}, "limit": PAGE_SIZE}
        return [Item.from_json(raw) for raw in self._api.all("Item.list", self._api.sdk.Item.list, "item", filters)]

    def item_prices(self, id_prefix: str) -> list[ItemPrice]:
        """Every item price whose id begins so, but deleted ones.

        Chargebee API: Item prices > List item prices
        """
        filters = {"id": {"starts_with": id_prefix}, "limit": PAGE_SIZE}
        rows = self._api.all("ItemPrice.list", self._api.sdk.ItemPrice.list, "item_price", filters)
        return [ItemPrice.from_json(raw) for raw in rows]

    def active_item_prices(self) -> Iterator[ItemPrice]:
        """Every item price that is neither archived nor deleted; pages are asked for as they are read.

        Chargebee API: Item prices > List item prices
        """
        filters = {"status": {"is": "active"}, "limit": PAGE_SIZE}
        rows = self._api.all("ItemPrice.list", self._api.sdk.ItemPrice.list, "item_price", filters)
        return map(ItemPrice.from_json, rows)

    def retrieve_item(self, item_id: str) -> Item:
        """The item.

        Chargebee API: Items > Retrieve an item
        """
        answer = self._api.call("Item.retrieve", self._api.sdk.Item.retrieve, segment(item_id))
        return Item.from_json(member(answer.json(), "item"))

    def create_charge_item(self, item_id: str, *, name: str, item_family_id: str) -> None:
        """A new charge item that is in no shop window; Rejected with `duplicate_entry` where the id is taken.

        Chargebee API: Items > Create an item
        """
        params = {
            "id": item_id, "name": item_id, "external_name": name, "type": "charge", "item_family_id": item_family_id,
            "enabled_for_checkout": False, "enabled_in_portal": False,
        }  # fmt: skip
        self._api.call("Item.create", self._api.sdk.Item.create, params, writes=True)

    def create_flat_price(self, item_price_id: str, *, item_id: str, name: str, currency: str) -> None:
        """A new flat-fee price of nothing, as bill lines need it; Rejected with `duplicate_entry` where the id is taken.

        Chargebee API: Item prices > Create an item price
        """
        params = {
            "id": item_price_id, "name": item_price_id, "external_name": name, "item_id": item_id,
            "currency_code": currency, "pricing_model": "flat_fee", "price": 0,
        }  # fmt: skip
        self._api.call("ItemPrice.create", self._api.sdk.ItemPrice.create, params, writes=True)

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
        method = self._api.sdk.Invoice.add_charge_item
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
        return self._add("Invoice.add_charge", self._api.sdk.Invoice.add_charge, invoice_id, params, idempotency_key)

    def _add(
        self, operation: str, method: Callable[..., object], invoice_id: str, params: dict[str, Any], key: str
    ) -> AddedCharge:
        params = {name: value for name, value in params.items() if value is not None}
        # The SDK writes its own headers into the dictionary it is given, so each call gets a new one.
        answer = self._api.call(operation, method, segment(invoice_id), params, {KEY_HEADER: key}, writes=True)
        with after_a_write():
            invoice = Invoice.from_json(member(answer.json(), "invoice"))
        return AddedCharge(invoice, _is_replayed(answer))

    def create_pending_invoice(
        self, subscription_id: str, charges: Sequence[NewCharge], *, currency: str, idempotency_key: str
    ) -> MadeCharges:
        """A new pending invoice of the subscription with all these charges; Uncertain when it may have been made.

        Chargebee API: Invoices > Create an invoice for charge-items and one-time charges
        """
        params = _charges_form(subscription_id, charges, currency, idempotency_key) | {"create_pending_invoice": True}
        method, headers = self._api.sdk.Invoice.create_for_charge_items_and_charges, {KEY_HEADER: idempotency_key}
        answer = self._api.call("Invoice.create_for_charge_items_and_charges", method, params, headers, writes=True)
        with after_a_write():
            invoice = Invoice.from_json(member(answer.json(), "invoice"))
        return MadeCharges(invoice.lines, invoice, _is_replayed(answer))

    def create_unbilled_charges(
        self, subscription_id: str, charges: Sequence[NewCharge], *, currency: str, idempotency_key: str
    ) -> MadeCharges:
        """Charges that the subscription's next invoice will take; Uncertain when they may have been made.

        Chargebee API: Unbilled charges > Create unbilled charges
        """
        params = _charges_form(subscription_id, charges, currency, idempotency_key)
        method, headers = self._api.sdk.UnbilledCharge.create, {KEY_HEADER: idempotency_key}
        answer = self._api.call("UnbilledCharge.create", method, params, headers, writes=True)
        with after_a_write():
            made = Fields("Chargebee answer", answer.json()).each("unbilled_charges", InvoiceLine.from_json)
        return MadeCharges(made, None, _is_replayed(answer))

    def unbilled_charges(self, subscription_id: str) -> list[InvoiceLine]:
        """The charges that the subscription's next invoice will take.

        Chargebee API: Unbilled charges > List unbilled charges
        """
        filters = {"subscription_id": {"is": subscription_id}, "limit": PAGE_SIZE}
        rows = self._api.all("UnbilledCharge.list", self._api.sdk.UnbilledCharge.list, "unbilled_charge", filters)
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
        method, headers = self._api.sdk.PromotionalCredit.add, {KEY_HEADER: idempotency_key}
        answer = self._api.call("PromotionalCredit.add", method, params, headers, writes=True)
        with after_a_write():
            return PromotionalCredit.from_json(member(answer.json(), "promotional_credit")).id

    def promotional_credits(self, customer_id: str) -> list[PromotionalCredit]:
        """Every promotional credit that the customer was ever given or that was taken from it.

        Chargebee API: Promotional credits > List promotional credits
        """
        filters = {"customer_id": {"is": customer_id}, "limit": PAGE_SIZE}
        method = self._api.sdk.PromotionalCredit.list
        rows = self._api.all("PromotionalCredit.list", method, "promotional_credit", filters)
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
        method, headers = self._api.sdk.CreditNote.create, {KEY_HEADER: idempotency_key}
        answer = self._api.call("CreditNote.create", method, params, headers, writes=True)
        with after_a_write():
            return CreditNote.from_json(member(answer.json(), "credit_note")).id

    def credit_notes(self, *, invoice_id: str | None = None, customer_id: str | None = None) -> list[CreditNote]:
        """Every credit note on this invoice, or of this customer.

        Chargebee API: Credit notes > List credit notes
        """
        whose = {"reference_invoice_id": invoice_id, "customer_id": customer_id}
        filters: dict[str, Any] = {name: {"is": one} for name, one in whose.items() if one is not None}
        filters["limit"] = PAGE_SIZE
        rows = self._api.all("CreditNote.list", self._api.sdk.CreditNote.list, "credit_note", filters)
        return [CreditNote.from_json(raw) for raw in rows]

    def close_invoice(self, invoice_id: str, *, idempotency_key: str) -> Invoice:
        """The pending invoice, closed under its final id; Uncertain when it may have been closed.

        Chargebee API: Invoices > Close a pending invoice
        """
        headers = {KEY_HEADER: idempotency_key}
        answer = self._api.call(
            "Invoice.close", self._api.sdk.Invoice.close, segment(invoice_id), {}, headers, writes=True
        )
        with after_a_write():
            return Invoice.from_json(member(answer.json(), "invoice"))

    def _invoice_page(self, invoice_id: str, offset: str | None) -> dict[str, Any]:
        # Both parameters count only on sites with enterprise-scale invoicing; all others send every line at once.
        params: dict[str, Any] = {"line_items_limit": LINES_PAGE_SIZE}
        if offset is not None:
            params["line_items_offset"] = offset
        answer = self._api.call("Invoice.retrieve", self._api.sdk.Invoice.retrieve, segment(invoice_id), params)
        raw = member(answer.json(), "invoice")
        check_progress("Invoice.retrieve", offset, raw.get("line_items_next_offset"))
        return raw


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
