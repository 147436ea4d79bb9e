"""Workers of one journal in PostgreSQL: whatever two of them are given, each request is paid for once, and is one's own."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from neuralbox._batch.outcome import BatchOutcome
from neuralbox._batch.planning import plan
from neuralbox._batch.resource import Batches
from neuralbox._errors import InsufficientTokensError, JournalError, SubmissionUnknownError
from neuralbox._journal import read_records, read_summary, read_workers
from neuralbox._journal.shared import SharedJournal

from ..helpers import one_loop, refusal
from ..service import Service
from .workers import BASE_URL, ids_of, outcomes_of, videos, worker

pytestmark = pytest.mark.anyio


@one_loop
@pytest.mark.usefixtures("_who_meet")
async def test_a_share_that_is_given_to_two_workers_is_paid_once_and_delivered_by_both(
    world: Service, place: str
) -> None:
    found = list[dict[str, BatchOutcome]]()

    async def work(number: int) -> None:
        found.append(await outcomes_of(worker(world, number), videos("a", "b", "b"), place))

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(work, number)
    assert [sorted(each) for each in found] == [["a/0", "b/1", "b/2"]] * 3
    assert len(world.ledger) == 3
    assert len(ids_of(*found)) == 3
    assert all(outcome.ok for each in found for outcome in each.values())
    assert sum(outcome.resumed for each in found for outcome in each.values()) >= 4
    again = await outcomes_of(worker(world, 9), videos("a", "b", "b"), place)
    assert all(outcome.resumed for outcome in again.values())
    assert len(world.ledger) == 3


@one_loop
@pytest.mark.parametrize("seconds", [0.0, 5.0])
@pytest.mark.usefixtures("_who_meet")
async def test_what_failed_and_is_tried_again_by_two_is_bought_by_one(
    world: Service, place: str, seconds: float
) -> None:
    world.ends = lambda number, body: "failed" if number == 1 else "answered"
    await outcomes_of(worker(world), videos("a"), place)
    found = list[dict[str, BatchOutcome]]()

    async def work(number: int) -> None:
        found.append(await outcomes_of(worker(world, number), videos("a"), place, retry_failed=True))

    world.holds = seconds
    async with anyio.create_task_group() as group:
        group.start_soon(work, 1)
        group.start_soon(work, 2)
    assert [outcome.error for each in found for outcome in each.values() if not outcome.ok] == []
    assert [len(each) for each in found] == [1, 1]
    assert (len(world.ledger), len(ids_of(*found))) == (2, 1)


@one_loop
@pytest.mark.parametrize("fate", ["dropped after", "dropped before"])
@pytest.mark.usefixtures("_who_meet")
async def test_equal_prompts_whose_answers_are_lost_in_two_workers_are_each_their_own(
    world: Service, place: str, fate: str
) -> None:
    """Without the journal's word each would take what it finds first, and one generation would be delivered twice."""
    found, world.holds = list[dict[str, BatchOutcome]](), 1.0
    world.ends = lambda number, body: fate if number % 3 == 1 else "answered"

    async def work(number: int) -> None:
        share = [request for at, request in enumerate(videos(*["same"] * 12)) if at % 2 == number]
        found.append(await outcomes_of(worker(world, number), share, place))

    async with anyio.create_task_group() as group:
        group.start_soon(work, 0)
        group.start_soon(work, 1)
    assert [len(each) for each in found] == [6, 6]
    assert len(ids_of(*found)) == sum(outcome.ok for each in found for outcome in each.values())
    # Where nothing proves that one was never accepted it stays unknown, and a later worker, which sees more, settles it.
    last = await outcomes_of(worker(world, 2), videos(*["same"] * 12), place)
    for number in range(3, 7):
        if not all(outcome.ok for outcome in last.values()):
            last = await outcomes_of(worker(world, number), videos(*["same"] * 12), place)
    assert [outcome.error for outcome in last.values() if not outcome.ok] == []
    assert len(ids_of(last)) == len(world.ledger) == 12


async def test_what_a_dead_worker_left_is_settled_by_the_next(world: Service, place: str) -> None:
    world.ends = lambda number, body: {3: "dropped after", 4: "dropped before"}.get(number, "answered")
    share = videos("one", "two", "three", "four")
    first = await outcomes_of(worker(world, 1, submission="raise"), share, place, max_sending=1)
    assert sum(isinstance(outcome.error, SubmissionUnknownError) for outcome in first.values()) == 2
    assert sorted(record.state for record in read_records(place)) == ["final", "final", "sending", "sending"]
    found = await outcomes_of(worker(world, 2), share, place)
    assert [outcome.error for outcome in found.values() if not outcome.ok] == []
    assert len(ids_of(found)) == len(world.ledger) == 4


async def test_those_who_watch_see_what_holds_a_worker_up(
    world: Service, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.ends = lambda number, body: (
        refusal(429, "rate_limit_exceeded", retry_after="20") if number == 1 else "answered"
    )
    core, seen = worker(world, max_retry_wait=5.0), list[tuple[str, float | None]]()
    tell = SharedJournal.tell

    async def told(journal: SharedJournal, throttled: tuple[float, str] | None) -> None:
        await tell(journal, throttled)
        (one,) = read_workers(place, core.now())
        seen.append((one.throttled_by, one.throttled_until))
        raise JournalError("what it is for is worth no run", reason="failed")

    monkeypatch.setattr(SharedJournal, "tell", told)
    found = await outcomes_of(core, videos("one"), place)
    assert found["one/0"].ok
    assert [by for by, _ in seen] == ["asked", ""]
    assert seen[0][1] is not None
    assert seen[1][1] is None


async def test_files_and_failures_that_were_left_are_seen_to_where_that_is_wanted(
    world: Service, place: str, tmp_path: Path
) -> None:
    world.ends = lambda number, body: "failed" if number == 1 else "answered"
    await outcomes_of(worker(world), videos("a", "b"), place)
    assert await outcomes_of(worker(world), None, place) == {}
    found = await outcomes_of(worker(world, 1), None, place, download_to=tmp_path, retry_failed=True)
    assert sorted(found) == ["a/0", "b/1"]
    assert read_summary(place).saved == 2
    assert len(world.ledger) == 3


async def test_a_worker_without_tokens_leaves_the_rest_to_others(world: Service, place: str) -> None:

    world.ends = lambda number, body: refusal(402, "insufficient_tokens")
    plan(place, videos(*["a"] * 600), service=BASE_URL, now=world.time.now())
    found = await outcomes_of(worker(world), None, place, max_sending=1, max_in_flight=4)
    assert all(isinstance(outcome.error, InsufficientTokensError) for outcome in found.values())
    assert len(found) < 300
    assert read_summary(place).planned == 600


async def test_leaving_early_leaves_the_rest_to_others(world: Service, place: str) -> None:

    plan(place, videos("a", "b", "c"), service=BASE_URL, now=world.time.now())
    async with Batches(worker(world))(None, journal=place, max_in_flight=1) as run:
        async for _ in run:
            break
    found = await outcomes_of(worker(world, 1), None, place)
    assert len(found) == 2
