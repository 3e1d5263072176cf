"""What axe-core finds wrong with a page for people who see little, or use no mouse, or have it read to them."""

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

# Only what is grave comes back: the whole result of a large page takes as long to carry over as to find.
RUN = """
options => axe.run(options).then(found => found.violations
  .filter(one => ['serious', 'critical'].includes(one.impact))
  .flatMap(one => one.nodes.map(node => `${one.id} (${one.impact}): ${node.target} ${node.html.slice(0, 150)}`)))
"""


def serious(page: Page, *, only: str | None = None) -> list[str]:
    """The violations of impact serious or critical, with the elements; of this rule only, where one is named."""
    options: dict[str, Any] = {"resultTypes": ["violations"]} | ({"runOnly": [only]} if only else {})
    found: list[str] = page.evaluate(RUN, options)
    return found
