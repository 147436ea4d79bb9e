"""The lock of an archive goes when its books are closed, whatever was being read."""

from __future__ import annotations

from pathlib import Path

from neuralbox._archive.index import ArchiveIndex


def test_books_closed_over_a_half_read_plan_leave_no_lock(tmp_path: Path) -> None:
    books = ArchiveIndex(tmp_path / "archive.lock")
    books.plan([((0, 0.0), {"id": number}) for number in range(3)])
    assert books.order() == 3
    assert books.take(1) == [{"id": 0}]
    books.close()
    ArchiveIndex(tmp_path / "archive.lock").close()
