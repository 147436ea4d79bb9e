"""The benchmark of the live view runs, and the view follows a batch that another process runs."""

from __future__ import annotations

import pytest

from benchmarks import bench_watch
from benchmarks.measure import Settings

pytestmark = pytest.mark.uncovered


def test_it_follows_a_batch_at_a_fraction_of_a_core() -> None:
    share, whole, taken_in, followed = bench_watch.run(Settings())
    assert followed.value > 5
    assert share.bound == bench_watch.BOUND
    assert min(share.value, whole.value, taken_in.value) > 0
