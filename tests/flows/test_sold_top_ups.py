"""Top-ups sold in Chargebee become credit in m3ter once, and are taken back once, whatever the events do."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from connector import handlers, jobs, pauses, syncs
from connector.access import OPERATOR
from connector.balances import drift, products, requests, sold
from connector.balances.products import Product
from connector.cli import main
from connector.clock import catch_up_events
from connector.errors import BadInput
from connector.mappings.pairs import BadMapping
from connector.models import AuditEntry, BalanceRequest, SoldTopUp
from connector.services import Services
from tests.flows.conftest import CALLS_PRICE, PRO, START, SUPPORT, World
from tests.flows.scripting import Script

pytestmark = pytest.mark.alternate_databases

Make = Callable[..., Services]
TOP_UP, EUROS = "prepaid-USD", "prepaid-EUR"
PAYLOADS = Path(__file__).parent.parent / "payloads" / "chargebee"


# The events that matter to top-ups alone.
OF_TOP_UPS = (
    "invoice_generated_with_backdating", "invoice_updated", "invoice_deleted", "payment_succeeded", "payment_refunded",
    "credit_note_created", "credit_note_created_with_backdating", "credit_note_updated", "credit_note_deleted",
)  # fmt: skip


@pytest.fixture
def shop(world: World) -> World:
    """A customer with an account, and a shop in which credit can be bought."""
    world.chargebee.create_item(id="prepaid", name="Prepaid credit", type="charge", item_family_id="saas")
    for price, currency in ((TOP_UP, "USD"), (EUROS, "EUR")):
        world.chargebee.create_item_price(
            id=price, name=price, item_id="prepaid", currency_code=currency, price=0, pricing_model="flat_fee"
        )
    world.m3ter.create_transaction_type("sold")
    world.sign_up()
    world.settle()
    sell(world)
    world.forget_calls()
    return world


def sell(world: World, item_price_id: str = TOP_UP, balance_code: str = "prepaid", **terms: Any) -> None:
    """Make the item price a top-up."""
    products.add(world.services, "default", Product(item_price_id, balance_code, **terms), who="ada")


def buy(world: World, *amounts: int, item_price_id: str = TOP_UP, customer_id: str = "acme", **how: Any) -> str:
    """An invoice of top-ups of so many cents, not paid yet; answers its id."""
    rows = [{"item_price_id": item_price_id, "unit_price": amount} for amount in amounts or (10_000,)]
    how.setdefault("currency_code", "USD")
    return str(world.chargebee.create_one_time_invoice(customer_id, item_prices=rows, **how)["id"])


def bought(world: World, *amounts: int, **how: Any) -> str:
    """The same, paid, heard of and credited."""
    invoice_id = buy(world, *amounts, **how)
    if world.chargebee.invoices[invoice_id]["status"] != "paid":
        world.chargebee.pay_invoice(invoice_id)
    world.settle()
    return invoice_id


def credits(world: World) -> list[Decimal]:
    """The amounts of all transactions that m3ter has, oldest first."""
    return [row["amount"] for row in world.m3ter.transactions.values()]


def held(world: World) -> Decimal:
    return sum(credits(world), Decimal(0))


def line_of(world: World, invoice_id: str, number: int = 0) -> str:
    return str(world.chargebee.invoices[invoice_id]["line_items"][number]["id"])


def give_back(world: World, invoice_id: str, amount: int, number: int = 0, kind: str = "refundable") -> str:
    """A credit note on one line of the invoice; answers its id."""
    row = {"reference_line_item_id": line_of(world, invoice_id, number), "amount": amount}
    return str(world.chargebee.create_credit_note(kind, invoice_id, line_items=[row])["id"])


def test_a_top_up_is_credited_when_its_invoice_is_paid(shop: World) -> None:
    invoice_id = buy(shop)
    shop.settle()
    assert (credits(shop), shop.sync("top_up", invoice_id).status) == ([], "succeeded")
    shop.chargebee.pay_invoice(invoice_id)
    shop.settle()
    [balance] = shop.m3ter.balances.values()
    assert (balance["code"], balance["currency"], balance["endDate"]) == ("prepaid/acme", "USD", "2100-01-01T00:00:00Z")
    [row] = shop.m3ter.transactions.values()
    reference = f"sold/{invoice_id}/{line_of(shop, invoice_id)}/1"
    assert (row["amount"], row["balanceId"]) == (100, balance["id"])
    assert row["description"] == f"Top-up sold in Chargebee, invoice {invoice_id} ref:{reference}"
    assert "paid" not in row
    assert shop.m3ter.charges == {}
    with shop.services.reading() as db:
        [request] = sold.requests_of(db, "default", invoice_id)
    assert (request.paid_by, request.status) == ("chargebee", "done")


def test_the_account_s_own_balance_of_that_code_is_taken(shop: World) -> None:
    account = shop.m3ter.account_by_code("acme")
    mine = shop.m3ter.create_balance(account["id"], "prepaid", START, datetime(2027, 1, 1, tzinfo=UTC))
    bought(shop)
    bought(shop, 5_000)
    assert [row["balanceId"] for row in shop.m3ter.transactions.values()] == [mine["id"]] * 2
    assert list(shop.m3ter.balances) == [mine["id"]]


def test_a_second_purchase_goes_on_the_same_balance(shop: World) -> None:
    bought(shop)
    bought(shop, 5_000)
    assert (credits(shop), len(shop.m3ter.balances)) == ([100, 50], 1)


def test_promotional_credits_pay_for_it(shop: World) -> None:
    shop.chargebee.add_promotional_credits("acme", 10_000, "a gift", currency_code="USD")
    invoice_id = bought(shop)
    assert shop.chargebee.invoices[invoice_id]["linked_payments"] == []
    assert credits(shop) == [100]


def test_refundable_credits_pay_for_it(shop: World) -> None:
    shop.chargebee.create_credit_note("refundable", customer_id="acme", total=10_000, currency_code="USD")
    bought(shop)
    assert credits(shop) == [100]


@pytest.mark.parametrize(("amount", "expected"), [("net", []), ("gross", [100])])
def test_an_invoice_with_nothing_due_is_paid(
    shop: World, make_services: Make, amount: str, expected: list[int]
) -> None:
    shop.services = make_services(TOP_UP_AMOUNT=amount)
    shop.chargebee.create_coupon("all", discount_percentage=100)
    bought(shop, coupon_ids=["all"])
    assert credits(shop) == expected


@pytest.mark.parametrize(("basis", "expected"), [(None, 90), ("net", 90), ("gross", 100)])
def test_a_discount_is_credited_where_the_product_says_so(shop: World, basis: str | None, expected: int) -> None:
    products.remove(shop.services, "default", TOP_UP, who="ada", reason="other terms")
    sell(shop, basis=basis)
    shop.chargebee.create_coupon("tenth", discount_percentage=10)
    bought(shop, coupon_ids=["tenth"])
    assert credits(shop) == [expected]


def test_an_invoice_that_is_paid_offline_days_later_is_credited_then(shop: World) -> None:
    invoice_id = buy(shop, net_term_days=30)
    shop.settle()
    shop.wait(days=9)
    shop.chargebee.record_payment(invoice_id, 4_000)
    shop.settle()
    assert credits(shop) == []
    shop.chargebee.record_payment(invoice_id, 6_000)
    shop.settle()
    [row] = shop.m3ter.transactions.values()
    assert (row["amount"], row["appliedDate"][:10]) == (100, "2026-01-10")


def test_credit_counts_since_it_was_paid_however_late_it_is_heard_of(shop: World) -> None:
    invoice_id = buy(shop)
    shop.chargebee.pay_invoice(invoice_id)
    late = shop.hold_back()
    shop.wait(days=3)
    for one in late:
        shop.send(*one)
    shop.work()
    assert [row["appliedDate"][:10] for row in shop.m3ter.transactions.values()] == ["2026-01-01"]


def test_an_event_that_shows_no_lines_is_acted_on_where_the_invoice_is_known(shop: World) -> None:
    invoice_id = bought(shop)
    shop.chargebee.refund_invoice(invoice_id)
    shop.hold_back()
    body = json.loads((PAYLOADS / "invoice_updated.json").read_bytes(), parse_float=str)
    body["content"]["invoice"] |= {"id": invoice_id, "line_items": []}
    shop.post("/webhooks/default/chargebee", json.dumps(body).encode())
    shop.work()
    assert credits(shop) == [100, -100]


def test_other_currency_is_credited_by_the_rate_and_says_what_was_paid(shop: World) -> None:
    sell(shop, EUROS, currency="USD", rate=Decimal("1.15"))
    bought(shop, 8_000, item_price_id=EUROS, currency_code="EUR")
    [row] = shop.m3ter.transactions.values()
    assert (row["amount"], row["paid"], row["currencyPaid"]) == (92, 80, "EUR")


def test_a_refund_in_parts_and_then_of_the_rest_takes_back_just_that(shop: World) -> None:
    invoice_id = bought(shop)
    for amount in (2_500, 1, 7_499):
        shop.chargebee.refund_invoice(invoice_id, amount)
        shop.settle()
    assert credits(shop) == [100, Decimal("-25.00"), Decimal("-0.01"), Decimal("-74.99")]
    assert held(shop) == 0


def test_what_is_given_back_before_anything_was_credited_is_never_credited(shop: World) -> None:
    invoice_id = buy(shop)
    shop.chargebee.pay_invoice(invoice_id)
    shop.chargebee.refund_invoice(invoice_id, 4_000)
    shop.settle()
    assert credits(shop) == [60]


def test_a_credit_note_on_one_line_lowers_that_line_only(shop: World) -> None:
    sell(shop, EUROS, "euros")
    invoice_id = bought(shop, 10_000, 5_000)
    give_back(shop, invoice_id, 5_000, number=1)
    shop.settle()
    with shop.services.reading() as db:
        first, second = (sold.credited(db, "default", invoice_id, line_of(shop, invoice_id, one)) for one in (0, 1))
    assert (first, second) == (100, 0)


def test_an_adjustment_before_payment_leaves_what_was_paid(shop: World) -> None:
    invoice_id = buy(shop)
    give_back(shop, invoice_id, 3_000, kind="adjustment")
    shop.chargebee.pay_invoice(invoice_id)
    shop.settle()
    assert credits(shop) == [70]


@pytest.mark.parametrize("undo", ["void_credit_note", "delete_credit_note"])
def test_a_credit_note_that_is_taken_back_gives_the_credit_again(shop: World, undo: str) -> None:
    invoice_id = bought(shop)
    note_id = give_back(shop, invoice_id, 4_000)
    shop.settle()
    assert held(shop) == 60
    getattr(shop.chargebee, undo)(note_id)
    shop.settle()
    assert credits(shop) == [100, -40, 40]


def test_an_invoice_that_is_voided_unpaid_was_never_credited(shop: World) -> None:
    invoice_id = buy(shop)
    shop.chargebee.void_invoice(invoice_id)
    shop.settle()
    assert (credits(shop), shop.sync("top_up", invoice_id).status) == ([], "succeeded")


@pytest.mark.parametrize("becomes", ["voided", "not_paid", "payment_due"])
def test_a_paid_invoice_that_is_paid_no_longer_loses_its_credit(shop: World, becomes: str) -> None:
    invoice_id = bought(shop)
    invoice = shop.chargebee.invoices[invoice_id]
    invoice["status"] = becomes
    shop.chargebee._changed(invoice, "invoice_updated")
    shop.settle()
    assert credits(shop) == [100, -100]


def test_a_deleted_invoice_loses_its_credit_and_one_that_is_nowhere_parks(shop: World) -> None:
    shop.chargebee.create_coupon("all", discount_percentage=100)
    products.remove(shop.services, "default", TOP_UP, who="ada", reason="other terms")
    sell(shop, basis="gross")
    gone, nowhere = (bought(shop, coupon_ids=["all"]) for _ in range(2))
    shop.chargebee.delete_invoice(gone)
    shop.settle()
    assert credits(shop) == [100, 100, -100]
    body = shop.chargebee.invoices.pop(nowhere)
    shop.chargebee._changed(body, "invoice_updated")
    shop.settle()
    assert shop.sync("top_up", nowhere).cause == "invoice_gone"


def test_events_twice_and_in_any_order_end_the_same(shop: World) -> None:
    invoice_id = buy(shop)
    shop.chargebee.pay_invoice(invoice_id)
    note_id = give_back(shop, invoice_id, 4_000)
    shop.chargebee.void_credit_note(note_id)
    shop.chargebee.refund_invoice(invoice_id, 1_500)
    deliveries = shop.hold_back() * 2
    for seed in range(5):
        random.Random(seed).shuffle(deliveries)
        for one in deliveries:
            shop.send(*one)
            shop.work()
    assert credits(shop) == [85]


def test_every_event_on_its_own_brings_the_whole_truth(shop: World) -> None:
    invoice_id = bought(shop)
    shop.chargebee.refund_invoice(invoice_id, 1_500)
    held_back = shop.hold_back()
    assert len(held_back) == 3
    for one in held_back:
        shop.send(*one)
        shop.work()
        assert credits(shop) == [100, -15]


def test_what_no_webhook_brings_is_caught_up(shop: World) -> None:
    invoice_id = buy(shop)
    shop.chargebee.pay_invoice(invoice_id)
    shop.chargebee.refund_invoice(invoice_id, 1_500)
    shop.hold_back()
    catch_up_events(shop.services)
    shop.work()
    assert credits(shop) == [85]


@pytest.mark.parametrize("kind", ["cut", "html", "truncated"])
def test_a_credit_whose_answer_never_came_is_there_once(shop: World, kind: str) -> None:
    shop.box.faults.order("m3ter", "create_balance_transaction", kind)
    invoice_id = bought(shop)
    shop.chargebee.refund_invoice(invoice_id, 1_500)
    shop.settle()
    shop.wait(minutes=3)
    shop.wait(minutes=3)
    assert sorted(credits(shop)) == [-15, 100]


@pytest.mark.parametrize("where", ["before the request", "after the call"])
def test_a_worker_that_dies_leaves_one_credit(shop: World, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    class Died(BaseException):
        pass

    def die(*_: Any, **__: Any) -> Any:
        raise Died

    bought(shop, 5_000)
    shop.chargebee.pay_invoice(invoice_id := buy(shop))
    shop.deliver()
    if where == "before the request":
        with monkeypatch.context() as patched, pytest.raises(Died):
            patched.setattr(requests, "_open_sync", die)
            run_all(shop, "top_up")
    else:
        run_all(shop, "top_up")
        with monkeypatch.context() as patched, pytest.raises(Died):
            patched.setattr(requests, "finish", die)
            run_all(shop, "balance_request")
    shop.wait(seconds=shop.services.settings.lease_seconds + 1)
    assert credits(shop) == [50, 100]
    assert shop.sync("top_up", invoice_id).status == "succeeded"


def run_all(world: World, kind: str) -> None:
    """Try each open sync of the kind once, events taken first."""
    jobs.dispatch(world.services)
    for one in world.syncs(kind=kind, status="pending"):
        syncs.attempt(world.services, one.id, handlers.KINDS)


def test_two_top_ups_on_one_invoice_are_two_credits(shop: World) -> None:
    sell(shop, EUROS, "unused")
    invoice_id = bought(shop, 10_000, 2_500)
    assert sorted(credits(shop)) == [25, 100]
    shop.chargebee.refund_invoice(invoice_id)
    shop.settle()
    assert sorted(credits(shop)) == [-100, -25, 25, 100]


def test_credit_that_expires_gets_a_balance_of_its_own(shop: World, make_services: Make) -> None:
    shop.services = make_services(M3TER_TIMEZONE="Europe/Berlin")
    products.remove(shop.services, "default", TOP_UP, who="ada", reason="other terms")
    sell(shop, balance_code="month", expires_after_months=1)
    shop.box.advance(to=datetime(2026, 1, 31, 23, 30, tzinfo=UTC))  # in Berlin it is February
    first, second = bought(shop), bought(shop, 5_000, 2_000)
    lines = [(first, 0), (second, 0), (second, 1)]
    codes = [f"month/{invoice}/{line_of(shop, invoice, number)}" for invoice, number in lines]
    assert [one["code"] for one in shop.m3ter.balances.values()] == codes
    assert {(one["startDate"], one["endDate"]) for one in shop.m3ter.balances.values()} == {
        ("2026-01-31T23:30:00Z", "2026-02-28T23:30:00Z")
    }
    shop.box.advance(to=datetime(2026, 3, 5, tzinfo=UTC))
    shop.chargebee.refund_invoice(first)
    shop.settle()
    rows = [row for row in shop.m3ter.transactions.values() if row["amount"] in (100, -100)]
    assert [(row["amount"], row["appliedDate"]) for row in rows] == [
        (100, "2026-01-31T23:30:00Z"), (-100, "2026-02-28T23:29:59Z"),
    ]  # fmt: skip


def test_a_customer_without_an_account_waits_and_goes_on_when_it_has_one(shop: World) -> None:
    shop.chargebee.create_customer(id="shy", company="Shy")
    shop.settle()
    assert shop.sync("customer", "shy").cause == "no_email"
    invoice_id = bought(shop, customer_id="shy")
    assert (shop.sync("top_up", invoice_id).cause, credits(shop)) == ("waiting_for_account", [])
    shop.chargebee.update_customer("shy", email="shy@example.test")
    shop.settle()
    assert (shop.sync("top_up", invoice_id).status, credits(shop)) == ("succeeded", [100])


def test_a_customer_that_nobody_has_heard_of_gets_its_account(shop: World) -> None:
    shop.chargebee.create_customer(id="older", company="Older", email="o@example.test")
    shop.hold_back()
    bought(shop, customer_id="older")
    assert credits(shop) == [100]


def test_a_customer_out_of_scope_is_left_to_others(shop: World, make_services: Make) -> None:
    shop.services = make_services(SCOPE_CUSTOM_FIELD="cf_metered=true")
    shop.chargebee.create_customer(id="other", email="o@example.test")
    invoice_id = bought(shop, customer_id="other")
    assert (shop.sync("top_up", invoice_id).cause, credits(shop)) == ("out_of_scope", [])


def test_an_invoice_without_a_top_up_costs_nothing(shop: World) -> None:
    invoice_id = bought(shop, item_price_id=CALLS_PRICE)
    shop.chargebee.refund_invoice(invoice_id, 500)
    shop.settle()
    assert (shop.syncs(kind="top_up"), shop.calls("chargebee"), shop.calls("m3ter")) == ([], [], [])


def test_a_pending_invoice_is_no_sale_until_it_is_closed_and_paid(shop: World) -> None:
    invoice_id = shop.renew()
    shop.chargebee.add_charge_item(invoice_id, TOP_UP, 10_000)
    shop.settle()
    assert shop.syncs(kind="top_up") == []
    final = shop.chargebee.close_invoice(invoice_id)["id"]
    shop.chargebee.pay_invoice(final)
    shop.settle()
    assert credits(shop) == [100]


def test_what_was_paid_before_the_top_up_was_set_up_is_left_to_whoever_credited_it(shop: World) -> None:
    shop.box.advance(to=datetime(2026, 1, 10, tzinfo=UTC))
    early = bought(shop, 8_000, item_price_id=EUROS, currency_code="EUR")
    shop.box.advance(to=datetime(2026, 1, 20, tzinfo=UTC))
    sell(shop, EUROS, "euros")
    shop.chargebee._changed(shop.chargebee.invoices[early], "invoice_updated")
    shop.settle()
    sync = shop.sync("top_up", early)
    assert (credits(shop), sync.status) == ([], "succeeded")
    assert f"was paid when {EUROS} was no top-up" in sync.text


def test_other_terms_hold_for_what_is_paid_from_then_on_however_late_it_is_heard_of(shop: World) -> None:
    early = buy(shop)
    shop.chargebee.pay_invoice(early)
    before = shop.hold_back()
    shop.box.advance(to=datetime(2026, 1, 20, tzinfo=UTC))
    products.remove(shop.services, "default", TOP_UP, who="ada", reason="a bonus from today on")
    sell(shop, rate=Decimal("1.5"))
    late = bought(shop)
    for one in before:
        shop.send(*one)
    shop.work()
    assert credits(shop) == [150, 100]
    for invoice_id in (early, late):
        shop.chargebee.refund_invoice(invoice_id)
    shop.settle()
    assert sorted(credits(shop)) == [-150, -100, 100, 150]


def test_a_top_up_that_was_removed_is_sold_no_more_and_still_taken_back(shop: World) -> None:
    invoice_id = bought(shop)
    shop.box.advance(to=datetime(2026, 1, 20, tzinfo=UTC))
    products.remove(shop.services, "default", TOP_UP, who="ada", reason="no longer sold")
    bought(shop)
    assert credits(shop) == [100]
    shop.chargebee.refund_invoice(invoice_id)
    shop.settle()
    assert credits(shop) == [100, -100]


def test_credit_that_is_spent_is_taken_back_all_the_same(shop: World) -> None:
    invoice_id = bought(shop)
    [balance_id] = shop.m3ter.balances
    shop.m3ter.add_transaction(balance_id, -80, description="drawn")
    shop.chargebee.refund_invoice(invoice_id)
    shop.settle()
    assert shop.m3ter.balances[balance_id]["amount"] == -80


def test_a_reversal_that_m3ter_refuses_parks_with_the_amounts(shop: World) -> None:
    invoice_id = bought(shop)
    shop.chargebee.refund_invoice(invoice_id)
    shop.box.faults.order("m3ter", "create_balance_transaction", "status", status=400)
    shop.settle()
    sync = shop.syncs(kind="balance_request", status="parked")[0]
    assert sync.cause == "debit_refused"
    assert "of -100.00 USD" in sync.text
    assert "credited 100.00 USD" in sync.text
    shop.chargebee._changed(shop.chargebee.invoices[invoice_id], "invoice_updated")
    shop.settle()
    assert credits(shop) == [100]  # what was asked for once is not asked for again
    shop.retry(sync.id)
    assert credits(shop) == [100, -100]


def test_a_balance_in_another_currency_parks(shop: World) -> None:
    account = shop.m3ter.account_by_code("acme")
    shop.m3ter.create_balance(account["id"], "prepaid", START, datetime(2027, 1, 1, tzinfo=UTC), currency="EUR")
    invoice_id = bought(shop)
    assert (shop.sync("top_up", invoice_id).cause, credits(shop)) == ("balance_currency", [])


def test_a_balance_that_ended_before_the_purchase_parks(shop: World) -> None:
    account = shop.m3ter.account_by_code("acme")
    shop.m3ter.create_balance(account["id"], "prepaid", START, datetime(2026, 1, 2, tzinfo=UTC))
    shop.box.advance(to=datetime(2026, 1, 5, tzinfo=UTC))
    assert shop.sync("top_up", bought(shop)).cause == "balance_ended"


def test_a_balance_that_somebody_deleted_parks(shop: World) -> None:
    invoice_id = bought(shop)
    shop.m3ter.balances.clear()
    shop.chargebee.refund_invoice(invoice_id)
    shop.settle()
    assert shop.sync("top_up", invoice_id).cause == "balance_missing"
    assert shop.sync("top_up", bought(shop)).cause == "balance_missing"


def test_shadow_mode_and_money_switched_off_ask_for_nothing(shop: World, make_services: Make) -> None:
    usual, shop.services = shop.services, make_services(SHADOW="true")
    text = shop.sync("top_up", bought(shop)).text
    assert "100.00 USD due, 0.00 USD credited" in text
    shop.services = usual
    with shop.services.transaction() as db:
        pauses.pause_by_hand(db, "default", "money", "restored", shop.services.now())
    assert shop.sync("top_up", bought(shop)).cause == "money_off"
    with shop.services.reading() as db:
        assert (db.scalars(select(BalanceRequest)).all(), db.scalars(select(SoldTopUp)).all()) == ([], [])


def test_what_chargebee_cannot_answer_is_tried_again(shop: World) -> None:
    shop.box.faults.order("chargebee", "list_credit_notes", "status", status=503, count=9)
    invoice_id = bought(shop)
    assert (shop.sync("top_up", invoice_id).status, credits(shop)) == ("pending", [])
    shop.box.faults.clear()
    shop.wait(minutes=5)
    assert credits(shop) == [100]


def test_sold_credit_is_no_drift(shop: World) -> None:
    invoice_id = bought(shop)
    shop.chargebee.refund_invoice(invoice_id, 1_500)
    shop.settle()
    [balance_id] = shop.m3ter.balances
    balance = shop.services.connection("default").m3ter.balance_billing.get_balance(balance_id)
    assert drift.check(shop.services, "default", balance) == []


def test_the_customer_pays_for_the_top_up_once_and_for_what_it_uses_not_again(shop: World) -> None:
    band = {"lowerLimit": 0, "fixedPrice": 0, "unitPrice": Decimal("0.05")}
    shop.m3ter.create_pricing(shop.ids["pro"], shop.ids["calls"], [band])
    sale = bought(shop)
    shop.use(calls=600, day=10)
    invoice_id = shop.renew()
    account = shop.m3ter.account_by_code("acme")
    [bill_id] = shop.m3ter.run_bill_job(account_ids=[account["id"]], bill_date="2026-02-01")["billIds"]
    shop.m3ter.approve(bill_id)
    lines = shop.m3ter.bills[bill_id]["lineItems"]
    drawn = {row["lineItemType"]: row["convertedSubtotal"] for row in lines if row["convertedSubtotal"]}
    assert drawn == {"USAGE": 30, "BALANCE_CONSUMED": -30}
    shop.poll()
    assert (shop.sync("bill", bill_id).status, shop.charges(invoice_id)) == ("succeeded", [])
    assert [(row["total"], row["amount_paid"]) for row in (shop.chargebee.invoices[sale],)] == [(10_000, 10_000)]
    [balance_id] = shop.m3ter.balances
    assert shop.m3ter.balances[balance_id]["amount"] == 70


def test_a_top_up_on_the_renewal_invoice_is_none_of_our_charges(shop: World) -> None:
    invoice_id = shop.renew()
    shop.chargebee.add_charge_item(invoice_id, TOP_UP, 10_000)
    shop.bill()
    shop.poll()
    assert shop.syncs(kind="bill")[-1].status == "succeeded"
    assert shop.charges(invoice_id) == [(TOP_UP, 10_000), (CALLS_PRICE, 1_000)]


@pytest.mark.parametrize("event_type", OF_TOP_UPS)
def test_each_event_of_a_sold_top_up_has_its_invoice_looked_at(shop: World, event_type: str) -> None:
    body = (PAYLOADS / f"{event_type}.json").read_bytes()
    content = json.loads(body, parse_float=Decimal)["content"]
    named = content["invoice"]["id"] if "invoice" in content else content["credit_note"]["reference_invoice_id"]
    if "invoice" not in content:
        with shop.services.transaction() as db:
            syncs.ask(db, connection="default", kind="top_up", subject=named, trigger="its sale", now=START)
    before = shop.syncs(kind="top_up")
    assert shop.post("/webhooks/default/chargebee", body) == 204
    jobs.dispatch(shop.services)
    assert [one.subject for one in shop.syncs(kind="top_up")] == [named]
    assert ("invoice" in content) == (before == [])
    shop.work()
    assert shop.sync("top_up", named).status == "succeeded"


# By command


@pytest.fixture
def connector(shop: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs `connector top-ups … --json` and answers its document."""
    monkeypatch.setattr("connector.cli.top_ups.wire", lambda: shop.services)

    def run(*words: str) -> Any:
        result = CliRunner().invoke(main, ["top-ups", *words, "--json"])
        assert result.exit_code in (0, 1), result.output
        return json.loads(result.stdout)

    return run


