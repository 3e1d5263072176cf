"""`connector balances …`, run as a finance person runs it: what is asked for, what m3ter has afterwards, and what is said."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from connector import handlers, syncs
from connector.balances import bill_jobs
from connector.cli import common, main
from connector.models import AuditEntry, BalanceRequest
from tests.flows.conftest import START, World

pytestmark = pytest.mark.alternate_databases

Command = Callable[..., Result]
YEAR_END = datetime(2027, 1, 1, tzinfo=UTC)
# What a command may ask m3ter without changing anything; a preview keeps nothing.
READING = ("get_", "list_", "retrieve_", "preview_", "balance_transaction_summary")


@pytest.fixture
def connector(world: World, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `connector balances …` with this world's services."""
    monkeypatch.setattr(common, "wire", lambda: world.services)
    return lambda *words, **options: CliRunner().invoke(main, ["balances", *words], **options)


@pytest.fixture
def balance(world: World) -> str:
    """The id of an empty balance of the customer acme, in dollars, for the year; its code is `prepaid`."""
    world.sign_up()
    world.settle()
    world.m3ter.create_transaction_type("top_up")
    account = world.m3ter.account_by_code("acme")
    made = world.m3ter.create_balance(account["id"], "prepaid", START, YEAR_END)
    world.forget_calls()
    return str(made["id"])


def document(result: Result) -> Any:
    """The one JSON document on standard output."""
    return json.loads(result.stdout)


def writes(world: World) -> list[str]:
    """The methods and operations of all calls that could have changed something."""
    return [
        f"{call.method} {call.operation}"
        for call in world.calls("m3ter")
        if call.method != "GET" and "preview" not in call.operation
    ]


def credits(world: World) -> list[tuple[Any, str]]:
    return [(row["amount"], row["description"]) for row in world.m3ter.transactions.values()]


def charges(world: World) -> list[tuple[str, Any, str]]:
    return [(row["code"], row["amount"], row["currency"]) for row in world.m3ter.charges.values()]


TOP_UP = ("top-up", "prepaid", "--account", "acme", "--credit", "200", "--price", "160", "--currency", "EUR")


def test_one_command_makes_the_credit_and_its_charge(world: World, connector: Command, balance: str) -> None:
    result = connector(*TOP_UP, "--reference", "PO-77", "--bill-date", "2026-02-01", "--yes", "--json")
    assert result.exit_code == 0
    assert [(one["kind"], one["status"]) for one in document(result)["requests"]] == [
        ("charge", "done"),
        ("transaction", "done"),
    ]
    assert credits(world) == [(Decimal(200), "Top-up of prepaid ref:PO-77")]
    [charge] = world.m3ter.charges.values()
    assert (charge["code"], charge["amount"], charge["currency"], charge["billDate"]) == (
        "PO-77", Decimal(160), "EUR", "2026-02-01",
    )  # fmt: skip
    assert (charge["servicePeriodStartDate"], charge["servicePeriodEndDate"]) == (
        "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z",
    )  # fmt: skip


def test_the_same_top_up_typed_again_makes_no_second_one_even_on_another_day(
    world: World, connector: Command, balance: str
) -> None:
    assert connector(*TOP_UP, "--reference", "PO-77", "--yes").exit_code == 0
    world.wait(days=3)
    again = connector(*TOP_UP, "--reference", "PO-77", "--yes")
    assert again.exit_code == 0
    assert again.stdout.count("asked for before: nothing was made twice") == 2
    assert (len(credits(world)), len(charges(world))) == (1, 1)


def test_a_double_click_without_a_reference_is_refused(world: World, connector: Command, balance: str) -> None:
    assert connector(*TOP_UP, "--yes").exit_code == 0
    again = connector(*TOP_UP, "--yes")
    assert (again.exit_code, again.stdout) == (1, "")
    assert "give it a reference of its own" in again.stderr
    assert (len(credits(world)), len(charges(world))) == (1, 1)


def test_nothing_is_made_before_a_person_agrees(world: World, connector: Command, balance: str) -> None:
    refused = connector(*TOP_UP, input="n\n")
    assert refused.exit_code == 1
    assert "160.00 EUR" in refused.stderr
    assert "200.00 USD" in refused.stderr
    assert writes(world) == []
    assert connector(*TOP_UP, input="y\n").exit_code == 0
    assert len(credits(world)) == 1


@pytest.mark.parametrize("kind", ["cut", "late"])
def test_an_answer_that_never_came_leaves_one_and_the_command_says_what_happens_next(
    world: World, connector: Command, balance: str, kind: str
) -> None:
    detail = {"seconds": 60} if kind == "late" else {}
    world.box.faults.order("m3ter", "create_balance_transaction", kind, **detail)
    words = ("transactions", "create", balance, "--amount", "200", "--reference", "PO-77", "--yes")
    result = connector(*words)
    assert result.exit_code == 1
    assert "Transaction PO-77 of 200.00 USD is not made yet" in result.stdout
    assert "it is looked up when that has settled" in result.stdout
    assert "Next: Nothing: it goes on by itself." in result.stdout
    again = connector(*words)
    assert again.exit_code == 1
    assert len(world.calls("m3ter", "create_balance_transaction")) == 1
    world.wait(seconds=121)
    assert credits(world) == [(Decimal(200), "ref:PO-77")]
    assert connector(*words).exit_code == 0
    assert len(credits(world)) == 1


def test_a_credit_waits_while_its_charge_is_refused(world: World, connector: Command, balance: str) -> None:
    world.box.faults.order("m3ter", "create_charge", "status", status=400)
    result = connector(*TOP_UP, "--reference", "PO-77", "--yes")
    assert result.exit_code == 1
    assert "is parked" in result.stdout
    assert "is made when its charge PO-77" in result.stdout
    assert (credits(world), charges(world)) == ([], [])
    assert connector(*TOP_UP, "--reference", "PO-77", "--yes").exit_code == 0
    assert (len(credits(world)), len(charges(world))) == (1, 1)


