"""m3ter's operations: what each takes from a request, and what it answers."""

from collections.abc import Callable
from typing import Any

from connector.sandbox.component import Resource
from connector.sandbox.m3ter.accounts import is_active
from connector.sandbox.m3ter.approvals import Approvals
from connector.sandbox.m3ter.checks import instant, parse
from connector.sandbox.m3ter.errors import bad_request, not_found
from connector.sandbox.m3ter.organization import ENTITIES, REFERENCES

# The organization, the query, the body, and the ids in the path.
Operation = Callable[[Approvals, Resource, Any, dict[str, str]], Resource]
Test = Callable[[Resource], bool]

MAPPED_ENTITIES = (
    "Account",
    "AccountPlan",
    "Aggregation",
    "Bill",
    "BillItem",
    "CompoundAggregation",
    "Plan",
    "PlanGroup",
    "Pricing",
    "Product",
)
CHARGEBEE_TABLES = ("Customer", "Subscription", "ItemPrice", "Invoice")


def create(kind: str) -> Operation:
    """The operation that creates one entity."""
    return lambda org, _, body, __: org.create(kind, body)


def get(kind: str) -> Operation:
    """The operation that answers with one entity."""
    return lambda org, _, __, path: org.find(kind, path["id"])


def update(kind: str) -> Operation:
    """The operation that replaces one entity."""
    return lambda org, _, body, path: org.update(kind, path["id"], body)


def delete(kind: str) -> Operation:
    """The operation that deletes one entity."""
    return lambda org, _, __, path: org.delete(kind, path["id"])


def list_of(kind: str, **filters: str) -> Operation:
    """The operation that lists entities; each filter names the field that must be among its comma-separated values."""
    fields = {"ids": "id", **filters}

    def operation(org: Approvals, query: Resource, _: Any, __: dict[str, str]) -> Resource:
        rows = [
            row
            for row in getattr(org, kind).values()
            if all(
                _word(row.get(field, "")) in query[name].split(",") for name, field in fields.items() if name in query
            )
        ]
        return org.page(rows, query, ENTITIES[kind].page_limit)

    return operation


