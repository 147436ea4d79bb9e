"""`Leadership`: which of those who wait keeps the clock for all, and who sleeps meanwhile.

A plain field, handed on synchronously by whoever leaves for whatever reason, so that nothing can happen in between. A
successor that was cancelled before it ran hands it on again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from .polled_job import Waiter


class Leadership:
    """Who leads, and who sleeps.

    Args:
        clock: The clock.
        wait_until: Waits for an event, so many seconds at most.

    Attributes:
        leader: Who keeps the clock, or None.
        sleeping: Who sleeps, in the order in which they fell asleep.
    """

    __slots__ = ("_alarm", "_clock", "_wait_until", "leader", "sleeping")

    def __init__(self, clock: Callable[[], float], wait_until: Callable[[anyio.Event, float], Awaitable[None]]) -> None:
        self.leader: Waiter | None = None
        self.sleeping: dict[Waiter, None] = {}
        self._alarm: float | None = None  # until when the leader sleeps
        self._clock = clock
        self._wait_until = wait_until

    def is_led_by(self, waiter: Waiter) -> bool:
        """Whether a waiter leads; it takes the lead where nobody has it."""
        if self.leader is None:
            self.leader = waiter
        return self.leader is waiter

    def resign(self, waiter: Waiter) -> None:
        """Hand on the lead, if the waiter has it, to whoever fell asleep last: its own poll is far off."""
        if self.leader is waiter:
            self.leader = next((other for other in reversed(self.sleeping) if other is not waiter), None)
            if self.leader is not None:
                self.wake(self.leader)

    async def lead(self, waiter: Waiter, until: float | None) -> None:
        """Sleep as the leader until something is due, or until woken; None where nothing is."""
        self._alarm = until
        await self.sleep(waiter, until)

    async def sleep(self, waiter: Waiter, until: float | None = None) -> None:
        """Sleep until woken, or until a time by the clock."""
        event = waiter.event = anyio.Event()
        self.sleeping[waiter] = None
        try:
            if until is None:
                await event.wait()
            else:
                await self._wait_until(event, max(0.0, until - self._clock()))
        finally:
            waiter.event = None
            del self.sleeping[waiter]

    @staticmethod
    def wake(waiter: Waiter) -> None:
        """Wake a waiter, if it sleeps."""
        if waiter.event is not None:
            waiter.event.set()

    def due(self, at: float) -> None:
        """Hear that something is due at that time; wake a leader who sleeps longer."""
        if self.leader is not None and (self._alarm is None or at < self._alarm):
            self.wake(self.leader)
