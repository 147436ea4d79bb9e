"""One value per running event loop: pools, slots and the like, which die with the loop they were made in.

Keys are the native loop objects (an asyncio loop, trio's token), never their `id`: a new loop often gets the address of
one that is gone, and would then inherit sockets nobody can await any more. Whoever comes first to a *new* loop finds the
values whose loop has ended and passes them to `abandon`. A loop that merely does not run at the moment, or runs in
another thread, is left alone. Looking up costs about a microsecond; the lock is only taken where a value is made or taken
out.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

import anyio.lowlevel

from .process_lock import ProcessLock

T = TypeVar("T")

_lock = ProcessLock()


class PerLoop(Generic[T]):
    """Values of type `T`, one per event loop.

    Args:
        abandon: Called with the value of a loop that has ended. It runs in another loop, so it may not await, and it
            may not use the dead loop either. Without it a value goes with its loop.
    """

    def __init__(self, abandon: Callable[[T], None] | None = None) -> None:
        self._abandon = abandon
        # What is to be abandoned must outlive its loop. A socket of asyncio holds its loop; one of trio does not, and went
        # open with trio's token where a collection of garbage came before the next loop.
        self._values: MutableMapping[Any, T] = WeakKeyDictionary() if abandon is None else {}

    def get(self, factory: Callable[[], T]) -> T:
        """Return the value of the running loop, made by `factory` at the first use.

        `factory` may not await, and is called at most once per loop.
        """
        loop = running_loop()
        try:
            return self._values[loop]
        except KeyError:
            self.drop_dead()
            value = factory()
            with _lock:
                self._values[loop] = value
            return value

    def all(self) -> list[T]:
        """Return the values of all loops, those that have ended without anybody's noticing included."""
        with _lock:
            return [*self._values.values()]

    def pop(self) -> T | None:
        """Take out the value of the running loop; None where there is none."""
        with _lock:
            return self._values.pop(running_loop(), None)

    def drop_dead(self) -> None:
        """Take out the values of loops that have ended, and abandon them."""
        with _lock:
            dead = [loop for loop in list(self._values) if has_ended(loop)]
            values = [self._values.pop(loop) for loop in dead]
        if self._abandon is not None:
            for value in values:
                self._abandon(value)


class Home:
    """The process and the event loop that something goes on in; when one of them is gone, nobody hears of its end.

    Attributes:
        loop: The loop; None where none ran.
    """

    __slots__ = ("_process", "loop")

    def __init__(self) -> None:
        self._process = os.getpid()
        try:
            self.loop: Any = running_loop()
        except anyio.NoEventLoopError:
            self.loop = None

    @property
    def is_gone(self) -> bool:
        """Whether it has ended, or is another process: the one that this was forked from."""
        return self._process != os.getpid() or self.has_ended

    @property
    def has_ended(self) -> bool:
        """Whether its loop can never run again; in a forked child those that still run in the parent do not count."""
        return self.loop is not None and has_ended(self.loop)


def running_loop() -> Any:
    """Return the native object of the running event loop.

    Raises:
        anyio.NoEventLoopError: Nothing is running in this thread.
    """
    return anyio.lowlevel.current_token().native_token


def has_ended(loop: Any) -> bool:
    """Tell whether a loop can never run again."""
    # Not imported here: that costs `import neuralbox` 10 ms, and an asyncio loop has imported it already.
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and isinstance(loop, asyncio.AbstractEventLoop):
        return bool(loop.is_closed())
    try:
        # Trio's token has no flag to ask. Scheduling nothing is harmless while the run lives (at most one entry, as
        # equal idempotent calls are merged) and raises `trio.RunFinishedError`, a RuntimeError, when it is over.
        loop.run_sync_soon(_nothing, idempotent=True)
    except RuntimeError:
        return True
    return False


def call_in_loop(loop: Any, callback: Callable[[], object]) -> None:
    """Call a function in a loop: now where it is the running one, else soon; never where that loop is over."""
    try:
        is_here = running_loop() is loop
    except anyio.NoEventLoopError:
        is_here = False
    if is_here:
        callback()
        return
    schedule = getattr(loop, "call_soon_threadsafe", None) or loop.run_sync_soon
    with suppress(RuntimeError):
        schedule(callback)


def _nothing() -> None:
    """Do nothing, in the other loop."""
