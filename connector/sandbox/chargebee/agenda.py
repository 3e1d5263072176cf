"""When each resource changes by itself next, kept so that the soonest is found without looking at all of them."""

import heapq

Key = tuple[str, str]


class Agenda:
    """The next moment of each resource, by its kind and id."""

    def __init__(self) -> None:
        self._moments: dict[Key, int] = {}
        self._heap: list[tuple[int, Key]] = []

    def clear(self) -> None:
        """Forgets everything."""
        self._moments.clear()
        self._heap.clear()

    def put(self, key: Key, moment: int | None) -> None:
        """The resource's next moment is this, or there is none."""
        if self._moments.get(key) == moment:
            return
        if moment is None:
            del self._moments[key]
        else:
            self._moments[key] = moment
            heapq.heappush(self._heap, (moment, key))

    def soonest(self) -> int | None:
        """The next moment of all."""
        # What was put off since still lies in the heap at its former place.
        while self._heap and self._moments.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
