"""The simulation of waiting, in its small version: the bounds of the numbers table that hold at this size."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from benchmarks import simulate_waiting as simulation
from benchmarks.simulate_waiting import World, limited, waited
from neuralbox._config import Polling
from neuralbox._polling import listing_plan

pytestmark = pytest.mark.uncovered


@pytest.mark.parametrize(
    ("count", "world", "options", "most", "median_s", "p95_s"),
    [
        (10, World(), {}, 6.5, 2.9, 5.5),
        (100, World(), {}, 2.8, 2.6, 5.0),
        (100, World(), {"each": True}, 2.8, 2.6, 5.0),
        (500, World(by_completion=True), {"policy": Polling(detail="listing")}, 1.5, 2.6, 5.0),
        (100, World(loss=0.02), {}, 8.0, 6.0, 20.0),
        (100, World(lag=5.0), {}, 5.0, 8.5, 12.0),
        (50, World(), {"durations": simulation.documented("kling-v2.1")}, 2.8, 2.9, 5.5),
    ],
    ids=["10", "100", "a task each", "detail=listing", "lost", "lag", "documented"],
)
def test_many_jobs_cost_few_requests_and_are_found_soon(
    count: int, world: World, options: dict[str, object], most: float, median_s: float, p95_s: float
) -> None:
    seen = asyncio.run(waited(count, world, seed=2, **options))  # type: ignore[arg-type]
    assert seen.requests <= most
    assert seen.median <= median_s
    assert seen.p95 <= p95_s


def test_a_single_job_with_estimates_costs_few_requests() -> None:
    seen = simulation.one_by_one(World(eta=True), runs=8, seed=1)
    assert seen.requests <= 6.5
    assert seen.p95 <= 5.5


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("together", [True, False])
def test_forty_videos_an_hour_fit_into_a_hundred_requests(counted: bool, together: bool) -> None:
    hour = asyncio.run(limited(40, World(hourly=100, reads_count=counted), seed=1, together=together))
    assert (hour.jobs, hour.refusals) == (40, 0)


def test_waits_that_are_held_are_weighed() -> None:
    each, model = asyncio.run(simulation.held(200, seed=1))
    assert each >= 0
    assert model >= 0


def test_other_pauses_cost_more_or_find_later(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}
    for factor in (0.6, 1.2):
        monkeypatch.setattr(listing_plan, "_PAUSE", factor)
        seen[factor] = asyncio.run(waited(100, World(), seed=1))
    assert seen[0.6].requests > seen[1.2].requests
    assert seen[0.6].median < seen[1.2].median


def test_an_hour_that_is_used_up_refuses() -> None:
    assert asyncio.run(limited(130, World(hourly=100), seed=1, together=True)).jobs < 100


def test_a_job_in_one_wait_adds_at_most_2_kb_and_the_table_has_a_row_for_each_figure() -> None:
    seen = asyncio.run(waited(150, World(), seed=1, traced=True))
    assert 0 < seen.peak_bytes <= 2_048
    rows = simulation.rows_for("150", seen, 2.5, None, None)
    assert [row.holds for row in rows] == [True, None, None]


@pytest.mark.parametrize(("detail", "most"), [("status", 2.6), ("listing", 1.6)])
def test_a_consumer_that_lets_go_finds_every_job_as_cheaply(detail: Any, most: float) -> None:
    seen = asyncio.run(simulation.let_go(400, World(), seed=1, policy=Polling(detail=detail)))
    assert seen.requests <= most
    assert seen.median <= 2.6
    assert seen.p95 <= 5.0


def test_how_the_price_grows_is_shown_for_each_number_of_jobs_and_both_ways_of_asking(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    in_fresh_process, measured = simulation.in_fresh_process, list[tuple[int, str]]()

    def measure(count: int, seed: int, policy: Polling) -> tuple[simulation.Seen, float]:
        """The first in a process of its own, which takes longer to start than the others to run."""
        measured.append((count, policy.detail))
        return (simulation.here if len(measured) > 1 else in_fresh_process)(count, seed, policy)

    monkeypatch.setattr(simulation, "in_fresh_process", measure)
    rows = simulation.growth(10, seed=1)
    assert [count for count, _ in measured] == [1, 10, 1, 10]
    assert {row.what.partition(":")[0] for row in rows} == {
        "1 let go",
        "10 let go",
        "1 let go, detail=listing",
        "10 let go, detail=listing",
    }
    assert all(row.value > 0 for row in rows if "memory" not in row.what)
