"""The journal's file in the hands of its owner: opening it, and carrying groups of work through it.

Everything here blocks, and is called in one worker thread at a time. A group is one transaction: it is written whole or
not at all. What must be durable before what is settled by who waits for his group (`protocol`), not here.

Each transaction begins by asking whether the file is still the one that was opened and this process still its owner,
so that a deleted file or a deleted lock is an error instead of changes that nobody will ever read.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from ..._errors import JournalError
from ..._types import GenerationId, JobRef
from .. import transitions
from ..group_commit import CommitItem
from ..operations import Close, PlanRequests, Query, StateChange, each_once, layers_of
from ..protocol import FINAL, JournalHint, JournalRecord, JournalSummary, PlannedRequest, Sync, fingerprint_of
from . import errors, files, rows, schema
from . import lock as ownership
from .statements import OUTCOME, STATEMENTS

_PATIENCE: Final = 5.0  # seconds that another program may hold the file for writing, a shell or a backup

# What is wrong with one change's values rather than with the file: a number or a text that SQLite cannot hold.
_ITS_OWN_FAULT = (sqlite3.DataError, OverflowError, UnicodeEncodeError)

_RECORD = "INSERT INTO records (position, key, fingerprint, owner, state, planned_at) VALUES (?, ?, ?, ?, 'planned', ?)"


class SqliteStore:
    """Keep a journal in a file that is open and locked.

    Attributes:
        path: The file.
        last_at: The latest time on record when it was opened, Unix seconds, or None.
    """

    def __init__(self, path: str, connection: sqlite3.Connection, lock: sqlite3.Connection, number: int) -> None:
        self.path = path
        self._connection = connection
        self._lock = lock
        self._number = number
        self._pid = os.getpid()
        self._file = _identity(path)
        (position,) = connection.execute("SELECT max(position) FROM records").fetchone()
        self._position: int = position or 0
        self.last_at = rows.last_time(connection)

    # Groups of work...

    def work(self, group: Sequence[CommitItem]) -> None:
        """Carry a group through; see `group_commit.Worker`."""
        plans = [item for item in group if isinstance(item, PlanRequests)]
        changes = [item for item in group if isinstance(item, StateChange)]
        end = next((item for item in group if isinstance(item, Close)), None)
        try:
            if plans or changes:
                self._write(plans, changes)
            for item in group:
                if isinstance(item, Query):
                    try:
                        item.answer = item.ask()
                    except (*errors.FOREIGN, JournalError) as error:
                        item.error = error
        finally:
            if end is not None:
                self._close(end.at)

    def _write(self, plans: Sequence[PlanRequests], changes: Sequence[StateChange]) -> None:
        self._require_mine()
        try:
            self._write_once(plans, changes)
        except sqlite3.Error as error:
            if not errors.is_full(error) or not self._make_room():
                raise
            self._write_once(plans, changes)

    def _write_once(self, plans: Sequence[PlanRequests], changes: Sequence[StateChange]) -> None:
        position = self._position
        try:
            # First the way that is quick if nobody is refused; else once more from the start, one by one.
            if not self._transaction(self._plan_fresh, self._change_together, plans, changes):
                self._position = position
                self._transaction(self._plan_known, self._change_singly, plans, changes)
        except BaseException:
            self._position = position
            raise

    def _make_room(self) -> bool:
        """Fold the -wal file, which holds pages many times over, into the journal; it is then written from its start."""
        try:
            _, pages, folded = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error:
            return False
        return bool(pages == folded)

    def _transaction(
        self,
        plan: Callable[[Sequence[PlanRequests]], bool],
        change: Callable[[Sequence[StateChange]], bool],
        plans: Sequence[PlanRequests],
        changes: Sequence[StateChange],
    ) -> bool:
        """Do all of it in one transaction, or nothing; False where a plan or a change asked for that."""
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            (number,) = connection.execute("SELECT max(number) FROM owners").fetchone()
            if number != self._number:
                raise ownership.locked(self.path, ownership.last_owner(connection))  # noqa: TRY301 - undone below
            done = plan(plans) and change(changes)
            connection.execute("COMMIT" if done else "ROLLBACK")
        except BaseException:
            if connection.in_transaction:  # a full disk ends some by itself
                connection.execute("ROLLBACK")
            raise
        return done

    # ... the quick way: few statements for all...

    def _plan_fresh(self, plans: Sequence[PlanRequests]) -> bool:
        """Write plans whose keys are all new."""
        try:
            for plan in plans:
                plan.found = self._insert(plan.entries, plan.at)
        except sqlite3.IntegrityError:
            return False
        return True

    def _change_together(self, changes: Sequence[StateChange]) -> bool:
        """Make changes that all follow."""
        try:
            for layer in layers_of(changes):
                for state, same in layer.items():
                    done = self._connection.executemany(STATEMENTS[state], [change.values for change in same]).rowcount
                    if done != len(same):
                        return False
                    if state == FINAL:
                        self._connection.executemany(OUTCOME, [change.values for change in same])
        except _ITS_OWN_FAULT:
            return False
        return True

    # ... and the careful way, which finds out who is refused and why.

    def _plan_known(self, plans: Sequence[PlanRequests]) -> bool:
        for plan in plans:
            try:
                before = [self._compare(entry) for entry in each_once(plan.entries, self.path)]
            except JournalError as error:
                plan.error = error
                continue
            fresh = [entry for entry, record in zip(plan.entries, before, strict=True) if record is None]
            inserted = iter(self._insert(fresh, plan.at))
            plan.found = [next(inserted) if record is None else record for record in before]
            self._connection.executemany(
                "UPDATE records SET owner = ? WHERE position = ?",
                [(self._number, record.position) for record in before if record is not None],
            )
        return True

    def _compare(self, entry: PlannedRequest) -> JournalRecord | None:
        """Return what is known of an entry's key, or None.

        Raises:
            JournalError: It is known as another request, or was planned in this very opening.
        """
        found = rows.known(self._connection, entry.key)
        if found is None:
            return None
        record, fingerprint, owner = found
        if owner == self._number and not entry.is_again:
            raise transitions.duplicate(entry.key, path=self.path)
        if fingerprint != entry.digest:
            raise transitions.changed(entry.key, record.request, json.loads(entry.text), path=self.path)
        return record

    def _change_singly(self, changes: Sequence[StateChange]) -> bool:
        for change in changes:
            try:
                done = self._connection.execute(STATEMENTS[change.state], change.values).rowcount
                if done and change.state == FINAL:
                    self._connection.execute(OUTCOME, change.values)
            except _ITS_OWN_FAULT as error:
                change.error = error
                continue
            if not done:
                row = self._connection.execute("SELECT state, id FROM records WHERE key = ?", (change.key,)).fetchone()
                state, known = row or (None, None)
                change.error = transitions.refusal(
                    change.key, change.state, state, known, path=self.path, job=change.job
                )
        return True

    def _insert(self, entries: Sequence[PlannedRequest], at: float) -> list[JournalRecord]:
        start = self._position + 1
        numbered = list(enumerate(entries, start))
        self._connection.executemany(
            _RECORD, [(position, entry.key, entry.digest, self._number, at) for position, entry in numbered]
        )
        self._connection.executemany(
            "INSERT INTO requests (position, request) VALUES (?, ?)",
            [(position, entry.text) for position, entry in numbered],
        )
        self._position += len(entries)
        return [JournalRecord(position, entry.key, entry.request) for position, entry in numbered]

    # Queries...

    def page(self, states: Sequence[str], after: int) -> list[JournalRecord]:
        return rows.page(self._connection, states, after)

    def ids(self, since: float) -> list[GenerationId]:
        return rows.ids(self._connection, since)

    def summary(self) -> JournalSummary:
        return rows.summary(self._connection, ownership.last_owner(self._connection))

    def hints(self, after: int) -> list[JournalHint]:
        return rows.hints(self._connection, after)

    # ... and the end.

    def explain(
        self, error: Exception, *, key: str | None, job: JobRef | None, unwritten: Mapping[str, JobRef]
    ) -> Exception:
        """Say an error of SQLite, or of a value that it cannot hold, as `JournalError`."""
        if isinstance(error, (*errors.FOREIGN, *_ITS_OWN_FAULT)):
            return errors.explain(error, self.path, key=key, job=job, unwritten=unwritten)
        return error  # a bug, shown as it is

    def _close(self, at: float) -> None:
        try:
            with contextlib.suppress(sqlite3.Error):  # a nicety: the lock tells whether it is open
                self._connection.execute("UPDATE owners SET until = ? WHERE number = ?", (at, self._number))
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the file and free the lock, whatever state they are in."""
        try:
            self._connection.close()
        finally:
            self._lock.close()

    def _require_mine(self) -> None:
        if os.getpid() != self._pid:
            raise JournalError(
                f"The journal {self.path} was opened by process {self._pid}, and this is a fork of it. A fork opens a "
                "journal of its own.",
                reason="locked",
                path=self.path,
            )
        if _identity(self.path) != self._file:
            raise JournalError(
                f"The journal {self.path} was deleted or replaced while it was in use. Put it back if it was moved; "
                "what was paid for since is in the service's history.",
                reason="missing",
                path=self.path,
            )


