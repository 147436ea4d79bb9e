"""Disks that fill up, files that are taken away, owners that are not: what is said, and that nothing paid is lost."""

# ruff: noqa: ASYNC240 - they look at the files between the steps

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from neuralbox._errors import JournalError
from neuralbox._journal.grouped import GroupedJournal
from neuralbox._journal.sqlite import errors
from neuralbox._journal.sqlite import store as stores
from neuralbox._types import JobRef

from .files import Clock, a_full_disk, a_journal, ask, entries, groups_of, refused, states, store_of, tell

pytestmark = pytest.mark.anyio

LONG = "x" * 20_000  # needs pages of its own
DONE = {"status": "completed", "tokens": 1}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.sqlite"


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[GroupedJournal]:
    opened = await a_journal(path)
    yield opened
    with contextlib.suppress(JournalError):
        await opened.aclose()


async def test_a_full_disk_loses_no_id_and_goes_on_when_there_is_room(journal: GroupedJournal, path: Path) -> None:
    await journal.plan(entries("one", "two"))
    await journal.sending("one", {"sent_at": 1.0})
    with a_full_disk(journal):
        with refused("full", "The disk is full .*Make room. .*The job xxx.* of 'one' is paid for") as caught:
            await journal.accepted("one", id=LONG)
        assert caught.value.job == JobRef(LONG)
        assert caught.value.key == "one"
        assert caught.value.unwritten == {"one": JobRef(LONG)}
        assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
        with refused("full") as caught:
            await journal.sending("two", {"sent_at": 2.0, "note": LONG})
        assert caught.value.job is None
        assert caught.value.unwritten == {"one": JobRef(LONG)}
        with refused("full"):
            await journal.plan(entries(LONG))
    assert ask(path, "SELECT key, state FROM records") == [("one", "sending"), ("two", "planned")]
    # Room again: whatever is written next takes the id along. What was refused had not been promised.
    found = await journal.plan(entries("three"))
    assert found[0].position == 3
    assert ask(path, "SELECT key, state FROM records") == [
        ("one", "accepted"),
        ("two", "planned"),
        ("three", "planned"),
    ]
    await journal.accepted("one", id=LONG)


@pytest.mark.parametrize("helps", [True, False])
async def test_on_a_full_disk_the_journal_first_makes_room_itself(
    journal: GroupedJournal, monkeypatch: pytest.MonkeyPatch, *, helps: bool
) -> None:
    await journal.plan(entries("one"))
    store, tries = store_of(journal), list[int]()
    carry = store._transaction

    def transaction(*work: Any) -> bool:
        tries.append(1)
        if len(tries) == 1:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        return carry(*work)

    monkeypatch.setattr(store, "_transaction", transaction)
    if helps:
        await journal.accepted("one", id=1)
    else:
        # Folding the -wal file in needs a disk that works.
        monkeypatch.setattr(store, "_connection", closed := sqlite3.connect(":memory:"))
        closed.close()
        with refused("full"):
            await journal.accepted("one", id=1)
        monkeypatch.undo()
    assert (await journal.summary()).accepted == 1
    assert len(tries) == (2 if helps else 1)


async def test_closing_on_a_full_disk_closes_and_hands_the_ids_out(path: Path) -> None:
    journal = await a_journal(path)
    await journal.plan(entries("one", "two"))
    await journal.accepted("two", id=2)
    with a_full_disk(journal):
        with refused("full"):
            await journal.accepted("one", id=LONG, kind="video")
        await journal.final("two", DONE)
        with refused("full") as caught:
            await journal.aclose()
    assert caught.value.unwritten == {"one": JobRef(LONG, "video")}
    async with await a_journal(path) as journal:
        assert await states(journal.unfinished()) == {"one": "planned", "two": "accepted"}


async def test_another_program_that_holds_the_file_is_said_to(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "_PATIENCE", 0.0)
    async with await a_journal(path) as journal:
        await journal.plan(entries("one"))
        shell = sqlite3.connect(path, isolation_level=None)
        shell.execute("BEGIN IMMEDIATE")
        with refused("locked", "Another program is writing to it.*database shell") as caught:
            await journal.accepted("one", id=1)
        assert caught.value.job == JobRef(1)
        shell.close()
        assert (await journal.summary()).accepted == 1


async def test_readers_never_keep_the_owner_waiting(journal: GroupedJournal, path: Path) -> None:
    await journal.plan(entries("one"))
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT state FROM records").fetchall() == [("planned",)]
    await journal.accepted("one", id=1)
    assert reader.execute("SELECT state FROM records").fetchall() == [("planned",)]
    reader.close()


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be deleted there")
async def test_a_deleted_or_replaced_file_is_noticed(journal: GroupedJournal, path: Path) -> None:
    await journal.plan(entries("one", "two"))
    path.rename(path.with_name("moved"))
    failures: list[JournalError] = []

    async def accept(key: str, number: int) -> None:
        try:
            await journal.accepted(key, id=number)
        except JournalError as error:
            failures.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(accept, "one", 1)
        tasks.start_soon(accept, "two", 2)
    # One failure for the group, and for each caller an error of its own.
    assert {error.key: error.job for error in failures} == {"one": JobRef(1), "two": JobRef(2)}
    assert all(error.reason == "missing" and "deleted or replaced" in str(error) for error in failures)
    assert all(error.unwritten == {"one": JobRef(1), "two": JobRef(2)} for error in failures)
    path.write_bytes(b"")
    with refused("missing"):
        await journal.flush()
        await journal.plan(entries("three"))
    path.with_name("moved").replace(path)
    await journal.flush()
    assert await states(journal.unfinished()) == {"one": "accepted", "two": "accepted"}


