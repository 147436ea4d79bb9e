"""What the page draws: the timeline's lines and the bars, as numbers and labels. Pure.

Lines are in a square of `WIDTH` by `HEIGHT` that the page stretches to its own width; labels are text beside it, so that
they are as large on a phone as elsewhere. Each drawing comes with the same numbers as rows of a table.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .totals import Sum, Totals, moment

WIDTH: Final = 1_000
HEIGHT: Final = 300
_STEPS: Final = 200
_ROWS: Final = 10


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the timeline: how many so far.

    Attributes:
        name: What is counted; also the name of its colour.
        points: Of an SVG polyline.
        total: At the end.
    """

    name: str
    points: str
    total: int


@dataclass(frozen=True, slots=True)
class Row:
    """The timeline at one moment, in words."""

    at: str
    counts: Sequence[int]


@dataclass(frozen=True, slots=True)
class Timeline:
    """How a run went.

    Attributes:
        lines: Submitted, completed, failed, as far as their times are known.
        heights: Labels of the vertical axis, from the top.
        moments: Labels of the horizontal axis, from the left: time since the start.
        first: When it starts.
        last: When it ends.
        rows: The same as a table.
    """

    lines: Sequence[Line]
    heights: Sequence[str]
    moments: Sequence[str]
    first: str
    last: str
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar.

    Attributes:
        name: What it is of.
        count: How many results.
        tokens: What they took.
        share: Its length, 0 to 100.
    """

    name: str
    count: int
    tokens: int
    share: float


def timeline_of(totals: Totals) -> Timeline | None:
    """Draw what happened when; None where no time is known."""
    known = {"submitted": totals.submitted, "completed": totals.completed, "failed": totals.failed}
    # Of some listings only the beginnings are known; that nothing ended would be a wrong picture of them.
    series = {name: sorted(times) for name, times in known.items() if times or not totals.counts[name]}
    ends = [at for times in series.values() for at in (times[:1] + times[-1:])]
    if not ends:
        return None
    first, last = min(ends), max(ends)
    span = last - first or 1.0
    top = _round_up(max(len(times) for times in series.values()))
    lines = [Line(name, _points(times, first, span, top), len(times)) for name, times in series.items()]
    rows = [
        Row(
            duration(span * step / _ROWS),
            [bisect_right(times, first + span * step / _ROWS) for times in series.values()],
        )
        for step in range(_ROWS + 1)
    ]
    heights = [f"{top:,}", f"{top // 2:,}", "0"]
    moments = [duration(span * part / 4) for part in range(5)]
    return Timeline(lines, heights, moments, clock(first), clock(last), rows)


def _points(times: Sequence[float], first: float, span: float, top: int) -> str:
    found = [(0.0, float(HEIGHT))]
    for step in range(_STEPS + 1):
        so_far = bisect_right(times, first + span * step / _STEPS)
        found.append((WIDTH * step / _STEPS, HEIGHT * (1 - so_far / top)))
    return " ".join(f"{x:g},{y:.1f}" for x, y in found)


def _round_up(number: int) -> int:
    """The next even round number, so that its half is one too."""
    scale: int = 10 ** max(0, len(str(number)) - 1)
    return next(top for top in (2 * scale, 4 * scale, 6 * scale, 10 * scale, 20 * scale) if top >= number)


def bars_of(sums: Sequence[tuple[str, Sum]]) -> Sequence[Bar]:
    """Draw tokens as bars, the longest full."""
    most = max((one.tokens for _, one in sums), default=0) or 1
    return [Bar(name, one.count, one.tokens, max(0.0, round(100 * one.tokens / most, 2))) for name, one in sums]


# Words.


def duration(seconds: float) -> str:
    """Say how long, in the two largest units: `0 s`, `4.2 s`, `1 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    for unit, size, smaller, part in (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size:,} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def clock(at: float) -> str:
    """Say when, in UTC: `2026-11-21 09:41:16`."""
    return f"{moment(at):%Y-%m-%d %H:%M:%S}"


def size(length: int) -> str:
    """Say how many bytes: `812 B`, `34 KB`, `1.2 MB`."""
    for unit, one in (("GB", 1e9), ("MB", 1e6)):
        if length >= one:
            return f"{length / one:.1f} {unit}"
    return f"{length / 1e3:.0f} KB" if length >= 1_000 else f"{length} B"
