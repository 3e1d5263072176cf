"""Real connections to a server that misbehaves: what was sent, how often, and when the waiting ends."""

import gzip
import shutil
import socket
import ssl
import subprocess
import threading
import time
from contextlib import suppress

import pytest
from urllib3.util import connection

from connector.clients.http import Http, recorded_calls
from connector.errors import ConnectorError, Rejected, Retryable, Uncertain

BEARER = {"Authorization": "Bearer topsecret"}


def get(http: Http, url: str):
    return http.call(provider="m3ter", operation="bills.list", method="GET", url=url, headers=BEARER, writes=False)


def post(http: Http, url: str):
    return http.call(
        provider="m3ter", operation="add", method="POST", url=url, headers=BEARER, json={"a": 1}, writes=True
    )


def failure(send, http: Http, url: str) -> ConnectorError:
    with pytest.raises(ConnectorError) as caught:
        send(http, url)
    return caught.value


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_hundred_calls_take_one_connection(http, server):
    for _ in range(50):
        get(http, server.url)
        post(http, server.url)
    assert len(server.requests) == 100
    assert server.connections == 1


def test_a_connection_cut_after_the_request_leaves_a_write_uncertain_and_sent_once(http, server):
    server.behave = lambda handler: handler.cut()
    assert type(failure(post, http, server.url)) is Uncertain
    server.wait_for_requests(1)
    time.sleep(0.05)
    assert len(server.requests) == 1


def test_a_connection_cut_after_the_request_lets_a_read_be_repeated(http, server):
    server.behave = lambda handler: handler.cut()
    error = failure(get, http, server.url)
    assert type(error) is Retryable
    assert "the connection was cut" in str(error)
    assert len(server.requests) == 3


def test_a_pooled_connection_that_the_server_drops_never_repeats_a_write(http, server):
    get(http, server.url)
    server.behave = lambda handler: handler.cut()
    assert type(failure(post, http, server.url)) is Uncertain
    assert [method for method, *_ in server.requests] == ["GET", "POST"]


def test_a_pooled_connection_that_was_closed_long_ago_is_replaced_unseen(http, server):
    server.behave = lambda handler: (handler.answer(b"{}"), handler.cut())
    get(http, server.url)
    time.sleep(0.05)
    assert post(http, server.url).status == 200
    assert server.connections == 2


def test_a_refused_connection_is_known_to_have_changed_nothing(http):
    error = failure(post, http, f"http://127.0.0.1:{unused_port()}")
    assert type(error) is Retryable
    assert "the connection was refused" in str(error)


def test_an_unknown_host_is_known_to_have_changed_nothing(http):
    error = failure(post, http, "https://no-such-host.invalid")
    assert type(error) is Retryable
    assert "cannot reach no-such-host.invalid: the host name is not known" in str(error)


def test_a_listener_that_never_accepts_is_known_to_have_changed_nothing(make_http):
    http = make_http(connect_timeout=0.1, attempts=1)
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        time.sleep(0.01)
        error = failure(post, http, f"http://127.0.0.1:{full.getsockname()[1]}")
    assert type(error) is Retryable
    assert "took too long" in str(error)


def test_tls_that_cannot_be_agreed_is_known_to_have_changed_nothing(http, server):
    error = failure(post, http, server.url.replace("http:", "https:"))
    assert type(error) is Retryable
    assert server.requests == []


def test_tls_that_never_begins_is_known_to_have_changed_nothing(make_http):
    http = make_http(connect_timeout=0.1, attempts=1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        error = failure(post, http, f"https://127.0.0.1:{mute.getsockname()[1]}")
    assert type(error) is Retryable
    assert "took too long" in str(error)


def test_a_request_that_would_be_late_is_not_begun(make_http, server, monkeypatch):
    def slowly(*args: object, **settings: object) -> socket.socket:
        time.sleep(0.15)
        return connect(*args, **settings)

    connect = connection.create_connection
    monkeypatch.setattr(connection, "create_connection", slowly)
    assert type(failure(post, make_http(total_timeout=0.1, attempts=1), server.url)) is Retryable
    time.sleep(0.05)
    assert server.requests == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_a_certificate_that_nobody_signed_is_not_trusted(http, server, tmp_path):
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -days 2"
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "certificate.pem")]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None
    error = failure(post, http, f"https://localhost:{server.server_port}")
    assert type(error) is Retryable
    assert "the TLS certificate is not valid" in str(error)
    assert server.requests == []


def silent(handler):
    handler.server.stopping.wait(2)


def dripping_headers(handler):
    handler.drip(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(100)))


