"""Alerts, from what stands in the database to a real address that takes them: grouped, once, and as long as it stands."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import structlog
from click.testing import CliRunner, Result
from sqlalchemy import func, select, update

from connector import clock, leases, pauses, polls, syncs
from connector.access import OPERATOR, VIEWER
from connector.alerts import book, destinations, rules, shown, watching
from connector.alerts.conditions import CONDITIONS
from connector.bills import closing
from connector.cli import main
from connector.errors import Misconfigured
from connector.models import (
    Alert,
    AuditEntry,
    BalanceWatch,
    BillComparison,
    BillSnapshot,
    Failure,
    InboxEvent,
    LinePush,
    Sync,
)
from connector.services import Services
from tests.flows.browser import Browser, add_user, text_of
from tests.flows.conftest import UNMAPPED, World

pytestmark = pytest.mark.alternate_databases

Make = Callable[..., Services]
SECRET = "s3cr3t-canary"
CONSOLE = "https://connector-admin.example.com/console"


class Inbox:
    """An address that takes messages as JSON, or answers what the test wants; `took` are those that it said it took."""

    def __init__(self) -> None:
        self.took: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.answer = 200
        here = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                here.asked.append(self.path)
                if here.answer == 200:
                    here.took.append(body)
                self._end()

            def do_GET(self) -> None:
                here.asked.append(self.path)
                self._end()

            def _end(self) -> None:
                self.send_response(here.answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/{SECRET}"

    def titles(self) -> list[str]:
        return [one["title"].removeprefix("Chargebee-m3ter connector: ") for one in self.took]


@pytest.fixture
def inboxes() -> Iterator[Callable[[], Inbox]]:
    made: list[Inbox] = []

    def make() -> Inbox:
        made.append(Inbox())
        return made[-1]

    yield make
    for one in made:
        one.server.shutdown()
        one.server.server_close()


@pytest.fixture
def mail(inboxes: Callable[[], Inbox]) -> Inbox:
    return inboxes()


@pytest.fixture
def told(world: World, make_services: Make, mail: Inbox) -> World:
    """A world whose alerts go to `mail`; that nothing happens for days in it is no alert."""
    world.services = make_services(ALERT_URLS=mail.url, CONSOLE_URL=CONSOLE, ALERT_SILENCE_HOURS="0")
    return world


@pytest.fixture
def run(told: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `connector alerts …` with this world's services."""
    monkeypatch.setattr("connector.cli.alerts.wire", lambda **_: told.services)
    return lambda *words: CliRunner().invoke(main, ["alerts", *words])


def look(world: World, **span: float) -> None:
    """Let time pass and the clock look for alerts, in a world in which no list and no work is late."""
    world.wait(**span)
    with world.services.transaction() as db:
        for what in (polls.EVENTS, polls.BILLS):
            polls.note(db, "default", what, world.services.now())
    watching.watch(world.services)


def park(world: World, number: int, first: int = 1) -> None:
    for one in range(first, first + number):
        world.sign_up("acme", f"sub-{one}", items=(UNMAPPED,))
    world.settle()


def keys(world: World) -> set[str]:
    with world.services.reading() as db:
        return set(db.scalars(select(Alert.key).where(Alert.resolved_at.is_(None))))


def test_ten_parked_syncs_of_one_cause_are_one_message_which_is_repeated_as_long_as_they_stand(
    told: World, mail: Inbox
) -> None:
    park(told, 10)
    look(told)
    [message] = mail.took
    assert mail.titles() == ["1 warning"]
    assert message["type"] == "warning"
    assert (
        "WARNING: 10 subscription syncs of default are parked: unmapped_item_price, the oldest since 2026-01-01"
        in (message["message"])
    )
    assert (
        f"{CONSOLE}/syncs?connection=default&kind=subscription&status=parked&cause=unmapped_item_price"
        in message["message"]
    )
    assert f"connector mappings add Plan ‹m3ter plan id› ItemPrice {UNMAPPED}" in message["message"]

    # It stands, and one more joins them: that is no news.
    park(told, 1, first=11)
    look(told, hours=1)
    look(told, hours=22)
    assert len(mail.took) == 1
    look(told, hours=1)
    assert len(mail.took) == 2
    assert "still: 11 subscription syncs" in mail.took[1]["message"]

    # Somebody has seen to them: it is over, which is said once, after a while.
    with told.services.transaction() as db:
        for one in told.syncs(status="parked"):
            assert syncs.skip(db, one.id, "not ours", told.services.now())
    look(told)
    look(told, minutes=9)
    assert len(mail.took) == 2
    look(told, minutes=1)
    look(told, hours=1)
    assert mail.titles() == ["1 warning", "1 warning", "1 over"]
    assert (mail.took[2]["type"], mail.took[2]["message"][:5]) == ("success", "OVER:")


