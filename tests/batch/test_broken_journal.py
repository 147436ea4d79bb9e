"""A journal that breaks in the middle of a run: what was paid for is delivered, and nothing more is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from neuralbox._batch.outcome import BatchOutcome
from neuralbox._errors import JournalError
from neuralbox._journal.grouped import GroupedJournal

from ..helpers import refusal
from .support import a_service, batches, images, outcomes_of, run_through, videos

pytestmark = pytest.mark.anyio


def broken(monkeypatch: pytest.MonkeyPatch, **marks: int) -> None:
    """Let marks fail from the n-th on: `accepted=2` makes the first one and no further."""
    made: dict[str, int] = {}

    class Broken(GroupedJournal):
        pass

    def breaking(name: str, whole: Any) -> Any:
        async def mark(self: GroupedJournal, *args: Any, **kwargs: Any) -> Any:
            made[name] = made.get(name, 0) + 1
            if made[name] >= marks[name]:
                raise JournalError("The disk is full.", reason="full")
            return await whole(self, *args, **kwargs)

        return mark

    for name in marks:
        monkeypatch.setattr(Broken, name, breaking(name, getattr(GroupedJournal, name)))
    monkeypatch.setattr("neuralbox._journal.opening.GroupedJournal", Broken)


@pytest.mark.parametrize("mark", ["plan", "sending", "accepted", "final", "saved"])
async def test_a_disk_that_fills_up_loses_nothing_that_was_paid_for(
    path: Path, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    world = a_service(ends=lambda number, body: "slow" if number % 2 else "answered")
    requests = images(20)
    found: list[BatchOutcome] = []
    with monkeypatch.context() as patch:
        broken(patch, **{mark: 3})
        batch = batches(world)(requests, journal=path, max_in_flight=4, wait_timeout=None, download_to=path.parent)
        with pytest.raises(JournalError, match="disk is full"):
            await run_through(batch, found)
    assert len(found) == len(world.ledger)
    assert all(outcome.ok for outcome in found)
    assert batch.unfinished == ()
    second = await outcomes_of(batches(world)(requests, journal=path, wait_timeout=None))
    assert all(outcome.ok for outcome in second.values())
    assert len(second) == 20
    assert set(world.charges.values()) == {1}


async def test_a_bug_while_writing_an_id_down_loses_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def accepted(self: GroupedJournal, *_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(GroupedJournal, "accepted", accepted)
    found: list[BatchOutcome] = []
    with pytest.raises(ZeroDivisionError):
        await run_through(
            batches(a_service(seconds=0))(videos(3), journal=path, max_sending=1, wait_timeout=None), found
        )
    assert [outcome.ok for outcome in found] == [True]


async def test_a_refusal_that_cannot_be_written_down_is_an_outcome(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = a_service(ends=lambda number, body: refusal(400, "bad_request"))
    broken(monkeypatch, planned_again=1)
    found: list[BatchOutcome] = []
    with pytest.raises(JournalError):
        await run_through(batches(world)(images(1), journal=path), found)
    assert len(found) == 1


async def test_a_retry_that_cannot_be_written_down_is_not_sent(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = a_service(ends=lambda number, body: "failed")
    await outcomes_of(batches(world)(images(1), journal=path))
    broken(monkeypatch, planned_again=1)
    with pytest.raises(JournalError):
        await outcomes_of(batches(world)(images(1), journal=path, retry_failed=True))
    assert len(world.posts) == 1


@pytest.mark.parametrize("in_the_block", [True, False])
async def test_a_journal_that_cannot_be_closed_is_said(
    path: Path, monkeypatch: pytest.MonkeyPatch, in_the_block: bool
) -> None:
    async def aclose(self: GroupedJournal) -> None:
        await whole(self)
        raise JournalError("Could not be closed.")

    whole = GroupedJournal.aclose
    monkeypatch.setattr(GroupedJournal, "aclose", aclose)

    async def block() -> None:
        async with batches(a_service())(images(1), journal=path):
            if in_the_block:
                raise LookupError("mine")

    with pytest.raises(LookupError if in_the_block else JournalError) as caught:
        await block()
    if in_the_block:
        assert caught.value.__notes__ == ["Could not be closed."]


async def test_a_run_that_cannot_begin_leaves_the_journal_free(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def summary(self: GroupedJournal) -> None:
        raise JournalError("Cannot be read.")

    with monkeypatch.context() as patch:
        patch.setattr(GroupedJournal, "summary", summary)
        with pytest.raises(JournalError, match="Cannot be read"):
            await outcomes_of(batches(a_service())(images(1), journal=path, budget=10))
    assert len(await outcomes_of(batches(a_service())(images(1), journal=path))) == 1


async def test_a_journal_that_cannot_be_read_ends_the_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def summary(self: GroupedJournal) -> None:
        raise JournalError("Cannot be read.")

    monkeypatch.setattr(GroupedJournal, "summary", summary)
    world = a_service()
    with pytest.raises(JournalError, match="Cannot be read"):
        await outcomes_of(batches(world)(images(1), journal=path))
    assert len(world.posts) == 0


async def test_a_bug_on_the_way_from_the_journal_is_raised_and_hangs_nobody(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def generation_of(record: object, service: object) -> None:
        raise ZeroDivisionError

    world = a_service()
    await outcomes_of(batches(world)(images(2), journal=path))
    monkeypatch.setattr("neuralbox._batch.reader.generation_of", generation_of)
    with pytest.raises(ZeroDivisionError):
        await outcomes_of(batches(world)(images(2), journal=path))
