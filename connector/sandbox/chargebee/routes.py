"""Chargebee over HTTP: who may call, which operation it is, and replays of what was asked before."""

import hmac
import json
from collections.abc import Callable

from flask import Blueprint, Response, request

from connector.sandbox.chargebee import listings
from connector.sandbox.chargebee import operations as do
from connector.sandbox.chargebee.errors import Refused, error_body
from connector.sandbox.chargebee.forms import parse
from connector.sandbox.chargebee.lifecycle import Lifecycle
from connector.sandbox.chargebee.site import API_KEY_NAME

# Method, path, the operation's name (by which faults are ordered), and what it does.
ROUTES: tuple[tuple[str, str, str, do.Operation], ...] = (
    ("POST", "/customers", "create_customer", do.create_customer),
    ("GET", "/customers", "list_customers", do.list_of("customer", "customers", listings.CUSTOMERS)),
    ("GET", "/customers/<id>", "retrieve_customer", do.retrieve("customer")),
    ("POST", "/customers/<id>", "update_customer", do.update_customer),
    ("POST", "/customers/<id>/delete", "delete_customer", do.delete_customer),
    ("POST", "/customers/<id>/subscription_for_items", "create_subscription", do.create_subscription),
    ("POST", "/item_families", "create_item_family", do.create_item_family),
    ("GET", "/item_families", "list_item_families", do.list_of("item_family", "item_families", listings.CATALOGUE)),
    ("GET", "/item_families/<id>", "retrieve_item_family", do.retrieve("item_family")),
    ("POST", "/items", "create_item", do.create_item),
    ("GET", "/items", "list_items", do.list_of("item", "items", listings.CATALOGUE)),
    ("GET", "/items/<id>", "retrieve_item", do.retrieve("item")),
    ("POST", "/item_prices", "create_item_price", do.create_item_price),
    ("GET", "/item_prices", "list_item_prices", do.list_of("item_price", "item_prices", listings.CATALOGUE)),
    ("GET", "/item_prices/<id>", "retrieve_item_price", do.retrieve("item_price")),
    ("POST", "/item_prices/<id>", "update_item_price", do.update_item_price),
    ("GET", "/subscriptions", "list_subscriptions", do.list_subscriptions),
    ("GET", "/subscriptions/<id>", "retrieve_subscription", do.retrieve_subscription),
    (
        "GET",
        "/subscriptions/<id>/retrieve_with_scheduled_changes",
        "retrieve_with_scheduled_changes",
        do.retrieve_with_scheduled_changes,
    ),
    ("POST", "/subscriptions/<id>/update_for_items", "update_subscription", do.update_subscription),
    ("POST", "/subscriptions/<id>/cancel_for_items", "cancel_subscription", do.cancel_subscription),
    ("POST", "/subscriptions/<id>/reactivate", "reactivate_subscription", do.reactivate_subscription),
    ("POST", "/subscriptions/<id>/pause", "pause_subscription", do.pause_subscription),
    ("POST", "/subscriptions/<id>/resume", "resume_subscription", do.resume_subscription),
    ("POST", "/subscriptions/<id>/delete", "delete_subscription", do.delete_subscription),
    (
        "POST",
        "/subscriptions/<id>/remove_scheduled_cancellation",
        "remove_scheduled_cancellation",
        do.remove_scheduled_cancellation,
    ),
    ("POST", "/subscriptions/<id>/remove_scheduled_changes", "remove_scheduled_changes", do.remove_scheduled_changes),
    ("GET", "/subscriptions/<id>/invoices", "list_invoices_of_subscription", do.list_invoices_of_subscription),
    ("GET", "/invoices", "list_invoices", do.list_of("invoice", "invoices", listings.INVOICES)),
    ("GET", "/invoices/<id>", "retrieve_invoice", do.retrieve_invoice),
    ("POST", "/invoices/<id>/add_charge_item", "add_charge_item", do.add_charge_item),
    ("POST", "/invoices/<id>/add_charge", "add_charge", do.add_charge),
    ("POST", "/invoices/<id>/delete_line_items", "delete_line_items", do.delete_line_items),
    ("POST", "/invoices/<id>/close", "close_invoice", do.close_invoice),
    ("POST", "/invoices/<id>/void", "void_invoice", do.void_invoice),
    ("POST", "/invoices/<id>/delete", "delete_invoice", do.delete_invoice),
    ("GET", "/comments", "list_comments", do.list_comments),
    ("POST", "/comments", "create_comment", do.create_comment),
    ("GET", "/events", "list_events", do.list_of("event", "events", listings.EVENTS)),
    ("GET", "/events/<id>", "retrieve_event", do.retrieve("event")),
    ("POST", "/webhook_endpoints", "create_webhook_endpoint", do.create_webhook_endpoint),
    (
        "GET",
        "/webhook_endpoints",
        "list_webhook_endpoints",
        do.list_of("webhook_endpoint", "webhook_endpoints", listings.PLAIN),
    ),
    ("GET", "/webhook_endpoints/<id>", "retrieve_webhook_endpoint", do.retrieve("webhook_endpoint")),
    ("POST", "/webhook_endpoints/<id>", "update_webhook_endpoint", do.update_webhook_endpoint),
    ("POST", "/webhook_endpoints/<id>/delete", "delete_webhook_endpoint", do.delete_webhook_endpoint),
    ("GET", "/configurations", "list_configurations", do.list_configurations),
    ("GET", "/currencies/list", "list_currencies", do.list_currencies),
)


def routes(site: Lifecycle) -> Blueprint:
    """The blueprint that answers for this site."""
    blueprint = Blueprint("chargebee", __name__)
    for method, path, name, operation in ROUTES:
        blueprint.add_url_rule(path, name, _view(site, operation), methods=[method])

    @blueprint.errorhandler(Refused)
    def refused(error: Refused) -> Response:
        answer = _answer(json.dumps(error.body), error.status)
        if error.retry_after is not None:
            answer.headers["Retry-After"] = str(error.retry_after)
        return answer

    return blueprint


def refusal(status: int, message: str, code: str | None = None) -> Response:
    """An error answer in Chargebee's shape."""
    return _answer(json.dumps(error_body(status, message, code=code)), status)


def _view(site: Lifecycle, operation: do.Operation) -> Callable[..., Response]:
    def view(id: str = "") -> Response:
        _authenticate(site)
        site.admit()
        if request.method == "GET":
            return _answer(json.dumps(operation(site, parse(request.args.items(multi=True)), id)))
        return _write(site, operation, id)

    return view


def _write(site: Lifecycle, operation: do.Operation, resource_id: str) -> Response:
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


def _authenticate(site: Lifecycle) -> None:
    login = request.authorization
    if login is None or login.type != "basic":
        raise Refused(401, "Sorry, authentication failed. Invalid api key")
    if not hmac.compare_digest((login.username or "").encode(), site.api_key.encode()):
        raise Refused(401, "Sorry, authentication failed. Invalid api key")


def _answer(body: str, status: int = 200) -> Response:
    return Response(body, status, content_type="application/json;charset=utf-8")
