"""All of Balance Billing from a browser: asked for once, shown before it is sent, and nothing sent that cannot be."""

import html
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from connector.access import OPERATOR, VIEWER
from connector.balances import watches
from connector.models import AuditEntry, BalanceRequest
from tests.flows.browser import Browser, add_user, hidden, text_of
from tests.flows.conftest import START, World

pytestmark = pytest.mark.alternate_databases

YEAR_END = datetime(2027, 1, 1, tzinfo=UTC)


class Desk:
    """An operator at the balance `prepaid` of the customer acme, in dollars, for the year."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.sign_up()
        world.settle()
        self.account = world.m3ter.account_by_code("acme")["id"]
        self.type = world.m3ter.create_transaction_type("top_up")["id"]
        self.balance = world.m3ter.create_balance(self.account, "prepaid", START, YEAR_END)["id"]
        add_user(world.services, "olga", OPERATOR)
        self.browser = self.another_browser()
        world.forget_calls()

    def another_browser(self) -> Browser:
        browser = Browser(self.world.services)
        browser.log_in("olga")
        return browser

    @property
    def here(self) -> str:
        return f"/balances/default/{self.balance}"

    def fill(self, path: str, **fields: str) -> TestResponse:
        """Open the form, fill it in, and press its button."""
        page = self.browser.get(path)
        assert page.status_code == 200, text_of(page)
        return self.browser.post(path, hidden(page) | fields)

    def confirm(self, page: TestResponse, path: str, **fields: str) -> TestResponse:
        """Press the button of the page that shows what is about to happen."""
        assert page.status_code == 200, text_of(page)
        return self.browser.post(path, hidden(page) | fields)

    def ask(self, path: str, **fields: str) -> TestResponse:
        """Fill in the form, look, and confirm."""
        return self.confirm(self.fill(path, **fields), path)

    def writes(self) -> list[str]:
        """What m3ter was asked to change since the last `forget_calls`; a preview changes nothing."""
        calls = [call.operation for call in self.world.calls("m3ter") if call.method != "GET"]
        return [one for one in calls if not one.startswith("preview")]

    def requests(self) -> list[BalanceRequest]:
        with self.world.services.reading() as db:
            return list(db.scalars(select(BalanceRequest).order_by(BalanceRequest.id)))

    def transactions(self) -> list[tuple[Any, str]]:
        return [(one["amount"], one["description"]) for one in self.world.m3ter.transactions.values()]

    def charges(self) -> list[dict[str, Any]]:
        return list(self.world.m3ter.charges.values())


def fields(page: TestResponse) -> dict[str, str]:
    """What a browser sends of the page's text fields and choices."""
    found = re.findall(r'<input id="[^"]+" name="([^"]+)" value="([^"]*)"', page.text)
    chosen = re.findall(r'<select id="[^"]+" name="([^"]+)"[^>]*>(.*?)</select>', page.text, re.DOTALL)
    ticked = re.findall(r'<input type="checkbox" id="[^"]+" name="([^"]+)" value="yes" checked', page.text)
    listed = re.findall(r'<textarea id="[^"]+" name="([^"]+)"[^>]*>([^<]*)</textarea>', page.text)
    values = {name: html.unescape(value).replace("\n", "") for name, value in [*found, *listed]}
    for name, options in chosen:
        [*_, value] = ["", *re.findall(r'<option value="([^"]*)" selected', options)]
        values[name] = html.unescape(value)
    return values | dict.fromkeys(ticked, "yes")


@pytest.fixture
def desk(world: World) -> Desk:
    return Desk(world)


# What there is


def test_account_is_found_by_its_customer_or_its_id_and_shows_what_its_balances_hold(desk: Desk) -> None:
    desk.world.m3ter.add_transaction(desk.balance, 80)
    for account in ("acme", desk.account):
        page = text_of(desk.browser.get(f"/balances?account={account}"))
        assert "80.00 USD" in page
        assert "Customer acme" in page
    page = desk.browser.get("/balances?account=nobody")
    assert page.status_code == 200
    assert "neither a Chargebee customer" in text_of(page)
    assert desk.writes() == []


def test_list_of_all_balances_reads_one_list_however_many_there_are(desk: Desk) -> None:
    for number in range(5):
        desk.world.m3ter.create_balance(desk.account, f"other-{number}", START, YEAR_END)
    desk.world.forget_calls()
    page = text_of(desk.browser.get("/balances"))
    assert "other-4" in page
    assert [call.operation for call in desk.world.calls("m3ter")] == ["list_balances"]


