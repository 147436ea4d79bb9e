"""`BodyReader`: the body of one streamed reply, from its first sign to the return of its connection.

The documents are silent about the content type, so the first sign of the body tells whether it is an event stream or
one JSON object, sent by a service that ignores the switch.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, suppress
from typing import Final, NoReturn

import anyio

from .._api.sse import SSEDecoder
from .._api.stream_events import GenerationEnd, Piece, PieceReader, StreamDone, StreamFailure
from .._errors import APIConnectionError, ProtocolError
from .._transport import Reply, StreamedReply

# What may stand before the first sign of a body: blanks, line ends, a byte-order mark.
_BLANK: Final = b" \t\r\n\xef\xbb\xbf"
# Seconds the rest after the last event ([DONE], the end of the body) may take: read to its end, the connection serves
# the next request; a service that holds it open is hung up on.
_GOODBYE: Final = 0.25


class BodyReader:
    """Reads the body of one reply.

    Args:
        block: The reply's block, entered; `close` leaves it.
        reply: The reply.
        max_bytes: A longer body is a `ProtocolError`.

    Attributes:
        chunks: The body as it comes; each piece of it goes to `take`.
        decoder: Its `error` is what is wrong with the body after the events that were returned.
    """

    __slots__ = ("_block", "_knows_form", "_most_bytes", "_pieces", "_received", "_reply", "chunks", "decoder")

    def __init__(
        self, block: AbstractAsyncContextManager[StreamedReply], reply: StreamedReply, *, max_bytes: int
    ) -> None:
        self.chunks: AsyncIterator[bytes] = reply.chunks()
        self._block: AbstractAsyncContextManager[StreamedReply] | None = block
        self._reply = reply
        self._pieces = PieceReader()
        self.decoder: SSEDecoder[Piece] = SSEDecoder(self._pieces.read)
        self._knows_form = False
        self._received, self._most_bytes = 0, max_bytes

    def take(self, chunk: bytes) -> list[Piece] | None:
        """Return what a piece of the body says; None where it begins one JSON object, which `read_whole` reads.

        Raises:
            ProtocolError: It is too long, or no event stream.
        """
        self._received += len(chunk)
        if self._received > self._most_bytes:
            self._refuse_more()
        if not self._knows_form and self._is_whole(chunk):
            return None
        pieces = self.decoder.feed(chunk)
        return pieces if not self._pieces.half else self._with_half(pieces)

    def take_unfinished(self) -> list[Piece]:
        """Return the last event, which may lack its empty line; it counts if it is whole, and JSON shows that."""
        with suppress(ProtocolError):
            return self._with_half(self.decoder.end(keep_unfinished=True))
        return []

    def _with_half(self, pieces: list[Piece]) -> list[Piece]:
        """Deliver half of a character, as U+FFFD, where the text ends with it."""
        ends = (
            place for place, piece in enumerate(pieces) if isinstance(piece, GenerationEnd | StreamDone | StreamFailure)
        )
        end = next(ends, None)
        if end is not None and self._pieces.half:
            self._pieces.half = ""
            pieces.insert(end, "\N{REPLACEMENT CHARACTER}")
        return pieces

    async def read_whole(self, chunk: bytes) -> Reply:
        """Read the rest of a body that is one JSON object."""
        pieces = [chunk]
        async for piece in self.chunks:
            self._received += len(piece)
            if self._received > self._most_bytes:
                self._refuse_more()
            pieces.append(piece)
        return Reply(self._reply.status_code, self._reply.headers, b"".join(pieces).lstrip(_BLANK))

    async def close(self, *, drain: bool = False) -> None:
        """Free the connection; more calls do nothing.

        Args:
            drain: Everything that is waited for has come, so read the rest, and keep the connection.
        """
        block, self._block = self._block, None
        if block is None:
            return
        try:
            if drain:
                with anyio.move_on_after(_GOODBYE):
                    await self._drain()
        finally:
            try:
                aclose = getattr(self.chunks, "aclose", None)
                # Another task may still be reading; its read ends when the reply is closed.
                if aclose is not None and not getattr(self.chunks, "ag_running", False):
                    await aclose()
            finally:
                await block.__aexit__(None, None, None)

    async def _drain(self) -> None:
        with suppress(APIConnectionError, ProtocolError):  # everything that was waited for had come
            async for _ in self.chunks:
                pass

    def _is_whole(self, chunk: bytes) -> bool:
        """Tell by the first sign of the body whether it is one JSON object: no line of an event stream begins like it."""
        start = chunk.lstrip(_BLANK)
        self._knows_form = bool(start)
        return start[:1] == b"{"

    def _refuse_more(self) -> NoReturn:
        raise ProtocolError(f"The stream is longer than `max_reply_bytes`={self._most_bytes}.")
