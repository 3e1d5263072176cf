"""What balances and charges put on a m3ter bill reaches Chargebee like any line, and once."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from connector.bills import approvals
from connector.services import Services
from tests.flows.conftest import CALLS_PRICE, FEE_PRICE, SCALE, UNMAPPED, World

pytestmark = pytest.mark.alternate_databases

Make = Callable[..., Services]
FEB_1, MAR_1, JAN_15 = date(2026, 2, 1), date(2026, 3, 1), date(2026, 1, 15)
AHEAD = (datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC))
TO_THE_END = (datetime(2026, 1, 15, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))


@pytest.fixture
def prepaid(world: World) -> World:
    """A customer with an empty balance in dollars for the year; calls cost a cent, fees have a charge item."""
    world.m3ter.create_pricing(world.ids["pro"], world.ids["calls"], [(0, "0.01")])
    world.m3ter.create_transaction_type("top_up")
    world.map("LineItemType", "BALANCE_FEE", FEE_PRICE)
    world.map("LineItemType", "AD_HOC", "*", table="AdHoc", currency="USD")
    world.sign_up()
    world.settle()
    fill_balance(world, 0)
    return world


def account(world: World) -> str:
    return str(world.m3ter.account_by_code("acme")["id"])


def fill_balance(world: World, amount: int, **fields: Any) -> str:
    code = f"prepaid-{len(world.m3ter.balances)}"
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    balance_id = world.m3ter.create_balance(account(world), code, start, end, **fields)["id"]
    if amount:
        world.m3ter.add_transaction(balance_id, amount)
    return str(balance_id)


def charge(world: World, amount: Any = 50, day: date = FEB_1, period: Any = AHEAD, **fields: Any) -> str:
    """A charge on the balance, or with `balance_id=None` on the account; answers its id."""
    fields.setdefault("balance_id", next(iter(world.m3ter.balances)))
    code = fields.pop("code", f"charge-{len(world.m3ter.charges)}")
    made = world.m3ter.create_charge(account(world), code, amount, day, period=period, **fields)
    return str(made["id"])


def bills_of(world: World, day: date, **job: Any) -> dict[str, str]:
    """Run the bill job of the day and approve what comes of it; answers the bills' ids by frequency."""
    made = world.m3ter.run_bill_job([account(world)], day, **job)["billIds"]
    for bill_id in made:
        world.m3ter.approve(bill_id)
    return {world.m3ter.bills[bill_id]["billingFrequency"]: bill_id for bill_id in made}


def charge_bill(world: World, day: date = FEB_1) -> str:
    """The approved bill of the day's charges alone."""
    bill_id = bills_of(world, day, billingFrequency="AD_HOC")["AD_HOC"]
    world.poll()
    return bill_id


def state(world: World, bill_id: str) -> tuple[str, str | None]:
    row = world.sync("bill", bill_id)
    return row.status, row.cause


def everywhere(world: World) -> list[int]:
    """The amount of every charge of ours that Chargebee has, wherever it is."""
    lines = [line for invoice in world.chargebee.invoices.values() for line in invoice["line_items"]]
    charges = [*lines, *world.chargebee.unbilled_charges.values()]
    return sorted(line["amount"] for line in charges if line["entity_type"] in ("charge_item_price", "adhoc"))


# On the day of the renewal


@pytest.mark.parametrize("consolidated", [False, True])
def test_a_charge_in_advance_is_on_the_invoice_of_its_bill_date_with_the_usage(
    prepaid: World, consolidated: bool
) -> None:
    prepaid.m3ter.config["consolidateBills"] = consolidated
    prepaid.use(1000, 10)
    charge(prepaid)
    invoice_id = prepaid.renew()
    bills = bills_of(prepaid, FEB_1)
    assert len(bills) == (1 if consolidated else 2)
    prepaid.poll()
    assert {state(prepaid, bill_id) for bill_id in bills.values()} == {("succeeded", None)}
    assert sorted(prepaid.charges(invoice_id)) == [(CALLS_PRICE, 1000), (FEE_PRICE, 5000)]


def test_an_invoice_is_closed_only_when_the_charges_of_its_day_are_on_it_too(
    prepaid: World, make_services: Make
) -> None:
    prepaid.services = make_services(CLOSE_INVOICES="true")
    prepaid.use(1000, 10)
    charge(prepaid)
    charge(prepaid, 7, MAR_1, period=(AHEAD[0], TO_THE_END[1]))
    invoice_id = prepaid.renew()
    made = prepaid.m3ter.run_bill_job([account(prepaid)], FEB_1)["billIds"]
    by_frequency = {prepaid.m3ter.bills[one]["billingFrequency"]: one for one in made}
    prepaid.m3ter.approve(by_frequency["MONTHLY"])
    prepaid.poll()
    assert prepaid.chargebee.invoices[invoice_id]["status"] == "pending"
    prepaid.m3ter.approve(by_frequency["AD_HOC"])
    prepaid.poll()
    assert prepaid.chargebee.pending_invoices("sub-1") == []
    assert everywhere(prepaid) == [1000, 5000]


