"""`connector sandbox …`: a sandbox that runs is driven from a terminal."""

import json
import socket
from typing import Any

import pytest
from click.testing import CliRunner

from connector.cli import main
from connector.sandbox import Sandbox, Server


def run(*words: str) -> Any:
    """The command's document, or its error."""
    result = CliRunner().invoke(main, ["sandbox", *words, "--json"])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return json.loads(result.stdout)


@pytest.fixture
def drive(server: Server) -> Any:
    return lambda *words: run(*words, "--url", server.url)


def test_time_is_told_and_moved(drive: Any, shop: Sandbox):
    assert drive("time") == {"now": "2026-01-01T00:00:00+00:00"}
    assert drive("time", "--days", "1") == {"now": "2026-01-02T00:00:00+00:00"}
    assert drive("time", "--to", "2026-02-01") == {"now": "2026-02-01T00:00:00+00:00"}
    assert len(shop.chargebee.pending_invoices("sub")) == 1


def test_a_fault_is_ordered_shown_and_taken_back(drive: Any, box: Sandbox, chargebee_http: Any):
    fault = drive(
        "fault", "chargebee", "list_customers", "status", "--count", "2", "--skip", "1", "--detail", "status=503"
    )
    assert fault == drive("faults")
    assert fault["faults"] == [
        {
            "provider": "chargebee",
            "operation": "list_customers",
            "kind": "status",
            "count": 2,
            "skip": 1,
            "detail": {"status": 503},
        }
    ]
    assert [chargebee_http.get("customers").status_code for _ in range(2)] == [200, 503]
    assert drive("faults", "--clear") == {"faults": []}
    assert chargebee_http.get("customers").status_code == 200


def test_details_are_numbers_where_they_look_like_it(drive: Any, box: Sandbox):
    drive("fault", "m3ter", "*", "delay", "--detail", "seconds=0.5")
    drive("fault", "m3ter", "*", "redirect", "--detail", "location=http://elsewhere.test/?a=b")
    assert [fault.detail for fault in box.faults.orders] == [
        {"seconds": pytest.approx(0.5)},
        {"location": "http://elsewhere.test/?a=b"},
    ]


def test_calls_are_shown_and_forgotten(drive: Any, chargebee_http: Any):
    chargebee_http.get("customers", query_string={"limit": "1"})
    [call] = drive("calls")["calls"]
    assert (call["operation"], call["query"]) == ("list_customers", "limit=1")
    assert drive("calls", "--clear") == {"calls": []}


def test_a_snapshot_is_taken_listed_and_restored(drive: Any, box: Sandbox):
    drive("snapshot", "empty")
    box.chargebee.create_customer("acme")
    assert drive("state")["chargebee"]["customers"] == 1
    drive("snapshot", "one customer")
    assert drive("snapshots") == {"snapshots": ["empty", "one customer"]}
    assert drive("restore", "empty")["chargebee"]["customers"] == 0
    drive("restore", "one customer")
    assert list(box.chargebee.customers) == ["acme"]


def test_webhooks_are_sent(drive: Any, box: Sandbox):
    box.chargebee.add_webhook_endpoint("http://127.0.0.1:9/hook")
    box.chargebee.create_customer("acme")
    [delivery] = drive("deliver")["deliveries"]
    assert (delivery["event_type"], delivery["status"]) == ("customer_created", None)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        pytest.param(["time", "--days", "1", "--to", "2026-02-01"], "either", id="two times"),
        pytest.param(["time", "--to", "soon"], "is not a time", id="no time"),
        pytest.param(["time", "--to", "2025-01-01"], "only moves forward", id="back in time"),
        pytest.param(["fault", "stripe", "*", "cut"], "no provider", id="a provider that is none"),
        pytest.param(["fault", "m3ter", "*", "burn"], "say one of refuse", id="a kind that is none"),
        pytest.param(["fault", "m3ter", "*", "late"], "needs seconds", id="a detail is missing"),
        pytest.param(["fault", "m3ter", "*", "late", "--detail", "seconds"], "is not like", id="half a detail"),
        pytest.param(["fault", "m3ter", "*", "cut", "--detail", "kind=late"], "no detail", id="a detail that is none"),
        pytest.param(["restore", "nothing"], "no snapshot 'nothing'", id="a snapshot that is none"),
    ],
)
def test_a_mistake_gets_a_sentence(words: list[str], complaint: str, drive: Any):
    assert complaint in drive(*words)["error"]


@pytest.mark.parametrize("words", [["state"], ["time", "--days", "1"], ["calls", "--clear"]])
def test_where_nobody_answers_it_says_so(words: list[str]):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert run(*words, "--url", url)["error"] == f"no sandbox answers at {url}"


@pytest.mark.parametrize("url", ["nonsense", "ftp://127.0.0.1", "http://[", "http://a..b"])
def test_an_address_that_is_none_gets_a_sentence(url: str):
    assert run("state", "--url", url)["error"] == f"no sandbox answers at {url}"


def test_what_is_no_sandbox_is_not_taken_for_one(server: Server):
    url = f"{server.url}/chargebee/api/v2"
    assert run("state", "--url", url)["error"] == f"what answers at {url} is no sandbox"


@pytest.mark.parametrize("command", ["time", "state", "faults", "calls", "snapshots", "deliver"])
def test_every_command_prints_text_too(command: str, server: Server, shop: Sandbox, chargebee_http: Any):
    chargebee_http.get("customers")
    shop.faults.order("m3ter", "*", "status", status=429)
    result = CliRunner().invoke(main, ["sandbox", command, "--url", server.url])
    assert result.exit_code == 0
    assert result.stdout
