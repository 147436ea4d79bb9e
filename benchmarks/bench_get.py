"""What does one small GET through the SDK cost the client's CPU, validation included?

Unit: microseconds of client CPU per call. Baseline: bare `httpx.AsyncClient.get` and `response.json()` over httpx's own
pool, with equal limits (100 connections, all kept alive) and with httpx's defaults (100, of which 20 are kept alive).
Two loads: one call at a time without latency, and 100 in flight against a server that holds each answer for 50 ms,
which is what polling is like. openai's client (`videos.retrieve`) does the same in the same run where it is installed.

    python -m benchmarks.bench_get [--full]
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import httpx

from benchmarks.measure import Row, Settings, Work, compare, interleave, main, show
from benchmarks.peers import has_openai, openai_client
from benchmarks.server import Behaviour, Running, running
from neuralbox import AsyncNeuralBox

ALONE_BOUND = 1.0
CROWD_BOUND = 0.2
EQUAL_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=100)

OURS = "neuralbox"
BARE = "httpx 100/100"
BARE_DEFAULT = "httpx 100/20"
OPENAI = "openai"


def in_flight(call: Callable[[], Awaitable[object]], *, concurrency: int, each: int) -> Work:
    """Return a round: so many workers, each making so many calls one after the other."""

    async def worker() -> None:
        for _ in range(each):
            await call()

    async def work() -> int:
        await asyncio.gather(*(worker() for _ in range(concurrency)))
        return concurrency * each

    return work


async def measure(server: Running, *, concurrency: int, each: int, rounds: int, seed: int) -> dict[str, list[float]]:
    """Measure all clients under one load, on connections that are warm."""
    url = f"{server.url}/api/v2/generate/18500"
    async with AsyncExitStack() as stack:
        nb = await stack.enter_async_context(AsyncNeuralBox(api_key="nb_benchmark", base_url=server.url))
        equal = await stack.enter_async_context(httpx.AsyncClient(limits=EQUAL_LIMITS))
        default = await stack.enter_async_context(httpx.AsyncClient())

        async def ours() -> None:
            generation = await nb.generations.get(18500)
            assert generation.is_completed

        async def bare() -> None:
            assert (await equal.get(url)).json()["status"] == "completed"

        async def bare_default() -> None:
            assert (await default.get(url)).json()["status"] == "completed"

        calls: dict[str, Callable[[], Awaitable[object]]] = {OURS: ours, BARE: bare, BARE_DEFAULT: bare_default}
        if has_openai():
            client = await stack.enter_async_context(openai_client(server.url))

            async def openai() -> None:
                assert (await client.videos.retrieve("video_abc")).status == "completed"

            calls[OPENAI] = openai
        work = {name: in_flight(call, concurrency=concurrency, each=each) for name, call in calls.items()}
        return await interleave(work, rounds=rounds, seed=seed)


def rows_of_load(load: str, samples: dict[str, list[float]], bound: float) -> list[Row]:
    """Return the rows of one load. With openai's client as a baseline too where it was measured."""
    rows = [
        compare(f"GET, {load}: {OURS}", samples, OURS, BARE, bound=bound),
        compare(f"GET, {load}: {OURS}", samples, OURS, BARE_DEFAULT, bound=bound),
    ]
    if OPENAI in samples:
        rows.append(compare(f"GET, {load}: {OURS}", samples, OURS, OPENAI))
    return rows + [show(f"GET, {load}: {name}", samples[name]) for name in samples if name != OURS]


def run(settings: Settings) -> list[Row]:
    """Measure both loads."""
    with running() as server:
        alone = asyncio.run(
            measure(
                server,
                concurrency=1,
                each=settings.pick(5, 1000),
                rounds=settings.pick(1, 9),
                seed=settings.seed,
            )
        )
    with running(Behaviour(latency=0.05)) as server:
        crowd = asyncio.run(
            measure(
                server,
                concurrency=settings.pick(10, 100),
                each=settings.pick(1, 10),
                rounds=settings.pick(1, 7),
                seed=settings.seed,
            )
        )
    in_all = settings.pick(10, 100)
    return [
        *rows_of_load("1 at a time", alone, ALONE_BOUND),
        *rows_of_load(f"{in_all} in flight, 50 ms latency", crowd, CROWD_BOUND),
    ]


if __name__ == "__main__":
    main(run, __doc__)
