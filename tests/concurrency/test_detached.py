"""Tasks that are nobody's children: begun by one task, ended by another, and never left behind."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import anyio
import pytest
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from neuralbox._concurrency.detached import DetachedTaskGroup

WORD: ContextVar[str] = ContextVar("word")


class Work:
    """A task that says how it ended."""

    def __init__(self) -> None:
        self.tasks = DetachedTaskGroup()
        self.tasks.on_end = self.end
        self.story: list[str] = []

    def end(self) -> None:
        if "end" not in self.story:
            self.story.append("end")

    def begin(self, group: TaskGroup) -> None:
        group.start_soon(self._work)

    async def _work(self) -> None:
        self.story.append(WORD.get("none"))
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await checkpoint()
            self.story.append("left")


@pytest.mark.anyio
async def test_who_ends_it_need_not_have_begun_it_and_nothing_is_left() -> None:
    work = Work()
    WORD.set("hello")

    async def begin() -> None:
        await work.tasks.start(work.begin)

    async with anyio.create_task_group() as group:
        group.start_soon(begin)
    await anyio.wait_all_tasks_blocked()
    async with anyio.create_task_group() as group:
        group.start_soon(work.tasks.aclose)
    assert work.story == ["hello", "left", "end"]
    await work.tasks.aclose()


@pytest.mark.anyio
async def test_a_cancelled_caller_waits_for_the_end_all_the_same() -> None:
    work = Work()
    with anyio.CancelScope() as scope:
        await work.tasks.start(work.begin)
        await anyio.wait_all_tasks_blocked()
        scope.cancel()
        await work.tasks.aclose()
    assert work.story == ["none", "left", "end"]


@pytest.mark.anyio
async def test_one_that_is_ended_before_it_has_begun_ends() -> None:
    work = Work()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await work.tasks.start(work.begin)
    await work.tasks.aclose()
    assert work.story[-1] == "end"


@pytest.mark.anyio
async def test_what_a_task_raises_is_kept_for_who_ends_it() -> None:
    def begin(group: TaskGroup) -> None:
        group.start_soon(fail)

    async def fail() -> None:
        raise LookupError("mine")

    tasks = DetachedTaskGroup()
    await tasks.start(begin)
    await tasks.ended.wait()
    await tasks.aclose()
    with pytest.raises(BaseExceptionGroup) as caught:
        tasks.raise_error()
    assert caught.group_contains(LookupError)


def test_an_asyncio_task_cancelled_while_it_ends_it_is_cancelled_after_that() -> None:
    async def main() -> None:
        work = Work()
        await work.tasks.start(work.begin)
        await asyncio.sleep(0)
        end = asyncio.create_task(work.tasks.aclose())
        await asyncio.sleep(0)
        end.cancel()
        with pytest.raises(asyncio.CancelledError):
            await end
        assert work.story == ["none", "left", "end"]

    asyncio.run(main())


def test_the_end_of_the_event_loop_ends_it() -> None:
    for backend in ("asyncio", "trio"):
        work: list[Work] = []

        async def main(work: list[Work] = work) -> None:
            work.append(Work())
            await work[0].tasks.start(work[0].begin)
            await anyio.wait_all_tasks_blocked()

        anyio.run(main, backend=backend)
        assert work[0].story == ["none", "left", "end"]
        assert work[0].tasks.error is not None


def test_one_that_is_cancelled_before_its_first_step_has_ended() -> None:
    async def main() -> None:
        tasks = DetachedTaskGroup()
        start = asyncio.create_task(tasks.start(lambda _: None))
        await asyncio.sleep(0)
        for task in asyncio.all_tasks() - {start, asyncio.current_task()}:
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start
        await tasks.aclose()

    asyncio.run(main())
