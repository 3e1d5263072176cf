"""Pictures of every page: light, dark and as wide as a phone; `make screenshots` writes them to `var/screenshots/`."""

from pathlib import Path

import pytest
from playwright.sync_api import Page

from connector.access import ADMIN, OPERATOR, VIEWER
from tests.browser.conftest import DESK, PHONE, Open, Visitor
from tests.browser.seed import PERSON_OF, Furnished

WHERE = Path("var/screenshots")
# The few that the README shows are kept with the code, in the one folder for what is neither code nor test of it.
IN_README = Path("config/screenshots")
WINDOW = {"x": 0, "y": 0, "width": 1120, "height": 640}
# Above this a picture shows more of the same.
TALLEST = 2400


@pytest.fixture(scope="session")
def folder() -> Path:
    """The folder, without the pictures of the last time."""
    WHERE.mkdir(parents=True, exist_ok=True)
    for old in WHERE.glob("*.png"):
        old.unlink()
    return WHERE


def test_pictures_of_every_page(furnished: Furnished, visitor: Open, folder: Path) -> None:
    ada, vera, nobody = visitor(PERSON_OF[ADMIN]), visitor(PERSON_OF[VIEWER]), visitor()
    for name, path in (("login", "/login"), ("not-found", "/nowhere")):
        nobody.open(path)
        photograph(nobody, name, folder)
    for name, path in furnished.pages():
        if ada.open(path)[1]:
            photograph(ada, name, folder)
    for name, path in furnished.pages(VIEWER):
        if vera.open(path)[1]:
            take(vera.page, folder / f"{name}-viewer.png")
    for form in furnished.forms():
        ada.fill_in(form.path, form.fields)
        photograph(ada, form.name, folder)
    ada.page.set_viewport_size(PHONE)
    ada.go("/syncs")
    ada.press("Menu")
    take(ada.page, folder / "menu-phone.png")


def test_readme_has_its_pictures(furnished: Furnished, visitor: Open) -> None:
    """`make readme-screenshots` takes them anew: the top of the overview and of what stands still, by day and by night."""
    otto = visitor(PERSON_OF[OPERATOR], viewport={"width": WINDOW["width"], "height": WINDOW["height"]})
    IN_README.mkdir(exist_ok=True)
    parked = furnished.world.sync("subscription", "sub-unmapped").id
    for name, path, scheme in (("overview", "/", "light"), ("sync", f"/syncs/{parked}", "dark")):
        otto.page.emulate_media(color_scheme=scheme)
        assert otto.go(path) == 200
        otto.page.screenshot(path=IN_README / f"{name}.png", clip=WINDOW)


def photograph(somebody: Visitor, name: str, folder: Path) -> None:
    """Three pictures of the page that is open."""
    page = somebody.page
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        take(page, folder / f"{name}-{scheme}.png")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(PHONE)
    take(page, folder / f"{name}-phone.png")
    page.set_viewport_size(DESK)


def take(page: Page, path: Path) -> None:
    """A picture from the top to the end of the page, or as far as is of use."""
    height = min(page.evaluate("document.documentElement.scrollHeight"), TALLEST)
    size = page.viewport_size
    assert size is not None
    clip = {"x": 0, "y": 0, "width": size["width"], "height": max(height, size["height"])}
    page.screenshot(path=path, full_page=True, clip=clip)
