"""`connector balances watches|low|chart`, as a person or a script runs them."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from connector.balances import watches, watching
from connector.cli import main
from connector.models import AuditEntry, BalanceWatch
from tests.flows.conftest import START, World

pytestmark = pytest.mark.alternate_databases

Command = Callable[..., Result]
YEAR_END = datetime(2027, 1, 1, tzinfo=UTC)
AUTOMATIC = ("--threshold", "50", "--top-up", "100")
CAP = ("--cap-number", "2")


@pytest.fixture
def balances(world: World, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `connector balances …` with this world's services."""
    monkeypatch.setattr("connector.cli.balances.watches.wire", lambda: world.services)
    return lambda *words: CliRunner().invoke(main, ["balances", *words])


@pytest.fixture
def balance_id(world: World) -> str:
    """A balance of the customer acme with 80 dollars, for the year."""
    world.sign_up()
    world.settle()
    account = world.m3ter.account_by_code("acme")
    world.m3ter.create_transaction_type("top_up")
    made = world.m3ter.create_balance(account["id"], "prepaid", START, YEAR_END)
    world.m3ter.add_transaction(made["id"], 80)
    return str(made["id"])


def document(result: Result, status: int = 0) -> Any:
    assert result.exit_code == status, result.output
    return json.loads(result.stdout)


def watched(world: World) -> list[BalanceWatch]:
    with world.services.reading() as db:
        return list(db.scalars(select(BalanceWatch)))


def test_a_watch_is_set_by_the_balances_code_listed_and_removed_with_a_name_on_it(
    world: World, balances: Command, balance_id: str
) -> None:
    words = ("set", "prepaid", "--account", "acme", *AUTOMATIC, "--price", "90.50", "--price-currency", "EUR",
             "--cap-credit", "250")  # fmt: skip
    shown = balances("watches", *words, "--dry-run")
    assert "tops itself up with 100.00 USD for 90.50 EUR, at most 250.00 USD a month." in shown.output
    assert watched(world) == []
    assert document(balances("watches", *words, "--json"))["threshold"] == "50"
    [row] = watched(world)
    assert (row.balance_id, row.threshold, row.credit, row.price, row.price_currency, row.cap_credit) == (
        balance_id, 50, 100, Decimal("90.50"), "EUR", 250,
    )  # fmt: skip
    assert row.transaction_type_id in world.m3ter.transaction_types
    watching.check(world.services)
    [listed] = document(balances("watches", "list", "--json"))["watches"]
    assert (listed["balance_id"], listed["state"], listed["held"], listed["made_by"][:4]) == (
        balance_id,
        "ok",
        "80",
        "cli:",
    )
    assert "100.00 USD for 90.50 EUR" in balances("watches", "list").output
    assert document(balances("watches", "list", "--state", "low", "--json"))["watches"] == []
    assert balances("watches", "remove", balance_id, "--reason", "sold", "--dry-run").exit_code == 0
    assert len(watched(world)) == 1
    assert balances("watches", "remove", balance_id, "--reason", "sold").exit_code == 0
    assert watched(world) == []
    with world.services.reading() as db:
        noted = [(row.action, row.subject) for row in db.scalars(select(AuditEntry).order_by(AuditEntry.id))]
        assert noted[-2:] == [("balances watches set", balance_id), ("balances watches remove", balance_id)]


