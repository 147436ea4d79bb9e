"""Opening: whose a journal is, where it may be, which versions, and what is left behind."""

# ruff: noqa: ASYNC240 - they look at the files between the steps

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from neuralbox._journal import JournalHint, leave_hint, opening, read_summary
from neuralbox._journal.sqlite import lock as ownership
from neuralbox._journal.sqlite import schema, store

from .files import SERVICE, Clock, a_journal, ask, entries, refused, states, tell

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.sqlite"


def handles(path: Path) -> list[str]:
    """The files of this journal that this process has open."""
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        pytest.skip("needs /proc")  # pragma: no cover
    links = []
    for one in folder.iterdir():
        try:
            links.append(str(one.readlink()))
        except OSError:  # the listing's own
            continue
    return [link for link in links if link.startswith(str(path))]


async def test_only_one_owner_at_a_time(path: Path) -> None:
    async with await a_journal(path) as journal:
        with refused("locked", f"belongs to this very process {os.getpid()} on .* since 2026-03-08 12:00:00 UTC"):
            await a_journal(path)
        link = path.with_name("other-name.sqlite")
        link.symlink_to(path)
        with refused("locked"):  # two names of one file are one journal
            await a_journal(link)
        await journal.plan(entries("one"))
    async with await a_journal(path) as journal:
        assert await states(journal.unfinished()) == {"one": "planned"}
    assert [row[0] for row in ask(path, "SELECT until IS NOT NULL FROM owners")] == [1, 1]


async def test_another_owner_is_named_by_what_it_wrote(path: Path) -> None:
    async with await a_journal(path):
        tell(path, "UPDATE owners SET pid = 1, host = 'far-away'")
        with refused("locked", "belongs to process 1 on far-away since 2026-03-08"):
            await a_journal(path)
    (path.parent / "new.sqlite-lock").touch()
    holder = ownership.lock(str(path.parent / "new.sqlite"))
    assert holder is not None
    with refused("locked", "belongs to another process"):  # which has not come to writing its name
        await a_journal(path.parent / "new.sqlite")
    holder.close()


async def test_an_owner_is_waited_for_as_long_as_is_asked(path: Path) -> None:
    clock = Clock()
    journal = await a_journal(path)
    with refused("locked"):
        await a_journal(path, clock, lock_timeout=3.0)
    assert 58 <= clock.pauses <= 61

    class Closing(Clock):
        async def sleep(self, seconds: float) -> None:
            await journal.aclose()

    async with await a_journal(path, Closing(), lock_timeout=3.0):
        pass


