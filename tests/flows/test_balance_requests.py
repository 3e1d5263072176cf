"""What is asked of Balance Billing is made once, whatever happens on the way."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from connector import handlers, pauses, syncs
from connector.balances import drafts, drift, requests, top_ups
from connector.balances.drafts import Draft, located
from connector.balances.top_ups import Price
from connector.clients.m3ter_balance_objects import Balance
from connector.errors import BadInput
from connector.models import BalanceRequest
from tests.flows.conftest import START, World

YEAR_END = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.fixture
def balance(world: World) -> Balance:
    """An empty balance of a customer, in dollars, for the year."""
    world.sign_up()
    world.settle()
    account = world.m3ter.account_by_code("acme")
    world.m3ter.create_transaction_type("top_up")
    made = world.m3ter.create_balance(account["id"], "prepaid", START, YEAR_END)
    return balances(world).get_balance(made["id"])


def balances(world: World) -> Any:
    return world.services.connection("default").m3ter.balance_billing


def type_id(world: World) -> str:
    return next(iter(world.m3ter.transaction_types))


def credit(world: World, balance: Balance, amount: str = "200", reference: str = "PO-77") -> Draft:
    draft = drafts.transaction(
        balance_id=balance.id, reference=reference, amount=Decimal(amount), type_id=type_id(world), description="Top-up"
    )
    return located(draft, balance)


def ask(world: World, draft: Draft, **how: Any) -> int:
    """Ask for it as a person does; answers the request's id."""
    with world.services.transaction() as db:
        return requests.ask(db, "default", draft, made_by="ada", now=world.services.now(), **how).request.id


def top_up(world: World, balance: Balance, reference: str = "PO-77", price: Price | None = None) -> None:
    pair = top_ups.ad_hoc(
        balance, reference=reference, credit=Decimal(200), price=price, type_id=type_id(world),
        applied=world.services.now(), bill_date=date(2026, 2, 1),
    )  # fmt: skip
    with world.services.transaction() as db:
        top_ups.ask(db, "default", pair, made_by="ada", now=world.services.now())


def request(world: World, request_id: int) -> BalanceRequest:
    with world.services.reading() as db:
        return db.get_one(BalanceRequest, request_id)


def standing(world: World) -> list[tuple[Any, str]]:
    """Amount and description of every transaction that m3ter has."""
    return [(row["amount"], row["description"]) for row in world.m3ter.transactions.values()]


def posts(world: World, operation: str) -> int:
    return len(world.calls("m3ter", operation))


def test_a_transaction_is_made_once_with_its_reference(world: World, balance: Balance) -> None:
    asked = ask(world, credit(world, balance))
    world.work()
    assert standing(world) == [(Decimal(200), "Top-up ref:PO-77")]
    assert request(world, asked).status == "done"
    assert request(world, asked).m3ter_id in world.m3ter.transactions


def test_asking_twice_with_one_reference_makes_one(world: World, balance: Balance) -> None:
    first = ask(world, credit(world, balance))
    assert ask(world, credit(world, balance)) == first
    world.work()
    assert ask(world, credit(world, balance)) == first
    world.work()
    assert len(standing(world)) == 1


def test_a_reference_that_stands_for_something_else_is_refused(world: World, balance: Balance) -> None:
    ask(world, credit(world, balance))
    with pytest.raises(BadInput, match=r"PO-77 stands for another transaction already: .*200\.00 USD.*ada"):
        ask(world, credit(world, balance, "300"))
    world.work()
    assert standing(world) == [(Decimal(200), "Top-up ref:PO-77")]


def test_a_double_click_without_a_reference_is_refused(world: World, balance: Balance) -> None:
    ask(world, credit(world, balance, reference=requests.made_up_reference(1)))
    with pytest.raises(BadInput, match="the same was asked for at 00:00 UTC"):
        ask(world, credit(world, balance, reference=requests.made_up_reference(2)))
    ask(world, credit(world, balance, reference=requests.made_up_reference(3)), again=True)
    world.wait(minutes=11)
    ask(world, credit(world, balance, reference=requests.made_up_reference(4)))
    world.work()
    assert len(standing(world)) == 3


@pytest.mark.parametrize("kind", ["cut", "truncated", "html", "late"])
def test_an_answer_that_never_came_is_looked_up_before_anything_is_sent_again(
    world: World, balance: Balance, kind: str
) -> None:
    detail = {"seconds": 60} if kind == "late" else {}
    world.box.faults.order("m3ter", "create_balance_transaction", kind, **detail)
    asked = ask(world, credit(world, balance))
    world.work()
    assert world.sync("balance_request", str(asked)).cause == "settling"
    world.wait(seconds=119)
    assert posts(world, "create_balance_transaction") == 1
    world.wait(seconds=2)
    world.wait(seconds=121)
    assert len(standing(world)) == 1
    assert request(world, asked).status == "done"


