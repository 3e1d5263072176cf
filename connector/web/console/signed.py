"""What the console signs and gives away, to be believed when it comes back: in a cookie of its own, or in a link."""

from datetime import datetime
from typing import Any

from flask import current_app
from itsdangerous import BadSignature, URLSafeSerializer


def pack(purpose: str, said: dict[str, Any]) -> str:
    """Text that stands in an address or a cookie; whoever has it can read it, and nobody can change it."""
    packed = _serializer(purpose).dumps(said)
    return packed if isinstance(packed, str) else packed.decode("ascii")


def unpack(purpose: str, text: str, now: datetime) -> dict[str, Any] | None:
    """What was signed for this purpose; None when it was not, or when its `until` is over."""
    try:
        said = _serializer(purpose).loads(text)
    except BadSignature:
        return None
    return said if isinstance(said, dict) and now.timestamp() < said["until"] else None


def _serializer(purpose: str) -> URLSafeSerializer:
    """With the secrets of the sessions, the newest last; the purpose keeps what is signed for one from serving another."""
    config = current_app.config
    return URLSafeSerializer([*config["SECRET_KEY_FALLBACKS"], config["SECRET_KEY"]], salt=f"console {purpose}")
