"""What a push of a bill would do: lines that add up to the bill, or every reason why it cannot be pushed."""

import json
import random
from collections import Counter
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.bills.lines import content_hash, keyed_lines
from connector.bills.plan import plan_push, subscriptions_billed
from connector.bills.planned import PushPlan, as_json
from connector.bills.routing import NEVER, Policies, Surroundings, charge_price
from connector.clients.m3ter_objects import Bill, BillLine
from connector.days import bill_moment
from connector.mappings.kinds import CHARGE_ENTITIES
from tests.builders import (
    ACCOUNT,
    ADDON,
    APR,
    BASIC,
    CUSTOMER,
    FEB,
    JAN,
    MAR,
    PLANS,
    PRO,
    SUBSCRIPTION,
    bill,
    bill_line,
    current_plan,
    invoice,
    invoice_line,
)  # fmt: skip

DAY = timedelta(days=1)
DECEMBER = datetime(2025, 12, 1, tzinfo=UTC)
CHARGE = "m3ter-usage-USD"
FOREIGN = invoice_line(JAN, FEB, id="li_foreign", entity_type="charge_item_price", entity_id=CHARGE)
OTHER = "sub_2"
# m3ter.md §7.4
LINE_TYPES = (
    "STANDING_CHARGE", "USAGE", "USAGE_CREDIT", "COUNTER_RUNNING_TOTAL_CHARGE", "COUNTER_ADJUSTMENT_DEBIT",
    "COUNTER_ADJUSTMENT_CREDIT", "MINIMUM_SPEND", "MINIMUM_SPEND_REFUND", "CREDIT_DEDUCTION", "MANUAL_ADJUSTMENT",
    "CREDIT_MEMO", "DEBIT_MEMO", "COMMITMENT_CONSUMED", "COMMITMENT_FEE", "OVERAGE_SURCHARGE", "OVERAGE_USAGE",
    "BALANCE_CONSUMED", "BALANCE_FEE", "AD_HOC",
)  # fmt: skip


POLICIES = {one.name for one in fields(Policies)}


def around(**difference: object) -> Surroundings:
    """One live subscription since January, one pending renewal invoice of 1 February, one charge item for any line.

    What is no part of the surroundings themselves is a policy.
    """
    policies = {name: difference.pop(name) for name in list(difference) if name in POLICIES}
    return Surroundings(
        **{
            "now": FEB + timedelta(hours=9),
            "customers": {ACCOUNT: CUSTOMER},
            "policies": Policies(**policies),
            "charge_prices": {("Default", "*", "USD"): CHARGE},
            "account_plans": [current_plan(BASIC, JAN)],
            "subscriptions": {ACCOUNT: [SUBSCRIPTION]},
            "pending": {SUBSCRIPTION: [invoice()]},
        }
        | difference
    )


def codes(plan: PushPlan) -> list[str]:
    return [problem.cause.code for problem in plan.problems]


def amounts(plan: PushPlan) -> list[int]:
    return [line.open_minor for line in plan.lines]


def sent(plan: PushPlan) -> dict[str, int]:
    """What is on the invoice once this plan has been pushed."""
    assert not plan.problems
    total: Counter[str] = Counter()
    for charge in plan.charges:
        for key, minor in charge.parts:
            total[key] += minor
    return dict(total)


def test_every_line_becomes_a_charge_on_the_pending_invoice():
    plan = plan_push(
        bill(bill_line("10.00"), bill_line("2.50", pricing_id="pricing-2"), total=Decimal("12.5")), around()
    )
    assert plan.problems == ()
    assert (plan.total_minor, plan.exact_total, plan.decimals) == (1250, Decimal("12.50"), 2)
    assert [
        (line.amount_minor, line.item_price_id, line.subscription_id, line.invoice_id) for line in plan.to_send
    ] == [
        (1000, CHARGE, SUBSCRIPTION, "draft_inv_1"),
        (250, CHARGE, SUBSCRIPTION, "draft_inv_1"),
    ]
    assert {(line.date_from, line.date_to) for line in plan.to_send} == {(JAN, FEB)}
    assert [line.position for line in plan.lines] == [0, 1]


def test_a_bill_without_lines_is_planned_as_nothing_to_add():
    plan = plan_push(bill(total=Decimal(0)), around())
    assert (plan.problems, plan.to_send, plan.total_minor) == ((), [], 0)


def test_lines_of_nothing_are_recorded_and_not_sent():
    """They need no mapping, no service period and no invoice either."""
    plan = plan_push(
        bill(bill_line("0"), bill_line("0.00", start=None, end=None), bill_line("0.001", type="AD_HOC")),
        around(charge_prices={}, pending={}),
    )
    assert plan.problems == ()
    assert (len(plan.lines), plan.to_send) == (3, [])


def test_sub_cent_lines_add_up_to_the_bill_rounded_once():
    lines = [bill_line("0.004", pricing_id=f"pricing-{number}") for number in range(3)]
    plan = plan_push(bill(*lines), around())
    assert sorted(amounts(plan)) == [0, 0, 1]
    assert (plan.exact_total, plan.total_minor) == (Decimal("0.012"), 1)


def test_amounts_of_converted_lines_are_those_in_the_bills_currency():
    plan = plan_push(bill(bill_line("80", currency="GBP", converted_subtotal=Decimal(100))), around())
    assert (plan.problems, amounts(plan)) == ((), [10000])


def test_a_line_in_the_bills_currency_needs_no_converted_amount():
    plan = plan_push(bill(bill_line("80", converted_subtotal=None)), around())
    assert (plan.problems, amounts(plan)) == ((), [8000])


