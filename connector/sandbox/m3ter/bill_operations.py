"""m3ter's further operations on bills and accounts: searches, previews, hierarchies, locks of many."""

import re
from typing import Any

from connector.sandbox.component import Resource
from connector.sandbox.m3ter.approvals import Approvals
from connector.sandbox.m3ter.errors import bad_request
from connector.sandbox.m3ter.operations import Operation, line_item, without_total

COMPARISON = re.compile(r"(\w+)(>=|<=|>|<|:|~)(.*)", re.DOTALL)
BILL_FIELDS = (
    "accountId locked billDate startDate endDate dueDate billingFrequency id createdBy dtCreated lastModifiedBy"
)
COMMITMENT_FIELDS = "accountId contractId amount currency startDate endDate id createdBy dtCreated lastModifiedBy"
ACCOUNT_FIELDS = "name code currency purchaseOrderNumber parentAccountId id createdBy dtCreated lastModifiedBy"


def search(kind: str, fields: str) -> Operation:
    """The operation that finds entities by conditions, joined by `$`, on these fields."""
    allowed = fields.split()

    def operation(org: Approvals, query: Resource, _: Any, __: dict[str, str]) -> Resource:
        conditions = [_condition(text, allowed) for text in query.get("searchQuery", "").split("$") if text]
        together = {"AND": all, "OR": any}.get(query.get("operator", "AND"))
        size, start = query.get("pageSize", "10"), query.get("fromDocument", "0")
        if together is None or not _is_number(size) or not 1 <= int(size) <= 100 or not _is_number(start):
            raise bad_request("operator, pageSize or fromDocument is not one that a search takes")
        order = query.get("sortBy", "dtCreated")
        if order not in allowed:
            raise bad_request(f"sortBy {order} is not a field of the search")
        rows = [
            row
            for row in getattr(org, kind).values()
            if not conditions or together(_holds(row, *condition) for condition in conditions)
        ]
        rows.sort(key=lambda row: _text(row.get(order, "")), reverse=query.get("sortOrder") == "DESC")
        found = rows[int(start) : int(start) + int(size)]
        return {"data": [without_total(row) for row in found]}

    return operation


def bills_of_account(org: Approvals, query: Resource, _: Any, path: dict[str, str]) -> Resource:
    """The account's bills."""
    org.find("accounts", path["id"])
    return org.page([bill for bill in org.bills.values() if bill["accountId"] == path["id"]], query, 100)


def list_all_line_items(org: Approvals, query: Resource, _: Any, __: dict[str, str]) -> Resource:
    """The lines of all bills, in the shape of the list of one bill's lines."""
    size, start = query.get("pageSize", "100"), query.get("nextToken") or "0"
    if not _is_number(size) or not 1 <= int(size) <= 100 or not _is_number(start):
        raise bad_request("pageSize must be between 1 and 100, nextToken one that a list gave")
    names = ("lineItemType", "billId", "commitmentId")
    lines = [line_item(bill, line) for bill in org.bills.values() for line in bill["lineItems"]]
    lines = [line for line in lines if all(line.get(name, "") == query[name] for name in names if name in query)]
    end = int(start) + int(size)
    page = {"data": lines[int(start) : end]}
    return {**page, "nextToken": str(end)} if end < len(lines) else page


def preview_bill(org: Approvals, _: Resource, body: Any, __: dict[str, str]) -> Resource:
    """The bill that would be made."""
    return org.preview_bill(body)


def approve_period(org: Approvals, _: Resource, __: Any, path: dict[str, str]) -> Resource:
    """A message; all pending bills of the frequency whose period ends that day are approved."""
    bills = [
        bill["id"]
        for bill in org.bills.values()
        if bill["endDate"] == path["day"] and bill["billingFrequency"] == path["frequency"] and not bill["locked"]
    ]
    for bill_id in bills:
        org.approve(bill_id)
    return {"message": f"{len(bills)} bills approved"}


def get_bill_config(org: Approvals, _: Resource, __: Any, ___: dict[str, str]) -> Resource:
    """The date up to which bills are locked."""
    return org.bill_config()


def update_bill_config(org: Approvals, _: Resource, body: Any, __: dict[str, str]) -> Resource:
    """The new date up to which bills are locked."""
    return org.update_bill_config(body)


def list_children(org: Approvals, query: Resource, _: Any, path: dict[str, str]) -> Resource:
    """The accounts whose parent this is."""
    org.find("accounts", path["id"])
    return org.page([row for row in org.accounts.values() if row.get("parentAccountId") == path["id"]], query, 200)


def end_billing_entities(org: Approvals, _: Resource, body: Any, path: dict[str, str]) -> Resource:
    """What ended."""
    return org.end_billing_entities(path["id"], body)


def _condition(text: str, allowed: list[str]) -> tuple[str, str, str]:
    match = COMPARISON.fullmatch(text)
    if match is None or match[1] not in allowed:
        raise bad_request(f"searchQuery cannot be understood at {text}")
    return match[1], match[2], match[3]


def _holds(row: Resource, field: str, comparison: str, value: str) -> bool:
    if field not in row:
        return False
    found = _text(row[field])
    return {
        ">": found > value,
        ">=": found >= value,
        ":": found == value,
        "<": found < value,
        "<=": found <= value,
        "~": found.startswith(value),
    }[comparison]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10
