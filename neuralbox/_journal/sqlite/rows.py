"""Rows of a journal's file, read back as records and numbers. Blocking; for the owner's connection and for readers'."""

from __future__ import annotations

import json
import math
import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from types import NoneType
from typing import Any, Final, TypeAlias

from ..._errors import JournalError
from ..._types import GenerationId
from ..protocol import (
    ACCEPTED,
    FINAL,
    FINISHED,
    PLANNED,
    SAVED,
    SENDING,
    STATES,
    JournalHint,
    JournalMark,
    JournalOwner,
    JournalRecord,
    JournalSummary,
)

_PAGE_RECORDS: Final = 200
_PAGE_CHARACTERS: Final = 4_000_000  # requests may hold whole files

SELECT: Final = """
    SELECT r.position, r.key, q.request, r.state, r.id, r.kind, r.model, r.claim, r.prompt_at, o.outcome, r.status,
        r.tokens, r.path, r.size_bytes, r.sent_at, r.accepted_at, r.final_at, r.price
    FROM records AS r JOIN requests AS q ON q.position = r.position LEFT JOIN outcomes AS o ON o.position = r.position
    WHERE """


_Row: TypeAlias = Sequence[Any]

_NUMBER: Final = (int, float, NoneType)
_TYPES: Final = (
    ("position", (int,)),
    ("key", (str,)),
    ("request", (str,)),
    ("state", (str,)),
    ("id", (int, str, NoneType)),
    ("kind", (str, NoneType)),
    ("model", (str, NoneType)),
    ("claim", (str, NoneType)),
    ("prompt_at", (int,)),
    ("outcome", (str, NoneType)),
    ("status", (str, NoneType)),
    ("tokens", (int, NoneType)),
    ("path", (str, bytes, NoneType)),
    ("size_bytes", (int, NoneType)),
    ("sent_at", _NUMBER),
    ("accepted_at", _NUMBER),
    ("final_at", _NUMBER),
    ("price", (int, NoneType)),
)
"""What may stand in the columns of `SELECT`: SQLite itself takes anything anywhere."""


def to_record(connection: sqlite3.Connection, row: _Row) -> JournalRecord:
    """Build the record of a row of `SELECT`.

    Raises:
        JournalError: The row is damaged.
    """
    for value, (column, types) in zip(row, _TYPES, strict=True):
        if not isinstance(value, types):
            raise damaged(connection, column, row)
    (position, key, request, state, number, kind, model, claim, prompt_at, outcome, status) = row[:11]
    (tokens, path, size_bytes, sent_at, accepted_at, final_at, price) = row[11:]
    if state not in STATES:
        raise damaged(connection, "state", row)
    for column, moment in (("sent_at", sent_at), ("accepted_at", accepted_at), ("final_at", final_at)):
        if moment is not None and not math.isfinite(moment):
            raise damaged(connection, column, row)
    if price is not None and price < 0:
        raise damaged(connection, "price", row)
    return JournalRecord(
        position,
        key,
        _object(connection, "request", row, request),
        state,
        number,
        kind,
        model,
        _claim(connection, row, claim, prompt_at, request) if state == SENDING else None,
        _object(connection, "outcome", row, outcome) if outcome is not None and state in FINISHED else None,
        status,
        tokens,
        os.fsdecode(path) if isinstance(path, bytes) else path,
        size_bytes,
        sent_at,
        accepted_at,
        final_at,
        price=price,
    )


def _object(connection: sqlite3.Connection, column: str, row: _Row, text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "")
    except (ValueError, RecursionError) as error:
        raise damaged(connection, column, row) from error
    if not isinstance(found, dict):
        raise damaged(connection, column, row)
    return found


def _claim(
    connection: sqlite3.Connection, row: _Row, claim: str | None, prompt_at: int, request: str
) -> Mapping[str, Any]:
    found = _object(connection, "claim", row, claim)
    if prompt_at:
        try:
            found["prompt"], _ = json.JSONDecoder().raw_decode(request, prompt_at - 1)
        except (ValueError, RecursionError, IndexError) as error:
            raise damaged(connection, "prompt_at", row) from error
    return found


def damaged(connection: sqlite3.Connection, column: str, row: _Row | None = None) -> JournalError:
    """Say which row is damaged, and where; its values stay out of the message."""
    (_, _, path) = connection.execute("PRAGMA database_list").fetchone()
    where, key = "", None
    if row is not None:
        key = row[1] if isinstance(row[1], str) else None
        where = f" of request {row[0]!r}" + ("" if key is None else f" ({key!r})")
    return JournalError(
        f"The journal {path} is damaged: what it says in `{column}`{where} cannot be. Keep the file; what was paid for is "
        "in the service's history, and a new journal begins anew.",
        reason="corrupt",
        path=path,
        key=key,
    )


def page(connection: sqlite3.Connection, states: Sequence[str], after: int) -> list[JournalRecord]:
    """Read the next records in any of `states`; an empty list ends the reading. Bounded in number and in size."""
    places = ", ".join("?" * len(states))
    query = f"{SELECT} r.position > ? AND r.state IN ({places}) ORDER BY r.position LIMIT ?"
    found: list[JournalRecord] = []
    size = 0
    # A cursor that is left half read, in the frame of an error, would keep the file open after its connection is closed.
    with closing(connection.execute(query, (after, *states, _PAGE_RECORDS))) as cursor:
        for row in cursor:
            found.append(to_record(connection, row))
            size += len(row[2]) + len(row[9] or "")
            if size > _PAGE_CHARACTERS:
                break
    return found


