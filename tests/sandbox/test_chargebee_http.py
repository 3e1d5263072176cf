"""Chargebee's manners: authentication, idempotency, rate limits, forms, lists and errors."""

import json
from datetime import timedelta
from typing import Any

import pytest

from connector.sandbox import Sandbox

CALLS = {"item_price[item_price_id]": "calls-USD", "item_price[unit_price]": "2900"}


def test_the_same_key_and_parameters_replay_the_stored_answer(draft_id: str, chargebee_http: Any):
    first = chargebee_http.post(f"invoices/{draft_id}/add_charge_item", CALLS, key="k")
    second = chargebee_http.post(f"invoices/{draft_id}/add_charge_item", CALLS, key="k")
    assert "chargebee-idempotency-replayed" not in first.headers
    assert second.headers["chargebee-idempotency-replayed"] == "true"
    assert second.data == first.data
    assert chargebee_http.get(f"invoices/{draft_id}").json["invoice"]["total"] == 12_900


def test_the_same_key_with_other_parameters_is_refused(draft_id: str, chargebee_http: Any):
    chargebee_http.post(f"invoices/{draft_id}/add_charge_item", CALLS, key="k")
    for path, form in (
        (f"invoices/{draft_id}/add_charge_item", {**CALLS, "comment": "x"}),
        (f"invoices/{draft_id}/close", {}),
    ):
        answer = chargebee_http.post(path, form, key="k")
        assert (answer.status_code, answer.json["api_error_code"]) == (422, "unable_to_process_request")


def test_a_key_is_forgotten_after_thirty_minutes(draft_id: str, shop: Sandbox, chargebee_http: Any):
    chargebee_http.post(f"invoices/{draft_id}/add_charge_item", CALLS, key="k")
    shop.advance(timedelta(minutes=30) - timedelta(seconds=1))
    chargebee_http.post(f"invoices/{draft_id}/add_charge_item", CALLS, key="k")
    assert chargebee_http.get(f"invoices/{draft_id}").json["invoice"]["total"] == 12_900
    shop.advance(timedelta(seconds=1))
    chargebee_http.post(f"invoices/{draft_id}/add_charge_item", CALLS, key="k")
    assert chargebee_http.get(f"invoices/{draft_id}").json["invoice"]["total"] == 15_800


def test_a_refusal_is_not_stored_under_its_key(draft_id: str, chargebee_http: Any):
    wrong = {**CALLS, "item_price[item_price_id]": "nothing"}
    assert chargebee_http.post(f"invoices/{draft_id}/add_charge_item", wrong, key="k").status_code == 404
    assert chargebee_http.post(f"invoices/{draft_id}/add_charge_item", CALLS, key="k").status_code == 200


def test_a_key_is_at_most_a_hundred_characters_long(draft_id: str, chargebee_http: Any):
    assert chargebee_http.post(f"invoices/{draft_id}/add_charge_item", CALLS, key="k" * 101).status_code == 400


@pytest.mark.parametrize("login", [None, ("wrong", ""), ("", "test_sandbox_key")])
def test_without_the_key_nobody_is_let_in(login: tuple[str, str] | None, chargebee_http: Any):
    answer = chargebee_http.get("customers", auth=login)
    assert (answer.status_code, answer.json["api_error_code"]) == (401, "api_authentication_failed")


def test_a_full_minute_is_refused_until_it_has_passed(box: Sandbox, chargebee_http: Any):
    box.chargebee.settings.requests_per_minute = 2
    assert [chargebee_http.get("customers").status_code for _ in range(3)] == [200, 200, 429]
    refused = chargebee_http.get("customers")
    assert refused.json["api_error_code"] == "api_request_limit_exceeded"
    box.advance(timedelta(seconds=int(refused.headers["Retry-After"])))
    assert chargebee_http.get("customers").status_code == 200


