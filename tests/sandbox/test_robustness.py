"""Whatever is sent to the providers, the answer is theirs and never a breakdown of the sandbox."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from connector.sandbox import Sandbox
from connector.sandbox.chargebee import routes as chargebee
from connector.sandbox.m3ter import routes as m3ter

NAMES_WORDS = """
id name limit offset sort_by[asc] subscription_items[item_price_id][0] subscription_items[quantity] billing_address
item_price[item_price_id] item_price[unit_price] item_price[date_from] item_price[quantity] line_items[id][0]
line_items item_tiers[starting_unit][0] item_tiers[price][0] comment amount description enabled_events[0]
enabled_events[x] url type item_id item_family_id currency_code price pricing_model tiers[price][1] meta_data
trial_end start_date cancel_option cancel_at pause_date resume_date status[in] status[is] updated_at[after]
date[between] total[gt] line_items_limit cf_x []
"""
NAMES = st.sampled_from(NAMES_WORDS.split())
VALUES = st.one_of(
    st.sampled_from(
        [
            "",
            "acme",
            "pro-USD",
            "tiered-USD",
            "calls-USD",
            "true",
            "1",
            "0",
            "-1",
            "9999999999",
            "[a,b]",
            "{}",
            "USD",
            "²",
        ]
    ),
    st.text(max_size=5),
)
FIELDS_WORDS = """
name code emailAddress currency accountId planId startDate endDate version billIds measurements meter account ts
measure pricingBands lowerLimit unitPrice fixedPrice planTemplateId aggregationId meterId targetField aggregation
rounding unit quantityPerUnit standingCharge billFrequency productId dataFields status billDate accountIds timezone
credentials address customFields currencyConversions m3terEntity m3terId externalSystem externalTable externalId url
"""
FIELDS = st.sampled_from(FIELDS_WORDS.split())
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from(
            [10**30, "acme", "2026-01-01", "0001-01-01T00:00:00+23:59", "MONTHLY", "SUM", "NONE", "Mars/Phobos"]
        ),
        st.text(max_size=3),
    ),
    lambda children: st.lists(children, max_size=2) | st.dictionaries(FIELDS, children, max_size=4),
    max_leaves=8,
)


def _paths(name: str, table: dict[str, Any], ids: list[str]) -> Any:
    """The operation's path with each of these ids filled in."""
    path = table[name][1]
    while "<" in path:
        path = path[: path.index("<")] + "{}" + path[path.index(">") + 1 :]
    return st.sampled_from(ids).map(lambda one: path.format(*[one] * 3))


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(operation=st.sampled_from(sorted(chargebee.ROUTES)), data=st.data())
def test_chargebee_answers_anything(operation: str, data: st.DataObject):
    box = Sandbox()
    for item, model in (("pro", "flat_fee"), ("tiered", "tiered")):
        box.chargebee.create_item(item, "charge" if model == "tiered" else "plan")
        tiers = {"tiers": [{"starting_unit": 1, "price": 1}]} if model == "tiered" else {}
        box.chargebee.create_item_price(f"{item}-USD", item, 0, pricing_model=model, **tiers)
    box.chargebee.create_customer("acme")
    box.chargebee.create_subscription("acme", ["pro-USD"], id="sub", first_invoice_pending=True)
    [draft_id] = box.chargebee.invoices
    path = data.draw(_paths(operation, chargebee.ROUTES, ["acme", "sub", draft_id, "pro-USD", "nothing"]))
    form = data.draw(st.dictionaries(NAMES, VALUES, max_size=6))
    post = chargebee.ROUTES[operation][0] == "POST"
    options: dict[str, Any] = {"data": form} if post else {"query_string": form}
    method = "POST" if post else "GET"
    answer = box.app.test_client().open(
        f"/chargebee/api/v2{path}", method=method, auth=(box.chargebee.api_key, ""), **options
    )
    assert answer.status_code in (200, 400, 404, 409)
    assert (answer.status_code == 200) is ("api_error_code" not in answer.json)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(operation=st.sampled_from(sorted(m3ter.ROUTES)), data=st.data())
def test_m3ter_answers_anything(operation: str, data: st.DataObject):
    box = Sandbox()
    org = box.m3ter
    account, product = org.create_account("acme"), org.create_product("api")
    template = org.create_plan_template(product["id"])
    path = data.draw(_paths(operation, m3ter.ROUTES, [account["id"], product["id"], template["id"], "nothing"]))
    body = data.draw(JSON)
    if isinstance(body, dict) and data.draw(st.booleans()):
        table = next((row for row in (account, product, template) if row["id"] in path), {})
        body = {**table, **body}
    query = data.draw(
        st.dictionaries(
            st.sampled_from(["pageSize", "nextToken", "ids", "date", "active", "account"]), VALUES, max_size=2
        )
    )
    answer = box.app.test_client().open(
        f"/m3ter/organizations/{org.org_id}{path}",
        method=m3ter.ROUTES[operation][0],
        json=body,
        query_string=query,
        headers={"Authorization": f"Bearer {org.issue_token()}"},
    )
    assert answer.status_code in (200, 400, 404, 429)
    assert (answer.status_code == 200) or list(answer.json) == ["message"]
