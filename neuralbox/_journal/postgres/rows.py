"""Rows of a shared journal, read back as records and numbers. Blocking; for a worker's connection and for readers'."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any, Final

from ..._errors import JournalError
from ..._types import GenerationId, JobRef
from ..protocol import (
    FINISHED,
    SENDING,
    JournalHint,
    JournalMark,
    JournalOwner,
    JournalRecord,
    JournalSummary,
    JournalWorker,
    to_json,
)
from . import statements
from .connection import Connection
from .statements import ALIVE, NUMBERS, STATES, SUMMARY

PAGE_RECORDS: Final = 200
PAGE_BYTES: Final = 4_000_000  # requests may hold whole files

# ruff: noqa: S608 - built of constants

_COLUMNS: Final = f"""
    SELECT r.id, r.key, q.body, r.state, r.gen_id, r.gen_is_int, r.kind, r.model, r.claim, o.body, r.status, r.tokens, r.path,
        r.size_bytes, r.sent_at, r.accepted_at, r.final_at, r.owner, r.fingerprint, {ALIVE}
    FROM neuralbox.record r JOIN neuralbox.request q ON q.id = r.id LEFT JOIN neuralbox.outcome o ON o.id = r.id
    WHERE """
_PAGE: Final = f"""
    WITH near AS (SELECT r.id FROM neuralbox.record r
            WHERE r.run = %(run)s AND r.id > %(after)s AND r.state = ANY(%(states)s) ORDER BY r.id LIMIT %(most)s),
        sized AS (SELECT near.id, octet_length(q.body) AS size, sum(octet_length(q.body)) OVER (ORDER BY near.id) AS whole
            FROM near JOIN neuralbox.request q USING (id))
    {_COLUMNS} r.id IN (SELECT id FROM sized WHERE whole - size <= %(bytes)s) ORDER BY r.id"""


_BEHIND: Final = 64
"""Numbers are drawn before they are committed: so far behind the last one that was read, one may have come later."""


def hints(connection: Connection, run: int, after: int) -> list[JournalHint]:
    """Return the hints behind a number, and a few before it."""
    found = connection.execute(
        "SELECT number, gen_id, event FROM neuralbox.hint WHERE run = %s AND number > %s ORDER BY number",
        (run, after - _BEHIND),
    )
    return [JournalHint(*row) for row in found.fetchall()]


def to_record(row: Sequence[Any], shown: str, *, owner: int | None, taken_at: float | None = None) -> JournalRecord:
    """Build the record of a row.

    Args:
        row: The row.
        shown: The journal, for errors.
        owner: Who reads; None where that is no worker.
        taken_at: When the reader took it over, Unix seconds of its own clock, if it just did: by then nothing could leave
            any more.

    Raises:
        JournalError: The row is damaged.
    """
    (position, key, request, number, gen_id, is_int, kind, model, claim, outcome, status, tokens, path) = row[:13]
    (size_bytes, sent_at, accepted_at, final_at, whose) = row[13:18]
    state = STATES[number]
    told = None
    if state == SENDING:
        told = _object(claim, "claim", row, shown)
        if taken_at is not None:
            told["lost_at"] = taken_at
    return JournalRecord(
        position,
        key,
        _object(request, "request", row, shown),
        state,
        to_id(gen_id, is_int),
        kind,
        model,
        told,
        _object(outcome, "outcome", row, shown) if outcome is not None and state in FINISHED else None,
        status,
        tokens,
        None if path is None else os.fsdecode(bytes(path)),
        size_bytes,
        sent_at,
        accepted_at,
        final_at,
        is_foreign=owner is not None and whose != owner and state not in FINISHED,
    )


def to_id(text: str | None, is_int: bool | None) -> GenerationId | None:
    """Return an id as it was received, or None where there is none."""
    return None if text is None else known_id(text, is_int)


def known_id(text: str, is_int: bool | None) -> GenerationId:
    """Return an id as it was received."""
    return int(text) if is_int else text


def adoption(job: JobRef, sent: float | None, at: float) -> dict[str, Any]:
    """Return the values of a statement that gives a generation to a lost request."""
    return {
        "id": plain(str(job.id)),
        "is_int": isinstance(job.id, int),
        "kind": plain(job.kind),
        "model": plain(job.model),
        "sent": float("-inf") if sent is None else sent,
        "at": at,
    }


def plain(value: Any) -> Any:
    """Return a value as the database can hold it: no text of it holds a NUL."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value