def test_a_currency_without_decimals_is_billed_in_major_units():
    yen = bill_line("15.5", currency="JPY")
    plan = plan_push(
        bill(yen, currency="JPY"),
        around(
            charge_prices={("Default", "*", "JPY"): "m3ter-usage-JPY"},
            pending={SUBSCRIPTION: [invoice(currency_code="JPY")]},
        ),
    )
    assert (plan.problems, amounts(plan), plan.decimals) == ((), [16], 0)


@pytest.mark.parametrize(
    ("billed", "surroundings", "expected"),
    [
        pytest.param(bill(bill_line("80", currency="GBP", converted_subtotal=None)), around(), ["no_converted_amount"],
                     id="another currency without a converted amount"),
        pytest.param(bill(bill_line(), total=Decimal("10.01")), around(), ["total_differs"], id="total is not the sum"),
        pytest.param(bill(total=Decimal(1)), around(), ["total_differs"], id="a total without lines"),
        pytest.param(bill(bill_line(), start_date=None), around(), ["no_period"], id="no first day"),
        pytest.param(bill(bill_line(), end_date=None), around(), ["no_period"], id="no last day"),
        pytest.param(bill(bill_line(), end_date=date.max), around(), ["no_period"], id="a last day beyond all time"),
        pytest.param(bill(bill_line(), start_date=date.min, timezone="Asia/Tokyo"), around(), ["no_period"],
                     id="a first day before all time"),
        pytest.param(bill(bill_line(), timezone="Middle/Earth"), around(), ["unknown_timezone"], id="a zone nobody knows"),
        pytest.param(bill(bill_line(), timezone="../etc/passwd"), around(), ["unknown_timezone"], id="a zone that is a path"),
        pytest.param(bill(bill_line(), timezone="America"), around(), ["unknown_timezone"], id="a zone that is a folder"),
        pytest.param(bill(bill_line(), timezone="+25:00"), around(), ["unknown_timezone"], id="an offset no zone has"),
        pytest.param(bill(bill_line(currency="VND"), currency="VND"), around(), ["currency"], id="an unsettled currency"),
        pytest.param(bill(bill_line(currency="TOKENS"), currency="TOKENS"), around(), ["currency"], id="no ISO currency"),
        pytest.param(bill(bill_line(), bill_line()), around(max_charges=1), ["too_many_lines"], id="too many lines"),
        pytest.param(bill(bill_line(), bill_line()), around(max_invoice_lines=2, group_above=NEVER), ["invoice_full"],
                     id="an invoice that would grow past its bound"),
        pytest.param(bill(bill_line(), bill_line(end=MAR)), around(max_invoice_lines=2), ["invoice_full"],
                     id="an invoice that would be full though grouped"),
        pytest.param(bill(bill_line(), bill_line()), around(pending={}, late_bills="own_invoice", max_invoice_lines=1,
                     group_above=NEVER, now=MAR), ["invoice_full"], id="an invoice of its own that would be full"),
        pytest.param(bill(bill_line("-1")), around(), ["negative_total"], id="a negative line alone"),
        pytest.param(bill(bill_line("5"), bill_line("-6", type="BALANCE_CONSUMED")), around(), ["negative_total"],
                     id="more credit than charges"),
        pytest.param(bill(bill_line("5"), bill_line("-1", type="BALANCE_CONSUMED")), around(negative_lines="park"),
                     ["negative_line"], id="a negative line where such lines park"),
        pytest.param(bill(bill_line("5"), bill_line("-1", type="CREDIT_MEMO")),
                     around(negative_lines_by_type={"CREDIT_MEMO": "park"}), ["negative_line"],
                     id="a negative line of a type that parks"),
        pytest.param(bill(bill_line()), around(pending={SUBSCRIPTION: [invoice(FEB, [invoice_line(), FOREIGN])]}),
                     ["foreign_lines"], id="somebody else bills the same"),
        pytest.param(bill(bill_line(start=None)), around(), ["no_service_period"], id="no start of service"),
        pytest.param(bill(bill_line(end=None)), around(), ["no_service_period"], id="no end of service"),
        pytest.param(bill(bill_line(end=JAN)), around(), ["no_service_period"], id="a service of no length"),
        pytest.param(bill(bill_line(), bill_line(end=None, child_account_id="c")), around(charge_prices={}, pending={}),
                     ["unmapped_line", "no_pending_invoice", "no_service_period", "unmapped_line", "unknown_account"],
                     id="every problem of every line is named"),
    ],
)  # fmt: skip
def test_a_bill_that_cannot_be_pushed_says_why(billed, surroundings, expected):
    plan = plan_push(billed, surroundings)
    assert codes(plan) == expected
    assert all(problem.cause.text and problem.cause.next_step for problem in plan.problems)


def test_exactly_the_allowed_number_of_lines_is_not_too_many():
    assert codes(plan_push(bill(bill_line(), bill_line()), around(max_charges=2))) == []


def test_lines_are_grouped_before_their_invoice_grows_past_its_bound():
    """Two equal charges beside the plan's line are three lines, grouped they are two."""
    plan = plan_push(bill(bill_line(), bill_line("2.50")), around(max_invoice_lines=2))
    assert (codes(plan), [one.amount_minor for one in plan.to_send]) == ([], [1250])
    plan = plan_push(bill(bill_line(), bill_line("2.50")), around(max_invoice_lines=3))
    assert (codes(plan), [one.amount_minor for one in plan.to_send]) == ([], [1000, 250])


