"""Run every benchmark and print one table for the README, with the machine, the versions and the date.

Each benchmark runs in a process of its own, so that none inherits another's imports, memory or connections.

    python -m benchmarks.run [--full] [--seed 1]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from datetime import UTC, datetime

from benchmarks.measure import Row, machine, rows_of, table, versions
from benchmarks.server import ROOT

BENCHMARKS = (
    "bench_get",
    "bench_sse",
    "bench_memory",
    "bench_import",
    "bench_sync",
    "bench_speed",
    "stress_cancel",
    "bench_watch",
    "simulate_waiting",
    "simulate_plan",
    "bench_peers",
)
MEASURED = (
    "neuralbox",
    "httpx",
    "httpcore",
    "httpcore2",
    "anyio",
    "pydantic",
    "aiohttp",
    "httpx-aiohttp",
    "openai",
    "replicate",
    "fal-client",
    "runwayml",
)


def measured(name: str, *, full: bool, seed: int) -> list[Row]:
    """Run one benchmark and return its rows; what it says on standard error is shown as it comes."""
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json", f"--seed={seed}", *(["--full"] if full else [])]
    return rows_of(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the figures of the README; takes minutes")
    parser.add_argument("--seed", type=int, default=1, help="of orders and durations")
    asked = parser.parse_args()
    rows = [row for name in BENCHMARKS for row in measured(name, full=asked.full, seed=asked.seed)]
    print(table(rows, markdown=True))
    kind = "full" if asked.full else "small version: it shows that the benchmarks work, not how fast anything is"
    print(f"\n{datetime.now(UTC):%Y-%m-%d}, {machine()}; {versions(*MEASURED)}; {kind}.")


if __name__ == "__main__":
    main()
