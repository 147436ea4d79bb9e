"""Submissions leave as the plan's windows allow: no 429, no needless pause, and a word about when."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import pairwise
from random import Random

import anyio
import pytest

from neuralbox._concurrency.single_flight import ThreadsafeEvent
from neuralbox._errors import ConfigurationError, RateLimitError
from neuralbox._rate_limit.limiter import RateLimiter, limiter_of
from neuralbox._rate_limit.windows import NOTHING_KNOWN, SendTime, Windows
from neuralbox._transport.closing import announce_closed, announce_open
from tests.helpers import dear, make_core

from .support import HOUR, World, in_a_world

pytestmark = pytest.mark.anyio


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
        (await limiter.acquire(core)).release()
        assert left() == 98
        permit = await limiter.acquire(core)
        permit.note_headers(core, {}, accepted=False)
        permit.refused(core, None)
        permit.release()
        permit.release()
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
        permit.release()
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
        permit.release()
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
