"""Everything the story needs, started in processes of its own: sandbox, Redis, database, web, workers and clock."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import requests

from connector import embedded
from connector.clients.http import to_json
from connector.errors import ConnectorError

PATIENCE_SECONDS = 60.0
PROCESSES = {
    "web": ["web"],
    "worker": ["worker", "--queue", "sync"],
    "bills": ["worker", "--queue", "bills"],
    "clock": ["clock"],
}


# The sandbox's own, as `connector sandbox serve` prints them.
SANDBOX_CREDENTIALS = {
    "M3TER_ORG_ID": "5a3dbc5e-0000-4000-8000-00000000ac3e",
    "CHARGEBEE_SITE": "acme-test",
    "CHARGEBEE_API_KEY": "test_sandbox_key",
    "CHARGEBEE_WEBHOOK_USERNAME": "sandbox",
    "CHARGEBEE_WEBHOOK_PASSWORD": "sandbox",
    "M3TER_API_KEY": "sandbox-key",
    "M3TER_API_SECRET": "sandbox-secret",
    "M3TER_WEBHOOK_SECRET": "sandbox",
    "M3TER_WEBHOOK_SIGNATURE_HEADER": "x-m3ter-signature",
    "M3TER_WEBHOOK_SIGNATURE_SCHEME": "hmac-sha256-hex",
}


class Failed(ConnectorError):
    """The story did not go as it should; the text says what differs."""


@dataclass
class Stage:
    """The running world of the story, and the hands of the people in it."""

    folder: Path
    environment: dict[str, str]
    sandbox_url: str
    web_url: str
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    session: requests.Session = field(default_factory=requests.Session)

    def chargebee(
        self, path: str, form: dict[str, Any] | None = None, query: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Chargebee's answer to what a person does, or looks at, in its console."""
        return self._call(
            "POST" if form is not None else "GET",
            f"{self.environment['CHARGEBEE_API_URL']}/{path}",
            data=form,
            params=query,
            auth=(self.environment["CHARGEBEE_API_KEY"], ""),
        )

    def m3ter(self, method: str, path: str, body: dict[str, Any] | None = None, **query: Any) -> dict[str, Any]:
        """m3ter's answer to what a person does, or looks at, in its console."""
        base = self.environment["M3TER_API_URL"]
        url = f"{base}/organizations/{self.environment['M3TER_ORG_ID']}/{path}"
        # Every step may have moved the sandbox's time by weeks, and a token lives for five hours.
        login = (self.environment["M3TER_API_KEY"], self.environment["M3TER_API_SECRET"])
        token = self._call("POST", f"{base}/oauth/token", json={"grant_type": "client_credentials"}, auth=login)
        headers = {"Authorization": f"Bearer {token['access_token']}"}
        headers["Content-Type"] = "application/json"
        return self._call(method, url, data=None if body is None else to_json(body), params=query, headers=headers)

    def move_time_to(self, moment: datetime) -> None:
        """Let time pass in the sandbox; everything due on the way happens."""
        self._call("POST", f"{self.sandbox_url}/_control/time", json={"to": moment.isoformat()})

    def command(self, *words: str) -> dict[str, Any]:
        """The JSON document of a `connector` command."""
        done = subprocess.run(  # noqa: S603 - our own command
            [*connector_command(), *words, "--json"], env=self.environment, capture_output=True, text=True, check=False
        )
        try:
            document: dict[str, Any] = json.loads(done.stdout)
        except ValueError as error:
            raise Failed(f"`connector {' '.join(words)}` printed no JSON: {done.stderr[-500:]}") from error
        return document

    def wait_for(self, what: str, look: Callable[[], Any]) -> Any:
        """What `look` finds, as soon as it finds something; raises Failed when it never does."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            found = look()
            if found:
                return found
            if time.monotonic() > deadline:
                raise Failed(f"waited {PATIENCE_SECONDS:.0f} s for {what}")
            for process in self.processes:
                if process.poll() is not None:
                    raise Failed(f"process {process.args!r} ended by itself; see {self.folder}")
            time.sleep(0.1)

    def _call(self, method: str, url: str, **options: Any) -> dict[str, Any]:
        answer = self.session.request(method, url, timeout=20, **options)
        if not answer.ok:
            raise Failed(f"{method} {url} → {answer.status_code} {answer.text[:300]}")
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found


def connector_command() -> list[str]:
    """How this installation's command line is started."""
    return [sys.executable, "-m", "connector"]


