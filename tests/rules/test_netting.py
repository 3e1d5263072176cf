"""Credits taken off charges, and bill lines that become one charge: to the minor unit, in whatever order they come."""

from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.bills.netting import Netted, Open, net
from connector.bills.plan import plan_push
from connector.clients.m3ter_objects import BillLine
from tests.builders import (
    ACCOUNT,
    ADDON,
    BASIC,
    FEB,
    JAN,
    MAR,
    PLANS,
    SUBSCRIPTION,
    bill,
    bill_line,
    current_plan,
    invoice,
)
from tests.rules.test_plan_push import CHARGE, OTHER, around, codes


def charge(key: str, minor: int, **difference: str | bool | None) -> Open:
    return Open(key, minor, **{"payer": "acme", "product_id": "api", "subscription_id": "sub-1"} | difference)


@pytest.mark.parametrize(
    ("charges", "credits", "netted", "left_over"),
    [
        pytest.param([charge("a", 500)], [charge("z", -200)], [("z", "a", 200)], {}, id="less than the charge"),
        pytest.param([charge("a", 500)], [charge("z", -500)], [("z", "a", 500)], {}, id="all of the charge"),
        pytest.param([charge("a", 500)], [charge("z", -700)], [("z", "a", 500)], {"z": -200}, id="more than there is"),
        pytest.param([], [charge("z", -1)], [], {"z": -1}, id="nothing to take it off"),
        pytest.param(
            [charge("a", 900, product_id="x"), charge("b", 100)], [charge("z", -150)],
            [("z", "b", 100), ("z", "a", 50)], {}, id="its own product first, though another is larger",
        ),
        pytest.param(
            [charge("a", 900, product_id="x", subscription_id="sub-2"), charge("b", 100, product_id="y")],
            [charge("z", -150)], [("z", "b", 100), ("z", "a", 50)], {}, id="then its own subscription",
        ),
        pytest.param([charge("a", 100), charge("b", 900)], [charge("z", -150)], [("z", "b", 150)], {}, id="the largest first"),
        pytest.param([charge("b", 500), charge("a", 500)], [charge("z", -1)], [("z", "a", 1)], {}, id="equal ones by key"),
        pytest.param(
            [charge("a", 500, payer="other")], [charge("z", -1)], [], {"z": -1}, id="never another payer's charge"
        ),
        pytest.param(
            [charge("a", 500)], [charge("y", -100), charge("z", -450)],
            [("z", "a", 450), ("y", "a", 50)], {"y": -50}, id="the largest credit first",
        ),
        pytest.param(
            [charge("fee", 900), charge("use", 100, product_id="x", subscription_id="sub-2", drawn=True)],
            [charge("z", -150, drawn=True)], [("z", "use", 100), ("z", "fee", 50)], {},
            id="what a balance paid goes to what a balance may pay, though a fee is nearer",
        ),
        pytest.param(
            [charge("fee", 900), charge("use", 100, drawn=True)], [charge("z", -50)], [("z", "fee", 50)], {},
            id="another credit does not",
        ),
    ],
)  # fmt: skip
def test_a_credit_is_taken_off(charges, credits, netted, left_over):
    assert net(charges, credits) == ([Netted(*one) for one in netted], left_over)


keys = st.integers(0, 10**6).map(str)
owners = {
    "payer": st.sampled_from(["acme", "other"]), "product_id": st.sampled_from(["api", "storage", None]),
    "subscription_id": st.sampled_from(["sub-1", "sub-2"]),
}  # fmt: skip


def opens(amounts: st.SearchStrategy[int]) -> st.SearchStrategy[list[Open]]:
    return st.lists(st.builds(Open, keys, amounts, **owners), max_size=6, unique_by=lambda one: one.key)


@given(opens(st.integers(1, 1000)), opens(st.integers(-1000, -1)), st.randoms(use_true_random=False))
def test_nothing_is_lost_nothing_goes_below_nothing_and_order_makes_no_difference(charges, credits, order):
    netted, left_over = net(charges, credits)
    given_, taken = Counter[str](), Counter[str]()
    for one in netted:
        assert one.minor > 0
        given_[one.credit] += one.minor
        taken[one.charge] += one.minor
    assert all(taken[one.key] <= one.minor for one in charges)
    assert all(given_[one.key] - left_over.get(one.key, 0) == -one.minor for one in credits)
    again = net(order.sample(charges, len(charges)), order.sample(credits, len(credits)))
    assert (Counter(again[0]), again[1]) == (Counter(netted), left_over)


