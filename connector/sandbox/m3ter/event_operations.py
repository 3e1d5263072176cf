"""m3ter's operations on events, and on the calculations over them."""

import re
from datetime import timedelta
from typing import Any

from connector.sandbox.component import Resource
from connector.sandbox.m3ter.approvals import Approvals
from connector.sandbox.m3ter.checks import iso
from connector.sandbox.m3ter.errors import bad_request, not_found

LIFE = timedelta(days=28)

NUMBER, TEXT, FLAG = "double", "string", "boolean"
BILL_FIELDS = {
    **dict.fromkeys(("id", "accountId", "accountCode", "status", "billDate", "dueDate", "startDate", "endDate"), TEXT),
    **dict.fromkeys(("currency", "billingFrequency", "dtApproved", "approvedBy", "billJobId"), TEXT),
    **dict.fromkeys(("version", "billTotal", "billFrequencyInterval"), NUMBER),
    "locked": FLAG,
}
FIELDS: dict[str, dict[str, str]] = {
    "billing.bill.created": {f"new.{name}": kind for name, kind in BILL_FIELDS.items()},
    "billing.bill.updated": {f"{copy}.{name}": kind for copy in ("new", "old") for name, kind in BILL_FIELDS.items()},
    "integration.disabled.error": {"new.id": TEXT, "new.enabled": FLAG, "new.active": FLAG},
}
# What kind an event is of, by the service its name begins with.
EVENT_TYPES = {"billing": "Notification", "integration": "IntegrationEvent"}
TOKEN = re.compile(
    r"""\s+|(?P<field>(?:new|old)\.\w+)|(?P<value>\d+(?:\.\d+)?|"[^"]*"|'[^']*'|null|true|false)"""
    r"""|(?P<join>AND|OR)|(?P<open>\()|(?P<close>\))|(?P<operator>[=!<>]=|[<>+*/-])"""
)


def list_event_types(_: Approvals, __: Resource, ___: Any, ____: dict[str, str]) -> Resource:
    """The events that the sandbox knows how to make."""
    return {"events": list(FIELDS)}


def list_event_fields(_: Approvals, query: Resource, __: Any, ___: dict[str, str]) -> Resource:
    """The fields of one event, or of all, each with its type."""
    names = [query["eventName"]] if "eventName" in query else list(FIELDS)
    return {"events": {name: FIELDS[name] for name in names if name in FIELDS}}


def list_events(org: Approvals, query: Resource, _: Any, __: dict[str, str]) -> Resource:
    """The events of the last 28 days; those that were acted upon only if asked for."""
    rows = _alive(org)
    if "ids" in query:
        rows = [row for row in rows if row["id"] in query["ids"].split(",")]
    if "eventName" in query:
        rows = [row for row in rows if row["eventName"] == query["eventName"]]
    for name, field in (("accountId", "accountId"), ("resourceId", "id")):
        if name in query:
            rows = [row for row in rows if row["m3terEvent"]["eventData"]["newDto"].get(field) == query[name]]
    if "eventType" in query:
        rows = [row for row in rows if EVENT_TYPES[row["eventName"].partition(".")[0]] == query["eventType"]]
    if "notificationId" in query or "notificationCode" in query:
        rows = []
    if query.get("includeActioned", "true") == "false":
        rows = [row for row in rows if "dtActioned" not in row]
    return org.page(rows, query, 100)


def get_event(org: Approvals, _: Resource, __: Any, path: dict[str, str]) -> Resource:
    """One event, while it lives."""
    for event in _alive(org):
        if event["id"] == path["id"]:
            return event
    raise not_found("Event", path["id"])


def evaluate(org: Approvals, _: Resource, body: Any, __: dict[str, str]) -> Resource:
    """Whether a calculation can be understood over the event; of a name and an id the name counts."""
    body = body if isinstance(body, dict) else {}
    name, calculation = body.get("eventName"), body.get("calculation")
    if name is None and isinstance(body.get("eventId"), str):
        name = get_event(org, {}, None, {"id": body["eventId"]})["eventName"]
    if not isinstance(name, str) or not isinstance(calculation, str):
        raise bad_request("calculation, and eventName or eventId, must be given")
    problem = _problem(calculation, FIELDS.get(name))
    return {"success": problem is None, **({} if problem is None else {"errorMessage": problem})}


def _alive(org: Approvals) -> list[Resource]:
    oldest = iso(org.now() - LIFE)
    return [event for event in org.events.values() if event["eventTime"] > oldest]


def _problem(calculation: str, fields: dict[str, str] | None) -> str | None:
    """What is wrong with the calculation: operands and operators must take turns, and parentheses match."""
    if fields is None:
        return "The event is not known"
    place, depth, wants_operand = 0, 0, True
    while place < len(calculation):
        match = TOKEN.match(calculation, place)
        if match is None:
            return f"Unexpected {calculation[place]!r} at {place}"
        kind, token, place = match.lastgroup, match[0], match.end()
        if kind is None:
            continue
        if kind == "field" and token not in fields:
            return f"{token} is not a field of the event"
        if wants_operand != (kind in ("field", "value", "open")):
            return f"Unexpected {token} before {place}"
        depth += {"open": 1, "close": -1}.get(kind, 0)
        wants_operand = kind in ("join", "operator", "open")
        if depth < 0:
            break
    if depth or wants_operand:
        return "The calculation is not complete"
    return None
