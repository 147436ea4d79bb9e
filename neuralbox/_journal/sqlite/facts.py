"""Facts about a run that its caller keeps in the journal, by name: what a command line was told, say.

They stand in the table `journal` beside the journal's own facts, which are neither given out nor overwritten here. Each
call opens the file for itself, so that also a reader and a process that has the journal open may use them.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator
from typing import Any, Final

from ..._errors import JournalError
from . import errors, files, lock

_OWN: Final = frozenset({"account", "service", "created_at"})


def facts(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what `remember` wrote into a journal, by name; what is not JSON, or no journal, gives nothing."""
    found: dict[str, Any] = {}
    with contextlib.suppress(*errors.FOREIGN, JournalError), _connected(path) as connection:
        for name, text in connection.execute("SELECT name, value FROM journal").fetchall():
            if name not in _OWN:
                with contextlib.suppress(TypeError, ValueError, RecursionError):
                    found[name] = json.loads(text)
    return found


def remember(path: str | os.PathLike[str], name: str, value: object) -> None:
    """Keep a fact of the caller's in a journal, in place of an earlier one of that name.

    Args:
        path: The journal's file, which is there.
        name: Its name; none of the journal's own.
        value: JSON values.

    Raises:
        JournalError: It cannot be written.
    """
    assert name not in _OWN
    try:
        with _connected(path) as connection:
            connection.execute("INSERT OR REPLACE INTO journal VALUES (?, ?)", (name, json.dumps(value)))
    except errors.FOREIGN as error:
        raise errors.explain(error, os.path.realpath(path)) from error


@contextlib.contextmanager
def _connected(path: str | os.PathLike[str]) -> Iterator[sqlite3.Connection]:
    file = os.path.realpath(path)
    files.require_plain(file)
    with contextlib.closing(lock.connect(file, "mode=rw")) as connection:
        yield connection
