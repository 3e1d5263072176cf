"""Chargebee's operations: what each takes from a request, and what it answers."""

from collections.abc import Callable
from typing import Any

from connector.sandbox.chargebee import listings, lists
from connector.sandbox.chargebee import parameters as parameter
from connector.sandbox.chargebee.errors import wrong_value
from connector.sandbox.chargebee.forms import read, whole
from connector.sandbox.chargebee.invoices import line_page
from connector.sandbox.chargebee.lists import Listing
from connector.sandbox.chargebee.time_machine import TimeMachine
from connector.sandbox.component import Resource

# How each way to end a contract term ends the subscription.
CONTRACT_OPTIONS = {"terminate_immediately": "immediately", "end_of_subscription_billing_term": "end_of_term"}

Operation = Callable[[TimeMachine, Resource, str], Resource]


def _customer(site: TimeMachine, subscription: Resource) -> Resource:
    return {"subscription": subscription, "customer": site.customers[subscription["customer_id"]]}


def rows_of(kind: str, rows: Any, query: Resource, listing_of: Listing, *, ignore_case: bool = False) -> Resource:
    """One page of these rows."""
    found, offset = lists.page(rows, query, listing_of, ignore_case=ignore_case)
    answer: Resource = {"list": [{kind: row} for row in found]}
    return {**answer, "next_offset": offset} if offset else answer


def retrieve(kind: str) -> Operation:
    """The operation that answers with one resource."""
    return lambda site, _, resource_id: {kind: site.find(kind, resource_id)}


def list_of(kind: str, table: str, listing_of: Listing) -> Operation:
    """The operation that answers with one page of resources."""
    return lambda site, query, _: rows_of(
        kind, getattr(site, table).values(), query, listing_of, ignore_case=site.settings.filters_ignore_case
    )


def list_subscriptions(site: TimeMachine, query: Resource, _: str) -> Resource:
    """Each row holds the subscription and its customer."""
    by_item: Resource = {name: query.pop(name) for name in ("item_id", "item_price_id") if name in query}
    rows = [row for row in site.subscriptions.values() if _holds(site, row, by_item)]
    answer = rows_of("subscription", rows, query, listings.SUBSCRIPTIONS)
    return {**answer, "list": [_customer(site, row["subscription"]) for row in answer["list"]]}


def _holds(site: TimeMachine, subscription: Resource, by_item: Resource) -> bool:
    """Whether the subscription passes the filters on its items; only `is` is offered for these."""
    for name, filters in by_item.items():
        if not isinstance(filters, dict) or set(filters) != {"is"}:
            raise wrong_value(name, "should use is")
        prices = [site.item_prices[item["item_price_id"]] for item in subscription["subscription_items"]]
        if filters["is"] not in [price["id" if name == "item_price_id" else "item_id"] for price in prices]:
            return False
    return True


def list_by_subscription(kind: str, table: str, listing_of: Listing) -> Operation:
    """The operation that answers with one page of rows, not to be filtered by subscription where these are mixed."""
    listed = list_of(kind, table, listing_of)

    def operation(site: TimeMachine, query: Resource, resource_id: str) -> Resource:
        if site.settings.consolidated_invoicing and "subscription_id" in query:
            raise wrong_value("subscription_id", "is no filter of a site that consolidates invoices")
        return listed(site, query, resource_id)

    return operation


def list_comments(site: TimeMachine, query: Resource, _: str) -> Resource:
    """The comments of one resource, or all."""
    rows = [
        row
        for row in site.comments.values()
        if all(query.get(name, row[name]) == row[name] for name in ("entity_type", "entity_id"))
    ]
    return rows_of("comment", rows, query, listings.COMMENTS)


def create_comment(site: TimeMachine, form: Resource, _: str) -> Resource:
    """A new comment on a resource."""
    return {"comment": site.add_comment(**read(form, parameter.NEW_COMMENT, ("entity_type", "entity_id", "notes")))}


def create_customer(site: TimeMachine, form: Resource, _: str) -> Resource:
    """A new customer."""
    return {"customer": site.create_customer(**read(form, parameter.CUSTOMER, custom=True))}


def update_customer(site: TimeMachine, form: Resource, customer_id: str) -> Resource:
    """The customer with the fields sent."""
    values = read(form, parameter.CUSTOMER, custom=True, clearing=True)
    return {"customer": site.update_customer(**{**values, "id": customer_id})}


