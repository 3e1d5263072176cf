"""Plans of bills that are late, and of what a bill gives back as a credit note: whatever a bill holds, to the minor unit."""

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.bills.plan import plan_push
from connector.bills.routing import Policies, Surroundings
from connector.clients.m3ter_objects import Bill, BillLine
from connector.days import invoiced_on
from connector.mappings.kinds import AD_HOC
from tests.builders import APR, CUSTOMER, FEB, JAN, MAR, SUBSCRIPTION, bill, bill_line, invoice
from tests.rules import test_plan_push as usual
from tests.rules.test_plan_push import CHARGE, around, codes, good_bills, good_lines, sent

WAYS = ("unbilled_charge", "own_invoice")
DAY = timedelta(days=1)


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


def kinds(plan):
    return [(one.kind, one.amount_minor, one.invoice_id) for one in plan.to_send]


# --- where a late bill goes ---


@pytest.mark.parametrize(
    ("pending", "now", "expected"),
    [
        pytest.param([invoice()], FEB + 30 * DAY, None, id="its invoice is open, however late it is"),
        pytest.param([], FEB + 7 * DAY, "late", id="no invoice came until the deadline"),
        pytest.param([], FEB + 7 * DAY - timedelta(seconds=1), "waits", id="it may still come"),
        pytest.param([invoice(MAR)], FEB, "late", id="only a later one is open"),
        pytest.param([invoice(FEB - 20 * DAY)], FEB, "waits", id="an earlier one says nothing"),
    ],
)
def test_a_bill_is_late_when_its_invoice_will_not_come(way, pending, now, expected):
    plan = plan_push(bill(bill_line()), around(late_bills=way, pending={SUBSCRIPTION: pending}, now=now))
    if expected == "waits":
        assert (codes(plan), plan.problems[0].waits) == (["no_pending_invoice"], True)
        assert "until 2026-02-08" in plan.problems[0].cause.next_step
    elif expected == "late":
        assert kinds(plan) == [(way, 1000, None)]
        assert plan.invoices == {}
        assert (plan.to_send[0].item_price_id, plan.to_send[0].subscription_id) == (CHARGE, SUBSCRIPTION)
    else:
        assert kinds(plan) == [("charge_item", 1000, "draft_inv_1")]


@pytest.mark.parametrize("pending", [[], [invoice(MAR)]])
def test_what_a_bill_gained_after_a_part_was_sent_is_late_at_once(way, pending):
    first = plan_push(bill(bill_line("10")), around())
    more = bill(bill_line("10"), bill_line("5", pricing_id="pricing-2"))
    changed = around(sent=sent(first), sent_for={SUBSCRIPTION}, pending={SUBSCRIPTION: pending}, late_bills=way)
    assert kinds(plan_push(more, changed)) == [(way, 500, None)]


def test_late_lines_of_one_charge_item_are_grouped_and_those_without_an_item_by_their_description(way):
    settings = {"late_bills": way, "pending": {}, "now": APR, "group_above": 0}
    lines = [bill_line("1", segment={"n": str(n)}, description=f"{n % 2}") for n in range(4)]
    assert [amount for _, amount, _ in kinds(plan_push(bill(*lines), around(**settings)))] == [400]
    ad_hoc = around(**settings, charge_prices={("Default", "*", "USD"): AD_HOC})
    plan = plan_push(bill(*lines), ad_hoc)
    assert [(one.description, one.amount_minor, one.item_price_id) for one in plan.to_send] == [
        ("0", 200, None),
        ("1", 200, None),
    ]


# --- charges alone ---

FEE = {"type": "BALANCE_FEE", "plan_id": None, "pricing_id": None, "aggregation_id": None, "charge_id": "charge-1"}
JAN_15, FEB_1 = date(2026, 1, 15), date(2026, 2, 1)
IN_ADVANCE = {"start_date": JAN_15, "end_date": date(2027, 1, 1), "bill_date": JAN_15}


