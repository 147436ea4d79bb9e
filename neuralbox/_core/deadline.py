"""The deadline of a call: one clock, from the beginning of the call to the last byte of its answer.

No cancel scope is open while a caller has the word: each await gets what is left of the time, and a streamed body is
cut at the next piece that is asked for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TypeVar

import anyio

from .._errors import APITimeoutError
from .._transport import StreamedReply

T = TypeVar("T")


async def in_time(left: float | None, limit: float | None, answer: Awaitable[T]) -> T:
    """Await an answer for as long as is left.

    Args:
        left: Seconds; None for as long as it takes.
        limit: The whole deadline, for the message.
        answer: What is awaited.

    Raises:
        APITimeoutError: The time is over; its phase is `deadline`.
    """
    with anyio.move_on_after(left):
        return await answer
    raise APITimeoutError(f"The deadline of {limit:g} s for the whole call passed.", phase="deadline")


class TimedReply:
    """A streamed reply whose body must have come by the deadline.

    Args:
        reply: The reply.
        left: Tells how many seconds are left.
        limit: The whole deadline, for the message.
    """

    __slots__ = ("_left", "_limit", "_reply")

    def __init__(self, reply: StreamedReply, left: Callable[[], float | None], limit: float) -> None:
        self._reply = reply
        self._left = left
        self._limit = limit

    @property
    def status_code(self) -> int:
        """The HTTP status."""
        return self._reply.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers."""
        return self._reply.headers

    async def chunks(self, *, raw: bool = False) -> AsyncIterator[bytes]:
        """Yield the body as it arrives; `APITimeoutError` once the deadline has passed."""
        chunks = self._reply.chunks(raw=raw)
        try:
            while (chunk := await in_time(self._left(), self._limit, anext(chunks, None))) is not None:
                yield chunk
        finally:
            aclose = getattr(chunks, "aclose", None)
            if aclose is not None:
                await aclose()

    async def read(self, *, max_bytes: int) -> bytes:
        """Read the whole body; `APITimeoutError` once the deadline has passed."""
        return await in_time(self._left(), self._limit, self._reply.read(max_bytes=max_bytes))
