"""What axe-core finds wrong with a page for people who see little, or use no mouse, or have it read to them."""

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import BrowserContext, Page

# Only what is grave is looked for and comes back: the whole result of a large page takes as long to carry over as to find.
RUN = """
options => {
  options.runOnly ??= axe._audit.rules
    .filter(rule => rule.enabled && ['serious', 'critical'].includes(rule.impact))
    .filter(rule => !rule.tags.some(tag => axe._audit.tagExclude.includes(tag)))
    .map(rule => rule.id)
  return axe.run(options).then(found => found.violations
    .filter(one => ['serious', 'critical'].includes(one.impact))
    .flatMap(one => one.nodes.map(node => `${one.id} (${one.impact}): ${node.target} ${node.html.slice(0, 150)}`)))
}
"""
SHARED: dict[str, Any] = {"resultTypes": ["violations"], "preload": False, "iframes": False}
# This takes as long as all others together.
CONTRAST = "color-contrast"
# What a person with a keyboard can come to, and of it what gives no sign of having been come to.
UNMARKED = """
() => [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]')]
  .filter(one => {
    if (!one.getClientRects().length || one.disabled) return false
    one.focus({focusVisible: true})
    const style = getComputedStyle(one)
    return document.activeElement !== one || style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 2
  })
  .map(one => `shows no focus: ${one.outerHTML.slice(0, 150)}`)
"""


def bring(context: BrowserContext) -> None:
    """Let every page of this browser have axe-core from now on; to send it to each anew would take most of the time."""
    context.add_init_script(AXE_SCRIPT)


def serious(page: Page, *, contrast: bool = True) -> list[str]:
    """The violations of impact serious or critical, with the elements; without looking at contrast, where that is said."""
    options = SHARED if contrast else SHARED | {"rules": {CONTRAST: {"enabled": False}}}
    found: list[str] = page.evaluate(RUN, options)
    return found


def faint(page: Page) -> list[str]:
    """What stands out too little from its ground."""
    found: list[str] = page.evaluate(RUN, SHARED | {"runOnly": [CONTRAST]})
    return found


def unfold(page: Page) -> None:
    """Open all that is folded away: what it holds is looked at with the rest."""
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")


def unmarked(page: Page) -> list[str]:
    """What can be come to by keyboard and does not look any different then."""
    found: list[str] = page.evaluate(UNMARKED)
    return found
