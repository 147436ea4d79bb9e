"""Random arrivals, cancellations, limits and durations: every wait ends as it must, and nothing is left."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from random import Random
from typing import Any

import anyio
import pytest

from neuralbox._errors import ConnectError, GenerationFailedError, GenerationTimeoutError
from neuralbox._models.generation import Generation
from neuralbox._polling.job import Job
from neuralbox._polling.many import wait_all

from ..helpers import TIMES, in_turn
from ..service import Answer, Service, a_service
from .support import nothing_left

pytestmark = pytest.mark.anyio

SLACK = 45.0  # a poll, a back-off and its spread may come between completion and the poll that finds it


class Story:
    """One random run and what it checks."""

    def __init__(self, service: Service, seed: int) -> None:
        self.service = service
        self.dice = Random(seed)
        self.core = service.core(seed=seed)
        self.ends: dict[int, tuple[float, str]] = {}
        self.wrong: list[str] = []
        self.ended = 0
        for number in range(12):
            self.make(number)

    def make(self, number: int) -> None:
        done_at = self.service.time.clock() + self.dice.choice([0, 1, 5, 20, 60, 150])
        status = self.dice.choice(["completed", "completed", "failed"])
        self.ends[number] = done_at, status
        misses = self.dice.random() * 0.2
        eta = self.dice.choice([None, "honest", -5, 1e12, 0])
        weather = Random(number)

        def answer(now: float) -> Answer:
            if weather.random() < misses:
                bad: list[Answer] = [ConnectError("gone"), (502, {}), (429, {"error": "rate_limit_exceeded"})]
                return weather.choice(bad)
            if now >= done_at:
                return {"id": number, "status": status, "error": "no" if status == "failed" else None}
            hint = done_at - now if eta == "honest" else eta
            return {"id": number, "status": "pending", "eta_seconds": hint, "progress": int(now) % 100}

        self.service.answers[str(number)] = answer

    async def one(self, number: int) -> None:
        dice, time = self.dice, self.service.time
        await time.sleep(dice.random() * 60)
        began = time.clock()
        limit = dice.choice([None, None, 0, 3, 20, 90])
        cancel_after = dice.choice([None, None, None, dice.random() * 40])
        pause = dice.choice([0, 0, 8])
        how = dice.choice(["wait", "wait", "watch", "many"])
        ids = [number, dice.randrange(12), number] if how == "many" else [number]
        jobs = [Job(self.core, each) for each in ids]
        ending = "cancelled"

        async def on_progress(_: Generation) -> None:
            if pause:
                await time.sleep(pause)

        scope = anyio.CancelScope()
        async with anyio.create_task_group() as group:
            if cancel_after is not None:
                group.start_soon(self.cancel, scope, cancel_after)
            with scope:
                try:
                    if how == "many":
                        results = await wait_all(self.core, ids, timeout=limit, on_progress=on_progress)
                        ending = results[0].status
                        if [result.id for result in results] != ids:
                            self.wrong.append("order")
                    elif how == "watch":
                        async for generation in jobs[0].watch(timeout=limit):
                            ending = generation.status
                            await on_progress(generation)
                    else:
                        ending = (await jobs[0].wait(timeout=limit, on_progress=on_progress)).status
                except GenerationTimeoutError:
                    ending = "timeout"
                except GenerationFailedError:
                    ending = "failed"
            group.cancel_scope.cancel()
        if scope.cancelled_caught:
            ending = "cancelled"
        self.check(ids, ending, began, limit, cancel_after, pause)

    async def cancel(self, scope: anyio.CancelScope, seconds: float) -> None:
        await self.service.time.sleep(seconds)
        scope.cancel()

    def check(
        self, ids: list[int], ending: str, began: float, limit: float | None, cancel_after: float | None, pause: float
    ) -> None:
        self.ended += 1
        now, (done_at, status) = self.service.time.clock(), self.ends[ids[0]]
        last = max([began, *(self.ends[each][0] for each in ids)])
        callbacks = 3 * pause * len(ids)  # one may be under way when the end comes, and some more were due
        latest = last + SLACK + callbacks if limit is None else began + limit + 6 + callbacks
        if cancel_after is not None:
            latest = min(latest, began + cancel_after)
        if now > latest + 0.1:
            self.wrong.append(f"{ids} {ending} at {now}, expected by {latest}")
        if ending in {"completed", "failed"} and (ending != status or now < done_at):
            self.wrong.append(f"{ids} ended as {ending}, is {status}")
        if ending == "timeout" and (limit is None or now < began + limit - 0.1):
            self.wrong.append(f"{ids} timed out at {now}, limit {limit} from {began}")
        if ending == "cancelled" and cancel_after is None:
            self.wrong.append(f"{ids} was cancelled by nobody")


@pytest.mark.uncovered
@pytest.mark.parametrize(("anyio_backend", "seed"), in_turn(range(4 * TIMES)))
async def test_every_wait_ends_as_it_must_and_nothing_is_left(seed: int) -> None:
    async with a_service() as service:
        story = Story(service, seed)
        async with anyio.create_task_group() as group:
            for number in range(120):
                group.start_soon(story.one, number % 12)
        assert story.wrong == []
        assert story.ended == 120
        assert nothing_left(story.core)
        assert service.under_way == 0


@pytest.mark.uncovered
@pytest.mark.parametrize(("anyio_backend", "seed"), in_turn(range(2 * TIMES)))
async def test_no_job_is_polled_more_than_twelve_times_a_minute_however_many_come_and_go(seed: int) -> None:
    async with a_service() as service:
        dice, core = Random(seed), service.core(seed=seed)
        held = [Job(core, number) for number in range(5)]
        for number in range(5):
            service.job(number, 150, eta_seconds=dice.choice([1, -1, None]), progress=dice.choice([None, 99]))

        async def come_and_go() -> None:
            while service.time.clock() < 1_150:
                with anyio.move_on_after(None) as scope:
                    job = dice.choice(held)
                    async with anyio.create_task_group() as group:
                        group.start_soon(leave_after, scope, dice.random() * 30)
                        try:
                            await job.wait(timeout=dice.choice([0, 1, 7, 30, None]))
                        except GenerationTimeoutError:
                            await service.time.sleep(dice.random() * 3)
                        group.cancel_scope.cancel()

        async def leave_after(scope: Any, seconds: float) -> None:
            await service.time.sleep(seconds)
            scope.cancel()

        async with anyio.create_task_group() as group:
            for _ in range(30):
                group.start_soon(come_and_go)
        polls: dict[str, list[float]] = defaultdict(list)
        for asked in service.asked:
            polls[asked.id].append(asked.at)
        for times in polls.values():
            assert max(bisect_left(times, at + 60) - index for index, at in enumerate(times)) <= 12
        assert nothing_left(core)
