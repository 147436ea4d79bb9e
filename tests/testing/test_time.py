"""Time for tests: fast, held, and given to clients. `tests/test_helpers.py` has the jumps of virtual time."""

from __future__ import annotations

import asyncio
import threading
import time as real_time
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import anyio
import pytest
import trio
from anyio.lowlevel import checkpoint
from outcome import Outcome

from neuralbox import AsyncNeuralBox, NeuralBox
from neuralbox.geminigen import AsyncGeminiGen
from neuralbox.testing import FastTime, VirtualTime, _time, using

Run: TypeAlias = Callable[[Coroutine[Any, Any, None]], None]
"""Runs a coroutine in a new event loop."""


@pytest.mark.anyio
async def test_virtual_time_is_held_while_a_thread_works_and_goes_on_while_that_waits() -> None:
    time, slept = VirtualTime(), anyio.Event()

    async def sleep() -> None:
        await time.sleep(60)
        slept.set()

    async with anyio.create_task_group() as group:
        group.start_soon(sleep)
        with time.busy():
            for _ in range(100):
                await checkpoint()
            assert not slept.is_set()
            with time.idle():
                await slept.wait()
    assert time.elapsed == 60


@pytest.mark.uncovered
@pytest.mark.anyio
async def test_thousands_of_pauses_end_in_order_and_cost_little() -> None:
    time, ended = VirtualTime(), list[int]()

    async def sleep(number: int) -> None:
        await time.sleep(number % 7 + number / 10_000)
        ended.append(number)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            for number in range(2_000):
                group.start_soon(sleep, number)
    assert ended == sorted(range(2_000), key=lambda number: number % 7 + number / 10_000)


@pytest.mark.anyio
async def test_the_clock_stands_while_any_task_runs() -> None:
    time, turns = VirtualTime(), 0

    async def work() -> None:
        nonlocal turns
        for turns in range(1, 61):  # noqa: B007
            await checkpoint()
            assert time.elapsed == 0

    async with anyio.create_task_group() as group:
        group.start_soon(time.sleep, 1)
        group.start_soon(work)
    assert (turns, time.elapsed) == (60, 1)


@pytest.mark.anyio
async def test_the_clock_goes_on_when_the_last_that_was_busy_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_time, "_BUSY_SECONDS", 60.0)  # so that it is told, and does not look by itself
    time, ends = VirtualTime(), list[str]()

    async def work() -> None:
        with time.busy():
            with time.busy(), time.idle():  # the outer one is busy still
                await checkpoint()
            await anyio.sleep(0.005)
            assert time.elapsed == 0
            with time.idle():
                await time.sleep(1)
            ends.append("work")

    async def wait() -> None:
        await time.wait_until(anyio.Event(), 3)
        ends.append("wait")

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(time.sleep, 2)
            group.start_soon(wait)
            group.start_soon(work)
    assert (time.elapsed, ends) == (3, ["work", "wait"])


@pytest.mark.anyio
async def test_a_driver_that_is_cancelled_passes_the_clock_on() -> None:
    time = VirtualTime()
    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            group.start_soon(time.sleep, 60)
            group.start_soon(time.sleep, 30)
            with time.busy():

                async def cancel() -> None:
                    for _ in range(20):
                        await checkpoint()
                    scope.cancel()

                group.start_soon(cancel)
                await time.sleep(1)
        assert time.elapsed == 0
    assert time.elapsed == 60


def run_together(
    time: VirtualTime, run: Run, work: Callable[[float], Coroutine[Any, Any, None]], *seconds: float
) -> None:
    """Run one task for each of these seconds, every one in a thread and a loop of its own that all know the clock first."""
    threads = [threading.Thread(target=lambda each=each: run(work(each))) for each in seconds]
    with time.busy():
        for thread in threads:
            thread.start()
        while len(time._loops) < len(threads):
            real_time.sleep(0.001)
    for thread in threads:
        thread.join(10)


@pytest.mark.parametrize("run", [asyncio.run, lambda sleeping: trio.run(lambda: sleeping)])
def test_two_loops_share_one_clock(run: Run) -> None:
    time, ends = VirtualTime(), dict[float, float]()

    async def sleep(seconds: float) -> None:
        await time.sleep(seconds)
        ends[seconds] = time.elapsed

    run_together(time, run, sleep, 60.0, 1.0)
    assert ends == {1.0: 1.0, 60.0: 60.0}
    assert all(not timers.is_running() for timers in time._loops.values())  # so neither holds the clock of others


@pytest.mark.parametrize("run", [asyncio.run, lambda working: trio.run(lambda: working)])
def test_the_clock_stands_while_a_task_of_another_loop_runs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    time, seen, looks = VirtualTime(), list[float](), threading.Semaphore(0)
    hold_back = _time._Timers.hold_back

    def counted(self: _time._Timers, due: float) -> bool:
        looks.release()
        return hold_back(self, due)

    monkeypatch.setattr(_time._Timers, "hold_back", counted)

    def compute() -> None:
        while looks.acquire(blocking=False):
            pass
        for _ in range(3):  # of the other loop, which after one of them would have moved on
            assert looks.acquire(timeout=10)

    async def work(seconds: float) -> None:
        for _ in range(3):
            await time.sleep(seconds)
            if seconds == 1.0:
                compute()
            seen.append(time.elapsed)

    run_together(time, run, work, 60.0, 1.0)
    assert seen == [1.0, 2.0, 3.0, 60.0, 120.0, 180.0]


