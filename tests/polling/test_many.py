"""Waiting for many in one call: one result per input, no failure that hides the others, and no task per job."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from neuralbox._config import CallOptions
from neuralbox._errors import (
    AuthenticationError,
    ConfigurationError,
    GenerationTimeoutError,
    NeuralBoxError,
    NotFoundError,
)
from neuralbox._models.generation import Generation
from neuralbox._polling.account_pollers import poller_of
from neuralbox._polling.job import Job
from neuralbox._polling.many import MAX_POLLS, wait_all
from neuralbox._polling.polled_job import PolledJob
from neuralbox._polling.poller import Poller
from neuralbox._types import JobRef

from ..helpers import dear
from ..service import Answer, a_service
from .support import nothing_left

pytestmark = pytest.mark.anyio


async def test_results_come_in_input_order_failed_ones_among_them() -> None:
    async with a_service() as service:
        core = service.core()
        service.job(1, 40)
        service.job(2, 20, then="failed")
        service.job("gen_3", 60)
        results = await wait_all(core, [1, JobRef(2, "video"), Job(core, "gen_3")])
        assert [(result.id, result.status) for result in results] == [
            (1, "completed"),
            (2, "failed"),
            ("gen_3", "completed"),
        ]
        assert results[1].kind == "video"
        assert nothing_left(core)


async def test_no_input_is_no_wait() -> None:
    async with a_service() as service:
        assert await wait_all(service.core(), []) == []
        assert service.asked == []


async def test_the_same_id_twice_is_one_job_and_two_results() -> None:
    async with a_service() as service:
        core = service.core()
        service.job(1, 20)
        first, second, third = await wait_all(core, [1, "1", JobRef(1)])
        assert first is second is third
        assert len(service.asked) <= 5


async def test_what_is_finished_is_not_asked_about_and_is_reported_by_no_callback() -> None:
    async with a_service() as service:
        core = service.core()
        done = Generation.read({"id": 1, "status": "completed"})
        heard: list[Generation] = []
        assert await wait_all(core, [done, Job(core, generation=done)], on_progress=heard.append) == [done, done]
        assert (service.asked, heard) == ([], [])


async def test_what_cannot_be_a_job_is_refused_before_any_poll() -> None:
    async with a_service() as service:
        core = service.core()
        service.job(1, 1)
        with pytest.raises(ConfigurationError):
            await wait_all(core, [1, ""])
        with pytest.raises(ConfigurationError):
            await wait_all(core, [1], timeout=float("nan"))
        assert service.asked == []
        assert nothing_left(core)


async def test_an_unknown_id_raises_when_all_others_are_final_and_loses_none_of_them() -> None:
    async with a_service() as service:
        core = service.core()
        service.job(1, 100)
        service.job(3, 1)
        with pytest.raises(NotFoundError) as caught:
            await wait_all(core, [1, JobRef(2, "video"), 3])
        assert service.time.clock() >= 1_100
        assert caught.value.job == JobRef(2, "video")
        statuses = [seen and seen.status for seen in vars(caught.value)["generations"]]
        assert statuses == ["completed", None, "completed"]
        assert len(pickle.loads(pickle.dumps(caught.value)).generations) == 3
        assert nothing_left(core)


async def test_a_limit_that_passes_loses_nothing_that_was_seen() -> None:
    async with a_service() as service:
        core = service.core()
        service.job(1, 10)
        service.job(2, 1e9, progress=3)
        service.job(3, 1e9)
        with pytest.raises(GenerationTimeoutError, match="Waited 30 s for 3 jobs, among them the job 2") as caught:
            await wait_all(core, [1, 2, 3], timeout=30)
        assert caught.value.job == JobRef(2)
        assert caught.value.generation.progress == 3
        statuses = [seen and seen.status for seen in vars(caught.value)["generations"]]
        assert statuses == ["completed", "pending", "pending"]
        assert service.time.clock() == pytest.approx(1_030.05, abs=0.01)
        assert nothing_left(core)


async def test_a_limit_in_the_past_is_one_poll_of_each() -> None:
    async with a_service() as service:
        core = service.core()
        for number in range(200):
            service.job(number, 0 if number % 2 else 1e9)
        with pytest.raises(GenerationTimeoutError) as caught:
            await wait_all(core, range(200), timeout=0)
        assert len(service.asked) == 200
        assert sum(seen.is_completed for seen in vars(caught.value)["generations"]) == 100
        assert nothing_left(core)


@dear
async def test_a_refused_credential_ends_the_wait_at_once() -> None:
    async with a_service() as service:
        core = service.core(seed=5)
        for number in range(300):
            service.answers[str(number)] = lambda now: (
                (401, {"error": "not_authenticated"}) if now > 1_008 else {"status": "pending"}
            )
        with pytest.raises(AuthenticationError) as caught:
            await wait_all(core, range(300))
        assert caught.value.job == JobRef(0)
        assert service.time.clock() < 1_015
        assert nothing_left(core)


async def test_a_refused_credential_stops_the_polls_that_have_not_begun() -> None:
    async with a_service() as service:
        core = service.core()
        for number in range(200):
            service.answers[str(number)] = lambda _: (401, {"error": "not_authenticated"})
        with pytest.raises(AuthenticationError):
            await wait_all(core, range(200), timeout=0)
        assert len(service.asked) <= MAX_POLLS
        assert nothing_left(core)


async def test_progress_of_each_is_reported_as_it_comes() -> None:
    async with a_service() as service:
        core = service.core()
        heard: list[tuple[object, str]] = []
        service.job(1, 30)
        service.job(2, 10, then="failed")

        async def on_progress(generation: Generation) -> None:
            await anyio.lowlevel.checkpoint()
            heard.append((generation.id, generation.status))

        with pytest.raises(NotFoundError):
            await wait_all(core, [1, 2, 3], on_progress=on_progress)
        assert sorted(heard[:2]) == [(1, "pending"), (2, "pending")]
        assert heard[2:] == [(2, "failed"), (1, "completed")]


async def test_a_slow_callback_stops_no_poll_that_is_under_way() -> None:
    async with a_service() as service:
        core = service.core()
        for number in range(100):
            service.job(number, 0)

        async def slow(_: Generation) -> None:
            await service.time.sleep(0.5)

        results = await wait_all(core, range(100), on_progress=slow)
        assert len(results) == 100
        assert max(asked.at for asked in service.asked) < 1_005
        assert nothing_left(core)


async def test_what_comes_due_during_a_callback_is_polled_in_time() -> None:
    async with a_service() as service:
        core = service.core()
        service.job(1, 0)
        service.job(2, 20)

        async def slow(generation: Generation) -> None:
            if generation.id == 1:
                await service.time.sleep(100)

        await wait_all(core, [1, 2], on_progress=slow)
        assert service.time.clock() == pytest.approx(1_100.1, abs=0.1)
        assert 20 < service.times(2)[-1] < 28


async def test_what_others_know_already_is_reported_at_once() -> None:
    async with a_service() as service:
        core = service.core()
        heard: list[float | None] = []
        service.job(1, 50, progress=3)
        async with anyio.create_task_group() as group:
            group.start_soon(Job(core, 1).wait)
            await service.time.sleep(2)
            with pytest.raises(GenerationTimeoutError):
                await wait_all(core, [1], timeout=1, on_progress=lambda generation: heard.append(generation.progress))
        assert heard == [3]


@pytest.mark.covered_on_trio
@pytest.mark.parametrize("error", [ZeroDivisionError(), NeuralBoxError("the caller's own")])
async def test_an_error_in_a_callback_arrives_as_it_is(error: Exception) -> None:
    async with a_service() as service:
        core = service.core()
        service.job(1, 0)
        service.job(2, 1e9)

        def on_progress(_: Generation) -> None:
            raise error

        with pytest.raises(type(error)) as caught:
            await wait_all(core, [1, 2], on_progress=on_progress)
        assert caught.value is error
        assert nothing_left(core)


@pytest.mark.parametrize("crash", [ConfigurationError("the client is closed"), RuntimeError("a hook failed")])
async def test_a_poll_that_cannot_even_be_tried_raises_at_once(crash: Exception) -> None:
    async with a_service() as service:
        core = service.core()
        service.job(1, 0)
        service.answers["2"] = lambda now: crash if now > 1_003 else {"status": "pending"}
        with pytest.raises(type(crash), match=str(crash)) as caught:
            await wait_all(core, [1, 2])
        if isinstance(caught.value, NeuralBoxError):
            assert caught.value.job == JobRef(2)
            assert vars(caught.value)["generations"][0].is_completed
        assert nothing_left(core)


@pytest.mark.parametrize("listening", [True, False])
async def test_a_strategy_that_crashes_ends_the_wait_as_it_is(listening: bool) -> None:
    async with a_service() as service:
        core = service.core()

        async def crash(poller: Poller, due: Sequence[PolledJob]) -> None:
            raise ZeroDivisionError

        poller_of(core).strategy = crash
        with pytest.raises(ZeroDivisionError):
            await wait_all(core, [1, 2], on_progress=print if listening else None)
        assert nothing_left(core)


async def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    async with a_service(latency=2.0) as service:
        core = service.core()
        for number in range(300):
            service.job(number, 1e9)
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(wait_all, core, range(300))
                await service.time.sleep(5.5)  # a listing that is refused, then polls
                assert service.under_way == MAX_POLLS
                scope.cancel()
        assert service.under_way == 0
        assert nothing_left(core)


async def test_a_poll_that_is_cut_off_is_made_up_by_others_who_wait() -> None:
    async with a_service(latency=2.0) as service:
        core = service.core()
        service.job(1, 1)
        done: list[str] = []

        async def alone() -> None:
            done.append((await Job(core, 1).wait()).status)

        async with anyio.create_task_group() as group:
            with anyio.CancelScope() as scope:
                group.start_soon(alone)
                group.start_soon(cancel_after, service, scope, 1.0)
                await wait_all(core, [1])
        assert done == ["completed"]
        assert nothing_left(core)


async def cancel_after(service: Any, scope: anyio.CancelScope, seconds: float) -> None:
    await service.time.sleep(seconds)
    scope.cancel()


async def test_a_wait_for_many_leads_for_those_who_wait_for_one() -> None:
    async with a_service() as service:
        core = service.core(seed=6)
        done: list[str] = []
        for number in range(30):
            service.job(number, 15 + number)

        async def alone(number: int) -> None:
            done.append((await Job(core, number).wait()).status)

        async with anyio.create_task_group() as group:
            for number in range(20, 30):
                group.start_soon(alone, number)
            assert len(await wait_all(core, range(25))) == 25
        assert done == ["completed"] * 10
        assert nothing_left(core)


async def test_call_options_reach_the_polls() -> None:
    async with a_service() as service:
        service.job(1, 0)
        await wait_all(service.core(), [1], call=CallOptions(extra_headers={"x-trace": "t1"}))
        assert service.asked[0].headers["x-trace"] == "t1"


@dear
async def test_sixty_take_no_more_requests_each_than_one() -> None:
    async with a_service() as service:
        core = service.core(seed=7)
        for number in range(60):
            service.job(number, 20 + number * 2.6)
        results = await wait_all(core, range(60))
        assert all(result.is_completed for result in results)
        assert len(service.asked) / 60 < 17.5


async def test_misses_of_some_do_not_end_the_wait() -> None:
    async with a_service() as service:
        core = service.core()
        service.job(1, 10)

        def unwell(now: float) -> Answer:
            return (500, {}) if now < 1_060 else {"status": "completed"}

        service.answers["2"] = unwell
        assert [result.status for result in await wait_all(core, [1, 2])] == ["completed", "completed"]


@pytest.mark.anyio
async def test_one_id_as_text_is_no_list_of_ids() -> None:
    async with a_service() as service:
        with pytest.raises(ConfigurationError, match=r"Pass the ids as a list: \['gen_7'\]"):
            await wait_all(service.core(), "gen_7")
        assert service.asked == []
