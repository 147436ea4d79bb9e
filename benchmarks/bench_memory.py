"""How much memory does one of many waits cost, and do ten thousand of them work?

Unit: bytes per `job.wait()`, each in a task of its own, on one client. Baseline: the same process with the client open and a
few waits behind it, so the figure holds everything a wait adds: the `Job`, the task and its frames, the entry in the poller
and the last answer. Taken twice, each in a fresh process: what Python allocated (tracemalloc), and what the process
occupies (resident set). An in-memory transport answers `pending` to every poll; the figure is taken when every job was
polled twice, since what an answer leaves behind is part of the price (median of five moments of one interval). Then the transport answers `completed`, all
waits must return a completed generation, and what is still allocated when the results are dropped is shown as well.

And what does a walk through a long listing keep of the ids it met (bytes an id, allocated; baseline: a set of them)?

    python -m benchmarks.bench_memory [--full]
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from benchmarks.measure import Row, Settings, main
from benchmarks.server import ROOT, generation
from neuralbox import AsyncNeuralBox, Polling
from neuralbox._api.seen_ids import SeenIds

BOUND = 8 * 1024
FIRST_ID = 1000  # those below warm up
_STATM = Path("/proc/self/statm")


@dataclass(frozen=True, slots=True)
class Held:
    """What waiting cost. Bytes are per wait.

    Attributes:
        count: How many waited at once.
        waiting: After all have begun and none was polled.
        polled: After each was polled twice.
        left: After all have ended and their results were dropped.
        completed: How many returned a completed generation.
        polls: Requests in all.
        tasks_left: Tasks that still run after the end, the measuring one not counted.
    """

    count: int
    waiting: float
    polled: float
    left: float
    completed: int
    polls: int
    tasks_left: int


class Answers(httpx.AsyncBaseTransport):
    """Answers every poll from memory, and tells when so many jobs were polled twice."""

    def __init__(self, count: int) -> None:
        self.status = "completed"
        self.polls = [0] * (FIRST_ID + count)  # made beforehand, so that counting costs the waits nothing
        self.seen_twice = asyncio.Event()
        self._missing = count

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)  # a real one lets the loop turn
        name = request.url.path.rpartition("/")[2]
        if not name.isdecimal():  # the history: what polling each job costs is the question here
            return httpx.Response(404, json={"error": "not_found", "message": "No history here"})
        number = int(name)
        self.polls[number] += 1
        if self.status == "pending" and self.polls[number] == 2:
            self._missing -= 1
            if not self._missing:
                self.seen_twice.set()
        body = json.dumps(generation(number, self.status)).encode()
        return httpx.Response(200, headers={"content-type": "application/json"}, content=body)


def resident() -> int:
    """Return the bytes this process occupies (Linux)."""
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def hold(count: int, *, traced: bool) -> Held:
    """Let so many jobs be waited for at once, and then end."""
    answers = Answers(count)
    # Real time, with pauses that keep polling a small part of it: a poll under way is not what a wait costs.
    shortest = max(0.2, count / 500)
    polling = Polling(timeout=None, min_interval=shortest, max_interval=2 * shortest)

    def bytes_now() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0] if traced else resident()

    async with AsyncNeuralBox(api_key="nb_benchmark", transport=answers, polling=polling) as nb:
        await asyncio.gather(*(nb.job(number).wait() for number in range(20)))
        answers.status = "pending"

        before = bytes_now()
        tasks = [asyncio.create_task(nb.job(number).wait()) for number in range(FIRST_ID, FIRST_ID + count)]
        await asyncio.sleep(0)
        waiting = bytes_now()
        await answers.seen_twice.wait()
        samples = []
        for _ in range(5):
            samples.append(bytes_now())
            await asyncio.sleep(shortest / 5)
        polled = statistics.median(samples)
        answers.status = "completed"
        results = await asyncio.gather(*tasks)
        completed = sum(result.is_completed for result in results)
        polls = sum(answers.polls[FIRST_ID:])
        del tasks, results
        await asyncio.sleep(0)
        left = bytes_now()
        return Held(
            count=count,
            waiting=(waiting - before) / count,
            polled=(polled - before) / count,
            left=(left - before) / count,
            completed=completed,
            polls=polls,
            tasks_left=len(asyncio.all_tasks()) - 1,
        )


def measured(count: int, *, traced: bool) -> Held:
    """Hold so many waits with one way of counting the bytes."""
    if not traced:
        return asyncio.run(hold(count, traced=False))
    tracemalloc.start()
    try:
        return asyncio.run(hold(count, traced=True))
    finally:
        tracemalloc.stop()


def in_fresh_process(count: int, *, traced: bool) -> Held:
    """The same in a process that did nothing else before."""
    command = [sys.executable, "-m", "benchmarks.bench_memory", "--child", str(count), str(int(traced))]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return Held(**json.loads(done.stdout))


def rows_of(held: Held, *, how: str, bound: float | None) -> list[Row]:
    """Return the rows of one count and one way of counting."""
    if (held.completed, held.tasks_left) != (held.count, 0):
        raise AssertionError(f"Not every wait came to its end: {held}.")
    what = f"{held.count:,} waits, {how}"
    kept = "" if how == "allocated" else "free again, kept by the allocator"
    note = f"all completed, {held.polls:,} polls"
    return [
        Row(f"{what}: before the first poll", held.waiting, "B/wait"),
        Row(f"{what}: after two polls each", held.polled, "B/wait", bound=bound, note=note),
        Row(f"{what}: left when all have ended", held.left, "B/wait", note=kept),
    ]


def bytes_an_id(count: int, note: Callable[[str], object]) -> float:
    """Return what keeping so many ids takes, the texts included where they are kept."""
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(count):
            note(f"gen_{number:016x}")
        return tracemalloc.get_traced_memory()[0] / count
    finally:
        tracemalloc.stop()


def rows_of_ids(count: int) -> list[Row]:
    """Return what a walk over so many items keeps of their ids, beside what a set would."""
    seen, whole = SeenIds(), set[str]()
    ours, theirs = bytes_an_id(count, seen.add), bytes_an_id(count, whole.add)
    assert len(seen) == len(whole) == count
    what = f"ids of a walk over {count:,} items"
    ratio = ours / theirs  # of counted bytes, the same in every round
    return [
        Row(what, ours, "B/id", "a set of them", ratio, ratio, ratio, bound=0.2),
        Row(f"{what}: a set", theirs, "B/id"),
    ]


def run(settings: Settings) -> list[Row]:
    """Measure both counts in both ways."""
    rows = []
    for count, bound in ((settings.pick(100, 1_000), BOUND), (settings.pick(200, 10_000), None)):
        rows += rows_of(in_fresh_process(count, traced=True), how="allocated", bound=bound)
        if _STATM.exists():
            rows += rows_of(in_fresh_process(count, traced=False), how="resident", bound=bound)
    return rows + rows_of_ids(settings.pick(100_000, 1_000_000))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(asdict(measured(int(sys.argv[2]), traced=sys.argv[3] == "1"))))
    else:
        main(run, __doc__)