@pytest.mark.parametrize(
    ("billed", "day"),
    [
        pytest.param(bill(bill_line()), FEB_1, id="usage: the end of its period"),
        pytest.param(bill(bill_line(), bill_date=None), FEB_1, id="without a bill date"),
        pytest.param(bill(bill_line(), bill_date=date(2026, 2, 5)), FEB_1, id="calculated later"),
        pytest.param(bill(bill_line(**FEE), **IN_ADVANCE), JAN_15, id="a charge in advance: its bill date"),
        pytest.param(
            bill(bill_line(**FEE), end_date=date(2026, 1, 9), bill_date=FEB_1), FEB_1, id="a charge in arrears too"
        ),
        pytest.param(
            bill(bill_line(), bill_line(**FEE), end_date=date(2026, 3, 1), bill_date=FEB_1), FEB_1,
            id="usage with a charge in advance",
        ),
        pytest.param(
            bill(bill_line(), bill_line(**FEE), end_date=FEB_1, bill_date=date(2026, 2, 5)), FEB_1,
            id="usage with a charge, calculated later",
        ),
    ],
)  # fmt: skip
def test_the_day_whose_invoice_takes_a_bill(billed, day):
    assert invoiced_on(billed) == day


@pytest.mark.parametrize(
    ("settings", "pending", "expected"),
    [
        pytest.param({}, [], [("unbilled_charge", None)], id="at once, where nothing is set"),
        pytest.param({}, [invoice()], [("unbilled_charge", None)], id="a later invoice is not its own"),
        pytest.param({}, [invoice(JAN + 14 * DAY)], [("charge_item", "draft_inv_1")], id="the invoice of its day"),
        pytest.param({"charge_bills": "own_invoice"}, [], [("own_invoice", None)], id="an invoice of its own"),
        pytest.param({"charge_bills": "next_invoice"}, [invoice()], [("charge_item", "draft_inv_1")], id="the next one"),
        pytest.param({"charge_bills": "next_invoice"}, [invoice(JAN)], "waits", id="not one from before"),
        pytest.param({"charge_bills": "next_invoice"}, [], "waits", id="the next one is awaited"),
        pytest.param({"charge_bills": "late_bills"}, [], "late_bill", id="late as any other bill"),
        pytest.param(
            {"charge_bills": "late_bills", "late_bills": "own_invoice"}, [], [("own_invoice", None)], id="and where such go"
        ),
    ],
)  # fmt: skip
def test_where_charges_of_a_day_without_an_invoice_go(settings, pending, expected):
    plan = plan_push(bill(bill_line(**FEE), **IN_ADVANCE), around(pending={SUBSCRIPTION: pending}, **settings))
    if isinstance(expected, str):
        assert [one.waits for one in plan.problems] == [expected == "waits"]
        assert codes(plan) == ["no_pending_invoice" if expected == "waits" else expected]
    else:
        assert [(kind, invoice_id) for kind, _, invoice_id in kinds(plan)] == expected


def test_what_a_bill_of_charges_gained_goes_on_the_invoice_that_it_was_sent_to():
    settings = {"charge_bills": "next_invoice", "pending": {SUBSCRIPTION: [invoice()]}}
    first = plan_push(bill(bill_line(**FEE), **IN_ADVANCE), around(**settings))
    more = bill(bill_line(**FEE), bill_line("5", **FEE | {"charge_id": "charge-2"}), **IN_ADVANCE)
    plan = plan_push(more, around(**settings, sent=sent(first), sent_for={SUBSCRIPTION}))
    assert kinds(plan) == [("charge_item", 500, "draft_inv_1")]


# --- credit notes ---


def test_a_negative_line_becomes_a_credit_note_where_the_settings_say_so():
    lines = [bill_line("10"), bill_line("-3", type="CREDIT_MEMO"), bill_line("-1", type="BALANCE_CONSUMED")]
    plan = plan_push(bill(*lines), around(negative_lines_by_type={"CREDIT_MEMO": "credit_note"}))
    assert kinds(plan) == [("charge_item", 900, "draft_inv_1"), ("credit_note", 300, None)]
    assert plan.to_send[1].customer_id == CUSTOMER
    assert plan.to_send_minor == plan.total_minor == 600
    every = plan_push(bill(*lines), around(negative_lines="credit_note"))
    assert [(kind, amount) for kind, amount, _ in kinds(every)] == [
        ("charge_item", 1000),
        ("credit_note", 300),
        ("credit_note", 100),
    ]


def test_more_credit_than_charges_becomes_a_credit_note_where_the_settings_say_so():
    lines = [bill_line("10"), bill_line("-12", type="CREDIT_MEMO")]
    plan = plan_push(bill(*lines), around(negative_total="credit_note"))
    assert kinds(plan) == [("credit_note", 200, None)]
    assert plan.to_send_minor == plan.total_minor == -200


