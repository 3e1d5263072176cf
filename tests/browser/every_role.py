"""`make axe`: every page, as everybody who may look at it, in Chromium; `make test` looks at a part of them.

In light and dark colours, as wide as a phone and at 200 %, with the keyboard's focus on each thing that takes it.
"""

from collections.abc import Iterator

import pytest

from connector.access import ADMIN, OPERATOR, ROLES
from tests.browser import axe, looks
from tests.browser.conftest import PHONE, Open, Visitor, invitation
from tests.browser.seed import PERSON_OF, Furnished

WIDTHS = (PHONE, looks.ZOOMED)


def faults_of(somebody: Visitor) -> list[str]:
    axe.unfold(somebody.page)
    return looks.faults_of(somebody, widths=WIDTHS) + axe.unmarked(somebody.page)


@pytest.mark.parametrize("role", ROLES)
def test_every_page_can_be_read_by(role: str, furnished: Furnished, visitor: Open) -> None:
    somebody = visitor(PERSON_OF[role])
    axe.bring(somebody.page.context)
    found, seen = {}, 0
    for name, path in furnished.pages(role):
        status, is_page = somebody.open(path)
        assert status in (200, 404), path
        if is_page:
            found[name], seen = faults_of(somebody), seen + (status == 200)
    assert seen > 25
    if role in (OPERATOR, ADMIN):
        for form in furnished.forms():
            if role == ADMIN or not form.path.startswith("/users"):
                somebody.fill_in(form.path, form.fields)
                found[form.name] = faults_of(somebody)
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_pages_before_somebody_is_logged_in_can_be_read(furnished: Furnished, visitor: Open) -> None:
    nobody = visitor()
    axe.bring(nobody.page.context)
    found = {}
    for path in addresses_for_nobody(visitor(PERSON_OF[ADMIN])):
        nobody.go(path)
        found[path] = faults_of(nobody)
    assert {path: wrong for path, wrong in found.items() if wrong} == {}


def addresses_for_nobody(admin: Visitor) -> Iterator[str]:
    yield from ("/login", "/syncs", "/nowhere", "/invitation/used-up")
    yield invitation(admin)
