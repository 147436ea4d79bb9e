"""Reading without owning: for `batch status` and reports, while another process writes or after it has ended."""

# ruff: noqa: ASYNC240 - they look at the files between the steps

from __future__ import annotations

import os
from pathlib import Path

import pytest

from neuralbox._journal import ACCEPTED, PLANNED, read_records, read_summary
from neuralbox._journal.sqlite import rows as rows_module

from .files import SERVICE, Clock, a_journal, entries, refused

pytestmark = pytest.mark.anyio


async def test_a_running_journal_can_be_read(tmp_path: Path) -> None:
    path, clock = tmp_path / "jobs ?#% 1.sqlite", Clock()
    async with await a_journal(path, clock) as journal:
        await journal.plan(entries("one", "two"))
        await journal.accepted("two", id=2)
        found = read_summary(path)
        assert (found.planned, found.accepted, found.service) == (1, 1, SERVICE)
        assert found.owner is not None
        assert (found.owner.pid, found.owner.since) == (os.getpid(), clock.unix)
        assert found == await journal.summary()
        assert [one.key for one in read_records(path, states=[ACCEPTED])] == ["two"]
    assert read_summary(path).owner is None
    assert sorted(one.name for one in tmp_path.iterdir()) == [path.name, f"{path.name}-lock"]


async def test_records_come_in_pages_and_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "_PAGE_RECORDS", 3)
    path = tmp_path / "jobs.sqlite"
    async with await a_journal(path) as journal:
        await journal.plan(entries(*"abcdefgh"))
    assert "".join(one.key for one in read_records(path)) == "abcdefgh"
    assert "".join(one.key for one in read_records(path, states=[PLANNED], after=5)) == "fgh"


@pytest.mark.parametrize("wal", [False, True])
async def test_a_journal_in_a_folder_that_may_not_be_written_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, wal: bool
) -> None:
    path = tmp_path / "jobs.sqlite"
    journal = await a_journal(path)
    await journal.plan(entries("one"))
    if not wal:
        await journal.aclose()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert read_summary(path).planned == 1
    await journal.aclose()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with refused("missing", "There is no journal .*nothing.sqlite"):
        read_summary(tmp_path / "nothing.sqlite")
    with refused("missing"):
        list(read_records(tmp_path / "nothing.sqlite"))
    assert list(tmp_path.iterdir()) == []
