"""The tables of a journal's file, their versions, and the way from an older version to this one.

The file is an ordinary SQLite database in WAL mode: any program may read it while a batch runs.

    journal    one row per fact about the journal itself
                 account     fingerprint of the account (a hash; never the key)
                 service     base URL of the service
                 created_at  Unix seconds
    owners     one row per opening: the highest number is the present or the last owner
                 number, pid, host, since (Unix s), until (Unix s; NULL while open, or after a kill)
    records    one narrow row per request, so that marking it never rewrites a long prompt
                 position    order of planning, from 1
                 key         the caller's key
                 fingerprint equal for equal requests
                 owner       the number of the opening that planned it last
                 lease       Unix seconds until when the owner's claim on it holds; NULL: as long as it has the journal
                 state       planned | sending | accepted | final | saved
                 claim       while `sending`: JSON, how to find out what became of it. The prompt is left out where
                             `request` has it word for word: `prompt_at` is then the place (from 1) where its JSON
                             string begins there; 0 means that it was not left out
                 id, kind, model   of the generation, from `accepted` on; the id is an integer or text as received
                 status, tokens    of the outcome, from `final` on
                 charged_before    tokens of its earlier ends: it had failed, was charged all the same, and was tried again
                 price             tokens it was counted with from `sending` on, where a budget was kept
                 path, size_bytes  of the file, in `saved`; the path is a blob where it is no valid text
                 planned_at, sent_at, accepted_at, final_at, saved_at   Unix seconds, never running backwards
    requests   position, request: the request as JSON. The one place of prompts
    outcomes   position, outcome: the end as JSON. The one place of addresses of results
    hints      number, id (of an accepted generation, as text), event (what tells the event from others): what webhooks said to
               processes that do not own the journal. The newest only; no record is changed by them

`PRAGMA application_id` is `nbox`, `PRAGMA user_version` the version of the schema. A change of the schema appends one
step to `STEPS` and touches none before it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from ..._errors import JournalError

APPLICATION_ID: Final = int.from_bytes(b"nbox")

STEPS: Final[list[Sequence[str]]] = [
    (  # to version 1
        "CREATE TABLE journal (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
        """CREATE TABLE owners (
            number INTEGER PRIMARY KEY, pid INTEGER NOT NULL, host TEXT NOT NULL, since REAL NOT NULL, until REAL)""",
        """CREATE TABLE records (
            position INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, fingerprint TEXT NOT NULL, owner INTEGER NOT NULL,
            lease REAL, state TEXT NOT NULL, claim TEXT, prompt_at INTEGER NOT NULL DEFAULT 0, id, kind TEXT,
            model TEXT, status TEXT, tokens INTEGER, path, size_bytes INTEGER, planned_at REAL NOT NULL, sent_at REAL,
            accepted_at REAL, final_at REAL, saved_at REAL)""",
        "CREATE TABLE requests (position INTEGER PRIMARY KEY, request TEXT NOT NULL)",
        "CREATE TABLE outcomes (position INTEGER PRIMARY KEY, outcome TEXT NOT NULL)",
    ),
    (  # to version 2
        "CREATE TABLE hints (number INTEGER PRIMARY KEY, id TEXT NOT NULL, event TEXT NOT NULL UNIQUE)",
    ),
    (  # to version 3
        "ALTER TABLE records ADD COLUMN charged_before INTEGER NOT NULL DEFAULT 0",
    ),
    (  # to version 4
        "ALTER TABLE records ADD COLUMN price INTEGER",
    ),
]
"""Step n leads from version n to version n + 1; a new file takes them all."""


def require_ours(connection: sqlite3.Connection, path: str) -> int:
    """Return the version of a file's schema, 0 for a new file.

    Raises:
        JournalError: It is another program's database, or of a version this package does not know yet.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        if (application, version) == (0, 0) and connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
            return 0
        raise JournalError(
            f"{path} is a database of another program, and was left alone. Give the journal a file of its own.",
            reason="foreign",
            path=path,
        )
    if version > len(STEPS):
        raise JournalError(
            f"The journal {path} was written by a newer neuralbox (schema {version}, known up to {len(STEPS)}), and was "
            "left alone. Upgrade neuralbox to continue with it.",
            reason="version",
            path=path,
        )
    return int(version)


def require_present(connection: sqlite3.Connection, path: str) -> None:
    """Require that a file's schema is the present one.

    Raises:
        JournalError: It is an older or a newer one, or another program's.
    """
    if require_ours(connection, path) != len(STEPS):
        raise JournalError(
            f"The journal {path} was written by an older neuralbox, or has only just been made. Continuing "
            "its batch brings it up to date.",
            reason="version",
            path=path,
        )


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Lead a file from `version` to the present one, inside the caller's transaction."""
    for step in STEPS[version:]:
        for statement in step:
            connection.execute(statement)
    if version == 0:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    if version < len(STEPS):
        connection.execute(f"PRAGMA user_version = {len(STEPS)}")
