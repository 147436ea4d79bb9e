"""Rows of a journal's file, read back as records and numbers. Blocking; for the owner's connection and for readers'."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..protocol import FINISHED, SENDING, STATES, JournalOwner, JournalRecord, JournalSummary

_PAGE_RECORDS: Final = 200
_PAGE_CHARACTERS: Final = 4_000_000  # requests may hold whole files

SELECT: Final = """
    SELECT r.position, r.key, q.request, r.state, r.id, r.kind, r.model, r.claim, r.prompt_at, o.outcome, r.status,
        r.tokens, r.path, r.size_bytes, r.sent_at, r.accepted_at, r.final_at
    FROM records AS r JOIN requests AS q ON q.position = r.position LEFT JOIN outcomes AS o ON o.position = r.position
    WHERE """


def to_record(row: Sequence[Any]) -> JournalRecord:
    """Build the record of a row of `SELECT`."""
    (position, key, request, state, number, kind, model, claim, prompt_at, outcome, status) = row[:11]
    (tokens, path, size_bytes, sent_at, accepted_at, final_at) = row[11:]
    return JournalRecord(
        position,
        key,
        json.loads(request),
        state,
        number,
        kind,
        model,
        _claim(claim, prompt_at, request) if state == SENDING else None,
        json.loads(outcome) if outcome is not None and state in FINISHED else None,
        status,
        tokens,
        os.fsdecode(path) if isinstance(path, bytes) else path,
        size_bytes,
        sent_at,
        accepted_at,
        final_at,
    )


def _claim(claim: str, prompt_at: int, request: str) -> Mapping[str, Any]:
    found: dict[str, Any] = json.loads(claim)
    if prompt_at:
        found["prompt"], _ = json.JSONDecoder().raw_decode(request, prompt_at - 1)
    return found


def page(connection: sqlite3.Connection, states: Sequence[str], after: int) -> list[JournalRecord]:
    """Read the next records in any of `states`; an empty list ends the reading. Bounded in number and in size."""
    places = ", ".join("?" * len(states))
    cursor = connection.execute(
        f"{SELECT} r.position > ? AND r.state IN ({places}) ORDER BY r.position LIMIT ?",
        (after, *states, _PAGE_RECORDS),
    )
    found: list[JournalRecord] = []
    size = 0
    for row in cursor:
        found.append(to_record(row))
        size += len(row[2]) + len(row[9] or "")
        if size > _PAGE_CHARACTERS:
            break
    cursor.close()
    return found


def ids(connection: sqlite3.Connection, since: float) -> list[int | str]:
    rows = connection.execute("SELECT id FROM records WHERE id IS NOT NULL AND accepted_at >= ?", (since,))
    return [number for (number,) in rows]


def last_time(connection: sqlite3.Connection) -> float | None:
    """Return the latest time any record has."""
    latest = (
        "max(planned_at, coalesce(sent_at, 0), coalesce(accepted_at, 0), coalesce(final_at, 0), coalesce(saved_at, 0))"
    )
    (found,) = connection.execute(f"SELECT max({latest}) FROM records").fetchone()  # noqa: S608 - a constant
    return None if found is None else float(found)


def summary(connection: sqlite3.Connection, owner: JournalOwner | None) -> JournalSummary:
    counts = dict.fromkeys(STATES, 0)
    completed = tokens = 0
    for state, count, with_result, paid in connection.execute(
        "SELECT state, count(*), sum(status IS 'completed'), sum(coalesce(tokens, 0)) FROM records GROUP BY state"
    ):
        counts[state] = count
        if state in FINISHED:
            completed += with_result
            tokens += paid
    (first,) = connection.execute("SELECT min(planned_at) FROM records").fetchone()
    (service,) = connection.execute("SELECT value FROM journal WHERE name = 'service'").fetchone()
    return JournalSummary(
        **counts,
        completed=completed,
        tokens=tokens,
        first_at=first,
        last_at=last_time(connection),
        owner=owner,
        service=service,
    )


def known(connection: sqlite3.Connection, key: str) -> tuple[JournalRecord, str, int] | None:
    """Return the record of a key with its fingerprint and the number of the opening that planned it last."""
    row = connection.execute(SELECT + "r.key = ?", (key,)).fetchone()
    if row is None:
        return None
    fingerprint, owner = connection.execute(
        "SELECT fingerprint, owner FROM records WHERE position = ?", (row[0],)
    ).fetchone()
    return to_record(row), fingerprint, owner
