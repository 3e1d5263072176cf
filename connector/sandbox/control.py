"""The control routes: what a person at the console, or the passing of time, would do."""

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, request

from connector.sandbox import wire
from connector.sandbox.chargebee.errors import Refused as ChargebeeRefused
from connector.sandbox.component import Resource
from connector.sandbox.m3ter.errors import Refused as M3terRefused

if TYPE_CHECKING:
    from connector.sandbox.sandbox import Sandbox

# What a person can do in the consoles, by the name of the method that does it.
ACTIONS: dict[str, frozenset[str]] = {
    "chargebee": frozenset({"pay_invoice", "resend_event", "extend_trial", "add_webhook_endpoint"}),
    "m3ter": frozenset({"add_line", "add_webhook_destination", "expire_tokens"}),
}


class BadOrder(Exception):
    """A request to the control routes that makes no sense."""


def routes(box: "Sandbox") -> Blueprint:
    """The blueprint that controls this sandbox."""
    blueprint = Blueprint("control", __name__)
    snapshots: list[Any] = []

    def state() -> Resource:
        return box.summary()

    def move_time() -> Resource:
        order = _order()
        if set(order) == {"advance_seconds"} and _is_number(order["advance_seconds"]):
            box.advance(timedelta(seconds=float(order["advance_seconds"])))
        elif set(order) == {"to"}:
            box.advance(to=_moment(order["to"]))
        else:
            raise BadOrder('say {"advance_seconds": 60} or {"to": "2026-02-01T00:00:00Z"}')
        return box.summary()

    def order_fault() -> Resource:
        order = _order()
        missing = [name for name in ("provider", "operation", "kind") if name not in order]
        if missing:
            raise BadOrder(f"a fault needs {', '.join(missing)}")
        box.faults.order(**order)
        return {"faults": [asdict(fault) for fault in box.faults.orders]}

    def clear_faults() -> Resource:
        box.faults.clear()
        return {"faults": []}

    def calls() -> Resource:
        with box.lock:
            return {"calls": [asdict(call) for call in box.calls]}

    def clear_calls() -> Resource:
        with box.lock:
            box.calls.clear()
        return {"calls": []}

    def deliver() -> Resource:
        return {"deliveries": [{**asdict(delivery), "at": delivery.at.isoformat()} for delivery in box.deliver()]}

    def snapshot() -> Resource:
        snapshots.append(box.snapshot())
        return {"snapshot": len(snapshots)}

    def restore() -> Resource:
        number = _order().get("snapshot", len(snapshots))
        if not isinstance(number, int) or not 1 <= number <= len(snapshots):
            raise BadOrder("there is no such snapshot")
        box.restore(snapshots[number - 1])
        return box.summary()

    def settings() -> Resource:
        order = _order()
        for provider, changes in order.items():
            _change_settings(box, provider, changes)
        return {"chargebee": asdict(box.chargebee.settings), "m3ter": asdict(box.m3ter.settings)}

    def act() -> Resource:
        order = _order()
        provider, action = order.get("provider"), order.get("action")
        if provider not in ACTIONS or action not in ACTIONS[str(provider)]:
            raise BadOrder(
                f"say provider and action, out of {json.dumps({name: sorted(ACTIONS[name]) for name in ACTIONS})}"
            )
        arguments = order.get("arguments", {})
        if not isinstance(arguments, dict):
            raise BadOrder("arguments must be a JSON object")
        return {"result": getattr(getattr(box, str(provider)), str(action))(**arguments)}

    views: tuple[tuple[str, str, Callable[[], Resource]], ...] = (
        ("GET", "/state", state),
        ("POST", "/time", move_time),
        ("POST", "/faults", order_fault),
        ("DELETE", "/faults", clear_faults),
        ("GET", "/calls", calls),
        ("DELETE", "/calls", clear_calls),
        ("POST", "/deliver", deliver),
        ("POST", "/snapshot", snapshot),
        ("POST", "/restore", restore),
        ("POST", "/settings", settings),
        ("POST", "/actions", act),
    )
    for method, path, view in views:
        blueprint.add_url_rule(path, view.__name__, _answering(view), methods=[method])
    return blueprint


def refusal(status: int, message: str) -> Response:
    """An error answer: one sentence."""
    return Response(json.dumps({"error": message}), status, content_type="application/json")


def _answering(view: Callable[[], Resource]) -> Callable[[], Response]:
    def answer() -> Response:
        try:
            return Response(wire.dump(view()), content_type="application/json")
        except (BadOrder, ValueError, TypeError, OverflowError, ChargebeeRefused, M3terRefused) as error:
            return refusal(400, str(error))

    return answer


def _order() -> Resource:
    raw = request.get_data()
    try:
        order = wire.load(raw) if raw else {}
    except ValueError as error:
        raise BadOrder("the body is not valid JSON") from error
    if not isinstance(order, dict):
        raise BadOrder("the body must be a JSON object")
    return order


def _moment(value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise BadOrder(f"{value!r} is not an ISO time") from error
    if moment.tzinfo is None:
        raise BadOrder(f"{value!r} has no time zone")
    return moment


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | Decimal)


def _change_settings(box: "Sandbox", provider: str, changes: Any) -> None:
    if provider not in ACTIONS or not isinstance(changes, dict):
        raise BadOrder('say {"chargebee": {"auto_close_days": 3}} or the like for "m3ter"')
    settings: Any = getattr(box, provider).settings
    for name, value in changes.items():
        if name not in asdict(settings):
            raise BadOrder(f"{provider} has no setting {name!r}")
        setattr(settings, name, value)