def test_script_sells_top_ups_and_brings_credit_to_what_is_due_as_it_was_shown(shop: World) -> None:
    script, one = Script(shop.services, OPERATOR), "/connections/default"
    path = f"{one}/top-up-products"
    terms = {"item_price_id": EUROS, "balance_code": "euros", "currency": "USD", "rate": "1.15", "basis": "gross"}
    assert script.post(path, **terms, dry_run=True)["product"]["rate"] == "1.15"
    assert len(script.get(path)["products"]) == 1
    script.post(path, **terms)
    assert "is a top-up already" in script.post(path, 422, **terms)["detail"]
    script.post(f"{path}/remove", item_price_id=EUROS, reason="no longer sold")
    script.post(f"{path}/remove", 422, item_price_id=EUROS, reason="again")
    assert [row["removed_at"] is None for row in script.get(path, removed="true")["products"]] == [False, True]
    invoice_id = buy(shop)
    shop.chargebee.pay_invoice(invoice_id)
    path = f"{one}/sold-top-ups/credit"
    shown = script.get(path, invoice=invoice_id)
    assert [(row["due"], row["credited"]) for row in shown["lines"]] == [("100.00", "0")]
    assert script.post(path, 409, invoice=invoice_id)["preview"] == shown
    assert script.post(path, invoice=invoice_id, seen=shown["seen"])["sync"]["kind"] == "top_up"
    shop.work()
    assert held(shop) == 100
    assert script.post(path, 409, invoice=invoice_id, seen=shown["seen"])["preview"]["lines"][0]["credited"] == "100.00"
    [sold] = script.get(f"{one}/sold-top-ups", customer="acme")["top_ups"]
    assert (sold["credited"], sold["invoice_id"]) == ("100.00", invoice_id)
    assert script.get(f"{one}/sold-top-ups", invoice="another")["top_ups"] == []
    assert script.call("GET", path, query_string={"invoice": "nowhere"}).status_code == 404


