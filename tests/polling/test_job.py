"""`Job`: what a wait returns and raises, when it polls, what callers hear on the way, and what it leaves behind."""

from __future__ import annotations

import pickle
from collections.abc import AsyncGenerator
from itertools import pairwise
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from neuralbox._config import CallOptions, Polling
from neuralbox._errors import (
    APIStatusError,
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    GenerationFailedError,
    GenerationTimeoutError,
    InternalServerError,
    NotFoundError,
)
from neuralbox._models.generation import Generation
from neuralbox._polling.job import Job
from neuralbox._types import JobRef

from ..helpers import one_loop
from ..service import Answer, Service, a_service
from .support import nothing_left

pytestmark = pytest.mark.anyio


def submitted(service: Service, id: int | str = 1, core: Any = None, **answer: Any) -> Job:
    """A job whose submission was just answered."""
    generation = Generation.read({"id": id, "status": "pending", **answer})
    return Job(core or service.core(), generation=generation)


# What a handle says.


async def test_a_handle_is_a_reference_and_what_was_last_heard() -> None:
    async with a_service() as service:
        core = service.core()
        service.job(1, 0, model="kling-v2.1")
        job = Job(core, JobRef(1, "video"))
        assert (job.id, job.kind, job.model, job.generation) == (1, "video", None, None)
        assert repr(job) == "<Job 1: not polled yet>"
        service.answers["1"] = lambda _: {"id": 1, "status": "pending", "model": "kling-v2.1", "prompt": "a secret"}
        await job.refresh()
        assert repr(job) == "<Job 1: pending>"
        assert job.ref == JobRef(1, "video", "kling-v2.1")
        assert pickle.loads(pickle.dumps(job.ref)) == job.ref


async def test_a_submission_tells_kind_and_model() -> None:
    async with a_service() as service:
        job = submitted(service, type="video", model_slug="luma-ray2")
        assert job.ref == JobRef(1, "video", "luma-ray2")


async def test_a_job_needs_an_id_unless_it_is_finished() -> None:
    async with a_service() as service:
        core = service.core()
        with pytest.raises(ConfigurationError):
            Job(core)
        with pytest.raises(ConfigurationError):
            Job(core, generation=Generation.read({"status": "pending"}))
        done = Generation.read({"status": "completed", "content": "hi"})
        assert await Job(core, generation=done).wait() is done
        assert await Job(core, done).wait() is done


# The end of a wait.


async def test_a_wait_returns_the_finished_generation() -> None:
    async with a_service() as service:
        job = submitted(service)
        service.job(1, 12)
        video = await job.wait()
        assert video.url == "http://127.0.0.1/1.mp4"
        assert job.generation is video
        assert service.times() == pytest.approx([3.0, 8.36, 14.24], abs=0.01)
        assert nothing_left(job._core)


async def test_a_finished_job_is_not_asked_about() -> None:
    async with a_service() as service:
        job = submitted(service, status="completed", result_url="u")
        assert (await job.wait()).url == "u"
        assert [generation.url async for generation in job.watch()] == ["u"]
        assert service.asked == []


async def test_a_failed_job_raises_the_services_words_with_the_job() -> None:
    async with a_service() as service:
        service.job(1, 1, then="failed")
        job = submitted(service, model="kling-v2.1")
        with pytest.raises(GenerationFailedError, match=r"content policy violation\. No tokens were charged") as caught:
            await job.wait()
        assert caught.value.job == JobRef(1, None, "kling-v2.1")
        assert caught.value.generation.is_failed
        with pytest.raises(GenerationFailedError):
            await job.wait()
        assert len(service.asked) == 1
        assert nothing_left(job._core)


LONG = "No.\x1b[2J\n\u202e key nb_secret123 " + "x" * 10_000_000


async def test_a_failures_message_is_short_and_clean_however_long_the_service_was() -> None:
    async with a_service() as service:
        job = submitted(service, status="failed", error=LONG)
        with pytest.raises(GenerationFailedError) as caught:
            job.raise_if_failed()
        message = caught.value.message
        assert message.startswith("The job 1 failed: No. [2J key [hidden] xxx")
        assert message.endswith("xxx. No tokens were charged.")
        assert len(message) < 600
        assert caught.value.generation.error == LONG  # the whole of it is data


