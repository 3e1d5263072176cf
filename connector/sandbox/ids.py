"""Identifiers that come out the same for the same seed."""

import random
import string
import threading
import uuid
from typing import TypeVar

from connector.sandbox.component import Component

LETTERS = string.ascii_letters + string.digits

T = TypeVar("T")


class Ids(Component):
    """The sandbox's only source of randomness."""

    kept = ("_random",)

    def __init__(self, lock: threading.RLock, seed: int) -> None:
        super().__init__(lock)
        self._random = random.Random(seed)

    def uuid(self) -> str:
        """A new UUID of 36 characters."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def short(self, prefix: str = "", length: int = 16) -> str:
        """A new identifier in Chargebee's manner."""
        return prefix + "".join(self._random.choices(LETTERS, k=length))

    def shuffled(self, rows: list[T]) -> list[T]:
        """The rows in an order of chance."""
        return self._random.sample(rows, len(rows))
