"""The traps of m3ter (m3ter.md §16), by their numbers: the tests that show them, or why a server cannot.

Those on bills and balances are in test_m3ter_traps_bills.py.

1: test_trap_1_the_sdk_asks_for_a_token_before_every_call
1: test_trap_1_the_async_sdk_never_asks_for_a_token
2: test_trap_2_the_sdk_repeats_a_post_and_doubles_a_transaction_but_not_a_charge
3: test_trap_3_a_repeated_put_that_had_succeeded_fails_on_its_version
4: test_trap_4_a_put_drops_what_it_leaves_out_and_needs_the_current_version
5: test_trap_5_an_account_needs_an_email_address
6: test_trap_6_each_address_line_has_its_length_but_the_third_and_fourth_have_none
7: test_trap_7_long_ids_of_chargebee_fit_a_mapping_but_not_the_code_of_an_account_plan
8: test_trap_8_codes_reject_outer_spaces_and_control_characters
8: test_trap_8_identifiers_are_stricter_than_codes
9: test_trap_9_a_plan_may_start_at_the_instant_at_which_another_ends
9: test_trap_9_a_plan_that_ends_on_31_august_is_active_until_the_end_of_30_august
10: test_trap_10_two_calls_can_leave_no_plan_where_a_refused_replacement_leaves_the_old_one
11: test_trap_11_two_plans_of_one_product_collide_unless_overlaps_are_allowed
12: test_trap_12_the_list_of_an_accounts_plans_hides_inactive_ones_unless_all_are_asked_for
13: test_trap_13_end_dating_ends_every_plan_of_the_account
14: test_trap_14_approval_is_no_event_of_its_own_but_an_update_with_both_states
15: test_trap_15_a_bill_is_approved_a_second_time_after_it_was_calculated_anew
16: test_trap_16_recalculating_changes_the_ids_of_lines_but_not_what_makes_them_the_same
17: test_trap_17_a_bill_may_be_pending_again_when_its_approval_is_heard_of
18: test_trap_18_the_sample_bill_of_section_7_comes_to_95_50_though_its_usage_is_80_pounds
19: test_trap_19_the_average_price_times_the_units_is_not_the_subtotal
20: test_trap_20_the_sdk_makes_a_float_of_money_that_the_wire_writes_digit_by_digit
21: test_trap_21_a_charge_may_be_a_credit
21: test_trap_21_a_pricing_may_give_credit
22: test_trap_22_a_fee_bills_the_top_up_and_what_it_pays_nets_to_zero_later
23: test_trap_23_lines_beside_usage_have_no_pricing
24: test_trap_24_empty_bills_occur_unless_they_are_suppressed
25: test_trap_25_a_memo_made_in_the_console_may_lack_its_service_period
26: test_trap_26_a_line_ends_at_the_instant_at_which_the_next_one_starts
27: test_trap_27_a_list_shows_the_total_of_bills_only_when_asked_for
28: test_trap_28_the_endpoint_of_lines_names_bands_otherwise_and_hides_the_child
29: test_trap_29_the_external_invoice_reference_cannot_be_set
30: test_trap_30_a_mapping_may_be_made_twice
31: test_trap_31_an_external_id_that_is_not_quoted_reaches_another_path
32: test_trap_32_the_external_system_id_of_a_list_is_the_name_of_the_system
33: test_trap_33_transactions_are_immutable_and_a_blind_retry_doubles_them
34: test_trap_34_a_transaction_alone_is_never_billed
34: test_trap_34_a_charge_alone_never_changes_the_balance
35: test_trap_35_a_charge_without_a_date_or_a_job_for_it_never_reaches_a_bill
36: test_trap_36_a_charge_schedules_currency_is_its_own
37: test_trap_37_a_preview_is_a_page_though_typed_as_a_single_object
38: test_trap_38_a_complete_job_may_have_made_no_bill
39: test_trap_39_a_job_over_a_date_reopens_the_approved_bills_of_its_accounts_alone
40: test_trap_40_a_locked_bill_is_left_alone_for_good
41: test_trap_41_a_job_takes_up_to_a_hundred_accounts
42: test_trap_42_an_expired_token_is_answered_like_a_missing_permission
43: test_trap_43_usage_of_an_unknown_account_brings_a_skeleton_into_being
44: test_trap_44_bills_may_approve_themselves_after_a_grace_period
45: test_trap_45_events_expire_after_28_days
46: test_trap_46_a_notification_that_fails_too_often_is_silent_while_bills_are_approved
46: not shown: how often m3ter tries before that, which is not published; the sandbox has a setting for it
47: test_trap_47_a_bill_may_be_in_a_currency_of_the_merchants_own
48: test_trap_48_the_bill_is_the_parents_while_lines_are_the_childs
49: test_trap_49_a_page_has_its_limit
50: test_trap_50_a_naive_time_is_sent_without_offset_and_refused
"""

