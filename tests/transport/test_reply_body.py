from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralbox._errors import ProtocolError
from neuralbox._transport import reply_body
from neuralbox._transport.reply_body import Decoder, ReplyReader


def problem() -> ProtocolError:
    return ProtocolError("broken")


def decode(data: bytes, *, is_gzip: bool, size: int) -> bytes:
    decoder = Decoder(problem, gzip=is_gzip)
    out = b""
    for start in range(0, len(data), size):
        out += b"".join(decoder.pieces(data[start : start + size]))
    decoder.finish()
    return out


def raw_deflate(data: bytes) -> bytes:
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return squeeze.compress(data) + squeeze.flush()


TEXT = b'{"prompt": "a lighthouse at dusk"}' * 20


@given(data=st.binary(max_size=3000), size=st.integers(1, 40), split=st.integers(0, 3000))
def test_any_cutting_of_a_compressed_body_gives_the_same_bytes(data: bytes, size: int, split: int) -> None:
    assert decode(gzip.compress(data), is_gzip=True, size=size) == data
    assert decode(zlib.compress(data), is_gzip=False, size=size) == data
    assert decode(raw_deflate(data), is_gzip=False, size=size) == data
    members = gzip.compress(data[:split]) + gzip.compress(data[split:])
    assert decode(members, is_gzip=True, size=size) == data


def test_what_follows_the_end_is_ignored() -> None:
    assert decode(gzip.compress(TEXT) + b"\0\0", is_gzip=True, size=1000) == TEXT
    assert decode(gzip.compress(TEXT) + b"\0\0", is_gzip=True, size=1) == TEXT
    assert decode(zlib.compress(TEXT) + b"\x1fmore", is_gzip=False, size=1000) == TEXT


@pytest.mark.parametrize("is_gzip", [True, False])
@pytest.mark.parametrize("size", [1, 1000])
def test_a_body_that_stops_early_is_an_error(is_gzip: bool, size: int) -> None:
    whole = gzip.compress(TEXT) if is_gzip else zlib.compress(TEXT)
    for length in (1, 2, len(whole) - 1):
        with pytest.raises(ProtocolError, match="broken"):
            decode(whole[:length], is_gzip=is_gzip, size=size)


def test_no_body_at_all_is_an_empty_one() -> None:
    assert decode(b"", is_gzip=True, size=1) == b""
    assert decode(b"", is_gzip=False, size=1) == b""


def test_a_bomb_comes_in_bounded_pieces() -> None:
    decoder = Decoder(problem, gzip=True)
    largest = max(len(piece) for piece in decoder.pieces(gzip.compress(bytes(8 * 1024 * 1024))))
    assert largest == reply_body._PIECE
    decoder.finish()


class Pieces(httpx.AsyncByteStream):
    """A body in the given pieces; tells whether it was closed."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece

    async def aclose(self) -> None:
        self.closed = True


def reply_of(*pieces: bytes, **headers: str) -> tuple[ReplyReader, Pieces]:
    body = Pieces(*pieces)
    response = httpx.Response(
        200, headers={name.replace("_", "-"): value for name, value in headers.items()}, stream=body
    )
    response.request = httpx.Request("GET", "http://x/")
    return ReplyReader(response, "x"), body


@pytest.mark.anyio
async def test_pieces_come_as_they_are_and_never_empty() -> None:
    reply, body = reply_of(b"a", b"", b"bc")
    assert [piece async for piece in reply.chunks()] == [b"a", b"bc"]
    await reply.aclose()
    assert body.closed


@pytest.mark.anyio
@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", " GZIP "])
async def test_raw_pieces_are_left_compressed(encoding: str) -> None:
    squeezed = gzip.compress(TEXT)
    reply, _ = reply_of(squeezed, content_encoding=encoding)
    assert [piece async for piece in reply.chunks(raw=True)] == [squeezed]
    await reply.aclose()
    reply, _ = reply_of(squeezed[:10], squeezed[10:], content_encoding=encoding)
    assert await reply.read(max_bytes=10_000) == TEXT
    await reply.aclose()


@pytest.mark.anyio
async def test_deflate_and_identity_are_read() -> None:
    for encoding, body in (("deflate", zlib.compress(TEXT)), ("identity", TEXT), ("", TEXT)):
        reply, _ = reply_of(body, content_encoding=encoding)
        assert await reply.read(max_bytes=10_000) == TEXT
        await reply.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "zstd"])
async def test_a_compression_nobody_asked_for_is_refused(encoding: str) -> None:
    reply, _ = reply_of(b"?", content_encoding=encoding)
    chunks = reply.chunks()  # whoever asks may still be on the way into the block that closes the reply
    for _ in range(2):
        with pytest.raises(ProtocolError, match="not asked for"):
            await anext(chunks)
    assert [piece async for piece in reply.chunks(raw=True)] == [b"?"]
    await reply.aclose()


@pytest.mark.anyio
async def test_a_reply_that_was_made_whole_is_read_as_it_is() -> None:
    response = httpx.Response(200, content=gzip.compress(TEXT), headers={"content-encoding": "gzip"})
    reply = ReplyReader(response, "x")
    response.request = httpx.Request("GET", "http://x/")
    assert await reply.read(max_bytes=10_000) == TEXT
    await reply.aclose()
    empty = ReplyReader(httpx.Response(204, request=httpx.Request("GET", "http://x/")), "x")
    assert await empty.read(max_bytes=0) == b""
    await empty.aclose()


@pytest.mark.anyio
async def test_a_body_that_cannot_be_closed_still_closes_the_reply() -> None:
    class Stubborn(Pieces):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            try:
                yield b"a"
            finally:
                raise OSError("no")

    body = Stubborn()
    reply = ReplyReader(httpx.Response(200, stream=body), "x")
    async for _ in reply.chunks():
        break
    with pytest.raises(OSError, match="no"):
        await reply.aclose()
    assert body.closed
