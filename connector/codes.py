"""Codes for m3ter derived from Chargebee's ids, so that a repeated create is recognised (m3ter.md §1.5)."""

import hashlib
import json
import re

MAX_LENGTH = 80
# m3ter's "general code": no control characters, no blanks at the ends, inside only plain spaces. A list of codes would take
# a comma for two, and half of a surrogate pair cannot be sent.
_PLAIN = r"[^\s\x00-\x1f\x7f-\x9f,\ud800-\udfff]"
_GENERAL = re.compile(rf"{_PLAIN}(?:{_PLAIN}| )*(?<! )")


def code(*parts: str) -> str:
    """The parts joined with slashes, or their hash where that is too long, ambiguous or holds what a code may not."""
    joined = "/".join(parts)
    # Ids hold hyphens: joined by those, `acme` with `pro-USD` would be `acme-pro` with `USD`.
    ambiguous = joined.count("/") != len(parts) - 1 and len(parts) > 1
    if len(joined) <= MAX_LENGTH and not ambiguous and _GENERAL.fullmatch(joined):
        return joined
    return hashed(*parts)


def hashed(*parts: str) -> str:
    """The parts as one code that every rule allows."""
    return "cb-" + hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:48]
