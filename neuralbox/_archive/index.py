"""What an archive has to remember while it runs: what is known, what is planned, and that nobody else runs.

Both lists may be longer than memory is large, so they are temporary tables of SQLite, which live in an unnamed file of
the system's and end with the process however that ends. The same connection holds the lock: an open transaction on an
empty database in the directory, which the system lets go with the process. All of it runs in worker threads, one call
at a time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .._api.fields import parse_json
from .._errors import ConfigurationError
from .._files.own_file import make_own
from .manifest_entry import ManifestEntry, as_json

_TABLES = (
    "PRAGMA temp_store = FILE",
    "PRAGMA journal_mode = MEMORY",  # no second file beside the lock
    "PRAGMA temp.journal_mode = OFF",  # nothing is ever taken back
    "CREATE TEMP TABLE known (key, part, state, path, size, sha256, PRIMARY KEY (key, part)) WITHOUT ROWID",
    "CREATE TEMP TABLE names (name PRIMARY KEY, key, part) WITHOUT ROWID",
    "CREATE TEMP TABLE plan (number INTEGER PRIMARY KEY, class, moment, record)",
    "BEGIN EXCLUSIVE",
)


class ArchiveIndex:
    """The tables, and the lock they are kept under.

    Args:
        lock: A file for nothing but the lock; made where there is none.

    Raises:
        ConfigurationError: Somebody else holds the lock.
        OSError: It cannot be made.
    """

    def __init__(self, lock: Path) -> None:
        make_own(lock)  # SQLite would follow a link, and wait for a pipe
        try:
            self._connection = sqlite3.connect(lock, timeout=0, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise OSError(f"`{lock}` cannot be opened ({error})") from error
        self._planned = 0
        self._taken = self._connection.cursor()
        try:
            for statement in _TABLES:
                self._connection.execute(statement)
        except sqlite3.Error as error:
            self.close()
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise ConfigurationError(
                    f"Another archive is at work in `{lock.parent.parent}`; one directory takes one at a time."
                ) from None
            raise OSError(f"`{lock}` cannot be locked ({error})") from error

    def close(self) -> None:
        """Let go of the lock, and of everything that was remembered."""
        # A statement that is half read keeps the file's shared lock, even over a rollback, until it is collected.
        self._taken.close()
        with suppress(sqlite3.Error):
            self._connection.rollback()
        self._connection.close()

    # What is known.

    def know(self, entry: ManifestEntry) -> None:
        """Remember what the manifest says of a file, in place of what it said before."""
        self._connection.execute(
            "INSERT OR REPLACE INTO known VALUES (?, ?, ?, ?, ?, ?)",
            (entry.key, entry.part, entry.state, entry.path, entry.size, entry.sha256),
        )
        if entry.path is not None:
            self._connection.execute(
                "INSERT OR REPLACE INTO names VALUES (?, ?, ?)", (entry.path.casefold(), entry.key, entry.part)
            )

    def known(self, key: str) -> Mapping[str, ManifestEntry]:
        """Return what is known of a generation's parts."""
        found = self._connection.execute("SELECT part, state, path, size, sha256 FROM known WHERE key = ?", (key,))
        return {part: ManifestEntry("", None, key, part, *rest) for part, *rest in found}

    def saved(self) -> list[ManifestEntry]:
        """Return the files that the manifest says are there."""
        found = self._connection.execute("SELECT key, part, state, path, size, sha256 FROM known WHERE path NOT NULL")
        return [ManifestEntry("", None, *row) for row in found]

    def is_free(self, path: str, entry: ManifestEntry) -> bool:
        """Whether a path belongs to no other file, on systems that do not tell upper from lower case either."""
        query = self._connection.execute("SELECT key, part FROM names WHERE name = ?", (path.casefold(),))
        owner = query.fetchone()
        return owner is None or owner == (entry.key, entry.part)

    # What is planned.

    def plan(self, records: Iterable[tuple[tuple[int, float], Mapping[str, Any]]]) -> None:
        """Put records into the plan, each with its urgency."""
        rows = [(*urgency, as_json(record)) for urgency, record in records]
        self._connection.executemany("INSERT INTO plan (class, moment, record) VALUES (?, ?, ?)", rows)
        self._planned += len(rows)

    def order(self) -> int:
        """Begin with the most urgent; return how many there are. What is equally urgent stays in the list's order."""
        self._taken.execute("SELECT record FROM plan ORDER BY class, moment, number")
        return self._planned

    def take(self, count: int) -> list[Mapping[str, Any]]:
        """Return the next records, none at the end."""
        return [parse_json(record) for (record,) in self._taken.fetchmany(count)]
