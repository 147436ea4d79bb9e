"""What a webhook said to another process, left in the journal: read by whoever waits, confirmed once, and never believed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread
from anyio.lowlevel import checkpoint

from neuralbox import JobRef, Polling
from neuralbox._config import NO_CALL_OPTIONS
from neuralbox._journal import JournalHint, PlannedRequest, leave_hint, open_journal
from neuralbox._journal.sqlite import hints as file_hints
from neuralbox._models.generation import Generation
from neuralbox._polling import journal_hints
from neuralbox._polling.account_pollers import poller_of
from neuralbox._polling.job import Job
from neuralbox._polling.job_waiter import JobWaiter
from neuralbox._polling.many import GrowingJobWaiter, wait_all

from ..service import Service, a_service
from .support import nothing_left

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Virtual time would run on while a thread reads."""

    async def call(act: Callable[..., Any], *args: Any, **_: Any) -> Any:
        await checkpoint()
        return act(*args)

    monkeypatch.setattr(to_thread, "run_sync", call)


@pytest.fixture
async def journal(tmp_path: Path) -> str:
    place = str(tmp_path / "jobs.sqlite")
    async with await open_journal(place, account="a", service="s") as journal:
        await journal.plan([PlannedRequest(str(number), {}) for number in range(1, 9)])
        for number in range(1, 9):
            await journal.accepted(str(number), id=number)
    return place


def submitted(service: Service, number: int, journal: str | None, **options: Any) -> Job:
    """A job whose submission was answered just now."""
    generation = Generation.read({"id": number, "status": "pending", "eta_seconds": 500})
    return Job(service.core(**options), generation=generation, journal=journal)


def soon(service: Service) -> float:
    return service.time.clock() - 1_000


async def test_a_true_hint_ends_the_wait_soon_and_by_one_request(journal: str) -> None:
    async with a_service() as service:
        service.job(1, 20, eta_seconds=500)
        job, asked = submitted(service, 1, journal), list[int]()

        async def tell() -> None:
            await service.time.sleep(21)
            asked.append(len(service.asked))
            assert leave_hint(journal, 1, "a")

        async with anyio.create_task_group() as group:
            group.start_soon(tell)
            assert (await job.wait()).is_completed
        assert soon(service) <= 21 + Polling().min_interval + 0.2
        assert len(service.asked) == asked[0] + 1
        assert nothing_left(job._core)
        assert poller_of(job._core).hints.next_at is None


async def test_made_up_hints_cost_one_request_each_at_most_and_repeated_ones_nothing(journal: str) -> None:
    async with a_service() as service:
        service.job(1, 300, eta_seconds=500)
        asked = list[int]()

        async def tell() -> None:
            await service.time.sleep(100)
            for number in range(3):
                before = len(service.asked)
                for repeated in range(50):
                    assert leave_hint(journal, 1, f"event {number}") is (not repeated)
                await service.time.sleep(12)
                asked.append(len(service.asked) - before)
            before = len(service.asked)
            assert not leave_hint(journal, 1, "event 0")
            assert not leave_hint(journal, 99, "about nobody")
            await service.time.sleep(12)
            asked.append(len(service.asked) - before)

        async with anyio.create_task_group() as group:
            group.start_soon(tell)
            assert (await submitted(service, 1, journal).wait()).is_completed
        assert asked == [1, 1, 1, 0]


