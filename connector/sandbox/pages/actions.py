"""What the forms of the pages do: any operation of the provider's API that changes something, and a few steps more."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from connector.sandbox.chargebee import routes as chargebee
from connector.sandbox.chargebee.forms import parse
from connector.sandbox.m3ter import routes as m3ter

if TYPE_CHECKING:
    from connector.sandbox.sandbox import Sandbox

Fields = dict[str, str]
# What a fault may be told beyond its kind, on the page.
DETAILS = ("status", "seconds", "location")


def perform(box: "Sandbox", provider: str, operation: str, resource_id: str, fields: Fields) -> None:
    """Does it; raises the provider's own Refused, or ValueError for what no form on the page asks."""
    with box.lock:
        box.settle()
        if (more := MORE.get((provider, operation))) is not None:
            more(box, resource_id, fields)
        elif provider == "chargebee":
            _in_chargebee(box, operation, resource_id, fields)
        elif provider == "m3ter":
            _in_m3ter(box, operation, resource_id, fields)
        else:
            raise ValueError(f"The sandbox has no operation {operation!r}")


def _in_chargebee(box: "Sandbox", operation: str, resource_id: str, fields: Fields) -> None:
    method, _, do = chargebee.ROUTES.get(operation, ("GET", "", None))
    if method == "GET" or do is None:
        raise ValueError(f"Chargebee has no operation {operation!r} that changes something")
    pairs = [(name, str(value)) for name, value in _typed(fields).items()]
    do(box.chargebee, parse(pairs), resource_id)


def _in_m3ter(box: "Sandbox", operation: str, resource_id: str, fields: Fields) -> None:
    method, path, do = m3ter.ROUTES.get(operation, ("GET", "", None))
    if method == "GET" or do is None:
        raise ValueError(f"m3ter has no operation {operation!r} that changes something")
    body = {name: value for name, value in _typed(fields).items() if value != ""}
    do(box.m3ter, {}, body, dict.fromkeys(re.findall(r"<(?:\w+:)?(\w+)>", path), resource_id))


def _typed(fields: Fields) -> dict[str, Any]:
    """The fields, each in the type that follows its name after a colon; what does not fit stays as it is."""
    values = {}
    for full_name, raw in fields.items():
        name, _, kind = full_name.partition(":")
        try:
            values[name] = TYPES[kind](raw) if kind in TYPES and raw else raw
        except (ValueError, ArithmeticError):
            values[name] = raw
    return values


def _midnight(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


def _number(text: str) -> int | Decimal:
    number = Decimal(text)
    if not number.is_finite() or abs(number.adjusted()) > 30:
        raise ValueError(text)
    return int(number) if number == number.to_integral_value() else number


TYPES: dict[str, Callable[[str], Any]] = {
    "epoch": lambda day: int(_midnight(day).timestamp()),
    "instant": lambda day: _midnight(day).strftime("%Y-%m-%dT%H:%M:%SZ"),
    "list": lambda text: [text],
    "number": _number,
}


def _move_time(box: "Sandbox", _: str, fields: Fields) -> None:
    if fields.get("to"):
        box.advance(to=_midnight(fields["to"]))
    else:
        box.advance(timedelta(days=int(fields.get("days", ""))))


def _new_price(box: "Sandbox", _: str, fields: Fields) -> None:
    """A new item price, and its item where that is new too."""
    item_id, kind = fields.get("item_id", ""), fields.pop("type", "plan")
    if item_id and item_id not in box.chargebee.items:
        if "default" not in box.chargebee.item_families:
            _in_chargebee(box, "create_item_family", "", {"id": "default", "name": "Default"})
        _in_chargebee(
            box, "create_item", "", {"id": item_id, "name": item_id, "type": kind, "item_family_id": "default"}
        )
    period = {} if kind == "charge" else {"period": "1", "period_unit": "month"}
    _in_chargebee(box, "create_item_price", "", {"name": fields.get("id", ""), **period, **fields})


def _pay_invoice(box: "Sandbox", invoice_id: str, _: Fields) -> None:
    box.chargebee.pay_invoice(invoice_id)


def _resend_event(box: "Sandbox", event_id: str, _: Fields) -> None:
    box.chargebee.resend_event(event_id)


def _new_plan(box: "Sandbox", _: str, fields: Fields) -> None:
    """A new plan, monthly, with a product and a template of its own."""
    values = _typed(fields)
    org, code = box.m3ter, values.get("code", "")
    product = org.create("products", {"code": code, "name": code})
    template = {
        "productId": product["id"],
        "name": code,
        "code": code,
        "billFrequency": "MONTHLY",
        "currency": values.get("currency", ""),
        "standingCharge": values.get("standingCharge", 0),
    }
    template_id = org.create("plan_templates", template)["id"]
    org.create("plans", {"planTemplateId": template_id, "code": code, "name": code})


def _end_account_plan(box: "Sandbox", account_plan_id: str, fields: Fields) -> None:
    account_plan = box.m3ter.find("account_plans", account_plan_id)
    box.m3ter.update("account_plans", account_plan_id, {**account_plan, **_typed(fields)})


def _send_usage(box: "Sandbox", _: str, fields: Fields) -> None:
    values = _typed(fields)
    measurement = {
        "uid": box.ids.uuid(),
        "ts": box.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "account": values.get("account", ""),
        "meter": values.get("meter", ""),
        "measure": {str(values.get("field", "")): values.get("value", "")},
    }
    box.m3ter.ingest({"measurements": [measurement]})


def _order_fault(box: "Sandbox", _: str, fields: Fields) -> None:
    values = {name: value for name, value in _typed(fields).items() if value != ""}
    provider, _, operation = str(values.pop("call", "")).partition(" ")
    if not isinstance(values.get("count", 1), int):
        raise ValueError("count must be a whole number")
    detail = {name: values[name] for name in ("count", *DETAILS) if name in values}
    box.faults.order(provider, operation, str(values.get("kind", "")), **detail)


def _clear_faults(box: "Sandbox", _: str, __: Fields) -> None:
    box.faults.clear()


def _clear_calls(box: "Sandbox", _: str, __: Fields) -> None:
    box.calls.clear()


MORE: dict[tuple[str, str], Callable[["Sandbox", str, Fields], None]] = {
    ("chargebee", "move_time"): _move_time,
    ("chargebee", "new_price"): _new_price,
    ("chargebee", "pay_invoice"): _pay_invoice,
    ("chargebee", "resend_event"): _resend_event,
    ("m3ter", "move_time"): _move_time,
    ("m3ter", "new_plan"): _new_plan,
    ("m3ter", "end_account_plan"): _end_account_plan,
    ("m3ter", "send_usage"): _send_usage,
    ("sandbox", "move_time"): _move_time,
    ("sandbox", "order_fault"): _order_fault,
    ("sandbox", "clear_faults"): _clear_faults,
    ("sandbox", "clear_calls"): _clear_calls,
}