def test_a_request_that_m3ter_never_got_is_sent_again(world: World, balance: Balance) -> None:
    world.box.faults.order("m3ter", "create_balance_transaction", "status", status=503)
    asked = ask(world, credit(world, balance))
    world.work()
    world.wait(seconds=121)
    assert len(standing(world)) == 1
    assert world.sync("balance_request", str(asked)).cause == "sent_again"
    world.wait(seconds=121)
    assert len(standing(world)) == 1
    assert (request(world, asked).found_by, request(world, asked).sends) == ("answer", 2)
    assert request(world, asked).m3ter_id in world.m3ter.transactions


def test_one_that_takes_effect_after_it_was_sent_again_parks_and_is_drift(world: World, balance: Balance) -> None:
    world.box.faults.order("m3ter", "create_balance_transaction", "late", seconds=121)
    asked = ask(world, credit(world, balance))
    world.work()
    world.box.faults.order("m3ter", "create_balance_transaction", "delay", seconds=0)
    world.wait(seconds=120)
    world.wait(seconds=5)
    assert world.sync("balance_request", str(asked)).cause == "sent_again"
    world.wait(seconds=120)
    sync = world.sync("balance_request", str(asked))
    assert (sync.status, sync.cause) == ("parked", "made_twice")
    assert f"`connector balances requests accept {asked}" in str(sync.next_step)
    [finding] = drift.check(world.services, "default", balance)
    assert (finding.code, len(standing(world))) == ("credited_twice", 2)


def test_what_an_earlier_database_made_is_found_before_the_first_send(world: World, balance: Balance) -> None:
    world.m3ter.add_transaction(balance.id, 200, description="by an earlier connector ref:PO-77")
    asked = ask(world, credit(world, balance))
    world.work()
    assert len(standing(world)) == 1
    assert request(world, asked).found_by == "look-up"


def test_another_amount_under_the_reference_parks(world: World, balance: Balance) -> None:
    world.m3ter.add_transaction(balance.id, 150, description="somebody else's ref:PO-77")
    asked = ask(world, credit(world, balance))
    world.work()
    sync = world.sync("balance_request", str(asked))
    assert (sync.status, sync.cause) == ("parked", "reference_taken")
    assert "differs in amount" in sync.text
    assert posts(world, "create_balance_transaction") == 0


def test_a_reference_that_only_begins_alike_is_another(world: World, balance: Balance) -> None:
    world.m3ter.add_transaction(balance.id, 200, description="Top-up ref:PO-771")
    ask(world, credit(world, balance))
    world.work()
    assert sorted(text for _, text in standing(world)) == ["Top-up ref:PO-77", "Top-up ref:PO-771"]


def test_two_under_one_reference_park_until_a_person_says_which_counts(world: World, balance: Balance) -> None:
    rows = [world.m3ter.add_transaction(balance.id, 200, description="x ref:PO-77") for _ in range(2)]
    asked = ask(world, credit(world, balance))
    world.work()
    assert world.sync("balance_request", str(asked)).cause == "made_twice"
    with world.services.transaction() as db:
        requests.accept(db, requests.get(db, "default", asked), rows[0]["id"], "ada", world.services.now())
    world.work()
    assert world.sync("balance_request", str(asked)).status == "succeeded"
    assert len(standing(world)) == 2


def test_a_refusal_leaves_the_request_as_it_was(world: World, balance: Balance) -> None:
    world.box.faults.order("m3ter", "create_balance_transaction", "status", status=400)
    asked = ask(world, credit(world, balance))
    world.work()
    assert (request(world, asked).status, world.sync("balance_request", str(asked)).status) == ("planned", "parked")
    world.retry(world.sync("balance_request", str(asked)).id)
    assert request(world, asked).status == "done"


def test_only_what_was_never_sent_can_be_withdrawn(world: World, balance: Balance) -> None:
    asked = ask(world, credit(world, balance))
    with world.services.transaction() as db:
        requests.withdraw(db, requests.get(db, "default", asked), "typed wrong", world.services.now())
    world.work()
    assert (standing(world), request(world, asked).status) == ([], "withdrawn")
    made = ask(world, credit(world, balance, reference="PO-78"))
    world.work()
    with (
        world.services.transaction() as db,
        pytest.raises(BadInput, match="is done: only what has never reached m3ter"),
    ):
        requests.withdraw(db, requests.get(db, "default", made), "too late", world.services.now())


def test_a_top_up_makes_its_charge_and_then_its_credit(world: World, balance: Balance) -> None:
    top_up(world, balance, price=Price(Decimal(160), "EUR"))
    world.work()
    [charge] = world.m3ter.charges.values()
    assert (charge["code"], charge["amount"], charge["currency"]) == ("PO-77", Decimal(160), "EUR")
    assert (charge["entityType"], charge["lineItemType"], charge["entityId"]) == ("BALANCE", "BALANCE_FEE", balance.id)
    [transaction] = world.m3ter.transactions.values()
    assert (transaction["amount"], transaction["paid"], transaction["currencyPaid"]) == (200, 160, "EUR")
    operations = [call.operation for call in world.calls("m3ter") if call.operation.startswith("create_")]
    assert operations[-2:] == ["create_charge", "create_balance_transaction"]
    assert drift.check(world.services, "default", balance) == []


