"""`PollQueue`: jobs by the time at which they need anybody, or waits by that at which they must end, the earliest first.

A heap whose items stay until their turn comes: an item counts only while its time is still the `due` of what it is for, so
moving and removing costs no search.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Generic, Protocol, TypeVar


class Timed(Protocol):
    """What stands in a queue.

    Attributes:
        due: Its time in the queue; None while it is not in there. The queue keeps it.
    """

    due: float | None


T = TypeVar("T", bound=Timed)


class PollQueue(Generic[T]):
    """A queue of one poller.

    Attributes:
        pushed: How often anything was given a time, ever.
    """

    __slots__ = ("_count", "_heap", "pushed")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._count = 0
        self.pushed = 0

    def __len__(self) -> int:
        return self._count

    @property
    def next_at(self) -> float | None:
        """The earliest time at which anything may be due, or None."""
        return self._heap[0][0] if self._heap else None

    def put(self, item: T, due: float) -> None:
        """Give something a time, in place of the one it had."""
        if item.due is None:
            self._count += 1
        item.due = due
        self.pushed += 1
        heappush(self._heap, (due, self.pushed, item))
        if len(self._heap) > 2 * self._count + 64:
            self._heap = [entry for entry in self._heap if entry[0] == entry[2].due]
            heapify(self._heap)

    def remove(self, item: T) -> None:
        """Take something out, if it is in there."""
        if item.due is None:
            return
        item.due = None
        self._count -= 1
        if not self._count:
            self._heap.clear()

    def pop(self, now: float) -> T | None:
        """Take out that whose time came first, or return None where none has come."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            at, _, item = heappop(heap)
            if at == item.due:  # else moved or taken out since
                item.due = None
                self._count -= 1
                return item
        return None