def test_a_drawn_balance_is_taken_off_the_charge_of_its_product():
    other = bill_line("20.00", product_id="product-2", pricing_id="pricing-2")
    drawn = bill_line("-4.50", type="BALANCE_CONSUMED", balance_id="balance-1", start=None, end=None)
    plan = plan_push(bill(bill_line("10.00"), other, drawn, total=Decimal("25.50")), around())
    assert plan.problems == ()
    assert [(one.amount_minor, one.parts) for one in plan.to_send] == [
        (550, ((plan.lines[0].key, 1000), (plan.lines[2].key, -450))),
        (2000, ((plan.lines[1].key, 2000),)),
    ]


def test_what_is_netted_to_nothing_is_recorded_and_not_sent():
    plan = plan_push(bill(bill_line("10"), bill_line("-10", type="CREDIT_MEMO")), around())
    assert (plan.problems, plan.to_send, plan.total_minor) == ((), [], 0)
    assert [one.kind for one in plan.charges] == ["nothing"]


def test_credits_of_a_type_become_promotional_credits_where_the_settings_say_so():
    memo = bill_line("-3", type="CREDIT_MEMO")
    plan = plan_push(bill(bill_line("10"), memo), around(negative_lines_by_type={"CREDIT_MEMO": "promotional_credit"}))
    assert [(one.kind, one.amount_minor) for one in plan.to_send] == [
        ("charge_item", 1000),
        ("promotional_credit", 300),
    ]
    assert plan.to_send_minor == plan.total_minor == 700


def test_more_credit_than_charges_becomes_a_promotional_credit_where_the_settings_say_so():
    lines = [bill_line("10"), bill_line("-12", type="CREDIT_MEMO")]
    plan = plan_push(bill(*lines), around(negative_total="promotional_credit"))
    assert [(one.kind, one.amount_minor) for one in plan.to_send] == [("promotional_credit", 200)]
    assert plan.to_send_minor == plan.total_minor == -200


def test_a_credit_that_is_withdrawn_is_charged_again_beside_the_largest_charge():
    first = plan_push(bill(bill_line("10"), bill_line("-4", type="CREDIT_MEMO")), around())
    before = {key: minor for one in first.charges for key, minor in one.parts}
    again = plan_push(bill(bill_line("11")), around(sent=before))
    assert again.problems == ()
    assert [one.amount_minor for one in again.to_send] == [500]
    alone = plan_push(bill(bill_line("10")), around(sent=before))
    assert codes(alone) == ["credit_withdrawn"]


# --- grouping ---

APART = [
    pytest.param({"start": JAN, "end": MAR}, id="another period"),
    pytest.param({"pricing_id": "special"}, id="another charge item"),
    pytest.param({"plan_id": PLANS[ADDON]}, id="another subscription"),
]


@pytest.mark.parametrize("difference", APART)
def test_lines_are_grouped_only_where_the_invoice_shows_them_alike(difference):
    surroundings = around(
        group_above=0,
        charge_prices={("Default", "*", "USD"): CHARGE, ("Pricing", "special", "USD"): "special-USD"},
        account_plans=[current_plan(BASIC, JAN), current_plan(ADDON, JAN, subscription_id=OTHER)],
        pending={name: [invoice(subscription_id=name, lines=[])] for name in (SUBSCRIPTION, OTHER)},
    )
    lines = [bill_line("1", segment={"region": region}) for region in ("eu", "us", "asia")]
    plan = plan_push(bill(*lines, bill_line("5", **difference)), surroundings)
    assert plan.problems == ()
    assert sorted((one.amount_minor, len(one.parts)) for one in plan.to_send) == [(300, 3), (500, 1)]


def test_a_bill_is_grouped_only_above_its_bound():
    lines = [bill_line("1", segment={"region": str(number)}) for number in range(5)]
    assert len(plan_push(bill(*lines), around(group_above=5)).to_send) == 5
    assert [one.amount_minor for one in plan_push(bill(*lines), around(group_above=4)).to_send] == [500]


segments = st.builds(
    bill_line, st.decimals(-50, 100, places=4), segment=st.integers(0, 99).map(lambda one: {"n": str(one)}),
    pricing_id=st.sampled_from(["a", "b"]), product_id=st.sampled_from(["p", "q"]), end=st.sampled_from([FEB, MAR]),
)  # fmt: skip


@given(st.lists(segments, max_size=12))
def test_grouped_or_not_the_same_total_is_sent(lines: list[BillLine]):
    billed = bill(*lines)
    apart, together = plan_push(billed, around()), plan_push(billed, around(group_above=0))
    assert codes(apart) == codes(together)
    if not apart.problems:
        assert apart.to_send_minor == together.to_send_minor == apart.total_minor
        assert len(together.charges) <= len(apart.charges)
        assert all(one.amount_minor > 0 for one in together.to_send)


def test_an_account_without_customer_is_named():
    assert codes(plan_push(bill(bill_line()), around(customers={}))) == ["unknown_account"]
    assert codes(plan_push(bill(bill_line()), around(customers={ACCOUNT: "cust_1"}))) == []
