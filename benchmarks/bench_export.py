"""Does a history go to a Parquet file quickly, in little memory, and the second time only by what is new?

A million generations, 100 a page, from a server that answers at once and makes each page as it is asked for; the client
is a process of its own. It exports all of them, then 1,000 more come and it exports again with `append=True`. Units:
microseconds of the client's CPU for a row, and of the wall's clock, which is also the server's (the baseline walks the same
history and does nothing with it), megabytes of the client's
memory at their highest (`VmHWM`) beside what it has when everything is imported, pages that the second export asked for.

    python -m benchmarks.bench_export [--full]
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from benchmarks.listings import PAGE, serving
from benchmarks.measure import Row, Settings, main
from benchmarks.server import ROOT
from neuralbox import AsyncNeuralBox

NEW = 1_000
RATE_BOUND = 50_000
MEMORY_BOUND = 150.0
PREFETCHED = 5  # the page with nothing new, and those that were asked for together with it
MODULE = "benchmarks.bench_export"


def memory(name: str) -> float:
    """Return a figure of this process's memory in megabytes: `VmRSS` now, `VmHWM` the highest."""
    line = next(line for line in Path("/proc/self/status").read_text("utf-8").splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


async def client(url: str, directory: str) -> dict[str, float]:
    """Export, export again, and walk; what a process of its own does."""
    target = Path(directory) / "history.parquet"
    async with AsyncNeuralBox(api_key="nb_benchmark", base_url=url) as nb, httpx.AsyncClient() as other:
        await nb.history.to_arrow(max_items=PAGE)  # everything is imported
        base = memory("VmRSS")
        begun, worked = time.perf_counter(), time.process_time()
        first = await nb.history.export(target, append=True)
        seconds, cpu = time.perf_counter() - begun, time.process_time() - worked
        highest = memory("VmHWM")
        await other.get(f"{url}/more?count={NEW}")
        second = await nb.history.export(target, append=True)
        asked = (await other.get(f"{url}/more?count=0")).json()["asked"]
        worked, walked = time.process_time(), 0
        async for page in nb.history.list(page_size=PAGE, prefetch=4).pages():
            walked += len(page.items)
        walk = time.process_time() - worked
    return {
        "rows": first.items,
        "seconds": seconds,
        "cpu": cpu,
        "base": base,
        "highest": highest,
        "second_rows": second.items,
        "added": second.added,
        "asked": asked,
        "walk": walk / walked,
    }


def run(settings: Settings) -> list[Row]:
    """Run the client and read what it measured."""
    count = settings.pick(2_000, 1_000_000)
    with serving("export", count) as url, tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", MODULE, "--client", url, directory]
        found = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    assert (found["rows"], found["second_rows"], found["added"]) == (count, count + NEW, NEW)
    cpu, wall = (found[name] / found["rows"] for name in ("cpu", "seconds"))
    return [
        Row(
            f"a row of {count:,} to Parquet",
            cpu * 1e6,
            "us CPU",
            bound=1e6 / RATE_BOUND,
            note=f"{1 / cpu:,.0f} a second",
        ),
        Row(f"a row of {count:,} to Parquet", wall * 1e6, "us wall", note=f"{1 / wall:,.0f} a second"),
        Row("a row that is only walked past", found["walk"] * 1e6, "us CPU"),
        Row("memory, everything imported", found["base"], "MB"),
        Row("memory at its highest", found["highest"], "MB", bound=MEMORY_BOUND),
        Row(f"pages of the second export, {NEW:,} new", found["asked"], "requests", bound=NEW / PAGE + PREFETCHED),
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--client"]:
        print(json.dumps(asyncio.run(client(sys.argv[2], sys.argv[3]))))
    else:
        main(run, __doc__)