def test_a_bill_for_several_invoices_may_have_more_lines_than_one_of_them():
    child = {"child_account_id": "child", "plan_id": "plan-other"}
    other = {"customers": {ACCOUNT: CUSTOMER, "child": "child"}, "named": {("Account", "child"): "sub_2"}}
    pending = {SUBSCRIPTION: [invoice()], "sub_2": [invoice(id="draft_inv_2", subscription_id="sub_2")]}
    lines = [bill_line(), bill_line("2.50"), bill_line("1", **child), bill_line("2", **child)]
    plan = plan_push(bill(*lines), around(max_invoice_lines=3, group_above=NEVER, pending=pending, **other))
    assert (codes(plan), [one.invoice_id for one in plan.to_send]) == (
        [],
        ["draft_inv_1", "draft_inv_1", "draft_inv_2", "draft_inv_2"],
    )


# --- which charge item a line becomes ---

USAGE_LINE = bill_line(
    pricing_id="pricing-1", aggregation_id="aggregation-1", compound_aggregation_id="compound-1", product_id="product-1"
)
ALL_ENTITIES = ("pricing-1", "aggregation-1", "compound-1", "product-1", "USAGE", "*")
ALL_MAPPED = {(entity, found, "USD"): entity for entity, found in zip(CHARGE_ENTITIES, ALL_ENTITIES, strict=True)}


@pytest.mark.parametrize("position", range(len(CHARGE_ENTITIES)), ids=CHARGE_ENTITIES)
def test_the_most_telling_mapping_decides(position):
    prices = {key: price for key, price in ALL_MAPPED.items() if CHARGE_ENTITIES.index(key[0]) >= position}
    assert charge_price(USAGE_LINE, "USD", prices) == CHARGE_ENTITIES[position]


@pytest.mark.parametrize(
    ("line", "prices", "expected"),
    [
        pytest.param(USAGE_LINE, {}, None, id="nothing is mapped"),
        pytest.param(USAGE_LINE, {("Pricing", "pricing-1", "EUR"): "x"}, None, id="mapped in another currency only"),
        pytest.param(USAGE_LINE, {("Pricing", "pricing-1", "EUR"): "x", ("Default", "*", "USD"): "y"}, "y",
                     id="the right currency beats the more telling entity"),
        pytest.param(USAGE_LINE, {("Aggregation", "pricing-1", "USD"): "x"}, None, id="the id of another kind of entity"),
        pytest.param(bill_line(type="STANDING_CHARGE", pricing_id=None, aggregation_id=None, product_id=None),
                     {("LineItemType", "STANDING_CHARGE", "USD"): "x"}, "x", id="a line that only has its type"),
        pytest.param(bill_line(type="USAGE"), {("LineItemType", "STANDING_CHARGE", "USD"): "x"}, None, id="another type"),
    ],
)  # fmt: skip
def test_a_line_finds_its_charge_item(line, prices, expected):
    assert charge_price(line, "USD", prices) == expected


@pytest.mark.parametrize(
    ("line", "command"),
    [
        pytest.param(bill_line(), "mappings add Aggregation aggregation-1 ItemPrice", id="by its aggregation"),
        pytest.param(bill_line(aggregation_id=None, compound_aggregation_id="compound-1"),
                     "mappings add CompoundAggregation compound-1 ItemPrice", id="by its compound aggregation"),
        pytest.param(bill_line(type="MINIMUM_SPEND", aggregation_id=None),
                     "mappings add LineItemType MINIMUM_SPEND ItemPrice", id="by its type"),
    ],
)  # fmt: skip
def test_an_unmapped_line_says_which_mapping_to_add_and_waits_for_it(line, command):
    (problem,) = plan_push(bill(line), around(charge_prices={})).problems
    assert command in problem.cause.next_step
    assert "--currency USD" in problem.cause.next_step
    assert problem.wakes_on == "mapping:charges"


# --- which subscription a line belongs to ---

MINE, THEIRS = current_plan(BASIC, JAN), current_plan(PRO, JAN, subscription_id=OTHER)


@pytest.mark.parametrize(
    ("line", "plans", "live", "expected"),
    [
        pytest.param(bill_line(), [MINE, THEIRS], [], SUBSCRIPTION, id="the one that has the line's plan"),
        pytest.param(bill_line(plan_id=PLANS[PRO]), [MINE, THEIRS], [], OTHER, id="the other one has it"),
        pytest.param(bill_line(), [MINE, current_plan(BASIC, FEB, subscription_id=OTHER)], [], SUBSCRIPTION,
                     id="the one that had the plan then, not the one that has it since"),
        pytest.param(bill_line(), [current_plan(BASIC, DECEMBER, JAN), THEIRS], [], OTHER,
                     id="a plan that ended when the service began does not count"),
        pytest.param(bill_line(), [current_plan(BASIC, DECEMBER, JAN + DAY), THEIRS], [], SUBSCRIPTION,
                     id="a plan that ended a day later does"),
        pytest.param(bill_line(), [current_plan(BASIC, JAN, FEB), current_plan(PRO, FEB)], [], SUBSCRIPTION,
                     id="one subscription whose plan changed"),
        pytest.param(bill_line(plan_id=None), [MINE], [OTHER], SUBSCRIPTION, id="no plan: the only one with any plan then"),
        pytest.param(bill_line(plan_id=None), [], [OTHER], OTHER, id="no plan anywhere: the only live one"),
        pytest.param(bill_line(), [MINE, replace(MINE, subscription_id=OTHER)], [], None, id="two have the line's plan"),
        pytest.param(bill_line(plan_id=None), [MINE, THEIRS], [SUBSCRIPTION], None, id="no plan, and two have one then"),
        pytest.param(bill_line(), [], [SUBSCRIPTION, OTHER], None, id="no plan anywhere, and two are live"),
        pytest.param(bill_line(), [], [], None, id="nobody is live"),
    ],
)  # fmt: skip
def test_a_line_goes_to_the_subscription_that_had_its_plan(line, plans, live, expected):
    pending = {name: [invoice(subscription_id=name, lines=[])] for name in (SUBSCRIPTION, OTHER)}
    plan = plan_push(bill(line), around(account_plans=plans, subscriptions={ACCOUNT: live}, pending=pending))
    assert [charge.subscription_id for charge in plan.charges] == ([expected] if expected else [])
    assert codes(plan) == ([] if expected else ["ambiguous_subscription"])
    billed = subscriptions_billed(bill(line), around(account_plans=plans, subscriptions={ACCOUNT: live}))
    assert billed == ({expected} if expected else set())


