"""The journal's files on the disk: private, regular, and nobody's link.

A journal holds prompts and signed addresses, so it is made for its owner alone; SQLite gives `-wal` and `-shm` the mode of
the file itself. The file is the one its user named, links included. Those beside it are ours: SQLite would write through a
planted link into somebody's file, so they are used only where they are plain.

A file that is there is never opened here: closing it again would free every lock that this process has on it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Final

from ..._errors import JournalError

LOCK: Final = "-lock"
_WRITTEN_BESIDE: Final = ("-wal", "-shm", "-journal", f"{LOCK}-journal")


def make_private(path: str) -> None:
    """Make the file for its owner alone, unless there is something; what cannot be made, SQLite says better."""
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0)
    with contextlib.suppress(OSError):
        os.close(os.open(path, flags, 0o600))


def require_plain(path: str) -> None:
    """Refuse a journal that is no regular file, or has beside it what SQLite must not write to.

    Raises:
        JournalError: It is; what is not there is no complaint.
    """
    _require(path, path, may_have_names=True)
    _require(path, path + LOCK, may_have_names=True)  # nothing is ever written to it
    for suffix in _WRITTEN_BESIDE:
        _require(path, path + suffix, may_have_names=False)


def _require(path: str, file: str, *, may_have_names: bool) -> None:
    try:
        found = os.lstat(file)
    except OSError:
        return
    if stat.S_ISLNK(found.st_mode):
        happened = "is a link"
    elif not stat.S_ISREG(found.st_mode):
        happened = "is no regular file"
    elif found.st_nlink > 1 and not may_have_names:
        happened = "has another name as well"
    else:
        return
    raise JournalError(
        f"The journal {path} was left alone: {file} {happened}. Give the journal a place where only you can write.",
        reason="unwritable",
        path=path,
    )
