"""`neuralbox watch` where there is no terminal, and where it takes one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from neuralbox import VideoRequest
from neuralbox._batch.planning import plan
from neuralbox._cli import exit_codes, output

from ..postgres import PostgresServer
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
    monkeypatch.setattr(
        "neuralbox._watch.screen.WatchApp.run", lambda app: shown.append([app._view.journal, app._options])
    )
    path = journal(tmp_path / "run.sqlite", [Kept("a")])
    assert run("watch", path, "--profile", "work").out == ""
    assert shown == [[str(path), ["--profile", "work"]]]


def test_the_journal_may_be_the_one_of_the_environment(tmp_path: Path) -> None:
    path = journal(tmp_path / "run.sqlite", [Kept("a")])
    [record] = run("watch", "--json", NEURALBOX_JOURNAL=str(path)).records
    assert record["total"] == 1


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


def test_a_journal_in_a_database_that_cannot_be_reached_is_named_without_its_password() -> None:
    left = run("watch", "postgresql://me:planted-secret@127.0.0.1:1/box#summer")
    assert left.code == exit_codes.UNUSABLE_DISK
    assert "postgresql://me@127.0.0.1:1/box#summer" in left.sentence
    assert "planted-secret" not in left.out + left.sentence


def test_a_journal_in_a_database_is_shown_as_one_in_a_file(postgres: PostgresServer) -> None:
    postgres.empty()
    place = postgres.url("summer")
    plan(place, [VideoRequest(model="kling-v2.1", prompt="a", key="a")], service="http://box.test", now=0.0)
    address = place.replace("postgres@", "postgres:planted-secret@")
    left = run("watch", address)
    assert (left.code, left.lines[0]) == (0, "stopped, 0 of 1, 0 %")
    assert "planted-secret" not in left.out + left.err