import ast
import asyncio
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import m3ter
import pytest
from m3ter import AsyncM3ter, M3ter

from connector.sandbox import Sandbox

JAN, FEB = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
YEAR_END = datetime(2027, 1, 1, tzinfo=UTC)
ACCOUNT = {"name": "Acme", "code": "acme", "emailAddress": "ap@acme.test"}
MAPPING = {"m3terEntity": "Account", "m3terId": "a", "externalSystem": "Chargebee", "externalTable": "Customer"}


def test_trap_1_the_sdk_asks_for_a_token_before_every_call(box: Sandbox, m3ter_sdk: M3ter):
    """As counted in m3ter.md §2.2: two lists, two tokens."""
    m3ter_sdk.accounts.list()
    m3ter_sdk.accounts.list()
    assert [call.operation for call in box.calls] == ["token", "list_accounts", "token", "list_accounts"]


def test_trap_1_the_async_sdk_never_asks_for_a_token(box: Sandbox, m3ter_sdk: M3ter):
    async def list_accounts() -> None:
        async with AsyncM3ter(api_key="k", api_secret="s", org_id=box.m3ter.org_id, base_url=m3ter_sdk.base_url) as sdk:
            await sdk.accounts.list()

    with pytest.raises(TypeError, match="authentication method"):
        asyncio.run(list_accounts())
    assert box.calls == []


