"""One job with a key in a database: bought once by any number of processes."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from neuralbox._config import NO_CALL_OPTIONS
from neuralbox._core.exchange import Core
from neuralbox._errors import JournalError
from neuralbox._journal import open_account_journal
from neuralbox._requests.requests import VideoRequest
from neuralbox._submissions import keyed

from ..service import Service
from .workers import worker

pytestmark = pytest.mark.anyio


async def submit(core: Core, place: str, key: str, prompt: str = "once") -> Any:
    request = VideoRequest(model="kling-v2.1", prompt=prompt).build(core.options.dialect)
    return await keyed.submit(core, request, NO_CALL_OPTIONS, kind="video", model="kling-v2.1", journal=place, key=key)


@pytest.mark.usefixtures("_who_meet")
async def test_a_job_with_a_key_is_bought_once_by_any_number_of_processes(world: Service, place: str) -> None:
    jobs, world.holds = list[Any](), 2.0
    world.ends = lambda number, body: "dropped after"

    async def buy(number: int) -> None:
        jobs.append((await submit(worker(world, number), place, "order-7")).ref.id)

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(buy, number)
    assert len(world.ledger) == 1
    assert jobs == [world.ledger[0].id] * 3


async def test_a_key_that_another_process_is_at_for_too_long_is_an_error(world: Service, place: str) -> None:
    core = worker(world, 1)
    async with await open_account_journal(core, place) as other:
        request = VideoRequest(model="kling-v2.1", prompt="once").build(core.options.dialect)
        from neuralbox._journal import PlannedRequest

        await other.plan([PlannedRequest("order-7", keyed._described(request, NO_CALL_OPTIONS))])
        with pytest.raises(JournalError, match="Another program is submitting the request 'order-7'") as caught:
            await submit(worker(world, 2), place, "order-7")
        assert caught.value.reason == "locked"
        await other.accepted("order-7", id=7)
        assert (await submit(worker(world, 3), place, "order-7")).ref.id == 7
