"""Bytes that follow an answer are never read as the answer to the next request on that connection."""

from __future__ import annotations

import threading
from contextlib import nullcontext, suppress
from typing import Any

import anyio
import pytest
from aiohttp.http_exceptions import BadHttpMessage

from neuralbox._errors import ProtocolError
from neuralbox._transport import HttpxTransport
from neuralbox._transport.aiohttp.network import AiohttpConnection

from .servers import CERTIFICATE, Behaviour, Conversation, Server, eventually
from .support import chosen, every_engine, pooled, prepare, transport_for

pytestmark = pytest.mark.anyio
anyio_backend = every_engine

OWN = b'{"yours": true}'
SECOND = b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"yours": false}'


def whole(body: bytes, *, said: int | None = None) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body) if said is None else said, body)


def first_saying(*packets: bytes) -> Behaviour:
    """Answer the first connection's first request in these packets, and every other request as one should."""

    def behave(conversation: Conversation) -> None:
        is_first = conversation.server.connections == 1
        while conversation.read_request() is not None:
            if is_first and len(conversation.server.requests) == 1:
                for packet in packets:
                    conversation.send(packet)
            else:
                conversation.answer(OWN)

    return behave


async def ask(transport: HttpxTransport, url: str, method: str = "POST") -> bytes:
    with anyio.fail_after(5):
        return (await transport.send(prepare(transport, url, method, content=b"{}"), max_bytes=1_000_000)).content


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b'HTTP/1.1 204 No Content\r\n\r\n{"ok":true}', id="a 204 with a body"),
        pytest.param(whole(b"{}\n", said=2), id="a line end more than announced"),
        pytest.param(whole(b"{}x", said=2), id="a letter more than announced"),
        pytest.param(whole(b"{}") + SECOND, id="a second answer"),
        pytest.param(whole(b"{}") + SECOND[:30], id="half of a second answer"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + SECOND, id="chunked"
        ),
    ],
)
async def test_the_request_after_an_answer_that_was_too_long_gets_its_own(said: bytes) -> None:
    with Server(first_saying(said)) as server:
        async with transport_for() as transport:
            # aiohttp parses packets as a whole: where the rest of one is not HTTP, the answer in it is lost as well.
            with suppress(ProtocolError) if chosen else nullcontext():
                await ask(transport, server.url, "DELETE")
            assert [await ask(transport, server.url) for _ in range(3)] == [OWN] * 3
    assert [seen.method for seen in server.requests] == ["DELETE", "POST", "POST", "POST"]


async def test_an_answer_as_long_as_announced_keeps_its_connection() -> None:
    with Server(first_saying(whole(b"{}"))) as server:
        async with transport_for() as transport:
            assert [await ask(transport, server.url) for _ in range(3)] == [b"{}", OWN, OWN]
    assert server.connections == 1


@pytest.mark.parametrize("late", [SECOND, SECOND[:30], b"x"], ids=["a whole answer", "half of one", "a letter"])
async def test_what_comes_while_a_connection_is_idle_is_nobodys(late: bytes) -> None:
    may_come, came = threading.Event(), threading.Event()

    def behave(conversation: Conversation) -> None:
        is_first = conversation.server.connections == 1
        while conversation.read_request() is not None:
            conversation.answer(b"{}" if is_first else OWN)
            if is_first:
                may_come.wait(5)
                conversation.send(late)
                came.set()

    with Server(behave) as server:
        async with transport_for() as transport:
            assert await ask(transport, server.url) == b"{}"
            may_come.set()
            await eventually(came.is_set)
            assert [await ask(transport, server.url) for _ in range(2)] == [OWN] * 2
    assert server.connections == 2


async def test_what_an_idle_connection_had_read_already_is_nobodys() -> None:
    """aiohttp reads while nobody asks: then the socket is empty, and the parser holds half of an answer."""
    came = threading.Event()

    def behave(conversation: Conversation) -> None:
        is_first = conversation.server.connections == 1
        while conversation.read_request() is not None:
            conversation.answer(b"{}" if is_first else OWN)
            if is_first:
                conversation.send(SECOND[:30])
                came.set()

    with Server(behave) as server:
        async with transport_for() as transport:
            assert await ask(transport, server.url) == b"{}"
            await eventually(came.is_set)  # on a busy machine it would come with the next answer, and be lost with it
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            assert await ask(transport, server.url) == OWN
    assert server.connections == 2


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("size", [10, 100_000])
async def test_what_lies_between_the_socket_and_the_reader_is_seen(
    monkeypatch: pytest.MonkeyPatch, size: int, tls: bool
) -> None:
    """A receive of asyncio takes more than is asked for, and TLS whole records; the socket shows neither."""
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE)
    may_come, came = threading.Event(), threading.Event()

    def behave(conversation: Conversation) -> None:
        is_first = conversation.server.connections == 1
        while conversation.read_request() is not None:
            if not is_first:
                conversation.answer(OWN)
                continue
            conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            may_come.wait(5)
            conversation.send(b"y" * size)
            conversation.send(SECOND)
            came.set()

    with Server(behave, tls=tls) as server:
        async with transport_for() as transport:
            async with transport.stream(prepare(transport, server.url)) as reply:
                may_come.set()
                await eventually(came.is_set)
                assert len(await reply.read(max_bytes=size)) == size
            assert [await ask(transport, server.url) for _ in range(2)] == [OWN] * 2
    assert server.connections == 2


async def test_half_an_answer_that_the_parser_cannot_end_is_unread_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    class Parser:
        def feed_eof(self) -> Any:
            raise BadHttpMessage("no end")

    with Server(first_saying(whole(b"{}"))) as server:
        async with transport_for() as transport:
            await ask(transport, server.url)
            (connection,) = pooled(transport)
            if not isinstance(connection, AiohttpConnection):
                return
            monkeypatch.setattr(connection, "_parser", Parser())
            assert not connection.is_connected()
            monkeypatch.setattr(connection, "_parser", None)
            assert connection.is_connected()
