"""What holds for every page there is, in Chromium: the routes are taken from the table, so that new ones are looked at too."""

from collections import defaultdict
from typing import Any

import pytest
from playwright.sync_api import Error

from tests.browser import axe
from tests.browser.conftest import Open, Visitor
from tests.browser.seed import PERSON_OF, Furnished
from connector.access import ADMIN, OPERATOR, VIEWER

pytestmark = pytest.mark.alternate_databases

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}


def test_every_page_can_be_read_by_everybody(furnished: Furnished, visitor: Open) -> None:
    """No serious violation in light and in dark, nothing wider than a phone, and not a word in the browser's console."""
    somebody = visitor(PERSON_OF[ADMIN])
    axe.bring(somebody.page.context)
    faults: dict[str, list[str]] = defaultdict(list)
    for name, path in furnished.pages():
        faults[f"{name} {path}"] += look_at(somebody, path)
    assert {page: found for page, found in faults.items() if found} == {}


def look_at(somebody: Visitor, path: str, status: int = 200) -> list[str]:
    """What is wrong with one page."""
    page = somebody.page
    page.set_viewport_size(DESK)
    page.emulate_media(color_scheme="light")
    answer = page.goto(somebody.home + path)
    assert answer is not None
    if not answer.headers.get("content-type", "").startswith("text/html"):
        return []
    found = [] if answer.status == status else [f"status {answer.status}"]
    found += [f"light: {one}" for one in axe.serious(page)]
    page.emulate_media(color_scheme="dark")
    found += [f"dark: {one}" for one in axe.serious(page, only="color-contrast")]
    page.set_viewport_size(PHONE)
    if somebody.is_wider_than_the_window():
        found.append("wider than a phone")
    return found
