"""What does a batch's journal cost, and does memory grow with the number of requests?

Workload: so many pictures from a generator through `nb.batch`, over the lean server in a process of its own, which
answers each submission with a finished picture (`answering`): nothing is waited for and nothing downloaded, so there is
as little as possible for the journal to hide behind. Jobs that are waited for make the batch dearer and the journal's
share less.

The journal: the same batch with and without one in turns, in one process; client CPU per request in microseconds (all
threads, the journal's included) and requests per second of wall time, ratios within a round, medians over the rounds. Each
round has a new file, beside the others of this machine's temporary folder.

Memory: peak resident size in MB of a process of its own that runs one batch and nothing else; and what Python's objects
take when it has ended. In the simulation an in-memory transport answers, so that a million is a matter of minutes.

    python -m benchmarks.bench_batch [--full]
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx

from benchmarks.answering import answering, finished
from benchmarks.measure import Row, Settings, compare, main, out_of_sight, show, without_proxies
from benchmarks.server import ROOT
from neuralbox import AsyncNeuralBox

CPU_BOUND: Final = 1.25
SPEED_BOUND: Final = 1 / 0.8  # of the time it takes
MEMORY_BOUND: Final = 150.0
GROWTH_BOUND: Final = 1.1  # "the same" within what an allocator does
_STATUS = Path("/proc/self/status")


def pictures(count: int) -> Iterator[dict[str, Any]]:
    """Yield so many requests, each with a prompt of its own."""
    for number in range(count):
        yield {
            "kind": "image",
            "model": "flux-1.1-pro",
            "prompt": f"A paper boat on a river, early morning fog, take {number}",
            "size": "1024x1024",
        }


async def run_batch(nb: AsyncNeuralBox, count: int, journal: Path | None) -> int:
    """Run one batch to its end; how many came out well."""
    done = 0
    async with nb.batch(pictures(count), journal=journal) as run:
        async for outcome in run:
            done += outcome.ok
    if done != count:
        raise AssertionError(f"{count - done} of {count} requests failed.")
    return done


# The journal's cost.


@dataclass(frozen=True, slots=True)
class Taken:
    """Seconds per request: CPU of this process, and wall time."""

    cpu: float
    wall: float


async def in_turns(url: str, count: int, rounds: int, seed: int) -> dict[str, list[Taken]]:
    """Run the batch with and without a journal, in an order that changes from round to round."""
    found: dict[str, list[Taken]] = {"without": [], "with": []}
    rng = random.Random(seed)
    with TemporaryDirectory() as folder:
        # The lean server says that 99,998 requests are left of the hour, after each; nothing here is about that.
        async with AsyncNeuralBox(api_key="nb_benchmark", base_url=url, pace="off") as nb:
            for journal in (None, Path(folder, "warm.sqlite")):
                await run_batch(nb, min(count, 500), journal)
            with out_of_sight():
                for number in range(rounds):
                    for name in rng.sample(["without", "with"], 2):
                        gc.collect()
                        journal = Path(folder, f"{number}.sqlite") if name == "with" else None
                        cpu, wall = time.process_time(), time.perf_counter()
                        await run_batch(nb, count, journal)
                        taken = Taken((time.process_time() - cpu) / count, (time.perf_counter() - wall) / count)
                        found[name].append(taken)
                        print(f"{count:,} requests, round {number + 1}, {name}: {taken}", file=sys.stderr)
    return found


def journal_rows(count: int, rounds: int, latency: float, seed: int, *, judged: bool) -> list[Row]:
    """Measure the journal's cost with this latency of the service."""
    with answering(latency) as url:
        found = asyncio.run(in_turns(url, count, rounds, seed))
    what = f"{count:,} requests, {latency * 1000:.0f} ms a reply"
    rows = []
    unit: Callable[[Taken], float]
    for name, unit, bound in (
        ("CPU", lambda taken: taken.cpu, CPU_BOUND),
        ("wall", lambda taken: taken.wall, SPEED_BOUND),
    ):
        samples = {key: [unit(sample) for sample in taken] for key, taken in found.items()}
        rows.append(show(f"{what}: a batch without a journal", samples["without"], unit=f"us {name} per request"))
        rows.append(
            compare(
                f"{what}: the same with one",
                samples,
                "with",
                "without",
                unit=f"us {name} per request",
                bound=bound if judged else None,
                note=f"{1 / median(samples['with']):,.0f} requests a second" if name == "wall" else "",
            )
        )
    return rows