async def test_a_failure_that_was_charged_does_not_claim_otherwise() -> None:
    async with a_service() as service:
        job = submitted(service, status="failed", tokens_spent=3)
        with pytest.raises(GenerationFailedError) as caught:
            job.raise_if_failed()
        assert caught.value.message == "The job 1 failed: the service gave no reason."


async def test_a_limit_that_passes_raises_with_job_and_last_state_after_a_last_poll_at_the_end() -> None:
    async with a_service() as service:
        service.job(1, 1e9, progress=45)
        job = submitted(service)
        with pytest.raises(GenerationTimeoutError) as caught:
            await job.wait(timeout=12)
        assert service.times() == pytest.approx([3.0, 12.0], abs=0.01)
        assert isinstance(caught.value, TimeoutError)
        assert caught.value.job == JobRef(1)
        assert caught.value.generation.progress == 45
        assert "still pending, 45 % done" in caught.value.message
        assert "client.job(error.job)" in caught.value.message
        assert nothing_left(job._core)


async def test_a_job_that_finishes_just_before_the_limit_is_found_by_the_last_poll() -> None:
    async with a_service() as service:
        job = submitted(service)
        service.job(1, 11.9)
        assert (await job.wait(timeout=12)).is_completed
        assert service.times()[-1] == pytest.approx(12.0)


@pytest.mark.parametrize("timeout", [0, -5, 0.001])
async def test_a_limit_in_the_past_is_one_poll(timeout: float) -> None:
    async with a_service() as service:
        core = service.core()
        service.job(1, 10)
        for job in (submitted(service, core=core), Job(core, 1)):
            service.asked.clear()
            with pytest.raises(GenerationTimeoutError):
                await job.wait(timeout=timeout)
            assert len(service.asked) == 1
        service.job(2, 0)
        assert (await Job(core, 2).wait(timeout=timeout)).is_completed
        assert nothing_left(core)


async def test_waits_without_time_in_a_loop_poll_no_oftener_than_the_policy_allows() -> None:
    async with a_service() as service:
        service.job(1, 30)
        job = submitted(service)
        tries = 0
        while job.generation is None or not job.generation.is_final:
            tries += 1
            try:
                await job.wait(timeout=0)
            except GenerationTimeoutError:
                await service.time.sleep(1)
        assert tries > 25
        gaps = [later - earlier for earlier, later in pairwise(service.times())]
        assert min(gaps) >= 4.99


async def test_a_wait_without_limit_goes_on() -> None:
    async with a_service() as service:
        service.job(1, 5_000)
        assert (await submitted(service, core=service.core(polling=Polling(timeout=None))).wait()).is_completed
        service.job(2, 5_000)
        assert (await submitted(service, 2).wait(timeout=None)).is_completed
        assert service.times(1)[-1] - service.times(1)[-2] == pytest.approx(30.05, abs=0.01)


async def test_the_clients_limit_counts_where_none_is_given() -> None:
    async with a_service() as service:
        service.job(1, 1e9)
        with pytest.raises(GenerationTimeoutError, match="Waited 600 s"):
            await submitted(service).wait()
        assert service.times()[-1] == pytest.approx(600, abs=0.01)


@pytest.mark.parametrize("timeout", [True, "60", float("nan")])
async def test_a_limit_that_is_no_number_is_refused_before_any_poll(timeout: Any) -> None:
    async with a_service() as service:
        with pytest.raises(ConfigurationError, match="timeout"):
            await submitted(service).wait(timeout=timeout)
        with pytest.raises(ConfigurationError, match="timeout"):
            submitted(service).watch(timeout=timeout)
        assert service.asked == []


async def test_what_a_wait_has_learnt_serves_the_next_one() -> None:
    async with a_service() as service:
        service.job(1, 60)
        job = submitted(service, core=service.core(seed=1))
        for _ in range(3):
            with pytest.raises(GenerationTimeoutError):
                await job.wait(timeout=11)
        await job.wait()
        gaps = [later - earlier for earlier, later in pairwise(service.times())]
        assert min(gaps) >= 4.99
        assert len(service.asked) < 14


# Hints of the service.


