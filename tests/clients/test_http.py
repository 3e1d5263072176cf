"""What each way a call can end means to the rest of the connector."""

import logging
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime

import pytest
import requests
import responses
from requests.exceptions import ChunkedEncodingError, ConnectTimeout, ReadTimeout, SSLError
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProtocolError

from connector.clients.http import Answer, Http, base_url, recorded_calls, segment, to_json, url_path
from connector.errors import AccessRefused, ConnectorError, Misconfigured, NotFound, Rejected, Retryable, Uncertain

URL = "https://api.example.com/api/v2/invoices/inv_1"
SECRET = "live_topsecret"
BASIC = "Basic " + b64encode(f"{SECRET}:".encode()).decode()


def get(http: Http, **changes: object) -> Answer:
    return call(http, method="GET", writes=False, **changes)


def post(http: Http, **changes: object) -> Answer:
    return call(http, method="POST", writes=True, **changes)


def call(http: Http, **changes: object) -> Answer:
    usual = {"provider": "Chargebee", "operation": "Invoice.retrieve", "url": URL, "headers": {"Authorization": BASIC}}
    return http.call(**{**usual, **changes})


def failure(send: Callable[..., Answer], http: Http, **changes: object) -> ConnectorError:
    with pytest.raises(ConnectorError) as caught:
        send(http, **changes)
    return caught.value


@pytest.mark.parametrize(
    ("status", "for_a_read", "for_a_write"),
    [
        (301, Rejected, Rejected),
        (302, Rejected, Rejected),
        (307, Rejected, Rejected),
        (400, Rejected, Rejected),
        (401, AccessRefused, AccessRefused),
        (403, AccessRefused, AccessRefused),
        (404, NotFound, NotFound),
        (405, Rejected, Rejected),
        (408, Retryable, Uncertain),
        (409, Rejected, Rejected),
        (412, Rejected, Rejected),
        (422, Rejected, Rejected),
        (429, Retryable, Retryable),
        (500, Retryable, Uncertain),
        (502, Retryable, Uncertain),
        (503, Retryable, Uncertain),
        (504, Retryable, Uncertain),
    ],
)
def test_a_status_means_the_same_for_every_operation(http, network, status, for_a_read, for_a_write):
    network.add(responses.GET, URL, status=status, body="<html>busy</html>")
    network.add(responses.POST, URL, status=status, body="<html>busy</html>")
    assert type(failure(get, http)) is for_a_read
    assert type(failure(post, http)) is for_a_write


def refused_connection() -> Exception:
    return requests.ConnectionError(MaxRetryError(None, URL, NewConnectionError(None, "refused")))


@pytest.mark.parametrize(
    ("error", "for_a_read", "for_a_write"),
    [
        pytest.param(refused_connection(), Retryable, Retryable, id="connection refused"),
        pytest.param(ConnectTimeout(), Retryable, Retryable, id="connecting took too long"),
        pytest.param(SSLError(), Retryable, Retryable, id="TLS failed"),
        pytest.param(ReadTimeout(), Retryable, Uncertain, id="no answer in time"),
        pytest.param(requests.ConnectionError(ProtocolError("aborted")), Retryable, Uncertain, id="connection cut"),
        pytest.param(requests.ConnectionError("who knows"), Retryable, Uncertain, id="in doubt"),
        pytest.param(ChunkedEncodingError(), Retryable, Uncertain, id="answer cut"),
    ],
)
def test_a_failing_connection_is_certain_only_where_nothing_was_sent(http, network, error, for_a_read, for_a_write):
    network.add(responses.GET, URL, body=error)
    network.add(responses.POST, URL, body=error)
    assert type(failure(get, http)) is for_a_read
    assert type(failure(post, http)) is for_a_write


@pytest.mark.parametrize("body", ["", "<html>hello</html>", '{"invoice": ', '{"total": NaN}', "[" * 100_000, "\udcff"])
def test_a_success_that_is_not_json_is_no_success(http, network, body):
    network.add(responses.GET, URL, body=body.encode("utf-8", "surrogateescape"))
    network.add(responses.POST, URL, body=body.encode("utf-8", "surrogateescape"))
    assert type(failure(get, http)) is Retryable
    assert type(failure(post, http)) is Uncertain


def test_an_empty_204_is_a_success(http, network):
    network.add(responses.POST, URL, status=204)
    assert post(http).json() is None


def test_numbers_arrive_as_they_were_sent(http, network):
    network.add(responses.GET, URL, body='{"subtotal": 12.345678901234567891, "count": 3}')
    assert get(http).json() == {"subtotal": Decimal("12.345678901234567891"), "count": 3}
    assert isinstance(get(http).json()["count"], int)


def test_a_refusal_carries_the_status_and_the_providers_own_code(http, network):
    problem = {"message": "Invoice is not in pending state", "api_error_code": "invalid_state_for_request"}
    network.add(responses.POST, URL, status=409, json=problem)
    error = failure(post, http, operation="Invoice.add_charge_item")
    assert (error.status, error.code) == (409, "invalid_state_for_request")
    expected = "Chargebee refused Invoice.add_charge_item (HTTP 409, invalid_state_for_request): Invoice is not in"
    assert str(error).startswith(expected)