def test_an_ambiguous_line_names_the_subscriptions_that_it_may_belong_to():
    surroundings = around(account_plans=[], subscriptions={ACCOUNT: [SUBSCRIPTION, OTHER]})
    (problem,) = plan_push(bill(bill_line()), surroundings).problems
    assert SUBSCRIPTION in problem.cause.text
    assert OTHER in problem.cause.text


CHILD = bill_line(child_account_id="account-2")


def test_a_line_of_a_child_account_goes_on_the_childs_subscription():
    both = {ACCOUNT: CUSTOMER, "account-2": "cust_2"}
    plans = [MINE, replace(MINE, account_id="account-2", subscription_id=OTHER)]
    pending = {OTHER: [invoice(subscription_id=OTHER, lines=[])]}
    plan = plan_push(bill(CHILD), around(customers=both, account_plans=plans, pending=pending))
    assert [(charge.subscription_id, charge.customer_id) for charge in plan.charges] == [(OTHER, "cust_2")]


def test_a_line_of_an_account_that_nobody_has_mapped_waits_for_the_mapping():
    (problem,) = plan_push(bill(CHILD), around()).problems
    assert (problem.cause.code, problem.wakes_on) == ("unknown_account", "mapping:charges")
    assert "connector mappings add Account account-2 Customer" in problem.cause.next_step


@pytest.mark.parametrize(
    ("line", "named", "expected"),
    [
        pytest.param(bill_line(plan_id=None), {("Account", ACCOUNT): OTHER}, OTHER, id="the account's"),
        pytest.param(bill_line(plan_id=None, contract_id="c-1"), {("Contract", "c-1"): OTHER}, OTHER, id="the contract's"),
        pytest.param(bill_line(plan_id=None, contract_id="c-1"),
                     {("Contract", "c-1"): SUBSCRIPTION, ("Account", ACCOUNT): OTHER}, SUBSCRIPTION,
                     id="the contract's goes before the account's"),
        pytest.param(bill_line(), {("Account", ACCOUNT): OTHER}, SUBSCRIPTION, id="its plan goes before both"),
    ],
)  # fmt: skip
def test_a_subscription_that_was_named_takes_what_may_be_anybodys(line, named, expected):
    pending = {name: [invoice(subscription_id=name, lines=[])] for name in (SUBSCRIPTION, OTHER)}
    plan = plan_push(bill(line), around(account_plans=[MINE, THEIRS], named=named, pending=pending))
    assert [charge.subscription_id for charge in plan.charges] == [expected]


# --- which invoice it is put on ---

RENEWAL = invoice()


@pytest.mark.parametrize(
    ("pending", "expected"),
    [
        pytest.param([RENEWAL], "draft_inv_1", id="the renewal's at the end of the bill's period"),
        pytest.param([invoice(FEB, [invoice_line(FEB + 9 * timedelta(hours=1))])], "draft_inv_1",
                     id="the renewal's at another time of that day"),
        pytest.param([invoice(FEB, [invoice_line(JAN, FEB, entity_type="addon_item_price"), invoice_line(FEB, MAR)])],
                     "draft_inv_1", id="arrears of addons beside the new term's plan"),
        pytest.param([invoice(APR, [invoice_line(FEB, MAR)])], "draft_inv_1",
                     id="dated later, but its plan line begins at the boundary"),
        pytest.param([invoice(FEB, [])], "draft_inv_1", id="without plan line, by its date"),
        pytest.param([invoice(FEB, [invoice_line(MAR, APR, subscription_id=OTHER)])], "draft_inv_1",
                     id="the plan lines of another subscription on it do not count"),
        pytest.param([RENEWAL, invoice(MAR, id="draft_inv_2")], "draft_inv_1", id="the right one of two"),
        pytest.param([invoice(JAN, id="draft_inv_0"), RENEWAL], "draft_inv_1", id="the right one, an older one is open"),
        pytest.param([], "no_pending_invoice", id="none yet: it waits"),
        pytest.param([invoice(JAN)], "no_pending_invoice", id="only the one before: it waits"),
        pytest.param([invoice(MAR)], "period_mismatch", id="only a later one: the periods differ"),
        pytest.param([invoice(FEB + 14 * DAY)], "period_mismatch", id="only one of another day"),
        pytest.param([invoice(MAR, [invoice_line(FEB, MAR, entity_type="addon_item_price"), invoice_line(MAR, APR)])],
                     "period_mismatch", id="only the next one, on which an addon's arrears begin at the boundary"),
        pytest.param([RENEWAL, replace(RENEWAL, id="draft_inv_2")], "several_invoices", id="several at the boundary"),
        pytest.param([invoice(currency_code="EUR")], "currency_mismatch", id="in another currency"),
        pytest.param([invoice(JAN, date=None, lines=())], "no_pending_invoice", id="one without any date"),
    ],
)  # fmt: skip
def test_a_line_is_put_on_the_pending_invoice_that_closes_the_bills_period(pending, expected):
    plan = plan_push(bill(bill_line()), around(pending={SUBSCRIPTION: pending}))
    assert (codes(plan) or [charge.invoice_id for charge in plan.charges]) == [expected]