def create_item_family(site: TimeMachine, form: Resource, _: str) -> Resource:
    """A new item family."""
    return {"item_family": site.create_item_family(**read(form, parameter.ITEM_FAMILY, ("id", "name")))}


def create_item(site: TimeMachine, form: Resource, _: str) -> Resource:
    """A new item."""
    return {
        "item": site.create_item(**read(form, parameter.ITEM, ("id", "name", "type", "item_family_id"), custom=True))
    }


def create_item_price(site: TimeMachine, form: Resource, _: str) -> Resource:
    """A new item price."""
    return {
        "item_price": site.create_item_price(
            **{"price": None, **read(form, parameter.ITEM_PRICE, ("id", "name", "item_id"), custom=True)}
        )
    }


def update_item_price(site: TimeMachine, form: Resource, price_id: str) -> Resource:
    """The item price with the fields sent."""
    values = read(form, parameter.CHANGED_ITEM_PRICE, custom=True, clearing=True)
    return {"item_price": site.update_item_price(**{**values, "id": price_id})}


def create_subscription(site: TimeMachine, form: Resource, customer_id: str) -> Resource:
    """A new subscription of the customer, and its first invoice if it has one."""
    before = set(site.invoices)
    values = read(form, parameter.NEW_SUBSCRIPTION, ("subscription_items",), custom=True)
    values.setdefault("create_pending_invoices", False)
    _with_cycles(values)
    answer = _customer(site, site.create_subscription(customer_id, **values))
    return _with_new_invoice(site, answer, before)


def _with_cycles(values: Resource) -> None:
    """The billing cycles are part of the contract term, and bind nobody without one."""
    cycles = values.pop("billing_cycles", None)
    if values.get("contract_term") is not None and cycles is not None:
        values["contract_term"]["billing_cycle"] = cycles


def _with_new_invoice(site: TimeMachine, answer: Resource, before: set[str]) -> Resource:
    new = [invoice for invoice_id, invoice in site.invoices.items() if invoice_id not in before]
    return {**answer, "invoice": new[0]} if new else answer


def update_subscription(site: TimeMachine, form: Resource, subscription_id: str) -> Resource:
    """The changed subscription; items join its list unless `replace_items_list` is sent."""
    values = read(form, parameter.CHANGED_SUBSCRIPTION, custom=True, clearing=True)
    values = {**values, "replace_items_list": bool(values.get("replace_items_list"))}
    _with_cycles(values)
    option = values.pop("change_option", None)
    if option == "end_of_term":
        values["end_of_term"] = True
    elif option == "specific_date" and values.get("changes_scheduled_at") is None:
        raise wrong_value("changes_scheduled_at", "cannot be blank")
    elif option != "specific_date":
        values.pop("changes_scheduled_at", None)
    if (trial_end := values.pop("trial_end", None)) is not None:
        return _customer(site, site.extend_trial(subscription_id, trial_end))
    return _customer(site, site.update_subscription(subscription_id, **values))


def cancel_subscription(site: TimeMachine, form: Resource, subscription_id: str) -> Resource:
    """The cancelled subscription."""
    values = read(form, parameter.CANCELLATION)
    # With a contract term it is this option that counts.
    if (of_contract := values.pop("contract_term_cancel_option", None)) is not None:
        values["cancel_option"] = CONTRACT_OPTIONS.get(of_contract, "specific_date")
        if of_contract == "end_of_contract_term":
            values["cancel_at"] = site.contract_end(subscription_id)
    option = values.get("cancel_option", "end_of_term" if values.get("end_of_term") else "immediately")
    if option == "specific_date" and "cancel_at" not in values:
        raise wrong_value("cancel_at", "cannot be blank")
    cancelled = site.cancel_subscription(
        subscription_id,
        option in ("end_of_term", "end_of_billing_term"),
        cancel_at=values.get("cancel_at") if "cancel_option" not in values or option == "specific_date" else None,
        reason_code=values.get("cancel_reason_code"),
        unbilled_charges_option=values.get("unbilled_charges_option"),
    )
    return _customer(site, cancelled)


def contract_terms(site: TimeMachine, query: Resource, subscription_id: str) -> Resource:
    """One page of the contract terms of the subscription."""
    return rows_of("contract_term", site.contract_terms_of(subscription_id), query, listings.PLAIN)


