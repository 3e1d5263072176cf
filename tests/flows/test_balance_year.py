"""A year of a prepaid balance in euros for a subscription in dollars, worked by hand, and the same in m3ter and Chargebee.

One euro is 1.25 dollars, a call costs one cent, the subscription 99.00 a month. The balance lives from January to September;
50.00 EUR of what is left then may be used until the end of November. Usage beyond it costs 10 % more while it lives.

  day     top-up          usage of the month before  drawn from the balance            left      invoice of the day, USD
  Jan  1                                                                                  0.00   99.00 the subscription
  Jan 15   60 EUR  66 USD                                                                60.00   none: waits for February
  Feb  1  100 EUR 110 USD   40.00 USD                 40.00/1.25 =  32.00 EUR  28+100 = 128.00   99+66+110         = 275.00
  Mar  1  100 EUR 110 USD   80.00 USD                 80.00/1.25 =  64.00 EUR  64+100 = 164.00   99+110            = 209.00
  Apr  1  100 EUR 110 USD  250.00 USD      of 200.00 all it has  = 164.00 EUR   0+100 = 100.00   99+110+45+4.50    = 258.50
                            164 x 1.25 = 205.00 drawn, 45.00 beyond, 10 % of it 4.50
  May  1  100 EUR 110 USD   37.35 USD                 37.35/1.25 =  29.88 EUR 70.12+100 = 170.12 99+110            = 209.00
  Jun  1  100 EUR 110 USD    none                                                      = 270.12  99+110            = 209.00
  Jul  1  100 EUR 110 USD  100.00 USD                100.00/1.25 =  80.00 EUR 190.12+100= 290.12 99+110            = 209.00
  Jul 20  refund of 40 EUR for 44 USD                                                  = 250.12
  Aug  1  100 EUR 110 USD   62.50 USD                 62.50/1.25 =  50.00 EUR 200.12+100= 300.12 99+110-44         = 165.00
  Sep  1                   150.00 USD                150.00/1.25 = 120.00 EUR          = 180.12  99                =  99.00
  Oct  1                   112.50 USD                112.50/1.25 =  90.00 EUR          =  90.12  99                =  99.00
          the balance ends: 50.00 is carried over, 90.12 - 50.00 = 40.12 expires
  Nov  1                    25.00 USD                 25.00/1.25 =  20.00 EUR  carried =  30.00  99                =  99.00
  Dec  1                    12.50 USD                 12.50/1.25 =  10.00 EUR  carried =  20.00  99                =  99.00
          the rollover ends: these 20.00 cannot be used any more
  Jan  1                    30.00 USD                 nothing                                    99+30             = 129.00

Credited 60 + 7 x 100 = 760.00 EUR. Drawn in its own time 32+64+164+29.88+80+50+120+90 = 629.88, after that 20+10 = 30.00, and
40.00 refunded: 699.88 EUR out of it. It still shows 760.00 - 699.88 = 60.12 EUR, which are the 40.12 and the 20.00.
Invoiced 13 x 99 = 1287.00 for the subscription; 66 + 7 x 110 - 44 = 792.00 for top-ups; 45 + 4.50 + 30 = 79.50 for usage:
2,158.50 USD in all.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from connector.balances import asking, drafts, drift, top_ups
from connector.balances.top_ups import Price
from tests.flows.conftest import CALLS_PRICE, FEE_PRICE, PRO, World

pytestmark = pytest.mark.alternate_databases

SURCHARGE_PRICE = "m3ter-surcharge-USD"
USAGE, DRAWN, FEE, SURCHARGE = "USAGE", "BALANCE_CONSUMED", "BALANCE_FEE", "OVERAGE_SURCHARGE"
Lines = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Month:
    """The first of a month: what was used before it, and what the bills and the invoice of the day must have.

    `lines` are of the bills in dollars; `charged` what stands on the invoice beside the subscription, in cents.
    """

    day: date
    calls: int
    lines: Lines
    charged: tuple[tuple[str, int], ...]
    total: int


def first(month: int, year: int = 2026) -> date:
    return date(year, month, 1)


TOP_UP, PAID = (FEE, "110"), (FEE_PRICE, 11000)
YEAR = (
    Month(first(2), 4000, ((USAGE, "40"), (DRAWN, "-40"), TOP_UP), ((FEE_PRICE, 6600), PAID), 27500),
    Month(first(3), 8000, ((USAGE, "80"), (DRAWN, "-80"), TOP_UP), (PAID,), 20900),
    Month(
        first(4), 25000, ((USAGE, "250"), (DRAWN, "-205"), (SURCHARGE, "4.50"), TOP_UP),
        ((CALLS_PRICE, 4500), (SURCHARGE_PRICE, 450), PAID), 25850,
    ),
    Month(first(5), 3735, ((USAGE, "37.35"), (DRAWN, "-37.35"), TOP_UP), (PAID,), 20900),
    Month(first(6), 0, ((USAGE, "0"), TOP_UP), (PAID,), 20900),
    Month(first(7), 10000, ((USAGE, "100"), (DRAWN, "-100"), TOP_UP), (PAID,), 20900),
    Month(
        first(8), 6250, ((USAGE, "62.50"), (DRAWN, "-62.50"), TOP_UP, (FEE, "-44")), ((FEE_PRICE, 6600),), 16500
    ),
    Month(first(9), 15000, ((USAGE, "150"), (DRAWN, "-150")), (), 9900),
    Month(first(10), 11250, ((USAGE, "112.50"), (DRAWN, "-112.50")), (), 9900),
    Month(first(11), 2500, ((USAGE, "25"), (DRAWN, "-25")), (), 9900),
    Month(first(12), 1250, ((USAGE, "12.50"), (DRAWN, "-12.50")), (), 9900),
    Month(first(1, 2027), 3000, ((USAGE, "30"),), ((CALLS_PRICE, 3000),), 12900),
)  # fmt: skip
LEFT_ON = {
    first(2): "128", first(3): "164", first(4): "100", first(5): "170.12", first(6): "270.12", first(7): "290.12",
    first(8): "300.12", first(9): "180.12", first(10): "90.12", first(11): "70.12", first(12): "60.12",
    first(1, 2027): "60.12",
}  # fmt: skip
PAID_IN_ALL = 215850


def at(day: date, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


def prepared(world: World, *, consolidated: bool) -> str:
    """A customer, prices in dollars, and an empty balance in euros; answers its id."""
    m3ter = world.m3ter
    m3ter.config["currencyConversions"] = [{"from": "EUR", "to": "USD", "multiplier": Decimal("1.25")}]
    m3ter.config["consolidateBills"] = consolidated
    m3ter.create_pricing(world.ids["pro"], world.ids["calls"], [(0, "0.01")])
    type_id = m3ter.create_transaction_type("top_up")["id"]
    world.chargebee.create_item_price(
        id=SURCHARGE_PRICE, name="Surcharge", item_id="usage", currency_code="USD", price=0
    )
    world.map("LineItemType", FEE, FEE_PRICE)
    world.map("LineItemType", SURCHARGE, SURCHARGE_PRICE)
    world.sign_up()
    world.settle()
    account_id = m3ter.account_by_code("acme")["id"]
    asking.ask(
        world.services, "default",
        drafts.balance(
            account_id=account_id, code="prepaid", name="Prepaid", currency="EUR", start=at(first(1)), end=at(first(10)),
            rollover_end=at(first(12)), rollover_amount=Decimal(50), overage_percent=Decimal(10),
        ),
        who="ada",
    )  # fmt: skip
    world.work()
    [balance] = m3ter.balances.values()
    made = billing(world).get_balance(balance["id"])
    monthly = top_ups.scheduled(
        made, reference="monthly", credit=Decimal(100), price=Price(Decimal(110), "USD"), type_id=type_id,
        start=at(first(2)), end=at(first(9)), first_day=first(2), frequency="MONTHLY",
    )  # fmt: skip
    asking.ask_top_up(world.services, "default", monthly, who="ada")
    world.work()
    return str(balance["id"])


def billing(world: World) -> Any:
    return world.services.connection("default").m3ter.balance_billing


def bill_the_day(world: World, day: date, **job: Any) -> list[dict[str, Any]]:
    """A person runs the bill job for the day and approves what comes of it; the connector does the rest."""
    account_id = world.m3ter.account_by_code("acme")["id"]
    job = billing(world).create_bill_job({"accountIds": [account_id], "billDate": day.isoformat(), **job})
    bills = [bill for bill in world.m3ter.bills.values() if bill["billDate"] == day.isoformat()]
    for bill in bills:
        world.m3ter.approve(bill["id"])
    world.poll()
    assert {world.sync("bill", bill["id"]).status for bill in bills} <= {"succeeded"}
    return bills


def top_up_in_january(world: World, balance_id: str) -> None:
    """60 EUR for 66 USD on a day on which no invoice is open: the charge waits in Chargebee for the next one."""
    world.box.advance(to=at(date(2026, 1, 15), 9))
    pair = top_ups.ad_hoc(
        billing(world).get_balance(balance_id), reference="PO-77", credit=Decimal(60), price=Price(Decimal(66), "USD"),
        type_id=next(iter(world.m3ter.transaction_types)), applied=world.services.now(), bill_date=date(2026, 1, 15),
    )  # fmt: skip
    asking.ask_top_up(world.services, "default", pair, who="ada")
    world.work()
    [bill] = bill_the_day(world, date(2026, 1, 15), billingFrequency="AD_HOC")
    assert lines_of([bill]) == [(FEE, Decimal(66))]
    [waiting] = world.chargebee.unbilled_charges.values()
    assert (waiting["entity_id"], waiting["amount"]) == (FEE_PRICE, 6600)
    assert world.m3ter.balances[balance_id]["amount"] == 60


def refund_in_july(world: World, balance_id: str) -> None:
    """40 EUR go out of the balance by the opposite transaction, and 44 USD come off the invoice of August."""
    world.box.advance(to=at(date(2026, 7, 20), 9))
    for draft in (
        drafts.charge(
            account_id=None, balance_id=balance_id, code="refund-PO-77", name="Refund of PO-77", currency="USD",
            start=at(date(2026, 7, 20)), end=at(first(8)), bill_date=first(8), amount=Decimal(-44),
        ),
        drafts.transaction(
            balance_id=balance_id, reference="refund-PO-77", amount=Decimal(-40), description="Refund of PO-77",
            type_id=next(iter(world.m3ter.transaction_types)),
        ),
    ):  # fmt: skip
        asking.ask(world.services, "default", draft, who="ada")
    world.work()
    assert world.m3ter.balances[balance_id]["amount"] == Decimal("250.12")


def lines_of(bills: list[dict[str, Any]]) -> list[tuple[str, Decimal]]:
    return sorted((line["lineItemType"], line["convertedSubtotal"]) for bill in bills for line in bill["lineItems"])


def invoice_of(world: World, day: date) -> dict[str, Any]:
    [pending] = world.chargebee.pending_invoices("sub-1")
    closed: dict[str, Any] = world.chargebee.close_invoice(pending["id"])
    world.settle()
    assert datetime.fromtimestamp(closed["date"], UTC).date() == day
    return closed


@pytest.mark.parametrize("consolidated", [False, True], ids=["a bill for charges", "one bill for all"])
def test_a_year_comes_to_what_is_worked_out_by_hand(world: World, consolidated: bool) -> None:
    balance_id = prepared(world, consolidated=consolidated)
    for month in YEAR:
        if month.day == first(2):
            top_up_in_january(world, balance_id)
        if month.day == first(8):
            refund_in_july(world, balance_id)
        before = month.day.month - 1 or 12
        if month.calls:
            world.use(month.calls, 16, month=before)
        world.box.advance(to=at(month.day, 0, 10))
        world.settle()
        bills = bill_the_day(world, month.day)
        assert lines_of(bills) == sorted((kind, Decimal(amount)) for kind, amount in month.lines), month.day
        fees = any(kind == FEE for kind, _ in month.lines)
        assert len(bills) == (2 if fees and not consolidated else 1)
        assert world.m3ter.balances[balance_id]["amount"] == Decimal(LEFT_ON[month.day]), month.day
        invoice = invoice_of(world, month.day)
        assert sorted(world.charges(invoice["id"])) == sorted(month.charged), month.day
        assert [line["amount"] for line in invoice["line_items"] if line["entity_id"] == PRO] == [9900]
        assert invoice["total"] == month.total, month.day

    summary = billing(world).transaction_summary(balance_id)
    assert summary.total_credit == Decimal(760)
    assert summary.total_debit == Decimal("699.88")
    assert summary.initial_credit == Decimal(60)
    assert summary.consumed == Decimal("629.88")
    assert summary.rollover_consumed == Decimal(30)
    assert summary.expired == Decimal("40.12")
    invoices = [one for one in world.chargebee.invoices.values() if one["status"] != "pending"]
    assert len(invoices) == 13
    assert sum(one["total"] for one in invoices) == PAID_IN_ALL
    assert not world.chargebee.unbilled_charges
    assert all(receipt["equal"] for receipt in world.receipts())
    assert drift.check(world.services, "default", billing(world).get_balance(balance_id)) == []
    assert {sync.status for sync in world.syncs()} == {"succeeded"}