def test_a_charge_in_arrears_is_on_the_invoice_of_its_bill_date(prepaid: World) -> None:
    charge(prepaid, 30, period=(datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 9, tzinfo=UTC)))
    invoice_id = prepaid.renew()
    bill_id = charge_bill(prepaid)
    assert state(prepaid, bill_id) == ("succeeded", None)
    assert prepaid.charges(invoice_id) == [(FEE_PRICE, 3000)]


def test_what_is_charged_in_advance_is_no_billed_time_of_a_plan(prepaid: World) -> None:
    charge(prepaid, 50, JAN_15, TO_THE_END)
    prepaid.box.advance(to=datetime(2026, 1, 15, 9, tzinfo=UTC))
    assert state(prepaid, charge_bill(prepaid, JAN_15)) == ("succeeded", None)
    prepaid.box.advance(to=datetime(2026, 1, 20, tzinfo=UTC))
    prepaid.chargebee.update_subscription("sub-1", item_price_ids=[SCALE])
    prepaid.settle()
    assert prepaid.sync("subscription", "sub-1").status == "succeeded"
    assert [name for name, _, _ in prepaid.periods()] == ["pro", "scale"]


def test_charges_from_before_our_time_are_left_alone_however_far_they_reach(
    prepaid: World, make_services: Make
) -> None:
    prepaid.services = make_services(PUSH_BILLS_FROM="2026-02-01")
    charge(prepaid, 50, JAN_15, TO_THE_END)
    prepaid.box.advance(to=datetime(2026, 1, 15, 9, tzinfo=UTC))
    bill_id = charge_bill(prepaid, JAN_15)
    assert state(prepaid, bill_id) == ("succeeded", None)
    assert "left alone" in prepaid.sync("bill", bill_id).text
    assert everywhere(prepaid) == []


# On a day without an invoice


@pytest.mark.parametrize(
    ("settings", "at_once", "later"),
    [
        pytest.param({}, ("succeeded", None), ("succeeded", None), id="an unbilled charge where nothing is set"),
        pytest.param({"CHARGE_BILLS": "own_invoice"}, ("succeeded", None), ("succeeded", None), id="its own invoice"),
        pytest.param(
            {"CHARGE_BILLS": "next_invoice"}, ("waiting", "no_pending_invoice"), ("succeeded", None), id="the next one"
        ),
        pytest.param(
            {"CHARGE_BILLS": "late_bills"}, ("waiting", "no_pending_invoice"), ("parked", "period_mismatch"),
            id="as late bills, which park",
        ),
        pytest.param(
            {"CHARGE_BILLS": "late_bills", "LATE_BILLS": "next_invoice"}, ("waiting", "no_pending_invoice"),
            ("succeeded", None), id="as late bills, which go on the next one",
        ),
    ],
)  # fmt: skip
def test_a_bill_of_charges_in_the_middle_of_a_term(
    prepaid: World, make_services: Make, settings: dict[str, str], at_once: Any, later: Any
) -> None:
    prepaid.services = make_services(**settings)
    charge(prepaid, 50, JAN_15, TO_THE_END)
    prepaid.box.advance(to=datetime(2026, 1, 15, 9, tzinfo=UTC))
    bill_id = charge_bill(prepaid, JAN_15)
    assert state(prepaid, bill_id) == at_once
    assert everywhere(prepaid) == ([5000] if at_once[0] == "succeeded" else [])
    invoice_id = prepaid.renew()
    assert state(prepaid, bill_id) == later
    on_renewal = settings.get("CHARGE_BILLS") != "own_invoice" and later[0] == "succeeded"
    assert prepaid.charges(invoice_id) == ([(FEE_PRICE, 5000)] if on_renewal else [])
    prepaid.use(1000, 10)
    usage = bills_of(prepaid, FEB_1)["MONTHLY"]
    prepaid.poll()
    assert state(prepaid, usage) == ("succeeded", None), "what we put there ourselves is no stranger's"
    assert everywhere(prepaid) == ([1000, 5000] if later[0] == "succeeded" else [1000])