def _word(value: Any) -> str:
    """A value as a query writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def create_in(kind: str, parent: str) -> Operation:
    """The operation that creates an entity of the one in the path, which the field `parent` names."""

    def operation(org: Approvals, _: Resource, body: Any, path: dict[str, str]) -> Resource:
        org.find(REFERENCES[parent], path[parent])
        return org.create(kind, within(body, parent, path))

    return operation


def get_in(kind: str, parent: str) -> Operation:
    """The operation that answers with one entity of the one in the path."""
    return lambda org, _, __, path: _found_in(org, kind, parent, path)


def update_in(kind: str, parent: str) -> Operation:
    """The operation that replaces an entity of the one in the path."""

    def operation(org: Approvals, _: Resource, body: Any, path: dict[str, str]) -> Resource:
        _found_in(org, kind, parent, path)
        return org.update(kind, path["id"], within(body, parent, path))

    return operation


def delete_in(kind: str, parent: str) -> Operation:
    """The operation that deletes an entity of the one in the path."""

    def operation(org: Approvals, _: Resource, __: Any, path: dict[str, str]) -> Resource:
        _found_in(org, kind, parent, path)
        return org.delete(kind, path["id"])

    return operation


def list_in(kind: str, parent: str) -> Operation:
    """The operation that lists the entities of the one in the path."""

    def operation(org: Approvals, query: Resource, _: Any, path: dict[str, str]) -> Resource:
        org.find(REFERENCES[parent], path[parent])
        return list_of(kind, **{parent: parent})(org, {**query, parent: path[parent]}, None, path)

    return operation


def within(body: Any, parent: str, path: dict[str, str]) -> Any:
    """The body with the id of what the entity belongs to."""
    return {**body, parent: path[parent]} if isinstance(body, dict) else body


def _found_in(org: Approvals, kind: str, parent: str, path: dict[str, str]) -> Resource:
    entity = org.find(kind, path["id"])
    if entity[parent] != path[parent]:
        raise not_found(ENTITIES[kind].name, path["id"])
    return entity


def list_account_plans(org: Approvals, query: Resource, _: Any, __: dict[str, str]) -> Resource:
    """Account plans; of an account, a plan or a contract only the active ones unless `includeall` is sent."""
    if "product" in query and "account" not in query:
        raise bad_request("product can only be used together with account")
    fields = {"account": "accountId", "plan": "planId", "product": "productId", "contract": "contractId"}
    tests: list[Test] = [_equals(field, query[name]) for name, field in fields.items() if name in query]
    if "ids" in query:
        tests.append(lambda row: row["id"] in query["ids"].split(","))
    if "date" in query:
        moment = parse(instant("date", query["date"] if "T" in query["date"] else f"{query['date']}T00:00:00Z"))
        tests.append(lambda row: is_active(row, moment))
    elif query.get("includeall") != "true" and any(name in query for name in ("account", "plan", "contract")):
        tests.append(lambda row: is_active(row, org.now()))
    rows = [row for row in org.account_plans.values() if all(test(row) for test in tests)]
    return org.page(rows, query, 100)


def list_mappings_of_entity(org: Approvals, query: Resource, _: Any, path: dict[str, str]) -> Resource:
    """The mappings of one m3ter entity."""
    wanted = {"m3terEntity": path["entity"], "m3terId": path["m3ter_id"]}
    return _mappings(org, query, wanted)


def list_mappings_of_external(org: Approvals, query: Resource, _: Any, path: dict[str, str]) -> Resource:
    """The mappings of one external record."""
    names = {"externalSystem": "system", "externalTable": "table", "externalId": "external_id"}
    return _mappings(org, query, {field: path[name] for field, name in names.items()})


def _mappings(org: Approvals, query: Resource, wanted: Resource) -> Resource:
    rows = [
        row for row in org.external_mappings.values() if all(row[field] == value for field, value in wanted.items())
    ]
    return org.page(rows, query, 200)


def mapping_configuration(org: Approvals, _: Resource, __: Any, ___: dict[str, str]) -> Resource:
    """Which names mappings may use."""
    system = {"name": "Chargebee", "tables": list(CHARGEBEE_TABLES), "allowCustomExternalTables": True}
    return {"m3terEntities": list(MAPPED_ENTITIES), "externalSystems": [system]}


def replace_account_plan(org: Approvals, _: Resource, body: Any, path: dict[str, str]) -> Resource:
    """The ended account plan and the new one."""
    return org.replace_account_plan(path["id"], body)


def submit_measurements(org: Approvals, _: Resource, body: Any, __: dict[str, str]) -> Resource:
    """That the measurements were accepted, which says nothing about their use."""
    org.ingest(body)
    return {"result": "accepted"}


def create_bill_job(org: Approvals, _: Resource, body: Any, __: dict[str, str]) -> Resource:
    """The new bill job."""
    return org.create_bill_job(body)


def recalculate_bills(org: Approvals, _: Resource, body: Any, __: dict[str, str]) -> Resource:
    """The new bill job over existing bills."""
    return org.recalculate_bills(_bill_ids(body))


def cancel_bill_job(org: Approvals, _: Resource, __: Any, path: dict[str, str]) -> Resource:
    """The cancelled bill job."""
    return org.cancel_bill_job(path["id"])


def list_bill_jobs(org: Approvals, query: Resource, _: Any, __: dict[str, str]) -> Resource:
    """Bill jobs; active are those still to end."""
    running = {"TRUE": ("PENDING",), "FALSE": ("COMPLETE", "CANCELLED")}.get(query.get("active", "").upper())
    rows = [
        row
        for row in org.bill_jobs.values()
        if row["status"] == query.get("status", row["status"]) and (running is None or row["status"] in running)
    ]
    return org.page(rows, query, 100)


def list_bills(org: Approvals, query: Resource, _: Any, __: dict[str, str]) -> Resource:
    """Bills; their total only when asked for, their lines unless unwanted."""
    exact = ("accountId", "status", "billDate", "billJobId", "billingFrequency")
    tests: list[Test] = [_equals(name, query[name]) for name in exact if name in query]
    if "ids" in query:
        tests.append(lambda row: row["id"] in query["ids"].split(","))
    if "locked" in query:
        tests.append(lambda row: row["locked"] is (query["locked"] == "true"))
    for field in ("billDate", "externalInvoiceDate"):
        if f"{field}Start" in query:
            tests.append(_from(field, query[f"{field}Start"]))
        if f"{field}End" in query:
            tests.append(_before(field, query[f"{field}End"]))
    rows = [row for row in org.bills.values() if all(test(row) for test in tests)]
    page = org.page(rows, query, 100)
    hidden = {"billTotal"} if query.get("includeBillTotal") != "true" else set()
    if query.get("excludeLineItems") == "true":
        hidden.add("lineItems")
    return {**page, "data": [{name: row[name] for name in row if name not in hidden} for row in page["data"]]}


def without_total(row: Resource) -> Resource:
    """The row as a search shows it: a bill without its total."""
    return {name: value for name, value in row.items() if name != "billTotal"}


def latest_bill(org: Approvals, _: Resource, __: Any, path: dict[str, str]) -> Resource:
    """The account's bill with the latest date."""
    bills = [bill for bill in org.bills.values() if bill["accountId"] == path["id"]]
    if not bills:
        raise not_found("A bill of account", path["id"])
    return max(bills, key=lambda bill: str(bill["billDate"]))


