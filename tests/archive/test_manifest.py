"""The manifest on disk: what is whole stays, what is damaged goes, what is no manifest is left alone."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from neuralbox._archive.manifest import append, read_manifest
from neuralbox._archive.manifest_entry import ManifestEntry, write_line
from neuralbox._errors import ConfigurationError

NOW = datetime(2026, 3, 8, 12, tzinfo=UTC)
ENTRIES = [ManifestEntry("neuralbox", None, str(number), "file", "expired") for number in range(3)]
LINES = [write_line(entry, {"id": entry.key}, archived_at=NOW, expires_at=None) for entry in ENTRIES]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "manifest.jsonl"


def test_lines_are_read_in_the_order_in_which_they_were_added(path: Path) -> None:
    assert list(read_manifest(path)) == []
    append(path, LINES[:1])
    append(path, LINES[1:])
    assert list(read_manifest(path)) == ENTRIES
    assert path.read_bytes() == b"".join(LINES)


def test_a_manifest_cut_at_any_byte_keeps_its_whole_lines(path: Path) -> None:
    whole = b"".join(LINES)
    for cut in {*range(0, len(whole), 29), len(LINES[0]), len(LINES[0]) - 1, len(whole) - 1}:
        path.write_bytes(whole[:cut])
        lines = whole[:cut].count(b"\n")
        assert list(read_manifest(path)) == ENTRIES[:lines]
        assert path.read_bytes() == b"".join(LINES[:lines])
        assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_a_line_damaged_in_the_middle_goes_and_the_others_stay(path: Path) -> None:
    path.write_bytes(LINES[0] + b"\0" * 40 + b"\n" + LINES[1] + LINES[2][:-9] + b"\n" + LINES[2])
    assert list(read_manifest(path)) == ENTRIES
    assert path.read_bytes() == b"".join(LINES)


@pytest.mark.parametrize("content", [b"id,status\n1,done\n", b"\x89PNG\r\n", b'{"id": 1}\n' + LINES[0]])
def test_another_programs_file_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="not the manifest"):
        list(read_manifest(path))
    assert path.read_bytes() == content


def test_a_repair_that_fails_leaves_the_manifest_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(b"".join(LINES)[:-3])

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        list(read_manifest(path))
    assert path.read_bytes() == b"".join(LINES)[:-3]
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_a_line_that_could_not_be_added_whole_is_not_there_at_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append(path, LINES[:1])
    real: Callable[[int, Any], int] = os.write
    writes = 0

    def write(descriptor: int, data: memoryview) -> int:
        nonlocal writes
        writes += 1
        if writes > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[:10])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(OSError, match="No space"):
            append(path, LINES[1:])
    assert path.read_bytes() == LINES[0]
    append(path, LINES[1:])
    assert list(read_manifest(path)) == ENTRIES
