"""Facts that a caller keeps in a journal, by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuralbox._journal import facts, read_summary, remember

from .files import SERVICE, a_journal, refused, tell

pytestmark = pytest.mark.anyio


async def test_a_fact_is_kept_beside_the_journals_own_while_it_is_open_and_after(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    async with await a_journal(path):
        assert facts(path) == {}
        remember(path, "command_line", {"to": "out", "budget": 5})
        remember(path, "command_line", {"to": None})
        assert facts(path) == {"command_line": {"to": None}}
    remember(path, "note", "ü")
    assert facts(path) == {"command_line": {"to": None}, "note": "ü"}
    assert read_summary(path).service == SERVICE
    async with await a_journal(path):
        pass


async def test_what_is_no_json_or_no_journal_gives_nothing(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    async with await a_journal(path):
        pass
    tell(path, "INSERT INTO journal VALUES ('a', '{'), ('b', x'00ff'), ('c', NULL), ('d', '1')")
    assert facts(path) == {"d": 1}
    assert facts(tmp_path / "nothing.sqlite") == {}
    assert not (tmp_path / "nothing.sqlite").exists()
    with refused("unwritable", "nothing.sqlite failed"):
        remember(tmp_path / "nothing.sqlite", "a", 1)
