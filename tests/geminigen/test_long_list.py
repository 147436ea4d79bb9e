"""Waiting by a list that others fill: it is left to polls of each job where it has become longer than there are jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from neuralbox.testing import VirtualTime

from .support import client

OURS = [f"00000000-0000-4000-8000-{number:012}" for number in range(7)]
SIZE = 100
# How many of ours stand on which page, first among few, and then with a flood of others between them.
SHORT = {1: 2, 2: 1, 3: 1, 4: 3}
LONG = {1: 1, 3: 1, 4: 1, 5: 1, 6: 1, 7: 1, 9: 1}


@pytest.mark.anyio
async def test_a_list_with_more_pages_than_jobs_is_not_read_to_its_end_and_each_job_is_polled_by_itself() -> None:
    time = VirtualTime()
    begun = time.clock()
    pages: list[tuple[float, int]] = []
    polls: dict[str, list[float]] = {uuid: [] for uuid in OURS}

    def item(uuid: str) -> dict[str, Any]:
        is_done = time.clock() - begun > 100
        url = f"http://cdn.test/{uuid}.mp4" if is_done else ""
        return {"uuid": uuid, "type": "video", "status": 2 if is_done else 1, "generate_result": url, "used_credit": 20}

    def page_of(layout: Mapping[int, int], number: int) -> list[dict[str, Any]]:
        before = sum(count for page, count in layout.items() if page < number)
        ours = OURS[before : before + layout.get(number, 0)]
        others = [f"other-{number}-{place}" for place in range(SIZE - len(ours))]
        return [item(uuid) for uuid in [*ours, *others]]

    def answer(request: httpx.Request) -> httpx.Response:
        name = request.url.path.rpartition("/")[2]
        if name in polls:
            polls[name].append(time.clock() - begun)
            return httpx.Response(200, json=item(name))
        number = int(request.url.params["page"])
        pages.append((time.clock() - begun, number))
        walks = sum(page == 1 for _, page in pages)
        return httpx.Response(200, json={"result": page_of(SHORT if walks == 1 else LONG, number)})

    async with client(answer, time=time) as gg:
        ended = await gg.history.wait(OURS)
    assert [each.is_completed for each in ended] == [True] * 7
    walk = [number for _, number in pages]
    assert walk[:4] == [1, 2, 3, 4]
    assert sorted(walk[4:]) == [1, 2, 3, 4, 5, 6, 7], "the second walk ends with as many pages as there are jobs"
    assert pages[-1][0] < 60, "no page was asked for again before all had ended"
    assert all(len(times) > 1 for times in polls.values())
