"""What axe-core finds wrong with a page for people who see little, or use no mouse, or have it read to them."""

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import BrowserContext, Page

# Only what is grave comes back: the whole result of a large page takes as long to carry over as to find.
RUN = """
options => axe.run(options).then(found => found.violations
  .filter(one => ['serious', 'critical'].includes(one.impact))
  .flatMap(one => one.nodes.map(node => `${one.id} (${one.impact}): ${node.target} ${node.html.slice(0, 150)}`)))
"""


def bring(context: BrowserContext) -> None:
    """Let every page of this browser have axe-core from now on; to send it to each anew would take most of the time."""
    context.add_init_script(AXE_SCRIPT)


def serious(page: Page, *, only: str | None = None) -> list[str]:
    """The violations of impact serious or critical, with the elements; of this rule only, where one is named."""
    options: dict[str, Any] = {"resultTypes": ["violations"], "preload": False, "iframes": False}
    found: list[str] = page.evaluate(RUN, options | ({"runOnly": [only]} if only else {}))
    return found