def charge_future_renewals(site: TimeMachine, form: Resource, subscription_id: str) -> Resource:
    """The subscription, and the invoice of its next terms or the days planned for it."""
    values = read(form, parameter.ADVANCE)
    dates = _dates(values) if values.get("schedule_type") == "specific_dates" else None
    invoice = site.charge_future_renewals(subscription_id, values.get("terms_to_charge", 1), dates)
    answer = _customer(site, site.find("subscription", subscription_id))
    rows = site.schedules.get(subscription_id)
    return {**answer, **({"invoice": invoice} if invoice else {"advance_invoice_schedules": rows})}


def edit_advance_schedule(site: TimeMachine, form: Resource, subscription_id: str) -> Resource:
    """The days now planned."""
    dates = _dates(read(form, parameter.ADVANCE))
    return {"advance_invoice_schedules": site.edit_advance_schedule(subscription_id, dates)}


def remove_advance_schedule(site: TimeMachine, _: Resource, subscription_id: str) -> Resource:
    """The subscription, with nothing planned."""
    return {"subscription": site.remove_advance_schedule(subscription_id)}


def retrieve_advance_schedule(site: TimeMachine, _: Resource, subscription_id: str) -> Resource:
    """The days planned."""
    site.find("subscription", subscription_id)
    return {"advance_invoice_schedules": site.schedules.get(subscription_id, [])}


def _dates(values: Resource) -> list[Resource]:
    if "specific_dates_schedule" not in values:
        raise wrong_value("specific_dates_schedule", "cannot be blank")
    return list(values["specific_dates_schedule"])


def regenerate_invoice(site: TimeMachine, _: Resource, subscription_id: str) -> Resource:
    """The current term's invoice, made again."""
    return {"invoice": site.regenerate_invoice(subscription_id)}


def remove_coupons(site: TimeMachine, form: Resource, subscription_id: str) -> Resource:
    """The subscription without these coupons, or without any."""
    values = read(form, parameter.COUPONS)
    return _customer(site, site.remove_coupons(subscription_id, values.get("coupon_ids")))


def pause_subscription(site: TimeMachine, form: Resource, subscription_id: str) -> Resource:
    """The paused subscription, or the one that will be."""
    values = read(form, parameter.PAUSE)
    option = values.get("pause_option", "immediately")
    needed = {"specific_date": "pause_date", "billing_cycles": "skip_billing_cycles"}.get(option)
    if needed is not None and needed not in values:
        raise wrong_value(needed, "cannot be blank")
    moments = {
        "end_of_term": site.find("subscription", subscription_id).get("current_term_end"),
        "specific_date": values.get("pause_date"),
    }
    skipped = values.get("skip_billing_cycles") if option == "billing_cycles" else None
    paused = site.pause_subscription(
        subscription_id, moments.get(option), values.get("resume_date"), skip_billing_cycles=skipped
    )
    return _customer(site, paused)


def remove_scheduled_pause(site: TimeMachine, _: Resource, subscription_id: str) -> Resource:
    """The subscription, going on."""
    return _customer(site, site.remove_scheduled_pause(subscription_id))


def remove_scheduled_resumption(site: TimeMachine, _: Resource, subscription_id: str) -> Resource:
    """The subscription, staying paused."""
    return _customer(site, site.remove_scheduled_resumption(subscription_id))


def move_subscription(site: TimeMachine, form: Resource, subscription_id: str) -> Resource:
    """The subscription, moved or on its way."""
    values = read(form, parameter.MOVE, ("to_customer_id",))
    return {"subscription": site.move_subscription(subscription_id, values["to_customer_id"])}


def create_ramp(site: TimeMachine, form: Resource, subscription_id: str) -> Resource:
    """A new ramp of the subscription."""
    return {"ramp": site.create_ramp(subscription_id, **read(form, parameter.RAMP, ("effective_from",)))}


def update_ramp(site: TimeMachine, form: Resource, ramp_id: str) -> Resource:
    """The ramp, planned anew."""
    return {"ramp": site.update_ramp(ramp_id, **read(form, parameter.RAMP, ("effective_from",)))}


def list_ramps(site: TimeMachine, query: Resource, _: str) -> Resource:
    """One page of the ramps of one subscription."""
    if "subscription_id" not in query:
        raise wrong_value("subscription_id", "cannot be blank")
    return rows_of("ramp", site.ramps.values(), query, listings.RAMPS)


