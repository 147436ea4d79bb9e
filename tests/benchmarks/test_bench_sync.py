"""The benchmark of the blocking client runs, and what it counts is right in its small version too."""

from __future__ import annotations

import math

import pytest

from benchmarks.measure import Row
from benchmarks.run import measured

pytestmark = pytest.mark.uncovered

COUNTED = {
    "interrupts: wrong answers": 0,
    "interrupts: tasks left": 0,
    "interrupts: slots lost": 0,
    "many threads: wrong answers": 0,
    "many threads: threads of ours": 1,
    "many threads: pools": 1,
    "many threads: tasks left": 0,
    "many threads: connections left open": 0,
}


@pytest.fixture(scope="module")
def rows() -> dict[str, Row]:
    # In a process of its own: an interrupt that falls into the tracer of coverage leaves its lock taken for ever.
    return {row.what: row for row in measured("bench_sync", full=False, seed=1)}


def test_nothing_is_lost_under_stress(rows: dict[str, Row]) -> None:
    assert {what: rows[what].value for what in COUNTED} == COUNTED
    assert all(rows[what].holds for what in COUNTED)


def test_calls_and_streams_are_compared_with_the_async_side(rows: dict[str, Row]) -> None:
    compared = {row.what for row in rows.values() if row.ratio is not None}
    assert {"sync GET: blocking", "sync stream: blocking for"} <= compared
    assert all(math.isfinite(row.value) and row.value >= 0 for row in rows.values())