def test_balance_shows_its_history_chart_charges_schedules_and_findings(desk: Desk) -> None:
    m3ter = desk.world.m3ter
    m3ter.add_transaction(desk.balance, 80, description="opening")
    m3ter.create_charge(desk.account, "fee-1", 12, "2026-02-01", currency="EUR", balance_id=desk.balance)
    m3ter.create_transaction_schedule(
        desk.balance, "monthly", 50, desk.type, START + timedelta(days=31), YEAR_END, frequency="MONTHLY"
    )
    page = desk.browser.get(desk.here)
    text = text_of(page)
    for said in (
        "80.00 USD",
        "opening",
        "12.00 EUR",
        "each month",
        "2026-02-01",
        "2026-12-01",
    ):
        assert said in text, said
    assert "was booked outside of the connector" in text
    assert "<svg" in page.text and "style=" not in page.text and "<style" not in page.text
    style = desk.browser.get("/balances/chart.css")
    assert (style.status_code, style.mimetype) == (200, "text/css")
    assert desk.writes() == []


def test_balance_is_shown_without_its_chart_when_a_preview_does_not_come(desk: Desk) -> None:
    desk.world.m3ter.create_transaction_schedule(
        desk.balance, "monthly", 50, desk.type, START + timedelta(days=31), YEAR_END, frequency="MONTHLY"
    )
    desk.world.box.faults.order("m3ter", "preview_transaction_schedule", "status", status=400)
    page = desk.browser.get(desk.here)
    assert page.status_code == 200
    assert "The chart cannot be drawn now" in text_of(page)


# Asking


def test_top_up_is_shown_whole_then_asked_for_and_made_by_a_worker(desk: Desk) -> None:
    path = f"{desk.here}/top-up"
    page = desk.fill(path, credit="200", price="190.50", currency="EUR", type=desk.type, reference="PO-77")
    text = text_of(page)
    assert "Charge PO-77 of 190.50 EUR" in text
    assert "Transaction PO-77 of 200.00 USD" in text
    assert text.index("Charge PO-77") < text.index("Transaction PO-77")
    assert "for the transaction ref:PO-77" in text
    assert (desk.requests(), desk.writes()) == ([], [])
    asked = desk.confirm(page, path)
    assert asked.status_code == 303
    assert desk.writes() == [], "the web process only keeps what is asked for"
    assert [(one.kind, one.made_by) for one in desk.requests()] == [("charge", "web:olga"), ("transaction", "web:olga")]
    assert any(queue.count for queue in desk.world.queues())
    where = asked.headers["Location"].removeprefix("/console")
    assert "planned" in text_of(desk.browser.get(where))
    desk.world.work()
    assert desk.transactions() == [(Decimal(200), "Top-up of prepaid ref:PO-77")]
    [charge] = desk.charges()
    assert (charge["amount"], charge["currency"], charge["billDate"]) == (Decimal("190.5"), "EUR", "2026-01-01")
    assert "done" in text_of(desk.browser.get(where))
    assert "charge of 190.50 EUR" in text_of(desk.browser.get(desk.here))


def test_free_top_up_has_one_half(desk: Desk) -> None:
    desk.ask(f"{desk.here}/top-up", credit="20", free="yes", type=desk.type)
    desk.world.work()
    assert len(desk.transactions()) == 1
    assert desk.charges() == []


def test_top_up_that_recurs_shows_its_runs_side_by_side_before_it_is_asked_for(desk: Desk) -> None:
    path = f"{desk.here}/top-up"
    page = desk.fill(
        path, credit="100", price="90", currency="EUR", type=desk.type, frequency="MONTHLY", start="2026-02-01",
        end="2026-05-01", in_arrears="yes", reference="plan-1",
    )  # fmt: skip
    text = text_of(page)
    assert "Credits: 3 in all, 300.00 USD together" in text
    assert "Charges: 3 in all, 270.00 EUR together" in text
    assert "2026-04-01 to 2026-05-01" in text
    desk.confirm(page, path)
    desk.world.work()
    [credits], [charges] = (
        list(rows.values()) for rows in (desk.world.m3ter.transaction_schedules, desk.world.m3ter.charge_schedules)
    )
    assert (credits["amount"], charges["amount"], charges["billInAdvance"]) == (Decimal(100), Decimal(90), False)