def test_only_a_missing_invoice_is_waited_for_and_its_event_wakes_the_bill():
    waiting = plan_push(bill(bill_line()), around(pending={})).problems
    assert [(problem.waits, problem.wakes_on) for problem in waiting] == [(True, f"invoice:{SUBSCRIPTION}")]
    for pending in ([invoice(MAR)], [invoice(currency_code="EUR")], [RENEWAL, replace(RENEWAL, id="draft_inv_2")]):
        assert not any(
            one.waits for one in plan_push(bill(bill_line()), around(pending={SUBSCRIPTION: pending})).problems
        )


@pytest.mark.parametrize(
    ("timezone", "midnight"),
    [
        pytest.param(None, datetime(2026, 3, 29, tzinfo=UTC), id="none is UTC"),
        pytest.param("", datetime(2026, 3, 29, tzinfo=UTC), id="empty is UTC"),
        pytest.param("UTC", datetime(2026, 3, 29, tzinfo=UTC), id="UTC"),
        pytest.param("Europe/Berlin", datetime(2026, 3, 28, 23, tzinfo=UTC), id="the day on which summer time begins"),
        pytest.param("America/Los_Angeles", datetime(2026, 3, 29, 7, tzinfo=UTC), id="west"),
        pytest.param("Pacific/Kiritimati", datetime(2026, 3, 28, 10, tzinfo=UTC), id="14 hours ahead"),
        pytest.param("+02:00", datetime(2026, 3, 28, 22, tzinfo=UTC), id="an offset"),
        pytest.param("-05:30", datetime(2026, 3, 29, 5, 30, tzinfo=UTC), id="a negative offset with minutes"),
        pytest.param("UTC+2", datetime(2026, 3, 28, 22, tzinfo=UTC), id="an offset from UTC by name"),
        pytest.param("GMT-0330", datetime(2026, 3, 29, 3, 30, tzinfo=UTC), id="an offset from GMT by name"),
    ],
)
def test_a_bills_day_begins_at_midnight_in_its_time_zone(timezone, midnight):
    assert bill_moment(bill(timezone=timezone), date(2026, 3, 29)) == midnight


@pytest.mark.parametrize("hours", range(-12, 15))
def test_the_renewal_is_found_in_every_time_zone(hours):
    midnight = FEB.replace(tzinfo=timezone(timedelta(hours=hours)))
    billed = bill(bill_line(), timezone=f"{hours:+03}:00")
    plan = plan_push(billed, around(pending={SUBSCRIPTION: [invoice(midnight.astimezone(UTC))]}))
    assert plan.problems == ()


# --- a bill that is approved again ---


def test_approved_again_unchanged_there_is_nothing_to_send():
    billed = bill(bill_line("10.004"), bill_line("0.333", pricing_id="pricing-2"), bill_line("0"))
    first = plan_push(billed, around())
    again = plan_push(billed, around(sent=sent(first)))
    assert (again.problems, again.to_send, again.total_minor) == ((), [], first.total_minor)


def test_nothing_to_send_needs_no_invoice_and_no_mapping():
    billed = bill(bill_line())
    again = plan_push(billed, around(sent=sent(plan_push(billed, around())), pending={}, charge_prices={}))
    assert (again.problems, again.to_send) == ((), [])


def test_of_a_bill_that_became_more_only_the_difference_is_sent():
    first = plan_push(bill(bill_line("10"), bill_line("5", pricing_id="pricing-2")), around())
    more = bill(bill_line("12.5"), bill_line("5", pricing_id="pricing-2"), bill_line("1", pricing_id="pricing-3"))
    again = plan_push(more, around(sent=sent(first)))
    assert again.problems == ()
    assert amounts(again) == [250, 0, 100]
    assert [line.sent_minor for line in again.lines] == [1000, 500, 0]


def test_a_cent_that_was_rounded_up_before_stays_with_its_line():
    first = plan_push(bill(bill_line("0.336")), around())
    again = plan_push(bill(bill_line("0.336"), bill_line("0.337", pricing_id="pricing-2")), around(sent=sent(first)))
    assert (again.problems, amounts(again), again.total_minor) == ((), [0, 33], 67)


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        pytest.param([bill_line("8")], "2.00", id="a line became less"),
        pytest.param([bill_line("0")], "10.00", id="a line became nothing"),
        pytest.param([], "10.00", id="a line is gone"),
        pytest.param([bill_line("8"), bill_line("1", pricing_id="pricing-2")], "1.00", id="less here, less more there"),
    ],
)
def test_a_bill_that_became_less_parks_with_the_difference(lines, shown):
    first = plan_push(bill(bill_line("10")), around())
    plan = plan_push(bill(*lines), around(sent=sent(first)))
    assert codes(plan) == ["less_than_sent"]
    assert shown in plan.problems[0].cause.text


@pytest.mark.parametrize(
    ("lines", "added"),
    [
        pytest.param([bill_line("8"), bill_line("5", pricing_id="pricing-2")], [300], id="less here, more there"),
        pytest.param([bill_line("10", start=JAN + DAY)], [], id="the same for another period"),
    ],
)
def test_of_a_bill_that_moved_between_its_lines_what_became_less_is_taken_off_what_became_more(lines, added):
    first = plan_push(bill(bill_line("10")), around())
    plan = plan_push(bill(*lines), around(sent=sent(first)))
    assert plan.problems == ()
    assert [charge.amount_minor for charge in plan.to_send] == added
    assert 1000 + plan.to_send_minor == plan.total_minor


