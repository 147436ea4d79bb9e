"""A stream inside an async generator of the user's: leaving it early, or in another task, ends nobody else."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tests.helpers import Bench

from .test_stream import DONE, END, START, bench, delta, stream, text_stream

pytestmark = pytest.mark.anyio


async def pieces_of(core: Bench) -> AsyncGenerator[str, None]:
    async with text_stream(core) as open_stream:
        async for piece in open_stream:
            yield piece


@pytest.mark.parametrize("options", [{}, {"deadline": 60.0}])
async def test_leaving_a_generator_that_wraps_a_stream_does_not_cancel_its_caller(options: dict[str, float]) -> None:
    core = bench(stream(START, delta("Good"), delta(" morning"), END, DONE), **options)
    pieces = pieces_of(core)
    async for piece in pieces:
        assert piece == "Good"
        break
    await checkpoint()
    await pieces.aclose()
    await checkpoint()
    assert core.transport.open_streams == 0


@pytest.mark.parametrize("options", [{}, {"deadline": 60.0}])
async def test_a_generator_that_wraps_a_stream_may_be_left_in_another_task(options: dict[str, float]) -> None:
    core = bench(stream(START, delta("Good"), delta(" morning"), END, DONE), **options)
    pieces = pieces_of(core)
    assert await anext(pieces) == "Good"
    async with anyio.create_task_group() as group:
        group.start_soon(pieces.aclose)
    await checkpoint()
    assert core.transport.open_streams == 0


@pytest.mark.parametrize("options", [{}, {"deadline": 60.0}])
async def test_a_block_may_be_entered_read_and_left_in_different_tasks(options: dict[str, float]) -> None:
    core = bench(stream(START, delta("Good"), END, DONE), **options)
    open_stream = text_stream(core)
    async with anyio.create_task_group() as group:
        group.start_soon(open_stream.__aenter__)
    async with anyio.create_task_group() as group:
        group.start_soon(open_stream.collect)
    async with anyio.create_task_group() as group:
        group.start_soon(open_stream.__aexit__, None, None, None)
    await checkpoint()
    assert open_stream.result.text == "Good"
    assert core.transport.open_streams == 0
