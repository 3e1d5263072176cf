"""A real browser at the real console: Chromium, the application over HTTP, both sandboxes, and workers that run step by step."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import ConsoleMessage, Error, Page, ViewportSize, sync_playwright
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wsgi import ClosingIterator

from connector.sandbox import Sandbox, serve
from connector.services import Services
from connector.web.app import create_app
from connector.web.console import forms
from tests.browser.seed import PAGE_ROWS, PEOPLE, Furnished, furnish
from tests.flows.browser import PASSWORD, add_user
from tests.flows.conftest import START, World, box, edge, make_services, world

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["box", "make_services", "world"]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NOT_RUN = "NOT RUN: there is no Chromium (Debian: apt-get install chromium), so nothing was tried in a real browser"
# As root Chromium has no sandbox of its own; it opens nothing but the console under test.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
# What a page may take on a machine that is busy with other tests.
PATIENCE = 20_000
DESK: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    """The browser. Not for the whole session: as long as it runs, this thread counts as inside an event loop."""
    if CHROMIUM is None:
        if os.environ.get("BROWSER_TESTS") == "required" or os.environ.get("CI") == "true":
            pytest.fail(NOT_RUN)
        pytest.skip(NOT_RUN)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def people(world: World) -> World:
    """The world of the flows, with one person of each role."""
    for name, role in PEOPLE.items():
        add_user(world.services, name, role)
    return world


@pytest.fixture
def furnished(
    world: World, make_services: Callable[..., Services], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Furnished]:
    """A world with a bit of everything, with two connections, and with people who may log in."""
    # What fifty rows show, ten do, and axe-core looks at each cell.
    monkeypatch.setattr(forms, "PAGE_ROWS", PAGE_ROWS)
    other = Sandbox(seed=2, now=START, site="other-test", org_id="0" * 36)
    with serve(other) as server:
        file = tmp_path / "connector.toml"
        file.write_text(
            f"""
            [connections.other]
            chargebee_site = "other-test"
            chargebee_api_key = "{other.chargebee.api_key}"
            chargebee_api_url = "{server.url}/chargebee/api/v2"
            chargebee_webhook_username = "other"
            chargebee_webhook_password = "other"
            m3ter_org_id = "{other.m3ter.org_id}"
            m3ter_api_key = "{other.m3ter.api_key}"
            m3ter_api_secret = "{other.m3ter.api_secret}"
            m3ter_api_url = "{server.url}/m3ter"
            """
        )
        links = {
            "CHARGEBEE_APP_URL": "https://acme-test.chargebee.com",
            "M3TER_CONSOLE_URL": "https://console.m3ter.com/{kind}/{id}",
        }
        services = make_services(CONNECTOR_CONFIG=str(file), **links)
        world.services, world.client = services, edge(services)
        yield furnish(world)


class Quiet(WSGIRequestHandler):
    """Without a line for each request."""

    def log(self, *_: Any) -> None:
        pass


@dataclass
class Visitor:
    """Somebody at their browser; what its console complains of is kept, since a good page gives it no reason."""

    page: Page
    home: str
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _listen(self, message: ConsoleMessage) -> None:
        # That the server refused is no complaint about the page which says so.
        if message.type in ("error", "warning") and "the server responded with a status" not in message.text:
            self.complaints.append(f"{self.page.url}: {message.text}")

    def go(self, path: str) -> int:
        """Open a page of the console; answers its status."""
        answer = self.page.goto(self.home + path)
        assert answer is not None
        return answer.status

    def open(self, path: str) -> tuple[int, bool]:
        """Open what may be no page: its status, and whether it is HTML that is shown now, and not a file for the disk."""
        try:
            answer = self.page.goto(self.home + path)
        except Error as error:
            if "Download is starting" not in error.message:
                raise
            return 200, False
        assert answer is not None
        return answer.status, answer.headers.get("content-type", "").startswith("text/html")

    def log_in(self, name: str, password: str = PASSWORD) -> None:
        """Type name and password, and press Enter."""
        self.go("/login")
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Password").fill(password)
        self.page.keyboard.press("Enter")
        self.page.wait_for_url(lambda url: not url.endswith("/login"))

    def fill_in(self, path: str, fields: dict[str, str]) -> None:
        """Open the page of a form, write into its fields, and press its first button of weight, or the only one it has."""
        assert self.go(path) == 200, path
        form = self.page.locator("main form").filter(has=self.page.locator(f'[name="{next(iter(fields))}"]')).first
        for name, value in fields.items():
            form.locator(f'[name="{name}"]').first.fill(value)
        weighty = form.locator("button.primary")
        with self.page.expect_navigation():
            (weighty if weighty.count() else form.locator("button")).first.click()

    def press(self, name: str) -> None:
        """Press the button of this name."""
        self.page.get_by_role("button", name=name, exact=True).click()

    def follow(self, name: str) -> None:
        """Follow the link of this name."""
        self.page.get_by_role("link", name=name, exact=True).click()

    def said(self) -> str:
        """What is to be read on the page."""
        return self.page.locator("body").inner_text()

    def is_wider_than_the_window(self) -> bool:
        """Whether a person would have to move the page from side to side to read it."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


Open = Callable[..., Visitor]


def invitation(admin: Visitor) -> str:
    """The address that a link to set a password leads to, which this admin makes for the first user."""
    admin.go("/users/1")
    form = admin.page.locator('form[action$="/invitation"]')
    admin.page.get_by_text("Link to set a password", exact=True).click()
    form.get_by_label("Your own password").fill(PASSWORD)
    form.get_by_role("button").click()
    said = admin.page.get_by_role("status").first.inner_text()
    return said[said.index("/invitation/") :].strip()


@pytest.fixture
def visitor(chromium: Chromium, world: World) -> Iterator[Open]:
    """Opens browsers at the world's console, each with cookies of its own, and logs a person in where one is named."""
    servers: list[tuple[Any, threading.Thread]] = []
    opened: list[Visitor] = []

    def open_browser(name: str | None = None, **options: Any) -> Visitor:
        if not servers:
            servers.append(_serve(world.services))
        context = chromium.new_context(**{"viewport": DESK} | options)
        opened.append(Visitor(context.new_page(), f"http://127.0.0.1:{servers[0][0].server_port}/console"))
        if name:
            opened[-1].log_in(name)
        return opened[-1]

    yield open_browser
    for one in opened:
        one.page.context.close()
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()
    assert [complaint for one in opened for complaint in one.complaints] == []


def _whole(app: "WSGIApplication") -> "WSGIApplication":
    """The application with each answer read to its end before it is sent: where a browser goes away in the middle of one,
    this server leaves the file open that it was reading."""

    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
        with closing(ClosingIterator(app(environ, start_response))) as answer:
            return [b"".join(answer)]

    return application


def _serve(services: Services) -> tuple[Any, threading.Thread]:
    server = make_server("127.0.0.1", 0, _whole(create_app(services)), threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    return server, thread
