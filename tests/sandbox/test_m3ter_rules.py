"""m3ter's rules: tokens, versions, codes, field bounds, overlapping plans, mappings and pages."""

import base64
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from connector.sandbox import Sandbox

ACCOUNT = {"name": "Acme", "code": "acme", "emailAddress": "ap@acme.test"}
JAN, FEB, MAR, APR = (datetime(2026, month, 1, tzinfo=UTC) for month in range(1, 5))


def basic(key: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{key}:{secret}".encode()).decode()}


@pytest.mark.parametrize(
    "body", [{"json": {"grant_type": "client_credentials"}}, {"data": {"grant_type": "client_credentials"}}]
)
def test_a_token_is_given_for_json_and_for_a_form(body: dict[str, Any], box: Sandbox, m3ter_http: Any):
    """For the 18,000 seconds of m3ter.md §1.1."""
    login = basic(box.m3ter.api_key, box.m3ter.api_secret)
    answer = m3ter_http.client.post("/m3ter/oauth/token", headers=login, **body)
    assert (answer.status_code, answer.json["expires_in"], answer.json["token_type"]) == (200, 18_000, "Bearer")
    m3ter_http.token = answer.json["access_token"]
    assert m3ter_http.call("GET", "accounts").status_code == 200


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        pytest.param(basic("sandbox-key", "wrong"), {"grant_type": "client_credentials"}, 403, id="wrong secret"),
        pytest.param({}, {"grant_type": "client_credentials"}, 403, id="no login"),
        pytest.param(basic("sandbox-key", "sandbox-secret"), {"grant_type": "password"}, 400, id="another grant"),
    ],
)
def test_no_token_is_given(headers: dict[str, str], body: dict[str, str], status: int, m3ter_http: Any):
    assert m3ter_http.client.post("/m3ter/oauth/token", headers=headers, json=body).status_code == status


def test_more_requests_than_a_second_allows_are_refused(box: Sandbox, m3ter_http: Any):
    box.m3ter.settings.requests_per_second = 2
    assert [m3ter_http.call("GET", "accounts").status_code for _ in range(3)] == [200, 200, 429]
    box.advance(timedelta(seconds=1))
    assert m3ter_http.call("GET", "accounts").status_code == 200


def test_a_body_too_large_is_blocked(m3ter_http: Any):
    assert m3ter_http.call("POST", "accounts", {**ACCOUNT, "name": "x" * 512_000}).status_code == 403


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param({"version": 1}, "version", id="a version on create"),
        pytest.param({"name": ""}, "name", id="no name"),
        pytest.param({"name": "x" * 201}, "name", id="name too long"),
        pytest.param({"code": "x" * 81}, "code", id="code too long"),
        pytest.param({"currency": "XYZ"}, "XYZ", id="a currency nobody set up"),
        pytest.param({"parentAccountId": "short"}, "parentAccountId", id="an id that is no UUID"),
        pytest.param({"daysBeforeBillDue": 0}, "daysBeforeBillDue", id="a number too small"),
        pytest.param({"billEpoch": "1 January"}, "billEpoch", id="a day that is none"),
        pytest.param({"customFields": {"a": [1]}}, "customFields", id="a custom field that is a list"),
        pytest.param({"customFields": {str(n): n for n in range(101)}}, "customFields", id="too many custom fields"),
        pytest.param({"creditApplicationOrder": ["CASH"]}, "creditApplicationOrder[0]", id="a word not on the list"),
        pytest.param({"configData": {}}, "configData", id="a field that does not exist"),
    ],
)
def test_an_account_is_refused(change: dict[str, Any], complaint: str, m3ter_http: Any, box: Sandbox):
    answer = m3ter_http.call("POST", "accounts", {**ACCOUNT, **change})
    assert answer.status_code == 400
    assert complaint in answer.json["message"]
    assert box.m3ter.accounts == {}


@pytest.mark.parametrize("code", ["a", "A b", "cus_8aZ1/x - y", "ä" * 80])
def test_codes_may_hold_inner_spaces_and_signs(code: str, m3ter_http: Any):
    assert m3ter_http.call("POST", "accounts", {**ACCOUNT, "code": code}).json["code"] == code


def test_codes_are_unique_within_their_kind(m3ter_http: Any):
    first = m3ter_http.call("POST", "accounts", ACCOUNT).json
    assert m3ter_http.call("POST", "accounts", ACCOUNT).status_code == 400
    assert m3ter_http.call("POST", "products", {"name": "Acme", "code": "acme"}).status_code == 200
    same = m3ter_http.call("PUT", f"accounts/{first['id']}", {**ACCOUNT, "version": 1})
    assert (same.status_code, same.json["version"]) == (200, 2)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("products", "product"),
        ("meters", "meter"),
        ("aggregations", "aggregation"),
        ("plantemplates", "template"),
        ("plans", "plan"),
    ],
)
def test_what_others_refer_to_cannot_be_deleted(path: str, kind: str, m3ter_http: Any, metered: dict[str, str]):
    answer = m3ter_http.call("DELETE", f"{path}/{metered[kind]}")
    assert answer.status_code == 400
    assert "is used by" in answer.json["message"]


def test_an_account_with_plans_cannot_be_deleted(m3ter_http: Any, metered: dict[str, str]):
    assert m3ter_http.call("DELETE", f"accounts/{metered['account']}").status_code == 400
    m3ter_http.call("DELETE", f"accountplans/{metered['account_plan']}")
    assert m3ter_http.call("DELETE", f"accounts/{metered['account']}").status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"startDate": "2026-02-01T00:00:00"}, id="no zone"),
        pytest.param({"endDate": "2026-02-01T00:00:00Z"}, id="ends before it starts"),
        pytest.param({"endDate": "2026-03-01T00:00:00Z"}, id="no length"),
        pytest.param({"planId": None}, id="no plan"),
    ],
)
def test_an_account_plan_is_refused(change: dict[str, Any], box: Sandbox, metered: dict[str, str], m3ter_http: Any):
    box.m3ter.delete("account_plans", metered["account_plan"])
    good = {"accountId": metered["account"], "planId": metered["plan"], "startDate": "2026-03-01T00:00:00Z"}
    assert m3ter_http.call("POST", "accountplans", {**good, **change}).status_code == 400
    assert m3ter_http.call("POST", "accountplans", good).status_code == 200


def test_the_replacement_of_section_4_ends_one_plan_on_15_march_and_starts_another(
    box: Sandbox, metered: dict[str, str], m3ter_http: Any
):
    body = {"accountId": metered["account"], "planId": metered["other_plan"]}
    body |= {"startDate": "2026-03-15T00:00:00Z", "code": "cb-sub-16BR-2"}
    answer = m3ter_http.call("POST", f"accountplans/{metered['account_plan']}/replace", body).json
    old, new = answer["originalAccountPlan"], answer["newAccountPlan"]
    assert (old["id"], old["endDate"], old["version"]) == (metered["account_plan"], "2026-03-15T00:00:00Z", 2)
    assert {**body, "version": 1}.items() <= new.items()


def test_plans_of_two_products_run_side_by_side(metered: dict[str, str], box: Sandbox):
    template = box.m3ter.create_plan_template(box.m3ter.create_product("storage")["id"])
    plan = box.m3ter.create_plan(template["id"], "storage")
    assert box.m3ter.create_account_plan(metered["account"], plan["id"], JAN)["productId"] == plan["productId"]


def test_replacing_a_plan_that_ended_before_does_not_make_it_longer(metered: dict[str, str], box: Sandbox):
    plan = box.m3ter.account_plans[metered["account_plan"]]
    box.m3ter.update("account_plans", plan["id"], {**plan, "endDate": "2026-02-01T00:00:00Z"})
    body = {"accountId": metered["account"], "planId": metered["other_plan"], "startDate": "2026-03-01T00:00:00Z"}
    assert box.m3ter.replace_account_plan(plan["id"], body)["originalAccountPlan"]["endDate"] == "2026-02-01T00:00:00Z"


