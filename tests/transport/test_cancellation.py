"""Nothing is lost when callers go away: not a slot, not a connection, at whatever moment."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from neuralbox import _errors as errors
from neuralbox._transport import HttpxTransport, Limits, Timeouts
from neuralbox._transport.httpcore2.network import CoreNetwork

from .servers import CERTIFICATE, Behaviour, Conversation, Server, answering, eventually, full_backlog, saying, silent
from .support import (
    MEGABYTE,
    all_free,
    default_engine,
    every_engine,
    is_connecting,
    open_sockets,
    pooled,
    prepare,
    resources_of,
    transport_for,
)

pytestmark = pytest.mark.anyio
anyio_backend = every_engine

SLOTS = 10
TASKS = 20


def jittery(conversation: Conversation) -> None:
    """Answer after 0 to 4 ms, whole, in two halves, or as chunks."""
    dice = random.Random(conversation.server.connections)
    while conversation.read_request() is not None:
        time.sleep(dice.random() * 0.004)
        kind = dice.randrange(3)
        if kind == 0:
            conversation.answer(b"x" * 1000)
        elif kind == 1:
            conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
            time.sleep(0.001)
            conversation.send(b"def")
        else:
            conversation.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            time.sleep(0.001)
            conversation.send(b"0\r\n\r\n")


async def cancel_at_random(transport: HttpxTransport, url: str, *, rounds: int, seed: int) -> tuple[int, int]:
    """Let twenty tasks send and read, three in four cancelled after 0 to 20 ms; count what ended well and what did not."""
    finished = cancelled = 0

    async def worker(number: int) -> None:
        nonlocal finished, cancelled
        dice = random.Random(f"{seed}-{number}")
        prepared = prepare(transport, f"{url}/{number}", "POST", content=b"{}")
        for _ in range(rounds):
            patience = None if dice.random() < 0.25 else dice.random() * 0.02
            with anyio.move_on_after(patience) as scope:
                if dice.random() < 0.3:
                    async with transport.stream(prepared) as reply:
                        async for _piece in reply.chunks():
                            await anyio.lowlevel.checkpoint()
                else:
                    await transport.send(prepared, max_bytes=MEGABYTE)
            cancelled += scope.cancelled_caught
            finished += not scope.cancelled_caught

    async with anyio.create_task_group() as group:
        for number in range(TASKS):
            group.start_soon(worker, number)
    return finished, cancelled


@pytest.mark.uncovered
@pytest.mark.parametrize(("seed", "tls"), [(1, False), (2, False), (3, True)])
async def test_random_cancellation_leaves_every_slot_free(
    seed: int, tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE)
    with Server(jittery, tls=tls) as server:
        async with transport_for(limits=Limits(max_connections=SLOTS, max_streams=4)) as transport:
            finished, cancelled = await cancel_at_random(transport, server.url, rounds=10, seed=seed)
            assert min(finished, cancelled) > 10, "the test must do both"
            assert all_free(transport)
            assert len(pooled(transport)) == open_sockets(transport) <= SLOTS + 4
            await eventually(lambda: server.open == open_sockets(transport))
            await _all_slots_at_once(transport, server.url)
        await eventually(lambda: server.open == 0)


async def _all_slots_at_once(transport: HttpxTransport, url: str) -> None:
    """Use every slot together; hangs when one is lost."""
    inside = 0
    full = anyio.Event()

    async def hold() -> None:
        nonlocal inside
        slots = resources_of(transport).requests
        with anyio.fail_after(5):
            await transport.send(prepare(transport, url), max_bytes=MEGABYTE)
            async with slots:
                inside += 1
                if inside == SLOTS:
                    full.set()
                await full.wait()

    async with anyio.create_task_group() as group:
        for _ in range(SLOTS):
            group.start_soon(hold)


# Stalled at each moment, then cancelled.


async def _stall(
    transport: HttpxTransport, reached: Callable[[], bool], call: Callable[[], Coroutine[Any, Any, Any]]
) -> None:
    """Start a call, wait until it has come as far as `reached`, cancel it, and check that nothing is left."""
    async with anyio.create_task_group() as group:
        group.start_soon(call)
        await eventually(reached)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    assert all_free(transport)
    assert open_sockets(transport) == len(pooled(transport)) == 0


async def test_cancelled_while_connecting() -> None:
    with full_backlog() as url:
        async with transport_for() as transport:
            await _stall(
                transport,
                lambda: is_connecting(transport),
                lambda: transport.send(prepare(transport, url), max_bytes=100),
            )


async def test_cancelled_while_securing_the_connection() -> None:
    with Server(silent) as server:
        async with transport_for() as transport:
            url = server.url.replace("http:", "https:")
            await _stall(
                transport,
                lambda: server.open == 1 and open_sockets(transport) == 1,
                lambda: transport.send(prepare(transport, url), max_bytes=100),
            )
        await eventually(lambda: server.open == 0)


async def test_cancelled_while_the_proxy_has_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(silent) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        async with transport_for() as transport:
            await _stall(
                transport,
                lambda: proxy.open == 1,
                lambda: transport.send(prepare(transport, "https://service.invalid"), max_bytes=100),
            )
        await eventually(lambda: proxy.open == 0)


@default_engine
async def test_cancelled_after_connecting_and_before_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    """httpcore2 alone loses a slot of its pool here each time."""
    connect = CoreNetwork.connect_tcp

    async def connect_and_cancel(self: CoreNetwork, *arguments: Any, **options: Any) -> Any:
        wire = await connect(self, *arguments, **options)
        scope.cancel()
        return wire

    with Server(answering()) as server:
        async with transport_for(limits=Limits(max_connections=1, max_streams=1)) as transport:
            prepared = prepare(transport, server.url)
            with monkeypatch.context() as patch:
                patch.setattr(CoreNetwork, "connect_tcp", connect_and_cancel)
                for _ in range(3):
                    with anyio.CancelScope() as scope:
                        await transport.send(prepared, max_bytes=100)
                    assert scope.cancelled_caught
                    assert all_free(transport)
                    assert open_sockets(transport) == len(pooled(transport)) == 0
            with anyio.fail_after(5):
                await transport.send(prepared, max_bytes=100)
    assert len(server.requests) == 1


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_cancelled_while_sending_a_large_body(tls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE)
    stop = anyio.Event()

    def deaf(conversation: Conversation) -> None:
        while not stop.is_set():
            time.sleep(0.005)

    with Server(deaf, tls=tls) as server:
        async with transport_for() as transport:
            prepared = prepare(transport, server.url, "POST", content=bytes(32 * MEGABYTE))
            sent: list[bool] = []
            await _stall(
                transport,
                lambda: bool(sent),
                lambda: transport.send(prepared, max_bytes=100, on_sent=lambda: sent.append(True)),
            )
        stop.set()
        await eventually(lambda: server.open == 0)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_cancelled_while_waiting_for_the_answer(tls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE)

    def think(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.wait_for_hang_up()

    await _stall_at_request(think, tls=tls)


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nContent-",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ],
)
async def test_cancelled_in_the_middle_of_the_answer(said: bytes) -> None:
    await _stall_at_request(saying(said, then_hang=True))


async def _stall_at_request(behaviour: Behaviour, *, tls: bool = False) -> None:
    with Server(behaviour, tls=tls) as server:
        async with transport_for() as transport:
            await _stall(
                transport,
                lambda: bool(server.requests),
                lambda: transport.send(prepare(transport, server.url), max_bytes=100),
            )
            await eventually(lambda: server.open == 0)


async def test_cancelled_between_the_pieces_of_a_stream() -> None:
    said = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"
    with Server(saying(said, then_hang=True)) as server:
        async with transport_for() as transport:
            pieces: list[bytes] = []

            async def read() -> None:
                async with transport.stream(prepare(transport, server.url)) as reply:
                    async for piece in reply.chunks():
                        pieces.append(piece)  # noqa: PERF401 - seen from outside while it grows

            await _stall(transport, lambda: bool(pieces), read)
            await eventually(lambda: server.open == 0)


async def test_cancelled_in_the_callers_own_block() -> None:
    with Server(answering(b"x" * 8 * MEGABYTE)) as server:  # more than fits between the two sides
        async with transport_for() as transport:
            inside: list[bool] = []

            async def hold() -> None:
                async with transport.stream(prepare(transport, server.url)) as reply:
                    async for _ in reply.chunks():
                        inside.append(True)
                        await anyio.sleep_forever()

            await _stall(transport, lambda: bool(inside), hold)
            await eventually(lambda: server.open == 0)


@pytest.mark.parametrize("kind", ["requests", "streams"])
async def test_cancelled_in_the_queue(kind: str) -> None:
    with Server(silent) as server:
        async with transport_for(limits=Limits(max_connections=1, max_streams=1)) as transport:

            async def call() -> None:
                prepared = prepare(transport, server.url)
                if kind == "requests":
                    await transport.send(prepared, max_bytes=100)
                else:
                    async with transport.stream(prepared):
                        pass

            slots = getattr(resources_of(transport), kind)
            async with anyio.create_task_group() as first, anyio.create_task_group() as second:
                first.start_soon(call)
                await eventually(lambda: server.open == 1)
                for _ in range(5):
                    second.start_soon(call)
                await eventually(lambda: slots.statistics().tasks_waiting == 5)
                second.cancel_scope.cancel()
                first.cancel_scope.cancel()
            assert all_free(transport)
            assert server.connections == 1
            await eventually(lambda: server.open == 0)


async def test_cancelled_just_as_the_slot_becomes_free() -> None:
    with Server(answering()) as server:
        async with transport_for(limits=Limits(max_connections=1)) as transport:
            prepared = prepare(transport, server.url)
            slots = resources_of(transport).requests
            await slots.acquire()
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: transport.send(prepared, max_bytes=100))
                await eventually(lambda: slots.statistics().tasks_waiting == 1)
                slots.release()
                group.cancel_scope.cancel()
            assert all_free(transport)


async def test_a_time_out_frees_the_slot_for_the_next_in_the_queue() -> None:
    with Server(silent) as server:
        async with transport_for(limits=Limits(max_connections=2)) as transport:
            prepared = prepare(transport, server.url, timeouts=Timeouts(5.0, 0.02, 5.0))

            async def call() -> None:
                with pytest.raises(errors.APITimeoutError):
                    await transport.send(prepared, max_bytes=100)

            with anyio.fail_after(5):
                async with anyio.create_task_group() as group:
                    for _ in range(6):
                        group.start_soon(call)
            assert all_free(transport)
