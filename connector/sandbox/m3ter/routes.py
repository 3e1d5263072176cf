"""m3ter over HTTP: the token, and which operation a path is."""

import hmac
from typing import Any

from flask import Response, request
from werkzeug.exceptions import HTTPException

from connector.sandbox import wire
from connector.sandbox.component import Resource
from connector.sandbox.m3ter import balance_operations as balances
from connector.sandbox.m3ter import bill_operations as bills
from connector.sandbox.m3ter import event_operations as events
from connector.sandbox.m3ter import operations as do
from connector.sandbox.m3ter.approvals import Approvals
from connector.sandbox.m3ter.errors import Refused, bad_request
from connector.sandbox.m3ter.organization import TOKEN_SECONDS
from connector.sandbox.routing import Routes

MAX_BODY = 512_000

Route = tuple[str, str, do.Operation]


def _crud(path: str, kind: str, one: str, many: str, **filters: str) -> dict[str, Route]:
    """The five operations of an entity, by its names for one and for many."""
    return {
        f"create_{one}": ("POST", path, do.create(kind)),
        f"list_{many}": ("GET", path, do.list_of(kind, **filters)),
        f"get_{one}": ("GET", f"{path}/<id>", do.get(kind)),
        f"update_{one}": ("PUT", f"{path}/<id>", do.update(kind)),
        f"delete_{one}": ("DELETE", f"{path}/<id>", do.delete(kind)),
    }


def _nested(path: str, kind: str, parent: str, one: str, many: str) -> dict[str, Route]:
    """The five operations of an entity that is reached through the one it belongs to."""
    return {
        f"create_{one}": ("POST", path, do.create_in(kind, parent)),
        f"list_{many}": ("GET", path, do.list_in(kind, parent)),
        f"get_{one}": ("GET", f"{path}/<id>", do.get_in(kind, parent)),
        f"update_{one}": ("PUT", f"{path}/<id>", do.update_in(kind, parent)),
        f"delete_{one}": ("DELETE", f"{path}/<id>", do.delete_in(kind, parent)),
    }


MAPPINGS = "/externalmappings"
WEBHOOKS = "/integrationdestinations/webhooks"
TRANSACTIONS = "/balances/<balanceId>/transactions"
TRANSACTION_SCHEDULES = "/balances/<balanceId>/balancetransactionschedules"
CREDITS = "/bills/<billId>/creditlineitems"
DEBITS = "/bills/<billId>/debitlineitems"
CHARGE_SCHEDULES = "/balances/<balanceId>/balancechargeschedules"