SPAN = ("--start", "2026-02-01", "--end", "2026-06-01")
ON, OF = ("--balance", "prepaid", "--account", "acme"), ("--account", "acme")
BAD = [
    pytest.param((*TOP_UP[:-1], "CHF"), "does not have the currency CHF", id="unknown currency"),
    pytest.param(("top-up", "prepaid", *OF, "--credit", "5", "--currency", "EUR"), "nothing is converted", id="no price"),
    pytest.param(("top-up", "prepaid", *OF, "--credit", "5", "--start", "2026-02-01"), "makes a schedule", id="start alone"),
    pytest.param((*TOP_UP, "--free"), "a free top-up has no price", id="free and priced"),
    pytest.param((*TOP_UP, "--reference", "two words"), "cannot be a reference", id="bad reference"),
    pytest.param(("top-up", "prepaid", *OF, "--credit", "0"), "a top-up adds credit", id="no credit"),
    pytest.param(("top-up", "prepaid", *OF, "--credit", "1.000,5"), "is not a number", id="odd number"),
    pytest.param(
        ("top-up", "prepaid", *OF, "--credit", "5", "--monthly", "--start", "2026-03-01", "--end", "2026-02-01"),
        "is not after its start", id="top-up that ends before it starts",
    ),
    pytest.param(("transactions", "create", "prepaid", *OF, "--amount", "0"), "changes nothing", id="transaction of nothing"),
    pytest.param(
        ("transactions", "create", "prepaid", *OF, "--amount", "5", "--applied", "2026-02-01T10:00:00"),
        "nor a time with its offset", id="a time without offset",
    ),
    pytest.param(
        ("create", *OF, "--code", "b", "--currency", "USD", "--end", "2026-06-01", "--rollover-amount", "5"),
        "a rollover amount needs the end of the rollover", id="rollover without end",
    ),
    pytest.param(("create", *OF, "--code", "b", "--currency", "USD"), "give its end", id="balance without end"),
    pytest.param(
        ("create", *OF, "--code", "b", "--currency", "CHF", "--end", "2026-06-01"), "does not have the currency CHF",
        id="balance in an unknown currency",
    ),
    pytest.param(
        ("charges", "create", *ON, "--name", "x", "--currency", "EUR", "--amount", "5", "--units", "2",
         "--unit-price", "3"), "exclude each other", id="both amount and units",
    ),
    pytest.param(
        ("charges", "create", *OF, "--name", "x", "--currency", "EUR", "--amount", "5"), "needs the end of its service period",
        id="account charge without end",
    ),
    pytest.param(
        ("charges", "create", "--name", "x", "--currency", "EUR", "--amount", "5"), "give --balance or --account",
        id="charge on nothing",
    ),
    pytest.param(
        ("transaction-schedules", "create", "prepaid", *OF, "--amount", "-5", "--description", "x", *SPAN),
        "cannot book debits", id="negative transaction schedule",
    ),
    pytest.param(
        ("charge-schedules", "create", "prepaid", *OF, "--currency", "EUR", "--amount", "-5", "--description", "x", *SPAN),
        "cannot make credits", id="negative charge schedule",
    ),
    pytest.param(
        ("charge-schedules", "create", "prepaid", *OF, "--currency", "EUR", "--amount", "5", "--description", "x"),
        "a schedule needs its end", id="charge schedule without end",
    ),
    pytest.param(("transaction-types", "create", "top-up"), "letters, digits and underscores", id="bad type"),
    pytest.param(("bill-jobs", "run", "--account", "acme", "--due"), "--account, or --due", id="both ways to say whom"),
]  # fmt: skip
# What only m3ter can say is found out by reading.
NEEDS_READING = ("currency CHF", "nothing is converted")


@pytest.mark.parametrize(("words", "sentence"), BAD)
def test_what_cannot_be_is_refused_before_any_call(
    world: World, connector: Command, balance: str, words: tuple[str, ...], sentence: str
) -> None:
    result = connector(*words)
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert result.stdout == ""
    made = [call.method for call in world.calls("m3ter")]
    if any(one in sentence for one in NEEDS_READING):
        assert set(made) == {"GET"}
    else:
        assert made == []
    with world.services.reading() as db:
        assert list(db.scalars(select(BalanceRequest))) == []
    assert "Traceback" not in result.stderr


def dry_runs(balance: str, charge: str, schedule: str) -> list[tuple[str, ...]]:
    return [
        ("create", *OF, "--code", "b", "--currency", "USD", "--end", "2026-06-01"),
        ("update", balance, "--name", "Credit"),
        ("delete", balance, "--reason", "x", "--despite", "holds_credit", "--despite", "has_schedules",
         "--despite", "has_unbilled_charges"),
        ("transactions", "create", balance, "--amount", "-5"),
        ("transaction-types", "create", "bonus"),
        ("transaction-schedules", "create", balance, "--amount", "5", "--description", "x", *SPAN),
        ("charges", "create", "--balance", balance, "--name", "x", "--currency", "EUR", "--amount", "5"),
        ("charges", "update", charge, "--amount", "6", "--despite", "half_of_top_up"),
        ("charges", "delete", charge, "--reason", "x", "--despite", "half_of_top_up"),
        ("charge-schedules", "create", balance, "--currency", "EUR", "--amount", "5", "--description", "x", *SPAN),
        ("charge-schedules", "update", schedule, "--balance", balance, "--amount", "6"),
        ("charge-schedules", "end", schedule, "--balance", balance, "--at", "2026-03-01"),
        ("charge-schedules", "delete", schedule, "--balance", balance, "--reason", "x"),
        ("top-up", balance, "--credit", "5"),
        ("top-up", balance, "--credit", "5", "--monthly"),
        ("bill-jobs", "run", *OF, "--bill-date", "2026-02-01"),
    ]  # fmt: skip


