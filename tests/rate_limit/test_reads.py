"""What reads have to do with the plan's windows: they may count, they show what is left, and room is kept for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import anyio
import pytest

from neuralbox._concurrency.per_loop import Home
from neuralbox._errors import RateLimitError
from neuralbox._rate_limit.limiter import Permit, RateLimiter
from neuralbox._rate_limit.plan import ReadsSeen
from neuralbox._rate_limit.windows import Window

from .support import HOUR, Waits, World, in_a_world

pytestmark = pytest.mark.anyio


async def test_a_throttled_submission_leaves_when_a_poll_shows_that_there_is_room() -> None:
    async def test(world: World) -> None:
        await world.submit()
        left: list[float] = []

        async def one() -> None:
            left.append(await world.submit(spread=True))

        async with anyio.create_task_group() as group:
            group.start_soon(one)
            await world.time.sleep(1.0)
            world.plan.hourly = 100
            clock = world.core.clock()
            world.limiter.note_headers({}, began=clock, clock=clock, now=clock)
            assert world.limiter.note_headers(
                world.plan.stamp(now := world.time.now()), began=clock, clock=clock, now=now
            )
        assert left[0] % HOUR < 10.0

    await in_a_world(test, 1)


async def test_where_reads_count_fewer_submissions_leave_and_kinds_without_reads_are_not_concerned() -> None:
    async def test(world: World) -> None:
        await world.many(80)
        world.limiter.reads = ReadsSeen(counted=True)
        world.limiter.readers = {Waits(45): Home(), Waits(20): Home()}  # nine pages, and each video a share of one
        for _ in range(10):
            await world.submit(kind="video", max_throttle_wait=60.0)
        with pytest.raises(RateLimitError):
            await world.submit(kind="video", max_throttle_wait=60.0)
        await world.submit(kind="text", max_throttle_wait=60.0)

    await in_a_world(test, 100)


async def test_what_is_left_for_reads_is_not_taken_by_a_call_that_goes_to_see() -> None:
    async def test(world: World) -> None:
        await world.submit()
        world.limiter.reads = ReadsSeen(counted=True)
        world.time.elapsed += 301.0
        with pytest.raises(RateLimitError):
            await world.submit(max_throttle_wait=60.0)

    world = await in_a_world(test, 1)
    assert (world.plan.refused, len(world.plan.taken)) == (0, 1)


async def test_who_waits_for_a_window_to_read_is_shown_as_throttled() -> None:
    async def test(world: World) -> None:
        waits = Waits(1)
        waits.closed_until = world.core.clock() + 60.0
        world.limiter.readers[waits] = Home()
        assert world.limiter.throttled(world.core) == (world.core.now() + 60.0, "hour")
        world.limiter.windows = replace(world.limiter.windows, day=Window(500, 2))
        assert world.limiter.throttled(world.core) == (world.core.now() + 60.0, "day")
        waits.closed_until = world.core.clock() - 1.0
        assert world.limiter.throttled(world.core) is None

    await in_a_world(test, 100)


class Told:
    """Answers that follow one another, each with what it says is left of 100."""

    def __init__(self) -> None:
        self.limiter, self.clock = RateLimiter(), 0.0

    def hear(
        self,
        remaining: int | None,
        *,
        is_read: bool = True,
        overlaps: bool = False,
        reset: int = 5_000,
        after: float = 2.0,
    ) -> bool | None:
        began = self.clock - (1.0 if overlaps else 0.0)
        self.clock += after
        said = {"x-ratelimit-limit-hour": "100", "x-ratelimit-remaining-hour": str(remaining)}
        headers = {} if remaining is None else {**said, "x-ratelimit-reset-hour": str(reset)}
        self.limiter.note_headers(headers, began=began, clock=self.clock, now=2_000 + self.clock, is_read=is_read)
        return self.counted

    @property
    def counted(self) -> bool | None:
        return self.limiter.reads.counted


def test_a_number_that_falls_from_read_to_read_tells_that_reads_count_and_one_that_stands_that_they_do_not() -> None:
    told = Told()
    assert [told.hear(remaining) for remaining in (60, 59, 59, 58)] == [None, True, False, False]


@pytest.mark.parametrize(
    "answers",
    [
        [{"remaining": 60}, {"remaining": 59, "overlaps": True}],
        [{"remaining": 60}, {"remaining": None}, {"remaining": 58}],  # one that said nothing may have counted, or not
        [{"remaining": 3}, {"remaining": 99, "reset": 8_600}],
        [{"remaining": 60, "reset": 8_600}, {"remaining": 2}],  # the last answer of an hour that is over
        [{"remaining": 60}, {"remaining": 61}],  # counts up
        [{"remaining": 60}, {"remaining": 59, "is_read": False}],
    ],
    ids=["at once", "absent", "a new hour", "an old hour", "counts up", "no read"],
)
def test_answers_that_say_nothing_of_reads_teach_nothing(answers: list[dict[str, Any]]) -> None:
    told = Told()
    for answer in answers:
        told.hear(**answer)
    assert told.counted is None


def test_where_other_processes_send_only_answers_close_to_one_another_tell_that_reads_count() -> None:
    told = Told()
    told.limiter.is_shared = True
    assert [told.hear(remaining) for remaining in (60, 58, 57, 57, 56, 55, 54)] == [None] * 3 + [False] * 4
    assert [told.hear(remaining, after=0.5) for remaining in (53, 51, 50, 49, 48)] == [False] * 5
    assert told.hear(47, after=0.5) is True
    assert told.hear(47) is False
    told = Told()
    told.limiter.is_shared = True
    assert [told.hear(remaining, after=0.5) for remaining in (60, 59, 58)] == [None, None, True]
    assert not told.limiter.reads.is_sure
    assert [told.hear(remaining, after=0.5) for remaining in (57, 56, 55)] == [True] * 3
    assert told.limiter.reads.is_sure


def test_a_read_beside_a_submission_teaches_nothing() -> None:
    told = Told()
    told.hear(60)
    told.limiter.under_way[Permit(told.limiter, 0.0)] = True
    told.hear(58)
    told.limiter.under_way.clear()
    assert [told.hear(remaining) for remaining in (57, 56)] == [None, True]


def test_a_read_that_is_refused_counts_whatever_the_numbers_said() -> None:
    told = Told()
    told.hear(60)
    told.hear(60)
    told.limiter.read_refused(RateLimitError("No.", retry_after=30.0, status_code=429), clock=told.clock)
    assert told.counted is True
    assert told.limiter.windows.closed_until == told.clock + 30.0
    plain = RateLimiter()
    plain.read_refused(RateLimitError("No.", retry_after=30.0, status_code=429), clock=0.0)
    assert plain.reads.counted is None


def test_what_others_send_is_demand_too() -> None:
    told = Told()
    for remaining in (60, 59, 48):
        told.hear(remaining)
    assert told.limiter.demand.count == pytest.approx(10.0)
    told.limiter.answered += 1
    told.hear(46, is_read=False)
    assert told.limiter.demand.count == pytest.approx(11.0, rel=0.01)
