"""The benchmark of batches runs in its small version, and its server answers with pictures that are finished."""

from __future__ import annotations

import pytest

from benchmarks import bench_batch
from benchmarks.measure import Settings

pytestmark = pytest.mark.uncovered


def test_it_compares_batches_with_and_without_a_journal_and_measures_memory() -> None:
    rows = bench_batch.run(Settings())
    assert len([row for row in rows if row.against == "without"]) == 2
    peaks = [row for row in rows if row.unit == "MB"]
    assert len(peaks) in {0, 6}  # 0 where there is no /proc
    assert all(row.value > 10 for row in peaks)
