"""`PollQueue`: jobs by the time at which they need anybody, the earliest first.

A heap whose items stay until their turn comes: an item counts only while its time is still the job's `due`, so moving and
removing a job costs no search.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from .polled_job import PolledJob


class PollQueue:
    """The queue of one poller; keeps `PolledJob.due`.

    Attributes:
        pushed: How often a job was given a time, ever.
    """

    __slots__ = ("_count", "_heap", "pushed")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, PolledJob]] = []
        self._count = 0
        self.pushed = 0

    def __len__(self) -> int:
        return self._count

    @property
    def next_at(self) -> float | None:
        """The earliest time at which anything may be due, or None."""
        return self._heap[0][0] if self._heap else None

    def put(self, job: PolledJob, due: float) -> None:
        """Give a job a time, in place of the one it had."""
        if job.due is None:
            self._count += 1
        job.due = due
        self.pushed += 1
        heappush(self._heap, (due, self.pushed, job))
        if len(self._heap) > 2 * self._count + 64:
            self._heap = [item for item in self._heap if item[0] == item[2].due]
            heapify(self._heap)

    def remove(self, job: PolledJob) -> None:
        """Take a job out, if it is in there."""
        if job.due is None:
            return
        job.due = None
        self._count -= 1
        if not self._count:
            self._heap.clear()

    def pop(self, now: float) -> PolledJob | None:
        """Take out the job whose time came first, or return None where none has come."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            at, _, job = heappop(heap)
            if at == job.due:  # else moved or taken out since
                job.due = None
                self._count -= 1
                return job
        return None
