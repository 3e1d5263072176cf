"""Kinds of values that more than one setting has."""

import ipaddress
import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
# An empty secret would let everybody in who gives none.
Secret = Annotated[SecretStr, Field(min_length=1)]
# Whoever guesses what signs the console's sessions is whom they want to be.
LongSecret = Annotated[SecretStr, Field(min_length=32)]


def pairs(value: Any, pattern: str, example: str) -> Any:
    """Comma separated pairs as a dictionary, the two groups of `pattern`; what is no text stays as it is. Raises ValueError."""
    if not isinstance(value, str):
        return value
    found = [re.fullmatch(rf"\s*{pattern}\s*", pair) for pair in value.split(",")]
    if not all(found):
        raise ValueError(f"should look like {example}")
    return {pair[1]: pair[2] for pair in found if pair}


def web_address(value: str) -> str:
    """The address, if it is one that a secret may be sent to; else ValueError, which does not repeat it."""
    parts = urlsplit(value)
    if "@" in parts.netloc:
        raise ValueError("must not hold a user or password")
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOCAL_HOSTS):
        raise ValueError("must start with https:// (http:// only on this machine)")
    if not parts.hostname or _is_link_local(parts.hostname):
        raise ValueError("must name a host")
    return value


def _is_link_local(host: str) -> bool:
    """Whether this is an address such as 169.254.169.254, where cloud machines keep their own credentials."""
    try:
        return ipaddress.ip_address(host).is_link_local
    except ValueError:
        return False