def delete_ramp(site: TimeMachine, _: Resource, ramp_id: str) -> Resource:
    """The deleted ramp."""
    return {"ramp": site.delete_ramp(ramp_id)}


def resume_subscription(site: TimeMachine, form: Resource, subscription_id: str) -> Resource:
    """The resumed subscription, or the one that will be."""
    values = read(form, parameter.RESUMPTION)
    option = values.get("resume_option", "specific_date" if "resume_date" in values else "immediately")
    if option == "specific_date" and "resume_date" not in values:
        raise wrong_value("resume_date", "cannot be blank")
    resume_date = values.get("resume_date") if option == "specific_date" else None
    return _customer(site, site.resume_subscription(subscription_id, resume_date))


def reactivate_subscription(site: TimeMachine, form: Resource, subscription_id: str) -> Resource:
    """The subscription, active or in trial again, and the invoice of its new term if it has one."""
    before = set(site.invoices)
    answer = _customer(site, site.reactivate_subscription(subscription_id, **read(form, parameter.REACTIVATION)))
    return _with_new_invoice(site, answer, before)


def remove_scheduled_cancellation(site: TimeMachine, _: Resource, subscription_id: str) -> Resource:
    """The subscription, renewing again."""
    return _customer(site, site.remove_scheduled_cancellation(subscription_id))


def remove_scheduled_changes(site: TimeMachine, _: Resource, subscription_id: str) -> Resource:
    """The subscription, staying as it is."""
    return _customer(site, site.remove_scheduled_changes(subscription_id))


def delete_subscription(site: TimeMachine, _: Resource, subscription_id: str) -> Resource:
    """The deleted subscription."""
    return _customer(site, site.delete_subscription(subscription_id))


def retrieve_subscription(site: TimeMachine, _: Resource, subscription_id: str) -> Resource:
    """The subscription and its customer."""
    return _customer(site, site.find("subscription", subscription_id))


def retrieve_with_scheduled_changes(site: TimeMachine, _: Resource, subscription_id: str) -> Resource:
    """The subscription with the items it will have."""
    return _customer(site, site.with_scheduled_changes(subscription_id))


def delete_customer(site: TimeMachine, _: Resource, customer_id: str) -> Resource:
    """The deleted customer."""
    return {"customer": site.delete_customer(customer_id)}


def clear_personal_data(site: TimeMachine, _: Resource, customer_id: str) -> Resource:
    """The customer without a name."""
    return {"customer": site.clear_personal_data(customer_id)}


def delete_item_price(site: TimeMachine, _: Resource, price_id: str) -> Resource:
    """The deleted item price."""
    return {"item_price": site.delete_item_price(price_id)}


def create_coupon(site: TimeMachine, form: Resource, _: str) -> Resource:
    """A new coupon."""
    values = read(form, parameter.COUPON, ("id", "name", "apply_on"))
    for name in ("discount_type", "apply_on"):
        values.pop(name, None)
    return {"coupon": site.create_coupon(**values)}


def retrieve_time_machine(site: TimeMachine, _: Resource, name: str) -> Resource:
    """Where the site's time machine stands."""
    return {"time_machine": site.travel(name)}


def start_afresh(site: TimeMachine, form: Resource, name: str) -> Resource:
    """The machine in the past, on a site without customers."""
    return {"time_machine": site.start_afresh(name, **read(form, parameter.GENESIS))}


def travel_forward(site: TimeMachine, form: Resource, name: str) -> Resource:
    """The machine, arrived or on its way."""
    return {"time_machine": site.travel_forward(name, **read(form, parameter.DESTINATION))}


def stop_dunning(site: TimeMachine, _: Resource, invoice_id: str) -> Resource:
    """The invoice that is collected no more."""
    return {"invoice": site.stop_dunning(invoice_id)}


def list_invoices_of_subscription(site: TimeMachine, query: Resource, subscription_id: str) -> Resource:
    """One page of the subscription's invoices."""
    rows = [row for row in site.invoices.values() if row.get("subscription_id") == subscription_id]
    return rows_of("invoice", rows, query, listings.INVOICES)


