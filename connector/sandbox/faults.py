"""Faults ordered in advance: which operation of which provider fails how, and how often."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from connector.sandbox.component import Component

# The kinds, and the details each needs.
KINDS: dict[str, tuple[str, ...]] = {
    "refuse": (),
    "cut": (),
    "late": ("seconds",),
    "delay": ("seconds",),
    "status": ("status",),
    "status_after": ("status",),
    "html": (),
    "truncated": (),
    "drip": ("seconds",),
    "redirect": ("location",),
    "expire_token": (),
}

LONGEST_SECONDS = 366 * 24 * 60 * 60


@dataclass
class Fault:
    """One order: the next `count` calls of the operation fail in this way, after `skip` calls have been let through."""

    provider: str
    operation: str
    kind: str
    count: int = 1
    skip: int = 0
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LateRequest:
    """A request that was answered 504 and takes effect when its time comes."""

    due: datetime
    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Faults(Component):
    """The faults still to happen."""

    kept = ("orders", "late")

    def __init__(self, lock: threading.RLock) -> None:
        super().__init__(lock)
        self.orders: list[Fault] = []
        self.late: list[LateRequest] = []
        self.operations: Mapping[str, frozenset[str]] = {}

    def order(self, provider: str, operation: str, kind: str, count: int = 1, *, skip: int = 0, **detail: Any) -> None:
        """Makes the next calls of the operation fail; raises ValueError for an order that could never be carried out."""
        if provider not in self.operations:
            raise ValueError(f"{provider!r} is no provider: say one of {', '.join(self.operations)}")
        if operation != "*" and operation not in self.operations[provider]:
            raise ValueError(f"{provider} has no operation {operation!r}")
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is no kind of fault: say one of {', '.join(KINDS)}")
        missing = [name for name in KINDS[kind] if name not in detail]
        if missing:
            raise ValueError(f"a fault of kind {kind!r} needs {' and '.join(missing)}")
        for name in ("status", "seconds", "retry_after"):
            if not isinstance(detail.get(name, 0), int | float | Decimal) or detail.get(name, 0) < 0:
                raise ValueError(f"{name} must be a number")
        if detail.get("seconds", 0) > LONGEST_SECONDS:
            raise ValueError("seconds must be a year at most")
        if not str(detail.get("location", "")).isprintable():
            raise ValueError("location must be one line of text")
        if "status" in detail and not 100 <= detail["status"] <= 599:
            raise ValueError(f"{detail['status']} is no HTTP status")
        if count < 1 or skip < 0:
            raise ValueError("a fault happens at least once, and skips no negative number of calls")
        self.orders.append(Fault(provider, operation, kind, count, skip, detail))

    def next(self, provider: str, operation: str) -> Fault | None:
        """The fault that strikes this call, if one does; it is used up by that."""
        for fault in self.orders:
            if fault.provider != provider or fault.operation not in ("*", operation):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            fault.count -= 1
            if not fault.count:
                self.orders.remove(fault)
            return fault
        return None

    def clear(self) -> None:
        """Forgets every order and every late request."""
        self.orders.clear()
        self.late.clear()

    def next_due(self) -> datetime | None:
        """When the next late request takes effect."""
        return min((request.due for request in self.late), default=None)

    def take_due(self, now: datetime) -> list[LateRequest]:
        """The late requests whose time has come, oldest first."""
        due = sorted((request for request in self.late if request.due <= now), key=lambda request: request.due)
        self.late[:] = [request for request in self.late if request.due > now]
        return due