def test_an_unknown_path_and_a_wrong_method_are_answered_in_chargebees_shape(chargebee_http: Any):
    unknown, wrong = chargebee_http.get("nothing/here"), chargebee_http.client.put("/chargebee/api/v2/customers")
    assert (unknown.status_code, unknown.json["api_error_code"]) == (404, "resource_not_found")
    assert (wrong.status_code, wrong.json["api_error_code"]) == (405, "http_method_not_supported")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        pytest.param({"id[is]": "c1"}, ["c1"], id="is"),
        pytest.param({"id[is_not]": "c1"}, ["c0", "c2"], id="is not"),
        pytest.param({"id[in]": "[c0,c2]"}, ["c0", "c2"], id="in, bare"),
        pytest.param({"id[in]": '["c0","c2"]'}, ["c0", "c2"], id="in, quoted"),
        pytest.param({"id[not_in]": "[c0]"}, ["c1", "c2"], id="not in"),
        pytest.param({"email[starts_with]": "c2@"}, ["c2"], id="starts with"),
        pytest.param({"company[is_present]": "false"}, ["c0", "c1", "c2"], id="is present"),
        pytest.param({"created_at[after]": "1767225600"}, ["c1", "c2"], id="after leaves out the moment itself"),
        pytest.param({"created_at[before]": "1767225601"}, ["c0"], id="before leaves out the moment itself"),
        pytest.param({"created_at[between]": "[1767225601,1767225602]"}, ["c1", "c2"], id="between"),
        pytest.param({"created_at[on]": "1767225700"}, ["c0", "c1", "c2"], id="on that day"),
        pytest.param({"sort_by[desc]": "created_at"}, ["c2", "c1", "c0"], id="sorted the other way"),
        pytest.param({"auto_close_invoices[is]": "false"}, ["c1"], id="a truth value"),
        pytest.param({"relationship[parent_id][is]": "c0"}, ["c2"], id="nested"),
    ],
)
def test_a_list_is_filtered(query: dict[str, str], found: list[str], box: Sandbox, chargebee_http: Any):
    differences: list[dict[str, Any]] = [{}, {"auto_close_invoices": False}, {"relationship": {"parent_id": "c0"}}]
    for number, difference in enumerate(differences):
        box.chargebee.create_customer(f"c{number}", email=f"c{number}@x.test", **difference)
        box.advance(timedelta(seconds=1))
    answer = chargebee_http.get("customers", query_string=query)
    assert [row["customer"]["id"] for row in answer.json["list"]] == found


@pytest.mark.parametrize(
    "query",
    [
        pytest.param({"id[in]": "['c0', 'c1']"}, id="a Python list"),
        pytest.param({"updated_at[after]": "2026-01-01"}, id="a time that is none"),
        pytest.param({"updated_at[after]": "17"}, id="a time too short"),
        pytest.param({"updated_at[is]": "1767225600"}, id="an operator of other fields"),
        pytest.param({"colour[is]": "red"}, id="an unknown filter"),
        pytest.param({"id": "c1"}, id="no operator"),
        pytest.param({"limit": "101"}, id="too many at once"),
        pytest.param({"limit": "0"}, id="none at once"),
        pytest.param({"sort_by[asc]": "email"}, id="sorted by what cannot be"),
        pytest.param({"offset": "7"}, id="an offset of one's own making"),
    ],
)
def test_a_list_refuses(query: dict[str, str], box: Sandbox, chargebee_http: Any):
    box.chargebee.create_customer("c1")
    answer = chargebee_http.get("customers", query_string=query)
    assert (answer.status_code, answer.json["api_error_code"]) == (400, "param_wrong_value")


def test_numbers_are_filtered_by_size(draft_id: str, chargebee_http: Any):
    for operator, value, count in (
        ("gt", "9999", 2),
        ("gte", "10000", 2),
        ("lt", "10000", 0),
        ("is", "10000", 2),
        ("is_not", "1", 2),
    ):
        rows = chargebee_http.get("invoices", query_string={f"total[{operator}]": value}).json["list"]
        assert len(rows) == count, operator


def test_rows_that_change_while_a_list_is_paged_are_seen_twice_but_never_lost(box: Sandbox, chargebee_http: Any):
    for number in range(4):
        box.chargebee.create_customer(f"c{number}")
        box.advance(timedelta(seconds=1))
    query = {"limit": "2", "sort_by[asc]": "updated_at"}
    first = chargebee_http.get("customers", query_string=query).json
    box.chargebee.update_customer("c0", company="Acme")
    second = chargebee_http.get("customers", query_string={**query, "offset": first["next_offset"]}).json
    third = chargebee_http.get("customers", query_string={**query, "offset": second["next_offset"]}).json
    seen = [row["customer"]["id"] for page in (first, second, third) for row in page["list"]]
    assert (seen, "next_offset" in third) == (["c0", "c1", "c2", "c3", "c0"], False)


