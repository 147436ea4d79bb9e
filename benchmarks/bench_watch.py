"""What does `neuralbox watch` take of a core while it refreshes five times a second, beside a batch of 100,000 requests?

Unit: CPU seconds of this process (reading the journal and drawing the screen, which nobody sees) per second that passes.
Another process has the journal open and ends some 100 requests a second meanwhile, with 1,000 on their way, as a quick batch
does. Baseline: reading the same journal's summary as often, which goes through all of it each time. The journal is taken in
before the measurement; what that takes is a row of its own.

    python -m benchmarks.bench_watch [--full]
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import anyio

from benchmarks.measure import Row, Settings, main
from benchmarks.server import ROOT
from neuralbox._journal import Journal, PlannedRequest, open_journal, read_summary
from neuralbox._watch.journal_view import JournalView
from neuralbox._watch.screen import EVERY, WatchApp

BOUND = 0.2
ON_THEIR_WAY = 1_000
REFRESHES = 5.0  # a second


async def fill(path: Path, requests: int) -> None:
    """Write a journal whose first 90 % have ended."""
    on_their_way = min(ON_THEIR_WAY, requests // 10)
    ended = requests * 9 // 10
    async with await open_journal(path, account="bench", service="https://bench.test") as journal:
        for first in range(0, requests, 1_000):
            some = range(first, min(first + 1_000, requests))
            body = {"kind": "image", "model": "flux", "prompt": "A lake in the morning, " * 8}
            await journal.plan([PlannedRequest(f"k{number}", body) for number in some])
            async with anyio.create_task_group() as group:
                for number in some:
                    if number < ended + on_their_way:
                        group.start_soon(partial(lead, journal, number, to_its_end=number < ended))


async def lead(journal: Journal, number: int, *, to_its_end: bool) -> None:
    """Write down what becomes of one request."""
    key = f"k{number}"
    await journal.sending(key, {"prompt": "x"})
    await journal.accepted(key, id=number, kind="image", model="flux")
    if to_its_end:
        await journal.final(key, {"status": "completed" if number % 50 else "failed", "tokens": 4})
        await journal.saved(key, f"out/{key}.webp", 12_345)


async def run_on(path: Path, first: int, last: int) -> None:
    """End requests and send others, until this process is killed; a reader must not keep it waiting."""
    async with await open_journal(path, account="bench", service="https://bench.test") as journal:
        print("open", flush=True)
        for number in range(first, last):
            await journal.final(f"k{number}", {"status": "completed", "tokens": 4})
            await journal.saved(f"k{number}", f"out/k{number}.webp", 12_345)
            if number + ON_THEIR_WAY < last:
                await lead(journal, number + ON_THEIR_WAY, to_its_end=False)
            await anyio.sleep(0.01)


async def watch(view: JournalView, seconds: float) -> float:
    """Return the CPU seconds a second that the whole screen takes."""
    app = WatchApp(view)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(EVERY)
        began, spent = time.perf_counter(), time.process_time()
        await asyncio.sleep(seconds)
        return (time.process_time() - spent) / (time.perf_counter() - began)


def run(settings: Settings) -> list[Row]:
    """Measure both while another process writes."""
    requests, seconds = settings.pick(1_000, 100_000), settings.pick(1, 20)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.sqlite"
        anyio.run(fill, path, requests)
        ended = requests * 9 // 10
        command = [sys.executable, "-m", "benchmarks.bench_watch", "--write", str(path), str(ended), str(requests)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
            try:
                assert writer.stdout is not None
                assert writer.stdout.readline() == "open\n"
                spent, view = time.process_time(), JournalView(path)
                while view.refresh().unread:
                    pass
                taken_in = time.process_time() - spent
                before = view.counts.ended
                share = asyncio.run(watch(view, seconds))
                followed = view.counts.ended - before
                spent = time.process_time()
                for _ in range(5):
                    read_summary(path)
                whole = (time.process_time() - spent) / 5 * REFRESHES
            finally:
                writer.kill()
    what = f"watching a batch of {requests:,} requests, {REFRESHES:.0f} refreshes a second"
    return [
        Row(what, share, "of a core", bound=BOUND),
        Row("its summary read as often", whole, "of a core"),
        Row("taking the journal in", taken_in, "s CPU"),
        Row("requests that ended meanwhile and were seen", followed, "requests"),
    ]


if __name__ == "__main__":
    if "--write" in sys.argv:
        anyio.run(run_on, Path(sys.argv[-3]), int(sys.argv[-2]), int(sys.argv[-1]))
    else:
        main(run, __doc__)
