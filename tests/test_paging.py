"""Walking a listing: awaited or iterated, without doubles, without an end that never comes, nothing lost on the way."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest
from anyio.lowlevel import checkpoint

from neuralbox._errors import APIConnectionError, ConnectError
from neuralbox._models.page import Page
from neuralbox._paging import Pager
from neuralbox._wire.pages import read_envelope
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


@pytest.mark.parametrize("pages", [None, 1_000_000])
async def test_a_service_that_ignores_page_numbers_is_not_walked_for_ever(pages: int | None) -> None:
    asked: list[int] = []

    async def fetch(number: int) -> Page[Item]:
        asked.append(number)
        return Page([{"id": 1}, {"id": 2}], 1, 2, None, pages)

    assert [item["id"] async for item in Pager(fetch, lambda item: item["id"])] == [1, 2]
    assert asked == [1, 2]


async def test_items_that_shift_to_a_later_page_are_handed_out_once() -> None:
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
