"""`neuralbox watch` where there is no terminal, and where it takes one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from neuralbox._cli import output

from ..report.journals import Kept, journal
from .conftest import run


def test_without_a_terminal_it_says_once_what_the_batch_came_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neuralbox._watch.journal_view._FIRST_SPANS", 1)
    path = journal(tmp_path / "run.sqlite", [Kept(f"{at}", reaches="planned") for at in range(300)])
    left = run("watch", path)
    assert left.lines[:2] == ["stopped, 0 of 300, 0 %", "0 tokens, 300 not sent yet"]
    [record] = run("watch", path, "--json").records
    assert (record["total"], record["planned"], record["running"]) == (300, 300, None)


def test_a_terminal_gets_the_live_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(output, "is_terminal", lambda _stream: True)
    monkeypatch.setattr("neuralbox._watch.screen.WatchApp.run", lambda app: shown.append(app._view.journal))
    path = journal(tmp_path / "run.sqlite", [Kept("a")])
    assert run("watch", path).out == ""
    assert shown == [str(path)]


def test_what_is_no_journal_is_one_line(tmp_path: Path) -> None:
    left = run("watch", tmp_path / "none.sqlite")
    assert left.code == 2
    assert "There is no journal" in left.sentence


def test_without_its_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "is_terminal", lambda _stream: True)
    monkeypatch.delitem(sys.modules, "neuralbox._watch.screen", raising=False)
    monkeypatch.setitem(sys.modules, "textual.app", None)
    left = run("watch", journal(tmp_path / "run.sqlite", [Kept("a")]))
    assert "pip install 'neuralbox[watch]'" in left.sentence


def test_a_journal_in_a_database_is_shown_by_another_command_and_its_password_by_none() -> None:
    left = run("watch", "postgresql://me:planted-secret@db.test/box#summer")
    assert left.code == 2
    assert "neuralbox batch status 'postgresql://" in left.sentence
    assert "planted-secret" not in left.out + left.sentence
