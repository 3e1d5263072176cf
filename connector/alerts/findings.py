"""What looking comes to: one finding for each cause, not for each sync or event, in words that hold no personal data."""

import re
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from connector import explain

# The installation as a whole, where others name their connection.
EVERYWHERE = "*"
LONGEST = 300
# Customer ids may be e-mail addresses.
_ADDRESS = re.compile(r"[^\s@]+@[^\s@]+")
# What chats and mail programs take for mentions, links or markup.
_HARMLESS = str.maketrans({"@": "(at)", "<": "‹", ">": "›", "[": "(", "]": ")", "|": "/", "*": "·", "&": "+"})


@dataclass(frozen=True)
class Finding:
    """Something that people should hear of, as it stands now.

    `about` tells it from others of its condition and connection. `page` is the console's, below its address, `command` shows
    the same. `count` is how many there are of what it is about, `since` when the oldest was.
    """

    condition: str
    connection: str
    severity: str
    text: str
    next_step: str
    page: str
    command: str
    about: tuple[str, ...] = ()
    count: int = 1
    since: datetime | None = None

    @property
    def key(self) -> str:
        """The same for the same trouble, whenever it is looked at."""
        return ":".join((self.condition, self.connection, *self.about))


def page(path: str, **filters: str) -> str:
    """A page of the console with its filter."""
    return f"{path}?{urlencode(filters)}" if filters else path


def harmless(text: str) -> str:
    """The text as it may go to a chat: addresses hidden, nothing that mentions somebody, links or steers, bounded in length."""
    one_line = explain.printable(" ".join(text.split()))
    plain = _ADDRESS.sub("•••", one_line).translate(_HARMLESS).replace("://", ": //")
    return plain if len(plain) <= LONGEST else f"{plain[:LONGEST]}…"


def number(count: int, one: str, many: str | None = None) -> str:
    """`1 sync`, `12 syncs`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def since(at: datetime | None) -> str:
    """The oldest, for the end of a sentence."""
    return "" if at is None else f", the oldest since {at:%Y-%m-%d %H:%M} UTC"
