"""Walking a listing: awaited or iterated, without doubles, without an end that never comes, nothing lost on the way."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from random import Random

import anyio
import pytest
from anyio.lowlevel import checkpoint

from neuralbox._api.pages import read_envelope
from neuralbox._errors import APIConnectionError, ConfigurationError, ConnectError
from neuralbox._models.page import Page
from neuralbox._paging import Pager, require_prefetch
from tests import samples

pytestmark = pytest.mark.anyio
Item = dict[str, object]


class Listing:
    """The other side: a list of ids that may change between two pages.

    Attributes:
        asked: Every page number it was asked for.
    """

    def __init__(self, ids: Sequence[object], *, size: int = 2, says: str = "pages") -> None:
        self.ids = list(ids)
        self.size = size
        self.says = says
        self.asked: list[int] = []
        self.failures: list[Exception] = []
        self.stall: anyio.Event | None = None
        self.arriving = 0

    async def fetch(self, number: int) -> Page[Item]:
        self.asked.append(number)
        await checkpoint()
        if self.stall is not None:
            await self.stall.wait()
        if self.failures:
            raise self.failures.pop(0)
        start = (number - 1) * self.size
        raw: dict[str, object] = {"items": [{"id": one} for one in self.ids[start : start + self.size]]}
        if self.says in {"pages", "total"}:
            raw |= {"total": len(self.ids), "limit": self.size}
        if self.says == "pages":
            raw["pages"] = -(-len(self.ids) // self.size)
        envelope = read_envelope(raw, page=number, page_size=self.size)
        assert envelope is not None
        # What arrives between two pages pushes everything back.
        self.ids[:0] = [f"new{len(self.ids) + one}" for one in range(self.arriving)]
        items = [dict(record) for record in envelope.records]
        return Page(items, envelope.page, envelope.page_size, envelope.total, envelope.pages, envelope.raw)

    def pager(self, *, first: int = 1, max_items: int | None = None) -> Pager[Item]:
        return Pager(self.fetch, lambda item: item.get("id"), first=first, max_items=max_items)


async def ids_of(pager: Pager[Item]) -> list[object]:
    return [item.get("id") async for item in pager]


async def test_awaiting_gives_the_first_page_each_time_anew() -> None:
    listing = Listing(range(5))
    pager = listing.pager(first=2)
    assert [item["id"] for item in await pager] == [2, 3]
    assert (await pager).page == 2
    assert listing.asked == [2, 2]
    assert repr(pager) == "<Pager from page 2>"


async def test_nothing_is_asked_before_it_is_read() -> None:
    listing = Listing(range(5))
    pager = listing.pager()
    iterator = aiter(pager)
    assert listing.asked == []
    await anext(iterator)
    await anext(iterator)
    assert listing.asked == [1]
    await anext(iterator)
    assert listing.asked == [1, 2]


@pytest.mark.parametrize(
    ("says", "asked"),
    [("pages", [1, 2, 3]), ("total", [1, 2, 3]), ("nothing", [1, 2, 3, 4])],
)
async def test_a_walk_stops_by_pages_else_by_total_else_at_an_empty_page(says: str, asked: list[int]) -> None:
    listing = Listing(range(5), says=says)
    assert await ids_of(listing.pager()) == [0, 1, 2, 3, 4]
    assert listing.asked == asked


async def test_an_empty_listing_is_one_request() -> None:
    for says in ("pages", "total", "nothing"):
        listing = Listing([], says=says)
        assert await ids_of(listing.pager()) == []
        assert listing.asked == [1]


async def test_a_page_behind_the_end_is_the_end() -> None:
    listing = Listing(range(5))
    assert await ids_of(listing.pager(first=9)) == []
    assert listing.asked == [9]


async def test_a_page_shorter_than_its_size_is_not_the_end() -> None:
    """The seed's own example shows two items under a limit of ten, of fifteen pages."""
    asked: list[int] = []

    async def fetch(number: int) -> Page[Item]:
        asked.append(number)
        raw = samples.record("seed000_history")
        envelope = read_envelope(raw, page=number, page_size=20)
        assert envelope is not None
        items: list[Item] = [{"id": f"{record['id']}-{number}"} for record in envelope.records]
        return Page(items, number, envelope.page_size, envelope.total, envelope.pages)

    walked = [item async for item in Pager(fetch, lambda item: item["id"])]
    assert asked == list(range(1, 16))
    assert len(walked) == 30