FORMS: dict[str, tuple[dict[str, str], str]] = {
    "transaction": ({"amount": "-12.50", "reference": "fix-1"}, "create_balance_transaction"),
    "transaction-schedule": (
        {"amount": "10", "description": "gift", "frequency": "WEEKLY", "end": "2026-03-01"},
        "create_transaction_schedule",
    ),
    "charge": ({"name": "Set-up", "currency": "EUR", "units": "3", "unit_price": "1.50"}, "create_charge"),
    "charge-schedule": (
        {"amount": "10", "currency": "USD", "description": "fee", "frequency": "MONTHLY", "end": "2026-04-01"},
        "create_charge_schedule",
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_a_balance_makes_its_thing_once(desk: Desk, form: str) -> None:
    given, operation = FORMS[form]
    page = desk.fill(f"{desk.here}/{form}", **({"type": desk.type} if "transaction" in form else {}), **given)
    if form.endswith("schedule"):
        assert "in all" in text_of(page), "what it would make is shown before"
    assert desk.confirm(page, f"{desk.here}/{form}").status_code == 303
    assert desk.writes() == []
    desk.world.work()
    assert desk.writes().count(operation) == 1
    [made] = desk.requests()
    assert made.status == "done"


def test_new_balance_and_a_charge_of_the_account_itself(desk: Desk) -> None:
    asked = desk.ask(
        "/balances/default/new", account="acme", code="second", currency="EUR", end="2026-07-01",
        line_item_types="USAGE, MINIMUM_SPEND",
    )  # fmt: skip
    assert asked.status_code == 303
    desk.ask(
        "/balances/default/charge", account="acme", name="Refund", currency="USD", amount="-5", end="2026-02-01"
    )  # fmt: skip
    desk.world.work()
    made = next(one for one in desk.world.m3ter.balances.values() if one["code"] == "second")
    assert (made["currency"], sorted(made["lineItemTypes"])) == ("EUR", ["MINIMUM_SPEND", "USAGE"])
    [charge] = desk.charges()
    assert (charge["amount"], charge["entityType"]) == (Decimal(-5), "AD_HOC")
    assert "-5.00 USD" in text_of(desk.browser.get("/balances?account=acme"))


BAD: list[Any] = [
    pytest.param("top-up", {"credit": "lots"}, "is not a number", id="no number"),
    pytest.param("top-up", {}, "Credit in USD is missing", id="nothing at all"),
    pytest.param("top-up", {"credit": "-5"}, "adds credit: give an amount above zero", id="a top-up below zero"),
    pytest.param("top-up", {"credit": "5", "currency": "EUR"}, "give the price, nothing is converted", id="two currencies"),
    pytest.param("top-up", {"credit": "5", "currency": "XXX"}, "is none of those that there are", id="no currency of m3ter's"),
    pytest.param("top-up", {"credit": "5", "free": "yes", "price": "3"}, "A free top-up has no price", id="free with a price"),
    pytest.param("top-up", {"credit": "5", "every": "2"}, "cannot be given for a single top-up", id="once, each so many"),
    pytest.param("top-up", {"credit": "5", "frequency": "MONTHLY", "bill_date": "2026-02-01"},
                 "cannot be given for one that recurs", id="again and again, on a day"),
    pytest.param("top-up", {"credit": "5", "free": "yes", "applied": "2028-01-01"}, "is outside of that",
                 id="after the balance's end"),
    pytest.param("top-up", {"credit": "5", "reference": "two words"}, "cannot be a reference", id="no reference"),
    pytest.param("transaction", {"amount": "0"}, "changes nothing", id="a transaction of nothing"),
    pytest.param("transaction", {"amount": "1", "paid": "1"}, "go together", id="paid without its currency"),
    pytest.param("transaction", {"amount": "1", "applied": "soon"}, "is neither a day", id="no day"),
    pytest.param("transaction", {"amount": "1", "type": "00000000-0000-0000-0000-000000000001"}, "none of those", id="no type"),
    pytest.param("transaction", {"amount": "1", "description": "x" * 501}, "more than can be taken", id="too long"),
    pytest.param("transaction", {"amount": "1", "description": "a\x00b"}, "cannot be printed", id="what no database takes"),
    pytest.param("transaction-schedule", {"amount": "-1", "description": "x", "frequency": "DAILY"},
                 "a schedule cannot book debits", id="a schedule of debits"),
    pytest.param("charge", {"name": "x", "currency": "USD", "amount": "1", "units": "2"}, "exclude each other",
                 id="amount and units"),
    pytest.param("charge", {"name": "x", "currency": "USD", "amount": "1", "start": "2026-03-01", "end": "2026-02-01"},
                 "is not after its start", id="end before start"),
    pytest.param("charge-schedule", {"currency": "USD", "description": "x", "frequency": "DAILY"}, "give an amount",
                 id="no price"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "given", "said"), BAD)
def test_what_cannot_be_comes_back_as_it_was_typed_with_every_fault_and_nothing_is_sent(
    desk: Desk, form: str, given: dict[str, str], said: str
) -> None:
    typed = ({"type": desk.type} if form not in ("charge", "charge-schedule") else {}) | given
    page = desk.fill(f"{desk.here}/{form}", **typed)
    assert page.status_code == 422
    assert said.lower() in text_of(page).lower()
    shown = fields(page)
    for name, value in typed.items():
        if "\x00" not in value and name not in ("type", "currency"):
            assert shown[name] == value
    assert (desk.requests(), desk.writes()) == ([], [])
    # Confirming it all the same is no way round.
    assert desk.browser.post(f"{desk.here}/{form}", hidden(page) | typed | {"seen": "x" * 64}).status_code == 422
    assert desk.requests() == []


def test_every_fault_is_said_at_its_field_at_once(desk: Desk) -> None:
    page = desk.fill(f"{desk.here}/transaction", amount="much", applied="soon", paid="some")
    assert {"amount", "applied", "paid", "type"} == set(re.findall(r'id="fault-([a-z_]+)"', page.text))
    assert page.text.count('aria-invalid="true"') == 4
    assert 'aria-describedby="hint-amount fault-amount"' in page.text
    assert "4 fields have to be mended" in text_of(page)


def test_person_may_go_back_from_the_last_page_and_change_what_they_typed(desk: Desk) -> None:
    path = f"{desk.here}/transaction"
    page = desk.fill(path, amount="5", type=desk.type, description="Über <5 €> & more")
    back = desk.confirm(page, path, change="yes")
    assert fields(back)["description"] == "Über <5 €> & more"
    again = desk.browser.post(path, hidden(back) | fields(back) | {"amount": "6"})
    desk.confirm(again, path)
    desk.world.work()
    assert [amount for amount, _ in desk.transactions()] == [Decimal(6)]


# Once


def test_form_that_is_sent_twice_is_one_request_one_after_the_other(desk: Desk) -> None:
    path = f"{desk.here}/transaction"
    page = desk.fill(path, amount="5", type=desk.type)
    sent = hidden(page)
    first, second = desk.browser.post(path, sent), desk.browser.post(path, sent)
    assert first.headers["Location"] == second.headers["Location"]
    desk.world.work()
    third = desk.browser.post(path, sent)
    assert third.headers["Location"] == first.headers["Location"]
    assert "Nothing is made twice" in text_of(desk.browser.get(third.headers["Location"].removeprefix("/console")))
    desk.world.work()
    assert len(desk.transactions()) == 1


def test_form_that_is_sent_twice_at_the_same_time_is_one_request(desk: Desk) -> None:
    path = f"{desk.here}/top-up"
    browsers = [desk.browser, desk.another_browser()]
    sent = hidden(desk.fill(path, credit="5", type=desk.type))
    browsers[1].get(path)
    answers = at_once([lambda browser=browser: browser.post(path, sent) for browser in browsers])
    assert [one.status_code for one in answers] == [303, 303], [text_of(one) for one in answers]
    assert len({one.headers["Location"] for one in answers}) == 1
    desk.world.work()
    assert (len(desk.transactions()), len(desk.charges())) == (1, 1)


def at_once(presses: list[Callable[[], TestResponse]]) -> list[TestResponse]:
    """The answers to what two people, or two hands of one, do at the same moment."""
    together, answers = threading.Barrier(len(presses)), []

    def press(one: Callable[[], TestResponse]) -> None:
        together.wait()
        answers.append(one())

    threads = [threading.Thread(target=press, args=(one,)) for one in presses]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return answers


def test_another_form_for_the_same_so_soon_is_taken_for_a_mistake_unless_it_has_its_own_reference(desk: Desk) -> None:
    path = f"{desk.here}/transaction"
    desk.ask(path, amount="5", type=desk.type)
    again = desk.ask(path, amount="5", type=desk.type)
    assert again.status_code == 422
    assert "The same was asked for at 00:00 UTC" in text_of(again)
    assert desk.ask(path, amount="5", type=desk.type, reference="second").status_code == 303
    desk.world.work()
    assert len(desk.transactions()) == 2


def test_what_was_shown_is_what_is_sent(desk: Desk) -> None:
    path = f"{desk.here}/transaction"
    sent = hidden(desk.fill(path, amount="5", type=desk.type))
    page = desk.browser.post(path, sent | {"amount": "500"})
    assert page.status_code == 200
    assert "This has changed since you looked" in text_of(page)
    assert desk.requests() == []


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param({"drawn_reference": "cbm-1"}, id="a reference that was not made up here"),
        pytest.param({"drawn_reference": "PO-77"}, id="a reference of a person's"),
        pytest.param({"drawn_at": "yesterday"}, id="no time"),
        pytest.param({"drawn_at": "2026-01-01T00:00:00"}, id="a time of nowhere"),
        pytest.param({"drawn_at": "2026-01-02T00:00:00+00:00"}, id="a time to come"),
        pytest.param({"drawn_at": "2025-12-30T00:00:00+00:00"}, id="a form of long ago"),
    ],
)
def test_hidden_fields_that_no_page_of_ours_drew_are_refused(desk: Desk, forged: dict[str, str]) -> None:
    path = f"{desk.here}/transaction"
    sent = hidden(desk.fill(path, amount="5", type=desk.type))
    assert desk.browser.post(path, sent | forged).status_code == 400
    assert desk.requests() == []


