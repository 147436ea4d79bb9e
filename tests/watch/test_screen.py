"""The live view as a person meets it: what stands on the screen at 40, 80 and 120 columns, and what each key does."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from anyio import to_thread
from textual.pilot import Pilot

from neuralbox._journal import PlannedRequest
from neuralbox._watch.journal_view import JournalView
from neuralbox._watch.screen import WatchApp, open_with_system

from ..journal.files import Clock, a_journal
from ..report.journals import Kept, journal, picture

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """textual runs on asyncio alone."""
    return "asyncio"


def shown(app: WatchApp) -> list[str]:
    """The lines on the screen."""
    return ["".join(segment.text for segment in line).rstrip() for line in app.screen._compositor.render_strips()]


def said(app: WatchApp) -> list[str]:
    """What was notified, the last at the end."""
    return [note.message for note in app._notifications]


async def refreshed(pilot: Pilot[None], app: WatchApp) -> str:
    await app._refresh()
    await pilot.pause()
    return "\n".join(shown(app))


async def a_journal_of(path: Path, records: list[Kept]) -> Path:
    """Written by an event loop of its own."""
    return await to_thread.run_sync(journal, path, records)


async def a_batch(tmp_path: Path) -> Path:
    out = tmp_path / "out"
    out.mkdir()
    (out / "heron.png").write_bytes(picture())
    (out / "page.svg").write_text("<svg/>")
    return await a_journal_of(
        tmp_path / "run.sqlite",
        [
            Kept("heron", path="out/heron.png"),
            Kept("crane", reaches="final", said={"status": "failed", "error": "content\x1b[31m policy"}, tokens=0),
            Kept("stork", reaches="accepted"),
            Kept("gone", path=out / "gone.png"),
            Kept("page", path=out / "page.svg"),
            Kept("text", reaches="final"),
            *(Kept(f"egret {number}", reaches="final") for number in range(30)),
            Kept("last", reaches="planned"),
        ],
    )


@pytest.mark.parametrize("width", [40, 80, 120])
async def test_what_a_batch_came_to_fits_the_screen(tmp_path: Path, width: int) -> None:
    app = WatchApp(JournalView(await a_batch(tmp_path)), every=60)
    async with app.run_test(size=(width, 24)) as pilot:
        await pilot.pause()
        lines = shown(app)
        text = " ".join(" ".join(lines).split())
        assert max(map(len, lines)) <= width
        for words in ("run.sqlite", "stopped", "35 of 37, 94 %", "1 failed", "136 tokens", "[1 Open 1]", "2 Failed 1"):
            assert words in text
        assert "neuralbox batch resume" in text
        assert any(line.startswith(" stork") and "waiting" in line for line in lines)
        await pilot.press("2")
        text = "\n".join(shown(app))
        assert "[2 Failed 1]" in text
        assert "content [31m policy" in await refreshed(pilot, app)
        assert "content [31m policy" in shown(app)[-2]


async def test_keys_choose_a_list_and_a_line_and_open_a_file(tmp_path: Path) -> None:
    opened: list[Path] = []

    def open_file(file: Path) -> bool:
        opened.append(file)
        return len(opened) == 1

    app = WatchApp(JournalView(await a_batch(tmp_path)), every=60, open_file=open_file)
    async with app.run_test(size=(80, 16), notifications=True) as pilot:
        await pilot.press("o")
        assert said(app) == ["It has no file."]
        await pilot.press("tab", "tab")
        assert shown(app)[-2].strip(" ▌") == "egret 29 · completed · flux · 18035"
        await pilot.press("end", "o", "c")  # the first that ended is the last of the list
        assert shown(app)[-2].startswith(" out/heron.png")
        assert opened == [tmp_path / "out" / "heron.png"]
        assert app.clipboard == str(opened[0])
        await pilot.press("enter")
        assert said(app)[-1] == f"No program here opens it: {opened[0]}"
        await pilot.press("up", "o", "c")
        assert said(app)[-1] == f"There is no file {tmp_path}/out/gone.png any more."
        await pilot.press("up", "o")
        assert said(app)[-1] == f"It may be a program, so it was not opened: {tmp_path}/out/page.svg"
        assert len(opened) == 2
        await pilot.press("home", "pagedown", "pageup", "j", "down", "k")
        assert app.requests.cursor == 1
        await pilot.click(app.requests, offset=(3, 3))
        assert app.requests.cursor == 3
        await pilot.click(app.requests, offset=(3, 0))
        await pilot.press("1")
        await pilot.click(app.requests, offset=(3, 4))  # below the only line
        assert app.requests.cursor == 0
        await pilot.press("q")
    assert app.return_code == 0


async def test_a_running_batch_is_followed_and_a_resized_terminal_drawn_anew(tmp_path: Path) -> None:
    path, clock = tmp_path / "run.sqlite", Clock()
    async with await a_journal(path, clock) as kept:
        await kept.plan([PlannedRequest(f"r{number}", {}) for number in range(1, 41)])
        for number in range(1, 21):
            await kept.sending(f"r{number}", {})
            if number <= 12:
                await kept.accepted(f"r{number}", id=number, kind="image", model="flux")
        app = WatchApp(JournalView(path, clock.now), every=60, now=clock.now)
        async with app.run_test(size=(80, 20)) as pilot:
            assert "sending 0:00" in await refreshed(pilot, app)
            await pilot.press("down", "down")
            chosen = app.requests.chosen
            assert chosen is not None
            for number in range(1, 11):
                clock.unix += 1
                if f"r{number}" != chosen.key:
                    await kept.final(f"r{number}", {"status": "completed", "tokens": 4})
            await kept.flush()
            text = await refreshed(pilot, app)
            assert "9 of 40" in text
            assert "last minute" in text
            assert app.requests.chosen is not None
            assert app.requests.chosen.key == chosen.key  # it stays although what stood before it has ended
            await kept.final(chosen.key, {"status": "completed"})
            await kept.flush()
            await refreshed(pilot, app)
            assert app.requests.chosen.key != chosen.key
            await pilot.resize_terminal(30, 12)
            await refreshed(pilot, app)  # on a busy machine it is drawn later
            assert max(map(len, shown(app))) <= 30
            await pilot.press("end")
            await pilot.resize_terminal(100, 40)
            await refreshed(pilot, app)
            assert any("running: process" in line for line in shown(app))


async def test_an_empty_journal_and_a_long_one_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuralbox._watch.journal_view._FIRST_SPANS", 1)
    empty = WatchApp(JournalView(await a_journal_of(tmp_path / "empty.sqlite", [])), every=60)
    async with empty.run_test(size=(80, 12)):
        assert "Nothing." in "\n".join(shown(empty))
    path = await a_journal_of(tmp_path / "run.sqlite", [Kept(str(at), reaches="planned") for at in range(600)])
    app = WatchApp(JournalView(path), every=60)
    async with app.run_test(size=(80, 12)) as pilot:
        assert "Reading the journal: 344 to go." in "\n".join(shown(app))
        assert "88 to go." in await refreshed(pilot, app)
        assert "to go" not in await refreshed(pilot, app)


async def test_a_journal_that_goes_away_is_a_line_and_not_the_end(tmp_path: Path) -> None:
    path = await a_journal_of(tmp_path / "run.sqlite", [Kept("a")])
    app = WatchApp(JournalView(path), every=60)
    async with app.run_test(size=(80, 12)) as pilot:
        path.rename(tmp_path / "away.sqlite")
        assert "There is no journal" in await refreshed(pilot, app)
        (tmp_path / "away.sqlite").rename(path)
        assert "There is no journal" not in await refreshed(pilot, app)
        app._is_reading = True  # a reading takes longer than the pause between two
        await app._refresh()
        assert app._is_reading


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_that_ends_it_gives_the_terminal_back(tmp_path: Path, number: int) -> None:
    app = WatchApp(JournalView(await a_journal_of(tmp_path / "run.sqlite", [])), every=60)
    async with app.run_test(size=(80, 12)):
        os.kill(os.getpid(), number)
        with anyio.fail_after(30):
            while app.is_running:  # noqa: ASYNC110 - nothing tells of it
                await anyio.sleep(0.01)
    assert app.return_code == 128 + number


def test_the_system_opens_a_file_where_it_has_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Any] = []
    done = threading.Event()
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert not open_with_system(tmp_path / "a.png")

    def run(command: list[str], **options: Any) -> SimpleNamespace:
        ran.append((command, options["stdout"]))
        done.set()
        return SimpleNamespace()

    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    monkeypatch.setattr("subprocess.run", run)
    assert open_with_system(tmp_path / "a.png")
    assert done.wait(5)
    assert ran == [([ran[0][0][0], str(tmp_path / "a.png")], subprocess.DEVNULL)]
