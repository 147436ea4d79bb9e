"""Reading and filling a shared journal without being one of its workers: for reports, `batch status` and `batch plan`.

Everything here blocks, on a connection of its own that is open while it reads.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final, Protocol, TypeVar

from psycopg.types.json import Jsonb

from ..._errors import JournalError
from .. import transitions
from ..operations import each_once
from ..protocol import (
    HINTS_KEPT,
    MARK_SPAN,
    RATE_WINDOW,
    STATES,
    JournalHint,
    JournalMark,
    JournalMarks,
    JournalOwner,
    JournalRecord,
    JournalSummary,
    JournalWorker,
    PlannedRequest,
)
from . import errors, membership, rows, schema, statements
from .address import read_address
from .connection import Connection, Reconnecting, StandsStill

T = TypeVar("T")

_AT_ONCE: Final = 2_000
"""Requests planned in one transaction."""
_BEYOND: Final = 2**63 - 1
"""More than any id."""


def read_summary(journal: str) -> JournalSummary:
    """Count what a run holds; `owner` is one of its workers, where it has any at this moment.

    Raises:
        JournalError: There is no such run, or it cannot be read.
    """
    with _reading(journal) as (ask, run, service):
        return ask(lambda connection: rows.summary(connection, run, service))


def read_records(journal: str, *, states: Sequence[str] = STATES, after: int = 0) -> Iterator[JournalRecord]:
    """Iterate over a run's records in the order of planning; memory does not grow with the journal.

    Raises:
        JournalError: There is no such run, or it cannot be read.
    """
    shown = read_address(journal).shown
    with _reading(journal) as (ask, run, _):
        while page := ask(partial(rows.page, run=run, states=states, after=after, shown=shown)):
            yield from page
            after = page[-1].position


def read_workers(journal: str, now: float) -> Sequence[JournalWorker]:
    """Return who works on a run, with what each came to by `now`; reads the whole run.

    Raises:
        JournalError: There is no such run, or it cannot be read.
    """
    with _reading(journal) as (ask, run, _):
        return ask(partial(_read_workers, run=run, now=now))


def _read_workers(connection: Connection, run: int, now: float) -> Sequence[JournalWorker]:
    found = {worker.number: worker for worker in rows.workers(connection, run)}
    for number, in_flight, ended, tokens in connection.execute(
        statements.SHARES, {"run": run, "owners": [*found], "since": now - RATE_WINDOW}
    ).fetchall():
        found[number] = found[number].with_share(in_flight=in_flight, ended=ended, tokens=tokens, now=now)
    return [*found.values()]


def mark_reader(journal: str) -> Callable[[Sequence[int]], JournalMarks]:
    """Return what reads a run's marks again and again."""
    return MarkPages(journal).read


class MarkPages:
    """The marks of a run, span by span.

    The ids of a run have gaps, since all runs are in one table, so a span is what lies between two ids.

    Args:
        journal: The run's address.
    """

    def __init__(self, journal: str) -> None:
        self._journal = journal
        self._firsts: list[int] = []
        self._total = 0

    def read(self, numbers: Sequence[int]) -> JournalMarks:
        """Read some spans; see `MarkReader`."""
        with _reading(self._journal) as (ask, run, _):
            return ask(lambda connection: self._read(numbers, connection, run))

    def _read(self, numbers: Sequence[int], connection: Connection, run: int) -> JournalMarks:
        self._look_for_more(connection, run)
        bounds = [*self._firsts, _BEYOND]
        chosen = [number for number in numbers if number < len(self._firsts)]
        values = {
            "run": run,
            "numbers": chosen,
            "firsts": [bounds[number] for number in chosen],
            "lasts": [bounds[number + 1] for number in chosen],
        }
        spans: dict[int, list[JournalMark]] = {number: [] for number in chosen}
        for number, *row in connection.execute(statements.MARKS, values).fetchall():
            spans[number].append(rows.to_mark(row))
        workers = rows.workers(connection, run)
        owner = JournalOwner(workers[-1].pid, workers[-1].host, workers[-1].since) if workers else None
        return JournalMarks(spans, len(self._firsts), self._total, owner, workers)

    def _look_for_more(self, connection: Connection, run: int) -> None:
        """Find the spans behind those that are known."""
        before = max(0, len(self._firsts) - 1)
        values = {"run": run, "from": self._firsts[-1] if self._firsts else 0, "size": MARK_SPAN}
        more = connection.execute(statements.SPANS, values).fetchall()
        self._firsts[before:] = [first for first, _ in more]
        self._total = before * MARK_SPAN + (more[0][1] if more else 0)


