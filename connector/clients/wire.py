"""Connections that know how far a call has come and when it must be over.

The pool of `requests` alone cannot tell a connection that was never made from one that was cut after the request had
gone, and its read timeout starts anew with every byte that drips in.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from http.client import HTTPResponse
from io import BufferedReader, RawIOBase
from socket import socket
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


@dataclass
class Progress:
    """How far one try of one call has come; `sent` is None until one of our connections has been asked to work."""

    deadline: float
    sent: bool | None = None

    def remaining(self) -> float:
        """Seconds until the deadline; raises TimeoutError after it."""
        seconds = self.deadline - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("the deadline of the call has passed")
        return seconds


_progress: ContextVar[Progress] = ContextVar("progress")


@contextmanager
def in_progress(seconds: float) -> Iterator[Progress]:
    """What is sent and read inside must be over within `seconds`."""
    progress = Progress(deadline=time.monotonic() + seconds)
    token = _progress.set(progress)
    try:
        yield progress
    finally:
        _progress.reset(token)


class Adapter(HTTPAdapter):
    """The adapter of requests over such connections; to be used inside `in_progress`."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}


class _Bounded(RawIOBase):
    """Reads from a socket until the deadline of the call."""

    def __init__(self, raw: RawIOBase, sock: socket, progress: Progress) -> None:
        self._raw, self._sock, self._progress = raw, sock, progress

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._progress.remaining())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = BufferedReader(_Bounded(self.fp.detach(), sock, _progress.get()))


class _Watched(HTTPConnection):
    response_class = _Response

    def connect(self) -> None:
        _progress.get().sent = False
        super().connect()

    def send(self, data: Any) -> None:
        """From here on the provider may have acted, whatever goes wrong; what is too late already is not begun."""
        if self.sock is None:
            self.connect()
        progress = _progress.get()
        self.sock.settimeout(progress.remaining())
        progress.sent = True
        super().send(data)


class _WatchedTls(_Watched, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Watched


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedTls
