"""The control routes: what a person at the consoles, or the passing of time, would do."""

import json
import types
import typing
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from flask import Response, request

from connector.sandbox import wire
from connector.sandbox.chargebee.errors import Refused as ChargebeeRefused
from connector.sandbox.component import Resource
from connector.sandbox.m3ter.errors import Refused as M3terRefused

if TYPE_CHECKING:
    from connector.sandbox.sandbox import Sandbox

# What a person does in the consoles and no API offers, by the name of the method that does it.
ACTIONS: dict[str, frozenset[str]] = {
    "chargebee": frozenset({"announce", "pay_invoice", "resend_event"}),
    "m3ter": frozenset({"add_line", "expire_tokens"}),
}


class BadOrder(Exception):
    """A request to the control routes that makes no sense."""


def answer(box: "Sandbox", name: str) -> Response:
    """What becomes of the current request to the control route of this name."""
    view = VIEWS.get((request.method, name))
    if view is None:
        return refusal(404, f"there are: {', '.join(f'{method} /_control/{path}' for method, path in VIEWS)}")
    try:
        return Response(wire.dump(view(box, _order())), content_type="application/json")
    except (BadOrder, ValueError, TypeError, ArithmeticError, ChargebeeRefused, M3terRefused) as error:
        return refusal(400, str(error))


def refusal(status: int, message: str) -> Response:
    """An error answer: one sentence."""
    return Response(json.dumps({"error": message}), status, content_type="application/json")


def show_state(box: "Sandbox", _: Resource) -> Resource:
    """What there is, and what time it is."""
    return box.summary()


def move_time(box: "Sandbox", order: Resource) -> Resource:
    """Moves the time by so many seconds, or to a moment."""
    seconds = order.get("advance_seconds")
    if isinstance(seconds, int | Decimal) and set(order) == {"advance_seconds"}:
        box.advance(timedelta(seconds=float(seconds)))
    elif set(order) == {"to"}:
        box.advance(to=_moment(order["to"]))
    else:
        raise BadOrder('say {"advance_seconds": 60} or {"to": "2026-02-01T00:00:00Z"}')
    return box.summary()


def order_fault(box: "Sandbox", order: Resource) -> Resource:
    """Orders one fault."""
    missing = [name for name in ("provider", "operation", "kind") if name not in order]
    if missing:
        raise BadOrder(f"a fault needs {', '.join(missing)}")
    box.faults.order(**order)
    return show_faults(box, order)


def show_faults(box: "Sandbox", _: Resource) -> Resource:
    """The faults still to happen."""
    with box.lock:
        return {"faults": [asdict(fault) for fault in box.faults.orders]}


def clear_faults(box: "Sandbox", _: Resource) -> Resource:
    """Takes every order back."""
    box.faults.clear()
    return {"faults": []}


def show_calls(box: "Sandbox", _: Resource) -> Resource:
    """The calls received."""
    with box.lock:
        return {"calls": [asdict(call) for call in box.calls]}


def clear_calls(box: "Sandbox", _: Resource) -> Resource:
    """Forgets the calls received."""
    with box.lock:
        box.calls.clear()
    return {"calls": []}


def deliver(box: "Sandbox", _: Resource) -> Resource:
    """Sends the webhooks that are due."""
    return {"deliveries": [{**asdict(delivery), "at": delivery.at.isoformat()} for delivery in box.deliver()]}


def take_snapshot(box: "Sandbox", order: Resource) -> Resource:
    """Keeps everything as it is, under the name given or a number."""
    name = _snapshot_name(order, str(len(box.snapshots) + 1))
    with box.lock:
        box.snapshots.pop(name, None)
        box.snapshots[name] = box.snapshot()
    return {"snapshot": name}


def show_snapshots(box: "Sandbox", _: Resource) -> Resource:
    """The names of the snapshots, the last one at the end."""
    return {"snapshots": list(box.snapshots)}


def restore_snapshot(box: "Sandbox", order: Resource) -> Resource:
    """Makes everything as it was, by default at the last snapshot."""
    name = _snapshot_name(order, next(reversed(box.snapshots), ""))
    if name not in box.snapshots:
        raise BadOrder(f"there is no snapshot {name!r}" if name else "there is no snapshot yet")
    box.restore(box.snapshots[name])
    return box.summary()


def change_settings(box: "Sandbox", order: Resource) -> Resource:
    """Changes the settings named, and shows all."""
    for provider, changes in order.items():
        if provider not in ACTIONS or not isinstance(changes, dict):
            raise BadOrder('say {"chargebee": {"auto_close_days": 3}} or the like for "m3ter"')
        settings: Any = getattr(box, provider).settings
        kinds = typing.get_type_hints(type(settings))
        for name, value in changes.items():
            if name not in kinds or not _fits(value, kinds[name]):
                raise BadOrder(f"{provider} has no setting {name!r} that could be {value!r}")
            setattr(settings, name, value)
    return {"chargebee": asdict(box.chargebee.settings), "m3ter": asdict(box.m3ter.settings)}


def act(box: "Sandbox", order: Resource) -> Resource:
    """Does what a person would do in a console."""
    provider, action, arguments = order.get("provider"), order.get("action"), order.get("arguments", {})
    if action not in ACTIONS.get(str(provider), ()) or not isinstance(arguments, dict):
        known = ", ".join(f"{name} {method}" for name in ACTIONS for method in sorted(ACTIONS[name]))
        raise BadOrder(f"say provider, action and arguments; there are: {known}")
    return {"result": getattr(getattr(box, str(provider)), str(action))(**arguments)}


VIEWS: dict[tuple[str, str], Callable[["Sandbox", Resource], Resource]] = {
    ("GET", "state"): show_state,
    ("POST", "time"): move_time,
    ("POST", "faults"): order_fault,
    ("GET", "faults"): show_faults,
    ("DELETE", "faults"): clear_faults,
    ("GET", "calls"): show_calls,
    ("DELETE", "calls"): clear_calls,
    ("POST", "deliver"): deliver,
    ("POST", "snapshot"): take_snapshot,
    ("GET", "snapshots"): show_snapshots,
    ("POST", "restore"): restore_snapshot,
    ("POST", "settings"): change_settings,
    ("POST", "actions"): act,
}


def _order() -> Resource:
    raw = request.get_data()
    try:
        order = wire.load(raw) if raw else {}
    except ValueError as error:
        raise BadOrder("the body is not valid JSON") from error
    if not isinstance(order, dict):
        raise BadOrder("the body must be a JSON object")
    return order


def _snapshot_name(order: Resource, usual: str) -> str:
    name = order.get("snapshot", usual)
    if isinstance(name, bool) or not isinstance(name, str | int) or ("snapshot" in order and name == ""):
        raise BadOrder("a snapshot has a name or a number")
    return str(name)


def _moment(value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise BadOrder(f"{value!r} is not an ISO time") from error
    if moment.tzinfo is None:
        raise BadOrder(f"{value!r} has no time zone")
    return moment


def _fits(value: Any, kind: Any) -> bool:
    """Whether the value is of the setting's type; a truth value is no number."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, kind if isinstance(kind, types.UnionType) else typing.get_origin(kind) or kind)