def test_every_write_raises_the_version_even_within_a_millisecond(box: Sandbox):
    versions = [box.chargebee.create_customer("c")["resource_version"]]
    versions += [box.chargebee.update_customer("c", company=str(number))["resource_version"] for number in range(3)]
    assert versions == [1_767_225_600_000 + number for number in range(4)]


def test_an_event_is_a_snapshot_of_its_moment(box: Sandbox, chargebee_http: Any):
    chargebee_http.post("customers", {"id": "acme", "company": "Before"})
    chargebee_http.post("customers/acme", {"company": "After"})
    created, changed = box.chargebee.events.values()
    assert (created["event_type"], created["content"]["customer"]["company"]) == ("customer_created", "Before")
    assert (changed["event_type"], changed["content"]["customer"]["company"]) == ("customer_changed", "After")
    assert (created["source"], created["user"]) == ("api", "sandbox full access key")
    assert created["api_version"] == "v2"


@pytest.mark.parametrize(
    ("form", "param"),
    [
        pytest.param({"id": "x" * 51}, "id", id="too long"),
        pytest.param({"net_term_days": "soon"}, "net_term_days", id="no number"),
        pytest.param({"auto_collection": "maybe"}, "auto_collection", id="no choice"),
        pytest.param({"auto_close_invoices": "yes"}, "auto_close_invoices", id="no truth value"),
        pytest.param({"meta_data": "{'a': 1}"}, "meta_data", id="a Python dict"),
        pytest.param({"billing_address": "here"}, "billing_address", id="no group"),
        pytest.param({"billing_address[line1]": "x" * 151}, "billing_address[line1]", id="too long in a group"),
        pytest.param({"billing_address[planet]": "Mars"}, "billing_address[planet]", id="unknown in a group"),
    ],
)
def test_a_form_is_refused(form: dict[str, str], param: str, chargebee_http: Any):
    answer = chargebee_http.post("customers", form)
    assert (answer.status_code, answer.json["param"]) == (400, param)


def test_an_empty_value_clears_a_field(box: Sandbox, chargebee_http: Any):
    box.chargebee.create_customer("acme", company="Acme", cf_tier="gold")
    chargebee_http.post("customers/acme", {"company": "", "cf_tier": ""})
    assert {"company", "cf_tier"}.isdisjoint(box.chargebee.customers["acme"])


def test_a_used_id_is_a_duplicate_entry(box: Sandbox, chargebee_http: Any):
    box.chargebee.create_customer("acme")
    answer = chargebee_http.post("customers", {"id": "acme"})
    assert (answer.status_code, answer.json["api_error_code"], answer.json["param"]) == (400, "duplicate_entry", "id")


def test_answers_hold_no_nulls(draft_id: str, chargebee_http: Any):
    for path in ("customers/acme", "subscriptions/sub", f"invoices/{draft_id}", "item_prices/calls-USD"):
        assert "null" not in json.dumps(chargebee_http.get(path).json)


def test_custom_fields_are_taken_where_there_are_any(draft_id: str, chargebee_http: Any):
    assert chargebee_http.post(f"invoices/{draft_id}/add_charge_item", {**CALLS, "cf_note": "x"}).status_code == 400
    assert chargebee_http.post(f"invoices/{draft_id}/close", {"cf_note": "x"}).json["invoice"]["cf_note"] == "x"


def test_an_empty_value_cannot_clear_what_a_resource_needs(shop: Sandbox, chargebee_http: Any):
    chargebee_http.post("item_prices/pro-USD", {"price": "", "currency_code": ""})
    chargebee_http.post("customers/acme", {"auto_collection": "", "id": ""})
    chargebee_http.post("subscriptions/sub/update_for_items", {"create_pending_invoices": "", "customer_id": ""})
    shop.advance(timedelta(days=31))
    assert shop.chargebee.pending_invoices("sub")[0]["total"] == 10_000
