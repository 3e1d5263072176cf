"""The sandbox's time: it stands still or runs, and can be moved forward."""

import threading
import time
from datetime import UTC, datetime, timedelta

from connector.sandbox.component import Component, Resource


class Clock(Component):
    """One clock for both providers."""

    def __init__(self, lock: threading.RLock, now: datetime, ticking: bool) -> None:
        super().__init__(lock)
        self.ticking = ticking
        self.set(now)

    def now(self) -> datetime:
        """The sandbox's time, in UTC."""
        if not self.ticking:
            return self._base
        return self._base + timedelta(seconds=time.monotonic() - self._started)

    def set(self, now: datetime) -> None:
        """Makes it `now`."""
        if now.tzinfo is None:
            raise ValueError(f"{now} has no time zone")
        self._base = now.astimezone(UTC)
        self._started = time.monotonic()

    def seconds(self) -> int:
        """The time in whole epoch seconds."""
        return int(self.now().timestamp())

    def _take(self) -> Resource:
        return {"now": self.now()}

    def _put_back(self, taken: Resource) -> None:
        self.set(taken["now"])
