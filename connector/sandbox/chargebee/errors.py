"""Chargebee's refusals: ten statuses, each with its type and code."""

from connector.sandbox.component import Resource

# Status: the type of the answer, and the code when nothing more special is said.
STATUSES: dict[int, tuple[str | None, str]] = {
    400: ("invalid_request", "invalid_request"),
    401: (None, "api_authentication_failed"),
    403: ("operation_failed", "request_blocked"),
    404: ("invalid_request", "resource_not_found"),
    405: ("invalid_request", "http_method_not_supported"),
    409: ("invalid_request", "invalid_state_for_request"),
    422: ("invalid_request", "unable_to_process_request"),
    429: ("operation_failed", "api_request_limit_exceeded"),
    500: ("operation_failed", "internal_error"),
    503: ("operation_failed", "internal_temporary_error"),
}


class Refused(Exception):
    """An answer other than success."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        self.body = error_body(status, message, param=param, code=code)


def error_body(status: int, message: str, *, param: str | None = None, code: str | None = None) -> Resource:
    """The answer's JSON in Chargebee's shape."""
    kind, usual_code = STATUSES.get(status, (None, "internal_error"))
    body = {
        "message": message,
        "type": kind,
        "api_error_code": code or usual_code,
        "param": param,
        "error_code": code or usual_code,
        "error_msg": message,
        "http_status_code": status,
    }
    return {name: value for name, value in body.items() if value is not None}


def wrong_value(param: str, complaint: str) -> Refused:
    """A parameter that is missing, malformed or out of bounds."""
    return Refused(400, f"{param} : {complaint}", param=param, code="param_wrong_value")


def not_found(kind: str, resource_id: str) -> Refused:
    """A resource that does not exist, or no longer."""
    return Refused(404, f"{resource_id} not found", param=f"{kind}_id")


def must_be_ours_to_change(resource: Resource) -> None:
    """Refuses to change what an app store sold: only the store does (chargebee.md §16, trap 38)."""
    if resource.get("channel") in ("app_store", "play_store"):
        raise Refused(400, f"{resource['id']} belongs to an app store", code="configuration_incompatible")


def wrong_state(message: str, param: str | None = None) -> Refused:
    """An operation that the resource's state forbids."""
    return Refused(409, message, param=param)
