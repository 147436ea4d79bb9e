"""What a batch keeps: little for each job that is waited for, and nothing for what was handed out."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest

from neuralbox._requests.requests import ImageRequest, VideoRequest
from neuralbox._transport.base import Reply

from ..helpers import Sent, reply
from ..service import Service
from .support import USUAL, batches

pytestmark = [pytest.mark.anyio, pytest.mark.uncovered]


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Only asyncio: the budgets were set for it."""
    return request.param


class Forgetful(Service):
    """A service that remembers nothing, so that all memory is the batch's."""

    sold = 0

    async def _sell(self, sent: Sent, on_sent: Callable[[], None] | None) -> Reply:
        self.sold += 1
        await anyio.lowlevel.checkpoint()
        record = {"id": f"gen_{self.sold:08d}", "status": "pending", "type": "video", "eta_seconds": 60, "progress": 3}
        if "kling" not in sent.json["model"]:
            record = {"id": self.sold, "status": "completed", "url": "http://f.test/1.webp", "tokens_spent": 4}
        return reply(200, record)


async def test_a_job_that_is_waited_for_costs_at_most_2_kb_with_its_request() -> None:
    count = 500
    world = Forgetful(**USUAL)

    def requests() -> Iterator[VideoRequest]:
        for number in range(count):
            yield VideoRequest(model="kling-v2.1", prompt=f"film {number}", key=f"key-{number}", duration=5)

    gc.collect()
    tracemalloc.start()
    try:
        async with batches(world)(requests(), max_in_flight=count) as run:
            while run.progress.waiting < count // 10:
                await anyio.lowlevel.checkpoint()
            gc.collect()
            before, first = tracemalloc.get_traced_memory()[0], run.progress.waiting
            while run.progress.waiting < count:
                await anyio.lowlevel.checkpoint()
            gc.collect()
            added = tracemalloc.get_traced_memory()[0] - before
        assert len(run.unfinished) == count
    finally:
        tracemalloc.stop()
    assert added / (count - first) < 2_048


async def test_memory_does_not_grow_with_the_number_of_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "neuralbox._submissions.owned.MOST_OWNED", 200
    )  # its own bound, and full before the first count
    world = Forgetful(**USUAL)
    peaks: dict[int, int] = {}

    def requests() -> Iterator[ImageRequest]:
        for number in range(1_500):
            yield ImageRequest(model="flux-1.1-pro", prompt=f"picture {number}")

    tracemalloc.start()
    try:
        done = 0
        async with batches(world)(requests(), max_in_flight=50) as run:
            async for _ in run:
                done += 1
                if done in (500, 1_500):
                    gc.collect()
                    peaks[done] = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert peaks[1_500] - peaks[500] < 200_000
