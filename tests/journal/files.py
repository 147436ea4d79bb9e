"""A journal's file in a test: opened with made-up facts, and looked at from outside."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from neuralbox._errors import JournalError
from neuralbox._journal import JournalRecord, PlannedRequest, Sync, open_journal
from neuralbox._journal.grouped import GroupedJournal
from neuralbox._journal.sqlite.store import SqliteStore

SERVICE = "https://api.example/api/v2"
KEY = "nb_live_planted-key"


class Clock:
    """Unix and monotonic seconds under the test's control, and pauses that cost nothing."""

    def __init__(self, now: float = 1_772_971_200.0) -> None:
        self.unix = now
        self.seconds = 50.0
        self.pauses = 0

    def now(self) -> float:
        return self.unix

    def clock(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.pauses += 1
        self.seconds += seconds


async def a_journal(
    path: Path | str,
    clock: Clock | None = None,
    *,
    account: str = KEY,
    service: str = SERVICE,
    sync: Sync = "normal",
    lock_timeout: float = 0.0,
) -> GroupedJournal:
    clock = clock or Clock()
    return await open_journal(
        path,
        account=account,
        service=service,
        sync=sync,
        lock_timeout=lock_timeout,
        now=clock.now,
        clock=clock.clock,
        sleep=clock.sleep,
    )


def entries(*keys: str) -> list[PlannedRequest]:
    return [PlannedRequest(key, {"kind": "image", "prompt": f"a cat called {key}"}) for key in keys]


async def states(records: AsyncIterator[JournalRecord]) -> dict[str, str]:
    return {record.key: record.state async for record in records}


async def everything(journal: GroupedJournal) -> dict[str, JournalRecord]:
    found = {record.key: record async for record in journal.unfinished()}
    return found | {record.key: record async for record in journal.finished()}


def ask(path: Path, question: str) -> list[tuple[Any, ...]]:
    """What any program may do with the file at any time."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(question).fetchall()


def tell(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def store_of(journal: GroupedJournal) -> SqliteStore:
    """The open file of a journal."""
    store = journal._store
    assert isinstance(store, SqliteStore)
    return store


def groups_of(journal: GroupedJournal) -> list[int]:
    """The sizes of the groups from now on, as they are carried through."""
    sizes: list[int] = []
    carry = journal._store.work

    def work(group: Any) -> None:
        sizes.append(len(group))
        carry(group)

    journal._store.work = work  # type: ignore[method-assign]  # looks on
    return sizes


@contextlib.contextmanager
def a_full_disk(journal: GroupedJournal) -> Iterator[None]:
    """No more pages for this file: SQLite's own way of running out of disk."""
    connection = store_of(journal)._connection
    (before,) = connection.execute("PRAGMA max_page_count").fetchone()
    (used,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {used}")
    yield
    with contextlib.suppress(sqlite3.ProgrammingError):  # closed meanwhile
        connection.execute(f"PRAGMA max_page_count = {before}")


@contextlib.contextmanager
def refused(reason: str, words: str | None = None) -> Iterator[pytest.ExceptionInfo[JournalError]]:
    with pytest.raises(JournalError, match=words) as caught:
        yield caught
    assert caught.value.reason == reason
