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


def test_a_crowd_of_which_some_never_arrived_gets_all_its_results() -> None:
    world = World("a crowd", requests=100, is_lost={"answered": 9.0, "dropped before": 1.0}, spread=1.0)
    for kind in ("video", "image", "text"):
        count = anyio.run(live, replace(world, kind=kind))
        assert right(count)
        assert (count.charged, count.raised) == (100, 0)


@pytest.mark.uncovered  # a hundred worlds, of which each goes the ways of the others
def test_in_every_world_each_charge_is_delivered_once_or_named_and_the_page_says_so() -> None:
    single, in_batches = [*worlds.rows(in_batches=False)], [*worlds.rows(in_batches=True)]
    assert [world.name for world, count in single if not right(count)] == []
    assert [world.name for world, count in in_batches if not right(count)] == []
    made = worlds.page(single, in_batches)
    assert worlds.PAGE.read_text(encoding="utf-8") == made, "Run `python -m tests.submissions.worlds`."
