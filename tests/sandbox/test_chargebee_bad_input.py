"""Whatever is sent to Chargebee's younger operations, the answer is Chargebee's and never a breakdown."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from connector.sandbox import Sandbox
from connector.sandbox.chargebee import routes

OPERATIONS = [
    name
    for name, (_, path, _) in routes.ROUTES.items()
    if any(
        word in path
        for word in (
            "ramp",
            "scheduled",
            "/move",
            "pause",
            "resume",
            "reactivate",
            "cancel",
            "update_for_items",
            "credit",
            "unbilled",
            "create_for_charge",
            "payment",
            "refund",
            "transactions",
            "relationship",
            "hierarchy",
            "transfers",
            "/void",
        )
    )
]
NAMES_WORDS = """
effective_from items_to_add[item_price_id][0] items_to_add[quantity][0] items_to_update[item_price_id][0]
items_to_remove[0] to_customer_id pause_option pause_date resume_date skip_billing_cycles resume_option
reactivate_from trial_end cancel_option cancel_at unbilled_charges_option change_option changes_scheduled_at
subscription_items[item_price_id][0] billing_override[max_refundable_credits_usage] type reference_invoice_id
customer_id subscription_id total amount description currency_code line_items[amount][0] date
line_items[reference_line_item_id][0] line_items[unit_amount][0] item_prices[item_price_id][0]
item_prices[quantity][0] item_prices[unit_price][0] item_prices[date_from][0] charges[amount][0]
charges[description][0] item_tiers[item_price_id][0] item_tiers[starting_unit][0] item_tiers[price][0]
discounts[apply_on][0] discounts[amount][0] discounts[percentage][0] discounts[item_price_id][0]
create_pending_invoice invoice_date net_term_days transaction[amount] transaction[payment_method]
transaction[date] transaction[status] refund_amount parent_id payment_owner_id invoice_owner_id
hierarchy_operation_type active_resource_ids[0] destination_business_entity_ids[0] resource_types[0]
reason_codes[0] credit_note[create_reason_code] limit offset subscription_id[is] is_voided
"""
NAMES = st.sampled_from(NAMES_WORDS.split())
VALUES_WORDS = """
acme other sub 1 0 -1 5 100 1767225600 1767312000 1769904000 9999999999 true false USD EUR pro-USD max-USD
calls-USD tiered-USD specific_date end_of_term billing_cycles immediately invoice delete adjustment refundable
store customer subscription complete_hierarchy path_to_root invoice_amount specific_item_price NaN 50.5 1e9
card failure
"""
VALUES = st.sampled_from([*VALUES_WORDS.split(), "", "²", "x" * 300])


def _shop() -> Sandbox:
    box = Sandbox()
    chargebee = box.chargebee
    for item, kind in (("pro", "plan"), ("max", "plan"), ("calls", "charge")):
        chargebee.create_item(item, kind)
        chargebee.create_item_price(f"{item}-USD", item, 100)
    tiers = [{"starting_unit": 1, "price": 1}]
    chargebee.create_item_price("tiered-USD", "calls", None, pricing_model="tiered", tiers=tiers)
    for customer in ("acme", "other"):
        chargebee.create_customer(customer)
    chargebee.create_subscription("acme", ["pro-USD"], id="sub")
    return box


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_whatever_is_sent_chargebee_answers_and_time_goes_on(data: st.DataObject):
    box = _shop()
    client, login = box.app.test_client(), (box.chargebee.api_key, "")
    for _ in range(data.draw(st.integers(1, 5))):
        name = data.draw(st.sampled_from(OPERATIONS))
        method, path, _ = routes.ROUTES[name]
        resource_id = data.draw(st.sampled_from(["acme", "sub", "1", "nothing", *box.chargebee.ramps]))
        form = data.draw(st.dictionaries(NAMES, VALUES, max_size=8))
        options: dict[str, Any] = {"data": form} if method == "POST" else {"query_string": form}
        url = f"/chargebee/api/v2{path.replace('<id>', resource_id)}"
        answer = client.open(url, method=method, auth=login, **options)
        assert answer.status_code in (200, 400, 404, 409)
        assert (answer.status_code == 200) is ("api_error_code" not in answer.json)
    box.advance(to=box.clock.now().replace(year=2026, month=6))
