"""When something is said of an alert, and when it is over."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connector import settings
from connector.alerts import destinations, rules
from connector.alerts.book import Due
from connector.alerts.findings import harmless
from connector.alerts.messages import LONGEST, compose
from connector.alerts.rules import MORE, NEW, OVER, STILL, URGENT, WARNING, WORSE, Standing, Terms, Told
from connector.models import Alert

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
AT_ONCE = Terms(patience=timedelta(0), remind=DAY, resolved=True)


def alert(severity: str = WARNING, count: int = 1, stood: timedelta = HOUR, *, over: bool = False) -> Standing:
    return Standing(severity, count, NOON - stood, NOON if over else None)


def told(ago: timedelta = HOUR, severity: str = WARNING, count: int = 1, *, resolved: bool = False) -> Told:
    return Told(NOON - ago, severity, count, resolved)


@pytest.mark.parametrize(
    ("standing", "known", "terms", "expected"),
    [
        pytest.param(alert(), None, AT_ONCE, NEW, id="nobody was told yet"),
        pytest.param(alert(stood=MINUTE), None, Terms(2 * MINUTE, DAY, True), None, id="it may still pass"),
        pytest.param(alert(stood=2 * MINUTE), None, Terms(2 * MINUTE, DAY, True), NEW, id="it has not passed"),
        pytest.param(alert(), told(), AT_ONCE, None, id="it still stands"),
        pytest.param(alert(), told(DAY - MINUTE), AT_ONCE, None, id="not yet time for a reminder"),
        pytest.param(alert(), told(DAY), AT_ONCE, STILL, id="time for a reminder"),
        pytest.param(alert(URGENT), told(MINUTE), AT_ONCE, WORSE, id="it has become urgent"),
        pytest.param(alert(WARNING), told(severity=URGENT), AT_ONCE, None, id="it is less urgent now"),
        pytest.param(alert(count=2), told(count=1), AT_ONCE, None, id="doubled, but by one"),
        pytest.param(alert(count=6), told(count=1), AT_ONCE, MORE, id="many more"),
        pytest.param(alert(count=199), told(count=100), AT_ONCE, None, id="more, but not twice as many"),
        pytest.param(alert(count=200), told(count=100), AT_ONCE, MORE, id="twice as many"),
        pytest.param(alert(count=200), told(14 * MINUTE, count=100), AT_ONCE, None, id="growth is said now and then"),
        pytest.param(alert(count=1), told(count=100), AT_ONCE, None, id="fewer"),
        pytest.param(alert(over=True), told(), AT_ONCE, OVER, id="over"),
        pytest.param(alert(over=True), told(resolved=True), AT_ONCE, None, id="over, as is known"),
        pytest.param(alert(over=True), None, AT_ONCE, None, id="over before anybody was told"),
        pytest.param(alert(over=True), told(), Terms(timedelta(0), DAY, False), None, id="ends are not said"),
        pytest.param(alert(URGENT), None, Terms(timedelta(0), DAY, True, muted=True), None, id="muted"),
        pytest.param(alert(over=True), told(), Terms(timedelta(0), DAY, True, muted=True), None, id="muted and over"),
    ],
)
def test_what_a_destination_is_told(standing: Standing, known: Told | None, terms: Terms, expected: str | None) -> None:
    assert rules.reason(standing, known, terms, NOON) == expected


@pytest.mark.parametrize(
    ("returns", "quiet", "expected"),
    [
        pytest.param(0, 9 * MINUTE, False, id="quiet for too short"),
        pytest.param(0, 10 * MINUTE, True, id="quiet for long enough"),
        pytest.param(1, 19 * MINUTE, False, id="it came back once: twice as long"),
        pytest.param(3, 79 * MINUTE, False, id="it came back three times"),
        pytest.param(3, 80 * MINUTE, True, id="and is quiet for eight times as long"),
        pytest.param(1000, DAY, True, id="never longer than a day"),
    ],
)
def test_what_keeps_coming_back_is_over_only_after_a_longer_quiet(
    returns: int, quiet: timedelta, expected: bool
) -> None:
    assert rules.is_over(NOON - quiet, returns, NOON) is expected


@pytest.mark.parametrize(
    ("resolved_at", "expected"),
    [
        pytest.param(NOON - HOUR, 3, id="again within a day"),
        pytest.param(NOON - DAY, 0, id="after a day it is new"),
        pytest.param(None, 0, id="never over"),
    ],
)
def test_what_comes_back_within_a_day_is_counted(resolved_at: datetime | None, expected: int) -> None:
    assert rules.returns_of(resolved_at, 2, NOON) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("account jane.doe@example.com waits", "account ••• waits", id="an address that is an id"),
        pytest.param("@channel <!here> <@U123>", "(at)channel ‹!here› •••", id="mentions"),
        pytest.param("[click](https://evil.example)", "(click)(https: //evil.example)", id="a link in Markdown"),
        pytest.param("<https://evil.example|safe>", "‹https: //evil.example/safe›", id="a link as Slack has it"),
        pytest.param("two\nlines\r\nand\ttabs", "two lines and tabs", id="lines"),
        pytest.param("right\u202eleft", "right\\u202eleft", id="what turns the direction of reading"),
        pytest.param("x" * 400, "x" * 300 + "…", id="too long"),
        pytest.param("unmapped_item_price: `connector syncs retry`", None, id="what we write ourselves"),
    ],
)
def test_what_goes_to_a_chat_neither_mentions_nor_links_nor_names_anybody(text: str, expected: str | None) -> None:
    assert harmless(text) == (text if expected is None else expected)


def many(number: int) -> list[Due]:
    """So many alerts, each of which has a lot to say."""
    return [
        Due(
            Alert(
                key=f"parked:{one}", severity=URGENT if one == 0 else WARNING, count=1, text=f"{one} {'x' * 200}",
                next_step="y" * 200, page="/syncs?cause=z", command="connector syncs list", opened_at=NOON, returns=0,
            ),
            NEW,
        )
        for one in range(number)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "longest"),
    [
        pytest.param(1000, 32768, id="no longer than anybody reads"),
        pytest.param(1000, 900, id="as long as Teams and PagerDuty take"),
        pytest.param(3, 160, id="a destination that takes next to nothing"),
    ],
)
def test_a_message_is_never_longer_than_its_destination_takes_and_says_how_much_is_left_out(
    number: int, longest: int
) -> None:
    message = compose(many(number), console_url="https://c.example/console", all_over=False, longest=longest)
    assert len(message.body) <= min(longest, LONGEST)
    assert message.body.startswith("URGENT: 0 xxx")
    left = number - len(re.findall("^(URGENT|WARNING): ", message.body, re.MULTILINE))
    assert message.body.endswith(f"… and {left} more: https://c.example/console/alerts")
    assert message.title == f"Chargebee-m3ter connector: 1 urgent, {number - 1} warnings"


def test_the_addresses_that_the_readme_shows_are_those_that_apprise_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    [listed] = re.findall(r"^```alerts\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)
    (tmp_path / "urls").write_text(listed, encoding="utf-8")
    loaded = settings.load({"ALERT_URLS_FILE": "urls"}, needs_connection=False)
    found = destinations.of(loaded)
    assert [(one.name, one.least) for one in found] == [
        ("mailtos", WARNING), ("slack", WARNING), ("workflows", WARNING), ("pagerduty", URGENT), ("jsons", WARNING),
    ]  # fmt: skip
    # Teams and PagerDuty take less than a screen.
    assert [one.longest < 1024 for one in found] == [False, False, True, True, False]
