"""The budget of a run is all its workers' together, whatever becomes of any of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from neuralbox._batch.outcome import BatchOutcome
from neuralbox._batch.resource import Batches
from neuralbox._batch.run_budget import RunBudget, open_run_budget
from neuralbox._budget import Budget, Reservation
from neuralbox._config import NEURALBOX
from neuralbox._errors import BudgetExceededError, JournalError, RateLimitError, SubmissionUnknownError
from neuralbox._journal import read_summary
from neuralbox._journal.allotments import RunFunds, Taken
from neuralbox._rate_limit.limiter import limiter_of
from neuralbox._rate_limit.windows import Windows
from neuralbox._requests.requests import VideoRequest

from ..helpers import make_core, one_loop, refusal
from ..journal.workers import a_worker
from ..postgres import PostgresServer
from ..service import Service
from .workers import end_leases, many, outcomes_of, until, worker

pytestmark = pytest.mark.anyio


async def run_all(
    world: Service, place: str, shares: list[list[VideoRequest]], *, budget: Any, **options: Any
) -> dict[str, BatchOutcome]:
    found = dict[str, BatchOutcome]()
    world.seconds = 4.0  # each second of a worker costs real questions to the database

    async def work(number: int, share: list[VideoRequest]) -> None:
        core = worker(world, number, max_retry_wait=10.0)
        found.update(await outcomes_of(core, share, place, budget=budget, **options))

    async with anyio.create_task_group() as group:
        for number, share in enumerate(shares):
            group.start_soon(work, number, share)
    return found


def refused(found: dict[str, BatchOutcome]) -> int:
    return sum(isinstance(outcome.error, BudgetExceededError) for outcome in found.values())


def spent(world: Service) -> int:
    return sum(made.tokens for made in world.ledger if not made.fails)


@pytest.mark.uncovered
@one_loop
@pytest.mark.parametrize(("budget", "charged"), [(50, 4), (48, 3)])
@pytest.mark.usefixtures("_who_meet")
async def test_workers_together_spend_a_budget_to_its_end_and_not_beyond(
    world: Service, place: str, budget: int, charged: int
) -> None:
    world.tokens = charged
    found = await run_all(world, place, [many(40, 4, number) for number in range(4)], budget=budget)
    assert len(found) == 40
    assert sum(outcome.ok for outcome in found.values()) == len(world.ledger) >= 12
    assert refused(found) == 40 - len(world.ledger)
    assert budget - 4 < spent(world) <= budget
    before = len(world.ledger)
    again = await run_all(world, place, [many(40)], budget=budget)
    assert len(world.ledger) - before <= 1
    assert spent(world) <= budget
    assert sum(outcome.resumed for outcome in again.values()) == before


@one_loop
async def test_a_run_that_is_continued_with_more_spends_the_difference(world: Service, place: str) -> None:
    await run_all(world, place, [many(20, 2), many(20, 2, 1)], budget=40)
    assert spent(world) == 40
    await run_all(world, place, [many(20, 2), many(20, 2, 1)], budget=60)
    assert spent(world) == 60
    await run_all(world, place, [many(20)], budget=Budget(8))  # one of this process's own counts nothing of the run
    assert spent(world) == 68


@one_loop
async def test_what_another_worker_left_unknown_is_booked_in_a_budget_of_this_processs_own(
    world: Service, place: str
) -> None:
    world.ends, budget = (lambda number, body: "dropped after"), Budget(8)
    await outcomes_of(worker(world, 1, submission="raise"), many(1), place)
    found = await outcomes_of(worker(world, 2), many(1), place, budget=budget)
    assert found["k000"].ok
    assert (spent(world), budget.spent, budget.reserved) == (4, 4, 0)


async def test_what_is_taken_over_counts_in_a_budget_of_this_processs_own(world: Service, place: str) -> None:
    world.seconds, budget = 20.0, Budget(8)
    async with Batches(worker(world, 1))(many(2), journal=place):
        await until(world, lambda: len(world.ledger) == 2)
    found = await outcomes_of(worker(world, 2), many(6), place, budget=budget)
    assert (refused(found), spent(world)) == (4, 8)
    assert (budget.spent, budget.reserved) == (8, 0)


@one_loop
async def test_a_budget_larger_than_a_database_counts_is_its_largest(world: Service, place: str) -> None:
    found = await outcomes_of(worker(world), many(2), place, budget=10**30)
    assert [outcome.ok for outcome in found.values()] == [True, True]


async def test_the_newest_budget_is_every_workers(world: Service, place: str) -> None:
    world.seconds, found, outcomes = 20.0, dict[str, BatchOutcome](), list[BatchOutcome]()
    async with Batches(worker(world, 1))(many(40), journal=place, budget=40) as first:
        await until(world, lambda: len(world.ledger) == 10)

        async def work() -> None:
            found.update(await outcomes_of(worker(world, 2), many(42, first=40), place, budget=100))

        async with anyio.create_task_group() as group:
            group.start_soon(work)
            outcomes += [outcome async for outcome in first]
        assert first.progress.budget_tokens == 100
    assert sum(outcome.ok for outcome in [*outcomes, *found.values()]) == 25
    assert spent(world) == 100


async def test_what_failed_free_of_charge_is_spent_by_others_that_wait_for_it(world: Service, place: str) -> None:
    world.ends = lambda number, body: "failed" if number <= 5 else "answered"
    found = await run_all(world, place, [many(14, 2, number) for number in range(2)], budget=20)
    assert spent(world) == 20
    assert (len(world.ledger), refused(found)) == (10, 4)


async def test_what_was_refused_for_limits_keeps_its_place_in_the_budget(world: Service, place: str) -> None:
    world.ends = lambda number, body: (
        refusal(429, "rate_limit_exceeded", retry_after="20") if number in (2, 3) else "answered"
    )
    found = await run_all(world, place, [many(10, 2), many(10, 2, 1)], budget=24, max_sending=2)
    assert (spent(world), refused(found)) == (24, 4)


async def test_what_was_given_back_is_spent_by_others_and_not_here(world: Service, place: str) -> None:
    async def know() -> int:
        return 30

    async def wait(_: float) -> None:
        raise TimeoutError

    async with a_worker(place) as one, a_worker(place) as two:
        first, second = [await open_run_budget(worker(world), each, 30) for each in (one, two)]
        for budget in (first, second):
            (await budget.reserve_in_turn(30, price_again=know, wait=wait)).release()
            with pytest.raises(TimeoutError):
                await (second if budget is first else first).reserve_in_turn(30, price_again=know, wait=wait)
            world.time.elapsed += 10.0
            await budget.settle_up()


async def test_a_dead_workers_part_is_spent_by_others_and_what_it_had_sent_is_not_spent_again(
    world: Service, place: str, postgres: PostgresServer
) -> None:
    world.seconds, found = 12.0, dict[str, BatchOutcome]()
    async with Batches(worker(world, 1))(many(4), journal=place, budget=40) as first:
        await until(world, lambda: len(world.ledger) == 4)

        async def work() -> None:
            found.update(await outcomes_of(worker(world, 2), many(20), place, budget=40))

        async with anyio.create_task_group() as group:
            group.start_soon(work)
            await world.time.sleep(5.0)
            end_leases(postgres, first)
            with pytest.raises(JournalError, match="run it again"):
                await anext(first)
    assert (spent(world), len(found), refused(found)) == (40, 20, 10)


@pytest.mark.parametrize("price", [4, None])
async def test_what_is_unknown_keeps_its_tokens_and_nobody_waits_for_it(
    world: Service, place: str, price: int | None
) -> None:
    world.price = world.tokens = 4
    world.price = price
    world.ends = lambda number, body: "dropped after"
    found = dict[str, BatchOutcome]()
    options: dict[str, Any] = {"journal": place, "budget": 8, "max_sending": 1}
    began = world.time.now()
    async with (  # none is gone before the other has ended
        Batches(worker(world, 0, submission="raise"))(many(4, 2), **options) as first,
        Batches(worker(world, 1, submission="raise"))(many(4, 2, 1), **options) as second,
    ):
        for run in (first, second):
            found.update({outcome.key: outcome async for outcome in run})
    assert world.time.now() < began + 20.0
    unknown = sum(isinstance(outcome.error, SubmissionUnknownError) for outcome in found.values())
    assert (unknown, refused(found)) == ((2, 2) if price else (1, 3))
    assert len(world.ledger) == unknown


async def test_a_lost_one_of_an_unknown_price_holds_up_no_other_when_its_worker_is_gone(
    world: Service, place: str
) -> None:
    world.price, world.seconds = None, 4.0
    world.ends = lambda number, body: "dropped before" if number == 1 else "answered"
    found = await outcomes_of(worker(world, 1, submission="raise"), many(3), place, budget=100)
    assert (isinstance(found["k000"].error, SubmissionUnknownError), refused(found)) == (True, 2)
    found = await outcomes_of(worker(world, 2), many(3), place, budget=100)
    assert [outcome.ok for outcome in found.values()] == [True, True, True]
    assert len(world.ledger) == 3


async def test_what_nobody_knows_the_price_of_passes_one_at_a_time_among_all(world: Service, place: str) -> None:
    world.price, world.tokens = None, 10
    found = await run_all(world, place, [many(6, 2), many(6, 2, 1)], budget=35)
    first = sorted(made.at for made in world.ledger)[:2]
    assert first[1] >= first[0] + world.seconds  # the other worker's waited for the first to end
    # What it costs shows when it has ended; one such may so exceed the budget, in one process as well.
    assert (spent(world), refused(found)) == (40, 2)


async def test_who_is_refused_by_what_ends_at_that_moment_asks_again() -> None:
    funds = RunFunds(budget=100)
    first: list[Reservation] = []

    def ends(price: int | None, **_: Any) -> Taken:
        first[0].settle(20)
        return Taken(None, funds)

    answers: list[Callable[..., Taken]] = [
        lambda price, **_: Taken(0, funds),  # its price is not known, and it is the first
        ends,  # asked while that runs, and it has ended when the answer comes
        lambda price, **_: Taken(20, funds),
        lambda price, **_: Taken(None, funds),
        lambda price, **_: Taken(30, funds),
        lambda price, **_: Taken(None, funds),
        lambda price, **_: Taken(None, funds),
    ]

    class Store:
        def take_tokens(self, price: int | None, **said: Any) -> Taken:
            return answers.pop(0)(price, **said)

    async def ask(act: Callable[[], Taken]) -> Taken:
        return act()

    journal: Any = SimpleNamespace(allotments=Store(), ask=ask)
    budget = RunBudget(make_core([]).core, journal, funds, is_unpriced=False)
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        for each in first:
            each.leave()  # nothing runs here any more

    async def reserve(price: int | None) -> Reservation:
        async def price_again() -> int:
            return 20 if price is None else price

        return await budget.reserve_in_turn(price, price_again=price_again, wait=wait)

    first.append(await reserve(None))
    first.append(await reserve(None))
    assert (first[1].price, waits) == (20, [1.0])
    # Refused a moment ago while the one before ran: that is no answer once it has ended...
    first.append(await reserve(30))
    assert (first[2].price, waits) == (30, [1.0, 1.0])
    with pytest.raises(BudgetExceededError):
        await reserve(40)
    assert answers == []
    with pytest.raises(BudgetExceededError):  # ... while one that was given when nothing ran is
        await reserve(40)


async def test_a_service_that_never_tells_a_cost_is_asked_once_by_all(world: Service, place: str) -> None:
    world.price, world.tokens = None, None
    record = world.record
    world.record = lambda made: {k: v for k, v in record(made).items() if k != "tokens_spent"}  # type: ignore[method-assign]
    found = await run_all(world, place, [many(4, 2), many(4, 2, 1)], budget=35)
    assert (len(world.ledger), refused(found)) == (1, 3)
    assert any("cannot be kept" in str(outcome.error) for outcome in found.values())


async def test_what_a_worker_without_a_budget_has_on_its_way_counts(
    world: Service, place: str, postgres: PostgresServer
) -> None:
    world.seconds = 20.0
    async with Batches(worker(world, 1))(many(3), journal=place) as first:
        await until(world, lambda: len(world.ledger) == 3)
        end_leases(postgres, first)
        found = await outcomes_of(worker(world, 2), many(10), place, budget=20)
    assert (spent(world), refused(found)) == (20, 5)


async def test_what_was_spent_beside_a_budget_counts_also_while_another_keeps_it(world: Service, place: str) -> None:
    async with Batches(worker(world, 1))(many(1), journal=place, budget=20) as first:
        assert (await anext(first)).ok
        await outcomes_of(worker(world, 2), many(3, first=1), place)
        found = await outcomes_of(worker(world, 3), many(9, first=3), place, budget=20)
    assert (spent(world), refused(found)) == (20, 4)


async def test_what_is_not_needed_goes_back_in_a_few_seconds(
    world: Service, place: str, postgres: PostgresServer
) -> None:
    world.seconds = 40.0
    held = "SELECT coalesce(sum(amount), 0)::int FROM neuralbox.allotment WHERE what = 'tokens'"
    async with Batches(worker(world, 1))(many(2), journal=place, budget=100) as run:
        await until(world, lambda: len(world.ledger) == 2)
        assert postgres.execute(held) == [(92,)]
        await world.time.sleep(8.0)
        assert postgres.execute(held) == [(0,)]
        moving = "SELECT until > clock_timestamp() FROM neuralbox.allotment WHERE what = 'tokens'"
        assert postgres.execute(moving) == [(True,)]
        assert [outcome.ok async for outcome in run] == [True, True]
        await world.time.sleep(3.0)
        assert postgres.execute(moving) == [(False,)]
        assert (run.progress.budget_tokens, run.progress.tokens_over) == (100, 0)
    assert postgres.execute("SELECT count(*) FROM neuralbox.allotment WHERE what = 'tokens'") == [(0,)]


@pytest.mark.parametrize("what", ["take_tokens", "keep_tokens"])
async def test_a_journal_that_cannot_be_asked_for_tokens_ends_the_batch_and_one_that_cannot_be_told_does_not(
    world: Service, place: str, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    from neuralbox._journal.postgres.allotments import Allotments

    def broken(*_: Any, **__: Any) -> None:
        raise JournalError("The database is gone.", reason="unwritable")

    monkeypatch.setattr(Allotments, what, broken)
    world.seconds = 8.0
    if what == "take_tokens":
        with pytest.raises(JournalError, match="database is gone"):
            await outcomes_of(worker(world), many(3), place, budget=100)
        assert world.ledger == []
    else:
        found = await outcomes_of(worker(world), many(3), place, budget=100)
        assert all(outcome.ok for outcome in found.values())


async def test_leaving_early_wakes_who_waits_for_tokens_of_others(world: Service, place: str) -> None:
    world.seconds = 600.0
    async with Batches(worker(world, 1))(many(2), journal=place, budget=8):
        await until(world, lambda: len(world.ledger) == 2)
        async with Batches(worker(world, 2))(many(4, first=2), journal=place, budget=8):
            await world.time.sleep(3.0)
    assert len(world.ledger) == 2
    assert read_summary(place).planned == 2


async def test_what_is_sent_again_after_a_proof_is_paid_of_the_same_tokens(world: Service, place: str) -> None:
    world.ends = lambda number, body: "dropped before" if number == 2 else "answered"
    found = await run_all(world, place, [many(6)], budget=20, max_sending=1)
    assert (spent(world), refused(found)) == (20, 1)


async def test_what_waits_for_limits_keeps_its_tokens(world: Service, place: str, postgres: PostgresServer) -> None:
    core = worker(world)
    limiter_of(core).windows = Windows(closed_until=core.clock() + 15.0, closed_at=core.clock())
    world.seconds = 4.0
    async with Batches(core)(many(2), journal=place, budget=8) as run:
        await world.time.sleep(13.0)
        assert postgres.execute(
            "SELECT amount, until > clock_timestamp() FROM neuralbox.allotment WHERE what = 'tokens'"
        ) == [(8, True)]
        assert [outcome.ok async for outcome in run] == [True, True]


async def test_what_did_not_leave_for_limits_gives_its_tokens_back(
    world: Service, place: str, postgres: PostgresServer
) -> None:
    core = worker(world)
    limiter_of(core).windows = Windows(closed_until=core.clock() + 600.0, closed_at=core.clock())
    core = core.with_options(core.options.with_changes(max_retry_wait=5.0))
    async with Batches(core)(many(2), journal=place, budget=8, max_throttle_wait=10.0) as run:
        assert [type(outcome.error) async for outcome in run] == [RateLimitError] * 2
        assert (run.progress.tokens_reserved, run.progress.budget_spent) == (0, 0)
        await world.time.sleep(2.0)
        assert postgres.execute("SELECT sum(amount)::int FROM neuralbox.allotment WHERE what = 'tokens'") == [(0,)]
    assert world.ledger == []


async def test_what_the_service_says_of_an_accepted_one_is_counted_on_by_all(
    world: Service, place: str, postgres: PostgresServer
) -> None:
    world.price, world.seconds = None, 20.0
    service = replace(NEURALBOX, estimate=lambda _: 10)
    async with Batches(worker(world, service=service))(many(4), journal=place, budget=30) as run:
        await until(world, lambda: len(world.ledger) == 3)
        assert postgres.execute("SELECT price FROM neuralbox.record WHERE state = 2") == [(10,)] * 3
        assert [outcome.ok async for outcome in run].count(True) >= 3
