"""The story that a newcomer sees first, told with all processes running for real."""

import json
import os
import subprocess
import sys
from pathlib import Path

from connector.demo.stage import SANDBOX_CREDENTIALS
from connector.sandbox import Sandbox


def test_demo_tells_its_whole_story_and_reports_it(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "connector", "demo", "--json"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    report = json.loads(told.stdout)
    assert (report["failure"], told.returncode) == (None, 0)
    assert len(report["steps"]) == 10


def test_sandbox_has_the_credentials_that_the_demo_uses() -> None:
    box = Sandbox()
    assert SANDBOX_CREDENTIALS["CHARGEBEE_API_KEY"] == box.chargebee.api_key
    assert SANDBOX_CREDENTIALS["CHARGEBEE_SITE"] == box.chargebee.site
    assert SANDBOX_CREDENTIALS["M3TER_ORG_ID"] == box.m3ter.org_id
    assert (SANDBOX_CREDENTIALS["M3TER_API_KEY"], SANDBOX_CREDENTIALS["M3TER_API_SECRET"]) == (
        box.m3ter.api_key,
        box.m3ter.api_secret,
    )