def test_products_are_added_listed_and_removed_by_command(shop: World, connector: Callable[..., Any]) -> None:
    words = (
        "products",
        "add",
        EUROS,
        "euros",
        "--currency",
        "USD",
        "--rate",
        "1.15",
        "--months",
        "12",
        "--basis",
        "gross",
    )
    assert connector(*words, "--dry-run")["added"] is False
    assert connector(*words)["product"]["rate"] == "1.15"
    assert [row["item_price_id"] for row in connector("products", "list")["products"]] == [EUROS, TOP_UP]
    assert "is a top-up already" in connector(*words)["error"]
    assert "not a number" in connector("products", "add", EUROS, "x", "--rate", "a lot")["error"]
    assert connector("products", "remove", EUROS, "--reason", "no longer sold")["removed"] is True
    assert "is no top-up" in connector("products", "remove", EUROS, "--reason", "again")["error"]
    assert [row["item_price_id"] for row in connector("products", "list", "--removed")["products"]] == [EUROS, TOP_UP]
    with shop.services.reading() as db:
        actions = [(row.action, row.subject) for row in db.scalars(select(AuditEntry).order_by(AuditEntry.id))]
    assert actions[-2:] == [("top-ups products add", EUROS), ("top-ups products remove", EUROS)]
    table = CliRunner().invoke(main, ["top-ups", "products", "list"]).stdout
    assert "1 USD for 1 USD" in table


