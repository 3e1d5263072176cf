"""Chargebee over HTTP: who may call, which operation it is, and replays of what was asked before."""

import hmac
import json

from flask import Response, request
from werkzeug.exceptions import HTTPException

from connector.sandbox.chargebee import billing_operations as bill
from connector.sandbox.chargebee import listings
from connector.sandbox.chargebee import operations as do
from connector.sandbox.chargebee.errors import Refused, error_body
from connector.sandbox.chargebee.forms import parse
from connector.sandbox.chargebee.site import API_KEY_NAME
from connector.sandbox.chargebee.time_machine import TimeMachine
from connector.sandbox.routing import Routes

# By each operation's name, by which faults are ordered: its method, its path, and what it does.
ROUTES: dict[str, tuple[str, str, do.Operation]] = {
    "create_customer": ("POST", "/customers", do.create_customer),
    "list_customers": ("GET", "/customers", do.list_of("customer", "customers", listings.CUSTOMERS)),
    "retrieve_customer": ("GET", "/customers/<id>", do.retrieve("customer")),
    "update_customer": ("POST", "/customers/<id>", do.update_customer),
    "delete_customer": ("POST", "/customers/<id>/delete", do.delete_customer),
    "clear_personal_data": ("POST", "/customers/<id>/clear_personal_data", do.clear_personal_data),
    "relate_customer": ("POST", "/customers/<id>/relationships", bill.relate_customer),
    "unrelate_customer": ("POST", "/customers/<id>/delete_relationship", bill.unrelate_customer),
    "retrieve_hierarchy": ("GET", "/customers/<id>/hierarchy", bill.hierarchy),
    "list_hierarchy": ("GET", "/customers/<id>/hierarchy_detail", bill.list_hierarchy),
    "create_transfer": ("POST", "/business_entities/transfers", bill.transfer),
    "create_subscription": ("POST", "/customers/<id>/subscription_for_items", do.create_subscription),
    "create_item_family": ("POST", "/item_families", do.create_item_family),
    "list_item_families": ("GET", "/item_families", do.list_of("item_family", "item_families", listings.CATALOGUE)),
    "retrieve_item_family": ("GET", "/item_families/<id>", do.retrieve("item_family")),
    "create_item": ("POST", "/items", do.create_item),
    "list_items": ("GET", "/items", do.list_of("item", "items", listings.CATALOGUE)),
    "retrieve_item": ("GET", "/items/<id>", do.retrieve("item")),
    "create_item_price": ("POST", "/item_prices", do.create_item_price),
    "list_item_prices": ("GET", "/item_prices", do.list_of("item_price", "item_prices", listings.CATALOGUE)),
    "retrieve_item_price": ("GET", "/item_prices/<id>", do.retrieve("item_price")),
    "update_item_price": ("POST", "/item_prices/<id>", do.update_item_price),
    "delete_item_price": ("POST", "/item_prices/<id>/delete", do.delete_item_price),
    "create_coupon": ("POST", "/coupons/create_for_items", do.create_coupon),
    "list_coupons": ("GET", "/coupons", do.list_of("coupon", "coupons", listings.PLAIN)),
    "retrieve_coupon": ("GET", "/coupons/<id>", do.retrieve("coupon")),
    "list_subscriptions": ("GET", "/subscriptions", do.list_subscriptions),
    "retrieve_subscription": ("GET", "/subscriptions/<id>", do.retrieve_subscription),
    "retrieve_with_scheduled_changes": (
        "GET",
        "/subscriptions/<id>/retrieve_with_scheduled_changes",
        do.retrieve_with_scheduled_changes,
    ),
    "update_subscription": ("POST", "/subscriptions/<id>/update_for_items", do.update_subscription),
    "remove_coupons": ("POST", "/subscriptions/<id>/remove_coupons", do.remove_coupons),
    "list_contract_terms": ("GET", "/subscriptions/<id>/contract_terms", do.contract_terms),
    "charge_future_renewals": ("POST", "/subscriptions/<id>/charge_future_renewals", do.charge_future_renewals),
    "retrieve_advance_schedule": (
        "GET",
        "/subscriptions/<id>/retrieve_advance_invoice_schedule",
        do.retrieve_advance_schedule,
    ),
    "edit_advance_schedule": ("POST", "/subscriptions/<id>/edit_advance_invoice_schedule", do.edit_advance_schedule),
    "remove_advance_schedule": (
        "POST",
        "/subscriptions/<id>/remove_advance_invoice_schedule",
        do.remove_advance_schedule,
    ),
    "regenerate_invoice": ("POST", "/subscriptions/<id>/regenerate_invoice", do.regenerate_invoice),
    "cancel_subscription": ("POST", "/subscriptions/<id>/cancel_for_items", do.cancel_subscription),
    "reactivate_subscription": ("POST", "/subscriptions/<id>/reactivate", do.reactivate_subscription),
    "pause_subscription": ("POST", "/subscriptions/<id>/pause", do.pause_subscription),
    "resume_subscription": ("POST", "/subscriptions/<id>/resume", do.resume_subscription),
    "remove_scheduled_pause": ("POST", "/subscriptions/<id>/remove_scheduled_pause", do.remove_scheduled_pause),
    "remove_scheduled_resumption": (
        "POST",
        "/subscriptions/<id>/remove_scheduled_resumption",
        do.remove_scheduled_resumption,
    ),
    "move_subscription": ("POST", "/subscriptions/<id>/move", do.move_subscription),
    "create_ramp": ("POST", "/subscriptions/<id>/create_ramp", do.create_ramp),
    "list_ramps": ("GET", "/ramps", do.list_ramps),
    "retrieve_ramp": ("GET", "/ramps/<id>", do.retrieve("ramp")),
    "update_ramp": ("POST", "/ramps/<id>/update", do.update_ramp),
    "delete_ramp": ("POST", "/ramps/<id>/delete", do.delete_ramp),
    "delete_subscription": ("POST", "/subscriptions/<id>/delete", do.delete_subscription),
    "remove_scheduled_cancellation": (
        "POST",
        "/subscriptions/<id>/remove_scheduled_cancellation",
        do.remove_scheduled_cancellation,
    ),
    "remove_scheduled_changes": ("POST", "/subscriptions/<id>/remove_scheduled_changes", do.remove_scheduled_changes),
    "list_invoices_of_subscription": ("GET", "/subscriptions/<id>/invoices", do.list_invoices_of_subscription),
    "list_invoices": ("GET", "/invoices", do.list_by_subscription("invoice", "invoices", listings.INVOICES)),
    "retrieve_invoice": ("GET", "/invoices/<id>", do.retrieve_invoice),
    "add_charge_item": ("POST", "/invoices/<id>/add_charge_item", do.add_charge_item),
    "add_charge": ("POST", "/invoices/<id>/add_charge", do.add_charge),
    "delete_line_items": ("POST", "/invoices/<id>/delete_line_items", do.delete_line_items),
    "close_invoice": ("POST", "/invoices/<id>/close", do.close_invoice),
    "void_invoice": ("POST", "/invoices/<id>/void", do.void_invoice),
    "delete_invoice": ("POST", "/invoices/<id>/delete", do.delete_invoice),
    "stop_dunning": ("POST", "/invoices/<id>/stop_dunning", do.stop_dunning),
    "create_one_time_invoice": (
        "POST",
        "/invoices/create_for_charge_items_and_charges",
        bill.create_one_time_invoice,
    ),
    "record_payment": ("POST", "/invoices/<id>/record_payment", bill.record_payment),
    "refund_invoice": ("POST", "/invoices/<id>/refund", bill.refund_invoice),
    "record_refund": ("POST", "/invoices/<id>/record_refund", bill.record_refund),
    "list_payments_of_invoice": ("GET", "/invoices/<id>/payments", bill.list_payments_of_invoice),
    "list_transactions": ("GET", "/transactions", do.list_of("transaction", "transactions", listings.TRANSACTIONS)),
    "retrieve_transaction": ("GET", "/transactions/<id>", do.retrieve("transaction")),
    "create_unbilled_charges": ("POST", "/unbilled_charges", bill.create_unbilled_charges),
    "list_unbilled_charges": ("GET", "/unbilled_charges", bill.list_unbilled_charges),
    "delete_unbilled_charge": ("POST", "/unbilled_charges/<id>/delete", bill.delete_unbilled_charge),
    "invoice_unbilled_charges": (
        "POST",
        "/unbilled_charges/invoice_unbilled_charges",
        bill.invoice_unbilled_charges,
    ),
    "add_promotional_credits": ("POST", "/promotional_credits/add", bill.add_promotional_credits),
    "deduct_promotional_credits": ("POST", "/promotional_credits/deduct", bill.deduct_promotional_credits),
    "set_promotional_credits": ("POST", "/promotional_credits/set", bill.set_promotional_credits),
    "list_promotional_credits": (
        "GET",
        "/promotional_credits",
        do.list_of("promotional_credit", "promotional_credits", listings.PROMOTIONAL_CREDITS),
    ),
    "retrieve_promotional_credit": ("GET", "/promotional_credits/<id>", do.retrieve("promotional_credit")),
    "create_credit_note": ("POST", "/credit_notes", bill.create_credit_note),
    "void_credit_note": ("POST", "/credit_notes/<id>/void", bill.void_credit_note),
    "delete_credit_note": ("POST", "/credit_notes/<id>/delete", bill.delete_credit_note),
    "list_credit_notes": (
        "GET",
        "/credit_notes",
        do.list_by_subscription("credit_note", "credit_notes", listings.CREDIT_NOTES),
    ),
    "retrieve_credit_note": ("GET", "/credit_notes/<id>", do.retrieve("credit_note")),
    "list_comments": ("GET", "/comments", do.list_comments),
    "create_comment": ("POST", "/comments", do.create_comment),
    "list_events": ("GET", "/events", do.list_of("event", "events", listings.EVENTS)),
    "retrieve_event": ("GET", "/events/<id>", do.retrieve("event")),
    "create_webhook_endpoint": ("POST", "/webhook_endpoints", do.create_webhook_endpoint),
    "list_webhook_endpoints": (
        "GET",
        "/webhook_endpoints",
        do.list_of("webhook_endpoint", "webhook_endpoints", listings.PLAIN),
    ),
    "retrieve_webhook_endpoint": ("GET", "/webhook_endpoints/<id>", do.retrieve("webhook_endpoint")),
    "update_webhook_endpoint": ("POST", "/webhook_endpoints/<id>", do.update_webhook_endpoint),
    "delete_webhook_endpoint": ("POST", "/webhook_endpoints/<id>/delete", do.delete_webhook_endpoint),
    "retrieve_time_machine": ("GET", "/time_machines/<id>", do.retrieve_time_machine),
    "start_afresh": ("POST", "/time_machines/<id>/start_afresh", do.start_afresh),
    "travel_forward": ("POST", "/time_machines/<id>/travel_forward", do.travel_forward),
    "list_configurations": ("GET", "/configurations", do.list_configurations),
    "list_currencies": ("GET", "/currencies/list", do.list_currencies),
}