def test_no_credit_is_given_while_its_charge_is_refused(world: World, balance: Balance) -> None:
    world.box.faults.order("m3ter", "create_charge", "status", status=400)
    top_up(world, balance, price=Price())
    world.work()
    charge, waiting = world.syncs(kind="balance_request")
    assert (charge.cause, waiting.cause) == ("rejected", "waiting_for_charge")
    assert standing(world) == []
    world.retry(charge.id)
    assert len(standing(world)) == 1


def test_a_free_credit_has_no_charge(world: World, balance: Balance) -> None:
    top_up(world, balance)
    world.work()
    assert (len(standing(world)), world.m3ter.charges) == (1, {})
    assert drift.check(world.services, "default", balance) == []


def test_halves_that_lose_each_other_are_drift(world: World, balance: Balance) -> None:
    top_up(world, balance, price=Price())
    world.work()
    [charge] = world.m3ter.charges.values()
    world.m3ter.delete_charge(charge["id"])
    codes = [one.code for one in drift.check(world.services, "default", balance)]
    assert codes == ["missing", "credit_without_charge"]


def test_what_others_book_is_shown_as_unknown(world: World, balance: Balance) -> None:
    world.m3ter.add_transaction(balance.id, 10, description="goodwill")
    world.m3ter.create_charge(balance.account_id, "by-hand", 10, "2026-02-01", balance_id=balance.id)
    codes = [one.code for one in drift.check(world.services, "default", balance)]
    assert codes == ["unknown_transaction", "unknown_charge"]


def test_schedules_of_a_top_up_run_in_one_rhythm(world: World, balance: Balance) -> None:
    pair = top_ups.scheduled(
        balance, reference="monthly", credit=Decimal(100), price=Price(Decimal(80), "EUR"), type_id=type_id(world),
        start=datetime(2026, 1, 15, tzinfo=UTC), end=datetime(2026, 4, 15, tzinfo=UTC), first_day=date(2026, 1, 15),
        frequency="MONTHLY",
    )  # fmt: skip
    with world.services.transaction() as db:
        top_ups.ask(db, "default", pair, made_by="ada", now=world.services.now())
    world.work()
    world.box.advance(to=datetime(2026, 5, 1, tzinfo=UTC))
    assert [row["appliedDate"][:10] for row in world.m3ter.transactions.values()] == [
        "2026-01-15", "2026-02-15", "2026-03-15",
    ]  # fmt: skip
    assert [(row["billDate"], row["amount"]) for row in world.m3ter.charges.values()] == [
        ("2026-01-15", 80), ("2026-02-15", 80), ("2026-03-15", 80),
    ]  # fmt: skip
    assert drift.check(world.services, "default", balance) == []


def test_a_worker_that_dies_right_after_the_call_leaves_one(
    world: World, balance: Balance, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ask(world, credit(world, balance))

    class Died(BaseException):
        pass

    def die(*_: Any) -> bool:
        raise Died

    with monkeypatch.context() as patched, pytest.raises(Died):
        patched.setattr(requests, "finish", die)
        syncs.attempt(world.services, world.sync("balance_request", str(asked)).id, handlers.KINDS)
    assert request(world, asked).status == "sending"
    world.wait(seconds=world.services.settings.lease_seconds + 1)
    assert (len(standing(world)), request(world, asked).found_by) == (1, "look-up")


def test_money_that_is_switched_off_sends_no_credit(world: World, balance: Balance) -> None:
    with world.services.transaction() as db:
        pauses.pause_by_hand(db, "default", "money", "restored", world.services.now())
    asked = ask(world, credit(world, balance))
    world.work()
    assert (standing(world), world.sync("balance_request", str(asked)).cause) == ([], "money_off")


def test_every_request_is_its_connections_own(world: World, balance: Balance) -> None:
    asked = ask(world, credit(world, balance))
    with world.services.reading() as db, pytest.raises(BadInput, match="there is no request"):
        requests.get(db, "other", asked)
    with world.services.reading() as db:
        assert requests.listed(db, "other") == []
        assert [row.id for row in db.scalars(select(BalanceRequest))] == [asked]


def test_the_time_that_is_left_to_settle_is_kept(world: World, balance: Balance) -> None:
    world.box.faults.order("m3ter", "create_balance_transaction", "cut")
    asked = ask(world, credit(world, balance))
    world.work()
    sync = world.sync("balance_request", str(asked))
    assert sync.next_attempt_at == START + timedelta(seconds=120)