def retrieve_invoice(site: TimeMachine, query: Resource, invoice_id: str) -> Resource:
    """The invoice; on an enterprise-scale site only one page of its lines."""
    invoice = site.find("invoice", invoice_id)
    limit = whole(1)("line_items_limit", query.get("line_items_limit", "100"))
    if limit > 300:
        raise wrong_value("line_items_limit", "should be at most 300")
    if site.settings.enterprise_scale:
        invoice = line_page(invoice, limit, query.get("line_items_offset"))
    return {"invoice": invoice}


def add_charge_item(site: TimeMachine, form: Resource, invoice_id: str) -> Resource:
    """The invoice with one more line."""
    values = read(form, parameter.CHARGE_ITEM, ("item_price",), strict=True)
    return {"invoice": site.add_charge_item(invoice_id, **values.pop("item_price"), **values)}


def add_charge(site: TimeMachine, form: Resource, invoice_id: str) -> Resource:
    """The invoice with one more line of the caller's own wording."""
    values = read(form, parameter.CHARGE, ("amount", "description"), strict=True)
    for tax_code in ("avalara_tax_code", "hsn_code", "taxjar_product_code"):
        values.pop(tax_code, None)
    return {"invoice": site.add_charge(invoice_id, **values.pop("line_item", {}), **values)}


def delete_line_items(site: TimeMachine, form: Resource, invoice_id: str) -> Resource:
    """The invoice without these lines."""
    lines = read(form, parameter.LINES, ("line_items",), strict=True)["line_items"]["id"]
    return {"invoice": site.delete_line_items(invoice_id, lines)}


def close_invoice(site: TimeMachine, form: Resource, invoice_id: str) -> Resource:
    """The closed invoice, under its final id."""
    values = read(form, parameter.CLOSING, strict=True, custom=True)
    values.pop("remove_general_note", None)
    return {"invoice": site.close_invoice(invoice_id, **values)}


def void_invoice(site: TimeMachine, form: Resource, invoice_id: str) -> Resource:
    """The voided invoice, and the credit note about it where the site makes one."""
    invoice = site.void_invoice(invoice_id, **read(form, parameter.VOIDING, strict=True))
    notes = [site.credit_notes[row["cn_id"]] for row in invoice["adjustment_credit_notes"]]
    return {"invoice": invoice, **({"credit_note": notes[-1]} if notes else {})}


def delete_invoice(site: TimeMachine, form: Resource, invoice_id: str) -> Resource:
    """The deleted invoice."""
    values = read(form, parameter.DELETION, strict=True)
    return {"invoice": site.delete_invoice(invoice_id, values.get("comment"))}


def create_webhook_endpoint(site: TimeMachine, form: Resource, _: str) -> Resource:
    """A new endpoint."""
    return {"webhook_endpoint": site.add_webhook_endpoint(**_endpoint(read(form, parameter.ENDPOINT, ("name", "url"))))}


def update_webhook_endpoint(site: TimeMachine, form: Resource, endpoint_id: str) -> Resource:
    """The changed endpoint."""
    values = _endpoint(read(form, parameter.ENDPOINT))
    return {"webhook_endpoint": site.update_webhook_endpoint(endpoint_id, **values)}


def delete_webhook_endpoint(site: TimeMachine, _: Resource, endpoint_id: str) -> Resource:
    """The endpoint that is no more."""
    return {"webhook_endpoint": site.delete_webhook_endpoint(endpoint_id)}


def list_configurations(site: TimeMachine, _: Resource, __: str) -> Resource:
    """The site's facts."""
    facts = {"domain": site.site, "product_catalog_version": "v2", "chargebee_response_schema_type": "items"}
    return {"configurations": [{**facts, "object": "configuration"}]}


def list_currencies(site: TimeMachine, _: Resource, __: str) -> Resource:
    """The site's currencies."""
    rows = [
        {
            "id": f"cur_{code}",
            "enabled": True,
            "currency_code": code,
            "is_base_currency": not number,
            "forex_type": "manual",
            "manual_exchange_rate": "1",
            "object": "currency",
        }
        for number, code in enumerate(site.settings.currencies)
    ]
    return {"list": [{"currency": row} for row in rows]}


def _endpoint(values: Resource) -> Resource:
    """The password leaves the endpoint's own fields: no read ever shows it."""
    names = {"basic_auth_username": "username", "basic_auth_password": "password"}
    return {names.get(name, name): value for name, value in values.items()}
