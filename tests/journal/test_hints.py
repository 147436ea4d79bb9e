"""Hints in a journal's file: left by who does not own it, few, and cheap to look for."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuralbox._journal import HintReader, JournalHint, leave_hint
from neuralbox._journal.sqlite import hints

from .files import a_journal, entries, refused, tell

pytestmark = pytest.mark.anyio


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    async with await a_journal(tmp_path / "jobs.sqlite") as journal:
        await journal.plan(entries("one", "two"))
        await journal.accepted("one", id=5)
    return tmp_path / "jobs.sqlite"


async def test_where_there_is_no_journal_nobody_waits(tmp_path: Path) -> None:
    assert not leave_hint(tmp_path / "nothing.sqlite", 5, "a")
    assert not (tmp_path / "nothing.sqlite").exists()
    with refused("missing", "There is no journal"):
        HintReader(tmp_path / "nothing.sqlite").read()


async def test_only_the_newest_are_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "HINTS_KEPT", 3)
    for number in range(10):
        assert leave_hint(path, 5, f"event {number}")
    assert [hint.event for hint in HintReader(path).read()] == ["event 7", "event 8", "event 9"]


async def test_a_reader_opens_the_file_only_when_somebody_has_written(path: Path) -> None:
    reader = HintReader(path)

    def look() -> tuple[bool, list[JournalHint], bool]:
        before = reader.may_have_news
        return before, reader.read(), reader.may_have_news

    assert look() == (True, [], False)
    assert look() == (False, [], False)
    assert leave_hint(path, 5, "a")
    assert look() == (True, [JournalHint(1, "5", "a")], False)
    async with await a_journal(path):
        assert look() == (True, [], False)


async def test_ids_that_no_database_holds_and_damaged_rows_are_no_hints(path: Path) -> None:
    for nobody in ("5\0", "\ud800", 10**30, ""):
        assert not leave_hint(path, nobody, "a")
    tell(path, "INSERT INTO hints (id, event) VALUES (x'00', 'b'), ('5', x'00'), ('5', 'c')")
    assert [hint.event for hint in HintReader(path).read()] == ["c"]


async def test_what_is_no_journal_is_said(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear Sir, " * 200)
    with refused("corrupt", "letter.txt"):
        leave_hint(tmp_path / "letter.txt", 5, "a")
