"""A file on disk: whole under its name, or not there."""

from __future__ import annotations

import os
from pathlib import Path

from neuralbox._saving import PartFile


def test_a_thread_that_comes_late_leaves_nothing(tmp_path: Path) -> None:
    part = PartFile(tmp_path / "a")
    part.discard()
    part.open()
    part.write([b"x"])
    part.keep(overwrite=True)
    part.discard()
    assert list(tmp_path.iterdir()) == []


def test_what_a_full_disk_still_buffers_does_not_hide_the_first_error(tmp_path: Path) -> None:
    part = PartFile(tmp_path / "a")
    part.open()
    assert part._file is not None
    os.close(part._file.fileno())
    part.write([b"x"])
    part.discard()
    assert list(tmp_path.iterdir()) == []
