"""Workers of one journal in PostgreSQL, and what befalls them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import psycopg

from neuralbox._journal.postgres.store import PostgresStore
from neuralbox._journal.shared import SharedJournal, shared_of

from ..postgres import PostgresServer
from .files import a_journal

MARK = b"m" * 12


def claim(key: str) -> dict[str, Any]:
    return {"key": key, "kind": "image", "sent_at": 7.5}


@asynccontextmanager
async def a_worker(place: str, **more: Any) -> AsyncIterator[SharedJournal]:
    async with await a_journal(place, **more) as journal:
        shared = shared_of(journal)
        assert shared is not None
        yield shared


def store_of(journal: SharedJournal) -> PostgresStore:
    store = journal._store
    assert isinstance(store, PostgresStore)
    return store


def end_lease(postgres: PostgresServer, journal: SharedJournal) -> None:
    """Let the database's clock pass the end of a worker's lease."""
    number = store_of(journal)._owner.number
    postgres.execute("UPDATE neuralbox.owner SET lease_until = clock_timestamp() WHERE number = %s", (number,))


def lose_answers(journal: SharedJournal) -> list[int]:
    """Let the answer to each commit be lost with its connection, once; returns how many there were."""
    database, lost = store_of(journal)._database, list[int]()
    again = database.again

    def losing(act: Any, **more: Any) -> Any:
        is_first = [True]

        def doing(connection: Any) -> Any:
            found = act(connection)
            if is_first:
                is_first.clear()
                lost.append(1)
                raise psycopg.OperationalError("the connection was lost")
            return found

        return again(doing, **more)

    database.again = losing  # type: ignore[method-assign]  # stands between
    return lost


async def wait_until(condition: Any) -> None:
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - another process says so
            await anyio.sleep(0.02)