@pytest.mark.parametrize(
    "pending", [pytest.param([], id="none is open"), pytest.param([invoice(MAR)], id="the next is open")]
)
def test_an_invoice_closed_after_a_part_was_sent_parks(pending):
    first = plan_push(bill(bill_line("10")), around())
    more = bill(bill_line("10"), bill_line("5", pricing_id="pricing-2"))
    plan = plan_push(more, around(sent=sent(first), sent_for={SUBSCRIPTION}, pending={SUBSCRIPTION: pending}))
    assert codes(plan) == ["invoice_closed"]
    assert not plan.problems[0].waits


# --- keys and hashes ---


def test_identical_lines_of_one_bill_are_told_apart():
    plan = plan_push(bill(bill_line(), bill_line(), bill_line()), around())
    assert len({line.key for line in plan.lines}) == 3
    assert amounts(plan) == [1000, 1000, 1000]


@pytest.mark.parametrize(
    "difference",
    [
        {"type": "MINIMUM_SPEND"}, {"plan_id": "x"}, {"plan_group_id": "x"}, {"pricing_id": "x"}, {"aggregation_id": "x"},
        {"compound_aggregation_id": "x"}, {"counter_id": "x"}, {"charge_id": "x"}, {"balance_id": "x"},
        {"commitment_id": "x"}, {"contract_id": "x"}, {"product_id": "x"}, {"child_account_id": "x"},
        {"segment": {"region": "eu"}}, {"start": JAN + DAY}, {"end": MAR},
    ],
    ids=lambda difference: next(iter(difference)),
)  # fmt: skip
def test_lines_for_different_things_have_different_keys(difference):
    ((one, _), (other, _)) = keyed_lines(bill(bill_line(), bill_line(**difference)))
    assert one.rpartition("-")[0] != other.rpartition("-")[0]


@pytest.mark.parametrize(
    "difference",
    [
        {"id": "line-99"}, {"id": None}, {"description": "Aufrufe"}, {"subtotal": Decimal(99)}, {"quantity": None},
        {"units": None}, {"unit": None}, {"sequence_number": 7},
    ],
    ids=lambda difference: next(iter(difference)),
)  # fmt: skip
def test_a_line_keeps_its_key_when_it_is_calculated_again(difference):
    ((one, _),) = keyed_lines(bill(bill_line()))
    ((other, _),) = keyed_lines(bill(bill_line(**difference)))
    assert one == other


few_lines = st.lists(
    st.builds(
        bill_line,
        st.sampled_from(["1", "1.0", "2", "10", "0.005", "0"]),
        pricing_id=st.sampled_from(["pricing-1", "pricing-2"]),
        segment=st.sampled_from([{}, {"region": "eu"}, {"region": "us", "tier": "1"}]),
        currency=st.sampled_from(["USD", "EUR"]),
        converted_subtotal=st.sampled_from([Decimal(1), Decimal("1.00"), Decimal(3), Decimal("0.004")]),
    ),
    max_size=7,
)


def calculated_again(lines: list[BillLine], order: random.Random) -> list[BillLine]:
    """The same result with other line ids, in another order, and segments written the other way round."""
    return [
        replace(line, id=f"again-{number}", segment=dict(reversed(line.segment.items())), sequence_number=None)
        for number, line in enumerate(order.sample(lines, len(lines)))
    ]


@given(few_lines, st.randoms(use_true_random=False))
def test_keys_and_amounts_survive_a_calculation_with_the_same_result(lines, order):
    def keys(lines: list[BillLine]) -> Counter[tuple[str, Decimal | None]]:
        return Counter((key, line.converted_subtotal) for key, line in keyed_lines(bill(*lines)))

    again = calculated_again(lines, order)
    assert keys(lines) == keys(again)
    assert max(Counter(key for key, _ in keyed_lines(bill(*lines))).values(), default=1) == 1
    first, second = plan_push(bill(*lines), around()), plan_push(bill(*again), around())
    assert Counter((line.key, line.whole_minor) for line in first.lines) == Counter(
        (line.key, line.whole_minor) for line in second.lines
    )
    assert first.total_minor == second.total_minor


@given(few_lines, st.randoms(use_true_random=False))
def test_the_hash_is_that_of_the_result_and_not_of_the_calculation(lines, order):
    once = bill(*lines)
    again = bill(
        *calculated_again(lines, order), version=9, last_calculated="later", approved_at="later", status="PENDING"
    )
    assert content_hash(once) == content_hash(again)


def test_an_amount_written_with_more_zeros_is_the_same_amount():
    assert content_hash(bill(bill_line("1"))) == content_hash(bill(bill_line("1.00")))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(bill(bill_line("10.01")), id="a cent more"),
        pytest.param(bill(bill_line("10.000000000000000000000000001")), id="the last of many digits"),
        pytest.param(bill(bill_line("-10.00")), id="the sign"),
        pytest.param(bill(), id="a line less"),
        pytest.param(bill(bill_line(), bill_line()), id="the same line twice"),
        pytest.param(bill(bill_line(), bill_line("0", pricing_id="x")), id="a line of nothing more"),
        pytest.param(bill(bill_line(pricing_id="x")), id="another pricing"),
        pytest.param(bill(bill_line(end=MAR)), id="another service period"),
        pytest.param(bill(bill_line(), currency="EUR"), id="another currency"),
        pytest.param(bill(bill_line(), account_id="account-2"), id="another account"),
        pytest.param(bill(bill_line(), end_date=date(2026, 3, 1)), id="another period"),
        pytest.param(bill(bill_line(), id="bill-2"), id="another bill"),
    ],
)
def test_the_hash_sees_what_the_money_depends_on(other):
    assert content_hash(bill(bill_line("10.00"))) != content_hash(other)