PAGES_AGAIN: list[list[Item]] = [[{"id": 1}, {"id": 2}], [{"id": 1}, {"type": "image"}], [{}, {}]]
"""What is shown in place of every page, with ids or without."""


@pytest.mark.parametrize("items", PAGES_AGAIN)
@pytest.mark.parametrize("pages", [None, 1_000_000])
async def test_a_service_that_ignores_page_numbers_is_not_walked_for_ever(pages: int | None, items: list[Item]) -> None:
    asked: list[int] = []

    async def fetch(number: int) -> Page[Item]:
        asked.append(number)
        return Page([*items], 1, 2, None, pages)

    assert [item async for item in Pager(fetch, lambda item: item.get("id"))] == items
    assert asked == [1, 2]


async def test_pages_that_differ_only_in_items_without_ids_are_all_returned() -> None:
    listing: list[list[Item]] = [
        [{"id": 1}, {"prompt": "a"}],
        [{"id": 1}, {"prompt": "b"}],
        [{"prompt": "b"}, {"prompt": "b"}],
    ]

    async def fetch(number: int) -> Page[Item]:
        return Page([*listing[number - 1]], number, 2, 6, 3)

    walked = [item async for item in Pager(fetch, lambda item: item.get("id"))]
    assert [item.get("prompt") for item in walked] == [None, "a", "b", "b", "b"]


async def test_items_that_shift_to_a_later_page_are_returned_once() -> None:
    listing = Listing(range(6))
    listing.arriving = 1
    assert await ids_of(listing.pager()) == [0, 1, 2, 3, 4, 5]


async def test_a_page_of_nothing_but_known_items_does_not_end_a_walk_whose_pages_are_known() -> None:
    listing = Listing(range(6))
    listing.arriving = 2
    pages = listing.pager().pages()
    assert [item["id"] for item in await anext(pages)] == [0, 1]
    shifted = await anext(pages)
    assert (list(shifted), shifted.page, shifted.total) == ([], 2, 8)
    listing.arriving = 0
    assert [item["id"] async for page in pages for item in page] == [2, 3, 4, 5]


async def test_an_id_is_the_same_as_a_number_and_as_text_and_without_one_nothing_is_dropped() -> None:
    listing = Listing([1, 2, "1", "3", None, None, "", "", 0, "0"], size=5)
    assert await ids_of(listing.pager()) == [1, 2, "3", None, None, "", "", 0]


async def test_pages_come_whole_with_what_the_service_said() -> None:
    pages = [page async for page in Listing(range(5)).pager(max_items=1).pages()]
    assert [[item["id"] for item in page] for page in pages] == [[0, 1], [2, 3], [4]]
    assert [(page.page, page.page_size, page.total, page.pages) for page in pages] == [
        (1, 2, 5, 3),
        (2, 2, 5, 3),
        (3, 2, 5, 3),
    ]
    assert pages[0].raw["limit"] == 2


@pytest.mark.parametrize(("most", "asked"), [(0, []), (1, [1]), (2, [1]), (3, [1, 2]), (5, [1, 2, 3]), (99, [1, 2, 3])])
async def test_no_page_is_fetched_for_items_beyond_the_most(most: int, asked: list[int]) -> None:
    listing = Listing(range(5))
    assert await ids_of(listing.pager(max_items=most)) == list(range(5))[:most]
    assert listing.asked == asked


async def test_a_page_that_failed_is_asked_for_again_by_the_next_step() -> None:
    listing = Listing(range(6))
    iterator = aiter(listing.pager())
    got = [await anext(iterator), await anext(iterator)]
    listing.failures = [ConnectError("refused"), ConnectError("refused")]
    for _ in range(2):
        with pytest.raises(APIConnectionError):
            await anext(iterator)
    got += [item async for item in iterator]
    assert [item["id"] for item in got] == [0, 1, 2, 3, 4, 5]
    assert listing.asked == [1, 2, 2, 2, 3]


