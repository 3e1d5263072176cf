"""What is wrong with a page, for whoever looks at it: what axe-core finds, what is too wide, what leads where they may not go."""

import html
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

from flask import Flask, template_rendered
from jinja2 import Template
from playwright.sync_api import ViewportSize
from werkzeug.exceptions import HTTPException

from connector.access import ROLES
from connector.services import Services
from connector.web.console.routes import BY_ENDPOINT
from tests.browser import axe
from tests.browser.conftest import DESK, PHONE, Visitor
from tests.flows.browser import app_of

# A window of DESK's size at 200 %.
ZOOMED: ViewportSize = {"width": DESK["width"] // 2, "height": DESK["height"] // 2}


def faults_of(somebody: Visitor, colours: bool = True, *, widths: Sequence[ViewportSize] = (PHONE,)) -> list[str]:
    """What is wrong with the page that is open; where its colours matter, they are looked at in light and dark."""
    page = somebody.page
    found = axe.serious(page, contrast=colours)
    if colours:
        page.emulate_media(color_scheme="dark")
        found += [f"dark: {one}" for one in axe.faint(page)]
        page.emulate_media(color_scheme="light")
    for size in widths:
        page.set_viewport_size(size)
        if somebody.is_wider_than_the_window():
            found.append(f"wider than {size['width']} pixels")
    page.set_viewport_size(DESK)
    return found


@contextmanager
def templates() -> Iterator[list[str]]:
    """The names of the templates that pages are made from meanwhile, in whatever thread."""
    names: list[str] = []

    def note(_: object, *, template: Template, **__: object) -> None:
        names.append(str(template.name))

    with template_rendered.connected_to(note):
        yield names


def out_of_reach(services: Services, role: str | None, text: str) -> list[str]:
    """The links and forms of a page that whoever has this role may not use, and those that lead nowhere."""
    console: Flask = app_of(services).extensions["console"]
    urls, found = console.url_map.bind("127.0.0.1"), []
    for method, address in _offered(text):
        try:
            endpoint, _ = urls.match(address.removeprefix("/console"), method)
        except HTTPException as error:
            found.append(f"{method} {address}: {error.code}")
            continue
        needed = None if endpoint == "static" else BY_ENDPOINT[endpoint].role
        if needed and (role is None or ROLES.index(role) < ROLES.index(needed)):
            found.append(f"{method} {address} needs {needed}")
    return found


def _offered(text: str) -> Iterator[tuple[str, str]]:
    """Where the page leads within the console, by what method."""
    for tag in re.findall(r"<(?:a|form|button)\b[^>]*>", text):
        address = re.search(r'\s(?:href|action|formaction)="([^"]*)"', tag)
        path = html.unescape(address[1]) if address else ""
        if path.startswith("/console"):
            yield ("POST" if 'method="post"' in tag else "GET"), unquote(urlsplit(path).path)
