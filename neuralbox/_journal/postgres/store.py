"""A run of a shared journal in the hands of one worker: opening it, and carrying groups of work through it.

Everything here blocks, and is called in one worker thread at a time. The changes of a group are one transaction, sent in
one go: it is written whole or not at all, and never waits for a client in between. Whatever is done may be done twice,
since the answer to a commit may be lost with the connection: a lost one is made again for as long as the lease holds.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, LiteralString

import psycopg
from psycopg import errors as codes

from ..._errors import JournalError
from ..._types import JobRef
from .. import transitions
from ..group_commit import CommitItem
from ..operations import Close, PlanRequests, Query, StateChange, each_once, layers_of
from ..protocol import (
    ACCEPTED,
    FINAL,
    FINISHED,
    PLANNED,
    SENDING,
    JournalHint,
    JournalRecord,
    JournalSummary,
    Sync,
    fingerprint_of,
)
from ..shared import AccountView, ClaimInFlight, Grant, GrantRefusal, KnownGeneration, lease_over, taken
from . import errors, membership, rows, schema, statements
from .address import PostgresAddress
from .allotments import Allotments
from .connection import Connection, Reconnecting, StandsStill
from .keeping import Keeping
from .membership import Owner, boot_clock, keep_alive
from .statements import CHANGES, NUMBERS, STATES

PAGE: Final = 256
"""Requests taken at once, at most."""
_REMEMBERED: Final = 65_536
"""Ended requests of this opening that are remembered, to tell a key that is given twice."""
_GOODBYE: Final = 5.0
_FORGOTTEN_AFTER: Final = "1 day"
"""After this time the row of an owner that never said goodbye is removed."""
# A file has each prompt in one place; here `claim` is whole.
_KEPT_IN_FILES: Final = ("prompt", "rest")
# What is wrong with a change's values rather than with the database.
_ITS_OWN_FAULT: Final = (psycopg.DataError, codes.UniqueViolation, codes.ProgramLimitExceeded)


class PostgresStore:
    """Keep one run of a journal, for one opening.

    Attributes:
        path: The address, without a password.
        keeping: The keeper's part.
        allotments: What it takes of what all share.
        last_at: None: other workers write by other clocks.
    """

    def __init__(
        self,
        database: Reconnecting,
        owner: Owner,
        leave: Callable[[], None],
        *,
        run: int,
        account: int,
        service: str,
        sync: Sync,
    ) -> None:
        self.path = database.address.shown
        self.last_at: float | None = None
        self._database = database
        self._owner = owner
        self._leave = leave
        self._run = run
        self._service = service
        self._is_full = sync == "full"
        named = {"owner": owner.number, "account": account, "grace": owner.grace}
        self._named: dict[str, Any] = {"run": run, "kept": -1, "brief": False, **named}
        self.keeping = Keeping(database, self.path, named)
        self.allotments = Allotments(database, self._named)
        self._pid = os.getpid()
        self._ended: dict[int, None] = {}
        self._planned = 0
        self._looked_over_at = PAGE

    # Groups of work...

    def work(self, group: Sequence[CommitItem]) -> None:
        """Carry a group through; see `group_commit.Worker`."""
        changes = [item for item in group if isinstance(item, StateChange)]
        try:
            self._require_mine()
            for item in group:
                if isinstance(item, PlanRequests):
                    self._plan(item)
            if changes:
                self._write(changes)
            for item in group:
                if isinstance(item, Query):
                    try:
                        item.answer = item.ask()
                    except (*errors.FOREIGN, JournalError) as error:
                        item.error = error
        finally:
            if any(isinstance(item, Close) for item in group):
                self.abandon()

    def _require_mine(self) -> None:
        if os.getpid() != self._pid:
            raise JournalError(
                f"The journal {self.path} was opened by process {self._pid}, and this is a fork of it. A fork opens a "
                "journal of its own.",
                reason="locked",
                path=self.path,
            )

    # ... what is planned...

    def _plan(self, plan: PlanRequests) -> None:
        try:
            entries = [*each_once(plan.entries, self.path)]
            plan.found = self._database.once(partial(self._plan_once, plan, entries))
            self._remember(plan.found)
            self._planned += len(entries)
            if self._planned >= self._looked_over_at:
                # A planner that knows nothing of a young table reads all of a run for a few keys.
                self._looked_over_at = 4 * self._planned
                self._database.run(lambda connection: connection.execute("ANALYZE (SKIP_LOCKED) neuralbox.record"))
        except (JournalError, *_ITS_OWN_FAULT) as error:
            plan.error = error

    def _plan_once(self, plan: PlanRequests, entries: Sequence[Any], connection: Connection) -> list[JournalRecord]:
        values: dict[str, Any] = {
            **self._named,
            "at": plan.at,
            "keys": [entry.key for entry in entries],
            "digests": [entry.digest for entry in entries],
            "bodies": [entry.text for entry in entries],
        }
        fresh = {key: number for number, key in connection.execute(statements.PLAN, values).fetchall()}
        found = {
            entry.key: JournalRecord(fresh[entry.key], entry.key, entry.request)
            for entry in entries
            if entry.key in fresh
        }
        known = {entry.key: entry for entry in entries if entry.key not in fresh}
        if known:
            self._require_new(connection, known)
            for record in self._take_keys(connection, known, plan.at):
                found[record.key] = record
        return [found[entry.key] for entry in entries]

    def _require_new(self, connection: Connection, known: Mapping[str, Any]) -> None:
        """Require that known keys stand for the same requests, and were not given in this very opening."""
        for key, fingerprint, owner, state, body in connection.execute(
            """SELECT r.key, r.fingerprint, r.owner, r.state, CASE WHEN r.fingerprint <> g.digest THEN q.body END
                FROM unnest(%s::text[], %s::text[]) AS g (key, digest)
                JOIN neuralbox.record r ON r.run = %s AND r.key = g.key JOIN neuralbox.request q ON q.id = r.id""",
            ([*known], [entry.digest for entry in known.values()], self._run),
        ).fetchall():
            entry = known[key]
            if fingerprint != entry.digest:
                raise transitions.changed(key, json.loads(body), json.loads(entry.text), path=self.path)
            ended_here = STATES[state] in FINISHED and hash(key) in self._ended
            if not entry.is_again and (ended_here or (STATES[state] not in FINISHED and owner == self._owner.number)):
                raise transitions.duplicate(key, path=self.path)

    def _remember(self, records: Collection[JournalRecord]) -> None:
        for record in records:
            if record.is_finished:
                self._ended[hash(record.key)] = None
                if len(self._ended) > _REMEMBERED:
                    del self._ended[next(iter(self._ended))]

    def _take_keys(self, connection: Connection, keys: Collection[str], at: float) -> list[JournalRecord]:
        """Take what nobody works on, and return all of the keys as they stand then."""
        ids = connection.execute(statements.TAKE_KEYS, {**self._named, "keys": [*keys]}).fetchall()
        mine = {number for (number,) in ids}
        found = rows.by_key(connection, self._run, keys)
        return [self._record(row, at if row[0] in mine else None) for row in found]

    def _record(self, row: Sequence[Any], taken_at: float | None = None) -> JournalRecord:
        return rows.to_record(row, self.path, owner=self._owner.number, taken_at=taken_at)

    # ... changes, together...

    def _write(self, changes: Sequence[StateChange]) -> None:
        try:
            self._database.again(partial(self._change_together, changes))
        except _ITS_OWN_FAULT:
            self._database.run(partial(self._change_singly, changes))

    def _change_together(self, changes: Sequence[StateChange], connection: Connection) -> None:
        asked: list[tuple[list[StateChange], psycopg.Cursor[tuple[Any, ...]]]] = []
        with connection.pipeline(), self._database.transaction(connection):
            self._begin(connection)
            for layer in layers_of(changes):
                for state, same in layer.items():
                    asked.append((same, connection.execute(_statement(same[0]), self._values(state, same))))
        for same, cursor in asked:
            done = {key for (key,) in cursor.fetchall()}
            for change in same:
                change.error = None if change.key in done else self._refused(connection, change)

    def _change_singly(self, changes: Sequence[StateChange], connection: Connection) -> None:
        """Make the changes one by one, to find out whose values are refused."""
        self._begin(connection)
        for change in changes:
            change.error = None
            try:
                with connection.transaction():
                    values = self._values(change.state, [change])
                    done = connection.execute(_statement(change), values).fetchone()
            except codes.UniqueViolation:
                change.error = self._belongs_to_another(change)
            except _ITS_OWN_FAULT as error:
                change.error = error
            else:
                if done is None:
                    change.error = self._refused(connection, change)

    def _begin(self, connection: Connection) -> None:
        if self._is_full:
            connection.execute("SET LOCAL synchronous_commit = on")

    def _values(self, state: str, changes: Sequence[StateChange]) -> dict[str, Any]:
        names = [name for name in changes[0].values if name not in _KEPT_IN_FILES]
        columns: dict[str, Any] = {name: [rows.plain(change.values[name]) for change in changes] for name in names}
        if state == ACCEPTED:
            columns["is_int"] = [isinstance(change.values["id"], int) for change in changes]
            columns["id"] = [str(each) for each in columns["id"]]
        elif state == PLANNED:
            columns["failure_is_free"] = self.allotments.failure_is_free
        elif "path" in columns:
            columns["path"] = [os.fsencode(each) for each in columns["path"]]
        return {**self._named, **columns}

    def _refused(self, connection: Connection, change: StateChange) -> JournalError:
        """Say why a change was not made."""
        with self._database.transaction(connection):
            row = connection.execute(statements.STANDING, {"run": self._run, "key": change.key}).fetchone()
        state, gen_id, is_int, owner = (None, None, None, None) if row is None else row[:4]
        if row is not None and owner != self._owner.number and change.state in (SENDING, PLANNED, FINAL):
            return taken(self.path, change.key)
        if change.state == SENDING and state in (0, 1):
            self._owner.lost = True
            return lease_over(self.path, change.key)
        name = None if state is None else STATES[state]
        known = rows.to_id(gen_id, is_int)
        return transitions.refusal(change.key, change.state, name, known, path=self.path, job=change.job)

    def _belongs_to_another(self, change: StateChange) -> JournalError:
        return JournalError(
            f"The {change.job} belongs to another request of this account already, so it cannot be {change.key!r}'s.",
            reason="state",
            path=self.path,
            key=change.key,
            job=change.job,
        )

    # Who works on what...

    @property
    def may_send(self) -> bool:
        return self._owner.may_send

    @property
    def is_lost(self) -> bool:
        return self._owner.lost

    def take(self, keys: Collection[str], at: float) -> list[JournalRecord]:
        taken_over = self._database.once(lambda connection: self._take_keys(connection, keys, at))
        found = [record for record in taken_over if not record.is_foreign]
        self._remember(found)
        return found

    def look(self, key: str, at: float) -> JournalRecord:
        (found,) = self._database.once(lambda connection: self._take_keys(connection, [key], at))
        return found

    def take_page(self, at: float) -> tuple[list[JournalRecord], bool]:
        def act(connection: Connection) -> tuple[list[JournalRecord], bool]:
            values = {**self._named, "most": PAGE}
            ids = connection.execute(statements.TAKE_FREE, values).fetchall()
            ids = ids or connection.execute(statements.TAKE_LEFT, values).fetchall()
            if ids:
                return [self._record(row, at) for row in rows.by_id(connection, [number for (number,) in ids])], True
            row = connection.execute(statements.OTHERS_WORK, self._named).fetchone()
            return [], row is not None and row[0]

        return self._database.once(act)

    def take_ended(self, after: int, *, completed: bool) -> list[JournalRecord]:
        def act(connection: Connection) -> list[JournalRecord]:
            values = {**self._named, "after": after, "completed": completed, "most": PAGE}
            ids = connection.execute(statements.TAKE_ENDED, values).fetchall()
            return [self._record(row) for row in rows.by_id(connection, [number for (number,) in ids])]

        return self._database.once(act)

    def give_up(self, keys: Collection[str]) -> None:
        values = {**self._named, "keys": [*keys]}
        self._database.run(lambda connection: connection.execute(statements.GIVE_UP, values))

    def be_kept(self, *, is_brief: bool) -> None:
        self._named.update(kept=0, brief=is_brief)

    # ... and what became of what was lost.

    def tell(self, throttled: tuple[float, str] | None) -> None:
        values = {**self._named, "about": rows.about_of(throttled)}
        self._database.run(lambda connection: connection.execute(statements.TELL, values))

    def lost(self, key: str, claim: str) -> None:
        values = {**self._named, "key": key, "claim": rows.plain(claim)}
        self._database.run(lambda connection: connection.execute(statements.UNSURE, values))

    def view(self, ids: Collection[str]) -> AccountView:
        values = {**self._named, "ids": [rows.plain(each) for each in ids]}
        found = self._database.run(lambda connection: connection.execute(statements.VIEW, values).fetchall())
        in_flight, known = list[ClaimInFlight](), list[KnownGeneration]()
        for _, _, state, claim, is_unknown, gen_id, is_int, kind, model, mark, widened, opens in found:
            if STATES[state] == SENDING:
                with suppress(ValueError, RecursionError):  # of a version that writes them otherwise
                    in_flight.append(ClaimInFlight(json.loads(claim), is_unknown, widened, opens))
            else:
                job = JobRef(rows.known_id(gen_id, is_int), kind, model)
                known.append(KnownGeneration(job, None if mark is None else bytes(mark)))
        return AccountView(in_flight, known)

    def adopt(self, key: str, claim_key: str, job: JobRef, sent: float | None, at: float) -> Grant:
        values = {**self._named, "key": key, "claim_key": claim_key, **rows.adoption(job, sent, at)}

        def act(connection: Connection) -> Grant:
            connection.execute(statements.LOCK_ACCOUNT, values)
            row = connection.execute(statements.ADOPT, values).fetchone()
            if row is None:
                standing = self._standing(connection, key, claim_key)
                # The same: it was granted, and the answer to that was lost.
                return None if isinstance(standing, JobRef) and standing.id == job.id else standing
            connection.execute(statements.WIDEN, {**values, "mark": row[0]})
            return None

        try:
            return self._database.run(act)
        except codes.UniqueViolation:
            return GrantRefusal.TAKEN
        except codes.ProgramLimitExceeded:
            return GrantRefusal.UNFIT

    def absent(self, key: str, claim_key: str, widened: int) -> Grant:
        values = {**self._named, "key": key, "claim_key": claim_key, "widened": widened}

        def act(connection: Connection) -> Grant:
            if connection.execute(statements.ABSENT, values).rowcount:
                return None
            standing = self._standing(connection, key, claim_key)
            return None if standing is GrantRefusal.UNSENT else standing

        return self._database.run(act)

    def _standing(self, connection: Connection, key: str, claim_key: str) -> Grant:
        """Say why nothing could be concluded of a request: its answer came late, or it is as it was.

        Raises:
            JournalError: Another worker has it.
        """
        row = connection.execute(statements.STANDING, {"run": self._run, "key": key}).fetchone()
        if row is None or row[3] != self._owner.number:
            raise taken(self.path, key)
        state, gen_id, is_int, _, kind, model, _, claim = row
        if state == NUMBERS[SENDING] and claim == claim_key:
            return GrantRefusal.OUTDATED
        if gen_id is not None:
            return JobRef(rows.known_id(gen_id, is_int), kind, model)
        return GrantRefusal.UNSENT

    # Queries...

    def page(self, states: Sequence[str], after: int) -> list[JournalRecord]:
        return self._database.run(
            lambda connection: rows.page(connection, self._run, states, after, self.path, owner=self._owner.number)
        )

    def ids(self, since: float) -> list[Any]:
        found = self._database.run(
            lambda connection: connection.execute(
                "SELECT gen_id, gen_is_int FROM neuralbox.record WHERE run = %s AND accepted_at >= %s AND gen_id IS NOT NULL "
                "ORDER BY id",
                (self._run, since),
            ).fetchall()
        )
        return [rows.to_id(gen_id, is_int) for gen_id, is_int in found]

    def summary(self) -> JournalSummary:
        return self._database.run(lambda connection: rows.summary(connection, self._run, self._service))

    def hints(self, after: int) -> list[JournalHint]:
        return self._database.run(lambda connection: rows.hints(connection, self._run, after))

    # ... and the end.

    def explain(
        self, error: Exception, *, key: str | None, job: JobRef | None, unwritten: Mapping[str, JobRef]
    ) -> Exception:
        """Say an error of the database as `JournalError`."""
        if isinstance(error, errors.FOREIGN):
            return errors.explain(error, self._database.address, key=key, job=job, unwritten=unwritten)
        return error  # a bug, shown as it is

    def abandon(self) -> None:
        """Leave, and close the connection, whatever state it is in."""
        self._leave()
        if os.getpid() != self._pid:
            return  # the connection is the parent's
        self._database.gives_up = lambda seconds: seconds > _GOODBYE
        with suppress(*errors.FOREIGN, JournalError):  # a nicety: a lease that nobody keeps is over in a minute
            self._database.run(
                lambda connection: connection.execute(statements.LEAVE, self._named),
                patience=_GOODBYE,
            )
        self._database.close()


def _statement(change: StateChange) -> LiteralString:
    """Return what makes a change, and all of its kind."""
    return statements.SENDING_PRICED if change.values.get("price") is not None else CHANGES[change.state]


def open_store(
    address: PostgresAddress,
    *,
    account: str,
    service: str,
    sync: Sync,
    now: float,
) -> PostgresStore:
    """Open a run of a journal, made if it is not there, and enter as one of its workers.

    Raises:
        JournalError: It cannot be used, and why.
    """
    lease = membership.LEASE
    database = Reconnecting(address, patience=lease, check=lambda connection: _check(connection, address))
    database.gives_up = StandsStill(address, lease)
    try:
        began = boot_clock()
        number, run, account_number = database.run(
            partial(_enter, address=address, account=account, service=service.rstrip("/"), now=now, lease=lease),
            patience=0.0,
        )
    except BaseException as error:
        database.close()
        if isinstance(error, errors.FOREIGN):
            raise errors.explain(error, address) from None
        raise
    database.owner = number
    owner = Owner(number, lease=lease, beaten_at=began, clock=boot_clock)
    # One that answers the beats is at work, however long that takes.
    database.gives_up = lambda seconds: seconds > lease and not owner.may_send
    leave = keep_alive(owner, address, lease)
    return PostgresStore(
        database, owner, leave, run=run, account=account_number, service=service.rstrip("/"), sync=sync
    )


def _check(connection: Connection, address: PostgresAddress) -> None:
    """Look at a database before it is used, and make its tables where there are none."""
    schema.prepare(connection.cursor(), address.shown, may_make=True)


def _enter(
    connection: Connection,
    *,
    address: PostgresAddress,
    account: str,
    service: str,
    now: float,
    lease: float,
) -> tuple[int, int, int]:
    """Enter a worker: returns the numbers of its owner, its run and its account."""
    shown = address.shown
    fingerprint = fingerprint_of(account)
    connection.execute(
        "INSERT INTO neuralbox.account (service, fingerprint) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (service, fingerprint),
    )
    (account_number,) = _one(
        connection,
        "SELECT id FROM neuralbox.account WHERE service = %s AND fingerprint = %s",
        (service, fingerprint),
    )
    connection.execute(
        """INSERT INTO neuralbox.run (name, service, account, made_at) VALUES (%s, %s, %s, %s)
            ON CONFLICT DO NOTHING""",
        (address.run, service, account_number, now),
    )
    run, its_service, its_account = _one(
        connection, "SELECT id, service, account FROM neuralbox.run WHERE name = %s", (address.run,)
    )
    if its_account is None and its_service == service:  # `plan_requests` made it, which needs no key
        connection.execute("UPDATE neuralbox.run SET account = %s WHERE id = %s", (account_number, run))
    elif its_service != service:
        raise _anothers(shown, "service", f"the service at {its_service}, and this client talks to {service}")
    elif its_account != account_number:
        raise _anothers(shown, "account", "another account")
    connection.execute(statements.FORGET, {"after": _FORGOTTEN_AFTER})
    (number,) = _one(
        connection,
        """INSERT INTO neuralbox.owner (account, run, host, pid, since, lease_until)
            VALUES (%s, %s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s)) RETURNING number""",
        (account_number, run, socket.gethostname(), os.getpid(), now, lease * (1 + membership.GRACE)),
    )
    return number, run, account_number


def _one(connection: Connection, query: Any, values: Sequence[Any]) -> tuple[Any, ...]:
    row = connection.execute(query, values).fetchone()
    assert row is not None
    return row


def _anothers(shown: str, reason: str, whose: str) -> JournalError:
    return JournalError(
        f"The journal {shown} belongs to {whose}. Its generations are nowhere else: use the client it was started with, or "
        "give this run another name behind the `#`.",
        reason=reason,
        path=shown,
    )