# By each operation's name, by which faults are ordered: its method, its path under the organization, and what it does.
# Of two with one name the later counts.
ROUTES: dict[str, Route] = {
    **_crud("/accounts", "accounts", "account", "accounts", codes="code"),
    **_crud("/accountplans", "account_plans", "account_plan", "account_plans"),
    "list_account_plans": ("GET", "/accountplans", do.list_account_plans),
    "replace_account_plan": ("POST", "/accountplans/<id>/replace", do.replace_account_plan),
    **_crud("/products", "products", "product", "products"),
    **_crud("/meters", "meters", "meter", "meters", codes="code", productId="productId"),
    **_crud("/aggregations", "aggregations", "aggregation", "aggregations", codes="code"),
    **_crud(
        "/compoundaggregations",
        "compound_aggregations",
        "compound_aggregation",
        "compound_aggregations",
        codes="code",
        productId="productId",
    ),
    **_crud("/plantemplates", "plan_templates", "plan_template", "plan_templates", productId="productId"),
    **_crud("/plans", "plans", "plan", "plans", productId="productId", accountId="accountId"),
    **_crud(
        "/pricings",
        "pricings",
        "pricing",
        "pricings",
        planId="planId",
        planTemplateId="planTemplateId",
        aggregationId="aggregationId",
    ),
    **_crud(
        MAPPINGS,
        "external_mappings",
        "external_mapping",
        "external_mappings",
        externalSystemId="externalSystem",
        m3terIds="m3terId",
        integrationConfigId="integrationConfigId",
    ),
    "list_external_mappings_by_m3ter_entity": (
        "GET",
        f"{MAPPINGS}/external/<entity>/<m3ter_id>",
        do.list_mappings_of_entity,
    ),
    "list_external_mappings_by_external_entity": (
        "GET",
        f"{MAPPINGS}/externalid/<system>/<table>/<path:external_id>",
        do.list_mappings_of_external,
    ),
    "get_external_mapping_configuration": ("GET", "/externalmappingconfiguration", do.mapping_configuration),
    "submit_measurements": ("POST", "/measurements", do.submit_measurements),
    "create_bill_job": ("POST", "/billjobs", do.create_bill_job),
    "recalculate_bills": ("POST", "/billjobs/recalculate", do.recalculate_bills),
    "list_bill_jobs": ("GET", "/billjobs", do.list_bill_jobs),
    "get_bill_job": ("GET", "/billjobs/<id>", do.get("bill_jobs")),
    "cancel_bill_job": ("POST", "/billjobs/<id>/cancel", do.cancel_bill_job),
    "list_bills": ("GET", "/bills", do.list_bills),
    "approve_bills": ("POST", "/bills/approve", do.approve_bills),
    "get_latest_bill": ("GET", "/bills/latest/<id>", do.latest_bill),
    "get_bill": ("GET", "/bills/<id>", do.get("bills")),
    "delete_bill": ("DELETE", "/bills/<id>", do.delete_bill),
    "set_bill_status": ("PUT", "/bills/<id>/status", do.set_bill_status),
    "lock_bill": ("PUT", "/bills/<id>/lock", do.lock_bill),
    "list_bill_line_items": ("GET", "/bills/<id>/lineitems", do.list_line_items),
    "get_bill_line_item": ("GET", "/bills/<id>/lineitems/<line_id>", do.get_line_item),
    **_crud("/notifications/configurations", "notifications", "notification", "notifications", eventName="eventName"),
    **_crud(WEBHOOKS, "webhooks", "webhook", "webhooks"),
    "set_webhook_active": ("PUT", f"{WEBHOOKS}/<id>/active", do.set_webhook_active),
    **_crud("/integrationconfigs", "integrations", "integration_config", "integration_configs"),
    "enable_integration_config": ("POST", "/integrationconfigs/<id>/enable", do.enable_integration),
    **_crud("/picklists/currency", "currencies", "currency", "currencies", codes="code"),
    **_crud(
        "/picklists/transactiontypes",
        "transaction_types",
        "transaction_type",
        "transaction_types",
        codes="code",
        archived="archived",
    ),
    **_crud("/balances", "balances", "balance", "balances"),
    "list_balances": ("GET", "/balances", balances.list_balances),
    "create_balance_transaction": ("POST", TRANSACTIONS, balances.create_transaction),
    "list_balance_transactions": ("GET", TRANSACTIONS, balances.list_transactions),
    "get_balance_transaction_summary": ("GET", f"{TRANSACTIONS}/summary", balances.transaction_summary),
    **_nested(
        TRANSACTION_SCHEDULES, "transaction_schedules", "balanceId", "transaction_schedule", "transaction_schedules"
    ),
    "preview_transaction_schedule": (
        "POST",
        f"{TRANSACTION_SCHEDULES}/preview",
        balances.preview("transaction_schedules"),
    ),
    **_nested(CHARGE_SCHEDULES, "charge_schedules", "balanceId", "charge_schedule", "charge_schedules"),
    "preview_charge_schedule": ("POST", f"{CHARGE_SCHEDULES}/preview", balances.preview("charge_schedules")),
    **_crud(
        "/charges",
        "charges",
        "charge",
        "charges",
        accountId="accountId",
        entityType="entityType",
        entityId="entityId",
        billDate="billDate",
        scheduleId="scheduleId",
    ),
    "delete_charge": ("DELETE", "/charges/<id>", balances.delete_charge),
    **_crud("/picklists/creditreasons", "credit_reasons", "credit_reason", "credit_reasons", codes="code"),
    **_crud("/picklists/debitreasons", "debit_reasons", "debit_reason", "debit_reasons", codes="code"),
    **_nested(CREDITS, "credit_line_items", "billId", "credit_line_item", "credit_line_items"),
    **_nested(DEBITS, "debit_line_items", "billId", "debit_line_item", "debit_line_items"),
    **_crud("/counters", "counters", "counter", "counters", codes="code", productId="productId"),
    **_crud(
        "/counterpricings",
        "counter_pricings",
        "counter_pricing",
        "counter_pricings",
        planId="planId",
        planTemplateId="planTemplateId",
    ),
    **_crud(
        "/counteradjustments",
        "counter_adjustments",
        "counter_adjustment",
        "counter_adjustments",
        accountId="accountId",
        counterId="counterId",
        date="date",
    ),
    **_crud("/commitments", "commitments", "commitment", "commitments", accountId="accountId", contractId="contractId"),
    "search_accounts": ("GET", "/accounts/search", bills.search("accounts", bills.ACCOUNT_FIELDS)),
    "search_commitments": ("GET", "/commitments/search", bills.search("commitments", bills.COMMITMENT_FIELDS)),
    "list_account_children": ("GET", "/accounts/<id>/children", bills.list_children),
    "end_account_billing_entities": ("PUT", "/accounts/<id>/enddatebillingentities", bills.end_billing_entities),
    "search_bills": ("GET", "/bills/search", bills.search("bills", bills.BILL_FIELDS)),
    "list_bills_of_account": ("GET", "/bills/accountid/<id>", bills.bills_of_account),
    "preview_bill": ("POST", "/bills/preview", bills.preview_bill),
    "approve_bills_of_period": ("POST", "/bills/billingperiod/<day>/<frequency>/approve", bills.approve_period),
    "list_line_items": ("GET", "/lineitems", bills.list_all_line_items),
    "get_bill_config": ("GET", "/billconfig", bills.get_bill_config),
    "update_bill_config": ("PUT", "/billconfig", bills.update_bill_config),
    "list_event_types": ("GET", "/events/types", events.list_event_types),
    "list_event_fields": ("GET", "/events/fields", events.list_event_fields),
    "list_events": ("GET", "/events", events.list_events),
    "get_event": ("GET", "/events/<id>", events.get_event),
    "evaluate_notification": ("POST", "/notifications/evaluate", events.evaluate),
    "get_organization_config": ("GET", "/organizationconfig", do.get_config),
    "update_organization_config": ("PUT", "/organizationconfig", do.update_config),
}


