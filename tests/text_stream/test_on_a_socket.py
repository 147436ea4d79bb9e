"""Streams over a real socket: the sandbox at the other end, and a server that watches its client leave."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from neuralbox import AsyncNeuralBox, GenerationFailedError, Limits, SubmissionUnknownError
from neuralbox._config import Dialect, Polling
from neuralbox.sandbox import Sandbox, Server, serve
from tests.helpers import KEY

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("shortest_pauses")]

PROMPT = "Good morning"


@pytest.fixture
def server() -> Iterator[Server]:
    with serve(Sandbox(speed=200)) as running:
        yield running


def client(url: str, **options: object) -> AsyncNeuralBox:
    polling = Polling(min_interval=0.05, max_interval=0.1)
    return AsyncNeuralBox(api_key=KEY, base_url=url, polling=polling, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("way", ["switch", "path"])
async def test_a_stream_gives_the_text_that_a_later_look_gives(server: Server, way: str) -> None:
    async with client(server.url, dialect=Dialect(stream=way)) as nb:  # type: ignore[arg-type]
        async with nb.text.stream(model="gpt-5", prompt=PROMPT) as stream:
            pieces = [piece async for piece in stream]
        again = await nb.generations.get(stream.result.id)
    assert "".join(pieces) == stream.text == stream.result.text == again.text
    assert stream.result.tokens == again.tokens == server.sandbox.ledger.charged == 2


async def test_a_cut_stream_is_completed_and_charged_once(server: Server) -> None:
    server.sandbox.faults.set("cut-stream", 1.0, times=1)
    async with client(server.url) as nb:
        async with nb.text.stream(model="gpt-5", prompt=PROMPT) as stream:
            pieces = [piece async for piece in stream]
        again = await nb.generations.get(stream.result.id)
        assert "".join(pieces) == stream.result.text == again.text
        assert (await nb.history.list()).total == 1
    assert server.sandbox.ledger.charged == 2


async def test_an_error_event_raises_and_costs_nothing(server: Server) -> None:
    server.sandbox.faults.set("stream-error", 1.0)
    async with client(server.url) as nb:
        async with nb.text.stream(model="gpt-5", prompt=PROMPT) as stream:
            with pytest.raises(GenerationFailedError, match="upstream provider failed"):
                await stream.collect()
        assert stream.text
        assert stream.job is not None
    assert server.sandbox.ledger.charged == 0


# What the other side sees.

Answer: TypeAlias = Callable[[SocketStream], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(text: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(text), text)


START = chunk(b'data: {"type":"generation_start","id":7,"model":"gpt-5"}\n\n')
DELTA = chunk(b'data: {"type":"content_delta","delta":"word "}\n\n')
END = chunk(b'data: {"type":"generation_end","id":7,"tokens_spent":1}\n\n') + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


@asynccontextmanager
async def watched(answer: Answer) -> AsyncIterator[tuple[str, list[str]]]:
    """Serve streams; hand out the address and what happened, in order."""
    seen: list[str] = []

    async def handle(stream: SocketStream) -> None:
        seen.append("connected")
        async with stream:
            try:
                while True:
                    data = b""
                    while not data.endswith(b"}"):
                        data += await stream.receive()
                    seen.append("asked")
                    await answer(stream)
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                seen.append("left")

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, handle)
        with anyio.fail_after(10):
            yield f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}", seen
        group.cancel_scope.cancel()


async def endless(stream: SocketStream) -> None:
    await stream.send(HEAD + START)
    while True:
        await stream.send(DELTA)
        await anyio.sleep(0.001)


async def held_open(stream: SocketStream) -> None:
    await stream.send(HEAD + START + DELTA)
    await stream.receive()  # nothing comes but the end


async def whole(stream: SocketStream) -> None:
    await stream.send(HEAD + START + DELTA + END)


async def compressed(stream: SocketStream) -> None:
    await stream.send(HEAD.replace(b"\r\n\r\n", b"\r\ncontent-encoding: br\r\n\r\n") + START)
    await stream.receive()


async def until(seen: list[str], what: str) -> None:
    while what not in seen:  # noqa: ASYNC110 - the server runs in this loop and tells by a list
        await anyio.sleep(0.001)


@pytest.mark.parametrize("answer", [endless, held_open])
async def test_leaving_early_is_seen_by_the_server_and_the_slot_is_free(answer: Answer) -> None:
    async with watched(answer) as (url, seen), client(url, limits=Limits(max_streams=1)) as nb:
        for _ in range(3):
            async with nb.text.stream(model="gpt-5", prompt=PROMPT) as stream:
                assert await anext(stream) == "word "
            await until(seen, "left")
            assert seen == ["connected", "asked", "left"]
            seen.clear()


async def test_a_cancelled_stream_is_seen_by_the_server_and_the_slot_is_free() -> None:
    async with watched(held_open) as (url, seen), client(url, limits=Limits(max_streams=1)) as nb:
        for _ in range(3):
            with anyio.move_on_after(0.05) as scope:
                async with nb.text.stream(model="gpt-5", prompt=PROMPT) as stream:
                    await stream.collect()
            assert scope.cancelled_caught
            await until(seen, "left")
            seen.clear()


async def test_a_stream_compressed_as_nobody_asked_is_unknown_and_the_slot_is_free() -> None:
    async with (
        watched(compressed) as (url, seen),
        client(url, limits=Limits(max_streams=1), submission="raise") as nb,
    ):
        for _ in range(3):
            async with nb.text.stream(model="gpt-5", prompt=PROMPT) as stream:
                with pytest.raises(SubmissionUnknownError, match="not asked for"):
                    await stream.collect()
            await until(seen, "left")
            assert seen == ["connected", "asked", "left"]
            seen.clear()


async def test_a_stream_read_to_its_end_hands_its_connection_on() -> None:
    async with watched(whole) as (url, seen), client(url) as nb:
        for _ in range(3):
            async with nb.text.stream(model="gpt-5", prompt=PROMPT) as stream:
                assert (await stream.collect()).text == "word "
        assert seen == ["connected", "asked", "asked", "asked"]