async def test_a_reader_that_asks_for_the_lock_is_not_taken_for_an_owner(path: Path) -> None:
    async with await a_journal(path):
        pass
    reader = sqlite3.connect(f"{path}-lock", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT 1 FROM sqlite_master").fetchall()

    class Leaving(Clock):
        async def sleep(self, seconds: float) -> None:
            reader.close()

    async with await a_journal(path, Leaving()):
        assert read_summary(path).owner is not None
    assert read_summary(path).owner is None


@pytest.mark.parametrize(
    ("facts", "reason", "words"),
    [
        ({"account": "another"}, "account", "belongs to another account"),
        (
            {"service": "https://eu.example"},
            "service",
            f"service at {SERVICE}, and this client talks to https://eu.example",
        ),
    ],
)
async def test_the_journal_of_another_account_or_service_is_refused(
    path: Path, facts: dict[str, Any], reason: str, words: str
) -> None:
    async with await a_journal(path, service=f"{SERVICE}/"):
        pass
    with refused(reason, words):
        await a_journal(path, **facts)
    assert handles(path) == []
    async with await a_journal(path):
        pass


async def test_nothing_is_left_open_or_running_after_closing(path: Path) -> None:
    threads = set(threading.enumerate())
    async with await a_journal(path) as journal:
        await journal.plan(entries("one"))
        assert len(handles(path)) >= 3
    assert handles(path) == []
    assert sorted(one.name for one in path.parent.iterdir()) == ["jobs.sqlite", "jobs.sqlite-lock"]
    # Worker threads belong to the event loop, which keeps idle ones for others and ends them itself.
    assert all("AnyIO" in one.name or "Trio" in one.name for one in set(threading.enumerate()) - threads)


async def test_a_newer_version_is_left_alone(path: Path) -> None:
    async with await a_journal(path):
        pass
    tell(path, "PRAGMA user_version = 99")
    before = path.read_bytes()
    with refused("version", f"newer neuralbox .schema 99, known up to {len(schema.STEPS)}.*Upgrade neuralbox"):
        await a_journal(path)
    assert path.read_bytes() == before


async def test_an_older_version_is_brought_up_to_date(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with await a_journal(path) as journal:
        await journal.plan(entries("one"))
        await journal.accepted("one", id=5)
    step = ("ALTER TABLE records ADD COLUMN colour TEXT", "UPDATE records SET colour = 'red' WHERE id = 5")
    monkeypatch.setattr(schema, "STEPS", [*schema.STEPS, step])
    with refused("version", "older neuralbox"):
        read_summary(path)
    async with await a_journal(path) as journal:
        assert await states(journal.unfinished()) == {"one": "accepted"}
        assert ask(path, "SELECT colour FROM records") == [("red",)]
        assert ask(path, "PRAGMA user_version") == [(len(schema.STEPS),)]
    async with await a_journal(path.parent / "new.sqlite"):
        assert ask(path.parent / "new.sqlite", "SELECT colour FROM records") == []


async def test_a_journal_of_the_first_version_goes_on_takes_hints_and_counts_what_is_tried_again(path: Path) -> None:
    async with await a_journal(path) as journal:
        await journal.plan(entries("one", "two"))
        await journal.accepted("one", id=5)
    tell(
        path,
        "DROP TABLE hints",
        "ALTER TABLE records DROP COLUMN charged_before",
        "ALTER TABLE records DROP COLUMN price",
        "UPDATE records SET state = 'final', status = 'failed', tokens = 4 WHERE key = 'two'",
        "PRAGMA user_version = 1",
    )
    with refused("version", "older neuralbox"):
        leave_hint(path, 5, "a")
    async with await a_journal(path) as journal:
        assert await journal.hints() == []
        assert leave_hint(path, 5, "a")
        assert await journal.hints() == [JournalHint(1, "5", "a")]
        await journal.planned_again("two")
        assert (await journal.summary()).tokens == 4


async def test_a_step_that_fails_leaves_the_older_version_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with await a_journal(path):
        pass
    with monkeypatch.context() as patch:
        patch.setattr(schema, "STEPS", [*schema.STEPS, ("ALTER TABLE records ADD COLUMN colour", "nonsense")])
        with refused("unwritable", "nonsense"):
            await a_journal(path)
    async with await a_journal(path):
        assert ask(path, "PRAGMA user_version") == [(len(schema.STEPS),)]


async def test_the_database_of_another_program_is_left_alone(path: Path) -> None:
    tell(path, "CREATE TABLE music (title)")
    before = path.read_bytes()
    with refused("foreign", "database of another program, and was left alone"):
        await a_journal(path)
    with refused("foreign"):
        read_summary(path)
    assert path.read_bytes() == before


async def test_an_empty_file_becomes_a_journal(path: Path) -> None:
    path.touch()
    with refused("version", "only just been made"):
        read_summary(path)
    async with await a_journal(path) as journal:
        assert (await journal.summary()).total == 0


async def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_text("key,prompt\n" * 100)
    with refused("corrupt", "no database"):
        await a_journal(path)
    with refused("corrupt"):
        read_summary(path)
    assert handles(path) == []


async def test_a_damaged_file_is_said_to_be_damaged(path: Path) -> None:
    async with await a_journal(path) as journal:
        await journal.plan(entries(*map(str, range(2_000))))
    content = bytearray(path.read_bytes())
    content[4096 * 4 :] = b"\xff" * (len(content) - 4096 * 4)
    path.write_bytes(content)
    with refused("corrupt", "damaged.*Keep it and its -wal file"):
        async with await a_journal(path) as journal:
            [one async for one in journal.unfinished()]
    with refused("corrupt", "damaged"):
        read_summary(path)


async def test_a_folder_is_no_journal_and_a_missing_folder_is_named(tmp_path: Path) -> None:
    with refused("unwritable", "It is a folder. Give the name of a file in it"):
        await a_journal(tmp_path)
    with refused("unwritable", "There is no folder .*nowhere"):
        await a_journal(tmp_path / "nowhere" / "jobs.sqlite")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a folder that nobody, not even root, may write")
async def test_a_folder_that_may_not_be_written_is_refused() -> None:
    with refused("unwritable", "Allow writing to the file and to its folder"):
        await a_journal(Path("/proc/jobs.sqlite"))


async def test_what_cannot_be_locked_is_refused(path: Path) -> None:
    lock = Path(f"{path}-lock")
    lock.mkdir()
    with refused("unwritable", "jobs.sqlite-lock is no regular file"):
        await a_journal(path)
    lock.rmdir()
    lock.write_text("somebody's own lock file\n" * 100)
    with refused("corrupt", "jobs.sqlite-lock failed. The file is no database"):
        await a_journal(path)
    assert handles(path) == []


async def test_a_file_system_without_shared_memory_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Without(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            return super().execute("SELECT 'delete'" if "journal_mode" in sql else sql, *values)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: connect(*args, factory=Without, **options))
    with refused("unwritable", "Put it on a local disk"):
        await a_journal(path)


async def test_a_scope_cancelled_while_opening_leaves_nothing_open(path: Path) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        async with await a_journal(path):
            await checkpoint()
    assert handles(path) == []
    async with await a_journal(path):
        pass


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_task_cancelled_while_opening_leaves_nothing_open(
    path: Path, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    going, go_on, over = threading.Event(), threading.Event(), threading.Event()
    open_store = store.open_store

    def slowly(*args: Any, **options: Any) -> Any:
        going.set()
        assert go_on.wait(10)
        return open_store(*args, **options)

    monkeypatch.setattr(opening, "open_store", slowly)
    run = opening._Attempt.run

    def watched(self: Any) -> None:
        run(self)
        over.set()

    monkeypatch.setattr(opening._Attempt, "run", watched)

    async def main() -> None:
        task = asyncio.create_task(a_journal(path))
        await asyncio.to_thread(going.wait, 10)
        if when == "after":
            go_on.set()
            assert over.wait(10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        assert over.wait(10)

    asyncio.run(main())
    assert handles(path) == []
