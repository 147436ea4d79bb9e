"""The live view on a terminal, drawn by textual: how far it is, what runs, what failed and why, what is done and where its file is.

The journal is read in a worker thread, five times a second, or once, where it is in a database; a reading that takes longer delays the next. Only the lines that fit
are drawn, and only when they change, so a journal of 100,000 requests costs what a screen of them costs. Words of others
reach the terminal as plain text.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

from rich.cells import set_cell_size
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Click
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Footer, Static

from .._api.content import expected_content
from .._batch.progress_words import duration, wrapped
from .._errors import JournalError
from .._journal import SENDING, JournalMark, is_address
from .._plain_text import clipped, plain
from .journal_view import JournalView, ViewCounts
from .summary import advice_lines, count_words, state_words, view_phrases, worker_lines

EVERY: Final = 0.2
"""Seconds between two refreshes."""
EVERY_OF_SHARED: Final = 1.0
"""The same of a journal in a database, which is others' as well."""
_WORKERS: Final = 4
"""Workers that are shown one by one."""
_BARS: Final = " ▁▂▃▄▅▆▇█"
_ACTIVE: Final = frozenset({"htm", "html", "svg", "xml"})
"""Endings of files that a viewer may run."""
_LISTS: Final = ("running", "failed", "done")
_ENDING: Final = (
    () if sys.platform == "win32" else (signal.SIGTERM, signal.SIGHUP)
)  # Windows has no loop that hears them
"""Signals that would end the process with the terminal still drawn on."""


