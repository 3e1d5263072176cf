"""A pool that waits for nobody, a mocked network, and a real server on this machine that misbehaves to order."""

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import responses

from connector.clients.http import Http


@pytest.fixture
def waits() -> list[float]:
    """How long the client would have slept, in order."""
    return []


@pytest.fixture
def make_http(waits: list[float]) -> Iterator[Callable[..., Http]]:
    """Makes pools that do not sleep and always draw the middle of the jitter."""
    made: list[Http] = []

    def make(**settings: object) -> Http:
        made.append(Http(**{"sleep": waits.append, "random": lambda: 0.5, **settings}))
        return made[-1]

    yield make
    for http in made:
        http.close()


@pytest.fixture
def http(make_http: Callable[..., Http]) -> Http:
    return make_http()


@pytest.fixture
def network() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 5
    server: "Server"

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.command, self.path, dict(self.headers), body))
        self.server.behave(self)

    do_POST = do_GET  # noqa: N815

    def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def drip(self, data: bytes) -> None:
        """Send a byte every now and then, until the client has had enough."""
        for byte in data:
            if self.server.stopping.wait(0.02):
                return
            self.wfile.write(bytes([byte]))
            self.wfile.flush()

    def cut(self) -> None:
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Counts what reaches it; `behave` is given each request and does what a test wants of it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.connections = 0
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.stopping = threading.Event()
        self.behave: Callable[[Handler], None] = lambda handler: handler.answer(b'{"ok": true}')

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def wait_for_requests(self, count: int) -> None:
        """The server may still be reading when the client has given up."""
        until = time.monotonic() + 2
        while len(self.requests) < count and time.monotonic() < until:
            time.sleep(0.005)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.stopping.set()
        running.shutdown()
        thread.join()