_MARK_COLUMNS: Final = tuple(
    (at, column, types) for at, (column, types) in enumerate(row for row in _TYPES if row[0] in JournalMark._fields)
)
_MARKS: Final = f"""SELECT {", ".join(column for _, column, _ in _MARK_COLUMNS)}
    FROM records WHERE position > ? AND position <= ? ORDER BY position"""  # noqa: S608 - constants


def marks(connection: sqlite3.Connection, first: int, last: int) -> list[JournalMark]:
    """Read the marks behind one position and up to another.

    Raises:
        JournalError: A row is damaged.
    """
    found, sound = [], set[tuple[type, ...]]()  # thousands of rows a second have a few shapes between them
    for row in connection.execute(_MARKS, (first, last)).fetchall():
        shape = tuple(map(type, row))
        if shape not in sound:
            for at, column, types in _MARK_COLUMNS:
                if not isinstance(row[at], types):
                    raise damaged(connection, column, row)
            sound.add(shape)
        mark = JournalMark(*row)
        if mark.state not in STATES:
            raise damaged(connection, "state", row)
        if not math.isfinite((mark.sent_at or 0.0) + (mark.accepted_at or 0.0) + (mark.final_at or 0.0)):
            raise damaged(connection, "final_at", row)
        found.append(mark._replace(path=os.fsdecode(mark.path)) if isinstance(mark.path, bytes) else mark)
    return found


def last_position(connection: sqlite3.Connection) -> int:
    """Return the highest position that there is; 0 where there is none."""
    (found,) = connection.execute("SELECT max(position) FROM records").fetchone()
    return found or 0


def hints(connection: sqlite3.Connection, after: int) -> list[JournalHint]:
    """Return the hints behind a number; what is none is left out, for nothing depends on it."""
    found = connection.execute("SELECT number, id, event FROM hints WHERE number > ? ORDER BY number", (after,))
    return [
        JournalHint(number, generation, event)
        for number, generation, event in found.fetchall()
        if isinstance(generation, str) and isinstance(event, str)
    ]


def ids(connection: sqlite3.Connection, since: float) -> list[GenerationId]:
    """Return the ids that were accepted at or after `since`, Unix seconds."""
    found = connection.execute(
        "SELECT position, key, id FROM records WHERE id IS NOT NULL AND accepted_at >= ?", (since,)
    ).fetchall()
    for row in found:
        if not isinstance(row[2], int | str):
            raise damaged(connection, "id", row)
    return [number for _, _, number in found]


def last_time(connection: sqlite3.Connection) -> float | None:
    """Return the latest time any record has."""
    latest = (
        "max(planned_at, coalesce(sent_at, 0), coalesce(accepted_at, 0), coalesce(final_at, 0), coalesce(saved_at, 0))"
    )
    (found,) = connection.execute(f"SELECT max({latest}) FROM records").fetchone()  # noqa: S608 - a constant
    return _finite(connection, found, _TIMES)


_CANNOT_BE: Final = "typeof({0}) NOT IN ('integer', 'real', 'null') OR abs({0}) > 1e300"
_TIMES: Final = ("planned_at", "sent_at", "accepted_at", "final_at", "saved_at")


def _finite(connection: sqlite3.Connection, found: object, columns: Sequence[str]) -> float | None:
    """Return a number made of these columns, whose damage is looked up only where it cannot be.

    Raises:
        JournalError: It cannot be, so one of them is damaged.
    """
    if found is None or (isinstance(found, int | float) and math.isfinite(found)):
        return found
    queries = (
        (column, f"SELECT position, key FROM records WHERE {_CANNOT_BE.format(column)}")  # noqa: S608 - constants
        for column in columns
    )
    rows = ((column, connection.execute(query).fetchone()) for column, query in queries)
    column, row = next((found for found in rows if found[1] is not None), (columns[0], None))
    raise damaged(connection, column, row)


def summary(connection: sqlite3.Connection, owner: JournalOwner | None) -> JournalSummary:
    """Count what there is.

    Raises:
        JournalError: A row is damaged.
    """
    counts = dict.fromkeys(STATES, 0)
    completed = 0
    for state, count, with_result, first in connection.execute(
        "SELECT state, count(*), sum(status IS 'completed'), min(position) FROM records GROUP BY state"
    ).fetchall():
        if state not in counts:
            key = connection.execute("SELECT key FROM records WHERE position = ?", (first,)).fetchone()
            raise damaged(connection, "state", (first, *key))
        counts[state] = count
        if state in FINISHED:
            completed += with_result
    # Nothing but an end has tokens.
    (tokens,) = connection.execute("SELECT total(tokens) + total(charged_before) FROM records").fetchone()
    (first,) = connection.execute("SELECT min(planned_at) FROM records").fetchone()
    service = connection.execute("SELECT value FROM journal WHERE name = 'service'").fetchone()
    if service is None or not isinstance(service[0], str):
        raise damaged(connection, "service")
    return JournalSummary(
        planned=counts[PLANNED],
        sending=counts[SENDING],
        accepted=counts[ACCEPTED],
        final=counts[FINAL],
        saved=counts[SAVED],
        completed=completed,
        tokens=int(_finite(connection, tokens, ("tokens", "charged_before")) or 0),
        first_at=_finite(connection, first, _TIMES),
        last_at=last_time(connection),
        owner=owner,
        service=service[0],
    )


def known(connection: sqlite3.Connection, key: str) -> tuple[JournalRecord, str, int] | None:
    """Return the record of a key with its fingerprint and the number of the opening that planned it last."""
    row = connection.execute(SELECT + "r.key = ?", (key,)).fetchone()
    if row is None:
        return None
    fingerprint, owner = connection.execute(
        "SELECT fingerprint, owner FROM records WHERE position = ?", (row[0],)
    ).fetchone()
    return to_record(connection, row), fingerprint, owner