def facts(journal: str) -> dict[str, Any]:
    """Return what `remember` wrote into a run, also in tables of an older version; no run gives nothing."""
    with contextlib.suppress(JournalError), _reading(journal, is_checked=False) as (ask, run, _):
        query = "SELECT facts FROM neuralbox.run WHERE id = %s"
        row = ask(lambda connection: connection.execute(query, (run,)).fetchone())
        return dict(row[0]) if row is not None and isinstance(row[0], Mapping) else {}
    return {}


def remember(journal: str, name: str, value: object) -> None:
    """Keep a fact of the caller's with a run, in place of an earlier one of that name.

    Raises:
        JournalError: It cannot be written.
    """
    with _reading(journal) as (ask, run, _):
        change = "UPDATE neuralbox.run SET facts = facts || %s WHERE id = %s"
        ask(lambda connection: connection.execute(change, (Jsonb({name: value}), run)))


def leave_hint(journal: str, id: str, event: str) -> bool:
    """Write down that a generation of a run may have ended, where the run has it as accepted and did not have the event.

    Raises:
        JournalError: There is no such run, or it cannot be written.
    """
    with _reading(journal) as (ask, run, _):
        return ask(partial(_leave_hint, run=run, id=id, event=event))


def _leave_hint(connection: Connection, run: int, id: str, event: str) -> bool:
    left = connection.execute(statements.LEAVE_HINT, {"run": run, "id": id, "event": event}).fetchone()
    if left is None:
        return False
    oldest = "DELETE FROM neuralbox.hint WHERE run = %s AND number <= %s"
    connection.execute(oldest, (run, left[0] - HINTS_KEPT))
    return True


def read_hints(journal: str, after: int) -> list[JournalHint]:
    """Return a run's hints behind a number, and a few before it.

    Raises:
        JournalError: There is no such run, or it cannot be read.
    """
    with _reading(journal) as (ask, run, _):
        return ask(lambda connection: rows.hints(connection, run, after))


def plan_requests(journal: str, entries: Iterable[PlannedRequest], *, service: str, now: float) -> tuple[int, int]:
    """Write requests down that nobody works on yet; each worker of the run then takes its part. Needs no key.

    Args:
        journal: The address of the run, which is made if it is not there.
        entries: The requests; read as they are written.
        service: Base URL of the service.
        now: Unix seconds.

    Returns:
        How many were new, and how many stood there already.

    Raises:
        JournalError: A key stands there with another request, or is given twice in a row; what came before is planned. Or
            the run belongs to another service, or cannot be written.
        ConfigurationError: A request cannot be written down.
    """
    address, new, known, service = read_address(journal), 0, 0, service.rstrip("/")
    with _connected(journal, may_make=True) as ask:
        run, its_service = ask(partial(_run_to_plan, name=address.run, service=service, now=now))
        if its_service != service:
            raise JournalError(
                f"The journal {address.shown} belongs to the service at {its_service}, not to {service}. Give this run another "
                "name behind the `#`.",
                reason="service",
                path=address.shown,
            )
        given = iter(entries)
        while page := [*each_once([*islice(given, _AT_ONCE)], address.shown)]:
            fresh = ask(lambda connection: _plan_page(connection, run, page, address.shown, now))
            new, known = new + fresh, known + len(page) - fresh
        # A planner that knows nothing of a young table reads all of it.
        ask(lambda connection: connection.execute("ANALYZE (SKIP_LOCKED) neuralbox.record"))
    return new, known


