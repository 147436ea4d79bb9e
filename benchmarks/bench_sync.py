"""What does the blocking client cost over the async one, and does it lose anything under stress?

Four questions, in one run:

- A GET. Unit: microseconds of the process's CPU per call (all threads, so the loop's is counted). Baseline: the same call
  awaited natively. For comparison, in the same rounds, the same coroutine through anyio's `BlockingPortal.call`.
- A stream of 20,000 deltas. Unit: microseconds of wall time per delta, since a reader waits for items per second. Baseline:
  the same stream, `async for`. For comparison a hop per item: `call(stream.__anext__)`.
- Interrupts of calls and streams at random moments, as Ctrl-C makes them. Unit: wrong answers, tasks left, slots of the pool lost.
- 32 threads, calls and half-read streams through one client. Unit: threads beyond one, pools beyond one, connections and
  tasks left open.

    python -m benchmarks.bench_sync [--full]
"""

from __future__ import annotations

import asyncio
import gc
import random
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from anyio.from_thread import start_blocking_portal

from benchmarks.measure import Row, Settings, compare, main, show
from benchmarks.server import Running, running
from neuralbox import AsyncNeuralBox
from neuralbox.sync import NeuralBox
from neuralbox.sync._call import call
from neuralbox.sync._loop import thread

GET_BOUND = 1.35
STREAM_BOUND = 0.7

AWAITED, BLOCKING, PORTAL = "awaited natively", "blocking", "anyio portal.call"
NATIVE_STREAM, BLOCKING_STREAM, HOPS = "async for", "blocking for", "a hop per item"

Plain = Callable[[], int]


def take_turns(
    candidates: dict[str, Plain], clock: Callable[[], float], *, rounds: int, seed: int
) -> dict[str, list[float]]:
    """Measure plain functions in turns, as `measure.interleave` does coroutines; seconds per operation."""
    order, rng = list(candidates), random.Random(seed)
    for name in order:
        candidates[name]()
    found: dict[str, list[float]] = {name: [] for name in order}
    for _ in range(rounds):
        rng.shuffle(order)
        for name in order:
            gc.collect()
            start = clock()
            operations = candidates[name]()
            found[name].append((clock() - start) / operations)
    return found


def client(url: str) -> NeuralBox:
    return NeuralBox(api_key="nb_benchmark", base_url=url, trust_env=False)


# What a call costs.


def measure_get(server: Running, *, calls: int, rounds: int, seed: int) -> dict[str, list[float]]:
    """Measure a GET in three ways; each keeps its connections from round to round."""
    with client(server.url) as nb, start_blocking_portal() as portal, asyncio.Runner() as runner:
        own = AsyncNeuralBox(api_key="nb_benchmark", base_url=server.url, trust_env=False)
        other = AsyncNeuralBox(api_key="nb_benchmark", base_url=server.url, trust_env=False)

        async def await_them() -> int:
            for _ in range(calls):
                await own.generations.get(18500)
            return calls

        def block() -> int:
            for _ in range(calls):
                nb.generations.get(18500)
            return calls

        def through_portal() -> int:
            for _ in range(calls):
                portal.call(other.generations.get, 18500)
            return calls

        ways = {AWAITED: lambda: runner.run(await_them()), BLOCKING: block, PORTAL: through_portal}
        samples = take_turns(ways, time.process_time, rounds=rounds, seed=seed)
        runner.run(own.aclose())
        portal.call(other.aclose)
    return samples


