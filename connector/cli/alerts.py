"""`connector alerts …`"""

from typing import Any

import click

from connector import audit
from connector.alerts import book, shown, watching
from connector.cli.common import output, table, wire
from connector.explain import moment

COLUMNS = ["key", "severity", "count", "opened_at", "text", "next_step"]


@click.group("alerts")
def alerts_group() -> None:
    """What people are told of by e-mail, chat or pager, and what stands now."""


@alerts_group.command("list")
@click.option("--over", metavar="NUMBER", default=10, show_default=True, type=click.IntRange(0, 1000),
              help="So many of those that are over, too.")  # fmt: skip
@output
def list_alerts(over: int) -> Any:
    """List the alerts that stand, the most severe first, and the newest of those that are over."""
    found = shown.of_installation(wire(needs_connection=False), over=over)
    standing = [shown.as_json(one, found.mutes.get(one.key)) for one in found.open]
    gone = [shown.as_json(one, found.mutes.get(one.key)) for one in found.over]
    sent = [
        {"destination": one.destination, "tries": one.tries, "failing_since": moment(one.failing_since),
         "sent_at": moment(one.sent_at)}
        for one in found.destinations
    ]  # fmt: skip
    text: list[Any] = [
        table("Alerts", [*COLUMNS, "muted until"],
              [[*(one[name] for name in COLUMNS), one["muted_until"]] for one in standing])
        if standing else "Nothing stands that people should hear of."
    ]  # fmt: skip
    if gone:
        text.append(table("Over", ["key", "opened_at", "resolved_at", "text"],
                          [[one[name] for name in ("key", "opened_at", "resolved_at", "text")] for one in gone]))  # fmt: skip
    if sent:
        text.append(table("Destinations", list(sent[0]), [list(one.values()) for one in sent]))
    return {"alerts": standing, "over": gone, "destinations": sent}, text


@alerts_group.command("preview")
@output
def preview_alerts() -> Any:
    """Look now, and print what each destination would be sent; nothing is sent."""
    found = shown.preview(wire())
    document = [
        {"destination": name, "title": one and one.title, "body": one and one.body, "kind": one and one.kind}
        for name, one in found
    ]
    text = [f"{name}: {one.title}\n\n{one.body}\n" if one else f"{name}: nothing\n" for name, one in found]
    return {"messages": document}, text


@alerts_group.command("test")
@output
def test_alerts() -> Any:
    """Send a test message to every address of ALERT_URLS, and say how each went."""
    found = watching.test(wire(needs_connection=False))
    document = {
        "destinations": [{"destination": name, "sent": why is None, "why": why} for name, why in found.items()],
        "exit_status": 1 if any(found.values()) else 0,
    }
    said = [f"{name}: {'sent' if why is None else f'not sent, {why}'}" for name, why in found.items()]
    return document, said or "ALERT_URLS is not set: nobody is told of anything."


@alerts_group.command("mute")
@click.argument("key")
@click.option("--hours", metavar="NUMBER", required=True, type=click.IntRange(1, 720), help="For how long.")
@click.option("--reason", required=True, help="Why; kept in the audit log, and shown with the alert.")
@output
def mute_alert(key: str, hours: int, reason: str) -> Any:
    """Say nothing of an alert for a while, also if it is over and comes back."""
    until = shown.mute_for(wire(needs_connection=False), key, hours, reason, audit.actor())
    return {"key": key, "muted_until": until.isoformat()}, f"{key} is muted until {moment(until)}."


@alerts_group.command("unmute")
@click.argument("key")
@output
def unmute_alert(key: str) -> Any:
    """Say again what is to be said of an alert."""
    book.unmute(wire(needs_connection=False), key, audit.actor())
    return {"key": key, "muted_until": None}, f"{key} is not muted any more."
