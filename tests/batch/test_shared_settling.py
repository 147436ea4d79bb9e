"""Unknown requests of a run in a database: the journal's and no client's, settled by hand or by the history."""

from __future__ import annotations

from dataclasses import replace

import pytest

from neuralbox._batch.resource import Batches
from neuralbox._batch.unknown import reconcile_journal, settle
from neuralbox._errors import ConfigurationError, JournalError
from neuralbox._journal import read_records, read_summary
from neuralbox._submissions.registry import registry_of

from ..service import Service
from .workers import outcomes_of, videos, worker

pytestmark = pytest.mark.anyio


async def test_an_unknown_one_is_the_journals_and_not_the_clients(world: Service, place: str) -> None:
    world.ends = lambda number, body: "dropped after"
    core = worker(world, submission="raise")
    await outcomes_of(core, videos("one"), place)
    assert registry_of(core).unresolved == ()


async def test_reconciling_and_settling_work_on_a_run_in_a_database(world: Service, place: str) -> None:
    world.ends = lambda number, body: {1: "dropped after", 2: "dropped before", 3: "dropped before"}.get(
        number, "answered"
    )
    await outcomes_of(worker(world, submission="raise"), videos("a", "b", "c", "d"), place, max_sending=1)
    assert await settle(worker(world, 3), place, "c/2") is None
    found = {each.key: each for each in await reconcile_journal(worker(world, 1), place)}
    assert found["a/0"].job is not None
    assert found["b/1"].is_absent
    assert {record.key: record.state for record in read_records(place)} == {
        "a/0": "accepted",
        "b/1": "planned",
        "c/2": "final",
        "d/3": "final",
    }
    with pytest.raises(ConfigurationError, match="Nothing is unknown"):
        await settle(worker(world), place, "a/0", resend=True)


async def test_what_a_living_worker_has_is_not_settled_by_others(world: Service, place: str) -> None:
    world.holds = 5.0
    async with Batches(worker(world, 1))(videos("a"), journal=place) as run:
        while read_summary(place).sending == 0:
            await world.time.sleep(0.1)
        with pytest.raises(JournalError, match="has the request 'a/0' at this moment"):
            await settle(worker(world, 2), place, "a/0")
        assert await reconcile_journal(worker(world, 2), place) == []
        assert [outcome.ok async for outcome in run] == [True]


async def test_a_generation_of_another_run_is_not_adopted_by_hand_however_it_is_called(
    world: Service, place: str
) -> None:
    world.listing.ids = "mixed"
    world.end_with("answered", "dropped before")
    [outcome] = (await outcomes_of(worker(world), videos("same"), place)).values()
    assert outcome.job is not None
    second = [replace(videos("same")[0], key="second")]
    await outcomes_of(worker(world, 1, submission="raise"), second, f"{place}-b")
    for name in (outcome.job.id, f"gen_{outcome.job.id}"):
        with pytest.raises(ConfigurationError, match="belongs to a request of another run"):
            await settle(worker(world, 2), f"{place}-b", "second", adopt=name)
