"""Waiting where the plan's requests are scarce: pages of the listing in place of polls, and what bad numbers lead to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from math import inf
from typing import Any, TypeAlias

import anyio
import pytest

from neuralbox._config import Polling
from neuralbox._core.exchange import Core
from neuralbox._errors import GenerationTimeoutError, RateLimitError
from neuralbox._models.generation import Generation
from neuralbox._polling.account_pollers import poller_of
from neuralbox._polling.job import Job
from neuralbox._polling.many import Ended, GrowingJobWaiter, wait_all
from neuralbox._rate_limit.limiter import limiter_of
from neuralbox._rate_limit.plan import ReadsSeen
from neuralbox._types import JobRef

from ..helpers import START as DATE
from ..helpers import dear, one_loop
from ..service import Listing, Plan, Service, a_service
from .support import nothing_left

pytestmark = pytest.mark.anyio

HOUR = 3_600
Tells: TypeAlias = Callable[[int, dict[str, str]], Mapping[str, str]]
START = 1_000.0  # of the monotonic clock


@asynccontextmanager
async def metered(
    *, left: int = 60, limit: int = 100, counts: bool = True, tells: Tells = lambda number, headers: headers, **how: Any
) -> AsyncIterator[Service]:
    """A service of which so many requests are left this hour, reads among them."""
    service = Service(**{"latency": 0.05, "plan": Plan(limit, reads=counts, tells=tells), **how})
    service.plan.taken += [service.time.now()] * (limit - left)
    yield service


def left_of(service: Service) -> int:
    return service.plan.left(service.time.now())[0]


def submitted(core: Core, service: Service, *numbers: int, seconds: float = 90.0) -> list[Job]:
    """Handles of jobs that were submitted just now."""
    for number in numbers:
        service.job(number, seconds, model="wan")
    pending = {"status": "pending", "type": "video", "model": "wan"}
    return [Job(core, generation=Generation.read({"id": number, **pending})) for number in numbers]


async def test_forty_jobs_are_found_by_pages_with_requests_to_spare_and_say_that_they_may_lack_something() -> None:
    async with metered() as service:
        core = service.core(seed=1)
        found = await wait_all(core, submitted(core, service, *range(40)), timeout=None)
        assert all(result.url and result.tokens and result.is_partial for result in found)
        assert all(result.model == "wan" for result in found)
        assert service.asked == []
        assert len(service.pages) <= 25
        assert "" in {page.status for page in service.pages}
        assert nothing_left(core)


async def test_what_is_partial_is_completed_by_a_refresh() -> None:
    async with metered() as service:
        core = service.core(seed=1)
        first, *_ = await wait_all(core, submitted(core, service, *range(8)), timeout=None)
        job = Job(core, first)
        assert first.is_partial
        assert not (await job.refresh()).is_partial
        assert job.generation is not None
        assert not job.generation.is_partial


async def test_a_single_job_is_asked_itself() -> None:
    async with metered(left=12) as service:
        core = service.core(seed=1)
        (job,) = submitted(core, service, 1)
        assert not (await job.wait()).is_partial
        assert service.pages == []
        assert left_of(service) > 0


async def test_where_reads_are_free_nothing_is_spared() -> None:
    async with metered(left=3, counts=False) as service:
        core = service.core(seed=1)
        found = await wait_all(core, submitted(core, service, *range(30)), timeout=None)
        assert not any(result.is_partial for result in found[1:])
        assert service.time.clock() - START < 100
        assert limiter_of(core).reads.counted is False


@pytest.mark.parametrize("counts", [False, True])
async def test_whether_reads_count_is_told_by_two_in_a_row_while_other_processes_send(counts: bool) -> None:
    async with metered(left=95, counts=counts) as service:
        core = service.core(seed=1)
        limiter_of(core).is_shared = True
        jobs = submitted(core, service, *range(30))

        async def send_elsewhere() -> None:
            for _ in range(30):
                await service.time.sleep(1.7)
                service.plan.taken.append(service.time.now())

        async with anyio.create_task_group() as group:
            group.start_soon(send_elsewhere)
            found = await wait_all(core, jobs, timeout=None)
            group.cancel_scope.cancel()
        assert all(result.is_completed for result in found)
        assert limiter_of(core).reads.counted is counts
        assert service.plan.refused == 0
        assert (len(service.pages) + len(service.asked) < 12) is counts


async def test_that_reads_count_is_looked_at_again_soon_while_it_may_be_what_other_processes_sent() -> None:
    async with metered(left=95, counts=False) as service:
        core = service.core(seed=1)
        limiter_of(core).is_shared = True
        limiter_of(core).reads = ReadsSeen(counted=True, falls=2)
        ended = dict[int, float]()
        async with anyio.create_task_group() as group:

            def note(number: int, end: Ended) -> None:
                assert isinstance(end, Generation)
                ended[number] = service.time.clock() - START

            waiter: GrowingJobWaiter[int] = GrowingJobWaiter(core, None, group, note)
            for number in range(30):
                service.job(number, 3.0, model="kling-v2.1")  # far sooner than such jobs usually end
                waiter.add(JobRef(number), number, age=0.0)
            group.start_soon(waiter.run)
            await service.time.sleep(HOUR)
            group.cancel_scope.cancel()
        assert limiter_of(core).reads.counted is False
        assert len(ended) == 30
        assert max(ended.values()) < 10


async def test_one_job_takes_few_reads_to_find_out_whether_they_count() -> None:
    async with metered(left=25) as service:
        core = service.core(seed=1)
        limiter_of(core).is_shared = True
        (job,) = submitted(core, service, 1, seconds=1_500.0)
        await job.wait(timeout=None)
        assert len(service.asked) + len(service.pages) < 15
        assert left_of(service) > 0


async def test_a_wait_goes_on_however_often_what_others_send_has_hidden_whether_reads_count() -> None:
    async with metered(left=95) as service:
        core = service.core(seed=1)
        limiter_of(core).is_shared = True
        for _ in range(2_000):
            poller_of(core).reads.read(service.time.clock())
        found = await wait_all(core, submitted(core, service, *range(8)), timeout=None)
        assert all(result.is_completed for result in found)


async def test_with_status_each_job_is_asked_itself_once_it_is_seen_to_have_ended() -> None:
    async with metered(left=80) as service:
        core = service.core(seed=1, polling=Polling(detail="status"))
        found = await wait_all(core, submitted(core, service, *range(20)), timeout=None)
        assert not any(result.is_partial for result in found)
        assert len(service.asked) == 20
        assert service.plan.refused == 0


async def test_jobs_that_the_listing_does_not_show_or_whose_end_it_does_not_tell_are_asked_themselves() -> None:
    async with metered(
        left=60, listing=Listing(shown=lambda item: None if item["id"] in {"3", "4"} else item)
    ) as service:
        core = service.core(seed=1)
        jobs = submitted(core, service, *range(12))
        service.job(5, 90, then="failed", model="wan")
        found = await wait_all(core, jobs, timeout=None)
        assert [result.is_failed for result in found] == [number == 5 for number in range(12)]
        assert {asked.id for asked in service.asked} == {"3", "4", "5"}
        assert service.plan.refused == 0


async def test_where_no_listing_shows_them_one_after_the_other_is_asked() -> None:
    async with metered(
        left=60,
        listing=Listing(shown=lambda item: None if item["id"] in {str(number) for number in range(6)} else item),
    ) as service:
        core = service.core(seed=1)
        found = await wait_all(core, submitted(core, service, *range(6), seconds=900.0), timeout=None)
        assert all(result.is_completed for result in found)
        assert len(service.asked) + len(service.pages) < 60
        assert service.plan.refused == 0


async def test_a_listing_that_is_refused_leaves_the_field_to_polls() -> None:
    refusal = (403, {"error": "forbidden", "message": "No history for you"})
    async with metered(left=60, listing=Listing(fails=lambda number, now: refusal)) as service:
        core = service.core(seed=1)
        found = await wait_all(core, submitted(core, service, *range(6)), timeout=None)
        assert all(result.is_completed for result in found)
        assert len(service.pages) <= 2
        assert service.plan.refused == 0


@one_loop
async def test_many_jobs_are_found_on_several_pages() -> None:
    async with metered(limit=2_000, left=100) as service:
        core = service.core(seed=1)
        found = await wait_all(core, submitted(core, service, *range(230)), timeout=None)
        assert all(result.is_completed for result in found)
        assert {page.number for page in service.pages} == {1, 2, 3}
        assert service.plan.refused == 0


async def test_a_used_up_hour_is_waited_for_without_asking_and_shown() -> None:
    async with metered(left=2) as service:
        core = service.core(seed=1)
        jobs = submitted(core, service, *range(10))
        async with anyio.create_task_group() as group:

            async def look() -> None:
                await service.time.sleep(300.0)
                held = limiter_of(core).throttled(core)
                assert held is not None
                assert DATE + HOUR <= held[0] <= DATE + HOUR + 4.0
                assert held[1] == "hour"

            group.start_soon(look)
            assert all(result.is_completed for result in await wait_all(core, jobs, timeout=None))
        assert HOUR <= service.time.clock() - START < HOUR + 120.0
        assert service.plan.refused <= 1
        assert limiter_of(core).throttled(core) is None


@pytest.mark.parametrize("told_by", ["an answer", "another process"])
async def test_what_was_put_off_goes_on_when_there_is_more_than_was_known(told_by: str) -> None:
    async with metered(left=3, limit=10) as service:
        core, ended = service.core(), list[float]()
        limiter = limiter_of(core)

        async def wait(id: int, seconds: float) -> None:
            await Job(core, service.job(id, seconds)).wait(timeout=None)
            ended.append(service.time.elapsed)

        async with anyio.create_task_group() as group:
            group.start_soon(wait, 1, 700.0)
            await service.time.sleep(600.0)
            assert len(service.asked) == 2  # and the next hour is waited for
            service.plan.hourly = 1_000
            if told_by == "an answer":
                await limiter.ask(core)
            else:
                assert limiter.windows.hour is not None
                more = replace(limiter.windows.hour, limit=1_000, remaining=900)
                limiter.learn(more, None, closed_until=-inf, clock=core.clock())
            await service.time.sleep(20.0)
            assert service.times()[2] == pytest.approx(600.0, abs=1.0)
            service.plan.hourly = 2_000
            await limiter.ask(core)  # nothing is put off any more
        assert 700.0 <= ended[0] < 740.0


async def test_a_wait_whose_limit_passes_in_a_used_up_hour_says_what_is_in_the_way() -> None:
    async with metered(left=2) as service:
        core = service.core(seed=1)
        jobs = submitted(core, service, *range(3), seconds=900.0)
        with pytest.raises(GenerationTimeoutError, match="The plan's requests are used up until 2026-03-08 13:00"):
            await wait_all(core, jobs, timeout=600.0)
        assert service.plan.refused <= 1
        assert len(service.asked) + len(service.pages) <= 2


async def test_a_batch_s_limit_lets_nothing_go_that_a_page_has_not_shown_as_running_after_it() -> None:
    async with metered(left=14) as service:
        core = service.core(seed=1)
        ended = dict[int, Ended]()
        async with anyio.create_task_group() as group:
            waiter: GrowingJobWaiter[int] = GrowingJobWaiter(core, 100.0, group, ended.__setitem__)
            for number, seconds in enumerate((90.0, 95.0, 98.0, 1e9)):
                service.job(number, seconds, model="wan")
                pending = Generation.read({"id": number, "status": "pending", "type": "video", "model": "wan"})
                waiter.add(JobRef(number), number, generation=pending, age=0.0)
            group.start_soon(waiter.run)
            await service.time.sleep(2 * HOUR)
            group.cancel_scope.cancel()
        assert [isinstance(ended[number], Generation) for number in range(4)] == [True, True, True, False]
        assert isinstance(ended[3], GenerationTimeoutError)
        assert service.plan.refused == 0
        assert left_of(service) > 0


@dear
async def test_what_needs_no_more_than_an_address_is_taken_from_the_listing_though_requests_are_plenty() -> None:
    async with a_service() as service:
        service.listing = Listing()
        core = service.core(seed=1)
        ended = dict[int, Ended]()
        async with anyio.create_task_group() as group:
            waiter: GrowingJobWaiter[int] = GrowingJobWaiter(
                core, None, group, ended.__setitem__, needs_result_only=True
            )
            for number in range(100):
                service.job(number, 60 + number)
                waiter.add(JobRef(number), number, age=0.0)
            group.start_soon(waiter.run)
            await service.time.sleep(200)
            group.cancel_scope.cancel()
        assert all(isinstance(end, Generation) and end.url for end in ended.values())
        assert len(ended) == 100
        assert len(service.asked) + len(service.pages) <= 100
        assert len(service.asked) <= 20


async def test_an_item_is_the_whole_result_where_it_has_all_that_an_answer_had() -> None:
    async with a_service() as service:
        service.listing = Listing()
        core = service.core(seed=1)
        for number in range(60):
            service.job(number, 30 + number, model="wan")
        found = await wait_all(core, range(60))
        assert not any(result.is_partial for result in found)
        assert len(service.asked) < 20


async def test_an_item_that_lacks_something_is_no_result_where_requests_are_plenty() -> None:
    async with a_service() as service:
        service.listing = Listing(shown=lambda item: {**item, "result_url": None})
        core = service.core(seed=1)
        for number in range(60):
            service.job(number, 30 + number, model="wan")
        found = await wait_all(core, range(60))
        assert all(result.url for result in found)
        assert not any(result.is_partial for result in found)


async def test_what_comes_due_while_a_page_is_on_its_way_waits_for_it_unless_its_own_limit_passes() -> None:
    async with metered(left=40, latency=25.0) as service:
        core = service.core(seed=1)
        jobs = submitted(core, service, *range(10))
        late = dict[int, object]()

        async def join(number: int, seconds: float, timeout: float | None) -> None:
            await service.time.sleep(seconds)
            (job,) = submitted(core, service, number, seconds=50.0)
            try:
                late[number] = await job.wait(timeout=timeout)
            except GenerationTimeoutError as error:
                late[number] = error

        async with anyio.create_task_group() as group:
            for number, seconds in enumerate((1.0, 20.0, 40.0, 61.0, 90.0, 115.0), start=20):
                group.start_soon(join, number, seconds, None)
                group.start_soon(join, 10 + number, seconds, 30.0)
            await wait_all(core, jobs, timeout=None)
        assert all(isinstance(late[number], Generation) for number in range(20, 26))
        assert len(late) == 12
        assert service.plan.refused == 0
        assert nothing_left(core)


async def test_jobs_of_which_no_more_than_the_id_is_known_are_found_as_well() -> None:
    async with metered(left=40) as service:
        core = service.core(seed=1)
        submitted(core, service, *range(10))
        assert all(result.is_completed for result in await wait_all(core, range(10), timeout=None))
        assert service.plan.refused == 0


async def test_an_estimate_of_the_service_s_own_brings_the_page_forward() -> None:
    async with metered(left=40) as service:
        core = service.core(seed=1)
        jobs = []
        for number in range(10):
            service.job(number, 30.0, model="wan", eta_seconds=20)
            pending = {"id": number, "status": "pending", "type": "video", "model": "wan", "eta_seconds": 20}
            jobs.append(Job(core, generation=Generation.read(pending)))
        assert all(result.is_completed for result in await wait_all(core, jobs, timeout=None))
        assert any(20.0 <= page.at - START < 24.0 for page in service.pages)
        assert service.plan.refused == 0


async def test_who_joins_while_a_page_is_on_its_way_waits_for_the_next() -> None:
    async with metered(limit=200, left=150, latency=25.0) as service:
        core = service.core(seed=1)
        jobs = submitted(core, service, *range(40), seconds=900.0)

        async def join(number: int) -> None:
            await service.time.sleep(600.0 + 7.0 * number)
            (job,) = submitted(core, service, 100 + number, seconds=30.0)
            assert (await job.wait()).is_completed

        async with anyio.create_task_group() as group:
            for number in range(12):
                group.start_soon(join, number)
            await wait_all(core, jobs, timeout=None)
        assert service.plan.refused == 0


async def test_who_joins_a_used_up_hour_waits_for_its_end_like_the_others() -> None:
    async with metered(left=3) as service:
        core = service.core(seed=1)
        jobs = submitted(core, service, *range(10))

        async def join() -> None:
            await service.time.sleep(700.0)
            assert (await Job(core, service.job(77, 10.0)).wait(timeout=None)).is_completed

        async with anyio.create_task_group() as group:
            group.start_soon(join)
            await wait_all(core, jobs, timeout=None)
        assert HOUR <= service.time.clock() - START < HOUR + 120.0
        assert service.plan.refused <= 1


@dear
async def test_of_many_that_the_listing_does_not_show_a_few_are_asked_at_once() -> None:
    async with metered(
        limit=1_000,
        left=130,
        listing=Listing(shown=lambda item: None if item["id"] in {str(number) for number in range(30)} else item),
    ) as service:
        core = service.core(seed=1)
        found = await wait_all(core, submitted(core, service, *range(60)), timeout=None)
        assert all(result.is_completed for result in found)
        assert service.plan.refused == 0


# Numbers that cannot be right.


def says(**changes: object) -> Tells:
    return lambda _, headers: {
        **headers,
        **{f"x-ratelimit-{name.replace('_', '-')}": str(value) for name, value in changes.items()},
    }


@pytest.mark.uncovered
@pytest.mark.parametrize(
    "tells",
    [
        says(reset_hour=12),
        says(reset_hour=10**12),
        says(reset_hour="soon"),
        says(limit_hour=0),
        says(limit_hour=-5),
        says(remaining_hour="many"),
        says(remaining_hour=-7),
        says(remaining_hour=10**9),
        lambda number, headers: {**headers, "x-ratelimit-remaining-hour": str(number)},
        lambda number, headers: headers if number % 3 else {},
        lambda number, headers: {},
        lambda number, headers: {**headers, "x-ratelimit-limit-hour": str(20 if number % 2 else 1_000)},
        lambda number, headers: {**headers, "x-ratelimit-reset-hour": str(DATE + 1_000 + 700 * (number % 5))},
        lambda number, headers: {
            **headers,
            "x-ratelimit-limit-day": "50",
            "x-ratelimit-remaining-day": str(90 - number),
        },
        lambda number, headers: {**headers, "x-ratelimit-limit-day": "500", "x-ratelimit-remaining-day": "0"},
    ],
    ids=[
        "reset in the past",
        "reset far away",
        "reset no number",
        "limit 0",
        "limit below 0",
        "remaining no number",
        "remaining below 0",
        "remaining above the limit",
        "counts up",
        "absent on some",
        "absent",
        "a limit that changes",
        "an end that changes",
        "more left than there are",
        "the day is over and nobody knows until when",
    ],
)
@pytest.mark.parametrize("left", [3, 60])
@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # 15 worlds twice are enough
async def test_headers_that_cannot_be_right_are_no_tight_loop_and_no_endless_wait(tells: Any, left: int) -> None:
    async with metered(left=left, tells=tells) as service:
        core = service.core(seed=1)
        found = await wait_all(core, submitted(core, service, *range(12)), timeout=None)
        assert all(result.is_completed for result in found)
        assert service.time.clock() - START < 2 * HOUR
        assert len(service.asked) + len(service.pages) <= 120
        assert service.plan.refused <= 4
        assert nothing_left(core)


async def test_a_clock_that_jumps_holds_nothing_up() -> None:
    """Windows end by a clock that cannot be set; Unix time is only what their ends are told in."""
    async with metered(left=30) as service:
        core = service.core(seed=1)
        clock, now = core.clock, core.now
        object.__setattr__(core, "now", lambda: now() + (1e6 if int(clock()) % 2 else -1e6))
        found = await wait_all(core, submitted(core, service, *range(12)), timeout=None)
        assert all(result.is_completed for result in found)
        assert service.time.clock() - START < HOUR + 200
        assert service.plan.refused <= 2


async def test_a_read_that_is_refused_holds_submissions_back_as_well() -> None:
    async with metered(left=0, tells=lambda number, headers: headers) as service:
        core = service.core(seed=1)
        limiter = limiter_of(core)
        jobs = submitted(core, service, *range(5))
        async with anyio.create_task_group() as group:

            async def submit() -> None:
                await service.time.sleep(60.0)
                with pytest.raises(RateLimitError, match="asked to send nothing more for now"):
                    await limiter.acquire(core, max_throttle_wait=60.0)

            group.start_soon(submit)
            await wait_all(core, jobs, timeout=None)
        assert service.plan.refused == 1
        assert not poller_of(core).jobs


async def test_what_those_who_wait_need_for_reads_is_taken_by_no_submission() -> None:
    async with metered(left=12) as service:
        core = service.core(seed=1)
        limiter = limiter_of(core)
        limiter.reads = ReadsSeen(counted=True)
        async with anyio.create_task_group() as group:
            group.start_soon(partial(wait_all, core, submitted(core, service, *range(80), seconds=600.0), timeout=None))
            while left_of(service) > 2:
                await service.time.sleep(1.0)
            await service.time.sleep(1.0)
            assert left_of(service) == 2
            with pytest.raises(RateLimitError):
                await limiter.acquire(core, max_throttle_wait=60.0)
            group.cancel_scope.cancel()
        await limiter.acquire(core, max_throttle_wait=60.0)
