"""Walking the history: one page, all items, all pages, and the rules by which a walk stops."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from neuralbox import _errors as errors
from neuralbox._resources.history import History
from tests.helpers import STALL, Bench, Play, Sent, cancelled_at_a_stall, make_core, reply

pytestmark = pytest.mark.anyio


def serve(total: int, *, pages: bool = True, start: int = 1000) -> Any:
    """A history of so many items, newest first."""

    def answer(sent: Sent) -> Play:
        page, limit = int(sent.query["page"]), int(sent.query["limit"])
        ids = range(start, start - total, -1)[(page - 1) * limit : page * limit]
        body: dict[str, Any] = {"items": [{"id": one, "status": "completed"} for one in ids]}
        body |= {"total": total, "page": page, "limit": limit}
        return reply(200, {**body, "pages": -(-total // limit)} if pages else body)

    return answer


def asked(bench: Bench) -> list[str]:
    return [one.query["page"] for one in bench.sent]


async def test_awaited_it_is_one_page() -> None:
    bench = make_core(serve(45))
    page = await History(bench.core).list(page=2)
    assert [item.id for item in page][:2] == [980, 979]
    assert (page.page, page.page_size, page.total, page.pages, len(page), page.has_next) == (2, 20, 45, 3, 20, True)
    assert asked(bench) == ["2"]


async def test_half_a_character_in_one_item_hides_no_other() -> None:
    page = (
        rb'{"items":[{"id":2,"prompt":"Party \ud83d"},{"id":1,"prompt":"x"}],"total":2,"page":1,"limit":20,"pages":1}'
    )
    bench = make_core([reply(200, page)])
    assert [(item.id, item.prompt) async for item in History(bench.core).list()] == [(2, "Party \ufffd"), (1, "x")]


@pytest.mark.parametrize("pages", [True, False])
async def test_iterated_it_is_every_item_once(pages: bool) -> None:
    bench = make_core(serve(45, pages=pages))
    ids = [item.id async for item in History(bench.core).list()]
    assert ids == list(range(1000, 955, -1))
    assert asked(bench) == ["1", "2", "3"]


async def test_pages_are_fetched_as_they_are_needed() -> None:
    bench = make_core(serve(45))
    async for _ in History(bench.core).list(page_size=10):
        break
    assert asked(bench) == ["1"]


@pytest.mark.parametrize(("most", "pages"), [(0, []), (10, ["1"]), (11, ["1", "2"]), (None, ["1", "2", "3"])])
async def test_max_items_ends_the_walk_without_another_page(most: int | None, pages: list[str]) -> None:
    bench = make_core(serve(25))
    ids = [item.id async for item in History(bench.core).list(page_size=10, max_items=most)]
    assert len(ids) == (25 if most is None else most)
    assert asked(bench) == pages


async def test_items_that_move_to_the_next_page_are_returned_once() -> None:
    state = {"start": 1000, "total": 30}

    def answer(sent: Sent) -> Play:
        played = serve(state["total"], start=state["start"])(sent)
        state["start"], state["total"] = state["start"] + 2, state["total"] + 2  # two new ones push the rest on
        return played  # type: ignore[no-any-return]

    bench = make_core(answer)
    ids = [item.id async for item in History(bench.core).list(page_size=10)]
    assert len(ids) == len(set(ids))
    assert set(range(971, 1001)) <= set(ids)


async def test_ids_count_as_equal_whether_number_or_text() -> None:
    bench = make_core(
        [
            reply(200, {"items": [{"id": 1}, {"id": "gen_2"}], "pages": 2}),
            reply(200, {"items": [{"id": "1"}, {"id": "gen_2"}, {"status": "completed"}, {}], "pages": 2}),
        ]
    )
    ids = [item.id async for item in History(bench.core).list()]
    assert ids == [1, "gen_2", "", ""]  # what has no id cannot be told apart, so it is kept


async def test_neither_a_short_page_nor_an_empty_one_ends_the_walk_where_more_pages_are_promised() -> None:
    bench = make_core(
        [
            reply(200, {"items": [{"id": 1}], "total": 142, "page": 1, "limit": 10, "pages": 4}),
            reply(200, {"items": [], "total": 142, "page": 2, "limit": 10, "pages": 4}),
            reply(200, {"items": [{"id": 2}], "total": 142, "page": 3, "limit": 10, "pages": 4}),
            reply(200, {"items": [], "total": 142, "page": 4, "limit": 10, "pages": 4}),
        ]
    )
    assert [item.id async for item in History(bench.core).list(page_size=10)] == [1, 2]
    assert bench.transport.left == 0


async def test_an_empty_page_ends_the_walk_where_nothing_says_that_there_are_more() -> None:
    bench = make_core([reply(200, {"items": [{"id": 1}]}), reply(200, {"items": []})])
    assert [item.id async for item in History(bench.core).list()] == [1]
    assert bench.transport.left == 0


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("items", [[], [{"id": 1}]])
async def test_a_listing_that_has_nothing_new_is_given_up_and_said_so(
    items: list[Any], numbered: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """It promises 5,000 pages, and shows the same on each."""

    def answer(sent: Sent) -> Play:
        more = {"page": int(sent.query["page"])} if numbered else {}
        return reply(200, {"items": items, "total": 100_000, "limit": 20, "pages": 5_000, **more})

    bench = make_core(answer)
    assert [item.id async for item in History(bench.core).list(prefetch=4)] == [item["id"] for item in items]
    same_page = bool(items) and not numbered
    assert len(bench.sent) <= (6 if same_page else 20 if items else 110)
    assert ("nothing new for many" in caplog.text) is not same_page


async def test_a_service_that_ignores_the_page_number_is_not_walked_for_ever() -> None:
    bench = make_core(lambda sent: reply(200, [{"id": 1}, {"id": 2}]))
    with anyio.fail_after(5):
        assert [item.id async for item in History(bench.core).list()] == [1, 2]
    assert asked(bench) == ["1", "2"]


async def test_pages_come_whole_and_without_what_was_there_before() -> None:
    bench = make_core(
        [
            reply(200, {"items": [{"id": 1}, {"id": 2}], "pages": 2}),
            reply(200, {"items": [{"id": 2}, {"id": 3}], "pages": 2, "page": 2}),
        ]
    )
    pager = History(bench.core).list()
    pages = [page async for page in pager.pages()]
    assert [[item.id for item in page] for page in pages] == [[1, 2], [3]]
    assert [page.page for page in pages] == [1, 2]
    assert repr(pager) == "<Pager from page 1>"


async def test_each_iteration_begins_anew() -> None:
    bench = make_core(serve(3))
    pager = History(bench.core).list()
    assert [item.id async for item in pager] == [item.id async for item in pager]
    assert asked(bench) == ["1", "1"]


async def test_a_page_that_failed_is_asked_for_again_by_the_next_step() -> None:
    lost = errors.ConnectionLostError("The connection broke.")
    bench = make_core(
        [reply(200, {"items": [{"id": 1}], "pages": 2}), lost, reply(200, {"items": [{"id": 2}]})], max_retries=0
    )
    items = aiter(History(bench.core).list())
    assert (await anext(items)).id == 1
    with pytest.raises(errors.ConnectionLostError):
        await anext(items)
    assert (await anext(items)).id == 2
    assert asked(bench) == ["1", "2", "2"]


async def test_a_page_whose_step_was_cancelled_is_asked_for_again() -> None:
    bench = make_core([STALL, reply(200, {"items": [{"id": 1}]})])
    items = aiter(History(bench.core).list())
    async with cancelled_at_a_stall():
        await anext(items)
    assert (await anext(items)).id == 1


async def test_filters_and_call_options_go_with_every_page() -> None:
    bench = make_core(serve(25))
    pager = History(bench.core).list(type="image", page_size=10, extra_headers={"X-Trace": "1"}, timeout=3)
    assert len([item async for item in pager]) == 25
    assert {(one.query["type"], one.headers["x-trace"], one.timeouts.read) for one in bench.sent} == {("image", "1", 3)}


async def test_an_iterator_may_be_iterated() -> None:
    bench = make_core(serve(3))
    items = aiter(History(bench.core).list())
    await anext(items)
    assert len([item async for item in items]) == 2
    pages = History(bench.core).list().pages()
    assert aiter(pages) is pages


async def test_pages_ahead_are_not_repeated_before_they_are_wanted() -> None:
    failures = {"3": 1}

    def answer(sent: Sent) -> Play:
        page = sent.query["page"]
        if failures.get(page):
            failures[page] -= 1
            return reply(500)
        served: Play = serve(100)(sent)
        return served

    bench = make_core(answer, max_retries=2)
    ids = [item.id async for item in History(bench.core).list(prefetch=4)]
    assert ids == list(range(1000, 900, -1))
    assert sorted(asked(bench)) == ["1", "2", "3", "3", "4", "4", "5", "5"]
    assert bench.time.pauses == []
