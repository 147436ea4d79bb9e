"""Jobs change their state as the poller's table says, and each line of the table happens."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from random import Random
from typing import Any

import anyio
import pytest

from neuralbox._errors import AuthenticationError, NeuralBoxError
from neuralbox._models.generation import Generation
from neuralbox._polling import poller as poller_module
from neuralbox._polling.account_pollers import poller_of
from neuralbox._polling.job import Job, OnProgress
from neuralbox._polling.many import GrowingJobWaiter
from neuralbox._polling.polled_job import JobState, PolledJob
from neuralbox._polling.poller import Poller
from neuralbox._types import JobRef

from ..service import Listing, Service, a_service
from .state_table import state_table
from .support import nothing_left

pytestmark = pytest.mark.anyio
STATES = {state.value for state in JobState}


class Moody:
    """A strategy that does with a due job whatever a strategy may do, taking its time."""

    def __init__(self, service: Service, dice: Random) -> None:
        self.service = service
        self.dice = dice

    async def __call__(self, poller: Poller, due: Sequence[PolledJob]) -> None:
        await self.service.time.sleep(self.dice.choice([0.01, 1.0, 8.0]))
        for job in due:
            what = self.dice.choice(["assign", "leave", "put off", "sweep", "end"])
            if job.state is not JobState.DUE:
                continue
            if what == "assign":
                poller.assign(job)
            elif what == "put off":
                poller.reschedule(job, poller.now() + 3)
            elif what == "sweep":
                poller.dispatch(Walk(poller, self.service, job), [job])
            elif what == "end" and self.dice.random() < 0.2:
                poller.publish(job, Generation.read({"id": job.ref.id, "status": "failed", "error": "no"}))


class Walk:
    """A task that shows one job as running."""

    def __init__(self, poller: Poller, service: Service, job: PolledJob) -> None:
        self.poller, self.service, self.job = poller, service, job

    async def __call__(self, waiter: Any) -> None:
        del waiter
        try:
            await self.service.time.sleep(1)
        finally:
            self.drop()

    def drop(self) -> None:
        for job in self.poller.take_back(self, [self.job]):
            self.poller.requeue(job)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """Every change of a job's state: from, to."""
    changes: set[tuple[str, str]] = set()
    slot: Any = PolledJob.__dict__["state"]

    def change(job: PolledJob, state: JobState) -> None:
        try:
            before = slot.__get__(job)
        except AttributeError:  # it is just being made
            before = state
        if before is not state:
            changes.add((before.value, state.value))
        slot.__set__(job, state)

    monkeypatch.setattr(PolledJob, "state", property(slot.__get__, change))
    return changes


async def wait_for_a_while(service: Service, core: Any, dice: Random, number: int) -> None:
    """Wait for a job in one of many ways, and leave in one of many."""
    await service.time.sleep(dice.random() * 30)
    slow = dice.choice([0, 0, 20])

    async def on_progress(_: Any) -> None:
        await service.time.sleep(slow)

    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:

            async def leave() -> None:
                await service.time.sleep(dice.choice([1, 7, 20, 60, 400]))
                scope.cancel()

            group.start_soon(leave)
            with contextlib.suppress(NeuralBoxError):
                await Job(core, number).wait(
                    timeout=dice.choice([None, 3, 15]), on_progress=on_progress if slow else None
                )
            group.cancel_scope.cancel()


async def a_story(seed: int, *, moody: bool) -> None:
    async with a_service() as service:
        dice, core = Random(seed), service.core(seed=seed)
        if moody:
            poller_of(core).strategy = Moody(service, dice)
        else:
            service.listing = Listing()
        for number in range(12):
            if moody and seed % 4 == 0 and number > 9:
                service.answers[str(number)] = lambda now: (
                    (401, {"error": "unauthorized", "message": "Key revoked"})
                    if now > 1_020
                    else {"status": "pending", "progress": now}
                )
            else:
                service.job(number, dice.choice([10, 30, 200]))
                said = service.answers[str(number)]
                service.answers[str(number)] = lambda now, said=said: {"progress": now % 100, **said(now)}  # type: ignore[misc]
        async with anyio.create_task_group() as group:
            crowd = GrowingJobWaiter[int](core, 12.0, group, lambda number, ended: None)
            group.start_soon(crowd.run)
            for number in range(12):
                crowd.add(JobRef(number), number, age=0.0)
            async with anyio.create_task_group() as waits:
                for number in range(60):
                    waits.start_soon(wait_for_a_while, service, core, dice, number % 12)
            group.cancel_scope.cancel()
        assert nothing_left(core)


async def a_refusal_while_a_waiter_is_away() -> None:
    async with a_service() as service:
        core = service.core()
        service.job(1, 100)
        service.answers["2"] = lambda now: (401, {"error": "unauthorized"}) if now > 1_020 else {"status": "pending"}

        async def away(_: Any) -> None:
            await service.time.sleep(60)

        async def wait(number: int, on_progress: OnProgress | None = None) -> None:
            with pytest.raises(AuthenticationError):
                await Job(core, number).wait(on_progress=on_progress)

        async with anyio.create_task_group() as group:
            group.start_soon(wait, 1, away)
            group.start_soon(wait, 2)
        assert nothing_left(core)


@pytest.mark.uncovered
async def test_jobs_change_their_state_as_the_table_says_and_each_line_happens(drawn: set[tuple[str, str]]) -> None:
    table = {(before, after) for before, _, after in state_table(poller_module, STATES)}
    for seed in range(8):
        await a_story(seed, moody=seed % 2 == 0)
    await a_refusal_while_a_waiter_is_away()
    assert drawn - table == set()
    assert table - drawn == set()
