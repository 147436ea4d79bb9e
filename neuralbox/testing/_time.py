"""Time for tests: virtual, which jumps from pause to pause, or fast, which goes many times quicker than the clock.

Both replace everything of the client that depends on time or chance: the monotonic clock, the date, random numbers, a
pause, and the wait for an event. Limits of an HTTP exchange are not among them: those belong to the HTTP library.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio
from anyio.lowlevel import checkpoint

from .._base_client import BaseClient
from .._core.exchange import TimeSource

START = 1_772_971_200.0  # 2026-03-08T12:00:00Z, when the documents' examples begin


class VirtualTime:
    """Clock, pauses and random numbers under the test's control, on asyncio and trio.

    A pause ends when nothing else has happened for a few turns of the event loop; then the clock jumps to the pause
    that is due first. Only for what happens in memory and in one event loop: a socket, or a second loop, would seem
    idle.

    Args:
        random_value: What `random` answers, always.

    Attributes:
        elapsed: Virtual seconds since the start.
        pauses: Every pause asked for, in seconds, in order.
    """

    _PATIENCE = 12

    def __init__(self, *, random_value: float = 0.5) -> None:
        self.elapsed: float = 0.0
        self.random_value: float = random_value
        self.pauses: list[float] = []
        self._due: list[float] = []
        self._busy = 0

    def clock(self) -> float:
        """Return monotonic seconds, which do not start at 0 as no machine's do."""
        return 1_000.0 + self.elapsed

    def now(self) -> float:
        """Return Unix seconds."""
        return START + self.elapsed

    def random(self) -> float:
        """Return a number in [0, 1)."""
        return self.random_value

    async def sleep(self, seconds: float) -> None:
        """Pause for virtual seconds."""
        self.pauses.append(seconds)
        await self._until(seconds, lambda: False)

    async def wait_until(self, event: anyio.Event, seconds: float) -> None:
        """Wait for an event, at most so many virtual seconds; return in both cases."""
        await self._until(seconds, event.is_set)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Hold the clock while something goes on that the event loop does not see, such as work in a thread."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1

    @contextmanager
    def idle(self) -> Iterator[None]:
        """Let the clock jump again inside `busy`, where that waits for somebody."""
        self._busy -= 1
        try:
            yield
        finally:
            self._busy += 1

    async def _until(self, seconds: float, happened: Callable[[], bool]) -> None:
        due, quiet = self.elapsed + seconds, 0
        self._due.append(due)
        try:
            await checkpoint()
            while self.elapsed < due and not happened():
                quiet = quiet + 1 if min(self._due) == due and not self._busy else 0
                if quiet > self._PATIENCE:
                    self.elapsed = due
                await checkpoint()
        finally:
            self._due.remove(due)

    @property
    def time_source(self) -> TimeSource:
        """Return what a client is given."""
        return TimeSource(self.clock, self.now, self.random, self.sleep, self.wait_until)


class FastTime:
    """Real time, faster: for clients and sandboxes on sockets, threads and several event loops at once.

    Args:
        speed: How many seconds pass in one; above 0.

    Attributes:
        speed: As given.
    """

    def __init__(self, speed: float = 200.0) -> None:
        self.speed: float = speed
        self._began, self._date = time.monotonic(), time.time()

    def clock(self) -> float:
        """Return monotonic seconds."""
        return self._began + (time.monotonic() - self._began) * self.speed

    def now(self) -> float:
        """Unix seconds; right at the start."""
        return self._date + (time.monotonic() - self._began) * self.speed

    async def sleep(self, seconds: float) -> None:
        """Pause for so many fast seconds."""
        await anyio.sleep(seconds / self.speed)

    async def wait_until(self, event: anyio.Event, seconds: float) -> None:
        """Wait for an event, at most so many fast seconds; return in both cases."""
        with anyio.move_on_after(seconds / self.speed):
            await event.wait()

    @property
    def time_source(self) -> TimeSource:
        """Return what a client is given."""
        return TimeSource(self.clock, self.now, random.random, self.sleep, self.wait_until)


@contextmanager
def using(time: VirtualTime | FastTime) -> Iterator[None]:
    """Give this time to every client that is made inside the block, whoever makes it, blocking ones included."""
    former = BaseClient._clockwork
    BaseClient._clockwork = time.time_source
    try:
        yield
    finally:
        BaseClient._clockwork = former
