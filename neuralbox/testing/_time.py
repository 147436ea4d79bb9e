"""Time for tests: virtual, which jumps from pause to pause, or fast, which goes many times quicker than the clock.

Both replace everything of the client that depends on time or chance: the monotonic clock, the date, random numbers, a
pause, and the wait for an event. Limits of an HTTP exchange are not among them: those belong to the HTTP library.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final

import anyio
from anyio.lowlevel import checkpoint, current_token

from .._base_client import using_time
from .._core.exchange import TimeSource

START = 1_772_971_200.0  # 2026-03-08T12:00:00Z, when the documents' examples begin


class VirtualTime:
    """Clock, pauses and random numbers under the test's control, on asyncio and trio.

    The clock stands still while any task runs and jumps to the pause that is due first when all wait. Only for what
    happens in memory: a socket would seem idle.

    Args:
        random_value: What `random` answers, always.

    Attributes:
        elapsed: Virtual seconds since the start.
        pauses: Every pause asked for, in seconds, in order.
    """

    def __init__(self, *, random_value: float = 0.5) -> None:
        self.elapsed: float = 0.0
        self.random_value: float = random_value
        self.pauses: list[float] = []
        self._loops: dict[object, _Timers] = {}
        self._busy = 0

    def clock(self) -> float:
        """Monotonic seconds, which do not start at 0 as no machine's do."""
        return 1_000.0 + self.elapsed

    def now(self) -> float:
        """Unix seconds."""
        return START + self.elapsed

    def random(self) -> float:
        """Return a number in [0, 1)."""
        return self.random_value

    async def sleep(self, seconds: float) -> None:
        """Pause for virtual seconds."""
        self.pauses.append(seconds)
        await self._until(seconds, None)

    async def wait_until(self, event: anyio.Event, seconds: float) -> None:
        """Wait for an event, at most so many virtual seconds; return in both cases."""
        await self._until(seconds, event)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Hold the clock while something goes on that the event loop does not see, such as work in a thread."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            if not self._busy:
                self._tell()

    @contextmanager
    def idle(self) -> Iterator[None]:
        """Let the clock jump again inside `busy`, where that waits for somebody."""
        self._busy -= 1
        if not self._busy:
            self._tell()
        try:
            yield
        finally:
            self._busy += 1

    def _tell(self) -> None:
        """Let the driver of this event loop go on; those of others see by themselves that nobody is busy any more."""
        try:
            timers = self._loops.get(current_token())
        except RuntimeError:  # in a thread without a loop
            return
        if timers is not None and timers.unheld is not None:
            timers.unheld.set()

    # Each loop has a heap of timers. One of its sleepers drives: it waits until nothing else runs, moves the clock and
    # wakes the sleeper whose timer is due. The others only wait, so that thousands of pauses cost little.

    async def _until(self, seconds: float, event: anyio.Event | None) -> None:
        token = current_token()
        timers = self._loops.get(token)
        if timers is None:
            timers = self._loops[token] = _Timers()
        timer = timers.add(self.elapsed + seconds, event)
        try:
            await checkpoint()
            while self.elapsed < timer.due and not timer.is_ended_early:
                if timers.driver is None:
                    timers.driver = timer
                    await self._drive(timers, timer)
                else:
                    await timer.wait()
        finally:
            timer.is_over = True
            if timers.driver is timer:
                timers.driver = None
            following = timers.first()
            if following is None:
                self._loops.pop(token, None)
            elif timers.driver is None:
                following.wake()  # to drive from now on

    async def _drive(self, timers: _Timers, own: _Timer) -> None:
        """Move the clock from timer to timer until the driver's own is due or its event has happened."""
        while self.elapsed < own.due and not own.is_ended_early:
            await _all_others_wait()
            following = timers.first()
            assert following is not None  # at least the driver's own
            if self._busy:
                await timers.until_nobody_is_busy()
                continue
            if own.is_ended_early or self._is_earlier_elsewhere(timers, following.due):
                await checkpoint()
                continue
            self.elapsed = max(self.elapsed, following.due)
            following.is_over = True
            following.wake()

    def _is_earlier_elsewhere(self, own: _Timers, due: float) -> bool:
        """Return whether another event loop has a timer before this one."""
        return any(timers.has_before(due) for timers in [*self._loops.values()] if timers is not own)

    @property
    def time_source(self) -> TimeSource:
        """Return what a client is given."""
        return TimeSource(self.clock, self.now, self.random, self.sleep, self.wait_until)