# Changing


def made(desk: Desk) -> dict[str, str]:
    """One of everything that can be changed, made in m3ter; its addresses by kind."""
    m3ter = desk.world.m3ter
    later = START + timedelta(days=31)
    charge = m3ter.create_charge(desk.account, "fee", 12, "2026-02-01", balance_id=desk.balance)["id"]
    credits = m3ter.create_transaction_schedule(desk.balance, "cs", 50, desk.type, later, YEAR_END, frequency="MONTHLY")
    fees = m3ter.create_charge_schedule(desk.balance, "fs", 20, later, YEAR_END)
    desk.world.forget_calls()
    return {
        "balance": f"/balances/default/balance/{desk.balance}",
        "charge": f"/balances/default/charges/{charge}",
        "credits": f"{desk.here}/transaction-schedules/{credits['id']}",
        "fees": f"{desk.here}/charge-schedules/{fees['id']}",
    }


@pytest.mark.parametrize(
    ("kind", "change", "call"),
    [
        pytest.param("balance", {"name": "Credit 2026", "rollover_end": "2027-02-01"}, "update_balance", id="balance"),
        pytest.param("charge", {"amount": "", "units": "2", "unit_price": "7"}, "update_charge", id="charge"),
        pytest.param("credits", {"amount": "75"}, "update_transaction_schedule", id="credits"),
        pytest.param("fees", {"frequency": "WEEKLY", "every": "2"}, "update_charge_schedule", id="fees"),
    ],
)
def test_change_sends_what_was_changed_and_shows_before_and_after(
    desk: Desk, kind: str, change: dict[str, str], call: str
) -> None:
    path = f"{made(desk)[kind]}/update"
    form = desk.browser.get(path)
    page = desk.browser.post(path, hidden(form) | fields(form) | change)
    assert page.status_code == 200, text_of(page)
    assert desk.writes() == []
    for value in change.values():
        assert value[:10] in text_of(page)
    assert desk.confirm(page, path).status_code == 303
    assert desk.writes() == [call]


