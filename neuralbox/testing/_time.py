"""Time for tests: virtual, which jumps from pause to pause, or fast, which goes many times quicker than the clock.

Both replace everything of the client that depends on time or chance: the monotonic clock, the date, random numbers, a
pause, and the wait for an event. Limits of an HTTP exchange are not among them: those belong to the HTTP library.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sized
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from heapq import heappop, heappush
from typing import Any, Final

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
            timers = self._loops.get(_running_loop())
        except RuntimeError:  # in a thread without a loop
            return
        if timers is not None:
            timers.tell()

    # Each loop has a heap of timers and something that drives: it waits until nothing else runs, moves the clock and wakes
    # the sleeper whose timer is due. No sleeper drives, for to wake one runs all that awaits it, down from its task's start.

    async def _until(self, seconds: float, event: anyio.Event | None) -> None:
        if seconds <= 0 or (event is not None and event.is_set()):
            await checkpoint()
            return
        loop = _running_loop()
        timers = self._loops.get(loop)
        if timers is None:
            kind = _TimersOnAsyncio if isinstance(loop, asyncio.AbstractEventLoop) else _TimersOnTrio
            timers = self._loops[loop] = kind(self)
        timer = timers.add(self.elapsed + seconds)
        try:
            await timers.wait(timer, event)
        finally:
            timer.is_over = True

    def _is_held_elsewhere(self, own: _Timers, due: float) -> bool:
        """Return whether another event loop has a timer before this one, or still runs what its last one woke."""
        return len(self._loops) > 1 and any(
            timers.hold_back(due) for timers in [*self._loops.values()] if timers is not own
        )

    @property
    def time_source(self) -> TimeSource:
        """Return what a client is given."""
        return TimeSource(self.clock, self.now, self.random, self.sleep, self.wait_until)


def _running_loop() -> asyncio.AbstractEventLoop | object:
    """Return asyncio's event loop or trio's token, even of a trio that is asyncio's guest."""
    try:
        is_asyncio = asyncio.current_task() is not None
    except RuntimeError:
        is_asyncio = False
    return asyncio.get_running_loop() if is_asyncio else current_token().native_token


@dataclass(eq=False, slots=True)
class _Timer:
    """One pause.

    Attributes:
        due: Virtual seconds since the start.
        is_over: Whether it has ended, and only stands in the heap.
        wake: Lets its task go on; None until that waits.
    """

    due: float
    is_over: bool = False
    wake: Callable[[], object] | None = None


_BUSY_SECONDS: Final = 0.001
"""Real seconds after which the driver looks again: the end of what another thread does wakes it up no sooner."""
_AT_WORK_SECONDS: Final = 1.0
"""Real seconds after which a loop that does not come to rest no longer holds the clock of others: it may wait for them, as
one does whose task calls a blocking client."""
_FEW_TURNS: Final = 12
"""Turns after which a loop that does not show what is ready, such as uvloop's, counts as idle."""
_MOST_TURNS: Final = 100
"""Turns after which a loop counts as idle although something is always ready, such as a test that spins until it sees."""


class _Timers(ABC):
    """The timers of one event loop, by when they are due; who inherits drives.

    Args:
        time: Whose clock it is.
    """

    def __init__(self, time: VirtualTime) -> None:
        self._time = time
        self._heap: list[tuple[float, int, _Timer]] = []
        self._count = 0
        self._at_work_since: float | None = None
        self.go_to_work()

    def add(self, due: float) -> _Timer:
        """Enter a timer; of two with the same time the older one is first."""
        self._count += 1
        timer = _Timer(due)
        heappush(self._heap, (due, self._count, timer))
        return timer

    @abstractmethod
    async def wait(self, timer: _Timer, event: anyio.Event | None) -> None:
        """Return when the timer is due or the event has happened."""

    @abstractmethod
    def tell(self) -> None:
        """Go on, for nobody is busy any more; called in this loop."""

    def hold_back(self, due: float) -> bool:
        """Return whether the clock may not go to this time yet; asked from the threads of other loops, so nothing is changed.

        The timers are asked first: when the last of them is over, `jump` has already said that its task is at work.
        """
        if not self.is_running():
            return False
        if any(timer.due < due and not timer.is_over for _, _, timer in [*self._heap]):
            return True
        since = self._at_work_since
        return since is not None and time.monotonic() - since < _AT_WORK_SECONDS

    def is_running(self) -> bool:
        """Return whether the loop runs; one that does not has nobody who would move its timers."""
        return True

    def go_to_work(self) -> None:
        """Hold the clock of other loops: a task of this one runs, or is about to."""
        self._at_work_since = time.monotonic()

    def come_to_rest(self) -> None:
        """Let other loops move the clock: all tasks of this one wait."""
        self._at_work_since = None

    def first(self) -> _Timer | None:
        """Return the timer that is due first."""
        while self._heap and self._heap[0][2].is_over:
            heappop(self._heap)
        return self._heap[0][2] if self._heap else None

    def jump(self) -> bool:
        """Move the clock to the timer that is due first and wake its task, unless another loop has an earlier one."""
        following = self.first()
        if following is None or self._time._is_held_elsewhere(self, following.due):
            return False
        self.go_to_work()
        self._time.elapsed = max(self._time.elapsed, following.due)
        following.is_over = True
        assert following.wake is not None  # it waits from the moment it was entered
        following.wake()
        return True