def test_a_dry_run_only_reads_and_keeps_nothing(world: World, connector: Command, balance: str) -> None:
    connector(*TOP_UP, "--reference", "PO-77", "--yes")
    schedule = world.m3ter.create_charge_schedule(balance, "fees", 5, datetime(2026, 2, 1, tzinfo=UTC), YEAR_END)
    [charge] = world.m3ter.charges.values()
    world.forget_calls()
    for words in dry_runs(balance, charge["id"], schedule["id"]):
        result = connector(*words, "--dry-run", "--json")
        assert result.exit_code == 0, (words, result.stdout, result.stderr)
        assert document(result)["dry_run"] is True
    assert writes(world) == []
    with world.services.reading() as db:
        assert len(list(db.scalars(select(BalanceRequest)))) == 2


def test_a_dry_run_prints_exactly_what_is_sent_then(world: World, connector: Command, balance: str) -> None:
    words = (
        "transactions",
        "create",
        balance,
        "--amount",
        "12.50",
        "--reference",
        "PO-77",
        "--description",
        "Goodwill",
    )
    [planned] = document(connector(*words, "--dry-run", "--json"))["would_send"]
    assert connector(*words, "--yes").exit_code == 0
    [call] = world.calls("m3ter", "create_balance_transaction")
    assert call.path.endswith(planned["path"])
    [row] = world.m3ter.transactions.values()
    assert {name: str(row[name]) for name in planned["body"]} == planned["body"]
    assert row["description"] == "Goodwill ref:PO-77"


def scheduled(*more: str) -> tuple[str, ...]:
    return (
        "top-up", "prepaid", *OF, "--credit", "100", "--price", "80", "--currency", "EUR", "--monthly",
        "--start", "2026-01-15", "--end", "2026-04-15", "--reference", "monthly", *more,
    )  # fmt: skip


def test_a_scheduled_top_up_shows_both_previews_side_by_side(world: World, connector: Command, balance: str) -> None:
    found = document(connector(*scheduled("--dry-run", "--json")))["previews"]
    assert [row["applied"][:10] for row in found["credits"]["rows"]] == ["2026-01-15", "2026-02-15", "2026-03-15"]
    assert [row["bill_date"] for row in found["charges"]["rows"]] == ["2026-01-15", "2026-02-15", "2026-03-15"]
    assert (found["credits"]["total_shown"], found["charges"]["total_shown"]) == ("300", "240")
    text = connector(*scheduled("--in-arrears", "--dry-run")).stdout
    assert "2026-01-15 to 2026-02-15" in text
    assert "Charges: 3 in all, 240.00 EUR together." in text
    few = connector(*scheduled("--dry-run", "--limit", "2")).stdout
    assert "Credits: 2 shown, 200.00 USD together, and more" in few
    assert (world.m3ter.transaction_schedules, world.m3ter.charge_schedules) == ({}, {})


def test_a_preview_of_one_object_says_that_more_may_come(world: World, connector: Command, balance: str) -> None:
    world.m3ter.settings = replace(world.m3ter.settings, single_object_previews=True)
    words = ("transaction-schedules", "preview", balance, "--amount", "5", "--description", "x", *SPAN)
    result = connector(*words)
    assert result.exit_code == 0
    assert "does not say what else would come" in result.stdout


def test_both_schedules_run_as_their_previews_said(world: World, connector: Command, balance: str) -> None:
    assert connector(*scheduled("--yes")).exit_code == 0
    world.box.advance(to=datetime(2026, 5, 1, tzinfo=UTC))
    assert [row["appliedDate"][:10] for row in world.m3ter.transactions.values()] == [
        "2026-01-15", "2026-02-15", "2026-03-15",
    ]  # fmt: skip
    assert [row["billDate"] for row in world.m3ter.charges.values()] == ["2026-01-15", "2026-02-15", "2026-03-15"]
    shown = document(connector("show", balance, "--json"))
    assert (shown["held"]["now"], shown["findings"]) == ("300", [])
    assert {one["maker"] for one in shown["transactions"]} == {"SCHEDULER monthly"}


def ends(world: World) -> list[str]:
    """When the schedules of credits and of charges end, as days."""
    return [
        *(row["endDate"][:10] for row in world.m3ter.transaction_schedules.values()),
        *(row["servicePeriodEndDate"][:10] for row in world.m3ter.charge_schedules.values()),
    ]


@pytest.mark.parametrize(("kind", "other"), [("transaction", "charge"), ("charge", "transaction")])
def test_both_halves_of_a_scheduled_top_up_end_as_one(
    world: World, connector: Command, balance: str, kind: str, other: str
) -> None:
    connector(*scheduled("--yes"))
    words = (f"{kind}-schedules", "end", "monthly", "--balance", balance, "--at", "2026-03-01", "--yes")
    refused = connector(*words)
    assert "both can be ended as one" in refused.stderr
    shown = document(connector(*words, "--both", "--dry-run", "--json"))
    assert (shown["kind"], shown["other_half"]["kind"]) == (f"{kind}_schedule", f"{other}_schedule")
    assert (shown["objections"], shown["other_half"]["objections"], shown["exit_status"]) == ([], [], 0)
    assert ends(world) == ["2026-04-15"] * 2
    done = connector(*words, "--both")
    assert (done.exit_code, done.stdout.count(" is changed.")) == (0, 2)
    assert ends(world) == ["2026-03-01"] * 2
    world.forget_calls()
    again = connector(*words, "--both")
    assert (again.exit_code, again.stdout.count("is so already: nothing was changed")) == (0, 2)
    assert writes(world) == []
    world.box.advance(to=datetime(2026, 5, 1, tzinfo=UTC))
    assert len(world.m3ter.transactions) == len(world.m3ter.charges) == 2
    with world.services.reading() as db:
        noted = {row.action for row in db.scalars(select(AuditEntry)) if row.detail.get("outcome") == "done"}
    assert {"balances update transaction_schedule", "balances update charge_schedule"} <= noted


