"""The journal's files on the disk: made for their owner alone, and never written through what somebody planted."""

# ruff: noqa: ASYNC240 - they look at the files between the steps

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from neuralbox._journal import facts, read_summary, remember

from .files import a_journal, entries, refused

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform == "win32", reason="modes and FIFOs of POSIX")]


def hard(at: Path, victim: Path) -> None:
    at.hardlink_to(victim)


def soft(at: Path, victim: Path) -> None:
    at.symlink_to(victim)


def fifo(at: Path, victim: Path) -> None:
    os.mkfifo(at)


async def test_they_are_made_for_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        async with await a_journal(tmp_path / "jobs.sqlite") as journal:
            await journal.plan(entries("one"))
            found = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert found == dict.fromkeys(
        ("jobs.sqlite", "jobs.sqlite-lock", "jobs.sqlite-wal", "jobs.sqlite-shm", "jobs.sqlite-lock-journal"), 0o600
    )


async def test_one_that_was_shared_on_purpose_stays_so(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    async with await a_journal(path):
        path.chmod(0o640)
    async with await a_journal(path):
        assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("suffix", ["-lock", "-wal", "-shm", "-journal", "-lock-journal"])
@pytest.mark.parametrize("plant", [hard, soft, fifo])
async def test_what_is_planted_beside_it_is_refused_and_left_as_it_is(
    tmp_path: Path, suffix: str, plant: Callable[[Path, Path], None]
) -> None:
    path, victim = tmp_path / "jobs.sqlite", tmp_path / "victim"
    if suffix != "-lock":
        async with await a_journal(path):
            pass
    victim.write_text("mine")
    plant(Path(f"{path}{suffix}"), victim)
    if (suffix, plant) == ("-lock", hard):  # nothing is ever written to it
        with refused("corrupt", "no database"):
            await a_journal(path)
    else:
        with refused("unwritable", f"{suffix} (is|has) .*only you can write"):
            await a_journal(path)
        if suffix != "-lock":
            with refused("unwritable"):
                read_summary(path)
            with refused("unwritable"):
                remember(path, "a", 1)
            assert facts(path) == {}
    assert victim.read_text() == "mine"


async def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    os.mkfifo(path)
    with refused("unwritable", "is no regular file"):
        await a_journal(path)
    with refused("missing"):
        read_summary(path)


async def test_a_second_look_at_an_open_journal_keeps_its_lock(tmp_path: Path) -> None:
    """Closing any handle of a file would free the locks that this process has on it."""
    path = tmp_path / "jobs.sqlite"
    async with await a_journal(path):
        for _ in range(2):
            with refused("locked"):
                await a_journal(path)
            assert read_summary(path).owner is not None
