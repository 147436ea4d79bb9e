"""The connections of a journal in PostgreSQL, and the lease of each worker: cut, blocked, suspended, forked, closed."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import anyio
import psycopg
import pytest
from anyio import to_thread

from neuralbox._journal import (
    open_journal,
    read_records,
    read_summary,
)
from neuralbox._journal.postgres import connection as connections
from neuralbox._journal.postgres import membership, schema
from neuralbox._journal.postgres.address import PostgresAddress, read_address
from neuralbox._journal.postgres.connection import connect
from neuralbox._journal.postgres.store import PostgresStore
from neuralbox._journal.reading import plan_requests
from neuralbox._types import JobRef

from ..postgres import PostgresServer
from .files import KEY, SERVICE, a_journal, entries, refused, states
from .workers import MARK, a_worker, claim, store_of, wait_until

pytestmark = pytest.mark.anyio


async def test_what_a_cut_connection_interrupted_is_done_again(place: str, postgres: PostgresServer) -> None:
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'neuralbox'"
    async with a_worker(place) as journal:
        await journal.plan(entries("one"))
        for act in (
            lambda: journal.sending("one", claim("c"), mark=MARK),
            lambda: journal.view([1]),
            lambda: journal.accepted("one", id=1),
            lambda: journal.accepted("one", id=1),
            journal.summary,
        ):
            postgres.execute(cut)
            await act()
        assert await states(journal.unfinished()) == {"one": "accepted"}
        postgres.execute(cut)


@pytest.mark.parametrize("number_is", ["to come", "another's"])
async def test_what_a_crash_of_the_server_left_nothing_of_is_done_again(
    place: str, postgres: PostgresServer, number_is: str
) -> None:
    async with a_worker(place) as journal:
        ((number,),) = postgres.execute("SELECT pg_current_xact_id()::text")
        number = "4294967295" if number_is == "to come" else number
        database, tries = store_of(journal)._database, list[int]()
        again = database.again

        def leave_hint(connection: connections.Connection) -> str:
            tries.append(1)
            connection.execute(
                "INSERT INTO neuralbox.hint (run, gen_id, event) VALUES (0, %s, 'e')", (str(len(tries)),)
            )
            return f"done {len(tries)}"

        def crashing(act: Any, **more: Any) -> Any:
            def attempts(connection: connections.Connection) -> Any:
                if not tries:
                    with connection.transaction(force_rollback=True):
                        act(_Crashing(connection, number))
                    raise psycopg.OperationalError("the server closed the connection unexpectedly")
                return act(connection)

            return again(attempts, **more)

        database.again = crashing  # type: ignore[method-assign]  # stands between
        assert await to_thread.run_sync(database.once, leave_hint) == "done 2"


class _Crashing:
    """A connection to a server that crashes before anything of a transaction is written.

    Args:
        connection: One to a server that does not.
        number: The transaction's.
    """

    def __init__(self, connection: connections.Connection, number: str) -> None:
        self._connection = connection
        self._number = number

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, query: Any, values: Any = None) -> Any:
        returned = "RETURNING pg_current_xact_id_if_assigned()"
        return self._connection.execute(query.replace(returned, f"RETURNING {self._number}"), values)


async def test_a_database_that_stays_away_is_an_error_after_a_while(
    place: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = await a_journal(place)
    store = journal._store
    assert isinstance(store, PostgresStore)
    store._database._patience = 0.3
    monkeypatch.setattr("neuralbox._journal.postgres.store._GOODBYE", 0.0)
    store._database.close()
    monkeypatch.setattr(connections, "connect", _nobody_there)
    with refused("unwritable", "cannot be reached"):
        await journal.plan(entries("one"))
    await journal.aclose()


def _nobody_there(*_: object) -> Any:
    raise psycopg.OperationalError("connection refused")


async def test_two_that_are_in_each_others_way_go_one_after_the_other(place: str, postgres: PostgresServer) -> None:
    async with a_worker(place) as journal:
        database, tries = store_of(journal)._database, list[int]()

        def act(_: object) -> str:
            tries.append(1)
            if len(tries) < 3:
                raise psycopg.errors.DeadlockDetected
            return "done"

        assert await to_thread.run_sync(database.run, act) == "done"

        def always(_: object) -> None:
            raise psycopg.errors.SerializationFailure

        with pytest.raises(psycopg.errors.SerializationFailure):
            await to_thread.run_sync(database.run, always)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # a second of real time, in the database or a thread
async def test_nobody_waits_for_a_lock_for_longer_than_a_lease(
    place: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "LEASE", 2.0)
    async with a_worker(place) as journal:
        await journal.plan(entries("one"))
        with psycopg.connect(place.partition("#")[0]) as other:
            other.execute("SELECT 1 FROM neuralbox.record FOR UPDATE")
            began = time.monotonic()
            with refused("unwritable", "Something holds what it needs .*locked"):
                await journal.sending("one", claim("c"))
            assert time.monotonic() - began < 15.0
        await journal.sending("one", claim("c"))


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # a second of real time, in the database or a thread
@pytest.mark.parametrize("act", ["news", "view", "lost", "summary", "opened", "read", "planned"])
async def test_no_question_waits_for_a_table_that_somebody_keeps_locked(
    place: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    monkeypatch.setattr(membership, "LEASE", 1.0)
    async with a_worker(place) as journal:
        await journal.plan(entries("one"))
        acts: dict[str, Any] = {
            "news": journal.news,
            "view": lambda: journal.view([1]),
            "lost": lambda: journal.lost("one", claim("c")),
            "summary": journal.summary,
            "opened": lambda: a_journal(place),
            "read": lambda: to_thread.run_sync(read_summary, place),
            "planned": lambda: to_thread.run_sync(
                partial(plan_requests, place, entries("two"), service=SERVICE, now=0.0)
            ),
        }
        table = "journal" if act == "opened" else "record"
        with psycopg.connect(place.partition("#")[0]) as other:
            unlocked = threading.Timer(20.0, other.close)
            unlocked.start()
            other.execute(f"LOCK TABLE neuralbox.{table} IN ACCESS EXCLUSIVE MODE")
            began = time.monotonic()
            with refused("unwritable", "Something holds what it needs .*locked"):
                await acts[act]()
            assert time.monotonic() - began < 15.0
            unlocked.cancel()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # a second of real time, in the database or a thread
async def test_a_server_that_stands_still_is_waited_for_until_the_lease_is_over(
    place: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "LEASE", 1.0)
    async with a_worker(place) as journal:
        await journal.plan(entries("one"))
        owner = store_of(journal)._owner
        before = owner._safe_until
        await wait_until(lambda: owner._safe_until > before)  # the lease has its connection
        ours = postgres.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'neuralbox'")

        def signal_all(number: int) -> None:
            for (pid,) in ours:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

        going_on = threading.Timer(20.0, signal_all, [signal.SIGCONT])
        going_on.start()
        signal_all(signal.SIGSTOP)
        try:
            began = time.monotonic()
            with refused("unwritable", "cannot be reached .*not answered"):
                await journal.sending("one", claim("c"))
            assert time.monotonic() - began < 15.0
            await wait_until(lambda: owner.lost)  # by a new connection, that of the lease was given up as well
        finally:
            going_on.cancel()
            signal_all(signal.SIGCONT)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # a second of real time, in the database or a thread
async def test_what_takes_long_is_waited_for_while_the_lease_is_kept(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "LEASE", 1.0)
    async with a_worker(place) as journal:
        database = store_of(journal)._database
        await to_thread.run_sync(database.run, lambda connection: connection.execute("SELECT pg_sleep(1.5)"))
        journal.require_lease()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # a second of real time, in the database or a thread
async def test_what_a_suspended_worker_holds_is_free_before_its_lease_is_over(
    place: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "LEASE", 2.0)
    async with a_worker(place) as journal:
        database, tries = store_of(journal)._database, list[int]()

        def act(connection: Any) -> int:
            connection.execute("SELECT 1")
            tries.append(1)
            if len(tries) == 1:
                time.sleep(0.8)  # it is suspended, in the middle of a transaction
            (one,) = connection.execute("SELECT 1").fetchone()
            return int(one)

        assert await to_thread.run_sync(database.once, act) == 1
        assert len(tries) == 2


@pytest.mark.parametrize("act", [a_journal, lambda place: to_thread.run_sync(read_summary, place)])
async def test_a_server_that_stops_answering_is_given_up_by_who_opens_a_journal_or_reads_it(
    place: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, act: Any
) -> None:
    monkeypatch.setattr(membership, "LEASE", 0.2)
    async with a_worker(place):
        pass
    prepare, stopped = schema.prepare, list[int]()

    def stopping(cursor: Any, *given: Any, **more: Any) -> None:
        stopped.append(cursor.connection.info.backend_pid)
        monkeypatch.setattr(connections, "connect", _nobody_there)
        os.kill(stopped[0], signal.SIGSTOP)
        prepare(cursor, *given, **more)

    monkeypatch.setattr(schema, "prepare", stopping)
    going_on = threading.Timer(20.0, lambda: os.kill(stopped[0], signal.SIGCONT))
    going_on.start()
    try:
        began = time.monotonic()
        with refused("unwritable", "cannot be reached .*not answered"):
            await act(place)
        assert time.monotonic() - began < 15.0
    finally:
        going_on.cancel()
        os.kill(stopped[0], signal.SIGCONT)


async def test_a_server_that_is_at_work_is_waited_for(
    place: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[int]()

    def asks(address: PostgresAddress) -> connections.Connection:
        asked.append(1)
        return connect(address)

    monkeypatch.setattr(connections, "connect", asks)
    with contextlib.closing(connect(read_address(place))) as connection:
        connection.gives_up = connections.StandsStill(read_address(place), 0.1)
        for _ in range(2):
            assert connection.execute("SELECT 1 FROM pg_sleep(0.3)").fetchone() == (1,)
    assert 2 <= len(asked) <= 6


@pytest.mark.parametrize(
    ("said", "stands_still"),
    [
        ("FATAL:  sorry, too many clients already", False),
        ('FATAL:  too many connections for role "worker"', False),
        ("connection timeout expired", True),
        ("Connection refused", True),
    ],
)
def test_a_server_that_takes_no_more_connections_does_not_stand_still(
    place: str, monkeypatch: pytest.MonkeyPatch, said: str, stands_still: bool
) -> None:
    def refuses(address: PostgresAddress) -> connections.Connection:
        raise psycopg.OperationalError(said)

    monkeypatch.setattr(connections, "connect", refuses)
    assert connections.StandsStill(read_address(place), 0.1)(0.2) is stands_still


async def test_no_state_of_a_session_is_relied_on(place: str, postgres: PostgresServer) -> None:
    """A pooler resets a session before it hands it on (`DISCARD ALL`), and any transaction may get another one."""
    async with a_worker(place) as journal:
        database = store_of(journal)._database
        again = database.again

        def with_another_session(act: Any, **more: Any) -> Any:
            if database._connection is not None:
                database._connection.execute("DISCARD ALL")
            return again(act, **more)

        database.again = with_another_session  # type: ignore[method-assign]  # stands between
        await journal.plan(entries("one", "two"))
        for key in ("one", "two"):
            await journal.sending(key, claim(key), mark=MARK)
        await journal.accepted("one", id=1)
        assert await journal.adopt("two", "two", JobRef(2), sent=1.0) is None
        await journal.final("one", {"status": "completed"})
        assert {each.key for each in read_records(place)} == {"one", "two"}
        assert await states(journal.finished()) == {"one": "final"}


async def test_a_fork_opens_a_journal_of_its_own(place: str) -> None:
    async with a_worker(place) as journal:
        store = store_of(journal)
        store._pid += 1
        with refused("locked", "this is a fork of it"):
            await journal.plan(entries("one"))
        store.abandon()  # a fork's end closes nothing of the parent's
        store._pid -= 1
        await journal.summary()


async def test_a_full_sync_waits_for_the_disk_whatever_the_server_was_told(
    place: str, postgres: PostgresServer
) -> None:
    async with await a_journal(place, sync="full") as journal:
        await journal.plan(entries("one"))
        await journal.accepted("one", id=1)
        with refused("state"):
            await journal.accepted("one", id=2)
    assert [each.id for each in read_records(place)] == [1]


# The lease.


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # a second of real time, in the database or a thread
async def test_a_lease_is_kept_while_the_database_is_there_and_lost_for_good(
    place: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "LEASE", 1.0)
    async with a_worker(place) as first, a_worker(place) as second:
        owner = store_of(first)._owner
        before = owner._safe_until
        await wait_until(lambda: owner._safe_until > before)
        assert len({thread.name for thread in threading.enumerate() if "lease" in thread.name}) == 1
        monkeypatch.setattr(membership, "connect", _nobody_there)
        postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'neuralbox'")
        await wait_until(lambda: not owner.may_send)
        with refused("lease"):
            first.require_lease()
        over = "SELECT bool_and(lease_until < clock_timestamp()) FROM neuralbox.owner"
        await wait_until(lambda: postgres.execute(over) == [(True,)])
        monkeypatch.setattr(membership, "connect", connections.connect)
        await wait_until(lambda: owner.lost)
        with refused("lease"):
            second.require_life()


def test_the_lease_is_measured_by_a_clock_that_a_sleeping_machine_does_not_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    owner = membership.Owner(1, lease=60.0, beaten_at=100.0, clock=lambda: now[0])
    said = []
    for seconds in (39.9, 25.0):  # it was suspended
        now[0] += seconds
        said.append(owner.may_send)
    for beat in (now[0] - 1, 0.0):  # a late one takes nothing back
        owner.beaten(beat)
        said.append(owner.may_send)
    assert said == [True, False, True, True]
    assert membership.boot_clock() > 0
    monkeypatch.setattr(membership, "_CLOCK", None)
    assert membership.boot_clock() == pytest.approx(time.monotonic(), abs=1.0)


def test_a_beat_that_came_when_others_may_have_taken_over_loses_the_lease() -> None:
    """The database may have judged it in time, and written it down too late for others to see."""
    now = [100.0]
    owner = membership.Owner(1, lease=60.0, beaten_at=100.0, clock=lambda: now[0])
    now[0] = 164.0
    owner.beaten(159.0)
    assert owner.may_send
    now[0] = 225.0
    owner.beaten(218.0)
    assert owner.lost
    assert not owner.may_send


async def test_who_may_not_send_any_more_is_not_taken_over_yet(place: str, postgres: PostgresServer) -> None:
    async with a_worker(place) as first, a_worker(place) as second:
        await first.plan(entries("one"))
        postgres.execute(
            "UPDATE neuralbox.owner SET lease_until = clock_timestamp() + interval '3 s' WHERE number = %s",
            (store_of(first)._owner.number,),
        )
        assert await second.take(["one"]) == []
        with refused("lease"):
            await first.sending("one", claim("c"))


@pytest.fixture
def _no_heart_left() -> Iterator[None]:
    yield
    assert membership._hearts == {}


@pytest.mark.usefixtures("_no_heart_left")
async def test_the_row_and_the_thread_of_a_worker_go_with_it(place: str, postgres: PostgresServer) -> None:
    async with a_worker(place), a_worker(place):
        assert len(postgres.execute("SELECT * FROM neuralbox.owner")) == 2
        assert read_summary(place).owner is not None
    assert postgres.execute("SELECT * FROM neuralbox.owner") == []


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # a second of real time, in the database or a thread
@pytest.mark.parametrize("what", ["locked", "silent"])
async def test_closing_waits_no_longer_than_a_goodbye_takes(
    place: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(membership, "LEASE", 20.0)
    monkeypatch.setattr("neuralbox._journal.postgres.store._GOODBYE", 0.2)
    journal = await a_journal(place)
    with psycopg.connect(place.partition("#")[0]) as other:
        pid = postgres.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'neuralbox'")[0][0]
        going_on = threading.Timer(15.0, os.kill, [pid, signal.SIGCONT])
        going_on.start()
        if what == "locked":
            other.execute("LOCK TABLE neuralbox.owner")
        else:
            os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        await journal.aclose()
        assert time.monotonic() - began < 10.0
        going_on.cancel()
        os.kill(pid, signal.SIGCONT)


async def test_opening_that_is_cancelled_leaves_nobody_behind(place: str, postgres: PostgresServer) -> None:
    with anyio.move_on_after(0):
        await open_journal(place, account=KEY, service=SERVICE)
    await wait_until(lambda: postgres.execute("SELECT * FROM neuralbox.owner") == [])
