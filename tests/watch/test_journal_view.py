"""Keeping up with a journal: whatever is written, and wherever, the view comes to what the journal says."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from neuralbox._errors import JournalError
from neuralbox._journal import MARK_SPAN as SPAN
from neuralbox._journal import PlannedRequest, read_summary, remember
from neuralbox._journal.grouped import GroupedJournal
from neuralbox._watch import JournalView, journal_view, summary_lines, summary_values
from neuralbox._watch.journal_view import _KEPT

from ..journal.files import Clock, a_journal, refused, tell
from ..report.journals import Kept, journal

pytestmark = pytest.mark.anyio

ENDS: dict[str, dict[str, Any]] = {
    "completed": {"status": "completed", "tokens": 4},
    "failed": {"status": "failed", "said": {"error": "no\x1b[31m"}},
}


@asynccontextmanager
async def running(path: Path, clock: Clock, count: int) -> AsyncIterator[GroupedJournal]:
    """A journal that somebody has open, with so many requests that were planned: `r1`, `r2` ..."""
    async with await a_journal(path, clock) as kept:
        for first in range(0, count, 500):
            some = range(first + 1, min(first + 500, count) + 1)
            await kept.plan([PlannedRequest(f"r{number}", {"prompt": "x"}) for number in some])
        yield kept


async def lead(kept: GroupedJournal, number: int, *, to: str) -> None:
    """Lead a planned request to a state: `sending`, `accepted`, `failed`, `completed` or `saved`."""
    key = f"r{number}"
    await kept.sending(key, {"prompt": "x"})
    if to != "sending":
        await kept.accepted(key, id=number, kind="image", model="flux")
    if to in {"failed", "completed", "saved"}:
        await kept.final(key, ENDS["failed" if to == "failed" else "completed"])
    if to == "saved":
        await kept.saved(key, f"out/{key}.png", 12)


def settled(view: JournalView) -> JournalView:
    """Refresh as often as a view needs to have gone through everything."""
    for _ in range(6):
        view.refresh()
    return view


async def test_a_view_follows_changes_wherever_they_are(tmp_path: Path) -> None:
    path, clock, rng = tmp_path / "run.sqlite", Clock(), random.Random(7)
    count = 6 * SPAN + 5
    async with running(path, clock, count) as kept:
        view = JournalView(path, clock.now)
        for _ in range(3):
            for number in rng.sample(range(1, count + 1), 60):
                state = rng.choice(["sending", "accepted", "failed", "completed", "saved"])
                try:
                    await lead(kept, number, to=state)
                except JournalError:  # it went further already
                    continue
                clock.unix += 0.01
            await kept.flush()
            seen, said = settled(view).counts, read_summary(path)
            assert (seen.total, seen.planned, seen.sending) == (said.total, said.planned, said.sending)
            assert (seen.accepted, seen.completed, seen.failed) == (said.accepted, said.completed, said.failed)
            assert (seen.saved, seen.tokens, seen.unread) == (said.saved, said.tokens, 0)
            assert len(view.on_its_way()) == seen.sending + seen.accepted
            assert (len(view.done()), len(view.failed())) == (seen.completed, seen.failed)


async def test_what_is_next_and_what_runs_is_seen_at_once(tmp_path: Path) -> None:
    path, clock = tmp_path / "run.sqlite", Clock()
    async with running(path, clock, 3 * SPAN) as kept:
        view = settled(JournalView(path, clock.now))
        for step, to in enumerate(("sending", "accepted", "failed")):
            await lead(kept, 1 + step, to=to)
            await kept.flush()
            seen = view.refresh()
            assert (seen.sending, seen.accepted, seen.failed) == (1, min(step, 1), int(step > 1))
        await kept.plan([PlannedRequest("late", {})])
        assert view.refresh().total == 3 * SPAN + 1
        [failed] = view.failed()
        assert [view.reason(failed), view.reason(failed)] == ["no [31m", "no [31m"]
        clock.unix += 1
        await kept.planned_again("r3")  # it is to be tried once more
        await lead(kept, 3, to="completed")
        await kept.flush()
        assert settled(view).failed() == []
        [done] = view.done()
        assert done.key == "r3"
        assert view.reason(done) == "The service did not say why."


async def test_a_long_journal_is_taken_in_over_several_refreshes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neuralbox._watch.journal_view._FIRST_SPANS", 2)
    path, clock = tmp_path / "run.sqlite", Clock()
    async with running(path, clock, 5 * SPAN):
        view = JournalView(path, clock.now)
        unread = [view.refresh().unread for _ in range(4)]
    assert unread == [4 * SPAN, 2 * SPAN, 0, 0]


async def test_speed_and_time_left_are_of_this_run(tmp_path: Path) -> None:
    path, clock = tmp_path / "run.sqlite", Clock()
    async with running(path, clock, 40) as kept:
        view = JournalView(path, clock.now)
        assert view.refresh().rate_per_minute is None
        for number in range(1, 21):
            await lead(kept, number, to="completed")
            clock.unix += 6.0
        await kept.flush()
        seen = view.refresh()
        assert seen.rate_per_minute == pytest.approx(10, abs=1)
        assert seen.eta_seconds == pytest.approx(120, abs=15)
        assert seen.seconds == pytest.approx(120, abs=1)
        assert sum(view.ends(10)) == pytest.approx(10, abs=1)
        clock.unix += 3_600
        assert view.ends(4) == [0, 0, 0, 0]
        assert (view.refresh().rate_per_minute, view.ends(4)) == (0, [0, 0, 0, 0])
        assert view.counts.eta_seconds is None
    seen = view.refresh()
    assert seen.owner is None
    assert seen.rate_per_minute == pytest.approx(20 * 60 / 114)
    assert seen.seconds == pytest.approx(114)


async def test_no_more_is_kept_of_what_has_ended_than_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuralbox._watch.journal_view._KEPT", 10)
    path, clock = tmp_path / "run.sqlite", Clock()
    async with running(path, clock, 50) as kept:
        view = JournalView(path, clock.now)
        for number in range(1, 51):
            await lead(kept, number, to="completed")
            clock.unix += 1.0
        await kept.flush()
        assert view.refresh().completed == 50
        assert [mark.key for mark in view.done()] == [f"r{number}" for number in range(50, 40, -1)]
        assert len(view._done) == 10
    assert _KEPT == 1_000


@pytest.mark.parametrize(
    ("statement", "column"),
    [
        ("UPDATE records SET state = 'lost'", "state"),
        ("UPDATE records SET tokens = 'many'", "tokens"),
        ("UPDATE records SET final_at = 9e999", "final_at"),
    ],
)
def test_a_damaged_journal_is_one_clear_error(tmp_path: Path, statement: str, column: str) -> None:
    path = journal(tmp_path / "run.sqlite", [Kept("a")])
    tell(path, statement)
    with refused("corrupt", f"`{column}` of request 1"):
        JournalView(path).refresh()


def test_a_path_that_is_no_text_is_a_path(tmp_path: Path) -> None:
    path = journal(tmp_path / "run.sqlite", [Kept("a", path="x")])
    tell(path, "UPDATE records SET path = x'ff2e706e67'")
    view = JournalView(path)
    view.refresh()
    assert view.done()[0].path == "\udcff.png"


# In words.


def stopped(tmp_path: Path, *states: str) -> JournalView:
    view = JournalView(
        journal(tmp_path / "my run.sqlite", [Kept(str(at), reaches=state) for at, state in enumerate(states)])
    )
    view.refresh()
    return view


@pytest.mark.parametrize(
    ("states", "lines"),
    [
        ((), ["stopped, 0 of 0", "0 tokens"]),
        (("saved",), ["ended, 1 of 1, 100 %", "20 jobs/min, 4 tokens, 1 saved, in 0:03"]),
        (
            ("planned", "planned", "sending", "accepted", "final"),
            [
                "stopped, 1 of 5, 20 %",
                "3 jobs/min, 4 of 9 tokens, 1 not sent (budget), 1 unknown, 1 accepted, not ended, 1 not sent yet, in 0:23",
                "Unknown whether accepted: 1. To look for them:  neuralbox reconcile {}",
                "1 not sent (budget); to raise it:  neuralbox batch resume {} --budget TOKENS",
            ],
        ),
        (
            ("accepted",),
            ["stopped, 0 of 1, 0 %", "0 tokens, 1 accepted, not ended", "To continue:  neuralbox batch resume {}"],
        ),
    ],
)
def test_what_a_journal_comes_to_in_words(tmp_path: Path, states: tuple[str, ...], lines: list[str]) -> None:
    view = stopped(tmp_path, *states)
    if "planned" in states:
        remember(view.journal, "command_line", {"budget": 9, "not_sent_budget": 1})
        view = JournalView(view.journal)
        view.refresh()
    name = f"'{view.journal}'"
    assert [*summary_lines(view.journal, view.counts)] == [line.format(name) for line in lines]


async def test_what_runs_is_said_with_its_process(tmp_path: Path) -> None:
    path, clock = tmp_path / "run.sqlite", Clock()
    async with running(path, clock, 2) as kept:
        await lead(kept, 1, to="accepted")
        view = JournalView(path, clock.now)
        view.refresh()
        values = summary_values(view.counts)
        assert values["running"]["pid"] > 0
        assert values["total"] == 2
        first, second = summary_lines(path, view.counts)
        assert first.startswith("running: process ")
        assert second == "0 tokens, 1 waiting, 1 not sent yet, since 0:00"


async def test_of_many_parts_that_change_each_has_its_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, most in (("_LIVE_SPANS", 2), ("_OTHER_SPANS", 1)):
        monkeypatch.setattr(journal_view, name, most)
    read = set[int]()

    path, clock = tmp_path / "run.sqlite", Clock()
    async with running(path, clock, 6 * SPAN) as kept:
        for number in range(6):
            await lead(kept, number * SPAN + 1, to="sending")
        view = settled(JournalView(path, clock.now))
        real = view._read

        def noting(numbers: Sequence[int]) -> Any:
            read.update(numbers)
            return real(numbers)

        monkeypatch.setattr(view, "_read", noting)
        for _ in range(12):
            view.refresh()
    assert read >= {*range(6)}