@pytest.mark.parametrize("kind", ["balance", "charge", "credits", "fees"])
def test_form_of_a_change_that_is_sent_as_it_was_drawn_changes_nothing(desk: Desk, kind: str) -> None:
    path = f"{made(desk)[kind]}/update"
    for rows in (desk.world.m3ter.balances, desk.world.m3ter.charges):
        for row in rows.values():
            row["description"] = "  two\nlines "
    form = desk.browser.get(path)
    answer = desk.browser.post(path, hidden(form) | fields(form))
    assert answer.status_code == 303, text_of(answer)
    assert "nothing was changed" in text_of(desk.browser.get(answer.headers["Location"].removeprefix("/console")))
    assert desk.writes() == []


def test_change_of_what_somebody_else_has_changed_meanwhile_is_refused(desk: Desk) -> None:
    path = f"{made(desk)['charge']}/update"
    form = desk.browser.get(path)
    [charge] = desk.world.m3ter.charges.values()
    charge["version"] += 1
    page = desk.browser.post(path, hidden(form) | fields(form) | {"name": "mine"})
    assert page.status_code == 422
    assert "Somebody has changed it since" in text_of(page)


def test_bad_change_comes_back_with_what_was_typed(desk: Desk) -> None:
    path = f"{made(desk)['balance']}/update"
    form = desk.browser.get(path)
    page = desk.browser.post(path, hidden(form) | fields(form) | {"end": "2025-01-01", "name": "kept"})
    assert page.status_code == 422
    assert "is not after its start" in text_of(page)
    assert (fields(page)["end"], fields(page)["name"]) == ("2025-01-01", "kept")
    assert desk.writes() == []


@pytest.mark.parametrize("kind", ["credits", "fees"])
def test_schedule_ends_on_a_day_or_now(desk: Desk, kind: str) -> None:
    path = f"{made(desk)[kind]}/end"
    rows = {"credits": desk.world.m3ter.transaction_schedules, "fees": desk.world.m3ter.charge_schedules}[kind]
    page = desk.fill(path, at="2026-06-01")
    assert "2026-06-01T00:00:00Z" in text_of(page)
    assert desk.confirm(page, path).status_code == 303
    [schedule] = rows.values()
    assert "2026-06-01T00:00:00Z" in (schedule.get("endDate"), schedule.get("servicePeriodEndDate"))


def test_both_schedules_of_a_top_up_end_on_one_page(desk: Desk) -> None:
    desk.ask(
        f"{desk.here}/top-up", credit="100", price="80", currency="USD", type=desk.type, frequency="MONTHLY", every="1",
        end="2026-12-01", reference="monthly",
    )  # fmt: skip
    desk.world.work()
    m3ter = desk.world.m3ter
    [credit], [fee] = m3ter.transaction_schedules.values(), m3ter.charge_schedules.values()
    path = f"{desk.here}/transaction-schedules/{credit['id']}/end"
    assert "End the other half of its top-up with it" in text_of(desk.browser.get(path))
    alone = desk.fill(path, at="2026-06-01")
    assert "both can be ended as one" in text_of(alone)
    page = desk.fill(path, at="2026-06-01", both="yes")
    said = text_of(page)
    assert said.count("2026-06-01T00:00:00Z") == 2
    assert "This speaks against it" not in said
    assert "End both" in said
    desk.world.forget_calls()
    assert desk.confirm(page, path).status_code == 303
    assert sorted(desk.writes()) == ["update_charge_schedule", "update_transaction_schedule"]
    assert (credit["endDate"], fee["servicePeriodEndDate"]) == ("2026-06-01T00:00:00Z",) * 2
    told = text_of(desk.browser.get(desk.here))
    assert "Transaction schedule monthly of 100 at a time is ended." in told
    assert "Charge schedule monthly of 80.00 USD at a time is ended." in told
    assert "is so already" in text_of(
        desk.browser.get(desk.fill(path, at="2026-06-01", both="yes").headers["Location"].removeprefix("/console"))
    )