def test_a_product_is_no_filter_without_its_account(m3ter_http: Any, metered: dict[str, str]):
    assert m3ter_http.call("GET", "accountplans", query_string={"product": metered["product"]}).status_code == 400


@pytest.mark.parametrize(
    "bands",
    [
        pytest.param([], id="none"),
        pytest.param([(5, 1)], id="not from zero"),
        pytest.param([(0, 1), (0, 2)], id="two from the same"),
    ],
)
def test_bands_are_refused(bands: list[tuple[int, int]], metered: dict[str, str], m3ter_http: Any):
    rows = [{"lowerLimit": limit, "fixedPrice": 0, "unitPrice": price} for limit, price in bands]
    body = {
        "planId": metered["plan"],
        "aggregationId": metered["aggregation"],
        "startDate": "2026-01-01T00:00:00Z",
        "pricingBands": rows,
    }
    assert m3ter_http.call("POST", "pricings", body).status_code == 400


def test_numbers_come_back_digit_by_digit(box: Sandbox, m3ter_http: Any, metered: dict[str, str]):
    price = "0.1234567890123456789"
    made = box.m3ter.create_pricing(metered["plan"], metered["aggregation"], [(0, price)])
    assert f'"unitPrice":{price}' in m3ter_http.call("GET", f"pricings/{made['id']}").get_data(as_text=True)


def test_a_float_is_not_taken_as_money(box: Sandbox, metered: dict[str, str]):
    with pytest.raises(TypeError, match="float"):
        box.m3ter.create_pricing(metered["plan"], metered["aggregation"], [(0, 0.1)])


def test_unknown_paths_are_answered_in_m3ters_shape(m3ter_http: Any):
    answer = m3ter_http.call("GET", "nothing")
    assert (answer.status_code, list(answer.json)) == (404, ["message"])
    assert m3ter_http.call("PATCH", "accounts").status_code == 405


def test_usage_with_a_uid_seen_before_is_passed_over(box: Sandbox, metered: dict[str, str]):
    for _ in range(2):
        box.m3ter.submit_usage("acme", "api_calls", JAN, {"calls": 5}, uid="u1")
    assert [event["values"]["calls"] for event in box.m3ter.usage] == [Decimal(5)]


@pytest.mark.parametrize(
    ("measurement", "status", "failures"),
    [
        pytest.param({"meter": "nothing"}, 200, 1, id="an unknown meter is accepted and fails later"),
        pytest.param({"measure": {"calls": "many"}}, 200, 1, id="so is a measure that is no number"),
        pytest.param({"ts": "yesterday"}, 400, 0, id="a time that is none"),
        pytest.param({"uid": "x" * 51}, 400, 0, id="a uid too long"),
        pytest.param({"account": None}, 400, 0, id="no account"),
    ],
)
def test_a_measurement_is_judged(
    measurement: dict[str, Any], status: int, failures: int, box: Sandbox, metered: dict[str, str], m3ter_http: Any
):
    good = {"meter": "api_calls", "account": "acme", "ts": "2026-01-10T00:00:00Z", "measure": {"calls": 1}}
    answer = m3ter_http.call("POST", "measurements", {"measurements": [{**good, **measurement}]})
    assert (answer.status_code, len(box.m3ter.ingest_failures), len(box.m3ter.usage)) == (status, failures, 0)


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_has_one_to_a_thousand_measurements(count: int, m3ter_http: Any, metered: dict[str, str]):
    one = {"meter": "api_calls", "account": "acme", "ts": "2026-01-10T00:00:00Z"}
    assert m3ter_http.call("POST", "measurements", {"measurements": [one] * count}).status_code == 400
