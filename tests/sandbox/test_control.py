"""The control routes: everything a demo needs, and a sentence for every mistake."""

from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.sandbox import Sandbox, control
from connector.sandbox.faults import KINDS


@pytest.fixture(name="control")
def controller(box: Sandbox) -> FlaskClient:
    return box.app.test_client()


def test_time_is_moved_by_seconds_or_to_a_moment(control: FlaskClient, shop: Sandbox):
    assert control.get("/_control/state").json["chargebee"]["invoices"] == 1
    assert control.post("/_control/time", json={"advance_seconds": 60}).json["now"] == "2026-01-01T00:01:00+00:00"
    moved = control.post("/_control/time", json={"to": "2026-02-01T00:00:00Z"}).json
    assert (moved["now"], moved["chargebee"]["invoices"]) == ("2026-02-01T00:00:00+00:00", 2)


def test_faults_are_ordered_shown_and_taken_back(control: FlaskClient, box: Sandbox, chargebee_http: Any):
    order = {"provider": "chargebee", "operation": "list_customers", "kind": "status", "status": 500, "count": 2}
    assert control.post("/_control/faults", json=order).json["faults"][0]["detail"] == {"status": 500}
    assert chargebee_http.get("customers").status_code == 500
    assert control.get("/_control/faults").json["faults"][0]["count"] == 1
    assert control.delete("/_control/faults").json == {"faults": []}
    assert chargebee_http.get("customers").status_code == 200


def test_calls_are_shown_and_forgotten(control: FlaskClient, chargebee_http: Any):
    chargebee_http.get("customers")
    assert [call["operation"] for call in control.get("/_control/calls").json["calls"]] == ["list_customers"]
    control.delete("/_control/calls")
    assert control.get("/_control/calls").json == {"calls": []}


def test_webhooks_are_delivered_on_demand(control: FlaskClient, box: Sandbox):
    box.chargebee.add_webhook_endpoint("http://127.0.0.1:9/hook")
    box.chargebee.create_customer("acme")
    [delivery] = control.post("/_control/deliver").json["deliveries"]
    assert (delivery["event_type"], delivery["status"]) == ("customer_created", None)
    assert control.get("/_control/state").json["webhooks_waiting"] == 1


def test_snapshots_are_restored_by_number_or_the_last_one(control: FlaskClient, box: Sandbox):
    for name in ("a", "b"):
        control.post("/_control/snapshot")
        box.chargebee.create_customer(name)
    control.post("/_control/restore")
    assert list(box.chargebee.customers) == ["a"]
    control.post("/_control/restore", json={"snapshot": 1})
    assert list(box.chargebee.customers) == []


def test_snapshots_have_names_and_the_last_taken_is_restored(control: FlaskClient, box: Sandbox):
    assert control.post("/_control/snapshot", json={"snapshot": "empty"}).json == {"snapshot": "empty"}
    box.chargebee.create_customer("acme")
    assert control.post("/_control/snapshot").json == {"snapshot": "2"}
    assert control.get("/_control/snapshots").json == {"snapshots": ["empty", "2"]}
    control.post("/_control/restore", json={"snapshot": "empty"})
    assert list(box.chargebee.customers) == []
    control.post("/_control/restore")
    assert list(box.chargebee.customers) == ["acme"]


def test_settings_are_changed(control: FlaskClient, box: Sandbox):
    changed = control.post(
        "/_control/settings",
        json={"chargebee": {"auto_close_days": 3, "currencies": ["EUR"]}, "m3ter": {"bill_job_seconds": 5}},
    )
    assert (changed.json["chargebee"]["auto_close_days"], changed.json["m3ter"]["bill_job_seconds"]) == (3, 5)
    assert (box.chargebee.settings.auto_close_days, box.chargebee.settings.currencies) == (3, ["EUR"])


def test_a_person_can_do_what_no_api_offers(control: FlaskClient, shop: Sandbox, metered: dict[str, str]):
    paid = control.post(
        "/_control/actions", json={"provider": "chargebee", "action": "pay_invoice", "arguments": {"id": "1"}}
    )
    assert paid.json["result"]["status"] == "paid"
    [bill_id] = shop.m3ter.run_bill_job([metered["account"]], "2026-02-01")["billIds"]
    line = {"provider": "m3ter", "action": "add_line", "arguments": {"bill_id": bill_id, "subtotal": 12.34}}
    control.post("/_control/actions", json=line)
    assert str(shop.m3ter.bills[bill_id]["billTotal"]) == "12.34"


