"""How often something may be tried within a time; counted in Redis, so that all processes count together.

While Redis is away each process counts for itself: a person at 3 a.m. can still log in, and whoever guesses gets no more
tries than the limit for each process.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

import structlog
from redis import Redis
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

LOCAL_KEYS = 1000


@dataclass(frozen=True)
class Limit:
    """So many tries within so many seconds, from the first of them on."""

    name: str
    tries: int
    seconds: int


def count(redis: Redis, limit: Limit, who: str, now: datetime) -> bool:
    """Note one more try of `who`; False when that is more than the limit allows."""
    key = _key(limit, who)
    try:
        with redis.pipeline() as pipe:
            pipe.set(key, 0, ex=limit.seconds, nx=True)
            pipe.incr(key)
            _, tries = pipe.execute()
    except RedisError as error:
        log.warning("Redis cannot be reached; tries are counted by this process alone", error=type(error).__name__)
        tries = _LOCAL.count(key, now + timedelta(seconds=limit.seconds), now)
    return int(tries) <= limit.tries


def forgive(redis: Redis, limit: Limit, who: str) -> None:
    """Forget all tries of `who`."""
    key = _key(limit, who)
    _LOCAL.forget(key)
    try:
        redis.delete(key)
    except RedisError as error:
        log.warning("Redis cannot be reached; tries stay counted", error=type(error).__name__)


def _key(limit: Limit, who: str) -> str:
    """Of one length, whatever somebody types, and without what they typed."""
    return f"connector:tries:{limit.name}:{sha256(who.encode('utf-8', 'replace')).hexdigest()[:32]}"


class _Local:
    """The tries that this process has seen; the longest unused are forgotten first, so that memory stays bounded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tries: OrderedDict[str, tuple[int, datetime]] = OrderedDict()

    def count(self, key: str, until: datetime, now: datetime) -> int:
        with self._lock:
            tries, end = self._tries.pop(key, (0, until))
            tries, end = (tries + 1, end) if end > now else (1, until)
            self._tries[key] = tries, end
            if len(self._tries) > LOCAL_KEYS:
                self._tries.popitem(last=False)
            return tries

    def forget(self, key: str) -> None:
        with self._lock:
            self._tries.pop(key, None)


_LOCAL = _Local()
