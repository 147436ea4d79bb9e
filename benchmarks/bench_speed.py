"""What does `transport="aiohttp"` (the `speed` extra) save of the client's CPU?

Unit: microseconds of client CPU per call of `nb.generations.get` and per delta of `nb.text.stream`, through the whole SDK,
validation included. Baseline: the same SDK over its default engine, in the same run, both with the default limits. Bare
aiohttp (`session.get` and `json.loads`; an `async for` over the bytes) is shown beside them: what the SDK adds to it.

Two loads of GETs: one call at a time without latency, and 100 in flight against a server that holds each answer for 50 ms,
which is what polling is like. The events of a stream arrive in the three ways that `bench_sse` explains; the bound is
judged where they are `queued`, because in the `live` way the system's share of each event (select, recv, a turn of
the loop), which no client can save, is most of what there is.

    python -m benchmarks.bench_speed [--full]
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import aiohttp

from benchmarks.bench_get import in_flight
from benchmarks.measure import Row, Settings, Work, compare, interleave, main, show
from benchmarks.server import Behaviour, Running, running
from neuralbox import AsyncNeuralBox

ALONE_BOUND = 0.65
CROWD_BOUND = 0.4
SSE_BOUND = 0.6

SPEED = "speed"
DEFAULT = "default engine"
BARE = "bare aiohttp"


async def clients(stack: AsyncExitStack, server: Running) -> tuple[dict[str, AsyncNeuralBox], aiohttp.ClientSession]:
    """Open the SDK over both engines, and a bare session."""
    sdk = {
        name: await stack.enter_async_context(
            AsyncNeuralBox(api_key="nb_benchmark", base_url=server.url, transport=engine)
        )
        for name, engine in ((SPEED, "aiohttp"), (DEFAULT, None))
    }
    return sdk, await stack.enter_async_context(aiohttp.ClientSession())


async def measure_get(
    server: Running, *, concurrency: int, each: int, rounds: int, seed: int
) -> dict[str, list[float]]:
    """Measure GETs under one load, on connections that are warm."""
    url = f"{server.url}/api/v2/generate/18500"
    async with AsyncExitStack() as stack:
        sdk, session = await clients(stack, server)

        def through(nb: AsyncNeuralBox) -> Callable[[], Awaitable[object]]:
            async def call() -> None:
                assert (await nb.generations.get(18500)).is_completed

            return call

        async def bare() -> None:
            async with session.get(url) as reply:
                assert json.loads(await reply.read())["status"] == "completed"

        calls = {name: through(nb) for name, nb in sdk.items()} | {BARE: bare}
        work = {name: in_flight(call, concurrency=concurrency, each=each) for name, call in calls.items()}
        return await interleave(work, rounds=rounds, seed=seed)


async def measure_sse(server: Running, *, deltas: int, rounds: int, seed: int) -> dict[str, list[float]]:
    """Measure streams of so many deltas; those through the SDK check that they saw them all."""
    async with AsyncExitStack() as stack:
        sdk, session = await clients(stack, server)

        def through(nb: AsyncNeuralBox) -> Work:
            async def work() -> int:
                count = 0
                async with nb.text.stream(model="gpt-5", prompt="Boats", max_tokens=deltas) as stream:
                    async for _ in stream:
                        count += 1
                assert count == deltas
                return deltas

            return work

        async def bare() -> int:
            body = {"model": "gpt-5", "prompt": "Boats", "max_tokens": deltas, "stream": True}
            async with session.post(f"{server.url}/api/v2/generate", json=body) as reply:
                async for _ in reply.content.iter_any():
                    pass
            return deltas

        return await interleave(
            {name: through(nb) for name, nb in sdk.items()} | {BARE: bare}, rounds=rounds, seed=seed
        )


def rows_of(what: str, samples: dict[str, list[float]], bound: float | None, *, unit: str = "us CPU") -> list[Row]:
    """Return the rows of one load."""
    return [
        compare(f"{what}: {SPEED}", samples, SPEED, DEFAULT, bound=bound, unit=unit),
        compare(f"{what}: {SPEED}", samples, SPEED, BARE, unit=unit),
        *(show(f"{what}: {name}", samples[name], unit=unit) for name in (DEFAULT, BARE)),
    ]


def run(settings: Settings) -> list[Row]:
    """Measure GETs and streams."""
    rounds, seed = settings.pick(1, 9), settings.seed
    rows: list[Row] = []
    with running() as server:
        alone = asyncio.run(measure_get(server, concurrency=1, each=settings.pick(5, 1000), rounds=rounds, seed=seed))
    rows += rows_of("GET, 1 at a time", alone, ALONE_BOUND)
    many = settings.pick(10, 100)
    with running(Behaviour(latency=0.05)) as server:
        crowd = asyncio.run(measure_get(server, concurrency=many, each=settings.pick(1, 10), rounds=rounds, seed=seed))
    rows += rows_of(f"GET, {many} in flight, 50 ms latency", crowd, CROWD_BOUND)
    deltas, few = settings.pick(60, 20_000), settings.pick(10, 1_000)
    ways = {
        "queued": (Behaviour(events_per_chunk=1, chunks_per_write=64), deltas, SSE_BOUND),
        "live": (Behaviour(events_per_chunk=1, chunks_per_write=1, pause=0.001), few, None),
        "packed": (Behaviour(events_per_chunk=50, chunks_per_write=1), deltas, None),
    }
    for way, (behaviour, count, bound) in ways.items():
        with running(behaviour) as server:
            samples = asyncio.run(measure_sse(server, deltas=count, rounds=rounds, seed=seed))
        rows += rows_of(f"SSE, {way}", samples, bound, unit="us CPU/delta")
    return rows


if __name__ == "__main__":
    main(run, __doc__)