async def test_the_estimate_of_the_submission_sets_the_first_poll() -> None:
    async with a_service() as service:
        job = submitted(service, eta_seconds=25)
        service.job(1, 24)
        await job.wait()
        assert service.times() == [25.5]


async def test_the_documented_times_of_the_model_set_the_first_poll() -> None:
    async with a_service() as service:
        service.job(1, 1)
        await submitted(service, type="video", model="luma-flash2").wait()
        assert service.times() == [18.0]


async def test_what_was_seen_of_a_model_sets_the_first_poll() -> None:
    async with a_service() as service:
        core = service.core()
        durations: tuple[dict[str, Any], ...] = (
            {"processing_ms": 9_000},
            {"created_at": "2026-03-08T12:00:00Z", "completed_at": "2026-03-08T12:00:10Z"},
            {},
        )
        for took in durations:
            service.answers["1"] = lambda _, took=took: {"id": 1, "status": "completed", **took}  # type: ignore[misc]
            await submitted(service, 1, core, model="photon").wait()
        service.asked.clear()
        began = service.time.clock()
        await submitted(service, 1, core, model="photon").wait()
        assert service.asked[0].at - began == pytest.approx(3.05, abs=0.01)  # the last of the three took 3.05 s


async def test_a_job_that_was_met_on_its_way_teaches_nothing_about_its_model() -> None:
    async with a_service() as service:
        core = service.core()
        for number in range(3):
            service.job(number, 0)
            await Job(core, JobRef(number, "image", "photon")).wait()
        assert poller_times(core) == {}


@one_loop
async def test_only_so_many_models_are_remembered() -> None:
    async with a_service() as service:
        core = service.core()
        for number in range(300):
            service.answers[str(number)] = lambda _: {"status": "completed", "processing_ms": 1}
            await Job(core, JobRef(number, "image", f"model-{number}")).wait()
        assert len(poller_times(core)) == 256
        assert "model-0" not in poller_times(core)


def poller_times(core: Any) -> dict[str, Any]:
    from neuralbox._polling.account_pollers import poller_of

    return poller_of(core)._durations


async def test_a_handle_from_elsewhere_is_polled_at_once() -> None:
    async with a_service() as service:
        service.job("gen_1", 0)
        await Job(service.core(), "gen_1").wait()
        assert service.times("gen_1") == pytest.approx([0], abs=0.001)


@pytest.mark.parametrize("eta", [-1, 0, 1e300, "soon", "-inf", [], 10**400])
async def test_an_absurd_estimate_makes_no_tight_loop_and_hides_no_result(eta: Any) -> None:
    async with a_service() as service:
        service.job(1, 100, eta_seconds=eta, progress=eta)
        job = submitted(service, eta_seconds=eta)
        assert (await job.wait()).is_completed
        assert len(service.asked) <= 20
        assert service.times()[-1] <= 131


# Progress.


async def test_progress_is_reported_once_for_each_change_in_the_waiters_own_task() -> None:
    async with a_service() as service:
        service.answers["1"] = lambda now: (
            {"id": 1, "status": "completed"}
            if now > 1_030
            else {"id": 1, "status": "pending", "progress": 4 if now > 1_015 else 1}
        )
        heard = []
        mine = anyio.get_current_task().id

        def on_progress(generation: Generation) -> None:
            heard.append((generation.status, generation.progress, anyio.get_current_task().id == mine))

        await submitted(service).wait(on_progress=on_progress)
        assert heard == [("pending", 1, True), ("pending", 4, True), ("completed", None, True)]


async def test_an_async_callback_is_awaited() -> None:
    async with a_service() as service:
        service.job(1, 1)
        heard = []

        async def on_progress(generation: Generation) -> None:
            await service.time.sleep(7)
            heard.append(generation.status)

        await submitted(service).wait(on_progress=on_progress)
        assert heard == ["completed"]


async def test_a_slow_callback_that_always_finds_a_change_ends_with_the_waits_limit() -> None:
    async with a_service() as service:
        core = service.core()
        service.answers["1"] = lambda now: {"id": 1, "status": "pending", "progress": now}

        async def on_progress(generation: Generation) -> None:
            await service.time.sleep(40)

        async def another() -> None:  # asks on while the callback sleeps
            with pytest.raises(GenerationTimeoutError):
                await submitted(service, core=core).wait(timeout=600)

        async with anyio.create_task_group() as group:
            group.start_soon(another)
            began = service.time.clock()
            with pytest.raises(GenerationTimeoutError):
                await submitted(service, core=core).wait(timeout=60, on_progress=on_progress)
            assert service.time.clock() - began <= 60 + 40


