"""A reply that trickles in, each piece in time, ends by the total limit."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable

import anyio
import pytest

from neuralbox import _errors as errors
from neuralbox._transport import Timeouts

from .servers import Behaviour, Conversation, Server, answering, eventually
from .support import all_free, every_engine, open_sockets, prepare, transport_for

pytestmark = pytest.mark.anyio
anyio_backend = every_engine

BRIEF = Timeouts(5.0, 5.0, 5.0, 0.05)
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


def trickling(head: bytes, pieces: Iterable[bytes]) -> Behaviour:
    """Answer with one piece every 5 ms, until the client has had enough."""

    def behave(conversation: Conversation) -> None:
        if conversation.read_request() is not None:
            conversation.send(head)
            for piece in pieces:
                time.sleep(0.005)
                conversation.send(piece)
            conversation.wait_for_hang_up()

    return behave


ENDLESS = {
    "interim replies": (b"", INTERIM),
    "bytes of a header": (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
    "bytes of a body": (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x"),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
}


@pytest.mark.parametrize("name", ENDLESS)
async def test_a_reply_that_never_ends_is_given_up(name: str) -> None:
    head, piece = ENDLESS[name]
    with Server(trickling(head, itertools.repeat(piece))) as server:
        async with transport_for() as transport:
            with anyio.fail_after(5), pytest.raises(errors.APITimeoutError, match="total limit") as caught:
                await transport.send(prepare(transport, server.url, "POST", timeouts=BRIEF), max_bytes=1_000_000)
            assert caught.value.phase == "deadline"
            assert "127.0.0.1" in caught.value.message
            await eventually(lambda: open_sockets(transport) == 0)
            assert all_free(transport)


async def test_an_interim_reply_and_then_silence_is_a_read_time_out() -> None:
    with Server(trickling(INTERIM, [])) as server:
        async with transport_for() as transport:
            prepared = prepare(transport, server.url, "POST", timeouts=Timeouts(5.0, 0.05, 5.0, None))
            with anyio.fail_after(5), pytest.raises(errors.APITimeoutError) as caught:
                await transport.send(prepared, max_bytes=100)
            assert caught.value.phase == "read"


async def test_a_stream_has_to_begin_in_time_but_not_to_end() -> None:
    pieces = [b"x"] * 30
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n"
    with Server(trickling(INTERIM + head, pieces)) as server:
        async with (
            transport_for() as transport,
            transport.stream(prepare(transport, server.url, timeouts=BRIEF)) as reply,
        ):
            assert await reply.read(max_bytes=30) == b"x" * 30


async def test_without_a_limit_and_in_time_nothing_is_given_up() -> None:
    with Server(answering()) as server:
        async with transport_for() as transport:
            for timeouts in (BRIEF, Timeouts(5.0, 5.0, 5.0, None), BRIEF):
                prepared = prepare(transport, server.url, timeouts=timeouts)
                assert (await transport.send(prepared, max_bytes=100)).content == b'{"ok": true}'
    assert server.connections == 1
