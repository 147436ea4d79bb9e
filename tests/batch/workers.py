"""Workers of one journal in PostgreSQL: clients that share nothing else, as those of other processes would.

The time source of each is one of its own, so that each has an account, a registry and a poller of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anyio

from neuralbox._batch.outcome import BatchOutcome
from neuralbox._batch.resource import Batches
from neuralbox._config import ClientOptions, Polling
from neuralbox._core.credentials import ApiKey
from neuralbox._core.exchange import Core
from neuralbox._requests.requests import VideoRequest
from neuralbox._submissions.registry import SettlePolicy, registry_of

from ..helpers import KEY
from ..postgres import PostgresServer
from ..service import Service

BASE_URL = "http://box.test"


def worker(world: Service, number: int = 0, **options: Any) -> Core:
    """A client that shares nothing with the others in this process."""
    options.setdefault("polling", Polling(min_interval=1.0, max_interval=5.0))
    source = replace(world.time.time_source, random=lambda: 0.5 + number / 1_000)
    core = Core(world, ClientOptions(base_url=BASE_URL, **options), ApiKey(KEY), source)
    registry_of(core).settling = SettlePolicy(base=2.0, longest=4.0, listed_by=8.0)
    return core


def videos(*prompts: str) -> list[VideoRequest]:
    return [
        VideoRequest(model="kling-v2.1", prompt=prompt, key=f"{prompt}/{number}", duration=5)
        for number, prompt in enumerate(prompts)
    ]


async def outcomes_of(core: Core, requests: Any, place: str, **options: Any) -> dict[str, BatchOutcome]:
    found: dict[str, BatchOutcome] = {}
    async with Batches(core)(requests, journal=place, **options) as run:
        async for outcome in run:
            assert outcome.key not in found
            found[outcome.key] = outcome
    return found


def ids_of(*found: dict[str, BatchOutcome]) -> set[Any]:
    return {outcome.job.id for each in found for outcome in each.values() if outcome.job is not None}


def end_leases(postgres: PostgresServer, batch: Any) -> None:
    """Let a lease end in the database, and its owner hear of it as with the next beat."""
    owner = batch._journal._store._owner
    postgres.execute("UPDATE neuralbox.owner SET lease_until = clock_timestamp() WHERE number = %s", (owner.number,))
    owner.lost = True


async def until(world: Service, is_so: Callable[[], Any]) -> None:
    with anyio.fail_after(60):
        while not is_so():
            await world.time.sleep(0.1)


def many(count: int, step: int = 1, first: int = 0, **options: Any) -> list[VideoRequest]:
    return [
        VideoRequest(model="kling-v2.1", prompt=f"scene {number}", key=f"k{number:03d}", duration=5, **options)
        for number in range(first, count, step)
    ]
