"""The story that a newcomer sees first, told with all processes running for real."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from connector.demo.stage import SANDBOX_CREDENTIALS
from connector.sandbox import Sandbox

COMMAND = [sys.executable, "-m", "connector", "demo", "--json"]


def environment(home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[2])}


def test_demo_tells_its_whole_story_and_reports_it(tmp_path: Path) -> None:
    told = subprocess.run(
        COMMAND, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=False, timeout=120
    )
    report = json.loads(told.stdout)
    assert (report["failure"], told.returncode) == (None, 0)
    assert len(report["steps"]) == 10


def test_demo_that_is_killed_leaves_nothing_running(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        COMMAND,
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        clock = tmp_path / "var/demo/clock.log"
        deadline = time.monotonic() + 60
        while not clock.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        demo.terminate()
        assert demo.wait(timeout=60) == 128 + signal.SIGTERM
        with pytest.raises(ProcessLookupError):
            os.killpg(demo.pid, 0)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(demo.pid, signal.SIGKILL)


def test_sandbox_has_the_credentials_that_the_demo_uses() -> None:
    box = Sandbox()
    assert SANDBOX_CREDENTIALS["CHARGEBEE_API_KEY"] == box.chargebee.api_key
    assert SANDBOX_CREDENTIALS["CHARGEBEE_SITE"] == box.chargebee.site
    assert SANDBOX_CREDENTIALS["M3TER_ORG_ID"] == box.m3ter.org_id
    assert (SANDBOX_CREDENTIALS["M3TER_API_KEY"], SANDBOX_CREDENTIALS["M3TER_API_SECRET"]) == (
        box.m3ter.api_key,
        box.m3ter.api_secret,
    )
