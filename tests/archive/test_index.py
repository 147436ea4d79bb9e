"""The lock of an archive goes when its index is closed, whatever was being read."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from neuralbox._archive.index import ArchiveIndex
from neuralbox._errors import ConfigurationError


def test_index_closed_over_a_half_read_plan_leave_no_lock(tmp_path: Path) -> None:
    index = ArchiveIndex(tmp_path / "archive.lock")
    index.plan([((0, 0.0), {"id": number}) for number in range(3)])
    assert index.order() == 3
    assert index.take(1) == [{"id": 0}]
    index.close()
    ArchiveIndex(tmp_path / "archive.lock").close()


def test_a_lock_that_cannot_be_opened_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(sqlite3, "connect", refuse)
    with pytest.raises(OSError, match=r"archive\.lock` cannot be opened \(unable"):
        ArchiveIndex(tmp_path / "archive.lock")


def test_the_lock_is_nobody_elses_to_read(tmp_path: Path) -> None:
    ArchiveIndex(tmp_path / "archive.lock").close()
    assert (tmp_path / "archive.lock").stat().st_mode & 0o777 == 0o600


def test_a_run_that_is_refused_leaves_the_lock_to_the_one_at_work(tmp_path: Path) -> None:
    lock = tmp_path / "archive.lock"
    index = ArchiveIndex(lock)
    with pytest.raises(ConfigurationError, match="Another archive is at work"):
        ArchiveIndex(lock)
    program = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN EXCLUSIVE')"
    other = subprocess.run([sys.executable, "-c", program, str(lock)], capture_output=True, text=True, check=False)
    assert "database is locked" in other.stderr
    index.close()
