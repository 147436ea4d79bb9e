"""Batches whose journal is a run in PostgreSQL, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from neuralbox._cli.journal_place import page_of, read_place, shown

from ..postgres import PostgresServer
from .conftest import Box

LINES = [{"kind": "image", "model": "flux-1.1-pro", "prompt": f"Lighthouse {at}"} for at in range(3)]


@pytest.fixture
def place(postgres: PostgresServer) -> str:
    postgres.empty()
    return postgres.url("summer")


def write(name: str = "run.jsonl") -> None:
    Path(name).write_text("\n".join(json.dumps(line) for line in LINES) + "\n")


def test_a_run_in_a_database_is_planned_worked_on_shown_and_continued(
    box: Box, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write()
    left = box("batch", "plan", "run.jsonl", "--journal", place)
    assert (left.code, left.out) == (0, "3 planned, 0 known already.\n")
    assert place in left.err
    assert box("batch", "plan", "run.jsonl", "--journal", place, "--json").records == [{"planned": 0, "known": 3}]
    monkeypatch.setenv("NEURALBOX_JOURNAL", place)
    left = box("batch", "resume", "--to", "out")
    assert left.code == 0
    assert len(left.lines) == 3
    assert "neuralbox batch report '#summer'" in left.err
    [status] = box("batch", "status", "--json").records
    assert (status["saved"], status["running"]) == (3, None)
    again = box("batch", "run", "run.jsonl", "--journal", "#summer")
    assert (again.code, len(again.lines)) == (0, 3)
    report = box("batch", "report", "#summer")
    assert (report.code, report.out) == (0, "summer.html\n")
    assert box("batch", "accept-restored").code == 0
    assert box.spent == 12


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("batch", "status", "#summer"), "NEURALBOX_JOURNAL"),
        (("batch", "status", "postgresql://me:secret@127.0.0.1:1/db"), "names no run"),
        (("batch", "status", "postgresql://me:secret@127.0.0.1:1/db#run"), "cannot be reached"),
        (("batch", "plan", "run.jsonl", "--journal", "run.sqlite"), "many can share"),
        (("batch", "accept-restored", "run.sqlite"), "Only a journal in a database"),
    ],
)
def test_a_place_that_is_none_is_one_clear_error(box: Box, arguments: tuple[str, ...], words: str) -> None:
    write()
    left = box(*arguments)
    assert left.code != 0
    assert words in " ".join(left.err.replace("│", " ").split())
    assert "secret" not in left.out + left.err


def test_a_command_names_a_journal_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    place = "postgresql://me:secret@host/db#summer/1"
    assert (read_place(place), read_place("a.sqlite")) == (place, Path("a.sqlite"))
    assert shown(place) == "postgresql://me@host/db#summer/1"
    assert page_of(place) == Path("summer_1.html")
    monkeypatch.setenv("NEURALBOX_JOURNAL", place)
    assert shown(read_place("#winter")) == "#winter"