@pytest.mark.parametrize(
    "lines", [[bill_line("8")], [], [bill_line("8", pricing_id="another")]], ids=["less", "gone", "another"]
)
def test_a_bill_that_became_less_gives_back_the_difference_by_a_credit_note(lines: list[BillLine]):
    first = plan_push(bill(bill_line("10")), around())
    plan = plan_push(bill(*lines), around(sent=sent(first), negative_total="credit_note"))
    assert plan.problems == ()
    assert [kind for kind, _, _ in kinds(plan)] == ["credit_note"]
    assert 1000 + plan.to_send_minor == plan.total_minor


@pytest.mark.parametrize("way_of_credits", ["net", "promotional_credit", "credit_note"])
def test_a_credit_of_nobody_is_not_given(way_of_credits):
    settings = {"negative_lines": way_of_credits, "negative_total": "credit_note", "customers": {}}
    assert codes(plan_push(bill(bill_line("-3")), around(**settings))) == ["unknown_account"]
    first = plan_push(bill(bill_line("3")), around())
    assert codes(plan_push(bill(), around(**settings, sent=sent(first)))) == ["less_than_sent"]


# --- whatever a bill holds ---

policies = st.builds(
    Policies,
    max_charges=st.sampled_from([3, 500]),
    exponents=st.sampled_from([{}, {"VND": 0}]),
    negative_lines=st.sampled_from(["net", "promotional_credit", "credit_note", "park"]),
    negative_lines_by_type=st.sampled_from([{}, {"CREDIT_MEMO": "credit_note"}]),
    negative_total=st.sampled_from(["park", "promotional_credit", "credit_note"]),
    late_bills=st.sampled_from(["park", "next_invoice", *WAYS]),
    charge_bills=st.sampled_from(["late_bills", "next_invoice", *WAYS]),
    wait_for_invoice=st.sampled_from([timedelta(0), timedelta(days=7)]),
    group_above=st.sampled_from([0, 2, 500]),
)
mixed_bills = st.builds(
    lambda lines: bill(*lines),
    st.lists(
        st.builds(
            bill_line, st.decimals(-50, 100, places=4), pricing_id=st.sampled_from(["a", "b", "c"]),
            type=st.sampled_from(["USAGE", "CREDIT_MEMO", "BALANCE_CONSUMED"]),
            child_account_id=st.sampled_from([None, None, "child"]),
        ),
        max_size=6,
    ),
)  # fmt: skip
any_surroundings = st.builds(
    lambda found, chosen: replace(found, policies=chosen), usual.surroundings | st.just(around()), policies
)


@given(usual.bills | good_bills | mixed_bills, any_surroundings)
def test_any_bill_is_planned_to_the_minor_unit_or_has_its_problems_named(billed: Bill, surroundings: Surroundings):
    plan = plan_push(billed, surroundings)
    if plan.problems:
        assert all(one.cause.code and one.cause.text and one.cause.next_step for one in plan.problems)
        return
    assert plan.to_send_minor + sum(surroundings.sent.values()) == plan.total_minor
    parts = Counter[str]()
    for charge in plan.charges:
        parts.update(dict(charge.parts))
    gone = set(surroundings.sent) - {line.key for line in plan.lines}
    assert {key: minor for key, minor in parts.items() if minor} == {
        **{line.key: line.open_minor for line in plan.lines if line.open_minor},
        **{key: -surroundings.sent[key] for key in gone if surroundings.sent[key]},
    }
    keys = [charge.key for charge in plan.charges]
    assert len(keys) == len(set(keys))
    for charge in plan.to_send:
        assert charge.amount_minor > 0
        assert charge.customer_id is not None
        is_given = charge.kind in ("promotional_credit", "credit_note")
        assert (charge.subscription_id is None) is is_given
        assert (charge.invoice_id is None) is (is_given or charge.kind in WAYS)


@given(st.lists(good_lines, max_size=6), st.lists(good_lines, max_size=6))
def test_of_a_bill_approved_twice_the_second_result_is_what_is_left_with_credit_notes(before, after):
    first = plan_push(bill(*before), around())
    second = plan_push(bill(*after), around(sent=sent(first), negative_total="credit_note"))
    assert second.problems == ()
    assert sum(sent(first).values()) + second.to_send_minor == second.total_minor
