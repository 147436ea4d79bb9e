"""Workers of one account heed the plan's windows together, as one process would."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from benchmarks.simulate_windows import a_service, by_hour, one_clock
from neuralbox._batch.resource import Batches
from neuralbox._concurrency.per_loop import Home
from neuralbox._errors import JournalError
from neuralbox._journal.allotments import SharedWindow, SharedWindows
from neuralbox._journal.postgres.allotments import Allotments
from neuralbox._rate_limit.limiter import RateLimiter, limiter_of
from neuralbox._rate_limit.plan import Outstanding, ReadsSeen
from neuralbox._rate_limit.windows import Window, Windows

from ..helpers import one_loop
from ..postgres import PostgresServer
from ..service import Service
from .workers import end_leases, many, outcomes_of, until, worker

pytestmark = pytest.mark.anyio

HOUR = 50.0
"""An hour of the service: each second of a worker costs real questions to the database."""


@pytest.fixture
def world() -> Iterator[Service]:
    world = a_service(limit=30, seconds=4.0)
    world.plan.length = HOUR
    with one_clock(world):
        yield world


async def run_all(world: Service, place: str, count: int, workers: int, **options: Any) -> int:
    """Run so many requests on so many workers; returns how many are delivered."""
    delivered = 0

    async def work(number: int) -> None:
        nonlocal delivered
        found = await outcomes_of(worker(world, number), many(count, workers, number), place, max_sending=8, **options)
        delivered += sum(outcome.ok for outcome in found.values())

    async with anyio.create_task_group() as group:
        for number in range(workers):
            group.start_soon(work, number)
    return delivered


@pytest.mark.parametrize(("anyio_backend", "workers"), [("asyncio", 1), ("trio", 4)])
@pytest.mark.usefixtures("_who_meet")
async def test_workers_use_up_an_hour_without_a_refusal_and_go_on_in_the_next(
    world: Service, place: str, workers: int
) -> None:
    assert await run_all(world, place, 36, workers) == len(world.ledger) == 36
    assert world.plan.refused <= (workers > 1)
    first, *_ = by_hour(world)
    assert 27 <= first <= 30
    assert world.time.elapsed < HOUR + 60.0


async def test_a_day_is_heeded_by_all(world: Service, place: str) -> None:
    world.plan.hourly, world.plan.daily = 100, 20
    world.plan.taken = [world.time.now()] * 8
    found = await run_all(world, place, 16, 3, max_throttle_wait=HOUR)
    assert found == len(world.ledger) <= 12
    assert world.plan.refused <= 3


@one_loop
async def test_what_another_program_uses_up_is_met_by_few_and_known_to_all(world: Service, place: str) -> None:
    delivered = 0
    world.plan.hourly = 100

    async def use_up() -> None:
        await until(world, lambda: len(world.ledger) >= 8)
        world.plan.taken += [world.time.now()] * 100

    async def work() -> None:
        nonlocal delivered
        delivered = await run_all(world, place, 60, 4)

    async with anyio.create_task_group() as group:
        group.start_soon(use_up)
        group.start_soon(work)
    assert delivered == 60
    assert world.plan.refused <= 32  # what was on its way, of all


@one_loop
async def test_a_dead_workers_part_is_used_by_others(world: Service, place: str, postgres: PostgresServer) -> None:
    world.seconds, world.plan.hourly = 20.0, 100
    async with Batches(worker(world, 1))(many(4), journal=place) as first:
        await until(world, lambda: len(world.ledger) == 4)
        end_leases(postgres, first)
        found = await outcomes_of(worker(world, 2), many(40, first=4), place)
        with pytest.raises(JournalError, match="run it again"):
            await anext(first)
    assert all(outcome.ok for outcome in found.values())
    assert world.plan.refused == 0


@one_loop
async def test_who_heeds_no_windows_takes_no_part(world: Service, place: str, postgres: PostgresServer) -> None:
    found = await outcomes_of(worker(world, pace="off"), many(3), place)
    assert all(outcome.ok for outcome in found.values())
    assert postgres.execute("SELECT turn FROM neuralbox.account") == [(0,)]
    core = worker(world, 1)
    async with Batches(core)([], journal=place):
        (await limiter_of(core).acquire(core)).release()  # a call beside the batch takes what is left
    assert limiter_of(core).sources == {}
    assert postgres.execute("SELECT turn FROM neuralbox.account") == [(0,)]


@one_loop
async def test_one_that_is_alone_asks_every_few_seconds_and_gives_back_when_it_sends_no_more(
    world: Service, place: str, postgres: PostgresServer
) -> None:
    world.seconds, world.plan.hourly = 40.0, 1_000
    async with Batches(worker(world))(many(30), journal=place, max_sending=1) as run:
        await until(world, lambda: len(world.ledger) == 30)
        assert postgres.execute("SELECT amount > 900 FROM neuralbox.allotment WHERE what = 'places'") == [(True,)]
        await world.time.sleep(8.0)
        assert postgres.execute("SELECT amount FROM neuralbox.allotment WHERE what = 'places'") == [(0,)]
        ((turns,),) = postgres.execute("SELECT turn FROM neuralbox.account")
        assert turns <= 2 + 30 * (world.holds + 1) / 5
        await world.time.sleep(5.0)
        assert postgres.execute("SELECT turn FROM neuralbox.account") == [(turns,)]
        assert all([outcome.ok async for outcome in run])


@pytest.mark.parametrize("wants", [True, False])
async def test_a_journal_that_cannot_be_asked_ends_the_batch_and_one_that_cannot_be_told_does_not(
    world: Service, place: str, monkeypatch: pytest.MonkeyPatch, wants: bool
) -> None:
    take = Allotments.take_places

    def broken(self: Allotments, *given: Any, **named: Any) -> Any:
        if named["wants"] == wants:
            raise JournalError("The database is gone.", reason="unwritable")
        return take(self, *given, **named)

    monkeypatch.setattr(Allotments, "take_places", broken)
    world.seconds = 20.0
    if wants:
        with pytest.raises(JournalError, match="database is gone"):
            await outcomes_of(worker(world), many(3), place)
        assert world.ledger == []
    else:
        found = await outcomes_of(worker(world), many(3), place)
        assert all(outcome.ok for outcome in found.values())


async def test_windows_larger_than_a_database_counts_are_heeded_as_its_largest(world: Service, place: str) -> None:
    world.plan.hourly = world.plan.daily = 10**10
    core = worker(world)
    for first in (0, 3):  # the second tells what the first has heard
        found = await outcomes_of(core, many(first + 3, first=first), place)
        assert [str(outcome.error) for outcome in found.values()] == ["None"] * 3


async def test_what_others_heard_is_known_before_the_first_request(
    world: Service, place: str, postgres: PostgresServer
) -> None:
    core, now = worker(world), world.time.now()
    async with Batches(core)(many(2), journal=place) as run:
        async for _ in run:
            pass
        reset = int((now // HOUR + 1) * HOUR)
        hour = limiter_of(core).windows.hour
        assert hour is not None
        store: Any = run._journal
        began = world.time.elapsed
        said = SharedWindows(SharedWindow(30, 5), SharedWindow(100, 50), float(reset), reset - now, 20.0)
        store = store.allotments
        await run._places._journal.ask(  # type: ignore[union-attr]
            lambda: store.take_places(said, is_over=False, reserve_of=lambda _: 0, kept=0, wants=False)
        )
        other = worker(world, 2)
        async with Batches(other)(many(4, first=2), journal=place) as second:
            assert [outcome.ok async for outcome in second] == [True, True]
            windows = limiter_of(other).windows
        assert world.time.elapsed - began > 20.0  # somebody was asked to wait
    assert windows.hour is not None
    assert windows.day is not None
    assert windows.hour.remaining <= 5
    assert windows.day.remaining == 50
    assert world.plan.refused == 0


class Places:
    """A source that has no places in another event loop, and one in this one."""

    def __init__(self, loop: object) -> None:
        self.loop, self.opens_at, self.asked = loop, 0.0, 0

    def take(self, clock: float) -> bool:
        self.asked += 1
        return self.asked > 1

    async def renew(self) -> None:
        await anyio.lowlevel.checkpoint()


async def test_a_place_is_taken_from_a_source_of_the_same_event_loop(world: Service) -> None:
    from neuralbox._concurrency.per_loop import running_loop

    core, limiter = worker(world), RateLimiter()
    elsewhere, here = Places(object()), Places(running_loop())
    limiter.sources[elsewhere] = None
    (await limiter.acquire(core, spread=True)).release()
    limiter.sources[here] = None
    (await limiter.acquire(core, spread=True)).release()
    assert (elsewhere.asked, here.asked) == (0, 2)


async def test_what_is_kept_for_finding_jobs_is_no_other_workers_place() -> None:
    limiter = RateLimiter()
    assert limiter.set_aside(0.0) == 0
    limiter.windows = Windows(hour=Window(100, 50, 1_800.0, 1.0), known=True)
    limiter.reads = ReadsSeen(counted=True)

    class Waiting:
        outstanding = Outstanding(jobs=40, asks_each=True)
        closed_until = None
        more_is_left = print

    limiter.readers[Waiting()] = Home()
    assert limiter.set_aside(0.0) > 40