def open_store(path: str, *, account: str, service: str, sync: Sync, now: float) -> SqliteStore | None:
    """Open the journal at `path`, made if it is not there; None where another process has it.

    Raises:
        JournalError: It cannot be used, and why.
    """
    _require_place(path)
    files.require_plain(path)
    lock = ownership.lock(path)
    if lock is None:
        return None
    try:
        with contextlib.ExitStack() as undo:
            undo.callback(lock.close)
            files.make_private(path)
            connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
            undo.callback(connection.close)
            number = _prepare(connection, path, account=account, service=service, sync=sync, now=now)
            store = SqliteStore(path, connection, lock, number)
            undo.pop_all()
            return store
    except errors.FOREIGN as error:
        raise errors.explain(error, path) from error


def _require_place(path: str) -> None:
    place = Path(path)
    if place.is_dir():
        happened, advice = "It is a folder", f"Give the name of a file in it, say {place / 'jobs.sqlite'}."
    elif not place.parent.is_dir():
        happened, advice = f"There is no folder {place.parent}", "Make the folder, or give another place."
    else:
        return
    raise JournalError(f"The journal {path} cannot be opened. {happened}. {advice}", reason="unwritable", path=path)


def _prepare(connection: sqlite3.Connection, path: str, *, account: str, service: str, sync: Sync, now: float) -> int:
    """Bring the file to the present schema, see whose it is, and enter this process as its owner."""
    schema.require_ours(connection, path)  # before anything is changed in what may be somebody else's file
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise JournalError(
            f"The file system of {path} cannot share memory between processes, which a journal's readers need. Put it "
            "on a local disk.",
            reason="unwritable",
            path=path,
        )
    connection.execute(f"PRAGMA synchronous = {'FULL' if sync == 'full' else 'NORMAL'}")
    if sync == "full":
        connection.execute("PRAGMA fullfsync = ON")  # macOS: through the disk's own cache; elsewhere without effect
    connection.execute("BEGIN IMMEDIATE")
    version = schema.require_ours(connection, path)
    schema.migrate(connection, version)
    facts = {"account": fingerprint_of(account), "service": service.rstrip("/")}
    if version == 0:
        connection.executemany("INSERT INTO journal VALUES (?, ?)", [*facts.items(), ("created_at", now)])
    for name, fact in facts.items():
        (before,) = connection.execute("SELECT value FROM journal WHERE name = ?", (name,)).fetchone() or (None,)
        if before is None:
            raise rows.damaged(connection, name)
        if before != fact:
            shown = (
                f"another {name}" if name == "account" else f"the service at {before}, and this client talks to {fact}"
            )
            raise JournalError(
                f"The journal {path} belongs to {shown}. Its generations are nowhere else: use the client it was "
                "started with, or a new journal.",
                reason=name,
                path=path,
            )
    number = ownership.enter(connection, now)
    connection.execute("COMMIT")
    return number


def _identity(path: str) -> tuple[int, int] | None:
    """What tells a file from another one put in its place, or None where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - once per transaction, and Path costs more than the call
    except OSError:
        return None
    return found.st_dev, found.st_ino
