"""m3ter over HTTP: the token, and which operation a path is."""

import hmac
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, request

from connector.sandbox import wire
from connector.sandbox.component import Resource
from connector.sandbox.m3ter import operations as do
from connector.sandbox.m3ter.bills import Bills
from connector.sandbox.m3ter.errors import Refused, bad_request
from connector.sandbox.m3ter.organization import TOKEN_SECONDS

MAX_BODY = 512_000

Route = tuple[str, str, str, do.Operation]


def _crud(path: str, kind: str, one: str, many: str, **filters: str) -> tuple[Route, ...]:
    """The five operations of an entity, by its names for one and for many."""
    return (
        ("POST", path, f"create_{one}", do.create(kind)),
        ("GET", path, f"list_{many}", do.list_of(kind, **filters)),
        ("GET", f"{path}/<id>", f"get_{one}", do.get(kind)),
        ("PUT", f"{path}/<id>", f"update_{one}", do.update(kind)),
        ("DELETE", f"{path}/<id>", f"delete_{one}", do.delete(kind)),
    )


MAPPINGS = "/externalmappings"
WEBHOOKS = "/integrationdestinations/webhooks"

# Method, path under the organization, the operation's name (by which faults are ordered), and what it does. Of two for
# the same method and path the first counts.
ROUTES: tuple[Route, ...] = (
    ("DELETE", "/accounts/<id>", "delete_account", do.delete_account),
    *_crud("/accounts", "accounts", "account", "accounts", codes="code"),
    ("GET", "/accountplans", "list_account_plans", do.list_account_plans),
    *_crud("/accountplans", "account_plans", "account_plan", "account_plans"),
    ("POST", "/accountplans/<id>/replace", "replace_account_plan", do.replace_account_plan),
    *_crud("/products", "products", "product", "products"),
    *_crud("/meters", "meters", "meter", "meters", codes="code", productId="productId"),
    *_crud("/aggregations", "aggregations", "aggregation", "aggregations", codes="code"),
    *_crud("/plantemplates", "plan_templates", "plan_template", "plan_templates", productId="productId"),
    *_crud("/plans", "plans", "plan", "plans", productId="productId", accountId="accountId"),
    *_crud(
        "/pricings",
        "pricings",
        "pricing",
        "pricings",
        planId="planId",
        planTemplateId="planTemplateId",
        aggregationId="aggregationId",
    ),
    *_crud(
        MAPPINGS,
        "external_mappings",
        "external_mapping",
        "external_mappings",
        externalSystemId="externalSystem",
        m3terIds="m3terId",
        integrationConfigId="integrationConfigId",
    ),
    (
        "GET",
        f"{MAPPINGS}/external/<entity>/<m3ter_id>",
        "list_external_mappings_by_m3ter_entity",
        do.list_mappings_of_entity,
    ),
    (
        "GET",
        f"{MAPPINGS}/externalid/<system>/<table>/<path:external_id>",
        "list_external_mappings_by_external_entity",
        do.list_mappings_of_external,
    ),
    ("GET", "/externalmappingconfiguration", "get_external_mapping_configuration", do.mapping_configuration),
    ("POST", "/measurements", "submit_measurements", do.submit_measurements),
    ("POST", "/billjobs", "create_bill_job", do.create_bill_job),
    ("POST", "/billjobs/recalculate", "recalculate_bills", do.recalculate_bills),
    ("GET", "/billjobs", "list_bill_jobs", do.list_bill_jobs),
    ("GET", "/billjobs/<id>", "get_bill_job", do.get("bill_jobs")),
    ("POST", "/billjobs/<id>/cancel", "cancel_bill_job", do.cancel_bill_job),
    ("GET", "/bills", "list_bills", do.list_bills),
    ("POST", "/bills/approve", "approve_bills", do.approve_bills),
    ("GET", "/bills/latest/<id>", "get_latest_bill", do.latest_bill),
    ("GET", "/bills/<id>", "get_bill", do.get("bills")),
    ("DELETE", "/bills/<id>", "delete_bill", do.delete_bill),
    ("PUT", "/bills/<id>/status", "set_bill_status", do.set_bill_status),
    ("PUT", "/bills/<id>/lock", "lock_bill", do.lock_bill),
    ("GET", "/bills/<id>/lineitems", "list_bill_line_items", do.list_line_items),
    ("GET", "/bills/<id>/lineitems/<line_id>", "get_bill_line_item", do.get_line_item),
    *_crud("/notifications/configurations", "notifications", "notification", "notifications", eventName="eventName"),
    *_crud(WEBHOOKS, "webhooks", "webhook", "webhooks"),
    ("PUT", f"{WEBHOOKS}/<id>/active", "set_webhook_active", do.set_webhook_active),
    *_crud("/integrationconfigs", "integrations", "integration_config", "integration_configs"),
    *_crud("/picklists/currency", "currencies", "currency", "currencies", codes="code"),
    ("GET", "/organizationconfig", "get_organization_config", do.get_config),
    ("PUT", "/organizationconfig", "update_organization_config", do.update_config),
)


def routes(org: Bills) -> Blueprint:
    """The blueprint that answers for this organization."""
    blueprint = Blueprint("m3ter", __name__)
    blueprint.add_url_rule("/oauth/token", "token", lambda: _token(org), methods=["POST"])
    known = set()
    for method, path, name, operation in ROUTES:
        if name not in known:
            known.add(name)
            blueprint.add_url_rule(
                f"/organizations/<org_id>{path}",
                name,
                _view(org, operation),
                methods=[method],
                provide_automatic_options=False,
            )
    blueprint.register_error_handler(Refused, lambda error: refusal(error.status, str(error)))
    return blueprint


def refusal(status: int, message: str) -> Response:
    """An error answer in m3ter's shape."""
    return _answer({"message": message}, status)


def _view(org: Bills, operation: do.Operation) -> Callable[..., Response]:
    def view(org_id: str, **path: str) -> Response:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        org.admit(org_id, token if scheme == "Bearer" else "")
        if len(request.get_data()) > MAX_BODY:
            raise Refused(403, "Forbidden")
        body = _body() if request.method in ("POST", "PUT") else None
        return _answer(operation(org, request.args.to_dict(), body, path))

    return view


def _body() -> Any:
    raw = request.get_data()
    try:
        return wire.load(raw) if raw else {}
    except ValueError as error:
        raise bad_request("The body is not valid JSON") from error


def _token(org: Bills) -> Response:
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


def _is_key(org: Bills, key: str, secret: str) -> bool:
    return hmac.compare_digest(f"{key}:{secret}".encode(), f"{org.api_key}:{org.api_secret}".encode())


def _answer(body: Resource, status: int = 200) -> Response:
    return Response(wire.dump(body), status, content_type="application/json")
