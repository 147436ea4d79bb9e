"""What a waiting job costs: bytes while it is asleep, after some rounds of polls."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from neuralbox._core.exchange import Core
from neuralbox._models.generation import Generation
from neuralbox._polling.job import Job
from neuralbox._polling.many import wait_all

from ..service import a_service

pytestmark = [pytest.mark.anyio, pytest.mark.uncovered]

COUNT = 150


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Only asyncio: a task of trio's is larger, and the budget was set for asyncio."""
    return request.param


async def bytes_per_job(start: Callable[[Core], list[Coroutine[Any, Any, Any]]]) -> float:
    """What each of `COUNT` jobs adds while it is waited for."""
    async with a_service(latency=0) as service:
        core = service.core(seed=1)
        for number in range(COUNT):
            service.job(number, 1e9, progress=number % 100)
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            tasks = [asyncio.create_task(wait) for wait in start(core)]
            await service.time.sleep(20)  # some rounds, so that what a poll leaves behind would show
            assert len(service.asked) >= 2 * COUNT
            service.asked.clear()
            gc.collect()
            added = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return added / COUNT


async def test_a_wait_in_a_task_of_its_own_adds_at_most_8_kb() -> None:
    def start(core: Core) -> list[Coroutine[Any, Any, Any]]:
        pending = ({"id": number, "status": "pending"} for number in range(COUNT))
        return [Job(core, generation=Generation.read(record)).wait() for record in pending]

    assert await bytes_per_job(start) < 8 * 1024


async def test_a_job_in_a_wait_for_many_adds_at_most_5_kb() -> None:
    assert await bytes_per_job(lambda core: [wait_all(core, range(COUNT))]) < 5 * 1024