# Memory.


class Memory(httpx.AsyncBaseTransport):
    """Answers every submission from memory."""

    def __init__(self) -> None:
        self._number = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:  # noqa: ARG002
        self._number += 1
        await asyncio.sleep(0)  # a real one lets the loop turn
        body = json.dumps(finished(self._number)).encode()
        return httpx.Response(200, headers={"content-type": "application/json"}, content=body)


@asynccontextmanager
async def _client(url: str) -> AsyncIterator[AsyncNeuralBox]:
    options: dict[str, Any] = {"base_url": url} if url else {"transport": Memory()}
    async with AsyncNeuralBox(api_key="nb_benchmark", pace="off", **options) as nb:
        yield nb


async def _child(url: str, count: int, journal: Path | None) -> dict[str, float]:
    async with _client(url) as nb:
        began, cpu = time.perf_counter(), time.process_time()
        await run_batch(nb, count, journal)
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        return {"peak": _memory("VmHWM"), "end": _memory("VmRSS"), "wall": wall, "cpu": cpu}


def _memory(name: str) -> float:
    """Return a figure of this process's memory in MB (Linux)."""
    line = next(line for line in _STATUS.read_text(encoding="ascii").splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def in_fresh_process(url: str, count: int, *, journal: bool) -> dict[str, float]:
    """Run a batch in a process that does nothing else; MB and seconds."""
    with TemporaryDirectory() as folder:
        path = str(Path(folder, "run.sqlite")) if journal else ""
        command = [sys.executable, "-m", "benchmarks.bench_batch", "--child", url, str(count), path]
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    print(f"{count:,} requests, {'socket' if url else 'memory'}, journal={journal}: {found}", file=sys.stderr)
    return found


def memory_rows(url: str, few: int, many: int, *, journal: bool, judged: bool) -> list[Row]:
    """Compare the peaks of a small and a large batch."""
    rows = []
    peaks = []
    for count in (few, many):
        found = in_fresh_process(url, count, journal=journal)
        peaks.append(found["peak"])
        where = "over the lean server" if url else "simulated"
        what = f"{count:,} requests from a generator, {where}, {'with' if journal else 'without'} a journal"
        note = f"{count / found['wall']:,.0f} requests a second"
        bound = MEMORY_BOUND if judged else None
        rows.append(Row(f"{what}: peak memory", found["peak"], "MB", bound=bound, note=note))
    ratio = peaks[1] / peaks[0]
    bound = GROWTH_BOUND if judged else None
    what = f"{many:,} requests against {few:,}: peak memory"
    rows.append(Row(what, peaks[1], "MB", f"{few:,}", ratio, ratio, ratio, bound))
    return rows


def run(settings: Settings) -> list[Row]:
    """Measure the journal, then memory."""
    full = settings.full
    count, rounds = settings.pick(60, 10_000), settings.pick(1, 5)
    rows = []
    for latency in (0.05, 0.0) if full else (0.0,):
        rows += journal_rows(count, rounds, latency, settings.seed, judged=full)
    if _STATUS.exists():
        few, many = settings.pick(100, 20_000), settings.pick(300, 200_000)
        with answering() as url:
            rows += memory_rows(url, few, many, journal=True, judged=full)
        rows += memory_rows("", few, settings.pick(300, 1_000_000), journal=False, judged=full)
    return rows


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        without_proxies()
        where, number, file = sys.argv[2:]
        print(json.dumps(asyncio.run(_child(where, int(number), Path(file) if file else None))))
    else:
        main(run, __doc__)
