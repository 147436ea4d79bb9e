"""The simulation of scarce requests, in its small version: what each world is to bring at least."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from benchmarks import simulate_plan as simulation
from benchmarks.simulate_plan import WORLDS, bring, rows_for

pytestmark = pytest.mark.uncovered


@pytest.mark.parametrize(
    ("name", "count", "least", "refusals", "found_s"),
    [
        ("100 an hour, batch", 210, 92, 1, 150),
        ("100 an hour, batch, detail=listing", 210, 92, 1, 150),
        ("100 an hour, batch, detail=status", 100, 44, 1, 3_600),
        ("100 an hour, spread", 210, 85, 0, 150),
        ("100 an hour, reads free, batch", 150, 99, 0, 3.5),
        ("60 an hour, 500 a day, batch", 260, 237, 4, 200),
        ("100 an hour, two programs, batch", 210, 88, 5, 150),
    ],
)
def test_a_plan_brings_nearly_as_many_videos_as_there_are_in_theory(
    name: str, count: int, least: float, refusals: int, found_s: float
) -> None:
    world = next(world for world in WORLDS if world.name == name)
    if world.daily:
        world = replace(world, daily=world.daily // 2)  # half a day's worth, and it is over as early in the day
    brought = asyncio.run(bring(world, count, seed=3))
    assert brought.jobs == count
    assert least <= brought.rate <= world.limit()
    assert brought.refusals <= refusals
    assert brought.median <= found_s
    assert brought.timeouts <= 0.02 * count  # waits of 600 s that end in a used-up hour


def test_a_batch_that_saves_files_needs_no_answer_of_their_own_though_requests_are_plenty() -> None:
    world = replace(WORLDS[0], hourly=0, urls_only=True)
    brought = asyncio.run(bring(world, 200, seed=1))
    assert brought.jobs == 200
    assert brought.requests <= 1.7


def test_each_world_has_rows_with_what_there_is_in_theory() -> None:
    world = replace(WORLDS[0], hourly=20)
    rows = rows_for(world, asyncio.run(bring(world, 10, seed=1)))
    assert [row.unit for row in rows] == ["videos an hour", "429s", "s (median)"]
    assert "at most 20, wanted 92" in rows[0].note
    assert simulation.PlanWorld("", daily=101).limit() == 100
