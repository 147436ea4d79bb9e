"""What does one delta of a streamed text cost the client's CPU?

Unit: microseconds of client CPU per delta, connection and request included (a stream is long enough to hide them).
Baselines: a bare byte loop, `async for chunk in response.aiter_raw()` over httpx's own pool, which does nothing with
what it reads; and openai's `chat.completions.create(stream=True)`, where it is installed, over a stream of its own words.

Three ways in which the same events arrive, since that decides what is measured:

- `queued`: an HTTP chunk per event, 64 chunks to a write: what a server that sends each event by itself looks like to a
  client that has fallen a little behind. A wake-up brings many events, so the clients' own work per event is what counts.
  **Both bounds are judged here**, because here nothing else hides what a client does with an event.
- `live`: a write per event, 1 ms apart: a model that writes. Each event is a wake-up of its own, and the system's share
  (select, recv, loop), the same for all, dominates. The byte loop's bound is shown for it too.
- `packed`: 50 events to a chunk. The byte loop then moves 2 KB per turn and does nothing per event at all, so a ratio
  to it says nothing about decoding; only openai's is shown.

    python -m benchmarks.bench_sse [--full]
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import httpx

from benchmarks.measure import Row, Settings, Work, compare, interleave, main, show
from benchmarks.peers import has_openai, openai_client
from benchmarks.server import Behaviour, Running, running
from neuralbox import AsyncNeuralBox

BYTES_BOUND = 1.3
OPENAI_BOUND = 1 / 6

OURS = "neuralbox"
BARE = "httpx byte loop"
OPENAI = "openai"


async def measure(server: Running, *, deltas: int, rounds: int, seed: int) -> dict[str, list[float]]:
    """Measure all clients against streams of so many deltas; each checks that it saw them all."""
    async with AsyncExitStack() as stack:
        nb = await stack.enter_async_context(AsyncNeuralBox(api_key="nb_benchmark", base_url=server.url))
        http = await stack.enter_async_context(httpx.AsyncClient())

        async def ours() -> int:
            count = 0
            async with nb.text.stream(model="gpt-5", prompt="Boats", max_tokens=deltas) as stream:
                async for _ in stream:
                    count += 1
            assert count == deltas
            return deltas

        async def bare() -> int:
            body = {"model": "gpt-5", "prompt": "Boats", "max_tokens": deltas, "stream": True}
            async with http.stream("POST", f"{server.url}/api/v2/generate", json=body) as response:
                async for _ in response.aiter_raw():
                    pass
            return deltas

        work: dict[str, Work] = {OURS: ours, BARE: bare}
        if has_openai():
            client = await stack.enter_async_context(openai_client(server.url))

            async def openai() -> int:
                count = 0
                turns = [{"role": "user", "content": "Boats"}]
                stream = await client.chat.completions.create(
                    model="gpt-5", messages=turns, max_tokens=deltas, stream=True
                )
                async for chunk in stream:
                    count += bool(chunk.choices[0].delta.content)
                assert count == deltas
                return deltas

            work[OPENAI] = openai
        return await interleave(work, rounds=rounds, seed=seed)


def rows_of_way(
    way: str, samples: dict[str, list[float]], *, bytes_bound: float | None, openai_bound: float | None
) -> list[Row]:
    """Return the rows of one way to arrive."""
    rows = [compare(f"SSE, {way}: {OURS}", samples, OURS, BARE, bound=bytes_bound, unit="us CPU/delta")]
    if OPENAI in samples:
        rows.append(compare(f"SSE, {way}: {OURS}", samples, OURS, OPENAI, bound=openai_bound, unit="us CPU/delta"))
    return rows + [show(f"SSE, {way}: {name}", samples[name], unit="us CPU/delta") for name in samples if name != OURS]


def run(settings: Settings) -> list[Row]:
    """Measure the three ways."""
    rounds = settings.pick(1, 9)
    many, few = settings.pick(60, 20_000), settings.pick(10, 1_000)
    with running(Behaviour(events_per_chunk=1, chunks_per_write=64)) as server:
        queued = asyncio.run(measure(server, deltas=many, rounds=rounds, seed=settings.seed))
    with running(Behaviour(events_per_chunk=1, chunks_per_write=1, pause=0.001)) as server:
        live = asyncio.run(measure(server, deltas=few, rounds=rounds, seed=settings.seed))
    with running(Behaviour(events_per_chunk=50, chunks_per_write=1)) as server:
        packed = asyncio.run(measure(server, deltas=many, rounds=rounds, seed=settings.seed))
    return [
        *rows_of_way("queued", queued, bytes_bound=BYTES_BOUND, openai_bound=OPENAI_BOUND),
        *rows_of_way("live", live, bytes_bound=BYTES_BOUND, openai_bound=None),
        *rows_of_way("packed", packed, bytes_bound=None, openai_bound=None),
    ]


if __name__ == "__main__":
    main(run, __doc__)