def test_setting_a_watch_again_replaces_its_terms(world: World, balances: Command, balance_id: str) -> None:
    assert balances("watches", "set", balance_id, *AUTOMATIC, *CAP, "--free").exit_code == 0
    assert balances("watches", "set", balance_id, "--threshold", "20", "--off").exit_code == 0
    [row] = watched(world)
    assert (row.threshold, row.credit, row.free, row.cap_number, row.enabled) == (20, None, False, None, False)
    with world.services.reading() as db:
        noted = db.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert noted is not None
    assert (noted.detail["replaced"]["threshold"], noted.detail["terms"]["threshold"]) == ("50", "20")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        pytest.param(("--threshold", "-1"), "the threshold is -1: it cannot be below zero", id="negative threshold"),
        pytest.param(("--threshold", "1e400"), "more digits than any amount", id="absurd threshold"),
        pytest.param(("--threshold", "NaN"), "not a finite number", id="no number"),
        pytest.param(AUTOMATIC, "an automatic top-up needs a cap", id="no cap"),
        pytest.param(
            (*AUTOMATIC, "--cap-credit", "99"), "a cap of 99 a month never lets a top-up of 100 through", id="low cap"
        ),
        pytest.param((*AUTOMATIC, "--cap-number", "0"), "a cap of 0 top-ups a month lets none through", id="no number"),
        pytest.param(
            (*AUTOMATIC, *CAP, "--price-currency", "EUR"),
            "is to be paid in EUR: give the price",
            id="currency without price",
        ),
        pytest.param((*AUTOMATIC, *CAP, "--free", "--price", "5"), "a free top-up has no price", id="free and priced"),
        pytest.param(
            (*AUTOMATIC, *CAP, "--price", "0"), "a top-up that costs nothing is a free one", id="price of nothing"
        ),
        pytest.param((*AUTOMATIC, *CAP, "--price", "1.005"), "USD has 2 decimals", id="price with too many decimals"),
        pytest.param(
            (*AUTOMATIC, *CAP, "--price", "5", "--price-currency", "XXX"),
            "m3ter does not have the currency XXX",
            id="unknown",
        ),
        pytest.param((*AUTOMATIC, *CAP, "--type", "gift"), "there is no transaction type 'gift'", id="unknown type"),
        pytest.param(("--threshold", "5", "--top-up", "-1", *CAP), "a top-up adds credit", id="negative credit"),
        pytest.param(("--threshold", "5", *CAP), "only with an automatic top-up", id="cap without top-up"),
        pytest.param(("--threshold", "5", "--price", "9"), "only with an automatic top-up", id="price without top-up"),
        pytest.param(
            ("--threshold", "5", "--type", "top_up"), "only with an automatic top-up", id="type without top-up"
        ),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence_and_nothing_is_kept(
    world: World, balances: Command, balance_id: str, words: tuple[str, ...], sentence: str
) -> None:
    for more in (("--dry-run",), ()):
        result = balances("watches", "set", balance_id, *words, *more)
        assert result.exit_code != 0
        assert sentence in result.output
    assert watched(world) == []


def test_a_balance_that_has_ended_or_that_nobody_knows_cannot_be_watched(
    world: World, balances: Command, balance_id: str
) -> None:
    unknown = balances("watches", "set", "0" * 8 + balance_id[8:], "--threshold", "5")
    assert (unknown.exit_code, "m3ter has no balance" in unknown.output) == (1, True)
    world.box.advance(to=YEAR_END)
    ended = balances("watches", "set", balance_id, "--threshold", "5")
    assert (ended.exit_code, "ended at 2027-01-01 00:00 UTC" in ended.output) == (1, True)
    nothing = balances("watches", "remove", balance_id, "--reason", "x")
    assert (nothing.exit_code, "is not watched" in nothing.output) == (1, True)


def test_a_watch_set_anew_is_looked_at_at_once(world: World, balances: Command, balance_id: str) -> None:
    balances("watches", "set", balance_id, "--threshold", "50")
    watching.check(world.services)
    balances("watches", "set", balance_id, "--threshold", "90")
    watching.check(world.services)
    world.work()
    assert world.sync("balance_watch", balance_id).cause == "balance_low"
    balances("watches", "remove", balance_id, "--reason", "a mistake")
    assert world.sync("balance_watch", balance_id).status == "superseded"


def test_low_shows_what_is_low_now_with_what_to_do_and_exits_with_1(
    world: World, balances: Command, balance_id: str
) -> None:
    balances("watches", "set", balance_id, "--threshold", "50")
    assert "No watched balance is low." in balances("low").output
    assert [one["low"] for one in document(balances("low", "--all", "--json"))["balances"]] == [False]
    world.m3ter.add_transaction(balance_id, -35)
    [one] = document(balances("low", "--json"), status=1)["balances"]
    assert (one["held"], one["threshold"], one["suggested"], one["runs_out"], one["daily"]) == (
        "45",
        "50",
        "5.00",
        None,
        None,
    )
    text = balances("low").output
    assert "45.00 USD" in text
    assert "5.00 USD" in text
    del world.m3ter.balances[balance_id]
    [gone] = document(balances("low", "--json"), status=1)["balances"]
    assert (gone["low"], gone["outlook"]) == (None, "m3ter no longer has it")