def test_a_plans_hash_says_what_would_be_sent_where():
    billed = bill(bill_line())
    plans = [
        plan_push(billed, around()),
        plan_push(billed, around(pending={SUBSCRIPTION: [invoice(id="draft_inv_2")]})),
        plan_push(billed, around(charge_prices={("Default", "*", "USD"): "other"})),
        plan_push(billed, around(sent={keyed_lines(billed)[0][0]: 400})),
        plan_push(bill(bill_line("11")), around()),
    ]
    assert len({plan.sha256 for plan in plans}) == len(plans)
    assert plan_push(billed, around()).sha256 == plans[0].sha256


def test_the_plan_is_written_out_in_major_units():
    written = as_json(plan_push(bill(bill_line("10.005"), bill_line("1")), around()))
    assert (written["total"], written["exact_total"]) == ("11.00", "11.005")
    assert [(line["amount"], line["sent_before"], line["to_add"]) for line in written["lines"]] == [
        ("10.00", "0.00", "10.00"),
        ("1.00", "0.00", "1.00"),
    ]
    assert json.loads(json.dumps(written)) == written


# --- whatever a bill holds ---

EDGES = [datetime.min.replace(tzinfo=UTC), DECEMBER, JAN, JAN + DAY, FEB, MAR, datetime.max.replace(tzinfo=UTC)]
moments = st.sampled_from(EDGES) | st.datetimes(timezones=st.just(UTC))
some_id = st.none() | st.sampled_from(["a", "b"])
plan_ids = st.none() | st.sampled_from([*PLANS.values(), "unknown"])
exact = st.sampled_from(
    [Decimal(text) for text in ("0", "-0", "10", "0.001", "0.005", "-3.5", "1e30", "1e-30", "-1e-30")]
) | (st.decimals(-(10**6), 10**6, places=5))
lines = st.builds(
    bill_line, exact,
    id=some_id, type=st.sampled_from(LINE_TYPES) | st.text(min_size=1, max_size=3), description=st.text(max_size=5),
    currency=st.sampled_from(["USD", "EUR", "", "\ud800"]), converted_subtotal=st.none() | exact,
    product_id=some_id, plan_id=plan_ids, plan_group_id=some_id, pricing_id=some_id, aggregation_id=some_id,
    compound_aggregation_id=some_id, charge_id=some_id, balance_id=some_id,
    child_account_id=st.sampled_from([None, None, None, "child"]),
    segment=st.dictionaries(st.text(max_size=2), st.text(max_size=2), max_size=2),
    start=st.none() | moments, end=st.none() | moments,
)  # fmt: skip
zones = st.sampled_from(
    [None, "", "UTC", "Europe/Berlin", "Asia/Tokyo", "+14:00", "-12:00", "GMT+1", "+99:99", "America", "/"]
)
days = st.none() | st.sampled_from([date(2026, 1, 1), date(2026, 2, 1), date.min, date.max]) | st.dates()
bills = st.builds(
    lambda lines, **fields: bill(*lines, **fields), st.lists(lines, max_size=5),
    currency=st.sampled_from(["USD", "USD", "JPY", "VND", "", "usd", "\ud800", "TOKENS"]),
    start_date=days, end_date=days, timezone=zones | st.text(max_size=8), total=st.none() | exact,
)  # fmt: skip
# Nothing is wrong with these but, now and then, what their lines add up to.
good_lines = st.builds(
    bill_line, st.decimals(0, 10**6, places=5), pricing_id=st.sampled_from(["a", "b", "c"]), plan_id=plan_ids,
    type=st.sampled_from(LINE_TYPES), segment=st.sampled_from([{}, {"region": "eu"}]),
)  # fmt: skip
good_bills = st.builds(
    lambda lines, total: bill(*lines, total=total), st.lists(good_lines, max_size=6), st.none() | st.just(Decimal(10))
)
account_plans = st.builds(
    current_plan, st.sampled_from([BASIC, PRO, ADDON]), st.sampled_from(EDGES[1:6]), st.none() | st.sampled_from(EDGES[3:]),
    subscription_id=st.sampled_from([SUBSCRIPTION, OTHER]),
)  # fmt: skip
invoices = st.builds(
    invoice, moments, st.none() | st.lists(st.builds(invoice_line, moments, moments), max_size=2),
    currency_code=st.sampled_from(["USD", "EUR"]), id=st.sampled_from(["inv-1", "inv-2"]), date=st.none() | moments,
)  # fmt: skip
policies = st.builds(
    Policies,
    max_charges=st.sampled_from([3, 500]),
    max_invoice_lines=st.sampled_from([3, 700]),
    exponents=st.sampled_from([{}, {"VND": 0}, {"TOKENS": 2}]),
    negative_lines=st.sampled_from(["net", "net", "promotional_credit", "park"]),
    negative_total=st.sampled_from(["park", "promotional_credit"]),
    late_bills=st.sampled_from(["park", "next_invoice"]),
    charge_bills=st.sampled_from(["late_bills", "next_invoice"]),
    group_above=st.sampled_from([0, 2, 500]),
)
surroundings = st.builds(
    Surroundings,
    charge_prices=st.dictionaries(
        st.tuples(
            st.sampled_from(CHARGE_ENTITIES), st.sampled_from(["a", "b", "USAGE", "*"]), st.sampled_from(["USD", "JPY"])
        ),
        st.just(CHARGE),
        max_size=4,
    ),
    account_plans=st.lists(account_plans, max_size=3),
    subscriptions=st.dictionaries(
        st.sampled_from([ACCOUNT, "child"]), st.lists(st.sampled_from([SUBSCRIPTION, OTHER]), max_size=2)
    ),
    pending=st.dictionaries(st.sampled_from([SUBSCRIPTION, OTHER]), st.lists(invoices, max_size=2)),
    sent=st.dictionaries(st.sampled_from(["gone-1", keyed_lines(bill(bill_line()))[0][0]]), st.integers(-500, 2000)),
    now=st.just(FEB),
    customers=st.sampled_from([{ACCOUNT: CUSTOMER}, {ACCOUNT: CUSTOMER, "child": "child-customer"}, {}]),
    named=st.dictionaries(
        st.sampled_from([("Account", ACCOUNT), ("Contract", "a")]), st.just(SUBSCRIPTION), max_size=2
    ),
    policies=policies,
)


