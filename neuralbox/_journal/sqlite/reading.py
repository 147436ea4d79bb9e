"""Reading a journal's file without owning it, for reports and for `batch status` while another process runs.

Everything here blocks, a little; no handle stays open between two pages. Readers never keep the owner waiting.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..._errors import JournalError
from .. import transitions
from ..protocol import MARK_SPAN, STATES, JournalMarks, JournalOwner, JournalRecord, JournalSummary, PlannedRequest
from . import errors, files, lock, rows, schema


def read_summary(path: str | os.PathLike[str]) -> JournalSummary:
    """Count what a journal holds. `owner` is set while a process has it.

    Changes that the owner still holds back (about a second's worth) are not in it.

    Raises:
        JournalError: There is no such file, or it is not a journal that can be read.
    """
    file = os.path.realpath(path)
    with opened(file) as connection:
        owner = lock.last_owner(connection) if lock.is_locked(file) else None
        return rows.summary(connection, owner)


def read_records(
    path: str | os.PathLike[str], *, states: Sequence[str] = STATES, after: int = 0
) -> Iterator[JournalRecord]:
    """Iterate over a journal's records in the order of planning; memory does not grow with the journal.

    Args:
        path: The file.
        states: Which ones.
        after: Where to begin: behind the record at this position.

    Raises:
        JournalError: There is no such file, or it is not a journal that can be read.
    """
    file = os.path.realpath(path)
    while True:
        with opened(file) as connection:
            page = rows.page(connection, states, after)
        if not page:
            return
        yield from page
        after = page[-1].position


def require_same(path: str | os.PathLike[str], entries: Iterable[PlannedRequest]) -> None:
    """Require that a journal knows none of these keys as another request.

    Raises:
        JournalError: It does, or it is not a journal that can be read.
    """
    file = os.path.realpath(path)
    with opened(file) as connection:
        for entry in entries:
            row = connection.execute("SELECT fingerprint FROM records WHERE key = ?", (entry.key,)).fetchone()
            found = None if row is None or row[0] == entry.digest else rows.known(connection, entry.key)
            if found is not None:
                raise transitions.changed(entry.key, found[0].request, json.loads(entry.text), path=file)


def read_marks(path: str | os.PathLike[str], numbers: Sequence[int]) -> JournalMarks:
    """Read the marks of spans, in one look at the file; 1,000 take some 2 ms.

    Args:
        path: The file.
        numbers: Which spans; those that are not there yet are left out.

    Raises:
        JournalError: There is no such file, or it is not a journal that can be read.
    """
    file = os.path.realpath(path)
    with opened(file) as connection:
        owner = lock.last_owner(connection) if lock.is_locked(file) else None
        read = {number: rows.marks(connection, number * MARK_SPAN, (number + 1) * MARK_SPAN) for number in numbers}
        last = rows.last_position(connection)
        spans = {number: marks for number, marks in read.items() if number * MARK_SPAN < last}
        return JournalMarks(spans, -(-last // MARK_SPAN), last, owner)


def owner_of(path: str) -> JournalOwner | None:
    """Return who opened the journal last, or None where that cannot be read (yet)."""
    try:
        with opened(path) as connection:
            return lock.last_owner(connection)
    except JournalError:
        return None


@contextlib.contextmanager
def opened(path: str) -> Iterator[sqlite3.Connection]:
    """Open a journal's file for reading alone.

    Raises:
        JournalError: There is no such file, or it is not a journal that can be read.
    """
    if not Path(path).is_file():
        raise JournalError(f"There is no journal {path}. A batch makes it when it starts.", reason="missing", path=path)
    files.require_plain(path)
    # SQLite reads a WAL file through two more files beside it, and only who may write removes them again. Where that is
    # forbidden, a journal that was closed properly is read without them: nobody else can be writing there either.
    if os.access(path, os.W_OK) and os.access(Path(path).parent, os.W_OK):
        mode = "mode=rw"
    elif Path(f"{path}-wal").exists():
        mode = "mode=ro"
    else:
        mode = "immutable=1"
    try:
        with contextlib.closing(lock.connect(path, mode)) as connection:
            connection.execute("PRAGMA query_only = ON")
            schema.require_present(connection, path)
            yield connection
    except errors.FOREIGN as error:
        raise errors.explain(error, path) from error