def test_nothing_has_come_for_so_many_hours(told: World, mail: Inbox, make_services: Make) -> None:
    told.services = make_services(ALERT_URLS=mail.url, CONSOLE_URL=CONSOLE)
    look(told, hours=23)
    assert mail.took == []
    look(told, hours=1)
    [message] = mail.took
    assert "nothing has come from Chargebee for default since 2026-01-01 00:00 UTC" in message["message"]
    assert f"{CONSOLE}/events?connection=default&source=chargebee" in message["message"]
    # Somebody signs up, and the webhook says so.
    told.sign_up()
    told.settle()
    look(told, minutes=1)
    look(told, minutes=10)
    assert mail.titles() == ["1 warning", "1 over"]


def test_events_that_come_only_with_the_list_tell_that_webhooks_do_not(told: World, mail: Inbox) -> None:
    told.sign_up()
    told.hold_back()
    told.box.advance(timedelta(minutes=8))
    clock.catch_up_events(told.services)
    look(told)
    assert mail.took == []  # it may be that they are late just once
    look(told, minutes=30)
    assert "webhooks of Chargebee's seem not to come for default" in mail.took[-1]["message"]


def test_a_destination_that_fails_holds_up_no_other_and_gets_what_stands_once_it_is_back(
    told: World, mail: Inbox, inboxes: Callable[[], Inbox], make_services: Make
) -> None:
    pager = inboxes()
    pager.answer = 503
    told.services = make_services(ALERT_URLS=f"{mail.url} {pager.url}", CONSOLE_URL=CONSOLE)
    park(told, 1)
    for _ in range(3):
        look(told, minutes=1)
    assert (mail.titles(), len(pager.asked)) == (["1 warning"], 2)  # at 1 and 2 minutes; then it is waited for longer
    look(told, minutes=1)
    look(told, minutes=1)
    assert len(pager.asked) == 3
    assert "alerts to json-2 have not gone through 3 times" in mail.took[1]["message"]
    pager.answer = 200
    look(told, minutes=60)
    assert pager.titles() == ["1 warning"]  # nobody is told by itself that it cannot be reached
    look(told, minutes=60)
    assert (mail.titles()[2:], pager.titles()[1:]) == (["1 over"], [])


