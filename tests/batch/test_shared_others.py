"""Requests of a batch that another worker of its journal has: waited for as long as there is something to wait for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from neuralbox._batch import reader
from neuralbox._batch.item import BatchItem
from neuralbox._batch.outcome import BatchOutcome
from neuralbox._batch.reader import planned_request
from neuralbox._batch.resource import Batches
from neuralbox._budget import Budget
from neuralbox._errors import JournalError
from neuralbox._journal import open_account_journal, read_summary
from neuralbox._journal.postgres import store as stores
from neuralbox._journal.protocol import PlannedRequest
from neuralbox._journal.reading import plan_requests
from neuralbox._journal.shared import SharedJournal, taken
from neuralbox._requests.requests import VideoRequest

from ..helpers import one_loop
from ..service import Service
from .workers import BASE_URL, outcomes_of, videos, worker

pytestmark = pytest.mark.anyio


def _cut(world: Service) -> None:
    world.ends = lambda number, body: "dropped after"


def _slow(world: Service) -> None:
    world.seconds = 1e7


@one_loop
@pytest.mark.parametrize("lists", [True, False])
@pytest.mark.parametrize(
    ("options", "arrange"),
    [
        pytest.param({"budget": 8}, None, id="no tokens are left"),
        pytest.param({"wait_timeout": 60.0}, _slow, id="the wait was too long"),
        pytest.param({"submission": "raise"}, _cut, id="nobody knows"),
        pytest.param({"kind": "of tomorrow"}, None, id="nobody can read it"),
    ],
)
async def test_workers_do_not_wait_for_each_others_requests_that_got_no_generation(
    world: Service,
    place: str,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    arrange: Any,
    lists: bool,
) -> None:
    monkeypatch.setattr(reader, "PAGE", 2)
    monkeypatch.setattr(stores, "PAGE", 2)
    if arrange is not None:
        arrange(world)
    requests = videos(*"abcdefgh")
    planned = [planned_request(request.key or "", request) for request in requests]
    if "kind" in options:
        planned = [PlannedRequest(each.key, {"kind": options["kind"]}) for each in planned]
    if not lists or "kind" in options:
        plan_requests(place, planned, service=BASE_URL, now=1.0)
        shares: list[Any] = [None, None]
    else:
        shares = [requests, [*reversed(requests)]]
    of_client = {name: value for name, value in options.items() if name == "submission"}
    of_run = {name: value for name, value in options.items() if name in ("budget", "wait_timeout")}
    ended, found = list[int](), dict[str, BatchOutcome]()

    async def work(number: int) -> None:
        core = worker(world, number, **of_client)
        async with Batches(core)(shares[number], journal=place, **of_run) as run:
            async for outcome in run:
                found[outcome.key] = outcome
            ended.append(number)
            while len(ended) < 2:  # it lives on, and so does all that it has
                await world.time.sleep(1.0)

    async with anyio.create_task_group() as group:
        group.start_soon(work, 0)
        group.start_soon(work, 1)
        while len(ended) < 2 and world.time.elapsed < 600.0:
            await world.time.sleep(1.0)
        group.cancel_scope.cancel()
    assert sorted(ended) == [0, 1]
    assert sorted(found) == sorted(request.key or "" for request in requests)
    assert len(world.ledger) <= len(requests)


async def test_what_is_given_up_is_told_again_where_the_journal_was_away_and_not_of_a_key_that_is_here_anew(
    world: Service, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_up, told = SharedJournal.give_up, list[list[str]]()

    async def answer(journal: SharedJournal, keys: Any) -> None:
        told.append([*keys])
        if len(told) == 1:
            raise JournalError("The database is away.", reason="unwritable")
        await give_up(journal, keys)

    monkeypatch.setattr(SharedJournal, "give_up", answer)
    world.price = 4
    async with Batches(worker(world))(videos("a"), journal=place, budget=1) as run:
        outcome = await anext(run)
        state = run._state
        assert state is not None
        state.live["b"] = BatchItem("b", None)
        state.given_up["b"] = BatchItem("b", None)
        while len(told) < 2:
            await world.time.sleep(0.5)
        del state.live["b"]
    assert not outcome.ok
    assert [set(keys) for keys in told] == [{"a/0"}, {"a/0"}]


def first_is_taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let another worker take the first request just before it is sent; returns which that was."""
    sending, refused = SharedJournal.sending, list[str]()

    async def answer(
        journal: SharedJournal, key: str, claim: Any, *, mark: bytes | None = None, price: int | None = None
    ) -> None:
        if not refused:
            refused.append(key)
            raise taken(journal.path, key)
        await sending(journal, key, claim, mark=mark)

    monkeypatch.setattr(SharedJournal, "sending", answer)
    return refused


async def test_what_another_worker_brings_to_its_end_costs_nothing_here(
    world: Service, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_is_taken(monkeypatch)
    budget = Budget(100)
    found = await outcomes_of(worker(world), videos("a"), place, budget=budget)
    assert found["a/0"].ok
    assert (budget.spent, budget.reserved) == (4, 0)


async def test_a_request_that_another_worker_took_meanwhile_is_waited_for(
    world: Service, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = first_is_taken(monkeypatch)
    found = await outcomes_of(worker(world), videos("a"), place)
    assert (found["a/0"].ok, refused, len(world.ledger)) == (True, ["a/0"], 1)


async def test_a_run_that_fails_waits_for_nothing_that_is_anothers(world: Service, place: str) -> None:
    def requests() -> Iterator[VideoRequest]:
        yield from videos("a")

    async with await open_account_journal(worker(world, 1), place) as other:
        await other.plan([planned_request("a/0", videos("a")[0])])
        async with Batches(worker(world))(requests(), journal=place) as run:
            while run.progress.waiting == 0:
                await world.time.sleep(0.1)
            assert run._state is not None
            run._state.fail(LookupError("of a callback"))
            with pytest.raises(LookupError):
                await anext(run)
    assert world.ledger == []


@pytest.mark.parametrize("where", ["first", "second"])
async def test_a_journal_that_cannot_be_asked_for_the_others_ends_the_batch(
    world: Service, place: str, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    world.seconds, takes = 20.0, list[int]()
    take = SharedJournal.take

    async def answer(journal: SharedJournal, keys: Any) -> Any:
        takes.append(1)
        if where == "first" or len(takes) > 3:
            await anyio.lowlevel.checkpoint()  # as the database would
            raise JournalError("The database is gone.")
        return await take(journal, keys)

    async with Batches(worker(world, 1))(videos("a", "b"), journal=place) as first:
        while read_summary(place).accepted < 2:
            await world.time.sleep(0.1)
        monkeypatch.setattr(SharedJournal, "take", answer)
        with pytest.raises(JournalError, match="database is gone"), anyio.fail_after(20):
            await outcomes_of(worker(world, 2), videos("a", "b"), place)
        monkeypatch.setattr(SharedJournal, "take", take)
        assert [outcome.ok async for outcome in first] == [True, True]
