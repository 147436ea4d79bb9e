"""A wait for many jobs that others join: each returned once as it ends, little kept of those that wait."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from neuralbox._core.exchange import Core
from neuralbox._errors import (
    AuthenticationError,
    ConfigurationError,
    GenerationTimeoutError,
    NeuralBoxError,
    NotFoundError,
)
from neuralbox._models.generation import Generation
from neuralbox._polling import many
from neuralbox._polling.account_pollers import poller_of
from neuralbox._polling.job import Job
from neuralbox._polling.many import Ended, GrowingJobWaiter
from neuralbox._polling.polled_job import GRACE
from neuralbox._types import JobRef

from ..helpers import dear, one_loop
from ..service import Listing, a_service
from .support import nothing_left

pytestmark = pytest.mark.anyio


class Ends:
    """What came back, with the time."""

    def __init__(self) -> None:
        self.all: dict[str, Ended] = {}
        self.order: list[str] = []

    def __call__(self, name: str, ended: Ended) -> None:
        assert name not in self.all, f"{name} came back twice"
        self.all[name] = ended
        self.order.append(name)

    def status(self, name: str) -> str:
        ended = self.all[name]
        assert isinstance(ended, Generation), repr(ended)
        return ended.status


@asynccontextmanager
async def a_growing_wait(core: Core, ends: Ends, limit: float | None = None) -> AsyncIterator[GrowingJobWaiter[str]]:
    """A wait that goes on inside the block; afterwards nothing of it is left."""
    async with anyio.create_task_group() as group:
        waiter = GrowingJobWaiter[str](core, limit, group, ends)
        group.start_soon(waiter.run)
        yield waiter
        group.cancel_scope.cancel()
    assert nothing_left(core)


async def test_jobs_join_while_others_are_waited_for_and_come_back_as_they_end() -> None:
    async with a_service() as service:
        core, ends = service.core(), Ends()
        async with a_growing_wait(core, ends) as waiter:
            service.job(1, 60)
            waiter.add(JobRef(1), "slow", age=0.0)
            await service.time.sleep(10)
            service.job(2, 10, then="failed")
            waiter.add(
                JobRef(2, "video"), "failed", age=0.0, generation=Generation.read({"id": 2, "status": "pending"})
            )
            assert len(waiter) == 2
            await service.time.sleep(20)
            assert ends.order == ["failed"]
            await service.time.sleep(60)
            assert ends.order == ["failed", "slow"]
            assert (ends.status("failed"), ends.status("slow")) == ("failed", "completed")
            assert len(waiter) == 0


async def test_the_same_job_twice_comes_back_twice_from_one_row_of_polls() -> None:
    async with a_service() as service:
        core, ends = service.core(), Ends()
        async with a_growing_wait(core, ends) as waiter:
            service.job(1, 10)
            waiter.add(JobRef(1), "first", age=0.0)
            waiter.add(JobRef("1"), "second", age=0.0)
            await service.time.sleep(30)
            assert ends.order == ["first", "second"]
            assert len(service.asked) <= 4


@dear
async def test_many_jobs_are_swept() -> None:
    async with a_service() as service:
        service.listing = Listing()
        core, ends = service.core(), Ends()
        async with a_growing_wait(core, ends) as waiter:
            for number in range(300):
                service.job(number, 30 + number / 100)
                waiter.add(JobRef(number), str(number), age=0.0)
            await service.time.sleep(60)
            assert len(ends.all) == 300
            assert len(service.asked) < 700


async def test_a_job_past_its_limit_has_a_last_poll_and_comes_back_with_what_was_seen() -> None:
    async with a_service() as service:
        core, ends = service.core(), Ends()
        async with a_growing_wait(core, ends, limit=30.0) as waiter:
            service.job(1, 1e9)
            service.job(2, 29.9)
            waiter.add(JobRef(1, "video", "kling-v2.1"), "late", age=0.0)
            waiter.add(JobRef(2), "just in time", age=0.0)
            await service.time.sleep(15)
            service.job(3, 1e9)
            waiter.add(JobRef(3), "later", age=0.0)
            await service.time.sleep(16)
            assert ends.status("just in time") == "completed"
            error = ends.all["late"]
            assert isinstance(error, GenerationTimeoutError)
            assert error.job == JobRef(1, "video", "kling-v2.1")
            assert "Waited 30 s for the job 1 (video kling-v2.1): it is still pending" in str(error)
            assert "later" not in ends.all
            await service.time.sleep(20)
            assert isinstance(ends.all["later"], GenerationTimeoutError)


async def test_a_last_poll_that_hangs_is_given_up() -> None:
    async with a_service() as service:
        core, ends = service.core(), Ends()
        async with a_growing_wait(core, ends, limit=30.0) as waiter:
            service.job(1, 1e9)
            waiter.add(JobRef(1), "late", age=0.0)
            await service.time.sleep(20)
            service.stalled = anyio.Event()
            await service.time.sleep(10 + GRACE / 2)
            assert ends.all == {}
            await service.time.sleep(GRACE)
            assert isinstance(ends.all["late"], GenerationTimeoutError)
            assert "Waited 30 s" in str(ends.all["late"])


async def test_a_last_poll_that_hangs_holds_up_nobody_elses_limit() -> None:
    async with a_service() as service:
        core, ends = service.core(), Ends()
        async with a_growing_wait(core, ends, limit=2.0) as waiter:
            service.job(1, 1e9)
            service.job(2, 1e9)
            service.stalled = anyio.Event()
            waiter.add(JobRef(1), "first")
            await service.time.sleep(3)
            service.stalled.set()
            service.stalled = None
            waiter.add(JobRef(2), "second")
            await service.time.sleep(2.5)
            assert set(ends.all) == {"first", "second"}


async def test_a_last_poll_that_nobody_had_time_for_is_given_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_service() as service:
        core, ends = service.core(), Ends()
        async with a_growing_wait(core, ends, limit=30.0) as waiter:
            service.job(1, 1e9)
            waiter.add(JobRef(1), "late", age=0.0)
            await service.time.sleep(16)
            entry = poller_of(core).find("1")
            assert entry is not None
            async with anyio.create_task_group() as group:
                group.start_soon(Job(core, 1).wait)  # somebody else still waits for it
                monkeypatch.setattr(many, "MAX_POLLS", 0)  # no task is free to poll
                await service.time.sleep(14 + GRACE + 1)
                monkeypatch.undo()
                assert isinstance(ends.all["late"], GenerationTimeoutError)
                assert entry.waiters
                assert waiter not in entry.waiters
                service.job(1, 0)


async def test_a_job_that_was_polled_just_now_needs_no_last_poll() -> None:
    async with a_service(latency=0) as service:
        core, ends = service.core(), Ends()
        async with a_growing_wait(core, ends, limit=0.001) as waiter:
            service.job(1, 1e9)
            waiter.add(JobRef(1), "late")
            await service.time.sleep(1)
            assert isinstance(ends.all["late"], GenerationTimeoutError)
            assert len(service.asked) == 1


async def test_an_unknown_id_comes_back_as_an_error_and_the_others_go_on() -> None:
    async with a_service() as service:
        core, ends = service.core(), Ends()
        async with a_growing_wait(core, ends) as waiter:
            service.job(1, 100)
            waiter.add(JobRef(2, "video"), "unknown", age=0.0)
            waiter.add(JobRef(1), "known", age=0.0)
            await service.time.sleep(130)
            error = ends.all["unknown"]
            assert isinstance(error, NotFoundError)
            assert error.job == JobRef(2, "video")
            assert ends.status("known") == "completed"


async def test_a_refused_credential_brings_all_of_them_back() -> None:
    async with a_service() as service:
        core, ends = service.core(), Ends()
        async with a_growing_wait(core, ends) as waiter:
            for number in range(100):
                service.answers[str(number)] = lambda _: (401, {"error": "not_authenticated"})
                waiter.add(JobRef(number), str(number), age=0.0)
            await service.time.sleep(60)
            assert len(ends.all) == 100
            for number in range(100):
                error = ends.all[str(number)]
                assert isinstance(error, AuthenticationError)
                assert error.job == JobRef(number)


@pytest.mark.parametrize("crash", [ConfigurationError("The client is closed."), RuntimeError("a bug")])
async def test_polls_that_are_not_possible_bring_all_back_and_whoever_comes_later(crash: Exception) -> None:
    async with a_service() as service:
        core, ends = service.core(), Ends()
        async with a_growing_wait(core, ends) as waiter:
            service.answers["1"] = lambda _: crash
            service.job(2, 1e9)
            waiter.add(JobRef(1), "1")
            waiter.add(JobRef(2), "2", age=0.0)
            await service.time.sleep(10)
            waiter.add(JobRef(3), "3")
            assert set(ends.all) == {"1", "2", "3"}
            assert all(type(error) is type(crash) for error in ends.all.values())
            error = ends.all["2"]
            assert not isinstance(error, NeuralBoxError) or error.job == JobRef(2)


async def test_leaving_forgets_all_jobs() -> None:
    async with a_service() as service:
        core, ends = service.core(), Ends()
        async with a_growing_wait(core, ends) as waiter:
            for number in range(50):
                service.job(number, 1e9)
                waiter.add(JobRef(number), str(number), age=0.0)
            await service.time.sleep(20)
        assert ends.all == {}


async def test_what_joins_before_the_wait_begins_or_after_it_was_left_leaves_nothing_behind() -> None:
    async with a_service() as service:
        core, ends = service.core(), Ends()
        service.job(1, 10)
        service.job(2, 10)
        async with a_growing_wait(core, ends) as waiter:
            pass
        waiter.add(JobRef(1), "too late", age=0.0)
        assert nothing_left(core)
        async with anyio.create_task_group() as group:
            never = GrowingJobWaiter[str](core, None, group, ends)
            never.add(JobRef(1), "never begun", age=0.0)
            never.add(JobRef(1), "never begun either", age=0.0)
            never.leave()
        assert nothing_left(core)
        # Another wait for the same job tells nobody who is gone.
        assert (await Job(core, 1).wait()).is_completed
        assert ends.all == {}


@one_loop
async def test_what_was_said_of_a_job_is_kept_once_for_all() -> None:
    async with a_service() as service:
        core, ends = service.core(), Ends()
        async with a_growing_wait(core, ends) as waiter:
            for number in range(300):
                pending = Generation.read({"id": number, "status": "pending", "model": f"model-{number}"})
                service.job(number, 1e9, model=f"model-{number}")
                waiter.add(JobRef(number), str(number), generation=pending, age=0.0)
            await service.time.sleep(20)
            assert len(waiter._said) <= 256
            assert all(job.answer is None for job in poller_of(core).jobs)


@pytest.mark.uncovered  # a tracer makes objects of frames
class TestMemory:
    """What a waiting job costs; only on asyncio, for which the budget is set."""

    @pytest.fixture(params=["asyncio"])
    def anyio_backend(self, request: pytest.FixtureRequest) -> Any:
        return request.param

    @pytest.mark.uncovered
    async def test_a_waiting_job_costs_at_most_1_kb(self) -> None:
        count = 300
        async with a_service(latency=0) as service:
            core, ends = service.core(seed=1), Ends()
            async with a_growing_wait(core, ends, limit=1e9) as waiter:
                for number in range(count):
                    service.job(number, 1e9, progress=number % 100)
                service.asked.clear()
                gc.collect()
                tracemalloc.start()
                try:
                    before = tracemalloc.get_traced_memory()[0]
                    for number in range(count):
                        pending = Generation.read({"id": number, "status": "pending", "prompt": "x" * 200})
                        waiter.add(pending.ref, "all the same", generation=pending, age=0.0)
                    await service.time.sleep(20)
                    assert len(service.asked) >= count
                    service.asked.clear()
                    await asyncio.sleep(0)
                    gc.collect()
                    added = tracemalloc.get_traced_memory()[0] - before
                finally:
                    tracemalloc.stop()
            assert added / count < 1024
