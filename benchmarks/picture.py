"""One picture of `bench_peers`: requests per job against how late the end of a job is found out, as an SVG without tools.

Both axes are logarithmic, and less is better on both. A dot is a client: its place across is its requests per job, its
height the median latency, and the line above it reaches the 95th percentile. Each stands for the largest number of jobs
the client was measured with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log10
from statistics import median
from typing import Any
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 860, 500
LEFT, RIGHT, TOP, BOTTOM = 70, 30, 56, 60
_ACROSS = (1.0, 2_000.0)
_UP = (0.03, 20.0)
_HOW = "Dot: median. Line: up to the 95th percentile. In brackets: jobs together. Down and to the left is better."
_OURS, _THEIRS, _INK, _GRID = "#0b7a55", "#8a4b08", "#222222", "#d9d9d9"


def across(requests: float) -> float:
    """Where so many requests are."""
    return _place(requests, _ACROSS, LEFT, WIDTH - RIGHT)


def up(seconds: float) -> float:
    """Where so many seconds are."""
    return _place(seconds, _UP, HEIGHT - BOTTOM, TOP)


def _place(value: float, ends: tuple[float, float], first: float, last: float) -> float:
    low, high = log10(ends[0]), log10(ends[1])
    return first + (log10(min(max(value, ends[0]), ends[1])) - low) / (high - low) * (last - first)


def draw(found: Mapping[int, Mapping[str, Sequence[Any]]]) -> str:
    """Return the picture of what was found, by jobs and client."""
    largest: dict[str, tuple[int, float, float, float]] = {}
    for jobs, each in sorted(found.items()):
        for name, runs in each.items():
            largest[name] = (
                jobs,
                median(run.requests for run in runs),
                median(run.median for run in runs),
                median(run.p95 for run in runs),
            )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12" fill="{_INK}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 22, "Waiting for videos of 20 to 180 s: what it takes to learn that one is done", size=16),
        _text(LEFT, 42, _HOW, size=12),
    ]
    for value in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000):
        x = across(value)
        parts.append(_line(x, TOP, x, HEIGHT - BOTTOM, _GRID))
        parts.append(_text(x, HEIGHT - BOTTOM + 18, f"{value:,}", anchor="middle"))
    for seconds in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20):
        y = up(seconds)
        parts.append(_line(LEFT, y, WIDTH - RIGHT, y, _GRID))
        parts.append(_text(LEFT - 8, y + 4, f"{seconds:g} s", anchor="end"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, "requests per job (logarithmic)", anchor="middle"))
    parts.append(
        f'<text x="18" y="{(TOP + HEIGHT - BOTTOM) / 2:.1f}" text-anchor="middle" '
        f'transform="rotate(-90 18 {(TOP + HEIGHT - BOTTOM) / 2:.1f})">found out after (logarithmic)</text>'
    )
    labels: list[str] = []  # above everything else
    taken: list[tuple[float, float, float]] = []  # of labels: left, right, height
    for name, (jobs, requests, middle, late) in sorted(largest.items(), key=lambda item: -item[1][2]):
        color = _OURS if name.startswith("neuralbox") else _THEIRS
        x, y = across(requests), up(middle)
        parts.append(_line(x, y, x, up(late), color, width=2))
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{color}"/>')
        label = f"{name} ({jobs:,})"
        wide = 6.4 * len(label)
        after = x + 10 + wide < WIDTH - RIGHT
        left = x + 10 if after else x - 10 - wide
        height = y + 4
        while any(left < end and begin < left + wide and abs(height - other) < 14 for begin, end, other in taken):
            height += 14
        taken.append((left, left + wide, height))
        if height > y + 10:
            parts.append(_line(x, y, left - 2 if after else left + wide, height - 4, color))
        side = (left, "start") if after else (left + wide, "end")
        labels.append(_text(side[0], height, label, anchor=side[1], ink=color))
    return "\n".join([*parts, *labels, "</svg>\n"])


def _line(x1: float, y1: float, x2: float, y2: float, color: str, *, width: float = 1) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}" stroke-width="{width:g}"/>'


def _text(x: float, y: float, words: str, *, anchor: str = "start", size: int = 12, ink: str = _INK) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{ink}" '
        f'stroke="#ffffff" stroke-width="4" stroke-linejoin="round" paint-order="stroke">{escape(words)}</text>'
    )
