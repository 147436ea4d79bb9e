"""The two bodies of an exchange over aiohttp: the one we send, and the one we read.

What differs from httpx-aiohttp (0.2.0) and aiohttp (3.14), and why:

- **Writing has a limit.** Neither has one: to a server that does not read, an upload waits for ever, since the limit
  for reading starts when the last byte is written.
- **A body is as long as its header says**, or the request fails as one that cannot be sent: aiohttp cuts off what is
  too much, and waits for the answer to what is too little.
- **What had arrived is read before the failure is told.** aiohttp throws away the unread end of a reply whose connection
  broke: the last words of a paid text.
- **Pieces have the size they arrive in**; httpx-aiohttp cuts them into 16 KB, four times the work for a download.
- **Leaving early ends at once.** httpx-aiohttp waits, while the reply is closed, for an upload that may be stuck.

One difference to the default engine stays: aiohttp's limit for reading counts the silence of the server, also while the
caller is busy with the last piece; the default engine's counts only while the caller waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import httpx

from .errors import FAILURES, cause_of, to_httpx

if TYPE_CHECKING:
    from .network import AiohttpNetwork

# Bytes handed to the socket at a time; the limit for writing counts for each.
_PIECE: Final = 256 * 1024


class RequestBody(aiohttp.Payload):
    """The body of a request, written with a limit.

    Args:
        stream: httpx's: the bytes, or the parts of a form.
        limit: Seconds each piece may wait for room.
    """

    def __init__(self, stream: AsyncIterator[bytes], limit: float | None) -> None:
        super().__init__(stream)
        self._limit = limit

    async def write_with_length(self, writer: Any, content_length: int | None) -> None:
        left = content_length or 0
        async for whole in self._value:
            left -= len(whole)
            if left < 0:
                raise httpx.LocalProtocolError("Too much data for declared Content-Length")
            for start in range(0, len(whole), _PIECE):
                await writer.write(whole if len(whole) <= _PIECE else whole[start : start + _PIECE], drain=False)
                try:
                    async with asyncio.timeout(self._limit):
                        await writer.drain()
                except TimeoutError:
                    raise httpx.WriteTimeout("") from None
        if left:
            raise httpx.LocalProtocolError("Too little data for declared Content-Length")

    async def write(self, writer: Any) -> None:
        raise NotImplementedError  # pragma: no cover - abstract in aiohttp; its older way, which knows no length

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise NotImplementedError  # pragma: no cover - abstract in aiohttp; for its digest authentication


class ReplyBody(httpx.AsyncByteStream):
    """The body of a reply, as an object rather than a generator: left half-way, nothing is for the collector to end."""

    __slots__ = ("_content", "_network", "_reply")

    def __init__(self, reply: aiohttp.ClientResponse, network: AiohttpNetwork) -> None:
        self._reply = reply
        self._content = reply.content
        self._network = network

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        content = self._content
        if content.at_eof():
            raise StopAsyncIteration
        try:
            piece = await content.readany()
        except FAILURES as exc:
            if piece := self._unread():
                return piece
            raise to_httpx(exc) from cause_of(exc)
        if not piece:
            raise StopAsyncIteration
        return piece

    def _unread(self) -> bytes:
        # aiohttp's public way of reading without waiting raises the failure as well.
        return self._content._read_nowait(-1)

    async def aclose(self) -> None:
        """Give the connection back, or close it where the reply was not read to its end."""
        if not self._reply.closed:
            self._reply.close()
            await self._network.settle()
