"""The benchmark of the `speed` extra runs, and sets it against the default engine. What it times is nobody's business here."""

from __future__ import annotations

import math

import pytest

from benchmarks import bench_speed
from benchmarks.measure import Settings

pytestmark = pytest.mark.uncovered


def test_the_speed_benchmark_compares_both_engines_in_every_load() -> None:
    rows = bench_speed.run(Settings(full=False, seed=1))
    assert all(math.isfinite(row.value) and row.value > 0 for row in rows)
    compared = [row for row in rows if row.against == bench_speed.DEFAULT]
    assert [row.bound for row in compared] == [0.65, 0.4, 0.6, None, None]
    assert all(row.lowest <= row.ratio <= row.highest for row in compared)  # type: ignore[operator]
