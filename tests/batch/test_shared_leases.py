"""A worker of a shared journal that was away for longer than its lease: it sends nothing more, and another goes on."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from neuralbox._batch.outcome import BatchOutcome
from neuralbox._batch.resource import Batches
from neuralbox._errors import JournalError
from neuralbox._journal import read_records, read_summary
from neuralbox._journal.shared import SharedJournal

from ..postgres import PostgresServer
from ..service import Service
from .workers import end_leases, ids_of, outcomes_of, videos, worker

pytestmark = pytest.mark.anyio


async def test_a_worker_that_was_away_too_long_leaves_and_the_next_takes_over(
    world: Service, place: str, postgres: PostgresServer, moves: set[tuple[str, str]]
) -> None:
    world.seconds = 12.0
    found = dict[str, BatchOutcome]()
    async with Batches(worker(world, 1))(videos("a", "b"), journal=place) as first:
        while read_summary(place).accepted < 2:
            await world.time.sleep(0.1)

        async def work() -> None:
            found.update(await outcomes_of(worker(world, 2), videos("a", "b", "c"), place))

        async with anyio.create_task_group() as group:
            group.start_soon(work)
            await world.time.sleep(5.0)
            end_leases(postgres, first)
            with pytest.raises(JournalError, match="It sends nothing more; run it again") as caught:
                await anext(first)
            assert caught.value.reason == "lease"
    assert sorted(found) == ["a/0", "b/1", "c/2"]
    assert len(ids_of(found)) == len(world.ledger) == 3
    assert {("waiting", "-"), ("waiting", "waiting")} <= moves


@pytest.mark.usefixtures("_nobody_keeps")
async def test_what_had_ended_and_was_not_written_down_goes_with_the_lease(
    world: Service, place: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    final, written = SharedJournal.final, anyio.Event()

    async def held(journal: SharedJournal, key: str, outcome: Any) -> None:
        written.set()
        await world.time.sleep(5.0)
        await final(journal, key, outcome)

    monkeypatch.setattr(SharedJournal, "final", held)
    async with Batches(worker(world, 1))(videos("a", "b"), journal=place) as batch:
        await written.wait()
        end_leases(postgres, batch)
        with pytest.raises(JournalError) as caught:
            await anext(batch)
        assert caught.value.reason == "lease"
        await world.time.sleep(10.0)
        assert batch._state is not None
        assert (batch._state.counter.in_flight, [*batch._state.done]) == (0, [])
    monkeypatch.setattr(SharedJournal, "final", final)
    found = await outcomes_of(worker(world, 2), videos("a", "b"), place)
    assert all(outcome.ok for outcome in found.values())
    assert len(world.ledger) == 2


async def test_a_request_that_nobody_may_send_any_more_does_not_leave(
    world: Service, place: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[str]()

    def suspended(journal: SharedJournal, key: str | None = None) -> None:
        asked.append(str(key))
        raise JournalError("It was suspended between the two.", reason="lease")

    monkeypatch.setattr(SharedJournal, "require_lease", suspended)
    with pytest.raises(JournalError, match="suspended between"):
        await outcomes_of(worker(world), videos("a"), place)
    assert set(asked) == {"a/0"}
    assert world.ledger == []
    assert [record.state for record in read_records(place)] == ["planned"]