def test_a_charge_added_later_to_a_bill_that_waited_for_the_next_invoice_goes_there_too(
    prepaid: World, make_services: Make
) -> None:
    prepaid.services = make_services(CHARGE_BILLS="next_invoice")
    charge(prepaid, 50, JAN_15, TO_THE_END)
    prepaid.box.advance(to=datetime(2026, 1, 15, 9, tzinfo=UTC))
    bill_id = charge_bill(prepaid, JAN_15)
    invoice_id = prepaid.renew()
    charge(prepaid, 20, JAN_15, TO_THE_END)
    assert charge_bill(prepaid, JAN_15) == bill_id
    assert state(prepaid, bill_id) == ("succeeded", None)
    assert sorted(prepaid.charges(invoice_id)) == [(FEE_PRICE, 2000), (FEE_PRICE, 5000)]


def test_an_account_without_a_plan_is_billed_on_the_subscription_that_is_named(prepaid: World) -> None:
    prepaid.map("NotMetered", "*", UNMAPPED)
    prepaid.sign_up("plain", "sub-plain", items=(UNMAPPED,))
    plain = prepaid.m3ter.create_account("plain")
    prepaid.settle()
    prepaid.map("Account", plain["id"], "plain", table="Customer")
    prepaid.sign_up("plain", "sub-other", items=(UNMAPPED,))
    prepaid.settle()
    prepaid.m3ter.create_charge(plain["id"], "setup", 80, JAN_15, period=TO_THE_END)
    prepaid.box.advance(to=datetime(2026, 1, 15, 9, tzinfo=UTC))
    [bill_id] = prepaid.m3ter.run_bill_job([plain["id"]], JAN_15)["billIds"]
    prepaid.m3ter.approve(bill_id)
    prepaid.poll()
    assert state(prepaid, bill_id) == ("parked", "ambiguous_subscription")
    prepaid.map("Account", plain["id"], "sub-plain", table="Subscription")
    prepaid.work()
    assert state(prepaid, bill_id) == ("succeeded", None)
    [waiting] = prepaid.chargebee.unbilled_charges.values()
    assert (waiting["subscription_id"], waiting["description"], waiting["amount"]) == ("sub-plain", "setup", 8000)


# Charges on the account


def test_a_charge_by_units_is_charged_in_whole(prepaid: World) -> None:
    charge(prepaid, None, balance_id=None, code="seats", units=Decimal(3), unitPrice=Decimal("12.345"))
    invoice_id = prepaid.renew()
    assert state(prepaid, charge_bill(prepaid)) == ("succeeded", None)
    lines = prepaid.chargebee.invoices[invoice_id]["line_items"]
    # 3 x 12.345 = 37.035, to the even cent 37.04
    assert [(line["description"], line["amount"]) for line in lines if line["entity_type"] == "adhoc"] == [
        ("seats", 3704)
    ]


@pytest.mark.parametrize(
    ("amounts", "settings", "expected", "charged"),
    [
        pytest.param((50, -20), {}, ("succeeded", None), [3000], id="taken off another charge"),
        pytest.param((50, -50), {}, ("succeeded", None), [], id="taken off to nothing"),
        pytest.param((-20,), {}, ("parked", "negative_total"), [], id="more than there is"),
        pytest.param((50, -20), {"NEGATIVE_LINES": "park"}, ("parked", "negative_line"), [], id="not taken off"),
        pytest.param(
            (-20,), {"NEGATIVE_TOTAL": "promotional_credit"}, ("succeeded", None), [], id="given as a credit"
        ),
    ],
)  # fmt: skip
def test_a_negative_charge_goes_the_way_of_negative_lines(
    prepaid: World, make_services: Make, amounts: Any, settings: dict[str, str], expected: Any, charged: list[int]
) -> None:
    prepaid.services = make_services(**settings)
    for amount in amounts:
        charge(prepaid, amount, balance_id=None)
    prepaid.renew()
    assert state(prepaid, charge_bill(prepaid)) == expected
    assert everywhere(prepaid) == charged
    given = [credit["amount"] for credit in prepaid.chargebee.promotional_credits.values()]
    assert given == ([2000] if "NEGATIVE_TOTAL" in settings else [])


def test_a_charge_in_another_currency_is_converted_by_the_organizations_rate(prepaid: World) -> None:
    prepaid.m3ter.config["currencyConversions"] = [{"from": "EUR", "to": "USD", "multiplier": Decimal("1.1")}]
    charge(prepaid, 40, currency="EUR")
    invoice_id = prepaid.renew()
    assert state(prepaid, charge_bill(prepaid)) == ("succeeded", None)
    assert prepaid.charges(invoice_id) == [(FEE_PRICE, 4400)]