def test_an_invoice_is_credited_by_command_where_its_events_were_lost(
    shop: World, connector: Callable[..., Any]
) -> None:
    invoice_id = buy(shop)
    shop.chargebee.pay_invoice(invoice_id)
    shop.hold_back()
    [line] = connector("credit", invoice_id, "--dry-run")["lines"]
    assert (line["due"], line["credited"], shop.syncs(kind="top_up")) == ("100.00", "0", [])
    for _ in range(2):
        assert connector("credit", invoice_id)["sync"]
        shop.work()
    assert credits(shop) == [100]
    [row] = connector("list", "--customer", "acme")["top_ups"]
    assert (row["invoice_id"], row["credited"], row["transactions"]) == (invoice_id, "100.00", 1)
    assert connector("list", "--invoice", "none")["top_ups"] == []
    assert "Chargebee has no invoice none" in connector("credit", "none")["error"]


# Setting it up


@pytest.mark.parametrize(
    ("product", "fault"),
    [
        pytest.param(Product("nothing", "x"), "Chargebee has no item price nothing", id="unknown price"),
        pytest.param(
            Product(EUROS, "x", currency="CHF"), "m3ter does not have the currency CHF", id="unknown currency"
        ),
        pytest.param(Product(EUROS, "x", currency="USD"), "how much USD is credited for 1 EUR", id="no rate"),
        pytest.param(Product(EUROS, "x", rate=Decimal(0)), "above zero", id="rate of nothing"),
        pytest.param(Product(EUROS, "x", expires_after_months=0), "1 to 1200 months", id="no time at all"),
        pytest.param(Product(EUROS, "x", basis="half"), "neither gross nor net", id="basis"),
        pytest.param(Product(EUROS, "two words"), "cannot be the code", id="code"),
        pytest.param(Product(EUROS, "x", transaction_type="gift"), "no transaction type 'gift'", id="type"),
        pytest.param(Product(TOP_UP, "x"), "is a top-up already", id="twice"),
        pytest.param(Product(EUROS, "prepaid"), "share its currency", id="code in another currency"),
        pytest.param(Product(CALLS_PRICE, "x"), "is mapped to a Aggregation", id="charge of ours"),
        pytest.param(Product(PRO, "x"), "is mapped to a Plan", id="metered plan"),
    ],
)
def test_what_cannot_be_a_top_up_is_refused(shop: World, product: Product, fault: str) -> None:
    with pytest.raises(BadInput, match=fault):
        products.add(shop.services, "default", product, who="ada")
    with shop.services.reading() as db:
        assert [row.item_price_id for row in products.listed(db, "default")] == [TOP_UP]