@contextmanager
def set_up(folder: Path, start: datetime) -> Iterator[Stage]:
    """A fresh stage whose sandbox begins at `start`; everything is stopped at the end of the block."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with ExitStack() as until_done:
        redis_url = until_done.enter_context(embedded.redis_server(folder / "redis"))
        sandbox_port, web_port = _free_port(), _free_port()
        stage = Stage(
            folder=folder,
            environment=_environment(folder, redis_url, sandbox_port, web_port),
            sandbox_url=f"http://127.0.0.1:{sandbox_port}",
            web_url=f"http://127.0.0.1:{web_port}",
        )
        stage.session.trust_env = False
        until_done.callback(_stop, stage)
        upgrade = subprocess.run(  # noqa: S603 - our own command
            [*connector_command(), "db", "upgrade"], env=stage.environment, stdout=subprocess.DEVNULL, check=False
        )
        if upgrade.returncode:
            raise Failed("the database could not be made")
        serve = [
            "sandbox",
            "serve",
            "--port",
            str(sandbox_port),
            "--start",
            start.isoformat(),
            "--frozen",
            "--connector-url",
            stage.web_url,
        ]
        for name, words in {"sandbox": serve, **PROCESSES}.items():
            _start(stage, name, words)
        stage.wait_for("the sandbox", lambda: _answers(stage, f"{stage.sandbox_url}/_control/state"))
        stage.wait_for("the web process", lambda: _answers(stage, f"{stage.web_url}/health/ready"))
        yield stage


def console_settings() -> dict[str, str]:
    """What lets the console be tried on this machine; its sessions end with the processes that know this secret."""
    return {"SESSION_SECRET": secrets.token_urlsafe(48), "CONSOLE_PLAIN_HTTP": "true"}


def _environment(folder: Path, redis_url: str, sandbox_port: int, web_port: int) -> dict[str, str]:
    sandbox_url = f"http://127.0.0.1:{sandbox_port}"
    return {
        "PATH": os.environ.get("PATH", ""),
        "HOME": os.environ.get("HOME", ""),
        "PYTHONUNBUFFERED": "1",
        "DATABASE_URL": f"sqlite:///{folder.resolve()}/connector.db",
        "REDIS_URL": redis_url,
        "WEB_PORT": str(web_port),
        "WEB_PROCESSES": "1",
        "SWEEP_SECONDS": "1",
        "BILL_POLL_SECONDS": "5",
        "BILL_POLL_DAYS": "150",
        "PUSH_BILLS_FROM": "2000-01-01",
        **console_settings(),
        **SANDBOX_CREDENTIALS,
        "CHARGEBEE_API_URL": f"{sandbox_url}/chargebee/api/v2",
        "M3TER_API_URL": f"{sandbox_url}/m3ter",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(stage: Stage, name: str, words: list[str]) -> None:
    with (stage.folder / f"{name}.log").open("wb") as log:
        stage.processes.append(
            subprocess.Popen([*connector_command(), *words], env=stage.environment, stdout=log, stderr=log)  # noqa: S603
        )


def _answers(stage: Stage, url: str) -> bool:
    try:
        return stage.session.get(url, timeout=2).ok
    except requests.RequestException:
        return False


def _stop(stage: Stage) -> None:
    for process in stage.processes:
        process.terminate()
    for process in stage.processes:
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