def dripping_body(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.drip(b" " * 1000)


def dripping_chunks(handler):
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.drip(b"1\r\n \r\n" * 200)


@pytest.mark.parametrize("behaviour", [silent, dripping_headers, dripping_body, dripping_chunks])
def test_the_deadline_holds_however_slowly_the_answer_comes(make_http, server, behaviour):
    http = make_http(total_timeout=0.2, attempts=1)
    server.behave = behaviour
    started = time.monotonic()
    assert type(failure(post, http, server.url)) is Uncertain
    assert type(failure(get, http, server.url)) is Retryable
    assert time.monotonic() - started < 3  # without a deadline: 4 seconds at least


def test_a_connection_with_an_unfinished_answer_is_not_used_again(make_http, server):
    http = make_http(total_timeout=1, attempts=1)
    server.behave = dripping_body
    failure(get, http, server.url)
    server.behave = lambda handler: handler.answer(b'{"mine": true}')
    assert get(http, server.url).json() == {"mine": True}
    assert server.connections == 2


def test_the_deadline_of_one_call_does_not_fall_on_the_next(make_http, server):
    http = make_http(total_timeout=1.2, attempts=1)
    for _ in range(4):
        server.behave = lambda handler: (time.sleep(0.4), handler.answer(b"{}"))
        get(http, server.url)
    assert server.connections == 1


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(b"[" + b"1," * 5000 + b"1]", {}, id="plain"),
        pytest.param(gzip.compress(b"[" + b" " * 50_000_000 + b"]"), {"Content-Encoding": "gzip"}, id="compressed"),
    ],
)
def test_an_answer_that_is_too_large_is_not_taken_in(make_http, server, body, headers):
    http = make_http(max_bytes=10_000, attempts=1)
    server.behave = lambda handler: handler.answer(body, **headers)
    error = failure(post, http, server.url)
    assert type(error) is Uncertain
    assert "larger than 10000 bytes" in str(error)
    assert type(failure(get, http, server.url)) is Retryable


def test_an_answer_without_an_end_is_left_at_the_limit(make_http, server):
    def endless(handler):
        handler.send_response(200)
        handler.end_headers()
        while not handler.server.stopping.is_set():
            handler.wfile.write(b" " * 65536)

    server.behave = endless
    error = failure(post, make_http(max_bytes=10_000, total_timeout=30), server.url)
    assert "larger than 10000 bytes" in str(error)


def test_an_answer_of_exactly_the_limit_is_taken_in(make_http, server):
    server.behave = lambda handler: handler.answer(b'"' + b"x" * 98 + b'"')
    assert len(get(make_http(max_bytes=100), server.url).body) == 100


def test_compressed_answers_are_read(http, server):
    server.behave = lambda handler: handler.answer(gzip.compress(b'{"ok": 1}'), **{"Content-Encoding": "gzip"})
    assert get(http, server.url).json() == {"ok": 1}


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(b'{"ok": 1}', {"Content-Length": "100"}, id="cut short"),
        pytest.param(b'{"ok": 1}', {"Content-Encoding": "gzip"}, id="not compressed at all"),
        pytest.param(b'5\r\n{"ok"', {"Transfer-Encoding": "chunked"}, id="last chunk missing"),
        pytest.param(b'x\r\n{"ok"', {"Transfer-Encoding": "chunked"}, id="bad chunk"),
    ],
)
def test_an_answer_that_breaks_off_is_no_answer(make_http, server, body, headers):
    server.behave = lambda handler: (handler.answer(body, **headers), handler.cut())
    http = make_http(attempts=1)
    assert type(failure(post, http, server.url)) is Uncertain
    assert type(failure(get, http, server.url)) is Retryable


def test_an_answer_that_is_no_http_leaves_a_write_uncertain(http, server):
    server.behave = lambda handler: (handler.wfile.write(b"\x00\xff garbage\r\n\r\n"), handler.cut())
    assert type(failure(post, http, server.url)) is Uncertain


def test_a_refusal_stands_even_where_its_text_breaks_off(http, server):
    server.behave = lambda handler: (handler.answer(b'{"mess', 409, **{"Content-Length": "100"}), handler.cut())
    error = failure(post, http, server.url)
    assert type(error) is Rejected
    assert error.status == 409


def test_a_redirect_is_not_followed_and_takes_no_credentials_along(http, server):
    with type(server)() as other:
        thread = threading.Thread(target=other.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        server.behave = lambda handler: handler.answer(b"", 307, Location=other.url)
        assert type(failure(post, http, server.url)) is Rejected
        other.shutdown()
        thread.join()
    assert other.requests == []
    assert len(server.requests) == 1


def test_cookies_are_neither_kept_nor_sent(http, server):
    server.behave = lambda handler: handler.answer(b"{}", **{"Set-Cookie": "tenant=a; Path=/"})
    get(http, server.url)
    get(http, server.url)
    assert all("Cookie" not in headers for _, _, headers, _ in server.requests)


def test_proxies_and_netrc_of_the_environment_are_not_used(http, server, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert get(http, server.url).status == 200
    assert server.requests[0][2]["Authorization"] == "Bearer topsecret"


def test_threads_share_the_pool_and_keep_their_own_deadlines(make_http, server):
    http = make_http(total_timeout=1, attempts=1)
    server.behave = lambda handler: silent(handler) if handler.path == "/slow" else handler.answer(b"{}")
    outcomes: list[str] = []

    def work(path: str) -> None:
        with recorded_calls() as calls:
            with suppress(Retryable):
                get(http, server.url + path)
            outcomes.append(f"{path} {calls[0].error} {len(calls)}")

    threads = [threading.Thread(target=work, args=(path,)) for path in ("/slow", "/a", "/b", "/c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["/a None 1", "/b None 1", "/c None 1", "/slow Retryable 1"]
