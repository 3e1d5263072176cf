"""Forms and filters: who sent a form, and what its fields and a list's filters may hold."""

import hmac
import secrets
from collections.abc import Collection, Sequence
from typing import Any
from urllib.parse import urlsplit

from flask import abort, request, session

MAX_TEXT = 500
MAX_ROW = 2**63 - 1
PAGE_ROWS = 50


def token() -> str:
    """What each form carries to show that one of our pages made it."""
    if "csrf" not in session:
        session["csrf"] = secrets.token_urlsafe(32)
    return str(session["csrf"])


def check_sender() -> None:
    """Abort with 400 unless the form comes from a page of ours: by its token, and by what the browser says of its origin."""
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    wanted, given = str(session.get("csrf", "")), request.form.get("csrf", "")
    if origin is not None and urlsplit(origin).netloc.lower() != request.headers.get("Host", "").lower():
        abort(400)
    if site not in (None, "same-origin"):
        abort(400)
    if not wanted or not hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode()):
        abort(400)


def text(name: str, *, most: int = MAX_TEXT) -> str:
    """A field that must be filled in; 400 when it is not, or holds what no text of a person does."""
    found = _clean(request.form.get(name, ""), most)
    if not found:
        abort(400)
    return found


def optional(name: str) -> str | None:
    """A field that may be left empty."""
    return _clean(request.form.get(name, ""), MAX_TEXT) or None


def choice(name: str, allowed: Collection[str]) -> str:
    """A field that is one of these; else 400."""
    found = request.form.get(name, "")
    if found not in allowed:
        abort(400)
    return found


def one_of(name: str, allowed: Sequence[str]) -> str:
    """A hidden field that is one of these; the first where it is not."""
    found = request.form.get(name, "")
    return found if found in allowed else allowed[0]


def wanted(name: str, allowed: Collection[str] | None = None) -> str | None:
    """A filter of a list, from the address; None when it is not set, 400 when it cannot be one."""
    found = _clean(request.args.get(name, ""), MAX_TEXT)
    if found and allowed is not None and found not in allowed:
        abort(400)
    return found or None


def before() -> int | None:
    """The row that a page of a list ends before."""
    return row("before")


def row(name: str) -> int | None:
    """The number of a row, from the address; None when it is not there, 400 when it cannot be one."""
    found = request.args.get(name, "")
    if not found:
        return None
    if not (found.isascii() and found.isdigit()) or not 0 < int(found[:20]) <= MAX_ROW:
        abort(400)
    return int(found)


def _clean(value: str, most: int) -> str:
    stripped = value.strip()
    if len(stripped) > most or not stripped.replace("\r", "").replace("\n", "").isprintable():
        abort(400)
    return stripped


def page(rows: list[Any]) -> tuple[list[Any], int | None]:
    """The rows of one page, of one more that were read, and before which row the next page is; None at the end."""
    shown = rows[:PAGE_ROWS]
    return shown, shown[-1].id if len(rows) > PAGE_ROWS else None
