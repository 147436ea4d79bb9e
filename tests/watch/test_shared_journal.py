"""The live view of a run that many workers share: what each does, where the view's spans lie, and what a screen shows of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from neuralbox._errors import JournalError
from neuralbox._journal import MARK_SPAN, read_summary, read_workers
from neuralbox._journal.shared import SharedJournal, shared_of
from neuralbox._watch import JournalView, summary_lines, summary_values
from neuralbox._watch.screen import EVERY_OF_SHARED, WatchApp

from ..journal.files import Clock, a_journal, entries
from ..postgres import PostgresServer
from .test_screen import refreshed

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """textual runs on asyncio alone."""
    return "asyncio"


@pytest.fixture
def place(postgres: PostgresServer) -> str:
    postgres.empty()
    return postgres.url("summer")


@asynccontextmanager
async def a_worker(place: str, clock: Clock, *keys: str) -> AsyncIterator[SharedJournal]:
    async with await a_journal(place, clock) as journal:
        shared = shared_of(journal)
        assert shared is not None
        await journal.plan(entries(*keys))
        yield shared


async def lead(journal: SharedJournal, key: str, number: int, *, to: str) -> None:
    await journal.sending(key, {"key": key})
    await journal.accepted(key, id=number, kind="image", model="flux")
    if to != "accepted":
        await journal.final(key, {"status": to, "tokens": 4, "said": {"error": "no \x1b[31m"}})
        await journal.flush()


async def test_each_worker_is_said_with_what_it_does_and_what_holds_it_up(place: str, postgres: PostgresServer) -> None:
    clock = Clock()
    async with a_worker(place, clock, "a", "b", "c") as first, a_worker(place, clock, "d", "e") as second:
        clock.unix += 30
        await lead(first, "a", 1, to="completed")
        await lead(first, "b", 2, to="failed")
        await lead(second, "d", 4, to="accepted")
        await second.tell((clock.unix + 60, "hour"))
        view = JournalView(place, clock.now)
        counts = view.refresh()
        one, two = counts.workers
        assert [one, two] == [*read_workers(place, clock.unix)]
        assert (one.in_flight, one.per_minute, one.tokens, one.throttled_until) == (0, 4.0, 8, None)
        assert (two.in_flight, two.per_minute, two.tokens) == (1, 0.0, 0)
        assert (two.throttled_until, two.throttled_by) == (clock.unix + 60, "hour")
        assert (counts.total, counts.planned, counts.completed, counts.failed, counts.tokens) == (5, 2, 1, 1, 8)
        assert counts.seconds == 30
        assert view.reason(view.failed()[0]) == "no [31m"
        assert [worker["number"] for worker in summary_values(counts)["workers"]] == [one.number, two.number]
        lines = summary_lines(view.name, counts)
        assert lines[0].startswith("running: 2 workers, 2 of 5")
        assert [line.partition(":")[2].partition(" ")[2] for line in lines[2:]] == [
            lines[2].partition(":")[2].partition(" ")[2],
            "· 0 in flight · 4 jobs/min · 8 tokens",
        ]
        assert "hourly limit used up until" in lines[2]
        clock.unix += 61
        await second.tell(None)
        assert [worker.per_minute for worker in view.refresh().workers] == [0.0, 0.0]
        assert view.counts.workers[1].throttled_until is None
        postgres.execute("UPDATE neuralbox.owner SET about = 'of a later version'")
        assert view.refresh().workers[0].throttled_until is None
    counts = view.refresh()
    assert (counts.owner, [*counts.workers]) == (None, [])
    assert summary_lines(view.name, counts)[0] == "stopped, 2 of 5, 40 %"
    assert [*read_workers(place, clock.unix)] == []


async def test_a_single_worker_is_said_once_unless_something_holds_it_up(place: str) -> None:
    clock = Clock()
    async with a_worker(place, clock, "a") as journal:
        view = JournalView(place, clock.now)
        view.refresh()
        assert len(summary_lines(view.name, view.counts)) == 2
        await journal.tell((clock.unix + 60, "day"))
        assert "daily limit used up until" in summary_lines(view.name, view.refresh())[2]


async def test_the_spans_of_a_run_leave_out_what_others_planned_between(place: str) -> None:
    clock, other = Clock(), place.replace("#summer", "#winter")
    keys = [f"r{number:04d}" for number in range(2 * MARK_SPAN + 7)]
    async with a_worker(place, clock, *keys[: MARK_SPAN - 6]) as first, a_worker(other, clock, "w1") as second:
        view = JournalView(place, clock.now)
        assert view.refresh().total == MARK_SPAN - 6
        for number, key in enumerate(keys[MARK_SPAN - 6 :]):
            await second.plan(entries(f"w{number + 2}"))
            await first.plan(entries(key))
        await lead(first, keys[0], 1, to="completed")
        await lead(first, keys[-1], 2, to="accepted")
        view.refresh()
        view.refresh()
        counts = view.refresh()
        assert (counts.total, counts.unread) == (len(keys), 0)
        assert (counts.planned, counts.completed, counts.accepted) == (len(keys) - 2, 1, 1)
        assert [mark.key for mark in view.on_its_way()] == [keys[-1]]
        assert read_summary(place).total == counts.total


async def test_a_run_that_is_not_there_is_one_clear_error(place: str, postgres: PostgresServer) -> None:
    async with a_worker(place, Clock(), "a"):
        pass
    with pytest.raises(JournalError, match="There is no run 'spring'"):
        JournalView(postgres.url("spring")).refresh()
    with pytest.raises(JournalError, match="cannot be reached") as caught:
        JournalView("postgresql://me:secret@127.0.0.1:1/db#summer").refresh()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("width", [40, 80])
async def test_the_workers_fit_the_screen(place: str, width: int) -> None:
    clock = Clock()
    async with (
        a_worker(place, clock, "a") as first,
        a_worker(place, clock, "b"),
        a_worker(place, clock, "c"),
        a_worker(place, clock, "d"),
        a_worker(place, clock, "e"),
    ):
        await lead(first, "a", 1, to="completed")
        await first.tell((clock.unix + 60, "hour"))
        app = WatchApp(JournalView(place, clock.now), now=clock.now)
        assert app._every == EVERY_OF_SHARED
        async with app.run_test(size=(width, 24)) as pilot:
            text = await refreshed(pilot, app)
            assert "5 workers" in text
            assert "hourly limit used up" in text
            assert "and 1 more workers" in text
            assert all(len(line) <= width for line in text.splitlines())
            await pilot.press("3", "o")  # its file is none of this machine's
