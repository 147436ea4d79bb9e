"""The lock of an archive goes when its books are closed, whatever was being read."""

from __future__ import annotations

from pathlib import Path

from neuralbox._archive.books import Books


def test_books_closed_over_a_half_read_listing_leave_no_lock(tmp_path: Path) -> None:
    books = Books(tmp_path / "archive.lock")
    half_read = books._connection.execute("SELECT 1 UNION ALL SELECT 2")
    assert next(half_read) == (1,)
    books.close()
    Books(tmp_path / "archive.lock").close()
