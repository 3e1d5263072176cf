"""One message for all that a destination is to be told: the most severe first, each with its next step and where to look."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from connector.alerts import rules
from connector.alerts.book import Due
from connector.alerts.findings import harmless, number

# No message is longer, whatever the destination takes.
LONGEST = 6000
# Enough for how many more there are, and where.
TAIL = 200
# What it means for those who sort by kinds.
FAILURE, WARNING, SUCCESS, INFO = "failure", "warning", "success", "info"
COUNTED = ((rules.URGENT, "urgent", "urgent"), (rules.WARNING, "warning", "warnings"), (rules.OVER, "over", "over"))
BEFORE = {rules.MORE: "more than before: ", rules.STILL: "still: ", rules.WORSE: "worse than before: "}


@dataclass(frozen=True)
class Message:
    """A title and lines of plain text, and how bad it is."""

    title: str
    body: str
    kind: str


def compose(
    said: Sequence[Due], *, console_url: str | None, all_over: bool, longest: int = LONGEST
) -> Message:  # fmt: skip
    """The message; of what does not fit only the number is said. `all_over` says that nothing of its kind is left open."""
    shown: list[str] = []
    room = min(longest, LONGEST) - TAIL
    for one in said:
        block = _block(one, console_url)
        if shown and sum(len(other) + 2 for other in shown) + len(block) > room:
            break
        shown.append(block[: max(room, 40)])
    rest = len(said) - len(shown)
    if rest:
        where = f"{console_url}/alerts" if console_url else "connector alerts list"
        shown.append(f"… and {rest} more: {where}")
    return Message(_title(said), "\n\n".join(shown), _kind(said, all_over))


def _block(one: Due, console_url: str | None) -> str:
    alert = one.alert
    where = f"{console_url}{alert.page}" if console_url else alert.command
    if one.reason == rules.OVER:
        return f"OVER: {harmless(alert.text)}"
    again = f" It has come back {number(alert.returns, 'time')}." if alert.returns else ""
    text = f"{alert.severity.upper()}: {BEFORE.get(one.reason, '')}{harmless(alert.text)}."
    return f"{text}{again}\nNext: {harmless(alert.next_step)}\n{where}"


def _title(said: Sequence[Due]) -> str:
    counts = Counter(rules.OVER if one.reason == rules.OVER else one.alert.severity for one in said)
    words = [f"{counts[name]} {word if counts[name] == 1 else words}" for name, word, words in COUNTED if counts[name]]
    return f"Chargebee-m3ter connector: {', '.join(words)}"


def _kind(said: Sequence[Due], all_over: bool) -> str:
    standing = {one.alert.severity for one in said if one.reason != rules.OVER}
    if rules.URGENT in standing:
        return FAILURE
    if rules.WARNING in standing:
        return WARNING
    # What opens incidents closes them for this, so that it is said of the last only.
    return SUCCESS if all_over else INFO
