"""Sweeps: one listing answers for many, whatever the listing is like, and whoever leaves in the middle."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import anyio
import pytest
import trio

from neuralbox._config import Polling
from neuralbox._core.exchange import Core
from neuralbox._errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    GenerationTimeoutError,
    NotFoundError,
)
from neuralbox._models.generation import Generation
from neuralbox._polling import listing_plan
from neuralbox._polling.account_pollers import poller_of
from neuralbox._polling.job import Job
from neuralbox._polling.listing import AFTER_FAILURE, AFTER_REFUSAL, SweepPlanner
from neuralbox._polling.many import wait_all
from neuralbox._types import JobRef
from neuralbox.testing import VirtualTime

from ..helpers import dear, one_loop
from ..service import Answer, Listing, Service, a_service
from .support import nothing_left
from .test_poller import Waits


def spread_jobs(service: Service, count: int, *, first: float = 20, last: float = 180) -> None:
    """Jobs that end one after the other, evenly, in an order of their own."""
    for number in range(count):
        service.job(number, first + (last - first) * (number * 37 % count) / count)


def sweeps_of(core: Core) -> SweepPlanner:
    strategy = poller_of(core).strategy
    assert isinstance(strategy, SweepPlanner)
    return strategy


def polls_of(service: Service) -> Counter[str]:
    return Counter(asked.id for asked in service.asked)


# What it saves.


@pytest.mark.anyio
async def test_a_hundred_jobs_cost_a_page_each_time_and_one_poll_each() -> None:
    async with a_service() as service:
        service.listing = Listing()
        core = service.core(seed=1, polling=Polling(detail="status"))
        spread_jobs(service, 100)
        results = await wait_all(core, range(100))
        assert all(result.url for result in results)
        assert set(polls_of(service).values()) == {1}
        assert {page.status for page in service.pages} == {"pending"}
        assert len(service.asked) + len(service.pages) <= 150
        assert nothing_left(core)


@pytest.mark.anyio
async def test_jobs_in_tasks_of_their_own_are_swept_as_well() -> None:
    async with a_service() as service:
        service.listing = Listing()
        waits = Waits(service, service.core(seed=1))
        spread_jobs(service, 50)
        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(waits.wait, str(number))
        assert set(waits.ended.values()) == {"completed"}
        assert len(service.asked) + len(service.pages) <= 50 * 2.2
        assert nothing_left(waits.core)


@pytest.mark.anyio
async def test_a_single_job_is_never_searched_for_in_a_listing() -> None:
    async with a_service() as service:
        service.listing = Listing()
        service.job(1, 60)
        await Job(service.core(), 1).wait()
        assert service.pages == []


@pytest.mark.anyio
async def test_jobs_that_are_due_at_different_times_are_polled_one_by_one() -> None:
    async with a_service() as service:
        service.listing = Listing()
        core = service.core()
        jobs = []
        for number in range(8):
            service.job(number, 28 * number)
            pending = Generation.read({"id": number, "status": "pending", "eta_seconds": 28 * number})
            jobs.append(Job(core, generation=pending))
        await wait_all(core, jobs)
        assert len(service.pages) <= 8


@pytest.mark.anyio
async def test_what_is_due_soon_comes_along_and_what_is_due_later_does_not_count() -> None:
    async with a_service() as service:
        service.listing = Listing()
        core = service.core(seed=2)
        late = [Generation.read({"id": number, "status": "pending", "eta_seconds": 100}) for number in range(20)]
        for number in range(20):
            service.job(number, 5)  # long before its estimate
        service.job("a", 12)
        await wait_all(core, [*(Job(core, generation=each) for each in late), "a"])
        assert [asked.id for asked in service.asked].count("a") >= 2


@pytest.mark.anyio
@dear
async def test_several_pages_are_walked_from_the_last_to_the_first() -> None:
    async with a_service() as service:
        service.listing = Listing()
        core = service.core(seed=1)
        spread_jobs(service, 350)
        await wait_all(core, range(350))
        assert [page.number for page in service.pages][:4] == [4, 3, 2, 1]
        assert set(polls_of(service).values()) == {1}
        assert len(service.pages) + len(service.asked) <= 350 * 1.4


@pytest.mark.anyio
@one_loop
async def test_many_pages_are_walked_side_by_side() -> None:
    async with a_service(latency=1.0) as service:
        service.listing = Listing(page_size=10)
        core = service.core(seed=1)
        for number in range(200):
            service.job(number, 40)
        await wait_all(core, range(200))
        begun = sorted(page.at for page in service.pages)
        assert begun[19] - begun[0] < 6, "twenty pages of a second each"
        assert nothing_left(core)


@pytest.mark.anyio
@dear
async def test_many_that_end_together_are_not_polled_together() -> None:
    async with a_service() as service:
        service.listing = Listing()
        waits = Waits(service, service.core(seed=1))
        async with anyio.create_task_group() as group:
            for number in range(400):
                service.job(number, 30)
                group.start_soon(waits.wait, str(number))
        busiest = max(Counter(int(asked.at * 4) for asked in service.asked).values())
        assert busiest < 120
        assert max(waits.at.values()) < 41


@pytest.mark.anyio
async def test_who_is_curious_hears_what_a_listing_says() -> None:
    async with a_service() as service:
        service.listing = Listing(shown=lambda item: {**item, "type": "video", "model": "kling"})
        core = service.core(seed=1)
        spread_jobs(service, 10)
        heard: list[Generation] = []
        await wait_all(core, [*range(9), JobRef(9, "image", "other")], on_progress=heard.append)
        pending = [each for each in heard if each.status == "pending"]
        assert len(pending) == 10
        assert {(each.kind, each.model) for each in pending} == {("video", "kling")}
        assert len(heard) == 20


@pytest.mark.anyio
async def test_what_its_own_status_said_is_not_lost_to_a_listing_that_says_less() -> None:
    async with a_service() as service:
        service.listing = Listing()
        core = service.core(seed=1)
        told = [Generation.read({"id": number, "status": "pending", "progress": 3}) for number in range(10)]
        spread_jobs(service, 10, first=100)
        with pytest.raises(GenerationTimeoutError) as caught:
            await wait_all(core, [Job(core, generation=each) for each in told], timeout=60)
        assert service.asked == []
        assert {each.progress for each in caught.value.generations} == {3}


@pytest.mark.anyio
async def test_a_limit_of_many_waits_ends_with_one_last_sweep() -> None:
    async with a_service() as service:
        service.listing = Listing()
        core = service.core(seed=1)
        for number in range(100):
            service.job(number, 58 if number < 5 else 1e9)
        with pytest.raises(GenerationTimeoutError) as caught:
            await wait_all(core, range(100), timeout=60)
        assert len([page for page in service.pages if page.at >= 1_055]) <= 2
        assert sum(each.is_completed for each in caught.value.generations) == 5
        assert len(service.asked) == 5
        assert 60 <= service.time.clock() - 1_000 < 61


@pytest.mark.anyio
async def test_a_limit_in_the_past_is_one_sweep_and_a_poll_of_what_it_did_not_show() -> None:
    async with a_service() as service:
        service.listing = Listing()
        core = service.core(seed=1)
        for number in range(50):
            service.job(number, 0 if number < 3 else 1e9)
        with pytest.raises(GenerationTimeoutError) as caught:
            await wait_all(core, range(50), timeout=0)
        assert sum(each.is_completed for each in caught.value.generations) == 3
        assert (len(service.pages), len(service.asked)) == (1, 3)


# The history's item as the answer.


@pytest.mark.anyio
@dear
async def test_with_detail_listing_the_item_is_the_answer_and_the_last_poll_is_saved() -> None:
    async with a_service() as service:
        service.listing = Listing(shown=lambda item: {**item, "model": None})
        core = service.core(seed=1, polling=Polling(detail="listing"))
        spread_jobs(service, 200)
        results = await wait_all(core, [JobRef(number, "video", "kling") for number in range(200)])
        assert all(result.is_completed and result.url and result.tokens == 60 for result in results)
        assert {(result.kind, result.model) for result in results} == {("video", "kling")}
        assert len(service.asked) < 30
        assert len(service.pages) + len(service.asked) <= 200
        assert nothing_left(core)


@pytest.mark.anyio
@pytest.mark.parametrize("lacks", [{"tokens_spent": None}, {"result_url": ""}])
async def test_an_item_that_lacks_what_a_result_has_is_asked_for(lacks: dict[str, Any]) -> None:
    async with a_service() as service:
        service.listing = Listing(shown=lambda item: {**item, "model": "kling", **lacks})
        core = service.core(seed=1, polling=Polling(detail="listing"))
        for number in range(20):
            service.job(number, 30)
        results = await wait_all(core, range(20))
        assert all(result.url and result.tokens for result in results)
        assert len(service.asked) == 20


@pytest.mark.anyio
async def test_a_completed_listing_that_fails_leaves_the_polls() -> None:
    async with a_service() as service:
        core = service.core(seed=1, polling=Polling(detail="listing"))
        for number in range(20):
            service.job(number, 30)

        def fails(_: int, now: float) -> Answer | None:
            return (502, {}) if service.pages[-1].status == "completed" else None

        service.listing = Listing(fails=fails)
        assert len(await wait_all(core, range(20))) == 20
        assert len(service.asked) == 20


@pytest.mark.anyio
@dear
async def test_a_long_completed_list_is_read_several_pages_at_once() -> None:
    async with a_service() as service:
        service.listing = Listing(page_size=10)
        core = service.core(seed=1, polling=Polling(detail="listing"))
        spread_jobs(service, 200, last=80)
        assert all(result.url for result in await wait_all(core, range(200)))
        at_once = Counter(page.at for page in service.pages if page.status == "completed")
        assert max(at_once.values()) > 1
        assert nothing_left(core)


@pytest.mark.anyio
@one_loop
async def test_a_job_that_fails_is_found_though_neither_list_shows_it() -> None:
    async with a_service() as service:
        service.listing = Listing()
        core = service.core(seed=1, polling=Polling(detail="listing"))
        spread_jobs(service, 300)
        service.job(7, 50, then="failed")
        results = await wait_all(core, range(300))
        assert [result.id for result in results if result.is_failed] == [7]


@pytest.mark.anyio
async def test_what_the_listing_says_of_the_model_is_kept() -> None:
    async with a_service() as service:
        service.listing = Listing(shown=lambda item: {**item, "model": "listed"})
        core = service.core(seed=1, polling=Polling(detail="listing"))
        for number in range(20):
            service.job(number, 30)
        results = await wait_all(core, [JobRef(number, "video", "asked") for number in range(20)])
        assert {result.model for result in results} == {"listed"}
        assert service.asked == []


# A listing is not what it should be.


@pytest.mark.anyio
async def test_what_has_ended_is_asked_for_though_a_list_of_pending_ones_shows_it() -> None:
    async with a_service() as service:
        service.listing = Listing(filters=False)
        core = service.core(seed=1, polling=Polling(detail="status"))
        spread_jobs(service, 12)
        assert all(result.is_completed and result.url for result in await wait_all(core, range(12)))
        assert {page.status for page in service.pages} == {"pending"}
        assert service.time.clock() - 1_000 < 195


@pytest.mark.anyio
@dear
@pytest.mark.parametrize(
    ("listing", "most_pages", "most_polls"),
    [
        (Listing(counted=False), 110, 60),
        (Listing(shown=lambda item: {**item, "id": int(item["id"])}), 60, 60),
        (Listing(filters=False), 60, 200),
        (Listing(others=130), 180, 60),
        (Listing(others=9_000), 4, 2_000),
        (Listing(shown=lambda item: None if item["id"] in {str(number) for number in range(60)} else item), 5, 2_000),
        (Listing(shown=lambda item: None if item["id"] in {"3", "4"} else item), 60, 110),
        (Listing(lag=35.0), 60, 800),
        (Listing(counted=False, others=6_000), 130, 2_000),
        (Listing(page_size=20), 120, 60),
    ],
    ids=[
        "no pages",
        "numbers",
        "no filter",
        "others",
        "far too many others",
        "none of ours",
        "some",
        "lag",
        "no end",
        "20",
    ],
)
async def test_every_job_is_found_whatever_the_listing_is_like(
    listing: Listing, most_pages: int, most_polls: int
) -> None:
    async with a_service() as service:
        service.listing = listing
        core = service.core(seed=1, polling=Polling(detail="status"))
        spread_jobs(service, 60)
        results = await wait_all(core, range(60))
        assert all(result.is_completed for result in results)
        assert service.time.clock() - 1_000 < 195
        assert len(service.pages) <= most_pages
        assert len(service.asked) <= most_polls
        assert nothing_left(core)


@pytest.mark.anyio
@dear
async def test_a_listing_that_ignores_the_page_is_left_after_it_showed_one_twice() -> None:
    async with a_service() as service:
        service.listing = Listing(ignores_page=True, page_size=10)
        core = service.core(seed=1)
        spread_jobs(service, 60, first=60)
        assert all(result.is_completed for result in await wait_all(core, range(60)))
        assert len(service.pages) <= 3 * 2
        assert service.time.clock() - 1_000 < 195


@pytest.mark.anyio
@dear
@pytest.mark.parametrize("counted", [True, False])
async def test_an_empty_page_in_the_middle_loses_no_job(counted: bool) -> None:
    async with a_service() as service:
        service.listing = Listing(empty=frozenset({2}), page_size=15, counted=counted)
        core = service.core(seed=1)
        spread_jobs(service, 60, first=60)
        assert all(result.is_completed for result in await wait_all(core, range(60)))
        assert service.time.clock() - 1_000 < 195
        assert nothing_left(core)


@pytest.mark.anyio
@dear
@pytest.mark.parametrize("counted", [True, False])
async def test_pages_that_shift_to_the_front_while_jobs_are_deleted_lose_no_job(counted: bool) -> None:
    async with a_service() as service:
        service.listing = Listing(page_size=10, counted=counted)
        core = service.core(seed=1)
        spread_jobs(service, 80, first=60)
        for number in range(80, 160):  # those of another program, which are deleted one after the other
            service.job(number, 5 + number / 2, then="deleted")
        assert all(result.is_completed for result in await wait_all(core, range(80)))
        assert service.time.clock() - 1_000 < 195
        assert nothing_left(core)


@pytest.mark.anyio
async def test_a_history_that_never_lists_ours_is_given_up() -> None:
    async with a_service() as service:
        service.listing = Listing(shown=lambda item: None if item["id"] in {"1", "2", "3", "4"} else item)
        core = service.core(seed=1)
        for number in range(1, 5):
            service.job(number, 400)
        await wait_all(core, range(1, 5))
        assert sweeps_of(core).given_up
        assert 3 <= len(service.pages) <= 5


@pytest.mark.anyio
@pytest.mark.parametrize("status", [400, 403, 404, 405, 422])
async def test_a_listing_that_is_refused_is_asked_no_more(status: int) -> None:
    async with a_service() as service:
        service.listing = Listing(fails=lambda *_: (status, {"error": "no"}))
        core = service.core(seed=1)
        spread_jobs(service, 8)
        await wait_all(core, range(8))
        assert len(service.pages) == 1


@pytest.mark.anyio
@dear
async def test_a_listing_that_was_refused_is_asked_again_after_a_time_that_grows() -> None:
    async with a_service() as service:
        service.listing = Listing(fails=lambda _, now: (403, {"error": "forbidden"}) if now < 4_000 else None)
        core = service.core(seed=1)
        spread_jobs(service, 5, first=9_000, last=9_001)
        await wait_all(core, range(5), timeout=None)
        times = [page.at for page in service.pages]
        assert times[1] - times[0] == pytest.approx(AFTER_REFUSAL[0], abs=60)
        assert times[2] - times[1] == pytest.approx(AFTER_REFUSAL[1], abs=400)
        assert len(times) == 3  # and then hours


@pytest.mark.anyio
@dear
@pytest.mark.parametrize("status", [401, 403, 404, 405, 410, 429])
async def test_a_page_of_a_content_network_in_place_of_the_listing_says_nothing_against_it(status: int) -> None:
    async with a_service() as service:
        service.listing = Listing(fails=lambda _, now: (status, "<html>Attention</html>") if now < 1_021 else None)
        core = service.core(seed=1)
        spread_jobs(service, 10, first=100)
        assert all(result.is_completed for result in await wait_all(core, range(10)))
        assert len([page for page in service.pages if page.at > 1_021]) >= 3
        assert nothing_left(core)


@pytest.mark.anyio
@dear
@pytest.mark.parametrize("fault", [(502, {}), ConnectError("gone"), {"nothing": 1}, (500, {"error": "provider_error"})])
async def test_a_listing_that_fails_leaves_the_field_to_polls_for_a_time(fault: Answer) -> None:
    async with a_service() as service:
        service.listing = Listing(fails=lambda _, now: fault if now < 1_040 else None)
        core = service.core(seed=1)
        spread_jobs(service, 20, first=100)
        await wait_all(core, range(20))
        times = [page.at for page in service.pages]
        assert times[-1] - times[0] >= AFTER_FAILURE
        assert len([at for at in times if at < 1_060]) <= 3
        assert len(service.pages) > 2
        assert set(polls_of(service)) == {str(number) for number in range(20)}


@pytest.mark.anyio
async def test_a_429_for_a_page_holds_everybody_and_sweeps_go_on_after_it() -> None:
    async with a_service() as service:
        refused: list[float] = []

        def fails(_: int, now: float) -> Answer | None:
            if now > 1_030 and not refused:
                refused.append(now)
                return 429, {"error": "rate_limit_exceeded", "retry_after": 40}
            return None

        service.listing = Listing(fails=fails)
        core = service.core(seed=1)
        spread_jobs(service, 100)
        await wait_all(core, range(100))
        (when,) = refused
        assert not [page for page in service.pages if when < page.at < when + 40]
        assert not [asked for asked in service.asked if when + 1 < asked.at < when + 40]
        assert max(polls_of(service).values()) == 1


@pytest.mark.anyio
async def test_a_page_in_the_middle_that_fails_takes_nothing_back() -> None:
    async with a_service() as service:
        service.listing = Listing(
            fails=lambda number, now: ConnectError("gone") if number == 2 and now < 1_001 else None
        )
        core = service.core(seed=1)
        for number in range(400):
            service.job(number, 200)
        with pytest.raises(GenerationTimeoutError) as caught:
            await wait_all(core, range(400), timeout=4)
        assert all(each is not None for each in caught.value.generations)


@pytest.mark.anyio
@dear
async def test_a_page_in_the_middle_that_is_refused_ends_a_walk_from_the_end() -> None:
    async with a_service() as service:
        service.listing = Listing(fails=lambda number, now: (403, {}) if number == 3 else None)
        core = service.core(seed=1)
        for number in range(400):
            service.job(number, 30)
        found = await wait_all(core, range(400), timeout=None)
        assert all(each.is_completed for each in found)
        assert {page.number for page in service.pages} == {4, 3}


@pytest.mark.anyio
@one_loop
async def test_a_list_without_an_end_may_fail_in_the_middle() -> None:
    async with a_service() as service:
        service.listing = Listing(
            counted=False, fails=lambda number, now: (502, {}) if number == 2 and now < 1_030 else None
        )
        core = service.core(seed=1)
        spread_jobs(service, 30)
        assert len(await wait_all(core, range(30))) == 30


@pytest.mark.anyio
async def test_a_last_poll_does_not_wait_for_a_walk_that_goes_on() -> None:
    async with a_service(latency=3.0) as service:
        service.listing = Listing()
        waits = Waits(service, service.core(seed=1))
        async with anyio.create_task_group() as group:
            await started(service, waits, group, "123456789")
            while not service.pages:
                await service.time.sleep(0.1)
            service.job("late", 0)
            began = service.time.clock() - 1_000
            await waits.wait("late", timeout=0.1)
            assert waits.at["late"] - began < 3.5
        assert set(waits.ended.values()) == {"completed"}


@pytest.mark.anyio
@dear
async def test_what_comes_due_while_a_long_walk_goes_on_is_left_alone_until_it_is_over() -> None:
    """A million jobs take half a minute to list; moving each of them every second would cost more than the listing."""
    async with a_service(latency=8.0) as service:
        service.listing = Listing()
        core = service.core(seed=1)
        for number in range(600):
            service.job(number, 1e9)
        with pytest.raises(GenerationTimeoutError):
            await wait_all(core, range(600), timeout=400)
        walks = sum(page.number == 1 for page in service.pages)
        assert walks >= 10
        assert poller_of(core).queue.pushed / 600 <= 6 * walks
        longest = max(later.at - page.at for page, later in pairwise(service.pages))
        assert longest <= 8.5, "one walk follows the other"


@pytest.mark.anyio
async def test_a_page_past_the_end_that_is_refused_is_no_refusal_of_the_list() -> None:
    async with a_service() as service:
        core = service.core(seed=1)
        for number in range(150):
            service.job(number, 20 if number < 100 else 60)

        def fails(number: int, now: float) -> Answer | None:
            return (404, {"error": "not_found"}) if number > 1 and now > 1_020 else None

        service.listing = Listing(fails=fails)
        await wait_all(core, range(150))
        assert not sweeps_of(core).given_up
        assert max(polls_of(service).values()) == 1


@pytest.mark.anyio
async def test_a_refused_credential_ends_all_waits_by_a_poll() -> None:
    async with a_service() as service:
        service.listing = Listing(fails=lambda _, now: (401, {"error": "not_authenticated"}) if now > 1_020 else None)
        core = service.core(seed=1)
        for number in range(20):
            service.answers[str(number)] = lambda now: (
                (401, {"error": "not_authenticated"}) if now > 1_020 else {"status": "pending"}
            )
        with pytest.raises(AuthenticationError):
            await wait_all(core, range(20))
        assert service.time.clock() < 1_035


@pytest.mark.anyio
async def test_ids_that_do_not_exist_harm_no_other() -> None:
    async with a_service() as service:
        service.listing = Listing()
        core = service.core(seed=1)
        spread_jobs(service, 30)
        with pytest.raises(NotFoundError) as caught:
            await wait_all(core, [*range(30), "gen_nothing", 999])
        assert sum(each is not None and each.is_completed for each in caught.value.generations) == 30


@pytest.mark.anyio
@dear
async def test_a_listing_with_ever_new_words_keeps_a_bounded_memory_of_them() -> None:
    async with a_service() as service:
        listing = service.listing = Listing()
        core = service.core(seed=1)
        listing.fails = lambda _, now: {
            "items": [{"id": number, "status": f"{now} {number}"} for number in range(300)], "total": 300, "pages": 1
        }  # fmt: skip
        with pytest.raises(GenerationTimeoutError):
            await wait_all(core, range(100), timeout=20)
        assert listing_plan._listed.cache_info().currsize <= 256


# Somebody leaves, move by move.


async def started(service: Service, waits: Waits, group: Any, names: str) -> None:
    for name in names:
        service.job(name, 30)
        group.start_soon(waits.wait, name)


@pytest.mark.anyio
async def test_who_walks_is_cancelled_and_another_sweeps_in_its_place() -> None:
    async with a_service(latency=1.0) as service:
        service.listing = Listing()
        core = service.core(seed=1)
        ended: Counter[str] = Counter()
        scopes = {name: anyio.CancelScope() for name in "123456789"}

        async def wait(name: str) -> None:
            own = core.with_options(core.options.with_changes(default_headers={"x-of": name}))
            with scopes[name]:
                ended[(await Job(own, name).wait()).status] += 1

        async with anyio.create_task_group() as group:
            for name in scopes:
                service.job(name, 30)
                group.start_soon(wait, name)
            for number in range(5):
                while len(service.pages) <= number or not service.under_way:
                    await service.time.sleep(0.1)
                scopes[service.pages[-1].headers["x-of"]].cancel()
                await service.time.sleep(0.2)
        assert ended == {"completed": 4}
        assert service.time.clock() < 1_040
        assert nothing_left(core)


@pytest.mark.anyio
async def test_who_is_sent_to_sweep_and_cancelled_before_it_begins_passes_it_on() -> None:
    async with a_service() as service:
        service.listing = Listing()
        waits = Waits(service, service.core(seed=1))
        sweeps = sweeps_of(waits.core)
        cancelled: list[str] = []

        async def sweep_and_cancel(poller: Any, due: Any) -> None:
            await sweeps(poller, due)
            leader = poller.leadership.leader
            if leader.todo and len(cancelled) < 3:
                (name,) = [str(job.ref.id) for job in poller.jobs if leader in job.waiters]
                cancelled.append(name)
                waits.scopes[name].cancel()
                await anyio.lowlevel.checkpoint()

        poller_of(waits.core).strategy = sweep_and_cancel
        async with anyio.create_task_group() as group:
            await started(service, waits, group, "123456789")
        assert len(cancelled) == 3
        assert Counter(waits.ended.values()) == {"cancelled": 3, "completed": 6}
        assert nothing_left(waits.core)


@pytest.mark.anyio
async def test_pages_that_were_answered_stand_when_the_walk_is_cut_off() -> None:
    async with a_service(latency=1.0) as service:
        service.listing = Listing()
        core = service.core(seed=1)
        for number in range(150):
            service.job(number, 1e9)
        jobs = [Job(core, number) for number in range(150)]
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                for job in jobs:
                    group.start_soon(job.wait)
                while len(service.pages) < 2:
                    await service.time.sleep(0.2)
                scope.cancel()
        assert sum(job.generation is not None for job in jobs) >= 50
        assert nothing_left(core)


@pytest.mark.anyio
async def test_a_callback_that_raises_takes_its_wait_out_of_the_walk_and_no_other() -> None:
    async with a_service(latency=0.5) as service:
        service.listing = Listing()
        waits = Waits(service, service.core(seed=1))

        def on_progress(_: Generation) -> None:
            raise ZeroDivisionError

        async with anyio.create_task_group() as group:
            for name in "123456":
                service.job(name, 30)
                options: dict[str, Any] = {"on_progress": on_progress} if name in "135" else {}
                group.start_soon(lambda name=name, options=options: waits.wait(name, **options))  # type: ignore[misc]
        assert Counter(waits.ended.values()) == {"ZeroDivisionError": 3, "completed": 3}
        assert nothing_left(waits.core)


@pytest.mark.anyio
async def test_waits_with_limits_end_in_time_while_a_page_hangs() -> None:
    async with a_service() as service:
        service.listing = Listing()
        service.stalled = anyio.Event()
        waits = Waits(service, service.core(seed=1))
        async with anyio.create_task_group() as group:
            for name in "123456":
                group.start_soon(lambda name=name: waits.wait(name, timeout=None))  # type: ignore[misc]
            await service.time.sleep(1)
            assert service.pages
            for name in "23456":
                group.start_soon(lambda name=name: waits.wait(f"{name}b", name, timeout=2 * int(name)))  # type: ignore[misc]
            await service.time.sleep(40)
            assert waits.ended == {f"{name}b": "GenerationTimeoutError" for name in "23456"}
            for name in "23456":
                assert 2 * int(name) <= waits.at[f"{name}b"] - 1 <= 2 * int(name) + 5.1
            group.cancel_scope.cancel()
        assert nothing_left(waits.core)


@pytest.mark.anyio
async def test_a_wait_for_many_ends_in_time_while_a_page_hangs() -> None:
    async with a_service() as service:
        service.listing = Listing()
        service.stalled = anyio.Event()
        core = service.core(seed=1)
        with pytest.raises(GenerationTimeoutError):
            await wait_all(core, range(30), timeout=10)
        assert service.time.clock() - 1_000 <= 15.1
        assert nothing_left(core)


@pytest.mark.anyio
async def test_two_batches_and_single_waits_share_the_sweeps_and_outlive_one_another() -> None:
    async with a_service() as service:
        service.listing = Listing()
        waits = Waits(service, service.core(seed=1))
        spread_jobs(service, 60)
        done: list[int] = []

        async def batch(numbers: range) -> None:
            done.extend(int(each.id) for each in await wait_all(waits.core, numbers))

        async with anyio.create_task_group() as group:
            group.start_soon(batch, range(40))
            for name in ("1", "59"):
                group.start_soon(waits.wait, name)
            async with anyio.create_task_group() as short:
                short.start_soon(batch, range(20, 60))
                await service.time.sleep(50)
                short.cancel_scope.cancel()
        assert sorted(done) == list(range(40))
        assert waits.ended == {"1": "completed", "59": "completed"}
        assert len(service.pages) + len(service.asked) <= 130
        assert nothing_left(waits.core)


@pytest.mark.anyio
async def test_a_sweep_that_cannot_even_be_sent_says_so() -> None:
    async with a_service() as service:
        service.listing = Listing(fails=lambda *_: ConfigurationError("nobody is logged in"))
        core = service.core(seed=1)
        with pytest.raises(ConfigurationError):
            await wait_all(core, range(10))
        assert nothing_left(core)


def test_sweeps_of_one_client_go_on_in_the_next_loop_on_both_kinds() -> None:
    time = VirtualTime()
    service = Service(time)
    service.listing = Listing()
    core = service.core(seed=1)

    async def left_in_the_middle() -> None:
        for number in range(10):
            service.job(number, 1e9)
        async with anyio.create_task_group() as group:
            group.start_soon(wait_all, core, range(10))
            await time.sleep(12.02)  # in the middle of a page
            group.cancel_scope.cancel()

    async def to_the_end() -> int:
        for number in range(10):
            service.job(number, 20)
        results: list[Generation] = []
        async with anyio.create_task_group() as group:
            results += await wait_all(core, range(10))
            assert nothing_left(core)
            group.cancel_scope.cancel()
        return len(results)

    runs: list[Callable[..., Any]] = [asyncio.run, trio.run]
    for run in runs:
        run(left_in_the_middle) if run is trio.run else run(left_in_the_middle())
    for run in runs:
        assert (run(to_the_end) if run is trio.run else run(to_the_end())) == 10
