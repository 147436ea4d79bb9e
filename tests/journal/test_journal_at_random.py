"""The journal against a model of it: random changes in a row, and random callers at once on a disk that fails."""

# ruff: noqa: PT017 - an error is one of the two things that may happen

from __future__ import annotations

import sqlite3
import tempfile
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralbox._errors import JournalError
from neuralbox._journal.grouped import GroupedJournal
from neuralbox._journal.protocol import ACCEPTED, FINAL, PLANNED, SAVED, SENDING

from .files import Clock, a_journal, entries, everything, store_of
from .memory import MemoryStore, may_follow

KEYS = ("a", "b")

marks = st.lists(
    st.tuples(
        st.sampled_from(KEYS),
        st.sampled_from([PLANNED, SENDING, ACCEPTED, ACCEPTED, FINAL, SAVED, "plan", "reopen"]),
        st.integers(1, 2),
    ),
    max_size=25,
)


@dataclass
class Model:
    """What is known of one key."""

    state: str | None = None
    id: int | None = None
    completed: bool = False
    planned_in: int = 0

    def take(self, mark: str, number: int) -> bool:
        if self.state is None or not may_follow(mark, self.state, same_id=self.id == number, completed=self.completed):
            return False
        if mark == ACCEPTED:
            if self.state in {PLANNED, SENDING}:
                self.state, self.id = ACCEPTED, number
            return True
        self.state = mark
        if mark == PLANNED:
            self.id, self.completed = None, False
        if mark == FINAL:
            self.completed = number == 1
        return True


async def make(journal: Any, key: str, mark: str, number: int) -> bool:
    """Make a mark and have it written; whether it was taken."""
    try:
        if mark == PLANNED:
            await journal.planned_again(key)
        elif mark == SENDING:
            await journal.sending(key, {"prompt": f"a cat called {key}", "number": number})
        elif mark == ACCEPTED:
            await journal.accepted(key, id=number)
        elif mark == FINAL:
            await journal.final(key, {"status": "completed" if number == 1 else "failed", "tokens": number})
        else:
            await journal.saved(key, f"out/{number}", number)
        await journal.flush()
    except JournalError as error:
        assert error.reason == "state"
        assert error.key == key
        return False
    return True


@pytest.mark.uncovered
@pytest.mark.parametrize("store", ["memory", "sqlite"])
@given(story=marks)
@settings(max_examples=30)
def test_changes_in_a_row_do_what_the_rules_say(store: str, story: list[tuple[str, str, int]]) -> None:
    async def play(path: Path) -> None:
        memory, clock = MemoryStore(), Clock()

        async def opened() -> GroupedJournal:
            if store == "sqlite":
                return await a_journal(path)
            return GroupedJournal(memory.reopened(), now=clock.now, clock=clock.clock)

        model = {key: Model() for key in KEYS}
        opening = 1
        journal = await opened()
        for key, mark, number in story:
            one = model[key]
            if mark == "reopen":
                await journal.aclose()
                journal = await opened()
                opening += 1
            elif mark == "plan":
                try:
                    (record,) = await journal.plan(entries(key))
                except JournalError as error:
                    assert error.reason == "duplicate"
                    assert one.planned_in == opening
                else:
                    assert one.planned_in != opening
                    assert record.state == (one.state or PLANNED)
                    one.state, one.planned_in = record.state, opening
            else:
                assert await make(journal, key, mark, number) == one.take(mark, number)
            found = await everything(journal)
            assert {key: (record.state, record.id) for key, record in found.items()} == {
                key: (one.state, one.id) for key, one in model.items() if one.state is not None
            }
        summary = await journal.summary()
        assert summary.completed == sum(one.completed for one in model.values() if one.state in {FINAL, SAVED})
        await journal.aclose()

    with tempfile.TemporaryDirectory() as folder:
        anyio.run(play, Path(folder) / "jobs.sqlite")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("seed", range(6))
def test_callers_at_once_lose_nothing_they_were_promised(tmp_path: Path, backend: str, seed: int) -> None:
    """Cancelled at random, on a disk that is full now and then, and in the end not closed but killed."""
    path = tmp_path / "jobs.sqlite"
    dice, moods = Random(seed), Random(seed)
    promised: dict[str, tuple[str, int | None]] = {}
    rescued: dict[str, int] = {}

    async def caller(journal: Any, number: int) -> None:
        key = f"key {number}"
        with anyio.CancelScope() as scope:
            if dice.random() < 0.3:
                tasks_to_cancel.append(scope)
            try:
                await journal.plan(entries(key))
                promised[key] = (PLANNED, None)
                for _ in range(dice.randrange(4)):
                    await checkpoint()
                await journal.sending(key, {"prompt": f"a cat called {key}"})
                promised[key] = (SENDING, None)
                if dice.random() < 0.2:
                    del promised[key]
                    await journal.planned_again(key)
                    return
                await journal.accepted(key, id=number)
                promised[key] = (ACCEPTED, number)
                if dice.random() < 0.5:
                    await journal.final(key, {"status": "completed"})
            except JournalError as error:
                assert error.reason == "full"
                if error.job is not None:
                    rescued[key] = number
                    assert error.unwritten[key].id == number

    tasks_to_cancel: list[anyio.CancelScope] = []

    async def play() -> None:
        journal = await a_journal(path)
        carry = journal._store.work

        def work(group: Any) -> None:
            if moods.random() < 0.15:
                error = sqlite3.OperationalError("database or disk is full")
                error.sqlite_errorcode = sqlite3.SQLITE_FULL
                raise error
            carry(group)

        journal._store.work = work  # type: ignore[method-assign]  # a disk with moods
        async with anyio.create_task_group() as tasks:
            for number in range(60):
                tasks.start_soon(caller, journal, number)
                if dice.random() < 0.4:
                    await checkpoint()
                if tasks_to_cancel and dice.random() < 0.3:
                    tasks_to_cancel.pop().cancel()
        journal._store.work = carry  # type: ignore[method-assign]  # room again
        await journal.flush()
        store_of(journal).abandon()

        async with await a_journal(path) as journal:
            found = await everything(journal)
            order = [PLANNED, SENDING, ACCEPTED, FINAL]
            for key, (state, generation) in promised.items():
                assert order.index(found[key].state) >= order.index(state)
                assert generation is None or found[key].id == generation
            for key, generation in rescued.items():
                assert found[key].id == generation
            assert sorted(record.position for record in found.values()) == list(range(1, len(found) + 1))

    anyio.run(play, backend=backend)
    assert promised
