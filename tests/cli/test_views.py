"""What is shown while a demo runs, on a terminal and off it."""

from __future__ import annotations

import io
import re

from rich.console import Console

from neuralbox._cli.views import progress_view
from neuralbox._demo import Tally


def console_on(*, terminal: bool) -> tuple[Console, io.StringIO]:
    written = io.StringIO()
    console = Console(file=written, force_terminal=terminal, width=100, color_system=None, legacy_windows=False)
    return console, written


def test_a_terminal_shows_three_bars() -> None:
    console, written = console_on(terminal=True)
    with progress_view(4, console) as show:
        show(Tally(accepted=4, completed=2, downloaded=1))
    lines = written.getvalue()
    assert re.search(r"submitted .*4/4", lines)
    assert re.search(r"completed .*2/4", lines)
    assert re.search(r"downloaded .*1/4", lines)


def test_elsewhere_a_line_tells_of_each_tenth_once() -> None:
    console, written = console_on(terminal=False)
    tally = Tally()
    with progress_view(20, console) as show:
        for _ in range(20):
            tally.accepted += 1
            show(tally)
        for _ in range(20):
            tally.completed += 1
            show(tally)
            tally.downloaded += 1
            show(tally)
    lines = [line.split("s  ", 1)[1] for line in written.getvalue().splitlines()]
    assert lines[0] == "20 submitted"
    assert lines[1] == "2 completed, 2 of 20 downloaded"
    assert lines[-1] == "20 completed, 20 of 20 downloaded"
    assert len(lines) == 11
