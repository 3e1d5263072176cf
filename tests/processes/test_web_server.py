"""The web process as it is deployed: the real server on a real port."""

import os
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from connector.cli.database import upgrade_tables
from connector.database import make_engine
from connector.demo.stage import SANDBOX_CREDENTIALS

LOGIN = ("sandbox", "sandbox")
PAYLOAD = Path(__file__).parent.parent / "payloads" / "chargebee" / "customer_created.json"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[int]:
    """The port of a running web process."""
    url = f"sqlite:///{tmp_path_factory.mktemp('web')}/connector.db"
    engine = make_engine(url)
    upgrade_tables(engine)
    engine.dispose()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {"DATABASE_URL": url, "REDIS_URL": redis_url, "WEB_PORT": str(port), "WEB_PROCESSES": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "connector", "web"],
        env={"PATH": os.environ["PATH"], **SANDBOX_CREDENTIALS, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            requests.get(f"http://127.0.0.1:{port}/health/ready", timeout=1)
        except requests.ConnectionError:
            time.sleep(0.05)
        else:
            break
    yield port
    stuck = _slow_senders(port, 3)
    process.terminate()
    try:
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        for connection in stuck:
            connection.close()


def deliver(port: int, body: object) -> int:
    """The status of a delivery; a body that is an iterator is sent in chunks, without a length."""
    headers = {"Content-Type": "application/json"}
    url = f"http://127.0.0.1:{port}/webhooks/chargebee"
    return requests.post(url, data=body, auth=LOGIN, headers=headers, timeout=10).status_code  # type: ignore[arg-type]


def raw(port: int, request: bytes) -> bytes:
    """The first bytes of the answer to a request as it stands here."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        return connection.recv(64)


def test_delivery_is_taken_with_a_length_and_in_chunks(web: int) -> None:
    body = PAYLOAD.read_bytes()
    assert deliver(web, body) == 204
    assert deliver(web, iter([body[:100], body[100:]])) == 204


def test_too_large_a_delivery_is_refused_with_a_length_and_in_chunks(web: int) -> None:
    assert deliver(web, b" " * (2**20 + 1)) == 413
    assert deliver(web, iter([b" " * 2**16] * 17)) == 413


def test_length_that_is_a_lie_is_refused_unread(web: int) -> None:
    login = b64encode(":".join(LOGIN).encode())
    head = (
        b"POST /webhooks/chargebee HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Basic "
        + login
    )
    assert b" 413 " in raw(web, head + b"\r\nContent-Length: 5000000000\r\n\r\n{}")


def _slow_senders(port: int, count: int) -> list[socket.socket]:
    """Connections whose requests never come to their end."""
    head = (
        b"POST /webhooks/chargebee HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
    )
    connections = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(count)]
    for connection in connections:
        connection.sendall(head)
    return connections


def test_slow_sender_does_not_hold_up_the_others(web: int) -> None:
    slow = _slow_senders(web, 50)
    try:
        assert deliver(web, PAYLOAD.read_bytes()) == 204
    finally:
        for connection in slow:
            connection.close()