def test_a_providers_words_are_kept_short_and_on_one_line(http, network):
    network.add(responses.GET, URL, status=400, json={"message": "bad\r\n\x1b[31mline\u202e " + "x" * 5000})
    text = str(failure(get, http))
    assert "bad [31mline" in text
    assert text.isprintable()
    assert len(text) < 400


@pytest.mark.parametrize("message", [["a list"], {"a": "map"}, 7, None])
def test_a_message_that_is_no_text_is_left_out(http, network, message):
    network.add(responses.GET, URL, status=400, json={"message": message, "api_error_code": message})
    assert str(failure(get, http)) == "Chargebee refused Invoice.retrieve (HTTP 400)"


@pytest.mark.parametrize("status", [302, 400, 401, 404, 429, 500])
def test_credentials_never_reach_an_error_or_a_repr(http, network, status):
    echo = {"message": f"key {SECRET} with {BASIC} is wrong"}
    network.add(responses.GET, URL, status=status, json=echo, headers={"Location": f"https://{SECRET}@evil.example/"})
    with recorded_calls() as calls:
        error = failure(get, http)
    shown = f"{error} {error!r} {vars(error)} {calls} {error.__cause__}"
    assert SECRET not in shown
    assert BASIC.partition(" ")[2] not in shown


def test_an_error_does_not_drag_the_request_along(http, network):
    network.add(responses.GET, URL, body=requests.ConnectionError("with https://api.example.com?email=ann@example.com"))
    error = failure(get, http, params={"email": "ann@example.com"})
    assert error.__suppress_context__
    assert error.__cause__ is None
    assert "ann" not in str(error)


def test_an_answer_shows_neither_body_nor_headers(http, network):
    network.add(responses.GET, URL, json={"access_token": SECRET}, headers={"Set-Cookie": SECRET})
    assert SECRET not in repr(get(http))


def test_a_header_that_cannot_be_sent_is_refused_without_showing_it(http, network):
    assert SECRET not in str(failure(get, http, headers={"Authorization": f"Bearer {SECRET}\nX: y"}))
    assert len(network.calls) == 0


NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param("7", 7, id="a number of seconds"),
        pytest.param("0", 0, id="at once"),
        pytest.param("-5", 0, id="never negative"),
        pytest.param("999999999", 3600, id="at most an hour"),
        pytest.param("1e999", 3600, id="an endless number"),
        pytest.param(format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90, id="a date"),
        pytest.param("Sun, 01 Mar 2026 12:00:30 -0000", 30, id="a date without a zone"),
        pytest.param(format_datetime(NOW - timedelta(days=1), usegmt=True), 0, id="a date that is over"),
        pytest.param("soon", None, id="nonsense"),
        pytest.param("nan", None, id="no number at all"),
        pytest.param("", None, id="empty"),
    ],
)
def test_the_wait_that_a_provider_asks_for_is_understood(make_http, network, value, seconds):
    http = make_http(attempts=1, clock=NOW.timestamp)
    network.add(responses.POST, URL, status=429, headers={"Retry-After": value})
    assert failure(post, http).retry_after == seconds


def test_a_read_is_tried_again_with_growing_jittered_waits(make_http, network, waits):
    network.add(responses.GET, URL, status=503)
    network.add(responses.GET, URL, status=502)
    network.add(responses.GET, URL, body=refused_connection())
    network.add(responses.GET, URL, json={"ok": True})
    assert get(make_http(attempts=4)).json() == {"ok": True}
    assert waits == pytest.approx([0.1, 0.2, 0.4])


def test_tries_come_to_an_end(http, network, waits):
    network.add(responses.GET, URL, status=503)
    assert type(failure(get, http)) is Retryable
    assert len(network.calls) == 3
    assert len(waits) == 2


def test_a_write_with_an_unknown_outcome_is_never_repeated(http, network):
    network.add(responses.POST, URL, status=500)
    assert type(failure(post, http)) is Uncertain
    assert len(network.calls) == 1


@pytest.mark.parametrize("error", [refused_connection(), 429])
def test_a_write_that_was_certainly_not_carried_out_is_tried_again(http, network, error):
    if isinstance(error, int):
        network.add(responses.POST, URL, status=error)
    else:
        network.add(responses.POST, URL, body=error)
    network.add(responses.POST, URL, json={"ok": True})
    assert post(http).json() == {"ok": True}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 302])
def test_a_refusal_is_not_tried_again(http, network, status):
    network.add(responses.GET, URL, status=status)
    failure(get, http)
    assert len(network.calls) == 1


def test_a_short_wait_is_honoured_here(http, network, waits):
    network.add(responses.POST, URL, status=429, headers={"Retry-After": "5"})
    network.add(responses.POST, URL, json={})
    post(http)
    assert waits == [5.0]


def test_a_long_wait_is_left_to_the_sync(http, network, waits):
    network.add(responses.POST, URL, status=429, headers={"Retry-After": "6"})
    assert failure(post, http).retry_after == 6
    assert len(network.calls) == 1
    assert waits == []


