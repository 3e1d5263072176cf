"""How many calls each provider gets from us, beside how many it allows: counted by the minute in Redis, all processes together.

Only what this installation calls is seen: a provider counts everybody who uses the same site or organisation. Counting never
holds up a call: while Redis is away nothing is counted, and it is asked again only after a while.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from redis import Redis
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

CHARGEBEE, M3TER = "chargebee", "m3ter"
# 50 a second for each organisation (reliability.md §1, limits).
M3TER_CALLS_PER_MINUTE = 3_000
KEPT_SECONDS = 2 * 3600
LEFT_ALONE_SECONDS = 60
REFUSED = 429
# Of a budget so many percent in one minute are worth a warning.
NEARLY_PERCENT = 80


@dataclass(frozen=True)
class Budget:
    """What one provider of one connection allows in a minute, and what it got.

    `most` and `refused` are of the last sixty minutes: the fullest of them, and how often we were told to slow down.
    `wait_until` is until when the provider has asked us to wait, None when that is over.
    """

    connection: str
    provider: str
    allowed: int
    this_minute: int
    last_minute: int
    most: int
    refused: int
    wait_until: datetime | None

    @property
    def is_tight(self) -> bool:
        """Whether the limit was reached or nearly reached within the hour."""
        return bool(self.refused) or self.wait_until is not None or self.most * 100 >= self.allowed * NEARLY_PERCENT


class Meter:
    """Counts the calls of one connection."""

    def __init__(self, redis: Redis, connection: str, now: Callable[[], datetime]) -> None:
        self._redis = redis
        self._connection = connection
        self._now = now
        self._left_alone_until: int = 0

    def __call__(self, provider: str, status: int | None, wait_seconds: int | None) -> None:
        """Note one call that was made, how it was answered, and how long we were asked to wait."""
        if time.monotonic() < self._left_alone_until:
            return
        now = self._now()
        key = _key(self._connection, provider, now)
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.hincrby(key, f"{now:%M}", 1)
                pipe.expire(key, KEPT_SECONDS)
                if status == REFUSED:
                    pipe.hincrby(key, f"{now:%M} refused", 1)
                if status == REFUSED and wait_seconds:
                    until = now + timedelta(seconds=wait_seconds)
                    pipe.set(_wait_key(self._connection, provider), until.isoformat(), ex=wait_seconds)
                pipe.execute()
        except RedisError as error:
            self._left_alone_until = int(time.monotonic()) + LEFT_ALONE_SECONDS
            log.warning("calls are not counted while Redis is away", error=type(error).__name__)


def in_use(redis: Redis, allowed: Iterable[tuple[str, str, int]], now: datetime) -> list[Budget]:
    """The budgets of these connections and providers, each with what it allows; raises RedisError."""
    wanted = list(allowed)
    hours = (now, now - timedelta(hours=1))
    with redis.pipeline(transaction=False) as pipe:
        for connection, provider, _ in wanted:
            for hour in hours:
                pipe.hgetall(_key(connection, provider, hour))
            pipe.get(_wait_key(connection, provider))
        answers = iter(pipe.execute())
    return [_budget(*one, now, [next(answers), next(answers)], next(answers)) for one in wanted]


def _budget(
    connection: str, provider: str, allowed: int, now: datetime, hours: list[dict[bytes, bytes]], wait: bytes | None
) -> Budget:
    def counted(minutes_ago: int, what: str = "") -> int:
        minute = now.minute - minutes_ago
        return int(hours[0 if minute >= 0 else 1].get(f"{minute % 60:02}{what}".encode(), 0))

    until = datetime.fromisoformat(wait.decode()) if wait else None
    return Budget(
        connection, provider, allowed, counted(0), counted(1),
        most=max(counted(ago) for ago in range(60)),
        refused=sum(counted(ago, " refused") for ago in range(60)),
        wait_until=until if until and until > now else None,
    )  # fmt: skip


def _hour(at: datetime) -> str:
    return f"{at:%Y%m%d%H}"


def _key(connection: str, provider: str, at: datetime) -> str:
    return f"connector:calls:{connection}:{provider}:{_hour(at)}"


def _wait_key(connection: str, provider: str) -> str:
    return f"connector:calls:{connection}:{provider}:wait"
