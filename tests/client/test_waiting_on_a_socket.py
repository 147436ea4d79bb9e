"""Sweeps against the sandbox, on a real socket: many videos at the price of a few requests."""

from __future__ import annotations

from typing import Any

import pytest

from neuralbox._client import AsyncNeuralBox
from neuralbox._config import Polling
from neuralbox.sandbox import Sandbox, serve

pytestmark = [pytest.mark.anyio, pytest.mark.uncovered]

VIDEOS = 150


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Only asyncio, for it takes seconds: `tests/polling/test_listing.py` has both, in virtual time."""
    return request.param


@pytest.mark.parametrize(
    ("detail", "history", "lag", "most"),
    [("status", "seed", 0.0, 2.5), ("listing", "page", 0.0, 1.9), ("status", "seed", 1.0, 5.0)],
    ids=["status", "listing", "lag"],
)
async def test_many_videos_cost_a_submission_a_poll_and_a_few_pages(
    detail: Any, history: Any, lag: float, most: float
) -> None:
    """Durations are minutes at the service and a second or so here; the pauses are shortened alike."""
    polling = Polling(timeout=60, min_interval=0.4, max_interval=2.0, detail=detail)
    sandbox = Sandbox(
        speed=60,
        history=history,
        dialect="A" if history == "page" else "B",
        balance=1_000_000,
        faults={"listing-lag": lag},
    )
    with serve(sandbox) as server:
        async with AsyncNeuralBox(api_key="nb_test", base_url=server.url, polling=polling) as nb:
            jobs = [await nb.videos.submit(model="kling-v2.1", prompt=f"Wave {number}") for number in range(VIDEOS)]
            videos = await nb.generations.wait(jobs)
    asked = sandbox.ledger.requests_by_route
    assert all(video.is_completed and video.url and video.tokens for video in videos)
    assert asked["POST /generate"] == VIDEOS
    assert asked["GET /user/history"] <= 100
    assert sum(asked.values()) <= most * VIDEOS, asked
