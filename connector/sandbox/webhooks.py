"""Webhooks on their way: what is due, and Chargebee's ladder of retries."""

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import requests

from connector.sandbox.clock import Clock
from connector.sandbox.component import Component

# After each failure, counted from the try before.
LADDER = (
    timedelta(minutes=2),
    timedelta(minutes=6),
    timedelta(minutes=30),
    timedelta(hours=1),
    timedelta(hours=5),
    timedelta(days=1),
    timedelta(days=2),
)


@dataclass(frozen=True)
class Message:
    """One webhook as it goes over the wire."""

    url: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Delivery:
    """One try at a webhook; without a status the receiver gave no answer."""

    provider: str
    event_id: str
    event_type: str
    url: str
    attempt: int
    status: int | None
    at: datetime

    @property
    def succeeded(self) -> bool:
        """Whether the receiver took it."""
        return self.status is not None and 200 <= self.status < 300


@dataclass
class Posting:
    """An event that is still to be sent to one endpoint."""

    provider: str
    event_id: str
    event_type: str
    endpoint_id: str
    due: datetime
    failures: int = 0
    claimed: bool = False


class Send(Protocol):
    """Carries one webhook to its receiver and returns the status of the answer."""

    def __call__(self, url: str, headers: dict[str, str], body: bytes, /) -> int: ...


class Webhooks(Component):
    """The queue of both providers' webhooks."""

    kept = ("waiting",)

    def __init__(self, lock: threading.RLock, clock: Clock) -> None:
        super().__init__(lock)
        self._clock = clock
        self.waiting: list[Posting] = []

    def post(
        self, provider: str, event_id: str, event_type: str, endpoint_id: str, after: timedelta = timedelta(0)
    ) -> None:
        """Makes the event due at the endpoint now, or after some time."""
        self.waiting.append(Posting(provider, event_id, event_type, endpoint_id, self._clock.now() + after))

    def next_due(self) -> datetime | None:
        """When the next webhook is to be sent."""
        return min((posting.due for posting in self.waiting), default=None)

    def claim_due(self) -> list[Posting]:
        """What is to be sent now; nobody else gets it until it is released or settled."""
        now = self._clock.now()
        due = sorted(
            (posting for posting in self.waiting if posting.due <= now and not posting.claimed),
            key=lambda posting: posting.due,
        )
        for posting in due:
            posting.claimed = True
        return due

    def release(self, posting: Posting) -> None:
        """Gives back what was claimed but not tried."""
        posting.claimed = False

    def drop(self, posting: Posting) -> None:
        """Forgets what has no receiver any more."""
        self._remove(posting)

    def settle(self, posting: Posting, url: str, status: int | None) -> Delivery:
        """Notes one try; a failed one is due again on the ladder, until its last rung."""
        now = self._clock.now()
        delivery = Delivery(
            posting.provider, posting.event_id, posting.event_type, url, posting.failures + 1, status, now
        )
        if delivery.succeeded or posting.failures == len(LADDER):
            self._remove(posting)
        else:
            posting.due = now + LADDER[posting.failures]
            posting.failures += 1
            posting.claimed = False
        return delivery

    def _remove(self, posting: Posting) -> None:
        self.waiting[:] = [waiting for waiting in self.waiting if waiting is not posting]


def outcome(delivery: Delivery) -> str:
    """Chargebee's word for what a try led to."""
    if delivery.succeeded:
        return "succeeded"
    return "failed" if delivery.attempt > len(LADDER) else "re_scheduled"


def over_http(url: str, headers: dict[str, str], body: bytes) -> int:
    """Really sends the webhook; a redirect is not followed, as with Chargebee."""
    with requests.post(url, data=body, headers=headers, timeout=20, allow_redirects=False) as answer:
        return answer.status_code


def attempt(send: Send, message: Message) -> int | None:
    """The receiver's status, or None where it could not be reached."""
    try:
        return send(message.url, message.headers, message.body)
    except OSError:
        return None
