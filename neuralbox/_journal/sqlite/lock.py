"""Who may write: one process at a time, told apart by a lock that the system frees when its holder dies.

The lock is SQLite's exclusive lock on a second, empty database beside the journal (`jobs.sqlite-lock`), held by an open
transaction that writes nothing. SQLite's locks work on every system Python does, also between two connections of one
process, and on the journal itself such a lock would keep readers out. The empty file stays when the journal is closed:
whoever removed it might remove it under the next owner. Who the owner is stands in the journal, where all can read it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import socket
import sqlite3
from pathlib import Path

from ..._errors import JournalError
from ..protocol import JournalOwner
from . import errors, rows
from .files import LOCK, make_private


def lock(path: str) -> sqlite3.Connection | None:
    """Take the lock of the journal at `path`, or return None where somebody has it. Closing what is returned frees it.

    Raises:
        JournalError: The file of the lock cannot be made or locked.
    """
    file = path + LOCK
    make_private(file)
    with contextlib.ExitStack() as undo:
        try:
            connection = sqlite3.connect(file, timeout=0, isolation_level=None, check_same_thread=False)
            undo.callback(connection.close)
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            if _is_taken(error):
                return None
            raise errors.explain(error, file) from error
        undo.pop_all()
        return connection


def is_locked(path: str) -> bool:
    """Whether somebody has the journal at `path` at this moment."""
    try:
        with contextlib.closing(connect(path + LOCK, "mode=ro", timeout=0)) as connection:
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        return _is_taken(error)  # anything else: no such file, so nobody ever had it, or not for us to read
    return False


def connect(path: str, mode: str, *, timeout: float = 5.0) -> sqlite3.Connection:
    """Open a file that is there already, with SQLite's words for how (`mode=ro`, `mode=rw`, `immutable=1`)."""
    return sqlite3.connect(f"{Path(path).as_uri()}?{mode}", uri=True, timeout=timeout, isolation_level=None)


def last_owner(connection: sqlite3.Connection) -> JournalOwner | None:
    row = connection.execute("SELECT pid, host, since FROM owners ORDER BY number DESC LIMIT 1").fetchone()
    if row is None:
        return None
    pid, host, since = row
    if not (isinstance(pid, int) and isinstance(host, str) and isinstance(since, int | float) and 0 <= since < 1e11):
        raise rows.damaged(connection, "owners")
    return JournalOwner(pid, host, since)


def enter(connection: sqlite3.Connection, now: float) -> int:
    """Write this process down as the owner and return the number of this opening."""
    cursor = connection.execute(
        "INSERT INTO owners (pid, host, since) VALUES (?, ?, ?)", (os.getpid(), socket.gethostname(), now)
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def locked(path: str, owner: JournalOwner | None) -> JournalError:
    """Say whose the journal is."""
    if owner is None:
        who = "another process"
    else:
        since = dt.datetime.fromtimestamp(owner.since, dt.UTC)
        mine = (owner.pid, owner.host) == (os.getpid(), socket.gethostname())
        who = f"{'this very process' if mine else 'process'} {owner.pid} on {owner.host} since {since:%Y-%m-%d %H:%M:%S} UTC"
    return JournalError(
        f"The journal {path} belongs to {who}. Wait until that has ended, or give this run a journal of its own.",
        reason="locked",
        path=path,
    )


def _is_taken(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
