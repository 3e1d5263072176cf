"""A m3ter notification is searched for the bills it may mean, whatever its shape; it is only ever a hint."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.bills.approvals import bills_named
from tests.builders import BILL

OTHER = "9c1d3a70-0002-4000-8000-000000000002"
ENTITY = {"id": BILL, "status": "APPROVED", "accountId": "account-1"}


def wrapped(value: object, depth: int) -> dict[str, object]:
    """The value under this many objects."""
    return {"a": value} if depth == 1 else {"a": wrapped(value, depth - 1)}


@pytest.mark.parametrize(
    ("event", "bills"),
    [
        pytest.param({"billId": BILL}, [BILL], id="by name, at the top"),
        pytest.param(
            {"eventName": "billing.bill.updated", "m3terEvent": {"billId": BILL}}, [BILL], id="by name, further in"
        ),
        pytest.param(ENTITY, [BILL], id="the bill itself"),
        pytest.param(
            {"data": {"new": ENTITY, "old": {**ENTITY, "status": "PENDING"}}}, [BILL], id="one bill shown twice"
        ),
        pytest.param({**ENTITY, "status": "PENDING"}, [BILL], id="a bill that is not approved yet, or no longer"),
        pytest.param({"bills": [{"billId": BILL}, {"billId": OTHER}]}, [BILL, OTHER], id="a list, in its order"),
        pytest.param([{"x": [[{"billId": BILL}]]}], [BILL], id="lists in lists"),
        pytest.param(
            {"billId": OTHER, **ENTITY}, [OTHER], id="a line or job of a bill names it; its own id is not a bill's"
        ),
        pytest.param({"billId": BILL.upper()}, [BILL.upper()], id="in capitals"),
        pytest.param({}, [], id="nothing"),
        pytest.param({"id": BILL}, [], id="an id of anything"),
        pytest.param({"id": BILL, "status": "APPROVED"}, [], id="approved, but no account"),
        pytest.param({"id": BILL, "status": "ACTIVE", "accountId": "a"}, [], id="of an account, but no bill's status"),
        pytest.param({"id": BILL, "status": ["APPROVED"], "accountId": "a"}, [], id="a status that is a list"),
        pytest.param({"billId": "42"}, [], id="no UUID"),
        pytest.param({"billId": f"{BILL}/../x"}, [], id="more than a UUID"),
        pytest.param({"billId": f"{BILL}\n"}, [], id="a UUID with a line end"),
        pytest.param({"billId": [BILL]}, [], id="a list of ids"),
        pytest.param({"billId": None, "id": None}, [], id="null"),
        pytest.param({"billId": BILL.replace("-", "")}, [], id="a UUID without hyphens"),
        pytest.param(wrapped({"billId": BILL}, 7), [BILL], id="seven levels down"),
        pytest.param(wrapped({"billId": BILL}, 8), [], id="too far down to mean it"),
    ],
)
def test_these_bills_are_named(event, bills):
    assert bills_named(event) == bills


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from([BILL, "APPROVED"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["billId", "id", "status", "accountId", "x"]), inner, max_size=4)
    ),
)


@given(values)
def test_any_notification_names_known_bills_or_none(event):
    assert set(bills_named(event)) <= {BILL}
