"""A batch cancelled at every moment: no charge is lost, and nothing of the run is left.

Every charge was handed out, is in `unfinished`, is one the client still looks for, or is in the journal, whose next run
delivers it without buying it again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import anyio
import pytest

from neuralbox._batch.batch import Batch
from neuralbox._batch.outcome import BatchOutcome
from neuralbox._batch.resource import Batches
from neuralbox._polling.account_pollers import poller_of
from neuralbox._submissions.registry import registry_of

from ..helpers import TIMES
from ..service import Service
from .support import a_service, batches, images, outcomes_of, videos

pytestmark = pytest.mark.anyio

REQUESTS: list[Any] = [*videos(2), *images(4), *videos(1)]  # the last equals the first
WANTED = Counter(request.prompt for request in REQUESTS)
FATES: dict[int, Any] = {2: "dropped after", 4: "failed", 5: "dropped before"}


def a_struck_service() -> Service:
    return a_service(seconds=5.0, holds=0.5, ends=lambda number, body: FATES.get(number, "answered"))


# When it is cancelled: at a moment of virtual time, and so many checkpoints into what happens there.
MOMENTS = [*(half / 2 for half in range(26)), 17.0, 45.5, 61.5, 1_000.0]
CHECKPOINTS = [0, 1, 2, 3, 5, 8, 13, 21]
# Every third of them meets each moment, and each number of checkpoints.
PLACES = [*product(MOMENTS, CHECKPOINTS)][:: 3 if TIMES == 1 else 1]


def for_loop(name: str, places: Sequence[tuple[float, int]]) -> Sequence[tuple[float, int]]:
    """Share them between the loops, which cancel alike; a night has all on both."""
    return places[name == "trio" :: 2] if TIMES == 1 else places


async def cancelled_at(
    moment: float, checkpoints: int, world: Service, batch: Batch, found: list[BatchOutcome], *, leave: bool
) -> bool:
    """Run a batch and cancel it, or leave its block, at a moment; False when it ended before."""
    ended = False

    async def read() -> bool:
        async for outcome in batch:
            found.extend([outcome])
        return True

    async def run() -> None:
        nonlocal ended
        async with batch:
            if leave:
                with anyio.CancelScope() as scope:
                    group.start_soon(count, scope)
                    ended = await read()
            else:
                ended = await read()
        group.cancel_scope.cancel()

    async def count(scope: anyio.CancelScope) -> None:
        await world.time.sleep(moment)
        for _ in range(checkpoints):
            await anyio.lowlevel.checkpoint()
        scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        if not leave:
            group.start_soon(count, group.cancel_scope)
    return not ended


def accounted_for(world: Service, home: Batches, batch: Batch, found: list[BatchOutcome]) -> None:
    """Check that nothing is left of a run, and no charge without a trace."""
    core = home._core
    assert world.selling == 0
    assert world.open_streams == 0
    assert not poller_of(core).jobs
    charged = {made.id: made.prompt for made in world.ledger if not made.fails}
    for outcome in found:
        if outcome.job is not None:
            charged.pop(int(outcome.job.id), None)
    for job in batch.unfinished:
        charged.pop(int(job.id), None)
    looked_for = [str(one.request.get("prompt")) for one in registry_of(core).unresolved]
    for prompt in charged.values():
        assert prompt in looked_for, f"{prompt} was charged and lost"


@pytest.mark.uncovered
@pytest.mark.parametrize("leave", [False, True])
async def test_no_charge_is_lost_whenever_a_run_is_cancelled(anyio_backend: str, leave: bool) -> None:
    ended, places = 0, for_loop(anyio_backend, PLACES)
    for moment, checkpoints in places:
        world, found = a_struck_service(), list[BatchOutcome]()
        home = batches(world)
        batch = home(REQUESTS, max_sending=2, max_in_flight=5)
        was_cancelled = await cancelled_at(moment, checkpoints, world, batch, found, leave=leave)
        accounted_for(world, home, batch, found)
        assert was_cancelled or len(found) == len(REQUESTS)
        ended += not was_cancelled
    assert len(places) // len(MOMENTS) <= ended < len(places) / 4


async def test_the_next_run_of_the_journal_delivers_everything_once(anyio_backend: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for moment, checkpoints in for_loop(anyio_backend, [*product([0.0, 0.5, 1.0, 5.5, 6.0, 11.5], [0, 2, 7])]):
        path = tmp_path / f"{moment}-{checkpoints}.sqlite"
        world, found = a_struck_service(), list[BatchOutcome]()
        home = batches(world)
        options: dict[str, Any] = {"journal": path, "wait_timeout": None, "download_to": out}
        batch = home(REQUESTS, max_sending=2, max_in_flight=5, **options)
        await cancelled_at(moment, checkpoints, world, batch, found, leave=False)
        accounted_for(world, home, batch, found)
        second = await outcomes_of(home(REQUESTS, **options))
        assert len(second) == len(REQUESTS)
        assert sum(outcome.ok for outcome in second.values()) == len(REQUESTS) - 1
        assert world.charges <= WANTED
        assert world.charges.total() == len(REQUESTS) - 1
        assert registry_of(home._core).unresolved == ()
