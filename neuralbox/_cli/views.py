"""What a terminal shows of a command; plain lines where there is no terminal.

rich draws on terminals only. Everything else is written by `output`, which knows what a closed pipe means (rich ends the
process on one, with 1). Bars are on standard error, so that standard output can be a file meanwhile.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from .._batch.progress_words import wrapped
from . import output

if TYPE_CHECKING:
    from .._demo import DemoReport, DemoTally, View

EVERY: Final = 10.0
"""Seconds between two lines of progress where there is no terminal."""
_SHOWN_PROBLEMS: Final = 5
_GAP: Final = 2
_READABLE: Final = 12  # cells; a last column with less is not worth its place
_WIDE: Final = 60  # cells of a terminal from which on there is room for a bar beside the words


class Meter:
    """How far something is; this one shows nothing."""

    def show(self, done: float, total: float | None, words: str = "", details: Sequence[str] = ()) -> None:
        """Show it.

        Args:
            done: So much is done.
            total: Of so much, or None where nobody knows.
            words: What else there is to show, beside the bar.
            details: Phrases for the lines below, the most important first.
        """

    def prints(self, line: str, *, beside: bool = False) -> bool:  # noqa: ARG002 - of those that draw
        """Print a line above what is drawn, if it goes to the same terminal.

        Args:
            line: It.
            beside: Whether it belongs to standard error.

        Returns:
            Whether it did; otherwise it is to be written as ever.
        """
        return False


class _Drawn(Progress):
    """Bars, and below them phrases that wrap between one another and never within."""

    details: Sequence[str] = ()

    def get_renderables(self) -> Iterator[RenderableType]:
        yield from super().get_renderables()
        if self.details:  # the console is not there yet when rich asks for the first time
            yield from (Text(line, no_wrap=True) for line in wrapped(self.details, self.console.width))


class _Bar(Meter):
    def __init__(self, label: str, progress: _Drawn) -> None:
        self._progress = progress
        self._task = progress.add_task(output.drawn(label), total=None, words="")

    def show(self, done: float, total: float | None, words: str = "", details: Sequence[str] = ()) -> None:
        self._progress.details = tuple(map(output.drawn, details))
        self._progress.update(self._task, completed=done, total=total, words=output.drawn(words))

    def prints(self, line: str, *, beside: bool = False) -> bool:
        if not (beside or output.is_terminal(sys.stdout)):
            return False
        self._progress.console.print(Text(output.visible(line)), soft_wrap=True)
        return True


class _Lines(Meter):
    """A line now and then; what is quick prints nothing."""

    def __init__(self, label: str, clock: Callable[[], float]) -> None:
        self._label, self._clock = label, clock
        self._start = self._last = clock()

    def show(self, done: float, total: float | None, words: str = "", details: Sequence[str] = ()) -> None:
        now = self._clock()
        if now - self._last < EVERY:
            return
        self._last = now
        share = "" if not total else f"{min(1.0, done / total):.0%}"
        parts = [part for part in (share, words, *details) if part]
        output.write_status(f"{self._label}: {', '.join(parts) or 'still at it'} ({now - self._start:.0f} s)")


@contextmanager
def open_meter(label: str, clock: Callable[[], float] = time.monotonic) -> Iterator[Meter]:
    """Give a meter: a bar on a terminal, a line every ten seconds elsewhere.

    Args:
        label: What it is that is going on; short.
        clock: Monotonic seconds.
    """
    if not output.is_terminal(sys.stderr):
        yield _Lines(label, clock)
        return
    console = Console(stderr=True, highlight=False)
    words = TextColumn("{task.fields[words]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
    with _drawn(console, len(label), words) as progress:
        yield _Bar(label, progress)


def _drawn(console: Console, label_width: int, *last: ProgressColumn) -> _Drawn:
    # Where it gets narrow, the words give way.
    name = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, min_width=label_width))
    passed = TimeElapsedColumn(table_column=Column(no_wrap=True, min_width=7))
    bar = () if console.width < _WIDE else (BarColumn(bar_width=console.width // 4),)
    # Standard output may be a file, and is nobody's business here.
    return _Drawn(
        name,
        *bar,
        passed,
        *last,
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


# The demo.


@contextmanager
def progress_view(total: int) -> Iterator[View]:
    """Give the view of a demo: three live bars on a terminal, a line for each tenth otherwise."""
    if not output.is_terminal(sys.stderr):
        yield _Tenths(total)
        return
    names = ("submitted", "completed", "downloaded")
    with _drawn(Console(stderr=True, highlight=False), max(map(len, names)), MofNCompleteColumn()) as progress:
        accepted, completed, downloaded = (progress.add_task(name, total=total) for name in names)

        def show(tally: DemoTally) -> None:
            progress.update(accepted, completed=tally.accepted)
            progress.update(completed, completed=tally.completed)
            progress.update(downloaded, completed=tally.downloaded)

        yield show


class _Tenths:
    """One line whenever another tenth of the files has arrived, and one when all jobs are submitted."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._start = time.monotonic()
        self._submitted = False
        self._tenth = 0

    def __call__(self, tally: DemoTally) -> None:
        if not self._submitted and tally.accepted == self._total:
            self._submitted = True
            self._print(f"{self._total} submitted")
        tenth = tally.downloaded * 10 // self._total
        if tenth > self._tenth:
            self._tenth = tenth
            self._print(f"{tally.completed} completed, {tally.downloaded} of {self._total} downloaded")

    def _print(self, words: str) -> None:
        output.write_status(f"{time.monotonic() - self._start:5.1f} s  {words}")