class _TimersOnAsyncio(_Timers):
    """Driven by a callback that asks for another turn until nothing else is ready."""

    def __init__(self, time: VirtualTime) -> None:
        super().__init__(time)
        self._loop = asyncio.get_running_loop()
        self._ready: Sized | None = getattr(self._loop, "_ready", None)
        self._context = Context()
        self._turns = 0
        self._next: asyncio.Handle | None = None
        self._is_held = False

    async def wait(self, timer: _Timer, event: anyio.Event | None) -> None:
        if self._next is None:
            self._ask_for_a_turn()
        if event is None:
            future = self._loop.create_future()
            timer.wake = partial(_let_go_on, future)
            await future
        else:
            await _EventOrTimer(event, timer)

    def is_running(self) -> bool:
        return self._loop.is_running()

    def tell(self) -> None:
        if self._is_held and self._next is not None:
            self._next.cancel()
            self._ask_for_a_turn()

    def _ask_for_a_turn(self) -> None:
        self._is_held = False
        self._next = self._loop.call_soon(self._turn, context=self._context)

    def _turn(self) -> None:
        self._turns += 1
        if self._ready is None:
            is_idle = self._turns >= _FEW_TURNS
        else:
            is_idle = not self._ready or self._turns >= _MOST_TURNS
        if is_idle:
            self._turns = 0
            self.come_to_rest()
            if self.first() is None:
                self._next = None
                self._time._loops.pop(self._loop, None)
                return
            if self._time._busy or not self.jump():
                # Who asked at each turn would take the processor from those that are busy.
                self._is_held = True
                self._next = self._loop.call_later(_BUSY_SECONDS, self._turn, context=self._context)
                return
        self._ask_for_a_turn()


def _let_go_on(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_result(None)


class _EventOrTimer:
    """Awaits an event, and goes on before it when the timer wakes it.

    A scope that is cancelled does the same at several times the price, and clients wait so for most of their lives. asyncio's
    event gives each waiter a future: as good as set for one, it lets that one go on.
    """

    def __init__(self, event: anyio.Event, timer: _Timer) -> None:
        self._event, self._timer = event, timer

    def __await__(self) -> Generator[Any, None, None]:
        waiting = self._event.wait().__await__()
        future = next(waiting)
        self._timer.wake = partial(_let_go_on, future)
        try:
            yield future
        except BaseException as error:  # noqa: BLE001 - it is handed to the event, which raises it
            waiting.throw(error)
        else:
            next(waiting, None)


class _TimersOnTrio(_Timers):
    """Driven by a task of the system, which stays until the loop ends, and is an instrument to count turns."""

    def __init__(self, time: VirtualTime) -> None:
        import trio.testing

        super().__init__(time)
        self._trio = trio
        self._token = trio.lowlevel.current_trio_token()
        self._more, self._unheld = trio.Event(), trio.Event()
        self._scope = trio.CancelScope()
        self._left = 0
        trio.lowlevel.spawn_system_task(self._drive, name=VirtualTime)

    async def wait(self, timer: _Timer, event: anyio.Event | None) -> None:
        self._more.set()
        if event is None:
            turn = self._trio.Event()
            timer.wake = turn.set
            await turn.wait()
        else:
            with self._trio.CancelScope() as scope:
                timer.wake = scope.cancel
                await event.wait()

    def tell(self) -> None:
        self._unheld.set()

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002 - trio's own signature
        """Give up waiting after the most turns there may be; one of an instrument's methods."""
        self._left -= 1
        if self._left == 0:
            self._scope.cancel()

    async def _drive(self) -> None:
        lowlevel = self._trio.lowlevel
        turns: Any = self  # trio asks for an instrument's methods by their names
        lowlevel.add_instrument(turns)
        try:
            while True:
                await self._more.wait()
                self._more = self._trio.Event()
                await self._drive_while_there_are_timers()
        finally:
            lowlevel.remove_instrument(turns)
            self._time._loops.pop(self._token, None)

    async def _drive_while_there_are_timers(self) -> None:
        while self._has_more():
            with self._trio.CancelScope() as self._scope:
                while self._has_more():
                    self._left = _MOST_TURNS
                    await self._trio.testing.wait_all_tasks_blocked()
                    self._left = 0
                    await self._jump_or_wait()
            if self._scope.cancelled_caught:
                await self._jump_or_wait()

    def _has_more(self) -> bool:
        return self.first() is not None or self._at_work_since is not None

    async def _jump_or_wait(self) -> None:
        self.come_to_rest()
        if self.first() is not None and (self._time._busy or not self.jump()):
            # Who asked at each turn would take the processor from those that are busy.
            self._unheld = self._trio.Event()
            with self._trio.move_on_after(_BUSY_SECONDS):
                await self._unheld.wait()


class FastTime:
    """Real time, faster: for clients and sandboxes on sockets, threads and several event loops at once.

    Args:
        speed: How many seconds pass in one; above 0.

    Attributes:
        speed: As given.

    Raises:
        ValueError: Time would stand still, or go back.
    """

    def __init__(self, speed: float = 200.0) -> None:
        if not (speed > 0 and math.isfinite(speed)):
            raise ValueError(f"Time must go at a speed above 0, not {speed}.")
        self.speed: float = speed
        self._began, self._date = time.monotonic(), time.time()

    def clock(self) -> float:
        """Return monotonic seconds."""
        return self._began + (time.monotonic() - self._began) * self.speed

    def now(self) -> float:
        """Unix seconds; right at the start."""
        return self._date + (time.monotonic() - self._began) * self.speed

    @property
    def elapsed(self) -> float:
        """Fast seconds since the start."""
        return self.clock() - self._began

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
