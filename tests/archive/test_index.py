"""The lock of an archive goes when its index is closed, whatever was being read."""

from __future__ import annotations

from pathlib import Path

from neuralbox._archive.index import ArchiveIndex


def test_index_closed_over_a_half_read_plan_leave_no_lock(tmp_path: Path) -> None:
    index = ArchiveIndex(tmp_path / "archive.lock")
    index.plan([((0, 0.0), {"id": number}) for number in range(3)])
    assert index.order() == 3
    assert index.take(1) == [{"id": 0}]
    index.close()
    ArchiveIndex(tmp_path / "archive.lock").close()
