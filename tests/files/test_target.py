"""Where a file goes: what may be named as a target, and what stands there."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from neuralbox import ConfigurationError, DownloadError
from neuralbox._files.target import locate_directory, locate_target, read_overwrite, require_free


@pytest.mark.parametrize(
    ("given", "read"),
    [(True, "replace"), (False, "error"), *((word, word) for word in ("error", "replace", "rename", "skip"))],
)
def test_what_may_be_said_about_overwriting(given: object, read: str) -> None:
    assert read_overwrite(given) == read


@pytest.mark.parametrize("given", [None, 1, "", "yes", "REPLACE", []])
def test_anything_else_about_overwriting_is_one_clear_error(given: object) -> None:
    with pytest.raises(ConfigurationError, match="error, replace, rename, skip"):
        read_overwrite(given)


def test_what_stands_there_is_looked_at_before_anything_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "directory").mkdir()
    assert require_free(tmp_path / "new", "error")
    assert require_free(tmp_path / "file", "replace")
    assert require_free(tmp_path / "file", "rename")
    assert require_free(tmp_path / "directory", "rename")
    assert require_free(tmp_path / "new", "skip")
    assert not require_free(tmp_path / "file", "skip")
    with pytest.raises(ConfigurationError, match="there already"):
        require_free(tmp_path / "file", "error")
    for overwrite in ("error", "replace", "skip"):
        with pytest.raises(ConfigurationError, match="is a directory"):
            require_free(tmp_path / "directory", overwrite)


def test_a_name_that_is_too_long_is_told_before_anything_is_fetched(tmp_path: Path) -> None:
    locate_target(str(tmp_path / ("a" * 255)))
    with pytest.raises(ConfigurationError, match="255 bytes"):
        locate_target(str(tmp_path / ("a" * 256)))
    with pytest.raises(ConfigurationError, match="255 bytes"):
        locate_target(str(tmp_path / ("é" * 128) / "a"))
    locate_target("é" * 127, windows=True)
    with pytest.raises(ConfigurationError, match="255 bytes"):
        locate_target("é" * 256, windows=True)


@pytest.mark.parametrize("name", ["nul.mp4", "COM1", "a:b.mp4", "what?.mp4", "a.", "a .", "con .txt"])
def test_a_name_that_windows_would_twist_is_refused_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="on Windows"):
        locate_target(str(tmp_path / name), windows=True)
    assert locate_target(str(tmp_path / name), windows=False).path == tmp_path / name
    assert locate_target(str(tmp_path / "a.mp4"), windows=True).path == tmp_path / "a.mp4"


@pytest.mark.parametrize("given", [None, 5, b"out"])
def test_what_is_no_path_is_refused(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="The target must be a path"):
        locate_target(given)


def test_a_directory_is_read_with_its_separator_before_it_is_there(tmp_path: Path) -> None:
    assert locate_directory("`to`", tmp_path / "new") == f"{tmp_path / 'new'}{os.sep}"
    assert locate_directory("`to`", f"{tmp_path}/") == f"{tmp_path}/{os.sep}"


def test_a_directory_that_may_not_be_looked_at_is_the_disks_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "is_dir", refuse)
    with pytest.raises(DownloadError, match=r"^`to` cannot be used: Permission denied\.$"):
        locate_directory("`to`", tmp_path / "secret" / "out")