def test_half_that_ends_earlier_is_not_made_to_end_later(world: World, connector: Command, balance: str) -> None:
    connector(*scheduled("--yes"))
    alone = ("charge-schedules", "end", "monthly", "--balance", balance, "--despite", "half_of_top_up", "--yes")
    assert connector(*alone, "--at", "2026-02-01").exit_code == 0
    both = ("transaction-schedules", "end", "monthly", "--balance", balance, "--at", "2026-03-01", "--both", "--yes")
    ended = connector(*both)
    assert "Charge schedule monthly of 80.00 EUR at a time was so already." in ended.stdout
    assert ends(world) == ["2026-03-01", "2026-02-01"]


@pytest.mark.parametrize("fault", ["status", "cut"])
def test_where_only_one_half_has_ended_that_is_said_and_the_same_again_ends_the_other(
    world: World, connector: Command, balance: str, fault: str
) -> None:
    connector(*scheduled("--yes"))
    words = ("transaction-schedules", "end", "monthly", "--balance", balance, "--at", "2026-03-01", "--both", "--yes")
    world.box.faults.order("m3ter", "update_charge_schedule", fault, **({"status": 400} if fault == "status" else {}))
    failed = connector(*words)
    assert failed.exit_code == 1
    assert "do the same again" in failed.stderr
    assert ends(world)[0] == "2026-03-01"
    if fault == "status":
        assert "has ended, charge schedule monthly of 80.00 EUR at a time has not" in failed.stderr
        assert ends(world)[1] == "2026-04-15"
    done = connector(*words)
    assert done.exit_code == 0
    assert ends(world) == ["2026-03-01"] * 2


def test_what_has_no_other_half_that_could_end_with_it_is_left_as_it_is(
    world: World, connector: Command, balance: str
) -> None:
    words = ("transaction-schedules", "create", balance, "--code", "gift", "--amount", "5", "--description", "Gift")
    assert connector(*words, *SPAN, "--yes").exit_code == 0
    connector(*scheduled("--yes"))

    def refused(code: str) -> str:
        end = ("transaction-schedules", "end", code, "--balance", balance, "--at", "2026-03-01", "--both", "--yes")
        world.forget_calls()
        result = connector(*end)
        assert (result.exit_code, writes(world)) == (1, [])
        return result.stderr

    assert "gift of 5 at a time is half of no top-up that was asked for here" in refused("gift")
    gone = dict(world.m3ter.charge_schedules)
    world.m3ter.charge_schedules.clear()
    assert "m3ter no longer has the other half of transaction schedule monthly" in refused("monthly")
    world.m3ter.charge_schedules.update(gone)
    drop = (
        "charge-schedules",
        "delete",
        "monthly",
        "--balance",
        balance,
        "--reason",
        "x",
        "--despite",
        "half_of_top_up",
    )
    assert connector(*drop, "--yes").exit_code == 0
    assert "was taken back: end this one by itself" in refused("monthly")


def test_half_of_what_is_not_made_yet_does_not_end_with_it(world: World, connector: Command, balance: str) -> None:
    world.box.faults.order("m3ter", "create_transaction_schedule", "status", count=5, status=400)
    connector(*scheduled("--yes"))
    end = ("charge-schedules", "end", "monthly", "--balance", balance, "--at", "2026-03-01", "--both", "--yes")
    refused = connector(*end)
    assert refused.exit_code == 1
    assert "not made yet: let it be made, or withdraw it, first" in refused.stderr
    assert [row["servicePeriodEndDate"][:10] for row in world.m3ter.charge_schedules.values()] == ["2026-04-15"]


def test_days_begin_in_the_organizations_zone(
    world: World, connector: Command, balance: str, make_services: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    berlin = make_services(M3TER_TIMEZONE="Europe/Berlin")
    monkeypatch.setattr(common, "wire", lambda: berlin)
    world.box.advance(to=datetime(2026, 3, 31, 22, 30, tzinfo=UTC))
    [planned, _] = document(connector(*TOP_UP, "--dry-run", "--json"))["would_send"]
    assert (planned["body"]["billDate"], planned["body"]["servicePeriodStartDate"]) == (
        "2026-04-01", "2026-03-31T22:00:00Z",
    )  # fmt: skip
    [_, typed] = document(connector(*TOP_UP, "--applied", "2026-04-02", "--dry-run", "--json"))["would_send"]
    assert typed["body"]["appliedDate"] == "2026-04-01T22:00:00Z"


def test_an_ended_schedule_keeps_what_it_made_and_makes_no_more(world: World, connector: Command, balance: str) -> None:
    words = ("transaction-schedules", "create", balance, "--code", "gift", "--amount", "5", "--description", "Gift")
    assert connector(*words, *SPAN, "--yes").exit_code == 0
    world.box.advance(to=datetime(2026, 3, 2, tzinfo=UTC))
    result = connector("transaction-schedules", "end", "gift", "--balance", balance, "--yes")
    assert "The 2 transactions that it has made stay as they are." in result.stdout
    world.forget_calls()
    again = connector("transaction-schedules", "end", "gift", "--balance", balance, "--at", "2026-03-05", "--yes")
    assert "is so already: nothing was changed" in again.stdout
    assert writes(world) == []
    world.box.advance(to=datetime(2026, 6, 2, tzinfo=UTC))
    assert len(world.m3ter.transactions) == 2
    assert document(connector("check", balance, "--json"))["need_a_person"] == 0


def test_a_changed_schedule_is_what_is_asked_for_from_then_on(world: World, connector: Command, balance: str) -> None:
    made = ("charge-schedules", "create", balance, "--code", "fee", "--currency", "EUR", "--amount", "5")
    assert connector(*made, "--description", "Fee", *SPAN, "--yes").exit_code == 0
    words = ("charge-schedules", "update", "fee", "--balance", balance, "--units", "3", "--unit-price", "2.50", "--yes")
    assert connector(*words).exit_code == 0
    [row] = world.m3ter.charge_schedules.values()
    assert ("amount" in row, row["units"], row["unitPrice"]) == (False, 3, Decimal("2.5"))
    assert document(connector("check", balance, "--json"))["balances"][0]["findings"] == []
    world.forget_calls()
    assert "nothing was changed" in connector(*words).stdout
    assert writes(world) == []
    with world.services.reading() as db:
        [entry] = db.scalars(select(AuditEntry).filter_by(action="balances update charge_schedule").limit(1))
    assert (entry.detail["before"]["amount"], entry.detail["fields"]["units"]) == ("5", "3")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--end", "2026-01-15"), "is not after its start"),
        (("--amount", "-1"), "cannot make credits"),
        (("--amount", "1", "--units", "2"), "exclude each other"),
        (("--unit-price", "2"), "and the price of one"),
        (("--currency", "CHF"), "does not have the currency CHF"),
        (("--description", " "), "stands on the bill line"),
        ((), "say what is to be changed"),
    ],
)
def test_an_update_that_cannot_be_changes_nothing(
    world: World, connector: Command, balance: str, words: tuple[str, ...], sentence: str
) -> None:
    start = datetime(2026, 2, 1, tzinfo=UTC)
    world.m3ter.create_charge_schedule(balance, "fee", 5, start, YEAR_END, chargeDescription="Fee")
    result = connector("charge-schedules", "update", "fee", "--balance", balance, *words, "--yes")
    assert (result.exit_code, sentence in result.stderr) == (1, True)
    assert writes(world) == []