async def test_a_step_that_was_cancelled_loses_nothing() -> None:
    listing = Listing(range(6))
    iterator = aiter(listing.pager())
    got = [await anext(iterator), await anext(iterator)]
    listing.stall = anyio.Event()
    with anyio.move_on_after(0.01) as scope:
        await anext(iterator)
    assert scope.cancelled_caught
    listing.stall.set()
    got += [item async for item in iterator]
    assert [item["id"] for item in got] == [0, 1, 2, 3, 4, 5]
    assert listing.asked == [1, 2, 2, 3]


async def test_the_end_stays_the_end() -> None:
    listing = Listing(range(2))
    items, pages = aiter(listing.pager()), listing.pager().pages()
    assert [item["id"] async for item in items] == [0, 1]
    assert len([page async for page in pages]) == 1
    for iterator in (items, pages):
        with pytest.raises(StopAsyncIteration):
            await anext(iterator)
    assert listing.asked == [1, 1]


async def test_two_iterations_know_nothing_of_each_other() -> None:
    listing = Listing(range(4))
    pager = listing.pager(max_items=3)
    assert pager.max_items == 3
    first, second = aiter(pager), aiter(pager)
    woven = []
    for _ in range(3):
        woven += [(await anext(first))["id"], (await anext(second))["id"]]
    assert woven == [0, 0, 1, 1, 2, 2]
    assert listing.asked == [1, 1, 2, 2]


async def test_an_iteration_left_half_way_leaves_nothing_behind() -> None:
    listing = Listing(range(6))
    async for _ in listing.pager():
        break
    async for _ in listing.pager().pages():
        break
    assert listing.asked == [1, 1]


# Items that are deleted meanwhile.


class Shrinking(Listing):
    """A listing whose items may be deleted and added while somebody walks it, newest first."""

    def delete(self, *ids: object) -> None:
        self.ids = [identity for identity in self.ids if identity not in ids]


