"""What holds for every page there is, in Chromium: the routes are taken from the table, so that new ones are looked at too."""

import pytest
from playwright.sync_api import expect

from connector.access import ADMIN, OPERATOR, VIEWER
from tests.browser import axe
from tests.browser.conftest import DESK, PHONE, Open, Visitor
from tests.browser.seed import PERSON_OF, Furnished
from tests.flows.conftest import UNMAPPED, World

pytestmark = pytest.mark.alternate_databases

# The dark colours stand in one place of the style sheet: these pages use all of them. `make screenshots` tries every page.
IN_THE_DARK = ("/login", "/", "/syncs", "/connections", "/nowhere")


def test_every_page_can_be_read_by_everybody(furnished: Furnished, visitor: Open) -> None:
    """No serious violation, nothing wider than a phone, and not a word in the browser's console."""
    ada = visitor(PERSON_OF[ADMIN])
    assert faults(ada, {path: 200 for _, path in furnished.pages()}) == {}


def test_pages_of_other_roles_and_those_that_refuse_can_be_read_too(people: World, visitor: Open) -> None:
    people.sign_up(items=(UNMAPPED,))
    people.settle()
    nobody, vera, otto = visitor(), visitor(PERSON_OF[VIEWER]), visitor(PERSON_OF[OPERATOR])
    parked = f"/syncs/{people.sync('subscription', 'sub-1').id}"
    assert faults(nobody, {"/login": 200, "/syncs": 200, "/nowhere": 404}) == {}
    assert faults(vera, {"/": 200, parked: 200, "/audit": 403, "/syncs?status=lost": 400, "/nowhere": 404}) == {}
    assert faults(otto, {parked: 200, "/connections": 200, "/audit": 403}) == {}


def test_page_before_there_is_anybody_can_be_read_too(world: World, visitor: Open) -> None:
    assert faults(visitor(), {"/": 503}) == {}


def faults(somebody: Visitor, pages: dict[str, int]) -> dict[str, list[str]]:
    """What is wrong with each of these pages, which are to answer with this status; those without a fault are left out."""
    axe.bring(somebody.page.context)
    found = {path: look_at(somebody, path, status) for path, status in pages.items()}
    return {path: wrong for path, wrong in found.items() if wrong}


def look_at(somebody: Visitor, path: str, status: int) -> list[str]:
    page = somebody.page
    page.set_viewport_size(DESK)
    page.emulate_media(color_scheme="light")
    answered, is_page = somebody.open(path)
    if answered != status:
        return [f"status {answered}: {somebody.said()}"]
    if not is_page:
        return []
    found = [f"light: {one}" for one in axe.serious(page)]
    if path in IN_THE_DARK:
        page.emulate_media(color_scheme="dark")
        found += [f"dark: {one}" for one in axe.serious(page, only="color-contrast")]
    page.set_viewport_size(PHONE)
    if somebody.is_wider_than_the_window():
        found.append("wider than a phone")
    return found


def test_on_a_phone_the_menu_opens_over_the_page_and_closes_by_itself(people: World, visitor: Open) -> None:
    vera = visitor(PERSON_OF[VIEWER], viewport=PHONE)
    menu = vera.page.get_by_role("navigation", name="Pages")
    expect(menu).to_be_hidden()
    vera.press("Menu")
    expect(menu).to_be_visible()
    assert not vera.is_wider_than_the_window()
    vera.page.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    vera.press("Menu")
    vera.follow("Syncs")
    expect(vera.page.get_by_role("heading", level=1)).to_have_text("Syncs")
    expect(menu).to_be_hidden()
