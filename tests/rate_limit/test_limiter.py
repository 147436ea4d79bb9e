"""Submissions leave as the plan's windows allow: no 429, no needless pause, and a word about when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import pairwise
from random import Random
from threading import Thread
from typing import Any

import anyio
import pytest

from neuralbox._api.builders import build_media
from neuralbox._concurrency.per_loop import Home
from neuralbox._concurrency.single_flight import ThreadsafeEvent
from neuralbox._config import CallOptions
from neuralbox._core.exchange import Core
from neuralbox._core.reply_capture import capture_replies
from neuralbox._errors import ConfigurationError, ConnectionLostError, RateLimitError
from neuralbox._rate_limit.limiter import Permit, RateLimiter, limiter_of
from neuralbox._rate_limit.plan import Outstanding, ReadsSeen
from neuralbox._rate_limit.windows import AWAIT_ANSWERS, MAX_UNANSWERED, NOTHING_KNOWN, SendTime, Window, Windows
from neuralbox._submissions import submission
from neuralbox._transport import Reply
from neuralbox._transport.closing import announce_closed, announce_open
from neuralbox.testing import VirtualTime
from tests.helpers import Sent, dear, make_core, refusal, reply
from tests.service import Plan, Service

pytestmark = pytest.mark.anyio
HOUR = 3_600.0


class World:
    """A plan, a client of it, and its limiter."""

    def __init__(self, service: Service) -> None:
        self.plan, self.time, self.core, self.limiter = service.plan, service.time, service.core(), RateLimiter()
        self.refused = 0

    async def submit(self, *, latency: float = 0.5, **how: Any) -> float:
        """Send one submission as the rate limiter allows, and return when it left."""
        permit = await self.limiter.acquire(self.core, **how)
        left_at = self.time.now()
        try:
            no, headers = self.plan.take(left_at), self.plan.stamp(left_at)
            await self.time.sleep(latency)
            permit.heard(self.core, headers, accepted=no is None)
            if no is not None:
                self.refused += 1
                permit.refused(
                    self.core, self.core.options.service.status_error(429, headers, no.content, now=self.core.now())
                )
        finally:
            permit.leave()
        return left_at

    async def many(self, count: int, *, workers: int = 16, **how: Any) -> list[float]:
        """Send so many, some at once, and return when each left."""
        numbers, left = iter(range(count)), list[float]()

        async def work() -> None:
            for _ in numbers:
                left.append(await self.submit(**how))

        async with anyio.create_task_group() as group:
            for _ in range(workers):
                group.start_soon(work)
        return left


async def in_a_world(
    test: Callable[[World], Awaitable[None]], hourly: int, daily: int = 0, *, at: float = 0.0, headers: bool = True
) -> World:
    """Run a test in virtual time that starts `at` seconds after a full day."""
    time = at_a_full_window()
    time.elapsed += at
    service = Service(time=time, plan=Plan(hourly, daily, headers=headers))
    world = World(service)
    async with anyio.create_task_group() as group:
        await test(world)
        group.cancel_scope.cancel()
    assert not world.limiter.under_way
    assert not world.limiter._throttled
    assert not [*service.posts, *service.asked, *service.pages]
    return world


# A batch.


@dear
@pytest.mark.parametrize("workers", [1, 16])
async def test_three_hours_of_submissions_never_meet_a_refusal(workers: int) -> None:
    async def test(world: World) -> None:
        await world.many(250, workers=workers, spread=True)

    world = await in_a_world(test, 100, at=600.0)
    hours = [int(at % 86_400 // HOUR) for at in world.plan.taken]
    assert (world.plan.refused, len(world.plan.taken)) == (0, 250)
    assert [hours.count(hour) for hour in range(3)] == [99, 99, 52]  # one is left to whoever calls by hand
    in_hour = sorted(at % HOUR for at in world.plan.taken if at % 86_400 < HOUR)
    assert in_hour[70] < 700.0  # most leave at once...
    gaps = [later - sooner for sooner, later in pairwise(in_hour[81:])]
    assert min(gaps) > 100.0  # ... and the last fifth is spread over the rest of the hour


@dear
async def test_a_daily_limit_is_kept_and_the_new_day_found_out_though_no_header_tells_it() -> None:
    async def test(world: World) -> None:
        await world.many(130, spread=True)

    world = await in_a_world(test, 100, 120, at=22 * HOUR)
    days = [int(at // 86_400) for at in world.plan.taken]
    assert world.plan.refused == 0
    assert [days.count(min(days)), days.count(max(days))] == [119, 11]
    assert world.plan.taken[-1] % 86_400 < 900.0 + 5.0
    assert world.plan.profiles_asked <= 5


async def test_a_plan_without_limits_holds_nothing_up() -> None:
    async def test(world: World) -> None:
        left = await world.many(160, spread=True)
        assert max(left) - min(left) < 10.0

    world = await in_a_world(test, 0)
    assert world.plan.profiles_asked == 1  # by the crowd, before anything was known
    assert world.limiter.windows.known


@dear
async def test_a_service_that_names_its_limits_in_the_profile_only_is_counted_here() -> None:
    async def test(world: World) -> None:
        await world.many(150, spread=True)

    world = await in_a_world(test, 100, headers=False)
    assert (world.plan.refused, world.plan.profiles_asked) == (0, 1)


async def test_a_lost_answer_counts_as_one_and_a_refusal_as_none() -> None:
    async def test(world: World) -> None:
        await world.submit()
        limiter, core = world.limiter, world.core

        def left() -> int:
            assert limiter.windows.hour is not None
            return limiter.windows.hour.remaining

        assert left() == 99
        (await limiter.acquire(core)).leave()
        assert left() == 98
        permit = await limiter.acquire(core)
        permit.heard(core, {}, accepted=False)
        permit.refused(core, None)
        permit.leave()
        permit.leave()
        assert left() == 98

    await in_a_world(test, 100)


async def test_another_program_on_the_same_account_is_left_a_share_and_makes_no_submission_of_ours_too_many() -> None:
    async def test(world: World) -> None:
        async def other() -> None:
            for _ in range(30):
                served.append(world.plan.take(world.time.now()) is None)
                await world.time.sleep(61.0)

        async with anyio.create_task_group() as group:
            group.start_soon(other)
            await world.many(120, workers=4, spread=True)

    served: list[bool] = []
    world = await in_a_world(test, 100)
    assert world.refused == 0
    assert sum(served) >= 15


# A plain call.


async def test_a_single_call_on_a_quiet_account_asks_nothing_and_waits_for_nothing() -> None:
    async def test(world: World) -> None:
        assert await world.submit(max_throttle_wait=60.0) == world.time.now() - 0.5

    world = await in_a_world(test, 100)
    assert world.plan.profiles_asked == 0


async def test_a_plain_call_takes_what_is_left_and_then_is_told_until_when_without_a_request() -> None:
    async def test(world: World) -> None:
        left = await world.many(20, workers=20, max_throttle_wait=60.0)
        assert max(left) - min(left) < 3.0
        with pytest.raises(RateLimitError) as caught:
            await world.submit(max_throttle_wait=60.0)
        error = caught.value
        assert error.status_code == 429
        assert error.retry_after == pytest.approx(2_400.0, abs=10.0)
        assert str(error).startswith("The plan's hourly limit is used up until ")
        assert "which is longer than 60 s; nothing was sent. (0 of 20 left this hour" in str(error)

    world = await in_a_world(test, 20, at=1_200.0)
    assert (world.plan.refused, len(world.plan.taken)) == (0, 20)


async def test_a_plain_call_waits_for_a_window_that_begins_soon() -> None:
    async def test(world: World) -> None:
        await world.many(3, workers=3, max_throttle_wait=60.0)
        left = await world.submit(max_throttle_wait=60.0)
        assert left % HOUR == pytest.approx(1.5 + 0.5, abs=0.1)

    await in_a_world(test, 3, at=HOUR - 30)


async def test_who_waits_for_a_slow_answer_leaves_when_the_next_window_begins() -> None:
    async def test(world: World) -> None:
        await world.submit()
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: world.submit(latency=600.0))  # takes the last place
            await world.time.sleep(1.0)
            left = await world.submit(max_throttle_wait=60.0)
            assert left % HOUR == pytest.approx(1.5 + 0.5, abs=0.1)
            assert len(world.limiter.under_way) == 1

    world = await in_a_world(test, 2, at=HOUR - 30)
    assert world.plan.refused == 0


async def test_who_waits_for_the_answer_of_a_call_that_went_to_see_leaves_when_the_pause_is_over() -> None:
    async def test(world: World) -> None:
        limiter, core = world.limiter, world.core
        permit = await limiter.acquire(core)
        permit.refused(core, RateLimitError("Slow down.", status_code=429))  # for how long nobody knows
        permit.leave()
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: world.submit(latency=600.0, repeats=True))
            await world.time.sleep(1.0)
            await world.submit(repeats=True)
            assert len(limiter.under_way) == 1  # the slow one

    await in_a_world(test, 100)


async def test_many_that_wait_for_a_window_to_open_come_back_spread_over_a_second() -> None:
    async def test(world: World) -> None:
        await world.many(5, workers=5, max_throttle_wait=60.0)
        dice = Random(1)
        world.core.random = dice.random
        left: list[float] = []

        async def one() -> None:
            left.append(await world.submit(latency=3.0, max_throttle_wait=60.0))

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(one)
        assert len(set(left)) == 5
        assert 0.2 < max(left) - min(left) <= 1.0

    world = await in_a_world(test, 5, at=HOUR - 30)
    assert world.plan.refused == 0


async def test_of_a_crowd_at_the_end_of_a_window_none_is_refused_by_the_service() -> None:
    async def test(world: World) -> None:
        await world.submit()
        raised = 0

        async def one() -> None:
            nonlocal raised
            try:
                await world.submit(max_throttle_wait=60.0)
            except RateLimitError:
                raised += 1

        async with anyio.create_task_group() as group:
            for _ in range(30):
                group.start_soon(one)
        assert raised == 11

    world = await in_a_world(test, 20)
    assert (world.plan.refused, len(world.plan.taken)) == (0, 20)


@dear
async def test_of_a_crowd_that_knows_nothing_none_is_refused_by_the_service_and_one_asks_for_all() -> None:
    async def test(world: World) -> None:
        raised: list[float] = []

        async def one() -> None:
            try:
                await world.submit(max_throttle_wait=60.0)
            except RateLimitError as error:
                raised.append(error.retry_after or 0.0)

        async with anyio.create_task_group() as group:
            for _ in range(160):
                group.start_soon(one)
        assert len(raised) == 120
        assert min(raised) > 60.0

    world = await in_a_world(test, 40, at=600.0)
    assert (world.plan.refused, len(world.plan.taken), world.plan.profiles_asked) == (0, 40, 1)


async def test_a_used_up_window_is_tried_again_after_five_minutes_for_the_plan_may_have_changed() -> None:
    async def test(world: World) -> None:
        await world.submit()
        with pytest.raises(RateLimitError):
            await world.submit(max_throttle_wait=60.0)
        world.plan.hourly = 100
        world.time.elapsed += 301.0
        await world.submit(max_throttle_wait=60.0)
        await world.submit(max_throttle_wait=60.0)

    world = await in_a_world(test, 1)
    assert world.plan.refused == 0


async def test_a_refusal_holds_back_everybody_until_the_time_it_names_or_one_is_accepted() -> None:
    async def test(world: World) -> None:
        limiter, core = world.limiter, world.core
        permit = await limiter.acquire(core)
        permit.refused(core, RateLimitError("Slow down.", retry_after=600.0, status_code=429))
        permit.leave()
        with pytest.raises(RateLimitError, match="asked to send nothing more for now until") as caught:
            await limiter.acquire(core, max_throttle_wait=60.0)
        assert caught.value.retry_after == 600.0
        assert "(" not in str(caught.value)
        world.time.elapsed += 300.0
        await world.submit(max_throttle_wait=60.0)  # goes to see, and is accepted
        await world.submit(max_throttle_wait=60.0)

    await in_a_world(test, 100)


async def test_a_day_whose_end_nobody_knows_is_said_to_be_that() -> None:
    async def test(world: World) -> None:
        await world.submit()
        with pytest.raises(RateLimitError, match="daily limit is used up until nobody knows when; asking again makes"):
            await world.submit(max_throttle_wait=60.0)

    await in_a_world(test, 100, 1)


async def test_who_waits_says_until_when_and_why() -> None:
    async def test(world: World) -> None:
        limiter, core = world.limiter, world.core
        assert limiter.throttled(core) is None
        await world.submit()
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: world.submit(spread=True))
            await world.time.sleep(1.0)
            assert limiter.throttled(core) == (world.time.now() // HOUR * HOUR + HOUR + 1.5, "hour")
            assert repr(limiter) == "<RateLimiter: 0 under way, 1 throttled>"
            group.cancel_scope.cancel()
        assert limiter.throttled(core) is None

    await in_a_world(test, 1)


# What others do meanwhile.


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
            world.limiter.heard({}, began=clock, clock=clock, now=clock)
            assert world.limiter.heard(world.plan.stamp(now := world.time.now()), began=clock, clock=clock, now=now)
        assert left[0] % HOUR < 10.0

    await in_a_world(test, 1)


class Waits:
    """Those who wait for so many jobs."""

    closed_until: float | None = None

    def __init__(self, jobs: int) -> None:
        self.outstanding = Outstanding(jobs, jobs)

    def more_is_left(self) -> None:
        raise AssertionError("Nobody was to hear of more.")


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


# What the numbers tell of reads and of others.


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
        self.limiter.heard(headers, began=began, clock=self.clock, now=2_000 + self.clock, is_read=is_read)
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


async def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    async def test(world: World) -> None:
        await world.submit()
        with anyio.move_on_after(0) as scope:
            await world.submit(spread=True)
        assert scope.cancelled_caught

    await in_a_world(test, 1)


async def test_a_submission_that_waits_ends_with_its_client() -> None:
    async def test(world: World) -> None:
        await world.submit()
        began = world.time.clock()
        async with anyio.create_task_group() as group:
            group.start_soon(closing, world)
            with pytest.raises(ConfigurationError, match="closed while this was waiting"):
                await world.submit(spread=True)
        assert world.time.clock() < began + 2.0
        announce_open(world.core.transport)

    async def closing(world: World) -> None:
        await world.time.sleep(1.0)
        announce_closed(world.core.transport)

    await in_a_world(test, 1)


# Learning the limits.


@pytest.mark.parametrize(
    "answer", [refusal(500, "provider_error"), reply(200, b"<html>"), ConnectionLostError("It broke.")]
)
async def test_limits_that_cannot_be_learnt_hold_nobody_up_and_are_not_asked_for_at_every_turn(answer: Any) -> None:
    bench = make_core(lambda _: answer, max_retries=0)
    limiter, permits = RateLimiter(), list[Permit]()
    for _ in range(3 * MAX_UNANSWERED):
        permits.append(await limiter.acquire(bench.core, spread=True))
    assert [sent.path for sent in bench.sent] == ["/user/me"]
    bench.time.elapsed += 900.0
    await limiter.acquire(bench.core)
    assert len(bench.sent) == 2


async def crowd_out(limiter: RateLimiter, core: Core) -> None:
    """Send so many that a batch asks for the limits first."""
    for _ in range(MAX_UNANSWERED + 1):
        await limiter.acquire(core, spread=True)


async def test_the_question_is_nothing_that_raw_responses_show_and_a_closed_client_is_an_error() -> None:
    bench = make_core([reply(200, {"rate_limit_hourly": 300})])
    with capture_replies() as seen:
        await crowd_out(RateLimiter(), bench.core)
    assert len(bench.sent) == 1
    assert seen == []
    await bench.transport.aclose()
    with pytest.raises(ConfigurationError, match="closed"):
        await crowd_out(RateLimiter(), bench.core)


async def test_a_window_without_an_end_is_asked_about_and_then_tried_one_by_one() -> None:
    asked: list[Sent] = []

    def answer(sent: Sent) -> Reply:
        asked.append(sent)
        return refusal(500, "provider_error")

    bench = make_core(answer, max_retries=0)
    limiter = RateLimiter()
    clock = bench.core.clock()
    limiter.windows = Windows(Window(100, 0), known=True, noted_at=clock)
    first = await limiter.acquire(bench.core, spread=True)
    assert bench.time.elapsed == pytest.approx(900.0 + 0.5)
    assert len(asked) == 1
    async with anyio.create_task_group() as group:

        async def second() -> None:
            (await limiter.acquire(bench.core, spread=True)).leave()

        group.start_soon(second)
        await anyio.wait_all_tasks_blocked()
        assert limiter.throttled(bench.core) is None
        assert len(limiter._throttled) == 1
        first.leave()
    assert not limiter.under_way


@pytest.mark.parametrize("is_forked", [False, True])
def test_what_had_left_in_a_loop_or_a_process_that_is_gone_counts_as_sent(
    *, is_forked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, limiter, loop = make_core([]), RateLimiter(), asyncio.new_event_loop()
    limiter.windows = Windows(Window(100, 1, bench.core.clock() + 1_800), known=True, noted_at=bench.core.clock())

    async def leave() -> None:
        await limiter.acquire(bench.core)
        limiter._throttled[ThreadsafeEvent()] = AWAIT_ANSWERS
        limiter.readers[Waits(3)] = Home()

    async def come_after() -> None:
        with anyio.fail_after(5), pytest.raises(RateLimitError):
            await limiter.acquire(bench.core, max_throttle_wait=60.0)

    loop.run_until_complete(leave())
    if is_forked:
        monkeypatch.setattr("os.getpid", lambda: 0)
    else:
        loop.close()
    asyncio.run(come_after())
    assert not [*limiter.under_way, *limiter.readers, *limiter._throttled]
    assert limiter.windows.hour is not None
    assert limiter.windows.hour.remaining == 0
    loop.close()


async def test_a_crowd_that_waits_for_answers_is_not_woken_by_each(monkeypatch: pytest.MonkeyPatch) -> None:
    decide, decisions = RateLimiter._decide, list[float]()

    def counted(self: RateLimiter, clock: float, kind: str | None, **how: bool) -> SendTime:
        decisions.append(clock)
        return decide(self, clock, kind, **how)

    class Crowd(dict[ThreadsafeEvent, SendTime]):
        looks = 0

        def __iter__(self) -> Iterator[ThreadsafeEvent]:
            self.looks += 1
            return super().__iter__()

    crowd = Crowd()

    async def test(world: World) -> None:
        world.limiter._throttled = crowd

        async def one() -> None:
            with suppress(RateLimitError):
                await world.submit(max_throttle_wait=60.0)

        async with anyio.create_task_group() as group:
            for _ in range(200):
                group.start_soon(one)

    monkeypatch.setattr(RateLimiter, "_decide", counted)
    world = await in_a_world(test, 100)
    assert (len(world.plan.taken), world.plan.refused) == (100, 0)
    assert len(decisions) < 10 * 200
    assert crowd.looks < 100  # each is as long as the crowd is large


@pytest.mark.parametrize("ends_in", [None, 1_800.0])
def test_what_is_under_way_in_a_loop_that_is_closed_meanwhile_is_waited_for_no_more(ends_in: float | None) -> None:
    bench, limiter, loop = make_core([]), RateLimiter(), asyncio.new_event_loop()
    clock = bench.core.clock()
    ends_at = None if ends_in is None else clock + ends_in
    limiter.windows = Windows(Window(100, 1, ends_at), known=True, noted_at=clock)

    async def come() -> None:
        with anyio.fail_after(5), pytest.raises(RateLimitError):
            await limiter.acquire(bench.core, max_throttle_wait=60.0)

    async def come_before() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(come)
            await bench.time.sleep(20.0)
            assert len(limiter.under_way) == 1
            loop.close()

    loop.run_until_complete(limiter.acquire(bench.core))
    asyncio.run(come_before())
    assert not limiter.under_way
    assert 20.0 <= bench.time.elapsed <= 26.0


async def test_who_rests_says_when_it_goes_on_as_soon_as_that_is_sooner() -> None:
    bench = make_core([])
    core, limiter = bench.core, limiter_of(bench.core)
    limiter.windows = Windows(closed_until=core.clock() + 3_000.0)
    async with anyio.create_task_group() as group:
        group.start_soon(partial(limiter.rest, core, 3_000.0, least=300.0))
        await bench.time.sleep(10.0)
        limiter.windows = NOTHING_KNOWN
        limiter.wake_all()
        await bench.time.sleep(1.0)
        said = limiter.throttled(core)
        assert said is not None
        assert said[0] == pytest.approx(core.now() + 289.0)
    assert bench.time.elapsed == pytest.approx(300.0)


def test_who_waits_for_its_own_loop_hears_that_another_took_what_is_left_and_is_closed() -> None:
    bench, limiter, loop = make_core([]), RateLimiter(), asyncio.new_event_loop()
    core = bench.core
    limiter.windows = Windows(Window(10, 10, core.clock() + 1_800.0), known=True, noted_at=core.clock())

    async def come() -> None:
        with anyio.fail_after(5), pytest.raises(RateLimitError):
            await limiter.acquire(core, spread=True, max_throttle_wait=60.0)

    async def take_the_rest() -> None:
        for _ in range(7):
            await limiter.acquire(core)

    async def come_before() -> None:
        ours = [await limiter.acquire(core, spread=True) for _ in range(3)]
        async with anyio.create_task_group() as group:
            group.start_soon(come)
            await bench.time.sleep(1.0)
            thread = Thread(target=loop.run_until_complete, args=[take_the_rest()])
            thread.start()
            thread.join()
            for permit in ours:
                permit.leave()
            await bench.time.sleep(1.0)
            loop.close()

    asyncio.run(come_before())
    assert bench.time.elapsed <= 10.0


async def test_the_last_of_a_crowd_that_is_answered_in_another_thread_is_not_waited_for() -> None:
    bench, limiter = make_core([]), RateLimiter()
    with anyio.fail_after(5):
        await limiter._throttle(bench.core, AWAIT_ANSWERS)


def test_copies_of_a_client_share_a_rate_limiter_and_other_accounts_do_not() -> None:
    one, other = make_core([]).core, make_core([]).core
    assert limiter_of(one) is limiter_of(one.with_options(one.options.with_changes(max_retries=9)))
    assert limiter_of(one) is not limiter_of(other)


# Repetitions inside the send loop.


async def buy_together(shop: Service, count: int, **options: Any) -> list[RateLimitError]:
    """Make so many single paid calls at once, and return what was raised."""
    core, raised = shop.core(**options), list[RateLimitError]()
    request = build_media(model="flux-1.1-pro", prompt="A boat", options={}, nested=False)

    async def buy() -> None:
        try:
            await submission.send(core, request, CallOptions(), kind="image", model="flux-1.1-pro")
        except RateLimitError as error:
            raised.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(buy)
    limiter = limiter_of(core)
    assert not limiter.under_way
    assert not limiter._throttled
    return raised


def at_a_full_window() -> VirtualTime:
    time = VirtualTime()
    time.elapsed = 86_400.0 - time.now() % 86_400
    return time


@dear
async def test_a_crowd_of_single_calls_on_a_known_window_meets_no_refusal() -> None:
    shop = Service(time=at_a_full_window(), latency=0.0, holds=0.5, plan=Plan(40, length=12.0))
    assert await buy_together(shop, 160) == []
    assert (len(shop.plan.taken), shop.plan.refused) == (160, 0)


@dear
async def test_what_a_crowd_repeats_counts_in_the_window_like_what_it_sends_first() -> None:
    shop = Service(time=at_a_full_window(), latency=0.0, holds=0.5, plan=Plan(40, length=12.0, profile=False))
    assert await buy_together(shop, 160) == []
    assert len(shop.plan.taken) == 160
    assert shop.plan.refused == 120  # all left before the first answer told of a window; none of them is refused again


@pytest.mark.parametrize("max_retry_wait", [5.0, 60.0])
async def test_after_a_refusal_that_names_no_time_one_repeats_at_a_time(max_retry_wait: float) -> None:
    shop = Service(time=at_a_full_window(), latency=0.0, holds=0.5, plan=Plan(100, named=False, headers=False))
    shop.plan.taken += [shop.time.now()] * 100
    raised = await buy_together(shop, 6, max_retry_wait=max_retry_wait)
    assert len(raised) == 6
    assert len(shop.plan.asked) == 18
    repeated = shop.plan.asked[6:]
    assert min(later - sooner for sooner, later in pairwise(repeated)) >= 0.5  # each after the one before was answered
    assert repeated[0] - shop.plan.asked[0] < 1.0
