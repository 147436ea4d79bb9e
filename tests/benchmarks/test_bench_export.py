"""The benchmark of exports runs, and the second export asks for what is new."""

from __future__ import annotations

import pytest

from benchmarks import bench_export
from benchmarks.measure import Settings

pytestmark = pytest.mark.uncovered


def test_it_exports_all_and_then_what_is_new() -> None:
    rows = bench_export.run(Settings())
    assert rows[-1].holds
    assert rows[-2].what == "memory at its highest"