PATHS = Routes((name, method, f"/chargebee/api/v2{path}") for name, (method, path, _) in ROUTES.items())


def answer(site: TimeMachine) -> Response:
    """The site's answer to the current request."""
    try:
        name, path = PATHS.match(request.environ)
        _authenticate(site)
        site.admit()
        operation, resource_id = ROUTES[name][2], path.get("id", "")
        if request.method == "POST":
            return _write(site, operation, resource_id)
        return _answer(json.dumps(operation(site, parse(request.args.items(multi=True)), resource_id)))
    except Refused as refused:
        response = _answer(json.dumps(refused.body), refused.status)
        if refused.retry_after is not None:
            response.headers["Retry-After"] = str(refused.retry_after)
        return response
    except HTTPException as error:
        return refusal(error.code or 500, f"{request.method} {request.path}: {error.name}")


def refusal(status: int, message: str, code: str | None = None) -> Response:
    """An error answer in Chargebee's shape."""
    return _answer(json.dumps(error_body(status, message, code=code)), status)


def _write(site: TimeMachine, operation: do.Operation, resource_id: str) -> Response:
    pairs = sorted(request.form.items(multi=True))
    key = request.headers.get("chargebee-idempotency-key", "")
    fingerprint = json.dumps([request.path, pairs])
    if key and (stored := site.stored_answer(key, fingerprint)) is not None:
        replay = _answer(stored)
        replay.headers["chargebee-idempotency-replayed"] = "true"
        return replay
    silent = "all-disabled" in (
        request.headers.get("chargebee-event-webhook"),
        request.headers.get("chargebee-event-actions"),
    )
    with site.acting("api", API_KEY_NAME, webhooks=not silent):
        body = json.dumps(operation(site, parse(pairs), resource_id))
    if key:
        site.store_answer(key, fingerprint, body)
    return _answer(body)


def _authenticate(site: TimeMachine) -> None:
    login = request.authorization
    if login is None or login.type != "basic":
        raise Refused(401, "Sorry, authentication failed. Invalid api key")
    if not hmac.compare_digest((login.username or "").encode(), site.api_key.encode()):
        raise Refused(401, "Sorry, authentication failed. Invalid api key")


def _answer(body: str, status: int = 200) -> Response:
    return Response(body, status, content_type="application/json;charset=utf-8")