@pytest.mark.parametrize(
    ("path", "order"),
    [
        pytest.param("time", {}, id="no time"),
        pytest.param("time", {"advance_seconds": "soon"}, id="no number"),
        pytest.param("time", {"advance_seconds": 1, "to": "2026-02-01T00:00:00Z"}, id="two times"),
        pytest.param("time", {"advance_seconds": -1}, id="back in time"),
        pytest.param("time", {"advance_seconds": 10**30}, id="beyond all time"),
        pytest.param("time", {"to": "tomorrow"}, id="a moment that is none"),
        pytest.param("time", {"to": "2026-02-01T00:00:00"}, id="a moment without zone"),
        pytest.param("time", [], id="no object"),
        pytest.param("faults", {"provider": "chargebee"}, id="half a fault"),
        pytest.param(
            "faults",
            {"provider": "chargebee", "operation": "*", "kind": "status", "status": "bad"},
            id="a status that is none",
        ),
        pytest.param(
            "faults",
            {"provider": "chargebee", "operation": "*", "kind": "status", "status": 42},
            id="a status out of range",
        ),
        pytest.param("faults", {"provider": ["x"], "operation": "*", "kind": "cut"}, id="a provider that is a list"),
        pytest.param(
            "faults", {"provider": "m3ter", "operation": "*", "kind": "cut", "count": "x"}, id="a count that is none"
        ),
        pytest.param("restore", {}, id="no snapshot yet"),
        pytest.param("restore", {"snapshot": "first"}, id="a snapshot that is none"),
        pytest.param("restore", {"snapshot": ["first"]}, id="a name that is a list"),
        pytest.param("snapshot", {"snapshot": ""}, id="a snapshot without a name"),
        pytest.param("snapshot", {"snapshot": True}, id="a truth for a name"),
        pytest.param("settings", {"stripe": {}}, id="settings of nobody"),
        pytest.param("settings", {"chargebee": {"colour": "red"}}, id="a setting that does not exist"),
        pytest.param("settings", {"chargebee": {"auto_close_days": "three"}}, id="a setting of another type"),
        pytest.param("settings", {"m3ter": {"bill_job_seconds": True}}, id="a truth for a number"),
        pytest.param("actions", {"provider": "chargebee", "action": "snapshot"}, id="an action that is none"),
        pytest.param(
            "actions",
            {"provider": "chargebee", "action": "pay_invoice", "arguments": {"id": "9"}},
            id="on what is not there",
        ),
        pytest.param(
            "actions",
            {"provider": "chargebee", "action": "pay_invoice", "arguments": {"colour": 1}},
            id="with wrong arguments",
        ),
        pytest.param("actions", {"provider": "m3ter", "action": "add_line", "arguments": []}, id="with no arguments"),
    ],
)
def test_a_mistake_gets_a_sentence(path: str, order: Any, control: FlaskClient):
    answer = control.post(f"/_control/{path}", json=order)
    assert answer.status_code == 400
    assert isinstance(answer.json["error"], str)
    assert "Traceback" not in answer.json["error"]


def test_what_is_no_json_gets_a_sentence_too(control: FlaskClient):
    assert control.post("/_control/time", data="{").status_code == 400


@pytest.mark.parametrize("path", ["/", "/_control/nothing", "/_control", "/elsewhere"])
def test_an_unknown_path_tells_where_to_look(path: str, control: FlaskClient):
    answer = control.get(path)
    assert answer.status_code == 404
    assert "_control" in answer.json["error"]


def test_control_calls_are_not_on_record(control: FlaskClient, box: Sandbox):
    control.get("/_control/state")
    box.advance(timedelta(seconds=1))
    assert box.calls == []


NAMES = st.sampled_from(
    ["advance_seconds", "to", "provider", "operation", "kind", "count", "skip", "status", "seconds", "location"]
) | st.sampled_from(["snapshot", "chargebee", "m3ter", "currencies", "action", "arguments", "id", "bill_id", "colour"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.sampled_from(
        ["chargebee", "m3ter", "*", "status", "late", "2026-02-01T00:00:00Z", "pay_invoice", "add_line", ""]
    )
    | st.sampled_from([0.5, 1e300, 503, "a\nb", "1", "\x00", "é", "9" * 50]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)

# The kinds of faults that are answered at once.
QUICK = {*KINDS} - {"refuse", "cut", "delay", "drip"}


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    view=st.sampled_from(sorted(control.VIEWS)),
    order=st.dictionaries(NAMES, VALUES, max_size=5) | VALUES,
    data=st.data(),
)
def test_an_order_may_be_anything(view: tuple[str, str], order: Any, data: st.DataObject):
    box = Sandbox()
    if view == ("POST", "faults") and isinstance(order, dict) and data.draw(st.booleans()):
        order = {"provider": "chargebee", "operation": "*", "kind": data.draw(st.sampled_from(sorted(QUICK))), **order}
    box.chargebee.create_customer("acme")
    box.snapshots["1"] = box.snapshot()
    answer = box.app.test_client().open(f"/_control/{view[1]}", method=view[0], json=order)
    assert answer.status_code in (200, 400)
    assert (answer.status_code == 400) is (list(answer.json) == ["error"])
    assert box.app.test_client().get("/_control/state").status_code == 200
    assert box.app.test_client().get("/chargebee/api/v2/customers").status_code in range(100, 600)