@pytest.mark.parametrize("run", [asyncio.run, lambda waiting: trio.run(lambda: waiting)])
def test_a_loop_that_waits_for_another_does_not_hold_its_clock_for_ever(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_time, "_AT_WORK_SECONDS", 0.01)
    time = VirtualTime()

    async def wait_in_another_thread() -> None:
        await time.sleep(1)
        thread = threading.Thread(target=lambda: run(time.sleep(5)))
        thread.start()
        thread.join(10)  # blocks this loop, as a call of a blocking client does
        assert not thread.is_alive()
        assert time.elapsed == 6

    run(wait_in_another_thread())


def test_a_loop_that_stands_still_does_not_hold_the_clock_of_others() -> None:
    time, loop = VirtualTime(), asyncio.new_event_loop()
    earlier = loop.create_task(time.sleep(1))
    loop.run_until_complete(asyncio.sleep(0))
    asyncio.run(time.sleep(60))
    assert time.elapsed == 60
    loop.run_until_complete(earlier)
    loop.close()


@pytest.mark.anyio
async def test_a_task_that_spins_until_it_sees_something_does_not_stop_the_clock() -> None:
    time = VirtualTime()
    async with anyio.create_task_group() as group:
        group.start_soon(time.sleep, 5)
        group.start_soon(time.sleep, 7)
        while time.elapsed < 7:
            await checkpoint()


@pytest.mark.anyio
@pytest.mark.parametrize("turns", range(96, 106))
async def test_a_clock_that_moves_while_an_event_happens_wakes_its_task_once(turns: int) -> None:
    time, event, ended = VirtualTime(), anyio.Event(), list[float]()

    async def wait() -> None:
        await time.wait_until(event, 1)
        ended.append(time.elapsed)

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        for _ in range(turns):  # about as many as the clock stands still for
            await checkpoint()
        event.set()
    assert ended in ([0.0], [1.0])


def test_a_loop_that_hides_what_is_ready_gets_some_turns() -> None:
    time, turns = VirtualTime(), 0

    async def main() -> None:
        nonlocal turns
        timers = time._loops[asyncio.get_running_loop()] = _time._TimersOnAsyncio(time)
        timers._ready = None
        pause = asyncio.create_task(time.sleep(5))
        for turns in range(1, 9):  # noqa: B007
            await checkpoint()
            assert time.elapsed == 0
        await pause

    asyncio.run(main())
    assert (turns, time.elapsed) == (8, 5)


def test_pauses_of_a_trio_that_is_the_guest_of_asyncio_are_its_own() -> None:
    time = VirtualTime()

    async def main() -> None:
        ended: asyncio.Future[Outcome[None]] = asyncio.Future()
        trio.lowlevel.start_guest_run(
            time.sleep,
            5,
            run_sync_soon_threadsafe=asyncio.get_running_loop().call_soon_threadsafe,
            done_callback=ended.set_result,
        )
        (await ended).unwrap()

    asyncio.run(main())
    assert time.elapsed == 5


@pytest.mark.anyio
async def test_a_wait_that_is_cancelled_leaves_its_event_alone() -> None:
    time, event, ended = VirtualTime(), anyio.Event(), list[str]()

    async def wait() -> None:
        await time.wait_until(event, 60)
        ended.append("wait")

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        with anyio.move_on_after(0):
            await time.wait_until(event, 30)
            ended.append("never")
        await time.wait_until(event, 10)
        assert (time.elapsed, event.statistics().tasks_waiting) == (10, 1)
        event.set()
    assert (ended, time.elapsed) == (["wait"], 10)
    await time.wait_until(event, 5)
    assert time.elapsed == 10


@pytest.mark.anyio
async def test_fast_time_passes_quicker_than_the_clock_and_pauses_are_shorter() -> None:
    time, began = FastTime(1_000), real_time.monotonic()
    clock, now = time.clock(), time.now()
    await time.sleep(5)
    await time.wait_until(anyio.Event(), 5)
    assert real_time.monotonic() - began < 2
    assert time.clock() - clock >= 10
    assert time.now() - now >= 10
    assert 10 <= time.elapsed <= time.clock()


@pytest.mark.anyio
async def test_fast_time_waits_no_longer_than_for_the_event() -> None:
    event = anyio.Event()
    event.set()
    with anyio.fail_after(5):
        await FastTime(1).wait_until(event, 3_600)


@pytest.mark.anyio
async def test_clients_made_inside_the_block_have_that_time_and_others_have_not() -> None:
    time = VirtualTime(random_value=0.25)
    with using(time):
        ours = AsyncNeuralBox(api_key="nb_x"), AsyncGeminiGen(api_key="nb_x")
    other = AsyncNeuralBox(api_key="nb_x")
    assert [client._core.random() for client in ours] == [0.25, 0.25]
    assert other._core.time_source is not ours[0]._core.time_source
    assert ours[0].with_options(max_retries=0)._core.random() == 0.25


def test_blocking_clients_have_it_too() -> None:
    time = VirtualTime()
    with using(time), NeuralBox(api_key="nb_x") as nb:
        assert nb._async._core.now() == time.now()