async def test_an_error_in_a_callback_ends_that_wait_only() -> None:
    async with a_service() as service:
        core = service.core()
        service.job(1, 20, progress=1)
        job, results = submitted(service, core=core), []

        def on_progress(generation: Generation) -> None:
            raise ZeroDivisionError

        async def broken() -> None:
            with pytest.raises(ZeroDivisionError):
                await job.wait(on_progress=on_progress)
            results.append("raised")

        async def whole() -> None:
            results.append((await submitted(service, core=core).wait()).status)

        async with anyio.create_task_group() as group:
            group.start_soon(broken)
            group.start_soon(whole)
        assert results == ["raised", "completed"]
        assert job.generation is not None
        assert job.generation.progress == 1
        assert (await job.wait()).is_completed
        assert nothing_left(core)


# Looks that bring nothing.


def flaky(service: Service, *steps: Answer, id: int = 1) -> None:
    """Answer with each step once, then completed."""
    left = list(steps)
    service.answers[str(id)] = lambda _: left.pop(0) if left else {"id": id, "status": "completed"}


@pytest.mark.parametrize(
    "miss",
    [
        ConnectError("no route"),
        (500, {"error": "provider_error"}),
        (502, {}),
        (429, {"error": "rate_limit_exceeded"}),
        (400, {"error": "bad_request"}),
        (405, {}),
        (200, []),
    ],
)
async def test_a_missed_poll_ends_no_wait(miss: Any) -> None:
    async with a_service() as service:
        flaky(service, miss, miss, miss, miss)
        assert (await submitted(service).wait()).is_completed
        gaps = [later - earlier for earlier, later in pairwise(service.times())]
        assert [gap for gap in gaps if gap > 0.2] == sorted(gap for gap in gaps if gap > 0.2)
        assert all(gap > 4.9 or 0 < gap < 0.1 for gap in gaps)  # 405 is asked about on the other path too


async def test_the_wait_a_429_asks_for_is_kept() -> None:
    async with a_service() as service:
        flaky(service, (429, {"error": "rate_limit_exceeded", "retry_after": 120}))
        await submitted(service).wait()
        assert service.times() == pytest.approx([3.0, 125.55], abs=0.01)


async def test_the_limit_passes_while_no_poll_succeeds() -> None:
    async with a_service() as service:
        service.answers["1"] = lambda _: (503, {"error": "model_unavailable", "message": "Down"})
        with pytest.raises(GenerationTimeoutError, match=r"no poll of it brought an answer.*Down") as caught:
            await Job(service.core(), 1).wait(timeout=60)
        assert isinstance(caught.value.__cause__, InternalServerError)
        assert service.times()[-1] == pytest.approx(60, abs=5)


async def test_a_young_job_may_be_unknown_for_a_while() -> None:
    async with a_service() as service:
        service.answers["1"] = lambda now: (
            (404, {}) if now < 1_025 else {"id": 1, "status": "completed" if now > 1_040 else "pending"}
        )
        assert (await submitted(service).wait()).is_completed


async def test_an_unknown_job_older_than_thirty_seconds_ends_its_wait_with_the_job() -> None:
    async with a_service() as service:
        core = service.core()
        with pytest.raises(NotFoundError) as caught:
            await Job(core, JobRef(1, "video")).wait()
        assert caught.value.job == JobRef(1, "video")
        assert 30 < service.times()[-1] < 37
        assert {asked.path for asked in service.asked} == {"/generate", "/generate/status"}
        assert nothing_left(core)


