"""Whatever stands in a field of m3ter's billing entities, the answer is m3ter's and never a breakdown of the sandbox."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from connector.sandbox import Sandbox

JAN, YEAR_END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
JUNK = (
    *(None, True, 0, -1, 10**30, "", " ", "x" * 300, "²", "2026-13-01", "0001-01-01T00:00:00+23:59", "2026-01-01"),
    *("9999-12-31T23:59:59Z", "USD", "XYZ", [], [1], {}, {"a": []}, "5a3dbc5e-0000-4000-8000-000000000000"),
)


def bodies(box: Sandbox, metered: dict[str, str]) -> dict[str, dict[str, Any]]:
    """By its path, what would be accepted."""
    org, account = box.m3ter, metered["account"]
    box.m3ter.submit_usage("acme", "api_calls", JAN, {"calls": 2000})
    [bill_id] = org.run_bill_job([account], "2026-02-01")["billIds"]
    kind = org.create_transaction_type("TOP_UP")["id"]
    balance = org.create_balance(account, "prepaid", JAN, YEAR_END, rolloverEndDate="2027-02-01T00:00:00Z")
    transaction = {
        "amount": 5,
        "transactionTypeId": kind,
        "paid": 4,
        "currencyPaid": "GBP",
        "appliedDate": "2026-01-01T00:00:00Z",
    }
    credits = org.create_transaction_schedule(balance["id"], "monthly", 200, kind, JAN, YEAR_END)
    fees = org.create_charge_schedule(balance["id"], "monthly", 160, JAN, YEAR_END, billEpoch="2026-01-01")
    charge = org.create_charge(account, "fee", 160, "2026-02-01", (JAN, YEAR_END), balance["id"])
    counter = org.create_counter("seats")
    band = [{"lowerLimit": 0, "fixedPrice": 0, "unitPrice": 5}]
    pricing = org.create_counter_pricing(metered["plan"], counter["id"], band, JAN)
    commitment = org.create_commitment(account, 100, date(2026, 1, 1), date(2027, 1, 1))
    usage = {"planId": metered["plan"], "aggregationId": metered["aggregation"], "startDate": "2026-01-01T00:00:00Z"}
    preview = {
        "accountIds": [account],
        "billDate": "2026-02-01",
        "billingFrequency": "MONTHLY",
        "billFrequencyInterval": 1,
    }
    return {
        "balances": {**balance, "rolloverAmount": 5, "productIds": [], "overageSurchargePercent": 10},
        f"balances/{balance['id']}/transactions": transaction,
        f"balances/{balance['id']}/balancetransactionschedules": credits,
        f"balances/{balance['id']}/balancetransactionschedules/preview": {**credits, "code": "new"},
        f"balances/{balance['id']}/balancechargeschedules": fees,
        f"balances/{balance['id']}/balancechargeschedules/preview": {**fees, "code": "new"},
        "charges": charge,
        "counters": counter,
        "counterpricings": pricing,
        "counteradjustments": {"accountId": account, "counterId": counter["id"], "date": "2026-01-01", "value": 10},
        "commitments": {**commitment, "separateOverageUsage": True},
        "pricings": {**usage, "pricingBands": band, "overagePricingBands": band, "cumulative": True},
        f"bills/{bill_id}/creditlineitems": org.add_credit_line(bill_id, 1),
        "bills/preview": preview,
        "notifications/evaluate": {"eventName": "billing.bill.updated", "calculation": "1 == 1"},
    }


@pytest.mark.parametrize("place", range(15))
def test_junk_in_any_field_is_refused_or_taken_but_breaks_nothing(
    place: int, box: Sandbox, metered: dict[str, str], m3ter_http: Any
):
    path, whole = list(bodies(box, metered).items())[place]
    plain = {name: int(value) if isinstance(value, Decimal) else value for name, value in whole.items()}
    audit = ("id", "version", "dtCreated", "dtLastModified", "createdBy", "lastModifiedBy")
    valid = {name: value for name, value in plain.items() if name not in audit}
    refused = 0
    for name in valid:
        for junk in JUNK:
            changed = {**valid, "code": box.ids.uuid(), name: junk} if "code" in valid else {**valid, name: junk}
            answer = m3ter_http.call("POST", path, changed)
            assert answer.status_code in (200, 400, 404), (path, name, junk)
            refused += answer.status_code != 200
    assert refused
    for method in ("GET", "POST"):
        assert m3ter_http.call(method, path, ["no object"]).status_code in (200, 400, 404, 405)
    for bill_date in ("2026-02-01", "2026-03-01", "2027-01-01"):
        box.m3ter.run_bill_job([metered["account"]], bill_date)