async def test_an_owner_that_was_pushed_aside_stops_writing(journal: GroupedJournal, path: Path) -> None:
    """Somebody deleted the lock, or the file system does not lock: the journal itself tells whose it is."""
    await journal.plan(entries("one"))
    tell(path, "INSERT INTO owners (pid, host, since) VALUES (77, 'elsewhere', 0)")
    with refused("locked", "belongs to process 77 on elsewhere since 1970-01-01") as caught:
        await journal.accepted("one", id=1)
    assert caught.value.job == JobRef(1)
    assert ask(path, "SELECT state FROM records") == [("planned",)]


async def test_a_fork_does_not_write(journal: GroupedJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    await journal.plan(entries("one"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: -1)
        with refused("locked", "this is a fork of it"):
            await journal.accepted("one", id=1)


async def test_a_query_that_fails_disturbs_no_change(journal: GroupedJournal) -> None:
    await journal.plan(entries("one"))

    def fail() -> None:
        raise sqlite3.OperationalError("no such table: moon")

    with refused("unwritable", "no such table: moon"):
        await journal.ask(fail)
    await journal.accepted("one", id=1)


async def test_a_bug_is_shown_as_it_is(journal: GroupedJournal) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await journal.ask(fail)
    await journal.plan(entries("one"))


async def test_a_cancelled_change_disturbs_nobody(journal: GroupedJournal) -> None:
    keys = [str(number) for number in range(20)]
    await journal.plan(entries(*keys))
    ends: dict[str, str] = {}
    scopes: dict[str, anyio.CancelScope] = {}

    async def accept(key: str) -> None:
        ends[key] = "cancelled"
        with anyio.CancelScope() as scopes[key]:
            await journal.accepted(key, id=int(key))
            ends[key] = "done"

    async with anyio.create_task_group() as tasks:
        for key in keys:
            tasks.start_soon(accept, key)
        await checkpoint()
        for key in keys[::2]:
            if key in scopes:
                scopes[key].cancel()
    await journal.flush()
    found = await states(journal.unfinished())
    # An id is kept whoever is cancelled, if only the mark was begun.
    assert all(found[key] == "accepted" for key in keys if ends[key] == "done")
    assert [key for key in keys if ends[key] == "done"]


async def test_a_cancelled_caller_can_still_say_that_nothing_was_sent(journal: GroupedJournal) -> None:
    await journal.plan(entries("one"))
    await journal.sending("one", {"sent_at": 1.0})
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.sleep(1)
        finally:
            await journal.planned_again("one")
    assert await states(journal.unfinished()) == {"one": "planned"}


async def test_closing_waits_out_a_cancelled_scope(path: Path) -> None:
    journal = await a_journal(path)
    await journal.plan(entries("one"))
    await journal.final("one", DONE)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await journal.aclose()
    async with await a_journal(path) as journal:
        assert (await journal.summary()).final == 1


def test_closing_by_a_task_that_is_cancelled_closes_all_the_same(path: Path) -> None:
    held, go_on = threading.Event(), threading.Event()

    async def main() -> None:
        journal = await a_journal(path)
        await journal.plan(entries("one"))
        carry = journal._store.work

        def slowly(group: object) -> None:
            held.set()
            assert go_on.wait(10)
            carry(group)  # type: ignore[arg-type]  # whatever it was given

        journal._store.work = slowly  # type: ignore[method-assign]  # holds it up
        mark = asyncio.create_task(journal.accepted("one", id=1))
        await asyncio.to_thread(held.wait, 10)
        end = asyncio.create_task(journal.aclose())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        end.cancel()
        with pytest.raises(asyncio.CancelledError):
            await end
        go_on.set()
        await mark
        async with await a_journal(path) as again:
            assert (await again.summary()).accepted == 1

    asyncio.run(main())


async def test_changes_that_wait_long_are_counted_from_the_first(path: Path) -> None:
    clock = Clock()
    async with await a_journal(path, clock) as journal:
        await journal.plan(entries("one", "two", "three"))
        sizes = groups_of(journal)
        for key in ("one", "two"):
            await journal.final(key, DONE)
            clock.seconds += 0.6
        await journal.final("three", DONE)
        assert sizes == [3]


def test_errors_that_sqlite_has_no_number_for_are_still_said() -> None:
    error = errors.explain(sqlite3.ProgrammingError("Cannot operate on a closed database."), "jobs.sqlite")
    assert error.reason == "unwritable"
    assert "Cannot operate on a closed database" in str(error)
