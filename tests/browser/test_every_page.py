"""What holds for every page there is: the routes are taken from the table, so that new ones are looked at too.

Every page is read as the server writes it, as each role; in Chromium one page of each template is looked at, the longest.
`make axe` looks in Chromium at every page, as every role.
"""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from connector.access import ADMIN, ROLES, VIEWER
from tests.browser import axe, looks
from tests.browser.conftest import PHONE, Open, invitation
from tests.browser.seed import PERSON_OF, Furnished
from tests.flows.browser import Browser
from tests.flows.conftest import World

pytestmark = pytest.mark.alternate_databases

# Colours stand in one place of the style sheet: these pages use all of them. `make axe` looks at those of every page.
COLOURFUL = {
    "login.html",
    "syncs.html",
    "sync.html",
    "connections.html",
    "error.html",
    "bills/show.html",
    "tokens.html",
}
TEMPLATES = Path("connector/web/console/templates")
# Parts and frames of others, the page of another test, and one that asks for its own address again at once.
NOT_HERE = {
    "base.html", "macros.html", "confirm.html", "balances/confirm.html", "balances/parts.html", "bills/parts.html",
    "mappings/parts.html", "no_users.html", "from_elsewhere.html",
}  # fmt: skip


def test_every_page_can_be_read_by_everybody_and_leads_nobody_where_they_may_not_go(
    furnished: Furnished, visitor: Open
) -> None:
    """No serious violation, nothing wider than a phone, and not a word in the browser's console."""
    pages: dict[str, tuple[int, str]] = {}
    with looks.templates() as seen:
        assert out_of_reach(furnished, seen, pages) == {}
        ada, nobody = visitor(PERSON_OF[ADMIN]), visitor()
        for one in (ada, nobody):
            axe.bring(one.page.context)
        found = {}
        for template, (_, path) in pages.items():
            assert ada.go(path) in (200, 404), path
            found[path] = looks.faults_of(ada, template in COLOURFUL)
        for form in furnished.forms():
            ada.fill_in(form.path, form.fields)
            found[form.name] = looks.faults_of(ada, form.name.endswith("wrong"))
        for template, path in (
            ("login.html", "/login"),
            ("invitation.html", invitation(ada)),
            ("error.html", "/nowhere"),
        ):
            nobody.go(path)
            found[path] = looks.faults_of(nobody, template in COLOURFUL)
    assert {path: wrong for path, wrong in found.items() if wrong} == {}
    assert {str(one.relative_to(TEMPLATES)) for one in TEMPLATES.rglob("*.html")} - set(seen) == NOT_HERE


def out_of_reach(furnished: Furnished, seen: list[str], longest: dict[str, tuple[int, str]]) -> dict[str, list[str]]:
    """What pages offer to those who may not use it, by who looked; `longest` gets the longest page of each template."""
    found = {}
    for role in ROLES:
        browser = Browser(furnished.world.services)
        browser.log_in(PERSON_OF[role])
        for name, path in furnished.pages(role):
            before = len(seen)
            answer = browser.get(path, follow_redirects=True)
            assert answer.status_code in (200, 404), (role, path)
            found[f"{role}: {name}"] = looks.out_of_reach(furnished.world.services, role, answer.text)
            if role == ADMIN and len(seen) > before:
                longest[seen[-1]] = max(longest.get(seen[-1], (0, "")), (len(answer.text), path))
    return {name: wrong for name, wrong in found.items() if wrong}


def test_page_before_there_is_anybody_can_be_read_too(world: World, visitor: Open) -> None:
    nobody = visitor()
    axe.bring(nobody.page.context)
    assert nobody.go("/") == 503
    assert looks.faults_of(nobody) == []


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