def _object(text: str | None, column: str, row: Sequence[Any], shown: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "")
    except (ValueError, RecursionError) as error:
        raise _damaged(column, row, shown) from error
    if not isinstance(found, dict):
        raise _damaged(column, row, shown)
    return found


def _damaged(column: str, row: Sequence[Any], shown: str) -> JournalError:
    return JournalError(
        f"The journal {shown} is damaged: what it says in `{column}` of request {row[0]} ({row[1]!r}) cannot be. What was "
        "paid for is in the service's history.",
        reason="corrupt",
        path=shown,
        key=row[1],
    )


def page(
    connection: Connection, run: int, states: Sequence[str], after: int, shown: str, *, owner: int | None = None
) -> list[JournalRecord]:
    """Read the next records in any of `states`; an empty list ends the reading. Bounded in number and in size."""
    values = {
        "run": run,
        "after": after,
        "states": [NUMBERS[state] for state in states],
        "most": PAGE_RECORDS,
        "bytes": PAGE_BYTES,
    }
    return [to_record(row, shown, owner=owner) for row in connection.execute(_PAGE, values).fetchall()]


def by_id(connection: Connection, ids: Collection[int]) -> list[tuple[Any, ...]]:
    """Return the rows of records, in the order of planning."""
    return connection.execute(f"{_COLUMNS} r.id = ANY(%s) ORDER BY r.id", ([*ids],)).fetchall()


def by_key(connection: Connection, run: int, keys: Collection[str]) -> list[tuple[Any, ...]]:
    """Return the rows of keys."""
    return connection.execute(f"{_COLUMNS} r.run = %s AND r.key = ANY(%s)", (run, [*keys])).fetchall()


def to_mark(row: Sequence[Any]) -> JournalMark:
    """Build a mark of a row."""
    position, key, state, gen_id, is_int, kind, model, status, tokens, path, *rest = row
    noted = None if path is None else os.fsdecode(bytes(path))
    return JournalMark(position, key, STATES[state], to_id(gen_id, is_int), kind, model, status, tokens, noted, *rest)


def workers(connection: Connection, run: int) -> list[JournalWorker]:
    """Return who works on a run, the longest first; their counts are 0."""
    found = list[JournalWorker]()
    for number, pid, host, since, about in connection.execute(statements.WORKERS, {"run": run}).fetchall():
        until, by = told_of(about)
        found.append(JournalWorker(number, pid, host, since, until, by))
    return found


def about_of(throttled: tuple[float, str] | None) -> str | None:
    """Return what a worker writes down of itself: until when it is held up, and by what."""
    return None if throttled is None else to_json([*throttled])


def told_of(about: str | None) -> tuple[float | None, str]:
    """Read that again; what another version wrote is nothing."""
    with suppress(ValueError, TypeError):
        until, by = json.loads(about or "")
        return float(until), str(by)
    return None, ""


def summary(connection: Connection, run: int, service: str) -> JournalSummary:
    """Count what there is in a run."""
    counts: dict[str, int] = {}
    completed = tokens = 0
    first: list[float] = []
    last: list[float] = []
    for number, count, with_result, paid, paid_before, planned_at, changed_at in connection.execute(
        SUMMARY, {"run": run}
    ).fetchall():
        state = STATES[number]
        counts[state] = count
        tokens += paid_before
        if state in FINISHED:
            completed += with_result
            tokens += paid
        first.append(planned_at)
        last.append(changed_at)
    row = connection.execute(
        """SELECT pid, host, since FROM neuralbox.owner WHERE run = %s AND about IS DISTINCT FROM 'keeper' AND lease_until > clock_timestamp()
            ORDER BY number DESC LIMIT 1""",
        (run,),
    ).fetchone()
    return JournalSummary(
        **counts,
        completed=completed,
        tokens=tokens,
        first_at=min(first, default=None),
        last_at=max(last, default=None),
        owner=None if row is None else JournalOwner(*row),
        service=service,
    )
