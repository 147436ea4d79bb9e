"""What tells the time outside of tests."""

from __future__ import annotations

import time

import anyio
import pytest

from neuralbox._core.exchange import TimeSource

pytestmark = pytest.mark.anyio


async def test_a_wait_ends_with_its_event() -> None:
    event = anyio.Event()

    async def ring() -> None:
        event.set()

    async with anyio.create_task_group() as group:
        group.start_soon(ring)
        await TimeSource().wait_until(event, 60.0)
    assert event.is_set()


async def test_a_wait_ends_with_its_limit_and_an_event_that_has_happened_ends_it_at_once() -> None:
    await TimeSource().wait_until(anyio.Event(), 0.001)
    await TimeSource().wait_until(anyio.Event(), 0.0)
    happened = anyio.Event()
    happened.set()
    await TimeSource().wait_until(happened, 60.0)


async def test_the_clocks_are_those_of_the_machine() -> None:
    time_source = TimeSource()
    before = time.monotonic(), time.time()
    await time_source.sleep(0.001)
    assert time_source.clock() > before[0]
    assert time_source.now() >= before[1]
    assert 0.0 <= time_source.random() < 1.0
