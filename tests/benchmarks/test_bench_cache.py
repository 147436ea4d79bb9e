"""The benchmark of the cache runs without a server: a hit makes no request."""

from __future__ import annotations

from benchmarks import bench_cache
from benchmarks.measure import Settings


def test_hits_make_no_request() -> None:
    median, _, cpu = bench_cache.run(Settings())
    assert median.value > 0
    assert 0 < cpu.value < 50_000