class RequestList(Widget, can_focus=True):
    """One of the three lists, with a line that is chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home,g", "move(-1_000_000)", "First", show=False),
        Binding("end,G", "move(1_000_000)", "Last", show=False),
    ]
    cursor: reactive[int] = reactive(0)

    def __init__(self, describe: Callable[[JournalMark], tuple[str, str]], on_choice: Callable[[], None]) -> None:
        super().__init__()
        self._on_choice = on_choice
        self._describe = describe
        self._marks: Sequence[JournalMark] = ()
        self._top = 0
        self._drawn: str | None = None

    @property
    def chosen(self) -> JournalMark | None:
        """The mark of the chosen line, or None where there is none."""
        return self._marks[self.cursor] if self._marks else None

    @property
    def visible_marks(self) -> Sequence[JournalMark]:
        """What there is room for."""
        return self._marks[self._top : self._top + max(1, self.size.height)]

    def show(self, marks: Sequence[JournalMark]) -> None:
        """Show these; the line that is chosen stays with its request where that is still among them."""
        before = self.chosen
        self._marks = marks
        if before is not None:
            same = (number for number, mark in enumerate(marks) if mark.position == before.position)
            self.cursor = next(same, max(0, min(self.cursor, len(marks) - 1)))
        else:
            self.cursor = 0
        self._scroll()
        if (text := self._text().plain + str(self.cursor)) != self._drawn:
            self._drawn = text
            self.refresh()

    def watch_cursor(self) -> None:
        """Keep the chosen line in sight."""
        self._scroll()
        self.refresh()
        self._on_choice()

    def _scroll(self) -> None:
        height = max(1, self.size.height)
        self._top = max(0, min(self._top, len(self._marks) - height))
        self._top = min(max(self._top, self.cursor - height + 1), self.cursor)

    def action_move(self, lines: int) -> None:
        """Choose another line, so many further down."""
        self.cursor = max(0, min(self.cursor + lines, len(self._marks) - 1))

    def action_page(self, pages: int) -> None:
        """Choose another line, so many screens further down."""
        self.action_move(pages * max(1, self.size.height - 1))

    def on_click(self, event: Click) -> None:
        """Choose the line that was clicked."""
        if self._top + event.y < len(self._marks):
            self.cursor = self._top + event.y

    def on_resize(self) -> None:
        """Show what there is room for now."""
        self._scroll()

    def _text(self) -> Text:
        width = max(1, self.size.width)
        lines = Text(no_wrap=True, overflow="crop")
        for number, mark in enumerate(self.visible_marks, self._top):
            name, said = self._describe(mark)
            room = max(8, min(28, width // 3))
            line = f"{set_cell_size(clipped(name, room), room)}  {said}"
            lines.append(set_cell_size(line, width) + "\n", style="reverse" if number == self.cursor else "")
        return lines

    def render(self) -> Text:
        """Draw the lines that there is room for."""
        return self._text() if self._marks else Text("Nothing.", style="dim")


class WatchApp(App[None]):
    """The program.

    Args:
        view: What it shows; read by one worker thread at a time.
        options: The caller's own options, which the commands that it names repeat.
        every: Seconds between two refreshes; None for what suits the journal.
        open_file: Opens a file in the program that the system has for it.
        now: Unix seconds.
    """

    ENABLE_COMMAND_PALETTE = False
    TITLE = "neuralbox watch"
    CSS = """
    Screen { layout: vertical; }
    #head { height: auto; padding: 0 1; }
    #tabs { height: 1; padding: 0 1; text-style: bold; }
    RequestList { height: 1fr; padding: 0 1; }
    #chosen { height: auto; max-height: 5; padding: 0 1; border-top: solid $primary; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,escape", "quit", "Quit"),
        Binding("o,enter", "open", "Open"),
        Binding("c", "copy", "Copy path"),
        Binding("tab", "next", "Next list", priority=True),
        Binding("1", "list(0)", show=False),
        Binding("2", "list(1)", show=False),
        Binding("3", "list(2)", show=False),
    ]
    shown: reactive[int] = reactive(0)

    def __init__(
        self,
        view: JournalView,
        *,
        options: Sequence[str] = (),
        every: float | None = None,
        open_file: Callable[[Path], bool] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self._view = view
        self._options = options
        self._every = every or (EVERY_OF_SHARED if is_address(view.journal) else EVERY)
        self._open_file = open_file or open_with_system
        self._now = now
        self._is_laid_out = self._is_reading = False
        self._problem = ""
        self._reasons: dict[int, str] = {}
        self._lists: Sequence[Sequence[JournalMark]] = ((), (), ())
        self._words: dict[str, str] = {}
        self.requests = RequestList(self._describe, self._draw_chosen)

    def compose(self) -> ComposeResult:
        """Lay it out."""
        yield Static(id="head", markup=False)
        yield Static(id="tabs", markup=False)
        yield self.requests
        yield Static(id="chosen", markup=False)
        yield Footer(show_command_palette=False)

    async def on_mount(self) -> None:
        """Begin."""
        for number in _ENDING:
            asyncio.get_running_loop().add_signal_handler(number, partial(self.exit, return_code=128 + number))
        self._is_laid_out = True
        self.requests.focus()
        await self._refresh()
        self.set_interval(self._every, self._refresh)

    def on_unmount(self) -> None:
        """End."""
        for number in _ENDING:
            asyncio.get_running_loop().remove_signal_handler(number)

    async def _refresh(self) -> None:
        if self._is_reading:
            return
        self._is_reading = True
        failed = self.requests.visible_marks if self.shown == 1 else ()
        try:
            self._lists = await asyncio.to_thread(self._read, failed)
            self._problem = ""
        except JournalError as error:
            self._problem = error.message
        finally:
            self._is_reading = False
        self._draw()

    def _read(self, failed: Sequence[JournalMark]) -> Sequence[Sequence[JournalMark]]:
        view = self._view
        view.refresh()
        lists = view.on_its_way(), view.failed(), view.done()
        for mark in failed or lists[1][:1]:
            self._reasons[mark.position] = view.reason(mark)
        return lists

    # Drawing.

    def watch_shown(self) -> None:
        """Show another list."""
        self.requests.cursor = 0
        self._draw()

    def on_resize(self) -> None:
        """Draw for the size that the terminal has now."""
        self._draw()

    def _draw(self) -> None:
        if not self._is_laid_out:
            return
        counts, width = self._view.counts, max(20, self.size.width - 2)
        self._put("#head", "\n".join(self._head(counts, width)))
        self._put("#tabs", self._tabs(counts, width))
        self.requests.show(self._lists[self.shown])
        self._draw_chosen()

    def _draw_chosen(self) -> None:
        if self._is_laid_out:
            self._put("#chosen", self._about(self.requests.chosen))

    def _put(self, where: str, words: str) -> None:
        if self._words.get(where) == words:
            return
        # To lay the screen out anew costs ten times what drawing some words does.
        is_higher = self._height(self._words.get(where, "")) != self._height(words)
        self._words[where] = words
        self.query_one(where, Static).update(Text(words), layout=is_higher)

    def _height(self, words: str) -> int:
        width = max(1, self.size.width - 2)
        return sum(max(1, -(-len(line) // width)) for line in words.split("\n"))

    def _head(self, counts: ViewCounts, width: int) -> Sequence[str]:
        name = plain(os.fspath(self._view.name))
        state = state_words(counts)
        room = width - len(state) - 2
        first = f"{_end_of(name, room):<{room}}  {state}" if room >= 12 else _end_of(name, width)
        lines = [first] if room >= 12 else [first, state]
        count = count_words(counts)
        bar = width - len(count) - 1
        share = counts.ended / counts.total if counts.total else 0.0
        lines.append(f"{count} {'━' * round(bar * share)}{'─' * (bar - round(bar * share))}" if bar >= 8 else count)
        lines += wrapped(view_phrases(counts), width)
        if counts.owner is not None and any(ends := self._view.ends(min(30, width - 14))):
            most = max(ends)
            lines.append("last minute  " + "".join(_BARS[-(-count * 8 // most)] for count in ends))
        lines += worker_lines(counts, width=width, most=_WORKERS)
        lines += advice_lines(self._view.name, counts, self._options)
        if counts.unread:
            lines.append(f"Reading the journal: {counts.unread:,} to go.")
        if self._problem:
            lines.append(self._problem)
        return lines

    def _tabs(self, counts: ViewCounts, width: int) -> str:
        numbers = (counts.sending + counts.accepted, counts.failed, counts.completed)
        names = ("Running", "Failed", "Done") if counts.owner is not None else ("Open", "Failed", "Done")
        tabs = [
            f"[{number} {name} {count:,}]" if number - 1 == self.shown else f" {number} {name} {count:,} "
            for number, (name, count) in enumerate(zip(names, numbers, strict=True), 1)
        ]
        line = " ".join(tabs)
        return line if len(line) <= width else clipped(" ".join(map(str.strip, tabs)), width)

    def _describe(self, mark: JournalMark) -> tuple[str, str]:
        """Say of a request its name, and the rest of its line."""
        model = clipped(plain(mark.model or mark.kind or ""), 24)
        if self.shown == 0:
            since = mark.sent_at if mark.accepted_at is None else mark.accepted_at
            word = (
                "waiting" if mark.state != SENDING else "sending" if self._view.counts.owner is not None else "unknown"
            )
            passed = "" if since is None else f" {duration(self._now() - since)}"
            return plain(mark.key), f"{word}{passed}  {model}"
        took = mark.final_at is not None and mark.sent_at is not None
        seconds = duration((mark.final_at or 0.0) - (mark.sent_at or 0.0)) if took else ""
        if self.shown == 1:
            return plain(mark.key), self._reasons.get(mark.position, "")
        cost = "" if mark.tokens is None else f"{mark.tokens:,} tok"
        place = "" if mark.path is None else Path(plain(mark.path)).name
        return plain(mark.key), "  ".join(part for part in (seconds, cost, place or model) if part)

    def _about(self, mark: JournalMark | None) -> str:
        """Say all there is to know of the chosen request."""
        if mark is None:
            return ""
        facts = [plain(mark.key), mark.status or mark.state, plain(mark.model or ""), plain(str(mark.id or ""))]
        lines = [" · ".join(fact for fact in facts if fact)]
        if self.shown == 1 and mark.position in self._reasons:
            lines.append(self._reasons[mark.position])
        if mark.path is not None:
            lines.append(plain(mark.path))
        return "\n".join(lines)

    # Keys.

    def action_list(self, number: int) -> None:
        """Show a list: what runs, what failed, what is done."""
        self.shown = number

    def action_next(self) -> None:
        """Show the next list."""
        self.shown = (self.shown + 1) % len(_LISTS)

    def action_copy(self) -> None:
        """Copy the path of the chosen request's file."""
        file = self._file()
        if file is not None:
            self.copy_to_clipboard(str(file))
            self.notify("Copied.", timeout=2)

    def action_open(self) -> None:
        """Open the file of the chosen request."""
        file = self._file()
        if file is None:
            return
        ending = file.suffix.lower().removeprefix(".")
        if expected_content(file.name, None) is None or ending in _ACTIVE:
            self.notify(f"It may be a program, so it was not opened: {plain(str(file))}", severity="warning")
        elif not self._open_file(file):
            self.notify(f"No program here opens it: {plain(str(file))}", severity="warning")

    def _file(self) -> Path | None:
        """Find the file of the chosen request."""
        mark = self.requests.chosen
        if mark is None or mark.path is None:
            self.notify("It has no file.", timeout=2)
            return None
        noted = Path(mark.path)
        # A relative path was relative to where the batch ran; that may have been beside the journal.
        beside = [] if is_address(self._view.journal) else [Path(self._view.journal).parent / noted]
        for place in (noted, *beside):
            if place.is_file():
                return place.absolute()
        self.notify(f"There is no file {plain(mark.path)} any more.", severity="warning")
        return None


def _end_of(name: str, room: int) -> str:
    """Cut a path at its beginning: its end tells more."""
    return name if len(name) <= room else f"…{name[len(name) - room + 1 :]}"


def open_with_system(file: Path) -> bool:
    """Open a file in the program that the system has for it; False where it has none."""
    command = shutil.which({"darwin": "open", "win32": "explorer"}.get(sys.platform, "xdg-open"))
    if command is None:
        return False
    nothing = subprocess.DEVNULL
    start = partial(subprocess.run, [command, str(file)], stdin=nothing, stdout=nothing, stderr=nothing, check=False)
    threading.Thread(target=start, daemon=True).start()  # some go on for as long as the file is shown
    return True