def test_a_top_up_cannot_be_mapped_to_a_plan_or_a_charge_while_it_is_sold(shop: World) -> None:
    with pytest.raises(BadMapping, match="is sold as a top-up"):
        shop.map("Aggregation", shop.ids["calls"], TOP_UP)
    sell(shop, SUPPORT)
    with pytest.raises(BadMapping, match="is sold as a top-up"):
        shop.map("Plan", shop.ids["pro"], SUPPORT)
    products.remove(shop.services, "default", TOP_UP, who="ada", reason="no longer sold")
    shop.map("Aggregation", shop.ids["calls"], TOP_UP)


def test_other_terms_may_not_reach_into_the_time_of_the_old_ones(shop: World) -> None:
    shop.box.advance(to=datetime(2026, 1, 20, tzinfo=UTC))
    products.remove(shop.services, "default", TOP_UP, who="ada", reason="other terms")
    with pytest.raises(BadInput, match="held until 2026-01-20"):
        sell(shop, sold_from=datetime(2026, 1, 19, tzinfo=UTC))
    sell(shop, sold_from=datetime(2026, 1, 20, tzinfo=UTC))


def test_a_dry_run_keeps_nothing(shop: World) -> None:
    products.add(shop.services, "default", Product(EUROS, "euros"), who="ada", dry_run=True)
    products.remove(shop.services, "default", TOP_UP, who="ada", reason="to see", dry_run=True)
    with shop.services.reading() as db:
        assert [row.item_price_id for row in products.listed(db, "default")] == [TOP_UP]