def test_half_of_a_top_up_goes_only_when_that_is_said(world: World, connector: Command, balance: str) -> None:
    connector(*TOP_UP, "--reference", "PO-77", "--yes")
    words = ("charges", "delete", "PO-77", *OF, "--reason", "waived", "--yes")
    refused = connector(*words)
    assert refused.exit_code == 1
    assert "it is half of top-up PO-77: transaction PO-77 of 200.00 USD is the other half (done)" in refused.stderr
    assert "--despite half_of_top_up" in refused.stderr
    assert len(charges(world)) == 1
    assert connector(*words, "--despite", "half_of_top_up").exit_code == 0
    assert charges(world) == []
    checked = connector("check", "--json")
    assert (checked.exit_code, document(checked)["need_a_person"]) == (1, 1)
    [finding] = document(checked)["balances"][0]["findings"]
    assert finding["code"] == "credit_without_charge"


def billed(world: World, connector: Command, *more: str) -> Result:
    return connector("bill-jobs", "run", *OF, "--bill-date", "2026-02-01", "--wait", "10", "--yes", "--json", *more)


def charge_in_euros(world: World, connector: Command, balance: str) -> None:
    """A charge of a top-up, for the first of February, with a rate for its currency."""
    world.m3ter.config["currencyConversions"] = [{"from": "EUR", "to": "USD", "multiplier": Decimal("1.25")}]
    connector(*TOP_UP, "--reference", "PO-77", "--bill-date", "2026-02-01", "--yes")


def test_a_bill_job_turns_the_charge_into_a_line(world: World, connector: Command, balance: str) -> None:
    charge_in_euros(world, connector, balance)
    result = billed(world, connector)
    assert result.exit_code == 0
    [job] = document(result)["started"]
    assert job["status"] == "COMPLETE"
    lines = [line for bill in document(result)["results"][0]["bills"] for line in bill["lines"]]
    fees = [line for line in lines if line["type"] == "BALANCE_FEE"]
    assert [(line["subtotal"], line["currency"], line["converted_subtotal"]) for line in fees] == [
        ("160", "EUR", "200.00")
    ]
    shown = connector("show", balance).stdout
    assert f"bill {next(iter(world.m3ter.charges.values()))['billId']}" in " ".join(shown.split())


def test_a_complete_job_without_a_bill_says_what_is_missing(world: World, connector: Command, balance: str) -> None:
    connector(*TOP_UP, "--reference", "PO-77", "--bill-date", "2026-02-01", "--yes")
    result = billed(world, connector)
    assert result.exit_code == 1
    [account] = document(result)["results"]
    assert [one["code"] for one in account["unbilled_charges"]] == ["PO-77"]
    assert "no conversion rate from EUR" in account["likely_causes"][0]


def test_approved_bills_are_opened_again_only_when_that_is_said(world: World, connector: Command, balance: str) -> None:
    charge_in_euros(world, connector, balance)
    billed(world, connector)
    for bill_id in world.m3ter.bills:
        world.m3ter.approve(bill_id)
    refused = billed(world, connector)
    assert (refused.exit_code, document(refused)["code"]) == (1, "would_reopen")
    assert all(bill_id in document(refused)["error"] for bill_id in world.m3ter.bills)
    assert {bill["status"] for bill in world.m3ter.bills.values()} == {"APPROVED"}
    assert billed(world, connector, "--reopen").exit_code == 0
    assert {bill["status"] for bill in world.m3ter.bills.values()} == {"PENDING"}


def test_locked_bills_are_named_and_left_alone(world: World, connector: Command, balance: str) -> None:
    charge_in_euros(world, connector, balance)
    billed(world, connector)
    for bill_id in world.m3ter.bills:
        world.m3ter.approve(bill_id)
        world.m3ter.lock(bill_id)
    result = billed(world, connector)
    assert result.exit_code == 0
    assert {one["bill_id"] for one in document(result)["locked"]} == set(world.m3ter.bills)
    refused = connector("charges", "delete", "PO-77", *OF, "--reason", "x", "--despite", "on_a_bill", "--yes")
    assert "which is locked: it cannot change any more" in refused.stderr


