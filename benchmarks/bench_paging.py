"""What does walking a listing cost, in time and in the client's CPU, against a bare loop over its pages?

10,000 generations, 100 a page, from a server that holds each answer for 20 ms. The baseline asks for one page after the
other with `httpx.AsyncClient.get` and parses it with `response.json()`; its items are the dicts that come out of that,
where ours are `Generation`s, every field of which is read. A second bare loop validates each item with a pydantic model
of the same fields, for those who would otherwise do that themselves. Units: microseconds per item, of the wall's clock
and of this process's CPU. The last rows count what is wrong with the result when three new items arrive per page.

    python -m benchmarks.bench_paging [--full]
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, TypeAlias

import httpx
from pydantic import BaseModel, ConfigDict

from benchmarks.listings import PAGE, record, serving
from benchmarks.measure import Row, Settings, compare, main, show
from neuralbox import AsyncNeuralBox

ARRIVING = 3
WALL_BOUND = 1 / 3.5  # of the time an item takes: 3.5 times the items per second
CPU_BOUND = 1.0

OURS = "neuralbox, prefetch=4"
OURS_ALONE = "neuralbox, prefetch=0"
BARE = "httpx loop"
BARE_MODELS = "httpx loop + pydantic"

Walk: TypeAlias = Callable[[], Awaitable[int]]


class Item(BaseModel):
    """What one would write beside a bare loop: the documented fields of an item (SEED 000)."""

    model_config = ConfigDict(frozen=True)

    id: str
    type: str
    model: str
    status: str
    prompt: str
    url: str | None
    tokens_used: int
    created_at: datetime


# The walks.


def ours(nb: AsyncNeuralBox, prefetch: int) -> Walk:
    """Walk with the client."""

    async def walk() -> int:
        count = 0
        async for item in nb.history.list(page_size=PAGE, prefetch=prefetch):
            assert item.is_completed
            count += 1
        return count

    return walk


def bare(client: httpx.AsyncClient, url: str, read: Callable[[dict[str, Any]], object]) -> Walk:
    """Walk by hand: page after page until the last."""

    async def walk() -> int:
        count, page, pages = 0, 1, 1
        while page <= pages:
            reply = (await client.get(url, params={"page": page, "limit": PAGE})).json()
            pages = reply["pages"]
            for item in reply["items"]:
                assert read(item)
                count += 1
            page += 1
        return count

    return walk


async def measure(walks: Mapping[str, Walk], *, rounds: int, seed: int) -> list[dict[str, list[float]]]:
    """Return seconds per item of the wall's clock, and of CPU, one figure per round, by walk."""
    order, rng = list(walks), random.Random(seed)
    for name in order:
        await walks[name]()
    wall: dict[str, list[float]] = {name: [] for name in order}
    cpu: dict[str, list[float]] = {name: [] for name in order}
    for _ in range(rounds):
        rng.shuffle(order)
        for name in order:
            gc.collect()
            begun, worked = time.perf_counter(), time.process_time()
            count = await walks[name]()
            wall[name].append((time.perf_counter() - begun) / count)
            cpu[name].append((time.process_time() - worked) / count)
    return [wall, cpu]


async def wrong(url: str, count: int, prefetch: int) -> tuple[int, int]:
    """Walk while items arrive; return how many came twice, and how many of those that were there did not come."""
    async with httpx.AsyncClient() as client, AsyncNeuralBox(api_key="nb_benchmark", base_url=url) as nb:
        await client.get(f"{url}/begin")
        listing = nb.history.list(page_size=PAGE, prefetch=prefetch, extra_query={"arriving": ARRIVING})
        seen = [str(item.id) async for item in listing]
        await client.get(f"{url}/begin")
    expected = {json.loads(record(number))["id"] for number in range(1, count + 1)}
    return len(seen) - len(set(seen)), len(expected - set(seen))


async def all_walks(url: str, settings: Settings) -> list[dict[str, list[float]]]:
    """Measure all walks, on connections that are warm."""
    listing = f"{url}/api/v2/user/history"
    async with AsyncNeuralBox(api_key="nb_benchmark", base_url=url) as nb, httpx.AsyncClient() as client:
        walks = {
            OURS: ours(nb, 4),
            OURS_ALONE: ours(nb, 0),
            BARE: bare(client, listing, lambda item: item["status"] == "completed"),
            BARE_MODELS: bare(client, listing, lambda item: Item.model_validate(item).status == "completed"),
        }
        return await measure(walks, rounds=settings.pick(1, 7), seed=settings.seed)


def run(settings: Settings) -> list[Row]:
    """Measure all walks, then count what is wrong when items arrive."""
    count = settings.pick(300, 10_000)
    with serving("paging", count) as url:
        wall, cpu = asyncio.run(all_walks(url, settings))
        twice, missing = asyncio.run(wrong(url, count, 4))
    rows = [
        compare(f"an item: {OURS}", wall, OURS, BARE, unit="us wall", bound=WALL_BOUND),
        compare(f"an item: {OURS}", wall, OURS, BARE_MODELS, unit="us wall"),
        compare(f"an item: {OURS_ALONE}", wall, OURS_ALONE, BARE, unit="us wall"),
        *(show(f"an item: {name}", wall[name], unit="us wall") for name in (BARE, BARE_MODELS)),
        compare(f"an item: {OURS}", cpu, OURS, BARE, bound=CPU_BOUND),
        compare(f"an item: {OURS}", cpu, OURS, BARE_MODELS),
        compare(f"an item: {OURS_ALONE}", cpu, OURS_ALONE, BARE),
        *(show(f"an item: {name}", cpu[name]) for name in (BARE, BARE_MODELS)),
    ]
    arriving = f"{ARRIVING} new items per page, {OURS}"
    return [
        *rows,
        Row(f"{arriving}: items twice", twice, "items", bound=0.0),
        Row(f"{arriving}: items missing", missing, "items", bound=0.0),
    ]


if __name__ == "__main__":
    main(run, __doc__)