async def test_where_nobody_writes_the_journal_is_opened_once(journal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, read = list[str](), file_hints.read_hints

    def counted(path: str, after: int) -> list[JournalHint]:
        opened.append(path)
        return read(path, after)

    monkeypatch.setattr(file_hints, "read_hints", counted)
    async with a_service() as service:
        for number in range(1, 5):
            service.job(number, 400, eta_seconds=500)
        async with anyio.create_task_group() as group:
            for number in range(1, 5):
                group.start_soon(submitted(service, number, journal).wait)
    assert opened == [journal]


async def test_without_a_journal_nobody_looks() -> None:
    async with a_service() as service:
        service.job(1, 40)
        job = submitted(service, 1, None)
        async with anyio.create_task_group() as group:
            group.start_soon(job.wait)
            await service.time.sleep(3)
            assert poller_of(job._core).hints.next_at is None


async def test_a_hint_that_comes_before_anybody_waits_counts_when_somebody_does(journal: str) -> None:
    async with a_service() as service:
        service.job(1, 900, eta_seconds=500)
        service.job(2, 30, eta_seconds=500)
        first, second = submitted(service, 1, journal), submitted(service, 2, journal)
        async with anyio.create_task_group() as group:
            group.start_soon(first.wait)
            await service.time.sleep(31)
            assert leave_hint(journal, 2, "a")
            await service.time.sleep(6)  # it was read, and nobody waited
            assert (await second.wait()).is_completed
            assert service.times(2) == [37.0]
            group.cancel_scope.cancel()


async def test_many_jobs_in_one_wait_hear_of_their_journals(journal: str) -> None:
    async with a_service() as service:
        for number in (1, 2):
            service.job(number, 20, eta_seconds=500)
        core = service.core()
        known = Generation.read({"id": 1, "status": "pending", "eta_seconds": 500})
        jobs = [Job(core, generation=known, journal=journal), Job(core, JobRef(2))]

        async def tell() -> None:
            await service.time.sleep(21)
            leave_hint(journal, 1, "a")
            leave_hint(journal, 2, "b")

        async with anyio.create_task_group() as group:
            group.start_soon(tell)
            assert all(each.is_completed for each in await wait_all(core, jobs))
        assert soon(service) <= 21 + Polling().min_interval + 0.2
        assert nothing_left(core)


async def test_each_step_of_a_watch_hears_of_it(journal: str) -> None:
    async with a_service() as service:
        service.job(1, 20, eta_seconds=500)

        async def tell() -> None:
            await service.time.sleep(21)
            leave_hint(journal, 1, "a")

        states = list[Generation]()
        async with anyio.create_task_group() as group:
            group.start_soon(tell)
            states += [state async for state in submitted(service, 1, journal).watch()]
        assert states[-1].is_completed
        assert soon(service) <= 21 + Polling().min_interval + 0.2


async def test_a_journal_that_is_gone_or_damaged_ends_no_wait(journal: str) -> None:
    await anyio.Path(journal).write_bytes(b"no database at all" * 100)
    async with a_service() as service:
        service.job(1, 20)
        assert (await submitted(service, 1, journal).wait()).is_completed
        service.job(2, 20)
        assert (await submitted(service, 2, journal + "-gone").wait()).is_completed


async def test_a_database_that_does_not_answer_holds_up_no_wait(journal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*_: Any, **__: Any) -> Any:
        await anyio.sleep_forever()

    monkeypatch.setattr(to_thread, "run_sync", hang)
    monkeypatch.setattr(journal_hints, "GRACE", 0.01)
    async with a_service() as service:
        service.job(1, 20)
        assert (await submitted(service, 1, journal).wait()).is_completed


async def test_who_leaves_before_he_looked_leaves_it_to_another(journal: str) -> None:
    async with a_service() as service:
        core = service.core()
        poller = poller_of(core)
        one, two = (JobWaiter(poller, core, NO_CALL_OPTIONS, None, wants_progress=False) for _ in range(2))
        for waiter in (one, two):
            poller.hints.listen(waiter, journal)
        now = poller.now()
        assert [*poller.hints.assign(now)] == []  # neither is here
        now += 5
        one.is_waiting = two.is_waiting = True
        assert [*poller.hints.assign(now)] == [one]
        one.is_waiting = False
        poller._give_back(one)
        assert [*poller.hints.assign(now)] == [two]
        (look,) = two.todo
        poller.hints.listen(two, journal + "-other")
        assert [*poller.hints.assign(now)] == [two]  # at the other one; nobody looks twice at the same time
        assert len(two.todo) == 2
        poller.hints.leave(one)
        poller.hints.leave(two)
        await look(two)  # type: ignore[operator]
        assert poller.hints.next_at is None


async def test_nobody_looks_while_none_of_those_who_listen_has_a_job(journal: str) -> None:
    async with a_service() as service, anyio.create_task_group() as group:
        core = service.core()
        poller, now = poller_of(core), core.clock()
        for has_another in (False, True):
            batch = GrowingJobWaiter[str](core, None, group, lambda item, ended: None)
            single = JobWaiter(poller, core, NO_CALL_OPTIONS, None, wants_progress=False)
            batch.is_waiting = single.is_waiting = True
            poller.hints.listen(batch, journal)
            assert ([*poller.hints.assign(now)], poller.hints.next_at) == ([], None)
            if has_another:
                poller.hints.listen(single, journal)
            else:
                batch.add(JobRef(1), "one")
                batch.add(JobRef(2), "two")
            assert poller.hints.next_at == now
            assert len(poller.hints.assign(now)) == 1
            batch.leave()
            poller.hints.leave(single)


async def test_of_hints_about_nobody_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_hints, "_MOST", 2)
    async with a_service() as service:
        hints = poller_of(service.core()).hints
        hints.heard([JournalHint(number, f"job {number}", f"event {number}") for number in range(3)])
        assert [hints.was_told_of(f"job {number}") for number in range(3)] == [False, True, True]
        assert not hints.was_told_of("job 2")