def test_a_crash_between_sending_and_noting_it_repeats_that_one_message(
    told: World, mail: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    park(told, 1)
    with monkeypatch.context() as dying:
        dying.setattr(book, "note_told", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            watching.watch(told.services)
    assert len(mail.took) == 1
    look(told, seconds=30)
    assert len(mail.took) == 1  # the try was written down: it waits for its time
    for _ in range(5):
        look(told, minutes=1)
    assert len(mail.took) == 2


def test_two_clocks_send_once_and_one_that_is_at_it_is_left_alone(told: World, mail: Inbox) -> None:
    park(told, 1)
    with leases.held(told.services, "alerts", 60):
        watching.watch(told.services)
    assert mail.took == []
    # Both look at the same moment.
    both = [threading.Thread(target=watching.watch, args=(told.services,)) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert len(mail.took) == 1
    with told.services.reading() as db:
        assert db.scalar(select(func.count(Alert.id))) == 1


def test_the_clock_looks_for_alerts_and_sends_a_sign_of_life(
    told: World, mail: Inbox, inboxes: Callable[[], Inbox], make_services: Make
) -> None:
    outside = inboxes()
    told.services = make_services(
        ALERT_URLS=mail.url, HEARTBEAT_URL=f"http://127.0.0.1:{outside.port}/{SECRET}", ALERT_SECONDS="60"
    )
    park(told, 1)
    ticking = clock.Clock(told.services)
    for _ in range(3):
        ticking.tick()
        told.box.advance(timedelta(seconds=30))
    assert mail.titles() == ["1 warning"]
    assert "\nconnector syncs list --connection default --kind subscription --status parked" in mail.took[0]["message"]
    assert outside.asked == [f"/{SECRET}"] * 2
    outside.server.server_close()
    told.box.advance(timedelta(seconds=60))
    ticking.tick()  # nobody is there, and nothing happens


def test_only_what_cannot_wait_goes_to_a_destination_of_urgent_alerts(
    told: World, mail: Inbox, inboxes: Callable[[], Inbox], make_services: Make
) -> None:
    pager = inboxes()
    told.services = make_services(ALERT_URLS=f"{mail.url} urgent={pager.url}", CONSOLE_URL=CONSOLE)
    park(told, 1)
    with told.services.transaction() as db:
        db.add(Failure(connection="default", provider="m3ter", sync_id=1, cause="access_refused"))
    look(told)
    assert (mail.titles(), pager.titles()) == (["1 urgent, 1 warning"], ["1 urgent"])
    [message] = pager.took
    assert (message["type"], "m3ter refuses the credentials of default" in message["message"]) == ("failure", True)
    assert mail.took[0]["message"].startswith("URGENT:")  # the worst first
    with told.services.transaction() as db:
        db.execute(Failure.__table__.delete())
    look(told, minutes=10)
    # The pager has nothing left that is open; the mailbox still has a warning.
    assert (pager.titles()[1:], pager.took[1]["type"]) == (["1 over"], "success")
    assert (mail.titles()[1:], mail.took[1]["type"]) == (["1 over"], "info")


def test_what_comes_and_goes_is_not_said_each_time(told: World, mail: Inbox) -> None:
    park(told, 1)
    [sync] = told.syncs(status="parked")

    def stands(status: str) -> None:
        with told.services.transaction() as db:
            db.execute(update(Sync).where(Sync.id == sync.id).values(status=status))

    for _ in range(6):
        look(told, minutes=3)
        stands("superseded")
        look(told, minutes=3)
        stands("parked")
    assert mail.titles() == ["1 warning"]


def test_neither_names_nor_mentions_nor_secrets_leave_by_a_message(told: World, mail: Inbox) -> None:
    told.sign_up("jane.canary@example.test", "sub-1", items=(UNMAPPED,))
    told.settle()
    with told.services.transaction() as db:
        harm = "Write to jane.canary@example.test, @channel <!here> [now](https://evil.example)"
        db.execute(update(Sync).where(Sync.status == "parked").values(next_step=harm, text="Jane Canary, 4111 1111"))
        pauses.pause_by_hand(db, "default", pauses.ALL, "Jane Canary is on leave (ada)", told.services.now())
    look(told)
    look(told, hours=8)
    said = "".join(one["message"] for one in mail.took)
    assert "default is paused by a person" in said
    assert "anary" not in said
    assert "@" not in said
    assert "4111" not in said
    assert "evil.example" in said
    assert "://evil" not in said
    assert "<" not in said


def test_addresses_are_secrets_in_logs_errors_and_settings(
    told: World, mail: Inbox, make_services: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    mail.answer = 401
    park(told, 1)
    with structlog.testing.capture_logs() as logs:
        structlog_before = structlog.get_config()["wrapper_class"]
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG))
        try:
            watching.watch(told.services)
        finally:
            structlog.configure(wrapper_class=structlog_before)
    assert len(mail.asked) == 1
    kept = [str(shown.of_installation(told.services)), repr(told.services.settings), caplog.text, str(logs)]
    kept.append(repr(destinations.of(told.services.settings)))
    assert [SECRET in one for one in kept] == [False] * 5
    wrong = make_services(ALERT_URLS=f"{mail.url} nosuchservice://{SECRET}")
    with pytest.raises(Misconfigured) as refused:
        destinations.of(wrong.settings)
    assert "address 2 of 2 (nosuchservice://…)" in str(refused.value)
    with pytest.raises(Misconfigured) as refused:
        make_services(ALERT_URLS=f"{mail.url} {SECRET}")
    assert "ALERT_URLS: address 2 of 2 should look like" in str(refused.value)
    with pytest.raises(Misconfigured) as refused:
        make_services(HEARTBEAT_URL=f"http://elsewhere.example/{SECRET}")
    assert SECRET not in str(refused.value)


def test_everything_that_goes_wrong_is_found(
    told: World, mail: Inbox, make_services: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One world in which all of it goes wrong at once: each condition has its alert."""
    told.sign_up()
    told.settle()
    settings = {
        "ALERT_URLS": mail.url,
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "SHADOW": "true",
        "ALERT_WAITING_HOURS": "5",
    }
    now = told.services.now()
    assert told.post("/webhooks/chargebee", b"{") == 400
    with told.services.transaction() as db:
        common = {
            "connection": "default", "trigger": "test", "created_at": now, "updated_at": now, "next_attempt_at": now,
        }  # fmt: skip
        later = common | {"next_attempt_at": now + timedelta(days=9)}
        db.add_all(
            [
                Sync(**common, kind="customer", subject="a", status="pending"),
                Sync(**later, kind="customer", subject="b", status="pending", attempts=4, cause="not_now"),
                Sync(**later, kind="customer", subject="c", status="running", crashes=2, runs=2),
                Sync(**later, kind="bill", subject="d", status="waiting", cause="invoice_in_doubt"),
                Sync(**later, kind="bill", subject="e", status="waiting", cause="no_pending_invoice"),
                Sync(**later, kind="bill", subject="f", status="parked", cause="line_doubled"),
                Sync(**later, kind="customer", subject="g", status="parked", cause="no_email"),
                Sync(**later, kind="balance_watch", subject="h", status="parked", cause="balance_low"),
                Failure(connection="default", provider="m3ter", sync_id=1, cause="access_refused"),
                *(
                    InboxEvent(
                        connection="default", source="chargebee", event_id=f"late-{number}", event_type="x", body=b"",
                        occurred_at=now - timedelta(hours=1), received_at=now, sha256="", status=status,
                    )
                    for number, status in enumerate(["done"] * 8 + ["failed", "new"])
                ),
                BalanceWatch(
                    connection="default", balance_id="b", account_id="a", currency="USD", threshold=1, free=False,
                    enabled=True, state="low", state_since=now, next_check_at=now, made_by="test", made_at=now,
                ),
                BillComparison(
                    connection="default", bill_id="b", account_id="a", billed_until=now, currency="USD", decimals=2,
                    wanted_minor=1, found_minor=2, verdict="differs", is_final=True, differences=[], alike=[],
                    compared_at=now,
                ),
            ]
        )  # fmt: skip
        frozen = BillSnapshot(
            connection="default", bill_id="f", generation=1, account_id="a", bill_version=1, sha256="", currency="USD",
            decimals=2, exact_total=Decimal("2234.50"), total_minor=223450, lines=[], status="pushing", created_at=now,
        )  # fmt: skip
        db.add(frozen)
        db.flush()
        for number, (kind, status, minor) in enumerate(
            [("charge", "done", 100000), ("charge", "planned", 133450), ("promotional_credit", "planned", 10000)]
        ):
            db.add(
                LinePush(
                    connection="default", bill_id="f", snapshot_id=frozen.id, position=number, charge_key=str(number),
                    kind=kind, parts=[], description="", date_from=now, date_to=now, amount_minor=minor, currency="USD",
                    idempotency_key=str(number), status=status,
                )
            )  # fmt: skip
        pauses.pause_by_hand(db, "default", pauses.CHARGEBEE, "moving", now)
        pauses._pause(db, "default", pauses.MONEY, "restored", "an older copy", now, None)
        from connector import catch_up

        catch_up._remember(db, "default", catch_up.LOST, now)
        watching._note_try(db, "slack", now, 60)
        watching._note_try(db, "slack", now, 60)
        watching._note_try(db, "slack", now, 60)
    told.services = make_services(**settings)
    risky = closing.Work(closing.PERSON, "b", "a", "i", "s", 1, now, at_risk=True)
    monkeypatch.setattr(closing, "of_connection", lambda *_: [risky])
    told.box.advance(timedelta(hours=7))
    watching.look(told.services)
    watching.look(told.services, slow=True)
    expected = {
        "parked:default:bill:line_doubled", "parked:default:customer:no_email", "failing:default:customer:not_now",
        "crashing:default:customer:no_cause", "waiting_long:default:bill:invoice_in_doubt", "work_untaken:*",
        "events_untaken:*", "no_webhooks:default", "poll_late:default:events", "poll_late:default:bills",
        "events_lost:default", "events_failed:default", "quarantined:default", "paused:default:money",
        "paused_by_hand:default:chargebee", "access_refused:default:m3ter", "redis_away:*", "alerts_undelivered:*:slack",
        "balance_low:default:low", "shadow_differs:default", "closing:default",
    }  # fmt: skip
    assert keys(told) == expected
    # Each condition was there, but that of silence, which cannot stand beside events.
    assert {key.split(":")[0] for key in expected} == {name for one in CONDITIONS for name in one.names} - {"no_events"}
    urgent = {one.key for one in shown.of_installation(told.services).open if one.severity == rules.URGENT}
    assert {"parked:default:bill:line_doubled", "redis_away:*", "poll_late:default:events"} <= urgent
    assert "parked:default:customer:no_email" not in urgent
    [doubled] = [one for one in shown.of_installation(told.services).open if one.key.endswith("line_doubled")]
    assert doubled.text.endswith("; 1,234.50 USD of their bills is not sent yet")


def test_a_condition_that_cannot_be_looked_at_neither_ends_its_alerts_nor_silences_others(
    told: World, mail: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    park(told, 1)
    look(told)
    broken = [replace(one, find=lambda _: 1 // 0) if "parked" in one.names else one for one in CONDITIONS]
    monkeypatch.setattr(watching, "CONDITIONS", broken)
    with told.services.transaction() as db:
        db.add(Failure(connection="default", provider="m3ter", sync_id=1, cause="access_refused"))
    look(told, hours=2)
    assert mail.titles() == ["1 warning", "1 urgent"]


def test_muted_alerts_are_kept_quiet_until_their_time_by_command_and_by_page(
    told: World, mail: Inbox, run: Callable[..., Result]
) -> None:
    park(told, 1)
    key = "parked:default:subscription:unmapped_item_price"
    preview = run("preview")
    assert f"{CONSOLE}/syncs?" in preview.output
    assert mail.took == []
    assert run("mute", key, "--hours", "2", "--reason", "moving house").exit_code == 0
    [listed] = json.loads(run("list", "--json").stdout)["alerts"]
    assert (listed["key"], listed["muted_for"], listed["count"]) == (key, "moving house", 1)
    look(told)
    assert mail.took == []
    look(told, hours=2)
    assert mail.titles() == ["1 warning"]
    assert run("mute", "parked", "--hours", "2", "--reason", "x").exit_code == 1
    assert run("unmute", key).exit_code == 1  # it is not muted any more

    for name, role in (("vera", VIEWER), ("otto", OPERATOR)):
        add_user(told.services, name, role)
    viewer, operator = Browser(told.services), Browser(told.services)
    viewer.log_in("vera")
    operator.log_in("otto")
    page = viewer.get("/alerts")
    assert "1 subscription sync of default is parked: unmapped_item_price" in text_of(page)
    link = "/console/syncs?connection=default&amp;kind=subscription&amp;status=parked&amp;cause=unmapped_item_price"
    assert f'href="{link}"' in page.text
    assert 'action="/console/alerts/mute"' not in page.text
    assert 'action="/console/alerts/mute"' in operator.get("/alerts").text
    assert operator.post("/alerts/mute", {"key": key, "hours": "4", "reason": "<b>known</b>"}).status_code == 303
    page = viewer.get("/alerts")
    assert "by web:otto: <b>known</b>" in text_of(page)
    assert "<b>" not in page.text
    assert operator.post("/alerts/mute", {"key": "nonsense", "hours": "4", "reason": "x"}).status_code == 409
    look(told, hours=25)
    assert len(mail.took) == 2  # muted for four hours only; the reminder was due then
    with told.services.reading() as db:
        noted = list(db.scalars(select(AuditEntry.action).where(AuditEntry.subject == key).order_by(AuditEntry.id)))
    assert noted == ["alerts mute", "alerts mute"]


def test_a_test_message_says_of_each_destination_how_it_went(
    told: World, mail: Inbox, inboxes: Callable[[], Inbox], make_services: Make, run: Callable[..., Result]
) -> None:
    broken = inboxes()
    broken.answer = 404
    told.services = make_services(ALERT_URLS=f"{mail.url} urgent={broken.url} json://127.0.0.1:1/{SECRET}")
    answer = run("test", "--json")
    assert answer.exit_code == 1
    assert json.loads(answer.stdout)["destinations"] == [
        {"destination": "json", "sent": True, "why": None},
        {"destination": "json-2", "sent": False, "why": "it answered with status 404"},
        {"destination": "json-3", "sent": False, "why": "it could not be reached, or refused the message"},
    ]
    assert mail.titles() == ["test"]
