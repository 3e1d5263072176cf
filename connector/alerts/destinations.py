"""Where alerts go: addresses as Apprise writes them (https://appriseit.com/), which hold secrets and are never shown.

Apprise takes half a second to load, so that it is loaded where something is sent, or the addresses are checked.
"""

import logging
import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from connector.alerts.messages import Message
from connector.alerts.rules import SEVERITIES, WARNING
from connector.errors import Misconfigured
from connector.settings import Settings

# How long one destination may take, and how long all are waited for together: the clock has other things to do.
SEND_SECONDS, WAIT_SECONDS = 10, 15
NOWHERE = SecretStr("")
ANSWERED = re.compile(r"\berror=(\d{3})\b")


@dataclass(frozen=True)
class Destination:
    """One of ALERT_URLS: a name that may be shown, the least severity that it is told of, and how long a message it takes."""

    name: str
    least: str
    url: SecretStr
    longest: int


def of(settings: Settings) -> list[Destination]:
    """The destinations in their order; Misconfigured names the position of one that Apprise does not understand."""
    found: list[Destination] = []
    seen: Counter[str] = Counter()
    for position, secret in enumerate(settings.alert_urls, start=1):
        written = secret.get_secret_value()
        least, url = _split(written)
        scheme = url.partition(":")[0].lower()
        plugin = _plugin(url)
        if plugin is None:
            raise Misconfigured(
                f"ALERT_URLS: address {position} of {len(settings.alert_urls)} ({scheme}://…) is none that Apprise understands: "
                "see https://appriseit.com/services/"
            )
        seen[scheme] += 1
        name = scheme if seen[scheme] == 1 else f"{scheme}-{seen[scheme]}"
        # A title that has no place of its own goes into the body.
        found.append(Destination(name, least, SecretStr(url), int(plugin.body_maxlen) - 100))
    return found


def _split(written: str) -> tuple[str, str]:
    """The least severity, and the address."""
    before, _, after = written.partition("=")
    return (before.lower(), after) if before.lower() in SEVERITIES else (WARNING, written)


def _plugin(url: str) -> Any:
    """What sends to this address; None where Apprise does not understand it. Nothing of it is kept on disk or logged."""
    import apprise

    # Its log has answers and parts of addresses in it; what is worth knowing is taken from its results.
    its_log = logging.getLogger("apprise")
    its_log.propagate = False
    its_log.setLevel(logging.WARNING)
    asset = apprise.AppriseAsset(
        app_id="chargebee-m3ter-connector", app_desc="Connector between Chargebee and m3ter", storage_mode="memory",
        service_timeout=SEND_SECONDS, secure_logging=True,
    )  # fmt: skip
    plugin = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    if plugin is not None:
        # Whoever writes more into the address waits no longer for it.
        plugin.socket_connect_timeout = min(plugin.socket_connect_timeout or SEND_SECONDS, SEND_SECONDS)
        plugin.socket_read_timeout = min(plugin.socket_read_timeout or SEND_SECONDS, SEND_SECONDS)
        plugin.retry = 0
    return plugin


def send_all(letters: Sequence[tuple[Destination, Message]]) -> dict[str, str | None]:
    """Send to each at the same time; answers by name why it failed, None where it did not. None holds up the others."""
    if not letters:
        return {}
    threads = ThreadPoolExecutor(max_workers=len(letters), thread_name_prefix="alerts")
    sending = {threads.submit(_send, where, message): where.name for where, message in letters}
    done, late = wait(sending, timeout=WAIT_SECONDS)
    threads.shutdown(wait=False, cancel_futures=True)
    came_to = {sending[one]: one.result() for one in done} | {sending[one]: "it took too long" for one in late}
    return {where.name: came_to[where.name] for where, _ in letters}


def _send(where: Destination, message: Message) -> str | None:
    """Why the message has not gone through, without anything of the address; None where it has."""
    import apprise

    try:
        sender = apprise.Apprise()
        sender.add(_plugin(where.url.get_secret_value()))
        result = sender.notify(
            body=message.body, title=message.title, notify_type=message.kind, body_format="text", timeout=SEND_SECONDS,
            log_level=logging.WARNING,
        )  # fmt: skip
    except Exception as error:  # noqa: BLE001 - whatever a plugin raises concerns its own destination only
        return f"Apprise failed ({type(error).__name__})"
    if result:
        return None
    if result.status == apprise.AppriseResultStatus.TIMEOUT:
        return "it took too long"
    answered = [found[1] for one in result.logs() if (found := ANSWERED.search(one.message))]
    return f"it answered with status {answered[-1]}" if answered else "it could not be reached, or refused the message"