def test_a_charge_on_a_bill_changes_only_when_that_is_said(world: World, connector: Command, balance: str) -> None:
    charge_in_euros(world, connector, balance)
    billed(world, connector)
    [charge] = world.m3ter.charges.values()
    words = ("charges", "update", charge["id"], "--amount", "150", "--yes", "--despite", "half_of_top_up")
    refused = connector(*words)
    assert (refused.exit_code, f"it is on bill {charge['billId']} of 2026-02-01 (PENDING)" in refused.stderr) == (
        1,
        True,
    )
    assert connector(*words, "--despite", "on_a_bill").exit_code == 0
    assert charges(world) == [("PO-77", Decimal(150), "EUR")]


def test_a_charge_in_the_middle_of_a_term_is_billed_without_the_usage_until_then(
    world: World, connector: Command, balance: str
) -> None:
    world.use(40, 5)
    connector(*TOP_UP, "--reference", "PO-78", "--bill-date", "2026-01-15", "--yes")
    world.m3ter.config["currencyConversions"] = [{"from": "EUR", "to": "USD", "multiplier": Decimal("1.25")}]
    words = ("bill-jobs", "run", *OF, "--bill-date", "2026-01-15", "--wait", "10", "--yes", "--json")
    result = connector(*words)
    [job] = document(result)["started"]
    [bill] = document(result)["results"][0]["bills"]
    assert (job["billing_frequency"], [line["type"] for line in bill["lines"]]) == ("AD_HOC", ["BALANCE_FEE"])
    result = connector(*words, "--with-plans")
    [job] = document(result)["started"]
    assert (job["billing_frequency"], len(world.m3ter.bill_jobs)) == (None, 2)


