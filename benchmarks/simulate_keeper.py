"""How many requests does a job cost where many processes share a journal, and how late is its end known?

Workers with a time, an account, a registry and a poller of their own each, as processes have, share one journal in a real
PostgreSQL and work on equal shares of the same videos, which take 20 to 180 s each, in virtual time. With a keeper one of
them waits for all; `--alone` has each wait for its own, as it was before.

    python -m benchmarks.simulate_keeper [--jobs 1000] [--workers 1 2 8 16] [--detail listing] [--lost 0.05] [--alone]
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

import anyio
import pytest

from neuralbox._batch.keeper import Keeper
from neuralbox._batch.resource import Batches
from neuralbox._config import ClientOptions, Polling
from neuralbox._core.credentials import ApiKey
from neuralbox._core.exchange import Core
from neuralbox._requests.requests import VideoRequest
from neuralbox._types import GenerationId
from tests.batch.support import USUAL, hold_for_journals
from tests.helpers import Sent
from tests.postgres import PostgresServer
from tests.service import Made, Service


@dataclass(eq=False)
class Counting(Service):
    """A service that counts what is asked of it, and whose jobs take their time."""

    counted: Counter[str] = field(default_factory=Counter)
    dice: random.Random = field(default_factory=lambda: random.Random(7))

    async def send(self, prepared: Sent, **more: Any) -> Any:
        method, url = prepared.method, prepared.url
        self.counted["post" if method == "POST" else "listing" if "/history" in url else "look"] += 1
        if method == "POST":
            self.seconds = self.dice.uniform(20.0, 180.0)
        return await super().send(prepared, **more)


@dataclass(frozen=True)
class Row:
    """What a job cost."""

    workers: int
    requests: float
    listing: float
    look: float
    late_median: float
    late_most: float
    charged: int
    different: int


def run_all(
    world: Service, place: str, jobs: int, workers: int, polling: Polling, ended: Callable[[GenerationId], None]
) -> None:
    """Run so many jobs on so many workers, and tell the id of each that has ended; the clock stands still for the journal."""

    async def work(number: int) -> None:
        source = replace(world.time.time_source, random=random.Random(number).random)
        core = Core(
            world, ClientOptions(base_url="http://box.test", polling=polling), ApiKey("nb_test_simulated"), source
        )
        share = [
            VideoRequest(model="kling-v2.1", prompt=f"scene {each}", key=f"k{each}", duration=5)
            for each in range(number, jobs, workers)
        ]
        async with Batches(core)(share, journal=place, wait_timeout=None, max_sending=8) as run:
            async for outcome in run:
                assert outcome.ok, outcome.error
                assert outcome.job is not None
                ended(outcome.job.id)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for number in range(workers):
                group.start_soon(work, number)

    with pytest.MonkeyPatch.context() as patch:
        hold_for_journals(world.time, patch)
        anyio.run(main)


def simulate(server: PostgresServer, workers: int, jobs: int, *, detail: Any = "auto", lost: float = 0.0) -> Row:
    """Run so many jobs on so many workers, and count."""
    world, ends, dice = Counting(**USUAL), dict[Any, float](), random.Random(5)
    fates = ["dropped after" if dice.random() < lost else "answered" for _ in range(2 * jobs + 1)]
    world.ends = lambda number, _body: fates[number]
    server.empty()

    def ended(name: GenerationId) -> None:
        ends[name] = world.time.now()

    run_all(world, server.url(), jobs, workers, Polling(detail=detail), ended)
    made: dict[Any, Made] = {each.id: each for each in world.ledger}
    late = sorted(at - made[name].at - made[name].seconds for name, at in ends.items())
    return Row(
        workers,
        round(world.counted.total() / jobs, 3),
        round(world.counted["listing"] / jobs, 3),
        round(world.counted["look"] / jobs, 3),
        round(median(late), 2),
        round(late[len(late) * 95 // 100], 2),
        len(world.ledger),
        len(ends),
    )


async def _alone(keeper: Keeper) -> None:
    keeper.unfit = LookupError("It was told not to.")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=1_000)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 8, 16])
    parser.add_argument("--detail", default="status")
    parser.add_argument("--lost", type=float, default=0.0)
    parser.add_argument("--alone", action="store_true")
    given = parser.parse_args()
    if given.alone:
        Keeper.run = _alone  # type: ignore[method-assign, assignment]
    with PostgresServer() as server:
        for workers in given.workers:
            print(simulate(server, workers, given.jobs, detail=given.detail, lost=given.lost), flush=True)


if __name__ == "__main__":
    main()