def approve_bills(org: Approvals, _: Resource, body: Any, __: dict[str, str]) -> Resource:
    """A message; what became of each bill must be read from the bills."""
    bill_ids = _bill_ids(body)
    for bill_id in bill_ids:
        org.find("bills", bill_id)
    for bill_id in bill_ids:
        org.approve(bill_id)
    return {"message": f"{len(bill_ids)} bills approved"}


def set_bill_status(org: Approvals, _: Resource, body: Any, path: dict[str, str]) -> Resource:
    """The bill with its new status."""
    return org.set_bill_status(path["id"], str(body.get("status") if isinstance(body, dict) else None))


def lock_bill(org: Approvals, _: Resource, __: Any, path: dict[str, str]) -> Resource:
    """The locked bill."""
    return org.lock(path["id"])


def delete_bill(org: Approvals, _: Resource, __: Any, path: dict[str, str]) -> Resource:
    """The bill that is no more."""
    return org.delete_bill(path["id"])


def list_line_items(org: Approvals, query: Resource, _: Any, path: dict[str, str]) -> Resource:
    """The bill's lines in the shape of this list, in the order of the bill."""
    bill = org.find("bills", path["id"])
    size, start = query.get("pageSize", "100"), query.get("nextToken") or "0"
    if not size.isdecimal() or not 1 <= int(size) <= 100:
        raise bad_request("pageSize must be between 1 and 100")
    if not start.isdecimal():
        raise bad_request("nextToken is not one that a list gave")
    end = int(start) + int(size)
    data = [line_item(bill, line) for line in bill["lineItems"][int(start) : end]]
    return {"data": data, "nextToken": str(end)} if end < len(bill["lineItems"]) else {"data": data}


def get_line_item(org: Approvals, _: Resource, __: Any, path: dict[str, str]) -> Resource:
    """One line of the bill."""
    bill = org.find("bills", path["id"])
    for line in bill["lineItems"]:
        if line["id"] == path["line_id"]:
            return line_item(bill, line)
    raise not_found("Line item", path["line_id"])


def get_config(org: Approvals, _: Resource, __: Any, ___: dict[str, str]) -> Resource:
    """The organization's configuration."""
    return org.config


def update_config(org: Approvals, _: Resource, body: Any, __: dict[str, str]) -> Resource:
    """The organization's configuration, replaced."""
    return org.update_config(body)


def enable_integration(org: Approvals, _: Resource, __: Any, path: dict[str, str]) -> Resource:
    """The integration configuration, enabled."""
    return org.enable_integration(path["id"])


def set_webhook_active(org: Approvals, query: Resource, _: Any, path: dict[str, str]) -> Resource:
    """The destination, on or off."""
    destination = org.find("webhooks", path["id"])
    return org.update("webhooks", path["id"], {**destination, "active": query.get("active") == "true"})


def _bill_ids(body: Any) -> list[str]:
    bill_ids = body.get("billIds") if isinstance(body, dict) else None
    if not isinstance(bill_ids, list) or not bill_ids or not all(isinstance(bill_id, str) for bill_id in bill_ids):
        raise bad_request("billIds must be a list of at least one id")
    return bill_ids


def line_item(bill: Resource, line: Resource) -> Resource:
    """A line as this list shows it: other names, and without the child account."""
    hidden = ("usagePerPricingBand", "childAccountId", "childAccountCode")
    shown = {name: value for name, value in line.items() if name not in hidden}
    if "usagePerPricingBand" in line:
        shown["bandUsage"] = line["usagePerPricingBand"]
    audit = {name: bill[name] for name in ("version", "dtCreated", "dtLastModified", "createdBy", "lastModifiedBy")}
    return {**shown, "billId": bill["id"], "jsonUsageGenerated": False, **audit}


def _equals(field: str, value: str) -> Test:
    return lambda row: str(row.get(field, "")) == value


def _from(field: str, day: str) -> Test:
    return lambda row: str(row[field]) >= day


def _before(field: str, day: str) -> Test:
    return lambda row: str(row[field]) < day
