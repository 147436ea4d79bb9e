"""Sweeps, the pure part: when they pay, which pages they ask for, and what an item says."""

from __future__ import annotations

from typing import Any

import pytest

from neuralbox._polling import listing_plan
from neuralbox._polling.listing_plan import (
    NOTHING_MEASURED,
    PRESENT,
    WALKERS,
    ListedJob,
    ListingStats,
    ListingWalk,
    WalkStep,
    alone_for,
    begin_search,
    begin_walk,
    is_worth_it,
    next_turn,
    pages_left,
    pages_of,
    pause,
    read_item,
    walkers,
)

from .state_table import state_table


@pytest.mark.parametrize(
    ("jobs", "pages", "gone", "expected"),
    [
        (1, 1, 0.0, False),
        (2, 1, 0.05, True),
        (2, 1, 0.9, False),
        (2, 2, 0.0, False),
        (100, 1, 0.5, True),
        (100, 50, 0.6, False),
        (0, 1, 0.0, False),
    ],
)
def test_a_sweep_pays_when_its_pages_and_the_polls_after_it_are_fewer_than_the_jobs(
    jobs: int, pages: int, gone: float, expected: bool
) -> None:
    assert is_worth_it(jobs=jobs, pages=pages, finished_share=gone) is expected


@pytest.mark.parametrize(("items", "pages"), [(0, 1), (1, 1), (100, 1), (101, 2), (100_000, 1_000)])
def test_items_fill_pages(items: int, pages: int) -> None:
    assert pages_of(items) == pages


@pytest.mark.parametrize(
    ("asked", "pages", "left"),
    [(1, 1, []), (3, 3, [2, 1]), (1, 3, [3, 2]), (5, 3, [3, 2, 1]), (2, 3, [3, 1]), (1, 0, [])],
)
def test_pages_are_walked_from_the_last_to_the_first(asked: int, pages: int, left: list[int]) -> None:
    assert pages_left(asked, pages) == left


def test_few_pages_are_walked_one_by_one_and_many_not_without_bound() -> None:
    assert [walkers(pages) for pages in (0, 1, 4, 5, 40, 100_000)] == [0, 1, 1, 2, 10, WALKERS]


def test_what_is_expected_follows_the_last_walk() -> None:
    assert NOTHING_MEASURED.pages(1_000) == 10
    after = NOTHING_MEASURED.after_walk(ours=90, others=250, absent=10)
    assert after == ListingStats(others=250, finished_share=0.0625, hits=True)
    assert after.pages(90) == 4
    assert after.after_walk(ours=0, others=0, absent=0).hits
    assert not NOTHING_MEASURED.after_walk(ours=0, others=7, absent=3).hits


@pytest.mark.parametrize(("age", "seconds"), [(0, 4.0), (100, 4.0), (150, 4.0), (200, 6.0), (500, 18.0), (1e9, 28.0)])
def test_an_old_job_comes_along_less_often(age: float, seconds: float) -> None:
    assert [pause(jobs, 5.0) for jobs in (2, 100)] == [5.0, 4.0]
    assert next_turn(age, 4.0, 30.0) == pytest.approx(seconds)


def test_a_job_that_is_not_listed_is_asked_alone_for_longer_and_longer() -> None:
    assert [alone_for(absent) for absent in (1, 2, 3, 4, 10_000)] == [0.0, 60.0, 120.0, 240.0, 3_840.0]


@pytest.mark.parametrize(
    ("record", "key", "said"),
    [
        ({"id": 7, "status": "pending"}, "7", ListedJob("pending")),
        ({"generation_id": "gen_1", "status": " Queued "}, "gen_1", ListedJob("queued")),
        ({"id": "7", "category": "video", "model_slug": "m"}, "7", ListedJob("pending", "video", "m")),
        ({"id": 7, "type": "image", "model": "m", "status": "failed"}, "7", ListedJob("failed", "image", "m")),
        ({"id": None, "status": 5}, "", ListedJob("5")),
        ({"id": True}, "", ListedJob("pending")),
    ],
)
def test_an_item_is_read_in_either_vocabulary(record: dict[str, Any], key: str, said: ListedJob) -> None:
    assert read_item(record) == (key, said)


# A walk follows its table.


def page_of(walk: ListingWalk, pages: int | None, *ids: str) -> ListingWalk:
    return walk.after_page(walk.pages[0], pages, len(ids), frozenset(ids))


def test_a_walk_goes_as_its_table_says_and_each_line_happens() -> None:
    counted, uncounted = (
        begin_walk(ListingStats(others=300), total=50, jobs=50),
        begin_walk(ListingStats(counted=False), total=50, jobs=2),
    )
    probed = counted.without_page()
    assert probed is not None
    backward, forward = page_of(counted, 4, "a"), page_of(uncounted, None, "a")
    from_first = page_of(counted, None, "a")
    walks = [
        (counted, probed),
        (counted, backward),
        (counted, page_of(counted, 60, "a")),
        (counted, from_first),
        (probed, page_of(probed, 1, "a")),
        (uncounted, forward),
        (backward, backward.after_all()),
        (backward, backward.after_all(ignores_page=True)),
        (from_first, page_of(from_first, None, "a")),
        (forward, page_of(forward, None, "a")),
        (forward, page_of(forward, None, "b")),
    ]
    assert {(walk.step, after.step) for walk, after in walks} == {
        (WalkStep(before), WalkStep(after))
        for before, _, after in state_table(listing_plan, {step.value for step in WalkStep})
    }
    assert [list(walk.pages) for walk in (counted, probed, backward, from_first, uncounted, forward)] == [
        [4], [1], [3, 2, 1], [1], [1], [2]
    ]  # fmt: skip
    assert uncounted.without_page() is None
    assert forward.without_page() is None


def test_a_search_reads_the_first_page_alone_and_then_as_many_as_last_time_in_two_steps() -> None:
    search = begin_search(50, 8)
    assert search.pages == range(1, 2)
    search = search.after(found=True, wanted=49, pages=20)
    assert search.pages == range(2, 6)
    assert search.after(found=True, wanted=40, pages=7).pages == range(6, 8)
    assert not search.after(found=True, wanted=40, pages=5).pages
    assert begin_search(10_000, 1).after(found=True, wanted=9_900, pages=None).pages == range(2, 8)


def test_a_search_goes_on_over_a_page_without_ours_as_far_as_last_time_and_with_care_beyond() -> None:
    search = begin_search(50, 8).after(found=False, wanted=7, pages=20)  # 7 pages for 7 jobs, at most
    assert search.pages == range(2, 6)
    assert not begin_search(50, 8).after(found=False, wanted=6, pages=20).pages
    search = search.after(found=False, wanted=3, pages=20)
    assert search.pages == range(6, 9)  # and no page more, though four at once would be
    assert not search.after(found=False, wanted=50, pages=20).pages
    beyond = search.after(found=True, wanted=1, pages=20)
    assert beyond.pages == range(9, 10)
    assert beyond.after(found=True, wanted=0, pages=20).pages == range(10, 11)


def test_absence_is_confirmed_once_and_then_kept_apart_for_a_time() -> None:
    once = PRESENT.once_more(100.0)
    assert once.is_alone(1e9)
    assert not once.confirmed().is_alone(100.0)
    twice = once.confirmed().once_more(200.0)
    assert (twice.walks, twice.is_alone(259.0), twice.is_alone(261.0)) == (2, True, False)
