from __future__ import annotations

import asyncio
import gc
import threading
import warnings
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
import pytest
import trio

from neuralbox._concurrency.per_loop import Home, PerLoop, has_ended, running_loop
from neuralbox._concurrency.single_flight import ThreadsafeEvent
from neuralbox._transport import HttpxTransport, Limits, build_transport

from ..transport.servers import CERTIFICATE, Server, answering, eventually, silent
from ..transport.support import MEGABYTE, engine_of, open_sockets, prepare


def run_asyncio(function: Callable[[], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        return await function()

    return asyncio.run(main())


RUNNERS = [pytest.param(run_asyncio, id="asyncio"), pytest.param(trio.run, id="trio")]


@pytest.mark.parametrize("run", RUNNERS)
def test_a_loop_keeps_its_value_and_every_loop_has_its_own(run: Callable[..., Any]) -> None:
    values: PerLoop[list[int]] = PerLoop()

    async def twice() -> list[int]:
        first = values.get(list)
        assert values.get(lambda: pytest.fail("made already")) is first
        return first

    assert run(twice) is not run(twice)


async def go_on() -> Home:
    home = Home()
    assert not home.is_gone
    return home


@pytest.mark.parametrize("run", RUNNERS)
def test_what_goes_on_in_a_loop_is_gone_when_that_ends(run: Callable[..., Any]) -> None:
    home = run(go_on)
    assert (home.is_gone, home.has_ended) == (True, True)


def test_what_goes_on_is_gone_in_a_forked_child_and_has_not_ended_there(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, here = asyncio.new_event_loop(), Home()
    home = loop.run_until_complete(go_on())
    assert [each.is_gone for each in (home, here)] == [False, False]
    monkeypatch.setattr("os.getpid", lambda: 0)
    assert [(each.is_gone, each.has_ended) for each in (home, here)] == [(True, False)] * 2
    loop.close()


@pytest.mark.parametrize("run", RUNNERS)
def test_an_event_whose_loop_is_gone_is_rung_for_nobody(run: Callable[..., Any]) -> None:
    async def wait() -> ThreadsafeEvent:
        return ThreadsafeEvent()

    event = run(wait)
    event.ring()
    assert not event.event.is_set()


def test_outside_a_loop_there_is_no_value() -> None:
    values: PerLoop[list[int]] = PerLoop()
    with pytest.raises(anyio.NoEventLoopError):
        values.get(list)


@pytest.mark.parametrize("run", RUNNERS)
def test_the_value_of_a_loop_that_ended_is_abandoned_at_the_next_first_use(run: Callable[..., Any]) -> None:
    abandoned: list[object] = []
    values: PerLoop[object] = PerLoop(abandoned.append)

    async def use() -> object:
        return values.get(object)

    first = run(use)
    gc.collect()  # trio's token goes
    assert abandoned == []
    run(use)
    assert abandoned == [first]


def test_a_value_taken_out_is_not_abandoned() -> None:
    values: PerLoop[object] = PerLoop(lambda value: pytest.fail("taken out before"))

    async def use() -> None:
        value = values.get(object)
        assert values.pop() is value
        assert values.pop() is None

    run_asyncio(use)
    values.drop_dead()


def test_values_are_kept_only_as_long_as_their_loop() -> None:
    values: PerLoop[list[int]] = PerLoop()

    async def use() -> weakref.ref[Any]:
        values.get(list)
        return weakref.ref(running_loop())

    loop = run_asyncio(use)
    gc.collect()
    assert loop() is None
    values.drop_dead()  # nothing to abandon, nobody to tell


def test_a_loop_that_merely_rests_has_not_ended() -> None:
    loop = asyncio.new_event_loop()
    try:
        assert not has_ended(loop)
    finally:
        loop.close()
    assert has_ended(loop)


async def _trios_token() -> Any:
    token = running_loop()
    assert not has_ended(token)
    return token


def test_trios_token_tells_whether_its_run_is_over() -> None:
    assert has_ended(trio.run(_trios_token))


# The transport over several loops.


def fetch(transport: HttpxTransport, url: str) -> Callable[[], Awaitable[bytes]]:
    async def once() -> bytes:
        reply = await transport.send(prepare(transport, url), max_bytes=MEGABYTE)
        assert open_sockets(transport) == 1
        return reply.content

    return once


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_one_client_serves_loop_after_loop_and_leaves_no_socket_of_the_old_ones(
    tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE)
    with Server(answering(), tls=tls) as server:
        transport = build_transport(limits=Limits())
        once = fetch(transport, server.url)
        for run in (run_asyncio, run_asyncio, trio.run, trio.run, run_asyncio):
            assert run(once) == b'{"ok": true}'
            _wait_until(lambda: server.open == 1)  # this loop's own; those of the loops before are closed

        async def last() -> None:
            await once()
            await transport.aclose()

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run_asyncio(last)
            gc.collect()
        _wait_until(lambda: server.open == 0)
        assert server.connections == 6


def test_closing_in_another_loop_closes_the_sockets_of_loops_that_ended() -> None:
    with Server(answering()) as server:
        transport = build_transport(limits=Limits())
        run_asyncio(fetch(transport, server.url))
        trio.run(fetch(transport, server.url))
        trio.run(transport.aclose)
        _wait_until(lambda: server.open == 0)


def test_a_loop_alive_in_another_thread_keeps_its_connections() -> None:
    used, done = threading.Event(), threading.Event()
    with Server(answering()) as server:
        transport = build_transport(limits=Limits())

        async def stay() -> None:
            prepared = prepare(transport, server.url)
            await transport.send(prepared, max_bytes=100)
            used.set()
            await anyio.to_thread.run_sync(done.wait)
            await transport.send(prepared, max_bytes=100)
            assert engine_of(transport).pools["http"].connections[0].info().endswith("Request Count: 2")

        for run in (run_asyncio, trio.run):
            thread = threading.Thread(target=run, args=(stay,))
            thread.start()
            assert used.wait(5)
            run_asyncio(fetch(transport, server.url))
            trio.run(fetch(transport, server.url))
            done.set()
            thread.join(5)
            assert not thread.is_alive()
            used.clear()
            done.clear()
        run_asyncio(transport.aclose)


def test_a_loop_closed_over_unfinished_calls_is_cleared_up_too() -> None:
    with Server(silent) as server:
        transport = build_transport(limits=Limits())
        loop = asyncio.new_event_loop()
        task = loop.create_task(transport.send(prepare(transport, server.url), max_bytes=100))
        while server.open == 0:
            loop.run_until_complete(asyncio.sleep(0.001))
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()
        run_asyncio(transport.aclose)
        _wait_until(lambda: server.open == 0)
        # asyncio and httpcore2 would complain of what the test did to the task, not of the sockets.
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        with suppress(RuntimeError):
            task.get_coro().close()


def _wait_until(condition: Callable[[], bool]) -> None:
    run_asyncio(lambda: eventually(condition))