async def test_a_limit_that_passes_over_an_unknown_young_job_says_so() -> None:
    async with a_service() as service:
        with pytest.raises(GenerationTimeoutError, match=r"does not show it \(yet\)"):
            await Job(service.core(), 1).wait(timeout=10)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_credential_ends_all_waits_each_with_its_job(status: int) -> None:
    async with a_service() as service:
        core, ended = service.core(), []
        service.job(1, 1e9)
        service.job(2, 1e9)
        service.answers["3"] = lambda now: (
            (status, {"error": "refused"}) if now > 1_010 else {"id": 3, "status": "pending"}
        )

        async def wait(id: int) -> None:
            with pytest.raises(APIStatusError) as caught:
                await Job(core, id).wait()
            assert caught.value.status_code == status
            ended.append((caught.value.job, round(service.time.clock())))

        async with anyio.create_task_group() as group:
            for number in (1, 2, 3):
                group.start_soon(wait, number)
        when = ended[0][1]
        assert sorted(ended, key=str) == [(JobRef(1), when), (JobRef(2), when), (JobRef(3), when)]
        assert nothing_left(core)


async def test_a_poll_that_cannot_even_be_tried_raises_at_once_with_the_job() -> None:
    async with a_service() as service:
        service.answers["1"] = lambda _: ConfigurationError("the client is closed")
        core = service.core()
        with pytest.raises(ConfigurationError, match="closed") as caught:
            await Job(core, 1).wait()
        assert caught.value.job == JobRef(1)
        assert nothing_left(core)


async def test_a_failed_poll_is_not_repeated_within_itself() -> None:
    async with a_service() as service:
        flaky(service, ConnectError("no route"))
        await submitted(service, core=service.core(max_retries=5)).wait()
        assert len(service.asked) == 2


async def test_polls_take_the_headers_of_the_call_and_leave_its_body() -> None:
    async with a_service() as service:
        service.job(1, 1)
        call = CallOptions(extra_headers={"x-trace": "t1"}, extra_body={"seed": 7}, extra_query={"a": 1})
        pending = Generation.read({"id": 1, "status": "pending"})
        await Job(service.core(), generation=pending, call=call).wait()
        assert service.asked[0].headers["x-trace"] == "t1"
        assert "content-type" not in service.asked[0].headers
        assert service.asked[0].id == "1"


# A poll that hangs.


async def test_a_last_poll_that_hangs_ends_with_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "neuralbox._polling.poller.GRACE", 0.02
    )  # real seconds here: a cancelled poll is no timer of ours
    monkeypatch.setattr("neuralbox._polling.polled_job.GRACE", 0.02)
    async with a_service() as service:
        core = service.core()
        service.stalled = anyio.Event()
        job = Job(core, 1)
        with pytest.raises(GenerationTimeoutError):
            await job.wait(timeout=0)
        assert service.under_way == 0
        assert nothing_left(core)


# Watching.


async def test_watching_yields_each_change_and_ends_after_the_final_one() -> None:
    async with a_service() as service:
        service.answers["1"] = lambda now: (
            {"id": 1, "status": "failed", "error": "no"}
            if now > 1_030
            else {"id": 1, "status": "pending", "progress": 4 if now > 1_015 else 1}
        )
        job = submitted(service)
        seen = [(generation.status, generation.progress) async for generation in job.watch()]
        assert seen == [("pending", 1), ("pending", 4), ("failed", None)]
        assert nothing_left(job._core)
        with pytest.raises(GenerationFailedError):
            job.raise_if_failed()


async def test_a_watch_that_is_left_early_leaves_nothing_behind() -> None:
    async with a_service() as service:
        service.job(1, 1e9, progress=3)
        job = Job(service.core(), 1)
        async for generation in job.watch():
            assert generation.progress == 3
            assert nothing_left(job._core)  # not even while it is suspended
            break
        assert nothing_left(job._core)
        asked = len(service.asked)
        await service.time.sleep(100)
        assert len(service.asked) == asked


async def watched(job: Job, *, limit: float | None = None) -> AsyncGenerator[Generation, None]:
    async with job.watch(timeout=limit) as steps:
        async for generation in steps:
            yield generation


@pytest.mark.parametrize("limit", [None, 1e6])
async def test_leaving_a_generator_that_wraps_a_watch_does_not_cancel_its_caller(limit: float | None) -> None:
    async with a_service() as service:
        service.job(1, 1e9, progress=3)
        job = Job(service.core(), 1)
        steps = watched(job, limit=limit)
        async for generation in steps:
            assert generation.progress == 3
            break
        await checkpoint()
        await service.time.sleep(100)
        await steps.aclose()
        await checkpoint()
        assert nothing_left(job._core)
        assert service.times() == [0]