def test_a_user_agent_is_always_sent_and_always_ours(http, network):
    network.add(responses.GET, URL, json={})
    get(http, headers={"User-Agent": "something else"})
    assert network.calls[0].request.headers["User-Agent"] == "chargebee-m3ter-connector"


def test_json_is_sent_with_exact_numbers(http, network):
    network.add(responses.POST, URL, json={})
    post(http, json={"amount": Decimal("12.345678901234567891"), "big": Decimal("1E+3"), "note": 'say "hé"\n'})
    request = network.calls[0].request
    assert request.body == b'{"amount":12.345678901234567891,"big":1000,"note":"say \\"h\\u00e9\\"\\n"}'
    assert request.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("value", [1.5, Decimal("NaN"), Decimal("Infinity"), {"a": [0.1]}, object(), b"bytes"])
def test_a_number_that_is_not_exact_cannot_be_sent(value):
    with pytest.raises(TypeError):
        to_json(value)


def test_json_is_written_for_every_kind_of_value():
    value = {"a": [1, Decimal("0.10"), None, True, "x"], "b": {}, "c": ()}
    assert to_json(value) == '{"a":[1,0.10,null,true,"x"],"b":{},"c":[]}'


def test_every_try_is_recorded_without_its_query(http, network):
    network.add(responses.GET, URL, status=503)
    network.add(responses.GET, URL, json={})
    with recorded_calls() as calls:
        get(http, params={"email[is]": "ann@example.com"})
        network.replace(responses.GET, URL, body=ReadTimeout())
        network.add(responses.POST, URL, status=409)
        failure(post, http)
    first, second, third = calls
    assert (first.provider, first.operation, first.method) == ("Chargebee", "Invoice.retrieve", "GET")
    assert (first.path, first.status, first.error) == ("/api/v2/invoices/inv_1", 503, "Retryable")
    assert (second.status, second.error) == (200, None)
    assert (third.method, third.status, third.error) == ("POST", 409, "Rejected")
    assert all(isinstance(one.milliseconds, int) and one.milliseconds >= 0 for one in calls)


def test_a_call_without_an_answer_is_recorded_without_a_status(http, network):
    network.add(responses.POST, URL, body=ReadTimeout())
    with recorded_calls() as calls:
        failure(post, http)
    assert [(one.status, one.error) for one in calls] == [(None, "Uncertain")]


def test_recordings_nest_and_end(http, network):
    network.add(responses.GET, URL, json={})
    with recorded_calls() as outer:
        with recorded_calls() as inner:
            get(http)
        get(http)
    get(http)
    assert (len(inner), len(outer)) == (1, 2)


def test_a_job_that_ran_out_of_time_is_not_taken_for_a_failed_call(http, network):
    class JobTimeoutError(Exception):
        pass

    network.add(responses.GET, URL, body=JobTimeoutError())
    with pytest.raises(JobTimeoutError):
        get(http)
    assert len(network.calls) == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("inv_1", "inv_1"),
        ("../x", "..%2Fx"),
        ("a/b?c#d", "a%2Fb%3Fc%23d"),
        ("16BR - pro USD", "16BR%20-%20pro%20USD"),
        ("100%", "100%25"),
        ("é", "%C3%A9"),
    ],
)
def test_an_id_stays_one_segment_of_the_path(value, expected):
    assert segment(value) == expected


@pytest.mark.parametrize("value", ["", " ", ".", "..", "a\nb", "a\x00", "\x7f", "\ud800"])
def test_an_id_that_would_lead_elsewhere_is_refused(value):
    with pytest.raises(Rejected):
        url_path("accounts", value)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.m3ter.com",
        "https://api.m3ter.com/prefix",
        "http://127.0.0.1:8000/chargebee/api/v2",
        "http://localhost:1",
        "http://[::1]:80",
        "http://m3ter.localhost",
    ],
)
def test_a_good_address_is_taken(url):
    assert base_url(url + "/", "M3TER_API_URL") == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.m3ter.com",
        "http://api.m3ter.com",
        "http://169.254.169.254",
        "ftp://localhost",
        "file:///etc/passwd",
        f"https://user:{SECRET}@api.m3ter.com",
        f"https://{SECRET}@evil.example",
        "https://@evil.example",
        "https://api.m3ter.com?key=1",
        "https://api.m3ter.com#x",
        "https://api.m3ter.com:port",
        "https://[::1",
        "https://api.m3ter.com\\@evil.example",
        "https://api.m3ter.com /",
        "https://",
    ],
)
def test_a_bad_address_is_a_misconfiguration_that_is_not_shown(url):
    with pytest.raises(Misconfigured, match="M3TER_API_URL") as caught:
        base_url(url, "M3TER_API_URL")
    assert SECRET not in str(caught.value)


def test_libraries_say_nothing_of_urls_even_at_debug(http, server, caplog):
    logging.getLogger("urllib3.connectionpool").setLevel(logging.DEBUG)
    with caplog.at_level(logging.DEBUG):
        get(http, url=server.url, params={"email": "ann@example.com"})
    assert caplog.text == ""
