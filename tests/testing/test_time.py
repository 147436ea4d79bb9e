"""Time for tests: fast, held, and given to clients. `tests/test_helpers.py` has the jumps of virtual time."""

from __future__ import annotations

import time as real_time

import anyio
import pytest
from anyio.lowlevel import checkpoint

from neuralbox import AsyncNeuralBox, NeuralBox
from neuralbox.geminigen import AsyncGeminiGen
from neuralbox.testing import FastTime, VirtualTime, using

pytestmark = pytest.mark.anyio


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


async def test_fast_time_passes_quicker_than_the_clock_and_pauses_are_shorter() -> None:
    time, began = FastTime(1_000), real_time.monotonic()
    clock, now = time.clock(), time.now()
    await time.sleep(5)
    await time.wait_until(anyio.Event(), 5)
    assert real_time.monotonic() - began < 2
    assert time.clock() - clock >= 10
    assert time.now() - now >= 10


async def test_fast_time_waits_no_longer_than_for_the_event() -> None:
    event = anyio.Event()
    event.set()
    with anyio.fail_after(5):
        await FastTime(1).wait_until(event, 3_600)


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
