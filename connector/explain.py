"""A sync in words for a person: when it runs next, what it waits for, which calls a try made."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from connector.models import OPEN, InboxEvent, Sync


def moment(at: datetime | None) -> str | None:
    """A time for a person."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else None


def next_run(row: Sync, now: datetime) -> str:
    """When the sync is tried again by itself, and what would bring that forward."""
    if row.status not in OPEN:
        return "not any more: a new event about the subject opens a new sync"
    if row.status == "running":
        again = ", and once more after that, since something arrived meanwhile" if row.again else ""
        return f"it is running; should its worker die, another takes over at {moment(row.lease_until)}{again}"
    wakes = f"as soon as there is {wish(row.wakes_on)}" if row.wakes_on else None
    if row.status == "parked":
        return wakes or "not by itself"
    due = f"at {moment(row.next_attempt_at)}" if row.next_attempt_at > now else "as soon as a worker is free"
    return ", or ".join(filter(None, (due, wakes)))


# What a sync waits for, by the first word of its wish and with the rest of it.
WISHES = {
    "invoice": "a pending invoice of subscription {}",
    "settled": "certainty about another bill's line on invoice {}",
    "closed": "the closing of an invoice of bill {}",
    "shadow": "the closing of an invoice of subscription {}",
    "approval": "one person's approval more of bill {}",
    "made": "balance request {}, which has to be made first",
    "mapping": "a mapping of {}",
}
ANY_CHARGE = {"mapping:charges": "another mapping of a charge item price"}


def wish(key: str) -> str:
    """What a sync waits for, in words."""
    kind, _, name = key.partition(":")
    return ANY_CHARGE.get(key) or WISHES.get(kind, f"{kind} {{}}").format(name.replace(":", " "))


def calls(made_calls: Iterable[dict[str, Any]]) -> list[str]:
    """Each call once in its order of first mention, with how often it was made and how long that took in all."""

    def said(call: dict[str, Any]) -> str:
        return f"{call['provider']} {call['method']} {call['path']} → {call['status'] or call['error']}"

    made, spent = Counter[str](), Counter[str]()
    for call in made_calls:
        made[said(call)] += 1
        spent[said(call)] += round(call["milliseconds"])
    return [f"{one}{f' × {number}' if number > 1 else ''}, {spent[one]} ms" for one, number in made.items()]


def printable(text: str) -> str:
    """The text without what could steer a terminal or cannot be written."""
    return "".join(one if one.isprintable() or one == "\n" else ascii(one)[1:-1] for one in text)


def delivered(body: bytes) -> str:
    """What was delivered, as a person can read it whatever it is."""
    return printable(body.decode("utf-8", "backslashreplace"))


# What became of an event, in words, and what a person does about it.
EVENT_STATES = {
    "new": ("It waits to be dispatched, which happens by itself.", None),
    "done": ("It was acted on: what it says is kept, and the syncs about it stand below.", None),
    "ignored": ("Nothing was done about it.", "Nothing, as a rule; dispatch it once more after an upgrade that handles it."),
    "failed": (
        "It could not be used, and nothing that it says was kept.",
        "Compare it with what its sender shows. Sync its customer or subscription, so that what is true now is taken from "
        "Chargebee; then close it. Or dispatch it once more after an upgrade.",
    ),
}  # fmt: skip


def event(row: InboxEvent) -> tuple[str, str | None]:
    """What became of the event, and the next step; None where there is none."""
    return EVENT_STATES[row.status]


def quarantined(reason: str) -> str:
    """What a person does about a delivery that could not become an event."""
    return next((step for start, step in QUARANTINE_STEPS if start in reason), "Have its sender deliver it anew.")


# By what the reason holds.
QUARANTINE_STEPS = (
    ("api_version is not v2", "Set the webhook in Chargebee to API version 2, and have it deliver the event anew."),
    (
        "came again with another content",
        "Compare both with Chargebee; the first one counts. Sync what it is about, then dismiss it.",
    ),
    ("has no", "Look at who sends this: it is no event of the provider's. Mend the sender, then dismiss it."),
    ("not JSON", "Look at what lies between the sender and the connector: something changes or cuts the body."),
    ("not UTF-8", "Look at what lies between the sender and the connector: something changes or cuts the body."),
    ("too deep", "No event of the provider's is like this. Look at who sends it, then dismiss it."),
)
