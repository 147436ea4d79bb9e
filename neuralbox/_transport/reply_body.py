"""Reading replies: piece by piece, decompressed, never more than asked for.

Decompression is done here rather than by httpx because httpx decompresses a piece whole: 64 KB from the network may
become 64 MB, and twice-compressed 64 GB, before anybody can count. zlib is told how much to return each time. Only
what we ask servers for (gzip, deflate) is read; anything else was not negotiated.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from time import monotonic
from typing import Any, Final

import httpx

from .._api.reply import excerpt
from .._errors import ProtocolError
from .errors import TRANSLATED, cause_of, too_slow, translate

# Decompressed bytes yielded at a time.
_PIECE: Final = 256 * 1024


class ReplyReader:
    """A reply whose body is still to be read; `base.StreamedReply`.

    The body can be read once, by `chunks` or by `read`, inside the block that opened the reply.

    Args:
        response: As it came, its body unread (or read by a hook of a user's own client, or by a mock).
        host: For messages.
    """

    def __init__(self, response: httpx.Response, host: str) -> None:
        self.status_code = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._host = host
        self._pieces: AsyncIterator[bytes] | None = None
        self._closed = False

    def chunks(self, *, raw: bool = False) -> AsyncIterator[bytes]:
        """Yield the body as it arrives; see `StreamedReply.chunks`."""
        return _Chunks(self, raw=raw)

    async def read(self, *, max_bytes: int, until: float | None = None) -> bytes:
        """Read the whole body.

        Args:
            max_bytes: The most it may have.
            until: When it has to be whole, in seconds of the monotonic clock; None for no limit.

        Raises:
            ProtocolError: It is longer.
            APITimeoutError: It trickles in beyond that time.
        """
        announced = self.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > max_bytes and self._response.request.method != "HEAD":
            raise self._too_long(max_bytes, b"")
        pieces: list[bytes] = []
        room = max_bytes
        # As it comes where nothing is compressed: `chunks` would add a coroutine to every piece.
        chunks = None if self.decoder() is None else self.chunks()
        while True:
            piece = await (self.next_piece() if chunks is None else anext(chunks, None))
            if piece is None:
                break
            pieces.append(piece)
            room -= len(piece)
            if room < 0:
                raise self._too_long(max_bytes, pieces[0])
            if until is not None and monotonic() > until:
                raise too_slow(self._host)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def aclose(self) -> None:
        """Close the reply; its connection is free when this returns."""
        self._closed = True
        try:
            # httpx may have wrapped the body in a generator, which would otherwise be left to the garbage collector.
            pieces: Any = self._pieces
            if hasattr(pieces, "aclose") and pieces is not self._response.stream:
                await pieces.aclose()
        finally:
            await self._response.aclose()

    async def next_piece(self) -> bytes | None:
        """Return the next piece as it came, never empty; None at the end."""
        if self._closed:
            raise RuntimeError("A reply can only be read inside the block that opened it.")
        try:
            if self._pieces is None:
                self._pieces = self._open()
            async for piece in self._pieces:
                if piece:
                    return piece
        except TRANSLATED as exc:
            raise translate(exc, self._host) from cause_of(exc)
        return None

    def _open(self) -> AsyncIterator[bytes]:
        if self._response.is_stream_consumed:  # by a hook, or made whole by a mock; it is decompressed already
            return _Once(self._response.content)
        if self._response.is_closed:  # by a client whose hook raised for the status: its body is gone
            return _Once(b"")
        # `aiter_raw` would add a generator and two context managers to every piece.
        stream = self._response.stream
        assert isinstance(stream, httpx.AsyncByteStream)
        return stream.__aiter__()

    def decoder(self) -> Decoder | None:
        """Choose what decompresses the body, before its first piece is asked for; None where nothing needs to."""
        encoding = self.headers.get("content-encoding", "identity").strip().lower()
        if self._response.is_stream_consumed or encoding in {"", "identity"}:
            return None
        if encoding in {"gzip", "x-gzip"}:
            return Decoder(self._undecodable, gzip=True)
        if encoding == "deflate":
            return Decoder(self._undecodable, gzip=False)
        raise ProtocolError(
            f"{self._host} compressed its reply as {encoding[:20]!r}, which was not asked for.",
            status_code=self.status_code,
        )

    def _undecodable(self) -> ProtocolError:
        return ProtocolError(f"The reply of {self._host} cannot be decompressed.", status_code=self.status_code)

    def _too_long(self, max_bytes: int, start: bytes) -> ProtocolError:
        return ProtocolError(
            f"The reply of {self._host} is longer than {max_bytes} bytes; the rest was not read.",
            status_code=self.status_code,
            body=excerpt(start),
        )


class Decoder:
    """Decompresses gzip or deflate (RFC 9110, 8.4.1), a bounded piece at a time.

    Args:
        error: Makes the error of a body that is not what its header says.
        gzip: Else deflate, with zlib's header as the RFC has it, or raw as some servers have it.
    """

    def __init__(self, error: Callable[[], ProtocolError], *, gzip: bool) -> None:
        self._error = error
        self._gzip = gzip
        self._zlib = zlib.decompressobj(zlib.MAX_WBITS | 16) if gzip else None
        self._head = b""  # what came before the kind of deflate was known
        self._begun = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data`, which is not empty, adds; to be exhausted before the next call."""
        self._begun = True
        if self._zlib is None:
            self._head += data
            if len(self._head) < 2:
                return
            data = self._head
            # RFC 1950, 2.2: method 8, and the two bytes are a multiple of 31; anything else is raw deflate.
            has_header = data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0
            self._zlib = zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)
        while True:
            if self._zlib.eof:
                # RFC 1952, 2.2: a gzip file may have several members. What else follows the end is nobody's.
                if not self._gzip or not data.startswith(b"\x1f"):
                    return
                self._zlib = zlib.decompressobj(zlib.MAX_WBITS | 16)
            try:
                piece = self._zlib.decompress(data, _PIECE)
            except zlib.error:
                raise self._error() from None
            if piece:
                yield piece
            data = self._zlib.unused_data if self._zlib.eof else self._zlib.unconsumed_tail
            if not data and len(piece) < _PIECE:  # a full piece may have more behind it
                return

    def finish(self) -> None:
        """Check at the end of the body that nothing is missing; no body at all is fine."""
        if self._begun and (self._zlib is None or not self._zlib.eof):
            raise self._error()


