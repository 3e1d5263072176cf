"""A person at the console: pages are read and forms are sent as a browser would."""

import html
import re
from typing import Any

from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from connector import access
from connector.models import AuditEntry, User
from connector.services import Services
from connector.web.app import create_app

PASSWORD = "correct horse battery"
# One hash for all tests: making each anew would be most of their time.
PASSWORD_HASH = access.HASHER.hash(PASSWORD)


def add_user(services: Services, name: str, role: str) -> None:
    """Somebody who may log in with PASSWORD."""
    with services.transaction() as db:
        db.add(
            User(
                name=name, password_hash=PASSWORD_HASH, role=role, enabled=True, generation=1, created_at=services.now()
            )
        )


def entries(services: Services, action: str) -> list[AuditEntry]:
    """What the audit log has of this action, oldest first."""
    with services.reading() as db:
        return list(db.scalars(select(AuditEntry).where(AuditEntry.action == action).order_by(AuditEntry.id)))


# Making the console's application, and compiling its templates, would be most of the time of each test.
_APPS: dict[tuple[object, ...], Flask] = {}


def app_of(services: Services) -> Flask:
    """The application with these services: one that a test before has used, where it was made by the same settings."""
    named = tuple(
        getattr(services.settings, name) for name in type(services.settings).model_fields if name != "connections"
    )
    key = (*named, *services.connections)
    if key not in _APPS:
        _APPS[key] = create_app(services)
    app = _APPS[key]
    for one in (app, *(app.extensions[name] for name in ("console", "api") if name in app.extensions)):
        one.extensions["services"] = services
        # What pages keep of the catalogues for a moment is another world's.
        one.extensions.pop("catalogues", None)
    return app


class Browser:
    """One browser with its cookies; `person` is whoever has logged in."""

    def __init__(self, services: Services, app: Flask | None = None, host: str = "127.0.0.1:8080") -> None:
        self.services = services
        self.client = (app or app_of(services)).test_client()
        self.host = host
        self.token = ""

    def get(self, path: str, **options: Any) -> TestResponse:
        return self._seen(self.client.get(f"/console{path}", base_url=f"http://{self.host}", **options))

    def post(
        self, path: str, fields: dict[str, str] | None = None, *, csrf: bool = True, **options: Any
    ) -> TestResponse:
        """Send a form; with the token of the last page, as its hidden field would."""
        data = ({"csrf": self.token} if csrf else {}) | (fields or {})
        options.setdefault("headers", {"Origin": f"http://{self.host}", "Sec-Fetch-Site": "same-origin"})
        return self._seen(self.client.post(f"/console{path}", data=data, base_url=f"http://{self.host}", **options))

    def _seen(self, answer: TestResponse) -> TestResponse:
        found = re.search(r'name="csrf" value="([^"]+)"', answer.text)
        if found:
            self.token = html.unescape(found[1])
        answer.close()
        return answer

    def log_in(self, name: str, password: str = PASSWORD, **options: Any) -> TestResponse:
        """Open the form, fill it in, send it."""
        if self.get("/login").status_code != 200:
            raise AssertionError("somebody is logged in already")
        answer = self.post("/login", {"name": name, "password": password}, **options)
        if answer.status_code == 303:
            self.get("/")
        return answer

    def hidden(self, answer: TestResponse, name: str) -> str:
        """The value of a hidden field of the page."""
        [found] = re.findall(rf'name="{name}" value="([^"]*)"', answer.text)
        return html.unescape(found)


def hidden(page: TestResponse) -> dict[str, str]:
    """The hidden fields of the page's form, but for its token."""
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page.text)
    return {name: html.unescape(value) for name, value in found if name != "csrf"}


def address(path: str) -> str:
    """The address of a route, about the connection `default` and otherwise about whatever has the number 1."""
    of_m3ter = re.sub(r"<uuid:[^>]+>", "00000000-0000-0000-0000-000000000001", path.replace("<name>", "default"))
    return re.sub(r"<[^>]+>", "1", of_m3ter)


def text_of(answer: TestResponse) -> str:
    """What a person reads on the page."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text))).strip()
