"""The benchmark of the `speed` extra runs, and sets it against the default engine. What it times is nobody's business here."""

from __future__ import annotations

import math
import subprocess
import sys

from benchmarks import bench_speed
from benchmarks.measure import Settings
from benchmarks.server import ROOT


def test_the_speed_benchmark_compares_both_engines_in_every_load() -> None:
    rows = bench_speed.run(Settings(full=False, seed=1))
    assert all(math.isfinite(row.value) and row.value > 0 for row in rows)
    compared = [row for row in rows if row.against == bench_speed.DEFAULT]
    assert [row.bound for row in compared] == [0.65, 0.4, 0.6, None, None]
    assert all(row.lowest <= row.ratio <= row.highest for row in compared)  # type: ignore[operator]


def test_the_speed_benchmark_has_a_command_line_and_says_its_question() -> None:
    command = [sys.executable, "-m", "benchmarks.bench_speed", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "?" in done.stdout
    assert "--full" in done.stdout