def test_the_chart_shows_transactions_charges_and_what_m3ter_previews(
    world: World, balances: Command, balance_id: str, tmp_path: Path
) -> None:
    balances("watches", "set", balance_id, "--threshold", "50")
    account = world.m3ter.account_by_code("acme")
    world.m3ter.create_charge(account["id"], "fee-1", 90, "2026-02-01", balance_id=balance_id, currency="EUR")
    type_id = next(iter(world.m3ter.transaction_types))
    world.m3ter.create_transaction_schedule(
        balance_id, "monthly", 20, type_id, datetime(2026, 1, 15, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)
    )
    world.m3ter.create_charge_schedule(
        balance_id, "monthly-fee", 25, datetime(2026, 1, 15, tzinfo=UTC), datetime(2026, 4, 15, tzinfo=UTC),
        currency="EUR", billEpoch="2026-01-15",
    )  # fmt: skip
    world.box.advance(to=datetime(2026, 2, 20, tzinfo=UTC))
    shown = document(balances("chart", "prepaid", "--account", "acme", "--json"))
    assert [one["amount"] for one in shown["movements"]] == ["80", "20", "20"]
    assert [one["at"][:10] for one in shown["coming_credits"]] == ["2026-03-15", "2026-04-15"]
    made = {(one["day"], one["amount"], one["currency"]) for one in shown["charges"]}
    coming = {(one["day"], one["amount"], one["currency"]) for one in shown["coming_charges"]}
    assert ("2026-02-01", "90", "EUR") in made
    assert len({day for day, amount, _ in made | coming if amount == "25"}) == 3  # one a month, none twice
    assert made & coming == set()
    assert all(day >= "2026-02-20" for day, _, _ in coming)
    assert (shown["threshold"], shown["held"], shown["disagreements"]) == ("50", "120", [])
    assert "90.00 EUR" in balances("chart", balance_id).output
    world.box.advance(to=datetime(2026, 3, 15, 1, tzinfo=UTC))  # the day of a run, which has made its charge
    today = document(balances("chart", balance_id, "--json"))
    assert [one["day"] for one in today["charges"] + today["coming_charges"]].count("2026-03-15") == 1
    page = tmp_path / "balance.html"
    assert balances("chart", balance_id, "--page", "--file", str(page)).exit_code == 0
    assert "<svg" in page.read_text()
    assert balances("chart", balance_id, "--svg").stdout.startswith("<svg ")
    assert "<style>" in document(balances("chart", balance_id, "--svg", "--json"))["svg"]
    for words in (("--page", "--svg"), ("--file", str(page))):
        assert balances("chart", balance_id, *words).exit_code == 2


def test_previews_that_show_a_single_object_name_the_next_run_only(
    world: World, balances: Command, balance_id: str
) -> None:
    type_id = next(iter(world.m3ter.transaction_types))
    world.m3ter.create_transaction_schedule(
        balance_id, "monthly", 20, type_id, datetime(2026, 1, 15, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)
    )
    world.m3ter.settings.single_object_previews = True
    shown = document(balances("chart", balance_id, "--json"))
    assert [one["at"][:10] for one in shown["coming_credits"]] == ["2026-01-15"]


def test_another_connections_watches_are_not_listed_or_removed(
    world: World, balances: Command, balance_id: str
) -> None:
    balances("watches", "set", balance_id, "--threshold", "50")
    with world.services.reading() as db:
        assert watches.listed(db, "other") == []
    with world.services.transaction() as db:
        assert not watches.remove(db, "other", balance_id, reason="x", now=START)
    assert len(watched(world)) == 1
    assert balances("watches", "list", "--connection", "other").exit_code == 1