@dataclass(eq=False, slots=True)
class _Timer:
    """One pause.

    Attributes:
        due: Virtual seconds since the start.
        event: Ends it early; None for a plain pause.
        is_over: Whether it has ended, and only stands in the heap.
    """

    due: float
    event: anyio.Event | None
    is_over: bool = False
    _turn: anyio.Event | None = None
    _scope: anyio.CancelScope | None = None

    @property
    def is_ended_early(self) -> bool:
        """Whether its event has happened."""
        return self.event is not None and self.event.is_set()

    async def wait(self) -> None:
        """Wait until it is woken, or its event happens, while another drives."""
        if self.event is None:  # a scope costs several times as much as an event, and most pauses are plain
            self._turn = anyio.Event()
            await self._turn.wait()
            return
        with anyio.CancelScope() as self._scope:
            await self.event.wait()
        self._scope = None

    def wake(self) -> None:
        """Let its task read the clock again; one that does not wait does so by itself."""
        if self._turn is not None:
            self._turn.set()
        elif self._scope is not None:
            self._scope.cancel()


_BUSY_SECONDS: Final = 0.001
"""Real seconds after which a driver looks again: the end of what another thread does, or its own event, wakes it up no sooner."""


class _Timers:
    """The timers of one event loop, by when they are due, and which of their tasks drives.

    Attributes:
        driver: Whose task drives.
        unheld: Set by a task of this loop that was the last to be busy, while the driver waits for that.
    """

    def __init__(self) -> None:
        self.driver: _Timer | None = None
        self.unheld: anyio.Event | None = None
        self._heap: list[tuple[float, int, _Timer]] = []
        self._count = 0

    def add(self, due: float, event: anyio.Event | None) -> _Timer:
        """Enter a timer; of two with the same time the older one is first."""
        self._count += 1
        timer = _Timer(due, event)
        heappush(self._heap, (due, self._count, timer))
        return timer

    async def until_nobody_is_busy(self) -> None:
        """Leave the processor to those that are busy: a driver that asked at each turn would take it from them."""
        self.unheld = anyio.Event()
        try:
            with anyio.move_on_after(_BUSY_SECONDS):
                await self.unheld.wait()
        finally:
            self.unheld = None

    def has_before(self, due: float) -> bool:
        """Return whether one is due before this time; asked from the threads of other loops, so nothing is changed."""
        return any(timer.due < due and not timer.is_over for _, _, timer in [*self._heap])

    def first(self) -> _Timer | None:
        """Return the timer that is due first."""
        while self._heap and self._heap[0][2].is_over:
            heappop(self._heap)
        return self._heap[0][2] if self._heap else None


_FEW_TURNS: Final = 12
"""Turns after which a loop that does not show what is ready, such as uvloop's, counts as idle."""
_MOST_TURNS: Final = 100
"""Turns after which a loop counts as idle although something is always ready, such as a test that spins until it sees."""


async def _all_others_wait() -> None:
    """Return when every other task of this event loop waits for something."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        await _all_others_wait_on_trio()
        return
    ready = getattr(loop, "_ready", None)
    if ready is None:
        for _ in range(_FEW_TURNS):
            await asyncio.sleep(0)
        return
    await asyncio.sleep(0)
    for _ in range(_MOST_TURNS):
        if not ready:
            return
        await asyncio.sleep(0)


async def _all_others_wait_on_trio() -> None:
    import trio.testing

    with trio.CancelScope() as scope:
        turns = _TurnLimit(scope.cancel)
        trio.lowlevel.add_instrument(turns)  # type: ignore[arg-type]  # trio asks for its methods by name
        try:
            await trio.testing.wait_all_tasks_blocked()
        finally:
            trio.lowlevel.remove_instrument(turns)  # type: ignore[arg-type]


class _TurnLimit:
    """Counts the turns of a trio loop and calls back after the most there may be."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._left, self._call = _MOST_TURNS, call

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002 - trio's own signature
        self._left -= 1
        if self._left == 0:
            self._call()


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
    with using_time(time.time_source):
        yield
