"""The other side for the rate limiter's tests: a plan in virtual time, a client of it and its limiter, and who waits for jobs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from neuralbox._rate_limit.limiter import RateLimiter
from neuralbox._rate_limit.plan import Outstanding
from neuralbox.testing import VirtualTime
from tests.service import Plan, Service

HOUR = 3_600.0


def at_a_full_window() -> VirtualTime:
    time = VirtualTime()
    time.elapsed = 86_400.0 - time.now() % 86_400
    return time


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
            permit.note_headers(self.core, headers, accepted=no is None)
            if no is not None:
                self.refused += 1
                permit.refused(
                    self.core, self.core.options.service.status_error(429, headers, no.content, now=self.core.now())
                )
        finally:
            permit.release()
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


class Waits:
    """Those who wait for so many jobs."""

    closed_until: float | None = None

    def __init__(self, jobs: int) -> None:
        self.outstanding = Outstanding(jobs, jobs)

    def more_is_left(self) -> None:
        raise AssertionError("Nobody was to hear of more.")
