"""Codes for m3ter derived from Chargebee's ids, so that a repeated create is recognised (m3ter.md §1.5)."""

import hashlib
import re

MAX_LENGTH = 80
# m3ter's "general code": no control characters, no blanks at the ends, inside only plain spaces.
_GENERAL = re.compile(r"[^\s\x00-\x1f\x7f-\x9f](?:[^\s\x00-\x1f\x7f-\x9f]| )*(?<! )")


def code(*parts: str) -> str:
    """The parts joined with hyphens, or their hash where that is too long or holds what a code may not."""
    joined = "-".join(parts)
    if len(joined) <= MAX_LENGTH and _GENERAL.fullmatch(joined):
        return joined
    return "cb-" + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:48]