async def test_a_generator_that_wraps_a_watch_is_entered_and_left_by_different_tasks() -> None:
    async with a_service() as service:
        service.job(1, 1e9, progress=3)
        job = Job(service.core(), 1)
        steps = watched(job, limit=1e6)
        for act in (steps.__anext__, steps.aclose):
            async with anyio.create_task_group() as group:
                group.start_soon(act)
            await checkpoint()
        assert nothing_left(job._core)


async def test_a_watch_polls_at_once_when_its_reader_comes_back_late() -> None:
    async with a_service() as service:
        service.job(1, 60, progress=3)
        job = Job(service.core(), 1)
        steps = job.watch()
        await anext(steps)
        await service.time.sleep(100)
        assert (await anext(steps)).is_completed
        assert service.times() == pytest.approx([0, 100.05], abs=0.01)


async def test_a_closed_watch_is_over() -> None:
    async with a_service() as service:
        service.job(1, 1e9, progress=3)
        async with Job(service.core(), 1).watch() as steps:
            assert (await anext(steps)).progress == 3
        with pytest.raises(StopAsyncIteration):
            await anext(steps)


async def test_the_limit_of_a_watch_counts_from_its_first_step() -> None:
    async with a_service() as service:
        service.job(1, 1e9, progress=3)
        job = submitted(service)
        steps = job.watch(timeout=20)
        await service.time.sleep(50)
        await anext(steps)
        await service.time.sleep(5)  # in the body of the loop
        with pytest.raises(GenerationTimeoutError, match="Waited 20 s"):
            await anext(steps)
        assert service.time.clock() == pytest.approx(1_070, abs=0.2)
        with pytest.raises(StopAsyncIteration):
            await anext(steps)


async def test_a_watch_that_is_cancelled_leaves_nothing_behind_and_can_go_on() -> None:
    async with a_service() as service:
        service.job(1, 30)
        job = Job(service.core(), 1)
        steps = job.watch()
        assert (await anext(steps)).status == "pending"
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(anext, steps)
                await service.time.sleep(2)
                scope.cancel()
        assert nothing_left(job._core)
        assert (await anext(steps)).is_completed


async def test_a_watch_hears_at_once_what_others_know_already() -> None:
    async with a_service() as service:
        core = service.core()
        service.job(1, 100, progress=3)
        async with anyio.create_task_group() as group:
            group.start_soon(Job(core, 1).wait)
            await service.time.sleep(2)
            assert (await anext(Job(core, 1).watch())).progress == 3
            assert service.time.clock() == pytest.approx(1_002)


# One poll.


async def test_a_refresh_is_one_poll_now() -> None:
    async with a_service() as service:
        service.job(1, 1e9, progress=3)
        job = submitted(service)
        assert (await job.refresh()).progress == 3
        assert service.times() == [0]
        assert job.generation is not None
        assert job.generation.progress == 3
        fresh = Job(job._core, 1)
        await fresh.refresh()
        await fresh.refresh()
        assert len(service.asked) == 3


async def test_a_refresh_that_fails_carries_the_job() -> None:
    async with a_service() as service:
        service.answers["1"] = lambda _: (401, {"error": "not_authenticated"})
        with pytest.raises(AuthenticationError) as caught:
            await Job(service.core(), 1).refresh()
        assert caught.value.job == JobRef(1)


async def test_a_final_state_stands_though_the_service_goes_back() -> None:
    async with a_service() as service:
        job = submitted(service, status="completed", result_url="u")
        service.answers["1"] = lambda _: {"id": 1, "status": "pending"}
        assert (await job.refresh()).is_completed
        assert (await job.wait()).url == "u"


async def test_a_state_we_do_not_know_is_not_final() -> None:
    async with a_service() as service:
        service.job(1, 10, then="completed")
        flaky(service, {"id": 1, "status": "queued"}, {"id": 1}, {"id": 1, "status": None})
        assert (await submitted(service).wait()).is_completed
        assert len(service.asked) == 4


async def test_a_wait_over_an_answer_without_a_state_says_so() -> None:
    async with a_service() as service:
        service.answers["1"] = lambda _: {"id": 1}
        with pytest.raises(GenerationTimeoutError, match="still without a state"):
            await submitted(service).wait(timeout=10)