def test_schedule_that_is_half_of_no_top_up_does_not_end_with_another(desk: Desk) -> None:
    path = f"{made(desk)['credits']}/end"
    assert "other half" not in text_of(desk.browser.get(path))
    page = desk.fill(path, at="2026-06-01", both="yes")
    assert page.status_code == 422
    assert "is half of no top-up that was asked for here" in text_of(page)
    assert desk.writes() == []


@pytest.mark.parametrize("kind", ["charge", "credits", "fees"])
def test_deletion_needs_a_reason_and_is_kept_with_it(desk: Desk, kind: str) -> None:
    path = f"{made(desk)[kind]}/delete"
    page = desk.browser.get(path)
    assert desk.browser.post(path, hidden(page)).status_code == 422
    assert desk.writes() == []
    assert desk.browser.post(path, hidden(page) | {"reason": "typed wrong"}).status_code == 303
    assert len(desk.writes()) == 1
    assert desk.browser.get(path).status_code == 404
    with desk.world.services.reading() as db:
        said = [row.detail.get("reason") for row in db.scalars(select(AuditEntry)) if row.action.startswith("balances")]
    assert "typed wrong" in said


def test_deletion_of_a_balance_that_holds_credit_needs_every_objection_ticked(desk: Desk) -> None:
    desk.world.m3ter.add_transaction(desk.balance, 80)
    path = f"{made(desk)['balance']}/delete"
    page = desk.browser.get(path)
    assert "It holds 80.00 USD" in text_of(page)
    sent = hidden(page) | {"reason": "closed"}
    for despite in ([], ["holds_credit"], ["holds_credit", "has_schedules"]):
        refused = desk.browser.client.post(
            f"/console{path}", data=sent | {"csrf": desk.browser.token, "despite": despite},
            base_url="http://127.0.0.1:8080",
        )  # fmt: skip
        assert refused.status_code == 409
        assert "is not ticked" in text_of(refused)
    assert desk.writes() == []
    refused = desk.browser.client.post(
        f"/console{path}", base_url="http://127.0.0.1:8080",
        data=sent | {"csrf": desk.browser.token, "despite": ["holds_credit", "has_schedules", "has_unbilled_charges"]},
    )  # fmt: skip
    assert desk.writes() == ["delete_balance"]
    assert refused.status_code == 409
    assert "is used by a Transaction" in text_of(refused), "m3ter has the last word"


def test_empty_balance_is_deleted(desk: Desk) -> None:
    path = f"/balances/default/balance/{desk.balance}/delete"
    answer = desk.browser.post(path, hidden(desk.browser.get(path)) | {"reason": "typed wrong"})
    assert answer.headers["Location"] == f"/console/balances?connection=default&account={desk.account}"
    assert desk.balance not in desk.world.m3ter.balances


def test_answer_that_never_came_to_a_change_is_said(desk: Desk) -> None:
    path = f"{made(desk)['charge']}/update"
    form = desk.browser.get(path)
    page = desk.browser.post(path, hidden(form) | fields(form) | {"name": "Other"})
    desk.world.box.faults.order("m3ter", "update_charge", "cut")
    answer = desk.confirm(page, path)
    assert answer.status_code == 303
    assert "is not known: do the same again" in text_of(desk.browser.get(desk.here))


def test_what_was_made_here_and_is_gone_in_m3ter_can_be_noted(desk: Desk) -> None:
    desk.ask(f"{desk.here}/charge", name="Fee", currency="USD", amount="5")
    desk.world.work()
    [request] = desk.requests()
    desk.world.m3ter.charges.clear()
    assert "m3ter no longer has it" in text_of(desk.browser.get(desk.here))
    path = f"/balances/default/charges/{request.m3ter_id}/delete"
    assert "is gone" in text_of(desk.browser.get(path))
    assert desk.browser.post(path).status_code == 303
    assert [one.status for one in desk.requests()] == ["withdrawn"]
    assert "m3ter no longer has it" not in text_of(desk.browser.get(desk.here))


# Requests


def test_request_is_withdrawn_with_a_reason_before_it_is_sent_and_never_after(desk: Desk) -> None:
    where = (
        desk.ask(f"{desk.here}/transaction", amount="5", type=desk.type).headers["Location"].removeprefix("/console")
    )
    desk.browser.get(where)
    nothing = desk.browser.post(f"{where}/withdraw", {"reason": " "})
    assert (nothing.status_code, "say why" in text_of(nothing).lower()) == (422, True)
    assert desk.browser.post(f"{where}/withdraw", {"reason": "typed wrong"}).status_code == 303
    desk.world.work()
    assert desk.transactions() == []
    again = desk.browser.post(f"{where}/withdraw", {"reason": "once more"})
    assert again.status_code == 422