def measure_stream(server: Running, *, deltas: int, hops: int, rounds: int, seed: int) -> dict[str, list[float]]:
    """Measure a stream in three ways; each checks that it saw every delta."""
    with client(server.url) as nb, asyncio.Runner() as runner:
        own = AsyncNeuralBox(api_key="nb_benchmark", base_url=server.url, trust_env=False)

        async def native() -> int:
            count = 0
            async with own.text.stream(model="gpt-5", prompt="Boats", max_tokens=deltas) as stream:
                async for _ in stream:
                    count += 1
            assert count == deltas
            return deltas

        def block() -> int:
            count = 0
            with nb.text.stream(model="gpt-5", prompt="Boats", max_tokens=deltas) as stream:
                for _ in stream:
                    count += 1
            assert count == deltas
            return deltas

        def hop() -> int:
            with nb.text.stream(model="gpt-5", prompt="Boats", max_tokens=hops) as stream:
                for _ in range(hops):
                    call(stream._async.__anext__)
            return hops

        ways = {NATIVE_STREAM: lambda: runner.run(native()), BLOCKING_STREAM: block, HOPS: hop}
        samples = take_turns(ways, time.perf_counter, rounds=rounds, seed=seed)
        runner.run(own.aclose())
    return samples


def rows_of_streams(samples: dict[str, list[float]]) -> list[Row]:
    """Say how many items a second there are against the async side, round by round."""
    rows = []
    for name, bound in ((BLOCKING_STREAM, 1 / STREAM_BOUND), (HOPS, None)):
        speeds = [theirs / mine for mine, theirs in zip(samples[name], samples[NATIVE_STREAM], strict=True)]
        note = f"{statistics.median(speeds):.2f}x the items per second"
        rows.append(
            compare(f"sync stream: {name}", samples, name, NATIVE_STREAM, unit="us/delta", bound=bound, note=note)
        )
    return [*rows, show(f"sync stream: {NATIVE_STREAM}", samples[NATIVE_STREAM], unit="us/delta")]


# What interrupts leave behind.


@dataclass(frozen=True, slots=True)
class Interrupted:
    """What a storm of interrupts came to.

    Attributes:
        interrupted: Calls that raised KeyboardInterrupt.
        completed: Calls that returned.
        wrong: Those of them with another call's answer.
        slowest: Longest time from the start of a call to its KeyboardInterrupt, in seconds.
        tasks_left: Coroutines still on their way at the end.
        slots_lost: Slots of the client that nobody can use any more.
    """

    interrupted: int
    completed: int
    wrong: int
    slowest: float
    tasks_left: int
    slots_lost: int


def interrupts(url: str, count: int, *, seed: int) -> Interrupted:
    """Interrupt calls at random moments; in the main thread only."""
    rng = random.Random(seed)
    interrupted = completed = wrong = 0
    slowest = 0.0
    armed = False

    def strike(*_: object) -> None:
        nonlocal armed
        if armed:
            armed = False
            raise KeyboardInterrupt

    def unheard(hint: Any) -> None:
        """Pass over an interrupt that fell into a finaliser, where Python prints and drops it."""
        if hint.exc_type is not KeyboardInterrupt:
            reporting(hint)

    reporting, sys.unraisablehook = sys.unraisablehook, unheard
    former = signal.signal(signal.SIGALRM, strike)
    nb = client(url)
    try:
        nb.generations.get(1)
        for number in range(1, count + 1):
            started = time.perf_counter()
            try:
                armed = True
                signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-5, 1.5e-3))
                right = ask(nb, number)
                armed = False
                completed += 1
                wrong += not right
            except KeyboardInterrupt:
                interrupted += 1
                slowest = max(slowest, time.perf_counter() - started)
            armed = False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
        sys.unraisablehook = reporting
    left = tasks_left()
    lost = slots_lost(nb)
    assert nb.generations.get(2).id == 2
    nb.close()
    return Interrupted(interrupted, completed, wrong, slowest, left, lost)


def ask(nb: NeuralBox, number: int) -> bool:
    """Make a call, every third time a stream; return whether the answer was right."""
    if number % 3:
        return nb.generations.get(number).id == number
    with nb.text.stream(model="gpt-5", prompt="Boats", max_tokens=30) as stream:
        return list(stream) == [" boats"] * 30


def tasks_left() -> int:
    """Count the coroutines on their way, after a moment for those that are just ending."""
    end = time.monotonic() + 1
    while thread.running and time.monotonic() < end:
        time.sleep(0.005)
    return len(thread.running)