@given(bills | good_bills, surroundings | st.just(around()))
def test_any_bill_is_planned_to_the_minor_unit_or_has_its_problems_named(billed: Bill, surroundings: Surroundings):
    subscriptions_billed(billed, surroundings)
    content_hash(billed)
    plan = plan_push(billed, surroundings)
    json.dumps(as_json(plan))
    if plan.problems:
        assert all(one.cause.code and one.cause.text and one.cause.next_step for one in plan.problems)
        return
    values = [line.subtotal if line.converted_subtotal is None else line.converted_subtotal for line in billed.lines]
    total = sum((Fraction(value) for value in values), Fraction(0)) * 10**plan.decimals
    if billed.total is None:
        assert plan.total_minor == round(total)
    else:
        assert plan.total_minor == round(Fraction(billed.total) * 10**plan.decimals)
    assert len(plan.lines) == len(billed.lines)
    assert sum(line.whole_minor for line in plan.lines) == plan.total_minor
    assert plan.to_send_minor + sum(surroundings.sent.values()) == plan.total_minor
    parts = Counter[str]()
    for charge in plan.charges:
        parts.update(dict(charge.parts))
    gone = set(surroundings.sent) - {line.key for line in plan.lines}
    assert {key: minor for key, minor in parts.items() if minor} == {
        **{line.key: line.open_minor for line in plan.lines if line.open_minor},
        **{key: -surroundings.sent[key] for key in gone if surroundings.sent[key]},
    }
    assert all(abs(line.whole_minor - Fraction(line.exact) * 10**plan.decimals) < 1 for line in plan.lines)
    for charge in plan.to_send:
        assert charge.amount_minor > 0
        assert charge.date_from < charge.date_to or charge.kind == "promotional_credit"
        if charge.kind == "charge_item":
            assert None not in (charge.item_price_id, charge.subscription_id, charge.invoice_id)
        else:
            assert charge.kind == "promotional_credit"
            assert charge.customer_id is not None


@given(st.lists(good_lines, max_size=6), st.lists(good_lines, max_size=6))
def test_of_a_bill_approved_twice_the_invoice_ends_up_with_the_second_result_or_it_parks(before, after):
    first = plan_push(bill(*before), around())
    second = plan_push(bill(*after), around(sent=sent(first)))
    if second.problems:
        assert codes(second) == ["less_than_sent"]
    else:
        assert sum(sent(first).values()) + second.to_send_minor == second.total_minor


@given(st.lists(good_lines, max_size=5), st.lists(good_lines, max_size=3))
def test_a_bill_that_only_gains_lines_never_parks_for_a_rounded_cent(before: list[BillLine], gained: list[BillLine]):
    known = {key.rpartition("-")[0] for key, _ in keyed_lines(bill(*before))}
    new = [line for line in gained if keyed_lines(bill(line))[0][0].rpartition("-")[0] not in known]
    first = plan_push(bill(*before), around())
    second = plan_push(bill(*before, *new), around(sent=sent(first)))
    assert second.problems == ()
    assert sum(sent(first).values()) + second.to_send_minor == second.total_minor


# ISO 4217's currencies that somebody can be billed in.
ISO_4217 = """
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY COP
CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR
ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN
MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD
SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG
"""
WITHOUT_DECIMALS = {"JPY", "KRW", "XAF", "XOF"}


@settings(max_examples=10, deadline=None)
@given(st.lists(st.decimals(0, 10**9, places=5), min_size=1, max_size=5), st.sampled_from([0, 2]))
def test_in_every_currency_what_is_sent_is_the_bill_to_chargebees_minor_unit(values: list[Decimal], said: int):
    for currency in ISO_4217.split():
        lines = [bill_line(one, currency=currency, pricing_id=str(number)) for number, one in enumerate(values)]
        there = {
            "charge_prices": {("Default", "*", currency): CHARGE},
            "pending": {SUBSCRIPTION: [invoice(currency_code=currency)]},
        }
        plan = plan_push(bill(*lines, currency=currency), around(**there))
        decimals = 0 if currency in WITHOUT_DECIMALS else 2
        if codes(plan) == ["currency"]:
            # Nobody knows its minor unit until a person has said it.
            decimals = said
            plan = plan_push(bill(*lines, currency=currency), around(exponents={currency: said}, **there))
        assert (codes(plan), plan.decimals) == ([], decimals)
        total = round(sum(map(Fraction, values)) * 10**decimals)
        assert sum(one.amount_minor for one in plan.to_send) == plan.total_minor == total
        assert all(abs(one.whole_minor - Fraction(one.exact) * 10**decimals) < 1 for one in plan.lines)
        assert Decimal(as_json(plan)["to_add"]) * 10**decimals == total


def test_an_invoice_that_has_not_come_is_waited_for_though_another_subscription_was_sent():
    first = plan_push(bill(bill_line("1.00")), around())
    more = bill(bill_line("1.00"), bill_line("2.00", pricing_id="pricing-2"))
    plan = plan_push(more, around(sent=sent(first), sent_for={"another"}, pending={}))
    assert [(problem.cause.code, problem.waits) for problem in plan.problems] == [("no_pending_invoice", True)]
