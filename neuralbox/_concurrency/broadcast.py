"""`Broadcast`: wakes whoever waits for a change; the waiter finds out for itself what has changed."""

from __future__ import annotations

import anyio


class Broadcast:
    """Wake the tasks of one event loop that wait, as often as one likes.

    Between a check that found nothing and `wait` there may be no await: then no change can be missed.
    """

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event: anyio.Event | None = None

    def ring(self) -> None:
        """Wake everybody who waits now."""
        if self._event is not None:
            self._event.set()
            self._event = None

    @property
    def next(self) -> anyio.Event:
        """Return the event that is set when it is rung next."""
        if self._event is None:
            self._event = anyio.Event()
        return self._event

    async def wait(self) -> None:
        """Return when it is rung next."""
        await self.next.wait()
