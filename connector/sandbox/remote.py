"""A sandbox that runs elsewhere, driven through its control routes."""

from typing import Any

import requests

from connector.sandbox import wire
from connector.sandbox.component import Resource

CONNECT_SECONDS = 5
# Years of many customers take their time.
READ_SECONDS = 600


class Refused(Exception):
    """The sandbox would not do it, or there is none; the message is for the person who asked."""


def ask(url: str, method: str, path: str, **order: Any) -> Resource:
    """The answer of the sandbox at `url` to an order on one of its control routes."""
    url = url.rstrip("/")
    body = wire.dump(order) if method == "POST" else None
    try:
        with requests.Session() as session:
            # It runs on this machine or next to it, where a proxy of the environment does not lead.
            session.trust_env = False
            answer = session.request(
                method,
                f"{url}/_control/{path}",
                data=body,
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                allow_redirects=False,
            )
    except (requests.RequestException, ValueError) as error:
        raise Refused(f"no sandbox answers at {url}") from error
    try:
        document = answer.json()
    except requests.JSONDecodeError:
        document = None
    if not isinstance(document, dict) or not (answer.ok or "error" in document):
        raise Refused(f"what answers at {url} is no sandbox")
    if not answer.ok:
        raise Refused(str(document["error"]))
    return document