def report_lines(report: DemoReport) -> list[str]:
    """Return the result of a demo as lines for people."""
    tally = report.tally
    lines = [
        f"{tally.downloaded} of {report.plan.videos} videos, {tally.size_bytes / 1e6:.1f} MB, in {report.plan.directory}",
        f"{report.seconds:.1f} s, {report.requests} HTTP requests, {report.listed} videos in the history",
        f"Charged {tally.tokens} tokens by the generations, {report.charged_by_history} by the history, "
        f"{report.charged_by_balance} by the balance, {report.charged_by_ledger} by the sandbox's ledger: "
        + ("every video was paid once." if report.is_paid_once else "they do not agree!"),
    ]
    lines += tally.problems[:_SHOWN_PROBLEMS]
    if len(tally.problems) > _SHOWN_PROBLEMS:
        lines.append(f"... and {len(tally.problems) - _SHOWN_PROBLEMS} more that failed.")
    return lines


def report_values(report: DemoReport) -> dict[str, Any]:
    """Return the result of a demo as JSON values."""
    tally = report.tally
    return {
        "videos": report.plan.videos,
        "downloaded": tally.downloaded,
        "bytes": tally.size_bytes,
        "directory": str(report.plan.directory),
        "seconds": round(report.seconds, 3),
        "requests": report.requests,
        "charged": report.charged_by_ledger,
        "paid_once": report.is_paid_once,
        "problems": tally.problems,
    }


# Tables.


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, dispensable: Sequence[str] = ()) -> None:
    """Print a table on a terminal, and one line with tabs per row elsewhere (for `cut`, `awk` and spreadsheets).

    Args:
        columns: Their names. The last one takes what room the others leave.
        rows: What stands there.
        dispensable: Columns that a narrow terminal can do without, the first of them first; those that there are.
    """
    if not output.is_terminal(sys.stdout):
        for row in rows:
            output.write_result("\t".join(map(output.joined, row)))
        return
    cells = [[output.drawn(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    console = Console(highlight=False)
    shown = _fitting(columns, widths, console.width, dispensable)
    for number, row in enumerate(cells):
        *fixed, last = ((row[at], widths[at]) for at in shown)
        line = Text("".join(set_cell_size(cell, width) + " " * _GAP for cell, width in fixed) + last[0])
        line.truncate(console.width, overflow="ellipsis")
        console.print(line, style="" if number else "bold", no_wrap=True)


def _fitting(columns: Sequence[str], widths: Sequence[int], room: int, dispensable: Sequence[str]) -> list[int]:
    """Choose the columns that fit into so many cells."""
    shown = [*range(len(columns))]
    for name in filter(columns.__contains__, dispensable):
        *fixed, last = shown
        needed = sum(widths[at] + _GAP for at in fixed) + min(widths[last], _READABLE)
        if needed <= room:
            break
        shown.remove(columns.index(name))
    return shown