class _Chunks:
    """Iterates over what `ReplyReader.chunks` reads: an object, so that leaving it half-way leaves no generator behind.

    A compression that was not asked for is an error of the first step, like every other error of reading: whoever
    asks for the chunks may still be on the way into the block that closes the reply.
    """

    __slots__ = ("_begun", "_decoder", "_reader", "_ready")

    def __init__(self, reader: ReplyReader, *, raw: bool) -> None:
        self._reader = reader
        self._decoder: Decoder | None = None
        self._begun = raw
        self._ready: Iterator[bytes] = iter(())

    def __aiter__(self) -> _Chunks:
        return self

    async def __anext__(self) -> bytes:
        if not self._begun:
            self._decoder = self._reader.decoder()
            self._begun = True
        while True:
            for ready in self._ready:
                return ready
            piece = await self._reader.next_piece()
            if piece is None:
                if self._decoder is not None:
                    self._decoder.finish()
                raise StopAsyncIteration
            if self._decoder is None:
                return piece
            self._ready = self._decoder.pieces(piece)


class _Once:
    """A body that is here already, as one piece."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __aiter__(self) -> _Once:
        return self

    async def __anext__(self) -> bytes:
        if not self._content:
            raise StopAsyncIteration
        content, self._content = self._content, b""
        return content
