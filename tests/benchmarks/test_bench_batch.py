"""The benchmark of batches runs in its small version, and its server answers with pictures that are finished."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks import bench_batch
from benchmarks.measure import Settings

pytestmark = pytest.mark.uncovered


def test_it_compares_batches_with_and_without_a_journal_and_measures_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_a_process_of_its_own, measured = bench_batch.in_fresh_process, list[tuple[bool, int, bool]]()

    def measure(url: str, count: int, *, journal: bool) -> dict[str, float]:
        """The last in a process of its own, the others in this one: what is most of it is starting."""
        measured.append((bool(url), count, journal))
        if len(measured) == 4:
            return in_a_process_of_its_own(url, count, journal=journal)
        path = tmp_path / f"{len(measured)}.sqlite" if journal else None
        return asyncio.run(bench_batch._child(url, count, path))

    monkeypatch.setattr(bench_batch, "in_fresh_process", measure)
    rows = bench_batch.run(Settings())
    assert len([row for row in rows if row.against == "without"]) == 2
    peaks = [row for row in rows if row.unit == "MB"]
    assert len(peaks) in {0, 6}  # 0 where there is no /proc
    assert all(row.value > 10 for row in peaks)
    if peaks:
        assert measured == [(True, 100, True), (True, 300, True), (False, 100, False), (False, 300, False)]
