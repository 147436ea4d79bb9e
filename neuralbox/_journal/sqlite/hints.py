"""Hints in a journal's file: what a webhook said of an accepted generation, left by a process that does not own the journal.

Only what the journal itself has as accepted gets in, each event once, and only the newest stay: whoever makes events up can
neither fill the disk nor push true ones out by generations that are not there. Everything here blocks, a little.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from ..protocol import HINTS_KEPT, JournalHint
from . import errors, files, lock, rows, schema
from .reading import opened

_SOUGHT = "SELECT 1 FROM records WHERE state = 'accepted' AND CAST(id AS TEXT) = ? LIMIT 1"


def leave_hint(path: str | os.PathLike[str], id: str, event: str) -> bool:
    """Write down that a generation may have ended.

    Returns:
        Whether the journal is there, has it as accepted, and did not have the event.

    Raises:
        JournalError: It cannot be read or written.
    """
    file = os.path.realpath(path)
    if not Path(file).exists():
        return False
    files.require_plain(file)
    try:
        with contextlib.closing(lock.connect(file, "mode=rw")) as connection:
            schema.require_present(connection, file)
            # Before the transaction, which keeps the owner waiting.
            if connection.execute(_SOUGHT, (id,)).fetchone() is None:
                return False
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                left = connection.execute("INSERT OR IGNORE INTO hints (id, event) VALUES (?, ?)", (id, event))
                if left.rowcount:
                    connection.execute("DELETE FROM hints WHERE number <= ?", ((left.lastrowid or 0) - HINTS_KEPT,))
            return bool(left.rowcount)
    except errors.FOREIGN as error:
        raise errors.explain(error, file) from error


def read_hints(path: str | os.PathLike[str], after: int) -> list[JournalHint]:
    """Return the hints behind a number, in their order.

    Raises:
        JournalError: There is no such file, or it is not a journal that can be read.
    """
    with opened(os.path.realpath(path)) as connection:
        return rows.hints(connection, after)


def written_at(path: str) -> object:
    """Return what is another when anybody has written to a journal since; costs two looks at the folder."""
    found = []
    for file in (path, f"{path}-wal"):
        try:
            seen = os.stat(file)  # noqa: PTH116 - asked every few seconds, and Path costs more than the call
            found.append((seen.st_ino, seen.st_mtime_ns, seen.st_size))
        except OSError:
            found.append((0, 0, 0))
    return found