def slots_lost(nb: NeuralBox) -> int:
    """Count the slots of both kinds that are taken, and connections of the pool in no usable state."""

    async def count() -> int:
        transport: Any = nb._async._core.transport
        resources = transport._per_loop.get(transport._open_resources)
        limits = transport._limits
        taken = limits.max_connections - resources.requests.value + limits.max_streams - resources.streams.value
        pools = [pool for engine in resources.engines for pool in engine.pools.values()]
        stuck = sum(not one.is_idle() and not one.is_closed() for pool in pools for one in pool.connections)
        return int(taken) + stuck

    return call(count)


# What many threads leave behind.


@dataclass(frozen=True, slots=True)
class Crowd:
    """What many threads came to.

    Attributes:
        threads: Of ours beyond theirs.
        pools: Of connections.
        wrong: Answers that were another call's.
        tasks_left: Coroutines still on their way at the end.
        open_left: Connections the server still has after closing.
        seconds: What it took.
    """

    threads: int
    pools: int
    wrong: int
    tasks_left: int
    open_left: int
    seconds: float


def crowd(server: Running, *, threads: int, calls: int, streams: int) -> Crowd:
    """Make calls from many threads, read streams half, and count what is left."""
    thread.shutdown()
    before, started = threading.active_count(), time.monotonic()
    nb = client(server.url)

    def half_read(_: int) -> bool:
        with nb.text.stream(model="gpt-5", prompt="Boats", max_tokens=2_000) as stream:
            return [next(stream) for _ in range(1_000)] == [" boats"] * 1_000

    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(lambda number: nb.generations.get(number).id == number, range(1, calls + 1)))
        found += pool.map(half_read, range(streams))
        made = threading.active_count() - before - len(pool._threads)

    async def count() -> int:
        return len(nb._async._core.transport._per_loop._values)  # type: ignore[attr-defined]

    pools, left = call(count), tasks_left()
    nb.close()
    end = time.monotonic() + 2
    while (open_left := server.counts()["open_now"] - 1) and time.monotonic() < end:
        time.sleep(0.01)
    return Crowd(made, pools, found.count(False), left, open_left, time.monotonic() - started)


def run(settings: Settings) -> list[Row]:
    """Answer the four questions."""
    rounds = settings.pick(1, 9)
    with running() as server:
        gets = measure_get(server, calls=settings.pick(20, 1_000), rounds=rounds, seed=settings.seed)
        streams = measure_stream(
            server, deltas=settings.pick(200, 20_000), hops=settings.pick(20, 1_000), rounds=rounds, seed=settings.seed
        )
        storm = interrupts(server.url, settings.pick(50, 1_500), seed=settings.seed)
        many = crowd(
            server, threads=settings.pick(4, 32), calls=settings.pick(40, 2_000), streams=settings.pick(8, 200)
        )
    note = f"{storm.interrupted} interrupted, {storm.completed} completed, slowest {storm.slowest * 1e3:.0f} ms"
    crowded = f"{settings.pick(4, 32)} threads, {many.seconds:.1f} s"
    return [
        compare(f"sync GET: {BLOCKING}", gets, BLOCKING, AWAITED, bound=GET_BOUND),
        compare(f"sync GET: {PORTAL}", gets, PORTAL, AWAITED),
        show(f"sync GET: {AWAITED}", gets[AWAITED]),
        *rows_of_streams(streams),
        Row("interrupts: wrong answers", storm.wrong, "answers", bound=0, note=note),
        Row("interrupts: tasks left", storm.tasks_left, "tasks", bound=0),
        Row("interrupts: slots lost", storm.slots_lost, "slots", bound=0),
        Row("many threads: wrong answers", many.wrong, "answers", bound=0, note=crowded),
        Row("many threads: threads of ours", many.threads, "threads", bound=1),
        Row("many threads: pools", many.pools, "pools", bound=1),
        Row("many threads: tasks left", many.tasks_left, "tasks", bound=0),
        Row("many threads: connections left open", many.open_left, "connections", bound=0),
    ]


if __name__ == "__main__":
    main(run, __doc__)
