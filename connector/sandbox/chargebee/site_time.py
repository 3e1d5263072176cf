"""A site's own time: the sandbox's, or where the site's time machine stands."""

from datetime import UTC, datetime

from connector.sandbox.clock import Clock
from connector.sandbox.component import Resource


class SiteTime:
    """Reads the time as the site has it."""

    def __init__(self, clock: Clock, machine: Resource) -> None:
        self._clock = clock
        self._machine = machine

    def now(self) -> datetime:
        """The site's time, in UTC."""
        stands_at = self._machine.get("stands_at")
        return self._clock.now() if stands_at is None else datetime.fromtimestamp(stands_at, UTC)

    def seconds(self) -> int:
        """The time in whole epoch seconds."""
        return int(self.now().timestamp())
