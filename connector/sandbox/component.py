"""What every part of the sandbox has in common: the one lock, and data that can be taken and put back."""

import copy
import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any, ClassVar

Resource = dict[str, Any]


class Component:
    """A part of the sandbox whose public methods hold the sandbox's lock."""

    kept: ClassVar[tuple[str, ...]] = ()

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name, member in list(vars(cls).items()):
            if inspect.isfunction(member) and not name.startswith("_"):
                setattr(cls, name, _holding_the_lock(member))

    def _take(self) -> Resource:
        return {name: getattr(self, name) for name in self.kept}

    def _put_back(self, taken: Resource) -> None:
        """Everything as it was, in the same dicts and lists, so that whoever holds one sees the old state again."""
        for name, value in taken.items():
            held = getattr(self, name)
            if isinstance(held, dict):
                held.clear()
                held.update(value)
            elif isinstance(held, list):
                held[:] = value
            else:
                setattr(self, name, value)


def _holding_the_lock(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def held(self: Component, *args: Any, **kwargs: Any) -> Any:
        with self._lock:
            return method(self, *args, **kwargs)

    return held


def take(components: dict[str, Component]) -> dict[str, Resource]:
    """A copy of all that these components keep."""
    return copy.deepcopy({name: component._take() for name, component in components.items()})


def put_back(components: dict[str, Component], taken: dict[str, Resource]) -> None:
    """The components as they were when `taken` was; it can be put back again."""
    for name, values in copy.deepcopy(taken).items():
        components[name]._put_back(values)