def test_without_a_rate_there_is_no_bill_or_it_parks(prepaid: World) -> None:
    charge(prepaid, 40, currency="EUR")
    prepaid.renew()
    job = {"billingFrequency": "AD_HOC"}
    assert prepaid.m3ter.run_bill_job([account(prepaid)], FEB_1, **job)["billIds"] == []
    bill_id = prepaid.bill({"lineItemType": "BALANCE_FEE", "currency": "EUR"})
    bill = prepaid.m3ter.bills[bill_id]
    del bill["billTotal"], bill["lineItems"][-1]["convertedSubtotal"]
    prepaid.poll()
    assert state(prepaid, bill_id) == ("parked", "no_converted_amount")
    sync = prepaid.sync("bill", bill_id)
    assert "is in EUR, the bill in USD" in sync.text
    assert sync.next_step == "Set the conversion rate in m3ter and calculate the bill again."


# What the balance pays


def test_a_month_that_the_balance_pays_in_whole_sends_nothing_and_has_its_receipt(prepaid: World) -> None:
    fill_balance(prepaid, 500)
    prepaid.use(1000, 10)
    invoice_id = prepaid.renew()
    bill_id = bills_of(prepaid, FEB_1)["MONTHLY"]
    prepaid.poll()
    assert state(prepaid, bill_id) == ("succeeded", None)
    assert prepaid.charges(invoice_id) == []
    [receipt] = prepaid.receipts()
    assert (receipt["bill_total"], receipt["invoice_total_added"], receipt["equal"]) == ("0.00", "0.00", True)
    assert [
        (line["line_type"], line["amount"], [(one["kind"], one["amount"], one["of"]) for one in line["charges"]])
        for line in receipt["lines"]
    ] == [
        ("USAGE", "10.00", [("nothing", "10.00", "0.00")]),
        ("BALANCE_CONSUMED", "-10.00", [("nothing", "-10.00", "0.00")]),
    ]


@pytest.mark.parametrize("accounted", [False, True], ids=["no product", "a product for fees and draw-down"])
def test_what_the_balance_pays_is_taken_off_usage_and_never_off_the_fee_for_the_balance(
    prepaid: World, accounted: bool
) -> None:
    prepaid.m3ter.config["consolidateBills"] = True
    money = prepaid.m3ter.create_product("money")["id"] if accounted else None
    products = {"consumptionsAccountingProductId": money, "feesAccountingProductId": money} if accounted else {}
    balance_id = fill_balance(prepaid, 6, overageSurchargePercent=10, **products)
    prepaid.map("LineItemType", "OVERAGE_SURCHARGE", FEE_PRICE)
    charge(prepaid, 50, balance_id=balance_id)
    prepaid.use(1000, 10)
    invoice_id = prepaid.renew()
    bills_of(prepaid, FEB_1)
    prepaid.poll()
    # 10.00 of usage less the 6.00 in the balance; 10 % of the 4.00 beyond it; the top-up of 50.00 in whole
    assert sorted(prepaid.charges(invoice_id)) == [(CALLS_PRICE, 400), (FEE_PRICE, 40), (FEE_PRICE, 5000)]


# What a fee becomes in Chargebee


def test_a_fee_goes_by_the_product_for_fees_before_its_type(prepaid: World) -> None:
    product_id = prepaid.m3ter.create_product("credit")["id"]
    balance_id = fill_balance(prepaid, 0, feesAccountingProductId=product_id)
    prepaid.map("Product", product_id, CALLS_PRICE)
    charge(prepaid, 10)
    charge(prepaid, 20, balance_id=balance_id)
    invoice_id = prepaid.renew()
    assert state(prepaid, charge_bill(prepaid)) == ("succeeded", None)
    assert sorted(prepaid.charges(invoice_id)) == [(CALLS_PRICE, 2000), (FEE_PRICE, 1000)]


def test_a_fee_that_is_mapped_to_nothing_parks_with_the_command_and_goes_on_once_it_is(world: World) -> None:
    world.sign_up()
    world.settle()
    fill_balance(world, 0)
    charge(world)
    invoice_id = world.renew()
    bill_id = charge_bill(world)
    assert state(world, bill_id) == ("parked", "unmapped_line")
    step = str(world.sync("bill", bill_id).next_step)
    assert "`connector mappings add LineItemType BALANCE_FEE ItemPrice <charge item price> --currency USD`" in step
    world.map("LineItemType", "BALANCE_FEE", FEE_PRICE)
    world.work()
    assert state(world, bill_id) == ("succeeded", None)
    assert world.charges(invoice_id) == [(FEE_PRICE, 5000)]


def test_polling_twice_sends_a_charge_once(prepaid: World) -> None:
    charge(prepaid)
    invoice_id = prepaid.renew()
    bill_id = charge_bill(prepaid)
    prepaid.m3ter.recalculate(bill_id)
    prepaid.m3ter.approve(bill_id)
    approvals.poll(prepaid.services, "default")
    prepaid.work()
    assert prepaid.charges(invoice_id) == [(FEE_PRICE, 5000)]