def _run_to_plan(connection: Connection, name: str, service: str, now: float) -> tuple[int, str]:
    connection.execute(
        "INSERT INTO neuralbox.run (name, service, made_at) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (name, service, now),
    )
    row = connection.execute("SELECT id, service FROM neuralbox.run WHERE name = %s", (name,)).fetchone()
    assert row is not None
    return row[0], row[1]


def _plan_page(connection: Connection, run: int, page: Sequence[PlannedRequest], shown: str, now: float) -> int:
    keys, digests = [entry.key for entry in page], [entry.digest for entry in page]
    bodies = [entry.text for entry in page]
    values = {"run": run, "at": now, "keys": keys, "digests": digests, "bodies": bodies}
    fresh = len(connection.execute(statements.PLAN_FREE, values).fetchall())
    if fresh < len(page):
        _require_same(connection, run, page, shown)
    return fresh


def require_same(journal: str, entries: Iterable[PlannedRequest]) -> None:
    """Require that a run knows none of these keys as another request.

    Raises:
        JournalError: It does, or it cannot be read.
    """
    given, shown = iter(entries), read_address(journal).shown
    with _reading(journal) as (ask, run, _):
        while page := [*islice(given, _AT_ONCE)]:
            ask(partial(_require_same, run=run, page=page, shown=shown))


def _require_same(connection: Connection, run: int, page: Sequence[PlannedRequest], shown: str) -> None:
    other = connection.execute(
        """SELECT r.key, q.body FROM unnest(%s::text[], %s::text[]) AS g (key, digest)
            JOIN neuralbox.record r ON r.run = %s AND r.key = g.key JOIN neuralbox.request q ON q.id = r.id
            WHERE r.fingerprint <> g.digest LIMIT 1""",
        ([entry.key for entry in page], [entry.digest for entry in page], run),
    ).fetchone()
    if other is not None:
        given = next(entry for entry in page if entry.key == other[0])
        raise transitions.changed(other[0], json.loads(other[1]), json.loads(given.text), path=shown)


def accept_restored(journal: str) -> None:
    """Go on with a database that was restored from a backup, for better or worse.

    What was sent after that backup is not in it: what it holds as planned may have been paid for already, and is paid for
    again when it is sent.

    Raises:
        JournalError: There is no journal, or it cannot be written.
    """
    with _connected(journal, is_checked=False) as ask:
        ask(lambda connection: schema.accept_identity(connection.cursor()))


class _Ask(Protocol):
    def __call__(self, act: Callable[[Connection], T], /) -> T: ...


@contextlib.contextmanager
def _connected(journal: str, *, may_make: bool = False, is_checked: bool = True) -> Iterator[_Ask]:
    """Yield what does something in a transaction of its own, which waits for a lock, and for an answer, no longer than a lease."""
    address = read_address(journal)

    def check(connection: Connection) -> None:
        if is_checked:
            schema.prepare(connection.cursor(), address.shown, may_make=may_make)

    database = Reconnecting(address, patience=membership.LEASE, check=check)
    database.gives_up = StandsStill(address, membership.LEASE)
    try:
        yield partial(database.run, patience=0.0)
    except errors.FOREIGN as error:
        raise errors.explain(error, address) from None
    finally:
        database.close()


@contextlib.contextmanager
def _reading(journal: str, *, is_checked: bool = True) -> Iterator[tuple[_Ask, int, str]]:
    """Yield what asks, with the number and the service of the run."""
    address = read_address(journal)
    query = "SELECT id, service FROM neuralbox.run WHERE name = %s"
    with _connected(journal, is_checked=is_checked) as ask:
        row = ask(lambda connection: connection.execute(query, (address.run,)).fetchone())
        if row is None:
            raise JournalError(
                f"There is no run {address.run!r} in the journal {address.shown}. A batch makes it when it starts.",
                reason="missing",
                path=address.shown,
            )
        yield ask, row[0], row[1]
