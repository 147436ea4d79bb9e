"""`SingleFlight` and `ThreadsafeEvent`: waiting for what others do, without a task of one's own.

`SingleFlight`: of all who need the same answer at the same time, one asks and the others share it. `ThreadsafeEvent`: an event that may
be rung from another event loop or thread than the one that waits for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable

import anyio

from .per_loop import Home, PerLoop, call_in_loop


class SingleFlight:
    """Questions under way, one for each key and event loop; the answers are kept elsewhere."""

    def __init__(self) -> None:
        self._under_way: PerLoop[dict[Hashable, anyio.Event]] = PerLoop()

    async def run(self, key: Hashable, ask: Callable[[], Awaitable[None]]) -> None:
        """Ask, or wait until somebody else has.

        Who waited checks whether there is an answer now: where the one who asked was cancelled there is none, and the
        next who comes here asks.
        """
        under_way = self._under_way.get(dict)
        event = under_way.get(key)
        if event is not None:
            await event.wait()
            return
        event = under_way[key] = anyio.Event()
        try:
            await ask()
        finally:
            del under_way[key]
            event.set()


class ThreadsafeEvent:
    """Rung once, from anywhere; waited for in the loop it was made in.

    Attributes:
        event: Set when it was rung.
        home: Where it is waited for.
    """

    __slots__ = ("event", "home")

    def __init__(self) -> None:
        self.home = Home()
        self.event = anyio.Event()

    def ring(self) -> None:
        """Wake whoever waits; a loop that is over, or was forked from, has nobody who does."""
        if not self.home.is_gone:
            call_in_loop(self.home.loop, self.event.set)
