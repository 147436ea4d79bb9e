"""What a terminal shows of a command; plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from .._demo import Report, Tally, View

_SHOWN_PROBLEMS = 5


@contextmanager
def progress_view(total: int, console: Console | None = None) -> Iterator[View]:
    """Give the view of a demo: three live bars on a terminal, a line for each tenth otherwise."""
    console = console or Console()
    if not console.is_terminal:
        yield _Lines(total, console)
        return
    columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        accepted, completed, downloaded = (
            progress.add_task(name, total=total) for name in ("submitted", "completed", "downloaded")
        )

        def show(tally: Tally) -> None:
            progress.update(accepted, completed=tally.accepted)
            progress.update(completed, completed=tally.completed)
            progress.update(downloaded, completed=tally.downloaded)

        yield show


class _Lines:
    """One line whenever another tenth of the files has arrived, and one when all jobs are submitted."""

    def __init__(self, total: int, console: Console) -> None:
        self._total, self._console = total, console
        self._start = time.monotonic()
        self._submitted = False
        self._tenth = 0

    def __call__(self, tally: Tally) -> None:
        if not self._submitted and tally.accepted == self._total:
            self._submitted = True
            self._say(f"{self._total} submitted")
        tenth = tally.downloaded * 10 // self._total
        if tenth > self._tenth:
            self._tenth = tenth
            self._say(f"{tally.completed} completed, {tally.downloaded} of {self._total} downloaded")

    def _say(self, words: str) -> None:
        self._console.print(f"{time.monotonic() - self._start:5.1f} s  {words}", highlight=False)


def show_report(report: Report, console: Console | None = None) -> None:
    """Print what a demo came to."""
    console = console or Console()
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
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