PATHS = Routes(
    [
        ("token", "POST", "/m3ter/oauth/token"),
        *((name, method, f"/m3ter/organizations/<org_id>{path}") for name, (method, path, _) in ROUTES.items()),
    ]
)


def answer(org: Approvals) -> Response:
    """The organization's answer to the current request."""
    try:
        name, path = PATHS.match(request.environ)
        if name == "token":
            return _token(org)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        org.admit(path.pop("org_id"), token if scheme == "Bearer" else "")
        if len(request.get_data()) > MAX_BODY:
            raise Refused(403, "Forbidden")
        body = _body() if request.method in ("POST", "PUT") else None
        return _answer(ROUTES[name][2](org, request.args.to_dict(), body, path))
    except Refused as refused:
        return refusal(refused.status, str(refused))
    except HTTPException as error:
        return refusal(error.code or 500, f"{request.method} {request.path}: {error.name}")


def refusal(status: int, message: str) -> Response:
    """An error answer in m3ter's shape."""
    return _answer({"message": message}, status)


def _body() -> Any:
    raw = request.get_data()
    try:
        return wire.load(raw) if raw else {}
    except ValueError as error:
        raise bad_request("The body is not valid JSON") from error


def _token(org: Approvals) -> Response:
    login = request.authorization
    grant = request.form.get("grant_type") if request.mimetype == "application/x-www-form-urlencoded" else None
    if grant is None:
        body = _body()
        grant = body.get("grant_type") if isinstance(body, dict) else None
    if login is None or login.type != "basic" or not _is_key(org, login.username or "", login.password or ""):
        raise Refused(403, "Forbidden")
    if grant != "client_credentials":
        raise bad_request("grant_type must be client_credentials")
    return _answer({"access_token": org.issue_token(), "token_type": "Bearer", "expires_in": TOKEN_SECONDS})


def _is_key(org: Approvals, key: str, secret: str) -> bool:
    return hmac.compare_digest(f"{key}:{secret}".encode(), f"{org.api_key}:{org.api_secret}".encode())


def _answer(body: Resource, status: int = 200) -> Response:
    return Response(wire.dump(body), status, content_type="application/json")
