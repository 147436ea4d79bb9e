"""Does cancelling calls at random moments lose a slot or a connection?

Unit: slots of ten that can still carry a request afterwards, and sockets left open beyond those the pool knows of. Twenty
tasks call through ten slots, each call cancelled after 0 to 20 ms, against a server that holds each answer for 4 ms; then
as many calls as there are slots must succeed at the same time. Ours on asyncio and on trio; baseline: stock httpx over its
own pool (httpcore) in the same run, with the same limit, which loses slots. What is counted is whole or broken; the
seconds are shown only to tell how long it took.

    python -m benchmarks.stress_cancel [--full] [--seed 1]
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx

from benchmarks.measure import Row, Settings, main
from benchmarks.server import Behaviour, running
from neuralbox._transport import HttpxTransport, Limits, Timeouts, build_transport

TASKS = 20
SLOTS = 10
STREAMS = 4
LONGEST = 0.02
# How long the final calls may take; a lost slot would be waited for without end.
_PATIENCE = 2.0
_LEAST = Timeouts(5.0, 5.0, 5.0)

Call = Callable[[random.Random], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to.

    Attributes:
        requests: Calls made.
        cancelled: How many of them were cancelled.
        seconds: What it took.
        slots_free: Of `SLOTS`, how many still carry a request.
        sockets_open: Connections this process has open to the server at the end.
        sockets_known: How many of those the pool knows of.
    """

    requests: int
    cancelled: int
    seconds: float
    slots_free: int
    sockets_open: int
    sockets_known: int


async def cancel_at_random(call: Call, *, rounds: int, seed: int) -> tuple[int, int]:
    """Make the calls; return how many there were and how many were cancelled."""
    made = cancelled = 0

    async def worker(number: int) -> None:
        nonlocal made, cancelled
        rng = random.Random(f"{seed}-{number}")
        for _ in range(rounds):
            with anyio.move_on_after(rng.random() * LONGEST) as scope:
                await call(rng)
            made += 1
            cancelled += scope.cancelled_caught

    async with anyio.create_task_group() as group:
        for number in range(TASKS):
            group.start_soon(worker, number)
    return made, cancelled


async def slots_that_work(call: Callable[[], Awaitable[object]]) -> int:
    """Make as many calls as there are slots at the same time; return how many came back."""
    back = 0

    async def one() -> None:
        nonlocal back
        with anyio.move_on_after(_PATIENCE):
            await call()
            back += 1

    async with anyio.create_task_group() as group:
        for _ in range(SLOTS):
            group.start_soon(one)
    return back


def sockets_to(port: int) -> int:
    """Count this process's established connections to a port on loopback (Linux; 0 elsewhere)."""
    try:
        rows = [line.split() for line in Path("/proc/self/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    except OSError:
        return 0
    remote = f"0100007F:{port:04X}"
    sockets = {f"socket:[{row[9]}]" for row in rows if row[2] == remote and row[3] == "01"}
    mine = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            mine += str(descriptor.readlink()) in sockets
        except OSError:  # the descriptor of the listing itself
            continue
    return mine


async def ours(url: str, *, rounds: int, seed: int) -> Outcome:
    """Stress our transport; a third of the calls are streams, which have slots of their own."""
    transport: HttpxTransport = build_transport(
        limits=Limits(max_connections=SLOTS, max_streams=STREAMS), trust_env=False
    )
    prepared = transport.prepare("GET", url, headers={}, timeouts=_LEAST)

    async def call(rng: random.Random) -> None:
        if rng.random() < 1 / 3:
            async with transport.stream(prepared) as reply:
                async for _ in reply.chunks():
                    pass
        else:
            await transport.send(prepared, max_bytes=100_000)

    started = time.monotonic()
    made, cancelled = await cancel_at_random(call, rounds=rounds, seed=seed)
    seconds = time.monotonic() - started
    free = await slots_that_work(lambda: transport.send(prepared, max_bytes=100_000))
    resources = transport._per_loop.get(transport._open_resources)
    assert (resources.requests.value, resources.streams.value) == (SLOTS, STREAMS), "a slot is gone"
    engine: Any = resources.engines[0]
    (pool,) = engine.pools.values()
    outcome = Outcome(made, cancelled, seconds, free, sockets_to(httpx.URL(url).port or 80), _alive(pool))
    await transport.aclose()
    return outcome


async def stock(url: str, *, rounds: int, seed: int) -> Outcome:
    """Stress httpx as it comes."""
    limits = httpx.Limits(max_connections=SLOTS, max_keepalive_connections=SLOTS)
    client = httpx.AsyncClient(limits=limits, timeout=httpx.Timeout(5.0, pool=None), trust_env=False)

    async def call(_: random.Random) -> None:
        await client.get(url)

    started = time.monotonic()
    made, cancelled = await cancel_at_random(call, rounds=rounds, seed=seed)
    seconds = time.monotonic() - started
    free = await _slots_held(client, url)
    transport: Any = client._transport
    outcome = Outcome(made, cancelled, seconds, free, sockets_to(httpx.URL(url).port or 80), _alive(transport._pool))
    await client.aclose()
    return outcome


async def _slots_held(client: httpx.AsyncClient, url: str) -> int:
    """Hold as many replies open at the same time as the pool lets through: the slots it has left."""
    held = 0
    done = anyio.Event()

    async def one() -> None:
        nonlocal held
        with anyio.move_on_after(_PATIENCE):
            async with client.stream("GET", url):
                held += 1
                if held == SLOTS:
                    done.set()
                await done.wait()

    async with anyio.create_task_group() as group:
        for _ in range(SLOTS):
            group.start_soon(one)
    return held


def _alive(pool: Any) -> int:
    return sum(not connection.is_closed() for connection in pool.connections)


def rows_of(name: str, outcome: Outcome, *, bound: int | None) -> list[Row]:
    """Say what a run came to."""
    note = f"{outcome.requests} requests, {outcome.cancelled} cancelled, {outcome.seconds:.1f} s"
    unknown = abs(outcome.sockets_open - outcome.sockets_known)
    return [
        Row(f"cancelling: {name}, slots lost of {SLOTS}", SLOTS - outcome.slots_free, "slots", bound=bound, note=note),
        Row(
            f"cancelling: {name}, sockets the pool does not know",
            unknown,
            "sockets",
            bound=bound,
            note=f"{outcome.sockets_open} open, {outcome.sockets_known} in the pool",
        ),
    ]


def run(settings: Settings) -> list[Row]:
    """Stress ours on both loops, then httpx."""
    rounds = settings.pick(15, 500)
    rows: list[Row] = []
    with running(Behaviour(latency=0.004)) as server:
        url = f"{server.url}/api/v2/generate/18500"
        for backend in ("asyncio", "trio"):
            outcome = anyio.run(lambda: ours(url, rounds=rounds, seed=settings.seed), backend=backend)
            rows += rows_of(f"neuralbox on {backend}", outcome, bound=0)
        outcome = anyio.run(lambda: stock(url, rounds=rounds, seed=settings.seed))
        rows += rows_of("stock httpx", outcome, bound=None)
    return rows


if __name__ == "__main__":
    main(run, __doc__)
