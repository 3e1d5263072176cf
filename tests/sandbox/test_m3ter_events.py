"""m3ter's events, hierarchies, searches, previews, locks and approvals without anyone's doing."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import m3ter
import pytest
from m3ter import M3ter

from connector.sandbox import Sandbox

JAN, FEB = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)


def bill_of(box: Sandbox, account_id: str, bill_date: str = "2026-02-01") -> dict[str, Any]:
    [bill_id] = box.m3ter.run_bill_job([account_id], bill_date)["billIds"]
    return dict(box.m3ter.bills[bill_id])


def test_the_sdk_reads_the_types_and_fields_of_events(m3ter_sdk: M3ter):
    assert "billing.bill.updated" in (m3ter_sdk.events.get_types().events or [])
    fields = m3ter_sdk.events.get_fields(event_name="billing.bill.updated").events or {}
    assert fields["billing.bill.updated"]["new.status"] == "string"
    assert m3ter_sdk.events.list(event_name="billing.bill.updated").data == []


@pytest.mark.parametrize(
    ("calculation", "success"),
    [
        ('new.status == "APPROVED" AND old.status != "APPROVED"', True),
        ("(new.billTotal >= ((old.billTotal*90)/100)) OR (old.billTotal == null)", True),
        ("new.status ==", False),
        ("(new.status == 'APPROVED'", False),
        ("new.nothing == 1", False),
        ("new.status APPROVED", False),
        ("", False),
        ("new.status == {}", False),
    ],
)
def test_a_calculation_is_evaluated(calculation: str, success: bool, m3ter_http: Any):
    body = {"eventName": "billing.bill.updated", "calculation": calculation}
    answer = m3ter_http.call("POST", "notifications/evaluate", body).json
    assert (answer["success"], "errorMessage" in answer) == (success, not success)


def test_an_evaluation_needs_an_event(box: Sandbox, metered: dict[str, str], m3ter_http: Any):
    assert m3ter_http.call("POST", "notifications/evaluate", {"calculation": "1 == 1"}).status_code == 400
    bill_of(box, metered["account"])
    [event_id] = box.m3ter.events
    body = {"eventId": event_id, "calculation": 'new.status == "PENDING"'}
    assert m3ter_http.call("POST", "notifications/evaluate", body).json["success"] is True


@pytest.fixture
def child(box: Sandbox, metered: dict[str, str]) -> dict[str, Any]:
    """A child of the metered account, which used 3.00 worth where its parent used 1.00."""
    child = box.m3ter.create_account("acme-eu", parentAccountId=metered["account"])
    box.m3ter.submit_usage("acme", "api_calls", JAN, {"calls": 100})
    box.m3ter.submit_usage("acme-eu", "api_calls", JAN, {"calls": 300})
    return child


@pytest.mark.parametrize(
    ("mode", "parent", "own"),
    [
        pytest.param(None, [(1, None), (3, "acme-eu")], [], id="broken down"),
        pytest.param("PARENT_SUMMARY", [(4, None)], [], id="summed up"),
        pytest.param("CHILD", [(1, None)], [(3, None)], id="on its own bill"),
    ],
)
def test_a_childs_usage_is_billed_as_its_plan_says(
    mode: str | None, parent: list[Any], own: list[Any], box: Sandbox, metered: dict[str, str], child: dict[str, Any]
):
    box.m3ter.create_account_plan(child["id"], metered["plan"], JAN, childBillingMode=mode)
    job = box.m3ter.run_bill_job([metered["account"], child["id"]], "2026-02-01")
    lines: dict[str, list[Any]] = {metered["account"]: [], child["id"]: []}
    for bill_id in job["billIds"]:
        bill = box.m3ter.bills[bill_id]
        lines[bill["accountId"]] += [(line["subtotal"], line.get("childAccountCode")) for line in bill["lineItems"]]
    assert lines == {metered["account"]: parent, child["id"]: own}


def test_bills_and_accounts_are_searched(box: Sandbox, metered: dict[str, str], m3ter_sdk: M3ter, m3ter_http: Any):
    january = bill_of(box, metered["account"])
    february = bill_of(box, metered["account"], "2026-03-01")
    found = m3ter_sdk.bills.search(search_query="billDate>2026-02-01$locked:false", sort_by="billDate")
    assert [bill.id for bill in found.data or []] == [february["id"]]
    found = m3ter_sdk.bills.search(search_query="billDate:2026-02-01$billDate:2026-03-01", operator="OR", page_size=1)
    assert [bill.id for bill in found.data or []] == [january["id"]]
    accounts = m3ter_sdk.accounts.search(search_query="name~ac")
    assert [account.id for account in accounts.data or []] == [metered["account"]]
    for query in ({"searchQuery": "status:APPROVED"}, {"pageSize": "101"}, {"fromDocument": "x"}, {"sortBy": "status"}):
        assert m3ter_http.call("GET", "bills/search", query_string=query).status_code == 400, query
    rows = m3ter_http.call("GET", f"bills/accountid/{metered['account']}").json["data"]
    assert [row["id"] for row in rows] == [february["id"], january["id"]]
    lines = m3ter_http.call("GET", "lineitems", query_string={"billId": january["id"], "lineItemType": "USAGE"}).json
    assert [line["billId"] for line in lines["data"]] == [january["id"]]


def test_a_preview_of_a_bill_keeps_nothing(box: Sandbox, metered: dict[str, str], m3ter_http: Any):
    box.m3ter.submit_usage("acme", "api_calls", JAN, {"calls": 2000})
    balance = box.m3ter.create_balance(metered["account"], "prepaid", JAN, FEB)
    box.m3ter.add_transaction(balance["id"], 15)
    body = {
        "accountIds": [metered["account"]],
        "billDate": "2026-02-01",
        "billingFrequency": "MONTHLY",
        "billFrequencyInterval": 1,
    }
    assert m3ter_http.call("POST", "bills/preview", body).json["billTotal"] == 5
    assert (box.m3ter.bills, box.m3ter.balances[balance["id"]]["amount"]) == ({}, 15)
    for name in body.keys() - {"billDate"}:
        assert m3ter_http.call("POST", "bills/preview", {**body, name: None}).status_code == 400
    assert m3ter_http.call("POST", "bills/preview", {**body, "targetCurrency": "EUR"}).status_code == 400


def test_a_lock_date_locks_all_bills_up_to_it_until_it_is_moved_back(
    box: Sandbox, metered: dict[str, str], m3ter_sdk: M3ter
):
    january, february = bill_of(box, metered["account"]), bill_of(box, metered["account"], "2026-03-01")
    box.m3ter.approve(january["id"])
    with pytest.raises(m3ter.BadRequestError, match="pending"):
        m3ter_sdk.bill_config.update(bill_lock_date="2026-03-01", version=1)
    box.m3ter.approve(february["id"])
    box.m3ter.lock(january["id"])
    assert m3ter_sdk.bill_config.update(bill_lock_date="2026-03-01", version=1).version == 2
    assert [row.locked for row in m3ter_sdk.bills.list()] == [True, True]
    assert str(m3ter_sdk.bill_config.retrieve().bill_lock_date) == "2026-03-01"
    m3ter_sdk.bill_config.update(bill_lock_date="2026-01-01", version=2)
    assert [row.locked for row in m3ter_sdk.bills.list()] == [False, True]  # January's was locked by hand


def test_all_bills_of_a_period_are_approved_at_once(box: Sandbox, metered: dict[str, str], m3ter_http: Any):
    bill = bill_of(box, metered["account"])
    assert m3ter_http.call("POST", "bills/billingperiod/2026-02-01/WEEKLY/approve", {}).json["message"].startswith("0")
    m3ter_http.call("POST", "bills/billingperiod/2026-02-01/MONTHLY/approve", {})
    assert box.m3ter.bills[bill["id"]]["status"] == "APPROVED"


def test_all_state_of_balances_survives_a_snapshot(box: Sandbox, metered: dict[str, str]):
    balance = box.m3ter.create_balance(metered["account"], "prepaid", JAN, FEB)
    box.m3ter.add_transaction(balance["id"], "1.5")
    snapshot = box.snapshot()
    box.m3ter.add_transaction(balance["id"], 5)
    box.restore(snapshot)
    assert box.m3ter.balances[balance["id"]]["amount"] == Decimal("1.5")
