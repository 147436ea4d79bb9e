"""What must happen in a thread happens once, though the asyncio task that waits for it is cancelled again and again."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from anyio import CancelScope

from neuralbox._concurrency.worker_thread import run_to_end
from tests.archive.support import Service
from tests.files.storage import leftovers
from tests.helpers import make_client

pytestmark = pytest.mark.anyio


async def test_it_is_done_though_the_scope_is_cancelled() -> None:
    done: list[int] = []
    with CancelScope() as scope:
        scope.cancel()
        await run_to_end(lambda: done.append(1))
    assert done == [1]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_it_is_done_once_though_the_task_is_cancelled_before_and_in_the_thread(anyio_backend: str) -> None:
    is_begun, may_end, done = threading.Event(), threading.Event(), list[int]()

    def act() -> None:
        is_begun.set()
        may_end.wait(60)
        done.append(1)

    task = asyncio.create_task(run_to_end(act))
    await asyncio.sleep(0)
    task.cancel()  # no thread has it yet
    while not is_begun.is_set():  # noqa: ASYNC110 - a thread's
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == [1]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("what", ["export", "download"])
async def test_a_task_that_is_cancelled_again_and_again_leaves_nothing(
    what: str, anyio_backend: str, tmp_path: Path
) -> None:
    service = Service()
    for number in range(3):
        url = service.image(number)
    async with make_client(service) as nb:
        for steps in range(0, 60, 3):

            async def work() -> None:
                if what == "export":
                    await nb.history.export(tmp_path / "h.jsonl", overwrite=True)
                else:
                    await nb.files.download(url, tmp_path, overwrite=True)

            task = asyncio.create_task(work())
            for _ in range(steps):
                await asyncio.sleep(0)
            for _ in range(3):
                task.cancel()
                await asyncio.sleep(0)
            await asyncio.wait([task])
            assert leftovers(tmp_path) == []
