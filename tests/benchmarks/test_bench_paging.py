"""The benchmark of paging runs, and its walks agree on what the listing holds."""

from __future__ import annotations

import pytest

from benchmarks import bench_paging
from benchmarks.measure import Settings

pytestmark = pytest.mark.uncovered


def test_it_compares_all_walks_and_finds_no_item_missing_or_doubled() -> None:
    rows = bench_paging.run(Settings())
    assert len([row for row in rows if row.ratio is not None]) == 6
    twice, missing = rows[-2:]
    assert (twice.value, missing.value) == (0, 0)
    assert twice.holds
    assert missing.holds
