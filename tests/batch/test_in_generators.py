"""A batch's block in an async generator, and in the hands of several tasks: its tasks are nobody's children."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator

import anyio
import pytest
from anyio.lowlevel import checkpoint

from neuralbox._batch.batch import Batch
from neuralbox._batch.outcome import BatchOutcome
from neuralbox._batch.resource import Batches
from neuralbox._polling.account_pollers import poller_of

from ..service import Service
from .support import a_service, batches, images, videos


async def results(batch: Batch) -> AsyncIterator[BatchOutcome]:
    async with batch as run:
        async for outcome in run:
            yield outcome


def is_over(world: Service, home: Batches) -> bool:
    return world.selling == 0 and not poller_of(home._core).jobs


@pytest.mark.anyio
async def test_a_generator_that_is_left_early_cancels_nobody() -> None:
    world = a_service(seconds=60)
    home = batches(world)
    batch = home([*images(1), *videos(5)])
    generator = results(batch)
    async for _ in generator:
        break
    await checkpoint()
    await world.time.sleep(1)
    await generator.aclose()  # type: ignore[attr-defined]  # it is a generator
    await checkpoint()
    assert is_over(world, home)
    assert len(batch.unfinished) == len(world.ledger) - 1


@pytest.mark.anyio
async def test_a_generator_that_is_left_early_waits_for_the_ids_of_what_is_on_its_way() -> None:
    world = a_service(holds=2.0, seconds=60)
    batch = batches(world)(videos(3))

    async def one() -> AsyncIterator[int]:
        async with batch:
            yield 1

    generator = one()
    await anext(generator)
    while world.selling < 3:
        await checkpoint()
    await generator.aclose()  # type: ignore[attr-defined]  # it is a generator
    assert len(batch.unfinished) == len(world.ledger) == 3


@pytest.mark.anyio
async def test_the_block_is_entered_and_left_by_different_tasks() -> None:
    world = a_service(seconds=60)
    home = batches(world)
    batch = home(videos(5))

    async def enter() -> None:
        await batch.__aenter__()

    async def leave() -> None:
        await batch.__aexit__(None, None, None)

    for step in (enter, leave):
        async with anyio.create_task_group() as group:
            group.start_soon(step)
    assert is_over(world, home)


@pytest.mark.anyio
async def test_a_limit_inside_the_generator_ends_the_generators_own_step_only() -> None:
    world = a_service(holds=100.0)
    home = batches(world)
    generator = results(home(videos(2)))

    async def step() -> None:
        await anext(generator)

    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(step)
            while world.selling < 2:
                await checkpoint()
            scope.cancel()
    await checkpoint()
    assert is_over(world, home)


def test_a_generator_that_is_dropped_is_closed_by_another_task() -> None:
    async def main() -> None:
        world = a_service(seconds=60)
        home = batches(world)

        async def first() -> BatchOutcome:
            async for outcome in results(home([*images(1), *videos(5)])):
                return outcome
            raise AssertionError

        assert (await first()).ok
        gc.collect()
        for _ in range(100):
            await asyncio.sleep(0)
        assert is_over(world, home)

    asyncio.run(main())


def test_the_end_of_the_loop_ends_a_run_that_nobody_left() -> None:
    world = a_service(holds=100.0)
    home = batches(world)

    async def main() -> None:
        await home(videos(2)).__aenter__()
        while world.selling < 2:
            await checkpoint()

    asyncio.run(main())
    assert world.selling == 0


def test_a_consumer_of_a_run_whose_tasks_were_cancelled_is_told() -> None:
    async def main() -> None:
        world = a_service(holds=100.0)
        async with batches(world)(videos(2)) as run:
            while world.selling < 2:
                await checkpoint()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await anext(run)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())


def test_the_end_of_the_loop_while_a_block_is_entered_hangs_nobody() -> None:
    async def main() -> None:
        entering = asyncio.create_task(batches(a_service())(videos(2)).__aenter__())
        await asyncio.sleep(0)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering

    asyncio.run(main())
