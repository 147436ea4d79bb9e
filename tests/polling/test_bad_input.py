"""One job that is odd among many that are not: a clear outcome for it, the others unharmed, and no tight loop.

Each case runs with a history that can be swept and without one. What a single wait makes of the same is in
`test_handle`, of ids in `test_poll`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from neuralbox._config import Polling
from neuralbox._errors import GenerationTimeoutError, NotFoundError
from neuralbox._models.generation import Generation
from neuralbox._polling.many import wait_all

from ..helpers import dear
from ..service import Listing, Service, a_service
from .support import nothing_left

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("swept", [True, False], ids=["swept", "one by one"]),
]

OTHERS = 12
ODD = 1_000
LIMIT = 300.0
# A poll every shortest pause is what is allowed at most; a tight loop would be thousands.
MOST = LIMIT / 5 + 2


def others(service: Service, *, swept: bool) -> list[int]:
    """Jobs as they should be."""
    if swept:
        service.listing = Listing()
    for number in range(OTHERS):
        service.job(number, 20 + 5 * number)
    return list(range(OTHERS))


def unharmed(generations: Any) -> bool:
    """Whether each of the others came to its end."""
    return all(each is not None and each.is_completed and each.url for each in generations[:OTHERS])


def polls(service: Service, id: object = ODD) -> int:
    return sum(asked.id == str(id) for asked in service.asked)


@pytest.mark.parametrize("unknown", [999_999, "gen_nothing", "123abc"], ids=["number", "text", "neither"])
async def test_an_id_that_does_not_exist_is_not_found(swept: bool, unknown: int | str) -> None:
    async with a_service() as service:
        core = service.core(seed=1)
        with pytest.raises(NotFoundError) as caught:
            await wait_all(core, [*others(service, swept=swept), unknown], timeout=LIMIT)
        assert caught.value.job is not None
        assert caught.value.job.id == unknown
        assert unharmed(caught.value.generations)
        assert caught.value.generations[OTHERS] is None
        assert polls(service, unknown) <= 2 * MOST, "on both paths"
        assert nothing_left(core)


async def test_an_id_of_the_other_dialect_is_found_where_the_service_knows_it(swept: bool) -> None:
    async with a_service() as service:
        core = service.core(seed=1)
        jobs = [*others(service, swept=swept), service.job("gen_01k2q7vidkl1", 60)]
        found = await wait_all(core, jobs, timeout=LIMIT)
        assert unharmed(found)
        assert (found[OTHERS].id, found[OTHERS].is_completed) == ("gen_01k2q7vidkl1", True)


async def test_the_same_id_many_times_costs_no_more_than_once(swept: bool) -> None:
    async with a_service() as service:
        core = service.core(seed=1)
        jobs = others(service, swept=swept)
        found = await wait_all(core, [*jobs, *map(str, jobs), *jobs], timeout=LIMIT)
        assert [each.id for each in found] == 3 * jobs
        assert all(polls(service, job) <= MOST for job in jobs)


async def test_no_jobs_are_no_requests(swept: bool) -> None:
    async with a_service() as service:
        others(service, swept=swept)
        assert await wait_all(service.core(), []) == []
        assert not service.asked
        assert not service.pages


@pytest.mark.parametrize("limit", [0, -1e9])
async def test_a_limit_in_the_past_is_one_poll_and_no_wait(swept: bool, limit: float) -> None:
    async with a_service() as service:
        core = service.core(seed=1)
        jobs = [*others(service, swept=swept), service.job(ODD, 0)]
        with pytest.raises(GenerationTimeoutError) as caught:
            await wait_all(core, jobs, timeout=limit)
        assert service.time.clock() - 1_000 < 10
        seen = caught.value.generations
        assert [each is not None and each.is_completed for each in seen] == [False] * OTHERS + [True]
        assert all(polls(service, job) <= 1 for job in jobs)
        assert nothing_left(core)


async def test_a_job_that_is_pending_for_ever_ends_with_the_limit(swept: bool) -> None:
    async with a_service() as service:
        core = service.core(seed=1)
        jobs = [*others(service, swept=swept), service.job(ODD, 1e9)]
        with pytest.raises(GenerationTimeoutError) as caught:
            await wait_all(core, jobs, timeout=LIMIT)
        assert caught.value.job is not None
        assert caught.value.job.id == ODD
        assert unharmed(caught.value.generations)
        assert caught.value.generations[OTHERS].status == "pending"
        assert polls(service) + len(service.pages) <= 2 * MOST


@pytest.mark.parametrize("back_after", [0.0, 20.0])
async def test_a_job_that_goes_back_from_completed_to_pending_stays_what_was_heard_first(
    swept: bool, back_after: float
) -> None:
    async with a_service() as service:
        core = service.core(seed=1)
        jobs = [*others(service, swept=swept), ODD]
        ended: dict[str, Any] = {"id": ODD, "status": "completed", "result_url": "http://127.0.0.1/1.mp4"}
        heard: list[float] = []

        def answer(now: float) -> dict[str, Any]:
            # Completed for whoever asks first after a minute, and for so many seconds; then it runs for another minute.
            if now >= 1_060 and not heard:
                heard.append(now)
            over = heard and now <= heard[0] + back_after
            return ended if over or now >= 1_200 else {"id": ODD, "status": "pending"}

        service.answers[str(ODD)] = answer
        found = await wait_all(core, jobs, timeout=LIMIT)
        assert unharmed(found)
        assert found[OTHERS].is_completed
        assert polls(service) + len(service.pages) <= 2 * MOST


def _constant(value: Any) -> Callable[[float], Any]:
    return lambda _: value


@dear
@pytest.mark.parametrize(
    "eta",
    [-1, 0, 1e300, 10**400, "soon", "-inf", []],
    ids=["below 0", "0", "huge", "no float", "a word", "-inf", "list"],
)
async def test_an_estimate_that_cannot_be_right_is_no_tight_loop_and_hides_no_end(swept: bool, eta: Any) -> None:
    async with a_service() as service:
        core = service.core(seed=1, polling=Polling(detail="status"))
        jobs: list[Any] = [*others(service, swept=swept), service.job(ODD, 100, eta_seconds=eta, progress=eta)]
        submitted = Generation.read({"id": ODD, "status": "pending", "eta_seconds": eta})
        found = await wait_all(core, [*jobs[:-1], submitted], timeout=LIMIT)
        assert unharmed(found)
        assert found[OTHERS].is_completed
        assert polls(service) <= 100 / 5 + 2
        assert service.times(ODD)[-1] <= 131, "within the longest pause after its end"