def test_a_job_that_is_still_running_is_waited_for_and_not_started_twice(
    world: World, connector: Command, balance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    charge_in_euros(world, connector, balance)
    world.m3ter.settings = replace(world.m3ter.settings, bill_job_seconds=5)
    started = connector("bill-jobs", "run", *OF, "--bill-date", "2026-02-01", "--yes", "--json")
    assert (started.exit_code, document(started)["results"]) == (0, [])
    slept: list[int] = []

    def sleep(seconds: int) -> None:
        slept.append(seconds)
        world.box.advance(timedelta(seconds=seconds))

    patient = replace(world.services, sleep=sleep)
    monkeypatch.setattr(common, "wire", lambda: patient)
    result = billed(world, connector)
    assert [job["id"] for job in document(result)["started"]] == [job["id"] for job in document(started)["started"]]
    assert (result.exit_code, slept) == (0, [bill_jobs.POLL_SECONDS] * 3)
    assert len(world.m3ter.bill_jobs) == 1
    assert document(result)["results"][0]["bills"]


def test_waiting_has_an_end(world: World, connector: Command, balance: str) -> None:
    world.m3ter.settings = replace(world.m3ter.settings, bill_job_seconds=3600)
    text = connector("bill-jobs", "run", *OF, "--bill-date", "2026-02-01", "--wait", "4", "--yes").stdout
    assert "PENDING" in text
    assert "connector balances bill-jobs show" in text


def test_a_lost_answer_of_a_bill_job_is_looked_up_before_another_is_started(
    world: World, connector: Command, balance: str
) -> None:
    charge_in_euros(world, connector, balance)
    billed(world, connector)
    world.box.faults.order("m3ter", "create_bill_job", "cut")
    result = billed(world, connector)
    assert result.exit_code == 0
    assert len(world.m3ter.bill_jobs) == 2
    assert [job["id"] for job in document(result)["started"]] == [list(world.m3ter.bill_jobs)[-1]]


def test_a_bill_job_that_nobody_can_tell_of_is_not_guessed(world: World, connector: Command, balance: str) -> None:
    charge_in_euros(world, connector, balance)
    billed(world, connector)
    world.box.faults.order("m3ter", "create_bill_job", "status", status=503)
    result = connector("bill-jobs", "run", *OF, "--bill-date", "2026-02-01", "--yes")
    assert (result.exit_code, "before you start another: it may still come" in result.stderr) == (1, True)
    assert len(world.m3ter.bill_jobs) == 1


def test_refused_credentials_are_not_taken_for_running_jobs(world: World, connector: Command, balance: str) -> None:
    world.box.faults.order("m3ter", "create_bill_job", "status", count=5, status=403)
    result = connector("bill-jobs", "run", *OF, "--bill-date", "2026-02-01", "--yes")
    assert (result.exit_code, "ten bill jobs" in result.stderr) == (1, False)
    assert world.m3ter.bill_jobs == {}


def test_ten_running_jobs_are_said_and_nothing_is_started(world: World, connector: Command, balance: str) -> None:
    world.m3ter.settings = replace(world.m3ter.settings, bill_job_seconds=3600)
    for month in range(1, 11):
        world.m3ter.create_bill_job({"billDate": f"2026-{month:02}-15"})
    result = connector("bill-jobs", "run", *OF, "--bill-date", "2026-02-01", "--yes")
    assert (result.exit_code, "at most ten bill jobs at once" in result.stderr) == (1, True)
    assert len(world.m3ter.bill_jobs) == 10


def test_more_than_a_hundred_accounts_go_in_several_jobs(world: World) -> None:
    ids = [world.m3ter.create_account(f"c{number}")["id"] for number in range(101)]
    plan = bill_jobs.plan(world.services, "default", [*ids, ids[0]], date(2026, 2, 1))
    assert [len(body["accountIds"]) for body in plan.bodies()] == [100, 1]
    assert plan.account_ids == ids


def test_all_accounts_with_a_charge_of_the_day_are_billed(world: World, connector: Command, balance: str) -> None:
    charge_in_euros(world, connector, balance)
    result = connector("bill-jobs", "run", "--due", "--bill-date", "2026-02-01", "--wait", "2", "--yes", "--json")
    assert [one["customer_id"] for one in document(result)["accounts"]] == ["acme"]
    assert (
        "there is nothing to do" in connector("bill-jobs", "run", "--due", "--bill-date", "2026-02-01", "--yes").stdout
    )


def test_a_balance_with_credit_is_deleted_only_when_that_is_said(
    world: World, connector: Command, balance: str
) -> None:
    connector(*TOP_UP, "--reference", "PO-77", "--yes")
    words = ("delete", "prepaid", *OF, "--reason", "opened by mistake", "--yes")
    refused = connector(*words)
    assert "it holds 200.00 USD" in refused.stderr
    assert "these charges of it are on no bill yet: PO-77" in refused.stderr
    assert balance in world.m3ter.balances
    partly = connector(*words, "--despite", "holds_credit")
    assert (partly.exit_code, balance in world.m3ter.balances) == (1, True)
    # What m3ter itself thinks of it is said in its own words.
    meant = connector(*words, "--despite", "holds_credit", "--despite", "has_unbilled_charges")
    assert (meant.exit_code, "is used by a Transaction" in meant.stderr) == (1, True)
    assert balance in world.m3ter.balances


def test_an_empty_balance_is_deleted_with_a_reason(world: World, connector: Command, balance: str) -> None:
    assert connector("delete", "prepaid", *OF, "--yes").exit_code == 2
    assert connector("delete", "prepaid", *OF, "--reason", "opened by mistake", "--yes").exit_code == 0
    assert world.m3ter.balances == {}
    with world.services.reading() as db:
        noted = [entry.detail for entry in db.scalars(select(AuditEntry).filter_by(action="balances delete balance"))]
    assert [(one["outcome"], one.get("reason")) for one in noted] == [("asked", "opened by mistake"), ("done", None)]
    assert "m3ter has no balance" in connector("delete", balance, "--reason", "again", "--yes").stderr


def test_an_end_that_lets_credit_expire_at_once_has_to_be_meant(world: World, connector: Command, balance: str) -> None:
    connector(*TOP_UP, "--yes")
    world.wait(days=40)
    words = ("update", balance, "--end", "2026-02-01", "--yes")
    refused = connector(*words)
    assert (refused.exit_code, "200.00 USD, which would expire at once" in refused.stderr) == (1, True)
    assert connector("update", balance, "--end", "2026-12-01", "--yes").exit_code == 0
    assert connector(*words, "--despite", "expires_credit").exit_code == 0
    assert world.m3ter.balances[balance]["endDate"] == "2026-02-01T00:00:00Z"


def test_fields_are_taken_away_and_all_others_kept(world: World, connector: Command, balance: str) -> None:
    set_them = ("--rollover-end", "2027-02-01", "--rollover-amount", "5", "--description", "For 2026", "--yes")
    assert connector("update", balance, *set_them).exit_code == 0
    assert connector("update", balance, "--clear", "rollover-amount", "--yes").exit_code == 0
    row = world.m3ter.balances[balance]
    assert ("rolloverAmount" in row, row["rolloverEndDate"], row["description"]) == (
        False,
        "2027-02-01T00:00:00Z",
        "For 2026",
    )
    refused = connector("update", balance, "--clear", "rollover-end", "--rollover-amount", "5", "--yes")
    assert "needs the end of the rollover" in refused.stderr


def test_an_update_whose_answer_never_came_can_be_repeated(world: World, connector: Command, balance: str) -> None:
    made = ("charges", "create", "--balance", balance, "--code", "fee", "--name", "Fee", "--currency", "USD")
    assert connector(*made, "--amount", "5", "--yes").exit_code == 0
    world.box.faults.order("m3ter", "update_charge", "cut")
    words = ("charges", "update", "fee", *OF, "--amount", "6", "--yes")
    lost = connector(*words)
    assert (lost.exit_code, "is not known: do the same again" in lost.stderr) == (1, True)
    again = connector(*words)
    assert (again.exit_code, "nothing was changed" in again.stdout) == (0, True)
    assert charges(world) == [("fee", Decimal(6), "USD")]
    assert document(connector("check", balance, "--json"))["balances"][0]["findings"] == []


def test_what_is_gone_already_is_noted_once(world: World, connector: Command, balance: str) -> None:
    made = ("charges", "create", "--balance", balance, "--code", "fee", "--name", "Fee", "--currency", "USD")
    assert connector(*made, "--amount", "5", "--yes").exit_code == 0
    [charge] = world.m3ter.charges.values()
    world.m3ter.delete_charge(charge["id"])
    assert document(connector("check", "--json"))["need_a_person"] == 1
    words = ("charges", "delete", charge["id"], "--reason", "deleted in the console", "--yes")
    assert "nothing was left to delete" in connector(*words).stdout
    assert document(connector("check", "--json"))["need_a_person"] == 0
    assert connector(*words).exit_code == 1


def test_a_balance_is_shown_with_who_made_what(world: World, connector: Command, balance: str) -> None:
    charge_in_euros(world, connector, balance)
    world.m3ter.add_transaction(balance, -30, description="written off")
    world.use(3, 5)
    shown = document(connector("show", "prepaid", *OF, "--json"))
    assert shown["held"] == {"now": "170", "to_come": "0", "disagreements": []}
    assert (shown["summary"]["total_credit"], shown["summary"]["total_debit"]) == ("200", "30")
    by_amount = {one["amount"]: one for one in shown["transactions"]}
    assert by_amount["200"]["charge"]["price"] == "160"
    assert by_amount["200"]["paid_by"] == "charge"
    assert (by_amount["-30"]["request_id"], by_amount["-30"]["maker"]) == (None, "SERVICE_USER")
    assert [one["code"] for one in shown["findings"]] == ["unknown_transaction"]
    assert connector("check", balance).exit_code == 0
    text = connector("show", balance).stdout
    assert "can be drawn down any more" not in text
    assert "Held now: 170.00 USD" in text
    assert "charge of 160.00 EUR, not billed yet" in text


def test_a_balance_that_has_ended_says_what_has_expired(world: World, connector: Command, balance: str) -> None:
    connector(*TOP_UP, "--yes")
    assert (
        connector("update", balance, "--rollover-end", "2027-02-01", "--rollover-amount", "50", "--yes").exit_code == 0
    )
    world.box.advance(to=YEAR_END)
    shown = document(connector("show", balance, "--json"))
    assert (shown["summary"]["expired"], shown["held"]["now"], shown["ended"]) == ("150", "50", False)
    world.box.advance(to=datetime(2027, 2, 1, tzinfo=UTC))
    assert "nothing of it can be drawn down any more" in connector("show", balance).stdout


def test_a_request_is_listed_shown_and_withdrawn(world: World, connector: Command, balance: str) -> None:
    world.box.faults.order("m3ter", "create_balance_transaction", "status", status=400)
    connector("transactions", "create", balance, "--amount", "200", "--reference", "PO-77", "--yes")
    [listed] = document(connector("requests", "list", "--json"))["requests"]
    assert (listed["reference"], listed["status"]) == ("PO-77", "planned")
    shown = connector("requests", "show", str(listed["id"])).stdout
    assert "Request 1: transaction PO-77 of 200.00 USD is planned" in shown
    assert "parked" in shown
    assert connector("requests", "withdraw", str(listed["id"])).exit_code == 2
    words = ("requests", "withdraw", str(listed["id"]), "--reason", "typed wrong")
    assert document(connector(*words, "--dry-run", "--json"))["status"] == "planned"
    assert connector(*words).exit_code == 0
    assert connector(*words).exit_code == 1
    again = connector("transactions", "create", balance, "--amount", "200", "--reference", "PO-77", "--yes")
    assert (again.exit_code, "choose another reference" in again.stdout) == (1, True)
    assert credits(world) == []


def test_what_m3ter_has_twice_is_settled_by_a_persons_word(world: World, connector: Command, balance: str) -> None:
    rows = [world.m3ter.add_transaction(balance, 200, description="x ref:PO-77") for _ in range(2)]
    words = ("transactions", "create", balance, "--amount", "200", "--reference", "PO-77", "--yes")
    parked = connector(*words)
    assert (parked.exit_code, "connector balances requests accept 1" in parked.stdout) == (1, True)
    assert connector("requests", "accept", "1", rows[0]["id"], "--reason", "the first counts").exit_code == 0
    assert world.sync("balance_request", "1").status == "succeeded"
    assert connector(*words).exit_code == 0
    assert len(credits(world)) == 2


def test_a_transaction_type_is_made_once(world: World, connector: Command, balance: str) -> None:
    assert document(connector("transaction-types", "create", "bonus", "--json"))["is_new"] is True
    assert document(connector("transaction-types", "create", "bonus", "--json"))["is_new"] is False
    assert len(world.m3ter.transaction_types) == 2
    refused = connector("transactions", "create", balance, "--amount", "5", "--yes")
    assert "say what type the transaction is of: bonus, top_up" in refused.stderr
    assert connector("transactions", "create", balance, "--amount", "5", "--type", "bonus", "--yes").exit_code == 0


def test_lists_read_as_tables_and_as_json(world: World, connector: Command, balance: str) -> None:
    connector(*scheduled("--yes"))
    connector(*TOP_UP, "--reference", "PO-77", "--yes")
    for words, key, count in (
        (("list",), "balances", 1),
        (("list", *OF), "balances", 1),
        (("transactions", "list", balance), "transactions", 1),
        (("transaction-types", "list"), "transaction_types", 1),
        (("transaction-schedules", "list", balance), "transaction_schedules", 1),
        (("charge-schedules", "list", balance), "charge_schedules", 1),
        (("charges", "list", *OF), "charges", 1),
        (("charges", "list", "--balance", balance, "--bill-date", "2030-01-01"), "charges", 0),
        (("top-ups", "list"), "top_ups", 2),
        (("requests", "list", "--status", "done"), "requests", 4),
        (("bill-jobs", "list", "--active"), "bill_jobs", 0),
    ):  # fmt: skip
        result = connector(*words, "--json")
        assert (result.exit_code, len(document(result)[key])) == (0, count), words
        assert connector(*words).exit_code == 0
    for words in (
        ("transaction-schedules", "show", "monthly", "--balance", balance),
        ("charge-schedules", "show", "monthly", "--balance", balance),
        ("charges", "show", "PO-77", *OF),
    ):
        assert document(connector(*words, "--json"))["code"] == words[2]
        assert connector(*words).exit_code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("show", "0" * 8 + "-0000-0000-0000-" + "0" * 12), ("show", "prepaid"), ("show", "other", *OF),
        ("show", "prepaid", "--account", "nobody"), ("charges", "show", "none"), ("charges", "list"),
        ("charge-schedules", "show", "none", *ON), ("requests", "show", "99"),
        ("bill-jobs", "show", "0" * 8 + "-0000-0000-0000-" + "0" * 12),
    ],
)  # fmt: skip
def test_what_is_not_there_is_said_in_one_sentence(connector: Command, balance: str, words: tuple[str, ...]) -> None:
    result = connector(*words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.stderr
    assert set(document(connector(*words, "--json"))) == {"error", "code", "next_step"}


def test_a_worker_may_be_faster_than_the_command(world: World, connector: Command, balance: str) -> None:
    asked = connector(*TOP_UP, "--reference", "PO-77", "--yes", "--json")
    sync_id = document(asked)["requests"][0]["sync"]["id"]
    assert syncs.attempt(world.services, sync_id, handlers.KINDS) == "not due"
    assert common.attempt_now(world.services, sync_id)[0]["exit_status"] == 0
