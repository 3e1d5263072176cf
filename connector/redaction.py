"""Payloads for those who may not see personal data: what they are about stays readable, who they are about does not."""

import re
from typing import Any

HIDDEN = "•••"
# The only texts that are shown: ids, kinds, states and the like.
_PLAIN = re.compile(
    r"id|\w+_id|object|\w+_type|type|\w*status|\w*version|source|\w*_unit|\w*_code|channel|auto_collection|\w*model"
    r"|eventName|\w+Id|\w*[cC]ode|\w*[sS]tatus|\w*Date"
)
# Hidden with all that is in them: what nobody knows the meaning of, and what is personal also as a number.
_WHOLLY = re.compile(
    r"cf_\w+|meta_?data|custom_?fields?|\w*(phone|card|iin|last4|vat|tax_id|ip_address|coordinates|zip|postal)\w*",
    re.IGNORECASE,
)
# Where customer ids are e-mail addresses.
_ADDRESS = re.compile(r".*@.*", re.DOTALL)


def redacted(value: Any, key: str = "") -> Any:
    """The JSON value with every text hidden that might say who somebody is; numbers and switches stay, ids do, names do not."""
    if _WHOLLY.fullmatch(key):
        return HIDDEN
    if isinstance(value, dict):
        return {name: redacted(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [redacted(one, key) for one in value]
    if isinstance(value, str) and not (_PLAIN.fullmatch(key) and not _ADDRESS.fullmatch(value)):
        return HIDDEN
    return value