@pytest.mark.parametrize("prefetch", [0, 1, 4])
@pytest.mark.parametrize("count", [50, 1_000])
async def test_deleting_each_failed_item_while_iterating_skips_none(prefetch: int, count: int) -> None:
    listing = Shrinking(range(count), size=20)
    seen: list[int] = []
    async for item in Pager(listing.fetch, lambda item: item["id"], prefetch=prefetch):
        number = item["id"]
        assert isinstance(number, int)
        seen.append(number)
        if number % 5 in {0, 3}:
            listing.delete(number)
    assert sorted(seen) == list(range(count))
    assert listing.ids == [number for number in range(count) if number % 5 not in {0, 3}]
    assert len(listing.asked) <= 8 * max(1, count // 20)


@pytest.mark.uncovered
@pytest.mark.parametrize("prefetch", [0, 4])
@pytest.mark.parametrize("first", [1, 3])
@pytest.mark.parametrize("seed", range(15))
async def test_what_is_there_throughout_is_returned_once_whatever_comes_and_goes(
    seed: int, first: int, prefetch: int
) -> None:
    rng = Random(seed)
    listing = Shrinking([f"old{number}" for number in range(200)], size=rng.choice([5, 10, 50]))
    size, start = listing.size, set(listing.ids[(first - 1) * listing.size :])
    pager = Pager(listing.fetch, lambda item: item["id"], first=first, prefetch=prefetch)
    seen: list[object] = []
    gone = came = 0
    async for page in pager.pages():
        seen += [item["id"] for item in page]
        for _ in range(rng.choice([0, 0, 1, 4, 12])):  # of others, and of those just shown
            if gone < size * 3 and listing.ids:
                gone += 1
                listing.delete(rng.choice(seen) if rng.random() < 0.5 and seen else rng.choice(listing.ids))
        if rng.random() < 0.3 and first == 1:
            came += 1
            listing.ids.insert(0, f"new{came}")
    assert len(seen) == len(set(seen))
    assert start & set(listing.ids) <= set(seen)
    assert len(listing.asked) < 400


async def test_all_of_a_page_may_be_deleted_before_the_next() -> None:
    listing = Shrinking(range(60), size=20)
    seen: list[object] = []
    async for page in listing.pager().pages():
        seen += [item["id"] for item in page]
        listing.delete(*[item["id"] for item in page])
    assert sorted(map(int, map(str, seen))) == list(range(60))
    assert listing.ids == []


async def test_many_deletions_behind_the_walk_cost_pages_but_end_it_nowhere() -> None:
    listing = Shrinking(range(2_000), size=10)
    pages = listing.pager().pages()
    seen: list[object] = [item["id"] for _ in range(100) for item in await anext(pages)]
    listing.delete(*range(1_500, 2_000))  # 50 pages that the walk has not come to
    seen += [item["id"] async for page in pages for item in page]
    assert seen == list(range(1_500))
    assert len(listing.asked) == 100 + 1 + 51 + 49


async def test_a_total_that_falls_with_every_answer_does_not_hold_a_walk_up() -> None:
    listing = Listing(range(40), size=4)
    answers = count(1)

    async def fetch(number: int) -> Page[Item]:
        page = await listing.fetch(number)
        return Page(page.items, page.page, page.page_size, 10**400 - 100 * next(answers), 10, page.raw)

    assert await ids_of(Pager(fetch, lambda item: item["id"])) == list(range(40))
    assert len(listing.asked) < 200


# Pages fetched ahead.


class Crowd(Listing):
    """A listing that answers the pages asked for at once in an order of its own.

    Attributes:
        most: Most pages that were under way at once.
        late: Page numbers that are answered after all others of their step.
        arriving_first: Items that arrive once, before the late ones are answered.
    """

    def __init__(self, count: int, *, size: int = 2, says: str = "pages") -> None:
        super().__init__(range(count), size=size, says=says)
        self.under_way = self.most = self.cancelled = 0
        self.late: set[int] = set()
        self.arriving_first = 0
        self.broken: dict[int, Exception] = {}

    async def fetch(self, number: int) -> Page[Item]:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            for _ in range(20 if number in self.late else 5):
                await checkpoint()
            if number in self.late:
                self.ids[:0] = [f"late{one}" for one in range(self.arriving_first)]
                self.arriving_first = 0
            if number in self.broken:
                raise self.broken[number]
            return await super().fetch(number)
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1

    def ahead(self, prefetch: int, *, max_items: int | None = None) -> Pager[Item]:
        return Pager(self.fetch, lambda item: item.get("id"), max_items=max_items, prefetch=prefetch)


@pytest.mark.parametrize("prefetch", [0, 1, 3, 16])
async def test_pages_fetched_ahead_are_returned_in_order_and_each_is_asked_for_once(prefetch: int) -> None:
    listing = Crowd(20)
    assert await ids_of(listing.ahead(prefetch)) == list(range(20))
    assert sorted(listing.asked) == list(range(1, 11))
    assert listing.most == min(1 + prefetch, 9)  # the first page says how many there are


async def test_nothing_is_under_way_between_two_steps_and_none_when_a_loop_is_left() -> None:
    listing = Crowd(20)
    seen = 0
    async for _ in listing.ahead(3):
        seen += 1
        assert listing.under_way == 0
        if seen == 5:
            break
    assert sorted(listing.asked) == [1, 2, 3, 4, 5]
    assert listing.cancelled == 0


async def test_a_step_that_is_cancelled_takes_what_it_fetches_ahead_with_it_and_loses_nothing() -> None:
    listing = Crowd(12)
    iterator = aiter(listing.ahead(3))
    got = [await anext(iterator), await anext(iterator)]
    listing.stall = anyio.Event()
    with anyio.move_on_after(0.01) as scope:
        await anext(iterator)
    assert scope.cancelled_caught
    assert (listing.under_way, listing.cancelled) == (0, 4)
    listing.stall = None
    got += [item async for item in iterator]
    assert [item["id"] for item in got] == list(range(12))


@pytest.mark.parametrize("says", ["nothing", "pages alone"])
async def test_where_the_number_of_items_is_not_known_nothing_is_fetched_ahead(says: str) -> None:
    listing = Crowd(8, says=says)

    async def fetch(number: int) -> Page[Item]:
        page = await listing.fetch(number)
        return Page(page.items, page.page, page.page_size, None, 4 if says == "pages alone" else None)

    assert await ids_of(Pager(fetch, lambda item: item["id"], prefetch=4)) == list(range(8))
    assert listing.most == 1


@pytest.mark.parametrize(("most", "asked"), [(0, []), (2, [1]), (3, [1, 2]), (7, [1, 2, 3, 4])])
async def test_no_page_is_fetched_ahead_for_items_beyond_the_most(most: int, asked: list[int]) -> None:
    listing = Crowd(40)
    assert await ids_of(listing.ahead(8, max_items=most)) == list(range(most))
    assert sorted(listing.asked) == asked


async def test_pages_beyond_the_most_come_one_by_one_to_who_goes_on() -> None:
    listing = Crowd(12)
    pages = [page async for page in listing.ahead(8, max_items=6).pages()]
    assert [item["id"] for page in pages for item in page] == list(range(12))
    assert sorted(listing.asked) == [1, 2, 3, 4, 5, 6]
    assert listing.most == 2


@pytest.mark.parametrize("arriving", [1, 3, 7])
@pytest.mark.parametrize("late", [{2}, {3}, {2, 4}, {5, 6}])
async def test_no_item_is_missing_when_a_page_is_answered_after_those_behind_it(late: set[int], arriving: int) -> None:
    """New items push old ones over a boundary between the answers to two pages asked for at once."""
    listing = Crowd(20)
    listing.late, listing.arriving_first = late, arriving
    ids = await ids_of(listing.ahead(4))
    assert set(ids) >= set(range(20))
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("size", [10, 20])
async def test_no_item_is_missing_or_doubled_when_new_ones_arrive_with_every_page(size: int) -> None:
    listing = Crowd(200, size=size)
    listing.arriving = 3
    listing.late = {number for number in range(1000) if number % 3 == 0}
    ids = await ids_of(listing.ahead(4))
    assert set(ids) >= set(range(200))
    assert len(ids) == len(set(ids))


async def test_a_listing_that_shrinks_does_not_hold_a_walk_up() -> None:
    listing = Crowd(20)

    async def fetch(number: int) -> Page[Item]:
        page = await listing.fetch(number)
        total = (page.total or 0) - number  # what is deleted at the end, page by page
        return Page(page.items, page.page, page.page_size, total, page.pages)

    assert await ids_of(Pager(fetch, lambda item: item["id"], prefetch=3)) == list(range(20))


async def test_a_page_ahead_that_fails_is_asked_for_again_when_it_is_wanted() -> None:
    listing = Crowd(20)
    failure = ConnectError("refused")
    listing.broken = {3: failure}
    iterator = aiter(listing.ahead(3))
    got = [(await anext(iterator))["id"] for _ in range(4)]
    with pytest.raises(ConnectError) as caught:
        await anext(iterator)
    assert caught.value is failure
    assert listing.under_way == 0
    listing.broken = {}
    got += [item["id"] async for item in iterator]
    assert got == list(range(20))


async def test_a_page_ahead_is_fetched_by_what_gives_up_sooner() -> None:
    listing = Crowd(20)
    hurried: list[int] = []

    async def hurry(number: int) -> Page[Item]:
        hurried.append(number)
        raise KeyError("a mistake of ours is no reason to stop before its turn")

    pager = Pager(listing.fetch, lambda item: item["id"], prefetch=2, fetch_ahead=hurry)
    assert await ids_of(pager) == list(range(20))
    assert listing.asked == list(range(1, 11))
    assert sorted(hurried) == sorted([3, 4, *[ahead for page in range(3, 9) for ahead in (page + 1, page + 2)], 10])


@pytest.mark.parametrize("items", PAGES_AGAIN)
async def test_a_service_that_ignores_page_numbers_is_not_walked_for_ever_ahead_either(items: list[Item]) -> None:
    asked: list[int] = []

    async def fetch(number: int) -> Page[Item]:
        asked.append(number)
        return Page([*items], 1, 2, 2_000_000, 1_000_000)

    assert [item async for item in Pager(fetch, lambda item: item.get("id"), prefetch=4)] == items
    assert len(asked) == 6


@pytest.mark.parametrize("prefetch", [-1, 17])
def test_a_number_of_pages_that_cannot_be_fetched_ahead_is_refused(prefetch: int) -> None:
    with pytest.raises(ConfigurationError, match="`prefetch` must be a whole number of pages from 0 to 16"):
        require_prefetch(prefetch)
