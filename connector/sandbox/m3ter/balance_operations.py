"""m3ter's operations on balances, on what moves them, and on charges."""

from typing import Any

from connector.sandbox.component import Resource
from connector.sandbox.m3ter.approvals import Approvals
from connector.sandbox.m3ter.checks import instant
from connector.sandbox.m3ter.errors import bad_request
from connector.sandbox.m3ter.operations import Operation, list_of


def list_balances(org: Approvals, query: Resource, _: Any, __: dict[str, str]) -> Resource:
    """Balances; one with a rollover ends, for the filters, when that does."""
    within = {name: instant(name, _moment(query[name])) for name in ("endDateStart", "endDateEnd") if name in query}
    wanted = {name: query[name] for name in ("accountId", "contractId") if name in query}
    if query.get("contract"):
        wanted["contractId"] = query["contract"]
    rows = [
        row
        for row in org.balances.values()
        if all(row.get(name, "") == value for name, value in wanted.items())
        and ("ids" not in query or row["id"] in query["ids"].split(","))
        and within.get("endDateStart", "") <= _end(row) < within.get("endDateEnd", "9")
    ]
    return org.page(rows, query, 100)


def create_transaction(org: Approvals, _: Resource, body: Any, path: dict[str, str]) -> Resource:
    """The new transaction."""
    return _shown(org.create_transaction(path["balanceId"], body))


def list_transactions(org: Approvals, query: Resource, _: Any, path: dict[str, str]) -> Resource:
    """The balance's transactions."""
    org.find("balances", path["balanceId"])
    names = ("balanceId", "transactionTypeId", "entityType", "entityId")
    listed = list_of("transactions", **{name: name for name in names})
    page = listed(org, {**query, "balanceId": path["balanceId"]}, None, path)
    return {**page, "data": [_shown(row) for row in page["data"]]}


def transaction_summary(org: Approvals, _: Resource, __: Any, path: dict[str, str]) -> Resource:
    """What came in and went out of the balance."""
    return org.transaction_summary(path["balanceId"])


def preview(kind: str) -> Operation:
    """The operation that shows what a schedule would make, without making it: a page, or its first row alone."""

    def operation(org: Approvals, query: Resource, body: Any, path: dict[str, str]) -> Resource:
        size, start = query.get("pageSize", "200"), query.get("nextToken") or "0"
        if not _is_number(size) or not 1 <= int(size) <= 200:
            raise bad_request("pageSize must be between 1 and 200")
        if not _is_number(start):
            raise bad_request("nextToken is not one that a preview gave")
        rows, more = org.preview(kind, path["balanceId"], body, int(start), int(size))
        if org.settings.single_object_previews:
            return rows[0] if rows else {}
        return {"data": rows, "nextToken": str(int(start) + int(size))} if more else {"data": rows}

    return operation


def delete_charge(org: Approvals, _: Resource, __: Any, path: dict[str, str]) -> Resource:
    """The charge that is no more."""
    return org.delete_charge(path["id"])


def _end(balance: Resource) -> str:
    return str(balance.get("rolloverEndDate") or balance["endDate"])


def _moment(text: str) -> str:
    return text if "T" in text else f"{text}T00:00:00Z"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10


def _shown(transaction: Resource) -> Resource:
    return {name: value for name, value in transaction.items() if name != "balanceId"}
