"""One rate limiter of an account for all its loops, threads and processes: what one that is gone had sent counts."""

from __future__ import annotations

import asyncio
from threading import Thread

import anyio
import pytest

from neuralbox._concurrency.per_loop import Home
from neuralbox._concurrency.single_flight import ThreadsafeEvent
from neuralbox._errors import RateLimitError
from neuralbox._rate_limit.limiter import RateLimiter, limiter_of
from neuralbox._rate_limit.windows import AWAIT_ANSWERS, Window, Windows
from tests.helpers import make_core

from .support import Waits

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("is_forked", [False, True])
def test_what_had_left_in_a_loop_or_a_process_that_is_gone_counts_as_sent(
    *, is_forked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, limiter, loop = make_core([]), RateLimiter(), asyncio.new_event_loop()
    limiter.windows = Windows(Window(100, 1, bench.core.clock() + 1_800), known=True, noted_at=bench.core.clock())

    async def leave() -> None:
        await limiter.acquire(bench.core)
        limiter._throttled[ThreadsafeEvent()] = AWAIT_ANSWERS
        limiter.readers[Waits(3)] = Home()

    async def come_after() -> None:
        with anyio.fail_after(5), pytest.raises(RateLimitError):
            await limiter.acquire(bench.core, max_throttle_wait=60.0)

    loop.run_until_complete(leave())
    if is_forked:
        monkeypatch.setattr("os.getpid", lambda: 0)
    else:
        loop.close()
    asyncio.run(come_after())
    assert not [*limiter.under_way, *limiter.readers, *limiter._throttled]
    assert limiter.windows.hour is not None
    assert limiter.windows.hour.remaining == 0
    loop.close()


@pytest.mark.parametrize("ends_in", [None, 1_800.0])
def test_what_is_under_way_in_a_loop_that_is_closed_meanwhile_is_waited_for_no_more(ends_in: float | None) -> None:
    bench, limiter, loop = make_core([]), RateLimiter(), asyncio.new_event_loop()
    clock = bench.core.clock()
    ends_at = None if ends_in is None else clock + ends_in
    limiter.windows = Windows(Window(100, 1, ends_at), known=True, noted_at=clock)

    async def come() -> None:
        with anyio.fail_after(5), pytest.raises(RateLimitError):
            await limiter.acquire(bench.core, max_throttle_wait=60.0)

    async def come_before() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(come)
            await bench.time.sleep(20.0)
            assert len(limiter.under_way) == 1
            loop.close()

    loop.run_until_complete(limiter.acquire(bench.core))
    asyncio.run(come_before())
    assert not limiter.under_way
    assert 20.0 <= bench.time.elapsed <= 26.0


def test_who_waits_for_its_own_loop_hears_that_another_took_what_is_left_and_is_closed() -> None:
    bench, limiter, loop = make_core([]), RateLimiter(), asyncio.new_event_loop()
    core = bench.core
    limiter.windows = Windows(Window(10, 10, core.clock() + 1_800.0), known=True, noted_at=core.clock())

    async def come() -> None:
        with anyio.fail_after(5), pytest.raises(RateLimitError):
            await limiter.acquire(core, spread=True, max_throttle_wait=60.0)

    async def take_the_rest() -> None:
        for _ in range(7):
            await limiter.acquire(core)

    async def come_before() -> None:
        ours = [await limiter.acquire(core, spread=True) for _ in range(3)]
        async with anyio.create_task_group() as group:
            group.start_soon(come)
            await bench.time.sleep(1.0)
            thread = Thread(target=loop.run_until_complete, args=[take_the_rest()])
            thread.start()
            thread.join()
            for permit in ours:
                permit.release()
            await bench.time.sleep(1.0)
            loop.close()

    asyncio.run(come_before())
    assert bench.time.elapsed <= 10.0


async def test_the_last_of_a_crowd_that_is_answered_in_another_thread_is_not_waited_for() -> None:
    bench, limiter = make_core([]), RateLimiter()
    with anyio.fail_after(5):
        await limiter._throttle(bench.core, AWAIT_ANSWERS)


def test_copies_of_a_client_share_a_rate_limiter_and_other_accounts_do_not() -> None:
    one, other = make_core([]).core, make_core([]).core
    assert limiter_of(one) is limiter_of(one.with_options(one.options.with_changes(max_retries=9)))
    assert limiter_of(one) is not limiter_of(other)