def test_request_that_parks_says_why_and_a_person_says_what_it_is(desk: Desk) -> None:
    rows = [desk.world.m3ter.add_transaction(desk.balance, 5, description="ref:PO-1") for _ in range(2)]
    where = desk.ask(f"{desk.here}/transaction", amount="5", type=desk.type, reference="PO-1").headers["Location"]
    where = where.removeprefix("/console")
    desk.world.work()
    page = text_of(desk.browser.get(where))
    assert "made_twice" in page
    assert "Next step:" in page
    assert desk.browser.post(f"{where}/accept", {"m3ter_id": "that one", "reason": "looked"}).status_code == 422
    assert desk.browser.post(f"{where}/accept", {"m3ter_id": rows[0]["id"], "reason": "looked"}).status_code == 303
    desk.world.work()
    [request] = desk.requests()
    assert (request.status, request.m3ter_id) == ("done", rows[0]["id"])
    assert len(desk.transactions()) == 2


def test_retry_of_a_parked_request_shows_what_it_would_send(desk: Desk) -> None:
    desk.world.box.faults.order("m3ter", "create_balance_transaction", "status", status=400)
    desk.ask(f"{desk.here}/transaction", amount="5", type=desk.type, reference="PO-1")
    desk.world.work()
    sync = desk.world.sync("balance_request", str(desk.requests()[0].id))
    assert sync.status == "parked"
    page = desk.browser.get(f"/syncs/{sync.id}/retry")
    assert "transaction PO-1 of 5.00 USD" in text_of(page)
    assert "cannot be said" not in text_of(page)
    assert desk.browser.post(f"/syncs/{sync.id}/retry", hidden(page)).status_code == 303
    desk.world.work()
    assert [one.status for one in desk.requests()] == ["done"]


# Watching


def test_watch_is_shown_set_changed_and_removed(desk: Desk) -> None:
    path = f"{desk.here}/watch"
    bad = desk.fill(path, threshold="50", credit="100")
    assert bad.status_code == 422
    assert "needs a cap" in text_of(bad)
    page = desk.fill(path, threshold="50", credit="100", cap_number="2", price="95", currency="EUR")
    assert "95.00 EUR" in text_of(page)
    assert watch(desk) is None
    assert desk.confirm(page, path).status_code == 303
    found = watch(desk)
    assert (found.threshold, found.credit, found.transaction_type_id, found.made_by) == (
        Decimal(50), Decimal(100), desk.type, "web:olga",
    )  # fmt: skip
    assert fields(desk.browser.get(path))["cap_number"] == "2"
    assert "50.00 USD" in text_of(desk.browser.get(desk.here))
    assert desk.browser.post(f"{path}/remove", {"reason": "closed"}).status_code == 303
    assert watch(desk) is None
    assert desk.writes() == []


def watch(desk: Desk) -> Any:
    with desk.world.services.reading() as db:
        return watches.find(db, "default", desk.balance)


# Bill jobs


def test_bill_job_is_shown_started_followed_and_leads_to_bills_with_their_lines(desk: Desk) -> None:
    desk.world.m3ter.create_charge(desk.account, "fee", 12, "2026-01-01", balance_id=desk.balance)
    path = "/balances/default/bill-jobs/new"
    assert desk.fill(path, accounts="acme", due="yes").status_code == 422
    page = desk.fill(path, accounts="acme")
    assert "Bill 1 account for 2026-01-01?" in text_of(page)
    assert desk.writes() == []
    started = desk.confirm(page, path)
    assert started.status_code == 303
    assert desk.writes() == ["create_bill_job"]
    desk.world.box.advance(timedelta(minutes=5))
    text = text_of(desk.browser.get(started.headers["Location"].removeprefix("/console")))
    for said in ("complete", "BALANCE_FEE", "12.00 USD", "Approve the PENDING bills"):
        assert said in text, said
    assert "2026-01-01" in text_of(desk.browser.get("/balances/default/bill-jobs"))


def test_approved_bills_are_opened_again_only_after_a_tick(desk: Desk) -> None:
    desk.world.m3ter.create_charge(desk.account, "fee", 12, "2026-01-01", balance_id=desk.balance)
    [bill] = desk.world.m3ter.run_bill_job(account_ids=[desk.account], bill_date=START.date())["billIds"]
    desk.world.m3ter.approve(bill)
    desk.world.forget_calls()
    path = "/balances/default/bill-jobs/new"
    page = desk.fill(path, accounts="acme")
    assert "Approved bills that it makes PENDING again" in text_of(page)
    assert desk.browser.post(path, hidden(page)).status_code == 409
    assert desk.writes() == []
    assert desk.browser.post(path, hidden(page) | {"reopen": "yes"}).status_code == 303
    assert desk.writes() == ["create_bill_job"]


def test_bill_job_that_is_started_twice_at_once_is_one(desk: Desk) -> None:
    path = "/balances/default/bill-jobs/new"
    browsers = [desk.browser, desk.another_browser()]
    sent = hidden(desk.fill(path, accounts="acme"))
    browsers[1].get(path)
    desk.world.forget_calls()
    answers = at_once([lambda browser=browser: browser.post(path, sent) for browser in browsers])
    assert {one.status_code for one in answers} <= {303, 409}
    assert desk.writes() == ["create_bill_job"]


