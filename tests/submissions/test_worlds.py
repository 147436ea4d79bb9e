"""Worlds that differ from the documented one: nothing is charged twice, crossed or lost in any of them."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest

from . import worlds
from .worlds import Count, World, live


def right(count: Count) -> bool:
    """Whether everything charged was delivered once, to whom it belongs, or named."""
    return not count.wrong and not count.unnamed and not count.twice and count.delivered + count.raised == count.asked


@pytest.mark.uncovered
@pytest.mark.parametrize("ids", ["int", "gen", "mixed"])
@pytest.mark.parametrize("prompts", [1, 100])
def test_a_crowd_that_loses_answers_is_delivered_or_named(ids: str, prompts: int) -> None:
    world = World(
        f"a crowd, {ids}",
        ids=ids,
        requests=100,
        prompts=prompts,
        is_lost={"answered": 11.0, "dropped after": 1.0},
        spread=1.0,
    )
    count = anyio.run(live, world)
    assert right(count)
    assert count.charged == 100
    if ids != "mixed" or prompts > 1:
        assert count.raised == 0


@pytest.mark.uncovered
def test_a_crowd_of_which_some_never_arrived_gets_all_its_results() -> None:
    world = World("a crowd", requests=100, is_lost={"answered": 9.0, "dropped before": 1.0}, spread=1.0)
    for kind in ("video", "image", "text"):
        count = anyio.run(live, replace(world, kind=kind))
        assert right(count)
        assert (count.charged, count.raised) == (100, 0)


# Each world is a test, so that the workers of a run share them; `uncovered`, since each goes the ways of the others.


def written(world: World) -> str:
    """Find the row that the page has of a world."""
    single, by_batches, _ = worlds.PAGE.read_text(encoding="utf-8").split("\n## ")
    lines = (by_batches if world.in_batches else single).splitlines()
    return next((line for line in lines if line.startswith(f"| {world.name} |")), f"No row of {world.name}.")


def written_price(kind: str, lag: float) -> str:
    """Find the row that the page has of a price."""
    lines = worlds.PAGE.read_text(encoding="utf-8").rpartition("\n## ")[2].splitlines()
    return next(
        (line for line in lines if line.startswith(worlds.price_begins(kind, lag))), f"No row of {kind}, {lag}."
    )


@pytest.mark.uncovered
@pytest.mark.parametrize(
    "world",
    [*worlds.worlds(), *worlds.worlds_of_batches()],
    ids=lambda world: f"{world.name}, by a batch" if world.in_batches else world.name,
)
def test_in_every_world_each_charge_is_delivered_once_or_named_and_the_page_says_so(world: World) -> None:
    count = anyio.run(live, world)
    assert right(count)
    assert written(world) == worlds.row(world, count), "Run `python -m tests.submissions.worlds`."


@pytest.mark.uncovered
@pytest.mark.parametrize(("kind", "lag"), [*worlds.prices()])
def test_the_page_says_what_it_takes_to_know_what_became_of_a_lost_answer(kind: str, lag: float) -> None:
    assert written_price(kind, lag) == worlds.price(kind, lag), "Run `python -m tests.submissions.worlds`."


def test_the_page_has_these_rows_and_no_other() -> None:
    assert worlds.PAGE.read_text(encoding="utf-8") == worlds.page(written, written_price)
