"""The benchmark of the cache measures hits: a miss would be a request, and there is nobody to ask."""

from __future__ import annotations

import pytest

from benchmarks import bench_cache
from benchmarks.measure import Settings
from neuralbox import APIConnectionError, ResultCache

pytestmark = pytest.mark.uncovered


def test_each_of_many_hits_is_measured() -> None:
    median, most, cpu = bench_cache.run(Settings())
    assert 0 < median.value <= most.value
    assert cpu.value > 0
    assert median.bound == bench_cache.BOUND


def test_a_miss_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ResultCache, "get", lambda *_: None)
    with pytest.raises(APIConnectionError):
        bench_cache.run(Settings())
