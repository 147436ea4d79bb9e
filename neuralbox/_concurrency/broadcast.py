"""`Broadcast`: wakes whoever waits for a change; the waiter looks for itself what has changed."""

from __future__ import annotations

import anyio


class Broadcast:
    """Rung as often as one likes; for one event loop.

    Between a look that found nothing and `wait` there may be no await: then no change can be missed.
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
        """Set when it is rung next."""
        if self._event is None:
            self._event = anyio.Event()
        return self._event

    async def wait(self) -> None:
        """Return when it is rung next."""
        await self.next.wait()
