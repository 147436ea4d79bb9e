"""Waiting under an hourly limit, and the end of it."""

from __future__ import annotations

from typing import Any

import pytest

from neuralbox._models.generation import Generation
from neuralbox._polling.job import Job
from neuralbox._polling.many import wait_all
from neuralbox._transport import Reply
from neuralbox.testing import VirtualTime

from .world import Listing, Service, a_service

pytestmark = pytest.mark.anyio


class Metered(Service):
    """A service that counts reads against 100 an hour."""

    left = 60

    async def send(self, prepared: Any, **_: Any) -> Reply:
        reply = await super().send(prepared, **_)
        self.left -= 1
        headers = {
            **reply.headers,
            "x-ratelimit-limit-hour": "100",
            "x-ratelimit-remaining-hour": str(self.left),
            "x-ratelimit-reset-hour": str(1_000 + 3_600),
        }
        return Reply(reply.status_code, headers, reply.content)


async def test_where_reads_count_forty_jobs_are_found_with_few_requests_to_spare() -> None:
    async with a_service() as plain:
        service = Metered(plain.time, listing=Listing())
        core = service.core(seed=1)
        for number in range(40):
            service.job(number, 90)
        await wait_all(core, range(40), timeout=None)
        assert service.left >= 10
        assert len(service.asked) == 40


async def test_where_reads_count_a_job_of_a_known_model_is_not_asked_about_before_it_can_be_done() -> None:
    async with a_service() as plain:
        service = Metered(plain.time)
        core = service.core(seed=1)
        for number in range(6):
            service.job(number, 90)
            pending = {"id": number, "status": "pending", "model": "unheard-of"}
            await Job(core, generation=Generation.read(pending)).wait()
        assert [len(service.times(number)) for number in (4, 5)] == [1, 1]
        assert isinstance(plain.time, VirtualTime)
