"""What SQLite complains about, said as `JournalError`: what happened to which file, and what to do about it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final

from ..._errors import JournalError
from ..._types import JobRef

_NOTHING_LOST = "Nothing that was paid for is lost: continue with the same journal."

_DAMAGED = (
    "corrupt",
    "The file is damaged",
    (
        "Keep it and its -wal file; `sqlite3 FILE .recover` brings back what can be read, and the service's history "
        "shows what was paid for."
    ),
)
# Primary result code -> (reason, what happened, what to do). The numbers are SQLite's own and never change:
# https://www.sqlite.org/rescode.html
_TABLE: Final[Mapping[int, tuple[str, str, str]]] = {
    sqlite3.SQLITE_FULL: ("full", "The disk is full", f"Make room. {_NOTHING_LOST}"),
    sqlite3.SQLITE_BUSY: (
        "locked",
        "Another program is writing to it and does not let go",
        "Look for a database shell with an open transaction, or a backup program, and end it.",
    ),
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: (
        "corrupt",
        "The file is no database, or its beginning is damaged",
        "Give the name of the journal's own file, or of a new one.",
    ),
    sqlite3.SQLITE_READONLY: ("unwritable", "It may not be written", "Allow writing to the file and to its folder."),
    sqlite3.SQLITE_PERM: ("unwritable", "It may not be opened", "Allow reading and writing the file."),
    sqlite3.SQLITE_CANTOPEN: (
        "unwritable",
        "It cannot be opened or created",
        "Allow writing to the file and to its folder: SQLite keeps two more files beside it.",
    ),
    sqlite3.SQLITE_PROTOCOL: (
        "unwritable",
        "The file system cannot lock it",
        "Put the journal on a local disk, not on a network share.",
    ),
    sqlite3.SQLITE_IOERR: (
        "unwritable",
        "The disk reported an error",
        f"Look after the disk and its free space, or put the journal on a local one. {_NOTHING_LOST}",
    ),
}
_ELSE = ("unwritable", "It cannot be used", "See the cause below.")


FOREIGN: Final = (sqlite3.Error, UnicodeDecodeError)
"""What SQLite and Python's module raise of a file; the second, of one whose texts are damaged."""


def is_full(error: sqlite3.Error) -> bool:
    return _code(error) == sqlite3.SQLITE_FULL


def explain(
    error: Exception,
    path: str,
    *,
    key: str | None = None,
    job: JobRef | None = None,
    unwritten: Mapping[str, JobRef] | None = None,
) -> JournalError:
    """Build the `JournalError` for what SQLite raised.

    Args:
        error: What it raised, or Python for a value that SQLite cannot hold; becomes the cause.
        path: The journal's file.
        key: The request concerned.
        job: The paid generation whose id could not be written.
        unwritten: All of them, by key.
    """
    reason, happened, advice = _DAMAGED if isinstance(error, UnicodeDecodeError) else _TABLE.get(_code(error), _ELSE)
    message = f"The journal {path} failed. {happened} ({error}). {advice}"
    if job is not None:
        message += f" The {job} of {key!r} is paid for and not on the disk yet."
    found = JournalError(message, reason=reason, path=path, key=key, job=job, unwritten=unwritten)
    found.__cause__ = error
    return found


def _code(error: Exception) -> int:
    # Errors that Python's own module raises ("Cannot operate on a closed database.") carry no code.
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
