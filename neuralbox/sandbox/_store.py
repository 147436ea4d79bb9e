"""Where the state lives: nowhere but in memory, or in one SQLite file that survives a restart.

One table of JSON records by kind and id: the ledger holds everything in memory and writes through. The file is
opened at the first use and again after `close`, so nothing stays open behind a server that has stopped.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class StateStore:
    """Write-through records; without a path every call does nothing.

    Not thread-safe by itself: the ledger calls it under its lock.
    """

    def __init__(self, path: str | Path | None) -> None:
        self._path = path
        self._database: sqlite3.Connection | None = None

    def put(self, kind: str, key: object, record: dict[str, Any]) -> None:
        if self._path is not None:
            body = json.dumps(record, separators=(",", ":"))
            self._open().execute(
                "INSERT INTO records VALUES (?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body",
                (kind, str(key), body),
            )

    def remove(self, kind: str, key: object) -> None:
        if self._path is not None:
            self._open().execute("DELETE FROM records WHERE kind = ? AND id = ?", (kind, str(key)))

    def read(self, kind: str) -> list[dict[str, Any]]:
        """Return all records of a kind, in the order in which they were first written."""
        if self._path is None:
            return []
        rows = self._open().execute("SELECT body FROM records WHERE kind = ? ORDER BY rowid", (kind,))
        return [json.loads(body) for (body,) in rows]

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make the writes inside the block one transaction."""
        if self._path is None:
            yield
            return
        database = self._open()
        database.execute("BEGIN")
        try:
            yield
        finally:
            # The ledger in memory has changed either way, so the file follows it.
            database.execute("COMMIT")

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            assert self._path is not None
            try:
                self._database = _connect(self._path)
            except sqlite3.Error as error:
                raise OSError(f"The database `{self._path}` cannot be used: {error}.") from error
        return self._database


def _connect(path: str | Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        there = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB 'sqlite_*'"
        tables = {name for (name,) in database.execute(there)}
        if tables - {"records"}:  # such as the journal of a batch: nothing of it is changed
            raise sqlite3.DatabaseError("it holds something else than a sandbox")
        database.execute("PRAGMA journal_mode = WAL")
        # A test double: it survives the death of the process, not the loss of power.
        database.execute("PRAGMA synchronous = OFF")
        database.execute("CREATE TABLE IF NOT EXISTS records (kind TEXT, id TEXT, body TEXT, PRIMARY KEY (kind, id))")
    except sqlite3.Error:
        database.close()
        raise
    return database