# Types


def test_transaction_type_is_made_once_and_a_bad_code_comes_back(desk: Desk) -> None:
    path = "/balances/default/transaction-types"
    assert "top_up" in text_of(desk.browser.get(path))
    bad = desk.browser.post(path, {"code": "two words", "name": "Gift"})
    assert (bad.status_code, fields(bad)["name"]) == (422, "Gift")
    assert desk.writes() == []
    for _ in range(2):
        assert desk.browser.post(path, {"code": "gift"}).status_code == 303
    assert desk.writes() == ["create_transaction_type"]
    assert "gift" in desk.browser.get(f"{desk.here}/transaction").text


# Walls


def test_viewer_sees_everything_and_no_button(desk: Desk) -> None:
    addresses = made(desk)
    desk.ask(f"{desk.here}/transaction", amount="5", type=desk.type, reference="PO-1")
    add_user(desk.world.services, "vera", VIEWER)
    viewer = Browser(desk.world.services)
    viewer.log_in("vera")
    for path in ("/balances?account=acme", desk.here, "/balances/default/requests", "/balances/default/bill-jobs",
                 f"/balances/default/requests/{desk.requests()[0].id}"):  # fmt: skip
        page = viewer.get(path)
        assert page.status_code == 200
        offered = set(re.findall(r'(?:href|action)="/console(/balances[^"]*)"', page.text))
        assert not [
            one
            for one in offered
            if re.search(r"new|top-up|/charge$|update|delete|end$|watch|withdraw|accept|-schedule$", one)
        ]
        assert not re.findall(r'<form method="post" action="(?!/console/logout)', page.text)
    for path in (f"{desk.here}/top-up", *(f"{one}/update" for one in addresses.values())):
        assert viewer.get(path).status_code == 403
        assert viewer.post(path).status_code == 403
    assert (
        viewer.post(f"/balances/default/requests/{desk.requests()[0].id}/withdraw", {"reason": "x"}).status_code == 403
    )


def test_nothing_of_another_connection_is_reachable(desk: Desk) -> None:
    desk.ask(f"{desk.here}/transaction", amount="5", type=desk.type, reference="PO-1")
    with desk.world.services.transaction() as db:
        row = db.scalars(select(BalanceRequest)).one()
        row.connection = "other"
        request_id = row.id
    for path in (f"/balances/default/requests/{request_id}", f"/balances/other/requests/{request_id}",
                 f"/balances/other/{desk.balance}", "/balances/other/requests", "/balances/other/bill-jobs",
                 f"/balances/other/{desk.balance}/top-up"):  # fmt: skip
        assert desk.browser.get(path).status_code == 404, path
    assert desk.browser.post(f"/balances/default/requests/{request_id}/withdraw", {"reason": "x"}).status_code == 404
    assert desk.browser.get("/balances?connection=other").status_code == 400
    assert desk.browser.get("/balances/default/00000000-0000-0000-0000-000000000001").status_code == 404
    assert "PO-1" not in desk.browser.get("/balances/default/requests").text


CANARY = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


def test_what_people_wrote_in_m3ter_is_shown_as_text(desk: Desk) -> None:
    m3ter = desk.world.m3ter
    for one in (m3ter.balances[desk.balance],):
        one["name"] = one["description"] = CANARY
    m3ter.add_transaction(desk.balance, 5, description=CANARY)
    m3ter.create_charge(desk.account, "fee", 12, "2026-02-01", balance_id=desk.balance, name=CANARY, description=CANARY)
    m3ter.create_charge(desk.account, "fee2", 12, "2026-02-01", name=CANARY, description=CANARY)
    m3ter.create_transaction_schedule(
        desk.balance, "cs", 50, desk.type, START, YEAR_END, frequency="MONTHLY", name=CANARY,
        transactionDescription=CANARY,
    )  # fmt: skip
    m3ter.transaction_types[desk.type]["name"] = CANARY
    pages = [
        desk.browser.get(path)
        for path in (
            "/balances?account=acme", f"/balances?account={CANARY}", desk.here, f"{desk.here}/top-up",
            f"/balances/default/balance/{desk.balance}/update", f"/balances/default/balance/{desk.balance}/delete",
        )
    ]  # fmt: skip
    pages.append(
        desk.fill(f"{desk.here}/transaction", amount=CANARY, description=CANARY, reference=CANARY, type=CANARY)
    )
    pages.append(desk.fill(f"{desk.here}/transaction", amount="5", description=CANARY, type=desk.type))
    asked = desk.confirm(pages[-1], f"{desk.here}/transaction")
    pages.append(desk.browser.get(asked.headers["Location"].removeprefix("/console")))
    for page in pages:
        assert page.status_code in (200, 422)
        assert "<script" not in page.text
        assert "<img" not in page.text
    assert sum("&lt;script&gt;" in page.text for page in pages) == len(pages) - 1, (
        "all but the deletion, which shows the code"
    )