@pytest.mark.parametrize("retries", [0, 2])
def test_trap_2_the_sdk_repeats_a_post_and_doubles_a_transaction_but_not_a_charge(
    retries: int, box: Sandbox, metered: dict[str, str], m3ter_sdk: M3ter, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("m3ter._base_client.INITIAL_RETRY_DELAY", 0)
    sdk = m3ter_sdk.with_options(max_retries=retries)
    balance = box.m3ter.create_balance(metered["account"], "prepaid", JAN, YEAR_END)
    box.faults.order("m3ter", "create_balance_transaction", "status_after", status=500)
    box.faults.order("m3ter", "create_charge", "status_after", status=500)
    charge = {
        "name": "Fee", "code": "fee", "account_id": metered["account"], "currency": "USD", "entity_type": "AD_HOC",
        "line_item_type": "AD_HOC", "amount": 5, "bill_date": "2026-02-01",
        "service_period_start_date": "2026-01-01T00:00:00Z", "service_period_end_date": "2026-02-01T00:00:00Z",
    }  # fmt: skip
    if retries:
        sdk.balances.transactions.create(balance["id"], amount=200)
        with pytest.raises(m3ter.BadRequestError, match="already exists"):  # the code is what protects a charge
            sdk.charges.create(**charge)
    else:
        for call in (
            lambda: sdk.balances.transactions.create(balance["id"], amount=200),
            lambda: sdk.charges.create(**charge),
        ):
            with pytest.raises(m3ter.InternalServerError):
                call()
    assert box.m3ter.balances[balance["id"]]["amount"] == (400 if retries else 200)
    assert len(box.m3ter.charges) == 1


def test_trap_3_a_repeated_put_that_had_succeeded_fails_on_its_version(box: Sandbox, m3ter_sdk: M3ter):
    account = box.m3ter.create_account("acme")
    change = {"name": "New", "code": "acme", "email_address": "ap@acme.test", "version": 1}
    box.faults.order("m3ter", "update_account", "status_after", status=500)
    for error in (m3ter.InternalServerError, m3ter.BadRequestError):
        with pytest.raises(error):
            m3ter_sdk.accounts.update(account["id"], **change)
    assert m3ter_sdk.accounts.retrieve(account["id"]).name == "New"


def test_trap_4_a_put_drops_what_it_leaves_out_and_needs_the_current_version(m3ter_http: Any):
    created = m3ter_http.call("POST", "accounts", {**ACCOUNT, "customFields": {"tier": "gold"}, "currency": "EUR"}).json
    url = f"accounts/{created['id']}"
    for version in (None, 0, 2):
        assert m3ter_http.call("PUT", url, {**ACCOUNT, "version": version}).status_code == 400
    whole = m3ter_http.call("PUT", url, {**created, "name": "Acme Ltd"}).json
    assert (whole["version"], whole["customFields"], whole["id"]) == (2, {"tier": "gold"}, created["id"])
    bare = m3ter_http.call("PUT", url, {**ACCOUNT, "version": 2}).json
    assert {"customFields", "currency"}.isdisjoint(bare)
    assert None not in bare.values()


@pytest.mark.parametrize("email", [None, "", "nobody"])
def test_trap_5_an_account_needs_an_email_address(email: str | None, m3ter_http: Any, box: Sandbox):
    answer = m3ter_http.call("POST", "accounts", {**ACCOUNT, "emailAddress": email})
    assert (answer.status_code, "emailAddress" in answer.json["message"]) == (400, True)
    assert box.m3ter.accounts == {}


@pytest.mark.parametrize(
    ("line", "longest"),
    [
        ("addressLine1", 50), ("addressLine2", 50), ("addressLine3", None), ("addressLine4", None),
        ("locality", 100), ("region", 50), ("postCode", 20), ("country", 100),
    ],
)  # fmt: skip
def test_trap_6_each_address_line_has_its_length_but_the_third_and_fourth_have_none(
    line: str, longest: int | None, m3ter_http: Any
):
    def create(code: str, length: int) -> tuple[int, bool]:
        answer = m3ter_http.call("POST", "accounts", {**ACCOUNT, "code": code, "address": {line: "x" * length}})
        return answer.status_code, f"address.{line}" in answer.json.get("message", "")

    assert create("fits", longest or 1000) == (200, False)
    assert create("longer", (longest or 1000) + 1) == ((200, False) if longest is None else (400, True))


def test_trap_7_long_ids_of_chargebee_fit_a_mapping_but_not_the_code_of_an_account_plan(
    metered: dict[str, str], m3ter_http: Any
):
    """As long as m3ter.md §6 says: 50 signs of a subscription and 100 of an item price."""
    external_id = f"{'s' * 50} - {'p' * 100}"
    plan = {"accountId": metered["account"], "planId": metered["other_plan"], "startDate": "2026-01-01T00:00:00Z"}
    answer = m3ter_http.call("POST", "accountplans", {**plan, "code": external_id})
    assert (answer.status_code, "code" in answer.json["message"]) == (400, True)
    mapping = {**MAPPING, "m3terEntity": "AccountPlan", "externalTable": "Subscription", "externalId": external_id}
    made = m3ter_http.call("POST", "externalmappings", mapping).json
    found = m3ter_http.call("GET", f"externalmappings/externalid/Chargebee/Subscription/{quote(external_id)}").json
    assert found["data"] == [made]


@pytest.mark.parametrize("code", [" acme", "acme ", "ac\tme", "ac\x00me", "acme\n", ""])
def test_trap_8_codes_reject_outer_spaces_and_control_characters(code: str, m3ter_http: Any, box: Sandbox):
    answer = m3ter_http.call("POST", "accounts", {**ACCOUNT, "code": code})
    assert (answer.status_code, "code" in answer.json["message"]) == (400, True)
    assert box.m3ter.accounts == {}


@pytest.mark.parametrize(
    ("code", "status"), [("calls_2", 200), ("$x", 200), ("2calls", 400), ("api-calls", 400), ("api calls", 400)]
)
@pytest.mark.parametrize("path", ["picklists/currency", "picklists/transactiontypes", "aggregations"])
def test_trap_8_identifiers_are_stricter_than_codes(
    path: str, code: str, status: int, metered: dict[str, str], m3ter_http: Any
):
    body = {"name": "Credits", "code": code}
    if path == "aggregations":
        body |= {"meterId": metered["meter"], "targetField": "calls", "aggregation": "SUM", "unit": "calls"}
        body |= {"rounding": "NONE", "quantityPerUnit": 1}
    assert m3ter_http.call("POST", path, body).status_code == status


@pytest.mark.parametrize(
    ("start", "end", "status"),
    [
        pytest.param("2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z", 200, id="starts when the other ends"),
        pytest.param("2026-01-31T23:59:59Z", "2026-03-01T00:00:00Z", 400, id="starts a second before the other ends"),
        pytest.param("2025-12-01T00:00:00Z", "2026-01-01T00:00:00Z", 200, id="ends when the other starts"),
        pytest.param("2025-12-01T00:00:00Z", None, 400, id="never ends"),
        pytest.param("2026-02-01T01:00:00+01:00", None, 200, id="the same instant in another zone"),
    ],
)
def test_trap_9_a_plan_may_start_at_the_instant_at_which_another_ends(
    start: str, end: str | None, status: int, metered: dict[str, str], m3ter_http: Any, box: Sandbox
):
    plan = box.m3ter.account_plans[metered["account_plan"]]
    box.m3ter.update("account_plans", plan["id"], {**plan, "endDate": "2026-02-01T00:00:00Z"})
    body = {"accountId": metered["account"], "planId": metered["other_plan"], "startDate": start, "endDate": end}
    assert m3ter_http.call("POST", "accountplans", body).status_code == status


def test_trap_9_a_plan_that_ends_on_31_august_is_active_until_the_end_of_30_august(
    metered: dict[str, str], m3ter_http: Any
):
    """The example of m3ter.md §1.6."""
    body = {"billingEntities": ["ACCOUNTPLAN"], "endDate": "2026-08-31T00:00:00Z"}
    m3ter_http.call("PUT", f"accounts/{metered['account']}/enddatebillingentities", body)
    for moment, active in (("2026-08-30T23:59:59Z", [metered["account_plan"]]), ("2026-08-31", [])):
        rows = m3ter_http.call("GET", "accountplans", query_string={"date": moment}).json["data"]
        assert [row["id"] for row in rows] == active


def test_trap_10_two_calls_can_leave_no_plan_where_a_refused_replacement_leaves_the_old_one(
    metered: dict[str, str], m3ter_http: Any, box: Sandbox
):
    before = dict(box.m3ter.account_plans[metered["account_plan"]])
    path, new = f"accountplans/{before['id']}", {"accountId": metered["account"], "startDate": "2026-02-01T00:00:00Z"}
    for refused in ({**new, "planId": box.ids.uuid()}, {}):
        assert m3ter_http.call("POST", f"{path}/replace", refused).status_code == 400
    assert box.m3ter.account_plans[metered["account_plan"]] == before
    assert m3ter_http.call("PUT", path, {**before, "endDate": "2026-02-01T00:00:00Z"}).status_code == 200
    assert m3ter_http.call("POST", "accountplans", {**new, "planId": box.ids.uuid()}).status_code == 400
    assert m3ter_http.call("GET", "accountplans", query_string={"date": "2026-02-01"}).json["data"] == []


def test_trap_11_two_plans_of_one_product_collide_unless_overlaps_are_allowed(
    metered: dict[str, str], m3ter_http: Any, box: Sandbox
):
    body = {"accountId": metered["account"], "planId": metered["other_plan"], "startDate": "2026-01-01T00:00:00Z"}
    answer = m3ter_http.call("POST", "accountplans", body)
    assert (answer.status_code, "overlaps" in answer.json["message"]) == (400, True)
    m3ter_http.call("PUT", "organizationconfig", {**box.m3ter.config, "allowOverlappingPlans": True})
    assert m3ter_http.call("POST", "accountplans", body).status_code == 200


@pytest.mark.parametrize(
    ("query", "found"),
    [
        pytest.param({"account": "account"}, ["now"], id="of an account only the active ones"),
        pytest.param({"account": "account", "includeall": "true"}, ["later", "now", "past"], id="or all"),
        pytest.param({"plan": "plan"}, ["now"], id="of a plan"),
        pytest.param({"account": "account", "product": "product"}, ["now"], id="of a product of an account"),
        pytest.param({"account": "account", "date": "2026-02-15"}, ["later"], id="on a day"),
        pytest.param({}, ["later", "now", "past"], id="everything"),
    ],
)
def test_trap_12_the_list_of_an_accounts_plans_hides_inactive_ones_unless_all_are_asked_for(
    query: dict[str, str], found: list[str], metered: dict[str, str], m3ter_http: Any, box: Sandbox
):
    box.m3ter.delete("account_plans", metered["account_plan"])
    for code, start, end in (("past", datetime(2025, 12, 1, tzinfo=UTC), JAN), ("now", JAN, FEB), ("later", FEB, None)):
        box.m3ter.create_account_plan(metered["account"], metered["plan"], start, end, code=code)
    named = {name: metered.get(value, value) for name, value in query.items()}
    assert [plan["code"] for plan in m3ter_http.call("GET", "accountplans", query_string=named).json["data"]] == found


def test_trap_13_end_dating_ends_every_plan_of_the_account(box: Sandbox, metered: dict[str, str], m3ter_sdk: M3ter):
    template = box.m3ter.create_plan_template(box.m3ter.create_product("storage")["id"])
    plan = box.m3ter.create_plan(template["id"], "storage")
    other = box.m3ter.create_account_plan(metered["account"], plan["id"], JAN)
    ended = box.m3ter.create_account_plan(
        metered["account"], metered["other_plan"], datetime(2025, 1, 1, tzinfo=UTC), JAN
    )
    commitment = box.m3ter.create_commitment(metered["account"], 10, date(2026, 1, 1), date(2027, 1, 1))
    # m3ter's types say {"empty": bool} for each of these sets of ids: read raw.
    answer = m3ter_sdk.accounts.with_raw_response.end_date_billing_entities(
        metered["account"], billing_entities=["ACCOUNTPLAN", "PREPAYMENT"], end_date="2026-09-01T00:00:00Z"
    ).http_response.json()
    assert answer["updatedEntities"] == {
        "ACCOUNTPLAN": [metered["account_plan"], other["id"]],
        "PREPAYMENT": [commitment["id"]],
    }
    rows = [box.m3ter.account_plans[plan_id] for plan_id in (metered["account_plan"], other["id"], ended["id"])]
    assert [(row["endDate"][:10], row["version"]) for row in rows] == [
        ("2026-09-01", 2),
        ("2026-09-01", 2),
        ("2026-01-01", 1),
    ]


def test_trap_30_a_mapping_may_be_made_twice(m3ter_http: Any):
    ids = [m3ter_http.call("POST", "externalmappings", {**MAPPING, "externalId": "c"}).json["id"] for _ in range(2)]
    found = m3ter_http.call("GET", "externalmappings/externalid/Chargebee/Customer/c").json["data"]
    assert [row["id"] for row in found] == ids[::-1]


def test_trap_31_an_external_id_that_is_not_quoted_reaches_another_path(box: Sandbox, m3ter_sdk: M3ter):
    """The request of m3ter.md §2.8."""
    external_id, asked = "sub/1 - item?x#y", []
    made = box.m3ter.create("external_mappings", {**MAPPING, "externalId": external_id})
    for given in (external_id, quote(external_id, safe="")):
        found = m3ter_sdk.external_mappings.list_by_external_entity(
            given, system="Chargebee", external_table="Customer"
        )
        asked.append((box.calls[-1].path.partition("/Customer/")[2], [row.id for row in found]))
    assert asked == [("sub/1 - item", []), (external_id, [made["id"]])]


def test_trap_32_the_external_system_id_of_a_list_is_the_name_of_the_system(m3ter_http: Any):
    for system in ("Chargebee", "Salesforce"):
        m3ter_http.call("POST", "externalmappings", {**MAPPING, "externalSystem": system, "externalId": "c"})
    for system, found in (("Salesforce", ["Salesforce"]), ("c", [])):
        rows = m3ter_http.call("GET", "externalmappings", query_string={"externalSystemId": system}).json["data"]
        assert [row["externalSystem"] for row in rows] == found


def test_trap_42_an_expired_token_is_answered_like_a_missing_permission(box: Sandbox, m3ter_http: Any):
    elsewhere = f"/m3ter/organizations/{box.ids.uuid()}/accounts"
    foreign = m3ter_http.client.get(elsewhere, headers={"Authorization": f"Bearer {m3ter_http.token}"})
    box.advance(timedelta(seconds=17_999))
    assert m3ter_http.call("GET", "accounts").status_code == 200
    box.advance(timedelta(seconds=1))
    expired = m3ter_http.call("GET", "accounts")
    assert (expired.status_code, expired.json) == (foreign.status_code, foreign.json) == (403, {"message": "Forbidden"})
    m3ter_http.token = box.m3ter.issue_token()
    assert m3ter_http.call("GET", "accounts").status_code == 200


def test_trap_43_usage_of_an_unknown_account_brings_a_skeleton_into_being(
    box: Sandbox, metered: dict[str, str], m3ter_http: Any
):
    box.m3ter.submit_usage("newcomer", "api_calls", JAN, {"calls": 1})
    skeleton = box.m3ter.account_by_code("newcomer")
    assert "emailAddress" not in skeleton
    assert m3ter_http.call("POST", "accounts", {**ACCOUNT, "code": "newcomer"}).status_code == 400
    adopted = m3ter_http.call("PUT", f"accounts/{skeleton['id']}", {**ACCOUNT, "code": "newcomer", "version": 1})
    assert adopted.json["version"] == 2
    with pytest.raises(KeyError, match="nobody"):
        box.m3ter.account_by_code("nobody")


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        *((path, 100) for path in ("accounts", "accountplans", "plans", "pricings", "bills", "billjobs", "balances")),
        *((path, 100) for path in ("events", "picklists/currency", "bills/{bill}/lineitems")),
        *((path, 200) for path in ("externalmappings", "externalmappings/external/Account/{account}")),
        *((path, 200) for path in ("externalmappings/externalid/Chargebee/Customer/c", "charges", "products")),
        *((path, 200) for path in ("balances/{balance}/transactions", "integrationconfigs")),
        ("accounts/{account}/children", 200),
    ],
)
def test_trap_49_a_page_has_its_limit(path: str, limit: int, box: Sandbox, metered: dict[str, str], m3ter_http: Any):
    """The table of m3ter.md §1.7; that of previews is with them in test_m3ter_schedules.py."""
    [bill] = box.m3ter.run_bill_job([metered["account"]], "2026-02-01")["billIds"]
    balance = box.m3ter.create_balance(metered["account"], "prepaid", JAN, YEAR_END)["id"]
    path = path.format(account=metered["account"], balance=balance, bill=bill)
    assert m3ter_http.call("GET", path, query_string={"pageSize": limit}).status_code == 200
    for size in (limit + 1, 0, "many"):
        assert m3ter_http.call("GET", path, query_string={"pageSize": size}).status_code == 400


def test_trap_50_a_naive_time_is_sent_without_offset_and_refused(
    box: Sandbox, metered: dict[str, str], m3ter_sdk: M3ter
):
    with pytest.raises(m3ter.BadRequestError, match="offset"):
        m3ter_sdk.account_plans.create(
            account_id=metered["account"],
            plan_id=metered["plan"],
            start_date=datetime(2026, 3, 1),  # noqa: DTZ001 - the trap itself
        )


def test_every_trap_has_its_row_and_every_test_named_there_exists():
    rows = [(int(number), told) for number, told in re.findall(r"^(\d+): (.+)$", __doc__ or "", re.MULTILINE)]
    assert sorted({number for number, _ in rows}) == list(range(1, 51))
    here = [
        node.name
        for path in Path(__file__).parent.glob("test_m3ter_traps*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_trap_")
    ]
    shown = [(number, told) for number, told in rows if told.startswith("test_trap_")]
    assert sorted((int(name.split("_")[2]), name) for name in here) == sorted(shown)
    assert all(told.startswith(("test_trap_", "not shown: ")) for _, told in rows)
