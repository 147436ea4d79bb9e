"""Five hundred damaged journals: whatever is wrong with a file, what is said is a `JournalError`."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest

from neuralbox._errors import JournalError
from neuralbox._journal import facts, read_records, read_summary

from ..batch.support import keep_journals_on_the_loop
from .files import a_journal, ask, entries, everything, refused, tell
from .test_opening import handles

JOURNALS, PARTS = 500, 4
VALUES: list[Any] = [
    None, "", "x", "{", "[]", "null", '{"a": 1}', "[" * 5_000, '"\\ud83d"', "planned", "sending", "accepted", "final", "saved",
    0, 1, -1, 2**62, 2**63 - 1, -(2**63), 0.5, 1e308, float("inf"), float("-inf"), b"", b"\x00\xff", b"x" * 5_000,
]  # fmt: skip
COLUMNS = {
    "journal": ("name", "value"),
    "owners": ("number", "pid", "host", "since", "until"),
    "records": (
        "position", "key", "fingerprint", "owner", "lease", "state", "claim", "prompt_at", "id", "kind", "model", "status",
        "tokens", "path", "size_bytes", "planned_at", "sent_at", "accepted_at", "final_at", "saved_at",
    ),
    "requests": ("position", "request"),
    "outcomes": ("position", "outcome"),
}  # fmt: skip


async def made(path: Path) -> None:
    """Make a journal with a record in each state."""
    async with await a_journal(path) as journal:
        await journal.plan(entries("planned", "sending", "accepted", "final", "saved"))
        await journal.sending("sending", {"prompt": "a cat called sending", "sent_at": 1.0})
        for number, key in enumerate(("accepted", "final", "saved")):
            await journal.accepted(key, id=number, kind="image", model="flux")
        for key in ("final", "saved"):
            await journal.final(key, {"status": "completed", "tokens": 4, "said": {"url": "http://f.test/1"}})
        await journal.saved("saved", "out/1.webp", 4)


def damage(path: Path, rng: Random) -> None:
    """Change a value, several, or the file itself; what SQLite does not take stays as it was."""
    if rng.random() < 0.15:
        content = bytearray(path.read_bytes())
        for _ in range(rng.choice((1, 5, 500))):
            content[rng.randrange(len(content))] = rng.randrange(256)
        path.write_bytes(content[: rng.choice((len(content), len(content), rng.randrange(len(content))))])
        return
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for _ in range(rng.choice((1, 1, 1, 4))):
            table = rng.choice((*COLUMNS, "records", "records", "records"))
            column = rng.choice(COLUMNS[table])
            number = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            which = f"WHERE {COLUMNS[table][0]} IN (SELECT {COLUMNS[table][0]} FROM {table} LIMIT 1 OFFSET {rng.randrange(max(1, number))})"
            with suppress(sqlite3.Error, OverflowError):
                if rng.random() < 0.1:
                    connection.execute(f"DELETE FROM {table} {which}")
                elif rng.random() < 0.03:
                    connection.execute(f"DROP TABLE {table}")
                    return
                else:
                    value = rng.choice(VALUES)
                    if isinstance(value, str) and rng.random() < 0.2:
                        connection.execute(f"UPDATE {table} SET {column} = CAST(? AS TEXT) {which}", (b"\xff\xfe",))
                    else:
                        connection.execute(f"UPDATE {table} SET {column} = ? {which}", (value,))


def begin(whole: Path, path: Path) -> None:
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    shutil.copy(whole, path)


async def use(path: Path) -> None:
    """Use a journal in every way there is; each may fail by itself."""

    def read() -> None:
        for act in (lambda: read_summary(path), lambda: list(read_records(path)), lambda: facts(path)):
            with suppress(JournalError):
                act()

    read()
    with suppress(JournalError):
        async with await a_journal(path) as journal:

            async def plan() -> None:
                await journal.plan(entries("planned", "sending", "accepted", "final", "saved", "new"))

            async def mark() -> None:
                await journal.sending("planned", {"prompt": "x"})
                await journal.accepted("accepted", id=0)
                await journal.final("final", {"status": "completed"})
                await journal.flush()

            steps: list[Callable[[], Any]] = [
                journal.summary, lambda: everything(journal), journal.ids, plan, mark, lambda: everything(journal),
            ]  # fmt: skip
            for step in steps:
                with suppress(JournalError):
                    await step()


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.uncovered) for part in range(1, PARTS))])
def test_a_damaged_journal_raises_nothing_foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    keep_journals_on_the_loop(monkeypatch)
    whole, path, rng = tmp_path / "whole.sqlite", tmp_path / "jobs.sqlite", Random(part)

    async def main() -> None:
        await made(whole)
        for number in range(JOURNALS // PARTS):
            begin(whole, path)
            damage(path, rng)
            try:
                await use(path)
                assert handles(path) == []
            except Exception as error:
                error.add_note(f"journal {number}")
                raise

    anyio.run(main)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE requests SET request = '{' WHERE position = 3", r"`request` of request 3 \('accepted'\)"),
        ("UPDATE requests SET request = '[]' WHERE position = 3", r"`request` of request 3 \('accepted'\)"),
        ("UPDATE requests SET request = '' WHERE position = 3", "`request` of request 3"),
        ("UPDATE records SET key = x'00' WHERE position = 3", "`key` of request 3 cannot"),
        ("UPDATE records SET claim = NULL WHERE state = 'sending'", r"`claim` of request 2 \('sending'\)"),
        ("UPDATE records SET prompt_at = 9999 WHERE state = 'sending'", "`prompt_at` of request 2"),
        ("UPDATE records SET id = 0.5 WHERE position = 3", "`id` of request 3"),
        ("UPDATE outcomes SET outcome = 'null'", "`outcome` of request 4"),
        ("UPDATE records SET price = -1 WHERE position = 3", "`price` of request 3"),
    ],
)
async def test_what_is_damaged_is_named_with_its_row(tmp_path: Path, statement: str, words: str) -> None:
    path = tmp_path / "jobs.sqlite"
    await made(path)
    tell(path, statement)
    with refused("corrupt", words) as caught:
        list(read_records(path))
    assert "cat" not in str(caught.value)
    assert caught.value.path == str(path)
    async with await a_journal(path) as journal:
        with refused("corrupt", words):
            await everything(journal)
        await journal.plan(entries("new"))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE records SET state = 'lost' WHERE position = 3", r"`state` of request 3 \('accepted'\)"),
        ("UPDATE records SET saved_at = 'x' WHERE position = 5", r"`saved_at` of request 5 \('saved'\)"),
        ("UPDATE records SET planned_at = 9e999 WHERE position = 1", "`planned_at` of request 1"),
        ("UPDATE records SET sent_at = 9e999 WHERE position = 3", "`sent_at` of request 3"),
        ("UPDATE records SET tokens = 9e999 WHERE position = 4", "`tokens` of request 4"),
        ("UPDATE records SET charged_before = -9e999 WHERE position = 1", "`charged_before` of request 1"),
        ("UPDATE journal SET value = NULL WHERE name = 'service'", "`service` cannot"),
        ("DELETE FROM journal WHERE name = 'service'", "`service` cannot"),
    ],
)
async def test_a_summary_names_the_row_too(tmp_path: Path, statement: str, words: str) -> None:
    path = tmp_path / "jobs.sqlite"
    await made(path)
    tell(path, statement)
    with refused("corrupt", words):
        read_summary(path)
    if "FROM" not in statement and "records" in statement:
        with refused("corrupt"):
            tell(path, "UPDATE records SET sent_at = 9e999, state = CASE position WHEN 3 THEN 'lost' ELSE state END")
            list(read_records(path))


@pytest.mark.anyio
async def test_an_account_that_is_gone_and_an_owner_that_cannot_be_are_said(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    await made(path)
    async with await a_journal(path) as journal:
        tell(path, "UPDATE owners SET since = 'x'", "UPDATE records SET id = x'00' WHERE position = 3")
        with refused("corrupt", "`owners`"):
            await journal.summary()
        with refused("corrupt", "`id` of request 3"):
            await journal.ids()
        with refused("locked", "another process"):
            await a_journal(path)
        tell(path, "DELETE FROM owners")
        assert read_summary(path).owner is None
    tell(path, "DELETE FROM journal WHERE name = 'account'")
    with refused("corrupt", "`account`"):
        await a_journal(path)
    assert json.loads(ask(path, "SELECT request FROM requests")[0][0])
